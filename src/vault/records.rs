//! What the vault keeps, as plain records that no store changes.

use std::sync::Arc;

use crate::model::{Actor, AttemptKind, FailureCause, Moment, Outcome, Secret, Step, Trigger};
use crate::rotation::AccountRecord;

/// The last firing of a job, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Firing {
    /// When it was, or since when the job is known.
    pub last: i64,
    /// Up to when the turns of its accounts were begun; `None` where it has none, since it was no firing.
    pub turned: Option<i64>,
}

/// What rotord goes on with by itself.
#[derive(Debug, Clone, Default)]
pub struct Waits {
    /// Accounts whose time has come, may have come, or was never set.
    pub due: Vec<AccountRecord>,
    /// In how many milliseconds the earliest of the others comes.
    pub next_in_ms: Option<i64>,
}

/// How an attempt ended whose end was never written.
pub const INTERRUPTED: &str = "interrupted: the daemon stopped";

/// Attempts of an account that are kept in the vault: the audit log has them all.
pub const KEPT_ATTEMPTS: u32 = 30;

/// An attempt, as `history` shows it.
#[derive(Debug, Clone)]
pub struct AttemptRow {
    /// Its id.
    pub id: String,
    /// The account.
    pub account: String,
    /// What it is for.
    pub kind: AttemptKind,
    /// Milliseconds since 1970.
    pub started: i64,
    /// Milliseconds since 1970; `None` while it runs.
    pub ended: Option<i64>,
    /// What set it off.
    pub trigger: Trigger,
    /// Who.
    pub actor: Option<Actor>,
    /// The job that asked.
    pub job: Option<String>,
    /// Why, in the words of who asked.
    pub reason: Option<String>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// In words.
    pub detail: Option<String>,
    /// What is not clean about it though it succeeded.
    pub warning: Option<String>,
    /// What it failed of, where that decides what a person can do.
    pub failure: Option<FailureCause>,
    /// What happened.
    pub steps: Arc<[Step]>,
}

/// A password that was in force.
#[derive(Debug, Clone)]
pub struct HistoryEntry {
    /// The password.
    pub password: Secret,
    /// RFC 3339.
    pub from: String,
    /// RFC 3339; `None` for the one in force and for a candidate.
    pub until: Option<String>,
    /// Whether it is the one in force.
    pub current: bool,
}

/// How far a notifier is. Numbers are those of audit events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NotifierRow {
    /// All up to here was told, or need not be.
    pub sent: u64,
    /// The last event of a message that may be on its way: until it is told, it is the same.
    pub claimed: Option<u64>,
    /// All up to here was in a digest.
    pub digest_seq: u64,
    /// When the last digest was sent, in milliseconds since 1970.
    pub digest_at: i64,
    /// The last event of a digest that may be on its way.
    pub digest_to: Option<u64>,
    /// So many notices were left out, and that was not told yet.
    pub dropped: u64,
    /// The first of their events.
    pub dropped_first: u64,
    /// The last of their events.
    pub dropped_last: u64,
    /// So many notices the message tells of that some were left out, where such a message may be on its way: until it is told, it
    /// is the same. 0 where none is.
    pub telling: u64,
    /// The first of their events.
    pub telling_first: u64,
    /// The last of their events.
    pub telling_last: u64,
    /// So many tries of the first message that waits failed by its own fault.
    pub tries: u32,
}

/// A host key that a person trusted.
#[derive(Debug, Clone)]
pub struct HostKeyRow {
    /// `SHA256:…`.
    pub fingerprint: String,
    /// The key in OpenSSH's format.
    pub key: String,
}

/// What kind of secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The account's password; the only kind with a history.
    Password,
    /// The TOTP seed, as an `otpauth://` URI.
    Totp,
    /// A private key in OpenSSH's format, without a passphrase.
    SshKey,
    /// The value of a tag.
    Field(String),
    /// What a web page looked like when the last attempt failed there, without any secret of the account: the newest alone is kept.
    Screenshot,
}

impl Kind {
    /// Its name in a store.
    #[must_use]
    pub(crate) fn as_text(&self) -> String {
        match self {
            Self::Password => "password".into(),
            Self::Totp => "totp".into(),
            Self::SshKey => "ssh-key".into(),
            Self::Field(name) => format!("field:{name}"),
            Self::Screenshot => "screenshot".into(),
        }
    }
}

/// A code that was reserved, or when to ask again.
#[derive(Debug, Clone)]
pub enum Reservation {
    /// The code of this step is recorded as used; nobody else gets it.
    Code {
        /// The code.
        code: Secret,
        /// Its time step.
        step: u64,
    },
    /// Ask again at this instant, in milliseconds since 1970.
    WaitUntil(i64),
}

/// A login that counts as refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginRecord {
    /// Its number, which no other login has.
    pub id: i64,
    /// When it was tried.
    pub at: Moment,
    /// The device said no: `true` where a code was sent with it. `None` where it said nothing yet.
    pub refused: Option<bool>,
    /// A login of the account was taken since, with the password and, where a code was sent with this one, a code.
    pub past: bool,
}

/// A login that the device said no to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// When it was tried.
    pub at: Moment,
    /// Whether a code was sent with it: that may have been why.
    pub with_code: bool,
    /// A login of the account was taken since, with the password and, where a code was sent with this one, a code.
    pub past: bool,
}

/// What was found at a start that vault and log do not agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether the log does not hold what the vault wrote; else the vault is older than its log.
    pub rewritten: bool,
    /// In words.
    pub told: String,
}

//! What the vault keeps, as plain records that no store changes.

use std::sync::Arc;

use crate::model::{AccountName, AccountState, Actor, AttemptKind, Candidate, FailureCause, Moment, Secret, Step};
use crate::rotation::{Persist, Phase};

/// What the vault knows of an account, its secrets apart.
#[derive(Debug, Clone)]
pub struct AccountRow {
    /// `DEVICE/USERNAME`.
    pub name: String,
    /// Where its rotation stands.
    pub phase: Phase,
    /// Since when, in milliseconds since 1970.
    pub since: i64,
    /// The attempt under way.
    pub attempt: Option<String>,
    /// Whether a password is stored.
    pub has_password: bool,
    /// Whether an operator holds its scheduled work.
    pub paused: bool,
    /// When the last change was proved.
    pub last_change: Option<i64>,
    /// How the last attempt failed.
    pub last_error: Option<String>,
    /// When rotord goes on by itself with it.
    pub wake: Option<Moment>,
    /// Tries of the scheduled run under way.
    pub tries: u32,
    /// When the stored password was last tried to no other end, in milliseconds since 1970.
    pub verified: Option<i64>,
    /// What is not clean about the change that was proved last, until a clean one or an operator's word.
    pub warning: Option<String>,
    /// What is not clean about the change that is under way.
    pub flaw: Option<String>,
    /// Why the last verify failed, where no login was taken since.
    pub verify_error: Option<String>,
    /// Whether the candidate is a password whose change had ended already: it was sent once, and a login proved the one before.
    pub reverted_candidate: bool,
}

impl AccountRow {
    /// The state that `status` shows.
    #[must_use]
    pub fn state(&self) -> AccountState {
        match self.phase {
            Phase::Idle if !self.has_password => AccountState::New,
            Phase::Idle if self.paused => AccountState::Paused,
            Phase::Idle => AccountState::Idle,
            Phase::Prepared => AccountState::Prepared,
            Phase::Changing => AccountState::Changing,
            Phase::Sent => AccountState::Sent,
            Phase::Verifying => AccountState::Verifying,
            Phase::Uncertain(_) => AccountState::Uncertain,
            Phase::Quarantined | Phase::Mending => AccountState::Quarantined,
        }
    }
}

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
    pub due: Vec<AccountRow>,
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
    pub trigger: String,
    /// Who.
    pub actor: Option<Actor>,
    /// The job that asked.
    pub job: Option<String>,
    /// Why, in the words of who asked.
    pub reason: Option<String>,
    /// How it ended.
    pub outcome: Option<String>,
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
        }
    }
}

/// Passwords of an account that stay at least, whatever the policy says: a device that was not saved, or that is restored
/// from a backup, comes back with one of weeks ago.
pub const KEPT: usize = 32;

/// What is not clean about a change whose template was not seen to come to its end.
pub const CUT_OFF: &str = "the configuration may not be saved: rotord was interrupted while the template ran, and what follows the new password in it may not have been sent";

/// A transition of the state machine, with what it needs.
#[derive(Debug)]
pub struct Transition<'a> {
    /// The account.
    pub account: &'a AccountName,
    /// The attempt that it belongs to.
    pub attempt: &'a str,
    /// What to make durable.
    pub persist: Persist,
    /// The candidate, for [`Persist::Prepared`].
    pub candidate: Option<&'a Candidate>,
    /// How many former passwords stay, for [`Persist::Promote`].
    pub keep: usize,
    /// What is not clean about the change, for [`Persist::Uncertain`], and for [`Persist::Promote`], where it becomes the
    /// account's warning.
    pub flaw: Option<&'a str>,
    /// Now.
    pub now: &'a Moment,
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

//! The record that the vault keeps of an account.

use std::sync::Arc;

use super::phase::Phase;
use crate::model::{AccountState, Moment};

/// What the vault keeps of an account, its secrets apart. Passwords are known by the numbers of their versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRecord {
    /// `DEVICE/USERNAME`.
    pub name: Arc<str>,
    /// Where its rotation stands.
    pub phase: Phase,
    /// Since when, in milliseconds since 1970.
    pub since: i64,
    /// The attempt under way.
    pub attempt: Option<Arc<str>>,
    /// The password in force.
    pub current: Option<i64>,
    /// The password of the change under way.
    pub candidate: Option<i64>,
    /// The last password that became a candidate again after it was reverted: none up to it does so once more.
    pub adopted: i64,
    /// Whether an operator holds its scheduled work.
    pub paused: bool,
    /// When the last change was proved, in milliseconds since 1970.
    pub last_change: Option<i64>,
    /// How the last attempt failed.
    pub last_error: Option<Arc<str>>,
    /// When rotord goes on by itself with it.
    pub wake: Option<Moment>,
    /// Tries of the scheduled run under way.
    pub tries: u32,
    /// When the stored password was last tried to no other end, in milliseconds since 1970.
    pub verified: Option<i64>,
    /// What is not clean about the change that was proved last, until a clean one or an operator's word.
    pub warning: Option<Arc<str>>,
    /// What is not clean about the change that is under way.
    pub flaw: Option<Arc<str>>,
    /// Why the last verify failed, where no login was taken since.
    pub verify_error: Option<Arc<str>>,
}

/// A version of an account's password. Versions are numbered from 1 on, and no number is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordVersion {
    /// Its number.
    pub number: i64,
    /// When it was stored, in milliseconds since 1970.
    pub made: i64,
    /// When it went out of force, in milliseconds since 1970.
    pub retired: Option<i64>,
}

/// The newest password behind the current one that was sent and reverted since a login proved the one before, and that did not
/// become a candidate again yet: the device may come to it later, as a directory with replicas does.
#[must_use]
pub fn reverted_candidate(record: &AccountRecord, passwords: &[PasswordVersion]) -> Option<i64> {
    let before = record.current.unwrap_or(0).max(record.adopted);
    let later = passwords.iter().map(|version| version.number).filter(|number| *number > before);
    later.filter(|number| Some(*number) != record.candidate).max()
}

impl AccountRecord {
    /// An account that the vault has not known until now.
    #[must_use]
    pub fn new(name: &str, now: &Moment) -> Self {
        Self {
            name: name.into(),
            phase: Phase::Idle,
            since: now.wall_ms,
            attempt: None,
            current: None,
            candidate: None,
            adopted: 0,
            paused: false,
            last_change: None,
            last_error: None,
            wake: None,
            tries: 0,
            verified: None,
            warning: None,
            flaw: None,
            verify_error: None,
        }
    }

    /// Whether a password is stored.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.current.is_some()
    }

    /// Whether the candidate is a password whose change had ended already: it was sent once, and a login proved the one before.
    #[must_use]
    pub fn candidate_was_reverted(&self) -> bool {
        self.candidate == Some(self.adopted)
    }

    /// Whether it is at rest with a stored password.
    #[must_use]
    pub fn rests(&self) -> bool {
        self.phase == Phase::Idle && self.has_password()
    }

    /// The state that `status` shows.
    #[must_use]
    pub fn state(&self) -> AccountState {
        match self.phase {
            Phase::Idle if !self.has_password() => AccountState::New,
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

    pub(super) fn set_phase(&mut self, phase: Phase, attempt: Option<&str>, now: &Moment) {
        self.phase = phase;
        self.since = now.wall_ms;
        self.attempt = attempt.map(Into::into);
    }

    /// What was tried until now was to another end.
    pub(super) fn begin_anew(&mut self, wake: Option<Moment>) {
        (self.wake, self.tries) = (wake, 0);
    }
}

//! What a transition does to the record of an account. Every rule about phases, versions of the password and times of the next
//! look is here; a store only loads and saves.

use super::account::{AccountRecord, PasswordVersion, reverted_candidate};
use super::machine::Persist;
use super::phase::{Doubt, Phase, QUARANTINE_LOOK_MS, Which};
use crate::model::Moment;

/// Former passwords of an account that stay at least, whatever the policy says, with the current one: a device that was not
/// saved, or that is restored from a backup, comes back with one of weeks ago.
pub const KEPT: usize = 32;

/// What is not clean about a change whose template was not seen to come to its end.
pub const CUT_OFF: &str = "the configuration may not be saved: rotord was interrupted while the template ran, and what follows the new password in it may not have been sent";

/// What happens to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition<'a> {
    /// A step of the state machine. [`Persist::Prepared`] and [`Persist::Mending`] bring a new password.
    Step {
        /// The step.
        persist: Persist,
        /// The attempt that it belongs to.
        attempt: &'a str,
        /// How many former passwords stay, for [`Persist::Promote`].
        keep: usize,
        /// What is not clean about the change, for [`Persist::Uncertain`], and for [`Persist::Promote`], where it becomes the
        /// account's warning.
        flaw: Option<&'a str>,
    },
    /// A person gives a new password: the one that the device has. It ends a doubt or a quarantine.
    Given,
    /// The stored password of an account at rest was refused, or may have been, in so many `looks` of its own, and a login is to
    /// find out about it. Nothing happens to an account that is not at rest, or has no password.
    Doubt {
        /// In words.
        why: &'a str,
        /// The attempt that found it.
        attempt: &'a str,
        /// Looks in which the device took nothing.
        looks: u8,
    },
    /// The vault is of the past: whether the device still has one of these passwords is to be found out. A candidate that never
    /// left is no device's; one that may have left is found out like any other.
    Restored {
        /// In words.
        why: &'a str,
    },
}

impl Transition<'_> {
    /// Whether it brings a new password.
    #[must_use]
    pub fn brings_password(&self) -> bool {
        match self {
            Self::Step { persist, .. } => matches!(persist, Persist::Prepared | Persist::Mending),
            Self::Given => true,
            Self::Doubt { .. } | Self::Restored { .. } => false,
        }
    }

    /// Whether what it does depends on the versions of the password, or changes them.
    #[must_use]
    pub fn touches_passwords(&self) -> bool {
        !matches!(self, Self::Step { persist: Persist::Changing | Persist::Sent | Persist::Verifying, .. })
    }

    /// Whether the change counts for the cap from here on.
    #[must_use]
    pub fn counts_as_change(&self) -> bool {
        matches!(self, Self::Step { persist: Persist::Sent, .. })
    }
}

/// What a transition does to the versions of an account's password.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PasswordOperations {
    /// The version as which the new password is stored.
    pub added: Option<PasswordVersion>,
    /// Versions that are deleted.
    pub removed: Vec<i64>,
    /// Versions whose [`PasswordVersion::retired`] is another one from now on.
    pub changed: Vec<PasswordVersion>,
}

impl PasswordOperations {
    fn between(before: &[PasswordVersion], after: &[PasswordVersion]) -> Self {
        let find = |versions: &[PasswordVersion], number| versions.iter().find(|it| it.number == number).copied();
        let is_gone = |version: &&PasswordVersion| find(after, version.number).is_none();
        let is_other = |version: &&PasswordVersion| find(before, version.number).is_some_and(|was| was != **version);
        Self {
            added: after.iter().find(|version| find(before, version.number).is_none()).copied(),
            removed: before.iter().filter(is_gone).map(|version| version.number).collect(),
            changed: after.iter().filter(is_other).copied().collect(),
        }
    }
}

/// What a transition makes of an account. `passwords` are its versions, in the order of their numbers; they need not be known
/// where [`Transition::touches_passwords`] says no.
#[must_use]
pub fn apply(
    record: AccountRecord,
    passwords: &[PasswordVersion],
    transition: &Transition<'_>,
    now: &Moment,
) -> (AccountRecord, PasswordOperations) {
    let mut account = Account { record, passwords: passwords.to_vec() };
    match *transition {
        Transition::Step { persist, attempt, keep, flaw } => account.step(persist, attempt, keep, flaw, now),
        Transition::Given => account.given(now),
        Transition::Doubt { why, attempt, looks } => account.doubted(why, attempt, looks, now),
        Transition::Restored { why } => account.restored(why, now),
    }
    let operations = PasswordOperations::between(passwords, &account.passwords);
    (account.record, operations)
}

/// An account while a transition is applied.
struct Account {
    record: AccountRecord,
    passwords: Vec<PasswordVersion>,
}

impl Account {
    fn step(&mut self, persist: Persist, attempt: &str, keep: usize, flaw: Option<&str>, now: &Moment) {
        let by = Some(attempt);
        match persist {
            Persist::Prepared | Persist::Mending => {
                // The candidate that an earlier change sent stays among the passwords: the device may hold it.
                self.record.candidate = Some(self.add_password(now));
                let phase = if persist == Persist::Mending { Phase::Mending } else { Phase::Prepared };
                self.record.set_phase(phase, by, now);
            }
            Persist::Changing => self.record.set_phase(Phase::Changing, by, now),
            Persist::Sent => {
                self.record.set_phase(Phase::Sent, by, now);
                // Until the template has come to its end.
                self.record.flaw = Some(CUT_OFF.into());
            }
            Persist::Verifying => {
                self.record.set_phase(Phase::Verifying, by, now);
                self.record.flaw = None;
            }
            Persist::Uncertain(doubt) => {
                self.drop_unsent();
                self.adopt_reverted();
                self.record.set_phase(Phase::Uncertain(doubt), by, now);
                self.set_flaw(flaw);
            }
            Persist::Quarantine => {
                self.drop_unsent();
                // What was tried to find out is not what is tried to mend it.
                if self.record.phase != Phase::Mending {
                    self.record.begin_anew(Some(now.plus_ms(QUARANTINE_LOOK_MS)));
                }
                self.record.set_phase(Phase::Quarantined, by, now);
            }
            Persist::Promote => {
                self.set_flaw(flaw);
                // One that was reverted is tried in quarantine too.
                self.adopt_reverted();
                self.promote(keep, now);
            }
            Persist::Revert => self.revert(now),
        }
    }

    fn promote(&mut self, keep: usize, now: &Moment) {
        if let Some(candidate) = self.record.candidate.take() {
            self.retire(now, |version| version.number != candidate);
            let record = &mut self.record;
            record.current = Some(candidate);
            record.last_change = Some(now.wall_ms);
            (record.last_error, record.verify_error) = (None, None);
            record.begin_anew(None);
            record.warning = record.flaw.take();
        }
        // Old passwords stay: a device that did not save its configuration may come back with one.
        let too_old = self.passwords.len().saturating_sub(keep.max(KEPT - 1) + 1);
        let mut place = 0;
        self.passwords.retain(|version| {
            place += 1;
            version.retired.is_none() || place > too_old
        });
        self.record.set_phase(Phase::Idle, None, now);
    }

    /// Drops the candidate. One that was sent is kept as history all the same: the device has seen it.
    fn revert(&mut self, now: &Moment) {
        let counts_tries = matches!(self.record.phase, Phase::Prepared | Phase::Changing);
        self.drop_unsent();
        if let Some(candidate) = self.record.candidate.take() {
            self.set_retired(candidate, Some(now.wall_ms));
        }
        let tries = if counts_tries { self.record.tries } else { 0 };
        (self.record.flaw, self.record.wake, self.record.tries) = (None, None, tries);
        self.record.set_phase(Phase::Idle, None, now);
    }

    fn given(&mut self, now: &Moment) {
        let number = self.add_password(now);
        self.retire(now, |version| version.number < number);
        let record = &mut self.record;
        (record.current, record.candidate) = (Some(number), None);
        (record.last_error, record.verified, record.verify_error, record.flaw) = (None, None, None, None);
        record.begin_anew(None);
        record.set_phase(Phase::Idle, None, now);
    }

    fn doubted(&mut self, why: &str, attempt: &str, looks: u8, now: &Moment) {
        if self.record.rests() {
            let doubt = Doubt::of_stored(looks, self.adopt_reverted());
            self.record.set_phase(Phase::Uncertain(doubt), Some(attempt), now);
            self.record.last_error = Some(why.into());
            self.record.begin_anew(None);
        }
    }

    fn restored(&mut self, why: &str, now: &Moment) {
        self.drop_unsent();
        let before = self.record.phase;
        let phase = match before {
            Phase::Mending | Phase::Quarantined => Phase::Quarantined,
            Phase::Sent | Phase::Verifying | Phase::Uncertain(_) => Phase::Uncertain(Doubt::fresh(Which::New)),
            _ if !self.record.has_password() => Phase::Idle,
            // What was sent last and reverted may be what the device has come to.
            _ if self.adopt_reverted() => Phase::Uncertain(Doubt::fresh(Which::Old)),
            _ => Phase::Uncertain(Doubt { other_refused: true, ..Doubt::fresh(Which::Old) }),
        };
        self.record.set_phase(phase, None, now);
        self.record.begin_anew(None);
        (self.record.verified, self.record.verify_error) = (None, None);
        if phase != Phase::Idle {
            self.record.last_error = Some(why.into());
        }
    }

    /// Stores the new password under a fresh number.
    fn add_password(&mut self, now: &Moment) -> i64 {
        let number = self.passwords.iter().map(|version| version.number).max().unwrap_or(0) + 1;
        self.passwords.push(PasswordVersion { number, made: now.wall_ms, retired: None });
        number
    }

    fn set_flaw(&mut self, flaw: Option<&str>) {
        if let Some(flaw) = flaw {
            self.record.flaw = Some(flaw.into());
        }
    }

    /// The passwords in force that are meant go out of it.
    fn retire(&mut self, now: &Moment, is_meant: impl Fn(&PasswordVersion) -> bool) {
        for version in self.passwords.iter_mut().filter(|version| version.retired.is_none() && is_meant(version)) {
            version.retired = Some(now.wall_ms);
        }
    }

    fn set_retired(&mut self, number: i64, retired: Option<i64>) {
        for version in self.passwords.iter_mut().filter(|version| version.number == number) {
            version.retired = retired;
        }
    }

    /// Deletes a candidate that never left: no device can hold it.
    fn drop_unsent(&mut self) {
        if !matches!(self.record.phase, Phase::Prepared | Phase::Changing | Phase::Mending) {
            return;
        }
        let candidate = self.record.candidate.take();
        self.passwords.retain(|version| Some(version.number) != candidate);
        if self.record.phase == Phase::Mending {
            // The candidate of the change that failed before takes its place again.
            let current = self.record.current.unwrap_or(0);
            let open = self.passwords.iter().filter(|version| version.retired.is_none() && version.number > current);
            self.record.candidate = open.map(|version| version.number).max();
        }
    }

    /// Where there is no candidate, the password that was reverted is one again; once, or it would be tried on and on where the
    /// stored one is refused for another reason. Whether there was one.
    fn adopt_reverted(&mut self) -> bool {
        let reverted = reverted_candidate(&self.record, &self.passwords);
        let Some(number) = reverted.filter(|_| self.record.candidate.is_none()) else { return false };
        (self.record.candidate, self.record.adopted) = (Some(number), number);
        self.set_retired(number, None);
        true
    }
}

#[cfg(test)]
#[path = "transition_tests.rs"]
mod tests;

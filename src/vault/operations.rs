//! What callers do inside a transaction: load records, have pure code decide, save what it says. The same for every store.

use std::collections::BTreeSet;

use super::error::VaultError;
use super::records::{HistoryEntry, Kind, LoginRecord, Refusal, Reservation};
use super::transaction::Ledger;
use crate::model::{AccountName, Candidate, Moment, Secret, rfc3339};
use crate::policy::restamp;
use crate::rotation::{AccountRecord, Transition, apply, reverted_candidate};
use crate::totp::{Pick, Seed, USUAL_PERIOD, WINDOW, Wanted, pick_step};

/// Accounts and their passwords.
impl dyn Ledger + '_ {
    /// Applies a transition to an account; `fresh` is the new password, where it brings one. An account that is not known comes
    /// to be where it brings a password; else nothing happens to it.
    ///
    /// # Errors
    /// The store or the random source failed, or there is no new password where one is needed.
    pub fn apply(
        &self,
        account: &AccountName,
        transition: &Transition<'_>,
        fresh: Option<&Secret>,
        now: &Moment,
    ) -> Result<(), VaultError> {
        let brings = transition.brings_password();
        let fresh = fresh.filter(|_| brings);
        if brings && fresh.is_none() {
            return Err(VaultError::Unreadable("candidate"));
        }
        let known = self.account(account)?;
        let Some(record) = known.or_else(|| brings.then(|| AccountRecord::new(account.as_str(), now))) else {
            return Ok(());
        };
        let touches = transition.touches_passwords();
        let passwords = if touches { self.password_versions(account)? } else { Vec::new() };
        let (record, operations) = apply(record, &passwords, transition, now);
        if transition.counts_as_change()
            && let Some(attempt) = &record.attempt
        {
            self.add_change(account, attempt, now)?;
        }
        self.save_account(&record)?;
        if touches { self.save_passwords(account, &operations, fresh) } else { Ok(()) }
    }

    /// Puts an account at rest in doubt: its stored password was refused, or may have been, in so many `looks` of its own, and a
    /// login is to find out about it. Whether it was at rest.
    ///
    /// # Errors
    /// The store failed.
    pub fn doubt(
        &self,
        account: &AccountName,
        why: &str,
        attempt: &str,
        looks: u8,
        now: &Moment,
    ) -> Result<bool, VaultError> {
        let rests = self.account(account)?.is_some_and(|record| record.rests());
        if rests {
            self.apply(account, &Transition::Doubt { why, attempt, looks }, None, now)?;
        }
        Ok(rests)
    }

    /// Changes one thing about an account that is known; nothing happens to one that is not.
    fn change(&self, account: &AccountName, work: impl FnOnce(&mut AccountRecord)) -> Result<(), VaultError> {
        let Some(mut record) = self.account(account)? else { return Ok(()) };
        work(&mut record);
        self.save_account(&record)
    }

    /// Holds or releases an account's scheduled work.
    ///
    /// # Errors
    /// The store failed.
    pub fn set_paused(&self, account: &AccountName, paused: bool, now: &Moment) -> Result<(), VaultError> {
        let known = self.account(account)?;
        let record = known.unwrap_or_else(|| AccountRecord::new(account.as_str(), now));
        self.save_account(&AccountRecord { paused, ..record })
    }

    /// When rotord goes on by itself with an account, and how many tries there were.
    ///
    /// # Errors
    /// The store failed.
    pub fn set_wake(&self, account: &AccountName, wake: Option<&Moment>, tries: u32) -> Result<(), VaultError> {
        self.change(account, |record| (record.wake, record.tries) = (wake.copied(), tries))
    }

    /// An operator has seen an account's warning: it is shown no more. Whether there was one.
    ///
    /// # Errors
    /// The store failed.
    pub fn acknowledge(&self, account: &AccountName) -> Result<bool, VaultError> {
        let warns = self.account(account)?.is_some_and(|record| record.warning.is_some());
        if warns {
            self.change(account, |record| record.warning = None)?;
        }
        Ok(warns)
    }

    /// Records that the stored password was tried.
    ///
    /// # Errors
    /// The store failed.
    pub fn set_verified(&self, account: &AccountName, now: &Moment) -> Result<(), VaultError> {
        self.change(account, |record| record.verified = Some(now.wall_ms))
    }

    /// Records why a verify failed; `None`: one succeeded.
    ///
    /// # Errors
    /// The store failed.
    pub fn set_verify_error(&self, account: &AccountName, error: Option<&str>) -> Result<(), VaultError> {
        self.change(account, |record| record.verify_error = error.map(Into::into))
    }

    /// Records how the last attempt failed; `None` clears it.
    ///
    /// # Errors
    /// The store failed.
    pub fn set_last_error(&self, account: &AccountName, error: Option<&str>) -> Result<(), VaultError> {
        self.change(account, |record| record.last_error = error.map(Into::into))
    }

    /// Stores a secret in place of the former one. A password given by a person becomes the current one, the former
    /// one history, and ends a quarantine: the person knows what the device holds.
    ///
    /// # Errors
    /// The store or the random source failed.
    pub fn set_secret(
        &self,
        account: &AccountName,
        kind: &Kind,
        secret: &Secret,
        now: &Moment,
    ) -> Result<(), VaultError> {
        if *kind == Kind::Password {
            return self.apply(account, &Transition::Given, Some(secret), now);
        }
        if self.account(account)?.is_none() {
            self.save_account(&AccountRecord::new(account.as_str(), now))?;
        }
        self.save_other_secret(account, kind, secret, now)
    }

    /// The secret in force; for a password, the current one.
    ///
    /// # Errors
    /// The store failed, or the secret does not open.
    pub fn secret(&self, account: &AccountName, kind: &Kind) -> Result<Option<Secret>, VaultError> {
        if *kind == Kind::Password {
            self.password_of(account, |record| record.current)
        } else {
            self.other_secret(account, kind)
        }
    }

    /// The candidate of a rotation under way.
    ///
    /// # Errors
    /// The store failed, or the secret does not open.
    pub fn candidate(&self, account: &AccountName) -> Result<Option<Candidate>, VaultError> {
        Ok(self.password_of(account, |record| record.candidate)?.map(Candidate::new))
    }

    /// The newest password that was sent and reverted, since a login proved the one before: the device may come to it
    /// later. Each is told of until it was tried.
    ///
    /// # Errors
    /// The store failed, or the secret does not open.
    pub fn taken_back(&self, account: &AccountName) -> Result<Option<Candidate>, VaultError> {
        let versions = self.password_versions(account)?;
        Ok(self.password_of(account, |record| reverted_candidate(record, &versions))?.map(Candidate::new))
    }

    fn password_of(
        &self,
        account: &AccountName,
        which: impl FnOnce(&AccountRecord) -> Option<i64>,
    ) -> Result<Option<Secret>, VaultError> {
        let number = self.account(account)?.as_ref().and_then(which);
        number.map_or(Ok(None), |number| self.password(account, number))
    }

    /// The passwords of an account, newest first: for `secret show --history`.
    ///
    /// # Errors
    /// The store failed, or a secret does not open.
    pub fn history(&self, account: &AccountName) -> Result<Vec<HistoryEntry>, VaultError> {
        let current = self.account(account)?.and_then(|record| record.current);
        let mut entries = Vec::new();
        for version in self.password_versions(account)?.into_iter().rev() {
            let password = self.password(account, version.number)?;
            entries.push(HistoryEntry {
                password: password.ok_or_else(|| VaultError::Unsealing(account.to_string()))?,
                from: rfc3339(version.made),
                until: version.retired.map(rfc3339),
                current: Some(version.number) == current,
            });
        }
        Ok(entries)
    }
}

/// A vault of the past: of a backup, or of a copy that was put back.
impl dyn Ledger + '_ {
    /// Whether the devices of these accounts still have what their passwords were is to be found out. The codes of this minute
    /// may have been sent since then: they count as used, for every seed, since one that the vault does not hold now may have
    /// been in it.
    ///
    /// # Errors
    /// The store failed, or a seed does not open.
    pub(crate) fn is_of_the_past(
        &self,
        whom: &dyn Fn(&str) -> bool,
        why: &str,
        now: &Moment,
    ) -> Result<(), VaultError> {
        let mut periods = BTreeSet::from([USUAL_PERIOD]);
        for record in self.accounts()? {
            let Ok(account) = AccountName::parse(&record.name) else { continue };
            if whom(&record.name) {
                self.apply(&account, &Transition::Restored { why }, None, now)?;
            }
            let uri = self.other_secret(&account, &Kind::Totp)?;
            periods.extend(uri.and_then(|uri| Seed::parse(uri.expose()).ok()).map(|seed| seed.period()));
        }
        let reach = WINDOW.unsigned_abs() + 1;
        for period in periods {
            let step = now.unix_seconds() / period;
            (step.saturating_sub(reach)..=step + reach).try_for_each(|step| self.use_step_of_any_seed(step, now))?;
        }
        Ok(())
    }
}

/// What is put down of an account in a vault that was restored from a backup of then, in milliseconds since 1970.
pub(crate) fn restored_from(taken: i64) -> String {
    let day = rfc3339(taken);
    format!("restored from the backup of {day}; whether the device still has this password is found out by logging in")
}

/// What is counted.
impl dyn Ledger + '_ {
    /// When changes of an account passed their commit point. Stamps that lie in the future of a clock that was set
    /// back are restamped.
    ///
    /// # Errors
    /// The store failed.
    pub fn changes(&self, account: &AccountName, now: &Moment) -> Result<Vec<Moment>, VaultError> {
        let mut stamps = Vec::new();
        for (attempt, stamp) in self.change_stamps(account)? {
            let fresh = restamp(&stamp, now);
            if let Some(fresh) = &fresh {
                self.restamp_change(account, &attempt, fresh)?;
            }
            stamps.push(fresh.unwrap_or(stamp));
        }
        Ok(stamps)
    }

    /// When logins of an account were refused, or may have been. Stamps are restamped as those of changes.
    ///
    /// # Errors
    /// The store failed.
    pub fn failed_logins(&self, account: &AccountName, now: &Moment) -> Result<Vec<Moment>, VaultError> {
        let mut stamps = Vec::new();
        for login in self.logins(account)? {
            let fresh = restamp(&login.at, now);
            if let Some(at) = fresh {
                self.save_login(account, &LoginRecord { at, ..login })?;
            }
            stamps.push(fresh.unwrap_or(login.at));
        }
        Ok(stamps)
    }

    /// Counts a login as refused, and returns the number under which that is on record.
    ///
    /// # Errors
    /// The store failed.
    pub fn add_failed_login(&self, account: &AccountName, now: &Moment) -> Result<i64, VaultError> {
        self.add_login(account, now)
    }

    /// Takes a login off the record: it worked.
    ///
    /// # Errors
    /// The store failed.
    pub fn remove_failed_login(&self, account: &AccountName, id: i64) -> Result<(), VaultError> {
        self.remove_login(account, id)
    }

    /// Records that the device said no to a login on record, and whether a code was sent with it.
    ///
    /// # Errors
    /// The store failed.
    pub fn login_was_refused(&self, account: &AccountName, id: i64, with_code: bool) -> Result<(), VaultError> {
        let refused =
            |login: LoginRecord| (login.id == id).then_some(LoginRecord { refused: Some(with_code), ..login });
        self.save_logins(account, refused)
    }

    /// A login of an account was taken that sent its password, with a code or without: what the device said no to before is past.
    ///
    /// # Errors
    /// The store failed.
    pub fn login_was_taken(&self, account: &AccountName, with_code: bool) -> Result<(), VaultError> {
        let is_past = |login: &LoginRecord| login.refused.is_some_and(|sent_code| with_code || !sent_code);
        let past = |login: LoginRecord| (is_past(&login) && !login.past).then_some(LoginRecord { past: true, ..login });
        self.save_logins(account, past)
    }

    /// What a device said no to in the logins of an account was a wrong secret: they tell nothing of a clock.
    ///
    /// # Errors
    /// The store failed.
    pub fn refused_for_secret(&self, account: &AccountName) -> Result<(), VaultError> {
        let without_code =
            |login: LoginRecord| (login.refused == Some(true)).then_some(LoginRecord { refused: Some(false), ..login });
        self.save_logins(account, without_code)
    }

    fn save_logins(
        &self,
        account: &AccountName,
        change: impl Fn(LoginRecord) -> Option<LoginRecord>,
    ) -> Result<(), VaultError> {
        let changed = self.logins(account)?.into_iter().filter_map(change);
        changed.into_iter().try_for_each(|login| self.save_login(account, &login))
    }

    /// The logins of an account that a device said no to.
    ///
    /// # Errors
    /// The store failed.
    pub fn refusals(&self, account: &AccountName, now: &Moment) -> Result<Vec<Refusal>, VaultError> {
        let refusal = |login: LoginRecord| {
            let at = restamp(&login.at, now).unwrap_or(login.at);
            Some(Refusal { at, with_code: login.refused?, past: login.past })
        };
        Ok(self.logins(account)?.into_iter().filter_map(refusal).collect())
    }

    /// The step of a seed whose code may be used now, or when to ask again. Nothing is reserved by it.
    ///
    /// # Errors
    /// The store failed.
    pub fn free_code(&self, seed: &Seed, wanted: Wanted, now: &Moment) -> Result<Pick, VaultError> {
        let mut failed = None;
        let pick = pick_step(now.wall_ms, seed.period(), wanted, |step| {
            self.is_used(seed, step).unwrap_or_else(|error| {
                failed = Some(error);
                false
            })
        });
        failed.map_or(Ok(pick), Err)
    }

    /// Reserves a code of a seed: the (seed, step) pair is recorded as used in the same transaction, so that no pair
    /// is ever handed out twice, whoever shares the seed and whatever restarts.
    ///
    /// # Errors
    /// The store failed.
    pub fn reserve_code(&self, seed: &Seed, wanted: Wanted, now: &Moment) -> Result<Reservation, VaultError> {
        match self.free_code(seed, wanted, now)? {
            Pick::WaitUntil(at) => Ok(Reservation::WaitUntil(at)),
            Pick::Use(step) => {
                // It was looked for just now; that it is handed out once does not hang on that alone.
                if !self.use_step(seed, step, now)? {
                    return Err(VaultError::Refused("the code of this time step was used already".into()));
                }
                Ok(Reservation::Code { code: seed.code(step), step })
            }
        }
    }
}

//! A vault in memory: what SQLite keeps, without SQLite, so that a history takes microseconds. A property test holds the
//! two against each other.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::memory_vault::{Backup, MemoryAccount, MemoryVault, Noted, Used, any_seed};
use crate::audit::Draft;
use crate::model::{AccountName, DeviceName, Moment, Outcome, Secret};
use crate::rotation::{AccountRecord, PasswordOperations, PasswordVersion, Phase};
use crate::totp::{Seed, Skew};
use crate::vault::{
    AccountStore, AttemptRow, AuditStore, Finding, Firing, FleetStore, HostKeyRow, Kind, Ledger, LimitStore,
    LoginRecord, NotifierRow, NotifyStore, VaultError, Waits, restored_from,
};

/// One call's view: it writes into the books in place; whoever carries the call keeps or discards the result.
pub(super) struct MemoryTransaction<'a>(RefCell<&'a mut MemoryVault>);

impl<'a> MemoryTransaction<'a> {
    pub(super) fn new(books: &'a mut MemoryVault) -> Self {
        Self(RefCell::new(books))
    }

    fn write<T>(&self, account: &AccountName, work: impl FnOnce(&mut MemoryAccount) -> T) -> T {
        work(self.0.borrow_mut().book_of(account))
    }

    /// What is there of an account; nothing where it is not known.
    fn read<T: Default>(&self, account: &AccountName, work: impl FnOnce(&MemoryAccount) -> T) -> T {
        self.0.borrow().book(account).map(work).unwrap_or_default()
    }
}

impl MemoryVault {
    /// What a restore makes of a backup, in the place of all that is here but the log.
    pub(super) fn restore(&mut self, backup: Backup, now: &Moment) {
        let why = restored_from(backup.taken.wall_ms);
        self.roll_back_to(backup);
        let restored = (&MemoryTransaction::new(self) as &dyn Ledger).is_of_the_past(&|_| true, &why, now);
        // A store in memory does not fail.
        debug_assert!(restored.is_ok());
        self.note_codes_of(now);
    }
}

impl AccountStore for MemoryTransaction<'_> {
    fn account(&self, account: &AccountName) -> Result<Option<AccountRecord>, VaultError> {
        Ok(self.read(account, |book| book.saved().cloned()))
    }

    fn accounts(&self) -> Result<Vec<AccountRecord>, VaultError> {
        Ok(self.0.borrow().accounts.iter().filter_map(|book| book.saved().cloned()).collect())
    }

    fn waiting(&self, now: &Moment, soon: i64) -> Result<Waits, VaultError> {
        let mut waiting = Waits::default();
        for record in self.0.borrow().accounts.iter().filter_map(MemoryAccount::saved) {
            match record.wake.filter(|at| at.boot == now.boot).map(|at| at.since(now)) {
                Some(left) if left > 0 && left <= soon => {
                    waiting.next_in_ms = Some(waiting.next_in_ms.map_or(left, |next| next.min(left)));
                }
                _ if record.wake.is_some() || !matches!(record.phase, Phase::Idle | Phase::Quarantined) => {
                    waiting.due.push(record.clone());
                }
                _ => {}
            }
        }
        Ok(waiting)
    }

    fn save_account(&self, record: &AccountRecord) -> Result<(), VaultError> {
        self.0.borrow_mut().save(record)
    }

    fn password_versions(&self, account: &AccountName) -> Result<Vec<PasswordVersion>, VaultError> {
        Ok(self.read(account, |book| book.passwords.iter().map(|it| it.version).collect()))
    }

    fn password(&self, account: &AccountName, number: i64) -> Result<Option<Secret>, VaultError> {
        Ok(self.read(account, |book| book.password(Some(number)).cloned()))
    }

    fn save_passwords(
        &self,
        account: &AccountName,
        operations: &PasswordOperations,
        fresh: Option<&Secret>,
    ) -> Result<(), VaultError> {
        if *operations == PasswordOperations::default() {
            return Ok(());
        }
        if operations.added.is_some() && fresh.is_none() {
            return Err(VaultError::Unreadable("candidate"));
        }
        self.write(account, |book| book.save_passwords(operations, fresh));
        Ok(())
    }

    fn other_secret(&self, account: &AccountName, kind: &Kind) -> Result<Option<Secret>, VaultError> {
        Ok(self.read(account, |book| book.others.get(&kind.as_text()).cloned()))
    }

    fn save_other_secret(
        &self,
        account: &AccountName,
        kind: &Kind,
        secret: &Secret,
        _now: &Moment,
    ) -> Result<(), VaultError> {
        self.write(account, |book| Arc::make_mut(&mut book.others).insert(kind.as_text(), secret.clone()));
        Ok(())
    }

    fn accounts_with(&self, kind: &Kind) -> Result<Vec<String>, VaultError> {
        let kind = kind.as_text();
        let has = |book: &&MemoryAccount| {
            if kind == "password" { !book.passwords.is_empty() } else { book.others.contains_key(&kind) }
        };
        let mut names: Vec<String> =
            self.0.borrow().accounts.iter().filter(has).map(|book| book.name.to_string()).collect();
        names.sort();
        Ok(names)
    }

    fn secret_fields(&self, account: &AccountName) -> Result<Vec<(String, Secret)>, VaultError> {
        let field = |(kind, value): (&String, &Secret)| Some((kind.strip_prefix("field:")?.to_owned(), value.clone()));
        Ok(self.read(account, |book| book.others.iter().filter_map(field).collect()))
    }
}

impl LimitStore for MemoryTransaction<'_> {
    fn change_stamps(&self, account: &AccountName) -> Result<Vec<(String, Moment)>, VaultError> {
        Ok(self.read(account, |book| book.changes.to_vec()))
    }

    fn all_changes(&self) -> Result<HashMap<String, Vec<Moment>>, VaultError> {
        let books = self.0.borrow();
        let stamps = |book: &MemoryAccount| book.changes.iter().map(|(_, stamp)| *stamp).collect();
        Ok(books.accounts.iter().map(|book| (book.name.to_string(), stamps(book))).collect())
    }

    fn add_change(&self, account: &AccountName, attempt: &str, at: &Moment) -> Result<(), VaultError> {
        self.0.borrow_mut().sent.push(account.clone());
        self.write(account, |book| {
            if !book.changes.iter().any(|(known, _)| known == attempt) {
                Arc::make_mut(&mut book.changes).push((attempt.to_owned(), *at));
            }
        });
        Ok(())
    }

    fn restamp_change(&self, account: &AccountName, attempt: &str, at: &Moment) -> Result<(), VaultError> {
        self.write(account, |book| {
            let changes = Arc::make_mut(&mut book.changes).iter_mut();
            changes.filter(|(known, _)| known == attempt).for_each(|(_, stamp)| *stamp = *at);
        });
        Ok(())
    }

    fn logins(&self, account: &AccountName) -> Result<Vec<LoginRecord>, VaultError> {
        Ok(self.read(account, |book| book.logins.to_vec()))
    }

    fn add_login(&self, account: &AccountName, at: &Moment) -> Result<i64, VaultError> {
        Ok(self.write(account, |book| {
            book.last_login += 1;
            let login = LoginRecord { id: book.last_login, at: *at, refused: None, past: false };
            Arc::make_mut(&mut book.logins).push(login);
            book.last_login
        }))
    }

    fn save_login(&self, account: &AccountName, login: &LoginRecord) -> Result<(), VaultError> {
        self.write(account, |book| {
            if let Some(known) = Arc::make_mut(&mut book.logins).iter_mut().find(|known| known.id == login.id) {
                book.noted += usize::from(known.refused.is_none() && login.refused.is_some());
                *known = *login;
            }
        });
        Ok(())
    }

    fn remove_login(&self, account: &AccountName, id: i64) -> Result<(), VaultError> {
        self.write(account, |book| Arc::make_mut(&mut book.logins).retain(|login| login.id != id));
        Ok(())
    }

    fn is_used(&self, seed: &Seed, step: u64) -> Result<bool, VaultError> {
        Ok(self.0.borrow().is_used(&seed.hmac_key().into(), step))
    }

    fn use_step(&self, seed: &Seed, step: u64, _now: &Moment) -> Result<bool, VaultError> {
        let key: Arc<[u8]> = seed.hmac_key().into();
        let mut books = self.0.borrow_mut();
        let is_new = books.used.insert((key.clone(), step));
        books.used_order.push(Used { key, step, code: seed.code(step) });
        Ok(is_new)
    }

    fn use_step_of_any_seed(&self, step: u64, _now: &Moment) -> Result<(), VaultError> {
        self.0.borrow_mut().used.insert((any_seed(), step));
        Ok(())
    }

    fn clock_was_set(&self, now: &Moment) -> Result<(), VaultError> {
        let fresh = |stamp: &mut Moment| {
            if stamp.boot == now.boot {
                stamp.wall_ms = now.wall_ms - (now.since_boot_ms - stamp.since_boot_ms);
            }
        };
        let mut books = self.0.borrow_mut();
        for place in 0..books.accounts.len() {
            let book = books.book_mut(place);
            Arc::make_mut(&mut book.changes).iter_mut().for_each(|(_, stamp)| fresh(stamp));
            Arc::make_mut(&mut book.logins).iter_mut().for_each(|login| fresh(&mut login.at));
            book.record.wake.iter_mut().for_each(fresh);
        }
        Ok(())
    }

    fn forget_old(&self, now: &Moment) -> Result<(), VaultError> {
        const DAY: i64 = 86_400_000;
        let old = |stamp: &Moment| stamp.wall_ms < now.wall_ms.saturating_sub(8 * DAY) && stamp.boot != now.boot;
        let mut books = self.0.borrow_mut();
        for place in 0..books.accounts.len() {
            let book = &books.accounts[place];
            if book.changes.iter().any(|(_, stamp)| old(stamp)) || book.logins.iter().any(|login| old(&login.at)) {
                let book = books.book_mut(place);
                Arc::make_mut(&mut book.changes).retain(|(_, stamp)| !old(stamp));
                Arc::make_mut(&mut book.logins).retain(|login| !old(&login.at));
            }
        }
        Ok(())
    }
}

impl FleetStore for MemoryTransaction<'_> {
    fn set_job_paused(&self, job: &str, paused: bool) -> Result<(), VaultError> {
        self.0.borrow_mut().pause_job(job, paused);
        Ok(())
    }

    fn is_job_paused(&self, job: &str) -> Result<bool, VaultError> {
        Ok(self.0.borrow().paused_jobs.contains(job))
    }

    fn skew(&self, device: &DeviceName) -> Result<Skew, VaultError> {
        Ok(self.0.borrow().clocks.get(device.as_str()).copied().unwrap_or_default())
    }

    fn skews(&self) -> Result<Vec<(String, Skew)>, VaultError> {
        Ok(self.0.borrow().clocks.iter().map(|(device, skew)| (device.clone(), *skew)).collect())
    }

    fn set_skew(&self, device: &DeviceName, skew: Skew) -> Result<(), VaultError> {
        self.0.borrow_mut().set_clock(device.as_str(), skew);
        Ok(())
    }

    fn firing(&self, job: &str) -> Result<Option<Firing>, VaultError> {
        Ok(self.0.borrow().jobs.get(job).copied())
    }

    fn set_firing(&self, job: &str, firing: Firing) -> Result<(), VaultError> {
        self.0.borrow_mut().set_job(job, firing);
        Ok(())
    }

    fn save_attempt(&self, attempt: &AttemptRow) -> Result<(), VaultError> {
        let row = attempt.ended.is_none().then(|| AttemptRow { steps: Arc::default(), ..attempt.clone() });
        self.0.borrow_mut().set_open(&attempt.id, row);
        Ok(())
    }

    fn note_steps(&self, _attempt: &AttemptRow) -> Result<(), VaultError> {
        // Only people read them.
        Ok(())
    }

    fn attempts(&self, _account: &AccountName, _most: u32) -> Result<Vec<AttemptRow>, VaultError> {
        // Only people read them.
        Ok(Vec::new())
    }

    fn end_attempt(&self, attempt: &str, _outcome: Outcome, _now: &Moment) -> Result<(), VaultError> {
        self.0.borrow_mut().set_open(attempt, None);
        Ok(())
    }

    fn is_open(&self, attempt: &str) -> Result<bool, VaultError> {
        Ok(self.0.borrow().open.contains_key(attempt))
    }

    fn open_attempts(&self) -> Result<Vec<AttemptRow>, VaultError> {
        Ok(self.0.borrow().open.values().cloned().collect())
    }

    fn close_open_attempts(&self, _now: &Moment) -> Result<(), VaultError> {
        let mut books = self.0.borrow_mut();
        let open: Vec<String> = books.open.keys().cloned().collect();
        open.iter().for_each(|attempt| books.set_open(attempt, None));
        Ok(())
    }

    fn host_keys(&self, device: &str) -> Result<Vec<HostKeyRow>, VaultError> {
        Ok(self.0.borrow().host_keys.get(device).cloned().unwrap_or_default())
    }

    fn trust_host_key(&self, device: &str, key: &HostKeyRow, _now: &Moment) -> Result<(), VaultError> {
        let mut books = self.0.borrow_mut();
        let keys = books.host_keys.entry(device.to_owned()).or_default();
        keys.retain(|known| known.fingerprint != key.fingerprint);
        keys.push(key.clone());
        Ok(())
    }
}

impl AuditStore for MemoryTransaction<'_> {
    fn audit(&self, draft: &Draft, _now: &Moment) -> Result<(), VaultError> {
        let mut books = self.0.borrow_mut();
        books.log.push(Noted { event: draft.event, account: draft.account.clone(), attempt: draft.attempt.clone() });
        Ok(())
    }

    fn probe(&self, _now: &Moment) -> Result<(), VaultError> {
        Ok(())
    }

    fn audit_head(&self) -> Result<(u64, String), VaultError> {
        Ok((self.0.borrow().log.len() as u64, String::new()))
    }

    fn audit_finding(&self) -> Result<Option<Finding>, VaultError> {
        Ok(None)
    }

    fn accept_audit_finding(&self) -> Result<(), VaultError> {
        Ok(())
    }
}

impl NotifyStore for MemoryTransaction<'_> {
    fn notifier(&self, name: &str) -> Result<Option<NotifierRow>, VaultError> {
        Ok(self.0.borrow().notifiers.get(name).copied())
    }

    fn notifier_names(&self) -> Result<Vec<String>, VaultError> {
        Ok(self.0.borrow().notifiers.keys().cloned().collect())
    }

    fn save_notifier(&self, name: &str, row: &NotifierRow) -> Result<(), VaultError> {
        self.0.borrow_mut().notifiers.insert(name.to_owned(), *row);
        Ok(())
    }

    fn remove_notifier(&self, name: &str) -> Result<(), VaultError> {
        self.0.borrow_mut().notifiers.remove(name);
        Ok(())
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;

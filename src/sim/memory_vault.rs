//! What the vault in memory keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{AccountName, BootId, EventKind, Moment, Secret};
use crate::rotation::{AccountRecord, PasswordOperations, PasswordVersion, Phase, reverted_candidate};
use crate::totp::{Seed, Skew, WINDOW};
use crate::vault::{AttemptRow, Firing, HostKeyRow, LoginRecord, NotifierRow, VaultError};

/// A version of a password, and the password.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) version: PasswordVersion,
    pub(super) secret: Secret,
}

/// What is stored of one account.
#[derive(Debug, Clone)]
pub(super) struct MemoryAccount {
    pub(super) name: AccountName,
    pub(super) record: AccountRecord,
    /// Whether the record was saved; else there is only what is counted of the account.
    is_saved: bool,
    pub(super) passwords: Arc<Vec<Version>>,
    pub(super) others: Arc<BTreeMap<String, Secret>>,
    pub(super) changes: Arc<Vec<(String, Moment)>>,
    pub(super) logins: Arc<Vec<LoginRecord>>,
    pub(super) last_login: i64,
    /// How often it was put on record that the device said no.
    pub(super) noted: usize,
}

impl MemoryAccount {
    fn new(name: AccountName) -> Self {
        let long_ago = Moment { wall_ms: 0, boot: BootId::from(0), since_boot_ms: 0 };
        let record = AccountRecord::new(name.as_str(), &long_ago);
        Self {
            name,
            record,
            is_saved: false,
            passwords: Arc::default(),
            others: Arc::default(),
            changes: Arc::default(),
            logins: Arc::default(),
            last_login: 0,
            noted: 0,
        }
    }

    /// The record, where one was saved.
    pub(super) fn saved(&self) -> Option<&AccountRecord> {
        self.is_saved.then_some(&self.record)
    }

    pub(super) fn password(&self, number: Option<i64>) -> Option<&Secret> {
        self.passwords.iter().find(|it| Some(it.version.number) == number).map(|it| &it.secret)
    }

    pub(super) fn versions(&self) -> Vec<PasswordVersion> {
        self.passwords.iter().map(|it| it.version).collect()
    }

    /// The state, for the checker.
    pub(super) fn phase(&self) -> Phase {
        self.record.phase
    }

    /// Whether any password on record is this one.
    pub(super) fn knows(&self, password: &str) -> bool {
        self.passwords.iter().any(|it| it.secret.expose() == password)
    }

    /// The password in force, and the candidate.
    pub(super) fn two(&self) -> (Option<&Secret>, Option<&Secret>) {
        (self.password(self.record.current), self.password(self.record.candidate))
    }

    /// Whether this is a password with which a login may be tried: in force, sent, or reverted while none is between two.
    pub(super) fn may_try(&self, password: &str) -> bool {
        let (current, candidate) = self.two();
        let reverted = reverted_candidate(&self.record, &self.versions());
        let later = reverted.filter(|_| candidate.is_none()).and_then(|number| self.password(Some(number)));
        [current, candidate, later].into_iter().flatten().any(|secret| secret.expose() == password)
    }

    /// Versions are as the operations say; `fresh` is the password of the one that is added.
    pub(super) fn save_passwords(&mut self, operations: &PasswordOperations, fresh: Option<&Secret>) {
        let passwords = Arc::make_mut(&mut self.passwords);
        passwords.retain(|it| !operations.removed.contains(&it.version.number));
        for changed in &operations.changed {
            let meant = passwords.iter_mut().find(|it| it.version.number == changed.number);
            meant.into_iter().for_each(|it| it.version = *changed);
        }
        let added = operations.added.zip(fresh.cloned());
        passwords.extend(added.map(|(version, secret)| Version { version, secret }));
    }

    /// Why the last attempt failed.
    pub(super) fn last_error(&self) -> Option<&str> {
        self.record.last_error.as_deref()
    }
}

/// The audit event of a restore.
pub(super) const RESTORED: EventKind = EventKind::VaultRestored;

/// An audit event, as far as the checker needs it.
#[derive(Debug, Clone)]
pub(super) struct Noted {
    pub(super) event: EventKind,
    pub(super) account: Option<AccountName>,
    pub(super) attempt: Option<Arc<str>>,
}

impl Noted {
    pub(super) fn is(&self, event: EventKind, account: &AccountName) -> bool {
        self.event == event && self.account.as_ref() == Some(account)
    }
}

/// A step of a seed whose code was given out.
#[derive(Debug, Clone)]
pub(super) struct Used {
    pub(super) key: Arc<[u8]>,
    pub(super) step: u64,
    pub(super) code: Secret,
}

/// The key of what counts as used for every seed.
pub(super) fn any_seed() -> Arc<[u8]> {
    Arc::default()
}

/// All that is stored.
#[derive(Debug, Default)]
pub(super) struct MemoryVault {
    /// In the order of their names.
    pub(super) accounts: Vec<MemoryAccount>,
    pub(super) used: BTreeSet<(Arc<[u8]>, u64)>,
    /// In the order in which they were used.
    pub(super) used_order: Vec<Used>,
    pub(super) jobs: BTreeMap<String, Firing>,
    pub(super) clocks: BTreeMap<String, Skew>,
    pub(super) paused_jobs: BTreeSet<String>,
    /// Nothing of the simulator is told of events: it is not undone.
    pub(super) notifiers: BTreeMap<String, NotifierRow>,
    /// Attempts that have a start on record and no end.
    pub(super) open: BTreeMap<String, AttemptRow>,
    pub(super) log: Vec<Noted>,
    /// Accounts whose commit point the call at hand passed.
    pub(super) sent: Vec<AccountName>,
    pub(super) host_keys: BTreeMap<String, Vec<HostKeyRow>>,
    before: Before,
}

/// A backup: all that the database of then held. The audit log's files are none of it.
#[derive(Debug, Clone)]
pub(super) struct Backup {
    /// By the host's clock.
    pub(super) taken: Moment,
    accounts: Vec<MemoryAccount>,
    used: BTreeSet<(Arc<[u8]>, u64)>,
    used_order: Vec<Used>,
    jobs: BTreeMap<String, Firing>,
    clocks: BTreeMap<String, Skew>,
    paused_jobs: BTreeSet<String>,
    open: BTreeMap<String, AttemptRow>,
    host_keys: BTreeMap<String, Vec<HostKeyRow>>,
}

/// What the call at hand has overwritten, so that it can be undone.
#[derive(Debug, Default)]
struct Before {
    accounts: Vec<(AccountName, Option<MemoryAccount>)>,
    used: usize,
    jobs: Vec<(String, Option<Firing>)>,
    clocks: Vec<(String, Option<Skew>)>,
    paused_jobs: Vec<(String, bool)>,
    open: Vec<(String, Option<AttemptRow>)>,
    log: usize,
}

/// Brings a map back to what it was, the latest change first.
fn undo<T>(map: &mut BTreeMap<String, T>, before: &mut Vec<(String, Option<T>)>) {
    for (name, value) in before.drain(..).rev() {
        match value {
            Some(value) => map.insert(name, value),
            None => map.remove(&name),
        };
    }
}

impl MemoryVault {
    pub(super) fn place(&self, account: &AccountName) -> Result<usize, usize> {
        let copy = self.accounts.iter().position(|book| book.name.is_copy_of(account));
        copy.map_or_else(|| self.accounts.binary_search_by(|book| book.name.cmp(account)), Ok)
    }

    pub(super) fn book(&self, account: &AccountName) -> Option<&MemoryAccount> {
        self.place(account).ok().map(|place| &self.accounts[place])
    }

    /// The account at this place, to be written.
    pub(super) fn book_mut(&mut self, place: usize) -> &mut MemoryAccount {
        let book = &mut self.accounts[place];
        if !self.before.accounts.iter().any(|(name, _)| *name == book.name) {
            self.before.accounts.push((book.name.clone(), Some(book.clone())));
        }
        book
    }

    /// Writes to an account; one that is not there yet comes to be.
    pub(super) fn book_of(&mut self, account: &AccountName) -> &mut MemoryAccount {
        let place = self.place(account).unwrap_or_else(|place| {
            self.before.accounts.push((account.clone(), None));
            self.accounts.insert(place, MemoryAccount::new(account.clone()));
            place
        });
        self.book_mut(place)
    }

    /// Saves a record in place of the former one.
    pub(super) fn save(&mut self, record: &AccountRecord) -> Result<(), VaultError> {
        let name = AccountName::parse(&record.name).map_err(|_| VaultError::Unreadable("account name"))?;
        let book = self.book_of(&name);
        (book.record, book.is_saved) = (record.clone(), true);
        Ok(())
    }

    pub(super) fn is_used(&self, key: &Arc<[u8]>, step: u64) -> bool {
        self.used.contains(&(key.clone(), step)) || self.used.contains(&(any_seed(), step))
    }

    pub(super) fn set_job(&mut self, job: &str, firing: Firing) {
        let before = self.jobs.insert(job.to_owned(), firing);
        self.before.jobs.push((job.to_owned(), before));
    }

    pub(super) fn pause_job(&mut self, job: &str, paused: bool) {
        let was = self.paused_jobs.contains(job);
        self.before.paused_jobs.push((job.to_owned(), was));
        if paused {
            self.paused_jobs.insert(job.to_owned());
        } else {
            self.paused_jobs.remove(job);
        }
    }

    /// An attempt's start, or where it is `None` its end, is on record.
    pub(super) fn set_open(&mut self, attempt: &str, row: Option<AttemptRow>) {
        let before = match row {
            Some(row) => self.open.insert(attempt.to_owned(), row),
            None => self.open.remove(attempt),
        };
        self.before.open.push((attempt.to_owned(), before));
    }

    pub(super) fn set_clock(&mut self, device: &str, skew: Skew) {
        let before = self.clocks.insert(device.to_owned(), skew);
        self.before.clocks.push((device.to_owned(), before));
    }

    /// A backup as of now.
    pub(super) fn back_up(&self, now: &Moment) -> Backup {
        Backup {
            taken: *now,
            accounts: self.accounts.clone(),
            used: self.used.clone(),
            used_order: self.used_order.clone(),
            jobs: self.jobs.clone(),
            clocks: self.clocks.clone(),
            paused_jobs: self.paused_jobs.clone(),
            open: self.open.clone(),
            host_keys: self.host_keys.clone(),
        }
    }

    /// All is as it was at the backup, but for the log: the checker goes by it.
    pub(super) fn roll_back_to(&mut self, backup: Backup) {
        let Backup { accounts, used, used_order, jobs, clocks, paused_jobs, open, host_keys, .. } = backup;
        let log = std::mem::take(&mut self.log);
        *self = Self { accounts, used, used_order, jobs, clocks, paused_jobs, open, host_keys, log, ..Self::default() };
        self.log.push(Noted { event: RESTORED, account: None, attempt: None });
    }

    /// A restore counts the codes of this minute as used: the checker knows them by the seeds that are held.
    pub(super) fn note_codes_of(&mut self, now: &Moment) {
        let uris = self.accounts.iter().filter_map(|book| book.others.get("totp"));
        let seeds: Vec<Seed> = uris.filter_map(|uri| Seed::parse(uri.expose()).ok()).collect();
        for seed in seeds {
            let (key, step): (Arc<[u8]>, _) = (seed.hmac_key().into(), now.unix_seconds() / seed.period());
            let reach = WINDOW.unsigned_abs() + 1;
            for step in step.saturating_sub(reach)..=step + reach {
                if self.used.insert((key.clone(), step)) {
                    self.used_order.push(Used { key: key.clone(), step, code: seed.code(step) });
                }
            }
        }
    }

    /// A call begins.
    pub(super) fn begin(&mut self) {
        let Before { accounts, used, jobs, clocks, paused_jobs, open, log } = &mut self.before;
        accounts.clear();
        jobs.clear();
        clocks.clear();
        paused_jobs.clear();
        open.clear();
        (*used, *log) = (self.used_order.len(), self.log.len());
    }

    /// The accounts that the call wrote to, with the phase of each before, where there was one, and now.
    pub(super) fn touched(&self) -> Vec<(AccountName, Option<Phase>, Phase)> {
        let touched = self.before.accounts.iter().filter_map(|(name, before)| {
            Some((name.clone(), before.as_ref().map(MemoryAccount::phase), self.book(name)?.phase()))
        });
        let mut touched: Vec<_> = touched.collect();
        touched.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        touched
    }

    /// Whether the call at hand has put something on record of an account.
    pub(super) fn notes(&self, account: &AccountName) -> bool {
        self.log[self.before.log..].iter().any(|noted| noted.account.as_ref() == Some(account))
    }

    /// Undoes the call.
    pub(super) fn roll_back(&mut self) {
        for (name, before) in std::mem::take(&mut self.before.accounts) {
            let Ok(place) = self.place(&name) else { continue };
            match before {
                Some(book) => self.accounts[place] = book,
                None => drop(self.accounts.remove(place)),
            }
        }
        undo(&mut self.jobs, &mut self.before.jobs);
        undo(&mut self.clocks, &mut self.before.clocks);
        undo(&mut self.open, &mut self.before.open);
        for (job, was) in std::mem::take(&mut self.before.paused_jobs).into_iter().rev() {
            self.pause_job(&job, was);
        }
        self.log.truncate(self.before.log);
        for used in self.used_order.drain(self.before.used..) {
            self.used.remove(&(used.key, used.step));
        }
    }
}

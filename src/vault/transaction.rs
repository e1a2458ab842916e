//! The inside of one transaction: what a store has to offer.
//!
//! A store loads and saves records; it decides nothing. What follows from a record is decided in pure code
//! ([`crate::rotation`], [`crate::policy`], [`crate::totp`]), and [`super::operations`] puts the two together for every store.
//! SQLite is the store of the daemon; the simulator has one in memory that can fail and forget, and a property test holds the
//! two against each other.
//!
//! **From which moment a crash finds what was saved.** Nothing that is saved here is durable before the transaction's job is
//! answered with `Ok`; then all of it is. A job that fails, or that a crash cuts off before its commit, leaves nothing behind.
//! What is saved in a transaction is seen by what is loaded later in the same one. Transactions come one after another.

use std::collections::HashMap;

use super::error::VaultError;
use super::records::{AttemptRow, Finding, Firing, HostKeyRow, Kind, LoginRecord, NotifierRow, Waits};
use crate::audit::Draft;
use crate::model::{AccountName, DeviceName, Moment, Outcome, Secret};
use crate::rotation::{AccountRecord, PasswordOperations, PasswordVersion};
use crate::totp::{Seed, Skew};

/// Accounts and their secrets.
pub trait AccountStore {
    /// Loads the record of an account; `None` where nothing of it was ever saved.
    ///
    /// # Errors
    /// The store failed, or the record was written by something else.
    fn account(&self, account: &AccountName) -> Result<Option<AccountRecord>, VaultError>;

    /// Loads all records, in the order of their names.
    ///
    /// # Errors
    /// As [`AccountStore::account`].
    fn accounts(&self) -> Result<Vec<AccountRecord>, VaultError>;

    /// Loads the records of accounts with which rotord goes on by itself: those that wait for a time, and those in the middle
    /// of something. Of those whose time comes within `soon` milliseconds by this boot's clock, only the earliest time is told.
    ///
    /// # Errors
    /// As [`AccountStore::account`].
    fn waiting(&self, now: &Moment, soon: i64) -> Result<Waits, VaultError>;

    /// Saves the whole record of an account in place of the former one.
    ///
    /// # Errors
    /// The store failed.
    fn save_account(&self, record: &AccountRecord) -> Result<(), VaultError>;

    /// Loads the versions of an account's password, in the order of their numbers, without the passwords.
    ///
    /// # Errors
    /// The store failed.
    fn password_versions(&self, account: &AccountName) -> Result<Vec<PasswordVersion>, VaultError>;

    /// Loads one version of an account's password.
    ///
    /// # Errors
    /// The store failed, or the secret does not open.
    fn password(&self, account: &AccountName, number: i64) -> Result<Option<Secret>, VaultError>;

    /// Saves what becomes of the versions of an account's password; `fresh` is the one that is added. No version is ever
    /// overwritten with another password.
    ///
    /// # Errors
    /// The store or the random source failed, or there is no password for a version that is added.
    fn save_passwords(
        &self,
        account: &AccountName,
        operations: &PasswordOperations,
        fresh: Option<&Secret>,
    ) -> Result<(), VaultError>;

    /// Loads a secret that is no password.
    ///
    /// # Errors
    /// The store failed, or the secret does not open.
    fn other_secret(&self, account: &AccountName, kind: &Kind) -> Result<Option<Secret>, VaultError>;

    /// Saves a secret that is no password, in place of the former one.
    ///
    /// # Errors
    /// The store or the random source failed.
    fn save_other_secret(
        &self,
        account: &AccountName,
        kind: &Kind,
        secret: &Secret,
        now: &Moment,
    ) -> Result<(), VaultError>;

    /// The names of the accounts of which a secret of a kind is stored, in order.
    ///
    /// # Errors
    /// The store failed.
    fn accounts_with(&self, kind: &Kind) -> Result<Vec<String>, VaultError>;

    /// Loads the values of all secret fields of an account, by their names.
    ///
    /// # Errors
    /// The store failed, or a secret does not open.
    fn secret_fields(&self, account: &AccountName) -> Result<Vec<(String, Secret)>, VaultError>;
}

/// What is counted: changes, logins, codes.
pub trait LimitStore {
    /// Loads when changes of an account passed their commit point, each with its attempt.
    ///
    /// # Errors
    /// The store failed.
    fn change_stamps(&self, account: &AccountName) -> Result<Vec<(String, Moment)>, VaultError>;

    /// Loads the stamps of all accounts' changes.
    ///
    /// # Errors
    /// The store failed.
    fn all_changes(&self) -> Result<HashMap<String, Vec<Moment>>, VaultError>;

    /// Saves that a change passes its commit point. An attempt passes one once: the first stamp stays.
    ///
    /// # Errors
    /// The store failed.
    fn add_change(&self, account: &AccountName, attempt: &str, at: &Moment) -> Result<(), VaultError>;

    /// Saves another stamp for the change of an attempt.
    ///
    /// # Errors
    /// The store failed.
    fn restamp_change(&self, account: &AccountName, attempt: &str, at: &Moment) -> Result<(), VaultError>;

    /// Loads the logins of an account that count as refused.
    ///
    /// # Errors
    /// The store failed.
    fn logins(&self, account: &AccountName) -> Result<Vec<LoginRecord>, VaultError>;

    /// Saves a login that counts as refused until more is known of it, and returns its number, which no other login has.
    ///
    /// # Errors
    /// The store failed.
    fn add_login(&self, account: &AccountName, at: &Moment) -> Result<i64, VaultError>;

    /// Saves the record of a login in place of the former one; nothing is saved where there is none of its number.
    ///
    /// # Errors
    /// The store failed.
    fn save_login(&self, account: &AccountName, login: &LoginRecord) -> Result<(), VaultError>;

    /// Removes the record of a login.
    ///
    /// # Errors
    /// The store failed.
    fn remove_login(&self, account: &AccountName, id: i64) -> Result<(), VaultError>;

    /// Whether the code of a time step of a seed was used, or counts as used for every seed.
    ///
    /// # Errors
    /// The store failed.
    fn is_used(&self, seed: &Seed, step: u64) -> Result<bool, VaultError>;

    /// Saves that the code of a time step of a seed is used; whether it was not before. A pair is kept for four hundred days of
    /// elapsed time. Seeds are known by a keyed hash of the HMAC key: how they are written makes no difference.
    ///
    /// # Errors
    /// The store failed.
    fn use_step(&self, seed: &Seed, step: u64, now: &Moment) -> Result<bool, VaultError>;

    /// Saves that the code of a time step counts as used for every seed, also for those that the vault does not hold.
    ///
    /// # Errors
    /// The store failed.
    fn use_step_of_any_seed(&self, step: u64, now: &Moment) -> Result<(), VaultError>;

    /// The wall clock was set while this boot went on: what was stamped in it is stamped anew by the boot clock, so that it
    /// keeps its true age after a reboot.
    ///
    /// # Errors
    /// The store failed.
    fn clock_was_set(&self, now: &Moment) -> Result<(), VaultError>;

    /// Forgets what no rule can need any more: stamps older than eight days, attempts older than four hundred, by the wall
    /// clock, with room for one that is wrong by days; and codes that were used four hundred days ago, by elapsed time that
    /// nobody can set.
    ///
    /// # Errors
    /// The store failed.
    fn forget_old(&self, now: &Moment) -> Result<(), VaultError>;
}

/// Jobs, attempts, device clocks and host keys.
pub trait FleetStore {
    /// Holds or releases a job.
    ///
    /// # Errors
    /// The store failed.
    fn set_job_paused(&self, job: &str, paused: bool) -> Result<(), VaultError>;

    /// Whether a job is held.
    ///
    /// # Errors
    /// The store failed.
    fn is_job_paused(&self, job: &str) -> Result<bool, VaultError>;

    /// What is known of a device's clock; nothing known is a good clock.
    ///
    /// # Errors
    /// The store failed.
    fn skew(&self, device: &DeviceName) -> Result<Skew, VaultError>;

    /// Every device of whose clock something is known, by name.
    ///
    /// # Errors
    /// The store failed.
    fn skews(&self) -> Result<Vec<(String, Skew)>, VaultError>;

    /// Records what became known of a device's clock.
    ///
    /// # Errors
    /// The store failed.
    fn set_skew(&self, device: &DeviceName, skew: Skew) -> Result<(), VaultError>;

    /// When a job last fired, and how far its turns are.
    ///
    /// # Errors
    /// The store failed.
    fn firing(&self, job: &str) -> Result<Option<Firing>, VaultError>;

    /// Records that.
    ///
    /// # Errors
    /// The store failed.
    fn set_firing(&self, job: &str, firing: Firing) -> Result<(), VaultError>;

    /// Records the end of an attempt, its start included where it has none yet. Of each account the last
    /// [`super::KEPT_ATTEMPTS`] are kept: the audit log has them all.
    ///
    /// # Errors
    /// The store failed.
    fn save_attempt(&self, attempt: &AttemptRow) -> Result<(), VaultError>;

    /// Records what has happened so far in an attempt that is under way. One that has ended is left as it is.
    ///
    /// # Errors
    /// The store failed.
    fn note_steps(&self, attempt: &AttemptRow) -> Result<(), VaultError>;

    /// The attempts of an account, newest first.
    ///
    /// # Errors
    /// The store failed.
    fn attempts(&self, account: &AccountName, most: u32) -> Result<Vec<AttemptRow>, VaultError>;

    /// The end of an attempt is told; its record is completed by [`Self::save_attempt`].
    ///
    /// # Errors
    /// The store failed.
    fn end_attempt(&self, attempt: &str, outcome: Outcome, now: &Moment) -> Result<(), VaultError>;

    /// Whether an attempt has its start on record and no end.
    ///
    /// # Errors
    /// The store failed.
    fn is_open(&self, attempt: &str) -> Result<bool, VaultError>;

    /// The attempts of which that is so.
    ///
    /// # Errors
    /// The store failed.
    fn open_attempts(&self) -> Result<Vec<AttemptRow>, VaultError>;

    /// Ends the attempts that a crash left open, as records: their accounts are dealt with one by one.
    ///
    /// # Errors
    /// The store failed.
    fn close_open_attempts(&self, now: &Moment) -> Result<(), VaultError>;

    /// The host keys that were trusted for a device.
    ///
    /// # Errors
    /// The store failed, or one was altered: none is believed then.
    fn host_keys(&self, device: &str) -> Result<Vec<HostKeyRow>, VaultError>;

    /// Trusts a host key for a device. Keys of the device that were altered go.
    ///
    /// # Errors
    /// The store failed.
    fn trust_host_key(&self, device: &str, key: &HostKeyRow, now: &Moment) -> Result<(), VaultError>;
}

/// The audit log, as a transaction sees it.
pub trait AuditStore {
    /// Puts an audit event on its way: it is in the log's file before the call returns.
    ///
    /// # Errors
    /// The store failed.
    fn audit(&self, draft: &Draft, now: &Moment) -> Result<(), VaultError>;

    /// Writes something of no meaning: whether that can be made durable tells whether anything can.
    ///
    /// # Errors
    /// The store failed.
    fn probe(&self, now: &Moment) -> Result<(), VaultError>;

    /// Number and hash of the last audit event.
    ///
    /// # Errors
    /// The store failed.
    fn audit_head(&self) -> Result<(u64, String), VaultError>;

    /// What was found at a start that vault and log do not agree on, until a person has accepted it.
    ///
    /// # Errors
    /// The store failed.
    fn audit_finding(&self) -> Result<Option<Finding>, VaultError>;

    /// A person has accepted it.
    ///
    /// # Errors
    /// The store failed.
    fn accept_audit_finding(&self) -> Result<(), VaultError>;
}

/// How far each notifier is.
pub trait NotifyStore {
    /// Loads how far a notifier is; `None` where it was never saved.
    ///
    /// # Errors
    /// The store failed.
    fn notifier(&self, name: &str) -> Result<Option<NotifierRow>, VaultError>;

    /// The notifiers that were saved, by name.
    ///
    /// # Errors
    /// The store failed.
    fn notifier_names(&self) -> Result<Vec<String>, VaultError>;

    /// Saves how far a notifier is.
    ///
    /// # Errors
    /// The store failed.
    fn save_notifier(&self, name: &str, row: &NotifierRow) -> Result<(), VaultError>;

    /// Forgets a notifier.
    ///
    /// # Errors
    /// The store failed.
    fn remove_notifier(&self, name: &str) -> Result<(), VaultError>;
}

/// A transaction. The rules that stand above it are its methods too: see `operations.rs`.
pub trait Ledger: AccountStore + LimitStore + FleetStore + AuditStore + NotifyStore {}

impl<T: AccountStore + LimitStore + FleetStore + AuditStore + NotifyStore> Ledger for T {}

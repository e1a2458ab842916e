//! What a transaction of the vault may ask for: the seam between those who decide and the store.
//!
//! The daemon's closures see only [`Ledger`]. SQLite stands behind it in the daemon; in the simulator it is a vault in
//! memory that can fail and forget, and a property test holds the two against each other.

use std::collections::HashMap;

use super::error::VaultError;
use super::records::{
    AccountRow, AttemptRow, Finding, Firing, HistoryEntry, HostKeyRow, Kind, Refusal, Reservation, Transition, Waits,
};
use crate::audit::Draft;
use crate::model::{AccountName, Candidate, DeviceName, Moment, Outcome, Secret};
use crate::totp::{Pick, Seed, Skew, Wanted};

/// The audit log, as a call sees it.
pub trait Trail {
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

/// The inside of one call: everything in it is durable together, or none of it.
pub trait Ledger: Records + Secrets + Transitions + Trail {}

impl<T: Records + Secrets + Transitions + Trail> Ledger for T {}

/// Rows that are no secrets.
pub trait Records {
    /// One account; `None` where nothing of it was ever stored.
    ///
    /// # Errors
    /// The store failed, or the row was written by something else.
    fn account(&self, account: &AccountName) -> Result<Option<AccountRow>, VaultError>;

    /// All accounts.
    ///
    /// # Errors
    /// As [`Records::account`].
    fn accounts(&self) -> Result<Vec<AccountRow>, VaultError>;

    /// The accounts with which rotord goes on by itself: those that wait for a time, and those in the middle of something.
    /// Of those whose time comes within `soon` milliseconds by this boot's clock, only the earliest time is told.
    ///
    /// # Errors
    /// As [`Records::account`].
    fn waiting(&self, now: &Moment, soon: i64) -> Result<Waits, VaultError>;

    /// Holds or releases an account's scheduled work.
    ///
    /// # Errors
    /// The store failed.
    fn set_paused(&self, account: &AccountName, paused: bool, now: &Moment) -> Result<(), VaultError>;

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

    /// When rotord goes on by itself with an account, and how many tries there were.
    ///
    /// # Errors
    /// The store failed.
    fn set_wake(&self, account: &AccountName, wake: Option<&Moment>, tries: u32) -> Result<(), VaultError>;

    /// An operator has seen an account's warning: it is shown no more. Whether there was one.
    ///
    /// # Errors
    /// The store failed.
    fn acknowledge(&self, account: &AccountName) -> Result<bool, VaultError>;

    /// Records that the stored password was tried.
    ///
    /// # Errors
    /// The store failed.
    fn set_verified(&self, account: &AccountName, now: &Moment) -> Result<(), VaultError>;

    /// Records why a verify failed; `None`: one succeeded.
    ///
    /// # Errors
    /// The store failed.
    fn set_verify_error(&self, account: &AccountName, error: Option<&str>) -> Result<(), VaultError>;

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
    /// [`KEPT_ATTEMPTS`] are kept: the audit log has them all.
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

    /// The passwords of an account, newest first: for `secret show --history`.
    ///
    /// # Errors
    /// The store failed, or a row does not open.
    fn history(&self, account: &AccountName) -> Result<Vec<HistoryEntry>, VaultError>;

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

/// Sealed secrets.
pub trait Secrets {
    /// Stores a secret in place of the former one. A password given by a person becomes the current one, the former
    /// one history, and ends a quarantine: the person knows what the device holds.
    ///
    /// # Errors
    /// The store or the random source failed.
    fn set_secret(&self, account: &AccountName, kind: &Kind, secret: &Secret, now: &Moment) -> Result<(), VaultError>;

    /// The secret in force; for a password, the current one.
    ///
    /// # Errors
    /// The store failed, or the row does not open.
    fn secret(&self, account: &AccountName, kind: &Kind) -> Result<Option<Secret>, VaultError>;

    /// The values of all secret fields of an account.
    ///
    /// # Errors
    /// The store failed, or a row does not open.
    fn secret_fields(&self, account: &AccountName) -> Result<Vec<(String, Secret)>, VaultError>;
}

/// The steps of a rotation, and what is counted.
pub trait Transitions {
    /// Writes a transition.
    ///
    /// # Errors
    /// The store or the random source failed, or there is no candidate where one is needed.
    fn transition(&self, transition: &Transition<'_>) -> Result<(), VaultError>;

    /// Puts an account at rest in doubt: its stored password was refused, or may have been, in so many `looks` of its own, and a
    /// login is to find out about it. One that was taken back is a candidate again; where there was a look, it is tried first.
    /// Whether it was at rest.
    ///
    /// # Errors
    /// The store failed.
    fn doubt(
        &self,
        account: &AccountName,
        why: &str,
        attempt: &str,
        looks: u8,
        now: &Moment,
    ) -> Result<bool, VaultError>;

    /// The newest password that was sent and taken back, since a login proved the one before: the device may come to it
    /// later, as a directory with replicas does. Each is told of until it was tried.
    ///
    /// # Errors
    /// The store failed, or the row does not open.
    fn taken_back(&self, account: &AccountName) -> Result<Option<Candidate>, VaultError>;

    /// Records how the last attempt failed; `None` clears it.
    ///
    /// # Errors
    /// The store failed.
    fn set_last_error(&self, account: &AccountName, error: Option<&str>) -> Result<(), VaultError>;

    /// The candidate of a rotation under way.
    ///
    /// # Errors
    /// The store failed, or the row does not open.
    fn candidate(&self, account: &AccountName) -> Result<Option<Candidate>, VaultError>;

    /// When changes of an account passed their commit point. Stamps that lie in the future of a clock that was set
    /// back are restamped.
    ///
    /// # Errors
    /// The store failed.
    fn changes(&self, account: &AccountName, now: &Moment) -> Result<Vec<Moment>, VaultError>;

    /// The stamps of all accounts' changes, for a look at all of them at once.
    ///
    /// # Errors
    /// The store failed.
    fn all_changes(&self) -> Result<HashMap<String, Vec<Moment>>, VaultError>;

    /// Counts a login as refused, and returns the number under which that is on record.
    ///
    /// # Errors
    /// The store failed.
    fn add_failed_login(&self, account: &AccountName, now: &Moment) -> Result<i64, VaultError>;

    /// Takes a login off the record: it worked.
    ///
    /// # Errors
    /// The store failed.
    fn remove_failed_login(&self, account: &AccountName, id: i64) -> Result<(), VaultError>;

    /// Records that the device said no to a login on record, and whether a code was sent with it.
    ///
    /// # Errors
    /// The store failed.
    fn login_was_refused(&self, account: &AccountName, id: i64, with_code: bool) -> Result<(), VaultError>;

    /// A login of an account was taken that sent its password, with a code or without: what the device said no to before is past.
    ///
    /// # Errors
    /// The store failed.
    fn login_was_taken(&self, account: &AccountName, with_code: bool) -> Result<(), VaultError>;

    /// What a device said no to in the logins of an account was a wrong secret: they tell nothing of a clock.
    ///
    /// # Errors
    /// The store failed.
    fn refused_for_secret(&self, account: &AccountName) -> Result<(), VaultError>;

    /// The logins of an account that a device said no to.
    ///
    /// # Errors
    /// The store failed.
    fn refusals(&self, account: &AccountName, now: &Moment) -> Result<Vec<Refusal>, VaultError>;

    /// When logins of an account were refused, or may have been.
    ///
    /// # Errors
    /// The store failed.
    fn failed_logins(&self, account: &AccountName, now: &Moment) -> Result<Vec<Moment>, VaultError>;

    /// The step of a seed whose code may be used now, or when to ask again. Nothing is reserved by it.
    ///
    /// # Errors
    /// The store failed.
    fn free_code(&self, seed: &Seed, wanted: Wanted, now: &Moment) -> Result<Pick, VaultError>;

    /// Reserves a code of a seed: the (seed, step) pair is recorded as used in the same transaction, so that no pair
    /// is ever handed out twice, whoever shares the seed and whatever restarts.
    ///
    /// # Errors
    /// The store failed.
    fn reserve_code(&self, seed: &Seed, wanted: Wanted, now: &Moment) -> Result<Reservation, VaultError>;

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

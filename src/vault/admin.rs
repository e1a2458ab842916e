//! What needs the database alone: backup, key, checkpoint.

use std::pin::Pin;

use super::backup::Snapshot;
use super::error::VaultError;
use super::keys::VaultKey;
use crate::audit::Draft;
use crate::model::Moment;
use crate::rotation::AccountRecord;
use crate::totp::Skew;

/// An answer that comes later.
pub type AdminTask<'a, T> = Pin<Box<dyn Future<Output = Result<T, VaultError>> + Send + 'a>>;

/// What is known of all accounts and devices at one instant.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// The records of all accounts, in the order of their names.
    pub accounts: Vec<AccountRecord>,
    /// Devices of whose clock something is known.
    pub skews: Vec<(String, Skew)>,
    /// Logins that count as refused: the account, and when.
    pub logins: Vec<(String, Moment)>,
    /// Whether vault and audit log did not agree at a start, and nobody has accepted that.
    pub has_finding: bool,
}

/// Keeps the store itself, beside the transactions.
pub trait VaultAdmin: Send + Sync {
    /// Copies the database while work goes on. The copy is consistent: it is of one instant between two transactions, and
    /// holds every transaction that was answered before the call.
    ///
    /// # Errors
    /// The copy could not be made; nothing of it is left.
    fn snapshot(&self, now: Moment) -> AdminTask<'_, Snapshot>;

    /// Reads what is known of all accounts, beside the transactions: none waits for it.
    ///
    /// # Errors
    /// The store failed.
    fn survey(&self) -> AdminTask<'_, Survey>;

    /// Seals every secret under a fresh data key, and that one under `key`; tells how many secrets there were. `file` is where
    /// the key is kept: it is told to whoever opens the vault with the former one. When this returns `Ok`, a crash finds the
    /// vault under the new key, and the audit event `draft` on its way.
    ///
    /// # Errors
    /// A secret does not open, or the change cannot be made durable: then the former key stays in force.
    fn rekey(&self, key: VaultKey, file: String, draft: Draft, now: Moment) -> AdminTask<'_, usize>;

    /// Moves what was committed into the database's own file, so that the vault is in that one alone. A crash meanwhile loses
    /// nothing.
    ///
    /// # Errors
    /// The database could not; nothing is lost by it.
    fn checkpoint(&self) -> AdminTask<'_, ()>;
}

//! What needs the database alone: backup, key, checkpoint.

use std::pin::Pin;

use super::backup::Snapshot;
use super::error::VaultError;
use super::keys::VaultKey;
use crate::audit::Draft;
use crate::model::Moment;

/// An answer that comes later.
pub type AdminTask<'a, T> = Pin<Box<dyn Future<Output = Result<T, VaultError>> + Send + 'a>>;

/// Keeps the store itself, beside the transactions.
pub trait VaultAdmin: Send + Sync {
    /// Copies the database while work goes on. The copy is consistent: it is of one instant between two transactions, and
    /// holds every transaction that was answered before the call.
    ///
    /// # Errors
    /// The copy could not be made; nothing of it is left.
    fn snapshot(&self, now: Moment) -> AdminTask<'_, Snapshot>;

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

//! The open vault, as everybody holds it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use super::admin::VaultAdmin;
use super::backend::{ClosureJob, LaterJob, StoreTimings, VaultBackend};
use super::error::VaultError;
use super::transaction::Ledger;

/// The open vault. Clones share it; it closes with the last one.
#[derive(Clone)]
pub struct Vault {
    backend: Arc<dyn VaultBackend>,
    admin: Option<Arc<dyn VaultAdmin>>,
    audit_folder: PathBuf,
}

/// An attempt that is at work: others like it have something for the vault at about the same time.
#[derive(Debug)]
pub struct AtWork(Arc<AtomicUsize>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(..)")
    }
}

impl Vault {
    /// A vault over a store. `admin` is what keeps the store itself, where there is something to keep.
    #[must_use]
    pub fn over(backend: Arc<dyn VaultBackend>, admin: Option<Arc<dyn VaultAdmin>>, audit_folder: PathBuf) -> Self {
        Self { backend, admin, audit_folder }
    }

    /// Why the last calls were not made durable, if they were not; or that the vault does not answer.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.hangs().or_else(|| self.backend.trouble())
    }

    /// That the vault does not answer, if it has not for long: calls wait until it does.
    #[must_use]
    pub fn hangs(&self) -> Option<String> {
        let time = self.backend.hangs()?.as_secs();
        Some(format!(
            "the vault has not answered for {time} s, and what needs it waits: is the disk of its folder {} hanging?",
            self.audit_folder.parent().unwrap_or(&self.audit_folder).display()
        ))
    }

    /// The number of the last event that is in the log's file, synced; told anew as it grows. Whoever reads the log from a
    /// number that he has seen up to this one misses nothing.
    #[must_use]
    pub fn appended(&self) -> watch::Receiver<u64> {
        self.backend.appended()
    }

    /// An attempt is at work until what this returns is dropped.
    #[must_use]
    pub fn at_work(&self) -> AtWork {
        let count = self.backend.at_work();
        count.fetch_add(1, Ordering::Relaxed);
        AtWork(count)
    }

    /// How long the store takes, where that is measured.
    #[must_use]
    pub fn timings(&self) -> Option<Arc<StoreTimings>> {
        self.backend.timings()
    }

    /// What keeps the store itself: backup, key, checkpoint.
    ///
    /// # Errors
    /// The store has nothing of the kind.
    pub fn admin(&self) -> Result<&dyn VaultAdmin, VaultError> {
        self.admin.as_deref().ok_or(VaultError::Closed)
    }

    /// The folder of the audit log.
    #[must_use]
    pub fn audit_folder(&self) -> &Path {
        &self.audit_folder
    }

    /// Runs a closure inside a transaction. When this returns `Ok`, a crash finds what was written, and its audit
    /// events are in the log's file; with `Err`, nothing may be acted upon.
    ///
    /// # Errors
    /// The closure's own error, with what it wrote rolled back; or the commit or the audit log failed.
    pub async fn call<T, F>(&self, work: F) -> Result<T, VaultError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Ledger) -> Result<T, VaultError> + Send + 'static,
    {
        let (job, result) = ClosureJob::new(work);
        self.backend.submit(Box::new(job))?;
        result.await.unwrap_or(Err(VaultError::Closed))
    }

    /// Has a closure run inside the next transaction, for what costs nothing but time where a crash loses it: no act may follow
    /// from it. Whatever is asked of the vault afterwards finds it done. It is durable with the next call, and within
    /// [`LINGER`](super::backend::LINGER) without one; until then a crash finds nothing of it. `failed` is told where it failed, in
    /// whatever thread that shows.
    pub fn later<F>(&self, work: F, failed: impl FnOnce(VaultError) + Send + 'static)
    where
        F: FnOnce(&dyn Ledger) -> Result<(), VaultError> + Send + 'static,
    {
        // Where the store is gone the daemon is at its end, and each call that matters tells of it.
        drop(self.backend.submit(Box::new(LaterJob::new(work, failed))));
    }
}

//! Carries the work of callers to a store, whatever stands behind it.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::error::VaultError;
use super::transaction::Ledger;
use crate::metrics::{Counter, Histogram, SECONDS_SHORT};

/// The work of one transaction, without the type of its answer.
pub trait TransactionJob: Send {
    /// Does the work, once; tells whether that may be kept.
    fn work(&mut self, ledger: &dyn Ledger) -> bool;

    /// Tells the caller, once its fate is known.
    fn reply(self: Box<Self>, fate: Result<(), VaultError>);

    /// Whether it may wait for the next job that may not, so that the two are made durable at once.
    fn may_wait(&self) -> bool {
        false
    }
}

/// The most time for which a job waits for another one.
pub const LINGER: Duration = Duration::from_millis(200);

/// A job whose work is a closure.
pub(super) struct ClosureJob<T, F> {
    work: Option<F>,
    done: Result<T, VaultError>,
    answer: oneshot::Sender<Result<T, VaultError>>,
}

impl<T, F> ClosureJob<T, F> {
    /// A job, and where its answer comes.
    pub(super) fn new(work: F) -> (Self, oneshot::Receiver<Result<T, VaultError>>) {
        let (answer, result) = oneshot::channel();
        (Self { work: Some(work), done: Err(VaultError::Closed), answer }, result)
    }
}

impl<T: Send, F: FnOnce(&dyn Ledger) -> Result<T, VaultError> + Send> TransactionJob for ClosureJob<T, F> {
    fn work(&mut self, ledger: &dyn Ledger) -> bool {
        if let Some(work) = self.work.take() {
            self.done = work(ledger);
        }
        self.done.is_ok()
    }

    fn reply(self: Box<Self>, fate: Result<(), VaultError>) {
        // The caller may have gone away; his work stands all the same.
        drop(self.answer.send(fate.and(self.done)));
    }
}

/// A job for which nobody waits; told only if it fails.
pub(super) struct LaterJob<F> {
    work: Option<F>,
    done: Result<(), VaultError>,
    failed: Box<dyn FnOnce(VaultError) + Send>,
}

impl<F> LaterJob<F> {
    pub(super) fn new(work: F, failed: impl FnOnce(VaultError) + Send + 'static) -> Self {
        Self { work: Some(work), done: Err(VaultError::Closed), failed: Box::new(failed) }
    }
}

impl<F: FnOnce(&dyn Ledger) -> Result<(), VaultError> + Send> TransactionJob for LaterJob<F> {
    fn work(&mut self, ledger: &dyn Ledger) -> bool {
        if let Some(work) = self.work.take() {
            self.done = work(ledger);
        }
        self.done.is_ok()
    }

    fn reply(self: Box<Self>, fate: Result<(), VaultError>) {
        if let Err(error) = fate.and(self.done) {
            (self.failed)(error);
        }
    }

    fn may_wait(&self) -> bool {
        true
    }
}

/// How long a store takes, and how often it fails.
#[derive(Debug)]
pub struct StoreTimings {
    /// Transactions, until they and their audit events are durable.
    pub commit: Histogram,
    /// Transactions that could not be made durable.
    pub errors: Counter,
    /// Appends to the audit log.
    pub append: Histogram,
    /// Appends that failed.
    pub append_errors: Counter,
}

impl Default for StoreTimings {
    fn default() -> Self {
        let (commit, append) = (Histogram::new(SECONDS_SHORT), Histogram::new(SECONDS_SHORT));
        Self { commit, errors: Counter::default(), append, append_errors: Counter::default() }
    }
}

/// A store: it carries jobs out and makes them durable.
pub trait VaultBackend: Send + Sync {
    /// Takes a job over. Jobs are carried out one after another, in the order in which they came. Each is answered once a
    /// crash finds all of its work, and its audit events are in the log's file; or once it is sure that a crash finds none of
    /// it. Where the log alone failed, a crash finds the work, and the answer is the error all the same. A job that may wait is
    /// carried out before whatever comes after it, and within [`LINGER`] where nothing does.
    ///
    /// # Errors
    /// The store is gone.
    fn submit(&self, job: Box<dyn TransactionJob>) -> Result<(), VaultError>;

    /// Why the last jobs were not made durable, if they were not.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// For how long the store has been at the same jobs, where that is longer than it should ever be.
    fn hangs(&self) -> Option<Duration> {
        None
    }

    /// The number of the last event that is in the log's file, synced; told anew as it grows. The sender is gone where there is
    /// no such file.
    fn appended(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }

    /// How many attempts are at work: a store may have their jobs wait for each other for a moment.
    fn at_work(&self) -> Arc<AtomicUsize> {
        Arc::default()
    }

    /// How long it takes, where that is measured.
    fn timings(&self) -> Option<Arc<StoreTimings>> {
        None
    }
}

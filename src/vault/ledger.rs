//! What a call to the vault may ask for: the seam between those who decide and the store.
//!
//! The daemon's closures see only [`Ledger`]. SQLite stands behind it in the daemon; in the simulator it is a ledger in
//! memory that can fail and forget, and a property test holds the two against each other.

use tokio::sync::oneshot;

use super::error::VaultError;
use super::records::Records;
use super::secrets::Secrets;
use super::transitions::Transitions;
use crate::audit::Draft;
use crate::model::Moment;

/// What was found at a start that vault and log do not agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether the log does not hold what the vault wrote; else the vault is older than its log.
    pub rewritten: bool,
    /// In words.
    pub told: String,
}

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

/// A call, without the type of its answer.
pub trait Call: Send {
    /// Does the call's work, once; tells whether that may be kept.
    fn work(&mut self, ledger: &dyn Ledger) -> bool;

    /// Tells the caller, once the fate of his call is known.
    fn reply(self: Box<Self>, fate: Result<(), VaultError>);
}

/// A call whose work is a closure.
pub(super) struct Closure<T, F> {
    work: Option<F>,
    done: Result<T, VaultError>,
    answer: oneshot::Sender<Result<T, VaultError>>,
}

impl<T, F> Closure<T, F> {
    /// A call, and where its answer comes.
    pub(super) fn new(work: F) -> (Self, oneshot::Receiver<Result<T, VaultError>>) {
        let (answer, result) = oneshot::channel();
        (Self { work: Some(work), done: Err(VaultError::Closed), answer }, result)
    }
}

impl<T: Send, F: FnOnce(&dyn Ledger) -> Result<T, VaultError> + Send> Call for Closure<T, F> {
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

/// Carries calls to a store and makes them durable.
pub trait Carrier: Send + Sync {
    /// Takes a call over. It replies when the call's work is durable and its audit events are in the log, or when
    /// that failed.
    ///
    /// # Errors
    /// The store is gone.
    fn carry(&self, call: Box<dyn Call>) -> Result<(), VaultError>;
}

//! What a call to the vault may ask for: the seam between those who decide and the store.
//!
//! The daemon's closures see only [`Ledger`]. SQLite stands behind it in the daemon; in the simulator it is a ledger in
//! memory that can fail and forget, and a property test holds the two against each other.

use super::error::VaultError;
use super::records::Records;
use super::secrets::Secrets;
use super::transitions::Transitions;
use crate::audit::Draft;
use crate::model::Moment;

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
}

/// The inside of one call: everything in it is durable together, or none of it.
pub trait Ledger: Records + Secrets + Transitions + Trail {}

impl<T: Records + Secrets + Transitions + Trail> Ledger for T {}

/// Told to a caller once the fate of his call is known.
pub type Reply = Box<dyn FnOnce(Result<(), VaultError>) + Send>;

/// A call, without the type of its answer: it tells whether its work may be kept.
pub type Call = Box<dyn FnOnce(&dyn Ledger) -> (bool, Reply) + Send>;

/// Carries calls to a store and makes them durable.
pub trait Carrier: Send + Sync {
    /// Takes a call over. It replies when the call's work is durable and its audit events are in the log, or when
    /// that failed.
    ///
    /// # Errors
    /// The store is gone.
    fn carry(&self, call: Call) -> Result<(), VaultError>;
}

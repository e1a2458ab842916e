//! The durable store: every account's state and secrets, what was used and when, and the audit events on their way out.
//!
//! A call returns when a crash can no longer undo it, and when the audit events it made are in the log's file. Each
//! secret is sealed on its own, with its place as associated data; names and times stand in clear.
//!
//! What stands here knows of no database. `sqlite` is the store of the daemon; the simulator has one in memory.

mod admin;
mod backend;
mod backup;
mod error;
mod handle;
mod keys;
mod operations;
mod records;
mod screenshot;
mod seal;
mod sqlite;
mod transaction;

pub use admin::{AdminTask, Survey, VaultAdmin};
pub use backend::{LINGER, StoreTimings, TransactionJob, VaultBackend};
pub use backup::{BackupHead, Snapshot};
pub use error::{BackendError, VaultError};
pub use handle::{AtWork, Vault};
pub use keys::{KEY_BYTES, VaultKey};
#[cfg(any(test, feature = "sim"))]
pub(crate) use operations::restored_from;
pub use records::{
    AttemptRow, Finding, Firing, HistoryEntry, HostKeyRow, INTERRUPTED, KEPT_ATTEMPTS, Kind, LoginRecord, NotifierRow,
    Refusal, Reservation, Waits,
};
pub use screenshot::Screenshot;
pub use sqlite::{Backup, hand_over, open};
pub use transaction::{AccountStore, AuditStore, FleetStore, Ledger, LimitStore, NotifyStore};

//! The durable store: every account's state and secrets, what was used and when, and the audit events on their way out.
//!
//! SQLite in WAL mode with `synchronous=FULL`, behind one thread that groups what is waiting into one transaction. A
//! call returns when a crash can no longer undo it, and when the audit events it made are in the log's file. Each
//! secret is sealed on its own, with its place as associated data; names and times stand in clear.

mod backup;
mod error;
mod hosts;
mod judgement;
mod keys;
mod ledger;
mod records;
mod rekey;
mod schema;
mod seal;
mod secrets;
mod seeds;
#[cfg(test)]
mod seeds_tests;
mod store;
#[cfg(test)]
mod tests;
mod transitions;

pub(crate) use backup::restored_from;
pub use backup::{Backup, BackupHead, Snapshot, hand_over};
pub use error::VaultError;
pub use keys::{KEY_BYTES, VaultKey};
pub use ledger::{Call, Carrier, Finding, Ledger, Trail};
pub use records::{
    AccountRow, AttemptRow, Firing, HistoryEntry, HostKeyRow, INTERRUPTED, KEPT_ATTEMPTS, Records, Waits,
};
pub use secrets::{Kind, Secrets};
pub use store::Vault;
pub use transitions::{CUT_OFF, KEPT, Refusal, Reservation, Transition, Transitions};

//! A vault of the past: of a backup, or of a copy that was put back. What it has is not believed until a login has found it out.

use super::meta::set_meta;
use super::transaction::SqliteTransaction;
use crate::audit::Draft;
use crate::model::Moment;
use crate::vault::error::VaultError;
use crate::vault::transaction::{AuditStore, Ledger};

/// A vault of the past goes on behind a log's end: what it has of these accounts is not believed until a login has found it out.
pub(super) fn go_on_from(
    tx: &SqliteTransaction<'_>,
    (seq, hash): (u64, &str),
    whom: &dyn Fn(&str) -> bool,
    why: &str,
    event: Draft,
    now: &Moment,
) -> Result<(), VaultError> {
    tx.connection.execute("DELETE FROM outbox", [])?;
    set_meta(tx.connection, "audit_head", format!("{seq} {hash}").as_bytes())?;
    (tx as &dyn Ledger).is_of_the_past(whom, why, now)?;
    tx.audit(&event, now)
}

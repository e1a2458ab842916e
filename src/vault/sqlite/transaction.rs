//! The inside of one transaction of SQLite, and the audit events that it puts on their way.

use rusqlite::{Connection, Row, params};

use super::meta::{meta, set_meta};
use crate::audit::{Draft, GENESIS};
use crate::model::{BootId, Moment};
use crate::vault::error::VaultError;
use crate::vault::records::Finding;
use crate::vault::seal::Sealer;
use crate::vault::transaction::AuditStore;

/// Where the database has what was found at a start, until a person accepts it: its kind, and what is told.
pub(super) const FINDING: &str = "audit_finding";

/// The kind of a log that does not hold what the vault wrote.
pub(super) const REWRITTEN: &str = "rewritten";

/// The inside of one transaction of SQLite.
pub struct SqliteTransaction<'a> {
    pub(super) connection: &'a Connection,
    pub(super) sealer: &'a Sealer,
}

/// A moment in three columns from `first` on.
pub(super) fn stamp_at(row: &Row<'_>, first: usize) -> rusqlite::Result<Moment> {
    let boot = BootId::of(&row.get::<_, String>(first + 1)?);
    Ok(Moment { wall_ms: row.get(first)?, boot, since_boot_ms: row.get(first + 2)? })
}

/// A number for SQLite, which counts to 2^63.
pub(super) fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

impl AuditStore for SqliteTransaction<'_> {
    fn audit(&self, draft: &Draft, now: &Moment) -> Result<(), VaultError> {
        let (seq, prev) = self.audit_head()?;
        let event = draft.chain(seq + 1, now.wall_ms, &prev).map_err(|error| VaultError::Audit(error.to_string()))?;
        self.connection
            .prepare_cached("INSERT INTO outbox (seq, hash, line) VALUES (?1, ?2, ?3)")?
            .execute(params![number(event.seq), event.hash, event.line])?;
        set_meta(self.connection, "audit_head", format!("{} {}", event.seq, event.hash).as_bytes())
    }

    fn probe(&self, now: &Moment) -> Result<(), VaultError> {
        set_meta(self.connection, "probe", now.wall_ms.to_string().as_bytes())
    }

    fn audit_head(&self) -> Result<(u64, String), VaultError> {
        let Some(bytes) = meta(self.connection, "audit_head")? else {
            return Ok((0, GENESIS.to_owned()));
        };
        let text = String::from_utf8(bytes).map_err(|_| VaultError::Unreadable("audit head"))?;
        let (seq, hash) = text.split_once(' ').ok_or(VaultError::Unreadable("audit head"))?;
        Ok((seq.parse().map_err(|_| VaultError::Unreadable("audit head"))?, hash.to_owned()))
    }

    fn audit_finding(&self) -> Result<Option<Finding>, VaultError> {
        let Some(bytes) = meta(self.connection, FINDING)? else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|_| VaultError::Unreadable("audit finding"))?;
        let (kind, told) = text.split_once(' ').ok_or(VaultError::Unreadable("audit finding"))?;
        Ok(Some(Finding { rewritten: kind == REWRITTEN, told: told.to_owned() }))
    }

    fn accept_audit_finding(&self) -> Result<(), VaultError> {
        self.connection.execute("DELETE FROM meta WHERE name = ?1", [FINDING])?;
        Ok(())
    }
}

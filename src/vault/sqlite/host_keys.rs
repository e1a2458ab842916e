//! Host keys that a person trusted: in clear, but authenticated under the data key. Who can write the database, and has no
//! key, cannot have rotord believe another.

use rusqlite::{Connection, params};

use super::transaction::SqliteTransaction;
use crate::model::Moment;
use crate::vault::error::VaultError;
use crate::vault::records::HostKeyRow;
use crate::vault::seal::Sealer;

/// What a row is sealed with: no row can stand in for another, and no part of it be changed.
fn place(device: &str, row: &HostKeyRow) -> String {
    format!("rotord host key 1|{device}|{}|{}", row.fingerprint, row.key)
}

/// A row with its device and its seal.
type Row = (String, HostKeyRow, Option<Vec<u8>>);

/// All rows of a database.
fn all_rows(connection: &Connection) -> Result<Vec<Row>, VaultError> {
    let mut statement = connection.prepare("SELECT device, fingerprint, key, sealed FROM host_key")?;
    let rows = statement.query_map([], |row| {
        Ok((row.get(0)?, HostKeyRow { fingerprint: row.get(1)?, key: row.get(2)? }, row.get(3)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn put(connection: &Connection, device: &str, row: &HostKeyRow, sealer: &Sealer) -> Result<(), VaultError> {
    connection.execute(
        "UPDATE host_key SET sealed = ?4 WHERE device = ?1 AND fingerprint = ?2 AND key = ?3",
        params![device, row.fingerprint, row.key, sealer.seal(&place(device, row), &[])?],
    )?;
    Ok(())
}

/// Authenticates what an older rotord stored.
pub(super) fn adopt_host_keys(connection: &Connection, sealer: &Sealer) -> Result<(), VaultError> {
    all_rows(connection)?.iter().try_for_each(|(device, row, _)| put(connection, device, row, sealer))
}

/// Authenticates each row under a fresh data key; one that was altered stays so.
pub(super) fn seal_host_keys_anew(connection: &Connection, old: &Sealer, fresh: &Sealer) -> Result<(), VaultError> {
    for (device, row, sealed) in all_rows(connection)? {
        if is_own(old, &device, &row, sealed.as_deref()) {
            put(connection, &device, &row, fresh)?;
        }
    }
    Ok(())
}

fn is_own(sealer: &Sealer, device: &str, row: &HostKeyRow, sealed: Option<&[u8]>) -> bool {
    sealed.is_some_and(|sealed| sealer.open(&place(device, row), sealed).is_some())
}

impl SqliteTransaction<'_> {
    /// The rows of a device, and whether each is as it was stored.
    fn host_key_rows(&self, device: &str) -> Result<Vec<(HostKeyRow, bool)>, VaultError> {
        let mut statement =
            self.connection.prepare_cached("SELECT fingerprint, key, sealed FROM host_key WHERE device = ?1")?;
        let rows = statement.query_map([device], |row| {
            let key = HostKeyRow { fingerprint: row.get(0)?, key: row.get(1)? };
            let sealed: Option<Vec<u8>> = row.get(2)?;
            Ok((key, sealed))
        })?;
        rows.map(|row| {
            let (key, sealed) = row?;
            let own = is_own(self.sealer, device, &key, sealed.as_deref());
            Ok((key, own))
        })
        .collect()
    }

    /// The host keys that were trusted for a device.
    pub(super) fn trusted_host_keys(&self, device: &str) -> Result<Vec<HostKeyRow>, VaultError> {
        let rows = self.host_key_rows(device)?;
        if rows.iter().any(|(_, own)| !own) {
            return Err(VaultError::HostKey(device.to_owned()));
        }
        Ok(rows.into_iter().map(|(row, _)| row).collect())
    }

    /// Trusts a host key for a device. Rows of the device that were altered go.
    pub(super) fn store_host_key(&self, device: &str, key: &HostKeyRow, now: &Moment) -> Result<(), VaultError> {
        for (altered, _) in self.host_key_rows(device)?.into_iter().filter(|(_, own)| !own) {
            self.connection.execute(
                "DELETE FROM host_key WHERE device = ?1 AND fingerprint = ?2",
                params![device, altered.fingerprint],
            )?;
        }
        self.connection.execute(
            "INSERT OR REPLACE INTO host_key (device, fingerprint, key, trusted) VALUES (?1, ?2, ?3, ?4)",
            params![device, key.fingerprint, key.key, now.wall_ms],
        )?;
        put(self.connection, device, key, self.sealer)
    }
}

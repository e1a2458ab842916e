//! Single values of the database, by name.

use rusqlite::{Connection, OptionalExtension, params};

use crate::vault::error::VaultError;

pub(super) fn meta(connection: &Connection, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
    Ok(connection
        .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?)
}

pub(super) fn set_meta(connection: &Connection, name: &str, value: &[u8]) -> Result<(), VaultError> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?
        .execute(params![name, value])?;
    Ok(())
}

//! Opening the database of a state folder, and the key that seals what is in it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::codes::{make_seed_key, open_seed_key};
use super::host_keys::adopt_host_keys;
use super::meta::{meta, set_meta};
use super::schema;
use crate::vault::error::VaultError;
use crate::vault::keys::{VaultKey, random};
use crate::vault::seal::{Opened, Sealer, fresh_data_key, unwrap_data_key};

pub(super) fn lock(state_dir: &Path) -> Result<File, VaultError> {
    let path = state_dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|source| VaultError::Io { what: format!("cannot open {}", path.display()), source })?;
    file.try_lock().map_err(|_| VaultError::Locked(state_dir.to_owned()))?;
    Ok(file)
}

pub(super) fn open_database(path: &Path) -> Result<Connection, VaultError> {
    let damaged = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
            VaultError::Damaged(path.to_owned(), error.to_string())
        }
        _ => VaultError::from(error),
    };
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(damaged)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What is deleted is overwritten, and temporary data never reaches a disk.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -2048)?;
    // A plan is made without the values that it is run with: with them, each change of a value has the statement parsed anew.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // More than there are statements: none is parsed twice.
    connection.set_prepared_statement_cache_capacity(256);
    let check: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(damaged)?;
    if check != "ok" {
        return Err(VaultError::Damaged(path.to_owned(), check));
    }
    Ok(connection)
}

pub(super) fn open_sealer(connection: &mut Connection, key: &VaultKey, path: &Path) -> Result<Sealer, VaultError> {
    schema::migrate(connection)?;
    if meta(connection, "data_key")?.is_none() {
        // A vault that holds secrets and no key was altered: a fresh key would lose them all.
        let secrets: bool = connection.query_row("SELECT EXISTS (SELECT 1 FROM secret)", [], |row| row.get(0))?;
        if secrets {
            return Err(VaultError::Damaged(path.to_owned(), "its data key is gone".into()));
        }
        let mut id = [0u8; 16];
        random(&mut id)?;
        let id = data_encoding::HEXLOWER.encode(&id);
        let (mut sealer, wrapped) = fresh_data_key(key, &id)?;
        let transaction = connection.transaction()?;
        take_over(&transaction, &mut sealer)?;
        set_meta(&transaction, "vault_id", id.as_bytes())?;
        set_meta(&transaction, "data_key", &wrapped)?;
        transaction.commit()?;
    }
    let text = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let id = text(meta(connection, "vault_id")?).ok_or(VaultError::Unreadable("vault id"))?;
    let wrapped = meta(connection, "data_key")?.ok_or(VaultError::Unreadable("data key"))?;
    let hint = text(meta(connection, "key_file")?);
    let opened = unwrap_data_key(key, &id, &wrapped).ok_or_else(|| VaultError::WrongKey {
        vault: path.to_owned(),
        hint: hint.map_or_else(String::new, |file| {
            format!("; its key was changed to the one in {file}: name that in [vault]")
        }),
    });
    let Opened { mut sealer, is_former } = opened?;
    if is_former {
        let transaction = connection.transaction()?;
        take_over(&transaction, &mut sealer)?;
        set_meta(&transaction, "data_key", &sealer.wrap(key, &id)?)?;
        transaction.commit()?;
    } else if !open_seed_key(connection, &mut sealer)? {
        return Err(VaultError::Damaged(path.to_owned(), "its key for used codes is gone".into()));
    }
    Ok(sealer)
}

/// What an older rotord left without a key of its own gets one: used codes, and host keys.
pub(super) fn take_over(connection: &Connection, sealer: &mut Sealer) -> Result<(), VaultError> {
    make_seed_key(connection, sealer)?;
    adopt_host_keys(connection, sealer)
}

//! The vault in SQLite: one database file in WAL mode with `synchronous=FULL`, behind one thread that groups what is waiting
//! into one transaction.
//!
//! Nothing outside of this folder names a type of the database's library.

mod accounts;
mod admin;
mod backup;
mod codes;
mod database;
mod error;
mod fleet;
mod host_keys;
mod judgement;
mod limits;
mod meta;
mod notifiers;
mod past;
mod phase;
mod rekey;
mod schema;
#[cfg(test)]
mod seeds_tests;
mod survey;
#[cfg(test)]
mod tests;
mod transaction;
mod writer;

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use self::admin::SqliteAdmin;
use self::backup::sweep;
use self::database::{lock, open_database, open_sealer};
use self::judgement::judge_log;
use self::writer::Writer;
use super::error::VaultError;
use super::handle::Vault;
use super::keys::VaultKey;
use crate::audit::{LogFiles, log_files};

pub use backup::{Backup, hand_over};

/// Opens the vault of a state folder, making both where they are missing. Audit events that a crash kept from the
/// log's file are appended now.
///
/// # Errors
/// Another daemon holds the folder, the key is not this vault's, the file is gone while its audit log is there, damaged or
/// of a newer rotord, or the audit log cannot be written.
pub fn open(state_dir: &Path, key: &VaultKey) -> Result<Vault, VaultError> {
    let io = |what: &str, path: &Path| {
        let what = format!("{what} {}", path.display());
        move |source| VaultError::Io { what, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(io("cannot make", state_dir))?;
    let lock = lock(state_dir)?;
    let path = state_dir.join("vault.db");
    let audit_folder = state_dir.join("audit");
    DirBuilder::new().recursive(true).mode(0o700).create(&audit_folder).map_err(io("cannot make", &audit_folder))?;
    let log = LogFiles::open(&audit_folder).map_err(|error| VaultError::Audit(error.to_string()))?;
    // SQLite takes a file without a byte for a fresh database.
    // What was set aside of the log is of a vault, too.
    let was_there = log.last().is_some() || log_files(&audit_folder.join("archived")).is_ok_and(|set| !set.is_empty());
    if was_there && path.metadata().map_or(true, |found| found.len() == 0) {
        return Err(VaultError::Gone(path));
    }
    sweep(state_dir);
    // SQLite gives a new file the umask's mode, and its journals that of the file.
    OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(io("cannot open", &path))?;
    let mut connection = open_database(&path)?;
    let sealer = open_sealer(&mut connection, key, &path)?;
    judge_log(&mut connection, &sealer, &path, &log)?;
    let folder = state_dir.to_owned();
    let head = watch::channel(log.last().map_or(0, |(seq, _)| seq)).0;
    let writer = Writer {
        connection,
        sealer,
        log,
        folder: folder.clone(),
        trouble: Arc::default(),
        progress: Arc::default(),
        appended: None,
        head,
        timings: Arc::default(),
        at_work: Arc::default(),
        _lock: lock,
    }
    .start()?;
    let admin = SqliteAdmin { writer: writer.clone(), folder };
    Ok(Vault::over(Arc::new(writer), Some(Arc::new(admin)), audit_folder))
}

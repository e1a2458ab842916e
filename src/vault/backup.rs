//! What a backup says of itself, and the copy that it is sealed from.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::error::VaultError;
use crate::sealed::{SealFor, SealedError, Sealing};

/// The first line of what is sealed.
pub(super) const MAGIC: &[u8] = b"rotord backup 1\n";

/// What a backup says of itself.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct BackupHead {
    /// When it was taken, in milliseconds since 1970.
    pub taken: i64,
    /// Accounts in it.
    pub accounts: u64,
    /// The number of the last audit event.
    pub audit_seq: u64,
    /// The hash of the last audit event.
    pub audit_hash: String,
    /// SHA-256 of the database, in hexadecimal.
    pub(super) database: String,
    pub(super) vault_id: String,
}

/// A copy of the database as it stood between two transactions, in a folder that goes with it.
pub struct Snapshot {
    /// What the backup will say of itself.
    pub head: BackupHead,
    pub(super) data_key: Zeroizing<Vec<u8>>,
    pub(super) file: PathBuf,
    pub(super) _scratch: TempDir,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot({:?})", self.head)
    }
}

impl Snapshot {
    /// Seals the copy into a backup.
    ///
    /// # Errors
    /// The passphrase is too short, the copy cannot be read, or what takes the backup fails.
    pub fn seal(&self, whom: &SealFor, to: impl Write) -> Result<(), VaultError> {
        let mut sealing = Sealing::begin(whom, to)?;
        let head = serde_json::to_string(&self.head).map_err(|error| SealedError(error.to_string()))?;
        let mut write = || {
            sealing.write_all(MAGIC)?;
            sealing.write_all(head.as_bytes())?;
            sealing.write_all(b"\n")?;
            sealing.write_all(&self.data_key)?;
            io::copy(&mut File::open(&self.file)?, &mut sealing)
        };
        write().map_err(|source| VaultError::Io { what: "cannot write the backup".into(), source })?;
        sealing.finish().map_err(|source| VaultError::Io { what: "cannot write the backup".into(), source })?;
        Ok(())
    }
}

//! What can go wrong with the vault, and what to do.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::sealed::SealedError;

/// What a store says of its failure. Only the store itself knows of what type it is.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BackendError(Box<dyn std::error::Error + Send + Sync>);

impl BackendError {
    /// Wraps the error of a store.
    pub(super) fn new(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Box::new(cause))
    }

    /// The error itself, for the store that wrapped it.
    pub(super) fn cause<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

/// An error of the vault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The key file is missing, unsafe or malformed.
    #[error("vault key {place}: {why}")]
    Key {
        /// File or credential.
        place: String,
        /// What is wrong, and the remedy.
        why: String,
    },
    /// The key is a good one, but not this vault's.
    #[error(
        "the key does not open the vault {vault}: it is the key of another vault, or the vault was altered; put the right key file in place{hint}"
    )]
    WrongKey {
        /// The database.
        vault: PathBuf,
        /// Where the key is, if it was changed.
        hint: String,
    },
    /// Another daemon works on the state folder.
    #[error("another rotord works on {0}; stop it first")]
    Locked(PathBuf),
    /// The vault was written by a newer rotord.
    #[error("the vault has schema {found}, and this rotord knows up to {known}; install the newer rotord again")]
    Newer {
        /// In the file.
        found: i64,
        /// Known here.
        known: i64,
    },
    /// The database file is damaged.
    #[error(
        "the vault {0} is damaged ({1}); restore it from a backup, and do not delete it: it may hold passwords that nothing else holds"
    )]
    Damaged(PathBuf, String),
    /// There is no database, or one without a byte, and there is a log of what it held.
    #[error(
        "the vault {0} is gone or empty, and its audit log is there: restore it from a backup with 'rotord restore'; for a vault that begins anew, move the folder 'audit' beside it away, and keep it"
    )]
    Gone(PathBuf),
    /// There is no database, and escrow has passwords that one of the same accounts put there.
    #[error(
        "there is no vault {vault}, and the escrow folder {folder} has passwords that one put there (of {of}): none is made anew in silence. Is the disk of the state folder mounted? If the vault is lost, restore it from a backup with 'rotord restore'; for a vault that begins anew, move the escrow folder away, and keep it"
    )]
    KnownElsewhere {
        /// Where it should be.
        vault: PathBuf,
        /// The escrow folder.
        folder: PathBuf,
        /// Whose passwords.
        of: String,
    },
    /// A sealed secret does not open: it was altered or moved.
    #[error("a secret of {0} does not open: the row was altered or moved")]
    Unsealing(String),
    /// A host key on record is not what a person trusted.
    #[error(
        "a host key on record for {0} was altered in the vault: none on record is believed for it; find out who can write the vault, compare the device's key, and trust it anew with 'rotorctl trust {0}'"
    )]
    HostKey(String),
    /// Something could not be sealed or opened.
    #[error(transparent)]
    Sealing(#[from] SealedError),
    /// A restore would overwrite a vault.
    #[error("there is a vault already: {0}; a restore never overwrites one; move it away, and keep it")]
    Exists(PathBuf),
    /// A row holds what no rotord wrote.
    #[error("the vault holds an unknown {0}")]
    Unreadable(&'static str),
    /// A rule stands against it; nothing was written.
    #[error("{0}")]
    Refused(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The store failed.
    #[error("the vault cannot be used: {0}")]
    Backend(#[source] BackendError),
    /// The store failed, and the disk says why.
    #[error("the vault cannot be used: {cause}: {source}{}", remedy(source, folder))]
    Disk {
        /// What the store says.
        cause: BackendError,
        /// The state folder.
        folder: PathBuf,
        /// What a write beside the database says.
        source: std::io::Error,
    },
    /// A file operation failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The audit log cannot be written; nothing goes on without it.
    #[error("the audit log cannot be written: {0}")]
    Audit(String),
    /// A transaction was not committed.
    #[error("the vault could not commit: {0}")]
    Commit(String),
    /// The system gave no random bytes.
    #[error("the system's random source failed: {0}")]
    Random(String),
    /// The vault's thread is gone.
    #[error("the vault is closed")]
    Closed,
}

/// What to do about a disk that takes nothing.
fn remedy(error: &std::io::Error, folder: &Path) -> String {
    let folder = folder.display();
    match error.kind() {
        ErrorKind::ReadOnlyFilesystem => format!(
            "; the kernel makes a filesystem read-only after an error of its disk (see dmesg): have the one of {folder} checked, and mount it for writing again"
        ),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => format!("; make room on the filesystem of {folder}"),
        _ => String::new(),
    }
}

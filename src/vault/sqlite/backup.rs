//! Backups: a consistent copy of the database with its data key, sealed, taken while the daemon runs; and the way back.
//!
//! A restored vault is of the past. Its accounts are put in doubt, so that a login finds out, within the lockout budget,
//! whether their devices still have the passwords of then; those that do not wait for a person. Nothing is guessed.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::codes::open_seed_key;
use super::database::{lock, open_database, take_over};
use super::meta::{meta, set_meta};
use super::past::go_on_from;
use super::schema;
use super::transaction::SqliteTransaction;
use crate::audit::{Draft, GENESIS, last_event, log_files, verify_files};
use crate::model::{EventKind, Moment, rfc3339};
use crate::sealed::{OpenWith, Opening, SealedError, copy_hashed};
use crate::vault::backup::{BackupHead, MAGIC};
use crate::vault::error::VaultError;
use crate::vault::keys::{KEY_BYTES, VaultKey};
use crate::vault::operations::restored_from;
use crate::vault::seal::rewrap;
use crate::vault::transaction::AuditStore;

/// How the names of folders begin in which the database is copied for a backup.
const SCRATCH: &str = ".copy-for-backup-";

/// Copies the database, over a connection of its own: a folder that goes with the copy, the copy, what it holds, and its
/// data key as it is wrapped.
#[allow(clippy::type_complexity)]
pub(super) fn copy(folder: &Path, taken: i64) -> Result<(TempDir, PathBuf, BackupHead, Option<Vec<u8>>), VaultError> {
    let io = |source| VaultError::Io { what: format!("cannot copy the vault in {}", folder.display()), source };
    let scratch = tempfile::Builder::new().prefix(SCRATCH).tempdir_in(folder).map_err(io)?;
    let path = scratch.path().join("copy.db");
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path).map_err(io)?;
    open_database(&folder.join("vault.db"))?.execute("VACUUM INTO ?1", [path.to_string_lossy()])?;
    let hash = copy_hashed(&mut file, &mut io::sink()).map_err(io)?;
    let connection = Connection::open(&path)?;
    let head = head_of(&connection, taken, hash)?;
    let wrapped = meta(&connection, "data_key")?;
    Ok((scratch, path, head, wrapped))
}

fn head_of(connection: &Connection, taken: i64, database: String) -> Result<BackupHead, VaultError> {
    let text = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let head = text(meta(connection, "audit_head")?).unwrap_or_else(|| format!("0 {GENESIS}"));
    let (seq, hash) = head.split_once(' ').ok_or(VaultError::Unreadable("audit head"))?;
    let accounts: i64 = connection.query_row("SELECT count(*) FROM account", [], |row| row.get(0))?;
    Ok(BackupHead {
        taken,
        accounts: accounts.unsigned_abs(),
        audit_seq: seq.parse().map_err(|_| VaultError::Unreadable("audit head"))?,
        audit_hash: hash.to_owned(),
        database,
        vault_id: text(meta(connection, "vault_id")?).ok_or(VaultError::Unreadable("vault id"))?,
    })
}

/// A backup, opened as far as its head. Its database follows, and is read only once.
pub struct Backup<R: BufRead> {
    /// What it says of itself.
    pub head: BackupHead,
    data_key: Zeroizing<Vec<u8>>,
    database: BufReader<Opening<R>>,
}

impl<R: BufRead> std::fmt::Debug for Backup<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Backup({:?})", self.head)
    }
}

/// The head of a backup is some hundred bytes.
const LONGEST_HEAD: u64 = 64 * 1024;

impl<R: BufRead> Backup<R> {
    /// Opens a backup.
    ///
    /// # Errors
    /// It was sealed for somebody else, was altered, or is no backup.
    pub fn open(sealed: R, with: &OpenWith) -> Result<Self, VaultError> {
        let no_backup = || SealedError("this is no backup of a rotord vault".into());
        let mut database = BufReader::new(Opening::begin(sealed, with)?);
        let mut magic = [0; MAGIC.len()];
        database.read_exact(&mut magic).map_err(SealedError::from)?;
        let mut head = Vec::new();
        (&mut database).take(LONGEST_HEAD).read_until(b'\n', &mut head).map_err(SealedError::from)?;
        if magic != MAGIC {
            return Err(no_backup().into());
        }
        let head: BackupHead = serde_json::from_slice(&head).map_err(|_| no_backup())?;
        let mut data_key = Zeroizing::new(vec![0; KEY_BYTES]);
        database.read_exact(&mut data_key).map_err(SealedError::from)?;
        Ok(Self { head, data_key, database })
    }

    /// Reads the backup to its end, and checks that it is whole.
    ///
    /// # Errors
    /// It is not.
    pub fn check(mut self) -> Result<BackupHead, VaultError> {
        self.copy_database(&mut io::sink()).map_err(|error| VaultError::from(SealedError::from(error)))?;
        Ok(self.head)
    }

    /// Writes the database, which may be trusted once this returned.
    fn copy_database(&mut self, to: &mut impl Write) -> io::Result<()> {
        if copy_hashed(&mut self.database, to)? != self.head.database {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the backup is not whole"));
        }
        Ok(())
    }

    /// Makes a vault of the backup in a state folder that has none, under a vault key of its own. Where root does it, the vault
    /// belongs to whom the state folder does, and a folder that is made for it to `owner`, a user and a group.
    ///
    /// # Errors
    /// There is a vault already, the database is damaged, or a file could not be written; then nothing is left behind.
    pub fn restore(
        &mut self,
        state_dir: &Path,
        key: &VaultKey,
        owner: Option<(u32, u32)>,
        now: &Moment,
    ) -> Result<(), VaultError> {
        let owner = state_dir.metadata().map(|folder| (folder.uid(), folder.gid())).ok().or(owner);
        let io = |what: &str, path: &Path| {
            let what = format!("{what} {}", path.display());
            move |source| VaultError::Io { what, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(io("cannot make", state_dir))?;
        let _lock = lock(state_dir)?;
        let target = state_dir.join("vault.db");
        let stale = ["vault.db", "vault.db-wal", "vault.db-shm"];
        if let Some(there) = stale.iter().map(|name| state_dir.join(name)).find(|path| path.exists()) {
            return Err(VaultError::Exists(there));
        }
        let scratch = tempfile::Builder::new()
            .prefix("restore-")
            .tempdir_in(state_dir)
            .map_err(io("cannot write in", state_dir))?;
        let path = scratch.path().join("vault.db");
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(io("cannot make", &path))?;
        self.copy_database(&mut file).and_then(|()| file.sync_all()).map_err(io("cannot write", &path))?;
        drop(file);
        self.prepare(&path, state_dir, key, now)?;
        for ours in [path.as_path(), &state_dir.join("lock"), state_dir] {
            owner
                .map_or(Ok(()), |owner| hand_over(ours, owner))
                .map_err(io("cannot give to the daemon's user", ours))?;
        }
        std::fs::rename(&path, &target).map_err(io("cannot put in place", &target))?;
        File::open(state_dir).and_then(|folder| folder.sync_all()).map_err(io("cannot sync", state_dir))
    }

    /// Puts the copy in order before it becomes the vault: its key, its accounts, its codes, its log.
    fn prepare(&self, path: &Path, state_dir: &Path, key: &VaultKey, now: &Moment) -> Result<(), VaultError> {
        let mut connection = open_database(path)?;
        schema::migrate(&mut connection)?;
        let data_key: &[u8; KEY_BYTES] =
            self.data_key.as_slice().try_into().map_err(|_| VaultError::Unreadable("data key"))?;
        let (mut sealer, wrapped) = rewrap(data_key, key, &self.head.vault_id)?;
        let audit_head = log_head(&state_dir.join("audit"))?;
        let transaction = connection.transaction()?;
        set_meta(&transaction, "data_key", &wrapped)?;
        // The backup is of an older rotord.
        if !open_seed_key(&transaction, &mut sealer)? {
            take_over(&transaction, &mut sealer)?;
        }
        let detail = format!(
            "restored from the backup of {}, whose log ended with event {} ({})",
            rfc3339(self.head.taken),
            self.head.audit_seq,
            self.head.audit_hash
        );
        let tx = SqliteTransaction { connection: &transaction, sealer: &sealer };
        let why = restored_from(self.head.taken);
        let event = Draft::new(EventKind::VaultRestored).detail(detail);
        go_on_from(&tx, (audit_head.0, &audit_head.1), &|_| true, &why, event, now)?;
        // Whoever restores knows of it.
        tx.accept_audit_finding()?;
        transaction.commit()?;
        // One file, without a journal beside it.
        connection.pragma_update(None, "journal_mode", "DELETE")?;
        connection.close().map_err(|(_, error)| VaultError::from(error))?;
        File::open(path)
            .and_then(|file| file.sync_all())
            .map_err(|source| VaultError::Io { what: format!("cannot sync {}", path.display()), source })
    }
}

/// Where a log that is there already ends; a fresh one begins at the beginning.
fn log_head(folder: &Path) -> Result<(u64, String), VaultError> {
    let fresh = (0, GENESIS.to_owned());
    if !folder.is_dir() || log_files(folder).map_err(|error| VaultError::Audit(error.to_string()))?.is_empty() {
        return Ok(fresh);
    }
    let report = verify_files(folder, None).map_err(|error| VaultError::Audit(error.to_string()))?;
    if !report.ok {
        let why = report.why.unwrap_or_default();
        let text = format!("the log in {} is not whole ({why}); move it away first", folder.display());
        return Err(VaultError::Audit(text));
    }
    for file in log_files(folder).map_err(|error| VaultError::Audit(error.to_string()))?.iter().rev() {
        if let Some(last) = last_event(file).map_err(|error| VaultError::Audit(error.to_string()))? {
            return Ok(last);
        }
    }
    Ok(fresh)
}

/// Gives what root made to the daemon's user and group; nothing happens where somebody else than root runs. What stands
/// there may have been put there by that user meanwhile: only a plain file or folder of root's, reached by no link, is
/// given away.
///
/// # Errors
/// It is not what root made, or the system refuses.
pub fn hand_over(path: &Path, (user, group): (u32, u32)) -> io::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(path)?;
    let metadata = file.metadata()?;
    if metadata.uid() == user {
        return Ok(());
    }
    if metadata.uid() != 0 || (!metadata.is_dir() && metadata.nlink() != 1) {
        return Err(io::Error::other("it belongs to somebody else"));
    }
    fchown(&file, Some(user), Some(group))
}

/// Removes the copies of backups that a crash broke off.
pub(super) fn sweep(state_dir: &Path) {
    let entries = std::fs::read_dir(state_dir).into_iter().flatten().filter_map(Result::ok);
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(SCRATCH)) {
        if let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "the rest of a backup that was broken off stays");
        }
    }
}

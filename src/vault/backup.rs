//! Backups: a consistent copy of the database with its data key, sealed, taken while the daemon runs; and the way back.
//!
//! A restored vault is of the past. Its accounts are put in doubt, so that a login finds out, within the lockout budget,
//! whether their devices still have the passwords of then; those that do not wait for a person. Nothing is guessed.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::error::VaultError;
use super::keys::VaultKey;
use super::store::{Alone, Vault, lock, meta, open_database, set_meta};
use crate::audit::{Draft, GENESIS, log_files, verify_files};
use crate::model::{AccountName, Moment, rfc3339};
use crate::sealed::{OpenWith, SealFor, SealedError, open, seal};
use crate::totp::{Seed, WINDOW};

/// The first line of what is sealed.
const MAGIC: &[u8] = b"rotord backup 1\n";

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
    database: String,
    vault_id: String,
}

/// A backup, opened.
pub struct Backup {
    /// What it says of itself.
    pub head: BackupHead,
    data_key: Zeroizing<Vec<u8>>,
    database: Vec<u8>,
}

impl std::fmt::Debug for Backup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Backup({:?})", self.head)
    }
}

impl Vault {
    /// Takes a backup, sealed.
    ///
    /// # Errors
    /// The copy could not be made or sealed.
    pub async fn backup(&self, whom: SealFor, now: &Moment) -> Result<(Vec<u8>, BackupHead), VaultError> {
        let taken = now.wall_ms;
        let folder = self.audit_folder().parent().unwrap_or(Path::new(".")).to_owned();
        let (answer, result) = oneshot::channel();
        let work: Alone = Box::new(move |connection, sealer| {
            let made = copy(connection, &folder).and_then(|database| {
                let head = head_of(connection, taken, &database)?;
                Ok((database, head, sealer.data_key()))
            });
            drop(answer.send(made));
        });
        self.alone(work)?;
        let (database, head, data_key) = result.await.unwrap_or(Err(VaultError::Closed))?;
        let told = head.clone();
        let sealed = tokio::task::spawn_blocking(move || {
            let head = serde_json::to_string(&head).map_err(|error| SealedError(error.to_string()))?;
            let mut plain = Zeroizing::new(Vec::with_capacity(database.len() + 1024));
            plain.extend_from_slice(MAGIC);
            plain.extend_from_slice(head.as_bytes());
            plain.push(b'\n');
            plain.extend_from_slice(&data_key);
            plain.extend_from_slice(&database);
            seal(&plain, &whom)
        });
        let sealed = sealed.await.map_err(|error| SealedError(error.to_string()))??;
        Ok((sealed, told))
    }
}

/// A copy of the database as it stands between two transactions.
fn copy(connection: &Connection, folder: &Path) -> Result<Vec<u8>, VaultError> {
    let io = |source| VaultError::Io { what: format!("cannot copy the vault in {}", folder.display()), source };
    let scratch = tempfile::Builder::new().prefix("backup-").tempdir_in(folder).map_err(io)?;
    let path = scratch.path().join("copy.db");
    connection.execute("VACUUM INTO ?1", [path.to_string_lossy()])?;
    std::fs::read(&path).map_err(io)
}

fn head_of(connection: &Connection, taken: i64, database: &[u8]) -> Result<BackupHead, VaultError> {
    let text = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let head = text(meta(connection, "audit_head")?).unwrap_or_else(|| format!("0 {GENESIS}"));
    let (seq, hash) = head.split_once(' ').ok_or(VaultError::Unreadable("audit head"))?;
    let accounts: i64 = connection.query_row("SELECT count(*) FROM account", [], |row| row.get(0))?;
    Ok(BackupHead {
        taken,
        accounts: accounts.unsigned_abs(),
        audit_seq: seq.parse().map_err(|_| VaultError::Unreadable("audit head"))?,
        audit_hash: hash.to_owned(),
        database: data_encoding::HEXLOWER.encode(&Sha256::digest(database)),
        vault_id: text(meta(connection, "vault_id")?).ok_or(VaultError::Unreadable("vault id"))?,
    })
}

impl Backup {
    /// Opens a backup and checks that it is whole.
    ///
    /// # Errors
    /// It was sealed for somebody else, was altered, or is no backup.
    pub fn open(sealed: &[u8], with: &OpenWith) -> Result<Self, VaultError> {
        let no_backup = || VaultError::from(SealedError("this is no backup of a rotord vault".into()));
        let plain = open(sealed, with)?;
        let rest = plain.strip_prefix(MAGIC).ok_or_else(no_backup)?;
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(no_backup)?;
        let head: BackupHead = serde_json::from_slice(&rest[..end]).map_err(|_| no_backup())?;
        let (data_key, database) = rest[end + 1..].split_at_checked(super::keys::KEY_BYTES).ok_or_else(no_backup)?;
        if data_encoding::HEXLOWER.encode(&Sha256::digest(database)) != head.database {
            return Err(SealedError("the backup is not whole".into()).into());
        }
        Ok(Self { head, data_key: Zeroizing::new(data_key.to_vec()), database: database.to_vec() })
    }

    /// Makes a vault of the backup in a state folder that has none, under a vault key of its own. Where root does it, the vault
    /// belongs to whom the state folder does, and a folder that is made for it to `owner`, a user and a group.
    ///
    /// # Errors
    /// There is a vault already, the database is damaged, or a file could not be written; then nothing is left behind.
    pub fn restore(
        &self,
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
        file.write_all(&self.database).and_then(|()| file.sync_all()).map_err(io("cannot write", &path))?;
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
        super::schema::migrate(&mut connection)?;
        let data_key: &[u8; super::keys::KEY_BYTES] =
            self.data_key.as_slice().try_into().map_err(|_| VaultError::Unreadable("data key"))?;
        let (sealer, wrapped) = super::seal::rewrap(data_key, key, &self.head.vault_id)?;
        let audit_head = log_head(&state_dir.join("audit"))?;
        let day = rfc3339(self.head.taken);
        let transaction = connection.transaction()?;
        set_meta(&transaction, "data_key", &wrapped)?;
        // A candidate that never left is no device's; one that may have left is found out like any other.
        transaction.execute_batch(
            "DELETE FROM outbox;
             DELETE FROM secret WHERE kind = 'password' AND EXISTS (SELECT 1 FROM account WHERE name = secret.account
                 AND candidate = secret.version AND state IN ('prepared', 'changing', 'mending'));
             UPDATE account SET candidate = NULL WHERE state IN ('prepared', 'changing', 'mending');
             UPDATE account SET state = 'quarantined' WHERE state = 'mending';
             UPDATE account SET state = 'uncertain-new' WHERE state IN ('sent', 'verifying') OR state LIKE 'uncertain-%';
             UPDATE account SET state = 'uncertain-old-only' WHERE state IN ('idle', 'prepared', 'changing') AND current IS NOT NULL;
             UPDATE account SET wake = NULL, tries = 0, attempt = NULL, verified = NULL;",
        )?;
        transaction.execute(
            "UPDATE account SET since = ?1, last_error = ?2 WHERE state <> 'idle'",
            params![
                now.wall_ms,
                format!("restored from the backup of {day}; whether the device still has this password is found out by logging in")
            ],
        )?;
        set_meta(&transaction, "audit_head", format!("{} {}", audit_head.0, audit_head.1).as_bytes())?;
        {
            let tx = super::store::Tx { connection: &transaction, sealer: &sealer };
            use_up_codes(&tx, now)?;
            use crate::vault::Trail;
            let detail = format!(
                "restored from the backup of {day}, whose log ended with event {} ({})",
                self.head.audit_seq, self.head.audit_hash
            );
            tx.audit(&Draft::new("vault.restored").detail(detail), now)?;
        }
        transaction.commit()?;
        // One file, without a journal beside it.
        connection.pragma_update(None, "journal_mode", "DELETE")?;
        connection.close().map_err(|(_, error)| VaultError::Sql(error))?;
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
    let mut last = None;
    for file in log_files(folder).map_err(|error| VaultError::Audit(error.to_string()))? {
        let text = std::fs::read_to_string(file).map_err(|error| VaultError::Audit(error.to_string()))?;
        last = text.lines().last().map(str::to_owned).or(last);
    }
    let value: Option<serde_json::Value> = last.and_then(|line| serde_json::from_str(&line).ok());
    let hash = value.as_ref().and_then(|value| value.get("hash")?.as_str().map(str::to_owned));
    Ok(hash.map_or(fresh, |hash| (report.events, hash)))
}

/// The codes of this minute may have been sent since the backup was taken: they count as used.
fn use_up_codes(tx: &super::store::Tx<'_>, now: &Moment) -> Result<(), VaultError> {
    use crate::vault::{Kind, Records, Secrets};
    for row in tx.accounts()? {
        let Ok(account) = AccountName::parse(&row.name) else { continue };
        let Some(uri) = tx.secret(&account, &Kind::Totp)? else { continue };
        let Ok(seed) = Seed::parse(uri.expose()) else { continue };
        let step = now.unix_seconds() / seed.period();
        let id = tx.seed_number(&seed)?;
        let reach = WINDOW.unsigned_abs() + 1;
        for step in step.saturating_sub(reach)..=step + reach {
            tx.use_step(id, step, now)?;
        }
    }
    Ok(())
}

/// Gives what root made to the daemon's user and group; nothing happens where somebody else than root runs. What stands
/// there may have been put there by that user meanwhile: only a plain file or folder of root's, reached by no link, is
/// given away.
///
/// # Errors
/// It is not what root made, or the system refuses.
pub fn hand_over(path: &Path, (user, group): (u32, u32)) -> std::io::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(path)?;
    let metadata = file.metadata()?;
    if metadata.uid() == user {
        return Ok(());
    }
    if metadata.uid() != 0 || (!metadata.is_dir() && metadata.nlink() != 1) {
        return Err(std::io::Error::other("it belongs to somebody else"));
    }
    fchown(&file, Some(user), Some(group))
}

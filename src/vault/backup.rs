//! Backups: a consistent copy of the database with its data key, sealed, taken while the daemon runs; and the way back.
//!
//! A restored vault is of the past. Its accounts are put in doubt, so that a login finds out, within the lockout budget,
//! whether their devices still have the passwords of then; those that do not wait for a person. Nothing is guessed.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::error::VaultError;
use super::keys::VaultKey;
use super::ledger::Trail;
use super::seeds::open_seed_key;
use super::store::{Alone, SCRATCH, Tx, Vault, lock, meta, open_database, set_meta, take_over};
use crate::audit::{Draft, GENESIS, last_event, log_files, verify_files};
use crate::model::{AccountName, Moment, rfc3339};
use crate::rotation::{Doubt, Phase, Which};
use crate::sealed::{OpenWith, Opening, SealFor, SealedError, Sealing, copy_hashed};
use crate::totp::{Seed, USUAL_PERIOD, WINDOW};

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

/// A copy of the database as it stood between two transactions, in a folder that goes with it.
pub struct Snapshot {
    /// What the backup will say of itself.
    pub head: BackupHead,
    data_key: Zeroizing<Vec<u8>>,
    file: PathBuf,
    _scratch: TempDir,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot({:?})", self.head)
    }
}

impl Vault {
    /// Copies the database beside it, while work goes on.
    ///
    /// # Errors
    /// The copy could not be made.
    pub async fn snapshot(&self, now: &Moment) -> Result<Snapshot, VaultError> {
        let taken = now.wall_ms;
        let folder = self.audit_folder().parent().unwrap_or(Path::new(".")).to_owned();
        loop {
            let folder = folder.clone();
            let copied = tokio::task::spawn_blocking(move || copy(&folder, taken));
            let (scratch, file, head, wrapped) = copied.await.map_err(|_| VaultError::Closed)??;
            let (answer, result) = oneshot::channel();
            let work: Alone = Box::new(move |connection, sealer| {
                let key = meta(connection, "data_key").map(|wrapped| (wrapped, sealer.data_key()));
                drop(answer.send(key));
            });
            self.alone(work)?;
            let (in_force, data_key) = result.await.unwrap_or(Err(VaultError::Closed))?;
            // Where the vault was sealed under a fresh key meanwhile, the copy's is gone: another is made.
            if in_force == wrapped {
                return Ok(Snapshot { head, data_key, file, _scratch: scratch });
            }
        }
    }
}

/// Copies the database, over a connection of its own: a folder that goes with the copy, the copy, what it holds, and its
/// data key as it is wrapped.
#[allow(clippy::type_complexity)]
fn copy(folder: &Path, taken: i64) -> Result<(TempDir, PathBuf, BackupHead, Option<Vec<u8>>), VaultError> {
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
        let mut data_key = Zeroizing::new(vec![0; super::keys::KEY_BYTES]);
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
        super::schema::migrate(&mut connection)?;
        let data_key: &[u8; super::keys::KEY_BYTES] =
            self.data_key.as_slice().try_into().map_err(|_| VaultError::Unreadable("data key"))?;
        let (mut sealer, wrapped) = super::seal::rewrap(data_key, key, &self.head.vault_id)?;
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
        let tx = Tx { connection: &transaction, sealer: &sealer };
        let why = restored_from(self.head.taken);
        let event = Draft::new("vault.restored").detail(detail);
        go_on_from(&tx, (audit_head.0, &audit_head.1), &|_| true, &why, event, now)?;
        // Whoever restores knows of it.
        tx.accept_audit_finding()?;
        transaction.commit()?;
        // One file, without a journal beside it.
        connection.pragma_update(None, "journal_mode", "DELETE")?;
        connection.close().map_err(|(_, error)| VaultError::Sql(error))?;
        File::open(path)
            .and_then(|file| file.sync_all())
            .map_err(|source| VaultError::Io { what: format!("cannot sync {}", path.display()), source })
    }
}

/// A vault of the past goes on behind a log's end: what it has of these accounts is not believed until a login has found it out.
pub(super) fn go_on_from(
    tx: &Tx<'_>,
    (seq, hash): (u64, &str),
    whom: &dyn Fn(&str) -> bool,
    why: &str,
    event: Draft,
    now: &Moment,
) -> Result<(), VaultError> {
    tx.connection.execute("DELETE FROM outbox", [])?;
    set_meta(tx.connection, "audit_head", format!("{seq} {hash}").as_bytes())?;
    put_in_doubt(tx, whom, why, now)?;
    use_up_codes(tx, now)?;
    tx.audit(&event, now)
}

/// What is put down of an account in a vault that was restored from a backup of then, in milliseconds since 1970.
pub(crate) fn restored_from(taken: i64) -> String {
    let day = rfc3339(taken);
    format!("restored from the backup of {day}; whether the device still has this password is found out by logging in")
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

/// Whether a device still has what an account's passwords were is to be found out. A candidate that never left is no device's;
/// one that may have left is found out like any other.
fn put_in_doubt(tx: &Tx<'_>, whom: &dyn Fn(&str) -> bool, why: &str, now: &Moment) -> Result<(), VaultError> {
    use crate::vault::{Records, Transitions};
    let mut forget =
        tx.connection.prepare("UPDATE account SET wake = NULL, tries = 0, verified = NULL WHERE name = ?1")?;
    for row in tx.accounts()?.into_iter().filter(|row| whom(&row.name)) {
        let Ok(account) = AccountName::parse(&row.name) else { continue };
        tx.drop_unsent(&account)?;
        let phase = match row.phase {
            Phase::Mending | Phase::Quarantined => Phase::Quarantined,
            Phase::Sent | Phase::Verifying | Phase::Uncertain(_) => Phase::Uncertain(Doubt::fresh(Which::New)),
            _ if !row.has_password => Phase::Idle,
            // What was sent last and taken back may be what the device has come to.
            _ if tx.adopt_taken_back(&account)? => Phase::Uncertain(Doubt::fresh(Which::Old)),
            _ => Phase::Uncertain(Doubt { other_refused: true, ..Doubt::fresh(Which::Old) }),
        };
        tx.set_phase(&account, phase, None, now)?;
        forget.execute([&row.name])?;
        if phase != Phase::Idle {
            tx.set_last_error(&account, Some(why))?;
        }
    }
    Ok(())
}

/// The codes of this minute may have been sent since the backup was taken: they count as used, for every seed, since one that
/// the vault does not hold now may have been in it.
fn use_up_codes(tx: &Tx<'_>, now: &Moment) -> Result<(), VaultError> {
    use crate::vault::{Kind, Records, Secrets};
    let mut periods = BTreeSet::from([USUAL_PERIOD]);
    for row in tx.accounts()? {
        let Ok(account) = AccountName::parse(&row.name) else { continue };
        let Some(uri) = tx.secret(&account, &Kind::Totp)? else { continue };
        periods.extend(Seed::parse(uri.expose()).ok().map(|seed| seed.period()));
    }
    let reach = WINDOW.unsigned_abs() + 1;
    for period in periods {
        let step = now.unix_seconds() / period;
        for step in step.saturating_sub(reach)..=step + reach {
            tx.use_step_of_any(step, now)?;
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

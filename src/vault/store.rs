//! The thread that owns the database, and the handle by which everybody else asks it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::oneshot;

use super::error::VaultError;
use super::hosts::adopt_host_keys;
use super::judgement::{FINDING, REWRITTEN, judge_log};
use super::keys::{VaultKey, random};
use super::ledger::{Call, Carrier, Closure, Finding, Ledger, Trail};
use super::rekey::Rekey;
use super::schema;
use super::seal::{Opened, Sealer, fresh_data_key, unwrap_data_key};
use super::seeds::{make_seed_key, open_seed_key};
use crate::audit::{Chained, Draft, GENESIS, LogFiles};
use crate::model::Moment;

/// The most calls that one transaction carries.
const GROUP: usize = 128;

/// The open vault. Clones share it; it closes with the last one.
#[derive(Clone)]
pub struct Vault {
    carrier: Arc<dyn Carrier>,
    /// The way to the thread itself, where there is one.
    writer: Option<mpsc::Sender<Order>>,
    /// Why the last group of calls was not made durable.
    trouble: Arc<Mutex<Option<String>>>,
    audit_folder: PathBuf,
}

/// How the names of folders begin in which the database is copied for a backup.
pub(super) const SCRATCH: &str = ".copy-for-backup-";

/// Work with the database between two transactions.
pub(super) type Alone = Box<dyn FnOnce(&Connection, &Sealer) + Send>;

/// What the thread that owns the database is asked for.
pub(super) enum Order {
    Call(Box<dyn Call>),
    Alone(Alone),
    Rekey(Box<Rekey>),
}

/// Hands orders to the thread that owns the database.
struct ToWriter(mpsc::Sender<Order>);

impl Carrier for ToWriter {
    fn carry(&self, call: Box<dyn Call>) -> Result<(), VaultError> {
        self.0.send(Order::Call(call)).map_err(|_| VaultError::Closed)
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(..)")
    }
}

/// The inside of one transaction of SQLite.
pub struct Tx<'a> {
    pub(super) connection: &'a Connection,
    pub(super) sealer: &'a Sealer,
}

impl Vault {
    /// Opens the vault of a state folder, making both where they are missing. Audit events that a crash kept from the
    /// log's file are appended now.
    ///
    /// # Errors
    /// Another daemon holds the folder, the key is not this vault's, the file is gone while its audit log is there, damaged or
    /// of a newer rotord, or the audit log cannot be written.
    pub fn open(state_dir: &Path, key: &VaultKey) -> Result<Self, VaultError> {
        let io = |what: &str, path: &Path| {
            let what = format!("{what} {}", path.display());
            move |source| VaultError::Io { what, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(io("cannot make", state_dir))?;
        let lock = lock(state_dir)?;
        let path = state_dir.join("vault.db");
        let audit_folder = state_dir.join("audit");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&audit_folder)
            .map_err(io("cannot make", &audit_folder))?;
        let log = LogFiles::open(&audit_folder).map_err(|error| VaultError::Audit(error.to_string()))?;
        // SQLite takes a file without a byte for a fresh database.
        if log.last().is_some() && path.metadata().map_or(true, |found| found.len() == 0) {
            return Err(VaultError::Gone(path));
        }
        sweep(state_dir);
        // SQLite gives a new file the umask's mode, and its journals that of the file.
        OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(io("cannot open", &path))?;
        let mut connection = open_database(&path)?;
        let sealer = open_sealer(&mut connection, key, &path)?;
        judge_log(&mut connection, &sealer, &path, &log)?;
        let trouble: Arc<Mutex<Option<String>>> = Arc::default();
        let folder = state_dir.to_owned();
        let mut writer = Writer { connection, sealer, log, folder, trouble: trouble.clone(), _lock: lock };
        writer.flush_outbox()?;
        let (calls, inbox) = mpsc::channel();
        std::thread::Builder::new()
            .name("vault".into())
            .spawn(move || writer.run(&inbox))
            .map_err(io("cannot start the thread for", &path))?;
        let carrier = Arc::new(ToWriter(calls.clone()));
        Ok(Self { carrier, writer: Some(calls), trouble, audit_folder })
    }

    /// A vault over another store.
    #[must_use]
    pub fn over(carrier: Arc<dyn Carrier>, audit_folder: PathBuf) -> Self {
        Self { carrier, writer: None, trouble: Arc::default(), audit_folder }
    }

    /// Why the last calls were not made durable, if they were not.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Moves what was committed into the database's file, so that the vault is in that one alone.
    ///
    /// # Errors
    /// SQLite could not; nothing is lost by it.
    pub async fn settle(&self) -> Result<(), VaultError> {
        let (answer, result) = oneshot::channel();
        self.alone(Box::new(move |connection, _| {
            let moved = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            drop(answer.send(moved));
        }))?;
        Ok(result.await.map_err(|_| VaultError::Closed)??)
    }

    /// Has work done between two transactions.
    pub(super) fn alone(&self, work: Alone) -> Result<(), VaultError> {
        self.order(Order::Alone(work))
    }

    pub(super) fn order(&self, order: Order) -> Result<(), VaultError> {
        let writer = self.writer.as_ref().ok_or(VaultError::Closed)?;
        writer.send(order).map_err(|_| VaultError::Closed)
    }

    /// The folder of the audit log.
    #[must_use]
    pub fn audit_folder(&self) -> &Path {
        &self.audit_folder
    }

    /// Runs a closure inside a transaction. When this returns `Ok`, a crash finds what was written, and its audit
    /// events are in the log's file; with `Err`, nothing may be acted upon.
    ///
    /// # Errors
    /// The closure's own error, with what it wrote rolled back; or the commit or the audit log failed.
    pub async fn call<T, F>(&self, work: F) -> Result<T, VaultError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Ledger) -> Result<T, VaultError> + Send + 'static,
    {
        let (call, result) = Closure::new(work);
        self.carrier.carry(Box::new(call))?;
        result.await.unwrap_or(Err(VaultError::Closed))
    }
}

/// Removes the copies of backups that a crash broke off.
fn sweep(state_dir: &Path) {
    let entries = std::fs::read_dir(state_dir).into_iter().flatten().filter_map(Result::ok);
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(SCRATCH)) {
        if let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "the rest of a backup that was broken off stays");
        }
    }
}

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
        _ => VaultError::Sql(error),
    };
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(damaged)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What is deleted is overwritten, and temporary data never reaches a disk.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -2048)?;
    let check: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(damaged)?;
    if check != "ok" {
        return Err(VaultError::Damaged(path.to_owned(), check));
    }
    Ok(connection)
}

fn open_sealer(connection: &mut Connection, key: &VaultKey, path: &Path) -> Result<Sealer, VaultError> {
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

pub(super) fn meta(connection: &Connection, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
    Ok(connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()?)
}

pub(super) fn set_meta(connection: &Connection, name: &str, value: &[u8]) -> Result<(), VaultError> {
    connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)", params![name, value])?;
    Ok(())
}

/// A number for SQLite, which counts to 2^63.
fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// Writes a page to a file of its own in a folder, syncs and removes it.
fn write_beside(folder: &Path) -> std::io::Result<()> {
    let path = folder.join("probe");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path)?;
    let written = file.write_all(&[0; 4096]).and_then(|()| file.sync_data());
    written.and(std::fs::remove_file(&path))
}

struct Writer {
    connection: Connection,
    sealer: Sealer,
    log: LogFiles,
    folder: PathBuf,
    trouble: Arc<Mutex<Option<String>>>,
    _lock: File,
}

impl Writer {
    fn run(&mut self, inbox: &mpsc::Receiver<Order>) {
        let mut next: Option<Order> = None;
        while let Some(first) = next.take().or_else(|| inbox.recv().ok()) {
            let mut group = match first {
                Order::Alone(work) => {
                    work(&self.connection, &self.sealer);
                    continue;
                }
                Order::Rekey(rekey) => {
                    let (result, answer) = rekey.carry_out(&mut self.connection, &mut self.sealer);
                    // What the log's file did not take now it takes with the next call; the key is changed all the same.
                    let told = result.is_ok().then(|| self.flush_outbox()).and_then(Result::err);
                    if let Some(error) = told {
                        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
                    }
                    drop(answer.send(result));
                    continue;
                }
                Order::Call(call) => vec![call],
            };
            while group.len() < GROUP {
                match inbox.try_recv() {
                    Ok(Order::Call(call)) => group.push(call),
                    Ok(alone) => {
                        next = Some(alone);
                        break;
                    }
                    Err(_) => break,
                }
            }
            let fate = self.carry_out(&mut group);
            let fate = fate.and_then(|()| self.flush_outbox()).map_err(|error| self.ask_the_disk(error));
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = fate.as_ref().err().map(ToString::to_string);
            for call in group {
                call.reply(match &fate {
                    Ok(()) => Ok(()),
                    Err(VaultError::Audit(why)) => Err(VaultError::Audit(why.clone())),
                    Err(error) => Err(VaultError::Commit(error.to_string())),
                });
            }
        }
    }

    /// Runs a group of calls in one transaction; a call that fails is undone alone.
    fn carry_out(&mut self, group: &mut [Box<dyn Call>]) -> Result<(), VaultError> {
        let mut transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut broken = None;
        for call in group {
            let savepoint = transaction.savepoint();
            let mut savepoint = match savepoint {
                Ok(savepoint) => savepoint,
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            };
            let worked = call.work(&Tx { connection: &savepoint, sealer: &self.sealer });
            let settled =
                if worked { savepoint.commit() } else { savepoint.rollback().and_then(|()| savepoint.finish()) };
            if let Err(error) = settled {
                broken = Some(error);
                break;
            }
        }
        match broken {
            Some(error) => Err(error.into()),
            None => Ok(transaction.commit()?),
        }
    }

    /// SQLite does not tell why the system refused a write; a write beside the database does.
    fn ask_the_disk(&self, error: VaultError) -> VaultError {
        use rusqlite::ErrorCode::{CannotOpen, DiskFull, ReadOnly, SystemIoFailure};
        match error {
            VaultError::Sql(sqlite)
                if matches!(sqlite.sqlite_error_code(), Some(CannotOpen | DiskFull | ReadOnly | SystemIoFailure)) =>
            {
                match write_beside(&self.folder) {
                    Ok(()) => VaultError::Sql(sqlite),
                    Err(source) => VaultError::Disk { sqlite, folder: self.folder.clone(), source },
                }
            }
            other => other,
        }
    }

    /// Appends to the log's file what is in the outbox and not in the file, and clears the outbox.
    fn flush_outbox(&mut self) -> Result<(), VaultError> {
        let mut statement = self.connection.prepare_cached("SELECT seq, hash, line FROM outbox ORDER BY seq")?;
        let events = statement
            .query_map([], |row| {
                Ok(Chained { seq: row.get::<_, i64>(0)?.unsigned_abs(), hash: row.get(1)?, line: row.get(2)? })
            })?
            .collect::<Result<Vec<_>, _>>()?;
        drop(statement);
        let Some(last) = events.last() else {
            return Ok(());
        };
        self.log.append(&events).map_err(|error| VaultError::Audit(error.to_string()))?;
        // Losing this delete in a crash is harmless: the file tells which events it has.
        self.connection.execute("DELETE FROM outbox WHERE seq <= ?1", [number(last.seq)])?;
        Ok(())
    }
}

impl Trail for Tx<'_> {
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

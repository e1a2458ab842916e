//! The thread that owns the database: it groups what is waiting into one transaction.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use rusqlite::Connection;
use tokio::sync::watch;

use super::error::code_of;
use super::rekey::Rekey;
use super::transaction::{SqliteTransaction, number};
use crate::audit::{Chained, LogFiles};
use crate::vault::backend::{LINGER, StoreTimings, TransactionJob, VaultBackend};
use crate::vault::error::VaultError;
use crate::vault::seal::Sealer;

/// The most jobs that one transaction carries.
const GROUP: usize = 128;

/// With so many attempts at work, others have something for the vault at about the same time: see [`Lingering::gathers`].
const CROWD: usize = 4;

/// For so long a transaction of a few jobs waits then for theirs.
const GATHER: Duration = Duration::from_millis(10);

/// So many jobs are no few: whoever has waited for the commit before is among them.
const FEW: usize = 8;

/// After so long without a command, events that the log's file has leave the outbox. Before, the next transaction takes them along,
/// since a transaction of their own costs a sync.
const IDLE: Duration = Duration::from_secs(1);

/// Jobs that get no further for so long hang. A service manager's watchdog waits longer.
const HANGS: Duration = Duration::from_secs(20);

/// What the thread is at.
#[derive(Debug)]
pub(super) struct Progress {
    /// When the jobs at hand began.
    begun: Option<Instant>,
    /// When the thread was last seen to have run since.
    moved: Instant,
    /// How long it had run then, in nanoseconds (`schedstat`, proc(5)).
    ran: u64,
    thread: Pid,
}

impl Default for Progress {
    fn default() -> Self {
        Self { begun: None, moved: Instant::now(), ran: 0, thread: Pid::from_raw(0) }
    }
}

impl Progress {
    /// For how long it has been at jobs without running, where that is too long. A large import runs all the time, and a disk
    /// that does not answer lets it not run at all.
    fn hangs(&mut self, ran: Option<u64>) -> Option<Duration> {
        let begun = self.begun?;
        if let Some(ran) = ran.filter(|ran| *ran != self.ran) {
            (self.ran, self.moved) = (ran, Instant::now());
        }
        Some(begun.max(self.moved).elapsed()).filter(|time| *time > HANGS)
    }

    fn ran(thread: Pid) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    }
}

/// Work with the database between two transactions.
pub(super) type Alone = Box<dyn FnOnce(&Connection, &Sealer) + Send>;

/// What the thread that owns the database is asked for.
pub(super) enum WriterCommand {
    Job(Box<dyn TransactionJob>),
    Alone(Alone),
    Rekey(Box<Rekey>),
}

/// Hands commands to the thread that owns the database.
#[derive(Clone)]
pub(super) struct WriterHandle {
    commands: mpsc::Sender<WriterCommand>,
    /// Why the last group of jobs was not made durable.
    trouble: Arc<Mutex<Option<String>>>,
    progress: Arc<Mutex<Progress>>,
    /// The number of the last event in the log's file.
    head: watch::Receiver<u64>,
    timings: Arc<StoreTimings>,
    at_work: Arc<AtomicUsize>,
}

impl WriterHandle {
    pub(super) fn send(&self, command: WriterCommand) -> Result<(), VaultError> {
        self.commands.send(command).map_err(|_| VaultError::Closed)
    }
}

impl VaultBackend for WriterHandle {
    fn submit(&self, job: Box<dyn TransactionJob>) -> Result<(), VaultError> {
        self.send(WriterCommand::Job(job))
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hangs(&self) -> Option<Duration> {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let is_long = progress.begun.is_some_and(|begun| begun.elapsed() > Duration::from_secs(1));
        let ran = if is_long { Progress::ran(progress.thread) } else { None };
        progress.hangs(ran)
    }

    fn timings(&self) -> Option<Arc<StoreTimings>> {
        Some(self.timings.clone())
    }

    fn appended(&self) -> watch::Receiver<u64> {
        self.head.clone()
    }

    fn at_work(&self) -> Arc<AtomicUsize> {
        self.at_work.clone()
    }
}

/// Jobs that are carried out together, in their order.
#[derive(Default)]
struct Lingering {
    jobs: Vec<Box<dyn TransactionJob>>,
    /// When the first of them came.
    since: Option<Instant>,
    /// One of them may not wait.
    urgent: bool,
}

impl Lingering {
    fn add(&mut self, job: Box<dyn TransactionJob>, now: Instant) {
        self.urgent |= !job.may_wait();
        self.since.get_or_insert(now);
        self.jobs.push(job);
    }

    fn take(&mut self) -> Vec<Box<dyn TransactionJob>> {
        std::mem::take(self).jobs
    }

    fn time_left(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| LINGER.saturating_sub(now.saturating_duration_since(since)))
    }

    /// Whether, with so many attempts at work, a moment's wait brings more jobs for the same commit. What it costs is that moment:
    /// nobody is answered before what he asked for is durable.
    fn gathers(&self, at_work: usize) -> bool {
        self.urgent && self.jobs.len() < FEW && at_work >= CROWD
    }

    /// Takes what has come by now; whatever is no job comes after it, and is returned.
    fn take_in(&mut self, inbox: &mpsc::Receiver<WriterCommand>) -> Option<WriterCommand> {
        while self.jobs.len() < GROUP {
            match inbox.try_recv() {
                Ok(WriterCommand::Job(call)) => self.add(call, Instant::now()),
                Ok(alone) => return Some(alone),
                Err(_) => break,
            }
        }
        None
    }

    /// Whether there is nothing yet that has to be made durable now.
    fn may_wait(&self, now: Instant) -> bool {
        !self.urgent && self.jobs.len() < GROUP && !self.time_left(now).is_zero()
    }
}

/// Writes a page to a file of its own in a folder, syncs and removes it.
fn write_beside(folder: &Path) -> std::io::Result<()> {
    let path = folder.join("probe");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path)?;
    let written = file.write_all(&[0; 4096]).and_then(|()| file.sync_data());
    written.and(std::fs::remove_file(&path))
}

/// What the thread owns.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) sealer: Sealer,
    pub(super) log: LogFiles,
    pub(super) folder: PathBuf,
    pub(super) trouble: Arc<Mutex<Option<String>>>,
    pub(super) progress: Arc<Mutex<Progress>>,
    /// The last event that the log's file has and that is in the outbox still.
    pub(super) appended: Option<u64>,
    /// Tells the number of the last event in the log's file.
    pub(super) head: watch::Sender<u64>,
    pub(super) timings: Arc<StoreTimings>,
    /// How many attempts are at work.
    pub(super) at_work: Arc<AtomicUsize>,
    pub(super) _lock: File,
}

impl Writer {
    /// Starts the thread. What a crash kept from the log's file is appended before.
    pub(super) fn start(mut self) -> Result<WriterHandle, VaultError> {
        self.flush_outbox()?;
        let (commands, inbox) = mpsc::channel();
        let (trouble, head, timings) = (self.trouble.clone(), self.head.subscribe(), self.timings.clone());
        let (progress, at_work) = (self.progress.clone(), self.at_work.clone());
        let what = format!("cannot start the thread for {}", self.folder.join("vault.db").display());
        std::thread::Builder::new()
            .name("vault".into())
            .spawn(move || self.run(&inbox))
            .map_err(|source| VaultError::Io { what, source })?;
        Ok(WriterHandle { commands, trouble, progress, head, timings, at_work })
    }

    fn run(&mut self, inbox: &mpsc::Receiver<WriterCommand>) {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).thread = nix::unistd::gettid();
        let (mut next, mut lingering) = (None, Lingering::default());
        while let Some(first) = next.take().or_else(|| self.wait(inbox, &mut lingering)) {
            let call = match first {
                WriterCommand::Job(call) => call,
                WriterCommand::Alone(work) => {
                    self.settle(lingering.take());
                    self.work_alone(work);
                    continue;
                }
                WriterCommand::Rekey(rekey) => {
                    self.settle(lingering.take());
                    self.rekey(*rekey);
                    continue;
                }
            };
            lingering.add(call, Instant::now());
            next = lingering.take_in(inbox);
            if next.is_none() && lingering.gathers(self.at_work.load(Ordering::Relaxed)) {
                std::thread::sleep(GATHER);
                next = lingering.take_in(inbox);
            }
            if !lingering.may_wait(Instant::now()) {
                self.settle(lingering.take());
            }
        }
    }

    /// Does work that needs the database between two transactions.
    fn work_alone(&mut self, work: Alone) {
        // A checkpoint before the end finds nothing that is written after it.
        self.clear_outbox();
        work(&self.connection, &self.sealer);
    }

    fn rekey(&mut self, rekey: Rekey) {
        let (result, answer) = rekey.carry_out(&mut self.connection, &mut self.sealer);
        // What the log's file did not take now it takes with the next call; the key is changed all the same.
        let told = result.is_ok().then(|| self.flush_outbox()).and_then(Result::err);
        if let Some(error) = told {
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        }
        drop(answer.send(result));
    }

    /// Carries a group of jobs out, makes it durable, and answers.
    fn settle(&mut self, mut group: Vec<Box<dyn TransactionJob>>) {
        if group.is_empty() {
            return;
        }
        let begun = Instant::now();
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).begun = Some(begun);
        let written = self.connection.total_changes();
        let fate = self.carry_out(&mut group);
        let fate = fate.and_then(|()| self.flush_outbox()).map_err(|error| self.ask_the_disk(error));
        self.timings.commit.observe(begun.elapsed());
        if fate.is_err() {
            self.timings.errors.add();
        }
        // That something can be read says nothing about a write.
        if fate.is_err() || self.connection.total_changes() != written {
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = fate.as_ref().err().map(ToString::to_string);
        }
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).begun = None;
        for call in group {
            call.reply(match &fate {
                Ok(()) => Ok(()),
                Err(VaultError::Audit(why)) => Err(VaultError::Audit(why.clone())),
                Err(error) => Err(VaultError::Commit(error.to_string())),
            });
        }
    }

    /// The next command; `None` once nobody can send one.
    fn wait(&mut self, inbox: &mpsc::Receiver<WriterCommand>, lingering: &mut Lingering) -> Option<WriterCommand> {
        if !lingering.jobs.is_empty() {
            match inbox.recv_timeout(lingering.time_left(Instant::now())) {
                Ok(command) => return Some(command),
                Err(_) => self.settle(lingering.take()),
            }
        }
        if self.appended.is_some() {
            match inbox.recv_timeout(IDLE) {
                Ok(command) => return Some(command),
                Err(_) => self.clear_outbox(),
            }
        }
        inbox.recv().ok()
    }

    /// Takes out of the outbox what the log's file has. If that fails it is tried again: the file tells which events it has.
    fn clear_outbox(&mut self) {
        if let Some(last) = self.appended
            && forget(&self.connection, last).is_ok()
        {
            self.appended = None;
        }
    }

    /// Runs a group of calls in one transaction; a call that fails is undone alone.
    fn carry_out(&mut self, group: &mut [Box<dyn TransactionJob>]) -> Result<(), VaultError> {
        plain(&self.connection, "BEGIN IMMEDIATE")?;
        let done = self.inside(group);
        // A commit that fails may have left the transaction open, or not.
        if !self.connection.is_autocommit() {
            plain(&self.connection, "ROLLBACK")?;
        }
        done
    }

    /// The inside of that transaction, and its commit. What it leaves open is undone.
    fn inside(&mut self, group: &mut [Box<dyn TransactionJob>]) -> Result<(), VaultError> {
        let (before, connection) = (self.connection.total_changes(), &self.connection);
        let transaction = SqliteTransaction { connection, sealer: &self.sealer };
        if let [call] = group {
            let worked = call.work(&transaction);
            return if worked { commit(connection, before, &mut self.appended) } else { Ok(()) };
        }
        for call in group {
            plain(connection, "SAVEPOINT call")?;
            if !call.work(&transaction) {
                plain(connection, "ROLLBACK TO call")?;
            }
            plain(connection, "RELEASE call")?;
        }
        commit(connection, before, &mut self.appended)
    }

    /// SQLite does not tell why the system refused a write; a write beside the database does.
    fn ask_the_disk(&self, error: VaultError) -> VaultError {
        use rusqlite::ErrorCode::{CannotOpen, DiskFull, ReadOnly, SystemIoFailure};
        match error {
            VaultError::Backend(cause)
                if matches!(code_of(&cause), Some(CannotOpen | DiskFull | ReadOnly | SystemIoFailure)) =>
            {
                match write_beside(&self.folder) {
                    Ok(()) => VaultError::Backend(cause),
                    Err(source) => VaultError::Disk { cause, folder: self.folder.clone(), source },
                }
            }
            other => other,
        }
    }

    /// Appends to the log's file what is in the outbox and not in the file. The next transaction clears the outbox.
    fn flush_outbox(&mut self) -> Result<(), VaultError> {
        let text = "SELECT seq, hash, line FROM outbox WHERE seq > ?1 ORDER BY seq";
        let mut statement = self.connection.prepare_cached(text)?;
        let events = statement
            .query_map([self.appended.map_or(0, number)], |row| {
                Ok(Chained { seq: row.get::<_, i64>(0)?.unsigned_abs(), hash: row.get(1)?, line: row.get(2)? })
            })?
            .collect::<Result<Vec<_>, _>>()?;
        drop(statement);
        let Some(last) = events.last() else {
            return Ok(());
        };
        let begun = Instant::now();
        let appended = self.log.append(&events);
        self.timings.append.observe(begun.elapsed());
        if appended.is_err() {
            self.timings.append_errors.add();
        }
        appended.map_err(|error| VaultError::Audit(error.to_string()))?;
        self.appended = Some(last.seq);
        self.head.send_replace(last.seq);
        Ok(())
    }
}

/// A statement without values, parsed once.
fn plain(connection: &Connection, statement: &str) -> Result<(), VaultError> {
    connection.prepare_cached(statement)?.execute([])?;
    Ok(())
}

/// Ends a transaction. Where it changes something since `before`, the outbox loses, in it, what the log's file has.
fn commit(connection: &Connection, before: u64, appended: &mut Option<u64>) -> Result<(), VaultError> {
    let last = appended.filter(|_| connection.total_changes() > before);
    if let Some(last) = last {
        forget(connection, last)?;
    }
    plain(connection, "COMMIT")?;
    if last.is_some() {
        *appended = None;
    }
    Ok(())
}

fn forget(connection: &Connection, last: u64) -> Result<(), VaultError> {
    connection.prepare_cached("DELETE FROM outbox WHERE seq <= ?1")?.execute([number(last)])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::transaction::Ledger;

    #[test]
    fn jobs_hang_that_do_not_run_for_long_and_not_those_that_run() {
        let Some(long_ago) = Instant::now().checked_sub(HANGS * 2) else { return };
        let mut progress = Progress { begun: None, moved: long_ago, ran: 7, thread: nix::unistd::gettid() };
        assert_eq!(progress.hangs(Some(9)), None, "nothing is at hand");
        progress.begun = Some(long_ago);
        assert_eq!(progress.hangs(Some(9)), None, "it ran meanwhile");
        progress.moved = long_ago;
        assert!(progress.hangs(Some(9)).is_some_and(|time| time > HANGS), "it did not");
        assert!(progress.hangs(None).is_some(), "nothing is known of it");
        progress.begun = Some(Instant::now());
        assert_eq!(progress.hangs(Some(9)), None, "it has begun just now");
        assert!(Progress::ran(progress.thread).is_some());
    }

    struct Job {
        may_wait: bool,
    }

    impl TransactionJob for Job {
        fn work(&mut self, _: &dyn Ledger) -> bool {
            true
        }

        fn reply(self: Box<Self>, _: Result<(), VaultError>) {}

        fn may_wait(&self) -> bool {
            self.may_wait
        }
    }

    #[test]
    fn jobs_that_may_wait_do_so_for_one_that_may_not_and_for_a_while_at_most() {
        let (begun, mut jobs) = (Instant::now(), Lingering::default());
        jobs.add(Box::new(Job { may_wait: true }), begun);
        let later = begun + LINGER / 2;
        assert!(jobs.may_wait(later) && jobs.time_left(later) == LINGER / 2);
        jobs.add(Box::new(Job { may_wait: true }), later);
        assert!(!jobs.may_wait(begun + LINGER), "the first has waited long enough");
        jobs.add(Box::new(Job { may_wait: false }), later);
        assert!(!jobs.may_wait(later));
        assert_eq!(jobs.take().len(), 3);
        for _ in 0..GROUP {
            jobs.add(Box::new(Job { may_wait: true }), later);
        }
        assert!(!jobs.may_wait(later), "a transaction carries no more");
    }

    #[test]
    fn a_few_jobs_of_a_crowd_wait_for_others_and_no_others_do() {
        let (now, mut jobs) = (Instant::now(), Lingering::default());
        jobs.add(Box::new(Job { may_wait: true }), now);
        assert!(!jobs.gathers(CROWD), "it waits by itself");
        jobs.add(Box::new(Job { may_wait: false }), now);
        assert!(jobs.gathers(CROWD));
        assert!(!jobs.gathers(CROWD - 1), "there is nobody to wait for");
        for _ in 2..FEW {
            jobs.add(Box::new(Job { may_wait: false }), now);
        }
        assert!(!jobs.gathers(CROWD), "there are enough");
    }

    #[test]
    fn what_is_no_job_comes_after_the_jobs_before_it() {
        let (commands, inbox) = mpsc::channel();
        let job = || WriterCommand::Job(Box::new(Job { may_wait: false }));
        let alone = WriterCommand::Alone(Box::new(|_: &Connection, _: &Sealer| {}));
        for command in [job(), job(), alone, job()] {
            commands.send(command).unwrap();
        }
        let mut jobs = Lingering::default();
        assert!(matches!(jobs.take_in(&inbox), Some(WriterCommand::Alone(_))));
        assert_eq!(jobs.take().len(), 2);
        assert!(jobs.take_in(&inbox).is_none());
        assert_eq!(jobs.take().len(), 1);
    }
}

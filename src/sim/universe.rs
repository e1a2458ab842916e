//! All that is simulated.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::broadcast::error::TryRecvError;

use super::checker::Memory;
use super::coverage::Coverage;
use super::executor::{Loop, Tasks, lock};
use super::faults::Fault;
use super::fleet::Site;
use super::habits::Habit;
use super::host::Host;
use super::logins::Refusals;
use super::memory_transaction::MemoryTransaction;
use super::memory_vault::{Backup, MemoryVault};
use super::random::{Draws, Random};
use crate::config::{Account, Config};
use crate::daemon::Progress;
use crate::model::DeviceName;
use crate::policy::DAY_MS;
use crate::rotation::Phase;
use crate::vault::{LINGER, TransactionJob, VaultBackend, VaultError};

/// The world of one history.
pub(super) struct Universe {
    pub(super) on: Loop,
    draws: Draws,
    fault_draws: Vec<Draws>,
    /// One in so many; 0 for never.
    rates: Vec<usize>,
    /// No faults any more.
    calm: AtomicBool,
    pub(super) sites: Mutex<BTreeMap<String, Site>>,
    pub(super) host: Host,
    pub(super) books: Mutex<MemoryVault>,
    disk_full_until: AtomicI64,
    audit_fails_until: AtomicI64,
    directory_down_until: AtomicI64,
    /// Actions left until the daemon is killed; negative for none to come.
    crash_in: AtomicI64,
    pub(super) memory: Mutex<Memory>,
    pub(super) refusals: Mutex<Refusals>,
    pub(super) violation: Mutex<Option<String>>,
    /// Whether a story is told at all.
    tells: bool,
    pub(super) story: Mutex<Option<Vec<String>>>,
    /// What the daemon of the day says of its work.
    pub(super) progress: Mutex<Option<tokio::sync::broadcast::Receiver<Progress>>>,
    pub(super) coverage: Mutex<Coverage>,
    /// Calls that a crash cut off: dropped as the history ends, since dropping one earlier would answer it.
    graveyard: Mutex<Vec<Box<dyn TransactionJob>>>,
    /// Calls that wait for the next one.
    lingering: Mutex<Vec<Box<dyn TransactionJob>>>,
    pub(super) config: Mutex<Config>,
    /// The last backup, and when it was taken, in true time since the beginning.
    pub(super) backup: Mutex<Option<(i64, Backup)>>,
    /// Accounts that an administrator took out of the config.
    pub(super) removed: Mutex<Vec<Arc<Account>>>,
}

/// True time begins at one of these: 2026-01-05, a Monday, or half a day before Berlin's clocks go forward or back, in
/// milliseconds since 1970.
const BEGINS: [i64; 4] = [1_767_571_200_000, 1_767_571_200_000, 1_774_699_200_000, 1_792_843_200_000];

impl Universe {
    pub(super) fn new(seed: u64, rates: Vec<usize>, sites: BTreeMap<String, Site>, config: Config, tell: bool) -> Self {
        let fault_draws = (0..rates.len() as u64).map(|n| Draws::new(Random::new(seed, 1000 + n))).collect();
        Self {
            on: Loop::begin(),
            draws: Draws::new(Random::new(seed, 1)),
            fault_draws,
            rates,
            calm: AtomicBool::new(false),
            sites: Mutex::new(sites),
            host: Host::new(BEGINS[Random::new(seed, 6).below(BEGINS.len())]),
            books: Mutex::default(),
            disk_full_until: AtomicI64::new(-1),
            audit_fails_until: AtomicI64::new(-1),
            directory_down_until: AtomicI64::new(-1),
            crash_in: AtomicI64::new(-1),
            memory: Mutex::default(),
            refusals: Mutex::default(),
            violation: Mutex::default(),
            tells: tell,
            story: Mutex::new(tell.then(Vec::new)),
            progress: Mutex::default(),
            coverage: Mutex::default(),
            graveyard: Mutex::default(),
            lingering: Mutex::default(),
            config: Mutex::new(config),
            backup: Mutex::default(),
            removed: Mutex::default(),
        }
    }

    /// Milliseconds of true time since 1970.
    pub(super) fn now(&self) -> i64 {
        self.host.begin + self.on.now()
    }

    pub(super) fn draw(&self, from: i64, to: i64) -> i64 {
        self.draws.with(|draws| draws.within(from, to))
    }

    pub(super) fn fill(&self, bytes: &mut [u8]) {
        self.draws.with(|draws| draws.fill(bytes));
    }

    pub(super) async fn wait(&self, ms: i64) {
        self.on.sleep(ms).await;
    }

    pub(super) fn tell(&self, line: impl FnOnce() -> String) {
        if self.tells {
            self.hear_daemon();
            self.put_down(&line());
        }
    }

    /// Tells what the daemon said until now; it is not woken for it, so that a told history is the same as an untold one.
    fn hear_daemon(&self) {
        let mut progress = lock(&self.progress);
        let Some(progress) = progress.as_mut().filter(|_| self.tells) else { return };
        loop {
            match progress.try_recv() {
                Ok(said) => self.put_down(&format!("{}: {}", said.account, said.step.text)),
                Err(TryRecvError::Lagged(lost)) => self.put_down(&format!("({lost} lines not told)")),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    fn put_down(&self, line: &str) {
        let at = self.on.now();
        let (day, rest) = (at / DAY_MS, at % DAY_MS);
        let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
        if let Some(story) = &mut *lock(&self.story) {
            story.push(format!("day {day} {hour:02}:{minute:02}:{second:02}.{:03}  {line}", rest % 1000));
        }
    }

    /// Whether a fault strikes now.
    pub(super) fn fault(&self, fault: Fault) -> bool {
        let rate = self.rates[fault as usize];
        if rate == 0 || self.is_calm() {
            return false;
        }
        let strikes = self.fault_draws[fault as usize].with(|draws| draws.one_in(rate));
        if strikes {
            self.struck(fault);
            self.tell(|| format!("FAULT {fault:?}"));
        }
        strikes
    }

    pub(super) fn struck(&self, fault: Fault) {
        lock(&self.coverage).fault(fault);
    }

    pub(super) fn showed(&self, habit: Habit) {
        lock(&self.coverage).habit(habit);
    }

    /// Whether nothing fails any more.
    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    pub(super) fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
        self.disk_full_until.store(-1, Ordering::Relaxed);
        self.audit_fails_until.store(-1, Ordering::Relaxed);
        self.directory_down_until.store(-1, Ordering::Relaxed);
        self.crash_in.store(-1, Ordering::Relaxed);
        lock(&self.sites).values_mut().for_each(Site::calms_down);
    }

    /// An action of the daemon: it may be its last.
    pub(super) async fn act(&self) {
        if self.dies_now() {
            std::future::pending::<()>().await;
        }
    }

    fn dies_now(&self) -> bool {
        if self.crash_in.load(Ordering::Relaxed) < 0 {
            return false;
        }
        let dies = self.crash_in.fetch_sub(1, Ordering::Relaxed) == 0;
        if dies {
            self.tell(|| "the daemon is killed".into());
            self.struck(Fault::Crash);
            self.on.halt();
        }
        dies
    }

    pub(super) fn crash_after(&self, actions: i64) {
        self.crash_in.store(actions, Ordering::Relaxed);
    }

    /// The history is over. A call that was cut off may hold on to the daemon, and that to this world.
    pub(super) fn forget_the_dead(&self) {
        let dead = std::mem::take(&mut *lock(&self.graveyard));
        drop(dead);
    }

    pub(super) fn disk_full_for(&self, ms: i64) {
        self.disk_full_until.store(self.on.now() + ms, Ordering::Relaxed);
    }

    pub(super) fn audit_fails_for(&self, ms: i64) {
        self.audit_fails_until.store(self.on.now() + ms, Ordering::Relaxed);
    }

    pub(super) fn directory_down_for(&self, ms: i64) {
        self.directory_down_until.store(self.on.now() + ms, Ordering::Relaxed);
    }

    /// Whether each device refuses everybody.
    pub(super) fn directory_is_down(&self) -> bool {
        self.on.now() < self.directory_down_until.load(Ordering::Relaxed)
    }

    pub(super) fn site<T>(&self, device: &str, work: impl FnOnce(&mut Site) -> T) -> T {
        let mut sites = lock(&self.sites);
        // Every device of the config has a site; a device without one would be a mistake of the simulator.
        #[allow(clippy::expect_used)]
        work(sites.get_mut(device).expect("a site for each device"))
    }

    /// The devices through which another one is reached.
    pub(super) fn way_to(&self, device: &DeviceName) -> Vec<String> {
        let config = lock(&self.config);
        let way = config.devices.get(device).map(|device| config.way_to(device)).unwrap_or_default();
        way.iter().skip(1).map(|gateway| gateway.name.to_string()).collect()
    }

    pub(super) fn site_goes_down(&self, device: &str) {
        let until = self.now() + self.draw(10, 600) * 1000;
        self.tell(|| format!("{device} goes down"));
        self.site(device, |site| site.down_until = until);
    }

    /// Runs until `until`, a crash, or until `done` says so.
    pub(super) fn run(&self, tasks: &mut Tasks, until: i64, order: &mut Random, done: impl Fn() -> bool) {
        self.on.run(tasks, until, order, |call| self.execute(call), done);
    }

    /// Carries a call out, behind those that wait for it.
    fn execute(&self, call: Box<dyn TransactionJob>) {
        self.execute_lingering();
        self.carry_out(call);
    }

    fn execute_lingering(&self) {
        let lingering = std::mem::take(&mut *lock(&self.lingering));
        lingering.into_iter().for_each(|call| self.carry_out(call));
    }

    /// The daemon was killed: what waited in it for another call is lost.
    pub(super) fn lose_lingering(&self) {
        let lost = std::mem::take(&mut *lock(&self.lingering));
        lock(&self.graveyard).extend(lost);
    }

    /// Carries a call out, as the vault's thread does.
    fn carry_out(&self, mut call: Box<dyn TransactionJob>) {
        self.hear_daemon();
        if self.on.is_halted() || self.dies_now() {
            return lock(&self.graveyard).push(call);
        }
        let now = self.on.now();
        let mut books = lock(&self.books);
        books.begin();
        let worked = call.work(&MemoryTransaction::new(&mut books));
        let full = now < self.disk_full_until.load(Ordering::Relaxed);
        let touched = if full || !worked {
            books.roll_back();
            Vec::new()
        } else {
            books.touched()
        };
        let sent = std::mem::take(&mut books.sent);
        drop(books);
        if full {
            self.struck(Fault::DiskFull);
            return call.reply(Err(VaultError::Commit("database or disk is full".into())));
        }
        if worked {
            sent.iter().for_each(|account| self.committed(account));
            for (account, before, after) in &touched {
                if *before != Some(*after) {
                    self.tell(|| format!("{account}: {before:?} -> {after:?}"));
                    self.check_on_record(account, *after);
                }
                self.check_known(account);
                self.check_noted(account);
                let doubted =
                    matches!(before, Some(Phase::Sent | Phase::Verifying | Phase::Uncertain(_) | Phase::Quarantined));
                if doubted && *after == Phase::Idle {
                    self.check_proved(account);
                }
                // One that cannot be mended goes back to where it was.
                if *after == Phase::Quarantined && !matches!(before, Some(Phase::Quarantined | Phase::Mending)) {
                    self.check_given_up(account, *before);
                }
                if matches!(after, Phase::Idle | Phase::Quarantined) {
                    self.found_out(account);
                }
            }
        }
        if self.dies_now() {
            return;
        }
        if now < self.audit_fails_until.load(Ordering::Relaxed) {
            self.struck(Fault::AuditFails);
            return call.reply(Err(VaultError::Audit("No space left on device".into())));
        }
        call.reply(Ok(()));
    }
}

/// The vault of a universe.
pub(super) struct SimBackend(pub(super) Arc<Universe>);

impl VaultBackend for SimBackend {
    fn submit(&self, call: Box<dyn TransactionJob>) -> Result<(), VaultError> {
        if call.may_wait() {
            let universe = self.0.clone();
            lock(&self.0.lingering).push(call);
            let most = i64::try_from(LINGER.as_millis()).unwrap_or(i64::MAX);
            self.0.on.later(most, move || universe.execute_lingering());
            return Ok(());
        }
        self.0.on.call_later(self.0.draw(0, 4), call);
        Ok(())
    }
}

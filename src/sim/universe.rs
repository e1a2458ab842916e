//! All that is simulated, and the checker that sees all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::broadcast::error::TryRecvError;

use super::coverage::Coverage;
use super::executor::{Loop, lock};
use super::fleet::Site;
use super::ledger::{Books, Pages};
use super::random::Random;
use crate::clock::{Time, Waiting};
use crate::config::{Account, Config};
use crate::daemon::Progress;
use crate::model::{AccountName, BootId, Moment};
use crate::policy::DAY_MS;
use crate::rotation::Phase;
use crate::vault::{Call, Carrier, VaultError};

/// What can go wrong between the daemon and a device. Each has a rate of its own in each history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The connection is cut before or after a message.
    Cut,
    /// The device is cut off at any byte of what it says.
    CutInside,
    /// It never answers.
    Hang,
    /// It answers late, perhaps too late.
    Late,
    /// It says nothing where it should.
    Silent,
    /// A byte is garbled.
    Garbled,
    /// It says all twice.
    Twice,
    /// It refuses the new password, in words.
    RefusesNew,
    /// It says that it changed the password, and did not.
    OnlySaysSo,
    /// It changes the password and dies before it says so.
    DiesAfterChange,
    // What happens to the world at large.
    /// The daemon is killed at some action.
    Crash,
    /// The host reboots.
    HostReboot,
    /// The host's wall clock is set, ahead or back.
    ClockSet,
    /// The disk is full for a while: nothing commits.
    DiskFull,
    /// The audit log cannot be written for a while: what was committed is told as failed.
    AuditFails,
    /// A device is down for a while.
    DeviceDown,
    /// A device comes back with what it had saved.
    DeviceRestores,
    /// A device's clock is wrong for a while.
    DeviceClock,
    /// Somebody else answers at a device's address.
    Impostor,
    /// A login demands a new password.
    Expires,
    /// An operator asks for a rotation.
    OperatorRotates,
    /// An operator asks for a check.
    OperatorVerifies,
    /// An operator pauses or resumes.
    OperatorPauses,
    /// An operator reads a code.
    OperatorReadsCode,
    /// A person stores the device's password.
    OperatorStores,
    /// An operator mends an account through its reconcile account.
    OperatorReconciles,
    /// A person says which password the device has.
    OperatorResolves,
    /// The config is read again.
    Reload,
    /// The daemon is stopped and started.
    Restart,
    /// The host's clocks run fast or slow for a while: a slew, or the smear of a leap second.
    ClockSlews,
    /// A device's clock drifts.
    DeviceDrifts,
    /// An administrator edits the config, and has it read again.
    ConfigEdited,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 32] = [
        Self::Cut,
        Self::CutInside,
        Self::Hang,
        Self::Late,
        Self::Silent,
        Self::Garbled,
        Self::Twice,
        Self::RefusesNew,
        Self::OnlySaysSo,
        Self::DiesAfterChange,
        Self::Crash,
        Self::HostReboot,
        Self::ClockSet,
        Self::DiskFull,
        Self::AuditFails,
        Self::DeviceDown,
        Self::DeviceRestores,
        Self::DeviceClock,
        Self::Impostor,
        Self::Expires,
        Self::OperatorRotates,
        Self::OperatorVerifies,
        Self::OperatorPauses,
        Self::OperatorReadsCode,
        Self::OperatorStores,
        Self::OperatorReconciles,
        Self::OperatorResolves,
        Self::Reload,
        Self::Restart,
        Self::ClockSlews,
        Self::DeviceDrifts,
        Self::ConfigEdited,
    ];

    /// Its bit in a mask.
    #[must_use]
    pub fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

/// The host on which the daemon runs.
#[derive(Debug, Clone)]
pub(super) struct Host {
    boots: u32,
    boot: BootId,
    booted: i64,
    /// Wall clock less true time, in milliseconds, when its rate last changed.
    error: i64,
    /// What the boot clock had gained since the boot then, in milliseconds.
    gained: i64,
    /// How fast both clocks run, beside true time: a slew moves both (adjtimex(2)).
    rate: Rate,
    /// When the wall clock was wrong, as (from, to), in true time.
    lies: Vec<(i64, i64)>,
    reboots: Vec<i64>,
}

impl Host {
    /// What the clocks gained by their rate since it last changed becomes a part of their errors.
    fn settle_rate(&mut self, now: i64, ppm: i64) {
        let gained = self.rate.gained(now);
        self.error += gained;
        self.gained += gained;
        self.rate = Rate { ppm, since: now };
    }
}

/// A clock that runs fast, or slow where negative, in parts of a million, since some true time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rate {
    pub(super) ppm: i64,
    pub(super) since: i64,
}

impl Rate {
    /// No kernel slews faster (adjtimex(2)).
    pub(super) const MOST_PPM: i64 = 500;

    /// Milliseconds gained by then.
    pub(super) fn gained(self, now: i64) -> i64 {
        (now - self.since) * self.ppm / 1_000_000
    }
}

/// What the omniscient checker remembers.
#[derive(Debug, Default)]
struct Memory {
    /// How often each code of a seed came.
    codes: BTreeMap<(Vec<u8>, String), usize>,
    commits: BTreeMap<AccountName, Vec<i64>>,
    refused: BTreeMap<AccountName, Vec<i64>>,
    /// When its device's password last changed, whoever did it.
    changed: BTreeMap<AccountName, i64>,
    /// Accounts whose refusals the world brought about, by a wrong clock, a lock or a lost configuration.
    excused: BTreeSet<AccountName>,
    /// Caps that were in force, and until when: an attempt keeps to the config that it began with.
    caps: Vec<(i64, u32)>,
}

/// No attempt lasts so long, in milliseconds.
const LONGEST_ATTEMPT: i64 = 2 * 3_600_000;

/// The world of one history.
pub(super) struct Universe {
    pub(super) on: Loop,
    draws: Mutex<Random>,
    fault_draws: Mutex<Vec<Random>>,
    /// One in so many; 0 for never.
    rates: Vec<usize>,
    /// No faults any more.
    calm: AtomicBool,
    sites: Mutex<BTreeMap<String, Site>>,
    host: Mutex<Host>,
    pub(super) books: Mutex<Books>,
    disk_full_until: AtomicI64,
    audit_fails_until: AtomicI64,
    /// Actions left until the daemon is killed; negative for none to come.
    crash_in: AtomicI64,
    memory: Mutex<Memory>,
    violation: Mutex<Option<String>>,
    pub(super) story: Mutex<Option<Vec<String>>>,
    /// What the daemon of the day says of its work.
    pub(super) progress: Mutex<Option<tokio::sync::broadcast::Receiver<Progress>>>,
    pub(super) coverage: Mutex<Coverage>,
    /// Calls that a crash cut off: dropped with the history, since dropping one earlier would answer it.
    graveyard: Mutex<Vec<Call>>,
    pub(super) config: Mutex<Config>,
    /// Accounts that an administrator took out of the config.
    pub(super) removed: Mutex<Vec<Arc<Account>>>,
}

/// True time begins here: 2026-01-05, a Monday, in milliseconds since 1970.
pub(super) const BEGIN: i64 = 1_767_571_200_000;

impl Universe {
    pub(super) fn new(seed: u64, rates: Vec<usize>, sites: BTreeMap<String, Site>, config: Config, tell: bool) -> Self {
        let fault_draws = (0..rates.len() as u64).map(|n| Random::new(seed, 1000 + n)).collect();
        let host = Host {
            boots: 0,
            boot: BootId("boot-0".into()),
            booted: -3_600_000,
            error: 0,
            gained: 0,
            rate: Rate::default(),
            lies: Vec::new(),
            reboots: Vec::new(),
        };
        Self {
            on: Loop::default(),
            draws: Mutex::new(Random::new(seed, 1)),
            fault_draws: Mutex::new(fault_draws),
            rates,
            calm: AtomicBool::new(false),
            sites: Mutex::new(sites),
            host: Mutex::new(host),
            books: Mutex::default(),
            disk_full_until: AtomicI64::new(-1),
            audit_fails_until: AtomicI64::new(-1),
            crash_in: AtomicI64::new(-1),
            memory: Mutex::default(),
            violation: Mutex::default(),
            story: Mutex::new(tell.then(Vec::new)),
            progress: Mutex::default(),
            coverage: Mutex::default(),
            graveyard: Mutex::default(),
            config: Mutex::new(config),
            removed: Mutex::default(),
        }
    }

    /// Milliseconds of true time since 1970.
    pub(super) fn now(&self) -> i64 {
        BEGIN + self.on.now()
    }

    pub(super) fn draw(&self, from: i64, to: i64) -> i64 {
        lock(&self.draws).within(from, to)
    }

    pub(super) fn fill(&self, bytes: &mut [u8]) {
        lock(&self.draws).fill(bytes);
    }

    pub(super) async fn wait(&self, ms: i64) {
        self.on.sleep(ms).await;
    }

    pub(super) fn tell(&self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut *lock(&self.story) {
            let at = self.on.now();
            let (day, rest) = (at / DAY_MS, at % DAY_MS);
            let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
            let time = format!("day {day} {hour:02}:{minute:02}:{second:02}.{:03}", rest % 1000);
            // What the daemon said until now; it is not woken for it, so that a told history is the same as an untold one.
            if let Some(progress) = &mut *lock(&self.progress) {
                loop {
                    match progress.try_recv() {
                        Ok(said) => story.push(format!("{time}  {}: {}", said.account, said.step.text)),
                        Err(TryRecvError::Lagged(lost)) => story.push(format!("{time}  ({lost} lines not told)")),
                        Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                    }
                }
            }
            story.push(format!("{time}  {}", line()));
        }
    }

    /// Whether a fault strikes now.
    pub(super) fn fault(&self, fault: Fault) -> bool {
        let rate = self.rates[fault as usize];
        if rate == 0 || self.calm.load(Ordering::Relaxed) {
            return false;
        }
        let strikes = lock(&self.fault_draws)[fault as usize].one_in(rate);
        if strikes {
            self.struck(fault);
            self.tell(|| format!("FAULT {fault:?}"));
        }
        strikes
    }

    pub(super) fn struck(&self, fault: Fault) {
        lock(&self.coverage).fault(fault);
    }

    pub(super) fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
        self.disk_full_until.store(-1, Ordering::Relaxed);
        self.audit_fails_until.store(-1, Ordering::Relaxed);
        self.crash_in.store(-1, Ordering::Relaxed);
        for site in lock(&self.sites).values_mut() {
            site.skew = site.always_off;
            site.drift = Rate::default();
            site.users.values_mut().for_each(|user| user.expired = false);
            site.down_until = 0;
            site.impostor_until = 0;
        }
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

    pub(super) fn disk_full_for(&self, ms: i64) {
        self.disk_full_until.store(self.on.now() + ms, Ordering::Relaxed);
    }

    pub(super) fn audit_fails_for(&self, ms: i64) {
        self.audit_fails_until.store(self.on.now() + ms, Ordering::Relaxed);
    }

    pub(super) fn site<T>(&self, device: &str, work: impl FnOnce(&mut Site) -> T) -> T {
        let mut sites = lock(&self.sites);
        // Every device of the config has a site; a device without one would be a mistake of the simulator.
        #[allow(clippy::expect_used)]
        work(sites.get_mut(device).expect("a site for each device"))
    }

    pub(super) fn site_goes_down(&self, device: &str) {
        let until = self.now() + self.draw(10, 600) * 1000;
        self.tell(|| format!("{device} goes down"));
        self.site(device, |site| site.down_until = until);
    }

    // The host.

    pub(super) fn set_clock(&self, error: i64) {
        let now = self.on.now();
        let mut host = lock(&self.host);
        if let Some(last) = host.lies.last_mut().filter(|(_, to)| *to > now) {
            last.1 = now;
        }
        host.settle_rate(now, 0);
        host.error = error;
        if error.abs() > 2_000 {
            host.lies.push((now, i64::MAX));
        }
        drop(host);
        self.tell(|| format!("the wall clock is set: {} s from the truth", error / 1000));
    }

    /// From now on the host's clocks run at this rate beside true time, until the wall clock is set.
    pub(super) fn slew_clock(&self, ppm: i64) {
        let now = self.on.now();
        let mut host = lock(&self.host);
        host.settle_rate(now, ppm);
        if host.lies.last().is_none_or(|(_, to)| *to <= now) {
            host.lies.push((now, i64::MAX));
        }
        drop(host);
        self.tell(|| format!("the host's clocks gain {ppm} us a second"));
    }

    /// What a time of this length may be less in truth, in milliseconds, where the host's clocks ran fast.
    fn slack(time_ms: i64) -> i64 {
        time_ms * Rate::MOST_PPM / 1_000_000
    }

    pub(super) fn reboot_host(&self) {
        let now = self.on.now();
        let mut host = lock(&self.host);
        let ppm = host.rate.ppm;
        host.settle_rate(now, ppm);
        host.gained = 0;
        host.boots += 1;
        host.boot = BootId(format!("boot-{}", host.boots).into());
        host.booted = now;
        host.reboots.push(now);
        drop(host);
        self.tell(|| "the host reboots".into());
    }

    /// Whether the host rebooted between two instants of true time since the beginning while its clock lied: then
    /// elapsed time cannot be known.
    fn time_was_lost(&self, from: i64, to: i64) -> bool {
        let host = lock(&self.host);
        let rebooted = host.reboots.iter().any(|at| (from..=to).contains(at));
        rebooted && host.lies.iter().any(|(begin, end)| *begin <= to && *end >= from)
    }

    // The checker.

    pub(super) fn violation(&self, what: impl Into<String>) {
        let what = what.into();
        self.tell(|| format!("VIOLATION {what}"));
        lock(&self.violation).get_or_insert(what);
        self.on.halt();
    }

    pub(super) fn violated(&self) -> Option<String> {
        if self.on.is_spent() {
            return Some("the daemon runs in a circle, without rest".into());
        }
        lock(&self.violation).clone()
    }

    pub(super) fn account(device: &str, user: &str) -> Option<AccountName> {
        AccountName::parse(&format!("{device}/{user}")).ok()
    }

    pub(super) fn excuse(&self, account: &AccountName) {
        lock(&self.memory).excused.insert(account.clone());
    }

    pub(super) fn is_excused(&self, account: &AccountName) -> bool {
        lock(&self.memory).excused.contains(account)
    }

    /// The device's password, as it is.
    pub(super) fn truth(&self, account: &AccountName) -> Option<String> {
        self.site(account.device().as_str(), |site| site.users.get(account.user()).map(|user| user.password.clone()))
    }

    pub(super) fn set_password(&self, device: &str, user: &str, new: &str) {
        let before = self.site(device, |site| {
            let user = site.users.get_mut(user)?;
            Some(std::mem::replace(&mut user.password, new.to_owned()))
        });
        if before.as_deref() == Some(new) {
            return;
        }
        self.tell(|| format!("{device}/{user} has another password now"));
        if let Some(account) = Self::account(device, user) {
            lock(&self.memory).changed.insert(account.clone(), self.on.now());
            self.check_known(&account);
        }
    }

    /// Promise 1: the vault durably holds the password that the device accepts.
    fn check_known(&self, account: &AccountName) {
        let Some(truth) = self.truth(account) else { return };
        let knows = lock(&self.books).book(account).is_none_or(|book| book.knows(&truth));
        if !knows {
            self.violation(format!("the vault does not hold the password that {account} has"));
        }
    }

    /// An account leaves doubt only with the password that its device has.
    fn check_proved(&self, account: &AccountName) {
        let Some(truth) = self.truth(account) else { return };
        let right = {
            let books = lock(&self.books);
            books.book(account).is_none_or(|book| book.two().0.is_some_and(|current| current.expose() == truth))
        };
        // Somebody else may have changed it since the login that proved it.
        let outside = lock(&self.memory).changed.get(account).is_some_and(|at| self.on.now() - at < 60_000);
        if !right && !outside {
            self.violation(format!("{account} comes to rest with a password that is not the device's"));
        }
    }

    /// The device was given this as a new password: that it might be had to be durable before.
    pub(super) fn saw_new(&self, device: &str, user: &str, text: &str) {
        let Some(account) = Self::account(device, user) else { return };
        let books = lock(&self.books);
        let Some(book) = books.book(&account) else { return };
        let (_, candidate) = book.two();
        let phase = book.phase();
        let is_candidate = candidate.is_some_and(|candidate| candidate.expose() == text);
        let known = book.knows(text);
        drop(books);
        if is_candidate && matches!(phase, Phase::Idle | Phase::Prepared | Phase::Changing) {
            self.violation(format!("the new password of {account} left before that was durable ({phase:?})"));
        } else if !known {
            self.violation(format!("a new password of {account} left that the vault does not hold"));
        }
    }

    /// Promise 3: no code comes twice, and none that was not reserved.
    pub(super) fn saw_code(&self, device: &str, user: &str, code: &str) {
        let seed = self.site(device, |site| site.users.get(user).and_then(|user| user.seed.clone()));
        let Some(seed) = seed else { return };
        // How many of its steps are reserved that have this code, no more than are asked for.
        let reserved = |enough: usize| {
            let books = lock(&self.books);
            let latest_first = books.used_order.iter().rev();
            let steps =
                latest_first.filter(|(key, step)| key.as_slice() == seed.key() && seed.code(*step).expose() == code);
            steps.take(enough).count()
        };
        let came = {
            let mut memory = lock(&self.memory);
            let came = memory.codes.entry((seed.key().to_vec(), code.to_owned())).or_default();
            *came += 1;
            *came
        };
        // Two steps have the same code once in a hundred million times.
        match reserved(came) {
            0 => self.violation(format!("{device}/{user} got a code that was not reserved")),
            steps if steps < came => self.violation(format!("{device}/{user} got a code for the second time")),
            _ => {}
        }
    }

    /// Promise 6: refused logins stay within the budget.
    pub(super) fn refused_login(&self, device: &str, user: &str) {
        let Some(account) = Self::account(device, user) else { return };
        let now = self.on.now();
        self.tell(|| format!("{account} is refused by its device"));
        let mut memory = lock(&self.memory);
        let times = memory.refused.entry(account.clone()).or_default();
        times.push(now);
        let hour = 3_600_000 - Self::slack(3_600_000);
        let recent: Vec<i64> = times.iter().copied().filter(|at| now - at < hour).collect();
        drop(memory);
        let budget =
            lock(&self.config).accounts.get(&account).map_or(2, |account| account.policy.failed_logins_per_hour);
        if recent.len() > budget as usize && !self.time_was_lost(recent[0], now) {
            self.violation(format!("{account} was refused {} times within an hour", recent.len()));
        }
    }

    pub(super) fn logged_in(&self, device: &str, user: &str) {
        self.tell(|| format!("{device}/{user} is logged in"));
        let most = self.site(device, |site| site.sessions);
        let allowed = lock(&self.config)
            .devices
            .values()
            .find(|known| known.name.as_str() == device)
            .map_or(1, |d| d.max_sessions);
        if most > allowed {
            self.violation(format!("{device} has {most} sessions at once, and {allowed} are allowed"));
        }
    }

    /// Promise 2: the cap.
    fn committed(&self, account: &AccountName) {
        let now = self.on.now();
        let cap = lock(&self.config).accounts.get(account).map_or(2, |account| account.policy.max_changes_per_day);
        let mut memory = lock(&self.memory);
        let before = memory.caps.iter().filter(|(until, _)| now - until < LONGEST_ATTEMPT).map(|(_, cap)| *cap).max();
        let cap = cap.max(before.unwrap_or(0));
        let times = memory.commits.entry(account.clone()).or_default();
        times.push(now);
        let day = DAY_MS - Self::slack(DAY_MS);
        let recent: Vec<i64> = times.iter().copied().filter(|at| now - at < day).collect();
        drop(memory);
        if recent.len() > cap as usize && !self.time_was_lost(recent[0], now) {
            self.violation(format!("{account} was changed {} times within 24 hours", recent.len()));
        }
    }

    /// The cap is edited: what began under the one before may still end.
    pub(super) fn cap_was(&self, cap: u32) {
        lock(&self.memory).caps.push((self.on.now(), cap));
    }

    /// How many commit points were passed in all.
    pub(super) fn commits(&self) -> usize {
        lock(&self.memory).commits.values().map(Vec::len).sum()
    }

    /// Carries a call out, as the vault's thread does.
    fn execute(&self, call: Call) {
        if self.on.is_halted() || self.dies_now() {
            return lock(&self.graveyard).push(call);
        }
        let now = self.on.now();
        let mut books = lock(&self.books);
        let mark = books.mark();
        let (worked, reply) = call(&Pages::new(&mut books));
        let full = now < self.disk_full_until.load(Ordering::Relaxed);
        let mut touched: Vec<(AccountName, Option<Phase>, Phase)> = Vec::new();
        if full || !worked {
            books.roll_back(mark);
        } else if !Arc::ptr_eq(&mark.accounts, &books.accounts) {
            // Accounts come and never go, and both lists are in order.
            let mut marked = mark.accounts.iter().peekable();
            for book in books.accounts.iter() {
                let before = marked.next_if(|before| before.name() == book.name());
                if before.is_none_or(|before| !Arc::ptr_eq(before, book)) {
                    touched.push((book.name().clone(), before.map(|before| before.phase()), book.phase()));
                }
            }
        }
        let sent = std::mem::take(&mut books.sent);
        drop(books);
        if full {
            self.struck(Fault::DiskFull);
            return reply(Err(VaultError::Commit("database or disk is full".into())));
        }
        if worked {
            sent.iter().for_each(|account| self.committed(account));
            for (account, before, after) in &touched {
                if *before != Some(*after) {
                    self.tell(|| format!("{account}: {before:?} -> {after:?}"));
                }
                self.check_known(account);
                let doubted = matches!(before, Some(Phase::Sent | Phase::Verifying | Phase::Uncertain(_)));
                if doubted && *after == Phase::Idle {
                    self.check_proved(account);
                }
            }
        }
        if self.dies_now() {
            return;
        }
        if now < self.audit_fails_until.load(Ordering::Relaxed) {
            self.struck(Fault::AuditFails);
            return reply(Err(VaultError::Audit("No space left on device".into())));
        }
        reply(Ok(()));
    }
}

/// The vault of a universe.
pub(super) struct SimCarrier(pub(super) Arc<Universe>);

impl Carrier for SimCarrier {
    fn carry(&self, call: Call) -> Result<(), VaultError> {
        let universe = self.0.clone();
        let after = universe.draw(0, 4);
        self.0.on.later(after, move || universe.execute(call));
        Ok(())
    }
}

/// The clocks of a universe.
pub(super) struct SimTime(pub(super) Arc<Universe>);

impl Time for SimTime {
    fn now(&self) -> Moment {
        let now = self.0.on.now();
        let host = lock(&self.0.host);
        let fast = host.rate.gained(now);
        let since_boot_ms = now - host.booted + host.gained + fast;
        Moment { wall_ms: BEGIN + now + host.error + fast, boot: host.boot.clone(), since_boot_ms }
    }

    fn sleep(&self, time: Duration) -> Waiting<'static, ()> {
        Box::pin(self.0.on.sleep(i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)))
    }

    fn longest_sleep(&self) -> Duration {
        Duration::from_secs(1800)
    }
}

//! One history: a fleet, days of scheduled work, faults and operators, all from one seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::books::{Book, RESTORED};
use super::coverage::Coverage;
use super::events::{agenda, befall};
use super::executor::{Tasks, lock};
use super::faults::Fault;
use super::fleet::{SimWire, keys};
use super::host::SimTime;
use super::random::Random;
use super::setting::{Fleet, fleet, rates};
use super::universe::{SimCarrier, Universe};
use crate::clock::Clock;
use crate::config::Config;
use crate::daemon::{Core, Request, World, jump_accounts};
use crate::model::{AccountName, Outcome, Secret, Trigger};
use crate::policy::DAY_MS;
use crate::rotation::Phase;
use crate::template::Section;
use crate::vault::{Kind, Vault};

/// What a history may hold.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The seed: the same seed, the same history.
    pub seed: u64,
    /// Faults left out, by their bits.
    pub without: u64,
    /// Days of faults.
    pub days: i64,
    /// Whether to tell what happens.
    pub tell: bool,
}

impl Plan {
    /// The whole history of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self {
            seed,
            without: 0,
            days: if seed.is_multiple_of(4) { 3 } else { 1 + i64::from(seed.is_multiple_of(2)) },
            tell: false,
        }
    }
}

/// How a history ended.
#[derive(Debug)]
pub struct Ended {
    /// The promise that was broken.
    pub violation: Option<String>,
    /// What happened, where it was to be told.
    pub story: Vec<String>,
    /// What it reached.
    pub coverage: Coverage,
}

/// In milliseconds.
pub(super) const HOUR: i64 = 3_600_000;
/// Within this time after the last fault everything converges that can.
const BOUND: i64 = 12 * HOUR;
/// So much later where something was begun in the last of these hours.
const LATE: i64 = 2 * HOUR;

/// One life of the daemon: from its start to a crash, a stop, or the end.
struct Life {
    core: Arc<Core>,
    tasks: Tasks,
}

fn start(universe: &Arc<Universe>) -> Life {
    universe.refusals_forgotten();
    let config = lock(&universe.config).clone();
    let vault = Vault::over(Arc::new(SimCarrier(universe.clone())), PathBuf::new());
    let (filling, spawning, watching) = (universe.clone(), universe.clone(), universe.clone());
    let world = World {
        clock: Clock::over(Arc::new(SimTime(universe.clone()))),
        wire: Arc::new(SimWire(universe.clone())),
        random: Arc::new(move |bytes| {
            filling.fill(bytes);
            Ok(())
        }),
        spawn: Arc::new(move |task| spawning.on.spawn(task)),
        witness: Arc::new(move |phase, event| lock(&watching.coverage).transition(phase, event)),
    };
    let core = Core::assemble(Path::new("/dev/null"), config, vault, world);
    let beginning = core.clone();
    universe.on.spawn(Box::pin(async move {
        // Where the vault fails at the start the daemon ends, and the service manager starts it again.
        while beginning.begin().await.is_err() {
            beginning.clock.sleep(Duration::from_secs(60)).await;
        }
    }));
    if lock(&universe.story).is_some() {
        *lock(&universe.progress) = Some(core.progress.subscribe());
    }
    universe.tell(|| "the daemon starts".into());
    Life { core, tasks: Tasks::default() }
}

/// Runs a history.
#[must_use]
pub fn run(plan: Plan) -> Ended {
    let mut random = Random::new(plan.seed, 0);
    let Fleet { config, sites } = fleet(&mut random);
    let mut order = Random::new(plan.seed, 2);
    let rates = rates(&mut Random::new(plan.seed, 3), plan.without);
    let universe = Arc::new(Universe::new(plan.seed, rates, sites, config, plan.tell));
    let until = plan.days * DAY_MS;
    for (name, site) in &*lock(&universe.sites) {
        let (strict, off) = (if site.strict { "strict, " } else { "" }, site.always_off);
        universe.tell(|| format!("{name}: {:?}, {strict}its clock is {off} ms off", site.asks));
    }
    let agenda = agenda(&mut Random::new(plan.seed, 4), plan.without, until);
    let mut life = start(&universe);
    import(&universe, &life);
    let mut details = Random::new(plan.seed, 5);
    for (at, fault) in agenda {
        run_until(&universe, &mut life, at, &mut order, &mut details);
        if universe.violated().is_some() {
            return ended(&universe, plan);
        }
        lock(&universe.coverage).held += u64::from(life.core.logins_held().is_some());
        match fault {
            Fault::Restart | Fault::HostReboot => {
                universe.struck(fault);
                stop(&universe, &mut life, &mut order, fault == Fault::Restart);
                if fault == Fault::HostReboot {
                    universe.reboot_host();
                }
                let pause = details.within(1000, 2 * HOUR);
                universe.run(&mut Tasks::default(), universe.on.now() + pause, &mut order, || false);
                life = start(&universe);
            }
            Fault::BackupRestored | Fault::VaultRolledBack => {
                let Some((taken, backup)) = lock(&universe.backup).take() else { continue };
                universe.struck(fault);
                stop(&universe, &mut life, &mut order, false);
                let pause = details.within(60_000, 2 * HOUR);
                universe.run(&mut Tasks::default(), universe.on.now() + pause, &mut order, || false);
                let rolled_back = fault == Fault::VaultRolledBack;
                universe.restore(taken, backup, rolled_back);
                life = start(&universe);
                if !rolled_back && details.one_in(2) {
                    verify_all(&universe, &life);
                }
            }
            fault => befall(&universe, &life.core, fault, &mut details),
        }
    }
    run_until(&universe, &mut life, until, &mut order, &mut details);
    if universe.violated().is_none() {
        settle(&universe, &mut life, &mut order);
    }
    ended(&universe, plan)
}

fn import(universe: &Arc<Universe>, life: &Life) {
    for account in lock(&universe.config).accounts.keys() {
        let Some(truth) = universe.truth(account) else { continue };
        let (user, off) =
            universe.site(account.device_str(), |site| (site.users.get(account.user()).cloned(), site.always_off));
        let (seed, key) = user.map_or((None, None), |user| (user.seed, user.key.and_then(|key| keys().get(key))));
        if off != 0 {
            // Its first codes are refused until its clock is known.
            universe.excuse(account);
        }
        let (core, account) = (life.core.clone(), account.clone());
        universe.on.spawn(Box::pin(async move {
            // A full disk at the very start is not what is tested.
            drop(core.store_secret(account.clone(), Kind::Password, Secret::new(truth), None).await);
            if let Some(seed) = seed {
                drop(core.store_secret(account.clone(), Kind::Totp, seed.to_uri(), None).await);
            }
            if let Some((key, _)) = key {
                drop(core.store_secret(account, Kind::SshKey, key.clone(), None).await);
            }
        }));
    }
}

/// As the manual has it after a restore: a person asks for a look at every account.
fn verify_all(universe: &Arc<Universe>, life: &Life) {
    for account in lock(&universe.config).accounts.keys() {
        universe.person_asks();
        let (core, account) = (life.core.clone(), account.clone());
        universe.on.spawn(Box::pin(async move { drop(core.verify(&account, None, None).await) }));
    }
}

/// Runs to an instant, through crashes.
fn run_until(universe: &Arc<Universe>, life: &mut Life, until: i64, order: &mut Random, details: &mut Random) {
    while universe.on.now() < until {
        universe.run(&mut life.tasks, until, order, || false);
        if !universe.on.is_halted() || universe.violated().is_some() {
            return;
        }
        universe.on.bury(&mut life.tasks);
        if details.one_in(4) {
            universe.reboot_host();
        }
        let pause = details.within(500, HOUR);
        universe.run(&mut Tasks::default(), universe.on.now() + pause, order, || false);
        *life = start(universe);
    }
}

/// Stops the daemon, politely or not.
fn stop(universe: &Arc<Universe>, life: &mut Life, order: &mut Random, politely: bool) {
    if politely {
        universe.tell(|| "the daemon is asked to stop".into());
        life.core.stop();
        let core = life.core.clone();
        let until = universe.on.now() + 80_000;
        universe.run(&mut life.tasks, until, order, || core.at_work() == 0);
    }
    universe.on.bury(&mut life.tasks);
    // Nobody is left to be killed by what its last calls to the vault come to.
    universe.crash_after(-1);
}

/// No faults any more: what can converge does so, and every account at rest can be changed.
fn settle(universe: &Arc<Universe>, life: &mut Life, order: &mut Random) {
    universe.tell(|| "all is well from here on".into());
    universe.calm_down();
    universe.set_clock(0);
    for account in lock(&universe.removed).drain(..) {
        lock(&universe.config).accounts.insert(account.name.clone(), account);
    }
    let accounts: Vec<AccountName> = lock(&universe.config).accounts.keys().cloned().collect();
    // Nothing new is begun, so that what is left is what the faults left; and nobody restarts it, mostly.
    lock(&universe.config).jobs.clear();
    if order.one_in(3) {
        stop(universe, life, order, true);
        *life = start(universe);
    } else {
        life.core.adopt(lock(&universe.config).clone());
    }
    // Budgets and locks are of an hour, and what is uncertain is looked at every hour.
    universe.run(&mut life.tasks, universe.on.now() + BOUND, order, || false);
    // What began in the last of these hours may end, though it has to wait for its budget.
    let (core, world) = (life.core.clone(), universe.clone());
    let at_rest = || {
        let rests = |book: &Book| matches!(book.phase(), Phase::Idle | Phase::Quarantined);
        core.at_work() == 0 && lock(&world.books).accounts.iter().all(rests)
    };
    universe.run(&mut life.tasks, universe.on.now() + LATE, order, at_rest);
    // Where nearly all have changed since the backup, a person has to ask.
    let waits = universe.was_restored() && life.core.logins_held().is_some();
    for account in &accounts {
        if universe.violated().is_some() {
            return;
        }
        judge(universe, account, waits);
    }
    hear_log(universe);
    if universe.violated().is_some() {
        return;
    }
    let finals: Arc<std::sync::Mutex<BTreeMap<AccountName, (Outcome, String)>>> = Arc::default();
    for account in &accounts {
        let (core, finals, account, universe) = (life.core.clone(), finals.clone(), account.clone(), universe.clone());
        let on = universe.on;
        on.spawn(Box::pin(async move {
            for _ in 0..40 {
                // A person sees to what waits for one.
                let login = core.config().accounts.get(&account).and_then(|account| account.login_as.clone());
                let on_the_way = lead_to(&core.config(), &account);
                for name in [account.clone()].into_iter().chain(login).chain(on_the_way) {
                    let asked = name.clone();
                    let row = core.vault.call(move |tx| Ok(tx.account(&asked)?.map(|row| row.phase))).await;
                    if let Ok(Some(Phase::Quarantined)) = row {
                        universe.person_stores(&core, &name).await;
                    }
                }
                // Where only the login changes a password, an administrator expires it first.
                universe.site(account.device_str(), |site| {
                    if let Some(user) = site.users.get_mut(account.user()).filter(|_| site.only_at_login) {
                        user.expired = true;
                    }
                });
                universe.person_asks();
                let result = core.rotate(Request::of(account.clone(), Trigger::Command)).await;
                // A job may have been there before: then the cap or the least age stands against it.
                let before = ["the cap", "min_age"].iter().any(|rule| result.detail.starts_with(rule));
                let changed = before
                    && core.vault.call(|tx| tx.all_changes()).await.is_ok_and(|all| {
                        let now = core.clock.now();
                        all.get(account.as_str()).is_some_and(|stamps| stamps.iter().any(|at| now.since(at) < DAY_MS))
                    });
                let outcome = if changed { Outcome::Done } else { result.outcome };
                lock(&finals).insert(account.clone(), (outcome, result.detail));
                if outcome == Outcome::Done {
                    return;
                }
                core.clock.sleep(Duration::from_secs(3600)).await;
            }
        }));
    }
    let (all, so_far) = (accounts.len(), finals.clone());
    let over = move || {
        let finals = lock(&so_far);
        finals.len() == all && finals.values().all(|(outcome, _)| *outcome == Outcome::Done)
    };
    universe.run(&mut life.tasks, universe.on.now() + 45 * HOUR, order, over);
    for account in &accounts {
        match lock(&finals).get(account) {
            Some((Outcome::Done, _)) => {}
            other => {
                let other = other.map(|(outcome, detail)| format!("{outcome:?}, {detail}"));
                universe.violation(format!("{account} cannot be changed though all is well: {other:?}"));
            }
        }
    }
}

/// The accounts that log in on the way to another one's device.
fn lead_to(config: &Config, account: &AccountName) -> Vec<AccountName> {
    config.devices.get(&account.device()).map_or_else(Vec::new, |device| jump_accounts(config, device, account.user()))
}

/// An account after the faults ended: at rest with the device's password, or rightly waiting for a person.
fn judge(universe: &Arc<Universe>, account: &AccountName, waits: bool) {
    let Some(truth) = universe.truth(account) else { return };
    let books = lock(&universe.books);
    let Some(book) = books.book(account) else { return };
    let (current, candidate) = book.two();
    let holds = |secret: Option<&Secret>| secret.is_some_and(|secret| secret.expose() == truth);
    let (phase, why) = (book.phase(), book.last_error().unwrap_or("-").to_owned());
    let right = holds(current);
    let later = book.taken_back().filter(|_| candidate.is_none());
    let known = right || holds(candidate) || holds(later.map(|version| &version.secret));
    // Nobody gets to its device where a person has to see to the account on the way.
    let config = lock(&universe.config);
    let proves = config.accounts.get(account).filter(|account| account.template.section(Section::Verify).is_some());
    let login = proves.and_then(|account| account.login_as.clone());
    let mut needed = lead_to(&config, account).into_iter().chain(login);
    let barred = needed.any(|name| books.book(&name).is_some_and(|book| book.phase() == Phase::Quarantined));
    drop(config);
    drop(books);
    match phase {
        Phase::Idle if right => {}
        // Nobody looked since the device lost its configuration.
        Phase::Idle
            if universe.is_excused(account) || universe.changed_late(account) || universe.is_forgotten(account) => {}
        Phase::Idle => universe.violation(format!("{account} is at rest with a password that is not the device's")),
        Phase::Quarantined if !known || universe.is_excused(account) => {}
        Phase::Quarantined => universe.violation(format!("{account} waits for a person without need: {why}")),
        _ if barred => {}
        Phase::Uncertain(_) if waits => {}
        // It mends itself again and again, and no login proves that, since its seed is wrong.
        Phase::Uncertain(_) if universe.is_excused(account) && universe.was_changed_within(account, LATE) => {}
        phase => universe.violation(format!("{account} is still {phase:?} 12 h after the last fault: {why}")),
    }
}

/// Promise 7: every start has an end, and every change its three events.
fn hear_log(universe: &Arc<Universe>) {
    let books = lock(&universe.books);
    let mut open: BTreeMap<&str, &str> = BTreeMap::new();
    for noted in &books.log {
        let account = noted.account.as_ref().map_or("", AccountName::as_str);
        match noted.event {
            "rotation.start" => {
                open.insert(account, noted.attempt.as_deref().unwrap_or_default());
            }
            RESTORED => open.clear(),
            "rotation.done" | "rotation.failed" | "rotation.recovered" | "rotation.unknown" | "secret.set" => {
                open.remove(account);
            }
            _ => {}
        }
    }
    let left: Vec<String> = open.keys().map(|account| (*account).to_owned()).collect();
    for noted in books
        .log
        .iter()
        .filter(|noted| noted.account.as_ref().map(AccountName::as_str) == left.first().map(String::as_str))
    {
        universe.tell(|| format!("on record: {} {}", noted.event, noted.attempt.as_deref().unwrap_or("-")));
    }
    let sent = books.log.iter().filter(|noted| noted.event == "rotation.sent").count();
    drop(books);
    if let Some(account) = left.first() {
        universe.violation(format!("the log has a start and no end of a rotation of {account}"));
    }
    if sent != universe.commits() {
        universe.violation(format!("{} commit points were passed, and {sent} are on record", universe.commits()));
    }
}

fn ended(universe: &Arc<Universe>, plan: Plan) -> Ended {
    let mut coverage = std::mem::take(&mut *lock(&universe.coverage));
    coverage.histories = 1;
    coverage.days = plan.days.unsigned_abs();
    coverage.changes = universe.commits() as u64;
    let count = |event| lock(&universe.books).log.iter().filter(|noted| noted.event == event).count() as u64;
    coverage.proved = count("rotation.verified");
    coverage.refused = count("rotation.refused");
    universe.tell(|| "the end".into());
    universe.on.forget();
    universe.forget_the_dead();
    let story = lock(&universe.story).take().unwrap_or_default();
    Ended { violation: universe.violated(), story, coverage }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod schedule_tests;

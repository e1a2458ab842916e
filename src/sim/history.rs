//! One history: a fleet, days of scheduled work, faults and operators, all from one seed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::coverage::Coverage;
use super::events::{agenda, befall};
use super::executor::{Tasks, lock};
use super::faults::Fault;
use super::fleet::{SimWire, keys};
use super::habits;
use super::host::SimTime;
use super::random::Random;
use super::setting::{Fleet, Oddities, fleet, rates};
use super::settle::settle;
use super::universe::{SimBackend, Universe};
use crate::clock::Clock;
use crate::daemon::{Core, World};
use crate::model::{EventKind, Secret};
use crate::policy::DAY_MS;
use crate::vault::{Kind, Vault};

/// What a history may hold.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The seed: the same seed, the same history.
    pub seed: u64,
    /// Faults left out, by their bits.
    pub without: u64,
    /// Habits of devices left out, by their bits.
    pub without_habits: u64,
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
            without_habits: 0,
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

/// One life of the daemon: from its start to a crash, a stop, or the end.
pub(super) struct Life {
    pub(super) core: Arc<Core>,
    pub(super) tasks: Tasks,
}

pub(super) fn start(universe: &Arc<Universe>) -> Life {
    universe.refusals_forgotten();
    let config = lock(&universe.config).clone();
    let vault = Vault::over(Arc::new(SimBackend(universe.clone())), None, PathBuf::new());
    let (filling, spawning, watching) = (universe.clone(), universe.clone(), universe.clone());
    let world = World {
        clock: Clock::over(Arc::new(SimTime(universe.clone()))),
        connector: Arc::new(SimWire(universe.clone())),
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
    let mut fleet = fleet(&mut random, Some(Oddities::of(plan.seed, plan.without_habits)));
    habits::give(&mut fleet, &mut Random::new(plan.seed, 7), plan.without_habits);
    let Fleet { config, sites } = fleet;
    let mut order = Random::new(plan.seed, 2);
    let rates = rates(&mut Random::new(plan.seed, 3), plan.without);
    let universe = Arc::new(Universe::new(plan.seed, rates, sites, config, plan.tell));
    let until = plan.days * DAY_MS;
    for (name, site) in &*lock(&universe.sites) {
        let (strict, off) = (if site.strict { "strict, " } else { "" }, site.always_off);
        universe
            .tell(|| format!("{name}: {:?}, {strict}its clock is {off} ms off; {}", site.asks, site.habits.names()));
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

/// Stores what each account has at its device.
pub(super) fn import(universe: &Arc<Universe>, life: &Life) {
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
        universe.lose_lingering();
        if details.one_in(4) {
            universe.reboot_host();
        }
        let pause = details.within(500, HOUR);
        universe.run(&mut Tasks::default(), universe.on.now() + pause, order, || false);
        *life = start(universe);
    }
}

/// Stops the daemon, politely or not.
pub(super) fn stop(universe: &Arc<Universe>, life: &mut Life, order: &mut Random, politely: bool) {
    if politely {
        universe.tell(|| "the daemon is asked to stop".into());
        life.core.stop();
        let core = life.core.clone();
        let until = universe.on.now() + 80_000;
        universe.run(&mut life.tasks, until, order, || core.at_work() == 0);
    } else {
        universe.lose_lingering();
    }
    universe.on.bury(&mut life.tasks);
    // Nobody is left to be killed by what its last calls to the vault come to.
    universe.crash_after(-1);
}

fn ended(universe: &Arc<Universe>, plan: Plan) -> Ended {
    let mut coverage = std::mem::take(&mut *lock(&universe.coverage));
    coverage.histories = 1;
    coverage.days = plan.days.unsigned_abs();
    coverage.changes = universe.commits() as u64;
    let count = |event| lock(&universe.books).log.iter().filter(|noted| noted.event == event).count() as u64;
    coverage.proved = count(EventKind::RotationVerified);
    coverage.refused = count(EventKind::RotationRefused);
    universe.tell(|| "the end".into());
    universe.on.forget();
    universe.forget_the_dead();
    let story = lock(&universe.story).take().unwrap_or_default();
    Ended { violation: universe.violated(), story, coverage }
}

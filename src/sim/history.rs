//! One history: a fleet, days of scheduled work, faults and operators, all from one seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use zeroize::Zeroizing;

use super::coverage::Coverage;
use super::executor::{Tasks, lock};
use super::fleet::{Asks, SimWire, Site, User, reboot};
use super::random::Random;
use super::universe::{Fault, Rate, SimCarrier, SimTime, Universe};
use crate::audit::Draft;
use crate::clock::Clock;
use crate::config::{Access, Account, Config, Daemon, Device, Job, JobAction, KeySource, Library};
use crate::daemon::{Core, DeviceHas, Request, World};
use crate::device::Aim;
use crate::dialogue::LoginFormat;
use crate::model::{AccountName, DeviceName, Outcome, Secret, Trigger};
use crate::policy::{DAY_MS, PasswordRules, Policy};
use crate::rotation::Phase;
use crate::schedule::{Crontab, Window};
use crate::template::{Checked, load};
use crate::totp::{Algorithm, Seed};
use crate::vault::{Kind, Vault};

/// What a history may hold.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The seed: the same seed, the same history.
    pub seed: u64,
    /// Faults left out, by their bits.
    pub without: u32,
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

const HOUR: i64 = 3_600_000;
/// Within this time after the last fault everything converges that can.
const BOUND: i64 = 12 * HOUR;

fn template(name: &'static str) -> Arc<Checked> {
    static ALL: OnceLock<BTreeMap<&'static str, Arc<Checked>>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        [
            ("linux-passwd", include_str!("../../templates/linux/linux-passwd.template")),
            ("linux-passwd-as-root", include_str!("../../templates/linux/linux-passwd-as-root.template")),
            ("linux-sudo-passwd", include_str!("../../templates/linux/linux-sudo-passwd.template")),
            ("login-only", "expect-regex \"/[$#>%] ?$/\"\nexec \"exit\"\nend\n"),
            ("cisco-ios", include_str!("../../templates/cisco/cisco-ios.template")),
        ]
        .into_iter()
        .filter_map(|(name, text)| Some((name, Arc::new(load(Path::new(name), text).0?))))
        .collect()
    });
    // The templates are part of the build.
    #[allow(clippy::expect_used)]
    all.get(name).cloned().expect("a template of the library")
}

struct Fleet {
    config: Config,
    sites: BTreeMap<String, Site>,
}

/// A fleet of one to three devices with two to five accounts.
fn fleet(random: &mut Random) -> Fleet {
    let policy = Arc::new(Policy {
        password: PasswordRules { length: 16, ..PasswordRules::default() },
        max_changes_per_day: if random.one_in(4) { 1 } else { 2 },
        min_age: Duration::from_secs(if random.one_in(3) { 3600 } else { 0 }),
        max_age: None,
        history: 2 + random.below(4),
        attempts: u32::try_from(1 + random.below(4)).unwrap_or(1),
        retry_after: Duration::from_secs(if random.one_in(2) { 300 } else { 1800 }),
        auto_reconcile: random.one_in(2),
        failed_logins_per_hour: 2,
    });
    let mut config = Config {
        daemon: Daemon {
            state_dir: PathBuf::new(),
            socket: PathBuf::new(),
            template_dirs: Vec::new(),
            timezone: if random.one_in(2) { chrono_tz::Europe::Berlin } else { chrono_tz::UTC },
            max_concurrent: 1 + random.below(8),
        },
        vault_key: KeySource::Credential("simulated".into()),
        recovery_key: None,
        escrow: None,
        access: Access::default(),
        devices: BTreeMap::new(),
        accounts: BTreeMap::new(),
        jobs: BTreeMap::new(),
        library: Library::default(),
    };
    let mut sites = BTreeMap::new();
    let shared = random.one_in(3).then(|| seed(random));
    for number in 0..1 + random.below(3) {
        let name = format!("d{number}");
        let (kind, users): (&'static str, &[&str]) = match random.below(9) {
            0 | 4 => ("linux-passwd", &["ada", "bob", "root"]),
            1 | 5 => ("linux-sudo-passwd", &["root", "svc"]),
            2 | 6 => ("linux-passwd-as-root", &["root", "svc", "web", "www"]),
            8 => ("login-only", &["ada"]),
            _ => ("cisco-ios", &["root", "svc"]),
        };
        let asks = Asks::ALL[random.below(Asks::ALL.len())];
        let needs_code = matches!(kind, "linux-sudo-passwd" | "login-only");
        let asks = if needs_code && asks == Asks::PasswordOnly { Asks::PasswordThenCode } else { asks };
        let Ok(device_name) = DeviceName::parse(&name) else { continue };
        let device = Arc::new(Device {
            name: device_name.clone(),
            host: "192.0.2.1".into(),
            port: 22,
            host_keys: vec![format!("SHA256:{name}")],
            known_hosts: None,
            template_sha256: None,
            template: kind.into(),
            jump: None,
            jump_account: None,
            max_sessions: 1 + random.below(3),
            legacy_algorithms: false,
            login_format: if asks == Asks::Joined { LoginFormat::PasswordThenCode } else { LoginFormat::Separate },
            connect_timeout: Duration::from_secs(10),
            fields: BTreeMap::new(),
        });
        config.devices.insert(device_name, device.clone());
        let always_off = if random.one_in(6) { random.within(-60_000, 60_000) } else { 0 };
        let mut site = Site {
            asks,
            users: BTreeMap::new(),
            saved: BTreeMap::new(),
            saves_by_command: kind == "cisco-ios",
            only_at_login: kind == "login-only",
            skew: always_off,
            always_off,
            drift: Rate::default(),
            locks_after: if random.one_in(2) { 3 + random.below(3) } else { 0 },
            hangs_up_on_refusal: random.one_in(4),
            down_until: 0,
            impostor_until: 0,
            sessions: 0,
            most_sessions: 0,
        };
        for user in users {
            let own_seed = shared.clone().unwrap_or_else(|| seed(random));
            let password = format!("First-{name}-{user}-{}", random.below(1_000_000));
            let seed = (asks != Asks::PasswordOnly).then_some(own_seed);
            site.users.insert((*user).into(), User::new(password, seed));
            let by_root = !matches!(*user, "root" | "ada" | "bob");
            let root = Universe::account(&name, "root").filter(|_| by_root);
            let mender = Universe::account(&name, "root").filter(|_| *user != "root" && kind != "login-only");
            let Some(account) = Universe::account(&name, user) else { continue };
            let account = Account {
                name: account.clone(),
                policy: policy.clone(),
                device: device.clone(),
                login_as: root.clone(),
                reconcile_as: mender.filter(|_| random.one_in(2)),
                after: root.filter(|_| random.one_in(3)),
                fields: BTreeMap::new(),
                template: template(kind),
            };
            config.accounts.insert(account.name.clone(), Arc::new(account));
        }
        site.saved = site.users.iter().map(|(name, user)| (name.clone(), user.password.clone())).collect();
        sites.insert(name, site);
    }
    let schedules = schedules();
    for number in 0..1 + random.below(2) {
        let (schedule, crontab) = &schedules[random.below(schedules.len())];
        let job = Job {
            name: format!("j{number}"),
            schedule_text: (*schedule).into(),
            schedule: crontab.clone(),
            accounts: vec![if random.one_in(2) { "*".into() } else { format!("d{number}/*") }],
            spread: Duration::from_secs(if random.one_in(2) { 2700 } else { 0 }),
            window: random.one_in(5).then(|| Window::parse("01:00-05:00").ok()).flatten(),
            action: if random.one_in(5) { JobAction::Verify } else { JobAction::Rotate },
            on_signal: false,
            catch_up: random.one_in(2),
        };
        config.jobs.insert(job.name.clone(), Arc::new(job));
    }
    Fleet { config, sites }
}

fn schedules() -> &'static [(&'static str, Crontab)] {
    static ALL: OnceLock<Vec<(&'static str, Crontab)>> = OnceLock::new();
    ALL.get_or_init(|| {
        let texts = [
            "0 */6 * * *",
            "30 2 * * *",
            "15 1,13 * * *",
            "0 5-20/3 * * *",
            "10 */4 * * *",
            "0 */8 * * *",
            "*/40 0-3 * * *",
        ];
        texts.into_iter().filter_map(|text| Some((text, Crontab::parse(text).ok()?))).collect()
    })
}

fn seed(random: &mut Random) -> Seed {
    let mut key = Zeroizing::new(vec![0; 20]);
    random.fill(&mut key);
    // Eight digits, so that two codes of a history are not the same by chance.
    #[allow(clippy::expect_used)]
    Seed::new(key, Algorithm::Sha1, 8, 30).expect("a sound seed")
}

/// How often each fault strikes: one in so many, 0 for never.
fn rates(random: &mut Random, without: u32) -> Vec<usize> {
    // Some histories are rough, some nearly calm.
    let roughness = [12, 40, 150, 600][random.below(4)];
    Fault::ALL
        .iter()
        .map(|fault| {
            let scale = 1 + random.below(4);
            let never = random.one_in(3);
            if never || without & fault.bit() != 0 { 0 } else { roughness * scale }
        })
        .collect()
}

/// One life of the daemon: from its start to a crash, a stop, or the end.
struct Life {
    core: Arc<Core>,
    tasks: Tasks,
}

fn start(universe: &Arc<Universe>) -> Life {
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

/// What befalls the world at one moment.
fn befall(universe: &Arc<Universe>, core: &Arc<Core>, fault: Fault, random: &mut Random) {
    let accounts: Vec<AccountName> = lock(&universe.config).accounts.keys().cloned().collect();
    let account = accounts[random.below(accounts.len())].clone();
    let device = account.device().to_string();
    if !matches!(fault, Fault::Crash | Fault::DiskFull | Fault::AuditFails) {
        universe.struck(fault);
        universe.tell(|| format!("FAULT {fault:?} ({account})"));
    }
    let mut everyone = accounts.clone();
    everyone.extend(lock(&universe.removed).iter().map(|account| account.name.clone()));
    let everyone_there = || everyone.iter().filter(|other| other.device().as_str() == device);
    match fault {
        Fault::Crash => universe.crash_after(random.within(0, 60)),
        Fault::ClockSet => {
            let error = match random.below(6) {
                0 => -random.within(0, 40 * 365 * DAY_MS),
                1 => random.within(0, 10 * 365 * DAY_MS),
                2 => -random.within(0, 3 * DAY_MS),
                3 => random.within(0, 3 * DAY_MS),
                4 => random.within(-90_000, 90_000),
                _ => 0,
            };
            universe.set_clock(error);
            if error != 0 {
                everyone.iter().for_each(|account| universe.excuse(account));
            }
            // Some notice at once, and set it right before the daemon has looked at it.
            if random.one_in(3) {
                let (world, after) = (universe.clone(), random.within(1000, 40 * 60_000));
                universe.on.later(after, move || world.set_clock(0));
            }
        }
        Fault::ClockSlews => {
            // A leap second is smeared over a day, as 1 s in 86,400.
            let leap = random.one_in(3);
            universe.slew_clock(if leap { 12 } else { random.within(-Rate::MOST_PPM, Rate::MOST_PPM + 1) });
            everyone.iter().for_each(|account| universe.excuse(account));
        }
        Fault::DeviceDrifts => {
            let drift = Rate { ppm: random.within(-1500, 1500), since: universe.on.now() };
            universe.site(&device, |site| site.drift = drift);
            everyone_there().for_each(|account| universe.excuse(account));
        }
        Fault::ConfigEdited => {
            edit(universe, random);
            core.adopt(lock(&universe.config).clone());
        }
        Fault::DiskFull => universe.disk_full_for(random.within(1, HOUR / 3)),
        Fault::AuditFails => universe.audit_fails_for(random.within(1, HOUR / 3)),
        Fault::DeviceDown => {
            let until = universe.now() + random.within(60_000, 3 * HOUR);
            universe.site(&device, |site| site.down_until = until);
        }
        Fault::DeviceRestores => {
            everyone_there().for_each(|account| universe.excuse(account));
            reboot(universe, &device);
        }
        Fault::DeviceClock => {
            let skew = random.within(-10 * 60_000, 10 * 60_000);
            universe.site(&device, |site| (site.skew, site.drift) = (skew, Rate::default()));
            everyone_there().for_each(|account| universe.excuse(account));
        }
        Fault::Impostor => {
            let until = universe.now() + random.within(60_000, 2 * HOUR);
            universe.site(&device, |site| site.impostor_until = until);
        }
        Fault::Expires => universe.site(&device, |site| {
            if let Some(user) = site.users.get_mut(account.user()) {
                user.expired = true;
            }
        }),
        _ => operate(universe, core, fault, account, random),
    }
}

/// What the control API puts on record when a person stores a password.
fn on_record(account: &AccountName) -> Option<Draft> {
    Some(Draft { account: Some(account.to_string()), ..Draft::new("secret.set") })
}

/// An administrator edits the config: the rules, the jobs, or which accounts there are.
fn edit(universe: &Arc<Universe>, random: &mut Random) {
    let mut config = lock(&universe.config);
    match random.below(4) {
        0 => {
            let Some(before) = config.accounts.values().next().map(|account| account.policy.clone()) else { return };
            universe.cap_was(before.max_changes_per_day);
            let policy = Arc::new(Policy {
                max_changes_per_day: 1 + u32::from(random.one_in(2)),
                min_age: Duration::from_secs(if random.one_in(3) { 3600 } else { 0 }),
                attempts: 1 + u32::from(random.one_in(2)),
                retry_after: Duration::from_secs(if random.one_in(2) { 300 } else { 1800 }),
                auto_reconcile: random.one_in(2),
                ..(*before).clone()
            });
            for account in config.accounts.values_mut() {
                Arc::make_mut(account).policy = policy.clone();
            }
        }
        1 => {
            let schedules = schedules();
            for job in config.jobs.values_mut() {
                let (text, crontab) = &schedules[random.below(schedules.len())];
                let job = Arc::make_mut(job);
                job.schedule_text = (*text).into();
                job.schedule = crontab.clone();
                job.spread = Duration::from_secs(if random.one_in(2) { 2700 } else { 0 });
                job.catch_up = !job.catch_up;
            }
        }
        _ => {
            let mut removed = lock(&universe.removed);
            if let Some(account) = removed.pop() {
                universe.tell(|| format!("{} is in the config again", account.name));
                config.accounts.insert(account.name.clone(), account);
                return;
            }
            // One that another account needs cannot go.
            let needed = |name: &AccountName| {
                let needs = |account: &Arc<Account>| {
                    [&account.login_as, &account.reconcile_as, &account.after].into_iter().flatten().any(|n| n == name)
                };
                config.accounts.values().any(needs)
            };
            let free: Vec<AccountName> = config.accounts.keys().filter(|name| !needed(name)).cloned().collect();
            let name = &free[random.below(free.len())];
            if config.accounts.len() > 1
                && let Some(account) = config.accounts.remove(name)
            {
                universe.tell(|| format!("{name} is in the config no more"));
                removed.push(account);
            }
        }
    }
}

fn operate(universe: &Arc<Universe>, core: &Arc<Core>, what: Fault, account: AccountName, random: &mut Random) {
    let (core, universe) = (core.clone(), universe.clone());
    let paused = random.one_in(2);
    let on = universe.on.clone();
    on.spawn(Box::pin(async move {
        let now = core.clock.now();
        match what {
            Fault::OperatorRotates => drop(core.rotate(Request::of(account, Trigger::Command)).await),
            Fault::OperatorVerifies => drop(core.verify(&account, None, None).await),
            Fault::OperatorPauses => {
                drop(core.vault.call(move |tx| tx.set_paused(&account, paused, &now)).await);
            }
            Fault::OperatorReadsCode => {
                let device = account.device();
                let uri = core.vault.call(move |tx| tx.secret(&account, &Kind::Totp)).await;
                if let Ok(Some(Ok(seed))) = uri.map(|uri| uri.map(|uri| Seed::parse(uri.expose()))) {
                    drop(core.transport.codes.issue(&seed, Aim::At(&device), None, |_| {}).await);
                }
            }
            Fault::OperatorStores => {
                // A person knows what the device has now.
                let Some(truth) = universe.truth(&account) else { return };
                let event = on_record(&account);
                drop(core.store_secret(account, Kind::Password, Secret::new(truth), event).await);
            }
            Fault::OperatorReconciles => drop(core.reconcile(&account, None, None).await),
            Fault::OperatorResolves => {
                let (name, truth) = (account.clone(), universe.truth(&account));
                let two =
                    core.vault.call(move |tx| Ok((tx.candidate(&name)?, tx.secret(&name, &Kind::Password)?))).await;
                let (Ok((candidate, current)), Some(truth)) = (two, truth) else { return };
                let actor = Core::own_actor();
                if candidate.is_some_and(|candidate| candidate.secret().expose() == truth) {
                    drop(core.resolve(&account, DeviceHas::New, actor).await);
                } else if current.is_some_and(|current| current.expose() == truth) {
                    drop(core.resolve(&account, DeviceHas::Old, actor).await);
                }
            }
            _ => core.adopt((*core.config()).clone()),
        }
    }));
}

/// When what happens: a list of moments in true time, drawn at the start.
fn agenda(random: &mut Random, without: u32, until: i64) -> Vec<(i64, Fault)> {
    let mut agenda = Vec::new();
    let kinds: [(Fault, usize); 22] = [
        (Fault::Crash, 6),
        (Fault::HostReboot, 2),
        (Fault::ClockSet, 2),
        (Fault::DiskFull, 2),
        (Fault::AuditFails, 2),
        (Fault::DeviceDown, 2),
        (Fault::DeviceRestores, 2),
        (Fault::DeviceClock, 2),
        (Fault::Impostor, 2),
        (Fault::Expires, 2),
        (Fault::OperatorRotates, 5),
        (Fault::OperatorVerifies, 3),
        (Fault::OperatorPauses, 2),
        (Fault::OperatorReadsCode, 3),
        (Fault::OperatorStores, 2),
        (Fault::OperatorReconciles, 3),
        (Fault::OperatorResolves, 3),
        (Fault::Reload, 2),
        (Fault::Restart, 2),
        (Fault::ClockSlews, 2),
        (Fault::DeviceDrifts, 2),
        (Fault::ConfigEdited, 3),
    ];
    for (fault, most) in kinds {
        for _ in 0..random.below(most + 1) {
            let at = random.within(0, until);
            if without & fault.bit() == 0 {
                agenda.push((at, fault));
            }
        }
    }
    agenda.sort_unstable();
    agenda
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
    let agenda = agenda(&mut Random::new(plan.seed, 4), plan.without, until);
    let mut life = start(&universe);
    import(&universe, &life);
    let mut details = Random::new(plan.seed, 5);
    for (at, fault) in agenda {
        run_until(&universe, &mut life, at, &mut order, &mut details);
        if universe.violated().is_some() {
            return ended(&universe, plan);
        }
        match fault {
            Fault::Restart | Fault::HostReboot => {
                universe.struck(fault);
                stop(&universe, &mut life, &mut order, fault == Fault::Restart);
                if fault == Fault::HostReboot {
                    universe.reboot_host();
                }
                let pause = details.within(1000, 2 * HOUR);
                universe.on.run(&mut Tasks::default(), universe.on.now() + pause, &mut order, || false);
                life = start(&universe);
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
        let (seed, off) = universe.site(account.device().as_str(), |site| {
            (site.users.get(account.user()).and_then(|user| user.seed.clone()), site.always_off)
        });
        if off != 0 {
            // Its first codes are refused until its clock is known.
            universe.excuse(account);
        }
        let (core, account) = (life.core.clone(), account.clone());
        universe.on.spawn(Box::pin(async move {
            // A full disk at the very start is not what is tested.
            drop(core.store_secret(account.clone(), Kind::Password, Secret::new(truth), None).await);
            if let Some(seed) = seed {
                drop(core.store_secret(account, Kind::Totp, seed.to_uri(), None).await);
            }
        }));
    }
}

/// Runs to an instant, through crashes.
fn run_until(universe: &Arc<Universe>, life: &mut Life, until: i64, order: &mut Random, details: &mut Random) {
    while universe.on.now() < until {
        universe.on.run(&mut life.tasks, until, order, || false);
        if !universe.on.is_halted() || universe.violated().is_some() {
            return;
        }
        universe.on.bury(&mut life.tasks);
        if details.one_in(4) {
            universe.reboot_host();
        }
        let pause = details.within(500, HOUR);
        universe.on.run(&mut Tasks::default(), universe.on.now() + pause, order, || false);
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
        universe.on.run(&mut life.tasks, until, order, || core.at_work() == 0);
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
    universe.on.run(&mut life.tasks, universe.on.now() + BOUND, order, || false);
    // What a retry began just now may end.
    let core = life.core.clone();
    universe.on.run(&mut life.tasks, universe.on.now() + HOUR, order, || core.at_work() == 0);
    for account in &accounts {
        if universe.violated().is_some() {
            return;
        }
        judge(universe, account);
    }
    hear_log(universe);
    if universe.violated().is_some() {
        return;
    }
    let finals: Arc<std::sync::Mutex<BTreeMap<AccountName, (Outcome, String)>>> = Arc::default();
    for account in &accounts {
        let (core, finals, account, universe) = (life.core.clone(), finals.clone(), account.clone(), universe.clone());
        let on = universe.on.clone();
        on.spawn(Box::pin(async move {
            for _ in 0..40 {
                // A person sees to what waits for one.
                let login = core.config().accounts.get(&account).and_then(|account| account.login_as.clone());
                for name in [Some(account.clone()), login].into_iter().flatten() {
                    let asked = name.clone();
                    let row = core.vault.call(move |tx| Ok(tx.account(&asked)?.map(|row| row.phase))).await;
                    if let (Ok(Some(Phase::Quarantined)), Some(truth)) = (row, universe.truth(&name)) {
                        let event = on_record(&name);
                        drop(core.store_secret(name, Kind::Password, Secret::new(truth), event).await);
                    }
                }
                // Where only the login changes a password, an administrator expires it first.
                universe.site(account.device().as_str(), |site| {
                    if let Some(user) = site.users.get_mut(account.user()).filter(|_| site.only_at_login) {
                        user.expired = true;
                    }
                });
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
    universe.on.run(&mut life.tasks, universe.on.now() + 45 * HOUR, order, over);
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

/// An account after the faults ended: at rest with the device's password, or rightly waiting for a person.
fn judge(universe: &Arc<Universe>, account: &AccountName) {
    let Some(truth) = universe.truth(account) else { return };
    let books = lock(&universe.books);
    let Some(book) = books.book(account) else { return };
    let (current, candidate) = book.two();
    let holds = |secret: Option<&Secret>| secret.is_some_and(|secret| secret.expose() == truth);
    let (phase, why) = (book.phase(), book.last_error().unwrap_or("-").to_owned());
    let right = holds(current);
    let known = right || holds(candidate);
    drop(books);
    match phase {
        Phase::Idle if right => {}
        // Nobody looked since the device lost its configuration.
        Phase::Idle if universe.is_excused(account) => {}
        Phase::Idle => universe.violation(format!("{account} is at rest with a password that is not the device's")),
        Phase::Quarantined if !known || universe.is_excused(account) => {}
        Phase::Quarantined => universe.violation(format!("{account} waits for a person without need: {why}")),
        phase => universe.violation(format!("{account} is still {phase:?} 12 h after the last fault: {why}")),
    }
}

/// Promise 7: every start has an end, and every change its three events.
fn hear_log(universe: &Arc<Universe>) {
    let books = lock(&universe.books);
    let mut open: BTreeMap<&str, &str> = BTreeMap::new();
    for noted in &books.log {
        let Some(account) = noted.account.as_deref() else { continue };
        match noted.event {
            "rotation.start" => {
                open.insert(account, noted.attempt.as_deref().unwrap_or_default());
            }
            "rotation.done" | "rotation.failed" | "rotation.recovered" | "rotation.unknown" | "secret.set" => {
                open.remove(account);
            }
            _ => {}
        }
    }
    let left: Vec<String> = open.keys().map(|account| (*account).to_owned()).collect();
    for noted in books.log.iter().filter(|noted| noted.account.as_ref() == left.first()) {
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
    let story = lock(&universe.story).take().unwrap_or_default();
    Ended { violation: universe.violated(), story, coverage }
}

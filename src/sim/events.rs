//! What befalls the world at large, what operators do, and when.

use std::sync::Arc;
use std::time::Duration;

use super::executor::lock;
use super::faults::Fault;
use super::fleet::{Closed, LOCKED_FOR, Says, reboot};
use super::history::HOUR;
use super::host::{Rate, SimTime};
use super::memory_vault::Backup;
use super::person::Typist;
use super::random::Random;
use super::setting::{schedules, seed};
use super::universe::Universe;
use crate::audit::Draft;
use crate::clock::Time;
use crate::config::{Account, Device};
use crate::daemon::{Core, DeviceHas, Request};
use crate::model::{AccountName, EventKind, Secret, Trigger};
use crate::otp::Aim;
use crate::policy::{DAY_MS, Policy};
use crate::totp::Seed;
use crate::vault::Kind;

/// What befalls the world at one moment.
pub(super) fn befall(universe: &Arc<Universe>, core: &Arc<Core>, fault: Fault, random: &mut Random) {
    let accounts: Vec<AccountName> = lock(&universe.config).accounts.keys().cloned().collect();
    let account = accounts[random.below(accounts.len())].clone();
    let device = account.device_str().to_owned();
    if !matches!(fault, Fault::Crash | Fault::DiskFull | Fault::AuditFails) {
        universe.struck(fault);
        universe.tell(|| format!("FAULT {fault:?} ({account})"));
    }
    let mut everyone = accounts.clone();
    everyone.extend(lock(&universe.removed).iter().map(|account| account.name.clone()));
    let everyone_there = || everyone.iter().filter(|other| other.device_str() == device);
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
            // Some notice at once, and set it right, often before the daemon has looked at it.
            if random.one_in(3) {
                let longest = if random.one_in(2) { 20_000 } else { 40 * 60_000 };
                let (world, after) = (universe.clone(), random.within(1000, longest));
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
            let drift = Rate { ppm: random.within(-1500, 1500), since: universe.now() };
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
        Fault::DirectoryDown => universe.directory_down_for(random.within(HOUR / 6, 6 * HOUR)),
        Fault::Expires => universe.site(&device, |site| {
            if let Some(user) = site.users.get_mut(account.user()) {
                user.expired = true;
            }
        }),
        Fault::PersonLogsIn => {
            let now = universe.now();
            universe.site(&device, |site| {
                let clock = site.clock(now);
                if let Some(user) = site.users.get_mut(account.user()) {
                    user.code_is_used(clock);
                }
            });
        }
        Fault::DeviceClosed => {
            let closed = (universe.now() + random.within(HOUR / 6, 5 * HOUR), Closed::ALL[random.below(3)]);
            let says = Says::ALL[random.below(3)];
            universe.site(&device, |site| (site.closed, site.says) = (Some(closed), says));
        }
        Fault::DeviceRefuses => {
            let until = universe.now() + random.within(HOUR / 6, 5 * HOUR);
            universe.site(&device, |site| site.refuses_until = until);
        }
        Fault::AccountLocked => {
            let until = universe.now() + LOCKED_FOR;
            let says = Says::ALL[random.below(3)];
            universe.site(&device, |site| {
                site.says = says;
                if let Some(user) = site.users.get_mut(account.user()) {
                    user.locked_until = until;
                }
            });
        }
        _ => operate(universe, core, fault, account, random),
    }
}

impl Universe {
    /// A person stores what the device has now.
    pub(super) async fn person_stores(&self, core: &Core, account: &AccountName) {
        let Some(truth) = self.truth(account) else { return };
        let seed = self.site(account.device_str(), |site| site.users.get(account.user())?.seed.clone());
        if let Some(seed) = seed {
            drop(core.store_secret(account.clone(), Kind::Totp, seed.to_uri(), None).await);
        }
        drop(core.store_secret(account.clone(), Kind::Password, Secret::new(truth), on_record(account)).await);
    }

    /// The vault is lost, and made anew of a backup; or the host's disk goes back to then, and the vault is as it was.
    pub(super) fn restore(self: &Arc<Self>, taken: i64, backup: Backup, rolled_back: bool) {
        let now = SimTime(self.clone()).now();
        self.tell(|| format!("the vault is {}", if rolled_back { "rolled back" } else { "restored from a backup" }));
        {
            let books = &mut lock(&self.books);
            if rolled_back { books.roll_back_to(backup) } else { books.restore(backup, &now) }
        }
        self.restored(taken, rolled_back);
    }
}

/// What the control API puts on record when a person stores a password.
fn on_record(account: &AccountName) -> Option<Draft> {
    Some(Draft { account: Some(account.clone()), ..Draft::new(EventKind::SecretSet) })
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
                let leads_on = |device: &Arc<Device>| device.jump_account() == Some(name);
                config.accounts.values().any(needs) || config.devices.values().any(leads_on)
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
    let known = core.config().accounts.get(&account).cloned();
    let wrong_seed = (what == Fault::OperatorMistypesSeed).then(|| seed(random));
    let typist = known.filter(|_| what == Fault::OperatorRecords).map(|account| Typist::new(account, random));
    let on = universe.on;
    let logs_in = [
        Fault::OperatorRotates,
        Fault::OperatorVerifies,
        Fault::OperatorRehearses,
        Fault::OperatorRecords,
        Fault::OperatorReconciles,
        Fault::OperatorResolves,
    ];
    if logs_in.contains(&what) {
        universe.person_asks();
    }
    on.spawn(Box::pin(async move {
        let now = core.clock.now();
        match what {
            Fault::OperatorRotates => universe.check_told(&core.rotate(Request::of(account, Trigger::Command)).await),
            Fault::OperatorVerifies => universe.check_told(&core.verify(&account, None, None).await),
            Fault::OperatorRunsJobs => {
                let jobs: Vec<_> = core.config().jobs.values().cloned().collect();
                core.run_jobs(&jobs, Trigger::Signal);
            }
            Fault::OperatorRehearses => drop(core.rehearse(&account, None, Core::own_actor()).await),
            Fault::OperatorRecords => {
                if let Some(typist) = typist {
                    typist.lead(core, &universe).await;
                }
            }
            Fault::OperatorPauses => {
                drop(core.vault.call(move |tx| tx.set_paused(&account, paused, &now)).await);
            }
            Fault::OperatorReadsCode => {
                let device = account.device();
                let uri = core.vault.call(move |tx| tx.secret(&account, &Kind::Totp)).await;
                if let Ok(Some(Ok(seed))) = uri.map(|uri| uri.map(|uri| Seed::parse(uri.expose()))) {
                    drop(core.guards.codes.issue(&seed, &Aim::at(&device), None, |_| {}).await);
                }
            }
            Fault::OperatorStores => {
                universe.person_stores(&core, &account).await;
            }
            Fault::OperatorMistypes => {
                universe.mistyped(&account);
                let (wrong, event) = (Secret::new(format!("Wrong-{}", now.wall_ms)), on_record(&account));
                drop(core.store_secret(account, Kind::Password, wrong, event).await);
            }
            Fault::OperatorMistypesSeed => {
                universe.excuse(&account);
                if let Some(wrong) = wrong_seed {
                    drop(core.store_secret(account, Kind::Totp, wrong.to_uri(), None).await);
                }
            }
            Fault::OperatorBacksUp => {
                let backup = lock(&universe.books).back_up(&now);
                *lock(&universe.backup) = Some((universe.on.now(), backup));
            }
            Fault::OperatorReconciles => {
                universe.reconcile_is_asked(&account);
                universe.check_told(&core.reconcile(&account, None, None).await);
            }
            Fault::OperatorResolves => {
                let (name, truth) = (account.clone(), universe.truth(&account));
                let two =
                    core.vault.call(move |tx| Ok((tx.candidate(&name)?, tx.secret(&name, &Kind::Password)?))).await;
                let (Ok((candidate, current)), Some(truth)) = (two, truth) else { return };
                let actor = Core::own_actor();
                if candidate.is_some_and(|candidate| candidate.secret().expose() == truth) {
                    drop(core.resolve(&account, DeviceHas::New, actor, None).await);
                } else if current.is_some_and(|current| current.expose() == truth) {
                    drop(core.resolve(&account, DeviceHas::Old, actor, None).await);
                }
            }
            _ => core.adopt((*core.config()).clone()),
        }
    }));
}

/// When what happens: a list of moments in true time, drawn at the start.
pub(super) fn agenda(random: &mut Random, without: u64, until: i64) -> Vec<(i64, Fault)> {
    let mut agenda = Vec::new();
    let kinds: [(Fault, usize); 35] = [
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
        (Fault::OperatorRunsJobs, 1),
        (Fault::OperatorRehearses, 2),
        (Fault::OperatorRecords, 2),
        (Fault::OperatorPauses, 2),
        (Fault::OperatorReadsCode, 3),
        (Fault::OperatorStores, 2),
        (Fault::OperatorMistypes, 1),
        (Fault::OperatorReconciles, 3),
        (Fault::OperatorResolves, 3),
        (Fault::Reload, 2),
        (Fault::Restart, 2),
        (Fault::ClockSlews, 2),
        (Fault::DeviceDrifts, 2),
        (Fault::ConfigEdited, 3),
        (Fault::DirectoryDown, 1),
        (Fault::OperatorMistypesSeed, 1),
        (Fault::PersonLogsIn, 4),
        (Fault::OperatorBacksUp, 2),
        (Fault::BackupRestored, 1),
        (Fault::VaultRolledBack, 1),
        (Fault::DeviceClosed, 2),
        (Fault::DeviceRefuses, 1),
        (Fault::AccountLocked, 2),
    ];
    for (fault, most) in kinds {
        for _ in 0..random.below(most + 1) {
            let at = random.within(0, until);
            if without & fault.bit() == 0 {
                agenda.push((at, fault));
            }
            // Nobody notices that no device takes a login until many are tried.
            let jobs = Fault::OperatorRunsJobs;
            if fault == Fault::DirectoryDown && without & (fault.bit() | jobs.bit()) == 0 {
                agenda.push((at + random.within(0, HOUR / 2), jobs));
            }
        }
    }
    agenda.sort_unstable();
    agenda
}

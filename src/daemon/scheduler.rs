//! The scheduling loop: it sleeps until the next thing is due, or until something changed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::core::Core;
use super::line::Due;
use crate::config::{Config, Job, JobAction};
use crate::model::{AccountName, Moment, Trigger};
use crate::policy::DAY_MS;
use crate::rotation::{Phase, UNDER_WAY_MS, WhenDue, when_due};
use crate::schedule::{Window, spread_offset_ms};
use crate::vault::{Firing, Ledger, VaultError, Waits};

/// A wall clock that moves by more than this against the boot clock was set, not slewed, in milliseconds.
const CLOCK_JUMP_MS: i64 = 60_000;
/// How long a vault that fails is left alone, in milliseconds.
const VAULT_PAUSE_MS: i64 = 5_000;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    /// A job fires.
    Job(Arc<str>),
    /// An account's turn within a job's spread has come.
    Account { account: AccountName, job: Arc<str> },
}

/// The list of what is due when, in milliseconds since 1970.
#[derive(Debug, Default)]
struct Agenda {
    heap: BinaryHeap<Reverse<(i64, Item)>>,
    config: Option<Arc<Config>>,
    started: bool,
    /// For so long any account of the config may wait, in milliseconds; some for longer.
    soon: i64,
    /// Wall clock less boot clock when the list was made, in milliseconds: it jumps when the wall clock is set.
    offset: i64,
}

/// Runs the schedule until the daemon stops.
pub async fn keep_schedule(core: Arc<Core>) {
    let mut agenda = Agenda::default();
    while !core.is_stopping() {
        if let Err(error) = agenda.renew(&core).await {
            tracing::error!(%error, "the schedule cannot be read; trying again: {error}");
            core.clock.sleep(Duration::from_secs(5)).await;
            continue;
        }
        let wake = match core.due_accounts(agenda.soon).await {
            Ok(wake) => wake,
            Err(error) => {
                tracing::error!(%error, "the vault cannot be used; no rotation starts until it can: {error}");
                Some(VAULT_PAUSE_MS)
            }
        };
        agenda.start_due(&core).await;
        let now = core.clock.now().wall_ms;
        let next = agenda.heap.peek().map(|Reverse((at, _))| at.saturating_sub(now)).into_iter().chain(wake).min();
        let pause = Duration::from_millis(u64::try_from(next.unwrap_or(DAY_MS).min(DAY_MS)).unwrap_or(0));
        // Whoever stops the daemon wakes this too.
        tokio::select! {
            biased;
            () = core.wake.notified() => {}
            () = core.clock.sleep(pause) => {}
            () = core.clock.look_again() => {}
        }
    }
}

impl Agenda {
    /// Builds the list anew where the config changed or the clock was set. Turns of a firing in the past stay, as long as the
    /// job has the account.
    async fn renew(&mut self, core: &Arc<Core>) -> Result<(), VaultError> {
        let config = core.config();
        let moment = core.clock.now();
        let offset = moment.wall_ms - moment.since_boot_ms;
        let clock_was_set = self.started && (offset - self.offset).abs() > CLOCK_JUMP_MS;
        if clock_was_set {
            let by_ms = offset - self.offset;
            tracing::warn!(by_ms, "the wall clock was set; run times are worked out anew");
            core.vault.call(move |tx| tx.clock_was_set(&moment)).await?;
            self.offset = offset;
            // Turns that wait go on waiting as long; the jobs' times follow below, and again if that fails.
            let turns = std::mem::take(&mut self.heap).into_iter();
            self.heap = turns.map(|Reverse((at, due))| Reverse((at.saturating_add(by_ms), due))).collect();
            self.config = None;
        }
        if self.config.as_ref().is_some_and(|known| Arc::ptr_eq(known, &config)) {
            return Ok(());
        }
        let first = !self.started;
        self.heap.retain(|Reverse((_, due))| match due {
            Item::Job(_) => false,
            Item::Account { account, job } => {
                let covers = config.jobs.get(&**job).is_some_and(|job| job.covers(account));
                covers && config.accounts.contains_key(account)
            }
        });
        for job in config.jobs.values() {
            let now = core.clock.now().wall_ms;
            let name = job.name.clone();
            let firing = core
                .vault
                .call(move |tx| {
                    let firing = tx.firing(&name)?;
                    // A last firing a day in the future was stamped by a clock that has been set back.
                    if firing.is_none_or(|firing| firing.last > now + DAY_MS) {
                        tx.set_firing(&name, Firing { last: now, turned: None })?;
                    }
                    Ok(firing)
                })
                .await?;
            let missed = firing
                .filter(|_| first && job.catch_up)
                .and_then(|firing| next_run(job, firing.last, &config))
                .filter(|at| *at <= now);
            if let Some(firing) = firing.filter(|firing| first && missed.is_none() && firing.last <= now) {
                self.resume(&config, job, firing, now);
            }
            if let Some(at) = missed.or_else(|| next_run(job, now, &config)) {
                self.heap.push(Reverse((at, Item::Job(job.name.as_str().into()))));
            }
        }
        let longest = config.accounts.values().map(|account| account.policy.longest_wait_ms());
        self.soon = longest.min().unwrap_or(0);
        self.config = Some(config);
        self.started = true;
        self.offset = offset;
        Ok(())
    }

    /// After a start: the turns of the last firing that are yet to come, and those that came while the daemon was down, where the
    /// job makes up for what was missed.
    fn resume(&mut self, config: &Config, job: &Job, firing: Firing, now: i64) {
        let Some(turned) = firing.turned else { return };
        self.add_turns(config, job, firing.last, if job.catch_up { turned } else { now.max(turned) });
    }

    /// The turns of a firing that come after an instant, both in milliseconds since 1970. How many accounts the job has.
    fn add_turns(&mut self, config: &Config, job: &Job, fired: i64, after: i64) -> usize {
        let accounts = config.targets_of(job);
        let (count, name): (usize, Arc<str>) = (accounts.len(), job.name.as_str().into());
        let turns = accounts.into_iter().map(|account| {
            let at = job.first_open(fired + spread_offset_ms(&account, job.spread), config);
            Reverse((at, Item::Account { account, job: name.clone() }))
        });
        self.heap.extend(turns.filter(|Reverse((at, _))| *at > after));
        count
    }

    async fn start_due(&mut self, core: &Arc<Core>) {
        let Some(config) = self.config.clone() else {
            return;
        };
        let mut turns: BTreeMap<Arc<str>, Vec<(i64, AccountName)>> = BTreeMap::new();
        loop {
            let now = core.clock.now().wall_ms;
            if self.heap.peek().is_none_or(|Reverse((at, _))| *at > now) {
                break;
            }
            let Some(Reverse((at, due))) = self.heap.pop() else {
                break;
            };
            match due {
                Item::Job(name) => {
                    let Some(job) = config.jobs.get(&*name) else {
                        continue;
                    };
                    let next = match self.fire(core, &config, job, now).await {
                        // From now on, not from when it was due: a clock that leapt ahead fires once, not a thousand times.
                        Ok(()) => next_run(job, now.max(at), &config),
                        Err(error) => {
                            tracing::error!(job = %name, %error, "job {name} is due, and the vault cannot be used: {error}");
                            Some(now.saturating_add(VAULT_PAUSE_MS))
                        }
                    };
                    self.heap.extend(next.map(|at| Reverse((at, Item::Job(name)))));
                }
                Item::Account { account, job } => turns.entry(job).or_default().push((at, account)),
            }
        }
        for (name, turns) in turns {
            // A job's turns end with it.
            if let Some(job) = config.jobs.get(&*name) {
                self.begin_turns(core, &config, job, turns).await;
            }
        }
    }

    /// Begins turns of a job's firing, unless an operator holds the job. That they were begun is on record first: a restart
    /// begins none again, and goes on with those that have not come to their end.
    async fn begin_turns(&mut self, core: &Arc<Core>, config: &Config, job: &Job, turns: Vec<(i64, AccountName)>) {
        let name: Arc<str> = job.name.as_str().into();
        let (asked, up_to) = (name.clone(), turns.iter().map(|(at, _)| *at).max());
        let changed = turns.iter().filter(|_| job.action == JobAction::Rotate);
        let changed: Vec<AccountName> = changed.map(|(_, account)| account.clone()).collect();
        let now = core.clock.now();
        let paused = core.vault.call(move |tx| {
            if let Some(firing) = tx.firing(&asked)?.filter(|firing| firing.turned.is_some()) {
                tx.set_firing(&asked, Firing { turned: firing.turned.max(up_to), ..firing })?;
            }
            let paused = tx.is_job_paused(&asked)?;
            if !paused {
                under_way(tx, &changed, &now)?;
            }
            Ok(paused)
        });
        match paused.await {
            Ok(false) => {
                let due = Due::Fired { job: name, action: job.action, trigger: Trigger::Schedule };
                core.line_up(turns.into_iter().map(|(_, account)| (account, due.clone())));
            }
            Ok(true) => {
                let accounts = turns.len();
                tracing::info!(job = %name, accounts, "job {name}: turns of {accounts} accounts have come, and the job is paused by an operator")
            }
            Err(error) => {
                tracing::error!(job = %name, %error, "job {name}: turns have come, and the vault cannot be used: {error}");
                let again = job.first_open(core.clock.now().wall_ms.saturating_add(VAULT_PAUSE_MS), config);
                self.heap.extend(
                    turns
                        .into_iter()
                        .map(|(_, account)| Reverse((again, Item::Account { account, job: name.clone() }))),
                );
            }
        }
    }

    async fn fire(&mut self, core: &Arc<Core>, config: &Config, job: &Arc<Job>, now: i64) -> Result<(), VaultError> {
        let name = job.name.clone();
        let fired = core.vault.call(move |tx| {
            let paused = tx.is_job_paused(&name)?;
            tx.set_firing(&name, Firing { last: now, turned: (!paused).then_some(now - 1) })?;
            Ok(!paused)
        });
        if !fired.await? {
            tracing::info!(job = %job.name, "job {} is due, and paused by an operator", job.name);
            return Ok(());
        }
        let accounts = self.add_turns(config, job, now, now - 1);
        tracing::info!(job = %job.name, accounts, "job {} fires for {accounts} accounts", job.name);
        Ok(())
    }
}

/// The first run of a job after an instant, both in milliseconds since 1970.
fn next_run(job: &Job, after: i64, config: &Config) -> Option<i64> {
    let after = DateTime::<Utc>::from_timestamp_millis(after)?;
    job.schedule.next_after(after, config.daemon.timezone).map(|at| at.timestamp_millis())
}

/// Accounts at rest of which something is begun: it is gone on with where it does not come to its end.
pub(super) fn under_way(tx: &dyn Ledger, accounts: &[AccountName], now: &Moment) -> Result<(), VaultError> {
    for account in accounts {
        if let Some(row) = tx.account(account)?.filter(|row| row.phase == Phase::Idle) {
            tx.set_wake(account, Some(&now.plus_ms(UNDER_WAY_MS)), row.tries)?;
        }
    }
    Ok(())
}

/// In how many milliseconds the window of a job opens that changes an account; 0 where one is open, or none changes it.
fn closed_for(config: &Config, account: &AccountName, now: i64) -> i64 {
    let jobs = config.jobs.values().filter(|job| job.action == JobAction::Rotate && job.covers(account));
    jobs.map(|job| job.first_open(now, config).saturating_sub(now)).min().unwrap_or(0)
}

impl Job {
    /// The first instant from `at` on at which its window is open, both in milliseconds since 1970.
    pub(super) fn first_open(&self, at: i64, config: &Config) -> i64 {
        let open = |window: Window| {
            let time = DateTime::<Utc>::from_timestamp_millis(at)?;
            Some(window.next_open(time, config.daemon.timezone).timestamp_millis())
        };
        self.window.and_then(open).unwrap_or(at)
    }
}

impl Core {
    /// Runs jobs now, without their spread.
    pub fn run_jobs(self: &Arc<Self>, jobs: &[Arc<Job>], trigger: Trigger) {
        let config = self.config();
        for job in jobs {
            let core = self.clone();
            let (accounts, action) = (config.targets_of(job), job.action);
            let name = job.name.clone();
            self.spawn(async move {
                let asked = name.clone();
                match core.vault.call(move |tx| tx.is_job_paused(&asked)).await {
                    Ok(false) => {}
                    Ok(true) => {
                        return tracing::info!(job = %name, "job {name} was asked for, and is paused by an operator");
                    }
                    Err(error) => {
                        return tracing::error!(job = %name, %error, "job {name} was asked for, and the vault cannot be used: {error}");
                    }
                }
                tracing::info!(job = %name, accounts = accounts.len(), "job {name} runs now for {} accounts", accounts.len());
                let due = Due::Fired { job: name.into(), action, trigger };
                core.line_up(accounts.into_iter().map(|account| (account, due.clone())));
            });
        }
    }

    /// When an account's next scheduled run begins, in milliseconds since 1970.
    #[must_use]
    pub fn next_run(&self, config: &Config, account: &AccountName) -> Option<i64> {
        let now = self.clock.now().wall_ms;
        config
            .jobs
            .values()
            .filter(|job| job.action == JobAction::Rotate && job.covers(account))
            .filter_map(|job| {
                let offset = spread_offset_ms(account, job.spread);
                let at = next_run(job, now - offset, config)? + offset;
                Some(job.first_open(at, config))
            })
            .min()
    }

    /// Goes on with the accounts whose time has come, and tells in how many milliseconds the next one's comes. An account that
    /// waits for no more than `soon` milliseconds is not looked at.
    async fn due_accounts(self: &Arc<Self>, soon: i64) -> Result<Option<i64>, VaultError> {
        let (now, core) = (self.clock.now(), self.clone());
        let config = self.config();
        let taken = self.vault.call(move |tx| {
            let Waits { due: all, next_in_ms: mut next } = tx.waiting(&now, soon)?;
            let mut due = Vec::new();
            for row in all {
                let Ok(name) = AccountName::parse(&row.name) else { continue };
                let Some(account) = config.accounts.get(&name) else { continue };
                let rests = row.phase == Phase::Idle;
                if !rests && (core.limits.passes_over(&name) || core.line.has(&name)) {
                    continue;
                }
                let closed = || closed_for(&config, &name, now.wall_ms);
                match when_due(&row, &account.retry_rules(), closed, &now) {
                    WhenDue::Later(left) => next = next.into_iter().chain([left]).min(),
                    WhenDue::Now { wake, turn } => {
                        tx.set_wake(&name, wake.as_ref(), row.tries)?;
                        let wait = wake.filter(|_| rests).map(|at| at.since(&now));
                        next = next.into_iter().chain(wait).min();
                        let is_free = !rests || !core.limits.is_busy(&name) && !core.line.has(&name);
                        due.extend(turn.filter(|_| is_free).map(|turn| (name, turn)));
                    }
                }
            }
            Ok((due, next))
        });
        let (due, next_in_ms) = taken.await?;
        self.line_up(due.into_iter().map(|(account, turn)| (account, Due::Turn(turn))));
        Ok(next_in_ms)
    }
}

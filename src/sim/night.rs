//! A fleet in which nothing fails, for tests in simulated time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::executor::{Tasks, lock};
use super::faults::Fault;
use super::history::{HOUR, Life, import, start, stop};
use super::random::Random;
use super::setting::{Fleet, fleet};
use super::universe::Universe;
use crate::config::{Job, JobAction};
use crate::model::{AccountName, EventKind, Secret};
use crate::policy::DAY_MS;
use crate::rotation::Phase;
use crate::schedule::{Crontab, spread_offset_ms};
use crate::vault::Kind;

/// When the job fires.
pub(super) const HALF_PAST_TWO: i64 = 2 * HOUR + HOUR / 2;

/// A fleet where nothing fails, and a job over all of it at half past two, spread over four hours.
pub(super) struct Night {
    pub(super) universe: Arc<Universe>,
    pub(super) life: Life,
    order: Random,
}

impl Night {
    pub(super) fn new(edit: impl Fn(&mut Job)) -> Self {
        Self::of(7, edit)
    }

    /// The night of a seed's fleet.
    pub(super) fn of(seed: u64, edit: impl Fn(&mut Job)) -> Self {
        let Fleet { mut config, mut sites } = fleet(&mut Random::new(seed, 0), None);
        for account in config.accounts.values_mut() {
            let account = Arc::make_mut(account);
            account.after = None;
            let policy = Arc::make_mut(&mut account.policy);
            (policy.attempts, policy.min_age, policy.max_changes_per_day) = (1, Duration::ZERO, 2);
        }
        sites.values_mut().for_each(|site| (site.skew, site.always_off, site.strict) = (0, 0, false));
        config.daemon.timezone = chrono_tz::UTC;
        let mut job = Job {
            name: "nightly".into(),
            schedule_text: "30 2 * * *".into(),
            schedule: Crontab::parse("30 2 * * *").unwrap(),
            accounts: vec!["*".into()],
            spread: Duration::from_secs(4 * 3600),
            window: None,
            action: JobAction::Rotate,
            on_signal: false,
            catch_up: false,
        };
        edit(&mut job);
        config.jobs = BTreeMap::from([(job.name.clone(), Arc::new(job))]);
        let universe = Arc::new(Universe::new(seed, vec![0; Fault::ALL.len()], sites, config, false));
        assert_eq!(universe.host.begin % DAY_MS, 0, "it begins at midnight");
        universe.calm_down();
        let life = start(&universe);
        import(&universe, &life);
        Self { universe, life, order: Random::new(seed, 2) }
    }

    /// A job of this name comes to be that verifies whom the other one changes, at the same times.
    pub(super) fn look_too(&self, name: &str) {
        let mut config = lock(&self.universe.config).clone();
        let look = Job { name: name.into(), action: JobAction::Verify, ..(*config.jobs["nightly"]).clone() };
        config.jobs.insert(look.name.clone(), Arc::new(look));
        self.life.core.adopt(config.clone());
        *lock(&self.universe.config) = config;
    }

    pub(super) fn until(&mut self, at: i64) {
        self.universe.run(&mut self.life.tasks, at, &mut self.order, || false);
        assert_eq!(self.universe.violated(), None);
    }

    /// Runs until an account is in a phase, and no longer than to a time.
    pub(super) fn until_phase(&mut self, account: &AccountName, at: i64, is_in: fn(Phase) -> bool) {
        let world = self.universe.clone();
        let done = || lock(&world.books).book(account).is_some_and(|book| is_in(book.phase()));
        self.universe.run(&mut self.life.tasks, at, &mut self.order, done);
        assert!(done(), "{account} never came there");
    }

    /// Has somebody do something, whose answer stands in what is returned once it is there.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Arc<Mutex<Option<T>>> {
        let answer = Arc::default();
        let place: Arc<Mutex<Option<T>>> = Arc::clone(&answer);
        self.universe.on.spawn(Box::pin(async move { *lock(&place) = Some(work.await) }));
        answer
    }

    /// A person stores a wrong password.
    pub(super) fn store_wrong(&self, account: &AccountName) {
        self.universe.mistyped(account);
        let (core, name) = (self.life.core.clone(), account.clone());
        self.ask(async move { core.store_secret(name, Kind::Password, Secret::new("Wrong-1".into()), None).await });
    }

    pub(super) fn stop(&mut self, politely: bool) {
        stop(&self.universe, &mut self.life, &mut self.order, politely);
    }

    pub(super) fn down_until(&mut self, at: i64) {
        self.universe.run(&mut Tasks::default(), at, &mut self.order, || false);
        self.life = start(&self.universe);
    }

    pub(super) fn accounts(&self) -> Vec<AccountName> {
        lock(&self.universe.config).accounts.keys().cloned().collect()
    }

    /// The accounts whose turn comes before a time, and the others.
    pub(super) fn before(&self, at: i64) -> (Vec<AccountName>, Vec<AccountName>) {
        let spread = Duration::from_secs(4 * 3600);
        self.accounts().into_iter().partition(|name| HALF_PAST_TWO + spread_offset_ms(name, spread) < at)
    }

    /// How often a rotation of an account was begun.
    pub(super) fn begun(&self, account: &AccountName) -> usize {
        let books = lock(&self.universe.books);
        books.log.iter().filter(|noted| noted.is(EventKind::RotationStart, account)).count()
    }

    pub(super) fn all_begun(&self, accounts: &[AccountName], times: usize) {
        assert!(!accounts.is_empty(), "a test of nobody");
        for account in accounts {
            assert_eq!(self.begun(account), times, "{account}");
        }
    }
}

//! The scheduler in simulated time: whose turn comes when, through restarts and edits.

use std::collections::BTreeMap;

use super::*;
use crate::config::{Job, JobAction};
use crate::model::AccountName;
use crate::rotation::Phase;
use crate::schedule::{Crontab, Window, spread_offset_ms};
use crate::sim::fleet::Asks;
use crate::vault::Kind;

const HALF_PAST_TWO: i64 = 2 * HOUR + HOUR / 2;

/// A fleet where nothing fails, and a job over all of it at half past two, spread over four hours.
struct Night {
    universe: Arc<Universe>,
    life: Life,
    order: Random,
}

impl Night {
    fn new(edit: impl Fn(&mut Job)) -> Self {
        Self::of(7, edit)
    }

    /// The night of a seed's fleet.
    fn of(seed: u64, edit: impl Fn(&mut Job)) -> Self {
        let Fleet { mut config, mut sites } = fleet(&mut Random::new(seed, 0));
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

    fn until(&mut self, at: i64) {
        self.universe.run(&mut self.life.tasks, at, &mut self.order, || false);
        assert_eq!(self.universe.violated(), None);
    }

    fn stop(&mut self) {
        stop(&self.universe, &mut self.life, &mut self.order, true);
    }

    fn down_until(&mut self, at: i64) {
        self.universe.run(&mut Tasks::default(), at, &mut self.order, || false);
        self.life = start(&self.universe);
    }

    fn accounts(&self) -> Vec<AccountName> {
        lock(&self.universe.config).accounts.keys().cloned().collect()
    }

    /// The accounts whose turn comes before a time, and the others.
    fn before(&self, at: i64) -> (Vec<AccountName>, Vec<AccountName>) {
        let spread = Duration::from_secs(4 * 3600);
        self.accounts().into_iter().partition(|name| HALF_PAST_TWO + spread_offset_ms(name, spread) < at)
    }

    /// How often a rotation of an account was begun.
    fn begun(&self, account: &AccountName) -> usize {
        let books = lock(&self.universe.books);
        let begun = |noted: &&crate::sim::books::Noted| {
            noted.event == "rotation.start" && noted.account.as_ref() == Some(account)
        };
        books.log.iter().filter(begun).count()
    }

    fn all_begun(&self, accounts: &[AccountName], times: usize) {
        assert!(!accounts.is_empty(), "a test of nobody");
        for account in accounts {
            assert_eq!(self.begun(account), times, "{account}");
        }
    }
}

#[test]
fn turns_that_are_yet_to_come_outlive_a_restart_and_none_comes_twice() {
    let mut night = Night::new(|_| {});
    night.until(4 * HOUR);
    let (early, late) = night.before(4 * HOUR);
    night.all_begun(&early, 1);
    night.all_begun(&late, 0);
    night.stop();
    night.down_until(4 * HOUR + 1000);
    night.until(8 * HOUR);
    night.all_begun(&night.accounts(), 1);
}

#[test]
fn turns_that_came_while_the_daemon_was_down_are_made_up_for_where_the_job_says_so() {
    for catch_up in [false, true] {
        let mut night = Night::new(|job| job.catch_up = catch_up);
        night.until(HALF_PAST_TWO + 1000);
        night.stop();
        night.down_until(4 * HOUR);
        let (early, late) = night.before(4 * HOUR);
        night.until(8 * HOUR);
        night.all_begun(&early, usize::from(catch_up));
        night.all_begun(&late, 1);
    }
}

#[test]
fn a_job_that_never_fired_has_no_turns_after_a_restart() {
    let mut night = Night::new(|job| job.catch_up = true);
    night.until(HOUR);
    night.stop();
    night.down_until(HOUR + 1000);
    night.until(HALF_PAST_TWO - 1000);
    night.all_begun(&night.accounts(), 0);
}

#[test]
fn turns_end_with_their_job_and_are_held_with_it() {
    for held in [false, true] {
        let mut night = Night::new(|_| {});
        night.until(4 * HOUR);
        let (early, late) = night.before(4 * HOUR);
        if held {
            let core = night.life.core.clone();
            let pause = async move { drop(core.vault.call(|tx| tx.set_job_paused("nightly", true)).await) };
            night.universe.on.spawn(Box::pin(pause));
        } else {
            lock(&night.universe.config).jobs.clear();
            night.life.core.adopt(lock(&night.universe.config).clone());
        }
        night.until(8 * HOUR);
        night.all_begun(&early, 1);
        night.all_begun(&late, 0);
    }
}

#[test]
fn a_verify_job_that_is_taken_out_of_the_config_changes_no_password() {
    let mut night = Night::new(|job| job.action = JobAction::Verify);
    night.until(4 * HOUR);
    lock(&night.universe.config).jobs.clear();
    night.life.core.adopt(lock(&night.universe.config).clone());
    night.until(8 * HOUR);
    night.all_begun(&night.accounts(), 0);
}

#[test]
fn a_job_that_verifies_at_the_same_time_keeps_nobody_from_being_changed() {
    let mut night = Night::new(|_| {});
    {
        let mut config = lock(&night.universe.config);
        let look = Job { name: "a look".into(), action: JobAction::Verify, ..(*config.jobs["nightly"]).clone() };
        config.jobs.insert(look.name.clone(), Arc::new(look));
    }
    night.life.core.adopt(lock(&night.universe.config).clone());
    night.until(8 * HOUR);
    night.all_begun(&night.accounts(), 1);
}

#[test]
fn a_login_account_whose_password_a_session_refuses_is_looked_into_before_others_go_on() {
    let accounts = ["root", "svc"].map(|user| AccountName::parse(&format!("d0/{user}")).unwrap());
    let [root, svc] = &accounts;
    // A device alone whose root comes in with a key, and is asked for the password by sudo.
    let fits = |seed: &u64| {
        let Fleet { config, sites } = fleet(&mut Random::new(*seed, 0));
        let asked = config.accounts.get(svc).is_some_and(|svc| &*svc.device.template == "linux-sudo-passwd");
        let begins = Random::new(*seed, 6).below(4) < 2;
        begins && asked && sites.len() == 1 && sites["d0"].asks == Asks::KeyOrPassword
    };
    let mut night = Night::of((0..).find(fits).unwrap(), |job| job.accounts = vec![svc.to_string()]);
    night.until(HOUR);
    night.universe.mistyped(root);
    let (core, name) = (night.life.core.clone(), root.clone());
    night.universe.on.spawn(Box::pin(async move {
        drop(core.store_secret(name, Kind::Password, Secret::new("Wrong-1".into()), None).await);
    }));
    night.until(8 * HOUR);
    assert_eq!(lock(&night.universe.books).book(root).unwrap().phase(), Phase::Quarantined);
    night.all_begun(std::slice::from_ref(svc), 1);
}

#[test]
fn a_daily_turn_is_not_lost_to_the_change_of_the_day_before() {
    for by_age in [false, true] {
        let mut night = Night::new(|_| {});
        for account in lock(&night.universe.config).accounts.values_mut() {
            let policy = Arc::make_mut(&mut Arc::make_mut(account).policy);
            if by_age {
                policy.min_age = Duration::from_secs(24 * 3600);
            } else {
                policy.max_changes_per_day = 1;
            }
        }
        night.life.core.adopt(lock(&night.universe.config).clone());
        night.until(8 * HOUR);
        night.all_begun(&night.accounts(), 1);
        night.until(DAY_MS + 8 * HOUR);
        night.all_begun(&night.accounts(), 2);
    }
}

#[test]
fn turns_that_wait_for_one_another_outlive_a_stop_and_a_kill() {
    for politely in [true, false] {
        let mut night = Night::new(|job| job.spread = Duration::ZERO);
        lock(&night.universe.config).daemon.max_concurrent = 1;
        night.until(60_000);
        night.stop();
        night.down_until(HOUR);
        night.until(HALF_PAST_TWO + 1000);
        let begun = night.accounts().iter().filter(|account| night.begun(account) > 0).count();
        assert!((1..night.accounts().len()).contains(&begun), "{begun} of {}", night.accounts().len());
        stop(&night.universe, &mut night.life, &mut night.order, politely);
        night.down_until(HALF_PAST_TWO + 120_000);
        night.until(4 * HOUR);
        assert!(night.accounts().iter().all(|account| night.begun(account) > 0), "nobody is forgotten ({politely})");
    }
}

#[test]
fn what_failed_is_not_tried_again_outside_of_its_window() {
    let mut night = Night::new(|job| {
        job.spread = Duration::ZERO;
        job.window = Window::parse("02:00-03:00").ok();
    });
    for account in lock(&night.universe.config).accounts.values_mut() {
        let policy = Arc::make_mut(&mut Arc::make_mut(account).policy);
        (policy.attempts, policy.retry_after) = (2, Duration::from_secs(3600));
    }
    night.life.core.adopt(lock(&night.universe.config).clone());
    night.until(2 * HOUR);
    for device in lock(&night.universe.sites).values_mut() {
        device.down_until = night.universe.host.begin + 3 * HOUR;
    }
    night.until(DAY_MS + 2 * HOUR - 1000);
    night.all_begun(&night.accounts(), 1);
    night.until(DAY_MS + 2 * HOUR + HOUR / 4);
    night.all_begun(&night.accounts(), 2);
}

#[test]
fn who_stores_a_password_is_not_overruled_by_a_login_with_the_one_before() {
    for in_doubt in [false, true] {
        let mut night = Night::new(|_| {});
        night.until(HOUR / 2);
        let account = night.accounts().remove(0);
        let stores = |password: String| {
            let (core, name) = (night.life.core.clone(), account.clone());
            Box::pin(async move {
                drop(core.store_secret(name, Kind::Password, Secret::new(password), None).await);
            })
        };
        let truth = night.universe.truth(&account).unwrap();
        let (wrong, right) = (stores("Wrong-1".into()), stores(truth.clone()));
        night.universe.mistyped(&account);
        night.universe.on.spawn(wrong);
        night.until(HOUR);
        let (core, name, now) = (night.life.core.clone(), account.clone(), night.life.core.clock.now());
        night.universe.on.spawn(Box::pin(async move {
            if in_doubt {
                drop(core.vault.call(move |tx| tx.doubt(&name, "why", "a", &now)).await);
                core.adopt((*core.config()).clone());
            } else {
                drop(core.verify(&name, None, None).await);
            }
        }));
        // The code of a step is sent half a second after its begin.
        night.until(HOUR + 200);
        night.universe.on.spawn(right);
        night.until(HOUR + 300_000);
        let books = lock(&night.universe.books);
        let book = books.book(&account).unwrap();
        assert_eq!((book.phase(), book.two().0.unwrap().expose()), (Phase::Idle, truth.as_str()), "{in_doubt}");
    }
}

#[test]
fn what_is_due_while_the_vault_cannot_be_written_begins_once_it_can_and_once() {
    let mut night = Night::new(|_| {});
    night.until(HALF_PAST_TWO - 1000);
    night.universe.disk_full_for(60_000);
    night.until(4 * HOUR);
    night.universe.disk_full_for(HOUR / 2);
    night.until(9 * HOUR);
    night.all_begun(&night.accounts(), 1);
}

#[test]
fn a_firing_that_was_held_has_no_turns_after_a_restart() {
    let mut night = Night::new(|job| job.catch_up = true);
    let core = night.life.core.clone();
    let pause = |paused| {
        let core = core.clone();
        Box::pin(async move { drop(core.vault.call(move |tx| tx.set_job_paused("nightly", paused)).await) })
    };
    night.universe.on.spawn(pause(true));
    night.until(3 * HOUR);
    night.universe.on.spawn(pause(false));
    night.until(4 * HOUR);
    night.stop();
    night.down_until(4 * HOUR + 1000);
    night.until(8 * HOUR);
    night.all_begun(&night.accounts(), 0);
}

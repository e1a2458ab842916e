//! The scheduler in simulated time: whose turn comes when, through restarts and edits.

use std::sync::Arc;
use std::time::Duration;

use super::executor::lock;
use super::history::HOUR;
use super::night::{HALF_PAST_TWO, Night};
use crate::audit::Draft;
use crate::config::JobAction;
use crate::daemon::{Core, DeviceHas};
use crate::model::{AccountName, EventKind, Secret};
use crate::policy::DAY_MS;
use crate::rotation::{Persist, Transition};
use crate::schedule::Window;

#[test]
fn turns_that_are_yet_to_come_outlive_a_restart_and_none_comes_twice() {
    let mut night = Night::new(|_| {});
    night.until(4 * HOUR);
    let (early, late) = night.before(4 * HOUR);
    night.all_begun(&early, 1);
    night.all_begun(&late, 0);
    night.stop(true);
    night.down_until(4 * HOUR + 1000);
    night.until(8 * HOUR);
    night.all_begun(&night.accounts(), 1);
}

#[test]
fn turns_that_came_while_the_daemon_was_down_are_made_up_for_where_the_job_says_so() {
    for catch_up in [false, true] {
        let mut night = Night::new(|job| job.catch_up = catch_up);
        night.until(HALF_PAST_TWO + 1000);
        night.stop(true);
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
    night.stop(true);
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
    night.look_too("a look");
    night.until(8 * HOUR);
    night.all_begun(&night.accounts(), 1);
}

#[test]
fn a_job_that_verifies_loses_no_turn_to_one_that_is_refused_at_the_same_time() {
    let mut night = Night::new(|_| {});
    for account in lock(&night.universe.config).accounts.values_mut() {
        Arc::make_mut(&mut Arc::make_mut(account).policy).min_age = Duration::from_secs(26 * 3600);
    }
    night.look_too("then a look");
    night.until(DAY_MS + 8 * HOUR);
    let second_day = night.universe.host.begin + DAY_MS;
    for account in night.accounts() {
        let verified = lock(&night.universe.books).book(&account).unwrap().record.verified;
        assert!(verified.is_some_and(|at| at > second_day), "{account}: {verified:?}");
    }
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
        night.stop(true);
        night.down_until(HOUR);
        night.until(HALF_PAST_TWO + 1000);
        let begun = night.accounts().iter().filter(|account| night.begun(account) > 0).count();
        assert!((1..night.accounts().len()).contains(&begun), "{begun} of {}", night.accounts().len());
        night.stop(politely);
        night.down_until(HALF_PAST_TWO + 120_000);
        night.until(4 * HOUR);
        assert!(night.accounts().iter().all(|account| night.begun(account) > 0), "nobody is forgotten ({politely})");
    }
}

#[test]
fn an_account_changes_after_its_parent_where_a_person_says_that_it_was_changed() {
    let mut night = Night::new(|_| {});
    let accounts = night.accounts();
    let own = |account: &&AccountName| lock(&night.universe.config).accounts[*account].login_as.is_none();
    let [parent, child] = [0, 1].map(|n| accounts.iter().filter(own).nth(n).unwrap().clone());
    for account in lock(&night.universe.config).accounts.values_mut().filter(|account| account.name == child) {
        Arc::make_mut(account).after = Some(parent.clone());
    }
    night.life.core.adopt(lock(&night.universe.config).clone());
    night.until(HOUR);
    night.universe.mistyped(&parent);
    let (core, name) = (night.life.core.clone(), parent.clone());
    night.universe.on.spawn(Box::pin(async move {
        let (account, now) = (name.clone(), core.clock.now());
        let interrupted = core.vault.call(move |tx| {
            let candidate = Secret::new("Candidate-1".into());
            for (persist, candidate) in
                [(Persist::Prepared, Some(&candidate)), (Persist::Sent, None), (Persist::Quarantine, None)]
            {
                let step = Transition::Step { persist, attempt: "a", keep: 2, flaw: None };
                tx.apply(&account, &step, candidate, &now)?;
            }
            tx.audit(&Draft { account: Some(account), ..Draft::new(EventKind::RotationUnknown) }, &now)
        });
        drop(interrupted.await);
        drop(core.resolve(&name, DeviceHas::New, Core::own_actor(), None).await);
    }));
    night.until(HOUR + 300_000);
    night.all_begun(&[child], 1);
    night.all_begun(&[parent], 0);
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
    night.stop(true);
    night.down_until(4 * HOUR + 1000);
    night.until(8 * HOUR);
    night.all_begun(&night.accounts(), 0);
}

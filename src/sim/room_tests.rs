//! Devices that allow a user one session and free its slot late, in simulated time: an attempt waits for room, and comes to its end.

use super::fleet::{Asks, Says};
use super::habits::Habit;
use super::history::HOUR;
use super::night::Night;
use super::random::Random;
use super::setting::{Fleet, fleet};
use crate::daemon::Request;
use crate::model::{AccountName, Outcome, Trigger};

/// The first seed whose fleet fits, where the devices' keys and codes are as the config has them.
fn seed(fits: impl Fn(&Fleet) -> bool) -> u64 {
    let begins = |seed: &u64| Random::new(*seed, 6).below(4) < 2;
    (0..).find(|seed| begins(seed) && fits(&fleet(&mut Random::new(*seed, 0), None))).unwrap()
}

/// Has a person rotate an account so often, one time right after the other: each is done and clean. Returns what happened.
fn rotate(night: &mut Night, account: &AccountName, times: usize) -> Vec<String> {
    let (core, name) = (night.life.core.clone(), account.clone());
    let told = night.ask(async move {
        let mut all = Vec::new();
        for _ in 0..times {
            all.push(core.rotate(Request::of(name.clone(), Trigger::Command)).await);
        }
        all
    });
    night.until(HOUR + 900_000);
    let all = told.lock().unwrap().take().unwrap();
    for told in &all {
        assert_eq!((told.outcome, &told.warning), (Outcome::Done, &None), "{}: {:?}", told.detail, told.steps);
    }
    all.iter().flat_map(|told| told.steps.iter().map(|step| step.text.clone())).collect()
}

fn waited(steps: &[String]) -> bool {
    steps.iter().any(|step| step.contains("; asking again in "))
}

#[test]
fn an_attempt_waits_for_the_slot_of_its_own_last_session() {
    let account = AccountName::parse("d0/root").unwrap();
    let seed = seed(|Fleet { config, sites }| {
        let site = &sites["d0"];
        let itself = |account: &AccountName| {
            config.accounts.get(account).is_some_and(|it| it.login_as.is_none() && &*it.device.template == "cisco-ios")
        };
        site.asks == Asks::PasswordOnly && !site.only_at_login && itself(&account)
    });
    // Of the variants a third lets in, and its shell says that there is no room.
    for (variant, says) in [(0, Says::InBanner), (1, Says::InBanner), (1, Says::HangingUp), (2, Says::InRound)] {
        let mut night = Night::of(seed, |_| {});
        night.until(HOUR);
        night.universe.site("d0", |site| {
            site.habits.add(Habit::OneSession);
            (site.variant, site.says) = (variant, says);
        });
        // The proof comes right after the session that changed the password, and the next change right after the proof.
        let steps = rotate(&mut night, &account, 2);
        assert!(waited(&steps), "{variant} {says:?}: {steps:#?}");
    }
}

#[test]
fn the_second_login_of_an_attempt_waits_for_the_slot_at_the_jump_host() {
    let jumps = |fleet: &Fleet| {
        let goes_on = |name: &AccountName| {
            let account = &fleet.config.accounts[name];
            account.login_as.is_none() && account.device.jump().is_some_and(|jump| jump.as_str() == "d0")
        };
        let has_code = |name: &AccountName| {
            let site = &fleet.sites[name.device_str()];
            site.asks == Asks::PasswordThenCode && !site.only_at_login
        };
        fleet.config.accounts.keys().find(|name| goes_on(name) && has_code(name)).cloned()
    };
    // A login at the jump host that waits for a code outlasts the slot.
    let seed = seed(|fleet| fleet.sites["d0"].asks == Asks::PasswordOnly && jumps(fleet).is_some());
    let account = jumps(&fleet(&mut Random::new(seed, 0), None)).unwrap();
    let mut night = Night::of(seed, |_| {});
    night.until(HOUR);
    night.universe.site("d0", |site| {
        site.habits.add(Habit::OneSession);
        site.variant = 1;
    });
    // The device takes no login before the next step, as where a person has used the code.
    let now = night.universe.now();
    night.universe.site(account.device_str(), |site| site.refuses_until = now + 5_000);
    night.universe.excuse(&account);
    let steps = rotate(&mut night, &account, 1);
    assert!(waited(&steps), "it had room all the time: {steps:#?}");
}

//! What people store and devices refuse, in simulated time: who is put in doubt, and who is believed.

use super::executor::lock;
use super::fleet::{Asks, Refuses};
use super::history::HOUR;
use super::night::Night;
use super::random::Random;
use super::setting::{Fleet, fleet};
use crate::daemon::Request;
use crate::model::{AccountName, AttemptKind, EventKind, Outcome, Secret, Trigger};
use crate::rotation::Phase;
use crate::vault::Kind;

#[test]
fn a_login_account_whose_password_a_session_refuses_is_looked_into_before_others_go_on() {
    let accounts = ["root", "svc"].map(|user| AccountName::parse(&format!("d0/{user}")).unwrap());
    let [root, svc] = &accounts;
    // A device alone whose root comes in with a key, and is asked for the password by sudo.
    let fits = |seed: &u64| {
        let Fleet { config, sites } = fleet(&mut Random::new(*seed, 0), None);
        let asked = config.accounts.get(svc).is_some_and(|svc| &*svc.device.template == "linux-sudo-passwd");
        let begins = Random::new(*seed, 6).below(4) < 2;
        begins && asked && sites.len() == 1 && sites["d0"].asks == Asks::KeyOrPassword
    };
    let mut night = Night::of((0..).find(fits).unwrap(), |job| job.accounts = vec![svc.to_string()]);
    night.until(HOUR);
    night.store_wrong(root);
    night.until(8 * HOUR);
    assert!(lock(&night.universe.books).book(root).unwrap().phase().expects_refusal(), "looked at again");
    night.until_phase(root, 20 * HOUR, |phase| phase == Phase::Quarantined);
    night.all_begun(std::slice::from_ref(svc), 1);
}

#[test]
fn who_stores_a_password_is_not_overruled_by_a_login_with_the_one_before() {
    for in_doubt in [false, true] {
        let mut night = Night::new(|_| {});
        night.until(HOUR / 2);
        let account = night.accounts().remove(0);
        let truth = night.universe.truth(&account).unwrap();
        night.store_wrong(&account);
        night.until(HOUR);
        let (core, name, now) = (night.life.core.clone(), account.clone(), night.life.core.clock.now());
        night.universe.on.spawn(Box::pin(async move {
            if in_doubt {
                drop(core.vault.call(move |tx| tx.doubt(&name, "why", "a", 0, &now)).await);
                core.adopt((*core.config()).clone());
            } else {
                drop(core.verify(&name, None, None).await);
            }
        }));
        // The code of a step is sent half a second after its begin.
        night.until(HOUR + 200);
        let (core, name, right) = (night.life.core.clone(), account.clone(), Secret::new(truth.clone()));
        night.ask(async move { core.store_secret(name, Kind::Password, right, None).await });
        night.until(HOUR + 300_000);
        let books = lock(&night.universe.books);
        let book = books.book(&account).unwrap();
        assert_eq!((book.phase(), book.two().0.unwrap().expose()), (Phase::Idle, truth.as_str()), "{in_doubt}");
    }
}

#[test]
fn refusals_from_before_a_login_that_was_taken_give_nobody_up() {
    for taken in [false, true] {
        // A device whose way to say no is to hang up.
        let fits = |seed: &u64| {
            let sites = fleet(&mut Random::new(*seed, 0), None).sites;
            let begins = Random::new(*seed, 6).below(4) < 2;
            begins && sites["d0"].refuses == Refuses::HangsUp && sites["d0"].asks == Asks::PasswordThenCode
        };
        let mut night = Night::of((0..).find(fits).unwrap(), |_| {});
        night.until(HOUR / 2);
        let account = night.accounts().remove(0);
        (0..3).for_each(|_| night.universe.may_say_no(&account));
        let (core, name) = (night.life.core.clone(), account.clone());
        night.universe.on.spawn(Box::pin(async move {
            let now = core.clock.now();
            let refused = core.vault.call(move |tx| {
                for _ in 0..3 {
                    let id = tx.add_failed_login(&name, &now)?;
                    tx.login_was_refused(&name, id, false)?;
                }
                if taken { tx.login_was_taken(&name, false) } else { Ok(()) }
            });
            drop(refused.await);
        }));
        night.until(2 * HOUR);
        // One login has hung; the next one is refused, as are those of all, and leaves none of the budget.
        night.universe.excuse(&account);
        night.universe.directory_down_for(60_000);
        let (core, name) = (night.life.core.clone(), account.clone());
        night.universe.on.spawn(Box::pin(async move {
            let (hung, now) = (name.clone(), core.clock.now());
            drop(core.vault.call(move |tx| tx.add_failed_login(&hung, &now)).await);
            drop(core.rotate(Request::of(name, Trigger::Command)).await);
        }));
        night.until(2 * HOUR + 60_000);
        let phase = lock(&night.universe.books).book(&account).unwrap().phase();
        assert_eq!(phase == Phase::Idle, taken, "{phase:?}");
    }
}

#[test]
fn a_check_tells_nothing_of_a_password_that_was_stored_meanwhile() {
    let mut night = Night::new(|_| {});
    night.until(HOUR);
    let account = night.accounts().remove(0);
    let (core, name) = (night.life.core.clone(), account.clone());
    let told = night.ask(async move { core.verify(&name, None, None).await });
    // The code of a step is sent half a second after its begin.
    night.until(HOUR + 200);
    night.store_wrong(&account);
    night.until(HOUR + 60_000);
    let told = lock(&told).take().unwrap();
    assert_eq!(told.outcome, Outcome::Failed, "{}", told.detail);
    assert!(told.detail.contains("not tried"), "{}", told.detail);
    assert_eq!(lock(&night.universe.books).book(&account).unwrap().record.verified, None);
}

#[test]
fn who_is_overruled_after_the_commit_point_is_told_so() {
    let mut night = Night::new(|_| {});
    night.until(HOUR);
    let account = night.accounts().remove(0);
    let old = night.universe.truth(&account).unwrap();
    let (core, name) = (night.life.core.clone(), account.clone());
    let told = night.ask(async move { core.rotate(Request::of(name, Trigger::Command)).await });
    night.until_phase(&account, HOUR + 60_000, |phase| phase == Phase::Verifying);
    // The device loses what it was given, so a login with the old one is to tell, which waits for its code.
    night.universe.excuse(&account);
    night.universe.set_password(account.device_str(), account.user(), &old);
    night.until_phase(&account, HOUR + 120_000, |phase| matches!(phase, Phase::Uncertain(_)));
    night.store_wrong(&account);
    night.until(HOUR + 300_000);
    let told = lock(&told).take().unwrap();
    assert_eq!(told.outcome, Outcome::Unknown, "{}", told.detail);
    assert!(told.detail.contains("rotorctl secret show"), "{}", told.detail);
    assert_eq!(lock(&night.universe.books).book(&account).unwrap().phase(), Phase::Idle);
}

/// An account of a device that says no in words, with its night.
fn one_in_words() -> (Night, AccountName) {
    let fits = |seed: &u64| {
        let sites = fleet(&mut Random::new(*seed, 0), None).sites;
        let begins = Random::new(*seed, 6).below(4) < 2;
        let site = &sites["d0"];
        let usual = site.refuses == Refuses::InWords && site.asks == Asks::PasswordThenCode;
        begins && usual && !site.only_at_login
    };
    let mut night = Night::of((0..).find(fits).unwrap(), |job| job.accounts = vec!["nobody".into()]);
    night.until(HOUR);
    let account = night.accounts().into_iter().find(|name| name.device_str() == "d0").unwrap();
    (night, account)
}

fn phase(night: &Night, account: &AccountName) -> Phase {
    lock(&night.universe.books).book(account).unwrap().phase()
}

#[test]
fn a_check_that_is_refused_once_condemns_nobody_and_is_made_again_by_itself() {
    let (mut night, account) = one_in_words();
    night.universe.excuse(&account);
    night.universe.directory_down_for(30_000);
    let (core, name) = (night.life.core.clone(), account.clone());
    let told = night.ask(async move { core.verify(&name, None, None).await });
    night.until(HOUR + 30_000);
    let told = lock(&told).take().unwrap();
    assert_eq!(told.outcome, Outcome::Unknown, "{}", told.detail);
    assert!(matches!(phase(&night, &account), Phase::Uncertain(_)));
    night.until_phase(&account, HOUR + 200_000, |phase| phase == Phase::Idle);
    assert_eq!(lock(&night.universe.books).book(&account).unwrap().last_error(), None);
}

#[test]
fn an_account_that_is_refused_before_its_change_comes_back_by_itself_however_long_that_takes() {
    for hours in [0, 4, 50] {
        let (mut night, account) = one_in_words();
        night.universe.excuse(&account);
        night.universe.directory_down_for(hours * HOUR + 120_000);
        let (core, name) = (night.life.core.clone(), account.clone());
        let told = night.ask(async move { core.rotate(Request::of(name, Trigger::Command)).await });
        night.until(HOUR + 130_000);
        let told = lock(&told).take().unwrap();
        assert_eq!(told.outcome, Outcome::Unknown, "{}", told.detail);
        assert!(matches!(phase(&night, &account), Phase::Uncertain(_)), "{hours} h");
        if hours > 12 {
            night.until_phase(&account, 12 * HOUR, |phase| phase == Phase::Quarantined);
        }
        let bound = (if hours > 12 { hours + 100 } else { hours + 4 }) * HOUR;
        night.until_phase(&account, bound, |phase| phase == Phase::Idle);
    }
}

#[test]
fn a_change_whose_device_takes_neither_password_is_proved_once_it_takes_one() {
    for hours in [2, 30] {
        let (mut night, account) = one_in_words();
        let (core, name) = (night.life.core.clone(), account.clone());
        let told = night.ask(async move { core.rotate(Request::of(name, Trigger::Command)).await });
        night.until_phase(&account, HOUR + 60_000, |phase| phase == Phase::Verifying);
        night.universe.excuse(&account);
        night.universe.directory_down_for(hours * HOUR);
        night.until(HOUR + HOUR / 2);
        let told = lock(&told).take().unwrap();
        assert_eq!(told.outcome, Outcome::Unknown, "{}", told.detail);
        assert!(matches!(phase(&night, &account), Phase::Uncertain(_)));
        if hours > 12 {
            night.until_phase(&account, 12 * HOUR, |phase| phase == Phase::Quarantined);
        }
        night.until_phase(&account, (hours + 100) * HOUR, |phase| phase == Phase::Idle);
        let truth = night.universe.truth(&account).unwrap();
        let books = lock(&night.universe.books);
        assert_eq!(books.book(&account).unwrap().two().0.unwrap().expose(), truth);
        let ends = books.log.iter().filter(|noted| noted.is(EventKind::RotationRecovered, &account)).count();
        assert_eq!(ends, 1, "that it is known is on record");
    }
}

/// An account whose change did not take on its device, and which is given up: its device takes the old password again.
fn given_up_with_its_old_password() -> (Night, AccountName) {
    let (mut night, account) = one_in_words();
    let old = night.universe.truth(&account).unwrap();
    let (core, name) = (night.life.core.clone(), account.clone());
    drop(night.ask(async move { core.rotate(Request::of(name, Trigger::Command)).await }));
    night.until_phase(&account, HOUR + 60_000, |phase| phase == Phase::Verifying);
    night.universe.excuse(&account);
    night.universe.set_password(account.device_str(), account.user(), &old);
    night.universe.directory_down_for(10 * HOUR);
    night.until_phase(&account, 10 * HOUR, |phase| phase == Phase::Quarantined);
    night.until(11 * HOUR + 5 * 60_000);
    (night, account)
}

#[test]
fn a_verify_that_takes_the_stored_password_is_done_though_a_change_had_failed() {
    let (mut night, account) = given_up_with_its_old_password();
    let (core, name) = (night.life.core.clone(), account.clone());
    let told = night.ask(async move { core.verify(&name, None, Some("a disk was mended".into())).await });
    night.until(11 * HOUR + 15 * 60_000);
    let told = lock(&told).take().unwrap();
    assert_eq!((told.outcome, told.kind), (Outcome::Done, AttemptKind::Verify), "{}", told.detail);
    assert!(told.detail.starts_with("the stored password works"), "{}", told.detail);
    let books = lock(&night.universe.books);
    let book = books.book(&account).unwrap();
    assert_eq!((book.phase(), book.last_error()), (Phase::Idle, None));
    assert!(book.record.verified.is_some());
    let of_it = |event: EventKind| {
        books
            .log
            .iter()
            .filter(|noted| noted.attempt.as_deref() == Some(&told.attempt))
            .any(|noted| noted.event == event)
    };
    assert!(of_it(EventKind::VerifyDone) && of_it(EventKind::RotationRecovered) && !of_it(EventKind::RotationFailed));
}

#[test]
fn a_verify_joins_a_recovery_that_is_under_way_and_tells_what_that_found() {
    let (mut night, account) = given_up_with_its_old_password();
    let (core, name) = (night.life.core.clone(), account.clone());
    let recovered = night.ask(async move { core.recover(&name, Trigger::Recovery, None).await });
    let (core, name) = (night.life.core.clone(), account.clone());
    let told = night.ask(async move { core.verify(&name, None, None).await });
    night.until(11 * HOUR + 15 * 60_000);
    let (recovered, told) = (lock(&recovered).take().unwrap().unwrap(), lock(&told).take().unwrap());
    assert_eq!((told.outcome, &told.attempt), (Outcome::Done, &recovered.attempt), "{}", told.detail);
    assert!(told.detail.contains("recovery that was under way"), "{}", told.detail);
    let books = lock(&night.universe.books);
    assert!(books.log.iter().any(|noted| noted.is(EventKind::VerifyDone, &account)));
}

use std::time::Duration;

use super::*;
use crate::model::BootId;
use crate::rotation::{Doubt, Which};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * HOUR_MS;
/// Now, in this boot.
const NOW: i64 = 10 * DAY;

fn at(boot: &str, ms: i64) -> Moment {
    Moment { wall_ms: ms, boot: BootId::of(boot), since_boot_ms: ms }
}

fn now() -> Moment {
    at("now", NOW)
}

fn policy() -> Policy {
    Policy { attempts: 3, retry_after: Duration::from_secs(600), ..Policy::default() }
}

fn in_phase(phase: Phase, tries: u32) -> AccountRecord {
    let since = NOW - HOUR_MS;
    AccountRecord { phase, tries, since, current: Some(1), ..AccountRecord::new("web1/admin", &at("now", since)) }
}

/// A scheduled attempt that failed.
const FAILED: AttemptEnd = AttemptEnd {
    outcome: Outcome::Failed,
    is_unasked: true,
    not_before: None,
    stopped: false,
    needs_person: false,
    is_look: false,
    turned_away: false,
};

fn in_doubt(looks: u8) -> Phase {
    Phase::Uncertain(Doubt { looks, ..Doubt::fresh(Which::Old) })
}

/// In how many milliseconds an account is worked on again, and the tries that are counted then.
fn after(phase: Phase, tries: u32, end: AttemptEnd, reconciles_itself: bool) -> (Option<i64>, u32) {
    let rules = RetryRules { policy: &policy(), reconciles_itself };
    let next = after_attempt(&in_phase(phase, tries), &end, &rules, &now());
    (next.wake.map(|at| at.since(&now())), next.tries)
}

#[test]
fn a_scheduled_change_that_sent_nothing_is_tried_again_as_often_as_the_policy_says() {
    for (tries, expected) in [(0, (Some(10 * MINUTE), 1)), (1, (Some(10 * MINUTE), 2)), (2, (None, 0))] {
        assert_eq!(after(Phase::Idle, tries, FAILED, false), expected, "{tries}");
    }
}

#[test]
fn what_becomes_of_an_account_at_rest() {
    let later = Some(at("now", NOW + 7 * MINUTE));
    let asked = AttemptEnd { is_unasked: false, ..FAILED };
    let cases = [
        ("a person asked: nobody tries it again for him", asked, (None, 0)),
        ("the budget is spent", AttemptEnd { not_before: later, ..FAILED }, (Some(7 * MINUTE), 1)),
        (
            "a rule stands against it for a while",
            AttemptEnd { outcome: Outcome::Refused, not_before: later, ..FAILED },
            (Some(7 * MINUTE), 1),
        ),
        ("a rule stands against it for good", AttemptEnd { outcome: Outcome::Refused, ..FAILED }, (None, 0)),
        ("each try asks a person", AttemptEnd { needs_person: true, not_before: later, ..FAILED }, (None, 0)),
        ("the daemon stopped", AttemptEnd { stopped: true, ..FAILED }, (Some(5 * MINUTE), 1)),
        ("the daemon stopped, and a person asked", AttemptEnd { stopped: true, ..asked }, (None, 0)),
        ("a person asked, and the budget is spent", AttemptEnd { not_before: later, ..asked }, (None, 0)),
    ];
    for (name, end, expected) in cases {
        assert_eq!(after(Phase::Idle, 1, end, false), expected, "{name}");
    }
}

#[test]
fn an_account_in_doubt_is_looked_at_ever_less_often() {
    let end = AttemptEnd { outcome: Outcome::Unknown, ..FAILED };
    let cases = [
        (in_doubt(0), 0, MINUTE),
        (in_doubt(0), 3, 8 * MINUTE),
        (in_doubt(0), 40, HOUR_MS),
        (in_doubt(1), 0, 30_000),
        (in_doubt(1), 1, 2 * MINUTE),
        (in_doubt(2), 0, HOUR_MS),
        (Phase::Sent, 0, MINUTE),
    ];
    for (phase, tries, wait) in cases {
        assert_eq!(after(phase, tries, end, false), (Some(wait), tries + 1), "{phase:?} {tries}");
    }
    let budget = AttemptEnd { not_before: Some(at("now", NOW + 9)), ..end };
    assert_eq!(after(in_doubt(2), 0, budget, false), (Some(9), 1), "sooner where the budget says when");
}

#[test]
fn an_account_in_quarantine_is_looked_at_once_a_day_or_reconciled() {
    let unknown = AttemptEnd { outcome: Outcome::Unknown, is_unasked: false, ..FAILED };
    let look = AttemptEnd { is_look: true, ..unknown };
    let later = AttemptEnd { not_before: Some(at("now", NOW + 9)), ..unknown };
    let refused = AttemptEnd { outcome: Outcome::Refused, ..unknown };
    let turned_away = AttemptEnd { turned_away: true, ..unknown };
    let cases = [
        ("a look", look, false, 0, (Some(DAY), 0)),
        ("a look, and it reconciles itself", look, true, 3, (Some(MINUTE), 3)),
        ("a look, and it was tried in vain", look, true, 4, (Some(DAY), 4)),
        ("at once", unknown, true, 0, (Some(0), 1)),
        ("after a minute", unknown, true, 1, (Some(MINUTE), 2)),
        ("after two", unknown, true, 2, (Some(2 * MINUTE), 3)),
        ("no more", unknown, true, 3, (Some(DAY), 4)),
        ("the budget is spent", later, true, 1, (Some(9), 1)),
        ("a rule stands against it", refused, true, 1, (Some(HOUR_MS), 1)),
        ("who is sent away puts no look off", turned_away, false, 1, (None, 1)),
        ("nor does who is refused", refused, false, 1, (None, 1)),
        ("no reconcile account", unknown, false, 0, (Some(DAY), 1)),
    ];
    for (name, end, reconciles_itself, tries, expected) in cases {
        assert_eq!(after(Phase::Quarantined, tries, end, reconciles_itself), expected, "{name}");
    }
    let rules = RetryRules { policy: &policy(), reconciles_itself: false };
    let looked = |end| after_attempt(&in_phase(Phase::Quarantined, 0), &end, &rules, &now()).was_looked_at;
    assert!(looked(look) && !looked(AttemptEnd { is_look: true, ..later }) && !looked(unknown));
}

#[test]
fn a_start_of_the_daemon_asks_no_device_more_often() {
    let rules = RetryRules { policy: &policy(), reconciles_itself: false };
    let mends = RetryRules { reconciles_itself: true, ..rules };
    let waits = |boot, ms| Some(at(boot, NOW + ms));
    let hour_and_five = 65 * MINUTE;
    let cases = [
        ("it waits for nothing", Phase::Idle, None, rules, AfterStart::Waits(None)),
        ("it waits on", Phase::Idle, waits("now", 7), rules, AfterStart::Waits(waits("now", 7))),
        ("by this boot's clock", Phase::Idle, waits("before", 7), rules, AfterStart::Waits(waits("now", 7))),
        ("its time has come", Phase::Idle, waits("before", -7), rules, AfterStart::Waits(waits("now", 0))),
        (
            "no longer than ever",
            Phase::Idle,
            waits("before", DAY),
            rules,
            AfterStart::Waits(waits("now", hour_and_five)),
        ),
        ("in doubt, and never refused", in_doubt(0), waits("now", 7), rules, AfterStart::Interrupted),
        ("in doubt, and refused", in_doubt(1), waits("now", 7), rules, AfterStart::Waits(waits("now", 7))),
        (
            "refused, in another boot",
            in_doubt(1),
            waits("before", 9 * DAY),
            rules,
            AfterStart::Waits(waits("now", DAY)),
        ),
        ("in the middle", Phase::Sent, None, rules, AfterStart::Interrupted),
        ("given up", Phase::Quarantined, None, rules, AfterStart::Waits(waits("now", DAY))),
        ("it reconciles itself", Phase::Quarantined, None, mends, AfterStart::Waits(waits("now", MINUTE))),
    ];
    for (name, phase, wake, rules, expected) in cases {
        let account = AccountRecord { wake, ..in_phase(phase, 0) };
        assert_eq!(after_start(&account, Some(&rules), &now()), expected, "{name}");
    }
    let gone = AccountRecord { wake: waits("before", 7), ..in_phase(Phase::Idle, 0) };
    assert_eq!(after_start(&gone, None, &now()), AfterStart::Waits(waits("now", 0)), "it is not in the config");
}

#[test]
fn what_is_done_with_an_account_whose_time_has_come() {
    let rules = RetryRules { policy: &policy(), reconciles_itself: false };
    let mends = RetryRules { reconciles_itself: true, ..rules };
    let due = |account: &AccountRecord, rules, closed| when_due(account, rules, || closed, &now());
    let now_and_in = |ms: i64, turn| WhenDue::Now { wake: Some(at("now", NOW + ms)), turn };
    let rests = AccountRecord { wake: Some(now()), ..in_phase(Phase::Idle, 1) };
    assert_eq!(due(&rests, &rules, 0), now_and_in(5 * MINUTE, Some(Turn::Try(2))));
    assert_eq!(due(&rests, &rules, MINUTE), now_and_in(MINUTE, None), "the window is closed");
    assert_eq!(due(&rests, &rules, 9 * DAY), now_and_in(65 * MINUTE, None), "it is looked at again before");
    let waits = AccountRecord { wake: Some(at("now", NOW + 7)), ..rests.clone() };
    assert_eq!(due(&waits, &rules, 0), WhenDue::Later(7));
    let lies = AccountRecord { wake: Some(at("now", NOW + 9 * DAY)), ..rests };
    assert_eq!(due(&lies, &rules, 0), now_and_in(5 * MINUTE, Some(Turn::Try(2))), "nothing waits so long");
    let recovers = WhenDue::Now { wake: None, turn: Some(Turn::Recover) };
    assert_eq!(due(&in_phase(Phase::Sent, 0), &rules, 0), recovers);
    assert_eq!(due(&in_phase(in_doubt(3), 0), &rules, MINUTE), recovers, "a window keeps nobody from finding out");
    let given_up = |days: i64, tries| AccountRecord {
        since: NOW - days * DAY - 1,
        verified: Some(NOW - HOUR_MS),
        ..in_phase(Phase::Quarantined, tries)
    };
    for (days, number) in [(0, 0), (1, 1), (3, 3), (4, 0)] {
        assert_eq!(due(&given_up(days, 0), &rules, 0), now_and_in(DAY, Some(Turn::Look(number))), "{days}");
    }
    assert_eq!(due(&given_up(1, 3), &mends, 0), now_and_in(DAY, Some(Turn::Reconcile)));
    assert_eq!(due(&given_up(1, 4), &mends, 0), now_and_in(DAY, Some(Turn::Look(1))), "it was tried in vain");
    let unseen = AccountRecord { verified: None, ..given_up(2, 0) };
    assert_eq!(due(&unseen, &mends, 0), now_and_in(DAY, Some(Turn::Look(2))), "it was not looked at within a day");
    let paused = AccountRecord { paused: true, ..given_up(1, 0) };
    assert_eq!(due(&paused, &rules, 0), now_and_in(DAY, None), "an operator holds its looks");
    assert_eq!(due(&paused, &mends, 0), now_and_in(DAY, Some(Turn::Reconcile)));
}

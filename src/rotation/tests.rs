use proptest::prelude::*;

use super::*;
use crate::rotation::phase::HOUR_MS;
use crate::rotation::{PATIENCE_OF_MENDERS, QUARANTINE_LOOK_MS, daily_look, next_daily_look_ms};

fn any_event() -> impl Strategy<Value = Event> {
    let which = prop_oneof![Just(Which::Old), Just(Which::New)];
    prop_oneof![
        Just(Event::Begin),
        Just(Event::LoggedIn),
        (any::<bool>(), any::<bool>()).prop_map(|(retry, own)| Event::LoginRefused { retry, own }),
        Just(Event::Outdated),
        Just(Event::Failed),
        Just(Event::AtCommitPoint),
        Just(Event::Ran),
        any::<bool>().prop_map(|refused| Event::Broken { refused }),
        which.clone().prop_map(Event::Proved),
        which.clone().prop_map(Event::Disproved),
        which.clone().prop_map(Event::HungUp),
        which.clone().prop_map(Event::Absent),
        which.prop_map(Event::Look),
        Just(Event::GiveUp),
        Just(Event::Unreachable),
        Just(Event::Recover),
    ]
}

/// The phase after some events, and what followed each of them.
fn walk(events: &[Event]) -> (Phase, Vec<Reaction>) {
    let mut rotation = Rotation::at(Phase::Idle);
    let reactions = events.iter().map(|event| rotation.step(*event).unwrap()).collect();
    (rotation.phase(), reactions)
}

#[test]
fn a_rotation_in_fair_weather_persists_before_each_act() {
    let (phase, reactions) =
        walk(&[Event::Begin, Event::LoggedIn, Event::AtCommitPoint, Event::Ran, Event::Proved(Which::New)]);
    assert_eq!(phase, Phase::Idle);
    let expected = [
        (Persist::Prepared, Act::Connect),
        (Persist::Changing, Act::RunTemplate),
        (Persist::Sent, Act::Release),
        (Persist::Verifying, Act::Check(Which::New)),
        (Persist::Promote, Act::Finish(End::Done)),
    ];
    assert_eq!(reactions, expected.map(|(persist, act)| Reaction { persist: Some(persist), act }));
}

#[test]
fn a_refused_new_password_tries_the_old_one_first() {
    let (_, reactions) = walk(&[
        Event::Begin,
        Event::LoggedIn,
        Event::AtCommitPoint,
        Event::Broken { refused: true },
        Event::Proved(Which::Old),
    ]);
    let acts: Vec<_> = reactions.iter().map(|reaction| reaction.act).collect();
    assert!(acts.contains(&Act::Check(Which::Old)) && !acts.contains(&Act::Check(Which::New)));
    assert_eq!(acts.last(), Some(&Act::Finish(End::Failed { sent: true })));
}

/// The logins of a look, and where it leaves the account: each is refused.
fn look(rotation: &mut Rotation) -> (Vec<Which>, Phase) {
    let (mut tried, mut event) = (Vec::new(), Event::Recover);
    loop {
        match rotation.step(event).unwrap().act {
            Act::Check(which) => {
                tried.push(which);
                event = Event::Disproved(which);
            }
            Act::Finish(_) => return (tried, rotation.phase()),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_device_that_takes_neither_is_looked_at_again_with_one_login_and_a_person_is_told_after_several_looks() {
    let mut rotation = Rotation::at(Phase::Sent);
    rotation.step(Event::Broken { refused: false }).unwrap();
    let mut doubt = Doubt::fresh(Which::New);
    rotation = Rotation::at(Phase::Uncertain(doubt));
    assert_eq!(look(&mut rotation).0, [Which::New, Which::Old]);
    for looks in 1..PATIENCE {
        doubt = Doubt { looks, ..Doubt::fresh(if looks % 2 == 1 { Which::New } else { Which::Old }) };
        assert_eq!(rotation.phase(), Phase::Uncertain(doubt));
        // After a crash it goes on from there.
        rotation = Rotation::at(rotation.phase());
        assert_eq!(look(&mut rotation).0, [doubt.likely], "one login");
    }
    assert_eq!(rotation.phase(), Phase::Quarantined);
    let proved = rotation.step(Event::Look(Which::New)).unwrap();
    assert_eq!(proved, only(Act::Check(Which::New)));
    let refused = rotation.clone().step(Event::Disproved(Which::New)).unwrap();
    assert_eq!(refused, only(Act::Finish(End::Quarantined)), "only what is taken changes anything");
    let taken = rotation.step(Event::Proved(Which::New)).unwrap();
    assert_eq!(taken, Reaction { persist: Some(Persist::Promote), act: Act::Finish(End::Done) });
}

#[test]
fn a_person_who_asks_has_both_passwords_tried() {
    let doubt = Doubt { looks: 3, ..Doubt::fresh(Which::New) };
    let mut rotation = Rotation::at(Phase::Uncertain(doubt)).thorough(true);
    let doubt = Doubt { looks: 4, ..Doubt::fresh(Which::New) };
    assert_eq!(look(&mut rotation), (vec![Which::New, Which::Old], Phase::Uncertain(doubt)));
    let mut rotation = Rotation::at(Phase::Quarantined).thorough(true);
    assert_eq!(look(&mut rotation), (vec![Which::Old, Which::New], Phase::Quarantined));
    let mut rotation = Rotation::at(Phase::Quarantined);
    assert_eq!(look(&mut rotation).0, [Which::Old]);
}

#[test]
fn a_password_that_is_not_there_is_no_look() {
    let doubt = Doubt { looks: 1, ..Doubt::fresh(Which::New) };
    let mut rotation = Rotation::at(Phase::Uncertain(doubt));
    let next = rotation.step(Event::Absent(Which::New)).unwrap();
    assert_eq!(next.act, Act::Check(Which::Old));
    rotation.step(Event::Disproved(Which::Old)).unwrap();
    assert_eq!(rotation.phase(), Phase::Uncertain(Doubt { looks: 2, ..Doubt::fresh(Which::New) }));
    let mut none = Rotation::at(Phase::Uncertain(Doubt::fresh(Which::New)));
    none.step(Event::Absent(Which::New)).unwrap();
    assert_eq!(none.step(Event::Absent(Which::Old)).unwrap().act, Act::Finish(End::Waiting));
}

#[test]
fn one_that_is_mended_by_itself_waits_for_a_second_look_and_no_more() {
    let mut rotation = Rotation::at(Phase::Uncertain(Doubt::fresh(Which::New))).patient(PATIENCE_OF_MENDERS);
    assert!(matches!(look(&mut rotation).1, Phase::Uncertain(Doubt { looks: 1, .. })));
    assert_eq!(look(&mut rotation).1, Phase::Quarantined);
    let mut rotation = Rotation::at(Phase::Uncertain(Doubt { looks: 1, ..Doubt::fresh(Which::Old) }));
    assert_eq!(rotation.step(Event::GiveUp).unwrap().act, Act::Finish(End::Quarantined));
    assert!(Rotation::at(Phase::Uncertain(Doubt::fresh(Which::Old))).step(Event::GiveUp).is_err(), "no look yet");
}

#[test]
fn looks_come_after_minutes_then_hours_then_days() {
    let uncertain = |looks| Phase::Uncertain(Doubt { looks, ..Doubt::fresh(Which::Old) });
    let minutes = |phase: Phase, tries| phase.look_again_ms(tries).map(|ms| ms / 60_000);
    assert_eq!(uncertain(1).look_again_ms(0), Some(30_000));
    for (phase, tries, expected) in [
        (uncertain(0), 0, Some(1)),
        (uncertain(1), 1, Some(2)),
        (uncertain(0), 3, Some(8)),
        (uncertain(0), 99, Some(60)),
        (uncertain(2), 0, Some(60)),
        (Phase::Quarantined, 0, Some(24 * 60)),
        (Phase::Idle, 0, None),
    ] {
        assert_eq!(minutes(phase, tries), expected, "{phase:?} {tries}");
    }
    let all: std::collections::BTreeSet<_> =
        (1..5).map(daily_look).map(|(which, probes)| (which.name(), probes)).collect();
    assert_eq!(all.len(), 4, "each password, with each kind of code");
    assert_eq!(daily_look(1), (Which::Old, false));
}

#[test]
fn looks_that_are_put_off_a_little_each_leave_out_no_day() {
    const DAY: i64 = QUARANTINE_LOOK_MS;
    for first in [0, 1, DAY / 2 - 1, DAY / 2, DAY - 1_000, DAY - 1, DAY, 2 * DAY - 700, -1] {
        for put_off in [0, 150, 30_000, HOUR_MS] {
            let mut at: i64 = first;
            for _ in 0..50 {
                let wait = next_daily_look_ms(at);
                assert!((DAY / 2..=DAY).contains(&wait), "{wait}");
                let next = at + wait + put_off;
                assert_eq!(next.div_euclid(DAY), at.div_euclid(DAY) + 1, "from {first}, {put_off} late each");
                at = next;
            }
        }
    }
}

#[test]
fn what_a_login_ruled_out_is_not_asked_again_after_a_wait_or_a_crash() {
    let doubt = Doubt { other_refused: true, ..Doubt::fresh(Which::Old) };
    let mut rotation = Rotation::at(Phase::Uncertain(doubt));
    assert_eq!(rotation.step(Event::Recover).unwrap(), only(Act::Check(Which::Old)));
    assert_eq!(rotation.step(Event::Disproved(Which::Old)).unwrap().act, Act::Finish(End::Waiting));
}

#[test]
fn a_device_that_hangs_up_is_asked_once_more_and_rules_nothing_out() {
    let mut rotation = Rotation::at(Phase::Verifying);
    let first = rotation.step(Event::HungUp(Which::New)).unwrap();
    assert_eq!(first.act, Act::Check(Which::New));
    let second = rotation.step(Event::HungUp(Which::New)).unwrap();
    assert_eq!(second.act, Act::Finish(End::Waiting));
    assert_eq!(rotation.phase(), Phase::Uncertain(Doubt { looks: 1, ..Doubt::fresh(Which::Old) }));
    rotation.step(Event::HungUp(Which::Old)).unwrap();
    assert_eq!(rotation.phase(), Phase::Uncertain(Doubt { looks: 2, ..Doubt::fresh(Which::New) }), "one a look");
}

#[test]
fn after_a_crash_an_unsent_candidate_is_dropped_and_a_sent_one_found_out() {
    for phase in [Phase::Prepared, Phase::Changing] {
        assert_eq!(Rotation::at(phase).step(Event::Recover).unwrap().persist, Some(Persist::Revert));
    }
    for phase in [Phase::Sent, Phase::Verifying] {
        assert_eq!(Rotation::at(phase).step(Event::Recover).unwrap().act, Act::Check(Which::New));
    }
}

#[test]
fn a_login_that_is_refused_before_the_change_is_looked_into_and_condemns_nobody() {
    let refused = |retry| Event::LoginRefused { retry, own: true };
    let (phase, reactions) = walk(&[Event::Begin, refused(true), refused(false)]);
    let doubt = Doubt { other_refused: true, ..Doubt::fresh(Which::Old) };
    assert_eq!(phase, Phase::Uncertain(Doubt { looks: 2, ..doubt }));
    assert_eq!(reactions.iter().filter(|reaction| reaction.act == Act::Connect).count(), 2);
    assert_eq!(reactions.last().unwrap().act, Act::Finish(End::Waiting));
    let (phase, _) = walk(&[Event::Begin, Event::LoggedIn, refused(false)]);
    assert_eq!(phase, Phase::Uncertain(Doubt { looks: 1, ..doubt }), "a key opened it, and the session found out");
}

#[test]
fn refused_logins_of_one_attempt_come_to_an_end_whatever_allows_more_and_are_two_looks_at_the_most() {
    for (begin, idle) in [(Phase::Idle, true), (Phase::Quarantined, false)] {
        let mut rotation = Rotation::at(begin);
        let mut reaction = rotation.step(Event::Begin).unwrap();
        let mut logins = 0;
        while reaction.act == Act::Connect {
            logins += 1;
            assert!(logins < 100, "it goes on without end from {begin:?}");
            reaction = rotation.step(Event::LoginRefused { retry: true, own: true }).unwrap();
        }
        assert_eq!(logins, 10);
        let phase = if idle { Phase::Uncertain(Doubt::of_stored(2, false)) } else { Phase::Quarantined };
        assert_eq!(rotation.phase(), phase);
    }
}

#[test]
fn a_password_that_was_taken_back_is_tried_before_a_person_is_asked() {
    let (phase, reactions) = walk(&[Event::Begin, Event::Outdated]);
    assert_eq!(phase, Phase::Uncertain(Doubt::fresh(Which::New)));
    assert_eq!(reactions.last().unwrap().act, Act::Check(Which::New));
    assert_eq!(walk(&[Event::Begin, Event::Outdated, Event::Proved(Which::New)]).0, Phase::Idle);
    assert_eq!(Doubt::of_stored(1, true), Doubt { other_refused: true, ..Doubt::fresh(Which::New) });
    assert_eq!(Doubt::of_stored(0, true), Doubt::fresh(Which::Old), "nobody was refused yet");
}

proptest! {
    #[test]
    fn every_event_in_every_state_is_answered_and_nothing_is_released_or_dropped_unsafely(
        events in proptest::collection::vec(any_event(), 0..60), crash_every in 1usize..20,
    ) {
        let mut rotation = Rotation::at(Phase::Idle);
        // What the vault holds, by what is made durable alone.
        let (mut candidate, mut sent_durable) = (false, false);
        for (n, event) in events.iter().enumerate() {
            if n % crash_every == crash_every - 1 {
                rotation = Rotation::at(rotation.phase());
            }
            let before = rotation.clone();
            match rotation.step(*event) {
                Err(unexpected) => {
                    prop_assert_eq!(&rotation, &before);
                    prop_assert_eq!(unexpected.phase, before.phase());
                }
                Ok(Reaction { persist, act }) => {
                    match persist {
                        Some(Persist::Prepared) => candidate = true,
                        Some(Persist::Sent) => {
                            prop_assert!(candidate);
                            sent_durable = true;
                        }
                        Some(Persist::Revert) => {
                            prop_assert!(
                                !sent_durable || *event == Event::Proved(Which::Old),
                                "a sent candidate is dropped only when the old one is proved"
                            );
                            (candidate, sent_durable) = (false, false);
                        }
                        Some(Persist::Promote) => {
                            prop_assert_eq!(*event, Event::Proved(Which::New));
                            (candidate, sent_durable) = (false, false);
                        }
                        _ => {}
                    }
                    prop_assert!(act != Act::Release || candidate && sent_durable);
                }
            }
        }
    }
}

use proptest::prelude::*;

use super::*;

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
        which.prop_map(Event::HungUp),
        Just(Event::Unreachable),
        Just(Event::Recover),
    ]
}

fn walk(events: &[Event]) -> (Phase, Vec<Action>) {
    let mut rotation = Rotation::at(Phase::Idle);
    let actions = events.iter().flat_map(|event| rotation.step(*event).unwrap()).collect();
    (rotation.phase(), actions)
}

#[test]
fn a_rotation_in_fair_weather_persists_before_each_act() {
    use Action::{Check, Connect, Finish, Persist as P, Release, RunTemplate};
    let (phase, actions) =
        walk(&[Event::Begin, Event::LoggedIn, Event::AtCommitPoint, Event::Ran, Event::Proved(Which::New)]);
    assert_eq!(phase, Phase::Idle);
    assert_eq!(
        actions,
        [
            P(Persist::Prepared),
            Connect,
            P(Persist::Changing),
            RunTemplate,
            P(Persist::Sent),
            Release,
            P(Persist::Verifying),
            Check(Which::New),
            P(Persist::Promote),
            Finish(End::Done)
        ]
    );
}

#[test]
fn a_refused_new_password_tries_the_old_one_first() {
    let (_, actions) = walk(&[
        Event::Begin,
        Event::LoggedIn,
        Event::AtCommitPoint,
        Event::Broken { refused: true },
        Event::Proved(Which::Old),
    ]);
    assert!(actions.contains(&Action::Check(Which::Old)) && !actions.contains(&Action::Check(Which::New)));
    assert_eq!(actions.last(), Some(&Action::Finish(End::Failed { sent: true })));
}

#[test]
fn a_broken_dialogue_tries_the_new_password_first_and_neither_is_quarantine() {
    let (phase, actions) = walk(&[
        Event::Begin,
        Event::LoggedIn,
        Event::AtCommitPoint,
        Event::Broken { refused: false },
        Event::Disproved(Which::New),
        Event::Disproved(Which::Old),
    ]);
    assert_eq!(phase, Phase::Quarantined);
    let checks: Vec<_> = actions.iter().filter(|action| matches!(action, Action::Check(_))).collect();
    assert_eq!(checks, [&Action::Check(Which::New), &Action::Check(Which::Old)]);
}

#[test]
fn what_a_login_ruled_out_is_not_asked_again_after_a_wait_or_a_crash() {
    let doubt = Doubt { likely: Which::Old, other_refused: true, hung_up: false };
    let mut rotation = Rotation::at(Phase::Uncertain(doubt));
    assert_eq!(rotation.step(Event::Recover).unwrap(), [Action::Check(Which::Old)]);
    let actions = rotation.step(Event::Disproved(Which::Old)).unwrap();
    assert_eq!(actions[0], Action::Persist(Persist::Quarantine));
}

#[test]
fn a_device_that_hangs_up_once_is_asked_again_and_twice_has_said_no() {
    let mut rotation = Rotation::at(Phase::Verifying);
    let first = rotation.step(Event::HungUp(Which::New)).unwrap();
    assert_eq!(first[1], Action::Check(Which::New));
    let second = rotation.step(Event::HungUp(Which::New)).unwrap();
    assert_eq!(second[1], Action::Check(Which::Old));
}

#[test]
fn after_a_crash_an_unsent_candidate_is_dropped_and_a_sent_one_found_out() {
    for phase in [Phase::Prepared, Phase::Changing] {
        let actions = Rotation::at(phase).step(Event::Recover).unwrap();
        assert_eq!(actions[0], Action::Persist(Persist::Revert));
    }
    for phase in [Phase::Sent, Phase::Verifying] {
        let actions = Rotation::at(phase).step(Event::Recover).unwrap();
        assert_eq!(actions[1], Action::Check(Which::New));
    }
}

#[test]
fn a_login_that_goes_on_being_refused_ends_in_quarantine_and_not_in_a_lockout() {
    let refused = |retry| Event::LoginRefused { retry, own: true };
    let (phase, actions) = walk(&[Event::Begin, refused(true), refused(false)]);
    assert_eq!(phase, Phase::Quarantined);
    assert_eq!(actions.iter().filter(|action| **action == Action::Connect).count(), 2);
    let (phase, _) = walk(&[Event::Begin, Event::LoggedIn, refused(false)]);
    assert_eq!(phase, Phase::Quarantined, "a key opened it, and the session found out");
}

#[test]
fn a_password_that_was_taken_back_is_tried_before_a_person_is_asked() {
    let (phase, actions) = walk(&[Event::Begin, Event::Outdated]);
    assert_eq!(phase, Phase::Uncertain(Doubt::fresh(Which::New)));
    assert_eq!(actions.last(), Some(&Action::Check(Which::New)));
    assert_eq!(walk(&[Event::Begin, Event::Outdated, Event::Proved(Which::New)]).0, Phase::Idle);
}

proptest! {
    #[test]
    fn every_event_in_every_state_is_answered_and_nothing_is_released_or_dropped_unsafely(
        events in proptest::collection::vec(any_event(), 0..60), crash_every in 1usize..20,
    ) {
        let mut rotation = Rotation::at(Phase::Idle);
        // What the vault holds, by the Persist actions alone.
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
                Ok(actions) => {
                    for action in actions {
                        match action {
                            Action::Persist(Persist::Prepared) => candidate = true,
                            Action::Persist(Persist::Sent) => {
                                prop_assert!(candidate);
                                sent_durable = true;
                            }
                            Action::Release => prop_assert!(candidate && sent_durable),
                            Action::Persist(Persist::Revert) => {
                                prop_assert!(
                                    !sent_durable || *event == Event::Proved(Which::Old),
                                    "a sent candidate is dropped only when the old one is proved"
                                );
                                (candidate, sent_durable) = (false, false);
                            }
                            Action::Persist(Persist::Promote) => {
                                prop_assert_eq!(*event, Event::Proved(Which::New));
                                (candidate, sent_durable) = (false, false);
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
    }
}

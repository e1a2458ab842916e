use super::*;
use crate::model::BootId;

fn at(wall_ms: i64) -> Moment {
    Moment { wall_ms, boot: BootId::of("b"), since_boot_ms: wall_ms }
}

fn version(number: i64, retired: Option<i64>) -> PasswordVersion {
    PasswordVersion { number, made: number, retired }
}

/// An account with a record and versions of its password, to which transitions are applied one after another.
struct Story {
    record: AccountRecord,
    passwords: Vec<PasswordVersion>,
}

impl Story {
    /// An account at rest with one password, of the number 1.
    fn at_rest() -> Self {
        let record = AccountRecord { current: Some(1), ..AccountRecord::new("web1/admin", &at(1)) };
        Self { record, passwords: vec![version(1, None)] }
    }

    fn apply(&mut self, transition: Transition<'_>) -> PasswordOperations {
        let (record, operations) = apply(self.record.clone(), &self.passwords, &transition, &at(100));
        self.passwords.retain(|it| !operations.removed.contains(&it.number));
        for changed in &operations.changed {
            self.passwords.iter_mut().filter(|it| it.number == changed.number).for_each(|it| *it = *changed);
        }
        self.passwords.extend(operations.added);
        self.record = record;
        operations
    }

    fn steps(mut self, steps: &[Persist]) -> Self {
        for persist in steps {
            self.apply(step(*persist));
        }
        self
    }

    /// The current password, the candidate, and the versions that are open.
    fn shown(&self) -> (Option<i64>, Option<i64>, Vec<i64>) {
        let open = self.passwords.iter().filter(|it| it.retired.is_none()).map(|it| it.number);
        (self.record.current, self.record.candidate, open.collect())
    }

    fn numbers(&self) -> Vec<i64> {
        self.passwords.iter().map(|it| it.number).collect()
    }
}

fn step(persist: Persist) -> Transition<'static> {
    Transition::Step { persist, attempt: "a1", keep: 0, flaw: None }
}

const IN_DOUBT: Persist =
    Persist::Uncertain(Doubt { likely: Which::New, other_refused: false, hung_up: false, looks: 0 });

#[test]
fn a_step_leaves_an_account_in_its_phase_with_these_passwords() {
    use Persist::{Changing, Mending, Prepared, Promote, Quarantine, Revert, Sent, Verifying};
    // What is done, then the phase, the current password, the candidate, and the versions that are not retired.
    let doubt = Phase::Uncertain(Doubt::fresh(Which::New));
    let cases: [(&[Persist], Phase, _); 15] = [
        (&[Prepared], Phase::Prepared, (Some(1), Some(2), vec![1, 2])),
        (&[Prepared, Changing], Phase::Changing, (Some(1), Some(2), vec![1, 2])),
        (&[Prepared, Changing, Sent], Phase::Sent, (Some(1), Some(2), vec![1, 2])),
        (&[Prepared, Changing, Sent, Verifying], Phase::Verifying, (Some(1), Some(2), vec![1, 2])),
        (&[Prepared, Changing, Sent, Verifying, Promote], Phase::Idle, (Some(2), None, vec![2])),
        // What never left is no device's.
        (&[Prepared, Revert], Phase::Idle, (Some(1), None, vec![1])),
        (&[Prepared, Changing, Revert], Phase::Idle, (Some(1), None, vec![1])),
        (&[Prepared, IN_DOUBT], doubt, (Some(1), None, vec![1])),
        (&[Prepared, Quarantine], Phase::Quarantined, (Some(1), None, vec![1])),
        // What was sent may be.
        (&[Prepared, Sent, Revert], Phase::Idle, (Some(1), None, vec![1])),
        (&[Prepared, Sent, IN_DOUBT], doubt, (Some(1), Some(2), vec![1, 2])),
        (&[Prepared, Sent, Quarantine], Phase::Quarantined, (Some(1), Some(2), vec![1, 2])),
        // A password for mending that never left gives way to the one that was sent before.
        (&[Prepared, Sent, Quarantine, Mending], Phase::Mending, (Some(1), Some(3), vec![1, 2, 3])),
        (&[Prepared, Sent, Quarantine, Mending, Quarantine], Phase::Quarantined, (Some(1), Some(2), vec![1, 2])),
        (&[Prepared, Sent, Quarantine, Mending, Sent, Promote], Phase::Idle, (Some(3), None, vec![3])),
    ];
    for (steps, phase, expected) in cases {
        let story = Story::at_rest().steps(steps);
        assert_eq!(story.record.phase, phase, "{steps:?}");
        assert_eq!(story.shown(), expected, "{steps:?}");
        let attempt = (phase != Phase::Idle).then_some("a1");
        assert_eq!((story.record.attempt.as_deref(), story.record.since), (attempt, 100), "{steps:?}");
    }
}

#[test]
fn a_transition_that_does_not_touch_the_passwords_does_the_same_whatever_they_are() {
    use Persist::{Changing, Mending, Prepared, Promote, Quarantine, Revert, Sent, Verifying};
    let before = Story::at_rest().steps(&[Prepared]);
    for persist in [Prepared, Mending, Changing, Sent, Verifying, IN_DOUBT, Promote, Revert, Quarantine] {
        let transition = step(persist);
        if !transition.touches_passwords() {
            let known = apply(before.record.clone(), &before.passwords, &transition, &at(100));
            assert_eq!(apply(before.record.clone(), &[], &transition, &at(100)), known, "{persist:?}");
            assert_eq!(known.1, PasswordOperations::default(), "{persist:?}");
        }
    }
}

#[test]
fn what_was_sent_and_reverted_stays_in_the_vault_and_what_never_left_does_not() {
    use Persist::{Prepared, Revert, Sent};
    let story = Story::at_rest().steps(&[Prepared, Revert]);
    assert_eq!(story.numbers(), [1]);
    let story = Story::at_rest().steps(&[Prepared, Sent, Revert]);
    assert_eq!(story.passwords, [version(1, None), PasswordVersion { number: 2, made: 100, retired: Some(100) }]);
}

#[test]
fn a_reverted_password_becomes_a_candidate_again_once() {
    use Persist::{Prepared, Revert, Sent};
    let mut story = Story::at_rest().steps(&[Prepared, Sent, Revert]);
    assert_eq!(reverted_candidate(&story.record, &story.passwords), Some(2));
    let doubt = Transition::Doubt { why: "refused", attempt: "a2", looks: 1 };
    story.apply(doubt);
    assert_eq!(story.shown(), (Some(1), Some(2), vec![1, 2]));
    assert!(story.record.candidate_was_reverted());
    assert_eq!(
        story.record.phase,
        Phase::Uncertain(Doubt { other_refused: true, ..Doubt::fresh(Which::New) }),
        "it is tried first"
    );
    let mut story = story.steps(&[Revert]);
    assert_eq!(reverted_candidate(&story.record, &story.passwords), None);
    story.apply(doubt);
    assert_eq!(story.shown(), (Some(1), None, vec![1]));
}

#[test]
fn an_account_that_is_not_at_rest_or_has_no_password_is_not_put_in_doubt() {
    let doubt = Transition::Doubt { why: "refused", attempt: "a2", looks: 0 };
    for mut story in [
        Story::at_rest().steps(&[Persist::Prepared]),
        Story::at_rest().steps(&[Persist::Prepared, Persist::Sent]),
        Story { record: AccountRecord::new("web1/admin", &at(1)), passwords: Vec::new() },
    ] {
        let before = story.record.clone();
        assert_eq!(story.apply(doubt), PasswordOperations::default());
        assert_eq!(story.record, before);
    }
}

#[test]
fn tries_and_waits_go_with_what_they_were_counted_for() {
    use Persist::{Changing, Mending, Prepared, Promote, Quarantine, Revert, Sent};
    let look = at(100).plus_ms(QUARANTINE_LOOK_MS);
    let waits = Some(at(7));
    let cases: [(&[Persist], Persist, _, u32); 8] = [
        // A run that has not sent anything goes on counting its tries.
        (&[Prepared], Revert, None, 3),
        (&[Prepared, Changing], Revert, None, 3),
        (&[Prepared, Sent], Revert, None, 0),
        (&[Prepared, Sent], Promote, None, 0),
        (&[Prepared, Sent], IN_DOUBT, waits, 3),
        (&[Prepared, Sent], Quarantine, Some(look), 0),
        // One that could not be mended goes back to where it was.
        (&[Prepared, Sent, Quarantine, Mending], Quarantine, waits, 3),
        (&[], Prepared, waits, 3),
    ];
    for (before, persist, wake, tries) in cases {
        let mut story = Story::at_rest().steps(before);
        (story.record.wake, story.record.tries) = (waits, 3);
        story.apply(step(persist));
        assert_eq!((story.record.wake, story.record.tries), (wake, tries), "{before:?} {persist:?}");
    }
}

#[test]
fn what_is_not_clean_about_a_change_becomes_the_warning_of_the_account_when_it_is_proved() {
    use Persist::{Prepared, Promote, Revert, Sent, Verifying};
    let cut_off = Story::at_rest().steps(&[Prepared, Sent]);
    assert_eq!(cut_off.record.flaw.as_deref(), Some(CUT_OFF));
    assert_eq!(cut_off.steps(&[Promote]).record.warning.as_deref(), Some(CUT_OFF));
    let mut clean = Story::at_rest().steps(&[Prepared, Sent, Verifying]);
    clean.record.verify_error = Some("unreachable".into());
    let clean = clean.steps(&[Promote]).record;
    assert_eq!(clean.verify_error, None, "a login was taken");
    assert_eq!((clean.warning, clean.flaw), (None, None));
    let mut told = Story::at_rest().steps(&[Prepared, Sent, Verifying]);
    told.apply(Transition::Step { persist: Promote, attempt: "a1", keep: 0, flaw: Some("line 9") });
    assert_eq!(told.record.warning.as_deref(), Some("line 9"));
    // One that comes to nothing changes nothing about it.
    let told = told.steps(&[Prepared, Sent, Revert]).record;
    assert_eq!((told.warning.as_deref(), told.flaw), (Some("line 9"), None));
}

#[test]
fn a_password_that_a_person_gives_ends_every_phase() {
    use Persist::{Prepared, Quarantine, Sent};
    for steps in [&[][..], &[Prepared], &[Prepared, Sent], &[Prepared, Sent, Quarantine]] {
        let mut story = Story::at_rest().steps(steps);
        story.record.verified = Some(5);
        story.record.last_error = Some("refused".into());
        story.record.verify_error = Some("unreachable".into());
        let number = story.passwords.len() as i64 + 1;
        let operations = story.apply(Transition::Given);
        assert_eq!(operations.added, Some(PasswordVersion { number, made: 100, retired: None }), "{steps:?}");
        assert_eq!(story.shown(), (Some(number), None, vec![number]), "{steps:?}");
        let record = story.record;
        assert_eq!((record.phase, record.attempt, record.verified, record.last_error), (Phase::Idle, None, None, None));
        assert_eq!((record.wake, record.tries, record.flaw, record.verify_error), (None, 0, None, None), "{steps:?}");
    }
}

#[test]
fn a_vault_of_the_past_is_believed_of_nobody() {
    use Persist::{Mending, Prepared, Quarantine, Revert, Sent, Verifying};
    let old = |doubt| Phase::Uncertain(Doubt { other_refused: true, ..doubt });
    let (old_only, old_first) = (old(Doubt::fresh(Which::Old)), Phase::Uncertain(Doubt::fresh(Which::Old)));
    let new_first = Phase::Uncertain(Doubt::fresh(Which::New));
    let cases: [(&[Persist], Phase, _); 8] = [
        (&[], old_only, (Some(1), None, vec![1])),
        (&[Prepared], old_only, (Some(1), None, vec![1])),
        (&[Prepared, Sent, Revert], old_first, (Some(1), Some(2), vec![1, 2])),
        (&[Prepared, Sent], new_first, (Some(1), Some(2), vec![1, 2])),
        (&[Prepared, Sent, Verifying], new_first, (Some(1), Some(2), vec![1, 2])),
        (&[Prepared, Sent, IN_DOUBT], new_first, (Some(1), Some(2), vec![1, 2])),
        (&[Prepared, Sent, Quarantine], Phase::Quarantined, (Some(1), Some(2), vec![1, 2])),
        (&[Prepared, Sent, Quarantine, Mending], Phase::Quarantined, (Some(1), Some(2), vec![1, 2])),
    ];
    for (steps, phase, expected) in cases {
        let mut story = Story::at_rest().steps(steps);
        (story.record.wake, story.record.tries, story.record.verified) = (Some(at(7)), 3, Some(5));
        story.record.verify_error = Some("unreachable".into());
        story.apply(Transition::Restored { why: "restored" });
        assert_eq!((story.record.phase, story.shown()), (phase, expected), "{steps:?}");
        let AccountRecord { wake, tries, verified, verify_error, last_error, attempt, .. } = story.record;
        assert_eq!((wake, tries, verified, verify_error, attempt), (None, 0, None, None, None), "{steps:?}");
        assert_eq!(last_error.as_deref(), Some("restored"), "{steps:?}");
    }
    let mut unknown = Story { record: AccountRecord::new("web1/admin", &at(1)), passwords: Vec::new() };
    unknown.apply(Transition::Restored { why: "restored" });
    assert_eq!((unknown.record.phase, unknown.record.last_error), (Phase::Idle, None), "it has no password");
}

#[test]
fn as_many_former_passwords_stay_as_the_policy_says_and_never_fewer_than_are_needed() {
    for (keep, expected) in [(0, KEPT), (KEPT + 3, KEPT + 4)] {
        let mut story = Story::at_rest();
        for _ in 0..KEPT + 10 {
            story = story.steps(&[Persist::Prepared, Persist::Sent]);
            story.apply(Transition::Step { persist: Persist::Promote, attempt: "a1", keep, flaw: None });
        }
        assert_eq!(story.passwords.len(), expected, "{keep}");
        assert_eq!(story.shown(), (Some(KEPT as i64 + 11), None, vec![KEPT as i64 + 11]), "{keep}");
    }
}

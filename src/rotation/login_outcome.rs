//! What follows from a login that a device did not accept. Facts that have to be looked up are asked for one by one: what is not
//! needed is not looked up.

use super::machine::Event;
use super::phase::{Phase, Which};

/// So many logins of one attempt may be refused, each with a code of a later step. A refusal after a code may be for the device's
/// clock, which is looked for as far as the budget goes.
const MOST_TRIES: u32 = 2;

/// An account keeps being refused after so many refusals with no login accepted since.
const TOO_OFTEN: usize = 3;

/// Whether an account's logins went on being refused, over the days that are on record: `not_past` refusals were followed by no
/// login that was accepted.
#[must_use]
pub fn keeps_being_refused(not_past: usize) -> bool {
    not_past >= TOO_OFTEN
}

/// What a login showed that did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginFailure {
    /// The device said no to the account.
    Rejected {
        /// A code was sent with it: that may have been why.
        with_code: bool,
    },
    /// The device hung up after the password was sent.
    HungUp,
    /// It told nothing of the account's password.
    ToldNothing,
}

impl LoginFailure {
    /// What a login that was to check a password showed.
    #[must_use]
    pub fn of_check(self, which: Which) -> Event {
        match self {
            Self::Rejected { .. } => Event::Disproved(which),
            Self::HungUp => Event::HungUp(which),
            Self::ToldNothing => Event::Unreachable,
        }
    }
}

/// A login for a change that was rejected, or hung up on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RejectedLogin {
    /// The account that logs in is the one that changes.
    pub own: bool,
    /// What the login showed.
    pub failure: LoginFailure,
    /// Rejected logins of the attempt, with this one.
    pub tried: u32,
    /// The device said no in words, to this one or to one before it in the attempt.
    pub rejected_in_words: bool,
    /// The lockout budget of the account that logs in allows one more.
    pub budget_left: Option<bool>,
    /// A password of the account that was sent once and reverted may be in force.
    pub has_reverted: Option<bool>,
    /// The logins of the account went on being refused.
    pub keeps_being_refused: Option<bool>,
}

/// What has to be known first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// [`RejectedLogin::budget_left`]
    BudgetLeft,
    /// [`RejectedLogin::has_reverted`]
    HasReverted,
    /// [`RejectedLogin::keeps_being_refused`]
    KeepsBeingRefused,
}

/// What follows from a rejected login for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginOutcome {
    /// It cannot be said before this is known.
    Needs(Fact),
    /// One more login, with a code of a later step.
    Retry,
    /// The reverted password is tried.
    TryReverted,
    /// The change has failed, and nothing is known of the password: a device that only hung up may have had no session to give.
    Failed,
    /// A login of the account has to find out whether its password is right.
    Doubt,
}

/// Decides what follows from a rejected login for a change.
#[must_use]
pub fn login_outcome(login: &RejectedLogin) -> LoginOutcome {
    let with_code = matches!(login.failure, LoginFailure::Rejected { with_code: true });
    let retry = if login.tried < MOST_TRIES || with_code {
        let Some(left) = login.budget_left else { return LoginOutcome::Needs(Fact::BudgetLeft) };
        left
    } else {
        false
    };
    let rejected = matches!(login.failure, LoginFailure::Rejected { .. });
    if login.own && (rejected || !retry) {
        match login.has_reverted {
            None => return LoginOutcome::Needs(Fact::HasReverted),
            Some(true) => return LoginOutcome::TryReverted,
            Some(false) => {}
        }
    }
    if retry {
        return LoginOutcome::Retry;
    }
    if login.rejected_in_words {
        return LoginOutcome::Doubt;
    }
    match login.keeps_being_refused {
        None => LoginOutcome::Needs(Fact::KeepsBeingRefused),
        Some(true) => LoginOutcome::Doubt,
        Some(false) => LoginOutcome::Failed,
    }
}

/// What follows where a key opened the session and the device said no in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionOutcome {
    /// A login of the account that logs in has to find out whether its password is right.
    DoubtLogin,
    /// The same, where its logins went on being refused and its budget is spent.
    DoubtLoginWhereHopeless,
    /// The account's own password is checked by a login.
    CheckOwn,
    /// The change has failed.
    Failed,
}

/// Decides what follows where a key opened the session and the device said no in it to the password, or to a code, of the
/// account that changes (`own`) or of the one that logs in.
#[must_use]
pub fn session_outcome(own: bool, with_code: bool, phase: Phase) -> SessionOutcome {
    match (own, with_code) {
        (false, false) => SessionOutcome::DoubtLogin,
        // A code may have been refused for the device's clock, which the next one looks for.
        (false, true) => SessionOutcome::DoubtLoginWhereHopeless,
        (true, _) if phase == Phase::Mending => SessionOutcome::Failed,
        (true, _) => SessionOutcome::CheckOwn,
    }
}

/// Whether that check bears out that the password is refused; `None` where that hangs on whether the account's logins went on
/// being refused and its budget is spent.
#[must_use]
pub fn bears_out_refusal(check: Event) -> Option<bool> {
    match check {
        // The session had said no in words.
        Event::Disproved(_) | Event::HungUp(_) => Some(true),
        Event::Proved(_) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN_WORDS: LoginFailure = LoginFailure::Rejected { with_code: false };
    const WITH_CODE: LoginFailure = LoginFailure::Rejected { with_code: true };

    /// The account's own login, rejected for the first time, of which all is known and nothing helps.
    fn login(failure: LoginFailure, tried: u32) -> RejectedLogin {
        RejectedLogin {
            own: true,
            failure,
            tried,
            rejected_in_words: failure != LoginFailure::HungUp,
            budget_left: Some(true),
            has_reverted: Some(false),
            keeps_being_refused: Some(false),
        }
    }

    #[test]
    fn what_follows_from_a_rejected_login() {
        use LoginFailure::HungUp;
        use LoginOutcome::{Doubt, Failed, Retry, TryReverted};
        let other = |login| RejectedLogin { own: false, ..login };
        let spent = |login| RejectedLogin { budget_left: Some(false), ..login };
        let reverted = |login| RejectedLogin { has_reverted: Some(true), ..login };
        let keeps = |login| RejectedLogin { keeps_being_refused: Some(true), ..login };
        let before = |login| RejectedLogin { rejected_in_words: true, ..login };
        let cases = [
            ("once it may be the code", login(IN_WORDS, 1), Retry),
            ("twice it is not", login(IN_WORDS, 2), Doubt),
            ("a code may be off as often as the budget allows", login(WITH_CODE, 9), Retry),
            ("and no further", spent(login(WITH_CODE, 9)), Doubt),
            ("no budget for a second one", spent(login(IN_WORDS, 1)), Doubt),
            ("a reverted password comes first", reverted(login(IN_WORDS, 1)), TryReverted),
            ("but not for another account", other(reverted(login(IN_WORDS, 1))), Retry),
            ("a hang-up is tried again before it", reverted(login(HungUp, 1)), Retry),
            ("and then it comes", reverted(login(HungUp, 2)), TryReverted),
            ("a hang-up tells nothing", login(HungUp, 2), Failed),
            ("unless it goes on", keeps(login(HungUp, 2)), Doubt),
            ("or words came before", before(login(HungUp, 2)), Doubt),
            ("another account is doubted likewise", other(login(IN_WORDS, 2)), Doubt),
        ];
        for (why, login, expected) in cases {
            assert_eq!(login_outcome(&login), expected, "{why}");
        }
    }

    #[test]
    fn a_fact_is_asked_for_only_where_it_decides() {
        let nothing_known =
            |login| RejectedLogin { budget_left: None, has_reverted: None, keeps_being_refused: None, ..login };
        let needs = LoginOutcome::Needs;
        let first = nothing_known(login(IN_WORDS, 1));
        assert_eq!(login_outcome(&first), needs(Fact::BudgetLeft));
        assert_eq!(login_outcome(&RejectedLogin { budget_left: Some(true), ..first }), needs(Fact::HasReverted));
        let other = RejectedLogin { own: false, budget_left: Some(true), ..first };
        assert_eq!(login_outcome(&other), LoginOutcome::Retry, "another account's reverted password is of no use");
        let hung_up = nothing_known(login(LoginFailure::HungUp, 2));
        assert_eq!(login_outcome(&hung_up), needs(Fact::HasReverted), "the budget makes no difference any more");
        let hung_up = RejectedLogin { has_reverted: Some(false), ..hung_up };
        assert_eq!(login_outcome(&hung_up), needs(Fact::KeepsBeingRefused));
    }

    #[test]
    fn a_check_tells_what_its_login_showed() {
        for (failure, expected) in [
            (IN_WORDS, Event::Disproved(Which::New)),
            (WITH_CODE, Event::Disproved(Which::New)),
            (LoginFailure::HungUp, Event::HungUp(Which::New)),
            (LoginFailure::ToldNothing, Event::Unreachable),
        ] {
            assert_eq!(failure.of_check(Which::New), expected, "{failure:?}");
        }
    }

    #[test]
    fn what_follows_from_a_refusal_inside_a_session_that_a_key_opened() {
        for (own, with_code, phase, expected) in [
            (false, false, Phase::Changing, SessionOutcome::DoubtLogin),
            (false, true, Phase::Changing, SessionOutcome::DoubtLoginWhereHopeless),
            (false, false, Phase::Mending, SessionOutcome::DoubtLogin),
            (true, false, Phase::Changing, SessionOutcome::CheckOwn),
            (true, true, Phase::Changing, SessionOutcome::CheckOwn),
            (true, false, Phase::Mending, SessionOutcome::Failed),
        ] {
            assert_eq!(session_outcome(own, with_code, phase), expected, "{own} {with_code} {phase:?}");
        }
        for (check, expected) in [
            (Event::Disproved(Which::Old), Some(true)),
            (Event::HungUp(Which::Old), Some(true)),
            (Event::Proved(Which::Old), Some(false)),
            (Event::Unreachable, None),
            (Event::Absent(Which::Old), None),
        ] {
            assert_eq!(bears_out_refusal(check), expected, "{check:?}");
        }
        assert!(keeps_being_refused(3) && !keeps_being_refused(2));
    }
}

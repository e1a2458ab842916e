//! What a rotation decides, all of it pure: the state machine, what a transition does to an account's record, whether a change may
//! begin, what follows from a login that was not accepted, how long room for a session is waited for, and when an account is worked on again.

mod account;
mod admission;
mod login_outcome;
mod machine;
mod phase;
mod retry;
mod room;
mod transition;

pub use account::{AccountRecord, PasswordVersion, reverted_candidate};
pub use admission::{
    Admissible, Admission, Bound, HelperRole, budget_against, changes_against, helper_out_of_order, state_against,
};
pub use login_outcome::{
    Fact, LoginFailure, LoginOutcome, RejectedLogin, SessionOutcome, bears_out_refusal, keeps_being_refused,
    login_outcome, session_outcome,
};
pub use machine::{Act, End, Event, Persist, Reaction, Rotation, Unexpected};
pub use phase::{
    Doubt, PATIENCE, PATIENCE_OF_MENDERS, Phase, QUARANTINE_LOOK_MS, Which, daily_look, next_daily_look_ms,
};
pub use retry::{
    AfterStart, AttemptEnd, NextTry, RetryRules, Turn, UNDER_WAY_MS, WhenDue, after_attempt, after_start,
    reconciles_next, when_due,
};
pub use room::wait_for_room_ms;
pub use transition::{CUT_OFF, KEPT, PasswordOperations, Transition, apply};

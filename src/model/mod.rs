//! Plain types that every module shares: names, secrets, moments, outcomes, event kinds, diagnostics.
//!
//! Nothing here does I/O or asks a clock, and nothing here uses another module of rotord.

mod diagnostic;
mod event;
mod grams;
mod masker;
mod moment;
mod names;
mod outcome;
mod secret;
mod topic;

pub use diagnostic::{Problem, Severity, nearest, numbered_lines, printable, printable_lines};
pub use event::EventKind;
pub use masker::Masker;
pub use moment::{BootId, Moment, in_words, rfc3339, seconds};
pub use names::{
    AccountName, DeviceName, NameError, folder_of, glob_match, is_unreserved, is_unseen, percent_decode,
    percent_encode, shown_account, ssh_pattern_match,
};
pub use outcome::{AccountState, Actor, AttemptKind, FailureCause, Outcome, Step, Trigger};
pub use secret::{Candidate, Secret};
pub use topic::{Topic, Urgency};

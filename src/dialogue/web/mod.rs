//! The dialogue with a web page, without a browser: what a page shows and what the time is go in; what to do in it, deadlines and
//! a verdict come out.
//!
//! Pure. What a page shows is an attacker's: nothing of it reaches a record unmasked or unbounded, and no text of a template or of
//! the vault ever becomes code of a page. The one script that looks at pages is [`PAGE_SCRIPT`].

mod action;
mod doing;
mod ending;
mod given;
mod location;
mod look;
mod nearest;
mod run;
mod said;
mod script;
#[cfg(test)]
mod tests;
mod waiting;

pub use action::{
    Action, FailureKind, LoginEnd, Observation, PAGE_SCRIPT, PageCall, Parked, Trouble, WebFailure, WebVerdict,
};
pub use location::{resolve, same_address};
pub use run::WebRun;

/// The body of the function by which a page is read for a recording, and elements are named: see its first lines.
pub const SNAPSHOT_SCRIPT: &str = include_str!("snapshot.js");

//! The dialogue with a device, without a device: bytes and times in; bytes to send, deadlines and a verdict out.
//!
//! Pure. The same code runs against a live session, a recording, a fuzzer and a simulation. What a device sends is an
//! attacker's: buffers are bounded, matching is linear, and nothing of it reaches a record unmasked.

mod echo;
mod events;
mod format;
mod known;
mod login;
#[cfg(test)]
mod masking_tests;
mod pattern;
mod prompts;
mod refusal;
mod runner;
mod screen;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod tests;
mod values;
pub mod web;

pub use events::{Effect, Input, Refused, RunFailure, Verdict, Whose, needs_code, risks};
pub use format::LoginFormat;
pub(crate) use login::above;
pub use login::{Answer, LoginDialogue, OwnPrompt, Plan, Stop, remedy, shown_prompt};
pub use pattern::Pattern;
pub(crate) use prompts::is_shut;
pub use prompts::{is_account_level, is_full, judges_credentials};
pub use refusal::device_refuses;
pub use runner::Run;
pub use screen::{Screen, TERMINAL_COLUMNS, TERMINAL_ROWS};
pub use values::{MissingTag, Values};

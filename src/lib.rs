//! rotord changes the passwords of accounts on SSH devices whose login asks for a one-time code too.
//!
//! The house, from the ground up; a module uses only those above it in this list.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`model`] | plain types that all share: names, secrets, moments, outcomes, diagnostics |
//! | [`template`] | the template language: parse, check, diagnose (pure) |
//! | [`dialogue`] | screen, matching, login answers, running a template (pure) |
//! | [`rotation`] | the state machine (pure) |
//! | [`audit`] | events, the hash chain, the log's files |
//! | [`vault`] | the durable store: SQLite, sealing, keys |
//! | [`config`] | TOML to checked values, every problem at its place |
//! | [`totp`] | seeds, codes, the single-use rule (pure) |
//! | [`policy`] | passwords to generate, the cap, the lockout budget (pure) |
//! | [`schedule`] | crontab, windows, spread, zones (pure) |

pub mod audit;
pub mod config;
pub mod dialogue;
pub mod model;
pub mod policy;
pub mod rotation;
pub mod schedule;
pub mod template;
pub mod totp;
pub mod vault;

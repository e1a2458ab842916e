//! rotord changes the passwords of accounts on SSH devices whose login asks for a one-time code too.
//!
//! The modules, from the ground up. A module uses only those above it in this list, and the pure ones name neither tokio, nor
//! files, nor sockets, nor the clock, nor a random source: `architecture_tests.rs` reads this table and the code.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`model`] | plain types that all share: names, secrets, moments, outcomes, diagnostics (pure) |
//! | [`metrics`] | what is measured: definitions, counted values, and their text (pure) |
//! | [`template`] | the template language: parse, check, diagnose (pure) |
//! | [`dialogue`] | screen, matching, login answers, running a template (pure) |
//! | [`recording`] | dialogues on file: what a device said, and playing it to a template (pure) |
//! | [`recognition`] | which system a device runs, by what it shows, and the templates for it (pure) |
//! | [`totp`] | seeds, codes, the single-use rule (pure) |
//! | [`policy`] | passwords to generate, the cap, the lockout budget (pure) |
//! | [`schedule`] | crontab, windows, spread, zones (pure) |
//! | [`rotation`] | the state machine, and what a transition does to an account's record (pure) |
//! | [`known_hosts`] | the lines of an OpenSSH `known_hosts` file (pure) |
//! | [`import`] | files of other programs: inventories, password managers, authenticators (pure) |
//! | [`sealed`] | sealing under a passphrase or to a recovery key, in age's format |
//! | [`clock`] | the system's clocks, read in one place |
//! | [`files`] | reading plain files only, in bounded time; who could change them |
//! | [`browser`] | a browser apart from the daemon: its helper process, and the proxy that is its only way out |
//! | [`config`] | TOML to checked values, every problem at its place |
//! | [`audit`] | events, the hash chain, the log's files |
//! | [`vault`] | the durable store: what a transaction offers, records, keys; SQLite behind it |
//! | [`otp`] | one-time codes: reserved before they are sent, in whose turn, by which clock |
//! | [`executor`] | what an attempt asks of a device: a change, a proof; terminals over SSH behind it |
//! | [`daemon`] | performs what the machine asks; the scheduling loop; signals; the service manager |
//! | [`notify`] | what leaves the daemon after an event: notifications |
//! | [`control`] | the API on the Unix socket, and its client |
//! | [`web`] | the local web page, in the process and the role of who starts it |
//! | [`cli`] | the commands and what they print |
//! | [`demo`] | a simulated device, and the whole system with nothing installed |
//! | [`sim`] | the simulator: the daemon's code in a world made to break it |
//! | [`entry`] | the daemon's command line |
//! | [`fuzz`] | the targets of the program in `fuzz/` |

#![cfg_attr(not(test), warn(unused_crate_dependencies))]

// A feature of it is turned on for `keepass`, which reads with it.
use quick_xml as _;

#[cfg(test)]
mod architecture_tests;
pub mod audit;
pub mod browser;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod daemon;
pub mod demo;
pub mod dialogue;
pub mod entry;
pub mod executor;
pub mod files;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod import;
pub mod known_hosts;
pub mod metrics;
pub mod model;
pub mod notify;
pub mod otp;
pub mod policy;
pub mod recognition;
pub mod recording;
pub mod rotation;
pub mod schedule;
pub mod sealed;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod template;
pub mod totp;
pub mod vault;
pub mod web;

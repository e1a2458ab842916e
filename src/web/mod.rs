//! `rotorctl web`: the local web page.
//!
//! It runs in the process and with the role of the person who starts it: the daemon sees that user at its socket, and refuses what
//! that user may not do. The page itself keeps no secret: a token or a password passes through it once, for who asked, and the
//! daemon has put that on record before. It listens on loopback or on a Unix socket only; [`guard`](self) tells how others are kept
//! out. It does not outlive its idle time.

mod account;
mod acts;
mod charts;
mod fields;
mod guard;
mod live;
pub(crate) mod log;
mod pages;
mod peer;
mod report;
mod rows;
mod serve;
mod state;
mod view;
mod words;

pub(crate) use guard::{same, unguessable};
pub use report::Report;
pub use serve::{Listen, Web, WebError};

//! SSH, as a connector of terminals.

mod algorithms;
mod client;
mod connection;
mod greeting;
mod words;

pub use connection::Ssh;
pub(super) use connection::shown_key;

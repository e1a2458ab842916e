//! A browser that runs apart from the daemon: the helper process that it runs in, the connection to it, and its only way out.
//!
//! Chromium and its driver run as a user of their own, in network, PID, mount and IPC namespaces of their own, with a profile in a
//! tmpfs that is gone with them. They have no port that anybody else could reach. The daemon speaks with the helper over a Unix
//! socket; what the browser opens comes back over the same socket, and the daemon connects it to allowed hosts alone.
//!
//! What to do in a page is decided elsewhere. Nothing here keeps a secret.

mod client;
mod frames;
mod helper;
mod interceptor;
mod launch;
mod programs;
mod protocol;
mod proxy;
mod tls;

pub use client::Browser;
pub use helper::{listen, serve_session};
pub use programs::Programs;
pub use protocol::{ELEMENT, Hidden, Key, Pointer, Reply, Request, Setup, Trouble};
pub use proxy::{Allowed, Untrusted};
pub use tls::{Judges, TlsError, Trust, parse_pin};

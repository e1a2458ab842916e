//! Notifications: people and programs are told what the audit log says, by webhook, mail, syslog or a program.
//!
//! The audit log is the outbox: each notifier has a number up to which all was told, in the vault. It is told at least once, and each
//! time with the same id. What a notifier does or leaves undone holds up no rotation: it has a task of its own, which reads the log's
//! file and writes to the vault nothing but that number.
//!
//! [`event`], [`notice`], [`filter`], [`queue`], [`message`], [`digest`] and [`render`] decide, and touch nothing; [`sink`] sends;
//! [`service`] runs.

pub mod digest;
pub mod event;
pub mod filter;
mod lane;
pub mod message;
#[cfg(test)]
mod night_tests;
pub mod notice;
pub mod queue;
pub mod render;
mod sending;
pub mod service;
pub mod sink;
mod status;
mod urgent;
mod worker;

pub use service::{Notifiers, Tested};
pub use status::SinkStatus;

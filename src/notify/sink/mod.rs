//! Sending: a message to a webhook, a mail server, a collector of logs, or a program, in bounded time.

mod command;
mod email;
mod secret;
mod syslog;
mod tls;
mod webhook;

use std::collections::BTreeSet;
use std::time::Duration;

use super::message::Message;
use crate::config::{Channel, Notifier};

/// For a connection, and for TLS over it.
const CONNECT: Duration = Duration::from_secs(10);
/// For an answer.
const ANSWER: Duration = Duration::from_secs(20);

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In words, without a secret.
    pub why: String,
    /// Whether this message will never be taken, whatever others are.
    pub is_final: bool,
    /// Not before so long.
    pub after: Option<Duration>,
}

impl Failure {
    /// One after which the message is tried again.
    #[must_use]
    pub fn again(why: impl Into<String>) -> Self {
        Self { why: why.into(), is_final: false, after: None }
    }
}

/// What became of messages: the first so many were taken, and why the next one was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// How many were taken.
    pub taken: usize,
    /// Why no more.
    pub failure: Option<Failure>,
    /// What is not right, though all were taken.
    pub flaw: Option<String>,
}

impl Delivery {
    pub(super) fn failed(taken: usize, failure: Failure) -> Self {
        Self { taken, failure: Some(failure), flaw: None }
    }
}

/// What is remembered from one try to the next: who has got the mail already.
#[derive(Debug, Default)]
pub struct Memory {
    mailed: (String, BTreeSet<String>),
}

/// Sends messages, in order, until one is not taken.
pub async fn deliver(notifier: &Notifier, messages: &[Message], memory: &mut Memory) -> Delivery {
    match &notifier.channel {
        Channel::Webhook { place, preset, key, token, ca_file } => {
            let (key, token, ca_file) = (key.as_ref(), token.as_ref(), ca_file.as_deref());
            webhook::deliver(&webhook::Hook { place, preset: *preset, key, token, ca_file }, messages).await
        }
        Channel::Email { .. } => email::deliver(&notifier.channel, messages, &mut memory.mailed).await,
        Channel::Syslog { .. } => syslog::deliver(&notifier.channel, messages).await,
        Channel::Command { command, user, timeout } => {
            command::deliver(command, user.as_deref(), *timeout, messages).await
        }
    }
}

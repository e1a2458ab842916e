//! Sending: a message to a webhook, a mail server, a collector of logs, or a program, in bounded time.

mod command;
mod email;
mod secret;
mod syslog;
mod tls;
mod webhook;

use std::time::Duration;

use super::message::Message;
use crate::config::{Channel, Notifier};

/// For a connection, and for TLS over it.
const CONNECT: Duration = Duration::from_secs(10);
/// For an answer.
const ANSWER: Duration = Duration::from_secs(20);

/// What is to blame that a message was not taken: by this it is decided how often it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The receiver, or the way to it: the message is tried for as long as it takes.
    Receiver,
    /// The receiver puts this message off, and may take others.
    PutOff,
    /// The receiver refuses this message, and may have changed its mind soon.
    Refused,
    /// The receiver says that it will never take this message.
    Never,
}

impl Blame {
    /// After so many tries that are to be blamed on the message it is left out; `None` where it never is.
    #[must_use]
    pub fn tries(self) -> Option<u32> {
        match self {
            Self::Receiver => None,
            // About a day, at the longest pause between two tries.
            Self::PutOff => Some(300),
            // Some minutes.
            Self::Refused => Some(12),
            Self::Never => Some(1),
        }
    }
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In words, without a secret.
    pub why: String,
    /// What is to blame.
    pub blame: Blame,
    /// Not before so long.
    pub after: Option<Duration>,
}

impl Failure {
    /// One after which the message is tried again for as long as it takes.
    #[must_use]
    pub fn again(why: impl Into<String>) -> Self {
        Self { why: why.into(), blame: Blame::Receiver, after: None }
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

/// Sends messages, in order, until one is not taken.
pub async fn deliver(notifier: &Notifier, messages: &[Message]) -> Delivery {
    match &notifier.channel {
        Channel::Webhook { place, preset, key, token, ca_file } => {
            let (key, token, ca_file) = (key.as_ref(), token.as_ref(), ca_file.as_deref());
            webhook::deliver(&webhook::Hook { place, preset: *preset, key, token, ca_file }, messages).await
        }
        Channel::Email { .. } => email::deliver(&notifier.channel, messages).await,
        Channel::Syslog { .. } => syslog::deliver(&notifier.channel, messages).await,
        Channel::Command { command, user, timeout } => {
            command::deliver(command, user.as_deref(), *timeout, messages).await
        }
    }
}

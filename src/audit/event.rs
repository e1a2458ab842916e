//! One event, before and after it got its place in the chain.

use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::model::{AccountName, Actor, DeviceName, Outcome, Trigger, rfc3339};

/// `prev` of the first line.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// An event that has no number yet. No secret, code or password may be put into it.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// `rotation.start`, `secret.shown`, …
    pub event: &'static str,
    /// The account.
    pub account: Option<AccountName>,
    /// The device.
    pub device: Option<DeviceName>,
    /// The job that asked.
    pub job: Option<Arc<str>>,
    /// What asked.
    pub trigger: Option<Trigger>,
    /// Who asked.
    pub actor: Option<Actor>,
    /// Why, in the words of who asked.
    pub reason: Option<String>,
    /// The attempt's id.
    pub attempt: Option<Arc<str>>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// In words.
    pub detail: Option<String>,
}

impl Draft {
    /// An event of this name.
    #[must_use]
    pub fn new(event: &'static str) -> Self {
        Self { event, ..Self::default() }
    }

    /// Sets the detail.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

#[derive(Serialize)]
struct Body<'a> {
    seq: u64,
    time: String,
    event: &'a str,
    account: Option<&'a str>,
    device: Option<&'a str>,
    job: Option<&'a str>,
    trigger: Option<&'a str>,
    actor: Option<&'a Actor>,
    reason: Option<&'a str>,
    attempt: Option<&'a str>,
    outcome: Option<&'a str>,
    detail: Option<&'a str>,
    prev: &'a str,
}

/// An event with its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chained {
    /// From 1, without holes.
    pub seq: u64,
    /// The line, without its line end.
    pub line: String,
    /// SHA-256 over the line without its `hash`, in hexadecimal.
    pub hash: String,
}

impl Draft {
    /// Gives the event its number, its time (milliseconds since 1970) and its link to the line before.
    ///
    /// # Errors
    /// Never in practice: the body is plain data.
    pub fn chain(&self, seq: u64, wall_ms: i64, prev: &str) -> Result<Chained, serde_json::Error> {
        let body = serde_json::to_string(&Body {
            seq,
            time: rfc3339(wall_ms),
            event: self.event,
            account: self.account.as_ref().map(AccountName::as_str),
            device: self.device.as_ref().map(DeviceName::as_str),
            job: self.job.as_deref(),
            trigger: self.trigger.map(Trigger::as_str),
            actor: self.actor.as_ref(),
            reason: self.reason.as_deref(),
            attempt: self.attempt.as_deref(),
            outcome: self.outcome.map(Outcome::as_str),
            detail: self.detail.as_deref(),
            prev,
        })?;
        let hash = hash_of(&body);
        let line = format!("{},\"hash\":\"{hash}\"}}", &body[..body.len() - 1]);
        Ok(Chained { seq, line, hash })
    }
}

/// The hash of a line without its `hash`.
pub(super) fn hash_of(body: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(body.as_bytes()))
}

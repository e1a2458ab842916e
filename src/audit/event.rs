//! One event, before and after it got its place in the chain.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::{AccountName, Actor, DeviceName, EventKind, Outcome, Trigger, rfc3339};

/// `prev` of the first line.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// An event that has no number yet. No secret, code or password may be put into it.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What happened.
    pub event: EventKind,
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
    /// An event of this kind.
    #[must_use]
    pub fn new(event: EventKind) -> Self {
        Self {
            event,
            account: None,
            device: None,
            job: None,
            trigger: None,
            actor: None,
            reason: None,
            attempt: None,
            outcome: None,
            detail: None,
        }
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
            event: self.event.as_str(),
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

/// An event of the log, as its line tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// From 1, without holes.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub wall_ms: i64,
    /// What happened; `None` for a kind of a newer version.
    pub kind: Option<EventKind>,
    /// The word of its kind.
    pub name: String,
    /// The account.
    pub account: Option<AccountName>,
    /// The device.
    pub device: Option<DeviceName>,
    /// The job that asked.
    pub job: Option<String>,
    /// What asked.
    pub trigger: Option<Trigger>,
    /// Who asked.
    pub actor: Option<Actor>,
    /// Why, in the words of who asked.
    pub reason: Option<String>,
    /// The attempt's id.
    pub attempt: Option<String>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// In words.
    pub detail: Option<String>,
}

/// A line of the log. Keys that a newer version may add are passed over.
#[derive(Deserialize)]
struct Line {
    seq: u64,
    time: String,
    event: String,
    account: Option<String>,
    device: Option<String>,
    job: Option<String>,
    trigger: Option<String>,
    actor: Option<Actor>,
    reason: Option<String>,
    attempt: Option<String>,
    outcome: Option<String>,
    detail: Option<String>,
}

impl Event {
    /// Reads a line of the log; `None` where it is no event.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line: Line = serde_json::from_slice(line).ok()?;
        Some(Self {
            seq: line.seq,
            wall_ms: chrono::DateTime::parse_from_rfc3339(&line.time).ok()?.timestamp_millis(),
            kind: EventKind::parse(&line.event),
            name: line.event,
            account: line.account.and_then(|name| AccountName::parse(&name).ok()),
            device: line.device.and_then(|name| DeviceName::parse(&name).ok()),
            job: line.job,
            trigger: line.trigger.as_deref().and_then(Trigger::parse),
            actor: line.actor,
            reason: line.reason,
            attempt: line.attempt,
            outcome: line.outcome.as_deref().and_then(Outcome::parse),
            detail: line.detail,
        })
    }
}

/// The hash of a line without its `hash`.
pub(super) fn hash_of(body: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(body.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Draft {
        let account = AccountName::parse("web1/admin").unwrap();
        Draft {
            device: Some(account.device()),
            account: Some(account),
            job: Some("nightly".into()),
            trigger: Some(Trigger::Schedule),
            actor: Some(Actor { uid: 0, name: "root".into(), pid: 7 }),
            reason: Some("ticket 1".into()),
            attempt: Some("18c-0a".into()),
            outcome: Some(Outcome::Done),
            ..Draft::new(EventKind::RotationDone).detail("a \"quoted\" ü")
        }
    }

    /// The lines that scripts read, and the hashes that logs of years are checked by.
    #[test]
    fn the_line_of_an_event_is_the_one_that_it_always_was() {
        let line = whole().chain(2, 1_700_000_000_123, GENESIS).unwrap().line;
        let expected = format!(
            r#"{{"seq":2,"time":"2023-11-14T22:13:20.123Z","event":"rotation.done","account":"web1/admin","device":"web1","job":"nightly","trigger":"schedule","actor":{{"uid":0,"name":"root","pid":7}},"reason":"ticket 1","attempt":"18c-0a","outcome":"done","detail":"a \"quoted\" ü","prev":"{GENESIS}","hash":"#
        );
        assert!(line.starts_with(&expected), "{line}");
        let bare = Draft::new(EventKind::DaemonStop).chain(1, 0, GENESIS).unwrap().line;
        let nothing = r#""account":null,"device":null,"job":null,"trigger":null,"actor":null,"reason":null,"attempt":null,"outcome":null,"detail":null,"prev""#;
        assert!(bare.contains(nothing), "{bare}");
    }

    #[test]
    fn a_line_is_read_back_with_the_types_that_it_was_written_with() {
        let draft = whole();
        let read = Event::parse(draft.chain(2, 1_700_000_000_123, GENESIS).unwrap().line.as_bytes()).unwrap();
        assert_eq!((read.seq, read.wall_ms, read.kind), (2, 1_700_000_000_123, Some(draft.event)));
        assert_eq!((&read.account, &read.device, &read.actor), (&draft.account, &draft.device, &draft.actor));
        assert_eq!((read.trigger, read.outcome), (draft.trigger, draft.outcome));
        assert_eq!((read.job.as_deref(), read.reason), (draft.job.as_deref(), draft.reason));
        assert_eq!((read.attempt.as_deref(), read.detail), (draft.attempt.as_deref(), draft.detail));
        let newer = br#"{"seq":9,"time":"2023-11-14T22:13:20Z","event":"moon.landed","more":1,"prev":"","hash":""}"#;
        let newer = Event::parse(newer).unwrap();
        assert_eq!((newer.kind, newer.name.as_str(), newer.account), (None, "moon.landed", None));
        assert_eq!(Event::parse(b"no event"), None);
    }
}

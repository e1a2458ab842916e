//! An event of the audit log as notifications see it: parsed, with nothing in it that could steer a terminal or look like markup
//! of another line.

use chrono::DateTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{Actor, printable};

/// Characters of a text that a message takes over at the most.
const MOST_TEXT: usize = 2000;

/// An event of the audit log. The texts in it are printable, and bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Event {
    /// Its number in the log; 0 where it is not in the log.
    #[serde(default)]
    pub seq: u64,
    /// RFC 3339, UTC.
    pub time: String,
    /// `rotation.done`, …
    pub event: String,
    /// `DEVICE/USERNAME`.
    #[serde(default)]
    pub account: Option<String>,
    /// The device.
    #[serde(default)]
    pub device: Option<String>,
    /// The job that asked.
    #[serde(default)]
    pub job: Option<String>,
    /// What asked.
    #[serde(default)]
    pub trigger: Option<String>,
    /// Who asked.
    #[serde(default)]
    pub actor: Option<Actor>,
    /// Why, in the words of who asked.
    #[serde(default)]
    pub reason: Option<String>,
    /// The attempt's id.
    #[serde(default)]
    pub attempt: Option<String>,
    /// How it ended.
    #[serde(default)]
    pub outcome: Option<String>,
    /// In words.
    #[serde(default)]
    pub detail: Option<String>,
    /// SHA-256 of its line, by which an event of one log is told from that of another.
    #[serde(default)]
    pub hash: String,
}

/// The text with a sign in place of each control character and of what is not seen, and not longer than a message bears.
pub(super) fn clean(text: &str) -> String {
    let mut short: String =
        text.chars().take(MOST_TEXT).map(|c| if matches!(c, '\t' | '\n' | '\r') { ' ' } else { c }).collect();
    if text.chars().nth(MOST_TEXT).is_some() {
        short.push('…');
    }
    printable(&short).into_owned()
}

impl Event {
    /// The event of a line of the log.
    #[must_use]
    pub fn of(line: Value) -> Option<Self> {
        let mut event: Self = serde_json::from_value(line).ok()?;
        let texts = [&mut event.account, &mut event.device, &mut event.job, &mut event.reason, &mut event.detail];
        for text in texts.into_iter().flatten() {
            *text = clean(text);
        }
        if let Some(actor) = &mut event.actor {
            actor.name = clean(&actor.name);
        }
        event.event = clean(&event.event);
        Some(event)
    }

    /// An event that is in no log.
    #[must_use]
    pub fn outside(event: &str, time: String, detail: &str) -> Self {
        Self { event: event.to_owned(), time, detail: Some(clean(detail)), ..Self::default() }
    }

    /// What names it for good: the same for each time that it is sent, and another one for any other event.
    #[must_use]
    pub fn id(&self) -> String {
        let hash = self.hash.get(..16).unwrap_or(&self.hash);
        format!("{}-{hash}", self.seq)
    }

    /// When it was, in milliseconds since 1970; 0 where its time cannot be read.
    #[must_use]
    pub fn at_ms(&self) -> i64 {
        DateTime::parse_from_rfc3339(&self.time).map_or(0, |time| time.timestamp_millis())
    }

    pub(super) fn account(&self) -> &str {
        self.account.as_deref().unwrap_or_default()
    }

    pub(super) fn device(&self) -> &str {
        self.device.as_deref().unwrap_or_default()
    }

    pub(super) fn detail(&self) -> &str {
        self.detail.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_an_event_steers_a_terminal_or_begins_a_line() {
        let detail = format!("a\u{1b}[2J\r\nRCPT TO:<x>\u{202e}\u{2028}b{}", "x".repeat(9000));
        let line = serde_json::json!({"seq": 7, "time": "2026-11-30T03:10:00.000Z", "event": "rotation.failed",
            "account": "web1/a", "detail": detail, "prev": "0", "hash": "0123456789abcdef0123"});
        let event = Event::of(line).unwrap();
        let text = event.detail();
        assert!(!text.chars().any(|c| c.is_control() || crate::model::is_unseen(c)), "{text:?}");
        assert!(text.chars().count() <= MOST_TEXT + 1 && text.ends_with('…'));
        assert_eq!(event.id(), "7-0123456789abcdef");
        assert_eq!(event.at_ms(), 1_796_008_200_000);
        assert_eq!(Event::of(serde_json::json!({"seq": 1})), None);
    }
}

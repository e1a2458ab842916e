//! The daily digest: all that happened since the last one, put together, and what is due.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;

use super::message::{Item, Message, Sender, items};
use super::notice::Notice;
use crate::model::{Topic, Urgency};

/// So many things are told apart; others are counted.
const APART: usize = 5000;
/// So many accounts that are due are named.
const NAMED: usize = 10;

/// A digest as it grows.
#[derive(Debug, Default)]
pub struct Digest {
    /// The last notice of each trouble.
    troubles: BTreeMap<String, Notice>,
    /// How often each topic was told of for the record.
    counts: BTreeMap<Topic, u64>,
    events: u64,
    uncounted: u64,
}

/// A password that is due, or overdue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The account.
    pub account: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

impl Digest {
    /// One more notice.
    pub fn take(&mut self, notice: &Notice) {
        self.events += 1;
        if notice.urgency == Urgency::Info {
            *self.counts.entry(notice.topic).or_default() += 1;
        } else if self.troubles.len() < APART || self.troubles.contains_key(&notice.key()) {
            self.troubles.insert(notice.key(), notice.clone());
        } else {
            self.uncounted += 1;
        }
    }

    /// The message. Whatever it is made of, there is one.
    #[must_use]
    pub fn message(&self, id: String, due: &[Due], sender: &Sender, now_ms: i64) -> Message {
        let troubles: Vec<Notice> = self.troubles.values().cloned().collect();
        let mut all = items(&troubles, sender, now_ms);
        if self.uncounted > 0 {
            all.push(plain(Topic::Other, format!("{} troubles more", self.uncounted), "rotorctl audit tail -n 1000"));
        }
        all.extend(due_items(due, sender, now_ms));
        let told = |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
        for (topic, count) in &self.counts {
            let text = match topic {
                Topic::Rotated => told(*count, "account was changed", "accounts were changed"),
                Topic::Verify => told(*count, "verify went well", "verifies went well"),
                Topic::Secret => told(*count, "secret was stored or shown", "secrets were stored or shown"),
                Topic::Backup => told(*count, "backup was made", "backups were made"),
                Topic::Denied => told(*count, "refusal of a caller", "refusals of callers"),
                other => format!("{count} times: {other}"),
            };
            all.push(plain(*topic, text, ""));
        }
        if all.is_empty() {
            all.push(plain(Topic::Other, "nothing happened".into(), ""));
        }
        let mut message = Message::with_items(id, all, Vec::new(), sender, now_ms);
        let troubles = troubles.len();
        let things =
            if troubles == 0 { "all is well".to_owned() } else { told(troubles as u64, "trouble", "troubles") };
        message.title = format!("the last day: {things}, {}", told(self.events, "event", "events"));
        message
    }
}

fn plain(topic: Topic, text: String, command: &str) -> Item {
    let (key, command) = (format!("digest/{topic}"), command.to_owned());
    Item { topic, urgency: Urgency::Info, text, command, count: 1, key, resolves: Vec::new() }
}

fn due_items(due: &[Due], sender: &Sender, now_ms: i64) -> Vec<Item> {
    let named = |due: &[&Due]| {
        let day = |at_ms| {
            DateTime::<Utc>::from_timestamp_millis(at_ms)
                .unwrap_or_default()
                .with_timezone(&sender.zone)
                .format("%Y-%m-%d")
        };
        let named: Vec<String> =
            due.iter().take(NAMED).map(|due| format!("{} on {}", due.account, day(due.at_ms))).collect();
        let more = if due.len() > NAMED { format!(" and {} more", due.len() - NAMED) } else { String::new() };
        named.join(", ") + more.as_str()
    };
    let (over, soon): (Vec<&Due>, Vec<&Due>) = due.iter().partition(|due| due.at_ms <= now_ms);
    let mut items = Vec::new();
    if !over.is_empty() {
        let text = format!("{} passwords are older than their policy allows, due {}", over.len(), named(&over));
        items.push(Item { urgency: Urgency::Warning, ..plain(Topic::Overdue, text, "rotorctl status --overdue") });
    }
    if !soon.is_empty() {
        let text = format!("{} passwords are due within 7 days: {}", soon.len(), named(&soon));
        items.push(plain(Topic::Overdue, text, "rotorctl status"));
    }
    items
}

/// When the digest after one that was sent then is due.
#[must_use]
pub fn next_digest(after_ms: i64, time: NaiveTime, zone: Tz) -> i64 {
    let after = DateTime::<Utc>::from_timestamp_millis(after_ms).unwrap_or_default().with_timezone(&zone);
    let days = (0..3).filter_map(|days| after.date_naive().checked_add_days(Days::new(days)));
    // A time that a change of the clocks leaves out comes on the next day.
    let times = days.filter_map(|day| zone.from_local_datetime(&day.and_time(time)).earliest());
    times.map(|at| at.timestamp_millis()).find(|at| *at > after_ms).unwrap_or(after_ms.saturating_add(86_400_000))
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::{notices, sender};
    use super::*;

    const NOW: i64 = 1_796_018_400_000;

    #[test]
    fn the_digest_has_all_that_happened_the_troubles_apart_and_the_rest_counted() {
        let mut digest = Digest::default();
        let events = [
            ("rotation.done", "web1/a", ""),
            ("rotation.done", "web1/b", ""),
            ("rotation.failed", "dc2/a", "down"),
            ("rotation.failed", "dc2/a", "down"),
            ("rotation.failed", "dc2/b", "down"),
            ("host_key.mismatch", "sw1/a", ""),
        ];
        notices(&events).iter().for_each(|notice| digest.take(notice));
        let due = [
            Due { account: "web9/x".into(), at_ms: NOW - 1 },
            Due { account: "web8/x".into(), at_ms: NOW + 86_400_000 },
        ];
        let message = digest.message("digest-1".into(), &due, &sender(), NOW);
        let text = message.text();
        for part in [
            "critical: sw1 shows another host key",
            "    rotorctl trust sw1",
            "2 accounts of dc2 were not changed since 03:13: down (dc2/a, dc2/b)",
            "1 passwords are older than their policy allows, due web9/x",
            "1 passwords are due within 7 days: web8/x",
            "2 accounts were changed",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(message.title, "the last day: 3 troubles, 6 events");
        assert_eq!(message.urgency, Urgency::Critical);
        let none = Digest::default().message("d".into(), &[], &sender(), NOW);
        assert_eq!((none.title.as_str(), none.items.len()), ("the last day: all is well, 0 events", 1));
    }

    #[test]
    fn a_digest_comes_once_a_day_over_changes_of_the_clocks_too() {
        let zone = Tz::Europe__Berlin;
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis();
        let seven = NaiveTime::from_hms_opt(7, 0, 0).unwrap();
        assert_eq!(next_digest(at("2026-11-30T05:00:00Z"), seven, zone), at("2026-11-30T06:00:00Z"));
        assert_eq!(next_digest(at("2026-11-30T06:00:00Z"), seven, zone), at("2026-12-01T06:00:00Z"));
        assert_eq!(next_digest(at("2026-10-24T20:00:00Z"), seven, zone), at("2026-10-25T06:00:00Z"));
        // 02:30 is left out on 28 March 2027, and comes twice on 25 October 2026.
        let gap = NaiveTime::from_hms_opt(2, 30, 0).unwrap();
        assert_eq!(next_digest(at("2027-03-27T12:00:00Z"), gap, zone), at("2027-03-29T00:30:00Z"));
        let first = next_digest(at("2026-10-24T12:00:00Z"), gap, zone);
        assert_eq!(first, at("2026-10-25T00:30:00Z"));
        assert_eq!(next_digest(first, gap, zone), at("2026-10-26T01:30:00Z"));
    }
}

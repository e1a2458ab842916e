//! A message: notices put together for whoever reads it, the like of one another as one item.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::event::Event;
use super::notice::{Notice, shell_word};
use crate::model::{Topic, Urgency, rfc3339};

/// Items of a message at the most; those of less urgency are counted.
const MOST_ITEMS: usize = 20;
/// Accounts that an item names.
const NAMED: usize = 5;
/// Events that a message carries whole; its ids tell of all.
const MOST_EVENTS: usize = 100;
/// Devices whose accounts stand in an item each; of more, one item has all.
const APART: usize = 3;

/// Who sends it, and how its times are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The name of this host.
    pub host: String,
    /// The zone of the config.
    pub zone: Tz,
}

/// One thing, or several of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is about.
    pub topic: Topic,
    /// How urgent it is.
    pub urgency: Urgency,
    /// A sentence without a full stop.
    pub text: String,
    /// What to type next; empty where nothing is to be done.
    pub command: String,
    /// How many accounts or devices it is about, or times that it was.
    pub count: usize,
    /// What stays the same of it from begin to end.
    pub key: String,
    /// The keys of what it ends, of what was told before.
    pub resolves: Vec<String>,
}

impl Item {
    /// Whether it ends what was told before.
    #[must_use]
    pub fn ends(&self) -> bool {
        !self.resolves.is_empty()
    }
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The same each time that it is sent, and another one for any other message.
    pub id: String,
    /// When it was put together, or its event happened: RFC 3339, UTC.
    pub time: String,
    /// Who sends it.
    pub host: String,
    /// That of its most urgent item.
    pub urgency: Urgency,
    /// One line.
    pub title: String,
    /// What is in it, the most urgent first.
    pub items: Vec<Item>,
    /// So many items more there are.
    pub more: usize,
    /// The events, the first of them.
    pub events: Vec<Arc<Event>>,
    /// The ids of all its events.
    pub ids: Vec<String>,
}

/// What is said of several accounts or devices of a topic.
fn together(topic: Topic) -> &'static str {
    match topic {
        Topic::HostKey => "show other host keys than those on record",
        Topic::Quarantine => "are in quarantine",
        Topic::Doubt => "are in doubt",
        Topic::Person => "have runs that wait for a person",
        Topic::Overdue => "have passwords older than their policy allows",
        Topic::Failed => "were not changed",
        Topic::Verify => "did not pass their verify",
        Topic::Warning => "were changed, and not cleanly",
        Topic::Rotated => "were changed",
        Topic::Secret => "had secrets stored or shown",
        _ => "were told of",
    }
}

/// The command that shows several accounts of a topic.
fn shown_by(topic: Topic, device: Option<&str>) -> String {
    let what = match topic {
        Topic::Quarantine => " --state quarantined",
        Topic::Doubt => " --state uncertain",
        Topic::Overdue => " --overdue",
        Topic::Rotated | Topic::Secret => return String::new(),
        _ => "",
    };
    let of = device.map_or_else(String::new, |device| format!(" --device {}", shell_word(device)));
    format!("rotorctl status{what}{of}")
}

/// A time of day in a zone, and its day where that is not the day of `now`.
fn clock_time(at_ms: i64, now_ms: i64, zone: Tz) -> String {
    let local = |ms| DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default().with_timezone(&zone);
    let (at, now) = (local(at_ms), local(now_ms));
    let form = if at.date_naive() == now.date_naive() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    at.format(form).to_string()
}

/// The item of several notices of a topic, about one device or about many.
fn of_many(notices: &[&Notice], device: Option<&str>, sender: &Sender, now_ms: i64) -> Option<Item> {
    let last = *notices.last()?;
    let subjects: BTreeSet<&str> = notices.iter().map(|notice| notice.subject.as_str()).collect();
    let urgency = notices.iter().map(|notice| notice.urgency).max()?;
    let count = subjects.len();
    if count == 1 {
        let times = if notices.len() > 1 && !last.subject.is_empty() {
            format!(" ({} times)", notices.len())
        } else {
            String::new()
        };
        let text = format!("{}{times}", last.sentence);
        let (topic, command, resolves) = (last.topic, last.command.clone(), last.ended_keys());
        return Some(Item { topic, urgency, text, command, count: notices.len(), key: last.key(), resolves });
    }
    let since = notices.iter().map(|notice| notice.event.at_ms()).min().unwrap_or(now_ms);
    let since = clock_time(since, now_ms, sender.zone);
    let devices: BTreeSet<&str> = notices.iter().map(|notice| notice.event.device()).collect();
    let what = match device {
        _ if last.topic == Topic::HostKey => format!("{count} devices"),
        Some(device) => format!("{count} accounts of {device}"),
        None => format!("{count} accounts of {} devices", devices.len()),
    };
    let named: Vec<&str> = subjects.iter().copied().take(NAMED).collect();
    let more = if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() };
    let said = if notices.iter().all(|notice| notice.ends()) { "are settled again" } else { together(last.topic) };
    // Where all say the same, as those of a device that is not there do, it is said too.
    let why = first_of_all(notices).map_or_else(String::new, |why| format!(": {why}"));
    Some(Item {
        topic: last.topic,
        urgency,
        text: format!("{what} {said} since {since}{why} ({}{more})", named.join(", ")),
        command: if last.ends() { String::new() } else { shown_by(last.topic, device) },
        count,
        key: format!("{}/{}", last.topic, device.unwrap_or_default()),
        resolves: notices.iter().flat_map(|notice| notice.ended_keys()).collect(),
    })
}

/// What all of them say, where they say the same.
fn first_of_all<'a>(notices: &[&'a Notice]) -> Option<&'a str> {
    let first = notices.first()?.event.detail();
    (!first.is_empty() && notices.iter().all(|notice| notice.event.detail() == first)).then_some(first)
}

/// The items of notices, the most urgent first.
#[must_use]
pub fn items(notices: &[Notice], sender: &Sender, now_ms: i64) -> Vec<Item> {
    let mut groups: BTreeMap<(Topic, bool, Urgency), Vec<&Notice>> = BTreeMap::new();
    let mut items = Vec::new();
    for notice in notices {
        // What is about the daemon itself is never the like of another.
        if notice.subject.is_empty() {
            items.extend(of_many(&[notice], None, sender, now_ms));
        } else {
            groups.entry((notice.topic, notice.ends(), notice.urgency)).or_default().push(notice);
        }
    }
    for ((topic, ..), group) in groups {
        let mut devices: BTreeMap<&str, Vec<&Notice>> = BTreeMap::new();
        group.iter().for_each(|notice| devices.entry(notice.event.device()).or_default().push(notice));
        if topic == Topic::HostKey || devices.len() > APART {
            items.extend(of_many(&group, None, sender, now_ms));
        } else {
            items.extend(
                devices.into_iter().filter_map(|(device, group)| of_many(&group, Some(device), sender, now_ms)),
            );
        }
    }
    items.sort_by(|a, b| b.urgency.cmp(&a.urgency).then(a.topic.cmp(&b.topic)));
    items
}

/// A line that is not longer than so many characters.
#[must_use]
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most.saturating_sub(1)) {
        Some((at, _)) if text[at..].chars().nth(1).is_some() => text[..at].to_owned() + "…",
        _ => text.to_owned(),
    }
}

impl Message {
    /// The message of notices, which are not none.
    #[must_use]
    pub fn of(notices: &[Notice], sender: &Sender, now_ms: i64) -> Self {
        let events: Vec<Arc<Event>> = notices.iter().map(|notice| notice.event.clone()).collect();
        let id = match (events.first(), events.last()) {
            (Some(first), Some(last)) if first.seq != last.seq => format!("{}-{}", first.seq, last.id()),
            (_, Some(last)) => last.id(),
            _ => String::new(),
        };
        Self::with_items(id, items(notices, sender, now_ms), events, sender, now_ms)
    }

    /// The message of one notice, as programs get them: its time is that of the event.
    #[must_use]
    pub fn single(notice: &Notice, sender: &Sender) -> Self {
        Self::of(std::slice::from_ref(notice), sender, notice.event.at_ms())
    }

    /// A message of items.
    #[must_use]
    pub(super) fn with_items(
        id: String,
        mut items: Vec<Item>,
        events: Vec<Arc<Event>>,
        sender: &Sender,
        now_ms: i64,
    ) -> Self {
        let more = items.len().saturating_sub(MOST_ITEMS);
        items.truncate(MOST_ITEMS);
        let urgency = items.iter().map(|item| item.urgency).max().unwrap_or(Urgency::Info);
        let first = items.first().map_or("nothing to tell", |item| &item.text);
        let others = items.len() + more;
        let title = if others > 1 { format!("{first}, and {} more", others - 1) } else { first.to_owned() };
        let ids = events.iter().map(|event| event.id()).collect();
        let events = events.into_iter().take(MOST_EVENTS).collect();
        let (time, host, title) = (rfc3339(now_ms), sender.host.clone(), shortened(&title, 200));
        Self { id, time, host, urgency, title, items, more, events, ids }
    }

    /// The message as plain text, an item a paragraph.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        for item in &self.items {
            lines.push(format!("{}: {}", item.urgency, item.text));
            if !item.command.is_empty() {
                lines.push(format!("    {}", item.command));
            }
        }
        if self.more > 0 {
            lines.push(format!("and {} more: rotorctl audit tail", self.more));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::notify::notice::Story;

    pub(in crate::notify) fn sender() -> Sender {
        Sender { host: "bastion1".into(), zone: Tz::Europe__Berlin }
    }

    pub(in crate::notify) fn notices(events: &[(&str, &str, &str)]) -> Vec<Notice> {
        let mut story = Story::default();
        let event = |(index, (name, account, detail)): (usize, &(&str, &str, &str))| {
            let seq = u64::try_from(index).unwrap() + 1;
            // 03:10 in Berlin, and a minute later each.
            let time = rfc3339(1_796_004_600_000 + i64::try_from(index).unwrap() * 60_000);
            let (account, device) = (Some((*account).to_owned()), account.split('/').next().map(str::to_owned));
            let of_account = account.filter(|account| account.contains('/'));
            let device = device.filter(|device| !device.is_empty());
            Event {
                seq,
                account: of_account,
                device,
                hash: format!("{seq:032x}"),
                ..Event::outside(name, time, detail)
            }
        };
        events.iter().enumerate().map(|given| story.take(event(given))).collect()
    }

    const NOW: i64 = 1_796_010_000_000;

    #[test]
    fn accounts_of_a_device_that_fail_alike_are_one_item_with_their_number_and_since_when() {
        let names: Vec<String> = (1..=12).map(|number| format!("dc2/user{number:02}")).collect();
        let events: Vec<_> =
            names.iter().map(|name| ("rotation.failed", name.as_str(), "cannot connect to dc2: timed out")).collect();
        let message = Message::of(&notices(&events), &sender(), NOW);
        assert_eq!(message.items.len(), 1);
        let item = &message.items[0];
        assert_eq!(
            item.text,
            "12 accounts of dc2 were not changed since 03:10: cannot connect to dc2: timed out (dc2/user01, dc2/user02, dc2/user03, dc2/user04, dc2/user05 and 7 more)"
        );
        assert_eq!((item.command.as_str(), item.count), ("rotorctl status --device dc2", 12));
        assert_eq!((message.ids.len(), message.id.as_str()), (12, "1-12-0000000000000000"));
    }

    #[test]
    fn many_devices_are_one_item_and_what_is_urgent_stands_first() {
        let names: Vec<String> = (1..=9).map(|number| format!("sw{number}/admin")).collect();
        let mut events: Vec<_> = names.iter().map(|name| ("rotation.failed", name.as_str(), "")).collect();
        events.push(("account.quarantined", "web1/admin", "why"));
        events.push(("clock.wrong", "", "off by a minute"));
        let message = Message::of(&notices(&events), &sender(), NOW);
        let topics: Vec<_> = message.items.iter().map(|item| item.topic).collect();
        assert_eq!(topics, [Topic::Quarantine, Topic::Clock, Topic::Failed]);
        assert!(
            message.items[2].text.starts_with("9 accounts of 9 devices were not changed since 03:10 ("),
            "{message:?}"
        );
        assert_eq!(message.urgency, Urgency::Critical);
        assert!(message.title.ends_with(", and 2 more"), "{}", message.title);
        assert!(message.items.iter().all(|item| !item.command.is_empty()));
        assert!(message.text().contains("\n    rotorctl explain web1/admin\n"), "{}", message.text());
    }

    #[test]
    fn a_message_is_bounded_whatever_it_is_made_of() {
        let names: Vec<String> = (0..2000)
            .map(|number| format!("d{}/{}", number % 3, "x".repeat(200) + number.to_string().as_str()))
            .collect();
        let mut events: Vec<_> = names.iter().map(|name| ("rotation.failed", name.as_str(), "")).collect();
        events.extend(std::iter::repeat_n(("vault.failed", "", "disk full"), 300));
        let message = Message::of(&notices(&events), &sender(), NOW);
        assert!(message.items.len() == MOST_ITEMS && message.more > 200 && message.events.len() == MOST_EVENTS);
        assert_eq!(message.ids.len(), 2300);
        assert!(message.title.chars().count() <= 200 && message.text().len() < 60_000);
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äö…");
    }
}

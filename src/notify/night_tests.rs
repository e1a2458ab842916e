//! A night as an on-call team has it: what is sent, how often, and whether all of it is in the digest.

use std::time::Duration;

use super::digest::{Digest, next_digest};
use super::event::Event;
use super::filter::passes;
use super::message::Message;
use super::message::tests::sender;
use super::notice::{Notice, Story};
use super::queue::{Next, Queue};
use crate::config::NotifyFilter;
use crate::model::{Urgency, rfc3339};

/// 22:00 in Berlin.
const EVENING: i64 = 1_795_986_000_000;
const MINUTE: i64 = 60_000;

fn event(seq: u64, name: &str, account: &str, detail: &str, minute: i64) -> Event {
    let device = account.split('/').next().map(str::to_owned).filter(|device| !device.is_empty());
    let account = Some(account.to_owned()).filter(|account| account.contains('/'));
    Event {
        seq,
        account,
        device,
        hash: format!("{seq:064x}"),
        ..Event::outside(name, rfc3339(EVENING + minute * MINUTE), detail)
    }
}

/// Two devices of forty accounts go down, and each account is tried three times; a device of another kind shows a strange host key;
/// escrow is full for an hour; one account is quarantined; the other hundred are changed.
fn night() -> Vec<Event> {
    let mut all: Vec<(i64, String, String, String)> = Vec::new();
    for number in 0..40_i64 {
        for (device, at) in [("dc1-sw1", 270 + number), ("dc2-sw1", 310 + number / 2)] {
            for attempt in 0..3 {
                let (name, why) = (format!("{device}/user{number}"), format!("cannot connect to {device}: timed out"));
                all.push((at + attempt * 5, "rotation.failed".into(), name, why));
            }
        }
    }
    for number in 0..100_i64 {
        all.push((270 + number / 3, "rotation.done".into(), format!("web{number}/admin"), String::new()));
    }
    all.push((290, "host_key.mismatch".into(), "fw1/admin".into(), String::new()));
    all.push((300, "escrow.failed".into(), String::new(), "No space left on device".into()));
    all.push((360, "escrow.works".into(), String::new(), String::new()));
    all.push((333, "rotation.unknown".into(), "core1/root".into(), "quarantined".into()));
    all.push((333, "account.quarantined".into(), "core1/root".into(), "quarantined".into()));
    all.sort_by_key(|(minute, ..)| *minute);
    let numbered = all.into_iter().zip(1..);
    numbered.map(|((minute, name, account, detail), seq)| event(seq, &name, &account, &detail, minute)).collect()
}

/// What is sent of events to people from the evening on, minute by minute.
fn messages(events: &[Event], fold: Duration, minutes: i64) -> Vec<Message> {
    let (filter, mut story) = (NotifyFilter::default(), Story::default());
    let mut queue = Queue::new(fold, 10_000, None, None);
    let (mut sent, mut events) = (Vec::new(), events.iter().peekable());
    for minute in 0..minutes {
        let now = minute * MINUTE;
        while let Some(event) = events.next_if(|event| event.at_ms() <= EVENING + now) {
            let notice = story.take(event.clone());
            if passes(&filter, &notice) && (queue.tells_each() || !notice.repeats) {
                queue.push(notice, now);
            }
        }
        match queue.next(now) {
            Next::Wait(_) => {}
            Next::Together(seq) => {
                sent.push(Message::of(&queue.up_to(seq), &sender(), EVENING + now));
                queue.sent(seq, now);
            }
            Next::Each(notices) => {
                for notice in notices {
                    queue.sent(notice.event.seq, now);
                    sent.push(Message::single(&notice, &sender()));
                }
            }
        }
    }
    sent
}

#[test]
fn a_night_is_ten_messages_at_the_most_and_each_names_what_to_type() {
    let events = night();
    let sent = messages(&events, Duration::from_secs(120), 540);
    assert!(
        (3..=10).contains(&sent.len()),
        "{}: {:#?}",
        sent.len(),
        sent.iter().map(|it| &it.title).collect::<Vec<_>>()
    );
    for message in &sent {
        let text = message.text();
        let urgent: Vec<_> = message.items.iter().filter(|item| item.urgency > Urgency::Info).collect();
        assert!(urgent.iter().all(|item| !item.command.is_empty()), "{text}");
        assert!(!urgent.is_empty() || message.items.iter().any(|item| item.ends()), "{text}");
        assert!(text.len() < 8000, "{}", text.len());
    }
    let all: String = sent.iter().map(|message| message.text() + "\n").collect();
    for part in [
        "dc2-sw1 were not changed since 03:10: cannot connect to dc2-sw1: timed out",
        "rotorctl status --device dc2-sw1",
        "fw1 shows another host key",
        "rotorctl trust fw1",
        "nothing can be put in escrow",
        "passwords can be put in escrow again",
        "core1/root is in quarantine",
        "rotorctl explain core1/root",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
    // What is critical is told within a minute or so.
    let quarantine = sent.iter().find(|message| message.text().contains("core1/root is in quarantine")).unwrap();
    assert!(quarantine.time <= rfc3339(EVENING + 350 * MINUTE), "{}", quarantine.time);
}

#[test]
fn the_digest_of_the_night_has_all_of_it() {
    let (mut digest, mut story) = (Digest::default(), Story::default());
    for event in night() {
        digest.take(&story.take(event));
    }
    let due = next_digest(EVENING, chrono::NaiveTime::from_hms_opt(7, 0, 0).unwrap(), sender().zone);
    assert_eq!(rfc3339(due), "2026-11-30T06:00:00.000Z");
    let text = digest.message("digest-1".into(), &[], &sender(), due).text();
    for part in [
        "40 accounts of dc1-sw1 were not changed",
        "40 accounts of dc2-sw1 were not changed",
        "fw1 shows another host key",
        "nothing can be put in escrow",
        "core1/root is in quarantine",
        "100 accounts were changed",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn each_event_is_told_to_programs_and_the_ids_are_the_same_wherever_one_begins() {
    let events = night();
    let sent = messages(&events, Duration::ZERO, 5000);
    let told: Vec<&str> = sent.iter().map(|message| message.id.as_str()).collect();
    let expected = events.iter().filter(|event| !["rotation.done", "rotation.unknown"].contains(&event.event.as_str()));
    assert_eq!(told, expected.map(Event::id).collect::<Vec<_>>());
    // After a crash the queue begins in the middle.
    let again = messages(&events[150..], Duration::ZERO, 5000);
    for message in &again {
        assert!(sent.iter().any(|before| before.id == message.id && before.events == message.events));
    }
}

#[test]
fn a_message_whose_end_is_durable_is_the_same_after_a_crash() {
    let (filter, mut story) = (NotifyFilter::default(), Story::default());
    let told: Vec<Notice> =
        night().into_iter().map(|event| story.take(event)).filter(|it| passes(&filter, it) && !it.repeats).collect();
    let message = |claimed, notices: &[Notice]| {
        let mut queue = Queue::new(Duration::from_secs(120), 10_000, claimed, None);
        notices.iter().for_each(|notice| queue.push(notice.clone(), 0));
        let Next::Together(seq) = queue.next(10_000_000) else { panic!() };
        (seq, Message::of(&queue.up_to(seq), &sender(), EVENING))
    };
    let (claimed, first) = message(None, &told[..20]);
    // More was read by then.
    assert_eq!(message(Some(claimed), &told), (claimed, first));
}

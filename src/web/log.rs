//! The audit log, as pages and reports read it: events with their keys, and how rotations ended day by day.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::charts::DayCount;
use crate::control::{Client, ClientError};

/// Events that are asked for at once.
const PART: usize = 1000;

/// One event of the log.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Event {
    pub(crate) seq: u64,
    pub(crate) time: String,
    pub(crate) event: String,
    pub(crate) account: Option<String>,
    pub(crate) device: Option<String>,
    pub(crate) job: Option<String>,
    pub(crate) trigger: Option<String>,
    pub(crate) actor: Option<Who>,
    pub(crate) reason: Option<String>,
    pub(crate) attempt: Option<String>,
    pub(crate) outcome: Option<String>,
    pub(crate) detail: Option<String>,
}

/// Who asked for it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Who {
    pub(crate) name: String,
    pub(crate) uid: u32,
}

impl Event {
    /// Whether each word stands somewhere in it.
    pub(crate) fn has(&self, words: &[String]) -> bool {
        let texts = [
            Some(&self.event),
            self.account.as_ref(),
            self.device.as_ref(),
            self.job.as_ref(),
            self.trigger.as_ref(),
            self.actor.as_ref().map(|actor| &actor.name),
            self.reason.as_ref(),
            self.attempt.as_ref(),
            self.outcome.as_ref(),
            self.detail.as_ref(),
        ];
        let texts: Vec<String> = texts.into_iter().flatten().map(|text| text.to_ascii_lowercase()).collect();
        words.iter().all(|word| texts.iter().any(|text| text.contains(word.as_str())))
    }
}

#[derive(Deserialize)]
struct Part {
    events: Vec<Event>,
}

/// The first events after a number, in order.
///
/// # Errors
/// As [`Client::get`].
pub(crate) async fn after(client: &Client, seq: u64) -> Result<Vec<Event>, ClientError> {
    part_after(client, seq, PART).await
}

/// So many events after a number, in order.
///
/// # Errors
/// As [`Client::get`].
pub(crate) async fn part_after(client: &Client, seq: u64, count: usize) -> Result<Vec<Event>, ClientError> {
    let (seq, part) = (seq.to_string(), count.to_string());
    Ok(client.get::<Part>("/v1/audit", &[("after", &seq), ("first", &part)]).await?.events)
}

/// The last events, in order.
///
/// # Errors
/// As [`Client::get`].
pub(crate) async fn last(client: &Client, count: usize) -> Result<Vec<Event>, ClientError> {
    Ok(client.get::<Part>("/v1/audit", &[("last", &count.to_string())]).await?.events)
}

/// How rotations ended, by day (UTC).
#[derive(Debug, Clone, Default)]
pub(super) struct Days {
    days: BTreeMap<String, DayCount>,
    /// The number of the last event that is counted.
    pub(super) seq: u64,
}

impl Days {
    /// Counts an event.
    pub(super) fn take(&mut self, event: &Event) {
        // Two looks may have read the same events.
        if event.seq <= self.seq {
            return;
        }
        self.seq = event.seq;
        let Some(day) = event.time.get(..10) else { return };
        if !matches!(
            event.event.as_str(),
            "rotation.done" | "rotation.failed" | "rotation.unknown" | "rotation.refused"
        ) {
            return;
        }
        let count = self.days.entry(day.to_owned()).or_default();
        match event.event.as_str() {
            "rotation.done" => count.done += 1,
            "rotation.failed" => count.failed += 1,
            "rotation.unknown" => count.unknown += 1,
            _ => count.refused += 1,
        }
    }

    /// The last days up to one, the oldest first.
    pub(super) fn last(&self, today: chrono::NaiveDate, count: u64) -> Vec<(String, DayCount)> {
        let days = (0..count).rev().filter_map(|back| today.checked_sub_days(chrono::Days::new(back)));
        days.map(|day| day.format("%Y-%m-%d").to_string())
            .map(|day| (day.clone(), self.days.get(&day).copied().unwrap_or_default()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, time: &str, event: &str) -> Event {
        Event { seq, time: time.into(), event: event.into(), ..Event::default() }
    }

    #[test]
    fn rotations_are_counted_by_the_day_on_which_they_ended() {
        let mut days = Days::default();
        for (seq, time, name) in [
            (1, "2026-11-29T23:59:59Z", "rotation.done"),
            (2, "2026-11-30T00:00:01Z", "rotation.failed"),
            (3, "2026-11-30T10:00:00Z", "rotation.done"),
            (4, "2026-11-30T10:00:00Z", "secret.shown"),
        ] {
            days.take(&event(seq, time, name));
        }
        let last = days.last(chrono::NaiveDate::from_ymd_opt(2026, 11, 30).unwrap(), 3);
        assert_eq!(
            last.iter().map(|(day, count)| (day.as_str(), count.total())).collect::<Vec<_>>(),
            [("2026-11-28", 0), ("2026-11-29", 1), ("2026-11-30", 2)]
        );
        assert_eq!((last[2].1.failed, days.seq), (1, 4));
    }

    #[test]
    fn an_event_is_found_by_any_of_its_texts() {
        let mut event = event(1, "2026-11-29T23:59:59Z", "secret.shown");
        event.reason = Some("Ticket 42".into());
        event.actor = Some(Who { name: "alice".into(), uid: 1000 });
        assert!(event.has(&["ticket".into(), "alice".into()]) && event.has(&[]) && !event.has(&["bob".into()]));
        let read: Event = serde_json::from_str(r#"{"seq":1,"actor":null,"hash":"x","event":"a"}"#).unwrap();
        assert!(read.actor.is_none() && read.seq == 1);
    }
}

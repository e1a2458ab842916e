//! Times, ages and counts as a page shows them.

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;

/// A time as it stands on a page: how long ago or ahead it is, and the time itself in the zone of the config.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct When {
    /// RFC 3339, UTC; empty where there is no such time.
    pub(super) utc: String,
    /// `2026-12-24 02:30:00`.
    pub(super) full: String,
    /// `3 h ago`, `in 2 d`.
    pub(super) near: String,
}

impl When {
    /// The time of so many seconds since 1970; 0 is none.
    pub(super) fn at(seconds: i64, now: i64, zone: Tz) -> Self {
        let Some(at) = DateTime::<Utc>::from_timestamp(seconds, 0).filter(|_| seconds != 0) else {
            return Self::default();
        };
        let near = match seconds - now {
            0 => "now".to_owned(),
            left if left > 0 => format!("in {}", span(left)),
            gone => format!("{} ago", span(-gone)),
        };
        Self {
            utc: at.to_rfc3339_opts(SecondsFormat::Secs, true),
            full: at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string(),
            near,
        }
    }

    /// The same of RFC 3339.
    pub(super) fn of(text: Option<&str>, now: i64, zone: Tz) -> Self {
        Self::at(text.map_or(0, seconds), now, zone)
    }

    /// Whether there is such a time.
    pub(super) fn is_some(&self) -> bool {
        !self.utc.is_empty()
    }
}

/// RFC 3339 as seconds since 1970; 0 where it is none.
pub(super) fn seconds(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).map_or(0, |at| at.timestamp())
}

/// RFC 3339 as milliseconds since 1970.
pub(super) fn milliseconds(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_millis())
}

/// Seconds in the largest unit that leaves a number above one.
pub(super) fn span(seconds: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let (length, unit) = UNITS.into_iter().find(|(length, _)| seconds >= 2 * length).unwrap_or((1, "s"));
    format!("{} {unit}", seconds / length)
}

/// Seconds as a policy is written: `90 days`, `36 hours`, `15 minutes`.
pub(super) fn length(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let (length, unit) =
        UNITS.into_iter().find(|(length, _)| seconds > 0 && seconds.is_multiple_of(*length)).unwrap_or((1, "second"));
    counted(usize::try_from(seconds / length).unwrap_or(usize::MAX), unit)
}

/// `1 account`, `12,000 accounts`.
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// A number with its thousands apart.
pub(super) fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The text with each time in it (RFC 3339, UTC) in a zone.
pub(super) fn in_zone(text: &str, zone: Tz) -> String {
    let is_time =
        |word: &str| DateTime::parse_from_rfc3339(word).ok().filter(|_| word.len() >= 20 && word.ends_with('Z'));
    let words = text.split_inclusive(' ').map(|word| {
        let bare = word.trim_end_matches([' ', '.', ',', ';', ':', ')']);
        match is_time(bare) {
            Some(at) => format!("{}{}", at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S"), &word[bare.len()..]),
            None => word.to_owned(),
        }
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_near_and_exact() {
        let when = When::at(1_764_550_800, 1_764_554_400 + 3_700, chrono_tz::Europe::Berlin);
        assert_eq!((when.near.as_str(), when.full.as_str()), ("2 h ago", "2025-12-01 02:00:00"));
        assert_eq!(When::at(1_764_554_400 + 86_400 * 3, 1_764_554_400, chrono_tz::UTC).near, "in 3 d");
        assert_eq!(When::of(None, 5, chrono_tz::UTC), When::default());
    }

    #[test]
    fn spans_lengths_and_counts_are_in_words() {
        for (seconds, told) in
            [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_199, "119 min"), (7_200, "2 h"), (172_800, "2 d")]
        {
            assert_eq!(span(seconds), told);
        }
        assert_eq!(
            (length(7_776_000).as_str(), length(3_600).as_str(), length(90).as_str()),
            ("90 days", "1 hour", "90 seconds")
        );
        assert_eq!(
            (counted(1, "account").as_str(), counted(1_234_567, "account").as_str()),
            ("1 account", "1,234,567 accounts")
        );
    }

    #[test]
    fn times_within_a_text_are_shown_in_the_zone() {
        let text = "It is due again on 2026-11-30T20:15:00.250Z. (2026-11-30T20:15:00Z) T";
        assert_eq!(
            in_zone(text, chrono_tz::Europe::Berlin),
            "It is due again on 2026-11-30 21:15:00. (2026-11-30T20:15:00Z) T"
        );
    }
}

//! The hours in which a job may work, and the stable place of each account in a spread.

use std::time::Duration;

use chrono::{DateTime, NaiveTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use sha2::{Digest, Sha256};

use crate::model::AccountName;

/// A daily window of local time, `HH:MM-HH:MM`; one that ends before it begins runs over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    from: NaiveTime,
    to: NaiveTime,
}

impl Window {
    /// Parses `01:00-05:00`.
    ///
    /// # Errors
    /// Says how a window is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let time = |part: &str| NaiveTime::parse_from_str(part.trim(), "%H:%M").ok();
        let (from, to) = text
            .split_once('-')
            .and_then(|(from, to)| Some((time(from)?, time(to)?)))
            .ok_or_else(|| format!("\"{}\" is no window; write it as \"01:00-05:00\"", text.escape_debug()))?;
        if from == to {
            return Err("the window begins and ends at the same time, so nothing could ever run in it".into());
        }
        Ok(Self { from, to })
    }

    /// Whether the window is open at an instant.
    #[must_use]
    pub fn contains(&self, at: DateTime<Utc>, zone: Tz) -> bool {
        let time = at.with_timezone(&zone).time();
        if self.from < self.to { time >= self.from && time < self.to } else { time >= self.from || time < self.to }
    }

    /// `at` where the window is open then, else the instant at which it next opens.
    #[must_use]
    pub fn next_open(&self, mut at: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
        while !self.contains(at, zone) {
            let wait = self.from - at.with_timezone(&zone).time();
            let wait = if wait < TimeDelta::zero() { wait + TimeDelta::days(1) } else { wait };
            let Some(opens) = at.checked_add_signed(wait) else { return at };
            match change(zone, at, opens) {
                None => return opens,
                // The zone's clocks change before that, and may do so into the window, or past its begin.
                Some(changed) => at = changed,
            }
        }
        at
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.from.format("%H:%M"), self.to.format("%H:%M"))
    }
}

/// The first second at which a zone's clocks show another offset than at `from`, where they do at `to`.
fn change(zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let offset = |second: i64| {
        DateTime::from_timestamp(second, 0).map(|at| zone.offset_from_utc_datetime(&at.naive_utc()).fix())
    };
    let (mut before, mut behind) = (from.timestamp(), to.timestamp());
    let same = offset(before);
    if offset(behind) == same {
        return None;
    }
    while behind - before > 1 {
        let middle = before + (behind - before) / 2;
        if offset(middle) == same { before = middle } else { behind = middle }
    }
    DateTime::from_timestamp(behind, 0)
}

/// The account's place in a spread: the same on every run, and even over a fleet.
#[must_use]
pub fn spread_offset_ms(account: &AccountName, spread: Duration) -> i64 {
    if spread.is_zero() {
        return 0;
    }
    let digest = Sha256::digest(account.as_str().as_bytes());
    let number = digest.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let spread_ms = u128::from(u64::try_from(spread.as_millis()).unwrap_or(u64::MAX));
    i64::try_from((u128::from(number) * spread_ms) >> 64).unwrap_or(i64::MAX)
}

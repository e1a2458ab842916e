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
    pub fn next_open(&self, at: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
        if self.contains(at, zone) {
            return at;
        }
        let offset = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
        let wait = self.from - at.with_timezone(&zone).time();
        let wait = if wait < TimeDelta::zero() { wait + TimeDelta::days(1) } else { wait };
        if let Some(opens) = at.checked_add_signed(wait).filter(|opens| offset(*opens) == offset(at)) {
            return opens;
        }
        // The zone's clocks change before that.
        let minute = at.timestamp().div_euclid(60) * 60;
        let instant = |n: i64| DateTime::from_timestamp(minute, 0)?.checked_add_signed(TimeDelta::minutes(n));
        let open = |n: &i64| instant(*n).is_some_and(|instant| self.contains(instant, zone));
        // Two days of minutes find every opening, whatever the clocks do in between; a window that is not short is not
        // stepped over in strides.
        let length = (self.to - self.from).num_minutes().rem_euclid(24 * 60);
        let stride = if length > 180 { 30 } else { 1 };
        let found = (1..=2 * 24 * 60).step_by(stride).find(open);
        let first = found.and_then(|n| ((n - 29).max(1)..=n).find(open));
        first.and_then(instant).unwrap_or(at)
    }
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

//! A point in time on two clocks: the wall clock, which people set, and the time since boot, which nobody can.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use sha2::{Digest, Sha256};

/// The kernel's random name of one boot (`/proc/sys/kernel/random/boot_id`, see proc(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootId([u8; 16]);

impl BootId {
    /// The boot of a name. The kernel's are UUIDs; any other text stands for a boot of its own.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let digits: String = name.chars().filter(|c| *c != '-').collect();
        let uuid = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        Self(uuid.unwrap_or_else(|| {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&Sha256::digest(name)[..16]);
            bytes
        }))
    }
}

impl From<u128> for BootId {
    /// The boot whose UUID is this number.
    fn from(uuid: u128) -> Self {
        Self(uuid.to_be_bytes())
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = HEXLOWER.encode(&self.0);
        let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
        f.write_str(&parts.join("-"))
    }
}

/// When something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Wall clock: milliseconds since 1970-01-01 UTC.
    pub wall_ms: i64,
    /// The boot in which `since_boot_ms` counts.
    pub boot: BootId,
    /// `CLOCK_BOOTTIME` in milliseconds: it counts through suspend and cannot be set (see `clock_gettime(2)`).
    pub since_boot_ms: i64,
}

impl Moment {
    /// Milliseconds from `earlier` to `self`: by the boot clock within one boot, else by the wall clock, where it is
    /// negative if that clock was set back.
    #[must_use]
    pub fn since(&self, earlier: &Moment) -> i64 {
        if self.boot == earlier.boot {
            self.since_boot_ms.saturating_sub(earlier.since_boot_ms)
        } else {
            self.wall_ms.saturating_sub(earlier.wall_ms)
        }
    }

    /// The wall clock's seconds since 1970, never negative.
    #[must_use]
    pub fn unix_seconds(&self) -> u64 {
        u64::try_from(self.wall_ms.div_euclid(1000)).unwrap_or(0)
    }

    /// The same moment `ms` milliseconds later.
    #[must_use]
    pub fn plus_ms(&self, ms: i64) -> Moment {
        Moment {
            wall_ms: self.wall_ms.saturating_add(ms),
            boot: self.boot,
            since_boot_ms: self.since_boot_ms.saturating_add(ms),
        }
    }
}

/// Milliseconds since 1970 as RFC 3339 in UTC, to the millisecond.
#[must_use]
pub fn rfc3339(wall_ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(wall_ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Milliseconds since 1970, written as RFC 3339.
pub(super) mod as_rfc3339 {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::model) fn serialize<S: Serializer>(wall_ms: &i64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::rfc3339(*wall_ms))
    }

    pub(in crate::model) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
        Ok(DateTime::<Utc>::deserialize(from)?.timestamp_millis())
    }
}

/// Milliseconds in words, to the minute; under two minutes to the second.
#[must_use]
pub fn in_words(ms: i64) -> String {
    let seconds = (ms.max(0) + 999) / 1000;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", (seconds + 59) / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Milliseconds as seconds: exact for a hundred thousand years.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot: &str, wall_ms: i64, since_boot_ms: i64) -> Moment {
        Moment { wall_ms, boot: BootId::of(boot), since_boot_ms }
    }

    #[test]
    fn within_a_boot_the_boot_clock_decides_whatever_the_wall_clock_says() {
        assert_eq!(at("a", -5_000_000, 2_000).since(&at("a", 9_000_000, 500)), 1_500);
    }

    #[test]
    fn a_boot_is_known_by_its_name_again() {
        let kernel = "0a3f6d52-5c0b-4d7e-9f5a-6f7f3f1c2b9e";
        assert_eq!(BootId::of(kernel).to_string(), kernel);
        let other = BootId::of("no kernel's");
        assert_eq!(BootId::of(&other.to_string()), other);
        assert_ne!(other, BootId::of(""));
    }

    #[test]
    fn across_boots_the_wall_clock_decides() {
        assert_eq!(at("b", 5_000, 1).since(&at("a", 2_000, 900_000)), 3_000);
        assert_eq!(at("b", 1_000, 1).since(&at("a", 2_000, 900_000)), -1_000);
    }
}

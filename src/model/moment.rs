//! A point in time on two clocks: the wall clock, which people set, and the time since boot, which nobody can.

use chrono::{DateTime, SecondsFormat, Utc};

/// The kernel's random name of one boot (`/proc/sys/kernel/random/boot_id`, see proc(5)).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BootId(pub std::sync::Arc<str>);

/// When something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
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
            boot: self.boot.clone(),
            since_boot_ms: self.since_boot_ms.saturating_add(ms),
        }
    }
}

/// Milliseconds since 1970 as RFC 3339 in UTC, to the millisecond.
#[must_use]
pub fn rfc3339(wall_ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(wall_ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot: &str, wall_ms: i64, since_boot_ms: i64) -> Moment {
        Moment { wall_ms, boot: BootId(boot.into()), since_boot_ms }
    }

    #[test]
    fn within_a_boot_the_boot_clock_decides_whatever_the_wall_clock_says() {
        assert_eq!(at("a", -5_000_000, 2_000).since(&at("a", 9_000_000, 500)), 1_500);
    }

    #[test]
    fn across_boots_the_wall_clock_decides() {
        assert_eq!(at("b", 5_000, 1).since(&at("a", 2_000, 900_000)), 3_000);
        assert_eq!(at("b", 1_000, 1).since(&at("a", 2_000, 900_000)), -1_000);
    }
}

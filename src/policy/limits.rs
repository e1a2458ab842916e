//! At most N events in any window of elapsed time, by clocks that nobody can turn back.

use crate::model::Moment;

/// 24 hours in milliseconds.
pub const DAY_MS: i64 = 86_400_000;

/// At most `count` events in any `window_ms` milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How many.
    pub count: u32,
    /// In how long a time.
    pub window_ms: i64,
}

/// The limit is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitError {
    /// Events in the window.
    pub used: u32,
    /// Milliseconds until the next one is allowed.
    pub free_in_ms: i64,
}

impl Limit {
    /// How many of the stamps lie in the window that ends now. A stamp in the future counts: it is younger than any.
    #[must_use]
    pub fn used(&self, stamps: &[Moment], now: &Moment) -> u32 {
        let used = stamps.iter().filter(|stamp| now.since(stamp) < self.window_ms).count();
        u32::try_from(used).unwrap_or(u32::MAX)
    }

    /// Whether one more event is allowed now.
    ///
    /// # Errors
    /// Says how many there were and when the next one is allowed.
    pub fn admit(&self, stamps: &[Moment], now: &Moment) -> Result<(), LimitError> {
        let used = self.used(stamps, now);
        if used < self.count {
            return Ok(());
        }
        let mut ages: Vec<i64> =
            stamps.iter().map(|stamp| now.since(stamp)).filter(|age| *age < self.window_ms).collect();
        ages.sort_unstable();
        // Once the stamp at this place has aged out, fewer than `count` are left.
        let place = usize::try_from(self.count.max(1)).unwrap_or(usize::MAX) - 1;
        // A stamp in the future is of a clock that was wrong; nobody is told to wait longer than a window for it.
        let age = ages.get(place).copied().unwrap_or(0).max(0);
        Err(LimitError { used, free_in_ms: self.window_ms.saturating_sub(age) })
    }
}

/// The stamp to keep instead of one of an earlier boot that lies in the future of a clock that was set back: the
/// present, so that it ages from now on. `None` where the stamp may stay.
#[must_use]
pub fn restamp(stamp: &Moment, now: &Moment) -> Option<Moment> {
    (stamp.boot != now.boot && stamp.wall_ms > now.wall_ms).then_some(*now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::BootId;

    const HOUR: i64 = 3_600_000;
    const CAP: Limit = Limit { count: 2, window_ms: DAY_MS };

    fn at(boot: &str, wall_h: i64, up_h: i64) -> Moment {
        Moment { wall_ms: wall_h * HOUR, boot: BootId::of(boot), since_boot_ms: up_h * HOUR }
    }

    #[test]
    fn nobody_is_told_to_wait_longer_than_the_window() {
        let stamps = [at("a", 90_000, 1), at("a", 90_000, 2)];
        let refused = CAP.admit(&stamps, &at("b", 100, 3)).unwrap_err();
        assert_eq!(refused, LimitError { used: 2, free_in_ms: DAY_MS });
    }

    #[test]
    fn a_third_change_within_a_day_is_refused_until_the_first_is_a_day_old() {
        let stamps = [at("a", 100, 1), at("a", 110, 11)];
        let refused = CAP.admit(&stamps, &at("a", 115, 16)).unwrap_err();
        assert_eq!(refused, LimitError { used: 2, free_in_ms: 9 * HOUR });
        assert_eq!(CAP.admit(&stamps, &at("a", 124, 25)), Ok(()));
    }

    #[test]
    fn setting_the_clock_within_a_boot_changes_nothing() {
        let stamps = [at("a", 100, 1), at("a", 101, 2)];
        assert!(CAP.admit(&stamps, &at("a", 100 + 25, 3)).is_err(), "clock set ahead");
        assert!(CAP.admit(&stamps, &at("a", 100 - 48, 3)).is_err(), "clock set back");
        assert!(CAP.admit(&stamps, &at("a", 100 - 48, 27)).is_ok(), "a day went by all the same");
    }

    #[test]
    fn a_stamp_from_the_future_of_an_earlier_boot_counts_and_ages_from_now_on() {
        let lying = at("a", 9_000_000, 5);
        let now = at("b", 100, 0);
        assert_eq!(CAP.used(std::slice::from_ref(&lying), &now), 1);
        let stamp = restamp(&lying, &now).unwrap();
        assert_eq!(CAP.used(std::slice::from_ref(&stamp), &at("b", 123, 23)), 1);
        assert_eq!(CAP.used(&[stamp], &at("b", 124, 24)), 0);
        assert_eq!(restamp(&at("b", 200, 0), &now), None, "within a boot the boot clock decides");
    }
}

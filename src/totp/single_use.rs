//! Which time step may be used now: one whose code was never sent, with enough time left for it to arrive.

use std::time::Duration;

/// A code is not sent with less than this left in its step; see [`guard_for`].
pub const GUARD: Duration = Duration::from_secs(3);

/// The guard time for a step of `period` seconds: [`GUARD`], but never more than a fifth of the step.
#[must_use]
pub fn guard_for(period: u64) -> Duration {
    GUARD.min(Duration::from_secs(period) / 5)
}

/// What to do for a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// The code of this step may be used, once it is recorded as used.
    Use(u64),
    /// Ask again at this instant, in milliseconds since 1970: the step that begins then may be used.
    WaitUntil(i64),
}

/// Picks the step for a code at `now_ms` (milliseconds since 1970), given a way to ask whether a step was used. It is
/// the step of a clock that is `ahead` steps before this one; when to ask again is told in this clock's time.
///
/// # Panics
/// Never; a period of 0 is taken for 1.
pub fn pick_step(now_ms: i64, period: u64, ahead: i64, guard: Duration, mut used: impl FnMut(u64) -> bool) -> Pick {
    let period_ms = i64::try_from(period.max(1).saturating_mul(1000)).unwrap_or(i64::MAX);
    let shift_ms = ahead.saturating_mul(period_ms);
    let now_ms = now_ms.saturating_add(shift_ms).max(0);
    let step = now_ms / period_ms;
    let left_ms = (step + 1).saturating_mul(period_ms) - now_ms;
    let guard_ms = i64::try_from(guard.as_millis()).unwrap_or(i64::MAX);
    let mut candidate = if left_ms < guard_ms { step + 1 } else { step };
    while used(candidate.unsigned_abs()) {
        candidate += 1;
    }
    if candidate == step {
        Pick::Use(step.unsigned_abs())
    } else {
        Pick::WaitUntil(candidate.saturating_mul(period_ms).saturating_sub(shift_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_000_000 * 30_000;

    #[test]
    fn a_fresh_step_is_used_at_once() {
        assert_eq!(pick_step(AT, 30, 0, GUARD, |_| false), Pick::Use(1_000_000));
    }

    #[test]
    fn a_used_step_waits_for_the_next_unused_one() {
        assert_eq!(pick_step(AT, 30, 0, GUARD, |s| s == 1_000_000), Pick::WaitUntil(AT + 30_000));
        assert_eq!(pick_step(AT, 30, 0, GUARD, |s| s < 1_000_002), Pick::WaitUntil(AT + 60_000));
    }

    #[test]
    fn the_guard_time_waits_for_the_next_step() {
        assert_eq!(pick_step(AT + 27_000, 30, 0, GUARD, |_| false), Pick::Use(1_000_000));
        assert_eq!(pick_step(AT + 27_001, 30, 0, GUARD, |_| false), Pick::WaitUntil(AT + 30_000));
    }

    #[test]
    fn a_clock_that_is_off_has_other_steps_at_the_same_time() {
        assert_eq!(pick_step(AT, 30, 2, GUARD, |_| false), Pick::Use(1_000_002));
        assert_eq!(pick_step(AT, 30, -1, GUARD, |s| s == 999_999), Pick::WaitUntil(AT + 30_000));
        assert_eq!(pick_step(AT + 28_000, 30, 1, GUARD, |_| false), Pick::WaitUntil(AT + 30_000));
    }

    #[test]
    fn the_guard_is_never_more_than_a_fifth_of_the_step() {
        assert_eq!(guard_for(30), Duration::from_secs(3));
        assert_eq!(guard_for(4), Duration::from_millis(800));
    }
}

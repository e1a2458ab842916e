//! Which time step may be used now: one whose code was never sent, that has begun by the device's clock too, and with enough
//! time left for the code to arrive.

use std::time::Duration;

/// A code is not sent with less than this left in its step; see [`margins`].
const GUARD: Duration = Duration::from_secs(3);

/// Nor sooner than this after its step began: a device whose clock is a little behind, if only by a tick of its kernel,
/// and that takes codes of the present step alone, would refuse it.
const LEAD: Duration = Duration::from_millis(500);

/// When in its step a code may be sent, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Margins {
    after_begin: i64,
    before_end: i64,
}

/// [`LEAD`] and [`GUARD`], but never more than a twentieth and a fifth of a step of `period_ms` milliseconds.
fn margins(period_ms: i64) -> Margins {
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    Margins { after_begin: ms(LEAD).min(period_ms / 20), before_end: ms(GUARD).min(period_ms / 5) }
}

/// What to do for a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// The code of this step may be used, once it is recorded as used.
    Use(u64),
    /// Ask again at this instant, in milliseconds since 1970: a step may be used then.
    WaitUntil(i64),
}

/// Picks the step for a code at `now_ms` (milliseconds since 1970) for steps of `period` seconds, given a way to ask
/// whether a step was used. It is the step of a clock that is `ahead` steps before this one; when to ask again is told in
/// this clock's time.
///
/// # Panics
/// Never; a period of 0 is taken for 1.
pub fn pick_step(now_ms: i64, period: u64, ahead: i64, mut used: impl FnMut(u64) -> bool) -> Pick {
    let period_ms = i64::try_from(period.max(1).saturating_mul(1000)).unwrap_or(i64::MAX);
    let margins = margins(period_ms);
    let shift_ms = ahead.saturating_mul(period_ms);
    let now_ms = now_ms.saturating_add(shift_ms).max(0);
    let step = now_ms / period_ms;
    let left_ms = (step + 1).saturating_mul(period_ms) - now_ms;
    let mut candidate = if left_ms < margins.before_end { step + 1 } else { step };
    while used(candidate.unsigned_abs()) {
        candidate += 1;
    }
    let opens_ms = candidate.saturating_mul(period_ms).saturating_add(margins.after_begin);
    if opens_ms <= now_ms {
        Pick::Use(candidate.unsigned_abs())
    } else {
        Pick::WaitUntil(opens_ms.saturating_sub(shift_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step begins.
    const AT: i64 = 1_000_000 * 30_000;
    /// Its code may be sent.
    const OPEN: i64 = AT + 500;

    #[test]
    fn a_fresh_step_is_used_at_once() {
        assert_eq!(pick_step(OPEN, 30, 0, |_| false), Pick::Use(1_000_000));
    }

    #[test]
    fn a_used_step_waits_for_the_next_unused_one() {
        assert_eq!(pick_step(OPEN, 30, 0, |s| s == 1_000_000), Pick::WaitUntil(OPEN + 30_000));
        assert_eq!(pick_step(OPEN, 30, 0, |s| s < 1_000_002), Pick::WaitUntil(OPEN + 60_000));
    }

    #[test]
    fn the_guard_time_waits_for_the_next_step() {
        assert_eq!(pick_step(AT + 27_000, 30, 0, |_| false), Pick::Use(1_000_000));
        assert_eq!(pick_step(AT + 27_001, 30, 0, |_| false), Pick::WaitUntil(OPEN + 30_000));
    }

    #[test]
    fn a_step_that_has_just_begun_waits_until_it_has_begun_for_a_clock_that_is_a_little_behind() {
        assert_eq!(pick_step(AT, 30, 0, |_| false), Pick::WaitUntil(OPEN));
        assert_eq!(pick_step(OPEN - 1, 30, 0, |_| false), Pick::WaitUntil(OPEN));
        assert_eq!(pick_step(AT, 30, 0, |s| s == 1_000_000), Pick::WaitUntil(OPEN + 30_000));
    }

    #[test]
    fn a_clock_that_is_off_has_other_steps_at_the_same_time() {
        assert_eq!(pick_step(OPEN, 30, 2, |_| false), Pick::Use(1_000_002));
        assert_eq!(pick_step(OPEN, 30, -1, |s| s == 999_999), Pick::WaitUntil(OPEN + 30_000));
        assert_eq!(pick_step(AT + 28_000, 30, 1, |_| false), Pick::WaitUntil(OPEN + 30_000));
    }

    #[test]
    fn short_steps_have_small_margins() {
        assert_eq!(pick_step(4 * 1000, 4, 0, |_| false), Pick::WaitUntil(4200));
        assert_eq!(pick_step(4 * 1000 + 3200, 4, 0, |_| false), Pick::Use(1));
        assert_eq!(pick_step(4 * 1000 + 3201, 4, 0, |_| false), Pick::WaitUntil(8200));
    }
}

//! Which time step may be used now: one whose code was never sent, that has begun by the device's clock too, and with enough
//! time left for the code to arrive.

use std::time::Duration;

/// A code is not sent with less than this left in its step; see [`margins`].
const GUARD: Duration = Duration::from_secs(3);

/// Nor sooner than this after its step began: a device whose clock is a little behind, if only by a tick of its kernel,
/// and that takes codes of the present step alone, would refuse it.
const LEAD: Duration = Duration::from_millis(500);

/// What is to be sent at a time is not sent later than that by more; or by a sixth of a step.
const SLACK: Duration = Duration::from_secs(5);

/// The middle of a step is no later than this after its begin: steps of many minutes would be waited for in vain. Nor is a
/// time in a step waited for whose middle would be later.
const LATEST_MIDDLE: Duration = Duration::from_secs(30);

/// When in its step a code is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Timing {
    /// As soon as it may be.
    #[default]
    Soon,
    /// Not before the middle: a device whose clock is off by less than half a step, to either side, or at the edge of what
    /// it takes, is the likelier to take it.
    Middle,
    /// So many milliseconds after it began, or a few seconds later: when the device took one.
    At(i64),
}

/// Which code of a seed is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The code is one of a clock that is so many steps before this one.
    pub ahead: i64,
    /// When in its step it is to be sent.
    pub timing: Timing,
    /// No step before this one will do, by this clock.
    pub earliest: Option<u64>,
}

/// When in its step a code may be sent, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Margins {
    after_begin: i64,
    before_end: i64,
}

/// [`LEAD`] and [`GUARD`], but never more than a twentieth and a fifth of a step of `period_ms` milliseconds.
fn margins(period_ms: i64, timing: Timing) -> Margins {
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let (lead, guard) = (ms(LEAD).min(period_ms / 20), ms(GUARD).min(period_ms / 5));
    let slack = ms(SLACK).min(period_ms / 6);
    let (after_begin, before_end) = match timing {
        Timing::Soon => (lead, guard),
        Timing::At(at) if period_ms <= 2 * ms(LATEST_MIDDLE) => {
            let at = at.min(period_ms - guard - slack).max(lead);
            (at, period_ms - at - slack)
        }
        Timing::Middle | Timing::At(_) => ((period_ms / 2).min(ms(LATEST_MIDDLE)), guard),
    };
    Margins { after_begin, before_end }
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
/// whether a step was used. When to ask again is told in this clock's time.
///
/// # Panics
/// Never; a period of 0 is taken for 1.
pub fn pick_step(now_ms: i64, period: u64, wanted: Wanted, mut used: impl FnMut(u64) -> bool) -> Pick {
    let Wanted { ahead, timing, earliest } = wanted;
    let period_ms = i64::try_from(period.max(1).saturating_mul(1000)).unwrap_or(i64::MAX);
    let margins = margins(period_ms, timing);
    let shift_ms = ahead.saturating_mul(period_ms);
    let now_ms = now_ms.saturating_add(shift_ms).max(0);
    let step = now_ms / period_ms;
    let left_ms = (step + 1).saturating_mul(period_ms) - now_ms;
    let mut candidate = if left_ms < margins.before_end { step + 1 } else { step };
    let earliest = earliest.map_or(0, |step| step.saturating_add_signed(ahead));
    candidate = candidate.max(i64::try_from(earliest).unwrap_or(i64::MAX / period_ms));
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

    const SOON: Wanted = Wanted { ahead: 0, timing: Timing::Soon, earliest: None };
    /// A step begins.
    const AT: i64 = 1_000_000 * 30_000;
    /// Its code may be sent.
    const OPEN: i64 = AT + 500;

    #[test]
    fn a_fresh_step_is_used_at_once() {
        assert_eq!(pick_step(OPEN, 30, SOON, |_| false), Pick::Use(1_000_000));
    }

    #[test]
    fn a_used_step_waits_for_the_next_unused_one() {
        assert_eq!(pick_step(OPEN, 30, SOON, |s| s == 1_000_000), Pick::WaitUntil(OPEN + 30_000));
        assert_eq!(pick_step(OPEN, 30, SOON, |s| s < 1_000_002), Pick::WaitUntil(OPEN + 60_000));
    }

    #[test]
    fn the_guard_time_waits_for_the_next_step() {
        assert_eq!(pick_step(AT + 27_000, 30, SOON, |_| false), Pick::Use(1_000_000));
        assert_eq!(pick_step(AT + 27_001, 30, SOON, |_| false), Pick::WaitUntil(OPEN + 30_000));
    }

    #[test]
    fn a_step_that_has_just_begun_waits_until_it_has_begun_for_a_clock_that_is_a_little_behind() {
        assert_eq!(pick_step(AT, 30, SOON, |_| false), Pick::WaitUntil(OPEN));
        assert_eq!(pick_step(OPEN - 1, 30, SOON, |_| false), Pick::WaitUntil(OPEN));
        assert_eq!(pick_step(AT, 30, SOON, |s| s == 1_000_000), Pick::WaitUntil(OPEN + 30_000));
    }

    #[test]
    fn a_clock_that_is_off_has_other_steps_at_the_same_time() {
        assert_eq!(pick_step(OPEN, 30, Wanted { ahead: 2, ..SOON }, |_| false), Pick::Use(1_000_002));
        assert_eq!(pick_step(OPEN, 30, Wanted { ahead: -1, ..SOON }, |s| s == 999_999), Pick::WaitUntil(OPEN + 30_000));
        assert_eq!(pick_step(AT + 28_000, 30, Wanted { ahead: 1, ..SOON }, |_| false), Pick::WaitUntil(OPEN + 30_000));
    }

    #[test]
    fn in_the_middle_is_from_the_middle_on() {
        let middle = Wanted { timing: Timing::Middle, ..SOON };
        assert_eq!(pick_step(OPEN, 30, middle, |_| false), Pick::WaitUntil(AT + 15_000));
        assert_eq!(pick_step(AT + 15_000, 30, middle, |_| false), Pick::Use(1_000_000));
        assert_eq!(pick_step(AT + 27_001, 30, middle, |_| false), Pick::WaitUntil(AT + 45_000));
        assert_eq!(pick_step(0, 3600, middle, |_| false), Pick::WaitUntil(30_000), "not half an hour");
    }

    #[test]
    fn at_a_time_is_then_or_a_little_later_and_never_in_the_margins() {
        let at = |ms| Wanted { timing: Timing::At(ms), ..SOON };
        assert_eq!(pick_step(AT + 7_999, 30, at(8_000), |_| false), Pick::WaitUntil(AT + 8_000));
        assert_eq!(pick_step(AT + 13_000, 30, at(8_000), |_| false), Pick::Use(1_000_000));
        assert_eq!(pick_step(AT + 13_001, 30, at(8_000), |_| false), Pick::WaitUntil(AT + 38_000));
        assert_eq!(pick_step(AT, 30, at(0), |_| false), Pick::WaitUntil(OPEN));
        assert_eq!(pick_step(AT, 30, at(29_000), |_| false), Pick::WaitUntil(AT + 22_000));
        assert_eq!(pick_step(AT + 27_000, 30, at(29_000), |_| false), Pick::Use(1_000_000));
        assert_eq!(pick_step(0, 3600, at(1_000_000), |_| false), Pick::WaitUntil(30_000), "not a quarter of an hour");
        assert_eq!(pick_step(2_000_000, 3600, at(1_000_000), |_| false), Pick::Use(0));
    }

    #[test]
    fn no_step_before_the_earliest_will_do_by_this_clock() {
        let from = |ahead| Wanted { ahead, earliest: Some(1_000_002), ..SOON };
        assert_eq!(pick_step(OPEN, 30, from(0), |_| false), Pick::WaitUntil(OPEN + 60_000));
        assert_eq!(pick_step(OPEN + 60_000, 30, from(-1), |_| false), Pick::Use(1_000_001));
        assert_eq!(pick_step(OPEN + 90_000, 30, from(0), |_| false), Pick::Use(1_000_003));
    }

    #[test]
    fn short_steps_have_small_margins() {
        assert_eq!(pick_step(4 * 1000, 4, SOON, |_| false), Pick::WaitUntil(4200));
        assert_eq!(pick_step(4 * 1000 + 3200, 4, SOON, |_| false), Pick::Use(1));
        assert_eq!(pick_step(4 * 1000 + 3201, 4, SOON, |_| false), Pick::WaitUntil(8200));
    }
}

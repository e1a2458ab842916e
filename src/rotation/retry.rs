//! When an account is worked on again, and to what end: after an attempt, after a start of the daemon, and when its time comes.

use super::account::AccountRecord;
use super::phase::{HOUR_MS, Phase, QUARANTINE_LOOK_MS, next_daily_look_ms};
use crate::model::{Moment, Outcome};
use crate::policy::Policy;

/// What was begun for an account and has not come to an end within this time is gone on with, unless somebody is at work on it:
/// after a restart nobody is. In milliseconds.
pub const UNDER_WAY_MS: i64 = 300_000;

/// How soon after a start an account reconciles itself that a crash kept from being told when, in milliseconds.
const RECONCILES_IN_MS: i64 = 60_000;

/// After a look that shows that the device judges as it should, an account that reconciles itself does so in this time.
const RECONCILES_AFTER_LOOK_MS: i64 = 60_000;

/// The rules of an account that decide when it is worked on again.
#[derive(Debug, Clone, Copy)]
pub struct RetryRules<'a> {
    /// Its policy.
    pub policy: &'a Policy,
    /// Whether its reconcile account sets a new password, where it is in quarantine, without being asked.
    pub reconciles_itself: bool,
}

impl RetryRules<'_> {
    /// The longest that anything of an account in this phase waits, in milliseconds.
    fn longest_wait_ms(&self, phase: Phase) -> i64 {
        let longest = self.policy.longest_wait_ms();
        if phase == Phase::Idle { longest } else { longest.max(QUARANTINE_LOOK_MS) }
    }
}

/// How an attempt that did not succeed ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptEnd {
    /// How: failed, refused or unknown.
    pub outcome: Outcome,
    /// Nobody asked for just this attempt, so it is tried again by itself.
    pub is_unasked: bool,
    /// The budget, or other attempts, allow the next try from then on.
    pub not_before: Option<Moment>,
    /// The daemon's stop ended it before its commit point.
    pub stopped: bool,
    /// Each try would ask a person to confirm a login.
    pub needs_person: bool,
    /// It was one look at an account in quarantine.
    pub is_look: bool,
    /// A rule stood against it: it did not begin.
    pub turned_away: bool,
}

/// What follows for an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextTry {
    /// When rotord goes on by itself with it.
    pub wake: Option<Moment>,
    /// Tries of the run under way.
    pub tries: u32,
    /// The stored password was tried now.
    pub was_looked_at: bool,
}

/// When an account is worked on again after an attempt that did not succeed.
#[must_use]
pub fn after_attempt(account: &AccountRecord, end: &AttemptEnd, rules: &RetryRules<'_>, now: &Moment) -> NextTry {
    let in_ms = |ms| Some(now.plus_ms(ms));
    let refused = end.outcome == Outcome::Refused;
    let mut was_looked_at = false;
    let (wake, tries) = match account.phase {
        Phase::Idle => at_rest(account, end, rules, now),
        Phase::Quarantined if end.is_look => {
            was_looked_at = end.not_before.is_none();
            let reconciles = rules.reconciles_itself && account.tries <= rules.policy.attempts;
            let daily = next_daily_look_ms(now.wall_ms - account.since);
            let next = if reconciles { RECONCILES_AFTER_LOOK_MS } else { daily };
            (end.not_before.or(in_ms(next)), account.tries)
        }
        // What had to wait for its budget, or was held back, spends no try.
        Phase::Quarantined if rules.reconciles_itself && end.not_before.is_some() => (end.not_before, account.tries),
        Phase::Quarantined if rules.reconciles_itself && refused => (in_ms(HOUR_MS), account.tries),
        Phase::Quarantined if rules.reconciles_itself && account.tries < rules.policy.attempts => {
            // At once, and after a minute, two, four where it failed.
            let wait = if account.tries == 0 { 0 } else { (30_000 << account.tries.min(6)).min(HOUR_MS) };
            (in_ms(wait), account.tries + 1)
        }
        // Whoever is sent away puts no look off.
        Phase::Quarantined if end.turned_away || refused => (account.wake, account.tries),
        // Looked at again in a while, sooner where the budget says when.
        phase => {
            let again = || phase.look_again_ms(account.tries).and_then(in_ms);
            (end.not_before.or_else(again), account.tries.saturating_add(1))
        }
    };
    NextTry { wake, tries, was_looked_at }
}

/// The same for an account at rest: nothing was sent, or a login proved which password it has.
fn at_rest(account: &AccountRecord, end: &AttemptEnd, rules: &RetryRules<'_>, now: &Moment) -> (Option<Moment>, u32) {
    match end.outcome {
        // What the daemon's stop ended spends no try.
        _ if end.stopped && end.is_unasked => (Some(now.plus_ms(UNDER_WAY_MS)), account.tries),
        // Each try would ask a person once more.
        _ if end.needs_person => (None, 0),
        // Nor does what had to wait for its budget, or was held back.
        Outcome::Done | Outcome::Failed | Outcome::Refused if end.is_unasked && end.not_before.is_some() => {
            (end.not_before, account.tries)
        }
        Outcome::Failed if end.is_unasked => {
            let tries = account.tries + 1;
            match rules.policy.retry_in_ms(tries) {
                Some(ms) => (Some(now.plus_ms(ms)), tries),
                None => (None, 0),
            }
        }
        _ => (None, 0),
    }
}

/// What a start of the daemon finds of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterStart {
    /// It waits until then, if for anything.
    Waits(Option<Moment>),
    /// It was in the middle of something, and is gone on with at once.
    Interrupted,
}

/// When an account is worked on again after a start. `rules` are `None` for one that is not in the config.
#[must_use]
pub fn after_start(account: &AccountRecord, rules: Option<&RetryRules<'_>>, now: &Moment) -> AfterStart {
    let reconciles = rules.is_some_and(|it| it.reconciles_itself && account.tries < it.policy.attempts);
    // Who restarts the daemon again and again has no device asked more often.
    let waits = account.phase == Phase::Idle || account.phase.expects_refusal();
    AfterStart::Waits(match (account.phase, account.wake) {
        // A crash kept it from being told when.
        (Phase::Quarantined, wake) if reconciles && (wake.is_none() || account.tries == 0) => {
            Some(now.plus_ms(RECONCILES_IN_MS))
        }
        (Phase::Quarantined, None) => Some(now.plus_ms(QUARANTINE_LOOK_MS)),
        // What waits since an earlier boot waits on by this one's clock, and no longer than anything ever waits: how long the
        // host was down is only known if its wall clock told the truth.
        (phase, Some(wake)) if waits && wake.boot != now.boot => {
            let unknown = if phase == Phase::Idle { 0 } else { QUARANTINE_LOOK_MS };
            let longest = rules.map_or(unknown, |rules| rules.longest_wait_ms(phase));
            Some(now.plus_ms(wake.since(now).clamp(0, longest)))
        }
        (_, wake) if waits => wake,
        _ => return AfterStart::Interrupted,
    })
}

/// What is done with an account whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The try of this number, from 1, of the run under way.
    Try(u32),
    /// What was interrupted, or is in doubt, is found out.
    Recover,
    /// The look of this number at an account in quarantine, from 0.
    Look(u32),
    /// Its reconcile account sets a new password.
    Reconcile,
}

/// What the scheduler finds of an account that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenDue {
    /// Its time comes in so many milliseconds.
    Later(i64),
    /// Its time has come: it waits until `wake` from now on, whatever becomes of what is done now.
    Now {
        /// When it is gone on with, if nothing else sets a time.
        wake: Option<Moment>,
        /// What is done; `None` where nothing may be.
        turn: Option<Turn>,
    },
}

/// What is done with an account that waits. In `closed_for_ms` milliseconds the window of a job opens that changes it; 0 where
/// one is open, or none changes it.
#[must_use]
pub fn when_due(
    account: &AccountRecord,
    rules: &RetryRules<'_>,
    closed_for_ms: impl FnOnce() -> i64,
    now: &Moment,
) -> WhenDue {
    let longest = rules.longest_wait_ms(account.phase);
    // In the middle of something, with nobody at work on it and no time set: a failing vault left it so.
    if let Some(left) = account.wake.map(|at| at.since(now)).filter(|left| (1..=longest).contains(left)) {
        return WhenDue::Later(left);
    }
    match account.phase {
        Phase::Idle => {
            let closed = closed_for_ms();
            // No wait is longer than the longest one of the account: it is looked at again then.
            let wait = if closed > 0 { closed.min(longest) } else { UNDER_WAY_MS };
            let turn = (closed == 0).then_some(Turn::Try(account.tries + 1));
            WhenDue::Now { wake: Some(now.plus_ms(wait)), turn }
        }
        Phase::Quarantined => {
            let turn = if reconciles_next(account, rules, now.wall_ms) {
                Some(Turn::Reconcile)
            } else {
                (!account.paused).then(|| Turn::Look(days_in_quarantine(account, now.wall_ms)))
            };
            // Whatever becomes of it, one in quarantine is looked at again.
            WhenDue::Now { wake: Some(now.plus_ms(QUARANTINE_LOOK_MS)), turn }
        }
        _ => WhenDue::Now { wake: None, turn: Some(Turn::Recover) },
    }
}

/// Whether an account in quarantine is reconciled next, and not only looked at: that has not been tried in vain often enough, and
/// it was looked at within a day, since what keeps it from being reconciled may last. `now` in milliseconds since 1970.
#[must_use]
pub fn reconciles_next(account: &AccountRecord, rules: &RetryRules<'_>, now: i64) -> bool {
    let last = [Some(account.since), account.verified].into_iter().flatten().filter(|at| *at <= now).max();
    let looked_at = last.is_some_and(|at| now - at < next_daily_look_ms(at - account.since));
    rules.reconciles_itself && account.tries <= rules.policy.attempts && looked_at
}

/// The number of a look at an account in quarantine: how many days it is there.
fn days_in_quarantine(account: &AccountRecord, now: i64) -> u32 {
    u32::try_from((now - account.since).div_euclid(QUARANTINE_LOOK_MS).rem_euclid(4)).unwrap_or(0)
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;

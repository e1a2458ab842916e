//! A breaker for logins that nobody waits for: once one account after another is refused, on one device after another, it is
//! hardly their passwords. A host clock that is wrong, or a server that judges the codes and is down, would put a whole
//! fleet in quarantine within minutes.

use std::collections::BTreeSet;

use crate::model::AccountName;

/// So many accounts, refused with no login taken in between, hold back the others.
const ACCOUNTS: usize = 5;
/// On so many devices: one that refuses everybody is that device's own affair.
const DEVICES: usize = 3;
/// The first time for which logins are held back, in milliseconds. Each one after it is twice as long.
const FIRST_PAUSE_MS: i64 = 600_000;
/// The longest, in milliseconds: no account waits longer by itself.
const LONGEST_PAUSE_MS: i64 = 3_600_000;
/// How long the one that is let through has to be judged, before another is, in milliseconds.
const TRIAL_MS: i64 = 60_000;
/// For so long after the time is up a device that had its turn lets the others go first, in milliseconds.
const LAST_MS: i64 = 2 * TRIAL_MS;

/// Logins are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Open {
    until_ms: i64,
    pause_ms: i64,
    /// One was let through to see.
    trial: bool,
    /// Somebody was told to come back just then.
    awaited: bool,
}

impl Open {
    fn new(now_ms: i64, pause_ms: i64) -> Self {
        Self { until_ms: now_ms.saturating_add(pause_ms), pause_ms, trial: false, awaited: false }
    }
}

/// Counts refusals, and holds back. Times are by the boot clock, in milliseconds.
#[derive(Debug, Default)]
pub struct Breaker {
    /// Who was refused since a login was last taken, no more than are needed.
    refused: BTreeSet<AccountName>,
    open: Option<Open>,
    /// Devices at which one was let through since, as far as there were others: those go first.
    tried: BTreeSet<String>,
    /// When a login was last taken: then the host's clock, and what judges the codes, were not what a refusal comes from.
    taken_ms: Option<i64>,
    /// How often logins began to be held back.
    opened: u64,
}

impl Breaker {
    /// A device took a login. Tells whether logins were held back until then.
    pub fn took(&mut self, now_ms: i64) -> bool {
        self.refused.clear();
        self.tried.clear();
        self.taken_ms = Some(now_ms);
        self.open.take().is_some()
    }

    /// A device refused one. Tells whether others are held back from now on that were not before. One that was `expected`, since
    /// the vault is an old one, restored, holds back nobody for an hour after any login was taken.
    pub fn refused(&mut self, account: &AccountName, expected: bool, now_ms: i64) -> bool {
        if let Some(open) = &mut self.open {
            if open.trial {
                *open = Open::new(now_ms, (open.pause_ms * 2).min(LONGEST_PAUSE_MS));
            }
            return false;
        }
        if expected && self.taken_ms.is_some_and(|at| now_ms - at < LONGEST_PAUSE_MS) {
            return false;
        }
        let known = |name: &AccountName| name.device_str() == account.device_str();
        if self.refused.len() < ACCOUNTS || !self.refused.iter().any(known) {
            self.refused.insert(account.clone());
        }
        let devices: BTreeSet<&str> = self.refused.iter().map(AccountName::device_str).collect();
        if self.refused.len() < ACCOUNTS || devices.len() < DEVICES {
            return false;
        }
        self.open = Some(Open::new(now_ms, FIRST_PAUSE_MS));
        self.opened += 1;
        true
    }

    /// Whether something may begin that logs in at the device of an account, and that nobody waits for.
    ///
    /// # Errors
    /// In how many milliseconds to ask again. One is told to come back as soon as the time is up, and all others once that
    /// one has shown how it is: a hundred thousand shall not come, only to be sent away. A device that refused the one that
    /// was let through comes last: where it is wrong for good, its accounts would keep those of all others waiting.
    pub fn may_begin(&mut self, account: &AccountName, now_ms: i64) -> Result<(), i64> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let left = open.until_ms.saturating_sub(now_ms);
        let wait = if self.tried.contains(account.device_str()) {
            left.saturating_add(LAST_MS)
        } else if left > 0 && std::mem::replace(&mut open.awaited, true) {
            left.saturating_add(TRIAL_MS)
        } else {
            left
        };
        if wait > 0 { Err(wait) } else { Ok(()) }
    }

    /// Whether its login may be tried. When the time is up, one may, to see how it is.
    ///
    /// # Errors
    /// As [`Breaker::may_begin`].
    pub fn may_try(&mut self, account: &AccountName, now_ms: i64) -> Result<(), i64> {
        self.may_begin(account, now_ms)?;
        if let Some(open) = &mut self.open {
            *open = Open { pause_ms: open.pause_ms, trial: true, ..Open::new(now_ms, TRIAL_MS) };
            if !self.tried.insert(account.device_str().to_owned()) {
                // No other came: all have had their turn.
                self.tried = BTreeSet::from([account.device_str().to_owned()]);
            }
        }
        Ok(())
    }

    /// How often logins began to be held back, and whether they are now.
    #[must_use]
    pub fn opened(&self) -> (u64, bool) {
        (self.opened, self.open.is_some())
    }

    /// For how many milliseconds logins are held back yet.
    #[must_use]
    pub fn held_for(&self, now_ms: i64) -> Option<i64> {
        self.open.map(|open| open.until_ms.saturating_sub(now_ms)).filter(|left| *left > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> AccountName {
        AccountName::parse(name).unwrap()
    }

    fn refuse(breaker: &mut Breaker, accounts: &[&str], now_ms: i64) -> Vec<bool> {
        accounts.iter().map(|name| breaker.refused(&account(name), false, now_ms)).collect()
    }

    /// One of a device that had no turn yet.
    fn may_begin(breaker: &mut Breaker, now_ms: i64) -> Result<(), i64> {
        breaker.may_begin(&account("z/x"), now_ms)
    }

    /// One of a device of its own.
    fn may_try(breaker: &mut Breaker, now_ms: i64) -> Result<(), i64> {
        let device = breaker.tried.len();
        breaker.may_try(&account(&format!("n{device}/x")), now_ms)
    }

    const FIVE: [&str; 5] = ["a/x", "a/y", "b/x", "b/y", "c/x"];

    #[test]
    fn five_accounts_on_three_devices_in_a_row_hold_back_the_others() {
        let mut breaker = Breaker::default();
        assert_eq!(refuse(&mut breaker, &FIVE[..4], 0), [false; 4]);
        assert_eq!(may_try(&mut breaker, 0), Ok(()));
        assert_eq!(refuse(&mut breaker, &FIVE[4..], 0), [true]);
        assert_eq!(may_try(&mut breaker, 1), Err(FIRST_PAUSE_MS - 1));
        assert!(breaker.took(0), "it is over with the first login that is taken");
        assert_eq!((may_try(&mut breaker, 2), breaker.took(0)), (Ok(()), false));
    }

    #[test]
    fn one_account_again_and_again_or_one_device_holds_back_nobody() {
        let mut breaker = Breaker::default();
        assert_eq!(refuse(&mut breaker, &["a/x"; 9], 0), [false; 9]);
        let many: Vec<String> = (0..100).map(|n| format!("a/user{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(refuse(&mut breaker, &many, 0), [false; 100]);
        assert_eq!(breaker.refused.len(), ACCOUNTS, "it does not grow");
        assert_eq!(refuse(&mut breaker, &["b/x", "c/x"], 0), [false, true]);
    }

    #[test]
    fn a_login_that_is_taken_in_between_begins_the_count_anew() {
        let mut breaker = Breaker::default();
        refuse(&mut breaker, &FIVE[..4], 0);
        assert!(!breaker.took(0));
        assert_eq!(refuse(&mut breaker, &FIVE[1..], 0), [false; 4]);
    }

    #[test]
    fn what_a_restored_vault_makes_likely_holds_back_nobody_once_a_login_was_taken() {
        let mut breaker = Breaker::default();
        let expected = |breaker: &mut Breaker| FIVE.map(|name| breaker.refused(&account(name), true, 0));
        assert_eq!(expected(&mut breaker), [false, false, false, false, true], "it may be the host's clock");
        assert!(breaker.took(0));
        assert_eq!(expected(&mut breaker), [false; 5]);
        let later = FIVE.map(|name| breaker.refused(&account(name), true, LONGEST_PAUSE_MS));
        assert_eq!(later, [false, false, false, false, true], "in an hour all may be different");
        breaker.took(0);
        assert_eq!(refuse(&mut breaker, &FIVE[..4], 0), [false; 4]);
        assert_eq!(refuse(&mut breaker, &FIVE[4..], 0), [true], "those of others count as before");
    }

    #[test]
    fn one_at_a_time_is_let_through_to_see_and_each_pause_is_longer_up_to_an_hour() {
        let mut breaker = Breaker::default();
        let mut now = 0;
        refuse(&mut breaker, &FIVE, now);
        for pause_min in [10, 20, 40, 60, 60] {
            now += pause_min * 60_000 - 1;
            assert_eq!(may_try(&mut breaker, now), Err(1));
            now += 1;
            assert_eq!((may_try(&mut breaker, now), may_try(&mut breaker, now)), (Ok(()), Err(TRIAL_MS)));
            // One that was under way before is not the one that tells.
            refuse(&mut breaker, &["d/x", "d/y"], now);
        }
        assert_eq!(may_try(&mut breaker, now), Err(LONGEST_PAUSE_MS));
    }

    #[test]
    fn one_is_told_to_come_back_in_time_and_the_others_once_that_one_knows() {
        let mut breaker = Breaker::default();
        refuse(&mut breaker, &FIVE, 0);
        let told: Vec<_> = (0..4).map(|_| may_begin(&mut breaker, 0)).collect();
        let later = Err(FIRST_PAUSE_MS + TRIAL_MS);
        assert_eq!(told, [Err(FIRST_PAUSE_MS), later, later, later]);
        assert_eq!((may_begin(&mut breaker, FIRST_PAUSE_MS), may_try(&mut breaker, FIRST_PAUSE_MS)), (Ok(()), Ok(())));
        assert!(breaker.took(0));
        assert_eq!(may_begin(&mut breaker, FIRST_PAUSE_MS + TRIAL_MS), Ok(()));
    }

    #[test]
    fn one_that_was_let_through_and_came_to_nothing_keeps_nobody_waiting() {
        let mut breaker = Breaker::default();
        refuse(&mut breaker, &FIVE, 0);
        assert_eq!(may_try(&mut breaker, FIRST_PAUSE_MS), Ok(()));
        assert_eq!(may_try(&mut breaker, FIRST_PAUSE_MS + TRIAL_MS), Ok(()));
    }

    #[test]
    fn a_device_that_had_its_turn_lets_the_others_go_first() {
        let mut breaker = Breaker::default();
        refuse(&mut breaker, &FIVE, 0);
        let (bad, bad_too, good) = (account("a/x"), account("a/y"), account("c/x"));
        assert_eq!(breaker.may_try(&bad, FIRST_PAUSE_MS), Ok(()));
        breaker.refused(&bad, false, FIRST_PAUSE_MS);
        let up = 3 * FIRST_PAUSE_MS;
        assert_eq!(breaker.may_begin(&bad_too, up - 1), Err(LAST_MS + 1));
        assert_eq!(breaker.may_try(&bad_too, up), Err(LAST_MS));
        assert_eq!(breaker.may_begin(&good, up - 1), Err(1), "nobody who is sent to the end is awaited");
        assert_eq!(breaker.may_try(&good, up), Ok(()));
        breaker.refused(&good, false, up);
        // Where nobody else comes, they begin anew.
        let up = up + 4 * FIRST_PAUSE_MS + LAST_MS;
        assert_eq!(breaker.may_try(&bad_too, up), Ok(()));
        breaker.refused(&bad_too, false, up);
        assert_eq!(breaker.may_try(&good, up + LONGEST_PAUSE_MS), Ok(()));
    }
}

//! What a device knows of its users.

use std::collections::{BTreeSet, VecDeque};

use crate::totp::Seed;

/// A user of a device.
#[derive(Debug, Clone)]
pub(in crate::sim) struct User {
    pub(in crate::sim) password: String,
    pub(in crate::sim) seed: Option<Seed>,
    /// Which of [`super::keys`] is its own.
    pub(in crate::sim) key: Option<usize>,
    /// The device knows its key no more.
    pub(in crate::sim) key_is_lost: bool,
    used: BTreeSet<u64>,
    /// Steps whose code somebody else came in with.
    used_by_others: BTreeSet<u64>,
    refused: VecDeque<i64>,
    pub(in crate::sim) locked_until: i64,
    /// The next login demands a new password.
    pub(in crate::sim) expired: bool,
    /// Sessions of its own, where the device has room for one.
    pub(super) sessions: usize,
    /// When the slot of the last one is free again.
    pub(super) free_at: i64,
}

impl User {
    pub(in crate::sim) fn new(password: String, seed: Option<Seed>, key: Option<usize>) -> Self {
        Self {
            password,
            seed,
            key,
            key_is_lost: false,
            used: BTreeSet::new(),
            used_by_others: BTreeSet::new(),
            refused: VecDeque::new(),
            locked_until: 0,
            expired: false,
            sessions: 0,
            free_at: 0,
        }
    }

    /// Whether it is the code that somebody else came in with.
    pub(super) fn was_anothers(&self, code: Option<&str>) -> bool {
        let its = |seed: &Seed, step: &u64| Some(seed.code(*step).expose()) == code;
        self.seed.as_ref().is_some_and(|seed| self.used_by_others.iter().any(|step| its(seed, step)))
    }

    /// Somebody comes in with the code of the moment.
    pub(in crate::sim) fn code_is_used(&mut self, device_ms: i64) {
        if let Some(seed) = &self.seed {
            let step = device_ms.max(0).unsigned_abs() / 1000 / seed.period();
            self.used.insert(step);
            self.used_by_others.insert(step);
        }
    }

    /// Whether the device takes a code: of the step at hand or, unless it is strict, one beside it, each once (RFC 6238,
    /// section 5.2); with `newer`, only of a step after the last one that it took.
    pub(in crate::sim) fn accepts(&mut self, code: Option<&str>, device_ms: i64, strict: bool, newer: bool) -> bool {
        let (Some(seed), Some(code)) = (&self.seed, code) else { return self.seed.is_none() };
        let step = device_ms.max(0).unsigned_abs() / 1000 / seed.period();
        let beside = if strict { 1 } else { 3 };
        for step in [step, step.saturating_sub(1), step + 1].into_iter().take(beside) {
            if seed.code(step).expose() == code {
                let stale = newer && self.used.last().is_some_and(|last| step <= *last);
                return !stale && self.used.insert(step);
            }
        }
        false
    }

    /// A login of it is refused; so many within an hour lock it for half an hour, where that is not 0.
    pub(super) fn is_refused(&mut self, now: i64, locks_after: usize) {
        self.refused.push_back(now);
        while self.refused.front().is_some_and(|at| now - at > 3_600_000) {
            self.refused.pop_front();
        }
        if locks_after > 0 && self.refused.len() >= locks_after {
            self.locked_until = now + LOCKED_FOR;
        }
    }

    /// Whether it has a session, or had one a short while ago, on a device that allows one.
    pub(super) fn has_no_room(&self, now: i64) -> bool {
        self.sessions > 0 || now < self.free_at
    }
}

/// How long an account stays locked, in milliseconds.
pub(in crate::sim) const LOCKED_FOR: i64 = 1_800_000;

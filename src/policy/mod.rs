//! What an account's policy allows: passwords to generate, changes a day, failed logins an hour, retries.
//!
//! Pure: moments and randomness are handed in.

mod breaker;
mod limits;
mod password;

use std::time::Duration;

pub use breaker::Breaker;
pub use limits::{DAY_MS, Limit, LimitError, restamp};
pub use password::{GenerateError, PasswordRules};

/// No config can raise the changes in 24 hours above this.
pub const MAX_CHANGES_PER_DAY: u32 = 2;

/// A policy of the config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its name in the config.
    pub name: String,
    /// How passwords are made.
    pub password: PasswordRules,
    /// Changes allowed in any 24 hours: 1 or 2.
    pub max_changes_per_day: u32,
    /// A change is refused before the last one is this old.
    pub min_age: Duration,
    /// After this age the password is overdue, which `status` says. `None`: never.
    pub max_age: Option<Duration>,
    /// How many former passwords a new one must differ from; they stay in the vault.
    pub history: usize,
    /// How often a scheduled rotation is tried while nothing was changed.
    pub attempts: u32,
    /// The wait between two such tries.
    pub retry_after: Duration,
    /// Whether an account in quarantine is mended through its reconcile account without being asked.
    pub auto_reconcile: bool,
    /// Failed logins allowed in any hour, since devices lock accounts out.
    pub failed_logins_per_hour: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            name: "default".into(),
            password: PasswordRules::default(),
            max_changes_per_day: MAX_CHANGES_PER_DAY,
            min_age: Duration::ZERO,
            max_age: None,
            history: 5,
            attempts: 3,
            retry_after: Duration::from_secs(300),
            auto_reconcile: false,
            failed_logins_per_hour: 2,
        }
    }
}

impl Policy {
    /// The cap on changes, as a limit over a rolling window.
    #[must_use]
    pub fn cap(&self) -> Limit {
        Limit { count: self.max_changes_per_day.clamp(1, MAX_CHANGES_PER_DAY), window_ms: DAY_MS }
    }

    /// The budget of failed logins, as a limit over a rolling window. It is five minutes longer than an hour: a try is
    /// counted from when it began, and a device counts it from when it refused, which a wait for a code may put off.
    #[must_use]
    pub fn lockout(&self) -> Limit {
        Limit { count: self.failed_logins_per_hour.max(1), window_ms: 3_900_000 }
    }

    /// The longest that rotord ever waits before it goes on by itself with an account, in milliseconds.
    #[must_use]
    pub fn longest_wait_ms(&self) -> i64 {
        self.retry_after_ms().max(self.lockout().window_ms)
    }

    /// When a rotation whose try number `tries` (from 1) failed before anything was sent is tried again, in
    /// milliseconds from now; `None` where the tries are used up.
    #[must_use]
    pub fn retry_in_ms(&self, tries: u32) -> Option<i64> {
        (tries < self.attempts).then(|| self.retry_after_ms())
    }

    fn retry_after_ms(&self) -> i64 {
        i64::try_from(self.retry_after.as_millis()).unwrap_or(i64::MAX)
    }
}

//! What every login goes through, whatever the kind of its device.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::risks::Risks;
use super::sessions::Sessions;
use crate::clock::Clock;
use crate::otp::Codes;
use crate::policy::Breaker;
use crate::vault::Vault;

/// The rules that all executors keep together: codes used once, the lockout budget, and the breaker.
#[derive(Clone)]
pub struct Guards {
    /// The vault, where they are counted.
    pub vault: Vault,
    /// Makes codes.
    pub codes: Codes,
    /// Keeps the lockout budget.
    pub risks: Risks,
    /// Holds logins back that nobody waits for, where one after another is refused.
    breaker: Arc<Mutex<Breaker>>,
    /// Knows the sessions of each account.
    pub sessions: Sessions,
}

impl Guards {
    /// Guards that count in this vault, by this clock.
    #[must_use]
    pub fn new(vault: Vault, clock: Clock) -> Self {
        Self {
            codes: Codes::new(vault.clone(), clock.clone()),
            risks: Risks::new(vault.clone(), clock),
            breaker: Arc::default(),
            sessions: Sessions::default(),
            vault,
        }
    }

    /// The clock by which they count.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.codes.clock()
    }

    /// The breaker, for as long as nobody else has it.
    pub fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Guards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guards(..)")
    }
}

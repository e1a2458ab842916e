//! One-time codes, reserved in the vault before anybody sees them.

use std::time::Duration;

use crate::clock::Clock;
use crate::model::Secret;
use crate::totp::Seed;
use crate::vault::{Reservation, Vault, VaultError};

/// Makes codes by the single-use rule.
#[derive(Debug, Clone)]
pub struct Codes {
    vault: Vault,
    clock: Clock,
}

/// A code and where it stands in time.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The code.
    pub code: Secret,
    /// Its time step.
    pub step: u64,
}

impl Codes {
    /// Codes of this vault.
    #[must_use]
    pub fn new(vault: Vault, clock: Clock) -> Self {
        Self { vault, clock }
    }

    /// The clock by which codes are made.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Makes a code that was never used, waiting for the next time step where it must. With `earliest`, only a step
    /// from there on will do. `waiting` is told how long the wait is.
    ///
    /// # Errors
    /// The vault failed: no code may be used.
    pub async fn issue(
        &self,
        seed: &Seed,
        earliest: Option<u64>,
        waiting: impl Fn(Duration),
    ) -> Result<Issued, VaultError> {
        loop {
            let now = self.clock.now();
            let (seed, at) = (seed.clone(), now.clone());
            match self.vault.call(move |tx| tx.reserve_code(&seed, earliest, &at)).await? {
                Reservation::Code { code, step } => return Ok(Issued { code, step }),
                Reservation::WaitUntil(until) => {
                    let wait = Duration::from_millis(u64::try_from(until - now.wall_ms).unwrap_or(0).max(1));
                    waiting(wait);
                    self.clock.sleep(wait).await;
                }
            }
        }
    }
}

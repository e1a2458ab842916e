//! One-time codes, reserved in the vault before anybody sees them.

use std::time::Duration;

use crate::clock::Clock;
use crate::model::{DeviceName, Secret};
use crate::totp::{Seed, Skew};
use crate::vault::{Reservation, Vault, VaultError};

/// Makes codes by the single-use rule.
#[derive(Debug, Clone)]
pub struct Codes {
    vault: Vault,
    clock: Clock,
}

/// By which clock a code is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim<'a> {
    /// The host's, set right by what is known of the device's.
    At(&'a DeviceName),
    /// One that the device may have, where codes of the known one were refused.
    Probing(&'a DeviceName),
}

/// A code and where it stands in time.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The code.
    pub code: Secret,
    /// Its time step.
    pub step: u64,
    /// Steps by which that is ahead of the host's clock.
    pub ahead: i64,
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

    /// A device took a code that was so many steps ahead, `sure` as in [`Skew::took`]. Tells the offset where it is news.
    pub async fn took(&self, device: &DeviceName, ahead: i64, sure: bool) -> Option<i64> {
        let device = device.clone();
        let learned = self.vault.call(move |tx| {
            let known = tx.skew(&device)?;
            let news = known.took(ahead, sure);
            if let Some(skew) = news {
                tx.set_skew(&device, skew)?;
            }
            Ok(news.filter(|skew| skew.steps != known.steps))
        });
        match learned.await {
            Ok(news) => news.map(|skew| skew.steps),
            Err(error) => {
                tracing::warn!(%error, "what was learned of a device's clock is not stored");
                None
            }
        }
    }

    /// A login that looked for a device's clock was refused, or a code in a session.
    pub async fn missed(&self, device: &DeviceName) {
        let device = device.clone();
        let stored = self.vault.call(move |tx| tx.set_skew(&device, tx.skew(&device)?.refused()));
        if let Err(error) = stored.await {
            tracing::warn!(%error, "what was tried of a device's clock is not stored");
        }
    }

    /// Makes a code that was never used, waiting for the next time step where it must. With `earliest`, only a step
    /// from there on will do. `waiting` is told how long the wait is.
    ///
    /// # Errors
    /// The vault failed: no code may be used.
    pub async fn issue(
        &self,
        seed: &Seed,
        aim: Aim<'_>,
        earliest: Option<u64>,
        waiting: impl Fn(Duration),
    ) -> Result<Issued, VaultError> {
        loop {
            let now = self.clock.now();
            let (seed, at) = (seed.clone(), now);
            let (Aim::At(device) | Aim::Probing(device)) = aim;
            let (device, probing) = (device.clone(), matches!(aim, Aim::Probing(_)));
            let reserved = self.vault.call(move |tx| {
                let known: Skew = tx.skew(&device)?;
                let ahead = if probing { known.probe() } else { known.steps };
                Ok((tx.reserve_code(&seed, ahead, earliest, &at)?, ahead))
            });
            match reserved.await? {
                (Reservation::Code { code, step }, ahead) => return Ok(Issued { code, step, ahead }),
                (Reservation::WaitUntil(until), _) => {
                    let wait = Duration::from_millis(u64::try_from(until - now.wall_ms).unwrap_or(0).max(1));
                    waiting(wait);
                    self.clock.sleep(wait).await;
                }
            }
        }
    }
}

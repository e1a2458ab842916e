//! How far a device's clock is off: by which clock a code is made, and what a code that was taken or refused tells of it.

use crate::model::DeviceName;
use crate::totp::{Skew, Timing, Wanted};
use crate::vault::{Ledger, VaultError};

/// By which clock a code is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The host's, set right by what is known of the device's.
    Known,
    /// The same, at the time in its step at which the device took one, or in the middle: a login was refused of late, and it
    /// may have been for its code.
    KnownAgain,
    /// One that the device may have, where codes of the known one were refused. It is to work from the begin of a step on,
    /// since most codes are sent then.
    Probing,
}

/// For which device a code is made, and by which clock.
#[derive(Debug, Clone)]
pub struct Aim {
    /// The device.
    pub device: DeviceName,
    /// The clock.
    pub by: By,
}

impl Aim {
    /// At a device, by its clock as far as that is known.
    #[must_use]
    pub fn at(device: &DeviceName) -> Self {
        Self { device: device.clone(), by: By::Known }
    }

    /// The code that is wanted, by what is known of the device's clock.
    pub(super) fn wanted(&self, tx: &dyn Ledger, earliest: Option<u64>) -> Result<Wanted, VaultError> {
        let known: Skew = tx.skew(&self.device)?;
        let ahead = self.ahead(known);
        let timing = match (self.by, known.phase_ms) {
            (By::Known, _) => Timing::Soon,
            (_, Some(ms)) if ahead == known.steps => Timing::At(ms),
            (By::KnownAgain, _) => Timing::Middle,
            (By::Probing, _) => Timing::Soon,
        };
        Ok(Wanted { ahead, timing, earliest })
    }

    fn ahead(&self, known: Skew) -> i64 {
        if self.by == By::Probing { known.probe() } else { known.steps }
    }
}

/// When a code was sent, by its step.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// Steps by which its step is ahead of the host's clock.
    pub ahead: i64,
    /// Milliseconds since its step began, by a clock that is so far ahead.
    pub phase_ms: i64,
}

/// A device took this code; `sure` as in [`Skew::took`]. Tells the offset where it is news.
///
/// # Errors
/// The vault failed.
pub(crate) fn took(tx: &dyn Ledger, aim: &Aim, code: Sent, sure: bool) -> Result<Option<i64>, VaultError> {
    let known = tx.skew(&aim.device)?;
    let refused_before = aim.by != By::Known || known.tried > 0;
    let news = known.took(code.ahead, sure, refused_before.then_some(code.phase_ms));
    if let Some(skew) = news {
        tx.set_skew(&aim.device, skew)?;
    }
    Ok(news.filter(|skew| skew.steps != known.steps).map(|skew| skew.steps))
}

/// A code that was refused, where that may have been for the clock by which it was made.
pub(crate) struct Miss {
    /// For what it was made.
    pub(crate) aim: Aim,
    /// Steps by which it was ahead, as in [`Sent`].
    pub(crate) ahead: i64,
    /// Whether in a session: then it was not for the password.
    pub(crate) in_session: bool,
}

/// Puts on record what such a refusal tells.
///
/// # Errors
/// The vault failed.
pub(crate) fn missed(tx: &dyn Ledger, miss: &Miss) -> Result<(), VaultError> {
    let Miss { aim, ahead, in_session } = miss;
    let known = tx.skew(&aim.device)?;
    // Of logins side by side that were refused with the same offset only the first moves the search on.
    let looked = (*in_session || aim.by == By::Probing) && *ahead == known.probe();
    let now = if looked { known.refused() } else { known };
    // Sent when one had been taken, it was refused all the same.
    let then = aim.by != By::Known && *ahead == known.steps;
    tx.set_skew(&aim.device, if then { now.refused_then() } else { now })
}

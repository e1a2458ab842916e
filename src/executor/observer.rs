//! What an executor tells the attempt, and asks it, while it is at work.

use std::sync::Arc;

use super::error::DeviceError;
use crate::clock::Waiting;
use crate::config::Account;
use crate::model::{Masker, Secret};
use crate::rotation::HelperRole;

/// Room for a session beside others; given back when dropped, with the session.
#[derive(Default)]
pub struct SessionSlot(Option<Box<dyn Send + Sync>>);

impl SessionSlot {
    /// Room that is what `held` stands for.
    #[must_use]
    pub fn new(held: impl Send + Sync + 'static) -> Self {
        Self(Some(Box::new(held)))
    }
}

impl std::fmt::Debug for SessionSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionSlot({})", if self.0.is_some() { "held" } else { "none" })
    }
}

/// What is told and asked while an executor is at work. Each method but [`Observer::step`] and [`Observer::commit_point`] has a
/// default for one that observes a login alone.
pub trait Observer: Send + Sync {
    /// Something happened, in words without a secret.
    fn step(&self, text: String);

    /// A secret that the device may show again is about to leave: from now on it is masked in whatever is told.
    fn leaves(&self, _secret: &Secret) {}

    /// The secrets that a run or a login has at hand: from now on they are masked in whatever is told. Returns a masker of all that
    /// is known by now, for what the device says.
    fn learn(&self, known: &Masker) -> Masker {
        known.clone()
    }

    /// A login was let in: the device's clock is looked for no more.
    fn entered(&self) {}

    /// The login that makes the change is done. Returns once that is durable. An executor that does not tell login and change apart
    /// leaves it out.
    fn logged_in(&self) -> Waiting<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// The new password is about to be sent. Returns once that is durable: a crash from here on finds the account as one whose new
    /// password may be in force. An error means that it could not be made durable, and that nothing may be sent.
    fn commit_point(&self) -> Waiting<'_, Result<(), DeviceError>>;

    /// Something is not right about the account besides its password, which is proved.
    fn flaw(&self, _why: &str) {}

    /// The run waits for a person, who is asked for this, in words without a secret.
    fn waits_for_person<'a>(&'a self, _asked: &'a str) -> Waiting<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// It waits no more; why, and who looked into the browser meanwhile.
    fn waited_for_person<'a>(&'a self, _how: &'a str) -> Waiting<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// The attempt's id, where there is one.
    fn attempt(&self) -> Option<Arc<str>> {
        None
    }

    /// What the page looked like when the run failed, as JPEG, without any secret.
    fn picture(&self, _jpeg: Vec<u8>) -> Waiting<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Whether another account may log in for this one, before anything is connected to.
    fn may_help<'a>(&'a self, _account: &'a Account, _role: HelperRole) -> Waiting<'a, Result<(), DeviceError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Room for a session beside others, where there is some now. A login that has its turn with a code takes it.
    fn try_slot(&self) -> Option<SessionSlot> {
        Some(SessionSlot::default())
    }

    /// Waits for room for a session. Nobody who waits for it has a turn with a code.
    fn slot(&self) -> Waiting<'_, SessionSlot> {
        Box::pin(std::future::ready(SessionSlot::default()))
    }

    /// Whether a login may be begun now that it has its turn and its room. An error means that it is held back: nothing is
    /// connected to.
    fn may_connect(&self) -> Result<(), DeviceError> {
        Ok(())
    }

    /// Returns once no login is begun any more, since the daemon stops. Whoever waits for a turn, a code or a connection gives up
    /// then; who is asked for his password goes on.
    fn given_up(&self) -> Waiting<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// Returns once the daemon stops before the commit point, which is then never passed.
    fn cancelled(&self) -> Waiting<'_, ()> {
        Box::pin(std::future::pending())
    }
}

//! Devices over SSH: connecting (through jump hosts too), host keys, logging in, and carrying a template's dialogue.
//!
//! What to say is decided in `dialogue`; here it is carried. No secret leaves before the host key was found good.

mod algorithms;
mod auth;
mod client;
mod codes;
mod error;
mod greeting;
mod heard;
mod hostkeys;
mod risks;
mod shell;
mod ssh;
mod wire;
mod words;

use crate::dialogue::{LoginFormat, Values};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::{AccountName, Masker, Secret};
use crate::policy::{Breaker, Limit};
use crate::template::Text;
use crate::totp::Seed;

pub use codes::{Aim, By, Codes, Turn, WaitsFor};
pub use error::{DeviceError, PromptError};
pub use hostkeys::{HostKeys, KnownHosts};
pub use risks::{Risk, Risks};
pub use shell::{AfterFailure, Person, RunContext, converse, run_template};
pub use ssh::{Hop, Session, Ssh, connect, fetch_host_key};
pub use wire::{Ask, Link, Methods, Opened, Reply, Shell, Stream, Wire};

/// How devices are reached: over which wire, with which codes, at what risk.
#[derive(Clone)]
pub struct Transport {
    /// Carries it.
    pub wire: Arc<dyn Wire>,
    /// Makes codes.
    pub codes: Codes,
    /// Keeps the lockout budget.
    pub risks: Risks,
    /// Holds logins back that nobody waits for, where one after another is refused.
    pub breaker: Arc<Mutex<Breaker>>,
}

impl Transport {
    /// The breaker, for as long as nobody else has it.
    pub fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transport(..)")
    }
}

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

/// What is told and asked while a login or a template runs.
pub trait Watcher: Send + Sync {
    /// Something happened, in words without a secret.
    fn step(&self, text: String);

    /// A secret that the device may show again is about to leave: from now on it is masked in whatever is told.
    fn leaves(&self, _secret: &Secret) {}

    /// The new password is about to be sent. Returns once that is durable.
    ///
    /// # Errors
    /// It could not be made durable: nothing may be sent.
    fn commit_point(&self) -> impl Future<Output = Result<(), DeviceError>> + Send;

    /// Room for a session beside others, where there is some now. A login that has its turn with a code takes it.
    fn try_slot(&self) -> Option<SessionSlot> {
        Some(SessionSlot::default())
    }

    /// Waits for room for a session. Nobody who waits for it has a turn with a code.
    fn slot(&self) -> impl Future<Output = SessionSlot> + Send {
        async { SessionSlot::default() }
    }

    /// Whether a login may be begun now that it has its turn and its room.
    ///
    /// # Errors
    /// It is held back: nothing is connected to.
    fn may_connect(&self) -> Result<(), DeviceError> {
        Ok(())
    }

    /// Returns once no login is begun any more, since the daemon stops. Whoever waits for a turn, a code or a connection gives up
    /// then; who is asked for his password goes on.
    fn given_up(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// What a login needs.
#[derive(Debug, Clone)]
pub struct Login {
    /// The account that logs in.
    pub account: AccountName,
    /// How many logins of it may be refused.
    pub budget: Limit,
    /// Its password.
    pub password: Option<Secret>,
    /// The password to set where the login itself demands a new one.
    pub new_password: Option<Secret>,
    /// Its TOTP seed.
    pub seed: Option<Seed>,
    /// Its private key, in OpenSSH's format.
    pub key: Option<Secret>,
    /// How the device asks for password and code.
    pub format: LoginFormat,
    /// The template's answers to prompts of the login.
    pub prompts: Vec<(Text, Text)>,
    /// Values for the tags in them.
    pub values: Values,
    /// Knows every secret that the account has, for what the device says.
    pub masker: Masker,
    /// Whether the login is to prove the password: where the device asks for one, no key opens it alone.
    pub prove: bool,
    /// Whether codes of another time step are tried, since the device's clock may be off. A login that proves nothing does
    /// so, too, where one of the account was refused of late.
    pub probe: bool,
    /// Whether another device is reached through it: that it is taken tells nothing of what that one does.
    pub leads_on: bool,
    /// Whether the vault is a restored one, and this password may be of the past: then a refusal is no news.
    pub restored: bool,
}

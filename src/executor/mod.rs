//! What an attempt asks of a device: a change and a proof. One executor for each kind of device stands behind it.
//!
//! An executor logs in, runs a template and reads what the device says. It decides nothing about the account: what a refusal or a
//! broken run means for it is decided by `rotation`, from the [`ChangeResult`] or the [`Proof`].

mod contract;
mod error;
mod guards;
mod observer;
mod risks;
mod room;
mod sessions;
pub mod terminal;
mod values;
pub mod web;

pub use contract::{
    ChangeRequest, ChangeResult, Executor, GivenSecrets, Lead, Person, Proof, ProofRequest, ProvedBy, Tried,
};
pub use error::{DeviceError, HELD_BACK, PromptError};
pub use guards::Guards;
pub use observer::{Observer, SessionSlot};
pub use risks::{Risk, Risks};
pub use room::RoomWaits;
pub use sessions::{Open, Sessions};
pub(crate) use values::{Stored, base_values, seed_of};

use crate::config::{Device, Endpoint};
use terminal::Terminal;
use web::Web;

/// The executors, one for each kind of device.
pub struct Executors {
    /// Devices with a terminal, over SSH.
    pub terminal: Terminal,
    /// Web applications, by a browser.
    pub web: Web,
}

impl Executors {
    /// The executor of a device.
    #[must_use]
    pub fn of(&self, device: &Device) -> &dyn Executor {
        match device.endpoint {
            Endpoint::Ssh(_) => &self.terminal,
            Endpoint::Web(_) => &self.web,
        }
    }
}

impl std::fmt::Debug for Executors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Executors(..)")
    }
}

//! The daemon: it performs what the state machine asks, keeps the schedule, and answers signals and the service manager.

mod admission;
mod attempt;
mod batch;
mod conditions;
mod core;
mod enroll;
mod escrow;
mod escrow_health;
mod explain;
mod harden;
mod helpers;
mod limits;
mod line;
mod logging;
mod metrics;
mod overview;
mod recovery;
mod refusals;
mod run;
mod scheduler;
mod secrets;
mod slots;
mod trust;
mod world;

pub use attempt::{
    BrowseRequest, DeviceHas, Opened, Progress, Recorded, Recorder, Request, RotationResult, Trial, Tried, Turned,
};
pub use batch::BatchTask;
pub use core::{Core, StartError};
pub use enroll::{EnrollError, OnDisk};
pub use escrow::{Escrow, InEscrow, open_escrow};
pub use explain::Explanation;
pub use harden::harden;
pub use logging::{LogFormat, init_logging};
pub use overview::{AccountFacts, Overview};
pub(crate) use refusals::Asked;
pub use run::{Signals, run};
pub use scheduler::keep_schedule;
pub use secrets::store;
pub use trust::{ShownKey, TrustError, on_record};
#[cfg(any(test, feature = "sim"))]
pub use world::{Random, Spawn, Witness, World};

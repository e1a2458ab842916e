//! What the daemon touches besides its vault: clocks, the network, randomness, and the executor of its tasks.

use std::sync::Arc;

use crate::clock::{Clock, Waiting};
use crate::executor::terminal::{Connector, Ssh};
use crate::rotation::{Event, Phase};

/// Fills a buffer with random bytes, or says why it cannot.
pub type Random = Arc<dyn Fn(&mut [u8]) -> Result<(), String> + Send + Sync>;

/// Lets a task run beside all others.
pub type Spawn = Arc<dyn Fn(Waiting<'static, ()>) + Send + Sync>;

/// Told of every event that reaches a rotation's state machine, and of the phase that it meets.
pub type Witness = Arc<dyn Fn(Phase, Event) + Send + Sync>;

/// The world around the daemon. The simulator hands in another.
#[derive(Clone)]
pub struct World {
    /// The clocks.
    pub clock: Clock,
    /// How devices with a terminal are reached.
    pub connector: Arc<dyn Connector>,
    /// The source of passwords and ids.
    pub random: Random,
    /// Starts tasks.
    pub spawn: Spawn,
    /// Sees what reaches the state machines.
    pub witness: Witness,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World(..)")
    }
}

impl World {
    /// The system's clocks and random source, SSH, and the tokio runtime at hand.
    #[must_use]
    pub fn real() -> Self {
        Self {
            clock: Clock::new(),
            connector: Arc::new(Ssh),
            random: Arc::new(|bytes| getrandom::fill(bytes).map_err(|error| error.to_string())),
            spawn: Arc::new(|task| drop(tokio::spawn(task))),
            witness: Arc::new(|_, _| {}),
        }
    }
}

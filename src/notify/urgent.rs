//! What the log cannot have, such as that the vault fails: told from memory, beside the worker of a lane, which may be waiting for the vault.

use std::sync::Arc;
use std::time::Duration;

use super::lane::Lane;
use super::message::{Message, Sender};
use super::queue::backoff;
use super::sink::{Blame, Delivery, Failure, deliver};
use super::status::{Shared, lock};
use crate::daemon::Core;

/// A delivery that takes longer is given up, and tried again.
const LONGEST: Duration = Duration::from_secs(120);

/// A task that tells it to one receiver.
pub(super) struct Urgent {
    pub(super) core: Arc<Core>,
    pub(super) lane: Lane,
    pub(super) shared: Arc<Shared>,
    pub(super) sender: Sender,
}

impl Urgent {
    pub(super) async fn run(self) {
        loop {
            self.shared.more_urgent.notified().await;
            self.tell().await;
        }
    }

    /// Tells all that there is.
    async fn tell(&self) {
        let mut tries = 0;
        while let Some(notice) = { lock(&self.shared.urgent).front().cloned() } {
            let message = Message::single(&notice, &self.sender);
            let sent = tokio::time::timeout(LONGEST, deliver(&self.lane.notifier, &[message])).await;
            let late = || Delivery::failed(0, Failure::again(format!("it took more than {} s", LONGEST.as_secs())));
            let (now, label) = (self.core.clock.now().wall_ms, &self.lane.label);
            let Some(failure) = sent.unwrap_or_else(|_| late()).failure else {
                self.shared.took(label, now, None);
                self.shared.done(&notice.event.id(), true);
                tries = 0;
                continue;
            };
            let failures = self.shared.failed(label, now, &failure);
            tries += u32::from(failure.blame != Blame::Receiver);
            if failure.blame.tries().is_some_and(|most| tries >= most) {
                self.shared.done(&notice.event.id(), false);
                tries = 0;
            }
            self.core.clock.sleep(failure.after.unwrap_or_default().max(backoff(&self.lane.key, failures))).await;
        }
    }
}

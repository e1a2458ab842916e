//! Sending: what became of messages, and what follows from it.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::event::Event;
use super::message::Message;
use super::notice::Story;
use super::queue::backoff;
use super::sink::{Delivery, Failure, deliver};
use super::worker::{Covers, Worker};
use crate::model::rfc3339;

/// A delivery that takes longer is given up, and tried again.
const LONGEST: Duration = Duration::from_secs(900);
/// That something was left out is told again after so long, where that is refused too.
const TELL_AGAIN_MS: i64 = 60_000;

impl Worker {
    /// Sends messages, and takes note of what became of them.
    pub(super) async fn send(&mut self, messages: Vec<Message>, covers: Covers) {
        let sent = tokio::time::timeout(LONGEST, deliver(&self.lane.notifier, &messages)).await;
        let late = || Delivery::failed(0, Failure::again(format!("it took more than {} s", LONGEST.as_secs())));
        let Delivery { taken, failure, flaw } = sent.unwrap_or_else(|_| late());
        if taken > 0 {
            (self.retry_ms, self.row.tries) = (None, 0);
            self.taken(&covers, taken).await;
            self.shared.took(&self.lane.label, self.core.clock.now().wall_ms, flaw);
        }
        let Some(failure) = failure else { return };
        let failures = self.shared.failed(&self.lane.label, self.core.clock.now().wall_ms, &failure);
        let wait = failure.after.unwrap_or_default().max(backoff(&self.lane.key, failures));
        let wait = i64::try_from(wait.as_millis()).unwrap_or(0);
        self.retry_ms = Some(self.core.clock.now().since_boot_ms.saturating_add(wait));
        self.count(&covers, taken, &failure).await;
    }

    /// The first so many messages were taken.
    pub(super) async fn taken(&mut self, covers: &Covers, taken: usize) {
        let now = self.core.clock.now();
        match covers {
            Covers::Dropped => {
                (self.row.telling, self.row.telling_first, self.row.telling_last) = (0, 0, 0);
            }
            Covers::Digest(to) => {
                (self.row.digest_seq, self.row.digest_at, self.row.digest_to) = (*to, now.wall_ms, None);
            }
            Covers::Each(seqs) => {
                let Some(last) = taken.checked_sub(1).and_then(|last| seqs.get(last)) else { return };
                self.settle(*last, now.since_boot_ms);
            }
            Covers::UpTo(seq) => self.settle(*seq, now.since_boot_ms),
        }
        self.save().await;
    }

    fn settle(&mut self, seq: u64, now: i64) {
        self.queue.sent(seq, now);
        self.row.sent = if self.queue.is_empty() { self.read.max(seq) } else { seq };
        self.row.claimed = None;
    }

    /// Counts a failure of the message after the first so many, where the message is to blame; after some it is left out.
    async fn count(&mut self, covers: &Covers, taken: usize, failure: &Failure) {
        let Some(most) = failure.blame.tries() else { return };
        // What tells of others is not left out itself: it comes after what follows.
        if matches!(covers, Covers::Dropped) {
            let again = self.core.clock.now().since_boot_ms.saturating_add(TELL_AGAIN_MS);
            self.telling_ms = Some(again.max(self.retry_ms.unwrap_or(0)));
            return;
        }
        self.row.tries = self.row.tries.saturating_add(1);
        if self.row.tries < most {
            return self.save().await;
        }
        self.row.tries = 0;
        self.leave_out(covers, taken, &failure.why).await;
    }

    async fn leave_out(&mut self, covers: &Covers, taken: usize, why: &str) {
        let name = &self.lane.label;
        match covers {
            Covers::Digest(to) => {
                let first = self.row.digest_seq + 1;
                let told = format!(
                    "notifier {name} refuses the digest of the events {first} to {to}, which is left out: {why}"
                );
                tracing::warn!(notifier = %name, "{told}");
                let mut event = Event::outside("notify.dropped", rfc3339(self.core.clock.now().wall_ms), &told);
                let named = format!("digest {} {first} {to}", self.lane.key);
                event.hash = data_encoding::HEXLOWER.encode(&Sha256::digest(named));
                // Whoever reads the messages learns of it: a short one may be taken where a long one is not.
                self.shared.tell(Story::default().take(event));
                self.taken(covers, 1).await;
            }
            Covers::Each(seqs) => {
                if let Some(seq) = seqs.get(taken) {
                    self.queue.give_up(*seq);
                }
            }
            Covers::UpTo(seq) => self.queue.give_up(*seq),
            Covers::Dropped => {}
        }
        self.note_dropped().await;
    }
}

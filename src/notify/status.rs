//! How a notifier stands, and what its tasks share.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::notice::Notice;
use super::sink::{Blame, Failure};
use crate::model::rfc3339;

/// From so many failures on a notifier is in trouble.
const IN_TROUBLE: u32 = 6;
/// What waits beside the log for one notifier at the most.
const URGENT: usize = 10;

/// How a notifier stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkStatus {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// So many notices wait.
    pub backlog: usize,
    /// So many were left out since the daemon started, the backlog being full or the message refused.
    pub dropped: u64,
    /// When a message was last taken, in milliseconds since 1970.
    pub last_success: Option<i64>,
    /// When a message was last not taken.
    pub last_failure: Option<i64>,
    /// Why; or what is not right though it was taken.
    pub last_error: Option<String>,
    /// So many failures one after another.
    pub failures: u32,
}

impl SinkStatus {
    /// The status of a notifier of whose receivers there is one more: what is worst of them.
    pub(super) fn join(&mut self, other: Self) {
        self.backlog = self.backlog.max(other.backlog);
        self.dropped += other.dropped;
        self.last_success = self.last_success.max(other.last_success);
        self.last_failure = self.last_failure.max(other.last_failure);
        self.failures = self.failures.max(other.failures);
        let errors: Vec<String> = self.last_error.take().into_iter().chain(other.last_error).collect();
        self.last_error = (!errors.is_empty()).then(|| errors.join("; "));
    }

    /// What is wrong, where it is in trouble: in a sentence, with what to type.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        if self.failures < IN_TROUBLE {
            return None;
        }
        let since = self.last_success.map_or_else(
            || "it has taken no message since the daemon started".to_owned(),
            |at| format!("it took the last one at {}", rfc3339(at)),
        );
        let why = self.last_error.as_deref().unwrap_or_default();
        let name = super::notice::shell_word(&self.name);
        Some(format!(
            "notifier {} is not told of events ({} wait; {since}): {why}; when that is mended: rotorctl notify test {name}",
            self.name, self.backlog
        ))
    }
}

/// What a notifier's task shares with others.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) status: Mutex<SinkStatus>,
    /// What the log cannot tell.
    pub(super) urgent: Mutex<VecDeque<Notice>>,
    /// There is more of it.
    pub(super) more_urgent: Notify,
    /// The kinds of events that were told from memory, until the log has the same.
    told: Mutex<BTreeSet<String>>,
    /// Something is to be looked at now.
    pub(super) kick: Notify,
}

impl Shared {
    /// Has a notice told from memory. Of many that wait, the oldest go.
    pub(super) fn tell(&self, notice: Notice) {
        let mut urgent = lock(&self.urgent);
        urgent.push_back(notice);
        while urgent.len() > URGENT {
            urgent.pop_front();
        }
        self.more_urgent.notify_one();
    }

    /// The first notice is told or left out, unless others came in its place.
    pub(super) fn done(&self, id: &str, told: bool) {
        let mut urgent = lock(&self.urgent);
        if urgent.front().is_some_and(|first| first.event.id() == id)
            && let Some(notice) = urgent.pop_front().filter(|_| told)
        {
            lock(&self.told).insert(notice.event.event.clone());
        }
    }

    /// Whether an event that the log has only now was told from memory already. What was not told yet is told from the log.
    pub(super) fn told_before(&self, event: &str) -> bool {
        lock(&self.urgent).retain(|notice| notice.event.event != event);
        let mut told = lock(&self.told);
        if event == "vault.works" {
            // What the log was to tell of the trouble did not come into it, and is not waited for any more.
            told.remove("vault.failed");
        }
        told.remove(event)
    }

    /// Takes note of a message that was taken.
    pub(super) fn took(&self, name: &str, now: i64, flaw: Option<String>) {
        let mut status = lock(&self.status);
        if status.failures > 0 {
            tracing::info!(notifier = %name, "notifier {name} takes messages again");
        }
        if let Some(flaw) = flaw.as_ref().filter(|_| flaw != status.last_error) {
            tracing::warn!(notifier = %name, "notifier {name}: {flaw}");
        }
        (status.failures, status.last_success, status.last_error) = (0, Some(now), flaw);
    }

    /// Takes note of a failure; how many there were, one after another.
    pub(super) fn failed(&self, name: &str, now: i64, failure: &Failure) -> u32 {
        let why = &failure.why;
        let mut status = lock(&self.status);
        status.failures = status.failures.saturating_add(1);
        (status.last_failure, status.last_error) = (Some(now), Some(why.clone()));
        // One line as it begins; 'rotorctl notify list' tells the rest.
        if status.failures == 1 {
            let then = if failure.blame == Blame::Never { "is left out" } else { "is sent again" };
            tracing::warn!(notifier = %name, "notifier {name} did not take a message, which {then}: {why}");
        } else {
            tracing::debug!(notifier = %name, "notifier {name} did not take a message: {why}");
        }
        status.failures
    }
}

pub(super) fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::event::Event;
    use super::super::notice::Story;
    use super::*;

    fn notice(event: &str, detail: &str) -> Notice {
        let mut event = Event::outside(event, rfc3339(0), detail);
        event.hash = detail.repeat(16);
        Story::default().take(event)
    }

    #[test]
    fn what_was_told_from_memory_is_not_told_from_the_log_too() {
        let shared = Shared::default();
        let failed = notice("vault.failed", "a");
        shared.tell(failed.clone());
        shared.done(&failed.event.id(), true);
        assert!(!shared.told_before("rotation.failed"));
        assert!(shared.told_before("vault.failed"));
        assert!(!shared.told_before("vault.failed"), "the next time is another one");
    }

    #[test]
    fn what_was_not_told_yet_is_told_from_the_log_alone() {
        let shared = Shared::default();
        let failed = notice("vault.failed", "a");
        shared.tell(failed.clone());
        assert!(!shared.told_before("vault.failed"));
        assert!(lock(&shared.urgent).is_empty());
        // It was on its way, and arrives after all: the next trouble is told all the same.
        shared.done(&failed.event.id(), true);
        assert!(!shared.told_before("vault.failed"));
    }

    #[test]
    fn a_trouble_that_never_came_into_the_log_hides_no_later_one() {
        let shared = Shared::default();
        let failed = notice("vault.failed", "a");
        shared.tell(failed.clone());
        shared.done(&failed.event.id(), true);
        assert!(!shared.told_before("vault.works"));
        assert!(!shared.told_before("vault.failed"));
    }

    #[test]
    fn a_notice_that_is_left_out_was_not_told() {
        let shared = Shared::default();
        let failed = notice("vault.failed", "a");
        shared.tell(failed.clone());
        shared.done(&failed.event.id(), false);
        assert!(lock(&shared.urgent).is_empty() && !shared.told_before("vault.failed"));
    }
}

//! What a notifier has still to send, and when: in whole or folded, with a backlog that is bounded, at a pace that slows down the
//! longer a trouble goes on.

use std::collections::VecDeque;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::notice::Notice;
use crate::model::Urgency;

/// Messages that programs get are sent so many at a time.
const AT_ONCE: usize = 50;
/// Notices that are put into one message.
const FOLDED: usize = 1000;
/// What is critical waits no longer than this for others to be told with it.
const CRITICAL_MS: i64 = 10_000;
/// The longest time between two messages while something goes on.
const LONGEST_MS: i64 = 2 * 3_600_000;
/// The same for what is critical.
const LONGEST_CRITICAL_MS: i64 = 15 * 60_000;
/// Messages are counted for so long.
const COUNTED_MS: i64 = 12 * 3_600_000;

/// How long after a failure it is tried again: a tenth of a second, then twice as long each time, up to five minutes, and up to a fifth less, so that those that
/// failed together do not come back together.
#[must_use]
pub fn backoff(name: &str, failures: u32) -> Duration {
    let longest = 300_000_u64;
    let wait = 100_u64.checked_shl(failures.saturating_sub(1).min(20)).unwrap_or(longest).min(longest);
    let hash = Sha256::digest(format!("{name} {failures}"));
    Duration::from_millis(wait - wait * u64::from(hash[0]) / 1280)
}

/// What was left out: the backlog was full, or it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// How many notices.
    pub count: u64,
    /// The number of the first event.
    pub first: u64,
    /// The number of the last one.
    pub last: u64,
}

impl Dropped {
    /// What a record has of it.
    #[must_use]
    pub fn of(count: u64, first: u64, last: u64) -> Option<Self> {
        (count > 0).then_some(Self { count, first, last })
    }

    /// With one more.
    #[must_use]
    pub fn and(before: Option<Self>, seq: u64) -> Self {
        let before = before.unwrap_or(Self { count: 0, first: seq, last: seq });
        Self { count: before.count + 1, first: before.first.min(seq), last: before.last.max(seq) }
    }
}

/// A notice, and when it was read.
#[derive(Debug)]
struct Waiting {
    notice: Notice,
    read_ms: i64,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Send these: each by itself.
    Each(Vec<Notice>),
    /// Send all up to this number as one message. The number is to be durable before.
    Together(u64),
    /// Nothing before this time, or before something new is read.
    Wait(Option<i64>),
}

/// What waits for one notifier. Times are milliseconds of a clock that nobody can set.
#[derive(Debug)]
pub struct Queue {
    /// Zero: each notice is a message of its own.
    fold_ms: i64,
    most: usize,
    waiting: VecDeque<Waiting>,
    /// When messages were sent, lately.
    sent: VecDeque<i64>,
    /// A message whose end is durable: it is the same until it is sent.
    claimed: Option<u64>,
    dropped: Option<Dropped>,
}

impl Queue {
    /// Nothing waits, but what was claimed and dropped before.
    #[must_use]
    pub fn new(fold: Duration, most: usize, claimed: Option<u64>, dropped: Option<Dropped>) -> Self {
        let fold_ms = i64::try_from(fold.as_millis()).unwrap_or(i64::MAX);
        Self { fold_ms, most, waiting: VecDeque::new(), sent: VecDeque::new(), claimed, dropped }
    }

    /// Whether notices are told as they come, each by itself; else those that repeat are left out.
    #[must_use]
    pub fn tells_each(&self) -> bool {
        self.fold_ms == 0
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What was left out and not told of yet.
    #[must_use]
    pub fn dropped(&self) -> Option<Dropped> {
        self.dropped
    }

    /// It is being told of: what is left out from now on is told of by itself.
    pub fn tell_of_dropped(&mut self) -> Option<Dropped> {
        self.dropped.take()
    }

    /// The message whose end is durable.
    #[must_use]
    pub fn claimed(&self) -> Option<u64> {
        self.claimed
    }

    /// The end of the next message is durable.
    pub fn claim(&mut self, seq: u64) {
        self.claimed = Some(seq);
    }

    /// One more notice waits. Where there are too many, the oldest is left out; with it the whole message that is claimed, which
    /// would be another one under the same number.
    pub fn push(&mut self, notice: Notice, now_ms: i64) {
        self.waiting.push_back(Waiting { notice, read_ms: now_ms });
        while self.waiting.len() > self.most {
            let Some(oldest) = self.waiting.front().map(|waiting| waiting.notice.event.seq) else { break };
            self.give_up(self.claimed.filter(|claimed| *claimed >= oldest).unwrap_or(oldest));
        }
    }

    /// The notices up to a number.
    #[must_use]
    pub fn up_to(&self, seq: u64) -> Vec<Notice> {
        self.waiting
            .iter()
            .map(|waiting| &waiting.notice)
            .take_while(|notice| notice.event.seq <= seq)
            .cloned()
            .collect()
    }

    /// All up to a number are sent, as messages of this number.
    pub fn sent(&mut self, seq: u64, now_ms: i64) {
        while self.waiting.front().is_some_and(|waiting| waiting.notice.event.seq <= seq) {
            self.waiting.pop_front();
        }
        self.claimed = None;
        self.sent.push_back(now_ms);
        while self.sent.len() > 64 || self.sent.front().is_some_and(|sent| now_ms - sent > COUNTED_MS) {
            self.sent.pop_front();
        }
    }

    /// The refused message of this number goes, and is counted as dropped.
    pub fn give_up(&mut self, seq: u64) {
        while let Some(first) = self.waiting.front().filter(|waiting| waiting.notice.event.seq <= seq) {
            self.dropped = Some(Dropped::and(self.dropped, first.notice.event.seq));
            self.waiting.pop_front();
        }
        self.claimed = None;
    }

    /// What to do now.
    #[must_use]
    pub fn next(&self, now_ms: i64) -> Next {
        if let Some(claimed) = self.claimed {
            return Next::Together(claimed);
        }
        let Some(oldest) = self.waiting.front() else { return Next::Wait(None) };
        if self.tells_each() {
            return Next::Each(self.waiting.iter().take(AT_ONCE).map(|waiting| waiting.notice.clone()).collect());
        }
        let urgent = self.waiting.iter().find(|waiting| waiting.notice.urgency == Urgency::Critical);
        let due = urgent
            .map_or(i64::MAX, |urgent| self.due(urgent.read_ms, self.fold_ms.min(CRITICAL_MS), LONGEST_CRITICAL_MS));
        let due = due.min(self.due(oldest.read_ms, self.fold_ms, LONGEST_MS));
        let last = self.waiting.iter().take(FOLDED).next_back().map_or(0, |waiting| waiting.notice.event.seq);
        if due <= now_ms { Next::Together(last) } else { Next::Wait(Some(due)) }
    }

    /// When something that was read then is due: after a while for others to come, and after a pause that doubles with each message of
    /// the last hours.
    fn due(&self, read_ms: i64, fold_ms: i64, longest_ms: i64) -> i64 {
        let Some(last) = self.sent.back() else { return read_ms.saturating_add(fold_ms) };
        let doublings = u32::try_from(self.sent.len()).unwrap_or(u32::MAX).min(20);
        let pause = fold_ms.saturating_mul(1 << doublings).min(longest_ms.max(fold_ms));
        read_ms.saturating_add(fold_ms).max(last.saturating_add(pause))
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::notices;
    use super::*;

    const MINUTE: i64 = 60_000;

    fn queue(fold: u64, most: usize) -> Queue {
        Queue::new(Duration::from_secs(fold), most, None, None)
    }

    #[test]
    fn a_failure_is_followed_by_longer_and_longer_waits_that_are_bounded() {
        let waits: Vec<u64> =
            (1..40).map(|failures| u64::try_from(backoff("slack", failures).as_millis()).unwrap()).collect();
        for (index, wait) in waits.iter().enumerate() {
            let whole = (100_u64 << index.min(20)).min(300_000);
            assert!((whole * 4 / 5..=whole).contains(wait), "{index}: {wait}");
        }
        assert_ne!(backoff("slack", 9), backoff("mail", 9), "not all at once");
    }

    #[test]
    fn what_programs_get_is_sent_at_once_each_by_itself_and_in_order() {
        let mut queue = queue(0, 1000);
        let all = notices(&[("rotation.done", "web1/a", ""); 120]);
        all.iter().for_each(|notice| queue.push(notice.clone(), 0));
        let Next::Each(first) = queue.next(0) else { panic!() };
        assert_eq!((first.len(), &first[..]), (AT_ONCE, &all[..AT_ONCE]));
        queue.sent(first[9].event.seq, 0);
        let Next::Each(second) = queue.next(0) else { panic!() };
        assert_eq!(second[0].event.seq, 11, "what was not sent comes again");
    }

    #[test]
    fn what_people_get_waits_for_its_like_and_what_is_critical_hardly() {
        let mut queue = queue(120, 1000);
        assert_eq!(queue.next(0), Next::Wait(None));
        let all = notices(&[
            ("rotation.failed", "web1/a", ""),
            ("rotation.failed", "web1/b", ""),
            ("account.quarantined", "web1/c", ""),
        ]);
        queue.push(all[0].clone(), 1000);
        assert_eq!(queue.next(1000), Next::Wait(Some(121_000)));
        queue.push(all[1].clone(), 100_000);
        assert_eq!(queue.next(121_000), Next::Together(2));
        queue.push(all[2].clone(), 101_000);
        assert_eq!(queue.next(101_000), Next::Wait(Some(111_000)));
        assert_eq!(queue.next(111_000), Next::Together(3));
        queue.claim(2);
        assert_eq!(queue.next(0), Next::Together(2), "what was claimed stays so");
        assert_eq!(queue.up_to(2).len(), 2);
        queue.sent(2, 121_000);
        assert_eq!((queue.len(), queue.claimed()), (1, None));
    }

    #[test]
    fn a_trouble_that_grows_all_night_is_few_messages() {
        let mut queue = queue(120, 10_000);
        let names: Vec<String> = (0..480).map(|number| format!("sw{number}/admin")).collect();
        let events: Vec<_> = names.iter().map(|name| ("rotation.failed", name.as_str(), "")).collect();
        let (all, mut messages) = (notices(&events), 0);
        for (minute, notice) in all.iter().enumerate() {
            let now = i64::try_from(minute).unwrap() * MINUTE;
            queue.push(notice.clone(), now);
            if let Next::Together(seq) = queue.next(now) {
                messages += 1;
                queue.sent(seq, now);
            }
        }
        assert!((5..=9).contains(&messages), "{messages}");
    }

    #[test]
    fn a_full_backlog_leaves_out_the_oldest_and_says_which() {
        let mut queue = queue(0, 10);
        notices(&[("rotation.done", "web1/a", ""); 25]).into_iter().for_each(|notice| queue.push(notice, 0));
        assert_eq!(queue.dropped(), Some(Dropped { count: 15, first: 1, last: 15 }));
        assert_eq!(queue.len(), 10);
        queue.give_up(16);
        assert_eq!(queue.dropped(), Some(Dropped { count: 16, first: 1, last: 16 }));
        assert_eq!(queue.tell_of_dropped(), Some(Dropped { count: 16, first: 1, last: 16 }));
        assert_eq!(queue.dropped(), None);
        queue.give_up(17);
        assert_eq!(queue.dropped(), Some(Dropped { count: 1, first: 17, last: 17 }), "told of by itself");
    }

    #[test]
    fn a_message_that_is_on_its_way_is_left_out_whole() {
        let mut queue = queue(120, 10);
        let all = notices(&[("rotation.failed", "web1/a", ""); 12]);
        all[..10].iter().for_each(|notice| queue.push(notice.clone(), 0));
        queue.claim(4);
        queue.push(all[10].clone(), 0);
        assert_eq!((queue.dropped(), queue.len()), (Some(Dropped { count: 4, first: 1, last: 4 }), 7));
        assert_eq!(queue.claimed(), None);
    }
}

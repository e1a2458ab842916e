//! The task of one notifier, or of one address of mail: it reads the log from its number on, in pieces, and sends what is due.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::digest::{Digest, Due, next_digest};
use super::event::Event;
use super::filter::passes;
use super::lane::Lane;
use super::message::{Message, Sender};
use super::notice::Story;
use super::queue::{Dropped, Next, Queue};
use super::status::{Shared, lock};
use crate::audit::events_after;
use crate::config::NotifyFilter;
use crate::daemon::Core;
use crate::model::{Urgency, rfc3339};
use crate::vault::NotifierRow;

/// Events that are read at a time.
const PIECE: usize = 500;
/// So many events before the first one that is to be told are read, to know what repeats.
const BEFORE: u64 = 5000;
/// A number is saved after so many events of which none was to be told.
const UNSAVED: u64 = 1000;
/// No wait is longer: the wall clock, by which a digest is due, may be set meanwhile.
const LOOK: Duration = Duration::from_secs(30);
/// Passwords that are due within this time are in the digest.
const SOON_MS: i64 = 7 * 86_400_000;

/// What a message covers.
pub(super) enum Covers {
    /// That something was left out.
    Dropped,
    /// Notices of the queue, each by itself: the numbers of their events.
    Each(Vec<u64>),
    /// All up to a number.
    UpTo(u64),
    /// A digest up to a number.
    Digest(u64),
}

/// One lane at work.
pub(super) struct Worker {
    pub(super) core: Arc<Core>,
    pub(super) lane: Lane,
    pub(super) shared: Arc<Shared>,
    sender: Sender,
    stop: watch::Receiver<bool>,
    /// The number of the last event in the log's file.
    appended: watch::Receiver<u64>,
    pub(super) queue: Queue,
    story: Story,
    /// All up to here was read.
    pub(super) read: u64,
    pub(super) row: NotifierRow,
    /// Nothing is sent before this, by the clock that nobody can set.
    pub(super) retry_ms: Option<i64>,
    /// That something was left out is not told before this: it was refused too, and what follows comes first.
    pub(super) telling_ms: Option<i64>,
}

impl Worker {
    pub(super) fn new(
        core: Arc<Core>,
        lane: Lane,
        shared: Arc<Shared>,
        sender: Sender,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let queue = Queue::new(lane.notifier.fold, lane.notifier.backlog, None, None);
        let appended = core.vault.appended();
        let (story, row) = (Story::default(), NotifierRow::default());
        Self {
            core,
            lane,
            shared,
            sender,
            stop,
            appended,
            queue,
            story,
            read: 0,
            row,
            retry_ms: None,
            telling_ms: None,
        }
    }

    /// Works until it is told to stop.
    pub(super) async fn run(mut self) {
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            // What is under way is given up: the same message is sent again, with the same id.
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.work() => {}
        }
    }

    async fn work(&mut self) {
        while !self.begin().await {
            self.core.clock.sleep(Duration::from_secs(5)).await;
        }
        loop {
            if self.read_on().await {
                self.save_progress().await;
            }
            self.show();
            let now = self.core.clock.now().since_boot_ms;
            let wait = match self.retry_ms.filter(|retry| *retry > now) {
                Some(retry) => Some(retry),
                None => match self.next(now).await {
                    Some((messages, covers)) => {
                        self.send(messages, covers).await;
                        continue;
                    }
                    None => None,
                },
            };
            self.wait(wait, now).await;
        }
    }

    /// Waits until something is read, due, or to be looked at.
    async fn wait(&mut self, until_ms: Option<i64>, now: i64) {
        let due = match self.queue.next(now) {
            Next::Wait(due) => due,
            _ => None,
        };
        let until = until_ms.or(due);
        let wait = until.map_or(LOOK, |until| Duration::from_millis(u64::try_from(until - now).unwrap_or(0)));
        let wait = wait.min(self.until_digest());
        tokio::select! {
            () = self.shared.kick.notified() => (self.retry_ms, self.telling_ms) = (None, None),
            // While a receiver is left alone, what is new is read when it is tried again. The vault ends with the daemon.
            Ok(()) = self.appended.changed(), if until_ms.is_none() => {}
            () = self.core.clock.sleep(wait.min(LOOK)) => {}
        }
    }

    /// Loads how far it is; where it is new, it begins with what comes now. `false` where the vault does not answer.
    async fn begin(&mut self) -> bool {
        let (name, now) = (self.lane.key.clone(), self.core.clock.now().wall_ms);
        let loaded = self.core.vault.call(move |tx| {
            let (head, _) = tx.audit_head()?;
            let row = match tx.notifier(&name)? {
                // A log that was cut is told from where it goes on.
                Some(row) => NotifierRow {
                    sent: row.sent.min(head),
                    claimed: row.claimed.filter(|claimed| *claimed <= head),
                    digest_seq: row.digest_seq.min(head),
                    digest_to: row.digest_to.filter(|to| *to <= head),
                    ..row
                },
                None => {
                    let row = NotifierRow { sent: head, digest_seq: head, digest_at: now, ..NotifierRow::default() };
                    tx.save_notifier(&name, &row)?;
                    row
                }
            };
            Ok(row)
        });
        let row = match loaded.await {
            Ok(row) => row,
            Err(error) => {
                tracing::warn!(notifier = %self.lane.label, %error, "notifier {}: {error}", self.lane.label);
                return false;
            }
        };
        let dropped = Dropped::of(row.dropped, row.dropped_first, row.dropped_last);
        self.queue = Queue::new(self.lane.notifier.fold, self.lane.notifier.backlog, row.claimed, dropped);
        (self.read, self.row) = (row.sent, row);
        // What was told before makes what comes now a repeat.
        let mut at = row.sent.saturating_sub(BEFORE);
        while at < row.sent {
            let events = self.piece(at).await;
            let Some(last) = events.last().map(|event| event.seq) else { break };
            for event in events.into_iter().filter(|event| event.seq <= row.sent) {
                self.story.take(event);
            }
            at = last;
        }
        true
    }

    /// The next events of the log after a number.
    async fn piece(&self, after: u64) -> Vec<Event> {
        let folder = self.core.vault.audit_folder().to_owned();
        let read = tokio::task::spawn_blocking(move || events_after(&folder, after, PIECE)).await;
        match read {
            Ok(Ok(lines)) => lines.into_iter().filter_map(Event::of).collect(),
            Ok(Err(error)) => {
                lock(&self.shared.status).last_error = Some(format!("the audit log cannot be read: {error}"));
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    /// Reads what is new; whether anything was.
    async fn read_on(&mut self) -> bool {
        let begin = self.read;
        while *self.appended.borrow_and_update() > self.read {
            let events = self.piece(self.read).await;
            let Some(last) = events.last().map(|event| event.seq) else { break };
            let now = self.core.clock.now().since_boot_ms;
            for event in events {
                let told = self.shared.told_before(&event.event);
                let notice = self.story.take(event);
                if !told && passes(&self.lane.notifier.filter, &notice) && (self.queue.tells_each() || !notice.repeats)
                {
                    self.queue.push(notice, now);
                }
            }
            self.read = last;
            // While a receiver is dead this is all that is done.
            if self.queue.dropped() != self.dropped_of_row() {
                self.note_dropped().await;
            }
        }
        self.read > begin
    }

    fn dropped_of_row(&self) -> Option<Dropped> {
        Dropped::of(self.row.dropped, self.row.dropped_first, self.row.dropped_last)
    }

    /// Takes over what was left out.
    pub(super) async fn note_dropped(&mut self) {
        let Dropped { count, first, last } = self.queue.dropped().unwrap_or(Dropped { count: 0, first: 0, last: 0 });
        let more = count.saturating_sub(self.row.dropped);
        lock(&self.shared.status).dropped += more;
        (self.row.dropped, self.row.dropped_first, self.row.dropped_last) = (count, first, last);
        // What was left out need not be read again.
        (self.row.sent, self.row.claimed) = (self.row.sent.max(last), self.queue.claimed());
        self.save().await;
    }

    /// What was left out and is to be told of now; from here on that message is the same until it is taken.
    async fn telling(&mut self, now: i64) -> Option<Dropped> {
        if self.telling_ms.is_some_and(|before| before > now) {
            return None;
        }
        let row = &self.row;
        if let Some(telling) = Dropped::of(row.telling, row.telling_first, row.telling_last) {
            return Some(telling);
        }
        let dropped = self.queue.tell_of_dropped()?;
        let row = &mut self.row;
        (row.telling, row.telling_first, row.telling_last) = (dropped.count, dropped.first, dropped.last);
        (row.dropped, row.dropped_first, row.dropped_last) = (0, 0, 0);
        self.save().await;
        Some(dropped)
    }

    async fn save_progress(&mut self) {
        if self.queue.is_empty() && self.read >= self.row.sent + UNSAVED {
            self.row.sent = self.read;
            self.save().await;
        }
    }

    /// Makes durable how far it is. Where that fails, the same is sent again after a crash, with the same id.
    pub(super) async fn save(&self) {
        let (name, row) = (self.lane.key.clone(), self.row);
        let saved = tokio::select! {
            saved = self.core.vault.call(move |tx| tx.save_notifier(&name, &row)) => {
                saved.map_err(|error| error.to_string())
            }
            // It is saved once the vault answers. What is known meanwhile is told.
            why = self.core.vault_hangs() => Err(why),
        };
        if let Err(error) = saved {
            tracing::debug!(notifier = %self.lane.label, %error, "how far a notifier is, is not saved");
        }
    }

    fn show(&self) {
        lock(&self.shared.status).backlog = self.queue.len();
    }

    /// What is to be sent now.
    async fn next(&mut self, now: i64) -> Option<(Vec<Message>, Covers)> {
        if let Some(dropped) = self.telling(now).await {
            return Some((vec![self.told_of(dropped)], Covers::Dropped));
        }
        if let Some(to) = self.digest_due().await
            && let Some(digest) = self.digest(to).await
        {
            return Some((vec![digest], Covers::Digest(to)));
        }
        match self.queue.next(now) {
            Next::Wait(_) => None,
            Next::Each(notices) => {
                let messages = notices.iter().map(|notice| Message::single(notice, &self.sender)).collect();
                Some((messages, Covers::Each(notices.iter().map(|notice| notice.event.seq).collect())))
            }
            // What was claimed before a crash is read first.
            Next::Together(seq) if seq > self.read => None,
            Next::Together(seq) => {
                if self.queue.claimed().is_none() {
                    self.queue.claim(seq);
                    self.row.claimed = Some(seq);
                    self.save().await;
                }
                let notices = self.queue.up_to(seq);
                if notices.is_empty() {
                    self.taken(&Covers::UpTo(seq), 1).await;
                    return None;
                }
                let wall = self.core.clock.now().wall_ms;
                Some((vec![Message::of(&notices, &self.sender, wall)], Covers::UpTo(seq)))
            }
        }
    }

    /// The message that something was left out.
    fn told_of(&self, dropped: Dropped) -> Message {
        let Dropped { count, first, last } = dropped;
        let detail = format!(
            "{count} notices of the events {first} to {last} were not sent to notifier {}: its backlog was full, or it refused them",
            self.lane.label
        );
        let mut event = Event::outside("notify.dropped", rfc3339(self.core.clock.now().wall_ms), &detail);
        // No event is left out twice, so that the first and the last one name the message for good.
        let named = format!("dropped {} {first} {last}", self.lane.key);
        event.hash = data_encoding::HEXLOWER.encode(&Sha256::digest(named));
        Message::single(&Story::default().take(event), &self.sender)
    }

    /// How long until a digest is due, by the wall clock. One that is due already waits for something else.
    fn until_digest(&self) -> Duration {
        let Some(time) = self.lane.notifier.digest else { return LOOK };
        let left = next_digest(self.row.digest_at, time, self.sender.zone) - self.core.clock.now().wall_ms;
        u64::try_from(left).ok().filter(|left| *left > 0).map_or(LOOK, Duration::from_millis)
    }

    /// The number up to which a digest is due now.
    async fn digest_due(&mut self) -> Option<u64> {
        let time = self.lane.notifier.digest?;
        if let Some(to) = self.row.digest_to {
            return Some(to);
        }
        let now = self.core.clock.now().wall_ms;
        // A clock that was set back by more than a day would keep it away for as long.
        if self.row.digest_at > now + 86_400_000 {
            self.row.digest_at = now;
        }
        if next_digest(self.row.digest_at, time, self.sender.zone) > now {
            return None;
        }
        let to = self.read.max(self.row.digest_seq);
        self.row.digest_to = Some(to);
        self.save().await;
        Some(to)
    }

    /// The digest up to a number; none where the log cannot be read up to there now.
    async fn digest(&self, to: u64) -> Option<Message> {
        let filter = NotifyFilter { severity: Urgency::Info, ..self.lane.notifier.filter.clone() };
        let (mut digest, mut story, mut at) = (Digest::default(), Story::default(), self.row.digest_seq);
        while at < to {
            let events = self.piece(at).await;
            let last = events.last().map(|event| event.seq)?;
            for event in events.into_iter().filter(|event| event.seq <= to) {
                let notice = story.take(event);
                if passes(&filter, &notice) {
                    digest.take(&notice);
                }
            }
            at = last;
        }
        let now = self.core.clock.now().wall_ms;
        let id = format!("digest-{}-{to}", self.row.digest_seq + 1);
        Some(digest.message(id, &self.due(now).await, &self.sender, now))
    }

    /// The passwords that are due soon, the first one first.
    async fn due(&self, now: i64) -> Vec<Due> {
        let config = self.core.config();
        if config.accounts.values().all(|account| account.policy.max_age.is_none()) {
            return Vec::new();
        }
        let Ok(rows) = self.core.vault.call(|tx| tx.accounts()).await else { return Vec::new() };
        let mut due: Vec<Due> = rows
            .into_iter()
            .filter_map(|row| {
                let name = crate::model::AccountName::parse(&row.name).ok()?;
                let age = config.accounts.get(&name)?.policy.max_age?;
                let at_ms = row.last_change?.saturating_add(i64::try_from(age.as_millis()).ok()?);
                (at_ms <= now + SOON_MS).then(|| Due { account: row.name.to_string(), at_ms })
            })
            .collect();
        due.sort_by(|a, b| a.at_ms.cmp(&b.at_ms).then_with(|| a.account.cmp(&b.account)));
        due
    }
}

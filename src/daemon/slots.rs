//! Sessions that may be open at once, and the line of those who wait for one: first those whose new password has been sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How soon somebody in the line has to come to his session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// In the order of those who ask.
    Usual,
    /// Before all others: a new password was sent, and a login is to prove it.
    Sent,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    woken: Arc<Notify>,
}

#[derive(Debug)]
struct Line {
    most: usize,
    used: usize,
    tickets: u64,
    sent: VecDeque<Waiter>,
    usual: VecDeque<Waiter>,
}

impl Line {
    fn queue(&mut self, urgency: Urgency) -> &mut VecDeque<Waiter> {
        match urgency {
            Urgency::Usual => &mut self.usual,
            Urgency::Sent => &mut self.sent,
        }
    }

    /// Those who come before one who joins the line now, and those who have a session.
    fn ahead(&self, urgency: Urgency) -> usize {
        let usual = if urgency == Urgency::Usual { self.usual.len() } else { 0 };
        self.used + self.sent.len() + usual
    }

    fn head(&self) -> Option<&Waiter> {
        self.sent.front().or(self.usual.front())
    }

    /// Wakes whoever is to have the next session, where there is one.
    fn wake_head(&self) {
        if self.used < self.most
            && let Some(head) = self.head()
        {
            head.woken.notify_one();
        }
    }
}

/// A number of sessions that may be open at once.
#[derive(Debug, Clone)]
pub(super) struct Slots(Arc<Mutex<Line>>);

/// One of them, given back when dropped.
#[derive(Debug)]
pub(super) struct Slot(Slots);

impl Drop for Slot {
    fn drop(&mut self) {
        let mut line = self.0.lock();
        line.used -= 1;
        line.wake_head();
    }
}

/// A place in the line, left when dropped.
struct Place {
    slots: Slots,
    urgency: Urgency,
    ticket: u64,
}

impl Place {
    /// The session, where this place is the first in the line and there is one.
    fn enter(&self) -> Option<Slot> {
        let mut line = self.slots.lock();
        if line.used >= line.most || line.head().is_none_or(|head| head.ticket != self.ticket) {
            return None;
        }
        line.queue(self.urgency).pop_front();
        line.used += 1;
        Some(Slot(self.slots.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut line = self.slots.lock();
        let ticket = self.ticket;
        let queue = line.queue(self.urgency);
        let at = queue.partition_point(|waiter| waiter.ticket < ticket);
        if queue.get(at).is_some_and(|waiter| waiter.ticket == ticket) {
            queue.remove(at);
        }
        line.wake_head();
    }
}

impl Slots {
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Mutex::new(Line { most, used: 0, tickets: 0, sent: VecDeque::new(), usual: VecDeque::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on so many may be open; those that are stay open.
    pub(super) fn resize(&self, most: usize) {
        let mut line = self.lock();
        if line.most != most {
            line.most = most;
            line.wake_head();
        }
    }

    /// A session, where one is free and nobody waits for it who comes before.
    pub(super) fn try_take(&self, urgency: Urgency) -> Option<Slot> {
        let mut line = self.lock();
        if line.used >= line.most || line.ahead(urgency) > line.used {
            return None;
        }
        line.used += 1;
        Some(Slot(self.clone()))
    }

    /// Waits for a session. `waiting` is told how many are ahead, where it has to wait.
    pub(super) async fn take(&self, urgency: Urgency, waiting: impl Fn(usize)) -> Slot {
        if let Some(slot) = self.try_take(urgency) {
            return slot;
        }
        let woken = Arc::new(Notify::new());
        let (place, ahead) = {
            let mut line = self.lock();
            let (ticket, ahead) = (line.tickets, line.ahead(urgency));
            line.tickets += 1;
            line.queue(urgency).push_back(Waiter { ticket, woken: woken.clone() });
            // One may have come free since.
            line.wake_head();
            (Place { slots: self.clone(), urgency, ticket }, ahead)
        };
        waiting(ahead);
        loop {
            woken.notified().await;
            if let Some(slot) = place.enter() {
                return slot;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Who joins the line, and how many were ahead of him.
    fn joins(slots: &Slots, urgency: Urgency) -> (tokio::task::JoinHandle<Slot>, Arc<AtomicUsize>) {
        let (slots, ahead) = (slots.clone(), Arc::new(AtomicUsize::new(0)));
        let told = ahead.clone();
        let task = tokio::spawn(async move { slots.take(urgency, |ahead| told.store(ahead, Ordering::SeqCst)).await });
        (task, ahead)
    }

    #[tokio::test]
    async fn who_has_sent_a_new_password_comes_first_and_others_in_their_order() {
        let slots = Slots::new(1);
        let held = slots.take(Urgency::Usual, |_| panic!("one is free")).await;
        let (first, ahead) = joins(&slots, Urgency::Usual);
        tokio::task::yield_now().await;
        assert_eq!(ahead.load(Ordering::SeqCst), 1);
        let (second, ahead) = joins(&slots, Urgency::Usual);
        tokio::task::yield_now().await;
        assert_eq!(ahead.load(Ordering::SeqCst), 2);
        let (sent, ahead) = joins(&slots, Urgency::Sent);
        tokio::task::yield_now().await;
        assert_eq!(ahead.load(Ordering::SeqCst), 1);
        drop(held);
        let held = sent.await.unwrap();
        assert!(!first.is_finished() && slots.try_take(Urgency::Sent).is_none());
        drop(held);
        let held = first.await.unwrap();
        assert!(!second.is_finished());
        drop(held);
        drop(second.await.unwrap());
        assert!(slots.try_take(Urgency::Usual).is_some());
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_line_and_passes_on_what_he_was_given() {
        let slots = Slots::new(1);
        let held = slots.take(Urgency::Usual, |_| ()).await;
        let (first, _) = joins(&slots, Urgency::Usual);
        tokio::task::yield_now().await;
        let (second, _) = joins(&slots, Urgency::Usual);
        tokio::task::yield_now().await;
        // It is woken, and has not run since.
        drop(held);
        first.abort();
        assert!(first.await.is_err());
        drop(second.await.unwrap());
        slots.resize(2);
        let both = (slots.try_take(Urgency::Usual), slots.try_take(Urgency::Usual));
        assert!(both.0.is_some() && both.1.is_some() && slots.try_take(Urgency::Usual).is_none());
        slots.resize(1);
        drop(both.0);
        assert!(slots.try_take(Urgency::Usual).is_none(), "one is open still");
    }
}

//! A deterministic executor: one thread, virtual time, and the order of what is ready drawn from a seed.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::random::Random;
use crate::clock::Waiting;

pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What happens at an instant without a task: a call reaches the vault, a fault begins.
pub(super) type Happening = Box<dyn FnOnce() + Send>;

enum Due {
    Wake(Arc<Mutex<Timer>>),
    Happen(Happening),
}

#[derive(Default)]
struct Timer {
    fired: bool,
    waker: Option<Waker>,
}

struct Entry {
    at: i64,
    number: u64,
    due: Due,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[derive(Default)]
struct Inner {
    now: i64,
    number: u64,
    agenda: BinaryHeap<Reverse<Entry>>,
    spawned: Vec<Waiting<'static, ()>>,
    /// No task runs any more until the tasks are dropped.
    halted: bool,
    /// Tasks polled and happenings run.
    turns: u64,
}

/// More turns than any history needs: one that takes them all runs in a circle.
const TURNS: u64 = 3_000_000;

/// Virtual time and who waits for it. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Loop {
    inner: Arc<Mutex<Inner>>,
    ready: Arc<Mutex<BTreeSet<usize>>>,
}

struct Task {
    id: usize,
    ready: Arc<Mutex<BTreeSet<usize>>>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        lock(&self.ready).insert(self.id);
    }
}

impl Loop {
    /// Milliseconds of true time since the history began.
    pub(super) fn now(&self) -> i64 {
        lock(&self.inner).now
    }

    fn enter(&self, at: i64, due: Due) {
        let mut inner = lock(&self.inner);
        inner.number += 1;
        let entry = Entry { at: at.max(inner.now), number: inner.number, due };
        inner.agenda.push(Reverse(entry));
    }

    /// Something happens in `after` milliseconds.
    pub(super) fn later(&self, after: i64, happening: impl FnOnce() + Send + 'static) {
        let at = self.now().saturating_add(after);
        self.enter(at, Due::Happen(Box::new(happening)));
    }

    pub(super) fn sleep(&self, ms: i64) -> Sleep {
        let timer = Arc::new(Mutex::new(Timer::default()));
        self.enter(self.now().saturating_add(ms), Due::Wake(timer.clone()));
        Sleep(timer)
    }

    pub(super) fn spawn(&self, task: Waiting<'static, ()>) {
        lock(&self.inner).spawned.push(task);
    }

    /// Lets nothing run any more: a crash.
    pub(super) fn halt(&self) {
        lock(&self.inner).halted = true;
    }

    pub(super) fn is_halted(&self) -> bool {
        lock(&self.inner).halted
    }

    fn takes_turn(&self) -> bool {
        let mut inner = lock(&self.inner);
        let may = !inner.halted && inner.turns < TURNS;
        inner.turns += u64::from(may);
        may
    }

    /// Whether the history runs in a circle. Nothing runs any more then.
    pub(super) fn is_spent(&self) -> bool {
        lock(&self.inner).turns >= TURNS
    }

    /// Runs tasks and happenings until `until`, a halt, or until `done` says so; never longer than a history may take.
    pub(super) fn run(&self, tasks: &mut Tasks, until: i64, random: &mut Random, done: impl Fn() -> bool) {
        loop {
            let spawned = std::mem::take(&mut lock(&self.inner).spawned);
            for task in spawned {
                tasks.add(self, task);
            }
            if !self.takes_turn() {
                return;
            }
            let next = {
                let mut ready = lock(&self.ready);
                let place = random.below(ready.len().max(1));
                let id = ready.iter().nth(place).copied();
                if let Some(id) = id {
                    ready.remove(&id);
                }
                id
            };
            if let Some(id) = next {
                tasks.poll(id);
                continue;
            }
            if done() {
                return;
            }
            let due = {
                let mut inner = lock(&self.inner);
                match inner.agenda.peek() {
                    Some(Reverse(entry)) if entry.at <= until => {
                        inner.now = entry.at.max(inner.now);
                        inner.agenda.pop().map(|Reverse(entry)| entry.due)
                    }
                    _ => {
                        inner.now = until.max(inner.now);
                        return;
                    }
                }
            };
            match due {
                Some(Due::Wake(timer)) => {
                    let waker = {
                        let mut timer = lock(&timer);
                        timer.fired = true;
                        timer.waker.take()
                    };
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                }
                Some(Due::Happen(happening)) => happening(),
                None => {}
            }
        }
    }

    /// Forgets what was to happen: it holds on to the world.
    pub(super) fn forget(&self) {
        let mut inner = lock(&self.inner);
        let (agenda, spawned) = (std::mem::take(&mut inner.agenda), std::mem::take(&mut inner.spawned));
        drop(inner);
        drop((agenda, spawned));
    }

    /// After a crash: all tasks are gone, and so is what they waited for; what happens in the world still does.
    pub(super) fn bury(&self, tasks: &mut Tasks) {
        tasks.0.clear();
        let mut inner = lock(&self.inner);
        inner.spawned.clear();
        inner.halted = false;
        let agenda = std::mem::take(&mut inner.agenda);
        inner.agenda = agenda.into_iter().filter(|Reverse(entry)| matches!(entry.due, Due::Happen(_))).collect();
        drop(inner);
        lock(&self.ready).clear();
    }
}

/// A wait on virtual time.
pub(super) struct Sleep(Arc<Mutex<Timer>>);

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut timer = lock(&self.0);
        if timer.fired {
            return Poll::Ready(());
        }
        timer.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// The tasks of one life of the daemon.
#[derive(Default)]
pub(super) struct Tasks(Vec<Option<(Waiting<'static, ()>, Waker)>>);

impl Tasks {
    fn add(&mut self, on: &Loop, task: Waiting<'static, ()>) {
        let id = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
        let waker = Waker::from(Arc::new(Task { id, ready: on.ready.clone() }));
        if id == self.0.len() {
            self.0.push(None);
        }
        self.0[id] = Some((task, waker));
        lock(&on.ready).insert(id);
    }

    fn poll(&mut self, id: usize) {
        let Some(slot) = self.0.get_mut(id) else { return };
        let Some((task, waker)) = slot else { return };
        let ended = task.as_mut().poll(&mut Context::from_waker(waker)).is_ready();
        if ended {
            *slot = None;
        }
    }
}

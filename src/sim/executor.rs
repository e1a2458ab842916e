//! A deterministic executor: virtual time, and the order of what is ready drawn from a seed.
//!
//! A history runs on one thread from its begin to its end, so what the executor knows is that thread's own: nothing is
//! locked, and of two histories on one thread the later one has it all.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::random::Random;
use crate::clock::Waiting;
use crate::vault::TransactionJob;

pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What happens at an instant without a task: a fault begins or ends.
pub(super) type Happening = Box<dyn FnOnce() + Send>;

/// What an entry of the agenda stands for.
enum Due {
    /// A wait; the task that polled it last.
    Timer {
        waits: Option<usize>,
    },
    /// A wait that is over.
    Fired,
    Happening(Happening),
    /// A call reaches the vault.
    Call(Box<dyn TransactionJob>),
}

/// What is due, each in a place that another takes once it is over or was given up.
#[derive(Default)]
struct Places {
    /// With the number of its entry; `None` for a free place.
    all: Vec<Option<(u64, Due)>>,
    free: Vec<usize>,
}

impl Places {
    fn put(&mut self, number: u64, due: Due) -> usize {
        if let Some(place) = self.free.pop() {
            self.all[place] = Some((number, due));
            return place;
        }
        self.all.push(Some((number, due)));
        self.all.len() - 1
    }

    fn get(&mut self, place: usize, number: u64) -> Option<&mut Due> {
        self.all.get_mut(place)?.as_mut().filter(|(known, _)| *known == number).map(|(_, due)| due)
    }

    fn take(&mut self, place: usize, number: u64) -> Option<Due> {
        self.get(place, number)?;
        self.free.push(place);
        self.all[place].take().map(|(_, due)| due)
    }
}

/// When, in which order among those of the same time, and in which place.
type Entry = Reverse<(i64, u64, usize)>;

/// The tasks that are ready, a bit each.
#[derive(Default)]
struct Ready {
    bits: Vec<u64>,
    count: usize,
}

impl Ready {
    fn insert(&mut self, id: usize) {
        let (word, bit) = (id / 64, 1 << (id % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        self.count += usize::from(self.bits[word] & bit == 0);
        self.bits[word] |= bit;
    }

    /// Takes out the one that has so many before it.
    fn take(&mut self, mut before: usize) -> Option<usize> {
        for (word, bits) in self.bits.iter_mut().enumerate() {
            let here = bits.count_ones() as usize;
            if before >= here {
                before -= here;
                continue;
            }
            let mut left = *bits;
            for _ in 0..before {
                left &= left - 1;
            }
            let bit = left.trailing_zeros() as usize;
            *bits &= !(1 << bit);
            self.count -= 1;
            return Some(word * 64 + bit);
        }
        None
    }

    fn clear(&mut self) {
        self.bits.clear();
        self.count = 0;
    }
}

/// What the executor of a thread knows.
#[derive(Default)]
struct Executor {
    now: Cell<i64>,
    number: Cell<u64>,
    agenda: RefCell<BinaryHeap<Entry>>,
    places: RefCell<Places>,
    ready: RefCell<Ready>,
    spawned: RefCell<Vec<Waiting<'static, ()>>>,
    /// The task that runs.
    running: Cell<Option<usize>>,
    /// No task runs any more until the tasks are dropped.
    halted: Cell<bool>,
    /// Tasks polled and happenings run.
    turns: Cell<u64>,
    /// Which history: a waker of the one before wakes nobody.
    history: Cell<u64>,
}

thread_local! {
    static HERE: Executor = Executor::default();
}

/// More turns than any history needs: one that takes them all runs in a circle.
const TURNS: u64 = 3_000_000;

/// Virtual time and who waits for it, on this thread.
#[derive(Clone, Copy)]
pub(super) struct Loop(());

struct Task {
    id: usize,
    history: u64,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // A thread that ends has nobody to wake.
        let _ = HERE.try_with(|here| {
            if here.history.get() == self.history {
                here.ready.borrow_mut().insert(self.id);
            }
        });
    }
}

impl Executor {
    fn enter(&self, after: i64, due: Due) -> (usize, u64) {
        let number = self.number.get() + 1;
        self.number.set(number);
        let now = self.now.get();
        let place = self.places.borrow_mut().put(number, due);
        self.agenda.borrow_mut().push(Reverse((now.saturating_add(after).max(now), number, place)));
        (place, number)
    }

    fn takes_turn(&self) -> bool {
        let may = !self.halted.get() && self.turns.get() < TURNS;
        self.turns.set(self.turns.get() + u64::from(may));
        may
    }

    /// Goes on to what is due next, no later than `until`, and does it; `false` where there is nothing. Waits that were
    /// given up are passed over.
    fn proceed(&self, until: i64, vault: &impl Fn(Box<dyn TransactionJob>)) -> bool {
        let due = loop {
            let mut agenda = self.agenda.borrow_mut();
            let Some(Reverse((at, number, place))) = agenda.peek().copied().filter(|Reverse((at, ..))| *at <= until)
            else {
                self.now.set(until.max(self.now.get()));
                return false;
            };
            agenda.pop();
            let mut places = self.places.borrow_mut();
            let Some(due) = places.get(place, number) else { continue };
            self.now.set(at.max(self.now.get()));
            if let Due::Timer { waits } = *due {
                *due = Due::Fired;
                if let Some(id) = waits {
                    self.ready.borrow_mut().insert(id);
                }
                return true;
            }
            break places.take(place, number);
        };
        match due {
            Some(Due::Happening(happening)) => happening(),
            Some(Due::Call(call)) => vault(call),
            Some(Due::Timer { .. } | Due::Fired) | None => {}
        }
        true
    }
}

impl Loop {
    /// A history begins on this thread.
    pub(super) fn begin() -> Self {
        HERE.with(|here| {
            here.history.set(here.history.get() + 1);
            here.now.set(0);
            here.turns.set(0);
            here.halted.set(false);
            here.ready.borrow_mut().clear();
        });
        let new = Self(());
        new.forget();
        new
    }

    /// Milliseconds of true time since the history began.
    pub(super) fn now(&self) -> i64 {
        HERE.with(|here| here.now.get())
    }

    /// Something happens in `after` milliseconds.
    pub(super) fn later(&self, after: i64, happening: impl FnOnce() + Send + 'static) {
        HERE.with(|here| here.enter(after, Due::Happening(Box::new(happening))));
    }

    /// A call reaches the vault in `after` milliseconds.
    pub(super) fn call_later(&self, after: i64, call: Box<dyn TransactionJob>) {
        HERE.with(|here| here.enter(after, Due::Call(call)));
    }

    pub(super) fn sleep(&self, ms: i64) -> Sleep {
        let (place, number) = HERE.with(|here| here.enter(ms, Due::Timer { waits: None }));
        Sleep { place, number }
    }

    pub(super) fn spawn(&self, task: Waiting<'static, ()>) {
        HERE.with(|here| here.spawned.borrow_mut().push(task));
    }

    /// Lets nothing run any more: a crash.
    pub(super) fn halt(&self) {
        HERE.with(|here| here.halted.set(true));
    }

    pub(super) fn is_halted(&self) -> bool {
        HERE.with(|here| here.halted.get())
    }

    /// Whether the history runs in a circle. Nothing runs any more then.
    pub(super) fn is_spent(&self) -> bool {
        HERE.with(|here| here.turns.get() >= TURNS)
    }

    /// Runs tasks and happenings, and calls to the vault by `vault`, until `until`, a halt, or until `done` says so; never
    /// longer than a history may take.
    pub(super) fn run(
        &self,
        tasks: &mut Tasks,
        until: i64,
        random: &mut Random,
        vault: impl Fn(Box<dyn TransactionJob>),
        done: impl Fn() -> bool,
    ) {
        HERE.with(|here| {
            loop {
                if !here.spawned.borrow().is_empty() {
                    for task in here.spawned.take() {
                        tasks.add(here, task);
                    }
                }
                if !here.takes_turn() {
                    return;
                }
                let next = {
                    let mut ready = here.ready.borrow_mut();
                    let place = random.below(ready.count);
                    ready.take(place)
                };
                if let Some(id) = next {
                    tasks.poll(here, id);
                    continue;
                }
                if done() {
                    return;
                }
                if !here.proceed(until, &vault) {
                    return;
                }
            }
        });
    }

    /// Forgets what was to happen: it holds on to the world.
    pub(super) fn forget(&self) {
        // What is dropped may wake somebody: nothing is borrowed then.
        drop(HERE.with(|here| (here.agenda.take(), here.places.take(), here.spawned.take())));
    }

    /// After a crash: all tasks are gone, and so is what they waited for; what happens in the world still does.
    pub(super) fn bury(&self, tasks: &mut Tasks) {
        tasks.0.clear();
        drop(HERE.with(|here| here.spawned.take()));
        HERE.with(|here| {
            here.halted.set(false);
            here.ready.borrow_mut().clear();
        });
    }
}

/// A wait on virtual time, in the task that it was begun in.
pub(super) struct Sleep {
    place: usize,
    number: u64,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        HERE.with(|here| match here.places.borrow_mut().get(self.place, self.number) {
            Some(Due::Timer { waits }) => {
                // Every waker of a task wakes it as a whole, so its number will do.
                *waits = here.running.get();
                Poll::Pending
            }
            _ => Poll::Ready(()),
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let _ = HERE.try_with(|here| here.places.borrow_mut().take(self.place, self.number));
    }
}

/// The tasks of one life of the daemon.
#[derive(Default)]
pub(super) struct Tasks(Vec<Option<(Waiting<'static, ()>, Waker)>>);

impl Tasks {
    fn add(&mut self, on: &Executor, task: Waiting<'static, ()>) {
        let id = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
        let waker = Waker::from(Arc::new(Task { id, history: on.history.get() }));
        if id == self.0.len() {
            self.0.push(None);
        }
        self.0[id] = Some((task, waker));
        on.ready.borrow_mut().insert(id);
    }

    fn poll(&mut self, on: &Executor, id: usize) {
        let Some(slot) = self.0.get_mut(id) else { return };
        let Some((task, waker)) = slot else { return };
        on.running.set(Some(id));
        let ended = task.as_mut().poll(&mut Context::from_waker(waker)).is_ready();
        if ended {
            *slot = None;
        }
    }
}

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

pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What happens at an instant without a task: a call reaches the vault, a fault begins.
pub(super) type Happening = Box<dyn FnOnce() + Send>;

enum Due {
    /// The timer at this place, if it is still the one of the entry's number.
    Wake(usize),
    Happen(Happening),
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

/// Somebody's wait; once it is given up its place is another's.
#[derive(Clone, Copy, Default)]
struct Timer {
    /// That of its entry; 0 for a free place.
    number: u64,
    fired: bool,
    /// The task that polled it last.
    waits: Option<usize>,
}

#[derive(Default)]
struct Timers {
    places: Vec<Timer>,
    free: Vec<usize>,
}

impl Timers {
    fn set(&mut self, number: u64) -> usize {
        let timer = Timer { number, fired: false, waits: None };
        if let Some(place) = self.free.pop() {
            self.places[place] = timer;
            return place;
        }
        self.places.push(timer);
        self.places.len() - 1
    }

    fn alive(&mut self, place: usize, number: u64) -> Option<&mut Timer> {
        self.places.get_mut(place).filter(|timer| timer.number == number)
    }

    fn drop(&mut self, place: usize, number: u64) {
        if let Some(timer) = self.alive(place, number) {
            timer.number = 0;
            self.free.push(place);
        }
    }
}

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
    agenda: RefCell<BinaryHeap<Reverse<Entry>>>,
    timers: RefCell<Timers>,
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
    fn enter(&self, at: i64, due: impl FnOnce(u64) -> Due) -> u64 {
        let number = self.number.get() + 1;
        self.number.set(number);
        let entry = Entry { at: at.max(self.now.get()), number, due: due(number) };
        self.agenda.borrow_mut().push(Reverse(entry));
        number
    }

    fn takes_turn(&self) -> bool {
        let may = !self.halted.get() && self.turns.get() < TURNS;
        self.turns.set(self.turns.get() + u64::from(may));
        may
    }

    /// What is due next, no later than `until`; time moves there. Waits that were given up are passed over.
    fn next(&self, until: i64) -> Option<Due> {
        let mut agenda = self.agenda.borrow_mut();
        while agenda.peek().is_some_and(|Reverse(entry)| entry.at <= until) {
            let Some(Reverse(entry)) = agenda.pop() else { break };
            let gone = |place| self.timers.borrow_mut().alive(place, entry.number).is_none();
            if matches!(entry.due, Due::Wake(place) if gone(place)) {
                continue;
            }
            self.now.set(entry.at.max(self.now.get()));
            return Some(entry.due);
        }
        self.now.set(until.max(self.now.get()));
        None
    }

    fn fire(&self, place: usize) {
        let waits = {
            let mut timers = self.timers.borrow_mut();
            let Some(timer) = timers.places.get_mut(place) else { return };
            timer.fired = true;
            timer.waits
        };
        if let Some(id) = waits {
            self.ready.borrow_mut().insert(id);
        }
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
        HERE.with(|here| here.enter(here.now.get().saturating_add(after), |_| Due::Happen(Box::new(happening))));
    }

    pub(super) fn sleep(&self, ms: i64) -> Sleep {
        HERE.with(|here| {
            let mut place = 0;
            let number = here.enter(here.now.get().saturating_add(ms), |number| {
                place = here.timers.borrow_mut().set(number);
                Due::Wake(place)
            });
            Sleep { place, number }
        })
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

    /// Runs tasks and happenings until `until`, a halt, or until `done` says so; never longer than a history may take.
    pub(super) fn run(&self, tasks: &mut Tasks, until: i64, random: &mut Random, done: impl Fn() -> bool) {
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
                match here.next(until) {
                    Some(Due::Wake(place)) => here.fire(place),
                    Some(Due::Happen(happening)) => happening(),
                    None => return,
                }
            }
        });
    }

    /// Forgets what was to happen: it holds on to the world.
    pub(super) fn forget(&self) {
        // What is dropped may wake somebody: nothing is borrowed then.
        drop(HERE.with(|here| (here.agenda.take(), here.spawned.take())));
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
        HERE.with(|here| match here.timers.borrow_mut().alive(self.place, self.number) {
            Some(timer) if !timer.fired => {
                // Every waker of a task wakes it as a whole, so its number will do.
                timer.waits = here.running.get();
                Poll::Pending
            }
            _ => Poll::Ready(()),
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let _ = HERE.try_with(|here| here.timers.borrow_mut().drop(self.place, self.number));
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

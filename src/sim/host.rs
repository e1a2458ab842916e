//! The host on which the daemon runs: its clocks and its reboots.

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::executor::lock;
use super::universe::Universe;
use crate::clock::{Time, Waiting};
use crate::model::{BootId, Moment};

/// The host on which the daemon runs. Its clocks are read all the time, and by one thread at a time: without a lock.
#[derive(Debug)]
pub(super) struct Host {
    /// When true time begins, in milliseconds since 1970.
    pub(super) begin: i64,
    boots: AtomicI64,
    booted: AtomicI64,
    /// Wall clock less true time, in milliseconds, when its rate last changed.
    error: AtomicI64,
    /// What the boot clock had gained since the boot then, in milliseconds.
    gained: AtomicI64,
    /// How fast both clocks run, beside true time: a slew moves both (adjtimex(2)); and since when.
    rate: (AtomicI64, AtomicI64),
    past: Mutex<Past>,
    /// It is noticed that the wall clock was set.
    was_set: Notify,
}

#[derive(Debug, Default)]
struct Past {
    /// When the wall clock was wrong, as (from, to), in true time.
    lies: Vec<(i64, i64)>,
    reboots: Vec<i64>,
}

impl Host {
    /// It came up an hour ago, and its clock is right.
    pub(super) fn new(begin: i64) -> Self {
        Self {
            begin,
            boots: AtomicI64::new(0),
            booted: AtomicI64::new(-3_600_000),
            error: AtomicI64::new(0),
            gained: AtomicI64::new(0),
            rate: (AtomicI64::new(0), AtomicI64::new(0)),
            past: Mutex::default(),
            was_set: Notify::new(),
        }
    }

    fn rate(&self) -> Rate {
        Rate { ppm: self.rate.0.load(Relaxed), since: self.rate.1.load(Relaxed) }
    }

    /// What the clocks gained by their rate since it last changed becomes a part of their errors.
    fn settle_rate(&self, now: i64, ppm: i64) {
        let gained = self.rate().gained(now);
        self.error.fetch_add(gained, Relaxed);
        self.gained.fetch_add(gained, Relaxed);
        self.rate.0.store(ppm, Relaxed);
        self.rate.1.store(now, Relaxed);
    }

    /// What both clocks show at a true time.
    fn read(&self, now: i64) -> Moment {
        let fast = self.rate().gained(now);
        Moment {
            wall_ms: self.begin + now + self.error.load(Relaxed) + fast,
            boot: BootId::from(u128::from(self.boots.load(Relaxed).unsigned_abs())),
            since_boot_ms: now - self.booted.load(Relaxed) + self.gained.load(Relaxed) + fast,
        }
    }
}

/// A clock that runs fast, or slow where negative, in parts of a million, since some true time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rate {
    pub(super) ppm: i64,
    pub(super) since: i64,
}

impl Rate {
    /// No kernel slews faster (adjtimex(2)).
    pub(super) const MOST_PPM: i64 = 500;

    /// Milliseconds gained by then.
    pub(super) fn gained(self, now: i64) -> i64 {
        (now - self.since) * self.ppm / 1_000_000
    }
}

impl Universe {
    pub(super) fn set_clock(self: &Arc<Self>, error: i64) {
        let now = self.on.now();
        let mut past = lock(&self.host.past);
        if let Some(last) = past.lies.last_mut().filter(|(_, to)| *to > now) {
            last.1 = now;
        }
        self.host.settle_rate(now, 0);
        self.host.error.store(error, Relaxed);
        if error.abs() > 2_000 {
            past.lies.push((now, i64::MAX));
        }
        drop(past);
        let world = self.clone();
        self.on.later(self.draw(0, 30_000), move || world.host.was_set.notify_one());
        self.tell(|| format!("the wall clock is set: {} s from the truth", error / 1000));
    }

    /// From now on the host's clocks run at this rate beside true time, until the wall clock is set.
    pub(super) fn slew_clock(&self, ppm: i64) {
        let now = self.on.now();
        self.host.settle_rate(now, ppm);
        let mut past = lock(&self.host.past);
        if past.lies.last().is_none_or(|(_, to)| *to <= now) {
            past.lies.push((now, i64::MAX));
        }
        drop(past);
        self.tell(|| format!("the host's clocks gain {ppm} us a second"));
    }

    /// What a time of this length may be less in truth, in milliseconds, where the host's clocks ran fast.
    pub(super) fn slack(time_ms: i64) -> i64 {
        time_ms * Rate::MOST_PPM / 1_000_000
    }

    pub(super) fn reboot_host(&self) {
        let now = self.on.now();
        let host = &self.host;
        host.settle_rate(now, host.rate().ppm);
        host.gained.store(0, Relaxed);
        host.boots.fetch_add(1, Relaxed);
        host.booted.store(now, Relaxed);
        lock(&host.past).reboots.push(now);
        self.tell(|| "the host reboots".into());
    }

    /// Whether the wall clock was ever wrong. The codes of a time that it showed too early are used when that time comes.
    pub(super) fn clock_was_wrong(&self) -> bool {
        !lock(&self.host.past).lies.is_empty()
    }

    /// Whether the host rebooted between two instants of true time since the beginning while its clock lied: then
    /// elapsed time cannot be known.
    pub(super) fn time_was_lost(&self, from: i64, to: i64) -> bool {
        let past = lock(&self.host.past);
        let rebooted = past.reboots.iter().any(|at| (from..=to).contains(at));
        rebooted && past.lies.iter().any(|(begin, end)| *begin <= to && *end >= from)
    }
}

/// The clocks of a universe.
pub(super) struct SimTime(pub(super) Arc<Universe>);

impl Time for SimTime {
    fn now(&self) -> Moment {
        self.0.host.read(self.0.on.now())
    }

    fn sleep(&self, time: Duration) -> Waiting<'static, ()> {
        Box::pin(self.0.on.sleep(i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)))
    }

    fn look_again(&self) -> Waiting<'static, ()> {
        // What nobody woke it for is looked at every half minute too; here that is not worth the while.
        let (universe, in_a_while) = (self.0.clone(), self.0.on.sleep(6 * 3_600_000));
        Box::pin(async move {
            tokio::select! {
                biased;
                () = universe.host.was_set.notified() => {}
                () = in_a_while => {}
            }
        })
    }
}

//! The host on which the daemon runs: its clocks and its reboots.

use std::sync::Arc;
use std::time::Duration;

use super::executor::lock;
use super::universe::{BEGIN, Universe};
use crate::clock::{Time, Waiting};
use crate::model::{BootId, Moment};

/// The host on which the daemon runs.
#[derive(Debug, Clone)]
pub(super) struct Host {
    boots: u32,
    boot: BootId,
    booted: i64,
    /// Wall clock less true time, in milliseconds, when its rate last changed.
    error: i64,
    /// What the boot clock had gained since the boot then, in milliseconds.
    gained: i64,
    /// How fast both clocks run, beside true time: a slew moves both (adjtimex(2)).
    rate: Rate,
    /// When the wall clock was wrong, as (from, to), in true time.
    lies: Vec<(i64, i64)>,
    reboots: Vec<i64>,
}

impl Host {
    /// It came up an hour ago, and its clock is right.
    pub(super) fn new() -> Self {
        Self {
            boots: 0,
            boot: BootId("boot-0".into()),
            booted: -3_600_000,
            error: 0,
            gained: 0,
            rate: Rate::default(),
            lies: Vec::new(),
            reboots: Vec::new(),
        }
    }

    /// What the clocks gained by their rate since it last changed becomes a part of their errors.
    fn settle_rate(&mut self, now: i64, ppm: i64) {
        let gained = self.rate.gained(now);
        self.error += gained;
        self.gained += gained;
        self.rate = Rate { ppm, since: now };
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
    pub(super) fn set_clock(&self, error: i64) {
        let now = self.on.now();
        let mut host = lock(&self.host);
        if let Some(last) = host.lies.last_mut().filter(|(_, to)| *to > now) {
            last.1 = now;
        }
        host.settle_rate(now, 0);
        host.error = error;
        if error.abs() > 2_000 {
            host.lies.push((now, i64::MAX));
        }
        drop(host);
        self.tell(|| format!("the wall clock is set: {} s from the truth", error / 1000));
    }

    /// From now on the host's clocks run at this rate beside true time, until the wall clock is set.
    pub(super) fn slew_clock(&self, ppm: i64) {
        let now = self.on.now();
        let mut host = lock(&self.host);
        host.settle_rate(now, ppm);
        if host.lies.last().is_none_or(|(_, to)| *to <= now) {
            host.lies.push((now, i64::MAX));
        }
        drop(host);
        self.tell(|| format!("the host's clocks gain {ppm} us a second"));
    }

    /// What a time of this length may be less in truth, in milliseconds, where the host's clocks ran fast.
    pub(super) fn slack(time_ms: i64) -> i64 {
        time_ms * Rate::MOST_PPM / 1_000_000
    }

    pub(super) fn reboot_host(&self) {
        let now = self.on.now();
        let mut host = lock(&self.host);
        let ppm = host.rate.ppm;
        host.settle_rate(now, ppm);
        host.gained = 0;
        host.boots += 1;
        host.boot = BootId(format!("boot-{}", host.boots).into());
        host.booted = now;
        host.reboots.push(now);
        drop(host);
        self.tell(|| "the host reboots".into());
    }

    /// Whether the host rebooted between two instants of true time since the beginning while its clock lied: then
    /// elapsed time cannot be known.
    pub(super) fn time_was_lost(&self, from: i64, to: i64) -> bool {
        let host = lock(&self.host);
        let rebooted = host.reboots.iter().any(|at| (from..=to).contains(at));
        rebooted && host.lies.iter().any(|(begin, end)| *begin <= to && *end >= from)
    }
}

/// The clocks of a universe.
pub(super) struct SimTime(pub(super) Arc<Universe>);

impl Time for SimTime {
    fn now(&self) -> Moment {
        let now = self.0.on.now();
        let host = lock(&self.0.host);
        let fast = host.rate.gained(now);
        let since_boot_ms = now - host.booted + host.gained + fast;
        Moment { wall_ms: BEGIN + now + host.error + fast, boot: host.boot.clone(), since_boot_ms }
    }

    fn sleep(&self, time: Duration) -> Waiting<'static, ()> {
        Box::pin(self.0.on.sleep(i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)))
    }

    fn longest_sleep(&self) -> Duration {
        Duration::from_secs(1800)
    }
}

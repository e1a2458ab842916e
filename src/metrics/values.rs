//! Values that many threads count at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bounds for what takes milliseconds, in seconds.
pub const SECONDS_SHORT: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Bounds for what takes seconds to minutes, in seconds.
pub const SECONDS_LONG: &[f64] = &[0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0];

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many of something there are now.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// One more, until what is returned is dropped.
    #[must_use]
    pub fn hold(&self) -> Level {
        self.0.fetch_add(1, Ordering::Relaxed);
        Level(self.clone())
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One of those that a [`Gauge`] counts.
#[derive(Debug)]
pub struct Level(Gauge);

impl Drop for Level {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long something took, counted by bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for what is above all of them.
    counts: Box<[AtomicU64]>,
    /// In microseconds.
    sum: AtomicU64,
}

impl Histogram {
    /// Nothing was observed yet. `bounds` are in seconds, in rising order.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    /// Takes note of a time.
    pub fn observe(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let place = self.bounds.iter().position(|bound| seconds <= *bound).unwrap_or(self.bounds.len());
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The same for milliseconds of a clock; one that went back took no time.
    pub fn observe_ms(&self, ms: i64) {
        self.observe(Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
    }

    /// What was observed so far.
    #[must_use]
    pub fn observed(&self) -> Observed {
        let counts: Vec<u64> = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let sum = Duration::from_micros(self.sum.load(Ordering::Relaxed)).as_secs_f64();
        Observed { bounds: self.bounds, counts, sum }
    }
}

/// Observations, counted by bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Bounds, in rising order.
    pub bounds: &'static [f64],
    /// How many are up to each bound and above the one before; the last are above all bounds.
    pub counts: Vec<u64>,
    /// The sum of all.
    pub sum: f64,
}

impl Observed {
    /// Counts values by bounds.
    #[must_use]
    pub fn of(bounds: &'static [f64], values: impl Iterator<Item = f64>) -> Self {
        let mut observed = Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 };
        for value in values {
            let place = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
            observed.counts[place] += 1;
            observed.sum += value;
        }
        observed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_under_the_first_bound_that_holds_it() {
        let histogram = Histogram::new(&[0.1, 1.0]);
        for ms in [50, 100, 101, 1000, 5000, -3] {
            histogram.observe_ms(ms);
        }
        let observed = histogram.observed();
        assert_eq!((observed.counts, observed.sum), (vec![3, 2, 1], 6.251));
        let ratios = Observed::of(&[0.5, 1.0], [0.2, 0.5, 0.6, 1.1].into_iter());
        assert_eq!(ratios.counts, [2, 1, 1]);
    }

    #[test]
    fn a_gauge_counts_what_is_held_alone() {
        let gauge = Gauge::default();
        let (one, two) = (gauge.hold(), gauge.hold());
        assert_eq!(gauge.get(), 2);
        drop(one);
        assert_eq!(gauge.get(), 1);
        drop(two);
        assert_eq!(gauge.get(), 0);
    }
}

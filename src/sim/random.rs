//! Numbers from a seed (SplitMix64): fast, small, and the same on every machine.

use std::sync::atomic::{AtomicU64, Ordering};

/// A stream of numbers.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed, for one purpose: streams of different purposes do not disturb each other.
    #[must_use]
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut random = Self(seed ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        random.number();
        random.number();
        random
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound < 2 {
            return 0;
        }
        usize::try_from(self.number() % bound as u64).unwrap_or(0)
    }

    /// A number from `from` up to, and without, `to`.
    pub fn within(&mut self, from: i64, to: i64) -> i64 {
        let width = to.saturating_sub(from).max(1).unsigned_abs();
        from.saturating_add(i64::try_from(self.number() % width).unwrap_or(0))
    }

    /// True once in `n` times, on average.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// Fills a buffer.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.number().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// A stream that many hold, and that one draws from at a time: the histories of a thread.
#[derive(Debug)]
pub(super) struct Draws(AtomicU64);

impl Draws {
    pub(super) fn new(random: Random) -> Self {
        Self(AtomicU64::new(random.0))
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Random) -> T) -> T {
        let mut random = Random(self.0.load(Ordering::Relaxed));
        let drawn = work(&mut random);
        self.0.store(random.0, Ordering::Relaxed);
        drawn
    }
}

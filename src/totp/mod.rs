//! One-time codes: seeds as people paste them, codes per RFC 6238, and the rule that a code is used once.
//!
//! Pure: the clock and the record of used codes are handed in.

mod seed;
mod single_use;
mod skew;

pub use seed::{Algorithm, Seed, SeedError, SeedId, USUAL_PERIOD};
pub use single_use::{Pick, Timing, Wanted, pick_step};
pub use skew::{Skew, WINDOW};

//! When a job runs: crontab lines as users know them, time zones and daylight saving time, windows, and the spread of a fleet.
//!
//! Pure: the present instant is an argument.

mod crontab;
#[cfg(test)]
mod tests;
mod window;

pub use crontab::{Crontab, CrontabError};
pub use window::{Window, spread_offset_ms};

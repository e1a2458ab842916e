//! Metrics: what each one means, values that are counted without a lock, and the text in which they are told.
//!
//! The definitions are one table; the documentation's table is made from it. Values that are counted live where they are counted
//! (a [`Counter`] or a [`Histogram`] costs an atomic addition); values that are looked up are written when somebody asks.

mod definitions;
mod text;
mod values;

pub use definitions::{Definition, Kind, Metric};
pub use text::{Exposition, Format};
pub use values::{Counter, Gauge, Histogram, Level, Observed, SECONDS_LONG, SECONDS_SHORT};

//! What happened, on record: events as JSON lines, each bound to the one before it by a hash.
//!
//! The vault numbers and hashes an event in the transaction that makes its cause durable; [`LogFiles`] appends it. This
//! module knows neither the vault nor the daemon, so that a log can be checked on another machine.

mod event;
mod export;
mod files;
mod read;
mod verify;

pub use event::{Chained, Draft, Event, GENESIS};
pub use export::{Exporter, Format, cef};
pub use files::{LogFiles, last_event, log_files, months_before, set_aside};
pub use read::{before_last, before_time, each_after, events_after, last_events};
pub use verify::{Archived, ReadSoFar, Report, verify_files, verify_files_telling, verify_lines};

//! One-time codes: reserved in the vault before anybody sees them, given to logins in turn, and made by the device's clock.

mod codes;
mod offset;

pub use codes::{CodeWaits, Codes, Issued, Turn, WaitsFor};
pub use offset::{Aim, By, Sent};
pub(crate) use offset::{Miss, missed, took};

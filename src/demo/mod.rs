//! The whole system with nothing installed.
use std::process::ExitCode;
/// Runs the demo.
#[must_use]
pub fn main(_once: bool, _refuse: bool) -> ExitCode { ExitCode::SUCCESS }

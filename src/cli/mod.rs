//! `rotorctl`: its commands, and what they print.
#![allow(clippy::print_stderr)]

mod add;
mod args;
mod audit;
mod backup;
mod browse;
mod check;
mod doctor;
mod events;
mod exporter;
mod import;
mod init;
pub(crate) mod input;
mod live;
mod local;
mod notify;
mod otp;
pub(crate) mod output;
pub(crate) mod parse;
mod progress;
mod qr;
mod record;
mod remote;
mod report;
mod stand;
mod status;
mod templates;
mod top;
mod web;

use std::process::ExitCode;

pub use templates::check_templates;
pub(crate) use templates::explain_code;

/// Asks for a secret without echo, or reads it from stdin.
///
/// # Errors
/// There is none.
pub fn ask_secret(prompt: &str) -> Result<crate::model::Secret, String> {
    input::secret(prompt, false).map(|text| text.0).map_err(|failure| failure.message)
}

/// A command that failed: what to say, and the exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    exit: u8,
}

impl Failure {
    fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: 2 }
    }

    fn unexpected(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: 1 }
    }
}

impl From<crate::control::ClientError> for Failure {
    fn from(error: crate::control::ClientError) -> Self {
        Self { message: error.to_string(), exit: error.exit() }
    }
}

/// Returns when the one who watches has seen enough.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The command line of `rotorctl`, for its manual pages.
#[must_use]
pub fn command() -> clap::Command {
    <args::Args as clap::CommandFactory>::command()
}

/// The whole of `rotorctl`.
#[must_use]
pub fn main() -> ExitCode {
    let args: args::Args = match parse::args() {
        Ok(args) => args,
        Err(exit) => return ExitCode::from(exit),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("rotorctl: {error}");
            return ExitCode::from(1);
        }
    };
    match runtime.block_on(remote::run(args)) {
        Ok(exit) => ExitCode::from(exit),
        Err(failure) => {
            eprintln!("rotorctl: {}", crate::model::printable_lines(&failure.message));
            if let Some(next) = stand::after(&failure.message, failure.exit) {
                eprintln!("Next: {next}");
            }
            ExitCode::from(failure.exit)
        }
    }
}

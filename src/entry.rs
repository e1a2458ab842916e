//! The daemon's command line.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::config::{Config, DEFAULT_PATH};
use crate::control::{bind, serve};
use crate::daemon::{Core, LogFormat, StartError, harden, init_logging, run};
use crate::model::Severity;

/// Changes the passwords of accounts on SSH devices whose login asks for a TOTP code too.
#[derive(Debug, Parser)]
#[command(name = "rotord", version, max_term_width = 100)]
struct Args {
    /// The config.
    #[arg(long, global = true, default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// How log lines look.
    #[arg(long, global = true, value_enum, default_value = "auto", env = "ROTORD_LOG_FORMAT")]
    log_format: LogFormat,
    /// How much is logged: error, warn, info, debug or trace.
    #[arg(long, global = true, default_value = "info", env = "ROTORD_LOG_LEVEL")]
    log_level: LevelFilter,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read config and templates, and print every problem.
    Check,
    /// Show the whole system with nothing installed.
    Demo {
        /// Rotate one account once; exit 0 only if a fresh login with the new password succeeded.
        #[arg(long)]
        once: bool,
        /// Have the simulated device refuse the new password.
        #[arg(long)]
        refuse: bool,
    },
}

/// The whole of `rotord`.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    match args.command {
        Some(Command::Check) => check(&args.config),
        Some(Command::Demo { once, refuse }) => crate::demo::main(once, refuse),
        None => {
            init_logging(args.log_format, args.log_level);
            harden();
            match start(&args.config) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    let exit = if matches!(error, StartError::Config(_)) { 2 } else { 1 };
                    eprintln!("rotord: {error}");
                    tracing::error!("rotord does not start: {error}");
                    ExitCode::from(exit)
                }
            }
        }
    }
}

fn check(config: &Path) -> ExitCode {
    let (_, problems) = Config::load(config);
    for problem in &problems {
        println!("{problem}");
    }
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    }
}

fn start(config: &Path) -> Result<(), StartError> {
    let system = |what: String| move |source| StartError::System { what, source };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |n| n.get().min(4)))
        .enable_all()
        .build()
        .map_err(system("the runtime cannot start".into()))?;
    let core = Core::start(config)?;
    runtime.block_on(async {
        let config = core.config();
        let socket = config.daemon.socket.clone();
        let listed = config.access != crate::config::Access::default();
        let listener =
            bind(&socket, listed).map_err(system(format!("cannot open the control socket {}", socket.display())))?;
        let result = run(core.clone(), serve(listener, core)).await;
        drop(std::fs::remove_file(&socket));
        result
    })
}

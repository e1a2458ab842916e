//! The daemon's command line.
#![allow(clippy::print_stderr)]

mod man;

use std::io::{BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::geteuid;
use tracing::level_filters::LevelFilter;

use crate::cli::output::say;
use crate::clock::Clock;
use crate::config::{Config, ConfigCode, DEFAULT_PATH, KEYS, KeySource};
use crate::control::{bind, serve};
use crate::daemon::{Core, LogFormat, Signals, StartError, harden, init_logging, run};
use crate::files;
use crate::model::{Secret, Severity, nearest, printable_lines, rfc3339};
use crate::notify::Notifiers;
use crate::sealed::OpenWith;
use crate::template::Code;
use crate::vault::{Backup, VaultKey};

/// Changes the passwords of accounts on SSH devices whose login asks for a TOTP code too.
#[derive(Debug, Parser)]
#[command(name = "rotord", version = env!("ROTORD_VERSION"), max_term_width = 100)]
struct Args {
    /// The config.
    #[arg(long, global = true, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// How log lines look.
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value = "auto", env = "ROTORD_LOG_FORMAT")]
    log_format: LogFormat,
    /// How much is logged: error, warn, info, debug or trace.
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info", env = "ROTORD_LOG_LEVEL")]
    log_level: LevelFilter,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read config and templates, and print every problem.
    Check {
        /// Say what a key of the config, or the code of a problem, means, with an example, and read nothing.
        #[arg(long, value_name = "KEY|CODE")]
        explain: Option<String>,
    },
    /// Make a vault of a backup, where there is none.
    ///
    /// The passphrase is asked for, on the terminal or from stdin; --identity opens what was sealed to a recovery key.
    Restore {
        /// What 'rotorctl backup' wrote.
        file: PathBuf,
        /// The file with the private half of the recovery key.
        #[arg(long, value_name = "FILE")]
        identity: Option<PathBuf>,
    },
    /// Show the whole system with nothing installed.
    Demo {
        /// Rotate one account once; exit 0 only if a fresh login with the new password succeeded.
        #[arg(long)]
        once: bool,
        /// Have the simulated device refuse the new password.
        #[arg(long)]
        refuse: bool,
        /// Serve the local page over a small fleet, until it is ended.
        #[arg(long, conflicts_with_all = ["once", "refuse"])]
        web: bool,
    },
    /// Serve browsers for web devices, each in namespaces of its own.
    ///
    /// It is started by rotord-browser.socket, which is its standard input; where there is no such socket, a daemon that runs as root
    /// starts it by itself.
    Browser {
        /// Serve one session, in namespaces that are there already.
        #[arg(long, hide = true)]
        inside: bool,
    },
    /// Write the manual pages of rotord and rotorctl, their config and their templates.
    Man {
        /// A folder of manual pages, such as /usr/local/share/man.
        folder: PathBuf,
    },
}

/// The command line of `rotord`, for its manual pages.
#[must_use]
pub fn command() -> clap::Command {
    Args::command()
}

/// The signals that ask a running daemon for something.
fn for_later() -> SigSet {
    [Signal::SIGHUP, Signal::SIGUSR1].into_iter().collect()
}

/// The whole of `rotord`.
#[must_use]
pub fn main() -> ExitCode {
    // By themselves these end a process; those that come while the daemon starts wait until it has its handlers.
    let _ = for_later().thread_block();
    let args: Args = match crate::cli::parse::args() {
        Ok(args) => args,
        Err(exit) => return ExitCode::from(exit),
    };
    if args.command.is_some() {
        let _ = for_later().thread_unblock();
    }
    match args.command {
        Some(Command::Check { explain: Some(key) }) => explain(&key),
        Some(Command::Check { explain: None }) => check(&args.config),
        Some(Command::Browser { inside }) => {
            let served = if inside { crate::browser::serve_session() } else { crate::browser::listen() };
            match served {
                Ok(()) => ExitCode::SUCCESS,
                Err(why) => {
                    eprintln!("rotord browser: {}", printable_lines(&why));
                    ExitCode::from(2)
                }
            }
        }
        Some(Command::Man { folder }) => match man::write(&folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("rotord: {}: {error}", folder.display());
                ExitCode::from(2)
            }
        },
        Some(Command::Restore { file, identity }) => match restore(&args.config, &file, identity.as_deref()) {
            Ok(told) => {
                say!("{told}");
                ExitCode::SUCCESS
            }
            Err(why) => {
                eprintln!("rotord: {}", printable_lines(&why));
                ExitCode::from(2)
            }
        },
        Some(Command::Demo { web: true, .. }) => crate::demo::serve_page(),
        Some(Command::Demo { once, refuse, .. }) => crate::demo::main(once, refuse),
        None => {
            let for_people = init_logging(args.log_format, args.log_level);
            harden();
            match start(&args.config) {
                Ok(()) | Err(StartError::Stopped) => ExitCode::SUCCESS,
                Err(error) => {
                    if for_people {
                        eprintln!("rotord: {}", printable_lines(&error.to_string()));
                    } else {
                        tracing::error!("rotord does not start: {error}");
                    }
                    ExitCode::from(error.exit())
                }
            }
        }
    }
}

/// Bytes of a file with recovery keys at the most.
const MOST_IDENTITY: u64 = 1 << 20;

fn restore(config: &Path, file: &Path, identity: Option<&Path>) -> Result<String, String> {
    let (config, problems) = Config::inspect(config);
    let lines = || problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let config = config.ok_or_else(lines)?;
    // Who owns the key is the daemon's user, for whom root may act.
    let (key, owner) = match &config.vault_key {
        KeySource::File(file) if geteuid().is_root() => (VaultKey::from_anyones_file(file), file.metadata().ok()),
        KeySource::File(file) => (VaultKey::from_file(file), None),
        KeySource::Credential(name) => (VaultKey::from_credential(name), None),
    };
    let owner = owner.map(|key| (key.uid(), key.gid()));
    let key = key.map_err(|error| error.to_string())?;
    let sealed = files::open_named(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let with = match identity {
        Some(identity) => {
            let mut text = String::new();
            files::open_named(identity)
                .and_then(|file| Ok(file.take(MOST_IDENTITY).read_to_string(&mut text)?))
                .map_err(|error| format!("the file with the recovery key cannot be read: {error}"))?;
            OpenWith::Identity(Secret::new(text))
        }
        None => OpenWith::Passphrase(crate::cli::ask_secret("Passphrase of the backup")?),
    };
    let mut backup =
        Backup::open(BufReader::new(sealed), &with).map_err(|error| format!("{}: {error}", file.display()))?;
    let state_dir = &config.daemon.state_dir;
    backup.restore(state_dir, &key, owner, &Clock::new().now()).map_err(|error| error.to_string())?;
    Ok(format!(
        "The backup of {} is the vault in {}: {} accounts. Start rotord: it finds out by logging in which passwords their devices still have. 'rotorctl verify \"*\"' has all of them looked at without delay.",
        rfc3339(backup.head.taken),
        state_dir.display(),
        backup.head.accounts
    ))
}

fn explain(name: &str) -> ExitCode {
    if let Some(ConfigCode { code, title, why, wrong, right }) = ConfigCode::find(name) {
        crate::cli::explain_code(code, title, why, (wrong, right));
        return ExitCode::SUCCESS;
    }
    if let Some(Code { code, title, why, wrong, right, .. }) = Code::find(name) {
        crate::cli::explain_code(code, title, why, (wrong, right));
        return ExitCode::SUCCESS;
    }
    let mut found = KEYS.iter().filter(|key| key.name == name).peekable();
    if found.peek().is_none() {
        let hint = nearest(name, KEYS.iter().map(|key| key.name));
        let hint = hint.map_or_else(String::new, |known| format!("; did you mean '{known}'?"));
        eprintln!("rotord: the config has no key '{}', and no problem has such a code{hint}", name.escape_debug());
        return ExitCode::from(2);
    }
    for key in found {
        say!("{} = {}", key.name, key.example);
        say!("    in {}: {}", key.section, key.meaning);
        say!("    takes {}; where absent: {}", key.value, key.absent());
    }
    ExitCode::SUCCESS
}

fn check(config: &Path) -> ExitCode {
    let (config, problems) = Config::inspect(config);
    for problem in &problems {
        say!("{problem}");
    }
    let sound = config.filter(|_| problems.iter().all(|problem| problem.severity != Severity::Error));
    let Some(config) = sound else { return ExitCode::from(2) };
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let sizes = [(config.devices.len(), "device"), (config.accounts.len(), "account"), (config.jobs.len(), "job")];
    let sizes = sizes.map(|(count, what)| counted(count, what)).join(", ");
    match problems.len() {
        0 => say!("ok: {sizes}"),
        warnings => say!("ok, with {}: {sizes}", counted(warnings, "warning")),
    }
    if config.devices.values().any(|device| device.web().is_some())
        && let Err(why) = crate::browser::Programs::find().usable()
    {
        say!("web devices cannot be worked on: {why}");
    }
    ExitCode::SUCCESS
}

fn start(config: &Path) -> Result<(), StartError> {
    let system = |what: String| move |source| StartError::System { what, source };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |n| n.get().min(4)))
        .enable_all()
        .build()
        .map_err(system("the runtime cannot start".into()))?;
    // Before anything that takes time; what came until now is answered too.
    let mut signals = {
        let _entered = runtime.enter();
        Signals::listen()?
    };
    let _ = for_later().thread_unblock();
    let path = config.to_owned();
    let result = runtime.block_on(async {
        // What reads the disk may hang with it; who is told to stop meanwhile stops.
        let start = tokio::task::spawn_blocking(move || Core::start(&path));
        let core = tokio::select! {
            started = start => started.map_err(|error| system("the start".into())(std::io::Error::other(error)))??,
            () = signals.told_to_stop() => return Err(StartError::Stopped),
        };
        let config = core.config();
        let socket = config.daemon.socket.clone();
        let listed = config.access != crate::config::Access::default();
        let made = bind(&socket, listed).await;
        let made = made.map_err(|error| StartError::Socket(socket, error))?;
        let remove = made.remover();
        let notifiers = Notifiers::new(core.clone());
        let serve = serve(made, core.clone(), notifiers.clone());
        let serve = async move {
            tokio::join!(serve, notifiers.run());
        };
        let result = run(core, signals, serve).await;
        remove();
        result
    });
    // What waits for a disk that does not answer is not waited for.
    runtime.shutdown_background();
    result
}

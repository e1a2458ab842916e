//! Logs for operators: for people on a terminal, journal fields under systemd, JSON on demand.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// The journal under systemd, else for people.
    Auto,
    /// For people, on stderr.
    Human,
    /// One JSON object a line, on stderr.
    Json,
    /// Straight to the journal, with fields.
    Journald,
}

/// Sets logging up, and tells whether stderr is for people. Of libraries only warnings pass, whatever the level, since they
/// log what they carry.
pub fn init_logging(format: LogFormat, level: LevelFilter) -> bool {
    // Of other crates only warnings pass at any level: a transport's trace shows packets, and packets hold secrets.
    let filter = EnvFilter::new(format!("warn,rotord={level}"));
    let human = || {
        let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(color).with_target(false).boxed()
    };
    let json = || tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed();
    // systemd sets JOURNAL_STREAM where stderr goes to the journal (systemd.exec(5)).
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some() && !std::io::stderr().is_terminal();
    let journal =
        || tracing_journald::layer().ok().map(|layer| layer.with_field_prefix(Some("ROTORD".to_owned())).boxed());
    let (layer, for_people) = match format {
        LogFormat::Json => (json(), false),
        LogFormat::Human => (human(), true),
        LogFormat::Auto if !under_systemd => (human(), true),
        LogFormat::Auto | LogFormat::Journald => journal().map_or_else(|| (human(), true), |layer| (layer, false)),
    };
    // A second call, as in a test, changes nothing.
    drop(tracing_subscriber::registry().with(layer.with_filter(filter)).try_init());
    for_people
}

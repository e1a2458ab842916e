//! `rotorctl web`: serves the local page, and tells how to come to it.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::sync::mpsc;

use super::args::WebArgs;
use super::output::say;
use super::{Failure, interrupted};
use crate::config::parse_duration;
use crate::control::Client;
use crate::daemon::harden;
use crate::web::{Listen, Web, WebError};

/// The port of the laptop from which SSH leads to a socket.
const LOCAL_PORT: u16 = 8080;

impl From<WebError> for Failure {
    fn from(error: WebError) -> Self {
        match error {
            WebError::Client(error) => error.into(),
            error => Self::usage(error.to_string()),
        }
    }
}

/// Parses a time as the config writes it: `90s`, `30m`, `8h`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    match parse_duration(text).ok().filter(|time| (1..=604_800).contains(&time.as_secs())) {
        Some(time) => Ok(time),
        None => Err("write a time as 90s, 30m or 8h; a week at most".into()),
    }
}

/// What is typed on another machine so that the page is there on a port of its own.
fn forward(port: u16, to: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    let user = user.map_or_else(String::new, |user| format!("{}@", user.name));
    format!("ssh -N -L {port}:{to} {user}{}", host.trim())
}

/// Opens a link in the browser of this desktop, where there is one.
fn open(link: &str) -> bool {
    let is_desktop = ["WAYLAND_DISPLAY", "DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let mut command = std::process::Command::new("xdg-open");
    is_desktop && command.arg(link).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().is_ok()
}

pub(super) async fn run(client: Client, args: WebArgs, json: bool) -> Result<u8, Failure> {
    // Tokens and passwords pass through this process.
    harden();
    let listen = args.listen.unwrap_or_else(Listen::free);
    let web = Web::bind(client, &listen, args.idle).await?;
    let (port, to) = match (&listen, web.port()) {
        (Listen::Unix(path), _) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
            (LOCAL_PORT, path.display().to_string())
        }
        (Listen::Tcp(_), port) => (port.unwrap_or(0), format!("127.0.0.1:{}", port.unwrap_or(0))),
    };
    let link = web.link(port)?;
    let ssh = forward(port, &to);
    if json {
        say!("{}", serde_json::json!({ "link": link, "ssh": ssh, "port": web.port() }));
    } else {
        say!("Open this link; it works once:\n\n    {link}\n");
        say!("From another machine, type this there first:\n\n    {ssh}\n");
        if std::io::stdin().is_terminal() {
            say!("Press Enter for another link, Ctrl-C to end.");
        }
    }
    if args.open && !open(&link) {
        eprintln!("rotorctl: there is no desktop here to open the link on");
    }
    let more = web.links(port);
    let again = async {
        if std::io::stdin().is_terminal() && !json {
            let mut lines = lines();
            while lines.recv().await.is_some() {
                if let Some(link) = more() {
                    say!("    {link}\n");
                }
            }
        }
        std::future::pending::<()>().await;
    };
    let why = tokio::select! {
        why = web.serve() => why,
        () = interrupted() => return Ok(0),
        () = terminated() => return Ok(0),
        () = again => return Ok(0),
    };
    if !json {
        say!("The page has ended: {why}.");
    }
    Ok(0)
}

/// Tells of each line that is typed. The thread that waits for one ends with the process.
fn lines() -> mpsc::Receiver<()> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        let typed = std::io::stdin().lines();
        let _ = typed.map_while(Result::ok).try_for_each(|_| sender.blocking_send(()).ok());
    });
    lines
}

/// Returns when the process is told to end, so that a socket is removed.
async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_the_config() {
        assert_eq!(time("30m"), Ok(Duration::from_secs(1800)));
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(time("8h"), Ok(Duration::from_secs(28_800)));
        for text in ["", "m", "0m", "8d", "-1s", "2w", "99999999999999999999h"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}

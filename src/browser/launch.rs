//! Where a browser runs: in the service `rotord-browser`, or in a process that the daemon itself starts with the same isolation.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::unistd::{Uid, User, geteuid};
use tokio::net::UnixStream;

/// The user of browsers, where the host has it.
const USER: &str = "rotord-browser";
/// Else one of these ids that nobody has: systemd takes the ids of its dynamic users from here too ("Users, Groups, UIDs and GIDs
/// on systemd systems").
const FREE_IDS: std::ops::Range<u32> = 61_184..65_520;
/// Bytes kept of what a helper says on its standard error.
const MOST_SAID: u64 = 4096;

/// The connection to a helper, and its process where the daemon started it.
pub(super) struct Helper {
    pub(super) socket: UnixStream,
    pub(super) process: Option<Process>,
}

/// A process that ends when it is dropped.
pub(super) struct Process(Child);

impl Process {
    /// What it said on its standard error, where it has ended.
    pub(super) fn last_words(&mut self) -> Option<String> {
        self.0.try_wait().ok().flatten()?;
        let mut said = Vec::new();
        self.0.stderr.take()?.take(MOST_SAID).read_to_end(&mut said).ok()?;
        Some(String::from_utf8_lossy(&said).trim().to_owned()).filter(|said| !said.is_empty())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its death takes all others of its namespaces along.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `rotord browser --inside` in user, network, PID, mount, IPC and UTS namespaces of its own; as another user, where one
/// is named. In its user namespace it has every capability at first, which it gives up before the browser starts.
///
/// # Errors
/// The program's own file is not known.
pub(super) fn isolated(user: Option<u32>) -> io::Result<Command> {
    let program = std::env::current_exe()?;
    let mut words: Vec<String> = Vec::new();
    if let Some(id) = user {
        words.extend(["setpriv".into(), format!("--reuid={id}"), format!("--regid={id}"), "--clear-groups".into()]);
        words.extend(["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--"].map(str::to_owned));
    }
    words.extend(
        [
            "unshare",
            "--user",
            "--map-current-user",
            "--keep-caps",
            "--net",
            "--pid",
            "--mount",
            "--ipc",
            "--uts",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--",
        ]
        .map(str::to_owned),
    );
    let first = words.first().cloned().unwrap_or_default();
    let mut command = Command::new(first);
    command.args(words.iter().skip(1)).arg(program).args(["browser", "--inside"]);
    command.current_dir("/").env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.stdout(Stdio::null());
    Ok(command)
}

/// A user id for one browser: that of the user for it, or one that nobody has and no process runs as.
fn user_for_browser() -> Option<u32> {
    if let Ok(Some(user)) = User::from_name(USER) {
        return Some(user.uid.as_raw());
    }
    let running = ids_of_processes();
    let is_free = |id: &u32| !running.contains(id) && matches!(User::from_uid(Uid::from_raw(*id)), Ok(None));
    // Two that start at the same moment shall not choose the same.
    let mut bytes = [0u8; 4];
    let _ = getrandom::fill(&mut bytes);
    let from = u32::from_le_bytes(bytes) % 4096;
    let count = FREE_IDS.end - FREE_IDS.start;
    (0..count).map(|at| FREE_IDS.start + (from + at) % count).find(is_free)
}

fn ids_of_processes() -> std::collections::BTreeSet<u32> {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.uid()).collect()
}

/// A helper for one session.
///
/// # Errors
/// There is none, in words: what to do.
pub(super) async fn helper(socket: &Path) -> Result<Helper, String> {
    match UnixStream::connect(socket).await {
        Ok(socket) => return Ok(Helper { socket, process: None }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(format!("{}: {error}; look at 'systemctl status rotord-browser.socket'", socket.display()));
        }
    }
    if !geteuid().is_root() {
        return Err(format!(
            "there is no {}, and a browser does not run as the daemon's own user: start rotord-browser.socket ('systemctl enable --now rotord-browser.socket')",
            socket.display()
        ));
    }
    let user = user_for_browser().ok_or("there is no user id left for a browser: create the user rotord-browser")?;
    let (here, there) = std::os::unix::net::UnixStream::pair().map_err(|error| error.to_string())?;
    here.set_nonblocking(true).map_err(|error| error.to_string())?;
    let child = isolated(Some(user))
        .and_then(|mut command| command.stdin(Stdio::from(OwnedFd::from(there))).stderr(Stdio::piped()).spawn())
        .map_err(|error| format!("setpriv and unshare (package util-linux) cannot be started: {error}"))?;
    let socket = UnixStream::from_std(here).map_err(|error| error.to_string())?;
    Ok(Helper { socket, process: Some(Process(child)) })
}

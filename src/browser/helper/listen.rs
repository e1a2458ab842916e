//! The helper as a service: a socket that the service manager holds, and a process in namespaces of its own for each session.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Stdio};

use tokio::net::{UnixListener, UnixStream};

use crate::browser::launch::isolated;

/// Sessions at the same time, at the most.
const MOST_SESSIONS: usize = 16;

/// Serves the socket that is standard input (systemd.exec(5), `StandardInput=socket`).
///
/// # Errors
/// Standard input is no listening socket, in words.
pub fn listen() -> Result<(), String> {
    let no_socket = |error: &dyn std::fmt::Display| {
        format!(
            "standard input is no socket that listens: {error}; 'rotord browser' is started by rotord-browser.socket"
        )
    };
    let socket = io::stdin().as_fd().try_clone_to_owned().map_err(|error| no_socket(&error))?;
    let listener = std::os::unix::net::UnixListener::from(socket);
    listener.set_nonblocking(true).map_err(|error| no_socket(&error))?;
    listener.local_addr().map_err(|error| no_socket(&error))?;
    let owner = owner_of(&listener);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let listener = UnixListener::from_std(listener).map_err(|error| no_socket(&error))?;
        serve(listener, owner).await
    })
}

/// Who owns the socket's file, beside root: the daemon's user.
fn owner_of(listener: &std::os::unix::net::UnixListener) -> Option<u32> {
    let address = listener.local_addr().ok()?;
    std::fs::metadata(address.as_pathname()?).ok().map(|meta| meta.uid())
}

async fn serve(listener: UnixListener, owner: Option<u32>) -> Result<(), String> {
    let sessions = std::sync::Arc::new(tokio::sync::Semaphore::new(MOST_SESSIONS));
    loop {
        let (socket, _) = listener.accept().await.map_err(|error| format!("the socket failed: {error}"))?;
        // The mode of the socket's file keeps others away; this does too, should somebody have changed it.
        let caller = socket.peer_cred().map(|caller| caller.uid());
        if !caller.is_ok_and(|uid| uid == 0 || Some(uid) == owner) {
            continue;
        }
        let Ok(permit) = sessions.clone().try_acquire_owned() else { continue };
        let Ok(mut child) = session(socket) else { continue };
        std::thread::spawn(move || {
            let _ = child.wait();
            drop(permit);
        });
    }
}

fn session(socket: UnixStream) -> io::Result<Child> {
    let socket: OwnedFd = socket.into_std()?.into();
    isolated(None)?.stdin(Stdio::from(socket)).spawn()
}

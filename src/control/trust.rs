//! Who may be the daemon at a socket: before anything is sent to a process there, the kernel tells whose it is.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Uid, User, geteuid};

/// The daemon's user by the unit for systemd.
const DAEMON_USER: &str = "rotord";

/// A folder above a socket: its owner, its group, its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Folder {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Folder {
    /// Whether root alone can put something into it.
    fn is_roots(self) -> bool {
        self.uid == 0 && self.mode & 0o002 == 0 && (self.mode & 0o020 == 0 || self.gid == 0)
    }
}

/// For whom root vouches: the owner of the first thing on the way down that is not root's, as only root can have put it there.
/// Nobody where others can put something on the way; root where all is root's.
fn vouched(way: &[Folder], socket_owner: u32) -> Option<u32> {
    for folder in way {
        if folder.uid != 0 {
            return Some(folder.uid);
        }
        if !folder.is_roots() {
            return None;
        }
    }
    Some(socket_owner)
}

/// The folders above a socket, from the root folder down.
fn way_to(socket: &Path) -> io::Result<Vec<Folder>> {
    let folder = socket.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = std::fs::canonicalize(folder)?;
    let mut way: Vec<&Path> = folder.ancestors().collect();
    way.reverse();
    let look = |folder: &Path| {
        let found = std::fs::metadata(folder)?;
        Ok(Folder { uid: found.uid(), gid: found.gid(), mode: found.mode() })
    };
    way.into_iter().map(look).collect()
}

/// Whether a process of this user may be the daemon at this socket: root, the caller himself, the daemon's user, or for whom root vouches.
fn may_be_daemon(socket: &Path, server: u32) -> bool {
    if server == 0 || server == geteuid().as_raw() {
        return true;
    }
    if User::from_name(DAEMON_USER).ok().flatten().is_some_and(|user| user.uid.as_raw() == server) {
        return true;
    }
    let Ok(found) = std::fs::symlink_metadata(socket) else { return false };
    way_to(socket).is_ok_and(|way| vouched(&way, found.uid()) == Some(server))
}

/// Refuses a process at the socket that may be anybody's.
///
/// # Errors
/// Whose it is, and what to do.
pub(super) fn check_server(socket: &Path, server: Option<u32>) -> Result<(), String> {
    let Some(server) = server else { return Err("the kernel does not tell whose process answers there".to_owned()) };
    if may_be_daemon(socket, server) {
        return Ok(());
    }
    let user =
        User::from_uid(Uid::from_raw(server)).ok().flatten().map_or_else(|| server.to_string(), |user| user.name);
    Err(format!(
        "the process there is of user {user}, who is neither root nor the daemon's user: nothing was sent to it. If {user} runs rotord here, have root make the socket's folder, for {user} alone to write (install -d -o {user} -m 755 FOLDER), where only root can write above it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(uid: u32, mode: u32) -> Folder {
        Folder { uid, gid: uid, mode }
    }

    #[test]
    fn root_vouches_for_whom_root_alone_gave_a_folder() {
        let (root, tmp) = (folder(0, 0o755), folder(0, 0o1777));
        for (way, socket_owner, vouches) in [
            (vec![root, root, folder(998, 0o755)], 998, Some(998)),
            // Another user's socket in it: the folder's owner is believed, and nobody else.
            (vec![root, root, folder(998, 0o777)], 1001, Some(998)),
            (vec![root, root], 998, Some(998)),
            (vec![root, root], 0, Some(0)),
            (vec![root, tmp], 1001, None),
            (vec![root, tmp, folder(1001, 0o700)], 1001, None),
            (vec![root, Folder { uid: 0, gid: 27, mode: 0o775 }], 1001, None),
            (vec![root, Folder { uid: 0, gid: 0, mode: 0o775 }, folder(998, 0o755)], 998, Some(998)),
        ] {
            assert_eq!(vouched(&way, socket_owner), vouches, "{way:?}");
        }
    }
}

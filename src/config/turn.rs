//! Whose turn it is to change the files of a config, or to read them as a whole.
//!
//! A command that writes into `config.d` has the turn alone until what it wrote is in force or gone again. A reload waits for it, so
//! that it never puts half of such a change in force. The lock is advisory (flock(2)) and goes with the process that has it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::files;

/// How soon it is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// The turn, until this is dropped.
#[derive(Debug)]
pub struct ConfigTurn(#[expect(dead_code, reason = "the lock ends as it is dropped")] Flock<File>);

/// What the turn is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnKind {
    /// To write files; nobody else has the turn meanwhile.
    Change,
    /// To read them; others may read too.
    Read,
}

/// Waits for the turn at the config in a folder, at most so long; `waiting` is called once where somebody else has it. Whoever may
/// read `rotord.toml` there can have it; where that file is missing it is the folder that is locked. This blocks.
///
/// # Errors
/// Neither can be opened, or somebody else has the turn still (`TimedOut`).
pub fn take_turn(folder: &Path, kind: TurnKind, patience: Duration, waiting: impl FnOnce()) -> io::Result<ConfigTurn> {
    let mut file = match files::open(&folder.join("rotord.toml")) {
        Ok(file) => file,
        Err(_) => File::open(folder)?,
    };
    let how = match kind {
        TurnKind::Change => FlockArg::LockExclusiveNonblock,
        TurnKind::Read => FlockArg::LockSharedNonblock,
    };
    let deadline = Instant::now() + patience;
    let mut waiting = Some(waiting);
    loop {
        file = match Flock::lock(file, how) {
            Ok(lock) => return Ok(ConfigTurn(lock)),
            Err((file, Errno::EWOULDBLOCK | Errno::EINTR)) => file,
            Err((_, error)) => return Err(error.into()),
        };
        if let Some(waiting) = waiting.take() {
            waiting();
        }
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_writes_is_alone_and_who_reads_is_not() {
        let folder = tempfile::tempdir().unwrap();
        for has_file in [false, true] {
            if has_file {
                std::fs::write(folder.path().join("rotord.toml"), "").unwrap();
            }
            let take = |kind| {
                let mut waited = false;
                let turn = take_turn(folder.path(), kind, Duration::ZERO, || waited = true);
                assert_eq!(waited, turn.is_err());
                turn.map_err(|error| error.kind())
            };
            let reader = take(TurnKind::Read).unwrap();
            drop(take(TurnKind::Read).unwrap());
            assert_eq!(take(TurnKind::Change).err(), Some(io::ErrorKind::TimedOut));
            drop(reader);
            let writer = take(TurnKind::Change).unwrap();
            for kind in [TurnKind::Read, TurnKind::Change] {
                assert_eq!(take(kind).err(), Some(io::ErrorKind::TimedOut), "{kind:?}");
            }
            drop(writer);
            take(TurnKind::Change).unwrap();
        }
        let nothing = take_turn(&folder.path().join("nothing"), TurnKind::Read, Duration::ZERO, || ());
        assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

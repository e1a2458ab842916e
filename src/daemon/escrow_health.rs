//! Whether the escrow folder takes files: found out before anything hangs on it, and in bounded time whatever its disk does.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::core::Core;
use crate::config::Config;

/// How long a look is waited for. It goes on in its own thread, and no second one is begun meanwhile.
const PATIENCE: Duration = Duration::from_secs(4);
/// A file that was written so lately shows that others can be.
const FRESH: Duration = Duration::from_secs(60);
/// The file that a look writes and removes.
const PROBE: &str = ".rotord-writes-here";

/// What the last looks found.
#[derive(Debug, Default)]
struct Found {
    folder: Option<PathBuf>,
    /// Why the last look failed.
    error: Option<String>,
    /// When a file was last written.
    written: Option<Instant>,
    /// When the look began that is under way.
    since: Option<Instant>,
}

/// The health of the escrow folder.
#[derive(Debug, Clone, Default)]
pub(super) struct EscrowHealth(Arc<(Mutex<Found>, Notify)>);

impl EscrowHealth {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a look, unless one is under way. Where a file was written a moment ago, none is.
    fn begin(&self, folder: &Path, work: impl FnOnce(&Path, bool) -> io::Result<()> + Send + 'static) {
        let mut found = self.found();
        if found.since.is_some() {
            return;
        }
        if found.folder.as_deref() != Some(folder) {
            *found = Found { folder: Some(folder.to_owned()), ..Found::default() };
        }
        let is_fresh = found.error.is_none() && found.written.is_some_and(|at| at.elapsed() < FRESH);
        found.since = Some(Instant::now());
        drop(found);
        let (health, folder) = (self.clone(), folder.to_owned());
        let look = std::thread::Builder::new().name("escrow".into()).spawn(move || {
            let looked = work(&folder, !is_fresh);
            let mut found = health.found();
            found.since = None;
            if found.folder.as_ref() == Some(&folder) {
                found.error = looked.as_ref().err().map(ToString::to_string);
                if looked.is_ok() && !is_fresh {
                    found.written = Some(Instant::now());
                }
            }
            drop(found);
            health.0.1.notify_waiters();
        });
        if let Err(error) = look {
            let mut found = self.found();
            (found.since, found.error) = (None, Some(error.to_string()));
        }
    }

    /// What the last look found to be wrong.
    pub(super) fn last_error(&self) -> Option<String> {
        self.found().error.clone()
    }

    /// Waits for the look that is under way, and tells what is wrong.
    async fn told(&self, patience: Duration) -> Option<String> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let ended = self.0.1.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            let Some(since) = self.found().since else { return self.found().error.clone() };
            if tokio::time::timeout_at(deadline, ended).await.is_err() {
                return Some(format!("its disk has not answered for {} s", since.elapsed().as_secs().max(1)));
            }
        }
    }

    /// Looks whether the folder takes files, and tells why not.
    async fn look(
        &self,
        folder: &Path,
        work: impl FnOnce(&Path, bool) -> io::Result<()> + Send + 'static,
    ) -> Option<String> {
        self.begin(folder, work);
        self.told(PATIENCE).await
    }
}

/// Whether the folder is there, and with `write`, whether a file in it can be made.
fn try_folder(folder: &Path, write: bool) -> io::Result<()> {
    if !fs::metadata(folder).is_ok_and(|found| found.is_dir()) {
        return Err(io::Error::other("there is no such folder; is its disk mounted?"));
    }
    if !write {
        return Ok(());
    }
    let probe = folder.join(PROBE);
    // A crash may have left one.
    if let Err(error) = fs::remove_file(&probe)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&probe)?;
    let written = file.write_all(b"rotord writes here\n").and_then(|()| file.sync_all());
    fs::remove_file(&probe)?;
    written
}

/// Makes the folder where it is missing, and tries it.
fn make_folder(folder: &Path, write: bool) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    try_folder(folder, write)
}

/// What is said where something is wrong with the folder.
fn in_words(folder: &Path, why: &str) -> String {
    format!("nothing can be put in escrow in {}: {why}; no password is changed until that is mended", folder.display())
}

impl Core {
    /// Makes the escrow folder, where the config names one that is not there, and tells at once where nothing can be put in it. Only
    /// as a config comes in force: later, a folder that is not there is that of a disk which is not mounted.
    pub(super) async fn prepare_escrow(&self, config: &Config) {
        let Some(folder) = &config.escrow else { return };
        if let Some(why) = self.escrow_health.look(folder, make_folder).await {
            return tracing::error!("{}", in_words(folder, &why));
        }
        let (folder, state) = (folder.clone(), config.daemon.state_dir.clone());
        let same = tokio::task::spawn_blocking(move || {
            let disk = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
            (disk(&folder) == disk(&state)).then_some(folder)
        });
        if let Ok(Ok(Some(folder))) = tokio::time::timeout(PATIENCE, same).await {
            let shown = folder.display();
            tracing::warn!(
                "the escrow in {shown} is on the same disk as the vault: whatever destroys that may take both"
            );
        }
    }

    /// Why nothing can be put in escrow at present; no password is changed then.
    pub async fn escrow_error(&self) -> Option<String> {
        let folder = self.config().escrow.clone()?;
        let why = self.escrow_health.look(&folder, try_folder).await?;
        Some(in_words(&folder, &why))
    }

    /// Whether new passwords can be put in escrow, where the config in force for an attempt names a folder: else no login is
    /// worth a try.
    pub(super) async fn escrow_is_ready(&self, config: &Config, own: Option<PathBuf>) -> Result<(), String> {
        let Some(folder) = &config.escrow else { return Ok(()) };
        let work = move |folder: &Path, write: bool| {
            try_folder(folder, write)?;
            match own.as_deref().map(fs::symlink_metadata) {
                Some(Ok(found)) if !found.is_dir() => Err(io::Error::other("the account's folder in it is no folder")),
                _ => Ok(()),
            }
        };
        match self.escrow_health.look(folder, work).await {
            None => Ok(()),
            Some(why) => {
                let shown = folder.display();
                Err(format!("a new password cannot be put in escrow in {shown}, so it is not sent: {why}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_that_takes_no_file_is_told_of_and_one_that_does_again_is_not() {
        let place = tempfile::tempdir().unwrap();
        let (health, folder) = (EscrowHealth::default(), place.path().join("escrow"));
        assert!(health.look(&folder, try_folder).await.unwrap().contains("mounted"));
        assert_eq!(health.look(&folder, make_folder).await, None);
        assert!(fs::read_dir(&folder).unwrap().next().is_none(), "nothing is left in it");
        // A file in its place, or a pipe: nothing is opened that could hang.
        let pipe = place.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(health.look(&pipe, make_folder).await.is_some());
        assert_eq!(health.look(&folder, try_folder).await, None);
        fs::remove_dir(&folder).unwrap();
        assert!(health.look(&folder, try_folder).await.is_some(), "it is looked at each time");
    }

    #[tokio::test]
    async fn a_disk_that_does_not_answer_holds_nobody_and_gets_no_second_look() {
        let health = EscrowHealth::default();
        let (answer, hangs) = std::sync::mpsc::channel::<()>();
        let hung = move |_: &Path, _: bool| {
            let _ = hangs.recv();
            Ok(())
        };
        let (folder, moment) = (Path::new("/nowhere"), Duration::from_millis(50));
        health.begin(folder, hung);
        assert!(health.told(moment).await.unwrap().contains("not answered"));
        health.begin(folder, |_: &Path, _: bool| panic!("a second look"));
        assert!(health.told(moment).await.unwrap().contains("not answered"));
        drop(answer);
        assert_eq!(health.told(PATIENCE).await, None);
    }
}

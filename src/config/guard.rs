//! Who could change what the daemon goes by: the config, templates, the key, the state folder, escrow, the host keys on record and
//! the socket's place. And whether what it will open is of the kind that it expects.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use nix::unistd::{Uid, geteuid};

use super::sources::{Source, drop_ins};
use super::{Config, KeySource};
use crate::files::{self, Last, Trusted, writable_by_others};
use crate::known_hosts;
use crate::model::{Problem, Severity};

/// Who reads the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// The daemon itself.
    Daemon,
    /// Somebody who looks at a daemon's config, such as root before it starts.
    Inspector,
}

/// How long a disk may take on which nothing but escrow is.
const PATIENCE: Duration = Duration::from_secs(5);

/// More lines of one `known_hosts` file are not told.
const MOST_LINES: usize = 20;
/// A `known_hosts` file of a large site has some hundred thousand bytes.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

pub(super) fn check(path: &Path, sources: &[Source], config: &Config, reader: Reader, problems: &mut Vec<Problem>) {
    let mut guard = Guard { trusted: trusted(config, reader), told: BTreeSet::new(), problems };
    for source in sources {
        guard.content(&source.path);
    }
    guard.content(&drop_ins(path));
    for dir in &config.daemon.template_dirs {
        guard.content(dir);
    }
    for (_, entry) in config.library.iter() {
        guard.content(&entry.file);
        entry.file.parent().into_iter().for_each(|folder| guard.content(folder));
    }
    if let KeySource::File(file) = &config.vault_key {
        guard.content(file);
        guard.plain(file);
    }
    guard.state(&config.daemon.state_dir);
    guard.socket(&config.daemon.socket);
    let known_hosts: BTreeSet<&PathBuf> =
        config.devices.values().filter_map(|device| device.ssh()?.known_hosts.as_ref()).collect();
    for file in known_hosts {
        guard.known_hosts(file);
    }
    if let Some(folder) = &config.escrow {
        guard.escrow(folder);
    }
    for notifier in config.notifiers.values() {
        notifier.trusted_files().into_iter().for_each(|file| guard.named(file));
        notifier.secret_files().into_iter().for_each(|file| guard.secret(file));
    }
}

/// In whose hands files are safe. Who only looks at a config takes the owner of the key, or of the state folder, for the daemon's
/// user, as long as nobody else may even read them.
fn trusted(config: &Config, reader: Reader) -> Trusted {
    let owners = match reader {
        Reader::Daemon => Vec::new(),
        Reader::Inspector => owners(&config.vault_key, &config.daemon.state_dir),
    };
    owners.into_iter().fold(Trusted::own(), Trusted::and)
}

/// Who owns the key and the state folder, as far as they are there and nobody else may even read them.
fn owners(key: &KeySource, state_dir: &Path) -> Vec<u32> {
    let key = match key {
        KeySource::File(file) => Some(file.as_path()),
        KeySource::Credential(_) => None,
    };
    let private = |path: &Path| fs::symlink_metadata(path).ok().filter(|found| found.mode() & 0o077 == 0);
    key.into_iter().chain([state_dir]).filter_map(private).map(|found| found.uid()).collect()
}

/// The user that the daemon runs as: whoever reads the config, or for who only looks at it, the owner of the key or of the state
/// folder.
pub(super) fn runs_as(key: &KeySource, state_dir: &Path, reader: Reader) -> Uid {
    let owner = match reader {
        Reader::Daemon => None,
        Reader::Inspector => owners(key, state_dir).first().copied(),
    };
    owner.map_or_else(geteuid, Uid::from_raw)
}

struct Guard<'a> {
    trusted: Trusted,
    /// Each permission is told once, whatever depends on it.
    told: BTreeSet<PathBuf>,
    problems: &'a mut Vec<Problem>,
}

impl Guard<'_> {
    fn error(&mut self, path: &Path, code: &str, message: impl Into<String>) {
        self.problems.push(Problem::at(path, "", 0..0, Severity::Error, code, message));
    }

    fn content(&mut self, path: &Path) {
        self.look(path, Last::Content);
    }

    fn look(&mut self, path: &Path, last: Last) {
        if let Err(exposed) = writable_by_others(path, last, &self.trusted)
            && self.told.insert(exposed.culprit)
        {
            self.error(path, "C013", exposed.why);
        }
    }

    fn plain(&mut self, path: &Path) {
        if let Err(error) = files::plain_or_absent(path)
            && !matches!(error, files::FileError::Io(_))
        {
            self.error(path, "C009", error.to_string());
        }
    }

    /// A file that the config names, which is to be there.
    fn named(&mut self, path: &Path) {
        self.content(path);
        if let Err(error) = fs::metadata(path) {
            let message = format!("cannot be read: {error}");
            self.problems.push(Problem::at(path, "", 0..0, Severity::Warning, "C009", message));
        } else {
            self.plain(path);
        }
    }

    /// The same, and nobody else is to read it.
    fn secret(&mut self, path: &Path) {
        self.named(path);
        if let Ok(found) = fs::metadata(path)
            && found.mode() & 0o077 != 0
        {
            let mode = found.mode() & 0o777;
            let message = format!("others can read this secret (mode {mode:04o}); run: chmod 0600 {}", path.display());
            self.error(path, "C013", message);
        }
    }

    /// The state folder, and whatever the vault opens in it.
    fn state(&mut self, folder: &Path) {
        self.content(folder);
        if fs::metadata(folder).is_ok_and(|found| !found.is_dir()) {
            return self.error(folder, "C009", "the state_dir is no folder");
        }
        for name in ["vault.db", "vault.db-wal", "vault.db-shm", "vault.db-journal", "lock"] {
            let file = folder.join(name);
            self.content(&file);
            self.plain(&file);
        }
        let audit = folder.join("audit");
        self.content(&audit);
        for entry in fs::read_dir(&audit).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "jsonl") {
                self.content(&entry.path());
                self.plain(&entry.path());
            }
        }
    }

    /// The socket's place. What is there is removed by the daemon only if it is a socket that nobody answers on.
    fn socket(&mut self, path: &Path) {
        self.look(path, Last::Place);
        if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
            let message = "the socket is to be here, and there is something else already, which is not removed; name another path";
            self.error(path, "C009", message);
        }
    }

    fn known_hosts(&mut self, file: &Path) {
        self.content(file);
        let bytes = match files::read(file, MOST_BYTES) {
            Ok((bytes, _)) => bytes,
            // That it is not there is told where it is named.
            Err(_) if !file.exists() => return,
            Err(error) => return self.error(file, "C009", format!("cannot be read: {error}")),
        };
        let text = String::from_utf8_lossy(&bytes);
        let starts: Vec<usize> = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        for unclear in known_hosts::lines(&bytes).filter_map(Result::err).take(MOST_LINES) {
            let message = if unclear.revokes {
                format!(
                    "{}, and it seems to revoke a key: no host that it may be about is logged in to until that is mended",
                    unclear.why
                )
            } else {
                format!("{}, so the line is passed over, as ssh does", unclear.why)
            };
            let at = starts.get(unclear.line - 1).copied().unwrap_or(0);
            let problem = Problem::at(file, &text, at..at, Severity::Warning, "C018", message);
            self.problems.push(problem.without_source());
        }
    }

    /// The folder of escrow may be on a disk that does not answer, for which nothing waits.
    fn escrow(&mut self, folder: &Path) {
        let (answer, found) = mpsc::channel();
        let (path, trusted) = (folder.to_owned(), self.trusted.clone());
        std::thread::spawn(move || {
            let looked = writable_by_others(&path, Last::Content, &trusted);
            let is_folder = fs::metadata(&path).map_or(true, |found| found.is_dir());
            drop(answer.send((looked, is_folder)));
        });
        match found.recv_timeout(PATIENCE) {
            Ok((Err(exposed), _)) => {
                if self.told.insert(exposed.culprit) {
                    self.error(folder, "C013", exposed.why);
                }
            }
            Ok((Ok(()), true)) => {}
            Ok((Ok(()), false)) => self.error(folder, "C009", "escrow is to be here, and this is no folder"),
            Err(_) => {
                let message = format!(
                    "its disk did not answer within {} s: no password is changed until it does",
                    PATIENCE.as_secs()
                );
                self.problems.push(Problem::at(folder, "", 0..0, Severity::Warning, "C009", message));
            }
        }
    }
}

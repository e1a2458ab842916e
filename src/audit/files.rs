//! The log's files: `audit-YYYY-MM.jsonl` in one folder, appended and synced.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::event::Chained;

/// The folder's log files in order.
///
/// # Errors
/// The folder cannot be read.
pub fn log_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    Ok(files)
}

/// The files of months before one (`2026-10`), in order; never the newest, to which the log goes on.
///
/// # Errors
/// The folder cannot be read.
pub fn months_before(folder: &Path, month: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = log_files(folder)?;
    files.pop();
    let before = |path: &PathBuf| {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        name.strip_prefix("audit-").is_some_and(|of| of < month)
    };
    Ok(files.into_iter().take_while(before).collect())
}

/// Moves files into the folder `archived` beside them, which is made where it is missing. Returns that folder.
///
/// # Errors
/// A file is there already, or cannot be moved.
pub fn set_aside(files: &[PathBuf], folder: &Path) -> io::Result<PathBuf> {
    let aside = folder.join("archived");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&aside)?;
    for file in files {
        let target = aside.join(file.file_name().unwrap_or_default());
        if target.exists() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is there already", target.display())));
        }
        std::fs::rename(file, target)?;
    }
    File::open(&aside)?.sync_all()?;
    File::open(folder)?.sync_all()?;
    Ok(aside)
}

/// Number and hash of a file's last event; `None` for an empty file.
///
/// # Errors
/// It cannot be read, or its last line is no event.
pub fn last_event(path: &Path) -> io::Result<Option<(u64, String)>> {
    let Some(value) = last_line(path)? else { return Ok(None) };
    let text = |key: &str| value.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
    Ok(value.get("seq").and_then(serde_json::Value::as_u64).zip(text("hash")))
}

/// The log, open for appending.
#[derive(Debug)]
pub struct LogFiles {
    folder: PathBuf,
    open: Option<(String, File)>,
    /// Number and hash of the last event that is in the files.
    last: Option<(u64, String)>,
    /// Where a line begins in the open file that could not be finished, and not be undone yet.
    torn: Option<u64>,
    unsynced: bool,
    /// Bytes of the open file behind the last line that was written to it.
    written: u64,
}

impl LogFiles {
    /// Opens the log of a folder, making it where it is missing. A last line that was torn by a crash is moved to a
    /// file `torn-…` beside it; the vault appends the event again.
    ///
    /// # Errors
    /// The folder or its files cannot be read or written.
    pub fn open(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut log =
            Self { folder: folder.to_owned(), open: None, last: None, torn: None, unsynced: false, written: 0 };
        let files = log_files(folder)?;
        if let Some(last) = files.last() {
            set_torn_line_aside(last)?;
        }
        // A file made right before a crash may be empty; then the one before it ends the log.
        for file in files.iter().rev() {
            log.last = last_event(file)?;
            if log.last.is_some() {
                break;
            }
        }
        Ok(log)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Number and hash of the last event that is in the files.
    #[must_use]
    pub fn last(&self) -> Option<(u64, &str)> {
        self.last.as_ref().map(|(seq, hash)| (*seq, hash.as_str()))
    }

    /// Appends what is not in the files yet, and returns once it is on the disk.
    ///
    /// # Errors
    /// A write or sync failed: nothing may be acted upon. The next call goes on where this one stopped.
    pub fn append(&mut self, events: &[Chained]) -> io::Result<()> {
        let last = self.last.as_ref().map_or(0, |(seq, _)| *seq);
        let missing = &events[events.partition_point(|event| event.seq <= last)..];
        for of_month in missing.chunk_by(|one, next| month_of(one) == month_of(next)) {
            self.write(of_month)?;
        }
        // A line whose sync failed is in the file already: the next call syncs it and does not write it again.
        if self.unsynced {
            if let Some((_, file)) = &self.open {
                file.sync_data()?;
            }
            self.unsynced = false;
        }
        Ok(())
    }

    /// Writes lines of one month in one piece.
    fn write(&mut self, events: &[Chained]) -> io::Result<()> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(()) };
        let month = month_of(first).to_owned();
        let mut lines = String::with_capacity(events.iter().map(|event| event.line.len() + 1).sum());
        for event in events {
            lines.push_str(&event.line);
            lines.push('\n');
        }
        self.undo_half_line()?;
        self.leave_what_was_replaced();
        let file = self.file(&month)?;
        let before = file.metadata()?.len();
        if let Err(error) = file.write_all(lines.as_bytes()) {
            self.torn = Some(before);
            drop(self.undo_half_line());
            return Err(error);
        }
        self.written = file.metadata()?.len();
        self.last = Some((last.seq, last.hash.clone()));
        self.unsynced = true;
        Ok(())
    }

    /// Somebody may move, remove or cut the open file, as logrotate(8) does: what is appended to it then would be in no log. The
    /// log goes on in the file that has its name, and its check tells what is missing.
    fn leave_what_was_replaced(&mut self) {
        let Some((month, file)) = &self.open else { return };
        let path = self.path(month);
        let same = |named: Metadata, open: Metadata| (named.dev(), named.ino()) == (open.dev(), open.ino());
        let there = std::fs::symlink_metadata(&path).and_then(|named| Ok(same(named, file.metadata()?)));
        let length = file.metadata().map_or(0, |found| found.len());
        if !there.unwrap_or(false) || length < self.written {
            tracing::error!(
                "{} was moved, removed or cut by somebody else: events are missing in the audit log. Put the file back, or see 'rotorctl audit verify'; take it out of logrotate's folders",
                path.display()
            );
            self.open = None;
            self.written = 0;
        }
    }

    fn path(&self, month: &str) -> PathBuf {
        self.folder.join(format!("audit-{month}.jsonl"))
    }

    /// A half line must not stay in front of the next one.
    fn undo_half_line(&mut self) -> io::Result<()> {
        if let (Some(begin), Some((_, file))) = (self.torn, &self.open) {
            file.set_len(begin)?;
            self.torn = None;
        }
        Ok(())
    }

    fn file(&mut self, month: &str) -> io::Result<&mut File> {
        // A clock that was set back must not send a line into an older file: lines stay in order over all files.
        let newest = log_files(&self.folder)?
            .last()
            .and_then(|path| Some(path.file_stem()?.to_str()?.trim_start_matches("audit-").to_owned()));
        let month = newest.filter(|newest| newest.as_str() > month).unwrap_or_else(|| month.to_owned());
        if self.open.as_ref().is_none_or(|(open, _)| *open != month) {
            if let Some((_, file)) = self.open.take() {
                file.sync_data()?;
            }
            let path = self.path(&month);
            self.written = 0;
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
            File::open(&self.folder)?.sync_all()?;
            self.open = Some((month.clone(), file));
        }
        match &mut self.open {
            Some((_, file)) => Ok(file),
            None => Err(io::Error::other("the log is not open")),
        }
    }
}

/// The month of an event, as its line tells it: `2026-10`.
fn month_of(event: &Chained) -> &str {
    event.line.split("\"time\":\"").nth(1).and_then(|rest| rest.get(..7)).unwrap_or("0000-00")
}

/// The last `most` bytes of a file, and where they begin.
pub(super) fn tail(file: &mut File, most: u64) -> io::Result<(u64, Vec<u8>)> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(most);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok((start, bytes))
}

fn set_torn_line_aside(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let (start, bytes) = tail(&mut file, 1 << 20)?;
    if bytes.is_empty() || bytes.ends_with(b"\n") {
        return Ok(());
    }
    let keep = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let offset = start + u64::try_from(keep).unwrap_or(0);
    let aside = path.with_file_name(format!(
        "torn-at-{offset}-of-{}",
        path.file_name().unwrap_or_default().to_string_lossy().replace(".jsonl", ".txt")
    ));
    std::fs::write(aside, &bytes[keep..])?;
    file.set_len(offset)?;
    file.sync_all()
}

fn last_line(path: &Path) -> io::Result<Option<serde_json::Value>> {
    let (_, bytes) = tail(&mut File::open(path)?, 1 << 20)?;
    let text = String::from_utf8_lossy(&bytes);
    let Some(line) = text.lines().last() else {
        return Ok(None);
    };
    let value = serde_json::from_str(line).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the last line of {} is no audit event; run 'rotorctl audit verify'", path.display()),
        )
    })?;
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Draft, GENESIS, verify_files};
    use crate::model::EventKind;

    #[test]
    fn a_torn_last_line_is_set_aside_and_the_event_appended_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = Draft::new(EventKind::DaemonStart).chain(1, 1_700_000_000_000, GENESIS).unwrap();
        let second = Draft::new(EventKind::DaemonStop).chain(2, 1_700_000_000_000, &first.hash).unwrap();
        LogFiles::open(folder.path()).unwrap().append(std::slice::from_ref(&first)).unwrap();
        let path = log_files(folder.path()).unwrap().remove(0);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&second.line.as_bytes()[..40]).unwrap();
        let mut log = LogFiles::open(folder.path()).unwrap();
        assert_eq!(log.last().unwrap().0, 1);
        log.append(&[first, second]).unwrap();
        let report = verify_files(folder.path(), None).unwrap();
        assert!(report.ok && report.events == 2, "{report:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "the torn line is kept");
    }

    #[test]
    fn a_half_line_that_could_not_be_undone_at_once_is_undone_before_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let first = Draft::new(EventKind::DaemonStart).chain(1, 1_700_000_000_000, GENESIS).unwrap();
        // Of the month after: its line goes into another file.
        let second = Draft::new(EventKind::DaemonStop).chain(2, 1_703_000_000_000, &first.hash).unwrap();
        let mut log = LogFiles::open(folder.path()).unwrap();
        log.append(std::slice::from_ref(&first)).unwrap();
        let file = &mut log.open.as_mut().unwrap().1;
        log.torn = Some(file.metadata().unwrap().len());
        file.write_all(&second.line.as_bytes()[..40]).unwrap();
        log.append(&[first, second]).unwrap();
        let report = verify_files(folder.path(), None).unwrap();
        assert!(report.ok && report.events == 2, "{report:?}");
    }

    #[test]
    fn a_log_that_is_moved_or_cut_while_it_is_open_goes_on_under_its_name_and_the_check_finds_it() {
        for cut in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let first = Draft::new(EventKind::DaemonStart).chain(1, 1_700_000_000_000, GENESIS).unwrap();
            let second = Draft::new(EventKind::DaemonStop).chain(2, 1_700_000_000_000, &first.hash).unwrap();
            let mut log = LogFiles::open(folder.path()).unwrap();
            log.append(std::slice::from_ref(&first)).unwrap();
            let path = log_files(folder.path()).unwrap().remove(0);
            if cut {
                File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
            } else {
                std::fs::rename(&path, folder.path().join("audit.old")).unwrap();
            }
            log.append(std::slice::from_ref(&second)).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", second.line));
            assert!(!verify_files(folder.path(), Some((2, &second.hash))).unwrap().ok);
        }
    }
}

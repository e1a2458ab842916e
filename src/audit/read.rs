//! Reading a part of the log without reading all of it: the numbers of its lines rise, so that a line is found by halving.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde_json::Value;

use super::event::Event;
use super::files::{log_files, tail};

/// From a stretch of so many bytes on it is read through.
const SHORT: u64 = 64 * 1024;

/// The number of a line of the log, which stands at its beginning. What is behind it is not looked at.
fn seq_of(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(b"{\"seq\":")?;
    let end = rest.iter().position(|byte| *byte == b',')?;
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

/// The first `most` events of a folder's log whose numbers are above `after`. Lines that are no events are passed over.
///
/// # Errors
/// The folder or its files cannot be read.
pub fn events_after(folder: &Path, after: u64, most: usize) -> io::Result<Vec<Value>> {
    let mut events = Vec::new();
    each_after(folder, after, most, &mut |line| {
        events.extend(serde_json::from_slice::<Value>(line).ok());
        Ok(())
    })?;
    Ok(events)
}

/// The same, line by line as they stand in the log, so that nothing but one of them is held.
///
/// # Errors
/// As for [`events_after`], and what `take` says.
pub fn each_after(
    folder: &Path,
    after: u64,
    most: usize,
    take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut taken = 0;
    for path in files_after(folder, after)? {
        let mut reader = BufReader::new(File::open(path)?);
        let begin = first_above(&mut reader, after)?;
        reader.seek(SeekFrom::Start(begin))?;
        let mut line = Vec::new();
        while taken < most && read_line(&mut reader, &mut line)? {
            // The last line may be half written at this moment.
            if seq_of(&line).is_some_and(|seq| seq > after) && serde_json::from_slice::<IgnoredAny>(&line).is_ok() {
                take(&line)?;
                taken += 1;
            }
        }
        if taken >= most {
            break;
        }
    }
    Ok(())
}

/// The last `most` events of a folder's log among those whose numbers are above `after`.
///
/// # Errors
/// As for [`events_after`].
pub fn last_events(folder: &Path, after: u64, most: usize) -> io::Result<Vec<Value>> {
    events_after(folder, before_last(folder, after, most)?, most)
}

/// The number before those events.
///
/// # Errors
/// As for [`events_after`].
pub fn before_last(folder: &Path, after: u64, most: usize) -> io::Result<u64> {
    let mut head = 0;
    for path in log_files(folder)?.iter().rev() {
        let (_, end) = tail(&mut File::open(path)?, 1 << 20)?;
        // The last line may be half written at this moment.
        if let Some(seq) = end.split(|byte| *byte == b'\n').rev().find_map(seq_of) {
            head = seq;
            break;
        }
    }
    Ok(after.max(head.saturating_sub(u64::try_from(most).unwrap_or(u64::MAX))))
}

/// The number before the first event at or after a time, in milliseconds since 1970. It is found by halving: where the clock was
/// set back, it is the number before one of those that are.
///
/// # Errors
/// As for [`events_after`].
pub fn before_time(folder: &Path, wall_ms: i64) -> io::Result<u64> {
    let (mut low, mut high) = (0, before_last(folder, 0, 0)?);
    while low < high {
        let middle = low + (high - low) / 2;
        let mut next = None;
        each_after(folder, middle, 1, &mut |line| {
            next = Event::parse(line);
            Ok(())
        })?;
        match next {
            Some(event) if event.wall_ms < wall_ms => low = event.seq,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The files that may hold events above a number: those before the last one that begins at or before it are left out.
fn files_after(folder: &Path, after: u64) -> io::Result<Vec<PathBuf>> {
    let files = log_files(folder)?;
    let mut first = 0;
    for (place, path) in files.iter().enumerate() {
        let mut line = Vec::new();
        let read = read_line(&mut BufReader::new(File::open(path)?), &mut line)?;
        match seq_of(&line).filter(|_| read) {
            Some(seq) if seq > after => break,
            Some(_) => first = place,
            // A file made right before a crash may be empty.
            None => {}
        }
    }
    Ok(files.into_iter().skip(first).collect())
}

/// Reads a line without its end; `false` where there is none.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let read = reader.read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(read > 0)
}

/// Where reading begins so that no line with a number above `after` is missed: the begin of a line, at most some
/// [`SHORT`] bytes before the first such.
fn first_above(reader: &mut BufReader<File>, after: u64) -> io::Result<u64> {
    // No line before `low`, where a line begins, is wanted. `high` only narrows the search.
    let (mut low, mut high) = (0, reader.get_ref().metadata()?.len());
    let mut line = Vec::new();
    while high - low > SHORT {
        let middle = low + (high - low) / 2;
        reader.seek(SeekFrom::Start(middle))?;
        // A line is begun before the middle, or at it: the next one is looked at.
        read_line(reader, &mut line)?;
        let mut begin = reader.stream_position()?;
        let seq = loop {
            if begin >= high || !read_line(reader, &mut line)? {
                break None;
            }
            match seq_of(&line) {
                Some(seq) => break Some(seq),
                None => begin = reader.stream_position()?,
            }
        };
        match seq {
            Some(seq) if seq <= after => low = begin,
            // Nothing that is wanted begins between the middle and there.
            _ => high = middle,
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Chained, Draft, GENESIS, LogFiles};
    use crate::model::EventKind;

    /// A log over two months, whose lines are of many lengths; among them one that is no event.
    fn log(folder: &Path, events: u64) {
        let mut prev = GENESIS.to_owned();
        let mut chained: Vec<Chained> = Vec::new();
        for seq in 1..=events {
            let wall_ms = if seq <= events / 3 { 1_700_000_000_000 } else { 1_703_000_000_000 };
            let detail = "x".repeat(usize::try_from(seq * 37 % 900).unwrap());
            let event = Draft::new(EventKind::DaemonReload).detail(detail).chain(seq, wall_ms, &prev).unwrap();
            prev = event.hash.clone();
            chained.push(event);
        }
        LogFiles::open(folder).unwrap().append(&chained).unwrap();
        let path = log_files(folder).unwrap().pop().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let middle = text.len() / 2 + text[text.len() / 2..].find('\n').unwrap() + 1;
        std::fs::write(&path, format!("{}no event\n{}", &text[..middle], &text[middle..])).unwrap();
    }

    fn numbers(events: &[Value]) -> Vec<u64> {
        events.iter().map(|event| event["seq"].as_u64().unwrap()).collect()
    }

    #[test]
    fn each_event_is_found_from_wherever_one_begins() {
        let folder = tempfile::tempdir().unwrap();
        log(folder.path(), 1500);
        assert_eq!(log_files(folder.path()).unwrap().len(), 2);
        for after in (0..1510).step_by(7).chain([498, 499, 500, 501, 1498, 1499, 1500]) {
            let found = numbers(&events_after(folder.path(), after, 5).unwrap());
            assert_eq!(found, (after + 1..=1500).take(5).collect::<Vec<_>>(), "after {after}");
        }
        assert_eq!(numbers(&last_events(folder.path(), 0, 3).unwrap()), [1498, 1499, 1500]);
        assert_eq!(numbers(&last_events(folder.path(), 1499, 3).unwrap()), [1500]);
        assert_eq!(last_events(folder.path(), 0, 10_000).unwrap().len(), 1500);
        assert!(last_events(folder.path(), 0, 0).unwrap().is_empty());
    }

    #[test]
    fn the_first_event_since_a_time_is_found() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(before_time(folder.path(), 0).unwrap(), 0);
        log(folder.path(), 1500);
        for (wall_ms, before) in [
            (0, 0),
            (1_700_000_000_000, 0),
            (1_700_000_000_001, 500),
            (1_703_000_000_000, 500),
            (1_703_000_000_001, 1500),
        ] {
            assert_eq!(before_time(folder.path(), wall_ms).unwrap(), before, "{wall_ms}");
        }
    }

    #[test]
    fn to_find_an_event_little_of_the_log_is_read() {
        let folder = tempfile::tempdir().unwrap();
        log(folder.path(), 1500);
        for path in log_files(folder.path()).unwrap() {
            let mut reader = BufReader::new(File::open(&path).unwrap());
            for after in [0, 250, 800, 1499] {
                let begin = first_above(&mut reader, after).unwrap();
                reader.seek(SeekFrom::Start(begin)).unwrap();
                let mut line = Vec::new();
                let mut passed = 0;
                while read_line(&mut reader, &mut line).unwrap() && seq_of(&line).is_none_or(|seq| seq <= after) {
                    passed += line.len() as u64 + 1;
                }
                assert!(passed <= SHORT + 2000, "{passed} bytes are read in vain after {after}");
            }
        }
    }

    #[test]
    fn a_log_without_events_has_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(events_after(folder.path(), 0, 10).unwrap().is_empty());
        std::fs::write(folder.path().join("audit-2026-01.jsonl"), "").unwrap();
        assert!(last_events(folder.path(), 0, 10).unwrap().is_empty());
    }
}

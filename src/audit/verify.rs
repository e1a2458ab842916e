//! Checking the chain: a line that was changed, removed, added or moved is found.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::event::{GENESIS, hash_of};
use super::files::log_files;
use crate::files;
use crate::model::EventKind;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Report {
    /// Whether every line is as it was written.
    pub ok: bool,
    /// Lines that are.
    pub events: u64,
    /// `seq` of the first line that is not what it should be; for a log cut short, of the first missing one.
    pub first_bad: Option<u64>,
    /// What is wrong with it.
    pub why: Option<String>,
    /// Lines behind the last event that the vault knows of; each follows the one before it.
    #[serde(default)]
    pub extra: u64,
}

#[derive(Deserialize)]
struct Link {
    seq: u64,
    event: String,
    detail: Option<String>,
    prev: String,
    hash: String,
}

/// The detail of [`EventKind::AuditArchived`]: the files with all events up to one were set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// Number of the last event that was set aside.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
    /// The files.
    pub files: String,
}

impl std::fmt::Display for Archived {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "up to event {}, hash {}: {}", self.seq, self.hash, self.files)
    }
}

impl Archived {
    /// Reads what [`Display`](std::fmt::Display) writes.
    #[must_use]
    pub fn parse(detail: &str) -> Option<Self> {
        let (seq, rest) = detail.strip_prefix("up to event ")?.split_once(", hash ")?;
        let (hash, files) = rest.split_once(": ")?;
        Some(Self { seq: seq.parse().ok()?, hash: hash.to_owned(), files: files.to_owned() })
    }
}

/// Checks lines in order, from the first of the log, or from the first behind those that an event of the log tells to be
/// set aside. `head` is the (seq, hash) that the vault knows: the line of that number is to have that hash, so that a log that
/// was cut short or written anew is found as well; and what stands behind it is none of the vault's.
pub fn verify_lines<E: ToString>(lines: impl Iterator<Item = Result<String, E>>, head: Option<(u64, &str)>) -> Report {
    let (mut seq, mut prev) = (0u64, GENESIS.to_owned());
    let (mut begin, mut archived) = (None, Vec::new());
    let mut at_head = None;
    let bad =
        |seq: u64, why: String| Report { events: seq, first_bad: Some(seq + 1), why: Some(why), ..Report::default() };
    for line in lines {
        let line = match line {
            Ok(line) => line,
            Err(error) => return bad(seq, format!("cannot be read: {}", error.to_string())),
        };
        let Ok(link) = serde_json::from_str::<Link>(&line) else {
            return bad(seq, "this line is no audit event".into());
        };
        let suffix = format!(",\"hash\":\"{}\"}}", link.hash);
        let Some(body) = line.strip_suffix(&suffix) else {
            return bad(seq, "the hash is not the line's last key".into());
        };
        if begin.is_none() {
            begin = Some((link.seq.saturating_sub(1), link.prev.clone()));
            if link.seq > 1 {
                (seq, prev) = (link.seq - 1, link.prev.clone());
            }
        }
        if link.seq != seq + 1 {
            return bad(seq, format!("seq {} stands where {} should", link.seq, seq + 1));
        }
        if link.prev != prev {
            return bad(seq, "it does not follow the line before it".into());
        }
        if hash_of(&format!("{body}}}")) != link.hash {
            return bad(seq, "it was changed after it was written".into());
        }
        if EventKind::parse(&link.event) == Some(EventKind::AuditArchived) {
            let told = link.detail.as_deref().and_then(Archived::parse);
            archived.extend(told.map(|told| (told.seq, told.hash)));
        }
        (seq, prev) = (link.seq, link.hash);
        if head.is_some_and(|(head_seq, _)| head_seq == seq) {
            at_head = Some(prev.clone());
        }
    }
    if let Some(begin) = begin.filter(|begin| begin.0 > 0 && !archived.contains(begin)) {
        return bad(
            0,
            format!("the log begins with event {}, and none of it tells that those before were set aside", begin.0 + 1),
        );
    }
    match head {
        Some((head_seq, _)) if head_seq > seq => {
            bad(seq, format!("the log was cut short: the vault knows of {head_seq} events"))
        }
        Some((head_seq, hash)) if head_seq > 0 && at_head.as_deref() != Some(hash) => bad(
            head_seq - 1,
            "the log was rewritten: the vault knows another event of this number, and every line up to it may be another".into(),
        ),
        Some((head_seq, _)) if head_seq < seq => {
            let extra = seq - head_seq;
            let lines = if extra == 1 { "1 line stands".to_owned() } else { format!("{extra} lines stand") };
            let why = format!("extra: {lines} behind event {head_seq}, the last that the vault wrote");
            Report { extra, ..bad(head_seq, why) }
        }
        _ => Report { ok: true, events: seq, ..Report::default() },
    }
}

/// Bytes of a line at the most: many times as many as the longest event has.
const MOST_LINE: u64 = 1 << 24;

/// How much of a log was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadSoFar {
    /// Events so far.
    pub events: u64,
    /// Bytes so far.
    pub bytes: u64,
    /// Bytes of all files.
    pub all_bytes: u64,
}

/// Checks the log files of a folder, or one file that holds a log from its first event.
///
/// # Errors
/// The folder or the file cannot be read, or is something else.
pub fn verify_files(path: &Path, head: Option<(u64, &str)>) -> std::io::Result<Report> {
    verify_files_telling(path, head, |_| {})
}

/// The same, and tells after each event how much was read.
///
/// # Errors
/// As [`verify_files`].
pub fn verify_files_telling(
    path: &Path,
    head: Option<(u64, &str)>,
    mut tell: impl FnMut(ReadSoFar),
) -> std::io::Result<Report> {
    let paths = if path.is_dir() { log_files(path)? } else { vec![path.to_owned()] };
    let (mut readers, mut read) = (Vec::new(), ReadSoFar::default());
    for path in paths {
        let file = files::open(&path).map_err(std::io::Error::other)?;
        read.all_bytes += file.metadata()?.len();
        readers.push(lines(BufReader::new(file)));
    }
    let told = readers.into_iter().flatten().inspect(|line| {
        if let Ok(line) = line {
            read.events += 1;
            read.bytes += u64::try_from(line.len()).unwrap_or(0) + 1;
            tell(read);
        }
    });
    Ok(verify_lines(told, head))
}

/// The lines of a log, none of which is held further than an event can be long.
fn lines(mut reader: impl BufRead) -> impl Iterator<Item = std::io::Result<String>> {
    let mut over = false;
    std::iter::from_fn(move || {
        if over {
            return None;
        }
        let mut line = Vec::new();
        let read = reader.by_ref().take(MOST_LINE).read_until(b'\n', &mut line);
        let whole = line.pop_if(|last| *last == b'\n').is_some();
        match read {
            Ok(0) => None,
            Ok(_) if !whole && u64::try_from(line.len()).unwrap_or(u64::MAX) >= MOST_LINE => {
                over = true;
                Some(Err(std::io::Error::other("a line is longer than an event can be")))
            }
            Ok(_) => Some(String::from_utf8(line).map_err(|_| std::io::Error::other("a line is not UTF-8"))),
            Err(error) => {
                over = true;
                Some(Err(error))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_no_log() {
        let endless = BufReader::new(std::io::repeat(b'a'));
        let report = verify_lines(lines(endless), None);
        assert!(!report.ok && report.why.unwrap().contains("longer than an event"));
        for (path, why) in [("/dev/zero", "a device"), ("/dev/null", "a device")] {
            let error = verify_files(Path::new(path), None).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(lines(&b"one\ntwo"[..]).map(Result::unwrap).collect::<Vec<_>>(), ["one", "two"]);
    }
    use crate::audit::{Chained, Draft};

    fn log(count: u64) -> Vec<Chained> {
        let mut prev = GENESIS.to_owned();
        (1..=count)
            .map(|seq| {
                let event = Draft::new(EventKind::DaemonStart)
                    .detail(format!("no. {seq} \"quoted\" ü"))
                    .chain(seq, 1_700_000_000_000, &prev)
                    .unwrap();
                prev = event.hash.clone();
                event
            })
            .collect()
    }

    fn check(lines: &[String], head: Option<(u64, &str)>) -> Report {
        verify_lines(lines.iter().cloned().map(Ok::<_, String>), head)
    }

    #[test]
    fn who_waits_for_a_long_log_is_told_how_much_of_it_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let text: String = log(3).iter().map(|event| format!("{}\n", event.line)).collect();
        std::fs::write(&path, &text).unwrap();
        let mut told = Vec::new();
        assert!(verify_files_telling(&path, None, |read| told.push(read)).unwrap().ok);
        let all_bytes = u64::try_from(text.len()).unwrap();
        assert_eq!((told.len(), told[2]), (3, ReadSoFar { events: 3, bytes: all_bytes, all_bytes }));
    }

    #[test]
    fn a_whole_log_is_found_whole() {
        let lines: Vec<String> = log(5).into_iter().map(|event| event.line).collect();
        assert_eq!(check(&lines, None), Report { ok: true, events: 5, ..Report::default() });
    }

    #[test]
    fn a_log_whose_beginning_was_set_aside_is_whole_where_it_says_so() {
        let events = log(5);
        let told = Archived { seq: 3, hash: events[2].hash.clone(), files: "audit-2026-01.jsonl".into() };
        assert_eq!(Archived::parse(&told.to_string()), Some(told.clone()));
        let aside = Draft::new(EventKind::AuditArchived).detail(told.to_string());
        let aside = aside.chain(6, 1_700_000_000_000, &events[4].hash).unwrap();
        let lines: Vec<String> = events.into_iter().chain([aside]).map(|event| event.line).collect();
        assert_eq!(check(&lines[3..], None), Report { ok: true, events: 6, ..Report::default() });
        assert!(check(&lines, None).ok, "nothing was moved yet");
        assert_eq!(check(&lines[2..], None).first_bad, Some(1), "another event than the one that it tells of");
        assert_eq!(check(&lines[4..], None).first_bad, Some(1));
        assert_eq!(check(&lines[3..5], None).first_bad, Some(1), "what tells of it is missing");
    }

    #[test]
    fn a_line_changed_removed_moved_or_cut_off_is_named() {
        let events = log(5);
        let lines: Vec<String> = events.iter().map(|event| event.line.clone()).collect();
        let mut changed = lines.clone();
        changed[2] = changed[2].replace("no. 3", "no. 7");
        assert_eq!(check(&changed, None).first_bad, Some(3));
        let mut removed = lines.clone();
        removed.remove(1);
        assert_eq!(check(&removed, None).first_bad, Some(2));
        let mut moved = lines.clone();
        moved.swap(3, 4);
        assert_eq!(check(&moved, None).first_bad, Some(4));
        let head = Some((5, events[4].hash.as_str()));
        assert_eq!(check(&lines[..4], head).first_bad, Some(5));
        assert!(check(&lines, head).ok);
    }

    #[test]
    fn a_log_written_anew_is_found_however_long_it_is_and_what_is_behind_the_head_is_extra() {
        let events = log(5);
        let lines: Vec<String> = events.iter().map(|event| event.line.clone()).collect();
        let third = Some((3, events[2].hash.as_str()));
        let report = check(&lines, third);
        assert!(!report.ok && report.extra == 2 && report.first_bad == Some(4), "{report:?}");
        assert!(report.why.unwrap().contains("extra: 2 lines"));
        let mut prev = GENESIS.to_owned();
        let forged: Vec<String> = (1..=7)
            .map(|seq| {
                let event = Draft::new(EventKind::DaemonStop).chain(seq, 1_700_000_000_000, &prev).unwrap();
                prev.clone_from(&event.hash);
                event.line
            })
            .collect();
        for length in [5, 6, 7] {
            let report = check(&forged[..length], Some((5, events[4].hash.as_str())));
            assert!(!report.ok && report.extra == 0 && report.first_bad == Some(5), "{length}: {report:?}");
            assert!(report.why.unwrap().contains("rewritten"));
        }
    }
}

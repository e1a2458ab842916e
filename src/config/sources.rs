//! The files that a config is read from.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::files::{self, FileError};
use crate::model::{Problem, Severity, folder_of};

/// A config of a hundred thousand accounts has a tenth of this.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// One file that was read.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// Where the values of known keys stand: a line may be shown only if it has no others.
    pub(super) known: RefCell<HashSet<(usize, usize)>>,
}

impl Source {
    /// A file that need not be there, of this text.
    pub(super) fn of_text(path: PathBuf, text: String) -> Self {
        Self { path, text, known: RefCell::default() }
    }
}

/// The folder of further files beside a config.
pub(super) fn drop_ins(config: &Path) -> PathBuf {
    folder_of(config).join("config.d")
}

/// Reads `path` and `config.d/*.toml` beside it, in the order of their names. Hidden files, and those that editors leave behind,
/// are none of them.
pub(super) fn read_sources(path: &Path, problems: &mut Vec<Problem>) -> Vec<Source> {
    let mut paths = vec![path.to_owned()];
    paths.extend(drop_in_files(&drop_ins(path), problems));
    let mut sources = Vec::new();
    for path in paths {
        match files::read_text(&path, MOST_BYTES) {
            Ok(text) => sources.push(Source { path, text, known: RefCell::default() }),
            Err(error) => problems.push(unreadable(&path, &error)),
        }
    }
    sources
}

fn drop_in_files(folder: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        // A link that leads nowhere is there, and what it should lead to is not.
        Err(error) if error.kind() == ErrorKind::NotFound && folder.symlink_metadata().is_err() => return Vec::new(),
        Err(error) => {
            problems.push(unreadable(folder, &error.into()));
            return Vec::new();
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => {
                let name = entry.file_name();
                let left_behind =
                    name.as_encoded_bytes().starts_with(b".") || name.as_encoded_bytes().starts_with(b"#");
                if !left_behind && Path::new(&name).extension().is_some_and(|extension| extension == "toml") {
                    files.push(entry.path());
                }
            }
            Err(error) => problems.push(unreadable(folder, &error.into())),
        }
    }
    files.sort();
    files
}

/// What is said of a file or folder of the config that cannot be read: without it there would be another config.
pub(super) fn unreadable(path: &Path, error: &FileError) -> Problem {
    let remedy = match error {
        FileError::Io(error) if error.kind() == ErrorKind::PermissionDenied => {
            let user = files::user_name(nix::unistd::geteuid().as_raw());
            format!("; user {user} has to be let in: see 'namei -l {}'", path.display())
        }
        _ => String::new(),
    };
    Problem::at(path, "", 0..0, Severity::Error, "C009", format!("cannot be read: {error}{remedy}"))
}

/// Takes out of problems every line in which a value stands whose key is not known: it may be a secret.
pub(super) fn hide_unknown_values(documents: &[(&Source, Spanned<DeTable<'_>>)], problems: &mut [Problem]) {
    for (source, document) in documents {
        let file = source.path.display().to_string();
        let mut values = Vec::new();
        leaves(document.get_ref(), &mut values);
        let known = source.known.borrow();
        values.retain(|span| !known.contains(&(span.start, span.end)));
        values.sort_by_key(|span| span.start);
        let mut starts = vec![0];
        starts.extend(source.text.match_indices('\n').map(|(at, _)| at + 1));
        for problem in problems.iter_mut().filter(|problem| problem.file == file) {
            let start = starts.get(problem.line - 1).copied().unwrap_or(0);
            let end = starts.get(problem.line).copied().unwrap_or(source.text.len());
            let next = values.partition_point(|span| span.end <= start);
            if values.get(next).is_some_and(|span| span.start < end) {
                problem.source.clear();
            }
        }
    }
}

/// Where the values of a table stand, tables apart.
fn leaves(table: &DeTable<'_>, into: &mut Vec<Range<usize>>) {
    fn leaf(value: &Spanned<DeValue<'_>>, into: &mut Vec<Range<usize>>) {
        match value.get_ref() {
            DeValue::Table(table) => leaves(table, into),
            DeValue::Array(list) if list.iter().any(|item| item.get_ref().is_table()) => {
                list.iter().for_each(|item| leaf(item, into));
            }
            _ => into.push(value.span()),
        }
    }
    table.values().for_each(|value| leaf(value, into));
}

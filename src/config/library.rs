//! The templates of all folders, by name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::files::{self, FileError};
use crate::model::{Problem, Severity, nearest};
use crate::template::{self, Checked};

/// A template of the library.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The file that it was read from.
    pub file: PathBuf,
    /// The checked template; `None` where it has errors.
    pub template: Option<Arc<Checked>>,
}

/// Templates by their path below a folder, without `.template`.
#[derive(Debug, Clone, Default)]
pub struct Library {
    entries: BTreeMap<String, Entry>,
    /// The paths that end in each name, in order.
    by_name: BTreeMap<String, BTreeSet<String>>,
}

impl Library {
    /// Reads every `*.template` below the folders; a file of an earlier folder stands in for one of the same path in a
    /// later folder.
    pub fn read(dirs: &[PathBuf], problems: &mut Vec<Problem>) -> Self {
        let mut library = Self::default();
        for dir in dirs {
            let (files, skipped) = files::below(dir, "template");
            problems.extend(skipped.into_iter().map(passed_over));
            for file in files {
                let Ok(relative) = file.strip_prefix(dir) else {
                    continue;
                };
                let key = relative.with_extension("").to_string_lossy().into_owned();
                if library.entries.contains_key(&key) {
                    continue;
                }
                let (template, found) = load_file(&file);
                problems.extend(found);
                let name = key.rsplit('/').next().unwrap_or_default().to_owned();
                library.by_name.entry(name).or_default().insert(key.clone());
                library.entries.insert(key, Entry { file, template: template.map(Arc::new) });
            }
        }
        library
    }

    /// All templates by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// Finds a template by its name, or by its path where several folders hold the same name.
    ///
    /// # Errors
    /// Says that there is none, naming the nearest, or which paths the name could mean.
    pub fn find(&self, name: &str) -> Result<&Entry, String> {
        if let Some(entry) = self.entries.get(name) {
            return Ok(entry);
        }
        let found: Vec<&String> = self.by_name.get(name).into_iter().flatten().collect();
        match found.as_slice() {
            [one] => self.entries.get(*one).ok_or_else(String::new),
            [] => {
                let hint = nearest(name, self.by_name.keys().map(String::as_str)).map_or_else(
                    || "see 'rotorctl template list'".to_owned(),
                    |known| format!("did you mean '{known}'?"),
                );
                Err(format!("there is no template '{}' in the template_dirs; {hint}", name.escape_debug()))
            }
            several => {
                let paths: Vec<&str> = several.iter().map(|path| path.as_str()).collect();
                Err(format!("'{name}' could be any of {}; write the path", paths.join(", ")))
            }
        }
    }
}

/// A folder or file that was passed over: what it holds would be missing without a word.
#[must_use]
pub fn passed_over((path, why): files::Skipped) -> Problem {
    Problem::at(&path, "", 0..0, Severity::Error, "C009", why)
}

/// Every `*.template` below a folder, sorted; none where it cannot be read.
#[must_use]
pub fn template_files(dir: &Path) -> Vec<PathBuf> {
    files_below(dir, "template")
}

/// Every file below a folder whose name ends so, sorted; none where it cannot be read.
#[must_use]
pub fn files_below(dir: &Path, ending: &str) -> Vec<PathBuf> {
    files::below(dir, ending).0
}

/// Reads and checks one template file.
#[must_use]
pub fn load_file(file: &Path) -> (Option<Checked>, Vec<Problem>) {
    let most = u64::try_from(template::MAX_BYTES).unwrap_or(u64::MAX);
    match files::read(file, most).map(|(bytes, _)| String::from_utf8(bytes)) {
        Ok(Ok(text)) => template::load(file, &text),
        Ok(Err(_)) => (None, vec![template::not_utf8(file)]),
        Err(FileError::TooLarge(_)) => {
            let message = format!("a template may have {} bytes, and this has more", template::MAX_BYTES);
            (None, vec![Problem::at(file, "", 0..0, Severity::Error, "T012", message)])
        }
        Err(error) => {
            let message = format!("cannot be read: {error}");
            (None, vec![Problem::at(file, "", 0..0, Severity::Error, "T015", message)])
        }
    }
}

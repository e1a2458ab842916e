//! The templates of all folders, by name.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
}

impl Library {
    /// Reads every `*.template` below the folders; a file of an earlier folder stands in for one of the same path in a
    /// later folder.
    pub fn read(dirs: &[PathBuf], problems: &mut Vec<Problem>) -> Self {
        let mut library = Self::default();
        let mut folders = BTreeSet::new();
        for dir in dirs {
            if folders.insert(dir.clone()) {
                problems.extend(open_to_all(dir));
            }
            for file in template_files(dir) {
                let Ok(relative) = file.strip_prefix(dir) else {
                    continue;
                };
                let key = relative.with_extension("").to_string_lossy().into_owned();
                if library.entries.contains_key(&key) {
                    continue;
                }
                let (template, found) = load_file(&file);
                problems.extend(found);
                let folder = file.parent().filter(|folder| folders.insert((*folder).to_owned()));
                problems.extend(folder.and_then(open_to_all));
                problems.extend(open_to_all(&file));
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
        let stem = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let found: Vec<&String> = self.entries.keys().filter(|path| stem(path) == name).collect();
        match found.as_slice() {
            [one] => self.entries.get(*one).ok_or_else(String::new),
            [] => {
                let names: Vec<String> = self.entries.keys().map(|path| stem(path)).collect();
                let hint = nearest(name, names.iter().map(String::as_str)).map_or_else(
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

/// A folder or template that everybody may write: who writes it commands every device that uses it.
fn open_to_all(path: &Path) -> Option<Problem> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    let message = "everybody may write this, and so send what they like to the devices; take it away with: chmod o-w";
    (mode & 0o002 != 0).then(|| Problem::at(path, "", 0..0, Severity::Error, "C013", message))
}

/// Every `*.template` below a folder, sorted; none where it cannot be read.
#[must_use]
pub fn template_files(dir: &Path) -> Vec<PathBuf> {
    files_below(dir, "template")
}

/// Every file below a folder whose name ends so, sorted; none where it cannot be read.
#[must_use]
pub fn files_below(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Reads and checks one template file.
#[must_use]
pub fn load_file(file: &Path) -> (Option<Checked>, Vec<Problem>) {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            let message = format!("cannot be read: {error}");
            return (None, vec![Problem::at(file, "", 0..0, Severity::Error, "T015", message)]);
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => template::load(file, &text),
        Err(_) => (None, vec![template::not_utf8(file)]),
    }
}

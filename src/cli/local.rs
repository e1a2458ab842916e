//! What needs no daemon: checking templates, making keys.

use std::path::PathBuf;

use super::Failure;
use crate::config::{load_file, template_files};
use crate::model::{Problem, Severity};
use crate::vault::VaultKey;

/// Checks files, and every `*.template` below folders: the problems, and how many files there were.
pub fn check_templates(paths: &[PathBuf]) -> (Vec<Problem>, usize) {
    let files: Vec<PathBuf> =
        paths.iter().flat_map(|path| if path.is_dir() { template_files(path) } else { vec![path.clone()] }).collect();
    let problems = files.iter().flat_map(|file| load_file(file).1).collect();
    (problems, files.len())
}

pub(super) fn template_check(paths: &[PathBuf], json: bool) -> Result<u8, Failure> {
    let (problems, checked) = check_templates(paths);
    if json {
        println!("{}", serde_json::json!({ "problems": problems, "checked": checked }));
    } else {
        for problem in &problems {
            println!("{problem}");
        }
    }
    Ok(if problems.iter().any(|problem| problem.severity == Severity::Error) { 2 } else { 0 })
}

pub(super) fn key_new(file: &std::path::Path, json: bool) -> Result<u8, Failure> {
    VaultKey::create(file).map_err(|error| Failure::usage(error.to_string()))?;
    if json {
        println!("{}", serde_json::json!({ "done": format!("a fresh vault key is in {}", file.display()) }));
    } else {
        println!("A fresh vault key is in {}. Keep a copy where the vault's backup is not.", file.display());
    }
    Ok(0)
}

//! The map in `lib.rs` is kept: a module uses only those above it, the pure ones do not name the outside, and where circles
//! between files were undone none comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// What a pure module does not name: the runtime, files, sockets, processes, threads, clocks, a random source, and logging.
const OUTSIDE: &str = r"\b(tokio|rusqlite|russh|hyper|axum|getrandom|nix|tempfile|tracing|SystemTime|Instant|Utc::now|Local::now)\b|std::(fs|net|env|process|thread|os)\b|std::io::(stdin|stdout|stderr)\b";

/// Folders whose files use each other without a circle.
const WITHOUT_CIRCLES: [&str; 6] = ["model", "policy", "rotation", "vault", "otp", "executor"];

/// A source file: its path below `src`, and its code without comments and tests.
struct Source {
    path: String,
    code: String,
}

impl Source {
    /// The module of the map that it belongs to.
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// The path of its module, without `crate`.
    fn module_path(&self) -> Vec<&str> {
        let mut path: Vec<&str> = self.path.trim_end_matches(".rs").split('/').collect();
        if path.last() == Some(&"mod") {
            path.pop();
        }
        path
    }
}

/// The code of a file without comments, and without the tests at its end.
fn code_of(text: &str) -> String {
    let begins_tests = Regex::new(r"^(pub(\(crate\))? )?mod \w*tests \{").unwrap();
    let lines = text.lines().take_while(|line| !begins_tests.is_match(line));
    lines.map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut sources) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                sources.push(Source { code: code_of(&fs::read_to_string(&path).unwrap()), path: name });
            }
        }
    }
    assert!(sources.len() > 100, "the sources are not where they should be");
    sources
}

/// The modules of the map, from the ground up, and whether each is a pure one.
fn map() -> Vec<(String, bool)> {
    let row = Regex::new(r"(?m)^//! \| \[`(\w+)`\] \| (.*) \|$").unwrap();
    let rows: Vec<_> =
        row.captures_iter(include_str!("lib.rs")).map(|row| (row[1].to_owned(), row[2].ends_with("(pure)"))).collect();
    assert!(rows.len() > 15, "the map in lib.rs is not found");
    rows
}

#[test]
fn every_module_is_on_the_map() {
    let module = Regex::new(r"(?m)^(pub )?mod (\w+);").unwrap();
    let declared = module.captures_iter(include_str!("lib.rs")).map(|found| found[2].to_owned());
    let declared: BTreeSet<_> = declared.filter(|name| !name.ends_with("tests")).collect();
    let mapped: BTreeSet<_> = map().into_iter().map(|(name, _)| name).collect();
    assert_eq!(declared, mapped);
}

#[test]
fn a_module_uses_only_those_above_it_on_the_map() {
    let map = map();
    let place = |name: &str| map.iter().position(|(known, _)| known == name);
    let used = Regex::new(r"\bcrate::(\w+)").unwrap();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(own) = place(source.module()) else { continue };
        for name in used.captures_iter(&source.code).map(|found| found[1].to_owned()) {
            if place(&name).is_some_and(|other| other > own) {
                wrong.push(format!("{} uses {name}, which stands below it", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_pure_module_does_not_name_the_outside() {
    let outside = Regex::new(OUTSIDE).unwrap();
    let pure: BTreeSet<_> = map().into_iter().filter(|(_, is_pure)| *is_pure).map(|(name, _)| name).collect();
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| pure.contains(source.module())) {
        wrong.extend(outside.find_iter(&source.code).map(|found| format!("{}: {}", source.path, found.as_str())));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // A pure module uses pure ones alone.
    let used = Regex::new(r"\bcrate::(\w+)").unwrap();
    for source in sources().iter().filter(|source| pure.contains(source.module())) {
        let uses = used.captures_iter(&source.code).map(|found| found[1].to_owned());
        let impure: Vec<_> = uses.filter(|name| !pure.contains(name)).collect();
        assert!(impure.is_empty(), "{} is pure and uses {impure:?}", source.path);
    }
}

#[test]
fn only_the_store_in_sqlite_names_the_library_of_sqlite() {
    let named: Vec<_> = sources().into_iter().filter(|source| source.code.contains("rusqlite")).collect();
    assert!(!named.is_empty(), "it is named somewhere");
    let elsewhere: Vec<_> =
        named.iter().map(|source| &source.path).filter(|path| !path.starts_with("vault/sqlite/")).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

/// The modules of files that a file's `use` lines and paths lead to, among those that are known.
fn uses_of(source: &Source, known: &BTreeSet<Vec<String>>) -> BTreeSet<Vec<String>> {
    let path = Regex::new(r"\b(self|super|crate)((?:::\w+)*)::(?:\{([^;]*?)\}\s*;|(\w+))").unwrap();
    let own: Vec<String> = source.module_path().into_iter().map(str::to_owned).collect();
    let mut uses = BTreeSet::new();
    for found in path.captures_iter(&source.code) {
        let mut words: Vec<&str> = found[2].split("::").filter(|word| !word.is_empty()).collect();
        let mut from = match &found[1] {
            "crate" => Vec::new(),
            "self" => own.clone(),
            _ => own[..own.len() - 1].to_vec(),
        };
        while words.first() == Some(&"super") {
            from.pop();
            words.remove(0);
        }
        from.extend(words.into_iter().map(str::to_owned));
        let inner = found.get(3).or_else(|| found.get(4)).map_or("", |inner| inner.as_str());
        let ends = inner.split([',', '{', '}']).map(|item| item.trim().split("::").next().unwrap().to_owned());
        for end in ends {
            let mut target = from.clone();
            target.extend((!end.is_empty()).then_some(end));
            while !target.is_empty() && !known.contains(&target) {
                target.pop();
            }
            if !target.is_empty() && target != own {
                uses.insert(target);
            }
        }
    }
    uses
}

#[test]
fn where_circles_between_files_were_undone_none_comes_back() {
    let sources = sources();
    for folder in WITHOUT_CIRCLES {
        let here = || sources.iter().filter(|source| source.module() == folder);
        let path_of = |source: &Source| source.module_path().into_iter().map(str::to_owned).collect::<Vec<_>>();
        let known: BTreeSet<_> = here().map(path_of).collect();
        let mut left: BTreeMap<_, _> = here().map(|source| (path_of(source), uses_of(source, &known))).collect();
        // What uses nothing that is left is in no circle; nor is what then uses nothing any more.
        loop {
            let is_done = |uses: &BTreeSet<Vec<String>>| !uses.iter().any(|used| left.contains_key(used));
            let done: Vec<_> = left.iter().filter(|(_, uses)| is_done(uses)).map(|(path, _)| path.clone()).collect();
            if done.is_empty() {
                break;
            }
            done.iter().for_each(|path| drop(left.remove(path)));
        }
        assert!(left.is_empty(), "a circle in {folder}: {left:#?}");
    }
}

#[test]
fn a_use_of_another_file_is_found_however_it_is_written() {
    let known = [vec!["vault"], vec!["vault", "error"], vec!["vault", "sqlite"], vec!["vault", "sqlite", "meta"]];
    let known: BTreeSet<Vec<String>> =
        known.into_iter().map(|path| path.into_iter().map(str::to_owned).collect()).collect();
    let uses = |code: &str| {
        let source = Source { path: "vault/sqlite/codes.rs".into(), code: code_of(code) };
        uses_of(&source, &known).into_iter().map(|path| path.join("::")).collect::<Vec<_>>()
    };
    assert_eq!(uses("use super::meta::{meta, set_meta};"), ["vault::sqlite::meta"]);
    assert_eq!(uses("use crate::vault::{error::VaultError, sqlite};"), ["vault::error", "vault::sqlite"]);
    assert_eq!(uses("let error = super::super::error::VaultError::Closed;"), ["vault::error"]);
    assert_eq!(uses("// use super::meta::meta;"), [""; 0]);
    assert_eq!(uses("pub(super) fn work(&self) { self.done() }"), [""; 0]);
    assert_eq!(uses("mod tests {\nuse super::meta::meta;\n}"), [""; 0]);
}

//! The simulator, and proof that it bites: bugs are sown into a copy of the source, one build holds them all, and each has
//! to be found. A bug that goes unnoticed is a promise that nobody watches. With none of them awake no promise is broken.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]

mod list;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use list::{MUTANTS, Mutant, Place};

/// Histories within which each bug is found.
const HISTORIES: &str = "20000";
/// Histories without a bug, unless the environment's HISTORIES says otherwise.
const CLEAN: &str = "6000";

/// Bugs that no history finds since sessions are kept for a proof and attempts are joined: they are told, and not looked for. Each
/// stands for something that the simulator does not watch; `docs/reliability.md` says what does.
const UNWATCHED: [&str; 6] = [
    // The event of the quarantine itself, in the same transaction, tells of it too.
    "a quarantine is on record only after it is in force",
    // A login that finds no room waits for it within the attempt.
    "what a session can prove takes another one at once",
    "codes of a session that a key opened look for no clock",
    // No history among the first 20,000 comes to such a recovery any more; a unit test of the attempt's proof does.
    "a recovery that tried no password tells that one works",
    "a check is lost to a rotation that is refused at the same time",
    "an end that could not be written is forgotten",
];

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            write(&target, &fs::read_to_string(entry.path()).unwrap());
        }
    }
}

/// Writes a file where it differs, so that nothing is built again without need.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::write(path, text).unwrap();
    }
}

/// A copy of the source with every bug in it, each asleep until it is named.
fn sow(root: &Path, to: &Path) {
    for folder in ["src/bin", "examples", "templates", "benches"] {
        copy(&root.join(folder), &to.join(folder));
    }
    // As another version: cargo tells packages apart by that, and would take the copy's library for the true one.
    let ours = format!("name = \"rotord\"\nversion = \"{}\"", env!("CARGO_PKG_VERSION"));
    let ours = (ours.as_str(), "name = \"rotord\"\nversion = \"0.0.0-sown\"");
    let slow = ("[profile.quick.package.rotord]\nopt-level = 1", "[profile.quick.package.rotord]\nopt-level = 3");
    for (file, changes) in [("Cargo.toml", &[ours, slow][..]), ("Cargo.lock", &[ours])] {
        let mut text = fs::read_to_string(root.join(file)).unwrap();
        for (from, to) in changes {
            assert_eq!(text.matches(from).count(), 1, "{file}: {from}");
            text = text.replace(from, to);
        }
        write(&to.join(file), &text);
    }
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    let mut folders = vec![PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(entry.path()).unwrap();
                files.push((path, text));
            }
        }
    }
    for (number, Mutant { name, place, also }) in MUTANTS.iter().enumerate() {
        for Place { file, from, to } in [place].into_iter().chain(also) {
            let (_, text) = files.iter_mut().find(|(path, _)| path == Path::new(file)).unwrap();
            let places = text.matches(from).count();
            assert_eq!(places, 1, "'{name}': the place in {file} is there {places} times");
            *text = text.replacen(from, &to.replace("MUTANT", &format!("crate::sim::mutant({number})")), 1);
        }
    }
    let (_, sim) = files.iter_mut().find(|(path, _)| path == Path::new("src/sim/mod.rs")).unwrap();
    sim.push_str(
        "\n/// Whether a sown bug is awake.\npub fn mutant(number: usize) -> bool {\n    \
         static AWAKE: std::sync::OnceLock<Option<usize>> = std::sync::OnceLock::new();\n    \
         *AWAKE.get_or_init(|| std::env::var(\"MUTANT\").ok()?.parse().ok()) == Some(number)\n}\n",
    );
    // What the compiler thinks of the bugs is of no interest. Flags of its own would have every library built again.
    let (_, root) = files.iter_mut().find(|(path, _)| path == Path::new("src/lib.rs")).unwrap();
    root.insert_str(0, "#![allow(warnings)]\n");
    for (path, text) in &files {
        fs::create_dir_all(to.join(path).parent().unwrap()).unwrap();
        write(&to.join(path), text);
    }
    weed(&to.join("src"), &|path| files.iter().any(|(known, _)| to.join(known) == path));
}

/// Removes the files of a copy that is of an older source and that the new one does not have.
fn weed(folder: &Path, is_known: &dyn Fn(&Path) -> bool) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            weed(&path, is_known);
        } else if !is_known(&path) {
            fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
fn no_promise_is_broken_and_every_sown_bug_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let garden = target.join("mutants");
    sow(root, &garden);
    let mut build = Command::new(env!("CARGO"));
    // What cargo tells this test of its package would have libraries built again that look at it.
    let ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_", "CARGO_PRIMARY_"];
    for (name, _) in std::env::vars().filter(|(name, _)| ours.iter().any(|start| name.starts_with(start))) {
        build.env_remove(name);
    }
    let built = build
        .args([
            "build",
            "--offline",
            "--profile",
            "quick",
            "--features",
            "sim",
            "--example",
            "simulate",
            "--target-dir",
        ])
        .arg(&target)
        .current_dir(&garden)
        .status()
        .unwrap();
    assert!(built.success(), "the copy with the bugs in it does not build");
    let simulate = target.join("quick/examples/simulate");
    let histories = std::env::var("HISTORIES").unwrap_or_else(|_| CLEAN.to_owned());
    let clean = Command::new(&simulate).args(["--seed", "1", "--histories", &histories]).status().unwrap();
    assert!(clean.success(), "a promise was broken, or something was never reached");
    let run = |number: usize| {
        let mut command = Command::new(&simulate);
        command.args(["--histories", HISTORIES, "--all", "--first", "--partial"]).env("MUTANT", number.to_string());
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let mut survivors = Vec::new();
    println!("{:<62} found after", "bug");
    for name in UNWATCHED {
        assert!(MUTANTS.iter().any(|mutant| mutant.name == name), "'{name}' is no sown bug");
    }
    for (number, Mutant { name, .. }) in MUTANTS.iter().enumerate() {
        if UNWATCHED.contains(name) {
            println!("{name:<62} not looked for: no history finds it");
            continue;
        }
        let (clean, said) = run(number);
        let histories = said.split_whitespace().next().unwrap_or("?").to_owned();
        let what = said.lines().find(|line| line.contains("(first: seed")).unwrap_or("").trim().to_owned();
        println!("{name:<62} {histories:>6}  {what}");
        if clean {
            survivors.push(*name);
        }
    }
    assert!(survivors.is_empty(), "not found: {survivors:?}");
}

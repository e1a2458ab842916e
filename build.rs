//! Tells the programs which commit they were built from, where that is known.
//!
//! `ROTORD_VERSION` is the package's version, and behind it the commit: of the checkout, or what the variable `ROTORD_COMMIT` says
//! where a package is built without one. Builds for the tests have the version alone: with the commit, each commit would have them
//! build everything anew.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=ROTORD_COMMIT");
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let released = std::env::var("OPT_LEVEL").is_ok_and(|level| level == "3");
    let commit = std::env::var("ROTORD_COMMIT")
        .ok()
        .filter(|commit| is_commit(commit))
        .or_else(|| released.then(of_the_checkout).flatten());
    match commit {
        Some(commit) => println!("cargo:rustc-env=ROTORD_VERSION={version} ({})", &commit[..commit.len().min(12)]),
        None => println!("cargo:rustc-env=ROTORD_VERSION={version}"),
    }
}

/// The commit that is checked out where this package lies, if a repository of its own is there.
fn of_the_checkout() -> Option<String> {
    let folder = std::env::var("CARGO_MANIFEST_DIR").ok()?;
    if !std::path::Path::new(&folder).join(".git").exists() {
        return None;
    }
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&folder, &["rev-parse", "--path-format=absolute", "--git-path", file]) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&folder, &["rev-parse", "--verify", "HEAD"]).filter(|commit| is_commit(commit))
}

fn git(folder: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn is_commit(text: &str) -> bool {
    text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

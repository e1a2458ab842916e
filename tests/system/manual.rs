//! What is written for people, and made from the source: manual pages and the reference of the config.

use std::fs;
use std::path::Path;
use std::process::Command;

use rotord::config::{Absent, KEYS, SECTIONS};

use crate::lab::documented;

#[test]
fn the_reference_of_the_config_is_true() {
    let mut text = String::new();
    for (section, what) in SECTIONS {
        text.push_str(&format!("## `{section}`\n\n{}{}.\n\n", what[..1].to_uppercase(), &what[1..]));
        text.push_str("| key | takes | where absent | meaning | example |\n| --- | --- | --- | --- | --- |\n");
        for key in KEYS.iter().filter(|key| key.section == *section) {
            let absent = match key.absent {
                Absent::Means(value) => format!("`{value}`"),
                _ => key.absent().to_owned(),
            };
            let row = format!("| `{}` | {} | {absent} | {} | `{}` |\n", key.name, key.value, key.meaning, key.example);
            text.push_str(&row);
        }
        text.push('\n');
    }
    documented("configuration.md", "keys", &text);
}

#[test]
fn manual_pages_are_written_and_sound() {
    let folder = tempfile::tempdir().unwrap();
    let mut rotord = Command::new(env!("CARGO_BIN_EXE_rotord"));
    assert!(rotord.arg("man").arg(folder.path()).status().unwrap().success());
    let page = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(
        page("man1/rotorctl.1").contains("rotorctl\\-rotate\\fR(1)")
            && page("man1/rotorctl-rotate.1").contains("reason")
    );
    assert!(page("man8/rotord.8").contains("rotord\\-check\\fR(8)"));
    let config = page("man5/rotord.toml.5");
    for key in KEYS {
        assert!(config.contains(&format!("\\fB{}\\fR", key.name)), "{}", key.name);
    }
    let mut pages = 0;
    for section in ["man1", "man5", "man8"] {
        for file in fs::read_dir(folder.path().join(section)).unwrap() {
            pages += 1;
            is_clean(&file.unwrap().path());
        }
    }
    assert!(pages > 50, "{pages}");
    let into_a_file = Command::new(env!("CARGO_BIN_EXE_rotord")).args(["man", "/dev/null"]).output().unwrap();
    assert_eq!(into_a_file.status.code(), Some(2));
}

/// Neither mandoc nor groff, as man(1) runs it, has anything to say against a page, and both show it.
fn is_clean(path: &Path) {
    let lint = Command::new("mandoc").args(["-T", "lint"]).arg(path).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&lint.stdout), "", "{}", path.display());
    let mut man = Command::new("man");
    man.args(["--warnings", "-E", "UTF-8", "-P", "cat", "-l"]).arg(path).env("MANWIDTH", "80").env("LC_ALL", "C.UTF-8");
    let output = man.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.is_empty(), "{}: {told}", path.display());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_of_a_file = path.extension().is_some_and(|section| section == "5");
    let mut sections = vec!["NAME", "DESCRIPTION", "FILES", "SEE ALSO"];
    if !is_of_a_file {
        sections.extend(["SYNOPSIS", "OPTIONS", "EXIT STATUS"]);
    }
    for section in sections {
        assert!(text.lines().any(|line| line == section), "{}: no {section}: {text}", path.display());
    }
}

#[test]
fn a_key_of_the_config_is_explained() {
    let explain = |key| Command::new(env!("CARGO_BIN_EXE_rotord")).args(["check", "--explain", key]).output().unwrap();
    let output = explain("fields");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("[device.NAME]") && text.contains("[account."), "{text}");
    let output = explain("min_aeg");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean 'min_age'?"));
}

/// The commands that a document shows: indented lines, and what stands between backticks.
fn shown(text: &str) -> Vec<String> {
    let indented = text.lines().filter_map(|line| line.strip_prefix("    ")).map(str::trim_start);
    let quoted = text.split('`').skip(1).step_by(2);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let all = indented.map(words).chain(quoted.map(words));
    all.filter(|line| line.starts_with("rotord ") || line.starts_with("rotorctl ")).collect()
}

/// What of a command line does not exist.
fn unknown(line: &str) -> Option<String> {
    let mut words =
        line.split_whitespace().take_while(|word| !word.starts_with(['#', '|', '<', ';', '(', '['])).peekable();
    let mut command = match words.next()? {
        "rotord" => rotord::entry::command(),
        _ => rotord::cli::command(),
    };
    command.build();
    let begin = command.clone();
    for word in words {
        let word = word.trim_end_matches([',', '.', ';', ':']);
        if let Some(flag) = word.strip_prefix("--") {
            let flag = flag.split('=').next().unwrap_or_default();
            let known = |command: &clap::Command| command.get_arguments().any(|arg| arg.get_long() == Some(flag));
            if !known(&command) && !known(&begin) {
                return Some(format!("--{flag}"));
            }
        } else if let Some(below) = command.find_subcommand(word) {
            command = below.clone();
        } else if command.has_subcommands() && command.get_name() != "rotord" {
            return Some(word.to_owned());
        }
    }
    None
}

#[test]
fn every_command_in_the_documents_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut docs = Vec::new();
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            // Pictures hold no command.
            let is_picture = path.extension().is_some_and(|end| end == "webp");
            if path.is_dir() {
                folders.push(path)
            } else if !is_picture {
                docs.push(path)
            }
        }
    }
    let mut seen = 0;
    for path in docs.into_iter().chain(["README.md", "SECURITY.md", "CHANGELOG.md"].map(|name| root.join(name))) {
        for line in shown(&fs::read_to_string(&path).unwrap()) {
            seen += 1;
            assert_eq!(unknown(&line), None, "{}: {line}", path.display());
        }
    }
    assert!(seen > 60, "{seen} commands were found");
    assert_eq!(unknown("rotorctl secret shwo web1/admin").as_deref(), Some("shwo"));
    assert_eq!(unknown("rotorctl rotate web1/admin --raeson x").as_deref(), Some("--raeson"));
}

/// The build script as a release runs it: it is compiled here, since a release itself takes minutes.
#[test]
fn a_release_names_the_commit_that_it_was_built_from() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("build");
    let compiled = Command::new("rustc").args(["--edition=2024", "-o"]).arg(&script).arg("build.rs").status();
    assert!(compiled.unwrap().success());
    let told = |level: &str, commit: Option<&str>| {
        let mut run = Command::new(&script);
        run.env_remove("ROTORD_COMMIT").env("CARGO_MANIFEST_DIR", folder.path());
        run.env("CARGO_PKG_VERSION", "1.2.3").env("OPT_LEVEL", level);
        if let Some(commit) = commit {
            run.env("ROTORD_COMMIT", commit);
        }
        let output = run.output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().find_map(|line| line.strip_prefix("cargo:rustc-env=ROTORD_VERSION=")).unwrap().to_owned()
    };
    assert_eq!(told("3", None), "1.2.3", "no repository is here");
    assert_eq!(told("1", Some("0123456789abcdef0123")), "1.2.3 (0123456789ab)");
    assert_eq!(told("3", Some("not a commit")), "1.2.3");

    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(folder.path()).args(["-c", "user.name=test", "-c", "user.email=test@localhost"]);
        let output = git.args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "--quiet"]);
    git(&["commit", "--quiet", "--allow-empty", "--message", "first"]);
    let commit = git(&["rev-parse", "HEAD"]);
    assert_eq!(told("3", None), format!("1.2.3 ({})", &commit[..12]));
    assert_eq!(told("1", None), "1.2.3", "a build for the tests is not made anew by each commit");
    let version = Command::new(env!("CARGO_BIN_EXE_rotord")).arg("--version").output().unwrap();
    assert!(String::from_utf8(version.stdout).unwrap().starts_with(concat!("rotord ", env!("CARGO_PKG_VERSION"))));
}

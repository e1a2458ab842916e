//! What is written for people, and made from the source: manual pages and the reference of the config.

use std::fs;
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
        page("man1/rotorctl.1").contains("rotorctl\\-rotate(1)") && page("man1/rotorctl-rotate.1").contains("reason")
    );
    assert!(page("man8/rotord.8").contains("rotord\\-check(8)"));
    let config = page("man5/rotord.toml.5");
    for key in KEYS {
        assert!(config.contains(&format!("\\fB{}\\fR", key.name)), "{}", key.name);
    }
    for section in ["man1", "man5", "man8"] {
        for file in fs::read_dir(folder.path().join(section)).unwrap() {
            let path = file.unwrap().path();
            let output = Command::new("groff").args(["-man", "-Tutf8", "-Kutf8", "-rLL=100n", "-ww"]).arg(&path).output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && told.is_empty(), "{}: {told}", path.display());
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.lines().count() > 10, "{}: {text}", path.display());
        }
    }
    let into_a_file = Command::new(env!("CARGO_BIN_EXE_rotord")).args(["man", "/dev/null"]).output().unwrap();
    assert_eq!(into_a_file.status.code(), Some(2));
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

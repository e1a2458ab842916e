//! `rotorctl init`: from an empty folder to a daemon that starts, and again without a change.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::lab::wait_for;

fn init(config: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rotorctl"));
    command.args(["init", "--config"]).arg(config).args(args).env("TZ", "Europe/Berlin").output().unwrap()
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Every file below a folder, with its mode and what is in it.
fn snapshot(folder: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let mode = path.metadata().unwrap().mode() & 0o777;
            let bytes = if path.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
            found.push((path.display().to_string(), mode, bytes));
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_daemon_starts_with_what_init_made_and_a_second_time_nothing_changes() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("here/rotord.toml");
    let made = init(&config, &["--yes"]);
    assert!(made.status.success(), "{}", told(&made));
    assert!(told(&made).contains("Next:  rotord --config"), "{}", told(&made));
    let base = config.parent().unwrap();
    for (name, mode) in [("vault.key", 0o600), ("state", 0o700), ("config.d", 0o755), ("config.d/init.toml", 0o600)] {
        assert_eq!(base.join(name).metadata().unwrap().mode() & 0o777, mode, "{name}");
    }
    let text = fs::read_to_string(base.join("config.d/init.toml")).unwrap();
    assert!(text.contains("timezone = \"Europe/Berlin\""), "{text}");

    let before = snapshot(base);
    for args in [&["--yes"][..], &["--yes", "--timezone", "Asia/Tokyo"], &["--yes", "--json"]] {
        let again = init(&config, args);
        assert!(again.status.success(), "{}", told(&again));
        assert_eq!(snapshot(base), before, "{args:?}");
    }

    let mut daemon = Command::new(env!("CARGO_BIN_EXE_rotord"))
        .arg("--config")
        .arg(&config)
        .stderr(fs::File::create(folder.path().join("log")).unwrap())
        .spawn()
        .unwrap();
    let socket = base.join("control.sock");
    wait_for("the daemon", || {
        let status = Command::new(env!("CARGO_BIN_EXE_rotorctl")).args(["status", "--socket"]).arg(&socket).output();
        status.unwrap().status.success().then_some(())
    });
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    // Its vault has a key; where that is away, another one is not made.
    fs::rename(base.join("vault.key"), folder.path().join("away")).unwrap();
    let again = init(&config, &["--yes"]);
    assert!(told(&again).contains("no key is made") && !base.join("vault.key").exists(), "{}", told(&again));
}

#[test]
fn what_is_asked_is_checked_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("rotord.toml");
    let private = folder.path().join("recovery.key");
    for (args, expected) in [
        (&["--yes", "--timezone", "Europe/Berln"][..], "did you mean Europe/Berlin?"),
        (&["--yes", "--operator", "nobody-of-this-name"], "no user"),
        (&["--yes", "--recovery-key", "age1nonsense"], "recovery"),
        (&["--yes", "--escrow", "relative"], "absolute"),
        (&[], "rotorctl init --yes"),
    ] {
        let refused = init(&config, args);
        assert!(refused.status.code() == Some(2) && told(&refused).contains(expected), "{args:?}: {}", told(&refused));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{args:?}");
    }
    let escrow = folder.path().join("escrow");
    let answers = serde_json::json!([
        ["Time zone of schedules \\[Europe/Berlin\\]: $", "Asia/Tokyo", ""],
        ["Who may rotate[^\\n]*: $", "root, @root", ""],
        ["Who may read[^\\n]*: $", "", ""],
        ["Recovery key[^\\n]*: $", "new", ""],
        ["private half[^\\n]*: $", private.display().to_string(), ""],
        ["Folder of escrow[^\\n]*: $", escrow.display().to_string(), ""],
    ]);
    let made = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/terminal.py"))
        .arg(answers.to_string())
        .args([env!("CARGO_BIN_EXE_rotorctl"), "init", "--config"])
        .arg(&config)
        .env("TZ", "Europe/Berlin")
        .output()
        .unwrap();
    assert!(made.status.success() && told(&made).contains("take it away from this host"), "{}", told(&made));
    let text = fs::read_to_string(folder.path().join("config.d/init.toml")).unwrap();
    for line in ["timezone = \"Asia/Tokyo\"", "operator = [\"root\", \"@root\"]", "recovery_key = \"age1", "escrow = "]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(fs::read_to_string(&private).unwrap().contains("AGE-SECRET-KEY"));
    assert_eq!(private.metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(escrow.metadata().unwrap().mode() & 0o777, 0o700);
}

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
    let shipped = fs::read_dir("/usr/share/rotord/templates").is_ok_and(|mut files| files.next().is_some());
    assert_eq!(told(&made).contains("warning: no template was found"), !shipped, "{}", told(&made));
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
fn folders_above_escrow_are_for_all_to_enter_and_no_link_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (config, private) = (folder.path().join("here/rotord.toml"), folder.path().join("recovery.key"));
    let (base, elsewhere) = (config.parent().unwrap(), folder.path().join("elsewhere"));
    let escrow = folder.path().join("disk/rotord/escrow");
    fs::create_dir(base).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (escrow_text, private_text) = (text(&escrow), text(&private));
    let args = ["--yes", "--escrow", &escrow_text, "--new-recovery-key", &private_text];
    // What stands in the way is told before anything is made: links that lead nowhere, and what is no file or no folder.
    let link = |name: &str| std::os::unix::fs::symlink(&elsewhere, base.join(name)).unwrap();
    type Plant<'a> = (&'a str, &'a dyn Fn(&str));
    let plant: [Plant<'_>; 5] = [
        // Above the folder of escrow.
        ("../disk", &|name| fs::write(base.join(name), "").unwrap()),
        ("vault.key", &link),
        ("config.d", &link),
        ("state", &|name| fs::write(base.join(name), "").unwrap()),
        ("rotord.toml", &|name| fs::create_dir(base.join(name)).unwrap()),
    ];
    for (name, plant) in plant {
        plant(name);
        let refused = init(&config, &args);
        assert!(refused.status.code() == Some(2) && told(&refused).contains("nothing was made"), "{}", told(&refused));
        let is_above = name.starts_with("..");
        assert_eq!(fs::read_dir(base).unwrap().count(), usize::from(!is_above), "{name}");
        assert!(!private.exists() && !elsewhere.exists(), "{name}");
        assert_eq!(folder.path().join("disk").exists(), is_above, "{name}");
        let path = base.join(name);
        if path.is_dir() { fs::remove_dir(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    fs::write(base.join("rotord.toml"), "[vault]\nkey_file = \"vault.key\"\n").unwrap();
    let refused = init(&config, &args);
    assert!(told(&refused).contains("[vault] stands in") && !private.exists(), "{}", told(&refused));
    fs::remove_file(base.join("rotord.toml")).unwrap();

    // The mask of the caller does not count.
    let command = format!("umask 077; exec \"$0\" init --config {} \"$@\"", config.display());
    let made = Command::new("sh").args(["-c", &command, env!("CARGO_BIN_EXE_rotorctl")]).args(args).output().unwrap();
    assert!(made.status.success() && private.exists(), "{}", told(&made));
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
    let modes = [mode(&escrow), mode(escrow.parent().unwrap()), mode(&folder.path().join("disk"))];
    assert_eq!(modes, [0o700, 0o755, 0o755]);
    let before = snapshot(base);
    let is_hidden = |name: &str| Path::new(name).file_name().unwrap().to_string_lossy().starts_with('.');
    let hidden: Vec<&String> = before.iter().map(|(name, ..)| name).filter(|name| is_hidden(name)).collect();
    assert_eq!(hidden, Vec::<&String>::new());
    let again = init(&config, &args);
    assert!(again.status.success() && !told(&again).contains("made:"), "{}", told(&again));
    assert_eq!(snapshot(base), before);
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

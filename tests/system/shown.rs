//! What commands show: on a terminal, through a pipe, and what they never show.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::lab::Place;

const FLEET: &str = "[device.web1]\naddress = \"127.0.0.1:1\"\ntemplate = \"linux-passwd\"\n[device.core-switch]\n\
    address = \"127.0.0.1:1\"\ntemplate = \"linux-passwd\"\n[account.\"web1/admin\"]\n[account.\"web1/backup\"]\n\
    [account.\"core-switch/admin\"]\n[job.nightly]\nschedule = \"30 2 * * *\"\naccounts = [\"web[1-3]/*\"]\n";
const SEED: &str = "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&period=3600";

/// Runs a line of the shell on a terminal of this size (script(1)); what was written to it.
fn on_a_terminal(place: &Place, columns: usize, rows: usize, line: &str) -> String {
    let line = format!("stty cols {columns} rows {rows}; {line}");
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("ROTORD_SOCKET", place.path("socket"))
        .env("PATH", path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A path on which the built programs are found.
fn path() -> String {
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_rotorctl")).parent().unwrap();
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

/// What is left on the screen: the last line that was written, once its returns and erasures have been done.
fn last_line(text: &str) -> String {
    let line = text.rsplit('\n').next().unwrap_or_default();
    let after = line.rsplit("\r\u{1b}[K").next().unwrap_or_default();
    after.rsplit('\r').next().unwrap_or_default().to_owned()
}

fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &*String::from_utf8_lossy(&output.stderr)
}

#[test]
fn status_sums_up_filters_and_fits() {
    let place = Place::new(FLEET);
    let _daemon = place.daemon();
    place.must(&["secret", "set", "web1/admin"], "pw-1\n");
    place.must(&["secret", "set", "web1/backup"], "pw-2\n");
    place.must(&["pause", "web1/backup"], "");
    place.rotate("web1/admin");
    let text = shown(&place.ctl(&["status"], ""));
    assert!(text.contains("\n\n3 accounts: 1 new, 1 idle, 1 paused; 1 with an error\n"), "{text}");
    let names = |args: &[&str]| -> Vec<String> {
        let (status, exit) = place.json(&[&["status"], args].concat());
        assert_eq!(exit, 0, "{status}");
        let accounts = status["accounts"].as_array().unwrap();
        accounts.iter().map(|account| account["account"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&["--state", "paused"]), ["web1/backup"]);
    assert_eq!(names(&["--state", "idle,new"]), ["core-switch/admin", "web1/admin"]);
    assert_eq!(names(&["--device", "web[0-9]"]), ["web1/admin", "web1/backup"]);
    assert_eq!(names(&["--device", "web*", "--state", "idle"]), ["web1/admin"]);
    assert_eq!(names(&["--overdue"]), [""; 0]);
    assert_eq!(names(&["[cw]*/admin"]), ["core-switch/admin", "web1/admin"]);
    for wrong in [&["status", "--device", "nope"][..], &["status", "--state", "asleep"], &["status", "web[2-3]/*"]] {
        assert_eq!(place.ctl(wrong, "").status.code(), Some(2), "{wrong:?}");
    }
    let (narrow, wide) =
        (on_a_terminal(&place, 60, 24, "rotorctl status"), on_a_terminal(&place, 250, 24, "rotorctl status"));
    assert!(narrow.lines().take(4).all(|line| line.trim_end().chars().count() <= 60), "{narrow}");
    assert!(!narrow.contains("NEXT RUN") && wide.contains("NEXT RUN"), "{narrow}{wide}");
}

#[test]
fn what_is_watched_is_shown_in_its_place_until_it_is_interrupted() {
    let place = Place::new(FLEET);
    let _daemon = place.daemon();
    place.must(&["totp", "set", "web1/admin"], &format!("{SEED}\n"));
    let watched =
        on_a_terminal(&place, 100, 6, "timeout --foreground -s INT 3 rotorctl status --watch; echo ended with $?");
    // The screen of before comes back (xterm's private mode 1049).
    assert!(watched.contains("3 of 3 accounts") && watched.contains("\u{1b}[?1049l"), "{watched:?}");
    let watched = on_a_terminal(&place, 100, 24, "timeout -s INT 3 rotorctl otp web1/admin --watch");
    assert!(watched.contains(" s left"), "{watched:?}");
    assert!(watched.matches("\r\u{1b}[K").count() > 2 && last_line(&watched).is_empty(), "{watched:?}");
    // Through a pipe each view is one document.
    let line = "timeout -s INT 3 rotorctl status --watch --json";
    let mut command = Command::new("sh");
    command.args(["-c", line]).env("ROTORD_SOCKET", place.path("socket")).env("PATH", path());
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(text.lines().count() >= 2, "{text}");
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{text}");
}

#[test]
fn check_says_what_it_found_and_what_a_code_means() {
    let place = Place::new(FLEET);
    let checked = place.check_config();
    assert_eq!((shown(&checked).as_str(), checked.status.code()), ("ok: 2 devices, 3 accounts, 1 job\n", Some(0)));
    place.configure(&FLEET.replace("web[1-3]", "wbe[1-3]"));
    let text = shown(&place.check_config());
    assert!(text.contains("[C010]") && text.ends_with("ok, with 1 warning: 2 devices, 3 accounts, 1 job\n"), "{text}");
    let explain =
        |code| Command::new(env!("CARGO_BIN_EXE_rotord")).args(["check", "--explain", code]).output().unwrap();
    for (code, expected) in [("C010", "C010: names nothing"), ("c002", "lenght"), ("T001", "unknown command")] {
        let output = explain(code);
        assert!(output.status.success() && shown(&output).contains(expected), "{code}: {}", shown(&output));
    }
    assert_eq!(explain("C999").status.code(), Some(2));
}

#[test]
fn a_played_template_is_named() {
    let place = Place::new(FLEET);
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let template = root.join("templates/linux/linux-passwd.template");
    let recording = root.join("tests/devices/linux-passwd.recording");
    let args = ["template", "run", template.to_str().unwrap(), "--against", recording.to_str().unwrap()];
    let text = shown(&place.ctl(&args, ""));
    assert!(text.starts_with(&format!("template {}, recording ", template.display())), "{text}");
    let (value, _) = place.json(&args);
    assert_eq!(value["template"], template.to_str().unwrap());
}

#[test]
fn a_pipe_in_the_place_of_a_log_is_an_error_at_once() {
    let place = Place::new(FLEET);
    let pipe = place.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let pipe = pipe.to_str().unwrap();
    for args in [
        &["audit", "verify", pipe][..],
        &["audit", "verify", "/dev/zero"],
        &["template", "run", "x", "--against", pipe],
        &["template", "check", pipe],
    ] {
        let line = [&[env!("CARGO_BIN_EXE_rotorctl")], args].concat();
        let output = Command::new("timeout").arg("10").args(line).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", shown(&output));
    }
}

/// Puts a secret wherever a hurried person may put one, in each command that takes secrets.
#[test]
fn a_secret_on_the_command_line_is_repeated_nowhere() {
    const NEEDLE: &str = "Needle-hunter2";
    let place = Place::new(FLEET);
    let daemon = place.daemon();
    let identity = place.path("identity");
    place.must(&["key", "recovery", identity.to_str().unwrap()], "");
    let identity = identity.to_str().unwrap();
    let key = format!("AGE-SECRET-KEY-1{NEEDLE}");
    let uri = format!("otpauth://totp/x?secret={NEEDLE}");
    let lines: Vec<Vec<&str>> = vec![
        vec!["secret", "set", "web1/admin", NEEDLE],
        vec!["secret", "set", NEEDLE],
        vec!["secret", "set", "web1/Needle-hunter2"],
        vec!["secret", "set", "web1/admin", "--password", NEEDLE],
        vec!["secret", "set", "web1/admin", "--field", "Needle hunter2 \u{7}"],
        vec!["secret", NEEDLE],
        vec!["totp", "set", "web1/admin", NEEDLE],
        vec!["totp", "set", NEEDLE],
        vec!["totp", "set", "web1/admin", "--qr", &uri],
        vec!["totp", &uri],
        vec!["ssh-key", "set", "web1/admin", NEEDLE],
        vec!["ssh-key", "set", NEEDLE],
        vec!["import", NEEDLE],
        vec!["import", "-", NEEDLE],
        vec!["backup", "/nowhere/file", NEEDLE],
        vec!["backup", "/nowhere/file", "--recipient", &key],
        vec!["backup", "/nowhere/file", "--passphrase", NEEDLE],
        vec!["escrow", "open", "/nowhere", "--identity", &key],
        vec!["escrow", "open", "/nowhere", "--identity", identity, NEEDLE],
        vec!["key", "new", "/nowhere/key", NEEDLE],
        vec!["key", "rotate", "/nowhere/key", NEEDLE],
        vec!["template", "record", "x", "--device", "web1", NEEDLE],
        vec!["resolve", "web1/admin", "--device-has", NEEDLE],
        vec![NEEDLE],
    ];
    for line in &lines {
        let output = place.ctl(line, "x\nx\n");
        assert_ne!(output.status.code(), Some(0), "{line:?}");
        let told = shown(&output).replace("web1/admin", "");
        assert!(!told.contains("Needle") && !told.contains("hunter2") && told.len() > 20, "{line:?}: {told}");
    }
    let restore = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rotord"));
        shown(&command.arg("--config").arg(place.path("rotord.toml")).args(args).output().unwrap())
    };
    std::fs::write(place.path("backup"), "x").unwrap();
    let backup = place.path("backup");
    for args in [
        &["restore", backup.to_str().unwrap(), NEEDLE][..],
        &["restore", backup.to_str().unwrap(), "--identity", &key],
        &[NEEDLE],
    ] {
        let told = restore(args);
        assert!(!told.contains("Needle") && told.len() > 20, "{args:?}: {told}");
    }
    let (audit, _) = place.json(&["audit", "tail", "-n", "1000"]);
    assert!(!audit.to_string().contains("Needle") && !place.log().contains("Needle"), "{audit}");
    daemon.stop();
}

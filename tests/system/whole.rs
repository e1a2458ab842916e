//! What comes into the config comes whole: the file and what is stored with it, whoever leaves in between.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::lab::{Daemon, Place, wait_for};

const FILE: &str = "config.d/imported-new.toml";

/// An import that comes with a device, an account and its password, waiting for its turn at the config; and who has that turn.
fn waiting_import(place: &Place, more: &[&str]) -> (Child, File) {
    fs::write(place.path("new.csv"), "title,url,username,password\ncore1,192.0.2.1,netops,First-1\n").unwrap();
    let config = File::open(place.path("rotord.toml")).unwrap();
    config.lock().unwrap();
    let mut import = Command::new(env!("CARGO_BIN_EXE_rotorctl"))
        .args(more)
        .arg("import")
        .arg(place.path("new.csv"))
        .args(["--template", "linux-passwd", "--apply"])
        .env("ROTORD_SOCKET", place.path("socket"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(import.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("waiting for it") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it waits for nothing");
    }
    assert!(!place.path(FILE).exists(), "nothing is written before its turn");
    import.stderr = Some(said.into_inner());
    (import, config)
}

/// The daemon stands still, and the import has written its file and asks.
fn asking(place: &Place, daemon: &Daemon<'_>, config: File) {
    daemon.signal("STOP");
    drop(config);
    wait_for("the file", || place.path(FILE).exists().then_some(()));
}

fn is_all_there(place: &Place) {
    wait_for("the password", || place.ctl(&["secret", "show", "core1/netops"], "").status.success().then_some(()));
    assert_eq!(place.password("core1/netops"), "First-1");
    assert!(place.path(FILE).exists() && place.check_config().status.success());
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &*String::from_utf8_lossy(&output.stderr)
}

fn names_in(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn who_leaves_a_terminal_leaves_nothing_half_done() {
    let place = Place::new("");
    let daemon = place.daemon();
    let (import, config) = waiting_import(&place, &[]);
    asking(&place, &daemon, config);
    for signal in ["HUP", "INT", "TERM", "QUIT"] {
        let sent = Command::new("kill").args([&format!("-{signal}"), &import.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
    daemon.signal("CONT");
    let output = import.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    is_all_there(&place);
    assert_eq!(names_in(&place.path("config.d")), ["imported-new.toml"], "no hidden file is left");
    daemon.stop();
}

#[test]
fn an_answer_that_is_lost_is_not_taken_for_a_refusal() {
    let place = Place::new("");
    let daemon = place.daemon();
    let (import, config) = waiting_import(&place, &["--timeout", "12"]);
    asking(&place, &daemon, config);
    // The daemon answers neither the request nor the question whether it was done.
    let output = import.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", told(&output));
    for expected in ["nobody knows whether", "imported-new.toml stays", "rotorctl doctor core1/netops"] {
        assert!(told(&output).contains(expected), "{expected}: {}", told(&output));
    }
    assert!(place.path(FILE).exists(), "it may be in force");
    daemon.signal("CONT");
    wait_for("the daemon", || place.ctl(&["status"], "").status.success().then_some(()));
    daemon.stop();
}

#[test]
fn a_reload_waits_for_a_command_that_changes_the_config() {
    let place = Place::new("");
    let daemon = place.daemon();
    let (mut import, config) = waiting_import(&place, &[]);
    fs::create_dir_all(place.path("config.d")).unwrap();
    let half = place.path("config.d/half.toml");
    fs::write(&half, "[device.half]\naddress = \"192.0.2.9\"\ntemplate = \"linux-passwd\"\n[account.\"half/x\"]\n")
        .unwrap();
    daemon.signal("HUP");
    wait_for("the reload", || place.log().contains("the reload waits").then_some(()));
    fs::remove_file(half).unwrap();
    drop(config);
    let mut said = String::new();
    import.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(import.wait().unwrap().success(), "{said}");
    wait_for("the reload", || place.log().contains("config reloaded").then_some(()));
    is_all_there(&place);
    assert!(!place.ctl(&["status", "half/x"], "").status.success());
    daemon.stop();
}

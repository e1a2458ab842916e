//! The unit for systemd is sound, and forbids nothing that the daemon does.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::lab::{Lab, Place};

fn unit() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/rotord.service")).unwrap()
}

/// The words behind a setting of the unit.
fn setting(name: &str) -> Vec<String> {
    let unit = unit();
    let line = unit.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

/// The system calls of a group, with those of the groups in it (systemd.exec(5), SystemCallFilter=).
fn calls(name: &str, all: &mut BTreeSet<String>) {
    if !name.starts_with('@') {
        all.insert(name.to_owned());
        return;
    }
    let output = Command::new("systemd-analyze").args(["syscall-filter", name]).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    for call in text.lines().skip(1).map(str::trim).filter(|call| !call.is_empty() && !call.starts_with('#')) {
        calls(call, all);
    }
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rotord.service");
    fs::write(&path, unit().replace("/usr/bin/rotord", env!("CARGO_BIN_EXE_rotord"))).unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg(&path).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let ours: Vec<&str> = told.lines().filter(|line| line.contains("rotord")).collect();
    assert!(output.status.success() && ours.is_empty(), "{told}");
    assert_eq!(setting("ExecStart")[0], "/usr/bin/rotord");
}

#[test]
fn the_unit_allows_each_system_call_that_the_daemon_makes() {
    let lab = Lab::start("alice");
    let place = Place::new(&lab.sections("web", "linux-passwd", ""));
    let trace = place.path("trace");
    let daemon = place.daemon_with(&["strace", "-f", "-qq", "-o", trace.to_str().unwrap()], &[]);
    place.import("web", &lab);
    assert_eq!(place.rotate("web/alice").0, "done");
    place.must(&["backup", place.path("backup").to_str().unwrap()], "a passphrase\na passphrase\n");
    place.must(&["status"], "");
    place.must(&["audit", "verify"], "");
    daemon.signal("HUP");
    place.must(&["verify", "web/alice"], "");
    daemon.stop();
    let (families, mut allowed) = (setting("RestrictAddressFamilies"), BTreeSet::new());
    setting("SystemCallFilter").iter().for_each(|name| calls(name, &mut allowed));
    let (mut made, mut wrong) = (BTreeSet::new(), BTreeSet::new());
    for line in fs::read_to_string(&trace).unwrap().lines() {
        let Some((_, call)) = line.split_once(' ') else { continue };
        let Some((name, arguments)) = call.trim_start().split_once('(') else { continue };
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            continue;
        }
        made.insert(name.to_owned());
        let family = arguments.split(',').next().unwrap_or_default();
        let strange = name == "socket" && !families.iter().any(|known| known == family);
        let writes_code = arguments.contains("PROT_WRITE") && arguments.contains("PROT_EXEC");
        if !allowed.contains(name) || strange || writes_code {
            wrong.insert(call.to_owned());
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for used in ["mlockall", "clock_adjtime", "fdatasync", "accept4", "getrandom"] {
        assert!(made.contains(used), "{used}: {made:?}");
    }
}

//! The audit log as people and programs read it.

use std::process::Command;

use serde_json::Value;

use crate::lab::Place;

/// A place with many accounts, whose log has an event for each of them four times.
fn much_logged(accounts: usize) -> Place {
    let mut sections = "[device.web]\naddress = \"127.0.0.1:1\"\ntemplate = \"linux-passwd\"\n".to_owned();
    (0..accounts).for_each(|number| sections.push_str(&format!("[account.\"web/user{number}\"]\n")));
    Place::new(&sections)
}

#[test]
fn a_log_of_any_length_is_exported_whole_and_a_reader_may_go_away() {
    let place = much_logged(3_000);
    let _daemon = place.daemon();
    for word in ["pause", "resume", "pause", "resume"] {
        place.must(&[word, "--all"], "");
    }
    let (verified, _) = place.json(&["audit", "verify"]);
    let events = verified["events"].as_u64().unwrap();
    assert!(verified["ok"] == true && events > 12_000, "{verified}");
    let export = |format: &str| {
        let output = place.ctl(&["audit", "export", "--format", format], "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let document: Value = serde_json::from_str(&export("json")).unwrap();
    let numbers: Vec<u64> = document["events"].as_array().unwrap().iter().map(|e| e["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=events).collect::<Vec<_>>());
    assert_eq!(export("csv").lines().count() as u64, events + 1);
    assert_eq!(export("cef").lines().count() as u64, events);
    let piped =
        format!("{} audit export --format csv | head -n 1; exit ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_rotorctl"));
    let output = Command::new("bash").args(["-c", &piped]).env("ROTORD_SOCKET", place.path("socket")).output().unwrap();
    assert_eq!(output.status.code(), Some(141), "as by SIGPIPE");
    assert!(output.stdout.starts_with(b"seq,") && output.stderr.is_empty(), "{output:?}");
}

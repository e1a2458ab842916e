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

#[test]
fn months_that_were_set_aside_are_told_and_the_rest_is_checked_from_there() {
    let place = much_logged(3);
    let daemon = place.daemon();
    place.must(&["pause", "--all"], "");
    daemon.stop();
    let folder = place.path("state/audit");
    let [file] = rotord::audit::log_files(&folder).unwrap().try_into().unwrap();
    std::fs::rename(&file, folder.join("audit-2020-01.jsonl")).unwrap();
    let daemon = place.daemon();
    place.must(&["resume", "--all"], "");
    let archive = |before: &str| {
        let output = place.ctl(&["audit", "archive", "--before", before], "");
        (output.status.code().unwrap(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    assert_eq!(archive("2020-01").0, 2);
    assert_eq!(archive("January").0, 2);
    let (before, _) = place.json(&["audit", "verify"]);
    let (exit, told) = archive("2020-02");
    assert!(exit == 0 && told.contains("archived"), "{told}");
    assert!(folder.join("archived/audit-2020-01.jsonl").exists() && !folder.join("audit-2020-01.jsonl").exists());
    let (after, _) = place.json(&["audit", "verify"]);
    assert!(after["ok"] == true && after["events"].as_u64() > before["events"].as_u64(), "{after}");
    for path in [folder.join("archived"), folder.clone()] {
        assert_eq!(place.json(&["audit", "verify", path.to_str().unwrap()]).0["ok"], true, "{}", path.display());
    }
    daemon.stop();
    let _daemon = place.daemon();
    place.must(&["pause", "--all"], "");
    assert_eq!(place.json(&["audit", "verify"]).0["ok"], true);
    let [rest] = rotord::audit::log_files(&folder).unwrap().try_into().unwrap();
    let lines = std::fs::read_to_string(&rest).unwrap();
    std::fs::write(&rest, lines.split_once('\n').unwrap().1).unwrap();
    let (cut, exit) = place.json(&["audit", "verify"]);
    assert!(cut["first_bad"] == 1 && exit == 1, "what is cut off beyond that is found: {cut}");
    assert_eq!(archive("2099-01").0, 1, "nothing is moved of a log that is not whole");
}

/// A log of so many events that is whole, behind an event, and that no vault wrote.
fn forged(mut seq: u64, mut prev: String, events: u64) -> String {
    let mut text = String::new();
    for _ in 0..events {
        seq += 1;
        let event = rotord::audit::Draft::new(rotord::model::EventKind::DaemonReload)
            .chain(seq, 1_700_000_000_000, &prev)
            .unwrap();
        text += &format!("{}\n", event.line);
        prev = event.hash;
    }
    text
}

#[test]
fn a_log_that_was_written_anew_is_told_until_a_custodian_accepts_it() {
    let place = much_logged(3);
    let daemon = place.daemon();
    place.must(&["pause", "--all"], "");
    let [file] = rotord::audit::log_files(&place.path("state/audit")).unwrap().try_into().unwrap();
    let own = std::fs::read_to_string(&file).unwrap();
    let written = own.lines().count() as u64;
    let verified = || {
        let (report, exit) = place.json(&["audit", "verify"]);
        (exit, report["why"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(verified().0, 0);
    let anew = |events| forged(0, rotord::audit::GENESIS.to_owned(), events);
    for events in [written, written + 2] {
        std::fs::write(&file, anew(events)).unwrap();
        let (exit, why) = verified();
        assert!(exit == 1 && why.contains("rewritten"), "{why}");
    }
    let last: Value = serde_json::from_str(own.lines().last().unwrap()).unwrap();
    let more = forged(written, last["hash"].as_str().unwrap().to_owned(), 2);
    std::fs::write(&file, format!("{own}{more}")).unwrap();
    let (exit, why) = verified();
    assert!(exit == 1 && why.contains("extra: 2 lines"), "{why}");
    std::fs::write(&file, &own).unwrap();
    assert_eq!(verified().0, 0);
    daemon.stop();
    std::fs::write(&file, anew(written + 7)).unwrap();
    let _daemon = place.daemon();
    let (exit, why) = verified();
    assert!(exit == 1 && why.contains("rewritten") && why.contains("rotorctl audit accept"), "{why}");
    let told = || (place.json(&["status"]).0["audit_finding"].clone(), place.json(&["audit", "tail"]).0.to_string());
    let (finding, log) = told();
    assert!(finding.as_str().is_some_and(|finding| finding.contains("rewritten")), "{finding}");
    assert!(log.contains("audit.rewritten"), "{log}");
    place.must(&["pause", "--all"], "");
    assert_eq!(verified().0, 1, "what is written since changes nothing about it");
    place.must(&["audit", "accept", "--reason", "the disk was changed"], "");
    let (finding, log) = told();
    assert!(finding.is_null() && log.contains("audit.accepted") && log.contains("the disk was changed"), "{log}");
    assert_eq!(verified().0, 0);
    assert!(!place.ctl(&["audit", "accept", "--reason", "again"], "").status.success(), "there is nothing left");
}

//! `rotorctl doctor` on a real daemon: nothing on a healthy one, and faults of each source where they are planted.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::lab::{Lab, Place};

/// What a check-up finds, by kind. The host of the tests may have a clock that nobody keeps and a full disk, and the lab's codes have
/// steps of four seconds, which is not usual.
fn found(place: &Place, args: &[&str]) -> Vec<(String, String)> {
    let config = place.path("rotord.toml").display().to_string();
    let (value, exit) = place.json(&[&["doctor", "--config", &config], args].concat());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = value["findings"].as_array().unwrap();
    assert_eq!((value["ok"] == true, exit), (all.is_empty(), i32::from(!all.is_empty())), "{value}");
    for finding in all {
        for key in ["kind", "about", "what", "why", "command"] {
            assert!(!text(&finding[key]).is_empty(), "{finding}");
        }
    }
    let pairs = all.iter().map(|finding| (text(&finding["kind"]), text(&finding["about"])));
    pairs.filter(|(kind, _)| !["clock-unsynchronised", "disk-space", "seed-period"].contains(&&**kind)).collect()
}

#[test]
fn a_healthy_host_has_no_finding_and_planted_faults_are_found() {
    let lab = Lab::start("alice bob");
    let job = "[job.nightly]\nschedule = \"30 2 * * *\"\naccounts = [\"web/*\"]\n";
    let sections = lab.sections("web", "linux-passwd", "") + job;
    let place = Place::new(&sections);
    let daemon = place.daemon();
    place.import("web", &lab);
    assert_eq!(found(&place, &["--login"]), []);
    let output = place.ctl(&["doctor", "--config", place.path("rotord.toml").to_str().unwrap()], "");
    assert!(String::from_utf8_lossy(&output.stdout).contains("2 accounts and 1 devices were looked at"));

    // A wrong password, a folder that others may enter, a time that comes too often, an account in no job.
    place.must(&["secret", "set", "web/alice"], "Wrong-1-password\n");
    fs::set_permissions(place.path("state"), fs::Permissions::from_mode(0o755)).unwrap();
    let closed = "[device.closed]\naddress = \"127.0.0.1:1\"\ntemplate = \"linux-passwd\"\n[account.\"closed/root\"]\n";
    let often = format!("{}{closed}", sections.replace("30 2 * * *", "*/10 * * * *"));
    place.configure(&often);
    let kinds = |args: &[&str]| -> Vec<String> { found(&place, args).into_iter().map(|(kind, _)| kind).collect() };
    assert!(kinds(&[]).contains(&"config-not-in-force".to_owned()), "before the reload");
    daemon.signal("HUP");
    crate::lab::wait_for("the reload", || {
        (place.json(&["status"]).0["accounts"].as_array().unwrap().len() == 3).then_some(())
    });
    let all = found(&place, &[]);
    for (kind, about) in [
        ("job-storms", "nightly"),
        ("secret-absent", "closed/root"),
        ("no-job", "closed/root"),
        ("device-unreachable", "closed"),
    ] {
        assert!(all.contains(&(kind.into(), about.into())), "{kind}: {all:?}");
    }
    assert!(all.iter().any(|(kind, _)| kind == "state-mode"), "{all:?}");
    assert!(!all.iter().any(|(kind, _)| kind == "login-failed"), "no login is made unless it is asked for");
    let of_alice = found(&place, &["web/alice", "--login"]);
    assert_eq!(of_alice.first().unwrap(), &("login-failed".into(), "web/alice".into()), "{of_alice:?}");
    assert!(of_alice.iter().all(|(_, about)| about == "web/alice"), "{of_alice:?}");

    // A host key that is not the one on record.
    let print = lab.fingerprint.as_str();
    place.configure(&often.replace(print, &format!("SHA256:{}", "A".repeat(43))));
    daemon.signal("HUP");
    crate::lab::wait_for("the other key", || kinds(&[]).contains(&"host-key-changed".to_owned()).then_some(()));

    // A config with errors, and no daemon at all.
    place.configure("[device.web]\naddres = \"x\"\n");
    drop(daemon);
    let all = kinds(&[]);
    assert!(all.contains(&"daemon-absent".into()) && all.contains(&"config-error".into()), "{all:?}");
}

//! No account is changed more than twice in 24 hours, whatever restarts and whatever the clock says.

use crate::lab::{Lab, Place};

fn refused_by_the_cap(place: &Place, when: &str) {
    let (outcome, detail, exit) = place.rotate("lab/user1");
    assert_eq!((outcome.as_str(), exit), ("refused", 3), "{when}: {detail}");
    assert!(detail.contains("the cap"), "{when}: {detail}");
}

#[test]
fn the_third_change_within_a_day_is_refused_whatever_happens() {
    let lab = Lab::start("user1");
    let place = Place::new(&lab.sections("lab", "linux-passwd", ""));
    let daemon = place.daemon();
    place.import("lab", &lab);
    assert_eq!(place.rotate("lab/user1").2, 0);
    assert_eq!(place.rotate("lab/user1").2, 0);
    refused_by_the_cap(&place, "at once");
    daemon.stop();
    let daemon = place.daemon();
    refused_by_the_cap(&place, "after a restart");
    daemon.kill();
    let daemon = place.daemon();
    refused_by_the_cap(&place, "after kill -9");
    daemon.stop();
    for shift in ["-2d", "+25h"] {
        let daemon = place.daemon_with(&["faketime", "-f", shift], &[("FAKETIME_DONT_FAKE_MONOTONIC", "1")]);
        refused_by_the_cap(&place, &format!("with the wall clock at {shift}"));
        daemon.kill();
    }
    let _daemon = place.daemon();
    refused_by_the_cap(&place, "with the clock right again");
    assert!(lab.ssh_accepts("user1", &place.password("lab/user1")));
    let (verified, exit) = place.json(&["audit", "verify"]);
    assert_eq!((verified["ok"].as_bool(), exit), (Some(true), 0), "{verified}");
}

#[test]
fn a_change_that_is_too_young_is_refused() {
    let lab = Lab::start("user1");
    let place = Place::new(&(lab.sections("lab", "linux-passwd", "") + "[policy.default]\nmin_age = \"1h\"\n"));
    let _daemon = place.daemon();
    place.import("lab", &lab);
    assert_eq!(place.rotate("lab/user1").2, 0);
    let (outcome, detail, exit) = place.rotate("lab/user1");
    assert_eq!((outcome.as_str(), exit), ("refused", 3));
    assert!(detail.contains("min_age"), "{detail}");
}

#[test]
fn the_config_cannot_raise_the_cap() {
    let place = Place::new("[policy.default]\nmax_changes_per_day = 3\n");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_rotord"))
        .arg("check")
        .arg("--config")
        .arg(place.path("rotord.toml"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains("'max_changes_per_day' must be from 1 to 2"));
}

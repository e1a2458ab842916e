//! Clocks that disagree: a device's whose codes are of another time step, and the host's own.

use crate::lab::{Lab, Place};

const ALONE: [(&str, &str); 1] = [("FAKETIME_DONT_FAKE_MONOTONIC", "1")];

#[test]
fn how_far_a_device_s_clock_is_off_is_learned_and_remembered() {
    // The device takes codes of the present step alone, and is two steps ahead of this daemon's clock, less a quarter of a
    // second: sent as its step begins by this daemon's clock, a code would come too early.
    let lab = Lab::with("user1", &[("STEP", "6"), ("WINDOW", "1"), ("OTP", "noskewadj")]);
    let place =
        Place::new(&(lab.sections("lab", "linux-passwd", "") + "[policy.default]\nfailed_logins_per_hour = 5\n"));
    let behind = ["faketime", "-f", "-11.75s"];
    let daemon = place.daemon_with(&behind, &ALONE);
    place.import("lab", &lab);
    let (status, _) = place.json(&["status"]);
    assert_eq!(status["accounts"][0]["totp_skew"], 0, "{status}");
    let (outcome, detail, exit) = place.rotate("lab/user1");
    assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail} {}", place.json(&["history", "lab/user1"]).0);
    let (status, _) = place.json(&["status"]);
    assert_eq!(status["accounts"][0]["totp_skew"], 2, "{status}");
    let told = String::from_utf8(place.ctl(&["status"], "").stdout).unwrap();
    assert!(told.contains("takes codes of +2 time steps"), "{told}");
    daemon.kill();

    let _daemon = place.daemon_with(&behind, &ALONE);
    let (outcome, detail, exit) = place.rotate("lab/user1");
    assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail}");
    let (history, _) = place.json(&["history", "lab/user1"]);
    let steps = history["attempts"][0]["steps"].to_string();
    assert!(!steps.contains("refuse"), "after a restart nothing is tried that is known to fail: {steps}");
    assert_eq!(history["attempts"].as_array().unwrap().len(), 2, "{history}");
}

#[test]
fn accounts_that_share_a_seed_log_in_one_after_the_other_and_none_sends_its_password_long_before_its_code() {
    // Six logins at once, codes three seconds apart, and a device that hangs up on whoever takes more than ten.
    let lab = Lab::with("u1 u2 u3 u4 u5 u6", &[("SHARED", "1"), ("STEP", "3"), ("SSHD", "LoginGraceTime 10")]);
    let sections = lab.sections("lab", "linux-passwd", "max_sessions = 6");
    let place = Place::new(&sections);
    let _daemon = place.daemon();
    place.import("lab", &lab);
    let (value, exit) = place.json(&["rotate", "--all"]);
    assert_eq!(exit, 0, "{value}");
    for (user, ..) in &lab.accounts {
        let account = format!("lab/{user}");
        let (history, _) = place.json(&["history", &account]);
        let attempts = history["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 1, "{history}");
        assert!(!attempts[0].to_string().contains("hung up"), "{history}");
    }
    let (user, ..) = &lab.accounts[3];
    assert!(lab.ssh_accepts(user, &place.password(&format!("lab/{user}"))));
}

#[test]
fn a_host_clock_that_nobody_keeps_right_is_warned_of() {
    let place = Place::new("");
    let _daemon = place.daemon();
    let (status, _) = place.json(&["status"]);
    let warned = status["clock_warning"].as_str().is_some_and(|text| text.contains("not synchronised"));
    assert_eq!(rotord::clock::host_is_synchronised() == Some(false), warned, "{status}");
}

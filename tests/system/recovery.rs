//! Ends of doubt: verify, reconcile, resolve, explain, by hand and by themselves.

use std::sync::Arc;

use rotord::demo::PasswdShell;

use crate::lab::{Lab, Place, wait_for};
use crate::scripted::{FIRST, with_shell};

/// An account whose password a person changed behind rotord's back, with a reconcile account that itself has a code.
fn drifted(more: &str) -> (Lab, Place) {
    let lab = Lab::start("root user1");
    let sections = lab.sections("lab", "linux-passwd", "") + "reconcile_as = \"lab/root\"\n" + more;
    (lab, Place::new(&sections))
}

fn explain(place: &Place, account: &str) -> String {
    let output = place.ctl(&["explain", account], "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_password_changed_behind_our_back_is_found_explained_and_reconciled() {
    let (lab, place) = drifted("");
    let _daemon = place.daemon();
    place.import("lab", &lab);
    assert!(explain(&place, "lab/user1").contains("is idle"));
    place.must(&["secret", "set", "lab/user1"], "not-what-the-device-has\n");
    let (verified, exit) = place.json(&["verify", "lab/user1"]);
    assert_eq!((verified["results"][0]["outcome"].as_str(), exit), (Some("unknown"), 5), "{verified}");
    assert_eq!(place.state("lab/user1"), "uncertain", "one refusal condemns nobody");
    let told = explain(&place, "lab/user1");
    for part in ["is uncertain since", "Why:", "refused", "Tried last:", "rotorctl reconcile lab/user1"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let (reconciled, exit) = place.json(&["reconcile", "lab/user1"]);
    assert_eq!((reconciled["results"][0]["outcome"].as_str(), exit), (Some("done"), 0), "{reconciled}");
    assert_eq!(place.state("lab/user1"), "idle");
    assert_eq!(place.changes("lab/user1"), 1, "it counts for the cap");
    assert!(lab.ssh_accepts("user1", &place.password("lab/user1")));
    let (_, old) = ((), lab.account("user1").0.to_owned());
    assert!(!lab.ssh_accepts("user1", &old));
}

#[test]
fn where_the_policy_says_so_an_account_mends_itself() {
    let (lab, place) = drifted("[policy.default]\nauto_reconcile = true\nfailed_logins_per_hour = 4\n");
    let _daemon = place.daemon();
    place.import("lab", &lab);
    place.must(&["secret", "set", "lab/user1"], "not-what-the-device-has\n");
    let (_, exit) = place.json(&["verify", "lab/user1"]);
    assert_eq!(exit, 5);
    wait_for("the account mended by itself", || (place.state("lab/user1") == "idle").then_some(()));
    assert!(lab.ssh_accepts("user1", &place.password("lab/user1")));
}

#[test]
fn a_reconcile_that_cannot_be_done_says_why_and_changes_nothing() {
    let scripted = with_shell("linux-passwd", Arc::new(|user| Box::new(PasswdShell::new(user, false))));
    let place = &scripted.place;
    let _daemon = place.daemon();
    scripted.import();
    let (refused, exit) = place.json(&["reconcile", "dev/admin"]);
    let detail = refused["results"][0]["detail"].as_str().unwrap();
    assert!(exit == 3 && detail.contains("reconcile_as"), "{refused}");
    assert_eq!(place.password("dev/admin"), FIRST);
}

#[test]
fn what_a_person_knows_ends_a_quarantine() {
    let scripted = with_shell("linux-passwd", Arc::new(|user| Box::new(PasswdShell::new(user, false))));
    let place = &scripted.place;
    let _daemon = place.daemon();
    scripted.import();
    let nothing = place.ctl(&["resolve", "dev/admin", "--device-has", "old"], "");
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("nothing to resolve"));
    assert_eq!(nothing.status.code(), Some(2));
    place.must(&["secret", "set", "dev/admin"], "not-what-the-device-has\n");
    assert_eq!(place.json(&["verify", "dev/admin"]).1, 5);
    let no_new = place.ctl(&["resolve", "dev/admin", "--device-has", "new"], "");
    assert!(String::from_utf8_lossy(&no_new.stderr).contains("no new password"));
    place.must(&["resolve", "dev/admin", "--device-has", "old"], "");
    assert_eq!(place.state("dev/admin"), "idle");
    assert_eq!(place.json(&["audit", "verify"]).0["ok"], true);
}

#[test]
fn a_verify_job_looks_once_a_day_and_changes_nothing() {
    let scripted = with_shell("linux-passwd", Arc::new(|user| Box::new(PasswdShell::new(user, false))));
    let place = &scripted.place;
    let job = "[job.look]\nschedule = \"* * * * * *\"\naccounts = [\"*\"]\naction = \"verify\"\n";
    place.configure(&(crate::scripted::sections(&scripted.device, "linux-passwd") + job));
    let _daemon = place.daemon();
    scripted.import();
    wait_for("a look at the account", || (!scripted.device.state().logins.is_empty()).then_some(()));
    // The job fires every second; three more firings are waited for, and none of them logs in.
    let fired = || place.log().matches("job look fires").count();
    let before = fired();
    wait_for("three more firings", || (fired() >= before + 3).then_some(()));
    assert_eq!(scripted.device.state().logins.len(), 1);
    assert_eq!(place.password("dev/admin"), FIRST);
    assert_eq!(scripted.held(), FIRST);
}

//! What operators are told of attempts: status, history, audit log, journal and texts agree, and name who, why and what.

use serde_json::Value;

use crate::lab::{Lab, Place, free_port, wait_for};

/// A place with an account on a device that nobody can reach.
fn unreachable(more: &str) -> Place {
    let place = Place::new(&format!(
        "[device.web]\naddress = \"127.0.0.1:{}\"\nhost_key = [\"SHA256:{}\"]\ntemplate = \"linux-passwd\"\n[account.\"web/admin\"]\n{more}",
        free_port(),
        "A".repeat(43)
    ));
    place
}

fn stored(place: &Place) {
    place.must(&["secret", "set", "web/admin"], "First-Password-1\n");
}

fn events(place: &Place, event: &str) -> Vec<Value> {
    let (log, _) = place.json(&["audit", "tail", "-n", "100"]);
    log["events"].as_array().unwrap().iter().filter(|found| found["event"] == event).cloned().collect()
}

fn text(place: &Place, args: &[&str]) -> String {
    let output = place.ctl(args, "");
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[test]
fn a_verify_that_fails_is_told_as_one_everywhere_until_a_login_is_taken() {
    let place = unreachable("");
    let _daemon = place.daemon();
    stored(&place);
    let (value, exit) = place.json(&["verify", "web/admin", "--reason", "ticket 4711"]);
    let result = &value["results"][0];
    assert_eq!((result["outcome"].as_str(), exit), (Some("failed"), 4), "{value}");
    let account = place.json(&["status", "web/admin"]).0["accounts"][0].clone();
    assert!(account["verify_error"].as_str().is_some_and(|why| why.contains("cannot connect")), "{account}");
    assert!(account["last_error"].as_str().is_some_and(|why| why.starts_with("verify failed: ")), "{account}");
    let attempt = place.json(&["history", "web/admin"]).0["attempts"][0].clone();
    assert_eq!(
        (attempt["kind"].as_str(), attempt["reason"].as_str()),
        (Some("verify"), Some("ticket 4711")),
        "{attempt}"
    );
    assert_eq!(attempt["attempt"], result["attempt"]);
    let event = events(&place, "verify.failed").pop().unwrap();
    assert_eq!(
        (event["account"].as_str(), event["reason"].as_str()),
        (Some("web/admin"), Some("ticket 4711")),
        "{event}"
    );
    assert!(event["attempt"] == result["attempt"] && event["actor"]["name"].is_string(), "{event}");
    assert!(events(&place, "rotation.failed").is_empty());
    let id = result["attempt"].as_str().unwrap();
    for args in [&["audit", "tail"][..], &["history", "web/admin"]] {
        let told = text(&place, args);
        for part in ["ticket 4711", id, "verify"] {
            assert!(told.contains(part), "{args:?}: {part}: {told}");
        }
    }
    assert!(place.log().contains("web/admin: verify failed: cannot connect to web"), "{}", place.log());
    // A password that a person stores is another one: what was told of the one before is past.
    stored(&place);
    assert_eq!(place.json(&["status", "web/admin"]).0["accounts"][0]["last_error"], Value::Null);
}

#[test]
fn a_job_s_verify_that_fails_is_told_with_its_job() {
    let place = unreachable("[job.look]\nschedule = \"* * * * * *\"\naccounts = [\"*\"]\naction = \"verify\"\n");
    let _daemon = place.daemon();
    stored(&place);
    let event = wait_for("the job's look", || events(&place, "verify.failed").pop());
    assert_eq!((event["job"].as_str(), event["trigger"].as_str()), (Some("look"), Some("schedule")), "{event}");
    let attempt = place.json(&["history", "web/admin"]).0["attempts"][0].clone();
    assert_eq!((attempt["kind"].as_str(), attempt["job"].as_str()), (Some("verify"), Some("look")), "{attempt}");
    assert!(place.log().contains("web/admin (job look): verify failed: cannot connect to web"), "{}", place.log());
    assert!(place.log().contains("job look fires for 1 accounts"), "{}", place.log());
    assert!(!place.json(&["status", "web/admin"]).0["accounts"][0]["verify_error"].is_null());
}

#[test]
fn a_request_that_nobody_waits_for_is_accepted_and_not_done() {
    let place = unreachable("");
    let _daemon = place.daemon();
    stored(&place);
    let (value, exit) = place.json(&["rotate", "web/admin", "--no-wait", "--reason", "quarterly"]);
    assert_eq!((value["results"][0]["outcome"].as_str(), exit), (Some("accepted"), 0), "{value}");
    let attempts = || place.json(&["history", "web/admin"]).0["attempts"].clone();
    let attempt = wait_for("its end in the history", || {
        attempts().as_array().unwrap().iter().find(|it| !it["ended"].is_null()).cloned()
    });
    assert_eq!(
        (attempt["kind"].as_str(), attempt["reason"].as_str()),
        (Some("rotate"), Some("quarterly")),
        "{attempt}"
    );
}

#[test]
fn who_waits_for_a_code_has_no_session_and_who_waits_for_one_is_told_how_many_are_ahead() {
    let lab = Lab::start("alice bob");
    let place = Place::new(&lab.sections("web", "linux-passwd", "max_sessions = 1"));
    let _daemon = place.daemon();
    place.import("web", &lab);
    let output = place.ctl(&["rotate", "--all"], "");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(told.contains("waiting for a session on web: 1 ahead (max_sessions 1)"), "{told}");
    // Each needs two codes of its own seed, one after another: in the wait for the second one the other account logs in.
    let logins: Vec<&str> = told.lines().filter(|line| line.contains("logged in to web as ")).collect();
    assert_eq!(logins.len(), 4, "{told}");
    let user = |line: &str| line.rsplit(' ').next().unwrap().to_owned();
    assert_ne!(user(logins[0]), user(logins[1]), "{told}");
}

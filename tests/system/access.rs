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
fn open_up(place: &Place) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(place.folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_rotorctl"), place.path("rotorctl")).unwrap();
}

#[test]
fn a_viewer_sees_and_does_nothing_else() {
    let place = Place::new(&format!("[access]\nviewer = [\"nobody\"]\n{DEVICE}"));
    open_up(&place);
    let _daemon = place.daemon();
    assert_eq!(as_nobody(&place, &["status"]).status.code(), Some(0));
    for args in
        [&["rotate", "d/a"][..], &["pause", "d/a"], &["otp", "d/a"], &["secret", "show", "d/a"], &["trust", "d"]]
    {
        let output = as_nobody(&place, args);
        assert_eq!(output.status.code(), Some(6), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let (audit, _) = place.json(&["audit", "tail"]);
    let denied = audit["events"].as_array().unwrap().iter().filter(|event| event["event"] == "access.denied").count();
    assert_eq!(denied, 5);
    assert!(audit.to_string().contains("\"name\":\"nobody\""));
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

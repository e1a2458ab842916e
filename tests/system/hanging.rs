//! A vault whose disk hangs: that is told from memory, to whoever asks and to notifiers, though all else of theirs needs the vault.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::lab::{Place, wait_for, wait_within};
use crate::notify::{Does, Receiver, accounts, notifiers};

/// Longer than a hang may last until it is told.
const PATIENCE: Duration = Duration::from_secs(120);

/// A program that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // strace(1) lets go of what it traces.
        drop(Command::new("kill").arg(self.0.id().to_string()).stderr(Stdio::null()).status());
        drop(self.0.wait());
    }
}

/// Every sync of a process takes ten minutes from now on, until this ends.
fn hang(pid: u32) -> Ended {
    let calls = "fdatasync,fsync";
    let strace = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")])
        .args(["-e", &format!("inject={calls}:delay_enter=600000000"), "-p", &pid.to_string()])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let strace = Ended(strace);
    wait_for("strace", || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let traced = |task: &std::fs::DirEntry| {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            !status.contains("TracerPid:\t0\n")
        };
        tasks.into_iter().all(|task| traced(&task)).then_some(())
    });
    strace
}

#[test]
fn a_vault_that_hangs_is_told_from_memory_and_nobody_who_asks_is_left_waiting() {
    let receiver = Receiver::start(|_| Does::Says(200, ""));
    let sections = accounts(2);
    let place = Place::new(&sections);
    let hook = |name: &str| format!("[notify.{name}]\nkind = \"webhook\"\nurl = \"{}\"\n", receiver.url());
    place.configure(&format!("{sections}{}{}fold = \"1s\"\n", hook("programs"), hook("people")));
    let daemon = place.daemon();
    wait_for("the notifiers", || (notifiers(&place).len() == 2).then_some(()));
    let told = |event: &str| {
        let all = receiver.taken().into_iter().map(|request| request.json());
        let has = |body: &serde_json::Value| body["events"].as_array().unwrap().iter().any(|it| it["event"] == event);
        all.filter(has).collect::<Vec<_>>()
    };
    let hangs = hang(daemon.pid());
    // Something that waits for the vault.
    let mut waits = Command::new(env!("CARGO_BIN_EXE_rotorctl"));
    let waits = waits.args(["pause", "--all"]).env("ROTORD_SOCKET", place.path("socket"));
    let mut waits = Ended(waits.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let both = wait_within(PATIENCE, "the word of it", || Some(told("vault.failed")).filter(|all| all.len() == 2));
    let text = both[0]["text"].as_str().unwrap();
    assert!(text.contains("the vault has not answered for ") && text.contains("rotorctl status"), "{text}");
    assert_eq!(both[0]["severity"], "critical");
    // Whoever asks is told so at once.
    let asked = place.ctl(&["status"], "");
    let error = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(!asked.status.success() && error.contains("the vault has not answered for "), "{error}");
    let checked = place.ctl(&["check"], "");
    let line = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.code() == Some(2) && line.contains("the vault cannot be written"), "{line}");
    // The disk answers again: what waited is done, and the end of the trouble is told.
    drop(hangs);
    wait_for("what waited", || waits.0.try_wait().unwrap().map(|status| assert!(status.success())));
    wait_within(PATIENCE, "the end of it", || (told("vault.works").len() >= 2).then_some(()));
    wait_for("the status", || place.json(&["status"]).0["vault_error"].is_null().then_some(()));
    let (log, _) = place.json(&["audit", "tail", "-n", "100"]);
    let kinds = |kind: &str| log["events"].as_array().unwrap().iter().filter(|event| event["event"] == kind).count();
    assert_eq!((kinds("vault.failed"), kinds("vault.works")), (1, 1), "{log}");
    // What was told from memory is not told a second time from the log.
    assert_eq!(told("vault.failed").len(), 2, "{:?}", told("vault.failed"));
    daemon.stop();
}

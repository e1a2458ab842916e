//! The daemon is killed at each write that it makes durable; by itself everything converges.

use std::process::{Command, Stdio};
use std::sync::Arc;

use rotord::demo::PasswdShell;

use crate::lab::{kill_traced, wait_for};
use crate::scripted::{FIRST, with_shell};

/// Runs the daemon under strace, which kills it at its `n`th call, and asks for a rotation. `true` where it was killed.
fn killed_at_sync(place: &crate::lab::Place, call: &str, n: usize) -> bool {
    let inject = format!("inject={call}:signal=KILL:when={n}");
    let trace = format!("trace={call}");
    let mut daemon = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject, env!("CARGO_BIN_EXE_rotord"), "--config"])
        .arg(place.path("rotord.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let answers = || place.ctl(&["status"], "").status.success();
    let up = wait_for("the daemon or its end", || {
        if daemon.try_wait().unwrap().is_some() {
            return Some(false);
        }
        answers().then_some(true)
    });
    if !up {
        return true;
    }
    drop(place.ctl(&["rotate", "dev/admin"], ""));
    let ended = wait_for("the rotation's end or the daemon's", || {
        if daemon.try_wait().unwrap().is_some() {
            return Some(true);
        }
        (answers() && place.state("dev/admin") == "idle").then_some(false)
    });
    if !ended {
        kill_traced(&mut daemon);
    }
    ended
}

/// Kills the daemon at every call of one kind; how many there were.
fn survives_each(call: &str) -> usize {
    for n in 1..200 {
        let scripted = with_shell("linux-passwd", Arc::new(|user| Box::new(PasswdShell::new(user, false))));
        let daemon = scripted.place.daemon();
        scripted.import();
        daemon.stop();
        let killed = killed_at_sync(&scripted.place, call, n);
        // Whatever happened, one of the vault's passwords is the device's, and a fresh start finds out which.
        let daemon = scripted.place.daemon();
        wait_for("a state of rest", || (scripted.place.state("dev/admin") == "idle").then_some(()));
        assert_eq!(scripted.place.password("dev/admin"), scripted.held(), "killed at {call} {n}");
        assert!(scripted.place.changes("dev/admin") <= 1, "killed at {call} {n}");
        let (verified, _) = scripted.place.json(&["audit", "verify"]);
        assert_eq!(verified["ok"], true, "killed at {call} {n}: {verified}");
        let state = scripted.device.state();
        assert_eq!(state.replays, 0, "no code was sent twice; killed at {call} {n}");
        let refused = state.logins.iter().filter(|(_, accepted)| !accepted).count();
        assert!(refused <= 1, "only a new password that never left may be refused; killed at {call} {n}");
        drop(state);
        daemon.stop();
        if !killed {
            assert_ne!(scripted.held(), FIRST, "without a crash it is done");
            return n - 1;
        }
    }
    panic!("it never came to its end")
}

#[test]
fn a_crash_at_any_sync_of_the_vault_loses_nothing_and_ends_by_itself() {
    let crashes = survives_each("fsync");
    assert!(crashes >= 8, "the vault syncs more often than {crashes} times");
}

#[test]
fn a_crash_at_any_sync_of_the_audit_log_loses_nothing_and_ends_by_itself() {
    let crashes = survives_each("fdatasync");
    assert!(crashes >= 4, "the log syncs more often than {crashes} times");
}

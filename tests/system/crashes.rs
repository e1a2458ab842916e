//! The daemon is killed at each write that it makes durable; by itself everything converges.

use std::process::{Command, Stdio};
use std::sync::Arc;

use rotord::demo::PasswdShell;

use crate::lab::{Place, kill_traced, wait_for};
use crate::scripted::{FIRST, with_shell};

/// Runs the daemon under strace, which kills it at its `n`th call, and asks for something until that is `done`. `true` where it
/// was killed.
fn killed_at_sync(place: &Place, call: &str, n: usize, ask: &[&str], done: impl Fn() -> bool) -> bool {
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
    drop(place.ctl(ask, ""));
    let ended = wait_for("its end or the daemon's", || {
        if daemon.try_wait().unwrap().is_some() {
            return Some(true);
        }
        (answers() && done()).then_some(false)
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
        let idle = || scripted.place.state("dev/admin") == "idle";
        let killed = killed_at_sync(&scripted.place, call, n, &["rotate", "dev/admin"], idle);
        // Whatever happened, one of the vault's passwords is the device's, and a fresh start finds out which.
        let daemon = scripted.place.daemon();
        wait_for("a state of rest", || (scripted.place.state("dev/admin") == "idle").then_some(()));
        assert_eq!(scripted.place.password("dev/admin"), scripted.held(), "killed at {call} {n}");
        assert!(scripted.place.changes("dev/admin") <= 1, "killed at {call} {n}");
        let (verified, _) = scripted.place.json(&["audit", "verify"]);
        assert_eq!(verified["ok"], true, "killed at {call} {n}: {verified}");
        scripted.place.each_start_has_its_end(&format!("killed at {call} {n}"));
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

#[test]
fn a_crash_at_any_sync_while_the_vault_s_key_is_changed_leaves_a_key_that_opens_it() {
    let scripted = with_shell("linux-passwd", Arc::new(|user| Box::new(PasswdShell::new(user, false))));
    let place = &scripted.place;
    let daemon = place.daemon();
    scripted.import();
    daemon.stop();
    let config = std::fs::read_to_string(place.path("rotord.toml")).unwrap();
    let config_with = |key: &str| config.replace("vault.key", key);
    let mut key = "vault.key".to_owned();
    let (mut killed, mut changed) = (0, 0);
    for n in 1..200 {
        let fresh = format!("fresh-{n}.key");
        let file = place.path(&fresh);
        let told = || place.json(&["audit", "tail"]).0.to_string().contains(&fresh);
        let dies = killed_at_sync(place, "fsync", n, &["key", "rotate", file.to_str().unwrap()], told);
        // Either the former key opens the vault, or whoever tries is told of the fresh one, which is there.
        let daemon = place.try_daemon_with(&[], &[]).unwrap_or_else(|why| {
            assert!(why.contains(&fresh), "killed at {n}: {why}");
            changed += 1;
            key.clone_from(&fresh);
            std::fs::write(place.path("rotord.toml"), config_with(&key)).unwrap();
            place.daemon()
        });
        assert_eq!(place.password("dev/admin"), FIRST, "killed at {n}");
        assert_eq!(place.json(&["audit", "verify"]).0["ok"], true, "killed at {n}");
        daemon.stop();
        std::fs::remove_file(place.path("log")).unwrap();
        if !dies {
            assert_eq!(key, fresh, "without a crash it is done");
            assert!(killed >= 3 && changed >= 2, "killed {killed} times, {changed} of them behind the change");
            return;
        }
        killed += 1;
    }
    panic!("it never came to its end")
}

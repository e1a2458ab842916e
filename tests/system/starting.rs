//! Starting, reloading, stopping.

use std::process::Command;

use crate::lab::{Place, wait_for};

const DEVICE: &str = "[device.d]\naddress = \"127.0.0.1:1\"\ntemplate = \"linux-passwd\"\n[account.\"d/a\"]\n[job.j]\nschedule = \"30 2 * * *\"\naccounts = [\"d/*\"]\n";

fn start_fails(place: &Place) -> (Option<i32>, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_rotord")).arg("--config").arg(place.path("rotord.toml")).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused() {
    let place = Place::new(DEVICE);
    let _daemon = place.daemon();
    let (exit, error) = start_fails(&place);
    assert_eq!(exit, Some(11));
    assert!(error.contains("another rotord works on"), "{error}");
    assert_eq!(place.state("d/a"), "new", "the first one is there");
    // Another state folder, the same socket.
    let config = std::fs::read_to_string(place.path("rotord.toml")).unwrap();
    std::fs::write(place.path("rotord.toml"), config.replace("\"state\"", "\"other\"")).unwrap();
    let (exit, error) = start_fails(&place);
    assert_eq!(exit, Some(11));
    assert!(error.contains("another daemon answers"), "{error}");
    assert_eq!(place.state("d/a"), "new", "it has kept its socket");
}

#[test]
fn a_wrong_key_is_a_refusal_to_start_and_no_empty_vault() {
    let place = Place::new(DEVICE);
    let daemon = place.daemon();
    place.must(&["secret", "set", "d/a"], "kept-1\n");
    daemon.stop();
    std::fs::rename(place.path("vault.key"), place.path("right.key")).unwrap();
    let (exit, error) = start_fails(&place);
    assert_eq!(exit, Some(10));
    assert!(error.contains("rotorctl key new"), "{error}");
    place.must(&["key", "new", place.path("vault.key").to_str().unwrap()], "");
    let (exit, error) = start_fails(&place);
    assert_eq!(exit, Some(10));
    assert!(error.contains("does not open the vault"), "{error}");
    std::fs::rename(place.path("right.key"), place.path("vault.key")).unwrap();
    let _daemon = place.daemon();
    assert_eq!(place.password("d/a"), "kept-1");
}

#[test]
fn a_broken_config_is_refused_whole_and_the_old_one_stays() {
    let place = Place::new(DEVICE);
    let daemon = place.daemon();
    place.configure(&format!("{DEVICE}\n[account.\"d/b\"]\nlenght = 1\n"));
    daemon.signal("HUP");
    let error = wait_for("the refusal of the config", || {
        let (status, _) = place.json(&["status"]);
        status["config_error"].as_str().map(str::to_owned)
    });
    assert!(error.contains("unknown key 'lenght'"), "{error}");
    let told = |kind: &str| {
        let (log, _) = place.json(&["audit", "tail", "-n", "1000"]);
        log["events"].as_array().unwrap().iter().filter(|event| event["event"] == kind).count()
    };
    wait_for("the event of the refusal", || (told("config.refused") == 1).then_some(()));
    assert_eq!(place.json(&["status"]).0["accounts"].as_array().unwrap().len(), 1);
    place.configure(&format!("{DEVICE}\n[account.\"d/b\"]\n"));
    daemon.signal("HUP");
    wait_for("the new config", || (place.json(&["status"]).0["accounts"].as_array().unwrap().len() == 2).then_some(()));
    assert!(place.json(&["status"]).0["config_error"].is_null());
    // A reload is one event: what is refused is not told of as a reload too, which would end the trouble that it is.
    wait_for("the event of the reload", || (told("daemon.reload") > 0).then_some(()));
    assert_eq!((told("daemon.reload"), told("config.refused")), (1, 1));
}

#[test]
fn the_socket_is_open_to_whom_a_reload_lists_and_closed_again() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new(DEVICE);
    let daemon = place.daemon();
    let mode = || std::fs::metadata(place.path("socket")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    for (access, expected) in [("[access]\nviewer = [\"nobody\"]\n", 0o666), ("", 0o600)] {
        place.configure(&format!("{access}{DEVICE}"));
        daemon.signal("HUP");
        wait_for(&format!("the mode {expected:o}"), || (mode() == expected).then_some(()));
    }
}

/// The signals that a process holds back or has handlers for, a bit for each (`SigBlk`, `SigCgt`, proc(5)).
fn holds_back(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let masks = status.lines().filter_map(|line| line.strip_prefix("SigBlk:").or_else(|| line.strip_prefix("SigCgt:")));
    masks.map(|mask| u64::from_str_radix(mask.trim(), 16).unwrap()).fold(0, |all, mask| all | mask)
}

#[test]
fn signals_during_the_start_are_answered_once_it_is_over() {
    let accounts: String = (0..20_000).map(|n| format!("[account.\"d/u{n}\"]\n")).collect();
    let place = Place::new(&format!("{DEVICE}{accounts}"));
    let mut reloads = 0;
    for signal in ["HUP", "USR1"] {
        // Moments of a start of some hundred milliseconds.
        for wait in [0, 15, 80] {
            let mut process = Command::new(env!("CARGO_BIN_EXE_rotord"))
                .arg("--config")
                .arg(place.path("rotord.toml"))
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            // From here on no signal ends it; what comes before is the kernel's and the loader's time.
            wait_for("the mask of the signals", || (holds_back(process.id()) & 0x201 == 0x201).then_some(()));
            std::thread::sleep(std::time::Duration::from_millis(wait));
            let tell = |signal: &str| {
                let told = Command::new("kill").args([&format!("-{signal}"), &process.id().to_string()]).status();
                assert!(told.unwrap().success());
            };
            tell(signal);
            wait_for("an answer", || place.ctl(&["status"], "").status.success().then_some(()));
            if signal == "HUP" {
                reloads += 1;
                wait_for("the reload", || {
                    let (audit, _) = place.json(&["audit", "tail", "-n", "1000"]);
                    (audit.to_string().matches("daemon.reload").count() == reloads).then_some(())
                });
            }
            tell("TERM");
            assert!(process.wait().unwrap().success(), "{signal} after {wait} ms");
        }
    }
}

#[test]
fn a_stop_waits_for_nobody_who_only_waits() {
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = silent.local_addr().unwrap();
    let sections = DEVICE.replace("127.0.0.1:1\"", &format!("{address}\"\nconnect_timeout = \"120s\""));
    let place = Place::new(&sections);
    let daemon = place.daemon();
    place.must(&["secret", "set", "d/a"], "pw-1\n");
    let mut asked = Command::new(env!("CARGO_BIN_EXE_rotorctl"))
        .args(["verify", "d/a"])
        .env("ROTORD_SOCKET", place.path("socket"))
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // The device takes the connection, and says nothing.
    let (_connection, _) = silent.accept().unwrap();
    let begun = std::time::Instant::now();
    daemon.stop();
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_ne!(asked.wait().unwrap().code(), Some(0));
}

#[test]
fn status_and_schedule_tell_the_coming_runs() {
    let place = Place::new(DEVICE);
    let _daemon = place.daemon();
    let (status, _) = place.json(&["status"]);
    assert_eq!(status["accounts"][0]["state"], "new");
    assert!(status["accounts"][0]["next_run"].as_str().unwrap().ends_with('Z'));
    let (runs, exit) = place.json(&["schedule", "next", "j", "-n", "3"]);
    assert_eq!((runs["runs"].as_array().unwrap().len(), exit), (3, 0));
    assert_eq!(place.ctl(&["schedule", "next", "nope"], "").status.code(), Some(2));
    assert_eq!(place.ctl(&["trust", "nope"], "").status.code(), Some(2));
}

#[test]
fn an_import_is_all_or_nothing() {
    let place = Place::new(&format!("{DEVICE}[account.\"d/b\"]\n"));
    let _daemon = place.daemon();
    let output = place.ctl(&["import", "-"], "account,password,totp\nd/a,pw-1,\nd/x,pw-2,\nd/b,,NOT!BASE32\n");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("line 3: there is no account 'd/x'") && error.contains("line 4: character 4"), "{error}");
    assert_eq!(place.state("d/a"), "new", "nothing was stored");
    place.must(&["import", "-"], "account,password,totp\nd/a,pw-1,JBSWY3DPEHPK3PXP\nd/b,pw-2,\n");
    assert_eq!(place.password("d/a"), "pw-1");
}

#[test]
fn paused_work_is_held_and_a_command_is_not() {
    let place = Place::new(DEVICE);
    let daemon = place.daemon();
    place.must(&["secret", "set", "d/a"], "pw-1\n");
    place.must(&["pause", "d/a"], "");
    assert_eq!(place.state("d/a"), "paused");
    daemon.signal("USR1");
    wait_for("the refusal on record", || {
        let (audit, _) = place.json(&["audit", "tail"]);
        audit.to_string().contains("paused by an operator").then_some(())
    });
    // The attempt that was refused lets the account go a moment after that is on record.
    let (outcome, detail, exit) =
        wait_for("the end of it", || Some(place.rotate("d/a")).filter(|(outcome, ..)| outcome != "refused"));
    assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}");
    place.must(&["resume", "--all"], "");
    assert_eq!(place.state("d/a"), "idle");
}

#[test]
fn the_demo_proves_a_change_and_tells_a_refusal() {
    let demo = |more: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_rotord")).args(["demo", "--once"]).args(more).output().unwrap()
    };
    let good = demo(&[]);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stdout));
    assert!(String::from_utf8_lossy(&good.stdout).contains("the vault holds what the device holds"));
    assert_eq!(demo(&["--refuse"]).status.code(), Some(4));
}

#[test]
fn template_check_names_every_slip_without_a_daemon() {
    let place = Place::new(DEVICE);
    std::fs::write(place.path("own/bad.template"), "exspect \"x\"\n").unwrap();
    let (value, exit) = place.json(&["template", "check", place.path("own").to_str().unwrap()]);
    assert_eq!((exit, value["checked"].as_u64()), (2, Some(1)));
    assert_eq!(value["problems"][0]["code"], "T001");
    let templates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let output = place.ctl(&["template", "check", templates.to_str().unwrap()], "");
    assert_eq!(
        (output.status.code(), output.stdout.len()),
        (Some(0), 0),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn a_missed_time_is_made_up_for_where_the_job_says_so() {
    // On a leap day, so that no run comes by itself while the test runs.
    let place = Place::new(&(DEVICE.replace("30 2 * * *", "0 0 29 2 *") + "catch_up = true\n"));
    let daemon = place.daemon();
    place.must(&["secret", "set", "d/a"], "pw-1\n");
    place.must(&["totp", "set", "d/a"], "JBSWY3DPEHPK3PXP\n");
    daemon.stop();
    let _daemon = place.daemon_with(&["faketime", "-f", "+1500d"], &[("FAKETIME_DONT_FAKE_MONOTONIC", "1")]);
    wait_for("the run that was missed", || {
        let (audit, _) = place.json(&["audit", "tail", "-n", "1000"]);
        let events = audit["events"].as_array().unwrap().clone();
        events.iter().any(|event| event["event"] == "rotation.start" && event["job"] == "j").then_some(())
    });
}

#[test]
fn the_vault_key_may_come_as_a_credential_of_the_service_manager() {
    let place = Place::new(DEVICE);
    std::fs::create_dir(place.path("credentials")).unwrap();
    std::fs::rename(place.path("vault.key"), place.path("credentials/rotord.key")).unwrap();
    let config = std::fs::read_to_string(place.path("rotord.toml")).unwrap();
    let config = config.replace("key_file = \"vault.key\"", "systemd_credential = \"rotord.key\"");
    std::fs::write(place.path("rotord.toml"), config).unwrap();
    assert!(start_fails(&place).1.contains("LoadCredential="), "without the manager");
    let credentials = place.path("credentials");
    let _daemon = place.daemon_with(&[], &[("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap())]);
    assert_eq!(place.state("d/a"), "new");
}

#[test]
fn logs_are_json_on_demand() {
    let place = Place::new(DEVICE);
    let daemon = place.daemon_with(&[], &[("ROTORD_LOG_FORMAT", "json")]);
    daemon.stop();
    let log = place.log();
    let ready = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    assert!(ready.into_iter().any(|line| line["message"].as_str().is_some_and(|text| text.contains("is ready")) && line["accounts"] == 1));
}

#[test]
fn a_scheduled_run_that_changed_nothing_is_tried_again_so_many_times() {
    let policy = "[policy.default]\nattempts = 3\nretry_after = \"1s\"\n";
    let place = Place::new(&(DEVICE.to_owned() + policy));
    let daemon = place.daemon();
    place.must(&["secret", "set", "d/a"], "pw-1\n");
    daemon.signal("USR1");
    let tries = || place.json(&["history", "d/a"]).0["attempts"].as_array().unwrap().clone();
    wait_for("the third try", || {
        let tries = tries();
        (tries.len() == 3 && tries.iter().all(|attempt| attempt["outcome"] == "failed")).then_some(())
    });
    // The third is the last: nothing waits to be done any more, which the vault itself says.
    daemon.stop();
    let vault = rusqlite::Connection::open(place.path("state/vault.db")).unwrap();
    let waiting: i64 =
        vault.query_row("SELECT count(*) FROM account WHERE wake IS NOT NULL", [], |row| row.get(0)).unwrap();
    assert_eq!(waiting, 0);
    let (starts, _) = {
        let _daemon = place.daemon();
        place.json(&["audit", "tail", "-n", "100"])
    };
    assert!(starts.to_string().contains("\"detail\":\"try 3; template "), "{starts}");
}

#[test]
fn the_key_of_a_running_vault_is_changed_and_the_former_one_opens_it_no_more() {
    let place = Place::new(DEVICE);
    let daemon = place.daemon();
    place.must(&["secret", "set", "d/a"], "the-password-1\n");
    let fresh = place.path("fresh.key");
    let output = place.ctl(&["key", "rotate", fresh.to_str().unwrap()], "");
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("key_file"), "{output:?}");
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&fresh).unwrap().permissions()) & 0o777,
        0o600
    );
    assert_eq!(place.password("d/a"), "the-password-1");
    assert_eq!(place.ctl(&["key", "rotate", fresh.to_str().unwrap()], "").status.code(), Some(2), "never over a file");
    let (audit, _) = place.json(&["audit", "tail"]);
    assert!(audit.to_string().contains("key.rotated"));
    assert!(!place.log().contains("the-password-1"));
    daemon.stop();
    let config = place.path("rotord.toml");
    let refused = Command::new(env!("CARGO_BIN_EXE_rotord")).arg("--config").arg(&config).output().unwrap();
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && error.contains("fresh.key"), "{error}");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("vault.key", "fresh.key")).unwrap();
    let daemon = place.daemon();
    assert_eq!(place.password("d/a"), "the-password-1");
    assert_eq!(place.json(&["audit", "verify"]).0["ok"], true);
    daemon.stop();
    // Without a daemon nothing is left behind.
    let lost = place.path("lost.key");
    assert_eq!(place.ctl(&["key", "rotate", lost.to_str().unwrap()], "").status.code(), Some(7));
    assert!(!lost.exists());
}

//! What people hand in: files of another kind, permissions, CSV, seeds, keys.

use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::devices::PASSWD;
use crate::lab::{Place, wait_for};
use crate::scripted::{FIRST, Fault, SEED, scripted};

const DEVICE: &str = "[device.d]\naddress = \"127.0.0.1:1\"\ntemplate = \"linux-passwd\"\n[account.\"d/a\"]\n";

/// The exit status and words of a daemon that does not start, which it tells at once.
fn start_fails(place: &Place) -> (Option<i32>, String) {
    let begun = Instant::now();
    let mut command = Command::new("timeout");
    command.args(["30", env!("CARGO_BIN_EXE_rotord"), "--config"]).arg(place.path("rotord.toml"));
    let output = command.output().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "{output:?}");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(path).status().unwrap().success());
}

#[test]
fn a_daemon_whose_files_others_may_change_does_not_start_and_none_of_them_is_taken_by_a_reload() {
    let place = Place::new(DEVICE);
    std::fs::create_dir(place.path("config.d")).unwrap();
    for (name, open, shut) in [("rotord.toml", 0o666, 0o644), ("config.d", 0o777, 0o755), ("own", 0o777, 0o755)] {
        mode(&place.path(name), open);
        let (exit, error) = start_fails(&place);
        assert!(exit == Some(2) && error.contains("chmod go-w"), "{name}: {exit:?} {error}");
        assert_eq!(place.check_config().status.code(), Some(2), "{name}");
        mode(&place.path(name), shut);
    }
    let daemon = place.daemon();
    mode(&place.path("rotord.toml"), 0o666);
    daemon.signal("HUP");
    let error =
        wait_for("the refusal of the config", || place.json(&["status"]).0["config_error"].as_str().map(str::to_owned));
    assert!(error.contains("chmod go-w"), "{error}");
    daemon.stop();
    mode(&place.path("rotord.toml"), 0o644);
    mode(&place.path("state"), 0o777);
    let (exit, error) = start_fails(&place);
    assert!(exit == Some(2) && error.contains("state") && error.contains("chmod go-w"), "{exit:?} {error}");
}

#[test]
fn pipes_devices_and_circles_of_links_end_a_start_with_words() {
    let place = Place::new(DEVICE);
    std::fs::create_dir(place.path("config.d")).unwrap();
    std::fs::create_dir_all(place.path("state/audit")).unwrap();
    std::fs::rename(place.path("vault.key"), place.path("kept.key")).unwrap();
    for name in ["config.d/x.toml", "own/x.template", "vault.key", "state/vault.db", "state/audit/audit-2026-11.jsonl"]
    {
        for endless in [false, true] {
            let file = place.path(name);
            if endless {
                symlink("/dev/zero", &file).unwrap()
            } else {
                pipe(&file)
            }
            let (exit, error) = start_fails(&place);
            assert!(exit.is_some_and(|exit| exit == 1 || exit == 2), "{name}: {exit:?} {error}");
            assert!(error.contains("no plain file but a "), "{name}: {error}");
            std::fs::remove_file(&file).unwrap();
        }
    }
    std::fs::rename(place.path("kept.key"), place.path("vault.key")).unwrap();
    symlink(".", place.path("own/here")).unwrap();
    let (exit, error) = start_fails(&place);
    assert!(exit == Some(2) && error.contains("leads back"), "{error}");
    std::fs::remove_file(place.path("own/here")).unwrap();
    let _daemon = place.daemon();
}

#[test]
fn a_file_in_the_socket_s_place_stays() {
    let place = Place::new(DEVICE);
    let text = std::fs::read_to_string(place.path("rotord.toml")).unwrap();
    let key = std::fs::read(place.path("vault.key")).unwrap();
    for name in ["notes.txt", "vault.key", "link"] {
        let file = place.path(name);
        match name {
            "notes.txt" => std::fs::write(&file, "precious").unwrap(),
            "link" => symlink(place.path("notes.txt"), &file).unwrap(),
            _ => {}
        }
        std::fs::write(place.path("rotord.toml"), text.replace("\"socket\"", &format!("\"{name}\""))).unwrap();
        let (exit, error) = start_fails(&place);
        assert!(exit == Some(2) && error.contains("not removed"), "{name}: {exit:?} {error}");
        assert!(!std::fs::symlink_metadata(&file).unwrap().file_type().is_socket(), "{name}");
    }
    assert_eq!(std::fs::read_to_string(place.path("notes.txt")).unwrap(), "precious");
    assert_eq!(std::fs::read(place.path("vault.key")).unwrap(), key);
    std::fs::write(place.path("rotord.toml"), text).unwrap();
    // One that a daemon left behind is replaced, and goes with the daemon that made it.
    place.daemon().kill();
    assert!(place.path("socket").exists());
    place.daemon().stop();
    assert!(!place.path("socket").exists());
}

#[test]
fn a_value_whose_key_is_unknown_is_in_no_answer_and_in_no_log() {
    let (place, seen) = (Place::new(DEVICE), "hunter2-not-to-be-seen");
    let daemon = place.daemon();
    place.configure(&format!("{DEVICE}ansible_ssh_pass = \"{seen}\"\npolcy = \"{seen}\"\n"));
    daemon.signal("HUP");
    let error =
        wait_for("the refusal of the config", || place.json(&["status"]).0["config_error"].as_str().map(str::to_owned));
    assert!(error.contains("did you mean 'policy'?") && error.contains("ansible_ssh_pass"), "{error}");
    let checked = String::from_utf8_lossy(&place.check_config().stdout).into_owned();
    assert!(![error, checked, place.log()].iter().any(|text| text.contains(seen)));
}

#[test]
fn an_import_puts_back_no_password_that_was_changed_since() {
    let scripted = scripted("linux-passwd", "admin@dev:~$ ", &PASSWD, 4, Fault::None);
    let _daemon = scripted.place.daemon();
    let place = &scripted.place;
    scripted.import();
    let (outcome, detail, _) = place.rotate("dev/admin");
    assert_eq!(outcome, "done", "{detail}");
    let held = scripted.held();
    assert_ne!(held, FIRST);
    let first_day = format!("account,password,totp\n{}", scripted.row("admin"));
    for csv in [first_day.clone(), format!("account,password\ndev/admin,{FIRST}-other\n")] {
        let output = place.ctl(&["import", "-"], &csv);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && told.contains("line 2: dev/admin: "), "{output:?}");
        assert!(!told.contains(FIRST) && !told.contains(&held), "{told}");
        assert_eq!(place.password("dev/admin"), held);
        assert_eq!(place.state("dev/admin"), "idle");
    }
    let output = place.ctl(&["import", "-", "--json"], &first_day);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((value["skipped"][0]["line"].as_u64(), &value["skipped"][0]["account"]), (Some(2), &"dev/admin".into()));
    let again = place.ctl(&["import", "-"], &format!("account,password\ndev/admin,\"{held}\"\n"));
    assert!(String::from_utf8_lossy(&again.stdout).contains("were stored already"), "{again:?}");
    place.must(&["import", "-", "--overwrite"], &first_day);
    assert_eq!(place.password("dev/admin"), FIRST);
}

#[test]
fn a_csv_whose_quotes_do_not_fit_stores_nothing() {
    let place = Place::new(DEVICE);
    let _daemon = place.daemon();
    for row in
        ["\"\"complex#)!pw\"", "\"Secretwith\"init\"", "\"abc\"def", "\"Begins", "\"Slash\\\\\\\"end\"", " \"abc\""]
    {
        let output = place.ctl(&["import", "-"], &format!("account,password\nd/a,{row}\n"));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && error.contains("line 2: "), "{row}: {output:?}");
        assert_eq!(place.state("d/a"), "new", "{row}");
    }
    place.must(&["import", "-"], "\u{feff}account,password\nd/a,\"p,\"\"w\"\n");
    assert_eq!(place.password("d/a"), "p,\"w");
    place.must(&["secret", "set", "d/a"], "\u{feff}marked\n");
    assert_eq!(place.password("d/a"), "marked");
}

#[test]
fn seeds_and_keys_are_taken_as_they_were_meant_or_refused_without_a_part_of_them() {
    let place = Place::new(DEVICE);
    let _daemon = place.daemon();
    let uri = format!("otpauth://totp/fw:a?secret={SEED}&amp;algorithm=SHA256&amp;digits=8&amp;period=60");
    let output = place.ctl(&["totp", "set", "d/a"], &uri);
    assert!(String::from_utf8_lossy(&output.stdout).contains("SHA256, 8 digits, 60 s"), "{output:?}");
    for input in [
        format!("otpauth://{SEED}"),
        format!("otpauth://?secret={SEED}"),
        format!("otpauth://totp/x?secret={SEED}&counter=1"),
    ] {
        for (args, input) in [
            (["totp", "set", "d/a"].as_slice(), input.clone()),
            (&["import", "-"], format!("account,totp\nd/a,{input}\n")),
        ] {
            let output = place.ctl(args, &input);
            let told = [output.stdout.as_slice(), &output.stderr].concat();
            let told = String::from_utf8_lossy(&told).into_owned();
            assert_eq!(output.status.code(), Some(2), "{input}: {told}");
            assert!((0..SEED.len() - 4).all(|at| !told.contains(&SEED[at..at + 4])), "{input}: {told}");
        }
    }
    let key = place.path("key");
    let make = |args: &[&str]| {
        drop(std::fs::remove_file(&key));
        assert!(
            Command::new("ssh-keygen").args(["-q", "-N", "", "-f"]).arg(&key).args(args).status().unwrap().success()
        );
        std::fs::read_to_string(&key).unwrap()
    };
    place.must(&["ssh-key", "set", "d/a"], &make(&["-t", "rsa", "-b", "2048", "-m", "PEM"]));
    place.must(&["ssh-key", "set", "d/a"], &format!("\u{feff}{}", make(&["-t", "ed25519"])));
    let public = std::fs::read_to_string(place.path("key.pub")).unwrap();
    let output = place.ctl(&["ssh-key", "set", "d/a"], &public);
    assert!(String::from_utf8_lossy(&output.stderr).contains("public half"), "{output:?}");
}

#[test]
fn what_a_file_holds_does_not_steer_the_terminal() {
    let place = Place::new(DEVICE);
    let steering = "foo \"\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}\"\n";
    std::fs::write(place.path("own/x.template"), steering).unwrap();
    std::fs::write(place.path("own/x\u{1b}[2J.template"), steering).unwrap();
    let own = place.path("own");
    for output in [place.ctl(&["template", "check", own.to_str().unwrap()], ""), place.check_config()] {
        let told = [output.stdout, output.stderr].concat();
        assert!(!told.contains(&0x1b) && String::from_utf8_lossy(&told).contains("T001"), "{told:?}");
        assert!(!String::from_utf8_lossy(&told).contains('\u{202e}'));
    }
}

#[test]
fn the_log_in_cef_has_times_that_other_systems_read() {
    let place = Place::new(DEVICE);
    let _daemon = place.daemon();
    place.must(&["secret", "set", "d/a"], "pw-1\n");
    place.ctl(&["rotate", "d/a"], "");
    let output = place.ctl(&["audit", "export", "--format", "cef"], "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().count() >= 4, "{text}");
    for line in text.lines() {
        let time = line.split("rt=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        assert!(time.len() == 13 && time.bytes().all(|byte| byte.is_ascii_digit()), "{line}");
        assert_eq!(line.contains(" cs1="), line.contains("cs1Label=attempt"), "{line}");
    }
    assert!(text.contains(" cs1="), "{text}");
}

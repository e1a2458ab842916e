//! Devices that follow a script: network systems, and all that can go wrong with one.

use std::sync::Arc;
use std::time::Duration;

use rotord::demo::PasswdShell;

use crate::lab::{STEP, wait_for, wait_within};
use crate::scripted::{FIRST, Fault, SEED, Scripted, scripted, sections, with_shell, with_users};

fn changes(scripted: &Scripted) {
    let daemon = scripted.place.daemon();
    scripted.import();
    let (outcome, detail, exit) = scripted.place.rotate("dev/admin");
    assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail}");
    assert_ne!(scripted.held(), FIRST);
    assert_eq!(scripted.held(), scripted.place.password("dev/admin"));
    daemon.stop();
}

#[test]
fn cisco_ios() {
    let turns = [
        ("terminal length 0", "\r\nR1#"),
        ("configure terminal", "\r\nEnter configuration commands, one per line.  End with CNTL/Z.\r\nR1(config)#"),
        ("username admin secret {new}", "\r\nR1(config)#"),
        ("end", "\r\nR1#"),
        ("write memory", "\r\nBuilding configuration...\r\n[OK]\r\nR1#"),
        ("exit", "\r\n"),
    ];
    changes(&scripted("cisco-ios", "\r\n*** keep out #1 ***\r\n\r\nR1#", &turns, 3, Fault::None));
}

#[test]
fn fortinet_fortios() {
    let turns = [
        ("config system admin", "\r\n\r\nFGT (admin) # "),
        ("edit \"admin\"", "\r\n\r\nFGT (admin) # "),
        ("set password {new} {old}", "\r\n\r\nFGT (admin) # "),
        ("end", "\r\n\r\nFGT # "),
        ("exit", "\r\n"),
    ];
    changes(&scripted("fortinet-fortios", "FGT # ", &turns, 3, Fault::None));
}

#[test]
fn juniper_junos() {
    let turns = [
        ("configure private", "\r\nEntering configuration mode\r\n\r\n[edit]\r\nadmin@mx# "),
        ("set system login user admin authentication plain-text-password", "\r\nNew password:"),
        ("{new}", "\r\nRetype new password:"),
        ("{new}", "\r\n\r\n[edit]\r\nadmin@mx# "),
        ("commit and-quit", "\r\ncommit complete\r\nExiting configuration mode\r\n\r\nadmin@mx> "),
        ("exit", "\r\n"),
    ];
    changes(&scripted("juniper-junos", "--- JUNOS 22.4R3 ---\r\nadmin@mx> ", &turns, 5, Fault::None));
}

#[test]
fn another_host_key_ends_the_attempt_before_any_secret_is_sent() {
    let scripted = with_shell("linux-passwd", Arc::new(|user| Box::new(PasswdShell::new(user, false))));
    let other = "[\"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"]";
    scripted.place.configure(
        &sections(&scripted.device, "linux-passwd").replace(&format!("[\"{}\"]", scripted.device.fingerprint), other),
    );
    let daemon = scripted.place.daemon();
    scripted.import();
    let (outcome, detail, exit) = scripted.place.rotate("dev/admin");
    assert_eq!((outcome.as_str(), exit), ("failed", 4));
    assert!(detail.contains("rotorctl trust dev"), "{detail}");
    assert_eq!(scripted.device.state().secrets_seen, 0, "nothing secret was sent");
    let (audit, _) = scripted.place.json(&["audit", "tail"]);
    assert!(audit.to_string().contains("host_key.mismatch"));
    // Only the key that the device really shows is stored.
    assert_eq!(scripted.place.ctl(&["trust", "dev", "--yes", "SHA256:no"], "").status.code(), Some(2));
    scripted.place.must(&["trust", "dev", "--yes", &scripted.device.fingerprint], "");
    assert_eq!(scripted.place.rotate("dev/admin").2, 0);
    daemon.stop();
}

#[test]
fn a_change_that_is_proved_though_its_template_broke_off_is_done_with_a_warning_until_somebody_has_seen_it() {
    let turns = [
        ("terminal length 0", "\r\nR1#"),
        ("configure terminal", "\r\nEnter configuration commands, one per line.  End with CNTL/Z.\r\nR1(config)#"),
        ("username admin secret {new}", "\r\nR1(config)#"),
        ("end", "\r\nR1#"),
        ("write memory", "\r\nstartup-config file open failed (Device or resource busy)\r\nR1#"),
        ("exit", "\r\n"),
    ];
    let scripted = scripted("cisco-ios", "\r\nR1#", &turns, 3, Fault::CloseAt(5));
    let place = &scripted.place;
    let daemon = place.daemon();
    scripted.import();
    let (value, exit) = place.json(&["rotate", "dev/admin"]);
    let result = &value["results"][0];
    assert_eq!((result["outcome"].as_str(), exit), (Some("done"), 0), "{value}");
    let warning = result["warning"].as_str().unwrap();
    for part in ["changed and proved", "the configuration may not be saved", "template line"] {
        assert!(warning.contains(part) && result["detail"].as_str().unwrap().contains(part), "{part}: {value}");
    }
    assert_eq!(place.password("dev/admin"), scripted.held());
    let said = |args: &[&str]| String::from_utf8_lossy(&place.ctl(args, "").stdout).into_owned();
    let shown = || place.json(&["status"]).0["accounts"][0]["warning"].as_str().map(str::to_owned);
    assert_eq!(shown().as_deref(), Some(warning));
    assert_eq!(place.json(&["history", "dev/admin"]).0["attempts"][0]["warning"].as_str(), Some(warning));
    assert!(said(&["status"]).contains("rotorctl ack dev/admin"));
    assert!(said(&["explain", "dev/admin"]).contains("template line"));
    let (audit, _) = place.json(&["audit", "tail"]);
    let done = audit["events"].as_array().unwrap().iter().find(|event| event["event"] == "rotation.done").unwrap();
    assert!(done["detail"].as_str().is_some_and(|detail| detail.contains("may not be saved")), "{done}");
    daemon.stop();
    let daemon = place.daemon();
    assert_eq!(shown().as_deref(), Some(warning), "a restart forgets nothing");
    assert!(said(&["ack", "dev/admin", "--reason", "saved by hand"]).contains("dev/admin"));
    assert_eq!(shown(), None);
    assert!(said(&["ack", "dev/admin"]).contains("no warning"));
    assert!(place.json(&["audit", "tail"]).0.to_string().contains("saved by hand"));
    assert_eq!(place.json(&["audit", "verify"]).0["ok"], true);
    daemon.stop();
}

pub const PASSWD: [(&str, &str); 5] = [
    ("LC_ALL=C passwd", "\r\nCurrent password: "),
    ("{old}", "\r\nNew password: "),
    ("{new}", "\r\nRetype new password: "),
    ("{new}", "\r\npasswd: password updated successfully\r\nadmin@dev:~$ "),
    ("exit", "\r\n"),
];

/// A copy of the template that does not wait long.
fn hurried(scripted: &Scripted) {
    let template = include_str!("../../templates/linux/linux-passwd.template")
        .replace("set-read-timeout 15", "set-read-timeout 1");
    std::fs::create_dir_all(scripted.place.path("own/linux")).unwrap();
    std::fs::write(scripted.place.path("own/linux/linux-passwd.template"), template).unwrap();
}

/// Whatever goes wrong: the account ends in a state of rest, the vault holds what the device holds, and nothing is
/// guessed.
fn survives(fault: Fault, n: usize) {
    let scripted = scripted("linux-passwd", "admin@dev:~$ ", &PASSWD, 4, fault);
    hurried(&scripted);
    let daemon = scripted.place.daemon();
    scripted.import();
    let (outcome, detail, exit) = scripted.place.rotate("dev/admin");
    let changed = n >= 4;
    let expected = if changed { ("done", 0) } else { ("failed", 4) };
    assert_eq!((outcome.as_str(), exit), expected, "at turn {n}: {detail}");
    assert_eq!(scripted.held() != FIRST, changed, "at turn {n}");
    assert_eq!(scripted.place.password("dev/admin"), scripted.held(), "at turn {n}");
    assert_eq!(scripted.place.state("dev/admin"), "idle", "at turn {n}");
    let sent = if n >= 3 { 1 } else { 0 };
    assert_eq!(scripted.place.changes("dev/admin"), sent, "only what was sent counts, at turn {n}");
    daemon.stop();
}

#[test]
fn a_device_that_hangs_at_any_step_leaves_no_doubt() {
    (0..=5).for_each(|n| survives(Fault::HangAt(n), n));
}

#[test]
fn a_device_that_hangs_up_at_any_step_leaves_no_doubt() {
    (0..=5).for_each(|n| survives(Fault::CloseAt(n), n));
}

#[test]
fn a_device_that_prints_a_hundred_megabytes_does_not_fill_the_memory() {
    let scripted = scripted("linux-passwd", "admin@dev:~$ ", &PASSWD, 4, Fault::FloodAt(1));
    hurried(&scripted);
    let daemon = scripted.place.daemon();
    scripted.import();
    let (outcome, _, exit) = scripted.place.rotate("dev/admin");
    assert_eq!((outcome.as_str(), exit), ("failed", 4));
    let peak = daemon.peak_kb();
    assert!(peak < 200_000, "{peak} kB");
    daemon.stop();
}

#[test]
fn an_unplugged_device_is_no_failed_login() {
    let scripted = with_shell("linux-passwd", Arc::new(|user| Box::new(PasswdShell::new(user, false))));
    let unplugged =
        sections(&scripted.device, "linux-passwd").replace(&scripted.device.address.to_string(), "127.0.0.1:1");
    scripted.place.configure(&unplugged);
    let daemon = scripted.place.daemon();
    scripted.import();
    for _ in 0..4 {
        let (outcome, detail, exit) = scripted.place.rotate("dev/admin");
        assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}");
        assert!(detail.contains("cannot connect to dev"), "{detail}");
    }
    assert_eq!(scripted.place.state("dev/admin"), "idle");
    daemon.stop();
}

#[test]
fn what_kill_9_interrupts_is_found_out_by_itself() {
    // The device hangs after it took the new password: the daemon is killed right then.
    let scripted = scripted("linux-passwd", "admin@dev:~$ ", &PASSWD, 4, Fault::HangAt(4));
    let daemon = scripted.place.daemon();
    scripted.import();
    scripted.place.must(&["rotate", "dev/admin", "--no-wait"], "");
    wait_for("the device's new password", || (scripted.held() != FIRST).then_some(()));
    daemon.kill();
    let daemon = scripted.place.daemon();
    wait_for("the end of the doubt", || (scripted.place.state("dev/admin") == "idle").then_some(()));
    assert_eq!(scripted.place.password("dev/admin"), scripted.held());
    let (audit, _) = scripted.place.json(&["audit", "tail"]);
    assert!(audit.to_string().contains("rotation.recovered"));
    assert_eq!(scripted.place.changes("dev/admin"), 1, "finishing a change is not a new one");
    daemon.stop();
}

#[test]
fn a_stop_lets_what_is_past_its_commit_point_end_and_ends_the_rest() {
    let scripted = scripted("linux-passwd", "admin@dev:~$ ", &PASSWD, 4, Fault::HangAt(1));
    let daemon = scripted.place.daemon();
    scripted.import();
    scripted.place.must(&["rotate", "dev/admin", "--no-wait"], "");
    wait_for("the template's run", || (scripted.place.state("dev/admin") == "changing").then_some(()));
    daemon.stop();
    let daemon = scripted.place.daemon();
    assert_eq!(scripted.place.state("dev/admin"), "idle");
    assert_eq!(scripted.place.changes("dev/admin"), 0);
    daemon.stop();
}

#[test]
fn a_device_never_sees_more_sessions_than_its_limit_nor_a_code_twice() {
    let names = ["admin", "anna", "bert", "carl"];
    let scripted = with_users("linux-passwd", Arc::new(|user| Box::new(PasswdShell::new(user, false))), &names);
    let daemon = scripted.place.daemon();
    let rows: String = names.iter().map(|name| scripted.row(name)).collect();
    scripted.place.must(&["import", "-"], &format!("account,password,totp\n{rows}"));
    let (value, exit) = scripted.place.json(&["rotate", "--all"]);
    assert_eq!(exit, 0, "{value}");
    let state = scripted.device.state();
    assert_eq!(state.most_open, 1, "max_sessions is 1");
    assert_eq!(state.replays, 0, "each code was fresh");
    assert!(state.logins.iter().all(|(_, accepted)| *accepted));
    drop(state);
    let steps = value.to_string();
    assert_eq!(steps.matches("with a fresh code").count(), 8);
    daemon.stop();
}

#[test]
fn a_second_request_for_an_account_at_work_is_refused() {
    let scripted = scripted("linux-passwd", "admin@dev:~$ ", &PASSWD, 4, Fault::HangAt(1));
    let daemon = scripted.place.daemon();
    scripted.import();
    scripted.place.must(&["rotate", "dev/admin", "--no-wait"], "");
    wait_for("the template's run", || (scripted.place.state("dev/admin") == "changing").then_some(()));
    let (outcome, detail, exit) = scripted.place.rotate("dev/admin");
    assert_eq!((outcome.as_str(), exit), ("refused", 3));
    assert!(detail.contains("under way"), "{detail}");
    daemon.stop();
}

#[test]
fn a_prompt_that_nothing_answers_is_shown_without_the_password_that_the_device_put_into_it() {
    let scripted = with_shell("linux-passwd", Arc::new(|user| Box::new(PasswdShell::new(user, false))));
    scripted.device.state().second_prompt = Some("You said {password}\u{1b}[2J. What is your quest? ".into());
    let daemon = scripted.place.daemon();
    scripted.import();
    let zebra = "Zebra-Needle-9";
    scripted.device.state().users.get_mut("admin").unwrap().password = rotord::model::Secret::new(zebra.into());
    scripted.place.must(&["secret", "set", "dev/admin"], &format!("{zebra}\n"));
    let (outcome, detail, exit) = scripted.place.rotate("dev/admin");
    assert_eq!((outcome.as_str(), exit), ("failed", 4));
    assert!(detail.contains("What is your quest?") && detail.contains("login-prompt"), "{detail}");
    assert!(detail.contains("********") && !detail.contains(zebra), "{detail}");
    assert!(!scripted.place.json(&["history", "dev/admin"]).0.to_string().contains(zebra));
    daemon.stop();
    assert!(!scripted.place.log().contains(zebra));
}

#[test]
fn a_login_account_that_is_refused_is_in_doubt_and_nobody_goes_on_with_it() {
    let names = ["admin", "anna", "bert"];
    let scripted = with_users("linux-passwd-as-root", Arc::new(|user| Box::new(PasswdShell::new(user, false))), &names);
    let text = std::fs::read_to_string(scripted.place.path("rotord.toml")).unwrap();
    let text = ["anna", "bert"].iter().fold(text, |text, name| {
        let section = format!("[account.\"dev/{name}\"]\n");
        text.replace(&section, &format!("{section}login_as = \"dev/admin\"\n"))
    });
    std::fs::write(scripted.place.path("rotord.toml"), text).unwrap();
    let daemon = scripted.place.daemon();
    scripted.import();
    scripted.place.must(&["secret", "set", "dev/admin"], "not-the-password\n");
    // Both are admitted at first; the second one's turn comes when the budget is spent.
    let (value, exit) = scripted.place.json(&["rotate", "dev/anna", "dev/bert"]);
    assert_eq!(exit, 4, "{value}");
    let mut outcomes: Vec<&str> =
        value["results"].as_array().unwrap().iter().map(|result| result["outcome"].as_str().unwrap()).collect();
    outcomes.sort_unstable();
    assert!(outcomes.iter().all(|outcome| ["failed", "refused"].contains(outcome)), "{value}");
    assert_eq!(scripted.device.state().logins.len(), 2, "two failed logins and no more");
    assert_eq!(scripted.place.state("dev/admin"), "uncertain");
    let (outcome, detail, exit) = scripted.place.rotate("dev/anna");
    assert_eq!((outcome.as_str(), exit), ("failed", 4));
    assert!(detail.contains("not known yet which password its login account dev/admin has"), "{detail}");
    daemon.stop();
}

#[test]
fn once_one_account_after_another_is_refused_the_others_are_held_back_until_a_login_is_taken() {
    // One server behind four devices: what it judges goes wrong for all of them.
    let names = ["admin", "anna", "bert", "carl"];
    let scripted = with_users("linux-passwd", Arc::new(|user| Box::new(PasswdShell::new(user, false))), &names);
    let place = &scripted.place;
    let config = std::fs::read_to_string(place.path("rotord.toml")).unwrap();
    let (daemon, devices) = config.split_at(config.find("[device.dev]").unwrap());
    let accounts: Vec<String> =
        ["d1", "d2", "d3", "d4"].iter().flat_map(|device| names.map(|name| format!("{device}/{name}"))).collect();
    let copies: String =
        (1..5).map(|n| devices.replace("dev/", &format!("d{n}/")).replace(".dev]", &format!(".d{n}]"))).collect();
    let job = "[job.all]\nschedule = \"0 3 1 1 *\"\naccounts = [\"*/*\"]\n";
    std::fs::write(place.path("rotord.toml"), format!("{daemon}{copies}{job}")).unwrap();
    let daemon = place.daemon();
    let table = |password: &str| {
        let rows: String = accounts
            .iter()
            .map(|account| format!("{account},{password},otpauth://totp/x?secret={SEED}&period={STEP}\n"))
            .collect();
        place.must(&["import", "-"], &format!("account,password,totp\n{rows}"));
    };
    table("not-the-password");
    daemon.signal("USR1");
    let held = |status: &serde_json::Value| {
        let accounts = status["accounts"].as_array().unwrap();
        let held = |account: &&serde_json::Value| account["last_error"].to_string().contains("held back");
        accounts.iter().filter(held).map(|account| account["account"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // Fifteen logins or so, each with a code of a step of its own.
    let (status, held_back) = wait_within(Duration::from_secs(180), "all attempts to end", || {
        let (status, _) = place.json(&["status"]);
        let ended = |account: &serde_json::Value| !account["last_error"].is_null();
        let held = held(&status);
        status["accounts"].as_array().unwrap().iter().all(ended).then_some((status, held))
    });
    assert!(status["logins_held"].as_str().is_some_and(|why| why.contains("clock")), "{status}");
    // Five make it plain, and no more than four others were at it already.
    assert!(held_back.len() >= accounts.len() - 9, "{status}");
    assert!(held_back.iter().all(|account| place.state(account) == "idle"), "{status}");
    let explained = String::from_utf8(place.ctl(&["explain", &held_back[0]], "").stdout).unwrap();
    assert!(explained.contains("At present logins that nobody waits for are held back"), "{explained}");
    assert!(explained.contains("What failed is tried again by itself in"), "{explained}");

    // A person is not held back, and with the first login that is taken nobody is.
    let logins = scripted.device.state().logins.len();
    table(FIRST);
    let (outcome, detail, exit) = place.rotate(&held_back[0]);
    assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail}");
    let (status, _) = place.json(&["status"]);
    assert!(status["logins_held"].is_null(), "{status}");
    assert_eq!(scripted.device.state().logins.len(), logins + 2, "the change and its proof");
    daemon.stop();
}

//! Rotations on a real OpenSSH with PAM.

use crate::lab::{Lab, Place, free_port, wait_for};

fn rotates_and_proves(place: &Place, lab: &Lab, device: &str, user: &str) {
    let account = format!("{device}/{user}");
    let (outcome, detail, exit) = place.rotate(&account);
    assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail}\n{}", place.log());
    let new = place.password(&account);
    let (first, _) = lab.account(user);
    assert_ne!(new, first);
    assert!(lab.ssh_accepts(user, &new), "another client logs in with what the vault says");
    assert!(!lab.ssh_accepts(user, first), "the old password is refused");
}

#[test]
fn a_command_a_schedule_and_a_signal_each_change_a_password() {
    let lab = Lab::start("user1 user2 user3");
    let place = Place::new(&lab.sections("lab", "linux-passwd", ""));
    let daemon = place.daemon();
    place.import("lab", &lab);
    rotates_and_proves(&place, &lab, "lab", "user1");

    let jobs = "[job.soon]\nschedule = \"* * * * * *\"\naccounts = [\"lab/user2\"]\n[job.asked]\nschedule = \"0 0 1 1 *\"\naccounts = [\"lab/user3\"]\non_signal = true\n";
    place.configure(&(lab.sections("lab", "linux-passwd", "") + jobs));
    daemon.signal("HUP");
    wait_for("the scheduled change", || {
        (place.changes("lab/user2") > 0 && place.state("lab/user2") == "idle").then_some(())
    });
    daemon.signal("USR1");
    wait_for("the change by signal", || {
        (place.changes("lab/user3") == 1 && place.state("lab/user3") == "idle").then_some(())
    });
    assert!(lab.ssh_accepts("user3", &place.password("lab/user3")));
    wait_for("the cap on the job", || {
        (place.changes("lab/user2") == 2 && place.state("lab/user2") == "idle").then_some(())
    });
    assert!(lab.ssh_accepts("user2", &place.password("lab/user2")));
    let (audit, _) = place.json(&["audit", "tail", "-n", "1000"]);
    let has = |event: &str, trigger: &str| {
        audit["events"].as_array().unwrap().iter().any(|e| e["event"] == event && e["trigger"] == trigger)
    };
    for (event, trigger) in [("rotation.done", "command"), ("rotation.done", "schedule"), ("rotation.done", "signal")] {
        assert!(has(event, trigger), "{event} by {trigger}");
    }
    daemon.stop();
}

#[test]
fn templates_as_others_write_them_run_as_they_are() {
    let begin = "set-connect-timeout 1\nset-read-timeout 5\nset-ssh-version 2\n\nexpect \"*$\"\nexec \"export LC_ALL=C\"\n\nexpect \"*$\"\nexec \"passwd\"\n\nexpect \"*password:\"\nexec \"[#CURRENT_PASSWORD#]\"\n\nexpect \"*password:\"\nexec \"[#NEW_PASSWORD#]\"\n\nexpect \"*password:\"\nexec \"[#NEW_PASSWORD#]\"";
    let open_end = format!("{begin}\n\nexpect \"*successfully*\"\n\nexpect \"*$\"\nexec \"exit\"\n\nend");
    let lab = Lab::start("user1 user2");
    let place = Place::new(&(lab.sections("lab", "open-end", "") + &*lab.sections("abrupt", "abrupt", "")));
    std::fs::write(place.path("own/open-end.template"), open_end).unwrap();
    std::fs::write(place.path("own/abrupt.template"), begin).unwrap();
    let _daemon = place.daemon();
    for device in ["lab", "abrupt"] {
        place.import(device, &lab);
    }
    rotates_and_proves(&place, &lab, "lab", "user1");
    rotates_and_proves(&place, &lab, "abrupt", "user2");
    let (history, _) = place.json(&["history", "lab/user1"]);
    let steps = history["attempts"][0]["steps"].to_string();
    assert!(steps.contains("saw \\\"*$\\\"") && !steps.contains("did not come"), "{steps}");
}

#[test]
fn root_changes_another_account() {
    let lab = Lab::start("root user1");
    let place = Place::new(&(lab.sections("lab", "linux-passwd-as-root", "") + "login_as = \"lab/root\"\n"));
    let _daemon = place.daemon();
    place.import("lab", &lab);
    rotates_and_proves(&place, &lab, "lab", "user1");
}

#[test]
fn sudo_in_the_session_asks_for_password_and_code() {
    let lab = Lab::start("admin1 user1");
    let place = Place::new(&(lab.sections("lab", "linux-sudo-passwd", "") + "login_as = \"lab/admin1\"\n"));
    let _daemon = place.daemon();
    place.import("lab", &lab);
    rotates_and_proves(&place, &lab, "lab", "user1");
}

#[test]
fn sudo_in_the_session_asks_for_a_password_alone() {
    let lab = Lab::with("admin1 user1", &[("PLAIN_SUDO", "1")]);
    let place = Place::new(&(lab.sections("lab", "linux-sudo-passwd-only", "") + "login_as = \"lab/admin1\"\n"));
    let _daemon = place.daemon();
    place.import("lab", &lab);
    rotates_and_proves(&place, &lab, "lab", "user1");
}

#[test]
fn a_password_that_expired_is_changed_at_login() {
    let lab = Lab::start("old1");
    let place = Place::new(&lab.sections("lab", "openssh-expired-password", ""));
    let _daemon = place.daemon();
    place.import("lab", &lab);
    rotates_and_proves(&place, &lab, "lab", "old1");
}

#[test]
fn a_private_key_comes_first_where_the_device_wants_one() {
    let lab = Lab::start("key1");
    let place = Place::new(&lab.sections("lab", "linux-passwd", ""));
    let _daemon = place.daemon();
    place.import("lab", &lab);
    let (outcome, detail, exit) = place.rotate("lab/key1");
    assert_eq!((outcome.as_str(), exit), ("failed", 4));
    assert!(detail.contains("rotorctl ssh-key set lab/key1"), "{detail}");
    place.must(&["ssh-key", "set", "lab/key1"], &std::fs::read_to_string(lab.dir.join("key1")).unwrap());
    rotates_and_proves(&place, &lab, "lab", "key1");
}

#[test]
fn a_key_that_opens_alone_does_not_hide_that_the_stored_password_is_wrong() {
    let lab = Lab::start("key2");
    let place = Place::new(&lab.sections("lab", "linux-passwd", ""));
    let _daemon = place.daemon();
    place.import("lab", &lab);
    place.must(&["ssh-key", "set", "lab/key2"], &std::fs::read_to_string(lab.dir.join("key2")).unwrap());
    rotates_and_proves(&place, &lab, "lab", "key2");
    let steps = || place.json(&["history", "lab/key2"]).0["attempts"][0]["steps"].to_string();
    assert!(steps().contains("offered the private key"), "{}", steps());
    place.must(&["secret", "set", "lab/key2"], "not-the-password\n");
    let (outcome, detail, exit) = place.rotate("lab/key2");
    assert_eq!((outcome.as_str(), exit, place.state("lab/key2").as_str()), ("unknown", 5, "uncertain"), "{detail}");
    assert!(detail.contains("the old password is refused"), "{detail}");
    assert!(steps().contains("must not come"), "the session had refused it: {}", steps());
}

#[test]
fn a_key_that_opens_alone_does_not_hide_that_the_stored_seed_is_wrong() {
    let lab = Lab::start("key3");
    let place = Place::new(&lab.sections("lab", "linux-sudo-passwd", ""));
    let _daemon = place.daemon();
    place.import("lab", &lab);
    place.must(&["ssh-key", "set", "lab/key3"], &std::fs::read_to_string(lab.dir.join("key3")).unwrap());
    rotates_and_proves(&place, &lab, "lab", "key3");
    let wrong = format!("otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&period={}\n", lab.step);
    place.must(&["totp", "set", "lab/key3"], &wrong);
    let (outcome, detail, exit) = place.rotate("lab/key3");
    assert_eq!((outcome.as_str(), exit, place.state("lab/key3").as_str()), ("unknown", 5, "uncertain"), "{detail}");
    let steps = place.json(&["history", "lab/key3"]).0["attempts"][0]["steps"].to_string();
    assert!(steps.contains("must not come"), "sudo had refused the code: {steps}");
}

#[test]
fn a_jump_host_with_codes_of_its_own_stands_before_the_device() {
    let (gateway, lab) = (Lab::start("jumper"), Lab::start("user1"));
    let sections = gateway.sections("gw", "linux-passwd", "") + &*lab.sections("lab", "linux-passwd", "jump = \"gw\"");
    let place = Place::new(&sections);
    let _daemon = place.daemon();
    place.import("gw", &gateway);
    place.import("lab", &lab);
    rotates_and_proves(&place, &lab, "lab", "user1");
    let (history, _) = place.json(&["history", "lab/user1"]);
    assert!(history.to_string().contains("logged in to gw as jumper"));
}

#[test]
fn an_account_that_a_jump_host_refuses_again_and_again_is_in_doubt_and_is_left_alone() {
    let (gateway, lab) = (Lab::start("jumper"), Lab::start("user1"));
    let sections = gateway.sections("gw", "linux-passwd", "") + &*lab.sections("lab", "linux-passwd", "jump = \"gw\"");
    let place = Place::new(&(sections + "[policy.default]\nfailed_logins_per_hour = 3\n"));
    let _daemon = place.daemon();
    place.import("gw", &gateway);
    place.import("lab", &lab);
    place.must(&["secret", "set", "gw/jumper"], "not-the-password\n");
    for _ in 0..3 {
        assert_eq!(place.state("gw/jumper"), "idle");
        let (outcome, detail, _) = place.rotate("lab/user1");
        assert_eq!(outcome, "failed");
        assert!(detail.starts_with("gw/jumper ") && detail.contains("refused"), "{detail}");
    }
    assert_eq!((place.state("gw/jumper"), place.state("lab/user1")), ("uncertain".into(), "idle".into()));
    let why = "it is not known yet which password its jump account gw/jumper has";
    let (outcome, detail, _) = place.rotate("lab/user1");
    assert_eq!((outcome.as_str(), detail.as_str()), ("failed", why));
    let told = String::from_utf8(place.ctl(&["explain", "lab/user1"], "").stdout).unwrap();
    assert!(told.contains(&format!("At present no change begins: {why}.")), "{told}");
}

#[test]
fn ten_accounts_of_one_device_change_at_once() {
    let users: Vec<String> = (1..=10).map(|n| format!("user{n}")).collect();
    let lab = Lab::start(&users.join(" "));
    let place = Place::new(&lab.sections("lab", "linux-passwd", "max_sessions = 10"));
    let _daemon = place.daemon();
    place.import("lab", &lab);
    let (value, exit) = place.json(&["rotate", "--all"]);
    assert_eq!(exit, 0, "{value}");
    assert_eq!(value["results"].as_array().unwrap().len(), 10);
    assert!(lab.ssh_accepts("user7", &place.password("lab/user7")));
}

#[test]
fn a_wrong_stored_password_is_looked_into_within_the_budget() {
    let lab = Lab::start("user1");
    let place = Place::new(&lab.sections("lab", "linux-passwd", ""));
    let _daemon = place.daemon();
    place.import("lab", &lab);
    place.must(&["secret", "set", "lab/user1"], "not-the-password\n");
    let (outcome, detail, exit) = place.rotate("lab/user1");
    assert_eq!((outcome.as_str(), exit, place.state("lab/user1").as_str()), ("unknown", 5, "uncertain"), "{detail}");
    let refused = |text: &str| text.matches("was refused by the login").count();
    let (history, _) = place.json(&["history", "lab/user1"]);
    assert_eq!(refused(&history["attempts"][0]["steps"].to_string()), 2, "two failed logins and no more");
    assert_eq!(place.rotate("lab/user1").2, 5, "it stays with a person");
    // The person knows the password: the account goes on, once the budget of the hour allows.
    place.must(&["secret", "set", "lab/user1"], &format!("{}\n", lab.account("user1").0));
    assert_eq!(place.state("lab/user1"), "idle");
    let (outcome, detail, exit) = place.rotate("lab/user1");
    assert_eq!((outcome.as_str(), exit), ("refused", 3));
    assert!(detail.contains("lockout budget"), "{detail}");
}

#[test]
fn a_wrong_seed_is_no_guessing_game() {
    let lab = Lab::start("user1");
    let place = Place::new(&lab.sections("lab", "linux-passwd", ""));
    let _daemon = place.daemon();
    place.import("lab", &lab);
    place.must(
        &["totp", "set", "lab/user1"],
        &format!("otpauth://totp/x?secret=JBSWY3DPEHPK3PXP&period={}\n", crate::lab::STEP),
    );
    assert_eq!(place.rotate("lab/user1").2, 5);
    assert!(lab.ssh_accepts("user1", lab.account("user1").0), "nothing was changed");
}

#[test]
fn a_new_password_that_passwd_refuses_leaves_the_old_one_proved() {
    let lab = Lab::with("user1", &[("MINLEN", "60")]);
    let place = Place::new(&lab.sections("lab", "linux-passwd", ""));
    let _daemon = place.daemon();
    place.import("lab", &lab);
    let (outcome, detail, exit) = place.rotate("lab/user1");
    assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}");
    assert!(detail.contains("a fresh login proved it"), "{detail}");
    assert_eq!(place.password("lab/user1"), lab.account("user1").0);
    assert_eq!(place.changes("lab/user1"), 1, "the new password left, so it counts");
}

/// The module, of the host or as `tests/run` unpacked it.
fn pwquality() -> std::path::PathBuf {
    let unpacked = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pam");
    [unpacked.join("lib"), unpacked.join("usr/lib"), "/usr/lib".into()]
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten())
        .map(|entry| entry.path().join("security/pam_pwquality.so"))
        .find(|module| module.exists())
        .unwrap_or_else(|| panic!("pam_pwquality.so is missing; tests/run unpacks it"))
}

#[test]
fn a_device_that_comes_to_its_new_password_later_is_followed() {
    let lab = Lab::start("user1");
    let place = Place::new(&(lab.sections("lab", "later", "") + "[policy.default]\nfailed_logins_per_hour = 5\n"));
    let gate = free_port();
    let change = r#"printf '%s\\n' \"$OLD\" \"$NEW\" \"$NEW\" | passwd"#;
    let waits = format!("until (: < /dev/tcp/127.0.0.1/{gate}) 2> /dev/null; do sleep 0.1; done");
    let template = format!(
        "expect-regex \"/[$] ?$/\"\nexec \"OLD=[#CURRENT_PASSWORD:sh#]; NEW=[#NEW_PASSWORD:sh#]\"\n\
         expect-regex \"/[$] ?$/\"\nexec \"({waits}; {change}) > /dev/null 2>&1 & disown\"\n\
         expect-regex \"/[$] ?$/\"\nexec \"exit\"\nend\n"
    );
    std::fs::write(place.path("own/later.template"), template).unwrap();
    let _daemon = place.daemon();
    place.import("lab", &lab);
    let (outcome, detail, exit) = place.rotate("lab/user1");
    assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}");
    let (first, _) = lab.account("user1");
    assert_eq!(place.password("lab/user1"), first);
    let (history, _) = place.json(&["secret", "show", "lab/user1", "--history"]);
    let mut passwords = history["history"].as_array().unwrap().iter().map(|entry| entry["password"].as_str().unwrap());
    let later = passwords.find(|password| *password != first).unwrap().to_owned();
    // Now the device comes to it.
    let _open = std::net::TcpListener::bind(("127.0.0.1", gate)).unwrap();
    wait_for("the device's other password", || lab.ssh_accepts("user1", &later).then_some(()));
    let (outcome, detail, exit) = place.rotate("lab/user1");
    assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail}\n{}", place.log());
    assert!(detail.contains("nothing was changed now"), "{detail}");
    assert_eq!((place.password("lab/user1"), place.state("lab/user1")), (later, "idle".to_owned()));
    assert_eq!(place.changes("lab/user1"), 1, "nothing was changed a second time");
}

#[test]
fn a_host_that_judges_passwords_and_locks_accounts_is_kept_to() {
    let lab = Lab::with("user1 user2 user3", &[("GUARDED", pwquality().to_str().unwrap())]);
    let short = "policy = \"short\"\n[policy.short]\nlength = 12\n";
    let place = Place::new(&(lab.sections("lab", "linux-passwd", "") + short));
    let _daemon = place.daemon();
    place.import("lab", &lab);
    // pam_pwquality takes what the default policy makes.
    rotates_and_proves(&place, &lab, "lab", "user1");
    // It refuses a short one, in its words, and the old one is proved.
    let (outcome, detail, exit) = place.rotate("lab/user3");
    assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}");
    assert!(detail.contains("shorter than 14 characters") && detail.contains("a fresh login proved it"), "{detail}");
    assert_eq!(place.password("lab/user3"), lab.account("user3").0);
    // A password that is wrong in the vault is tried twice; pam_faillock locks after three.
    let known = lab.account("user2").0;
    place.must(&["secret", "set", "lab/user2"], "not-the-password\n");
    for _ in 0..3 {
        assert_eq!(place.rotate("lab/user2").2, 5);
    }
    assert!(lab.ssh_accepts("user2", known), "the account is not locked");
    for _ in 0..3 {
        assert!(!lab.ssh_accepts("user2", "wrong-as-well"));
    }
    assert!(!lab.ssh_accepts("user2", known), "three in a row do lock it");
}

#[test]
fn verify_logs_in_and_changes_nothing() {
    let lab = Lab::start("user1");
    let place = Place::new(&lab.sections("lab", "linux-passwd", ""));
    let _daemon = place.daemon();
    place.import("lab", &lab);
    assert_eq!(place.json(&["verify", "lab/user1"]).1, 0);
    assert_eq!(place.changes("lab/user1"), 0);
    place.must(&["secret", "set", "lab/user1"], "wrong-one\n");
    assert_eq!(place.json(&["verify", "lab/user1"]).1, 5);
}

#[test]
fn a_code_shown_to_a_person_is_that_person_s() {
    let lab = Lab::start("user1");
    let place = Place::new(&lab.sections("lab", "linux-passwd", ""));
    let _daemon = place.daemon();
    place.import("lab", &lab);
    let (shown, exit) = place.json(&["otp", "lab/user1"]);
    assert_eq!(exit, 0);
    let (next, _) = place.json(&["otp", "lab/user1"]);
    assert!(next["step"].as_u64() > shown["step"].as_u64(), "never the same one twice");
    let (_, seed) = lab.account("user1");
    let step = next["step"].as_u64().unwrap();
    let oath = std::process::Command::new("oathtool")
        .args([
            "--totp",
            "-b",
            "-s",
            &format!("{}s", crate::lab::STEP),
            "-N",
            &format!("@{}", step * crate::lab::STEP),
            seed,
        ])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&oath.stdout).trim(), next["token"].as_str().unwrap(), "oathtool agrees");
    assert_eq!(place.rotate("lab/user1").2, 0);
}

#[test]
fn a_parent_is_followed_by_the_account_that_comes_after_it() {
    let lab = Lab::start("user1 user2");
    let place = Place::new(&(lab.sections("lab", "linux-passwd", "") + "after = \"lab/user1\"\n"));
    let _daemon = place.daemon();
    place.import("lab", &lab);
    assert_eq!(place.rotate("lab/user1").2, 0);
    wait_for("the child's change", || {
        (place.changes("lab/user2") == 1 && place.state("lab/user2") == "idle").then_some(())
    });
    let (history, _) = place.json(&["history", "lab/user2"]);
    assert_eq!(history["attempts"][0]["trigger"], "parent");
}

#[test]
fn one_field_takes_password_and_code_where_the_device_says_so() {
    let lab = Lab::with("user1 user2", &[("FORWARD", "1")]);
    let place = Place::new(&lab.sections("lab", "linux-passwd", ""));
    let daemon = place.daemon();
    place.import("lab", &lab);
    let (outcome, detail, _) = place.rotate("lab/user1");
    assert_eq!(outcome, "done", "the prompt names both: {detail}");
    daemon.stop();

    let lab = Lab::with(
        "user2",
        &[("FORWARD", "1"), ("SSHD", "PasswordAuthentication yes\nKbdInteractiveAuthentication no")],
    );
    place.configure(&lab.sections("lab", "linux-passwd", "login_format = \"password+totp\""));
    let _daemon = place.daemon();
    place.import("lab", &lab);
    let (outcome, detail, _) = place.rotate("lab/user2");
    assert_eq!(outcome, "done", "by the method password: {detail}");
    assert!(place.json(&["history", "lab/user2"]).0.to_string().contains("login: sent the password"));
}

#[test]
fn algorithms_of_old_are_offered_only_where_the_config_says_so() {
    let old = "KexAlgorithms diffie-hellman-group14-sha1\nCiphers aes128-cbc\nMACs hmac-sha1";
    let lab = Lab::with("user1", &[("SSHD", old)]);
    let place = Place::new(&lab.sections("lab", "linux-passwd", ""));
    let daemon = place.daemon();
    place.import("lab", &lab);
    let (outcome, detail, _) = place.rotate("lab/user1");
    assert_eq!(outcome, "failed");
    assert!(detail.contains("legacy_algorithms = true"), "{detail}");
    place.configure(&lab.sections("lab", "linux-passwd", "legacy_algorithms = true"));
    daemon.signal("HUP");
    wait_for("the rotation under the new config", || (place.rotate("lab/user1").0 == "done").then_some(()));
}

#[test]
fn a_known_hosts_file_with_hashed_names_is_trusted() {
    let lab = Lab::start("user1");
    let listed = format!("host_key = [\"{}\"]", lab.fingerprint);
    let place = Place::new(&lab.sections("lab", "linux-passwd", "").replace(&listed, "known_hosts = \"known\""));
    let scan = std::process::Command::new("ssh-keyscan")
        .args(["-H", "-p", &lab.port.to_string(), "127.0.0.1"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&scan.stdout).starts_with("|1|"));
    std::fs::write(place.path("known"), scan.stdout).unwrap();
    let _daemon = place.daemon();
    place.import("lab", &lab);
    assert_eq!(place.json(&["verify", "lab/user1"]).1, 0);
}

#[test]
fn a_host_certificate_counts_where_its_authority_is_known_and_it_names_the_host() {
    for (principal, trusted) in [("127.0.0.1", true), ("another.host", false)] {
        let lab = Lab::with("user1", &[("PRINCIPAL", principal)]);
        let listed = format!("host_key = [\"{}\"]", lab.fingerprint);
        let place = Place::new(&lab.sections("lab", "linux-passwd", "").replace(&listed, "known_hosts = \"known\""));
        let authority = std::fs::read_to_string(lab.dir.join("authority.pub")).unwrap();
        let line = format!("@cert-authority [127.0.0.1]:{} {authority}", lab.port);
        std::fs::write(place.path("known"), line).unwrap();
        let _daemon = place.daemon();
        place.import("lab", &lab);
        let (value, exit) = place.json(&["verify", "lab/user1"]);
        assert_eq!(exit == 0, trusted, "{principal}: {value}");
        let told = value.to_string();
        assert!(trusted || (told.contains("host key") && !told.contains("login: answered")), "{told}");
    }
}

#[test]
fn accounts_asked_for_together_change_after_their_parents_and_once() {
    let lab = Lab::start("user2 user3 user1");
    let place = Place::new(
        &(lab
            .sections("lab", "linux-passwd", "max_sessions = 3")
            .replace("[account.\"lab/user2\"]", "[account.\"lab/user2\"]\nafter = \"lab/user1\"")),
    );
    let _daemon = place.daemon();
    place.import("lab", &lab);
    let (value, exit) = place.json(&["rotate", "--all"]);
    assert_eq!(exit, 0, "{value}");
    let started = |user: &str| {
        place.json(&["history", &format!("lab/{user}")]).0["attempts"][0]["started"].as_str().unwrap().to_owned()
    };
    let ended = place.json(&["history", "lab/user1"]).0["attempts"][0]["ended"].as_str().unwrap().to_owned();
    assert!(started("user2") >= ended, "the child waits for its parent");
    assert!(started("user3") < ended, "others do not");
    assert_eq!((place.changes("lab/user1"), place.changes("lab/user2")), (1, 1));

    // A parent that fails keeps its child as it is.
    place.must(&["secret", "set", "lab/user1"], "wrong-one\n");
    let (value, exit) = place.json(&["rotate", "lab/user1", "lab/user2"]);
    assert_eq!(exit, 5, "{value}");
    assert!(value.to_string().contains("it changes after lab/user1, which was not changed"), "{value}");
    assert_eq!(place.changes("lab/user2"), 1);
}

#[test]
fn su_changes_and_proves_an_account_that_has_no_login_of_its_own() {
    let lab = Lab::with("root op", &[("SSHD", "DenyUsers root")]);
    let place = Place::new(
        &(lab
            .sections("lab", "linux-su-passwd", "")
            .replace("[account.\"lab/root\"]\n", "[account.\"lab/root\"]\nlogin_as = \"lab/op\"\n")),
    );
    let daemon = place.daemon();
    place.import("lab", &lab);
    let before = place.password("lab/root");
    let (outcome, detail, exit) = place.rotate("lab/root");
    assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail}");
    assert_ne!(place.password("lab/root"), before);
    // The proof tells a wrong password from the right one.
    let (value, exit) = place.json(&["verify", "lab/root"]);
    assert_eq!(exit, 0, "{value}");
    place.must(&["secret", "set", "lab/root"], &format!("{before}\n"));
    assert_eq!(place.json(&["verify", "lab/root"]).1, 5);
    assert_eq!(place.state("lab/root"), "uncertain");
    daemon.stop();
}

#[test]
fn doas_sets_another_account_s_password() {
    let lab = Lab::start("op web1");
    let place = Place::new(
        &lab.sections("lab", "linux-doas-passwd", "")
            .replace("[account.\"lab/web1\"]\n", "[account.\"lab/web1\"]\nlogin_as = \"lab/op\"\n"),
    );
    let daemon = place.daemon();
    place.import("lab", &lab);
    rotates_and_proves(&place, &lab, "lab", "web1");
    daemon.stop();
}

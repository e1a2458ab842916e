//! Backups, restores and escrow: what is left when the vault is not.

use std::fs;
use std::process::{Command, Output};
use std::sync::Arc;

use rotord::demo::PasswdShell;
use serde_json::Value;

use crate::lab::{Lab, Place, feed, wait_for};
use crate::scripted::{FIRST, Scripted, with_shell};

const PASSPHRASE: &str = "correct horse battery staple\n";

fn restore(place: &Place, file: &str, more: &[&str], input: &str) -> Output {
    let (config, file) = (place.path("rotord.toml"), place.path(file));
    let mut command = Command::new(env!("CARGO_BIN_EXE_rotord"));
    feed(command.arg("--config").arg(config).arg("restore").arg(file).args(more), input)
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether a login of the account was refused since the daemon started.
fn refused_since(place: &Place, account: &str) -> bool {
    let (history, _) = place.json(&["history", account]);
    history["attempts"][0]["detail"].as_str().is_some_and(|detail| detail.contains("password is refused"))
}

#[test]
fn a_restored_vault_finds_out_account_by_account_what_went_on_without_it() {
    let lab = Lab::start("root user1 user2 user3");
    let mut sections = lab.sections("lab", "linux-passwd", "max_sessions = 4");
    sections = sections.replace("[account.\"lab/user3\"]\n", "[account.\"lab/user3\"]\nreconcile_as = \"lab/root\"\n");
    let place = Place::new(&sections);
    let daemon = place.daemon();
    place.import("lab", &lab);
    let file = place.path("backup.age");
    let two_lines = place.ctl(&["backup", file.to_str().unwrap()], "one passphrase\nand another\n");
    assert!(two_lines.status.code() == Some(2) && errors(&two_lines).contains("one line") && !file.exists());
    place.must(&["backup", file.to_str().unwrap()], &PASSPHRASE.repeat(2));
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions()) & 0o777, 0o600);
    let sealed = fs::read(&file).unwrap();
    for (_, password, seed) in &lab.accounts {
        let holds = |text: &str| sealed.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!holds(password) && !holds(seed), "the backup is sealed");
    }
    let again = place.ctl(&["backup", file.to_str().unwrap()], PASSPHRASE);
    assert!(!again.status.success() && errors(&again).contains("never written over"));
    // The fleet goes on: two of four accounts change after the backup.
    for account in ["lab/user1", "lab/user3"] {
        assert_eq!(place.rotate(account).0, "done");
    }
    let (lost1, lost3) = (place.password("lab/user1"), place.password("lab/user3"));
    daemon.stop();
    let there = restore(&place, "backup.age", &[], PASSPHRASE);
    assert!(!there.status.success() && errors(&there).contains("never overwrites"), "{}", errors(&there));
    fs::rename(place.path("state"), place.path("state-of-before")).unwrap();
    let wrong = restore(&place, "backup.age", &[], "another passphrase\n");
    assert!(!wrong.status.success() && errors(&wrong).contains("passphrase"), "{}", errors(&wrong));
    assert!(!place.path("state/vault.db").exists(), "nothing is left behind");
    let restored = restore(&place, "backup.age", &[], PASSPHRASE);
    assert!(restored.status.success(), "{}", errors(&restored));
    // Each account's outcome is found out by a login, and told.
    let _daemon = place.daemon();
    let settled = |account: &str| place.state(account) == "idle" || refused_since(&place, account);
    for user in ["root", "user1", "user2", "user3"] {
        wait_for(&format!("the outcome of {user}"), || settled(&format!("lab/{user}")).then_some(()));
    }
    let state = |user: &str| place.state(&format!("lab/{user}"));
    assert_eq!([state("root"), state("user2")], ["idle", "idle"], "they did not change");
    assert_eq!([state("user1"), state("user3")], ["uncertain", "uncertain"], "nothing is guessed");
    let told = String::from_utf8(place.ctl(&["explain", "lab/user3"], "").stdout).unwrap();
    assert!(told.contains("rotorctl reconcile lab/user3"), "{told}");
    // What the remedies are worth: one by what a person knows, one through the reconcile account.
    place.must(&["secret", "set", "lab/user1"], &format!("{lost1}\n"));
    let (told, exit) = place.json(&["verify", "lab/user1"]);
    assert_eq!(exit, 0, "{told}: {}", place.log());
    let (told, exit) = place.json(&["reconcile", "lab/user3"]);
    assert_eq!(exit, 0, "{told}: {}", place.log());
    assert!(lab.ssh_accepts("user3", &place.password("lab/user3")));
    assert_ne!(place.password("lab/user3"), lost3);
    let (verified, _) = place.json(&["audit", "verify"]);
    assert_eq!(verified["ok"], true, "{verified}");
}

#[test]
fn a_backup_to_a_recovery_key_opens_with_its_private_half_under_another_vault_key() {
    let scripted = with_shell("linux-passwd", Arc::new(|user| Box::new(PasswdShell::new(user, false))));
    let place = &scripted.place;
    let made = place.ctl(&["key", "recovery", place.path("recovery.key").to_str().unwrap()], "");
    let public = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    assert!(public.starts_with("age1"), "{public}");
    let daemon = place.daemon();
    scripted.import();
    let none = place.ctl(&["backup", place.path("b").to_str().unwrap(), "--recovery-key"], "");
    assert!(errors(&none).contains("recovery_key"), "{}", errors(&none));
    place.must(&["backup", place.path("b").to_str().unwrap(), "--recipient", &public], "");
    daemon.kill();
    // Everything of the host is gone: state and vault key.
    fs::remove_dir_all(place.path("state")).unwrap();
    fs::remove_file(place.path("vault.key")).unwrap();
    place.must(&["key", "new", place.path("vault.key").to_str().unwrap()], "");
    let identity = place.path("recovery.key");
    let restored = restore(place, "b", &["--identity", identity.to_str().unwrap()], "");
    assert!(restored.status.success(), "{}", errors(&restored));
    let _daemon = place.daemon();
    wait_for("the account proved", || (place.state("dev/admin") == "idle").then_some(()));
    assert_eq!(place.password("dev/admin"), FIRST);
    assert_eq!(scripted.device.state().replays, 0);
}

#[test]
fn a_backup_that_was_cut_or_altered_is_refused() {
    let scripted = with_shell("linux-passwd", Arc::new(|user| Box::new(PasswdShell::new(user, false))));
    let place = &scripted.place;
    let daemon = place.daemon();
    scripted.import();
    place.must(&["backup", place.path("b").to_str().unwrap()], PASSPHRASE);
    daemon.stop();
    fs::remove_dir_all(place.path("state")).unwrap();
    let whole = fs::read(place.path("b")).unwrap();
    for (name, bytes) in
        [("cut", whole[..whole.len() - 100].to_vec()), ("flipped", flip(&whole)), ("empty", Vec::new())]
    {
        fs::write(place.path(name), bytes).unwrap();
        let refused = restore(place, name, &[], PASSPHRASE);
        assert!(!refused.status.success(), "{name}");
        assert!(!place.path("state/vault.db").exists(), "{name}");
    }
}

#[test]
fn a_backup_takes_little_memory_however_large_the_vault_is() {
    let scripted = with_shell("linux-passwd", Arc::new(|user| Box::new(PasswdShell::new(user, false))));
    let place = &scripted.place;
    let daemon = place.daemon();
    scripted.import();
    daemon.stop();
    let database = rusqlite::Connection::open(place.path("state/vault.db")).unwrap();
    database
        .execute_batch(
            "CREATE TABLE padding (bytes BLOB);
             WITH RECURSIVE row(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM row WHERE n < 6000)
             INSERT INTO padding SELECT randomblob(10000) FROM row",
        )
        .unwrap();
    drop(database);
    // What a crash left of a backup goes with the next start; what is an operator's own stays.
    let (left, own) = (place.path("state/.copy-for-backup-1"), place.path("state/backup-of-mine"));
    fs::create_dir(&left).and_then(|()| fs::write(left.join("copy.db"), "part")).unwrap();
    fs::create_dir(&own).unwrap();
    let daemon = place.daemon();
    assert!(!left.exists() && own.exists());
    let before = daemon.peak_kb();
    let (_, public) = rotord::sealed::RecoveryKey::generate();
    let file = place.path("large.age");
    place.must(&["backup", place.path("to-a-key.age").to_str().unwrap(), "--recipient", &format!("{public:?}")], "");
    let grown = daemon.peak_kb() - before;
    assert!(grown < 30_000, "the daemon grew by {grown} kB");
    place.must(&["backup", file.to_str().unwrap()], PASSPHRASE);
    let grown = daemon.peak_kb() - before;
    assert!(grown < 128 * 1024 + 30_000, "with what scrypt takes, the daemon grew by {grown} kB");
    assert!(fs::metadata(&file).unwrap().len() > 60_000_000);
    let hidden: Vec<_> = fs::read_dir(place.path("state")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!hidden.iter().any(|name| name.to_string_lossy().starts_with(".copy")), "{hidden:?}");
    daemon.stop();
    fs::rename(place.path("state"), place.path("state-of-before")).unwrap();
    let restored = restore(place, "large.age", &[], PASSPHRASE);
    assert!(restored.status.success(), "{}", errors(&restored));
}

#[test]
fn a_backup_for_which_there_is_no_room_leaves_no_part_of_it() {
    let scripted = with_shell("linux-passwd", Arc::new(|user| Box::new(PasswdShell::new(user, false))));
    let place = &scripted.place;
    let _daemon = place.daemon();
    scripted.import();
    let folder = place.path("small");
    fs::create_dir(&folder).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=16k tmpfs '{0}' && \"$0\" \"$@\"; status=$?; ls -A '{0}'; exit $status",
        folder.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, env!("CARGO_BIN_EXE_rotorctl"), "backup"]);
    let refused = feed(command.arg(folder.join("b")).env("ROTORD_SOCKET", place.path("socket")), PASSPHRASE);
    assert!(!refused.status.success() && errors(&refused).contains("No space left"), "{}", errors(&refused));
    assert_eq!(String::from_utf8_lossy(&refused.stdout), "", "a part of a backup is left");
    place.must(&["backup", place.path("b").to_str().unwrap()], PASSPHRASE);
}

fn flip(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    bytes
}

#[test]
fn a_copy_of_the_database_that_was_put_back_by_hand_is_found_out_and_its_log_goes_on() {
    let scripted = with_shell("linux-passwd", Arc::new(|user| Box::new(PasswdShell::new(user, false))));
    let place = &scripted.place;
    let daemon = place.daemon();
    scripted.import();
    daemon.stop();
    let database = place.path("state/vault.db");
    fs::copy(&database, place.path("copy.db")).unwrap();
    let beside = fs::metadata(place.path("state/vault.db-wal")).map_or(0, |journal| journal.len());
    assert_eq!(beside, 0, "after a stop all of it is in one file");
    let daemon = place.daemon();
    assert_eq!(place.rotate("dev/admin").0, "done");
    daemon.stop();
    fs::copy(place.path("copy.db"), &database).unwrap();
    let _daemon = place.daemon();
    wait_for("the account found out", || refused_since(place, "dev/admin").then_some(()));
    let (told, _) = place.json(&["audit", "tail"]);
    assert!(told.to_string().contains("of its audit log, which goes on to event"), "{told}");
    assert_eq!(place.json(&["audit", "verify"]).0["ok"], true);
    place.must(&["secret", "set", "dev/admin"], &format!("{}\n", scripted.held()));
    assert_eq!(place.json(&["verify", "dev/admin"]).1, 0);
    assert_eq!(scripted.device.state().replays, 0);
}

/// A device whose account's new passwords are put in the folder `escrow`, sealed to `recovery.key`.
fn with_escrow() -> Scripted {
    let scripted = with_shell("linux-passwd", Arc::new(|user| Box::new(PasswdShell::new(user, false))));
    let place = &scripted.place;
    let made = place.ctl(&["key", "recovery", place.path("recovery.key").to_str().unwrap()], "");
    let public = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let text = fs::read_to_string(place.path("rotord.toml")).unwrap();
    let lines = format!("key_file = \"vault.key\"\nrecovery_key = \"{public}\"\nescrow = \"escrow\"\n");
    fs::write(place.path("rotord.toml"), text.replace("key_file = \"vault.key\"\n", &lines)).unwrap();
    scripted
}

/// Opens what is in escrow at a path of the place, with the exit status.
fn open_escrow(place: &Place, path: &str) -> (Value, i32) {
    let (path, identity) = (place.path(path), place.path("recovery.key"));
    place.json(&["escrow", "open", path.to_str().unwrap(), "--identity", identity.to_str().unwrap()])
}

#[test]
fn a_destroyed_vault_loses_no_password_that_is_in_escrow() {
    let scripted = with_escrow();
    let place = &scripted.place;
    let daemon = place.daemon();
    scripted.import();
    assert_eq!(place.rotate("dev/admin").0, "done");
    let before = scripted.held();
    assert_eq!(place.rotate("dev/admin").0, "done");
    daemon.kill();
    fs::remove_dir_all(place.path("state")).unwrap();
    // None takes its place in silence.
    let why = place.try_daemon_with(&[], &[]).err().unwrap();
    assert!(
        why.contains("rotord restore") && why.contains("of dev/admin") && !place.path("state/vault.db").exists(),
        "{why}"
    );
    let (opened, exit) = open_escrow(place, "escrow");
    assert_eq!(exit, 0);
    assert_eq!(opened["passwords"][0]["account"], "dev/admin");
    assert_eq!(opened["passwords"][0]["password"].as_str().unwrap(), scripted.held(), "what the device has");
    // A slip that does not open is told, and what was before it shown.
    let mut slips: Vec<_> =
        fs::read_dir(place.path("escrow/dev%2Fadmin")).unwrap().map(|slip| slip.unwrap().path()).collect();
    slips.sort();
    assert_eq!(slips.len(), 2, "{slips:?}");
    fs::write(&slips[1], "").unwrap();
    let (opened, exit) = open_escrow(place, "escrow");
    assert_eq!(exit, 1);
    assert_eq!(opened["passwords"][0]["password"].as_str().unwrap(), before);
    assert!(opened["damaged"][0].as_str().unwrap().contains(slips[1].to_str().unwrap()), "{opened}");
}

#[test]
fn where_a_snapshot_took_vault_and_log_back_it_is_told_that_escrow_has_the_password() {
    let scripted = with_escrow();
    let place = &scripted.place;
    let daemon = place.daemon();
    scripted.import();
    assert_eq!(place.rotate("dev/admin").0, "done");
    daemon.stop();
    let copied = Command::new("cp").arg("-a").args([place.path("state"), place.path("snapshot")]).status();
    assert!(copied.unwrap().success());
    let daemon = place.daemon();
    assert_eq!(place.rotate("dev/admin").0, "done");
    daemon.kill();
    fs::remove_dir_all(place.path("state")).unwrap();
    fs::rename(place.path("snapshot"), place.path("state")).unwrap();
    let _daemon = place.daemon();
    assert_ne!(place.password("dev/admin"), scripted.held(), "nothing tells the vault that it is of the past");
    let (refused, exit) = place.json(&["verify", "dev/admin"]);
    let slips = "escrow/dev%2Fadmin";
    let remedy = format!("rotorctl escrow open {} --identity FILE", place.path(slips).display());
    assert!(exit != 0 && refused["results"][0]["detail"].as_str().unwrap().contains(&remedy), "{refused}");
    let explained = String::from_utf8(place.ctl(&["explain", "dev/admin"], "").stdout).unwrap();
    assert!(explained.contains(&remedy), "{explained}");
    let (opened, _) = open_escrow(place, slips);
    let password = opened["passwords"][0]["password"].as_str().unwrap();
    assert_eq!(password, scripted.held());
    place.must(&["secret", "set", "dev/admin"], &format!("{password}\n"));
    assert_eq!(place.json(&["verify", "dev/admin"]).1, 0);
    // Another wrong password is one that escrow is not asked about: what is there is of an attempt that the vault knows.
    assert_eq!(place.rotate("dev/admin").0, "done");
    place.must(&["secret", "set", "dev/admin"], "Wrong-1\n");
    let (refused, _) = place.json(&["verify", "dev/admin"]);
    let detail = refused["results"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("not known yet") && !detail.contains("escrow"), "{detail}");
}

#[test]
fn a_password_that_cannot_be_put_in_escrow_is_not_sent() {
    let scripted = with_escrow();
    let place = &scripted.place;
    // A file stands where the account's folder should be.
    fs::create_dir(place.path("escrow")).unwrap();
    fs::write(place.path("escrow/dev%2Fadmin"), "").unwrap();
    let _daemon = place.daemon();
    scripted.import();
    let (outcome, detail, exit) = place.rotate("dev/admin");
    assert_eq!((outcome.as_str(), exit), ("failed", 4), "{detail}");
    assert!(detail.contains("escrow") && detail.contains("not sent"), "{detail}");
    assert_eq!(scripted.held(), FIRST);
    // As where its disk is not mounted.
    let logins = scripted.device.state().logins.len();
    fs::remove_dir_all(place.path("escrow")).unwrap();
    let (outcome, detail, _) = place.rotate("dev/admin");
    assert_eq!(outcome, "failed");
    assert!(detail.contains("mounted") && !place.path("escrow").exists(), "{detail}");
    assert_eq!(scripted.device.state().logins.len(), logins, "nobody logs in for that");
    assert_eq!(place.changes("dev/admin"), 0);
}

#[test]
fn an_escrow_that_takes_no_file_is_told_at_the_start_and_in_status() {
    let scripted = with_escrow();
    let place = &scripted.place;
    // As where a share hangs: nobody writes into this pipe, and nobody reads from it.
    let pipe = place.path("escrow");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let text = fs::read_to_string(place.path("rotord.toml")).unwrap();
    fs::write(place.path("rotord.toml"), text.replace("escrow = \"escrow\"", "escrow = \"escrow/inside\"")).unwrap();
    let daemon = place.daemon();
    assert!(place.log().contains("nothing can be put in escrow in "), "{}", place.log());
    scripted.import();
    let told = || place.json(&["status"]).0["escrow_error"].as_str().map(str::to_owned);
    assert!(told().unwrap().contains("no password is changed"), "{:?}", told());
    let status = String::from_utf8(place.ctl(&["status"], "").stdout).unwrap();
    assert!(status.contains("nothing can be put in escrow"), "{status}");
    let logins = scripted.device.state().logins.len();
    let (outcome, detail, _) = place.rotate("dev/admin");
    assert!(outcome == "failed" && detail.contains("escrow"), "{detail}");
    assert_eq!(scripted.device.state().logins.len(), logins, "before anybody logs in");
    fs::remove_file(&pipe).unwrap();
    fs::create_dir_all(place.path("escrow/inside")).unwrap();
    assert_eq!(told(), None);
    assert_eq!(place.rotate("dev/admin").0, "done");
    daemon.stop();
}

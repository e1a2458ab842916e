//! `rotorctl device add` and `account add`: a device of which nothing is known becomes one whose password rotates, or nothing is left.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::lab::{Lab, Place, wait_for};

/// The settings of an account, in a file that only its owner reads.
fn settings(place: &Place, lab: &Lab, user: &str, more: &str) -> String {
    let (password, seed) = lab.account(user);
    let path = place.path(&format!("{user}.add"));
    let text = format!(
        "user = \"{user}\"\npassword = '{password}'\ntotp = \"otpauth://totp/x?secret={seed}&period={}\"\n{more}",
        lab.step
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    path.display().to_string()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &*String::from_utf8_lossy(&output.stderr)
}

/// All that is in the folder of the drop-in files.
fn drop_ins(place: &Place) -> Vec<String> {
    let entries = fs::read_dir(place.path("config.d")).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn accounts(place: &Place) -> Vec<String> {
    let (status, _) = place.json(&["status"]);
    let names = status["accounts"].as_array().unwrap().iter();
    names.map(|account| account["account"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_device_of_which_nothing_is_known_is_added_recognised_and_rotated() {
    let lab = Lab::start("alice bob");
    let place = Place::new("");
    let _daemon = place.daemon();
    let address = format!("127.0.0.1:{}", lab.port);
    let from = settings(&place, &lab, "alice", "schedule = \"30 2 * * *\"\n");

    // Nobody vouches for the host key, and nobody can be asked.
    let refused = place.ctl(&["device", "add", "web1", &address, "--from", &from, "--yes"], "");
    assert!(refused.status.code() == Some(2) && told(&refused).contains("--host-key SHA256:"), "{}", told(&refused));
    let other = format!("SHA256:{}", "A".repeat(43));
    let refused = place.ctl(&["device", "add", "web1", &address, "--from", &from, "--yes", "--host-key", &other], "");
    assert!(refused.status.code() == Some(2) && told(&refused).contains("not the key"), "{}", told(&refused));
    assert_eq!((drop_ins(&place), accounts(&place)), (vec![], vec![]));

    let args = ["device", "add", "web1", &address, "--from", &from, "--yes", "--host-key", &lab.fingerprint];
    let added = place.ctl(&args, "");
    assert!(added.status.success(), "{}", told(&added));
    for expected in ["it is Linux", "commit point", "web1/alice is added", "rotorctl rotate web1/alice", "shred -u"] {
        assert!(told(&added).contains(expected), "{expected}: {}", told(&added));
    }
    let text = fs::read_to_string(place.path("config.d/web1.toml")).unwrap();
    assert!(text.contains("template = \"linux-passwd\"") && text.contains(&lab.fingerprint), "{text}");
    let (password, seed) = lab.account("alice");
    for secret in [password, seed] {
        assert!(!text.contains(secret) && !told(&added).contains(secret));
    }
    assert!(place.check_config().status.success());
    assert_eq!(place.rotate("web1/alice").0, "done");
    assert!(lab.ssh_accepts("alice", &place.password("web1/alice")));

    // The second account, for the device that is there; once more it is there already.
    let from = settings(&place, &lab, "bob", "");
    let added = place.ctl(&["account", "add", "web1/bob", "--from", &from, "--yes"], "");
    assert!(added.status.success() && told(&added).contains("in no job"), "{}", told(&added));
    assert_eq!(place.rotate("web1/bob").0, "done");
    let before = (drop_ins(&place), place.password("web1/bob"));
    for args in [&args[..], &["account", "add", "web1/bob", "--from", &from, "--yes"]] {
        assert_eq!(place.ctl(args, "").status.code(), Some(2), "{args:?}");
    }
    assert_eq!((drop_ins(&place), place.password("web1/bob")), before);
    assert_eq!(place.json(&["audit", "verify"]).0["ok"], true);
}

/// Adds a device at a terminal; `before_yes` is run before the last question is answered.
fn at_a_terminal(place: &Place, address: &str, (password, seed): (&str, &str), before_yes: &str) -> Output {
    let answers = serde_json::json!([
        ["Account on it: $", "alice", ""],
        ["Is it right\\? Type yes: $", "yes", ""],
        ["Password of web1/alice: $", password, ""],
        ["for none\\): $", seed, ""],
        ["Template \\[linux-passwd\\]: $", "", ""],
        ["store the secrets\\? Type yes: $", "yes", before_yes],
    ]);
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/terminal.py"))
        .arg(answers.to_string())
        .args([env!("CARGO_BIN_EXE_rotorctl"), "device", "add", "web1", address])
        .current_dir(place.folder.path())
        .env("ROTORD_SOCKET", place.path("socket"))
        .env("HOME", place.folder.path())
        .output()
        .unwrap()
}

#[test]
fn what_fails_on_the_way_leaves_nothing_behind() {
    let lab = Lab::start("alice");
    let place = Place::new("");
    let daemon = place.daemon();
    let address = format!("127.0.0.1:{}", lab.port);
    let (password, seed) = lab.account("alice");
    let uri = format!("otpauth://totp/x?secret={seed}&period={}", lab.step);
    let nothing_is_left = |place: &Place, what: &str| {
        let ours: Vec<String> = drop_ins(place).into_iter().filter(|name| name.contains("web1")).collect();
        assert_eq!(ours, Vec::<String>::new(), "{what}");
        assert_eq!(accounts(place), Vec::<String>::new(), "{what}");
    };

    // A template that does not fit fails at its rehearsal.
    fs::write(
        place.path("own/other.template"),
        "set-read-timeout 1\nexpect \"*Cisco*\"\nexec \"[#NEW_PASSWORD#]\"\nend\n",
    )
    .unwrap();
    daemon.signal("HUP");
    wait_for("the template", || place.json(&["template", "list"]).0.to_string().contains("other").then_some(()));
    let from = settings(&place, &lab, "alice", "template = \"other\"\n");
    let refused = place.ctl(&["device", "add", "web1", &address, "--from", &from, "--host-key", &lab.fingerprint], "");
    assert!(
        refused.status.code() == Some(4) && told(&refused).contains("nothing of it was stored"),
        "{}",
        told(&refused)
    );
    nothing_is_left(&place, "rehearsal");

    // The file is written, and then the config that it is in has errors.
    let output =
        at_a_terminal(&place, &address, (password, &uri), "mkdir -p config.d && echo nonsense > config.d/zz.toml");
    assert!(!output.status.success(), "{}", told(&output));
    for expected in ["is gone again", "zz.toml", "is no TOML"] {
        assert!(told(&output).contains(expected), "{expected}: {}", told(&output));
    }
    nothing_is_left(&place, "broken config");
    fs::remove_file(place.path("config.d/zz.toml")).unwrap();

    // The daemon is gone by then.
    // What was killed may take connections for a moment.
    let gone = "import socket, time\nwhile not socket.socket(socket.AF_UNIX).connect_ex('socket'): time.sleep(0.02)";
    let kill = format!("kill -9 {}; python3 -c \"{gone}\"", daemon.pid());
    let output = at_a_terminal(&place, &address, (password, &uri), &kill);
    assert!(!output.status.success() && told(&output).contains("is gone again"), "{}", told(&output));
    drop(daemon);
    let _daemon = place.daemon();
    nothing_is_left(&place, "killed daemon");

    // At last it goes well, at a terminal; nothing that was typed is shown.
    let output = at_a_terminal(&place, &address, (password, &uri), "true");
    assert!(output.status.success(), "{}", told(&output));
    for expected in ["nothing else tells of this key", "Template linux-passwd: it is Linux", "[device.web1]"] {
        assert!(told(&output).contains(expected), "{expected}: {}", told(&output));
    }
    assert!(!told(&output).contains(password) && !told(&output).contains(seed));
    assert_eq!(place.rotate("web1/alice").0, "done");

    // A wrong password is told at the first login, and what others have on record of the key is shown.
    let from = settings(&place, &lab, "alice", "");
    let text = fs::read_to_string(&from).unwrap().replace(password, "Wrong-1-password");
    fs::write(&from, text).unwrap();
    let args = ["device", "add", "web2", &address, "--from", &from, "--host-key", &lab.fingerprint, "--yes"];
    let refused = place.ctl(&args, "");
    assert_eq!(refused.status.code(), Some(4), "{}", told(&refused));
    assert!(told(&refused).contains("on record for web1") && !told(&refused).contains("Wrong-1"), "{}", told(&refused));
    assert!(!Path::new(&place.path("config.d/web2.toml")).exists());
}

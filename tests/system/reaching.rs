//! Reaching a real OpenSSH: one that has only algorithms of old, one that has no room, one whose texts are not UTF-8, one without PAM, one that
//! speaks before it asks, and one that takes no logins for a while.

use std::io::Read;
use std::net::TcpStream;

use crate::lab::{Lab, Place};

/// What `verify` of the lab's user says, and its exit status.
fn verify(place: &Place) -> (String, i32) {
    let output = place.ctl(&["verify", "web1/user1"], "");
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&said).into_owned(), output.status.code().unwrap())
}

#[test]
fn algorithms_of_old_reach_a_real_server_and_without_them_the_hint_names_what_it_offers() {
    let old = "KexAlgorithms diffie-hellman-group1-sha1\nCiphers 3des-cbc\nMACs hmac-sha1";
    let lab = Lab::with("user1", &[("SSHD", old)]);
    let place = Place::new(&lab.sections("web1", "linux-passwd", ""));
    let daemon = place.daemon();
    place.import("web1", &lab);
    let (said, _) = verify(&place);
    let hint =
        "no key exchange in common; the device offers only diffie-hellman-group1-sha1; set legacy_algorithms = true";
    assert!(said.contains(hint), "{said}");
    daemon.stop();
    place.configure(&lab.sections("web1", "linux-passwd", "legacy_algorithms = true"));
    let daemon = place.daemon();
    let (said, exit) = verify(&place);
    assert_eq!(exit, 0, "{said}");
    daemon.stop();
}

#[test]
fn a_server_without_room_is_quoted() {
    let lab = Lab::with("user1", &[("SSHD", "PerSourceMaxStartups 1")]);
    let place = Place::new(&lab.sections("web1", "linux-passwd", ""));
    let daemon = place.daemon();
    place.import("web1", &lab);
    // One connection that does not log in takes all the room. It counts once the server has greeted it.
    let mut other = TcpStream::connect(("127.0.0.1", lab.port)).unwrap();
    other.read_exact(&mut [0; 8]).unwrap();
    let (said, exit) = verify(&place);
    assert!(exit != 0 && said.contains("it said: Exceeded MaxStartups"), "{said}");
    drop(other);
    daemon.stop();
}

#[test]
fn a_text_that_is_not_utf_8_is_told_and_is_no_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let banner = folder.path().join("banner");
    std::fs::write(&banner, b"Zugang nur f\xfcr Befugte\n").unwrap();
    let lab = Lab::with("user1", &[("SSHD", &format!("Banner {}", banner.display()))]);
    let place = Place::new(&lab.sections("web1", "linux-passwd", ""));
    let daemon = place.daemon();
    place.import("web1", &lab);
    let (said, exit) = verify(&place);
    assert!(exit != 0 && said.contains("its text is not UTF-8"), "{said}");
    assert_eq!(place.state("web1/user1"), "idle");
    daemon.stop();
}

#[test]
fn a_server_without_pam_is_reached_by_the_method_that_it_has() {
    // It offers keyboard-interactive all the same, and has nothing to ask.
    let lab = Lab::with("root user1", &[("SSHD", "UsePAM no\nPasswordAuthentication yes")]);
    let place = Place::new(&(lab.sections("lab", "linux-passwd-as-root", "") + "login_as = \"lab/root\"\n"));
    let _daemon = place.daemon();
    let (password, _) = lab.account("root");
    place.must(
        &["import", "-"],
        &format!("account,password\nlab/root,{password}\nlab/user1,{}\n", lab.account("user1").0),
    );
    let (outcome, detail, exit) = place.rotate("lab/user1");
    assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail}");
    let steps = place.json(&["history", "lab/user1"]).0.to_string();
    assert!(steps.contains("login: sent the password"), "{steps}");
}

#[test]
fn a_notice_above_the_question_is_not_the_question() {
    let folder = tempfile::tempdir().unwrap();
    let notice = folder.path().join("notice");
    let text = "Your new password must be entered again.\nPasswords expire; the current code was denied for 3 users: try again.\n";
    std::fs::write(&notice, text).unwrap();
    let lab = Lab::with("user1", &[("PAM", &format!("auth optional pam_echo.so file={}", notice.display()))]);
    let place = Place::new(&lab.sections("lab", "linux-passwd", ""));
    let _daemon = place.daemon();
    place.import("lab", &lab);
    let before = place.password("lab/user1");
    let (outcome, detail, exit) = place.rotate("lab/user1");
    assert_eq!((outcome.as_str(), exit), ("done", 0), "{detail}");
    let new = place.password("lab/user1");
    assert!(new != before && lab.ssh_accepts("user1", &new));
}

#[test]
fn a_host_that_takes_no_logins_for_a_while_has_not_refused_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("nologin");
    let pam = format!("account required pam_nologin.so file={}", closed.display());
    let lab = Lab::with("user1 user2", &[("PAM", &pam)]);
    let place = Place::new(&lab.sections("lab", "linux-passwd", ""));
    let _daemon = place.daemon();
    place.import("lab", &lab);
    // Words of the system are known; those of a person are told, and the password is looked for by itself.
    let systemd = "System is going down. Unprivileged users are not permitted to log in anymore. For technical details, see pam_nologin(8).";
    let own = "Back at six: the database is being moved.";
    for (account, text, ends) in
        [("lab/user1", systemd, ("failed", 4, "idle")), ("lab/user2", own, ("unknown", 5, "uncertain"))]
    {
        let before = place.password(account);
        std::fs::write(&closed, text).unwrap();
        let (outcome, detail, exit) = place.rotate(account);
        assert_eq!((outcome.as_str(), exit, place.state(account).as_str()), ends, "{detail}");
        assert!(detail.contains(text), "the host's words are told: {detail}");
        assert_eq!((place.password(account), place.changes(account)), (before, 0), "{detail}");
    }
    std::fs::remove_file(&closed).unwrap();
    let before = place.password("lab/user1");
    let (outcome, detail, _) = place.rotate("lab/user1");
    assert_eq!(outcome, "done", "{detail}");
    let new = place.password("lab/user1");
    assert!(new != before && lab.ssh_accepts("user1", &new));
}

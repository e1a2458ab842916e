//! Reaching a real OpenSSH: one that has only algorithms of old, one that has no room, and one whose texts are not UTF-8.

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

//! Files of other programs, taken over by `rotorctl import`: shown first, and done as a whole or not at all.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use crate::lab::Place;

const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
/// A program of the environment that `tests/run` makes.
const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/imports/bin");

fn place() -> Place {
    let device = "[device.web1]\naddress = \"192.0.2.10\"\ntemplate = \"linux-passwd\"\n[account.\"web1/admin\"]\n";
    Place::new(device)
}

fn written(place: &Place, name: &str, text: &str) -> String {
    std::fs::write(place.path(name), text).unwrap();
    place.path(name).to_str().unwrap().to_owned()
}

/// Runs an import that has to end well, and returns all that it says.
fn import(place: &Place, args: &[&str], input: &str) -> String {
    let output = place.ctl(&[&["import"], args].concat(), input);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {said}");
    said
}

#[test]
fn a_file_of_another_program_is_shown_first_and_taken_over_as_a_whole() {
    let place = place();
    let daemon = place.daemon();
    let csv = format!(
        "\"Group\",\"Title\",\"Username\",\"Password\",\"URL\",\"Notes\",\"TOTP\"\n\
         \"Net\",\"web1\",\"admin\",\"First-1\",\"ssh://192.0.2.10\",\"\",\"otpauth://totp/x?secret={SEED}\"\n\
         \"Net\",\"core1\",\"netops\",\"First-2\",\"192.0.2.1\",\"\",\"\"\n\
         \"Web\",\"mail\",\"me\",\"First-3\",\"https://mail.example.org\",\"\",\"\"\n"
    );
    let file = written(&place, "vault.csv", &csv);
    let drafted = place.path("config.d/imported-vault.toml");
    let without = import(&place, &[&file], "");
    assert!(without.contains("account web1/admin: password, seed (SHA1, 6 digits, 30 s)"), "{without}");
    assert!(
        without.contains("line 3: the device core1 is not in the config")
            && without.contains("line 4: its address mail.example.org"),
        "{without}"
    );
    assert!(without.contains("others can read") && without.contains("give --apply"), "{without}");
    let shown = import(&place, &[&file, "--template", "linux-passwd"], "");
    assert!(
        shown.contains("device core1 at 192.0.2.1, template linux-passwd")
            && shown.contains("[account.\"core1/netops\"]"),
        "{shown}"
    );
    assert!(
        !place.ctl(&["status", "core1/netops"], "").status.success()
            && !drafted.exists()
            && !place.ctl(&["secret", "show", "web1/admin"], "").status.success()
    );
    let done = import(&place, &[&file, "--template", "linux-passwd", "--apply"], "");
    assert!(
        done.contains("3 secrets are stored") && done.contains("shred -u") && done.contains("rotorctl trust core1"),
        "{done}"
    );
    assert_eq!(
        (place.password("web1/admin").as_str(), place.password("core1/netops").as_str()),
        ("First-1", "First-2")
    );
    assert!(drafted.exists());
    let again = import(&place, &[&file, "--apply"], "");
    assert!(again.contains("3 were stored already"), "{again}");
    for said in [without, shown, done, again] {
        assert!(!said.contains("First-") && !said.contains(SEED), "{said}");
    }
    // What is new comes with its secrets, or not at all.
    let more = written(
        &place,
        "more.csv",
        "title,url,username,password\ncore2,192.0.2.2,netops,First-4\nweb1,,admin,First-9\n",
    );
    std::fs::write(place.path("config.d/broken.toml"), "[device.x]\n").unwrap();
    let refused = place.ctl(&["import", &more, "--template", "linux-passwd", "--apply"], "");
    assert!(!refused.status.success() && !place.path("config.d/imported-more.toml").exists());
    assert_eq!(place.password("web1/admin"), "First-1");
    daemon.stop();
}

#[test]
fn databases_and_moves_are_taken_over() {
    let place = place();
    let daemon = place.daemon();
    for name in ["keepass31.kdbx", "keepass4.kdbx"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/imports").join(name);
        let args = [file.to_str().unwrap(), "--template", "linux-passwd", "--name", "routers"];
        let wrong = place.ctl(&[&["import"], &args[..]].concat(), "wrong\n");
        assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("passphrase"));
        let shown = import(&place, &args, "correct horse\n");
        assert!(
            shown.contains("account core2/admin") && shown.contains("seed (SHA256, 8 digits, 60 s)"),
            "{name}: {shown}"
        );
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/imports/keepass4.kdbx");
    import(&place, &[file.to_str().unwrap(), "--template", "linux-passwd", "--apply"], "correct horse\n");
    assert_eq!(place.password("core4/admin"), "Start-4");
    let vault = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/imports/aegis.json");
    let args = [vault.to_str().unwrap(), "--template", "linux-passwd"];
    let wrong = place.ctl(&[&["import"], &args[..]].concat(), "wrong\n");
    assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("passphrase"));
    let shown = import(&place, &args, "correct horse\n");
    assert!(shown.contains("account core1/admin") && shown.contains("seed (SHA256, 6 digits, 30 s)"), "{shown}");
    let moved =
        "otpauth-migration://offline?data=Ci4KFDEyMzQ1Njc4OTAxMjM0NTY3ODkwEgp3ZWIxOmFkbWluGgR3ZWIxIAEoATACEAEYASAA\n";
    let said = import(&place, &[&written(&place, "moved.txt", moved), "--apply"], "");
    assert!(said.contains("1 secret is stored"), "{said}");
    daemon.stop();
}

/// A key that `ssh-keygen` makes, and its fingerprint as `ssh-keygen -l` has it.
fn host_key(place: &Place, name: &str, kind: &str) -> (String, String) {
    let file = place.path(name);
    let keygen = |args: &[&str]| {
        let output = Command::new("ssh-keygen").args(args).arg("-f").arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    keygen(&["-q", "-t", kind, "-N", "", "-C", ""]);
    let told = keygen(&["-l"]);
    let key = std::fs::read_to_string(file.with_extension("pub")).unwrap().trim().to_owned();
    (key, told.split(' ').nth(1).unwrap().to_owned())
}

/// A request to the daemon by hand: status and body.
fn ask(place: &Place, what: &str, body: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(place.path("socket")).unwrap();
    let head = "Host: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length";
    write!(stream, "{what} HTTP/1.1\r\n{head}: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn a_host_key_comes_on_record_by_an_import_and_another_one_only_if_it_is_named() {
    let devices = "[device.web1]\naddress = \"192.0.2.10\"\ntemplate = \"linux-passwd\"\n[account.\"web1/admin\"]\n\
        [device.web2]\naddress = \"192.0.2.10:2222\"\ntemplate = \"linux-passwd\"\n[account.\"web2/admin\"]\n";
    let place = Place::new(devices);
    let daemon = place.daemon();
    let ((first, first_print), (other, other_print)) =
        (host_key(&place, "first", "ed25519"), host_key(&place, "other", "ecdsa"));
    let hosts = written(&place, "hosts", &format!("192.0.2.10 {first}\nweb2 {first}\nelsewhere {first}\n"));
    // As OpenSSH keeps it where HashKnownHosts is set.
    let hashed = Command::new("ssh-keygen").args(["-H", "-f", &hosts]).output().unwrap();
    assert!(hashed.status.success() && !std::fs::read_to_string(&hosts).unwrap().contains("192.0.2.10"));
    let line = format!("host key of web1: ssh-ed25519 {first_print}");
    let shown = import(&place, &[&hosts], "");
    assert!(shown.contains(&line) && !shown.contains("host key of web2:") && shown.contains("give --apply"), "{shown}");
    let recorded = |device: &str| {
        let (_, answer) = ask(&place, &format!("GET /v1/device?device={device}"), "");
        serde_json::from_str::<serde_json::Value>(&answer).unwrap()["host_keys"].to_string()
    };
    assert_eq!(recorded("web1"), "[]");
    let done = import(&place, &[&hosts, "--apply"], "");
    assert!(done.contains("1 host key is trusted") && done.contains(&format!("{line} is trusted")), "{done}");
    let (log, _) = place.json(&["audit", "tail"]);
    assert!(log.to_string().contains(&format!("{first_print}; import\"")), "{log}");
    let again = import(&place, &[&hosts, "--apply"], "");
    assert!(again.contains("is on record already"), "{again}");

    let hosts = written(&place, "changed", &format!("192.0.2.10 {other}\n[192.0.2.10]:2222 {other}\n"));
    let done = import(&place, &[&hosts, "--apply"], "");
    assert!(done.contains("host key of web2: ecdsa-sha2-nistp256") && done.contains("1 host key is trusted"), "{done}");
    let named = format!("web1={other_print}");
    assert!(
        done.contains("the host key of web1 has CHANGED") && done.contains(&format!("--accept-key {named}")),
        "{done}"
    );
    assert_eq!(recorded("web1"), format!("[\"{first_print}\"]"));
    let refused = place.ctl(&["import", &hosts, "--apply"], "");
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stdout).contains("CHANGED"),
        "nothing else is in it"
    );
    let mistyped = place.ctl(&["import", &hosts, "--apply", "--accept-key", &format!("web1={first_print}")], "");
    assert!(String::from_utf8_lossy(&mistyped.stderr).contains("the file has no such key"));
    // The daemon does not take the client's word: not where nothing was seen on record, and not where another key was.
    for seen in [vec![], vec![other_print.as_str()]] {
        let body =
            serde_json::json!({ "rows": [], "host_keys": [{ "device": "web1", "key": other, "on_record": seen }] });
        let (status, answer) = ask(&place, "POST /v1/import", &body.to_string());
        assert!(status == 409 && answer.contains("CHANGED") && answer.contains(&first_print), "{status} {answer}");
    }
    assert_eq!(recorded("web1"), format!("[\"{first_print}\"]"));
    let (done, exit) = place.json(&["import", &hosts, "--apply", "--accept-key", &named]);
    assert!(exit == 0 && done["host_keys"][0]["fingerprint"] == other_print.as_str(), "{done}");
    assert!(recorded("web1").contains(&first_print) && recorded("web1").contains(&other_print));
    let (log, _) = place.json(&["audit", "tail"]);
    assert!(log.to_string().contains(&format!("{other_print}; import; CHANGED: on record was {first_print}")), "{log}");
    daemon.stop();
}

#[test]
fn an_inventory_that_ansible_prints_becomes_devices_and_accounts() {
    let place = place();
    let inventory = "[net]\ncore1 ansible_host=192.0.2.1 ansible_connection=ansible.netcommon.network_cli ansible_network_os=cisco.ios.ios\n\
        core2 ansible_host=192.0.2.2 ansible_ssh_common_args='-o ProxyJump=admin@web1' ansible_password=First-2\n\
        [net:vars]\nansible_user=netops\n[windows]\nwin1 ansible_connection=winrm\n";
    let inventory = written(&place, "inventory.ini", inventory);
    let program = format!("{TOOLS}/ansible-inventory");
    let printed = Command::new(&program).args(["-i", &inventory, "--list"]).output();
    let printed = printed.unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"));
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let file = written(&place, "inventory.json", &String::from_utf8_lossy(&printed.stdout));
    let daemon = place.daemon();
    let done = import(&place, &[&file, "--apply"], "");
    assert!(
        done.contains("new devices: 2, new accounts: 2") && done.contains("host win1: it is reached by winrm"),
        "{done}"
    );
    let text = std::fs::read_to_string(place.path("config.d/imported-inventory.toml")).unwrap();
    assert!(text.contains("[device.core1]\naddress = \"192.0.2.1\"\ntemplate = \"cisco-ios\"\n"), "{text}");
    assert!(
        text.contains("[device.core2]\naddress = \"192.0.2.2\"\njump = \"web1\"\ntemplate = \"linux-passwd\"\n"),
        "{text}"
    );
    assert_eq!(place.password("core2/netops"), "First-2");
    daemon.stop();
}

//! Files of other programs, taken over by `rotorctl import`: shown first, and done as a whole or not at all.

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
fn databases_moves_and_host_keys_are_taken_over() {
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
    let moved =
        "otpauth-migration://offline?data=Ci4KFDEyMzQ1Njc4OTAxMjM0NTY3ODkwEgp3ZWIxOmFkbWluGgR3ZWIxIAEoATACEAEYASAA\n";
    let said = import(&place, &[&written(&place, "moved.txt", moved), "--apply"], "");
    assert!(said.contains("1 secret is stored"), "{said}");
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPs/6FBIFSpSk6NrwiDDSpQMsCxpyGGYYyfGRVM6qxu+";
    let hosts = written(&place, "hosts", &format!("192.0.2.10 {key}\nother {key}\n"));
    let (shown, _) = place.json(&["import", &hosts]);
    let fingerprint = shown["host_keys"][0]["fingerprint"].as_str().unwrap().to_owned();
    let said = import(&place, &[&hosts, "--apply"], "");
    assert!(said.contains("1 host key is trusted") && fingerprint.starts_with("SHA256:"), "{said}");
    let (log, _) = place.json(&["audit", "tail"]);
    assert!(log.to_string().contains(&format!("{fingerprint}; import")), "{log}");
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

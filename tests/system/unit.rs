//! The unit for systemd is sound, and forbids nothing that the daemon does.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::lab::{Lab, Place};

fn unit() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/rotord.service")).unwrap()
}

/// The words behind a setting of the unit.
fn setting(name: &str) -> Vec<String> {
    let unit = unit();
    let line = unit.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

/// The system calls of a group, with those of the groups in it (systemd.exec(5), SystemCallFilter=).
fn calls(name: &str, all: &mut BTreeSet<String>) {
    if !name.starts_with('@') {
        all.insert(name.to_owned());
        return;
    }
    let output = Command::new("systemd-analyze").args(["syscall-filter", name]).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    for call in text.lines().skip(1).map(str::trim).filter(|call| !call.is_empty() && !call.starts_with('#')) {
        calls(call, all);
    }
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rotord.service");
    fs::write(&path, unit().replace("/usr/bin/rotord", env!("CARGO_BIN_EXE_rotord"))).unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg(&path).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let ours: Vec<&str> = told.lines().filter(|line| line.contains("rotord")).collect();
    assert!(output.status.success() && ours.is_empty(), "{told}");
    assert_eq!(setting("ExecStart")[0], "/usr/bin/rotord");
    assert_eq!(setting("RestartPreventExitStatus"), ["2", "10", "11", "12"]);
    assert_eq!(setting("RuntimeDirectoryPreserve"), ["yes"]);
}

#[test]
fn the_unit_allows_each_system_call_that_the_daemon_makes() {
    let lab = Lab::start("alice");
    let place = Place::new(&lab.sections("web", "linux-passwd", ""));
    let trace = place.path("trace");
    let daemon = place.daemon_with(&["strace", "-f", "-qq", "-o", trace.to_str().unwrap()], &[]);
    place.import("web", &lab);
    assert_eq!(place.rotate("web/alice").0, "done");
    place.must(&["backup", place.path("backup").to_str().unwrap()], "a passphrase\na passphrase\n");
    place.must(&["status"], "");
    place.must(&["audit", "verify"], "");
    daemon.signal("HUP");
    place.must(&["verify", "web/alice"], "");
    daemon.stop();
    let (families, mut allowed) = (setting("RestrictAddressFamilies"), BTreeSet::new());
    setting("SystemCallFilter").iter().for_each(|name| calls(name, &mut allowed));
    let (mut made, mut wrong) = (BTreeSet::new(), BTreeSet::new());
    for line in fs::read_to_string(&trace).unwrap().lines() {
        let Some((_, call)) = line.split_once(' ') else { continue };
        let Some((name, arguments)) = call.trim_start().split_once('(') else { continue };
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            continue;
        }
        made.insert(name.to_owned());
        let family = arguments.split(',').next().unwrap_or_default();
        let strange = name == "socket" && !families.iter().any(|known| known == family);
        let writes_code = arguments.contains("PROT_WRITE") && arguments.contains("PROT_EXEC");
        if !allowed.contains(name) || strange || writes_code {
            wrong.insert(call.to_owned());
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for used in ["mlockall", "clock_adjtime", "fdatasync", "accept4", "getrandom"] {
        assert!(made.contains(used), "{used}: {made:?}");
    }
}

/// What an administrator does with the service, in the lab's own system; what is seen goes to files.
const TRIAL: &str = r#"
cd /exchange
trap 'journalctl --no-pager -o cat -u rotord > journal' EXIT
until rotorctl status > status.new; do sleep 0.1; done
rotorctl import accounts.csv
rotorctl rotate web/alice --json > first.json
ls -ld /var/lib/rotord /run/rotord/control.sock > modes
ps -o user= -p "$(systemctl show -p MainPID --value rotord)" > user
grep -E '^(NoNewPrivs|Seccomp|CapEff):' "/proc/$(systemctl show -p MainPID --value rotord)/status" > sandbox
rotorctl rotate web/alice --no-wait
until rotorctl status | grep -E ' (sent|verifying) '; do sleep 0.02; done
systemctl kill --signal=KILL rotord
until [ "$(systemctl show -p NRestarts --value rotord)" = 1 ] && rotorctl status | grep ' idle '; do sleep 0.2; done
rotorctl status --json > status.json
rotorctl secret show web/alice --json > secret.json
systemctl show -p StatusText --value rotord > status-text
echo 'nonsense = 1' >> /etc/rotord/rotord.toml
systemctl reload rotord && echo accepted > reload-accepted
systemctl kill --signal=HUP rotord
until rotorctl status --json | grep nonsense > refused.json; do sleep 0.1; done
systemctl is-active rotord > still
systemctl restart rotord || true
systemctl show -p ActiveState --value rotord > failed
sed -i /nonsense/d /etc/rotord/rotord.toml
systemctl start rotord
rotorctl verify web/alice
systemctl stop rotord
systemctl show -p Result --value rotord > stopped
systemctl start rotord
rotorctl key rotate /etc/rotord/next.key
ls -l /etc/rotord/next.key > next
systemctl stop rotord
mv /etc/rotord/next.key /etc/rotord/vault.key
chown root: /etc/rotord/vault.key
systemctl start rotord || chown rotord: /etc/rotord/vault.key
# It was started more often than anybody does within seconds.
systemctl reset-failed rotord
systemctl start rotord
printf 'a passphrase\na passphrase\n' | rotorctl backup /root/backup
systemctl stop rotord
mkdir /root/former
mv /var/lib/rotord/* /root/former/
echo 'a passphrase' | rotord restore /root/backup
ls -l /var/lib/rotord > restored
systemctl start rotord
until rotorctl status --json | tee back.json | grep '"idle"'; do sleep 0.2; done
systemctl stop rotord
mv /etc/rotord/vault.key /root/rotord.key
chown root: /root/rotord.key
printf '[vault]\nsystemd_credential = "rotord.key"\n' >> /etc/rotord/rotord.toml
mkdir /etc/systemd/system/rotord.service.d
printf '[Service]\nLoadCredential=rotord.key:/root/rotord.key\nWatchdogSec=2\n' > /etc/systemd/system/rotord.service.d/local.conf
systemctl daemon-reload
systemctl start rotord
rotorctl verify web/alice --json > credential.json
systemctl kill --signal=STOP rotord
until [ "$(systemctl show -p NRestarts --value rotord)" = 1 ] && rotorctl status | grep ' idle '; do sleep 0.2; done
journalctl --no-pager -o cat -u rotord ROTORD_ACCOUNT=web/alice > journal.alice
"#;

#[test]
fn the_service_works_is_restarted_and_stops_under_a_real_systemd() {
    let lab = Lab::start("alice");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let read = |name: &str| fs::read_to_string(path(name)).unwrap_or_default();
    let json = |name: &str| serde_json::from_str::<Value>(&read(name)).unwrap_or_default();
    // By its name, since names are resolved inside the sandbox too.
    let sections = lab.sections("web", "linux-passwd", "").replace("127.0.0.1", "localhost");
    fs::write(path("rotord.toml"), sections).unwrap();
    let (first, seed) = lab.account("alice");
    let seed = format!("otpauth://totp/x?secret={seed}&period={}", lab.step);
    fs::write(path("accounts.csv"), format!("account,password,totp\nweb/alice,{first},{seed}\n")).unwrap();
    fs::write(path("trial"), TRIAL).unwrap();
    let source = env!("CARGO_MANIFEST_DIR");
    let output = Command::new("timeout")
        .args(["--kill-after=10", "300"])
        .arg(Path::new(source).join("tests/lab/booted.sh"))
        .env("DIR", folder.path())
        .env("ROTORD", env!("CARGO_BIN_EXE_rotord"))
        .env("ROTORCTL", env!("CARGO_BIN_EXE_rotorctl"))
        .env("SOURCE", source)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let log = format!("{told}\n{}\n{}", read("trial.log"), read("journal"));
    assert_eq!(read("stopped").trim(), "success", "{log}");
    assert_eq!(json("first.json")["results"][0]["outcome"], "done", "{log}");
    let modes = read("modes");
    assert!(modes.contains("drwx------") && modes.contains("rotord rotord"), "{modes}");
    assert_eq!(read("user").trim(), "rotord");
    let sandbox = read("sandbox");
    assert!(sandbox.contains("NoNewPrivs:\t1") && sandbox.contains("Seccomp:\t2"), "{sandbox}");
    assert!(sandbox.contains("CapEff:\t0000000000000000"), "{sandbox}");
    let account = &json("status.json")["accounts"][0];
    assert_eq!(account["changes_24h"], 2, "{log}");
    assert!(lab.ssh_accepts("alice", json("secret.json")["password"].as_str().unwrap()), "{log}");
    assert!(!path("reload-accepted").exists() && log.contains("unknown key 'nonsense'"), "the reload fails: {log}");
    assert!(read("refused.json").contains("config_error") && read("still").trim() == "active", "{log}");
    assert_eq!(read("failed").trim(), "failed", "what only a person can mend is not tried again: {log}");
    assert_eq!(read("status-text").trim(), "1 account, 0 jobs", "{log}");
    assert!(read("next").starts_with("-rw------- 1 rotord rotord"), "{}", read("next"));
    let theirs = read("restored").lines().filter(|line| line.contains(" rotord rotord ")).count();
    assert!(theirs == 2 && !read("restored").contains(" root "), "{}\n{log}", read("restored"));
    assert_eq!(json("back.json")["accounts"][0]["state"], "idle", "{log}");
    assert_eq!(json("credential.json")["results"][0]["outcome"], "done", "{log}");
    for told in ["Watchdog timeout", "chown rotord /etc/rotord/vault.key"] {
        assert!(read("journal").contains(told), "{told}: {log}");
    }
    assert!(read("journal.alice").contains("password changed and verified"), "{log}");
}

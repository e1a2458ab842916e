//! The unit for systemd is sound, and forbids nothing that the daemon does.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::{Lab, Place};
use crate::machine::Machine;
use crate::site::{TEMPLATE, Web, rows};

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn unit() -> String {
    fs::read_to_string(source("systemd/rotord.service")).unwrap()
}

/// The words behind each line of a setting of the unit.
fn settings(name: &str) -> Vec<Vec<String>> {
    let unit = unit();
    let lines = unit.lines().filter_map(|line| line.strip_prefix(&format!("{name}=")));
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

fn setting(name: &str) -> Vec<String> {
    settings(name).concat()
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
    for line in settings("SystemCallFilter") {
        let mut named = BTreeSet::new();
        line.iter().for_each(|name| calls(name.trim_start_matches('~'), &mut named));
        match line[0].strip_prefix('~') {
            Some(_) => allowed.retain(|call| !named.contains(call)),
            None => allowed.extend(named),
        }
    }
    // Refused there without harm: rotorctl asks the kernel for the clock instead, and SQLite gives its files to another user as root only.
    allowed.extend(["adjtimex", "clock_adjtime", "fchown"].map(str::to_owned));
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

#[test]
fn the_service_works_is_restarted_and_stops_under_a_real_systemd() {
    let machine = Machine::new();
    let log = machine.run(&fs::read_to_string(source("tests/lab/trials/service")).unwrap());
    let (read, json) = (|name: &str| machine.read(name), |name: &str| machine.json(name));
    assert_eq!(read("verify"), "", "systemd-analyze verify is silent");
    let exposure = read("security").lines().last().and_then(|line| line.split(": ").nth(1)).map(str::to_owned);
    let exposure: f64 = exposure.unwrap().split_whitespace().next().unwrap().parse().unwrap();
    assert!(exposure <= 1.3, "{}", read("security"));
    assert_eq!(json("first.json")["results"][0]["outcome"], "done", "{log}");
    let modes = read("modes");
    assert!(modes.contains("drwx------") && modes.contains("rotord rotord"), "{modes}");
    assert_eq!(read("user").trim(), "rotord");
    let sandbox = read("sandbox");
    assert!(sandbox.contains("NoNewPrivs:\t1") && sandbox.contains("Seccomp:\t2"), "{sandbox}");
    assert!(sandbox.contains("CapEff:\t0000000000000000"), "{sandbox}");
    assert_eq!(read("status-text").trim(), "2 accounts, 0 jobs", "{log}");
    let account = |name: &str, index: usize| json(name)["accounts"][index].clone();
    assert_eq!(account("status.json", 0)["changes_24h"], 2, "{log}");
    // The kernel's word on the clock comes through rotorctl, since the daemon may not ask for it.
    let synchronised = read("synchronised").trim() == "yes";
    assert_eq!(json("status.json")["clock_warning"].is_null(), synchronised, "{}", read("status.json"));

    assert!(log.contains("unknown key 'nonsense'"), "the reload fails: {log}");
    assert!(read("refused.json").contains("config_error"), "{log}");
    assert_eq!(read("refused-text").trim(), "the new config is refused; the old one is in force");
    assert_eq!(read("failed").trim(), "0 failed", "what only a person can mend is not tried again: {log}");
    assert!(read("reloaded").contains("Europe/Berlin"), "a reload returns once the config is in force: {log}");

    // The exporter: a user of its own in a sandbox of its own, which sees the clock that the daemon's own may not.
    assert_eq!(read("exporter.user").trim(), "rotord-exporter", "{log}");
    let sandbox = read("exporter.sandbox");
    assert!(sandbox.contains("NoNewPrivs:\t1") && sandbox.contains("Seccomp:\t2"), "{sandbox}");
    assert!(sandbox.contains("CapEff:\t0000000000000000"), "{sandbox}");
    for name in ["exporter", "exporter.after-boot"] {
        let scraped = read(name);
        assert!(scraped.starts_with("HTTP/1.1 200") && scraped.contains("\nrotord_clock_synchronised "), "{scraped}");
    }
    assert!(read("exporter.without-daemon").starts_with("HTTP/1.1 503"), "{}", read("exporter.without-daemon"));

    let early = account("stopped-early.json", 0);
    assert_eq!((&early["state"], &early["changes_24h"]), (&"idle".into(), &0.into()), "{log}");
    let late = account("stopped-late.json", 0);
    assert_eq!((&late["state"], &late["changes_24h"]), (&"idle".into(), &1.into()), "{log}");
    assert_eq!(read("stopped").trim(), "success", "{log}");

    assert!(read("next").starts_with("-rw------- 1 rotord rotord"), "{}", read("next"));
    let theirs = read("restored").lines().filter(|line| line.contains(" rotord rotord ")).count();
    assert!(theirs == 2 && !read("restored").contains(" root "), "{}\n{log}", read("restored"));
    for key in ["credential.json", "sealed.json", "after-boot.json", "by-socket.json"] {
        assert_eq!(json(key)["results"][0]["outcome"], "done", "{key}: {log}");
    }
    assert_eq!(json("after-boot.audit.json")["ok"], true, "{log}");
    for told in ["Watchdog timeout", "chown rotord /etc/rotord/vault.key"] {
        assert!(read("journal.1").contains(told), "{told}: {log}");
    }
    assert!(read("journal.account").contains("password changed and verified"), "{log}");
}

#[test]
fn the_browser_s_service_gives_the_daemon_browsers_under_a_real_systemd() {
    let (web, machine) = (Web::start(), Machine::new());
    web.reached_by(&machine.path("site"));
    let section = web.section(&machine.path(""), "").replace("authority.pem", "/etc/rotord/authority.pem");
    machine.write("config", &format!("[daemon]\ntimezone = \"UTC\"\n{section}"));
    machine.write("site.template", TEMPLATE);
    machine.write("rows", &rows());
    machine.write("port", &web.port.to_string());
    let log = machine.run(&fs::read_to_string(source("tests/lab/trials/browser")).unwrap());
    let (read, json) = (|name: &str| machine.read(name), |name: &str| machine.json(name));
    let told = format!("{}\n{}\n{log}", read("history"), read("browser.log"));
    assert_eq!(read("verify"), "", "systemd-analyze verify is silent");
    assert_eq!(json("rotated.json")["results"][0]["outcome"], "done", "{told}");
    assert_eq!(web.site().changes, 1);
    assert_eq!(read("active").trim(), "active", "{told}");
    assert!(!["root", "rotord"].contains(&read("user").trim()), "{}", read("user"));
    // Three folders, and nothing in them.
    assert!(read("seen").lines().all(|line| line.is_empty() || line.ends_with(':')), "{}", read("seen"));
    assert_eq!(read("links").lines().count(), 1, "{}", read("links"));
    assert_eq!(json("after-kill.json")["results"][0]["outcome"], "done", "{told}");
}

//! A healthy host has no finding, and each planted fault has the one that names it, and no other.

use std::collections::BTreeSet;

use super::facts::{Advisory, ConfigFacts, ConfigProblem, DaemonFacts, Facts, FolderFacts, HostFacts, LoginFacts};
use super::findings::findings;
use crate::control::{AccountFacts, AccountStatus, CheckupBody, DeviceFacts, JobFacts, StatusBody, VerifyBody};

/// 30 November 2026, noon.
const NOW: i64 = 1_796_040_000_000;

fn days_ago(days: i64) -> Option<String> {
    Some(crate::model::rfc3339(NOW - days * 86_400_000))
}

fn folder(path: &str, disk: u64) -> Option<FolderFacts> {
    Some(FolderFacts {
        path: path.into(),
        exists: true,
        mode: 0o700,
        disk,
        free_mib: 100_000,
        free_percent: 60,
        free_inodes_percent: 90,
    })
}

fn healthy() -> Facts {
    let account = AccountStatus {
        waiting: None,
        account: "web1/admin".into(),
        state: "idle".into(),
        last_change: days_ago(1),
        next_run: days_ago(-1),
        changes_24h: 1,
        cap: 2,
        last_error: None,
        verify_error: None,
        warning: None,
        overdue: false,
        totp_skew: 0,
    };
    let stored = AccountFacts {
        account: "web1/admin".into(),
        password: true,
        ssh_key: false,
        seed_period: Some(30),
        seed_error: None,
        missing: None,
        helpless_login: None,
        jobs: vec!["nightly".into()],
        after: None,
    };
    let device = DeviceFacts {
        device: "web1".into(),
        host: "192.0.2.10".into(),
        tried: true,
        error: None,
        fingerprint: Some("SHA256:a".into()),
        known: vec!["SHA256:a".into()],
        has_known_hosts: false,
        misfit: None,
        template: "linux-passwd".into(),
        template_sha256: Some("ab".into()),
        unproven: false,
    };
    let job = JobFacts {
        job: "nightly".into(),
        rotates: true,
        next: days_ago(-1),
        runs_24h: 1,
        cap: 2,
        accounts: 1,
        paused: false,
    };
    let mut facts = Facts {
        now: NOW,
        version: "0.1.0".into(),
        config: ConfigFacts::default(),
        host: HostFacts::default(),
        daemon: Err(String::new()),
        logins: Vec::new(),
        advisories: Vec::new(),
    };
    facts.config.file = "/etc/rotord/rotord.toml".into();
    facts.config.accounts = Some(vec!["web1/admin".into()]);
    facts.config.templates.insert("web1".into(), "ab".into());
    facts.host.clock_synchronised = Some(true);
    facts.host.key_owner = Some(("/etc/rotord/vault.key".into(), 998, 998));
    facts.host.state = folder("/var/lib/rotord", 1);
    facts.host.escrow = folder("/mnt/other-disk/rotord", 2);
    facts.host.enabled = Some(true);
    facts.host.programs.insert("chromium".into(), Some("140.0.7339.207".into()));
    facts.host.programs.insert("chromedriver".into(), Some("140.0.7339.207".into()));
    facts.daemon = Ok(DaemonFacts {
        status: StatusBody { accounts: vec![account], ..StatusBody::default() },
        audit: VerifyBody { ok: true, events: 10, first_bad: None, why: None },
        checkup: CheckupBody {
            version: "0.1.0".into(),
            config_file: "/etc/rotord/rotord.toml".into(),
            since: days_ago(90),
            last_backup: days_ago(1),
            accounts: vec![stored],
            devices: vec![device],
            jobs: vec![job],
        },
    });
    facts.logins = vec![LoginFacts { account: "web1/admin".into(), done: true, detail: String::new() }];
    facts.advisories = vec![
        Advisory { program: "rotord".into(), fixed_in: "0.1.0".into(), id: "X".into(), what: "old".into() },
        Advisory { program: "chromium".into(), fixed_in: "140.0.7339.185".into(), id: "Y".into(), what: "old".into() },
    ];
    facts
}

/// A fault, and how it is planted.
type Planted = (&'static str, fn(&mut Facts));

fn daemon(facts: &mut Facts) -> &mut DaemonFacts {
    facts.daemon.as_mut().unwrap()
}

fn status(facts: &mut Facts) -> &mut StatusBody {
    &mut daemon(facts).status
}

fn account(facts: &mut Facts) -> &mut AccountStatus {
    &mut status(facts).accounts[0]
}

fn stored(facts: &mut Facts) -> &mut AccountFacts {
    &mut daemon(facts).checkup.accounts[0]
}

fn device(facts: &mut Facts) -> &mut DeviceFacts {
    &mut daemon(facts).checkup.devices[0]
}

fn job(facts: &mut Facts) -> &mut JobFacts {
    &mut daemon(facts).checkup.jobs[0]
}

fn problem(facts: &mut Facts, code: &str, error: bool) {
    facts.config.problems.push(ConfigProblem {
        error,
        code: code.into(),
        place: "rotord.toml:3".into(),
        message: "this host has no user \"alcie\"".into(),
    });
}

const FAULTS: &[Planted] = &[
    ("config-error", |facts| problem(facts, "C002", true)),
    ("config-warning", |facts| problem(facts, "C017", false)),
    ("config-permissions", |facts| problem(facts, "C013", true)),
    ("config-names-nothing", |facts| problem(facts, "C010", false)),
    ("clock-unsynchronised", |facts| facts.host.clock_synchronised = Some(false)),
    ("clock-off", |facts| status(facts).clock_warning = Some("2 of 3 devices".into())),
    ("vault-key", |facts| facts.host.key_error = Some("others can read it".into())),
    ("vault-key-owner", |facts| facts.host.key_owner = Some(("/etc/rotord/vault.key".into(), 0, 998))),
    ("vault-key-owner", |facts| facts.host.key_owner = Some(("/etc/rotord/vault.key".into(), 1000, 998))),
    ("state-mode", |facts| facts.host.state.as_mut().unwrap().mode = 0o755),
    ("disk-space", |facts| facts.host.state.as_mut().unwrap().free_mib = 100),
    ("disk-space", |facts| facts.host.escrow.as_mut().unwrap().free_percent = 1),
    ("disk-inodes", |facts| facts.host.state.as_mut().unwrap().free_inodes_percent = 1),
    ("escrow-absent", |facts| facts.host.escrow.as_mut().unwrap().exists = false),
    ("escrow-same-disk", |facts| facts.host.escrow.as_mut().unwrap().disk = 1),
    ("escrow-unwritable", |facts| status(facts).escrow_error = Some("read-only".into())),
    ("unit-disabled", |facts| facts.host.enabled = Some(false)),
    ("browser-absent", |facts| drop(facts.host.programs.insert("chromedriver".into(), None))),
    ("browser-driver", |facts| drop(facts.host.programs.insert("chromedriver".into(), Some("139.0.1".into())))),
    ("daemon-absent", |facts| facts.daemon = Err("connection refused".into())),
    ("version-old", |facts| daemon(facts).checkup.version = "0.0.9".into()),
    ("config-other", |facts| daemon(facts).checkup.config_file = "/srv/rotord.toml".into()),
    ("config-not-in-force", |facts| facts.config.accounts = Some(vec!["web1/admin".into(), "web2/admin".into()])),
    ("config-refused", |facts| status(facts).config_error = Some("it has errors".into())),
    ("vault-unwritable", |facts| status(facts).vault_error = Some("disk full".into())),
    ("notifier-failing", |facts| status(facts).notify_error = Some("it answers 500".into())),
    ("logins-held", |facts| status(facts).logins_held = Some("held back".into())),
    ("audit-broken", |facts| daemon(facts).audit = VerifyBody { ok: false, events: 3, first_bad: Some(2), why: None }),
    ("audit-finding", |facts| status(facts).audit_finding = Some("rewritten".into())),
    ("backup-old", |facts| daemon(facts).checkup.last_backup = days_ago(30)),
    ("backup-none", |facts| daemon(facts).checkup.last_backup = None),
    ("quarantined", |facts| account(facts).state = "quarantined".into()),
    ("uncertain", |facts| account(facts).state = "uncertain".into()),
    ("last-error", |facts| account(facts).last_error = Some("unreachable".into())),
    ("overdue", |facts| account(facts).overdue = true),
    ("unclean", |facts| account(facts).warning = Some("not saved".into())),
    ("device-clock", |facts| account(facts).totp_skew = 3),
    ("secret-absent", |facts| stored(facts).password = false),
    ("secret-incomplete", |facts| stored(facts).missing = Some("[#ENABLE#] has no value".into())),
    ("login-absent", |facts| stored(facts).helpless_login = Some("web1/root".into())),
    ("seed-unreadable", |facts| {
        stored(facts).seed_period = None;
        stored(facts).seed_error = Some("no Base32".into());
    }),
    ("seed-period", |facts| stored(facts).seed_period = Some(3000)),
    ("no-job", |facts| stored(facts).jobs.clear()),
    ("device-unreachable", |facts| {
        device(facts).error = Some("no route to host".into());
        device(facts).fingerprint = None;
    }),
    ("host-key-unknown", |facts| device(facts).known.clear()),
    ("host-key-changed", |facts| device(facts).known = vec!["SHA256:b".into()]),
    ("template-misfit", |facts| device(facts).misfit = Some("it calls itself Cisco".into())),
    ("template-unproven", |facts| device(facts).unproven = true),
    ("template-changed", |facts| device(facts).template_sha256 = Some("cd".into())),
    ("job-never", |facts| {
        job(facts).next = None;
        job(facts).runs_24h = 0;
    }),
    ("job-empty", |facts| job(facts).accounts = 0),
    ("job-storms", |facts| job(facts).runs_24h = 24),
    ("job-held", |facts| job(facts).paused = true),
    ("login-failed", |facts| facts.logins[0].done = false),
    ("advisory", |facts| facts.advisories[0].fixed_in = "0.1.1".into()),
    ("advisory", |facts| facts.advisories[1].fixed_in = "140.0.7339.300".into()),
];

#[test]
fn a_healthy_host_has_no_finding() {
    assert_eq!(findings(&healthy()), []);
}

#[test]
fn each_planted_fault_is_found_and_nothing_else() {
    let kinds: BTreeSet<&str> = FAULTS.iter().map(|(kind, _)| *kind).collect();
    assert!(kinds.len() >= 45, "{}", kinds.len());
    for (kind, plant) in FAULTS {
        let mut facts = healthy();
        plant(&mut facts);
        let found = findings(&facts);
        assert!(found.len() == 1 && found[0].kind == *kind, "{kind}: {found:#?}");
        let finding = &found[0];
        for text in [&finding.about, &finding.what, &finding.why, &finding.command] {
            assert!(!text.trim().is_empty(), "{finding:?}");
        }
        if let Some(words) = finding.command.strip_prefix("rotorctl ") {
            let line = std::iter::once("rotorctl").chain(words.split_whitespace());
            let parsed = crate::cli::command().try_get_matches_from(line);
            let is_help = |error: &clap::Error| error.kind() == clap::error::ErrorKind::DisplayHelp;
            assert!(parsed.as_ref().is_ok() || parsed.as_ref().is_err_and(is_help), "{}", finding.command);
        }
    }
}

#[test]
fn what_is_no_fault_is_none() {
    let harmless: &[fn(&mut Facts)] = &[
        // A young vault needs no backup yet, and neither does one without accounts.
        |facts| {
            daemon(facts).checkup.since = days_ago(0);
            daemon(facts).checkup.last_backup = None;
        },
        |facts| facts.host.escrow = None,
        |facts| facts.host.programs.clear(),
        |facts| facts.host.enabled = None,
        |facts| facts.host.clock_synchronised = None,
        |facts| stored(facts).seed_period = None,
        // What changes after another account needs no job of its own.
        |facts| {
            stored(facts).jobs.clear();
            stored(facts).after = Some("web1/root".into());
        },
        // An authority may vouch for a key that is not listed.
        |facts| {
            device(facts).known.clear();
            device(facts).has_known_hosts = true;
        },
        // A job that verifies is bounded by itself.
        |facts| {
            job(facts).rotates = false;
            job(facts).runs_24h = 24;
        },
    ];
    for (number, plant) in harmless.iter().enumerate() {
        let mut facts = healthy();
        plant(&mut facts);
        assert_eq!(findings(&facts), [], "{number}");
    }
}

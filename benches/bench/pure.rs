//! Pure parts, for instruction counts: each does a fixed piece of work inside [`counted`], at which callgrind begins to count.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rotord::config::Config;
use rotord::dialogue::{
    Input, LoginDialogue, LoginFormat, Run, Values, device_refuses, is_account_level, judges_credentials,
};
use rotord::model::{AccountName, BootId, Masker, Moment, Secret, Trigger};
use rotord::policy::Policy;
use rotord::rotation::{AccountRecord, Admissible, budget_against, changes_against, state_against};
use rotord::schedule::Crontab;
use rotord::template;
use rotord::totp::Seed;

/// What is counted. It stands in no other function, so that its name is in the program.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) {
    black_box(work());
}

/// Each part by its name.
const PARTS: [(&str, fn()); 8] = [
    ("admission", admission),
    ("config", config),
    ("cron", cron),
    ("mask", mask),
    ("matcher", matcher),
    ("template", templates),
    ("totp", totp),
    ("verdicts", verdicts),
];

/// Does the work of a part; without a name, names them all.
pub fn run(name: Option<&str>) -> ExitCode {
    let Some(name) = name else {
        PARTS.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    match PARTS.iter().find(|(known, _)| *known == name) {
        Some((_, part)) => part(),
        None => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}

fn matcher() {
    let text = "set-read-timeout 3600\nexpect \"*Total*ports*shown*#\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"ok\"\n";
    let checked = Arc::new(template::load(Path::new("bench"), text).0.expect("a sound template"));
    let mut run = Run::new(checked, Values::default(), Masker::default());
    let line = b"Gi1/0/24  up  up  full  1000  a-port with a name (and) a [bracket]\r\n";
    let piece: Vec<u8> = line.iter().copied().cycle().take(1024).collect();
    run.handle(0, Input::Start);
    counted(|| {
        for _ in 0..400 {
            black_box(run.handle(1, Input::Output(&piece)));
            black_box(run.deadline());
        }
    });
}

fn mask() {
    let mut masker = Masker::default();
    for n in 0..8 {
        masker.add(&Secret::new(format!("Some.Passw0rd-{n}!x")));
    }
    let text = "login: answered \u{ab}Password: \u{bb} with Some.Passw0rd-3!x, and the device said no\n".repeat(100);
    counted(|| black_box(masker.mask(text.as_str())));
}

fn verdicts() {
    let said = [
        "Permission denied, please try again.",
        "passwd: Authentication token manipulation error",
        "Account locked due to 3 failed logins",
        "Last login: Mon Nov 30 10:00:00 2026 from 192.0.2.7",
        "% Authentication failed",
        "Your account has expired; please contact your system administrator",
    ];
    let name = AccountName::parse("web1/admin").expect("a name");
    counted(|| {
        for _ in 0..50 {
            for text in said {
                black_box((judges_credentials(text), is_account_level(text), device_refuses(text)));
            }
            let mut login = LoginDialogue::new(LoginFormat::default(), Vec::new(), false).named(name.user(), &["web1"]);
            for prompt in ["Password: ", "Verification code: "] {
                if let Ok(plan) = login.round("", &[prompt.to_owned()]) {
                    login.sent(&plan);
                }
            }
        }
    });
}

fn config() {
    let folder = tempfile::tempdir().expect("a folder");
    let templates = folder.path().join("templates");
    std::fs::create_dir(&templates).expect("a folder");
    let passwd = "expect \"$\"\nexec \"passwd\"\nexpect \"password:\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"success\"\n";
    std::fs::write(templates.join("passwd.template"), passwd).expect("a template");
    let mut text =
        "[daemon]\nstate_dir = \"state\"\ntemplate_dirs = [\"templates\"]\n[vault]\nkey_file = \"key\"\n".to_owned();
    for device in 0..100 {
        let _ = writeln!(text, "[device.d{device:03}]\naddress = \"192.0.2.7:22\"\ntemplate = \"passwd\"");
        for user in 0..5 {
            let _ = writeln!(text, "[account.\"d{device:03}/u{user}\"]");
        }
    }
    text.push_str("[job.all]\nschedule = \"0 3 * * *\"\naccounts = [\"*\"]\n");
    let path = folder.path().join("rotord.toml");
    std::fs::write(&path, text).expect("a config");
    counted(|| {
        let (config, problems) = Config::load(&path);
        assert_eq!(config.map(|config| config.accounts.len()), Some(500), "{problems:?}");
    });
}

fn templates() {
    // A copy: the shipped ones may change.
    let text = include_str!("counted.template");
    counted(|| {
        for _ in 0..50 {
            assert!(template::load(Path::new("counted.template"), text).0.is_some());
        }
    });
}

fn totp() {
    counted(|| {
        let uri = "otpauth://totp/web1:admin?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&period=30";
        for step in 0..200 {
            let seed = Seed::parse(uri).expect("a seed");
            black_box(seed.code(50_000_000 + step));
        }
    });
}

fn admission() {
    let (account, policy) = (AccountName::parse("web1/admin").expect("a name"), Policy::default());
    let at = |minutes: i64| Moment {
        wall_ms: 1_700_000_000_000 + minutes * 60_000,
        boot: BootId::from(7),
        since_boot_ms: minutes * 60_000,
    };
    let record = AccountRecord::new(account.as_str(), &at(0));
    let (changes, logins) = ([at(10), at(900)], [at(995), at(998)]);
    counted(|| {
        for minute in 1000..3000 {
            let asked =
                Admissible { account: &account, policy: &policy, trigger: Trigger::Schedule, by_another: false };
            let now = at(minute);
            black_box(state_against(&asked, Some(&record)));
            black_box(changes_against(&asked, &record, &changes, &now));
            black_box(budget_against(&asked, &account, &logins, &now));
        }
    });
}

fn cron() {
    let begin: DateTime<Utc> = DateTime::from_timestamp(1_774_000_000, 0).expect("a time");
    counted(|| {
        for line in ["0 3 * * *", "*/7 1-5 * * MON-FRI", "0 0 1 */3 *", "30 2 * * SUN"] {
            let crontab = Crontab::parse(line).expect("a crontab");
            let mut at = begin;
            for _ in 0..60 {
                at = crontab.next_after(at, chrono_tz::Europe::Berlin).expect("a next one");
            }
        }
    });
}

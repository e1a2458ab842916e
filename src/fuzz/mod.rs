//! Fuzzing of everything that reads what somebody else wrote: the targets, for two engines.
//!
//! The module `engine` mutates known inputs and runs wherever the tests do: a second a target in `tests/run`, FUZZ_SECONDS
//! where that is set. The program in `fuzz/` runs the same targets under libFuzzer, which is guided by coverage.
//! Both run on every file in `fuzz/TARGET/` as well, where findings are kept.
// A target tells what it found by a panic, as a test does.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

#[cfg(test)]
mod engine;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use crate::audit::{Draft, GENESIS, verify_lines};
use crate::cli::input::import_rows;
use crate::config::Config;
use crate::control::{BackupBody, ImportBody, ResolveBody, SecretBody, TrustBody, WorkBody};
use crate::dialogue::{Effect, Input, LoginDialogue, LoginFormat, Run, Screen, Values, Verdict, shown_prompt};
use crate::executor::terminal::KnownHosts;
use crate::model::{AccountName, EventKind, Masker, Secret, Severity};
use crate::recording;
use crate::schedule::Crontab;
use crate::template::{Checked, fix, load};
use crate::totp::Seed;

const LINUX: &str = include_str!("../../templates/linux/linux-sudo-passwd.template");
const CISCO: &str = include_str!("../../templates/cisco/cisco-ios.template");
const CONFIG: &str = include_str!("../../config/rotord.toml");
const RECORDING: &str = include_str!("../../tests/devices/cisco-ios.recording");

const WEB_RECORDING: &str = "@ page a https://[#HOSTNAME#]/\n<form><input name=\"p\"></form>\n@ scene x\n< a\n* [name=p] [#NEW_PASSWORD#]\n> click a\n";

/// Something that reads what somebody else wrote.
pub struct Target {
    /// Its name, and that of the folder with its findings.
    pub name: &'static str,
    /// Inputs to begin with.
    pub seeds: &'static [&'static str],
    /// Words of the format.
    pub words: &'static [&'static str],
    /// Runs it on one input; panics where it breaks a promise.
    pub run: fn(&[u8]),
}

/// All of them.
pub static TARGETS: [Target; 15] = [
    Target {
        name: "screen",
        seeds: &["login: \u{1b}[?2004h$ \r\n", "a\x08b\rc\u{1b}[K\u{1b}[2J\u{1b}[10;10Hx\u{1b}]0;title\x07", "é😀\r\n"],
        words: &["\u{1b}[K", "\u{1b}[1G", "\r", "\n"],
        run: screen,
    },
    Target {
        name: "template",
        seeds: &[LINUX, CISCO],
        words: &[
            "exec ",
            "expect-regex ",
            "\"/",
            "[#NEW_PASSWORD#]",
            "section reconcile\n",
            "set-read-timeout 9e9\n",
            "\\",
            "choose\n",
            "when \"",
            "end-choose\n",
            "(((((a*)*)*)*)*)",
        ],
        run: |bytes| drop(checked(&text(bytes))),
    },
    Target {
        name: "fix",
        seeds: &[LINUX, "exec \"passwd\nexpect \"*word:\" \"\nexec [#NEW_PASSWORD#]\n"],
        words: &["\"", "\r\n", "\u{feff}", "exec ", "expect ", "[#NEW_PASSWORD#]", "\\\""],
        run: fixed,
    },
    Target {
        name: "recording",
        seeds: &[RECORDING, WEB_RECORDING],
        words: &[
            "device> ",
            "send> ",
            "scene ",
            "ends ",
            "[#",
            "#]",
            "\n\n",
            "\n@ ",
            "page a /\n",
            "<a x='",
            "</a>",
            "* #a ",
            "> click ",
        ],
        run: |bytes| {
            let (_, problems) = recording::parse(Path::new("x.recording"), &text(bytes));
            let (_, more) = recording::parse_web(Path::new("x.recording"), &text(bytes));
            problems.iter().chain(&more).for_each(|problem| drop(problem.to_string()));
        },
    },
    Target {
        name: "runner",
        seeds: &[
            "$ ",
            "LC_ALL=C sudo -k passwd ada\r\n[sudo] password for root: ",
            "Verification code: ",
            "New password: Retype new password: ",
            "updated successfully\r\n$ ",
        ],
        words: &[
            "$ ",
            "password: ",
            "code: ",
            "New password: ",
            "Retype: ",
            "successfully",
            "S3cret-New-Pw",
            "try again",
        ],
        run: runner,
    },
    Target {
        name: "prompts",
        seeds: &[
            "Password: ",
            "Verification code: ",
            "Enter PIN+token:",
            "New password:\nRetype",
            "\u{1b}[31mPassword\u{1b}[0m:",
        ],
        words: &["password", "code", "new ", "current ", "token", ":"],
        run: prompts,
    },
    Target {
        name: "known_hosts",
        seeds: &[
            "[127.0.0.1]:2222 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIs5Jb0E2JPNyhCuq5Vq0wqLSAuEnsF4Kv9S9cB1b0pU\n",
            "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= ssh-rsa AAAA\n@revoked * ssh-ed25519 AAAA\n@cert-authority *.example ssh-rsa AAAA",
        ],
        words: &["@revoked ", "!", "*", "|1|", ","],
        run: |bytes| drop(KnownHosts::parse(bytes, "127.0.0.1", 2222)),
    },
    Target {
        name: "import",
        seeds: &["account,password,totp\nweb1/a,S3cret-One,GEZDGNBV\n\"web1/b\",\"S3cret,\"\"Two\",\n"],
        words: &["\"", ",", "\n", "account", "web1/a"],
        run: import,
    },
    Target {
        name: "seeds",
        seeds: &[
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
            "otpauth://totp/A:b?secret=GEZDGNBVGY3TQOJQ&algorithm=SHA256&digits=8&period=60&issuer=%41",
        ],
        words: &["secret=", "&period=0", "&digits=99", "%", "otpauth://", "="],
        run: |bytes| {
            if let Ok(seed) = Seed::parse(&text(bytes)) {
                drop(seed.code(u64::MAX / seed.period() / 2));
                assert!(Seed::parse(seed.to_uri().expose()).is_ok(), "what is stored can be read again");
            }
        },
    },
    Target {
        name: "names",
        seeds: &["web1/admin", "dc1/CORP\\svc@x", "a/-b"],
        words: &["/", " ", "\n", "-", "\u{202e}"],
        run: |bytes| {
            if let Ok(name) = AccountName::parse(&text(bytes)) {
                assert!(!name.user().starts_with('-') && !name.as_str().chars().any(char::is_control));
            }
        },
    },
    Target {
        name: "crontab",
        seeds: &["30 2 * * 1-5", "@daily", "*/7 0-23/2 1,15 jan,jul sun#2", "0 0 29 2 *"],
        words: &["*/", ",", "-", "L", "#", "@", "?", " 99999999999 ", "*/0"],
        run: |bytes| {
            if let Ok(crontab) = Crontab::parse(&text(bytes)) {
                let after = chrono::DateTime::from_timestamp(1_767_571_200, 0).unwrap();
                let next = crontab.next_after(after, chrono_tz::Europe::Berlin);
                assert!(next.is_none_or(|next| next > after), "the next time is a later one");
            }
        },
    },
    Target {
        name: "bodies",
        seeds: &[
            r#"{"accounts":["web*/a"],"job":null,"all":false,"reason":"x","no_wait":true,"stream":false}"#,
            r#"{"account":"web1/a","field":"PIN","value":"x"}"#,
            r#"{"rows":[{"line":1,"account":"web1/a","password":"x","totp":null}]}"#,
            r#"{"account":"web1/a","device_has":"new"}"#,
            r#"{"device":"web1","fingerprint":"SHA256:x"}"#,
        ],
        words: &["{", "[", "null", "1e999", "\\u0000", "\"accounts\":"],
        run: bodies,
    },
    Target {
        name: "audit",
        seeds: &["\0\x01x", "\x10\0 ", "\x7f\x7f"],
        words: &["\"seq\":", "\"hash\":\"", "}", "\n"],
        run: audit,
    },
    Target {
        name: "config",
        seeds: &[CONFIG],
        words: &[
            "[account.\"a/b\"]\n",
            "password = \"x\"\n",
            "jump = \"web1\"\n",
            "schedule = \"",
            "= 99999999999999999999\n",
            "after = \"",
        ],
        run: config,
    },
    Target {
        name: "mask",
        seeds: &["x hunter2hunter2 \u{1b}[2J \u{202e}y"],
        words: &["hunter2hunter2", "hunter2", "\u{1b}"],
        run: |bytes| {
            let mut masker = Masker::default();
            masker.add(&Secret::new("hunter2hunter2".into()));
            let masked = masker.mask(text(bytes));
            assert!(!masked.contains("hunter2hunter2") && !masked.chars().any(char::is_control));
        },
    },
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn screen(bytes: &[u8]) {
    let mut screen = Screen::default();
    for chunk in bytes.chunks(7) {
        screen.feed(chunk);
    }
    screen.mark_sent();
    screen.consume(bytes.len() / 2);
    screen.skip_echo(3);
    assert!(screen.unread().len() <= screen.all().len());
    assert!(screen.all().len() <= 300 * 1024, "{} bytes are kept", screen.all().len());
}

/// A template of a text, and how many errors it has.
fn checked(text: &str) -> (Option<Checked>, usize) {
    let (checked, problems) = load(Path::new("x.template"), text);
    assert!(checked.is_some() || !problems.is_empty());
    problems.iter().for_each(|problem| drop(problem.to_string()));
    (checked, problems.iter().filter(|problem| problem.severity == Severity::Error).count())
}

fn fixed(bytes: &[u8]) {
    let text = text(bytes);
    let (_, before) = checked(&text);
    let (written, changed) = fix(&text);
    let (_, after) = checked(&written);
    assert!(after <= before, "{changed} lines are corrected, and {after} errors are left of {before}");
    assert!(changed > 0 || written == text, "what needs no correction stays as it is");
    assert_eq!(fix(&written).0, written, "what was corrected needs no correction");
}

fn runner(bytes: &[u8]) {
    const SECRETS: [&str; 2] = ["S3cret-New-Pw", "S3cret-Auth-Pw"];
    static TEMPLATE: LazyLock<Arc<Checked>> = LazyLock::new(|| Arc::new(load(Path::new("x"), LINUX).0.unwrap()));
    let mut values = Values::default();
    for (tag, value) in [("USERNAME", "ada"), ("NEW_PASSWORD", "S3cret-New-Pw"), ("AUTH_PASSWORD", "S3cret-Auth-Pw")] {
        values.set(tag, Secret::new(value.into()));
    }
    values.allow_code("AUTH_TOTP_TOKEN");
    let masker = values.masker(&[]);
    let mut run = Run::new(TEMPLATE.clone(), values, masker);
    let mut now = 0;
    let mut queue = std::collections::VecDeque::from(run.handle(now, Input::Start));
    let mut chunks = bytes.chunks(1 + bytes.len() / 12);
    let mut committed = false;
    for _ in 0..2_000 {
        while let Some(effect) = queue.pop_front() {
            match effect {
                Effect::Finished(verdict) => {
                    if let Verdict::Failed(failure) = verdict {
                        assert_eq!(failure.committed, committed);
                        assert!(!SECRETS.iter().any(|secret| failure.message.contains(secret)), "{}", failure.message);
                        assert!(!failure.message.chars().any(char::is_control), "{:?}", failure.message);
                    }
                    return;
                }
                Effect::NeedCode(_) => queue.extend(run.handle(now, Input::Code(Secret::new("123456".into())))),
                Effect::CommitPoint => {
                    committed = true;
                    queue.extend(run.handle(now, Input::Committed));
                }
                Effect::Step(step) => assert!(!SECRETS.iter().any(|secret| step.contains(secret)), "{step}"),
                Effect::Send(line) => assert!(committed || !line.expose().contains("S3cret-New-Pw")),
                Effect::Reply(reply) => assert!(reply.len() < 16),
                Effect::Risk(_) | Effect::Accepted => {}
            }
        }
        let input = chunks.next();
        now = run.deadline().filter(|_| input.is_none()).unwrap_or(now + 40).max(now + 1);
        queue.extend(match input {
            Some(chunk) => run.handle(now, Input::Output(chunk)),
            None => run.handle(now, Input::Tick),
        });
    }
    panic!("the run does not end");
}

fn prompts(bytes: &[u8]) {
    let mut dialogue = LoginDialogue::new(LoginFormat::Separate, Vec::new(), bytes.len().is_multiple_of(2));
    let whole = text(bytes);
    for prompt in whole.split('\n').take(40) {
        let planned = dialogue.round(&whole, &[prompt.to_owned()]);
        drop(planned.map(|plan| dialogue.sent(&plan)));
        assert!(!shown_prompt(prompt, 80).chars().any(char::is_control));
    }
}

fn import(bytes: &[u8]) {
    if let Err(failure) = import_rows(&text(bytes)) {
        // What has the form of an account's name is told, whatever it is.
        let told = format!("{failure:?}");
        let beside: String =
            told.split("account '").map(|part| part.split_once('\'').map_or(part, |(_, rest)| rest)).collect();
        assert!(!beside.contains("S3cret-One"), "{told}");
    }
}

fn bodies(bytes: &[u8]) {
    drop(serde_json::from_slice::<WorkBody>(bytes));
    drop(serde_json::from_slice::<SecretBody>(bytes));
    drop(serde_json::from_slice::<ImportBody>(bytes));
    drop(serde_json::from_slice::<ResolveBody>(bytes));
    drop(serde_json::from_slice::<TrustBody>(bytes));
    drop(serde_json::from_slice::<BackupBody>(bytes));
}

/// The log is two lines; the input says how it was touched: a place in it, how much is gone from there, what is there now.
fn audit(bytes: &[u8]) {
    static LOG: LazyLock<(String, String)> = LazyLock::new(|| {
        let first = Draft::new(EventKind::DaemonStart).detail("x").chain(1, 1_700_000_000_000, GENESIS).unwrap();
        let second = Draft::new(EventKind::DaemonStop).chain(2, 1_700_000_000_500, &first.hash).unwrap();
        (format!("{}\n{}\n", first.line, second.line), second.hash)
    });
    let (log, head) = &*LOG;
    let [at, less, more @ ..] = bytes else { return };
    let begin = usize::from(*at) * 2 % (log.len() + 1);
    let end = (begin + usize::from(*less)).min(log.len());
    let mut touched = log.as_bytes().to_vec();
    touched.splice(begin..end, more.iter().copied());
    for told in [text(&touched), text(bytes)] {
        let lines = told.lines().map(|line| Ok::<_, std::io::Error>(line.to_owned()));
        let report = verify_lines(lines, Some((2, head)));
        let same = told.lines().eq(log.lines());
        assert!(same || !report.ok || told.lines().take(2).eq(log.lines()), "a change went unseen: {told}");
    }
}

fn config(bytes: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let (config, problems) = Config::load(file.path());
    assert!(config.is_some() || !problems.is_empty());
    problems.iter().for_each(|problem| drop(problem.to_string()));
}

//! Fuzzing of everything that reads what somebody else wrote: an engine that runs wherever the tests do. It mutates
//! known inputs (flips, cuts, splices, repeats, words of the format) and is not guided by coverage.
//!
//! Each target runs for FUZZ_SECONDS (1 where it is not set) and on every file in `fuzz/TARGET/`, where findings are kept.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::audit::{Draft, GENESIS, verify_lines};
use crate::cli::input::import_rows;
use crate::config::Config;
use crate::control::{BackupBody, ImportBody, ResolveBody, SecretBody, TrustBody, WorkBody};
use crate::device::KnownHosts;
use crate::dialogue::{Effect, Input, LoginDialogue, LoginFormat, Run, Screen, Values, Verdict, shown_prompt};
use crate::model::{AccountName, Masker, Secret};
use crate::sim::Random;
use crate::template::load;
use crate::totp::Seed;

const LINUX: &str = include_str!("../templates/linux/linux-sudo-passwd.template");
const CISCO: &str = include_str!("../templates/cisco/cisco-ios.template");
const CONFIG: &str = include_str!("../config/rotord.toml");

/// A change to an input.
fn mutate(random: &mut Random, seeds: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..1 + random.below(8) {
        let at = random.below(bytes.len() + 1);
        match random.below(8) {
            0 if !bytes.is_empty() => {
                let at = at.min(bytes.len() - 1);
                bytes[at] ^= 1 << random.below(8);
            }
            1 => bytes.insert(at, u8::try_from(random.below(256)).unwrap()),
            2 => {
                let end = (at + random.below(64)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let to = (from + random.below(64)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            4 => {
                let end = (at + random.below(32)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part.repeat(1 + random.below(40)));
            }
            5 => bytes.truncate(at),
            6 => {
                const ODD: [&str; 12] = [
                    "\u{1b}[",
                    "\u{1b}]0;",
                    "\r\n",
                    "\0",
                    "\u{feff}",
                    "\u{202e}",
                    "é",
                    "😀",
                    "\u{1b}[999999999;1H",
                    "\t",
                    "\x08",
                    "\u{9b}",
                ];
                bytes.splice(at..at, ODD[random.below(ODD.len())].bytes());
            }
            _ => {
                bytes.splice(at..at, words[random.below(words.len())].bytes());
            }
        }
    }
    bytes.truncate(64 * 1024);
    bytes
}

fn fuzz(target: &str, seeds: &[&str], words: &[&str], mut try_one: impl FnMut(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(target);
    let kept = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for file in kept {
        try_one(&std::fs::read(file).unwrap());
    }
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    seeds.iter().for_each(|seed| try_one(seed));
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let salt = target.bytes().fold(7u64, |salt, byte| salt.wrapping_mul(31) + u64::from(byte));
    // Long runs do not begin where short ones did.
    let mut random = Random::new(salt, seconds);
    let (begin, mut runs) = (Instant::now(), 0u64);
    while begin.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..50 {
            let input = mutate(&mut random, &seeds, words);
            let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| try_one(&input)));
            assert!(found.is_ok(), "{target}: this input panics; keep it in fuzz/{target}/: {input:?}");
            runs += 1;
        }
    }
    println!("{target}: {runs} inputs in {seconds} s");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_screen_takes_any_bytes_in_bounded_memory() {
    let seeds = ["login: \u{1b}[?2004h$ \r\n", "a\x08b\rc\u{1b}[K\u{1b}[2J\u{1b}[10;10Hx\u{1b}]0;title\x07", "é😀\r\n"];
    let mut screen = Screen::default();
    fuzz("screen", &seeds, &["\u{1b}[K", "\u{1b}[1G", "\r", "\n"], |bytes| {
        for chunk in bytes.chunks(7) {
            screen.feed(chunk);
        }
        screen.mark_sent();
        screen.consume(bytes.len() / 2);
        screen.skip_echo(3);
        assert!(screen.unread().len() <= screen.all().len());
        assert!(screen.all().len() <= 300 * 1024, "{} bytes are kept", screen.all().len());
    });
}

#[test]
fn the_template_parser_takes_any_text() {
    let words = [
        "exec ",
        "expect-regex ",
        "\"/",
        "[#NEW_PASSWORD#]",
        "section reconcile\n",
        "set-read-timeout 9e9\n",
        "\\",
        "(((((a*)*)*)*)*)",
    ];
    fuzz("template", &[LINUX, CISCO], &words, |bytes| {
        let (checked, problems) = load(Path::new("x.template"), &text(bytes));
        assert!(checked.is_some() || !problems.is_empty());
        problems.iter().for_each(|problem| drop(problem.to_string()));
    });
}

#[test]
fn the_runner_ends_on_any_output_and_says_no_secret() {
    const SECRETS: [&str; 2] = ["S3cret-New-Pw", "S3cret-Auth-Pw"];
    let template = std::sync::Arc::new(load(Path::new("x"), LINUX).0.unwrap());
    let seeds = [
        "$ ",
        "LC_ALL=C sudo -k passwd ada\r\n[sudo] password for root: ",
        "Verification code: ",
        "New password: Retype new password: ",
        "updated successfully\r\n$ ",
    ];
    let words =
        ["$ ", "password: ", "code: ", "New password: ", "Retype: ", "successfully", "S3cret-New-Pw", "try again"];
    fuzz("runner", &seeds, &words, |bytes| {
        let mut values = Values::default();
        for (tag, value) in
            [("USERNAME", "ada"), ("NEW_PASSWORD", "S3cret-New-Pw"), ("AUTH_PASSWORD", "S3cret-Auth-Pw")]
        {
            values.set(tag, Secret::new(value.into()));
        }
        values.allow_code("AUTH_TOTP_TOKEN");
        let masker = values.masker(&[]);
        let mut run = Run::new(template.clone(), values, masker);
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
                            assert!(
                                !SECRETS.iter().any(|secret| failure.message.contains(secret)),
                                "{}",
                                failure.message
                            );
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
    });
}

#[test]
fn login_prompts_of_any_kind_are_answered_or_refused() {
    let seeds = [
        "Password: ",
        "Verification code: ",
        "Enter PIN+token:",
        "New password:\nRetype",
        "\u{1b}[31mPassword\u{1b}[0m:",
    ];
    fuzz("prompts", &seeds, &["password", "code", "new ", "current ", "token", ":"], |bytes| {
        let mut dialogue = LoginDialogue::new(LoginFormat::Separate, Vec::new(), bytes.len().is_multiple_of(2));
        let whole = text(bytes);
        for prompt in whole.split('\n').take(40) {
            drop(dialogue.answer(prompt, &whole));
            assert!(!shown_prompt(prompt, 80).chars().any(char::is_control));
        }
    });
}

#[test]
fn known_hosts_of_any_kind_are_read() {
    let seeds = [
        "[127.0.0.1]:2222 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIs5Jb0E2JPNyhCuq5Vq0wqLSAuEnsF4Kv9S9cB1b0pU\n",
        "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= ssh-rsa AAAA\n@revoked * ssh-ed25519 AAAA\n@cert-authority *.example ssh-rsa AAAA",
    ];
    fuzz("known_hosts", &seeds, &["@revoked ", "!", "*", "|1|", ","], |bytes| {
        drop(KnownHosts::parse(&text(bytes), "127.0.0.1", 2222));
    });
}

#[test]
fn imports_of_any_kind_are_read_or_refused_without_their_secrets() {
    let seeds = ["account,password,totp\nweb1/a,S3cret-One,GEZDGNBV\n\"web1/b\",\"S3cret,\"\"Two\",\n"];
    fuzz("import", &seeds, &["\"", ",", "\n", "account", "web1/a"], |bytes| {
        if let Err(failure) = import_rows(&text(bytes)) {
            // What has the form of an account's name is told, whatever it is.
            let told = format!("{failure:?}");
            let beside: String =
                told.split("account '").map(|part| part.split_once('\'').map_or(part, |(_, rest)| rest)).collect();
            assert!(!beside.contains("S3cret-One"), "{told}");
        }
    });
}

#[test]
fn seeds_of_any_kind_are_read_or_refused() {
    let seeds = [
        "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
        "otpauth://totp/A:b?secret=GEZDGNBVGY3TQOJQ&algorithm=SHA256&digits=8&period=60&issuer=%41",
    ];
    fuzz("seeds", &seeds, &["secret=", "&period=0", "&digits=99", "%", "otpauth://", "="], |bytes| {
        if let Ok(seed) = Seed::parse(&text(bytes)) {
            drop(seed.code(u64::MAX / seed.period() / 2));
            assert!(Seed::parse(seed.to_uri().expose()).is_ok(), "what is stored can be read again");
        }
    });
}

#[test]
fn account_names_cannot_inject() {
    fuzz("names", &["web1/admin", "dc1/CORP\\svc@x", "a/-b"], &["/", " ", "\n", "-", "\u{202e}"], |bytes| {
        if let Ok(name) = AccountName::parse(&text(bytes)) {
            assert!(!name.user().starts_with('-') && !name.as_str().chars().any(char::is_control));
        }
    });
}

#[test]
fn bodies_of_the_control_api_are_read_or_refused() {
    let seeds = [
        r#"{"accounts":["web*/a"],"job":null,"all":false,"reason":"x","no_wait":true,"stream":false}"#,
        r#"{"account":"web1/a","field":"PIN","value":"x"}"#,
        r#"{"rows":[{"line":1,"account":"web1/a","password":"x","totp":null}]}"#,
        r#"{"account":"web1/a","device_has":"new"}"#,
        r#"{"device":"web1","fingerprint":"SHA256:x"}"#,
    ];
    fuzz("bodies", &seeds, &["{", "[", "null", "1e999", "\\u0000", "\"accounts\":"], |bytes| {
        drop(serde_json::from_slice::<WorkBody>(bytes));
        drop(serde_json::from_slice::<SecretBody>(bytes));
        drop(serde_json::from_slice::<ImportBody>(bytes));
        drop(serde_json::from_slice::<ResolveBody>(bytes));
        drop(serde_json::from_slice::<TrustBody>(bytes));
        drop(serde_json::from_slice::<BackupBody>(bytes));
    });
}

#[test]
fn an_audit_log_that_was_touched_is_found() {
    let first = Draft::new("daemon.start").detail("x").chain(1, 1_700_000_000_000, GENESIS).unwrap();
    let second = Draft::new("daemon.stop").chain(2, 1_700_000_000_500, &first.hash).unwrap();
    let log = format!("{}\n{}\n", first.line, second.line);
    let head = (2, second.hash.clone());
    fuzz("audit", &[&log], &["\"seq\":", "\"hash\":\"", "}", "\n"], |bytes| {
        let told = text(bytes);
        let lines = told.lines().map(|line| Ok::<_, std::io::Error>(line.to_owned()));
        let report = verify_lines(lines, Some((head.0, &head.1)));
        let same = told.lines().eq(log.lines());
        assert!(same || !report.ok || told.lines().take(2).eq(log.lines()), "a change went unseen: {told}");
    });
}

#[test]
fn configs_of_any_kind_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rotord.toml");
    let words = [
        "[account.\"a/b\"]\n",
        "password = \"x\"\n",
        "jump = \"web1\"\n",
        "schedule = \"",
        "= 99999999999999999999\n",
        "after = \"",
    ];
    fuzz("config", &[CONFIG], &words, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        let (config, problems) = Config::load(&path);
        assert!(config.is_some() || !problems.is_empty());
        problems.iter().for_each(|problem| drop(problem.to_string()));
    });
}

#[test]
fn a_mask_leaves_nothing_that_steers() {
    let mut masker = Masker::default();
    masker.add(&Secret::new("hunter2hunter2".into()));
    fuzz("mask", &["x hunter2hunter2 \u{1b}[2J \u{202e}y"], &["hunter2hunter2", "hunter2", "\u{1b}"], |bytes| {
        let masked = masker.mask(&text(bytes));
        assert!(!masked.contains("hunter2hunter2") && !masked.chars().any(char::is_control));
    });
}

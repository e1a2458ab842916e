//! An engine that mutates known inputs (flips, cuts, splices, repeats, words of the format), and is not guided by coverage.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{TARGETS, Target};
use crate::sim::Random;

/// A change to an input.
fn mutate(random: &mut Random, seeds: &[&[u8]], words: &[&str]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].to_vec();
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

fn fuzz(name: &str) {
    let Target { seeds, words, run, .. } = TARGETS.iter().find(|target| target.name == name).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name);
    for file in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        run(&std::fs::read(file.path()).unwrap());
    }
    let seeds: Vec<&[u8]> = seeds.iter().map(|seed| seed.as_bytes()).collect();
    seeds.iter().for_each(|seed| run(seed));
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let salt = name.bytes().fold(7u64, |salt, byte| salt.wrapping_mul(31) + u64::from(byte));
    // Long runs do not begin where short ones did.
    let mut random = Random::new(salt, seconds);
    let (begin, mut runs) = (Instant::now(), 0u64);
    while begin.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..50 {
            let input = mutate(&mut random, &seeds, words);
            let found = std::panic::catch_unwind(|| run(&input));
            assert!(found.is_ok(), "{name}: this input panics; keep it in fuzz/{name}/: {input:?}");
            runs += 1;
        }
    }
    println!("{name}: {runs} inputs in {seconds} s");
}

#[test]
fn the_screen_takes_any_bytes_in_bounded_memory() {
    fuzz("screen");
}

#[test]
fn the_template_parser_takes_any_text() {
    fuzz("template");
}

#[test]
fn the_runner_ends_on_any_output_and_says_no_secret() {
    fuzz("runner");
}

#[test]
fn login_prompts_of_any_kind_are_answered_or_refused() {
    fuzz("prompts");
}

#[test]
fn known_hosts_of_any_kind_are_read() {
    fuzz("known_hosts");
}

#[test]
fn imports_of_any_kind_are_read_or_refused_without_their_secrets() {
    fuzz("import");
}

#[test]
fn seeds_of_any_kind_are_read_or_refused() {
    fuzz("seeds");
}

#[test]
fn account_names_cannot_inject() {
    fuzz("names");
}

#[test]
fn bodies_of_the_control_api_are_read_or_refused() {
    fuzz("bodies");
}

#[test]
fn an_audit_log_that_was_touched_is_found() {
    fuzz("audit");
}

#[test]
fn configs_of_any_kind_are_read_or_refused() {
    fuzz("config");
}

#[test]
fn a_mask_leaves_nothing_that_steers() {
    fuzz("mask");
}

#[test]
fn recordings_of_any_kind_are_read_or_refused() {
    fuzz("recording");
}

#[test]
fn what_fix_writes_is_read_no_worse() {
    fuzz("fix");
}

#[test]
fn schedules_of_any_kind_are_read_or_refused() {
    fuzz("crontab");
}

#[test]
fn every_target_is_run() {
    let here = include_str!("engine.rs");
    let guided = include_str!("../../fuzz/run");
    for Target { name, .. } in &TARGETS {
        assert!(here.contains(&format!("fuzz(\"{name}\")")) && guided.contains(&format!(" {name}")), "{name}");
    }
}

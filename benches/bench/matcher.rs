//! How long output takes through an `expect` with a glob of three stars, at 1, 10 and 100 MB, against the same glob as a
//! regular expression over the whole text at once.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rotord::dialogue::{Input, Run, Values};
use rotord::model::Masker;
use rotord::template;

const LINE: &[u8] = b"Gi1/0/24  up  up  full  1000  a-port with a name (and) a [bracket]\r\n";

/// Feeds `bytes` of output and then what is awaited; the seconds that took.
fn through(bytes: usize, chunk: usize) -> f64 {
    let text = "set-read-timeout 3600\nexpect \"*Total*ports*shown*#\"\nexec \"[#NEW_PASSWORD#]\"\nexpect \"ok\"\n";
    let checked = Arc::new(template::load(Path::new("bench"), text).0.expect("a sound template"));
    let mut run = Run::new(checked, Values::default(), Masker::default());
    run.handle(0, Input::Start);
    let block: Vec<u8> = LINE.iter().copied().cycle().take(chunk).collect();
    let begin = Instant::now();
    let mut fed = 0;
    while fed < bytes {
        run.handle(1, Input::Output(&block));
        // As whoever carries the dialogue does after each piece.
        std::hint::black_box(run.deadline());
        fed += block.len();
    }
    run.handle(2, Input::Output(b"\r\nTotal 9 ports, 9 shown\r\nsw1#"));
    // Before the first command a match counts once the output has been quiet.
    let effects = run.handle(10_000, Input::Tick);
    assert!(!effects.is_empty(), "the wait must end");
    begin.elapsed().as_secs_f64()
}

/// The peer: the regex crate over the whole of it, which needs all of it in memory.
fn at_once(bytes: usize) -> f64 {
    let mut text: String = LINE.iter().map(|&byte| char::from(byte)).cycle().take(bytes).collect();
    text.push_str("\r\nTotal 9 ports, 9 shown\r\nsw1#");
    let regex = regex::Regex::new("(?s)Total.*ports.*shown.*#").expect("sound");
    let begin = Instant::now();
    assert!(regex.is_match(&text));
    begin.elapsed().as_secs_f64()
}

fn peak_kb() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("?").trim().to_owned()
}

fn cpu() -> f64 {
    let used = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).expect("getrusage");
    used.user_time().tv_sec() as f64 + used.user_time().tv_usec() as f64 / 1e6
}

/// The CPU time of a run through it.
fn cpu_through(bytes: usize, chunk: usize) -> f64 {
    let before = cpu();
    through(bytes, chunk);
    cpu() - before
}

pub fn run(json: bool) {
    if json {
        let (large, small) = (cpu_through(100_000_000, 32 * 1024), cpu_through(100_000_000, 1024));
        println!("{{\"large\":{large:.3},\"small\":{small:.3},\"ratio\":{:.3}}}", small / large);
        return;
    }
    println!("{:>7} {:>12} {:>12} {:>14} {:>7}", "MB", "32 KB (s)", "1 KB (s)", "regex (s)", "ratio");
    for megabytes in [1, 10, 100] {
        let bytes = megabytes * 1_000_000;
        let (large, small) = (cpu_through(bytes, 32 * 1024), cpu_through(bytes, 1024));
        if megabytes == 100 {
            println!("peak memory before the peer is run: {}", peak_kb());
        }
        let peer = at_once(bytes);
        println!("{megabytes:>7} {large:>12.3} {small:>12.3} {peer:>14.3} {:>7.1}", small / large);
    }
}

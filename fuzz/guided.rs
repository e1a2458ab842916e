//! The targets of `rotord::fuzz` under libFuzzer. `fuzz/run` builds and starts it; ROTORD_FUZZ_TARGET names the target, and
//! ROTORD_FUZZ_SEEDS a folder into which its known inputs are written, with its words as a dictionary.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use rotord::fuzz::{TARGETS, Target};

static TARGET: OnceLock<&Target> = OnceLock::new();

fn begin() {
    let name = std::env::var("ROTORD_FUZZ_TARGET").expect("ROTORD_FUZZ_TARGET is not set");
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| {
        let known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("there is no target '{name}'; there are: {}", known.join(", "));
        std::process::exit(2)
    });
    if let Some(folder) = std::env::var_os("ROTORD_FUZZ_SEEDS").map(PathBuf::from) {
        for (n, seed) in target.seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{n}")), seed).expect("a seed can be written");
        }
        let word = |word: &&str| word.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
        let words: String = target.words.iter().map(|text| format!("\"{}\"\n", word(text))).collect();
        std::fs::write(folder.with_extension("words"), words).expect("the words can be written");
    }
    assert!(TARGET.set(target).is_ok());
}

fuzz_target!(init: begin(), |bytes: &[u8]| {
    (TARGET.get().expect("the target is chosen").run)(bytes);
});

//! What is measured from within, as one program that is linked once:
//!
//!     cargo run --release --example bench -- matcher
//!     cargo run --release --example bench -- floor PORT ACCOUNTS.csv STEP USER...
//!     valgrind --tool=callgrind --toggle-collect='*counted*' target/quick/examples/bench pure NAME
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::expect_used, clippy::panic, missing_docs)]

mod floor;
mod matcher;
mod pure;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    match args.first().map(String::as_str) {
        Some("matcher") => matcher::run(rest.first().map(String::as_str) == Some("--json")),
        Some("floor") => floor::run(rest),
        Some("pure") => return pure::run(rest.first().map(String::as_str)),
        _ => {
            eprintln!("usage: bench matcher [--json] | floor PORT ACCOUNTS.csv STEP USER... | pure NAME");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

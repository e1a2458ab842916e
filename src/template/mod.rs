//! The execution-template language: text in, a checked template or placed problems out.
//!
//! Pure: reading files is the business of `config`. The reference for users is `docs/template-language.md`.
//! A [`Checked`] template is the only kind that the dialogue runs, so that what would fail on line 40 fails at load.

mod ast;
mod changes;
mod check;
mod codes;
mod fix;
mod kinds;
mod lines;
mod lint;
mod parse;
mod reference;
#[cfg(test)]
mod tests;
pub mod web;

pub use ast::{Command, Filter, Line, NewLine, Piece, RegexFlags, Section, Template, Text};
pub use changes::Changes;
pub use check::{Checked, Jump, PasswordLimits, check};
pub use codes::{CODES, Code};
pub use fix::fix;
pub use lines::MAX_BYTES;
pub use parse::{COMMANDS, FIELD_NAMES, is_field_name, parse, tagged_text};
pub use reference::{Entry, REFERENCE};

use std::path::Path;

use crate::model::{Problem, Severity};

/// Parses and checks in one go: the template, unless one of the problems is an error, and all problems.
#[must_use]
pub fn load(file: &Path, text: &str) -> (Option<Checked>, Vec<Problem>) {
    let (checked, mut problems, more) = if web::is_web(text) {
        let (lines, problems) = web::parse(file, text);
        let (template, more) = web::check(file, text, lines);
        (Checked::of_web(template, text), problems, more)
    } else {
        let (template, problems) = parse(file, text);
        let (checked, more) = check(file, text, template);
        (checked, problems, more)
    };
    problems.extend(more);
    problems.sort_by_key(|problem| (problem.line, problem.column));
    let sound = problems.iter().all(|problem| problem.severity != Severity::Error);
    (sound.then_some(checked), problems)
}

/// Problem for a file whose bytes are not UTF-8.
#[must_use]
pub fn not_utf8(file: &Path) -> Problem {
    Problem::at(file, "", 0..0, Severity::Error, "T011", "the file is not UTF-8; save it as UTF-8")
}

//! The corrected line, where a slip is evident.

use std::collections::BTreeMap;

use super::ast::Filter;
use super::lines::TYPOGRAPHIC;
use super::parse::{COMMANDS, codes_of, is_tag_name};
use crate::model::{Severity, nearest};

/// The line that was meant, if the slip of this code has an evident remedy that then passes.
pub(super) fn corrected(code: &str, body: &str) -> Option<String> {
    let name_end = body.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(body.len());
    let (name, rest) = body.split_at(name_end);
    let argument = rest.trim();
    let fixed = match code {
        "T001" => format!("{}{rest}", nearest(name, COMMANDS.iter().copied())?),
        // Nothing is sent but the line's end.
        "T002" if name == "exec" => "exec \"\"".to_owned(),
        "T003" => close_quote(body),
        "T004" => {
            let (inside, after) = body.split_at(body.rfind('"')? + 1);
            let comment = [";", "#", "//", "--"].iter().any(|sign| after.trim().starts_with(sign));
            if comment { inside.to_owned() } else { format!("{}{}\"", inside.strip_suffix('"')?, after.trim_end()) }
        }
        "T005" => format!("{name} {}", seconds_in(argument)?),
        "T006" => {
            let mode = match argument.trim_matches('"').trim().to_ascii_lowercase().as_str() {
                "lf" | "\\n" | "linux" | "posix" => "unix",
                "crlf" | "\\r\\n" | "dos" | "win" => "windows",
                "cr" | "\\r" | "macos" => "mac",
                other => nearest(other, ["unix", "windows", "mac"])?,
            };
            format!("{name} {mode}")
        }
        "T007" => format!("{name} 2"),
        "T008" => without_unknown_flags(body)?,
        "T010" => name.to_owned(),
        "T013" => with_known_filters(body),
        "T102" => with_upper_tags(body),
        "T113" => {
            let quoted: String = argument.chars().map(|c| if TYPOGRAPHIC.contains(&c) { '"' } else { c }).collect();
            format!("{name} {quoted}")
        }
        _ => return None,
    };
    (fixed != body && !codes_of(&fixed).contains(&code)).then_some(fixed)
}

/// An escaped quote at the very end was meant to end the argument.
fn close_quote(body: &str) -> String {
    match body.strip_suffix("\\\"") {
        Some(before) if before.contains('"') => format!("{before}\\\\\""),
        _ => format!("{body}\""),
    }
}

/// The number in `5s`, `5 seconds`, `1,5` or `500ms`.
fn seconds_in(argument: &str) -> Option<String> {
    let text = argument.trim_matches('"').trim().replace(',', ".");
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    let unit = text[end..].trim().to_ascii_lowercase();
    let seconds = match unit.as_str() {
        "" | "s" | "sec" | "secs" | "second" | "seconds" => number,
        "ms" | "msec" | "milliseconds" => number / 1000.0,
        "m" | "min" | "minutes" => number * 60.0,
        _ => return None,
    };
    Some(seconds.to_string())
}

/// Flags such as `g` and `u` mean nothing here.
fn without_unknown_flags(body: &str) -> Option<String> {
    let end = body.rfind('/')?;
    let (before, flags) = body.split_at(end + 1);
    let quote = if flags.ends_with('"') { "\"" } else { "" };
    let kept: String = flags.chars().filter(|c| "ims".contains(*c)).collect();
    Some(format!("{before}{kept}{quote}"))
}

/// Every well-formed tag of the line, changed by `change`.
fn with_tags(body: &str, change: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = body;
    while let Some(start) = rest.find("[#") {
        let Some(length) = rest[start + 2..].find("#]") else { break };
        let inner = &rest[start + 2..start + 2 + length];
        out.push_str(&rest[..start + 2]);
        rest = &rest[start + 2..];
        // What only looks like a tag is text, and another may begin in it.
        if is_tag_name(inner.split(':').next().unwrap_or_default()) {
            out.push_str(&change(inner));
            rest = &rest[length..];
        }
    }
    out + rest
}

fn with_upper_tags(body: &str) -> String {
    with_tags(body, |inner| match inner.split_once(':') {
        Some((name, filter)) => format!("{}:{filter}", name.to_uppercase()),
        None => inner.to_uppercase(),
    })
}

fn with_known_filters(body: &str) -> String {
    with_tags(body, |inner| match inner.split_once(':') {
        Some((name, filter)) => {
            format!("{name}:{}", nearest(filter, Filter::NAMES.iter().copied()).unwrap_or(filter))
        }
        None => inner.to_owned(),
    })
}

/// Corrections that are tried one by one at the most, where all of them together make more errors.
const MOST_TRIED: usize = 100;

/// A text with every line that has a remedy corrected, and how many were. Line ends stay as they are. A correction that makes more
/// errors than there were is left out: a misspelt name may look like one that opens a block.
#[must_use]
pub fn fix(text: &str) -> (String, usize) {
    let mut text = text.to_owned();
    let mut count = 0;
    // A line may have several slips, one behind the other.
    for _ in 0..5 {
        let (fixes, errors) = remedies(&text);
        let all = with_lines(&text, &fixes);
        let kept = if remedies(&all).1 > errors {
            one_by_one(&mut text, fixes)
        } else {
            text = all;
            fixes.len()
        };
        if kept == 0 {
            break;
        }
        count += kept;
    }
    (text, count)
}

/// Makes the corrections that make no more errors, and counts them.
fn one_by_one(text: &mut String, fixes: BTreeMap<usize, String>) -> usize {
    let mut kept = 0;
    for (line, fix) in fixes.into_iter().take(MOST_TRIED) {
        let one = with_lines(text, &BTreeMap::from([(line, fix)]));
        if remedies(&one).1 <= remedies(text).1 {
            kept += 1;
            *text = one;
        }
    }
    kept
}

/// The corrected line of each line that has one, by its number from 1, and how many errors the text has.
fn remedies(text: &str) -> (BTreeMap<usize, String>, usize) {
    let (_, problems) = super::load(std::path::Path::new(""), text);
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let mut fixes = BTreeMap::new();
    for problem in problems {
        if let Some(fix) = problem.fix {
            fixes.entry(problem.line).or_insert(fix);
        }
    }
    (fixes, errors)
}

/// The text with these lines in place of its own.
fn with_lines(text: &str, fixes: &BTreeMap<usize, String>) -> String {
    let replaced = text.split('\n').enumerate().map(|(place, line)| match fixes.get(&(place + 1)) {
        Some(fix) => {
            let end = if line.ends_with('\r') { "\r" } else { "" };
            let mark = if line.starts_with('\u{feff}') { "\u{feff}" } else { "" };
            format!("{mark}{}{end}", fix.trim_start_matches('\u{feff}'))
        }
        None => line.to_owned(),
    });
    replaced.collect::<Vec<_>>().join("\n")
}

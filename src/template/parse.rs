//! From text to commands. Every line is read, so that all of its problems are told at once.

use std::path::Path;
use std::time::Duration;

use super::ast::{Command, Filter, Line, NewLine, Piece, RegexFlags, Section, Template, Text};
use super::changes::statement;
use super::fix::corrected;
use super::lines::{Argument, Language, Slip};
use super::reference::Entry;
use crate::model::{Problem, Severity, nearest};

/// The names of all commands, aliases included.
pub const COMMANDS: &[&str] = &[
    "set-ssh-version",
    "set-connect-timeout",
    "set-read-timeout",
    "set-new-line-mode",
    "set-prompt",
    "exec",
    "write",
    "send",
    "expect",
    "expect-regex",
    "read",
    "no-expect",
    "noexpect",
    "not-expect",
    "no-expect-regex",
    "sleep",
    "login-prompt",
    "info",
    "fail",
    "section",
    "choose",
    "when",
    "when-regex",
    "when-closed",
    "end-choose",
    "answer",
    "end",
];

/// The language of terminal templates.
const LANGUAGE: Language<Command> = Language {
    names: COMMANDS,
    called: "the commands",
    quotes_are: "sent",
    example: |name| Entry::find(name).map(|entry| entry.example),
    bare,
    with,
    corrected,
};

/// Parses a template: the commands that could be read, and every problem.
#[must_use]
pub fn parse(file: &Path, text: &str) -> (Template, Vec<Problem>) {
    let (lines, problems) = LANGUAGE.read(file, text);
    let lines = lines.into_iter().map(|(number, command, span)| Line { number, command, span }).collect();
    (Template { lines }, problems)
}

/// The codes of what is wrong with one line by itself.
pub(super) fn codes_of(body: &str) -> Vec<&'static str> {
    LANGUAGE.codes_of(body)
}

fn bare(name: &str) -> Option<Command> {
    match name {
        "end" => Some(Command::End),
        "choose" => Some(Command::Choose),
        "when-closed" => Some(Command::WhenClosed),
        "end-choose" => Some(Command::EndChoose),
        _ => None,
    }
}

fn with(name: &str, argument: Argument<'_>, slips: &mut Vec<Slip>) -> Result<Command, Slip> {
    match name {
        "login-prompt" | "answer" => {
            let (pattern, answer) = two_quoted(argument)?;
            let (pattern, answer) = (tagged(&pattern, argument, slips)?, tagged(&answer, argument, slips)?);
            Ok(if name == "answer" { Command::Answer(pattern, answer) } else { Command::LoginPrompt(pattern, answer) })
        }
        "info" => info(argument).map(|(key, value)| Command::Info(key, value)),
        "section" => section(argument),
        _ => one_argument(name, argument, slips),
    }
}

fn one_argument(name: &str, argument: Argument<'_>, slips: &mut Vec<Slip>) -> Result<Command, Slip> {
    let value = unquote(argument)?;
    match name {
        "set-ssh-version" => match value.trim() {
            "2" => Ok(Command::SetSshVersion),
            "1" => Err(argument.slip("T007", "SSH 1 is not spoken: it was broken long ago; write 'set-ssh-version 2'")),
            _ => Err(argument.slip("T007", "the SSH version is 2")),
        },
        "set-connect-timeout" => seconds(&value, argument).map(Command::SetConnectTimeout),
        "set-read-timeout" => seconds(&value, argument).map(Command::SetReadTimeout),
        "sleep" => seconds(&value, argument).map(Command::Sleep),
        "set-new-line-mode" => match value.trim().to_ascii_lowercase().as_str() {
            "unix" => Ok(Command::SetNewLineMode(NewLine::Unix)),
            "windows" => Ok(Command::SetNewLineMode(NewLine::Windows)),
            "mac" => Ok(Command::SetNewLineMode(NewLine::Mac)),
            _ => Err(argument.slip("T006", "the new-line mode is unix (LF), windows (CR LF) or mac (CR)")),
        },
        "expect-regex" => expression(&value, argument, slips).map(|(text, flags)| Command::ExpectRegex(text, flags)),
        "no-expect-regex" => {
            expression(&value, argument, slips).map(|(text, flags)| Command::NoExpectRegex(text, flags))
        }
        "when-regex" => expression(&value, argument, slips).map(|(text, flags)| Command::WhenRegex(text, flags)),
        _ => {
            let text = tagged(&value, argument, slips)?;
            Ok(match name {
                "set-prompt" => Command::SetPrompt(text),
                "exec" => Command::Exec(text),
                "write" | "send" => Command::Write(text),
                "expect" => Command::Expect(text),
                "read" => Command::Read(text),
                "when" => Command::When(text),
                "fail" => Command::Fail(text),
                _ => Command::NoExpect(text),
            })
        }
    }
}

/// Whether the character before byte `at` is a backslash that escapes what stands there.
pub(super) fn is_escaped(text: &str, at: usize) -> bool {
    text[..at].bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1
}

pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(&next @ ('"' | '\\'))) => {
                out.push(next);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}

/// An argument without its quotes: what begins with `"` runs to the last `"` of the line.
pub(super) fn unquote(argument: Argument<'_>) -> Result<String, Slip> {
    let Some(inner) = argument.text.strip_prefix('"') else {
        return Ok(argument.text.to_owned());
    };
    match inner.rfind('"') {
        Some(end) if !is_escaped(inner, end) => {
            let after = inner[end + 1..].trim();
            if after.is_empty() {
                return Ok(unescape(&inner[..end]));
            }
            let from = argument.at + 1 + end + 1;
            Err(Slip {
                code: "T004",
                span: from..argument.at + argument.text.len(),
                message: "text after the last quote; put it inside the quotes, or take it away".into(),
                severity: Severity::Error,
            })
        }
        _ => Err(Slip {
            code: "T003",
            span: argument.at..argument.at + argument.text.len(),
            message: "this quote is never closed; end the line with \" (a quote to be sent is written \\\")".into(),
            severity: Severity::Error,
        }),
    }
}

/// Two quoted arguments: the first ends at the first quote that blanks and another quote follow.
fn two_quoted(argument: Argument<'_>) -> Result<(String, String), Slip> {
    let need = || argument.slip("T002", "two quoted arguments are needed: \"PATTERN\" \"ANSWER\"");
    let inner = argument.text.strip_prefix('"').ok_or_else(need)?;
    let split = inner
        .match_indices('"')
        .map(|(at, _)| at)
        .find(|&at| {
            let after = &inner[at + 1..];
            !is_escaped(inner, at) && after.starts_with(char::is_whitespace) && after.trim_start().starts_with('"')
        })
        .ok_or_else(need)?;
    let second = inner[split + 1..].trim_start();
    let at = argument.at + argument.text.len() - second.len();
    Ok((unescape(&inner[..split]), unquote(Argument { text: second, at })?))
}

pub(super) fn info(argument: Argument<'_>) -> Result<(String, String), Slip> {
    let (key, rest) = argument
        .text
        .split_once(char::is_whitespace)
        .ok_or_else(|| argument.slip("T002", "'info' needs a key and a value, such as: info vendor \"Example\""))?;
    if !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
        return Err(argument.slip("T014", "an info key has letters, digits, '-' and '_' only"));
    }
    let rest = rest.trim_start();
    let at = argument.at + argument.text.len() - rest.len();
    let value = unquote(Argument { text: rest, at })?;
    let is_number = |value: &str| value.parse::<usize>().is_ok_and(|number| (1..=1024).contains(&number));
    let counts = ["password-max-length", "password-min-length", "password-significant", "password-max-repeat"];
    if counts.contains(&key) && !is_number(&value) {
        return Err(argument.slip("T014", format!("'{key}' is a number of characters, from 1 to 1024")));
    }
    if key == "creates" && value != "account" {
        return Err(argument.slip("T014", "'creates' is \"account\": where there is none, the command creates it"));
    }
    if key == "detect" {
        expression(&value, argument, &mut Vec::new())?;
    }
    if key == "changes" && statement(&value).is_none() {
        return Err(argument.slip("T014", "'changes' is \"self\", \"named\" or \"other\""));
    }
    if let Some(bad) = value.chars().find(|c| key == "password-forbidden-first" && !c.is_ascii_graphic()) {
        return Err(argument.slip("T014", format!("'{}' cannot begin a password anyway", bad.escape_debug())));
    }
    if let Some(bad) = value.chars().find(|c| key == "password-symbols" && !c.is_ascii_punctuation()) {
        return Err(argument
            .slip("T014", format!("'{}' is no symbol; list the symbols that the device takes", bad.escape_debug())));
    }
    Ok((key.to_owned(), value))
}

fn seconds(value: &str, argument: Argument<'_>) -> Result<Duration, Slip> {
    value
        .trim()
        .parse::<f64>()
        .ok()
        .filter(|seconds| (0.0..=86_400.0).contains(seconds))
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| argument.slip("T005", "seconds are needed here: a number from 0 to 86400"))
}

fn section(argument: Argument<'_>) -> Result<Command, Slip> {
    let name = argument.text.trim();
    if let Some(section) = Section::parse(name) {
        return Ok(Command::Section(section));
    }
    let message = format!("unknown section '{}'; the sections are {}", name.escape_debug(), Section::NAMES.join(", "));
    Err(argument.slip("T001", message))
}

/// `RE` or `/RE/flags`.
fn expression(value: &str, argument: Argument<'_>, slips: &mut Vec<Slip>) -> Result<(Text, RegexFlags), Slip> {
    let (source, letters) = match value.strip_prefix('/').and_then(|rest| rest.rsplit_once('/')) {
        Some((source, letters)) if letters.chars().all(|c| c.is_ascii_lowercase()) => (source, letters),
        _ => (value, ""),
    };
    let mut flags = RegexFlags::default();
    for letter in letters.chars() {
        match letter {
            'i' => flags.ignore_case = true,
            'm' => flags.multi_line = true,
            's' => flags.dot_all = true,
            other => {
                return Err(argument.slip("T008", format!("unknown flag '{other}'; the flags are i, m and s")));
            }
        }
    }
    let text = tagged(source, argument, slips)?;
    let sample: String = text
        .pieces
        .iter()
        .map(|piece| match piece {
            Piece::Literal(literal) => literal.as_str(),
            Piece::Tag(..) => "x",
        })
        .collect();
    flags.compile_shared(&sample).map_err(|error| {
        let last = error.to_string();
        let why = last.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        argument.slip("T008", format!("this is no regular expression that runs in linear time: {why}"))
    })?;
    Ok((text, flags))
}

/// A text with its tags, as it stands in a recording.
///
/// # Errors
/// A tag names an unknown filter.
pub fn tagged_text(value: &str) -> Result<Text, String> {
    tagged(value, Argument { text: value, at: 0 }, &mut Vec::new()).map_err(|slip| slip.message)
}

fn known_filter(name: &str, argument: Argument<'_>) -> Result<Filter, Slip> {
    Filter::parse(name).ok_or_else(|| {
        let hint = nearest(name, Filter::NAMES.iter().copied())
            .map_or_else(String::new, |known| format!("; did you mean '{known}'?"));
        let known = Filter::NAMES.join(", ");
        argument.slip("T013", format!("unknown filter '{}'; the filters are {known}{hint}", name.escape_debug()))
    })
}

/// Whether this may stand between `[#` and `#]`: letters of any alphabet, digits, `_`, `-`, `.`, and blanks inside.
#[must_use]
pub(super) fn is_tag_name(name: &str) -> bool {
    !name.is_empty() && name.trim() == name && name.chars().all(|c| c.is_alphanumeric() || "_-. ".contains(c))
}

/// Whether a field may be named so: as its tag is, in upper case.
#[must_use]
pub fn is_field_name(name: &str) -> bool {
    is_tag_name(name) && !name.chars().any(char::is_lowercase)
}

/// What is said of a field that is named otherwise.
pub const FIELD_NAMES: &str = "a field is named as its tag is: upper-case letters, digits, '_', '-' and '.'";

/// Splits an argument into literals and tags.
pub(super) fn tagged(value: &str, argument: Argument<'_>, slips: &mut Vec<Slip>) -> Result<Text, Slip> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut rest = value;
    let mut literal = String::new();
    while let Some(start) = rest.find("[#") {
        let Some(length) = rest[start + 2..].find("#]") else {
            break;
        };
        let inner = &rest[start + 2..start + 2 + length];
        let end = start + 2 + length + 2;
        let (name, filter) = inner.split_once(':').map_or((inner, None), |(name, filter)| (name, Some(filter)));
        if is_tag_name(name) {
            literal.push_str(&rest[..start]);
            if name.chars().any(char::is_lowercase) {
                let message = format!("tag names are upper case; read as [#{}#]", name.to_uppercase());
                slips.push(Slip { severity: Severity::Warning, ..argument.slip("T102", message) });
            }
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            let filter = filter.map(|filter| known_filter(filter, argument)).transpose()?;
            pieces.push(Piece::Tag(name.to_uppercase(), filter));
            rest = &rest[end..];
        } else {
            literal.push_str(&rest[..start + 2]);
            rest = &rest[start + 2..];
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(Text { pieces })
}

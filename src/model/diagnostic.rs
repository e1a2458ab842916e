//! A problem in a file, with its place, shown in the manner of a compiler.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::names::is_unseen;

/// How grave a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but something in it is likely to fail.
    Warning,
}

/// One problem, with the line that it stands in and a caret below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file as the user named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Error or warning.
    pub severity: Severity,
    /// A stable code, such as `T003` or `C001`.
    pub code: String,
    /// What is wrong, and what to write instead.
    pub message: String,
    /// The whole line, corrected, where what was meant is plain.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fix: Option<String>,
    /// The line itself.
    #[serde(skip)]
    pub source: String,
    /// How many characters the caret line underlines.
    #[serde(skip)]
    pub width: usize,
}

impl Problem {
    /// A problem at a byte range of a text.
    #[must_use]
    pub fn at(
        file: &Path,
        text: &str,
        span: Range<usize>,
        severity: Severity,
        code: &str,
        message: impl Into<String>,
    ) -> Self {
        let start = floor_boundary(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[line_start..].find('\n').map_or(text.len(), |at| line_start + at);
        let end = floor_boundary(text, span.end.clamp(start, line_end.max(start)));
        Self {
            file: file.display().to_string(),
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            severity,
            code: code.to_owned(),
            message: message.into(),
            fix: None,
            source: text[line_start..line_end].trim_end().to_owned(),
            width: text[start..end].chars().count().max(1),
        }
    }

    /// The problem with a corrected line.
    #[must_use]
    pub fn with_fix(self, fix: Option<String>) -> Self {
        Self { fix, ..self }
    }

    /// The problem hides its source line: what stands there may be a secret.
    #[must_use]
    pub fn without_source(mut self) -> Self {
        self.source.clear();
        self
    }
}

/// The lines of a file as (number from 1, byte at which it begins, text), without line ends and a byte order mark.
pub fn numbered_lines(text: &str) -> impl Iterator<Item = (usize, usize, &str)> {
    let mut at = 0;
    text.split('\n').enumerate().map(move |(index, whole)| {
        let start = at;
        at += whole.len() + 1;
        let mark = if index == 0 && whole.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let line = &whole[mark..];
        (index + 1, start + mark, line.strip_suffix('\r').unwrap_or(line))
    })
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let (file, message) = (printable(&self.file), printable(&self.message));
        write!(f, "{file}:{}:{}: {severity}: {message} [{}]", self.line, self.column, self.code)?;
        if self.source.is_empty() {
            return Ok(());
        }
        let number = self.line.to_string();
        let pad: String =
            self.source.chars().take(self.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let blank = " ".repeat(number.len());
        let source = printable(&self.source);
        write!(f, "\n {number} | {source}\n {blank} | {pad}{}", "^".repeat(self.width))?;
        self.fix.as_ref().map_or(Ok(()), |fix| write!(f, "\n {blank} = write: {}", printable(fix.trim())))
    }
}

/// A line of a file as it may be printed: each character that could steer a terminal, or that is not seen, has a sign in its place, so
/// that what stands below keeps its column.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    let sign = |c: char| match c {
        '\t' => '\t',
        // Unicode has pictures of the control characters of ASCII.
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\u{7f}' => '\u{2421}',
        c if c.is_control() || is_unseen(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    if text.chars().all(|c| sign(c) == c) { Cow::Borrowed(text) } else { Cow::Owned(text.chars().map(sign).collect()) }
}

/// As [`printable`], of several lines, which stay apart.
#[must_use]
pub fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// The known name that is most like `given`, where one is near enough to be meant.
#[must_use]
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&given, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (name.chars().count().max(3) / 3).max(1))
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_place_and_points_at_it() {
        let text = "a = 1\nlenght = 24\n";
        let problem = Problem::at(Path::new("x.toml"), text, 6..12, Severity::Error, "C002", "unknown key");
        assert_eq!(problem.to_string(), "x.toml:2:1: error: unknown key [C002]\n 2 | lenght = 24\n   | ^^^^^^");
    }

    #[test]
    fn nothing_that_a_file_holds_steers_the_terminal() {
        let text = "foo \u{1b}]0;owned\u{7}\u{9b}2J\t\u{202e}evil\u{200b}\r bar\n";
        let mut problem =
            Problem::at(Path::new("x\u{1b}[2J\n.t"), text, 4..5, Severity::Error, "T001", format!("no {text}"));
        problem = problem.with_fix(Some(text.to_owned()));
        let shown = problem.to_string();
        assert!(!shown.chars().any(|c| (c.is_control() && c != '\n' && c != '\t') || is_unseen(c)), "{shown:?}");
        assert_eq!(shown.lines().count(), 4, "{shown}");
        assert!(shown.contains("foo \u{241b}]0;owned\u{2407}\u{fffd}2J\t\u{fffd}evil"), "{shown}");
        assert_eq!(printable_lines("a\n\u{1b}b\r\n"), "a\n\u{241b}b\u{240d}\n");
        assert!(matches!(printable("plain ünï\tcode"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_slip_of_the_pen_finds_its_nearest_name_and_nonsense_none() {
        assert_eq!(nearest("lenght", ["length", "lower"]), Some("length"));
        assert_eq!(nearest("exspect", ["expect", "exec"]), Some("expect"));
        assert_eq!(nearest("zzzzzz", ["length", "lower"]), None);
    }
}

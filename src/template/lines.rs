//! What the languages of templates share: a line is a comment, or a command with its argument.

use std::ops::Range;
use std::path::Path;

use crate::model::{Problem, Severity, nearest, numbered_lines};

/// A template longer than this is refused.
pub const MAX_BYTES: usize = 256 * 1024;

/// Quotes that a word processor writes.
pub(super) const TYPOGRAPHIC: [char; 6] = ['\u{201c}', '\u{201d}', '\u{201e}', '\u{ab}', '\u{bb}', '\u{ff02}'];

/// What is wrong with a line, with its place in the line's argument.
pub(super) struct Slip {
    pub(super) code: &'static str,
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) severity: Severity,
}

/// The argument of a command and where it begins in the file.
#[derive(Clone, Copy)]
pub(super) struct Argument<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl Argument<'_> {
    pub(super) fn slip(&self, code: &'static str, message: impl Into<String>) -> Slip {
        Slip { code, span: self.at..self.at + self.text.len(), message: message.into(), severity: Severity::Error }
    }
}

/// A line that could be read: its number, its command, its place in the file.
pub(super) type ReadLine<C> = (usize, C, Range<usize>);

/// A language of templates.
pub(super) struct Language<C> {
    /// The names of all commands.
    pub(super) names: &'static [&'static str],
    /// What these are called, such as "the commands".
    pub(super) called: &'static str,
    /// What is done with typographic quotes: "sent".
    pub(super) quotes_are: &'static str,
    /// An example of a command.
    pub(super) example: fn(&str) -> Option<&'static str>,
    /// A command that takes no argument.
    pub(super) bare: fn(&str) -> Option<C>,
    /// A command with its argument.
    pub(super) with: fn(&str, Argument<'_>, &mut Vec<Slip>) -> Result<C, Slip>,
    /// How a line with a mistake of this code is to be written.
    pub(super) corrected: fn(&str, &str) -> Option<String>,
}

impl<C> Language<C> {
    /// The lines that could be read, and every problem.
    pub(super) fn read(&self, file: &Path, text: &str) -> (Vec<ReadLine<C>>, Vec<Problem>) {
        let (mut lines, mut problems) = (Vec::new(), Vec::new());
        if text.len() > MAX_BYTES {
            let message = format!("the file has {} bytes; a template may have {MAX_BYTES}", text.len());
            problems.push(Problem::at(file, "", 0..0, Severity::Error, "T012", message));
            return (lines, problems);
        }
        for (number, offset, line) in numbered_lines(text) {
            let indent = line.len() - line.trim_start().len();
            let body = line.trim();
            if body.is_empty() || body.starts_with('#') {
                continue;
            }
            let span = offset + indent..offset + indent + body.len();
            let mut slips = Vec::new();
            match self.command(body, span.start, &mut slips) {
                Ok(command) => lines.push((number, command, span)),
                Err(slip) => slips.push(slip),
            }
            problems.extend(slips.into_iter().map(|slip| {
                let fix = (self.corrected)(slip.code, body).map(|fixed| format!("{}{fixed}", &line[..indent]));
                Problem::at(file, text, slip.span, slip.severity, slip.code, slip.message).with_fix(fix)
            }));
        }
        (lines, problems)
    }

    /// The codes of what is wrong with one line by itself.
    pub(super) fn codes_of(&self, body: &str) -> Vec<&'static str> {
        let mut slips = Vec::new();
        let result = self.command(body, 0, &mut slips);
        slips.into_iter().chain(result.err()).map(|slip| slip.code).collect()
    }

    /// The command of a line that begins at byte `at` of its file.
    pub(super) fn command(&self, body: &str, at: usize, slips: &mut Vec<Slip>) -> Result<C, Slip> {
        let name_end = body.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(body.len());
        let name = &body[..name_end];
        let rest = body[name_end..].trim_start();
        let argument = Argument { text: rest, at: at + body.len() - rest.len() };
        let name_slip =
            |code, message: String| Slip { code, span: at..at + name_end.max(1), message, severity: Severity::Error };
        if !self.names.contains(&name) {
            let hint = nearest(name, self.names.iter().copied()).map_or_else(
                || format!("{} are {}", self.called, self.names.join(", ")),
                |known| format!("did you mean '{known}'?"),
            );
            return Err(name_slip("T001", format!("unknown command '{}'; {hint}", name.escape_debug())));
        }
        if let Some(command) = (self.bare)(name) {
            return if rest.is_empty() {
                Ok(command)
            } else {
                Err(argument.slip("T010", format!("'{name}' takes no argument")))
            };
        }
        if rest.is_empty() {
            let example = (self.example)(name).unwrap_or_default();
            return Err(name_slip("T002", format!("'{name}' needs an argument, such as: {example}")));
        }
        if rest.starts_with(TYPOGRAPHIC) {
            let message = format!("typographic quotes are {} as they stand; write \" instead", self.quotes_are);
            slips.push(Slip { severity: Severity::Warning, ..argument.slip("T113", message) });
        }
        (self.with)(name, argument, slips)
    }
}

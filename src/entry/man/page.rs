//! The markup of manual pages: man(7), as groff and mandoc both read it without a complaint.

use std::fmt::Write as _;

/// No line of the source is longer (mandoc tells of longer ones).
const WIDTH: usize = 78;
/// When what the pages say last changed otherwise than with the program's own words.
const DATE: &str = "2026-11-30";

/// A page as it grows.
#[derive(Debug)]
pub(super) struct Page(String);

/// A piece of a line.
#[derive(Debug, Clone, Copy)]
pub(super) enum Piece<'a> {
    /// As it is.
    Plain(&'a str),
    /// What is typed as it stands.
    Bold(&'a str),
    /// What something else is put in the place of.
    Italic(&'a str),
}

use Piece::{Bold, Italic, Plain};

impl Page {
    /// Begins a page of a section of the manual.
    pub(super) fn new(name: &str, section: &str, about: &str) -> Self {
        let mut page = Self(String::new());
        let version = env!("CARGO_PKG_VERSION");
        page.line(&format!(
            ".TH {} {section} {DATE} \"rotord {version}\" \"rotord manual\"",
            escaped(&name.to_uppercase())
        ));
        // Names and paths are long: a line is not stretched for them.
        page.line(".ad l");
        page.line(".nh");
        page.heading("NAME");
        page.text(&[Bold(name), Plain(" - "), Plain(about.trim_end_matches('.'))]);
        page
    }

    pub(super) fn heading(&mut self, text: &str) {
        let text = escaped(text).replace('"', "\"\"");
        self.line(&if text.contains(' ') { format!(".SH \"{text}\"") } else { format!(".SH {text}") });
    }

    /// Running text; an empty line parts paragraphs.
    pub(super) fn paragraphs(&mut self, text: &str) {
        for (n, paragraph) in text.split("\n\n").enumerate() {
            if n > 0 {
                self.line(".PP");
            }
            self.text(&[Plain(paragraph)]);
        }
    }

    /// An entry of a list: what stands in front, and what it means.
    pub(super) fn entry(&mut self, term: &[Piece<'_>], meaning: &str) {
        self.line(".TP");
        self.text(term);
        self.text(&[Plain(meaning)]);
    }

    /// Words, broken into lines.
    pub(super) fn text(&mut self, pieces: &[Piece<'_>]) {
        let marked: String = pieces.iter().map(|piece| marked(*piece)).collect();
        let mut line = String::new();
        for word in marked.split_whitespace().map(breakable) {
            if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
                self.guarded(&line);
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
        if !line.is_empty() {
            self.guarded(&line);
        }
    }

    /// What is shown as it is typed, indented.
    pub(super) fn shown<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) {
        self.line(".PP");
        self.line(".RS 4");
        self.line(".nf");
        for line in lines {
            self.guarded(&escaped(line));
        }
        self.line(".fi");
        self.line(".RE");
    }

    /// A line that is no request, whatever it begins with.
    fn guarded(&mut self, line: &str) {
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        self.line(&format!("{guard}{line}"));
    }

    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    pub(super) fn end(self) -> String {
        self.0
    }
}

fn marked(piece: Piece<'_>) -> String {
    // A blank inside would part the mark from its end.
    let each = |text: &str, font: &str| {
        text.split(' ').map(|word| format!("{font}{}\\fR", escaped(word))).collect::<Vec<_>>().join(" ")
    };
    match piece {
        Plain(text) => escaped(text),
        Bold(text) => each(text, "\\fB"),
        Italic(text) => each(text, "\\fI"),
    }
}

/// A word that fits on no line has places at which it may be broken (`\\:`, groff(7)).
fn breakable(word: &str) -> String {
    const PIECE: usize = 30;
    if word.len() <= 2 * PIECE || word.contains('\\') {
        return word.to_owned();
    }
    let letters: Vec<char> = word.chars().collect();
    letters.chunks(PIECE).map(|piece| piece.iter().collect::<String>()).collect::<Vec<_>>().join("\\:")
}

/// A text in which nothing is markup, and each character is one of ASCII.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            c if c.is_ascii() => out.push(c),
            // Writing to a string does not fail.
            c => drop(write!(out, "\\[u{:04X}]", u32::from(c))),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup_and_no_line_is_long() {
        let mut page = Page::new("rotorctl-x", "1", "Does it.");
        page.text(&[Plain(".so is a 'request'\\ elsewhere, "), Bold("--flag"), Plain(" …")]);
        page.text(&[Plain(&"word ".repeat(60))]);
        page.shown(["'it' ~/^x", "", ".x"]);
        let text = page.end();
        assert!(text.starts_with(".TH ROTORCTL\\-X 1 "), "{text}");
        assert!(text.contains("\\&.so is a \\(aqrequest\\(aq\\e elsewhere, \\fB\\-\\-flag\\fR \\[u2026]\n"), "{text}");
        assert!(text.contains("\\(aqit\\(aq \\(ti/\\(hax\n\n\\&.x\n"), "{text}");
        assert!(text.lines().all(|line| line.len() <= WIDTH && !line.ends_with(' ')), "{text}");
    }
}

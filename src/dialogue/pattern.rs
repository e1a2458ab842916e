//! What a wait looks for: globs, literals, and regular expressions in linear time.

use std::sync::{Arc, Mutex, PoisonError};

use regex::Regex;

use super::screen::{Growing, floor};
use crate::template::RegexFlags;

/// How far a text that grows was searched for a glob: the next search goes on there. Places are bytes since the session began.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// Where the text begins.
    start: usize,
    /// How often the screen had been painted over.
    repaints: u64,
    /// So many parts before the last one were found.
    found: usize,
    /// They end here.
    behind: usize,
    /// Up to here the next part was looked for.
    searched: usize,
    /// Where the last occurrence of the last part ends.
    end: Option<usize>,
}

impl Progress {
    /// What of it still holds for a text; `None` where the text is shorter than what was searched.
    fn on(self, text: &Growing<'_>) -> Option<Self> {
        let fresh = Self {
            start: text.start,
            repaints: text.repaints,
            behind: text.start,
            searched: text.start,
            ..Self::default()
        };
        let missed = text.repaints.wrapping_sub(self.repaints);
        if self.start != text.start || missed > 1 {
            return Some(fresh);
        }
        let searched = if missed == 1 { self.searched.min(text.repainted) } else { self.searched };
        if searched < self.behind || self.end.is_some_and(|end| end > searched) {
            return Some(fresh);
        }
        (searched <= text.start + text.text.len()).then_some(Self { repaints: text.repaints, searched, ..self })
    }

    /// From which place of the text on the next part of so many bytes may begin.
    fn next(&self, text: &str, bytes: usize) -> usize {
        let begun = self.searched.saturating_sub(bytes.saturating_sub(1)).max(self.behind);
        floor(text, begun - self.start)
    }

    /// Goes on with the search. As [`Pattern::find_end`], with one pass over what is new.
    fn go_on(&mut self, parts: &[String], text: &str) -> Option<usize> {
        let Some((last, before)) = parts.split_last() else { return Some(text.len()) };
        let end_of = |at: usize, part: &str, start: usize| start + at + part.len();
        while let Some(part) = before.get(self.found) {
            let from = self.next(text, part.len());
            let Some(at) = text[from..].find(part.as_str()) else {
                self.searched = self.start + text.len();
                return None;
            };
            self.behind = end_of(from + at, part, self.start);
            (self.searched, self.found) = (self.behind, self.found + 1);
        }
        let from = self.next(text, last.len());
        if let Some(at) = text[from..].rfind(last.as_str()) {
            self.end = Some(end_of(from + at, last, self.start));
        }
        self.searched = self.start + text.len();
        self.end.map(|end| end - self.start)
    }
}

/// A pattern whose tags were replaced.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// The literal parts of a glob between its stars; the flag tells that it ends in a star.
    Glob {
        /// Never empty strings.
        parts: Vec<String>,
        /// With it, the match is all that there is once the output has been quiet.
        open_end: bool,
    },
    /// A regular expression.
    Regex(Arc<Regex>),
}

impl Pattern {
    /// A glob: `*` is any run of characters, all else literal.
    #[must_use]
    pub fn glob(text: &str) -> Self {
        Self::Glob {
            parts: text.split('*').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            open_end: text.ends_with('*'),
        }
    }

    /// A text in which nothing is special.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        Self::Glob { parts: vec![text.to_owned()], open_end: false }
    }

    /// A regular expression.
    ///
    /// # Errors
    /// The expression is wrong, or larger than what may be compiled.
    pub fn regex(source: &str, flags: RegexFlags) -> Result<Self, regex::Error> {
        flags.compile(source).map(Self::Regex)
    }

    /// Where the last occurrence ends, in bytes; `None` where there is none. One pass over the text for each part.
    #[must_use]
    pub fn find_end(&self, text: &str) -> Option<usize> {
        match self {
            Self::Regex(regex) => regex.find_iter(text).last().map(|found| found.end()),
            Self::Glob { parts, .. } => {
                let Some((last, before)) = parts.split_last() else {
                    return Some(text.len());
                };
                let mut at = 0;
                for part in before {
                    at += text[at..].find(part.as_str())? + part.len();
                }
                text[at..].rfind(last.as_str()).map(|found| at + found + last.len())
            }
        }
    }

    /// The same in a text that grows, of which only what is new is searched.
    pub(super) fn find_end_in(&self, text: &Growing<'_>, progress: &Mutex<Progress>) -> Option<usize> {
        let Self::Glob { parts, .. } = self else { return self.find_end(text.text) };
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(now) = progress.on(text) else { return self.find_end(text.text) };
        *progress = now;
        progress.go_on(parts, text.text)
    }

    /// Whether it occurs in a text that grows.
    pub(super) fn occurs_in_growing(&self, text: &Growing<'_>, progress: &Mutex<Progress>) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(text.text),
            Self::Glob { .. } => self.find_end_in(text, progress).is_some(),
        }
    }

    /// Whether the last occurrence is the last thing in the text: only white space follows it, or whatever an open end
    /// allows.
    #[must_use]
    pub fn ends(&self, text: &str) -> bool {
        self.find_end(text).is_some_and(|end| self.is_open_ended() || text[end..].trim().is_empty())
    }

    /// Whether the match takes in all that follows.
    #[must_use]
    pub fn is_open_ended(&self) -> bool {
        matches!(self, Self::Glob { open_end: true, .. })
    }

    /// The line in which an expression first matches, since an expression itself tells an operator little.
    #[must_use]
    pub fn line_of_match<'a>(&self, text: &'a str) -> Option<&'a str> {
        let Self::Regex(regex) = self else { return None };
        let at = regex.find(text)?.end().saturating_sub(1);
        let at = (0..=at).rev().find(|at| text.is_char_boundary(*at))?;
        let from = text[..at].rfind('\n').map_or(0, |end| end + 1);
        text[from..].lines().next().map(str::trim)
    }

    /// Whether it occurs in the text at all.
    #[must_use]
    pub fn occurs_in(&self, text: &str) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(text),
            Self::Glob { .. } => self.find_end(text).is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::screen::Screen;

    /// Whatever the pieces are and whatever is painted over: a search that goes on finds what one from the beginning does.
    #[test]
    fn a_search_that_goes_on_finds_what_a_search_of_all_does() {
        let words = [
            "Total", "Tot", "al", "ports", "é", "#", " ", "\r", "\r\n", "\x08", "\x1b[K", "\x1b[2K", "\x1b[A", "aa",
            "a", "\x1b[2J", "shown", "\u{4f60}", "\x1b[5G", "\t",
        ];
        let globs = ["Total*ports*#", "aa", "*a*aa", "#", "é*a", "Total*", "*", "\n*\n", "\u{4f60}"];
        let mut seed = 7_u64;
        let mut next = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap() % below
        };
        for _ in 0..30 {
            let patterns = globs.map(Pattern::glob);
            let (unread, sent) = (globs.map(|_| Mutex::default()), globs.map(|_| Mutex::default()));
            let mut screen = Screen::default();
            for _ in 0..80 {
                let piece: String = (0..next(6)).map(|_| words[next(words.len())]).collect();
                screen.feed(piece.as_bytes());
                match next(12) {
                    0 => screen.consume(next(9)),
                    1 => screen.mark_sent(),
                    2 => screen.drop_last_line(),
                    3 => screen.feed("filler ".repeat(next(60_000)).as_bytes()),
                    _ => {}
                }
                for at in 0..globs.len() {
                    // One that is not asked for each time has missed some paintings.
                    if next(3) > 0 {
                        let (pattern, text) = (&patterns[at], screen.growing_unread());
                        assert_eq!(
                            pattern.find_end_in(&text, &unread[at]),
                            pattern.find_end(text.text),
                            "{}",
                            globs[at]
                        );
                        let text = screen.growing_answer();
                        assert_eq!(pattern.find_end_in(&text, &sent[at]), pattern.find_end(text.text), "{}", globs[at]);
                    }
                }
            }
        }
    }
}

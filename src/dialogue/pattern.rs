//! What a wait looks for: globs, literals, and regular expressions in linear time.

use std::sync::Arc;

use regex::Regex;

use crate::template::RegexFlags;

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

//! What keeps secrets out of records: a text is masked first, and shortened or put into other words after that.

use std::fmt;
use std::ops::Range;
use std::sync::{LazyLock, OnceLock};

use zeroize::{Zeroize, Zeroizing};

use super::grams::{Grams, is_unseen};
use super::secret::Secret;

/// What stands in a record where a secret stood.
const MASK: &str = "********";
/// A secret that has fewer characters is looked for as a whole and as it is written: parts of it stand in any dialogue.
const SHORT: usize = 6;
/// Texts under so many bytes are no secrets: they would mask half of any dialogue.
const LEAST: usize = 4;

/// Words of the messages and prompts that these records are made of. Where a password has one of them in it, the word alone is
/// no piece of that password; with what stands beside it in the password it is.
const COMMON: &str = "password passwort passcode passphrase password: username user administrator admin operator root \
    account device login template secret verification authentication authenticator configure config terminal enable \
    router switch firewall server network system service default welcome one-time token code prompt running checking";

static COMMON_GRAMS: LazyLock<Grams> = LazyLock::new(|| grams_of_words(COMMON));

fn grams_of_words(words: &str) -> Grams {
    let mut grams = Grams::default();
    words.split_whitespace().for_each(|word| grams.take(word));
    grams
}

/// Replaces known secrets and pieces of them in a text before it is recorded, and drops what could steer a terminal.
///
/// A run of six or more characters of a secret is a piece of it, whatever white space, control characters, marks or quoting stand
/// in between, in capitals or not; shorter runs are where several stand near to each other, as where a line is repainted. So a
/// text may be masked before and after it is cut. A secret of less than six characters is masked as a whole.
#[derive(Default, Clone)]
pub struct Masker {
    secrets: Vec<Known>,
    /// Made when the first text is masked: most maskers never see one.
    grams: OnceLock<Grams>,
    /// Names that are no secrets.
    public: Vec<Box<str>>,
    /// [`COMMON`] and these, made when the first piece is met.
    common: OnceLock<Grams>,
}

#[derive(Clone)]
struct Known {
    secret: Secret,
    /// A byte of it that few texts have: most need not be searched for it.
    rare: u8,
    /// It is looked for as a whole only.
    is_short: bool,
    /// It is a secret as a template quotes it, and is quoted no further.
    is_quoted: bool,
}

impl Masker {
    /// Adds a secret to look for. Texts under four bytes are left out: they would mask half of any dialogue.
    pub fn add(&mut self, secret: &Secret) {
        self.take(secret, false);
    }

    /// Adds a secret as it stands in quotes, for instance in those of a shell.
    pub fn add_quoted(&mut self, secret: &Secret) {
        self.take(secret, true);
    }

    fn take(&mut self, secret: &Secret, is_quoted: bool) {
        let text = secret.expose();
        if text.len() < LEAST || self.secrets.iter().any(|known| known.secret.expose() == text) {
            return;
        }
        let rare = text.bytes().max_by_key(|byte| rarity(*byte)).unwrap_or_default();
        let is_short = text.chars().filter(|c| !c.is_whitespace() && !is_unseen(*c)).count() < SHORT;
        let known = Known { secret: secret.clone(), rare, is_short, is_quoted };
        if let Some(grams) = self.grams.get_mut() {
            known.add_to(grams);
        }
        self.secrets.push(known);
    }

    /// Says that a name is no secret: a user's, or a device's. Alone it is no piece of a password that has it in it.
    pub fn leave(&mut self, name: &str) {
        if name.len() >= LEAST && !self.public.iter().any(|known| **known == *name) {
            self.public.push(name.into());
            self.common = OnceLock::new();
        }
    }

    /// Adds all that another masker knows.
    pub fn add_all(&mut self, other: &Self) {
        other.secrets.iter().for_each(|known| self.take(&known.secret, known.is_quoted));
        other.public.iter().for_each(|name| self.leave(name));
    }

    /// The text with every known secret replaced and control characters escaped.
    #[must_use]
    pub fn mask(&self, text: impl Into<String>) -> String {
        let masked = self.hide(text.into());
        // Nearly every text is plain, and that is seen quickly: without a way out of the loop, many bytes at a time.
        let is_plain = masked.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'));
        if is_plain || !masked.contains(steers) {
            return masked;
        }
        let mut shown = String::with_capacity(masked.len() + 16);
        for c in masked.chars() {
            if steers(c) {
                shown.extend(c.escape_default());
            } else {
                shown.push(c);
            }
        }
        shown
    }

    /// The text masked, on one line and without what could steer a terminal; `most` characters of its beginning at the most.
    #[must_use]
    pub fn shown(&self, text: &str, most: usize) -> String {
        self.on_one_line(text).trim().chars().take(most).collect::<String>().trim_end().to_owned()
    }

    /// The last `lines` lines of a text that have something in them, masked, with bars between; `most` characters of their end at
    /// the most.
    #[must_use]
    pub fn shown_end(&self, text: &str, lines: usize, most: usize) -> String {
        // What stands further up would be cut off anyway; a piece that this cuts is cut off with it.
        let mut from = text.len().saturating_sub(most * 8 + 4096);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        let hidden = self.hide(text.get(from..).unwrap_or_default().to_owned());
        let all: Vec<&str> = hidden.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let tail = stripped(&all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join(" | "));
        let skip = tail.chars().count().saturating_sub(most);
        tail.chars().skip(skip).collect()
    }

    /// A text of several lines: masked as a whole, and each line as by [`Masker::mask`].
    #[must_use]
    pub fn lines(&self, text: &str) -> String {
        let hidden = self.hide(text.to_owned());
        let nothing = Self::default();
        hidden.split('\n').map(|line| nothing.mask(line)).collect::<Vec<_>>().join("\n")
    }

    fn on_one_line(&self, text: &str) -> String {
        stripped(&self.hide(text.to_owned()))
    }

    /// Replaces every known secret and piece of one, and nothing else.
    fn hide(&self, mut text: String) -> String {
        if self.secrets.is_empty() {
            return text;
        }
        let grams = self.grams();
        let touched = grams.touch(&text);
        let mut found = if touched { grams.pieces(&text, self.common()) } else { Vec::new() };
        for known in &self.secrets {
            let sought = known.is_short || touched && self.common().cover(known.secret.expose());
            if sought && text.as_bytes().contains(&known.rare) {
                find_whole(&text, known.secret.expose(), &mut found);
            }
        }
        if found.is_empty() {
            return text;
        }
        let hidden = replaced(&text, found);
        text.zeroize();
        hidden
    }

    fn grams(&self) -> &Grams {
        self.grams.get_or_init(|| {
            let mut grams = Grams::default();
            self.secrets.iter().for_each(|known| known.add_to(&mut grams));
            grams
        })
    }

    fn common(&self) -> &Grams {
        if self.public.is_empty() {
            return &COMMON_GRAMS;
        }
        self.common.get_or_init(|| {
            let mut common = COMMON_GRAMS.clone();
            self.public.iter().for_each(|name| common.take(name));
            common
        })
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masker(of {} secrets)", self.secrets.len())
    }
}

impl Known {
    fn add_to(&self, grams: &mut Grams) {
        let text = self.secret.expose();
        if self.is_short {
            return;
        }
        grams.take(text);
        if self.is_quoted {
            return;
        }
        // As a shell, JSON or a log quotes it.
        if text.contains(['"', '\\']) {
            grams.take(&Zeroizing::new(text.replace('\\', "\\\\").replace('"', "\\\"")));
        }
        if text.contains(|c: char| c.is_ascii_punctuation()) {
            let mut quoted = Zeroizing::new(String::with_capacity(text.len() * 2));
            for c in text.chars() {
                if c.is_ascii_punctuation() {
                    quoted.push('\\');
                }
                quoted.push(c);
            }
            grams.take(&quoted);
        }
    }
}

/// Where a secret stands as a whole in a text, whatever control characters stand in between.
fn find_whole(text: &str, secret: &str, found: &mut Vec<Range<usize>>) {
    let Some(first) = secret.chars().next() else { return };
    for (start, _) in text.match_indices(first) {
        let mut sought = secret.chars().peekable();
        for (at, c) in text.get(start..).unwrap_or_default().char_indices() {
            if sought.next_if_eq(&c).is_none() {
                if c.is_control() {
                    continue;
                }
                break;
            }
            if sought.peek().is_none() {
                found.push(start..start + at + c.len_utf8());
                break;
            }
        }
    }
}

/// A text with something else in place of what stands in these places.
fn replaced(text: &str, mut places: Vec<Range<usize>>) -> String {
    places.sort_unstable_by_key(|place| place.start);
    let mut hidden = String::with_capacity(text.len());
    let mut end = 0;
    for place in places {
        if place.start >= end {
            // What touches the place before is part of it.
            if place.start > end || end == 0 {
                hidden.push_str(text.get(end..place.start).unwrap_or_default());
                hidden.push_str(MASK);
            }
        }
        end = end.max(place.end);
    }
    hidden.push_str(text.get(end..).unwrap_or_default());
    hidden
}

fn stripped(text: &str) -> String {
    text.chars().map(|c| if steers(c) || c.is_control() { ' ' } else { c }).collect()
}

/// How seldom a byte stands in what is said of an attempt, by its class.
fn rarity(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | b' ' | b'#' | b'[' | b']' | b'"' | b'_' => 0,
        b'0'..=b'9' | b'.' | b',' | b':' | b'/' | b'-' => 1,
        b'A'..=b'Z' => 2,
        _ => 3,
    }
}

/// Whether a character could steer a terminal or a log's reader: control characters and direction overrides.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
#[path = "masker_tests.rs"]
mod tests;

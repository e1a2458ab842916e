//! Texts that must never be shown: wiped when dropped, and without a way to print them by accident.

use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroize;

/// What stands in a record where a secret stood.
const MASK: &str = "********";

/// A password, a code, a key, or a secret field. Neither `Debug` nor `Display` shows it. Its clones share one text in
/// memory, which is wiped with the last of them.
#[derive(Clone)]
pub struct Secret(Arc<SecretString>);

impl Secret {
    /// Takes the text over; its buffer is wiped when the secret is dropped.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Arc::new(SecretString::from(text)))
    }

    /// Takes bytes that should be UTF-8 over. `None`, with the bytes wiped, where they are not.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        match String::from_utf8(bytes) {
            Ok(text) => Some(Self::new(text)),
            Err(error) => {
                error.into_bytes().zeroize();
                None
            }
        }
    }

    /// The text itself. Every call is a place that an auditor should read.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether a line end or another control character stands in it, by which it could inject a line into a dialogue.
    #[must_use]
    pub fn has_control_character(&self) -> bool {
        self.expose().chars().any(char::is_control)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A new password that no login has confirmed yet. Only the vault turns it into the current one.
#[derive(Debug, Clone)]
pub struct Candidate(Secret);

impl Candidate {
    /// Marks a generated password as a candidate.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// The password.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.0
    }
}

/// Replaces known secrets in a text before it is recorded, and drops what could steer a terminal.
#[derive(Debug, Default, Clone)]
pub struct Masker {
    /// Each with a byte of it that few texts have: most need not be searched for it.
    secrets: Vec<(Secret, u8)>,
}

impl Masker {
    /// Adds a secret to look for. Texts under four bytes are left out: they would mask half of any dialogue.
    pub fn add(&mut self, secret: &Secret) {
        let text = secret.expose();
        if text.len() >= 4 && !self.secrets.iter().any(|(known, _)| known.expose() == text) {
            let place = self.secrets.partition_point(|(known, _)| known.expose().len() >= text.len());
            let rare = text.bytes().max_by_key(|byte| rarity(*byte)).unwrap_or_default();
            self.secrets.insert(place, (secret.clone(), rare));
        }
    }

    /// The text with every known secret replaced and control characters escaped.
    #[must_use]
    pub fn mask(&self, text: impl Into<String>) -> String {
        let mut masked = text.into();
        for (secret, rare) in &self.secrets {
            if masked.as_bytes().contains(rare) && masked.contains(secret.expose()) {
                let replaced = masked.replace(secret.expose(), MASK);
                masked.zeroize();
                masked = replaced;
            }
        }
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
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        let secret = Candidate::new(Secret::new("hunter2hunter2".into()));
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    proptest::proptest! {
        #[test]
        fn a_mask_leaves_no_secret_in_a_text(
            secrets in proptest::collection::vec("[a-d]{4,6}", 1..4),
            text in "[a-e]{0,40}",
        ) {
            let mut masker = Masker::default();
            secrets.iter().for_each(|secret| masker.add(&Secret::new(secret.clone())));
            let masked = masker.mask(text);
            proptest::prop_assert!(!secrets.iter().any(|secret| masked.contains(secret)), "{}", masked);
        }
    }

    #[test]
    fn a_mask_replaces_the_longer_secret_first_and_escapes_controls() {
        let mut masker = Masker::default();
        masker.add(&Secret::new("abcd".into()));
        masker.add(&Secret::new("abcdef".into()));
        assert_eq!(masker.mask("x abcdef\u{1b}[2J abcd"), "x ********\\u{1b}[2J ********");
    }
}

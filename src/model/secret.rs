//! Texts that must never be shown: wiped when dropped, and without a way to print them by accident.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroize;

/// What stands in a record where a secret stood.
const MASK: &str = "********";

/// A password, a code, a key, or a secret field. Neither `Debug` nor `Display` shows it.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes the text over; its buffer is wiped when the secret is dropped.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
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
    secrets: Vec<Secret>,
}

impl Masker {
    /// Adds a secret to look for. Texts under four bytes are left out: they would mask half of any dialogue.
    pub fn add(&mut self, secret: &Secret) {
        let text = secret.expose();
        if text.len() >= 4 && !self.secrets.iter().any(|known| known.expose() == text) {
            let place = self.secrets.partition_point(|known| known.expose().len() >= text.len());
            self.secrets.insert(place, secret.clone());
        }
    }

    /// The text with every known secret replaced and control characters escaped.
    #[must_use]
    pub fn mask(&self, text: impl Into<String>) -> String {
        let mut masked = text.into();
        for secret in &self.secrets {
            if masked.contains(secret.expose()) {
                let replaced = masked.replace(secret.expose(), MASK);
                masked.zeroize();
                masked = replaced;
            }
        }
        // Nearly every text is plain, and that is seen quickly.
        if masked.bytes().all(|byte| matches!(byte, b' '..=b'~')) || !masked.contains(steers) {
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

    #[test]
    fn a_mask_replaces_the_longer_secret_first_and_escapes_controls() {
        let mut masker = Masker::default();
        masker.add(&Secret::new("abcd".into()));
        masker.add(&Secret::new("abcdef".into()));
        assert_eq!(masker.mask("x abcdef\u{1b}[2J abcd"), "x ********\\u{1b}[2J ********");
    }
}

//! Texts that must never be shown: wiped when dropped, and without a way to print them by accident.
//! What replaces them in other texts is in `masker`.

use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroize;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        let secret = Candidate::new(Secret::new("hunter2hunter2".into()));
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}

//! What leaves the house sealed: under a passphrase, or to a recovery key whose private half is elsewhere.
//!
//! The format is age's (age-encryption.org/v1), so that what was sealed can be opened with the `age` tool where no rotord
//! is left.

use std::str::FromStr;

use age::secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::model::Secret;

/// A passphrase has at least so many characters.
pub const SHORTEST_PASSPHRASE: usize = 12;

/// Something could not be sealed or opened; says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SealedError(pub String);

/// The public half of a recovery key: `age1…`.
#[derive(Clone)]
pub struct RecoveryKey(age::x25519::Recipient);

impl PartialEq for RecoveryKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

impl Eq for RecoveryKey {}

impl std::fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl RecoveryKey {
    /// Reads the public half.
    ///
    /// # Errors
    /// Says what a recovery key looks like; the private half is refused without being repeated.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY") {
            return Err("this is the private half, which is not for the bastion; give the public one, age1…".into());
        }
        age::x25519::Recipient::from_str(text)
            .map(Self)
            .map_err(|_| "a recovery key is an age recipient: \"age1\" and 58 letters and digits".into())
    }

    /// A fresh key: the private half as text, and the public one.
    #[must_use]
    pub fn generate() -> (Secret, Self) {
        let identity = age::x25519::Identity::generate();
        let public = Self(identity.to_public());
        (Secret::new(identity.to_string().expose_secret().to_owned()), public)
    }
}

/// For whom something is sealed.
#[derive(Debug, Clone)]
pub enum SealFor {
    /// Who knows the passphrase.
    Passphrase(Secret),
    /// Who has the private half.
    Key(RecoveryKey),
}

/// With what it is opened.
#[derive(Debug, Clone)]
pub enum OpenWith {
    /// The passphrase.
    Passphrase(Secret),
    /// The private half of the recovery key, as a text in which `AGE-SECRET-KEY-1…` is a line.
    Identity(Secret),
}

/// Seals bytes.
///
/// # Errors
/// The passphrase is too short, or sealing failed.
pub fn seal(bytes: &[u8], whom: &SealFor) -> Result<Vec<u8>, SealedError> {
    let failed = |error: age::EncryptError| SealedError(error.to_string());
    match whom {
        SealFor::Passphrase(passphrase) => {
            if passphrase.expose().chars().count() < SHORTEST_PASSPHRASE {
                let text = format!("the passphrase has fewer than {SHORTEST_PASSPHRASE} characters; take a longer one");
                return Err(SealedError(text));
            }
            let recipient = age::scrypt::Recipient::new(SecretString::from(passphrase.expose().to_owned()));
            age::encrypt(&recipient, bytes).map_err(failed)
        }
        SealFor::Key(key) => age::encrypt(&key.0, bytes).map_err(failed),
    }
}

/// Opens what was sealed.
///
/// # Errors
/// It was sealed for somebody else, was altered, or is nothing sealed at all.
pub fn open(sealed: &[u8], with: &OpenWith) -> Result<Zeroizing<Vec<u8>>, SealedError> {
    let failed = |error: age::DecryptError| {
        SealedError(match error {
            age::DecryptError::NoMatchingKeys | age::DecryptError::KeyDecryptionFailed => {
                "the passphrase or the key is not the one that it was sealed for".into()
            }
            age::DecryptError::DecryptionFailed => "the passphrase is wrong, or the file was altered".into(),
            other => format!("this cannot be opened: {other}"),
        })
    };
    let opened = match with {
        OpenWith::Passphrase(passphrase) => {
            let identity = age::scrypt::Identity::new(SecretString::from(passphrase.expose().to_owned()));
            age::decrypt(&identity, sealed)
        }
        OpenWith::Identity(text) => {
            let line = text.expose().lines().map(str::trim).find(|line| line.starts_with("AGE-SECRET-KEY-"));
            let identity = line.and_then(|line| age::x25519::Identity::from_str(line).ok());
            let Some(identity) = identity else {
                let text = "the identity file holds no AGE-SECRET-KEY-1… line; 'rotorctl key recovery FILE' writes one";
                return Err(SealedError(text.into()));
            };
            age::decrypt(&identity, sealed)
        }
    };
    opened.map(Zeroizing::new).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_to_a_key_opens_with_its_other_half_alone() {
        let (private, public) = RecoveryKey::generate();
        let (other, _) = RecoveryKey::generate();
        let sealed = seal(b"secret", &SealFor::Key(RecoveryKey::parse(&format!("{public:?}")).unwrap())).unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert_eq!(open(&sealed, &OpenWith::Identity(private.clone())).unwrap().as_slice(), b"secret");
        assert!(open(&sealed, &OpenWith::Identity(other)).is_err());
        let mut altered = sealed;
        *altered.last_mut().unwrap() ^= 1;
        assert!(open(&altered, &OpenWith::Identity(private)).is_err());
    }

    #[test]
    fn a_private_half_is_refused_and_not_repeated() {
        let (private, _) = RecoveryKey::generate();
        let why = RecoveryKey::parse(private.expose()).unwrap_err();
        assert!(why.contains("private half") && !why.contains(private.expose()));
        assert!(RecoveryKey::parse("age1nonsense").is_err());
    }

    #[test]
    fn a_short_passphrase_is_refused() {
        let short = SealFor::Passphrase(Secret::new("short".into()));
        assert!(seal(b"x", &short).unwrap_err().to_string().contains("12 characters"));
    }
}

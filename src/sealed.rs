//! What leaves the house sealed: under a passphrase, or to a recovery key whose private half is elsewhere.
//!
//! The format is age's (age-encryption.org/v1), so that what was sealed can be opened with the `age` tool where no rotord
//! is left.

use std::io::{self, BufRead, Read, Write};
use std::str::FromStr;

use age::secrecy::{ExposeSecret, SecretString};
use age::stream::{StreamReader, StreamWriter};
use age::{DecryptError, Decryptor, Encryptor};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::model::Secret;

/// A passphrase has at least so many characters.
pub const SHORTEST_PASSPHRASE: usize = 12;

/// The cost of trying a passphrase, as log2 of scrypt's N (RFC 7914): 2^17, what OWASP's password storage cheat sheet asks
/// for at least, takes 128 MiB. age itself would take as much as a second allows, a gigabyte on a fast machine, and that in the
/// daemon's locked memory.
const WORK: u8 = 17;

/// The highest cost that is opened: what age chose on a fast machine opens on a slow one too. It takes 2 GiB.
const MOST_WORK: u8 = 21;

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

impl SealFor {
    /// Whether a passphrase is long enough.
    ///
    /// # Errors
    /// It is not; says how long it has to be.
    pub fn check(&self) -> Result<(), SealedError> {
        match self {
            Self::Passphrase(passphrase) if passphrase.expose().chars().count() < SHORTEST_PASSPHRASE => {
                let text = format!("the passphrase has fewer than {SHORTEST_PASSPHRASE} characters; take a longer one");
                Err(SealedError(text))
            }
            _ => Ok(()),
        }
    }
}

/// Something that is sealed as it is written. What is not finished does not open.
pub struct Sealing<W: Write>(StreamWriter<W>);

impl<W: Write> Sealing<W> {
    /// Begins.
    ///
    /// # Errors
    /// The passphrase is too short, or nothing can be written.
    pub fn begin(whom: &SealFor, to: W) -> Result<Self, SealedError> {
        whom.check()?;
        let for_whom = |recipient: &dyn age::Recipient| Encryptor::with_recipients(std::iter::once(recipient));
        let encryptor = match whom {
            SealFor::Passphrase(passphrase) => {
                let mut recipient = age::scrypt::Recipient::new(SecretString::from(passphrase.expose().to_owned()));
                recipient.set_work_factor(WORK);
                for_whom(&recipient)
            }
            SealFor::Key(key) => for_whom(&key.0),
        };
        let encryptor = encryptor.map_err(|error| SealedError(error.to_string()))?;
        encryptor.wrap_output(to).map(Self).map_err(|error| SealedError(error.to_string()))
    }

    /// Writes the end.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> io::Result<W> {
        self.0.finish()
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Seals bytes.
///
/// # Errors
/// The passphrase is too short, or sealing failed.
pub fn seal(bytes: &[u8], whom: &SealFor) -> Result<Vec<u8>, SealedError> {
    let mut sealing = Sealing::begin(whom, Vec::with_capacity(bytes.len() + 512))?;
    let sealed = sealing.write_all(bytes).and_then(|()| sealing.finish());
    sealed.map_err(|error| SealedError(error.to_string()))
}

/// Something sealed that is opened as it is read. A read fails where it was altered, and at its end where it was cut
/// short: nothing of it may be trusted before it was read to the end.
pub struct Opening<R>(StreamReader<R>);

impl<R: BufRead> Opening<R> {
    /// Begins.
    ///
    /// # Errors
    /// It was sealed for somebody else, or is nothing sealed at all.
    pub fn begin(from: R, with: &OpenWith) -> Result<Self, SealedError> {
        let failed = |error: DecryptError| {
            SealedError(match error {
                DecryptError::NoMatchingKeys | DecryptError::KeyDecryptionFailed => {
                    "the passphrase or the key is not the one that it was sealed for".into()
                }
                DecryptError::DecryptionFailed => "the passphrase is wrong, or the file was altered".into(),
                other => format!("this cannot be opened: {other}"),
            })
        };
        let decryptor = Decryptor::new_buffered(from).map_err(failed)?;
        let by = |identity: &dyn age::Identity, decryptor: Decryptor<R>| decryptor.decrypt(std::iter::once(identity));
        let opened = match with {
            OpenWith::Passphrase(passphrase) => {
                let mut identity = age::scrypt::Identity::new(SecretString::from(passphrase.expose().to_owned()));
                identity.set_max_work_factor(MOST_WORK);
                by(&identity, decryptor)
            }
            OpenWith::Identity(text) => {
                let line = text.expose().lines().map(str::trim).find(|line| line.starts_with("AGE-SECRET-KEY-"));
                let identity = line.and_then(|line| age::x25519::Identity::from_str(line).ok());
                let Some(identity) = identity else {
                    let text =
                        "the identity file holds no AGE-SECRET-KEY-1… line; 'rotorctl key recovery FILE' writes one";
                    return Err(SealedError(text.into()));
                };
                by(&identity, decryptor)
            }
        };
        opened.map(Self).map_err(failed)
    }
}

impl<R: BufRead> Read for Opening<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl From<io::Error> for SealedError {
    fn from(error: io::Error) -> Self {
        Self(format!("this cannot be opened, it was altered or cut short: {error}"))
    }
}

/// Opens what was sealed.
///
/// # Errors
/// It was sealed for somebody else, was altered, or is nothing sealed at all.
pub fn open(sealed: &[u8], with: &OpenWith) -> Result<Zeroizing<Vec<u8>>, SealedError> {
    let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
    Opening::begin(sealed, with)?.read_to_end(&mut plain)?;
    Ok(plain)
}

/// Copies all that can be read, and tells its SHA-256, in hexadecimal.
///
/// # Errors
/// A read or a write failed.
pub fn copy_hashed(mut from: impl Read, to: &mut impl Write) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(HEXLOWER.encode(&hash.finalize()));
        }
        hash.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
    }
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

//! Seeds: parsed from what people paste, normalised, and turned into codes by `totp-rs`.

use std::sync::OnceLock;

use data_encoding::{BASE32_NOPAD, Encoding};
use sha2::{Digest, Sha256};
use totp_rs::{Builder, Totp};
use zeroize::{Zeroize, Zeroizing};

use crate::model::Secret;

/// The hash of the HMAC (RFC 6238, section 1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// The default, and what nearly every device uses.
    Sha1,
    /// HMAC-SHA-256.
    Sha256,
    /// HMAC-SHA-512.
    Sha512,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }

    /// However it is written: `sha-256`, `HMAC_SHA256`.
    fn parse(text: &str) -> Option<Self> {
        let all = [Self::Sha1, Self::Sha256, Self::Sha512];
        let named = |name: &str| all.into_iter().find(|algorithm| algorithm.name() == name);
        named(text).or_else(|| named(text.to_ascii_uppercase().replace(['-', '_'], "").trim_start_matches("HMAC")))
    }
}

/// What is wrong with a seed; the seed itself is never in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeedError {
    /// Nothing was given.
    #[error("the seed is empty; paste the Base32 text or the otpauth:// URI that the device showed")]
    Empty,
    /// A character cannot stand in Base32.
    #[error("character {position} of the seed cannot stand in Base32 (letters A to Z and digits 2 to 7)")]
    BadCharacter {
        /// Position from 1, blanks and hyphens not counted.
        position: usize,
    },
    /// The text has a length that no Base32 text has.
    #[error("a Base32 seed cannot have {0} characters; one was lost or added when it was copied")]
    BadLength(usize),
    /// Fewer than 80 bits.
    #[error("the seed has only {0} bits; the shortest in use has 80")]
    TooShort(usize),
    /// An `otpauth://` URI that is not for TOTP.
    #[error("the URI is for {0}; only otpauth://totp/… can be used")]
    NotTotp(String),
    /// A parameter of the URI is missing or wrong.
    #[error("the URI's {name} is {what}")]
    BadParameter {
        /// `secret`, `algorithm`, `digits` or `period`.
        name: &'static str,
        /// What is wrong and what is allowed.
        what: &'static str,
    },
}

/// Stands for a seed where all that matters is which accounts share it; not to be kept on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeedId([u8; 32]);

/// A TOTP seed with its parameters. `Debug` does not show the key.
#[derive(Clone)]
pub struct Seed {
    key: Zeroizing<Vec<u8>>,
    algorithm: Algorithm,
    digits: u8,
    period: u64,
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seed({})", self.describe())
    }
}

impl Seed {
    /// Parses Base32 (either case, with blanks, hyphens and padding or without) or an `otpauth://totp/` URI.
    ///
    /// # Errors
    /// Names what is wrong without repeating the seed.
    pub fn parse(text: &str) -> Result<Self, SeedError> {
        let text = text.trim();
        if text.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("otpauth://")) {
            Self::parse_uri(&text[10..])
        } else {
            Self::new(base32(text)?, Algorithm::Sha1, 6, 30)
        }
    }

    /// A seed of raw bytes.
    ///
    /// # Errors
    /// Fewer than 80 bits, digits outside 6 to 8, or a period outside 1 to 3600 s.
    pub fn new(key: Zeroizing<Vec<u8>>, algorithm: Algorithm, digits: u8, period: u64) -> Result<Self, SeedError> {
        if key.len() < 10 {
            return Err(SeedError::TooShort(key.len() * 8));
        }
        if !(6..=8).contains(&digits) {
            return Err(SeedError::BadParameter { name: "digits", what: "not 6, 7 or 8" });
        }
        if !(1..=3600).contains(&period) {
            return Err(SeedError::BadParameter { name: "period", what: "not from 1 to 3600 seconds" });
        }
        Ok(Self { key, algorithm, digits, period })
    }

    fn parse_uri(rest: &str) -> Result<Self, SeedError> {
        let (kind, rest) = rest.split_once('/').unwrap_or((rest, ""));
        if !kind.eq_ignore_ascii_case("totp") {
            return Err(SeedError::NotTotp(kind.chars().filter(char::is_ascii_alphanumeric).take(10).collect()));
        }
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        let (mut key, mut algorithm, mut digits, mut period) = (None, Algorithm::Sha1, 6, 30);
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let decoded;
            let value = if value.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
                decoded = percent_decode(value);
                decoded.as_str()
            } else {
                value
            };
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
            match ["secret", "algorithm", "digits", "period"].into_iter().find(|wanted| is(wanted)).unwrap_or_default()
            {
                "secret" => key = Some(base32(value)?),
                "algorithm" => {
                    let wrong = SeedError::BadParameter { name: "algorithm", what: "not SHA1, SHA256 or SHA512" };
                    algorithm = Algorithm::parse(value).ok_or(wrong)?;
                }
                "digits" => digits = value.parse().unwrap_or(0),
                "period" => period = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        let key = key.ok_or(SeedError::BadParameter { name: "secret", what: "missing" })?;
        Self::new(key, algorithm, digits, period)
    }

    /// The seed as one canonical `otpauth://` URI, to be sealed in the vault.
    #[must_use]
    pub fn to_uri(&self) -> Secret {
        let mut key = BASE32_NOPAD.encode(&self.key);
        let uri = format!(
            "otpauth://totp/rotord?secret={key}&algorithm={}&digits={}&period={}",
            self.algorithm.name(),
            self.digits,
            self.period
        );
        key.zeroize();
        Secret::new(uri)
    }

    /// Its parameters for people: algorithm, digits, period.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{}, {} digits, {} s", self.algorithm.name(), self.digits, self.period)
    }

    /// Seconds of one step.
    #[must_use]
    pub fn period(&self) -> u64 {
        self.period
    }

    /// The raw key, for the keyed hash under which used codes are recorded.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// What tells this seed from others.
    #[must_use]
    pub fn id(&self) -> SeedId {
        SeedId(Sha256::digest(&self.key).into())
    }

    /// The code of a time step (RFC 6238, section 4.2).
    #[must_use]
    pub fn code(&self, step: u64) -> Secret {
        let algorithm = match self.algorithm {
            Algorithm::Sha1 => totp_rs::Algorithm::SHA1,
            Algorithm::Sha256 => totp_rs::Algorithm::SHA256,
            Algorithm::Sha512 => totp_rs::Algorithm::SHA512,
        };
        // The strict builder refuses the 80-bit seeds that are common in the field; the bounds were checked in `new`.
        let totp: Totp = Builder::new()
            .with_algorithm(algorithm)
            .with_digits(self.digits)
            .with_step_duration(self.period)
            .with_secret(self.key.to_vec())
            .build_noncompliant();
        Secret::new(totp.generate(step.saturating_mul(self.period)).to_string())
    }
}

fn base32(text: &str) -> Result<Zeroizing<Vec<u8>>, SeedError> {
    let is_digit = |byte: u8| matches!(byte, b'A'..=b'Z' | b'2'..=b'7');
    let mut clean = Zeroizing::new(String::new());
    // As the vault holds it, it is clean.
    let text = if text.bytes().all(is_digit) {
        text
    } else {
        clean.reserve(text.len());
        clean.extend(text.chars().filter(|c| !c.is_whitespace() && *c != '-').map(|c| c.to_ascii_uppercase()));
        let digits = clean.trim_end_matches('=');
        if let Some(at) = digits.chars().position(|c| !u8::try_from(c).is_ok_and(is_digit)) {
            return Err(SeedError::BadCharacter { position: at + 1 });
        }
        digits
    };
    if text.is_empty() {
        return Err(SeedError::Empty);
    }
    if matches!(text.len() % 8, 1 | 3 | 6) {
        return Err(SeedError::BadLength(text.len()));
    }
    lenient_base32().decode(text.as_bytes()).map(Zeroizing::new).map_err(|_| SeedError::BadLength(text.len()))
}

/// Trailing bits that are not zero are common in hand-made seeds, and authenticator programs ignore them.
fn lenient_base32() -> &'static Encoding {
    static LENIENT: OnceLock<Encoding> = OnceLock::new();
    LENIENT.get_or_init(|| {
        let mut spec = BASE32_NOPAD.specification();
        spec.check_trailing_bits = false;
        spec.encoding().unwrap_or(BASE32_NOPAD)
    })
}

fn percent_decode(text: &str) -> Zeroizing<String> {
    let bytes = text.as_bytes();
    let mut out = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    Zeroizing::new(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B: (Unix time, SHA1, SHA256, SHA512), eight digits.
    const VECTORS: &[(u64, &str, &str, &str)] = &[
        (59, "94287082", "46119246", "90693936"),
        (1_111_111_109, "07081804", "68084774", "25091201"),
        (1_111_111_111, "14050471", "67062674", "99943326"),
        (1_234_567_890, "89005924", "91819424", "93441116"),
        (2_000_000_000, "69279037", "90698825", "38618901"),
        (20_000_000_000, "65353130", "77737706", "47863826"),
    ];

    #[test]
    fn the_vectors_of_rfc_6238_hold_for_all_three_algorithms() {
        let digits = b"1234567890".repeat(7);
        let seed = |algorithm, length| Seed::new(Zeroizing::new(digits[..length].to_vec()), algorithm, 8, 30).unwrap();
        for &(time, sha1, sha256, sha512) in VECTORS {
            assert_eq!(seed(Algorithm::Sha1, 20).code(time / 30).expose(), sha1);
            assert_eq!(seed(Algorithm::Sha256, 32).code(time / 30).expose(), sha256);
            assert_eq!(seed(Algorithm::Sha512, 64).code(time / 30).expose(), sha512);
        }
    }

    #[test]
    fn base32_is_taken_however_it_was_pasted() {
        let expected = Seed::parse("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").unwrap().code(1);
        for text in ["gezd gnbv gy3t qojq gezd gnbv gy3t qojq", " GEZDGNBVGY3TQOJQ-GEZDGNBVGY3TQOJQ======\n"] {
            assert_eq!(Seed::parse(text).unwrap().code(1).expose(), expected.expose());
        }
    }

    #[test]
    fn seeds_of_80_bits_work() {
        assert_eq!(Seed::parse("JBSWY3DPEHPK3PXP").unwrap().code(0).expose().len(), 6);
    }

    #[test]
    fn a_uri_brings_its_parameters_and_survives_the_vault() {
        let uri = "otpauth://totp/ACME%20Co:j@x?secret=gezdgnbvgy3tqojqgezdgnbvgy3tqojq&issuer=ACME&algorithm=SHA256&digits=8&period=60";
        let seed = Seed::parse(uri).unwrap();
        assert_eq!(seed.period(), 60);
        let again = Seed::parse(seed.to_uri().expose()).unwrap();
        assert_eq!(seed.code(7).expose(), again.code(7).expose());
        assert_eq!(seed.code(7).expose().len(), 8);
    }

    #[test]
    fn wrong_input_is_named_and_never_repeated() {
        let cases = [
            ("", "empty"),
            ("GEZDGNBVGY3TQ0JQ", "character 14"),
            ("GEZDGNBVGY3TQOJQG", "cannot have 17"),
            ("GEZDGNBV", "only 40 bits"),
            ("otpauth://hotp/x?secret=GEZDGNBVGY3TQOJQ", "hotp"),
            ("otpauth://totp/x?digits=6", "secret is missing"),
            ("otpauth://totp/x?secret=GEZDGNBVGY3TQOJQ&algorithm=MD5", "algorithm"),
            ("otpauth://totp/x?secret=GEZDGNBVGY3TQOJQ&digits=9", "digits"),
            ("otpauth://totp/x?secret=GEZDGNBVGY3TQOJQ&period=0", "period"),
        ];
        for (text, expected) in cases {
            let error = Seed::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.to_uppercase().contains("GEZDGNBV"), "{error}");
        }
    }
}

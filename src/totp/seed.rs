//! Seeds: parsed from what people paste, normalised, and turned into codes by `totp-rs`.

use std::sync::OnceLock;

use data_encoding::{BASE32_NOPAD, Encoding};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use totp_rs::{Builder, Totp};
use zeroize::{Zeroize, Zeroizing};

use crate::model::{Secret, percent_decode, percent_encode};

/// Seconds of a step, where a seed does not say.
pub const USUAL_PERIOD: u64 = 30;

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

    /// What HMAC makes of a key (RFC 2104, section 2): one that is longer than a block of the hash is hashed. It is then filled
    /// up with zeros to a block, so that zeros at its end make no difference: here they are left out.
    fn hmac_key(self, key: &[u8]) -> Zeroizing<Vec<u8>> {
        let block = if self == Self::Sha512 { 128 } else { 64 };
        let mut key = Zeroizing::new(match self {
            _ if key.len() <= block => key.to_vec(),
            Self::Sha1 => Sha1::digest(key).to_vec(),
            Self::Sha256 => Sha256::digest(key).to_vec(),
            Self::Sha512 => Sha512::digest(key).to_vec(),
        });
        let length = key.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        key.truncate(length);
        key
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
    /// An `otpauth://` URI that is not for TOTP, of a type that is known.
    #[error("the URI is for {0}; only otpauth://totp/… can be used")]
    NotTotp(&'static str),
    /// An `otpauth://` URI without a type, or with one that nobody knows. What stands there may be the seed.
    #[error("the URI has no type that is known; it begins with otpauth://totp/")]
    NoType,
    /// A URI that is none of a seed.
    #[error("the text is a URI, but not one that begins with otpauth://totp/")]
    OtherUri,
    /// A URI that moves accounts between telephones.
    #[error("the URI moves accounts between telephones; have the device show the seed or the URI of one account")]
    Migration,
    /// A parameter by which the codes are other ones.
    #[error(
        "the URI has {0}, by which the device makes codes in a way that rotord does not know; have it make a plain TOTP seed"
    )]
    Changes(&'static str),
    /// A parameter that counts has another name, or a misspelt one.
    #[error("the URI names '{0}' in another way than the Key URI Format does; correct that name in it")]
    Misspelt(&'static str),
    /// A parameter stands in the URI twice.
    #[error("the URI has {0} twice, with two values; paste the URI of one account")]
    Twice(&'static str),
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
    hmac_key: Zeroizing<Vec<u8>>,
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
            return Self::parse_uri(&text[10..]);
        }
        // No character of a scheme's end stands in Base32.
        if text.contains(':') {
            let migration = text.get(..18).is_some_and(|start| start.eq_ignore_ascii_case("otpauth-migration:"));
            return Err(if migration { SeedError::Migration } else { SeedError::OtherUri });
        }
        Self::new(base32(text)?, Algorithm::Sha1, 6, USUAL_PERIOD)
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
        Ok(Self { hmac_key: algorithm.hmac_key(&key), key, algorithm, digits, period })
    }

    /// What stands behind `otpauth://`, after the Key URI Format of Google's authenticator, and as it is met: without a label
    /// (which pyotp takes too), or with the `&` of a web page's source.
    fn parse_uri(rest: &str) -> Result<Self, SeedError> {
        let (kind, behind) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if !kind.eq_ignore_ascii_case("totp") {
            let other = OTHER_TYPES.iter().find(|other| kind.eq_ignore_ascii_case(other));
            return Err(other.map_or(SeedError::NoType, |other| SeedError::NotTotp(other)));
        }
        let query = behind.split_once('?').map_or("", |(_, query)| query);
        let plain;
        let query = if query.contains('&') && has_entity(query) {
            plain = without_entities(query);
            plain.as_str()
        } else {
            query
        };
        let mut found: [Option<Zeroizing<String>>; 4] = Default::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // HTML takes '&amp' without its semicolon too.
            let name = name.strip_prefix("amp").filter(|rest| COUNTED.contains(rest)).unwrap_or(name);
            let Some(at) = COUNTED.iter().position(|counted| name.eq_ignore_ascii_case(counted)) else {
                tolerable(name, value)?;
                continue;
            };
            let value = query_value(value);
            if found[at].as_ref().is_some_and(|before| *before != value) {
                return Err(SeedError::Twice(COUNTED[at]));
            }
            found[at] = Some(value);
        }
        let [secret, algorithm, digits, period] = &found;
        let secret = secret.as_ref().ok_or(SeedError::BadParameter { name: "secret", what: "missing" })?;
        let algorithm = algorithm.as_ref().map_or(Ok(Algorithm::Sha1), |name| {
            let wrong = SeedError::BadParameter { name: "algorithm", what: "not SHA1, SHA256 or SHA512" };
            Algorithm::parse(name).ok_or(wrong)
        })?;
        let digits = digits.as_ref().map_or(6, |digits| digits.parse().unwrap_or(0));
        let period = period.as_ref().map_or(USUAL_PERIOD, |period| period.parse().unwrap_or(0));
        Self::new(base32(secret)?, algorithm, digits, period)
    }

    /// The seed as one canonical `otpauth://` URI, to be sealed in the vault.
    #[must_use]
    pub fn to_uri(&self) -> Secret {
        self.uri("rotord", "")
    }

    /// The seed as an `otpauth://` URI for an authenticator, which shows `issuer` and `user` beside the codes.
    #[must_use]
    pub fn to_uri_for(&self, issuer: &str, user: &str) -> Secret {
        let (issuer, user) = (percent_encode(issuer), percent_encode(user));
        self.uri(&format!("{issuer}:{user}"), &format!("&issuer={issuer}"))
    }

    fn uri(&self, label: &str, more: &str) -> Secret {
        let mut key = BASE32_NOPAD.encode(&self.key);
        let uri = format!(
            "otpauth://totp/{label}?secret={key}&algorithm={}&digits={}&period={}{more}",
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

    /// The key as HMAC uses it, without the zeros at its end: for the keyed hash under which used codes are recorded.
    ///
    /// Seeds that have the same one are one seed, however they are spelt. Digits and period are no part of it: of a step, a
    /// short code is the end of the long one, and the period only tells when the step is. Nor is the hash, where it does not
    /// change the key: some devices use SHA-1 whatever the seed says.
    #[must_use]
    pub fn hmac_key(&self) -> &[u8] {
        &self.hmac_key
    }

    /// The key as it was given.
    #[must_use]
    pub fn given_key(&self) -> &[u8] {
        &self.key
    }

    /// What tells this seed from others.
    #[must_use]
    pub fn id(&self) -> SeedId {
        SeedId(Sha256::digest(self.hmac_key()).into())
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

/// The parameters that count, in the order in which they are told.
const COUNTED: [&str; 4] = ["secret", "algorithm", "digits", "period"];

/// Types of URIs that are in use and are not TOTP.
const OTHER_TYPES: &[&str] = &["hotp", "steam", "yaotp", "motp", "ocra", "push", "pipush"];

/// Parameters by which an issuer says that its codes are other ones, and what is told of each: `2step_…` of privacyIDEA (the
/// telephone adds a part to the key), `counter` of HOTP, `encoder` of KeePassXC (Steam's letters).
const CHANGING: &[(&str, &str)] = &[
    ("counter", "a counter"),
    ("encoder", "an encoder"),
    ("ocrasuite", "an OCRA suite"),
    ("t0", "a time to count from"),
    ("epoch", "a time to count from"),
    ("encoding", "an encoding of the secret"),
    ("charset", "a set of characters"),
];

/// Other names that some programs have for one of [`COUNTED`].
const SYNONYMS: &[(&str, &str)] = &[
    ("interval", "period"),
    ("step", "period"),
    ("timestep", "period"),
    ("hash", "algorithm"),
    ("algo", "algorithm"),
    ("crypto", "algorithm"),
    ("length", "digits"),
    ("key", "secret"),
    ("seed", "secret"),
];

/// Whether a parameter that is not counted may stand in the URI: an issuer, a picture and their like say nothing of the codes.
fn tolerable(name: &str, value: &str) -> Result<(), SeedError> {
    let name = name.to_ascii_lowercase();
    if name.starts_with("2step") {
        return Err(SeedError::Changes("a second step ('2step_…') in which the telephone adds to the key"));
    }
    if name == "type" && !value.eq_ignore_ascii_case("totp") {
        return Err(SeedError::Changes("a type that is not totp"));
    }
    if let Some((_, told)) = CHANGING.iter().find(|(changing, _)| *changing == name) {
        return Err(SeedError::Changes(told));
    }
    // Where something else than '&' parts them ("issuer=x;digits=8"), what counts stands in the value of another.
    let value = Zeroizing::new(value.to_ascii_lowercase());
    let swallowed = COUNTED.into_iter().find(|counted| {
        let assigned = format!("{counted}=");
        // A letter before it belongs to a longer word, but for the rest of an escape: "\u0026", "&amp".
        value.match_indices(&assigned).any(|(at, _)| {
            let before = &value[..at];
            !before.ends_with(|c: char| c.is_ascii_alphabetic()) || before.ends_with("amp")
        })
    });
    if let Some(counted) = swallowed {
        return Err(SeedError::Misspelt(counted));
    }
    let synonym = SYNONYMS.iter().find(|(synonym, _)| *synonym == name).map(|(_, meant)| *meant);
    let near = || COUNTED.into_iter().find(|counted| strsim::damerau_levenshtein(counted, &name) <= 2);
    synonym.or_else(near).map_or(Ok(()), |near| Err(SeedError::Misspelt(near)))
}

/// How HTML writes `&` in the source of a page, from which a URI may be copied.
const ENTITIES: &[&str] = &["&amp;", "&#38;", "&#038;", "&#x26;", "&#x0026;"];

/// Where an entity stands, and its length.
fn entity(text: &str) -> Option<(usize, usize)> {
    let at = |entity: &&str| {
        let place = text.as_bytes().windows(entity.len()).position(|part| part.eq_ignore_ascii_case(entity.as_bytes()));
        place.map(|place| (place, entity.len()))
    };
    ENTITIES.iter().filter_map(at).min()
}

fn has_entity(text: &str) -> bool {
    entity(text).is_some()
}

/// The text with `&` in place of each entity; one that was written twice over, `&amp;amp;`, is one too.
fn without_entities(text: &str) -> Zeroizing<String> {
    let mut plain = Zeroizing::new(text.to_owned());
    while let Some((at, length)) = entity(&plain) {
        plain.replace_range(at..at + length, "&");
    }
    plain
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

/// A value of a query, where a blank may be a `+`.
fn query_value(text: &str) -> Zeroizing<String> {
    let text = Zeroizing::new(text.replace('+', " "));
    Zeroizing::new(String::from_utf8_lossy(&percent_decode(&text)).into_owned())
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
    fn seeds_that_make_the_same_codes_are_one_seed_however_they_are_spelt() {
        let seed = |key: &[u8], algorithm| Seed::new(Zeroizing::new(key.to_vec()), algorithm, 6, 30).unwrap();
        let with_zeros = |key: &[u8], zeros| [key, &vec![0; zeros]].concat();
        let long: Vec<u8> = (1..=150).collect();
        let short = &long[..20];
        let same = [
            (seed(short, Algorithm::Sha1), seed(&with_zeros(short, 1), Algorithm::Sha1)),
            (seed(short, Algorithm::Sha256), seed(&with_zeros(short, 44), Algorithm::Sha256)),
            (seed(short, Algorithm::Sha512), seed(&with_zeros(short, 108), Algorithm::Sha512)),
            (seed(&long[..65], Algorithm::Sha1), seed(&Sha1::digest(&long[..65]), Algorithm::Sha1)),
            (seed(&long[..65], Algorithm::Sha256), seed(&Sha256::digest(&long[..65]), Algorithm::Sha256)),
            (seed(&long[..129], Algorithm::Sha512), seed(&Sha512::digest(&long[..129]), Algorithm::Sha512)),
        ];
        for (one, other) in same {
            assert_eq!(one.code(7).expose(), other.code(7).expose());
            assert_eq!((one.hmac_key(), one.id()), (other.hmac_key(), other.id()));
        }
        let others = [
            (seed(&long[..64], Algorithm::Sha1), seed(&Sha1::digest(&long[..64]), Algorithm::Sha1)),
            (seed(&long[..128], Algorithm::Sha512), seed(&Sha512::digest(&long[..128]), Algorithm::Sha512)),
            (seed(&with_zeros(short, 45), Algorithm::Sha1), seed(short, Algorithm::Sha1)),
        ];
        for (one, other) in others {
            assert_ne!(one.code(7).expose(), other.code(7).expose());
            assert_ne!(one.id(), other.id());
        }
        let (six, eight) =
            (seed(short, Algorithm::Sha1), Seed::new(Zeroizing::new(short.to_vec()), Algorithm::Sha1, 8, 60));
        let eight = eight.unwrap();
        assert!(eight.code(7).expose().ends_with(six.code(7).expose()));
        assert_eq!(eight.id(), six.id());
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
    fn a_uri_is_taken_as_its_issuer_meant_it() {
        let (key, all) = ("GEZDGNBVGY3TQOJQ", "SHA256, 8 digits, 60 s");
        for (uri, expected) in [
            // As a web page's source has it, once and twice over, and as numbers.
            (format!("otpauth://totp/x?secret={key}&amp;algorithm=SHA256&amp;digits=8&amp;period=60"), all),
            (format!("otpauth://totp/x?secret={key}&amp;amp;algorithm=SHA256&AMP;digits=8&amp;period=60"), all),
            (format!("otpauth://totp/x?secret={key}&#38;algorithm=SHA256&#038;digits=8&#x26;period=60"), all),
            (format!("otpauth://totp/x?secret={key}&ampalgorithm=SHA256&ampdigits=8&ampperiod=60"), all),
            // No label, as pyotp takes it.
            (format!("otpauth://totp?secret={key}&issuer=x"), "SHA1, 6 digits, 30 s"),
            (format!("OTPAUTH://TOTP/?Secret={key}&Digits=8"), "SHA1, 8 digits, 30 s"),
            // A '#' in an issuer's name ends nothing.
            (format!("otpauth://totp/Rack #7:a?secret={key}&issuer=Rack #7&algorithm=sha-256&digits=8&period=60"), all),
            (
                format!("otpauth://totp/x?image=https://e/x.png&lock=true&color=ff0000&secret={key}&issuer=A%26B"),
                "SHA1, 6 digits, 30 s",
            ),
            (format!("otpauth://totp/x?secret={key}&digits=8&digits=8&type=totp"), "SHA1, 8 digits, 30 s"),
            (format!("otpauth://totp/x?secret={key}%3D%3D%3D%3D&algorithm=HmacSHA512"), "SHA512, 6 digits, 30 s"),
        ] {
            let seed = Seed::parse(&uri).unwrap_or_else(|error| panic!("{uri}: {error}"));
            assert_eq!(seed.describe(), expected, "{uri}");
            assert_eq!(seed.hmac_key(), b"1234567890", "{uri}");
        }
    }

    #[test]
    fn a_uri_whose_codes_would_be_others_is_refused_and_nothing_of_it_is_shown() {
        let key = "GEZDGNBVGY3TQOJQ";
        let with = |more: &str| format!("otpauth://totp/x?secret={key}&{more}");
        for (uri, expected) in [
            (with("2step_salt=8&2step_output=20"), "2step_"),
            (with("counter=0"), "counter"),
            (with("encoder=steam"), "encoder"),
            (with("interval=60"), "'period'"),
            (with("hash=SHA256"), "'algorithm'"),
            (with("length=8"), "'digits'"),
            (with("type=hotp"), "type"),
            (with("digit=8"), "'digits'"),
            (with("algoritm=SHA256"), "'algorithm'"),
            (with("peroid=60"), "'period'"),
            (with("issuer=A;digits=8"), "'digits'"),
            (with("issuer=A\\u0026algorithm=SHA256"), "'algorithm'"),
            (with("image=https://e/x?period=60"), "'period'"),
            (with("digits"), "digits"),
            (with("period="), "period"),
            (with("digits=6&digits=8"), "twice"),
            (with("secret=JBSWY3DPEHPK3PXP"), "twice"),
            (with("algorithm=SHA384"), "algorithm"),
            (format!("otpauth://{key}"), "no type"),
            (format!("otpauth://?secret={key}"), "no type"),
            (format!("otpauth:///x?secret={key}"), "no type"),
            (format!("otpauth://topt/x?secret={key}"), "no type"),
            (format!("otpauth://{key}/x?secret={key}"), "no type"),
            (format!("otpauth://hotp/x?secret={key}"), "hotp"),
            (format!("otpauth://steam/x?secret={key}"), "steam"),
            (format!("otpauth://totp/{key}"), "secret is missing"),
            (format!("otpauth:totp/x?secret={key}"), "not one that begins"),
            (format!("steam://{key}"), "not one that begins"),
            (format!("https://e/?secret={key}"), "not one that begins"),
            (format!("otpauth-migration://offline?data={key}"), "telephones"),
        ] {
            let error = Seed::parse(&uri).unwrap_err().to_string();
            assert!(error.contains(expected), "{uri}: {error}");
            let four = |text: &str| (0..=key.len() - 4).any(|at| text.to_uppercase().contains(&key[at..at + 4]));
            assert!(!four(&error), "{uri}: {error}");
        }
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

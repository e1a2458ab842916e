//! Authenticators: `otpauth://` URIs, the ones with which Google Authenticator moves accounts, and Aegis' export.

use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL_NOPAD};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::entry::{Entry, LeftOut, LeftOver, Text, of_label, seed, seed_of};
use super::{Format, Found, ImportError, malformed};
use crate::model::{Secret, percent_decode};

/// The scheme of Google Authenticator's "Transfer accounts".
const MIGRATION: &str = "otpauth-migration://";

/// Whether a text is such a URI.
#[must_use]
pub fn migration_in(text: &str) -> bool {
    text.get(..MIGRATION.len()).is_some_and(|start| start.eq_ignore_ascii_case(MIGRATION))
}

/// URIs, one a line.
pub(super) fn uris(text: &str) -> Result<Found, ImportError> {
    let mut found = Found::default();
    let lines = text.lines().map(str::trim).zip(1u64..).filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    for (line, number) in lines {
        let place = format!("line {number}");
        if migration_in(line) {
            migration(line, &place, &mut found)?;
            continue;
        }
        if !line.to_ascii_lowercase().starts_with("otpauth://") {
            return Err(malformed(Format::Otpauth, format!("line {number} does not begin with otpauth://")));
        }
        match seed(line) {
            Ok(totp) => {
                let (label, issuer) = label_of(line);
                let (address, user, title) = of_label(&label, &issuer);
                found.entries.push(Entry { place, number, title, address, user, totp, ..Entry::default() });
            }
            Err(why) => found.left_out.push(LeftOut::new(&place, why)),
        }
    }
    Ok(found)
}

/// Label and issuer of a URI (Key URI Format of Google's authenticator).
fn label_of(uri: &str) -> (String, String) {
    let behind = uri.splitn(4, '/').nth(3).unwrap_or_default();
    let (label, query) = behind.split_once('?').unwrap_or((behind, ""));
    let issuer = query.split('&').find_map(|pair| pair.strip_prefix("issuer=")).unwrap_or_default();
    (percent_decoded(label), percent_decoded(issuer))
}

fn percent_decoded(text: &str) -> String {
    String::from_utf8_lossy(&percent_decode(text)).replace('+', " ")
}

/// The fields of a message in the wire format of protocol buffers: a number and a varint, or bytes.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next field; `Some(None)` at the end, `None` where it is none.
    fn field(&mut self) -> Option<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Bytes(self.take(4)?),
            _ => return None,
        };
        Some(Some((tag >> 3, value)))
    }
}

/// One account of such a message: `OtpParameters` of Google Authenticator's migration payload.
#[derive(Default)]
struct Moved<'a> {
    secret: &'a [u8],
    name: String,
    issuer: String,
    algorithm: u64,
    digits: u64,
    kind: u64,
}

fn moved(bytes: &[u8]) -> Option<Moved<'_>> {
    let (mut message, mut moved) = (Message(bytes), Moved::default());
    while let Some((field, value)) = message.field()? {
        match (field, value) {
            (1, Value::Bytes(secret)) => moved.secret = secret,
            (2, Value::Bytes(name)) => moved.name = String::from_utf8_lossy(name).into_owned(),
            (3, Value::Bytes(issuer)) => moved.issuer = String::from_utf8_lossy(issuer).into_owned(),
            (4, Value::Number(number)) => moved.algorithm = number,
            (5, Value::Number(number)) => moved.digits = number,
            (6, Value::Number(number)) => moved.kind = number,
            _ => {}
        }
    }
    Some(moved)
}

fn migration(uri: &str, place: &str, found: &mut Found) -> Result<(), ImportError> {
    let cut =
        || malformed(Format::Otpauth, format!("{place}: the data of the otpauth-migration URI is cut off or damaged"));
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    let data = query.split('&').find_map(|pair| pair.strip_prefix("data=")).ok_or_else(cut)?;
    let data = percent_decode(data);
    // A '+' that became a blank on its way.
    let data: Zeroizing<Vec<u8>> =
        Zeroizing::new(data.iter().map(|byte| if *byte == b' ' { b'+' } else { *byte }).collect());
    let stripped = data.trim_ascii_end();
    let bytes = BASE64.decode(stripped).or_else(|_| BASE64URL_NOPAD.decode(stripped)).map_err(|_| cut())?;
    let bytes = Zeroizing::new(bytes);
    let (mut message, mut number, mut batch) = (Message(&bytes), found.entries.len() as u64, (1, 0));
    while let Some((field, value)) = message.field().ok_or_else(cut)? {
        match (field, value) {
            (1, Value::Bytes(account)) => {
                number += 1;
                let moved = moved(account).ok_or_else(cut)?;
                let place = format!("{place}, account {number} ({})", moved.name);
                match seed_of_moved(&moved) {
                    Ok(totp) => {
                        let (address, user, title) = of_label(&moved.name, &moved.issuer);
                        found.entries.push(Entry { place, number, title, address, user, totp, ..Entry::default() });
                    }
                    Err(why) => found.left_out.push(LeftOut::new(&place, why)),
                }
            }
            (3, Value::Number(size)) => batch.0 = size,
            (4, Value::Number(index)) => batch.1 = index,
            _ => {}
        }
    }
    if batch.0 > 1 {
        let why = format!("it is part {} of {}; import the others too", batch.1 + 1, batch.0);
        found.left_out.push(LeftOut::new(place, LeftOver::Other(why)));
    }
    Ok(())
}

/// 1 is SHA1, 2 SHA256, 3 SHA512, 4 MD5; 1 is six digits, 2 eight; 1 is HOTP, 2 TOTP.
fn seed_of_moved(moved: &Moved<'_>) -> Result<Option<Secret>, LeftOver> {
    if moved.kind == 1 {
        return Err(LeftOver::Seed(crate::totp::SeedError::NotTotp("hotp")));
    }
    let algorithm = match moved.algorithm {
        0 | 1 => "SHA1",
        2 => "SHA256",
        3 => "SHA512",
        _ => return Err(LeftOver::Other("its codes are made with MD5, which rotord does not know".into())),
    };
    let digits = if moved.digits == 2 { "8" } else { "6" };
    seed_of(&Zeroizing::new(BASE32_NOPAD.encode(moved.secret)), algorithm, digits, "30")
}

/// Aegis' vault (docs/vault.md of its repository), without encryption.
#[derive(Deserialize)]
struct Aegis {
    db: AegisContents,
}

#[derive(Deserialize)]
struct AegisContents {
    entries: Vec<AegisEntry>,
}

#[derive(Deserialize)]
struct AegisEntry {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    issuer: String,
    info: AegisInfo,
}

#[derive(Deserialize)]
struct AegisInfo {
    secret: Text,
    #[serde(default)]
    algo: String,
    #[serde(default)]
    digits: u64,
    #[serde(default)]
    period: u64,
}

pub(super) fn aegis(text: &str, passphrase: Option<&Secret>) -> Result<Found, ImportError> {
    let wrong = |error: serde_json::Error| malformed(Format::Aegis, format!("line {}", error.line()));
    let AegisContents { entries } = if super::aegis::is_encrypted(text.as_bytes()) {
        serde_json::from_str(&super::aegis::open(text, passphrase)?).map_err(wrong)?
    } else {
        serde_json::from_str::<Aegis>(text).map_err(wrong)?.db
    };
    let mut found = Found::default();
    for (number, entry) in (1u64..).zip(entries) {
        let place = format!("entry {number} ({} {})", entry.issuer, entry.name);
        let or_none = |number: u64| if number == 0 { String::new() } else { number.to_string() };
        let AegisInfo { secret, algo, digits, period } = &entry.info;
        let totp = if entry.kind == "totp" {
            seed_of(secret, algo, &or_none(*digits), &or_none(*period))
        } else {
            Err(LeftOver::Other("its codes are none of the time (TOTP)".into()))
        };
        match totp {
            Ok(totp) => {
                let (address, user, title) = of_label(&entry.name, &entry.issuer);
                found.entries.push(Entry { place, number, title, address, user, totp, ..Entry::default() });
            }
            Err(why) => found.left_out.push(LeftOut::new(&place, why)),
        }
    }
    Ok(found)
}

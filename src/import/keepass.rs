//! Databases of KeePass, KeePassXC and their like: KDBX 3.1 and 4.

use keepass::db::{DatabaseFormatError, DatabaseOpenError, EntryRef};
use keepass::error::{Kdbx3OpenError, Kdbx4OpenError};
use keepass::{Database, DatabaseKey};

use super::entry::{Address, Entry, LeftOut, LeftOver, given, password, seed, seed_of};
use super::{Format, Found, ImportError, malformed};
use crate::model::Secret;

pub(super) fn read(bytes: &[u8], passphrase: Option<&Secret>) -> Result<Found, ImportError> {
    let Some(passphrase) = passphrase else { return Err(ImportError::Passphrase) };
    let key = DatabaseKey::new().with_password(passphrase.expose());
    let database = Database::parse(bytes, key).map_err(|error| match error {
        DatabaseOpenError::UnsupportedVersion | DatabaseOpenError::VersionParse(_) => {
            malformed(Format::Keepass, "its version is not known; KDBX 3.1 and 4 are")
        }
        // Behind the right passphrase.
        DatabaseOpenError::Format(DatabaseFormatError::Kdbx3(Kdbx3OpenError::Xml(_)))
        | DatabaseOpenError::Format(DatabaseFormatError::Kdbx4(Kdbx4OpenError::Xml(_))) => {
            malformed(Format::Keepass, "its contents are not as KeePass writes them; save it once in KeePassXC")
        }
        _ => ImportError::Passphrase,
    })?;
    let bin = database.recycle_bin().map(|bin| bin.id());
    let mut found = Found::default();
    for (number, entry) in (1u64..).zip(database.iter_all_entries()) {
        let (groups, thrown_away) = groups(&entry, bin);
        if thrown_away {
            continue;
        }
        let title = entry.get_title().unwrap_or_default().to_owned();
        let place = format!("entry {}{title}", groups.iter().map(|group| format!("{group}/")).collect::<String>());
        match totp(&entry) {
            Ok(totp) => found.entries.push(Entry {
                place,
                number,
                title,
                address: entry.get_url().and_then(Address::parse),
                user: entry.get_username().and_then(given).map(str::to_owned),
                password: entry.get_password().and_then(password),
                totp,
                ..Entry::default()
            }),
            Err(why) => found.left_out.push(LeftOut::new(&place, why)),
        }
    }
    found.entries.sort_by(|one, other| one.place.cmp(&other.place));
    found.without_secrets();
    Ok(found)
}

/// The groups above an entry, without the root, and whether it was thrown away.
fn groups(entry: &EntryRef<'_>, bin: Option<keepass::db::GroupId>) -> (Vec<String>, bool) {
    let (mut names, mut thrown_away) = (Vec::new(), false);
    let mut next = Some(entry.parent().id());
    while let Some(group) = next.and_then(|id| entry.database().group(id)) {
        thrown_away |= Some(group.id()) == bin;
        next = group.parent().map(|parent| parent.id());
        if next.is_some() {
            names.push(group.name.clone());
        }
    }
    names.reverse();
    (names, thrown_away)
}

/// The seed of an entry, wherever it is kept: `otp` with a URI (KeePassXC, and KeeOtp with a query), `TimeOtp-…` (KeePass 2.47),
/// `TOTP Seed` and `TOTP Settings` (KeeTrayTOTP, and KeePassXC of old).
fn totp(entry: &EntryRef<'_>) -> Result<Option<Secret>, LeftOver> {
    let field = |name: &str| entry.get(name).and_then(given);
    if let Some(otp) = field("otp") {
        // KeeOtp: key=…&step=30&size=6.
        if let Some(rest) = otp.strip_prefix("key=") {
            let (key, more) = rest.split_once('&').unwrap_or((rest, ""));
            let of = |name: &str| more.split('&').find_map(|pair| pair.strip_prefix(name)).unwrap_or_default();
            return seed_of(key, of("otpHashMode="), of("size="), of("step="));
        }
        return seed(otp);
    }
    if field("TimeOtp-Secret").is_some()
        || field("TimeOtp-Secret-Hex").is_some()
        || field("TimeOtp-Secret-Base64").is_some()
    {
        return time_otp_in_bytes(&field);
    }
    if let Some(secret) = field("TimeOtp-Secret-Base32") {
        let more = |name| field(name).unwrap_or_default();
        return seed_of(secret, more("TimeOtp-Algorithm"), more("TimeOtp-Length"), more("TimeOtp-Period"));
    }
    if field("HmacOtp-Secret-Base32").or_else(|| field("HmacOtp-Secret")).is_some() {
        return Err(LeftOver::Seed(crate::totp::SeedError::NotTotp("hotp")));
    }
    let Some(secret) = field("TOTP Seed") else { return Ok(None) };
    let settings = field("TOTP Settings").unwrap_or("30;6");
    let mut parts = settings.split(';');
    let (period, digits) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if digits.trim() == "S" {
        return Err(LeftOver::Other("its codes are Steam's, which rotord does not make".into()));
    }
    seed_of(secret, "", digits, period)
}

/// `TimeOtp-Secret` holds the key as text, `-Hex` and `-Base64` as bytes (KeePass' help, "One-Time Passwords").
fn time_otp_in_bytes<'a>(field: &impl Fn(&'a str) -> Option<&'a str>) -> Result<Option<Secret>, LeftOver> {
    use data_encoding::{BASE32_NOPAD, BASE64, HEXUPPER_PERMISSIVE};
    let wrong = |_| LeftOver::Other("its key of TimeOtp-… cannot be read".into());
    let bytes = match (field("TimeOtp-Secret"), field("TimeOtp-Secret-Hex"), field("TimeOtp-Secret-Base64")) {
        (Some(text), ..) => text.as_bytes().to_vec(),
        (_, Some(hex), _) => HEXUPPER_PERMISSIVE.decode(hex.trim().as_bytes()).map_err(wrong)?,
        (_, _, Some(base64)) => BASE64.decode(base64.trim().as_bytes()).map_err(wrong)?,
        _ => return Ok(None),
    };
    let bytes = zeroize::Zeroizing::new(bytes);
    let more = |name| field(name).unwrap_or_default();
    let base32 = zeroize::Zeroizing::new(BASE32_NOPAD.encode(&bytes));
    seed_of(&base32, more("TimeOtp-Algorithm"), more("TimeOtp-Length"), more("TimeOtp-Period"))
}

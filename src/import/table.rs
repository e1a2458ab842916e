//! CSV as password managers, vaults and spreadsheets write it. The header tells what stands in a column.

use super::entry::{Address, Entry, LeftOut, LeftOver, given, password, seed};
use super::records::{Record, records};
use super::{Format, Found, ImportError, malformed};

/// What stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    /// `DEVICE/USERNAME`.
    Account,
    Title,
    Address,
    Port,
    User,
    Password,
    Totp,
    Group,
    Platform,
    /// Nothing that is taken over.
    Ignored,
}

/// Names of columns, in lower case without blanks and signs, and who writes them.
#[rustfmt::skip]
const NAMES: &[(&str, Column, &str)] = &[
    // KeePass 1 and its exports from KeePass 2: "Account","Login Name","Password","Web Site","Comments".
    ("loginname", Column::User, "KeePass"), ("website", Column::Address, "KeePass, 1Password"), ("comments", Column::Ignored, "KeePass"),
    // KeePassXC: "Group","Title","Username","Password","URL","Notes","TOTP","Icon","Last Modified","Created".
    ("group", Column::Group, "KeePassXC"), ("title", Column::Title, "KeePassXC, 1Password"), ("username", Column::User, "KeePassXC, 1Password, LastPass, CyberArk"),
    ("password", Column::Password, "all"), ("url", Column::Address, "KeePassXC, LastPass"), ("notes", Column::Ignored, "KeePassXC, Bitwarden"),
    ("totp", Column::Totp, "KeePassXC, LastPass"), ("icon", Column::Ignored, "KeePassXC"), ("lastmodified", Column::Ignored, "KeePassXC"),
    ("created", Column::Ignored, "KeePassXC"),
    // Bitwarden: folder,favorite,type,name,notes,fields,reprompt,login_uri,login_username,login_password,login_totp.
    ("folder", Column::Group, "Bitwarden"), ("favorite", Column::Ignored, "Bitwarden, 1Password"), ("type", Column::Ignored, "Bitwarden"),
    ("name", Column::Title, "Bitwarden, LastPass"), ("fields", Column::Ignored, "Bitwarden"), ("reprompt", Column::Ignored, "Bitwarden"),
    ("loginuri", Column::Address, "Bitwarden"), ("loginusername", Column::User, "Bitwarden"), ("loginpassword", Column::Password, "Bitwarden"),
    ("logintotp", Column::Totp, "Bitwarden"), ("archiveddate", Column::Ignored, "Bitwarden"), ("collections", Column::Group, "Bitwarden"),
    // 1Password: Title,Url,Username,Password,OTPAuth,Favorite,Archived,Tags,Notes.
    ("otpauth", Column::Totp, "1Password, Safari"), ("archived", Column::Ignored, "1Password"), ("tags", Column::Ignored, "1Password"),
    ("onetimepassword", Column::Totp, "1Password"),
    // LastPass: url,username,password,totp,extra,name,grouping,fav.
    ("extra", Column::Ignored, "LastPass"), ("grouping", Column::Group, "LastPass"), ("fav", Column::Ignored, "LastPass"),
    // CyberArk: the accounts API and its bulk upload (userName, address, safeName, platformID, secret …), and PACLI's exports.
    ("address", Column::Address, "CyberArk"), ("safename", Column::Group, "CyberArk"), ("safe", Column::Group, "CyberArk"),
    ("platformid", Column::Platform, "CyberArk"), ("policyid", Column::Platform, "CyberArk"), ("secret", Column::Password, "CyberArk"),
    ("secrettype", Column::Ignored, "CyberArk"), ("automaticmanagementenabled", Column::Ignored, "CyberArk"),
    ("manualmanagementreason", Column::Ignored, "CyberArk"), ("groupname", Column::Ignored, "CyberArk"),
    ("groupplatformid", Column::Ignored, "CyberArk"), ("remotemachines", Column::Ignored, "CyberArk"),
    ("accessrestrictedtoremotemachines", Column::Ignored, "CyberArk"), ("devicetype", Column::Ignored, "CyberArk"),
    ("passwordname", Column::Title, "CyberArk"), ("uploadindex", Column::Ignored, "CyberArk"), ("port", Column::Port, "CyberArk, spreadsheets"),
    // Vaults and spreadsheets that name them so: senhasegura's credential list, and inventories made by hand.
    ("hostname", Column::Title, "senhasegura, spreadsheets"), ("host", Column::Address, "spreadsheets"), ("ip", Column::Address, "senhasegura, spreadsheets"),
    ("ipaddress", Column::Address, "spreadsheets"), ("device", Column::Title, "spreadsheets"), ("devicename", Column::Title, "spreadsheets"),
    ("server", Column::Address, "spreadsheets"), ("managementip", Column::Address, "senhasegura, spreadsheets"), ("user", Column::User, "spreadsheets"),
    ("login", Column::User, "spreadsheets"), ("credential", Column::User, "senhasegura"), ("seed", Column::Totp, "spreadsheets"),
    ("otp", Column::Totp, "spreadsheets"), ("totpseed", Column::Totp, "KeePass"), ("totpsecret", Column::Totp, "spreadsheets"),
    ("additionalinformation", Column::Ignored, "senhasegura"), ("passwordtype", Column::Ignored, "senhasegura"), ("product", Column::Ignored, "senhasegura"),
    ("vendor", Column::Ignored, "senhasegura"), ("site", Column::Ignored, "senhasegura"), ("note", Column::Ignored, "browsers"),
    // rotord's own.
    ("account", Column::Account, "rotord, KeePass"),
];

fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase()
}

fn column(name: &str) -> Option<Column> {
    let name = plain(name);
    NAMES.iter().find(|(known, ..)| *known == name).map(|(_, column, _)| *column)
}

/// The columns of a header, where it is one that is known: a user or an account, and a password or a seed.
fn columns(header: &Record) -> Option<Vec<Column>> {
    let names: Vec<Option<Column>> = header.fields.iter().map(|field| column(field)).collect();
    let has = |column| names.contains(&Some(column));
    let known = (has(Column::User) || has(Column::Account)) && (has(Column::Password) || has(Column::Totp));
    // KeePass 1 calls an entry's title its account.
    let has_user = has(Column::User);
    let titled = |column| if column == Column::Account && has_user { Column::Title } else { column };
    known.then(|| names.into_iter().map(|name| titled(name.unwrap_or(Column::Ignored))).collect())
}

fn header(text: &str) -> Option<Record> {
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    records(line).0.into_iter().next()
}

/// Whether it is rotord's own: nothing but `account`, `password`, `totp`.
pub(super) fn is_own(text: &str) -> bool {
    let own = |field: &str| ["account", "password", "totp"].contains(&field.trim().to_ascii_lowercase().as_str());
    header(text).is_some_and(|header| header.fields.iter().all(|field| own(field)))
}

/// Whether its header is one that is known.
pub(super) fn is_known(text: &str) -> bool {
    header(text).is_some_and(|header| columns(&header).is_some())
}

pub(super) fn read(text: &str) -> Result<Found, ImportError> {
    let (records, slip) = records(text);
    if let Some(slip) = slip {
        return Err(malformed(Format::Csv, slip));
    }
    let mut records = records.iter().filter(|record| !record.is_blank());
    let columns = records.next().and_then(columns).ok_or_else(|| {
        malformed(
            Format::Csv,
            "its header names no user and no password or seed; see docs/migrate.md for the headers that are known",
        )
    })?;
    let mut found = Found::default();
    for record in records {
        let place = format!("line {}", record.line);
        match entry(record, &columns, &place) {
            Ok(entry) => found.entries.push(entry),
            Err(why) => found.left_out.push(LeftOut::new(&place, why)),
        }
    }
    Ok(found)
}

fn entry(record: &Record, columns: &[Column], place: &str) -> Result<Entry, LeftOver> {
    if record.fields.len() > columns.len() {
        return Err(LeftOver::Other(
            "it has more fields than the header; a value with a comma stands in quotes".into(),
        ));
    }
    let whole = |wanted: Column| {
        let fields = columns.iter().zip(&record.fields).filter(|(column, _)| **column == wanted);
        fields.map(|(_, field)| field.as_str()).find(|field| !field.trim().is_empty()).unwrap_or_default()
    };
    let value = |wanted| given(whole(wanted).trim()).map(str::to_owned);
    let (mut title, mut user) = (value(Column::Title).unwrap_or_default(), value(Column::User));
    if let Some((device, name)) = value(Column::Account).as_deref().and_then(|account| account.split_once('/')) {
        (title, user) = (device.to_owned(), Some(name.to_owned()));
    }
    // LastPass writes http://sn where an entry has no address.
    let text = value(Column::Address).filter(|text| text != "http://sn");
    // Bitwarden writes several, with a comma between.
    let mut all = text.as_deref().unwrap_or_default().split(',').filter_map(Address::parse);
    let first = all.next();
    let mut address = first.clone().filter(|address| !address.is_web).or_else(|| all.find(|it| !it.is_web)).or(first);
    if let (Some(address), Some(port)) = (&mut address, value(Column::Port)) {
        address.port = port.parse().ok().or(address.port);
    }
    let secret = whole(Column::Password);
    if secret.trim() != secret && !secret.trim().is_empty() {
        return Err(LeftOver::Other(
            "its password begins or ends with a space; store it with 'rotorctl secret set'".into(),
        ));
    }
    Ok(Entry {
        place: place.to_owned(),
        number: record.line,
        title,
        address,
        user,
        password: password(secret),
        totp: seed(whole(Column::Totp))?,
        platform: value(Column::Platform),
        ..Entry::default()
    })
}

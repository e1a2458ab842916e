//! An entry of a file: a device, an account on it, and its secrets, as far as the file tells.

use super::host_keys::ChangedKey;
use crate::model::Secret;
use crate::totp::{Seed, SeedError};

/// Where a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Its name or address, in lower case.
    pub host: String,
    /// Its port, where one is named.
    pub port: Option<u16>,
    /// It is that of a web page.
    pub is_web: bool,
}

impl Address {
    /// An address as people write it: `host`, `host:port`, `[2001:db8::1]:port`, `ssh://user@host:port/`, `https://host/path`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
        let scheme = scheme.map(str::to_ascii_lowercase);
        let is_web = scheme.as_deref().is_some_and(|scheme| scheme.starts_with("http"));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, behind)) => (host, behind.strip_prefix(':')),
            None if authority.matches(':').count() == 1 => {
                authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)))
            }
            None => (authority, None),
        };
        let port = match port {
            None | Some("") => None,
            Some(port) => Some(port.parse().ok().filter(|port| *port > 0)?),
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
        let known = matches!(scheme.as_deref(), None | Some("ssh" | "sftp" | "scp" | "telnet" | "http" | "https"));
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        (known && !host.is_empty() && host.chars().all(fits)).then_some(Self { host, port, is_web })
    }

    /// As the config has it.
    #[must_use]
    pub fn in_config(&self) -> String {
        match self.port {
            Some(port) if self.host.contains(':') => format!("[{}]:{port}", self.host),
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }
}

/// An entry.
#[derive(Debug, Default)]
pub struct Entry {
    /// Where in the file it stands, for people.
    pub place: String,
    /// Its line, or its number in the file, from 1.
    pub number: u64,
    /// Its name there.
    pub title: String,
    /// The address of the device.
    pub address: Option<Address>,
    /// The user name.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The seed, as an `otpauth://` URI.
    pub totp: Option<Secret>,
    /// What kind of device it is, in the words of the file: `cisco.ios.ios`, `UnixSSH`.
    pub platform: Option<String>,
    /// The name of the device to go through.
    pub jump: Option<String>,
    /// What of it is not taken over.
    pub notes: Vec<String>,
}

/// A host key of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    /// Its line.
    pub line: u64,
    /// The hosts, as the file has them.
    pub hosts: String,
    /// The key, as SSH writes it.
    pub key: Vec<u8>,
}

/// A line that revokes a host key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Its line.
    pub line: u64,
    /// The hosts; `None` where they cannot be read, so that it may be about any.
    pub hosts: Option<String>,
    /// The key; `None` where it cannot be read, so that it may be any.
    pub key: Option<Vec<u8>>,
}

/// Why something is not taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeftOver {
    /// No password and no seed.
    #[error("neither a password nor a seed of one-time codes")]
    NoSecret,
    /// No user name.
    #[error("no user name")]
    NoUser,
    /// No device.
    #[error("nothing tells its device: no address, and its name is none of a device in the config")]
    NoDevice,
    /// A web page.
    #[error(
        "its address {0} is that of a web page; where it is a device that is reached over SSH, write ssh://HOST there"
    )]
    Web(String),
    /// The name is a device's, and the address is another's.
    #[error("its name is that of the device {device}, and its address {given} is not that of the device ({known})")]
    OtherAddress {
        /// The device.
        device: String,
        /// What the file has.
        given: String,
        /// What the config has.
        known: String,
    },
    /// No template for a new device.
    #[error("the device {0} is not in the config, and nothing tells its template; give --template TEMPLATE")]
    NoTemplate(String),
    /// The user name cannot be an account's.
    #[error("it cannot be an account: {0}")]
    Name(String),
    /// The seed is none.
    #[error("its seed cannot be used: {0}")]
    Seed(SeedError),
    /// Other host keys are on record for the device.
    #[error(
        "the host key of {} has CHANGED: here is {} {}, on record is {}. If nobody replaced the device or its keys, somebody else may answer in its place. If it is right: --accept-key {}={}",
        .0.device, .0.kind, .0.fingerprint, .0.on_record.join(", "), .0.device, .0.fingerprint
    )]
    KeyChanged(ChangedKey),
    /// It stands there twice.
    #[error("the file has {0} twice, with different secrets")]
    Twice(String),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

/// Something that is not taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Where in the file it stands.
    pub place: String,
    /// Why.
    pub why: LeftOver,
}

impl LeftOut {
    /// What stands there.
    #[must_use]
    pub fn new(place: &str, why: LeftOver) -> Self {
        Self { place: place.to_owned(), why }
    }
}

/// A value that is there.
pub(super) fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.trim().is_empty())
}

/// A password as it stands in the file, where there is one.
pub(super) fn password(text: &str) -> Option<Secret> {
    given(text).map(|text| Secret::new(text.to_owned()))
}

/// A seed from Base32 or a URI, as one URI.
pub(super) fn seed(text: &str) -> Result<Option<Secret>, LeftOver> {
    let Some(text) = given(text) else { return Ok(None) };
    Seed::parse(text).map(|seed| Some(seed.to_uri())).map_err(LeftOver::Seed)
}

/// A seed with its parameters.
pub(super) fn seed_of(base32: &str, algorithm: &str, digits: &str, period: &str) -> Result<Option<Secret>, LeftOver> {
    let Some(base32) = given(base32) else { return Ok(None) };
    let plain: String = base32.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let mut uri = zeroize::Zeroizing::new(format!("otpauth://totp/x?secret={plain}"));
    for (name, value) in [("algorithm", algorithm), ("digits", digits), ("period", period)] {
        if let Some(value) = given(value) {
            uri.push_str(&format!("&{name}={}", value.trim()));
        }
    }
    seed(&uri)
}

/// Device and user of an authenticator's label: `user@host`, `Issuer:user@host`, `user` with the issuer as its device.
pub(super) fn of_label(label: &str, issuer: &str) -> (Option<Address>, Option<String>, String) {
    let plain = label.trim();
    let name = plain.split_once(':').map_or(plain, |(_, rest)| rest.trim());
    let of_issuer = if issuer.trim().is_empty() {
        plain.split_once(':').map(|(before, _)| before.trim()).unwrap_or_default()
    } else {
        issuer.trim()
    };
    match name.rsplit_once('@') {
        Some((user, host)) if !user.is_empty() => (Address::parse(host), Some(user.to_owned()), of_issuer.to_owned()),
        _ => (None, given(name).map(str::to_owned), of_issuer.to_owned()),
    }
}

/// A secret text of a JSON file.
pub(super) struct Text(zeroize::Zeroizing<String>);

impl<'de> serde::Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(zeroize::Zeroizing::new(text)))
    }
}

impl std::ops::Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

//! What other programs keep of devices and accounts, read from their files: inventories, password managers, authenticators.
//!
//! Pure: the bytes of a file become entries, and entries become a plan for a config. What cannot be taken over is told beside what
//! can, never guessed at. No secret stands in a message.

mod aegis;
mod ansible;
mod codes;
mod entry;
mod host_keys;
mod keepass;
mod managers;
mod plan;
pub(crate) mod records;
mod ssh_config;
mod table;

pub use codes::migration_in;
pub use entry::{Address, Entry, HostKey, LeftOut, LeftOver, Revocation};
pub use host_keys::{AcceptedKey, ChangedKey, PlannedKey};
pub use plan::{KnownDevice, NewDevice, Plan, Row, Wishes, plan};

use zeroize::Zeroizing;

use crate::model::Secret;

/// A format that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// rotord's own CSV: `account,password,totp`.
    Own,
    /// A CSV of a password manager, a vault or a spreadsheet.
    Csv,
    /// A database of KeePass, KDBX 3.1 or 4.
    Keepass,
    /// Bitwarden's JSON export, which Vaultwarden has too.
    Bitwarden,
    /// Aegis' JSON export.
    Aegis,
    /// `otpauth://` URIs, one a line, and those with which Google Authenticator moves accounts.
    Otpauth,
    /// What `ansible-inventory --list` prints.
    Ansible,
    /// An OpenSSH client's configuration.
    SshConfig,
    /// OpenSSH's `known_hosts`.
    KnownHosts,
}

/// All of them, with the names that the command has for them.
pub const FORMATS: [(&str, Format); 9] = [
    ("rotord", Format::Own),
    ("csv", Format::Csv),
    ("keepass", Format::Keepass),
    ("bitwarden", Format::Bitwarden),
    ("aegis", Format::Aegis),
    ("otpauth", Format::Otpauth),
    ("ansible", Format::Ansible),
    ("ssh-config", Format::SshConfig),
    ("known-hosts", Format::KnownHosts),
];

impl Format {
    /// The format of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        FORMATS.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        FORMATS.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| name)
    }

    /// Whether it describes devices, and a password or a seed need not stand in it.
    fn is_inventory(self) -> bool {
        matches!(self, Self::Ansible | Self::SshConfig | Self::KnownHosts)
    }
}

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Nothing tells which format it has.
    #[error("its format is not known; name it with --format: {}", FORMATS.map(|(name, _)| name).join(", "))]
    Unknown,
    /// It is not of the format.
    #[error("it cannot be read as {format}: {why}")]
    Malformed {
        /// The format.
        format: &'static str,
        /// Why, without a part of it.
        why: String,
    },
    /// It is encrypted in a way that is not read.
    #[error("it is encrypted; {0}")]
    Encrypted(&'static str),
    /// The passphrase is wrong, or the file is damaged.
    #[error("it cannot be opened: the passphrase is wrong, or a key file is needed too, or the file is damaged")]
    Passphrase,
}

fn malformed(format: Format, why: impl Into<String>) -> ImportError {
    ImportError::Malformed { format: format.name(), why: why.into() }
}

/// The first bytes of a database of KeePass (its file format, and `KDBX_IDENTIFIER` of its readers).
const KEEPASS: [u8; 4] = [0x03, 0xD9, 0xA2, 0x9A];

/// The format that the bytes tell of; `None` where they tell of none.
#[must_use]
pub fn detect(bytes: &[u8]) -> Option<Format> {
    if bytes.starts_with(&KEEPASS) {
        return Some(Format::Keepass);
    }
    let text = std::str::from_utf8(bytes).ok()?.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with('{') {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        return [
            ("_meta", Format::Ansible),
            ("items", Format::Bitwarden),
            ("encrypted", Format::Bitwarden),
            ("header", Format::Aegis),
            ("all", Format::Ansible),
        ]
        .into_iter()
        .find(|(key, _)| value.get(key).is_some())
        .map(|(_, format)| format);
    }
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    if first.is_some_and(|line| line.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("otpauth"))) {
        return Some(Format::Otpauth);
    }
    // What was read before is read as before.
    if table::is_own(text) {
        return Some(Format::Own);
    }
    if table::is_known(text) {
        return Some(Format::Csv);
    }
    if crate::known_hosts::lines(bytes).next().is_some_and(|line| line.is_ok()) {
        return Some(Format::KnownHosts);
    }
    ssh_config::is_one(text).then_some(Format::SshConfig)
}

/// What stands in a file.
#[derive(Debug, Default)]
pub struct Found {
    /// Devices and accounts.
    pub entries: Vec<Entry>,
    /// Host keys.
    pub host_keys: Vec<HostKey>,
    /// Host keys that are never to be trusted.
    pub revocations: Vec<Revocation>,
    /// What is not taken over.
    pub left_out: Vec<LeftOut>,
}

/// Whether a file of this format is opened with a passphrase.
#[must_use]
pub fn needs_passphrase(format: Format, bytes: &[u8]) -> bool {
    format == Format::Keepass || (format == Format::Aegis && aegis::is_encrypted(bytes))
}

/// Reads a file of a format.
///
/// # Errors
/// It is not of that format, is encrypted in a way that is not read, or the passphrase is wrong.
pub fn read(format: Format, bytes: &[u8], passphrase: Option<&Secret>) -> Result<Found, ImportError> {
    if format == Format::Keepass {
        return keepass::read(bytes, passphrase);
    }
    if format == Format::KnownHosts {
        return Ok(ssh_config::known_hosts(bytes));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| malformed(format, "it is not UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}');
    let json = || -> Result<Zeroizing<String>, ImportError> { Ok(Zeroizing::new(text.to_owned())) };
    let mut found = match format {
        Format::Own | Format::Csv => table::read(text)?,
        Format::Bitwarden => managers::bitwarden(&json()?)?,
        Format::Aegis => codes::aegis(&json()?, passphrase)?,
        Format::Otpauth => codes::uris(text)?,
        Format::Ansible => ansible::read(&json()?)?,
        Format::SshConfig => ssh_config::read(text),
        Format::Keepass | Format::KnownHosts => Found::default(),
    };
    if !format.is_inventory() {
        found.without_secrets();
    }
    Ok(found)
}

impl Found {
    /// Of a file of secrets, entries without one are of no use.
    fn without_secrets(&mut self) {
        let (kept, empty): (Vec<Entry>, Vec<Entry>) =
            self.entries.drain(..).partition(|entry| entry.password.is_some() || entry.totp.is_some());
        self.entries = kept;
        self.left_out.extend(empty.into_iter().map(|entry| LeftOut::new(&entry.place, LeftOver::NoSecret)));
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

//! What is taken over, and the keys of hosts that are trusted.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{SecretText, whole_number};

/// One line of an import.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportRow {
    /// Line of the file, from 1.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    #[serde(deserialize_with = "whole_number")]
    pub line: u64,
    /// `DEVICE/USERNAME`.
    #[schema(example = "web1/admin")]
    pub account: String,
    /// The password, where there is one.
    #[schema(value_type = Option<String>)]
    pub password: Option<SecretText>,
    /// The TOTP seed, where there is one.
    #[schema(value_type = Option<String>)]
    pub totp: Option<SecretText>,
}

/// `import`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportBody {
    /// All or none are stored.
    pub rows: Vec<ImportRow>,
    /// Store passwords too that rotord has replaced since, or whose account is between two.
    #[serde(default)]
    pub overwrite: bool,
    /// Sections were just written: read the config again, and put it in force together with what is stored, or neither.
    #[serde(default)]
    pub take_in: bool,
    /// Host keys to trust, which a person has compared.
    #[serde(default)]
    pub host_keys: Vec<ImportedKey>,
}

/// A host key of an import.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportedKey {
    /// The device.
    #[schema(example = "web1")]
    pub device: String,
    /// The key in OpenSSH's format.
    #[schema(example = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPs/6FBIFSpSk6NrwiDDSpQMsCxpyGGYYyfGRVM6qxu+")]
    pub key: String,
    /// What is on record for the device, as `import/look` tells it. Where that is something else, and the key is none of it, the
    /// whole import is refused: a key comes beside others only where that is said.
    #[serde(default)]
    pub on_record: Vec<String>,
}

/// What an import is looked at beside.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportLookBody {
    /// The file that is to come into `config.d`; it is checked with the rest of the config.
    #[serde(default)]
    pub draft: Option<crate::control::DraftBody>,
}

/// A device of the config, as an import finds it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ImportDevice {
    /// Its name.
    pub name: String,
    /// Its host.
    pub host: String,
    /// Its port, where it is reached over SSH.
    pub port: Option<u16>,
    /// The user names of its accounts.
    pub users: Vec<String>,
    /// The host keys on record: `SHA256:…`, `@cert-authority SHA256:…`, and in round brackets what is on record and cannot be read.
    pub fingerprints: Vec<String>,
    /// The device to go through.
    #[serde(default)]
    pub jump: Option<String>,
}

/// What an import is looked at beside.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ImportLookedBody {
    /// The devices.
    pub devices: Vec<ImportDevice>,
    /// The file of the draft, as the daemon would read it.
    pub file: Option<String>,
}

/// What an import did.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ImportedBody {
    /// In words.
    pub done: String,
    /// Passwords that were left out.
    pub skipped: Vec<SkippedBody>,
    /// Host keys that came on record.
    #[serde(default)]
    pub host_keys: Vec<TrustedKeyBody>,
}

/// A host key that an import put on record.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TrustedKeyBody {
    /// Its device.
    pub device: String,
    /// Such as `ssh-ed25519`.
    pub kind: String,
    /// `SHA256:…`.
    pub fingerprint: String,
    /// What was on record before.
    pub on_record: Vec<String>,
}

/// A password that an import left out.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SkippedBody {
    /// Line of the file, from 1.
    pub line: u64,
    /// Its account.
    pub account: String,
    /// Why.
    pub why: String,
}

/// `trust`: without a fingerprint the key is fetched and shown, with one it is stored if it is that one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustBody {
    /// The device.
    #[schema(example = "web1")]
    pub device: String,
    /// `SHA256:…`.
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(max_length = 1000, pattern = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$")]
    pub reason: Option<String>,
}

/// A host key.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HostKeyBody {
    /// The device.
    pub device: String,
    /// `SHA256:…`.
    pub fingerprint: String,
    /// The key in OpenSSH's format.
    pub key: String,
    /// Whether it is stored now.
    pub trusted: bool,
    /// The fingerprints that were on record before.
    #[serde(default)]
    pub known: Vec<String>,
    /// Whether keys were on record, and this is none of them.
    #[serde(default)]
    pub changed: bool,
    /// That the device is of another kind than its template is for, by the name of its SSH server.
    #[serde(default)]
    pub warning: Option<String>,
}

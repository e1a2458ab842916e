//! Secrets that are stored, shown or kept elsewhere.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::SecretText;

/// `otp`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OtpQuery {
    /// `DEVICE/USERNAME`.
    #[schema(example = "web1/admin")]
    pub account: String,
    /// Wait for the coming time step.
    #[serde(default)]
    pub next: bool,
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(max_length = 1000, pattern = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$")]
    pub reason: Option<String>,
}

/// A code for a person.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OtpBody {
    /// `DEVICE/USERNAME`.
    pub account: String,
    /// The code.
    #[schema(value_type = String)]
    pub token: SecretText,
    /// Seconds left in its step.
    pub seconds_left: u64,
    /// Its time step.
    pub step: u64,
    /// Seconds of a time step.
    #[serde(default)]
    pub period: u64,
}

/// A TOTP seed for an authenticator.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SeedBody {
    /// `DEVICE/USERNAME`.
    pub account: String,
    /// The seed as an `otpauth://` URI.
    #[schema(value_type = String)]
    pub uri: SecretText,
}

/// `secret set`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretBody {
    /// `DEVICE/USERNAME`.
    #[schema(example = "web1/admin")]
    pub account: String,
    /// The tag, for a secret field.
    #[serde(default)]
    pub field: Option<String>,
    /// The secret: one line.
    #[schema(value_type = String, min_length = 1, max_length = 16384, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    pub value: SecretText,
}

/// `totp set`, `ssh-key set`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyBody {
    /// `DEVICE/USERNAME`.
    #[schema(example = "web1/admin")]
    pub account: String,
    /// The seed, in Base32 or as an `otpauth://` URI; or the private key in OpenSSH's format, without a passphrase.
    #[schema(value_type = String)]
    pub value: SecretText,
}

/// `secret show`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShowBody {
    /// `DEVICE/USERNAME`.
    #[schema(example = "web1/admin")]
    pub account: String,
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(max_length = 1000, pattern = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$")]
    pub reason: Option<String>,
}

/// A former password.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FormerBody {
    /// The password.
    #[schema(value_type = String)]
    pub password: SecretText,
    /// RFC 3339, UTC.
    pub from: String,
    /// RFC 3339, UTC; absent for a candidate whose fate is not known.
    pub until: Option<String>,
}

/// A password revealed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ShownBody {
    /// `DEVICE/USERNAME`.
    pub account: String,
    /// The password in force.
    #[schema(value_type = String)]
    pub password: SecretText,
    /// RFC 3339, UTC.
    pub since: String,
    /// Former ones, and a candidate whose fate is not known.
    pub history: Vec<FormerBody>,
}

/// For whom a backup is sealed: exactly one is given.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupBody {
    /// Who knows this passphrase.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 12)]
    pub passphrase: Option<SecretText>,
    /// Who has the private half of this key, `age1…`.
    #[serde(default)]
    #[schema(pattern = "^age1[02-9ac-hj-np-z]{58}$")]
    pub recipient: Option<String>,
    /// Who has the private half of the config's `recovery_key`.
    #[serde(default)]
    pub recovery_key: bool,
}

/// A fresh vault key, and where it is kept.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RekeyBody {
    /// The key's 32 bytes in Base64.
    #[schema(value_type = String, pattern = r"^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$")]
    pub key: SecretText,
    /// The file that it stands in.
    #[schema(pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    pub file: String,
}

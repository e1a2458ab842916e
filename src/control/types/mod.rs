//! What goes over the socket.

mod browser;
mod events;
mod fleet;
mod import;
mod secrets;
mod templates;
mod work;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::model::Secret;

pub use browser::*;
pub use events::*;
pub use fleet::*;
pub use import::*;
pub use secrets::*;
pub use templates::*;
pub use work::*;

/// A secret on its way in. It is wiped when dropped, and `Debug` does not show it.
#[derive(Debug, Clone)]
pub struct SecretText(pub Secret);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

impl Serialize for SecretText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

/// A whole number, which JSON may write as `3.0` too.
fn whole_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let rounded = || number.as_f64().filter(|number| number.fract() == 0.0).map(|number| format!("{number:.0}"));
    let whole = number.as_u64().or_else(|| rounded()?.parse().ok());
    whole
        .filter(|whole| i64::try_from(*whole).is_ok())
        .ok_or_else(|| serde::de::Error::custom("expected a whole number"))
}

/// Why a request was not carried out.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// In words, with the remedy.
    pub error: String,
    /// The exit status for a program that asked.
    pub exit: u8,
}

/// Which account.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AccountQuery {
    /// `DEVICE/USERNAME`.
    #[param(example = "web1/admin")]
    pub account: String,
}

/// What was done, in words.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DoneBody {
    /// In words.
    pub done: String,
}

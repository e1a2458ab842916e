//! The templates that the daemon has.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A template of the library.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TemplateBody {
    /// Its path below its folder.
    pub name: String,
    /// Its file.
    pub file: String,
    /// `vendor` and `product`, as its `info` lines say.
    pub about: String,
    /// Whether it has no errors.
    pub sound: bool,
}

/// `template list`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TemplatesBody {
    /// By name.
    pub templates: Vec<TemplateBody>,
}

/// `template show`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TemplateQuery {
    /// Name or path.
    #[param(example = "linux-passwd")]
    pub name: String,
}

/// A template's text.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TemplateText {
    /// Its file.
    pub file: String,
    /// Its text.
    pub text: String,
}

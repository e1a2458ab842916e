//! Events: the audit log, what is followed, metrics.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::StepBody;

/// `events`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Only events with a greater number; the header `Last-Event-ID` goes before it.
    #[serde(default)]
    #[param(maximum = 9_223_372_036_854_775_807_u64)]
    pub after: Option<u64>,
    /// Only events since this time (RFC 3339). Without it and without `after`, a stream begins with the next event.
    #[serde(default)]
    #[param(format = DateTime)]
    pub since: Option<String>,
    /// Only these kinds, parted by commas; globs work, as `rotation.*`.
    #[serde(default)]
    #[param(example = "rotation.*")]
    pub kind: Option<String>,
    /// A glob over account names.
    #[serde(default)]
    pub account: Option<String>,
    /// A glob over device names.
    #[serde(default)]
    pub device: Option<String>,
    /// A glob over job names.
    #[serde(default)]
    pub job: Option<String>,
    /// The steps of attempts too, as they happen: events `step` without a number. A step that is missed is in the history.
    #[serde(default)]
    #[param(required = false)]
    pub steps: bool,
    /// `false`: the answer ends with what is there.
    #[serde(default)]
    pub follow: Option<bool>,
}

/// `metrics`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct MetricsQuery {
    /// The metrics of each account too, by name.
    #[serde(default)]
    #[param(required = false)]
    pub per_account: bool,
}

/// A step of an attempt as it happens: the data of an event `step`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StepEvent {
    /// The attempt's id.
    pub attempt: String,
    /// `DEVICE/USERNAME`.
    pub account: String,
    /// What happened.
    pub step: StepBody,
    /// How the attempt ended, with its last step.
    pub outcome: Option<String>,
}

/// Which audit events.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// Only events after this number.
    #[param(maximum = 9_223_372_036_854_775_807_u64)]
    pub after: Option<u64>,
    /// Only so many, the last ones; 1000 where absent, 10000 at most.
    #[param(maximum = 10_000)]
    pub last: Option<usize>,
    /// Only so many, the first ones, in place of the last; 10000 at most.
    #[param(maximum = 10_000)]
    pub first: Option<usize>,
}

/// Audit events as they stand in the log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditBody {
    /// In order.
    #[schema(value_type = Vec<Object>)]
    pub events: Vec<serde_json::Value>,
}

/// Which files of the audit log are set aside.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ArchiveBody {
    /// Those of months before this one, written as `2026-10`.
    #[schema(pattern = r"^[0-9]{4}-[0-9]{2}$")]
    pub before: String,
}

/// `audit accept`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptBody {
    /// Why, for the audit log.
    #[schema(
        max_length = 1000,
        pattern = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*[^\s\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069][^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"
    )]
    pub reason: String,
}

/// `audit verify`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VerifyBody {
    /// Whether every line is as it was written.
    pub ok: bool,
    /// Lines that are.
    pub events: u64,
    /// The first that is not.
    pub first_bad: Option<u64>,
    /// What is wrong with it.
    pub why: Option<String>,
}

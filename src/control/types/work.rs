//! What is asked of accounts, how it goes on, and how it ended.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::SecretText;

/// Accounts to work upon: by globs, by job, or all.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// Globs over account names.
    #[serde(default)]
    #[schema(example = json!(["web1/admin"]))]
    pub accounts: Vec<String>,
    /// A job's accounts.
    #[serde(default)]
    pub job: Option<String>,
    /// All accounts.
    #[serde(default)]
    pub all: bool,
}

/// `rotate` and `verify`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkBody {
    /// Globs over account names.
    #[serde(default)]
    #[schema(example = json!(["web1/admin"]))]
    pub accounts: Vec<String>,
    /// A job's accounts.
    #[serde(default)]
    pub job: Option<String>,
    /// All accounts.
    #[serde(default)]
    pub all: bool,
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(max_length = 1000, pattern = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$")]
    pub reason: Option<String>,
    /// Do not wait for the outcome.
    #[serde(default)]
    pub no_wait: bool,
    /// Answer with JSON lines: steps as they happen, the results last.
    #[serde(default)]
    pub stream: bool,
}

impl WorkBody {
    /// The accounts to work upon.
    #[must_use]
    pub fn selection(&self) -> Selection {
        Selection { accounts: self.accounts.clone(), job: self.job.clone(), all: self.all }
    }
}

/// `ack`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AckBody {
    /// Globs over account names.
    #[schema(min_items = 1, example = json!(["web1/*"]))]
    pub accounts: Vec<String>,
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(max_length = 1000, pattern = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$")]
    pub reason: Option<String>,
}

/// One step of an attempt.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StepBody {
    /// RFC 3339, UTC.
    pub at: String,
    /// What happened.
    pub text: String,
}

/// One account's outcome.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ResultBody {
    /// `DEVICE/USERNAME`.
    pub account: String,
    /// `done`, `refused`, `failed` or `unknown`; `accepted` where nobody waits for the outcome.
    pub outcome: String,
    /// The attempt's id.
    pub attempt: String,
    /// In words.
    pub detail: String,
    /// What is not clean about it though the outcome is `done`, such as a configuration that may not be saved.
    #[serde(default)]
    pub warning: Option<String>,
    /// What happened.
    pub steps: Vec<StepBody>,
}

/// The outcomes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ResultsBody {
    /// One an account.
    pub results: Vec<ResultBody>,
}

/// A step as it happens, in a stream.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProgressBody {
    /// `DEVICE/USERNAME`.
    pub account: String,
    /// What happened.
    pub step: StepBody,
}

/// How far work on several accounts has come, in a stream: at its begin, and once a second where it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CountBody {
    /// How many accounts are worked on.
    pub accounts: u64,
    /// How many of them have their outcome.
    pub finished: u64,
}

/// One attempt.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AttemptBody {
    /// Its id.
    pub attempt: String,
    /// `DEVICE/USERNAME`.
    pub account: String,
    /// `rotate`, `verify`, `reconcile`, `recover` or `rehearse`.
    #[serde(default)]
    pub kind: String,
    /// RFC 3339, UTC.
    pub started: String,
    /// RFC 3339, UTC.
    pub ended: Option<String>,
    /// What set it off.
    pub trigger: String,
    /// Who, as `name (uid …, pid …)`.
    pub actor: Option<String>,
    /// The job that asked.
    #[serde(default)]
    pub job: Option<String>,
    /// Why, in the words of who asked.
    #[serde(default)]
    pub reason: Option<String>,
    /// How it ended.
    pub outcome: Option<String>,
    /// In words.
    pub detail: Option<String>,
    /// What is not clean about it though the outcome is `done`.
    #[serde(default)]
    pub warning: Option<String>,
    /// What it failed of, where that decides about the remedy: `code`, `password`, `no-seed`, `host-key-unknown` or
    /// `host-key-changed`.
    #[serde(default)]
    pub failure: Option<String>,
    /// What happened.
    pub steps: Vec<StepBody>,
}

/// `history`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HistoryBody {
    /// Newest first.
    pub attempts: Vec<AttemptBody>,
}

/// What a person knows of an account in doubt.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveBody {
    /// `DEVICE/USERNAME`.
    #[schema(example = "web1/admin")]
    pub account: String,
    /// Which password the device has.
    #[schema(pattern = "^(new|old)$")]
    pub device_has: String,
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(max_length = 1000, pattern = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$")]
    pub reason: Option<String>,
}

/// A template to try on a device, up to its commit point.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RehearseBody {
    /// The device.
    #[schema(example = "web1")]
    pub device: String,
    /// `DEVICE/USERNAME`; needed where the device has several accounts.
    pub account: Option<String>,
    /// A template of the daemon's folders; the device's own where this and `text` are absent.
    pub template: Option<String>,
    /// The text of a template.
    pub text: Option<String>,
}

/// Begin a rotation whose dialogue a person leads.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordBody {
    /// The device.
    #[schema(example = "web1")]
    pub device: String,
    /// `DEVICE/USERNAME`; needed where the device has several accounts.
    pub account: Option<String>,
    /// The name of the template to be.
    pub name: String,
}

/// A turn of that dialogue.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TurnBody {
    /// The id that the beginning told.
    pub session: String,
    /// A line to send, with tags in place of secrets.
    #[schema(value_type = Option<String>)]
    pub line: Option<SecretText>,
    /// The person is done.
    #[serde(default)]
    pub finish: bool,
}

/// What came of a turn.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TurnedBody {
    /// The dialogue's id.
    pub session: String,
    /// What the device printed since the last turn, secrets masked.
    pub text: String,
    /// How the rotation ended, once it has.
    pub result: Option<ResultBody>,
    /// The account whose browser is to be looked into, where the change is made in one.
    #[serde(default)]
    pub browser: Option<String>,
    /// The recording, then.
    pub recording: Option<String>,
    /// The draft of a template, then.
    pub template: Option<String>,
}

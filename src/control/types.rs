//! What goes over the socket.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::model::Secret;

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

/// What the state of an account may be in `status`.
pub const STATES: [&str; 9] =
    ["new", "idle", "prepared", "changing", "sent", "verifying", "uncertain", "quarantined", "paused"];

/// Which accounts.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct StatusQuery {
    /// A glob over account names; all where absent.
    #[param(example = "web1/*")]
    pub account: Option<String>,
    /// A glob over device names.
    #[serde(default)]
    pub device: Option<String>,
    /// Only accounts in this state, or in one of several, parted by commas.
    #[serde(default)]
    #[param(
        pattern = "^(new|idle|prepared|changing|sent|verifying|uncertain|quarantined|paused)(,(new|idle|prepared|changing|sent|verifying|uncertain|quarantined|paused))*$"
    )]
    pub state: Option<String>,
    /// Only accounts whose password is older than the policy's `max_age`.
    #[serde(default)]
    #[param(required = false)]
    pub overdue: bool,
}

/// One account in `status`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AccountStatus {
    /// `DEVICE/USERNAME`.
    pub account: String,
    /// `new`, `idle`, `prepared`, `changing`, `sent`, `verifying`, `uncertain`, `quarantined` or `paused`.
    pub state: String,
    /// RFC 3339, UTC.
    pub last_change: Option<String>,
    /// RFC 3339, UTC.
    pub next_run: Option<String>,
    /// Changes in the last 24 hours.
    pub changes_24h: u32,
    /// How many are allowed.
    pub cap: u32,
    /// How the last attempt failed; where only the last verify did, why that failed.
    pub last_error: Option<String>,
    /// Why the last verify failed, until a login is taken.
    #[serde(default)]
    pub verify_error: Option<String>,
    /// What is not clean about the last change that was proved, until a clean one or `ack`.
    #[serde(default)]
    pub warning: Option<String>,
    /// What a person is asked to do in the browser of a run that waits for one.
    #[serde(default)]
    pub waiting: Option<String>,
    /// Whether the password is older than the policy's `max_age`.
    pub overdue: bool,
    /// Time steps by which the device's clock is ahead of the host's, as learned from the codes that it takes.
    #[serde(default)]
    pub totp_skew: i64,
}

/// One account with what the config says of it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AccountLine {
    /// How it stands.
    #[serde(flatten)]
    pub status: AccountStatus,
    /// Since when its state is what it is; RFC 3339, UTC.
    pub since: Option<String>,
    /// When its stored password was last tried to no other end; RFC 3339, UTC.
    pub verified: Option<String>,
    /// Whether its scheduled work is held.
    pub paused: bool,
    /// The attempt under way.
    pub attempt: Option<String>,
    /// Whether a password is stored.
    pub has_password: bool,
    /// Whether a TOTP seed is stored.
    pub has_code: bool,
    /// The name of its policy.
    pub policy: String,
    /// The policy's `max_age` in seconds.
    pub max_age: Option<u64>,
    /// The template of its device.
    pub template: String,
    /// The account that logs in for its changes; itself where absent.
    pub login_as: Option<String>,
    /// The account through which it is reset.
    pub reconcile_as: Option<String>,
    /// It changes after this account.
    pub after: Option<String>,
    /// The jobs that it is in.
    pub jobs: Vec<String>,
}

/// How much of a limit is used.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LimitBody {
    /// Events in its window.
    pub used: u32,
    /// How many are allowed.
    pub count: u32,
    /// When the next is allowed, where none is now; RFC 3339, UTC.
    pub next_allowed: Option<String>,
}

/// One account with its limits.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AccountBody {
    /// How it stands, and what the config says of it.
    #[serde(flatten)]
    pub line: AccountLine,
    /// Changes in 24 hours, against the cap.
    pub changes: LimitBody,
    /// Refused logins, of the account that logs in, against its lockout budget.
    pub lockout: LimitBody,
    /// The policy's `min_age` in seconds.
    pub min_age: u64,
    /// The account that logs in for its changes.
    pub login: String,
    /// Accounts for whose changes it logs in; 100 at most.
    pub logs_in_for: Vec<String>,
    /// Its device's `host:port`.
    pub address: String,
}

/// Which device.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DeviceQuery {
    /// Its name.
    #[param(example = "web1")]
    pub device: String,
}

/// A device.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeviceBody {
    /// Its name.
    pub device: String,
    /// `host:port`.
    pub address: String,
    /// Its template.
    pub template: String,
    /// The device to go through.
    pub jump: Option<String>,
    /// Sessions at once.
    pub max_sessions: usize,
    /// Whether algorithms of old are offered.
    pub legacy_algorithms: bool,
    /// Fingerprints of its host keys on record, `SHA256:…`: of the config, and of `trust`.
    pub host_keys: Vec<String>,
    /// The `known_hosts` file that is trusted.
    pub known_hosts: Option<String>,
    /// Time steps by which its clock is ahead of the host's.
    pub clock_steps: i64,
}

/// A job.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JobBody {
    /// Its name.
    pub job: String,
    /// Its schedule as written.
    pub schedule: String,
    /// `rotate` or `verify`.
    pub action: String,
    /// Its globs over account names.
    pub globs: Vec<String>,
    /// How many accounts they name.
    pub accounts: usize,
    /// Seconds over which its accounts are spread.
    pub spread: u64,
    /// The hours in which it works.
    pub window: Option<String>,
    /// Whether SIGUSR1 runs it.
    pub on_signal: bool,
    /// Whether one run makes up for times that were missed.
    pub catch_up: bool,
    /// Whether it is held.
    pub paused: bool,
    /// When it fires in the coming seven days; RFC 3339 in the config's zone.
    pub runs: Vec<String>,
    /// Whether it fires more often than is told.
    pub more: bool,
}

/// The jobs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JobsBody {
    /// The config's zone.
    pub timezone: String,
    /// By name.
    pub jobs: Vec<JobBody>,
}

/// Who asks, and whom.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct MeBody {
    /// The caller's name.
    pub user: String,
    /// The caller's number.
    pub uid: u32,
    /// `viewer`, `operator`, `custodian`: those that the caller has.
    pub roles: Vec<String>,
    /// The daemon's version.
    pub version: String,
    /// The config's zone.
    pub timezone: String,
    /// Accounts in the config.
    pub accounts: usize,
    /// Devices in the config.
    pub devices: usize,
    /// Accounts that are being worked upon.
    pub at_work: usize,
    /// The folder with passwords in escrow, where there is one.
    pub escrow: Option<String>,
}

/// `status`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct StatusBody {
    /// The accounts.
    pub accounts: Vec<AccountStatus>,
    /// Why the last reload was refused.
    pub config_error: Option<String>,
    /// Why the vault cannot be written at present; no rotation starts then.
    #[serde(default)]
    pub vault_error: Option<String>,
    /// Why nothing can be put in escrow at present; no password is changed then.
    #[serde(default)]
    pub escrow_error: Option<String>,
    /// Why the host's own clock looks wrong.
    #[serde(default)]
    pub clock_warning: Option<String>,
    /// Why logins that nobody waits for are held back at present, and for how long.
    #[serde(default)]
    pub logins_held: Option<String>,
    /// What was found at a start that vault and audit log do not agree on, until `audit accept`.
    #[serde(default)]
    pub audit_finding: Option<String>,
    /// Which notifiers are not told of events, and why.
    #[serde(default)]
    pub notify_error: Option<String>,
}

/// A notifier, and how it stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct NotifierBody {
    /// Its name.
    pub name: String,
    /// `webhook`, `email`, `syslog`, `cef` or `command`.
    pub kind: String,
    /// So many notices wait.
    pub backlog: usize,
    /// So many were left out since the daemon started.
    pub dropped: u64,
    /// When it last took a message: RFC 3339, UTC.
    pub last_success: Option<String>,
    /// When it last did not: RFC 3339, UTC.
    pub last_failure: Option<String>,
    /// Why it did not, or what is not right though it did.
    pub last_error: Option<String>,
    /// So many failures one after another.
    pub failures: u32,
    /// What is wrong, where it is in trouble.
    pub trouble: Option<String>,
}

/// `notify list`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct NotifiersBody {
    /// By name.
    pub notifiers: Vec<NotifierBody>,
}

/// `notify test`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestBody {
    /// The notifier.
    pub name: String,
}

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

/// Which account.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AccountQuery {
    /// `DEVICE/USERNAME`.
    #[param(example = "web1/admin")]
    pub account: String,
}

/// Which account, in a body.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContinueBody {
    /// `DEVICE/USERNAME`.
    #[schema(example = "web1/admin")]
    pub account: String,
}

/// A browser that waits for a person.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LiveBody {
    /// `DEVICE/USERNAME`.
    pub account: String,
    /// What the person is asked to do.
    pub asked: String,
    /// Until when it is kept: RFC 3339, UTC.
    pub until: String,
}

/// A browser session that is asked for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BrowseBody {
    /// `DEVICE/USERNAME`.
    #[schema(example = "wiki/admin")]
    pub account: String,
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(max_length = 1000, pattern = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$")]
    pub reason: Option<String>,
    /// How long it lasts at the most, in seconds.
    #[serde(default = "half_an_hour", deserialize_with = "whole_number")]
    #[schema(minimum = 1, maximum = 28800)]
    pub seconds: u64,
}

fn half_an_hour() -> u64 {
    1800
}

/// A browser session that has begun: it ends when the answer of which this is a line is no longer read.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BrowsingBody {
    /// `DEVICE/USERNAME`.
    pub account: String,
    /// The attempt's id.
    pub attempt: String,
    /// What the person is told.
    pub asked: String,
    /// When it ends at the latest: RFC 3339, UTC.
    pub until: String,
}

/// What a browser shows.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LivePicture {
    /// JPEG, in base64.
    pub jpeg: String,
}

/// What a page looked like when an attempt failed there.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ScreenshotBody {
    /// The attempt.
    pub attempt: String,
    /// RFC 3339, UTC.
    pub taken: String,
    /// JPEG, in base64.
    pub jpeg: String,
}

/// Mouse or keys of a person.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum LiveInput {
    /// The mouse, in pixels of the page.
    Pointer {
        /// `move`, `down`, `up` or `wheel`.
        action: String,
        /// From the left.
        x: f64,
        /// From the top.
        y: f64,
        /// Pixels that the wheel turns, down.
        #[serde(default)]
        turn: f64,
        /// Clicks in a row.
        #[serde(default)]
        clicks: u32,
    },
    /// A key.
    Key {
        /// Its name, as a page hears it.
        key: String,
        /// Where it lies.
        #[serde(default)]
        code: String,
        /// 1 alt, 2 control, 4 meta, 8 shift.
        #[serde(default)]
        modifiers: u32,
        /// Its old number.
        #[serde(default)]
        number: u32,
        /// Whether it goes down.
        down: bool,
    },
}

impl std::fmt::Debug for LiveInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LiveInput(..)")
    }
}

/// Mouse or keys, and for which browser.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LiveInputBody {
    /// `DEVICE/USERNAME`.
    #[schema(example = "web1/admin")]
    pub account: String,
    /// What was done.
    pub input: LiveInput,
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

/// `history`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HistoryBody {
    /// Newest first.
    pub attempts: Vec<AttemptBody>,
}

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
    pub draft: Option<super::DraftBody>,
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

/// What was done, in words.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DoneBody {
    /// In words.
    pub done: String,
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

/// `schedule next`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ScheduleQuery {
    /// The job.
    #[param(example = "nightly")]
    pub job: String,
    /// How many times; 10 where absent, 1000 at most.
    #[param(maximum = 1000)]
    pub count: Option<usize>,
}

/// A run time.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunTime {
    /// RFC 3339 in the config's zone.
    pub local: String,
    /// RFC 3339, UTC.
    pub utc: String,
}

/// The coming run times of a job.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ScheduleBody {
    /// The job.
    pub job: String,
    /// The zone.
    pub timezone: String,
    /// The times.
    pub runs: Vec<RunTime>,
}

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

/// A command to type.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NextBody {
    /// The command.
    pub command: String,
    /// What it does.
    pub what: String,
}

/// `explain`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ExplainBody {
    /// `DEVICE/USERNAME`.
    pub account: String,
    /// As in `status`.
    pub state: String,
    /// RFC 3339, UTC.
    pub since: Option<String>,
    /// What that means, in sentences.
    pub means: Vec<String>,
    /// Why it is so.
    pub why: Option<String>,
    /// What was tried last, newest first.
    pub tried: Vec<String>,
    /// What to type, the likeliest first.
    pub next: Vec<NextBody>,
}

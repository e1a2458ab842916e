//! What the fleet is and how it stands: accounts, devices, jobs, notifiers.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

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
    /// Whether its scheduled work is paused.
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
    /// Whether it is paused.
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

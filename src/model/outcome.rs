//! What asked for a rotation, who did, and how it ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What set an attempt off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// A job's schedule.
    Schedule,
    /// An operator over the control socket.
    Command,
    /// SIGUSR1.
    Signal,
    /// The account named by `after` was changed.
    Parent,
    /// An interrupted attempt that is being finished.
    Recovery,
    /// A reset through the reconcile account.
    Reconcile,
}

impl Trigger {
    /// The word used in the audit log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Command => "command",
            Self::Signal => "signal",
            Self::Parent => "parent",
            Self::Recovery => "recovery",
            Self::Reconcile => "reconcile",
        }
    }

    /// Whether nobody asked for just this change: none is begun while its account is paused, and where one failed it is
    /// tried again.
    #[must_use]
    pub fn is_unasked(self) -> bool {
        matches!(self, Self::Schedule | Self::Signal | Self::Parent)
    }
}

/// Who acted: the process at the other end of the control socket, or rotord itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// User id, as the kernel names it (`SO_PEERCRED`, see unix(7)).
    pub uid: u32,
    /// User name, or the number where it has none.
    pub name: String,
    /// Process id.
    pub pid: u32,
}

/// How an attempt ended, as scripts see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The new password works: a fresh login proved it.
    Done,
    /// Not started: the cap, `min_age`, a pause or another rule stood against it.
    Refused,
    /// Not changed; the old password is still the device's.
    Failed,
    /// Not known yet, or a person is needed.
    Unknown,
}

impl Outcome {
    /// The word used in JSON and in the audit log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// The state of an account as `status` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountState {
    /// No password is stored yet.
    New,
    /// The stored password is the device's; nothing is under way.
    Idle,
    /// A candidate is stored; nothing was sent.
    Prepared,
    /// The template runs and has not reached its commit point.
    Changing,
    /// The new password may be on its way to the device.
    Sent,
    /// A login with the new password is being tried.
    Verifying,
    /// The device holds the old or the new password; logins will tell.
    Uncertain,
    /// Neither password is known to work; a person is needed.
    Quarantined,
    /// Scheduled work is held by an operator.
    Paused,
}

impl AccountState {
    /// The word used in the vault, in JSON and in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Idle => "idle",
            Self::Prepared => "prepared",
            Self::Changing => "changing",
            Self::Sent => "sent",
            Self::Verifying => "verifying",
            Self::Uncertain => "uncertain",
            Self::Quarantined => "quarantined",
            Self::Paused => "paused",
        }
    }
}

impl fmt::Display for AccountState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that happened in an attempt, in words for people; never with a secret in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When, in milliseconds since 1970; in JSON as RFC 3339 in UTC.
    #[serde(with = "super::moment::as_rfc3339")]
    pub at: i64,
    /// What happened.
    pub text: String,
}

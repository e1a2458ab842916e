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
    /// Every trigger.
    pub const ALL: [Self; 6] =
        [Self::Schedule, Self::Command, Self::Signal, Self::Parent, Self::Recovery, Self::Reconcile];

    /// The trigger that a word names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trigger| trigger.as_str() == word)
    }

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

/// What an attempt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttemptKind {
    /// To change the password.
    Rotate,
    /// To find out whether the stored password works, because a person or a job asks.
    Verify,
    /// To set a new password through the reconcile account.
    Reconcile,
    /// To find out which password an account in doubt or in quarantine has.
    Recover,
    /// To try a template up to its commit point.
    Rehearse,
    /// To log in for a person, who works in the browser.
    Browse,
}

impl AttemptKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Rotate, Self::Verify, Self::Reconcile, Self::Recover, Self::Rehearse, Self::Browse];

    /// The word used in the vault and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rotate => "rotate",
            Self::Verify => "verify",
            Self::Reconcile => "reconcile",
            Self::Recover => "recover",
            Self::Rehearse => "rehearse",
            Self::Browse => "browse",
        }
    }

    /// The noun for texts.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Rotate => "rotation",
            Self::Verify => "verify",
            Self::Reconcile => "reconcile",
            Self::Recover => "recovery",
            Self::Rehearse => "rehearsal",
            Self::Browse => "browser session",
        }
    }

    /// The kind that a word names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Why an attempt failed, as far as it decides what a person can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureCause {
    /// The device refused a login after a one-time code was sent: the code, its clock or its seed may be wrong.
    Code,
    /// The device refused a login to which no code was sent.
    Password,
    /// The device asks for a code, and no seed is stored.
    NoSeed,
    /// No host key of the device is on record.
    HostKeyUnknown,
    /// The device shows another host key than the one on record.
    HostKeyChanged,
}

impl FailureCause {
    /// Every cause.
    pub const ALL: [Self; 5] = [Self::Code, Self::Password, Self::NoSeed, Self::HostKeyUnknown, Self::HostKeyChanged];

    /// The word used in the vault and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Password => "password",
            Self::NoSeed => "no-seed",
            Self::HostKeyUnknown => "host-key-unknown",
            Self::HostKeyChanged => "host-key-changed",
        }
    }

    /// Whether the next attempt fails of it too, unless a person mends it.
    #[must_use]
    pub fn stands(self) -> bool {
        matches!(self, Self::NoSeed | Self::HostKeyUnknown | Self::HostKeyChanged)
    }

    /// The cause that a word names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == word)
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

    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Done, Self::Refused, Self::Failed, Self::Unknown];

    /// The outcome that a word names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
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
    /// Scheduled work is paused by an operator.
    Paused,
}

impl AccountState {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::New,
        Self::Idle,
        Self::Prepared,
        Self::Changing,
        Self::Sent,
        Self::Verifying,
        Self::Uncertain,
        Self::Quarantined,
        Self::Paused,
    ];

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

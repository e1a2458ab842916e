//! What a notification is about, and how urgent it is.

use std::fmt;

/// How urgent something is. The words are those of PagerDuty's Events API v2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// For the record.
    Info,
    /// Somebody has to look at it, within days.
    Warning,
    /// Somebody has to look at it today.
    Error,
    /// Somebody has to act now.
    Critical,
}

impl Urgency {
    /// Every urgency, the least first.
    pub const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// The word used in config and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }

    /// The urgency that a word names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|urgency| urgency.as_str() == word)
    }
}

impl fmt::Display for Urgency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a notification is about: the word by which `events` of a `[notify.NAME]` selects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// The vault cannot be written, or was restored.
    Vault,
    /// The audit log was rewritten, or set aside.
    Audit,
    /// Nothing can be put in escrow.
    Escrow,
    /// A device shows another host key or certificate, or one was trusted.
    HostKey,
    /// An account is in quarantine.
    Quarantine,
    /// It is not known for long which password an account has.
    Doubt,
    /// A run waits for a person.
    Person,
    /// Logins are held back.
    Breaker,
    /// The host's clock is wrong.
    Clock,
    /// A config was refused, or taken.
    Config,
    /// The last backup is too old, or one was made.
    Backup,
    /// A password is older than its policy allows.
    Overdue,
    /// An account was not changed.
    Failed,
    /// A stored password did not pass its verify, or did.
    Verify,
    /// A run was not clean though it succeeded.
    Warning,
    /// Somebody was refused for want of a role.
    Denied,
    /// An account was changed.
    Rotated,
    /// A secret, a token or a key was stored, shown or changed.
    Secret,
    /// The daemon started or stopped; work was paused or resumed.
    Daemon,
    /// A notifier lost something, or is tried.
    Notify,
    /// Anything else.
    Other,
}

impl Topic {
    /// Every topic, in the order in which a message lists them.
    pub const ALL: [Self; 21] = [
        Self::Vault,
        Self::Audit,
        Self::Escrow,
        Self::HostKey,
        Self::Quarantine,
        Self::Doubt,
        Self::Person,
        Self::Breaker,
        Self::Clock,
        Self::Config,
        Self::Backup,
        Self::Overdue,
        Self::Failed,
        Self::Verify,
        Self::Warning,
        Self::Denied,
        Self::Rotated,
        Self::Secret,
        Self::Daemon,
        Self::Notify,
        Self::Other,
    ];

    /// The word used in config and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Audit => "audit",
            Self::Escrow => "escrow",
            Self::HostKey => "host-key",
            Self::Quarantine => "quarantine",
            Self::Doubt => "doubt",
            Self::Person => "person",
            Self::Breaker => "breaker",
            Self::Clock => "clock",
            Self::Config => "config",
            Self::Backup => "backup",
            Self::Overdue => "overdue",
            Self::Failed => "failed",
            Self::Verify => "verify",
            Self::Warning => "warning",
            Self::Denied => "denied",
            Self::Rotated => "rotated",
            Self::Secret => "secret",
            Self::Daemon => "daemon",
            Self::Notify => "notify",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

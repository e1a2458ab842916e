//! What can go wrong with a device.

use crate::dialogue::is_full;
use crate::vault::VaultError;

/// Why no login is tried that nobody waits for, and what to look at.
pub const HELD_BACK: &str = "logins that nobody waits for are held back, since one account after another was refused, on several devices: look at this host's clock, and at the server that judges passwords and codes";

/// Why the questions of a login get no answer. The device's words in it are masked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// Nobody knows what it wants, or a round cannot be answered whole; with a line for the template.
    #[error("the login asks «{0}» and nothing answers it; add a line to the template: {1}")]
    Unknown(String, String),
    /// The login took the password and demands another one, which this login is not to give.
    #[error("the login takes the password and demands a new one; 'rotorctl rotate' gives it one")]
    NewDemanded,
    /// The login demands a new password, and nothing tells whether it took the old one.
    #[error("the login asks «{0}», which does not tell whether it took the password")]
    NewUnproved(String),
    /// The login asks on and on.
    #[error("the login asked {0} times and did not end")]
    TooMany(usize),
}

/// An error of a device or on the way to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No connection.
    #[error("cannot connect to {device} ({address}): {why}")]
    Connect {
        /// The device.
        device: String,
        /// Its address.
        address: String,
        /// What failed.
        why: String,
    },
    /// The host key is not one on record. Nothing secret was sent.
    #[error(
        "the host key of {device} has CHANGED: it is {fingerprint}, which is not on record; find out why, and if the device was replaced, run 'rotorctl trust {device}'"
    )]
    HostKeyMismatch {
        /// The device.
        device: String,
        /// What it showed.
        fingerprint: String,
    },
    /// No host key is on record.
    #[error(
        "no host key of {device} is on record (it shows {fingerprint}); compare it on the device and run 'rotorctl trust {device}'"
    )]
    HostKeyUnknown {
        /// The device.
        device: String,
        /// What it showed.
        fingerprint: String,
    },
    /// The host key was revoked in `known_hosts`.
    #[error("the host key of {device}, {fingerprint}, is revoked in its known_hosts file")]
    HostKeyRevoked {
        /// The device.
        device: String,
        /// What it showed.
        fingerprint: String,
    },
    /// The certificate is not one that is trusted. Nothing secret was sent.
    #[error("{why}")]
    Certificate {
        /// The device.
        device: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// A page is not as the template has it. Nothing was changed.
    #[error("{why}")]
    Page {
        /// The device.
        device: String,
        /// What was looked for and what was there, masked.
        why: String,
    },
    /// The device refused the login.
    #[error("{account} was refused by the login: {why}")]
    Refused {
        /// Who logged in.
        account: String,
        /// What is known.
        why: String,
        /// Whether a code was sent too: then the refusal may be for the code, and says little about the password.
        with_code: bool,
    },
    /// The device hung up on a password or a code: it may be its way to say no.
    #[error("{account} was not let in: the device hung up on the password or the code: {why}")]
    HungUp {
        /// Who logged in.
        account: String,
        /// How the connection ended, and the device's words, masked.
        why: String,
    },
    /// The device does not let the account in for now, in words that say nothing of the password or the code: it is
    /// locked or expired, the host is in maintenance, the hour is wrong, or there is no room for a session.
    #[error("{account} is not let in for now: {why}")]
    NotNow {
        /// Who logged in.
        account: String,
        /// The device's words, masked.
        why: String,
        /// It has no room for one more session, which may be over within seconds.
        no_room: bool,
    },
    /// The login waits for something that only a person can do, such as to approve a push. Nothing was judged.
    #[error("the login of {account} waits for a person: {why}")]
    NeedsPerson {
        /// Who logged in.
        account: String,
        /// The device's words, masked.
        why: String,
    },
    /// The login demanded a new password, got one, and refuses it.
    #[error("{account} keeps its password: the device refuses the new one: {why}")]
    NewRefused {
        /// Who logged in.
        account: String,
        /// The device's words, masked.
        why: String,
    },
    /// One more refused login might lock the account.
    #[error("the lockout budget of {account} is spent: the next login may be tried in {} min", .free_in_ms / 60_000 + 1)]
    BudgetSpent {
        /// Who would log in.
        account: String,
        /// Milliseconds until a login may be tried.
        free_in_ms: i64,
    },
    /// One account after another was refused.
    #[error("{HELD_BACK}; the next one is tried in {} min", .free_in_ms / 60_000 + 1)]
    HeldBack {
        /// Milliseconds until a login may be tried.
        free_in_ms: i64,
    },
    /// A prompt that nothing answers.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The login asks for a code, and no seed is stored.
    #[error(
        "{account} cannot log in: the login asks for a one-time code and no seed is stored; run 'rotorctl totp set {account}'"
    )]
    NoSeed {
        /// Who logs in.
        account: String,
    },
    /// The login cannot be done with what is stored.
    #[error("{account} cannot log in: {why}")]
    Incapable {
        /// Who logs in.
        account: String,
        /// What is missing, and how to store it.
        why: String,
    },
    /// The login worked without asking for the password, so it proves nothing.
    #[error("the login of {0} did not ask for the password, so it cannot prove which one is in force")]
    NotProved(String),
    /// The connection broke.
    #[error("the connection to {device} broke {when}: {why}")]
    Broken {
        /// The device.
        device: String,
        /// At which stage.
        when: &'static str,
        /// What is known.
        why: String,
    },
    /// The vault refused or failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The commit point could not be passed.
    #[error("{0}")]
    NotCommitted(String),
}

impl DeviceError {
    /// Whether the device said no to the login.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Whether the device may have said no to the login.
    #[must_use]
    pub fn may_be_refusal(&self) -> bool {
        self.is_refusal() || matches!(self, Self::HungUp { .. })
    }

    /// Whether the device refused, at the login, the new password that it had demanded.
    #[must_use]
    pub fn refuses_new(&self) -> bool {
        matches!(self, Self::NewRefused { .. })
    }

    /// Whether the login ended without a word about the password or the code, so that it costs nothing of the budget.
    #[must_use]
    pub fn judged_nothing(&self) -> bool {
        let unknown = matches!(self, Self::Prompt(PromptError::Unknown(..)));
        unknown || matches!(self, Self::NotNow { .. } | Self::NeedsPerson { .. } | Self::NewRefused { .. })
    }

    /// Whether the device has no room for one more session or connection: it may have some within seconds.
    #[must_use]
    pub fn lacks_room(&self) -> bool {
        match self {
            Self::NotNow { no_room, .. } => *no_room,
            Self::Connect { why, .. } => is_full(why),
            _ => false,
        }
    }

    /// Whether the host key, or the certificate, is to blame.
    #[must_use]
    pub fn is_host_key(&self) -> bool {
        matches!(
            self,
            Self::HostKeyMismatch { .. }
                | Self::HostKeyUnknown { .. }
                | Self::HostKeyRevoked { .. }
                | Self::Certificate { .. }
        )
    }
}

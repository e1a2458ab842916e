//! What kinds of events there are: one list that the audit log, the API's events, notifications and metrics share.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares the kinds with the words that stand in the audit log.
macro_rules! event_kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $word:literal,)+) => {
        /// What happened. The word of a kind never changes: logs of years are read by it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum EventKind {
            $($(#[doc = $doc])+ $kind,)+
        }

        impl EventKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// The word used in the audit log and in JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)+
                }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$kind => concat!($($doc),+).trim_ascii(),)+
                }
            }
        }
    };
}

event_kinds! {
    /// The daemon started.
    DaemonStart = "daemon.start",
    /// The daemon stopped.
    DaemonStop = "daemon.stop",
    /// The config was read again, and is in force.
    DaemonReload = "daemon.reload",
    /// A reload was refused: the config has errors, and the old one stays in force.
    ConfigRefused = "config.refused",
    /// A change of a password began.
    RotationStart = "rotation.start",
    /// A change passed its commit point: the new password may be on its way to the device.
    RotationSent = "rotation.sent",
    /// A login proved the new password.
    RotationVerified = "rotation.verified",
    /// A change ended: the new password is in force.
    RotationDone = "rotation.done",
    /// A change ended: the old password is in force.
    RotationFailed = "rotation.failed",
    /// A change ended: it is not known which password is in force.
    RotationUnknown = "rotation.unknown",
    /// An interrupted or doubtful change was settled.
    RotationRecovered = "rotation.recovered",
    /// A change did not begin: a rule stands against it.
    RotationRefused = "rotation.refused",
    /// A login with the stored password was taken.
    VerifyDone = "verify.done",
    /// A login with the stored password was not taken, or could not be tried.
    VerifyFailed = "verify.failed",
    /// A template was run up to its commit point.
    TemplateRehearsed = "template.rehearsed",
    /// A web run waits for a person.
    RunWaiting = "run.waiting",
    /// A web run does not wait for a person any more; the detail says why, and who looked into its browser.
    RunWaited = "run.waited",
    /// A person looks into the browser of a run that waits for one, and may type there.
    ViewStart = "view.start",
    /// A person asked for a browser session: rotord logs in for it.
    BrowseStart = "browse.start",
    /// A browser session ended, or was refused; the detail says why.
    BrowseEnd = "browse.end",
    /// A change was proved, and left a warning.
    WarningLeft = "warning.left",
    /// A person took note of a warning.
    WarningAcknowledged = "warning.acknowledged",
    /// An account was quarantined: neither password is known to work, and a person is needed.
    AccountQuarantined = "account.quarantined",
    /// It is unknown for more than an hour which password an account has.
    AccountDoubtful = "account.doubtful",
    /// A password became older than the policy's `max_age`.
    PasswordOverdue = "password.overdue",
    /// A password, a key or a field was stored.
    SecretSet = "secret.set",
    /// A password was revealed, or a TOTP seed (`rotorctl otp --qr`; its detail says so).
    SecretShown = "secret.shown",
    /// A TOTP seed was stored.
    TotpSet = "totp.set",
    /// A one-time code was given to a person.
    TotpShown = "totp.shown",
    /// A person trusted a device's host key.
    HostKeyTrusted = "host_key.trusted",
    /// A device showed a host key that is not on record.
    HostKeyMismatch = "host_key.mismatch",
    /// A caller was refused for want of a role.
    AccessDenied = "access.denied",
    /// Work of accounts or of a job is paused.
    SchedulePaused = "schedule.paused",
    /// Work of accounts or of a job is resumed.
    ScheduleResumed = "schedule.resumed",
    /// Logins of many accounts were refused: logins that nobody waits for are held back.
    CircuitOpened = "circuit.opened",
    /// Logins are no longer held back.
    CircuitClosed = "circuit.closed",
    /// The host's clock looks wrong.
    ClockWrong = "clock.wrong",
    /// The host's clock looks right again.
    ClockRight = "clock.right",
    /// The vault could not be written. The event is written when it can be again.
    VaultFailed = "vault.failed",
    /// The vault can be written again.
    VaultWorks = "vault.works",
    /// A backup of the vault was made.
    VaultBackup = "vault.backup",
    /// The last backup is too old.
    BackupOverdue = "backup.overdue",
    /// An older vault was put in place.
    VaultRestored = "vault.restored",
    /// Nothing can be put in escrow: no password is changed.
    EscrowFailed = "escrow.failed",
    /// Escrow takes files again.
    EscrowWorks = "escrow.works",
    /// The vault's key was changed.
    KeyRotated = "key.rotated",
    /// The audit log does not hold what the vault wrote.
    AuditRewritten = "audit.rewritten",
    /// A person took note of that.
    AuditAccepted = "audit.accepted",
    /// Files of the audit log were set aside.
    AuditArchived = "audit.archived",
}

impl EventKind {
    /// The kind that a word names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for EventKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EventKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Self::parse(&word).ok_or_else(|| serde::de::Error::custom(format!("'{word}' is no kind of event")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_has_a_word_of_its_own_that_names_it() {
        let words: BTreeSet<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(words.len(), EventKind::ALL.len());
        for kind in EventKind::ALL {
            assert_eq!(EventKind::parse(kind.as_str()), Some(*kind));
            assert_eq!(serde_json::from_str::<EventKind>(&format!("\"{kind}\"")).unwrap(), *kind);
            let (what, happened) = kind.as_str().split_once('.').unwrap();
            let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'));
            assert!(is_word(what) && is_word(happened) && kind.meaning().ends_with('.'), "{kind}");
            assert_eq!(format!("{kind:?}").to_lowercase(), kind.as_str().replace(['.', '_'], ""));
        }
        assert!(EventKind::parse("rotation").is_none() && serde_json::from_str::<EventKind>("\"x.y\"").is_err());
    }
}

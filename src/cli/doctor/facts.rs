//! What `rotorctl doctor` goes by: plain data, gathered elsewhere.

use std::collections::BTreeMap;

use crate::control::{CheckupBody, StatusBody, VerifyBody};

/// All that was found out.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// Now, in milliseconds since 1970.
    pub(super) now: i64,
    /// The version of this program.
    pub(super) version: String,
    pub(super) config: ConfigFacts,
    pub(super) host: HostFacts,
    /// What the daemon says, or why nobody does.
    pub(super) daemon: Result<DaemonFacts, String>,
    /// Logins that were made, where they were asked for.
    pub(super) logins: Vec<LoginFacts>,
    pub(super) advisories: Vec<Advisory>,
}

/// The config as it is on disk.
#[derive(Debug, Clone, Default)]
pub(super) struct ConfigFacts {
    pub(super) file: String,
    pub(super) problems: Vec<ConfigProblem>,
    /// Names of its accounts; `None` where it has errors.
    pub(super) accounts: Option<Vec<String>>,
    /// A backup that is older is an old one, in milliseconds; 0 where none is, `None` where the config has errors.
    pub(super) backup_max_age_ms: Option<i64>,
    /// Hashes of its devices' templates, by device.
    pub(super) templates: BTreeMap<String, String>,
}

/// What `rotord check` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConfigProblem {
    pub(super) error: bool,
    pub(super) code: String,
    pub(super) place: String,
    pub(super) message: String,
}

/// The host.
#[derive(Debug, Clone, Default)]
pub(super) struct HostFacts {
    /// Whether the kernel holds the clock for synchronised, as far as it says.
    pub(super) clock_synchronised: Option<bool>,
    /// Why the vault's key does not open anything.
    pub(super) key_error: Option<String>,
    /// The key's file, its owner, and the owner of the state folder.
    pub(super) key_owner: Option<(String, u32, u32)>,
    pub(super) state: Option<FolderFacts>,
    pub(super) escrow: Option<FolderFacts>,
    /// Whether systemd starts the daemon at boot; `None` where that does not apply.
    pub(super) enabled: Option<bool>,
    /// Versions of programs that are needed, where they are; `None` for one that is missing.
    pub(super) programs: BTreeMap<String, Option<String>>,
}

/// A folder and its disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FolderFacts {
    pub(super) path: String,
    pub(super) exists: bool,
    pub(super) mode: u32,
    /// The disk's number.
    pub(super) disk: u64,
    pub(super) free_mib: u64,
    pub(super) free_percent: u64,
    pub(super) free_inodes_percent: u64,
}

/// What the daemon says.
#[derive(Debug, Clone)]
pub(super) struct DaemonFacts {
    pub(super) status: StatusBody,
    pub(super) audit: VerifyBody,
    pub(super) checkup: CheckupBody,
}

/// How a login went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoginFacts {
    pub(super) account: String,
    pub(super) done: bool,
    pub(super) detail: String,
}

/// A version with an open advisory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Advisory {
    /// `rotord`, or a program.
    pub(super) program: String,
    /// The first version without the fault.
    pub(super) fixed_in: String,
    pub(super) id: String,
    pub(super) what: String,
}

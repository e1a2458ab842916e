//! What can go wrong.

/// What can go wrong between the daemon and a device. Each has a rate of its own in each history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The connection is cut before or after a message.
    Cut,
    /// The device is cut off at any byte of what it says.
    CutInside,
    /// It never answers.
    Hang,
    /// It answers late, perhaps too late.
    Late,
    /// It says nothing where it should.
    Silent,
    /// A byte is garbled.
    Garbled,
    /// It says all twice.
    Twice,
    /// It refuses the new password, in words.
    RefusesNew,
    /// It says that it changed the password, and did not.
    OnlySaysSo,
    /// It changes the password and dies before it says so.
    DiesAfterChange,
    /// It says that it changed the password, and does so seconds to minutes later, as a directory with replicas.
    ChangesLater,
    // What happens to the world at large.
    /// The daemon is killed at some action.
    Crash,
    /// The host reboots.
    HostReboot,
    /// The host's wall clock is set, ahead or back.
    ClockSet,
    /// The disk is full for a while: nothing commits.
    DiskFull,
    /// The audit log cannot be written for a while: what was committed is told as failed.
    AuditFails,
    /// A device is down for a while.
    DeviceDown,
    /// A device comes back with what it had saved.
    DeviceRestores,
    /// A device's clock is wrong for a while.
    DeviceClock,
    /// Somebody else answers at a device's address.
    Impostor,
    /// The server that judges the logins of all devices is down for a while: each of them refuses everybody.
    DirectoryDown,
    /// A login demands a new password.
    Expires,
    /// An operator asks for a rotation.
    OperatorRotates,
    /// An operator asks for a check.
    OperatorVerifies,
    /// An operator has all jobs run at once.
    OperatorRunsJobs,
    /// An operator tries a template up to its commit point.
    OperatorRehearses,
    /// A person changes a password by hand, and that is recorded.
    OperatorRecords,
    /// An operator pauses or resumes.
    OperatorPauses,
    /// An operator reads a code.
    OperatorReadsCode,
    /// A person stores the device's password.
    OperatorStores,
    /// A person stores a password that is not the device's.
    OperatorMistypes,
    /// A person stores a seed that is not the device's.
    OperatorMistypesSeed,
    /// An operator mends an account through its reconcile account.
    OperatorReconciles,
    /// A person says which password the device has.
    OperatorResolves,
    /// The config is read again.
    Reload,
    /// The daemon is stopped and started.
    Restart,
    /// The host's clocks run fast or slow for a while: a slew, or the smear of a leap second.
    ClockSlews,
    /// A device's clock drifts.
    DeviceDrifts,
    /// An administrator edits the config, and has it read again.
    ConfigEdited,
    /// Somebody logs in by himself, with the code of the moment.
    PersonLogsIn,
    /// An operator takes a backup.
    OperatorBacksUp,
    /// The vault is lost, and the last backup of it restored.
    BackupRestored,
    /// The host's disk goes back to what it was at the last backup, as with a snapshot of a virtual machine.
    VaultRolledBack,
    // What devices do besides, for a while or in one login.
    /// Somebody logs in with the very code, just before.
    CodeJustUsed,
    /// A login wants a choice or a person's consent where it asked for a code before.
    WantsPerson,
    /// A login asks for the password twice in one round, which nobody can answer whole.
    AsksTwice,
    /// The new password that a login demanded is refused, in words, up to three times.
    ChoosyAtLogin,
    /// A device lets nobody in for a while, and says why.
    DeviceClosed,
    /// A device refuses all logins for a while, and says nothing: an AAA server that does not know local users.
    DeviceRefuses,
    /// Somebody guesses at a password until the account is locked.
    AccountLocked,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 50] = [
        Self::Cut,
        Self::CutInside,
        Self::Hang,
        Self::Late,
        Self::Silent,
        Self::Garbled,
        Self::Twice,
        Self::RefusesNew,
        Self::OnlySaysSo,
        Self::DiesAfterChange,
        Self::ChangesLater,
        Self::Crash,
        Self::HostReboot,
        Self::ClockSet,
        Self::DiskFull,
        Self::AuditFails,
        Self::DeviceDown,
        Self::DeviceRestores,
        Self::DeviceClock,
        Self::Impostor,
        Self::DirectoryDown,
        Self::Expires,
        Self::OperatorRotates,
        Self::OperatorVerifies,
        Self::OperatorRunsJobs,
        Self::OperatorRehearses,
        Self::OperatorRecords,
        Self::OperatorPauses,
        Self::OperatorReadsCode,
        Self::OperatorStores,
        Self::OperatorMistypes,
        Self::OperatorMistypesSeed,
        Self::OperatorReconciles,
        Self::OperatorResolves,
        Self::Reload,
        Self::Restart,
        Self::ClockSlews,
        Self::DeviceDrifts,
        Self::ConfigEdited,
        Self::PersonLogsIn,
        Self::OperatorBacksUp,
        Self::BackupRestored,
        Self::VaultRolledBack,
        Self::CodeJustUsed,
        Self::WantsPerson,
        Self::AsksTwice,
        Self::ChoosyAtLogin,
        Self::DeviceClosed,
        Self::DeviceRefuses,
        Self::AccountLocked,
    ];

    /// Its bit in a mask.
    #[must_use]
    pub const fn bit(self) -> u64 {
        1 << (self as u64)
    }
}

//! What each metric means. The table of `docs/monitoring.md` is made from here.

/// How the values of a metric are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows; after a restart it begins at 0.
    Counter,
    /// It is how things stand.
    Gauge,
    /// How many observations there were up to each bound; it only grows.
    Histogram,
    /// How many things there are now up to each bound.
    GaugeHistogram,
}

/// What is told of a metric.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// The name of its family: without `_total`.
    pub name: &'static str,
    /// How it is read.
    pub kind: Kind,
    /// The base unit, which the name ends with; empty where there is none.
    pub unit: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
    /// Whether it is told only to who asks for each account.
    pub per_account: bool,
}

macro_rules! metrics {
    ($($metric:ident = $kind:ident $name:literal $unit:literal [$($label:literal)*] $help:literal $(, $each:ident)?;)+) => {
        /// A metric.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Metric {
            $(#[doc = $help] $metric,)+
        }

        impl Metric {
            /// Every metric, in the order in which they are told.
            pub const ALL: &'static [Self] = &[$(Self::$metric),+];

            /// What is told of it.
            #[must_use]
            pub const fn definition(self) -> Definition {
                match self {
                    $(Self::$metric => Definition {
                        name: $name,
                        kind: Kind::$kind,
                        unit: $unit,
                        labels: &[$($label),*],
                        help: $help,
                        per_account: false $(|| metrics!(@ $each))?,
                    },)+
                }
            }
        }
    };
    (@ per_account) => { true };
}

metrics! {
    BuildInfo = Gauge "rotord_build_info" "" ["version"] "1, with the version of the daemon.";
    StartTime = Gauge "rotord_start_time_seconds" "seconds" [] "When the daemon started, in seconds since 1970.";
    Attempts = Counter "rotord_attempts" "" ["kind" "outcome" "trigger" "template"] "Attempts that ended, by what they were for, how they ended, what set them off, and the template.";
    AttemptsRunning = Gauge "rotord_attempts_running" "" [] "Accounts that an attempt works on now.";
    AttemptDuration = Histogram "rotord_attempt_duration_seconds" "seconds" ["kind"] "How long attempts took from their begin to their end, waits included.";
    PhaseDuration = Histogram "rotord_phase_duration_seconds" "seconds" ["phase"] "How long the phases of attempts took: change (login and template), prove (a login that proves a password).";
    Waiting = Gauge "rotord_waiting" "" ["reason"] "Attempts that wait now: for the account, a password that others use, others with the same seed, a session of the device, or a fresh code.";
    CodeWait = Histogram "rotord_code_wait_seconds" "seconds" [] "How long logins waited for a time step whose one-time code may be sent.";
    Logins = Counter "rotord_logins" "" ["result"] "Logins that sent a password or a code, by whether the device took them; unanswered ones count against the lockout budget too.";
    BudgetUsed = Gauge "rotord_refused_logins" "" [] "Logins of the last 65 minutes that count against the lockout budgets of their accounts.";
    BudgetSpent = Gauge "rotord_lockout_budget_spent" "" [] "Accounts whose lockout budget is spent: no login of them is tried.";
    CircuitOpen = Gauge "rotord_circuit_open" "" [] "1 while logins that nobody waits for are held back, since logins of many accounts were refused.";
    CircuitOpened = Counter "rotord_circuit_opened" "" [] "How often logins began to be held back.";
    Accounts = Gauge "rotord_accounts" "" ["state"] "Accounts of the config by their state.";
    Overdue = Gauge "rotord_accounts_overdue" "" [] "Accounts whose password is older than max_age of their policy.";
    Failing = Gauge "rotord_accounts_failing" "" [] "Accounts whose last attempt failed.";
    Warned = Gauge "rotord_accounts_with_warning" "" [] "Accounts whose last change left a warning.";
    Doubtful = Gauge "rotord_accounts_doubtful" "" [] "Accounts of which it is unknown for more than an hour which password they have.";
    Retrying = Gauge "rotord_accounts_retrying" "" [] "Accounts that wait for a time to be tried again.";
    AgeRatio = GaugeHistogram "rotord_password_age_ratio" "ratio" [] "Ages of passwords as parts of max_age of their policy: above 1 is overdue.";
    OldestPassword = Gauge "rotord_password_age_oldest_seconds" "seconds" [] "The age of the oldest password that rotord has set.";
    VaultWritable = Gauge "rotord_vault_writable" "" [] "0 while the vault cannot be written, or has not answered for 20 seconds: no rotation starts.";
    VaultCommit = Histogram "rotord_vault_commit_seconds" "seconds" [] "How long transactions of the vault took until they were durable, with their audit events.";
    VaultErrors = Counter "rotord_vault_errors" "" [] "Transactions that could not be made durable.";
    AuditAppend = Histogram "rotord_audit_append_seconds" "seconds" [] "How long appending to the audit log took, sync included.";
    AuditErrors = Counter "rotord_audit_errors" "" [] "Appends to the audit log that failed.";
    AuditEvents = Counter "rotord_audit_events" "" [] "The number of the last event in the audit log.";
    AuditFinding = Gauge "rotord_audit_finding" "" [] "1 while vault and audit log do not agree, until 'audit accept'.";
    EscrowWritable = Gauge "rotord_escrow_writable" "" [] "0 while nothing can be put in escrow: no password is changed. Absent without escrow.";
    EscrowWrite = Histogram "rotord_escrow_write_seconds" "seconds" [] "How long putting a password in escrow took, failures included.";
    EscrowErrors = Counter "rotord_escrow_errors" "" [] "Passwords that could not be put in escrow; they were not sent.";
    LastBackup = Gauge "rotord_last_backup_timestamp_seconds" "seconds" [] "When the last backup was made, in seconds since 1970. Absent where the time that backup_max_age allows, and a day more, saw none.";
    BackupOverdue = Gauge "rotord_backup_overdue" "" [] "1 while the last backup is older than backup_max_age of the config.";
    ClockSynchronised = Gauge "rotord_clock_synchronised" "" [] "0 where the kernel says that the host's clock is not synchronised. Absent where it does not say.";
    ClockOffset = Gauge "rotord_clock_offset_seconds" "seconds" [] "By how much the kernel still has to correct the host's clock. Absent where it does not say.";
    ClockWarning = Gauge "rotord_clock_warning" "" [] "1 while the host's clock looks wrong, by the kernel or by the codes that devices take.";
    DeviceClocks = Gauge "rotord_device_clocks" "" ["steps"] "Devices by the time steps that their clock is ahead of the host's, as learned from the codes that they take.";
    NotifiersFailing = Gauge "rotord_notifiers_failing" "" [] "Notifiers that have not taken a message in several tries: nobody is told by them.";
    ConfigRefused = Gauge "rotord_config_refused" "" [] "1 while the last reload of the config stands refused.";
    OverviewAge = Gauge "rotord_overview_age_seconds" "seconds" [] "How old what is told of the accounts is.";
    AccountState = Gauge "rotord_account_state" "" ["account" "state"] "1, with the state of an account.", per_account;
    AccountAge = Gauge "rotord_account_password_age_seconds" "seconds" ["account"] "The age of an account's password.", per_account;
    AccountOverdue = Gauge "rotord_account_overdue" "" ["account"] "1 where an account's password is older than max_age of its policy.", per_account;
}

impl Metric {
    /// The name of its values: a counter's ends with `_total`.
    #[must_use]
    pub fn sample_name(self) -> String {
        let Definition { name, kind, .. } = self.definition();
        if kind == Kind::Counter { format!("{name}_total") } else { name.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_those_of_the_format() {
        let names: BTreeSet<&str> = Metric::ALL.iter().map(|metric| metric.definition().name).collect();
        assert_eq!(names.len(), Metric::ALL.len());
        for metric in Metric::ALL {
            let Definition { name, unit, labels, help, per_account, .. } = metric.definition();
            assert!(name.starts_with("rotord_") && !name.ends_with("_total"), "{name}");
            assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_')), "{name}");
            assert!(unit.is_empty() || name.ends_with(&format!("_{unit}")), "{name}");
            assert!(help.ends_with('.'), "{name}");
            assert_eq!(labels.contains(&"account"), per_account, "{name}");
        }
    }
}

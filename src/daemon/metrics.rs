//! What the daemon measures, and how it is told: from memory alone, so that whoever scrapes it asks the vault nothing.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::core::Core;
use super::overview::Overview;
use crate::clock::{host_clock, host_is_synchronised};
use crate::metrics::{Counter, Exposition, Format, Gauge, Histogram, Level, Metric, SECONDS_LONG, SECONDS_SHORT};
use crate::model::{AttemptKind, Outcome, Trigger, seconds};

/// What an attempt waits for, apart from a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitsOn {
    /// Another attempt works on its account.
    Account,
    /// Others use a password that it changes, or the other way round.
    Password,
    /// Others with the same seed.
    Seed,
    /// A session of a device, or a place among all attempts.
    Session,
}

impl WaitsOn {
    const ALL: [Self; 4] = [Self::Account, Self::Password, Self::Seed, Self::Session];

    fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Password => "password",
            Self::Seed => "seed",
            Self::Session => "session",
        }
    }
}

/// A part of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// A login and the template.
    Change,
    /// A login that proves a password.
    Prove,
}

impl Part {
    const ALL: [Self; 2] = [Self::Change, Self::Prove];

    fn as_str(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Prove => "prove",
        }
    }
}

/// What an attempt that ended is counted under.
type Ended = (&'static str, &'static str, &'static str, Arc<str>);

/// What is counted as it happens.
#[derive(Debug)]
pub(super) struct Metrics {
    started_ms: i64,
    /// Held for an addition, or to copy it.
    attempts: Mutex<BTreeMap<Ended, u64>>,
    durations: [Histogram; AttemptKind::ALL.len()],
    parts: [Histogram; Part::ALL.len()],
    waiting: [Gauge; WaitsOn::ALL.len()],
    escrow: Histogram,
    escrow_errors: Counter,
}

impl Metrics {
    pub(super) fn new(started_ms: i64) -> Self {
        Self {
            started_ms,
            attempts: Mutex::default(),
            durations: std::array::from_fn(|_| Histogram::new(SECONDS_LONG)),
            parts: std::array::from_fn(|_| Histogram::new(SECONDS_LONG)),
            waiting: std::array::from_fn(|_| Gauge::default()),
            escrow: Histogram::new(SECONDS_SHORT),
            escrow_errors: Counter::default(),
        }
    }

    /// An attempt ended that began so many milliseconds ago.
    pub(super) fn attempt(&self, kind: AttemptKind, outcome: Outcome, trigger: Trigger, template: &str, took_ms: i64) {
        self.durations[kind as usize].observe_ms(took_ms);
        let ended = (kind.as_str(), outcome.as_str(), trigger.as_str(), template.into());
        *self.attempts.lock().unwrap_or_else(PoisonError::into_inner).entry(ended).or_default() += 1;
    }

    /// A part of an attempt took so many milliseconds.
    pub(super) fn part(&self, part: Part, took_ms: i64) {
        self.parts[part as usize].observe_ms(took_ms);
    }

    /// An attempt waits until what is returned is dropped.
    pub(super) fn waits(&self, on: WaitsOn) -> Level {
        self.waiting[on as usize].hold()
    }

    /// A password was put in escrow, or could not be.
    pub(super) async fn escrow<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let begun = Instant::now();
        let put = work.await;
        self.escrow.observe(begun.elapsed());
        if put.is_err() {
            self.escrow_errors.add();
        }
        put
    }

    fn tell(&self, text: &mut Exposition) {
        text.value(Metric::StartTime, &[], seconds(self.started_ms));
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for ((kind, outcome, trigger, template), count) in &attempts {
            let labels = [("kind", *kind), ("outcome", *outcome), ("trigger", *trigger), ("template", &**template)];
            text.value(Metric::Attempts, &labels, count);
        }
        for kind in AttemptKind::ALL {
            let observed = self.durations[kind as usize].observed();
            text.histogram(Metric::AttemptDuration, &[("kind", kind.as_str())], &observed);
        }
        for part in Part::ALL {
            text.histogram(Metric::PhaseDuration, &[("phase", part.as_str())], &self.parts[part as usize].observed());
        }
        for on in WaitsOn::ALL {
            text.value(Metric::Waiting, &[("reason", on.as_str())], self.waiting[on as usize].get());
        }
    }
}

impl Core {
    /// All metrics as text, from what is in memory. The escrow folder's health is the one that was found last.
    #[must_use]
    pub fn metrics_text(&self, format: Format, per_account: bool) -> String {
        let mut text = Exposition::new(format);
        text.value(Metric::BuildInfo, &[("version", env!("CARGO_PKG_VERSION"))], 1);
        self.metrics.tell(&mut text);
        let waits = self.guards.codes.waits();
        text.value(Metric::Waiting, &[("reason", "code")], waits.now.get());
        text.value(Metric::AttemptsRunning, &[], self.at_work());
        text.histogram(Metric::CodeWait, &[], &waits.time.observed());
        let logins = self.guards.risks.logins();
        for (result, count) in
            [("taken", &logins.taken), ("refused", &logins.refused), ("unanswered", &logins.unanswered)]
        {
            text.value(Metric::Logins, &[("result", result)], count.get());
        }
        let (opened, open) = self.guards.breaker().opened();
        text.value(Metric::CircuitOpen, &[], u8::from(open));
        text.value(Metric::CircuitOpened, &[], opened);
        self.tell_stores(&mut text);
        text.value(Metric::NotifiersFailing, &[], self.notifiers_failing.load(Ordering::Relaxed));
        text.value(Metric::ConfigRefused, &[], u8::from(self.config_error().is_some()));
        if let Some(clock) = host_clock() {
            text.value(Metric::ClockSynchronised, &[], u8::from(clock.synchronised));
            text.value(Metric::ClockOffset, &[], clock.offset);
        }
        if let Some(overview) = self.overview() {
            let warning = self.clock_warning(&overview.skews, host_is_synchronised());
            text.value(Metric::ClockWarning, &[], u8::from(warning.is_some()));
            let age = self.clock.now().since(&overview.at);
            text.value(Metric::OverviewAge, &[], seconds(age));
            tell_overview(&mut text, &overview);
            if per_account {
                tell_accounts(&mut text, &overview);
            }
        }
        text.end()
    }

    fn tell_stores(&self, text: &mut Exposition) {
        text.value(Metric::VaultWritable, &[], u8::from(self.vault.trouble().is_none()));
        if let Some(timings) = self.vault.timings() {
            text.histogram(Metric::VaultCommit, &[], &timings.commit.observed());
            text.value(Metric::VaultErrors, &[], timings.errors.get());
            text.histogram(Metric::AuditAppend, &[], &timings.append.observed());
            text.value(Metric::AuditErrors, &[], timings.append_errors.get());
        }
        text.value(Metric::AuditEvents, &[], *self.vault.appended().borrow());
        if self.config().escrow.is_some() {
            text.value(Metric::EscrowWritable, &[], u8::from(self.escrow_health.last_error().is_none()));
            text.histogram(Metric::EscrowWrite, &[], &self.metrics.escrow.observed());
            text.value(Metric::EscrowErrors, &[], self.metrics.escrow_errors.get());
        }
        text.value(Metric::BackupOverdue, &[], u8::from(self.backup_is_old.load(Ordering::Relaxed)));
        if let Some(at) = self.last_backup() {
            text.value(Metric::LastBackup, &[], seconds(at));
        }
    }
}

fn tell_overview(text: &mut Exposition, overview: &Overview) {
    for (state, count) in &overview.states {
        text.value(Metric::Accounts, &[("state", state)], count);
    }
    text.value(Metric::Overdue, &[], overview.overdue().count());
    text.value(Metric::Failing, &[], overview.failing);
    text.value(Metric::Warned, &[], overview.warned);
    text.value(Metric::Doubtful, &[], overview.doubtful().count());
    text.value(Metric::Retrying, &[], overview.retrying);
    text.histogram(Metric::AgeRatio, &[], &overview.ages);
    let oldest = overview.accounts.iter().filter_map(|account| account.last_change).min();
    text.value(Metric::OldestPassword, &[], oldest.map_or(0.0, |at| seconds(overview.at.wall_ms - at)));
    text.value(Metric::BudgetUsed, &[], overview.budget_used);
    text.value(Metric::BudgetSpent, &[], overview.budget_spent);
    text.value(Metric::AuditFinding, &[], u8::from(overview.has_finding));
    for (steps, count) in overview.clocks() {
        text.value(Metric::DeviceClocks, &[("steps", &steps.to_string())], count);
    }
}

fn tell_accounts(text: &mut Exposition, overview: &Overview) {
    for account in &overview.accounts {
        text.value(Metric::AccountState, &[("account", account.name.as_str()), ("state", account.state.as_str())], 1);
    }
    for account in &overview.accounts {
        if let Some(at) = account.last_change {
            let age = seconds(overview.at.wall_ms - at);
            text.value(Metric::AccountAge, &[("account", account.name.as_str())], age);
        }
    }
    for account in &overview.accounts {
        let overdue = u8::from(account.is_overdue(overview.at.wall_ms));
        text.value(Metric::AccountOverdue, &[("account", account.name.as_str())], overdue);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::overview::AccountFacts;
    use crate::metrics::Observed;
    use crate::model::{AccountName, AccountState, BootId, Moment};

    /// A fleet of so many accounts, of which each tenth is overdue.
    fn fleet(accounts: usize) -> Overview {
        let at = Moment { wall_ms: 1_000_000, boot: BootId::of("b"), since_boot_ms: 0 };
        let facts = |number: usize| AccountFacts {
            name: AccountName::parse(&format!("device{}/user{number}", number / 100)).unwrap(),
            state: AccountState::Idle,
            last_change: Some(1000),
            overdue_at: number.is_multiple_of(10).then_some(2000),
            in_doubt_since: None,
        };
        Overview {
            at,
            accounts: (0..accounts).map(facts).collect(),
            states: [("idle", accounts as u64)].into(),
            failing: 0,
            warned: 0,
            retrying: 0,
            ages: Observed::of(&[1.0], std::iter::empty()),
            budget_used: 0,
            budget_spent: 0,
            skews: Vec::new(),
            has_finding: false,
        }
    }

    #[test]
    fn a_hundred_thousand_accounts_are_told_of_within_fifty_milliseconds() {
        let overview = fleet(100_000);
        let begun = Instant::now();
        let mut text = Exposition::new(Format::OpenMetrics);
        tell_overview(&mut text, &overview);
        let took = begun.elapsed();
        let text = text.end();
        assert!(text.contains("rotord_accounts_overdue 10000\n") && text.len() < 8000, "{}", text.len());
        assert!(took.as_millis() < 50, "{took:?}");
        assert!(!text.contains("device0"));
    }

    #[test]
    fn each_account_is_told_of_where_it_is_asked_for() {
        let mut text = Exposition::new(Format::Text);
        tell_accounts(&mut text, &fleet(11));
        let text = text.end();
        for line in [
            "rotord_account_state{account=\"device0/user1\",state=\"idle\"} 1",
            "rotord_account_password_age_seconds{account=\"device0/user1\"} 999",
            "rotord_account_overdue{account=\"device0/user1\"} 0",
            "rotord_account_overdue{account=\"device0/user10\"} 1",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}: {text}");
        }
        assert_eq!(text.matches("# TYPE").count(), 3);
    }

    #[test]
    fn attempts_are_counted_by_what_they_were_and_waits_while_they_last() {
        let metrics = Metrics::new(5000);
        metrics.attempt(AttemptKind::Rotate, Outcome::Done, Trigger::Schedule, "linux-passwd", 1500);
        metrics.attempt(AttemptKind::Rotate, Outcome::Done, Trigger::Schedule, "linux-passwd", 700);
        metrics.attempt(AttemptKind::Verify, Outcome::Failed, Trigger::Command, "web", 10);
        metrics.part(Part::Prove, 400);
        let waits = metrics.waits(WaitsOn::Seed);
        let told = |metrics: &Metrics| {
            let mut text = Exposition::new(Format::Text);
            metrics.tell(&mut text);
            text.end()
        };
        let text = told(&metrics);
        drop(waits);
        for line in [
            "rotord_start_time_seconds 5",
            "rotord_attempts_total{kind=\"rotate\",outcome=\"done\",trigger=\"schedule\",template=\"linux-passwd\"} 2",
            "rotord_attempts_total{kind=\"verify\",outcome=\"failed\",trigger=\"command\",template=\"web\"} 1",
            "rotord_attempt_duration_seconds_bucket{kind=\"rotate\",le=\"1.0\"} 1",
            "rotord_attempt_duration_seconds_sum{kind=\"rotate\"} 2.2",
            "rotord_phase_duration_seconds_count{phase=\"prove\"} 1",
            "rotord_waiting{reason=\"seed\"} 1",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}: {text}");
        }
        assert!(told(&metrics).contains("rotord_waiting{reason=\"seed\"} 0\n"));
    }
}

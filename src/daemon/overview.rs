//! How all accounts stand, as of a moment that is a little past: kept in memory, so that nobody who looks at it asks the vault.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::core::Core;
use crate::config::Config;
use crate::metrics::Observed;
use crate::model::{AccountName, AccountState, Moment, seconds};
use crate::rotation::Phase;
use crate::totp::Skew;
use crate::vault::{Survey, VaultError};

/// Ages of passwords as parts of the policy's `max_age`.
const AGE_RATIOS: &[f64] = &[0.25, 0.5, 0.75, 0.9, 1.0, 1.25, 1.5, 2.0, 4.0];

/// For so long it may be unknown which password an account has before that is worth telling, in milliseconds.
pub(super) const DOUBT_LASTS_MS: i64 = 3_600_000;

/// How one account stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountFacts {
    /// Its name.
    pub name: AccountName,
    /// Its state.
    pub state: AccountState,
    /// When its password was changed last, in milliseconds since 1970.
    pub last_change: Option<i64>,
    /// When that is older than the policy's `max_age`, in milliseconds since 1970.
    pub overdue_at: Option<i64>,
    /// Since when it is not known which password it has, in milliseconds since 1970.
    pub in_doubt_since: Option<i64>,
}

impl AccountFacts {
    /// Whether its password is overdue.
    #[must_use]
    pub fn is_overdue(&self, now_ms: i64) -> bool {
        self.overdue_at.is_some_and(|at| now_ms > at)
    }
}

/// How all accounts of the config stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// As of when.
    pub at: Moment,
    /// Each account, in the order of their names.
    pub accounts: Vec<AccountFacts>,
    /// How many accounts are in each state.
    pub states: BTreeMap<&'static str, u64>,
    /// Accounts whose last attempt failed.
    pub failing: u64,
    /// Accounts whose last change left a warning.
    pub warned: u64,
    /// Accounts that wait for a time to be tried again.
    pub retrying: u64,
    /// Ages of passwords as parts of `max_age`.
    pub ages: Observed,
    /// Logins that count against lockout budgets.
    pub budget_used: u64,
    /// Accounts whose lockout budget is spent.
    pub budget_spent: u64,
    /// What is known of the clocks of devices.
    pub skews: Vec<(String, Skew)>,
    /// Whether vault and audit log did not agree at a start.
    pub has_finding: bool,
}

impl Overview {
    /// What a survey tells of the accounts of a config.
    #[must_use]
    pub fn of(config: &Config, survey: Survey, now: &Moment) -> Self {
        let Survey { accounts: records, skews, logins, has_finding } = survey;
        let records: HashMap<Arc<str>, _> = records.into_iter().map(|record| (record.name.clone(), record)).collect();
        let mut refused: HashMap<&str, Vec<Moment>> = HashMap::new();
        for (account, at) in &logins {
            refused.entry(account).or_default().push(*at);
        }
        let states = AccountState::ALL.iter().map(|state| (state.as_str(), 0)).collect();
        let mut overview = Self {
            at: *now,
            accounts: Vec::with_capacity(config.accounts.len()),
            states,
            failing: 0,
            warned: 0,
            retrying: 0,
            ages: Observed::of(AGE_RATIOS, std::iter::empty()),
            budget_used: 0,
            budget_spent: 0,
            skews,
            has_finding,
        };
        let mut ratios = Vec::new();
        for (name, account) in &config.accounts {
            let record = records.get(name.as_str());
            let state = record.map_or(AccountState::New, |record| record.state());
            let last_change = record.and_then(|record| record.last_change);
            let max_age = account.policy.max_age.and_then(|age| i64::try_from(age.as_millis()).ok());
            let overdue_at = last_change.zip(max_age).map(|(at, age)| at.saturating_add(age));
            if let Some((at, age)) = last_change.zip(max_age.filter(|age| *age > 0)) {
                ratios.push(seconds(now.wall_ms - at) / seconds(age));
            }
            let in_doubt = record.filter(|record| matches!(record.phase, Phase::Uncertain(_)));
            *overview.states.entry(state.as_str()).or_default() += 1;
            overview.failing +=
                u64::from(record.is_some_and(|it| it.last_error.is_some() || it.verify_error.is_some()));
            overview.warned += u64::from(record.is_some_and(|record| record.warning.is_some()));
            overview.retrying += u64::from(record.is_some_and(|record| record.wake.is_some()));
            if let Some(stamps) = refused.get(name.as_str()) {
                let budget = account.policy.lockout();
                overview.budget_used += u64::from(budget.used(stamps, now));
                overview.budget_spent += u64::from(budget.admit(stamps, now).is_err());
            }
            let in_doubt_since = in_doubt.map(|record| record.since);
            overview.accounts.push(AccountFacts { name: name.clone(), state, last_change, overdue_at, in_doubt_since });
        }
        overview.ages = Observed::of(AGE_RATIOS, ratios.into_iter());
        overview
    }

    /// Accounts whose password is overdue.
    pub fn overdue(&self) -> impl Iterator<Item = &AccountFacts> {
        self.accounts.iter().filter(|account| account.is_overdue(self.at.wall_ms))
    }

    /// Accounts whose doubt has lasted for long.
    pub fn doubtful(&self) -> impl Iterator<Item = &AccountFacts> {
        let lasts = |since: i64| self.at.wall_ms - since > DOUBT_LASTS_MS;
        self.accounts.iter().filter(move |account| account.in_doubt_since.is_some_and(lasts))
    }

    /// How many devices have a clock that is so many time steps ahead of the host's.
    #[must_use]
    pub fn clocks(&self) -> BTreeMap<i64, u64> {
        let mut clocks = BTreeMap::new();
        for (_, skew) in &self.skews {
            *clocks.entry(skew.steps).or_default() += 1;
        }
        clocks
    }
}

impl Core {
    /// How the accounts stand; `None` before the first look.
    #[must_use]
    pub fn overview(&self) -> Option<Arc<Overview>> {
        self.overview.borrow().clone()
    }

    /// Looks at all accounts, beside the transactions of the vault, and tells how long that took.
    ///
    /// # Errors
    /// The vault failed.
    pub(super) async fn look_over(&self) -> Result<Duration, VaultError> {
        let begun = Instant::now();
        let survey = self.vault.admin()?.survey().await?;
        let (config, now) = (self.config(), self.clock.now());
        let overview = tokio::task::spawn_blocking(move || Overview::of(&config, survey, &now));
        let overview = overview.await.map_err(|_| VaultError::Closed)?;
        self.overview.send_replace(Some(Arc::new(overview)));
        Ok(begun.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::BootId;
    use crate::rotation::{AccountRecord, Doubt, Which};

    const DAY: i64 = 86_400_000;
    const NOW: i64 = 100 * DAY;

    fn at(wall_ms: i64) -> Moment {
        Moment { wall_ms, boot: BootId::of("b"), since_boot_ms: wall_ms }
    }

    /// A config of one device with these accounts, whose passwords are to be changed every ten days.
    fn config(users: &[&str]) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let accounts: String = users.iter().map(|user| format!("[account.\"web1/{user}\"]\n")).collect();
        let templates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let text = format!(
            "[daemon]\nstate_dir = \"state\"\nsocket = \"socket\"\ntemplate_dirs = [\"{}\"]\n[vault]\nkey_file = \"key\"\n\
             [policy.default]\nmax_age = \"10d\"\n[device.web1]\naddress = \"127.0.0.1:1\"\ntemplate = \"linux-passwd\"\n\
             host_key = [\"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"]\n{accounts}",
            templates.display()
        );
        std::fs::write(folder.path().join("rotord.toml"), text).unwrap();
        let (config, problems) = Config::load(&folder.path().join("rotord.toml"));
        config.unwrap_or_else(|| panic!("{problems:?}"))
    }

    fn record(name: &str, change: impl FnOnce(&mut AccountRecord)) -> AccountRecord {
        let mut record = AccountRecord { current: Some(1), ..AccountRecord::new(name, &at(NOW)) };
        change(&mut record);
        record
    }

    #[test]
    fn an_overview_tells_of_the_accounts_of_the_config_and_of_them_alone() {
        let config = config(&["fresh", "old", "doubted", "given-up", "unknown"]);
        let survey = Survey {
            accounts: vec![
                record("web1/fresh", |it| it.last_change = Some(NOW - 5 * DAY)),
                record("web1/old", |it| {
                    (it.last_change, it.warning) = (Some(NOW - 11 * DAY), Some("not saved".into()));
                }),
                record("web1/doubted", |it| {
                    (it.phase, it.since) = (Phase::Uncertain(Doubt::fresh(Which::New)), NOW - DOUBT_LASTS_MS - 1);
                    it.wake = Some(at(NOW + 1));
                }),
                record("web1/given-up", |it| (it.phase, it.last_error) = (Phase::Quarantined, Some("refused".into()))),
                record("gone/from-the-config", |it| it.phase = Phase::Quarantined),
            ],
            skews: vec![
                ("web1".into(), Skew { steps: -1, ..Skew::default() }),
                ("web2".into(), Skew { steps: -1, ..Skew::default() }),
            ],
            logins: vec![
                ("web1/old".into(), at(NOW - 1)),
                ("web1/old".into(), at(NOW - 2)),
                ("web1/fresh".into(), at(NOW)),
            ],
            has_finding: true,
        };
        let overview = Overview::of(&config, survey, &at(NOW));
        let states: Vec<_> = overview.states.iter().filter(|(_, count)| **count > 0).map(|(it, n)| (*it, *n)).collect();
        assert_eq!(states, [("idle", 2), ("new", 1), ("quarantined", 1), ("uncertain", 1)]);
        let names = |facts: Vec<&AccountFacts>| facts.iter().map(|it| it.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(overview.overdue().collect()), ["web1/old"]);
        assert_eq!(names(overview.doubtful().collect()), ["web1/doubted"]);
        assert_eq!((overview.failing, overview.warned, overview.retrying), (1, 1, 1));
        assert_eq!((overview.budget_used, overview.budget_spent), (3, 1));
        assert_eq!(overview.ages.counts.iter().sum::<u64>(), 2);
        assert_eq!((overview.ages.counts[1], overview.ages.counts[5]), (1, 1), "half of max_age, and above it");
        assert_eq!(overview.clocks(), BTreeMap::from([(-1, 2)]));
        assert!(overview.has_finding);
    }
}

//! `rotorctl check`: how rotord stands, for Nagios, Icinga and whatever runs their plugins.
//!
//! The line, the performance data, the ranges and the exit statuses are those of the Monitoring Plugins Development Guidelines.

use std::collections::BTreeMap;
use std::fmt::Write;

use clap::Args;

use super::Failure;
use super::output::say;
use crate::control::{Client, ClientError};
use crate::metrics::{Format, Metric};

/// What is looked at.
struct Measure {
    name: &'static str,
    /// What a value counts, or for a [`flag`] what is wrong while it is 1.
    means: &'static str,
    is_flag: bool,
    /// Tells more.
    command: &'static str,
    /// The ranges in which it is fine.
    warning: Option<&'static str>,
    critical: Option<&'static str>,
}

/// Of such a count none is fine.
const fn count(name: &'static str, means: &'static str, command: &'static str) -> Measure {
    Measure { name, means, is_flag: false, command, warning: Some("0"), critical: None }
}

/// It is 0 or 1.
const fn flag(name: &'static str, means: &'static str, command: &'static str) -> Measure {
    Measure { name, means, is_flag: true, command, warning: None, critical: Some("0") }
}

const MEASURES: &[Measure] = &[
    Measure {
        warning: None,
        critical: Some("0"),
        ..count("quarantined", "quarantined accounts", "rotorctl status --state quarantined")
    },
    count("overdue", "overdue passwords", "rotorctl status --overdue"),
    count("doubtful", "accounts in doubt for more than an hour", "rotorctl status --state uncertain"),
    count("failing", "accounts whose last attempt failed", "rotorctl status"),
    count("warnings", "accounts whose last change left a warning", "rotorctl status"),
    count("budget_spent", "accounts whose lockout budget is spent", "rotorctl status"),
    flag("circuit_open", "the circuit breaker holds logins back", "rotorctl status"),
    flag("clock_wrong", "the clock looks wrong", "rotorctl status"),
    flag("vault_failing", "the vault cannot be written", "rotorctl status"),
    flag("escrow_failing", "nothing can be put in escrow", "rotorctl status"),
    flag("audit_finding", "vault and audit log do not agree", "rotorctl audit verify"),
    count("notifiers_failing", "notifiers that nobody is told by", "rotorctl notify list"),
    Measure {
        warning: Some("0"),
        critical: None,
        ..flag("config_refused", "the last reload of the config was refused", "rotord check")
    },
    Measure { warning: Some("7"), ..count("backup_days", "days since the last backup", "rotorctl backup FILE") },
];

/// Above which values it warns.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Warn where a value is out of its range: NAME=RANGE, parted by commas; NAME= turns it off. Names: quarantined, overdue, doubtful, failing, warnings, budget_spent, circuit_open, clock_wrong, vault_failing, escrow_failing, audit_finding, notifiers_failing, config_refused, backup_days.
    #[arg(long, value_name = "NAME=RANGE", value_delimiter = ',')]
    warning: Vec<String>,
    /// The same for what is critical.
    #[arg(long, value_name = "NAME=RANGE", value_delimiter = ',')]
    critical: Vec<String>,
}

/// A range of the guidelines: `10`, `10:`, `~:10`, `10:20`, and with `@` in front the values outside of it.
#[derive(Debug, Clone, PartialEq)]
struct Range {
    text: String,
    low: f64,
    high: f64,
    inside: bool,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (inside, bounds) = text.strip_prefix('@').map_or((false, text), |rest| (true, rest));
        let (low, high) = bounds.split_once(':').unwrap_or(("0", bounds));
        let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
        let low = if low == "~" { f64::NEG_INFINITY } else { number(low)? };
        let high = if high.is_empty() && bounds.contains(':') { f64::INFINITY } else { number(high)? };
        (low <= high).then(|| Self { text: text.to_owned(), low, high, inside })
    }

    /// Whether a value is to be told of.
    fn alerts(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value) == self.inside
    }
}

/// The ranges by the names of what they are for.
type Ranges = BTreeMap<&'static str, Range>;

fn ranges(usual: impl Fn(&Measure) -> Option<&'static str>, given: &[String], option: &str) -> Result<Ranges, String> {
    let mut ranges: Ranges = MEASURES.iter().filter_map(|it| Some((it.name, Range::parse(usual(it)?)?))).collect();
    for text in given {
        let wrong = || format!("{option}: write NAME=RANGE, as overdue=5 or backup_days=14; see rotorctl check --help");
        let (name, range) = text.split_once('=').ok_or_else(wrong)?;
        let measure = MEASURES.iter().find(|it| it.name == name).ok_or_else(wrong)?;
        if range.is_empty() {
            ranges.remove(measure.name);
        } else {
            ranges.insert(measure.name, Range::parse(range).ok_or_else(wrong)?);
        }
    }
    Ok(ranges)
}

/// The four states, with their exit statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Ok = 0,
    Warning = 1,
    Critical = 2,
    Unknown = 3,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// The values of metrics without labels, or with one, by name and that label's value.
struct Values(BTreeMap<(String, String), f64>);

impl Values {
    /// Reads the text of metrics.
    fn read(text: &str) -> Self {
        let value = |line: &str| {
            let (sample, value) = line.rsplit_once(' ')?;
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            let label = labels.split('"').nth(1).unwrap_or_default();
            Some(((name.to_owned(), label.to_owned()), value.parse().ok()?))
        };
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(value).collect())
    }

    fn get(&self, metric: Metric, label: &str) -> Option<f64> {
        self.0.get(&(metric.sample_name(), label.to_owned())).copied()
    }

    /// What is looked at, as far as it is known.
    fn measure(&self, name: &str, now: f64) -> Option<f64> {
        let of = |metric| self.get(metric, "");
        match name {
            "quarantined" => self.get(Metric::Accounts, "quarantined"),
            "overdue" => of(Metric::Overdue),
            "doubtful" => of(Metric::Doubtful),
            "failing" => of(Metric::Failing),
            "warnings" => of(Metric::Warned),
            "budget_spent" => of(Metric::BudgetSpent),
            "circuit_open" => of(Metric::CircuitOpen),
            "clock_wrong" => of(Metric::ClockWarning),
            "vault_failing" => of(Metric::VaultWritable).map(|works| 1.0 - works),
            "escrow_failing" => of(Metric::EscrowWritable).map(|works| 1.0 - works),
            "audit_finding" => of(Metric::AuditFinding),
            "notifiers_failing" => of(Metric::NotifiersFailing),
            "config_refused" => of(Metric::ConfigRefused),
            "backup_days" => self.backup_days(now),
            _ => None,
        }
    }

    /// Days since the last backup. Where none is known, there was none for eight days; where no password was ever changed, none is
    /// missed.
    fn backup_days(&self, now: f64) -> Option<f64> {
        let known = self.get(Metric::LastBackup, "").map(|at| ((now - at) / 86_400.0).max(0.0));
        let ages = self.get(Metric::OldestPassword, "").filter(|age| *age > 0.0);
        known.or_else(|| ages.map(|_| 8.0))
    }

    fn accounts(&self) -> f64 {
        let name = Metric::Accounts.sample_name();
        self.0.iter().filter(|((metric, _), _)| *metric == name).map(|(_, count)| count).sum()
    }
}

/// The state and the line.
fn judge(values: &Values, warning: &Ranges, critical: &Ranges, now: f64) -> (State, String) {
    let (mut state, mut told, mut data) = (State::Ok, Vec::new(), String::new());
    for Measure { name, means, is_flag, command, .. } in MEASURES {
        let Some(value) = values.measure(name, now) else { continue };
        let value = (value * 10.0).floor() / 10.0;
        let (warns, alarms) = (warning.get(name), critical.get(name));
        let found = match (warns, alarms) {
            (_, Some(range)) if range.alerts(value) => State::Critical,
            (Some(range), _) if range.alerts(value) => State::Warning,
            _ => State::Ok,
        };
        if found > State::Ok {
            let what = if *is_flag { (*means).to_owned() } else { format!("{means}: {value}") };
            told.push((found, format!("{what} ({command})")));
        }
        state = state.max(found);
        let text = |range: Option<&Range>| range.map_or("", |range| range.text.as_str()).to_owned();
        let _ = write!(data, " {name}={value};{};{};0;", text(warns), text(alarms));
    }
    told.sort_by_key(|(found, _)| std::cmp::Reverse(*found));
    let told: Vec<String> = told.into_iter().map(|(_, text)| text).collect();
    let accounts = values.accounts();
    let told = if told.is_empty() { format!("{accounts} accounts") } else { told.join("; ") };
    (state, format!("ROTORD {} - {told} | accounts={accounts};;;0;{data}", state.as_str()))
}

/// A line of its own state, without performance data; a `|` would begin some.
fn alone(state: State, why: &str) -> (State, String) {
    let why = crate::model::printable(&why.replace('|', "/").replace('\n', " ")).into_owned();
    (state, format!("ROTORD {} - {why}", state.as_str()))
}

async fn look(client: &Client, args: &CheckArgs) -> (State, String) {
    let both = ranges(|it| it.warning, &args.warning, "--warning")
        .and_then(|warning| Ok((warning, ranges(|it| it.critical, &args.critical, "--critical")?)));
    let (warning, critical) = match both {
        Ok(both) => both,
        Err(why) => return alone(State::Unknown, &why),
    };
    match client.get_text("/metrics", &[], Format::Text.content_type()).await {
        Ok(text) => {
            let now = crate::model::seconds(crate::clock::Clock::new().now().wall_ms);
            judge(&Values::read(&text), &warning, &critical, now)
        }
        // Without a daemon nothing is rotated.
        Err(error @ (ClientError::NoDaemon { .. } | ClientError::Ended { .. } | ClientError::Silent { .. })) => {
            alone(State::Critical, &error.to_string())
        }
        Err(error) => alone(State::Unknown, &error.to_string()),
    }
}

pub(super) async fn run(client: &Client, args: &CheckArgs, json: bool) -> Result<u8, Failure> {
    let (state, line) = look(client, args).await;
    if json {
        say!("{}", serde_json::json!({ "state": state.as_str(), "line": line }));
    } else {
        say!("{line}");
    }
    Ok(state as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_of_the_guidelines() {
        for (text, fine, alerts) in [
            ("10", vec![0.0, 10.0], vec![-1.0, 11.0]),
            ("10:", vec![10.0, 1e9], vec![9.0]),
            ("~:10", vec![-5.0, 10.0], vec![11.0]),
            ("10:20", vec![10.0, 20.0], vec![9.9, 20.1]),
            ("@10:20", vec![9.9, 20.1], vec![10.0, 20.0]),
        ] {
            let range = Range::parse(text).unwrap();
            assert!(fine.iter().all(|value| !range.alerts(*value)), "{text}");
            assert!(alerts.iter().all(|value| range.alerts(*value)), "{text}");
        }
        for wrong in ["", "x", "20:10", "1:2:3", "@", "inf", ":"] {
            assert_eq!(Range::parse(wrong), None, "{wrong}");
        }
    }

    const TEXT: &str = "# HELP rotord_accounts x\nrotord_accounts{state=\"idle\"} 9\nrotord_accounts{state=\"quarantined\"} 1\n\
        rotord_accounts_overdue 3\nrotord_vault_writable 1\nrotord_circuit_open 0\nrotord_last_backup_timestamp_seconds 86400\n";

    fn judged(text: &str, warning: &[&str], critical: &[&str]) -> (State, String) {
        let given = |list: &[&str]| list.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let warning = ranges(|it| it.warning, &given(warning), "--warning").unwrap();
        let critical = ranges(|it| it.critical, &given(critical), "--critical").unwrap();
        judge(&Values::read(text), &warning, &critical, 86_400.0 * 3.5)
    }

    #[test]
    fn the_line_names_the_worst_first_and_has_its_data_behind_a_bar() {
        let (state, line) = judged(TEXT, &[], &[]);
        assert_eq!(state, State::Critical);
        assert!(line.starts_with("ROTORD CRITICAL - quarantined accounts: 1 (rotorctl status --state quarantined); overdue passwords: 3 ("), "{line}");
        let (_, data) = line.split_once(" | ").unwrap();
        let datum = regex::Regex::new(r"^[a-z_]+=[0-9.]+;[0-9:@~]*;[0-9:@~]*;0;$").unwrap();
        assert!(data.split(' ').all(|part| datum.is_match(part)), "{data}");
        assert!(
            data.contains("accounts=10;;;0;") && data.contains("backup_days=2.5;7;;0;") && line.lines().count() == 1
        );
        assert_eq!(judged(TEXT, &["overdue=5"], &["quarantined=2"]).0, State::Ok);
        assert_eq!(judged(TEXT, &[], &["quarantined="]).0, State::Warning);
        assert_eq!(judged(TEXT, &["backup_days=2", "overdue="], &["quarantined="]).0, State::Warning);
    }

    #[test]
    fn what_is_not_known_is_not_judged_and_a_missing_backup_is_old() {
        let (state, line) = judged("rotord_accounts{state=\"idle\"} 1\n", &[], &[]);
        assert_eq!((state, line.contains("backup")), (State::Ok, false), "{line}");
        let (state, line) = judged("rotord_password_age_oldest_seconds 100\n", &[], &[]);
        assert!(state == State::Warning && line.contains("days since the last backup: 8"), "{line}");
        assert!(ranges(|_| None, &["nothing=1".into()], "--warning").is_err());
        assert!(ranges(|_| None, &["overdue".into()], "--warning").is_err());
        let (_, line) = alone(State::Unknown, "a|b\nc\u{1b}");
        assert!(line.lines().count() == 1 && !line.contains('|') && !line.contains('\u{1b}'), "{line}");
    }
}

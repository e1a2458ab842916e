//! `rotorctl report`: what an auditor asks for, gathered over the API, as a page in one file, as JSON, or as CSV.
//!
//! Changes, failures and reveals come from the audit log, coverage and ages from how the accounts stand now. There is no secret in
//! any of them, and so none in a report.

use std::borrow::Borrow;
use std::collections::HashMap;

use askama::Template;
use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::log::{self, Event};
use super::rows::{Fleet, Seen};
use super::state::load;
use super::words::{grouped, milliseconds, seconds};
use crate::control::{Client, ClientError, MeBody, VerifyBody};
use crate::model::printable_lines;

/// The days that a report is about where nobody says.
const USUAL: i64 = 90;

/// From when to when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

impl Span {
    /// Whole days of a zone, the last one included; the last ninety days up to now where nobody says.
    ///
    /// # Errors
    /// It ends before it begins.
    pub fn new(from: Option<NaiveDate>, to: Option<NaiveDate>, now: DateTime<Utc>, zone: Tz) -> Result<Self, String> {
        let begin = |day: NaiveDate| {
            let local = day.and_time(NaiveTime::MIN).and_local_timezone(zone).earliest();
            local.map_or_else(|| day.and_time(NaiveTime::MIN).and_utc(), |at| at.to_utc())
        };
        let end = to.and_then(|day| day.succ_opt()).map_or(now, begin).min(now);
        let from = from.map_or_else(|| end - TimeDelta::days(USUAL), begin);
        if from >= end {
            return Err("the report ends before it begins: --from is a day before --to, and not in the future".into());
        }
        Ok(Self { from, to: end })
    }

    fn holds(&self, time: &str) -> bool {
        milliseconds(time).is_some_and(|at| at >= self.from.timestamp_millis() && at < self.to.timestamp_millis())
    }
}

/// How many accounts are covered by what.
#[derive(Debug, Clone, Default, Serialize, PartialEq, Eq)]
pub struct Coverage {
    accounts: usize,
    /// In a job.
    scheduled: usize,
    with_password: usize,
    with_code: usize,
    /// A login with the stored password was taken once: at a change or at a verify.
    proved: usize,
    /// Changed in the span.
    changed: usize,
    overdue: usize,
}

/// A password that was changed.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Change {
    time: String,
    account: String,
    attempt: String,
    trigger: String,
    by: String,
    reason: String,
    /// When a login with the new password was taken.
    proof: Option<String>,
}

/// An attempt that did not change the password.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Failure {
    time: String,
    account: String,
    attempt: String,
    what: String,
    detail: String,
    /// What became of the account.
    ended: String,
}

/// A secret that a person saw, or was refused.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Reveal {
    time: String,
    what: String,
    account: String,
    by: String,
    reason: String,
}

/// An account that is not as the policy has it.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Exception {
    account: String,
    what: String,
    since: Option<String>,
    why: String,
}

/// How far the audit log was found as it was written.
#[derive(Debug, Clone, Default, Serialize, PartialEq, Eq)]
pub struct Chain {
    whole: bool,
    /// The number of the last event that was checked.
    events: u64,
    why: Option<String>,
}

/// The report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    made: String,
    by: String,
    version: String,
    timezone: String,
    from: String,
    to: String,
    coverage: Coverage,
    ages: Vec<(String, usize)>,
    changes: Vec<Change>,
    failures: Vec<Failure>,
    reveals: Vec<Reveal>,
    refused_callers: Vec<Reveal>,
    exceptions: Vec<Exception>,
    chain: Chain,
}

/// Folds the log into the parts of a report.
#[derive(Debug, Default)]
struct Fold {
    proofs: HashMap<String, String>,
    changes: Vec<Change>,
    failures: Vec<Failure>,
    reveals: Vec<Reveal>,
    refused: Vec<Reveal>,
}

fn by(event: &Event) -> String {
    match (&event.actor, &event.job) {
        (Some(who), _) => format!("{} (uid {})", who.name, who.uid),
        (None, Some(job)) => format!("job {job}"),
        (None, None) => String::new(),
    }
}

impl Fold {
    fn take(&mut self, event: Event) {
        let by = by(&event);
        let Event { time, event: name, account, device, trigger, reason, attempt, detail, .. } = event;
        let (account, attempt) = (account.or(device).unwrap_or_default(), attempt.unwrap_or_default());
        let (trigger, reason, detail) =
            (trigger.unwrap_or_default(), reason.unwrap_or_default(), detail.unwrap_or_default());
        match name.as_str() {
            "rotation.verified" => drop(self.proofs.insert(attempt, time)),
            "rotation.done" | "rotation.recovered" => {
                for failure in self.failures.iter_mut().filter(|it| it.account == account && it.ended.is_empty()) {
                    failure.ended = format!("changed and proved at {time}");
                }
                if name == "rotation.done" {
                    let proof = self.proofs.remove(&attempt);
                    self.changes.push(Change { time, account, attempt, trigger, by, reason, proof });
                }
            }
            "rotation.failed" | "rotation.unknown" | "rotation.refused" | "verify.failed" => {
                self.failures.push(Failure { time, account, attempt, what: name, detail, ended: String::new() });
            }
            "secret.shown" | "totp.shown" | "vault.backup" => {
                // A password's event has no detail; that of a seed says so.
                let what = match (name.as_str(), detail.is_empty()) {
                    ("secret.shown", false) => format!("{name}: {detail}"),
                    _ => name,
                };
                self.reveals.push(Reveal { time, what, account, by, reason });
            }
            "access.denied" => self.refused.push(Reveal { time, what: detail, account, by, reason }),
            _ => {}
        }
    }

    /// What became of accounts of whose failures nothing came after.
    fn end(&mut self, fleet: &Fleet) {
        for failure in self.failures.iter_mut().filter(|failure| failure.ended.is_empty()) {
            failure.ended = match fleet.get(&failure.account) {
                None => "not in the config any more".into(),
                Some(seen) if seen.error().is_empty() => format!("{}, without an error now", seen.state()),
                Some(seen) => format!("{} now", seen.state()),
            };
        }
    }
}

fn rfc(at: i64) -> Option<String> {
    let at = DateTime::<Utc>::from_timestamp(at, 0).filter(|_| at != 0)?;
    Some(at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn exceptions(fleet: &Fleet) -> Vec<Exception> {
    let mut all = Vec::new();
    for seen in fleet.iter() {
        let mut tell = |what: &str, since: i64, why: &str| {
            let (account, what) = (seen.name().to_owned(), what.to_owned());
            all.push(Exception {
                account,
                what,
                since: rfc(since),
                why: why.lines().next().unwrap_or_default().into(),
            });
        };
        match seen.state() {
            state @ ("quarantined" | "uncertain") => tell(state, seen.since(), seen.error()),
            "new" => tell("no password stored", 0, ""),
            _ => {}
        }
        if seen.is_paused() {
            tell("paused", 0, "");
        }
        if seen.is_overdue() {
            tell("overdue", seen.last_change(), seen.error());
        }
        if seen.jobs().next().is_none() {
            tell("in no job", 0, "");
        }
        if !seen.warning().is_empty() {
            tell("with a warning", seen.last_change(), seen.warning());
        }
    }
    all
}

fn coverage(fleet: &Fleet, span: &Span) -> Coverage {
    let count = |is: &dyn Fn(&Seen<'_>) -> bool| fleet.iter().filter(|seen| is(seen)).count();
    Coverage {
        accounts: fleet.len(),
        scheduled: count(&|seen| seen.jobs().next().is_some()),
        with_password: count(&|seen| seen.has_password()),
        with_code: count(&|seen| seen.has_code()),
        proved: count(&|seen| seen.last_change() != 0 || seen.verified() != 0),
        changed: count(&|seen| (span.from.timestamp()..span.to.timestamp()).contains(&seen.last_change())),
        overdue: count(&|seen| seen.is_overdue()),
    }
}

/// The number of the last event before a time, found by halving: the log is in the order of its numbers.
async fn before(client: &Client, time: DateTime<Utc>) -> Result<u64, ClientError> {
    let newest = log::last(client, 1).await?.last().map_or(0, |event| event.seq);
    let (mut low, mut high) = (0, newest);
    while low < high {
        let middle = low + (high - low) / 2;
        let first = log::part_after(client, middle, 1).await?;
        let is_before = first.first().is_some_and(|event| seconds(&event.time) < time.timestamp());
        if is_before {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

impl Report {
    /// Gathers a report; `progress` is told how many events were read.
    ///
    /// # Errors
    /// As [`Client::get`], or the span is none.
    pub async fn gather(
        client: &Client,
        days: (Option<NaiveDate>, Option<NaiveDate>),
        mut progress: impl FnMut(u64),
    ) -> Result<Result<Self, String>, ClientError> {
        let me: MeBody = client.get("/v1/me", &[]).await?;
        let now = Utc::now();
        let span = match Span::new(days.0, days.1, now, me.timezone.parse().unwrap_or(Tz::UTC)) {
            Ok(span) => span,
            Err(why) => return Ok(Err(why)),
        };
        let fleet = load(client).await?;
        let (mut fold, mut read) = (Fold::default(), 0);
        let mut seq = before(client, span.from).await?;
        loop {
            let events = log::after(client, seq).await?;
            let Some(last) = events.last() else { break };
            seq = last.seq;
            let is_past = milliseconds(&last.time).is_some_and(|at| at >= span.to.timestamp_millis());
            read += u64::try_from(events.len()).unwrap_or(0);
            events.into_iter().filter(|event| span.holds(&event.time)).for_each(|event| fold.take(event));
            progress(read);
            if is_past {
                break;
            }
        }
        fold.end(&fleet);
        let checked: VerifyBody = client.get("/v1/audit/verify", &[]).await?;
        let ages = super::pages::ages(&fleet, now.timestamp());
        let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        Ok(Ok(Self {
            made: time(now),
            by: format!("{} (uid {})", me.user, me.uid),
            version: me.version,
            timezone: me.timezone,
            from: time(span.from),
            to: time(span.to),
            coverage: coverage(&fleet, &span),
            ages: ages.into_iter().map(|(label, count, _)| (label.to_owned(), count)).collect(),
            changes: fold.changes,
            failures: fold.failures,
            reveals: fold.reveals,
            refused_callers: fold.refused,
            exceptions: exceptions(&fleet),
            chain: Chain { whole: checked.ok, events: checked.events, why: checked.why },
        }))
    }

    /// As a page in one file, which shows nothing but text and asks nobody for anything.
    ///
    /// # Errors
    /// The page cannot be made.
    pub fn html(&self) -> Result<String, askama::Error> {
        let zone: Tz = self.timezone.parse().unwrap_or(Tz::UTC);
        Ok(printable_lines(&Page { r: self, zone }.render()?))
    }

    /// As a table: what kind of line, when, of which account, what, by whom, and more of it.
    ///
    /// # Errors
    /// Never in practice: it is written into memory.
    pub fn csv(&self) -> Result<String, csv::Error> {
        let mut table = csv::Writer::from_writer(Vec::new());
        let mut put = |cells: [&str; 6]| table.write_record(cells.map(harmless));
        put(["section", "time", "account", "what", "by", "detail"])?;
        let c = &self.coverage;
        for (name, count) in [
            ("accounts", c.accounts),
            ("scheduled", c.scheduled),
            ("with_password", c.with_password),
            ("with_code", c.with_code),
            ("proved", c.proved),
            ("changed", c.changed),
            ("overdue", c.overdue),
        ] {
            put(["coverage", &self.made, "", name, "", &count.to_string()])?;
        }
        for (label, count) in &self.ages {
            put(["age", &self.made, "", label, "", &count.to_string()])?;
        }
        for it in &self.changes {
            let proof = it.proof.as_ref().map_or_else(String::new, |at| format!("proved by a login at {at}"));
            put(["change", &it.time, &it.account, &it.trigger, &it.by, &proof])?;
        }
        for it in &self.failures {
            put(["failure", &it.time, &it.account, &it.what, "", &format!("{}; {}", it.detail, it.ended)])?;
        }
        for (section, list) in [("reveal", &self.reveals), ("refused", &self.refused_callers)] {
            for it in list {
                put([section, &it.time, &it.account, &it.what, &it.by, &it.reason])?;
            }
        }
        for it in &self.exceptions {
            put(["exception", it.since.as_deref().unwrap_or_default(), &it.account, &it.what, "", &it.why])?;
        }
        let whole = if self.chain.whole { "whole" } else { "broken" };
        let why = self.chain.why.clone().unwrap_or_default();
        put(["audit", &self.made, "", &format!("{whole} up to event {}", self.chain.events), "", &why])?;
        let bytes = table.into_inner().map_err(|error| error.into_error())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// A cell that a spreadsheet takes for text: not for a formula (OWASP, CSV injection), and without what turns the direction of writing.
fn harmless(cell: &str) -> String {
    let text = crate::model::printable(cell);
    if text.starts_with(['=', '+', '-', '@', '\t']) { format!("'{text}") } else { text.into_owned() }
}

#[derive(Template)]
#[template(path = "../src/web/pages/report.html")]
struct Page<'a> {
    r: &'a Report,
    zone: Tz,
}

impl Page<'_> {
    /// A time in the zone of the config.
    fn time(&self, text: &str) -> String {
        DateTime::parse_from_rfc3339(text)
            .map_or_else(|_| text.to_owned(), |at| at.with_timezone(&self.zone).format("%Y-%m-%d %H:%M:%S").to_string())
    }

    fn when(&self, text: &Option<String>) -> String {
        text.as_deref().map_or_else(String::new, |text| self.time(text))
    }

    fn text(&self, text: &str) -> String {
        super::words::in_zone(text, self.zone)
    }

    fn count(&self, count: impl Borrow<usize>) -> String {
        grouped(*count.borrow())
    }

    fn share(&self, count: impl Borrow<usize>) -> String {
        match self.r.coverage.accounts {
            0 => "–".into(),
            all => format!("{} %", count.borrow() * 100 / all),
        }
    }

    /// Changes without a proof on record in the span.
    fn unproved(&self) -> usize {
        self.r.changes.iter().filter(|change| change.proof.is_none()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::Who;
    use super::super::rows::tests::line;
    use super::*;

    fn event(time: &str, event: &str, account: &str, attempt: &str) -> Event {
        let some = |text: &str| Some(text.to_owned());
        Event {
            time: time.into(),
            event: event.into(),
            account: some(account),
            attempt: some(attempt),
            reason: some("=cmd|'/c calc'!A1"),
            actor: Some(Who { name: "alice".into(), uid: 1000 }),
            ..Event::default()
        }
    }

    fn report() -> Report {
        let mut fleet = Fleet::default();
        fleet.put(&line("web1/admin", "idle"));
        let mut bad = line("web2/admin", "quarantined");
        bad.status.last_error = Some("no <script>alert(1)</script> \u{202e}".into());
        bad.jobs = Vec::new();
        fleet.put(&bad);
        let mut fold = Fold::default();
        for event in [
            event("2026-11-30T10:00:00Z", "rotation.failed", "web1/admin", "a1"),
            event("2026-11-30T10:05:00Z", "rotation.verified", "web1/admin", "a2"),
            event("2026-11-30T10:05:01Z", "rotation.done", "web1/admin", "a2"),
            event("2026-11-30T11:00:00Z", "rotation.unknown", "web2/admin", "a3"),
            event("2026-11-30T12:00:00Z", "secret.shown", "web1/admin", "a4"),
            event("2026-11-30T12:00:00Z", "access.denied", "web1/admin", "a5"),
        ] {
            fold.take(event);
        }
        fold.end(&fleet);
        let now = "2026-12-01T00:00:00Z".parse().unwrap();
        let span = Span::new(None, None, now, Tz::UTC).unwrap();
        Report {
            made: "2026-12-01T00:00:00Z".into(),
            by: "alice (uid 1000)".into(),
            version: "1".into(),
            timezone: "Europe/Berlin".into(),
            from: "2026-09-02T00:00:00Z".into(),
            to: "2026-12-01T00:00:00Z".into(),
            coverage: coverage(&fleet, &span),
            ages: vec![("older: overdue".into(), 1)],
            changes: fold.changes,
            failures: fold.failures,
            reveals: fold.reveals,
            refused_callers: fold.refused,
            exceptions: exceptions(&fleet),
            chain: Chain { whole: true, events: 42, why: None },
        }
    }

    #[test]
    fn the_log_becomes_changes_with_proofs_failures_with_ends_and_reveals_with_reasons() {
        let report = report();
        assert_eq!(report.changes.len(), 1);
        assert_eq!(report.changes[0].proof.as_deref(), Some("2026-11-30T10:05:00Z"));
        let ends: Vec<&str> = report.failures.iter().map(|failure| failure.ended.as_str()).collect();
        assert_eq!(ends, ["changed and proved at 2026-11-30T10:05:01Z", "quarantined now"]);
        assert_eq!((report.reveals.len(), report.refused_callers.len()), (1, 1));
        let what: Vec<&str> = report.exceptions.iter().map(|it| it.what.as_str()).collect();
        assert_eq!(what, ["quarantined", "in no job"]);
        assert_eq!((report.coverage.scheduled, report.coverage.changed), (1, 2));
    }

    #[test]
    fn a_page_and_a_table_show_hostile_text_as_text() {
        let report = report();
        let html = report.html().unwrap();
        assert!(!html.contains("<script") && !html.contains('\u{202e}') && html.contains("&#60;script&#62;"), "{html}");
        assert!(!html.contains("http://") && !html.contains("https://") && !html.contains("src="), "it is one file");
        assert!(html.contains("2026-11-30 11:05:01") && html.contains("up to event 42"), "{html}");
        let table = report.csv().unwrap();
        assert!(
            !table.lines().any(|line| line.split(',').any(|cell| cell.trim_matches('"').starts_with('='))),
            "{table}"
        );
        assert!(table.contains("\nchange,2026-11-30T10:05:01Z,web1/admin,") && table.contains("whole up to event 42"));
    }

    #[test]
    fn a_span_is_whole_days_of_the_zone() {
        let day = |text: &str| Some(text.parse::<NaiveDate>().unwrap());
        let now = "2026-12-01T12:00:00Z".parse().unwrap();
        let span = Span::new(day("2026-11-01"), day("2026-11-30"), now, chrono_tz::Europe::Berlin).unwrap();
        assert!(span.holds("2026-10-31T23:00:00Z") && span.holds("2026-11-30T22:59:59.999Z"));
        assert!(!span.holds("2026-10-31T22:59:59Z") && !span.holds("2026-11-30T23:00:00Z") && !span.holds("x"));
        assert!(Span::new(day("2026-11-02"), day("2026-11-01"), now, Tz::UTC).is_err());
        assert!(Span::new(day("2027-01-01"), None, now, Tz::UTC).is_err());
        assert_eq!(Span::new(None, None, now, Tz::UTC).unwrap().from, now - TimeDelta::days(90));
    }
}

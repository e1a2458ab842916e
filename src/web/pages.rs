//! The pages that are read: overview, accounts, devices, jobs, templates, audit, health, work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::charts::{self, DayCount};
use super::fields::query;
use super::log::{self, Event};
use super::rows::{Fleet, PAGE, Search, Seen};
use super::state::{App, Work};
use super::view::{Chip, Frame, PageError, RowView, Visit, account_link, device_link, page};
use super::words::{When, counted, grouped, in_zone, length};
use crate::control::{DeviceBody, JobBody, JobsBody, STATES, StatusBody, TemplateText, TemplatesBody, VerifyBody};
use crate::model::percent_encode;

pub(super) type Asked = (State<Arc<App>>, Extension<Visit>);
type Answer = Result<Response, PageError>;

/// Accounts that need a person which the overview shows.
const PERSONS: usize = 8;
/// Days of its chart.
const DAYS: u64 = 30;
/// Events that are searched.
const DEPTH: usize = 10_000;
/// Events that are shown.
const SHOWN: usize = 200;

#[derive(Template)]
#[template(path = "../src/web/pages/overview.html")]
struct Overview {
    f: Frame,
    total: String,
    person_count: usize,
    at_work: usize,
    overdue: usize,
    errors: usize,
    no_code: usize,
    person: Vec<RowView>,
    warnings: Vec<String>,
    days: Vec<(String, DayCount)>,
    days_chart: String,
    ages_chart: String,
    patterns: &'static str,
}

/// Password ages in quarters of what the policy allows.
pub(super) fn ages(fleet: &Fleet, now: i64) -> [(&'static str, usize, &'static str); 7] {
    let mut ages = [
        ("under a quarter of max_age", 0, "done"),
        ("a quarter to a half", 0, "done"),
        ("a half to three quarters", 0, "done"),
        ("three quarters to max_age", 0, "refused"),
        ("older: overdue", 0, "failed"),
        ("policy without max_age", 0, "none"),
        ("not changed yet", 0, "none"),
    ];
    for seen in fleet.iter() {
        let place = match (seen.last_change(), seen.max_age()) {
            (0, _) => 6,
            (_, 0) => 5,
            (changed, most) => usize::try_from((now - changed).max(0) * 4 / most.max(1)).unwrap_or(4).min(4),
        };
        ages[place].1 += 1;
    }
    ages
}

pub(super) async fn overview((State(app), Extension(visit)): Asked) -> Answer {
    app.count_days().await?;
    let (fleet, zone, now) = (app.fleet(), app.zone(), Utc::now());
    let search = Search { only: "person".into(), sort: "state".into(), ..Search::default() };
    let found = fleet.find(&search);
    let count = |is: fn(&Seen<'_>) -> bool| fleet.iter().filter(is).count();
    let days = super::state::lock(&app.days).last(now.date_naive(), DAYS);
    page(&Overview {
        f: Frame::new(&app, &visit, "overview", "Overview").at("./"),
        total: grouped(fleet.len()),
        person_count: found.len(),
        at_work: count(|seen| seen.is_at_work()),
        overdue: count(|seen| seen.is_overdue()),
        errors: count(|seen| !seen.error().is_empty()),
        no_code: count(|seen| !seen.has_code()),
        person: fleet.all_found(&found).take(PERSONS).map(|seen| RowView::new(&seen, zone)).collect(),
        warnings: warnings(&app).await,
        days_chart: charts::days(&days),
        days,
        ages_chart: charts::bars("Password ages against policy", &ages(&fleet, now.timestamp())),
        patterns: charts::PATTERNS,
    })
}

/// What of the daemon itself is out of order.
async fn warnings(app: &App) -> Vec<String> {
    let Ok(status) = standing(app).await else { return Vec::new() };
    let config = status.config_error.map(|_| "The new config was refused, and the old one is in force.".to_owned());
    let all = [
        status.vault_error,
        status.escrow_error,
        status.audit_finding,
        status.clock_warning,
        status.logins_held,
        config,
    ];
    all.into_iter().flatten().map(|text| in_zone(&text, app.zone())).collect()
}

/// What `status` says beside the accounts.
async fn standing(app: &App) -> Result<StatusBody, PageError> {
    // One account is enough to be told of the rest.
    let fleet = app.fleet();
    let one = fleet.iter().next().map(|seen| super::state::literal(seen.name()));
    let query: Vec<(&str, &str)> = one.as_deref().map(|name| ("account", name)).into_iter().collect();
    Ok(app.client.get("/v1/status", &query).await?)
}

#[derive(Template)]
#[template(path = "../src/web/pages/accounts.html")]
struct Accounts {
    f: Frame,
    s: Search,
    policies: Vec<String>,
    jobs: Vec<String>,
    chips: Vec<Chip>,
    all: String,
    rows: Vec<RowView>,
    found: String,
    from: String,
    to: String,
    page: usize,
    more: bool,
}

impl Accounts {
    fn columns(&self) -> [(&'static str, &'static str); 6] {
        columns()
    }

    fn only(&self) -> [(&'static str, &'static str); 8] {
        only()
    }

    fn sorted(&self, key: &str) -> String {
        let sort = if self.s.sort == key { format!("-{key}") } else { key.to_owned() };
        self.s.query(&[("sort", &sort)])
    }

    fn at_page(&self, page: usize) -> String {
        self.s.query(&[("page", &page.to_string())])
    }
}

/// Columns of the table of accounts: what they are sorted by, and their names.
fn columns() -> [(&'static str, &'static str); 6] {
    [
        ("name", "Account"),
        ("state", "State"),
        ("changed", "Last change"),
        ("next", "Next run"),
        ("used", "24 h"),
        ("", "Note"),
    ]
}

/// The filters beside state, policy and job.
fn only() -> [(&'static str, &'static str); 8] {
    [
        ("", "Any"),
        ("person", "Needs a person"),
        ("overdue", "Overdue"),
        ("error", "With an error"),
        ("warning", "With a warning"),
        ("capped", "At its cap"),
        ("no-code", "Without a TOTP seed"),
        ("unverified", "Never verified"),
    ]
}

pub(super) async fn accounts((State(app), Extension(visit)): Asked) -> Answer {
    let (fleet, zone) = (app.fleet(), app.zone());
    let s = Search::of(&visit.fields);
    let found = fleet.find(&s);
    let at = page_of(&visit, found.len());
    let rows: Vec<RowView> = fleet.page(&found, at).map(|seen| RowView::new(&seen, zone)).collect();
    let (policies, jobs) = fleet.policies_and_jobs();
    page(&Accounts {
        f: Frame::new(&app, &visit, "accounts", "Accounts").at(format!("accounts?{}", s.query(&[]))),
        policies,
        jobs,
        chips: Chip::of(&found.counts),
        all: grouped(found.counts.iter().sum()),
        found: grouped(found.len()),
        from: grouped(at * PAGE + usize::from(!rows.is_empty())),
        to: grouped(at * PAGE + rows.len()),
        more: (at + 1) * PAGE < found.len(),
        rows,
        page: at,
        s,
    })
}

/// The page of a table that is asked for, among those that there are.
fn page_of(visit: &Visit, found: usize) -> usize {
    visit.fields.text("page").parse::<usize>().unwrap_or(0).min(found.saturating_sub(1) / PAGE)
}

#[derive(Template)]
#[template(path = "../src/web/pages/devices.html")]
struct Devices {
    f: Frame,
    q: String,
    rows: Vec<DeviceView>,
    found: String,
    from: String,
    to: String,
    page: usize,
    more: bool,
}

impl Devices {
    fn at_page(&self, page: usize) -> String {
        query(&[("q", &self.q), ("page", &page.to_string())])
    }
}

struct DeviceView {
    name: String,
    link: String,
    accounts: String,
    chips: Vec<Chip>,
    overdue: usize,
}

pub(super) async fn devices((State(app), Extension(visit)): Asked) -> Answer {
    let fleet = app.fleet();
    let q = visit.fields.text("q").trim().to_owned();
    let words: Vec<String> = q.split_whitespace().map(str::to_ascii_lowercase).collect();
    let mut all: BTreeMap<&str, ([usize; STATES.len()], usize)> = BTreeMap::new();
    for seen in fleet.iter() {
        let entry = all.entry(seen.device()).or_default();
        if let Some(count) = STATES.iter().position(|state| *state == seen.state()).and_then(|at| entry.0.get_mut(at)) {
            *count += 1;
        }
        entry.1 += usize::from(seen.is_overdue());
    }
    all.retain(|name, _| {
        let name = name.to_ascii_lowercase();
        words.iter().all(|word| name.contains(word.as_str()))
    });
    let at = page_of(&visit, all.len());
    let rows: Vec<DeviceView> = all
        .iter()
        .skip(at * PAGE)
        .take(PAGE)
        .map(|(name, (counts, overdue))| DeviceView {
            name: (*name).to_owned(),
            link: device_link(name),
            accounts: grouped(counts.iter().sum()),
            chips: Chip::of(counts),
            overdue: *overdue,
        })
        .collect();
    page(&Devices {
        f: Frame::new(&app, &visit, "devices", "Devices").at(format!("devices?{}", query(&[("q", &q)]))),
        found: grouped(all.len()),
        from: grouped(at * PAGE + usize::from(!rows.is_empty())),
        to: grouped(at * PAGE + rows.len()),
        more: (at + 1) * PAGE < all.len(),
        page: at,
        rows,
        q,
    })
}

/// A fact: its name, its text, and where it leads.
pub(super) type Fact = (&'static str, String, String);

#[derive(Template)]
#[template(path = "../src/web/pages/device.html")]
struct Device {
    f: Frame,
    name: String,
    facts: Vec<Fact>,
    rows: Vec<RowView>,
    total: usize,
    all_link: String,
}

pub(super) async fn device((State(app), Extension(visit)): Asked) -> Answer {
    let name = visit.fields.text("name").to_owned();
    let body: DeviceBody = app.client.get("/v1/device", &[("device", &name)]).await?;
    let fleet = app.fleet();
    let search = Search { device: name.clone(), sort: "state".into(), ..Search::default() };
    let found = fleet.find(&search);
    let fact = |name, text: String| (name, text, String::new());
    let mut facts: Vec<Fact> = vec![
        fact("Address", body.address),
        ("Template", body.template.clone(), format!("template?{}", query(&[("name", &body.template)]))),
        fact("Sessions at once", body.max_sessions.to_string()),
        fact("Clock", clock(body.clock_steps)),
    ];
    facts.extend(body.jump.map(|jump| ("Through", jump.clone(), device_link(&jump))));
    facts.extend(body.known_hosts.map(|file| fact("known_hosts", file)));
    if body.host_keys.is_empty() {
        facts.push(fact("Host key", format!("none on record; on the bastion: rotorctl trust {name}")));
    }
    facts.extend(body.host_keys.into_iter().map(|key| fact("Host key", key)));
    if body.legacy_algorithms {
        facts.push(fact("Algorithms", "those of old too".into()));
    }
    page(&Device {
        f: Frame::new(&app, &visit, "devices", name.clone()).at(device_link(&name)),
        facts,
        rows: fleet.page(&found, 0).map(|seen| RowView::new(&seen, app.zone())).collect(),
        total: found.len(),
        all_link: format!("accounts?{}", query(&[("device", &name)])),
        name,
    })
}

/// How a device's clock goes, as its codes tell.
pub(super) fn clock(steps: i64) -> String {
    match steps {
        0 => "as the host's".into(),
        steps => format!(
            "takes codes that are {} {}",
            counted(usize::try_from(steps.abs()).unwrap_or(0), "step"),
            if steps > 0 { "ahead" } else { "behind" }
        ),
    }
}

#[derive(Template)]
#[template(path = "../src/web/pages/jobs.html")]
struct Jobs {
    f: Frame,
    jobs: Vec<JobView>,
    zone: String,
    days: Vec<String>,
}

struct JobView {
    name: String,
    link: String,
    paused: bool,
    told: String,
    week: String,
    runs: Vec<String>,
    more: bool,
}

impl JobView {
    fn new(job: JobBody, begin: DateTime<Utc>, zone: Tz, midnights: &[i64]) -> Self {
        let what = if job.action == "rotate" { "changes" } else { "logs in to" };
        let mut told = format!("{} {what} {}, on “{}”", job.job, counted(job.accounts, "account"), job.schedule);
        if job.spread > 0 {
            told.push_str(&format!(", spread over {}", length(job.spread)));
        }
        if let Some(window) = &job.window {
            told.push_str(&format!(", within {window}"));
        }
        if job.on_signal {
            told.push_str(", and on SIGUSR1");
        }
        if job.catch_up {
            told.push_str("; a missed time is made up for");
        }
        let times = job.runs.iter().filter_map(|run| DateTime::parse_from_rfc3339(run).ok());
        let runs: Vec<(i64, String)> = times
            .map(|at| {
                let local = at.with_timezone(&zone).format("%a %d %b, %H:%M");
                (at.timestamp(), format!("{local}: {what} {}", counted(job.accounts, "account")))
            })
            .collect();
        let label = format!("{}: {}", job.job, counted(runs.len(), "firing"));
        Self {
            link: format!("accounts?{}", query(&[("job", &job.job)])),
            week: charts::week(&label, begin.timestamp(), midnights, &runs, job.spread),
            runs: runs.into_iter().map(|(_, title)| title).collect(),
            name: job.job,
            paused: job.paused,
            told: told + ".",
            more: job.more,
        }
    }
}

pub(super) async fn jobs((State(app), Extension(visit)): Asked) -> Answer {
    let body: JobsBody = app.client.get("/v1/jobs", &[]).await?;
    let zone: Tz = body.timezone.parse().unwrap_or(Tz::UTC);
    let now = Utc::now();
    let days = (0..7i64).map(|day| now + chrono::TimeDelta::days(day));
    let midnights: Vec<i64> = (1..=7u64)
        .filter_map(|day| {
            let date = now.with_timezone(&zone).date_naive().checked_add_days(chrono::Days::new(day))?;
            date.and_hms_opt(0, 0, 0)?.and_local_timezone(zone).earliest().map(|at| at.timestamp())
        })
        .collect();
    page(&Jobs {
        f: Frame::new(&app, &visit, "jobs", "Jobs"),
        days: days.map(|day| day.with_timezone(&zone).format("%a %d").to_string()).collect(),
        jobs: body.jobs.into_iter().map(|job| JobView::new(job, now, zone, &midnights)).collect(),
        zone: body.timezone,
    })
}

#[derive(Template)]
#[template(path = "../src/web/pages/templates.html")]
struct Templates {
    f: Frame,
    q: String,
    told: String,
    rows: Vec<TemplateView>,
}

struct TemplateView {
    name: String,
    link: String,
    about: String,
    sound: bool,
}

pub(super) async fn templates((State(app), Extension(visit)): Asked) -> Answer {
    let body: TemplatesBody = app.client.get("/v1/templates", &[]).await?;
    let q = visit.fields.text("q").trim().to_owned();
    let words: Vec<String> = q.split_whitespace().map(str::to_ascii_lowercase).collect();
    let total = body.templates.len();
    let fits = |text: String| words.iter().all(|word| text.contains(word.as_str()));
    let rows: Vec<TemplateView> = body
        .templates
        .into_iter()
        .filter(|template| fits(format!("{} {}", template.name, template.about).to_ascii_lowercase()))
        .map(|template| TemplateView {
            link: format!("template?{}", query(&[("name", &template.name)])),
            name: template.name,
            about: template.about,
            sound: template.sound,
        })
        .collect();
    page(&Templates {
        f: Frame::new(&app, &visit, "templates", "Templates"),
        told: format!("{} of {}", rows.len(), counted(total, "template")),
        q,
        rows,
    })
}

#[derive(Template)]
#[template(path = "../src/web/pages/template.html")]
struct TemplatePage {
    f: Frame,
    name: String,
    file: String,
    text: String,
    problems: Vec<String>,
    used: String,
    used_count: usize,
    devices: Vec<(String, String)>,
}

pub(super) async fn template((State(app), Extension(visit)): Asked) -> Answer {
    let name = visit.fields.text("name").to_owned();
    let body: TemplateText = app.client.get("/v1/template", &[("name", &name)]).await?;
    let (_, problems) = crate::template::load(std::path::Path::new(&body.file), &body.text);
    let short = name.rsplit('/').next().unwrap_or(&name);
    let fleet = app.fleet();
    let devices: BTreeSet<&str> = fleet
        .iter()
        .filter(|seen| seen.template() == name || seen.template() == short)
        .map(|seen| seen.device())
        .collect();
    page(&TemplatePage {
        f: Frame::new(&app, &visit, "templates", name.clone()).at(format!("template?name={}", percent_encode(&name))),
        file: body.file,
        text: body.text,
        problems: problems.iter().map(ToString::to_string).collect(),
        used: if devices.is_empty() { "no device".into() } else { counted(devices.len(), "device") },
        used_count: devices.len(),
        devices: devices.into_iter().take(50).map(|name| (name.to_owned(), device_link(name))).collect(),
        name,
    })
}

#[derive(Template)]
#[template(path = "../src/web/pages/audit.html")]
struct Audit {
    f: Frame,
    q: String,
    kind: String,
    depth: String,
    checked: bool,
    ok: bool,
    chain: String,
    rows: Vec<EventView>,
    more: bool,
}

impl Audit {
    fn kinds(&self) -> [(&'static str, &'static str); 8] {
        kinds()
    }
}

struct EventView {
    seq: u64,
    when: When,
    event: String,
    class: &'static str,
    place: String,
    link: String,
    who: String,
    what: String,
}

/// Kinds of events, by what their names begin with.
fn kinds() -> [(&'static str, &'static str); 8] {
    [
        ("", "Any"),
        ("rotation.", "Rotations"),
        ("verify.", "Verifies"),
        ("secret.", "Secrets set and shown"),
        ("totp.", "Tokens and seeds"),
        ("host_key.", "Host keys"),
        ("access.", "Refused callers"),
        ("daemon.", "The daemon"),
    ]
}

impl EventView {
    fn new(event: Event, now: i64, zone: Tz) -> Self {
        let class = match event.event.rsplit('.').next().unwrap_or_default() {
            "failed" | "unknown" | "mismatch" | "denied" => "bad",
            "done" | "verified" => "good",
            "shown" => "warn",
            _ => "",
        };
        let link = event.account.as_deref().map(account_link);
        let link = link.or_else(|| event.device.as_deref().map(device_link)).unwrap_or_default();
        let who = match (&event.actor, &event.trigger) {
            (Some(who), _) => format!("{} ({})", who.name, who.uid),
            (None, Some(trigger)) => trigger.clone(),
            (None, None) => String::new(),
        };
        let job = event.job.map(|job| format!("job {job}"));
        let reason = event.reason.map(|reason| format!("reason: {reason}"));
        let what: Vec<String> = [event.outcome, event.detail, job, reason].into_iter().flatten().collect();
        Self {
            seq: event.seq,
            when: When::of(Some(&event.time), now, zone),
            event: event.event,
            class,
            place: event.account.or(event.device).unwrap_or_default(),
            link,
            who,
            what: in_zone(&what.join(" · "), zone),
        }
    }
}

pub(super) async fn audit((State(app), Extension(visit)): Asked) -> Answer {
    let q = visit.fields.text("q").trim().to_owned();
    let kind = visit.fields.text("kind").to_owned();
    let words: Vec<String> = q.split_whitespace().map(str::to_ascii_lowercase).collect();
    let narrow = !words.is_empty() || !kind.is_empty();
    // Without a search only what is shown is read.
    let mut events = log::last(&app.client, if narrow { DEPTH } else { SHOWN + 1 }).await?;
    events.retain(|event| event.event.starts_with(&kind) && event.has(&words));
    let more = events.len() > SHOWN;
    let (now, zone) = (Utc::now().timestamp(), app.zone());
    let rows: Vec<EventView> =
        events.into_iter().rev().take(SHOWN).map(|event| EventView::new(event, now, zone)).collect();
    let checked = visit.fields.get("check").is_some();
    let report: Option<VerifyBody> = if checked { Some(app.client.get("/v1/audit/verify", &[]).await?) } else { None };
    let chain = report.as_ref().map_or_else(String::new, |report| match (report.ok, report.first_bad) {
        (true, _) => format!(
            "The chain is whole: {}, the last of which is the last that the vault wrote.",
            counted(usize::try_from(report.events).unwrap_or(usize::MAX), "event")
        ),
        (false, Some(bad)) => format!(
            "Event {bad} is the first that is not as it was written: {}",
            report.why.as_deref().unwrap_or_default()
        ),
        (false, None) => format!("The log is not believed: {}", report.why.as_deref().unwrap_or_default()),
    });
    page(&Audit {
        f: Frame::new(&app, &visit, "audit", "Audit"),
        q,
        kind,
        depth: grouped(DEPTH),
        checked,
        ok: report.is_some_and(|report| report.ok),
        chain,
        rows,
        more,
    })
}

#[derive(Template)]
#[template(path = "../src/web/pages/health.html")]
struct Health {
    f: Frame,
    lines: Vec<HealthLine>,
}

struct HealthLine {
    name: &'static str,
    class: &'static str,
    mark: &'static str,
    word: &'static str,
    told: String,
    pre: String,
}

impl HealthLine {
    fn good(name: &'static str, told: impl Into<String>) -> Self {
        Self { name, class: "good", mark: "✓", word: "in order", told: told.into(), pre: String::new() }
    }

    fn of(name: &'static str, trouble: Option<String>, good: impl Into<String>, is_bad: bool) -> Self {
        match trouble {
            None => Self::good(name, good),
            Some(told) if is_bad => Self { name, class: "bad", mark: "!", word: "broken", told, pre: String::new() },
            Some(told) => Self { name, class: "warn", mark: "▲", word: "look at it", told, pre: String::new() },
        }
    }
}

pub(super) async fn health((State(app), Extension(visit)): Asked) -> Answer {
    let (status, me) = (standing(&app).await?, app.me());
    let escrow = match &me.escrow {
        Some(folder) => format!("Each new password is sealed into {folder} before it is sent."),
        None => "The config names no escrow folder.".to_owned(),
    };
    let clock = status.clock_warning.or_else(|| crate::clock::unsynchronised(crate::clock::host_is_synchronised()));
    let mut config = HealthLine::good("Config", "The config in force is the one on disk when it was last read.");
    if let Some(problems) = status.config_error {
        config = HealthLine {
            pre: problems,
            ..HealthLine::of(
                "Config",
                Some("The new config was refused, and the old one is in force.".into()),
                "",
                true,
            )
        };
    }
    let at_work = match me.at_work {
        0 => "It is at rest".to_owned(),
        count => format!("It is at work on {}", counted(count, "account")),
    };
    let told = format!(
        "Version {}, with {} on {}. {at_work}.",
        me.version,
        counted(me.accounts, "account"),
        counted(me.devices, "device")
    );
    let mut lines = vec![
        HealthLine::good("Daemon", told),
        config,
        HealthLine::of("Vault and disk", status.vault_error, "The vault takes what is written.", true),
        HealthLine::of("Escrow", status.escrow_error, escrow, true),
        HealthLine::of("Audit log", status.audit_finding, "At the last start, vault and log agreed.", true),
        HealthLine::of("Clock", clock, "The kernel says that the clock is synchronised.", false),
        HealthLine::of("Logins", status.logins_held, "No login is held back.", false),
        HealthLine::of("Notifications", status.notify_error, "No notifier is in trouble.", false),
    ];
    lines.iter_mut().for_each(|line| line.told = in_zone(&line.told, app.zone()));
    page(&Health { f: Frame::new(&app, &visit, "health", "Health"), lines })
}

#[derive(Template)]
#[template(path = "../src/web/pages/work.html")]
struct WorkPage {
    f: Frame,
    running: bool,
    work: Vec<WorkView>,
}

struct WorkView {
    id: u64,
    title: String,
    started: When,
    total: usize,
    finished: usize,
    told: String,
    error: String,
    step: String,
    results: Vec<(String, String, String, String)>,
}

impl WorkView {
    fn new(work: Work, now: i64, zone: Tz) -> Self {
        let count = |outcome: &str| work.results.iter().filter(|result| result.outcome == outcome).count();
        let counts = ["done", "refused", "failed", "unknown"].map(|outcome| (count(outcome), outcome));
        let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, outcome)| format!("{count} {outcome}"));
        let mut told = counts.collect::<Vec<_>>().join(", ");
        if told.is_empty() {
            told = match (work.ended, work.finished) {
                (Some(_), _) => "Nothing came of it.".into(),
                (None, 0) => "Under way.".into(),
                (None, finished) => format!("Under way: {} of {}.", grouped(finished), counted(work.total, "account")),
            };
        }
        let mut results = work.results;
        // What went wrong comes first.
        results.sort_by_key(|result| result.outcome == "done");
        Self {
            id: work.id,
            title: format!("{} {}", super::acts::verb(work.what), counted(work.total, "account")),
            started: When::at(work.started, now, zone),
            total: work.total,
            finished: work.finished,
            told,
            error: work.error.unwrap_or_default(),
            step: match (work.ended, work.step) {
                (None, Some((account, step))) => format!("{account}: {step}"),
                _ => String::new(),
            },
            results: results
                .into_iter()
                .take(PAGE)
                .map(|result| {
                    let link = account_link(&result.account);
                    (result.account, link, result.outcome, in_zone(&result.detail, zone))
                })
                .collect(),
        }
    }
}

pub(super) async fn work((State(app), Extension(visit)): Asked) -> Answer {
    let (now, zone) = (Utc::now().timestamp(), app.zone());
    let all = app.work();
    page(&WorkPage {
        f: Frame::new(&app, &visit, "work", "Work"),
        running: all.iter().any(|work| work.ended.is_none()),
        work: all.into_iter().map(|work| WorkView::new(work, now, zone)).collect(),
    })
}

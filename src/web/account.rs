//! An account's page: how it stands, its limits, and its history step by step.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use chrono::Utc;
use chrono_tz::Tz;

use super::fields::query;
use super::pages::{Asked, Fact, clock};
use super::rows::Fleet;
use super::state::App;
use super::view::{Frame, PageError, RowView, Visit, account_link, device_link, page};
use super::words::{When, in_zone, length, milliseconds};
use crate::control::{AccountBody, AttemptBody, ExplainBody, HistoryBody, LimitBody, NextBody};

#[derive(Template)]
#[template(path = "../src/web/pages/account.html")]
struct AccountPage {
    f: Frame,
    name: String,
    device: String,
    device_link: String,
    row: RowView,
    since: When,
    has_code: bool,
    has_password: bool,
    shown_token: String,
    shown_left: String,
    shown_password: String,
    means: Vec<String>,
    why: String,
    warning: String,
    acts: Vec<ActView>,
    commands: Vec<(String, String)>,
    attempts: Vec<AttemptView>,
    running: bool,
    limits: Vec<LimitView>,
    facts: Vec<Fact>,
}

/// Something that can be asked for on the page.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ActView {
    act: &'static str,
    device_has: &'static str,
    label: &'static str,
    what: String,
    first: bool,
}

/// What `explain` says to type, as a button where the page can do it.
fn button(next: &NextBody, account: &str) -> Option<ActView> {
    let words: Vec<&str> = next.command.strip_prefix("rotorctl ")?.split_whitespace().collect();
    let (act, device_has, label) = match words.as_slice() {
        ["rotate", name] if *name == account => ("rotate", "", "Rotate"),
        ["verify", name] if *name == account => ("verify", "", "Verify"),
        ["reconcile", name] if *name == account => ("reconcile", "", "Reconcile"),
        ["ack", name] if *name == account => ("ack", "", "Acknowledge"),
        ["resume", name] if *name == account => ("resume", "", "Resume"),
        ["resolve", name, "--device-has", "new"] if *name == account => {
            ("resolve", "new", "The device has the new one")
        }
        ["resolve", name, "--device-has", "old"] if *name == account => {
            ("resolve", "old", "The device has the old one")
        }
        _ => return None,
    };
    Some(ActView { act, device_has, label, what: next.what.clone(), first: false })
}

/// What can be asked for: first what `explain` says, then what always can be.
fn acts(next: &[NextBody], account: &str, is_paused: bool) -> (Vec<ActView>, Vec<(String, String)>) {
    let mut acts: Vec<ActView> = Vec::new();
    let mut commands = Vec::new();
    for next in next {
        match button(next, account) {
            Some(act) if acts.iter().all(|known| (known.act, known.device_has) != (act.act, act.device_has)) => {
                acts.push(act)
            }
            Some(_) => {}
            None => commands.push((next.command.clone(), next.what.clone())),
        }
    }
    if let Some(first) = acts.first_mut() {
        first.first = true;
    }
    let pause = if is_paused {
        ("resume", "Resume", "let its jobs change it again")
    } else {
        ("pause", "Pause", "keep its jobs from changing it")
    };
    for (act, label, what) in [
        ("rotate", "Rotate", "change its password now"),
        ("verify", "Verify", "log in with the stored password, and change nothing"),
        pause,
    ] {
        if acts.iter().all(|known| known.act != act) {
            acts.push(ActView { act, device_has: "", label, what: what.into(), first: false });
        }
    }
    (acts, commands)
}

struct LimitView {
    name: &'static str,
    used: u32,
    count: u32,
    left: u32,
    next: When,
}

impl LimitView {
    fn new(name: &'static str, limit: &LimitBody, now: i64, zone: Tz) -> Self {
        let (used, count) = (limit.used, limit.count);
        Self {
            name,
            used,
            count,
            left: count.saturating_sub(used),
            next: When::of(limit.next_allowed.as_deref(), now, zone),
        }
    }
}

struct AttemptView {
    id: String,
    outcome: String,
    mark: &'static str,
    title: String,
    started: When,
    took: String,
    by: String,
    reason: String,
    detail: String,
    /// Time of day, time since the step before, and what happened.
    steps: Vec<(String, String, String)>,
    open: bool,
}

/// Milliseconds between two times of RFC 3339, in words.
fn between(from: &str, to: &str) -> String {
    let Some(time) = milliseconds(to).zip(milliseconds(from)).map(|(to, from)| (to - from).max(0)) else {
        return String::new();
    };
    match time {
        0..60_000 => format!("{}.{} s", time / 1000, time % 1000 / 100),
        _ => format!("{} min {} s", time / 60_000, time % 60_000 / 1000),
    }
}

impl AttemptView {
    fn new(attempt: AttemptBody, is_first: bool, now: i64, zone: Tz) -> Self {
        let outcome = attempt.outcome.clone().unwrap_or_else(|| "running".into());
        let (mark, told) = match outcome.as_str() {
            "done" => ("✓", "done"),
            "refused" => ("–", "refused by a rule"),
            "failed" => ("✕", "failed"),
            "running" => ("▸", "under way"),
            _ => ("?", "its outcome is not known"),
        };
        let kind = match attempt.kind.as_str() {
            "rotate" => "Rotation",
            "verify" => "Verify",
            "reconcile" => "Reconcile",
            "recover" => "Recovery",
            "rehearse" => "Rehearsal",
            "browse" => "Browser session",
            _ => "Attempt",
        };
        let mut by = format!("by {}", attempt.trigger);
        by.extend(attempt.job.iter().map(|job| format!(" of job {job}")));
        by.extend(attempt.actor.iter().map(|actor| format!(", {actor}")));
        let mut before = attempt.started.as_str();
        let mut steps = Vec::new();
        for step in &attempt.steps {
            let time = milliseconds(&step.at).and_then(chrono::DateTime::from_timestamp_millis);
            let time = time.map_or_else(String::new, |at| at.with_timezone(&zone).format("%H:%M:%S").to_string());
            steps.push((time, format!("+{}", between(before, &step.at)), in_zone(&step.text, zone)));
            before = &step.at;
        }
        Self {
            title: format!("{kind}: {told}"),
            mark,
            started: When::of(Some(&attempt.started), now, zone),
            took: attempt.ended.as_deref().map_or_else(String::new, |ended| between(&attempt.started, ended)),
            by,
            reason: attempt.reason.unwrap_or_default(),
            detail: in_zone(
                &[attempt.detail, attempt.warning].into_iter().flatten().collect::<Vec<_>>().join("; "),
                zone,
            ),
            steps,
            open: is_first || outcome == "running",
            id: attempt.attempt,
            outcome,
        }
    }
}

/// A secret that this answer shows to who has no script.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) token: String,
    pub(super) left: String,
    pub(super) password: String,
}

pub(super) async fn account((State(app), Extension(visit)): Asked) -> Result<Response, PageError> {
    let name = visit.fields.text("name").to_owned();
    show(&app, &visit, name, Shown::default()).await
}

/// The page of an account.
pub(super) async fn show(app: &App, visit: &Visit, name: String, shown: Shown) -> Result<Response, PageError> {
    let body: AccountBody = app.client.get("/v1/account", &[("account", &name)]).await?;
    let explained: ExplainBody = app.client.get("/v1/explain", &[("account", &name)]).await?;
    let history: HistoryBody = app.client.get("/v1/history", &[("account", &name)]).await?;
    let (now, zone) = (Utc::now().timestamp(), app.zone());
    let mut one = Fleet::default();
    one.put(&body.line);
    let row = one.get(&name).map(|seen| RowView::new(&seen, zone)).ok_or(PageError::Missing)?;
    let attempts: Vec<AttemptView> = history
        .attempts
        .into_iter()
        .enumerate()
        .map(|(place, attempt)| AttemptView::new(attempt, place == 0, now, zone))
        .collect();
    let (acts, commands) = acts(&explained.next, &name, row.paused);
    let device = name.split_once('/').map_or("", |(device, _)| device).to_owned();
    let sentences = explained.means.iter().map(|sentence| in_zone(sentence, zone)).collect();
    page(&AccountPage {
        f: Frame::new(app, visit, "accounts", name.clone()).at(account_link(&name)),
        device_link: device_link(&device),
        device,
        since: When::of(body.line.since.as_deref(), now, zone),
        has_code: body.line.has_code,
        has_password: body.line.has_password,
        shown_token: shown.token,
        shown_left: shown.left,
        shown_password: shown.password,
        means: sentences,
        why: in_zone(&explained.why.unwrap_or_default(), zone),
        warning: in_zone(body.line.status.warning.as_deref().unwrap_or_default(), zone),
        acts,
        commands,
        running: attempts.iter().any(|attempt| attempt.outcome == "running"),
        attempts,
        limits: vec![
            LimitView::new("Changes in 24 hours", &body.changes, now, zone),
            LimitView::new("Refused logins in an hour", &body.lockout, now, zone),
        ],
        facts: facts(&body, now, zone),
        row,
        name,
    })
}

fn facts(body: &AccountBody, now: i64, zone: Tz) -> Vec<Fact> {
    let line = &body.line;
    let status = &line.status;
    let fact = |name, text: String| (name, text, String::new());
    let other = |name, account: &String| (name, account.clone(), account_link(account));
    let when = |text: &Option<String>| {
        let when = When::of(text.as_deref(), now, zone);
        if when.is_some() { format!("{} ({})", when.full, when.near) } else { "never".to_owned() }
    };
    let mut facts: Vec<Fact> = vec![
        fact("Password changed", when(&status.last_change)),
        fact("Last verified", when(&line.verified)),
        fact("Next run", if status.next_run.is_some() { when(&status.next_run) } else { "no job changes it".into() }),
        (
            "Policy",
            match line.max_age {
                Some(age) => format!("{}: at least every {}", line.policy, length(age)),
                None => format!("{}: without max_age", line.policy),
            },
            format!("accounts?{}", query(&[("policy", &line.policy)])),
        ),
    ];
    if body.min_age > 0 {
        facts.push(fact("Not before", format!("{} after a change", length(body.min_age))));
    }
    facts.extend(line.jobs.iter().map(|job| ("Job", job.clone(), format!("accounts?{}", query(&[("job", job)])))));
    facts.push(fact("Address", body.address.clone()));
    facts.push(("Template", line.template.clone(), format!("template?{}", query(&[("name", &line.template)]))));
    facts.push(fact("Device's clock", clock(status.totp_skew)));
    facts.extend(line.login_as.iter().map(|account| other("Logs in as", account)));
    facts.extend(line.reconcile_as.iter().map(|account| other("Reset through", account)));
    facts.extend(line.after.iter().map(|account| other("Changes after", account)));
    facts.extend(body.logs_in_for.iter().take(10).map(|account| other("Logs in for", account)));
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(command: &str) -> NextBody {
        NextBody { command: command.into(), what: "…".into() }
    }

    #[test]
    fn what_explain_says_to_type_is_a_button_where_the_page_can_do_it() {
        let told = [
            next("rotorctl verify web1/a"),
            next("rotorctl resolve web1/a --device-has new"),
            next("rotorctl secret set web1/a"),
            next("rotorctl trust web1"),
            next("rotorctl verify web1/other"),
        ];
        let (acts, commands) = acts(&told, "web1/a", false);
        let names: Vec<_> = acts.iter().map(|act| (act.act, act.device_has, act.first)).collect();
        assert_eq!(
            names,
            [("verify", "", true), ("resolve", "new", false), ("rotate", "", false), ("pause", "", false)]
        );
        assert_eq!(commands.len(), 3);
        assert!(super::acts(&[], "a/b", true).0.iter().any(|act| act.act == "resume"));
    }

    #[test]
    fn each_step_tells_how_long_it_took() {
        assert_eq!(between("2026-11-30T10:00:00.000Z", "2026-11-30T10:00:02.450Z"), "2.4 s");
        assert_eq!(between("2026-11-30T10:00:00Z", "2026-11-30T10:01:05Z"), "1 min 5 s");
        assert_eq!(between("2026-11-30T10:00:05Z", "2026-11-30T10:00:00Z"), "0.0 s");
        assert_eq!(between("x", "2026-11-30T10:00:00Z"), "");
    }
}

//! What a page has done: work on accounts after one confirmation, tokens, passwords. The daemon judges each of it by the role of who
//! runs the page; nothing here allows what it would refuse.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::Utc;

use super::account::{Shown, show};
use super::fields::{Fields, query};
use super::pages::Asked;
use super::rows::{Fleet, Search, Seen};
use super::state::{App, literal};
use super::view::{Frame, PageError, Visit, account_link, json, page};
use super::words::{When, counted, grouped};
use crate::control::{
    AccountBody, AckBody, ClientError, DoneBody, OtpBody, OtpQuery, ResolveBody, Selection, ShowBody, ShownBody,
};

/// Accounts whose names stand on the page of a confirmation.
const NAMED: usize = 500;

/// Something that is done to accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Rotate,
    Verify,
    Reconcile,
    Pause,
    Resume,
    Ack,
    Resolve,
}

impl Act {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "rotate" => Self::Rotate,
            "verify" => Self::Verify,
            "reconcile" => Self::Reconcile,
            "pause" => Self::Pause,
            "resume" => Self::Resume,
            "ack" => Self::Ack,
            "resolve" => Self::Resolve,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Rotate => "rotate",
            Self::Verify => "verify",
            Self::Reconcile => "reconcile",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Ack => "ack",
            Self::Resolve => "resolve",
        }
    }

    /// Whether it logs in to devices, and is followed.
    fn is_work(self) -> bool {
        matches!(self, Self::Rotate | Self::Verify | Self::Reconcile)
    }
}

/// What is done, as a title begins.
pub(super) fn verb(what: &str) -> &'static str {
    match what {
        "rotate" => "Rotate",
        "verify" => "Verify",
        "reconcile" => "Reconcile",
        "pause" => "Pause",
        "resume" => "Resume",
        "ack" => "Acknowledge",
        _ => "Resolve",
    }
}

/// The accounts that a form means.
struct Chosen {
    names: Vec<String>,
    /// Whether they are all that a search finds, which may find others by now.
    all: bool,
    search: String,
}

impl Chosen {
    fn of(fields: &Fields, fleet: &Fleet) -> Self {
        let all = fields.get("all").is_some();
        // Written anew, since it becomes a part of addresses.
        let search = Search::of(&Fields::parse(fields.text("search")));
        let mut names: Vec<String> = if all {
            let found = fleet.find(&search);
            fleet.all_found(&found).map(|seen| seen.name().to_owned()).collect()
        } else {
            fields.all("account").map(str::to_owned).collect()
        };
        names.sort();
        names.dedup();
        Self { names, all, search: search.query(&[]) }
    }
}

#[derive(Template)]
#[template(path = "../src/web/pages/confirm.html")]
struct Confirm {
    f: Frame,
    title: String,
    changed: String,
    lead: String,
    lines: Vec<String>,
    shown: Vec<(String, String)>,
    total: usize,
    act: &'static str,
    device_has: String,
    all: bool,
    search: String,
    names: Vec<String>,
    takes_reason: bool,
    needs_reason: bool,
    button: String,
    back: String,
}

/// What the rules let come of a change of these accounts, as far as it is known before it is tried.
fn foreseen(seen: &[Option<Seen<'_>>]) -> Vec<String> {
    let count = |is: fn(&Seen<'_>) -> bool| seen.iter().flatten().filter(|seen| is(seen)).count();
    let capped = count(|seen| !seen.has_room());
    let new = count(|seen| !seen.has_password());
    let doubtful = count(|seen| matches!(seen.state(), "quarantined" | "uncertain"));
    let busy = count(|seen| seen.is_at_work());
    let unknown = seen.iter().filter(|seen| seen.is_none()).count();
    let free = seen.len().saturating_sub(capped + new + doubtful + busy + unknown);
    let mut lines = vec![format!("The cap and the state allow {}.", counted(free, "change"))];
    let mut tell = |number: usize, what: &str| {
        if number > 0 {
            lines.push(format!("{} {what}", counted(number, "account")));
        }
    };
    tell(capped, "used all changes of the last 24 hours: the cap refuses more.");
    tell(new, "without a stored password: nothing can be changed.");
    tell(doubtful, "in doubt or quarantine: the daemon refuses a change until that is resolved.");
    tell(busy, "at work already: another change is refused meanwhile.");
    tell(unknown, "not in the config any more.");
    lines
}

/// What is asked for, before it is done.
async fn confirm_page(app: &App, visit: &Visit, act: Act, changed: &str) -> Result<Response, PageError> {
    let fleet = app.fleet();
    let chosen = Chosen::of(&visit.fields, &fleet);
    let total = chosen.names.len();
    let seen: Vec<Option<Seen<'_>>> = chosen.names.iter().map(|name| fleet.get(name)).collect();
    let accounts = counted(total, "account");
    let (lead, mut lines) = match act {
        Act::Rotate => (format!("{accounts} get a new password now, as far as the rules allow it."), foreseen(&seen)),
        Act::Verify => (
            format!("rotord logs in to {accounts} with the stored password and a fresh code, and changes nothing."),
            vec![],
        ),
        Act::Reconcile => (format!("{accounts} get a new password through their reconcile account."), foreseen(&seen)),
        Act::Pause => {
            (format!("No job changes {accounts} until they are released. A rotation by hand still works."), vec![])
        }
        Act::Resume => (format!("Jobs change {accounts} again."), vec![]),
        Act::Ack => ("The warning is taken off: you have seen to it.".to_owned(), vec![]),
        Act::Resolve => {
            let which = if visit.fields.text("device_has") == "new" { "new" } else { "old" };
            (
                format!("You say that the device has the {which} password. rotord goes on from there, so be sure."),
                vec![],
            )
        }
    };
    // Of one account it is told when.
    if let ([Some(only)], Act::Rotate) = (seen.as_slice(), act)
        && !only.has_room()
    {
        let when = next_allowed(app, only.name()).await?;
        if when.is_some() {
            lines.push(format!("The next change is allowed {} ({}).", when.near, when.full));
        }
    }
    let note = |seen: &Option<Seen<'_>>| match seen {
        None => "not in the config".to_owned(),
        Some(seen) if act == Act::Rotate && !seen.has_room() => "at its cap".to_owned(),
        Some(seen) => seen.state().to_owned(),
    };
    let shown = chosen.names.iter().zip(&seen).take(NAMED).map(|(name, seen)| (name.clone(), note(seen))).collect();
    let back = match chosen.names.as_slice() {
        [name] if !chosen.all => account_link(name),
        _ => format!("accounts?{}", chosen.search),
    };
    page(&Confirm {
        f: Frame::new(app, visit, "accounts", format!("{} {accounts}", verb(act.name()))).at("confirm"),
        title: match chosen.names.as_slice() {
            [name] => format!("{} {name}?", verb(act.name())),
            _ => format!("{} {accounts}?", verb(act.name())),
        },
        changed: changed.to_owned(),
        lead,
        lines,
        shown,
        total,
        act: act.name(),
        device_has: visit.fields.text("device_has").to_owned(),
        all: chosen.all,
        search: chosen.search,
        names: if chosen.all { Vec::new() } else { chosen.names },
        takes_reason: !matches!(act, Act::Pause | Act::Resume),
        needs_reason: act == Act::Resolve,
        button: format!("{} {}", verb(act.name()), if total == 1 { "it".into() } else { grouped(total) }),
        back,
    })
}

pub(super) async fn confirm((State(app), Extension(visit)): Asked) -> Result<Response, PageError> {
    let act = Act::parse(visit.fields.text("act")).ok_or(PageError::Missing)?;
    confirm_page(&app, &visit, act, "").await
}

fn see_other(to: &str, app: &App) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, format!("/{}/{to}", app.guard.base()))]).into_response()
}

pub(super) async fn act((State(app), Extension(visit)): Asked) -> Result<Response, PageError> {
    let fields = visit.fields.clone();
    if let Some(path) = match fields.text("act") {
        "pause-job" => Some("/v1/pause"),
        "resume-job" => Some("/v1/resume"),
        _ => None,
    } {
        let selection = Selection { job: Some(fields.text("job").to_owned()), ..Selection::default() };
        let _: DoneBody = app.client.post(path, &selection).await?;
        return Ok(see_other("jobs", &app));
    }
    let act = Act::parse(fields.text("act")).ok_or(PageError::Missing)?;
    let chosen = Chosen::of(&fields, &app.fleet());
    if chosen.names.is_empty() || fields.text("total") != chosen.names.len().to_string() {
        let changed = "Since you looked, the search finds other accounts. Look again before you go on.";
        return confirm_page(&app, &visit, act, changed).await;
    }
    let reason = Some(fields.text("reason").trim().to_owned()).filter(|reason| !reason.is_empty());
    if act.is_work() {
        return begin(&app, act, chosen.names, reason).await;
    }
    let accounts: Vec<String> = chosen.names.iter().map(|name| literal(name)).collect();
    for part in accounts.chunks(2000) {
        let selection = Selection { accounts: part.to_vec(), ..Selection::default() };
        let _: DoneBody = match act {
            Act::Pause => app.client.post("/v1/pause", &selection).await?,
            Act::Resume => app.client.post("/v1/resume", &selection).await?,
            Act::Ack => {
                app.client.post("/v1/ack", &AckBody { accounts: part.to_vec(), reason: reason.clone() }).await?
            }
            _ => {
                let account = chosen.names.first().cloned().unwrap_or_default();
                let device_has = fields.text("device_has").to_owned();
                app.client.post("/v1/resolve", &ResolveBody { account, device_has, reason: reason.clone() }).await?
            }
        };
    }
    app.look_soon();
    match chosen.names.as_slice() {
        [name] => {
            app.see_account(name).await?;
            let to = query(&[("name", name), ("done", act.name())]);
            Ok(see_other(&format!("account?{to}"), &app))
        }
        _ => Ok(see_other(&format!("accounts?{}&done={}", chosen.search, act.name()), &app)),
    }
}

/// Begins work, and leads to where it can be followed.
async fn begin(app: &Arc<App>, act: Act, names: Vec<String>, reason: Option<String>) -> Result<Response, PageError> {
    // Who may not is told at once, and not by a page of work that failed.
    let me = app.me();
    if !me.roles.iter().any(|role| role == "operator") {
        let first = names.first().cloned().unwrap_or_default();
        let body = crate::control::WorkBody { accounts: vec![literal(&first)], reason, ..Default::default() };
        let _: serde_json::Value = app.client.post(&format!("/v1/{}", act.name()), &body).await?;
        return Ok(see_other("work", app));
    }
    let to = match names.as_slice() {
        [name] => account_link(name),
        _ => "work".to_owned(),
    };
    app.begin(act.name(), names, reason);
    Ok(see_other(&to, app))
}

pub(super) async fn token((State(app), Extension(visit)): Asked) -> Result<Response, PageError> {
    let fields = &visit.fields;
    let account = fields.text("account").to_owned();
    let asked = OtpQuery { account: account.clone(), next: fields.text("next") == "1", reason: None };
    let body: OtpBody = app.client.post("/v1/otp", &asked).await?;
    let token = body.token.0.expose();
    if visit.wants_json {
        let answer = serde_json::json!({ "token": token, "seconds_left": body.seconds_left, "period": body.period, "step": body.step });
        return Ok(json(&answer));
    }
    let left = format!("{} s left", body.seconds_left);
    let shown = Shown { token: token.to_owned(), left, ..Shown::default() };
    show(&app, &visit, account, shown).await
}

pub(super) async fn reveal((State(app), Extension(visit)): Asked) -> Result<Response, PageError> {
    let fields = &visit.fields;
    let (account, reason) = (fields.text("account").to_owned(), fields.text("reason").trim().to_owned());
    if reason.is_empty() {
        let error = "say why the password is revealed: it is put on record".to_owned();
        return Err(ClientError::Refused(crate::control::ErrorBody { error, exit: 2 }).into());
    }
    let asked = ShowBody { account: account.clone(), reason: Some(reason) };
    let body: ShownBody = app.client.post("/v1/secret/show", &asked).await?;
    let password = body.password.0.expose().to_owned();
    if visit.wants_json {
        return Ok(json(&serde_json::json!({ "password": password, "seconds": 30 })));
    }
    show(&app, &visit, account, Shown { password, ..Shown::default() }).await
}

/// When the cap allows the next change of an account.
async fn next_allowed(app: &App, name: &str) -> Result<When, PageError> {
    let body: AccountBody = app.client.get("/v1/account", &[("account", name)]).await?;
    Ok(When::of(body.changes.next_allowed.as_deref(), Utc::now().timestamp(), app.zone()))
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::line;
    use super::*;

    fn fleet() -> Fleet {
        let mut fleet = Fleet::default();
        fleet.put(&line("a/1", "idle"));
        let mut capped = line("a/2", "idle");
        capped.status.changes_24h = 2;
        fleet.put(&capped);
        fleet.put(&line("a/3", "quarantined"));
        fleet.put(&line("b/1", "verifying"));
        fleet
    }

    #[test]
    fn a_form_means_the_accounts_that_it_names_or_all_that_a_search_finds() {
        let fleet = fleet();
        let names = |form: &str| Chosen::of(&Fields::parse(form), &fleet).names;
        assert_eq!(names("account=a%2F2&account=a%2F1&account=a%2F2&search=q%3Db"), ["a/1", "a/2"]);
        assert_eq!(names("all=1&search=device%3Da%26state%3Didle"), ["a/1", "a/2"]);
        assert_eq!(names("all=1&search="), ["a/1", "a/2", "a/3", "b/1"]);
        assert_eq!(names(""), [""; 0]);
    }

    #[test]
    fn a_confirmation_says_what_the_cap_and_the_states_allow() {
        let fleet = fleet();
        let seen: Vec<_> = ["a/1", "a/2", "a/3", "b/1", "gone/x"].map(|name| fleet.get(name)).into();
        let told = foreseen(&seen).join("\n");
        for line in [
            "allow 1 change.",
            "1 account used all",
            "1 account in doubt",
            "1 account at work",
            "1 account not in the config",
        ] {
            assert!(told.contains(line), "{line}: {told}");
        }
        assert_eq!(foreseen(&seen[..1]), ["The cap and the state allow 1 change."]);
    }
}

//! Reading: status, history, schedules, templates, the audit log.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use chrono::{SecondsFormat, Utc};

use super::auth::{ApiError, Peer, Role};
use super::fleet::{self, Standing};
use super::json::{Json, Nothing, Query};
use super::pieces::{Inlet, Pieces, Pour};
use super::types::{
    AcceptBody, AccountQuery, ArchiveBody, AttemptBody, AuditBody, AuditQuery, DoneBody, ErrorBody, ExplainBody,
    HistoryBody, NextBody, RunTime, STATES, ScheduleBody, ScheduleQuery, StatusBody, StatusQuery, StepBody,
    TemplateBody, TemplateQuery, TemplateText, TemplatesBody, VerifyBody,
};
use super::work::check_reason;
use crate::audit::{
    Archived, Draft, Report, before_last, each_after, last_event, months_before, set_aside, verify_files,
};
use crate::daemon::Core;
use crate::model::{AccountName, EventKind, Step, rfc3339};
use crate::notify::Notifiers;
use crate::vault::{AttemptRow, Finding, KEPT_ATTEMPTS};

type Answer<T> = Result<Json<T>, ApiError>;

/// Accounts and how they stand.
#[utoipa::path(get, path = "/v1/status", tag = "viewer", params(StatusQuery), responses((status = 200, body = StatusBody), (status = 404, body = ErrorBody)))]
pub(super) async fn status(
    State(core): State<Arc<Core>>,
    Extension(notifiers): Extension<Arc<Notifiers>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(query): Query<StatusQuery>,
) -> Answer<StatusBody> {
    peer.require(&core, Role::Viewer).await?;
    let config = core.config();
    let named = fleet::named(&config, &query);
    if named.is_empty() && (query.account.is_some() || query.device.is_some()) {
        return Err(ApiError::missing("no account has such a name"));
    }
    let states = states_of(&query)?;
    // Before anything is read, which goes well on a full disk too.
    let vault_error = core.vault_error().await;
    let escrow_error = core.escrow_error().await;
    let mut standing = Standing::load(&core).await?;
    let mut accounts = Vec::with_capacity(named.len());
    for account in &named {
        let status = standing.of(&core, &config, account);
        let wanted = states.as_ref().is_none_or(|states| states.contains(&status.state));
        if wanted && (!query.overdue || status.overdue) {
            accounts.push(status);
        }
    }
    let (clock_warning, finding) = (standing.clock_warning.take(), standing.finding.take());
    let (config_error, logins_held) = (core.config_error(), core.logins_held());
    let audit_finding = finding.map(|finding| format!("{}; {ACCEPT}", finding.told));
    Ok(Json(StatusBody {
        accounts,
        config_error,
        vault_error,
        escrow_error,
        clock_warning,
        logins_held,
        audit_finding,
        notify_error: notifiers.trouble(),
    }))
}

/// The states that a query asks for; all where it names none.
pub(super) fn states_of(query: &StatusQuery) -> Result<Option<Vec<String>>, ApiError> {
    let states: Option<Vec<String>> =
        query.state.as_deref().map(|states| states.split(',').map(str::to_owned).collect());
    if states.iter().flatten().any(|state| !STATES.contains(&state.as_str())) {
        return Err(ApiError::malformed(format!(
            "state: no account is ever in it; the states are {}",
            STATES.join(", ")
        )));
    }
    Ok(states)
}

pub(super) fn known_account(core: &Core, name: &str) -> Result<AccountName, ApiError> {
    // What is no name is no account's either.
    let account = AccountName::parse(name).map_err(|error| ApiError::missing(error.to_string()))?;
    let config = core.config();
    if config.accounts.contains_key(&account) {
        return Ok(account);
    }
    let hint = crate::model::nearest(name, config.accounts.keys().map(AccountName::as_str));
    let hint = hint.map_or_else(String::new, |known| format!("; did you mean '{known}'?"));
    Err(ApiError::missing(format!("there is no account '{account}' in the config{hint}")))
}

pub(super) fn steps(steps: &[Step]) -> Vec<StepBody> {
    steps.iter().map(|step| StepBody { at: rfc3339(step.at), text: step.text.clone() }).collect()
}

fn attempt(row: AttemptRow) -> AttemptBody {
    AttemptBody {
        attempt: row.id,
        account: row.account,
        kind: row.kind.as_str().to_owned(),
        started: rfc3339(row.started),
        ended: row.ended.map(rfc3339),
        trigger: row.trigger.as_str().to_owned(),
        actor: row.actor.map(|actor| format!("{} (uid {}, pid {})", actor.name, actor.uid, actor.pid)),
        job: row.job,
        reason: row.reason,
        outcome: row.outcome.map(|outcome| outcome.as_str().to_owned()),
        detail: row.detail,
        warning: row.warning,
        failure: row.failure.map(|cause| cause.as_str().to_owned()),
        steps: steps(&row.steps),
    }
}

/// The attempts of an account, newest first.
#[utoipa::path(get, path = "/v1/history", tag = "viewer", params(AccountQuery), responses((status = 200, body = HistoryBody), (status = 404, body = ErrorBody)))]
pub(super) async fn history(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(query): Query<AccountQuery>,
) -> Answer<HistoryBody> {
    peer.require(&core, Role::Viewer).await?;
    let account = known_account(&core, &query.account)?;
    let rows = core.vault.call(move |tx| tx.attempts(&account, KEPT_ATTEMPTS)).await?;
    Ok(Json(HistoryBody { attempts: rows.into_iter().map(attempt).collect() }))
}

/// An account's state in plain words, and what to type next.
#[utoipa::path(get, path = "/v1/explain", tag = "viewer", params(AccountQuery), responses((status = 200, body = ExplainBody), (status = 404, body = ErrorBody)))]
pub(super) async fn explain(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(query): Query<AccountQuery>,
) -> Answer<ExplainBody> {
    peer.require(&core, Role::Viewer).await?;
    let account = known_account(&core, &query.account)?;
    let told = core.explain(&account).await?;
    let next = told.next.into_iter().map(|(command, what)| NextBody { command, what }).collect();
    Ok(Json(ExplainBody {
        account: account.to_string(),
        state: told.state,
        since: told.since,
        means: told.means,
        why: told.why,
        tried: told.tried,
        next,
    }))
}

/// How many are asked for, if that is not too many.
fn bounded(asked: Option<usize>, default: usize, most: usize, key: &str) -> Result<usize, ApiError> {
    match asked {
        Some(count) if count > most => Err(ApiError::malformed(format!("{key} is {most} at most"))),
        count => Ok(count.unwrap_or(default)),
    }
}

/// The coming run times of a job.
#[utoipa::path(get, path = "/v1/schedule", tag = "viewer", params(ScheduleQuery), responses((status = 200, body = ScheduleBody), (status = 404, body = ErrorBody)))]
pub(super) async fn schedule(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(query): Query<ScheduleQuery>,
) -> Answer<ScheduleBody> {
    peer.require(&core, Role::Viewer).await?;
    let config = core.config();
    let job = config
        .jobs
        .get(&query.job)
        .ok_or_else(|| ApiError::missing(format!("there is no job '{}'", query.job.escape_debug())))?;
    let zone = config.daemon.timezone;
    let mut at = Utc::now();
    let mut runs = Vec::new();
    for _ in 0..bounded(query.count, 10, 1000, "count")? {
        let Some(next) = job.schedule.next_after(at, zone) else {
            break;
        };
        runs.push(RunTime {
            local: next.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, false),
            utc: next.to_rfc3339_opts(SecondsFormat::Secs, true),
        });
        at = next;
    }
    Ok(Json(ScheduleBody { job: job.name.clone(), timezone: zone.name().to_owned(), runs }))
}

/// The templates of the library.
#[utoipa::path(get, path = "/v1/templates", tag = "viewer", responses((status = 200, body = TemplatesBody)))]
pub(super) async fn templates(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(Nothing {}): Query<Nothing>,
) -> Answer<TemplatesBody> {
    peer.require(&core, Role::Viewer).await?;
    let config = core.config();
    let about = |entry: &crate::config::LibraryEntry| {
        let info = |key| entry.template.as_ref().and_then(|template| template.info(key)).unwrap_or_default().to_owned();
        let unproven = if entry.template.as_ref().is_some_and(|template| template.is_unproven()) {
            " (unproven: no device was at hand)"
        } else {
            ""
        };
        format!("{} {}{unproven}", info("vendor"), info("product")).trim().to_owned()
    };
    let templates = config
        .library
        .iter()
        .map(|(name, entry)| TemplateBody {
            name: name.to_owned(),
            file: entry.file.display().to_string(),
            about: about(entry),
            sound: entry.template.is_some(),
        })
        .collect();
    Ok(Json(TemplatesBody { templates }))
}

/// A template's text.
#[utoipa::path(get, path = "/v1/template", tag = "viewer", params(TemplateQuery), responses((status = 200, body = TemplateText), (status = 404, body = ErrorBody)))]
pub(super) async fn template(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(query): Query<TemplateQuery>,
) -> Answer<TemplateText> {
    peer.require(&core, Role::Viewer).await?;
    let config = core.config();
    let entry = config.library.find(&query.name).map_err(ApiError::missing)?;
    let most = u64::try_from(crate::template::MAX_BYTES).unwrap_or(u64::MAX);
    let text = crate::files::read_text(&entry.file, most)
        .map_err(|error| ApiError::failed(format!("{}: {error}", entry.file.display())))?;
    Ok(Json(TemplateText { file: entry.file.display().to_string(), text }))
}

/// Audit events.
#[utoipa::path(get, path = "/v1/audit", tag = "viewer", params(AuditQuery), responses((status = 200, body = AuditBody)))]
pub(super) async fn audit(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(query): Query<AuditQuery>,
) -> Result<Response, ApiError> {
    peer.require(&core, Role::Viewer).await?;
    let folder = core.vault.audit_folder().to_owned();
    let after = query.after.unwrap_or(0);
    if i64::try_from(after).is_err() {
        return Err(ApiError::malformed("after: no event has such a number"));
    }
    let (first, last) = (bounded(query.first, 1000, 10_000, "first")?, bounded(query.last, 1000, 10_000, "last")?);
    let most = if query.first.is_some() { first } else { last };
    let (inlet, pieces) = Pieces::new(4);
    // Line by line: whoever asks for much and takes nothing of it holds little.
    tokio::task::spawn_blocking(move || {
        if let Err(error) = pour_events(&inlet, &folder, after, most, query.first.is_some()) {
            // Whoever asked may be gone.
            drop(inlet.blocking_send(Err(error)));
        }
    });
    let pieces = pieces.begun().await.map_err(|error| ApiError::failed(error.to_string()))?;
    Ok(([("content-type", "application/json")], Body::new(pieces)).into_response())
}

/// Writes an [`AuditBody`] as it is read.
fn pour_events(inlet: &Inlet, folder: &Path, after: u64, most: usize, first: bool) -> std::io::Result<()> {
    let after = if first { after } else { before_last(folder, after, most)? };
    let mut body = BufWriter::with_capacity(32 * 1024, Pour(inlet));
    let written = write_events(&mut body, folder, after, most);
    if written.is_err() {
        // What is begun is not sent: the error is told in its place.
        drop(body.into_parts());
    }
    written
}

fn write_events(body: &mut impl Write, folder: &Path, after: u64, most: usize) -> std::io::Result<()> {
    body.write_all(b"{\"events\":[")?;
    let mut begun = false;
    each_after(folder, after, most, &mut |line| {
        if std::mem::replace(&mut begun, true) {
            body.write_all(b",")?;
        }
        body.write_all(line)
    })?;
    body.write_all(b"]}")?;
    body.flush()
}

/// Checks the audit log against its chain and against the vault.
#[utoipa::path(get, path = "/v1/audit/verify", tag = "viewer", responses((status = 200, body = VerifyBody)))]
pub(super) async fn audit_verify(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(Nothing {}): Query<Nothing>,
) -> Answer<VerifyBody> {
    peer.require(&core, Role::Viewer).await?;
    let report = check_log(&core).await?;
    Ok(Json(VerifyBody { ok: report.ok, events: report.events, first_bad: report.first_bad, why: report.why }))
}

async fn check_log(core: &Core) -> Result<Report, ApiError> {
    let (seq, hash) = core.vault.call(|tx| tx.audit_head()).await?;
    let folder = core.vault.audit_folder().to_owned();
    let report = tokio::task::spawn_blocking(move || verify_files(&folder, Some((seq, &hash))))
        .await
        .map_err(|error| ApiError::failed(error.to_string()))?
        .map_err(|error| ApiError::failed(error.to_string()))?;
    let ((now, _), finding) = core.vault.call(|tx| Ok((tx.audit_head()?, tx.audit_finding()?))).await?;
    let report = match report.extra {
        // What the vault wrote while the log was read is its own.
        1.. if now >= seq + report.extra => Report { ok: true, events: report.events, ..Report::default() },
        _ => report,
    };
    // A log that was rewritten may be whole: its chain is, and the vault goes on from it.
    let rewritten = finding.filter(|finding| report.ok && finding.rewritten);
    Ok(rewritten.map_or_else(
        || report.clone(),
        |Finding { told, .. }| {
            let why = format!("at a start of the daemon it was found: {told}; {ACCEPT}");
            Report { why: Some(why), events: report.events, ..Report::default() }
        },
    ))
}

/// What to do about what was found.
pub(super) const ACCEPT: &str =
    "keep the log, find out who can write it, and when you have seen to it: rotorctl audit accept --reason WHY";

/// A person has seen that vault and log did not agree at a start, and says why.
#[utoipa::path(post, path = "/v1/audit/accept", tag = "custodian", request_body = AcceptBody, responses((status = 200, body = DoneBody), (status = 404, body = ErrorBody)))]
pub(super) async fn audit_accept(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<AcceptBody>,
) -> Answer<DoneBody> {
    let actor = peer.require(&core, Role::Custodian).await?;
    check_reason(Some(&body.reason))?;
    if body.reason.trim().is_empty() {
        return Err(ApiError::usage("say why it is accepted: --reason WHY"));
    }
    let now = core.clock.now();
    let accepted = core.vault.call(move |tx| {
        let Some(finding) = tx.audit_finding()? else { return Ok(false) };
        tx.accept_audit_finding()?;
        let detail = format!("{}; {}", body.reason, finding.told);
        let (actor, reason) = (Some(actor), Some(body.reason));
        tx.audit(&Draft { actor, reason, ..Draft::new(EventKind::AuditAccepted).detail(detail) }, &now)?;
        Ok(true)
    });
    if !accepted.await? {
        return Err(ApiError::missing("nothing was found that would have to be accepted"));
    }
    Ok(Json(DoneBody { done: "accepted, and on record".into() }))
}

/// Sets the log's files of past months aside, once the whole of it was found as it was written. That is on record before.
#[utoipa::path(post, path = "/v1/audit/archive", tag = "custodian", request_body = ArchiveBody, responses((status = 200, body = DoneBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn audit_archive(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<ArchiveBody>,
) -> Answer<DoneBody> {
    let actor = peer.require(&core, Role::Custodian).await?;
    let is_month = body.before.split_once('-').is_some_and(|(year, month)| {
        let digits = |text: &str, width: usize| text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit());
        digits(year, 4) && digits(month, 2)
    });
    if !is_month {
        return Err(ApiError::usage("a month is written as 2026-10"));
    }
    let report = check_log(&core).await?;
    if !report.ok {
        let why = report.why.unwrap_or_default();
        return Err(ApiError::unreached(format!("the log is not as it was written, and stays where it is: {why}")));
    }
    let folder = core.vault.audit_folder().to_owned();
    let failed = |error: std::io::Error| ApiError::failed(error.to_string());
    let files = months_before(&folder, &body.before).map_err(failed)?;
    let mut last = None;
    for file in &files {
        last = last_event(file).map_err(failed)?.or(last);
    }
    let Some((seq, hash)) = last else {
        return Err(ApiError::missing(format!(
            "the log has no files of months before {} but the one in use",
            body.before
        )));
    };
    let names: Vec<String> =
        files.iter().map(|file| file.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect();
    let names = names.join(", ");
    let told = Archived { seq, hash, files: names.clone() };
    core.audit(Draft { actor: Some(actor), ..Draft::new(EventKind::AuditArchived).detail(told.to_string()) }).await?;
    let aside = set_aside(&files, &folder).map_err(failed)?;
    let done = format!("{names}, up to event {seq}: now in {}, for you to take away", aside.display());
    Ok(Json(DoneBody { done }))
}

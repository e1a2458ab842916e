//! Work: rotate, verify, pause, trust.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until};

use super::api::{known_account, steps};
use super::auth::{ApiError, Peer, Role};
use super::json::Json;
use super::pieces::Pieces;
use super::types::{
    AckBody, CountBody, DoneBody, ErrorBody, HostKeyBody, ProgressBody, RecordBody, RehearseBody, ResolveBody,
    ResultBody, ResultsBody, SecretText, Selection, StepBody, TrustBody, TurnBody, TurnedBody, WorkBody,
};
use crate::audit::Draft;
use crate::config::Config;
use crate::daemon::{BatchTask, Core, DeviceHas, RotationResult, ShownKey, TrustError, Turned};
use crate::model::{AccountName, Actor, DeviceName, EventKind, glob_match, rfc3339};

/// How often who waits for work on several accounts is told how many have their outcome.
const COUNTED: Duration = Duration::from_secs(1);

/// Their steps within so long are told at once: each piece wakes both sides.
const TOGETHER: Duration = Duration::from_millis(100);

/// The accounts that a selection means; an empty one is an error.
fn select(core: &Core, selection: &Selection) -> Result<Vec<AccountName>, ApiError> {
    let config = core.config();
    let mut names: Vec<AccountName> = Vec::new();
    if selection.all {
        names.extend(config.accounts.keys().cloned());
    }
    if let Some(job) = &selection.job {
        let job = config
            .jobs
            .get(job)
            .ok_or_else(|| ApiError::missing(format!("there is no job '{}'", job.escape_debug())))?;
        names.extend(config.accounts_of(job).map(|account| account.name.clone()));
    }
    for glob in &selection.accounts {
        let before = names.len();
        names.extend(config.accounts.keys().filter(|name| glob_match(glob, name.as_str())).cloned());
        if names.len() == before {
            let hint = crate::model::nearest(glob, config.accounts.keys().map(AccountName::as_str));
            let hint = hint.map_or_else(String::new, |known| format!("; did you mean '{known}'?"));
            return Err(ApiError::missing(format!("no account in the config matches '{}'{hint}", glob.escape_debug())));
        }
    }
    names.sort();
    names.dedup();
    if names.is_empty() {
        return Err(ApiError::usage("name accounts, a job, or all"));
    }
    Ok(names)
}

pub(super) fn body(result: RotationResult) -> ResultBody {
    ResultBody {
        account: result.account.to_string(),
        outcome: result.outcome.as_str().to_owned(),
        attempt: result.attempt,
        detail: result.detail,
        warning: result.warning,
        steps: steps(&result.steps),
    }
}

fn bodies(results: Vec<RotationResult>) -> ResultsBody {
    ResultsBody { results: results.into_iter().map(body).collect() }
}

/// The account that a request is about, where it names one alone.
fn only(accounts: &[String]) -> Option<&str> {
    if let [account] = accounts { Some(account) } else { None }
}

pub(super) fn check_reason(reason: Option<&str>) -> Result<(), ApiError> {
    // U+2028 and U+2029 end a line, the others turn the direction of writing (UAX #9).
    let misleads = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if reason.is_some_and(|reason| reason.chars().count() > 1000 || reason.chars().any(misleads)) {
        return Err(ApiError::usage(
            "the reason may have 1000 characters, no line ends, and none that turn the direction of writing",
        ));
    }
    Ok(())
}

async fn work(core: Arc<Core>, peer: Peer, request: WorkBody, task: BatchTask) -> Result<Response, ApiError> {
    let (account, reason) = (only(&request.accounts), request.reason.as_deref());
    let actor = peer.require_for(&core, Role::Operator, account, reason).await?;
    check_reason(request.reason.as_deref())?;
    let names = select(&core, &request.selection())?;
    if request.stream && !request.no_wait {
        return Ok(stream(core, names, task, actor, request.reason));
    }
    // A caller who goes away does not end what he asked for.
    let (all, reason) = (names.clone(), request.reason);
    let working = tokio::spawn(async move { core.work_on(all, task, actor, reason, Arc::default()).await });
    if request.no_wait {
        let results = names
            .into_iter()
            .map(|name| ResultBody {
                account: name.to_string(),
                outcome: "accepted".into(),
                attempt: String::new(),
                detail: "asked for; 'rotorctl history' tells the outcome".into(),
                warning: None,
                steps: Vec::new(),
            })
            .collect();
        return Ok(Json(ResultsBody { results }).into_response());
    }
    let results = working.await.map_err(|error| ApiError::failed(error.to_string()))?;
    Ok(Json(bodies(results)).into_response())
}

/// Anything as one JSON line.
pub(super) fn line<T: serde::Serialize>(value: &T) -> Bytes {
    Bytes::from(serde_json::to_string(value).unwrap_or_default() + "\n")
}

fn stream(core: Arc<Core>, names: Vec<AccountName>, task: BatchTask, actor: Actor, reason: Option<String>) -> Response {
    let watched: HashSet<AccountName> = names.iter().cloned().collect();
    let (working, finished) = (core.clone(), Arc::<AtomicU64>::default());
    let count = finished.clone();
    let work = async move { Ok(bodies(working.work_on(names, task, actor, reason, count).await)) };
    with_progress(&core, watched, finished, work)
}

/// Does some work, and answers with a line for each step of the watched accounts and one for what came of it; where there are
/// several, with lines that tell how many have their outcome, which is `finished`. A caller who goes away does not end it.
pub(super) fn with_progress<T: serde::Serialize + Send + 'static>(
    core: &Core,
    watched: HashSet<AccountName>,
    finished: Arc<AtomicU64>,
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Response {
    let (sender, lines) = Pieces::new(64);
    let mut progress = core.progress.subscribe();
    let accounts = u64::try_from(watched.len()).unwrap_or(u64::MAX);
    tokio::spawn(async move {
        let mut task = tokio::spawn(work);
        let (mut ticks, mut told) = (tokio::time::interval(COUNTED), None);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Where there are several, what is told within a moment goes out in one piece.
        let moment = if accounts > 1 { TOGETHER } else { Duration::ZERO };
        let (mut piece, mut until) = (Vec::new(), Instant::now());
        let results = loop {
            tokio::select! {
                biased;
                _ = ticks.tick(), if accounts > 1 => {
                    let count = Some(CountBody { accounts, finished: finished.load(Ordering::Relaxed) });
                    if count != told {
                        piece.extend_from_slice(&line(&count));
                        told = count;
                        // A caller who went away wants no more lines; the work goes on.
                        drop(sender.send(Ok(std::mem::take(&mut piece).into())).await);
                    }
                }
                () = sleep_until(until), if !piece.is_empty() => {
                    drop(sender.send(Ok(std::mem::take(&mut piece).into())).await);
                }
                step = progress.recv() => match step {
                    Ok(progress) if progress.ended.is_none() && watched.contains(&progress.account) => {
                        let step = StepBody { at: rfc3339(progress.step.at), text: progress.step.text };
                        let body = ProgressBody { account: progress.account.to_string(), step };
                        if piece.is_empty() {
                            until = Instant::now() + moment;
                        }
                        piece.extend_from_slice(&line(&body));
                    }
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break task.await,
                },
                results = &mut task => break results,
            }
        };
        let last = match results {
            Ok(Ok(results)) => line(&results),
            Ok(Err(error)) => line(&error.into_body()),
            Err(error) => line(&ErrorBody { error: error.to_string(), exit: 1 }),
        };
        piece.extend_from_slice(&last);
        drop(sender.send(Ok(piece.into())).await);
    });
    ([("content-type", "application/x-ndjson")], Body::new(lines)).into_response()
}

/// Changes passwords now.
#[utoipa::path(post, path = "/v1/rotate", tag = "operator", request_body = WorkBody, responses((status = 200, content((ResultsBody = "application/json"), (ProgressBody = "application/x-ndjson"), (CountBody = "application/x-ndjson"))), (status = 404, body = ErrorBody)))]
pub(super) async fn rotate(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<WorkBody>,
) -> Result<Response, ApiError> {
    work(core, peer, request, BatchTask::Rotate).await
}

/// Logs in with the stored passwords, and changes nothing.
#[utoipa::path(post, path = "/v1/verify", tag = "operator", request_body = WorkBody, responses((status = 200, content((ResultsBody = "application/json"), (ProgressBody = "application/x-ndjson"), (CountBody = "application/x-ndjson"))), (status = 404, body = ErrorBody)))]
pub(super) async fn verify(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<WorkBody>,
) -> Result<Response, ApiError> {
    work(core, peer, request, BatchTask::Verify).await
}

/// Sets new passwords through the reconcile accounts.
#[utoipa::path(post, path = "/v1/reconcile", tag = "operator", request_body = WorkBody, responses((status = 200, content((ResultsBody = "application/json"), (ProgressBody = "application/x-ndjson"), (CountBody = "application/x-ndjson"))), (status = 404, body = ErrorBody)))]
pub(super) async fn reconcile(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<WorkBody>,
) -> Result<Response, ApiError> {
    work(core, peer, request, BatchTask::Reconcile).await
}

/// Ends an account's doubt or quarantine with what a person knows.
#[utoipa::path(post, path = "/v1/resolve", tag = "operator", request_body = ResolveBody, responses((status = 200, body = DoneBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn resolve(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<ResolveBody>,
) -> Result<Json<DoneBody>, ApiError> {
    let actor = peer.require_for(&core, Role::Operator, Some(&body.account), body.reason.as_deref()).await?;
    let account = known_account(&core, &body.account)?;
    let has = match body.device_has.as_str() {
        "new" => DeviceHas::New,
        "old" => DeviceHas::Old,
        _ => return Err(ApiError::usage("device_has is new or old")),
    };
    check_reason(body.reason.as_deref())?;
    let done = core.resolve(&account, has, actor, body.reason).await?;
    Ok(Json(DoneBody { done }))
}

/// Takes warnings of changes that were not clean off `status`: an operator has seen to them.
#[utoipa::path(post, path = "/v1/ack", tag = "operator", request_body = AckBody, responses((status = 200, body = DoneBody), (status = 404, body = ErrorBody)))]
pub(super) async fn ack(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<AckBody>,
) -> Result<Json<DoneBody>, ApiError> {
    let actor = peer.require_for(&core, Role::Operator, only(&body.accounts), body.reason.as_deref()).await?;
    check_reason(body.reason.as_deref())?;
    let names = select(&core, &Selection { accounts: body.accounts, ..Selection::default() })?;
    let (now, attempt): (_, Arc<str>) = (core.clock.now(), core.fresh_id().into());
    let seen = core.vault.call(move |tx| {
        let mut seen = Vec::new();
        for name in names {
            let Some(warning) = tx.account(&name)?.and_then(|row| row.warning) else { continue };
            tx.acknowledge(&name)?;
            let detail = body.reason.iter().map(String::as_str).chain([&*warning]).collect::<Vec<_>>().join("; ");
            let (account, device) = (Some(name.clone()), Some(name.device()));
            let (actor, reason, attempt) = (Some(actor.clone()), body.reason.clone(), Some(attempt.clone()));
            let event = Draft::new(EventKind::WarningAcknowledged).detail(detail);
            let draft = Draft { account, device, actor, reason, attempt, ..event };
            tx.audit(&draft, &now)?;
            seen.push(name.to_string());
        }
        Ok(seen)
    });
    let seen = seen.await?;
    let done = if seen.is_empty() {
        "no warning stands there".to_owned()
    } else {
        format!("acknowledged: {}", seen.join(", "))
    };
    Ok(Json(DoneBody { done }))
}

async fn set_paused(
    core: Arc<Core>,
    peer: Peer,
    selection: Selection,
    paused: bool,
) -> Result<Json<DoneBody>, ApiError> {
    let actor = peer.require_for(&core, Role::Operator, only(&selection.accounts), None).await?;
    let now = core.clock.now();
    let attempt: Arc<str> = core.fresh_id().into();
    let event = if paused { EventKind::SchedulePaused } else { EventKind::ScheduleResumed };
    let word = if paused { "paused" } else { "resumed" };
    if let Some(job) = selection.job.clone() {
        if !core.config().jobs.contains_key(&job) {
            return Err(ApiError::missing(format!("there is no job '{}'", job.escape_debug())));
        }
        let done = format!("job {job} is {word}");
        core.vault
            .call(move |tx| {
                tx.set_job_paused(&job, paused)?;
                let (job, actor, attempt) = (Some(job.into()), Some(actor), Some(attempt));
                tx.audit(&Draft { job, actor, attempt, ..Draft::new(event) }, &now)
            })
            .await?;
        return Ok(Json(DoneBody { done }));
    }
    let names = select(&core, &selection)?;
    let done = if let [name] = names.as_slice() {
        format!("{name} is {word}")
    } else {
        format!("{} accounts are {word}", names.len())
    };
    core.vault
        .call(move |tx| {
            for name in &names {
                tx.set_paused(name, paused, &now)?;
                let (account, device) = (Some(name.clone()), Some(name.device()));
                let (actor, attempt) = (Some(actor.clone()), Some(attempt.clone()));
                tx.audit(&Draft { account, device, actor, attempt, ..Draft::new(event) }, &now)?;
            }
            Ok(())
        })
        .await?;
    Ok(Json(DoneBody { done }))
}

/// Pauses scheduled work.
#[utoipa::path(post, path = "/v1/pause", tag = "operator", request_body = Selection, responses((status = 200, body = DoneBody), (status = 404, body = ErrorBody)))]
pub(super) async fn pause(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(selection): Json<Selection>,
) -> Result<Json<DoneBody>, ApiError> {
    set_paused(core, peer, selection, true).await
}

/// Resumes scheduled work.
#[utoipa::path(post, path = "/v1/resume", tag = "operator", request_body = Selection, responses((status = 200, body = DoneBody), (status = 404, body = ErrorBody)))]
pub(super) async fn resume(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(selection): Json<Selection>,
) -> Result<Json<DoneBody>, ApiError> {
    set_paused(core, peer, selection, false).await
}

/// The account that is named, or the only one of a device.
fn account_of(core: &Core, device: &str, account: Option<&str>) -> Result<AccountName, ApiError> {
    let device = DeviceName::parse(device).map_err(|error| ApiError::missing(error.to_string()))?;
    let config = core.config();
    let account = match account {
        Some(account) => known_account(core, account)?,
        None => {
            let names: Vec<&AccountName> = config.accounts_on(device.as_str()).map(|account| &account.name).collect();
            match names.as_slice() {
                [one] => (*one).clone(),
                [] => return Err(ApiError::missing(format!("device '{device}' has no account in the config"))),
                several => {
                    let names: Vec<&str> = several.iter().map(|name| name.as_str()).collect();
                    let names = names.join(", ");
                    return Err(ApiError::unmet(format!("device '{device}' has several accounts; name one: {names}")));
                }
            }
        }
    };
    if account.device() != device {
        return Err(ApiError::missing(format!("{account} is no account of device '{device}'")));
    }
    Ok(account)
}

fn turned(session: String, turned: Turned) -> TurnedBody {
    let end = turned.recorded;
    TurnedBody {
        session,
        text: turned.text,
        browser: None,
        result: end.as_ref().map(|end| body(end.result.clone())),
        recording: end.as_ref().map(|end| end.recording.clone()),
        template: end.as_ref().map(|end| end.template.clone()),
    }
}

/// How long a turn waits for the device, so that nobody asks all the time.
const TURN: Duration = Duration::from_millis(300);

/// Begins a rotation whose dialogue the caller leads.
#[utoipa::path(post, path = "/v1/template/record", tag = "custodian", request_body = RecordBody, responses((status = 200, body = TurnedBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn record(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<RecordBody>,
) -> Result<Json<TurnedBody>, ApiError> {
    let actor = peer.require_for(&core, Role::Custodian, request.account.as_deref(), None).await?;
    let account = account_of(&core, &request.device, request.account.as_deref())?;
    let is_web = core.config().accounts.get(&account).is_some_and(|account| account.device.web().is_some());
    let browser = is_web.then(|| account.to_string());
    let session = core.record(account, request.name, actor).map_err(ApiError::conflict)?;
    Ok(Json(TurnedBody { browser, ..turned(session, Turned::default()) }))
}

/// One turn of that dialogue: a line goes in, and what the device printed comes out.
#[utoipa::path(post, path = "/v1/template/record/turn", tag = "custodian", request_body = TurnBody, responses((status = 200, body = TurnedBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn record_turn(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<TurnBody>,
) -> Result<Json<TurnedBody>, ApiError> {
    let actor = peer.require(&core, Role::Custodian).await?;
    let recorder = core.recorder(&request.session).filter(|recorder| recorder.is_of(&actor));
    let recorder = recorder.ok_or_else(|| ApiError::missing("there is no such dialogue"))?;
    let line = request.line.map(|SecretText(line)| line.expose().to_owned());
    let done = recorder.turn(line, request.finish, TURN).await.map_err(ApiError::conflict)?;
    Ok(Json(turned(request.session, done)))
}

/// Runs a template on a device up to the line that would send the new password.
#[utoipa::path(post, path = "/v1/template/rehearse", tag = "custodian", request_body = RehearseBody, responses((status = 200, body = ResultBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn rehearse(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<RehearseBody>,
) -> Result<Json<ResultBody>, ApiError> {
    // A text of the caller's own is sent to the device with the account's secrets in it.
    let actor = peer.require_for(&core, Role::Custodian, request.account.as_deref(), None).await?;
    let account = account_of(&core, &request.device, request.account.as_deref())?;
    let config = core.config();
    let told = |problems: &[crate::model::Problem]| {
        ApiError::usage(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    };
    let template = match (&request.text, &request.template) {
        (Some(text), name) => {
            let file = std::path::Path::new(name.as_deref().unwrap_or("template"));
            let (checked, problems) = crate::template::load(file, text);
            Some(Arc::new(checked.ok_or_else(|| told(&problems))?))
        }
        (None, Some(name)) => {
            let entry = config.library.find(name).map_err(ApiError::missing)?;
            Some(entry.template.clone().ok_or_else(|| ApiError::usage(format!("template '{name}' has errors")))?)
        }
        (None, None) => None,
    };
    Ok(Json(body(core.rehearse(&account, template, actor).await)))
}

/// Fetches a device's host key; stores it where it has the fingerprint that the caller confirms.
#[utoipa::path(post, path = "/v1/trust", tag = "custodian", request_body = TrustBody, responses((status = 200, body = HostKeyBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn trust(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<TrustBody>,
) -> Result<Json<HostKeyBody>, ApiError> {
    let actor = peer.require_for(&core, Role::Custodian, None, request.reason.as_deref()).await?;
    let name = DeviceName::parse(&request.device).map_err(|error| ApiError::missing(error.to_string()))?;
    if !core.config().devices.contains_key(&name) {
        return Err(ApiError::missing(format!("there is no device '{name}' in the config")));
    }
    check_reason(request.reason.as_deref())?;
    let shown = core.trust(&name, request.fingerprint, actor, request.reason).await.map_err(|error| match error {
        TrustError::Vault(error) => error.into(),
        TrustError::Unreached(why) => ApiError::unreached(why),
        error @ TrustError::ShowsAnother { .. } => ApiError::unmet(error.to_string()),
    })?;
    let ShownKey { row, greeting, known, changed, trusted } = shown;
    let (warning, device) = (misfit(&core.config(), &name, &greeting), name.to_string());
    Ok(Json(HostKeyBody { device, fingerprint: row.fingerprint, key: row.key, trusted, known, changed, warning }))
}

/// That a device whose SSH version string is known is of another kind than its template is for.
pub(super) fn misfit(config: &Config, device: &DeviceName, greeting: &str) -> Option<String> {
    let version = greeting.lines().find(|line| line.starts_with("SSH-"))?;
    let device = config.devices.get(device)?;
    let template = config.library.find(&device.template).ok()?.template.clone()?;
    let shown: String = version.chars().filter(|c| !c.is_control()).take(80).collect();
    (template.fits_version(version) == Some(false)).then(|| template.misfit(Some(&shown)))
}

#[cfg(test)]
mod tests {
    use super::check_reason;

    #[test]
    fn a_reason_is_one_line_that_reads_as_it_stands() {
        for good in
            [None, Some(""), Some("ticket 4711: Schlüssel verloren"), Some("می\u{200c}خواهم"), Some(&*"x".repeat(1000))]
        {
            assert!(check_reason(good).is_ok(), "{good:?}");
        }
        for bad in ["a\nb", "a\u{1b}[2J", "a\u{2028}b", "a\u{2029}b", "a\u{202e}b", "a\u{2067}b", &*"x".repeat(1001)] {
            assert!(check_reason(Some(bad)).is_err(), "{bad:?}");
        }
    }
}

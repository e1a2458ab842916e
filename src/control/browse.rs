//! Browser sessions: a person gets a browser that is logged in, for as long as the answer is read.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::sync::broadcast;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::api::known_account;
use super::auth::{ApiError, Peer, Role};
use super::json::Json;
use super::pieces::{Inlet, Pieces};
use super::types::{BrowseBody, BrowsingBody, ErrorBody, ProgressBody, ResultBody, StepBody};
use super::work::{body, check_reason, line};
use crate::daemon::{BrowseRequest, Core, Opened, Progress};
use crate::model::{AccountName, rfc3339};

/// A line without words tells the caller so often that the daemon is there.
const ALIVE: Duration = Duration::from_secs(5);
/// A session lasts no longer, in seconds.
const LONGEST: u64 = 8 * 3600;

/// Logs in to a web application and hands the browser over; it ends when the caller goes.
#[utoipa::path(post, path = "/v1/browse", tag = "operator", request_body = BrowseBody, responses((status = 200, content((ResultBody = "application/x-ndjson"), (BrowsingBody = "application/x-ndjson"), (ProgressBody = "application/x-ndjson"))), (status = 404, body = ErrorBody)))]
pub(super) async fn browse(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<BrowseBody>,
) -> Result<Response, ApiError> {
    let (account, reason) = (Some(request.account.as_str()), request.reason.as_deref());
    let actor = peer.require_for(&core, Role::Operator, account, reason).await?;
    check_reason(reason)?;
    let account = known_account(&core, &request.account)?;
    if !(1..=LONGEST).contains(&request.seconds) {
        return Err(ApiError::usage(format!("a session lasts from 1 to {LONGEST} seconds")));
    }
    let asked = BrowseRequest { account, actor, reason: request.reason, lasts: Duration::from_secs(request.seconds) };
    let (inlet, lines) = Pieces::new(64);
    tokio::spawn(tell(core, asked, inlet));
    Ok(([("content-type", "application/x-ndjson")], Body::new(lines)).into_response())
}

/// Has the session, and tells the caller of its steps, its begin and its end.
async fn tell(core: Arc<Core>, asked: BrowseRequest, inlet: Inlet) {
    let (account, mut progress) = (asked.account.clone(), core.progress.subscribe());
    let (opened, mut begun) = oneshot::channel::<Opened>();
    let gone = inlet.clone();
    let working = core.clone();
    let mut session =
        tokio::spawn(async move { working.browse(asked, opened, async move { gone.closed().await }).await });
    let mut is_open = false;
    let result = loop {
        let text = tokio::select! {
            biased;
            step = progress.recv() => step_of(step, &account),
            told = &mut begun, if !is_open => {
                is_open = true;
                told.ok().map(|told| line(&opened_body(&account, told)))
            }
            result = &mut session => break result,
            () = sleep(ALIVE) => Some(Bytes::from_static(b"\n")),
        };
        if let Some(text) = text {
            // A caller who went away ends the session, and reads nothing any more.
            drop(inlet.send(Ok(text)).await);
        }
    };
    let last = match result {
        Ok(result) => line(&body(result)),
        Err(error) => line(&ErrorBody { error: error.to_string(), exit: 1 }),
    };
    drop(inlet.send(Ok(last)).await);
}

fn opened_body(account: &AccountName, told: Opened) -> BrowsingBody {
    let Opened { attempt, asked, until_ms } = told;
    BrowsingBody { account: account.to_string(), attempt, asked, until: rfc3339(until_ms) }
}

fn step_of(step: Result<Progress, broadcast::error::RecvError>, account: &AccountName) -> Option<Bytes> {
    let progress = step.ok().filter(|progress| progress.ended.is_none() && progress.account == *account)?;
    let step = StepBody { at: rfc3339(progress.step.at), text: progress.step.text };
    Some(line(&ProgressBody { account: progress.account.to_string(), step }))
}

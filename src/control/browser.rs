//! The live view: a person looks into a browser that waits for one, and works in it. What is typed is put down nowhere.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, State};
use tokio::sync::oneshot;

use super::api::known_account;
use super::auth::{ApiError, Peer, Role};
use super::json::{Json, Query};
use super::types::{
    AccountQuery, ContinueBody, DoneBody, ErrorBody, LiveBody, LiveInput, LiveInputBody, LivePicture, ScreenshotBody,
};
use crate::audit::Draft;
use crate::browser::{Hidden, Key, Pointer, Reply, Request};
use crate::daemon::Core;
use crate::executor::web::{Live, LiveKind, Passed};
use crate::model::{EventKind, Secret, rfc3339};
use crate::vault::{Kind, Screenshot};

/// An answer of the browser is there within this time; while a page loads it has none.
const PATIENCE: Duration = Duration::from_secs(20);

/// The browser of an account, for an operator.
async fn live(core: &Core, peer: Peer, account: &str) -> Result<Arc<Live>, ApiError> {
    peer.require(core, Role::Operator).await?;
    let account = known_account(core, account)?;
    let found = core.live_views().of(&account);
    let found = found.ok_or_else(|| ApiError::missing(format!("no browser of {account} waits for a person")))?;
    match &found.kind {
        LiveKind::Session { uid, .. } if *uid != peer.uid => {
            Err(ApiError::missing(format!("the browser of {account} is the session of another user")))
        }
        // What is done there may set the password.
        LiveKind::Recorded { .. } => peer.require(core, Role::Custodian).await.map(|_| found),
        _ => Ok(found),
    }
}

/// Sees to it that no secret of the account stands in what is about to be shown.
async fn veil(live: &Live) -> Result<(), ApiError> {
    let hidden = |secrets: &[Secret]| secrets.iter().cloned().map(Hidden).collect();
    let request = match &live.kind {
        // The page of a run that goes on stays as it is.
        LiveKind::Parked { secrets, .. } | LiveKind::Recorded { secrets, .. } => {
            Request::Shows { secrets: hidden(secrets) }
        }
        LiveKind::Session { secrets, .. } => Request::Clear { secrets: hidden(secrets), all: false },
    };
    match ask(live, request).await? {
        Reply::Count(0) => Ok(()),
        _ => Err(ApiError::conflict("the page has a secret of the account in it, and is not shown")),
    }
}

/// Puts on record that the caller looks into a run that waits for a person, before anything is shown to him or taken from him.
async fn on_record(core: &Core, live: &Live, peer: &Peer, account: &str) -> Result<(), ApiError> {
    let LiveKind::Parked { attempt, .. } = &live.kind else { return Ok(()) };
    let (account, viewer) = (known_account(core, account)?, peer.actor());
    let draft = Draft {
        device: Some(account.device()),
        account: Some(account.clone()),
        actor: Some(viewer.clone()),
        attempt: attempt.clone(),
        ..Draft::new(EventKind::ViewStart)
    };
    let record = async {
        tokio::select! {
            written = core.audit(draft) => written.map_err(ApiError::from),
            why = core.vault_hangs() => Err(ApiError::busy(why)),
        }
    };
    match live.viewers.admit(&viewer, record).await? {
        true => Ok(()),
        false => Err(ApiError::missing(format!("no browser of {account} waits for a person"))),
    }
}

async fn ask(live: &Live, request: Request) -> Result<Reply, ApiError> {
    live.browser.call(request, PATIENCE).await.map_err(|trouble| ApiError::conflict(trouble.to_string()))
}

/// The browser of an account that waits for a person, and what the person is asked to do.
#[utoipa::path(get, path = "/v1/browser", tag = "operator", params(AccountQuery), responses((status = 200, body = LiveBody), (status = 404, body = ErrorBody)))]
pub(super) async fn browser(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(query): Query<AccountQuery>,
) -> Result<Json<LiveBody>, ApiError> {
    let live = live(&core, peer, &query.account).await?;
    Ok(Json(LiveBody { account: query.account, asked: live.asked.clone(), until: rfc3339(live.until_ms) }))
}

/// What that browser shows now.
#[utoipa::path(get, path = "/v1/browser/picture", tag = "operator", params(AccountQuery), responses((status = 200, body = LivePicture), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn browser_picture(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(query): Query<AccountQuery>,
) -> Result<Json<LivePicture>, ApiError> {
    let live = live(&core, peer.clone(), &query.account).await?;
    on_record(&core, &live, &peer, &query.account).await?;
    veil(&live).await?;
    match ask(&live, Request::Picture { blank: Vec::new() }).await? {
        Reply::Picture(jpeg) => Ok(Json(LivePicture { jpeg })),
        _ => Err(ApiError::conflict("the browser shows nothing")),
    }
}

/// Mouse and keys for that browser.
#[utoipa::path(post, path = "/v1/browser/input", tag = "operator", request_body = LiveInputBody, responses((status = 200, body = DoneBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn browser_input(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<LiveInputBody>,
) -> Result<Json<DoneBody>, ApiError> {
    let live = live(&core, peer.clone(), &body.account).await?;
    on_record(&core, &live, &peer, &body.account).await?;
    let request = match body.input {
        LiveInput::Pointer { action, x, y, turn, clicks } => {
            Request::Pointer(Pointer { action, x, y, turn, clicks: clicks.min(3) })
        }
        LiveInput::Key { key, code, modifiers, number, down } => {
            Request::Key(Key { key, code, modifiers, number, down })
        }
    };
    let LiveKind::Recorded { inputs, .. } = &live.kind else {
        ask(&live, request).await?;
        return Ok(Json(DoneBody { done: "passed on".into() }));
    };
    let (done, answered) = oneshot::channel();
    let over = || ApiError::conflict("the recording is over");
    inputs.send(Passed { request, done }).await.map_err(|_| over())?;
    answered.await.map_err(|_| over())?.map_err(|trouble| ApiError::conflict(trouble.to_string()))?;
    Ok(Json(DoneBody { done: "passed on".into() }))
}

/// The person is done: the run goes on, and a session ends.
#[utoipa::path(post, path = "/v1/browser/continue", tag = "operator", request_body = ContinueBody, responses((status = 200, body = DoneBody), (status = 404, body = ErrorBody)))]
pub(super) async fn browser_continue(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<ContinueBody>,
) -> Result<Json<DoneBody>, ApiError> {
    let live = live(&core, peer.clone(), &body.account).await?;
    on_record(&core, &live, &peer, &body.account).await?;
    live.go_on(peer.actor());
    Ok(Json(DoneBody { done: format!("{}: that is told", body.account) }))
}

/// What a web page looked like when the last attempt failed there, without the account's secrets.
#[utoipa::path(get, path = "/v1/screenshot", tag = "operator", params(AccountQuery), responses((status = 200, body = ScreenshotBody), (status = 404, body = ErrorBody)))]
pub(super) async fn screenshot(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(query): Query<AccountQuery>,
) -> Result<Json<ScreenshotBody>, ApiError> {
    peer.require(&core, Role::Operator).await?;
    let account = known_account(&core, &query.account)?;
    let name = account.clone();
    let kept = core.vault.call(move |tx| tx.secret(&name, &Kind::Screenshot)).await?;
    let now = core.clock.now().wall_ms;
    let found = kept.and_then(|kept| Screenshot::from_secret(&kept, now));
    let found = found.ok_or_else(|| ApiError::missing(format!("no screenshot of {account} is kept")))?;
    Ok(Json(ScreenshotBody { attempt: found.attempt, taken: rfc3339(found.at_ms), jpeg: found.jpeg }))
}

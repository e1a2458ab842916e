//! Notifiers: how they stand, and a test of one.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{ConnectInfo, State};

use super::auth::{ApiError, Peer, Role};
use super::json::{Json, Nothing, Query};
use super::types::{DoneBody, ErrorBody, NotifierBody, NotifiersBody, TestBody};
use crate::daemon::Core;
use crate::model::{nearest, rfc3339};
use crate::notify::{Notifiers, SinkStatus, Tested};

fn body(status: SinkStatus) -> NotifierBody {
    NotifierBody {
        trouble: status.trouble(),
        name: status.name,
        kind: status.kind.to_owned(),
        backlog: status.backlog,
        dropped: status.dropped,
        last_success: status.last_success.map(rfc3339),
        last_failure: status.last_failure.map(rfc3339),
        last_error: status.last_error,
        failures: status.failures,
    }
}

/// The notifiers, and how they stand.
#[utoipa::path(get, path = "/v1/notify", tag = "viewer", responses((status = 200, body = NotifiersBody)))]
pub(super) async fn list(
    State(core): State<Arc<Core>>,
    Extension(notifiers): Extension<Arc<Notifiers>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<NotifiersBody>, ApiError> {
    peer.require(&core, Role::Viewer).await?;
    Ok(Json(NotifiersBody { notifiers: notifiers.status().into_iter().map(body).collect() }))
}

/// Sends a message that says that it is a test, at once and once.
#[utoipa::path(post, path = "/v1/notify/test", tag = "operator", request_body = TestBody, responses((status = 200, body = DoneBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn test(
    State(core): State<Arc<Core>>,
    Extension(notifiers): Extension<Arc<Notifiers>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<TestBody>,
) -> Result<Json<DoneBody>, ApiError> {
    let actor = peer.require(&core, Role::Operator).await?;
    let name = request.name;
    match notifiers.test(&name, &actor.name).await {
        Tested::Taken(None) => Ok(Json(DoneBody { done: format!("notifier {name} took the test message") })),
        Tested::Taken(Some(flaw)) => {
            Ok(Json(DoneBody { done: format!("notifier {name} took the test message, but {flaw}") }))
        }
        Tested::Failed(why) => {
            Err(ApiError::unreached(format!("notifier {name} did not take the test message: {why}")))
        }
        Tested::Unknown(known) => {
            let hint = nearest(&name, known.iter().map(String::as_str));
            let hint = hint.map_or_else(String::new, |known| format!("; did you mean '{known}'?"));
            Err(ApiError::missing(format!("there is no notifier '{}' in the config{hint}", name.escape_debug())))
        }
    }
}

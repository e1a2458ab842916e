//! The socket, the routes, and the bounds on what callers may ask at once.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{ApiError, Peer};
use super::{api, secrets, work};
use crate::daemon::Core;

/// A request body at the most; an import of a hundred thousand accounts fits.
const BODY_LIMIT: usize = 32 * 1024 * 1024;
/// The time in which it must have come.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Requests at once.
const MOST_REQUESTS: usize = 256;

#[derive(OpenApi)]
#[openapi(info(
    title = "rotord control API",
    description = "HTTP with JSON over the daemon's Unix socket. The kernel names the caller."
))]
struct Document;

/// Makes the control socket. One that a daemon before left behind is replaced.
///
/// # Errors
/// The socket cannot be made, or another daemon answers on it.
pub fn bind(path: &Path, open_to_all: bool) -> std::io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(std::io::Error::other("another daemon answers on this socket"));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    // The kernel names every caller, and each request is checked; but where nobody is listed, nobody need knock.
    let mode = if open_to_all { 0o666 } else { 0o600 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

fn router(core: Arc<Core>) -> Router {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(api::status))
        .routes(routes!(api::history))
        .routes(routes!(api::explain))
        .routes(routes!(api::schedule))
        .routes(routes!(api::templates))
        .routes(routes!(api::template))
        .routes(routes!(api::audit))
        .routes(routes!(api::audit_verify))
        .routes(routes!(api::audit_archive))
        .routes(routes!(work::rotate))
        .routes(routes!(work::verify))
        .routes(routes!(work::reconcile))
        .routes(routes!(work::resolve))
        .routes(routes!(work::ack))
        .routes(routes!(work::pause))
        .routes(routes!(work::resume))
        .routes(routes!(work::trust))
        .routes(routes!(work::rehearse))
        .routes(routes!(work::record))
        .routes(routes!(work::record_turn))
        .routes(routes!(secrets::otp))
        .routes(routes!(secrets::secret_set))
        .routes(routes!(secrets::secret_show))
        .routes(routes!(secrets::totp_set))
        .routes(routes!(secrets::ssh_key_set))
        .routes(routes!(secrets::import))
        .routes(routes!(secrets::backup))
        .routes(routes!(secrets::key_rotate))
        .split_for_parts();
    let gate = Arc::new(Semaphore::new(MOST_REQUESTS));
    router
        .route("/v1/openapi.json", axum::routing::get(move || async move { Json(document) }))
        .fallback(|| async { ApiError::missing("there is no such path; see /v1/openapi.json") })
        .layer(middleware::from_fn_with_state(gate, one_of_many))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(core)
}

async fn one_of_many(State(gate): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    match gate.try_acquire() {
        Ok(_permit) => match whole(request).await {
            Ok(request) => next.run(request).await,
            Err(error) => error.into_response(),
        },
        Err(_) => ApiError::busy(format!("{MOST_REQUESTS} requests are under way; try again")).into_response(),
    }
}

/// Reads a request's body, within its bounds of size and time, before anything is done for it.
async fn whole(request: Request) -> Result<Request, ApiError> {
    let (parts, body) = request.into_parts();
    let bytes = tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, BODY_LIMIT))
        .await
        .map_err(|_| ApiError::usage(format!("the request did not come within {} s", BODY_TIME.as_secs())))?
        .map_err(|error| ApiError::usage(format!("the request cannot be read: {error}")))?;
    Ok(Request::from_parts(parts, axum::body::Body::from(bytes)))
}

/// Answers the control socket until the daemon stops.
pub async fn serve(listener: UnixListener, core: Arc<Core>) {
    let service = router(core.clone()).into_make_service_with_connect_info::<Peer>();
    let stopped = async move { core.stopped().await };
    if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the control socket is closed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_describes_every_route() {
        let text = serde_json::to_string(&Document::openapi()).unwrap();
        assert!(text.contains("\"openapi\":\"3."), "{text}");
    }
}

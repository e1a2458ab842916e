//! The socket, the routes, and the bounds on what is read of a request.

use std::error::Error;
use std::io;
use std::os::fd::FromRawFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::Method;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use http_body_util::LengthLimitError;
use tokio::net::UnixListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{ApiError, Peer, Role};
use super::json::{Json, Nothing, Query};
use super::{api, browse, browser, callers, doctor, document, enroll, events, fleet, import, metrics, secrets, work};
use crate::daemon::Core;
use crate::notify::Notifiers;

/// A request body at the most; a template's text, or the names of ten thousand accounts, fits.
const BODY_LIMIT: usize = 1024 * 1024;
/// The time in which it must have come.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Where an import is sent.
const IMPORT: &str = "/v1/import";
/// The body of an import at the most; one of a hundred thousand accounts fits.
const IMPORT_LIMIT: usize = 32 * 1024 * 1024;
/// The time in which it must have come.
const IMPORT_TIME: Duration = Duration::from_secs(30);
/// Imports at once.
const MOST_IMPORTS: usize = 2;

/// The control socket, which goes with the daemon that made it.
#[derive(Debug)]
pub struct Socket {
    /// Where callers come in.
    listener: UnixListener,
    place: Place,
    /// systemd made it, and keeps it.
    is_passed: bool,
}

/// Where a socket was made.
#[derive(Debug, Clone)]
pub(super) struct Place {
    path: PathBuf,
    /// Device and number of what was made.
    made: (u64, u64),
}

impl Place {
    /// Whether what is there is what was made.
    fn is_ours(&self) -> bool {
        std::fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.made)
    }

    /// Lets everybody knock, or the daemon's user and root alone.
    ///
    /// # Errors
    /// Another thing is there by now, or its mode cannot be set.
    pub(super) fn open_to(&self, all: bool) -> io::Result<()> {
        if !self.is_ours() {
            return Err(io::Error::other("another thing is in the place of the control socket"));
        }
        // The kernel names every caller, and each request is checked; but where nobody is listed, nobody need knock.
        let mode = if all { 0o666 } else { 0o600 };
        std::fs::set_permissions(&self.path, std::fs::Permissions::from_mode(mode))
    }
}

impl Socket {
    /// What removes the socket once the daemon has ended: this one alone, and nothing that stands in its place by then.
    pub fn remover(&self) -> impl FnOnce() + use<> {
        let (place, is_passed) = (self.place.clone(), self.is_passed);
        move || {
            if !is_passed && place.is_ours() {
                drop(std::fs::remove_file(&place.path));
            }
        }
    }
}

/// How long a look takes at most at whether somebody answers on a socket.
const ANSWER: Duration = Duration::from_secs(1);

/// Makes the control socket. One that a daemon before left behind is replaced, and nothing else is.
///
/// # Errors
/// The socket cannot be made, another daemon answers on it, or something else than a socket is there.
pub async fn bind(path: &Path, open_to_all: bool) -> io::Result<Socket> {
    if let Some(listener) = passed()? {
        return take(listener, path, open_to_all);
    }
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    if is_left_behind(path).await? {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    let found = std::fs::symlink_metadata(path)?;
    let place = Place { path: path.to_owned(), made: (found.dev(), found.ino()) };
    place.open_to(open_to_all)?;
    Ok(Socket { listener, place, is_passed: false })
}

/// The socket that systemd passes (`rotord.socket`, see sd_listen_fds(3)); none where it passes none.
#[allow(unsafe_code)]
fn passed() -> io::Result<Option<StdListener>> {
    let mut passed = sd_notify::listen_fds()?;
    let Some(number) = passed.next() else { return Ok(None) };
    if passed.next().is_some() {
        return Err(io::Error::other("systemd passes several sockets; rotord.socket has one ListenStream="));
    }
    // SAFETY: systemd passes this descriptor to this process for its own use, and nothing else here takes it: a start asks once.
    Ok(Some(unsafe { StdListener::from_raw_fd(number) }))
}

/// Takes over a socket that systemd made.
///
/// # Errors
/// It is none that listens at the path that the config names.
fn take(listener: StdListener, path: &Path, open_to_all: bool) -> io::Result<Socket> {
    let at = listener.local_addr()?.as_pathname().map(Path::to_owned);
    if at.as_deref() != Some(path) {
        let at = at.map_or_else(|| "no path".to_owned(), |at| at.display().to_string());
        return Err(io::Error::other(format!(
            "systemd passes a socket at {at}: name that in [daemon] socket, or this one in ListenStream= of rotord.socket"
        )));
    }
    listener.set_nonblocking(true)?;
    let found = std::fs::symlink_metadata(path)?;
    let place = Place { path: path.to_owned(), made: (found.dev(), found.ino()) };
    place.open_to(open_to_all)?;
    Ok(Socket { listener: UnixListener::from_std(listener)?, place, is_passed: true })
}

/// Whether there is a socket on which nobody answers.
///
/// # Errors
/// Somebody answers, or it is something else.
async fn is_left_behind(path: &Path) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::other(
                "something else than a socket is there, and it is not removed; name another path",
            ));
        }
        Ok(_) => {}
    }
    // A listener whose queue is full has no answer, and is one all the same: only a refusal tells that there is none.
    match tokio::time::timeout(ANSWER, tokio::net::UnixStream::connect(path)).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        _ => Err(io::Error::other("another daemon answers on this socket")),
    }
}

/// The routes as they are described.
fn routes() -> OpenApiRouter<Arc<Core>> {
    OpenApiRouter::with_openapi(document::heading())
        .routes(routes!(api::status))
        .routes(routes!(fleet::accounts))
        .routes(routes!(fleet::account))
        .routes(routes!(fleet::device))
        .routes(routes!(fleet::jobs))
        .routes(routes!(fleet::me))
        .routes(routes!(api::history))
        .routes(routes!(browser::screenshot))
        .routes(routes!(api::explain))
        .routes(routes!(api::schedule))
        .routes(routes!(api::templates))
        .routes(routes!(api::template))
        .routes(routes!(api::audit))
        .routes(routes!(api::audit_verify))
        .routes(routes!(api::audit_archive))
        .routes(routes!(api::audit_accept))
        .routes(routes!(events::events))
        .routes(routes!(metrics::metrics))
        .routes(routes!(work::rotate))
        .routes(routes!(work::verify))
        .routes(routes!(work::reconcile))
        .routes(routes!(work::resolve))
        .routes(routes!(work::ack))
        .routes(routes!(work::pause))
        .routes(routes!(work::resume))
        .routes(routes!(work::trust))
        .routes(routes!(work::rehearse))
        .routes(routes!(doctor::checkup))
        .routes(routes!(browse::browse))
        .routes(routes!(browser::browser))
        .routes(routes!(browser::browser_picture))
        .routes(routes!(browser::browser_input))
        .routes(routes!(browser::browser_continue))
        .routes(routes!(enroll::look))
        .routes(routes!(enroll::try_out))
        .routes(routes!(enroll::enroll))
        .routes(routes!(work::record))
        .routes(routes!(work::record_turn))
        .routes(routes!(secrets::otp))
        .routes(routes!(secrets::secret_set))
        .routes(routes!(secrets::secret_show))
        .routes(routes!(secrets::totp_set))
        .routes(routes!(secrets::totp_show))
        .routes(routes!(secrets::ssh_key_set))
        .routes(routes!(import::import))
        .routes(routes!(import::look))
        .routes(routes!(secrets::backup))
        .routes(routes!(secrets::key_rotate))
        .routes(routes!(super::notify::list))
        .routes(routes!(super::notify::test))
}

/// What the handlers say of themselves.
#[cfg(test)]
pub(super) fn described() -> utoipa::openapi::OpenApi {
    routes().into_openapi()
}

fn router(core: Arc<Core>) -> Router {
    let (router, document) = routes().split_for_parts();
    let bounded = Bounded { core: core.clone(), imports: Arc::new(Semaphore::new(MOST_IMPORTS)) };
    let document = document::whole(&document);
    let told = |Query(Nothing {}): Query<Nothing>| async move { Json(document) };
    router
        .route("/v1/openapi.json", axum::routing::get(told))
        .fallback(|| async { ApiError::missing("there is no such path; see /v1/openapi.json") })
        .method_not_allowed_fallback(|| async {
            ApiError::method("the path is there, and not for this method; see the header Allow, and /v1/openapi.json")
        })
        .layer(middleware::from_fn_with_state(core.clone(), unless_the_vault_hangs))
        .layer(middleware::from_fn_with_state(bounded, within_bounds))
        .layer(DefaultBodyLimit::max(IMPORT_LIMIT))
        .with_state(core)
}

/// Paths that are answered from memory.
const FROM_MEMORY: &[&str] = &["/metrics", "/v1/events", "/v1/notify", "/v1/openapi.json", "/v1/browser"];

/// While the vault hangs, callers are told so in place of an answer. Who changes something and waits already goes on waiting: that
/// may be done yet.
async fn unless_the_vault_hangs(State(core): State<Arc<Core>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if FROM_MEMORY
        .iter()
        .any(|known| path.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    {
        return next.run(request).await;
    }
    if let Some(why) = core.vault.hangs() {
        return ApiError::busy(why).into_response();
    }
    let is_read = request.method() == Method::GET;
    let answer = next.run(request);
    if !is_read {
        return answer.await;
    }
    tokio::select! {
        answer = answer => answer,
        why = core.vault_hangs() => ApiError::busy(why).into_response(),
    }
}

/// Sees to it that the body of a request is there, and no larger than what is taken, before anything is done for it.
async fn within_bounds(State(bounded): State<Bounded>, request: Request, next: Next) -> Response {
    match bounded.admit(request).await {
        Ok((request, _permit)) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// What the bounds on bodies need.
#[derive(Clone)]
struct Bounded {
    core: Arc<Core>,
    imports: Arc<Semaphore>,
}

impl Bounded {
    /// The request with its body. A large one is read for who may import alone, and for few at once.
    async fn admit(&self, request: Request) -> Result<(Request, Option<OwnedSemaphorePermit>), ApiError> {
        if request.uri().path() != IMPORT {
            return Ok((whole(request, BODY_LIMIT, BODY_TIME).await?, None));
        }
        if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<Peer>>().cloned() {
            peer.require(&self.core, Role::Custodian).await?;
        }
        let Ok(permit) = self.imports.clone().try_acquire_owned() else {
            return Err(ApiError::busy(format!("{MOST_IMPORTS} imports are under way; try again")));
        };
        Ok((whole(request, IMPORT_LIMIT, IMPORT_TIME).await?, Some(permit)))
    }
}

/// Reads a request's body, within bounds of size and time.
async fn whole(request: Request, limit: usize, time: Duration) -> Result<Request, ApiError> {
    let (parts, body) = request.into_parts();
    let bytes = tokio::time::timeout(time, axum::body::to_bytes(body, limit))
        .await
        .map_err(|_| ApiError::too_slow(format!("the request did not come within {} s", time.as_secs())))?
        .map_err(|error| match error.source() {
            Some(cause) if cause.is::<LengthLimitError>() => {
                ApiError::too_large(format!("the request is longer than {limit} bytes"))
            }
            _ => ApiError::malformed("the body of the request cannot be read"),
        })?;
    Ok(Request::from_parts(parts, axum::body::Body::from(bytes)))
}

/// Answers the control socket until the daemon stops.
pub async fn serve(socket: Socket, core: Arc<Core>, notifiers: Arc<Notifiers>) {
    let router = router(core.clone()).layer(Extension(notifiers));
    callers::receive((socket.listener, socket.place), core, router).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_is_passed_is_taken_where_the_config_names_it_and_stays_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let other = take(StdListener::bind(folder.path().join("other")).unwrap(), &path, false);
        assert!(other.unwrap_err().to_string().contains("ListenStream="));
        let socket = take(StdListener::bind(&path).unwrap(), &path, true).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o666);
        let knocking = tokio::net::UnixStream::connect(&path);
        let (knocked, let_in) = tokio::join!(knocking, socket.listener.accept());
        assert!(knocked.is_ok() && let_in.is_ok());
        socket.remover()();
        assert!(path.exists(), "systemd keeps it");
    }

    #[tokio::test]
    async fn only_a_socket_on_which_nobody_answers_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("notes"), "precious").unwrap();
        std::os::unix::fs::symlink(at("notes"), at("link")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        for name in ["notes", "link", "folder"] {
            let error = bind(&at(name), false).await.unwrap_err().to_string();
            assert!(error.contains("not removed"), "{name}: {error}");
            assert!(std::fs::symlink_metadata(at(name)).is_ok_and(|found| !found.file_type().is_socket()), "{name}");
        }
        assert_eq!(std::fs::read_to_string(at("notes")).unwrap(), "precious");
        drop(std::os::unix::net::UnixListener::bind(at("stale")).unwrap());
        let socket = bind(&at("stale"), false).await.unwrap();
        let error = bind(&at("stale"), false).await.unwrap_err().to_string();
        assert!(error.contains("another daemon answers"), "{error}");
        // Its queue is full, and so nobody answers, yet somebody listens.
        let busy = std::os::unix::net::UnixListener::bind(at("busy")).unwrap();
        let mut waiting = Vec::new();
        while let Ok(Ok(stream)) =
            tokio::time::timeout(Duration::from_millis(200), tokio::net::UnixStream::connect(at("busy"))).await
        {
            waiting.push(stream);
        }
        let error = bind(&at("busy"), false).await.unwrap_err().to_string();
        assert!(error.contains("another daemon answers"), "{error}");
        drop(busy);
        let remove = socket.remover();
        std::fs::remove_file(at("stale")).unwrap();
        std::fs::write(at("stale"), "another's").unwrap();
        remove();
        assert_eq!(std::fs::read_to_string(at("stale")).unwrap(), "another's");
        let socket = bind(&at("own"), false).await.unwrap();
        socket.remover()();
        assert!(!at("own").exists());
    }
}

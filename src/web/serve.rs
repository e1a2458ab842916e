//! The server: where it listens, whom it lets in, and when it ends.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::fields::Fields;
use super::guard::{Denied, Guard, has_token, own_host};
use super::pages::Asked;
use super::state::App;
use super::view::{PageError, Visit, guarded, problem};
use super::{account, acts, pages};
use crate::control::{Client, ClientError};

/// A form at the most: the names of some ten thousand accounts.
const FORM: usize = 1024 * 1024;
/// Connections at once of the person who started the page. A browser opens six.
const CONNECTIONS: usize = 256;
/// Connections at once of other users, who get nothing but a 403. Further ones are closed.
const STRANGERS: usize = 16;
/// The time in which the head of a request must have come.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// The same, of other users.
const STRANGER_TIME: Duration = Duration::from_secs(2);
/// The time in which a form must have come.
const FORM_TIME: Duration = Duration::from_secs(60);

/// Where the page is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// On loopback; port 0 is a free one.
    Tcp(SocketAddr),
    /// On a Unix socket, for `ssh -L PORT:PATH`.
    Unix(PathBuf),
}

impl Listen {
    /// A free port of 127.0.0.1.
    #[must_use]
    pub fn free() -> Self {
        Self::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
    }

    /// Parses an address of loopback, a port, or a path.
    ///
    /// # Errors
    /// It is none of them, or is no address of loopback: a page with secrets goes over no network without SSH.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains('/') {
            return Ok(Self::Unix(text.into()));
        }
        if let Ok(port) = text.parse::<u16>() {
            return Ok(Self::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)));
        }
        let address: SocketAddr = text
            .replace("localhost:", "127.0.0.1:")
            .parse()
            .map_err(|_| format!("'{text}' is no address, port or path of a socket: write 127.0.0.1:8080, 8080 or /run/user/1000/rotord-web"))?;
        if !address.ip().is_loopback() {
            return Err(format!(
                "{address} is no address of loopback: the page is served to this host alone, and ssh -L brings it to another"
            ));
        }
        Ok(Self::Tcp(address))
    }
}

/// Why the page is not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// The daemon says no, or does not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}; --listen names another address")]
    Listen(String, io::Error),
    /// The system has no random numbers.
    #[error("the system has no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

/// A page that is about to be served.
pub struct Web {
    app: Arc<App>,
    listener: Listener,
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            drop(std::fs::remove_file(path));
        }
    }
}

impl Web {
    /// Asks the daemon who is here, and listens.
    ///
    /// # Errors
    /// No daemon, no role, or nothing to listen on.
    pub async fn bind(client: Client, listen: &Listen, idle: Duration) -> Result<Self, WebError> {
        let app = App::start(client, Guard::new()?, idle).await?;
        let listener = match listen {
            Listen::Tcp(address) => {
                let bound = TcpListener::bind(address).await;
                Listener::Tcp(bound.map_err(|error| WebError::Listen(address.to_string(), error))?)
            }
            Listen::Unix(path) => {
                let bound = bind_socket(path).map_err(|error| WebError::Listen(path.display().to_string(), error))?;
                Listener::Unix(bound, path.clone())
            }
        };
        Ok(Self { app, listener })
    }

    /// The port, where it is one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match &self.listener {
            Listener::Tcp(listener) => listener.local_addr().ok().map(|address| address.port()),
            Listener::Unix(..) => None,
        }
    }

    /// A link that can be opened once, on a port of 127.0.0.1. The one before ends.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn link(&self, port: u16) -> Result<String, WebError> {
        Ok(format!("http://127.0.0.1:{port}{}", self.app.guard.link()?))
    }

    /// What makes further links.
    pub fn links(&self, port: u16) -> impl Fn() -> Option<String> + Send + use<> {
        let app = self.app.clone();
        move || Some(format!("http://127.0.0.1:{port}{}", app.guard.link().ok()?))
    }

    /// Serves until nobody uses it for the idle time, or somebody ends it. Returns why it ended.
    pub async fn serve(self) -> &'static str {
        let Self { app, listener } = self;
        let router = router(app.clone());
        let keeper = tokio::spawn(app.clone().keep());
        let (heeder, follower) = (tokio::spawn(app.clone().heed()), tokio::spawn(app.clone().follow()));
        let counter = app.clone();
        tokio::spawn(async move { drop(counter.count_days().await) });
        let room = Room::default();
        let (unused, over) = (app.unused(), app.over());
        tokio::pin!(unused, over);
        let why = loop {
            tokio::select! {
                () = &mut unused => break "nobody used the page",
                () = &mut over => break "it was ended on the page",
                () = accept(&listener, &app, &router, &room) => {}
            }
        };
        app.end();
        [keeper, heeder, follower].iter().for_each(tokio::task::JoinHandle::abort);
        why
    }
}

/// A socket that its user alone can open. One that is left behind is replaced.
fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    /// The user who started the page, or root, for whom SSH forwards.
    Own,
    /// Somebody else.
    Stranger,
}

impl Peer {
    fn of(uid: Option<u32>) -> Self {
        let own = nix::unistd::geteuid().as_raw();
        if uid.is_some_and(|uid| uid == 0 || uid == own) { Self::Own } else { Self::Stranger }
    }

    /// Who connects over loopback. A kernel that does not tell leaves it to the cookie.
    fn over_tcp(peer: SocketAddr, own: io::Result<SocketAddr>) -> Self {
        match own.and_then(|own| super::peer::uid_of(peer, own)) {
            Ok(uid) => Self::of(uid),
            Err(_) => Self::Own,
        }
    }
}

/// Room for connections. Other users have their own, so that they cannot take that of the page's user.
#[derive(Clone)]
struct Room {
    own: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        Self { own: Arc::new(Semaphore::new(CONNECTIONS)), strangers: Arc::new(Semaphore::new(STRANGERS)) }
    }
}

impl Room {
    /// A place for a connection; `None` if it is to be closed.
    async fn enter(self, peer: Peer) -> Option<OwnedSemaphorePermit> {
        match peer {
            Peer::Own => self.own.acquire_owned().await.ok(),
            Peer::Stranger => self.strangers.try_acquire_owned().ok(),
        }
    }
}

/// Lets one connection in.
async fn accept(listener: &Listener, app: &Arc<App>, router: &Router, room: &Room) {
    let (app, router, room) = (app.clone(), router.clone(), room.clone());
    match listener {
        Listener::Tcp(listener) => {
            let Ok((stream, address)) = listener.accept().await else { return failed().await };
            tokio::spawn(async move {
                let peer = Peer::over_tcp(address, stream.local_addr());
                let Some(_place) = room.enter(peer).await else { return };
                converse(stream, app, router, peer).await;
            });
        }
        Listener::Unix(listener, _) => {
            let Ok((stream, _)) = listener.accept().await else { return failed().await };
            tokio::spawn(async move {
                let peer = Peer::of(stream.peer_cred().ok().map(|peer| peer.uid()));
                let Some(_place) = room.enter(peer).await else { return };
                converse(stream, app, router, peer).await;
            });
        }
    }
}

/// The host had no descriptor for somebody: a moment later it may.
async fn failed() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    app: Arc<App>,
    router: Router,
    peer: Peer,
) {
    let over = app.over();
    let service = service_fn(move |request: Request<Incoming>| {
        let (app, router) = (app.clone(), router.clone());
        async move {
            let answer = match peer {
                Peer::Own => answer(&app, router, request).await,
                Peer::Stranger => denied(Denied::NoSession, ""),
            };
            Ok::<_, Infallible>(guarded(answer))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(if peer == Peer::Own { HEAD_TIME } else { STRANGER_TIME })
        .keep_alive(peer == Peer::Own)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection, over);
    tokio::select! {
        // How it ends is the browser's affair.
        _ = connection.as_mut() => return,
        () = over => {}
    }
    connection.as_mut().graceful_shutdown();
    drop(tokio::time::timeout(Duration::from_secs(2), connection).await);
}

fn denied(why: Denied, base: &str) -> Response {
    problem(StatusCode::FORBIDDEN, "Nothing for you here", why.told(), base)
}

/// Judges a request, and has it answered where it is let in.
async fn answer(app: &Arc<App>, router: Router, request: Request<Incoming>) -> Response {
    if own_host(request.headers()).is_none() {
        return denied(Denied::Host, "");
    }
    let Some(path) = app.guard.inner(request.uri().path()).map(str::to_owned) else {
        return denied(Denied::NoSession, "");
    };
    let query = request.uri().query().unwrap_or_default().to_owned();
    if path == "/enter" && request.method() == Method::GET {
        return enter(app, &query);
    }
    let token = match app.guard.judge(request.method(), request.headers()) {
        Ok(token) => token,
        Err(why) => return denied(why, ""),
    };
    let wants_json =
        request.headers().get(header::ACCEPT).is_some_and(|accept| accept.as_bytes() == b"application/json");
    // What a page asks for by itself keeps nothing open.
    if path == "/live" || request.headers().contains_key("x-rotord-again") {
        app.looked();
    } else {
        app.used();
    }
    let (mut parts, body) = request.into_parts();
    let fields = if parts.method == Method::POST {
        let read = tokio::time::timeout(FORM_TIME, axum::body::to_bytes(Body::new(body), FORM)).await;
        let Ok(Ok(form)) = read else {
            return problem(StatusCode::PAYLOAD_TOO_LARGE, "The form is too large", "", app.guard.base());
        };
        let fields = Fields::parse(&String::from_utf8_lossy(&form));
        // The token stands in each form of the page: one from elsewhere, or of a former session, does nothing.
        if !has_token(&token, fields.get("csrf")) {
            return denied(Denied::Stale, app.guard.base());
        }
        fields
    } else {
        Fields::parse(&query)
    };
    let Ok(uri) = path.parse::<Uri>() else { return PageError::Missing.answer(app.guard.base(), wants_json) };
    parts.uri = uri;
    let mut inner = Request::from_parts(parts, Body::empty());
    inner.extensions_mut().insert(Visit { fields: Arc::new(fields), token: token.into(), wants_json });
    match TowerToHyperService::new(router).call(inner).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Exchanges the link for a cookie, and leads to the first page, whose address has no secret that anybody could use.
fn enter(app: &App, query: &str) -> Response {
    match app.guard.enter(Fields::parse(query).text("key")) {
        Err(why) => denied(why, ""),
        Ok(cookie) => {
            app.used();
            let to = format!("/{}/", app.guard.base());
            // Not by a redirect: to a browser that was sent here by another page that would be a request of that page, and
            // SameSite=Strict would keep the cookie back (RFC 6265bis, section 5.2.2).
            let page = format!(
                "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>rotord</title><meta http-equiv=\"refresh\" content=\"0; url={to}\"></head><body><p><a href=\"{to}\">Go on</a></p></body></html>"
            );
            let headers = [(header::SET_COOKIE, cookie), (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned())];
            (headers, page).into_response()
        }
    }
}

/// An asset.
fn asset(kind: &'static str, text: &'static str) -> axum::routing::MethodRouter<Arc<App>> {
    get(move || async move { ([(header::CONTENT_TYPE, kind)], text) })
}

/// Makes a handler's error a page.
macro_rules! told {
    ($handler:path) => {
        |State(app): State<Arc<App>>, Extension(visit): Extension<Visit>| async move {
            let (base, wants_json) = (app.guard.base().to_owned(), visit.wants_json);
            $handler((State(app), Extension(visit)))
                .await
                .unwrap_or_else(|error: PageError| error.answer(&base, wants_json))
        }
    };
}

fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(told!(pages::overview)))
        .route("/accounts", get(told!(pages::accounts)))
        .route("/account", get(told!(account::account)))
        .route("/devices", get(told!(pages::devices)))
        .route("/device", get(told!(pages::device)))
        .route("/jobs", get(told!(pages::jobs)))
        .route("/templates", get(told!(pages::templates)))
        .route("/template", get(told!(pages::template)))
        .route("/audit", get(told!(pages::audit)))
        .route("/health", get(told!(pages::health)))
        .route("/work", get(told!(pages::work)))
        .route("/confirm", post(told!(acts::confirm)))
        .route("/act", post(told!(acts::act)))
        .route("/token", post(told!(acts::token)))
        .route("/reveal", post(told!(acts::reveal)))
        .route("/leave", post(told!(leave)))
        .route("/live", get(|State(app): State<Arc<App>>| async move { app.hub.stream(app.over()) }))
        .route("/assets/app.css", asset("text/css; charset=utf-8", include_str!("assets/app.css")))
        .route("/assets/app.js", asset("text/javascript; charset=utf-8", include_str!("assets/app.js")))
        .route("/assets/icon.svg", asset("image/svg+xml", include_str!("assets/icon.svg")))
        .fallback(told!(missing))
        .with_state(app)
}

async fn missing(_: Asked) -> Result<Response, PageError> {
    Err(PageError::Missing)
}

/// Ends the page.
async fn leave((State(app), _): Asked) -> Result<Response, PageError> {
    let answer = problem(StatusCode::OK, "The page is ended", "Start rotorctl web again when you need it.", "");
    tokio::spawn(async move {
        // The answer goes out first.
        tokio::time::sleep(Duration::from_millis(200)).await;
        app.end();
    });
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_sockets_are_listened_on() {
        let tcp = |address: &str| Ok(Listen::Tcp(address.parse().unwrap()));
        assert_eq!(Listen::parse("127.0.0.1:8080"), tcp("127.0.0.1:8080"));
        assert_eq!(Listen::parse("localhost:80"), tcp("127.0.0.1:80"));
        assert_eq!(Listen::parse("[::1]:8080"), tcp("[::1]:8080"));
        assert_eq!(Listen::parse("8080"), tcp("127.0.0.1:8080"));
        assert_eq!(Listen::parse("/run/x"), Ok(Listen::Unix("/run/x".into())));
        assert_eq!(Listen::parse("./x"), Ok(Listen::Unix("./x".into())));
        for text in ["0.0.0.0:80", "192.0.2.1:80", "[::]:80", "host:80", "", "127.0.0.1"] {
            assert!(Listen::parse(text).is_err(), "{text}");
        }
    }
}

//! The live view of a browser: one that waits for a person (`rotorctl browser`), or one in which a person works.
//!
//! A page on the loopback, served by this very process with the rights of whoever called it. The link that it prints is good once;
//! from then on a cookie is needed. What the person types goes to the browser and is put down nowhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use data_encoding::BASE64;
use tokio::net::TcpListener;

use super::output::{safe, say};
use super::{Failure, interrupted};
use crate::control::{Client, ClientError, ContinueBody, DoneBody, LiveBody, LiveInput, LiveInputBody, LivePicture};
use crate::web::{same, unguessable};

const PAGE: &str = include_str!("live.html");
/// Whether the browser still waits is asked so often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What the page says of what it shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    /// On the button.
    pub(super) button: &'static str,
    /// Once it is over.
    pub(super) over: &'static str,
}

const PARKED: Words = Words { button: "Continue", over: "The run goes on; this page can be closed." };

/// What the page is served from.
struct View {
    client: Client,
    live: LiveBody,
    words: Words,
    /// Host and port, as a browser names them.
    host: String,
    link: String,
    cookie: String,
    used: AtomicBool,
}

/// A word that nobody guesses.
fn word() -> Result<String, Failure> {
    unguessable(16).map_err(|error| Failure::unexpected(error.to_string()))
}

/// A page that is served on a port of the loopback.
pub(super) struct Page {
    listener: TcpListener,
    view: Arc<View>,
}

impl Page {
    pub(super) async fn of(client: Client, live: LiveBody, words: Words) -> Result<Self, Failure> {
        let unexpected = |error: std::io::Error| Failure::unexpected(error.to_string());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(unexpected)?;
        let host = listener.local_addr().map_err(unexpected)?.to_string();
        let (link, cookie) = (word()?, word()?);
        let view = Arc::new(View { client, live, words, host, link, cookie, used: AtomicBool::new(false) });
        Ok(Self { listener, view })
    }

    /// Where it is; good once.
    pub(super) fn link(&self) -> String {
        format!("http://{}/{}/", self.view.host, self.view.link)
    }

    /// Serves it until it fails.
    pub(super) async fn serve(self) -> Result<(), Failure> {
        let routes = Router::new()
            .route("/{link}/", get(page))
            .route("/{link}/picture", get(picture))
            .route("/{link}/input", post(input))
            .route("/{link}/continue", post(go_on))
            .with_state(self.view);
        axum::serve(self.listener, routes).await.map_err(|error| Failure::unexpected(error.to_string()))
    }
}

/// Serves the view until the run goes on.
pub(super) async fn run(client: Client, account: &str) -> Result<u8, Failure> {
    let live: LiveBody = client.get("/v1/browser", &[("account", account)]).await?;
    let page = Page::of(client, live, PARKED).await?;
    let view = page.view.clone();
    say!("{} waits for a person: {}", safe(&view.live.account), safe(&view.live.asked));
    say!("Open this link once, in a browser on this host: {}", page.link());
    let until_over = async {
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            let found: Result<LiveBody, ClientError> =
                view.client.get("/v1/browser", &[("account", &view.live.account)]).await;
            if let Err(ClientError::Refused(body)) = found {
                return body.error;
            }
        }
    };
    tokio::select! {
        served = page.serve() => served?,
        why = until_over => say!("The live view is over: {}", safe(&why)),
        () = interrupted() => {}
    }
    Ok(0)
}

/// What every answer says of itself: it is kept nowhere and shown in no frame.
fn guarded(status: StatusCode, kind: &'static str, body: impl Into<axum::body::Body>) -> Response {
    let headers = [
        ("content-type", kind),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ];
    (status, headers, body.into()).into_response()
}

fn refused() -> Response {
    guarded(
        StatusCode::FORBIDDEN,
        "text/plain",
        "This link was used, or is none. Run rotorctl again for another one.\n",
    )
}

impl View {
    /// Whether a request names this very server: a name that somebody points at the loopback is another one.
    fn is_here(&self, headers: &HeaderMap, link: &str) -> bool {
        let host = headers.get("host").and_then(|host| host.to_str().ok());
        host == Some(self.host.as_str()) && same(link, &self.link)
    }

    /// Whether it comes from the page that was opened with the link: no other page can set this header, or has the cookie.
    fn is_ours(&self, headers: &HeaderMap, link: &str) -> bool {
        let cookies = headers.get("cookie").and_then(|cookies| cookies.to_str().ok()).unwrap_or_default();
        let wanted = format!("rotord={}", self.cookie);
        let has_cookie = cookies.split(';').any(|cookie| same(cookie.trim(), &wanted));
        self.is_here(headers, link) && has_cookie && headers.contains_key("x-rotord")
    }
}

async fn page(State(view): State<Arc<View>>, Path(link): Path<String>, headers: HeaderMap) -> Response {
    if !view.is_here(&headers, &link) || view.used.swap(true, Ordering::SeqCst) {
        return refused();
    }
    let Ok(nonce) = word() else { return refused() };
    let shown = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let text = PAGE.replace("NONCE", &nonce);
    let text = text.replace("BUTTON", view.words.button).replace("OVER", view.words.over);
    let text = text.replace("ACCOUNT", &shown(&view.live.account)).replace("ASKED", &shown(&view.live.asked));
    let mut answer = guarded(StatusCode::OK, "text/html; charset=utf-8", text);
    let cookie = format!("rotord={}; Path=/{}/; HttpOnly; SameSite=Strict", view.cookie, view.link);
    let policy = format!(
        "default-src 'none'; img-src blob:; connect-src 'self'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'"
    );
    for (name, value) in [("set-cookie", cookie), ("content-security-policy", policy)] {
        if let Ok(value) = value.parse() {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

/// The status that a failed request to the daemon means for the page.
fn failed(error: &ClientError) -> Response {
    let status = match error {
        ClientError::Refused(body) if body.error.contains("waits for a person") => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_GATEWAY,
    };
    guarded(status, "text/plain", error.to_string())
}

async fn picture(State(view): State<Arc<View>>, Path(link): Path<String>, headers: HeaderMap) -> Response {
    if !view.is_ours(&headers, &link) {
        return refused();
    }
    let found: Result<LivePicture, ClientError> =
        view.client.get("/v1/browser/picture", &[("account", &view.live.account)]).await;
    match found {
        Ok(found) => guarded(StatusCode::OK, "image/jpeg", BASE64.decode(found.jpeg.as_bytes()).unwrap_or_default()),
        Err(error) => failed(&error),
    }
}

async fn input(
    State(view): State<Arc<View>>,
    Path(link): Path<String>,
    headers: HeaderMap,
    body: axum::Json<LiveInput>,
) -> Response {
    if !view.is_ours(&headers, &link) {
        return refused();
    }
    let body = LiveInputBody { account: view.live.account.clone(), input: body.0 };
    answered(view.client.post("/v1/browser/input", &body).await)
}

async fn go_on(State(view): State<Arc<View>>, Path(link): Path<String>, headers: HeaderMap) -> Response {
    if !view.is_ours(&headers, &link) {
        return refused();
    }
    let body = ContinueBody { account: view.live.account.clone() };
    answered(view.client.post("/v1/browser/continue", &body).await)
}

fn answered(done: Result<DoneBody, ClientError>) -> Response {
    match done {
        Ok(done) => guarded(StatusCode::OK, "text/plain", done.done),
        Err(error) => failed(&error),
    }
}

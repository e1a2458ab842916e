//! Webhooks: a POST a message, signed, over one connection for several. No redirect is followed: what was signed for one place goes to
//! no other.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;

use super::tls::connect;
use super::{ANSWER, Blame, Delivery, Failure, secret};
use crate::config::{Place, Preset, SecretSource, parse_url};
use crate::model::Secret;
use crate::notify::message::Message;
use crate::notify::render::{chat, json};

/// Of an answer's body no more is read.
const MOST_ANSWER: usize = 64 * 1024;
/// A receiver may ask for a pause so long, in seconds.
const LONGEST_PAUSE: u64 = 3600;

/// A webhook as the config has it.
pub(super) struct Hook<'a> {
    pub(super) place: &'a Place,
    pub(super) preset: Preset,
    pub(super) key: Option<&'a SecretSource>,
    pub(super) token: Option<&'a SecretSource>,
    pub(super) ca_file: Option<&'a Path>,
}

/// A webhook with its secrets.
struct Target {
    url: Uri,
    preset: Preset,
    key: Option<Secret>,
    token: Option<Secret>,
}

async fn read_maybe(source: Option<&SecretSource>) -> Result<Option<Secret>, String> {
    match source {
        Some(source) => secret::read(source).await.map(Some),
        None => Ok(None),
    }
}

async fn target(hook: &Hook<'_>) -> Result<Target, String> {
    let url = match hook.place {
        Place::Url(text) => parse_url(text)?,
        Place::Secret(source) => {
            let text = secret::read(source).await?;
            parse_url(text.expose()).map_err(|why| format!("what url_file or url_credential names: {why}"))?
        }
    };
    Ok(Target { url, preset: hook.preset, key: read_maybe(hook.key).await?, token: read_maybe(hook.token).await? })
}

type Sender = SendRequest<Full<Bytes>>;

async fn open(target: &Target, ca_file: Option<&Path>) -> Result<Sender, Failure> {
    let secure = target.url.scheme_str() == Some("https");
    let port = target.url.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = connect(target.url.host().unwrap_or_default(), port, secure, ca_file).await?;
    let made = handshake(TokioIo::new(stream)).await;
    let (sender, connection) = made.map_err(|error| Failure::again(error.to_string()))?;
    // It ends with the sender, or when the receiver closes.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

pub(super) async fn deliver(hook: &Hook<'_>, messages: &[Message]) -> Delivery {
    let target = match target(hook).await {
        Ok(target) => target,
        Err(why) => return Delivery::failed(0, Failure::again(why)),
    };
    let routing_key = target.key.as_ref().filter(|_| target.preset == Preset::PagerDuty);
    let routing_key = routing_key.map_or("", Secret::expose);
    let mut kept: Option<Sender> = None;
    for (taken, message) in messages.iter().enumerate() {
        for body in chat::bodies(target.preset, message, routing_key) {
            let sent = send(&mut kept, &target, hook.ca_file, &message.id, body.to_string()).await;
            if let Err(failure) = sent {
                return Delivery::failed(taken, failure);
            }
        }
    }
    Delivery { taken: messages.len(), ..Delivery::default() }
}

/// Sends one request, over the connection that was kept, or over another where the receiver closed it after the last answer.
async fn send(
    kept: &mut Option<Sender>,
    target: &Target,
    ca_file: Option<&Path>,
    id: &str,
    body: String,
) -> Result<(), Failure> {
    let ready = match kept.take() {
        Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
        None => None,
    };
    let mut sender = match ready {
        Some(sender) => sender,
        None => open(target, ca_file).await?,
    };
    post(&mut sender, target, id, body.into_bytes()).await?;
    *kept = Some(sender);
    Ok(())
}

fn request(target: &Target, id: &str, body: Vec<u8>) -> Result<Request<Full<Bytes>>, String> {
    let path = target.url.path_and_query().map_or("/", |path| path.as_str());
    // Without a user, which a URL may have.
    let authority = target.url.authority().map_or("", |it| it.as_str().rsplit('@').next().unwrap_or_default());
    let mut request = Request::post(path)
        .header(HOST, authority)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("rotord/", env!("CARGO_PKG_VERSION")))
        .header("X-Rotord-Id", id);
    if let Some(token) = &target.token {
        let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
        let mut value = value.map_err(|_| "the token cannot stand in a header")?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    if let Some(key) = target.key.as_ref().filter(|_| target.preset != Preset::PagerDuty) {
        let seconds = u64::try_from(chrono::Utc::now().timestamp()).unwrap_or(0);
        request = request.header("X-Rotord-Signature", json::signature(key.expose().as_bytes(), seconds, &body));
    }
    request.body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())
}

async fn post(sender: &mut Sender, target: &Target, id: &str, body: Vec<u8>) -> Result<(), Failure> {
    let request = request(target, id, body).map_err(Failure::again)?;
    let answer = async {
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| Failure::again(format!("no answer: {error}")))?;
        let judged = judge(&response);
        // The body is read so that the connection serves again; what it says may be anybody's.
        drop(Limited::new(response.into_body(), MOST_ANSWER).collect().await);
        judged
    };
    let late = || Failure::again(format!("no answer within {} s", ANSWER.as_secs()));
    tokio::time::timeout(ANSWER, answer).await.unwrap_or_else(|_| Err(late()))
}

/// What an answer's status says of the message.
fn judge<T>(response: &Response<T>) -> Result<(), Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    if status.is_redirection() {
        let why = format!("it answers {status}: redirects are not followed; set the URL to where it leads");
        return Err(Failure::again(why));
    }
    let pause = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let refused = [StatusCode::BAD_REQUEST, StatusCode::PAYLOAD_TOO_LARGE, StatusCode::UNPROCESSABLE_ENTITY];
    let after = pause.map(|seconds| Duration::from_secs(seconds.min(LONGEST_PAUSE)));
    let blame = if refused.contains(&status) { Blame::Refused } else { Blame::Receiver };
    Err(Failure { why: format!("it answers {status}"), blame, after })
}

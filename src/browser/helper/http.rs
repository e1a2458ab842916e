//! HTTP to the driver: one connection a request, over the loopback of the helper's own network namespace.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::http::{Request, Response};
use hyper_util::rt::TokioIo;
use thirtyfour::error::{WebDriverError, WebDriverResult};
use thirtyfour::session::http::{Body, HttpClient};
use tokio::net::TcpStream;

/// Bytes of a reply, at the most.
const MOST: usize = 64 << 20;
/// A command takes no longer.
const PATIENCE: Duration = Duration::from_secs(150);

/// Speaks to the driver.
pub(super) struct Loopback;

type Sending<'a> = Pin<Box<dyn Future<Output = WebDriverResult<Response<Bytes>>> + Send + 'a>>;

fn failed(error: impl std::fmt::Display) -> WebDriverError {
    WebDriverError::RequestFailed(error.to_string())
}

async fn send(request: Request<Vec<u8>>) -> WebDriverResult<Response<Bytes>> {
    let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    let stream = TcpStream::connect(&host).await.map_err(failed)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    parts.uri = path.parse().map_err(failed)?;
    parts.headers.insert("host", host.parse().map_err(failed)?);
    let response =
        sender.send_request(Request::from_parts(parts, Full::new(Bytes::from(body)))).await.map_err(failed)?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, MOST).collect().await.map_err(failed)?.to_bytes();
    connection.abort();
    Ok(Response::from_parts(parts, body))
}

impl HttpClient for Loopback {
    fn send<'life0, 'life1, 'async_trait>(&'life0 self, request: Request<Body<'life1>>) -> Sending<'async_trait>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        let (parts, body) = request.into_parts();
        let body = match body {
            Body::Empty => Ok(Vec::new()),
            Body::Json(json) => serde_json::to_vec(json).map_err(failed),
        };
        Box::pin(async move {
            match tokio::time::timeout(PATIENCE, send(Request::from_parts(parts, body?))).await {
                Ok(result) => result,
                Err(_) => Err(WebDriverError::Timeout("the driver did not answer in time".into())),
            }
        })
    }

    fn new<'life0, 'async_trait>(
        &'life0 self,
    ) -> Pin<Box<dyn Future<Output = Arc<dyn HttpClient>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async { Arc::new(Self) as Arc<dyn HttpClient> })
    }
}

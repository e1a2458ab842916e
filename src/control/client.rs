//! The client: one request a connection over the Unix socket.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};
use zeroize::Zeroize;

use super::trust::check_server;
use super::types::ErrorBody;
use crate::model::percent_encode;

/// Why a request failed, with the exit status that it means.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody answers at the socket.
    #[error(
        "no daemon answers at {path}: {why}; is rotord running? (systemctl status rotord; --socket names another socket)"
    )]
    NoDaemon {
        /// The socket.
        path: String,
        /// Why.
        why: String,
    },
    /// Somebody else's process is at the socket.
    #[error("no daemon that can be trusted is at {path}: {why}")]
    Stranger {
        /// The socket.
        path: String,
        /// Whose it is, and what to do.
        why: String,
    },
    /// The daemon said no.
    #[error("{}", .0.error)]
    Refused(ErrorBody),
    /// The conversation broke.
    #[error("the daemon's answer cannot be read: {0}")]
    Broken(String),
    /// The daemon ended, or hung up, before it had answered.
    #[error("the daemon at {path} ended, or hung up, before it told the outcome{}", told_if(*.asked_to_act))]
    Ended {
        /// The socket.
        path: String,
        /// Whether something was to be done: it may have been.
        asked_to_act: bool,
    },
    /// The daemon did not answer in the time that the caller gives it.
    #[error("the daemon at {path} has not answered within {seconds} s (--timeout){}", told_if(*.asked_to_act))]
    Silent {
        /// The socket.
        path: String,
        /// For how long.
        seconds: u64,
        /// Whether something was to be done: it may have been.
        asked_to_act: bool,
    },
}

/// What is said where something was to be done.
fn told_if(asked_to_act: bool) -> &'static str {
    if asked_to_act { ": what you asked for may have been begun" } else { "" }
}

impl ClientError {
    /// The exit status.
    #[must_use]
    pub fn exit(&self) -> u8 {
        match self {
            Self::NoDaemon { .. } | Self::Stranger { .. } => 7,
            Self::Ended { asked_to_act, .. } | Self::Silent { asked_to_act, .. } => {
                if *asked_to_act {
                    5
                } else {
                    7
                }
            }
            Self::Refused(body) => body.exit,
            Self::Broken(_) => 1,
        }
    }
}

/// How long a queue of callers that is full is waited for.
const KNOCKING: Duration = Duration::from_secs(10);
/// How soon it is tried again.
const KNOCK_AGAIN: Duration = Duration::from_millis(20);
/// An answer that comes unasked is no longer than this.
const UNASKED: usize = 16 * 1024;

/// A connection that keeps what came over it until the answer was understood.
struct Heard {
    stream: UnixStream,
    kept: Arc<Mutex<Kept>>,
}

/// What came, and where more may come from.
struct Kept {
    bytes: Vec<u8>,
    keeps: bool,
    rest: std::os::unix::net::UnixStream,
}

/// What of an answer was kept.
struct Told(Arc<Mutex<Kept>>);

impl Heard {
    fn new(stream: UnixStream) -> std::io::Result<(Self, Told)> {
        let stream = stream.into_std()?;
        let rest = stream.try_clone()?;
        let kept = Arc::new(Mutex::new(Kept { bytes: Vec::new(), keeps: true, rest }));
        Ok((Self { stream: UnixStream::from_std(stream)?, kept: kept.clone() }, Told(kept)))
    }
}

impl Told {
    /// What was refused before it was asked for.
    fn refusal(&self) -> Option<ErrorBody> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { bytes, rest, .. } = &mut *kept;
        let room = u64::try_from(UNASKED.saturating_sub(bytes.len())).unwrap_or(0);
        // It does not wait: what was sent before the end is there.
        let _ = rest.take(room).read_to_end(bytes);
        let end = bytes.windows(4).position(|end| end == b"\r\n\r\n")?;
        if !bytes.starts_with(b"HTTP/1.1 ") {
            return None;
        }
        serde_json::from_slice(&bytes[end + 4..]).ok()
    }

    /// Nothing is kept any more: an answer may hold a secret.
    fn forget(&self) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.keeps = false;
        kept.bytes.zeroize();
    }
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.keeps && kept.bytes.len() < UNASKED {
            kept.bytes.extend_from_slice(&buffer.filled()[before..]);
        }
        read
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn with_query(path: &str, query: &[(&str, &str)]) -> String {
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", percent_encode(value))).collect();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}

/// After so long a silence it is looked whether the daemon answers anybody.
const QUIET: Duration = Duration::from_secs(3);
/// In this time it does; with the one above, a daemon that does not is told of after five seconds.
const ANSWER: Duration = Duration::from_secs(2);

/// Told that a daemon does not answer, once for each request.
type Slow = Arc<dyn Fn(&Path) + Send + Sync>;

/// A client of one daemon.
#[derive(Clone)]
pub struct Client {
    socket: PathBuf,
    /// It gives up where the daemon says nothing for so long.
    timeout: Option<Duration>,
    slow: Option<Slow>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.socket.display())
    }
}

impl Client {
    /// A client of the daemon at this socket.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { socket, timeout: None, slow: None }
    }

    /// The same, giving up where the daemon says nothing for `timeout`, and telling `slow` where it says nothing for five seconds.
    #[must_use]
    pub fn patient(self, timeout: Option<Duration>, slow: impl Fn(&Path) + Send + Sync + 'static) -> Self {
        Self { timeout, slow: Some(Arc::new(slow)), ..self }
    }

    /// Waits for what the daemon is to say. It may take its time, as long as it answers others meanwhile.
    async fn patiently<T>(&self, asked_to_act: bool, said: impl Future<Output = T>) -> Result<T, ClientError> {
        let given_up = async {
            match self.timeout {
                Some(time) => sleep(time).await,
                None => std::future::pending().await,
            }
        };
        let watch = async {
            while let Some(slow) = &self.slow {
                sleep(QUIET).await;
                if !self.is_answered().await {
                    slow(&self.socket);
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            said = said => Ok(said),
            () = given_up => Err(ClientError::Silent {
                path: self.socket.display().to_string(),
                seconds: self.timeout.map_or(0, |time| time.as_secs()),
                asked_to_act,
            }),
            () = watch => Err(ClientError::Broken("it was not waited for".into())),
        }
    }

    /// Whether the daemon answers somebody who only asks for its description.
    async fn is_answered(&self) -> bool {
        let bare = Self { timeout: None, slow: None, ..self.clone() };
        let asked = Box::pin(bare.send("GET", "/v1/openapi.json", Vec::new()));
        tokio::time::timeout(ANSWER, asked).await.is_ok()
    }

    /// Where the daemon listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: Vec<u8>,
    ) -> Result<hyper::Response<hyper::body::Incoming>, ClientError> {
        self.send_for(method, path, body, "*/*").await
    }

    async fn send_for(
        &self,
        method: &str,
        path: &str,
        body: Vec<u8>,
        accept: &str,
    ) -> Result<hyper::Response<hyper::body::Incoming>, ClientError> {
        let broken = |error: &dyn std::fmt::Display| ClientError::Broken(error.to_string());
        let stream = self.connect().await?;
        let server = stream.peer_cred().ok().map(|server| server.uid());
        check_server(&self.socket, server)
            .map_err(|why| ClientError::Stranger { path: self.socket.display().to_string(), why })?;
        let (stream, heard) = Heard::new(stream).map_err(|error| broken(&error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "rotord")
            .header("content-type", "application/json")
            .header("accept", accept)
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| broken(&error))?;
        let asked_to_act = method != "GET";
        let ended = || ClientError::Ended { path: self.socket.display().to_string(), asked_to_act };
        let answer = Box::pin(self.patiently(asked_to_act, sender.send_request(request))).await?;
        let response = match answer {
            Ok(response) => response,
            // Who is turned away is told before anything of his is read, and so before he has asked.
            Err(_) => return Err(heard.refusal().map_or_else(ended, ClientError::Refused)),
        };
        heard.forget();
        if response.status().is_success() {
            return Ok(response);
        }
        let bytes = response.into_body().collect().await.map_err(|_| ended())?.to_bytes();
        let body = serde_json::from_slice::<ErrorBody>(&bytes)
            .unwrap_or_else(|_| ErrorBody { error: String::from_utf8_lossy(&bytes).into_owned(), exit: 2 });
        Err(ClientError::Refused(body))
    }

    /// Connects. A queue that is full is waited for: many may be knocking.
    async fn connect(&self) -> Result<UnixStream, ClientError> {
        let deadline = Instant::now() + KNOCKING;
        loop {
            let error = match UnixStream::connect(&self.socket).await {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            match error.kind() {
                std::io::ErrorKind::WouldBlock if Instant::now() < deadline => sleep(KNOCK_AGAIN).await,
                std::io::ErrorKind::PermissionDenied => {
                    let error = format!(
                        "you may not open {}: {error}; an administrator can list you in [access]",
                        self.socket.display()
                    );
                    return Err(ClientError::Refused(ErrorBody { error, exit: 6 }));
                }
                _ => {
                    let path = self.socket.display().to_string();
                    return Err(ClientError::NoDaemon { path, why: error.to_string() });
                }
            }
        }
    }

    async fn read<T: DeserializeOwned>(
        &self,
        response: hyper::Response<hyper::body::Incoming>,
        asked_to_act: bool,
    ) -> Result<T, ClientError> {
        let ended = |_| ClientError::Ended { path: self.socket.display().to_string(), asked_to_act };
        let bytes = self.patiently(asked_to_act, response.into_body().collect()).await?.map_err(ended)?.to_bytes();
        super::json::parse(&bytes).map_err(ClientError::Broken)
    }

    /// Asks for something.
    ///
    /// # Errors
    /// No daemon, a refusal, or an answer that cannot be read.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, ClientError> {
        self.read(self.send("GET", &with_query(path, query), Vec::new()).await?, false).await
    }

    /// Asks for something whose answer comes line by line, and hands over each line as it comes.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_lines(
        &self,
        path: &str,
        query: &[(&str, &str)],
        line: impl FnMut(&str),
    ) -> Result<(), ClientError> {
        let incoming = self.send("GET", &with_query(path, query), Vec::new()).await?.into_body();
        self.each_line(incoming, false, line).await
    }

    /// Asks for a text of a type.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_text(&self, path: &str, query: &[(&str, &str)], accept: &str) -> Result<String, ClientError> {
        let incoming = self.send_for("GET", &with_query(path, query), Vec::new(), accept).await?.into_body();
        let ended = |_| ClientError::Ended { path: self.socket.display().to_string(), asked_to_act: false };
        let bytes = self.patiently(false, incoming.collect()).await?.map_err(ended)?.to_bytes();
        String::from_utf8(bytes.into()).map_err(|_| ClientError::Broken("it is no text".into()))
    }

    /// Has something done.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Broken(error.to_string()))?;
        self.read(self.send("POST", path, body).await?, true).await
    }

    /// Has something done whose answer is bytes, and hands them over as they come.
    ///
    /// # Errors
    /// As [`Client::get`], and what `take` says.
    pub async fn post_for_bytes<B: Serialize>(
        &self,
        path: &str,
        body: &B,
        mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Broken(error.to_string()))?;
        let mut incoming = self.send("POST", path, body).await?.into_body();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| ClientError::Broken(error.to_string()))?;
            take(&frame.into_data().unwrap_or_default()).map_err(|error| ClientError::Broken(error.to_string()))?;
        }
        Ok(())
    }

    /// Has something done, and hands over each JSON line of the answer as it comes.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post_lines<B: Serialize>(
        &self,
        path: &str,
        body: &B,
        line: impl FnMut(&str),
    ) -> Result<(), ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Broken(error.to_string()))?;
        let incoming = self.send("POST", path, body).await?.into_body();
        self.each_line(incoming, true, line).await
    }

    async fn each_line(
        &self,
        mut incoming: hyper::body::Incoming,
        asked_to_act: bool,
        mut line: impl FnMut(&str),
    ) -> Result<(), ClientError> {
        let mut pending = Vec::new();
        let ended = |_| ClientError::Ended { path: self.socket.display().to_string(), asked_to_act };
        while let Some(frame) = self.patiently(asked_to_act, incoming.frame()).await? {
            let frame = frame.map_err(ended)?;
            pending.extend_from_slice(&frame.into_data().unwrap_or_default());
            let Some(end) = pending.iter().rposition(|byte| *byte == b'\n') else { continue };
            pending[..end].split(|byte| *byte == b'\n').for_each(|text| line(String::from_utf8_lossy(text).trim_end()));
            pending.drain(..=end);
        }
        Ok(())
    }
}

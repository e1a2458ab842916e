//! The client: one request a connection over the Unix socket.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

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
    /// The daemon said no.
    #[error("{}", .0.error)]
    Refused(ErrorBody),
    /// The conversation broke.
    #[error("the daemon's answer cannot be read: {0}")]
    Broken(String),
}

impl ClientError {
    /// The exit status.
    #[must_use]
    pub fn exit(&self) -> u8 {
        match self {
            Self::NoDaemon { .. } => 7,
            Self::Refused(body) => body.exit,
            Self::Broken(_) => 1,
        }
    }
}

/// A client of one daemon.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the daemon at this socket.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
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
        let broken = |error: &dyn std::fmt::Display| ClientError::Broken(error.to_string());
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| {
            if error.kind() == std::io::ErrorKind::PermissionDenied {
                let error = format!(
                    "you may not open {}: {error}; an administrator can list you in [access]",
                    self.socket.display()
                );
                return ClientError::Refused(ErrorBody { error, exit: 6 });
            }
            ClientError::NoDaemon { path: self.socket.display().to_string(), why: error.to_string() }
        })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "rotord")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| broken(&error))?;
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let bytes = response.into_body().collect().await.map_err(|error| broken(&error))?.to_bytes();
        let body = serde_json::from_slice::<ErrorBody>(&bytes)
            .unwrap_or_else(|_| ErrorBody { error: String::from_utf8_lossy(&bytes).into_owned(), exit: 2 });
        Err(ClientError::Refused(body))
    }

    async fn read<T: DeserializeOwned>(response: hyper::Response<hyper::body::Incoming>) -> Result<T, ClientError> {
        let bytes =
            response.into_body().collect().await.map_err(|error| ClientError::Broken(error.to_string()))?.to_bytes();
        super::json::parse(&bytes).map_err(ClientError::Broken)
    }

    /// Asks for something.
    ///
    /// # Errors
    /// No daemon, a refusal, or an answer that cannot be read.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, ClientError> {
        let query: Vec<String> =
            query.iter().map(|(name, value)| format!("{name}={}", percent_encode(value))).collect();
        let path = if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) };
        Self::read(self.send("GET", &path, Vec::new()).await?).await
    }

    /// Has something done.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Broken(error.to_string()))?;
        Self::read(self.send("POST", path, body).await?).await
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
        mut line: impl FnMut(&str),
    ) -> Result<(), ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Broken(error.to_string()))?;
        let mut incoming = self.send("POST", path, body).await?.into_body();
        let mut pending = Vec::new();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| ClientError::Broken(error.to_string()))?;
            pending.extend_from_slice(&frame.into_data().unwrap_or_default());
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let rest = pending.split_off(end + 1);
                line(String::from_utf8_lossy(&pending).trim_end());
                pending = rest;
            }
        }
        Ok(())
    }
}

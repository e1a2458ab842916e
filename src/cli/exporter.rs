//! `rotorctl exporter`: the daemon's metrics on a TCP port, for a monitoring system that cannot read a Unix socket.
//!
//! It is a process of its own, so that the daemon opens no port. It asks the daemon for each request, keeps nothing, and takes
//! nothing but the method and the path of a request; so many are answered at once and no more.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use super::Failure;
use crate::clock::{HostClock, host_clock};
use crate::control::Client;
use crate::metrics::{Exposition, Format, Metric};

/// Connections at once; whoever comes then waits.
const MOST: usize = 16;
/// The head of a request must have come in this time, and the daemon must have answered.
const TIME: Duration = Duration::from_secs(10);
/// A connection is kept no longer, in use or not.
const LONGEST: Duration = Duration::from_secs(60);

/// Where it listens, and what it tells.
#[derive(Debug, Args)]
pub(super) struct ExporterArgs {
    /// The address and port to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9465")]
    listen: SocketAddr,
    /// The metrics of each account too, with its name: for fleets of some hundred accounts.
    #[arg(long)]
    per_account: bool,
}

/// What every request needs.
struct Exporter {
    client: Client,
    per_account: bool,
}

type Answer = Response<Full<Bytes>>;

fn answer(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    if let Ok(content_type) = content_type.parse() {
        answer.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    answer
}

const PLAIN: &str = "text/plain; charset=utf-8";

/// The text with what only a process outside the daemon's sandbox can see: whether the host's clock is synchronised.
fn completed(text: &str, format: Format, clock: Option<HostClock>) -> String {
    let name = Metric::ClockSynchronised.definition().name;
    let Some(clock) = clock.filter(|_| !text.contains(name)) else { return text.to_owned() };
    let mut own = Exposition::new(format);
    own.value(Metric::ClockSynchronised, &[], u8::from(clock.synchronised));
    own.value(Metric::ClockOffset, &[], clock.offset);
    text.strip_suffix(Exposition::END).unwrap_or(text).to_owned() + own.end().as_str()
}

impl Exporter {
    async fn respond(&self, request: &Request<Incoming>) -> Answer {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut refused = answer(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET is answered here\n");
            refused.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match request.uri().path() {
            "/metrics" => {
                let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
                self.metrics(Format::wanted(accept)).await
            }
            "/" => answer(StatusCode::OK, PLAIN, "metrics of rotord are at /metrics\n"),
            _ => answer(StatusCode::NOT_FOUND, PLAIN, "there is no such path; metrics are at /metrics\n"),
        }
    }

    async fn metrics(&self, format: Format) -> Answer {
        let query: &[(&str, &str)] = if self.per_account { &[("per_account", "true")] } else { &[] };
        match self.client.get_text("/metrics", query, format.content_type()).await {
            Ok(text) => answer(StatusCode::OK, format.content_type(), completed(&text, format, host_clock())),
            // A scrape that failed is what 'up' tells of.
            Err(error) => answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{error}\n")),
        }
    }
}

pub(super) async fn run(client: Client, args: ExporterArgs) -> Result<u8, Failure> {
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        Failure::unexpected(format!("cannot listen on {}: {error}; --listen names another address", args.listen))
    })?;
    let address = listener.local_addr().map_err(|error| Failure::unexpected(error.to_string()))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| Failure::unexpected(error.to_string()))?;
    // Without a service manager there is nobody to tell.
    drop(sd_notify::notify(&[sd_notify::NotifyState::Ready]));
    eprintln!("rotorctl: metrics are at http://{address}/metrics");
    let client = client.patient(Some(TIME), |_| {});
    let exporter = Arc::new(Exporter { client, per_account: args.per_account });
    tokio::select! {
        () = serve(listener, exporter) => Ok(0),
        _ = terminate.recv() => Ok(0),
        () = super::interrupted() => Ok(0),
    }
}

async fn serve(listener: TcpListener, exporter: Arc<Exporter>) {
    let places = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let exporter = exporter.clone();
                tokio::spawn(async move {
                    let _place = place;
                    drop(tokio::time::timeout(LONGEST, converse(stream, exporter)).await);
                });
            }
            // Descriptors may be short for a while.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn converse(stream: TcpStream, exporter: Arc<Exporter>) {
    let service = service_fn(move |request| {
        let exporter = exporter.clone();
        async move { Ok::<_, Infallible>(exporter.respond(&request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(TIME);
    // How it ends is the caller's affair.
    drop(builder.serve_connection(TokioIo::new(stream), service).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_daemon_cannot_see_is_added_once_and_before_the_end() {
        let clock = |synchronised| Some(HostClock { synchronised, offset: -0.5 });
        let open = completed("a 1\n# EOF\n", Format::OpenMetrics, clock(true));
        assert!(
            open.starts_with("a 1\n# HELP")
                && open.contains("rotord_clock_synchronised 1\n")
                && open.ends_with("rotord_clock_offset_seconds -0.5\n# EOF\n"),
            "{open}"
        );
        let text = completed("a 1\n", Format::Text, clock(false));
        assert!(text.contains("rotord_clock_synchronised 0\n"), "{text}");
        assert_eq!(completed(&text, Format::Text, clock(true)), text);
        assert_eq!(completed("a 1\n", Format::Text, None), "a 1\n");
    }
}

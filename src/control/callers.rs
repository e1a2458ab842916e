//! Callers: who they are is known before a byte of theirs is read, and what one of them can hold is bounded.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{Sleep, interval, sleep, timeout};

use super::auth::{ApiError, Peer, is_privileged};
use super::gate::{Bounds, Class, Gate, Place};
use super::people::{People, Person};
use super::server as socket;
use crate::config::Access;
use crate::daemon::{Asked, Core};

/// The time in which the head of a request must have come, and the next one on the same connection must begin.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// What is waiting to be read and to be parsed of a connection.
const BUFFER: usize = 64 * 1024;
/// The time in which a caller must take some of what is written to him.
const WRITE_TIME: Duration = Duration::from_secs(60);
/// How long somebody who was turned away may take to read why, before what he sent is thrown away with the connection.
const LINGER: Duration = Duration::from_millis(200);
/// So many of those at once; others are not waited for.
const LINGERING: usize = 16;
/// How often refusals that follow one on record are looked at.
const TICK: Duration = Duration::from_secs(10);
/// How long nobody is let in after the host had no descriptor or no memory for it.
const SHORTAGE: Duration = Duration::from_millis(100);

/// What all connections share.
struct Hall {
    core: Arc<Core>,
    router: Router,
    gate: Gate,
    people: People,
    lingering: Arc<Semaphore>,
}

/// Answers the control socket until the daemon stops.
pub(super) async fn receive((listener, place): (UnixListener, socket::Place), core: Arc<Core>, router: Router) {
    let mut adopted = core.adoptions();
    let gate = Gate::new(Bounds::of_this_process());
    let lingering = Arc::new(Semaphore::new(LINGERING));
    let hall = Arc::new(Hall { core: core.clone(), router, gate, people: People::default(), lingering });
    let mut tick = interval(TICK);
    let mut told_of_shortage = false;
    let stopped = core.stopped();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            biased;
            () = &mut stopped => break,
            _ = tick.tick() => {
                let core = core.clone();
                tokio::spawn(async move { core.tell_refusals(false).await });
            }
            Ok(()) = adopted.changed() => {
                if let Err(error) = place.open_to(core.config().access != Access::default()) {
                    tracing::error!(%error, "the control socket does not go by [access] of the new config; restart rotord");
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => hall.let_in(stream),
                Err(error) => {
                    if !std::mem::replace(&mut told_of_shortage, true) {
                        tracing::error!(%error, "a caller cannot be let in; trying again (LimitNOFILE= in the unit)");
                    }
                    sleep(SHORTAGE).await;
                }
            },
        }
    }
    drop(listener);
    // Work that was asked for ends, and then the answers that tell of it.
    while hall.gate.inside() > 0 {
        sleep(Duration::from_millis(20)).await;
    }
}

impl Hall {
    /// Lets somebody in who is known, and has those looked at who are not. Waits for nothing.
    fn let_in(self: &Arc<Self>, stream: UnixStream) {
        // Whom the kernel does not name is nobody.
        let Ok(credentials) = stream.peer_cred() else { return };
        let (uid, gid) = (credentials.uid(), credentials.gid());
        let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        let known = self.people.known(uid, gid).map(|person| Peer { uid, pid, person });
        let class = match &known {
            _ if is_privileged(uid) => Class::Privileged,
            Some(peer) if peer.has_a_role(&self.core.config().access) => Class::Member,
            _ => Class::Stranger,
        };
        let Some(place) = self.gate.enter(class, uid) else {
            turn_away(stream, &too_many());
            return;
        };
        let hall = self.clone();
        tokio::spawn(async move {
            match known {
                Some(peer) => hall.receive(stream, peer, class, place).await,
                None => hall.look_at(stream, (uid, gid, pid), class, place).await,
            }
        });
    }

    async fn look_at(
        self: Arc<Self>,
        stream: UnixStream,
        (uid, gid, pid): (u32, u32, u32),
        class: Class,
        place: Place,
    ) {
        let person = match self.people.find(uid, gid).await {
            Some(person) => person,
            // What root may do hangs on no directory.
            None if class == Class::Privileged => Arc::new(Person::nameless(uid)),
            None => {
                let why = format!("the host's user directory does not tell who user {uid} is; try again");
                turn_away(stream, &ApiError::busy(why));
                return;
            }
        };
        self.receive(stream, Peer { uid, pid, person }, class, place).await;
    }

    /// Answers somebody who has a role, and turns everybody else away.
    async fn receive(self: Arc<Self>, stream: UnixStream, peer: Peer, class: Class, place: Place) {
        if !peer.has_a_role(&self.core.config().access) {
            let (uid, actor) = (peer.uid, peer.actor());
            if let Err(error) = self.core.refused_access(&actor, "", Asked::default()).await {
                tracing::error!(%error, uid, "a refused caller is not on record");
            }
            let why =
                format!("{} has no role here; an administrator can add the name to [access] of the config", actor.name);
            if let Some(stream) = turn_away(stream, &ApiError::denied(why)) {
                self.linger(stream).await;
            }
            return;
        }
        let place = match class {
            Class::Stranger => {
                drop(place);
                self.gate.enter(Class::Member, peer.uid)
            }
            Class::Privileged | Class::Member => Some(place),
        };
        match place {
            Some(_place) => self.converse(stream, peer).await,
            None => drop(turn_away(stream, &too_many())),
        }
    }

    /// Gives somebody who was turned away a moment to read why: what he sends meanwhile is thrown away, and he would be told of a
    /// broken connection where some of it was left.
    async fn linger(&self, mut stream: UnixStream) {
        let Ok(_permit) = self.lingering.try_acquire() else { return };
        let until_gone = async {
            let mut buffer = [0; 1024];
            // An error means that he is gone.
            while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        };
        drop(timeout(LINGER, until_gone).await);
    }

    async fn converse(&self, stream: UnixStream, peer: Peer) {
        let router = TowerToHyperService::new(self.router.clone());
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer.clone()));
            router.call(request)
        });
        let stream = TokioIo::new(Impatient::new(stream, WRITE_TIME));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(BUFFER)
            .serve_connection(stream, service);
        tokio::pin!(connection);
        tokio::select! {
            biased;
            // How it ends is the caller's affair.
            _ = connection.as_mut() => return,
            () = self.core.stopped() => {}
        }
        connection.as_mut().graceful_shutdown();
        drop(connection.await);
    }
}

fn too_many() -> ApiError {
    ApiError::busy("too many connections are open; close some, or try again")
}

/// Answers somebody of whom nothing was read, and nothing will be. The connection, where it can still be listened to.
fn turn_away(stream: UnixStream, why: &ApiError) -> Option<UnixStream> {
    let mut stream = stream.into_std().ok()?;
    // Nothing was written to it yet: it has room for this, or is gone.
    stream.write_all(&why.on_the_wire()).ok()?;
    stream.shutdown(std::net::Shutdown::Write).ok()?;
    UnixStream::from_std(stream).ok()
}

/// A connection whose other end has to take what is written to it. What is refused by HTTP itself, which answers without a word, is
/// refused in words like everything else.
struct Impatient {
    stream: UnixStream,
    /// The time for it.
    time: Duration,
    /// Since nothing more was taken.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Words in place of such an answer, as far as they are not written.
    words: Vec<u8>,
}

impl Impatient {
    fn new(stream: UnixStream, time: Duration) -> Self {
        Self { stream, time, stalled: None, words: Vec::new() }
    }

    fn write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_write(context, bytes) {
            self.stalled = None;
            return Poll::Ready(result);
        }
        let time = self.time;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(time)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Writes the words that wait.
    fn speak(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.words.is_empty() {
            let words = std::mem::take(&mut self.words);
            let written = self.write(context, &words);
            self.words = words;
            self.words.drain(..ready!(written)?);
        }
        Poll::Ready(Ok(()))
    }
}

/// The words in place of an answer that has none: hyper's own to what it cannot parse (its status is one of these, and none of the
/// handlers' answers is empty).
fn in_words(answer: &[u8]) -> Option<Vec<u8>> {
    let (status, rest) = answer.strip_prefix(b"HTTP/1.1 ")?.split_at_checked(3)?;
    let status = StatusCode::from_bytes(status).ok()?;
    let of_http = [StatusCode::BAD_REQUEST, StatusCode::URI_TOO_LONG, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE];
    let empty = rest.windows(21).any(|line| line.eq_ignore_ascii_case(b"\r\ncontent-length: 0\r\n"));
    (of_http.contains(&status) && empty).then(|| ApiError::of_http(status).on_the_wire())
}

impl AsyncRead for Impatient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.speak(context))?;
        if let Some(words) = in_words(bytes) {
            self.words = words;
            return Poll::Ready(Ok(bytes.len()));
        }
        self.write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.speak(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.speak(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn who_takes_nothing_is_given_up() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut ours = Impatient::new(ours, Duration::from_millis(20));
        let error = ours.write_all(&vec![0; 16 << 20]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_is_turned_away_reads_why_though_nothing_of_his_was_read() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"POST /v1/secret/show HTTP/1.1\r\n").await.unwrap();
        drop(turn_away(ours, &ApiError::denied("no")));
        let mut answer = vec![0; 1024];
        let read = theirs.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n") && answer.contains("\"exit\":6"), "{answer}");
    }

    #[tokio::test]
    async fn what_is_no_http_is_refused_in_words() {
        for (sent, status) in [
            (b"GARBAGE\r\n\r\n".to_vec(), "400 Bad Request"),
            (b"GET / HTTP/9.9\r\n\r\n".to_vec(), "400 Bad Request"),
            ([b"GET /".as_slice(), &[b'x'; 70_000], b" HTTP/1.1\r\n\r\n"].concat(), "414 URI Too Long"),
            ([b"GET / HTTP/1.1\r\n".as_slice(), &b"x: y\r\n".repeat(200), b"\r\n"].concat(), "431 Request Header"),
        ] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let service = service_fn(|_: hyper::Request<Incoming>| async {
                Ok::<_, std::convert::Infallible>(hyper::Response::new(String::new()))
            });
            let ours = TokioIo::new(Impatient::new(ours, WRITE_TIME));
            let served = tokio::spawn(http1::Builder::new().max_buf_size(BUFFER).serve_connection(ours, service));
            drop(theirs.write_all(&sent).await);
            let mut answer = String::new();
            theirs.read_to_string(&mut answer).await.unwrap();
            drop(served.await);
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
            let body: crate::control::ErrorBody = serde_json::from_str(body).unwrap();
            assert!(body.exit == 2 && body.error.len() > 10, "{body:?}");
        }
    }
}

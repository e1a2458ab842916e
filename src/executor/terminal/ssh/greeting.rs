//! The beginning of a connection: what a device sends before its version string, and how much it may send before the login
//! is over.
//!
//! RFC 4253, section 4.2, lets a server send lines of text before its version string. The SSH library drops them, and waits
//! for ever where no version string follows. A server that has no room sends nothing but such a line and closes: OpenSSH's
//! sshd(8) says "Exceeded MaxStartups" or, of a penalised source (`PerSourcePenalties`), "Not allowed at this time".

use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::words::{Words, lenient};

/// Lines before the version string at the most, and bytes of all of them. OpenSSH's ssh(1) takes as many lines.
const MOST_LINES: usize = 1024;
const MOST_BYTES: usize = 64 * 1024;
/// Bytes of a version string (RFC 4253, section 4.2).
const MOST_VERSION: usize = 255;
/// Bytes from the device until the login is over. The key exchange takes less than 10 KiB, banners and prompts little more:
/// who sends on and on fills the memory of this host.
const MOST_BEFORE_LOGIN: usize = 1 << 20;

/// A stream that keeps the lines before the version string and hands out the rest.
pub(super) struct Greeting<S> {
    inner: S,
    words: Words,
    stage: Stage,
    /// Bytes that were read and not handed out.
    held: Vec<u8>,
    lines: usize,
    received: usize,
    traffic: Traffic,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    BeforeVersion,
    Through,
}

/// What came from the device, shared with who reads it.
#[derive(Debug, Clone, Default)]
pub(super) struct Traffic(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    received: AtomicUsize,
    understood: AtomicUsize,
    logged_in: AtomicBool,
}

impl Traffic {
    /// The login is over: from now on what the device sends is bounded by the channel's window.
    pub(super) fn logged_in(&self) {
        self.0.logged_in.store(true, Ordering::Relaxed);
    }

    /// All that has come so far is understood.
    pub(super) fn understood(&self) {
        self.0.understood.store(self.0.received.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Returns once the device has sent something after this began that nobody has understood within the time.
    pub(super) async fn passed_over(&self, time: Duration) {
        self.understood();
        loop {
            let before = self.0.received.load(Ordering::Relaxed);
            tokio::time::sleep(time).await;
            let after = self.0.received.load(Ordering::Relaxed);
            if after == before && after > self.0.understood.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

impl<S> Greeting<S> {
    pub(super) fn new(inner: S, words: Words, traffic: Traffic) -> Self {
        Self { inner, words, stage: Stage::BeforeVersion, held: Vec::new(), lines: 0, received: 0, traffic }
    }

    /// Looks for the version string in what is held, and keeps the lines before it.
    fn look(&mut self) -> Result<(), Error> {
        if let Some(what) = other_protocol(&self.held) {
            self.keep_rest();
            return Err(not_ssh(&format!("{what} answers there, not an SSH server")));
        }
        while let Some(end) = self.held.iter().position(|&byte| byte == b'\n') {
            if self.held.starts_with(b"SSH-") {
                return self.version();
            }
            let line: Vec<u8> = self.held.drain(..=end).collect();
            if line.starts_with(b"HTTP/") {
                self.words.add(&lenient(&line));
                return Err(not_ssh("a web server answers there, not an SSH server"));
            }
            self.words.add(&lenient(&line));
            self.lines += 1;
            if self.lines > MOST_LINES {
                return Err(not_ssh("it sends one line of text after the other and no SSH version string"));
            }
        }
        let long_version = self.held.starts_with(b"SSH-") && self.held.len() > MOST_VERSION;
        if long_version || self.held.len() > MOST_BYTES || self.received > MOST_BYTES {
            self.keep_rest();
            return Err(not_ssh("what it sends is no SSH version string"));
        }
        Ok(())
    }

    fn version(&mut self) -> Result<(), Error> {
        let line = self.held.split(|&byte| byte == b'\n').next().unwrap_or_default();
        if !line.is_ascii() {
            return Err(not_ssh("its SSH version string is no ASCII text (RFC 4253, section 4.2)"));
        }
        if self.held.starts_with(b"SSH-2.0-") || self.held.starts_with(b"SSH-1.99-") {
            self.words.version(&lenient(line));
            self.stage = Stage::Through;
            return Ok(());
        }
        self.keep_rest();
        Err(not_ssh("it speaks only version 1 of the SSH protocol; enable version 2 on the device"))
    }

    /// Keeps what is held as the device's last words.
    fn keep_rest(&mut self) {
        self.words.add(&lenient(&std::mem::take(&mut self.held)));
    }
}

fn not_ssh(why: &str) -> Error {
    Error::new(ErrorKind::InvalidData, why.to_owned())
}

/// Another protocol that is known by its first bytes: Telnet negotiates with `IAC` and `WILL`, `WONT`, `DO` or `DONT`
/// (RFC 854), TLS answers what is not TLS with an alert record (RFC 8446, section 5.1).
fn other_protocol(held: &[u8]) -> Option<&'static str> {
    match held {
        [0xff, 0xfb..=0xfe, ..] => Some("a Telnet server"),
        [0x15, 0x03, ..] => Some("a TLS server"),
        _ => None,
    }
}

impl<S: AsyncRead + Unpin> Greeting<S> {
    /// Reads until the version string is there.
    fn poll_greeting(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.stage == Stage::BeforeVersion {
            let mut bytes = [0; 1024];
            let mut buffer = ReadBuf::new(&mut bytes);
            if let Err(error) = ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer)) {
                self.keep_rest();
                return Poll::Ready(Err(error));
            }
            let read = buffer.filled();
            if read.is_empty() {
                self.keep_rest();
                let why = "it closed the connection before it showed an SSH version string";
                return Poll::Ready(Err(Error::new(ErrorKind::UnexpectedEof, why)));
            }
            self.received += read.len();
            self.held.extend_from_slice(read);
            self.look()?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Greeting<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<(), Error>> {
        let this = &mut *self;
        ready!(this.poll_greeting(cx))?;
        if !this.held.is_empty() {
            let count = this.held.len().min(into.remaining());
            into.put_slice(&this.held[..count]);
            this.held.drain(..count);
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, into))?;
        if !this.traffic.0.logged_in.load(Ordering::Relaxed) {
            this.received += into.filled().len() - before;
            this.traffic.0.received.store(this.received, Ordering::Relaxed);
            if this.received > MOST_BEFORE_LOGIN {
                let why =
                    format!("the device sent more than {} KiB before the login was over", MOST_BEFORE_LOGIN / 1024);
                return Poll::Ready(Err(Error::new(ErrorKind::InvalidData, why)));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Greeting<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Error>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes));
        match written {
            // A device that says why it closes has closed by now, maybe: the read tells.
            Err(_) if self.stage == Stage::BeforeVersion => Poll::Ready(Ok(bytes.len())),
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// What comes through of these bytes of a device that then closes, and what is kept.
    async fn greet(sent: &[u8]) -> (Result<Vec<u8>, String>, Vec<String>) {
        let (ours, mut theirs) = duplex(sent.len() + 1);
        theirs.write_all(sent).await.unwrap();
        drop(theirs);
        let words = Words::default();
        let mut greeting = Greeting::new(ours, words.clone(), Traffic::default());
        let mut through = Vec::new();
        let read = greeting.read_to_end(&mut through).await;
        (read.map(|_| through).map_err(|error| error.to_string()), words.take())
    }

    #[tokio::test]
    async fn lines_before_the_version_string_are_kept_and_the_rest_comes_through() {
        for version in ["SSH-2.0-x\r\n", "SSH-1.99-Cisco-1.25\n"] {
            let sent =
                [b"Authorised use only\r\n\r\nf\xfcr alle\n".as_slice(), version.as_bytes(), b"\x00\n\xff"].concat();
            let (through, words) = greet(&sent).await;
            assert_eq!(through.unwrap(), [version.as_bytes(), b"\x00\n\xff"].concat());
            assert_eq!(words, ["Authorised use only", "für alle"]);
        }
    }

    #[tokio::test]
    async fn a_device_that_only_says_why_is_quoted() {
        for text in ["Not allowed at this time\r\n", "Exceeded MaxStartups\r\n", "no line end"] {
            let (through, words) = greet(text.as_bytes()).await;
            assert!(through.unwrap_err().contains("closed the connection before"));
            assert_eq!(words, [text.trim()]);
        }
    }

    #[tokio::test]
    async fn other_protocols_are_named() {
        let cases: [(&[u8], &str); 5] = [
            (b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", "web server"),
            (b"\xff\xfd\x18\xff\xfd\x20login: ", "Telnet"),
            (b"\x15\x03\x01\x00\x02\x02\x46", "TLS"),
            (b"SSH-1.5-old\n", "version 1"),
            (b"SSH-2.0-\xfc\n", "no ASCII"),
        ];
        for (sent, name) in cases {
            let (through, _) = greet(sent).await;
            assert!(through.as_ref().unwrap_err().contains(name), "{through:?}");
        }
    }

    #[tokio::test]
    async fn text_without_end_is_cut() {
        assert!(greet(&b"a\n".repeat(MOST_LINES + 1)).await.0.unwrap_err().contains("one line of text after"));
        assert!(greet(&b"x".repeat(MOST_BYTES + 1024)).await.0.unwrap_err().contains("no SSH version string"));
        assert!(greet(&[b"SSH-2.0-".as_slice(), &[b'x'; 300]].concat()).await.0.is_err());
    }

    #[tokio::test]
    async fn what_comes_before_the_login_is_over_is_bounded() {
        let sent = [b"SSH-2.0-x\r\n".as_slice(), &vec![0; MOST_BEFORE_LOGIN]].concat();
        assert!(greet(&sent).await.0.unwrap_err().contains("before the login was over"));
    }

    #[tokio::test]
    async fn what_nobody_understood_is_noticed_and_what_somebody_did_is_not() {
        let (traffic, time) = (Traffic::default(), Duration::from_millis(20));
        let came = |bytes: usize| traffic.0.received.store(bytes, Ordering::Relaxed);
        let waiting = traffic.passed_over(time);
        tokio::pin!(waiting);
        assert!(tokio::time::timeout(10 * time, &mut waiting).await.is_err(), "nothing came");
        came(40);
        traffic.understood();
        assert!(tokio::time::timeout(10 * time, &mut waiting).await.is_err(), "it was understood");
        came(80);
        waiting.await;
    }

    /// A stream whose writes fail, as they do once the other side has closed.
    struct Closed(tokio::io::DuplexStream);

    impl AsyncRead for Closed {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<Result<(), Error>> {
            Pin::new(&mut self.0).poll_read(cx, into)
        }
    }

    impl AsyncWrite for Closed {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<Result<usize, Error>> {
            Poll::Ready(Err(ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_device_that_closed_before_it_was_written_to_is_read_all_the_same() {
        let (ours, mut theirs) = duplex(64);
        theirs.write_all(b"Exceeded MaxStartups\r\n").await.unwrap();
        drop(theirs);
        let words = Words::default();
        let mut greeting = Greeting::new(Closed(ours), words.clone(), Traffic::default());
        greeting.write_all(b"SSH-2.0-rotord\r\n").await.unwrap();
        assert!(greeting.read(&mut [0; 9]).await.is_err());
        assert_eq!(words.take(), ["Exceeded MaxStartups"]);
    }
}

//! The browser's only way out: a proxy in the daemon that connects to a device's own host and to those that its config allows,
//! and to nobody else. It lets nothing into a TLS connection before the host's certificate was found good.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::frames::Half;
use super::interceptor::Interceptor;
use super::tls::TlsError;

/// Bytes of a request's head, at the most.
const MOST_HEAD: usize = 64 << 10;
/// A connection is there within this time.
const CONNECT: Duration = Duration::from_secs(15);
/// The first byte of a TLS connection: a record of the handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 22;
/// Bytes of a connection that are on their way between the browser and the end of its TLS.
const BUFFER: usize = 64 << 10;
/// Hosts that are kept of those that were refused.
const MOST_REFUSED: usize = 20;
/// What Chromium itself asks for, whatever the page is.
const OF_THE_BROWSER: [&str; 9] = [
    "update.googleapis.com",
    "clients2.google.com",
    "clients2.googleusercontent.com",
    "passwordsleakcheck-pa.googleapis.com",
    "optimizationguide-pa.googleapis.com",
    "content-autofill.googleapis.com",
    "accounts.google.com",
    "android.clients.google.com",
    "www.google.com",
];

/// A host and port that may be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// As pages name it, in lower case.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Where it really is; by its name where absent.
    pub address: Option<String>,
    /// It is the device itself: its certificate is judged by the device's config alone.
    pub own: bool,
    /// Connections without TLS are let through, since the device's own address has none.
    pub plain: bool,
}

impl Allowed {
    /// The device itself, over TLS.
    #[cfg(test)]
    pub(super) fn of_device(host: &str, port: u16, address: Option<&str>) -> Self {
        Self { host: host.into(), port, address: address.map(str::to_owned), own: true, plain: false }
    }

    /// The name or address that is connected to.
    pub(super) fn reached_at(&self) -> &str {
        self.address.as_deref().unwrap_or(&self.host)
    }

    /// Host and port, for messages.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// A certificate that was not trusted, on a connection of the browser: nothing was sent there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untrusted {
    /// It was the device's own host.
    pub own: bool,
    /// What is wrong with it, in words.
    pub why: String,
}

/// What a request to the proxy asks for.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    host: String,
    port: u16,
    /// What is sent on in place of the head; `None` for `CONNECT`.
    head: Option<Vec<u8>>,
}

/// Host and port of an authority, in lower case, without the brackets of IPv6.
fn authority(text: &str, port: u16) -> Option<(String, u16)> {
    let text = text.to_ascii_lowercase();
    if text.contains('@') {
        return None;
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let port = if rest.is_empty() { port } else { rest.strip_prefix(':')?.parse().ok()? };
        return Some((host.to_owned(), port));
    }
    match text.split_once(':') {
        Some((host, given)) => Some((host.to_owned(), given.parse().ok()?)),
        None => Some((text, port)),
    }
}

/// What the head of a request asks for (RFC 9112, section 3.2). Of a plain request its own connection is closed behind the answer,
/// so that the next one is judged anew.
fn target(head: &[u8]) -> Option<Target> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, uri, _version) = (words.next()?, words.next()?, words.next()?);
    if method == "CONNECT" {
        let (host, port) = authority(uri, 443)?;
        return Some(Target { host, port, head: None });
    }
    let rest = uri.strip_prefix("http://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, port) = authority(rest.get(..end)?, 80)?;
    let path = rest.get(end..)?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut sent = format!("{method} {slash}{path} HTTP/1.1\r\n");
    for line in lines.filter(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !name.starts_with("proxy-") && name != "connection" && name != "keep-alive" {
            sent.push_str(line);
            sent.push_str("\r\n");
        }
    }
    sent.push_str("Connection: close\r\n\r\n");
    Some(Target { host, port, head: Some(sent.into_bytes()) })
}

/// Decides for the browser of one session.
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    allowed: Arc<Vec<Allowed>>,
    interceptor: Arc<Interceptor>,
    refused: Arc<Mutex<Vec<String>>>,
    untrusted: Arc<Mutex<Vec<Untrusted>>>,
}

impl Proxy {
    pub(super) fn new(allowed: Vec<Allowed>, interceptor: Interceptor) -> Self {
        Self {
            allowed: Arc::new(allowed),
            interceptor: Arc::new(interceptor),
            refused: Arc::default(),
            untrusted: Arc::default(),
        }
    }

    /// Certificates that were not trusted.
    pub(super) fn untrusted(&self) -> Vec<Untrusted> {
        self.untrusted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note_untrusted(&self, own: bool, why: String) {
        let mut untrusted = self.untrusted.lock().unwrap_or_else(PoisonError::into_inner);
        let found = Untrusted { own, why };
        if untrusted.len() < MOST_REFUSED && !untrusted.contains(&found) {
            untrusted.push(found);
        }
    }

    /// Hosts that a page asked for and was not let through to.
    pub(super) fn refused(&self) -> Vec<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note_refused(&self, target: &Target) {
        if OF_THE_BROWSER.contains(&target.host.as_str()) {
            return;
        }
        let name: String = format!("{}:{}", target.host, target.port).chars().take(120).collect();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < MOST_REFUSED && !refused.contains(&name) {
            refused.push(name);
        }
    }

    fn find(&self, target: &Target) -> Option<&Allowed> {
        self.allowed.iter().find(|allowed| allowed.host == target.host && allowed.port == target.port)
    }

    /// Serves a connection that the browser opened.
    pub(super) async fn serve(self, mut half: Half) {
        let mut head = Vec::new();
        let end = loop {
            match half.next().await {
                Some(bytes) => head.extend_from_slice(&bytes),
                None => return half.hang_up().await,
            }
            if let Some(at) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            if head.len() > MOST_HEAD {
                return half.hang_up().await;
            }
        };
        let rest = head.split_off(end);
        let Some(target) = target(&head) else { return half.hang_up().await };
        let Some(allowed) = self.find(&target) else {
            self.note_refused(&target);
            // A plain request gets no answer at all: to a page's request without CORS a 403 would be a success.
            if target.head.is_none() {
                half.say(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
            }
            return half.hang_up().await;
        };
        let connecting = TcpStream::connect((allowed.reached_at(), allowed.port));
        let Ok(Ok(socket)) = tokio::time::timeout(CONNECT, connecting).await else {
            if target.head.is_none() {
                half.say(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
            }
            return half.hang_up().await;
        };
        let _ = socket.set_nodelay(true);
        match target.head {
            Some(mut head) => {
                head.extend_from_slice(&rest);
                pass_on(half, socket, &head).await;
            }
            None => {
                half.say(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
                let first = if rest.is_empty() { half.next().await } else { Some(rest) };
                match first {
                    Some(first) if first.first() == Some(&TLS_HANDSHAKE) => {
                        self.intercept(half, socket, &first, allowed).await;
                    }
                    Some(first) if allowed.plain => pass_on(half, socket, &first).await,
                    Some(_) => {
                        self.note_refused(&target);
                        half.hang_up().await;
                    }
                    None => half.hang_up().await,
                }
            }
        }
    }

    /// Ends the browser's TLS here, and carries what is in it to the host once its certificate was found good.
    async fn intercept(&self, half: Half, socket: TcpStream, first: &[u8], allowed: &Allowed) {
        let (browser, mut other_end) = tokio::io::duplex(BUFFER);
        if first.len() > BUFFER || other_end.write_all(first).await.is_err() {
            return half.hang_up().await;
        }
        let (reader, writer) = tokio::io::split(other_end);
        let carried = async {
            if let Err(TlsError::NotTrusted(why)) = self.interceptor.carry(browser, socket, allowed).await {
                self.note_untrusted(allowed.own, why);
            }
        };
        tokio::join!(half.join(reader, writer), carried);
    }
}

/// Sends these bytes on, and all that follows in both directions.
async fn pass_on(half: Half, socket: TcpStream, first: &[u8]) {
    let (reader, mut writer) = socket.into_split();
    if writer.write_all(first).await.is_err() {
        return half.hang_up().await;
    }
    half.join(reader, writer).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::browser::tls::{Judges, Trust};

    #[test]
    fn a_tunnel_names_host_and_port_and_a_plain_request_is_sent_on_alone() {
        let found = target(b"CONNECT Wiki.Example:8443 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert_eq!(found, Target { host: "wiki.example".into(), port: 8443, head: None });
        let found = target(b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!((found.host.as_str(), found.port), ("2001:db8::1", 443));
        let asked = b"GET http://a.example/x?y HTTP/1.1\r\nHost: a.example\r\nProxy-Connection: keep-alive\r\nConnection: keep-alive\r\nX: 1\r\n\r\n";
        let found = target(asked).unwrap();
        assert_eq!((found.host.as_str(), found.port), ("a.example", 80));
        let sent = String::from_utf8(found.head.unwrap()).unwrap();
        assert_eq!(sent, "GET /x?y HTTP/1.1\r\nHost: a.example\r\nX: 1\r\nConnection: close\r\n\r\n");
        let found = target(b"GET http://a.example?q HTTP/1.1\r\n\r\n").unwrap();
        assert!(String::from_utf8(found.head.unwrap()).unwrap().starts_with("GET /?q HTTP/1.1\r\n"));
    }

    #[test]
    fn what_hides_its_host_or_is_no_request_of_a_proxy_is_not_served() {
        for head in [
            "CONNECT a.example@evil.example:443 HTTP/1.1\r\n\r\n",
            "CONNECT a.example:443:443 HTTP/1.1\r\n\r\n",
            "CONNECT a.example:99999 HTTP/1.1\r\n\r\n",
            "GET http://a.example@evil.example/ HTTP/1.1\r\n\r\n",
            "GET /etc/passwd HTTP/1.1\r\n\r\n",
            "GET https://a.example/ HTTP/1.1\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            assert!(target(head.as_bytes()).is_none(), "{head}");
        }
    }

    #[test]
    fn only_the_pairs_on_the_list_are_found_and_others_are_told() {
        let interceptor = Interceptor::new(Judges::new(&Trust::System)).unwrap();
        let proxy = Proxy::new(vec![Allowed::of_device("wiki.example", 443, None)], interceptor);
        let of = |host: &str, port| Target { host: host.into(), port, head: None };
        assert!(proxy.find(&of("wiki.example", 443)).is_some());
        for other in [of("wiki.example", 80), of("wiki.example.evil.example", 443), of("127.0.0.1", 9515)] {
            assert!(proxy.find(&other).is_none());
            proxy.note_refused(&other);
        }
        proxy.note_refused(&of("update.googleapis.com", 443));
        assert_eq!(proxy.refused(), ["wiki.example:80", "wiki.example.evil.example:443", "127.0.0.1:9515"]);
    }
}

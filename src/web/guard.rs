//! Who may see the page: a link that works once, a cookie, and where a request comes from.
//!
//! The page listens on loopback, where every local user can knock and every page of a browser can send requests to. So each request
//! is judged before anything of it is used:
//!
//! - its `Host` is this machine's own name, so that a name of somebody else that leads here gets nothing (DNS rebinding);
//! - its path begins with a part that nobody can guess. Browsers send a cookie to every port of a host (RFC 6265, section 8.5), but
//!   only below its path: another user's server on another port is never sent ours;
//! - it has the cookie that the link was exchanged for;
//! - no other page asks for it in its own name (Fetch metadata);
//! - what changes something comes from this page (`Origin`, Fetch metadata) and has the token that stands in it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, Method, header};
use data_encoding::BASE64URL_NOPAD;

/// Sessions that are kept: a person opens the link in a browser or two.
const MOST_SESSIONS: usize = 8;
/// The cookie's name.
const COOKIE: &str = "rotord";

/// Why a request gets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// It is addressed to another name than this machine's.
    Host,
    /// It comes from nobody who opened the link.
    NoSession,
    /// It comes from another page.
    Origin,
    /// It lacks the token of the page, or has one of a former session.
    Stale,
    /// The link was used, or is none.
    Link,
}

impl Denied {
    /// In words.
    pub(super) fn told(self) -> &'static str {
        match self {
            Self::Host => "This address is not one of this page's own. Open the link that rotorctl web printed.",
            Self::NoSession => {
                "This page belongs to the person who started it. Open the link that rotorctl web printed."
            }
            Self::Origin => "The request comes from another page, and nothing was done.",
            Self::Stale => "The page is older than its session, and nothing was done. Load it again.",
            Self::Link => {
                "This link was used before, or is none. Press Enter where rotorctl web runs to get another one, or start it again."
            }
        }
    }
}

/// A fresh text that nobody can guess.
pub(crate) fn unguessable(bytes: usize) -> Result<String, getrandom::Error> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random)?;
    Ok(BASE64URL_NOPAD.encode(&random))
}

/// Compares without telling by its time how much was right.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// Somebody who opened the link.
#[derive(Debug, Clone)]
struct Session {
    cookie: String,
    token: String,
}

/// What the page's own secrets are.
#[derive(Debug)]
pub(super) struct Guard {
    base: String,
    link: Mutex<Option<String>>,
    sessions: Mutex<VecDeque<Session>>,
}

impl Guard {
    /// Fresh secrets.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        Ok(Self { base: unguessable(12)?, link: Mutex::default(), sessions: Mutex::default() })
    }

    /// The part that every path begins with.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// A link's path that can be opened once. The one before ends.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn link(&self) -> Result<String, getrandom::Error> {
        let key = unguessable(24)?;
        let path = format!("/{}/enter?key={key}", self.base);
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        Ok(path)
    }

    /// What comes after the part that every path begins with.
    pub(super) fn inner<'p>(&self, path: &'p str) -> Option<&'p str> {
        let (base, rest) = path.strip_prefix('/')?.split_once('/')?;
        same(base, &self.base).then(|| &path[path.len() - rest.len() - 1..])
    }

    /// Exchanges the link's key for a cookie.
    ///
    /// # Errors
    /// The key was used before, or is none.
    pub(super) fn enter(&self, key: &str) -> Result<String, Denied> {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if !link.as_deref().is_some_and(|link| same(link, key)) {
            return Err(Denied::Link);
        }
        let (Ok(cookie), Ok(token)) = (unguessable(24), unguessable(24)) else { return Err(Denied::Link) };
        *link = None;
        let set = format!("{COOKIE}={cookie}; Path=/{}/; HttpOnly; SameSite=Strict", self.base);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.push_back(Session { cookie, token });
        if sessions.len() > MOST_SESSIONS {
            sessions.pop_front();
        }
        Ok(set)
    }

    /// Judges a request by its head: the token that the forms of its session's pages have.
    ///
    /// # Errors
    /// Why it gets nothing.
    pub(super) fn judge(&self, method: &Method, headers: &HeaderMap) -> Result<String, Denied> {
        let host = own_host(headers).ok_or(Denied::Host)?;
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let session = cookies(headers).find_map(|cookie| sessions.iter().find(|session| same(&session.cookie, cookie)));
        let session = session.ok_or(Denied::NoSession)?;
        let is_read = method == Method::GET || method == Method::HEAD;
        let is_foreign = if is_read { is_fetched_by_another(headers) } else { !comes_from(headers, host) };
        if is_foreign {
            return Err(Denied::Origin);
        }
        Ok(session.token.clone())
    }

    /// Ends every session.
    pub(super) fn leave(&self) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Whether a form has the token of its page.
pub(super) fn has_token(token: &str, given: Option<&str>) -> bool {
    given.is_some_and(|given| same(token, given))
}

/// The `Host` of a request, where it is this machine's own name. Behind `ssh -L` the port is another than ours.
pub(super) fn own_host(headers: &HeaderMap) -> Option<&str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let is_own = ["127.0.0.1", "localhost", "[::1]"].iter().any(|own| name.eq_ignore_ascii_case(own));
    (is_own && hosts.next().is_none()).then_some(host)
}

/// Whether a request that changes something was sent by this page: browsers say so in `Origin` (Fetch standard), and in
/// `Sec-Fetch-Site` (Fetch Metadata).
fn comes_from(headers: &HeaderMap, host: &str) -> bool {
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes() == b"same-origin");
    let origin = headers.get(header::ORIGIN);
    let origin = origin.map(|origin| origin.as_bytes() == format!("http://{host}").as_bytes());
    match (origin, site) {
        (Some(origin), site) => origin && site != Some(false),
        (None, site) => site == Some(true),
    }
}

/// Whether a page of another origin asks for this in its own name, and not by leading the browser here. A server on another port of
/// this host is the same site, so that the cookie's `SameSite` does not keep it from that.
fn is_fetched_by_another(headers: &HeaderMap) -> bool {
    let is = |name: &str, value: &[u8]| headers.get(name).is_some_and(|found| found.as_bytes() == value);
    let is_other = is("sec-fetch-site", b"same-site") || is("sec-fetch-site", b"cross-site");
    is_other && !is("sec-fetch-mode", b"navigate")
}

/// The values of our cookie.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    all.flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let mut map = HeaderMap::new();
        for (name, value) in pairs.iter().map(pair) {
            map.append(name, value);
        }
        map
    }

    fn entered() -> (Guard, String) {
        let guard = Guard::new().unwrap();
        let link = guard.link().unwrap();
        let set = guard.enter(link.split_once("key=").unwrap().1).unwrap();
        (guard, set.split(';').next().unwrap().to_owned())
    }

    #[test]
    fn a_link_is_good_once() {
        let guard = Guard::new().unwrap();
        assert_eq!(guard.enter(""), Err(Denied::Link));
        let link = guard.link().unwrap();
        let key = link.split_once("key=").unwrap().1;
        let set = guard.enter(key).unwrap();
        assert!(
            set.contains("; HttpOnly; SameSite=Strict") && set.contains(&format!("Path=/{}/", guard.base())),
            "{set}"
        );
        assert_eq!(guard.enter(key), Err(Denied::Link));
        let former = guard.link().unwrap();
        let fresh = guard.link().unwrap();
        assert_eq!(guard.enter(former.split_once("key=").unwrap().1), Err(Denied::Link));
        assert!(guard.enter(fresh.split_once("key=").unwrap().1).is_ok());
    }

    #[test]
    fn a_request_is_judged_by_its_host_its_cookie_and_where_it_comes_from() {
        let (guard, cookie) = entered();
        let own = ("host", "127.0.0.1:8080");
        type Case<'a> = (Method, &'a [(&'a str, &'a str)], Option<Denied>);
        let cases: &[Case<'_>] = &[
            (Method::GET, &[own, ("cookie", &cookie)], None),
            (Method::GET, &[("host", "localhost"), ("cookie", &format!("a=b; {cookie}"))], None),
            (Method::GET, &[("host", "[::1]:9"), ("cookie", &cookie)], None),
            (Method::GET, &[("cookie", &cookie)], Some(Denied::Host)),
            (Method::GET, &[("host", "evil.example:8080"), ("cookie", &cookie)], Some(Denied::Host)),
            (Method::GET, &[("host", "127.0.0.1.evil.example"), ("cookie", &cookie)], Some(Denied::Host)),
            (Method::GET, &[own, ("host", "evil.example"), ("cookie", &cookie)], Some(Denied::Host)),
            (Method::GET, &[own], Some(Denied::NoSession)),
            (Method::GET, &[own, ("cookie", "rotord=")], Some(Denied::NoSession)),
            (Method::GET, &[own, ("cookie", "rotord=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")], Some(Denied::NoSession)),
            (Method::GET, &[own, ("cookie", &cookie), ("sec-fetch-site", "same-origin")], None),
            (Method::GET, &[own, ("cookie", &cookie), ("sec-fetch-site", "none")], None),
            (
                Method::GET,
                &[own, ("cookie", &cookie), ("sec-fetch-site", "same-site"), ("sec-fetch-mode", "navigate")],
                None,
            ),
            (
                Method::GET,
                &[own, ("cookie", &cookie), ("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors")],
                Some(Denied::Origin),
            ),
            (Method::HEAD, &[own, ("cookie", &cookie), ("sec-fetch-site", "cross-site")], Some(Denied::Origin)),
            (Method::POST, &[own, ("cookie", &cookie)], Some(Denied::Origin)),
            (Method::POST, &[own, ("cookie", &cookie), ("origin", "http://127.0.0.1:8080")], None),
            (Method::POST, &[own, ("cookie", &cookie), ("origin", "http://127.0.0.1:8081")], Some(Denied::Origin)),
            (Method::POST, &[own, ("cookie", &cookie), ("origin", "https://127.0.0.1:8080")], Some(Denied::Origin)),
            (Method::POST, &[own, ("cookie", &cookie), ("origin", "null")], Some(Denied::Origin)),
            (Method::POST, &[own, ("cookie", &cookie), ("sec-fetch-site", "same-origin")], None),
            (Method::POST, &[own, ("cookie", &cookie), ("sec-fetch-site", "same-site")], Some(Denied::Origin)),
            (
                Method::POST,
                &[own, ("cookie", &cookie), ("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "cross-site")],
                Some(Denied::Origin),
            ),
            (Method::DELETE, &[own, ("cookie", &cookie)], Some(Denied::Origin)),
        ];
        for (method, pairs, denied) in cases {
            assert_eq!(guard.judge(method, &headers(pairs)).err(), *denied, "{method} {pairs:?}");
        }
        guard.leave();
        let left = guard.judge(&Method::GET, &headers(&[own, ("cookie", &cookie)]));
        assert_eq!(left, Err(Denied::NoSession));
    }

    #[test]
    fn each_session_has_a_token_of_its_own() {
        let (guard, first) = entered();
        let link = guard.link().unwrap();
        let second = guard.enter(link.split_once("key=").unwrap().1).unwrap();
        let token = |cookie: &str| {
            let cookie = cookie.split(';').next().unwrap();
            guard.judge(&Method::GET, &headers(&[("host", "localhost"), ("cookie", cookie)])).unwrap()
        };
        let (first, second) = (token(&first), token(&second));
        assert!(has_token(&first, Some(&first)) && !has_token(&first, Some(&second)) && !has_token(&first, None));
    }

    #[test]
    fn only_paths_below_the_page_s_own_part_lead_anywhere() {
        let guard = Guard::new().unwrap();
        let base = guard.base().to_owned();
        assert_eq!(guard.inner(&format!("/{base}/accounts")), Some("/accounts"));
        assert_eq!(guard.inner(&format!("/{base}/")), Some("/"));
        for path in
            ["/", "", "/accounts", "//accounts", &format!("/{base}"), &format!("/{base}x/"), &format!("{base}/")]
        {
            assert_eq!(guard.inner(path), None, "{path}");
        }
    }
}

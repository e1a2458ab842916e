//! `[device.NAME]` with `kind = "web"`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::table::Table;
use crate::browser::{Allowed, Trust, parse_pin};
use crate::files;

/// Keys of a device that only one of another kind has.
const OF_SSH: [&str; 8] =
    ["host_key", "known_hosts", "jump", "jump_account", "legacy_algorithms", "login_format", "connect_timeout", "port"];
/// Bytes of a file with authorities, at the most.
const MOST_CA: u64 = 1 << 20;

/// A web application, which a browser logs in to.
#[derive(Debug, Clone)]
pub struct WebEndpoint {
    /// Its address, as the config has it.
    pub url: String,
    /// `https` or `http`.
    pub scheme: &'static str,
    /// Its host, in lower case.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Where the host is, in place of what its name resolves to.
    pub address: Option<String>,
    /// Other hosts that its pages may reach.
    pub allow_hosts: Vec<(String, u16)>,
    /// What its certificate is judged by.
    pub trust: Trust,
    /// The file with its authorities.
    pub ca_file: Option<PathBuf>,
    /// A run that waits for a person is kept for so long.
    pub park_for: Duration,
    /// Whether the template's `user-agent` is sent.
    pub send_user_agent: bool,
    /// Floor for the bound on each wait.
    pub timeout: Duration,
}

impl WebEndpoint {
    /// The host, with the port where it is not the scheme's own.
    #[must_use]
    pub fn authority(&self) -> String {
        self.with_port(&self.host)
    }

    /// The same by its address.
    #[must_use]
    pub fn address_authority(&self) -> String {
        self.with_port(self.address.as_deref().unwrap_or(&self.host))
    }

    fn with_port(&self, host: &str) -> String {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        if self.port == port_of(self.scheme) { host } else { format!("{host}:{}", self.port) }
    }

    /// The device itself.
    #[must_use]
    pub fn own(&self) -> Allowed {
        let (host, address) = (self.host.clone(), self.address.clone());
        Allowed { host, port: self.port, address, own: true, plain: self.scheme == "http" }
    }

    /// All that its browser may reach.
    #[must_use]
    pub fn allowed(&self) -> Vec<Allowed> {
        let own = self.own();
        let by_address =
            self.address.iter().map(|address| Allowed { host: address.clone(), address: None, ..own.clone() });
        let others = self.allow_hosts.iter().map(|(host, port)| Allowed {
            host: host.clone(),
            port: *port,
            address: None,
            own: false,
            plain: own.plain,
        });
        std::iter::once(own.clone()).chain(by_address).chain(others).collect()
    }
}

fn port_of(scheme: &str) -> u16 {
    if scheme == "http" { 80 } else { 443 }
}

/// Scheme, host and port of an address.
fn parse_url(text: &str) -> Result<(&'static str, String, u16), String> {
    let wrong = || format!("\"{}\" is no address of a page; write \"https://wiki.example/\"", text.escape_debug());
    let (scheme, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => ("https", rest),
        (_, Some(rest)) => ("http", rest),
        _ => return Err(wrong()),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = parse_host(authority, port_of(scheme)).ok_or_else(wrong)?;
    Ok((scheme, host, port))
}

/// `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`.
fn parse_host(text: &str, port: u16) -> Option<(String, u16)> {
    let text = text.to_ascii_lowercase();
    let (host, given) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host.to_owned(), rest.strip_prefix(':').or(if rest.is_empty() { Some("") } else { None })?.to_owned())
        }
        None => match text.split_once(':') {
            Some((host, given)) => (host.to_owned(), given.to_owned()),
            None => (text, String::new()),
        },
    };
    let port = if given.is_empty() { port } else { given.parse().ok().filter(|port| *port > 0)? };
    let plain = |c: char| c.is_ascii_alphanumeric() || ".:-_".contains(c);
    (!host.is_empty() && host.chars().all(plain)).then_some((host, port))
}

/// Authorities of a file in PEM.
fn authorities(file: &Path) -> Result<Vec<Vec<u8>>, String> {
    let (bytes, _) = files::read(file, MOST_CA).map_err(|error| format!("cannot be read: {error}"))?;
    let text = String::from_utf8_lossy(&bytes);
    let blocks = text.split("-----BEGIN CERTIFICATE-----").skip(1);
    let all: Option<Vec<Vec<u8>>> = blocks
        .map(|block| {
            let inside: String = block.split("-----END").next()?.split_whitespace().collect();
            data_encoding::BASE64.decode(inside.as_bytes()).ok()
        })
        .collect();
    all.filter(|all| !all.is_empty()).ok_or_else(|| "has no certificate in PEM ('-----BEGIN CERTIFICATE-----')".into())
}

/// The keys of a web device.
pub(super) fn endpoint(table: &mut Table<'_>, base: &Path) -> WebEndpoint {
    let report = table.report;
    for key in OF_SSH {
        if !table.has(key) {
            continue;
        }
        report.error(table.span.clone(), "C005", format!("a web device has no '{key}': that is for devices over SSH"));
        table.ignore(key);
    }
    let url = table.parsed("url", |text| parse_url(text).map(|parts| (text.to_owned(), parts)));
    if url.is_none() && table.string("url").is_none() {
        table.missing("url", "\"https://wiki.example/\"");
    }
    let span = url.as_ref().map(|(_, span)| span.clone());
    let (url, (scheme, host, port)) = url.map_or((String::new(), ("https", String::new(), 443)), |(url, _)| url);
    let is_here = host == "localhost" || host.starts_with("127.") || host == "::1";
    if let Some(span) = span.filter(|_| scheme == "http" && !is_here) {
        report.warning(span, "C009", "without TLS everybody on the way can read the password and the code; use https");
    }
    let allow_hosts = table.strings("allow_hosts").unwrap_or_default();
    let allow_hosts = allow_hosts.into_iter().filter_map(|(text, span)| {
        let found = parse_host(&text, 443);
        if found.is_none() {
            report.error(span, "C005", format!("\"{}\" is no HOST or HOST:PORT", text.escape_debug()));
        }
        found
    });
    let allow_hosts = allow_hosts.collect();
    let pins = table.strings("tls_sha256").unwrap_or_default();
    let pins: Vec<[u8; 32]> = pins
        .into_iter()
        .filter_map(|(text, span)| parse_pin(&text).map_err(|why| report.error(span, "C005", why)).ok())
        .collect();
    let ca_file = table.path("ca_file", base);
    let from_file = ca_file.as_ref().and_then(|(file, span)| {
        let found = authorities(file);
        found.map_err(|why| report.error(span.clone(), "C009", format!("{}: {why}", file.display()))).ok()
    });
    let trust = match from_file {
        _ if !pins.is_empty() => Trust::Pinned(pins),
        Some(authorities) => Trust::Authorities(authorities),
        None => Trust::System,
    };
    WebEndpoint {
        url,
        scheme,
        host,
        port,
        address: table.string("address").map(|(address, _)| address),
        allow_hosts,
        trust,
        ca_file: ca_file.map(|(file, _)| file),
        park_for: table.duration("park_for").unwrap_or(Duration::from_secs(900)),
        send_user_agent: table.boolean("send_user_agent"),
        timeout: table.duration("timeout").unwrap_or(Duration::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_page_has_scheme_host_and_port() {
        assert_eq!(parse_url("https://Wiki.Example/x?y").unwrap(), ("https", "wiki.example".into(), 443));
        assert_eq!(parse_url("http://[2001:db8::1]:8080/").unwrap(), ("http", "2001:db8::1".into(), 8080));
        assert_eq!(parse_url("https://wiki:8443").unwrap(), ("https", "wiki".into(), 8443));
        for wrong in ["wiki.example", "ftp://wiki/", "https://", "https://u@wiki/", "https://wiki:0/", "https://wi ki/"]
        {
            assert!(parse_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tags_name_the_port_only_where_it_is_not_the_schemes_own() {
        let of = |url: &str, address: Option<&str>| {
            let (scheme, host, port) = parse_url(url).unwrap();
            WebEndpoint {
                url: url.into(),
                scheme,
                host,
                port,
                address: address.map(str::to_owned),
                allow_hosts: vec![("cdn.example".into(), 443)],
                trust: Trust::System,
                ca_file: None,
                park_for: Duration::ZERO,
                send_user_agent: false,
                timeout: Duration::ZERO,
            }
        };
        assert_eq!(of("https://wiki.example/", None).authority(), "wiki.example");
        let odd = of("https://wiki.example:8443/", Some("127.0.0.1"));
        assert_eq!(
            (odd.authority().as_str(), odd.address_authority().as_str()),
            ("wiki.example:8443", "127.0.0.1:8443")
        );
        let hosts: Vec<_> = odd.allowed().into_iter().map(|allowed| (allowed.host, allowed.port)).collect();
        let expected = [("wiki.example", 8443), ("127.0.0.1", 8443), ("cdn.example", 443)];
        assert_eq!(hosts, expected.map(|(host, port)| (host.to_owned(), port)));
    }
}

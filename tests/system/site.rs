//! A small web application on loopback, over TLS: a login with password and code, a page to change the password, and habits of
//! pages that a browser meets.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rotord::totp::Seed;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::lab::unix_now;

/// The first password of `alice`.
pub const FIRST: &str = "First-Needle-11";
/// Her seed, with a short step.
pub const SEED: &str = "JBSWY3DPEHPK3PXP";
/// The seconds of its step.
pub const PERIOD: u64 = 3;

/// What the application has and does.
#[derive(Default)]
pub struct Site {
    pub password: String,
    /// Time steps of codes that were taken: each is taken once.
    pub used: BTreeSet<u64>,
    /// A code was sent twice.
    pub replayed: bool,
    /// How often a new password was set.
    pub changes: u32,
    pub logins: u32,
    pub refused: u32,
    /// More markup of every page.
    pub extra: String,
    /// A puzzle stands before the login.
    pub puzzle: bool,
    pub solved: bool,
    /// The change page has no such field any more.
    pub renamed: bool,
    /// It says that it took the new password, and keeps the old one.
    pub lies: bool,
    /// The new password is refused in red.
    pub strict: bool,
    /// The form of the code takes no code.
    pub refuses_codes: bool,
    /// Each page asks for a user and a password by HTTP.
    pub asks_by_http: bool,
    /// Whether a request came with credentials of HTTP.
    pub has_credentials: bool,
    /// Forms stand in a shadow tree of this mode.
    pub shadow: Option<&'static str>,
    /// The answer to a change is a file, and no page.
    pub changes_by_file: bool,
    /// The answer to a login is a file, and no page.
    pub login_by_file: bool,
    /// Each page has a service worker installed that answers in the application's place: everybody is welcome, and each change is done.
    pub worker: bool,
    /// Where the login leads to, in place of its own page.
    pub leads_to: Option<String>,
    /// Never answers the request that changes.
    pub hangs: bool,
    /// From this connection on it shows another certificate of the same key and authority.
    pub other_certificate_from: Option<usize>,
    /// Paths that were asked for.
    pub asked: Vec<String>,
    sessions: BTreeMap<String, bool>,
}

/// The application's template.
pub const TEMPLATE: &str = r##"start-at https://[#HOSTNAME#]/login
timeout 6000
section login
new-action
fill "#user" [#USERNAME#]
fill "#password" [#CURRENT_PASSWORD#]
click "#go"
new-action
fill "#code" [#TOTP_TOKEN#]
click "#go"
test-selector "#welcome"
section change
set-location /change
new-action
fill "#new" [#NEW_PASSWORD#]
fill "#again" [#NEW_PASSWORD#]
click "#save"
test-text "Your password has been changed"
"##;

/// What is imported of its account.
pub fn rows() -> String {
    format!("account,password,totp\nwiki/alice,{FIRST},otpauth://totp/x?secret={SEED}&period={PERIOD}\n")
}

/// A running application.
pub struct Web {
    pub port: u16,
    pub site: Arc<Mutex<Site>>,
    /// Its authority, in PEM.
    pub authority: String,
    /// The SHA-256 of its certificate, in hexadecimal.
    #[allow(dead_code)]
    pub fingerprint: String,
}

impl Web {
    pub fn start() -> Self {
        let mut of_authority = CertificateParams::new(Vec::new()).unwrap();
        of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(of_authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = vec!["wiki.example".to_owned(), "127.0.0.1".to_owned()];
        let signed = || CertificateParams::new(names.clone()).unwrap().signed_by(&key, &authority).unwrap();
        let (certificate, other) = (signed(), signed());
        let serving = |certificate: &rcgen::Certificate| {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
            let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
                .unwrap();
            Arc::new(config)
        };
        let configs = [serving(&certificate), serving(&other)];
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let site = Arc::new(Mutex::new(Site { password: FIRST.into(), ..Site::default() }));
        let shared = site.clone();
        std::thread::spawn(move || {
            for (number, socket) in listener.incoming().flatten().enumerate() {
                let is_other = shared.lock().unwrap().other_certificate_from.is_some_and(|from| number >= from);
                let (config, site) = (configs[usize::from(is_other)].clone(), shared.clone());
                std::thread::spawn(move || {
                    let connection = ServerConnection::new(config).unwrap();
                    // Whoever hangs up in the middle is not waited for.
                    let _ = serve(StreamOwned::new(connection, socket), &site);
                });
            }
        });
        let digest = <sha2::Sha256 as sha2::Digest>::digest(certificate.der());
        let fingerprint = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { port, site, authority: authority.pem(), fingerprint }
    }

    pub fn site(&self) -> MutexGuard<'_, Site> {
        self.site.lock().unwrap()
    }

    /// A Unix socket leads to it too, for a machine with a network of its own.
    pub fn reached_by(&self, path: &Path) {
        let (listener, port) = (UnixListener::bind(path).unwrap(), self.port);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (mut from_server, mut to_client) = (server, client);
                // Each way ends with its own end, and takes the other's along.
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from_client, &mut to_server);
                    let _ = to_server.shutdown(std::net::Shutdown::Write);
                });
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from_server, &mut to_client);
                    let _ = to_client.shutdown(std::net::Shutdown::Both);
                });
            }
        });
    }

    /// The device's section of a config, its authority in a file of the folder.
    pub fn section(&self, folder: &Path, more: &str) -> String {
        std::fs::write(folder.join("authority.pem"), &self.authority).unwrap();
        format!(
            "[device.wiki]\nkind = \"web\"\nurl = \"https://wiki.example:{}/\"\naddress = \"127.0.0.1\"\ntemplate = \"site\"\nca_file = \"authority.pem\"\n{more}\n[account.\"wiki/alice\"]\n",
            self.port
        )
    }
}

struct Asked {
    method: String,
    path: String,
    cookie: String,
    has_credentials: bool,
    form: BTreeMap<String, String>,
}

fn unescape(text: &str) -> String {
    let (mut out, mut bytes) = (Vec::new(), text.bytes());
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits: String = bytes.by_ref().take(2).map(char::from).collect();
                out.push(u8::from_str_radix(&digits, 16).unwrap());
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).unwrap()
}

fn fields(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (unescape(name), unescape(value))).collect()
}

fn read_request(reader: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut cookie, mut length, mut has_credentials) = (String::new(), 0, false);
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "cookie" => cookie = value.split("s=").nth(1).unwrap_or_default().split(';').next()?.trim().to_owned(),
            "authorization" => has_credentials = true,
            "content-length" => length = value.trim().parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let form = fields(&String::from_utf8(body).ok()?);
    Some(Asked { method, path, cookie, has_credentials, form })
}

fn serve(stream: StreamOwned<ServerConnection, TcpStream>, site: &Mutex<Site>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let Some(asked) = read_request(&mut reader) else { return Ok(()) };
    let Some(answer) = answer(&asked, site) else {
        std::thread::sleep(std::time::Duration::from_secs(600));
        return Ok(());
    };
    let stream = reader.get_mut();
    stream.write_all(answer.as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// What the service worker answers without asking the application.
const WORKER: &str = r#"
self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', event => event.waitUntil(self.clients.claim()));
const page = text => new Response(`<!DOCTYPE html><title>From the worker</title><body>${text}`, { headers: { 'content-type': 'text/html' } });
self.addEventListener('fetch', event => {
  const { pathname } = new URL(event.request.url);
  if (pathname === '/home') event.respondWith(page('<p id=welcome>Welcome, alice</p>'));
  if (pathname === '/changed') event.respondWith(page('<p id=done>Your password has been changed.</p>'));
});
"#;
/// Has it installed before the page's buttons are there.
const INSTALL: &str = "<script>const forms = document.querySelectorAll('form'); for (const form of forms) form.hidden = true; navigator.serviceWorker.register('/sw.js').then(() => navigator.serviceWorker.ready).then(() => { for (const form of forms) form.hidden = false; })</script>";

/// A file that a browser stores, and does not show.
const FILE: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=recovery-codes.bin\r\nContent-Length: 5\r\nConnection: close\r\n\r\n12345";

fn page(site: &Site, title: &str, body: &str) -> String {
    let in_shadow = |mode: &str| {
        format!(
            "<div id=host></div><template id=t>{body}</template><script>document.getElementById('host').attachShadow({{ mode: '{mode}' }}).append(document.getElementById('t').content)</script>"
        )
    };
    let body = &site.shadow.filter(|_| body.contains("<form")).map_or_else(|| body.to_owned(), in_shadow);
    let install = if site.worker { INSTALL } else { "" };
    let body = format!(
        "<!DOCTYPE html><html><head><title>{title}</title><link rel=icon href=data:,></head><body><h1>{title}</h1>{body}{install}{}</body></html>",
        site.extra
    );
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn redirect(to: &str, cookie: Option<&str>) -> String {
    let cookie =
        cookie.map_or_else(String::new, |value| format!("Set-Cookie: s={value}; Path=/; Secure; HttpOnly\r\n"));
    format!("HTTP/1.1 303 See Other\r\nLocation: {to}\r\n{cookie}Content-Length: 0\r\nConnection: close\r\n\r\n")
}

const LOGIN: &str = "<form method=post action=/login><label>User <input id=user name=user></label><label>Password <input id=password name=password type=password></label><button id=go>Sign in</button></form>";
const CODE: &str = "<form method=post action=/code><label>Code <input id=code name=code autocomplete=one-time-code></label><button id=go>Verify</button></form>";
const CHANGE: &str = "<form method=post action=/change><input id=new name=new type=password><input id=again name=again type=password><button id=save>Save</button></form>";
const PUZZLE: &str = "<div class=g-recaptcha><p>I am not a robot</p><form method=post action=/solve><input type=checkbox id=robot><button id=solved>Go on</button></form></div>";

fn answer(asked: &Asked, site: &Mutex<Site>) -> Option<String> {
    let mut site = site.lock().unwrap();
    site.asked.push(asked.path.clone());
    site.has_credentials |= asked.has_credentials;
    if site.asks_by_http {
        return Some("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"wiki\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into());
    }
    let path = asked.path.split('?').next().unwrap();
    let in_session = site.sessions.get(&asked.cookie).copied();
    let is_post = asked.method == "POST";
    let field = |name: &str| asked.form.get(name).cloned().unwrap_or_default();
    Some(match (path, is_post) {
        ("/sw.js", false) => format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{WORKER}",
            WORKER.len()
        ),
        ("/login", true) if site.login_by_file => FILE.into(),
        ("/solve", true) => {
            site.solved = true;
            redirect("/login", None)
        }
        ("/" | "/login", false) if site.puzzle && !site.solved => page(&site, "Are you human", PUZZLE),
        ("/" | "/login", false) => page(&site, "Login", LOGIN),
        ("/login", true) if field("user") == "alice" && field("password") == site.password => {
            let id = format!("{:x}", site.sessions.len() + 0xabc0);
            site.sessions.insert(id.clone(), false);
            redirect("/code", Some(&id))
        }
        ("/login", true) => {
            site.refused += 1;
            let body = format!("<p class=error>Incorrect username or password.</p>{LOGIN}");
            page(&site, "Login", &body)
        }
        ("/code", false) if in_session.is_some() => page(&site, "One-time code", CODE),
        ("/code", true) if in_session.is_some() => {
            if !site.refuses_codes && takes(&mut site, &field("code")) {
                site.logins += 1;
                site.sessions.insert(asked.cookie.clone(), true);
                redirect(site.leads_to.as_deref().unwrap_or("/home"), None)
            } else {
                site.refused += 1;
                page(&site, "One-time code", &format!("<p class=error>Invalid token.</p>{CODE}"))
            }
        }
        ("/home", false) if in_session == Some(true) => page(&site, "Home", "<p id=welcome>Welcome, alice</p>"),
        ("/change", false) if in_session == Some(true) => {
            let form = if site.renamed { CHANGE.replace("id=new", "id=new_password") } else { CHANGE.to_owned() };
            page(&site, "Change password", &form)
        }
        ("/change", true) if in_session == Some(true) => {
            if site.hangs {
                site.password = field("new");
                site.changes += 1;
                return None;
            }
            if site.strict || field("new") != field("again") {
                let body = format!("<p class=error>The new password is too weak.</p>{CHANGE}");
                return Some(page(&site, "Change password", &body));
            }
            if !site.lies {
                site.password = field("new");
                site.changes += 1;
            }
            if site.changes_by_file { FILE.into() } else { redirect("/changed", None) }
        }
        ("/changed", false) => page(&site, "Done", "<p id=done>Your password has been changed.</p>"),
        ("/never", _) => return None,
        _ => redirect("/login", None),
    })
}

/// Whether a code is one of the present step or its neighbours, and was not taken before.
fn takes(site: &mut Site, code: &str) -> bool {
    let seed = Seed::parse(&format!("otpauth://totp/x?secret={SEED}&period={PERIOD}")).unwrap();
    let now = unix_now() / PERIOD;
    let Some(step) = [now, now - 1, now + 1].into_iter().find(|step| seed.code(*step).expose() == code) else {
        return false;
    };
    let is_new = site.used.insert(step);
    site.replayed |= !is_new;
    is_new
}

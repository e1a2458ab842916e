//! `[notify.NAME]`: who is told what, and how.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveTime;
use hyper::Uri;
use nix::unistd::{Uid, User};
use toml::de::DeTable;

use super::build::Named;
use super::table::{At, Table};
use crate::files::user_name;
use crate::model::{EventKind, Topic, Urgency, glob_match, nearest};

/// A text that does not stand in the config: a URL with a token in it, a key, a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file that nobody else can read.
    File(PathBuf),
    /// A credential that systemd passes (`LoadCredential=`, see systemd.exec(5)).
    Credential(String),
}

/// The form of a webhook's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// rotord's own.
    Json,
    /// An incoming webhook of Slack.
    Slack,
    /// An incoming webhook of Mattermost.
    Mattermost,
    /// A workflow of Teams.
    Teams,
    /// The Events API v2 of PagerDuty.
    PagerDuty,
}

impl Preset {
    const NAMES: &[(&str, Self)] = &[
        ("json", Self::Json),
        ("slack", Self::Slack),
        ("mattermost", Self::Mattermost),
        ("teams", Self::Teams),
        ("pagerduty", Self::PagerDuty),
    ];
}

/// Where a webhook is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A URL with no secret in it.
    Url(String),
    /// A URL that is a secret itself.
    Secret(SecretSource),
}

/// How syslog is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyslogTransport {
    /// RFC 5426.
    Udp,
    /// RFC 6587, with octet counting.
    Tcp,
    /// RFC 5425.
    Tls,
}

/// How a connection for mail is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTransport {
    /// Not at all: to this host alone.
    Plain,
    /// STARTTLS, which the server must offer (RFC 3207).
    StartTls,
    /// TLS from the first byte (RFC 8314).
    Tls,
}

/// A facility of syslog (RFC 5424, 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Facility {
    /// `daemon`
    Daemon,
    /// `auth`
    Auth,
    /// `authpriv`
    AuthPriv,
    /// `local0` to `local7`
    Local(u8),
}

impl Facility {
    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Daemon => 3,
            Self::Auth => 4,
            Self::AuthPriv => 10,
            Self::Local(number) => 16 + number.min(7),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("local").and_then(|number| number.parse().ok())) {
            ("daemon", _) => Ok(Self::Daemon),
            ("auth", _) => Ok(Self::Auth),
            ("authpriv", _) => Ok(Self::AuthPriv),
            (_, Some(number @ 0..=7)) => Ok(Self::Local(number)),
            _ => Err("the facilities are daemon, auth, authpriv and local0 to local7".into()),
        }
    }
}

/// How a notifier is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    /// A request of HTTP.
    Webhook {
        /// Where.
        place: Place,
        /// The form of its body.
        preset: Preset,
        /// The key that signs bodies; PagerDuty's routing key.
        key: Option<SecretSource>,
        /// A token for the header `Authorization: Bearer`.
        token: Option<SecretSource>,
        /// The authorities that are trusted; the system's where `None`.
        ca_file: Option<PathBuf>,
    },
    /// Mail.
    Email {
        /// HOST:PORT.
        server: (String, u16),
        /// How the connection is secured.
        transport: MailTransport,
        /// Who it is from.
        from: String,
        /// Who gets it.
        to: Vec<String>,
        /// Who logs in, and the password.
        login: Option<(String, SecretSource)>,
        /// The authorities that are trusted; the system's where `None`.
        ca_file: Option<PathBuf>,
    },
    /// Syslog, as text or as CEF.
    Syslog {
        /// HOST:PORT.
        server: (String, u16),
        /// How it is carried.
        transport: SyslogTransport,
        /// Its facility.
        facility: Facility,
        /// Whether its text is in the Common Event Format.
        cef: bool,
        /// The authorities that are trusted; the system's where `None`.
        ca_file: Option<PathBuf>,
    },
    /// A program.
    Command {
        /// The program and its arguments.
        command: Vec<String>,
        /// As whom it runs: another user where the daemon is root, else nobody but the daemon's own.
        user: Option<String>,
        /// How long it may run.
        timeout: Duration,
    },
}

/// Which events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyFilter {
    /// Globs over topics and the audit log's event names; all where empty.
    pub events: Vec<String>,
    /// Globs over devices; all, and what is about none, where empty.
    pub devices: Vec<String>,
    /// Globs over accounts; the same.
    pub accounts: Vec<String>,
    /// Nothing less urgent.
    pub severity: Urgency,
}

impl Default for NotifyFilter {
    fn default() -> Self {
        Self { events: Vec::new(), devices: Vec::new(), accounts: Vec::new(), severity: Urgency::Warning }
    }
}

/// `[notify.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notifier {
    /// Its name.
    pub name: String,
    /// How it is told.
    pub channel: Channel,
    /// Of what.
    pub filter: NotifyFilter,
    /// How long what is told waits for its like; zero where each event is a message of its own.
    pub fold: Duration,
    /// When the daily digest is sent, in the zone of `timezone`.
    pub digest: Option<NaiveTime>,
    /// So many notices wait at the most.
    pub backlog: usize,
}

/// The longest that an answer to `rotorctl notify test` and a program take.
const LONGEST: Duration = Duration::from_secs(600);

const NO_SECRET: &str = "this URL holds a secret (a token in its path, a query, or a user), and none stands in a config file: write the URL to a file of mode 0600, and name that with url_file = \"/etc/rotord/NAME.url\", or pass it as a credential with url_credential = \"NAME.url\"";

/// Whether a URL holds what only who may send should know: a user, a query, or a part of the path that looks random.
#[must_use]
pub fn holds_secret(url: &Uri) -> bool {
    let has_user = url.authority().is_some_and(|authority| authority.as_str().contains('@'));
    let random = |part: &str| {
        let (digits, letters) =
            (part.bytes().any(|byte| byte.is_ascii_digit()), part.bytes().any(|byte| byte.is_ascii_alphabetic()));
        part.len() >= 16 && digits && letters || part.len() >= 24 && !part.contains(['-', '_', '.'])
    };
    // Where the whole path is the secret, as those services document it.
    let host = url.host().unwrap_or_default();
    let by_service = ["hooks.slack.com", ".webhook.office.com", ".logic.azure.com", "discord.com"]
        .iter()
        .any(|known| host.ends_with(known));
    has_user || url.query().is_some() || by_service || url.path().split('/').any(random)
}

/// A URL that a webhook can have.
///
/// # Errors
/// Says what is wrong with it, and nothing of it.
pub fn parse_url(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|_| "this is no URL such as https://alerts.example.org/rotord".to_owned())?;
    match url.scheme_str() {
        Some("https") => {}
        Some("http") if is_here(url.host().unwrap_or_default()) => {}
        Some("http") => {
            return Err(
                "what goes over http:// can be read and changed on its way: use https://, or a receiver on this host"
                    .into(),
            );
        }
        _ => return Err("this is no URL such as https://alerts.example.org/rotord".into()),
    }
    if url.host().is_none_or(str::is_empty) {
        return Err("this URL names no host".into());
    }
    Ok(url)
}

/// Whether a host is this one.
#[must_use]
pub fn is_here(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// HOST:PORT, or [HOST]:PORT.
fn parse_server(text: &str, default: u16) -> Result<(String, u16), String> {
    let wrong = || format!("write it as \"HOST:PORT\", such as \"mail.example.org:{default}\"");
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || "/@?#".contains(c)) {
        return Err(wrong());
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(wrong)?;
            (host, after.strip_prefix(':').map_or_else(|| if after.is_empty() { Ok("") } else { Err(wrong()) }, Ok)?)
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let port = if port.is_empty() { default } else { port.parse().map_err(|_| wrong())? };
    if host.is_empty() || host.contains(':') && !text.starts_with('[') || port == 0 {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

/// A choice among words.
fn choice<T: Copy>(table: &mut Table<'_>, key: &'static str, words: &'static [(&'static str, T)], default: T) -> T {
    let parsed = table.parsed(key, |text| {
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        let known = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| format!("\"{}\" is none of {}", text.escape_debug(), known()))
    });
    parsed.map_or(default, |(value, _)| value)
}

/// A secret from a file or from a credential.
fn secret(table: &mut Table<'_>, file: &'static str, credential: &'static str, base: &Path) -> Option<SecretSource> {
    let (path, name) = (table.path(file, base), table.string(credential));
    if let (Some((_, span)), Some(_)) = (&path, &name) {
        table.report.error(span.clone(), "C005", format!("'{file}' and '{credential}' exclude each other; keep one"));
    }
    if let Some((text, span)) = &name
        && (text.is_empty() || text.contains('/'))
    {
        table.report.error(span.clone(), "C005", "a credential's name has no '/'");
    }
    path.map(|(path, _)| SecretSource::File(path)).or(name.map(|(name, _)| SecretSource::Credential(name)))
}

fn webhook(table: &mut Table<'_>, base: &Path) -> Option<Channel> {
    let preset = choice(table, "preset", Preset::NAMES, Preset::Json);
    let url = table.string("url");
    let secret_url = secret(table, "url_file", "url_credential", base);
    let key = secret(table, "key_file", "key_credential", base);
    let token = secret(table, "token_file", "token_credential", base);
    let ca_file = table.path("ca_file", base).map(|(path, _)| path);
    let place = match (url, secret_url) {
        (Some((_, span)), Some(_)) => {
            table.report.hidden_error(
                span,
                "C005",
                "'url' and 'url_file' or 'url_credential' exclude each other; keep one",
            );
            return None;
        }
        (Some((text, span)), None) => match parse_url(&text) {
            Ok(url) if holds_secret(&url) => {
                table.report.hidden_error(span, "C003", NO_SECRET);
                return None;
            }
            Ok(_) => Place::Url(text),
            Err(why) => {
                table.report.hidden_error(span, "C005", format!("'url': {why}"));
                return None;
            }
        },
        (None, Some(secret)) => Place::Secret(secret),
        (None, None) if preset == Preset::PagerDuty => Place::Url("https://events.pagerduty.com/v2/enqueue".into()),
        (None, None) => {
            table.missing("url", "\"https://alerts.example.org/rotord\" (or url_file, where the URL is a secret)");
            return None;
        }
    };
    if preset == Preset::PagerDuty && key.is_none() {
        table.missing("key_file", "\"/etc/rotord/pagerduty.key\" (a file with the integration's routing key)");
    }
    Some(Channel::Webhook { place, preset, key, token, ca_file })
}

/// A key that must be there, read by `parse`.
fn required<T>(
    table: &mut Table<'_>,
    key: &'static str,
    example: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<At<T>> {
    if !table.has(key) {
        table.missing(key, example);
    }
    table.parsed(key, parse)
}

/// An address of mail: one `@`, and nothing that could end it in a mail's head.
fn parse_mailbox(text: &str) -> Result<String, String> {
    text.parse::<lettre::Address>()
        .map(|address| address.to_string())
        .map_err(|_| format!("\"{}\" is no address such as \"oncall@example.org\"", text.escape_debug()))
}

fn email(table: &mut Table<'_>, base: &Path) -> Option<Channel> {
    const WORDS: &[(&str, MailTransport)] =
        &[("starttls", MailTransport::StartTls), ("tls", MailTransport::Tls), ("plain", MailTransport::Plain)];
    let transport = choice(table, "transport", WORDS, MailTransport::StartTls);
    let port = match transport {
        MailTransport::StartTls => 587,
        MailTransport::Tls => 465,
        MailTransport::Plain => 25,
    };
    let server = required(table, "server", "\"mail.example.org:587\"", |text| parse_server(text, port));
    if let Some(((host, _), span)) = &server
        && transport == MailTransport::Plain
        && !is_here(host)
    {
        table.report.error(
            span.clone(),
            "C005",
            "without TLS mail goes to this host alone; use transport = \"starttls\"",
        );
    }
    let from = required(table, "from", "\"rotord@example.org\"", parse_mailbox).map(|(from, _)| from);
    let mut to = Vec::new();
    let listed = table.strings("to").unwrap_or_default();
    if listed.is_empty() {
        table.missing("to", "[\"oncall@example.org\"]");
    }
    for (text, span) in listed {
        match parse_mailbox(&text) {
            Ok(address) => to.push(address),
            Err(why) => table.report.error(span, "C005", format!("'to': {why}")),
        }
    }
    let user = table.string("user");
    let password = secret(table, "password_file", "password_credential", base);
    let ca_file = table.path("ca_file", base).map(|(path, _)| path);
    let login = match (user, password) {
        (Some((user, _)), Some(password)) => Some((user, password)),
        (Some((_, span)), None) => {
            table.report.error(span, "C006", "'user' needs 'password_file', a file of mode 0600 with the password");
            None
        }
        (None, Some(_)) => {
            table.missing("user", "\"rotord\"");
            None
        }
        (None, None) => None,
    };
    Some(Channel::Email { server: server?.0, transport, from: from?, to, login, ca_file })
}

fn syslog(table: &mut Table<'_>, base: &Path, cef: bool) -> Option<Channel> {
    const WORDS: &[(&str, SyslogTransport)] =
        &[("tls", SyslogTransport::Tls), ("tcp", SyslogTransport::Tcp), ("udp", SyslogTransport::Udp)];
    let transport = choice(table, "transport", WORDS, SyslogTransport::Tls);
    let port = match transport {
        SyslogTransport::Tls => 6514,
        SyslogTransport::Tcp => 601,
        SyslogTransport::Udp => 514,
    };
    let server = required(table, "server", "\"logs.example.org:6514\"", |text| parse_server(text, port));
    let facility = table.parsed("facility", Facility::parse).map_or(Facility::Daemon, |(facility, _)| facility);
    let ca_file = table.path("ca_file", base).map(|(path, _)| path);
    Some(Channel::Syslog { server: server?.0, transport, facility, cef, ca_file })
}

fn command(table: &mut Table<'_>, runs_as: Uid) -> Option<Channel> {
    let words = table.strings("command").unwrap_or_default();
    let (has_user, user, timeout) = (table.has("user"), table.name("user", known_user), table.duration("timeout"));
    let Some((program, span)) = words.first() else {
        table.missing("command", "[\"/usr/local/bin/on-rotord-event\"]");
        return None;
    };
    if !program.starts_with('/') {
        table.report.error(
            span.clone(),
            "C005",
            "'command': no shell looks for it; write the whole path of the program, from '/' on",
        );
    }
    match &user {
        None if runs_as.is_root() && !has_user => {
            table.missing("user", "\"nobody\" (where the daemon is root, a program runs as somebody else)");
        }
        Some(((name, uid), span)) => {
            if let Err(why) = may_become(runs_as, *uid, name) {
                table.report.error(span.clone(), "C005", format!("'user': {why}"));
            }
        }
        None => {}
    }
    let timeout = timeout.unwrap_or(Duration::from_secs(30)).clamp(Duration::from_secs(1), LONGEST);
    Some(Channel::Command {
        command: words.into_iter().map(|(word, _)| word).collect(),
        user: user.map(|((name, _), _)| name),
        timeout,
    })
}

fn known_user(name: &str) -> Result<(String, Uid), String> {
    match User::from_name(name) {
        Ok(Some(user)) if user.uid.is_root() => Err("a program that is told of events does not run as root".into()),
        Ok(Some(user)) => Ok((name.to_owned(), user.uid)),
        _ => Err(format!("this host has no user \"{}\"", name.escape_debug())),
    }
}

/// Whether a daemon of one user can start a program as another one.
///
/// # Errors
/// It cannot: why, and what to write instead.
fn may_become(daemon: Uid, user: Uid, name: &str) -> Result<(), String> {
    if daemon.is_root() || daemon == user {
        return Ok(());
    }
    let own = user_name(daemon.as_raw());
    Err(format!(
        "the daemon runs as {own}, and only root can start a program as {}; remove 'user', and the program runs as {own}",
        name.escape_debug()
    ))
}

/// The globs of `events`: each means a topic or a kind of event that there is.
fn events(globs: Vec<At<String>>, table: &Table<'_>) -> Vec<String> {
    let known = || Topic::ALL.iter().map(|topic| topic.as_str()).chain(EventKind::ALL.iter().map(|kind| kind.as_str()));
    for (glob, span) in &globs {
        if !known().any(|name| glob_match(glob, name)) {
            let hint = nearest(glob, known()).map_or_else(
                || format!("the topics are {}", Topic::ALL.map(Topic::as_str).join(", ")),
                |known| format!("did you mean '{known}'?"),
            );
            table.report.error(
                span.clone(),
                "C007",
                format!("'events': there is no event '{}'; {hint}", glob.escape_debug()),
            );
        }
    }
    globs.into_iter().map(|(glob, _)| glob).collect()
}

const KINDS: &[&str] = &["webhook", "email", "syslog", "cef", "command"];

fn notifier(name: String, mut table: Table<'_>, base: &Path, runs_as: Uid) -> Option<Notifier> {
    let has_kind = table.has("kind");
    let kind = table.parsed("kind", |text| {
        let found = KINDS.iter().find(|kind| **kind == text);
        found.copied().ok_or_else(|| format!("the kinds are {}", KINDS.join(", ")))
    });
    if !has_kind {
        table.missing("kind", "\"webhook\"");
    }
    let (kind, _) = kind?;
    let channel = match kind {
        "webhook" => webhook(&mut table, base),
        "email" => email(&mut table, base),
        "syslog" | "cef" => syslog(&mut table, base, kind == "cef"),
        _ => command(&mut table, runs_as),
    };
    let globs = table.strings("events").unwrap_or_default();
    let filter = NotifyFilter {
        events: events(globs, &table),
        devices: table.names("devices").unwrap_or_default().into_iter().map(|(glob, _)| glob).collect(),
        accounts: table.names("accounts").unwrap_or_default().into_iter().map(|(glob, _)| glob).collect(),
        severity: table
            .parsed("severity", |text| {
                Urgency::parse(text)
                    .ok_or_else(|| format!("the severities are {}", Urgency::ALL.map(Urgency::as_str).join(", ")))
            })
            .map_or(Urgency::Warning, |(severity, _)| severity),
    };
    // People read what is folded; programs get each event, and PagerDuty puts those of one key together itself.
    let for_programs = match &channel {
        Some(Channel::Webhook { preset, .. }) => matches!(preset, Preset::Json | Preset::PagerDuty),
        Some(Channel::Email { .. }) => false,
        _ => true,
    };
    let fold = table.duration("fold").unwrap_or(Duration::from_secs(if for_programs { 0 } else { 120 }));
    let digest = table.parsed("digest", |text| {
        NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| "write a time of day, such as \"07:00\"".to_owned())
    });
    let backlog = table.size("backlog", 10, 1_000_000).unwrap_or(10_000);
    table.finish();
    Some(Notifier {
        name,
        channel: channel?,
        filter,
        fold: fold.min(Duration::from_secs(86_400)),
        digest: digest.map(|(time, _)| time),
        backlog,
    })
}

/// All of them.
pub(super) fn notifiers<'a>(
    named: Named<'a, &'a DeTable<'a>>,
    base: &Path,
    runs_as: Uid,
) -> BTreeMap<String, Arc<Notifier>> {
    let mut notifiers = BTreeMap::new();
    for (name, (table, report, span)) in named {
        let table = Table::new(table, span, format!("[notify.{name}]"), report);
        if let Some(notifier) = notifier(name.clone(), table, base, runs_as) {
            notifiers.insert(name, Arc::new(notifier));
        }
    }
    notifiers
}

impl Notifier {
    /// The files with secrets that it reads.
    #[must_use]
    pub fn secret_files(&self) -> Vec<&Path> {
        let sources: Vec<&SecretSource> = match &self.channel {
            Channel::Webhook { place, key, token, .. } => {
                let place = match place {
                    Place::Url(_) => None,
                    Place::Secret(source) => Some(source),
                };
                place.into_iter().chain(key).chain(token).collect()
            }
            Channel::Email { login, .. } => login.iter().map(|(_, source)| source).collect(),
            Channel::Syslog { .. } | Channel::Command { .. } => Vec::new(),
        };
        sources
            .into_iter()
            .filter_map(|source| match source {
                SecretSource::File(path) => Some(path.as_path()),
                SecretSource::Credential(_) => None,
            })
            .collect()
    }

    /// What it reads or runs that no other may change: authorities and programs.
    #[must_use]
    pub fn trusted_files(&self) -> Vec<&Path> {
        match &self.channel {
            Channel::Webhook { ca_file, .. } | Channel::Email { ca_file, .. } | Channel::Syslog { ca_file, .. } => {
                ca_file.iter().map(PathBuf::as_path).collect()
            }
            Channel::Command { command, .. } => command.first().map(Path::new).into_iter().collect(),
        }
    }

    /// Its kind, as the config has it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.channel {
            Channel::Webhook { .. } => "webhook",
            Channel::Email { .. } => "email",
            Channel::Syslog { cef: false, .. } => "syslog",
            Channel::Syslog { cef: true, .. } => "cef",
            Channel::Command { .. } => "command",
        }
    }
}

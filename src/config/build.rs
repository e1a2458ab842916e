//! From TOML tables to checked values, sections first and references between them last.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::table::{At, Report, Source, Table};
use super::{Access, Account, Config, Daemon, Device, Job, KeySource, Library};
use crate::dialogue::LoginFormat;
use crate::model::{AccountName, DeviceName, Problem, nearest};
use crate::policy::{MAX_CHANGES_PER_DAY, PasswordRules, Policy};
use crate::schedule::{Crontab, Window};

/// A reference to check once all sections are read.
struct Reference<'a> {
    report: Report<'a>,
    span: Range<usize>,
    key: &'static str,
}

impl Reference<'_> {
    fn unknown<'n>(&self, what: &str, name: &str, known: impl IntoIterator<Item = &'n str>) {
        let hint = nearest(name, known).map_or_else(String::new, |known| format!("; did you mean '{known}'?"));
        self.report.error(
            self.span.clone(),
            "C007",
            format!("'{}': there is no {what} '{}'{hint}", self.key, name.escape_debug()),
        );
    }
}

/// A named section and where it stands.
type Named<'a, T> = BTreeMap<String, (T, Report<'a>, Range<usize>)>;

#[derive(Default)]
struct Sections<'a> {
    daemon: Option<Table<'a>>,
    vault: Option<Table<'a>>,
    access: Option<Table<'a>>,
    policies: Named<'a, &'a DeTable<'a>>,
    devices: Named<'a, &'a DeTable<'a>>,
    accounts: Named<'a, &'a DeTable<'a>>,
    jobs: Named<'a, &'a DeTable<'a>>,
}

const SECTIONS: &[&str] = &["daemon", "vault", "access", "policy", "device", "account", "job"];

pub(super) fn build(path: &Path, sources: &[Source], problems: &mut Vec<Problem>) -> Option<Config> {
    let collected = RefCell::new(std::mem::take(problems));
    let documents: Vec<(&Source, Spanned<DeTable<'_>>)> = sources
        .iter()
        .map(|source| {
            let report = Report { source, problems: &collected };
            let (table, errors) = DeTable::parse_recoverable(&source.text);
            for error in errors {
                report.hidden_error(
                    error.span().unwrap_or(0..0),
                    "C001",
                    format!("this is no TOML: {}", error.message()),
                );
            }
            (source, table)
        })
        .collect();
    // What follows a slip is guesswork, and guesses may quote what should not be quoted.
    if collected.borrow().iter().any(|problem| problem.code == "C001") {
        *problems = collected.into_inner();
        return None;
    }
    let mut sections = Sections::default();
    for (source, document) in &documents {
        sections.read(document.get_ref(), Report { source, problems: &collected });
    }
    let config = sections.check(path.parent().unwrap_or(Path::new(".")), &collected);
    *problems = collected.into_inner();
    config
}

impl<'a> Sections<'a> {
    fn read(&mut self, document: &'a DeTable<'a>, report: Report<'a>) {
        for (key, value) in document {
            let name = key.get_ref().as_ref();
            if !SECTIONS.contains(&name) {
                let hint = nearest(name, SECTIONS.iter().copied()).map_or_else(
                    || format!("the sections are {}", SECTIONS.join(", ")),
                    |known| format!("did you mean '[{known}]'?"),
                );
                report.hidden_error(key.span(), "C002", format!("unknown section '{}'; {hint}", name.escape_debug()));
                continue;
            }
            let Some(table) = value.get_ref().as_table() else {
                report.hidden_error(key.span(), "C004", format!("'{name}' must be a section"));
                continue;
            };
            let single = |place: &mut Option<Table<'a>>| {
                if place.is_some() {
                    report.error(key.span(), "C008", format!("[{name}] stands in another file already"));
                } else {
                    *place = Some(Table::new(table, key.span(), format!("[{name}]"), report));
                }
            };
            match name {
                "daemon" => single(&mut self.daemon),
                "vault" => single(&mut self.vault),
                "access" => single(&mut self.access),
                "policy" => collect(&mut self.policies, table, name, report),
                "device" => collect(&mut self.devices, table, name, report),
                "account" => collect(&mut self.accounts, table, name, report),
                _ => collect(&mut self.jobs, table, name, report),
            }
        }
    }

    fn check(self, base: &Path, problems: &RefCell<Vec<Problem>>) -> Option<Config> {
        let daemon = daemon(self.daemon, base);
        let vault_key = vault(self.vault, base);
        let access = self.access.map(access).unwrap_or_default();
        let mut policies: BTreeMap<String, Arc<Policy>> = BTreeMap::new();
        policies.insert("default".into(), Arc::default());
        for (name, (table, report, span)) in self.policies {
            let table = Table::new(table, span, format!("[policy.{name}]"), report);
            policies.insert(name, Arc::new(policy(table)));
        }
        let mut library_problems = Vec::new();
        let library = Library::read(&daemon.template_dirs, &mut library_problems);
        problems.borrow_mut().extend(library_problems);
        let devices = devices(self.devices, &library, base);
        let accounts = accounts(self.accounts, &devices, &policies, &library);
        check_jumps(&devices, &accounts);
        let jobs = jobs(self.jobs, &accounts);
        Some(Config {
            daemon,
            vault_key,
            access,
            devices: devices.into_iter().map(|(name, (device, ..))| (name, device)).collect(),
            accounts: accounts.into_iter().map(|(name, (account, _))| (name, account)).collect(),
            jobs,
            library,
        })
    }
}

fn collect<'a>(into: &mut Named<'a, &'a DeTable<'a>>, table: &'a DeTable<'a>, kind: &str, report: Report<'a>) {
    for (key, value) in table {
        let name = key.get_ref().to_string();
        let DeValue::Table(inner) = value.get_ref() else {
            let example = if kind == "account" { "web1/admin" } else { "NAME" };
            report.hidden_error(
                key.span(),
                "C004",
                format!("a {kind} is a section of its own: [{kind}.\"{example}\"]"),
            );
            continue;
        };
        if let Some((_, first, _)) = into.get(&name) {
            let place = first.source.path.display();
            report.error(key.span(), "C008", format!("{kind} '{}' stands in {place} already", name.escape_debug()));
            continue;
        }
        into.insert(name, (inner, report, key.span()));
    }
}

fn resolve(base: &Path, text: &str) -> PathBuf {
    base.join(text)
}

fn daemon(table: Option<Table<'_>>, base: &Path) -> Daemon {
    let host_zone = || iana_time_zone::get_timezone().ok().and_then(|name| name.parse().ok()).unwrap_or(Tz::UTC);
    let mut daemon = Daemon {
        state_dir: "/var/lib/rotord".into(),
        socket: "/run/rotord/control.sock".into(),
        template_dirs: vec!["/etc/rotord/templates".into(), "/usr/share/rotord/templates".into()],
        timezone: Tz::UTC,
        max_concurrent: 64,
    };
    let Some(mut table) = table else {
        daemon.timezone = host_zone();
        return daemon;
    };
    if let Some((dir, _)) = table.string("state_dir") {
        daemon.state_dir = resolve(base, &dir);
    }
    if let Some((socket, _)) = table.string("socket") {
        daemon.socket = resolve(base, &socket);
    }
    if let Some(dirs) = table.strings("template_dirs") {
        for (dir, span) in &dirs {
            if !resolve(base, dir).is_dir() {
                table.report.warning(span.clone(), "C009", "this folder does not exist");
            }
        }
        daemon.template_dirs = dirs.iter().map(|(dir, _)| resolve(base, dir)).collect();
    }
    let zone = table.parsed("timezone", |text| {
        text.parse::<Tz>().map_err(|_| {
            let hint = nearest(text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
            format!(
                "\"{}\" is no time zone; {}",
                text.escape_debug(),
                hint.map_or("write one such as \"Europe/Berlin\"".into(), |z| format!("did you mean \"{z}\"?"))
            )
        })
    });
    daemon.timezone = zone.map_or_else(host_zone, |(zone, _)| zone);
    if let Some(most) = table.size("max_concurrent", 1, 10_000) {
        daemon.max_concurrent = most;
    }
    table.finish();
    daemon
}

fn vault(table: Option<Table<'_>>, base: &Path) -> KeySource {
    let default = KeySource::File("/etc/rotord/vault.key".into());
    let Some(mut table) = table else {
        return default;
    };
    let file = table.string("key_file");
    let credential = table.string("systemd_credential");
    let source = match (file, credential) {
        (Some((_, span)), Some(_)) => {
            table.report.error(span, "C005", "'key_file' and 'systemd_credential' exclude each other; keep one");
            default
        }
        (Some((file, _)), None) => KeySource::File(resolve(base, &file)),
        (None, Some((name, span))) => {
            if name.is_empty() || name.contains('/') {
                table.report.error(span, "C005", "a credential's name has no '/'");
            }
            KeySource::Credential(name)
        }
        (None, None) => default,
    };
    table.finish();
    source
}

fn access(mut table: Table<'_>) -> Access {
    let mut list = |key| table.strings(key).unwrap_or_default().into_iter().map(|(name, _)| name).collect();
    let access = Access { viewer: list("viewer"), operator: list("operator"), custodian: list("custodian") };
    table.finish();
    access
}

fn policy(mut table: Table<'_>) -> Policy {
    let default = Policy::default();
    let rules = PasswordRules::default();
    let password = PasswordRules {
        length: table.size("length", 8, 128).unwrap_or(rules.length),
        upper: table.size("upper", 0, 128).unwrap_or(rules.upper),
        lower: table.size("lower", 0, 128).unwrap_or(rules.lower),
        digits: table.size("digits", 0, 128).unwrap_or(rules.digits),
        symbols: table.size("symbols", 0, 128).unwrap_or(rules.symbols),
        symbol_set: table.string("symbol_set").map_or(rules.symbol_set, |(set, _)| set),
    };
    if let Err(message) = password.validate() {
        table.report.error(table.span.clone(), "C005", message);
    }
    let small = |number: Option<u64>, default: u32| number.and_then(|n| u32::try_from(n).ok()).unwrap_or(default);
    let policy = Policy {
        password,
        max_changes_per_day: small(
            table.number("max_changes_per_day", 1, u64::from(MAX_CHANGES_PER_DAY)),
            default.max_changes_per_day,
        ),
        min_age: table.duration("min_age").unwrap_or(default.min_age),
        max_age: table.duration("max_age"),
        history: table.size("history", 0, 100).unwrap_or(default.history),
        attempts: small(table.number("attempts", 1, 20), default.attempts),
        retry_after: table.duration("retry_after").unwrap_or(default.retry_after),
        failed_logins_per_hour: small(table.number("failed_logins_per_hour", 1, 10), default.failed_logins_per_hour),
    };
    table.finish();
    policy
}

type Devices<'a> = BTreeMap<DeviceName, (Arc<Device>, Option<Reference<'a>>)>;

fn devices<'a>(named: Named<'a, &'a DeTable<'a>>, library: &Library, base: &Path) -> Devices<'a> {
    let mut devices = BTreeMap::new();
    for (text, (table, report, span)) in named {
        let table = Table::new(table, span.clone(), format!("[device.{text}]"), report);
        match DeviceName::parse(&text) {
            Ok(name) => {
                let (device, jump) = device(table, name.clone(), library, base);
                devices.insert(name, (Arc::new(device), jump));
            }
            Err(error) => report.error(span, "C005", error.to_string()),
        }
    }
    devices
}

fn device<'a>(
    mut table: Table<'a>,
    name: DeviceName,
    library: &Library,
    base: &Path,
) -> (Device, Option<Reference<'a>>) {
    let report = table.report;
    let address = table.parsed("address", parse_address);
    if address.is_none() && table.string("address").is_none() {
        table.missing("address", "\"192.0.2.10:22\"");
    }
    let (host, port) = address.map_or((String::new(), 22), |(address, _)| address);
    let host_keys = table.strings("host_key").unwrap_or_default();
    for (key, span) in &host_keys {
        if key.strip_prefix("SHA256:").is_none_or(|hash| hash.trim_end_matches('=').len() != 43) {
            report.error(
                span.clone(),
                "C005",
                "a host key is given by its fingerprint, \"SHA256:\" and 43 characters; 'rotorctl trust' shows it",
            );
        }
    }
    let known_hosts = table.string("known_hosts").map(|(file, span)| {
        let file = resolve(base, &file);
        if !file.is_file() {
            report.warning(span, "C009", "this file does not exist, so no key in it is trusted");
        }
        file
    });
    let template = table.string("template");
    match &template {
        None => table.missing("template", "\"linux-passwd\""),
        Some((name, span)) => {
            if let Err(message) = library.find(name) {
                report.error(span.clone(), "C007", message);
            }
        }
    }
    let jump = table.parsed("jump", |text| DeviceName::parse(text).map_err(|error| error.to_string()));
    let jump_account = table.parsed("jump_account", |text| AccountName::parse(text).map_err(|error| error.to_string()));
    let device = Device {
        name,
        host,
        port,
        host_keys: host_keys.into_iter().map(|(key, _)| key.trim_end_matches('=').to_owned()).collect(),
        known_hosts,
        template: template.map(|(name, _)| name).unwrap_or_default(),
        jump: jump.as_ref().map(|(name, _)| name.clone()),
        jump_account: jump_account.map(|(name, _)| name),
        max_sessions: table.size("max_sessions", 1, 1000).unwrap_or(1),
        legacy_algorithms: table.boolean("legacy_algorithms"),
        login_format: table
            .parsed("login_format", |text| {
                LoginFormat::parse(text).ok_or_else(|| format!("the formats are {}", LoginFormat::NAMES.join(", ")))
            })
            .map_or(LoginFormat::Separate, |(format, _)| format),
        connect_timeout: table
            .duration("connect_timeout")
            .unwrap_or(Duration::from_secs(5))
            .max(Duration::from_secs(1)),
        fields: table.fields(),
    };
    table.finish();
    (device, jump.map(|(_, span)| Reference { report, span, key: "jump" }))
}

fn parse_address(text: &str) -> Result<(String, u16), String> {
    let wrong = || {
        format!(
            "\"{}\" is no address; write HOST:PORT, such as \"192.0.2.10:22\" or \"[2001:db8::1]:22\"",
            text.escape_debug()
        )
    };
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
        (host, rest.strip_prefix(':').unwrap_or(if rest.is_empty() { "22" } else { "" }))
    } else {
        text.rsplit_once(':').unwrap_or((text, "22"))
    };
    let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".:-_%".contains(c);
    if host.is_empty() || !host.chars().all(plain) || (host.contains(':') && !text.starts_with('[')) {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

type Accounts<'a> = BTreeMap<AccountName, (Arc<Account>, Vec<(AccountName, Reference<'a>)>)>;

fn accounts<'a>(
    named: Named<'a, &'a DeTable<'a>>,
    devices: &Devices<'_>,
    policies: &BTreeMap<String, Arc<Policy>>,
    library: &Library,
) -> Accounts<'a> {
    let mut accounts: Accounts<'a> = BTreeMap::new();
    for (text, (table, report, span)) in named {
        let mut table = Table::new(table, span.clone(), format!("[account.\"{text}\"]"), report);
        let name = match AccountName::parse(&text) {
            Ok(name) => name,
            Err(error) => {
                report.error(span, "C005", error.to_string());
                continue;
            }
        };
        let mut references = Vec::new();
        let mut reference = |key: &'static str, found: Option<At<AccountName>>| {
            found.map(|(account, span)| {
                references.push((account.clone(), Reference { report, span, key }));
                account
            })
        };
        let parse = |text: &str| AccountName::parse(text).map_err(|error| error.to_string());
        let login_as = reference("login_as", table.parsed("login_as", parse));
        let reconcile_as = reference("reconcile_as", table.parsed("reconcile_as", parse));
        let after = reference("after", table.parsed("after", parse));
        let policy = match table.string("policy") {
            None => policies.get("default").cloned(),
            Some((name, at)) => {
                if !policies.contains_key(&name) {
                    Reference { report, span: at, key: "policy" }.unknown(
                        "policy",
                        &name,
                        policies.keys().map(String::as_str),
                    );
                }
                policies.get(&name).cloned()
            }
        };
        let fields = table.fields();
        table.finish();
        let Some((device, _)) = devices.get(&name.device()) else {
            let known = devices.keys().map(DeviceName::as_str);
            Reference { report, span, key: "account" }.unknown("device", name.device().as_str(), known);
            continue;
        };
        let template = library.find(&device.template).ok().and_then(|entry| entry.template.clone());
        let (Some(policy), Some(template)) = (policy, template) else {
            continue;
        };
        let account = Account {
            name: name.clone(),
            policy,
            device: device.clone(),
            login_as,
            reconcile_as,
            after,
            fields,
            template,
        };
        accounts.insert(name, (Arc::new(account), references));
    }
    for (account, references) in accounts.values() {
        for (target, reference) in references {
            if !accounts.contains_key(target) {
                reference.unknown("account", target.as_str(), accounts.keys().map(AccountName::as_str));
            } else if reference.key == "login_as" && target.device() != account.name.device() {
                reference.report.error(
                    reference.span.clone(),
                    "C005",
                    "'login_as' must be an account of the same device",
                );
            } else if reference.key == "after" && in_cycle(&account.name, |name| accounts.get(name)?.0.after.clone()) {
                reference.report.error(reference.span.clone(), "C005", "'after' goes round in a circle");
            }
        }
    }
    accounts
}

fn in_cycle<T: PartialEq + Clone>(start: &T, next: impl Fn(&T) -> Option<T>) -> bool {
    let mut at = next(start);
    for _ in 0..10_000 {
        match at {
            None => return false,
            Some(name) if name == *start => return true,
            Some(name) => at = next(&name),
        }
    }
    true
}

fn check_jumps(devices: &Devices<'_>, accounts: &Accounts<'_>) {
    for (name, (device, reference)) in devices {
        let (Some(jump), Some(reference)) = (&device.jump, reference) else {
            continue;
        };
        let Some((gateway, _)) = devices.get(jump) else {
            reference.unknown("device", jump.as_str(), devices.keys().map(DeviceName::as_str));
            continue;
        };
        if in_cycle(name, |name| devices.get(name)?.0.jump.clone()) {
            reference.report.error(reference.span.clone(), "C005", "'jump' goes round in a circle");
        }
        let of_gateway = accounts.keys().filter(|account| account.device() == *jump).count();
        match &gateway.jump_account {
            Some(account) if !accounts.contains_key(account) || account.device() != *jump => {
                let message = format!("device '{jump}' has jump_account = \"{account}\", which is no account of it");
                reference.report.error(reference.span.clone(), "C007", message);
            }
            None if of_gateway != 1 => {
                let message = format!(
                    "device '{jump}' has {of_gateway} accounts; say which one logs in there: jump_account = \"{jump}/NAME\" in [device.{jump}]"
                );
                reference.report.error(reference.span.clone(), "C007", message);
            }
            _ => {}
        }
    }
}

fn jobs<'a>(named: Named<'a, &'a DeTable<'a>>, accounts: &Accounts<'_>) -> BTreeMap<String, Arc<Job>> {
    let mut jobs = BTreeMap::new();
    for (name, (table, report, span)) in named {
        let mut table = Table::new(table, span, format!("[job.{name}]"), report);
        let mut text = String::new();
        let schedule = table.parsed("schedule", |schedule| {
            text = schedule.to_owned();
            Crontab::parse(schedule).map_err(|error| error.to_string())
        });
        if text.is_empty() && schedule.is_none() {
            table.missing("schedule", "\"30 2 * * *\"");
        }
        let globs = table.strings("accounts").unwrap_or_default();
        if globs.is_empty() {
            table.missing("accounts", "[\"web*/admin\"]");
        }
        for (glob, span) in &globs {
            if !accounts.keys().any(|account| crate::model::glob_match(glob, account.as_str())) {
                report.warning(span.clone(), "C010", "this matches no account");
            }
        }
        let spread = table.duration("spread").unwrap_or_default();
        let window = table.parsed("window", Window::parse).map(|(window, _)| window);
        let on_signal = table.boolean("on_signal");
        let catch_up = table.boolean("catch_up");
        table.finish();
        let Some((schedule, _)) = schedule else {
            continue;
        };
        let accounts = globs.into_iter().map(|(glob, _)| glob).collect();
        let job =
            Job { name: name.clone(), schedule_text: text, schedule, accounts, spread, window, on_signal, catch_up };
        jobs.insert(name, Arc::new(job));
    }
    jobs
}

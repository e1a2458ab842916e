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

use super::accounts::{Accounts, accounts, check_jumps};
use super::devices::devices;
use super::guard::{Reader, runs_as};
use super::notify::notifiers;
use super::sources::{Source, hide_unknown_values};
use super::table::{Report, Table, parse_duration, unfit_for_a_name};
use super::zone::Host;
use super::{Access, Config, Daemon, Followers, Job, JobAction, KeySource, Library};
use crate::model::{Problem, Severity, folder_of, nearest};
use crate::policy::{MAX_CHANGES_PER_DAY, PasswordRules, Policy};
use crate::schedule::{Crontab, Window};
use crate::sealed::RecoveryKey;

/// A reference to check once all sections are read.
pub(super) struct Reference<'a> {
    pub(super) report: Report<'a>,
    pub(super) span: Range<usize>,
    pub(super) key: &'static str,
}

impl Reference<'_> {
    pub(super) fn unknown<'n>(&self, what: &str, name: &str, known: impl IntoIterator<Item = &'n str>) {
        let hint = nearest(name, known).map_or_else(String::new, |known| format!("; did you mean '{known}'?"));
        self.report.error(
            self.span.clone(),
            "C007",
            format!("'{}': there is no {what} '{}'{hint}", self.key, name.escape_debug()),
        );
    }
}

/// A named section and where it stands.
pub(super) type Named<'a, T> = BTreeMap<String, (T, Report<'a>, Range<usize>)>;

#[derive(Default)]
struct Sections<'a> {
    daemon: Option<Table<'a>>,
    vault: Option<Table<'a>>,
    access: Option<Table<'a>>,
    policies: Named<'a, &'a DeTable<'a>>,
    devices: Named<'a, &'a DeTable<'a>>,
    accounts: Named<'a, &'a DeTable<'a>>,
    jobs: Named<'a, &'a DeTable<'a>>,
    notifiers: Named<'a, &'a DeTable<'a>>,
}

const NAMES: &[&str] = &["daemon", "vault", "access", "policy", "device", "account", "job", "notify"];

pub(super) fn build(path: &Path, sources: &[Source], reader: Reader, problems: &mut Vec<Problem>) -> Option<Config> {
    let collected = RefCell::new(std::mem::take(problems));
    let documents: Vec<(&Source, Spanned<DeTable<'_>>)> = sources
        .iter()
        .map(|source| {
            let report = Report { source, problems: &collected };
            let (table, errors) = DeTable::parse_recoverable(&source.text);
            let mut told_to = 0;
            for error in errors {
                let span = error.span().unwrap_or(0..0);
                if error.message() == "duplicate key" {
                    // The keys of a section that is there twice are told of with it.
                    if span.start >= told_to {
                        let (message, end) = twice(&source.text, &span);
                        told_to = end;
                        report.hidden_error(span, "C001", message);
                    }
                    continue;
                }
                let escape = if ["escape", "unicode"].iter().any(|word| error.message().contains(word)) {
                    "; in double quotes a backslash begins an escape: write it twice, or write the text in single quotes, as 'CORP\\name'"
                } else {
                    ""
                };
                report.hidden_error(span, "C001", format!("this is no TOML: {}{escape}", error.message()));
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
    let config = sections.check(path, reader, &collected);
    *problems = collected.into_inner();
    hide_unknown_values(&documents, problems);
    config
}

/// What is said of a key or a section that stands twice in a file, and where that which is told of ends.
fn twice(text: &str, span: &Range<usize>) -> (String, usize) {
    let begin = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let line = text[begin..].lines().next().unwrap_or_default().trim();
    // The line of a key may hold a value that nobody should read here, and so may one of an array or behind a section's name.
    let is_section = line.starts_with('[') && line.ends_with(']') && !line.contains(['=', '#', '{', ',']);
    if is_section {
        let first = text[..begin].lines().position(|earlier| earlier.trim() == line);
        let place = first.map_or_else(String::new, |at| format!(" in line {}", at + 1));
        let end = text[span.end..].find("\n[").map_or(text.len(), |at| span.end + at);
        return (format!("{} stands{place} already; keep one of the two", line.escape_debug()), end);
    }
    let key = text.get(span.clone()).unwrap_or_default().trim();
    (format!("the key '{}' stands twice in this section; keep one of the two", key.escape_debug()), span.end)
}

impl<'a> Sections<'a> {
    fn read(&mut self, document: &'a DeTable<'a>, report: Report<'a>) {
        for (key, value) in document {
            let name = key.get_ref().as_ref();
            if !NAMES.contains(&name) {
                let hint = nearest(name, NAMES.iter().copied()).map_or_else(
                    || format!("the sections are {}", NAMES.join(", ")),
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
                if let Some(first) = place {
                    let first = first.report.source.path.display();
                    report.error(
                        key.span(),
                        "C008",
                        format!("[{name}] stands in {first} already; keep one of the two"),
                    );
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
                "notify" => collect(&mut self.notifiers, table, name, report),
                _ => collect(&mut self.jobs, table, name, report),
            }
        }
    }

    fn check(self, config: &Path, reader: Reader, problems: &RefCell<Vec<Problem>>) -> Option<Config> {
        let base = folder_of(config);
        let daemon = daemon(self.daemon, base, config, problems);
        let VaultSection { key: vault_key, recovery_key, escrow, backup_max_age } = vault(self.vault, base);
        let access = self.access.map(access).unwrap_or_default();
        let mut policies: BTreeMap<String, Arc<Policy>> = BTreeMap::new();
        policies.insert("default".into(), Arc::default());
        for (name, (table, report, span)) in self.policies {
            let table = Table::new(table, span, format!("[policy.{name}]"), report);
            policies.insert(name.clone(), Arc::new(Policy { name, ..policy(table) }));
        }
        let mut library_problems = Vec::new();
        let library = Library::read(&daemon.template_dirs, &mut library_problems);
        problems.borrow_mut().extend(library_problems);
        let devices = devices(self.devices, &library, base);
        let accounts = accounts(self.accounts, &devices, &policies, &library);
        check_jumps(&devices, &accounts);
        let jobs = jobs(self.jobs, &accounts, daemon.timezone);
        let runs_as = runs_as(&vault_key, &daemon.state_dir, reader);
        let notifiers = notifiers(self.notifiers, base, runs_as);
        Some(Config {
            daemon,
            vault_key,
            recovery_key,
            escrow,
            backup_max_age,
            access,
            devices: devices.into_iter().map(|(name, (device, ..))| (name, device)).collect(),
            accounts: accounts.into_iter().map(|(name, (account, _))| (name, account)).collect(),
            jobs,
            notifiers,
            library,
            followers: Followers::default(),
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
        report.name_as_it_looks(key.span());
        // The names of accounts and devices have rules of their own.
        if let Some(why) = unfit_for_a_name(&name).filter(|_| !matches!(kind, "account" | "device")) {
            report.error(key.span(), "C005", format!("\"{}\" is no name: {why}", name.escape_debug()));
        }
        if let Some((_, first, _)) = into.get(&name) {
            let place = first.source.path.display();
            report.error(key.span(), "C008", format!("{kind} '{}' stands in {place} already", name.escape_debug()));
            continue;
        }
        into.insert(name, (inner, report, key.span()));
    }
}

/// The host's zone, for a config that names none.
///
/// # Errors
/// It has no name in the IANA database: says what was found in its place.
pub fn host_zone() -> Result<Tz, String> {
    Host::this().zone().map_err(|why| {
        format!(
            "the host's time zone cannot be told: {why}; write timezone = \"Europe/Berlin\", or what it is, in [daemon]"
        )
    })
}

fn daemon(table: Option<Table<'_>>, base: &Path, config: &Path, problems: &RefCell<Vec<Problem>>) -> Daemon {
    let mut daemon = Daemon {
        state_dir: "/var/lib/rotord".into(),
        socket: "/run/rotord/control.sock".into(),
        template_dirs: vec!["/etc/rotord/templates".into(), "/usr/share/rotord/templates".into()],
        timezone: Tz::UTC,
        max_concurrent: 64,
        browser_socket: "/run/rotord-browser.sock".into(),
    };
    let Some(mut table) = table else {
        daemon.timezone = host_zone().unwrap_or_else(|why| {
            problems.borrow_mut().push(Problem::at(config, "", 0..0, Severity::Error, "C006", why));
            Tz::UTC
        });
        return daemon;
    };
    if let Some((dir, _)) = table.path("state_dir", base) {
        daemon.state_dir = dir;
    }
    if let Some((socket, _)) = table.path("socket", base) {
        daemon.socket = socket;
    }
    if let Some((socket, _)) = table.path("browser_socket", base) {
        daemon.browser_socket = socket;
    }
    if let Some(dirs) = table.paths("template_dirs", base) {
        for (dir, span) in &dirs {
            if !dir.is_dir() {
                table.report.warning(span.clone(), "C009", "this folder does not exist");
            }
        }
        daemon.template_dirs = dirs.into_iter().map(|(dir, _)| dir).collect();
    }
    let told = table.has("timezone");
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
    daemon.timezone = match zone {
        Some((zone, _)) => zone,
        // It is told already what is wrong with it.
        None if told => Tz::UTC,
        None => host_zone().unwrap_or_else(|why| {
            table.report.error(table.span.clone(), "C006", why);
            Tz::UTC
        }),
    };
    if let Some(most) = table.size("max_concurrent", 1, 10_000) {
        daemon.max_concurrent = most;
    }
    table.finish();
    daemon
}

struct VaultSection {
    key: KeySource,
    recovery_key: Option<RecoveryKey>,
    escrow: Option<PathBuf>,
    backup_max_age: Duration,
}

/// Where the config says nothing else, a backup is to be made each week.
const BACKUP_MAX_AGE: Duration = Duration::from_secs(7 * 86_400);
/// Further back the log is not searched for one.
const LONGEST_BACKUP_AGE: Duration = Duration::from_secs(366 * 86_400);

fn vault(table: Option<Table<'_>>, base: &Path) -> VaultSection {
    let default = KeySource::File("/etc/rotord/vault.key".into());
    let Some(mut table) = table else {
        return VaultSection { key: default, recovery_key: None, escrow: None, backup_max_age: BACKUP_MAX_AGE };
    };
    let file = table.path("key_file", base);
    let credential = table.string("systemd_credential");
    let key = match (file, credential) {
        (Some((_, span)), Some(_)) => {
            table.report.error(span, "C005", "'key_file' and 'systemd_credential' exclude each other; keep one");
            default
        }
        (Some((file, _)), None) => KeySource::File(file),
        (None, Some((name, span))) => {
            if name.is_empty() || name.contains('/') {
                table.report.error(span, "C005", "a credential's name has no '/'");
            }
            KeySource::Credential(name)
        }
        (None, None) => default,
    };
    let recovery_key = table.parsed("recovery_key", RecoveryKey::parse).map(|(key, _)| key);
    let escrow = table.path("escrow", base).map(|(folder, span)| {
        if recovery_key.is_none() {
            let message = "escrow needs a key to seal to: set recovery_key = \"age1…\" beside it";
            table.report.error(span, "C003", message);
        }
        folder
    });
    let backup_max_age = table.parsed("backup_max_age", |text| {
        let age = parse_duration(text)?;
        let fits = age.is_zero() || (Duration::from_secs(3600)..=LONGEST_BACKUP_AGE).contains(&age);
        fits.then_some(age)
            .ok_or_else(|| "write a time from \"1h\" to \"366d\", or \"0s\" to be told of no backup".into())
    });
    table.finish();
    let backup_max_age = backup_max_age.map_or(BACKUP_MAX_AGE, |(age, _)| age);
    VaultSection { key, recovery_key, escrow, backup_max_age }
}

fn access(mut table: Table<'_>) -> Access {
    let mut list = |key| {
        let names = table.names(key).unwrap_or_default();
        for (name, span) in &names {
            if let Some(why) = unknown_person(name) {
                table.report.warning(span.clone(), "C010", why);
            }
        }
        names.into_iter().map(|(name, _)| name).collect()
    };
    let access = Access { viewer: list("viewer"), operator: list("operator"), custodian: list("custodian") };
    table.finish();
    access
}

/// Why a name of `[access]` lets nobody in, where it does not.
pub(crate) fn unknown_person(name: &str) -> Option<String> {
    use nix::unistd::{Group, User};
    let is_group = |name: &str| matches!(Group::from_name(name), Ok(Some(_)));
    let is_user = |name: &str| matches!(User::from_name(name), Ok(Some(_)));
    let shown = name.escape_debug();
    match name.strip_prefix('@') {
        Some(group) if is_group(group) => None,
        Some(group) if is_user(group) => {
            Some(format!("this host has no group \"{}\", but a user: write it without '@'", group.escape_debug()))
        }
        Some(group) => Some(format!("this host has no group \"{}\", so nobody is let in by it", group.escape_debug())),
        None if is_user(name) => None,
        None if is_group(name) => Some(format!("this host has no user \"{shown}\", but a group: write \"@{shown}\"")),
        None => Some(format!("this host has no user \"{shown}\", so nobody is let in by it")),
    }
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
        name: default.name,
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
        auto_reconcile: table.boolean("auto_reconcile"),
        failed_logins_per_hour: small(table.number("failed_logins_per_hour", 1, 10), default.failed_logins_per_hour),
    };
    if policy.max_age.is_some_and(|max| max <= policy.min_age) {
        let message =
            "'max_age' has to be longer than 'min_age': each password would be overdue before it may be changed";
        table.report.warning(table.span.clone(), "C019", message);
    }
    table.finish();
    policy
}

/// What is told of a schedule that can be read.
fn told_of_schedule(schedule: &Crontab, at: &Range<usize>, zone: Tz, report: Report<'_>) {
    if schedule.next_after(chrono::Utc::now(), zone).is_none() {
        let message = "'schedule': no such time comes again; change its years, or take the job out";
        report.error(at.clone(), "C005", message);
    }
    if schedule.mixes_days() {
        let message = "a day field that begins with '*' does not count as a restriction in cron(8): only days that match both day fields are meant here. If either is to be enough, list the days in place of the step; if both, all is well";
        report.warning(at.clone(), "C017", message);
    }
}

fn jobs<'a>(named: Named<'a, &'a DeTable<'a>>, accounts: &Accounts<'_>, zone: Tz) -> BTreeMap<String, Arc<Job>> {
    let mut jobs = BTreeMap::new();
    for (name, (table, report, span)) in named {
        let mut table = Table::new(table, span, format!("[job.{name}]"), report);
        let mut text = String::new();
        let schedule = table.parsed("schedule", |schedule| {
            text = schedule.to_owned();
            Crontab::parse(schedule).map_err(|error| error.to_string())
        });
        if let Some((schedule, at)) = &schedule {
            told_of_schedule(schedule, at, zone, report);
        }
        if text.is_empty() && schedule.is_none() {
            table.missing("schedule", "\"30 2 * * *\"");
        }
        let globs = table.names("accounts").unwrap_or_default();
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
        let action = table.parsed("action", |text| {
            JobAction::parse(text).ok_or_else(|| format!("the actions are {}", JobAction::NAMES.join(", ")))
        });
        let action = action.map_or(JobAction::Rotate, |(action, _)| action);
        table.finish();
        let Some((schedule, _)) = schedule else {
            continue;
        };
        let accounts = globs.into_iter().map(|(glob, _)| glob).collect();
        let job = Job {
            name: name.clone(),
            schedule_text: text,
            schedule,
            accounts,
            action,
            spread,
            window,
            on_signal,
            catch_up,
        };
        jobs.insert(name, Arc::new(job));
    }
    jobs
}

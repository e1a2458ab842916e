//! `rotorctl doctor`: the check-up. Facts are gathered here; what follows from them is decided in `findings`.

mod facts;
mod findings;
#[cfg(test)]
mod findings_tests;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args as ClapArgs;
use serde::Deserialize;

use super::output::{paint, safe, say};
use super::remote::print;
use super::{Failure, input};
use crate::browser::Programs;
use crate::clock;
use crate::config::{Config, DEFAULT_PATH, Endpoint, KeySource};
use crate::control::{CheckupBody, CheckupQuery, Client, ResultsBody, StatusBody, VerifyBody, WorkBody};
use crate::model::Severity;
use crate::vault::VaultKey;
use facts::{Advisory, ConfigFacts, ConfigProblem, DaemonFacts, Facts, FolderFacts, HostFacts, LoginFacts};
use findings::{Finding, findings};

/// What `doctor` takes.
#[derive(Debug, Clone, ClapArgs)]
pub(super) struct DoctorArgs {
    /// Accounts; globs work. All, and the whole host, where there is none.
    #[arg(value_name = "ACCOUNT")]
    accounts: Vec<String>,
    /// Log in with each account too, and change nothing; within the lockout budget.
    #[arg(long)]
    login: bool,
    /// The daemon's config.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
}

/// Where the list of versions with open advisories is.
const ADVISORIES: &str = "/usr/share/rotord/advisories.toml";

pub(super) async fn run(client: &Client, args: DoctorArgs, json: bool) -> Result<u8, Failure> {
    let daemon = ask_daemon(client, &args.accounts).await?;
    // The daemon knows best which config it goes by.
    let told = daemon.as_ref().ok().map(|daemon| PathBuf::from(&daemon.checkup.config_file));
    let file = told.filter(|_| args.config == Path::new(DEFAULT_PATH)).unwrap_or(args.config);
    let file = std::path::absolute(&file).unwrap_or(file);
    let (config, problems) = Config::inspect(&file);
    let logins = if args.login && daemon.is_ok() { log_in(client, &args.accounts).await? } else { Vec::new() };
    let mut facts = Facts {
        now: chrono::Utc::now().timestamp_millis(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: look_at_host(config.as_ref(), file == Path::new(DEFAULT_PATH)),
        config: look_at_config(&file, config.as_ref(), &problems),
        daemon,
        logins,
        advisories: advisories(Path::new(ADVISORIES)),
    };
    if !args.accounts.is_empty() {
        only_accounts(&mut facts);
    }
    let found = findings(&facts);
    tell(&found, &facts, json)
}

/// Of a check-up of some accounts, what is theirs alone is kept.
fn only_accounts(facts: &mut Facts) {
    facts.host = HostFacts::default();
    facts.config.problems.clear();
    facts.config.accounts = None;
    facts.advisories.clear();
    if let Ok(daemon) = &mut facts.daemon {
        daemon.checkup.jobs.clear();
        daemon.checkup.last_backup = None;
        daemon.checkup.since = None;
        daemon.audit.ok = true;
        daemon.status = StatusBody { accounts: std::mem::take(&mut daemon.status.accounts), ..StatusBody::default() };
    }
}

/// What the daemon says; where none answers, why. A refusal is a failure of this command.
async fn ask_daemon(client: &Client, accounts: &[String]) -> Result<Result<DaemonFacts, String>, Failure> {
    let query = CheckupQuery { accounts: accounts.to_vec(), connect: true };
    let checkup: CheckupBody = match client.post("/v1/checkup", &query).await {
        Ok(checkup) => checkup,
        Err(error) if error.exit() == 7 => return Ok(Err(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let mut status = StatusBody::default();
    let globs: Vec<Option<&String>> =
        if accounts.is_empty() { vec![None] } else { accounts.iter().map(Some).collect() };
    for glob in globs {
        let query: Vec<(&str, &str)> = glob.map(|glob| ("account", glob.as_str())).into_iter().collect();
        let part: StatusBody = client.get("/v1/status", &query).await?;
        let mut known = std::mem::take(&mut status.accounts);
        known.extend(part.accounts.iter().cloned());
        status = StatusBody { accounts: known, ..part };
    }
    status.accounts.sort_by(|a, b| a.account.cmp(&b.account));
    status.accounts.dedup_by(|a, b| a.account == b.account);
    let audit: VerifyBody = client.get("/v1/audit/verify", &[]).await?;
    Ok(Ok(DaemonFacts { status, audit, checkup }))
}

async fn log_in(client: &Client, accounts: &[String]) -> Result<Vec<LoginFacts>, Failure> {
    let (all, reason) = (accounts.is_empty(), Some("a check-up".to_owned()));
    let body = WorkBody { accounts: accounts.to_vec(), all, reason, ..WorkBody::default() };
    let results: ResultsBody = client.post("/v1/verify", &body).await?;
    let login = |result: crate::control::ResultBody| LoginFacts {
        account: result.account,
        done: result.outcome == "done",
        detail: result.detail,
    };
    Ok(results.results.into_iter().map(login).collect())
}

fn look_at_config(file: &Path, config: Option<&Config>, problems: &[crate::model::Problem]) -> ConfigFacts {
    let problem = |problem: &crate::model::Problem| ConfigProblem {
        error: problem.severity == Severity::Error,
        code: problem.code.to_string(),
        place: format!("{}:{}", problem.file, problem.line),
        message: problem.message.clone(),
    };
    let hash = |config: &Config, template: &str| {
        Some(config.library.find(template).ok()?.template.as_ref()?.sha256().to_owned())
    };
    ConfigFacts {
        file: file.display().to_string(),
        problems: problems.iter().map(problem).collect(),
        backup_max_age_ms: config.and_then(|config| i64::try_from(config.backup_max_age.as_millis()).ok()),
        accounts: config.map(|config| config.accounts.keys().map(ToString::to_string).collect()),
        templates: config.map_or_else(BTreeMap::new, |config| {
            let all = config.devices.values();
            all.filter_map(|device| Some((device.name.to_string(), hash(config, &device.template)?))).collect()
        }),
    }
}

fn look_at_host(config: Option<&Config>, is_hosts: bool) -> HostFacts {
    let mut host = HostFacts { clock_synchronised: clock::host_is_synchronised(), ..HostFacts::default() };
    if is_hosts && Path::new("/run/systemd/system").is_dir() {
        let asked = Command::new("systemctl").args(["is-enabled", "--quiet", "rotord"]).status();
        host.enabled = asked.ok().map(|status| status.success());
    }
    let Some(config) = config else { return host };
    let state = &config.daemon.state_dir;
    host.state = folder(state);
    let is_web = |device: &std::sync::Arc<crate::config::Device>| matches!(device.endpoint, Endpoint::Web(_));
    if config.devices.values().any(is_web) {
        let programs = Programs::find();
        host.programs.insert("chromium".into(), programs.browser);
        host.programs.insert("chromedriver".into(), programs.driver);
    }
    host.escrow = config.escrow.as_ref().and_then(|escrow| folder(escrow));
    // Who may not read the key cannot tell whether it is one.
    let is_root = nix::unistd::geteuid().is_root();
    if let KeySource::File(file) = &config.vault_key {
        let owners = file.metadata().ok().map(|found| found.uid()).zip(state.metadata().ok().map(|found| found.uid()));
        host.key_owner = owners.map(|(key, daemon)| (file.display().to_string(), key, daemon));
        let mine = host.key_owner.as_ref().is_some_and(|(_, owner, _)| *owner == nix::unistd::geteuid().as_raw());
        if is_root || mine || !file.exists() {
            host.key_error = VaultKey::from_anyones_file(file).err().map(|error| error.to_string());
        }
    }
    host
}

/// A folder and its disk; `None` where it may not be looked at.
fn folder(path: &Path) -> Option<FolderFacts> {
    let mut facts = FolderFacts { path: path.display().to_string(), ..FolderFacts::default() };
    let found = match path.metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(facts),
        Err(_) => return None,
    };
    let disk = nix::sys::statvfs::statvfs(path).ok()?;
    let percent = |part: u64, whole: u64| part.saturating_mul(100).checked_div(whole).unwrap_or(100);
    facts.exists = true;
    facts.mode = found.mode() & 0o7777;
    facts.disk = found.dev();
    facts.free_mib = disk.blocks_available().saturating_mul(disk.fragment_size()) / (1 << 20);
    facts.free_percent = percent(disk.blocks_available(), disk.blocks());
    facts.free_inodes_percent = percent(disk.files_available(), disk.files());
    Some(facts)
}

#[derive(Deserialize)]
struct AdvisoryFile {
    #[serde(default)]
    advisory: Vec<AdvisoryEntry>,
}

#[derive(Deserialize)]
struct AdvisoryEntry {
    program: String,
    fixed_in: String,
    id: String,
    what: String,
}

/// The versions with open advisories that the package knows of; none where there is no such file.
fn advisories(file: &Path) -> Vec<Advisory> {
    let Ok(text) = crate::files::read_text(file, 1 << 20) else { return Vec::new() };
    let Ok(list) = toml::from_str::<AdvisoryFile>(&text) else {
        eprintln!("rotorctl: {} cannot be read, and nothing is compared with it", input::told(file));
        return Vec::new();
    };
    let entry = |entry: AdvisoryEntry| {
        let AdvisoryEntry { program, fixed_in, id, what } = entry;
        Advisory { program, fixed_in, id, what }
    };
    list.advisory.into_iter().map(entry).collect()
}

fn tell(found: &[Finding], facts: &Facts, json: bool) -> Result<u8, Failure> {
    let exit = u8::from(!found.is_empty());
    if json {
        print(&serde_json::json!({ "ok": found.is_empty(), "findings": found }))?;
        return Ok(exit);
    }
    for finding in found {
        say!("{}: {}", paint(&safe(&finding.about), 1), safe(&finding.what));
        say!("    why it matters: {}", safe(&finding.why));
        say!("    {}", safe(&finding.command));
    }
    let looked =
        facts.daemon.as_ref().map_or(0, |daemon| daemon.checkup.devices.iter().filter(|device| device.tried).count());
    let accounts = facts.daemon.as_ref().map_or(0, |daemon| daemon.checkup.accounts.len());
    let through: Vec<&str> = facts.daemon.as_ref().map_or_else(
        |_| Vec::new(),
        |daemon| {
            let hidden = daemon.checkup.devices.iter().filter(|device| !device.tried);
            hidden.map(|device| device.device.as_str()).collect()
        },
    );
    say!(
        "{}{accounts} accounts and {looked} devices were looked at: {}",
        if found.is_empty() { "" } else { "\n" },
        match found.len() {
            0 => "all is well".to_owned(),
            1 => "1 finding".to_owned(),
            count => format!("{count} findings"),
        }
    );
    if !through.is_empty() && facts.logins.is_empty() {
        say!("Not connected to, since the way there takes a login (--login): {}", safe(&through.join(", ")));
    }
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_advisories_that_is_shipped_is_read() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/advisories.toml");
        let list = advisories(&shipped);
        assert!(!list.is_empty() && list.iter().all(|entry| !entry.id.is_empty() && !entry.what.is_empty()));
        assert!(advisories(Path::new("/nonexistent/advisories.toml")).is_empty());
    }
}

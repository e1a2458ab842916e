//! The daemon's part of `rotorctl doctor`: what only it knows of its accounts, devices and jobs. No secret is in it, no login is made.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, State};
use chrono::{TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use utoipa::ToSchema;

use super::auth::{ApiError, Peer, Role};
use super::json::Json;
use super::types::ErrorBody;
use super::work::misfit;
use crate::audit::each_after;
use crate::config::{Account, Config, JobAction};
use crate::daemon::Core;
use crate::executor::{Stored, base_values};
use crate::model::{AccountName, DeviceName, EventKind, Secret, glob_match, rfc3339};
use crate::totp::Seed;
use crate::vault::{Kind, Ledger};

/// What is looked at.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckupQuery {
    /// Globs over account names; all where there is none.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// Whether devices are connected to, to see whether they answer and which host key they show. Those behind another device are
    /// left out, since the way to them takes a login.
    #[serde(default)]
    pub connect: bool,
}

/// What is stored of an account, and what it belongs to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, PartialEq, Eq)]
pub struct AccountFacts {
    /// `DEVICE/USERNAME`.
    pub account: String,
    /// Whether a password is stored.
    pub password: bool,
    /// Whether a private key is stored.
    pub ssh_key: bool,
    /// Seconds of a time step of its codes, where a seed is stored that can be read.
    pub seed_period: Option<u64>,
    /// Why the seed that is stored cannot be read.
    pub seed_error: Option<String>,
    /// What the template needs and nobody has stored.
    pub missing: Option<String>,
    /// The account that logs in for it, where that is another one that has neither password nor key.
    pub helpless_login: Option<String>,
    /// The jobs that change its password.
    pub jobs: Vec<String>,
    /// The account that it changes after.
    pub after: Option<String>,
}

/// A device.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, PartialEq, Eq)]
pub struct DeviceFacts {
    /// Its name.
    pub device: String,
    /// Where it is.
    pub host: String,
    /// Whether it was connected to.
    pub tried: bool,
    /// Why it does not answer.
    pub error: Option<String>,
    /// The host key that it shows.
    pub fingerprint: Option<String>,
    /// The fingerprints on record.
    pub known: Vec<String>,
    /// Whether a `known_hosts` file of the config says more than fingerprints can.
    pub has_known_hosts: bool,
    /// That it is of another kind than its template is for.
    pub misfit: Option<String>,
    /// Its template.
    pub template: String,
    /// The template's hash, as it is in force.
    pub template_sha256: Option<String>,
    /// Whether nobody has seen the template work on a device.
    pub unproven: bool,
}

/// A job.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, PartialEq, Eq)]
pub struct JobFacts {
    /// Its name.
    pub job: String,
    /// Whether it changes passwords, and not only verifies them.
    pub rotates: bool,
    /// When it runs next, RFC 3339, UTC.
    pub next: Option<String>,
    /// How often it runs in the coming 24 hours; 1000 stands for more too.
    pub runs_24h: usize,
    /// The changes a day that the strictest of its accounts allows.
    pub cap: u32,
    /// How many accounts it has.
    pub accounts: usize,
    /// Whether it is paused.
    pub paused: bool,
}

/// What the daemon knows.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, PartialEq, Eq)]
pub struct CheckupBody {
    /// Its version.
    pub version: String,
    /// Its config.
    pub config_file: String,
    /// When the audit log begins, RFC 3339, UTC.
    pub since: Option<String>,
    /// When a backup was last made, RFC 3339, UTC.
    pub last_backup: Option<String>,
    /// The accounts that are looked at.
    pub accounts: Vec<AccountFacts>,
    /// The devices of these accounts.
    pub devices: Vec<DeviceFacts>,
    /// All jobs.
    pub jobs: Vec<JobFacts>,
}

/// Devices that are connected to at once.
const AT_ONCE: usize = 32;
/// Runs of a job that are counted at most.
const MOST_RUNS: usize = 1000;

/// Tells what only the daemon knows of its accounts, devices and jobs. No login is made.
#[utoipa::path(post, path = "/v1/checkup", tag = "operator", request_body = CheckupQuery, responses((status = 200, body = CheckupBody), (status = 404, body = ErrorBody)))]
pub(super) async fn checkup(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(query): Json<CheckupQuery>,
) -> Result<Json<CheckupBody>, ApiError> {
    peer.require(&core, Role::Operator).await?;
    let config = core.config();
    let meant = |name: &AccountName| {
        query.accounts.is_empty() || query.accounts.iter().any(|glob| glob_match(glob, name.as_str()))
    };
    let accounts: Vec<Arc<Account>> =
        config.accounts.values().filter(|account| meant(&account.name)).cloned().collect();
    if accounts.is_empty() && !query.accounts.is_empty() {
        return Err(ApiError::missing("no account has such a name"));
    }
    let mut names: Vec<DeviceName> = accounts.iter().map(|account| account.device.name.clone()).collect();
    if query.accounts.is_empty() {
        names.extend(config.devices.keys().cloned());
    }
    names.sort();
    names.dedup();
    let devices = look_at(&core, names, query.connect).await?;
    let about = config.clone();
    let (accounts, jobs) = core
        .vault
        .call(move |tx| {
            let accounts: Result<Vec<_>, _> =
                accounts.iter().map(|account| account_facts(tx, &about, account)).collect();
            let jobs: Result<Vec<_>, _> = about.jobs.keys().map(|job| job_facts(tx, &about, job)).collect();
            Ok((accounts?, jobs?))
        })
        .await?;
    let folder = core.vault.audit_folder().to_owned();
    let log = tokio::task::spawn_blocking(move || {
        let (mut since, mut backup) = (None, None);
        let time =
            |line: &[u8]| serde_json::from_slice::<serde_json::Value>(line).ok()?["time"].as_str().map(str::to_owned);
        each_after(&folder, 0, usize::MAX, &mut |line| {
            if since.is_none() {
                since = time(line);
            }
            let mark = EventKind::VaultBackup.as_str().as_bytes();
            if line.windows(mark.len()).any(|part| part == mark) {
                backup = time(line);
            }
            Ok(())
        })?;
        Ok::<_, std::io::Error>((since, backup))
    });
    let log = log.await.map_err(|error| ApiError::failed(error.to_string()))?;
    let (since, last_backup) = log.map_err(|error| ApiError::failed(error.to_string()))?;
    let config_file = core.config_path();
    let config_file = std::path::absolute(config_file).unwrap_or_else(|_| config_file.to_owned());
    Ok(Json(CheckupBody {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        config_file: config_file.display().to_string(),
        since,
        last_backup,
        accounts,
        devices,
        jobs: jobs.into_iter().flatten().collect(),
    }))
}

fn account_facts(
    tx: &dyn Ledger,
    config: &Config,
    account: &Account,
) -> Result<AccountFacts, crate::vault::VaultError> {
    let login = config.login_account(account);
    let (stored, login_stored) = Stored::of_both(tx, &account.name, &login)?;
    let uri = tx.secret(&account.name, &Kind::Totp)?;
    let seed = uri.map(|uri| Seed::parse(uri.expose()));
    let by = config.accounts.get(&login).map_or(account, |login| login);
    let mut values = base_values(account, by, &stored, &login_stored);
    values.set("NEW_PASSWORD", Secret::new("a".into()));
    let helpless = login != account.name && login_stored.password.is_none() && login_stored.key.is_none();
    let changing = config.jobs.values().filter(|job| job.action == JobAction::Rotate && job.covers(&account.name));
    Ok(AccountFacts {
        account: account.name.to_string(),
        password: stored.password.is_some(),
        ssh_key: stored.key.is_some(),
        seed_period: seed.as_ref().and_then(|seed| seed.as_ref().ok()).map(Seed::period),
        seed_error: seed.and_then(Result::err).map(|error| error.to_string()),
        missing: values.check(&account.template).err().map(|missing| missing.to_string()),
        helpless_login: helpless.then(|| login.to_string()),
        jobs: changing.map(|job| job.name.clone()).collect(),
        after: account.after.as_ref().map(ToString::to_string),
    })
}

fn job_facts(tx: &dyn Ledger, config: &Config, name: &str) -> Result<Option<JobFacts>, crate::vault::VaultError> {
    let Some(job) = config.jobs.get(name) else { return Ok(None) };
    let now = Utc::now();
    let end = now + TimeDelta::try_hours(24).unwrap_or_default();
    let zone = config.daemon.timezone;
    let next = job.schedule.next_after(now, zone);
    let mut runs = 0;
    let mut at = next;
    while let Some(run) = at.filter(|run| *run <= end && runs < MOST_RUNS) {
        runs += 1;
        at = job.schedule.next_after(run, zone);
    }
    Ok(Some(JobFacts {
        job: name.to_owned(),
        rotates: job.action == JobAction::Rotate,
        next: next.map(|next| rfc3339(next.timestamp_millis())),
        runs_24h: runs,
        cap: config.accounts_of(job).map(|account| account.policy.cap().count).min().unwrap_or(0),
        accounts: config.accounts_of(job).count(),
        paused: tx.is_job_paused(name)?,
    }))
}

/// Looks at devices, many at once.
async fn look_at(core: &Arc<Core>, names: Vec<DeviceName>, connect: bool) -> Result<Vec<DeviceFacts>, ApiError> {
    let (room, mut tasks) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    for name in names {
        let (core, room) = (core.clone(), room.clone());
        tasks.spawn(async move {
            let _permit = room.acquire().await;
            device_facts(&core, &name, connect).await
        });
    }
    let mut found: Vec<DeviceFacts> = Vec::new();
    for facts in tasks.join_all().await {
        found.extend(facts?);
    }
    found.sort_by(|a, b| a.device.cmp(&b.device));
    Ok(found)
}

/// No device is waited for any longer, whatever its config says.
const PATIENCE: Duration = Duration::from_secs(15);

async fn device_facts(core: &Arc<Core>, name: &DeviceName, connect: bool) -> Result<Option<DeviceFacts>, ApiError> {
    let config = core.config();
    let Some(device) = config.devices.get(name) else { return Ok(None) };
    let tried = connect && device.ssh().is_some() && device.jump().is_none();
    let shown = if tried {
        let shown = tokio::time::timeout(PATIENCE, core.shown_host_key(name)).await;
        Some(shown.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs()))))
    } else {
        None
    };
    let template = config.library.find(&device.template).ok().and_then(|entry| entry.template.clone());
    let (shown, error) = match shown {
        Some(Ok(shown)) => (Some(shown), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    Ok(Some(DeviceFacts {
        device: name.to_string(),
        host: device.host().to_owned(),
        tried,
        error,
        misfit: shown.as_ref().and_then(|(_, greeting)| misfit(&config, name, greeting)),
        fingerprint: shown.map(|(row, _)| row.fingerprint),
        known: core.known_fingerprints(name).await?,
        has_known_hosts: device.ssh().is_some_and(|ssh| ssh.known_hosts.is_some()),
        template: device.template.clone(),
        template_sha256: template.as_ref().map(|template| template.sha256().to_owned()),
        unproven: template.is_some_and(|template| template.is_unproven()),
    }))
}

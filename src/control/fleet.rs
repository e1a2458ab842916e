//! What a page or a table of the whole fleet is made of: accounts with all that goes with them, a device, jobs, and who asks.

use std::collections::{HashMap, HashSet};
use std::io::{BufWriter, Write};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::api::known_account;
use super::auth::{ApiError, Peer, Role};
use super::json::{Json, Nothing, Query};
use super::pieces::{Inlet, Pieces, Pour};
use super::types::{
    AccountBody, AccountLine, AccountQuery, AccountStatus, DeviceBody, DeviceQuery, ErrorBody, JobBody, JobsBody,
    LimitBody, MeBody, StatusQuery,
};
use crate::config::{Account, Config, Device, Endpoint, Job, JobAction};
use crate::daemon::Core;
use crate::model::{AccountName, Moment, glob_match, rfc3339};
use crate::policy::{Limit, LimitError};
use crate::rotation::AccountRecord;
use crate::vault::{Finding, Kind, VaultError};

/// The days of coming runs that are told of a job.
const DAYS: i64 = 7;
/// Runs of a job that are told at the most.
const MOST_RUNS: usize = 300;

/// How all accounts stand, as the vault has it at one moment.
pub(super) struct Standing {
    now: Moment,
    rows: HashMap<Arc<str>, AccountRecord>,
    changes: HashMap<String, Vec<Moment>>,
    /// Steps by which the clocks of devices are off.
    skews: HashMap<String, i64>,
    pub(super) clock_warning: Option<String>,
    pub(super) finding: Option<Finding>,
}

impl Standing {
    pub(super) async fn load(core: &Core) -> Result<Self, VaultError> {
        let now = core.clock.now();
        let (rows, changes, skews, finding) = core
            .vault
            .call(|tx| {
                let rows = tx.accounts()?.into_iter().map(|row| (row.name.clone(), row)).collect();
                Ok((rows, tx.all_changes()?, tx.skews()?, tx.audit_finding()?))
            })
            .await?;
        let clock_warning = core.clock_warning(&skews, crate::clock::host_is_synchronised());
        let skews = skews.into_iter().map(|(device, skew)| (device, skew.steps)).collect();
        Ok(Self { now, rows, changes, skews, clock_warning, finding })
    }

    /// The same of one account alone, which is little to read however many there are.
    async fn load_one(core: &Core, name: &AccountName) -> Result<Self, VaultError> {
        let (now, asked) = (core.clock.now(), name.clone());
        let (row, changes, skew) = core
            .vault
            .call(move |tx| Ok((tx.account(&asked)?, tx.changes(&asked, &now)?, tx.skew(&asked.device())?.steps)))
            .await?;
        Ok(Self {
            now,
            rows: row.into_iter().map(|row| (row.name.clone(), row)).collect(),
            changes: HashMap::from([(name.to_string(), changes)]),
            skews: HashMap::from([(name.device_str().to_owned(), skew)]),
            clock_warning: None,
            finding: None,
        })
    }

    /// How an account stands.
    pub(super) fn of(&self, core: &Core, config: &Config, account: &Account) -> AccountStatus {
        let name = &account.name;
        let row = self.rows.get(name.as_str());
        let last_change = row.and_then(|row| row.last_change);
        let oldest = account.policy.max_age.and_then(|age| i64::try_from(age.as_millis()).ok());
        let changes: &[Moment] = self.changes.get(name.as_str()).map_or(&[], Vec::as_slice);
        AccountStatus {
            account: name.to_string(),
            state: row.map_or("new", |row| row.state().as_str()).to_owned(),
            last_change: last_change.map(rfc3339),
            next_run: core.next_run(config, name).map(rfc3339),
            changes_24h: account.policy.cap().used(changes, &self.now),
            cap: account.policy.cap().count,
            totp_skew: self.skews.get(account.device.name.as_str()).copied().unwrap_or(0),
            last_error: row.and_then(|row| {
                let verify = || row.verify_error.as_ref().map(|why| format!("verify failed: {why}"));
                row.last_error.as_deref().map(str::to_owned).or_else(verify)
            }),
            verify_error: row.and_then(|row| row.verify_error.as_deref()).map(str::to_owned),
            warning: row.and_then(|row| row.warning.as_deref()).map(str::to_owned),
            waiting: core.live_views().of(name).filter(|live| live.is_parked()).map(|live| live.asked.clone()),
            overdue: oldest.is_some_and(|oldest| last_change.is_some_and(|last| self.now.wall_ms - last > oldest)),
        }
    }

    fn line(&self, core: &Core, config: &Config, account: &Account, has_code: bool) -> AccountLine {
        let name = &account.name;
        let row = self.rows.get(name.as_str());
        let text = |other: &Option<AccountName>| other.as_ref().map(ToString::to_string);
        AccountLine {
            status: self.of(core, config, account),
            since: row.map(|row| rfc3339(row.since)),
            verified: row.and_then(|row| row.verified).map(rfc3339),
            paused: row.is_some_and(|row| row.paused),
            attempt: row.and_then(|row| row.attempt.as_deref()).map(str::to_owned),
            has_password: row.is_some_and(AccountRecord::has_password),
            has_code,
            policy: account.policy.name.clone(),
            max_age: account.policy.max_age.map(|age| age.as_secs()),
            template: account.device.template.clone(),
            login_as: text(&account.login_as),
            reconcile_as: text(&account.reconcile_as),
            after: text(&account.after),
            jobs: config.jobs.values().filter(|job| job.covers(name)).map(|job| job.name.clone()).collect(),
        }
    }
}

/// The accounts that a query names, before their state is looked at.
pub(super) fn named(config: &Config, query: &StatusQuery) -> Vec<Arc<Account>> {
    let accounts = config.accounts.values();
    accounts
        .filter(|account| query.account.as_ref().is_none_or(|glob| glob_match(glob, account.name.as_str())))
        .filter(|account| query.device.as_ref().is_none_or(|glob| glob_match(glob, account.name.device_str())))
        .cloned()
        .collect()
}

/// All accounts with what the config says of them, as JSON lines.
#[utoipa::path(get, path = "/v1/accounts", tag = "viewer", params(StatusQuery), responses((status = 200, content((AccountLine = "application/x-ndjson")))))]
pub(super) async fn accounts(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(query): Query<StatusQuery>,
) -> Result<Response, ApiError> {
    peer.require(&core, Role::Viewer).await?;
    let states = super::api::states_of(&query)?;
    let one = query.account.as_deref().and_then(|name| AccountName::parse(name).ok());
    let one = one.filter(|name| core.config().accounts.contains_key(name));
    let (standing, coded): (Standing, HashSet<String>) = match one {
        Some(name) => {
            let standing = Standing::load_one(&core, &name).await?;
            let has_code = core.vault.call(move |tx| {
                let has_code = tx.other_secret(&name, &Kind::Totp)?.is_some();
                Ok(has_code.then(|| name.to_string()))
            });
            (standing, has_code.await?.into_iter().collect())
        }
        None => {
            let standing = Standing::load(&core).await?;
            let coded = core.vault.call(|tx| tx.accounts_with(&Kind::Totp)).await?;
            (standing, coded.into_iter().collect())
        }
    };
    let (inlet, pieces) = Pieces::new(4);
    tokio::task::spawn_blocking(move || {
        let config = core.config();
        let lines = named(&config, &query).into_iter().filter_map(|account| {
            let line = standing.line(&core, &config, &account, coded.contains(account.name.as_str()));
            let wanted = states.as_ref().is_none_or(|states| states.contains(&line.status.state));
            (wanted && (!query.overdue || line.status.overdue)).then_some(line)
        });
        // Whoever asked may be gone.
        drop(pour_lines(&inlet, lines));
    });
    Ok(([("content-type", "application/x-ndjson")], Body::new(pieces)).into_response())
}

fn pour_lines(inlet: &Inlet, lines: impl Iterator<Item = AccountLine>) -> std::io::Result<()> {
    let mut body = BufWriter::with_capacity(32 * 1024, Pour(inlet));
    for line in lines {
        serde_json::to_writer(&mut body, &line)?;
        body.write_all(b"\n")?;
    }
    body.flush()
}

/// How much of a limit is used, and when there is room again.
fn limit_body(limit: Limit, stamps: &[Moment], now: &Moment) -> LimitBody {
    let next_allowed = match limit.admit(stamps, now) {
        Ok(()) => None,
        Err(LimitError { free_in_ms, .. }) => Some(rfc3339(now.wall_ms.saturating_add(free_in_ms))),
    };
    LimitBody { used: limit.used(stamps, now), count: limit.count, next_allowed }
}

/// One account with its limits and what the config says of it.
#[utoipa::path(get, path = "/v1/account", tag = "viewer", params(AccountQuery), responses((status = 200, body = AccountBody), (status = 404, body = ErrorBody)))]
pub(super) async fn account(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(query): Query<AccountQuery>,
) -> Result<Json<AccountBody>, ApiError> {
    peer.require(&core, Role::Viewer).await?;
    let name = known_account(&core, &query.account)?;
    let config = core.config();
    let missing = || ApiError::missing(format!("there is no account '{name}' in the config"));
    let account = config.accounts.get(&name).cloned().ok_or_else(missing)?;
    let login = config.login_account(&account);
    let (asked, who, now) = (name.clone(), login.clone(), core.clock.now());
    let standing = Standing::load_one(&core, &name).await?;
    let (changes, logins, has_code) = core
        .vault
        .call(move |tx| {
            let has_code = tx.other_secret(&asked, &Kind::Totp)?.is_some();
            Ok((tx.changes(&asked, &now)?, tx.failed_logins(&who, &now)?, has_code))
        })
        .await?;
    let (cap, lockout) = (account.policy.cap(), account.policy.lockout());
    let limits = (limit_body(cap, &changes, &now), limit_body(lockout, &logins, &now));
    let helps = |other: &&Arc<Account>| other.login_as.as_ref() == Some(&name);
    let logs_in_for = config.accounts.values().filter(helps).take(100).map(|other| other.name.to_string()).collect();
    Ok(Json(AccountBody {
        line: standing.line(&core, &config, &account, has_code),
        changes: limits.0,
        lockout: limits.1,
        min_age: account.policy.min_age.as_secs(),
        login: login.to_string(),
        logs_in_for,
        address: address(&account.device),
    }))
}

/// Where a device is.
fn address(device: &Device) -> String {
    match &device.endpoint {
        Endpoint::Ssh(ssh) => ssh.address(),
        Endpoint::Web(_) => device.host().to_owned(),
    }
}

/// A device: how it is reached, and what it is known by.
#[utoipa::path(get, path = "/v1/device", tag = "viewer", params(DeviceQuery), responses((status = 200, body = DeviceBody), (status = 404, body = ErrorBody)))]
pub(super) async fn device(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(query): Query<DeviceQuery>,
) -> Result<Json<DeviceBody>, ApiError> {
    peer.require(&core, Role::Viewer).await?;
    let config = core.config();
    let found = config.devices.iter().find(|(name, _)| name.as_str() == query.device);
    let Some((name, device)) = found.map(|(name, device)| (name.clone(), device.clone())) else {
        let hint = crate::model::nearest(&query.device, config.devices.keys().map(|name| name.as_str()));
        let hint = hint.map_or_else(String::new, |known| format!("; did you mean '{known}'?"));
        let asked = query.device.escape_debug();
        return Err(ApiError::missing(format!("there is no device '{asked}' in the config{hint}")));
    };
    let asked = name.clone();
    let (keys, skew) = core.vault.call(move |tx| Ok((tx.host_keys(asked.as_str())?, tx.skew(&asked)?))).await?;
    let stored = keys.into_iter().map(|key| key.fingerprint);
    let ssh = device.ssh();
    Ok(Json(DeviceBody {
        device: name.to_string(),
        address: address(&device),
        template: device.template.clone(),
        jump: device.jump().map(ToString::to_string),
        max_sessions: device.max_sessions,
        legacy_algorithms: ssh.is_some_and(|ssh| ssh.legacy_algorithms),
        host_keys: ssh.into_iter().flat_map(|ssh| ssh.host_keys.iter().cloned()).chain(stored).collect(),
        known_hosts: ssh.and_then(|ssh| ssh.known_hosts.as_ref()).map(|file| file.display().to_string()),
        clock_steps: skew.steps,
    }))
}

/// The jobs, and when they run in the coming week.
#[utoipa::path(get, path = "/v1/jobs", tag = "viewer", responses((status = 200, body = JobsBody)))]
pub(super) async fn jobs(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<JobsBody>, ApiError> {
    peer.require(&core, Role::Viewer).await?;
    let config = core.config();
    let names: Vec<String> = config.jobs.keys().cloned().collect();
    let held =
        core.vault.call(move |tx| names.iter().map(|name| tx.is_job_paused(name)).collect::<Result<Vec<_>, _>>());
    let held = held.await?;
    let jobs = config.jobs.values().zip(held).map(|(job, paused)| job_body(&config, job, paused)).collect();
    Ok(Json(JobsBody { timezone: config.daemon.timezone.name().to_owned(), jobs }))
}

fn job_body(config: &Config, job: &Job, paused: bool) -> JobBody {
    let zone = config.daemon.timezone;
    let begin = Utc::now();
    let end = begin + TimeDelta::days(DAYS);
    let next = |at: &DateTime<Utc>| job.schedule.next_after(*at, zone).filter(|at| *at <= end);
    let mut runs: Vec<DateTime<Utc>> = std::iter::successors(next(&begin), next).take(MOST_RUNS + 1).collect();
    let more = runs.len() > MOST_RUNS;
    runs.truncate(MOST_RUNS);
    JobBody {
        job: job.name.clone(),
        schedule: job.schedule_text.clone(),
        action: if job.action == JobAction::Rotate { "rotate" } else { "verify" }.to_owned(),
        globs: job.accounts.clone(),
        accounts: config.accounts_of(job).count(),
        spread: job.spread.as_secs(),
        window: job.window.map(|window| window.to_string()),
        on_signal: job.on_signal,
        catch_up: job.catch_up,
        paused,
        runs: runs.iter().map(|at| at.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, false)).collect(),
        more,
    }
}

/// Who asks, what he may do, and whom he asks.
#[utoipa::path(get, path = "/v1/me", tag = "viewer", responses((status = 200, body = MeBody)))]
pub(super) async fn me(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<MeBody>, ApiError> {
    let actor = peer.require(&core, Role::Viewer).await?;
    let config = core.config();
    let roles = peer.roles(&config.access).into_iter().map(|role| role.name().to_owned()).collect();
    Ok(Json(MeBody {
        user: actor.name,
        uid: actor.uid,
        roles,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        timezone: config.daemon.timezone.name().to_owned(),
        accounts: config.accounts.len(),
        devices: config.devices.len(),
        at_work: core.at_work(),
        escrow: config.escrow.as_ref().map(|folder| folder.display().to_string()),
    }))
}

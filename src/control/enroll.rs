//! Adding devices and accounts: what is to be added is looked at and tried before anything of it is stored or written.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{ConnectInfo, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::{ApiError, Peer, Role};
use super::json::Json;
use super::private_key;
use super::secrets::{check_value, draft};
use super::types::{DoneBody, ErrorBody, ProgressBody, ResultBody, SecretText};
use super::whole::outliving;
use super::work::{body, with_progress};
use crate::config::{Config, Device};
use crate::daemon::{Core, EnrollError, Trial};
use crate::executor::GivenSecrets;
use crate::model::{AccountName, DeviceName, EventKind, Problem, Severity};
use crate::recognition::offers;
use crate::template::Checked;
use crate::totp::Seed;
use crate::vault::{Kind, VaultError};

/// A file that is to come into `config.d`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DraftBody {
    /// Its name, without `.toml`.
    #[schema(example = "web1", pattern = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", max_length = 128)]
    pub name: String,
    /// Its text.
    pub config: String,
}

/// Which device of a draft.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LookBody {
    /// The file that is to come.
    pub draft: DraftBody,
    /// The device.
    #[schema(example = "web1")]
    pub device: String,
}

/// What a device shows that is to be added.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LookedBody {
    /// `SHA256:…` of its host key.
    pub fingerprint: String,
    /// The key in OpenSSH's format.
    pub key: String,
    /// What it says of itself: its SSH version string, and lines before it.
    pub greeting: String,
    /// Devices of the config that have the same key on record.
    pub same_key: Vec<String>,
    /// Devices of the config at the same address.
    pub same_address: Vec<String>,
    /// Whether the key is on record for this device.
    pub known: bool,
    /// The file of the draft, as the daemon would read it.
    pub file: String,
}

/// An account of a draft, with its secrets.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TryBody {
    /// The file that is to come.
    pub draft: DraftBody,
    /// The account and its secrets.
    pub account: NewAccountBody,
    /// `recognise`: log in and look what the device is. `rehearse`: log in and run the template up to its commit point.
    #[schema(pattern = "^(recognise|rehearse)$")]
    pub what: String,
}

/// An account with its secrets.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccountBody {
    /// `DEVICE/USERNAME`.
    #[schema(example = "web1/admin")]
    pub account: String,
    /// Its password.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub password: Option<SecretText>,
    /// Its TOTP seed: Base32 or an `otpauth://` URI.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub totp: Option<SecretText>,
    /// Its private key in OpenSSH's format, without a passphrase.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub ssh_key: Option<SecretText>,
}

/// A template that may fit.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OfferBody {
    /// Its name.
    pub template: String,
    /// Why it may fit.
    pub reason: String,
}

/// What a trial showed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TriedBody {
    /// How it ended.
    pub result: ResultBody,
    /// Templates that may fit, the best first.
    #[serde(default)]
    pub offers: Vec<OfferBody>,
    /// The device's prompt.
    #[serde(default)]
    pub prompt: Option<String>,
    /// The command that was sent to learn what it is.
    #[serde(default)]
    pub command: Option<String>,
}

/// The config with the draft, where it has no errors.
pub(super) async fn drafted(core: &Arc<Core>, draft: DraftBody) -> Result<Config, ApiError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let fits = draft.name.starts_with(plain)
        && draft.name.chars().all(|c| plain(c) || c == '.' || c == '-')
        && draft.name.len() <= 128;
    if !fits {
        return Err(ApiError::usage(
            "the file's name has letters, digits, '.', '-' and '_', and begins with none of the dots",
        ));
    }
    let path = core.config_path().to_owned();
    let read = tokio::task::spawn_blocking(move || Config::load_with(&path, &draft.name, &draft.config));
    let (config, problems) = read.await.map_err(|error| ApiError::failed(error.to_string()))?;
    config.ok_or_else(|| ApiError::unmet(told(&problems)))
}

fn told(problems: &[Problem]) -> String {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
    errors.map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Fetches the host key of a device that is to be added.
#[utoipa::path(post, path = "/v1/enroll/look", tag = "custodian", request_body = LookBody, responses((status = 200, body = LookedBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn look(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<LookBody>,
) -> Result<Json<LookedBody>, ApiError> {
    peer.require(&core, Role::Custodian).await?;
    let name = DeviceName::parse(&request.device).map_err(|error| ApiError::missing(error.to_string()))?;
    let file = Config::file_of(core.config_path(), &request.draft.name);
    let file = std::path::absolute(&file).unwrap_or(file).display().to_string();
    let config = drafted(&core, request.draft).await?;
    let device = config.devices.get(&name).cloned();
    let device = device.ok_or_else(|| ApiError::missing(format!("there is no device '{name}' in the draft")))?;
    let (row, greeting) = core.shown_host_key_in(&config, &name).await.map_err(ApiError::unreached)?;
    let (mut same_key, mut same_address) = (Vec::new(), Vec::new());
    let place = |device: &Device| {
        let port = device.ssh().map(|ssh| ssh.port);
        (device.host().to_owned(), port, device.jump().cloned())
    };
    for other in core.config().devices.values().filter(|other| other.name != name) {
        if core.known_fingerprints(&other.name).await?.contains(&row.fingerprint) {
            same_key.push(other.name.to_string());
        }
        if place(other) == place(&device) {
            same_address.push(other.name.to_string());
        }
    }
    let known = core.known_fingerprints(&name).await?.contains(&row.fingerprint);
    let greeting = crate::model::Masker::default().lines(&greeting);
    Ok(Json(LookedBody { fingerprint: row.fingerprint, key: row.key, greeting, same_key, same_address, known, file }))
}

/// The account's name and its secrets as they are stored.
fn given(request: NewAccountBody) -> Result<GivenSecrets, ApiError> {
    let account = AccountName::parse(&request.account).map_err(|error| ApiError::missing(error.to_string()))?;
    let password = request.password.map(|SecretText(password)| password);
    password.as_ref().map_or(Ok(()), check_value).map_err(|error| ApiError::unmet(error.into_body().error))?;
    let seed = request.totp.map(|SecretText(seed)| Seed::parse(seed.expose())).transpose();
    let key = request
        .ssh_key
        .map(|SecretText(key)| private_key::read_plain(key.expose()).and_then(|key| private_key::plain(&key)));
    Ok(GivenSecrets {
        account,
        password,
        seed: seed.map_err(|error| ApiError::unmet(error.to_string()))?,
        key: key.transpose().map_err(ApiError::unmet)?,
    })
}

/// Logs in as an account that is to be added. Codes are reserved and refused logins counted; nothing is stored or changed.
#[utoipa::path(post, path = "/v1/enroll/try", tag = "custodian", request_body = TryBody, responses((status = 200, content((TriedBody = "application/x-ndjson"), (ProgressBody = "application/x-ndjson"))), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn try_out(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<TryBody>,
) -> Result<Response, ApiError> {
    let actor = peer.require(&core, Role::Custodian).await?;
    let trial = match request.what.as_str() {
        "recognise" => Trial::Recognise,
        "rehearse" => Trial::Rehearse,
        _ => return Err(ApiError::usage("what is recognise or rehearse")),
    };
    let given = given(request.account)?;
    let config = drafted(&core, request.draft).await?;
    if core.config().accounts.contains_key(&given.account) {
        return Err(ApiError::unmet(format!("{} is in the config already", given.account)));
    }
    if !config.accounts.contains_key(&given.account) {
        return Err(ApiError::missing(format!("there is no account '{}' in the draft", given.account)));
    }
    let library = config.library.clone();
    let (working, watched) = (core.clone(), HashSet::from([given.account.clone()]));
    let work = async move {
        let tried = working.try_out(config, given, trial, actor).await.map_err(ApiError::conflict)?;
        let evidence = tried.evidence.unwrap_or_default();
        let templates = library.iter().filter_map(|(name, entry)| {
            let template: &Checked = entry.template.as_deref()?;
            Some((name, template))
        });
        let offers = offers(&evidence, templates).into_iter();
        Ok::<_, ApiError>(TriedBody {
            result: body(tried.result),
            offers: offers.map(|offer| OfferBody { template: offer.template, reason: offer.reason }).collect(),
            prompt: Some(evidence.prompt().to_owned()).filter(|prompt| !prompt.is_empty()),
            command: evidence.command.map(str::to_owned),
        })
    };
    Ok(with_progress(&core, watched, Arc::default(), work))
}

/// Takes an account in whose section was written: its secrets are stored and the config is put in force, or neither is. It is
/// done to the end if the caller leaves.
#[utoipa::path(post, path = "/v1/enroll", tag = "custodian", request_body = NewAccountBody, responses((status = 200, body = DoneBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn enroll(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<NewAccountBody>,
) -> Result<Json<DoneBody>, ApiError> {
    outliving(take_in(core, peer, request)).await
}

async fn take_in(core: Arc<Core>, peer: Peer, request: NewAccountBody) -> Result<Json<DoneBody>, ApiError> {
    let actor = peer.require(&core, Role::Custodian).await?;
    let given = given(request)?;
    let account = given.account.clone();
    let mut secrets = Vec::new();
    secrets.extend(given.password.map(|password| (Kind::Password, password)));
    secrets.extend(given.seed.map(|seed| (Kind::Totp, seed.to_uri())));
    secrets.extend(given.key.map(|key| (Kind::SshKey, key)));
    let (attempt, name): (Arc<str>, _) = (core.fresh_id().into(), account.clone());
    let event = move |kind: &Kind| {
        let (event, what) = match kind {
            Kind::Totp => (EventKind::TotpSet, "added"),
            Kind::SshKey => (EventKind::SecretSet, "private key; added"),
            _ => (EventKind::SecretSet, "password; added"),
        };
        draft(attempt.clone(), event, &name, &actor).detail(what)
    };
    core.enroll(account.clone(), secrets, event).await.map_err(|error| match error {
        EnrollError::Vault(VaultError::Refused(why)) => ApiError::unmet(why),
        EnrollError::Vault(error) => error.into(),
        other => ApiError::unmet(other.to_string()),
    })?;
    Ok(Json(DoneBody { done: format!("{account} is added: its secrets are stored, and the config is in force") }))
}

#[cfg(test)]
#[path = "enroll_tests.rs"]
mod tests;

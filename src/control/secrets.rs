//! Secrets in and out: every one that leaves is on record.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};

use super::api::known_account;
use super::auth::{ApiError, Peer, Role};
use super::json::Json;
use super::pieces::{Pieces, Pour};
use super::private_key;
use super::types::{
    BackupBody, DoneBody, ErrorBody, FormerBody, KeyBody, OtpBody, OtpQuery, RekeyBody, SecretBody, SecretText,
    SeedBody, ShowBody, ShownBody,
};
use super::work::check_reason;
use crate::audit::Draft;
use crate::daemon::Core;
use crate::model::{AccountName, Actor, EventKind, Secret, nearest};
use crate::otp::Aim;
use crate::sealed::{RecoveryKey, SealFor};
use crate::template::{FIELD_NAMES, is_field_name};
use crate::totp::Seed;
use crate::vault::{Kind, VaultKey};

/// The caller and the account, where he is a custodian and there is such an account.
async fn custodian(
    core: &Core,
    peer: Peer,
    account: &str,
    reason: Option<&str>,
) -> Result<(Actor, AccountName), ApiError> {
    let actor = peer.require_for(core, Role::Custodian, Some(account), reason).await?;
    check_reason(reason)?;
    Ok((actor, known_account(core, account)?))
}

/// The same for who stores a secret. What he gave for the account may be the secret itself, and is not repeated.
async fn who_stores(core: &Core, peer: Peer, account: &str) -> Result<(Actor, AccountName), ApiError> {
    let actor = peer.require_for(core, Role::Custodian, Some(account), None).await?;
    let config = core.config();
    let name = AccountName::parse(account).ok().filter(|name| config.accounts.contains_key(name));
    let name = name.ok_or_else(|| {
        let hint = nearest(account, config.accounts.keys().map(AccountName::as_str));
        let hint = hint.map_or_else(String::new, |known| format!("; did you mean '{known}'?"));
        ApiError::missing(format!("there is no such account in the config: it is written DEVICE/USERNAME{hint}"))
    })?;
    Ok((actor, name))
}

/// What the audit log has of a seed that was revealed, where of a password it has nothing.
const SEED_SHOWN: &str = "the TOTP seed, for an authenticator";

fn no_seed(account: &AccountName) -> ApiError {
    ApiError::missing(format!("no TOTP seed of {account} is stored; run 'rotorctl totp set {account}'"))
}

/// A password or another secret at the most.
const MOST_CHARACTERS: usize = 16 * 1024;

pub(super) fn draft(attempt: Arc<str>, event: EventKind, account: &AccountName, actor: &Actor) -> Draft {
    Draft {
        attempt: Some(attempt),
        account: Some(account.clone()),
        device: Some(account.device()),
        actor: Some(actor.clone()),
        ..Draft::new(event)
    }
}

/// A code for a person. It counts as used: rotord never sends it too.
#[utoipa::path(post, path = "/v1/otp", tag = "custodian", request_body = OtpQuery, responses((status = 200, body = OtpBody), (status = 404, body = ErrorBody)))]
pub(super) async fn otp(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(query): Json<OtpQuery>,
) -> Result<Json<OtpBody>, ApiError> {
    let (actor, account) = custodian(&core, peer, &query.account, query.reason.as_deref()).await?;
    let name = account.clone();
    let uri = core.vault.call(move |tx| tx.secret(&name, &Kind::Totp)).await?;
    let uri = uri.ok_or_else(|| no_seed(&account))?;
    let seed = Seed::parse(uri.expose()).map_err(|error| ApiError::failed(error.to_string()))?;
    let period = seed.period();
    let earliest = query.next.then(|| core.clock.now().unix_seconds() / period + 1);
    let issued = core.guards.codes.issue(&seed, &Aim::at(&account.device()), earliest, |_| {}).await?;
    let event = Draft { reason: query.reason, ..draft(core.fresh_id().into(), EventKind::TotpShown, &account, &actor) };
    core.audit(event.detail(format!("step {}", issued.step))).await?;
    let ends = issued.step.saturating_add_signed(1 - issued.sent.ahead) * period;
    let seconds_left = ends.saturating_sub(core.clock.now().unix_seconds());
    let (account, token) = (account.to_string(), SecretText(issued.code));
    Ok(Json(OtpBody { account, token, seconds_left, step: issued.step, period }))
}

pub(super) fn check_value(value: &Secret) -> Result<(), ApiError> {
    let text = value.expose();
    if text.is_empty() {
        return Err(ApiError::usage("the secret is empty"));
    }
    if text.chars().count() > MOST_CHARACTERS {
        return Err(ApiError::usage(format!("the secret has more than {MOST_CHARACTERS} characters")));
    }
    if value.has_control_character() {
        return Err(ApiError::usage(
            "the secret holds a line end or another control character, which could inject a command",
        ));
    }
    Ok(())
}

/// Stores a password, or a secret field.
#[utoipa::path(post, path = "/v1/secret/set", tag = "custodian", request_body = SecretBody, responses((status = 200, body = DoneBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn secret_set(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<SecretBody>,
) -> Result<Json<DoneBody>, ApiError> {
    let (actor, account) = who_stores(&core, peer, &body.account).await?;
    check_value(&body.value.0)?;
    let kind = match body.field {
        None => Kind::Password,
        Some(name) if is_field_name(&name) => Kind::Field(name),
        Some(_) => {
            return Err(ApiError::usage(FIELD_NAMES));
        }
    };
    let what = match &kind {
        Kind::Field(name) => format!("field {name}"),
        _ => "password".to_owned(),
    };
    let event = draft(core.fresh_id().into(), EventKind::SecretSet, &account, &actor).detail(what.clone());
    core.store_secret(account.clone(), kind, body.value.0, Some(event)).await?;
    Ok(Json(DoneBody { done: format!("the {what} of {account} is stored") }))
}

/// Reveals a password.
#[utoipa::path(post, path = "/v1/secret/show", tag = "custodian", request_body = ShowBody, responses((status = 200, body = ShownBody), (status = 404, body = ErrorBody)))]
pub(super) async fn secret_show(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<ShowBody>,
) -> Result<Json<ShownBody>, ApiError> {
    let (actor, account) = custodian(&core, peer, &body.account, body.reason.as_deref()).await?;
    let (name, now) = (account.clone(), core.clock.now());
    let event =
        Draft { reason: body.reason, ..draft(core.fresh_id().into(), EventKind::SecretShown, &account, &actor) };
    let entries = core
        .vault
        .call(move |tx| {
            let entries = tx.history(&name)?;
            tx.audit(&event, &now)?;
            Ok(entries)
        })
        .await?;
    let mut history = Vec::new();
    let mut current = None;
    for entry in entries {
        if entry.current {
            current = Some(entry);
        } else {
            history.push(FormerBody { password: SecretText(entry.password), from: entry.from, until: entry.until });
        }
    }
    let current = current.ok_or_else(|| {
        ApiError::missing(format!("no password of {account} is stored; run 'rotorctl secret set {account}'"))
    })?;
    Ok(Json(ShownBody {
        account: account.to_string(),
        password: SecretText(current.password),
        since: current.from,
        history,
    }))
}

/// Stores a TOTP seed.
#[utoipa::path(post, path = "/v1/totp/set", tag = "custodian", request_body = KeyBody, responses((status = 200, body = DoneBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn totp_set(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<KeyBody>,
) -> Result<Json<DoneBody>, ApiError> {
    let (actor, account) = who_stores(&core, peer, &body.account).await?;
    let seed = Seed::parse(body.value.0.expose()).map_err(|error| ApiError::usage(error.to_string()))?;
    let event = draft(core.fresh_id().into(), EventKind::TotpSet, &account, &actor);
    core.store_secret(account.clone(), Kind::Totp, seed.to_uri(), Some(event)).await?;
    Ok(Json(DoneBody { done: format!("the TOTP seed of {account} is stored ({})", seed.describe()) }))
}

/// Reveals a TOTP seed, so that a person can enrol an authenticator.
#[utoipa::path(post, path = "/v1/totp/show", tag = "custodian", request_body = ShowBody, responses((status = 200, body = SeedBody), (status = 404, body = ErrorBody)))]
pub(super) async fn totp_show(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<ShowBody>,
) -> Result<Json<SeedBody>, ApiError> {
    let (actor, account) = custodian(&core, peer, &body.account, body.reason.as_deref()).await?;
    let (name, now) = (account.clone(), core.clock.now());
    let shown = draft(core.fresh_id().into(), EventKind::SecretShown, &account, &actor).detail(SEED_SHOWN);
    let event = Draft { reason: body.reason, ..shown };
    let uri = core.vault.call(move |tx| {
        let uri = tx.secret(&name, &Kind::Totp)?;
        // On record before it leaves.
        if uri.is_some() {
            tx.audit(&event, &now)?;
        }
        Ok(uri)
    });
    let uri = uri.await?.ok_or_else(|| no_seed(&account))?;
    let seed = Seed::parse(uri.expose()).map_err(|error| ApiError::failed(error.to_string()))?;
    let uri = seed.to_uri_for(account.device_str(), account.user());
    Ok(Json(SeedBody { account: account.to_string(), uri: SecretText(uri) }))
}

/// Stores a private key, already without its passphrase.
#[utoipa::path(post, path = "/v1/ssh-key/set", tag = "custodian", request_body = KeyBody, responses((status = 200, body = DoneBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn ssh_key_set(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<KeyBody>,
) -> Result<Json<DoneBody>, ApiError> {
    let (actor, account) = who_stores(&core, peer, &body.account).await?;
    let key = private_key::read_plain(body.value.0.expose()).map_err(ApiError::usage)?;
    let text = private_key::plain(&key).map_err(ApiError::usage)?;
    let fingerprint = key.fingerprint(russh::keys::HashAlg::Sha256);
    let event = draft(core.fresh_id().into(), EventKind::SecretSet, &account, &actor)
        .detail(format!("private key {fingerprint}"));
    core.store_secret(account.clone(), Kind::SshKey, text, Some(event)).await?;
    Ok(Json(DoneBody { done: format!("the private key {fingerprint} of {account} is stored") }))
}

/// A backup of the vault, sealed, as bytes.
#[utoipa::path(post, path = "/v1/backup", tag = "custodian", request_body = BackupBody, responses((status = 200, description = "the backup, in age's format", content_type = "application/octet-stream"), (status = 409, body = ErrorBody)))]
pub(super) async fn backup(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<BackupBody>,
) -> Result<Response, ApiError> {
    let actor = peer.require(&core, Role::Custodian).await?;
    let (whom, told) = match (body.passphrase, body.recipient, body.recovery_key) {
        (Some(SecretText(passphrase)), None, false) => {
            (SealFor::Passphrase(passphrase), "under a passphrase".to_owned())
        }
        (None, Some(recipient), false) => {
            let key = RecoveryKey::parse(&recipient).map_err(ApiError::usage)?;
            let told = format!("to {key:?}");
            (SealFor::Key(key), told)
        }
        (None, None, true) => {
            let key = core.config().recovery_key.clone();
            let key = key.ok_or_else(|| ApiError::unmet("the config names no recovery_key in [vault]"))?;
            let told = format!("to {key:?}");
            (SealFor::Key(key), told)
        }
        _ => return Err(ApiError::usage("give a passphrase, a recipient, or recovery_key, and only one of them")),
    };
    whom.check().map_err(|error| ApiError::usage(error.to_string()))?;
    // On record before it leaves, like every secret that does.
    let draft = Draft { actor: Some(actor), ..Draft::new(EventKind::VaultBackup).detail(format!("sealed {told}")) };
    core.audit(draft).await?;
    let snapshot = core.vault.admin()?.snapshot(core.clock.now()).await?;
    let (inlet, backup) = Pieces::new(4);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = snapshot.seal(&whom, Pour(&inlet)) {
            tracing::error!(%error, "a backup was broken off");
            drop(inlet.blocking_send(Err(std::io::Error::other(error))));
        }
    });
    Ok(([("content-type", "application/octet-stream")], Body::new(backup)).into_response())
}

/// Seals every secret under a fresh vault key.
#[utoipa::path(post, path = "/v1/key/rotate", tag = "custodian", request_body = RekeyBody, responses((status = 200, body = DoneBody)))]
pub(super) async fn key_rotate(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<RekeyBody>,
) -> Result<Json<DoneBody>, ApiError> {
    let actor = peer.require(&core, Role::Custodian).await?;
    let bytes = data_encoding::BASE64.decode(body.key.0.expose().as_bytes()).map(zeroize::Zeroizing::new);
    let key = bytes.ok().and_then(|bytes| VaultKey::from_bytes(&bytes));
    let key = key.ok_or_else(|| ApiError::usage("a vault key has exactly 32 bytes, in Base64 here"))?;
    if body.file.chars().any(char::is_control) {
        return Err(ApiError::usage("the file's name holds a control character"));
    }
    let draft = Draft {
        actor: Some(actor),
        ..Draft::new(EventKind::KeyRotated).detail(format!("the key is in {}", body.file))
    };
    let count = core.vault.admin()?.rekey(key, body.file.clone(), draft, core.clock.now()).await?;
    let done = format!(
        "{count} secrets are sealed under the key in {0}; now name it in the config, [vault] key_file = \"{0}\", or as the credential: the former key opens this vault no more",
        body.file
    );
    Ok(Json(DoneBody { done }))
}

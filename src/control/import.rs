//! Many secrets at once, of which none takes the place of a password that rotord has set since.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{ConnectInfo, State};

use super::auth::{ApiError, Peer, Role};
use super::enroll::drafted;
use super::json::Json;
use super::secrets::{check_value, draft};
use super::types::{
    ErrorBody, ImportBody, ImportDevice, ImportLookBody, ImportLookedBody, ImportRow, ImportedBody, ImportedKey,
    SecretText, SkippedBody, TrustedKeyBody,
};
use super::whole::outliving;
use crate::audit::Draft;
use crate::config::Config;
use crate::daemon::{Core, EnrollError, on_record, store};
use crate::executor::terminal::recorded_by_config;
use crate::model::{AccountName, Actor, DeviceName, EventKind, Moment, Secret, rfc3339, shown_account};
use crate::rotation::{AccountRecord, Phase};
use crate::totp::Seed;
use crate::vault::{HistoryEntry, HostKeyRow, Kind, Ledger, VaultError};
use russh::keys::{HashAlg, PublicKey};

/// What is done with the password of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is news.
    Store,
    /// It is what is stored.
    Same,
    /// It stays out, and why.
    Skip(&'static str),
}

/// A file of the first day holds what rotord has replaced since; and a file says nothing of a change that is not finished. Which
/// password an account has then is found out by logging in, or told by a person for that account.
fn verdict(account: Option<&AccountRecord>, history: &[HistoryEntry], value: &Secret) -> Verdict {
    let current = history.iter().find(|entry| entry.current);
    let is_value = |entry: &HistoryEntry| entry.password.expose() == value.expose();
    match account.map_or(Phase::Idle, |account| account.phase) {
        Phase::Idle => {}
        Phase::Quarantined => {
            return Verdict::Skip("it is in quarantine: if this is its password, store it with 'rotorctl secret set'");
        }
        _ => return Verdict::Skip("a change of its password is not finished; see 'rotorctl explain'"),
    }
    if current.is_some_and(is_value) {
        return Verdict::Same;
    }
    if history.iter().any(is_value) {
        return Verdict::Skip("this is a former password of it");
    }
    // What a person stores is made after the last change, and what rotord made, before it counted.
    let changed = account.and_then(|account| account.last_change).map(rfc3339);
    match (current, changed) {
        (Some(current), Some(changed)) if current.from <= changed => {
            Verdict::Skip("rotord has changed its password since, and this is not the one that it set")
        }
        _ => Verdict::Store,
    }
}

/// A secret of a line.
struct Item {
    line: u64,
    account: AccountName,
    kind: Kind,
    value: Secret,
}

/// The secrets of all lines, or what is wrong with them.
fn items(config: &Config, rows: Vec<ImportRow>) -> Result<Vec<Item>, ApiError> {
    let (mut slips, mut items, mut unknown) = (Vec::new(), Vec::new(), 0);
    for row in rows {
        let line = row.line;
        let mut slip = |what: String| slips.push(format!("line {line}: {what}"));
        let known = AccountName::parse(&row.account).ok().filter(|account| config.accounts.contains_key(account));
        let Some(account) = known else {
            slip(format!("there is no {} in the config", shown_account(&row.account)));
            unknown += 1;
            continue;
        };
        if let Some(SecretText(value)) = row.password {
            match check_value(&value) {
                Ok(()) => items.push(Item { line, account: account.clone(), kind: Kind::Password, value }),
                Err(_) => slip("the password is too long or holds a control character".into()),
            }
        }
        if let Some(SecretText(seed)) = row.totp {
            match Seed::parse(seed.expose()) {
                Ok(seed) => items.push(Item { line, account, kind: Kind::Totp, value: seed.to_uri() }),
                Err(error) => slip(error.to_string()),
            }
        }
    }
    let told = format!("nothing was stored:\n{}", slips.join("\n"));
    match slips.len() {
        0 => Ok(items),
        all if all == unknown => Err(ApiError::missing(told)),
        _ => Err(ApiError::usage(told)),
    }
}

/// What is to be done with an item.
fn verdict_on(tx: &dyn Ledger, item: &Item) -> Result<Verdict, VaultError> {
    if item.kind == Kind::Password {
        return Ok(verdict(tx.account(&item.account)?.as_ref(), &tx.history(&item.account)?, &item.value));
    }
    // A row that does not open is replaced.
    let stored = tx.secret(&item.account, &item.kind).ok().flatten();
    Ok(if stored.is_some_and(|stored| stored.expose() == item.value.expose()) { Verdict::Same } else { Verdict::Store })
}

/// Stores many secrets, all or none. A password that rotord has replaced since, or whose account is between two, is left out and
/// named, unless the request says to overwrite.
#[utoipa::path(post, path = "/v1/import", tag = "custodian", request_body = ImportBody, responses((status = 200, body = ImportedBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn import(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<ImportBody>,
) -> Result<Json<ImportedBody>, ApiError> {
    outliving(take_over(core, peer, body)).await
}

async fn take_over(core: Arc<Core>, peer: Peer, body: ImportBody) -> Result<Json<ImportedBody>, ApiError> {
    let actor = peer.require(&core, Role::Custodian).await?;
    let on_disk = if body.take_in { Some(core.config_on_disk().await.map_err(refused)?) } else { None };
    let in_force = core.config();
    let config = on_disk.as_ref().map_or(&*in_force, |on_disk| &on_disk.config);
    let keys = keys(config, body.host_keys)?;
    let items = items(config, body.rows)?;
    let overwrite = body.overwrite;
    let (now, attempt): (_, Arc<str>) = (core.clock.now(), core.fresh_id().into());
    let stores = move |tx: &dyn Ledger| {
        let (mut stored, mut same, mut skipped) = (0, 0, Vec::new());
        let trusted = trust(tx, keys, &|| (Some(attempt.clone()), Some(actor.clone())), &now)?;
        for item in &items {
            let verdict = if overwrite { Verdict::Store } else { verdict_on(tx, item)? };
            match verdict {
                Verdict::Same => same += 1,
                Verdict::Skip(why) => skipped.push(SkippedBody {
                    line: item.line,
                    account: item.account.to_string(),
                    why: why.to_owned(),
                }),
                Verdict::Store => {
                    store(tx, &item.account, &item.kind, &item.value, &now)?;
                    let event = if item.kind == Kind::Totp { EventKind::TotpSet } else { EventKind::SecretSet };
                    tx.audit(&draft(attempt.clone(), event, &item.account, &actor).detail("import"), &now)?;
                    stored += 1;
                }
            }
        }
        Ok((stored, same, skipped, trusted))
    };
    let (stored, same, skipped, host_keys) = match on_disk {
        Some(on_disk) => core.put_in_force(on_disk, stores).await.map_err(refused)?,
        None => core.vault.call(stores).await?,
    };
    let mut done = told(stored, same, skipped.len());
    if !host_keys.is_empty() {
        let are = if host_keys.len() == 1 { "key is" } else { "keys are" };
        done += &format!("; {} host {are} trusted", host_keys.len());
    }
    Ok(Json(ImportedBody { done, skipped, host_keys }))
}

/// A host key that is to come on record.
struct NewKey {
    device: DeviceName,
    row: HostKeyRow,
    /// What the config has on record.
    of_config: Vec<String>,
    /// What the caller has seen on record.
    seen: Vec<String>,
}

/// Puts host keys on record. Where others are on record than the caller has seen, none is.
fn trust(
    tx: &dyn Ledger,
    keys: Vec<NewKey>,
    who: &dyn Fn() -> (Option<Arc<str>>, Option<Actor>),
    now: &Moment,
) -> Result<Vec<TrustedKeyBody>, VaultError> {
    // What this import puts on record itself is not in the way of its next key.
    let before = keys.iter().map(|key| on_record(tx, &key.device, &key.of_config)).collect::<Result<Vec<_>, _>>()?;
    let mut trusted = Vec::new();
    for (NewKey { device, row, seen, .. }, on_record) in keys.into_iter().zip(before) {
        if on_record.contains(&row.fingerprint) {
            continue;
        }
        if !on_record.is_empty() && on_record != seen {
            return Err(VaultError::Refused(format!(
                "the host key of {device} has CHANGED: on record is {}, and not {}. Nothing was stored. Compare the key with what the device itself says: rotorctl trust {device}",
                on_record.join(", "),
                row.fingerprint
            )));
        }
        tx.trust_host_key(device.as_str(), &row, now)?;
        let changed = if on_record.is_empty() {
            String::new()
        } else {
            format!("; CHANGED: on record was {}", on_record.join(", "))
        };
        let detail = format!("{}; import{changed}", row.fingerprint);
        let (attempt, actor) = who();
        let event = Draft::new(EventKind::HostKeyTrusted).detail(detail);
        tx.audit(&Draft { device: Some(device.clone()), actor, attempt, ..event }, now)?;
        let kind = row.key.split(' ').next().unwrap_or_default().to_owned();
        let HostKeyRow { fingerprint, .. } = row;
        trusted.push(TrustedKeyBody { device: device.to_string(), kind, fingerprint, on_record });
    }
    Ok(trusted)
}

fn refused(error: EnrollError) -> ApiError {
    match error {
        EnrollError::Vault(error) => error.into(),
        other => ApiError::unmet(other.to_string()),
    }
}

/// Host keys, each of a device of the config.
fn keys(config: &Config, given: Vec<ImportedKey>) -> Result<Vec<NewKey>, ApiError> {
    let mut of_config: HashMap<DeviceName, Vec<String>> = HashMap::new();
    let mut read = |given: ImportedKey| {
        let name = DeviceName::parse(&given.device).ok();
        let device = name.and_then(|name| config.devices.get(&name));
        let device = device.ok_or_else(|| ApiError::missing("a host key is of no device in the config"))?;
        let name = device.name.clone();
        if device.ssh().is_none() {
            return Err(ApiError::usage(format!("{name} is not reached over SSH, and has no host key")));
        }
        let key = PublicKey::from_openssh(&given.key)
            .map_err(|_| ApiError::usage(format!("the host key of {name} is none in OpenSSH's format")))?;
        let text = key.to_openssh().map_err(|error| ApiError::usage(error.to_string()))?;
        let row = HostKeyRow { fingerprint: key.fingerprint(HashAlg::Sha256).to_string(), key: text };
        let of_config = of_config.entry(name.clone()).or_insert_with(|| recorded_by_config(device)).clone();
        let mut seen = given.on_record;
        seen.sort();
        Ok(NewKey { device: name, row, of_config, seen })
    };
    given.into_iter().map(&mut read).collect()
}

/// What an import is looked at beside: the devices of the config; and whether a file that is to come fits into it.
#[utoipa::path(post, path = "/v1/import/look", tag = "custodian", request_body = ImportLookBody, responses((status = 200, body = ImportLookedBody), (status = 409, body = ErrorBody)))]
pub(super) async fn look(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<ImportLookBody>,
) -> Result<Json<ImportLookedBody>, ApiError> {
    peer.require(&core, Role::Custodian).await?;
    let file = match body.draft {
        None => None,
        Some(draft) => {
            let file = Config::file_of(core.config_path(), &draft.name);
            drafted(&core, draft).await?;
            Some(std::path::absolute(&file).unwrap_or(file).display().to_string())
        }
    };
    // What is about to come in force is waited for: who lost the answer to an import asks here whether it was done.
    let config = {
        let _adopting = core.adopting().await;
        core.config()
    };
    let mut on_record = core.all_on_record(&config).await?;
    let mut devices = Vec::new();
    for device in config.devices.values() {
        let accounts = config.accounts_on(device.name.as_str());
        devices.push(ImportDevice {
            name: device.name.to_string(),
            host: device.host().to_owned(),
            port: device.ssh().map(|ssh| ssh.port),
            users: accounts.map(|account| account.name.user().to_owned()).collect(),
            fingerprints: on_record.remove(&device.name).unwrap_or_default(),
            jump: device.jump().map(ToString::to_string),
        });
    }
    Ok(Json(ImportLookedBody { devices, file }))
}

fn told(stored: usize, same: usize, skipped: usize) -> String {
    let secrets = |count: usize| if count == 1 { "1 secret is".to_owned() } else { format!("{count} secrets are") };
    let mut told = format!("{} stored", secrets(stored));
    if same > 0 {
        told += &format!("; {same} were stored already");
    }
    if skipped > 0 {
        told += &format!("; {skipped} were left out, which --overwrite would store");
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BootId, Moment};
    use crate::rotation::{Doubt, Which};

    fn account(phase: Phase, last_change: Option<i64>) -> AccountRecord {
        let now = Moment { wall_ms: 0, boot: BootId::of("a"), since_boot_ms: 0 };
        AccountRecord { phase, last_change, current: Some(1), ..AccountRecord::new("d/a", &now) }
    }

    fn entry(password: &str, made: i64, current: bool) -> HistoryEntry {
        let until = (!current).then(|| rfc3339(made + 1));
        HistoryEntry { password: Secret::new(password.into()), from: rfc3339(made), until, current }
    }

    #[test]
    fn a_password_that_rotord_has_set_is_replaced_by_no_file() {
        let changed = [entry("new", 2_000, true), entry("old", 1_000, false)];
        let by_hand = [entry("by hand", 9_000, true), entry("new", 2_000, false), entry("old", 1_000, false)];
        let doubt = Phase::Uncertain(Doubt::fresh(Which::New));
        let skip = |what: &'static str| Some(what);
        for (name, phase, last_change, history, value, expected) in [
            ("nothing is stored", Phase::Idle, None, [].as_slice(), "first", None),
            ("the file of the first day again", Phase::Idle, Some(2_500), &changed, "old", skip("former")),
            ("what is stored", Phase::Idle, Some(2_500), &changed, "new", skip("same")),
            ("another one", Phase::Idle, Some(2_500), &changed, "other", skip("rotord has changed")),
            ("a person stored one since", Phase::Idle, Some(2_500), &by_hand, "other", None),
            ("a former one after that", Phase::Idle, Some(2_500), &by_hand, "new", skip("former")),
            ("a person's own file", Phase::Idle, None, &by_hand[..1], "better", None),
            ("in doubt", doubt, Some(2_500), &changed, "old", skip("not finished")),
            ("in doubt, another one", doubt, None, &changed, "other", skip("not finished")),
            ("in doubt, the likely one", doubt, None, &changed, "new", skip("not finished")),
            ("under way", Phase::Sent, None, &changed, "other", skip("not finished")),
            ("in quarantine", Phase::Quarantined, None, &changed, "other", skip("quarantine")),
        ] {
            let found = verdict(Some(&account(phase, last_change)), history, &Secret::new(value.into()));
            let as_expected = match (found, expected) {
                (Verdict::Store, None) => true,
                (Verdict::Same, Some(what)) => what == "same",
                (Verdict::Skip(why), Some(what)) => why.contains(what),
                _ => false,
            };
            assert!(as_expected, "{name}: {found:?}");
        }
        assert_eq!(verdict(None, &[], &Secret::new("first".into())), Verdict::Store);
    }
}

//! Many secrets at once, of which none takes the place of a password that rotord has set since.

use std::sync::Arc;

use axum::extract::{ConnectInfo, State};

use super::api::known_account;
use super::auth::{ApiError, Peer, Role};
use super::json::Json;
use super::secrets::{check_value, draft};
use super::types::{ErrorBody, ImportBody, ImportedBody, SecretText, SkippedBody};
use crate::daemon::{Core, store};
use crate::model::{AccountName, EventKind, Secret, rfc3339, shown_account};
use crate::rotation::{AccountRecord, Phase};
use crate::totp::Seed;
use crate::vault::{HistoryEntry, Kind, Ledger, VaultError};

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
fn items(core: &Core, body: ImportBody) -> Result<Vec<Item>, ApiError> {
    let (mut slips, mut items, mut unknown) = (Vec::new(), Vec::new(), 0);
    for row in body.rows {
        let line = row.line;
        let mut slip = |what: String| slips.push(format!("line {line}: {what}"));
        let Ok(account) = known_account(core, &row.account) else {
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
#[utoipa::path(post, path = "/v1/import", tag = "custodian", request_body = ImportBody, responses((status = 200, body = ImportedBody), (status = 404, body = ErrorBody)))]
pub(super) async fn import(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(body): Json<ImportBody>,
) -> Result<Json<ImportedBody>, ApiError> {
    let actor = peer.require(&core, Role::Custodian).await?;
    let overwrite = body.overwrite;
    let items = items(&core, body)?;
    let (now, attempt): (_, Arc<str>) = (core.clock.now(), core.fresh_id().into());
    let (stored, same, skipped) = core
        .vault
        .call(move |tx| {
            let (mut stored, mut same, mut skipped) = (0, 0, Vec::new());
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
            Ok((stored, same, skipped))
        })
        .await?;
    Ok(Json(ImportedBody { done: told(stored, same, skipped.len()), skipped }))
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

//! A vault of the past: of a backup, or of a copy that was put back. What it has is not believed until a login has found it out.

use std::collections::BTreeSet;

use super::meta::set_meta;
use super::transaction::SqliteTransaction;
use crate::audit::Draft;
use crate::model::{AccountName, Moment, rfc3339};
use crate::rotation::Transition;
use crate::totp::{Seed, USUAL_PERIOD, WINDOW};
use crate::vault::error::VaultError;
use crate::vault::records::Kind;
use crate::vault::transaction::{AccountStore, AuditStore, Ledger};

/// A vault of the past goes on behind a log's end: what it has of these accounts is not believed until a login has found it out.
pub(super) fn go_on_from(
    tx: &SqliteTransaction<'_>,
    (seq, hash): (u64, &str),
    whom: &dyn Fn(&str) -> bool,
    why: &str,
    event: Draft,
    now: &Moment,
) -> Result<(), VaultError> {
    tx.connection.execute("DELETE FROM outbox", [])?;
    set_meta(tx.connection, "audit_head", format!("{seq} {hash}").as_bytes())?;
    put_in_doubt(tx, whom, why, now)?;
    use_up_codes(tx, now)?;
    tx.audit(&event, now)
}

/// What is put down of an account in a vault that was restored from a backup of then, in milliseconds since 1970.
pub(crate) fn restored_from(taken: i64) -> String {
    let day = rfc3339(taken);
    format!("restored from the backup of {day}; whether the device still has this password is found out by logging in")
}

/// Whether a device still has what an account's passwords were is to be found out.
fn put_in_doubt(tx: &dyn Ledger, whom: &dyn Fn(&str) -> bool, why: &str, now: &Moment) -> Result<(), VaultError> {
    for record in tx.accounts()?.into_iter().filter(|record| whom(&record.name)) {
        let Ok(account) = AccountName::parse(&record.name) else { continue };
        tx.apply(&account, &Transition::Restored { why }, None, now)?;
    }
    Ok(())
}

/// The codes of this minute may have been sent since the backup was taken: they count as used, for every seed, since one that
/// the vault does not hold now may have been in it.
fn use_up_codes(tx: &SqliteTransaction<'_>, now: &Moment) -> Result<(), VaultError> {
    let mut periods = BTreeSet::from([USUAL_PERIOD]);
    for row in tx.accounts()? {
        let Ok(account) = AccountName::parse(&row.name) else { continue };
        let Some(uri) = tx.other_secret(&account, &Kind::Totp)? else { continue };
        periods.extend(Seed::parse(uri.expose()).ok().map(|seed| seed.period()));
    }
    let reach = WINDOW.unsigned_abs() + 1;
    for period in periods {
        let step = now.unix_seconds() / period;
        for step in step.saturating_sub(reach)..=step + reach {
            tx.use_step_of_any(step, now)?;
        }
    }
    Ok(())
}

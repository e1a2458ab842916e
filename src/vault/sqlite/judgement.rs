//! Whether vault and log agree, judged at the start. A vault that is older than a log that holds its last event was put back by
//! hand, or its disk lost what it had said it had; a log that does not hold it was rewritten, or is another vault's. Neither is
//! adopted in silence.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::Connection;

use super::meta::set_meta;
use super::past::go_on_from;
use super::transaction::{FINDING, REWRITTEN, SqliteTransaction};
use crate::audit::{Draft, LogFiles, events_after};
use crate::clock::Clock;
use crate::model::EventKind;
use crate::vault::error::VaultError;
use crate::vault::seal::Sealer;
use crate::vault::transaction::AuditStore;

/// Number and hash of an event.
type Place = (u64, String);

/// What stands in the log, and what the vault knows.
#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    /// They agree; or the log lacks what is still on its way to it.
    Agree,
    /// The log goes on from the vault's last event.
    Older,
    /// The log is not that of the vault.
    Rewritten,
    /// It ends before the vault's last event that was in it.
    CutShort,
}

/// Judges by the events that the vault knows, in order, of which the first was in the log; the log's last one; and what it has at
/// a number.
fn judge(known: &[Place], last: Option<u64>, at: impl Fn(u64) -> Option<String>) -> Judgement {
    let last = last.unwrap_or(0);
    let (Some((first, _)), Some((head, _))) = (known.first(), known.last()) else { return Judgement::Agree };
    if known.iter().any(|(seq, hash)| *seq > 0 && *seq <= last && at(*seq).as_ref() != Some(hash)) {
        Judgement::Rewritten
    } else if last < *first {
        Judgement::CutShort
    } else if last > *head {
        Judgement::Older
    } else {
        Judgement::Agree
    }
}

/// Holds the vault against the log, and puts on record where they do not agree: what of an older vault, or of one whose log is
/// another, is in force is found out by logging in; where the log goes on from the vault, to those accounts alone that it names
/// since.
///
/// # Errors
/// The vault never held anything, and the log did; or it fails.
pub(super) fn judge_log(
    connection: &mut Connection,
    sealer: &Sealer,
    path: &Path,
    log: &LogFiles,
) -> Result<(), VaultError> {
    let transaction = connection.transaction()?;
    let tx = SqliteTransaction { connection: &transaction, sealer };
    let (seq, hash) = tx.audit_head()?;
    let last = log.last();
    if seq == 0 && last.is_some() {
        return Err(VaultError::Gone(path.to_owned()));
    }
    let end = last.map_or("no event".to_owned(), |(last, _)| format!("event {last}"));
    let now = Clock::new().now();
    let judgement = judge(&known_events(&tx)?, last.map(|(last, _)| last), |seq| {
        let event = events_after(log.folder(), seq - 1, 1).ok()?.pop()?;
        (event["seq"] == seq).then(|| event["hash"].as_str().map(str::to_owned))?
    });
    let found = match judgement {
        Judgement::Agree => return Ok(()),
        Judgement::Older => {
            format!("the vault is as it was at event {seq} of its audit log, which goes on to {end}")
        }
        Judgement::Rewritten => format!(
            "the audit log was rewritten, or is another vault's: it ends with {end}, and does not hold what this vault wrote up to event {seq}, hash {hash}"
        ),
        Judgement::CutShort => format!(
            "the audit log was rewritten: it was cut short, and ends with {end}; this vault wrote up to event {seq}, hash {hash}"
        ),
    };
    let before = tx.audit_finding()?;
    let was_rewritten = before.as_ref().is_some_and(|before| before.rewritten);
    let kind = if judgement == Judgement::Older && !was_rewritten { "older" } else { REWRITTEN };
    let all = before.map(|before| before.told).into_iter().chain([found.clone()]).collect::<Vec<_>>().join("; ");
    set_meta(&transaction, FINDING, format!("{kind} {all}").as_bytes())?;
    let event = match judgement {
        Judgement::Older => EventKind::VaultRestored,
        _ => EventKind::AuditRewritten,
    };
    let event = Draft::new(event).detail(found.clone());
    match last.filter(|_| judgement != Judgement::CutShort) {
        None => {
            tracing::error!("{found}");
            tx.audit(&event, &now)?;
        }
        Some((last, last_hash)) => {
            let named = (judgement == Judgement::Older).then(|| named_since(log.folder(), seq)).flatten();
            let whom = |account: &str| named.as_ref().is_none_or(|named| named.contains(account));
            let looked_at = named.as_ref().map_or("all".to_owned(), |named| named.len().to_string());
            let told = match judgement {
                Judgement::Older => "; a copy of it was put back, or its disk lost what was written",
                _ => "",
            };
            tracing::error!("{found}{told}; accounts that are looked at: {looked_at}");
            let why = format!("{found}; whether the device still has this password is found out by logging in");
            // What the log has of the same or a later number is not the vault's: its own goes on behind it.
            go_on_from(&tx, (last, last_hash), &whom, &why, event, &now)?;
        }
    }
    Ok(transaction.commit()?)
}

/// The vault's last event that is in the log for sure, and those on their way there.
fn known_events(tx: &SqliteTransaction<'_>) -> Result<Vec<Place>, VaultError> {
    let mut statement = tx.connection.prepare("SELECT line FROM outbox ORDER BY seq")?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    let mut known = Vec::new();
    for line in lines {
        let unreadable = || VaultError::Unreadable("audit event");
        let event: serde_json::Value = serde_json::from_str(&line).map_err(|_| unreadable())?;
        let seq = event["seq"].as_u64().ok_or_else(unreadable)?;
        let text = |key: &str| event[key].as_str().map(str::to_owned).ok_or_else(unreadable);
        if known.is_empty() {
            known.push((seq.saturating_sub(1), text("prev")?));
        }
        known.push((seq, text("hash")?));
    }
    if known.is_empty() {
        known.push(tx.audit_head()?);
    }
    Ok(known)
}

/// The accounts that a log names behind an event.
fn named_since(folder: &Path, seq: u64) -> Option<BTreeSet<String>> {
    let (mut after, mut named) = (seq, BTreeSet::new());
    loop {
        let events = events_after(folder, after, 1000).ok()?;
        let Some(last) = events.last() else { return Some(named) };
        after = last["seq"].as_u64()?;
        named.extend(events.iter().filter_map(|event| event["account"].as_str().map(str::to_owned)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(seq: u64) -> Place {
        (seq, format!("h{seq}"))
    }

    #[test]
    fn a_log_is_judged_by_whether_it_holds_what_the_vault_wrote() {
        let own = |seq: u64| Some(format!("h{seq}"));
        let forged = |_| Some("forged".to_owned());
        let cases = [
            (vec![place(0)], None, Judgement::Agree),
            (vec![place(5)], Some(5), Judgement::Agree),
            (vec![place(4), place(5)], Some(4), Judgement::Agree),
            (vec![place(4), place(5), place(6)], Some(5), Judgement::Agree),
            (vec![place(0), place(1)], None, Judgement::Agree),
            (vec![place(5)], Some(7), Judgement::Older),
            (vec![place(4), place(5)], Some(7), Judgement::Older),
            (vec![place(5)], Some(4), Judgement::CutShort),
            (vec![place(5)], None, Judgement::CutShort),
            (vec![place(4), place(5)], Some(3), Judgement::CutShort),
        ];
        for (known, last, expected) in cases {
            assert_eq!(judge(&known, last, own), expected, "{known:?} {last:?}");
        }
        for last in [5, 6, 9] {
            assert_eq!(judge(&[place(5)], Some(last), forged), Judgement::Rewritten, "{last}");
        }
        let tampered = |seq| if seq == 5 { Some("forged".to_owned()) } else { own(seq) };
        assert_eq!(judge(&[place(4), place(5)], Some(5), tampered), Judgement::Rewritten);
        assert_eq!(judge(&[place(5)], Some(9), |_| None), Judgement::Rewritten);
    }
}

//! Rows that are no secrets: accounts, attempts, host keys, jobs.

use std::borrow::Cow;

use rusqlite::{OptionalExtension, Row, ToSql, params};

use super::secrets::StoredPassword;
use super::transaction::SqliteTransaction;
use crate::model::{AccountName, AttemptKind, BootId, DeviceName, FailureCause, Moment, Outcome, Step, rfc3339};
use crate::rotation::{Doubt, Phase, Which};
use crate::totp::Skew;
use crate::vault::error::VaultError;
use crate::vault::records::{
    AccountRow, AttemptRow, Firing, HistoryEntry, HostKeyRow, INTERRUPTED, KEPT_ATTEMPTS, Waits,
};
use crate::vault::transaction::Records;

pub(super) fn phase_text(phase: Phase) -> Cow<'static, str> {
    let plain = match phase {
        Phase::Idle => "idle",
        Phase::Prepared => "prepared",
        Phase::Changing => "changing",
        Phase::Sent => "sent",
        Phase::Verifying => "verifying",
        Phase::Uncertain(doubt) => return doubt_text(doubt).into(),
        Phase::Quarantined => "quarantined",
        Phase::Mending => "mending",
    };
    plain.into()
}

/// `uncertain-WHICH`, then `-only` where the other one was refused, `-hung` where the device hung up, and the number of looks
/// in vain.
fn doubt_text(doubt: Doubt) -> String {
    let Doubt { likely, other_refused, hung_up, looks } = doubt;
    let (only, hung) = (if other_refused { "-only" } else { "" }, if hung_up { "-hung" } else { "" });
    let looks = if looks > 0 { format!("-{looks}") } else { String::new() };
    format!("uncertain-{}{only}{hung}{looks}", likely.name())
}

fn parse_phase(text: &str) -> Option<Phase> {
    let plain = [
        Phase::Idle,
        Phase::Prepared,
        Phase::Changing,
        Phase::Sent,
        Phase::Verifying,
        Phase::Quarantined,
        Phase::Mending,
    ];
    plain.into_iter().find(|phase| phase_text(*phase) == text).or_else(|| parse_doubt(text).map(Phase::Uncertain))
}

fn parse_doubt(text: &str) -> Option<Doubt> {
    let mut words = text.strip_prefix("uncertain-")?.split('-');
    let likely =
        [Which::Old, Which::New].into_iter().zip([words.next()?; 2]).find(|(which, word)| which.name() == *word);
    let mut doubt = Doubt::fresh(likely?.0);
    for word in words {
        match word {
            "only" => doubt.other_refused = true,
            "hung" => doubt.hung_up = true,
            number => doubt.looks = number.parse().ok()?,
        }
    }
    Some(doubt)
}

/// Accounts that may be due, each condition a range of an index: with [`SOON`], they are all that wait.
const DUE: [&str; 6] = [
    "wake IS NOT NULL AND wake_boot = ?1 AND wake_up <= ?2",
    "wake IS NOT NULL AND wake_boot = ?1 AND wake_up > ?2",
    "wake IS NOT NULL AND wake_boot < ?1",
    "wake IS NOT NULL AND wake_boot > ?1",
    "wake IS NOT NULL AND wake_boot IS NULL",
    "wake IS NULL AND state NOT IN ('idle', 'quarantined')",
];

/// Accounts whose time comes within a while, in this boot.
const SOON: &str = "wake IS NOT NULL AND wake_boot = ?1 AND wake_up > ?2 AND wake_up <= ?3";

/// Of its last attempts, so many keep their steps. Others do where they did not end well.
const KEPT_STEPS: u32 = 5;

const ACCOUNT_COLUMNS: &str = "name, state, since, attempt, current, paused, last_change, last_error, wake, wake_boot, wake_up, tries, verified, warning, flaw, verify_error, candidate IS NOT NULL AND candidate = adopted";

fn account_row(row: &Row<'_>) -> rusqlite::Result<(String, AccountRow)> {
    let state: String = row.get(1)?;
    let wake = match row.get(8)? {
        Some(wall_ms) => {
            let boot: Option<String> = row.get(9)?;
            let up: Option<i64> = row.get(10)?;
            Some(Moment { wall_ms, boot: BootId::of(&boot.unwrap_or_default()), since_boot_ms: up.unwrap_or_default() })
        }
        None => None,
    };
    let account = AccountRow {
        name: row.get(0)?,
        phase: Phase::Idle,
        since: row.get(2)?,
        attempt: row.get(3)?,
        has_password: row.get::<_, Option<i64>>(4)?.is_some(),
        paused: row.get(5)?,
        last_change: row.get(6)?,
        last_error: row.get(7)?,
        wake,
        tries: row.get(11)?,
        verified: row.get(12)?,
        warning: row.get(13)?,
        flaw: row.get(14)?,
        verify_error: row.get(15)?,
        reverted_candidate: row.get(16)?,
    };
    Ok((state, account))
}

fn with_phase((state, mut account): (String, AccountRow)) -> Result<AccountRow, VaultError> {
    account.phase = parse_phase(&state).ok_or(VaultError::Unreadable("account state"))?;
    Ok(account)
}

const ATTEMPT_COLUMNS: &str =
    "id, account, started, ended, cause, actor, outcome, detail, steps, warning, kind, job, reason, failure";

fn attempt_row(row: &Row<'_>) -> rusqlite::Result<AttemptRow> {
    Ok(AttemptRow {
        id: row.get(0)?,
        account: row.get(1)?,
        started: row.get(2)?,
        ended: row.get(3)?,
        trigger: row.get(4)?,
        actor: row.get::<_, Option<String>>(5)?.and_then(|text| serde_json::from_str(&text).ok()),
        outcome: row.get(6)?,
        detail: row.get(7)?,
        warning: row.get(9)?,
        kind: AttemptKind::parse(&row.get::<_, String>(10)?).unwrap_or(AttemptKind::Rotate),
        job: row.get(11)?,
        reason: row.get(12)?,
        failure: row.get::<_, Option<String>>(13)?.and_then(|word| FailureCause::parse(&word)),
        steps: serde_json::from_str::<Vec<Step>>(&row.get::<_, String>(8)?).unwrap_or_default().into(),
    })
}

/// What is known of a device's clock: three columns from `first` on.
fn skew_at(row: &Row<'_>, first: usize) -> rusqlite::Result<Skew> {
    let (steps, tried) = (row.get(first)?, row.get(first + 1)?);
    Ok(Skew { steps, tried, worked: row.get(first + 2)?, phase_ms: row.get(first + 3)? })
}

impl Records for SqliteTransaction<'_> {
    fn account(&self, account: &AccountName) -> Result<Option<AccountRow>, VaultError> {
        let found = self
            .connection
            .prepare_cached(&format!("SELECT {ACCOUNT_COLUMNS} FROM account WHERE name = ?1"))?
            .query_row([account.as_str()], account_row)
            .optional()?;
        found.map(with_phase).transpose()
    }

    fn accounts(&self) -> Result<Vec<AccountRow>, VaultError> {
        let mut statement =
            self.connection.prepare_cached(&format!("SELECT {ACCOUNT_COLUMNS} FROM account ORDER BY name"))?;
        let rows = statement.query_map([], account_row)?.collect::<Result<Vec<_>, _>>()?;
        rows.into_iter().map(with_phase).collect()
    }

    fn waiting(&self, now: &Moment, soon: i64) -> Result<Waits, VaultError> {
        let (boot, up) = (now.boot.to_string(), now.since_boot_ms);
        let last = up.saturating_add(soon);
        let values: [&[&dyn ToSql]; 6] = [&[&boot, &up], &[&boot, &last], &[&boot], &[&boot], &[], &[]];
        let mut due = Vec::new();
        for (range, values) in DUE.into_iter().zip(values) {
            let text = format!("SELECT {ACCOUNT_COLUMNS} FROM account WHERE {range}");
            let mut statement = self.connection.prepare_cached(&text)?;
            for row in statement.query_map(values, account_row)? {
                due.push(with_phase(row?)?);
            }
        }
        let next: Option<i64> = self
            .connection
            .prepare_cached(&format!("SELECT min(wake_up) FROM account WHERE {SOON}"))?
            .query_row(params![boot, up, last], |row| row.get(0))?;
        Ok(Waits { due, next_in_ms: next.map(|next| next - up) })
    }

    fn set_paused(&self, account: &AccountName, paused: bool, now: &Moment) -> Result<(), VaultError> {
        self.ensure_account(account, now)?;
        self.connection.execute("UPDATE account SET paused = ?2 WHERE name = ?1", params![account.as_str(), paused])?;
        Ok(())
    }

    fn set_job_paused(&self, job: &str, paused: bool) -> Result<(), VaultError> {
        let statement = if paused {
            "INSERT OR IGNORE INTO paused_job (name) VALUES (?1)"
        } else {
            "DELETE FROM paused_job WHERE name = ?1"
        };
        self.connection.execute(statement, [job])?;
        Ok(())
    }

    fn is_job_paused(&self, job: &str) -> Result<bool, VaultError> {
        Ok(self
            .connection
            .query_row("SELECT EXISTS (SELECT 1 FROM paused_job WHERE name = ?1)", [job], |row| row.get(0))?)
    }

    fn set_wake(&self, account: &AccountName, wake: Option<&Moment>, tries: u32) -> Result<(), VaultError> {
        let text = "UPDATE account SET wake = ?2, wake_boot = ?3, wake_up = ?4, tries = ?5 WHERE name = ?1";
        self.connection.prepare_cached(text)?.execute(params![
            account.as_str(),
            wake.map(|at| at.wall_ms),
            wake.map(|at| at.boot.to_string()),
            wake.map(|at| at.since_boot_ms),
            tries
        ])?;
        Ok(())
    }

    fn acknowledge(&self, account: &AccountName) -> Result<bool, VaultError> {
        let text = "UPDATE account SET warning = NULL WHERE name = ?1 AND warning IS NOT NULL";
        Ok(self.connection.execute(text, [account.as_str()])? > 0)
    }

    fn set_verified(&self, account: &AccountName, now: &Moment) -> Result<(), VaultError> {
        self.connection
            .execute("UPDATE account SET verified = ?2 WHERE name = ?1", params![account.as_str(), now.wall_ms])?;
        Ok(())
    }

    fn set_verify_error(&self, account: &AccountName, error: Option<&str>) -> Result<(), VaultError> {
        let text = "UPDATE account SET verify_error = ?2 WHERE name = ?1";
        self.connection.execute(text, params![account.as_str(), error])?;
        Ok(())
    }

    fn skew(&self, device: &DeviceName) -> Result<Skew, VaultError> {
        let mut known =
            self.connection.prepare_cached("SELECT steps, tried, worked, phase FROM device_clock WHERE device = ?1")?;
        Ok(known.query_row([device.as_str()], |row| skew_at(row, 0)).optional()?.unwrap_or_default())
    }

    fn skews(&self) -> Result<Vec<(String, Skew)>, VaultError> {
        let mut known = self
            .connection
            .prepare_cached("SELECT device, steps, tried, worked, phase FROM device_clock ORDER BY device")?;
        let rows = known.query_map([], |row| Ok((row.get(0)?, skew_at(row, 1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn set_skew(&self, device: &DeviceName, skew: Skew) -> Result<(), VaultError> {
        self.connection.execute(
            "INSERT OR REPLACE INTO device_clock (device, steps, tried, worked, phase) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![device.as_str(), skew.steps, skew.tried, skew.worked, skew.phase_ms],
        )?;
        Ok(())
    }

    fn firing(&self, job: &str) -> Result<Option<Firing>, VaultError> {
        let firing = |row: &Row<'_>| Ok(Firing { last: row.get(0)?, turned: row.get(1)? });
        let mut statement = self.connection.prepare_cached("SELECT last, turned FROM job WHERE name = ?1")?;
        Ok(statement.query_row([job], firing).optional()?)
    }

    fn set_firing(&self, job: &str, firing: Firing) -> Result<(), VaultError> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO job (name, last, turned) VALUES (?1, ?2, ?3)")?
            .execute(params![job, firing.last, firing.turned])?;
        Ok(())
    }

    fn save_attempt(&self, attempt: &AttemptRow) -> Result<(), VaultError> {
        self.upsert_attempt(
            attempt,
            "ended = excluded.ended, outcome = excluded.outcome, detail = excluded.detail, steps = excluded.steps, warning = excluded.warning, failure = excluded.failure",
        )?;
        if attempt.ended.is_none() {
            return Ok(());
        }
        self.connection
            .prepare_cached(
                "DELETE FROM attempt WHERE account = ?1 AND started <
                     (SELECT started FROM attempt WHERE account = ?1 ORDER BY started DESC LIMIT 1 OFFSET ?2)",
            )?
            .execute(params![attempt.account, KEPT_ATTEMPTS - 1])?;
        self.connection
            .prepare_cached(
                "UPDATE attempt SET steps = '[]' WHERE outcome = ?3 AND id =
                     (SELECT id FROM attempt WHERE account = ?1 ORDER BY started DESC, id DESC LIMIT 1 OFFSET ?2)",
            )?
            .execute(params![attempt.account, KEPT_STEPS, Outcome::Done.as_str()])?;
        Ok(())
    }

    fn note_steps(&self, attempt: &AttemptRow) -> Result<(), VaultError> {
        self.upsert_attempt(attempt, "steps = excluded.steps WHERE attempt.ended IS NULL")
    }

    fn attempts(&self, account: &AccountName, most: u32) -> Result<Vec<AttemptRow>, VaultError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {ATTEMPT_COLUMNS} FROM attempt WHERE account = ?1 ORDER BY started DESC, id DESC LIMIT ?2"
        ))?;
        let rows = statement.query_map(params![account.as_str(), most], attempt_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn end_attempt(&self, attempt: &str, outcome: Outcome, now: &Moment) -> Result<(), VaultError> {
        self.connection
            .prepare_cached("UPDATE attempt SET ended = ?2, outcome = ?3 WHERE id = ?1 AND ended IS NULL")?
            .execute(params![attempt, now.wall_ms, outcome.as_str()])?;
        Ok(())
    }

    fn is_open(&self, attempt: &str) -> Result<bool, VaultError> {
        let text = "SELECT EXISTS (SELECT 1 FROM attempt WHERE id = ?1 AND ended IS NULL)";
        Ok(self.connection.prepare_cached(text)?.query_row([attempt], |row| row.get(0))?)
    }

    fn open_attempts(&self) -> Result<Vec<AttemptRow>, VaultError> {
        let text = format!("SELECT {ATTEMPT_COLUMNS} FROM attempt WHERE ended IS NULL ORDER BY started, id");
        let mut statement = self.connection.prepare(&text)?;
        let rows = statement.query_map([], attempt_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn close_open_attempts(&self, now: &Moment) -> Result<(), VaultError> {
        self.connection.execute(
            "UPDATE attempt SET ended = ?1, outcome = ?2, detail = ?3 WHERE ended IS NULL",
            params![now.wall_ms, Outcome::Unknown.as_str(), INTERRUPTED],
        )?;
        Ok(())
    }

    fn history(&self, account: &AccountName) -> Result<Vec<HistoryEntry>, VaultError> {
        let current: Option<i64> = self
            .connection
            .query_row("SELECT current FROM account WHERE name = ?1", [account.as_str()], |row| row.get(0))
            .optional()?
            .flatten();
        let entry = |stored: StoredPassword| HistoryEntry {
            password: stored.secret,
            from: rfc3339(stored.made),
            until: stored.retired.map(rfc3339),
            current: Some(stored.version) == current,
        };
        Ok(self.passwords(account)?.into_iter().map(entry).collect())
    }

    fn host_keys(&self, device: &str) -> Result<Vec<HostKeyRow>, VaultError> {
        self.trusted_host_keys(device)
    }

    fn trust_host_key(&self, device: &str, key: &HostKeyRow, now: &Moment) -> Result<(), VaultError> {
        self.store_host_key(device, key, now)
    }
}

impl SqliteTransaction<'_> {
    /// Inserts an attempt's row; `update` is what becomes of one that is there.
    fn upsert_attempt(&self, attempt: &AttemptRow, update: &str) -> Result<(), VaultError> {
        let steps = serde_json::to_string(&*attempt.steps).map_err(|_| VaultError::Unreadable("step"))?;
        let actor = attempt.actor.as_ref().and_then(|actor| serde_json::to_string(actor).ok());
        let (kind, failure) = (attempt.kind.as_str(), attempt.failure.map(FailureCause::as_str));
        self.connection
            .prepare_cached(&format!(
                "INSERT INTO attempt (id, account, started, ended, cause, actor, outcome, detail, steps, warning, kind, job, reason, failure)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) ON CONFLICT (id) DO UPDATE SET {update}"
            ))?
            .execute(params![
                attempt.id,
                attempt.account,
                attempt.started,
                attempt.ended,
                attempt.trigger,
                actor,
                attempt.outcome,
                attempt.detail,
                steps,
                attempt.warning,
                kind,
                attempt.job,
                attempt.reason,
                failure
            ])?;
        Ok(())
    }

    /// Makes the account's row where it is missing.
    pub(super) fn ensure_account(&self, account: &AccountName, now: &Moment) -> Result<(), VaultError> {
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO account (name, since) VALUES (?1, ?2)")?
            .execute(params![account.as_str(), now.wall_ms])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_doubt_is_read_as_it_was_written_and_so_are_those_of_before() {
        let flags = [false, true];
        for (likely, looks) in
            [Which::Old, Which::New].into_iter().flat_map(|likely| [(likely, 0), (likely, 1), (likely, 255)])
        {
            for (other_refused, hung_up) in flags.into_iter().flat_map(|first| flags.map(|second| (first, second))) {
                let phase = Phase::Uncertain(Doubt { likely, other_refused, hung_up, looks });
                assert_eq!(parse_phase(&phase_text(phase)), Some(phase));
            }
        }
        let before = Doubt { other_refused: true, hung_up: true, ..Doubt::fresh(Which::New) };
        assert_eq!(parse_phase("uncertain-new-only-hung"), Some(Phase::Uncertain(before)));
        for nonsense in ["uncertain", "uncertain-", "uncertain-newer", "uncertain-new-x", "uncertain-new-256", "idle-1"]
        {
            assert_eq!(parse_phase(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn what_waits_is_found_by_an_index() {
        let mut connection = rusqlite::Connection::open_in_memory().unwrap();
        super::super::schema::migrate(&mut connection).unwrap();
        for condition in DUE.into_iter().chain([SOON]) {
            let explain = format!("EXPLAIN QUERY PLAN SELECT name FROM account WHERE {condition}");
            let mut statement = connection.prepare(&explain).unwrap();
            // What is not bound is NULL, which is as good here.
            let plan: String = statement.raw_query().next().unwrap().unwrap().get(3).unwrap();
            assert!(plan.contains("USING") && plan.contains("INDEX account_"), "{condition}: {plan}");
        }
    }
}

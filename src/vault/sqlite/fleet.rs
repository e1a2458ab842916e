//! Jobs, attempts, device clocks and host keys.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::transaction::SqliteTransaction;
use crate::model::{AccountName, AttemptKind, DeviceName, FailureCause, Moment, Outcome, Step, Trigger};
use crate::totp::Skew;
use crate::vault::error::VaultError;
use crate::vault::records::{AttemptRow, Firing, HostKeyRow, INTERRUPTED, KEPT_ATTEMPTS};
use crate::vault::transaction::FleetStore;

/// Of its last attempts, so many keep their steps. Others do where they did not end well.
const KEPT_STEPS: u32 = 5;

const ATTEMPT_COLUMNS: &str =
    "id, account, started, ended, cause, actor, outcome, detail, steps, warning, kind, job, reason, failure";

fn attempt_row(row: &Row<'_>) -> rusqlite::Result<AttemptRow> {
    Ok(AttemptRow {
        id: row.get(0)?,
        account: row.get(1)?,
        started: row.get(2)?,
        ended: row.get(3)?,
        trigger: Trigger::parse(&row.get::<_, String>(4)?).unwrap_or(Trigger::Command),
        actor: row.get::<_, Option<String>>(5)?.and_then(|text| serde_json::from_str(&text).ok()),
        outcome: row.get::<_, Option<String>>(6)?.map(|word| Outcome::parse(&word).unwrap_or(Outcome::Unknown)),
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

/// Every device of whose clock something is known, by name.
pub(super) fn all_skews(connection: &Connection) -> Result<Vec<(String, Skew)>, VaultError> {
    let mut known =
        connection.prepare_cached("SELECT device, steps, tried, worked, phase FROM device_clock ORDER BY device")?;
    let rows = known.query_map([], |row| Ok((row.get(0)?, skew_at(row, 1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl FleetStore for SqliteTransaction<'_> {
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

    fn skew(&self, device: &DeviceName) -> Result<Skew, VaultError> {
        let mut known =
            self.connection.prepare_cached("SELECT steps, tried, worked, phase FROM device_clock WHERE device = ?1")?;
        Ok(known.query_row([device.as_str()], |row| skew_at(row, 0)).optional()?.unwrap_or_default())
    }

    fn skews(&self) -> Result<Vec<(String, Skew)>, VaultError> {
        all_skews(self.connection)
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
                attempt.trigger.as_str(),
                actor,
                attempt.outcome.map(Outcome::as_str),
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
}

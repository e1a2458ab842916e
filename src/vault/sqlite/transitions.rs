//! The steps of a rotation made durable, and the limits that are counted here.

use std::collections::HashMap;

use rusqlite::params;

use super::records::phase_text;
use super::transaction::SqliteTransaction;
use crate::model::{AccountName, BootId, Candidate, Moment};
use crate::policy::{DAY_MS, restamp};
use crate::rotation::{Doubt, Persist, Phase, QUARANTINE_LOOK_MS};
use crate::totp::{Pick, Seed, Wanted};
use crate::vault::error::VaultError;
use crate::vault::records::{CUT_OFF, KEPT, Kind, Refusal, Reservation, Transition};
use crate::vault::transaction::Transitions;

impl Transitions for SqliteTransaction<'_> {
    fn transition(&self, transition: &Transition<'_>) -> Result<(), VaultError> {
        let Transition { account, attempt, persist, candidate, keep, flaw, now } = *transition;
        match persist {
            Persist::Prepared | Persist::Mending => {
                let candidate = candidate.ok_or(VaultError::Unreadable("candidate"))?;
                // An account that another one changes may have been unknown to the vault until now. The candidate that
                // an earlier change sent stays among the secrets: the device may hold it.
                self.ensure_account(account, now)?;
                let version = self.add_secret(account, &Kind::Password, candidate.secret(), now)?;
                let phase = if persist == Persist::Mending { Phase::Mending } else { Phase::Prepared };
                self.set_phase(account, phase, Some(attempt), now)?;
                self.connection
                    .execute("UPDATE account SET candidate = ?2 WHERE name = ?1", params![account.as_str(), version])?;
            }
            Persist::Changing => self.set_phase(account, Phase::Changing, Some(attempt), now)?,
            Persist::Sent => {
                self.set_phase(account, Phase::Sent, Some(attempt), now)?;
                // Until the template has come to its end.
                self.set_flaw(account, Some(CUT_OFF))?;
                self.connection.execute(
                    "INSERT OR IGNORE INTO change (account, attempt, wall, boot, up) VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![account.as_str(), attempt, now.wall_ms, now.boot.to_string(), now.since_boot_ms],
                )?;
            }
            Persist::Verifying => {
                self.set_phase(account, Phase::Verifying, Some(attempt), now)?;
                self.set_flaw(account, None)?;
            }
            Persist::Uncertain(doubt) => {
                self.drop_unsent(account)?;
                self.adopt_taken_back(account)?;
                self.set_phase(account, Phase::Uncertain(doubt), Some(attempt), now)?;
                if flaw.is_some() {
                    self.set_flaw(account, flaw)?;
                }
            }
            Persist::Quarantine => {
                self.drop_unsent(account)?;
                let look = now.plus_ms(QUARANTINE_LOOK_MS);
                // What was tried to find out is not what is tried to mend it.
                self.connection.execute(
                    "UPDATE account SET tries = 0, wake = ?2, wake_boot = ?3, wake_up = ?4 WHERE name = ?1 AND state <> 'mending'",
                    params![account.as_str(), look.wall_ms, look.boot.to_string(), look.since_boot_ms],
                )?;
                self.set_phase(account, Phase::Quarantined, Some(attempt), now)?;
            }
            Persist::Promote => {
                if flaw.is_some() {
                    self.set_flaw(account, flaw)?;
                }
                // One that was taken back is tried in quarantine too.
                self.adopt_taken_back(account)?;
                self.promote(account, keep, now)?;
            }
            Persist::Revert => self.revert(account, now)?,
        }
        Ok(())
    }

    fn doubt(
        &self,
        account: &AccountName,
        why: &str,
        attempt: &str,
        looks: u8,
        now: &Moment,
    ) -> Result<bool, VaultError> {
        let done = self.connection.execute(
            "UPDATE account SET last_error = ?2, wake = NULL, tries = 0
             WHERE name = ?1 AND state = 'idle' AND current IS NOT NULL",
            params![account.as_str(), why],
        )?;
        if done > 0 {
            let doubt = Doubt::of_stored(looks, self.adopt_taken_back(account)?);
            self.set_phase(account, Phase::Uncertain(doubt), Some(attempt), now)?;
        }
        Ok(done > 0)
    }

    fn taken_back(&self, account: &AccountName) -> Result<Option<Candidate>, VaultError> {
        let version = self.version_taken_back(account)?;
        let secret = version.map_or(Ok(None), |version| self.open_secret(account, &Kind::Password, version))?;
        Ok(secret.map(Candidate::new))
    }

    fn set_last_error(&self, account: &AccountName, error: Option<&str>) -> Result<(), VaultError> {
        self.connection
            .execute("UPDATE account SET last_error = ?2 WHERE name = ?1", params![account.as_str(), error])?;
        Ok(())
    }

    fn candidate(&self, account: &AccountName) -> Result<Option<Candidate>, VaultError> {
        let version: Option<i64> =
            self.connection
                .query_row("SELECT candidate FROM account WHERE name = ?1", [account.as_str()], |row| row.get(0))?;
        let secret = version.map_or(Ok(None), |version| self.open_secret(account, &Kind::Password, version))?;
        Ok(secret.map(Candidate::new))
    }

    fn changes(&self, account: &AccountName, now: &Moment) -> Result<Vec<Moment>, VaultError> {
        let mut statement =
            self.connection.prepare_cached("SELECT wall, boot, up, attempt FROM change WHERE account = ?1")?;
        let rows = statement
            .query_map([account.as_str()], |row| Ok((stamp(row)?, row.get::<_, String>(3)?)))?
            .collect::<Result<Vec<_>, _>>()?;
        rows.into_iter()
            .map(|(stamp, attempt)| {
                let Some(fresh) = restamp(&stamp, now) else { return Ok(stamp) };
                self.connection.execute(
                    "UPDATE change SET wall = ?3, boot = ?4, up = ?5 WHERE account = ?1 AND attempt = ?2",
                    params![account.as_str(), attempt, fresh.wall_ms, fresh.boot.to_string(), fresh.since_boot_ms],
                )?;
                Ok(fresh)
            })
            .collect()
    }

    fn all_changes(&self) -> Result<HashMap<String, Vec<Moment>>, VaultError> {
        let mut statement = self.connection.prepare_cached("SELECT wall, boot, up, account FROM change")?;
        let mut changes: HashMap<String, Vec<Moment>> = HashMap::new();
        for row in statement.query_map([], |row| Ok((stamp(row)?, row.get::<_, String>(3)?)))? {
            let (stamp, account) = row?;
            changes.entry(account).or_default().push(stamp);
        }
        Ok(changes)
    }

    fn add_failed_login(&self, account: &AccountName, now: &Moment) -> Result<i64, VaultError> {
        self.connection.execute(
            "INSERT INTO failed_login (account, wall, boot, up) VALUES (?1, ?2, ?3, ?4)",
            params![account.as_str(), now.wall_ms, now.boot.to_string(), now.since_boot_ms],
        )?;
        Ok(self.connection.last_insert_rowid())
    }

    fn remove_failed_login(&self, account: &AccountName, id: i64) -> Result<(), VaultError> {
        self.connection
            .execute("DELETE FROM failed_login WHERE account = ?1 AND id = ?2", params![account.as_str(), id])?;
        Ok(())
    }

    fn login_was_refused(&self, account: &AccountName, id: i64, with_code: bool) -> Result<(), VaultError> {
        self.connection.execute(
            "UPDATE failed_login SET refused = ?3 WHERE account = ?1 AND id = ?2",
            params![account.as_str(), id, with_code],
        )?;
        Ok(())
    }

    fn login_was_taken(&self, account: &AccountName, with_code: bool) -> Result<(), VaultError> {
        self.connection
            .prepare_cached(
                "UPDATE failed_login SET past = 1 WHERE account = ?1 AND (refused = 0 OR refused = 1 AND ?2)",
            )?
            .execute(params![account.as_str(), with_code])?;
        Ok(())
    }

    fn refused_for_secret(&self, account: &AccountName) -> Result<(), VaultError> {
        self.connection
            .execute("UPDATE failed_login SET refused = 0 WHERE account = ?1 AND refused = 1", [account.as_str()])?;
        Ok(())
    }

    fn refusals(&self, account: &AccountName, now: &Moment) -> Result<Vec<Refusal>, VaultError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT wall, boot, up, refused, past FROM failed_login WHERE account = ?1 AND refused IS NOT NULL",
        )?;
        let rows = statement.query_map([account.as_str()], |row| Ok((stamp(row)?, row.get(3)?, row.get(4)?)))?;
        rows.map(|row| {
            let (at, with_code, past) = row?;
            Ok(Refusal { at: restamp(&at, now).unwrap_or(at), with_code, past })
        })
        .collect()
    }

    fn failed_logins(&self, account: &AccountName, now: &Moment) -> Result<Vec<Moment>, VaultError> {
        let mut statement =
            self.connection.prepare_cached("SELECT wall, boot, up, id FROM failed_login WHERE account = ?1")?;
        let rows = statement
            .query_map([account.as_str()], |row| Ok((stamp(row)?, row.get::<_, i64>(3)?)))?
            .collect::<Result<Vec<_>, _>>()?;
        rows.into_iter()
            .map(|(stamp, id)| {
                let Some(fresh) = restamp(&stamp, now) else {
                    return Ok(stamp);
                };
                self.connection.execute(
                    "UPDATE failed_login SET wall = ?2, boot = ?3, up = ?4 WHERE id = ?1",
                    params![id, fresh.wall_ms, fresh.boot.to_string(), fresh.since_boot_ms],
                )?;
                Ok(fresh)
            })
            .collect()
    }

    fn free_code(&self, seed: &Seed, wanted: Wanted, now: &Moment) -> Result<Pick, VaultError> {
        self.pick(self.known_seed(seed)?, seed, wanted, now)
    }

    fn reserve_code(&self, seed: &Seed, wanted: Wanted, now: &Moment) -> Result<Reservation, VaultError> {
        let id = self.seed_number(seed)?;
        match self.pick(Some(id), seed, wanted, now)? {
            Pick::WaitUntil(at) => Ok(Reservation::WaitUntil(at)),
            Pick::Use(step) => {
                // It was looked for just now; that it is handed out once does not hang on that alone.
                if !self.use_step(id, step, now)? {
                    return Err(VaultError::Refused("the code of this time step was used already".into()));
                }
                Ok(Reservation::Code { code: seed.code(step), step })
            }
        }
    }

    fn clock_was_set(&self, now: &Moment) -> Result<(), VaultError> {
        for statement in [
            "UPDATE change SET wall = ?1 - (?2 - up) WHERE boot = ?3",
            "UPDATE failed_login SET wall = ?1 - (?2 - up) WHERE boot = ?3",
            "UPDATE account SET wake = ?1 - (?2 - wake_up) WHERE wake_boot = ?3 AND wake IS NOT NULL",
        ] {
            self.connection.execute(statement, params![now.wall_ms, now.since_boot_ms, now.boot.to_string()])?;
        }
        Ok(())
    }

    fn forget_old(&self, now: &Moment) -> Result<(), VaultError> {
        let days_ago = |days: i64| now.wall_ms.saturating_sub(days * DAY_MS);
        for stamps in ["failed_login", "change"] {
            // A clock that leapt ahead must not forget what happened today: nothing of this boot goes.
            let statement = format!("DELETE FROM {stamps} WHERE wall < ?1 AND boot <> ?2");
            self.connection.execute(&statement, params![days_ago(8), now.boot.to_string()])?;
        }
        self.elapsed_days(now)?;
        self.connection.execute(
            "DELETE FROM seed WHERE NOT EXISTS (SELECT 1 FROM used_step WHERE used_step.seed = seed.id)",
            [],
        )?;
        self.connection.execute("DELETE FROM attempt WHERE started < ?1", [days_ago(400)])?;
        Ok(())
    }
}

impl SqliteTransaction<'_> {
    pub(super) fn set_phase(
        &self,
        account: &AccountName,
        phase: Phase,
        attempt: Option<&str>,
        now: &Moment,
    ) -> Result<(), VaultError> {
        self.connection
            .prepare_cached("UPDATE account SET state = ?2, since = ?3, attempt = ?4 WHERE name = ?1")?
            .execute(params![account.as_str(), phase_text(phase), now.wall_ms, attempt])?;
        Ok(())
    }

    fn set_flaw(&self, account: &AccountName, flaw: Option<&str>) -> Result<(), VaultError> {
        self.connection
            .prepare_cached("UPDATE account SET flaw = ?2 WHERE name = ?1")?
            .execute(params![account.as_str(), flaw])?;
        Ok(())
    }

    fn promote(&self, account: &AccountName, keep: usize, now: &Moment) -> Result<(), VaultError> {
        self.connection.execute(
            "UPDATE secret SET retired = ?2 WHERE account = ?1 AND kind = 'password' AND retired IS NULL
             AND version <> (SELECT candidate FROM account WHERE name = ?1)",
            params![account.as_str(), now.wall_ms],
        )?;
        self.connection.execute(
            "UPDATE account SET current = candidate, candidate = NULL, last_change = ?2, last_error = NULL, verify_error = NULL, wake = NULL, tries = 0,
             warning = flaw, flaw = NULL
             WHERE name = ?1 AND candidate IS NOT NULL",
            params![account.as_str(), now.wall_ms],
        )?;
        // Old passwords stay: a device that did not save its configuration may come back with one.
        self.connection.execute(
            "DELETE FROM secret WHERE account = ?1 AND kind = 'password' AND retired IS NOT NULL AND version NOT IN
             (SELECT version FROM secret WHERE account = ?1 AND kind = 'password' ORDER BY version DESC LIMIT ?2)",
            params![account.as_str(), i64::try_from(keep.max(KEPT - 1) + 1).unwrap_or(i64::MAX)],
        )?;
        self.set_phase(account, Phase::Idle, None, now)
    }

    /// The newest password behind the current one that is no candidate and was not made one again.
    fn version_taken_back(&self, account: &AccountName) -> Result<Option<i64>, VaultError> {
        let newest = self.connection.query_row(
            "SELECT max(version) FROM secret JOIN account ON account.name = secret.account
             WHERE account = ?1 AND kind = 'password' AND version > max(coalesce(current, 0), adopted)
             AND version <> coalesce(candidate, 0)",
            [account.as_str()],
            |row| row.get(0),
        )?;
        Ok(newest)
    }

    /// Where there is no candidate, the password that was taken back is one again; once, or it would be tried on and on where
    /// the stored one is refused for another reason. Whether there was one.
    pub(super) fn adopt_taken_back(&self, account: &AccountName) -> Result<bool, VaultError> {
        let Some(version) = self.version_taken_back(account)? else { return Ok(false) };
        let adopted = self.connection.execute(
            "UPDATE account SET candidate = ?2, adopted = ?2 WHERE name = ?1 AND candidate IS NULL",
            params![account.as_str(), version],
        )?;
        if adopted > 0 {
            self.connection.execute(
                "UPDATE secret SET retired = NULL WHERE account = ?1 AND kind = 'password' AND version = ?2",
                params![account.as_str(), version],
            )?;
        }
        Ok(adopted > 0)
    }

    /// Deletes a candidate that never left: no device can hold it.
    pub(super) fn drop_unsent(&self, account: &AccountName) -> Result<(), VaultError> {
        self.connection.execute(
            "DELETE FROM secret WHERE account = ?1 AND kind = 'password' AND version =
             (SELECT candidate FROM account WHERE name = ?1 AND state IN ('prepared', 'changing', 'mending'))",
            [account.as_str()],
        )?;
        // Where an account was to be mended, the candidate of the change that failed before takes its place again.
        self.connection.execute(
            "UPDATE account SET candidate = (
                 SELECT max(version) FROM secret WHERE account = ?1 AND kind = 'password' AND retired IS NULL
                 AND version > coalesce(account.current, 0) AND account.state = 'mending')
             WHERE name = ?1 AND state IN ('prepared', 'changing', 'mending')",
            [account.as_str()],
        )?;
        Ok(())
    }

    /// Drops the candidate. One that was sent is kept as history all the same: the device has seen it.
    fn revert(&self, account: &AccountName, now: &Moment) -> Result<(), VaultError> {
        self.drop_unsent(account)?;
        self.connection.execute(
            "UPDATE secret SET retired = ?2 WHERE account = ?1 AND kind = 'password'
             AND version = (SELECT candidate FROM account WHERE name = ?1)",
            params![account.as_str(), now.wall_ms],
        )?;
        self.connection.execute(
            "UPDATE account SET candidate = NULL, wake = NULL, flaw = NULL,
             tries = CASE WHEN state IN ('prepared', 'changing') THEN tries ELSE 0 END WHERE name = ?1",
            [account.as_str()],
        )?;
        self.set_phase(account, Phase::Idle, None, now)
    }
}

fn stamp(row: &rusqlite::Row<'_>) -> rusqlite::Result<Moment> {
    Ok(Moment { wall_ms: row.get(0)?, boot: BootId::of(&row.get::<_, String>(1)?), since_boot_ms: row.get(2)? })
}

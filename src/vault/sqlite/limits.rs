//! What is counted: changes, logins and codes.

use std::collections::HashMap;

use rusqlite::{Row, params};

use super::transaction::{SqliteTransaction, stamp_at};
use crate::model::{AccountName, Moment};
use crate::policy::DAY_MS;
use crate::totp::Seed;
use crate::vault::error::VaultError;
use crate::vault::records::LoginRecord;
use crate::vault::transaction::LimitStore;

impl LimitStore for SqliteTransaction<'_> {
    fn change_stamps(&self, account: &AccountName) -> Result<Vec<(String, Moment)>, VaultError> {
        let text = "SELECT attempt, wall, boot, up FROM change WHERE account = ?1";
        let mut statement = self.connection.prepare_cached(text)?;
        let rows = statement.query_map([account.as_str()], |row| Ok((row.get(0)?, stamp_at(row, 1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn all_changes(&self) -> Result<HashMap<String, Vec<Moment>>, VaultError> {
        let mut statement = self.connection.prepare_cached("SELECT account, wall, boot, up FROM change")?;
        let mut changes: HashMap<String, Vec<Moment>> = HashMap::new();
        for row in statement.query_map([], |row| Ok((row.get::<_, String>(0)?, stamp_at(row, 1)?)))? {
            let (account, stamp) = row?;
            changes.entry(account).or_default().push(stamp);
        }
        Ok(changes)
    }

    fn add_change(&self, account: &AccountName, attempt: &str, at: &Moment) -> Result<(), VaultError> {
        self.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO change (account, attempt, wall, boot, up) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![account.as_str(), attempt, at.wall_ms, at.boot.to_string(), at.since_boot_ms])?;
        Ok(())
    }

    fn restamp_change(&self, account: &AccountName, attempt: &str, at: &Moment) -> Result<(), VaultError> {
        self.connection.execute(
            "UPDATE change SET wall = ?3, boot = ?4, up = ?5 WHERE account = ?1 AND attempt = ?2",
            params![account.as_str(), attempt, at.wall_ms, at.boot.to_string(), at.since_boot_ms],
        )?;
        Ok(())
    }

    fn logins(&self, account: &AccountName) -> Result<Vec<LoginRecord>, VaultError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT id, refused, past, wall, boot, up FROM failed_login WHERE account = ?1")?;
        let login = |row: &Row<'_>| {
            Ok(LoginRecord { id: row.get(0)?, refused: row.get(1)?, past: row.get(2)?, at: stamp_at(row, 3)? })
        };
        let rows = statement.query_map([account.as_str()], login)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn add_login(&self, account: &AccountName, at: &Moment) -> Result<i64, VaultError> {
        self.connection
            .prepare_cached("INSERT INTO failed_login (account, wall, boot, up) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![account.as_str(), at.wall_ms, at.boot.to_string(), at.since_boot_ms])?;
        Ok(self.connection.last_insert_rowid())
    }

    fn save_login(&self, account: &AccountName, login: &LoginRecord) -> Result<(), VaultError> {
        let LoginRecord { id, at, refused, past } = login;
        self.connection
            .prepare_cached(
                "UPDATE failed_login SET wall = ?3, boot = ?4, up = ?5, refused = ?6, past = ?7 WHERE account = ?1 AND id = ?2",
            )?
            .execute(params![
                account.as_str(),
                id,
                at.wall_ms,
                at.boot.to_string(),
                at.since_boot_ms,
                refused,
                past
            ])?;
        Ok(())
    }

    fn remove_login(&self, account: &AccountName, id: i64) -> Result<(), VaultError> {
        self.connection
            .prepare_cached("DELETE FROM failed_login WHERE account = ?1 AND id = ?2")?
            .execute(params![account.as_str(), id])?;
        Ok(())
    }

    fn is_used(&self, seed: &Seed, step: u64) -> Result<bool, VaultError> {
        self.is_step_used(seed, step)
    }

    fn use_step(&self, seed: &Seed, step: u64, now: &Moment) -> Result<bool, VaultError> {
        self.use_step_of(self.seed_number(seed)?, step, now)
    }

    fn use_step_of_any_seed(&self, step: u64, now: &Moment) -> Result<(), VaultError> {
        self.use_step_of_any(step, now)
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

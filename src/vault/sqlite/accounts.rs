//! Accounts, and their secrets: passwords in versions, seeds, private keys and secret fields, each sealed on its own.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::phase::{parse_phase, phase_text};
use super::transaction::SqliteTransaction;
use crate::model::{AccountName, BootId, Moment, Secret};
use crate::rotation::{AccountRecord, PasswordOperations, PasswordVersion, Phase};
use crate::vault::error::VaultError;
use crate::vault::records::{Kind, Waits};
use crate::vault::transaction::AccountStore;

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

const ACCOUNT_COLUMNS: &str = "name, state, since, attempt, current, candidate, adopted, paused, last_change, last_error, tries, verified, warning, flaw, wake, wake_boot, wake_up, verify_error";

/// A record and the text of its phase.
fn account_row(row: &Row<'_>) -> rusqlite::Result<(AccountRecord, String)> {
    let wake = match row.get(14)? {
        Some(wall_ms) => {
            // A schema before the third one has no boot.
            let boot: Option<String> = row.get(15)?;
            let up: Option<i64> = row.get(16)?;
            Some(Moment { wall_ms, boot: BootId::of(&boot.unwrap_or_default()), since_boot_ms: up.unwrap_or_default() })
        }
        None => None,
    };
    let record = AccountRecord {
        name: row.get(0)?,
        phase: Phase::Idle,
        since: row.get(2)?,
        attempt: row.get(3)?,
        current: row.get(4)?,
        candidate: row.get(5)?,
        adopted: row.get(6)?,
        paused: row.get(7)?,
        last_change: row.get(8)?,
        last_error: row.get(9)?,
        tries: row.get(10)?,
        verified: row.get(11)?,
        warning: row.get(12)?,
        flaw: row.get(13)?,
        verify_error: row.get(17)?,
        wake,
    };
    Ok((record, row.get(1)?))
}

fn with_phase((record, phase): (AccountRecord, String)) -> Result<AccountRecord, VaultError> {
    let phase = parse_phase(&phase).ok_or(VaultError::Unreadable("account state"))?;
    Ok(AccountRecord { phase, ..record })
}

fn place(account: &AccountName, kind: &str, version: i64) -> String {
    place_of(account.as_str(), kind, version)
}

/// What a secret is sealed with besides the key, so that no row can stand in for another.
pub(super) fn place_of(account: &str, kind: &str, version: i64) -> String {
    format!("rotord secret 1|{account}|{kind}|{version}")
}

/// The records of all accounts, in the order of their names.
pub(super) fn all_accounts(connection: &Connection) -> Result<Vec<AccountRecord>, VaultError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {ACCOUNT_COLUMNS} FROM account ORDER BY name"))?;
    let rows = statement.query_map([], account_row)?.collect::<Result<Vec<_>, _>>()?;
    rows.into_iter().map(with_phase).collect()
}

impl AccountStore for SqliteTransaction<'_> {
    fn account(&self, account: &AccountName) -> Result<Option<AccountRecord>, VaultError> {
        let found = self
            .connection
            .prepare_cached(&format!("SELECT {ACCOUNT_COLUMNS} FROM account WHERE name = ?1"))?
            .query_row([account.as_str()], account_row)
            .optional()?;
        found.map(with_phase).transpose()
    }

    fn accounts(&self) -> Result<Vec<AccountRecord>, VaultError> {
        all_accounts(self.connection)
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

    fn save_account(&self, record: &AccountRecord) -> Result<(), VaultError> {
        let AccountRecord { name, phase, since, attempt, current, candidate, adopted, paused, .. } = record;
        let AccountRecord { last_change, last_error, tries, verified, warning, flaw, wake, verify_error, .. } = record;
        self.connection
            .prepare_cached(&format!(
                "INSERT OR REPLACE INTO account ({ACCOUNT_COLUMNS})
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)"
            ))?
            .execute(params![
                name,
                phase_text(*phase),
                since,
                attempt,
                current,
                candidate,
                adopted,
                paused,
                last_change,
                last_error,
                tries,
                verified,
                warning,
                flaw,
                wake.map(|at| at.wall_ms),
                wake.map(|at| at.boot.to_string()),
                wake.map(|at| at.since_boot_ms),
                verify_error,
            ])?;
        Ok(())
    }

    fn password_versions(&self, account: &AccountName) -> Result<Vec<PasswordVersion>, VaultError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT version, made, retired FROM secret WHERE account = ?1 AND kind = 'password' ORDER BY version",
        )?;
        let version =
            |row: &Row<'_>| Ok(PasswordVersion { number: row.get(0)?, made: row.get(1)?, retired: row.get(2)? });
        let rows = statement.query_map([account.as_str()], version)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn password(&self, account: &AccountName, number: i64) -> Result<Option<Secret>, VaultError> {
        self.open_secret(account, &Kind::Password, number)
    }

    fn save_passwords(
        &self,
        account: &AccountName,
        operations: &PasswordOperations,
        fresh: Option<&Secret>,
    ) -> Result<(), VaultError> {
        if let Some(added) = operations.added {
            let secret = fresh.ok_or(VaultError::Unreadable("candidate"))?;
            self.seal_secret(account, &Kind::Password, added.number, secret, added.made)?;
        }
        for number in &operations.removed {
            self.connection
                .prepare_cached("DELETE FROM secret WHERE account = ?1 AND kind = 'password' AND version = ?2")?
                .execute(params![account.as_str(), number])?;
        }
        for version in &operations.changed {
            let text = "UPDATE secret SET retired = ?3 WHERE account = ?1 AND kind = 'password' AND version = ?2";
            self.connection.prepare_cached(text)?.execute(params![
                account.as_str(),
                version.number,
                version.retired
            ])?;
        }
        Ok(())
    }

    fn other_secret(&self, account: &AccountName, kind: &Kind) -> Result<Option<Secret>, VaultError> {
        let newest = self.newest_version(account, kind)?;
        newest.map_or(Ok(None), |version| self.open_secret(account, kind, version))
    }

    fn accounts_with(&self, kind: &Kind) -> Result<Vec<String>, VaultError> {
        let text = "SELECT DISTINCT account FROM secret WHERE kind = ?1 ORDER BY account";
        let mut statement = self.connection.prepare_cached(text)?;
        let names = statement.query_map([kind.as_text()], |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }

    fn save_other_secret(
        &self,
        account: &AccountName,
        kind: &Kind,
        secret: &Secret,
        now: &Moment,
    ) -> Result<(), VaultError> {
        let version = self.newest_version(account, kind)?.unwrap_or(0) + 1;
        self.seal_secret(account, kind, version, secret, now.wall_ms)?;
        self.connection.execute(
            "DELETE FROM secret WHERE account = ?1 AND kind = ?2 AND version < ?3",
            params![account.as_str(), kind.as_text(), version],
        )?;
        Ok(())
    }

    fn secret_fields(&self, account: &AccountName) -> Result<Vec<(String, Secret)>, VaultError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT kind, version, sealed FROM secret WHERE account = ?1 AND kind LIKE 'field:%'")?;
        let rows = statement
            .query_map([account.as_str()], |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?))
            })?
            .collect::<Result<Vec<_>, _>>()?;
        rows.into_iter()
            .map(|(kind, version, sealed)| {
                let secret = self.unseal(account, &kind, version, &sealed)?;
                Ok((kind.trim_start_matches("field:").to_owned(), secret))
            })
            .collect()
    }
}

impl SqliteTransaction<'_> {
    fn newest_version(&self, account: &AccountName, kind: &Kind) -> Result<Option<i64>, VaultError> {
        let text = "SELECT max(version) FROM secret WHERE account = ?1 AND kind = ?2";
        let mut statement = self.connection.prepare_cached(text)?;
        Ok(statement.query_row(params![account.as_str(), kind.as_text()], |row| row.get(0))?)
    }

    /// Seals a version of a secret. None is overwritten.
    fn seal_secret(
        &self,
        account: &AccountName,
        kind: &Kind,
        version: i64,
        secret: &Secret,
        made: i64,
    ) -> Result<(), VaultError> {
        let kind = kind.as_text();
        let sealed = self.sealer.seal(&place(account, &kind, version), secret.expose().as_bytes())?;
        self.connection
            .prepare_cached("INSERT INTO secret (account, kind, version, sealed, made) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![account.as_str(), kind, version, sealed, made])?;
        Ok(())
    }

    /// Opens one version of a secret.
    fn open_secret(&self, account: &AccountName, kind: &Kind, version: i64) -> Result<Option<Secret>, VaultError> {
        let kind = kind.as_text();
        let sealed: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT sealed FROM secret WHERE account = ?1 AND kind = ?2 AND version = ?3")?
            .query_row(params![account.as_str(), kind, version], |row| row.get(0))
            .optional()?;
        sealed.map(|sealed| self.unseal(account, &kind, version, &sealed)).transpose()
    }

    fn unseal(&self, account: &AccountName, kind: &str, version: i64, sealed: &[u8]) -> Result<Secret, VaultError> {
        self.sealer
            .open(&place(account, kind, version), sealed)
            .and_then(|bytes| Secret::from_bytes(bytes.to_vec()))
            .ok_or_else(|| VaultError::Unsealing(account.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;

    #[test]
    fn what_waits_is_found_by_an_index() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection).unwrap();
        for condition in DUE.into_iter().chain([SOON]) {
            let explain = format!("EXPLAIN QUERY PLAN SELECT name FROM account WHERE {condition}");
            let mut statement = connection.prepare(&explain).unwrap();
            // What is not bound is NULL, which is as good here.
            let plan: String = statement.raw_query().next().unwrap().unwrap().get(3).unwrap();
            assert!(plan.contains("USING") && plan.contains("INDEX account_"), "{condition}: {plan}");
        }
    }
}

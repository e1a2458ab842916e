//! Sealed secrets: passwords in versions, seeds, private keys and secret fields.

use rusqlite::{OptionalExtension, params};

use super::transaction::SqliteTransaction;
use crate::model::{AccountName, Moment, Secret};
use crate::vault::error::VaultError;
use crate::vault::records::Kind;
use crate::vault::transaction::Secrets;

/// One version of a password: when it was made and when it went out of force, in milliseconds since 1970.
pub(super) struct StoredPassword {
    pub(super) secret: Secret,
    pub(super) made: i64,
    pub(super) retired: Option<i64>,
    pub(super) version: i64,
}

fn place(account: &AccountName, kind: &str, version: i64) -> String {
    place_of(account.as_str(), kind, version)
}

/// What a secret is sealed with besides the key, so that no row can stand in for another.
pub(super) fn place_of(account: &str, kind: &str, version: i64) -> String {
    format!("rotord secret 1|{account}|{kind}|{version}")
}

impl Secrets for SqliteTransaction<'_> {
    fn set_secret(&self, account: &AccountName, kind: &Kind, secret: &Secret, now: &Moment) -> Result<(), VaultError> {
        self.ensure_account(account, now)?;
        let version = self.add_secret(account, kind, secret, now)?;
        if *kind == Kind::Password {
            self.connection.execute(
                "UPDATE secret SET retired = ?2 WHERE account = ?1 AND kind = 'password' AND version < ?3 AND retired IS NULL",
                params![account.as_str(), now.wall_ms, version],
            )?;
            self.connection.execute(
                "UPDATE account SET current = ?2, candidate = NULL, state = 'idle', since = ?3, attempt = NULL, wake = NULL, tries = 0, last_error = NULL, verified = NULL, verify_error = NULL, flaw = NULL WHERE name = ?1",
                params![account.as_str(), version, now.wall_ms],
            )?;
        } else {
            self.connection.execute(
                "DELETE FROM secret WHERE account = ?1 AND kind = ?2 AND version < ?3",
                params![account.as_str(), kind.as_text(), version],
            )?;
        }
        Ok(())
    }

    fn secret(&self, account: &AccountName, kind: &Kind) -> Result<Option<Secret>, VaultError> {
        let version: Option<i64> = if *kind == Kind::Password {
            self.connection
                .query_row("SELECT current FROM account WHERE name = ?1", [account.as_str()], |row| row.get(0))
                .optional()?
                .flatten()
        } else {
            self.connection.query_row(
                "SELECT max(version) FROM secret WHERE account = ?1 AND kind = ?2",
                params![account.as_str(), kind.as_text()],
                |row| row.get(0),
            )?
        };
        version.map_or(Ok(None), |version| self.open_secret(account, kind, version))
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
    /// Seals a new version of a secret and returns its number. Nothing is overwritten.
    pub(super) fn add_secret(
        &self,
        account: &AccountName,
        kind: &Kind,
        secret: &Secret,
        now: &Moment,
    ) -> Result<i64, VaultError> {
        let kind = kind.as_text();
        let newest: Option<i64> = self.connection.query_row(
            "SELECT max(version) FROM secret WHERE account = ?1 AND kind = ?2",
            params![account.as_str(), kind],
            |row| row.get(0),
        )?;
        let version = newest.unwrap_or(0) + 1;
        let sealed = self.sealer.seal(&place(account, &kind, version), secret.expose().as_bytes())?;
        self.connection.execute(
            "INSERT INTO secret (account, kind, version, sealed, made) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![account.as_str(), kind, version, sealed, now.wall_ms],
        )?;
        Ok(version)
    }

    /// Opens one version of a secret.
    pub(super) fn open_secret(
        &self,
        account: &AccountName,
        kind: &Kind,
        version: i64,
    ) -> Result<Option<Secret>, VaultError> {
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

    /// All passwords that the vault holds of an account, newest first.
    pub(super) fn passwords(&self, account: &AccountName) -> Result<Vec<StoredPassword>, VaultError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT version, sealed, made, retired FROM secret WHERE account = ?1 AND kind = 'password' ORDER BY version DESC",
        )?;
        let rows = statement
            .query_map([account.as_str()], |row| {
                Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?, row.get(2)?, row.get(3)?))
            })?
            .collect::<Result<Vec<_>, _>>()?;
        rows.into_iter()
            .map(|(version, sealed, made, retired)| {
                Ok(StoredPassword {
                    secret: self.unseal(account, "password", version, &sealed)?,
                    made,
                    retired,
                    version,
                })
            })
            .collect()
    }
}

//! Taking in an account whose section was just written: its secrets are stored and the config is put in force, or neither is.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::MutexGuard;

use super::core::Core;
use super::secrets::store;
use crate::audit::Draft;
use crate::config::Config;
use crate::model::{AccountName, EventKind, Problem, Secret};
use crate::vault::{Kind, Ledger, VaultError};

/// Why an account is not taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrollError {
    /// The config on disk has errors.
    #[error("{0}")]
    Config(String),
    /// The config on disk has no such account.
    #[error("the config has no account '{0}'")]
    NoAccount(AccountName),
    /// The vault failed, or a rotation of an account of this name is under way.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// A config that was read from disk. No other one comes in force while it is held.
pub struct OnDisk<'c> {
    /// The config.
    pub config: Config,
    /// What is to be warned of.
    problems: Vec<Problem>,
    _turn: MutexGuard<'c, ()>,
}

impl Core {
    /// The file of the config.
    #[must_use]
    pub fn config_path(&self) -> &Path {
        &self.path
    }

    /// Reads the config again, stores an account's secrets, and puts that config in force. Where the config has errors nothing is
    /// stored, and where the secrets cannot be stored the former config stays in force. An account that is in force already, as a
    /// daemon that starts may find it, is one to add only if no secret of it is stored.
    ///
    /// # Errors
    /// One of these.
    pub async fn enroll(
        self: &Arc<Self>,
        account: AccountName,
        secrets: Vec<(Kind, Secret)>,
        event: impl Fn(&Kind) -> Draft + Send + 'static,
    ) -> Result<(), EnrollError> {
        let on_disk = self.config_on_disk().await?;
        if !on_disk.config.accounts.contains_key(&account) {
            return Err(EnrollError::NoAccount(account));
        }
        let in_force = self.config().accounts.contains_key(&account);
        let now = self.clock.now();
        let stores = move |tx: &dyn Ledger| {
            if in_force && has_secrets(tx, &account) {
                return Err(VaultError::Refused(format!("{account} is in the config in force already")));
            }
            for (kind, secret) in &secrets {
                store(tx, &account, kind, secret, &now)?;
                tx.audit(&event(kind), &now)?;
            }
            Ok(())
        };
        self.put_in_force(on_disk, stores).await
    }

    /// Waits until no other config is about to come in force, and reads the config as it is on disk.
    ///
    /// # Errors
    /// It has errors.
    pub async fn config_on_disk(&self) -> Result<OnDisk<'_>, EnrollError> {
        let turn = self.adopting().await;
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || Config::load(&path)).await;
        let (config, problems) = read.map_err(|error| EnrollError::Config(error.to_string()))?;
        match config {
            Some(config) => Ok(OnDisk { config, problems, _turn: turn }),
            None => Err(EnrollError::Config(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))),
        }
    }

    /// Stores what belongs to a config that was read, and puts it in force; or neither. That holds only if the caller waits to the
    /// end: where this is dropped in between, what is stored is there, and the config is not in force.
    ///
    /// # Errors
    /// The vault failed, or refused.
    pub async fn put_in_force<T: Send + 'static>(
        self: &Arc<Self>,
        on_disk: OnDisk<'_>,
        stores: impl FnOnce(&dyn Ledger) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, EnrollError> {
        let OnDisk { config, problems, _turn } = on_disk;
        let now = self.clock.now();
        let stored = self.vault.call(move |tx| {
            let stored = stores(tx)?;
            tx.audit(&Draft::new(EventKind::DaemonReload).detail("in force"), &now)?;
            Ok(stored)
        });
        let stored = stored.await?;
        self.prepare_escrow(&config).await;
        self.adopt(config);
        for problem in problems {
            tracing::warn!("{problem}");
        }
        Ok(stored)
    }
}

/// Whether anything is stored with which the account could log in. What cannot be read is something.
fn has_secrets(tx: &dyn Ledger, account: &AccountName) -> bool {
    [Kind::Password, Kind::Totp, Kind::SshKey].iter().any(|kind| !matches!(tx.secret(account, kind), Ok(None)))
}

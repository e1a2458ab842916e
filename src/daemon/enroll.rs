//! Taking in an account whose section was just written: its secrets are stored and the config is put in force, or neither is.

use std::path::Path;
use std::sync::Arc;

use super::core::Core;
use super::secrets::store;
use crate::audit::Draft;
use crate::config::Config;
use crate::model::{AccountName, EventKind, Secret};
use crate::vault::{Kind, VaultError};

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

impl Core {
    /// The file of the config.
    #[must_use]
    pub fn config_path(&self) -> &Path {
        &self.path
    }

    /// Reads the config again, stores an account's secrets, and puts that config in force. Where the config has errors nothing is
    /// stored, and where the secrets cannot be stored the former config stays in force.
    ///
    /// # Errors
    /// One of these.
    pub async fn enroll(
        self: &Arc<Self>,
        account: AccountName,
        secrets: Vec<(Kind, Secret)>,
        event: impl Fn(&Kind) -> Draft + Send + 'static,
    ) -> Result<(), EnrollError> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || Config::load(&path)).await;
        let (config, problems) = read.map_err(|error| EnrollError::Config(error.to_string()))?;
        let config = config.ok_or_else(|| {
            EnrollError::Config(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })?;
        if !config.accounts.contains_key(&account) {
            return Err(EnrollError::NoAccount(account));
        }
        let now = self.clock.now();
        let stored = self.vault.call(move |tx| {
            for (kind, secret) in &secrets {
                store(tx, &account, kind, secret, &now)?;
                tx.audit(&event(kind), &now)?;
            }
            tx.audit(&Draft::new(EventKind::DaemonReload).detail("in force"), &now)
        });
        stored.await?;
        self.prepare_escrow(&config).await;
        self.adopt(config);
        for problem in problems {
            tracing::warn!("{problem}");
        }
        Ok(())
    }
}

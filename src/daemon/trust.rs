//! Host keys: which are on record for a device, which it shows, and the one that a person trusts.

use std::collections::HashMap;

use super::core::Core;
use crate::audit::Draft;
use crate::clock::Waiting;
use crate::config::{Account, Config};
use crate::executor::terminal::{known_fingerprints, recorded_by_config};
use crate::executor::{DeviceError, Observer};
use crate::model::{Actor, DeviceName, EventKind};
use crate::rotation::HelperRole;
use crate::vault::{HostKeyRow, Ledger, VaultError};

/// The key that a device shows, for a person to compare.
#[derive(Debug, Clone)]
pub struct ShownKey {
    /// The key.
    pub row: HostKeyRow,
    /// What the device says of itself, not masked.
    pub greeting: String,
    /// The fingerprints that were on record before.
    pub known: Vec<String>,
    /// Whether others were on record, and not this one.
    pub changed: bool,
    /// Whether it is on record from now on.
    pub trusted: bool,
}

/// Why no key is trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The device cannot be reached, in words.
    #[error("{0}")]
    Unreached(String),
    /// It shows another key than the one that was confirmed.
    #[error("the device shows {shown}, not {}; nothing was stored", .confirmed.escape_debug())]
    ShowsAnother {
        /// The fingerprint that it shows.
        shown: String,
        /// The one that was confirmed.
        confirmed: String,
    },
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl Core {
    /// Fetches a device's host key, and puts it on record where it has the fingerprint that a person confirms.
    ///
    /// # Errors
    /// The device cannot be reached, or shows another key than the confirmed one; or the vault failed.
    pub async fn trust(
        &self,
        device: &DeviceName,
        confirmed: Option<String>,
        actor: Actor,
        reason: Option<String>,
    ) -> Result<ShownKey, TrustError> {
        let (row, greeting) = self.shown_host_key(device).await.map_err(TrustError::Unreached)?;
        let known = self.known_fingerprints(device).await?;
        let changed = !known.is_empty() && !known.contains(&row.fingerprint);
        let trusted = match confirmed {
            None => false,
            Some(confirmed) if confirmed == row.fingerprint => true,
            Some(confirmed) => return Err(TrustError::ShowsAnother { shown: row.fingerprint, confirmed }),
        };
        if trusted {
            let before = changed.then(|| format!("; CHANGED: on record was {}", known.join(", ")));
            let detail = format!("{}{}", row.fingerprint, before.unwrap_or_default());
            self.put_on_record(device, row.clone(), detail, actor, reason).await?;
        }
        Ok(ShownKey { row, greeting, known, changed, trusted })
    }

    async fn put_on_record(
        &self,
        device: &DeviceName,
        row: HostKeyRow,
        detail: String,
        actor: Actor,
        reason: Option<String>,
    ) -> Result<(), VaultError> {
        // A key is a device's. It is an account's, where the device has no other one.
        let config = self.config();
        let mut accounts = config.accounts_on(device.as_str()).map(|account| account.name.clone());
        let account = accounts.next().filter(|_| accounts.next().is_none());
        let (now, device) = (self.clock.now(), device.clone());
        let attempt = Some(self.fresh_id().into());
        let put = move |tx: &dyn Ledger| {
            tx.trust_host_key(device.as_str(), &row, &now)?;
            let draft = Draft {
                account,
                device: Some(device),
                actor: Some(actor),
                reason,
                attempt,
                ..Draft::new(EventKind::HostKeyTrusted).detail(detail)
            };
            tx.audit(&draft, &now)
        };
        self.vault.call(put).await
    }

    /// The fingerprints of the keys that are on record for a device: those of the config, of its `known_hosts` file and of the
    /// vault. One that was altered in the vault is on record no more.
    ///
    /// # Errors
    /// The vault failed.
    pub async fn known_fingerprints(&self, device: &DeviceName) -> Result<Vec<String>, VaultError> {
        let config = self.config();
        let Some(device) = config.devices.get(device) else { return Ok(Vec::new()) };
        let name = device.name.clone();
        let trusted = self.vault.call(move |tx| match tx.host_keys(name.as_str()) {
            Err(VaultError::HostKey(_)) => Ok(Vec::new()),
            keys => keys,
        });
        Ok(known_fingerprints(device, trusted.await?))
    }

    /// What is on record of the host keys of every device of a config, by its name.
    ///
    /// # Errors
    /// The vault failed.
    pub(crate) async fn all_on_record(&self, config: &Config) -> Result<HashMap<DeviceName, Vec<String>>, VaultError> {
        let of_config = config.devices.values().map(|device| (device.name.clone(), recorded_by_config(device)));
        let of_config: Vec<(DeviceName, Vec<String>)> = of_config.collect();
        self.vault
            .call(move |tx| {
                let of = |(name, of_config): (DeviceName, Vec<String>)| {
                    let found = on_record(tx, &name, &of_config)?;
                    Ok((name, found))
                };
                of_config.into_iter().map(of).collect()
            })
            .await
    }

    /// The key that a device shows now, for a person to compare, and what the device says of itself, not masked.
    ///
    /// # Errors
    /// There is no such device, or it cannot be reached.
    pub async fn shown_host_key(&self, device: &DeviceName) -> Result<(HostKeyRow, String), String> {
        self.shown_host_key_in(&self.config(), device).await
    }

    /// The same, of a device of a config that need not be in force.
    ///
    /// # Errors
    /// As [`Core::shown_host_key`].
    pub async fn shown_host_key_in(
        &self,
        config: &Config,
        device: &DeviceName,
    ) -> Result<(HostKeyRow, String), String> {
        let device =
            config.devices.get(device).ok_or_else(|| format!("there is no device '{device}' in the config"))?;
        self.executors.terminal.shown_host_key(config, device, &Silent(self)).await
    }
}

/// What is on record of a device's host keys, given what the config has. A key that was altered in the vault counts: what is on
/// record is not known then, and that is not nothing. Sorted.
///
/// # Errors
/// The vault failed.
pub fn on_record(tx: &dyn Ledger, device: &DeviceName, of_config: &[String]) -> Result<Vec<String>, VaultError> {
    let trusted = match tx.host_keys(device.as_str()) {
        Err(VaultError::HostKey(_)) => vec!["(a key that was altered in the vault)".to_owned()],
        rows => rows?.into_iter().map(|row| row.fingerprint).collect(),
    };
    let mut all = [of_config, &trusted].concat();
    all.sort();
    all.dedup();
    Ok(all)
}

/// Watches a login that changes nothing and that nobody follows.
struct Silent<'a>(&'a Core);

impl Observer for Silent<'_> {
    fn step(&self, _text: String) {}

    fn commit_point(&self) -> Waiting<'_, Result<(), DeviceError>> {
        let error = DeviceError::NotCommitted("nothing is changed here".into());
        Box::pin(std::future::ready(Err(error)))
    }

    fn may_help<'a>(&'a self, account: &'a Account, role: HelperRole) -> Waiting<'a, Result<(), DeviceError>> {
        Box::pin(self.0.may_help(account, role))
    }
}

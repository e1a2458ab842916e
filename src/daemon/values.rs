//! What the daemon knows of logins for other accounts, and of the host keys of devices.

use super::admission::{Admission, out_of_order};
use super::core::Core;
use crate::clock::Waiting;
use crate::config::{Account, Config};
use crate::executor::terminal::known_fingerprints;
use crate::executor::{DeviceError, Observer, Stored};
use crate::model::{AccountName, DeviceName};
use crate::rotation::HelperRole;
use crate::vault::{HostKeyRow, VaultError};

impl Core {
    pub(super) async fn stored(&self, account: &AccountName) -> Result<Stored, VaultError> {
        let account = account.clone();
        self.vault.call(move |tx| Stored::of(tx, &account)).await
    }

    /// Whether an account may log in for another one before anything is connected to.
    pub(super) async fn may_help(&self, account: &Account, role: HelperRole) -> Result<(), DeviceError> {
        let under_way = self.guards.risks.is_under_way(&account.name);
        let (name, budget, now) = (account.name.clone(), account.policy.lockout(), self.clock.now());
        let (stands, room) = self
            .vault
            .call(move |tx| {
                let room = budget.admit(&tx.failed_logins(&name, &now)?, &now);
                Ok((out_of_order(tx, &name, role)?, room))
            })
            .await?;
        match (stands, room) {
            (Some(Admission::Refused(why) | Admission::NotNow(why)), _) => Err(DeviceError::NotCommitted(why)),
            (_, Err(spent)) if !under_way => {
                Err(DeviceError::BudgetSpent { account: account.name.to_string(), free_in_ms: spent.free_in_ms })
            }
            _ => Ok(()),
        }
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

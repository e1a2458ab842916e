//! What the vault and the config give to a rotation: logins, tag values, the hops to a device.

use std::borrow::Cow;
use std::sync::Arc;

use super::admission::{Admission, out_of_order};
use super::core::Core;
use crate::config::{Account, Config, Device};
use crate::device::{DeviceError, Hop, HostKeys, KnownHosts, Login, Watcher, fetch_host_key};
use crate::dialogue::Values;
use crate::model::{AccountName, DeviceName, Masker, Secret};
use crate::rotation::HelperRole;
use crate::template::{Checked, Text};
use crate::totp::Seed;
use crate::vault::{HostKeyRow, Kind, Ledger, VaultError};

/// The secrets of one account.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    pub(super) password: Option<Secret>,
    pub(super) seed: Option<Seed>,
    pub(super) key: Option<Secret>,
    pub(super) fields: Vec<(String, Secret)>,
}

/// An account's TOTP seed.
pub(super) fn seed_of(tx: &dyn Ledger, account: &AccountName) -> Result<Option<Seed>, VaultError> {
    Ok(tx.secret(account, &Kind::Totp)?.and_then(|uri| Seed::parse(uri.expose()).ok()))
}

impl Stored {
    fn of(tx: &dyn Ledger, account: &AccountName) -> Result<Self, VaultError> {
        Ok(Self {
            password: tx.secret(account, &Kind::Password)?,
            seed: seed_of(tx, account)?,
            key: tx.secret(account, &Kind::SshKey)?,
            fields: tx.secret_fields(account)?,
        })
    }

    /// What is stored of an account and of the one that logs in for it.
    pub(super) fn of_both(
        tx: &dyn Ledger,
        account: &AccountName,
        login: &AccountName,
    ) -> Result<(Self, Self), VaultError> {
        let stored = Self::of(tx, account)?;
        let of_login = if login == account { stored.clone() } else { Self::of(tx, login)? };
        Ok((stored, of_login))
    }

    /// A masker that knows the passwords among the values, and this account's password and secret fields.
    pub(super) fn masker(&self, values: &Values) -> Masker {
        let fields: Vec<String> = self.fields.iter().map(|(name, _)| name.clone()).collect();
        let mut masker = values.masker(&fields);
        let own = self.password.iter().chain(self.fields.iter().map(|(_, value)| value));
        own.for_each(|secret| masker.add(secret));
        masker
    }
}

impl Core {
    pub(super) async fn stored(&self, account: &AccountName) -> Result<Stored, VaultError> {
        let account = account.clone();
        self.vault.call(move |tx| Stored::of(tx, &account)).await
    }

    /// What is stored of an account and of the one that logs in for it, at one instant.
    pub(super) async fn stored_both(
        &self,
        account: &AccountName,
        login: &AccountName,
    ) -> Result<(Stored, Stored), VaultError> {
        let (account, login) = (account.clone(), login.clone());
        self.vault.call(move |tx| Stored::of_both(tx, &account, &login)).await
    }

    /// What a login on a device needs of the vault: what is stored of the account, and the keys that the device may show.
    pub(super) async fn stored_for_login(
        &self,
        account: &AccountName,
        device: &Device,
    ) -> Result<(Stored, HostKeys), DeviceError> {
        let (account, name) = (account.clone(), device.name.clone());
        let both = move |tx: &dyn Ledger| Ok((Stored::of(tx, &account)?, tx.host_keys(name.as_str())?));
        let (stored, trusted) = self.vault.call(both).await?;
        Ok((stored, Self::host_keys(device, trusted)?))
    }

    /// The keys that a device may show: those of the config, and those that an operator trusted.
    fn host_keys(device: &Device, trusted: Vec<HostKeyRow>) -> Result<HostKeys, DeviceError> {
        let mut fingerprints = device.host_keys.clone();
        let kinds = trusted.iter().filter_map(|row| row.key.split(' ').next().map(str::to_owned)).collect();
        fingerprints.extend(trusted.into_iter().map(|row| row.fingerprint));
        let known = match &device.known_hosts {
            None => KnownHosts::default(),
            Some(file) => KnownHosts::read(file, &device.host, device.port).map_err(|error| DeviceError::Connect {
                device: device.name.to_string(),
                address: device.address(),
                why: format!("its known_hosts file {} cannot be read: {error}", file.display()),
            })?,
        };
        Ok(HostKeys { fingerprints, kinds, known, only: None })
    }

    /// The hops to a device: its jump hosts, first to last, each with the account that logs in there.
    pub(super) async fn jumps(&self, config: &Config, device: &Device, user: &str) -> Result<Vec<Hop>, DeviceError> {
        let mut hops = Vec::new();
        let mut next = device.jump.clone();
        while let Some(name) = next {
            let Some(gateway) = config.devices.get(&name) else {
                break;
            };
            let Some(account) = config.jump_login(gateway, user) else { break };
            self.may_help(account, HelperRole::Jump).await?;
            let (stored, host_keys) = self.stored_for_login(&account.name, gateway).await?;
            let login = Login { leads_on: true, ..self.login(config, account, stored, None, false) };
            hops.push(Hop { device: gateway.clone(), host_keys, login });
            next = gateway.jump.clone();
        }
        hops.reverse();
        Ok(hops)
    }

    /// Whether an account may log in for another one before anything is connected to.
    pub(super) async fn may_help(&self, account: &Account, role: HelperRole) -> Result<(), DeviceError> {
        let under_way = self.transport.risks.is_under_way(&account.name);
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
        let trusted = trusted.await?;
        let mut known: Vec<String> = match Self::host_keys(device, trusted) {
            Ok(keys) => keys.fingerprints.iter().cloned().chain(keys.known.fingerprints()).collect(),
            // What cannot be read is not on record.
            Err(_) => device.host_keys.clone(),
        };
        known.sort();
        known.dedup();
        Ok(known)
    }

    /// The key that a device shows now, for a person to compare, and what the device says of itself, not masked.
    ///
    /// # Errors
    /// There is no such device, or it cannot be reached.
    pub async fn shown_host_key(&self, device: &DeviceName) -> Result<(HostKeyRow, String), String> {
        let config = self.config();
        let device =
            config.devices.get(device).ok_or_else(|| format!("there is no device '{device}' in the config"))?;
        let jumps = self.jumps(&config, device, "").await.map_err(|error| error.to_string())?;
        let mut masker = Masker::default();
        jumps.iter().for_each(|hop| masker.add_all(&hop.login.masker));
        fetch_host_key(device, &jumps, &self.transport, &Silent).await.map_err(|error| masker.mask(error.to_string()))
    }

    /// The login of an account, with what is stored of it.
    pub(super) fn login(
        &self,
        config: &Config,
        account: &Account,
        stored: Stored,
        new: Option<&Secret>,
        prove: bool,
    ) -> Login {
        let template = config.accounts.get(&account.name).map_or(&account.template, |account| &account.template);
        let prompts = login_prompts(template);
        // Only a template's own answers have tags.
        let mut values =
            if prompts.is_empty() { Values::default() } else { base_values(account, account, &stored, &stored) };
        if let Some(new) = new {
            values.set("NEW_PASSWORD", new.clone());
        }
        let mut masker = stored.masker(&values);
        [account.name.user(), account.device.name.as_str()].into_iter().for_each(|name| masker.leave(name));
        Login {
            account: account.name.clone(),
            budget: account.policy.lockout(),
            password: stored.password,
            new_password: new.cloned(),
            seed: stored.seed,
            key: stored.key,
            format: account.device.login_format,
            prompts,
            values,
            masker,
            prove,
            probe: false,
            leads_on: false,
            restored: false,
        }
    }
}

/// Watches a login that changes nothing and that nobody follows.
struct Silent;

impl Watcher for Silent {
    fn step(&self, _text: String) {}

    async fn commit_point(&self) -> Result<(), DeviceError> {
        Err(DeviceError::NotCommitted("nothing is changed here".into()))
    }
}

fn login_prompts(template: &Checked) -> Vec<(Text, Text)> {
    template.login_prompts().map(|(pattern, answer)| (pattern.clone(), answer.clone())).collect()
}

/// Tag values of an account that `login` changes, the new password apart.
pub(super) fn base_values(account: &Account, login: &Account, stored: &Stored, login_stored: &Stored) -> Values {
    let mut values = Values::default();
    let mut set = |tag: Cow<'static, str>, value: &str| values.set(tag, Secret::new(value.to_owned()));
    let device = &account.device;
    for fields in [&device.fields, &account.fields] {
        for (tag, value) in fields {
            set(tag.clone().into(), value);
        }
    }
    let host = device.host.as_str();
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    let (short, domain) =
        if is_address { (device.name.as_str(), "") } else { host.split_once('.').unwrap_or((host, "")) };
    let login_domain = login.fields.get("DOMAIN").or_else(|| device.fields.get("DOMAIN"));
    if let Some(domain) = login_domain.filter(|_| !device.fields.contains_key("AUTH_DOMAIN")) {
        set("AUTH_DOMAIN".into(), domain);
    }
    set("USERNAME".into(), account.name.user());
    set("AUTH_USER".into(), login.name.user());
    set("IP".into(), host);
    set("HOSTNAME".into(), short);
    if !domain.is_empty() && !device.fields.contains_key("DOMAIN") {
        set("DOMAIN".into(), domain);
    }
    for (tag, value) in &stored.fields {
        values.set_secret(tag.clone(), value.clone());
    }
    if let Some(password) = &stored.password {
        values.set("CURRENT_PASSWORD", password.clone());
    }
    if let Some(password) = &login_stored.password {
        values.set("AUTH_PASSWORD", password.clone());
    }
    if stored.seed.is_some() || login_stored.seed.is_some() {
        values.allow_code("TOTP_TOKEN");
    }
    if login_stored.seed.is_some() {
        values.allow_code("AUTH_TOTP_TOKEN");
    }
    values
}

/// The accounts that log in at the jump hosts on the way to a device.
pub(crate) fn jump_accounts(config: &Config, device: &Arc<Device>, user: &str) -> Vec<AccountName> {
    let way = way_to(config, device);
    let logins = way.iter().skip(1).filter_map(|gateway| config.jump_login(gateway, user));
    logins.map(|account| account.name.clone()).collect()
}

/// All devices on the way to `device`, itself included.
pub(crate) fn way_to(config: &Config, device: &Arc<Device>) -> Vec<Arc<Device>> {
    let mut way = vec![device.clone()];
    let mut next = device.jump.clone();
    while let Some(gateway) = next.and_then(|name| config.devices.get(&name)) {
        way.push(gateway.clone());
        next = gateway.jump.clone();
    }
    way
}

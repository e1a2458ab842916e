//! Who logs in where: a login with what the vault holds for it, and the hops on the way to a device.

use super::Terminal;
use super::connector::Peer;
use super::hostkeys::{HostKeys, KnownHosts};
use crate::config::{Account, Config, Device};
use crate::dialogue::{LoginFormat, Values};
use crate::executor::error::DeviceError;
use crate::executor::observer::Observer;
use crate::executor::values::{Stored, base_values};
use crate::model::{AccountName, Masker, Secret};
use crate::policy::Limit;
use crate::rotation::HelperRole;
use crate::template::{Checked, Text};
use crate::totp::Seed;
use crate::vault::{HostKeyRow, Ledger};

/// One device on the way, the target last.
#[derive(Debug, Clone)]
pub(super) struct Hop {
    /// The device.
    pub(super) device: Peer,
    /// Its host keys.
    pub(super) host_keys: HostKeys,
    /// Who logs in, and with what.
    pub(super) login: Login,
}

/// What a login needs.
#[derive(Debug, Clone)]
pub(super) struct Login {
    /// The account that logs in.
    pub(super) account: AccountName,
    /// How many logins of it may be refused.
    pub(super) budget: Limit,
    /// Its password.
    pub(super) password: Option<Secret>,
    /// The password to set where the login itself demands a new one.
    pub(super) new_password: Option<Secret>,
    /// Its TOTP seed.
    pub(super) seed: Option<Seed>,
    /// Its private key, in OpenSSH's format.
    pub(super) key: Option<Secret>,
    /// How the device asks for password and code.
    pub(super) format: LoginFormat,
    /// The template's answers to prompts of the login.
    pub(super) prompts: Vec<(Text, Text)>,
    /// Values for the tags in them.
    pub(super) values: Values,
    /// Knows every secret that the account has, for what the device says.
    pub(super) masker: Masker,
    /// Whether the login is to prove the password: where the device asks for one, no key opens it alone.
    pub(super) prove: bool,
    /// Whether codes of another time step are tried, since the device's clock may be off. A login that proves nothing does
    /// so, too, where one of the account was refused of late.
    pub(super) probe: bool,
    /// Whether another device is reached through it: that it is taken tells nothing of what that one does.
    pub(super) leads_on: bool,
    /// Whether the vault is a restored one, and this password may be of the past: then a refusal is no news.
    pub(super) restored: bool,
}

/// The keys that a device may show: those of the config, and those that an operator trusted.
pub(super) fn host_keys(device: &Peer, trusted: Vec<HostKeyRow>) -> Result<HostKeys, DeviceError> {
    let mut fingerprints = device.ssh.host_keys.clone();
    let kinds = trusted.iter().filter_map(|row| row.key.split(' ').next().map(str::to_owned)).collect();
    fingerprints.extend(trusted.into_iter().map(|row| row.fingerprint));
    let known = match &device.ssh.known_hosts {
        None => KnownHosts::default(),
        Some(file) => KnownHosts::read(file, &device.ssh.host, device.ssh.port).map_err(|error| {
            device.unreachable(format!("its known_hosts file {} cannot be read: {error}", file.display()))
        })?,
    };
    Ok(HostKeys { fingerprints, kinds, known, only: None })
}

/// The login of an account at its device, with what is stored of it.
pub(super) fn login_of(
    config: &Config,
    account: &Account,
    device: &Peer,
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
        format: device.ssh.login_format,
        prompts,
        values,
        masker,
        prove,
        probe: false,
        leads_on: false,
        restored: false,
    }
}

fn login_prompts(template: &Checked) -> Vec<(Text, Text)> {
    template.login_prompts().map(|(pattern, answer)| (pattern.clone(), answer.clone())).collect()
}

impl Terminal {
    /// What a login on a device needs of the vault: what is stored of the account, and the keys that the device may show.
    pub(super) async fn stored_for_login(
        &self,
        account: &AccountName,
        device: &Peer,
    ) -> Result<(Stored, HostKeys), DeviceError> {
        let (account, name) = (account.clone(), device.name.clone());
        let both = move |tx: &dyn Ledger| Ok((Stored::of(tx, &account)?, tx.host_keys(name.as_str())?));
        let (stored, trusted) = self.guards.vault.call(both).await?;
        Ok((stored, host_keys(device, trusted)?))
    }

    /// The hops to a device: its jump hosts, first to last, each with the account that logs in there.
    pub(super) async fn jumps(
        &self,
        config: &Config,
        device: &Device,
        user: &str,
        observer: &dyn Observer,
    ) -> Result<Vec<Hop>, DeviceError> {
        let mut hops = Vec::new();
        let mut next = device.jump();
        while let Some(gateway) = next.and_then(|name| config.devices.get(name)) {
            let Some(account) = config.jump_login(gateway, user) else { break };
            observer.may_help(account, HelperRole::Jump).await?;
            let device = Peer::of(gateway)?;
            let (stored, host_keys) = self.stored_for_login(&account.name, &device).await?;
            let login = Login { leads_on: true, ..login_of(config, account, &device, stored, None, false) };
            hops.push(Hop { device, host_keys, login });
            next = gateway.jump();
        }
        hops.reverse();
        Ok(hops)
    }

    /// The hops to a device, itself included; their secrets are known to the observer from now on.
    pub(super) async fn hops(
        &self,
        config: &Config,
        target: &Device,
        last: Hop,
        observer: &dyn Observer,
    ) -> Result<Vec<Hop>, DeviceError> {
        let mut hops = self.jumps(config, target, last.login.account.user(), observer).await?;
        hops.push(last);
        let mut known = Masker::default();
        for login in hops.iter().map(|hop| &hop.login) {
            known.add_all(&login.masker);
            [&login.password, &login.new_password].into_iter().flatten().for_each(|password| known.add(password));
        }
        observer.learn(&known);
        Ok(hops)
    }
}

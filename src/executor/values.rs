//! What the vault holds of an account, and the values of a template's tags.

use std::borrow::Cow;

use crate::config::Account;
use crate::dialogue::Values;
use crate::model::{AccountName, Masker, Secret};
use crate::totp::Seed;
use crate::vault::{Kind, Ledger, VaultError};

/// The secrets of one account.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    pub(crate) password: Option<Secret>,
    pub(crate) seed: Option<Seed>,
    pub(crate) key: Option<Secret>,
    pub(crate) fields: Vec<(String, Secret)>,
}

/// An account's TOTP seed.
pub(crate) fn seed_of(tx: &dyn Ledger, account: &AccountName) -> Result<Option<Seed>, VaultError> {
    Ok(tx.secret(account, &Kind::Totp)?.and_then(|uri| Seed::parse(uri.expose()).ok()))
}

impl Stored {
    /// What is stored of an account.
    pub(crate) fn of(tx: &dyn Ledger, account: &AccountName) -> Result<Self, VaultError> {
        Ok(Self {
            password: tx.secret(account, &Kind::Password)?,
            seed: seed_of(tx, account)?,
            key: tx.secret(account, &Kind::SshKey)?,
            fields: tx.secret_fields(account)?,
        })
    }

    /// What is stored of an account and of the one that logs in for it.
    pub(crate) fn of_both(
        tx: &dyn Ledger,
        account: &AccountName,
        login: &AccountName,
    ) -> Result<(Self, Self), VaultError> {
        let stored = Self::of(tx, account)?;
        let of_login = if login == account { stored.clone() } else { Self::of(tx, login)? };
        Ok((stored, of_login))
    }

    /// A masker that knows the passwords among the values, and this account's password and secret fields.
    pub(crate) fn masker(&self, values: &Values) -> Masker {
        let fields: Vec<String> = self.fields.iter().map(|(name, _)| name.clone()).collect();
        let mut masker = values.masker(&fields);
        let own = self.password.iter().chain(self.fields.iter().map(|(_, value)| value));
        own.for_each(|secret| masker.add(secret));
        masker
    }
}

/// Tag values of an account that `login` changes, the new password apart.
pub(crate) fn base_values(account: &Account, login: &Account, stored: &Stored, login_stored: &Stored) -> Values {
    let mut values = Values::default();
    let mut set = |tag: Cow<'static, str>, value: &str| values.set(tag, Secret::new(value.to_owned()));
    let device = &account.device;
    for fields in [&device.fields, &account.fields] {
        for (tag, value) in fields {
            set(tag.clone().into(), value);
        }
    }
    let web = device.web();
    let host = device.host();
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    let (short, domain) =
        if is_address { (device.name.as_str(), "") } else { host.split_once('.').unwrap_or((host, "")) };
    let login_domain = login.fields.get("DOMAIN").or_else(|| device.fields.get("DOMAIN"));
    if let Some(domain) = login_domain.filter(|_| !device.fields.contains_key("AUTH_DOMAIN")) {
        set("AUTH_DOMAIN".into(), domain);
    }
    set("USERNAME".into(), account.name.user());
    set("AUTH_USER".into(), login.name.user());
    // Of a web device both name the port too, where it is not the scheme's own.
    set("IP".into(), &web.map_or_else(|| host.to_owned(), |web| web.address_authority()));
    set("HOSTNAME".into(), &web.map_or_else(|| short.to_owned(), |web| web.authority()));
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

//! What an import would make: which account of the config each entry is, what comes into the config, and what cannot.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use super::entry::{Address, Entry, LeftOut, LeftOver};
use super::host_keys::{AcceptedKey, ChangedKey, PlannedKey};
use super::{Found, host_keys};
use crate::model::{AccountName, DeviceName, Secret};

/// The port of SSH.
const SSH: u16 = 22;

/// A device of the config.
#[derive(Debug, Clone, Default)]
pub struct KnownDevice {
    /// Its name.
    pub name: String,
    /// Its host.
    pub host: String,
    /// Its port; `None` where it is reached in another way than SSH.
    pub port: Option<u16>,
    /// User names of its accounts.
    pub users: Vec<String>,
    /// The host keys that are on record.
    pub fingerprints: Vec<String>,
    /// The device to go through.
    pub jump: Option<String>,
}

/// What the caller wants.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// The template of devices that are not in the config and of which the file does not tell the kind.
    pub template: Option<String>,
    /// The templates that there are.
    pub templates: Vec<String>,
    /// Host keys to take though others are on record for their devices.
    pub accepted: Vec<AcceptedKey>,
}

/// Secrets of an account.
#[derive(Debug)]
pub struct Row {
    /// Where in the file they stand.
    pub place: String,
    /// Their line or number.
    pub number: u64,
    /// `DEVICE/USERNAME`.
    pub account: String,
    /// The password.
    pub password: Option<Secret>,
    /// The seed.
    pub totp: Option<Secret>,
}

/// A device that comes into the config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDevice {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// Its template.
    pub template: String,
    /// The device to go through.
    pub jump: Option<String>,
}

/// What an import would make.
#[derive(Debug, Default)]
pub struct Plan {
    /// Secrets to store.
    pub rows: Vec<Row>,
    /// Devices that come into the config.
    pub devices: Vec<NewDevice>,
    /// Accounts that come into the config.
    pub accounts: Vec<String>,
    /// Host keys.
    pub keys: Vec<PlannedKey>,
    /// Host keys that are not taken, as others are on record.
    pub changed: Vec<ChangedKey>,
    /// How many host keys of the file are on record.
    pub keys_on_record: usize,
    /// What of what is taken over is not.
    pub notes: Vec<String>,
    /// What is not taken over.
    pub left_out: Vec<LeftOut>,
}

/// Kinds of devices as other programs name them, and the templates that are for them: Ansible's `ansible_network_os`, CyberArk's
/// platforms.
#[rustfmt::skip]
const PLATFORMS: &[(&str, &str, &str)] = &[
    ("ssh", "linux-passwd", "Ansible"), ("unixssh", "linux-passwd", "CyberArk"), ("unix via ssh", "linux-passwd", "CyberArk"),
    ("ios", "cisco-ios", "Ansible"), ("cisco.ios.ios", "cisco-ios", "Ansible"), ("nxos", "cisco-nxos", "Ansible"),
    ("cisco.nxos.nxos", "cisco-nxos", "Ansible"), ("iosxr", "cisco-iosxr", "Ansible"), ("cisco.iosxr.iosxr", "cisco-iosxr", "Ansible"),
    ("asa", "cisco-asa", "Ansible"), ("cisco.asa.asa", "cisco-asa", "Ansible"), ("eos", "arista-eos", "Ansible"),
    ("arista.eos.eos", "arista-eos", "Ansible"), ("junos", "juniper-junos", "Ansible"), ("junipernetworks.junos.junos", "juniper-junos", "Ansible"),
    ("vyos", "vyos", "Ansible"), ("vyos.vyos.vyos", "vyos", "Ansible"), ("routeros", "mikrotik-routeros", "Ansible"),
    ("community.routeros.routeros", "mikrotik-routeros", "Ansible"), ("aoscx", "aruba-aoscx", "Ansible"),
    ("arubanetworks.aoscx.aoscx", "aruba-aoscx", "Ansible"), ("ciscossh", "cisco-ios", "CyberArk"), ("cisco via ssh", "cisco-ios", "CyberArk"),
];

impl Wishes {
    /// The template for a kind of device, where there is one; else the one that was named.
    fn template_for(&self, platform: Option<&str>) -> Option<String> {
        let platform = platform.map(str::to_ascii_lowercase);
        let known =
            PLATFORMS.iter().find(|(name, ..)| Some(*name) == platform.as_deref()).map(|(_, template, _)| *template);
        let there = |wanted: &&str| self.templates.iter().any(|name| name.rsplit('/').next() == Some(wanted));
        // What Ansible takes for granted gives way to what was named.
        let assumed = platform.as_deref() == Some("ssh");
        let named = self.template.clone();
        let known = known.filter(there).map(str::to_owned);
        if assumed { named.or(known) } else { known.or(named) }
    }
}

/// Where an entry's device is found.
enum Place {
    Known(usize),
    New { name: String, address: Address },
}

/// The devices of the config, by name and by host in lower case.
struct Directory<'d> {
    devices: &'d [KnownDevice],
    names: HashMap<String, usize>,
    hosts: HashMap<String, Vec<usize>>,
}

impl<'d> Directory<'d> {
    fn of(devices: &'d [KnownDevice]) -> Self {
        let (mut names, mut hosts) = (HashMap::new(), HashMap::<String, Vec<usize>>::new());
        for (at, device) in devices.iter().enumerate() {
            names.entry(device.name.to_ascii_lowercase()).or_insert(at);
            hosts.entry(device.host.to_ascii_lowercase()).or_default().push(at);
        }
        Self { devices, names, hosts }
    }

    fn named(&self, name: &str) -> Option<usize> {
        self.names.get(&name.trim().to_ascii_lowercase()).copied()
    }

    /// Those at an address; at any port of its host, where it is a web page's.
    fn at(&self, address: &Address) -> Vec<usize> {
        let port = Some(address.port.unwrap_or(SSH));
        let all = self.hosts.get(&address.host.to_ascii_lowercase()).into_iter().flatten().copied();
        all.filter(|at| address.is_web || self.devices[*at].port == port).collect()
    }
}

fn is_named(device: &KnownDevice, name: &str) -> bool {
    device.name.eq_ignore_ascii_case(name.trim())
}

/// A name as a device may have it.
fn device_name(entry: &Entry, address: &Address) -> Option<String> {
    let title = entry.title.trim();
    if DeviceName::parse(title).is_ok() {
        return Some(title.to_owned());
    }
    let is_ip = address.host.contains(':') || address.host.chars().all(|c| c.is_ascii_digit() || c == '.');
    let label = if is_ip { address.host.as_str() } else { address.host.split('.').next().unwrap_or_default() };
    let name = label.replace(':', "-");
    DeviceName::parse(&name).is_ok().then_some(name)
}

/// Which device an entry is about.
fn place(entry: &Entry, directory: &Directory<'_>) -> Result<Place, LeftOver> {
    let (title, address) = (entry.title.as_str(), entry.address.as_ref());
    let (devices, named) = (directory.devices, directory.named(title));
    let Some(address) = address else {
        // An issuer, or a title, such as "core1: admin".
        let first = title.split([' ', ':', '/']).next().unwrap_or_default();
        let named = named.or_else(|| directory.named(first));
        return named.map(Place::Known).ok_or(LeftOver::NoDevice);
    };
    let (by_host, at) = (directory.named(&address.host), directory.at(address));
    match (named, at.as_slice()) {
        (Some(named), at) if at.contains(&named) => Ok(Place::Known(named)),
        (Some(named), _) if by_host == Some(named) => Ok(Place::Known(named)),
        (Some(named), _) => Err(LeftOver::OtherAddress {
            device: devices[named].name.clone(),
            given: address.in_config(),
            known: devices[named].host.clone(),
        }),
        (None, [one]) => Ok(Place::Known(*one)),
        (None, [_, _, ..]) => {
            Err(LeftOver::Other(format!("several devices are at {}; name one as its title", address.in_config())))
        }
        (None, []) => match by_host {
            Some(known) => Ok(Place::Known(known)),
            None if address.is_web => Err(LeftOver::Web(address.host.clone())),
            None => device_name(entry, address)
                .map(|name| Place::New { name, address: address.clone() })
                .ok_or_else(|| LeftOver::Name("its name is none of a device".into())),
        },
    }
}

/// Makes the plan.
#[must_use]
pub fn plan(found: Found, devices: &[KnownDevice], wishes: &Wishes) -> Plan {
    let mut plan = Plan { left_out: found.left_out, ..Plan::default() };
    let directory = Directory::of(devices);
    let mut new: BTreeMap<String, NewDevice> = BTreeMap::new();
    let mut jumps: Vec<(String, String)> = Vec::new();
    let mut merged: BTreeMap<String, Option<Row>> = BTreeMap::new();
    for entry in found.entries {
        let device = match place(&entry, &directory) {
            Ok(Place::Known(at)) => devices[at].name.clone(),
            Ok(Place::New { name, address }) => match take_in(name, address, &entry, &mut new, wishes) {
                Ok(name) => name,
                Err(why) => {
                    plan.left_out.push(LeftOut::new(&entry.place, why));
                    continue;
                }
            },
            Err(why) => {
                plan.left_out.push(LeftOut::new(&entry.place, why));
                continue;
            }
        };
        plan.notes.extend(entry.notes.iter().map(|note| format!("{}: {note}", entry.place)));
        if let Some(jump) = entry.jump.clone() {
            jumps.push((device.clone(), jump));
        }
        let Some(user) = entry.user.clone() else {
            let is_secret = entry.password.is_some() || entry.totp.is_some();
            if is_secret {
                plan.left_out.push(LeftOut::new(&entry.place, LeftOver::NoUser));
            } else if new.contains_key(&device) {
                plan.notes.push(format!("{}: it names no user, so the device comes without an account", entry.place));
            }
            continue;
        };
        let account = match AccountName::parse(&format!("{device}/{user}")) {
            Ok(account) => account.to_string(),
            Err(error) => {
                plan.left_out.push(LeftOut::new(&entry.place, LeftOver::Name(error.to_string())));
                continue;
            }
        };
        let Entry { place, number, password, totp, .. } = entry;
        let row = Row { place, number, account: account.clone(), password, totp };
        match merged.entry(account) {
            std::collections::btree_map::Entry::Vacant(free) => drop(free.insert(Some(row))),
            std::collections::btree_map::Entry::Occupied(mut held) => match held.get_mut() {
                Some(before) if before.takes(&row) => before.take(row),
                other => {
                    plan.left_out.push(LeftOut::new(&row.place, LeftOver::Twice(row.account)));
                    *other = None;
                }
            },
        }
    }
    let known: BTreeSet<String> =
        devices.iter().flat_map(|device| device.users.iter().map(|user| format!("{}/{user}", device.name))).collect();
    plan.accounts = merged
        .iter()
        .filter(|(name, row)| row.is_some() && !known.contains(*name))
        .map(|(name, _)| name.clone())
        .collect();
    plan.rows = merged.into_values().flatten().filter(|row| row.password.is_some() || row.totp.is_some()).collect();
    plan.rows.sort_by(|one, other| (one.number, &one.account).cmp(&(other.number, &other.account)));
    set_jumps(&mut plan, &mut new, devices, jumps);
    plan.devices = new.into_values().collect();
    host_keys::add(&mut plan, &found.host_keys, &found.revocations, devices, wishes);
    plan
}

/// A device that is not in the config, unless another one of its name is elsewhere.
fn take_in(
    name: String,
    address: Address,
    entry: &Entry,
    new: &mut BTreeMap<String, NewDevice>,
    wishes: &Wishes,
) -> Result<String, LeftOver> {
    if let Some(same) = new.values().find(|device| device.address == address) {
        return Ok(same.name.clone());
    }
    let name = if new.contains_key(&name) { address.host.replace(':', "-") } else { name };
    if new.contains_key(&name) || DeviceName::parse(&name).is_err() {
        return Err(LeftOver::Other(format!("another device of the file is called {name} too")));
    }
    let template = wishes.template_for(entry.platform.as_deref()).ok_or_else(|| LeftOver::NoTemplate(name.clone()))?;
    new.insert(name.clone(), NewDevice { name: name.clone(), address, template, jump: None });
    Ok(name)
}

/// A device is reached through another one where that has an account to log in with.
fn set_jumps(
    plan: &mut Plan,
    new: &mut BTreeMap<String, NewDevice>,
    devices: &[KnownDevice],
    jumps: Vec<(String, String)>,
) {
    for (device, jump) in jumps {
        let at_new =
            new.values().find(|it| it.name.eq_ignore_ascii_case(&jump) || it.address.host.eq_ignore_ascii_case(&jump));
        let at_known = devices.iter().find(|it| is_named(it, &jump) || it.host.eq_ignore_ascii_case(&jump));
        let found = at_new.map(|it| it.name.clone()).or_else(|| at_known.map(|it| it.name.clone()));
        let has_account = |name: &str| {
            let prefix = format!("{name}/");
            plan.accounts.iter().any(|account| account.starts_with(&prefix))
                || devices.iter().any(|it| it.name == name && it.users.len() == 1)
        };
        match found.filter(|found| *found != device && has_account(found)) {
            Some(found) => {
                if let Some(device) = new.get_mut(&device) {
                    device.jump = Some(found);
                }
            }
            None => plan.notes.push(format!(
                "{device} is reached through {jump}, which has no account to log in with here: add it, and name it as 'jump' of the device"
            )),
        }
    }
}

impl Row {
    /// Whether another row of the account says nothing else.
    fn takes(&self, other: &Self) -> bool {
        let agrees = |one: &Option<Secret>, other: &Option<Secret>| {
            one.as_ref().zip(other.as_ref()).is_none_or(|(one, other)| one.expose() == other.expose())
        };
        agrees(&self.password, &other.password) && agrees(&self.totp, &other.totp)
    }

    fn take(&mut self, other: Self) {
        self.password = self.password.take().or(other.password);
        self.totp = self.totp.take().or(other.totp);
    }
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A name as a key of TOML.
fn key(text: &str) -> String {
    let bare = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if bare { text.to_owned() } else { quoted(text) }
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.devices.is_empty() && self.accounts.is_empty() && self.keys.is_empty()
    }

    /// The sections that come into the config; `None` where none do.
    #[must_use]
    pub fn sections(&self, source: &str) -> Option<String> {
        if self.devices.is_empty() && self.accounts.is_empty() {
            return None;
        }
        let source: String = source.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let mut text = format!("# Made by rotorctl import from {source}.\n");
        for device in &self.devices {
            let _ =
                write!(text, "\n[device.{}]\naddress = {}\n", key(&device.name), quoted(&device.address.in_config()));
            if let Some(jump) = &device.jump {
                let _ = writeln!(text, "jump = {}", quoted(jump));
            }
            let _ = writeln!(text, "template = {}", quoted(&device.template));
        }
        for account in &self.accounts {
            let _ = write!(text, "\n[account.{}]\n", quoted(account));
        }
        Some(text)
    }
}

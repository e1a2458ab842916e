//! Which host keys of a `known_hosts` file are taken for which device of the config.
//!
//! A device is found by its address and its port, as `ssh-keygen -F` finds a line. Its name in the config means nothing to `ssh`, so
//! a line with that name may be about another host. A key is planned only if none is on record for the device, or if the caller
//! named it.

use std::collections::BTreeMap;

use data_encoding::{BASE64, BASE64_NOPAD};
use sha2::{Digest, Sha256};

use super::entry::{HostKey, LeftOut, LeftOver, Revocation};
use super::plan::{KnownDevice, Plan, Wishes};
use crate::known_hosts::{kind_of, matches};

/// The port of SSH.
const SSH: u16 = 22;

/// Kinds of host keys that a device may be known by.
const KINDS: [&str; 5] =
    ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"];

/// A host key that would be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedKey {
    /// The device.
    pub device: String,
    /// Such as `ssh-ed25519`.
    pub kind: String,
    /// `SHA256:…`.
    pub fingerprint: String,
    /// The key in OpenSSH's format.
    pub key: String,
    /// What is on record for the device: the caller has named this key all the same.
    pub on_record: Vec<String>,
}

/// A host key that is not on record for its device, where others are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedKey {
    /// The device.
    pub device: String,
    /// Such as `ssh-ed25519`.
    pub kind: String,
    /// `SHA256:…`.
    pub fingerprint: String,
    /// What is on record for the device.
    pub on_record: Vec<String>,
}

/// A key that the caller names: it is taken though another one is on record for its device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedKey {
    /// The device.
    pub device: String,
    /// `SHA256:…`.
    pub fingerprint: String,
}

impl AcceptedKey {
    /// From `DEVICE=SHA256:…`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (device, fingerprint) = text.rsplit_once("=SHA256:")?;
        let fits = !device.is_empty() && !fingerprint.is_empty();
        fits.then(|| Self { device: device.to_owned(), fingerprint: format!("SHA256:{fingerprint}") })
    }
}

/// `SHA256:…` of a key.
fn fingerprint_of(key: &[u8]) -> String {
    format!("SHA256:{}", BASE64_NOPAD.encode(&Sha256::digest(key)))
}

/// The kind of a key, as text.
fn kind_text(key: &[u8]) -> String {
    kind_of(key).map(|kind| String::from_utf8_lossy(kind).into_owned()).unwrap_or_default()
}

/// A host and a port, as they stand in a line.
fn in_file(host: &str, port: u16) -> String {
    if port == SSH { host.to_owned() } else { format!("[{host}]:{port}") }
}

/// A device as a `known_hosts` file may have it.
struct Names {
    /// Its host, and `[host]:port` for another port than 22: what a line is found by.
    exact: String,
    /// Its host alone, in lower case.
    host: String,
    /// Its name in the config, in lower case.
    name: String,
    port: u16,
}

impl Names {
    fn of(device: &KnownDevice) -> Option<Self> {
        let port = device.port?;
        let host = device.host.to_ascii_lowercase();
        Some(Self { exact: in_file(&host, port), host, name: device.name.to_ascii_lowercase(), port })
    }

    /// The revocation that forbids a key of this device; `ssh` looks under the host without the port too.
    fn revoked<'r>(&self, key: &[u8], revocations: &'r [Revocation]) -> Option<&'r Revocation> {
        let is_about = |hosts: &String| matches(hosts, &self.exact) || matches(hosts, &self.host);
        revocations.iter().find(|revocation| {
            revocation.hosts.as_ref().is_none_or(is_about)
                && revocation.key.as_ref().is_none_or(|revoked| revoked == key)
        })
    }

    /// Why a line that is not this device's may be taken for its own.
    fn near_miss(&self, device: &KnownDevice, hosts: &str) -> Option<String> {
        let at = &self.exact;
        if matches(hosts, &in_file(&self.name, self.port)) {
            return Some(format!(
                "{0} is the name of a device at {at}, and a host key is found by address and port alone: rotorctl trust {0}",
                device.name
            ));
        }
        (self.port != SSH && matches(hosts, &self.host))
            .then(|| format!("it is for port 22 of {}, and the device {} is at {at}", self.host, device.name))
    }
}

/// Puts the keys of a file into a plan.
pub(super) fn add(
    plan: &mut Plan,
    keys: &[HostKey],
    revocations: &[Revocation],
    devices: &[KnownDevice],
    wishes: &Wishes,
) {
    let named: Vec<(&KnownDevice, Names)> =
        devices.iter().filter_map(|device| Some((device, Names::of(device)?))).collect();
    let twins = twins(&named);
    let mut unknown_hosts = 0;
    let mut of_device: BTreeMap<usize, Vec<&HostKey>> = BTreeMap::new();
    for key in keys {
        let found: Vec<usize> = (0..named.len()).filter(|at| matches(&key.hosts, &named[*at].1.exact)).collect();
        if found.is_empty() {
            match named.iter().find_map(|(device, names)| names.near_miss(device, &key.hosts)) {
                Some(why) => plan.left_out.push(left(key.line, LeftOver::Other(why))),
                None => unknown_hosts += 1,
            }
        }
        found.into_iter().for_each(|at| of_device.entry(at).or_default().push(key));
    }
    for (at, keys) in of_device {
        let (device, names) = &named[at];
        Taker { device, names, revocations, wishes, twin: twins[at].as_deref() }.take(&keys, plan);
    }
    for (device, names) in &named {
        warn_of_revoked(device, names, revocations, plan);
    }
    if unknown_hosts > 0 {
        let are = if unknown_hosts == 1 { "host key is" } else { "host keys are" };
        plan.notes.push(format!("{unknown_hosts} {are} of no device in the config"));
    }
}

/// For each device another one at its address and port that is reached on another way: behind another jump host the same private
/// address may be another machine.
fn twins(named: &[(&KnownDevice, Names)]) -> Vec<Option<String>> {
    let mut ways: BTreeMap<&str, Vec<&KnownDevice>> = BTreeMap::new();
    for (device, names) in named {
        ways.entry(&names.exact).or_default().push(device);
    }
    let twin = |(device, names): &(&KnownDevice, Names)| {
        let others = ways.get(names.exact.as_str())?;
        others.iter().find(|other| other.jump != device.jump).map(|other| other.name.clone())
    };
    named.iter().map(twin).collect()
}

fn left(line: u64, why: LeftOver) -> LeftOut {
    LeftOut::new(&format!("line {line}"), why)
}

/// A key on record that the file revokes.
fn warn_of_revoked(device: &KnownDevice, names: &Names, revocations: &[Revocation], plan: &mut Plan) {
    for revocation in revocations {
        let Some(key) = &revocation.key else { continue };
        let fingerprint = fingerprint_of(key);
        if names.revoked(key, std::slice::from_ref(revocation)).is_some() && device.fingerprints.contains(&fingerprint)
        {
            plan.notes.push(format!(
                "line {0}: the file revokes {fingerprint}, which is ON RECORD for {1}: name the file as known_hosts of {1}, so that rotord refuses it",
                revocation.line, device.name
            ));
        }
    }
}

/// Decides for the keys that a file has for one device.
struct Taker<'a> {
    device: &'a KnownDevice,
    names: &'a Names,
    revocations: &'a [Revocation],
    wishes: &'a Wishes,
    twin: Option<&'a str>,
}

impl Taker<'_> {
    fn take(&self, keys: &[&HostKey], plan: &mut Plan) {
        let mut seen: Vec<&[u8]> = Vec::new();
        let mut usable: Vec<&HostKey> = Vec::new();
        for key in keys {
            if seen.contains(&key.key.as_slice()) {
                continue;
            }
            seen.push(&key.key);
            match self.unusable(key) {
                Some(why) => plan.left_out.push(left(key.line, why)),
                None if self.device.fingerprints.contains(&fingerprint_of(&key.key)) => plan.keys_on_record += 1,
                None => usable.push(key),
            }
        }
        for key in &usable {
            self.decide(key, &usable, plan);
        }
    }

    /// Why a key is none that a device may be known by.
    fn unusable(&self, key: &HostKey) -> Option<LeftOver> {
        let kind = kind_text(&key.key);
        if !KINDS.contains(&kind.as_str()) {
            let kind: String = kind.chars().filter(|c| !c.is_control()).take(40).collect();
            return Some(LeftOver::Other(format!("rotord does not use host keys of the kind {kind}")));
        }
        let revocation = self.names.revoked(&key.key, self.revocations)?;
        let (fingerprint, device, line) = (fingerprint_of(&key.key), &self.device.name, revocation.line);
        Some(LeftOver::Other(match revocation.key {
            Some(_) => format!("line {line} revokes {fingerprint}, the host key of {device}"),
            None => format!(
                "line {line} seems to revoke a key, perhaps {fingerprint} of {device}, and is not understood: correct it"
            ),
        }))
    }

    fn decide(&self, key: &HostKey, all: &[&HostKey], plan: &mut Plan) {
        let (device, kind, fingerprint) = (self.device, kind_text(&key.key), fingerprint_of(&key.key));
        let is_accepted =
            self.wishes.accepted.iter().any(|it| it.device == device.name && it.fingerprint == fingerprint);
        let on_record = device.fingerprints.clone();
        if is_accepted {
            let text = format!("{kind} {}", BASE64.encode(&key.key));
            plan.keys.push(PlannedKey { device: device.name.clone(), kind, fingerprint, key: text, on_record });
            return;
        }
        let how = format!("if {fingerprint} is right: --accept-key {}={fingerprint}", device.name);
        let why = if !on_record.is_empty() {
            let changed = ChangedKey { device: device.name.clone(), kind: kind.clone(), fingerprint, on_record };
            plan.changed.push(changed.clone());
            LeftOver::KeyChanged(changed)
        } else if all.iter().filter(|other| kind_text(&other.key) == kind).count() > 1 {
            LeftOver::Other(format!("the file has several {kind} keys for {}, and a host has one; {how}", device.name))
        } else if let Some(twin) = self.twin {
            LeftOver::Other(format!(
                "the devices {} and {twin} have this address on different ways, and the line may be about either; {how}",
                device.name
            ))
        } else {
            let text = format!("{kind} {}", BASE64.encode(&key.key));
            plan.keys.push(PlannedKey { device: device.name.clone(), kind, fingerprint, key: text, on_record });
            return;
        };
        plan.left_out.push(left(key.line, why));
    }
}

#[cfg(test)]
#[path = "host_keys_tests.rs"]
mod tests;

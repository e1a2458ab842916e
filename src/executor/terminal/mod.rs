//! Devices with a terminal: connecting (through jump hosts too), host keys, logging in, and carrying a template's dialogue.
//!
//! What to say is decided in `dialogue`; here it is carried. No secret leaves before the host key was found good.

mod auth;
mod change;
mod connect;
mod connector;
mod heard;
mod hostkeys;
mod login;
mod look;
mod person;
mod prove;
mod shell;
mod ssh;

use std::sync::Arc;

pub use connector::{Ask, Connection, Connector, Methods, Opened, Peer, Reply, Shell, Stream};
pub use hostkeys::{HostKeys, KnownHosts};
pub use ssh::Ssh;

use super::error::DeviceError;
use super::guards::Guards;
use super::observer::Observer;
use crate::config::{Config, Device};
use crate::model::Masker;
use crate::vault::HostKeyRow;
use connect::fetch_host_key;
use login::host_keys;

/// The executor of devices with a terminal.
pub struct Terminal {
    connector: Arc<dyn Connector>,
    guards: Guards,
}

impl Terminal {
    /// One that connects so.
    #[must_use]
    pub fn new(connector: Arc<dyn Connector>, guards: Guards) -> Self {
        Self { connector, guards }
    }

    /// The key that a device shows now, and what the device says of itself, not masked. A device behind a jump host needs that
    /// host's login.
    ///
    /// # Errors
    /// It cannot be reached, or has no terminal: in words without a secret.
    pub async fn shown_host_key(
        &self,
        config: &Config,
        device: &Device,
        observer: &dyn Observer,
    ) -> Result<(HostKeyRow, String), String> {
        let jumps = self.jumps(config, device, "", observer).await.map_err(|error| error.to_string())?;
        let mut masker = Masker::default();
        jumps.iter().for_each(|hop| masker.add_all(&hop.login.masker));
        let shown = async {
            let peer = Peer::of(device)?;
            fetch_host_key(&peer, &jumps, self.connector.as_ref(), &self.guards, observer).await
        };
        shown.await.map_err(|error: DeviceError| masker.mask(error.to_string()))
    }
}

/// The fingerprints of the keys that a device may show: those of the config and of its `known_hosts` file, and these, which are
/// trusted.
#[must_use]
pub fn known_fingerprints(device: &Device, trusted: Vec<HostKeyRow>) -> Vec<String> {
    let Ok(peer) = Peer::of(device) else { return Vec::new() };
    let mut known: Vec<String> = match host_keys(&peer, trusted) {
        Ok(keys) => keys.fingerprints.iter().cloned().chain(keys.known.fingerprints()).collect(),
        // What cannot be read is not on record.
        Err(_) => peer.ssh.host_keys.clone(),
    };
    known.sort();
    known.dedup();
    known
}

/// What of a device's host keys the config has on record: fingerprints, and the authorities of its `known_hosts` file as
/// `@cert-authority SHA256:…`. A file that cannot be read is named in place of what may stand in it. Sorted.
#[must_use]
pub fn recorded_by_config(device: &Device) -> Vec<String> {
    let Ok(peer) = Peer::of(device) else { return Vec::new() };
    let mut recorded = match host_keys(&peer, Vec::new()) {
        Ok(keys) => {
            let authorities = keys.known.authorities().map(|print| format!("@cert-authority {print}"));
            keys.fingerprints.iter().cloned().chain(keys.known.fingerprints()).chain(authorities).collect()
        }
        Err(error) => [peer.ssh.host_keys.clone(), vec![format!("({error})")]].concat(),
    };
    recorded.sort();
    recorded.dedup();
    recorded
}

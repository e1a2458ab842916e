//! The seam between what is said to a device and what carries it: SSH in the daemon, a simulated fleet in the simulator.

use std::sync::Arc;

use russh::keys::PrivateKey;
use tokio::io::{AsyncRead, AsyncWrite};

use super::hostkeys::HostKeys;
use crate::clock::Waiting;
use crate::config::{Device, SshEndpoint};
use crate::executor::error::DeviceError;
use crate::model::{DeviceName, Secret};

/// A device with a terminal: its name, and where it is reached.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its name.
    pub name: DeviceName,
    /// Where.
    pub ssh: Arc<SshEndpoint>,
}

impl Peer {
    /// The terminal of a device.
    ///
    /// # Errors
    /// It has none.
    pub fn of(device: &Device) -> Result<Self, DeviceError> {
        let ssh = device.ssh().cloned();
        let ssh = ssh.ok_or_else(|| DeviceError::NotCommitted(format!("device '{}' has no terminal", device.name)))?;
        Ok(Self { name: device.name.clone(), ssh })
    }

    /// A device for a test, at this place.
    #[cfg(test)]
    pub(super) fn at(host: &str, port: u16) -> Self {
        let ssh = SshEndpoint {
            host: host.to_owned(),
            port,
            host_keys: Vec::new(),
            known_hosts: None,
            jump: None,
            jump_account: None,
            legacy_algorithms: false,
            login_format: crate::dialogue::LoginFormat::Separate,
            connect_timeout: std::time::Duration::from_secs(10),
        };
        Self { name: DeviceName::parse("web1").unwrap_or_else(|error| panic!("{error}")), ssh: Arc::new(ssh) }
    }

    /// `host:port` for people.
    #[must_use]
    pub fn address(&self) -> String {
        self.ssh.address()
    }

    /// Why there is no connection to it.
    pub(super) fn unreachable(&self, why: String) -> DeviceError {
        DeviceError::Connect { device: self.name.to_string(), address: self.address(), why }
    }
}

/// A way for another connection's bytes, through a device.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection and the fingerprint of the host key that was found good, or why there is none.
pub type Opened = Result<(Box<dyn Connection>, String), DeviceError>;

/// Opens connections.
pub trait Connector: Send + Sync {
    /// Connects to a device, over `through` where one is given, and judges its host key. Returns the key's fingerprint
    /// too. No secret is sent.
    fn open<'a>(
        &'a self,
        device: &'a Peer,
        host_keys: &'a HostKeys,
        through: Option<Box<dyn Stream>>,
    ) -> Waiting<'a, Opened>;

    /// The kinds of host keys that may be asked for one by one, where the one that a device showed is not on record.
    fn other_kinds(&self, _host_keys: &HostKeys) -> Vec<&'static str> {
        Vec::new()
    }
}

/// A method of the login (RFC 4252), or the answers to its prompts (RFC 4256).
pub enum Ask {
    /// `none`: to learn which methods there are.
    None,
    /// `publickey`.
    Key(Arc<PrivateKey>),
    /// `password`.
    Password(Secret),
    /// `keyboard-interactive`: begin.
    Interactive,
    /// `keyboard-interactive`: the answers to the prompts of this round.
    Answers(Vec<Secret>),
}

/// The methods with which a login may go on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Methods {
    /// `publickey`.
    pub key: bool,
    /// `password`.
    pub password: bool,
    /// `keyboard-interactive`.
    pub interactive: bool,
}

impl Methods {
    /// Their names.
    #[must_use]
    pub fn names(self) -> String {
        let all = [(self.key, "publickey"), (self.password, "password"), (self.interactive, "keyboard-interactive")];
        let names: Vec<&str> = all.into_iter().filter(|(there, _)| *there).map(|(_, name)| name).collect();
        if names.is_empty() { "nothing that rotord knows".into() } else { names.join(", ") }
    }
}

/// What the device says to it.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Logged in.
    In,
    /// No; or, with `partial`, yes, and more is needed.
    Failure {
        /// What may be tried next.
        methods: Methods,
        /// Whether the method was accepted and others are needed besides.
        partial: bool,
    },
    /// Something that cannot be read, in words. It says nothing of what was sent.
    Unread(String),
    /// Questions, each to be answered.
    Prompts {
        /// Name and instructions of the round.
        context: String,
        /// The prompts.
        prompts: Vec<String>,
    },
}

/// A connection to a device.
pub trait Connection: Send + Sync {
    /// Goes on with the login. An error means that the connection is gone.
    fn ask<'a>(&'a mut self, user: &'a str, ask: Ask) -> Waiting<'a, Result<Reply, String>>;

    /// What the device has said since this was last asked and that was no prompt: lines before its version string, banners,
    /// the reason with which it hung up. As it came, bounded, not masked.
    fn words(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// What the device has said of itself: its SSH version string, lines before it, banners. As it came, bounded, not masked.
    fn greeting(&self) -> String {
        String::new()
    }

    /// Why the device ended the connection, in its words: the reason of its disconnect. `None` while the connection stands,
    /// or where the device gave no reason. Not masked.
    fn hung_up(&self) -> Option<String> {
        None
    }

    /// Opens a shell on a terminal.
    fn shell(&self) -> Waiting<'_, Result<Box<dyn Shell>, String>>;

    /// Opens a way to another host through this device.
    fn tunnel<'a>(&'a self, host: &'a str, port: u16) -> Waiting<'a, Result<Box<dyn Stream>, String>>;

    /// Hangs up, and returns once the connection is closed: a device that allows one session counts the next one only
    /// then.
    fn close(self: Box<Self>) -> Waiting<'static, ()>;
}

/// A shell's terminal.
pub trait Shell: Send {
    /// Sends bytes. That a device takes nothing in is found out by the wait that follows.
    fn send(&mut self, bytes: Secret) -> Waiting<'_, ()>;

    /// The next bytes of the device; `None` once it closed the session. It may be dropped and asked again: nothing is
    /// lost.
    fn output(&mut self) -> Waiting<'_, Option<Vec<u8>>>;
}

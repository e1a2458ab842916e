//! Connections: the TCP stream or the channel of a jump host, the handshake, the host key, and the login.

use std::borrow::Cow;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::{self, Handle, Handler};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKeyOrCertificate};
use russh::{Disconnect, Preferred, cipher, kex, mac};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::auth::log_in;
use super::codes::Codes;
use super::error::DeviceError;
use super::hostkeys::{HostKeys, Judgement};
use super::{Login, Watcher};
use crate::config::Device;
use crate::vault::HostKeyRow;

/// One device on the way, the target last.
#[derive(Debug, Clone)]
pub struct Hop {
    /// The device.
    pub device: Arc<Device>,
    /// Its host keys.
    pub host_keys: HostKeys,
    /// Who logs in, and with what.
    pub login: Login,
}

/// A session that is logged in. The jump hosts' connections live as long as it does.
pub struct Session {
    pub(super) handle: Handle<Client>,
    jumps: Vec<Handle<Client>>,
    /// The device.
    pub device: Arc<Device>,
    /// Whether the login demanded the new password and took it.
    pub changed_at_login: bool,
}

impl Session {
    /// Hangs up politely, as far as that goes in a second, and returns once the connections are closed: a device that
    /// allows one session counts the next one only then.
    pub async fn close(self) {
        for handle in std::iter::once(self.handle).chain(self.jumps.into_iter().rev()) {
            let bye = async {
                drop(handle.disconnect(Disconnect::ByApplication, "", "").await);
                drop(handle.await);
            };
            drop(tokio::time::timeout(Duration::from_secs(1), bye).await);
        }
    }
}

/// The client's side of a connection: it judges the host key.
pub struct Client {
    host_keys: HostKeys,
    host: String,
    shown: Arc<Mutex<Option<(Judgement, HostKeyRow)>>>,
}

impl Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let now = u64::try_from(chrono::Utc::now().timestamp()).unwrap_or(0);
        let judgement = self.host_keys.judge(shown, &self.host, now);
        let key = shown.public_key();
        let row = HostKeyRow {
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
            key: key.to_openssh().unwrap_or_default(),
        };
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some((judgement, row));
        Ok(judgement == Judgement::Trusted)
    }
}

fn ssh_config(device: &Device, certificates: bool) -> client::Config {
    let ecdsa = |curve| Algorithm::Ecdsa { curve };
    let rsa = |hash| Algorithm::Rsa { hash };
    let mut keys = vec![
        Algorithm::Ed25519,
        ecdsa(EcdsaCurve::NistP256),
        ecdsa(EcdsaCurve::NistP384),
        ecdsa(EcdsaCurve::NistP521),
        rsa(Some(HashAlg::Sha512)),
        rsa(Some(HashAlg::Sha256)),
    ];
    let mut preferred = Preferred {
        host_key_certificates: if certificates { keys.clone().into() } else { Cow::Borrowed(&[]) },
        ..Preferred::DEFAULT
    };
    if device.legacy_algorithms {
        keys.push(rsa(None));
        let old =
            [kex::ECDH_SHA2_NISTP256, kex::ECDH_SHA2_NISTP384, kex::DH_GEX_SHA1, kex::DH_G14_SHA1, kex::DH_G1_SHA1];
        preferred.kex = [preferred.kex.as_ref(), &old].concat().into();
        let old = [cipher::AES_256_CBC, cipher::AES_192_CBC, cipher::AES_128_CBC];
        preferred.cipher = [preferred.cipher.as_ref(), &old].concat().into();
        preferred.mac = [preferred.mac.as_ref(), &[mac::HMAC_SHA1_ETM, mac::HMAC_SHA1]].concat().into();
    }
    preferred.key = keys.into();
    client::Config {
        preferred,
        nodelay: true,
        // A peer that vanished is noticed within a minute.
        keepalive_interval: Some(Duration::from_secs(15)),
        keepalive_max: 3,
        window_size: 256 * 1024,
        channel_buffer_size: 16,
        ..client::Config::default()
    }
}

fn refusal(device: &Device, error: &russh::Error, judged: Option<&(Judgement, HostKeyRow)>) -> DeviceError {
    let named = |row: &HostKeyRow| (device.name.to_string(), row.fingerprint.clone());
    match judged {
        Some((Judgement::Unknown, row)) => {
            let (device, fingerprint) = named(row);
            DeviceError::HostKeyUnknown { device, fingerprint }
        }
        Some((Judgement::Mismatch, row)) => {
            let (device, fingerprint) = named(row);
            DeviceError::HostKeyMismatch { device, fingerprint }
        }
        Some((Judgement::Revoked, row)) => {
            let (device, fingerprint) = named(row);
            DeviceError::HostKeyRevoked { device, fingerprint }
        }
        _ => {
            let hint = matches!(error, russh::Error::NoCommonAlgo { .. })
                .then_some("; for an old device set legacy_algorithms = true")
                .unwrap_or_default();
            unreachable_device(device, format!("{error}{hint}"))
        }
    }
}

fn unreachable_device(device: &Device, why: String) -> DeviceError {
    DeviceError::Connect { device: device.name.to_string(), address: device.address(), why }
}

async fn handshake<S>(
    device: &Device,
    host_keys: HostKeys,
    stream: S,
) -> Result<(Handle<Client>, HostKeyRow), DeviceError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shown = Arc::new(Mutex::new(None));
    let config = Arc::new(ssh_config(device, host_keys.has_authorities()));
    let client = Client { host_keys, host: device.host.clone(), shown: shown.clone() };
    let result = client::connect_stream(config, stream, client).await;
    let judged = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match (result, judged) {
        (Ok(handle), Some((Judgement::Trusted, row))) => Ok((handle, row)),
        (Ok(_), judged) => Err(refusal(device, &russh::Error::UnknownKey, judged.as_ref())),
        (Err(error), judged) => Err(refusal(device, &error, judged.as_ref())),
    }
}

async fn in_time<T>(
    device: &Device,
    bound: Duration,
    work: impl Future<Output = Result<T, DeviceError>>,
) -> Result<T, DeviceError> {
    tokio::time::timeout(bound, work)
        .await
        .unwrap_or_else(|_| Err(unreachable_device(device, format!("no answer within {} s", bound.as_secs_f64()))))
}

async fn open_tcp(device: &Device) -> Result<TcpStream, DeviceError> {
    let stream = TcpStream::connect((device.host.as_str(), device.port))
        .await
        .map_err(|error| unreachable_device(device, error.to_string()))?;
    drop(stream.set_nodelay(true));
    Ok(stream)
}

/// Connects and logs in, hop by hop. `bound` is the least time that each TCP connect with its handshake may take;
/// a device's own setting may be longer.
///
/// # Errors
/// Says what failed on which hop. Until a hop's host key was found good, nothing secret was sent to it.
pub async fn connect<W: Watcher>(
    hops: &[Hop],
    bound: Duration,
    codes: &Codes,
    watcher: &W,
) -> Result<Session, DeviceError> {
    let mut jumps: Vec<Handle<Client>> = Vec::new();
    let mut last: Option<(Handle<Client>, bool, Arc<Device>)> = None;
    for hop in hops {
        let device = hop.device.clone();
        let time = bound.max(device.connect_timeout);
        let (mut handle, key) = match last.take() {
            None => {
                in_time(&device, time, async {
                    handshake(&device, hop.host_keys.clone(), open_tcp(&device).await?).await
                })
                .await?
            }
            Some((jump, _, _)) => {
                let through = in_time(&device, time, async {
                    let channel = jump
                        .channel_open_direct_tcpip(device.host.clone(), u32::from(device.port), "127.0.0.1", 0)
                        .await
                        .map_err(|error| {
                            unreachable_device(&device, format!("the jump host opened no channel: {error}"))
                        })?;
                    handshake(&device, hop.host_keys.clone(), channel.into_stream()).await
                })
                .await;
                jumps.push(jump);
                through?
            }
        };
        watcher.step(format!("connected to {} ({}), host key {}", device.name, device.address(), key.fingerprint));
        let changed = log_in(&mut handle, &device, &hop.login, codes, watcher).await?;
        watcher.step(format!("logged in to {} as {}", device.name, hop.login.account.user()));
        last = Some((handle, changed, device));
    }
    let (handle, changed_at_login, device) =
        last.ok_or_else(|| DeviceError::NotCommitted("no device to connect to".into()))?;
    Ok(Session { handle, jumps, device, changed_at_login })
}

/// Connects as far as the host key and hangs up: what the device shows, for a person to compare.
///
/// # Errors
/// No connection, or no key was shown. A device behind a jump host needs that hop's login.
pub async fn fetch_host_key<W: Watcher>(
    device: &Arc<Device>,
    jumps: &[Hop],
    codes: &Codes,
    watcher: &W,
) -> Result<HostKeyRow, DeviceError> {
    let shown = Arc::new(Mutex::new(None));
    let client = Client { host_keys: HostKeys::default(), host: device.host.clone(), shown: shown.clone() };
    let config = Arc::new(ssh_config(device, false));
    if jumps.is_empty() {
        in_time(device, device.connect_timeout, async {
            drop(client::connect_stream(config, open_tcp(device).await?, client).await);
            Ok(())
        })
        .await?;
    } else {
        let session = connect(jumps, device.connect_timeout, codes, watcher).await?;
        in_time(device, device.connect_timeout, async {
            let channel = session
                .handle
                .channel_open_direct_tcpip(device.host.clone(), u32::from(device.port), "127.0.0.1", 0)
                .await
                .map_err(|error| unreachable_device(device, error.to_string()))?;
            drop(client::connect_stream(config, channel.into_stream(), client).await);
            Ok(())
        })
        .await?;
        session.close().await;
    }
    let judged = shown.lock().unwrap_or_else(PoisonError::into_inner).take();
    judged.map(|(_, row)| row).ok_or_else(|| unreachable_device(device, "it showed no host key".into()))
}

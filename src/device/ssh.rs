//! Connections: the TCP stream or the channel of a jump host, the handshake, the host key, and the login.

use std::borrow::Cow;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::{self, AuthResult, Handle, Handler, KeyboardInteractiveAuthResponse};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg, Disconnect, MethodKind, MethodSet, Preferred, cipher, kex, mac};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::auth::{Entered, log_in};
use super::codes::By;
use super::error::DeviceError;
use super::hostkeys::{HostKeys, Judgement};
use super::wire::{Ask, Link, Methods, Opened, Reply, Shell, Stream, Wire};
use super::{Login, Transport, Watcher};
use crate::clock::{Clock, Waiting};
use crate::config::Device;
use crate::model::Secret;
use crate::vault::HostKeyRow;

/// Columns of the terminal: wide enough that no line wraps.
const COLUMNS: u32 = 500;
/// Rows: many, so that pagers seldom stop.
const ROWS: u32 = 200;

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
    pub(super) link: Box<dyn Link>,
    jumps: Vec<Box<dyn Link>>,
    /// The device.
    pub device: Arc<Device>,
    /// Whether the login demanded the new password and took it.
    pub changed_at_login: bool,
    /// Whether the device had the password at the login: one that a key opened tells nothing of it.
    pub password_taken: bool,
    /// By which clock codes are made in it.
    pub(super) by: By,
}

impl Session {
    /// Hangs up politely, as far as that goes in a second for each hop.
    pub async fn close(self, clock: &Clock) {
        for link in std::iter::once(self.link).chain(self.jumps.into_iter().rev()) {
            let _ = clock.within(Duration::from_secs(1), link.close()).await;
        }
    }
}

/// SSH over TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ssh;

/// A connection of russh's.
struct SshLink {
    handle: Handle<Client>,
    legacy: bool,
}

/// A channel with a shell on a terminal.
struct SshShell(Channel<client::Msg>);

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
    clock: &Clock,
    device: &Device,
    bound: Duration,
    work: impl Future<Output = Result<T, DeviceError>>,
) -> Result<T, DeviceError> {
    clock
        .within(bound, work)
        .await
        .unwrap_or_else(|| Err(unreachable_device(device, format!("no answer within {} s", bound.as_secs_f64()))))
}

async fn open_tcp(device: &Device) -> Result<TcpStream, DeviceError> {
    let stream = TcpStream::connect((device.host.as_str(), device.port))
        .await
        .map_err(|error| unreachable_device(device, error.to_string()))?;
    drop(stream.set_nodelay(true));
    Ok(stream)
}

impl Wire for Ssh {
    fn open<'a>(
        &'a self,
        device: &'a Arc<Device>,
        host_keys: &'a HostKeys,
        through: Option<Box<dyn Stream>>,
    ) -> Waiting<'a, Opened> {
        Box::pin(async move {
            let (handle, key) = match through {
                None => handshake(device, host_keys.clone(), open_tcp(device).await?).await?,
                Some(stream) => handshake(device, host_keys.clone(), stream).await?,
            };
            let link: Box<dyn Link> = Box::new(SshLink { handle, legacy: device.legacy_algorithms });
            Ok((link, key.fingerprint))
        })
    }
}

fn methods(set: &MethodSet) -> Methods {
    Methods {
        key: set.contains(&MethodKind::PublicKey),
        password: set.contains(&MethodKind::Password),
        interactive: set.contains(&MethodKind::KeyboardInteractive),
    }
}

impl SshLink {
    async fn authenticate(&mut self, user: &str, ask: Ask) -> Result<Reply, russh::Error> {
        let handle = &mut self.handle;
        let result = match ask {
            Ask::None => handle.authenticate_none(user).await?,
            Ask::Password(secret) => handle.authenticate_password(user, secret.expose()).await?,
            Ask::Key(key) => {
                let best = handle.best_supported_rsa_hash().await?.flatten();
                let hash = best.or((!self.legacy).then_some(HashAlg::Sha512));
                handle.authenticate_publickey(user, PrivateKeyWithHashAlg::new(key, hash)).await?
            }
            Ask::Interactive => {
                let reply = handle.authenticate_keyboard_interactive_start(user, None).await?;
                return Ok(interactive(reply));
            }
            Ask::Answers(answers) => {
                let answers = answers.iter().map(|answer| answer.expose().to_owned()).collect();
                return Ok(interactive(handle.authenticate_keyboard_interactive_respond(answers).await?));
            }
        };
        Ok(match result {
            AuthResult::Success => Reply::In,
            AuthResult::Failure { remaining_methods, partial_success } => {
                Reply::Failure { methods: methods(&remaining_methods), partial: partial_success }
            }
        })
    }
}

fn interactive(response: KeyboardInteractiveAuthResponse) -> Reply {
    match response {
        KeyboardInteractiveAuthResponse::Success => Reply::In,
        KeyboardInteractiveAuthResponse::Failure { remaining_methods, partial_success } => {
            Reply::Failure { methods: methods(&remaining_methods), partial: partial_success }
        }
        KeyboardInteractiveAuthResponse::InfoRequest { name, instructions, prompts } => Reply::Prompts {
            context: format!("{name}\n{instructions}"),
            prompts: prompts.into_iter().map(|prompt| prompt.prompt).collect(),
        },
    }
}

impl Link for SshLink {
    fn ask<'a>(&'a mut self, user: &'a str, ask: Ask) -> Waiting<'a, Result<Reply, String>> {
        Box::pin(async move {
            let reply = self.authenticate(user, ask).await.map_err(|error| error.to_string())?;
            // The library tells a lost connection as a failure without methods.
            match reply {
                Reply::Failure { methods, partial: false }
                    if methods == Methods::default() && self.handle.is_closed() =>
                {
                    Err("the device hung up".into())
                }
                reply => Ok(reply),
            }
        })
    }

    fn shell(&self) -> Waiting<'_, Result<Box<dyn Shell>, String>> {
        Box::pin(async move {
            let opening = async {
                let channel = self.handle.channel_open_session().await?;
                channel.request_pty(false, "vt100", COLUMNS, ROWS, 0, 0, &[]).await?;
                channel.request_shell(false).await?;
                Ok::<_, russh::Error>(channel)
            };
            let channel = opening.await.map_err(|error| error.to_string())?;
            Ok(Box::new(SshShell(channel)) as Box<dyn Shell>)
        })
    }

    fn tunnel<'a>(&'a self, host: &'a str, port: u16) -> Waiting<'a, Result<Box<dyn Stream>, String>> {
        Box::pin(async move {
            let channel = self.handle.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0).await;
            let channel = channel.map_err(|error| error.to_string())?;
            Ok(Box::new(channel.into_stream()) as Box<dyn Stream>)
        })
    }

    fn close(self: Box<Self>) -> Waiting<'static, ()> {
        Box::pin(async move {
            drop(self.handle.disconnect(Disconnect::ByApplication, "", "").await);
            drop(self.handle.await);
        })
    }
}

impl Shell for SshShell {
    fn send(&mut self, bytes: Secret) -> Waiting<'_, ()> {
        Box::pin(async move { drop(self.0.data_bytes(bytes.expose().as_bytes().to_vec()).await) })
    }

    fn output(&mut self) -> Waiting<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            loop {
                match self.0.wait().await {
                    Some(ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. }) => {
                        return Some(data.to_vec());
                    }
                    None | Some(ChannelMsg::Eof | ChannelMsg::Close) => return None,
                    Some(_) => {}
                }
            }
        })
    }
}

/// Connects and logs in, hop by hop. `bound` is the least time that each TCP connect with its handshake may take;
/// a device's own setting may be longer.
///
/// # Errors
/// Says what failed on which hop. Until a hop's host key was found good, nothing secret was sent to it.
pub async fn connect<W: Watcher>(
    on: &Transport,
    hops: &[Hop],
    bound: Duration,
    watcher: &W,
) -> Result<Session, DeviceError> {
    let clock = on.codes.clock();
    let mut jumps: Vec<Box<dyn Link>> = Vec::new();
    let mut last: Option<Session> = None;
    for hop in hops {
        let device = hop.device.clone();
        let time = bound.max(device.connect_timeout);
        let turn = hop.login.turn(&device, on, watcher).await?;
        let by = turn.1.by;
        let jump = last.take().map(|session| session.link);
        let opened = in_time(clock, &device, time, async {
            let stream = match &jump {
                None => None,
                Some(jump) => Some(tunnel(jump.as_ref(), &device).await?),
            };
            on.wire.open(&device, &hop.host_keys, stream).await
        })
        .await;
        jumps.extend(jump);
        let (mut link, fingerprint) = opened?;
        watcher.step(format!("connected to {} ({}), host key {fingerprint}", device.name, device.address()));
        let Entered { changed_at_login, password_taken, code_taken } =
            log_in(link.as_mut(), &device, &hop.login, turn, on, watcher).await?;
        // Where the login's code was doubted and taken, those of the session may be taken in a part of each step alone, too.
        // Where it was asked for none, those of the session look for the device's clock in its place.
        let by = if code_taken && by != By::Known { By::KnownAgain } else { by };
        watcher.step(format!("logged in to {} as {}", device.name, hop.login.account.user()));
        last = Some(Session { link, jumps: Vec::new(), device, changed_at_login, password_taken, by });
    }
    let session = last.ok_or_else(|| DeviceError::NotCommitted("no device to connect to".into()))?;
    Ok(Session { jumps, ..session })
}

async fn tunnel(jump: &dyn Link, device: &Device) -> Result<Box<dyn Stream>, DeviceError> {
    let opened = jump.tunnel(&device.host, device.port).await;
    opened.map_err(|why| unreachable_device(device, format!("the jump host opened no channel: {why}")))
}

/// Connects as far as the host key and hangs up: what the device shows, for a person to compare.
///
/// # Errors
/// No connection, or no key was shown. A device behind a jump host needs that hop's login.
pub async fn fetch_host_key<W: Watcher>(
    device: &Arc<Device>,
    jumps: &[Hop],
    on: &Transport,
    watcher: &W,
) -> Result<HostKeyRow, DeviceError> {
    let clock = on.codes.clock();
    let shown = Arc::new(Mutex::new(None));
    let client = Client { host_keys: HostKeys::default(), host: device.host.clone(), shown: shown.clone() };
    let config = Arc::new(ssh_config(device, false));
    if jumps.is_empty() {
        in_time(clock, device, device.connect_timeout, async {
            drop(client::connect_stream(config, open_tcp(device).await?, client).await);
            Ok(())
        })
        .await?;
    } else {
        let session = connect(on, jumps, device.connect_timeout, watcher).await?;
        in_time(clock, device, device.connect_timeout, async {
            let stream = tunnel(session.link.as_ref(), device).await?;
            drop(client::connect_stream(config, stream, client).await);
            Ok(())
        })
        .await?;
        session.close(clock).await;
    }
    let judged = shown.lock().unwrap_or_else(PoisonError::into_inner).take();
    judged.map(|(_, row)| row).ok_or_else(|| unreachable_device(device, "it showed no host key".into()))
}

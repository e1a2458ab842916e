//! Connections: the TCP stream or the channel of a jump host, the handshake, the host key, and the login.

use std::future::Future;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use russh::client::{self, AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::{HashAlg, PrivateKeyWithHashAlg};
use russh::{Channel, ChannelMsg, Disconnect, MethodKind, MethodSet};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::algorithms::{Offer, nothing_in_common, ssh_config};
use super::auth::{Entered, TurnAndAim, log_in};
use super::client::{Client, Shown, UNREADABLE, in_words};
use super::codes::By;
use super::error::DeviceError;
use super::greeting::{Greeting, Traffic};
use super::hostkeys::{HostKeys, Judgement};
use super::wire::{Ask, Link, Methods, Opened, Reply, Shell, Stream, Wire};
use super::words::{Ended, Words};
use super::{Login, SessionSlot, Transport, Watcher};
use crate::clock::{Clock, Waiting};
use crate::config::Device;
use crate::dialogue::{TERMINAL_COLUMNS, TERMINAL_ROWS};
use crate::model::Secret;
use crate::vault::HostKeyRow;

/// The library passes over `SSH_MSG_USERAUTH_PASSWD_CHANGEREQ` (RFC 4252, section 8) and waits on: that a device sent
/// something and has been quiet for so long tells of it.
const PASSED_OVER: Duration = Duration::from_secs(3);
/// What is told of it.
const CHANGE_DEMANDED: &str = "the device answers the password with neither yes nor no; it seems that the password has expired and that it demands a new one (SSH_MSG_USERAUTH_PASSWD_CHANGEREQ), which rotord cannot give by the method password; change it by hand with ssh, or enable keyboard-interactive on the device, where rotord answers such a demand";

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
    /// Whether the login sent the password: one without it proves none.
    pub password_sent: bool,
    /// Whether the device had the password at the login: one that a key opened tells nothing of it.
    pub password_taken: bool,
    /// By which clock codes are made in it.
    pub(super) by: By,
    /// Its room beside other sessions.
    pub(super) slot: SessionSlot,
}

impl Session {
    /// What the device has said of itself: its SSH version string, lines before it, banners. Bounded, not masked.
    #[must_use]
    pub fn greeting(&self) -> String {
        self.link.greeting()
    }

    /// Hangs up politely, as far as that goes in a second for each hop.
    pub async fn close(self, clock: &Clock) {
        hang_up(std::iter::once(self.link).chain(self.jumps.into_iter().rev()), clock).await;
        drop(self.slot);
    }
}

async fn hang_up(links: impl Iterator<Item = Box<dyn Link>>, clock: &Clock) {
    for link in links {
        let _ = clock.within(Duration::from_secs(1), link.close()).await;
    }
}

/// Waits for the turn of a login with its code, and for room for its session. Who waits for a code has no session, and who waits for
/// a session keeps nobody else from a code of the same seed.
pub(super) async fn turn_with_slot<W: Watcher>(
    login: &Login,
    device: &Device,
    on: &Transport,
    watcher: &W,
) -> Result<(TurnAndAim, SessionSlot), DeviceError> {
    let mut slot = watcher.try_slot();
    loop {
        if let Some(slot) = slot.take()
            && let Some(turn) = login.turn_at_once(device, on).await?
        {
            return Ok((turn, slot));
        }
        let turn = login.turn(device, on, watcher).await?;
        if let Some(slot) = watcher.try_slot() {
            return Ok((turn, slot));
        }
        drop(turn);
        slot = Some(watcher.slot().await);
    }
}

/// SSH over TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ssh;

/// A connection of russh's.
struct SshLink {
    handle: Handle<Client>,
    /// Its sender is gone once the connection is over and all that was said is kept.
    is_over: watch::Receiver<()>,
    traffic: Traffic,
    words: Words,
    legacy: bool,
}

/// A channel with a shell on a terminal.
struct SshShell(Channel<client::Msg>);

/// Why there is no connection: the host key, or what failed before one was shown, with what the device said.
fn refusal(
    device: &Device,
    error: &russh::Error,
    judged: Option<&(Judgement, HostKeyRow)>,
    words: &Words,
) -> DeviceError {
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
            let why = match (error, words.end()) {
                (russh::Error::NoCommonAlgo { kind, theirs, .. }, _) => nothing_in_common(offer(device), kind, theirs),
                (_, Some(Ended::HungUp(_))) => "it hung up".into(),
                (error, _) => in_words(error),
            };
            let said = words.shown().map(|text| format!("; it said: {text}")).unwrap_or_default();
            unreachable_device(device, format!("{why}{said}"))
        }
    }
}

fn offer(device: &Device) -> Offer {
    Offer::with(device.legacy_algorithms)
}

fn unreachable_device(device: &Device, why: String) -> DeviceError {
    DeviceError::Connect { device: device.name.to_string(), address: device.address(), why }
}

/// A connection whose host key was shown.
struct Connected {
    handle: Handle<Client>,
    is_over: watch::Receiver<()>,
    traffic: Traffic,
}

async fn begin<S>(
    device: &Device,
    host_keys: HostKeys,
    shown: &Shown,
    words: &Words,
    stream: S,
) -> Result<Connected, russh::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = ssh_config(offer(device), &host_keys);
    connected(config, device, host_keys, shown, words, stream).await
}

async fn connected<S>(
    config: client::Config,
    device: &Device,
    host_keys: HostKeys,
    shown: &Shown,
    words: &Words,
    stream: S,
) -> Result<Connected, russh::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let traffic = Traffic::default();
    let (client, is_over) = Client::new(host_keys, &device.host, shown.clone(), words.clone(), traffic.clone());
    let stream = Greeting::new(stream, words.clone(), traffic.clone());
    let handle = client::connect_stream(Arc::new(config), stream, client).await?;
    Ok(Connected { handle, is_over, traffic })
}

async fn handshake<S>(
    device: &Device,
    host_keys: HostKeys,
    words: Words,
    stream: S,
) -> Result<(SshLink, HostKeyRow), DeviceError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shown = Shown::default();
    let result = begin(device, host_keys, &shown, &words, stream).await;
    let judged = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match (result, judged) {
        (Ok(Connected { handle, is_over, traffic }), Some((Judgement::Trusted, row))) => {
            Ok((SshLink { handle, is_over, traffic, words, legacy: device.legacy_algorithms }, row))
        }
        (Ok(_), judged) => Err(refusal(device, &russh::Error::UnknownKey, judged.as_ref(), &words)),
        (Err(error), judged) => Err(refusal(device, &error, judged.as_ref(), &words)),
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
            let words = Words::default();
            let (link, key) = match through {
                None => handshake(device, host_keys.clone(), words, open_tcp(device).await?).await?,
                Some(stream) => handshake(device, host_keys.clone(), words, stream).await?,
            };
            Ok((Box::new(link) as Box<dyn Link>, key.fingerprint))
        })
    }

    fn other_kinds(&self, host_keys: &HostKeys) -> Vec<&'static str> {
        host_keys.other_kinds()
    }
}

/// Opens a connection, through a jump host where there is one. Where the device shows a key that is not on record while a
/// fingerprint is, of which nobody knows the kind, its keys of each kind are looked at, in a handshake each.
async fn open_link(
    wire: &dyn Wire,
    device: &Arc<Device>,
    host_keys: &HostKeys,
    jump: Option<&dyn Link>,
) -> Result<(Box<dyn Link>, String), DeviceError> {
    let stream = || async {
        Ok::<_, DeviceError>(match jump {
            None => None,
            Some(jump) => Some(tunnel(jump, device).await?),
        })
    };
    let first = wire.open(device, host_keys, stream().await?).await;
    if !matches!(first, Err(DeviceError::HostKeyMismatch { .. })) {
        return first;
    }
    for kind in wire.other_kinds(host_keys) {
        if let Ok(opened) = wire.open(device, &host_keys.of_kind(kind), stream().await?).await {
            return Ok(opened);
        }
    }
    first
}

fn methods(set: &MethodSet) -> Methods {
    Methods {
        key: set.contains(&MethodKind::PublicKey),
        password: set.contains(&MethodKind::Password),
        interactive: set.contains(&MethodKind::KeyboardInteractive),
    }
}

impl SshLink {
    /// What an error of the library means, in the device's words where it has any.
    async fn lost(&self, error: &russh::Error) -> String {
        if let russh::Error::ChannelOpenFailure(_) = error {
            return self.words.take_refused_channel().unwrap_or_else(|| in_words(error));
        }
        if self.handle.is_closed() {
            // It is closed a moment before the reason is kept.
            drop(self.is_over.clone().changed().await);
        }
        match self.words.end() {
            Some(Ended::HungUp(reason)) => format!("it said: {reason}"),
            Some(Ended::Lost(why)) => format!("the connection was lost: {why}"),
            Some(Ended::NoMethods | Ended::Closed) => "it closed the connection without a word".into(),
            Some(Ended::Unreadable) => UNREADABLE.into(),
            None => in_words(error),
        }
    }

    async fn authenticate(&mut self, user: &str, ask: Ask) -> Result<Reply, russh::Error> {
        let handle = &mut self.handle;
        let result = match ask {
            Ask::None => handle.authenticate_none(user).await?,
            Ask::Password(secret) => tokio::select! {
                result = handle.authenticate_password(user, secret.expose()) => result?,
                () = self.traffic.passed_over(PASSED_OVER) => return Ok(Reply::Unread(CHANGE_DEMANDED.into())),
            },
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
    fn greeting(&self) -> String {
        self.words.greeting()
    }

    fn ask<'a>(&'a mut self, user: &'a str, ask: Ask) -> Waiting<'a, Result<Reply, String>> {
        Box::pin(async move {
            let reply = match self.authenticate(user, ask).await {
                Ok(reply) => reply,
                Err(error) => {
                    let why = self.lost(&error).await;
                    let unread = self.words.end() == Some(Ended::Unreadable);
                    return if unread { Ok(Reply::Unread(why)) } else { Err(why) };
                }
            };
            match reply {
                // The library tells a lost connection as a failure without methods.
                Reply::Failure { methods, partial: false }
                    if methods == Methods::default() && self.handle.is_closed() =>
                {
                    let why = self.lost(&russh::Error::Disconnect).await;
                    match self.words.end() {
                        Some(Ended::NoMethods) => Ok(reply),
                        Some(Ended::Unreadable) => Ok(Reply::Unread(why)),
                        _ => Err(why),
                    }
                }
                Reply::In => {
                    self.traffic.logged_in();
                    Ok(reply)
                }
                reply => Ok(reply),
            }
        })
    }

    fn words(&mut self) -> Vec<String> {
        self.words.take()
    }

    fn hung_up(&self) -> Option<String> {
        match self.words.end()? {
            Ended::HungUp(reason) | Ended::Lost(reason) => Some(reason),
            Ended::Unreadable => Some(UNREADABLE.into()),
            Ended::NoMethods | Ended::Closed => None,
        }
    }

    fn shell(&self) -> Waiting<'_, Result<Box<dyn Shell>, String>> {
        Box::pin(async move {
            let opening = async {
                let channel = self.handle.channel_open_session().await?;
                channel.request_pty(false, "vt100", TERMINAL_COLUMNS.into(), TERMINAL_ROWS.into(), 0, 0, &[]).await?;
                channel.request_shell(false).await?;
                Ok::<_, russh::Error>(channel)
            };
            match opening.await {
                Ok(channel) => Ok(Box::new(SshShell(channel)) as Box<dyn Shell>),
                Err(error) => Err(self.lost(&error).await),
            }
        })
    }

    fn tunnel<'a>(&'a self, host: &'a str, port: u16) -> Waiting<'a, Result<Box<dyn Stream>, String>> {
        Box::pin(async move {
            let channel = self.handle.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0).await;
            match channel {
                Ok(channel) => Ok(Box::new(channel.into_stream()) as Box<dyn Stream>),
                Err(error) => Err(self.lost(&error).await),
            }
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
    let mut slot: Option<SessionSlot> = None;
    for hop in hops {
        let device = hop.device.clone();
        let time = bound.max(device.connect_timeout);
        let jump = last.take().map(|session| session.link);
        let entrance = async {
            let turn = match &slot {
                Some(_) => hop.login.turn(&device, on, watcher).await?,
                None => {
                    let (turn, room) = turn_with_slot(&hop.login, &device, on, watcher).await?;
                    slot = Some(room);
                    watcher.may_connect()?;
                    turn
                }
            };
            let opened = open_link(on.wire.as_ref(), &device, &hop.host_keys, jump.as_deref());
            let opened = in_time(clock, &device, time, opened);
            Ok::<_, DeviceError>((turn, opened.await?))
        };
        let entered = tokio::select! {
            biased;
            () = watcher.given_up() => Err(DeviceError::NotCommitted("the daemon is stopping".into())),
            entered = entrance => entered,
        };
        jumps.extend(jump);
        let (turn, (mut link, fingerprint)) = entered?;
        let by = turn.1.by;
        watcher.step(format!("connected to {} ({}), host key {fingerprint}", device.name, device.address()));
        let entered = match log_in(link.as_mut(), &device, &hop.login, turn, on, watcher).await {
            Ok(entered) => entered,
            Err(error) => {
                // The room is given back once the device has heard that the connection is over.
                hang_up(std::iter::once(link).chain(jumps.into_iter().rev()), clock).await;
                return Err(error);
            }
        };
        let Entered { changed_at_login, password_sent, password_taken, code_taken } = entered;
        // Where the login's code was doubted and taken, those of the session may be taken in a part of each step alone, too.
        // Where it was asked for none, those of the session look for the device's clock in its place.
        let by = match by {
            By::Known => By::Known,
            _ if code_taken => By::KnownAgain,
            _ if !password_sent => By::Probing,
            by => by,
        };
        watcher.step(format!("logged in to {} as {}", device.name, hop.login.account.user()));
        let slot = SessionSlot::default();
        last = Some(Session {
            link,
            jumps: Vec::new(),
            device,
            changed_at_login,
            password_sent,
            password_taken,
            by,
            slot,
        });
    }
    let session = last.ok_or_else(|| DeviceError::NotCommitted("no device to connect to".into()))?;
    Ok(Session { jumps, slot: slot.unwrap_or_default(), ..session })
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
) -> Result<(HostKeyRow, String), DeviceError> {
    let clock = on.codes.clock();
    let (shown, words) = (Shown::default(), Words::default());
    let host_keys = HostKeys::default();
    let end = if jumps.is_empty() {
        in_time(clock, device, device.connect_timeout, async {
            Ok(begin(device, host_keys, &shown, &words, open_tcp(device).await?).await.err())
        })
        .await?
    } else {
        let session = connect(on, jumps, device.connect_timeout, watcher).await?;
        let end = in_time(clock, device, device.connect_timeout, async {
            let stream = tunnel(session.link.as_ref(), device).await?;
            Ok(begin(device, host_keys, &shown, &words, stream).await.err())
        })
        .await?;
        session.close(clock).await;
        end
    };
    let judged = shown.lock().unwrap_or_else(PoisonError::into_inner).take();
    judged.map(|(_, row)| (row, words.greeting())).ok_or_else(|| {
        let error = end.unwrap_or(russh::Error::Disconnect);
        refusal(device, &error, None, &words)
    })
}

#[cfg(test)]
#[path = "ssh_tests.rs"]
mod tests;

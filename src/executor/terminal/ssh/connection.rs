//! SSH: the TCP stream or the channel of a jump host, the handshake, the host key, and the messages of a login.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use russh::client::{self, AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::{HashAlg, PrivateKeyWithHashAlg};
use russh::{Channel, ChannelMsg, Disconnect, MethodKind, MethodSet};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::algorithms::{Offer, nothing_in_common, ssh_config};
use super::client::{Client, Shown, UNREADABLE, in_words};
use super::greeting::{Greeting, Traffic};
use super::words::{Ended, Words};
use crate::clock::Waiting;
use crate::dialogue::{TERMINAL_COLUMNS, TERMINAL_ROWS};
use crate::executor::error::DeviceError;
use crate::executor::terminal::connector::{Ask, Connection, Connector, Methods, Opened, Peer, Reply, Shell, Stream};
use crate::executor::terminal::hostkeys::{HostKeys, Judgement};
use crate::model::Secret;
use crate::vault::HostKeyRow;

/// The library passes over `SSH_MSG_USERAUTH_PASSWD_CHANGEREQ` (RFC 4252, section 8) and waits on: that a device sent
/// something and has been quiet for so long tells of it.
const PASSED_OVER: Duration = Duration::from_secs(3);
/// What is told of it.
const CHANGE_DEMANDED: &str = "the device answers the password with neither yes nor no; it seems that the password has expired and that it demands a new one (SSH_MSG_USERAUTH_PASSWD_CHANGEREQ), which rotord cannot give by the method password; change it by hand with ssh, or enable keyboard-interactive on the device, where rotord answers such a demand";

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
    device: &Peer,
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
            device.unreachable(format!("{why}{said}"))
        }
    }
}

fn offer(device: &Peer) -> Offer {
    Offer::with(device.ssh.legacy_algorithms)
}

/// A connection whose host key was shown.
struct Connected {
    handle: Handle<Client>,
    is_over: watch::Receiver<()>,
    traffic: Traffic,
}

async fn begin<S>(
    device: &Peer,
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
    device: &Peer,
    host_keys: HostKeys,
    shown: &Shown,
    words: &Words,
    stream: S,
) -> Result<Connected, russh::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let traffic = Traffic::default();
    let (client, is_over) = Client::new(host_keys, &device.ssh.host, shown.clone(), words.clone(), traffic.clone());
    let stream = Greeting::new(stream, words.clone(), traffic.clone());
    let handle = client::connect_stream(Arc::new(config), stream, client).await?;
    Ok(Connected { handle, is_over, traffic })
}

async fn handshake<S>(
    device: &Peer,
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
            Ok((SshLink { handle, is_over, traffic, words, legacy: device.ssh.legacy_algorithms }, row))
        }
        (Ok(_), judged) => Err(refusal(device, &russh::Error::UnknownKey, judged.as_ref(), &words)),
        (Err(error), judged) => Err(refusal(device, &error, judged.as_ref(), &words)),
    }
}

async fn open_tcp(device: &Peer) -> Result<TcpStream, DeviceError> {
    let stream = TcpStream::connect((device.ssh.host.as_str(), device.ssh.port))
        .await
        .map_err(|error| device.unreachable(error.to_string()))?;
    drop(stream.set_nodelay(true));
    Ok(stream)
}

impl Connector for Ssh {
    fn open<'a>(
        &'a self,
        device: &'a Peer,
        host_keys: &'a HostKeys,
        through: Option<Box<dyn Stream>>,
    ) -> Waiting<'a, Opened> {
        Box::pin(async move {
            let words = Words::default();
            let (link, key) = match through {
                None => handshake(device, host_keys.clone(), words, open_tcp(device).await?).await?,
                Some(stream) => handshake(device, host_keys.clone(), words, stream).await?,
            };
            Ok((Box::new(link) as Box<dyn Connection>, key.fingerprint))
        })
    }

    fn other_kinds(&self, host_keys: &HostKeys) -> Vec<&'static str> {
        host_keys.other_kinds()
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

impl Connection for SshLink {
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

/// Connects as far as the host key and hangs up: what the device shows, and what it says of itself.
///
/// # Errors
/// No connection, or no key was shown.
pub(in crate::executor::terminal) async fn shown_key(
    device: &Peer,
    through: Option<Box<dyn Stream>>,
) -> Result<(HostKeyRow, String), DeviceError> {
    let (shown, words) = (Shown::default(), Words::default());
    let host_keys = HostKeys::default();
    let begun = match through {
        None => begin(device, host_keys, &shown, &words, open_tcp(device).await?).await,
        Some(stream) => begin(device, host_keys, &shown, &words, stream).await,
    };
    let judged = shown.lock().unwrap_or_else(PoisonError::into_inner).take();
    judged.map(|(_, row)| (row, words.greeting())).ok_or_else(|| {
        let error = begun.err().unwrap_or(russh::Error::Disconnect);
        refusal(device, &error, None, &words)
    })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

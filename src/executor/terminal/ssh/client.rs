//! The client's side of a connection: it judges the host key, keeps what the device says, and lets the device open nothing.

use std::sync::{Arc, Mutex, PoisonError};

use russh::client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session};
use russh::keys::{HashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelId, ChannelOpenFailure, Error};
use tokio::sync::watch;

use super::greeting::Traffic;
use super::words::{Ended, Words, disconnect};
use crate::executor::terminal::hostkeys::{HostKeys, Judgement};
use crate::vault::HostKeyRow;

/// Channels that a device may try to open before the connection is cut. None is opened.
const MOST_UNASKED: usize = 100;

/// The host key that a device showed, and what is thought of it.
pub(super) type Shown = Arc<Mutex<Option<(Judgement, HostKeyRow)>>>;

/// The client's side of a connection.
pub(super) struct Client {
    host_keys: HostKeys,
    host: String,
    shown: Shown,
    words: Words,
    traffic: Traffic,
    unasked: usize,
    /// Dropped when the connection is over and all that was said is kept.
    _over: watch::Sender<()>,
}

impl Client {
    /// Also returns what tells that the connection is over: its sender is gone by then.
    pub(super) fn new(
        host_keys: HostKeys,
        host: &str,
        shown: Shown,
        words: Words,
        traffic: Traffic,
    ) -> (Self, watch::Receiver<()>) {
        let (over, is_over) = watch::channel(());
        (Self { host_keys, host: host.to_owned(), shown, words, traffic, unasked: 0, _over: over }, is_over)
    }

    /// A client may refuse any channel that it did not ask for (RFC 4254, sections 6.3.2 and 7.2); nothing here asks for one.
    /// Dropped, the reply says so to the device.
    fn refuse(&mut self, _reply: ChannelOpenHandle) -> Result<(), Error> {
        self.unasked += 1;
        if self.unasked <= MOST_UNASKED {
            return Ok(());
        }
        self.words.ended(Ended::Lost("it opens channels on and on that nobody asked for".into()));
        Err(Error::Inconsistent)
    }
}

impl Handler for Client {
    type Error = Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Error> {
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

    async fn auth_banner(&mut self, banner: &str, _: &mut Session) -> Result<(), Error> {
        self.words.add(banner);
        self.traffic.understood();
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Error>) -> Result<(), Error> {
        match reason {
            DisconnectReason::ReceivedDisconnect(said) => {
                self.words.ended(Ended::HungUp(disconnect(said.reason_code as usize, &said.message)));
                Ok(())
            }
            DisconnectReason::Error(error) => {
                if self.words.end().is_none() {
                    self.words.ended(how_it_ended(&error));
                }
                Err(error)
            }
        }
    }

    async fn channel_open_failure(
        &mut self,
        _: ChannelId,
        reason: ChannelOpenFailure,
        description: &str,
        _: &str,
        _: &mut Session,
    ) -> Result<(), Error> {
        let kind = reason.description().to_lowercase();
        let description = description.trim();
        self.words.channel_refused(if description.is_empty() { kind } else { format!("{description} ({kind})") });
        Ok(())
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.refuse(reply)
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.refuse(reply)
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.refuse(reply)
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.refuse(reply)
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.refuse(reply)
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.refuse(reply)
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.refuse(reply)
    }
}

/// How the library's error ended the connection.
fn how_it_ended(error: &Error) -> Ended {
    match error {
        Error::NoAuthMethod => Ended::NoMethods,
        Error::Disconnect | Error::HUP => Ended::Closed,
        Error::IO(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ended::Closed,
        error if is_unreadable(error) => Ended::Unreadable,
        error => Ended::Lost(in_words(error)),
    }
}

/// What is told of a message that the library cannot decode. It wants UTF-8 in every prompt, banner and reason, as RFC 4251,
/// section 5, does, and gives the connection up over one other byte.
pub(super) const UNREADABLE: &str = "it sent a prompt, banner or reason that cannot be read: its text is not UTF-8; set the device's texts to UTF-8 or ASCII";

fn is_unreadable(error: &Error) -> bool {
    matches!(error, Error::SshEncoding(_) | Error::Utf8(_))
}

/// An error of the library in words.
pub(super) fn in_words(error: &Error) -> String {
    match error {
        Error::Disconnect | Error::HUP => "it closed the connection".into(),
        Error::IO(error) if error.kind() == std::io::ErrorKind::UnexpectedEof && error.get_ref().is_none() => {
            "it closed the connection".into()
        }
        Error::KeepaliveTimeout => "it does not answer any more".into(),
        error if is_unreadable(error) => UNREADABLE.into(),
        error => error.to_string(),
    }
}

//! Connecting: hop by hop through jump hosts, each with its login, to a session on the device.

use std::future::Future;
use std::time::Duration;

use super::auth::{Entered, TurnAndAim, log_in};
use super::connector::{Connection, Connector, Peer, Stream};
use super::hostkeys::HostKeys;
use super::login::{Hop, Login};
use super::ssh::shown_key;
use crate::clock::Clock;
use crate::executor::error::DeviceError;
use crate::executor::guards::Guards;
use crate::executor::observer::{Observer, SessionSlot};
use crate::executor::room::RoomWaits;
use crate::executor::sessions::Open;
use crate::model::AccountName;
use crate::otp::By;
use crate::vault::HostKeyRow;

/// A session that is logged in. The jump hosts' connections live as long as it does.
pub struct Session {
    pub(super) link: Box<dyn Connection>,
    pub(super) jumps: Vec<Box<dyn Connection>>,
    /// The device.
    pub device: Peer,
    /// Whether the login demanded the new password and took it.
    pub changed_at_login: bool,
    /// Whether the login sent the password: one without it proves none.
    pub password_sent: bool,
    /// Whether the device had the password at the login: one that a key opened tells nothing of it.
    pub password_taken: bool,
    /// By which clock codes are made in it.
    pub(super) by: By,
    /// How long before it rotord's own last session of the account ended, in milliseconds: 0 where one was open.
    pub(super) last_own_ms: Option<i64>,
    /// It, and those of the jump hosts, are known to be open.
    pub(super) open: Vec<Open>,
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
        drop((self.open, self.slot));
    }
}

async fn hang_up(links: impl Iterator<Item = Box<dyn Connection>>, clock: &Clock) {
    for link in links {
        let _ = clock.within(Duration::from_secs(1), link.close()).await;
    }
}

/// Waits for the turn of a login with its code, and for room for its session. Who waits for a code has no session, and who waits for
/// a session keeps nobody else from a code of the same seed.
pub(super) async fn turn_with_slot(
    login: &Login,
    device: &Peer,
    on: &Guards,
    observer: &dyn Observer,
) -> Result<(TurnAndAim, SessionSlot), DeviceError> {
    let mut slot = observer.try_slot();
    loop {
        if let Some(slot) = slot.take()
            && let Some(turn) = login.turn_at_once(device, on).await?
        {
            return Ok((turn, slot));
        }
        let turn = login.turn(device, on, observer).await?;
        if let Some(slot) = observer.try_slot() {
            return Ok((turn, slot));
        }
        drop(turn);
        slot = Some(observer.slot().await);
    }
}

/// Opens a connection, through a jump host where there is one. Where the device shows a key that is not on record while a
/// fingerprint is, of which nobody knows the kind, its keys of each kind are looked at, in a handshake each.
pub(super) async fn open_link(
    connector: &dyn Connector,
    device: &Peer,
    host_keys: &HostKeys,
    jump: Option<&dyn Connection>,
) -> Result<(Box<dyn Connection>, String), DeviceError> {
    let stream = || async {
        Ok::<_, DeviceError>(match jump {
            None => None,
            Some(jump) => Some(tunnel(jump, device).await?),
        })
    };
    let first = connector.open(device, host_keys, stream().await?).await;
    if !matches!(first, Err(DeviceError::HostKeyMismatch { .. })) {
        return first;
    }
    for kind in connector.other_kinds(host_keys) {
        if let Ok(opened) = connector.open(device, &host_keys.of_kind(kind), stream().await?).await {
            return Ok(opened);
        }
    }
    first
}

async fn in_time<T>(
    clock: &Clock,
    device: &Peer,
    bound: Duration,
    work: impl Future<Output = Result<T, DeviceError>>,
) -> Result<T, DeviceError> {
    clock
        .within(bound, work)
        .await
        .unwrap_or_else(|| Err(device.unreachable(format!("no answer within {} s", bound.as_secs_f64()))))
}

/// Connects and logs in, hop by hop. `bound` is the least time that each TCP connect with its handshake may take;
/// a device's own setting may be longer. A hop without room for one more session is asked again a few times.
///
/// # Errors
/// Says what failed on which hop. Until a hop's host key was found good, nothing secret was sent to it.
pub(super) async fn connect(
    connector: &dyn Connector,
    on: &Guards,
    hops: &[Hop],
    bound: Duration,
    observer: &dyn Observer,
) -> Result<Session, DeviceError> {
    let mut waits = RoomWaits::default();
    loop {
        let (error, account) = match connect_once(connector, on, hops, bound, observer).await {
            Ok(session) => return Ok(session),
            Err((error, Some(account))) => (error, account),
            Err((error, None)) => return Err(error),
        };
        let last_own_ms = on.sessions.last_ms(&account, on.clock());
        if !waits.again(&error, &account, last_own_ms, on, observer).await {
            return Err(error);
        }
    }
}

/// The same, once. An error comes with the account whose login, or way to it, failed.
async fn connect_once(
    connector: &dyn Connector,
    on: &Guards,
    hops: &[Hop],
    bound: Duration,
    observer: &dyn Observer,
) -> Result<Session, (DeviceError, Option<AccountName>)> {
    let clock = on.clock();
    let mut open: Vec<Open> = Vec::new();
    let mut jumps: Vec<Box<dyn Connection>> = Vec::new();
    let mut last: Option<Session> = None;
    let mut slot: Option<SessionSlot> = None;
    for hop in hops {
        let device = hop.device.clone();
        let time = bound.max(device.ssh.connect_timeout);
        let jump = last.take().map(|session| session.link);
        let entrance = async {
            let turn = match &slot {
                Some(_) => hop.login.turn(&device, on, observer).await?,
                None => {
                    let (turn, room) = turn_with_slot(&hop.login, &device, on, observer).await?;
                    slot = Some(room);
                    observer.may_connect()?;
                    turn
                }
            };
            let opened = open_link(connector, &device, &hop.host_keys, jump.as_deref());
            let opened = in_time(clock, &device, time, opened);
            Ok::<_, DeviceError>((turn, opened.await?))
        };
        let entered = tokio::select! {
            biased;
            () = observer.given_up() => Err(DeviceError::NotCommitted("the daemon is stopping".into())),
            entered = entrance => entered,
        };
        jumps.extend(jump);
        let failed = |error| (error, Some(hop.login.account.clone()));
        let (turn, (mut link, fingerprint)) = match entered {
            Ok(entered) => entered,
            Err(error) => {
                hang_up(jumps.into_iter().rev(), clock).await;
                return Err(failed(error));
            }
        };
        let by = turn.1.by;
        observer.step(format!("connected to {} ({}), host key {fingerprint}", device.name, device.address()));
        let entered = match log_in(link.as_mut(), &device, &hop.login, turn, on, observer).await {
            Ok(entered) => entered,
            Err(error) => {
                // The room is given back once the device has heard that the connection is over.
                hang_up(std::iter::once(link).chain(jumps.into_iter().rev()), clock).await;
                return Err(failed(error));
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
        observer.step(format!("logged in to {} as {}", device.name, hop.login.account.user()));
        let last_own_ms = on.sessions.last_ms(&hop.login.account, clock);
        open.push(on.sessions.begin(&hop.login.account, clock));
        let slot = SessionSlot::default();
        last = Some(Session {
            link,
            jumps: Vec::new(),
            device,
            changed_at_login,
            password_sent,
            password_taken,
            by,
            last_own_ms,
            open: Vec::new(),
            slot,
        });
    }
    let Some(session) = last else {
        return Err((DeviceError::NotCommitted("no device to connect to".into()), None));
    };
    Ok(Session { jumps, slot: slot.unwrap_or_default(), open, ..session })
}

async fn tunnel(jump: &dyn Connection, device: &Peer) -> Result<Box<dyn Stream>, DeviceError> {
    let opened = jump.tunnel(&device.ssh.host, device.ssh.port).await;
    opened.map_err(|why| device.unreachable(format!("the jump host opened no channel: {why}")))
}

/// Connects as far as the host key and hangs up: what the device shows, for a person to compare.
///
/// # Errors
/// No connection, or no key was shown. A device behind a jump host needs that hop's login.
pub(super) async fn fetch_host_key(
    device: &Peer,
    jumps: &[Hop],
    connector: &dyn Connector,
    on: &Guards,
    observer: &dyn Observer,
) -> Result<(HostKeyRow, String), DeviceError> {
    let (clock, bound) = (on.clock(), device.ssh.connect_timeout);
    if jumps.is_empty() {
        return in_time(clock, device, bound, shown_key(device, None)).await;
    }
    let session = connect(connector, on, jumps, bound, observer).await?;
    let shown = in_time(clock, device, bound, async {
        let stream = tunnel(session.link.as_ref(), device).await?;
        shown_key(device, Some(stream)).await
    });
    let shown = shown.await;
    session.close(clock).await;
    shown
}

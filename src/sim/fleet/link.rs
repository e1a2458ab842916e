//! The wire to the simulated devices.

use std::sync::Arc;

use super::login::{Door, HUNG_UP};
use crate::clock::Waiting;
use crate::executor::DeviceError;
use crate::executor::terminal::{Ask, Connection, Connector, HostKeys, Opened, Peer, Reply, Shell, Stream};
use crate::sim::faults::Fault;
use crate::sim::shell::{Begins, SimShell};
use crate::sim::universe::Universe;

/// A device that allows a user one session frees its slot so much later, in milliseconds.
const SLOT_IS_FREED: i64 = 20_000;

/// A connection to a simulated device.
pub(super) struct SimLink {
    door: Door,
    /// The devices through which it goes.
    through: Vec<String>,
    /// When it was opened, in true time.
    since: i64,
    open: bool,
    /// Counted among the device's sessions.
    counted: bool,
    impostor: bool,
}

impl Drop for SimLink {
    fn drop(&mut self) {
        if self.counted {
            let (door, now) = (&self.door, self.world().now());
            self.world().site(&door.device, |site| {
                site.sessions -= 1;
                if let Some(user) = site.users.get_mut(&door.attempt.user) {
                    user.sessions -= 1;
                    user.free_at = now + SLOT_IS_FREED;
                }
            });
        }
    }
}

/// The fleet's wire.
pub(in crate::sim) struct SimWire(pub(in crate::sim) Arc<Universe>);

impl Connector for SimWire {
    fn open<'a>(
        &'a self,
        device: &'a Peer,
        host_keys: &'a HostKeys,
        through: Option<Box<dyn Stream>>,
    ) -> Waiting<'a, Opened> {
        Box::pin(async move {
            let name = device.name.to_string();
            let gone =
                |why: &str| DeviceError::Connect { device: name.clone(), address: device.address(), why: why.into() };
            self.0.act().await;
            self.0.wait(20).await;
            let now = self.0.now();
            if device.ssh.jump.is_some() && through.is_none() {
                return Err(gone("it is behind another device"));
            }
            if self.0.site(&name, |site| site.down_until > now) || self.0.fault(Fault::Cut) {
                return Err(gone("no route"));
            }
            if self.0.fault(Fault::Hang) {
                std::future::pending::<()>().await;
            }
            let (impostor, asks) = self.0.site(&name, |site| (site.impostor_until > now, site.asks));
            let fingerprint = format!("SHA256:{name}{}", if impostor { "-impostor" } else { "" });
            if !host_keys.fingerprints.contains(&fingerprint) {
                return Err(DeviceError::HostKeyMismatch { device: name, fingerprint });
            }
            let link = SimLink {
                door: Door::new(self.0.clone(), name, asks),
                through: self.0.way_to(&device.name),
                since: self.0.now(),
                open: true,
                counted: false,
                impostor,
            };
            Ok((Box::new(link) as Box<dyn Connection>, fingerprint))
        })
    }
}

/// A device hangs up on whoever is not logged in by then, in milliseconds: OpenSSH's `LoginGraceTime` (sshd_config(5)).
const LOGIN_GRACE: i64 = 120_000;

impl Connection for SimLink {
    fn ask<'a>(&'a mut self, user: &'a str, ask: Ask) -> Waiting<'a, Result<Reply, String>> {
        Box::pin(async move {
            if self.impostor {
                self.world().violation("a secret went to an impostor");
            }
            let secret = matches!(ask, Ask::Password(_) | Ask::Answers(_));
            let in_time = 30;
            let excuse = |link: &Self| {
                // A connection that breaks here looks like a device that says no.
                if let Some(account) = Universe::account(&link.door.device, &link.door.attempt.user).filter(|_| secret)
                {
                    link.world().excuse(&account);
                    link.world().may_say_no(&account);
                }
            };
            self.world().act().await;
            let wait = if self.world().fault(Fault::Late) {
                // Until it looks at a code its step may be over, and its answer may come when nobody waits for it any more.
                excuse(self);
                self.world().draw(5_000, 45_000)
            } else {
                in_time
            };
            self.world().wait(wait).await;
            let late = self.world().now() - self.since > LOGIN_GRACE;
            if late && self.world().is_calm() && !self.world().clock_was_wrong() {
                self.world().violation(format!("{} hangs up on a login that stood still", self.door.device));
            }
            if !self.open || late || self.world().fault(Fault::Cut) || self.is_down() {
                excuse(self);
                self.open = false;
                return Err(HUNG_UP.into());
            }
            if self.world().fault(Fault::Hang) {
                std::future::pending::<()>().await;
            }
            let reply = self.door.mind(user, ask);
            self.counted |= matches!(reply, Ok(Reply::In));
            self.open = reply.is_ok();
            // Done, and the answer is lost.
            if self.world().fault(Fault::Cut) {
                excuse(self);
                self.open = false;
                return Err(HUNG_UP.into());
            }
            self.world().act().await;
            if self.door.refused && wait == in_time {
                self.world().refusal_told(&self.door.device, user);
            }
            reply
        })
    }

    fn words(&mut self) -> Vec<String> {
        std::mem::take(&mut self.door.words)
    }

    fn shell(&self) -> Waiting<'_, Result<Box<dyn Shell>, String>> {
        Box::pin(async move {
            self.world().act().await;
            self.world().wait(20).await;
            if !self.open || self.is_down() || self.world().fault(Fault::Cut) {
                return Err(HUNG_UP.into());
            }
            let begins = if self.door.without_room { Begins::WithoutRoom } else { Begins::Well };
            let shell = SimShell::new(self.world().clone(), &self.door.device, &self.door.attempt.user, begins);
            Ok(Box::new(shell) as Box<dyn Shell>)
        })
    }

    fn tunnel<'a>(&'a self, _host: &'a str, _port: u16) -> Waiting<'a, Result<Box<dyn Stream>, String>> {
        Box::pin(async move {
            self.world().act().await;
            self.world().wait(10).await;
            if !self.open || self.is_down() || self.world().fault(Fault::Cut) {
                return Err(HUNG_UP.into());
            }
            // That there is a way is all that is asked of it.
            Ok(Box::new(tokio::io::empty()) as Box<dyn Stream>)
        })
    }

    fn close(self: Box<Self>) -> Waiting<'static, ()> {
        Box::pin(async move {
            self.world().wait(10).await;
            drop(self);
        })
    }
}

impl SimLink {
    fn world(&self) -> &Arc<Universe> {
        &self.door.universe
    }

    fn is_down(&self) -> bool {
        let now = self.world().now();
        let mut way = self.through.iter().chain([&self.door.device]);
        way.any(|device| self.world().site(device, |site| site.down_until > now))
    }
}

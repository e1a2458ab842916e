//! The daemon's side: a browser for one session.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroize;

use super::frames::{Connection, Frames, Incoming};
use super::interceptor::Interceptor;
use super::launch::{Helper, Process, helper};
use super::protocol::{Answer, Ask, Reply, Request, Setup, Trouble};
use super::proxy::{Allowed, Proxy, Untrusted};
use super::tls::Judges;

/// A browser is there after this time at the latest: a session takes 1 s, and 3 s on a busy host.
const START: Duration = Duration::from_secs(60);

/// Who waits for the reply of which request.
type Waiters = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Result<Reply, Trouble>>>>>>;

/// A browser with a profile of its own. Dropped, it is gone with all that it kept.
pub struct Browser {
    frames: Frames,
    waiters: Waiters,
    next: AtomicU64,
    proxy: Proxy,
    version: String,
    _connection: Connection,
    _process: Option<Process>,
}

impl std::fmt::Debug for Browser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Browser").field("version", &self.version).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Browser {
    /// Starts one, in the service behind the socket or in a process of its own. It reaches the allowed hosts alone, and those of
    /// them alone whose certificates are found good.
    ///
    /// # Errors
    /// It cannot be started, in words.
    pub async fn start(
        socket: &Path,
        allowed: Vec<Allowed>,
        judges: Judges,
        mut setup: Setup,
    ) -> Result<Self, Trouble> {
        let interceptor = Interceptor::new(judges).map_err(Trouble::Gone)?;
        interceptor.pin().clone_into(&mut setup.key);
        let helper = helper(socket).await.map_err(Trouble::Gone)?;
        Self::over(helper, Proxy::new(allowed, interceptor), setup).await
    }

    async fn over(helper: Helper, proxy: Proxy, setup: Setup) -> Result<Self, Trouble> {
        let Helper { socket, mut process } = helper;
        let (reader, writer) = socket.into_split();
        let (frames, incoming, connection) = Frames::over(reader, writer);
        let waiters = Waiters::new(Mutex::new(Some(HashMap::new())));
        tokio::spawn(receive(incoming, waiters.clone(), proxy.clone()));
        let next = AtomicU64::new(1);
        let mut browser =
            Self { frames, waiters, next, proxy, version: String::new(), _connection: connection, _process: None };
        match browser.call(Request::Start(setup), START).await {
            Ok(Reply::Started { version }) => browser.version = version,
            Ok(_) => return Err(Trouble::Gone("says something that is no answer".into())),
            Err(Trouble::Gone(why)) => {
                let words = process.as_mut().and_then(Process::last_words);
                return Err(Trouble::Gone(words.map_or(why, |words| format!("cannot be started: {words}"))));
            }
            Err(other) => return Err(other),
        }
        Ok(Self { _process: process, ..browser })
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Hosts that a page asked for and was not let through to, as `host:port`.
    #[must_use]
    pub fn refused(&self) -> Vec<String> {
        self.proxy.refused()
    }

    /// Certificates that were not trusted on its connections: nothing was sent there.
    #[must_use]
    pub fn untrusted(&self) -> Vec<Untrusted> {
        self.proxy.untrusted()
    }

    /// Whether nothing can be asked of it any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        lock(&self.waiters).is_none()
    }

    /// Asks it for something, and waits for the reply no longer than the bound.
    ///
    /// # Errors
    /// It was not done.
    pub async fn call(&self, request: Request, bound: Duration) -> Result<Reply, Trouble> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        match lock(&self.waiters).as_mut() {
            Some(waiters) => waiters.insert(id, sender),
            None => return Err(gone()),
        };
        let mut text = serde_json::to_vec(&Ask { id, request }).map_err(|error| Trouble::Script(error.to_string()))?;
        // A helper that is frozen takes nothing any more.
        let sent = tokio::time::timeout(bound, self.frames.control(text.clone())).await.unwrap_or(false);
        text.zeroize();
        if !sent {
            return Err(gone());
        }
        let reply = tokio::time::timeout(bound, receiver).await;
        if let Some(waiters) = lock(&self.waiters).as_mut() {
            waiters.remove(&id);
        }
        match reply {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => Err(gone()),
            Err(_) => Err(Trouble::Late),
        }
    }
}

fn gone() -> Trouble {
    Trouble::Gone("is gone: its process was killed, or ran out of memory".into())
}

async fn receive(mut incoming: mpsc::Receiver<Incoming>, waiters: Waiters, proxy: Proxy) {
    while let Some(news) = incoming.recv().await {
        match news {
            Incoming::Opened(half) => {
                tokio::spawn(proxy.clone().serve(half));
            }
            Incoming::Control(text) => {
                let Ok(Answer { id, reply }) = serde_json::from_slice(&text) else { break };
                let waiter = lock(&waiters).as_mut().and_then(|waiters| waiters.remove(&id));
                if let Some(waiter) = waiter {
                    let _ = waiter.send(reply);
                }
            }
        }
    }
    // Whoever waits learns that nothing comes any more.
    lock(&waiters).take();
}

//! One-time codes, reserved in the vault before anybody sees them, and the order in which logins get them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Queue, OwnedMutexGuard};

use super::offset::{Aim, By, Sent};
use crate::clock::Clock;
use crate::metrics::{Gauge, Histogram, SECONDS_LONG};
use crate::model::{AccountName, DeviceName, Moment, Secret};
use crate::totp::{Pick, Seed, SeedId};
use crate::vault::{Ledger, Reservation, Vault, VaultError};

/// Who logs in next with a seed.
type Queues = HashMap<SeedId, Arc<SeedQueue>>;

/// Those who log in with a seed, one after another.
#[derive(Debug, Default)]
struct SeedQueue {
    turn: Arc<Queue<()>>,
    /// How many have a turn or wait for one.
    all: AtomicUsize,
}

/// One of them; no more when dropped.
#[derive(Debug)]
struct InQueue(Arc<SeedQueue>);

impl InQueue {
    /// Joins the queue, and tells how many are ahead.
    fn join(queue: &Arc<SeedQueue>) -> (Self, usize) {
        let ahead = queue.all.fetch_add(1, Ordering::SeqCst);
        (Self(queue.clone()), ahead)
    }
}

impl Drop for InQueue {
    fn drop(&mut self) {
        self.0.all.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Makes codes by the single-use rule.
#[derive(Debug, Clone)]
pub struct Codes {
    vault: Vault,
    clock: Clock,
    queues: Arc<Mutex<Queues>>,
    /// Accounts with a seed whose last login was not asked for a code, and whether that was one that proves the password: a key
    /// may open the others.
    unasked: Arc<Mutex<HashSet<(AccountName, bool)>>>,
    waits: Arc<CodeWaits>,
}

/// Waits for a time step whose code may be sent.
#[derive(Debug)]
pub struct CodeWaits {
    /// How long they took.
    pub time: Histogram,
    /// Those that wait now.
    pub now: Gauge,
}

impl Default for CodeWaits {
    fn default() -> Self {
        Self { time: Histogram::new(SECONDS_LONG), now: Gauge::default() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A turn lasts no longer: a device that asks on and on, or hangs, shall not hold up who shares the seed on other devices.
const TURN_MS: i64 = 60_000;

/// A login's turn to get a code of its seed: until this is dropped, no other login of the seed begins.
#[derive(Debug)]
pub struct Turn {
    /// By the boot clock.
    since_ms: i64,
    _held: OwnedMutexGuard<()>,
    _in_queue: InQueue,
}

impl Turn {
    /// It was waited for, and begins.
    pub(crate) fn begins(&mut self, now: &Moment) {
        self.since_ms = now.since_boot_ms;
    }

    /// Whether it lasted as long as it may.
    pub(crate) fn is_over(&self, now: &Moment) -> bool {
        now.since_boot_ms - self.since_ms >= TURN_MS
    }
}

/// What a login waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// So many that log in with the same seed and came before.
    Others(usize),
    /// The time step of the next code that may be sent, for so long.
    Step(Duration),
}

impl std::fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Others(ahead) => write!(f, "waiting for other logins with the same TOTP seed: {ahead} ahead"),
            Self::Step(time) => write!(f, "waiting {:.1} s for a fresh code", time.as_secs_f64()),
        }
    }
}

/// Whether a code may be sent.
enum Picked {
    /// Now, made by this clock.
    Free(By),
    /// At this instant; both in milliseconds since 1970.
    In { until_ms: i64, now_ms: i64 },
}

/// A code and where it stands in time.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The code.
    pub code: Secret,
    /// Its time step.
    pub step: u64,
    /// When it was sent.
    pub sent: Sent,
}

impl Codes {
    /// Codes of this vault.
    #[must_use]
    pub fn new(vault: Vault, clock: Clock) -> Self {
        Self { vault, clock, queues: Arc::default(), unasked: Arc::default(), waits: Arc::default() }
    }

    /// Waits for a time step, counted.
    #[must_use]
    pub fn waits(&self) -> &CodeWaits {
        &self.waits
    }

    /// The clock by which codes are made.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Waits for an account's turn to log in with its seed, in the order of those who ask: a device hangs up on a login that
    /// has sent its password and then waits for minutes until others of the same seed have had their codes, or counts it as
    /// a refused one.
    pub async fn turn(&self, seed: &Seed, waiting: impl Fn(WaitsFor)) -> Turn {
        let (in_queue, ahead) = InQueue::join(&self.queue(seed));
        let turn = in_queue.0.turn.clone();
        let held = match turn.clone().try_lock_owned() {
            Ok(held) => held,
            Err(_) => {
                waiting(WaitsFor::Others(ahead.max(1)));
                turn.lock_owned().await
            }
        };
        Turn { since_ms: self.clock.now().since_boot_ms, _held: held, _in_queue: in_queue }
    }

    /// The turn, where nobody else has it.
    #[must_use]
    pub fn try_turn(&self, seed: &Seed) -> Option<Turn> {
        let (in_queue, _) = InQueue::join(&self.queue(seed));
        let held = in_queue.0.turn.clone().try_lock_owned().ok()?;
        Some(Turn { since_ms: self.clock.now().since_boot_ms, _held: held, _in_queue: in_queue })
    }

    fn queue(&self, seed: &Seed) -> Arc<SeedQueue> {
        lock(&self.queues).entry(seed.id()).or_default().clone()
    }

    /// By which clock a code is made that was never used and may be sent now, as `by` has it; where none may, it waits until
    /// one should, and tells nothing. Nothing is reserved.
    ///
    /// # Errors
    /// The vault failed.
    pub async fn is_free(
        &self,
        seed: &Seed,
        device: &DeviceName,
        by: impl FnOnce(&dyn Ledger, &Moment) -> Result<By, VaultError> + Send + 'static,
        waiting: impl Fn(WaitsFor),
    ) -> Result<Option<By>, VaultError> {
        match self.pick(seed, device, by).await? {
            Picked::Free(by) => Ok(Some(by)),
            Picked::In { until_ms, now_ms } => {
                self.wait(until_ms, now_ms, &waiting).await;
                Ok(None)
            }
        }
    }

    /// The same without a wait: `None` where no such code may be sent now.
    ///
    /// # Errors
    /// The vault failed.
    pub async fn is_free_now(
        &self,
        seed: &Seed,
        device: &DeviceName,
        by: impl FnOnce(&dyn Ledger, &Moment) -> Result<By, VaultError> + Send + 'static,
    ) -> Result<Option<By>, VaultError> {
        Ok(match self.pick(seed, device, by).await? {
            Picked::Free(by) => Some(by),
            Picked::In { .. } => None,
        })
    }

    async fn pick(
        &self,
        seed: &Seed,
        device: &DeviceName,
        by: impl FnOnce(&dyn Ledger, &Moment) -> Result<By, VaultError> + Send + 'static,
    ) -> Result<Picked, VaultError> {
        let now = self.clock.now();
        let (seed, device) = (seed.clone(), device.clone());
        let free = self.vault.call(move |tx| {
            let aim = Aim { device, by: by(tx, &now)? };
            Ok((tx.free_code(&seed, aim.wanted(tx, None)?, &now)?, aim.by))
        });
        Ok(match free.await? {
            (Pick::Use(_), by) => Picked::Free(by),
            (Pick::WaitUntil(until_ms), _) => Picked::In { until_ms, now_ms: now.wall_ms },
        })
    }

    /// Whether the next login of an account may be asked for a code, as far as is known; one that proves the password, or
    /// another one.
    #[must_use]
    pub fn may_be_asked(&self, account: &AccountName, proves: bool) -> bool {
        !lock(&self.unasked).contains(&(account.clone(), proves))
    }

    /// Whether such a login that worked was asked for a code.
    pub fn was_asked(&self, account: &AccountName, proves: bool, asked: bool) {
        let (mut unasked, login) = (lock(&self.unasked), (account.clone(), proves));
        if asked {
            unasked.remove(&login);
        } else {
            unasked.insert(login);
        }
    }

    async fn wait(&self, until_ms: i64, now_ms: i64, waiting: &impl Fn(WaitsFor)) {
        let wait = Duration::from_millis(u64::try_from(until_ms - now_ms).unwrap_or(0).max(1));
        waiting(WaitsFor::Step(wait));
        let _waits = self.waits.now.hold();
        self.clock.sleep(wait).await;
        self.waits.time.observe(wait);
    }

    /// Makes a code that was never used, waiting for the next time step where it must. With `earliest`, only a step
    /// from there on will do, by the host's clock. `waiting` is told of each wait.
    ///
    /// # Errors
    /// The vault failed: no code may be used.
    pub async fn issue(
        &self,
        seed: &Seed,
        aim: &Aim,
        earliest: Option<u64>,
        waiting: impl Fn(WaitsFor),
    ) -> Result<Issued, VaultError> {
        let period_ms = i64::try_from(seed.period().max(1).saturating_mul(1000)).unwrap_or(i64::MAX);
        loop {
            let now = self.clock.now();
            let (seed, aim) = (seed.clone(), aim.clone());
            let reserved = self.vault.call(move |tx| {
                let wanted = aim.wanted(tx, earliest)?;
                Ok((tx.reserve_code(&seed, wanted, &now)?, wanted.ahead))
            });
            match reserved.await? {
                (Reservation::Code { code, step }, ahead) => {
                    let phase_ms = now.wall_ms.rem_euclid(period_ms);
                    return Ok(Issued { code, step, sent: Sent { ahead, phase_ms } });
                }
                (Reservation::WaitUntil(until), _) => self.wait(until, now.wall_ms, &waiting).await,
            }
        }
    }
}

//! One rotation an account, so many sessions a device, so many with one TOTP seed, so many in all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{Notify, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedSemaphorePermit, RwLock, Semaphore};

use super::attempt::RotationResult;
use crate::config::Device;
use crate::model::{AccountName, AttemptKind};
use crate::totp::SeedId;

/// Attempts at once with one seed: a step has one code, and an attempt needs two. More of them would take the place of others
/// in `max_concurrent`, only to wait for each other.
const WITH_ONE_SEED: usize = 4;

/// Who is at work.
#[derive(Debug)]
pub(super) struct Limits {
    all: Arc<Semaphore>,
    devices: Mutex<HashMap<String, (usize, Arc<Semaphore>)>>,
    seeds: Mutex<HashMap<SeedId, Arc<Semaphore>>>,
    busy: Busy,
    /// The scheduler's.
    wake: Arc<Notify>,
    /// Held shared by whoever logs in with an account's password, and alone by whoever changes it.
    passwords: Mutex<HashMap<AccountName, Arc<RwLock<()>>>>,
}

/// Nobody changes the passwords that are used, and nobody uses the one that changes, until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Leases {
    _used: Vec<OwnedRwLockReadGuard<()>>,
    _changed: Vec<OwnedRwLockWriteGuard<()>>,
}

/// What an account is held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Somebody looks whether a password works, or tries a template.
    Looks,
    /// It is changed, or found out which password it has.
    Changes,
}

/// The accounts that are being worked upon.
#[derive(Debug, Clone, Default)]
struct Busy(Arc<Mutex<HashMap<AccountName, Held>>>);

/// An attempt that holds its account, as others hear of it.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    pub(super) account: AccountName,
    pub(super) kind: AttemptKind,
    pub(super) attempt: Arc<str>,
}

impl Holder {
    /// What is under way, in words.
    pub(super) fn told(&self) -> String {
        format!("a {} of {} is under way (attempt {})", self.kind.noun(), self.account, self.attempt)
    }
}

/// How an attempt ended, for those who wait for it.
type Ended = Arc<OnceLock<RotationResult>>;

#[derive(Debug)]
struct Held {
    work: Work,
    holder: Holder,
    ended: Ended,
    /// Closed once it is over.
    over: Arc<Semaphore>,
    /// The scheduler passed the account over for it.
    passed_over: bool,
}

impl Busy {
    fn lock(&self) -> MutexGuard<'_, HashMap<AccountName, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An account's right to be worked upon; given back when dropped.
#[derive(Debug)]
pub(super) struct Hold {
    account: AccountName,
    busy: Busy,
    wake: Arc<Notify>,
    ended: Ended,
}

impl Hold {
    /// Gives the account back, and tells those who wait for it how the attempt ended.
    pub(super) fn release(self, result: &RotationResult) {
        // It is told once.
        let _ = self.ended.set(result.clone());
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Some(held) = self.busy.lock().remove(&self.account) else { return };
        held.over.close();
        if held.passed_over {
            self.wake.notify_one();
        }
    }
}

async fn until_closed(over: &Semaphore) {
    // It never gives anything.
    drop(over.acquire().await);
}

impl Limits {
    /// `wake` is notified when somebody ends for whom the scheduler passed an account over.
    pub(super) fn new(max_concurrent: usize, wake: Arc<Notify>) -> Self {
        Self {
            all: Arc::new(Semaphore::new(max_concurrent)),
            devices: Mutex::default(),
            seeds: Mutex::default(),
            busy: Busy::default(),
            wake,
            passwords: Mutex::default(),
        }
    }

    /// Waits until nobody changes the passwords of `used` and nobody uses or changes that of `changed`. A login that
    /// waits for its code would otherwise send a password that has been changed meanwhile, and be refused. Always in
    /// the order of names, so that two that wait for each other's accounts cannot stand still.
    pub(super) async fn leases(&self, changed: &AccountName, used: &[AccountName]) -> Leases {
        let mut all: Vec<&AccountName> = used.iter().chain([changed]).collect();
        all.sort();
        all.dedup();
        let mut leases = Leases::default();
        for account in all {
            let lock = {
                let mut passwords = self.passwords.lock().unwrap_or_else(PoisonError::into_inner);
                passwords.entry(account.clone()).or_default().clone()
            };
            if account == changed {
                leases._changed.push(lock.write_owned().await);
            } else {
                leases._used.push(lock.read_owned().await);
            }
        }
        leases
    }

    /// The account, unless somebody works on it already.
    pub(super) fn hold(&self, holder: &Holder, work: Work) -> Option<Hold> {
        let ended = Ended::default();
        match self.busy.lock().entry(holder.account.clone()) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(free) => free.insert(Held {
                work,
                holder: holder.clone(),
                ended: ended.clone(),
                over: Arc::new(Semaphore::new(0)),
                passed_over: false,
            }),
        };
        Some(Hold { account: holder.account.clone(), busy: self.busy.clone(), wake: self.wake.clone(), ended })
    }

    /// What is under way of an account, in words.
    pub(super) fn told(&self, account: &AccountName) -> String {
        let busy = self.busy.lock();
        busy.get(account).map_or_else(|| format!("something of {account} was under way"), |held| held.holder.told())
    }

    /// The account, unless somebody changes it already: who, is the error. Whoever only looks at it is waited for, or a job that looks
    /// would keep one that changes from its turn. `waiting` is told before each wait.
    pub(super) async fn hold_to_change(&self, holder: &Holder, waiting: impl Fn(&Holder)) -> Result<Hold, Holder> {
        loop {
            if let Some(hold) = self.hold(holder, Work::Changes) {
                return Ok(hold);
            }
            let Some((work, other, over, _)) = self.held(&holder.account) else { continue };
            if work == Work::Changes {
                return Err(other);
            }
            waiting(&other);
            until_closed(&over).await;
        }
    }

    /// Waits until whoever works on the account has ended, and tells how that ended. `waiting` is told before the wait.
    pub(super) async fn until_ended(&self, account: &AccountName, waiting: impl Fn(&Holder)) -> Option<RotationResult> {
        let (_, holder, over, ended) = self.held(account)?;
        waiting(&holder);
        until_closed(&over).await;
        ended.get().cloned()
    }

    /// The account, to look at it once nobody works on it any more.
    pub(super) async fn hold_to_look(&self, holder: &Holder) -> Hold {
        loop {
            if let Some(hold) = self.hold(holder, Work::Looks) {
                return hold;
            }
            if let Some((.., over, _)) = self.held(&holder.account) {
                until_closed(&over).await;
            }
        }
    }

    /// What an account is held for and by whom, what is closed once that is over, and where its end is told then.
    fn held(&self, account: &AccountName) -> Option<(Work, Holder, Arc<Semaphore>, Ended)> {
        let busy = self.busy.lock();
        busy.get(account).map(|held| (held.work, held.holder.clone(), held.over.clone(), held.ended.clone()))
    }

    /// Whether somebody works on the account.
    pub(super) fn is_busy(&self, account: &AccountName) -> bool {
        self.busy.lock().contains_key(account)
    }

    /// The same; where so, the scheduler is woken once that is over.
    pub(super) fn passes_over(&self, account: &AccountName) -> bool {
        self.busy.lock().get_mut(account).map(|held| held.passed_over = true).is_some()
    }

    /// How many accounts are being worked upon.
    pub(super) fn at_work(&self) -> usize {
        self.busy.lock().len()
    }

    /// Waits until no more than a few others are at work with any of these seeds. Always in the same order, and before the
    /// sessions, so that two that wait for each other's cannot stand still. `waiting` is told before each wait.
    pub(super) async fn seeds(&self, mut seeds: Vec<SeedId>, waiting: impl Fn()) -> Vec<OwnedSemaphorePermit> {
        seeds.sort_unstable();
        seeds.dedup();
        let mut permits = Vec::with_capacity(seeds.len());
        for seed in seeds {
            let few = {
                let mut known = self.seeds.lock().unwrap_or_else(PoisonError::into_inner);
                known.entry(seed).or_insert_with(|| Arc::new(Semaphore::new(WITH_ONE_SEED))).clone()
            };
            permits.extend(match few.clone().try_acquire_owned() {
                Ok(permit) => Some(permit),
                Err(_) => {
                    waiting();
                    few.acquire_owned().await.ok()
                }
            });
        }
        permits
    }

    /// Waits for a session on each of the devices and for one of all. Always in the same order, so that two that wait
    /// for each other's devices cannot stand still.
    pub(super) async fn sessions(&self, devices: &[Arc<Device>]) -> Vec<OwnedSemaphorePermit> {
        let mut devices: Vec<&Arc<Device>> = devices.iter().collect();
        devices.sort_by(|a, b| a.name.cmp(&b.name));
        devices.dedup_by(|a, b| a.name == b.name);
        let mut permits = Vec::with_capacity(devices.len() + 1);
        for device in devices {
            permits.extend(self.device(device).acquire_owned().await.ok());
        }
        permits.extend(self.all.clone().acquire_owned().await.ok());
        permits
    }

    fn device(&self, device: &Device) -> Arc<Semaphore> {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = devices
            .entry(device.name.to_string())
            .or_insert_with(|| (device.max_sessions, Arc::new(Semaphore::new(device.max_sessions))));
        // A reload may have changed the number: sessions under way end under the old one.
        if entry.0 != device.max_sessions {
            *entry = (device.max_sessions, Arc::new(Semaphore::new(device.max_sessions)));
        }
        entry.1.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::totp::Seed;

    fn id(seed: &str) -> SeedId {
        Seed::parse(seed).unwrap().id()
    }

    #[tokio::test]
    async fn who_changes_an_account_waits_for_who_looks_at_it_and_not_for_who_changes_it() {
        let wake = Arc::new(Notify::new());
        let limits = Arc::new(Limits::new(100, wake.clone()));
        let account = AccountName::parse("web1/admin").unwrap();
        let holder = |kind, attempt: &str| Holder { account: account.clone(), kind, attempt: attempt.into() };
        let (verify, rotate) = (holder(AttemptKind::Verify, "a1"), holder(AttemptKind::Rotate, "a2"));
        let looks = limits.hold(&verify, Work::Looks);
        let (waiting, change) = (limits.clone(), rotate.clone());
        let change = tokio::spawn(async move { waiting.hold_to_change(&change, |_| {}).await });
        tokio::task::yield_now().await;
        assert!(!change.is_finished());
        assert!(limits.is_busy(&account) && limits.passes_over(&account));
        drop(looks);
        wake.notified().await;
        let changes = change.await.unwrap();
        let changes = changes.unwrap_or_else(|other| panic!("{other:?}"));
        let other = limits.hold_to_change(&rotate, |_| panic!("nobody looks")).await.unwrap_err();
        assert_eq!(other.told(), "a rotation of web1/admin is under way (attempt a2)");
        assert!(limits.hold(&verify, Work::Looks).is_none());
        let (waiting, name) = (limits.clone(), account.clone());
        let joined = tokio::spawn(async move { waiting.until_ended(&name, |_| {}).await });
        tokio::task::yield_now().await;
        changes.release(&RotationResult {
            account: account.clone(),
            kind: AttemptKind::Rotate,
            outcome: crate::model::Outcome::Done,
            attempt: "a2".into(),
            detail: "changed".into(),
            warning: None,
            steps: Arc::default(),
        });
        assert_eq!(joined.await.unwrap().unwrap().detail, "changed", "who waits hears how it ended");
        assert_eq!(limits.at_work(), 0);
    }

    #[tokio::test]
    async fn a_few_are_at_work_with_one_seed_and_others_are_not_in_their_way() {
        let limits = Arc::new(Limits::new(100, Arc::default()));
        let (shared, own) = (id("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), id("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"));
        let mut few = Vec::new();
        for _ in 0..WITH_ONE_SEED {
            few.push(limits.seeds(vec![shared, shared], || panic!("there is room")).await);
        }
        let (waiting, both) = (limits.clone(), vec![own, shared]);
        let one_more = tokio::spawn(async move { waiting.seeds(both, || {}).await });
        tokio::task::yield_now().await;
        assert!(!one_more.is_finished());
        drop(limits.seeds(vec![own], || panic!("nobody has it")).await);
        few.pop();
        assert_eq!(one_more.await.unwrap().len(), 2);
    }
}

//! One rotation an account, so many sessions a device, so many with one TOTP seed, so many in all.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedSemaphorePermit, RwLock, Semaphore};

use crate::config::Device;
use crate::model::AccountName;
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
    busy: Arc<Mutex<HashSet<AccountName>>>,
    /// Held shared by whoever logs in with an account's password, and alone by whoever changes it.
    passwords: Mutex<HashMap<AccountName, Arc<RwLock<()>>>>,
}

/// Nobody changes the passwords that are used, and nobody uses the one that changes, until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Leases {
    _used: Vec<OwnedRwLockReadGuard<()>>,
    _changed: Vec<OwnedRwLockWriteGuard<()>>,
}

/// An account's right to be worked upon; given back when dropped.
#[derive(Debug)]
pub(super) struct Hold {
    account: AccountName,
    busy: Arc<Mutex<HashSet<AccountName>>>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.account);
    }
}

impl Limits {
    pub(super) fn new(max_concurrent: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(max_concurrent)),
            devices: Mutex::default(),
            seeds: Mutex::default(),
            busy: Arc::default(),
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
    pub(super) fn hold(&self, account: &AccountName) -> Option<Hold> {
        let fresh = self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(account.clone());
        fresh.then(|| Hold { account: account.clone(), busy: self.busy.clone() })
    }

    /// Whether somebody works on the account.
    pub(super) fn is_busy(&self, account: &AccountName) -> bool {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).contains(account)
    }

    /// How many accounts are being worked upon.
    pub(super) fn at_work(&self) -> usize {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).len()
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
    async fn a_few_are_at_work_with_one_seed_and_others_are_not_in_their_way() {
        let limits = Arc::new(Limits::new(100));
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

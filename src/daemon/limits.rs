//! One rotation an account, so many sessions a device, so many with one TOTP seed, so many in all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{Notify, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, Semaphore};

use super::attempt::RotationResult;
use super::slots::{Slot, Slots, Urgency};
use crate::config::Device;
use crate::model::{AccountName, AttemptKind};
use crate::totp::SeedId;

/// Attempts at once with one seed: a step has one code, and an attempt needs two. More of them would take the place of others
/// in `max_concurrent`, only to wait for each other.
const WITH_ONE_SEED: usize = 4;

/// Who is at work.
#[derive(Debug)]
pub(super) struct Limits {
    all: Slots,
    max_concurrent: usize,
    devices: Mutex<HashMap<String, Slots>>,
    seeds: Mutex<HashMap<SeedId, Slots>>,
    busy: Busy,
    /// The scheduler's.
    wake: Arc<Notify>,
    /// Held shared by whoever logs in with an account's password, and alone by whoever changes it.
    passwords: Mutex<HashMap<AccountName, Arc<PasswordLock>>>,
}

/// An account's password: shared by those who log in with it, held alone by whoever changes it.
#[derive(Debug, Default)]
struct PasswordLock {
    lock: Arc<RwLock<()>>,
    /// Those who have it or wait for it.
    all: AtomicUsize,
}

/// One of them; no more when dropped.
#[derive(Debug)]
struct InLine(Arc<PasswordLock>);

impl Drop for InLine {
    fn drop(&mut self) {
        self.0.all.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Nobody changes the passwords that are used, and nobody uses the one that changes, until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Leases {
    _used: Vec<OwnedRwLockReadGuard<()>>,
    _changed: Vec<OwnedRwLockWriteGuard<()>>,
    _in_line: Vec<InLine>,
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
            all: Slots::new(max_concurrent),
            max_concurrent,
            devices: Mutex::default(),
            seeds: Mutex::default(),
            busy: Busy::default(),
            wake,
            passwords: Mutex::default(),
        }
    }

    /// Waits until nobody changes the passwords of `used` and nobody uses or changes that of `changed`. A login that
    /// waits for its code would otherwise send a password that has been changed meanwhile, and be refused. Always in
    /// the order of names, so that two that wait for each other's accounts cannot stand still. `waiting` is told before each
    /// wait, in words.
    pub(super) async fn leases(&self, changed: &AccountName, used: &[AccountName], waiting: impl Fn(String)) -> Leases {
        let mut all: Vec<&AccountName> = used.iter().chain([changed]).collect();
        all.sort();
        all.dedup();
        let mut leases = Leases::default();
        for account in all {
            let password = {
                let mut passwords = self.passwords.lock().unwrap_or_else(PoisonError::into_inner);
                passwords.entry(account.clone()).or_default().clone()
            };
            let ahead = password.all.fetch_add(1, Ordering::SeqCst);
            let lock = password.lock.clone();
            leases._in_line.push(InLine(password));
            let told = || waiting(format!("waiting: other attempts use the password of {account}: {ahead} ahead"));
            if account == changed {
                leases._changed.push(match lock.clone().try_write_owned() {
                    Ok(held) => held,
                    Err(_) => {
                        told();
                        lock.write_owned().await
                    }
                });
            } else {
                leases._used.push(match lock.clone().try_read_owned() {
                    Ok(held) => held,
                    Err(_) => {
                        told();
                        lock.read_owned().await
                    }
                });
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
    /// sessions, so that two that wait for each other's cannot stand still. `waiting` is told before each wait how many are ahead.
    pub(super) async fn seeds(&self, mut seeds: Vec<SeedId>, waiting: impl Fn(usize)) -> Vec<Slot> {
        seeds.sort_unstable();
        seeds.dedup();
        let mut taken = Vec::with_capacity(seeds.len());
        for seed in seeds {
            let few = {
                let mut known = self.seeds.lock().unwrap_or_else(PoisonError::into_inner);
                known.entry(seed).or_insert_with(|| Slots::new(WITH_ONE_SEED)).clone()
            };
            taken.push(few.take(Urgency::Usual, &waiting).await);
        }
        taken
    }

    /// A session on each of the devices and one of all, where they are free now.
    pub(super) fn try_sessions(&self, devices: &[Arc<Device>], urgency: Urgency) -> Option<Vec<Slot>> {
        let all = self.lines(devices).into_iter();
        all.map(|(_, slots)| slots.try_take(urgency)).collect()
    }

    /// Waits for a session on each of the devices and for one of all. Always in the same order, so that two that wait
    /// for each other's devices cannot stand still. `waiting` is told before each wait, in words.
    pub(super) async fn sessions(
        &self,
        devices: &[Arc<Device>],
        urgency: Urgency,
        waiting: impl Fn(String),
    ) -> Vec<Slot> {
        let mut taken = Vec::with_capacity(devices.len() + 1);
        for (whose, slots) in self.lines(devices) {
            let told = |ahead: usize| {
                waiting(match whose {
                    Some(device) => format!(
                        "waiting for a session on {}: {ahead} ahead (max_sessions {})",
                        device.name, device.max_sessions
                    ),
                    None => {
                        format!("waiting for a session: {ahead} ahead (max_concurrent {})", self.max_concurrent)
                    }
                });
            };
            taken.push(slots.take(urgency, told).await);
        }
        taken
    }

    /// The lines in which a session on these devices stands, in the order of names, and at last the one of all.
    fn lines<'a>(&self, devices: &'a [Arc<Device>]) -> Vec<(Option<&'a Device>, Slots)> {
        let mut devices: Vec<&Arc<Device>> = devices.iter().collect();
        devices.sort_by(|a, b| a.name.cmp(&b.name));
        devices.dedup_by(|a, b| a.name == b.name);
        let of_devices = devices.into_iter().map(|device| (Some(&**device), self.device(device)));
        of_devices.chain([(None, self.all.clone())]).collect()
    }

    fn device(&self, device: &Device) -> Slots {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = devices.entry(device.name.to_string()).or_insert_with(|| Slots::new(device.max_sessions));
        // A reload may have changed the number.
        slots.resize(device.max_sessions);
        slots.clone()
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
            proved: true,
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
            few.push(limits.seeds(vec![shared, shared], |_| panic!("there is room")).await);
        }
        let (waiting, both) = (limits.clone(), vec![own, shared]);
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let one_more = tokio::spawn(async move { waiting.seeds(both, |ahead| tell.send(ahead).unwrap()).await });
        tokio::task::yield_now().await;
        assert!(!one_more.is_finished());
        assert_eq!(told.recv().await, Some(WITH_ONE_SEED), "it is said how many are ahead");
        drop(limits.seeds(vec![own], |_| panic!("nobody has it")).await);
        few.pop();
        assert_eq!(one_more.await.unwrap().len(), 2);
    }
}

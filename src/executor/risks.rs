//! The lockout budget, kept where logins happen: a try is put on record before the secret leaves, and taken off the
//! record once the device took it. So a crash in between counts as a refused login, and so does a device that is silent.
//! What a device said no to is marked: that alone tells of a wrong password, or of a clock that is off.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::error::DeviceError;
use crate::clock::Clock;
use crate::metrics::Counter;
use crate::model::{AccountName, Moment};
use crate::otp::{Miss, missed};
use crate::policy::{DAY_MS, Limit};
use crate::vault::{Ledger, Vault, VaultError};

/// Tries of an account that are under way, and who waits for one of them to end.
#[derive(Default)]
struct Slot {
    pending: Mutex<usize>,
    ended: Notify,
    /// Held while a try is put on record.
    taking: tokio::sync::Mutex<()>,
}

/// Takes risks within the budget.
#[derive(Clone)]
pub struct Risks {
    vault: Vault,
    clock: Clock,
    slots: Arc<Mutex<HashMap<AccountName, Arc<Slot>>>>,
    logins: Arc<LoginCounts>,
}

/// How logins ended that sent a password or a code.
#[derive(Debug, Default)]
pub struct LoginCounts {
    /// The device took them.
    pub taken: Counter,
    /// It said no.
    pub refused: Counter,
    /// It said nothing.
    pub unanswered: Counter,
}

impl std::fmt::Debug for Risks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Risks(..)")
    }
}

/// A try under way. Dropped without [`Risk::worked`], it stays on record as a refused login.
pub struct Risk {
    risks: Risks,
    account: AccountName,
    id: i64,
    slot: Arc<Slot>,
    /// How it ended is counted.
    counted: AtomicBool,
}

impl Drop for Risk {
    fn drop(&mut self) {
        self.count(&self.risks.logins.unanswered);
        *self.slot.pending.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.slot.ended.notify_waiters();
    }
}

impl Risk {
    /// Counts how it ended, once.
    fn count(&self, ended: &Counter) {
        if !self.counted.swap(true, Ordering::Relaxed) {
            ended.add();
        }
    }

    /// The device took the secret: the try costs nothing. What a crash loses of that counts as a refused login for an hour: too
    /// careful, and never too bold. So nobody waits until it is durable.
    pub fn worked(self) {
        self.worked_with(|_| Ok(()));
    }

    /// The same, with something else put on record with it that no act follows from.
    pub fn worked_with<F>(self, also: F)
    where
        F: FnOnce(&dyn Ledger) -> Result<(), VaultError> + Send + 'static,
    {
        self.count(&self.risks.logins.taken);
        let (account, id, name) = (self.account.clone(), self.id, self.account.clone());
        let work = move |tx: &dyn Ledger| {
            tx.remove_failed_login(&account, id)?;
            also(tx)
        };
        self.risks.vault.later(work, move |error| stays_refused(&name, &error));
    }

    /// The same, with something else put on record in the same call, durable once this returns; `None` where that failed.
    pub async fn worked_and<T, F>(self, also: F) -> Option<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Ledger) -> Result<T, VaultError> + Send + 'static,
    {
        self.count(&self.risks.logins.taken);
        let (account, id) = (self.account.clone(), self.id);
        let done = self.risks.vault.call(move |tx| {
            tx.remove_failed_login(&account, id)?;
            also(tx)
        });
        match done.await {
            Ok(done) => Some(done),
            Err(error) => {
                stays_refused(&self.account, &error);
                None
            }
        }
    }

    /// The device said no, to a code among others where one was sent with it; and what that tells of its clock.
    pub(crate) async fn refused(&self, with_code: bool, miss: Option<Miss>) {
        self.count(&self.risks.logins.refused);
        let (account, id) = (self.account.clone(), self.id);
        let noted = self.risks.vault.call(move |tx| {
            tx.login_was_refused(&account, id, with_code)?;
            miss.map_or(Ok(()), |miss| missed(tx, &miss))
        });
        if let Err(error) = noted.await {
            tracing::warn!(account = %self.account, %error, "{}: why a login failed is not stored: {error}", self.account);
        }
    }
}

fn stays_refused(account: &AccountName, error: &VaultError) {
    tracing::error!(%account, %error, "{account}: a login that worked stays on record as refused: {error}");
}

impl Risks {
    /// Risks counted in this vault.
    #[must_use]
    pub fn new(vault: Vault, clock: Clock) -> Self {
        Self { vault, clock, slots: Arc::default(), logins: Arc::default() }
    }

    /// How logins ended.
    #[must_use]
    pub fn logins(&self) -> &LoginCounts {
        &self.logins
    }

    fn slot(&self, account: &AccountName) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(account.clone()).or_default().clone()
    }

    /// Whether a try of the account is under way: until it ends it counts as a refused login.
    #[must_use]
    pub fn is_under_way(&self, account: &AccountName) -> bool {
        *self.slot(account).pending.lock().unwrap_or_else(PoisonError::into_inner) > 0
    }

    /// Puts a try on record, waiting for others of the same account where the budget has no room beside them.
    ///
    /// # Errors
    /// The budget is spent, or the vault failed: nothing may be sent.
    pub async fn take(&self, account: &AccountName, budget: Limit) -> Result<Risk, DeviceError> {
        let slot = self.slot(account);
        loop {
            let ended = slot.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            let taking = slot.taking.lock().await;
            let (name, now) = (account.clone(), self.clock.now());
            let taken = self.vault.call(move |tx| try_login(tx, &name, budget, &now)).await?;
            match taken {
                Ok(id) => {
                    *slot.pending.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                    let (risks, account, slot) = (self.clone(), account.clone(), slot.clone());
                    return Ok(Risk { risks, account, id, slot, counted: AtomicBool::new(false) });
                }
                Err(free_in_ms) if *slot.pending.lock().unwrap_or_else(PoisonError::into_inner) == 0 => {
                    return Err(DeviceError::BudgetSpent { account: account.to_string(), free_in_ms });
                }
                Err(_) => {
                    drop(taking);
                    ended.await;
                }
            }
        }
    }
}

/// Whether a login of the account that sent a code was refused within a day, or within the budget's window where that is longer. One that
/// was refused, or hung, before it sent a code tells nothing of a clock.
///
/// # Errors
/// The vault failed.
pub(super) fn code_was_refused(
    tx: &dyn Ledger,
    account: &AccountName,
    budget: Limit,
    now: &Moment,
) -> Result<bool, VaultError> {
    let with_code = tx.refusals(account, now)?.into_iter().filter(|refusal| refusal.with_code);
    let stamps: Vec<Moment> = with_code.map(|refusal| refusal.at).collect();
    // Looks are hours apart: what was found out of a device's clock is not forgotten between two of them.
    let limit = Limit { window_ms: budget.window_ms.max(DAY_MS), ..budget };
    Ok(limit.used(&stamps, now) > 0)
}

/// Records a try, or says in how many milliseconds there is room for one.
fn try_login(
    tx: &dyn Ledger,
    account: &AccountName,
    budget: Limit,
    now: &Moment,
) -> Result<Result<i64, i64>, VaultError> {
    match budget.admit(&tx.failed_logins(account, now)?, now) {
        Ok(()) => Ok(Ok(tx.add_failed_login(account, now)?)),
        Err(spent) => Ok(Err(spent.free_in_ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otp::Aim;
    use crate::vault::VaultKey;

    const TWO: Limit = Limit { count: 2, window_ms: 3_900_000 };

    fn account() -> AccountName {
        AccountName::parse("web1/root").unwrap()
    }

    async fn code_was_refused(risks: &Risks) -> bool {
        let now = risks.clock.now();
        risks.vault.call(move |tx| super::code_was_refused(tx, &account(), TWO, &now)).await.unwrap()
    }

    async fn take(risks: &Risks) -> Risk {
        risks.take(&account(), TWO).await.unwrap_or_else(|error| panic!("{error}"))
    }

    fn risks(folder: &std::path::Path) -> Risks {
        let key = VaultKey::create(&folder.join("key")).unwrap();
        Risks::new(crate::vault::open(&folder.join("state"), &key).unwrap(), Clock::new())
    }

    #[tokio::test]
    async fn a_try_that_did_not_work_is_spent_and_one_that_did_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let risks = risks(folder.path());
        for _ in 0..5 {
            take(&risks).await.worked();
        }
        for _ in 0..2 {
            drop(take(&risks).await);
        }
        assert!(matches!(risks.take(&account(), TWO).await, Err(DeviceError::BudgetSpent { .. })));
    }

    #[tokio::test]
    async fn only_a_device_that_said_no_to_a_code_lets_the_next_login_look_for_its_clock() {
        let folder = tempfile::tempdir().unwrap();
        let risks = risks(folder.path());
        let hung = take(&risks).await;
        assert!(!code_was_refused(&risks).await, "it is under way");
        drop(hung);
        assert!(!code_was_refused(&risks).await, "the device said nothing");
        let refused = take(&risks).await;
        refused.refused(false, None).await;
        assert!(!code_was_refused(&risks).await, "no code was sent with it");
        let aim = Aim::at(&account().device());
        let miss = |ahead| Some(Miss { aim: aim.clone(), ahead, in_session: true });
        let tried = async || risks.vault.call(|tx| tx.skew(&account().device())).await.unwrap().tried;
        refused.refused(true, miss(0)).await;
        assert_eq!(tried().await, 1, "what else there is to note is noted with it");
        refused.refused(true, miss(0)).await;
        assert_eq!(tried().await, 1, "one beside it with the same offset tells nothing more");
        refused.refused(true, miss(1)).await;
        assert_eq!(tried().await, 2);
        drop(refused);
        assert!(code_was_refused(&risks).await);
    }

    #[tokio::test]
    async fn tries_beside_each_other_wait_for_room_and_are_not_refused() {
        let folder = tempfile::tempdir().unwrap();
        let risks = risks(folder.path());
        let first = take(&risks).await;
        let second = take(&risks).await;
        let (name, waiting) = (account(), risks.clone());
        let third = tokio::spawn(async move { waiting.take(&name, TWO).await.map(|_| ()) });
        tokio::task::yield_now().await;
        assert!(!third.is_finished(), "the budget has no room beside the two");
        first.worked();
        assert!(third.await.unwrap().is_ok(), "there is room again");
        second.worked();
    }
}

//! The lockout budget, kept where logins happen: a try is put on record before the secret leaves, and taken off the
//! record once the device took it. So a crash in between counts as a refused login, and so does a device that hangs up
//! instead of saying no.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::error::DeviceError;
use crate::clock::Clock;
use crate::model::{AccountName, Moment};
use crate::policy::Limit;
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
}

impl Drop for Risk {
    fn drop(&mut self) {
        *self.slot.pending.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.slot.ended.notify_waiters();
    }
}

impl Risk {
    /// The device took the secret: the try costs nothing.
    pub async fn worked(self) {
        self.worked_and(|_| Ok(())).await;
    }

    /// The same, with something else put on record in the same call; `None` where that failed.
    pub async fn worked_and<T, F>(self, also: F) -> Option<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Ledger) -> Result<T, VaultError> + Send + 'static,
    {
        let (account, id) = (self.account.clone(), self.id);
        let done = self.risks.vault.call(move |tx| {
            tx.remove_failed_login(&account, id)?;
            also(tx)
        });
        match done.await {
            Ok(done) => Some(done),
            Err(error) => {
                // It counts as a refused login for an hour: too careful, and never too bold.
                tracing::error!(account = %self.account, %error, "a login that worked stays on record as refused");
                None
            }
        }
    }
}

impl Risks {
    /// Risks counted in this vault.
    #[must_use]
    pub fn new(vault: Vault, clock: Clock) -> Self {
        Self { vault, clock, slots: Arc::default() }
    }

    fn slot(&self, account: &AccountName) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(account.clone()).or_default().clone()
    }

    /// Tells, inside a call to the vault, whether a login of the account was refused lately, as long as that counts against
    /// the budget. Tries that are under way are none.
    pub fn was_refused(
        &self,
        account: &AccountName,
        budget: Limit,
    ) -> impl FnOnce(&dyn Ledger, &Moment) -> Result<bool, VaultError> + Send + use<> {
        let (account, slot) = (account.clone(), self.slot(account));
        move |tx, now| {
            let counted = budget.used(&tx.failed_logins(&account, now)?, now) as usize;
            Ok(counted > *slot.pending.lock().unwrap_or_else(PoisonError::into_inner))
        }
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
                    return Ok(Risk { risks: self.clone(), account: account.clone(), id, slot: slot.clone() });
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
    use crate::vault::VaultKey;

    const TWO: Limit = Limit { count: 2, window_ms: 3_900_000 };

    fn account() -> AccountName {
        AccountName::parse("web1/root").unwrap()
    }

    async fn was_refused(risks: &Risks) -> bool {
        let (look, now) = (risks.was_refused(&account(), TWO), risks.clock.now());
        risks.vault.call(move |tx| look(tx, &now)).await.unwrap()
    }

    fn risks(folder: &std::path::Path) -> Risks {
        let key = VaultKey::create(&folder.join("key")).unwrap();
        Risks::new(Vault::open(&folder.join("state"), &key).unwrap(), Clock::new())
    }

    #[tokio::test]
    async fn a_try_that_did_not_work_is_spent_and_one_that_did_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let risks = risks(folder.path());
        assert!(!was_refused(&risks).await);
        for _ in 0..5 {
            let one = risks.take(&account(), TWO).await.unwrap_or_else(|error| panic!("{error}"));
            assert!(!was_refused(&risks).await, "it is under way");
            one.worked().await;
            risks.take(&account(), TWO).await.unwrap_or_else(|error| panic!("{error}")).worked().await;
        }
        drop(risks.take(&account(), TWO).await);
        assert!(was_refused(&risks).await);
        drop(risks.take(&account(), TWO).await);
        assert!(matches!(risks.take(&account(), TWO).await, Err(DeviceError::BudgetSpent { .. })));
    }

    #[tokio::test]
    async fn tries_beside_each_other_wait_for_room_and_are_not_refused() {
        let folder = tempfile::tempdir().unwrap();
        let risks = risks(folder.path());
        let first = risks.take(&account(), TWO).await.unwrap_or_else(|error| panic!("{error}"));
        let second = risks.take(&account(), TWO).await.unwrap_or_else(|error| panic!("{error}"));
        let (name, waiting) = (account(), risks.clone());
        let third = tokio::spawn(async move { waiting.take(&name, TWO).await.map(|_| ()) });
        tokio::task::yield_now().await;
        assert!(!third.is_finished(), "the budget has no room beside the two");
        first.worked().await;
        assert!(third.await.unwrap().is_ok(), "there is room again");
        second.worked().await;
    }
}

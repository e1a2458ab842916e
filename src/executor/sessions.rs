//! Which sessions rotord itself has, or had, with an account: a device that has room for few may free a slot late.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Clock;
use crate::model::AccountName;

/// What is known of an account's sessions.
#[derive(Debug, Default)]
struct Known {
    open: usize,
    /// When the last one ended, by the boot clock.
    ended: Option<i64>,
}

/// The sessions of all accounts.
#[derive(Debug, Clone, Default)]
pub struct Sessions(Arc<Mutex<HashMap<AccountName, Known>>>);

/// A session; it has ended when this is dropped.
pub struct Open {
    sessions: Sessions,
    account: AccountName,
    clock: Clock,
}

impl Drop for Open {
    fn drop(&mut self) {
        let now = self.clock.now().since_boot_ms;
        if let Some(known) = self.sessions.lock().get_mut(&self.account) {
            known.open = known.open.saturating_sub(1);
            known.ended = Some(now);
        }
    }
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<AccountName, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account has one more session from now on.
    #[must_use]
    pub fn begin(&self, account: &AccountName, clock: &Clock) -> Open {
        self.lock().entry(account.clone()).or_default().open += 1;
        Open { sessions: self.clone(), account: account.clone(), clock: clock.clone() }
    }

    /// How long ago the last session of the account ended, in milliseconds: 0 while one is open, `None` where none is known.
    #[must_use]
    pub fn last_ms(&self, account: &AccountName, clock: &Clock) -> Option<i64> {
        let now = clock.now().since_boot_ms;
        let sessions = self.lock();
        let known = sessions.get(account)?;
        if known.open > 0 { Some(0) } else { known.ended.map(|at| now - at) }
    }
}

//! Accounts that log in for others.

use super::admission::{Admission, out_of_order};
use super::core::Core;
use crate::config::Account;
use crate::executor::{DeviceError, Stored};
use crate::model::AccountName;
use crate::rotation::HelperRole;
use crate::vault::VaultError;

impl Core {
    pub(super) async fn stored(&self, account: &AccountName) -> Result<Stored, VaultError> {
        let account = account.clone();
        self.vault.call(move |tx| Stored::of(tx, &account)).await
    }

    /// Whether an account may log in for another one before anything is connected to.
    pub(super) async fn may_help(&self, account: &Account, role: HelperRole) -> Result<(), DeviceError> {
        let under_way = self.guards.risks.is_under_way(&account.name);
        let (name, budget, now) = (account.name.clone(), account.policy.lockout(), self.clock.now());
        let (stands, room) = self
            .vault
            .call(move |tx| {
                let room = budget.admit(&tx.failed_logins(&name, &now)?, &now);
                Ok((out_of_order(tx, &name, role)?, room))
            })
            .await?;
        match (stands, room) {
            (Some(Admission::Refused(why) | Admission::NotNow(why)), _) => Err(DeviceError::NotCommitted(why)),
            (_, Err(spent)) if !under_way => {
                Err(DeviceError::BudgetSpent { account: account.name.to_string(), free_in_ms: spent.free_in_ms })
            }
            _ => Ok(()),
        }
    }
}

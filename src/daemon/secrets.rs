//! Secrets that people store, and when they may.

use super::core::Core;
use crate::audit::Draft;
use crate::model::{AccountName, Secret};
use crate::rotation::Phase;
use crate::vault::{Kind, Ledger, VaultError};

impl Core {
    /// Stores a secret and puts that on record.
    ///
    /// # Errors
    /// A rotation is between two passwords of the account, or the vault failed.
    pub async fn store_secret(
        &self,
        account: AccountName,
        kind: Kind,
        value: Secret,
        event: Option<Draft>,
    ) -> Result<(), VaultError> {
        let now = self.clock.now();
        self.vault
            .call(move |tx| {
                refuse_while_busy(tx, &account, &kind)?;
                tx.set_secret(&account, &kind, &value, &now)?;
                event.map_or(Ok(()), |event| tx.audit(&event, &now))
            })
            .await
    }
}

/// A password is not replaced while a rotation is between two of them.
///
/// # Errors
/// It is so now, or the vault failed.
pub fn refuse_while_busy(tx: &dyn Ledger, account: &AccountName, kind: &Kind) -> Result<(), VaultError> {
    let phase = tx.account(account)?.map_or(Phase::Idle, |row| row.phase);
    let settled = matches!(phase, Phase::Idle | Phase::Quarantined | Phase::Uncertain(_));
    if *kind == Kind::Password && !settled {
        return Err(VaultError::NotFound(format!(
            "a rotation of {account} is under way; set the password when it has ended"
        )));
    }
    Ok(())
}

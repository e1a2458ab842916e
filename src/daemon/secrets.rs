//! Secrets that people store, and when they may.

use super::core::Core;
use crate::audit::Draft;
use crate::model::{AccountName, Moment, Secret};
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
                store(tx, &account, &kind, &value, &now)?;
                event.map_or(Ok(()), |event| tx.audit(&event, &now))
            })
            .await
    }
}

/// Stores a secret that a person gives. A password is not replaced while a rotation is between two of them.
///
/// # Errors
/// It is so now, or the vault failed.
pub fn store(
    tx: &dyn Ledger,
    account: &AccountName,
    kind: &Kind,
    value: &Secret,
    now: &Moment,
) -> Result<(), VaultError> {
    let phase = tx.account(account)?.map_or(Phase::Idle, |row| row.phase);
    let settled = matches!(phase, Phase::Idle | Phase::Quarantined | Phase::Uncertain(_));
    if *kind == Kind::Password && !settled {
        return Err(VaultError::Refused(format!(
            "a rotation of {account} is under way; set the password when it has ended"
        )));
    }
    // The same once more tells nothing new, and neither does one in the place of a row that does not open.
    let is_news = |before: Secret| before.expose() != value.expose();
    if matches!(kind, Kind::Password | Kind::Totp) && tx.secret(account, kind).ok().flatten().is_some_and(is_news) {
        // A login with what is right now shall not look for the device's clock for them.
        tx.refused_for_secret(account)?;
    }
    tx.set_secret(account, kind, value, now)
}

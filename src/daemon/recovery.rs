//! After a start: what a crash interrupted goes on by itself.

use std::sync::Arc;

use super::core::Core;
use crate::config::Account;
use crate::model::{AccountName, Trigger};
use crate::rotation::Phase;
use crate::vault::VaultError;

impl Core {
    /// Goes on with every account that was in the middle of something. Those that need a login share the session
    /// limits with all other work, so that an outage does not end in a stampede.
    ///
    /// # Errors
    /// The vault failed.
    pub(super) async fn recover_all(self: &Arc<Self>) -> Result<(), VaultError> {
        let now = self.clock.now();
        let config = self.config();
        let rows = self
            .vault
            .call(move |tx| {
                tx.close_open_attempts(&now)?;
                tx.forget_old(&now)?;
                let rows = tx.accounts()?;
                for row in &rows {
                    let Ok(name) = AccountName::parse(&row.name) else { continue };
                    let account = config.accounts.get(&name);
                    // What waits since an earlier boot waits on by this one's clock, and no longer than anything ever
                    // waits: how long the host was down is only known if its wall clock told the truth.
                    if let Some(wake) = row.wake.as_ref().filter(|wake| wake.boot != now.boot) {
                        let longest = account.map_or(0, |account| account.policy.longest_wait_ms());
                        let wake = now.plus_ms(wake.since(&now).clamp(0, longest));
                        tx.set_wake(&name, Some(&wake), row.tries)?;
                    }
                    // An account that mends itself, and that a crash kept from being told when, is told now.
                    let mends = |account: &&Arc<Account>| account.mends_itself() && row.tries < account.policy.attempts;
                    if row.phase == Phase::Quarantined
                        && row.wake.is_none()
                        && let Some(account) = account.filter(mends)
                    {
                        tx.set_wake(&account.name, Some(&now.plus_ms(60_000)), row.tries)?;
                    }
                }
                Ok(rows)
            })
            .await?;
        for row in rows.into_iter().filter(|row| !matches!(row.phase, Phase::Idle | Phase::Quarantined)) {
            let Ok(account) = AccountName::parse(&row.name) else {
                continue;
            };
            tracing::info!(%account, state = %row.state(), "going on with what was interrupted");
            let core = self.clone();
            self.spawn(async move { drop(core.recover(&account, Trigger::Recovery, None).await) });
        }
        Ok(())
    }
}

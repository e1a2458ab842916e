//! After a start: what a crash interrupted goes on by itself.

use super::attempt::event_of_interrupted;
use super::core::Core;
use crate::audit::Draft;
use crate::model::{AccountName, Moment, Outcome};
use crate::rotation::{AfterStart, after_start};
use crate::vault::{INTERRUPTED, Ledger, VaultError};

/// What was under way when the daemon stopped, or whose end could not be written until then, has an end on record.
fn end_open_attempts(tx: &dyn Ledger, now: &Moment) -> Result<(), VaultError> {
    for row in tx.open_attempts()? {
        let account = AccountName::parse(&row.account).ok();
        let draft = Draft {
            device: account.as_ref().map(AccountName::device),
            account,
            actor: row.actor,
            job: row.job.map(Into::into),
            reason: row.reason,
            attempt: Some(row.id.into()),
            outcome: Some(Outcome::Unknown),
            ..Draft::new(event_of_interrupted(row.kind)).detail(INTERRUPTED)
        };
        tx.audit(&draft, now)?;
    }
    tx.close_open_attempts(now)
}

impl Core {
    /// Says of every account that is to go on by itself when it does; the scheduler's first look goes on with those that
    /// were in the middle of something. They share the session limits with all other work, so that an outage does not end
    /// in a stampede.
    ///
    /// # Errors
    /// The vault failed.
    pub(super) async fn recover_all(&self) -> Result<(), VaultError> {
        let (now, config) = (self.clock.now(), self.config());
        let interrupted = self.vault.call(move |tx| {
            end_open_attempts(tx, &now)?;
            tx.forget_old(&now)?;
            let mut interrupted = Vec::new();
            for row in tx.accounts()? {
                let Ok(name) = AccountName::parse(&row.name) else { continue };
                let rules = config.accounts.get(&name).map(|account| account.retry_rules());
                let at = match after_start(&row, rules.as_ref(), &now) {
                    AfterStart::Waits(at) => at,
                    AfterStart::Interrupted => {
                        interrupted.push((name.clone(), row.state()));
                        None
                    }
                };
                if at != row.wake {
                    tx.set_wake(&name, at.as_ref(), row.tries)?;
                }
            }
            Ok(interrupted)
        });
        for (account, state) in interrupted.await? {
            let device = account.device();
            tracing::info!(%account, %device, %state, "{account}: going on with what was interrupted ({state})");
        }
        Ok(())
    }
}

//! After a start: what a crash interrupted goes on by itself.

use super::attempt::event_of_interrupted;
use super::core::Core;
use crate::audit::Draft;
use crate::model::{AccountName, Moment, Outcome};
use crate::rotation::{Phase, QUARANTINE_LOOK_MS};
use crate::vault::{INTERRUPTED, Ledger, VaultError};

/// How soon after a start an account mends itself that a crash kept from being told when, in milliseconds.
const MENDS_IN_MS: i64 = 60_000;

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
                let account = config.accounts.get(&name);
                let mends = account.is_some_and(|it| it.mends_itself() && row.tries < it.policy.attempts);
                let (state, wake) = (row.state(), row.wake);
                // Who restarts the daemon again and again has no device asked more often.
                let waits = row.phase == Phase::Idle || row.phase.expects_refusal();
                let at = match (row.phase, &wake) {
                    // A crash kept it from being told when.
                    (Phase::Quarantined, wake) if mends && (wake.is_none() || row.tries == 0) => {
                        Some(now.plus_ms(MENDS_IN_MS))
                    }
                    (Phase::Quarantined, None) => Some(now.plus_ms(QUARANTINE_LOOK_MS)),
                    // What waits since an earlier boot waits on by this one's clock, and no longer than anything ever
                    // waits: how long the host was down is only known if its wall clock told the truth.
                    (_, Some(wake)) if waits && wake.boot != now.boot => {
                        let longest = account.map_or(0, |account| account.policy.longest_wait_ms());
                        let longest = if row.phase == Phase::Idle { longest } else { longest.max(QUARANTINE_LOOK_MS) };
                        Some(now.plus_ms(wake.since(&now).clamp(0, longest)))
                    }
                    (_, wake) if waits => *wake,
                    _ => {
                        interrupted.push((name.clone(), state));
                        None
                    }
                };
                if at != wake {
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

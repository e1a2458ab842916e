//! Ends of a quarantine: a new password through the reconcile account, or what a person knows.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Attempt;
use super::context::AttemptContext;
use super::request::{Request, RotationResult, unknown_account};
use crate::audit::Draft;
use crate::daemon::admission::Admission;
use crate::daemon::core::Core;
use crate::daemon::limits::{Holder, Work};
use crate::model::{AccountName, Actor, AttemptKind, EventKind, Outcome, Trigger};
use crate::rotation::{Event, Persist, Phase, Transition};
use crate::vault::VaultError;

/// What a person knows of the password that a device has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceHas {
    /// The one that was being set.
    New,
    /// The one before it.
    Old,
}

impl Core {
    /// Gives an account a new password through its reconcile account. One whose change was interrupted is found out
    /// first, and left alone where that ends its doubt.
    pub async fn reconcile(
        self: &Arc<Self>,
        account: &AccountName,
        actor: Option<Actor>,
        reason: Option<String>,
    ) -> RotationResult {
        let config = self.config();
        let request = Request { actor, reason, ..Request::of(account.clone(), Trigger::Reconcile) };
        let Some(found) = config.accounts.get(account).cloned() else {
            return unknown_account(&request);
        };
        if let Some(result) = self.found_out(&request).await {
            return result;
        }
        let mut attempt = Attempt::new(AttemptContext::new(self, config, found, request));
        let cx = attempt.cx.clone();
        let hold = match self.limits.hold_to_change(&cx.holder(), |other| cx.wait_for_look(other)).await {
            Ok(hold) => hold,
            Err(other) => return attempt.refuse(other.told(), false).await,
        };
        let result = Box::pin(cx.keeping_steps(attempt.mend())).await;
        hold.release(&result);
        self.follow(&attempt, &result).await;
        result
    }

    /// An account that is neither at rest nor given up is found out first. Where its device takes none of its passwords, that ends
    /// here, since the reconcile account is asked for; else this is what was found out.
    async fn found_out(self: &Arc<Self>, asked: &Request) -> Option<RotationResult> {
        let account = &asked.account;
        let mut found = None;
        for _ in 0..2 {
            let event = match self.phase(account).await {
                Ok(None | Some(Phase::Idle | Phase::Quarantined)) | Err(_) => break,
                Ok(Some(Phase::Uncertain(doubt))) if doubt.looks > 0 => Event::GiveUp,
                Ok(Some(_)) => Event::Recover,
            };
            let request = Request { kind: AttemptKind::Recover, trigger: Trigger::Command, ..asked.clone() };
            found = self.find_out(request, event, |_| {}).await;
        }
        let given_up = matches!(self.phase(account).await, Ok(Some(Phase::Quarantined)));
        found.filter(|_| !given_up)
    }

    /// Ends an account's doubt or quarantine with what a person knows.
    ///
    /// # Errors
    /// There is nothing to resolve, a rotation is under way, or the vault failed.
    pub async fn resolve(
        self: &Arc<Self>,
        account: &AccountName,
        has: DeviceHas,
        actor: Actor,
        reason: Option<String>,
    ) -> Result<String, VaultError> {
        let attempt: Arc<str> = self.fresh_id().into();
        let holder = Holder { account: account.clone(), kind: AttemptKind::Recover, attempt: attempt.clone() };
        let Some(hold) = self.limits.hold(&holder, Work::Changes) else {
            return Err(VaultError::Refused(format!("{}; try again when it has ended", self.limits.told(account))));
        };
        let (name, now) = (account.clone(), self.clock.now());
        let keep = self.config().accounts.get(account).map_or(0, |account| account.policy.history);
        let done = self.vault.call(move |tx| {
            let row = tx.account(&name)?;
            if !row.is_some_and(|row| row.phase.is_in_doubt()) {
                return Err(VaultError::NotFound(format!("{name} is not in doubt: there is nothing to resolve")));
            }
            let (persist, what, outcome) = match has {
                DeviceHas::New => (Persist::Promote, "the new password", Outcome::Done),
                DeviceHas::Old => (Persist::Revert, "the old password", Outcome::Failed),
            };
            if has == DeviceHas::New && tx.candidate(&name)?.is_none() {
                let text = format!(
                    "no new password of {name} is on record; store the device's with 'rotorctl secret set {name}'"
                );
                return Err(VaultError::NotFound(text));
            }
            tx.apply(&name, &Transition::Step { persist, attempt: "", keep, flaw: None }, None, &now)?;
            tx.set_last_error(&name, None)?;
            tx.refused_for_secret(&name)?;
            let done = format!("a person says that the device has {what}; {name} is at rest with it");
            let draft = Draft {
                account: Some(name.clone()),
                device: Some(name.device()),
                trigger: Some(Trigger::Command),
                actor: Some(actor),
                reason,
                attempt: Some(attempt),
                outcome: Some(outcome),
                ..Draft::new(EventKind::RotationRecovered).detail(done.clone())
            };
            tx.audit(&draft, &now)?;
            Ok(done)
        });
        let done = done.await;
        drop(hold);
        if done.is_ok() && has == DeviceHas::New {
            self.rotate_children(account, &BTreeSet::new()).await;
        }
        done
    }
}

impl Attempt {
    async fn mend(&mut self) -> RotationResult {
        let name = self.cx.account.name.clone();
        if self.cx.account.reconcile_as.is_none() {
            let why = format!("no reconcile account: set reconcile_as in [account.\"{name}\"]");
            return self.refuse(why, true).await;
        }
        let needs_old = self.cx.template.tags().iter().any(|(tag, _)| *tag == "CURRENT_PASSWORD");
        if needs_old {
            let why = format!(
                "template '{}' asks for the old password; give it a 'section reconcile' that does not",
                self.cx.account.device.template
            );
            return self.refuse(why, true).await;
        }
        match self.cx.admission().await.map(Admission::stands_against) {
            Ok(None) => {}
            Ok(Some(why)) => return self.refuse(why, true).await,
            Err(error) => return self.end(Outcome::Failed, error.to_string(), EventKind::RotationFailed).await,
        }
        match self.cx.core.phase(&name).await {
            Ok(phase) => self.change(phase.unwrap_or(Phase::Idle)).await,
            Err(error) => self.end(Outcome::Failed, error.to_string(), EventKind::RotationFailed).await,
        }
    }
}

//! Attempts that change an account's password, or find out which one it has: how they begin, and what follows them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Attempt;
use super::context::{AttemptContext, new_id};
use super::request::{Request, RotationResult, unknown_account};
use crate::daemon::core::Core;
use crate::daemon::limits::Work;
use crate::daemon::line::Due;
use crate::daemon::metrics::WaitsOn;
use crate::daemon::scheduler::under_way;
use crate::model::{AccountName, Actor, Outcome, Trigger};
use crate::rotation::{Event, Phase, daily_look};
use crate::vault::VaultError;

impl Core {
    /// A fresh id for an attempt, or for a request that is put on record like one.
    #[must_use]
    pub fn fresh_id(&self) -> String {
        new_id(self, self.clock.now().wall_ms)
    }

    /// Changes an account's password, or says why not. Returns when the outcome is known or has to wait.
    pub async fn rotate(self: &Arc<Self>, request: Request) -> RotationResult {
        let config = self.config();
        let Some(account) = config.accounts.get(&request.account).cloned() else {
            return unknown_account(&request);
        };
        let mut attempt = Attempt::new(AttemptContext::new(self, config, account, request));
        let cx = attempt.cx.clone();
        let waits = self.metrics.waits(WaitsOn::Account);
        let hold = match self.limits.hold_to_change(&cx.holder(), |other| cx.wait_for_look(other)).await {
            Ok(hold) => hold,
            Err(other) => return attempt.refuse(other.told(), false).await,
        };
        drop(waits);
        let result = Box::pin(cx.keeping_steps(attempt.run())).await;
        hold.release(&result);
        self.follow(&attempt, &result).await;
        result
    }

    /// Puts on record that a request is not carried out, and why.
    pub async fn refuse(self: &Arc<Self>, request: Request, why: String) -> RotationResult {
        let config = self.config();
        let Some(account) = config.accounts.get(&request.account).cloned() else {
            return unknown_account(&request);
        };
        Attempt::new(AttemptContext::new(self, config, account, request)).refuse(why, true).await
    }

    /// Puts on record that a request is not carried out since another one of its account goes before it, whose record stays.
    pub(in crate::daemon) async fn refuse_another(self: &Arc<Self>, request: Request, why: String) -> RotationResult {
        let config = self.config();
        let Some(account) = config.accounts.get(&request.account).cloned() else {
            return unknown_account(&request);
        };
        Attempt::new(AttemptContext::new(self, config, account, request)).refuse(why, false).await
    }

    /// Where an attempt has changed its account, starts the rotations of those that change after it.
    pub(super) async fn follow(self: &Arc<Self>, attempt: &Attempt, result: &RotationResult) {
        if result.outcome == Outcome::Done && !attempt.ending.kept {
            self.rotate_children(&result.account, &attempt.cx.request.beside).await;
        }
    }

    /// Starts the rotations of the accounts that change after this one, but for those that change `beside` it.
    pub(super) async fn rotate_children(self: &Arc<Self>, parent: &AccountName, beside: &BTreeSet<AccountName>) {
        let config = self.config();
        let children: Vec<AccountName> =
            config.followers_of(parent).iter().filter(|child| !beside.contains(*child)).cloned().collect();
        if children.is_empty() {
            return;
        }
        let (theirs, now) = (children.clone(), self.clock.now());
        if let Err(error) = self.vault.call(move |tx| under_way(tx, &theirs, &now)).await {
            tracing::error!(account = %parent, %error, "{parent}: the accounts that change after it may be forgotten by a restart: {error}");
        }
        self.line_up(children.into_iter().map(|child| (child, Due::After(parent.clone()))));
    }

    /// Where an account's rotation stands; `None` where nothing of it was ever stored.
    pub(in crate::daemon) async fn phase(&self, account: &AccountName) -> Result<Option<Phase>, VaultError> {
        let name = account.clone();
        self.vault.call(move |tx| Ok(tx.account(&name)?.map(|row| row.phase))).await
    }

    /// Finds out, by logging in, which password an account holds whose change was interrupted, or whose password was refused.
    pub async fn recover(
        self: &Arc<Self>,
        account: &AccountName,
        trigger: Trigger,
        actor: Option<Actor>,
    ) -> Option<RotationResult> {
        self.find_out(Request { actor, ..Request::of(account.clone(), trigger) }, Event::Recover, |_| {}).await
    }

    /// The daily look at an account in quarantine: `number` tells which password it tries.
    pub(in crate::daemon) async fn look_again(self: &Arc<Self>, account: &AccountName, number: u32) {
        let (which, probing) = daily_look(number);
        let probes = |attempt: &mut Attempt| attempt.logins.probing = probing;
        drop(self.find_out(Request::of(account.clone(), Trigger::Recovery), Event::Look(which), probes).await);
    }

    pub(super) async fn find_out(
        self: &Arc<Self>,
        request: Request,
        event: Event,
        prepare: impl FnOnce(&mut Attempt),
    ) -> Option<RotationResult> {
        let config = self.config();
        let account = config.accounts.get(&request.account).cloned()?;
        let mut attempt = Attempt::new(AttemptContext::new(self, config, account, request));
        let cx = attempt.cx.clone();
        let hold = self.limits.hold(&cx.holder(), Work::Changes)?;
        prepare(&mut attempt);
        let result = Box::pin(cx.keeping_steps(attempt.find_out(event))).await;
        hold.release(&result);
        self.follow(&attempt, &result).await;
        Some(result)
    }
}

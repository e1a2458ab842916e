//! Looking whether the stored password is the device's, and changing nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::core::Core;
use super::super::limits::Work;
use super::acts::LATER;
use super::{Attempt, Request, RotationResult, lock, unknown_account};
use crate::audit::Draft;
use crate::model::{AccountName, Actor, Outcome, Secret, Trigger};
use crate::rotation::{Event, Phase, Which};

/// A job looks at an account again after this time at the earliest, in milliseconds: once a day, with room for a spread.
const AGAIN_MS: i64 = 20 * 3_600_000;

/// What a login tells nothing of.
const REPLACED: &str = "another one was stored meanwhile, which was not tried";

impl Core {
    /// Logs in with the stored password and changes nothing, because a person asks. An account whose change was interrupted,
    /// or that is in quarantine, is found out by it. A password that is refused puts its account in doubt, before a
    /// rotation runs into it.
    pub async fn verify(self: &Arc<Self>, account: &AccountName, actor: Option<Actor>) -> RotationResult {
        let config = self.config();
        let request = Request { actor: actor.clone(), ..looks_at(account, Trigger::Command) };
        let Some(found) = config.accounts.get(account).cloned() else {
            return unknown_account(&request);
        };
        let settled = matches!(self.phase(account).await, Ok(None | Some(Phase::Idle)) | Err(_));
        if !settled {
            let request = Request { actor, ..Request::of(account.clone(), Trigger::Command) };
            let looks = |attempt: &Attempt| attempt.looks.store(true, Ordering::SeqCst);
            if let Some(result) = self.find_out(request, Event::Recover, looks).await {
                return result;
            }
        }
        let hold = self.limits.hold(account, Work::Looks);
        let attempt = Attempt::new(self, config, found, request);
        let Some(hold) = hold else {
            return attempt.refuse("a rotation of this account is under way".into(), false).await;
        };
        let result = Box::pin(attempt.verify()).await;
        drop(hold);
        result
    }

    /// A job's look at an account: what was looked at today, and what is being found out anyway, is left alone. Whoever works
    /// on the account is waited for: a rotation may be refused at once, and proves the password itself where it is not.
    pub(in crate::daemon) async fn verify_for_job(self: &Arc<Self>, account: AccountName, job: Arc<str>) {
        let name = account.clone();
        let before = self.vault.call(move |tx| Ok(tx.account(&name)?.and_then(|row| row.last_change))).await;
        let hold = self.limits.hold_to_look(&account).await;
        let (name, now) = (account.clone(), self.clock.now());
        let due = self.vault.call(move |tx| {
            let (row, before) = (tx.account(&name)?, before?);
            Ok(row.is_some_and(|row| {
                let rested = row.verified.is_none_or(|at| !(0..AGAIN_MS).contains(&(now.wall_ms - at)));
                let was_changed = row.last_change != before;
                row.phase == Phase::Idle && row.has_password && !row.paused && rested && !was_changed
            }))
        });
        let (due, config) = (due.await, self.config());
        match (due, config.accounts.get(&account).cloned()) {
            (Ok(true), Some(found)) => {
                let request = Request { job: Some(job), ..looks_at(&account, Trigger::Schedule) };
                Box::pin(Attempt::new(self, config, found, request).verify()).await;
            }
            (Ok(_), _) => {}
            (Err(error), _) => tracing::error!(%account, %error, "a check is due and the vault cannot be used"),
        }
        drop(hold);
    }
}

fn looks_at(account: &AccountName, trigger: Trigger) -> Request {
    Request { reason: Some("verify".into()), ..Request::of(account.clone(), trigger) }
}

impl Attempt {
    async fn stored_password(&self) -> Option<Secret> {
        self.core.stored(&self.account.name).await.ok()?.password
    }

    async fn verify(&self) -> RotationResult {
        let _room = self.room().await;
        let before = self.stored_password().await;
        let mut event = self.check(Which::Old).await;
        let no = |event| matches!(event, Event::Disproved(_) | Event::HungUp(_));
        // A connection that breaks once may break for any reason. What a refusal says is found out a while later.
        if matches!(event, Event::HungUp(_)) {
            event = match self.budget(&self.account.name).await {
                Ok(()) => self.check(Which::Old).await,
                Err(_) => event,
            };
        }
        let why = lock(&self.detail).clone();
        // Somebody may have stored another one while the login waited for its code.
        let after = self.stored_password().await;
        let replaced = before.zip(after).is_some_and(|(before, after)| before.expose() != after.expose());
        let refused = no(event) && !replaced;
        let later = refused && self.taken_back().await.is_some();
        let (outcome, detail) = match event {
            Event::Proved(_) if replaced => (Outcome::Failed, format!("the password of before works; {REPLACED}")),
            Event::Proved(_) => (Outcome::Done, "the stored password works".to_owned()),
            _ if later => (Outcome::Unknown, self.in_doubt(&format!("{why}; {LATER}")).await),
            _ if refused => (Outcome::Unknown, self.in_doubt(&why).await),
            _ if replaced => (Outcome::Failed, format!("{why}; {REPLACED}")),
            _ if self.needs_person.load(Ordering::SeqCst) => (Outcome::Unknown, why.clone()),
            _ => (Outcome::Failed, why.clone()),
        };
        if outcome == Outcome::Done && !lock(&self.flaws).is_empty() {
            *lock(&self.warning) = Some(why);
        }
        let now = self.core.clock.now();
        let row = self.row(now.wall_ms, outcome, &detail);
        let steps = row.steps.clone();
        // What is stored was not tried, so the job may look again today.
        let untold = replaced || lock(&self.wake).is_some() || self.core.is_stopping();
        let (name, id, text) = (self.account.name.clone(), self.id.clone(), detail.clone());
        let draft =
            refused.then(|| Draft { outcome: Some(outcome), ..self.draft("rotation.unknown").detail(detail.clone()) });
        let saved = self.core.vault.call(move |tx| {
            tx.save_attempt(&row)?;
            if !untold {
                tx.set_verified(&name, &now)?;
            }
            if let Some(draft) = &draft {
                // One look says little: another one follows, in a later time step.
                tx.doubt(&name, &text, &id, 1, &now)?;
                let phase = tx.account(&name)?.map_or(Phase::Idle, |row| row.phase);
                tx.set_wake(&name, phase.look_again_ms(0).map(|ms| now.plus_ms(ms)).as_ref(), 0)?;
                tx.audit(draft, &now)?;
            }
            Ok(())
        });
        if let Err(error) = saved.await {
            tracing::error!(account = %self.account.name, %error, "a check is not on record");
        }
        if refused {
            self.core.wake.notify_one();
        }
        self.result(outcome, detail, steps)
    }
}

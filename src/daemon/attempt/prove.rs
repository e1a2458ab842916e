//! Looking whether the stored password is the device's, and changing nothing.

use std::sync::Arc;

use super::Attempt;
use super::acts::LATER;
use super::context::AttemptContext;
use super::request::{Request, RotationResult, unknown_account};
use crate::daemon::core::Core;
use crate::daemon::limits::Work;
use crate::model::{AccountName, Actor, AttemptKind, Outcome, Trigger};
use crate::rotation::{Event, Phase, Which};

/// A job looks at an account again after this time at the earliest, in milliseconds: once a day, with room for a spread.
const AGAIN_MS: i64 = 20 * 3_600_000;

/// What a login tells nothing of.
const REPLACED: &str = "another one was stored meanwhile, which was not tried";

impl Core {
    /// Logs in with the stored password and changes nothing, because a person asks. An account whose change was interrupted,
    /// or that is in quarantine, is found out by it. A password that is refused puts its account in doubt, before a
    /// rotation runs into it. Where another attempt is at work on the account, its end is waited for, and told where it answers.
    pub async fn verify(
        self: &Arc<Self>,
        account: &AccountName,
        actor: Option<Actor>,
        reason: Option<String>,
    ) -> RotationResult {
        let config = self.config();
        let request = Request { actor, reason, ..verify_of(account, Trigger::Command) };
        let Some(found) = config.accounts.get(account).cloned() else {
            return unknown_account(&request);
        };
        let mut attempt = Attempt::new(AttemptContext::new(self, config, found, request));
        let cx = attempt.cx.clone();
        loop {
            let settled = matches!(self.phase(account).await, Ok(None | Some(Phase::Idle)) | Err(_));
            let work = if settled { Work::Looks } else { Work::Changes };
            if let Some(hold) = self.limits.hold(&cx.holder(), work) {
                let run =
                    async { if settled { attempt.verify().await } else { attempt.find_out(Event::Recover).await } };
                let result = Box::pin(cx.keeping_steps(run)).await;
                hold.release(&result);
                self.follow(&attempt, &result).await;
                return result;
            }
            let ended = self.limits.until_ended(account, |other| cx.step(format!("waiting: {}", other.told())));
            match cx.unless_stopping(ended).await {
                Some(Some(other)) if answers(&other) => return attempt.join(&other).await,
                Some(_) => {}
                None => return attempt.refuse("the daemon is stopping".into(), false).await,
            }
        }
    }

    /// A job's look at an account: what was looked at today, and what is being found out anyway, is left alone. Whoever works
    /// on the account is waited for: a rotation may be refused at once, and proves the password itself where it is not.
    pub(in crate::daemon) async fn verify_for_job(self: &Arc<Self>, account: AccountName, job: Arc<str>, asked: i64) {
        let config = self.config();
        let Some(found) = config.accounts.get(&account).cloned() else { return };
        let request = Request { job: Some(job), ..verify_of(&account, Trigger::Schedule) };
        let mut attempt = Attempt::new(AttemptContext::new(self, config, found, request));
        let cx = attempt.cx.clone();
        let hold = self.limits.hold_to_look(&cx.holder()).await;
        let (name, now) = (account.clone(), self.clock.now());
        let due = self.vault.call(move |tx| {
            Ok(tx.account(&name)?.is_some_and(|row| {
                let rested = row.verified.is_none_or(|at| !(0..AGAIN_MS).contains(&(now.wall_ms - at)));
                let was_changed = row.last_change.is_some_and(|at| at >= asked);
                row.rests() && !row.paused && rested && !was_changed
            }))
        });
        match due.await {
            Ok(true) => {
                let result = Box::pin(cx.keeping_steps(attempt.verify())).await;
                hold.release(&result);
            }
            Ok(false) => {}
            Err(error) => {
                let device = account.device();
                tracing::error!(%account, %device, %error, "{account}: a check is due, and the vault cannot be used: {error}");
            }
        }
    }
}

fn verify_of(account: &AccountName, trigger: Trigger) -> Request {
    Request { kind: AttemptKind::Verify, ..Request::of(account.clone(), trigger) }
}

/// Whether the end of another attempt answers whether the stored password works: it proved one, or it has just tried to.
fn answers(other: &RotationResult) -> bool {
    match other.outcome {
        // A browser session began with a login that may be hours ago.
        Outcome::Done => !matches!(other.kind, AttemptKind::Rehearse | AttemptKind::Browse),
        Outcome::Unknown => true,
        // One that was interrupted before it sent anything is recovered without a login.
        Outcome::Failed => other.kind == AttemptKind::Verify || other.kind == AttemptKind::Recover && other.proved,
        Outcome::Refused => false,
    }
}

impl Attempt {
    /// Tells the end of another attempt, which answers what was asked: a login that takes a password proves it for all who ask.
    async fn join(&mut self, other: &RotationResult) -> RotationResult {
        let proved =
            other.outcome == Outcome::Done || other.outcome == Outcome::Failed && other.kind == AttemptKind::Recover;
        let outcome = if proved { Outcome::Done } else { other.outcome };
        let detail = format!("a {} that was under way tells: {}", other.kind.noun(), other.detail);
        let text = format!("{detail} (attempt {})", other.attempt);
        let draft = self.cx.draft_of_end(outcome, &text);
        if let Err(error) = self.cx.core.audit(draft).await {
            let (account, device) = (&self.cx.account.name, &self.cx.account.device.name);
            tracing::error!(%account, %device, %error, "{account}: a check is not on record: {error}");
        }
        self.log(outcome, &text);
        let result = self.result(outcome, detail, other.steps.clone());
        RotationResult { attempt: other.attempt.clone(), warning: other.warning.clone(), ..result }
    }

    async fn verify(&mut self) -> RotationResult {
        let _room = self.cx.room(self.urgency()).await;
        self.cx.log.begin();
        let before = self.cx.stored_password().await;
        let mut event = self.check(Which::Old).await;
        let no = |event| matches!(event, Event::Disproved(_) | Event::HungUp(_));
        // A connection that breaks once may break for any reason. What a refusal says is found out a while later.
        if matches!(event, Event::HungUp(_)) {
            event = match self.cx.budget(&self.cx.account.name).await {
                Ok(()) => self.check(Which::Old).await,
                Err(_) => event,
            };
        }
        let why = self.told.detail.clone();
        // Somebody may have stored another one while the login waited for its code.
        let after = self.cx.stored_password().await;
        let replaced = before.zip(after).is_some_and(|(before, after)| before.expose() != after.expose());
        let refused = no(event) && !replaced;
        let later = refused && self.cx.taken_back().await.is_some();
        let (outcome, detail) = match event {
            Event::Proved(_) if replaced => (Outcome::Failed, format!("the password of before works; {REPLACED}")),
            Event::Proved(_) => (Outcome::Done, "the stored password works".to_owned()),
            _ if later => (Outcome::Unknown, self.cx.in_doubt(&format!("{why}; {LATER}")).await),
            _ if refused => (Outcome::Unknown, self.cx.in_doubt(&why).await),
            _ if replaced => (Outcome::Failed, format!("{why}; {REPLACED}")),
            _ if self.logins.needs_person => (Outcome::Unknown, why.clone()),
            _ => (Outcome::Failed, why.clone()),
        };
        if outcome == Outcome::Done && !self.told.flaws.is_empty() {
            self.told.warning = Some(why);
        }
        let now = self.cx.core.clock.now();
        let row = self.row(now.wall_ms, outcome, &detail);
        let steps = row.steps.clone();
        // What is stored was not tried, so the job may look again today.
        let untold = replaced || self.ending.wake.is_some() || self.cx.core.is_stopping();
        let (name, id, text) = (self.cx.account.name.clone(), self.cx.id.clone(), detail.clone());
        let draft = self.cx.draft_of_end(outcome, &detail);
        let failed = (outcome != Outcome::Done).then(|| detail.clone());
        let is_told = !replaced && !self.cx.core.is_stopping();
        let saved = self.cx.core.vault.call(move |tx| {
            tx.save_attempt(&row)?;
            if !untold {
                tx.set_verified(&name, &now)?;
            }
            if is_told {
                tx.set_verify_error(&name, failed.as_deref().filter(|_| !refused))?;
            }
            if refused {
                // One look says little: another one follows, in a later time step.
                tx.doubt(&name, &text, &id, 1, &now)?;
                let phase = tx.account(&name)?.map_or(Phase::Idle, |row| row.phase);
                tx.set_wake(&name, phase.look_again_ms(0).map(|ms| now.plus_ms(ms)).as_ref(), 0)?;
            }
            tx.audit(&draft, &now)
        });
        if let Err(error) = saved.await {
            let (account, device) = (&self.cx.account.name, &self.cx.account.device.name);
            tracing::error!(%account, %device, %error, "{account}: a check is not on record: {error}");
        }
        self.log(outcome, &detail);
        if refused {
            self.cx.core.wake.notify_one();
        }
        self.result(outcome, detail, steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_that_tried_no_password_answers_nobody_who_asks_whether_one_works() {
        let ended = |kind, outcome, proved| {
            let account = AccountName::parse("web1/admin").unwrap();
            let (attempt, detail) = (String::new(), String::new());
            answers(&RotationResult {
                account,
                kind,
                outcome,
                attempt,
                detail,
                warning: None,
                proved,
                steps: Arc::default(),
            })
        };
        for (kind, outcome, proved, answered) in [
            (AttemptKind::Rotate, Outcome::Done, true, true),
            (AttemptKind::Rotate, Outcome::Failed, false, false),
            (AttemptKind::Rotate, Outcome::Unknown, false, true),
            (AttemptKind::Rotate, Outcome::Refused, false, false),
            (AttemptKind::Verify, Outcome::Failed, false, true),
            (AttemptKind::Recover, Outcome::Failed, true, true),
            // It was interrupted before anything was sent, and is at rest again without a login.
            (AttemptKind::Recover, Outcome::Failed, false, false),
            (AttemptKind::Rehearse, Outcome::Done, false, false),
            (AttemptKind::Browse, Outcome::Done, false, false),
        ] {
            assert_eq!(ended(kind, outcome, proved), answered, "{kind:?}, {outcome:?}, {proved}");
        }
    }
}

//! How an attempt ends, on record: its row, its audit event, the account's last error, and when to go on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Attempt, RotationResult, began, lock};
use crate::audit::Draft;
use crate::daemon::Core;
use crate::daemon::escrow::{self, Newest};
use crate::model::{AttemptKind, EventKind, Outcome, Step, Trigger};
use crate::rotation::{AttemptEnd, End, NextTry, RetryRules, after_attempt};
use crate::vault::{AttemptRow, KEPT_ATTEMPTS};

impl Newest {
    /// Where to read it.
    fn told(&self) -> String {
        format!(
            "escrow has a password of it that this vault knows nothing of, put there by attempt {}: read it with 'rotorctl escrow open {} --identity FILE'",
            self.attempt,
            self.folder.display()
        )
    }
}

/// How long after an end could not be written it is tried again.
const OWED_PAUSE: Duration = Duration::from_secs(5);

/// The end of an attempt that could not be written.
#[derive(Debug, Clone)]
pub(super) struct Owed {
    row: AttemptRow,
    draft: Draft,
}

impl Core {
    /// Writes an end as soon as the vault takes it. Where the daemon stops before, its next start ends what is open.
    fn owe(self: &Arc<Self>, owed: Owed) {
        let core = self.clone();
        self.spawn(async move {
            while !core.is_stopping() {
                core.clock.sleep(OWED_PAUSE).await;
                let (Owed { row, draft }, now) = (owed.clone(), core.clock.now());
                let written = core.vault.call(move |tx| {
                    if tx.is_open(&row.id)? {
                        tx.audit(&draft, &now)?;
                        tx.save_attempt(&row)?;
                    }
                    Ok(())
                });
                match written.await {
                    Ok(()) => return,
                    Err(error) => tracing::debug!(attempt = %owed.row.id, %error, "its end is not on record yet"),
                }
            }
        });
    }
}

impl Attempt {
    pub(super) async fn finish(&self, end: End) -> RotationResult {
        let detail = lock(&self.detail).clone();
        match end {
            End::Done => {
                let proof = self.proof();
                *lock(&self.warning) = self.unclean();
                let detail = match self.unclean() {
                    Some(warning) => warning,
                    None if self.outdated.load(Ordering::SeqCst) => {
                        format!("the password that was sent last is in force, {proof}; nothing was changed now")
                    }
                    None => format!("the new password is in force; {proof}"),
                };
                self.close(Outcome::Done, detail, None).await
            }
            End::Failed { sent: false } => self.close(Outcome::Failed, detail, None).await,
            End::Failed { sent: true } if self.kept.load(Ordering::SeqCst) => {
                let told = self.stored_works();
                let asked = self.request.kind == AttemptKind::Verify || self.request.trigger == Trigger::Recovery;
                let outcome = if asked { Outcome::Done } else { Outcome::Failed };
                let refused = lock(&self.candidate).is_some() && !self.reverted.load(Ordering::SeqCst);
                let told = if refused { format!("{told}; the new one that was sent did not take") } else { told };
                let told = if asked { told } else { format!("{told}; it was in doubt, and nothing was changed now") };
                self.close(outcome, told, None).await
            }
            End::Failed { sent: true } => {
                let why = if detail.is_empty() { String::new() } else { format!("; {detail}") };
                let detail = format!("the device kept the old password, {}{why}", self.proof());
                self.close(Outcome::Failed, detail, None).await
            }
            End::Waiting => {
                self.close(Outcome::Unknown, self.in_doubt(&detail).await, Some(EventKind::RotationUnknown)).await
            }
            // The transition put it on record.
            End::Quarantined => self.close(Outcome::Unknown, self.quarantined(&detail).await, None).await,
        }
    }

    /// What proved the password that is in force, in words.
    fn proof(&self) -> &'static str {
        if self.by_section.load(Ordering::SeqCst) { "section verify proved it" } else { "a fresh login proved it" }
    }

    pub(super) fn stored_works(&self) -> String {
        format!("the stored password works; {}", self.proof())
    }

    /// Why an account is in doubt.
    pub(super) fn not_known(&self, why: &str) -> String {
        format!("not known yet which password is in force; rotord finds out by itself; {why}")
    }

    /// The same, with where its password may be read that this vault has lost.
    pub(super) async fn in_doubt(&self, why: &str) -> String {
        let why = self.not_known(why);
        match self.only_in_escrow().await {
            Some(newest) => {
                format!("{why}; {}, and then run 'rotorctl secret set {}'", newest.told(), self.account.name)
            }
            None => why,
        }
    }

    /// Why an account waits for a person, and what he can do.
    pub(super) async fn quarantined(&self, why: &str) -> String {
        let name = &self.account.name;
        let knows = match self.only_in_escrow().await {
            Some(newest) => format!("{}, and then", newest.told()),
            None => "when you know the device's password,".to_owned(),
        };
        format!("quarantined, a person is needed: {why}; {knows} run 'rotorctl secret set {name}'")
    }

    /// The account's newest password in escrow, where an attempt put it there of which the vault knows nothing: this is a backup
    /// restored, or a snapshot of the host put back, and the password may be the device's.
    async fn only_in_escrow(&self) -> Option<Newest> {
        let newest = escrow::newest(&self.config, &self.account.name).await?;
        let name = self.account.name.clone();
        let known = self.core.vault.call(move |tx| tx.attempts(&name, KEPT_ATTEMPTS)).await.ok()?;
        let is_known = known.iter().any(|attempt| attempt.id == newest.attempt);
        // Those before the last ones are forgotten.
        let may_be_forgotten = known.len() == KEPT_ATTEMPTS as usize
            && known.last().is_some_and(|oldest| began(&newest.attempt).is_none_or(|began| began <= oldest.started));
        (!is_known && !may_be_forgotten).then_some(newest)
    }

    /// The attempt's row at its end. The steps go into it.
    pub(super) fn row(&self, ended: i64, outcome: Outcome, detail: &str) -> AttemptRow {
        AttemptRow {
            ended: Some(ended),
            outcome: Some(outcome.as_str().to_owned()),
            detail: Some(detail.to_owned()),
            warning: lock(&self.warning).clone(),
            failure: (*lock(&self.failure)).filter(|_| outcome != Outcome::Done),
            ..self.open_row(std::mem::take(&mut *lock(&self.steps)).into())
        }
    }

    /// The attempt's row while it is under way.
    pub(super) fn open_row(&self, steps: Arc<[Step]>) -> AttemptRow {
        AttemptRow {
            id: self.id.to_string(),
            account: self.account.name.to_string(),
            kind: self.request.kind,
            started: self.started,
            ended: None,
            trigger: self.request.trigger.as_str().to_owned(),
            actor: self.request.actor.clone(),
            job: self.request.job.as_deref().map(str::to_owned),
            reason: self.request.reason.as_ref().map(|reason| self.masked(reason.clone())),
            outcome: None,
            detail: None,
            warning: None,
            failure: None,
            steps,
        }
    }

    pub(super) fn steps_so_far(&self) -> Arc<[Step]> {
        lock(&self.steps).as_slice().into()
    }

    pub(super) async fn refuse(&self, why: String, keep: bool) -> RotationResult {
        if keep {
            return self.end(Outcome::Refused, why, EventKind::RotationRefused).await;
        }
        let why = self.masked(why);
        // Whoever works on the account owns its row; the refusal is on record in the audit log alone.
        let event = self.refusal_event();
        let draft = Draft { outcome: Some(Outcome::Refused), ..self.draft(event).detail(why.clone()) };
        if let Err(error) = self.core.audit(draft).await {
            let (account, device) = (&self.account.name, &self.account.device.name);
            tracing::error!(%account, %device, %error, "{account}: a refusal is not on record: {error}");
        }
        self.log(Outcome::Refused, &why);
        self.result(Outcome::Refused, why, self.steps_so_far())
    }

    /// Ends an attempt that never began.
    pub(super) async fn end(&self, outcome: Outcome, detail: String, event: EventKind) -> RotationResult {
        let detail = self.masked(detail);
        lock(&self.detail).clone_from(&detail);
        self.close(outcome, detail, Some(event)).await
    }

    /// Puts the end on record: the attempt's row, the account's last error, when to go on, and an audit event where
    /// the transition told none.
    pub(super) async fn close(&self, outcome: Outcome, detail: String, event: Option<EventKind>) -> RotationResult {
        let now = self.core.clock.now();
        let row = self.row(now.wall_ms, outcome, &detail);
        let steps = row.steps.clone();
        let turned_away = event == Some(EventKind::RotationRefused);
        let event = self.event_of_end(outcome, event);
        let draft = event.map(|event| Draft { outcome: Some(outcome), ..self.draft(event).detail(detail.clone()) });
        let owed = Owed { row: row.clone(), draft: self.draft_of_end(outcome, &detail) };
        let end = owed.clone();
        let (name, policy) = (self.account.name.clone(), self.account.policy.clone());
        let (last_error, mends, kept) = (detail.clone(), self.account.mends_itself(), self.kept.load(Ordering::SeqCst));
        let is_proved = self.request.kind == AttemptKind::Verify && outcome == Outcome::Done;
        let ended = AttemptEnd {
            outcome,
            is_unasked: self.request.trigger.is_unasked(),
            not_before: *lock(&self.wake),
            stopped: self.cancelled.load(Ordering::SeqCst) && outcome == Outcome::Failed,
            needs_person: self.needs_person.load(Ordering::SeqCst),
            is_look: self.is_look.load(Ordering::SeqCst),
            turned_away,
        };
        let saved = self
            .core
            .vault
            .call(move |tx| {
                match &draft {
                    Some(draft) => tx.audit(draft, &now)?,
                    // No transition told its end, though its start is on record.
                    None if tx.is_open(&row.id)? => tx.audit(&end.draft, &now)?,
                    None => {}
                }
                tx.save_attempt(&row)?;
                if is_proved {
                    tx.set_verified(&name, &now)?;
                    tx.set_verify_error(&name, None)?;
                }
                let Some(account) = tx.account(&name)? else {
                    return Ok(None);
                };
                if outcome == Outcome::Done {
                    return Ok(None);
                }
                // A refusal changes nothing about why the account stands where it stands.
                if outcome != Outcome::Refused && !turned_away && !kept {
                    tx.set_last_error(&name, Some(&last_error))?;
                }
                let rules = RetryRules { policy: &policy, reconciles_itself: mends };
                let NextTry { wake, tries, was_looked_at } = after_attempt(&account, &ended, &rules, &now);
                if was_looked_at {
                    tx.set_verified(&name, &now)?;
                }
                tx.set_wake(&name, wake.as_ref(), tries)?;
                Ok(wake)
            })
            .await;
        match saved {
            Ok(Some(_)) => self.core.wake.notify_one(),
            Ok(None) => {}
            Err(error) => {
                let (account, device) = (&self.account.name, &self.account.device.name);
                tracing::error!(%account, %device, attempt = %self.id, %error, "{account}: the end of an attempt is not on record yet: {error}");
                self.core.owe(owed);
            }
        }
        self.log(outcome, &detail);
        self.result(outcome, detail, steps)
    }
}

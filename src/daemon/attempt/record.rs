//! How an attempt ends, on record: its row, its audit event, the account's last error, and when to go on.

use std::sync::Arc;
use std::time::Duration;

use super::Attempt;
use super::context::{AttemptContext, Mode, began};
use super::request::RotationResult;
use crate::audit::Draft;
use crate::daemon::Core;
use crate::daemon::escrow::{self, Newest};
use crate::model::{EventKind, Outcome, Step, Trigger};
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

impl AttemptContext {
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

    /// The attempt's row while it is under way.
    pub(super) fn open_row(&self, steps: Arc<[Step]>) -> AttemptRow {
        AttemptRow {
            id: self.id.to_string(),
            account: self.account.name.to_string(),
            kind: self.request.kind,
            started: self.started,
            ended: None,
            trigger: self.request.trigger,
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
}

impl Attempt {
    pub(super) async fn finish(&mut self, end: End) -> RotationResult {
        let detail = self.told.detail.clone();
        match end {
            End::Done => {
                let proof = self.proof();
                self.told.warning = self.unclean();
                let detail = match self.unclean() {
                    Some(warning) => warning,
                    None if self.passwords.outdated => {
                        format!("the password that was sent last is in force, {proof}; nothing was changed now")
                    }
                    None => format!("the new password is in force; {proof}"),
                };
                self.close(Outcome::Done, detail, None).await
            }
            End::Failed { sent: false } => self.close(Outcome::Failed, detail, None).await,
            End::Failed { sent: true } if self.ending.kept => {
                let told = self.stored_works();
                let asked = self.cx.mode == Mode::Verify || self.cx.request.trigger == Trigger::Recovery;
                let outcome = if asked { Outcome::Done } else { Outcome::Failed };
                let refused = self.passwords.candidate.is_some() && !self.passwords.reverted;
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
                let why = self.cx.in_doubt(&detail).await;
                self.close(Outcome::Unknown, why, Some(EventKind::RotationUnknown)).await
            }
            // The transition put it on record.
            End::Quarantined => {
                let why = self.cx.quarantined(&detail).await;
                self.close(Outcome::Unknown, why, None).await
            }
        }
    }

    /// What proved the password that is in force, in words.
    fn proof(&self) -> &'static str {
        if self.logins.by_section { "section verify proved it" } else { "a fresh login proved it" }
    }

    pub(super) fn stored_works(&self) -> String {
        format!("the stored password works; {}", self.proof())
    }

    /// The attempt's row at its end. The steps go into it.
    pub(super) fn row(&self, ended: i64, outcome: Outcome, detail: &str) -> AttemptRow {
        AttemptRow {
            ended: Some(ended),
            outcome: Some(outcome),
            detail: Some(detail.to_owned()),
            warning: self.told.warning.clone(),
            failure: self.logins.failure.filter(|_| outcome != Outcome::Done),
            ..self.cx.open_row(self.cx.log.take())
        }
    }

    pub(super) async fn refuse(&mut self, why: String, keep: bool) -> RotationResult {
        if keep {
            return self.end(Outcome::Refused, why, EventKind::RotationRefused).await;
        }
        let why = self.cx.masked(why);
        // Whoever works on the account owns its row; the refusal is on record in the audit log alone.
        let event = self.cx.refusal_event();
        let draft = Draft { outcome: Some(Outcome::Refused), ..self.cx.draft(event).detail(why.clone()) };
        if let Err(error) = self.cx.core.audit(draft).await {
            let (account, device) = (&self.cx.account.name, &self.cx.account.device.name);
            tracing::error!(%account, %device, %error, "{account}: a refusal is not on record: {error}");
        }
        self.log(Outcome::Refused, &why);
        self.result(Outcome::Refused, why, self.cx.log.steps())
    }

    /// Ends an attempt that never began.
    pub(super) async fn end(&mut self, outcome: Outcome, detail: String, event: EventKind) -> RotationResult {
        let detail = self.cx.masked(detail);
        self.told.detail.clone_from(&detail);
        self.close(outcome, detail, Some(event)).await
    }

    /// Puts the end on record: the attempt's row, the account's last error, when to go on, and an audit event where
    /// the transition told none.
    pub(super) async fn close(&mut self, outcome: Outcome, detail: String, event: Option<EventKind>) -> RotationResult {
        let now = self.cx.core.clock.now();
        let row = self.row(now.wall_ms, outcome, &detail);
        let steps = row.steps.clone();
        let turned_away = event == Some(EventKind::RotationRefused);
        let event = self.cx.event_of_end(outcome, event);
        let draft = event.map(|event| Draft { outcome: Some(outcome), ..self.cx.draft(event).detail(detail.clone()) });
        let owed = Owed { row: row.clone(), draft: self.cx.draft_of_end(outcome, &detail) };
        let end = owed.clone();
        let (name, policy) = (self.cx.account.name.clone(), self.cx.account.policy.clone());
        let (last_error, mends, kept) = (detail.clone(), self.cx.account.mends_itself(), self.ending.kept);
        let is_proved = self.cx.mode == Mode::Verify && outcome == Outcome::Done;
        let ended = AttemptEnd {
            outcome,
            is_unasked: self.cx.request.trigger.is_unasked(),
            not_before: self.ending.wake,
            stopped: self.ending.cancelled && outcome == Outcome::Failed,
            needs_person: self.logins.needs_person,
            is_look: self.ending.is_look,
            turned_away,
        };
        let saved = self
            .cx
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
            Ok(Some(_)) => self.cx.core.wake.notify_one(),
            Ok(None) => {}
            Err(error) => {
                let (account, device) = (&self.cx.account.name, &self.cx.account.device.name);
                tracing::error!(%account, %device, attempt = %self.cx.id, %error, "{account}: the end of an attempt is not on record yet: {error}");
                self.cx.core.owe(owed);
            }
        }
        self.log(outcome, &detail);
        self.result(outcome, detail, steps)
    }
}

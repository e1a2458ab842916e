//! The state machine is asked, what it says is made durable, and only then is what it allows performed.

use std::sync::atomic::Ordering;

use super::{Attempt, lock};
use crate::audit::Draft;
use crate::daemon::admission::admit;
use crate::daemon::escrow;
use crate::daemon::metrics::Part;
use crate::model::{AttemptKind, Candidate, EventKind, Outcome, Trigger};
use crate::rotation::{Act, End, Event, Persist, Phase, Reaction, Transition};
use crate::vault::VaultError;

impl Attempt {
    /// Hands an event to the machine and makes durable what it asks for; the act that is allowed now is returned.
    /// Where the vault fails, the machine stays where it was.
    pub(super) async fn feed(&self, event: Event) -> Result<Act, String> {
        let mut rotation = self.rotation.lock().await;
        if event == Event::AtCommitPoint && self.cancelled.load(Ordering::SeqCst) {
            return Err("the daemon is stopping".into());
        }
        if event == Event::AtCommitPoint {
            let candidate = lock(&self.candidate).clone();
            if let Some(candidate) = candidate {
                let now = self.core.clock.now().wall_ms;
                let put = escrow::put(&self.config, &self.account.name, &self.id, candidate.secret(), now);
                self.core.metrics.escrow(put).await?;
            }
        }
        let mut next = rotation.clone();
        let Reaction { persist, act } = next.step(event).map_err(|error| error.to_string())?;
        (self.core.world.witness)(rotation.phase(), event);
        if let Some(persist) = persist {
            self.persist(persist, rotation.phase()).await.map_err(|error| {
                self.turned_down.fetch_or(matches!(error, VaultError::Refused(_)), Ordering::SeqCst);
                error.to_string()
            })?;
        }
        *rotation = next;
        Ok(act)
    }

    /// Whether a login that took the stored password is good news, and not the end of a change that failed: the account was in
    /// doubt or given up, and no change is under way whose new password was sent, or somebody asks for the stored one.
    fn is_kept(&self, from: Phase) -> bool {
        let no_change = lock(&self.candidate).is_none() || self.reverted.load(Ordering::SeqCst);
        let asked_for = self.request.kind == AttemptKind::Verify;
        matches!(from, Phase::Uncertain(_) | Phase::Quarantined) && (no_change || asked_for)
    }

    /// Makes a step from a phase durable.
    async fn persist(&self, persist: Persist, from: Phase) -> Result<(), VaultError> {
        let now = self.core.clock.now();
        let recovering = self.request.trigger == Trigger::Recovery;
        let detail = lock(&self.detail).clone();
        let mut drafts = Vec::new();
        let flaw = match persist {
            Persist::Promote => self.unclean(),
            Persist::Uncertain(_) => Some(lock(&self.flaws).join("; ")).filter(|flaws| !flaws.is_empty()),
            _ => None,
        };
        let mut told = None;
        match persist {
            Persist::Prepared | Persist::Mending => {
                let ran = format!("template {} sha256:{}", self.account.device.template, self.template.sha256());
                let detail = self.request.reason.iter().cloned().chain([ran]).collect::<Vec<_>>().join("; ");
                drafts.push(self.draft(EventKind::RotationStart).detail(self.masked(detail)));
            }
            Persist::Sent => drafts.push(self.draft(EventKind::RotationSent)),
            Persist::Promote => {
                drafts.push(self.draft(EventKind::RotationVerified));
                let event = if recovering { EventKind::RotationRecovered } else { EventKind::RotationDone };
                drafts.push(Draft { outcome: Some(Outcome::Done), detail: flaw.clone(), ..self.draft(event) });
                drafts.extend(flaw.clone().map(|flaw| self.draft(EventKind::WarningLeft).detail(flaw)));
            }
            // In doubt for a refusal, with no other password that may be in force.
            Persist::Revert if self.is_kept(from) => {
                self.kept.store(true, Ordering::SeqCst);
                let outcome = Some(Outcome::Done);
                drafts.push(Draft { outcome, ..self.draft(EventKind::RotationRecovered).detail(self.stored_works()) });
            }
            Persist::Revert => {
                let event = if recovering { EventKind::RotationRecovered } else { EventKind::RotationFailed };
                drafts.push(Draft { outcome: Some(Outcome::Failed), detail: Some(detail), ..self.draft(event) });
            }
            Persist::Quarantine => {
                let detail = self.quarantined(&detail).await;
                told = Some(detail.clone());
                let outcome = Some(Outcome::Unknown);
                let given_up = self.draft(EventKind::AccountQuarantined).detail(detail.clone());
                drafts.push(Draft { outcome, detail: Some(detail), ..self.draft(EventKind::RotationUnknown) });
                drafts.push(given_up);
            }
            Persist::Changing | Persist::Verifying | Persist::Uncertain(_) => {}
        }
        let (case, attempt) = (self.case(), self.id.clone());
        let candidate = lock(&self.candidate).clone();
        let kept = self.kept.load(Ordering::SeqCst);
        let begins = matches!(persist, Persist::Prepared | Persist::Mending);
        let start = begins.then(|| self.open_row(self.steps_so_far()));
        let so_far = (!begins).then(|| self.open_row(self.steps_so_far()));
        // What a verify found is told at its end.
        let ends = drafts.iter().find_map(|draft| draft.outcome).filter(|_| self.request.kind != AttemptKind::Verify);
        let id = self.id.clone();
        self.core
            .vault
            .call(move |tx| {
                // The rules are checked again where they are counted: a second request may have come in between.
                if begins && let Some(why) = admit(tx, &case, &now)?.stands_against() {
                    return Err(VaultError::Refused(why));
                }
                let account = &case.account;
                // Whoever stores a password settles what was in doubt, and the login that is on its way sent another one.
                if tx.account(&account.name)?.is_some_and(|row| row.phase != from) {
                    return Err(VaultError::Refused("somebody has settled meanwhile which password it has".into()));
                }
                let keep = account.policy.history;
                let step = Transition::Step { persist, attempt: &attempt, keep, flaw: flaw.as_deref() };
                tx.apply(&account.name, &step, candidate.as_ref().map(Candidate::secret), &now)?;
                if let Some(row) = &start {
                    tx.save_attempt(row)?;
                }
                if let Some(row) = &so_far {
                    tx.note_steps(row)?;
                }
                // Its end is told here: whatever comes, it is told once.
                if let Some(outcome) = ends {
                    tx.end_attempt(&id, outcome, &now)?;
                }
                if kept {
                    tx.set_last_error(&account.name, None)?;
                }
                if let Some(why) = &told {
                    tx.set_last_error(&account.name, Some(why))?;
                }
                drafts.iter().try_for_each(|draft| tx.audit(draft, &now))
            })
            .await?;
        if begins {
            self.begun.store(true, Ordering::SeqCst);
        }
        if persist == Persist::Promote {
            escrow::prune(&self.config, &self.account.name).await;
        }
        Ok(())
    }

    pub(super) async fn drive(&self, first: Event) -> End {
        let mut event = first;
        loop {
            let act = match self.feed(event).await {
                Ok(act) => act,
                Err(why) => {
                    self.say(why);
                    return self.stranded().await;
                }
            };
            event = match act {
                Act::Finish(end) => return end,
                Act::Connect => match self.timed(Part::Change, self.change_password()).await {
                    Ok(event) => event,
                    Err(why) => {
                        self.say(why);
                        return self.stranded().await;
                    }
                },
                Act::Check(which) => {
                    let event = self.timed(Part::Prove, self.check(which)).await;
                    self.proved.fetch_or(matches!(event, Event::Proved(_)), Ordering::SeqCst);
                    event
                }
                // The executor that makes the change goes on by itself.
                Act::RunTemplate | Act::Release => return self.stranded().await,
            };
        }
    }

    async fn timed<T>(&self, part: Part, work: impl Future<Output = T>) -> T {
        let begun = self.core.clock.now();
        let done = Box::pin(work).await;
        self.core.metrics.part(part, self.core.clock.now().since(&begun));
        done
    }

    /// The vault failed, so the account stays where the vault has it; recovery goes on from there.
    pub(super) async fn stranded(&self) -> End {
        match self.rotation.lock().await.phase() {
            Phase::Idle | Phase::Prepared | Phase::Changing => End::Failed { sent: false },
            Phase::Quarantined | Phase::Mending => End::Quarantined,
            _ => End::Waiting,
        }
    }
}

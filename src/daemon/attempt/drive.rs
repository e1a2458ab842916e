//! The state machine is asked, what it says is made durable, and only then is what it allows performed.

use super::Attempt;
use super::context::Mode;
use crate::audit::Draft;
use crate::daemon::admission::admit;
use crate::daemon::escrow;
use crate::daemon::metrics::Part;
use crate::model::{Candidate, EventKind, Outcome, Trigger};
use crate::rotation::{Act, End, Event, Persist, Phase, Reaction, Transition};
use crate::vault::VaultError;

impl Attempt {
    /// Hands an event to the machine and makes durable what it asks for; the act that is allowed now is returned.
    /// Where the vault fails, the machine stays where it was.
    pub(super) async fn feed(&mut self, event: Event) -> Result<Act, String> {
        if event == Event::AtCommitPoint && self.ending.cancelled {
            return Err("the daemon is stopping".into());
        }
        if event == Event::AtCommitPoint {
            let candidate = self.passwords.candidate.clone();
            if let Some(candidate) = candidate {
                let now = self.cx.core.clock.now().wall_ms;
                let put = escrow::put(&self.cx.config, &self.cx.account.name, &self.cx.id, candidate.secret(), now);
                self.cx.core.metrics.escrow(put).await?;
            }
        }
        let (from, mut next) = (self.rotation.phase(), self.rotation.clone());
        let Reaction { persist, act } = next.step(event).map_err(|error| error.to_string())?;
        (self.cx.core.world.witness)(from, event);
        if let Some(persist) = persist {
            let persisted = self.persist(persist, from).await;
            self.ending.turned_down |= matches!(persisted, Err(VaultError::Refused(_)));
            persisted.map_err(|error| error.to_string())?;
        }
        self.rotation = next;
        Ok(act)
    }

    /// Whether a login that took the stored password is good news, and not the end of a change that failed: the account was in
    /// doubt or given up, and no change is under way whose new password was sent, or somebody asks for the stored one.
    fn is_kept(&self, from: Phase) -> bool {
        let no_change = self.passwords.candidate.is_none() || self.passwords.reverted;
        let asked_for = self.cx.mode == Mode::Verify;
        from.is_in_doubt() && (no_change || asked_for)
    }

    /// Makes a step from a phase durable.
    async fn persist(&mut self, persist: Persist, from: Phase) -> Result<(), VaultError> {
        let now = self.cx.core.clock.now();
        let recovering = self.cx.request.trigger == Trigger::Recovery;
        let detail = self.told.detail.clone();
        let mut drafts = Vec::new();
        let flaw = match persist {
            Persist::Promote => self.unclean(),
            Persist::Uncertain(_) => Some(self.told.flaws.join("; ")).filter(|flaws| !flaws.is_empty()),
            _ => None,
        };
        let mut told = None;
        match persist {
            Persist::Prepared | Persist::Mending => {
                let ran = format!("template {} sha256:{}", self.cx.account.device.template, self.cx.template.sha256());
                let detail = self.cx.request.reason.iter().cloned().chain([ran]).collect::<Vec<_>>().join("; ");
                drafts.push(self.cx.draft(EventKind::RotationStart).detail(self.cx.masked(detail)));
            }
            Persist::Sent => drafts.push(self.cx.draft(EventKind::RotationSent)),
            Persist::Promote => {
                drafts.push(self.cx.draft(EventKind::RotationVerified));
                let event = if recovering { EventKind::RotationRecovered } else { EventKind::RotationDone };
                drafts.push(Draft { outcome: Some(Outcome::Done), detail: flaw.clone(), ..self.cx.draft(event) });
                drafts.extend(flaw.clone().map(|flaw| self.cx.draft(EventKind::WarningLeft).detail(flaw)));
            }
            // In doubt for a refusal, with no other password that may be in force.
            Persist::Revert if self.is_kept(from) => {
                self.ending.kept = true;
                let outcome = Some(Outcome::Done);
                drafts
                    .push(Draft { outcome, ..self.cx.draft(EventKind::RotationRecovered).detail(self.stored_works()) });
            }
            Persist::Revert => {
                let event = if recovering { EventKind::RotationRecovered } else { EventKind::RotationFailed };
                drafts.push(Draft { outcome: Some(Outcome::Failed), detail: Some(detail), ..self.cx.draft(event) });
            }
            Persist::Quarantine => {
                let detail = self.cx.quarantined(&detail).await;
                told = Some(detail.clone());
                let outcome = Some(Outcome::Unknown);
                let given_up = self.cx.draft(EventKind::AccountQuarantined).detail(detail.clone());
                drafts.push(Draft { outcome, detail: Some(detail), ..self.cx.draft(EventKind::RotationUnknown) });
                drafts.push(given_up);
            }
            Persist::Changing | Persist::Verifying | Persist::Uncertain(_) => {}
        }
        let (case, attempt) = (self.cx.case(), self.cx.id.clone());
        let candidate = self.passwords.candidate.clone();
        let kept = self.ending.kept;
        let begins = matches!(persist, Persist::Prepared | Persist::Mending);
        let start = begins.then(|| self.cx.open_row(self.cx.log.steps()));
        let so_far = (!begins).then(|| self.cx.open_row(self.cx.log.steps()));
        // What a verify found is told at its end.
        let ends = drafts.iter().find_map(|draft| draft.outcome).filter(|_| self.cx.mode != Mode::Verify);
        let id = self.cx.id.clone();
        self.cx
            .core
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
            self.cx.log.begin();
        }
        if persist == Persist::Promote {
            escrow::prune(&self.cx.config, &self.cx.account.name).await;
        }
        Ok(())
    }

    pub(super) async fn drive(&mut self, first: Event) -> End {
        let (cx, mut event) = (self.cx.clone(), first);
        loop {
            let act = match self.feed(event).await {
                Ok(act) => act,
                Err(why) => {
                    self.say(why);
                    return self.stranded();
                }
            };
            event = match act {
                Act::Finish(end) => return end,
                Act::Connect => match cx.timed(Part::Change, self.change_password()).await {
                    Ok(event) => event,
                    Err(why) => {
                        self.say(why);
                        return self.stranded();
                    }
                },
                Act::Check(which) => {
                    let event = cx.timed(Part::Prove, self.check(which)).await;
                    self.logins.proved |= matches!(event, Event::Proved(_));
                    event
                }
                // The executor that makes the change goes on by itself.
                Act::RunTemplate | Act::Release => return self.stranded(),
            };
        }
    }

    /// The vault failed, so the account stays where the vault has it; recovery goes on from there.
    pub(super) fn stranded(&self) -> End {
        match self.rotation.phase() {
            Phase::Idle | Phase::Prepared | Phase::Changing => End::Failed { sent: false },
            Phase::Quarantined | Phase::Mending => End::Quarantined,
            _ => End::Waiting,
        }
    }
}

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

    /// What was not clean about a change whose step this is.
    fn flaw(&self, persist: Persist) -> Option<String> {
        match persist {
            Persist::Promote => self.unclean(),
            Persist::Uncertain(_) => Some(self.told.flaws.join("; ")).filter(|flaws| !flaws.is_empty()),
            _ => None,
        }
    }

    /// The events of a step from a phase, and why the account is given up, where it is.
    async fn events(&self, persist: Persist, from: Phase, flaw: Option<&str>) -> (Vec<Draft>, Option<String>) {
        let cx = &self.cx;
        let recovered = |or| if cx.request.trigger == Trigger::Recovery { EventKind::RotationRecovered } else { or };
        let drafts = match persist {
            Persist::Prepared | Persist::Mending => {
                let ran = format!("template {} sha256:{}", cx.account.device.template, cx.template.sha256());
                let detail = cx.request.reason.iter().cloned().chain([ran]).collect::<Vec<_>>().join("; ");
                vec![cx.draft(EventKind::RotationStart).detail(cx.masked(detail))]
            }
            Persist::Sent => vec![cx.draft(EventKind::RotationSent)],
            Persist::Promote => {
                let (outcome, detail) = (Some(Outcome::Done), flaw.map(str::to_owned));
                let done = Draft { outcome, detail, ..cx.draft(recovered(EventKind::RotationDone)) };
                let left = flaw.map(|flaw| cx.draft(EventKind::WarningLeft).detail(flaw));
                [cx.draft(EventKind::RotationVerified), done].into_iter().chain(left).collect()
            }
            // In doubt for a refusal, with no other password that may be in force.
            Persist::Revert if self.is_kept(from) => {
                let draft = cx.draft(EventKind::RotationRecovered).detail(self.stored_works());
                vec![Draft { outcome: Some(Outcome::Done), ..draft }]
            }
            Persist::Revert => {
                let (outcome, detail) = (Some(Outcome::Failed), Some(self.told.detail.clone()));
                vec![Draft { outcome, detail, ..cx.draft(recovered(EventKind::RotationFailed)) }]
            }
            Persist::Quarantine => {
                let why = cx.quarantined(&self.told.detail).await;
                let unknown = cx.draft(EventKind::RotationUnknown).detail(why.clone());
                let given_up = cx.draft(EventKind::AccountQuarantined).detail(why.clone());
                return (vec![Draft { outcome: Some(Outcome::Unknown), ..unknown }, given_up], Some(why));
            }
            Persist::Changing | Persist::Verifying | Persist::Uncertain(_) => Vec::new(),
        };
        (drafts, None)
    }

    /// Makes a step from a phase durable.
    async fn persist(&mut self, persist: Persist, from: Phase) -> Result<(), VaultError> {
        let now = self.cx.core.clock.now();
        let flaw = self.flaw(persist);
        let (drafts, told) = self.events(persist, from, flaw.as_deref()).await;
        self.ending.kept |= persist == Persist::Revert && self.is_kept(from);
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

//! An attempt from its admission to its end.

use super::Attempt;
use super::request::RotationResult;
use crate::daemon::admission::Admission;
use crate::daemon::escrow;
use crate::dialogue::Values;
use crate::executor::{GivenSecrets, Stored, base_values};
use crate::model::{EventKind, Masker, Outcome, Secret, Trigger};
use crate::policy::Breaker;
use crate::rotation::{Doubt, End, Event, PATIENCE, PATIENCE_OF_MENDERS, Phase, Rotation, Which};

/// A turn comes so much later at the most, for a rule that stands against it; a lockout budget takes 65 minutes. In milliseconds.
const LATEST_TURN_MS: i64 = 3_900_000;

impl Attempt {
    pub(super) async fn run(&mut self) -> RotationResult {
        match self.cx.admission().await {
            Ok(Admission::Admitted) => {
                if let Err(error) = self.cx.held_back(Breaker::may_begin) {
                    self.note_failed_login(&error).await;
                    return self.end(Outcome::Failed, error.to_string(), EventKind::RotationFailed).await;
                }
            }
            Ok(Admission::Refused(why)) => return self.refuse(why, true).await,
            Ok(Admission::Later(_, why, free_in_ms)) => {
                self.comes_later(free_in_ms);
                return self.refuse(why, true).await;
            }
            Ok(Admission::Quarantined(why)) => {
                let name = &self.cx.account.name;
                let detail = format!(
                    "quarantined, a person is needed first: 'rotorctl explain {name}' says what to do; its last error: {why}"
                );
                return self.end(Outcome::Unknown, detail, EventKind::RotationRefused).await;
            }
            Ok(Admission::NotNow(why)) => return self.end(Outcome::Failed, why, EventKind::RotationFailed).await,
            Ok(Admission::Recover) => return self.find_out(Event::Recover).await,
            Err(error) => {
                return self.end(Outcome::Failed, error.to_string(), EventKind::RotationFailed).await;
            }
        }
        self.change(Phase::Idle).await
    }

    /// A turn that a rule stands against comes once that is over, where it is not for long and the job's window is open then. The
    /// one of each day would fall upon the change of the day before, which was made some seconds behind its turn.
    fn comes_later(&mut self, free_in_ms: i64) {
        let at = self.cx.core.clock.now().plus_ms(free_in_ms);
        let job = self.cx.request.job.as_ref().and_then(|job| self.cx.config.jobs.get(&**job));
        let is_open = job.is_none_or(|job| job.first_open(at.wall_ms, &self.cx.config) == at.wall_ms);
        if self.cx.request.trigger.is_unasked() && free_in_ms <= LATEST_TURN_MS && is_open {
            self.ending.wake = Some(at);
        }
    }

    /// Changes the password, from an account at rest or, through the reconcile account, from one in quarantine.
    pub(super) async fn change(&mut self, from: Phase) -> RotationResult {
        let Some(_room) = self.cx.room(self.urgency()).await else {
            // What nobody waits for is gone on with after the start.
            return self.refuse("the daemon is stopping".into(), !self.cx.request.trigger.is_unasked()).await;
        };
        // What could be said before anything happens is said before anything happens.
        if let Err(why) = self.prepare().await {
            return self.end(Outcome::Failed, why, EventKind::RotationFailed).await;
        }
        self.rotation = self.machine_at(from);
        let end = self.drive(Event::Begin).await;
        let phase = self.rotation.phase();
        let sent = phase.may_have_changed();
        self.finish_unless_turned_down(end, sent).await
    }

    /// `sent` tells whether this attempt had sent a new password when it was turned down, if it was.
    async fn finish_unless_turned_down(&mut self, end: End, sent: bool) -> RotationResult {
        if !self.ending.turned_down {
            return self.finish(end).await;
        }
        let why = self.told.detail.clone();
        if !sent {
            return self.refuse(why, true).await;
        }
        let why = format!(
            "{why}; the new password had been sent: where the stored one is refused, 'rotorctl secret show {} --history' has it",
            self.cx.account.name
        );
        self.end(Outcome::Unknown, why, EventKind::RotationUnknown).await
    }

    /// The state machine in this phase, for this account and who asks.
    fn machine_at(&self, phase: Phase) -> Rotation {
        let patience = if self.cx.account.mends_itself() { PATIENCE_OF_MENDERS } else { PATIENCE };
        Rotation::at(phase).patient(patience).thorough(self.cx.request.trigger == Trigger::Command)
    }

    /// Finds out which password the account has, as the event has it.
    pub(super) async fn find_out(&mut self, event: Event) -> RotationResult {
        let name = self.cx.account.name.clone();
        let found = self.cx.core.vault.call(move |tx| {
            let candidate = tx.candidate(&name)?;
            let has_candidate = candidate.is_some();
            let candidate = if has_candidate { candidate } else { tx.taken_back(&name)? };
            Ok((tx.account(&name)?, candidate, has_candidate))
        });
        let phase = match found.await {
            Ok((Some(row), candidate, has_candidate)) => {
                self.set_candidate(candidate);
                if let Some(flaw) = &row.flaw {
                    self.note_flaw(flaw);
                }
                let doubted = matches!(row.phase, Phase::Uncertain(Doubt { likely: Which::Old, .. }));
                let is_news = !(doubted && row.attempt.is_none() || row.phase.expects_refusal());
                self.passwords.refusal_is_no_news = !is_news;
                self.passwords.reverted = row.candidate_was_reverted() || !has_candidate;
                row.phase
            }
            Ok((None, ..)) => Phase::Idle,
            Err(error) => {
                return self.end(Outcome::Unknown, error.to_string(), EventKind::RotationUnknown).await;
            }
        };
        let event = match event {
            Event::Look(Which::New) if self.passwords.candidate.is_none() => Event::Look(Which::Old),
            event => event,
        };
        self.rotation = self.machine_at(phase);
        let logs_in = !phase.is_before_commit();
        // What is in doubt does not stand in line with those that wait for a code of its seed to begin.
        let room = if logs_in { self.cx.unless_stopping(self.cx.room_to_look(self.urgency())).await } else { None };
        if logs_in && room.is_none() {
            self.say("the daemon is stopping; which password it has is found out after the next start");
            let end = self.stranded();
            return self.finish_unless_turned_down(end, false).await;
        }
        self.cx.log.begin();
        if !logs_in {
            self.told.detail = "interrupted before the new password was sent".into();
        }
        // A password that was refused before may have been for its code, or for the clock by which that was made.
        if event == Event::Recover {
            self.logins.probing = phase.probes();
        }
        if phase.was_sent() {
            self.cx.let_the_device_finish().await;
        }
        if event == Event::GiveUp {
            self.told.detail = "the device took none of its passwords, and its reconcile account is asked for".into();
        }
        let end = self.drive(event).await;
        self.ending.is_look = phase == Phase::Quarantined;
        if phase == Phase::Quarantined && end == End::Quarantined && !self.ending.turned_down {
            // It is where it was: no transition has put this look on record.
            let why = self.told.detail.clone();
            let why = self.cx.quarantined(&why).await;
            return self.close(Outcome::Unknown, why, Some(EventKind::RotationUnknown)).await;
        }
        self.finish_unless_turned_down(end, false).await
    }

    /// Makes the candidate, and checks that every tag of the template has a value.
    pub(super) async fn prepare(&mut self) -> Result<(), String> {
        let own = escrow::folder_of(&self.cx.config, &self.cx.account.name);
        self.cx.core.escrow_is_ready(&self.cx.config, own).await?;
        let (name, login) = (self.cx.account.name.clone(), self.cx.login.name.clone());
        let found = self.cx.core.vault.call(move |tx| Ok((tx.history(&name)?, Stored::of_both(tx, &name, &login)?)));
        let (former, (stored, login_stored)) = found.await.map_err(|error| error.to_string())?;
        let stored = GivenSecrets::or_stored(self.cx.given.as_ref(), &self.cx.account.name, stored);
        let login_stored = GivenSecrets::or_stored(self.cx.given.as_ref(), &self.cx.login.name, login_stored);
        let keep = self.cx.account.policy.history.max(1);
        let former: Vec<Secret> = former.into_iter().take(keep + 1).map(|entry| entry.password).collect();
        let mut fill = |bytes: &mut [u8]| (self.cx.core.world.random)(bytes);
        let limits = self.cx.account.template.password_limits();
        let candidate = self
            .cx
            .account
            .policy
            .password
            .generate(self.cx.account.name.user(), &former, &|text| limits.takes(text), &mut fill)
            .map_err(|error| error.to_string())?;
        self.set_candidate(Some(candidate));
        let values = self.values_of(&stored, &login_stored);
        self.learn(&values, &stored, &login_stored);
        values.check(&self.cx.template).map_err(|error| error.to_string())
    }

    /// Takes note of the secrets that this attempt may send.
    fn learn(&self, values: &Values, stored: &Stored, login: &Stored) {
        let mut known = Masker::default();
        known.add_all(&stored.masker(values));
        known.add_all(&login.masker(&Values::default()));
        [self.cx.account.device.name.as_str(), self.cx.login.name.user()]
            .into_iter()
            .for_each(|name| known.leave(name));
        self.cx.log.learn(&known);
    }

    fn values_of(&self, stored: &Stored, login_stored: &Stored) -> Values {
        let mut values = base_values(&self.cx.account, &self.cx.login, stored, login_stored);
        if let Some(candidate) = &self.passwords.candidate {
            values.set("NEW_PASSWORD", candidate.secret().clone());
        }
        values
    }
}

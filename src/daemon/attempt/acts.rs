//! What an attempt does at the device: connecting, running the template, and checking a password with a fresh login.

use std::sync::{Mutex, PoisonError};

use super::Attempt;
use super::watch::Watch;
use crate::daemon::admission::in_words;
use crate::dialogue::{Refused, RunFailure, Whose};
use crate::executor::{ChangeRequest, ChangeResult, DeviceError, Lead, Proof, ProofRequest, ProvedBy, Tried};
use crate::rotation::{
    Event, Fact, LoginFailure, LoginOutcome, Phase, QUARANTINE_LOOK_MS, RejectedLogin, SessionOutcome, Which,
    bears_out_refusal, login_outcome, session_outcome,
};

/// Why an account whose stored password is refused is not put aside for a person yet.
pub(super) const LATER: &str = "the vault has a later password, which was sent once: it may be in force by now";

impl Attempt {
    /// Logs in and makes the change, with the executor of the device.
    pub(super) async fn change_password(&mut self) -> Result<Event, String> {
        let result = self.ask_for_change().await;
        let sent = self.rotation.phase() == Phase::Sent;
        Ok(match result {
            ChangeResult::NotRecorded(why) => return Err(why),
            ChangeResult::LoginFailed(error) => self.login_failed(&error, sent).await,
            ChangeResult::Ran { committed } => {
                if !committed {
                    self.say("the template came to its end without sending the new password");
                }
                Event::Ran
            }
            ChangeResult::Failed(failure) => self.run_failed(failure, sent).await,
            ChangeResult::Broken(error) => {
                if sent {
                    self.cx.let_the_device_finish().await;
                }
                self.say(error.to_string());
                if sent {
                    self.note_broken_run(&error.to_string());
                    Event::Broken { refused: false }
                } else {
                    Event::Failed
                }
            }
        })
    }

    /// Has the device's executor log in and run the template, or a person's lines in its place.
    pub(super) async fn ask_for_change(&mut self) -> ChangeResult {
        let Some((mut person, said)) = self.person.take() else { return self.ask_for(Lead::Template).await };
        let said = Mutex::new(said);
        let result = self.ask_for(Lead::Person { person: &mut person, said: &said }).await;
        self.person = Some((person, said.into_inner().unwrap_or_else(PoisonError::into_inner)));
        result
    }

    /// The same, led so.
    pub(super) async fn ask_for(&mut self, lead: Lead<'_>) -> ChangeResult {
        let cx = self.cx.clone();
        let request = ChangeRequest {
            config: &cx.config,
            account: &cx.account,
            login: &cx.login,
            template: &cx.template,
            new: self.passwords.candidate.as_ref().map(|candidate| candidate.secret().clone()),
            probe: self.logins.probing,
            given: cx.given.as_ref(),
            lead,
        };
        let watch = Watch::over(self);
        let result = cx.core.executors.of(&cx.account.device).change(request, &watch).await;
        let heard = watch.into_heard();
        self.take_in(heard);
        result
    }

    /// The login for the change did not let in, or broke off.
    async fn login_failed(&mut self, error: &DeviceError, sent: bool) -> Event {
        self.say(error.to_string());
        self.note_failed_login(error).await;
        if sent {
            self.note_broken_run(&format!("the login that set the new password broke off: {error}"));
            self.cx.let_the_device_finish().await;
            return Event::Broken { refused: error.refuses_new() };
        }
        if error.may_be_refusal() && self.cx.refused_account(error) == self.cx.login.name {
            return self.login_refused(error).await;
        }
        Event::Failed
    }

    /// The template did not get what it waits for.
    async fn run_failed(&mut self, failure: RunFailure, sent: bool) -> Event {
        if sent {
            self.cx.let_the_device_finish().await;
            if failure.saved {
                self.note_flaw(&format!("the template broke off, and its 'section save' ran: {}", failure.message));
            } else {
                self.note_broken_run(&failure.message);
            }
            self.say(failure.message);
            return Event::Broken { refused: failure.device_refuses };
        }
        self.say(failure.message);
        match failure.refused {
            Some(refused) => self.refused_inside(refused).await,
            None => Event::Failed,
        }
    }

    /// The device did not let in the account that logs in for the change. Once it may be a code that came too late, or that somebody
    /// has used: the next login sends one of a later step.
    async fn login_refused(&mut self, error: &DeviceError) -> Event {
        let own = self.cx.is_own_login();
        self.logins.refusals += 1;
        self.logins.refused_in_words |= error.is_refusal();
        let tried = self.logins.refusals;
        let mut login = RejectedLogin {
            own,
            failure: self.cx.failure_of(error, &self.cx.login.name),
            tried,
            rejected_in_words: self.logins.refused_in_words,
            budget_left: None,
            has_reverted: None,
            keeps_being_refused: None,
        };
        loop {
            match login_outcome(&login) {
                LoginOutcome::Needs(Fact::BudgetLeft) => {
                    login.budget_left = Some(self.cx.budget(&self.cx.login.name).await.is_ok());
                }
                LoginOutcome::Needs(Fact::HasReverted) => {
                    login.has_reverted = Some(self.outdated().await);
                }
                LoginOutcome::Needs(Fact::KeepsBeingRefused) => {
                    login.keeps_being_refused = Some(self.cx.keeps_being_refused(&self.cx.login.name).await);
                }
                LoginOutcome::Retry => return Event::LoginRefused { retry: true, own },
                LoginOutcome::TryReverted => return Event::Outdated,
                LoginOutcome::Failed => return Event::Failed,
                LoginOutcome::Doubt => {
                    self.cx.doubt_login(&self.cx.login, tried).await;
                    return Event::LoginRefused { retry: false, own };
                }
            }
        }
    }

    /// The account's own password is refused: one that was taken back may be in force instead. Whether there is one; it is the
    /// candidate then.
    async fn outdated(&mut self) -> bool {
        let Some(later) = self.cx.taken_back().await else { return false };
        self.set_candidate(Some(later));
        self.passwords.outdated = true;
        self.cx.step(LATER.into());
        true
    }

    /// A key opened the session, and in it the device said no to a password or a code: a login finds out whether what is
    /// stored is wrong, or it would be sent and refused for ever. After a code that looks for the device's clock, too.
    async fn refused_inside(&mut self, Refused { whose, with_code }: Refused) -> Event {
        let own = self.cx.is_own_login() || whose == Whose::Account;
        match session_outcome(own, with_code, self.rotation.phase()) {
            SessionOutcome::CheckOwn => {}
            SessionOutcome::Failed => return Event::Failed,
            SessionOutcome::DoubtLogin => {
                self.cx.doubt_login(&self.cx.login, 0).await;
                return Event::Failed;
            }
            SessionOutcome::DoubtLoginWhereHopeless => {
                if self.cx.is_hopeless(&self.cx.login.name).await {
                    self.cx.doubt_login(&self.cx.login, 0).await;
                }
                return Event::Failed;
            }
        }
        let why = self.told.detail.clone();
        self.logins.probing = with_code;
        let refused = match bears_out_refusal(self.check(Which::Old).await) {
            Some(refused) => refused,
            None => self.cx.is_hopeless(&self.cx.account.name).await,
        };
        if refused {
            let outdated = self.outdated().await;
            return if outdated { Event::Outdated } else { Event::LoginRefused { retry: false, own } };
        }
        self.told.detail = why;
        Event::Failed
    }

    /// A password's name for people: with no other to tell it from, the old one is the stored one.
    fn called(&self, which: Which) -> &'static str {
        if which == Which::Old && self.passwords.candidate.is_none() { "stored" } else { which.name() }
    }

    /// Logs in as the account itself with one of the two passwords, in a new session, and hangs up.
    pub(super) async fn check(&mut self, which: Which) -> Event {
        let name = self.called(which);
        if let Err(free_in) = self.cx.budget(&self.cx.account.name).await {
            self.ending.wake = Some(self.cx.core.clock.now().plus_ms(free_in));
            self.say(format!("the lockout budget is spent; the {name} password is tried in {}", in_words(free_in)));
            return Event::Unreachable;
        }
        match self.ask_for_proof(which).await {
            Proof::Absent => {
                self.cx.step(format!("there is no {name} password to try"));
                Event::Absent(which)
            }
            Proof::Proved(ProvedBy::DemandOfNew) => {
                let told = format!("the {name} password works; the device demands a new one at the next login");
                let before = self.told.detail.clone();
                self.say(if before.is_empty() { told } else { format!("{before}; {told}") });
                Event::Proved(which)
            }
            Proof::Proved(by) => {
                self.logins.by_section |= by == ProvedBy::Section;
                self.cx.step(format!("the {name} password works"));
                Event::Proved(which)
            }
            Proof::Refused(why) => {
                self.say(format!("the {name} password is refused: {why}"));
                Event::Disproved(which)
            }
            Proof::Nothing(why) => {
                self.say(why);
                Event::Unreachable
            }
            Proof::SessionFailed(error) => {
                self.note_failed_login(&error).await;
                self.say(error.to_string());
                if error.may_be_refusal() && self.cx.refused_account(&error) == self.cx.login.name {
                    self.cx.doubt_where_hopeless(&self.cx.login).await;
                }
                Event::Unreachable
            }
            Proof::LoginFailed(error) => {
                self.note_failed_login(&error).await;
                let failure = self.cx.failure_of(&error, &self.cx.account.name);
                let refused = matches!(failure, LoginFailure::Rejected { .. });
                self.say(if refused { format!("the {name} password is refused: {error}") } else { error.to_string() });
                failure.of_check(which)
            }
        }
    }

    async fn ask_for_proof(&mut self, which: Which) -> Proof {
        let candidate = || self.passwords.candidate.as_ref().map(|candidate| candidate.secret().clone());
        let cx = self.cx.clone();
        let request = ProofRequest {
            config: &cx.config,
            account: &cx.account,
            login: &cx.login,
            password: if which == Which::New { Tried::Candidate(candidate()) } else { Tried::Stored },
            called: self.called(which),
            probe: self.logins.probing,
            restored: self.passwords.refusal_is_no_news,
        };
        let watch = Watch::over(self);
        let proof = cx.core.executors.of(&cx.account.device).prove(request, &watch).await;
        let heard = watch.into_heard();
        self.take_in(heard);
        proof
    }

    /// Puts a strange host key on record, and keeps when another try may be made where the budget or others stand against one.
    pub(super) async fn note_failed_login(&mut self, error: &DeviceError) {
        self.note_cause(error);
        self.cx.note_impostor(error).await;
        self.cx.note_refused_jump(error).await;
        match error {
            DeviceError::BudgetSpent { free_in_ms, .. } | DeviceError::HeldBack { free_in_ms } => {
                self.ending.wake = Some(self.cx.core.clock.now().plus_ms(*free_in_ms));
            }
            // Each login asks a person once more: a job's next turn may, and what is in doubt is looked at once a day.
            DeviceError::NeedsPerson { .. } => {
                self.logins.needs_person = true;
                self.ending.wake = Some(self.cx.core.clock.now().plus_ms(QUARANTINE_LOOK_MS));
            }
            _ => {}
        }
    }
}

//! What an attempt does at the device: connecting, running the template, and checking a password with a fresh login.

use std::sync::atomic::Ordering;

use super::super::admission::in_words;
use super::{Attempt, lock};
use crate::audit::Draft;
use crate::config::Account;
use crate::dialogue::{Refused, RunFailure, Whose};
use crate::executor::{ChangeRequest, ChangeResult, DeviceError, Lead, Observer, Proof, ProofRequest, ProvedBy, Tried};
use crate::model::{AccountName, Candidate, EventKind, Outcome};
use crate::policy::Breaker;
use crate::rotation::{
    Event, Fact, LoginFailure, LoginOutcome, Phase, QUARANTINE_LOOK_MS, RejectedLogin, SessionOutcome, Which,
    bears_out_refusal, keeps_being_refused, login_outcome, session_outcome,
};
use crate::vault::Ledger;

/// Why an account whose stored password is refused is not put aside for a person yet.
pub(super) const LATER: &str = "the vault has a later password, which was sent once: it may be in force by now";

impl Attempt {
    /// Returns once the daemon is stopping and this attempt has not reached its commit point, which it then never does.
    pub(super) async fn cancelled_before_commit(&self) {
        self.core.stopped().await;
        let rotation = self.rotation.lock().await;
        if matches!(rotation.phase(), Phase::Idle | Phase::Prepared | Phase::Changing | Phase::Mending) {
            self.cancelled.store(true, Ordering::SeqCst);
            return;
        }
        drop(rotation);
        std::future::pending().await
    }

    /// Logs in and makes the change, with the executor of the device.
    pub(super) async fn change_password(&self) -> Result<Event, String> {
        let result = self.ask_for_change().await;
        let sent = self.rotation.lock().await.phase() == Phase::Sent;
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
                    self.let_the_device_finish().await;
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
    pub(super) async fn ask_for_change(&self) -> ChangeResult {
        let mut person = self.person.lock().await;
        let lead = match person.as_mut() {
            None => Lead::Template,
            Some(person) => Lead::Person { person, said: &self.said },
        };
        self.ask_for(lead).await
    }

    /// The same, led so.
    pub(super) async fn ask_for(&self, lead: Lead<'_>) -> ChangeResult {
        let request = ChangeRequest {
            config: &self.config,
            account: &self.account,
            login: &self.login,
            template: &self.template,
            new: lock(&self.candidate).as_ref().map(|candidate| candidate.secret().clone()),
            probe: self.probing.load(Ordering::SeqCst),
            given: self.given.as_ref(),
            lead,
        };
        self.core.executors.of(&self.account.device).change(request, self).await
    }

    /// The login for the change did not let in, or broke off.
    async fn login_failed(&self, error: &DeviceError, sent: bool) -> Event {
        self.say(error.to_string());
        self.note_failed_login(error).await;
        if sent {
            self.note_broken_run(&format!("the login that set the new password broke off: {error}"));
            self.let_the_device_finish().await;
            return Event::Broken { refused: error.refuses_new() };
        }
        if error.may_be_refusal() && self.refused_account(error) == self.login.name {
            return self.login_refused(error).await;
        }
        Event::Failed
    }

    /// The template did not get what it waits for.
    async fn run_failed(&self, failure: RunFailure, sent: bool) -> Event {
        if sent {
            self.let_the_device_finish().await;
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

    /// What a login showed of an account that it was to let in.
    fn failure_of(&self, error: &DeviceError, account: &AccountName) -> LoginFailure {
        match error {
            _ if !error.may_be_refusal() || self.refused_account(error) != *account => LoginFailure::ToldNothing,
            DeviceError::Refused { with_code, .. } => LoginFailure::Rejected { with_code: *with_code },
            _ => LoginFailure::HungUp,
        }
    }

    /// The device did not let in the account that logs in for the change. Once it may be a code that came too late, or that somebody
    /// has used: the next login sends one of a later step.
    async fn login_refused(&self, error: &DeviceError) -> Event {
        let own = self.login.name == self.account.name;
        let tried = self.refusals.fetch_add(1, Ordering::SeqCst) + 1;
        let mut login = RejectedLogin {
            own,
            failure: self.failure_of(error, &self.login.name),
            tried,
            rejected_in_words: self.refused_in_words.fetch_or(error.is_refusal(), Ordering::SeqCst)
                || error.is_refusal(),
            budget_left: None,
            has_reverted: None,
            keeps_being_refused: None,
        };
        loop {
            match login_outcome(&login) {
                LoginOutcome::Needs(Fact::BudgetLeft) => {
                    login.budget_left = Some(self.budget(&self.login.name).await.is_ok());
                }
                LoginOutcome::Needs(Fact::HasReverted) => {
                    login.has_reverted = Some(self.outdated().await);
                }
                LoginOutcome::Needs(Fact::KeepsBeingRefused) => {
                    login.keeps_being_refused = Some(self.keeps_being_refused(&self.login.name).await);
                }
                LoginOutcome::Retry => return Event::LoginRefused { retry: true, own },
                LoginOutcome::TryReverted => return Event::Outdated,
                LoginOutcome::Failed => return Event::Failed,
                LoginOutcome::Doubt => {
                    self.doubt_login(&self.login, tried).await;
                    return Event::LoginRefused { retry: false, own };
                }
            }
        }
    }

    /// The account's password that was sent last and taken back. Where the vault cannot tell, it cannot take in what would
    /// follow either.
    pub(super) async fn taken_back(&self) -> Option<Candidate> {
        let name = self.account.name.clone();
        self.core.vault.call(move |tx| tx.taken_back(&name)).await.ok().flatten()
    }

    /// The account's own password is refused: one that was taken back may be in force instead. Whether there is one; it is the
    /// candidate then.
    async fn outdated(&self) -> bool {
        let Some(later) = self.taken_back().await else { return false };
        self.set_candidate(Some(later));
        self.outdated.store(true, Ordering::SeqCst);
        self.step(LATER.into());
        true
    }

    /// Whether an account's logins went on being refused, over the days that are on record, with none taken since.
    pub(super) async fn keeps_being_refused(&self, account: &AccountName) -> bool {
        let (login, now) = (account.clone(), self.core.clock.now());
        let refusals = self.core.vault.call(move |tx| tx.refusals(&login, &now)).await;
        refusals.is_ok_and(|all| keeps_being_refused(all.iter().filter(|refusal| !refusal.past).count()))
    }

    /// An account that logs in for this one was refused, in so many logins, or in a session where there was none: before anybody
    /// goes on with it a login finds out whether its password is right. Else one account after another would have it refused, and
    /// leave none of the budget for that.
    async fn doubt_login(&self, login: &Account, looks: u32) {
        let (name, device) = (&login.name, &login.device.name);
        if *name == self.account.name {
            return;
        }
        let how = if looks > 0 { "the login of" } else { "in a session the password of" };
        let why = format!("{device} refused {how} {name}; a login finds out whether its password is right");
        self.step(why.clone());
        let (name, id, now) = (name.clone(), self.id.clone(), self.core.clock.now());
        let looks = u8::try_from(looks).unwrap_or(u8::MAX);
        let (account, device) = (Some(login.name.clone()), Some(login.device.name.clone()));
        let outcome = Some(Outcome::Unknown);
        let draft = Draft { account, device, outcome, ..self.draft(EventKind::RotationUnknown).detail(why.clone()) };
        let put = move |tx: &dyn Ledger| tx.doubt(&name, &why, &id, looks, &now);
        let done = self.core.vault.call(move |tx| if put(tx)? { tx.audit(&draft, &now) } else { Ok(()) });
        if let Err(error) = done.await {
            tracing::error!(account = %login.name, %error, "{}: that the login account is refused could not be stored: {error}", login.name);
        }
        self.core.wake.notify_one();
    }

    /// An account that logs in at a jump host was refused, and not for the first time: nobody goes on with it either.
    async fn note_refused_jump(&self, error: &DeviceError) {
        let refused = self.refused_account(error);
        let on_the_way = ![&self.account.name, &self.login.name].contains(&&refused);
        let Some(jump) = self.config.accounts.get(&refused).filter(|_| on_the_way && error.may_be_refusal()) else {
            return;
        };
        if self.keeps_being_refused(&refused).await {
            self.doubt_login(jump, 1).await;
        }
    }

    /// Whether an account's logins went on being refused, and its budget is spent.
    async fn is_hopeless(&self, account: &AccountName) -> bool {
        self.budget(account).await.is_err() && self.keeps_being_refused(account).await
    }

    /// Puts an account in doubt that logs in for this one, where it went on being refused.
    async fn doubt_where_hopeless(&self, login: &Account) {
        if self.is_hopeless(&login.name).await {
            self.doubt_login(login, 1).await;
        }
    }

    /// Whether this attempt may do something now, or is held back with all others that nobody waits for.
    pub(super) fn held_back(
        &self,
        may: fn(&mut Breaker, &AccountName, i64) -> Result<(), i64>,
    ) -> Result<(), DeviceError> {
        if !self.request.is_by_itself() {
            return Ok(());
        }
        let now = self.core.clock.now().since_boot_ms;
        let may = may(&mut self.core.guards.breaker(), &self.account.name, now);
        may.map_err(|free_in_ms| DeviceError::HeldBack { free_in_ms })
    }

    /// A key opened the session, and in it the device said no to a password or a code: a login finds out whether what is
    /// stored is wrong, or it would be sent and refused for ever. After a code that looks for the device's clock, too.
    async fn refused_inside(&self, Refused { whose, with_code }: Refused) -> Event {
        let own = self.login.name == self.account.name || whose == Whose::Account;
        match session_outcome(own, with_code, self.rotation.lock().await.phase()) {
            SessionOutcome::CheckOwn => {}
            SessionOutcome::Failed => return Event::Failed,
            SessionOutcome::DoubtLogin => {
                self.doubt_login(&self.login, 0).await;
                return Event::Failed;
            }
            SessionOutcome::DoubtLoginWhereHopeless => {
                if self.is_hopeless(&self.login.name).await {
                    self.doubt_login(&self.login, 0).await;
                }
                return Event::Failed;
            }
        }
        let why = lock(&self.detail).clone();
        self.probing.store(with_code, Ordering::SeqCst);
        let refused = match bears_out_refusal(self.check(Which::Old).await) {
            Some(refused) => refused,
            None => self.is_hopeless(&self.account.name).await,
        };
        if refused {
            let outdated = self.outdated().await;
            return if outdated { Event::Outdated } else { Event::LoginRefused { retry: false, own } };
        }
        *lock(&self.detail) = why;
        Event::Failed
    }

    /// A password's name for people: with no other to tell it from, the old one is the stored one.
    fn called(&self, which: Which) -> &'static str {
        if which == Which::Old && lock(&self.candidate).is_none() { "stored" } else { which.name() }
    }

    /// Logs in as the account itself with one of the two passwords, in a new session, and hangs up.
    pub(super) async fn check(&self, which: Which) -> Event {
        let name = self.called(which);
        if let Err(free_in) = self.budget(&self.account.name).await {
            *lock(&self.wake) = Some(self.core.clock.now().plus_ms(free_in));
            self.say(format!("the lockout budget is spent; the {name} password is tried in {}", in_words(free_in)));
            return Event::Unreachable;
        }
        match self.ask_for_proof(which).await {
            Proof::Absent => {
                self.step(format!("there is no {name} password to try"));
                Event::Absent(which)
            }
            Proof::Proved(ProvedBy::DemandOfNew) => {
                let told = format!("the {name} password works; the device demands a new one at the next login");
                let before = lock(&self.detail).clone();
                self.say(if before.is_empty() { told } else { format!("{before}; {told}") });
                Event::Proved(which)
            }
            Proof::Proved(by) => {
                self.by_section.fetch_or(by == ProvedBy::Section, Ordering::SeqCst);
                self.step(format!("the {name} password works"));
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
                if error.may_be_refusal() && self.refused_account(&error) == self.login.name {
                    self.doubt_where_hopeless(&self.login).await;
                }
                Event::Unreachable
            }
            Proof::LoginFailed(error) => {
                self.note_failed_login(&error).await;
                let failure = self.failure_of(&error, &self.account.name);
                let refused = matches!(failure, LoginFailure::Rejected { .. });
                self.say(if refused { format!("the {name} password is refused: {error}") } else { error.to_string() });
                failure.of_check(which)
            }
        }
    }

    async fn ask_for_proof(&self, which: Which) -> Proof {
        let candidate = || lock(&self.candidate).as_ref().map(|candidate| candidate.secret().clone());
        let request = ProofRequest {
            config: &self.config,
            account: &self.account,
            login: &self.login,
            password: if which == Which::New { Tried::Candidate(candidate()) } else { Tried::Stored },
            called: self.called(which),
            probe: self.probing.load(Ordering::SeqCst),
            restored: self.restored.load(Ordering::SeqCst),
        };
        self.core.executors.of(&self.account.device).prove(request, self).await
    }

    /// Puts a strange host key on record, and keeps when another try may be made where the budget or others stand against one.
    pub(super) async fn note_failed_login(&self, error: &DeviceError) {
        self.note_cause(error);
        self.note_impostor(error).await;
        self.note_refused_jump(error).await;
        match error {
            DeviceError::BudgetSpent { free_in_ms, .. } | DeviceError::HeldBack { free_in_ms } => {
                *lock(&self.wake) = Some(self.core.clock.now().plus_ms(*free_in_ms));
            }
            // Each login asks a person once more: a job's next turn may, and what is in doubt is looked at once a day.
            DeviceError::NeedsPerson { .. } => {
                self.needs_person.store(true, Ordering::SeqCst);
                *lock(&self.wake) = Some(self.core.clock.now().plus_ms(QUARANTINE_LOOK_MS));
            }
            _ => {}
        }
    }

    pub(super) fn refused_account(&self, error: &DeviceError) -> AccountName {
        match error {
            DeviceError::Refused { account, .. } | DeviceError::HungUp { account, .. } => {
                AccountName::parse(account).unwrap_or_else(|_| self.login.name.clone())
            }
            _ => self.login.name.clone(),
        }
    }

    /// Puts a host key that is not on record on the audit log.
    pub(super) async fn note_impostor(&self, error: &DeviceError) {
        if !error.is_host_key() {
            return;
        }
        let draft = self.draft(EventKind::HostKeyMismatch).detail(self.masked(error.to_string()));
        if let Err(error) = self.core.audit(draft).await {
            tracing::error!(account = %self.account.name, %error, "{}: a host key mismatch is not on record: {error}", self.account.name);
        }
    }

    /// Whether one more login may be risked; else in how many milliseconds.
    pub(super) async fn budget(&self, account: &AccountName) -> Result<(), i64> {
        let (name, now) = (account.clone(), self.core.clock.now());
        let policy = self
            .config
            .accounts
            .get(account)
            .map_or_else(|| self.account.policy.clone(), |account| account.policy.clone());
        match self.core.vault.call(move |tx| tx.failed_logins(&name, &now)).await {
            Ok(stamps) => policy.lockout().admit(&stamps, &now).map_err(|error| error.free_in_ms),
            // What cannot be counted is not risked.
            Err(_) => Err(60_000),
        }
    }
}

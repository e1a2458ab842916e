//! What an attempt does at the device: connecting, running the template, and checking a password with a fresh login.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::admission::in_words;
use super::super::values::Stored;
use super::{Attempt, lock};
use crate::audit::Draft;
use crate::config::Account;
use crate::device::{
    AfterFailure, DeviceError, Hop, HostKeys, Login, PromptError, RunContext, Session, Watcher, connect, run_template,
};
use crate::dialogue::{Refused, Run, Verdict, Whose};
use crate::model::{AccountName, Candidate, EventKind, Outcome};
use crate::policy::Breaker;
use crate::rotation::{
    Event, Fact, HelperRole, LoginFailure, LoginOutcome, Phase, QUARANTINE_LOOK_MS, RejectedLogin, SessionOutcome,
    Which, bears_out_refusal, keeps_being_refused, login_outcome, session_outcome,
};
use crate::template::{Checked, Section};
use crate::vault::Ledger;

/// Tags of the password that `section verify` tries.
const PROVEN: [&str; 3] = ["NEW_PASSWORD", "CURRENT_PASSWORD", "AUTH_PASSWORD"];

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

    pub(super) async fn connect(&self) -> Event {
        let result = tokio::select! {
            biased;
            result = self.open_session() => result,
            () = self.cancelled_before_commit() => Err(DeviceError::NotCommitted("the daemon is stopping".into())),
        };
        let sent = self.rotation.lock().await.phase() == Phase::Sent;
        match result {
            Ok(session) if session.changed_at_login => {
                self.step("the login took the new password; the template need not run".into());
                session.close(&self.core.clock).await;
                Event::Ran
            }
            Ok(session) => {
                *self.session.lock().await = Some(session);
                Event::LoggedIn
            }
            Err(error) => {
                self.say(error.to_string());
                self.note_failed_login(&error).await;
                if sent {
                    self.note_broken_run(&format!("the login that set the new password broke off: {error}"));
                    self.let_the_device_finish().await;
                    return Event::Broken { refused: error.refuses_new() };
                }
                if error.may_be_refusal() && self.refused_account(&error) == self.login.name {
                    return self.login_refused(&error).await;
                }
                Event::Failed
            }
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
        let may = may(&mut self.core.transport.breaker(), &self.account.name, now);
        may.map_err(|free_in_ms| DeviceError::HeldBack { free_in_ms })
    }

    pub(super) async fn open_session(&self) -> Result<Session, DeviceError> {
        let (stored, host_keys) = self.core.stored_for_login(&self.login.name, &self.account.device).await?;
        // Only an account that logs in as itself can be asked for its own new password.
        let own = self.login.name == self.account.name;
        let new = lock(&self.candidate).as_ref().filter(|_| own).map(|candidate| candidate.secret().clone());
        let mut login = self.core.login(&self.config, &self.login, stored, new.as_ref(), false);
        login.probe = self.probing.load(Ordering::SeqCst);
        let hops = self.hops(login, host_keys).await?;
        let bound = self.account.template.connect_timeout().unwrap_or_default();
        let session = connect(&self.core.transport, &hops, bound, self).await?;
        self.probing.store(false, Ordering::SeqCst);
        Ok(session)
    }

    pub(super) async fn hops(&self, login: Login, host_keys: HostKeys) -> Result<Vec<Hop>, DeviceError> {
        let device = &self.account.device;
        let mut hops = self.core.jumps(&self.config, device, login.account.user()).await?;
        hops.push(Hop { device: device.clone(), host_keys, login });
        let mut masker = lock(&self.masker);
        for login in hops.iter().map(|hop| &hop.login) {
            masker.add_all(&login.masker);
            [&login.password, &login.new_password].into_iter().flatten().for_each(|password| masker.add(password));
        }
        drop(masker);
        Ok(hops)
    }

    pub(super) async fn hang_up(&self) {
        if let Some(session) = self.session.lock().await.take() {
            session.close(&self.core.clock).await;
        }
    }

    pub(super) async fn run_template(&self) -> Event {
        let mut person = self.person.lock().await;
        let carry = async {
            match person.as_mut() {
                None => self.carry_template().await,
                Some(person) => self.carry_person(person).await,
            }
        };
        let result = tokio::select! {
            biased;
            result = carry => result,
            () = self.cancelled_before_commit() => Err(DeviceError::NotCommitted("the daemon is stopping".into())),
        };
        let password_taken = self.session.lock().await.as_ref().is_none_or(|session| session.password_taken);
        self.hang_up().await;
        let sent = self.rotation.lock().await.phase() == Phase::Sent;
        if sent && !matches!(result, Ok(Verdict::Ran { .. })) {
            self.let_the_device_finish().await;
        }
        match result {
            Ok(Verdict::Ran { committed: true }) => Event::Ran,
            Ok(Verdict::Ran { committed: false }) => {
                self.say("the template came to its end without sending the new password");
                Event::Ran
            }
            Ok(Verdict::Failed(failure)) => {
                if sent && failure.saved {
                    self.note_flaw(&format!("the template broke off, and its 'section save' ran: {}", failure.message));
                } else if sent {
                    self.note_broken_run(&failure.message);
                }
                self.say(failure.message);
                if sent {
                    return Event::Broken { refused: failure.device_refuses };
                }
                match failure.refused {
                    Some(refused) if !password_taken => self.refused_inside(refused).await,
                    _ => Event::Failed,
                }
            }
            Err(error) => {
                self.say(error.to_string());
                if sent {
                    self.note_broken_run(&error.to_string());
                    return Event::Broken { refused: false };
                }
                Event::Failed
            }
        }
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

    pub(super) async fn carry_template(&self) -> Result<Verdict, DeviceError> {
        let (values, stored, login_stored) = self.values().await?;
        let masker = self.masker_of(&values, &stored, &login_stored);
        let session = self.session.lock().await;
        let Some(session) = session.as_ref() else {
            return Err(DeviceError::NotCommitted("there is no session".into()));
        };
        let follows = |section| {
            let section = self.template.section(section)?;
            Some(Run::new(section.clone(), values.clone(), masker.clone()).proving())
        };
        let after = AfterFailure { abort: follows(Section::Abort), save: follows(Section::Save) };
        let run = Run::new(self.template.clone(), values, masker).greeted(session.greeting());
        self.step(format!("running template {}, sha256:{}", self.account.device.template, self.template.sha256()));
        run_template(session, run, self.run_context(&stored, &login_stored, after)).await
    }

    pub(super) fn run_context<'a>(
        &'a self,
        stored: &'a Stored,
        login: &'a Stored,
        after: AfterFailure,
    ) -> RunContext<'a, Self> {
        RunContext {
            on: &self.core.transport,
            account: (&self.account.name, self.account.policy.lockout()),
            login: (&self.login.name, self.login.policy.lockout()),
            seed: stored.seed.as_ref().or(login.seed.as_ref()),
            login_seed: login.seed.as_ref(),
            watcher: self,
            taken: &self.taken,
            after,
        }
    }

    /// Runs `section verify` with one of the two passwords in a session.
    async fn run_verify(&self, session: &Session, which: Which, verify: &Arc<Checked>) -> Result<Verdict, DeviceError> {
        let (mut values, stored, login_stored) = self.values().await?;
        let password = match which {
            Which::New => lock(&self.candidate).as_ref().map(|candidate| candidate.secret().clone()),
            Which::Old => stored.password.clone(),
        };
        if let Some(password) = password {
            if self.login.name == self.account.name {
                values.set("AUTH_PASSWORD", password.clone());
            }
            values.set("NEW_PASSWORD", password.clone());
            values.set("CURRENT_PASSWORD", password);
        }
        let masker = self.masker_of(&values, &stored, &login_stored);
        let run = Run::new(verify.clone(), values, masker).proving();
        run_template(session, run, self.run_context(&stored, &login_stored, AfterFailure::default())).await
    }

    /// A password's name for people: with no other to tell it from, the old one is the stored one.
    fn called(&self, which: Which) -> &'static str {
        if which == Which::Old && lock(&self.candidate).is_none() { "stored" } else { which.name() }
    }

    /// Proves a password that is none of an SSH login: the login account logs in, and `section verify` tries it.
    async fn check_by_section(&self, which: Which, verify: &Arc<Checked>) -> Event {
        let name = self.called(which);
        let known = match which {
            Which::New => lock(&self.candidate).is_some(),
            Which::Old => match self.core.stored(&self.account.name).await {
                Ok(stored) => stored.password.is_some(),
                Err(error) => {
                    self.say(error.to_string());
                    return Event::Unreachable;
                }
            },
        };
        if !known {
            self.step(format!("there is no {name} password to try"));
            return Event::Absent(which);
        }
        self.step(format!("checking the {name} password with the template's section verify"));
        let opened = match self.core.may_help(&self.login, HelperRole::Login).await {
            Ok(()) => self.open_session().await,
            Err(error) => Err(error),
        };
        self.prove_in_session(which, verify, opened).await
    }

    /// Proves a password by `section verify` in a session that was opened for it.
    async fn prove_in_session(
        &self,
        which: Which,
        verify: &Arc<Checked>,
        opened: Result<Session, DeviceError>,
    ) -> Event {
        let name = self.called(which);
        self.taken.store(false, Ordering::SeqCst);
        let result = match opened {
            Ok(session) => {
                let result = self.run_verify(&session, which, verify).await;
                session.close(&self.core.clock).await;
                result
            }
            Err(error) => Err(error),
        };
        match result {
            Ok(Verdict::Ran { .. }) if !self.taken.load(Ordering::SeqCst) => {
                self.say(format!(
                    "section verify ran to its end, and the device asked for no password in it: the {name} one is not proved"
                ));
                Event::Unreachable
            }
            Ok(Verdict::Ran { .. }) => {
                self.by_section.store(true, Ordering::SeqCst);
                self.step(format!("the {name} password works"));
                Event::Proved(which)
            }
            Ok(Verdict::Failed(failure)) if failure.judged => {
                self.say(format!("the {name} password is refused: {}", failure.message));
                Event::Disproved(which)
            }
            Ok(Verdict::Failed(failure)) => {
                self.say(failure.message);
                Event::Unreachable
            }
            Err(error) => {
                self.note_failed_login(&error).await;
                self.say(error.to_string());
                if error.may_be_refusal() && self.refused_account(&error) == self.login.name {
                    self.doubt_where_hopeless(&self.login).await;
                }
                Event::Unreachable
            }
        }
    }

    /// The template's `section verify`, where it tries a password: a device that lets anybody in asks for it in the session.
    fn verify_that_asks(&self) -> Option<&Arc<Checked>> {
        let tags = |verify: &Checked| verify.tags().iter().any(|(tag, _)| PROVEN.contains(tag));
        self.account.template.section(Section::Verify).filter(|verify| tags(verify))
    }

    /// After the login proved a password: what `section verify` finds besides is told, and cannot unprove it.
    async fn look_further(&self, session: &Session, which: Which) {
        let Some(verify) = self.account.template.section(Section::Verify) else { return };
        match self.run_verify(session, which, verify).await {
            Ok(Verdict::Ran { .. }) => self.step("section verify ran to its end".into()),
            Ok(Verdict::Failed(failure)) => self.verify_failed(&failure.message),
            Err(error) => self.verify_failed(&error.to_string()),
        }
    }

    fn verify_failed(&self, why: &str) {
        self.say(format!("the login works, but section verify failed: {why}"));
        self.note_flaw(&format!("section verify failed: {why}"));
    }

    /// Logs in as the account itself with one of the two passwords, in a new session, and hangs up.
    pub(super) async fn check(&self, which: Which) -> Event {
        let name = self.called(which);
        if let Err(free_in) = self.budget(&self.account.name).await {
            *lock(&self.wake) = Some(self.core.clock.now().plus_ms(free_in));
            self.say(format!("the lockout budget is spent; the {name} password is tried in {}", in_words(free_in)));
            return Event::Unreachable;
        }
        if let Some(verify) = self.account.template.section(Section::Verify)
            && self.login.name != self.account.name
        {
            return self.check_by_section(which, verify).await;
        }
        self.step(format!("checking the {name} password with a fresh login"));
        match self.try_login(which).await {
            Ok(None) => {
                self.step(format!("there is no {name} password to try"));
                Event::Absent(which)
            }
            Ok(Some(session)) if !session.password_sent => self.check_inside(which, session).await,
            Ok(Some(session)) => {
                self.look_further(&session, which).await;
                session.close(&self.core.clock).await;
                self.step(format!("the {name} password works"));
                Event::Proved(which)
            }
            // The device demands a new password of those alone who gave the old one.
            Err(DeviceError::Prompt(PromptError::NewDemanded)) => {
                let told = format!("the {name} password works; the device demands a new one at the next login");
                let before = lock(&self.detail).clone();
                self.say(if before.is_empty() { told } else { format!("{before}; {told}") });
                Event::Proved(which)
            }
            Err(error) => {
                self.note_failed_login(&error).await;
                let failure = self.failure_of(&error, &self.account.name);
                let refused = matches!(failure, LoginFailure::Rejected { .. });
                self.say(if refused { format!("the {name} password is refused: {error}") } else { error.to_string() });
                failure.of_check(which)
            }
        }
    }

    /// The login asked for no password, as on a device that lets anybody in: `section verify` tries it in this very session. A
    /// device may have no room for another one so soon.
    async fn check_inside(&self, which: Which, session: Session) -> Event {
        let name = self.called(which);
        let Some(verify) = self.verify_that_asks() else {
            session.close(&self.core.clock).await;
            self.say(DeviceError::NotProved(self.account.name.to_string()).to_string());
            return Event::Unreachable;
        };
        self.step(format!("the login did not ask for the {name} password; section verify tries it in the session"));
        self.prove_in_session(which, verify, Ok(session)).await
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

    /// Logs in as the account itself with one of the two passwords.
    async fn try_login(&self, which: Which) -> Result<Option<Session>, DeviceError> {
        let (mut stored, host_keys) = self.core.stored_for_login(&self.account.name, &self.account.device).await?;
        if which == Which::New {
            stored.password = lock(&self.candidate).as_ref().map(|candidate| candidate.secret().clone());
        }
        if stored.password.is_none() {
            return Ok(None);
        }
        let mut login = self.core.login(&self.config, &self.account, stored, None, true);
        login.probe = self.probing.load(Ordering::SeqCst);
        login.restored = self.restored.load(Ordering::SeqCst);
        let hops = self.hops(login, host_keys).await?;
        let bound = self.account.template.connect_timeout().unwrap_or_default();
        let session = connect(&self.core.transport, &hops, bound, self).await?;
        self.probing.store(false, Ordering::SeqCst);
        Ok(Some(session))
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

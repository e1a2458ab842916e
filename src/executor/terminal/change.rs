//! A change: the login, then the template or a person in a shell, and the session's end.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use super::Terminal;
use super::connect::{Session, connect};
use super::connector::Peer;
use super::login::{Hop, login_of};
use super::look::look;
use super::person::converse;
use super::shell::{AfterFailure, RunContext, run_template};
use crate::clock::Waiting;
use crate::config::{Account, Config};
use crate::dialogue::{Run, Values, Verdict};
use crate::executor::contract::{
    ChangeRequest, ChangeResult, Executor, GivenSecrets, Lead, Person, Proof, ProofRequest,
};
use crate::executor::error::DeviceError;
use crate::executor::observer::Observer;
use crate::executor::room::RoomWaits;
use crate::executor::values::{Stored, base_values};
use crate::model::{Masker, Secret};
use crate::recording::Said;
use crate::template::Section;
use crate::vault::Ledger;

/// Who logs in for a session on an account's device.
pub(super) struct Entrance<'a> {
    pub(super) config: &'a Config,
    pub(super) account: &'a Account,
    pub(super) login: &'a Account,
    /// The new password, where the login itself may be asked for it.
    pub(super) new: Option<&'a Secret>,
    pub(super) probe: bool,
    /// Secrets of an account that is being added.
    pub(super) given: Option<&'a GivenSecrets>,
}

/// What a run on an account's device is made of.
pub(super) struct Material {
    pub(super) values: Values,
    stored: Stored,
    login_stored: Stored,
}

impl Material {
    /// The stored password of the account.
    pub(super) fn stored_password(&self) -> Option<&Secret> {
        self.stored.password.as_ref()
    }

    /// A masker of all that the run may send and that the attempt has sent.
    pub(super) fn masker(&self, account: &Account, login: &Account, observer: &dyn Observer) -> Masker {
        let mut known = self.stored.masker(&self.values);
        known.add_all(&self.login_stored.masker(&Values::default()));
        [account.device.name.as_str(), login.name.user()].into_iter().for_each(|name| known.leave(name));
        observer.learn(&known)
    }
}

impl Executor for Terminal {
    fn change<'a>(&'a self, request: ChangeRequest<'a>, observer: &'a dyn Observer) -> Waiting<'a, ChangeResult> {
        Box::pin(self.make_change(request, observer))
    }

    fn prove<'a>(&'a self, request: ProofRequest<'a>, observer: &'a dyn Observer) -> Waiting<'a, Proof> {
        Box::pin(async move { self.try_password(&request, observer).await })
    }
}

impl Terminal {
    async fn make_change(&self, mut request: ChangeRequest<'_>, observer: &dyn Observer) -> ChangeResult {
        let clock = self.guards.clock();
        let stopping = || DeviceError::NotCommitted("the daemon is stopping".into());
        let (mut waits, mut is_recorded) = (RoomWaits::before_change(), false);
        loop {
            let ChangeRequest { config, account, login, ref new, probe, given, .. } = request;
            let entrance = Entrance { config, account, login, new: new.as_ref(), probe, given };
            let opened = tokio::select! {
                biased;
                opened = self.open_session(entrance, observer) => opened,
                () = observer.cancelled() => Err(stopping()),
            };
            let session = match opened {
                Ok(session) => session,
                // A login was let in before, and found no room behind it.
                Err(error) if is_recorded => return ChangeResult::Broken(error),
                Err(error) => return ChangeResult::LoginFailed(error),
            };
            if session.changed_at_login {
                observer.step("the login took the new password; the template need not run".into());
                session.close(clock).await;
                return ChangeResult::Ran { committed: true };
            }
            if !is_recorded && let Err(why) = observer.logged_in().await {
                session.close(clock).await;
                return ChangeResult::NotRecorded(why);
            }
            is_recorded = true;
            let ran = tokio::select! {
                biased;
                ran = self.carry(&session, &mut request, observer) => ran,
                () = observer.cancelled() => Err(stopping()),
            };
            let (password_taken, last_own_ms) = (session.password_taken, session.last_own_ms);
            session.close(clock).await;
            return match ran {
                Ok(Verdict::Ran { committed }) => ChangeResult::Ran { committed },
                Ok(Verdict::Failed(mut failure)) => {
                    // What the login has proved, a refusal behind it does not call into question.
                    failure.refused = failure.refused.filter(|_| !password_taken);
                    ChangeResult::Failed(failure)
                }
                Err(error) if waits.again(&error, &login.name, last_own_ms, &self.guards, observer).await => continue,
                Err(error) => ChangeResult::Broken(error),
            };
        }
    }

    /// Logs in as the account that logs in for this one.
    pub(super) async fn open_session(
        &self,
        entrance: Entrance<'_>,
        observer: &dyn Observer,
    ) -> Result<Session, DeviceError> {
        let Entrance { config, account, login: by, new, probe, given } = entrance;
        let device = Peer::of(&account.device)?;
        let (stored, host_keys) = self.stored_for_login(&by.name, &device).await?;
        let stored = GivenSecrets::or_stored(given, &by.name, stored);
        // Only an account that logs in as itself can be asked for its own new password.
        let new = new.filter(|_| by.name == account.name);
        let mut login = login_of(config, by, &device, stored, new, false);
        login.probe = probe;
        self.enter(config, account, Hop { device, host_keys, login }, observer).await
    }

    /// Connects to an account's device, and logs in so.
    pub(super) async fn enter(
        &self,
        config: &Config,
        account: &Account,
        last: Hop,
        observer: &dyn Observer,
    ) -> Result<Session, DeviceError> {
        let hops = self.hops(config, &account.device, last, observer).await?;
        let bound = account.template.connect_timeout().unwrap_or_default();
        let session = connect(self.connector.as_ref(), &self.guards, &hops, bound, observer).await?;
        observer.entered();
        Ok(session)
    }

    /// The values and secrets of a run.
    pub(super) async fn material(
        &self,
        account: &Account,
        login: &Account,
        new: Option<&Secret>,
        given: Option<&GivenSecrets>,
    ) -> Result<Material, DeviceError> {
        let names = (account.name.clone(), login.name.clone());
        let both = move |tx: &dyn Ledger| Stored::of_both(tx, &names.0, &names.1);
        let (stored, login_stored) = self.guards.vault.call(both).await?;
        let stored = GivenSecrets::or_stored(given, &account.name, stored);
        let login_stored = GivenSecrets::or_stored(given, &login.name, login_stored);
        let mut values = base_values(account, login, &stored, &login_stored);
        if let Some(new) = new {
            values.set("NEW_PASSWORD", new.clone());
        }
        Ok(Material { values, stored, login_stored })
    }

    pub(super) fn run_context<'a>(
        &'a self,
        (account, login): (&'a Account, &'a Account),
        material: &'a Material,
        observer: &'a dyn Observer,
        taken: &'a AtomicBool,
        after: AfterFailure,
    ) -> RunContext<'a> {
        let Material { stored, login_stored, .. } = material;
        RunContext {
            on: &self.guards,
            account: (&account.name, account.policy.lockout()),
            login: (&login.name, login.policy.lockout()),
            seed: stored.seed.as_ref().or(login_stored.seed.as_ref()),
            login_seed: login_stored.seed.as_ref(),
            observer,
            taken,
            after,
        }
    }

    async fn carry(
        &self,
        session: &Session,
        request: &mut ChangeRequest<'_>,
        observer: &dyn Observer,
    ) -> Result<Verdict, DeviceError> {
        let material = self.material(request.account, request.login, request.new.as_ref(), request.given).await?;
        let accounts = (request.account, request.login);
        match &mut request.lead {
            Lead::Look { seen } => {
                observer.step("logged in; looking at what the device is".into());
                let found = look(session, self.guards.clock()).await?;
                *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
                Ok(Verdict::Ran { committed: false })
            }
            Lead::Person { person, said } => {
                self.carry_person(session, accounts, &material, (person, said), observer).await
            }
            Lead::Template => self.carry_template(session, request, &material, observer).await,
        }
    }

    async fn carry_template(
        &self,
        session: &Session,
        request: &ChangeRequest<'_>,
        material: &Material,
        observer: &dyn Observer,
    ) -> Result<Verdict, DeviceError> {
        let ChangeRequest { account, login, template, .. } = request;
        let (values, masker) = (&material.values, material.masker(account, login, observer));
        let follows = |section| {
            let section = template.section(section)?;
            Some(Run::new(section.clone(), values.clone(), masker.clone()).proving())
        };
        let after = AfterFailure { abort: follows(Section::Abort), save: follows(Section::Save) };
        let run = Run::new((*template).clone(), values.clone(), masker.clone()).greeted(session.greeting());
        observer.step(format!("running template {}, sha256:{}", account.device.template, template.sha256()));
        let taken = AtomicBool::new(false);
        run_template(session, run, self.run_context((account, login), material, observer, &taken, after)).await
    }

    /// The person's part in place of a template's.
    async fn carry_person(
        &self,
        session: &Session,
        (account, login): (&Account, &Account),
        material: &Material,
        (person, said): (&mut Person, &Mutex<Vec<Said>>),
        observer: &dyn Observer,
    ) -> Result<Verdict, DeviceError> {
        let masker = material.masker(account, login, observer);
        let taken = AtomicBool::new(false);
        let context = self.run_context((account, login), material, observer, &taken, AfterFailure::default());
        converse(session, person, &material.values, masker, &context, said).await
    }
}

//! Proving a password: a fresh login with it, or the template's section verify in a session.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Terminal;
use super::change::Entrance;
use super::connect::Session;
use super::connector::Peer;
use super::login::{Hop, login_of};
use super::shell::{AfterFailure, run_template};
use crate::dialogue::{Run, Verdict};
use crate::executor::contract::{Proof, ProofRequest, ProvedBy, Tried};
use crate::executor::error::{DeviceError, PromptError};
use crate::executor::observer::Observer;
use crate::executor::room::RoomWaits;
use crate::executor::values::Stored;
use crate::rotation::HelperRole;
use crate::template::{Checked, Section};

/// Tags of the password that `section verify` tries.
const PROVEN: [&str; 3] = ["NEW_PASSWORD", "CURRENT_PASSWORD", "AUTH_PASSWORD"];

impl Terminal {
    pub(super) async fn try_password(&self, request: &ProofRequest<'_>, observer: &dyn Observer) -> Proof {
        let (account, name) = (request.account, request.called);
        if let Some(verify) = account.template.section(Section::Verify)
            && request.login.name != account.name
        {
            return self.prove_by_section(request, verify, observer).await;
        }
        observer.step(format!("checking the {name} password with a fresh login"));
        match self.log_in_afresh(request, observer).await {
            Ok(None) => Proof::Absent,
            Ok(Some(session)) if !session.password_sent => self.prove_inside(request, session, observer).await,
            Ok(Some(session)) => {
                self.look_further(request, session, observer).await;
                Proof::Proved(ProvedBy::Login)
            }
            // The device demands a new password of those alone who gave the old one.
            Err(DeviceError::Prompt(PromptError::NewDemanded)) => Proof::Proved(ProvedBy::DemandOfNew),
            Err(error) => Proof::LoginFailed(error),
        }
    }

    /// Logs in as the account itself with the password.
    async fn log_in_afresh(
        &self,
        request: &ProofRequest<'_>,
        observer: &dyn Observer,
    ) -> Result<Option<Session>, DeviceError> {
        let account = request.account;
        let device = Peer::of(&account.device)?;
        let (mut stored, host_keys) = self.stored_for_login(&account.name, &device).await?;
        if let Tried::Candidate(candidate) = &request.password {
            stored.password.clone_from(candidate);
        }
        if stored.password.is_none() {
            return Ok(None);
        }
        let mut login = login_of(request.config, account, &device, stored, None, true);
        login.probe = request.probe;
        login.restored = request.restored;
        self.enter(request.config, account, Hop { device, host_keys, login }, observer).await.map(Some)
    }

    /// Proves a password that is none of an SSH login: the login account logs in, and `section verify` tries it.
    async fn prove_by_section(
        &self,
        request: &ProofRequest<'_>,
        verify: &Arc<Checked>,
        observer: &dyn Observer,
    ) -> Proof {
        let ProofRequest { config, account, login, called: name, probe, .. } = *request;
        let known = match &request.password {
            Tried::Candidate(candidate) => candidate.is_some(),
            Tried::Stored => {
                let of = account.name.clone();
                match self.guards.vault.call(move |tx| Stored::of(tx, &of)).await {
                    Ok(stored) => stored.password.is_some(),
                    Err(error) => return Proof::Nothing(error.to_string()),
                }
            }
        };
        if !known {
            return Proof::Absent;
        }
        observer.step(format!("checking the {name} password with the template's section verify"));
        if let Err(error) = observer.may_help(login, HelperRole::Login).await {
            return Proof::SessionFailed(error);
        }
        let mut waits = RoomWaits::default();
        loop {
            let entrance = Entrance { config, account, login, new: None, probe, given: None };
            let session = match self.open_session(entrance, observer).await {
                Ok(session) => session,
                Err(error) => return Proof::SessionFailed(error),
            };
            let last_own_ms = session.last_own_ms;
            match self.prove_in_session(request, verify, session, observer).await {
                Proof::SessionFailed(error)
                    if waits.again(&error, &login.name, last_own_ms, &self.guards, observer).await => {}
                proof => return proof,
            }
        }
    }

    /// Proves a password by `section verify` in a session that was opened for it.
    async fn prove_in_session(
        &self,
        request: &ProofRequest<'_>,
        verify: &Arc<Checked>,
        session: Session,
        observer: &dyn Observer,
    ) -> Proof {
        let taken = AtomicBool::new(false);
        let result = self.run_verify(request, &session, verify, observer, &taken).await;
        session.close(self.guards.clock()).await;
        match result {
            Ok(Verdict::Ran { .. }) if !taken.load(Ordering::SeqCst) => Proof::Nothing(format!(
                "section verify ran to its end, and the device asked for no password in it: the {} one is not proved",
                request.called
            )),
            Ok(Verdict::Ran { .. }) => Proof::Proved(ProvedBy::Section),
            Ok(Verdict::Failed(failure)) if failure.judged => Proof::Refused(failure.message),
            Ok(Verdict::Failed(failure)) => Proof::Nothing(failure.message),
            Err(error) => Proof::SessionFailed(error),
        }
    }

    /// The login asked for no password, as on a device that lets anybody in: `section verify` tries it in this very session. A
    /// device may have no room for another one so soon.
    async fn prove_inside(&self, request: &ProofRequest<'_>, session: Session, observer: &dyn Observer) -> Proof {
        let tries = |verify: &Checked| verify.tags().iter().any(|(tag, _)| PROVEN.contains(tag));
        let Some(verify) = request.account.template.section(Section::Verify).filter(|verify| tries(verify)) else {
            session.close(self.guards.clock()).await;
            return Proof::Nothing(DeviceError::NotProved(request.account.name.to_string()).to_string());
        };
        let name = request.called;
        observer.step(format!("the login did not ask for the {name} password; section verify tries it in the session"));
        self.prove_in_session(request, verify, session, observer).await
    }

    /// After the login proved a password: what `section verify` finds besides is told, and cannot unprove it.
    async fn look_further(&self, request: &ProofRequest<'_>, session: Session, observer: &dyn Observer) {
        let Some(verify) = request.account.template.section(Section::Verify) else {
            return session.close(self.guards.clock()).await;
        };
        let last_own_ms = session.last_own_ms;
        let run = async |session: Session| {
            let taken = AtomicBool::new(false);
            let ran = self.run_verify(request, &session, verify, observer, &taken).await;
            session.close(self.guards.clock()).await;
            ran
        };
        let mut ran = run(session).await;
        let (mut waits, account) = (RoomWaits::default(), &request.account.name);
        while let Err(error) = &ran
            && waits.again(error, account, last_own_ms, &self.guards, observer).await
        {
            ran = match self.log_in_afresh(request, observer).await {
                Ok(Some(session)) => run(session).await,
                Ok(None) => return,
                Err(error) => Err(error),
            };
        }
        let flaw = |why: &str| observer.flaw(&format!("section verify failed: {why}"));
        match ran {
            Ok(Verdict::Ran { .. }) => observer.step("section verify ran to its end".into()),
            Ok(Verdict::Failed(failure)) => flaw(&failure.message),
            Err(error) => flaw(&error.to_string()),
        }
    }

    /// Runs `section verify` with the password in a session.
    async fn run_verify(
        &self,
        request: &ProofRequest<'_>,
        session: &Session,
        verify: &Arc<Checked>,
        observer: &dyn Observer,
        taken: &AtomicBool,
    ) -> Result<Verdict, DeviceError> {
        let accounts @ (account, login) = (request.account, request.login);
        let mut material = self.material(account, login, None, None).await?;
        let password = match &request.password {
            Tried::Candidate(candidate) => candidate.as_ref(),
            Tried::Stored => material.stored_password(),
        };
        if let Some(password) = password.cloned() {
            if login.name == account.name {
                material.values.set("AUTH_PASSWORD", password.clone());
            }
            material.values.set("NEW_PASSWORD", password.clone());
            material.values.set("CURRENT_PASSWORD", password);
        }
        let masker = material.masker(account, login, observer);
        let run = Run::new(verify.clone(), material.values.clone(), masker).proving();
        run_template(session, run, self.run_context(accounts, &material, observer, taken, AfterFailure::default()))
            .await
    }
}

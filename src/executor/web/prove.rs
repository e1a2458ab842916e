//! Proving a password: the template's login in a new browser profile with a fresh code, and a test that holds only behind it.

use super::Web;
use super::change::place_of;
use super::errand::{Ended, Errand, login_error};
use crate::dialogue::web::{FailureKind, WebVerdict};
use crate::executor::contract::{Proof, ProofRequest, ProvedBy, Tried};
use crate::executor::observer::Observer;
use crate::executor::values::base_values;
use crate::template::web::Purpose;

impl Web {
    pub(super) async fn try_password(&self, request: ProofRequest<'_>, observer: &dyn Observer) -> Proof {
        let ProofRequest { config, account, password, called: name, probe, restored, .. } = request;
        let (endpoint, template) =
            match place_of(account, self.drafts.of(&account.name).as_ref().unwrap_or(&account.template)) {
                Ok(place) => place,
                Err(error) => return Proof::SessionFailed(error),
            };
        // The account itself logs in, whoever makes its changes.
        let stored = match self.stored(&account.name, &account.name).await {
            Ok(stored) => stored,
            Err(error) => return Proof::SessionFailed(error),
        };
        let tried = match password {
            Tried::Stored => stored.0.password.clone(),
            Tried::Candidate(candidate) => candidate,
        };
        let Some(tried) = tried else { return Proof::Absent };
        let mut values = base_values(account, account, &stored.0, &stored.1);
        values.set("CURRENT_PASSWORD", tried.clone());
        values.set("AUTH_PASSWORD", tried.clone());
        observer.step(format!("checking the {name} password with a login in a new browser profile"));
        let errand = Errand {
            socket: &config.daemon.browser_socket,
            login: account,
            account,
            endpoint,
            template,
            purpose: Purpose::Proof,
            values,
            stored,
            new: None,
            tried: Some(tried),
            probe,
            restored,
        };
        match self.run(&errand, observer).await {
            Err(error) => Proof::LoginFailed(error),
            Ok(Ended { verdict: WebVerdict::Ran { proved: true, .. }, .. }) => Proof::Proved(ProvedBy::Login),
            Ok(Ended { verdict: WebVerdict::Ran { .. }, .. }) => Proof::Nothing(format!(
                "the template {} has no test that holds only behind the login, so the {name} password is not proved; add a test-selector, test-location or test-text there",
                account.device.template
            )),
            Ok(Ended { verdict: WebVerdict::Failed(failure), with_code }) => {
                // What went wrong behind a proof is no refusal.
                let is_refusal = matches!(failure.kind, FailureKind::PasswordRejected | FailureKind::CodeRejected);
                let error = login_error(&errand, failure, with_code);
                if is_refusal { Proof::LoginFailed(error) } else { Proof::SessionFailed(error) }
            }
        }
    }
}

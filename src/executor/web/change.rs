//! A change: one run of the template, the login among its lines.

use std::sync::Arc;

use super::Web;
use super::errand::{Ended, Errand, login_error};
use crate::config::{Account, WebEndpoint};
use crate::dialogue::RunFailure;
use crate::dialogue::web::{FailureKind, WebFailure, WebVerdict};
use crate::executor::contract::{ChangeRequest, ChangeResult, GivenSecrets, Lead};
use crate::executor::error::DeviceError;
use crate::executor::observer::Observer;
use crate::executor::values::{Stored, base_values};
use crate::model::AccountName;
use crate::template::Checked;
use crate::template::web::{Purpose, WebTemplate};
use crate::vault::Ledger;

/// Where an account's device is, and what runs there.
///
/// # Errors
/// The device is none of the web, or the template none for it.
pub(super) fn place_of(
    account: &Account,
    template: &Arc<Checked>,
) -> Result<(Arc<WebEndpoint>, Arc<WebTemplate>), DeviceError> {
    let incapable = |why: &str| DeviceError::Incapable { account: account.name.to_string(), why: why.to_owned() };
    let endpoint = account.device.web().cloned().ok_or_else(|| incapable("its device is none of the web"))?;
    let web = template.web().cloned();
    Ok((endpoint, web.ok_or_else(|| incapable("its template is none for a web device"))?))
}

impl Web {
    /// What the vault has of both accounts.
    pub(super) async fn stored(
        &self,
        account: &AccountName,
        login: &AccountName,
    ) -> Result<(Stored, Stored), DeviceError> {
        let names = (account.clone(), login.clone());
        let both = move |tx: &dyn Ledger| Stored::of_both(tx, &names.0, &names.1);
        Ok(self.guards.vault.call(both).await?)
    }

    pub(super) async fn make_change(&self, mut request: ChangeRequest<'_>, observer: &dyn Observer) -> ChangeResult {
        let lead = std::mem::replace(&mut request.lead, Lead::Template);
        if matches!(lead, Lead::Look { .. }) {
            let why = "nothing tells what a web application is".to_owned();
            return ChangeResult::LoginFailed(DeviceError::Incapable {
                account: request.account.name.to_string(),
                why,
            });
        }
        if let Lead::Person { person, said } = lead {
            // The device's own template tells how its browser is set up; none of its lines is run.
            request.template = &request.account.template;
            return match self.change_errand(&request).await {
                Ok(errand) => self.be_led(&errand, person, said, observer).await,
                Err(error) => ChangeResult::LoginFailed(error),
            };
        }
        let ChangeRequest { account, template, .. } = request;
        let errand = match self.change_errand(&request).await {
            Ok(errand) => errand,
            Err(error) => return ChangeResult::LoginFailed(error),
        };
        observer.step(format!("running template {}, sha256:{}", account.device.template, template.sha256()));
        match self.run(&errand, observer).await {
            Err(error) => ChangeResult::LoginFailed(error),
            Ok(Ended { verdict: WebVerdict::Ran { committed, .. }, .. }) => ChangeResult::Ran { committed },
            Ok(Ended { verdict: WebVerdict::Failed(failure), .. }) if failure.committed => broken(&errand, failure),
            Ok(Ended { verdict: WebVerdict::Failed(failure), with_code }) => {
                ChangeResult::LoginFailed(login_error(&errand, failure, with_code))
            }
        }
    }

    async fn change_errand<'a>(&self, request: &ChangeRequest<'a>) -> Result<Errand<'a>, DeviceError> {
        let ChangeRequest { config, account, login, template, ref new, probe, given, .. } = *request;
        let (endpoint, web) = place_of(account, template)?;
        let (own, of_login) = self.stored(&account.name, &login.name).await?;
        let own = GivenSecrets::or_stored(given, &account.name, own);
        let stored = (own, GivenSecrets::or_stored(given, &login.name, of_login));
        let mut values = base_values(account, login, &stored.0, &stored.1);
        if let Some(new) = new {
            values.set("NEW_PASSWORD", new.clone());
        }
        // What runs is the template's section reconcile where that is asked for: it is a template of its own then.
        let reconciles = account.template.reconcile().is_some_and(|section| Arc::ptr_eq(section, template));
        let purpose = if reconciles { Purpose::Reconcile } else { Purpose::Change };
        Ok(Errand {
            socket: &config.daemon.browser_socket,
            login,
            account,
            endpoint,
            template: web,
            purpose,
            values,
            stored,
            new: new.clone(),
            tried: None,
            probe,
            restored: false,
        })
    }
}

/// A run that failed behind the commit point.
fn broken(errand: &Errand<'_>, failure: WebFailure) -> ChangeResult {
    match failure.kind {
        FailureKind::Browser | FailureKind::Stopped | FailureKind::Network | FailureKind::Certificate => {
            let device = errand.account.device.name.to_string();
            ChangeResult::Broken(DeviceError::Broken { device, when: "behind the commit point", why: failure.message })
        }
        kind => ChangeResult::Failed(RunFailure {
            message: failure.message,
            committed: true,
            device_refuses: kind == FailureKind::Refused,
            answered: true,
            refused: None,
            judged: kind == FailureKind::Refused,
            typed: failure.typed,
            saved: false,
        }),
    }
}

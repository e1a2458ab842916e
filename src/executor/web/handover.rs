//! A browser that is logged in and handed over to a person: once a test behind the login held, and once nothing of what the login
//! entered stands in the page or on a way back from it.

use std::sync::Arc;
use std::time::Duration;

use super::Web;
use super::change::place_of;
use super::errand::{Ended, Errand, login_error};
use super::live::{Live, LiveKind, Shown};
use crate::browser::{Browser, Hidden, Reply, Request, Trouble};
use crate::config::{Account, Config};
use crate::dialogue::web::WebVerdict;
use crate::executor::error::DeviceError;
use crate::executor::observer::{Observer, SessionSlot};
use crate::executor::values::base_values;
use crate::model::Secret;
use crate::template::web::Purpose;

/// The page answers within this time.
const PATIENCE: Duration = Duration::from_secs(20);
/// Whether the browser is there still is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// A session that a person asks for.
pub struct SessionRequest<'a> {
    /// The config of the attempt.
    pub config: &'a Config,
    /// The account that logs in.
    pub account: &'a Account,
    /// How long the person has it.
    pub lasts: Duration,
    /// The user whose it is.
    pub uid: u32,
}

/// A browser in the hands of a person. Dropped, it is gone with its profile, and its room is given back.
pub struct Handed {
    browser: Arc<Browser>,
    shown: Shown,
    _slot: SessionSlot,
}

impl Handed {
    /// What the person sees.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.shown.live
    }

    /// Returns once the person says that it is over.
    pub async fn ended(&self) {
        self.shown.live.continued().await;
    }

    /// Returns once the browser is gone by itself.
    pub async fn gone(&self) {
        while !self.browser.is_gone() {
            tokio::time::sleep(LOOK_AGAIN).await;
            if let Err(Trouble::Gone(_)) = self.browser.call(Request::Location, PATIENCE).await {
                return;
            }
        }
    }
}

impl Web {
    /// Logs in with the stored password and a fresh code, and hands the browser over.
    ///
    /// # Errors
    /// The login failed, proved nothing, or left a secret in the page. The browser is gone then.
    pub async fn hand_over(
        &self,
        request: &SessionRequest<'_>,
        observer: &dyn Observer,
    ) -> Result<Handed, DeviceError> {
        let SessionRequest { config, account, lasts, uid } = *request;
        let (endpoint, template) = place_of(account, &account.template)?;
        let stored = self.stored(&account.name, &account.name).await?;
        let Some(password) = stored.0.password.clone() else {
            let why = format!("no password of it is stored; 'rotorctl secret set {}' stores it", account.name);
            return Err(DeviceError::Incapable { account: account.name.to_string(), why });
        };
        let errand = Errand {
            socket: &config.daemon.browser_socket,
            login: account,
            account,
            endpoint,
            template,
            purpose: Purpose::Session,
            values: base_values(account, account, &stored.0, &stored.1),
            stored,
            new: None,
            tried: Some(password),
            probe: false,
            restored: false,
        };
        let (Ended { verdict, with_code }, under) = self.run_on(&errand, observer).await?;
        let page = |why: String| DeviceError::Page { device: account.device.name.to_string(), why };
        match verdict {
            WebVerdict::Ran { proved: true, .. } => {}
            WebVerdict::Ran { .. } => {
                return Err(page(format!(
                    "the template {} has no test that holds only behind the login, so nobody gets its browser; add a test-selector, test-location or test-text there",
                    account.device.template
                )));
            }
            WebVerdict::Failed(failure) => return Err(login_error(&errand, failure, with_code)),
        }
        let secrets = errand.lasting_secrets();
        let browser = under.session.browser().clone();
        prepare(&browser, &secrets).await.map_err(page)?;
        let lasts_ms = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
        let until_ms = self.guards.clock().now().plus_ms(lasts_ms).wall_ms;
        let asked = format!("you are logged in as {}", account.name.user());
        let live = Live::new(browser.clone(), asked, until_ms, LiveKind::Session { uid, secrets });
        Ok(Handed { browser, shown: self.live.show(&account.name, live), _slot: under.slot })
    }
}

/// Takes what the login entered off the page, and every way back to the pages before it.
async fn prepare(browser: &Browser, secrets: &[Secret]) -> Result<(), String> {
    let told = |trouble: Trouble| format!("the page behind the login cannot be handed over: {trouble}");
    browser.call(Request::HandOver, PATIENCE).await.map_err(told)?;
    let secrets = secrets.iter().cloned().map(Hidden).collect();
    match browser.call(Request::Clear { secrets, all: true }, PATIENCE).await.map_err(told)? {
        Reply::Count(0) => Ok(()),
        _ => Err("the page behind the login still shows a secret of the account, so nobody gets its browser".into()),
    }
}

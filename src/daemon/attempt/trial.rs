//! An account that is being added is tried before anything of it is stored: its secrets come from the caller, and its device and
//! account from a config that is not in force.

use std::sync::{Arc, Mutex, PoisonError};

use super::Attempt;
use super::context::AttemptContext;
use super::request::{Request, RotationResult};
use crate::config::Config;
use crate::daemon::core::Core;
use crate::daemon::limits::Work;
use crate::executor::{GivenSecrets, Lead};
use crate::model::{Actor, AttemptKind, Outcome, Trigger};
use crate::recognition::Evidence;

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// A login, and a look at what the device is.
    Recognise,
    /// A login, and the template up to its commit point.
    Rehearse,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Tried {
    /// How it ended.
    pub result: RotationResult,
    /// What the device has shown, masked; of a look alone.
    pub evidence: Option<Evidence>,
}

impl Core {
    /// Logs in as an account of a config that is not in force, with secrets that are not stored. Codes are reserved and refused
    /// logins counted as in any login; nothing else is kept but that it was tried.
    pub async fn try_out(
        self: &Arc<Self>,
        config: Config,
        given: GivenSecrets,
        trial: Trial,
        actor: Actor,
    ) -> Result<Tried, String> {
        let name = given.account.clone();
        let Some(account) = config.accounts.get(&name).cloned() else {
            return Err(format!("there is no account '{name}' in what is to be added"));
        };
        let request = Request {
            actor: Some(actor),
            kind: AttemptKind::Rehearse,
            reason: Some("before it is added".into()),
            ..Request::of(name.clone(), Trigger::Command)
        };
        let context = AttemptContext::new(self, Arc::new(config), account, request);
        let mut attempt = Attempt::new(AttemptContext { given: Some(given), ..context });
        let Some(hold) = self.limits.hold(&attempt.cx.holder(), Work::Looks) else {
            return Err(self.limits.told(&name));
        };
        let tried = match trial {
            Trial::Rehearse => Tried { result: Box::pin(attempt.rehearse()).await, evidence: None },
            Trial::Recognise => Box::pin(attempt.recognise()).await,
        };
        hold.release(&tried.result);
        Ok(tried)
    }
}

impl Attempt {
    async fn recognise(&mut self) -> Tried {
        let _room = self.cx.room(self.urgency()).await;
        let seen = self.look_at_device().await;
        let (outcome, detail) = match &seen {
            Ok(_) => (Outcome::Done, "the login works; nothing was changed".to_owned()),
            Err(why) => (Outcome::Failed, why.clone()),
        };
        let ran = self.conclude(outcome, &detail, &detail).await;
        Tried { result: ran, evidence: seen.ok() }
    }

    async fn look_at_device(&mut self) -> Result<Evidence, String> {
        let seen = Mutex::new(None);
        self.walk(Lead::Look { seen: &seen }).await?;
        let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner).unwrap_or_default();
        Ok(Evidence {
            greeting: self.masked_lines(&seen.greeting),
            welcome: self.masked_lines(&seen.welcome),
            answer: self.masked_lines(&seen.answer),
            ..seen
        })
    }

    fn masked_lines(&self, text: &str) -> String {
        text.lines().map(|line| self.cx.masked(line)).collect::<Vec<_>>().join("\n")
    }
}

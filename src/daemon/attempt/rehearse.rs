//! A template on the true device, up to its commit point and not beyond: what a draft is tried with.

use std::sync::Arc;

use super::Attempt;
use super::context::AttemptContext;
use super::request::{Request, RotationResult, unknown_account};
use crate::daemon::core::Core;
use crate::daemon::limits::Work;
use crate::executor::{ChangeResult, Lead};
use crate::model::{AccountName, Actor, AttemptKind, Outcome, Trigger};
use crate::rotation::{HelperRole, Phase};
use crate::template::Checked;

impl Core {
    /// Logs in and runs a template up to the line that would send the new password; that line is not sent. Without a
    /// template, the device's own is run. The stored password and codes are used as in any rotation, within the lockout
    /// budget; nothing of the account's state is changed.
    pub async fn rehearse(
        self: &Arc<Self>,
        account: &AccountName,
        template: Option<Arc<Checked>>,
        actor: Actor,
    ) -> RotationResult {
        let config = self.config();
        let kind = AttemptKind::Rehearse;
        let request = Request { actor: Some(actor), kind, ..Request::of(account.clone(), Trigger::Command) };
        let Some(found) = config.accounts.get(account).cloned() else {
            return unknown_account(&request);
        };
        let mut context = AttemptContext::new(self, config, found, request);
        if let Some(template) = template {
            context.template = template;
        }
        let mut attempt = Attempt::new(context);
        let Some(hold) = self.limits.hold(&attempt.cx.holder(), Work::Looks) else {
            return attempt.refuse(self.limits.told(account), false).await;
        };
        if !matches!(self.phase(account).await, Ok(None | Some(Phase::Idle))) {
            let why = format!("it is not known yet which password it has; see 'rotorctl explain {account}'");
            return attempt.refuse(why, false).await;
        }
        let result = Box::pin(attempt.rehearse()).await;
        hold.release(&result);
        result
    }
}

impl Attempt {
    pub(super) async fn rehearse(&mut self) -> RotationResult {
        let _room = self.cx.room(self.urgency()).await;
        let result = match self.prepare().await {
            Err(why) => Err(why),
            Ok(()) => self.walk(Lead::Template).await,
        };
        let (outcome, detail) = match result {
            _ if self.ending.stopped_short => {
                let line = self.cx.template.commit_line().map_or_else(String::new, |line| format!(" (line {line})"));
                (Outcome::Done, format!("the template ran up to its commit point{line}; nothing was changed"))
            }
            Ok(()) => (Outcome::Done, "the template ran to its end and sends no new password".to_owned()),
            Err(why) => (Outcome::Failed, why),
        };
        let detail = if self.cx.template.is_unproven() {
            format!("{detail}; the template is unproven: nobody has told of a device on which it works")
        } else {
            detail
        };
        let ran = format!("sha256:{}; {detail}", self.cx.template.sha256());
        self.conclude(outcome, &detail, &ran).await
    }

    /// Puts the end of an attempt that changes nothing on record.
    pub(super) async fn conclude(&mut self, outcome: Outcome, detail: &str, ran: &str) -> RotationResult {
        let now = self.cx.core.clock.now();
        let row = self.row(now.wall_ms, outcome, detail);
        let steps = row.steps.clone();
        let draft = self.cx.draft_of_end(outcome, ran);
        let saved = self.cx.core.vault.call(move |tx| {
            tx.save_attempt(&row)?;
            tx.audit(&draft, &now)
        });
        if let Err(error) = saved.await {
            let (account, device) = (&self.cx.account.name, &self.cx.account.device.name);
            tracing::error!(%account, %device, %error, "{account}: the end of an attempt is not on record: {error}");
        }
        self.log(outcome, detail);
        self.result(outcome, detail.to_owned(), steps)
    }

    pub(super) async fn walk(&mut self, lead: Lead<'_>) -> Result<(), String> {
        // A login account of which it is not known which password it has is not tried for a rehearsal.
        let own = self.cx.is_own_login();
        let may = if own { Ok(()) } else { self.cx.core.may_help(&self.cx.login, HelperRole::Login).await };
        let result = match may {
            Ok(()) => self.ask_for(lead).await,
            Err(error) => ChangeResult::LoginFailed(error),
        };
        match result {
            ChangeResult::Ran { .. } => Ok(()),
            ChangeResult::LoginFailed(error) => {
                self.cx.note_impostor(&error).await;
                Err(self.cx.masked(error.to_string()))
            }
            ChangeResult::Failed(failure) => Err(self.cx.masked(failure.message)),
            ChangeResult::Broken(error) => Err(self.cx.masked(error.to_string())),
            ChangeResult::NotRecorded(why) => Err(why),
        }
    }
}

//! A browser session of a person: rotord logs in, and the person works in the application without seeing the password.
//!
//! The account is held meanwhile as by a look: a rotation waits, and a second session is refused. Start and end are on record.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Attempt;
use super::context::AttemptContext;
use super::request::{Request, RotationResult, unknown_account};
use super::watch::Watch;
use crate::daemon::core::Core;
use crate::daemon::limits::Work;
use crate::executor::DeviceError;
use crate::executor::web::{Handed, SessionRequest};
use crate::model::{AccountName, Actor, AttemptKind, EventKind, Outcome, Trigger, in_words};
use crate::rotation::Phase;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct BrowseRequest {
    /// The account that logs in.
    pub account: AccountName,
    /// Who gets the browser.
    pub actor: Actor,
    /// Why, in the words of who asks.
    pub reason: Option<String>,
    /// How long it lasts at the most.
    pub lasts: Duration,
}

/// A session that has begun.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The attempt's id.
    pub attempt: String,
    /// What the person is told.
    pub asked: String,
    /// When it ends at the latest, in milliseconds since 1970.
    pub until_ms: i64,
}

impl Core {
    /// Logs in to a web application and hands the browser over. `opened` is told when the person may look into it. Returns when the
    /// session is over: at its time, when the person ends it, when `gone` returns, when the browser breaks or the daemon stops.
    pub async fn browse(
        self: &Arc<Self>,
        asked: BrowseRequest,
        opened: oneshot::Sender<Opened>,
        gone: impl Future<Output = ()> + Send,
    ) -> RotationResult {
        let BrowseRequest { account, actor, reason, lasts } = asked;
        let uid = actor.uid;
        let request = Request {
            actor: Some(actor),
            reason,
            kind: AttemptKind::Browse,
            ..Request::of(account.clone(), Trigger::Command)
        };
        let config = self.config();
        let Some(found) = config.accounts.get(&account).cloned() else { return unknown_account(&request) };
        let is_web = found.device.web().is_some();
        let mut attempt = Attempt::new(AttemptContext::new(self, config, found, request));
        let cx = attempt.cx.clone();
        if !is_web {
            let why = format!("{} is no web device; browser sessions are for those", cx.account.device.name);
            return attempt.refuse(why, false).await;
        }
        let Some(hold) = self.limits.hold(&cx.holder(), Work::Looks) else {
            return attempt.refuse(self.limits.told(&account), false).await;
        };
        if !matches!(self.phase(&account).await, Ok(None | Some(Phase::Idle))) {
            let why = format!("it is not known yet which password it has; see 'rotorctl explain {account}'");
            return attempt.refuse(why, false).await;
        }
        let session = attempt.browse((uid, lasts), opened, gone);
        let result = Box::pin(cx.keeping_steps(session)).await;
        hold.release(&result);
        result
    }
}

impl Attempt {
    async fn browse(
        &mut self,
        (uid, lasts): (u32, Duration),
        opened: oneshot::Sender<Opened>,
        gone: impl Future<Output = ()> + Send,
    ) -> RotationResult {
        if let Err(why) = self.begin_session(lasts).await {
            return self.conclude(Outcome::Failed, &why, &why).await;
        }
        let handed = match self.open_session(uid, lasts).await {
            Ok(handed) => handed,
            Err(error) => {
                self.note_failed_login(&error).await;
                let why = self.cx.masked(error.to_string());
                return self.conclude(Outcome::Failed, &why, &why).await;
            }
        };
        let since = self.cx.core.clock.now();
        let live = handed.live();
        let told = Opened { attempt: self.cx.id.to_string(), asked: live.asked.clone(), until_ms: live.until_ms };
        self.cx.step(format!("logged in; the browser is handed over for {} at the most", in_words(millis(lasts))));
        let why = if opened.send(told).is_err() {
            "whoever asked is gone"
        } else {
            tokio::select! {
                biased;
                () = handed.ended() => "the person ended it",
                () = gone => "whoever asked is gone",
                () = self.cx.core.clock.sleep(lasts) => "its time is over",
                () = handed.gone() => "the browser is gone",
                () = self.cx.core.stopped() => "the daemon is stopping",
            }
        };
        drop(handed);
        let lasted = self.cx.core.clock.now().since(&since);
        let detail = format!("{why}, after {}", in_words(lasted));
        self.cx.step(format!("the browser is closed: {detail}"));
        self.conclude(Outcome::Done, &detail, &detail).await
    }

    /// Puts the start on record, before any secret is used.
    async fn begin_session(&self, lasts: Duration) -> Result<(), String> {
        self.cx.log.begin();
        let (row, now) = (self.cx.open_row(self.cx.log.steps()), self.cx.core.clock.now());
        let draft =
            self.cx.draft(EventKind::BrowseStart).detail(format!("for {} at the most", in_words(millis(lasts))));
        let saved = self.cx.core.vault.call(move |tx| {
            tx.save_attempt(&row)?;
            tx.audit(&draft, &now)
        });
        saved.await.map_err(|error| error.to_string())
    }

    async fn open_session(&mut self, uid: u32, lasts: Duration) -> Result<Handed, DeviceError> {
        // Passwords and seeds are needed by others as soon as the login is over; the session keeps its own room.
        let Some(_room) = self.cx.room(self.urgency()).await else {
            return Err(DeviceError::NotCommitted("the daemon is stopping".into()));
        };
        let cx = self.cx.clone();
        let request = SessionRequest { config: &cx.config, account: &cx.account, lasts, uid };
        let watch = Watch::over(self);
        let handed = cx.core.executors.web.hand_over(&request, &watch).await;
        let heard = watch.into_heard();
        self.take_in(heard);
        handed
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

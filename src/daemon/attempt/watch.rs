//! An attempt as the executor at work for it sees it.

use std::sync::{Arc, Mutex};

use super::Attempt;
use super::context::{AttemptContext, Mode};
use super::shared::lock;
use crate::clock::Waiting;
use crate::config::Account;
use crate::daemon::slots::Urgency;
use crate::executor::{DeviceError, Observer, SessionSlot};
use crate::model::{EventKind, Masker, Secret};
use crate::policy::Breaker;
use crate::rotation::{Event, HelperRole};
use crate::vault::{Kind, Screenshot};

/// What an executor has told that the attempt takes in once it is done.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) flaws: Vec<String>,
    pub(super) entered: bool,
    pub(super) stopped_short: bool,
}

/// Observes an executor for an attempt. While it is there the attempt is its own: what has to be durable goes through the machine.
pub(super) struct Watch<'a> {
    cx: Arc<AttemptContext>,
    urgency: Urgency,
    attempt: tokio::sync::Mutex<&'a mut Attempt>,
    heard: Mutex<Heard>,
}

impl<'a> Watch<'a> {
    pub(super) fn over(attempt: &'a mut Attempt) -> Self {
        Self {
            cx: attempt.cx.clone(),
            urgency: attempt.urgency(),
            attempt: tokio::sync::Mutex::new(attempt),
            heard: Mutex::default(),
        }
    }

    pub(super) fn into_heard(self) -> Heard {
        self.heard.into_inner().unwrap_or_default()
    }
}

impl Observer for Watch<'_> {
    fn step(&self, text: String) {
        self.cx.step(text);
    }

    fn leaves(&self, secret: &Secret) {
        self.cx.log.hide(secret);
    }

    fn learn(&self, known: &Masker) -> Masker {
        self.cx.log.learn(known)
    }

    fn entered(&self) {
        lock(&self.heard).entered = true;
    }

    fn logged_in(&self) -> Waiting<'_, Result<(), String>> {
        Box::pin(async {
            if self.cx.mode == Mode::Rehearse {
                return Ok(());
            }
            self.attempt.lock().await.feed(Event::LoggedIn).await.map(drop)
        })
    }

    fn commit_point(&self) -> Waiting<'_, Result<(), DeviceError>> {
        Box::pin(async {
            if self.cx.mode == Mode::Rehearse {
                lock(&self.heard).stopped_short = true;
                self.step("commit point: stopped here; the new password was not sent".into());
                return Err(DeviceError::NotCommitted("a rehearsal ends at the commit point".into()));
            }
            let fed = self.attempt.lock().await.feed(Event::AtCommitPoint).await;
            fed.map_err(DeviceError::NotCommitted)?;
            self.step("commit point: the new password is in the vault and leaves now".into());
            Ok(())
        })
    }

    fn waits_for_person<'a>(&'a self, asked: &'a str) -> Waiting<'a, ()> {
        Box::pin(async move {
            let name = &self.cx.account.name;
            self.step(format!("waiting for a person: {asked}; 'rotorctl browser {name}' shows the page"));
            let draft = self.cx.draft(EventKind::RunWaiting).detail(self.cx.masked(asked));
            if let Err(error) = self.cx.core.audit(draft).await {
                tracing::error!(account = %name, %error, "{name}: that it waits for a person is not on record: {error}");
            }
        })
    }

    fn waited_for_person<'a>(&'a self, how: &'a str) -> Waiting<'a, ()> {
        Box::pin(async move {
            let name = &self.cx.account.name;
            self.step(format!("it waits for a person no more: {how}"));
            let draft = self.cx.draft(EventKind::RunWaited).detail(self.cx.masked(how));
            if let Err(error) = self.cx.core.audit(draft).await {
                tracing::error!(account = %name, %error, "{name}: that it waits for a person no more is not on record: {error}");
            }
        })
    }

    fn attempt(&self) -> Option<Arc<str>> {
        Some(self.cx.id.clone())
    }

    fn picture(&self, jpeg: Vec<u8>) -> Waiting<'_, ()> {
        Box::pin(async move {
            let (now, name) = (self.cx.core.clock.now(), self.cx.account.name.clone());
            let Some(kept) = Screenshot::of(&self.cx.id, now.wall_ms, &jpeg).to_secret() else { return };
            let saved = self.cx.core.vault.call(move |tx| tx.set_secret(&name, &Kind::Screenshot, &kept, &now));
            let name = &self.cx.account.name;
            match saved.await {
                Ok(()) => {
                    self.step(format!("'rotorctl history {name} --screenshot FILE' writes what the page looked like"))
                }
                Err(error) => tracing::warn!(account = %name, %error, "{name}: a screenshot is not stored: {error}"),
            }
        })
    }

    fn flaw(&self, why: &str) {
        self.step(format!("the login works, but {why}"));
        lock(&self.heard).flaws.push(why.to_owned());
    }

    fn may_help<'a>(&'a self, account: &'a Account, role: HelperRole) -> Waiting<'a, Result<(), DeviceError>> {
        Box::pin(self.cx.core.may_help(account, role))
    }

    fn try_slot(&self) -> Option<SessionSlot> {
        let devices = self.cx.config.way_to(&self.cx.account.device);
        let reserved = lock(&self.cx.reserved).take();
        reserved.or_else(|| self.cx.core.limits.try_sessions(&devices, self.urgency)).map(SessionSlot::new)
    }

    fn slot(&self) -> Waiting<'_, SessionSlot> {
        Box::pin(async { SessionSlot::new(self.cx.sessions(self.urgency).await) })
    }

    fn may_connect(&self) -> Result<(), DeviceError> {
        self.cx.held_back(Breaker::may_try)
    }

    fn given_up(&self) -> Waiting<'_, ()> {
        Box::pin(self.cx.core.stopped())
    }

    fn cancelled(&self) -> Waiting<'_, ()> {
        Box::pin(async {
            if self.cx.mode != Mode::Rehearse {
                self.cx.core.stopped().await;
                // What is being made durable now is made durable first.
                let mut attempt = self.attempt.lock().await;
                if attempt.rotation.phase().is_before_commit() {
                    attempt.ending.cancelled = true;
                    return;
                }
            }
            std::future::pending().await
        })
    }
}

//! What stands fixed for an attempt: who asks for what, with which account and template, under which config.

use std::sync::Arc;
use std::time::Duration;

use super::request::{Progress, Request};
use super::shared::{Reserved, StepLog};
use crate::audit::Draft;
use crate::config::{Account, Config};
use crate::daemon::core::Core;
use crate::daemon::limits::Holder;
use crate::daemon::metrics::Part;
use crate::executor::{DeviceError, GivenSecrets};
use crate::model::{AccountName, AttemptKind, EventKind, Step};
use crate::policy::Breaker;
use crate::template::Checked;

/// What an attempt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// The password is changed.
    Rotate,
    /// It is set through the reconcile account.
    Reconcile,
    /// It is found out which password the account has.
    Recover,
    /// It is looked whether the stored password works.
    Verify,
    /// A template is tried up to its commit point.
    Rehearse,
    /// The password is changed, and a person leads the dialogue.
    Record,
    /// A person gets a browser that is logged in.
    Browse,
}

impl Mode {
    fn of(kind: AttemptKind) -> Self {
        match kind {
            AttemptKind::Rotate => Self::Rotate,
            AttemptKind::Reconcile => Self::Reconcile,
            AttemptKind::Recover => Self::Recover,
            AttemptKind::Verify => Self::Verify,
            AttemptKind::Rehearse => Self::Rehearse,
            AttemptKind::Browse => Self::Browse,
        }
    }
}

/// A fresh id: the time and 32 random bits.
pub(super) fn new_id(core: &Core, wall_ms: i64) -> String {
    let mut bytes = [0u8; 4];
    // Without randomness the time alone tells attempts apart well enough; keys never come from here.
    let _ = (core.world.random)(&mut bytes);
    format!("{wall_ms:x}-{}", data_encoding::HEXLOWER.encode(&bytes))
}

/// When an attempt began, as its id tells, in milliseconds since 1970.
pub(super) fn began(id: &str) -> Option<i64> {
    i64::from_str_radix(id.split_once('-')?.0, 16).ok()
}

/// What stands fixed for an attempt, and what it shares with those that run beside it.
pub(super) struct AttemptContext {
    pub(super) core: Arc<Core>,
    pub(super) config: Arc<Config>,
    pub(super) account: Arc<Account>,
    /// The account that logs in for the change.
    pub(super) login: Arc<Account>,
    pub(super) template: Arc<Checked>,
    /// Secrets of an account that is being added, in place of what is stored.
    pub(super) given: Option<GivenSecrets>,
    pub(super) request: Request,
    pub(super) mode: Mode,
    pub(super) id: Arc<str>,
    pub(super) started: i64,
    pub(super) log: StepLog,
    /// Sessions that were waited for, for the next login.
    pub(super) reserved: Reserved,
}

impl AttemptContext {
    pub(super) fn new(core: &Arc<Core>, config: Arc<Config>, account: Arc<Account>, request: Request) -> Self {
        let mode = Mode::of(request.kind);
        let reconciles = mode == Mode::Reconcile;
        let login = if reconciles { account.reconcile_as.clone() } else { None };
        let login = login.unwrap_or_else(|| config.login_account(&account));
        let login = config.accounts.get(&login).cloned().unwrap_or_else(|| account.clone());
        let template = account.template.reconcile().filter(|_| reconciles).unwrap_or(&account.template).clone();
        let started = core.clock.now().wall_ms;
        Self {
            core: core.clone(),
            config,
            account,
            login,
            template,
            given: None,
            request,
            mode,
            id: new_id(core, started).into(),
            started,
            log: StepLog::default(),
            reserved: Reserved::default(),
        }
    }

    /// Whether the account logs in itself.
    pub(super) fn is_own_login(&self) -> bool {
        self.login.name == self.account.name
    }

    /// A text without any secret of this attempt, as it may go on record.
    pub(super) fn masked(&self, text: impl Into<String>) -> String {
        self.log.masked(text)
    }

    /// Something happened.
    pub(super) fn step(&self, text: String) {
        let text = self.masked(text);
        let step = Step { at: self.core.clock.now().wall_ms, text };
        let (account, device) = (&self.account.name, &self.account.device.name);
        tracing::debug!(%account, %device, attempt = %self.id, "{account}: {}", step.text);
        if self.core.progress.receiver_count() > 0 {
            let (attempt, account) = (self.id.clone(), self.account.name.clone());
            let progress = Progress { attempt, account, step: step.clone(), ended: None };
            drop(self.core.progress.send(progress));
        }
        self.log.push(step);
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
        let may = may(&mut self.core.guards.breaker(), &self.account.name, now);
        may.map_err(|free_in_ms| DeviceError::HeldBack { free_in_ms })
    }

    pub(super) fn draft(&self, event: EventKind) -> Draft {
        Draft {
            event,
            account: Some(self.account.name.clone()),
            device: Some(self.account.device.name.clone()),
            job: self.request.job.clone(),
            trigger: Some(self.request.trigger),
            actor: self.request.actor.clone(),
            reason: self.request.reason.as_ref().map(|reason| self.masked(reason.clone())),
            attempt: Some(self.id.clone()),
            outcome: None,
            detail: None,
        }
    }

    /// This attempt, as others that want its account hear of it.
    pub(super) fn holder(&self) -> Holder {
        Holder { account: self.account.name.clone(), kind: self.request.kind, attempt: self.id.clone() }
    }

    /// Says that this attempt waits for another one of its account, which changes nothing.
    pub(super) fn wait_for_look(&self, other: &Holder) {
        self.step(format!("waiting: {}", other.told()));
    }

    /// A device whose connection was cut in the middle of a change may be at it still: looked at too soon, it would
    /// refuse the new password, and then the old one.
    pub(super) async fn let_the_device_finish(&self) {
        self.core.clock.sleep(Duration::from_secs(2)).await;
    }

    /// Does a part of the work, and measures how long it takes.
    pub(super) async fn timed<T>(&self, part: Part, work: impl Future<Output = T>) -> T {
        let begun = self.core.clock.now();
        let done = Box::pin(work).await;
        self.core.metrics.part(part, self.core.clock.now().since(&begun));
        done
    }
}

//! What is asked of an attempt, and what is told of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::{AccountName, Actor, AttemptKind, Outcome, Step, Trigger};

/// Somebody wants an account's password changed.
#[derive(Debug, Clone)]
pub struct Request {
    /// The account.
    pub account: AccountName,
    /// What is asked for.
    pub kind: AttemptKind,
    /// What asks.
    pub trigger: Trigger,
    /// Who asks; `None` for rotord itself.
    pub actor: Option<Actor>,
    /// The job that asks.
    pub job: Option<Arc<str>>,
    /// Why, in the words of who asks.
    pub reason: Option<String>,
    /// Accounts asked for together with this one: whoever asks sees to it that they change after their parents.
    pub beside: Arc<BTreeSet<AccountName>>,
}

impl Request {
    /// A request of rotord's own, for no job and without a reason.
    #[must_use]
    pub fn of(account: AccountName, trigger: Trigger) -> Self {
        let kind = match trigger {
            Trigger::Recovery => AttemptKind::Recover,
            Trigger::Reconcile => AttemptKind::Reconcile,
            _ => AttemptKind::Rotate,
        };
        Self { account, kind, trigger, actor: None, job: None, reason: None, beside: Arc::default() }
    }

    /// Whether nobody waits for it.
    pub(super) fn is_by_itself(&self) -> bool {
        self.actor.is_none() && self.trigger != Trigger::Command
    }
}

/// How it ended.
#[derive(Debug, Clone)]
pub struct RotationResult {
    /// The account.
    pub account: AccountName,
    /// What it was for.
    pub kind: AttemptKind,
    /// How.
    pub outcome: Outcome,
    /// The attempt's id.
    pub attempt: String,
    /// In words.
    pub detail: String,
    /// What is not clean about it though it succeeded.
    pub warning: Option<String>,
    /// Whether a login of it proved the password that the account came to rest with.
    pub proved: bool,
    /// What happened.
    pub steps: Arc<[Step]>,
}

/// A step of an attempt, as it happens.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The attempt's id.
    pub attempt: Arc<str>,
    /// The account.
    pub account: AccountName,
    /// The step; with `ended`, how it ended in words.
    pub step: Step,
    /// Set on the last one of an attempt.
    pub ended: Option<Outcome>,
}

/// The end of a request for an account that the config does not have.
pub(super) fn unknown_account(request: &Request) -> RotationResult {
    RotationResult {
        account: request.account.clone(),
        kind: request.kind,
        outcome: Outcome::Refused,
        attempt: String::new(),
        detail: "there is no such account in the config".into(),
        warning: None,
        proved: false,
        steps: Arc::default(),
    }
}

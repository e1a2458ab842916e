//! Work on many accounts that is asked for at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;

use super::attempt::{Request, RotationResult};
use super::core::Core;
use super::line::AT_ONCE;
use crate::model::{AccountName, Actor, Outcome, Trigger};

/// What is done with each account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchTask {
    /// Its password is changed.
    Rotate,
    /// It is looked whether the stored password works.
    Verify,
    /// It is given a new one through its reconcile account.
    Reconcile,
}

impl Core {
    /// Works on accounts at once, those that change after others when those are done; the daemon's limits say how many
    /// really run. The results come in the order of the accounts' names; `count` is how many of them there are by now.
    pub async fn work_on(
        self: &Arc<Self>,
        names: Vec<AccountName>,
        task: BatchTask,
        actor: Actor,
        reason: Option<String>,
        count: Arc<AtomicU64>,
    ) -> Vec<RotationResult> {
        let config = self.config();
        let beside: Arc<BTreeSet<AccountName>> = Arc::new(names.into_iter().collect());
        let mut finished: Vec<RotationResult> = Vec::new();
        for rank in config.ranks(&beside) {
            let mut tasks = JoinSet::new();
            for account in by_turns(rank) {
                // As many as may find a session, and more that wait for codes; the others are names until then.
                if tasks.len() >= AT_ONCE.max(2 * config.daemon.max_concurrent) {
                    finished.extend(tasks.join_next().await.and_then(Result::ok));
                }
                let parent = config.accounts.get(&account).and_then(|account| account.after.as_ref());
                let in_vain = parent.and_then(|parent| waits_in_vain(parent, &finished));
                let (actor, reason, beside) = (Some(actor.clone()), reason.clone(), beside.clone());
                let request = Request { actor, reason, beside, ..Request::of(account, Trigger::Command) };
                let (core, count) = (self.clone(), count.clone());
                tasks.spawn(async move {
                    let result = core.do_task(task, request, in_vain).await;
                    count.fetch_add(1, Ordering::Relaxed);
                    result
                });
            }
            finished.extend(tasks.join_all().await);
        }
        finished.sort_by(|a, b| a.account.cmp(&b.account));
        finished
    }

    async fn do_task(self: &Arc<Self>, task: BatchTask, request: Request, in_vain: Option<String>) -> RotationResult {
        let account = request.account.clone();
        match (task, in_vain) {
            (BatchTask::Rotate, Some(why)) => self.refuse(request, why).await,
            (BatchTask::Rotate, None) => self.rotate(request).await,
            (BatchTask::Reconcile, _) => self.reconcile(&account, request.actor, request.reason).await,
            (BatchTask::Verify, _) => self.verify(&account, request.actor, request.reason).await,
        }
    }
}

/// Accounts in an order in which each device has its turn, so that those of a slow one come last.
fn by_turns(accounts: Vec<AccountName>) -> Vec<AccountName> {
    let mut turns: BTreeMap<String, usize> = BTreeMap::new();
    let mut all: Vec<(usize, AccountName)> = Vec::with_capacity(accounts.len());
    for account in accounts {
        let turn = turns.entry(account.device_str().to_owned()).or_default();
        all.push((*turn, account));
        *turn += 1;
    }
    all.sort_by_key(|(turn, _)| *turn);
    all.into_iter().map(|(_, account)| account).collect()
}

/// Why an account that changes after this one is not changed, where this one was to be and was not.
fn waits_in_vain(parent: &AccountName, finished: &[RotationResult]) -> Option<String> {
    let failed = finished.iter().find(|result| result.account == *parent && result.outcome != Outcome::Done)?;
    Some(format!("it changes after {}, which was not changed", failed.account))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AttemptKind;

    #[test]
    fn each_device_has_its_turn_in_a_batch() {
        let names = |list: &[&str]| list.iter().map(|text| AccountName::parse(text).unwrap()).collect::<Vec<_>>();
        let turns = by_turns(names(&["a/1", "a/2", "a/3", "b/1", "c/1", "c/2"]));
        assert_eq!(turns, names(&["a/1", "b/1", "c/1", "a/2", "c/2", "a/3"]));
    }

    #[test]
    fn who_changes_after_an_account_that_was_not_changed_waits_in_vain() {
        let name = |text: &str| AccountName::parse(text).unwrap();
        let result = |account: &str, outcome| RotationResult {
            account: name(account),
            kind: AttemptKind::Rotate,
            outcome,
            attempt: String::new(),
            detail: String::new(),
            warning: None,
            proved: false,
            steps: Arc::default(),
        };
        let finished = [result("web1/a", Outcome::Done), result("web1/b", Outcome::Failed)];
        assert_eq!(waits_in_vain(&name("web1/a"), &finished), None);
        let why = waits_in_vain(&name("web1/b"), &finished).unwrap();
        assert_eq!(why, "it changes after web1/b, which was not changed");
        // One that nobody asked for now holds up nobody.
        assert_eq!(waits_in_vain(&name("web1/c"), &finished), None);
    }
}

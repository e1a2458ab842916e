//! Refused callers on record: the first refusal at once, those that follow it as one event with their count.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use super::core::Core;
use crate::audit::Draft;
use crate::model::{AccountName, Actor, EventKind};
use crate::vault::VaultError;

/// Those that follow one on record are told of once in so many milliseconds.
const FOLD_MS: i64 = 60_000;
/// So many users and rights are told apart; what others are refused is counted together.
const TOLD_APART: usize = 64;

/// So many accounts are named of those that refusals were about.
const NAMED: usize = 5;

/// What a caller asked for, as far as it goes on record where he is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The account.
    pub(crate) account: Option<AccountName>,
    /// Why, in the caller's words.
    pub(crate) reason: Option<String>,
}

/// Who was refused what he needed a role for.
type Key = (u32, &'static str);

/// What is folded.
#[derive(Debug)]
struct Folded {
    actor: Actor,
    /// When it was told last.
    told_ms: i64,
    /// Refusals since then.
    more: u64,
    /// The accounts that those were about, the first ones.
    accounts: BTreeSet<AccountName>,
}

/// An event to be put on record.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    /// `None` for many users.
    actor: Option<Actor>,
    needed: &'static str,
    /// So many refusals that are not on record yet; 0 for the first one.
    more: u64,
    /// Accounts that they were about, no more than [`NAMED`].
    accounts: BTreeSet<AccountName>,
    /// Why, in the caller's words, of the first one.
    reason: Option<String>,
}

impl Told {
    fn draft(&self) -> Draft {
        let needed = match self.actor {
            Some(_) if self.needed.is_empty() => "a role was needed".to_owned(),
            Some(_) => format!("role {} was needed", self.needed),
            None => "many users were refused at once".to_owned(),
        };
        let about: Vec<&str> = self.accounts.iter().map(AccountName::as_str).collect();
        let about = if about.len() > 1 { format!(", for {}", about.join(", ")) } else { String::new() };
        let detail = match self.more {
            0 => needed,
            more => format!("{needed}; refused {more} more times since then{about}"),
        };
        let account = self.accounts.first().filter(|_| self.accounts.len() == 1).cloned();
        Draft {
            device: account.as_ref().map(AccountName::device),
            account,
            actor: self.actor.clone(),
            reason: self.reason.clone(),
            ..Draft::new(EventKind::AccessDenied).detail(detail)
        }
    }
}

/// Refusals that are folded.
#[derive(Debug, Default)]
struct Fold {
    known: HashMap<Key, Folded>,
    /// Those of users beyond [`TOLD_APART`], and when they were told last.
    others: (u64, i64),
}

impl Fold {
    /// Takes note of a refusal; it is told at once where it is the first for a while.
    fn note(&mut self, actor: &Actor, needed: &'static str, asked: Asked, now_ms: i64) -> Option<Told> {
        let key = (actor.uid, needed);
        if let Some(folded) = self.known.get_mut(&key) {
            folded.more += 1;
            if folded.accounts.len() < NAMED {
                folded.accounts.extend(asked.account);
            }
            return None;
        }
        if self.known.len() >= TOLD_APART {
            self.others.0 += 1;
            return None;
        }
        let folded = Folded { actor: actor.clone(), told_ms: now_ms, more: 0, accounts: BTreeSet::new() };
        self.known.insert(key, folded);
        let accounts = asked.account.into_iter().collect();
        Some(Told { actor: Some(actor.clone()), needed, more: 0, accounts, reason: asked.reason })
    }

    /// What is to be told by now; with `all`, everything that is not on record.
    fn due(&mut self, now_ms: i64, all: bool) -> Vec<Told> {
        let mut told = Vec::new();
        self.known.retain(|(_, needed), folded| {
            if !all && now_ms - folded.told_ms < FOLD_MS {
                return true;
            }
            if folded.more == 0 {
                return false;
            }
            let (actor, accounts) = (Some(folded.actor.clone()), std::mem::take(&mut folded.accounts));
            told.push(Told { actor, needed, more: folded.more, accounts, reason: None });
            (folded.more, folded.told_ms) = (0, now_ms);
            true
        });
        let (more, told_ms) = self.others;
        if more > 0 && (all || now_ms - told_ms >= FOLD_MS) {
            told.push(Told { actor: None, needed: "", more, accounts: BTreeSet::new(), reason: None });
            self.others = (0, now_ms);
        }
        told
    }

    /// It could not be put on record: it is counted still.
    fn give_back(&mut self, told: &Told) {
        match &told.actor {
            None => self.others.0 += told.more,
            Some(actor) => match self.known.get_mut(&(actor.uid, told.needed)) {
                Some(folded) => {
                    folded.more += told.more.max(1);
                    folded.accounts.extend(told.accounts.iter().cloned());
                }
                None => self.others.0 += told.more.max(1),
            },
        }
    }
}

/// Refusals since the daemon began.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Fold>);

impl Refusals {
    fn with<T>(&self, act: impl FnOnce(&mut Fold) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Core {
    /// Takes note that somebody was refused for want of a role, which is empty where he has none at all.
    ///
    /// # Errors
    /// The vault or the log failed.
    pub(crate) async fn refused_access(
        &self,
        actor: &Actor,
        needed: &'static str,
        asked: Asked,
    ) -> Result<(), VaultError> {
        let now = self.clock.now().since_boot_ms;
        match self.refusals.with(|fold| fold.note(actor, needed, asked, now)) {
            Some(told) => self.tell_refusal(told).await,
            None => Ok(()),
        }
    }

    async fn tell_refusal(&self, told: Told) -> Result<(), VaultError> {
        let result = self.audit(Draft { attempt: Some(self.fresh_id().into()), ..told.draft() }).await;
        if result.is_err() {
            self.refusals.with(|fold| fold.give_back(&told));
        }
        result
    }

    /// Puts on record how many refusals followed those that are; with `all`, up to this moment.
    pub(crate) async fn tell_refusals(&self, all: bool) {
        let now = self.clock.now().since_boot_ms;
        for told in self.refusals.with(|fold| fold.due(now, all)) {
            if let Err(error) = self.tell_refusal(told).await {
                tracing::error!(%error, "refused callers are not on record yet: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(uid: u32) -> Actor {
        Actor { uid, name: format!("u{uid}"), pid: 1 }
    }

    fn about(account: &str) -> Asked {
        Asked { account: AccountName::parse(account).ok(), reason: None }
    }

    #[test]
    fn a_few_accounts_are_named_and_the_first_one_s_reason() {
        let mut fold = Fold::default();
        let asked = Asked { reason: Some("ticket 1".into()), ..about("web1/ada") };
        let first = fold.note(&actor(7), "custodian", asked, 0).unwrap().draft();
        assert_eq!((first.account.unwrap().as_str(), first.reason.as_deref()), ("web1/ada", Some("ticket 1")));
        for user in 0..100 {
            assert!(fold.note(&actor(7), "custodian", about(&format!("web1/u{user}")), 1).is_none());
        }
        let told = fold.due(60_000, false).pop().unwrap();
        assert_eq!(told.accounts.len(), NAMED);
        assert!(told.draft().account.is_none() && told.draft().detail.unwrap().contains(", for web1/u0, web1/u1"));
    }

    #[test]
    fn those_that_follow_are_one_event_a_minute_and_none_is_lost() {
        let mut fold = Fold::default();
        assert!(fold.note(&actor(7), "operator", about("web1/ada"), 0).is_some());
        for now in 1..1000 {
            assert_eq!(fold.note(&actor(7), "operator", about("web1/ada"), now), None);
        }
        assert!(fold.note(&actor(7), "custodian", about("web1/ada"), 1000).is_some(), "another right is another event");
        assert!(fold.due(59_000, false).is_empty());
        let told = fold.due(60_000, false);
        let accounts = BTreeSet::from([AccountName::parse("web1/ada").unwrap()]);
        assert_eq!(told, [Told { actor: Some(actor(7)), needed: "operator", more: 999, accounts, reason: None }]);
        let draft = told[0].draft();
        assert_eq!(draft.account.unwrap().as_str(), "web1/ada");
        assert!(draft.detail.unwrap().contains("refused 999 more times"));
        assert_eq!(fold.note(&actor(7), "operator", about("web1/ada"), 60_001), None);
        assert!(fold.due(60_002, false).is_empty());
        assert_eq!(fold.due(60_003, true)[0].more, 1, "the stop leaves nothing out");
        assert!(fold.due(130_000, false).is_empty() && fold.known.is_empty(), "and then it is forgotten");
        assert!(fold.note(&actor(7), "operator", about("web1/ada"), 130_001).is_some());
    }

    #[test]
    fn many_users_fill_neither_log_nor_memory() {
        let mut fold = Fold::default();
        let mut events = 0;
        for now in 0..600_000_i64 {
            events += usize::from(
                fold.note(&actor(u32::try_from(now % 65_536).unwrap()), "", Asked::default(), now / 10).is_some(),
            );
            events += if now % 1000 == 0 { fold.due(now / 10, false).len() } else { 0 };
        }
        assert!(events <= 2 * TOLD_APART + 2, "{events}");
        let last = fold.due(60_000, true);
        assert!(last.iter().any(|told| told.actor.is_none() && told.more > 100_000));
    }

    #[test]
    fn what_could_not_be_written_is_counted_still() {
        let mut fold = Fold::default();
        let first = fold.note(&actor(7), "viewer", about("web1/ada"), 0).unwrap();
        fold.give_back(&first);
        assert_eq!(fold.due(60_000, false)[0].more, 1);
    }
}

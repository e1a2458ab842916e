//! How things stand, looked at every few seconds: what begins or ends to be wrong becomes an event of the audit log.
//!
//! What is told is decided by [`Seen::changes`] from facts alone; the loop around it gathers the facts and writes the events. What
//! cannot be written, since the vault fails, is written once it can be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::core::Core;
use super::overview::{DOUBT_LASTS_MS, Overview};
use crate::audit::{Draft, Event, before_last, before_time, each_after};
use crate::clock::host_is_synchronised;
use crate::model::{AccountName, EventKind, rfc3339};
use crate::policy::DAY_MS;
use crate::vault::VaultError;

/// How often it is looked for what is wrong.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often all accounts are looked at, where nothing happens.
const ACCOUNTS_EVERY: Duration = Duration::from_secs(60);
/// So soon they are where something does: more may follow at once.
const SETTLE: Duration = Duration::from_millis(500);
/// A look at all accounts takes this part of the time at the most.
const SHARE: u32 = 20;
/// The log is searched for a backup so much further back than one may be old.
const BACKUP_SLACK_MS: i64 = DAY_MS;
/// Events that wait for the vault, at the most.
const MOST_PENDING: usize = 10_000;

/// How things stand.
#[derive(Debug, Clone, Default)]
struct Facts {
    now_ms: i64,
    /// Accounts whose password is overdue.
    overdue: BTreeSet<AccountName>,
    /// Accounts in doubt, and since when.
    in_doubt: BTreeMap<AccountName, i64>,
    /// What is wrong, in words.
    wrong: BTreeMap<Trouble, String>,
}

/// What may be wrong with the daemon or its host, apart from single accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    Vault,
    Escrow,
    Circuit,
    Clock,
    Backup,
}

impl Trouble {
    const ALL: [Self; 5] = [Self::Vault, Self::Escrow, Self::Circuit, Self::Clock, Self::Backup];

    fn begins(self) -> EventKind {
        match self {
            Self::Vault => EventKind::VaultFailed,
            Self::Escrow => EventKind::EscrowFailed,
            Self::Circuit => EventKind::CircuitOpened,
            Self::Clock => EventKind::ClockWrong,
            Self::Backup => EventKind::BackupOverdue,
        }
    }

    /// A backup that is made is an event already.
    fn ends(self) -> Option<EventKind> {
        match self {
            Self::Vault => Some(EventKind::VaultWorks),
            Self::Escrow => Some(EventKind::EscrowWorks),
            Self::Circuit => Some(EventKind::CircuitClosed),
            Self::Clock => Some(EventKind::ClockRight),
            Self::Backup => None,
        }
    }
}

/// What was seen in the looks before.
#[derive(Debug, Default)]
struct Seen {
    overdue: BTreeSet<AccountName>,
    /// Accounts in doubt: since when, and whether that was told.
    in_doubt: BTreeMap<AccountName, (i64, bool)>,
    /// What is wrong, since when.
    wrong: BTreeMap<Trouble, i64>,
}

fn about(kind: EventKind, account: &AccountName, detail: String) -> Draft {
    Draft { account: Some(account.clone()), device: Some(account.device()), ..Draft::new(kind).detail(detail) }
}

impl Seen {
    /// What is to be told of how things stand now; it is seen then.
    fn changes(&mut self, facts: &Facts) -> Vec<Draft> {
        let mut told = self.troubles(facts);
        for account in facts.overdue.difference(&self.overdue) {
            told.push(about(
                EventKind::PasswordOverdue,
                account,
                "the password is older than max_age of its policy".into(),
            ));
        }
        self.overdue.clone_from(&facts.overdue);
        told.extend(self.doubts(facts));
        told
    }

    fn troubles(&mut self, facts: &Facts) -> Vec<Draft> {
        let mut told = Vec::new();
        for trouble in Trouble::ALL {
            match (facts.wrong.get(&trouble), self.wrong.get(&trouble).copied()) {
                (Some(why), None) => {
                    self.wrong.insert(trouble, facts.now_ms);
                    told.push(Draft::new(trouble.begins()).detail(why.clone()));
                }
                (None, Some(since)) => {
                    self.wrong.remove(&trouble);
                    let ends = trouble.ends().map(Draft::new);
                    told.extend(ends.map(|draft| draft.detail(format!("it was wrong since {}", rfc3339(since)))));
                }
                _ => {}
            }
        }
        told
    }

    fn doubts(&mut self, facts: &Facts) -> Vec<Draft> {
        self.in_doubt.retain(|account, _| facts.in_doubt.contains_key(account));
        let mut told = Vec::new();
        for (account, since) in &facts.in_doubt {
            // A look that told nothing begins the phase anew, and does not end the doubt.
            let (since, is_told) = self.in_doubt.entry(account.clone()).or_insert((*since, false));
            if !*is_told && facts.now_ms - *since > DOUBT_LASTS_MS {
                *is_told = true;
                let detail = format!("since {} it is not known which password it has", rfc3339(*since));
                told.push(about(EventKind::AccountDoubtful, account, detail));
            }
        }
        told
    }
}

/// The accounts that were overdue at a time.
fn overdue_at(overview: &Overview, wall_ms: i64) -> BTreeSet<AccountName> {
    overview.accounts.iter().filter(|it| it.is_overdue(wall_ms)).map(|it| it.name.clone()).collect()
}

impl Core {
    /// When the last backup was made, in milliseconds since 1970, as far as the last days' events tell.
    #[must_use]
    pub fn last_backup(&self) -> Option<i64> {
        *self.last_backup.borrow()
    }

    /// Looks at how things stand until the daemon stops.
    pub(super) async fn watch_conditions(self: Arc<Self>) {
        let (mut adoptions, mut appended) = (self.adoptions(), self.vault.appended());
        let mut watch = Watch::begin(&self).await;
        loop {
            let next = watch.accounts_at.min(watch.conditions_at);
            tokio::select! {
                biased;
                () = self.stopped() => return,
                _ = adoptions.changed() => watch.accounts_at = Instant::now(),
                changed = appended.changed(), if !watch.is_behind => match changed {
                    Ok(()) => watch.something_happened(),
                    Err(_) => return,
                },
                // It is on record as soon as it is told of.
                _ = self.vault_hangs(), if !watch.seen.wrong.contains_key(&Trouble::Vault) => {
                    watch.conditions_at = Instant::now();
                    watch.look(&self).await;
                }
                () = tokio::time::sleep_until(next) => watch.look(&self).await,
            }
        }
    }
}

/// The loop's state. Times are by the runtime's clock.
struct Watch {
    seen: Seen,
    /// When all accounts are looked at again.
    accounts_at: Instant,
    /// When that may be at the earliest.
    accounts_not_before: Instant,
    /// Something happened since all accounts were looked at.
    is_behind: bool,
    /// When it is looked again for what is wrong.
    conditions_at: Instant,
    /// Events that could not be written yet.
    pending: Vec<Draft>,
    /// The first so many of them are being written.
    writing: Option<JoinHandle<Result<usize, VaultError>>>,
    /// The number up to which the log was searched for backups.
    searched_to: u64,
    /// The search began so far back, in milliseconds.
    searched_ms: i64,
}

impl Watch {
    /// Begins where the daemon left off before it was started: what was overdue then was told.
    async fn begin(core: &Arc<Core>) -> Self {
        let now_ms = core.clock.now().wall_ms;
        let folder = core.vault.audit_folder().to_owned();
        let searched_ms = searched_ms(core);
        let read = move || -> std::io::Result<(u64, Option<i64>)> {
            let begin = before_time(&folder, now_ms - searched_ms)?;
            let (mut before, mut alive) = (None, None);
            each_after(&folder, before_last(&folder, 0, 1000)?, usize::MAX, &mut |line| {
                if let Some(event) = Event::parse(line) {
                    alive = if event.kind == Some(EventKind::DaemonStart) { before } else { alive };
                    before = Some(event.wall_ms);
                }
                Ok(())
            })?;
            Ok((begin, alive))
        };
        let (searched_to, alive) =
            tokio::task::spawn_blocking(read).await.ok().and_then(Result::ok).unwrap_or_default();
        let now = Instant::now();
        let mut watch = Self {
            seen: Seen::default(),
            accounts_at: now,
            accounts_not_before: now,
            is_behind: true,
            conditions_at: now + LOOK_EVERY,
            pending: Vec::new(),
            writing: None,
            searched_to,
            searched_ms,
        };
        watch.look_over(core).await;
        if let Some(overview) = core.overview() {
            watch.seen.overdue = overdue_at(&overview, alive.unwrap_or(now_ms));
        }
        watch
    }

    /// All accounts are looked at soon.
    fn something_happened(&mut self) {
        self.is_behind = true;
        self.accounts_at = self.accounts_at.min(self.accounts_not_before.max(Instant::now() + SETTLE));
    }

    async fn look_over(&mut self, core: &Arc<Core>) {
        self.is_behind = false;
        let looked = tokio::select! {
            looked = core.look_over() => looked.map_err(|error| error.to_string()),
            why = core.vault_hangs() => Err(why),
        };
        let took = looked.unwrap_or_else(|error| {
            tracing::debug!(%error, "the accounts were not looked at: {error}");
            SETTLE
        });
        self.accounts_not_before = Instant::now() + took * SHARE;
        self.accounts_at = self.accounts_not_before.max(Instant::now() + ACCOUNTS_EVERY);
    }

    async fn look(&mut self, core: &Arc<Core>) {
        // What hangs is not asked; that it hangs is told without it.
        let hangs = core.vault.hangs().is_some();
        if self.accounts_at <= Instant::now() && !hangs {
            self.look_over(core).await;
        }
        if hangs {
            self.accounts_at = Instant::now() + SETTLE;
        }
        if self.conditions_at > Instant::now() {
            return;
        }
        self.conditions_at = Instant::now() + LOOK_EVERY;
        if !hangs {
            self.search_backups(core).await;
        }
        let facts = gather(core).await;
        let why = facts.wrong.get(&Trouble::Vault);
        core.vault_failure.send_if_modified(|known| {
            let is_news = known.is_some() != why.is_some();
            *known = why.cloned();
            is_news
        });
        core.backup_is_old.store(facts.wrong.contains_key(&Trouble::Backup), Ordering::Relaxed);
        let fresh = self.seen.changes(&facts);
        self.pending.extend(fresh);
        self.pending.truncate(MOST_PENDING);
        self.write(core).await;
    }

    /// Has the events written that wait. A vault that hangs is not waited for: it has them written once it answers.
    async fn write(&mut self, core: &Arc<Core>) {
        if let Some(writing) = self.writing.take_if(|writing| writing.is_finished()) {
            match writing.await {
                Ok(Ok(written)) => drop(self.pending.drain(..written.min(self.pending.len()))),
                Ok(Err(error)) => tracing::debug!(%error, "events wait until the vault can be written: {error}"),
                Err(error) => tracing::debug!(%error, "events were not written: {error}"),
            }
        }
        if self.pending.is_empty() || self.writing.is_some() {
            return;
        }
        let (drafts, now, core) = (self.pending.clone(), core.clock.now(), core.clone());
        self.writing = Some(tokio::spawn(async move {
            let count = drafts.len();
            core.vault.call(move |tx| drafts.iter().try_for_each(|draft| tx.audit(draft, &now))).await.map(|()| count)
        }));
    }

    /// Takes note of backups that the log tells of.
    async fn search_backups(&mut self, core: &Arc<Core>) {
        let (head, back_ms) = (*core.vault.appended().borrow(), searched_ms(core));
        let goes_back = back_ms > self.searched_ms;
        if self.searched_to >= head && !goes_back {
            return;
        }
        let (folder, mut after) = (core.vault.audit_folder().to_owned(), self.searched_to);
        let from_ms = core.clock.now().wall_ms - back_ms;
        let read = tokio::task::spawn_blocking(move || {
            let mut last = None;
            if goes_back {
                after = before_time(&folder, from_ms)?;
            }
            each_after(&folder, after, usize::MAX, &mut |line| {
                let backup = Event::parse(line).filter(|event| event.kind == Some(EventKind::VaultBackup));
                last = backup.map(|event| event.wall_ms).or(last);
                Ok(())
            })?;
            Ok::<_, std::io::Error>(last)
        });
        if let Ok(Ok(last)) = read.await {
            (self.searched_to, self.searched_ms) = (head, back_ms.max(self.searched_ms));
            core.last_backup.send_if_modified(|known| {
                let is_later = last > *known;
                *known = last.max(*known);
                is_later
            });
        }
    }
}

/// How far back the log is searched for backups, in milliseconds.
fn searched_ms(core: &Core) -> i64 {
    i64::try_from(core.config().backup_max_age.as_millis()).unwrap_or(i64::MAX).saturating_add(BACKUP_SLACK_MS)
}

/// Why the last backup is too old, if it is. Where no password was ever changed, none is needed.
fn backup_trouble(now_ms: i64, max_age: Duration, holds_secrets: bool, last: Option<i64>) -> Option<String> {
    let max_ms = i64::try_from(max_age.as_millis()).unwrap_or(i64::MAX);
    if max_ms == 0 || !holds_secrets || last.is_some_and(|at| now_ms.saturating_sub(at) <= max_ms) {
        return None;
    }
    let days = max_ms / DAY_MS;
    let bound = if days > 0 { format!("{days} days") } else { format!("{} hours", max_ms / (DAY_MS / 24)) };
    let last = last.map_or_else(|| "within that time".to_owned(), |at| format!("since {}", rfc3339(at)));
    Some(format!("one is to be made every {bound} (backup_max_age), and none was made {last}"))
}

/// Gathers how things stand.
async fn gather(core: &Core) -> Facts {
    let now_ms = core.clock.now().wall_ms;
    let mut facts = Facts { now_ms, ..Facts::default() };
    let mut put = |trouble, why: Option<String>| facts.wrong.extend(why.map(|why| (trouble, why)));
    put(Trouble::Vault, core.vault_error().await);
    put(Trouble::Escrow, core.escrow_error().await);
    put(Trouble::Circuit, core.logins_held());
    if let Some(overview) = core.overview() {
        put(Trouble::Clock, core.clock_warning(&overview.skews, host_is_synchronised()));
        let holds_secrets = overview.accounts.iter().any(|account| account.last_change.is_some());
        let since = core.last_backup();
        put(Trouble::Backup, backup_trouble(now_ms, core.config().backup_max_age, holds_secrets, since));
        facts.overdue = overdue_at(&overview, now_ms);
        let in_doubt = overview.accounts.iter().filter_map(|it| Some((it.name.clone(), it.in_doubt_since?)));
        facts.in_doubt = in_doubt.collect();
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> AccountName {
        AccountName::parse(text).unwrap()
    }

    fn kinds(drafts: &[Draft]) -> Vec<EventKind> {
        drafts.iter().map(|draft| draft.event).collect()
    }

    #[test]
    fn what_begins_and_what_ends_to_be_wrong_is_told_once() {
        let mut seen = Seen::default();
        let fine = Facts { now_ms: 1000, ..Facts::default() };
        assert!(seen.changes(&fine).is_empty());
        let all = Trouble::ALL.map(|trouble| (trouble, format!("{trouble:?}")));
        let wrong = Facts { wrong: all.into(), now_ms: 2000, ..Facts::default() };
        use EventKind::*;
        assert_eq!(kinds(&seen.changes(&wrong)), [VaultFailed, EscrowFailed, CircuitOpened, ClockWrong, BackupOverdue]);
        assert!(seen.changes(&wrong).is_empty());
        let ended = seen.changes(&fine);
        assert_eq!(kinds(&ended), [VaultWorks, EscrowWorks, CircuitClosed, ClockRight]);
        assert_eq!(ended[0].detail.as_deref(), Some("it was wrong since 1970-01-01T00:00:02.000Z"));
        assert!(seen.changes(&fine).is_empty());
    }

    #[test]
    fn a_backup_is_too_old_by_the_age_that_the_config_allows() {
        let (week, now) = (Duration::from_secs(7 * 86_400), 100 * DAY_MS);
        let told = |age: Duration, holds_secrets, days: Option<i64>| {
            backup_trouble(now, age, holds_secrets, days.map(|days| now - days * DAY_MS))
        };
        assert_eq!(told(week, true, Some(7)), None);
        let old = told(week, true, Some(8)).unwrap();
        assert!(
            old.contains("every 7 days (backup_max_age)") && old.contains("none was made since 1970-04-0"),
            "{old}"
        );
        assert!(told(week, true, None).unwrap().ends_with("none was made within that time"));
        assert_eq!(told(week, false, None), None);
        assert_eq!(told(week * 4, true, Some(8)), None);
        assert!(told(Duration::from_secs(36_000), true, Some(1)).unwrap().contains("every 10 hours"));
        assert_eq!(told(Duration::ZERO, true, None), None);
    }

    #[test]
    fn a_password_is_told_as_overdue_once_until_it_is_changed() {
        let mut seen = Seen { overdue: [name("web1/old")].into(), ..Seen::default() };
        let both = Facts { overdue: [name("web1/old"), name("web1/ada")].into(), ..Facts::default() };
        let told = seen.changes(&both);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].event, told[0].account.clone()), (EventKind::PasswordOverdue, Some(name("web1/ada"))));
        assert!(seen.changes(&both).is_empty());
        assert!(seen.changes(&Facts::default()).is_empty());
        assert_eq!(seen.changes(&both).len(), 2);
    }

    #[test]
    fn a_doubt_is_told_once_it_has_lasted_an_hour_over_all_its_looks() {
        let mut seen = Seen::default();
        let at = |now_ms: i64, since: i64| Facts {
            now_ms,
            in_doubt: [(name("web1/ada"), since)].into(),
            ..Facts::default()
        };
        assert!(seen.changes(&at(0, 0)).is_empty());
        // A look in between began the phase anew.
        assert!(seen.changes(&at(DOUBT_LASTS_MS, DOUBT_LASTS_MS / 2)).is_empty());
        assert_eq!(kinds(&seen.changes(&at(DOUBT_LASTS_MS + 1, DOUBT_LASTS_MS / 2))), [EventKind::AccountDoubtful]);
        assert!(seen.changes(&at(DOUBT_LASTS_MS * 2, DOUBT_LASTS_MS)).is_empty());
        assert!(seen.changes(&Facts { now_ms: DOUBT_LASTS_MS * 3, ..Facts::default() }).is_empty());
        assert!(seen.changes(&at(DOUBT_LASTS_MS * 3, DOUBT_LASTS_MS * 3)).is_empty(), "another doubt is another hour");
    }
}

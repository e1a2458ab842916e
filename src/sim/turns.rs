//! All is well, and the jobs go on for some days: they forget nobody.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::executor::lock;
use super::history::{HOUR, Life, start, stop};
use super::memory_vault::{MemoryAccount, MemoryVault, Noted};
use super::random::Random;
use super::settle::{is_barred, lead_to};
use super::universe::Universe;
use crate::config::{Config, JobAction};
use crate::model::{AccountName, EventKind};
use crate::policy::DAY_MS;
use crate::rotation::Phase;

/// In the first day the cap may stand against a turn, in the second one another turn alone; and the last one may be put off for
/// an hour by a budget, against which refusals count from when a wrong clock was right again.
const DAYS: i64 = 2 * DAY_MS + 4 * HOUR;

/// Lets the jobs go on, and judges what came of it.
pub(super) fn keep_jobs(universe: &Arc<Universe>, life: &mut Life, order: &mut Random) {
    let (begin, rested) = {
        let books = lock(&universe.books);
        let rests = |book: &&MemoryAccount| book.phase() == Phase::Idle;
        let rested: BTreeSet<AccountName> = books.accounts.iter().filter(rests).map(|book| book.name.clone()).collect();
        (books.log.len(), rested)
    };
    let now = universe.on.now();
    if order.one_in(2) {
        let restarted = now + order.within(0, 2 * DAY_MS);
        universe.run(&mut life.tasks, restarted, order, || false);
        stop(universe, life, order, true);
        *life = start(universe);
    }
    universe.run(&mut life.tasks, now + DAYS - HOUR, order, || false);
    let last_hour = lock(&universe.books).log.len();
    universe.run(&mut life.tasks, now + DAYS, order, || false);
    if life.core.logins_held().is_some() {
        return;
    }
    let config = lock(&universe.config).clone();
    let books = lock(&universe.books);
    let days = Days {
        config: &config,
        books: &books,
        rested: &rested,
        log: &books.log[begin..],
        last_hour: last_hour - begin,
        since: universe.now() - DAYS,
    };
    // A look that is held back comes with the job's next firing, and may be held back again.
    let looks = || if universe.held_back_since(now) { None } else { days.not_looked_at() };
    let forgotten = days.without_a_turn().or_else(|| days.left_behind()).or_else(looks);
    drop(books);
    if let Some(forgotten) = forgotten {
        universe.violation(forgotten);
    }
}

/// What was done in these days.
struct Days<'a> {
    config: &'a Config,
    books: &'a MemoryVault,
    /// Who was at rest when they began.
    rested: &'a BTreeSet<AccountName>,
    log: &'a [Noted],
    /// Where in it the last hour begins.
    last_hour: usize,
    /// When they began, in milliseconds since 1970.
    since: i64,
}

impl Days<'_> {
    /// The accounts of all jobs of a kind that may have a turn.
    fn theirs(&self, action: JobAction) -> BTreeSet<AccountName> {
        let jobs = self.config.jobs.values().filter(|job| job.action == action);
        jobs.flat_map(|job| self.config.targets_of(job)).filter(|account| self.may_have_a_turn(account)).collect()
    }

    fn may_have_a_turn(&self, account: &AccountName) -> bool {
        let rests = self.books.book(account).is_some_and(|book| book.phase() == Phase::Idle && !book.record.paused);
        let logs_in = self.config.accounts.get(account).and_then(|account| account.login_as.clone());
        // Nor has one its turn before whoever logs in for it is taken again: the looks of a day may bring back a login that was
        // given up only shortly before these days end, and what waited for it comes after that.
        let mut needed = lead_to(self.config, account).into_iter().chain(logs_in.clone());
        rests
            && self.was_never_in_doubt(account)
            && needed.all(|name| self.was_never_in_doubt(&name))
            && !is_barred(self.config, self.books, account, logs_in, i64::MAX)
    }

    /// What is in doubt, or was given up, has its turns once that is over.
    fn was_never_in_doubt(&self, account: &AccountName) -> bool {
        let in_doubt = |noted: &Noted| {
            [EventKind::RotationUnknown, EventKind::VerifyFailed].iter().any(|event| noted.is(*event, account))
        };
        self.rested.contains(account) && !self.log.iter().any(in_doubt)
    }

    fn without_a_turn(&self) -> Option<String> {
        let begun = |account: &AccountName| self.log.iter().any(|noted| noted.is(EventKind::RotationStart, account));
        let account = self.theirs(JobAction::Rotate).into_iter().find(|account| !begun(account))?;
        Some(format!("no turn of {account} has come in two days without a fault"))
    }

    /// Accounts that change after their parent: its last change in time is followed by something.
    fn left_behind(&self) -> Option<String> {
        let is_left = |parent: &AccountName, child: &AccountName| {
            let at = self.log[..self.last_hour].iter().rposition(|noted| noted.is(EventKind::RotationDone, parent));
            at.is_some_and(|at| !self.log[at..].iter().any(|noted| noted.account.as_ref() == Some(child)))
        };
        let mut children = self.config.accounts.values().filter_map(|it| Some((it.after.as_ref()?, &it.name)));
        let (parent, account) = children.find(|(parent, child)| is_left(parent, child))?;
        Some(format!("{parent} was changed, and nothing came of it for {account}"))
    }

    fn not_looked_at(&self) -> Option<String> {
        // A change at the same time proves the password as well.
        let seen = |book: &MemoryAccount| {
            [book.record.verified, book.record.last_change].into_iter().flatten().any(|at| at > self.since)
        };
        let is_seen = |account: &AccountName| {
            self.books.book(account).is_none_or(|book| book.record.current.is_none() || seen(book))
        };
        let account = self.theirs(JobAction::Verify).into_iter().find(|account| !is_seen(account))?;
        Some(format!("nobody has looked at {account} in two days without a fault"))
    }
}

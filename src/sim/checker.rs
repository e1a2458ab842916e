//! The checker that sees everything, and what it remembers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::executor::lock;
use super::universe::Universe;
use crate::daemon::RotationResult;
use crate::model::{AccountName, Outcome};
use crate::policy::DAY_MS;
use crate::rotation::{Doubt, Phase};

/// What the omniscient checker remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// How often each code of a seed came.
    codes: BTreeMap<(Vec<u8>, String), usize>,
    commits: BTreeMap<AccountName, Vec<i64>>,
    refused: BTreeMap<AccountName, Vec<i64>>,
    /// When its device's password last changed, whoever did it.
    changed: BTreeMap<AccountName, i64>,
    /// Accounts whose refusals the world brought about, by a wrong clock, a lock or a lost configuration.
    excused: BTreeSet<AccountName>,
    /// Accounts whose device came to a new password only after it had said so.
    late: BTreeSet<AccountName>,
    /// Accounts that a person had mended: who asks for that has them given up, whatever was found out.
    reconciled: BTreeSet<AccountName>,
    /// Accounts for which a person stored what is not the device's password.
    mistyped: BTreeSet<AccountName>,
    /// Accounts that were changed after the backup from which the vault was restored: their passwords of then are gone.
    lost: BTreeSet<AccountName>,
    /// Commit points that went with a vault.
    lost_commits: usize,
    /// Accounts in doubt since the vault was restored: what is refused of them says nothing of the others.
    in_doubt: BTreeSet<AccountName>,
    /// The vault was restored.
    was_restored: bool,
    /// It was rolled back: it knows nothing of it.
    was_rolled_back: bool,
    outage: Outage,
    /// When there was one last.
    last_outage: Option<i64>,
    /// When a person asked for what logs in, and is not held back.
    asked: Vec<i64>,
    /// Caps that were in force, and until when: an attempt keeps to the config that it began with.
    caps: Vec<(i64, u32)>,
}

/// Whether the daemon has to see that it is hardly the passwords.
#[derive(Debug, Default)]
struct Outage {
    /// Who was told to be refused since a login was taken or the daemon started.
    told: BTreeSet<AccountName>,
    /// Since when they are five on three devices.
    since: Option<i64>,
    /// Who else was refused since then.
    others: BTreeSet<AccountName>,
}

/// No attempt lasts so long, in milliseconds.
const LONGEST_ATTEMPT: i64 = 2 * 3_600_000;

impl Universe {
    pub(super) fn violation(&self, what: impl Into<String>) {
        let what = what.into();
        self.tell(|| format!("VIOLATION {what}"));
        lock(&self.violation).get_or_insert(what);
        self.on.halt();
    }

    pub(super) fn violated(&self) -> Option<String> {
        if self.on.is_spent() {
            return Some("the daemon runs in a circle, without rest".into());
        }
        lock(&self.violation).clone()
    }

    pub(super) fn account(device: &str, user: &str) -> Option<AccountName> {
        AccountName::parse(&format!("{device}/{user}")).ok()
    }

    pub(super) fn excuse(&self, account: &AccountName) {
        lock(&self.memory).excused.insert(account.clone());
    }

    pub(super) fn is_excused(&self, account: &AccountName) -> bool {
        lock(&self.memory).excused.contains(account)
    }

    /// The device's password, as it is.
    pub(super) fn truth(&self, account: &AccountName) -> Option<String> {
        self.site(account.device_str(), |site| site.users.get(account.user()).map(|user| user.password.clone()))
    }

    pub(super) fn set_password(&self, device: &str, user: &str, new: &str) {
        let before = self.site(device, |site| {
            let user = site.users.get_mut(user)?;
            Some(std::mem::replace(&mut user.password, new.to_owned()))
        });
        if before.as_deref() == Some(new) {
            return;
        }
        self.tell(|| format!("{device}/{user} has another password now"));
        if let Some(account) = Self::account(device, user) {
            lock(&self.memory).changed.insert(account.clone(), self.on.now());
            self.check_known(&account);
        }
    }

    /// The device takes a new password, and goes by it in a while.
    pub(super) fn set_password_later(self: &Arc<Self>, device: &str, user: &str, new: &str) {
        let (world, account) = (self.clone(), Self::account(device, user));
        let (device, user, new) = (device.to_owned(), user.to_owned(), new.to_owned());
        let before = account.as_ref().and_then(|account| self.truth(account));
        self.on.later(self.draw(1_000, 600_000), move || {
            // What was set meanwhile is newer.
            if let Some(account) = account.filter(|account| world.truth(account) == before) {
                // While it is looked for, each of the two may be ruled out when the other one is in force.
                if lock(&world.books).book(&account).is_some_and(|book| book.phase() != Phase::Idle) {
                    world.excuse(&account);
                }
                lock(&world.memory).late.insert(account);
                world.set_password(&device, &user, &new);
            }
        });
    }

    /// A person asks for the reconcile account.
    pub(super) fn reconcile_is_asked(&self, account: &AccountName) {
        lock(&self.memory).reconciled.insert(account.clone());
    }

    /// A person stores a password that is not the device's.
    pub(super) fn mistyped(&self, account: &AccountName) {
        self.excuse(account);
        lock(&self.memory).mistyped.insert(account.clone());
    }

    /// The vault is one of a backup of then, in true time since the beginning: what was counted since is gone, and
    /// the passwords that were sent since.
    pub(super) fn restored(&self, taken: i64, rolled_back: bool) {
        let memory = &mut *lock(&self.memory);
        (memory.was_restored, memory.was_rolled_back) = (true, memory.was_rolled_back || rolled_back);
        // It may be as it was while another restore was looked into.
        let books = lock(&self.books);
        let in_doubt = books.accounts.iter().filter(|book| matches!(book.phase(), Phase::Uncertain(_)));
        memory.in_doubt = in_doubt.map(|book| book.name.clone()).collect();
        for (account, commits) in &mut memory.commits {
            let before = commits.len();
            commits.retain(|at| *at <= taken);
            memory.lost_commits += before - commits.len();
            if commits.len() < before {
                memory.lost.insert(account.clone());
            }
        }
        memory.refused.values_mut().for_each(|refused| refused.retain(|at| *at <= taken));
    }

    /// An account is at rest, or waits for a person.
    pub(super) fn found_out(&self, account: &AccountName) {
        lock(&self.memory).in_doubt.remove(account);
    }

    /// Whether the vault was rolled back, and the account had been changed since.
    pub(super) fn is_forgotten(&self, account: &AccountName) -> bool {
        let memory = lock(&self.memory);
        memory.was_rolled_back && memory.lost.contains(account)
    }

    /// Whether the vault was restored.
    pub(super) fn was_restored(&self) -> bool {
        lock(&self.memory).was_restored
    }

    /// Whether the device came to a password only after it had said so.
    pub(super) fn changed_late(&self, account: &AccountName) -> bool {
        lock(&self.memory).late.contains(account)
    }

    /// Promise 1: the vault durably holds the password that the device accepts.
    pub(super) fn check_known(&self, account: &AccountName) {
        let knows = self.site(account.device_str(), |site| {
            let Some(user) = site.users.get(account.user()) else { return true };
            lock(&self.books).book(account).is_none_or(|book| book.knows(&user.password))
        });
        if !knows && !lock(&self.memory).lost.contains(account) {
            self.violation(format!("the vault does not hold the password that {account} has"));
        }
    }

    /// An account leaves doubt only with the password that its device has.
    pub(super) fn check_proved(&self, account: &AccountName) {
        let Some(truth) = self.truth(account) else { return };
        let right = {
            let books = lock(&self.books);
            books.book(account).is_none_or(|book| book.two().0.is_some_and(|current| current.expose() == truth))
        };
        if !right && !self.is_changed_from_outside(account) {
            self.violation(format!("{account} comes to rest with a password that is not the device's"));
        }
    }

    /// What a person is told at the end of what he asked for is true.
    pub(super) fn check_told(&self, told: &RotationResult) {
        let account = &told.account;
        let Some(truth) = self.truth(account) else { return };
        let books = lock(&self.books);
        let Some(book) = books.book(account) else { return };
        let right = book.two().0.is_some_and(|current| current.expose() == truth);
        let its_own = book.record.attempt.as_deref() == Some(told.attempt.as_str());
        let phase = book.phase();
        let changed = book.changes.iter().any(|(attempt, _)| *attempt == told.attempt);
        drop(books);
        let wrong = match told.outcome {
            Outcome::Done => !right && !self.is_changed_from_outside(account),
            Outcome::Failed => its_own && !matches!(phase, Phase::Idle | Phase::Prepared | Phase::Changing),
            Outcome::Refused => changed,
            Outcome::Unknown => its_own && phase == Phase::Idle,
        };
        if wrong {
            self.violation(format!("{account}: a person is told that it is {:?}, and it is {phase:?}", told.outcome));
        }
    }

    /// Whether somebody else may have changed it since a login proved it.
    fn is_changed_from_outside(&self, account: &AccountName) -> bool {
        let memory = lock(&self.memory);
        memory.changed.get(account).is_some_and(|at| self.on.now() - at < 60_000) || memory.mistyped.contains(account)
    }

    /// An account is put aside for a person only where the vault does not hold what its device has, or the world deceived it.
    /// No account is that was not looked at before.
    pub(super) fn check_given_up(&self, account: &AccountName, before: Option<Phase>) {
        let mends = lock(&self.config).accounts.get(account).is_some_and(|account| account.mends_itself());
        let looked = matches!(before, Some(Phase::Uncertain(Doubt { looks: 1.., .. })));
        if !looked && !mends {
            self.violation(format!("{account} is given up at the first look ({before:?})"));
        }
        let Some(truth) = self.truth(account) else { return };
        let held = {
            let books = lock(&self.books);
            books.book(account).is_some_and(|book| book.may_try(&truth))
        };
        let is_asked = lock(&self.memory).reconciled.contains(account);
        if held && !is_asked && !self.is_excused(account) {
            self.violation(format!("{account} is given up though the vault holds the password that its device has"));
        }
    }

    /// The device was given this as a new password: that it might be had to be durable before.
    pub(super) fn saw_new(&self, device: &str, user: &str, text: &str) {
        let Some(account) = Self::account(device, user) else { return };
        let books = lock(&self.books);
        let Some(book) = books.book(&account) else { return };
        let (_, candidate) = book.two();
        let phase = book.phase();
        let is_candidate = candidate.is_some_and(|candidate| candidate.expose() == text);
        let known = book.knows(text);
        drop(books);
        if is_candidate && matches!(phase, Phase::Idle | Phase::Prepared | Phase::Changing) {
            self.violation(format!("the new password of {account} left before that was durable ({phase:?})"));
        } else if !known {
            self.violation(format!("a new password of {account} left that the vault does not hold"));
        }
    }

    /// Promise 3: no code comes twice, and none that was not reserved.
    pub(super) fn saw_code(&self, device: &str, user: &str, code: &str) {
        let seed = self.site(device, |site| site.users.get(user).and_then(|user| user.seed.clone()));
        let Some(seed) = seed else { return };
        // How many steps are reserved that have this code, no more than are asked for; of any seed, since a person may have
        // stored a wrong one.
        let reserved = |enough: usize| {
            let books = lock(&self.books);
            let latest_first = books.used_order.iter().rev();
            let steps = latest_first.filter(|used| used.code.expose() == code);
            steps.take(enough).count()
        };
        let came = {
            let mut memory = lock(&self.memory);
            let came = memory.codes.entry((seed.hmac_key().to_vec(), code.to_owned())).or_default();
            *came += 1;
            *came
        };
        // Two steps have the same code once in a hundred million times.
        // A restored vault has forgotten what was used between the backup and the minute of the restore: a wrong clock may
        // show that time again. One that was rolled back does not know the minute either.
        let forgotten = self.was_restored() && self.clock_was_wrong() || lock(&self.memory).was_rolled_back;
        match reserved(came) {
            0 => self.violation(format!("{device}/{user} got a code that was not reserved")),
            steps if steps < came && !forgotten => {
                self.violation(format!("{device}/{user} got a code for the second time"))
            }
            _ => {}
        }
    }

    /// Promise 6: refused logins stay within the budget.
    pub(super) fn refused_login(&self, device: &str, user: &str) {
        let Some(account) = Self::account(device, user) else { return };
        let now = self.on.now();
        self.tell(|| format!("{account} is refused by its device"));
        self.check_held_back(&account);
        let mut memory = lock(&self.memory);
        let times = memory.refused.entry(account.clone()).or_default();
        times.push(now);
        let hour = 3_600_000 - Self::slack(3_600_000);
        let recent: Vec<i64> = times.iter().copied().filter(|at| now - at < hour).collect();
        drop(memory);
        let budget =
            lock(&self.config).accounts.get(&account).map_or(2, |account| account.policy.failed_logins_per_hour);
        if recent.len() > budget as usize && !self.time_was_lost(recent[0], now) {
            self.violation(format!("{account} was refused {} times within an hour", recent.len()));
        }
    }

    /// The daemon heard of a refusal.
    pub(super) fn refusal_told(&self, device: &str, user: &str) {
        let Some(account) = Self::account(device, user) else { return };
        // One that was refused in its last look tells nothing new.
        let expected = lock(&self.books).book(&account).is_some_and(|book| book.phase().expects_refusal());
        let memory = &mut *lock(&self.memory);
        if expected || memory.in_doubt.contains(&account) {
            return;
        }
        let outage = &mut memory.outage;
        outage.told.insert(account);
        let devices: BTreeSet<&str> = outage.told.iter().map(AccountName::device_str).collect();
        if outage.told.len() >= 5 && devices.len() >= 3 {
            outage.since.get_or_insert(self.on.now());
            memory.last_outage = Some(self.on.now());
        }
    }

    /// The daemon does not know of refusals any more.
    pub(super) fn refusals_forgotten(&self) {
        lock(&self.memory).outage = Outage::default();
    }

    /// Whether logins were held back at any time since then.
    pub(super) fn held_back_since(&self, then: i64) -> bool {
        lock(&self.memory).last_outage.is_some_and(|at| at >= then)
    }

    /// A person asks for what logs in.
    pub(super) fn person_asks(&self) {
        lock(&self.memory).asked.push(self.on.now());
    }

    /// Where one account after another is refused, the others are held back: but for those that were on their way, one every
    /// few minutes, and what people ask for, each with its login account.
    fn check_held_back(&self, account: &AccountName) {
        let now = self.on.now();
        let memory = &mut *lock(&self.memory);
        let Some(since) =
            memory.outage.since.filter(|_| !memory.outage.told.contains(account) && !memory.in_doubt.contains(account))
        else {
            return;
        };
        memory.outage.others.insert(account.clone());
        let asked = memory.asked.iter().filter(|at| **at > since - LONGEST_ATTEMPT).count();
        let minutes = usize::try_from((now - since) / 60_000).unwrap_or(0);
        let may = lock(&self.config).daemon.max_concurrent + 1 + minutes + 2 * asked;
        let others = memory.outage.others.len();
        if others > may {
            self.violation(format!(
                "{others} accounts more were refused after five on three devices, in {minutes} min"
            ));
        }
    }

    pub(super) fn logged_in(&self, device: &str, user: &str) {
        self.refusals_forgotten();
        self.tell(|| format!("{device}/{user} is logged in"));
        let most = self.site(device, |site| site.sessions);
        let allowed = lock(&self.config)
            .devices
            .values()
            .find(|known| known.name.as_str() == device)
            .map_or(1, |d| d.max_sessions);
        if most > allowed {
            self.violation(format!("{device} has {most} sessions at once, and {allowed} are allowed"));
        }
    }

    /// Promise 2: the cap.
    pub(super) fn committed(&self, account: &AccountName) {
        let now = self.on.now();
        let cap = lock(&self.config).accounts.get(account).map_or(2, |account| account.policy.max_changes_per_day);
        let mut memory = lock(&self.memory);
        let before = memory.caps.iter().filter(|(until, _)| now - until < LONGEST_ATTEMPT).map(|(_, cap)| *cap).max();
        let cap = cap.max(before.unwrap_or(0));
        let times = memory.commits.entry(account.clone()).or_default();
        times.push(now);
        let day = DAY_MS - Self::slack(DAY_MS);
        let recent: Vec<i64> = times.iter().copied().filter(|at| now - at < day).collect();
        drop(memory);
        if recent.len() > cap as usize && !self.time_was_lost(recent[0], now) {
            self.violation(format!("{account} was changed {} times within 24 hours", recent.len()));
        }
    }

    /// The cap is edited: what began under the one before may still end.
    pub(super) fn cap_was(&self, cap: u32) {
        lock(&self.memory).caps.push((self.on.now(), cap));
    }

    /// Whether the account passed a commit point in the last so many milliseconds.
    pub(super) fn was_changed_within(&self, account: &AccountName, ms: i64) -> bool {
        let memory = lock(&self.memory);
        memory.commits.get(account).and_then(|commits| commits.last()).is_some_and(|at| self.on.now() - at < ms)
    }

    /// How many commit points were passed in all.
    pub(super) fn commits(&self) -> usize {
        let memory = lock(&self.memory);
        memory.lost_commits + memory.commits.values().map(Vec::len).sum::<usize>()
    }
}

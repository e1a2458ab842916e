//! The end of a history: nothing fails any more, and it is judged what became of everybody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::executor::lock;
use super::history::{HOUR, Life, start, stop};
use super::memory_vault::{MemoryAccount, MemoryVault, RESTORED};
use super::random::Random;
use super::turns::keep_jobs;
use super::universe::Universe;
use crate::config::Config;
use crate::daemon::{Core, Request};
use crate::model::{AccountName, EventKind, Outcome, Trigger};
use crate::policy::DAY_MS;
use crate::rotation::{Doubt, Phase};
use crate::template::Section;
use crate::totp::Seed;

/// Within this time after the last fault everything converges that can.
const BOUND: i64 = 12 * HOUR;
/// Within this time an account leaves quarantine whose device would take it: each of two passwords is tried every other day.
const COMES_BACK: i64 = 5 * 24 * HOUR;
/// So much later where something was begun in the last of these hours.
const LATE: i64 = 2 * HOUR;

/// No faults any more: what can converge does so, and every account at rest can be changed.
pub(super) fn settle(universe: &Arc<Universe>, life: &mut Life, order: &mut Random) {
    calm_down(universe, life, order);
    let accounts: Vec<AccountName> = lock(&universe.config).accounts.keys().cloned().collect();
    if order.one_in(16) {
        keep_jobs(universe, life, order);
        if universe.violated().is_some() {
            return;
        }
    }
    converge(universe, life, order);
    // Where nearly all have changed since the backup, a person has to ask.
    let waits = universe.was_restored() && life.core.logins_held().is_some();
    for account in &accounts {
        if universe.violated().is_some() {
            return;
        }
        judge(universe, account, waits);
    }
    find_out_called(universe, life, order, &accounts);
    come_back(universe, life, order, &accounts);
    hear_log(universe);
    if universe.violated().is_some() {
        return;
    }
    change_all(universe, life, order, &accounts);
}

/// Faults end, every account is in the config again, and the host's clock is right.
fn calm_down(universe: &Arc<Universe>, life: &mut Life, order: &mut Random) {
    universe.tell(|| "all is well from here on".into());
    universe.calm_down();
    for account in lock(&universe.removed).drain(..) {
        lock(&universe.config).accounts.insert(account.name.clone(), account);
    }
    life.core.adopt(lock(&universe.config).clone());
    // The daemon has taken that in when the clock is set right: what it worked out by a wrong one is wrong.
    universe.run(&mut life.tasks, universe.on.now() + 1_000, order, || false);
    universe.set_clock(0);
}

/// Hours without jobs, in which what the faults left comes to rest.
fn converge(universe: &Arc<Universe>, life: &mut Life, order: &mut Random) {
    // Nothing new is begun, so that what is left is what the faults left; and nobody restarts it, mostly.
    lock(&universe.config).jobs.clear();
    if order.one_in(3) {
        stop(universe, life, order, true);
        *life = start(universe);
    } else {
        life.core.adopt(lock(&universe.config).clone());
    }
    // Budgets and locks are of an hour, and what is uncertain is looked at every hour.
    universe.run(&mut life.tasks, universe.on.now() + BOUND, order, || false);
    // What began in the last of these hours may end, though it has to wait for its budget.
    let (core, world) = (life.core.clone(), universe.clone());
    let at_rest = || {
        let rests = |book: &MemoryAccount| matches!(book.phase(), Phase::Idle | Phase::Quarantined);
        core.at_work() == 0 && lock(&world.books).accounts.iter().all(rests)
    };
    universe.run(&mut life.tasks, universe.on.now() + LATE, order, at_rest);
    let_changes_end(universe, life, order);
}

/// A change that the end of a span falls upon comes to its end.
fn let_changes_end(universe: &Arc<Universe>, life: &mut Life, order: &mut Random) {
    let in_a_change =
        |book: &MemoryAccount| !matches!(book.phase(), Phase::Idle | Phase::Quarantined | Phase::Uncertain(_));
    let (core, world) = (life.core.clone(), universe.clone());
    let at_its_end = || core.at_work() == 0 && !lock(&world.books).accounts.iter().any(in_a_change);
    universe.run(&mut life.tasks, universe.on.now() + HOUR / 6, order, at_its_end);
}

/// A login that waited for a person is made again once a day, since each may call that person.
fn find_out_called(universe: &Arc<Universe>, life: &mut Life, order: &mut Random, accounts: &[AccountName]) {
    let waits_for_person = |account: &AccountName| lock(&universe.books).book(account).is_some_and(called_a_person);
    if !accounts.iter().any(waits_for_person) {
        return;
    }
    let none_waits = || !accounts.iter().any(waits_for_person);
    universe.run(&mut life.tasks, universe.on.now() + DAY_MS + LATE, order, none_waits);
    if let Some(account) = accounts.iter().find(|account| waits_for_person(account)) {
        universe.violation(format!("{account} is not looked at in the day after its login waited for a person"));
    }
    let_changes_end(universe, life, order);
}

/// Who is in quarantine though the device would take what the vault has leaves it by the daily look.
fn come_back(universe: &Arc<Universe>, life: &mut Life, order: &mut Random, accounts: &[AccountName]) {
    let well: Vec<&AccountName> = accounts.iter().filter(|account| is_given_up_and_well(universe, account)).collect();
    if well.is_empty() {
        return;
    }
    let world = universe.clone();
    let back = || !well.iter().any(|account| is_given_up_and_well(&world, account));
    universe.run(&mut life.tasks, universe.on.now() + COMES_BACK, order, back);
    if let Some(account) = well.iter().find(|account| is_given_up_and_well(universe, account)) {
        universe.violation(format!("{account} stays in quarantine though its device would take it"));
    }
    // One that came back may be mended, or changed, right then.
    let_changes_end(universe, life, order);
}

/// What became of each account that a person asked to change: the outcome, and its detail.
type Finals = Arc<std::sync::Mutex<BTreeMap<AccountName, (Outcome, String)>>>;

/// People ask for a change of every account, and each is changed.
fn change_all(universe: &Arc<Universe>, life: &mut Life, order: &mut Random, accounts: &[AccountName]) {
    let finals = Finals::default();
    // People ask at times of their own: a device with one session for each user would turn away all but one of those who come at once.
    for (number, account) in (0u64..).zip(accounts) {
        let (core, finals, account, world) = (life.core.clone(), finals.clone(), account.clone(), universe.clone());
        universe.on.spawn(Box::pin(async move {
            for _ in 0..40 {
                let (outcome, detail) = change(&world, &core, &account).await;
                lock(&finals).insert(account.clone(), (outcome, detail));
                if outcome == Outcome::Done {
                    return;
                }
                core.clock.sleep(Duration::from_secs(3600 + 97 * number)).await;
            }
        }));
    }
    let (all, so_far) = (accounts.len(), finals.clone());
    let over = move || {
        let finals = lock(&so_far);
        finals.len() == all && finals.values().all(|(outcome, _)| *outcome == Outcome::Done)
    };
    universe.run(&mut life.tasks, universe.on.now() + 45 * HOUR, order, over);
    for account in accounts {
        match lock(&finals).get(account) {
            Some((Outcome::Done, _)) => {}
            other => {
                let other = other.map(|(outcome, detail)| format!("{outcome:?}, {detail}"));
                universe.violation(format!("{account} cannot be changed though all is well: {other:?}"));
            }
        }
    }
}

/// A person asks for a change of an account, and sees first to what waits for one.
async fn change(universe: &Arc<Universe>, core: &Arc<Core>, account: &AccountName) -> (Outcome, String) {
    // What is in doubt is looked at every hour without him.
    let login = core.config().accounts.get(account).and_then(|account| account.login_as.clone());
    let on_the_way = lead_to(&core.config(), account);
    for name in [account.clone()].into_iter().chain(login).chain(on_the_way) {
        let asked = name.clone();
        let row = core.vault.call(move |tx| Ok(tx.account(&asked)?.map(|row| row.phase))).await;
        if row.is_ok_and(|phase| phase == Some(Phase::Quarantined)) {
            universe.person_stores(core, &name).await;
        }
    }
    // Where only the login changes a password, an administrator expires it first.
    universe.site(account.device_str(), |site| {
        if let Some(user) = site.users.get_mut(account.user()).filter(|_| site.only_at_login) {
            user.expired = true;
        }
    });
    universe.person_asks();
    let result = core.rotate(Request::of(account.clone(), Trigger::Command)).await;
    universe.check_told(&result);
    // A job may have been there before: then the cap or the least age stands against it.
    let before = ["the cap", "min_age"].iter().any(|rule| result.detail.starts_with(rule));
    let changed = before
        && core.vault.call(|tx| tx.all_changes()).await.is_ok_and(|all| {
            let now = core.clock.now();
            all.get(account.as_str()).is_some_and(|stamps| stamps.iter().any(|at| now.since(at) < DAY_MS))
        });
    (if changed { Outcome::Done } else { result.outcome }, result.detail)
}

/// Whether an account is in doubt since the login that would have told waited for a person.
fn called_a_person(book: &MemoryAccount) -> bool {
    matches!(book.phase(), Phase::Uncertain(_))
        && book.last_error().is_some_and(|why| why.contains("waits for a person:"))
}

/// Whether nobody gets to its device before the account that logs in for it, where one does, or on the way, is taken again, or has
/// been looked at on the day after its login waited for a person; or was until then, in milliseconds since 1970.
pub(super) fn is_barred(
    config: &Config,
    books: &MemoryVault,
    account: &AccountName,
    logs_in: Option<AccountName>,
    since: i64,
) -> bool {
    let mut needed = lead_to(config, account).into_iter().chain(logs_in);
    let waits = |book: &MemoryAccount| book.phase().expects_refusal() || called_a_person(book);
    needed.any(|name| books.book(&name).is_some_and(|book| waits(book) || book.record.since > since))
}

/// The accounts that log in on the way to another one's device.
pub(super) fn lead_to(config: &Config, account: &AccountName) -> Vec<AccountName> {
    config.devices.get(&account.device()).map_or_else(Vec::new, |device| config.jump_accounts(device, account.user()))
}

/// Whether an account is given up, and its device would take what the vault has: the next looks find that out.
fn is_given_up_and_well(universe: &Universe, account: &AccountName) -> bool {
    let Some(truth) = universe.truth(account) else { return false };
    let (seed, off) = universe.site(account.device_str(), |site| {
        (site.users.get(account.user()).and_then(|user| user.seed.clone()), site.always_off)
    });
    let (config, books) = (lock(&universe.config), lock(&universe.books));
    let Some(book) = books.book(account) else { return false };
    let proves = config.accounts.get(account).filter(|account| account.template.section(Section::Verify).is_some());
    let logs_in = proves.and_then(|account| account.login_as.clone());
    let stored = book.others.get("totp").and_then(|uri| Seed::parse(uri.expose()).ok());
    let same_seed = stored.map(|seed| seed.hmac_key().to_vec()) == seed.map(|seed| seed.hmac_key().to_vec());
    let clock_is_known = off == 0 && books.clocks.get(account.device_str()).is_none_or(|skew| skew.steps == 0);
    let may_log_in = config.accounts.contains_key(account) && !is_barred(&config, &books, account, logs_in, i64::MAX);
    book.phase() == Phase::Quarantined
        && !book.record.paused
        && book.may_try(&truth)
        && same_seed
        && clock_is_known
        && may_log_in
}

/// An account after the faults ended: at rest with the device's password, or rightly waiting for a person.
fn judge(universe: &Arc<Universe>, account: &AccountName, waits: bool) {
    let Some(truth) = universe.truth(account) else { return };
    let books = lock(&universe.books);
    let Some(book) = books.book(account) else { return };
    let (phase, why) = (book.phase(), book.last_error().unwrap_or("-").to_owned());
    let right = book.two().0.is_some_and(|current| current.expose() == truth);
    let known = book.may_try(&truth);
    let called = called_a_person(book);
    let config = lock(&universe.config);
    let proves = config.accounts.get(account).filter(|account| account.template.section(Section::Verify).is_some());
    let barred =
        is_barred(&config, &books, account, proves.and_then(|account| account.login_as.clone()), universe.now() - LATE);
    drop(config);
    drop(books);
    match phase {
        Phase::Idle if right => {}
        // Nobody looked since the device lost its configuration.
        Phase::Idle
            if universe.is_excused(account) || universe.changed_late(account) || universe.is_forgotten(account) => {}
        Phase::Idle => universe.violation(format!("{account} is at rest with a password that is not the device's")),
        Phase::Quarantined if !known || universe.is_excused(account) => {}
        Phase::Quarantined => universe.violation(format!("{account} waits for a person without need: {why}")),
        _ if barred => {}
        Phase::Uncertain(_) if waits || called => {}
        // It is rightly looked at again: the device takes nothing that the vault has.
        Phase::Uncertain(Doubt { looks: 1.., .. }) if !known || universe.is_excused(account) => {}
        // It mends itself again and again, and no login proves that, since its seed is wrong.
        Phase::Uncertain(_) if universe.is_excused(account) && universe.was_changed_within(account, LATE) => {}
        phase => universe.violation(format!("{account} is still {phase:?} 12 h after the last fault: {why}")),
    }
}

/// Promise 7: every start has an end, of the same attempt, and every change its three events.
fn hear_log(universe: &Arc<Universe>) {
    let books = lock(&universe.books);
    let mut open: BTreeMap<&str, &AccountName> = BTreeMap::new();
    for noted in &books.log {
        let (Some(attempt), Some(account)) = (noted.attempt.as_deref(), noted.account.as_ref()) else {
            if noted.event == RESTORED {
                open.clear();
            }
            continue;
        };
        match noted.event {
            EventKind::RotationStart => {
                open.insert(attempt, account);
            }
            EventKind::RotationDone
            | EventKind::RotationFailed
            | EventKind::RotationRecovered
            | EventKind::RotationUnknown => {
                open.remove(attempt);
            }
            _ => {}
        }
    }
    let left = open.into_values().next().cloned();
    for noted in books.log.iter().filter(|noted| left.is_some() && noted.account == left) {
        universe.tell(|| format!("on record: {} {}", noted.event, noted.attempt.as_deref().unwrap_or("-")));
    }
    let sent = books.log.iter().filter(|noted| noted.event == EventKind::RotationSent).count();
    drop(books);
    if let Some(account) = left {
        universe.violation(format!("the log has a start and no end of a rotation of {account}"));
    }
    if sent != universe.commits() {
        universe.violation(format!("{} commit points were passed, and {sent} are on record", universe.commits()));
    }
}

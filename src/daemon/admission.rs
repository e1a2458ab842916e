//! Whether a rotation may begin: the cap, `min_age`, pauses and the lockout budget, checked where they are durable.

use std::sync::Arc;

use crate::config::Account;
use crate::model::{AccountName, Moment, Trigger};
use crate::policy::LimitError;
use crate::rotation::Phase;
use crate::vault::{Ledger, VaultError};

/// What is to be done with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Admission {
    /// Begin.
    Admitted,
    /// A rule stands against it, in words.
    Refused(String),
    /// A rule stands against it for so many milliseconds.
    Later(String, i64),
    /// It cannot be done now, and may be in a while.
    NotNow(String),
    /// An interrupted change has to be found out first.
    Recover,
    /// A person is needed first.
    Quarantined(String),
}

impl Admission {
    /// In words, what keeps a change from beginning now; `None` where it may.
    pub(super) fn stands_against(self) -> Option<String> {
        match self {
            Self::Admitted => None,
            Self::Refused(why) | Self::Later(why, _) | Self::NotNow(why) | Self::Quarantined(why) => Some(why),
            Self::Recover => Some("it has to be found out first which password it has".into()),
        }
    }
}

/// What is asked for, and who has to log in for it.
pub(super) struct Case {
    pub(super) account: Arc<Account>,
    /// The account that logs in.
    pub(super) login: AccountName,
    /// Logins of it are under way. Those count as refused until they are taken; the one that comes now waits for them.
    pub(super) login_under_way: bool,
    /// The accounts that log in at the jump hosts.
    pub(super) way: Vec<AccountName>,
    pub(super) trigger: Trigger,
}

/// What an account that logs in for another one is to it.
pub(super) const LOGIN_ACCOUNT: &str = "its login account";

/// What an account that logs in at a jump host is to the one behind it.
pub(super) const JUMP_ACCOUNT: &str = "its jump account";

/// What stands against a login of an account for another one, to which it is `what`.
pub(super) fn out_of_order(tx: &dyn Ledger, login: &AccountName, what: &str) -> Result<Option<Admission>, VaultError> {
    Ok(match tx.account(login)?.map(|row| row.phase) {
        None | Some(Phase::Idle | Phase::Prepared | Phase::Changing) => None,
        Some(Phase::Quarantined) => Some(Admission::Refused(format!(
            "{what} {login} is quarantined; store its password with 'rotorctl secret set {login}'"
        ))),
        Some(_) => Some(Admission::NotNow(format!("it is not known yet which password {what} {login} has"))),
    })
}

/// What stands against a change for the sake of those who have to log in for the account: `login`, and on the `way`.
pub(super) fn helper_out_of_order(
    tx: &dyn Ledger,
    account: &Account,
    login: &AccountName,
    way: &[AccountName],
) -> Result<Option<Admission>, VaultError> {
    let other = (*login != account.name).then_some((login, LOGIN_ACCOUNT));
    for (name, what) in other.into_iter().chain(way.iter().map(|name| (name, JUMP_ACCOUNT))) {
        if let Some(stands) = out_of_order(tx, name, what)? {
            return Ok(Some(stands));
        }
    }
    Ok(None)
}

/// Checks a request.
pub(super) fn admit(tx: &dyn Ledger, case: &Case, now: &Moment) -> Result<Admission, VaultError> {
    let Case { account, login, way, trigger, .. } = case;
    let trigger = *trigger;
    if let Some(stands) = helper_out_of_order(tx, account, login, way)? {
        return Ok(stands);
    }
    let Some(row) = tx.account(&account.name)? else {
        let by_another = account.login_as.is_some() || trigger == Trigger::Reconcile;
        return Ok(if by_another { Admission::Admitted } else { no_password(account) });
    };
    match row.phase {
        Phase::Idle => {}
        Phase::Quarantined if trigger == Trigger::Reconcile => {}
        Phase::Quarantined => {
            let why = row.last_error.as_deref().unwrap_or("neither password is known to work").to_owned();
            return Ok(Admission::Quarantined(why));
        }
        _ => return Ok(Admission::Recover),
    }
    let needs_own = account.login_as.is_none() && trigger != Trigger::Reconcile;
    if !row.has_password() && needs_own {
        return Ok(no_password(account));
    }
    if trigger.is_unasked() && row.paused {
        return Ok(Admission::Refused("paused by an operator".into()));
    }
    if let Err(LimitError { used, free_in_ms }) = account.policy.cap().admit(&tx.changes(&account.name, now)?, now) {
        let text =
            format!("the cap: {used} changes in the last 24 hours; the next is allowed in {}", in_words(free_in_ms));
        return Ok(Admission::Later(text, free_in_ms));
    }
    // A password that nobody knows cannot be too young to change.
    if row.phase == Phase::Idle
        && let Some(young) = too_young(tx, account, now)?
    {
        return Ok(young);
    }
    // The account's own login proves what the reconcile account did.
    let proves = (trigger == Trigger::Reconcile).then_some(&account.name);
    let login = (!case.login_under_way).then_some(login);
    for name in [login, proves].into_iter().flatten() {
        let stamps = tx.failed_logins(name, now)?;
        if let Err(LimitError { used, free_in_ms }) = account.policy.lockout().admit(&stamps, now) {
            let text = format!(
                "the lockout budget: {used} refused logins of {name} in the last hour; the next may be tried in {}",
                in_words(free_in_ms)
            );
            return Ok(Admission::Later(text, free_in_ms));
        }
    }
    Ok(Admission::Admitted)
}

fn no_password(account: &Account) -> Admission {
    Admission::Refused(format!("no password is stored; run 'rotorctl secret set {}'", account.name))
}

/// How the reason begins why a password is too young to be changed.
pub(super) const MIN_AGE: &str = "min_age";

fn too_young(tx: &dyn Ledger, account: &Account, now: &Moment) -> Result<Option<Admission>, VaultError> {
    let min_age = i64::try_from(account.policy.min_age.as_millis()).unwrap_or(i64::MAX);
    let youngest = tx.changes(&account.name, now)?.iter().map(|stamp| now.since(stamp)).min();
    Ok(youngest.filter(|age| *age < min_age).map(|age| {
        let free_in_ms = min_age - age;
        let text = format!("{MIN_AGE}: the last change is too young; the next is allowed in {}", in_words(free_in_ms));
        Admission::Later(text, free_in_ms)
    }))
}

/// Milliseconds in words, to the minute.
pub(super) fn in_words(ms: i64) -> String {
    let seconds = (ms.max(0) + 999) / 1000;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", (seconds + 59) / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

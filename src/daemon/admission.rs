//! Whether a rotation may begin: the facts are loaded where they are durable, and pure code judges them.

use std::sync::Arc;

use crate::config::Account;
use crate::model::{AccountName, Moment, Trigger};
use crate::rotation::{self, Admissible, HelperRole, budget_against, changes_against, state_against};
use crate::vault::{Ledger, VaultError};

pub(super) use crate::model::in_words;
pub(super) use crate::rotation::{Admission, Bound};

/// What is asked for, and who has to log in for it.
pub(super) struct AdmissionRequest {
    pub(super) account: Arc<Account>,
    /// The account that logs in.
    pub(super) login: AccountName,
    /// Logins of it are under way. Those count as refused until they are taken; the one that comes now waits for them.
    pub(super) login_under_way: bool,
    /// The accounts that log in at the jump hosts.
    pub(super) way: Vec<AccountName>,
    pub(super) trigger: Trigger,
}

/// What stands against a login of an account for another one.
pub(super) fn out_of_order(
    tx: &dyn Ledger,
    login: &AccountName,
    role: HelperRole,
) -> Result<Option<Admission>, VaultError> {
    let phase = tx.account(login)?.map(|record| record.phase);
    Ok(rotation::helper_out_of_order(login, role, phase))
}

/// What stands against a change for the sake of those who have to log in for the account: `login`, and on the `way`.
pub(super) fn helper_out_of_order(
    tx: &dyn Ledger,
    account: &Account,
    login: &AccountName,
    way: &[AccountName],
) -> Result<Option<Admission>, VaultError> {
    let other = (*login != account.name).then_some((login, HelperRole::Login));
    for (name, role) in other.into_iter().chain(way.iter().map(|name| (name, HelperRole::Jump))) {
        if let Some(stands) = out_of_order(tx, name, role)? {
            return Ok(Some(stands));
        }
    }
    Ok(None)
}

/// Checks a request.
pub(super) fn admit(tx: &dyn Ledger, request: &AdmissionRequest, now: &Moment) -> Result<Admission, VaultError> {
    let AdmissionRequest { account, login, way, trigger, login_under_way } = request;
    if let Some(stands) = helper_out_of_order(tx, account, login, way)? {
        return Ok(stands);
    }
    let by_another = account.login_as.is_some();
    let asked = Admissible { account: &account.name, policy: &account.policy, trigger: *trigger, by_another };
    let record = tx.account(&account.name)?;
    if let Some(stands) = state_against(&asked, record.as_ref()) {
        return Ok(stands);
    }
    let Some(record) = record else { return Ok(Admission::Admitted) };
    if let Some(stands) = changes_against(&asked, &record, &tx.changes(&account.name, now)?, now) {
        return Ok(stands);
    }
    // The account's own login proves what the reconcile account did.
    let proves = (*trigger == Trigger::Reconcile).then_some(&account.name);
    let login = (!login_under_way).then_some(login);
    for name in login.into_iter().chain(proves) {
        if let Some(stands) = budget_against(&asked, name, &tx.failed_logins(name, now)?, now) {
            return Ok(stands);
        }
    }
    Ok(Admission::Admitted)
}

//! What an attempt asks the vault about its account and its logins, and what it puts on record of them.

use super::context::AttemptContext;
use crate::audit::Draft;
use crate::config::Account;
use crate::daemon::admission::{Admission, AdmissionRequest, admit};
use crate::executor::DeviceError;
use crate::model::{AccountName, Candidate, EventKind, Outcome, Secret};
use crate::rotation::{LoginFailure, keeps_being_refused};
use crate::vault::{Ledger, VaultError};

impl AttemptContext {
    /// What a login showed of an account that it was to let in.
    pub(super) fn failure_of(&self, error: &DeviceError, account: &AccountName) -> LoginFailure {
        match error {
            _ if !error.may_be_refusal() || self.refused_account(error) != *account => LoginFailure::ToldNothing,
            DeviceError::Refused { with_code, .. } => LoginFailure::Rejected { with_code: *with_code },
            _ => LoginFailure::HungUp,
        }
    }

    /// The account's password that was sent last and taken back. Where the vault cannot tell, it cannot take in what would
    /// follow either.
    pub(super) async fn taken_back(&self) -> Option<Candidate> {
        let name = self.account.name.clone();
        self.core.vault.call(move |tx| tx.taken_back(&name)).await.ok().flatten()
    }

    /// Whether an account's logins went on being refused, over the days that are on record, with none taken since.
    pub(super) async fn keeps_being_refused(&self, account: &AccountName) -> bool {
        let (login, now) = (account.clone(), self.core.clock.now());
        let refusals = self.core.vault.call(move |tx| tx.refusals(&login, &now)).await;
        refusals.is_ok_and(|all| keeps_being_refused(all.iter().filter(|refusal| !refusal.past).count()))
    }

    /// An account that logs in for this one was refused, in so many logins, or in a session where there was none: before anybody
    /// goes on with it a login finds out whether its password is right. Else one account after another would have it refused, and
    /// leave none of the budget for that.
    pub(super) async fn doubt_login(&self, login: &Account, looks: u32) {
        let (name, device) = (&login.name, &login.device.name);
        if *name == self.account.name {
            return;
        }
        let how = if looks > 0 { "the login of" } else { "in a session the password of" };
        let why = format!("{device} refused {how} {name}; a login finds out whether its password is right");
        self.step(why.clone());
        let (name, id, now) = (name.clone(), self.id.clone(), self.core.clock.now());
        let looks = u8::try_from(looks).unwrap_or(u8::MAX);
        let (account, device) = (Some(login.name.clone()), Some(login.device.name.clone()));
        let outcome = Some(Outcome::Unknown);
        let draft = Draft { account, device, outcome, ..self.draft(EventKind::RotationUnknown).detail(why.clone()) };
        let put = move |tx: &dyn Ledger| tx.doubt(&name, &why, &id, looks, &now);
        let done = self.core.vault.call(move |tx| if put(tx)? { tx.audit(&draft, &now) } else { Ok(()) });
        if let Err(error) = done.await {
            tracing::error!(account = %login.name, %error, "{}: that the login account is refused could not be stored: {error}", login.name);
        }
        self.core.wake.notify_one();
    }

    /// An account that logs in at a jump host was refused, and not for the first time: nobody goes on with it either.
    pub(super) async fn note_refused_jump(&self, error: &DeviceError) {
        let refused = self.refused_account(error);
        let on_the_way = ![&self.account.name, &self.login.name].contains(&&refused);
        let Some(jump) = self.config.accounts.get(&refused).filter(|_| on_the_way && error.may_be_refusal()) else {
            return;
        };
        if self.keeps_being_refused(&refused).await {
            self.doubt_login(jump, 1).await;
        }
    }

    /// Whether an account's logins went on being refused, and its budget is spent.
    pub(super) async fn is_hopeless(&self, account: &AccountName) -> bool {
        self.budget(account).await.is_err() && self.keeps_being_refused(account).await
    }

    /// Puts an account in doubt that logs in for this one, where it went on being refused.
    pub(super) async fn doubt_where_hopeless(&self, login: &Account) {
        if self.is_hopeless(&login.name).await {
            self.doubt_login(login, 1).await;
        }
    }

    pub(super) fn refused_account(&self, error: &DeviceError) -> AccountName {
        match error {
            DeviceError::Refused { account, .. } | DeviceError::HungUp { account, .. } => {
                AccountName::parse(account).unwrap_or_else(|_| self.login.name.clone())
            }
            _ => self.login.name.clone(),
        }
    }

    /// Puts a host key that is not on record on the audit log.
    pub(super) async fn note_impostor(&self, error: &DeviceError) {
        if !error.is_host_key() {
            return;
        }
        let draft = self.draft(EventKind::HostKeyMismatch).detail(self.masked(error.to_string()));
        if let Err(error) = self.core.audit(draft).await {
            tracing::error!(account = %self.account.name, %error, "{}: a host key mismatch is not on record: {error}", self.account.name);
        }
    }

    /// Whether one more login may be risked; else in how many milliseconds.
    pub(super) async fn budget(&self, account: &AccountName) -> Result<(), i64> {
        let (name, now) = (account.clone(), self.core.clock.now());
        let policy = self
            .config
            .accounts
            .get(account)
            .map_or_else(|| self.account.policy.clone(), |account| account.policy.clone());
        match self.core.vault.call(move |tx| tx.failed_logins(&name, &now)).await {
            Ok(stamps) => policy.lockout().admit(&stamps, &now).map_err(|error| error.free_in_ms),
            // What cannot be counted is not risked.
            Err(_) => Err(60_000),
        }
    }

    /// The rules for this attempt, as they stand now.
    pub(super) async fn admission(&self) -> Result<Admission, VaultError> {
        let (case, now) = (self.case(), self.core.clock.now());
        self.core.vault.call(move |tx| admit(tx, &case, &now)).await
    }

    /// What the rules are asked about.
    pub(super) fn case(&self) -> AdmissionRequest {
        let login = self.login.name.clone();
        AdmissionRequest {
            account: self.account.clone(),
            login_under_way: self.core.guards.risks.is_under_way(&login),
            way: self.config.jump_accounts(&self.account.device, login.user()),
            login,
            trigger: self.request.trigger,
        }
    }

    pub(super) async fn stored_password(&self) -> Option<Secret> {
        self.core.stored(&self.account.name).await.ok()?.password
    }
}

//! How an account stands, in plain words, and what to type next.

use std::sync::Arc;

use super::admission::{Admission, AdmissionRequest, Bound, admit, helper_out_of_order, in_words};
use super::core::Core;
use crate::config::Account;
use crate::model::{AccountName, FailureCause, Moment, Outcome, Trigger, rfc3339};
use crate::policy::LimitError;
use crate::rotation::{AccountRecord, Doubt, Phase, reconciles_next};
use crate::vault::{AttemptRow, VaultError};

/// An account's state for a person.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The state that `status` shows.
    pub state: String,
    /// Since when, RFC 3339.
    pub since: Option<String>,
    /// What that means, in sentences.
    pub means: Vec<String>,
    /// Why it is so.
    pub why: Option<String>,
    /// What was tried last, newest first.
    pub tried: Vec<String>,
    /// Commands to type, the likeliest first, each with what it does.
    pub next: Vec<(String, String)>,
}

/// Attempts that are told.
const TOLD: u32 = 5;

impl Core {
    /// Explains an account.
    ///
    /// # Errors
    /// There is no such account, or the vault failed.
    pub async fn explain(&self, account: &AccountName) -> Result<Explanation, VaultError> {
        let config = self.config();
        let Some(account) = config.accounts.get(account).cloned() else {
            return Err(VaultError::NotFound(format!("there is no account '{account}' in the config")));
        };
        let (name, login, now) = (account.name.clone(), config.login_account(&account), self.clock.now());
        let (policy, asked) = (account.policy.clone(), account.clone());
        let way = config.jump_accounts(&account.device, login.user());
        let login_name = login.clone();
        let case = AdmissionRequest {
            account: account.clone(),
            login: login.clone(),
            login_under_way: self.guards.risks.is_under_way(&login),
            way: way.clone(),
            trigger: Trigger::Command,
        };
        let (row, candidate, attempts, cap, budget, helper, stands) = self
            .vault
            .call(move |tx| {
                let row = tx.account(&name)?;
                let candidate = if row.is_some() { tx.candidate(&name)?.is_some() } else { false };
                let cap = policy.cap().admit(&tx.changes(&name, &now)?, &now);
                let budget = policy.lockout().admit(&tx.failed_logins(&login, &now)?, &now);
                let helper = helper_out_of_order(tx, &asked, &login, &way)?;
                let stands = admit(tx, &case, &now)?;
                Ok((row, candidate, tx.attempts(&name, TOLD)?, cap, budget, helper, stands))
            })
            .await?;
        let mut told = Telling {
            account: &account,
            login: &login_name,
            row: row.as_ref(),
            candidate,
            may_change: stands == Admission::Admitted,
            means: Vec::new(),
            next: Vec::new(),
        };
        let failure = failure_of(row.as_ref(), &attempts);
        told.may_change &= !failure.is_some_and(FailureCause::stands);
        told.remedy(failure);
        told.tell(self.next_run(&config, &account.name).map(rfc3339), &now);
        if let Err(LimitError { used, free_in_ms }) = cap {
            told.means.push(format!(
                "It was changed {used} times in the last 24 hours; the next change is allowed in {}.",
                in_words(free_in_ms)
            ));
        }
        if let Err(LimitError { used, free_in_ms }) = budget {
            told.means.push(format!(
                "{used} of its logins were refused or cut off in the last hour; the next may be tried in {}, lest the device locks it.",
                in_words(free_in_ms)
            ));
        }
        let young = matches!(&stands, Admission::Later(Bound::MinAge, ..)).then_some(stands);
        if let Some(Admission::Refused(why) | Admission::NotNow(why) | Admission::Later(_, why, _)) = helper.or(young) {
            told.means.push(format!("At present no change begins: {why}."));
        }
        told.means.extend(self.line.ahead(&account.name).map(|ahead| {
            let device = &account.device.name;
            format!("Work on it is due and stands in line: {ahead} other accounts of {device} come before it.")
        }));
        told.means.extend(self.logins_held().map(|why| format!("At present {why}.")));
        told.means.extend(self.vault_error().await.map(|why| format!("At present no change begins: {why}.")));
        let Telling { means, next, .. } = told;
        let state = row.as_ref().map_or("new", |row| row.state().as_str()).to_owned();
        Ok(Explanation {
            state,
            since: row.as_ref().map(|row| rfc3339(row.since)),
            means,
            why: row.and_then(|row| {
                let verify = row.verify_error.map(|why| format!("verify failed: {why}"));
                row.last_error.map(|why| why.to_string()).or(verify)
            }),
            tried: attempts.iter().map(told_attempt).collect(),
            next,
        })
    }
}

fn told_attempt(attempt: &AttemptRow) -> String {
    let outcome = attempt.outcome.map_or("under way", Outcome::as_str);
    let detail = attempt.detail.as_deref().or(attempt.steps.last().map(|step| step.text.as_str())).unwrap_or_default();
    let (kind, by) = (attempt.kind.noun(), attempt.trigger.as_str());
    let detail = if detail.is_empty() { String::new() } else { format!("; {detail}") };
    format!("{} {kind} by {by}: {outcome}{detail} (attempt {})", rfc3339(attempt.started), attempt.id)
}

/// What the last attempt failed of, where what it found stands still.
fn failure_of(row: Option<&AccountRecord>, attempts: &[AttemptRow]) -> Option<FailureCause> {
    let row = row?;
    let stands = row.last_error.is_some() || row.verify_error.is_some() || row.phase != Phase::Idle;
    let refused = |attempt: &&AttemptRow| attempt.outcome == Some(Outcome::Refused);
    let last = attempts.iter().filter(|attempt| attempt.ended.is_some()).find(|attempt| !refused(attempt))?;
    last.failure.filter(|_| stands)
}

struct Telling<'a> {
    account: &'a Arc<Account>,
    /// Who logs in for its changes.
    login: &'a AccountName,
    row: Option<&'a AccountRecord>,
    candidate: bool,
    /// Nothing stands against a change now.
    may_change: bool,
    means: Vec<String>,
    next: Vec<(String, String)>,
}

impl Telling<'_> {
    fn say(&mut self, sentence: impl Into<String>) {
        self.means.push(sentence.into());
    }

    fn offer(&mut self, command: &str, what: impl Into<String>) {
        self.next.push((format!("rotorctl {command} {}", self.account.name), what.into()));
    }

    /// What fits what the last attempt failed of, before all else.
    fn remedy(&mut self, failure: Option<FailureCause>) {
        let (device, login) = (&self.account.device.name, self.login);
        match failure {
            Some(FailureCause::HostKeyUnknown) => {
                let what = "show its host key, and store it once you have compared it with the device's own word";
                self.next.push((format!("rotorctl trust {device}"), what.into()));
            }
            Some(FailureCause::HostKeyChanged) => {
                let what = "show the key on record and the one that it shows now; find out first why it changed";
                self.next.push((format!("rotorctl trust {device}"), what.into()));
            }
            Some(FailureCause::Code) => {
                let told = "The last login that was refused had sent a one-time code: the password, the seed, or a clock may be wrong.";
                self.say(told);
                let what = "store the seed anew, where the device has another one";
                self.next.push((format!("rotorctl totp set {login}"), what.into()));
            }
            Some(FailureCause::NoSeed) => {
                let what = "store the seed: the device asks for a one-time code";
                self.next.push((format!("rotorctl totp set {login}"), what.into()));
            }
            Some(FailureCause::Password) | None => {}
        }
    }

    fn tell(&mut self, next_run: Option<String>, now: &Moment) {
        let Some(row) = self.row else {
            self.say("Nothing of it is stored yet.");
            return self.offer("secret set", "store the password that the device has");
        };
        match row.phase {
            Phase::Idle if !row.has_password() => {
                self.say("No password of it is stored yet.");
                self.offer("secret set", "store the password that the device has");
            }
            Phase::Idle => self.at_rest(row, next_run, now),
            Phase::Prepared | Phase::Changing => {
                self.say("A change is under way and has sent nothing yet: the old password is in force.");
                self.offer("history", "follow it");
            }
            Phase::Sent | Phase::Verifying => {
                self.say("A change is under way and has sent the new password: a fresh login decides in a moment.");
                self.offer("history", "follow it");
            }
            Phase::Uncertain(doubt) => self.in_doubt(row, doubt, now),
            Phase::Quarantined | Phase::Mending => self.waits_for_a_person(row, now),
        }
    }

    fn at_rest(&mut self, row: &AccountRecord, next_run: Option<String>, now: &Moment) {
        match row.last_change {
            Some(at) => self.say(format!("The stored password was set on {} and proved.", rfc3339(at))),
            None => self.say("The stored password was given by a person; rotord has not changed it yet."),
        }
        if let Some(at) = row.verified {
            let how =
                if row.verify_error.is_some() { "The last verify, which failed, was" } else { "It was last tried" };
            self.say(format!("{how} on {}.", rfc3339(at)));
        }
        if let Some(warning) = &row.warning {
            self.say(format!("That change was not clean: {warning}."));
            self.offer("ack", "say that you have seen to it: 'status' shows it no more");
        }
        if row.paused {
            self.say("Scheduled work on it is paused by an operator.");
            self.offer("resume", "release its scheduled work");
        } else {
            if let Some(at) = &row.wake {
                let failed = row.tries > 0 || row.last_error.is_some();
                let what = if failed { "What failed is tried again" } else { "A change of it is under way, or begins" };
                self.say(format!("{what} by itself in {}.", in_words(at.since(now))));
            }
            self.say(next_run.map_or("No job changes it.".into(), |at| format!("It is due again on {at}.")));
        }
        self.offer("verify", "log in with the stored password and change nothing");
        if self.may_change {
            self.offer("rotate", "change it now");
        }
    }

    fn in_doubt(&mut self, row: &AccountRecord, doubt: Doubt, now: &Moment) {
        if self.candidate {
            self.say("A change was cut off, or taken back, after the new password may have left: the device has the old or the new one, and the vault holds both.");
            if doubt.other_refused && doubt.looks == 0 {
                self.say(format!("A login with the {} one was refused.", doubt.likely.other().name()));
            }
        } else {
            self.say("Whether the device has the stored password is not known.");
        }
        if doubt.looks > 0 {
            let refused =
                if doubt.looks == 1 { "1 check was".to_owned() } else { format!("{} checks were", doubt.looks) };
            self.say(format!(
                "Since then {refused} refused. That says little about a password: its code may have been used by a person, or what judges the login may be down.",
            ));
        }
        let when = row.wake.as_ref().map_or("soon".to_owned(), |at| format!("in {}", in_words(at.since(now))));
        let which = if self.candidate { doubt.likely.name() } else { "stored" };
        self.say(format!("rotord tries the {which} one {when}, by itself and within the lockout budget."));
        self.offer("verify", "try now");
        if doubt.looks > 0 {
            if let Some(mender) = &self.account.reconcile_as {
                self.offer("reconcile", format!("set a new password through {mender}"));
            }
            self.offer("secret set", "store the password that the device has");
        }
        self.resolutions();
    }

    fn waits_for_a_person(&mut self, row: &AccountRecord, now: &Moment) {
        self.say("The device took no password that the vault has, so a person is needed; rotord tries one of them once a day all the same.");
        if let Some(at) = &row.wake {
            let what = if reconciles_next(row, &self.account.retry_rules(), at.wall_ms) {
                "Its reconcile account sets a new one"
            } else {
                "The next one is tried"
            };
            self.say(format!("{what} by itself in {}.", in_words(at.since(now))));
        }
        match &self.account.reconcile_as {
            Some(mender) => self.offer("reconcile", format!("set a new password through {mender}")),
            None => self.say("No reconcile account is named for it (reconcile_as)."),
        }
        self.offer("verify", "try the stored passwords once more, after a clock or a device was mended");
        self.offer("secret set", "store the password that the device has");
        self.resolutions();
        let history = format!("rotorctl secret show {} --history", self.account.name);
        self.next.push((history, "see all passwords that it had: a restored device may have one of them".into()));
    }

    fn resolutions(&mut self) {
        let resolve = |has: &str| format!("rotorctl resolve {} --device-has {has}", self.account.name);
        let old = if self.candidate { "old" } else { "stored" };
        let mut offers = vec![(resolve("old"), format!("say that the device has the {old} password"))];
        if self.candidate {
            offers.insert(0, (resolve("new"), "say that the device has the new password".to_owned()));
        }
        self.next.extend(offers);
    }
}

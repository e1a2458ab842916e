//! What is checked of every login: what was sent, and what was counted as refused.

use std::collections::BTreeMap;

use super::executor::lock;
use super::fleet::Wants;
use super::universe::Universe;
use crate::model::AccountName;
use crate::rotation::Phase;

/// How often each account's device said no to a password or a code, or may have been taken to say so.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<AccountName, usize>);

impl Universe {
    /// A device refuses a password or a code.
    pub(super) fn says_no(&self, device: &str, user: &str) {
        if let Some(account) = Self::account(device, user) {
            self.may_say_no(&account);
        }
        self.refused_login(device, user);
    }

    /// What becomes of a password or a code looks like a refusal.
    pub(super) fn may_say_no(&self, account: &AccountName) {
        *lock(&self.refusals).0.entry(account.clone()).or_default() += 1;
    }

    /// No refusal is put on record where the device did not refuse what was sent.
    pub(super) fn check_noted(&self, account: &AccountName) {
        let noted = lock(&self.books).book(account).map_or(0, |book| book.noted);
        let said = lock(&self.refusals).0.get(account).copied().unwrap_or(0);
        if noted > said {
            self.violation(format!("{account} has {noted} refusals on record, and its device refused it {said} times"));
        }
    }

    /// Promise 7: that a change begins, sends its password or gives up is on record in the very transaction that makes it so.
    pub(super) fn check_on_record(&self, account: &AccountName, after: Phase) {
        let is_told = matches!(after, Phase::Prepared | Phase::Mending | Phase::Sent | Phase::Quarantined);
        if is_told && !lock(&self.books).notes(account) {
            self.violation(format!("{account} is {after:?}, and that is not on record with it"));
        }
    }

    /// An answer to a question of the login: a password is no answer to the question for a code, and a new password no answer
    /// to the one for the password in force.
    pub(super) fn saw_answer(&self, device: &str, user: &str, wants: Wants, given: &str) {
        let Some(account) = Self::account(device, user) else { return };
        let books = lock(&self.books);
        let Some(book) = books.book(&account) else { return };
        let is_candidate = book.two().1.is_some_and(|candidate| candidate.expose() == given);
        let wrong = match wants {
            Wants::Code => book.knows(given),
            Wants::Password => is_candidate && matches!(book.phase(), Phase::Prepared | Phase::Changing),
            _ => false,
        };
        // Who changes it has logged in before, and is alone with it until that is over.
        let changes = matches!(wants, Wants::Password | Wants::Joined) && book.phase() == Phase::Sent;
        drop(books);
        if changes {
            self.violation(format!("{account} logs in with a password that is being changed"));
        }
        if wrong {
            self.violation(format!("{account} sends a password where its device asks for something else ({wants:?})"));
        }
    }
}

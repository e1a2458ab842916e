//! A vault in memory: what SQLite keeps, without SQLite, so that a history takes microseconds. A property test holds the
//! two against each other.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::books::{Book, Books, Noted, Tried, Used, Version};
use crate::audit::Draft;
use crate::model::{AccountName, Candidate, DeviceName, Moment, Outcome, Secret, rfc3339};
use crate::policy::restamp;
use crate::rotation::{Doubt, Persist, Phase, QUARANTINE_LOOK_MS};
use crate::totp::{Pick, Seed, Skew, Wanted};
use crate::vault::{
    AccountRow, AttemptRow, CUT_OFF, Finding, Firing, HistoryEntry, HostKeyRow, KEPT, Kind, Records, Refusal,
    Reservation, Secrets, Trail, Transition, Transitions, VaultError, Waits,
};

/// One call's view: it writes into the books in place; whoever carries the call keeps or discards the result.
pub(super) struct Pages<'a>(RefCell<&'a mut Books>);

impl<'a> Pages<'a> {
    pub(super) fn new(books: &'a mut Books) -> Self {
        Self(RefCell::new(books))
    }

    fn write<T>(&self, account: &AccountName, now: &Moment, work: impl FnOnce(&mut Book) -> T) -> T {
        work(self.0.borrow_mut().book_of(account, now))
    }

    /// Changes an account that exists; nothing happens to one that does not.
    fn update(&self, account: &AccountName, work: impl FnOnce(&mut Book)) {
        let mut books = self.0.borrow_mut();
        if let Ok(place) = books.place(account) {
            work(books.book_mut(place));
        }
    }

    fn read<T>(&self, account: &AccountName, work: impl FnOnce(&Book) -> T) -> Option<T> {
        self.0.borrow().book(account).map(work)
    }
}

fn text_of(kind: &Kind) -> Cow<'static, str> {
    match kind {
        Kind::Password => Cow::Borrowed("password"),
        Kind::Totp => Cow::Borrowed("totp"),
        Kind::SshKey => Cow::Borrowed("ssh-key"),
        Kind::Field(name) => Cow::Owned(format!("field:{name}")),
    }
}

impl Records for Pages<'_> {
    fn account(&self, account: &AccountName) -> Result<Option<AccountRow>, VaultError> {
        Ok(self.read(account, |book| book.row()))
    }

    fn accounts(&self) -> Result<Vec<AccountRow>, VaultError> {
        Ok(self.0.borrow().accounts.iter().map(Book::row).collect())
    }

    fn waiting(&self, now: &Moment, soon: i64) -> Result<Waits, VaultError> {
        let mut waiting = Waits::default();
        for book in &self.0.borrow().accounts {
            match book.wake.filter(|at| at.boot == now.boot).map(|at| at.since(now)) {
                Some(left) if left > 0 && left <= soon => {
                    waiting.next_in_ms = Some(waiting.next_in_ms.map_or(left, |next| next.min(left)));
                }
                _ if book.wake.is_some() || !matches!(book.phase, Phase::Idle | Phase::Quarantined) => {
                    waiting.due.push(book.row());
                }
                _ => {}
            }
        }
        Ok(waiting)
    }

    fn set_paused(&self, account: &AccountName, paused: bool, now: &Moment) -> Result<(), VaultError> {
        self.write(account, now, |book| book.paused = paused);
        Ok(())
    }

    fn set_job_paused(&self, job: &str, paused: bool) -> Result<(), VaultError> {
        self.0.borrow_mut().pause_job(job, paused);
        Ok(())
    }

    fn is_job_paused(&self, job: &str) -> Result<bool, VaultError> {
        Ok(self.0.borrow().paused_jobs.contains(job))
    }

    fn set_wake(&self, account: &AccountName, wake: Option<&Moment>, tries: u32) -> Result<(), VaultError> {
        self.update(account, |book| {
            book.wake = wake.cloned();
            book.tries = tries;
        });
        Ok(())
    }

    fn acknowledge(&self, account: &AccountName) -> Result<bool, VaultError> {
        let mut done = false;
        self.update(account, |book| done = book.warning.take().is_some());
        Ok(done)
    }

    fn set_verified(&self, account: &AccountName, now: &Moment) -> Result<(), VaultError> {
        self.update(account, |book| book.verified = Some(now.wall_ms));
        Ok(())
    }

    fn set_verify_error(&self, account: &AccountName, error: Option<&str>) -> Result<(), VaultError> {
        self.update(account, |book| book.verify_error = error.map(Into::into));
        Ok(())
    }

    fn skew(&self, device: &DeviceName) -> Result<Skew, VaultError> {
        Ok(self.0.borrow().clocks.get(device.as_str()).copied().unwrap_or_default())
    }

    fn skews(&self) -> Result<Vec<(String, Skew)>, VaultError> {
        Ok(self.0.borrow().clocks.iter().map(|(device, skew)| (device.clone(), *skew)).collect())
    }

    fn set_skew(&self, device: &DeviceName, skew: Skew) -> Result<(), VaultError> {
        self.0.borrow_mut().set_clock(device.as_str(), skew);
        Ok(())
    }

    fn firing(&self, job: &str) -> Result<Option<Firing>, VaultError> {
        Ok(self.0.borrow().jobs.get(job).copied())
    }

    fn set_firing(&self, job: &str, firing: Firing) -> Result<(), VaultError> {
        self.0.borrow_mut().set_job(job, firing);
        Ok(())
    }

    fn save_attempt(&self, attempt: &AttemptRow) -> Result<(), VaultError> {
        let row = attempt.ended.is_none().then(|| AttemptRow { steps: Arc::default(), ..attempt.clone() });
        self.0.borrow_mut().set_open(&attempt.id, row);
        Ok(())
    }

    fn note_steps(&self, _attempt: &AttemptRow) -> Result<(), VaultError> {
        // Only people read them.
        Ok(())
    }

    fn attempts(&self, _account: &AccountName, _most: u32) -> Result<Vec<AttemptRow>, VaultError> {
        // Only people read them.
        Ok(Vec::new())
    }

    fn end_attempt(&self, attempt: &str, _outcome: Outcome, _now: &Moment) -> Result<(), VaultError> {
        self.0.borrow_mut().set_open(attempt, None);
        Ok(())
    }

    fn is_open(&self, attempt: &str) -> Result<bool, VaultError> {
        Ok(self.0.borrow().open.contains_key(attempt))
    }

    fn open_attempts(&self) -> Result<Vec<AttemptRow>, VaultError> {
        Ok(self.0.borrow().open.values().cloned().collect())
    }

    fn close_open_attempts(&self, _now: &Moment) -> Result<(), VaultError> {
        let mut books = self.0.borrow_mut();
        let open: Vec<String> = books.open.keys().cloned().collect();
        open.iter().for_each(|attempt| books.set_open(attempt, None));
        Ok(())
    }

    fn history(&self, account: &AccountName) -> Result<Vec<HistoryEntry>, VaultError> {
        let entries = self.read(account, |book| {
            let entry = |version: &Version| HistoryEntry {
                password: version.secret.clone(),
                from: rfc3339(version.made),
                until: version.retired.map(rfc3339),
                current: Some(version.number) == book.current,
            };
            book.passwords.iter().rev().map(entry).collect()
        });
        Ok(entries.unwrap_or_default())
    }

    fn host_keys(&self, device: &str) -> Result<Vec<HostKeyRow>, VaultError> {
        Ok(self.0.borrow().host_keys.get(device).cloned().unwrap_or_default())
    }

    fn trust_host_key(&self, device: &str, key: &HostKeyRow, _now: &Moment) -> Result<(), VaultError> {
        let mut books = self.0.borrow_mut();
        let keys = books.host_keys.entry(device.to_owned()).or_default();
        keys.retain(|known| known.fingerprint != key.fingerprint);
        keys.push(key.clone());
        Ok(())
    }
}

impl Secrets for Pages<'_> {
    fn set_secret(&self, account: &AccountName, kind: &Kind, secret: &Secret, now: &Moment) -> Result<(), VaultError> {
        self.write(account, now, |book| {
            if *kind != Kind::Password {
                Arc::make_mut(&mut book.others).insert(text_of(kind).into_owned(), secret.clone());
                return;
            }
            let number = book.add_password(secret, now);
            for version in Arc::make_mut(&mut book.passwords) {
                if version.number < number && version.retired.is_none() {
                    version.retired = Some(now.wall_ms);
                }
            }
            book.current = Some(number);
            book.candidate = None;
            book.wake = None;
            book.tries = 0;
            book.last_error = None;
            book.verified = None;
            book.verify_error = None;
            book.flaw = None;
            book.set_phase(Phase::Idle, None, now);
        });
        Ok(())
    }

    fn secret(&self, account: &AccountName, kind: &Kind) -> Result<Option<Secret>, VaultError> {
        let found = self.read(account, |book| match kind {
            Kind::Password => book.password(book.current).cloned(),
            _ => book.others.get(&*text_of(kind)).cloned(),
        });
        Ok(found.flatten())
    }

    fn secret_fields(&self, account: &AccountName) -> Result<Vec<(String, Secret)>, VaultError> {
        let fields = self.read(account, |book| {
            let field =
                |(kind, value): (&String, &Secret)| Some((kind.strip_prefix("field:")?.to_owned(), value.clone()));
            book.others.iter().filter_map(field).collect()
        });
        Ok(fields.unwrap_or_default())
    }
}

impl Transitions for Pages<'_> {
    fn transition(&self, transition: &Transition<'_>) -> Result<(), VaultError> {
        let Transition { account, attempt, persist, candidate, keep, flaw, now } = *transition;
        if matches!(persist, Persist::Prepared | Persist::Mending) {
            let candidate = candidate.ok_or(VaultError::Unreadable("candidate"))?;
            self.write(account, now, |book| {
                let number = book.add_password(candidate.secret(), now);
                book.candidate = Some(number);
                let phase = if persist == Persist::Mending { Phase::Mending } else { Phase::Prepared };
                book.set_phase(phase, Some(attempt), now);
            });
            return Ok(());
        }
        if persist == Persist::Sent {
            self.0.borrow_mut().sent.push(account.clone());
        }
        self.update(account, |book| match persist {
            Persist::Prepared | Persist::Mending => {}
            Persist::Changing => book.set_phase(Phase::Changing, Some(attempt), now),
            Persist::Sent => {
                book.set_phase(Phase::Sent, Some(attempt), now);
                book.flaw = Some(CUT_OFF.into());
                if !book.changes.iter().any(|(known, _)| known == attempt) {
                    Arc::make_mut(&mut book.changes).push((attempt.to_owned(), *now));
                }
            }
            Persist::Verifying => {
                book.set_phase(Phase::Verifying, Some(attempt), now);
                book.flaw = None;
            }
            Persist::Uncertain(doubt) => {
                book.drop_unsent();
                book.adopt_taken_back();
                book.set_phase(Phase::Uncertain(doubt), Some(attempt), now);
                if flaw.is_some() {
                    book.flaw = flaw.map(Into::into);
                }
            }
            Persist::Quarantine => {
                book.drop_unsent();
                if book.phase != Phase::Mending {
                    book.tries = 0;
                    book.wake = Some(now.plus_ms(QUARANTINE_LOOK_MS));
                }
                book.set_phase(Phase::Quarantined, Some(attempt), now);
            }
            Persist::Promote => {
                if flaw.is_some() {
                    book.flaw = flaw.map(Into::into);
                }
                book.adopt_taken_back();
                let candidate = book.candidate;
                for version in Arc::make_mut(&mut book.passwords) {
                    if candidate.is_some() && version.retired.is_none() && Some(version.number) != candidate {
                        version.retired = Some(now.wall_ms);
                    }
                }
                if candidate.is_some() {
                    book.current = book.candidate.take();
                    book.last_change = Some(now.wall_ms);
                    book.last_error = None;
                    book.verify_error = None;
                    book.wake = None;
                    book.tries = 0;
                    book.warning = book.flaw.take();
                }
                let newest = book.passwords.len().saturating_sub(keep.max(KEPT - 1) + 1);
                let mut place = 0;
                Arc::make_mut(&mut book.passwords).retain(|version| {
                    place += 1;
                    version.retired.is_none() || place > newest
                });
                book.set_phase(Phase::Idle, None, now);
            }
            Persist::Revert => {
                let unsent = matches!(book.phase, Phase::Prepared | Phase::Changing);
                book.drop_unsent();
                let candidate = book.candidate.take();
                book.flaw = None;
                for version in Arc::make_mut(&mut book.passwords) {
                    if Some(version.number) == candidate {
                        version.retired = Some(now.wall_ms);
                    }
                }
                book.wake = None;
                if !unsent {
                    book.tries = 0;
                }
                book.set_phase(Phase::Idle, None, now);
            }
        });
        Ok(())
    }

    fn doubt(
        &self,
        account: &AccountName,
        why: &str,
        attempt: &str,
        looks: u8,
        now: &Moment,
    ) -> Result<bool, VaultError> {
        let mut done = false;
        self.update(account, |book| {
            done = book.phase == Phase::Idle && book.current.is_some();
            if done {
                let doubt = Doubt::of_stored(looks, book.adopt_taken_back());
                book.set_phase(Phase::Uncertain(doubt), Some(attempt), now);
                (book.last_error, book.wake, book.tries) = (Some(why.into()), None, 0);
            }
        });
        Ok(done)
    }

    fn taken_back(&self, account: &AccountName) -> Result<Option<Candidate>, VaultError> {
        let found = self.read(account, |book| book.taken_back().map(|version| Candidate::new(version.secret.clone())));
        Ok(found.flatten())
    }

    fn set_last_error(&self, account: &AccountName, error: Option<&str>) -> Result<(), VaultError> {
        self.update(account, |book| book.last_error = error.map(Into::into));
        Ok(())
    }

    fn candidate(&self, account: &AccountName) -> Result<Option<Candidate>, VaultError> {
        Ok(self.read(account, |book| book.password(book.candidate).cloned().map(Candidate::new)).flatten())
    }

    fn changes(&self, account: &AccountName, now: &Moment) -> Result<Vec<Moment>, VaultError> {
        let lies = |stamp: &Moment| restamp(stamp, now).is_some();
        if self.read(account, |book| book.changes.iter().any(|(_, stamp)| lies(stamp))) == Some(true) {
            self.update(account, |book| {
                for (_, stamp) in Arc::make_mut(&mut book.changes) {
                    *stamp = restamp(stamp, now).unwrap_or(*stamp);
                }
            });
        }
        let stamps = self.read(account, |book| book.changes.iter().map(|(_, stamp)| *stamp).collect());
        Ok(stamps.unwrap_or_default())
    }

    fn all_changes(&self) -> Result<HashMap<String, Vec<Moment>>, VaultError> {
        let books = self.0.borrow();
        let stamps = |book: &Book| book.changes.iter().map(|(_, stamp)| *stamp).collect();
        Ok(books.accounts.iter().map(|book| (book.name.to_string(), stamps(book))).collect())
    }

    fn add_failed_login(&self, account: &AccountName, now: &Moment) -> Result<i64, VaultError> {
        Ok(self.write(account, now, |book| {
            book.tried += 1;
            Arc::make_mut(&mut book.failed).push(Tried { id: book.tried, at: *now, refused: None, past: false });
            book.tried
        }))
    }

    fn remove_failed_login(&self, account: &AccountName, id: i64) -> Result<(), VaultError> {
        self.update(account, |book| Arc::make_mut(&mut book.failed).retain(|tried| tried.id != id));
        Ok(())
    }

    fn login_was_refused(&self, account: &AccountName, id: i64, with_code: bool) -> Result<(), VaultError> {
        self.update(account, |book| {
            if let Some(tried) = Arc::make_mut(&mut book.failed).iter_mut().find(|tried| tried.id == id) {
                tried.refused = Some(with_code);
                book.noted += 1;
            }
        });
        Ok(())
    }

    fn login_was_taken(&self, account: &AccountName, with_code: bool) -> Result<(), VaultError> {
        let is_past = |tried: &Tried| tried.refused.is_some_and(|sent_code| with_code || !sent_code);
        if self.read(account, |book| book.failed.iter().any(is_past)) == Some(true) {
            self.update(account, |book| {
                let failed = Arc::make_mut(&mut book.failed).iter_mut();
                failed.filter(|tried| is_past(tried)).for_each(|tried| tried.past = true);
            });
        }
        Ok(())
    }

    fn refused_for_secret(&self, account: &AccountName) -> Result<(), VaultError> {
        self.update(account, |book| {
            let failed = Arc::make_mut(&mut book.failed).iter_mut();
            failed.filter(|tried| tried.refused.is_some()).for_each(|tried| tried.refused = Some(false));
        });
        Ok(())
    }

    fn refusals(&self, account: &AccountName, now: &Moment) -> Result<Vec<Refusal>, VaultError> {
        let refusal = |tried: &Tried| {
            let at = restamp(&tried.at, now).unwrap_or(tried.at);
            tried.refused.map(|with_code| Refusal { at, with_code, past: tried.past })
        };
        Ok(self.read(account, |book| book.failed.iter().filter_map(refusal).collect()).unwrap_or_default())
    }

    fn failed_logins(&self, account: &AccountName, now: &Moment) -> Result<Vec<Moment>, VaultError> {
        let lies = |stamp: &Moment| restamp(stamp, now).is_some();
        if self.read(account, |book| book.failed.iter().any(|tried| lies(&tried.at))) == Some(true) {
            self.update(account, |book| {
                for tried in Arc::make_mut(&mut book.failed) {
                    tried.at = restamp(&tried.at, now).unwrap_or(tried.at);
                }
            });
        }
        let stamps = self.read(account, |book| book.failed.iter().map(|tried| tried.at).collect());
        Ok(stamps.unwrap_or_default())
    }

    fn free_code(&self, seed: &Seed, wanted: Wanted, now: &Moment) -> Result<Pick, VaultError> {
        Ok(self.0.borrow().pick(&seed.hmac_key().into(), seed, wanted, now))
    }

    fn reserve_code(&self, seed: &Seed, wanted: Wanted, now: &Moment) -> Result<Reservation, VaultError> {
        let key: Arc<[u8]> = seed.hmac_key().into();
        let mut books = self.0.borrow_mut();
        Ok(match books.pick(&key, seed, wanted, now) {
            Pick::WaitUntil(at) => Reservation::WaitUntil(at),
            Pick::Use(step) => {
                let code = seed.code(step);
                books.used.insert((key.clone(), step));
                books.used_order.push(Used { key, step, code: code.clone() });
                Reservation::Code { code, step }
            }
        })
    }

    fn clock_was_set(&self, now: &Moment) -> Result<(), VaultError> {
        let fresh = |stamp: &mut Moment| {
            if stamp.boot == now.boot {
                stamp.wall_ms = now.wall_ms - (now.since_boot_ms - stamp.since_boot_ms);
            }
        };
        let mut books = self.0.borrow_mut();
        for place in 0..books.accounts.len() {
            let book = books.book_mut(place);
            Arc::make_mut(&mut book.changes).iter_mut().for_each(|(_, stamp)| fresh(stamp));
            Arc::make_mut(&mut book.failed).iter_mut().for_each(|tried| fresh(&mut tried.at));
            book.wake.iter_mut().for_each(fresh);
        }
        Ok(())
    }

    fn forget_old(&self, now: &Moment) -> Result<(), VaultError> {
        const DAY: i64 = 86_400_000;
        let old = |stamp: &Moment| stamp.wall_ms < now.wall_ms.saturating_sub(8 * DAY) && stamp.boot != now.boot;
        let mut books = self.0.borrow_mut();
        for place in 0..books.accounts.len() {
            let book = &books.accounts[place];
            if book.changes.iter().any(|(_, stamp)| old(stamp)) || book.failed.iter().any(|tried| old(&tried.at)) {
                let book = books.book_mut(place);
                Arc::make_mut(&mut book.changes).retain(|(_, stamp)| !old(stamp));
                Arc::make_mut(&mut book.failed).retain(|tried| !old(&tried.at));
            }
        }
        Ok(())
    }
}

impl Trail for Pages<'_> {
    fn audit(&self, draft: &Draft, _now: &Moment) -> Result<(), VaultError> {
        let mut books = self.0.borrow_mut();
        books.log.push(Noted { event: draft.event, account: draft.account.clone(), attempt: draft.attempt.clone() });
        Ok(())
    }

    fn probe(&self, _now: &Moment) -> Result<(), VaultError> {
        Ok(())
    }

    fn audit_head(&self) -> Result<(u64, String), VaultError> {
        Ok((self.0.borrow().log.len() as u64, String::new()))
    }

    fn audit_finding(&self) -> Result<Option<Finding>, VaultError> {
        Ok(None)
    }

    fn accept_audit_finding(&self) -> Result<(), VaultError> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;

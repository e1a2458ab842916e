//! What a device makes of password and code: it lets in, refuses, lets nobody in, or demands a new password.

use super::{After, Door, HUNG_UP};
use crate::executor::terminal::Reply;
use crate::sim::faults::Fault;
use crate::sim::fleet::words::{BAD_PASSWORD, Closed, Says, Wants, one};
use crate::sim::fleet::{Asks, Refuses};
use crate::sim::habits::Habit;
use crate::sim::universe::Universe;

/// What a device thinks of password and code.
enum Judged {
    Wrong,
    NotNow(Closed),
    Right { expired: bool },
}

impl Door {
    pub(super) fn judge(&mut self) -> Result<Reply, String> {
        let (user, code) = (self.attempt.user.clone(), self.attempt.code.clone());
        if let Some(code) = &code {
            self.universe.saw_code(&self.device, &user, code);
        }
        if code.is_some() && self.universe.fault(Fault::CodeJustUsed) {
            let now = self.universe.now();
            self.site(|site| {
                let clock = site.clock(now);
                if let Some(truth) = site.users.get_mut(&user) {
                    truth.code_is_used(clock);
                }
            });
        }
        if code.is_some() {
            self.shows(Habit::NewerStepsOnly);
        }
        let judged = self.judged();
        match judged {
            Judged::Wrong => self.refuse(),
            // Linux lets in, and its shell says so (pam_limits(8)).
            Judged::NotNow(Closed::NoRoom) if self.site(|site| site.variant.is_multiple_of(3)) => {
                self.without_room = true;
                self.enter()
            }
            Judged::NotNow(why) => self.not_now(why),
            Judged::Right { expired: true } if self.attempt.new.is_none() && self.renews_at_login() => Ok(self.renew()),
            Judged::Right { .. } => match self.attempt.new.take().filter(|_| self.attempt.unjudged) {
                Some(new) => self.changed(&new),
                None => self.enter(),
            },
        }
    }

    fn judged(&self) -> Judged {
        let now = self.universe.now();
        let (user, code) = (self.attempt.user.as_str(), self.attempt.code.as_deref());
        let excuse = || {
            if let Some(account) = Universe::account(&self.device, user) {
                self.universe.excuse(&account);
            }
        };
        if self.lets_nobody_in() {
            excuse();
            return Judged::Wrong;
        }
        self.universe.excuse_anothers(&self.device, user, code);
        let password = self.attempt.password.as_deref().unwrap_or_default();
        let (right, locked, closed, expired) = self.site(|site| {
            let (asks, strict, clock, locks_after) = (site.asks, site.strict, site.clock(now), site.locks_after);
            let (newer, one, tells) = (
                site.habits.has(Habit::NewerStepsOnly),
                site.habits.has(Habit::OneSession),
                site.habits.has(Habit::TellsLocked),
            );
            let closed = site.is_closed(now);
            let Some(truth) = site.users.get_mut(user) else { return (false, false, None, false) };
            let locked = truth.locked_until > now;
            if locked && tells {
                return (false, true, None, false);
            }
            let right_code = !asks.has_code() || truth.accepts(code, clock, strict, newer);
            let right = truth.password == password && right_code;
            if !right || locked {
                truth.is_refused(now, locks_after);
            }
            let no_room = (one && truth.has_no_room(now)).then_some(Closed::NoRoom);
            (right, locked, closed.or(no_room), truth.expired)
        });
        match (right, locked) {
            (_, true) if self.has(Habit::TellsLocked) => Judged::NotNow(Closed::Locked),
            (true, true) => {
                excuse();
                Judged::Wrong
            }
            (false, _) => Judged::Wrong,
            (true, false) => closed.map_or(Judged::Right { expired }, Judged::NotNow),
        }
    }

    /// It does not take what it was given.
    fn refuse(&mut self) -> Result<Reply, String> {
        self.universe.says_no(&self.device, &self.attempt.user);
        self.attempt.password = None;
        let refuses = self.site(|site| site.refuses);
        let wants = if self.asks == Asks::Joined { Wants::Joined } else { Wants::Password };
        if self.attempt.interactive
            && refuses != Refuses::HangsUp
            && self.attempt.tries < 2
            && self.has(Habit::TriesAgain)
        {
            self.shows(Habit::TriesAgain);
            self.attempt.tries += 1;
            self.refused = true;
            let above = self.site(|site| site.try_again());
            let reply = self.ask(&[wants], "", above);
            self.attempt.asked = vec![Wants::Again];
            return Ok(reply);
        }
        if refuses == Refuses::InWords && self.attempt.interactive && self.shows(Habit::Explains) {
            let reason = self.site(|site| site.reason());
            return Ok(self.tell(reason, After::Refusal));
        }
        self.refused = true;
        match refuses {
            Refuses::HangsUp => {
                if self.shows(Habit::HangsUpInWords) {
                    self.words.push("Too many authentication failures".into());
                }
                Err(HUNG_UP.into())
            }
            Refuses::AsksAgain if self.attempt.interactive => {
                let reply = self.ask(&[wants], "", "");
                self.attempt.asked = vec![Wants::Again];
                Ok(reply)
            }
            _ => Ok(self.failure()),
        }
    }

    /// It lets nobody in now, and that is no judgement of the password.
    fn not_now(&mut self, why: Closed) -> Result<Reply, String> {
        let (says, text) = self.site(|site| (site.says, why.words(&self.attempt.user, site.variant)));
        self.universe.tell(|| format!("{}/{} is not let in: {text}", self.device, self.attempt.user));
        match why {
            Closed::Locked => drop(self.shows(Habit::TellsLocked)),
            Closed::NoRoom => drop(self.shows(Habit::OneSession)),
            _ => {}
        }
        match says {
            Says::InRound if self.attempt.interactive => Ok(self.tell(&text, After::NotNow)),
            Says::HangingUp => {
                self.words.push(text);
                Err(HUNG_UP.into())
            }
            _ => {
                self.words.push(text);
                Ok(self.failure())
            }
        }
    }

    pub(super) fn renews_at_login(&self) -> bool {
        self.asks != Asks::PasswordOnly && !self.has(Habit::ForcesInShell)
    }

    /// The login demands a new password.
    fn renew(&mut self) -> Reply {
        // Where the code came first nothing but the words tells that the password was taken.
        let says = self.asks == Asks::CodeThenPassword || self.shows(Habit::SaysWhy);
        let why = if says { self.site(|site| site.expired()) } else { "" };
        if self.shows(Habit::AsksCurrent) {
            return self.ask(&[Wants::Current], why, "");
        }
        self.demand(why)
    }

    pub(super) fn demand(&mut self, why: &str) -> Reply {
        let in_prompt = self.site(|site| site.variant.is_multiple_of(2)) && !why.is_empty();
        if in_prompt { self.ask(&[Wants::New], "", &format!("{why}\n")) } else { self.ask(&[Wants::New], why, "") }
    }

    /// A new password came.
    pub(super) fn new_given(&mut self) -> Reply {
        let new = self.attempt.new.clone().unwrap_or_default();
        self.universe.saw_new(&self.device, &self.attempt.user, &new);
        if !self.attempt.unjudged && (self.attempt.new_refused > 0 || self.universe.fault(Fault::ChoosyAtLogin)) {
            self.attempt.new_refused += 1;
            self.attempt.new = None;
            if self.attempt.new_refused == 3 {
                return self.tell("Have exhausted maximum number of retries for service", After::NotNow);
            }
            let why = self.site(|site| one(&BAD_PASSWORD, site.variant));
            return self.demand(why);
        }
        self.ask(&[Wants::Retype], "", "")
    }

    pub(super) fn new_repeated(&mut self, second: &str) -> Result<Reply, String> {
        match self.attempt.new.clone() {
            Some(first) if first == second && self.attempt.unjudged => match self.rounds().get(self.attempt.round) {
                Some(next) => Ok(self.ask(next, "", "")),
                None => self.judge(),
            },
            Some(first) if first == second => self.changed(second),
            _ => Err(HUNG_UP.into()),
        }
    }

    fn changed(&mut self, new: &str) -> Result<Reply, String> {
        let user = self.attempt.user.clone();
        self.universe.set_password(&self.device, &user, new);
        self.site(|site| {
            if let Some(user) = site.users.get_mut(&user) {
                user.expired = false;
            }
        });
        if self.shows(Habit::ClosesOnChange) {
            self.words.push("Password changed. Log in with the new password.".into());
            // Nobody knows such words.
            Universe::account(&self.device, &user).iter().for_each(|account| self.universe.may_say_no(account));
            return Err(HUNG_UP.into());
        }
        self.enter()
    }
}

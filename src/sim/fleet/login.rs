//! What a device asks at a login, and what it makes of the answers.

use std::sync::Arc;

use russh::keys::PrivateKey;

use super::words::{BAD_PASSWORD, Closed, OWN_WORDS, PERSONS, PLAIN_WORDS, Says, Wants, Wording, one};
use super::{Asks, Refuses, Site, keys};
use crate::device::{Ask, Methods, Reply};
use crate::model::Secret;
use crate::sim::faults::Fault;
use crate::sim::habits::Habit;
use crate::sim::universe::Universe;

/// What a device knows of a login that is under way.
#[derive(Default)]
pub(super) struct Attempt {
    pub(super) user: String,
    password: Option<String>,
    code: Option<String>,
    /// The key was the right one.
    key: bool,
    /// Keyboard-interactive has begun.
    interactive: bool,
    /// How many of the rounds of password and code were answered.
    round: usize,
    /// What the questions of the round at hand want.
    asked: Vec<Wants>,
    /// A question was asked before.
    asked_before: bool,
    /// What follows a round without a question.
    after: Option<After>,
    /// How often it asked again.
    tries: usize,
    /// The password came, as the answer to a question for it.
    password_came: bool,
    /// The new password, once given, where the login demands one.
    new: Option<String>,
    /// The new password was refused in words.
    new_refused: usize,
    /// The new password was demanded before anything was judged.
    unjudged: bool,
}

/// What follows a round without a question.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Question,
    Refusal,
    /// No, and it says nothing of password and code.
    NotNow,
}

/// What a device thinks of password and code.
enum Judged {
    Wrong,
    NotNow(Closed),
    Right { expired: bool },
}

/// A device and the login that is under way at it.
pub(super) struct Door {
    pub(super) universe: Arc<Universe>,
    pub(super) device: String,
    asks: Asks,
    pub(super) attempt: Attempt,
    /// It said no, and that was told.
    pub(super) refused: bool,
    /// What it says besides its questions, and was not asked for yet.
    pub(super) words: Vec<String>,
    /// It lets in, and has no room for the session.
    pub(super) without_room: bool,
}

/// A connection that is gone.
pub(super) const HUNG_UP: &str = "the device hung up";

impl Door {
    pub(super) fn new(universe: Arc<Universe>, device: String, asks: Asks) -> Self {
        Self {
            universe,
            device,
            asks,
            attempt: Attempt::default(),
            refused: false,
            words: Vec::new(),
            without_room: false,
        }
    }

    fn site<T>(&self, work: impl FnOnce(&mut Site) -> T) -> T {
        self.universe.site(&self.device, work)
    }

    /// Whether the device has a habit that shows now.
    fn shows(&self, habit: Habit) -> bool {
        self.universe.shows(&self.device, habit)
    }

    fn has(&self, habit: Habit) -> bool {
        self.site(|site| site.habits.has(habit))
    }

    fn methods(&self) -> Methods {
        let none = Methods::default();
        let hollow = self.has(Habit::HollowInteractive);
        match self.asks {
            Asks::PasswordOnly | Asks::PasswordMethodThenCode => {
                Methods { password: true, interactive: hollow, ..none }
            }
            Asks::KeyThenPassword if !self.attempt.key => Methods { key: true, ..none },
            Asks::KeyOrPassword => Methods { key: true, interactive: true, ..none },
            _ => Methods { interactive: true, ..none },
        }
    }

    /// What is asked for, round by round.
    fn rounds(&self) -> &'static [&'static [Wants]] {
        match self.asks {
            Asks::PasswordThenCode | Asks::KeyThenPassword | Asks::KeyOrPassword | Asks::OwnWords => {
                &[&[Wants::Password], &[Wants::Code]]
            }
            Asks::CodeThenPassword => &[&[Wants::Code], &[Wants::Password]],
            Asks::PasswordMethodThenCode => &[&[Wants::Code]],
            Asks::Together => &[&[Wants::Password, Wants::Code]],
            Asks::Joined => &[&[Wants::Joined]],
            Asks::PasswordOnly | Asks::InSession => &[&[Wants::Password]],
        }
    }

    fn wording(&self) -> Wording {
        if self.asks == Asks::OwnWords { OWN_WORDS } else { PLAIN_WORDS }
    }

    fn failure(&self) -> Reply {
        Reply::Failure { methods: self.methods(), partial: false }
    }

    /// Asks; `above` stands in front of the first question.
    fn ask(&mut self, wanted: &[Wants], context: &str, above: &str) -> Reply {
        let (first, words, user) = (!self.attempt.asked_before, self.wording(), &self.attempt.user);
        let mut prompts: Vec<String> =
            self.site(|site| wanted.iter().map(|wants| site.question(user, *wants, words, first)).collect());
        if let Some(prompt) = prompts.first_mut() {
            prompt.insert_str(0, above);
        }
        if !matches!(wanted, [Wants::Person]) {
            if self.shows(Habit::NamesUser) && self.attempt.user.contains('-') {
                self.shows(Habit::OddUserName);
            }
            self.shows(Habit::Notices);
        }
        (self.attempt.asked, self.attempt.asked_before) = (wanted.to_vec(), true);
        Reply::Prompts { context: context.to_owned(), prompts }
    }

    /// Says something in a round without a question.
    fn tell(&mut self, text: &str, after: After) -> Reply {
        self.attempt.asked.clear();
        self.attempt.after = Some(after);
        Reply::Prompts { context: text.to_owned(), prompts: Vec::new() }
    }

    /// What the device does with a message: the whole of its mind, without the network.
    pub(super) fn mind(&mut self, user: &str, ask: Ask) -> Result<Reply, String> {
        user.clone_into(&mut self.attempt.user);
        match ask {
            Ask::None if self.asks == Asks::InSession => self.enter(),
            Ask::None => {
                if self.shows(Habit::LegalBanner) {
                    self.words.push(self.site(|site| site.banner().to_owned()));
                }
                Ok(self.failure())
            }
            Ask::Key(key) => self.key(user, &key),
            Ask::Password(secret) => self.password(secret.expose()),
            Ask::Interactive => Ok(self.begin()),
            Ask::Answers(answers) => match self.attempt.after.take() {
                Some(After::Question) => Ok(self.first_question()),
                Some(After::Refusal) => {
                    self.refused = true;
                    Ok(self.failure())
                }
                Some(After::NotNow) => Ok(self.failure()),
                None => self.answers(&answers),
            },
        }
    }

    fn password(&mut self, given: &str) -> Result<Reply, String> {
        self.saw(Wants::Password, given);
        self.attempt.password = Some(given.to_owned());
        if self.asks == Asks::PasswordMethodThenCode && !self.lets_nobody_in() {
            let user = &self.attempt.user;
            let right = self.site(|site| site.users.get(user).is_some_and(|truth| truth.password == given));
            if right {
                let methods = Methods { interactive: true, ..Methods::default() };
                return Ok(Reply::Failure { methods, partial: true });
            }
        }
        self.judge()
    }

    fn begin(&mut self) -> Reply {
        let partly = self.attempt.password_came;
        let fits = match self.asks {
            Asks::KeyThenPassword => self.attempt.key,
            Asks::PasswordOnly | Asks::PasswordMethodThenCode => partly,
            _ => true,
        };
        if !fits {
            self.shows(Habit::HollowInteractive);
            return self.failure();
        }
        self.attempt.interactive = true;
        let now = self.universe.now();
        let early = self.site(|site| {
            let why = site.is_closed(now).filter(|_| site.says == Says::InRound && site.variant.is_multiple_of(2));
            why.map(|why| why.words(&self.attempt.user, site.variant))
        });
        if let Some(text) = early {
            return self.tell(&text, After::NotNow);
        }
        if self.shows(Habit::Greets) {
            let greeting = self.site(|site| site.greeting());
            return self.tell(greeting, After::Question);
        }
        self.first_question()
    }

    fn first_question(&mut self) -> Reply {
        let rounds = self.rounds();
        self.ask(rounds[0], "", "")
    }

    /// Where the code would be asked for, something is that no code answers.
    fn wants_person(&mut self) -> Reply {
        let variant = self.site(|site| site.variant);
        self.ask(&[Wants::Person], PERSONS[variant % PERSONS.len()].0, "")
    }

    fn answers(&mut self, answers: &[Secret]) -> Result<Reply, String> {
        let asked = std::mem::take(&mut self.attempt.asked);
        if asked.len() != answers.len() {
            self.universe.violation(format!(
                "{} asks {} questions and gets {}",
                self.device,
                asked.len(),
                answers.len()
            ));
        }
        for (wants, answer) in asked.iter().zip(answers) {
            self.saw(*wants, answer.expose());
            self.take(*wants, answer.expose());
        }
        match asked.first() {
            Some(Wants::Current) => {
                let user = &self.attempt.user;
                let given = answers.first().map_or("", Secret::expose);
                let right = self.site(|site| site.users.get(user).is_some_and(|truth| truth.password == given));
                if right { Ok(self.demand("")) } else { Err(HUNG_UP.into()) }
            }
            Some(Wants::New) => Ok(self.new_given()),
            Some(Wants::Retype) => self.new_repeated(answers.first().map_or("", Secret::expose)),
            Some(Wants::Person) => Ok(self.failure()),
            _ => self.next_round(),
        }
    }

    fn take(&mut self, wants: Wants, given: &str) {
        match wants {
            Wants::Password | Wants::Again => self.attempt.password = Some(given.to_owned()),
            Wants::Code => self.attempt.code = Some(given.to_owned()),
            Wants::Joined => {
                let cut = given.len().saturating_sub(8);
                self.attempt.password = given.get(..cut).map(str::to_owned);
                self.attempt.code = given.get(cut..).map(str::to_owned);
            }
            Wants::New => self.attempt.new = Some(given.to_owned()),
            Wants::Current | Wants::Retype | Wants::Person => {}
        }
    }

    /// A round of password and code was answered.
    fn next_round(&mut self) -> Result<Reply, String> {
        let rounds = self.rounds();
        let has_password =
            |round: &&[Wants]| round.iter().any(|wants| matches!(wants, Wants::Password | Wants::Joined));
        let password_now = rounds.get(self.attempt.round).is_some_and(has_password);
        self.attempt.round += 1;
        let (user, password) = (self.attempt.user.clone(), self.attempt.password.clone());
        if password_now && self.attempt.new.is_none() && self.has(Habit::DemandsUnjudged) {
            let expired = self.site(|site| site.users.get(&user).is_some_and(|user| user.expired));
            if expired && self.renews_at_login() {
                self.shows(Habit::DemandsUnjudged);
                self.attempt.unjudged = true;
                return Ok(self.ask(&[Wants::New], "", ""));
            }
        }
        let Some(next) = rounds.get(self.attempt.round) else { return self.judge() };
        if password_now && !self.lets_nobody_in() {
            let wrong =
                self.site(|site| site.users.get(&user).is_none_or(|truth| Some(&truth.password) != password.as_ref()));
            if wrong && self.shows(Habit::JudgesEach) {
                return self.judge();
            }
            // Nobody hears of a choice who gets it wrong before.
            if !wrong && self.universe.fault(Fault::WantsPerson) {
                return Ok(self.wants_person());
            }
        }
        Ok(self.ask(next, "", ""))
    }

    /// Whether each login is refused, whatever comes.
    fn lets_nobody_in(&self) -> bool {
        self.universe.lets_nobody_in(&self.device)
    }

    fn judge(&mut self) -> Result<Reply, String> {
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

    fn renews_at_login(&self) -> bool {
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

    fn demand(&mut self, why: &str) -> Reply {
        let in_prompt = self.site(|site| site.variant.is_multiple_of(2)) && !why.is_empty();
        if in_prompt { self.ask(&[Wants::New], "", &format!("{why}\n")) } else { self.ask(&[Wants::New], why, "") }
    }

    /// A new password came.
    fn new_given(&mut self) -> Reply {
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

    fn new_repeated(&mut self, second: &str) -> Result<Reply, String> {
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

    fn key(&mut self, user: &str, key: &PrivateKey) -> Result<Reply, String> {
        let offered = keys().iter().position(|(_, known)| known.key_data() == key.public_key().key_data());
        let (own, lost) =
            self.site(|site| site.users.get(user).map_or((None, false), |user| (user.key, user.key_is_lost)));
        if offered.is_none() || offered != own {
            self.universe.violation(format!("{}/{user} is offered a key that is not its own", self.device));
        }
        if lost || !self.methods().key {
            return Ok(self.failure());
        }
        if self.asks == Asks::KeyOrPassword {
            return self.enter();
        }
        self.attempt.key = true;
        Ok(Reply::Failure { methods: self.methods(), partial: true })
    }

    fn enter(&self) -> Result<Reply, String> {
        self.site(|site| {
            site.sessions += 1;
            site.most_sessions = site.most_sessions.max(site.sessions);
            if let Some(user) = site.users.get_mut(&self.attempt.user) {
                user.sessions += 1;
            }
        });
        self.universe.logged_in(&self.device, &self.attempt.user);
        Ok(Reply::In)
    }

    /// What is checked of every secret that comes: each once, and only where the device means to have it.
    fn saw(&mut self, wants: Wants, given: &str) {
        let (who, attempt) = (format!("{}/{}", self.device, self.attempt.user), &mut self.attempt);
        let wrong = match wants {
            Wants::Person => Some("answers where only a person can"),
            Wants::Again if !given.is_empty() => Some("answers where the device refused it and asks again"),
            Wants::Password | Wants::Joined if attempt.password_came => Some("sends a password twice in one login"),
            Wants::New if attempt.new_refused > 0 => Some("sends a new password again that was refused in words"),
            _ => None,
        };
        attempt.password_came |= matches!(wants, Wants::Password | Wants::Joined);
        if let Some(what) = wrong {
            self.universe.violation(format!("{who} {what}"));
        }
        self.universe.saw_answer(&self.device, &self.attempt.user, wants, given);
    }
}

//! What a device asks at a login, and what it makes of the answers.

mod verdict;

use std::sync::Arc;

use russh::keys::PrivateKey;

use super::words::{OWN_WORDS, PERSONS, PLAIN_WORDS, Says, Wants, Wording};
use super::{Asks, Site, keys};
use crate::executor::terminal::{Ask, Methods, Reply};
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
            self.shows(Habit::SamePrompts);
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
        if rounds[0] == [Wants::Password] && self.has_no_order() && self.universe.fault(Fault::AsksTwice) {
            let reply = self.ask(&[Wants::Password, Wants::Password], "", "");
            self.attempt.asked = vec![Wants::Nothing; 2];
            return reply;
        }
        self.ask(rounds[0], "", "")
    }

    /// Whether the config does not tell two questions of the same words apart.
    fn has_no_order(&self) -> bool {
        !self.has(Habit::SamePrompts)
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
            Some(Wants::Person | Wants::Nothing) => Ok(self.failure()),
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
            Wants::Current | Wants::Retype | Wants::Person | Wants::Nothing => {}
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
        // Whoever has both and asks on has judged them.
        let all_came = matches!(self.asks, Asks::Together | Asks::Joined);
        if password_now && !all_came && self.attempt.new.is_none() && self.has(Habit::DemandsUnjudged) {
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
            Wants::Nothing => Some("answers a round that cannot be answered whole"),
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

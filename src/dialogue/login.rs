//! How the questions of an SSH login are answered (keyboard-interactive, RFC 4256).
//!
//! A question is answered only where it is understood. What nothing answers ends the attempt and is shown, since a wrong
//! guess costs a failed login, and enough of those lock an account out. A round is answered whole or not at all. Each
//! secret goes once in a login, see [`Given`].

use super::format::LoginFormat;
use super::pattern::Pattern;
use super::prompts::{Kind, Names, asks_for_person, is_refusal, lines, read, says_expired, wants_next_code};
use super::refusal::device_refuses;

/// What to answer to a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The login password.
    Password,
    /// A fresh code.
    Code,
    /// Password and fresh code in one field.
    Joined(LoginFormat),
    /// The new password: the device demands one at login. This is the commit point.
    NewPassword,
    /// The user name.
    UserName,
    /// Nothing: the prompt only wants a key pressed.
    Empty,
    /// What the template says, by the number of its `login-prompt`.
    Template(usize),
}

/// Why a login does not go on. The texts are the device's, as it sent them: mask them before they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Nobody knows what this prompt wants, or the round that it stands in; and what a template might answer.
    Unknown(String, &'static str),
    /// What was sent is refused, in these words.
    Refused(String),
    /// The new password is refused, in these words. It must not be sent again.
    NewRefused(String),
    /// A new password is demanded that this login is not to give, after the device took the old one.
    NewDemanded,
    /// The same, and nothing tells whether the old one was taken.
    NewUnproved(String),
    /// A person has to do something elsewhere.
    Person(String),
    /// The login asks on and on.
    TooMany(usize),
}

/// A `login-prompt` of the template.
#[derive(Debug, Clone)]
pub struct OwnPrompt {
    /// The prompts that it answers.
    pub pattern: Pattern,
    /// Its answer has the password.
    pub password: bool,
    /// Its answer has a code.
    pub code: bool,
    /// Its answer has the new password.
    pub new: bool,
    /// Its answer has another secret.
    pub other: bool,
}

/// What was sent in one login. It refuses to let a secret go twice: the password goes a second time only as the answer to a
/// question for the current one in a password change, a second code only in such a change or where the device asks for the
/// next one in these words, and the new password only once more, for confirmation.
#[derive(Debug, Clone, Default)]
struct Given {
    password: bool,
    /// A second time, in a password change.
    current: bool,
    code: bool,
    code_in_change: bool,
    /// The next one, which the device asked for as such.
    next_code: bool,
    /// The code went with the password or after it: a device that asks on took both.
    code_last: bool,
    /// How often the new password went, and the prompt that it first answered.
    new: usize,
    new_prompt: String,
    user: bool,
    /// Other secrets of the template, and its choices in menus, by the number of the `login-prompt`.
    others: Vec<usize>,
    choices: Vec<usize>,
}

impl Given {
    fn any(&self) -> bool {
        self.password || self.code || self.new > 0 || !self.others.is_empty()
    }

    fn changes(&self) -> bool {
        self.current || self.new > 0
    }

    /// Lets the password go; false where it went before.
    fn password(&mut self, as_current: bool) -> bool {
        if !self.password {
            self.password = true;
            return true;
        }
        as_current && !std::mem::replace(&mut self.current, true)
    }

    /// Lets a code go; false where one went before.
    fn code(&mut self) -> bool {
        if !self.code {
            self.code = true;
            self.code_last = self.password;
            return true;
        }
        self.changes() && !std::mem::replace(&mut self.code_in_change, true)
    }

    /// Lets the code after the first one go; false where that went before.
    fn next_code(&mut self) -> bool {
        self.code && !std::mem::replace(&mut self.next_code, true)
    }

    fn both(&mut self) -> bool {
        let free = !self.password && !self.code;
        (self.password, self.code, self.code_last) = (true, true, true);
        free
    }
}

/// The answers to one round, and what was sent once they are.
#[derive(Debug)]
pub struct Plan {
    /// One for each prompt.
    pub answers: Vec<Answer>,
    after: Given,
}

/// Prompts answered in one login at the most.
const MOST_PROMPTS: usize = 20;
/// Texts without a question that are kept.
const MOST_TEXTS: usize = 20;
/// Lines that are kept of what was said before anything was sent, about.
const MOST_BEFORE: usize = 200;

/// The state of one login's questions, whatever the methods that ask them.
#[derive(Debug, Default)]
pub struct LoginDialogue {
    format: LoginFormat,
    own: Vec<OwnPrompt>,
    names: Names,
    allow_new: bool,
    asked: usize,
    given: Given,
    /// A key was accepted in this login.
    key: bool,
    /// The device took what was sent by one method, and nothing was sent since.
    taken: bool,
    /// The device said that the password has expired, after it had it.
    expired: bool,
    /// Texts without a question since the last answer.
    texts: Vec<String>,
    /// Lines that the device said before anything was sent: where one comes again, it says nothing of what was sent.
    before: Vec<String>,
}

impl LoginDialogue {
    /// `allow_new` tells whether a demand for a new password may be met in this login.
    #[must_use]
    pub fn new(format: LoginFormat, own: Vec<OwnPrompt>, allow_new: bool) -> Self {
        Self { format, own, allow_new, ..Self::default() }
    }

    /// Names that mean nothing in a question.
    #[must_use]
    pub fn named(mut self, user: &str, hosts: &[&str]) -> Self {
        self.names = Names { user: user.to_owned(), hosts: hosts.iter().map(|&host| host.to_owned()).collect() };
        self
    }

    /// A key was accepted, and more is asked for.
    pub fn key_was_accepted(&mut self) {
        self.key = true;
    }

    /// What was sent was accepted, and another method is asked for: nothing that it asks refuses what went before.
    pub fn method_was_accepted(&mut self) {
        self.taken = true;
    }

    /// A text without a question, such as a banner.
    pub fn heard(&mut self, text: &str) {
        if self.given.any() && self.texts.len() < MOST_TEXTS {
            self.texts.push(text.to_owned());
        }
    }

    /// The method `password` has one field: what to send in it.
    ///
    /// # Errors
    /// The password went before.
    pub fn password_method(&self) -> Result<Plan, Stop> {
        let mut after = self.given.clone();
        let joined = self.format != LoginFormat::Separate;
        if !(if joined { after.both() } else { after.password(false) }) {
            return Err(Stop::Refused(String::new()));
        }
        Ok(Plan { answers: vec![if joined { Answer::Joined(self.format) } else { Answer::Password }], after })
    }

    /// A round without prompts.
    ///
    /// # Errors
    /// Its text ends the login.
    pub fn no_prompts(&mut self, context: &str) -> Result<(), Stop> {
        self.says_before(context);
        self.judge(context)?;
        if lines(context).iter().any(|line| asks_for_person(line)) {
            return Err(Stop::Person(context.to_owned()));
        }
        if self.texts.len() < MOST_TEXTS {
            self.texts.push(context.to_owned());
        }
        self.expired |= self.given.password && says_expired(&self.names.without(context));
        Ok(())
    }

    /// Keeps what the device says before anything was sent.
    fn says_before(&mut self, text: &str) {
        if !self.given.any() && self.before.len() < MOST_BEFORE {
            self.before.extend(lines(text));
        }
    }

    /// What a text says of what was sent.
    fn judge(&self, text: &str) -> Result<(), Stop> {
        let told = || Err(Stop::Refused(text.to_owned()));
        let said_before = |line: &String| self.before.contains(line);
        let fresh: Vec<String> = lines(text).into_iter().filter(|line| !said_before(line)).collect();
        let plain = self.names.without(&fresh.join("\n"));
        match self.given.new {
            0 if self.given.any() && !self.taken && is_refusal(&plain) => told(),
            0 => Ok(()),
            _ if is_refusal(&plain) || device_refuses(&plain) => Err(Stop::NewRefused(text.to_owned())),
            _ => Ok(()),
        }
    }

    /// Decides the answers to a round. Nothing counts as sent before [`LoginDialogue::sent`].
    ///
    /// # Errors
    /// The round cannot be answered whole, refuses what was sent, or is one too many.
    pub fn round(&mut self, context: &str, prompts: &[String]) -> Result<Plan, Stop> {
        self.asked += prompts.len();
        if self.asked > MOST_PROMPTS {
            return Err(Stop::TooMany(MOST_PROMPTS));
        }
        let mut text = self.texts.join("\n");
        for part in std::iter::once(context).chain(prompts.iter().map(String::as_str)) {
            text.push('\n');
            text.push_str(part);
        }
        self.says_before(&text);
        self.judge(&text)?;
        self.expired |= self.given.password && says_expired(&self.names.without(&text));
        let kinds: Vec<Kind> = prompts.iter().map(|prompt| read(prompt, context, &self.texts, &self.names)).collect();
        let mut plan = Plan { answers: Vec::with_capacity(prompts.len()), after: self.given.clone() };
        for (at, prompt) in prompts.iter().enumerate() {
            let kind = self.by_order(&kinds, at).unwrap_or(kinds[at]);
            let own = self.own.iter().any(|own| own.pattern.occurs_in(prompt));
            let next = !own && self.given.code && kinds.len() == 1 && wants_next_code(&text);
            let answer = match kind {
                Kind::Code | Kind::WeakCode if next && plan.after.next_code() => Ok(Answer::Code),
                _ => self.answer(&mut plan.after, prompt, kind, at > 0),
            };
            // What one round asks for twice says nothing of what went before.
            plan.answers.push(answer.map_err(|stop| match stop {
                Stop::Refused(_) if !self.given.any() || self.taken => Stop::Unknown(prompts.join(" / "), "…"),
                stop => stop,
            })?);
        }
        Ok(plan)
    }

    /// The answers of a round are about to be sent.
    pub fn sent(&mut self, plan: &Plan) {
        self.given = plan.after.clone();
        self.taken = false;
        self.texts.clear();
    }

    /// What the order of questions that look alike tells, where the format says so.
    fn by_order(&self, kinds: &[Kind], at: usize) -> Option<Kind> {
        let (first, second) = match self.format {
            LoginFormat::PasswordFirst => (Kind::Password, Kind::Code),
            LoginFormat::CodeFirst => (Kind::Code, Kind::Password),
            _ => return None,
        };
        let alike = |kind: &Kind| {
            matches!(
                kind,
                Kind::Password | Kind::PasswordAgain | Kind::Code | Kind::WeakCode | Kind::Pin | Kind::Generic
            )
        };
        if !alike(&kinds[at]) || self.given.changes() {
            return None;
        }
        if let [one, other] = kinds {
            return (one == other && !self.given.any()).then_some(if at == 0 { first } else { second });
        }
        match kinds {
            [Kind::Code] => None,
            [_] => match (self.given.password, self.given.code) {
                (false, false) => Some(first),
                (true, false) => Some(Kind::Code),
                (false, true) => Some(Kind::Password),
                (true, true) => None,
            },
            _ => None,
        }
    }

    fn answer(&self, given: &mut Given, prompt: &str, kind: Kind, same_round: bool) -> Result<Answer, Stop> {
        let refused = || Err(Stop::Refused(prompt.to_owned()));
        let unknown = |answer| Err(Stop::Unknown(prompt.to_owned(), answer));
        if let Some(index) = self.own.iter().position(|own| own.pattern.occurs_in(prompt)) {
            return self.own_answer(given, index, prompt, kind, same_round);
        }
        let fresh = !given.password && !given.code;
        let asks = matches!(
            kind,
            Kind::Password | Kind::PasswordAgain | Kind::Code | Kind::WeakCode | Kind::Pin | Kind::PinAndCode
        );
        if self.format.is_joined() && fresh && asks {
            given.both();
            return Ok(Answer::Joined(self.format));
        }
        match kind {
            Kind::Password => {
                if given.password(false) {
                    Ok(Answer::Password)
                } else if self.expired && given.new == 0 {
                    // «Your password has expired. Please enter a password:» does not say which.
                    unknown("…")
                } else {
                    refused()
                }
            }
            Kind::PasswordAgain if given.new == 1 => self.new_password(given, prompt, true),
            Kind::PasswordAgain => {
                if given.password(false) {
                    Ok(Answer::Password)
                } else {
                    refused()
                }
            }
            Kind::Current if given.password && !self.allow_new => self.new_demanded(given, prompt),
            Kind::Current => {
                if given.password(true) {
                    Ok(Answer::Password)
                } else {
                    refused()
                }
            }
            Kind::Both | Kind::CodeFirst if given.both() => Ok(Answer::Joined(match (self.format, kind) {
                (LoginFormat::Separate, Kind::CodeFirst) => LoginFormat::CodeThenPassword,
                (LoginFormat::Separate, _) => LoginFormat::PasswordThenCode,
                (format, _) => format,
            })),
            Kind::Both | Kind::CodeFirst => refused(),
            Kind::Code | Kind::WeakCode | Kind::PinAndCode => {
                if given.code() {
                    Ok(Answer::Code)
                } else {
                    refused()
                }
            }
            Kind::New | Kind::NewAgain => self.new_password(given, prompt, same_round || kind == Kind::NewAgain),
            Kind::User if !std::mem::replace(&mut given.user, true) => Ok(Answer::UserName),
            Kind::User if self.given.any() => refused(),
            Kind::Key => Ok(Answer::Empty),
            Kind::Person => Err(Stop::Person(prompt.to_owned())),
            Kind::Menu => unknown("1"),
            Kind::User | Kind::Pin | Kind::Generic | Kind::Unknown => unknown("…"),
        }
    }

    /// The new password is asked for; `again` where that may be its confirmation.
    fn new_password(&self, given: &mut Given, prompt: &str, again: bool) -> Result<Answer, Stop> {
        if !self.allow_new {
            return self.new_demanded(given, prompt);
        }
        match given.new {
            // Nothing was shown to the device yet: whose password would that be?
            0 if !(given.password || self.key || self.expired) => return Err(Stop::Unknown(prompt.to_owned(), "…")),
            0 => prompt.clone_into(&mut given.new_prompt),
            1 if again || given.new_prompt != prompt && self.own_again(prompt) => {}
            _ => return Err(Stop::NewRefused(prompt.to_owned())),
        }
        given.new += 1;
        Ok(Answer::NewPassword)
    }

    /// Whether a `login-prompt` with the new password may answer this, too: one pattern may stand for both demands.
    fn own_again(&self, prompt: &str) -> bool {
        self.own.iter().any(|own| own.new && own.pattern.occurs_in(prompt))
    }

    /// A new password is demanded of a login that has none to give.
    fn new_demanded(&self, given: &Given, prompt: &str) -> Result<Answer, Stop> {
        // The first secrets went in an earlier round, and the device asked on.
        let earlier = self.given.password;
        if earlier && (self.given.code_last || self.expired) {
            return Err(Stop::NewDemanded);
        }
        if given.password && earlier {
            return Err(Stop::NewUnproved(prompt.to_owned()));
        }
        Err(Stop::Unknown(prompt.to_owned(), "…"))
    }

    /// What the template answers.
    fn own_answer(
        &self,
        given: &mut Given,
        index: usize,
        prompt: &str,
        kind: Kind,
        same_round: bool,
    ) -> Result<Answer, Stop> {
        let Some(own) = self.own.get(index) else { return Err(Stop::Unknown(prompt.to_owned(), "…")) };
        if own.new {
            return self.new_password(given, prompt, same_round).map(|_| Answer::Template(index));
        }
        let mut free = match (own.password, own.code) {
            (true, true) => given.both(),
            (true, false) => given.password(kind == Kind::Current),
            (false, true) => given.code(),
            (false, false) => true,
        };
        // A menu that comes again did not take its answer, and each answer may cause a push.
        for (counts, list) in [(own.other, &mut given.others), (kind == Kind::Menu, &mut given.choices)] {
            if counts {
                free &= !list.contains(&index);
                list.push(index);
            }
        }
        if free { Ok(Answer::Template(index)) } else { Err(Stop::Refused(prompt.to_owned())) }
    }
}

/// What stands above the question of a prompt: what PAM modules say comes there.
#[must_use]
pub(crate) fn above(prompt: &str) -> String {
    let mut all = lines(prompt);
    all.pop();
    all.join("\n")
}

/// A prompt as it may be shown: without control characters, on one line, and at most `most` characters of it.
#[must_use]
pub fn shown_prompt(prompt: &str, most: usize) -> String {
    let text: String = prompt.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect();
    text.trim().to_owned()
}

/// A line for the template that answers a prompt, ready made. The prompt is masked already.
#[must_use]
pub fn remedy(prompt: &str, answer: &str) -> String {
    let last = lines(prompt).pop().unwrap_or_default();
    // Nothing that is special in a pattern or changes from login to login.
    let special = |c: char| matches!(c, '*' | '"' | '\\' | '{' | '}' | '[' | ']') || c.is_ascii_digit();
    let tail = last.rsplit(special).find(|part| part.chars().filter(|c| c.is_alphabetic()).count() > 1).unwrap_or("…");
    let surplus = tail.chars().count().saturating_sub(40);
    let tail: String = tail.chars().skip(surplus).collect();
    let yes = last.to_lowercase().contains("yes/no");
    let answer = if yes { "yes" } else { answer };
    format!("login-prompt \"*{}*\" \"{answer}\"", tail.trim())
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;

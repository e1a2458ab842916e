//! Waiting: until a page has loaded and is quiet, until what a line waits for is there, or until a person has done it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::action::{Action, FailureKind, Observation, PageCall, Parked, Trouble};
use super::doing::page;
use super::ending::Survey;
use super::given::is_secret;
use super::look::{Condition, Look};
use super::run::{State, Then, Wait, WebRun};
use super::said;
use crate::template::Text;
use crate::template::web::{WebCommand, WebJump};

/// Between two looks at a page, in milliseconds.
pub(super) const LOOK_MS: i64 = 120;
/// A page that has loaded and does not come to rest is waited for so long, in milliseconds.
const QUIET_MS: i64 = 5_000;
/// Standing answers given in one run at the most.
const MOST_ANSWERS: usize = 10;
/// What is awaited may be behind a page for a person once it has not come for so long, in milliseconds.
const PERSON_MS: i64 = 4_000;

impl WebRun {
    /// Waits until the page has loaded and is quiet.
    pub(super) fn quieten(&mut self, now: i64, then: Then) -> Option<Action> {
        let deadline = now + self.timeout_ms;
        self.state = State::Settle { deadline, quiet_by: now + QUIET_MS.min(self.timeout_ms), last: None, then };
        Some(look_at(json!({}), now + LOOK_MS))
    }

    pub(super) fn settle(
        &mut self,
        now: i64,
        heard: Option<Observation>,
        (deadline, quiet_by): (i64, i64),
        last: Option<(String, i64)>,
        then: Then,
    ) -> Option<Action> {
        let seen = match self.looked(now, heard) {
            ControlFlow::Continue(seen) => seen,
            ControlFlow::Break(action) => return action,
        };
        let loaded = seen && self.seen.ready == "complete" && !self.seen.leaving;
        let same = last.filter(|(mark, _)| loaded && *mark == self.seen.mark);
        let quiet = same.as_ref().is_some_and(|(_, since)| now - since >= LOOK_MS);
        // A page that never comes to rest is used all the same: each line waits for what it needs.
        if quiet || loaded && now >= quiet_by || now >= deadline {
            self.dirty = false;
            return match then {
                Then::Next => self.go(self.at + 1),
                Then::Line => {
                    self.state = State::Line;
                    None
                }
                Then::Finish => {
                    self.state = State::Over;
                    None
                }
            };
        }
        let last = if loaded { same.or(Some((self.seen.mark.clone(), now))) } else { None };
        self.state = State::Settle { deadline, quiet_by, last, then };
        Some(look_at(json!({}), now + LOOK_MS))
    }

    /// Takes in a look at the page: `Continue(false)` where there was none to be had just now.
    pub(super) fn looked(&mut self, now: i64, heard: Option<Observation>) -> ControlFlow<Option<Action>, bool> {
        match heard {
            Some(Observation::Result(result)) => {
                self.seen = Look::of(&result);
                match &self.seen.error {
                    Some(error) => {
                        let (text, certificate, status) = (error.text.clone(), error.certificate, error.status);
                        ControlFlow::Break(Some(self.page_error(&text, certificate, status)))
                    }
                    None => ControlFlow::Continue(true),
                }
            }
            Some(Observation::Trouble(trouble)) => match trouble {
                Trouble::Dialog(text) if self.answers_dialog() => {
                    drop(text);
                    self.dirty = false;
                    ControlFlow::Break(self.go_to_dialog())
                }
                Trouble::Left | Trouble::Missing => ControlFlow::Continue(false),
                other => ControlFlow::Break(self.fail_by(now, other)),
            },
            _ => ControlFlow::Continue(false),
        }
    }

    /// Whether the next line answers a script's dialogue.
    pub(super) fn answers_dialog(&self) -> bool {
        let here = self.program.lines[self.at.min(self.program.lines.len())..].iter();
        let next = here
            .map(|line| &line.command)
            .find(|command| !matches!(command, WebCommand::NewAction | WebCommand::Log(_) | WebCommand::Sleep(_)));
        matches!(next, Some(WebCommand::Dialog(_)))
    }

    pub(super) fn go_to_dialog(&mut self) -> Option<Action> {
        while self.program.lines.get(self.at).is_some_and(|line| !matches!(line.command, WebCommand::Dialog(_))) {
            self.at += 1;
        }
        self.go(self.at)
    }

    pub(super) fn await_it(&mut self, now: i64, wait: Wait) -> Option<Action> {
        let about = self.about(&wait.conditions);
        self.state = State::Await { wait, deadline: now + self.timeout_ms, ask_at: now + self.person_ms() };
        Some(look_at(about, now))
    }

    pub(super) fn person_ms(&self) -> i64 {
        PERSON_MS.min(self.timeout_ms / 2)
    }

    /// The argument of a look for these conditions and for the standing answers.
    pub(super) fn about(&self, conditions: &[Condition]) -> Value {
        let standing = self.standing_conditions().into_iter().map(|(_, condition)| condition);
        let all: Vec<Value> = conditions.iter().cloned().chain(standing).map(|condition| condition.asked()).collect();
        json!({ "conditions": all })
    }

    pub(super) fn standing_conditions(&self) -> Vec<(usize, Condition)> {
        if self.back.is_some() {
            return Vec::new();
        }
        let found = self.standing.iter().filter_map(|&at| match &self.program.lines.get(at)?.command {
            WebCommand::AnswerSelector(selector) => Some((at, Condition::Selector(self.plan(selector)))),
            _ => None,
        });
        found.collect()
    }

    /// The standing answer whose element is there, with the results behind those of the wait itself.
    pub(super) fn standing_answer(&self, own: usize) -> Option<usize> {
        let standing = self.standing_conditions();
        let holds = |place: usize| self.seen.holds.get(own + place).copied().unwrap_or(false);
        standing.iter().enumerate().find(|(place, _)| holds(*place)).map(|(_, (at, _))| *at)
    }

    /// Tags of the secrets that a standing answer enters.
    fn secrets_of(&self, answer: usize) -> BTreeSet<String> {
        let Some(WebJump::Answer(end)) = self.program.jump(answer) else { return BTreeSet::new() };
        let lines = self.program.lines.get(answer..*end).into_iter().flatten();
        let tags = lines.filter_map(|line| line.command.entered()).flat_map(Text::tags);
        tags.filter(|tag| is_secret(tag)).map(str::to_owned).collect()
    }

    pub(super) fn give_answer(&mut self, now: i64, answer: usize, back: State) -> Option<Action> {
        self.answered += 1;
        if self.answered > MOST_ANSWERS {
            let what = format!("a standing answer is asked for more than {MOST_ANSWERS} times");
            return self.fail(now, what, String::new(), FailureKind::Page);
        }
        if let Err(denied) = self.given.admit(answer, &self.secrets_of(answer), self.proved) {
            let line = self.program.lines.get(answer).map_or(0, |line| line.number);
            let what = format!("the standing answer of line {line} is asked for: {}", denied.told());
            return self.fail(now, what, String::new(), FailureKind::Page);
        }
        self.back = Some((self.at, Box::new(back)));
        self.go(answer + 1)
    }

    /// Goes on with what a standing answer or a person interrupted.
    pub(super) fn resume(&mut self, now: i64, at: usize, state: State) -> Option<Action> {
        self.at = at;
        let ask_at = now + self.person_ms();
        let deadline = now + self.timeout_ms;
        match state {
            State::Await { wait, .. } => {
                let about = self.about(&wait.conditions);
                self.state = State::Await { wait, deadline, ask_at };
                Some(look_at(about, now + LOOK_MS))
            }
            State::Element { last, .. } => {
                let about = self.element_about();
                self.state = State::Element { deadline, ask_at, last };
                Some(look_at(about, now + LOOK_MS))
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    pub(super) fn wait(
        &mut self,
        now: i64,
        heard: Option<Observation>,
        wait: Wait,
        deadline: i64,
        ask_at: i64,
    ) -> Option<Action> {
        let seen = match self.looked(now, heard) {
            ControlFlow::Continue(seen) => seen,
            ControlFlow::Break(action) => return action,
        };
        let own = wait.conditions.len();
        if seen {
            let holds = |place: usize| self.seen.holds.get(place).copied().unwrap_or(false);
            let met = wait.conditions.iter().enumerate().find(|(place, c)| c.holds(holds(*place), &self.seen.url));
            if let Some((place, _)) = met {
                let then = wait.then.get(place).copied().unwrap_or(self.at + 1);
                self.note_proof(then.saturating_sub(1));
                return self.go(then);
            }
            if let Some(answer) = self.standing_answer(own) {
                return self.give_answer(now, answer, State::Await { wait, deadline, ask_at });
            }
        }
        if now >= deadline {
            let what = format!("{} did not come within {} s", wait.what, self.timeout_ms / 1000);
            return self.fail(now, what, wait.selector, FailureKind::Page);
        }
        if now >= ask_at {
            self.state = State::Asking { back: Box::new(State::Await { wait, deadline, ask_at: i64::MAX }) };
            return Some(survey());
        }
        let about = self.about(&wait.conditions);
        self.state = State::Await { wait, deadline, ask_at };
        Some(look_at(about, now + LOOK_MS))
    }

    /// A test held: behind the login it proves the password, unless it held before it too.
    pub(super) fn note_proof(&mut self, place: usize) {
        let is_test = self.program.lines.get(place).is_some_and(|line| line.command.is_positive_test());
        if is_test && self.sent && !self.unsent && !self.vacuous.contains(&place) {
            self.proved = true;
        }
    }

    pub(super) fn element_about(&self) -> Value {
        let mut about = self.about(&[]);
        let command = self.program.lines.get(self.at).map(|line| &line.command);
        match command {
            Some(WebCommand::FillForm(name, _)) => {
                about["name"] = json!(self.filled(name));
                about["button"] = json!(self.button);
            }
            Some(command) => {
                if let Some(selector) = command.selector() {
                    about["plan"] = json!(self.plan(selector));
                }
            }
            None => {}
        }
        about
    }

    /// Waits for the element of the line.
    pub(super) fn find(&mut self, now: i64) -> Option<Action> {
        let about = self.element_about();
        let (deadline, ask_at) = (now + self.timeout_ms, now + self.person_ms());
        self.state = State::Element { deadline, ask_at, last: None };
        Some(look_at(about, now))
    }

    pub(super) fn element(
        &mut self,
        now: i64,
        heard: Option<Observation>,
        deadline: i64,
        ask_at: i64,
        last: Option<Trouble>,
    ) -> Option<Action> {
        let seen = match self.looked(now, heard) {
            ControlFlow::Continue(seen) => seen,
            ControlFlow::Break(action) => return action,
        };
        let command = self.program.lines.get(self.at)?.command.clone();
        if seen {
            if let Some(answer) = self.standing_answer(0) {
                return self.give_answer(now, answer, State::Element { deadline, ask_at, last });
            }
            if self.seen.element.as_ref().is_some_and(|element| element.fits(&command)) && !self.seen.leaving {
                return self.before(now);
            }
        }
        if now >= deadline {
            let name = self.source_of(&command);
            let seconds = self.timeout_ms / 1000;
            let what = match (&self.seen.element, &last) {
                (None, _) => format!("there is no {name} after {seconds} s"),
                (Some(element), _) if !element.shown => {
                    format!("{name} is there and hidden after {seconds} s; click first what shows it")
                }
                (Some(element), _) if element.disabled => format!("{name} is disabled after {seconds} s"),
                (Some(_), Some(Trouble::NotInteractable(why))) => {
                    format!("{name} cannot be used: {}; jclick clicks by script", self.shown(why))
                }
                _ => format!("{name} could not be used within {seconds} s"),
            };
            let selector = command.selector().map_or(name, ToString::to_string);
            return self.fail(now, what, selector, FailureKind::Page);
        }
        if now >= ask_at {
            self.state = State::Asking { back: Box::new(State::Element { deadline, ask_at: i64::MAX, last }) };
            return Some(survey());
        }
        let about = self.element_about();
        self.state = State::Element { deadline, ask_at, last };
        Some(look_at(about, now + LOOK_MS))
    }

    pub(super) fn park(&mut self, text: String, kind: &str, until: Condition, back: State) -> Option<Action> {
        let look = json!({ "conditions": [until.asked()] });
        let line = self.line_number();
        self.until = Some(until);
        self.notes.push(format!("line {line}: waits for a person: {text}"));
        self.state = State::Parked { back: Box::new(back) };
        Some(Action::Person(Parked { text, kind: kind.to_owned(), line, look }))
    }

    pub(super) fn unparked(&mut self, now: i64, heard: Option<Observation>, back: State) -> Option<Action> {
        match heard {
            Some(Observation::PersonDone) => {
                self.until = None;
                self.notes.push("a person has done it".to_owned());
                self.resume(now, self.at, back)
            }
            Some(Observation::Trouble(trouble)) => self.fail_by(now, trouble),
            _ => self.fail(now, "no person came in time".to_owned(), String::new(), FailureKind::Person),
        }
    }

    /// Looks whether the page is one for a person, since what is awaited does not come.
    pub(super) fn asked(&mut self, now: i64, heard: Option<Observation>, back: State) -> Option<Action> {
        let Some(Observation::Result(result)) = heard else { return self.resume_waiting(now, back) };
        let survey = Survey::of(&result);
        // A login that was refused is no puzzle.
        let refused = said::verdict(&survey.said_or_text()).is_some();
        let puzzle = survey.challenge.as_ref().filter(|puzzle| !puzzle.solved).map(|puzzle| puzzle.kind.clone());
        let kind = puzzle.or_else(|| said::person_for(&survey.text).map(str::to_owned));
        let until = match &back {
            State::Await { wait, .. } if wait.conditions.len() == 1 => wait.conditions.first().cloned(),
            State::Element { .. } => {
                let selector = self.program.lines.get(self.at).and_then(|line| line.command.selector().cloned());
                selector.map(|selector| Condition::Selector(self.plan(&selector)))
            }
            _ => None,
        };
        match (kind, until) {
            (Some(kind), Some(until)) if !refused => {
                let text = format!("the page asks for a person ({kind}): «{}»", self.shown(&survey.title));
                self.park(text, &kind, until, back)
            }
            _ => self.resume_waiting(now, back),
        }
    }

    /// Goes on waiting with the deadline that was set.
    pub(super) fn resume_waiting(&mut self, now: i64, back: State) -> Option<Action> {
        let about = match &back {
            State::Await { wait, .. } => self.about(&wait.conditions),
            _ => self.element_about(),
        };
        self.state = back;
        Some(look_at(about, now + LOOK_MS))
    }
}

pub(super) fn look_at(about: Value, not_before: i64) -> Action {
    Action::Page { call: PageCall { operation: "look", about, secret: None }, not_before }
}

pub(super) fn survey() -> Action {
    page("survey", json!({}), None)
}

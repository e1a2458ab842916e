//! Runs the lines of a web template: what a browser shows and what the time is go in; what to do in it, and in the end a verdict
//! come out.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::action::{Action, FailureKind, Observation, Parked, Trouble, WebVerdict};
use super::ending::Failing;
use super::look::{Condition, Look};
use crate::dialogue::values::Values;
use crate::model::{Masker, Secret};
use crate::template::Text;
use crate::template::web::{Plan, Program, Purpose, Selector, Until, WebCommand, WebJump};

/// The bound on each wait where the template sets none, in milliseconds.
const TIMEOUT_MS: i64 = 30_000;
/// Between two looks at a page, in milliseconds.
pub(super) const LOOK_MS: i64 = 120;
/// A page that has loaded and does not come to rest is waited for so long, in milliseconds.
const QUIET_MS: i64 = 5_000;
/// Standing answers given in one run at the most.
const MOST_ANSWERS: usize = 10;
/// What is awaited may be behind a page for a person once it has not come for so long, in milliseconds.
const PERSON_MS: i64 = 4_000;

/// What is done once a page has loaded and is quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// The next line: `new-action`.
    Next,
    /// The line itself.
    Line,
    /// The run is over.
    Finish,
}

/// What a run waits for.
#[derive(Debug, Clone)]
pub(super) struct Wait {
    /// The first that holds is taken.
    pub(super) conditions: Vec<Condition>,
    /// The place where the run then goes on, of each.
    pub(super) then: Vec<usize>,
    pub(super) what: String,
    pub(super) selector: String,
}

pub(super) enum State {
    Begin,
    Line,
    Settle {
        deadline: i64,
        quiet_by: i64,
        last: Option<(String, i64)>,
        then: Then,
    },
    Await {
        wait: Wait,
        deadline: i64,
        ask_at: i64,
    },
    Element {
        deadline: i64,
        ask_at: i64,
        last: Option<Trouble>,
    },
    /// Tests that hold before the login is sent prove nothing.
    Probe,
    Code,
    Commit {
        code: Option<Secret>,
    },
    Doing {
        deadline: i64,
    },
    Sleep,
    /// Looks whether a person is asked for, before going on to wait.
    Asking {
        back: Box<State>,
    },
    Parked {
        back: Box<State>,
    },
    Failing(Box<Failing>),
    Over,
}

/// One run of a web template.
pub struct WebRun {
    pub(super) program: Program,
    pub(super) purpose: Purpose,
    pub(super) values: Values,
    pub(super) masker: Masker,
    pub(super) state: State,
    pub(super) at: usize,
    pub(super) timeout_ms: i64,
    floor_ms: i64,
    /// The page as it was seen last.
    pub(super) seen: Look,
    /// Something was done after which another page may come.
    pub(super) dirty: bool,
    /// The first page came without TLS, as the template says.
    plain: bool,
    pub(super) committed: bool,
    /// A secret was typed into a page.
    pub(super) typed: bool,
    /// One was typed and not sent yet.
    unsent: bool,
    /// The secrets of the login were sent.
    pub(super) sent: bool,
    /// The places of tests that held before that.
    vacuous: BTreeSet<usize>,
    pub(super) proved: bool,
    probed: bool,
    /// The puzzle of this page was a person's already.
    solved: bool,
    /// Places of standing answers.
    standing: Vec<usize>,
    answered: usize,
    /// Where to go back to at the end of a standing answer.
    back: Option<(usize, Box<State>)>,
    /// The form client's button and fields.
    button: Option<String>,
    fields: Vec<String>,
    /// What `ask-person` and challenges wait for.
    until: Option<Condition>,
    pub(super) notes: Vec<String>,
    /// How the run failed, once it did.
    pub(super) verdict: Option<WebVerdict>,
}

impl WebRun {
    /// A run at its start; the values have been checked against the template. No wait is shorter than the floor.
    #[must_use]
    pub fn new(program: Program, purpose: Purpose, values: Values, masker: Masker, floor_ms: i64) -> Self {
        Self {
            program,
            purpose,
            values,
            masker,
            state: State::Begin,
            at: 0,
            timeout_ms: TIMEOUT_MS.max(floor_ms),
            floor_ms,
            seen: Look::default(),
            dirty: false,
            plain: false,
            committed: false,
            typed: false,
            unsent: false,
            sent: false,
            vacuous: BTreeSet::new(),
            proved: false,
            probed: false,
            solved: false,
            standing: Vec::new(),
            answered: 0,
            back: None,
            button: None,
            fields: Vec::new(),
            until: None,
            notes: Vec::new(),
            verdict: None,
        }
    }

    /// What happened since this was last asked, for the record: masked, one line each.
    pub fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// The file line at which the run is.
    #[must_use]
    pub fn line_number(&self) -> usize {
        self.program.lines.get(self.at).or(self.program.lines.last()).map_or(0, |line| line.number)
    }

    /// Whether what a parked run waits for is there, by the answer to the call `look` of its [`Parked`].
    #[must_use]
    pub fn until_holds(&self, result: &Value) -> bool {
        let look = Look::of(result);
        let until = self.until.as_ref();
        until.is_some_and(|until| until.holds(look.holds.first().copied().unwrap_or(false), &look.url))
    }

    /// What to do next, by what was heard.
    pub fn next(&mut self, now: i64, heard: Observation) -> Action {
        let mut heard = Some(heard);
        // Each step but the first comes from the run itself.
        for _ in 0..100_000 {
            if let Some(action) = self.step(now, heard.take()) {
                return action;
            }
        }
        self.fail_now("the template goes round in a circle", FailureKind::Page)
    }

    fn step(&mut self, now: i64, heard: Option<Observation>) -> Option<Action> {
        match heard {
            Some(Observation::Stopped(why)) => return Some(self.fail_now(&why, FailureKind::Stopped)),
            Some(Observation::Trouble(Trouble::Gone(why))) => {
                return Some(self.fail_now(&format!("the browser is gone: {why}"), FailureKind::Browser));
            }
            _ => {}
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Begin => {
                self.state = State::Line;
                None
            }
            State::Line => self.line(now),
            State::Settle { deadline, quiet_by, last, then } => {
                self.settle(now, heard, (deadline, quiet_by), last, then)
            }
            State::Await { wait, deadline, ask_at } => self.wait(now, heard, wait, deadline, ask_at),
            State::Element { deadline, ask_at, last } => self.element(now, heard, deadline, ask_at, last),
            State::Probe => self.probe(now, heard),
            State::Code => match heard {
                Some(Observation::Code(code)) => {
                    self.masker.add(&code);
                    self.commit_or_do(now, Some(code))
                }
                _ => Some(self.fail_now("no one-time password could be made", FailureKind::Stopped)),
            },
            State::Commit { code } => {
                if !matches!(heard, Some(Observation::Allowed)) {
                    return Some(self.fail_now("the commit point was not recorded", FailureKind::Stopped));
                }
                self.committed = true;
                self.perform(now, code)
            }
            State::Doing { deadline } => self.done(now, heard, deadline),
            State::Sleep => self.go(self.at + 1),
            State::Asking { back } => self.asked(now, heard, back),
            State::Parked { back } => self.unparked(now, heard, back),
            State::Failing(failing) => Some(self.failed(heard, *failing)),
            State::Over => Some(Action::Finish(self.verdict.clone().unwrap_or_else(|| self.ran()))),
        }
    }

    pub(super) fn ran(&self) -> WebVerdict {
        WebVerdict::Ran { committed: self.committed, proved: self.proved }
    }

    /// The run goes on at the line at this place.
    pub(super) fn go(&mut self, at: usize) -> Option<Action> {
        self.at = at;
        self.probed = false;
        self.state = State::Line;
        None
    }

    pub(super) fn shown(&self, text: &str) -> String {
        self.masker.shown(text, 300)
    }

    pub(super) fn filled(&self, text: &Text) -> String {
        self.values.fill(text, None).expose().to_owned()
    }

    pub(super) fn plan(&self, selector: &Selector) -> Plan {
        selector.plan(|name, filter| {
            let tag = crate::template::Piece::Tag(name.to_owned(), filter);
            self.filled(&Text { pieces: vec![tag] })
        })
    }

    /// Waits until the page has loaded and is quiet.
    pub(super) fn quieten(&mut self, now: i64, then: Then) -> Option<Action> {
        let deadline = now + self.timeout_ms;
        self.state = State::Settle { deadline, quiet_by: now + QUIET_MS.min(self.timeout_ms), last: None, then };
        Some(look_at(json!({}), now + LOOK_MS))
    }

    fn settle(
        &mut self,
        now: i64,
        heard: Option<Observation>,
        (deadline, quiet_by): (i64, i64),
        last: Option<(String, i64)>,
        then: Then,
    ) -> Option<Action> {
        let seen = match self.looked(now, heard) {
            Ok(seen) => seen,
            Err(action) => return action,
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

    /// Takes in a look at the page: `Ok(false)` where there was none to be had just now.
    fn looked(&mut self, now: i64, heard: Option<Observation>) -> Result<bool, Option<Action>> {
        match heard {
            Some(Observation::Result(result)) => {
                self.seen = Look::of(&result);
                match &self.seen.error {
                    Some(error) => {
                        let (text, certificate) = (error.text.clone(), error.certificate);
                        Err(Some(self.page_error(&text, certificate)))
                    }
                    None => Ok(true),
                }
            }
            Some(Observation::Trouble(trouble)) => match trouble {
                Trouble::Dialog(text) if self.answers_dialog() => {
                    drop(text);
                    self.dirty = false;
                    Err(self.go_to_dialog())
                }
                Trouble::Left | Trouble::Missing => Ok(false),
                other => Err(self.fail_by(now, other)),
            },
            _ => Ok(false),
        }
    }

    /// Whether the next line answers a script's dialogue.
    fn answers_dialog(&self) -> bool {
        let here = self.program.lines[self.at.min(self.program.lines.len())..].iter();
        let next = here
            .map(|line| &line.command)
            .find(|command| !matches!(command, WebCommand::NewAction | WebCommand::Log(_) | WebCommand::Sleep(_)));
        matches!(next, Some(WebCommand::Dialog(_)))
    }

    fn go_to_dialog(&mut self) -> Option<Action> {
        while self.program.lines.get(self.at).is_some_and(|line| !matches!(line.command, WebCommand::Dialog(_))) {
            self.at += 1;
        }
        self.go(self.at)
    }

    pub(super) fn fail_by(&mut self, now: i64, trouble: Trouble) -> Option<Action> {
        let (what, kind) = match trouble {
            Trouble::Dialog(text) => {
                let text = self.shown(&text);
                (
                    format!(
                        "the page opens a dialogue, «{text}», and no line answers it; write accept-dialog or dismiss-dialog"
                    ),
                    FailureKind::Dialog,
                )
            }
            Trouble::NoDialog => ("no dialogue of the page is open".to_owned(), FailureKind::Page),
            Trouble::Missing => ("the element is not there".to_owned(), FailureKind::Page),
            Trouble::NotInteractable(why) => (
                format!("the element cannot be used: {}; jclick clicks by script", self.shown(&why)),
                FailureKind::Page,
            ),
            Trouble::Threw(why) => (format!("the script failed: {}", self.shown(&why)), FailureKind::Page),
            Trouble::Page(why) => return Some(self.page_error(&why, false)),
            Trouble::Certificate(why) => return Some(self.page_error(&why, true)),
            Trouble::Blocked(host) => (
                format!(
                    "the page wants to go to {}, which is neither the device's host nor one of its allow_hosts",
                    self.shown(&host)
                ),
                FailureKind::Network,
            ),
            Trouble::Left => ("the page was left meanwhile".to_owned(), FailureKind::Page),
            Trouble::Gone(why) => (format!("the browser is gone: {}", self.shown(&why)), FailureKind::Browser),
        };
        self.fail(now, what, String::new(), kind)
    }

    fn page_error(&mut self, text: &str, certificate: bool) -> Action {
        let shown = self.shown(text);
        if certificate {
            let what =
                format!("the certificate of the page is not trusted ({shown}); set the device's ca_file or tls_sha256");
            self.fail_now(&what, FailureKind::Certificate)
        } else {
            self.fail_now(&format!("the page could not be loaded: {shown}"), FailureKind::Network)
        }
    }

    /// Begins the line at which the run is.
    fn line(&mut self, now: i64) -> Option<Action> {
        let Some(line) = self.program.lines.get(self.at) else {
            return self.end(now);
        };
        let command = line.command.clone();
        // A line that looks at the page or uses it is about the page that the last one leads to.
        let about_page = command.is_positive_test()
            || command.selector().is_some() && !matches!(command, WebCommand::AnswerSelector(_))
            || matches!(
                command,
                WebCommand::Choose
                    | WebCommand::TestNoText(_)
                    | WebCommand::Script(_)
                    | WebCommand::FillForm(..)
                    | WebCommand::Submit
                    | WebCommand::SetLocation(_)
                    | WebCommand::Press(_)
            );
        if self.dirty && about_page && !command.begins_branch() {
            return self.quieten(now, Then::Line);
        }
        match &command {
            WebCommand::Timeout(time) => {
                let time = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
                self.timeout_ms = time.max(self.floor_ms);
                self.go(self.at + 1)
            }
            WebCommand::Log(text) => {
                let note = self.shown(&self.filled(text));
                self.notes.push(note);
                self.go(self.at + 1)
            }
            WebCommand::SelectButton(name) => {
                self.button = Some(self.filled(name));
                self.fields.clear();
                self.go(self.at + 1)
            }
            WebCommand::AnswerSelector(_) => {
                self.standing.push(self.at);
                match self.program.jump(self.at) {
                    Some(WebJump::Answer(end)) => self.go(end + 1),
                    _ => self.go(self.at + 1),
                }
            }
            WebCommand::EndAnswer => match self.back.take() {
                Some((at, state)) => self.resume(now, at, *state),
                None => self.go(self.at + 1),
            },
            WebCommand::NewAction => self.quieten(now, Then::Next),
            WebCommand::Sleep(time) => {
                self.state = State::Sleep;
                let time = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
                Some(Action::Sleep { until: now.saturating_add(time) })
            }
            WebCommand::End => self.end(now),
            WebCommand::Fail(text) => {
                let text = self.filled(text);
                let kind = if self.committed { FailureKind::Refused } else { FailureKind::Page };
                self.fail(now, text, String::new(), kind)
            }
            command if command.begins_branch() => match self.program.jump(self.at) {
                Some(WebJump::End(end)) => self.go(end + 1),
                _ => self.go(self.at + 1),
            },
            WebCommand::Choose => self.choose(now),
            WebCommand::AskPerson(text, until) => {
                let until = match until {
                    Until::Selector(selector) => Condition::Selector(self.plan(selector)),
                    Until::Location(text) => Condition::Location(self.filled(text)),
                };
                let text = self.shown(&self.filled(text));
                self.dirty = true;
                self.at += 1;
                self.park(text, "ask-person", until, State::Line)
            }
            WebCommand::Dialog(answer) => {
                self.state = State::Doing { deadline: now + self.timeout_ms };
                Some(Action::Dialog { answer: *answer })
            }
            WebCommand::MainFrame => {
                self.state = State::Doing { deadline: now + self.timeout_ms };
                Some(Action::Frame { target: None })
            }
            command if test_of(self, command).is_some() => {
                let condition = test_of(self, command)?;
                let what = condition.in_words(self.source_of(command));
                let selector = command.selector().map(ToString::to_string).unwrap_or_default();
                let wait = Wait { conditions: vec![condition], then: vec![self.at + 1], what, selector };
                self.await_it(now, wait)
            }
            command if needs_element(command) => self.find(now),
            WebCommand::StartAt(_) | WebCommand::SetLocation(_) | WebCommand::Script(_) | WebCommand::Submit => {
                self.before(now)
            }
            WebCommand::Press(_) => self.before(now),
            _ => self.go(self.at + 1),
        }
    }

    /// What a command names, as the template writes it.
    fn source_of(&self, command: &WebCommand) -> String {
        let text = command.texts().first().map(|text| self.filled(text)).unwrap_or_default();
        self.shown(&text)
    }

    fn end(&mut self, now: i64) -> Option<Action> {
        // What the last line sent is heard out before the browser goes.
        if self.dirty {
            return self.quieten(now, Then::Finish);
        }
        self.state = State::Over;
        Some(Action::Finish(self.ran()))
    }

    fn choose(&mut self, now: i64) -> Option<Action> {
        let Some(WebJump::Branches(branches)) = self.program.jump(self.at).cloned() else {
            return self.go(self.at + 1);
        };
        let commands: Vec<(usize, WebCommand)> =
            branches.iter().filter_map(|&at| Some((at, self.program.lines.get(at)?.command.clone()))).collect();
        let sources: Vec<String> = commands.iter().map(|(_, command)| self.source_of(command)).collect();
        let conditions = commands.iter().filter_map(|(_, command)| test_of(self, command)).collect();
        let then = commands.iter().map(|(at, _)| at + 1).collect();
        let selector = commands.iter().find_map(|(_, c)| c.selector().map(ToString::to_string)).unwrap_or_default();
        let wait = Wait { conditions, then, what: format!("one of {}", sources.join(", ")), selector };
        self.await_it(now, wait)
    }

    fn await_it(&mut self, now: i64, wait: Wait) -> Option<Action> {
        let about = self.about(&wait.conditions);
        self.state = State::Await { wait, deadline: now + self.timeout_ms, ask_at: now + self.person_ms() };
        Some(look_at(about, now))
    }

    fn person_ms(&self) -> i64 {
        PERSON_MS.min(self.timeout_ms / 2)
    }

    /// The argument of a look for these conditions and for the standing answers.
    fn about(&self, conditions: &[Condition]) -> Value {
        let standing = self.standing_conditions().into_iter().map(|(_, condition)| condition);
        let all: Vec<Value> = conditions.iter().cloned().chain(standing).map(|condition| condition.asked()).collect();
        json!({ "conditions": all })
    }

    fn standing_conditions(&self) -> Vec<(usize, Condition)> {
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
    fn standing_answer(&self, own: usize) -> Option<usize> {
        let standing = self.standing_conditions();
        let holds = |place: usize| self.seen.holds.get(own + place).copied().unwrap_or(false);
        standing.iter().enumerate().find(|(place, _)| holds(*place)).map(|(_, (at, _))| *at)
    }

    fn give_answer(&mut self, now: i64, answer: usize, back: State) -> Option<Action> {
        self.answered += 1;
        if self.answered > MOST_ANSWERS {
            let what = format!("a standing answer is asked for more than {MOST_ANSWERS} times");
            return self.fail(now, what, String::new(), FailureKind::Page);
        }
        self.back = Some((self.at, Box::new(back)));
        self.go(answer + 1)
    }

    /// Goes on with what a standing answer or a person interrupted.
    fn resume(&mut self, now: i64, at: usize, state: State) -> Option<Action> {
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

    fn wait(&mut self, now: i64, heard: Option<Observation>, wait: Wait, deadline: i64, ask_at: i64) -> Option<Action> {
        let seen = match self.looked(now, heard) {
            Ok(seen) => seen,
            Err(action) => return action,
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
    fn note_proof(&mut self, place: usize) {
        let is_test = self.program.lines.get(place).is_some_and(|line| line.command.is_positive_test());
        if is_test && self.sent && !self.unsent && !self.vacuous.contains(&place) {
            self.proved = true;
        }
    }

    fn element_about(&self) -> Value {
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
    fn find(&mut self, now: i64) -> Option<Action> {
        let about = self.element_about();
        let (deadline, ask_at) = (now + self.timeout_ms, now + self.person_ms());
        self.state = State::Element { deadline, ask_at, last: None };
        Some(look_at(about, now))
    }

    fn element(
        &mut self,
        now: i64,
        heard: Option<Observation>,
        deadline: i64,
        ask_at: i64,
        last: Option<Trouble>,
    ) -> Option<Action> {
        let seen = match self.looked(now, heard) {
            Ok(seen) => seen,
            Err(action) => return action,
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

    /// What is to be seen to before a line is done: a puzzle, the tests that prove nothing, a code, the commit point.
    fn before(&mut self, now: i64) -> Option<Action> {
        let command = self.program.lines.get(self.at)?.command.clone();
        if let Some(problem) = self.unfit(&command) {
            let selector = command.selector().map(ToString::to_string).unwrap_or_default();
            return self.fail(now, problem.0, selector, problem.1);
        }
        if command.may_submit() && self.unsent {
            let puzzle = self.seen.challenge.clone().filter(|puzzle| !puzzle.solved && !self.solved);
            if let Some(puzzle) = puzzle {
                self.solved = true;
                let text = format!("solve the {} of the page", puzzle.kind);
                let back = State::Element { deadline: 0, ask_at: i64::MAX, last: None };
                let back = if needs_element(&command) { back } else { State::Line };
                return self.park(text, &puzzle.kind, Condition::Solved, back);
            }
            if !self.probed {
                self.probed = true;
                let tests = self.tests_ahead();
                self.state = State::Probe;
                let conditions: Vec<Value> = tests.iter().map(|(_, condition)| condition.asked()).collect();
                return Some(look_at(json!({ "conditions": conditions }), now));
            }
        }
        let codes = ["TOTP_TOKEN", "AUTH_TOTP_TOKEN"];
        let tag = codes.into_iter().find(|tag| command.texts().iter().any(|text| text.has_tag(tag)));
        match tag {
            Some(tag) => {
                self.state = State::Code;
                Some(Action::Code { tag })
            }
            None => self.commit_or_do(now, None),
        }
    }

    /// Why a secret may not be typed where this command would type it.
    fn unfit(&self, command: &WebCommand) -> Option<(String, FailureKind)> {
        let text = command.entered()?;
        let is_secret = text.tags().any(|tag| tag.contains("PASSWORD") || tag.contains("TOKEN"));
        if is_secret && !self.plain && super::location::is_plain(&self.seen.url) {
            let what = "the page came without TLS, and no secret is typed into such a page".to_owned();
            return Some((what, FailureKind::Certificate));
        }
        let most =
            self.seen.element.as_ref().filter(|_| command.selector().is_some()).and_then(|element| element.most)?;
        let length = self.values.fill(text, None).expose().encode_utf16().count();
        (length > most).then(|| {
            let what = format!(
                "the field takes {most} characters and the value has {length}; write info password-max-length \"{most}\" in the template"
            );
            (what, FailureKind::Page)
        })
    }

    /// The tests behind this line, up to where the new password is needed.
    fn tests_ahead(&self) -> Vec<(usize, Condition)> {
        let ahead = self.program.lines.iter().enumerate().skip(self.at + 1);
        let ahead = ahead.take_while(|(_, line)| !line.command.texts().iter().any(|text| text.has_tag("NEW_PASSWORD")));
        let tests = ahead.filter(|(_, line)| line.command.is_positive_test());
        tests.filter_map(|(at, line)| Some((at, test_of(self, &line.command)?))).collect()
    }

    fn probe(&mut self, now: i64, heard: Option<Observation>) -> Option<Action> {
        let seen = match self.looked(now, heard) {
            Ok(seen) => seen,
            Err(action) => return action,
        };
        let tests = self.tests_ahead();
        let holds = |place: usize| seen && self.seen.holds.get(place).copied().unwrap_or(false);
        let held = tests.iter().enumerate().filter(|(place, (_, test))| test.holds(holds(*place), &self.seen.url));
        self.vacuous = held.map(|(_, (at, _))| *at).collect();
        self.proved = false;
        self.before(now)
    }

    fn commit_or_do(&mut self, now: i64, code: Option<Secret>) -> Option<Action> {
        let Some(line) = self.program.lines.get(self.at) else { return self.end(now) };
        let enters = line.command.entered().is_some_and(|text| text.has_tag("NEW_PASSWORD"));
        if enters && !self.committed && matches!(self.purpose, Purpose::Change | Purpose::Reconcile) {
            let number = line.number;
            self.state = State::Commit { code };
            return Some(Action::Commit { line: number });
        }
        self.perform(now, code)
    }

    fn park(&mut self, text: String, kind: &str, until: Condition, back: State) -> Option<Action> {
        let look = json!({ "conditions": [until.asked()] });
        let line = self.line_number();
        self.until = Some(until);
        self.notes.push(format!("line {line}: waits for a person: {text}"));
        self.state = State::Parked { back: Box::new(back) };
        Some(Action::Person(Parked { text, kind: kind.to_owned(), line, look }))
    }

    fn unparked(&mut self, now: i64, heard: Option<Observation>, back: Box<State>) -> Option<Action> {
        match heard {
            Some(Observation::PersonDone) => {
                self.until = None;
                self.notes.push("a person has done it".to_owned());
                self.resume(now, self.at, *back)
            }
            Some(Observation::Trouble(trouble)) => self.fail_by(now, trouble),
            _ => self.fail(now, "no person came in time".to_owned(), String::new(), FailureKind::Person),
        }
    }

    /// Looks whether the page is one for a person, since what is awaited does not come.
    fn asked(&mut self, now: i64, heard: Option<Observation>, back: Box<State>) -> Option<Action> {
        let Some(Observation::Result(result)) = heard else { return self.resume_waiting(now, *back) };
        let survey = super::ending::Survey::of(&result);
        // A login that was refused is no puzzle.
        let refused = super::said::verdict(&survey.said_or_text()).is_some();
        let puzzle = survey.challenge.as_ref().filter(|puzzle| !puzzle.solved).map(|puzzle| puzzle.kind.clone());
        let kind = puzzle.or_else(|| super::said::person_for(&survey.text).map(str::to_owned));
        let until = match &*back {
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
                self.park(text, &kind, until, *back)
            }
            _ => self.resume_waiting(now, *back),
        }
    }

    /// Goes on waiting with the deadline that was set.
    fn resume_waiting(&mut self, now: i64, back: State) -> Option<Action> {
        let about = match &back {
            State::Await { wait, .. } => self.about(&wait.conditions),
            _ => self.element_about(),
        };
        self.state = back;
        Some(look_at(about, now + LOOK_MS))
    }

    /// Does what the line says.
    fn perform(&mut self, now: i64, code: Option<Secret>) -> Option<Action> {
        let command = self.program.lines.get(self.at)?.command.clone();
        let action = self.action(&command, code.as_ref());
        let secret = command
            .entered()
            .is_some_and(|text| text.tags().any(|tag| tag.contains("PASSWORD") || tag.contains("TOKEN")));
        if secret {
            (self.typed, self.unsent) = (true, true);
        }
        if command.may_submit() && self.unsent {
            (self.unsent, self.sent) = (false, true);
        }
        if let WebCommand::StartAt(_) = command {
            self.seen.url.clear();
        }
        self.state = State::Doing { deadline: now + self.timeout_ms };
        Some(action)
    }

    fn action(&mut self, command: &WebCommand, code: Option<&Secret>) -> Action {
        use crate::template::web::{Clicking, Entering};
        let value = |text: &Text| self.values.fill(text, code);
        match command {
            WebCommand::StartAt(url) => {
                let url = value(url);
                self.plain = super::location::is_plain(url.expose());
                Action::Open { url }
            }
            WebCommand::SetLocation(url) => {
                Action::Open { url: Secret::new(super::location::resolve(&self.seen.url, value(url).expose())) }
            }
            WebCommand::Fill(selector, text, Entering::ByKey) => {
                Action::Keys { target: self.plan(selector), keys: value(text) }
            }
            WebCommand::Fill(selector, text, Entering::AtOnce) => {
                page("fill", json!({ "plan": self.plan(selector) }), Some(value(text)))
            }
            WebCommand::Click(selector, Clicking::Pointer) => Action::Click { target: self.plan(selector) },
            WebCommand::Click(selector, Clicking::Script) => {
                page("click", json!({ "plan": self.plan(selector) }), None)
            }
            WebCommand::Prop(selector, name, text) => {
                let plan = json!(self.plan(selector));
                let value = value(text);
                let typed = match value.expose() {
                    "true" => Some(json!(true)),
                    "false" => Some(json!(false)),
                    number => number.parse::<i64>().ok().map(|number| json!(number)),
                };
                match typed.filter(|_| text.tags().next().is_none()) {
                    Some(typed) => page("prop", json!({ "plan": plan, "name": name, "value": typed }), None),
                    None => page("prop", json!({ "plan": plan, "name": name }), Some(value)),
                }
            }
            WebCommand::Select(selector, text) => {
                page("select", json!({ "plan": self.plan(selector) }), Some(value(text)))
            }
            WebCommand::Check(selector, on) => page("check", json!({ "plan": self.plan(selector), "on": on }), None),
            WebCommand::Frame(selector) => Action::Frame { target: Some(self.plan(selector)) },
            WebCommand::Script(code_text) => {
                Action::Script { body: super::script::body(code_text, &self.values, code) }
            }
            WebCommand::FillForm(name, text) => {
                let (name, text) = (self.filled(name), value(text));
                self.fields.push(name.clone());
                page("fill-form", json!({ "name": name, "button": self.button }), Some(text))
            }
            WebCommand::Submit => page("submit", json!({ "button": self.button, "names": self.fields }), None),
            WebCommand::Press(key) => Action::Press { key: key.character() },
            _ => page("look", json!({}), None),
        }
    }

    /// The line's action was answered.
    fn done(&mut self, now: i64, heard: Option<Observation>, deadline: i64) -> Option<Action> {
        let command = self.program.lines.get(self.at)?.command.clone();
        let moves = command.may_submit()
            || matches!(
                command,
                WebCommand::StartAt(_) | WebCommand::SetLocation(_) | WebCommand::Dialog(_) | WebCommand::Select(..)
            );
        let trouble = match heard {
            Some(Observation::Result(result)) => match trouble_of(&result) {
                Some(trouble) => trouble,
                None if is_false(&command, &result) => {
                    let what = "the script returned false or an empty list".to_owned();
                    return self.fail(now, what, String::new(), FailureKind::Page);
                }
                None => return self.advance(moves),
            },
            Some(Observation::Done) => return self.advance(moves),
            // The page was left while the script ran: that is what it was to do.
            Some(Observation::Trouble(Trouble::Left)) if moves => return self.advance(true),
            Some(Observation::Trouble(Trouble::Dialog(text))) => {
                // A click may be what opens the dialogue that the next line answers.
                self.at += 1;
                if self.answers_dialog() {
                    return self.go_to_dialog();
                }
                self.at -= 1;
                Trouble::Dialog(text)
            }
            Some(Observation::Trouble(trouble)) => trouble,
            _ => return self.advance(moves),
        };
        let again =
            matches!(trouble, Trouble::Missing | Trouble::NotInteractable(_) | Trouble::Left | Trouble::NoDialog);
        if again && now < deadline {
            if let WebCommand::Dialog(answer) = command {
                self.state = State::Doing { deadline };
                return Some(Action::Dialog { answer });
            }
            if needs_element(&command) {
                let about = self.element_about();
                self.state = State::Element { deadline, ask_at: i64::MAX, last: Some(trouble) };
                return Some(look_at(about, now + LOOK_MS));
            }
        }
        if matches!(command, WebCommand::Submit) && trouble == Trouble::Missing {
            let names = self.shown(&self.fields.join(", "));
            let button = self.shown(self.button.as_deref().unwrap_or("submit"));
            let what = format!("there is no form with the fields {names} and the button {button}");
            return self.fail(now, what, button, FailureKind::Page);
        }
        self.fail_by(now, trouble)
    }

    fn advance(&mut self, moves: bool) -> Option<Action> {
        self.dirty |= moves;
        if moves {
            self.solved = false;
            if matches!(self.program.lines.get(self.at).map(|line| &line.command), Some(WebCommand::Submit)) {
                self.button = None;
                self.fields.clear();
            }
        }
        self.go(self.at + 1)
    }
}

/// Whether the line's element is waited for before the line is done.
fn needs_element(command: &WebCommand) -> bool {
    matches!(
        command,
        WebCommand::Fill(..)
            | WebCommand::Click(..)
            | WebCommand::Prop(..)
            | WebCommand::Select(..)
            | WebCommand::Check(..)
            | WebCommand::Frame(_)
            | WebCommand::FillForm(..)
    )
}

/// What a test waits for.
fn test_of(run: &WebRun, command: &WebCommand) -> Option<Condition> {
    Some(match command {
        WebCommand::TestSelector(selector) | WebCommand::WhenSelector(selector) => {
            Condition::Selector(run.plan(selector))
        }
        WebCommand::TestNotVisible(selector) => Condition::Gone(run.plan(selector)),
        WebCommand::TestLocation(text) | WebCommand::WhenLocation(text) => Condition::Location(run.filled(text)),
        WebCommand::TestText(text) | WebCommand::WhenText(text) => Condition::Text(run.filled(text)),
        WebCommand::TestNoText(text) => Condition::NoText(run.filled(text)),
        WebCommand::Expect(text) => Condition::Markup(run.filled(text)),
        _ => return None,
    })
}

/// Whether a script judged its line as failed.
fn is_false(command: &WebCommand, result: &Value) -> bool {
    let empty = result.as_array().is_some_and(Vec::is_empty);
    matches!(command, WebCommand::Script(_)) && (*result == Value::Bool(false) || empty)
}

fn trouble_of(result: &Value) -> Option<Trouble> {
    let text = result.get("text").and_then(Value::as_str).unwrap_or_default();
    match result.get("trouble").and_then(Value::as_str)? {
        "missing" => Some(Trouble::Missing),
        "option" => Some(Trouble::Threw(format!("there is no such option; there are {text}"))),
        _ => Some(Trouble::Threw(text.to_owned())),
    }
}

fn page(operation: &'static str, about: Value, secret: Option<Secret>) -> Action {
    Action::Page { call: super::action::PageCall { operation, about, secret }, not_before: 0 }
}

pub(super) fn look_at(about: Value, not_before: i64) -> Action {
    Action::Page { call: super::action::PageCall { operation: "look", about, secret: None }, not_before }
}

pub(super) fn survey() -> Action {
    page("survey", json!({}), None)
}

//! Runs the lines of a web template: what a browser shows and what the time is go in; what to do in it, and in the end a verdict
//! come out.

use std::collections::BTreeSet;

use serde_json::Value;

use super::action::{Action, FailureKind, Observation, Trouble, WebVerdict};
use super::doing::needs_element;
use super::ending::Failing;
use super::given::Given;
use super::look::{Condition, Look};
use crate::dialogue::values::Values;
use crate::model::{Masker, Secret};
use crate::template::Text;
use crate::template::web::{Plan, Program, Purpose, Selector, Until, WebCommand, WebJump};

/// The bound on each wait where the template sets none, in milliseconds.
const TIMEOUT_MS: i64 = 30_000;

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
    pub(super) floor_ms: i64,
    /// The page as it was seen last.
    pub(super) seen: Look,
    /// Something was done after which another page may come.
    pub(super) dirty: bool,
    /// The first page came without TLS, as the template says.
    pub(super) plain: bool,
    pub(super) committed: bool,
    /// A secret was typed into a page.
    pub(super) typed: bool,
    /// One was typed and not sent yet.
    pub(super) unsent: bool,
    /// The secrets of the login were sent.
    pub(super) sent: bool,
    /// The places of tests that held before that.
    pub(super) vacuous: BTreeSet<usize>,
    pub(super) proved: bool,
    pub(super) probed: bool,
    /// The puzzle of this page was a person's already.
    pub(super) solved: bool,
    /// Places of standing answers.
    pub(super) standing: Vec<usize>,
    pub(super) answered: usize,
    pub(super) given: Given,
    /// Where to go back to at the end of a standing answer.
    pub(super) back: Option<(usize, Box<State>)>,
    /// The form client's button and fields.
    pub(super) button: Option<String>,
    pub(super) fields: Vec<String>,
    /// What `ask-person` and challenges wait for.
    pub(super) until: Option<Condition>,
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
            given: Given::default(),
            back: None,
            button: None,
            fields: Vec::new(),
            until: None,
            notes: Vec::new(),
            verdict: None,
        }
    }

    /// The same run, in a browser that shows a page already, by the answer to the call `look`: locations are relative to it.
    #[must_use]
    pub fn on_page(mut self, look: &Value) -> Self {
        self.seen = Look::of(look);
        self.plain = super::location::is_plain(&self.seen.url);
        self
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

    /// Whether what a parked run waits for is there, by the answer to the call `look` of its `Parked`.
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
            State::Asking { back } => self.asked(now, heard, *back),
            State::Parked { back } => self.unparked(now, heard, *back),
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

    /// Begins the line at which the run is.
    pub(super) fn line(&mut self, now: i64) -> Option<Action> {
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
    pub(super) fn source_of(&self, command: &WebCommand) -> String {
        let text = command.texts().first().map(|text| self.filled(text)).unwrap_or_default();
        self.shown(&text)
    }

    pub(super) fn end(&mut self, now: i64) -> Option<Action> {
        // What the last line sent is heard out before the browser goes.
        if self.dirty {
            return self.quieten(now, Then::Finish);
        }
        self.state = State::Over;
        Some(Action::Finish(self.ran()))
    }

    pub(super) fn choose(&mut self, now: i64) -> Option<Action> {
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
}

/// What a test waits for.
pub(super) fn test_of(run: &WebRun, command: &WebCommand) -> Option<Condition> {
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

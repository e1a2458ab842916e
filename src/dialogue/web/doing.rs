//! Doing what a line says: what is to be seen to before, the action, and what its answer means.

use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::action::{Action, FailureKind, Observation, PageCall, Trouble};
use super::given::is_secret;
use super::look::Condition;
use super::run::{State, WebRun, test_of};
use super::waiting::{LOOK_MS, look_at};
use super::{location, script};
use crate::model::Secret;
use crate::template::Text;
use crate::template::web::{Clicking, Entering, Purpose, WebCommand};

impl WebRun {
    /// What is to be seen to before a line is done: a puzzle, the tests that prove nothing, a code, the commit point.
    pub(super) fn before(&mut self, now: i64) -> Option<Action> {
        let command = self.program.lines.get(self.at)?.command.clone();
        if let Some(problem) = self.unfit(&command) {
            let selector = command.selector().map(ToString::to_string).unwrap_or_default();
            return self.fail(now, problem.0, selector, problem.1);
        }
        let submits = command.may_submit() && self.unsent;
        // A code that waits for a person is dead, and behind the commit point a person is called too late.
        let codes = ["TOTP_TOKEN", "AUTH_TOTP_TOKEN"];
        let cannot_wait = command
            .texts()
            .iter()
            .any(|text| codes.iter().any(|tag| text.has_tag(tag)) || (text.has_tag("NEW_PASSWORD") && !self.committed));
        if submits || cannot_wait {
            let puzzle = self.seen.challenge.clone().filter(|puzzle| !puzzle.solved && !self.solved);
            if let Some(puzzle) = puzzle {
                self.solved = true;
                let text = format!("solve the {} of the page", puzzle.kind);
                let back = State::Element { deadline: 0, ask_at: i64::MAX, last: None };
                let back = if needs_element(&command) { back } else { State::Line };
                return self.park(text, &puzzle.kind, Condition::Solved, back);
            }
            if submits && !self.probed {
                self.probed = true;
                let tests = self.tests_ahead();
                self.state = State::Probe;
                let conditions: Vec<Value> = tests.iter().map(|(_, condition)| condition.asked()).collect();
                return Some(look_at(json!({ "conditions": conditions }), now));
            }
        }
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
    pub(super) fn unfit(&self, command: &WebCommand) -> Option<(String, FailureKind)> {
        let text = command.entered()?;
        if text.tags().any(is_secret) && !self.plain && location::is_plain(&self.seen.url) {
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
    pub(super) fn tests_ahead(&self) -> Vec<(usize, Condition)> {
        let ahead = self.program.lines.iter().enumerate().skip(self.at + 1);
        let ahead = ahead.take_while(|(_, line)| !line.command.texts().iter().any(|text| text.has_tag("NEW_PASSWORD")));
        let tests = ahead.filter(|(_, line)| line.command.is_positive_test());
        tests.filter_map(|(at, line)| Some((at, test_of(self, &line.command)?))).collect()
    }

    pub(super) fn probe(&mut self, now: i64, heard: Option<Observation>) -> Option<Action> {
        let seen = match self.looked(now, heard) {
            ControlFlow::Continue(seen) => seen,
            ControlFlow::Break(action) => return action,
        };
        let tests = self.tests_ahead();
        let holds = |place: usize| seen && self.seen.holds.get(place).copied().unwrap_or(false);
        let held = tests.iter().enumerate().filter(|(place, (_, test))| test.holds(holds(*place), &self.seen.url));
        self.vacuous = held.map(|(_, (at, _))| *at).collect();
        // What is sent behind the commit point is no login any more.
        self.proved &= self.committed;
        self.before(now)
    }

    pub(super) fn commit_or_do(&mut self, now: i64, code: Option<Secret>) -> Option<Action> {
        let Some(line) = self.program.lines.get(self.at) else { return self.end(now) };
        let enters = line.command.entered().is_some_and(|text| text.has_tag("NEW_PASSWORD"));
        if enters && !self.committed && matches!(self.purpose, Purpose::Change | Purpose::Reconcile) {
            let number = line.number;
            self.state = State::Commit { code };
            return Some(Action::Commit { line: number });
        }
        self.perform(now, code)
    }

    /// Does what the line says.
    pub(super) fn perform(&mut self, now: i64, code: Option<Secret>) -> Option<Action> {
        let command = self.program.lines.get(self.at)?.command.clone();
        let action = self.action(&command, code.as_ref());
        if let Some(text) = command.entered().filter(|text| text.tags().any(is_secret)) {
            self.given.note(text);
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

    pub(super) fn action(&mut self, command: &WebCommand, code: Option<&Secret>) -> Action {
        let value = |text: &Text| self.values.fill(text, code);
        match command {
            WebCommand::StartAt(url) => {
                let url = value(url);
                self.plain = location::is_plain(url.expose());
                Action::Open { url }
            }
            WebCommand::SetLocation(url) => {
                Action::Open { url: Secret::new(location::resolve(&self.seen.url, value(url).expose())) }
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
            WebCommand::Script(code_text) => Action::Script { body: script::body(code_text, &self.values, code) },
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
    pub(super) fn done(&mut self, now: i64, heard: Option<Observation>, deadline: i64) -> Option<Action> {
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

    pub(super) fn advance(&mut self, moves: bool) -> Option<Action> {
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
pub(super) fn needs_element(command: &WebCommand) -> bool {
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

/// Whether a script judged its line as failed.
pub(super) fn is_false(command: &WebCommand, result: &Value) -> bool {
    let empty = result.as_array().is_some_and(Vec::is_empty);
    matches!(command, WebCommand::Script(_)) && (*result == Value::Bool(false) || empty)
}

pub(super) fn trouble_of(result: &Value) -> Option<Trouble> {
    let text = result.get("text").and_then(Value::as_str).unwrap_or_default();
    match result.get("trouble").and_then(Value::as_str)? {
        "missing" => Some(Trouble::Missing),
        "option" => Some(Trouble::Threw(format!("there is no such option; there are {text}"))),
        _ => Some(Trouble::Threw(text.to_owned())),
    }
}

pub(super) fn page(operation: &'static str, about: Value, secret: Option<Secret>) -> Action {
    Action::Page { call: PageCall { operation, about, secret }, not_before: 0 }
}

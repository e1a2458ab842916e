//! Runs a checked template: what the device printed and what the time is go in; what to send, how long to wait, and in
//! the end a verdict come out.

mod ending;
mod hearing;
mod sending;

use std::sync::{Arc, Mutex};

use crate::dialogue::events::{Effect, Input, Verdict};
use crate::dialogue::known::Prompts;
use crate::dialogue::pattern::{Pattern, Progress};
use crate::dialogue::screen::Screen;
use crate::dialogue::values::Values;
use crate::model::{Masker, Secret};
use crate::template::{Checked, Command, Jump, NewLine, Text};
use hearing::{asks_behind, matched};

/// Output that has been quiet for this long is complete, in milliseconds.
const SETTLE_MS: i64 = 150;
/// Before the first command: what ends as a prompt does and looks like none is believed after so long, in milliseconds.
const DOUBTFUL_MS: i64 = 1_500;
/// The bound on each wait where the template sets none, in milliseconds.
const READ_TIMEOUT_MS: i64 = 5_000;
/// Standing answers given in one run at the most.
const MOST_ANSWERS: usize = 50;

/// One thing that a wait is content with, and the place where the run then goes on.
struct Branch {
    pattern: Pattern,
    what: String,
    then: usize,
    progress: Mutex<Progress>,
}

/// What must not come.
struct Guard {
    pattern: Pattern,
    what: String,
    progress: Mutex<Progress>,
}

/// What contents a wait: where its own words end.
struct Found<'a> {
    branch: &'a Branch,
    end: usize,
    place: Place,
}

/// Where it was found.
enum Place {
    Unread,
    /// In what the match before took along with its open end.
    TakenAlong,
}

/// An answer that stands until the run ends.
struct Standing {
    pattern: Pattern,
    shown: String,
    /// The place of its line.
    at: usize,
}

enum State {
    Ready,
    /// The first branch that matches is taken; a plain wait has one.
    Waiting {
        branches: Vec<Branch>,
        /// Where the run goes on once the device closes the session.
        on_close: Option<usize>,
        deadline: i64,
    },
    AwaitingPrompt {
        prompt: String,
        deadline: i64,
    },
    /// A line that clears up is sent only at a prompt that is known, and that came after the line before.
    AwaitingKnown {
        deadline: i64,
    },
    Sleeping {
        until: i64,
    },
    AwaitingCode,
    AwaitingCommit {
        code: Option<Secret>,
    },
    /// The answer to what was sent last is heard out, before the end or another line.
    Settling {
        deadline: i64,
        ends: bool,
    },
    Over,
}

/// One run of a template.
pub struct Run {
    template: Arc<Checked>,
    values: Values,
    masker: Masker,
    screen: Screen,
    state: State,
    at: usize,
    new_line: NewLine,
    read_timeout_ms: i64,
    prompt: Option<Text>,
    echo: Option<Secret>,
    guards: Vec<Guard>,
    answers: Vec<Standing>,
    answered: usize,
    /// The place of the standing answer that is being given, and the state to go back to.
    answering: Option<(usize, Box<State>)>,
    /// The run proves a password: what it sends is no commit point.
    proves: bool,
    committed: bool,
    /// A new password was sent, and no wait was contented since.
    unanswered: bool,
    /// A wait was contented, or the answer heard out, since the last line was sent.
    heard: bool,
    /// What contented the last wait stood last on the screen, and nothing was sent since.
    at_prompt: bool,
    /// Something was typed.
    typed: bool,
    /// A line was sent: what comes now is no longer what a device says by itself to whoever logs in.
    commanded: bool,
    /// The run clears up after another one: it types only at prompts that are known.
    clears: bool,
    prompts: Prompts,
    /// What was sent last.
    sent: Option<Secret>,
    /// What stood last on the screen when a code was asked for, or the commit point, for what is to be typed there.
    asked: Option<String>,
    /// All that could be done once the output was quiet is done.
    settled: bool,
    closed: bool,
    last_output: i64,
    /// What the device said of itself before the session.
    greeting: String,
}

impl Run {
    /// A run at its start; the values have been checked against the template.
    #[must_use]
    pub fn new(template: Arc<Checked>, values: Values, masker: Masker) -> Self {
        Self {
            template,
            values,
            masker,
            screen: Screen::default(),
            state: State::Ready,
            at: 0,
            new_line: NewLine::default(),
            read_timeout_ms: READ_TIMEOUT_MS,
            prompt: None,
            echo: None,
            guards: Vec::new(),
            answers: Vec::new(),
            answered: 0,
            answering: None,
            proves: false,
            committed: false,
            unanswered: false,
            heard: false,
            at_prompt: false,
            typed: false,
            commanded: false,
            clears: false,
            prompts: Prompts::default(),
            sent: None,
            asked: None,
            settled: false,
            closed: false,
            last_output: 0,
            greeting: String::new(),
        }
    }

    /// What the device said of itself before the session: its SSH version string and banners, for `info detect`.
    #[must_use]
    pub fn greeted(mut self, greeting: String) -> Self {
        self.greeting = greeting;
        self
    }

    /// The run changes nothing: the new password in it is one that is being proved, and sending it is no commit point.
    #[must_use]
    pub fn proving(mut self) -> Self {
        self.proves = true;
        self
    }

    /// The run clears up after another one, in the same session: it sees the same screen, and types only at prompts at which
    /// that one has typed, or which it waits for itself.
    pub fn clear_up_after(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.screen, &mut other.screen);
        std::mem::swap(&mut self.prompts, &mut other.prompts);
        std::mem::swap(&mut self.masker, &mut other.masker);
        if other.at_prompt {
            self.prompts.note(self.screen.cursor_line());
        }
        (self.last_output, self.closed) = (other.last_output, other.closed);
        (self.clears, self.commanded) = (true, true);
    }

    /// What the run waits for, and what came and was not read yet; `None` where it waits for no output.
    #[must_use]
    pub fn awaits(&self) -> Option<(String, &str)> {
        match &self.state {
            State::Waiting { branches, .. } => Some((what(branches), self.screen.unread())),
            State::AwaitingPrompt { prompt, .. } => Some((format!("the prompt \"{prompt}\""), self.screen.unread())),
            _ => None,
        }
    }

    /// When to hand in [`Input::Tick`], in the caller's milliseconds; `None` where only another input can go on.
    #[must_use]
    pub fn deadline(&self) -> Option<i64> {
        let settled = self.last_output + self.settle_ms();
        let bound =
            |pending: bool, deadline: i64| if pending && !self.settled { settled.min(deadline) } else { deadline };
        match &self.state {
            State::Waiting { deadline, branches, .. } => Some(bound(self.may_settle(branches), *deadline)),
            State::Settling { deadline, .. } => Some(bound(!self.screen.since_sent().trim().is_empty(), *deadline)),
            State::AwaitingPrompt { deadline, .. } | State::AwaitingKnown { deadline } => {
                Some(bound(!self.screen.since_sent().is_empty() || self.clears, *deadline))
            }
            State::Sleeping { until } => Some(*until),
            _ => None,
        }
    }

    /// Takes in what happened at `now` (milliseconds on any steady clock) and says what to do.
    pub fn handle(&mut self, now: i64, input: Input<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Start => self.last_output = now,
            Input::Output(bytes) => {
                self.screen.feed(bytes);
                self.last_output = now;
                self.settled = false;
                if !matches!(self.state, State::Over) {
                    effects.extend(self.screen.take_replies().into_iter().map(Effect::Reply));
                }
            }
            Input::Tick => {}
            Input::Closed => self.closed = true,
            Input::Code(code) if matches!(self.state, State::AwaitingCode) => {
                self.masker.add(&code);
                self.send(now, Some(code), &mut effects);
            }
            Input::Committed => {
                if let State::AwaitingCommit { code } = &mut self.state {
                    let code = code.take();
                    self.committed = true;
                    self.send(now, code, &mut effects);
                }
            }
            Input::Code(_) => {}
        }
        self.settle_echo(now);
        if let Some(failure) = self.broken_guard(self.closed) {
            self.fail_refused(failure, &mut effects);
        }
        while self.go_on(now, &mut effects) {}
        self.settled = self.is_quiet(now);
        effects
    }

    /// Does the next thing that can be done now; `false` where something must happen first.
    fn go_on(&mut self, now: i64, effects: &mut Vec<Effect>) -> bool {
        let quiet = self.is_quiet(now);
        match &self.state {
            State::Ready => {
                self.next_line(now, effects);
                true
            }
            State::Waiting { deadline, .. } => {
                let late = now >= *deadline;
                self.look(now, quiet, late, effects)
            }
            State::AwaitingPrompt { prompt, deadline } => {
                let late = self.closed || now >= *deadline;
                let stands = |text: &str| text.trim_end().ends_with(prompt.trim_end());
                let text = self.screen.since_sent();
                let there = stands(text) && (quiet || self.commanded)
                    || quiet && self.before_messages(text, late).is_some_and(stands);
                if there {
                    if let Some(refused) = self.broken_guard(true) {
                        self.fail_refused(refused, effects);
                        return false;
                    }
                    (self.unanswered, self.heard, self.at_prompt) = (false, true, true);
                    self.send(now, None, effects);
                    return true;
                }
                let message = late.then(|| format!("the prompt \"{prompt}\" did not come"));
                if self.answer(now, effects) {
                    return true;
                }
                message.is_some_and(|message| self.fail(&message, effects))
            }
            State::AwaitingKnown { deadline } => {
                let late = self.closed || now >= *deadline || self.prompts.is_empty();
                let known = self.is_answered() && self.prompts.knows(self.screen.cursor_line())
                    || self.before_messages(self.screen.since_sent(), false).is_some();
                if quiet && known {
                    self.send(now, None, effects);
                    return true;
                }
                late && self.fail("no prompt that the run knows stands last on the screen: nothing is typed", effects)
            }
            State::Sleeping { until } => {
                let over = now >= *until;
                if over {
                    self.proceed();
                }
                over
            }
            State::Settling { deadline, ends } => {
                let (late, ends) = (self.closed || now >= *deadline, *ends);
                if self.answer(now, effects) {
                    return true;
                }
                let answered = !self.screen.since_sent().trim().is_empty();
                let over = late || (answered && quiet);
                if let Some(refused) = self.broken_guard(true).filter(|_| over) {
                    self.fail_refused(refused, effects);
                    return false;
                }
                match (over, ends) {
                    (false, _) => return false,
                    (true, true) => self.finish(effects),
                    (true, false) => (self.heard, self.unanswered, self.state) = (true, false, State::Ready),
                }
                !ends
            }
            State::AwaitingCode | State::AwaitingCommit { .. } | State::Over => false,
        }
    }

    /// Looks whether what came contents the wait.
    fn look(&mut self, now: i64, quiet: bool, late: bool, effects: &mut Vec<Effect>) -> bool {
        let State::Waiting { branches, on_close, .. } = &self.state else { return false };
        // A session that closes before the new password was sent changed nothing.
        let on_close = on_close.filter(|_| self.committed || self.proves);
        if self.echo.is_some() && !self.screen.since_sent().is_empty() && !quiet && !late {
            return false;
        }
        let growing = self.screen.growing_unread();
        let unread = growing.text;
        // The first that matches is waited for until it may be taken, before one further down.
        let found = branches.iter().find_map(|branch| Some((branch, branch.find_end(&growing)?)));
        let taken = |quiet| {
            let (branch, end) = found?;
            let unexpected = !self.commanded && !branch.pattern.is_open_ended() && asks_behind(&unread[end..]);
            let matches = !unexpected && matched(&branch.pattern, end, unread, quiet);
            matches.then_some(Found { branch, end, place: Place::Unread })
        };
        let settled = quiet || late;
        // Half a line of what a device says to whoever logs in may look like its prompt.
        let at_once = if self.commanded { taken(false) } else { None };
        let at_last = if settled { taken(true) } else { None };
        let behind = || if settled { self.found_behind(branches, late) } else { None };
        let before = || if settled { self.found_before_messages(branches, late) } else { None };
        let contented = |found: Found<'_>| {
            let step = format!("line {}: saw {}", self.line_number(), found.branch.what);
            let last = !matches!(found.place, Place::Unread) || unread[found.end..].trim().is_empty();
            (found.place, found.end, found.branch.pattern.is_open_ended(), found.branch.then, step, last)
        };
        let is_at_once = at_once.is_some();
        let contented = at_once.or(at_last).or_else(behind).or_else(before).map(contented);
        let what = if self.closed || late { what(branches) } else { String::new() };
        if !is_at_once && self.answer(now, effects) {
            return true;
        }
        if let Some(refused) = self.broken_guard(true).filter(|_| contented.is_some() || settled) {
            self.fail_refused(refused, effects);
            return false;
        }
        match contented {
            Some((place, end, open_end, then, step, last)) => {
                match place {
                    Place::TakenAlong => self.screen.consume_taken_along(end),
                    Place::Unread if open_end => self.screen.consume_all(end),
                    Place::Unread => self.screen.consume(end),
                }
                (self.unanswered, self.heard, self.at_prompt) = (false, true, last);
                self.take(then, step, effects)
            }
            None if self.closed && on_close.is_some() => {
                (self.unanswered, self.heard) = (false, true);
                self.take(
                    on_close.unwrap_or(self.at),
                    format!("line {}: the device closed the session", self.line_number()),
                    effects,
                )
            }
            None if self.closed => {
                self.fail(&format!("the device closed the session while {what} was awaited"), effects)
            }
            None if late => {
                self.fail(&format!("{what} did not come within {} s", seconds(self.read_timeout_ms)), effects)
            }
            None => false,
        }
    }

    /// Goes on where a wait leads. Always `true`.
    fn take(&mut self, then: usize, step: String, effects: &mut Vec<Effect>) -> bool {
        effects.push(Effect::Step(step));
        // What leads to `fail` is the device's no.
        let refused = matches!(self.template.lines().get(then).map(|line| &line.command), Some(Command::Fail(_)));
        if !refused {
            effects.push(Effect::Accepted);
        }
        self.go_to(then);
        true
    }

    fn next_line(&mut self, now: i64, effects: &mut Vec<Effect>) {
        let template = self.template.clone();
        let Some(line) = template.lines().get(self.at) else {
            return self.end(now, effects);
        };
        match &line.command {
            Command::SetReadTimeout(time) => {
                self.read_timeout_ms = millis(*time);
                self.proceed();
            }
            Command::SetNewLineMode(mode) => {
                self.new_line = *mode;
                self.proceed();
            }
            Command::SetPrompt(text) => {
                self.prompt = Some(text.clone());
                self.proceed();
            }
            Command::Exec(_) => match &self.prompt {
                Some(prompt) => {
                    let prompt = self.values.fill(prompt, None).expose().to_owned();
                    self.state = State::AwaitingPrompt { prompt, deadline: now + self.read_timeout_ms };
                }
                None => self.send_next(now, effects),
            },
            Command::Write(_) => self.send_next(now, effects),
            Command::Expect(text) => self.wait(now, Pattern::glob(self.values.fill(text, None).expose()), text),
            Command::Read(text) => self.wait(now, Pattern::literal(self.values.fill(text, None).expose()), text),
            Command::ExpectRegex(text, _) => match self.pattern(self.at) {
                Some(pattern) => self.wait(now, pattern, text),
                None => {
                    self.fail("the regular expression is too large with its tags replaced", effects);
                }
            },
            Command::Choose => self.choose(now, effects),
            // The branch before this one is done.
            Command::When(_) | Command::WhenRegex(..) | Command::WhenClosed => match template.jump(self.at) {
                Some(Jump::End(at)) => self.go_to(*at),
                _ => self.proceed(),
            },
            Command::Answer(pattern, _) => {
                let shown = pattern.to_string();
                let pattern = Pattern::glob(self.values.fill(pattern, None).expose());
                self.answers.push(Standing { pattern, shown, at: self.at });
                self.proceed();
            }
            Command::NoExpect(text) | Command::NoExpectRegex(text, _) => match self.pattern(self.at) {
                Some(pattern) => {
                    self.guards.push(Guard { pattern, what: text.to_string(), progress: Mutex::default() });
                    match self.broken_guard(false) {
                        Some(what) => self.fail_refused(what, effects),
                        None => self.proceed(),
                    }
                }
                None => {
                    self.fail("the regular expression is too large with its tags replaced", effects);
                }
            },
            Command::Sleep(time) => self.state = State::Sleeping { until: now + millis(*time) },
            Command::Fail(text) => {
                let text = self.values.fill(text, None).expose().to_owned();
                self.fail(&format!("the template says: {text}"), effects);
                if let Some(Effect::Finished(Verdict::Failed(failure))) = effects.last_mut() {
                    failure.device_refuses = failure.committed;
                    failure.judged = failure.typed;
                }
            }
            Command::End => self.end(now, effects),
            Command::SetSshVersion
            | Command::SetConnectTimeout(_)
            | Command::LoginPrompt(..)
            | Command::Info(..)
            | Command::EndChoose
            | Command::Section(_) => self.proceed(),
        }
    }

    fn proceed(&mut self) {
        self.go_to(self.at + 1);
    }

    fn go_to(&mut self, at: usize) {
        self.at = at;
        self.state = State::Ready;
    }

    fn wait(&mut self, now: i64, pattern: Pattern, shown: &Text) {
        let branch = Branch { pattern, what: format!("\"{shown}\""), then: self.at + 1, progress: Mutex::default() };
        let deadline = now + self.read_timeout_ms;
        self.state = State::Waiting { branches: vec![branch], on_close: None, deadline };
    }

    /// The pattern of the `expect-regex`, `when` or `when-regex` at a place.
    fn pattern(&self, at: usize) -> Option<Pattern> {
        match &self.template.lines().get(at)?.command {
            Command::When(text) => Some(Pattern::glob(self.values.fill(text, None).expose())),
            Command::ExpectRegex(text, flags)
            | Command::WhenRegex(text, flags)
            | Command::NoExpectRegex(text, flags) => match self.template.expression(at) {
                Some(compiled) => Some(Pattern::Regex(compiled.clone())),
                None => Pattern::regex(self.values.fill_regex(text).expose(), *flags).ok(),
            },
            Command::NoExpect(text) => Some(Pattern::glob(self.values.fill(text, None).expose())),
            _ => None,
        }
    }

    fn choose(&mut self, now: i64, effects: &mut Vec<Effect>) {
        let template = self.template.clone();
        let Some(Jump::Branches(places)) = template.jump(self.at) else { return self.proceed() };
        let closes =
            |at: &usize| matches!(template.lines().get(*at).map(|line| &line.command), Some(Command::WhenClosed));
        let on_close = places.iter().copied().find(closes).map(|at| at + 1);
        let branches: Option<Vec<Branch>> = places
            .iter()
            .filter(|at| !closes(at))
            .map(|&at| {
                let what = template.lines().get(at)?.command.texts().first().map(|text| format!("\"{text}\""))?;
                Some(Branch { pattern: self.pattern(at)?, what, then: at + 1, progress: Mutex::default() })
            })
            .collect();
        match branches {
            Some(branches) => {
                self.state = State::Waiting { branches, on_close, deadline: now + self.read_timeout_ms };
            }
            None => {
                self.fail("a regular expression is too large with its tags replaced", effects);
            }
        }
    }
}

fn what(branches: &[Branch]) -> String {
    let all: Vec<&str> = branches.iter().map(|branch| branch.what.as_str()).collect();
    if all.is_empty() { "the end of the session".into() } else { all.join(" or ") }
}

fn millis(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}

fn seconds(ms: i64) -> String {
    if ms % 1000 == 0 { (ms / 1000).to_string() } else { format!("{}.{:03}", ms / 1000, ms % 1000) }
}

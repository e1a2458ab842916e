//! Runs a checked template: what the device printed and what the time is go in; what to send, how long to wait, and in
//! the end a verdict come out.

use std::sync::Arc;

use super::pattern::Pattern;
use super::refusal::device_refuses;
use super::screen::Screen;
use super::values::Values;
use crate::model::{Masker, Secret};
use crate::template::{Checked, Command, NewLine, Text};

/// Output that has been quiet for this long is complete, in milliseconds.
const SETTLE_MS: i64 = 150;
/// The bound on each wait where the template sets none, in milliseconds.
const READ_TIMEOUT_MS: i64 = 5_000;

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The session's shell is open.
    Start,
    /// The device sent bytes.
    Output(&'a [u8]),
    /// The time of [`Run::deadline`] has come.
    Tick,
    /// The device closed the session.
    Closed,
    /// The code that [`Effect::NeedCode`] asked for.
    Code(Secret),
    /// The commit point is durable: the new password may leave.
    Committed,
}

/// Whose code is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The account whose password changes, or the login account where that one has no seed.
    Account,
    /// The login account.
    Login,
}

/// What to do, in this order.
#[derive(Debug)]
pub enum Effect {
    /// Send these bytes.
    Send(Secret),
    /// What is sent next holds a password or a code that the device may refuse, and count as a refused login.
    Risk(Whose),
    /// The device went on, and so took what was risked.
    Accepted,
    /// Make a code and hand it in with [`Input::Code`].
    NeedCode(Whose),
    /// Make it durable that the new password may be at the device, then hand in [`Input::Committed`].
    CommitPoint,
    /// Something to show, without any secret.
    Step(String),
    /// The run is over.
    Finished(Verdict),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The template ran to its end; the flag tells whether its commit point was passed.
    Ran {
        /// Whether the new password was sent.
        committed: bool,
    },
    /// It failed.
    Failed(RunFailure),
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFailure {
    /// What was awaited and what was seen, secrets masked.
    pub message: String,
    /// Whether the new password may have reached the device.
    pub committed: bool,
    /// Whether the device seems to have refused the new password.
    pub device_refuses: bool,
}

enum State {
    Ready,
    Waiting { pattern: Pattern, deadline: i64, what: String },
    AwaitingPrompt { prompt: String, deadline: i64 },
    Sleeping { until: i64 },
    AwaitingCode,
    AwaitingCommit { code: Option<Secret> },
    Settling { deadline: i64 },
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
    guards: Vec<(Pattern, String)>,
    committed: bool,
    closed: bool,
    last_output: i64,
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
            committed: false,
            closed: false,
            last_output: 0,
        }
    }

    /// When to hand in [`Input::Tick`], in the caller's milliseconds; `None` where only another input can go on.
    #[must_use]
    pub fn deadline(&self) -> Option<i64> {
        let settled = self.last_output + SETTLE_MS;
        match &self.state {
            State::Waiting { deadline, pattern, .. } => {
                let echoing = self.echo.is_some() && !self.screen.since_sent().is_empty();
                let pending = echoing || pattern.find_end(self.screen.unread()).is_some();
                Some(if pending && !self.screen.unread().is_empty() { settled.min(*deadline) } else { *deadline })
            }
            State::Settling { deadline } if !self.screen.since_sent().trim().is_empty() => Some(settled.min(*deadline)),
            State::AwaitingPrompt { deadline, .. } | State::Settling { deadline } => Some(*deadline),
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
        if let Some(failure) = self.broken_guard() {
            self.fail_refused(failure, &mut effects);
        }
        while self.go_on(now, &mut effects) {}
        effects
    }

    /// Does the next thing that can be done now; `false` where something must happen first.
    fn go_on(&mut self, now: i64, effects: &mut Vec<Effect>) -> bool {
        let quiet = now - self.last_output >= SETTLE_MS || self.closed;
        match &self.state {
            State::Ready => {
                self.next_line(now, effects);
                true
            }
            State::Waiting { pattern, deadline, what } => {
                let late = now >= *deadline;
                if self.echo.is_some() && !self.screen.since_sent().is_empty() && !quiet && !late {
                    return false;
                }
                match matched(pattern, self.screen.unread(), quiet || late) {
                    Some(end) => {
                        let step = format!("line {}: saw {what}", self.line_number());
                        self.screen.consume(end);
                        effects.push(Effect::Step(step));
                        effects.push(Effect::Accepted);
                        self.proceed();
                        true
                    }
                    None if self.closed => {
                        let message = format!("the device closed the session while {what} was awaited");
                        self.fail(&message, effects)
                    }
                    None if late => {
                        let message = format!("{what} did not come within {} s", seconds(self.read_timeout_ms));
                        self.fail(&message, effects)
                    }
                    None => false,
                }
            }
            State::AwaitingPrompt { prompt, deadline } => {
                if self.screen.since_sent().trim_end().ends_with(prompt.trim_end()) {
                    self.send(now, None, effects);
                    return true;
                }
                if self.closed || now >= *deadline {
                    let message = format!("the prompt \"{}\" did not come", self.masker.mask(prompt));
                    return self.fail(&message, effects);
                }
                false
            }
            State::Sleeping { until } => {
                let over = now >= *until;
                if over {
                    self.proceed();
                }
                over
            }
            State::Settling { deadline } => {
                let answered = !self.screen.since_sent().trim().is_empty();
                if self.closed || now >= *deadline || (answered && quiet) {
                    self.finish(effects);
                }
                false
            }
            State::AwaitingCode | State::AwaitingCommit { .. } | State::Over => false,
        }
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
                None => self.send(now, None, effects),
            },
            Command::Write(_) => self.send(now, None, effects),
            Command::Expect(text) => self.wait(now, Pattern::glob(self.values.fill(text, None).expose()), text),
            Command::Read(text) => self.wait(now, Pattern::literal(self.values.fill(text, None).expose()), text),
            Command::ExpectRegex(text, flags) => {
                let pattern = match template.expression(self.at) {
                    Some(compiled) => Ok(Pattern::Regex(compiled.clone())),
                    None => Pattern::regex(self.values.fill_regex(text).expose(), *flags),
                };
                match pattern {
                    Ok(pattern) => self.wait(now, pattern, text),
                    Err(_) => {
                        self.fail("the regular expression is too large with its tags replaced", effects);
                    }
                }
            }
            Command::NoExpect(text) => {
                self.guards.push((Pattern::glob(self.values.fill(text, None).expose()), text.to_string()));
                match self.broken_guard() {
                    Some(what) => self.fail_refused(what, effects),
                    None => self.proceed(),
                }
            }
            Command::Sleep(time) => self.state = State::Sleeping { until: now + millis(*time) },
            Command::Fail(text) => {
                let text = self.values.fill(text, None).expose().to_owned();
                self.fail(&format!("the template says: {text}"), effects);
            }
            Command::End => self.end(now, effects),
            Command::SetSshVersion
            | Command::SetConnectTimeout(_)
            | Command::LoginPrompt(..)
            | Command::Info(..)
            | Command::Section(_) => self.proceed(),
        }
    }

    fn proceed(&mut self) {
        self.at += 1;
        self.state = State::Ready;
    }

    fn wait(&mut self, now: i64, pattern: Pattern, shown: &Text) {
        self.state = State::Waiting { pattern, deadline: now + self.read_timeout_ms, what: format!("\"{shown}\"") };
    }

    /// Sends the current line, as soon as its code is there and the commit point it may be is durable.
    fn send(&mut self, now: i64, code: Option<Secret>, effects: &mut Vec<Effect>) {
        let template = self.template.clone();
        let Some(line) = template.lines().get(self.at) else {
            return;
        };
        let Some(text) = line.command.sent() else {
            return;
        };
        if self.closed {
            self.fail("the device closed the session", effects);
            return;
        }
        let whose = if text.has_tag("AUTH_TOTP_TOKEN") { Whose::Login } else { Whose::Account };
        if code.is_none() && (whose == Whose::Login || text.has_tag("TOTP_TOKEN")) {
            self.state = State::AwaitingCode;
            effects.push(Effect::NeedCode(whose));
            return;
        }
        if text.has_tag("NEW_PASSWORD") && !self.committed {
            self.state = State::AwaitingCommit { code };
            effects.push(Effect::CommitPoint);
            return;
        }
        let filled = self.values.fill(text, code.as_ref());
        let bytes = match line.command {
            Command::Exec(_) => Secret::new(format!("{}{}", filled.expose(), self.new_line.as_str())),
            _ => filled.clone(),
        };
        self.guards.clear();
        self.screen.mark_sent();
        self.echo = (!filled.expose().trim().is_empty()).then_some(filled);
        self.last_output = now;
        if let Some(whose) = risks(text) {
            effects.push(Effect::Risk(whose));
        }
        effects.push(Effect::Step(format!("line {}: sent \"{text}\"", line.number)));
        effects.push(Effect::Send(bytes));
        self.proceed();
    }

    fn end(&mut self, now: i64, effects: &mut Vec<Effect>) {
        if self.guards.is_empty() || self.closed {
            self.finish(effects);
        } else {
            self.state = State::Settling { deadline: now + self.read_timeout_ms };
        }
    }

    fn finish(&mut self, effects: &mut Vec<Effect>) {
        self.state = State::Over;
        effects.push(Effect::Finished(Verdict::Ran { committed: self.committed }));
    }

    /// Takes the echo of the line just sent out of what is matched.
    fn settle_echo(&mut self, now: i64) {
        let Some(line) = &self.echo else { return };
        let text = self.screen.since_sent();
        match echo(text, line.expose()) {
            Echo::Whole(bytes) => {
                self.screen.skip_echo(bytes);
                self.echo = None;
            }
            Echo::None => self.echo = None,
            Echo::Begun if now - self.last_output >= SETTLE_MS && !text.is_empty() => self.echo = None,
            Echo::Begun => {}
        }
    }

    fn broken_guard(&self) -> Option<String> {
        if matches!(self.state, State::Over) || self.echo.is_some() {
            return None;
        }
        let text = self.screen.since_sent();
        self.guards.iter().find(|(pattern, _)| pattern.occurs_in(text)).map(|(_, what)| what.clone())
    }

    fn fail_refused(&mut self, what: String, effects: &mut Vec<Effect>) {
        self.fail(&format!("the device answered \"{what}\", which must not come"), effects);
        if let Some(Effect::Finished(Verdict::Failed(failure))) = effects.last_mut() {
            failure.device_refuses = failure.committed;
        }
    }

    /// Ends the run as failed. Always `false`: nothing more can be done.
    fn fail(&mut self, what: &str, effects: &mut Vec<Effect>) -> bool {
        if matches!(self.state, State::Over) {
            return false;
        }
        let seen = self.last_lines();
        let message = format!("template line {}: {}; last seen: {seen}", self.line_number(), self.masker.mask(what));
        self.state = State::Over;
        effects.push(Effect::Finished(Verdict::Failed(RunFailure {
            message,
            committed: self.committed,
            device_refuses: self.committed && device_refuses(self.screen.since_sent()),
        })));
        false
    }

    fn line_number(&self) -> usize {
        let lines = self.template.lines();
        lines.get(self.at).or(lines.last()).map_or(0, |line| line.number)
    }

    /// The last three lines seen, masked, on one line.
    fn last_lines(&self) -> String {
        let lines: Vec<&str> = self.screen.all().lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let tail = lines[lines.len().saturating_sub(3)..].join(" | ");
        let masked = self.masker.mask(&tail);
        let skip = masked.chars().count().saturating_sub(300);
        let short: String = masked.chars().skip(skip).collect();
        if short.is_empty() { "nothing".into() } else { format!("«{short}»") }
    }
}

/// Whose password or code a text holds that the device judges.
fn risks(text: &Text) -> Option<Whose> {
    let has = |tags: &[&str]| tags.iter().any(|tag| text.has_tag(tag));
    if has(&["AUTH_PASSWORD", "AUTH_TOTP_TOKEN"]) {
        Some(Whose::Login)
    } else if has(&["CURRENT_PASSWORD", "TOTP_TOKEN"]) {
        Some(Whose::Account)
    } else {
        None
    }
}

/// Where the match ends, if it may be taken now: at once where only white space follows it, else when all is quiet.
fn matched(pattern: &Pattern, unread: &str, quiet: bool) -> Option<usize> {
    let end = pattern.find_end(unread)?;
    if pattern.is_open_ended() {
        return (quiet && !unread.is_empty()).then_some(unread.len());
    }
    (quiet || unread[end..].trim().is_empty()).then_some(end)
}

enum Echo {
    Whole(usize),
    Begun,
    None,
}

/// Whether a text begins with what was sent, wrapped or not, or has it at the end of its first lines behind a prompt.
fn echo(text: &str, sent: &str) -> Echo {
    let mut expected = sent.trim().chars().peekable();
    for (at, c) in text.char_indices() {
        match expected.peek() {
            Some(&wanted) if wanted == c => {
                expected.next();
                if expected.peek().is_none() {
                    return Echo::Whole(at + c.len_utf8());
                }
            }
            _ if c.is_whitespace() => {}
            _ => return echo_behind_prompt(text, sent.trim()),
        }
    }
    Echo::Begun
}

fn echo_behind_prompt(text: &str, sent: &str) -> Echo {
    let mut at = 0;
    for line in text.split_inclusive('\n').take(20) {
        at += line.len();
        if sent.len() >= 3 && line.ends_with('\n') && line.trim_end().ends_with(sent) {
            return Echo::Whole(at - 1);
        }
    }
    Echo::None
}

fn millis(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}

fn seconds(ms: i64) -> String {
    if ms % 1000 == 0 { (ms / 1000).to_string() } else { format!("{}.{:03}", ms / 1000, ms % 1000) }
}

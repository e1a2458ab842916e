//! What is sent: lines and standing answers, each once its code is there and, where it is the commit point, that is durable.

use super::{MOST_ANSWERS, Run, SETTLE_MS, Standing, State};
use crate::dialogue::echo::{Echo, echo};
use crate::dialogue::events::{Effect, needs_code, risks};
use crate::dialogue::known;
use crate::model::Secret;
use crate::template::{Command, Text};

/// Tags whose values are no secrets, and no answers to a question for one.
const PLAIN: &[&str] = &["USERNAME", "AUTH_USER", "AUTH_DOMAIN", "IP", "HOSTNAME", "DOMAIN", "SERVER_PATH"];

impl Run {
    /// Gives the standing answer to what is the last thing on the screen, if one is due.
    pub(super) fn answer(&mut self, now: i64, effects: &mut Vec<Effect>) -> bool {
        if self.answers.is_empty() || self.closed || (self.echo.is_some() && !self.screen.since_sent().is_empty()) {
            return false;
        }
        if !self.commanded && !self.is_quiet(now) {
            return false;
        }
        let last = self.screen.last_line();
        let due = self
            .answers
            .iter()
            .find(|standing| !last.trim().is_empty() && standing.pattern.ends(last) && !self.is_blind(standing, last));
        let Some((at, shown)) = due.map(|standing| (standing.at, standing.shown.clone())) else { return false };
        if self.answered == MOST_ANSWERS {
            self.fail(&format!("\"{shown}\" was answered {MOST_ANSWERS} times and comes again"), effects);
            return false;
        }
        self.answered += 1;
        self.screen.drop_last_line();
        let state = std::mem::replace(&mut self.state, State::Ready);
        self.answering = Some((at, Box::new(state)));
        self.send(now, None, effects);
        true
    }

    /// Whether a standing answer would be typed at a question for a secret, without being one or naming the question.
    fn is_blind(&self, standing: &Standing, last: &str) -> bool {
        let line = self.template.lines().get(standing.at).map(|line| &line.command);
        let Some(Command::Answer(_, text)) = line else { return false };
        is_plain(text) && known::asks_for_secret(last) && !known::names_secret(&standing.shown)
    }

    /// Sends the current line. Where what must not come could still come, or the new password has no answer yet, the answer
    /// to the line before is heard out first. A command is not typed at a question for a secret that came instead.
    pub(super) fn send_next(&mut self, now: i64, effects: &mut Vec<Effect>) {
        let template = self.template.clone();
        let text = template.lines().get(self.at).and_then(|line| line.command.sent());
        let plain = text.filter(|text| is_plain(text)).map(|text| self.values.fill(text, None));
        let is_plain = plain.is_some();
        if !self.heard && !self.closed && (!self.guards.is_empty() || self.unanswered && is_plain) {
            self.state = State::Settling { deadline: now + self.read_timeout_ms, ends: false };
        } else if self.clears && !self.at_prompt {
            self.state = State::AwaitingKnown { deadline: now + self.read_timeout_ms };
        } else if plain.is_some_and(|text| is_no_answer(text.expose(), last_line(self.screen.unread()))) {
            self.fail("the device asks something else where a command would be typed: nothing is typed", effects);
        } else {
            self.send(now, None, effects);
        }
    }

    /// Sends the current line or standing answer, as soon as its code is there and the commit point it may be is durable.
    pub(super) fn send(&mut self, now: i64, code: Option<Secret>, effects: &mut Vec<Effect>) {
        let template = self.template.clone();
        let at = self.answering.as_ref().map_or(self.at, |(at, _)| *at);
        let Some(line) = template.lines().get(at) else {
            return;
        };
        let Some(text) = line.command.sent() else {
            return;
        };
        if self.closed {
            self.fail("the device closed the session", effects);
            return;
        }
        if self.asked.take().is_some_and(|asked| !self.screen.cursor_line().trim_end().ends_with(&asked)) {
            self.fail("the device did not wait for what was made ready: nothing is typed", effects);
            return;
        }
        let asked = self.at_prompt.then(|| self.screen.cursor_line().trim().to_owned());
        if let Some(whose) = needs_code(text).filter(|_| code.is_none()) {
            (self.state, self.asked) = (State::AwaitingCode, asked);
            effects.push(Effect::NeedCode(whose));
            return;
        }
        if text.has_tag("NEW_PASSWORD") && !self.committed && !self.proves {
            (self.state, self.asked) = (State::AwaitingCommit { code }, asked);
            effects.extend(self.misfit().map(Effect::Step));
            effects.push(Effect::CommitPoint);
            return;
        }
        let filled = self.values.fill(text, code.as_ref());
        let is_line = match line.command {
            Command::Exec(_) => true,
            // Blanks alone are a key that is pressed, as in a pager; all else is a line.
            Command::Answer(..) => filled.expose().is_empty() || !filled.expose().trim().is_empty(),
            _ => false,
        };
        let bytes = if is_line {
            Secret::new(format!("{}{}", filled.expose(), self.new_line.as_str()))
        } else {
            filled.clone()
        };
        if self.answering.is_none() {
            self.guards.clear();
            if self.at_prompt && is_line {
                self.prompts.note(self.screen.cursor_line());
            }
            // A key that is pressed, as on "press any key", is no command.
            self.commanded |= filled.expose().chars().nth(usize::from(!is_line)).is_some();
        }
        if self.clears {
            // The prompt at which it types is no answer to what it types.
            self.screen.consume(usize::MAX / 2);
        }
        (self.typed, self.at_prompt, self.settled) = (true, false, false);
        self.screen.mark_sent();
        self.echo = (!filled.expose().trim().is_empty()).then(|| filled.clone());
        self.sent = Some(filled);
        self.last_output = now;
        self.heard = false;
        self.unanswered |= text.has_tag("NEW_PASSWORD");
        if let Some(whose) = risks(text, self.proves) {
            effects.push(Effect::Risk(whose));
        }
        effects.push(Effect::Step(format!("line {}: sent \"{text}\"", line.number)));
        effects.push(Effect::Send(bytes));
        match self.answering.take() {
            None => self.proceed(),
            Some((_, state)) => {
                self.state = *state;
                let until = now + self.read_timeout_ms;
                if let State::Waiting { deadline, .. }
                | State::AwaitingPrompt { deadline, .. }
                | State::AwaitingKnown { deadline }
                | State::Settling { deadline, .. } = &mut self.state
                {
                    *deadline = until;
                }
            }
        }
    }

    /// A warning where nothing of what the device has shown is of a device that the template is for.
    fn misfit(&self) -> Option<String> {
        let shown = format!("{}{}", self.greeting, self.screen.all());
        if self.template.fits(&shown) != Some(false) {
            return None;
        }
        let version = self.greeting.lines().find(|line| line.starts_with("SSH-")).map(shown_short);
        let version = version.map(|line| self.masker.mask(&line));
        Some(format!("warning: {}", self.template.misfit(version.as_deref())))
    }

    /// Takes the echo of the line just sent out of what is matched.
    pub(super) fn settle_echo(&mut self, now: i64) {
        let Some(line) = &self.echo else { return };
        let text = self.screen.since_sent();
        // A message may have come before it.
        let begin = known::behind_messages(text);
        match echo(&text[begin..], line.expose()) {
            Echo::Whole(bytes) => {
                self.screen.skip_echo(begin + bytes);
                self.echo = None;
            }
            Echo::None => self.echo = None,
            Echo::Begun if now - self.last_output >= SETTLE_MS && !text.is_empty() => self.echo = None,
            Echo::Begun => {}
        }
    }
}

/// Whether what is typed is no secret, nor holds a value that may be one.
fn is_plain(text: &Text) -> bool {
    text.tags().all(|tag| PLAIN.contains(&tag))
}

/// Whether a line that is no secret would be typed at a question that no wait has matched: one for a secret, or a choice
/// that has no such answer.
fn is_no_answer(text: &str, last: &str) -> bool {
    let text = text.trim().to_lowercase();
    known::asks_for_secret(last)
        || known::asks_to_choose(last) && text.len() > 3 && !last.to_lowercase().contains(&text)
}

/// A line of the device's as it may be shown.
fn shown_short(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// What stands behind the last line end.
fn last_line(text: &str) -> &str {
    &text[text.rfind('\n').map_or(0, |end| end + 1)..]
}

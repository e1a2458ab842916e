//! Plays a scene against a template, in virtual time.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Ending, Scene, Turn};
use crate::dialogue::{Effect, Input, Run, Values, Verdict};
use crate::model::{Masker, Secret};
use crate::template::{Checked, NewLine, Section, Text};

/// What came of a scene.
#[derive(Debug)]
pub struct Played {
    /// Why the scene did not go as recorded; `None` where it did.
    pub problem: Option<String>,
    /// What happened, step by step: what the device printed, what was awaited, what was sent.
    pub trace: Vec<String>,
}

/// Stands for the codes of a recording.
const CODE: &str = "246810";

/// The values that a recording is played with, where it sets no others. They are no secrets of anybody.
fn values(template: &Checked, scene: &Scene) -> Values {
    let mut values = Values::default();
    let reconcile = template.reconcile().map(|reconcile| reconcile.tags()).unwrap_or_default();
    let proves = scene.section == Section::Verify;
    for (tag, _) in template.tags().into_iter().chain(reconcile) {
        let value = match tag {
            "USERNAME" => "admin".to_owned(),
            "CURRENT_PASSWORD" if !proves => "Old-Secret_17".to_owned(),
            "NEW_PASSWORD" | "CURRENT_PASSWORD" => "New-Secret_42".to_owned(),
            "AUTH_USER" => "operator".to_owned(),
            "AUTH_PASSWORD" => "Login-Secret_3".to_owned(),
            "IP" => "192.0.2.10".to_owned(),
            "HOSTNAME" => "device".to_owned(),
            "DOMAIN" | "AUTH_DOMAIN" => "example.com".to_owned(),
            other => other.to_ascii_lowercase(),
        };
        values.set(tag.to_owned(), Secret::new(value));
    }
    for (tag, value) in &scene.values {
        values.set(tag.clone(), Secret::new(value.clone()));
    }
    values
}

/// Plays a scene.
#[must_use]
pub fn play(template: &Arc<Checked>, scene: &Scene) -> Played {
    let section = match scene.section {
        Section::Change => template,
        other => match template.section(other) {
            Some(section) => section,
            None => {
                let problem = Some(format!("the template has no section {}", other.name()));
                return Played { problem, trace: Vec::new() };
            }
        },
    };
    let values = values(template, scene);
    let mut run = Run::new(section.clone(), values.clone(), Masker::default());
    if matches!(scene.section, Section::Verify | Section::Abort) {
        run = run.proving();
    }
    let mut stage = Stage {
        run,
        values,
        scene,
        at: 0,
        now: 0,
        echoes: VecDeque::new(),
        trace: Vec::new(),
        verdict: None,
        problem: None,
    };
    stage.play();
    let problem = stage.problem.take().or_else(|| stage.judge());
    Played { problem, trace: stage.trace }
}

struct Stage<'a> {
    run: Run,
    values: Values,
    scene: &'a Scene,
    /// The next turn.
    at: usize,
    now: i64,
    /// What the device shows of what was sent, not handed in yet.
    echoes: VecDeque<String>,
    trace: Vec<String>,
    verdict: Option<Verdict>,
    problem: Option<String>,
}

impl Stage<'_> {
    fn play(&mut self) {
        let effects = self.run.handle(self.now, Input::Start);
        self.take_in(effects);
        while self.verdict.is_none() && self.problem.is_none() {
            match self.scene.turns.get(self.at) {
                Some((_, Turn::Prints(text))) => {
                    let bytes = self.values.fill(text, None).expose().to_owned();
                    self.trace.push(format!("device: {:?}", bytes.trim_end_matches("\r\n")));
                    self.at += 1;
                    self.now += 1;
                    let effects = self.run.handle(self.now, Input::Output(bytes.as_bytes()));
                    self.take_in(effects);
                }
                Some((_, Turn::Silence(ms))) => {
                    let until = self.now + ms;
                    self.at += 1;
                    while let Some(due) = self.run.deadline().filter(|due| *due <= until && self.verdict.is_none()) {
                        self.tick(due);
                    }
                    self.now = until;
                }
                Some((_, Turn::Closes)) => {
                    self.trace.push("device: closes the session".into());
                    self.at += 1;
                    let effects = self.run.handle(self.now, Input::Closed);
                    self.take_in(effects);
                }
                // The device waits; the template's own time runs.
                Some((_, Turn::Takes { .. })) | None => match self.run.deadline() {
                    Some(due) => self.tick(due),
                    None => self.problem = Some("the template waits for nothing and does nothing".into()),
                },
            }
        }
    }

    fn tick(&mut self, due: i64) {
        self.now = self.now.max(due);
        let effects = self.run.handle(self.now, Input::Tick);
        self.take_in(effects);
    }

    fn take_in(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Step(text) => self.trace.push(text),
                Effect::NeedCode(_) => {
                    let effects = self.run.handle(self.now, Input::Code(Secret::new(CODE.into())));
                    self.take_in(effects);
                }
                Effect::CommitPoint => {
                    self.trace.push("commit point: from here on the device may have the new password".into());
                    let effects = self.run.handle(self.now, Input::Committed);
                    self.take_in(effects);
                }
                Effect::Send(sent) => self.sent(sent.expose()),
                Effect::Reply(_) | Effect::Risk(_) | Effect::Accepted => {}
                Effect::Finished(verdict) => self.verdict = Some(verdict),
            }
        }
        if let Some(echo) = self.echoes.pop_front() {
            let effects = self.run.handle(self.now, Input::Output(echo.as_bytes()));
            return self.take_in(effects);
        }
        if self.verdict.is_none()
            && let Some((what, unread)) = self.run.awaits()
        {
            let shown: String = unread.chars().rev().take(160).collect::<Vec<_>>().into_iter().rev().collect();
            let line = format!("  waits for {what}; unread: {shown:?}");
            if self.trace.last() != Some(&line) {
                self.trace.push(line);
            }
        }
    }

    /// The template sent something: the recording's next turn must take it.
    fn sent(&mut self, sent: &str) {
        if self.problem.is_some() {
            return;
        }
        // What is printed before it was printed too late for the template to wait for.
        let skipped =
            self.scene.turns[self.at..].iter().take_while(|(_, turn)| matches!(turn, Turn::Silence(_))).count();
        self.at += skipped;
        let Some((number, Turn::Takes { text, line, echoed })) = self.scene.turns.get(self.at) else {
            let next = self.scene.turns.get(self.at).map_or("is over".to_owned(), |(number, turn)| {
                format!(
                    "has the device {} first (line {number})",
                    if *turn == Turn::Closes { "close the session" } else { "print more" }
                )
            });
            self.problem = Some(format!("the template sent {sent:?} where the recording {next}"));
            return;
        };
        let wanted = self.fill(text);
        let (body, ended) = ["\r\n", NewLine::Unix.as_str(), NewLine::Mac.as_str()]
            .iter()
            .find_map(|end| sent.strip_suffix(end))
            .map_or((sent, false), |body| (body, true));
        if body != wanted || ended != *line {
            let as_line = if *line { "a line" } else { "no line end" };
            self.problem = Some(format!(
                "the template sent {sent:?}; line {number} of the recording takes {wanted:?} and {as_line}"
            ));
            return;
        }
        self.at += 1;
        let echo = match (line, echoed) {
            (true, true) => format!("{body}\r\n"),
            (true, false) => "\r\n".to_owned(),
            (false, _) => String::new(),
        };
        if !echo.is_empty() {
            self.echoes.push_back(echo);
        }
    }

    fn fill(&self, text: &Text) -> String {
        self.values.fill(text, Some(&Secret::new(CODE.into()))).expose().to_owned()
    }

    /// Whether it ended as the recording says, with nothing left to be sent.
    fn judge(&self) -> Option<String> {
        let verdict = self.verdict.as_ref()?;
        let (ending, why) = match verdict {
            Verdict::Ran { .. } => (Ending::Ran, String::new()),
            Verdict::Failed(failure) => {
                let proves = matches!(self.scene.section, Section::Verify | Section::Abort);
                let ending = match (failure.committed, failure.device_refuses || (proves && failure.judged)) {
                    (_, true) => Ending::Refused,
                    (true, false) => Ending::Broken,
                    (false, false) => Ending::Failed,
                };
                (ending, format!(": {}", failure.message))
            }
        };
        if ending != self.scene.ending {
            return Some(format!(
                "it ended '{}', and is recorded as '{}'{why}",
                ending.name(),
                self.scene.ending.name()
            ));
        }
        let left = self.scene.turns[self.at..].iter().find_map(|(number, turn)| match turn {
            Turn::Takes { text, .. } => Some((number, text.to_string())),
            _ => None,
        });
        left.map(|(number, text)| {
            format!("the template ended before line {number} of the recording, where it sends {text:?}")
        })
    }
}

//! Plays a scene against a template, in virtual time.

use std::collections::VecDeque;
use std::sync::Arc;

use super::manner::Manner;
use super::{Ending, Scene, Turn};
use crate::dialogue::{Effect, Input, Run, RunFailure, Values, Verdict};
use crate::model::{Masker, Secret};
use crate::template::{Checked, NewLine, Section, Text};

/// What came of a scene.
#[derive(Debug)]
pub struct Played {
    /// Why the scene did not go as recorded; `None` where it did.
    pub problem: Option<String>,
    /// What the recording leaves open, where it does: how the run went on behind its end, or an outcome that it does not state.
    pub note: Option<String>,
    /// What happened, step by step: what the device printed, what was awaited, what was sent.
    pub trace: Vec<String>,
}

/// Stands for the codes of a recording.
pub(super) const CODE: &str = "246810";

/// The values that a recording is played with, where it sets no others. They are no secrets of anybody.
pub(super) fn values(template: &Checked, proves: bool, set: &[(String, String)]) -> Values {
    let mut values = Values::default();
    let reconcile = template.reconcile().map(|reconcile| reconcile.tags()).unwrap_or_default();
    // A recording may tell of these where the template names another in their place.
    let always = ["USERNAME", "HOSTNAME", "CURRENT_PASSWORD", "NEW_PASSWORD"].map(|tag| (tag, 0));
    for (tag, _) in template.tags().into_iter().chain(reconcile).chain(always) {
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
    for (tag, value) in set {
        values.set(tag.clone(), Secret::new(value.clone()));
    }
    values
}

/// Plays a scene in every manner in which a device may print it: the first that goes wrong, else the scene as recorded.
#[must_use]
pub fn play_all(template: &Arc<Checked>, scene: &Scene) -> Played {
    let [first, others @ ..] = Manner::ALL;
    let mut played = play(template, scene, first);
    for manner in others {
        if played.problem.is_some() {
            break;
        }
        let other = play(template, scene, manner);
        if let Some(problem) = other.problem {
            played = Played { problem: Some(format!("{}: {problem}", manner.name())), ..other };
        }
    }
    played
}

/// Plays a scene.
#[must_use]
pub fn play(template: &Arc<Checked>, scene: &Scene, manner: Manner) -> Played {
    let section = match scene.section {
        Section::Change => template,
        other => match template.section(other) {
            Some(section) => section,
            None => {
                let problem = Some(format!("the template has no section {}", other.name()));
                return Played { problem, note: None, trace: Vec::new() };
            }
        },
    };
    let values = values(template, scene.section == Section::Verify, &scene.values);
    let mut run = Run::new(section.clone(), values.clone(), Masker::default());
    if scene.section.changes_nothing() {
        run = run.proving();
    }
    let mut stage = Stage {
        run,
        values,
        scene,
        manner,
        at: 0,
        now: 0,
        coming: VecDeque::new(),
        column: 0,
        closed: false,
        trace: Vec::new(),
        verdict: None,
        problem: None,
        note: None,
    };
    stage.play();
    stage.follow(section);
    let problem = stage.problem.take().or_else(|| stage.judge());
    Played { problem, note: stage.note, trace: stage.trace }
}

struct Stage<'a> {
    run: Run,
    values: Values,
    scene: &'a Scene,
    manner: Manner,
    /// The next turn.
    at: usize,
    now: i64,
    /// What the device prints, in pieces, not handed in yet.
    coming: VecDeque<Vec<u8>>,
    /// Characters in the device's last line.
    column: usize,
    closed: bool,
    trace: Vec<String>,
    verdict: Option<Verdict>,
    problem: Option<String>,
    note: Option<String>,
}

impl Stage<'_> {
    fn play(&mut self) {
        let effects = self.run.handle(self.now, Input::Start);
        self.take_in(effects);
        while self.verdict.is_none() && self.problem.is_none() && self.note.is_none() {
            if let Some(piece) = self.coming.pop_front() {
                self.now += 1;
                let effects = self.run.handle(self.now, Input::Output(&piece));
                self.take_in(effects);
                continue;
            }
            match self.scene.turns.get(self.at) {
                Some((_, Turn::Prints(text))) => {
                    let text = self.values.fill(text, None).expose().to_owned();
                    self.trace.push(format!("device: {:?}", text.trim_end_matches("\r\n")));
                    self.at += 1;
                    self.coming = self.manner.prints(&text, self.column).into();
                    self.note_column(&text);
                }
                Some((_, Turn::Silence(ms))) => {
                    let until = self.now + ms;
                    self.at += 1;
                    while let Some(due) = self.run.deadline().filter(|due| {
                        *due <= until && self.verdict.is_none() && self.problem.is_none() && self.note.is_none()
                    }) {
                        self.tick(due);
                    }
                    self.now = until;
                }
                Some((_, Turn::Closes)) => {
                    self.trace.push("device: closes the session".into());
                    self.at += 1;
                    self.closed = true;
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

    /// Plays the section that follows a run that failed, where the recording goes on behind it.
    fn follow(&mut self, section: &Arc<Checked>) {
        let Some(Verdict::Failed(RunFailure { committed, .. })) = self.verdict else { return };
        let goes_on = self.scene.turns[self.at..].iter().any(|(_, turn)| matches!(turn, Turn::Takes { .. }));
        let next = if committed { Section::Save } else { Section::Abort };
        let Some(next) = section.section(next).filter(|_| goes_on && !self.closed && self.problem.is_none()) else {
            return;
        };
        let mut run = Run::new(next.clone(), self.values.clone(), Masker::default()).proving();
        run.clear_up_after(&mut self.run);
        self.run = run;
        let verdict = self.verdict.take();
        self.play();
        self.verdict = verdict;
    }

    fn note_column(&mut self, text: &str) {
        match text.rsplit_once('\n') {
            Some((_, last)) => self.column = last.chars().count(),
            None => self.column += text.chars().count(),
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
        if self.problem.is_some() || self.note.is_some() {
            return;
        }
        let coming = String::from_utf8_lossy(&self.coming.iter().flatten().copied().collect::<Vec<u8>>()).into_owned();
        if self.manner == Manner::ByteByByte && coming.chars().any(char::is_alphanumeric) {
            self.problem = Some(format!("the template sent {sent:?} before the device printed {coming:?}"));
            return;
        }
        // What is printed before it was printed too late for the template to wait for.
        let skipped =
            self.scene.turns[self.at..].iter().take_while(|(_, turn)| matches!(turn, Turn::Silence(_))).count();
        self.at += skipped;
        let Some((number, Turn::Takes { text, line, echoed })) = self.scene.turns.get(self.at) else {
            let next = match self.scene.turns.get(self.at) {
                None if self.scene.is_open() => {
                    self.note =
                        Some(format!("the recording ends where the device waits, and the template sends {sent:?}"));
                    return;
                }
                None => "is over".to_owned(),
                Some((number, Turn::Closes)) => format!("has the device close the session first (line {number})"),
                Some((number, _)) => format!("has the device print more first (line {number})"),
            };
            self.problem = Some(format!("the template sent {sent:?} where the recording {next}"));
            return;
        };
        let wanted = self.fill(text);
        let (body, ended) = ["\r\n", NewLine::Unix.as_str(), NewLine::Mac.as_str()]
            .iter()
            .find_map(|end| sent.strip_suffix(end))
            .map_or((sent, false), |body| (body, true));
        if body != wanted || ended != *line {
            if self.avoids(text, *line && ended) {
                self.note = Some(format!(
                    "the template sends {body:?} where line {number} of the recording takes {wanted:?}, so what the device waits with behind that does not come"
                ));
                return;
            }
            let as_line = if *line { "a line" } else { "no line end" };
            self.problem = Some(format!(
                "the template sent {sent:?}; line {number} of the recording takes {wanted:?} and {as_line}"
            ));
            return;
        }
        self.at += 1;
        if *line {
            let shown = if *echoed { body } else { "" };
            self.coming.extend(self.manner.echoes(shown, self.column));
            self.column = 0;
        }
    }

    /// Whether another command may stand in place of this one: the recording ends where the device waits for an answer to it.
    fn avoids(&self, wanted: &Text, lines: bool) -> bool {
        let later = self.scene.turns[self.at + 1..].iter().any(|(_, turn)| matches!(turn, Turn::Takes { .. }));
        lines && !later && wanted.tags().next().is_none() && self.scene.is_open()
    }

    fn fill(&self, text: &Text) -> String {
        self.values.fill(text, Some(&Secret::new(CODE.into()))).expose().to_owned()
    }

    /// Whether it ended as the recording says, with nothing left to be sent.
    fn judge(&mut self) -> Option<String> {
        if self.note.is_some() {
            return None;
        }
        let (ending, judged, why) = match self.verdict.as_ref()? {
            Verdict::Ran { .. } => (Ending::Ran, true, String::new()),
            Verdict::Failed(failure) => (self.ending_of(failure), failure.judged, format!(": {}", failure.message)),
        };
        let left = self.scene.turns[self.at..].iter().find_map(|(number, turn)| match turn {
            Turn::Takes { text, .. } => Some((number, text.to_string())),
            _ => None,
        });
        let wanted = self.scene.ending.unwrap_or(Ending::Ran);
        if ending != wanted {
            let unstated = self.scene.ending.is_none() && left.is_none();
            if unstated && judged && (ending == Ending::Refused || self.scene.is_open()) {
                self.note = Some(format!("it ended '{}', and the recording states no outcome{why}", ending.name()));
                return None;
            }
            let recorded = wanted.name();
            return Some(format!("it ended '{}', and is recorded as '{recorded}'{why}", ending.name()));
        }
        left.map(|(number, text)| {
            format!("the template ended before line {number} of the recording, where it sends {text:?}")
        })
    }

    fn ending_of(&self, failure: &RunFailure) -> Ending {
        let judges = self.scene.section.changes_nothing() && failure.judged;
        match (failure.committed, failure.device_refuses || judges) {
            (_, true) => Ending::Refused,
            (true, false) => Ending::Broken,
            (false, false) => Ending::Failed,
        }
    }
}

//! How a run ends, and what is told of it.

use super::{Run, State};
use crate::dialogue::events::{Effect, RunFailure, Verdict};
use crate::dialogue::refusal::device_refuses;

impl Run {
    /// Hangs up, but not on a device that may still be about to take or refuse something.
    pub(super) fn end(&mut self, now: i64, effects: &mut Vec<Effect>) {
        if self.closed || self.guards.is_empty() && !self.unanswered {
            self.finish(effects);
        } else {
            self.state = State::Settling { deadline: now + self.read_timeout_ms, ends: true };
        }
    }

    pub(super) fn finish(&mut self, effects: &mut Vec<Effect>) {
        self.state = State::Over;
        effects.push(Effect::Finished(Verdict::Ran { committed: self.committed }));
    }

    pub(super) fn fail_refused(&mut self, what: String, effects: &mut Vec<Effect>) {
        self.fail(&format!("the device answered \"{what}\", which must not come"), effects);
        if let Some(Effect::Finished(Verdict::Failed(failure))) = effects.last_mut() {
            failure.device_refuses = failure.committed;
            failure.judged = failure.typed;
        }
    }

    /// Ends the run as failed. Always `false`: nothing more can be done.
    pub(super) fn fail(&mut self, what: &str, effects: &mut Vec<Effect>) -> bool {
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
            answered: !self.screen.since_sent().trim().is_empty(),
            refused: None,
            judged: false,
            typed: self.typed,
            saved: false,
        })));
        false
    }

    pub(super) fn line_number(&self) -> usize {
        let lines = self.template.lines();
        lines.get(self.at).or(lines.last()).map_or(0, |line| line.number)
    }

    /// The last three lines seen, masked, on one line.
    pub(super) fn last_lines(&self) -> String {
        let short = self.masker.shown_end(self.screen.all(), 3, 300);
        if short.is_empty() { "nothing".into() } else { format!("«{short}»") }
    }
}

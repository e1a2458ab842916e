//! What is heard: whether what came contents a wait, or must not come.

use std::borrow::Cow;

use super::{Branch, DOUBTFUL_MS, Found, Guard, Place, Run, SETTLE_MS, State};
use crate::dialogue::known;
use crate::dialogue::pattern::Pattern;
use crate::dialogue::screen::Growing;

impl Branch {
    /// Where what it waits for ends in a text that grows.
    pub(super) fn find_end(&self, text: &Growing<'_>) -> Option<usize> {
        self.pattern.find_end_in(text, &self.progress)
    }
}

impl Run {
    /// Whether the device has said nothing for the settle time, or says nothing any more.
    pub(super) fn is_quiet(&self, now: i64) -> bool {
        now - self.last_output >= self.settle_ms() || self.closed
    }

    /// How long the output must be quiet: longer where what a device says to whoever logs in ends as a prompt does, and
    /// looks like none.
    pub(super) fn settle_ms(&self) -> i64 {
        let doubtful = !self.commanded && known::is_doubtful(self.screen.cursor_line());
        if doubtful { DOUBTFUL_MS } else { SETTLE_MS }
    }

    /// Whether there is something to decide once the output is quiet.
    pub(super) fn may_settle(&self, branches: &[Branch]) -> bool {
        let (growing, answer) = (self.screen.growing_unread(), self.screen.since_sent());
        let unread = growing.text;
        let echoing = self.echo.is_some() && !answer.is_empty();
        let here = || echoing || branches.iter().any(|branch| branch.find_end(&growing).is_some());
        !unread.is_empty() && (here() || !self.commanded && !self.answers.is_empty())
            || !self.guards.is_empty() && !answer.is_empty()
            || self.found_behind(branches, false).is_some()
            || known::before_messages(unread).is_some()
    }

    /// A branch that finds what it waits for in what the wait before took along with an open end: as the last thing
    /// there, or, once it is late, anywhere.
    pub(super) fn found_behind<'a>(&self, branches: &'a [Branch], late: bool) -> Option<Found<'a>> {
        let text = self.screen.taken_along()?;
        branches.iter().find_map(|branch| {
            let end = branch.pattern.find_end(text)?;
            let settled = late || branch.pattern.is_open_ended();
            matched(&branch.pattern, end, text, settled).then_some(Found { branch, end, place: Place::TakenAlong })
        })
    }

    /// A branch whose pattern ends what stands before messages that nobody asked for.
    pub(super) fn found_before_messages<'a>(&self, branches: &'a [Branch], late: bool) -> Option<Found<'a>> {
        let unread = self.screen.unread();
        let text = self.before_messages(unread, late)?;
        let branch = branches.iter().find(|branch| !branch.pattern.is_open_ended() && branch.pattern.ends(text))?;
        Some(Found { branch, end: unread.len(), place: Place::Unread })
    }

    /// Whether the device answered what was sent last. A prompt that stands there since before that does not wait: the answer
    /// may be a question yet; nor does one that is shown again behind a message that nobody asked for.
    pub(super) fn is_answered(&self) -> bool {
        let answer = self.screen.since_sent();
        let own = &answer[known::behind_messages(answer)..];
        let lines = own.trim().lines().count();
        lines > usize::from(own.len() < answer.len())
    }

    /// The text without the messages that a device printed behind its prompt without showing that again. The prompt is one
    /// at which the run has typed before; or, once nothing else came in time, one that names a host.
    pub(super) fn before_messages<'t>(&self, text: &'t str, late: bool) -> Option<&'t str> {
        let begin = known::before_messages(text)?;
        let first = text[begin..].lines().next().unwrap_or_default();
        // The message may begin in the prompt's own line.
        let prompt = first.len() - self.prompts.behind(first).len();
        let text = text[..begin + prompt].trim_end();
        let line = &text[text.rfind('\n').map_or(0, |end| end + 1)..];
        let known = self.commanded && self.prompts.knows(line) || late && !self.closed && known::names_host(line);
        known.then_some(text)
    }

    /// What must not come and did, in the whole lines of the answer; in the line that is not ended yet only where that is
    /// all that comes, and no prompt.
    pub(super) fn broken_guard(&self, with_last: bool) -> Option<String> {
        if matches!(self.state, State::Over) || self.echo.is_some() {
            return None;
        }
        let text = self.screen.growing_answer();
        if !self.guards.iter().any(|guard| guard.pattern.occurs_in_growing(&text, &guard.progress)) {
            return None;
        }
        let answer = self.answer_without_prompts(text.text, with_last);
        let Guard { pattern, what, .. } = self.guards.iter().find(|guard| guard.pattern.occurs_in(&answer))?;
        Some(pattern.line_of_match(&answer).map_or_else(|| what.clone(), str::to_owned))
    }

    /// The lines of an answer without prompts, what was typed behind them, and the names of hosts and users.
    fn answer_without_prompts(&self, text: &str, with_last: bool) -> String {
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let (lines, last) = text.split_at(whole);
        let sent = self.sent.as_ref().map_or("", |sent| sent.expose()).trim();
        let mut answer = String::with_capacity(text.len());
        for line in lines.lines() {
            let rest = self.prompts.behind(line);
            let is_echo = rest.len() < line.len() && !sent.is_empty() && sent.starts_with(rest.trim());
            if !is_echo {
                self.push_without_names(&mut answer, rest);
            }
            answer.push('\n');
        }
        if with_last && !known::has_prompt_form(last) && !self.prompts.knows(last) {
            self.push_without_names(&mut answer, self.prompts.behind(last));
        }
        answer
    }

    fn push_without_names(&self, answer: &mut String, line: &str) {
        let own = ["HOSTNAME", "USERNAME", "AUTH_USER"].into_iter().filter_map(|tag| self.values.get(tag));
        let names = self.prompts.names().chain(own.map(|value| value.expose()).filter(|name| name.len() >= 4));
        let mut line = Cow::Borrowed(line);
        for name in names {
            if line.contains(name) {
                line = Cow::Owned(without_word(&line, name));
            }
        }
        answer.push_str(&line);
    }
}

/// The text with a word taken out wherever it stands by itself.
fn without_word(text: &str, word: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let (mut left, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(word) {
        let end = at + word.len();
        let inside = rest[..at].ends_with(is_part) || rest[end..].starts_with(is_part);
        left.push_str(&rest[..if inside { end } else { at }]);
        if !inside {
            left.push(' ');
        }
        rest = &rest[end..];
    }
    left + rest
}

/// Whether whole lines follow, and the last of what follows asks for a secret or a choice.
pub(super) fn asks_behind(rest: &str) -> bool {
    let last = rest.trim_end().rsplit_once('\n').map_or("", |(_, last)| last);
    known::asks_for_secret(last) || known::asks_to_choose(last)
}

/// Whether a match that ends at `end` may be taken now: at once where only white space follows it, else when all is
/// quiet.
pub(super) fn matched(pattern: &Pattern, end: usize, text: &str, quiet: bool) -> bool {
    if pattern.is_open_ended() { quiet && !text.is_empty() } else { quiet || text[end..].trim().is_empty() }
}

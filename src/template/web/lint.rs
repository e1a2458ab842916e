//! What is likely to fail in a web template: lines that are allowed, and that an administrator should see.

use std::ops::Range;

use super::ast::{Part, WebCommand, WebLine};
use super::check::{WebTemplate, proven_at};
use super::fix::tested;
use crate::template::ast::{Piece, Text};
use crate::template::lint::{half_tag, misspelt};

/// A doubtful place, with the corrected line where what was meant is plain.
pub(super) struct Found {
    pub(super) code: &'static str,
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) fix: Option<String>,
}

/// Looks a template through.
pub(super) fn lint(text: &str, web: &WebTemplate) -> Vec<Found> {
    let mut lint = Lint { text, web, found: Vec::new() };
    lint.proof();
    lint.change();
    lint.scripts();
    lint.sleeps();
    lint.addresses();
    lint.selectors();
    lint.codes();
    lint.unreached();
    lint.spelling();
    lint.found
}

struct Lint<'a> {
    text: &'a str,
    web: &'a WebTemplate,
    found: Vec<Found>,
}

fn enters(line: &WebLine, tag: &str) -> bool {
    line.command.entered().is_some_and(|text| text.has_tag(tag))
}

/// Whether the last statement of a script says what the line is to be judged by, or does something: a call besides a bare
/// look-up, an assignment, a comparison, a `return`.
fn says_something(code: &str) -> bool {
    let code = code.trim().trim_end_matches(';');
    let look_up = tested(code).is_some();
    let acts = code.contains('=') || code.contains("return") || code.contains(';') || code.contains(").");
    let compares = code.contains('<') || code.contains('>') || code.contains('!');
    !look_up && (acts || compares || code.contains('('))
}

impl<'a> Lint<'a> {
    fn warn(&mut self, line: &WebLine, code: &'static str, message: impl Into<String>) {
        self.found.push(Found { code, span: line.span.clone(), message: message.into(), fix: None });
    }

    fn warn_with(&mut self, line: &WebLine, code: &'static str, message: impl Into<String>, fixed: Option<String>) {
        let begin = self.text[..line.span.start].rfind('\n').map_or(0, |at| at + 1);
        let indent = self.text[begin..line.span.start].trim_start_matches('\u{feff}');
        let fix = fixed.map(|fixed| format!("{indent}{fixed}"));
        self.found.push(Found { code, span: line.span.clone(), message: message.into(), fix });
    }

    fn part(&self, part: Part) -> &'a [WebLine] {
        self.web.part(part).unwrap_or_default()
    }

    /// T210: a login that shows nothing of having been taken.
    fn proof(&mut self) {
        let login = self.web.login_lines();
        if proven_at(&login).is_some() {
            return;
        }
        let secret = |line: &&WebLine| enters(line, "CURRENT_PASSWORD") || enters(line, "AUTH_PASSWORD");
        let Some(line) = login.iter().find(secret).or(login.last()).or(self.part(Part::Change).first()) else {
            return;
        };
        let line = line.clone();
        let message = "nothing that must be there is waited for behind this login, so that a login by these lines proves no password, and a change ends 'uncertain'; add a test-selector or test-location behind it of what only a logged-in page has";
        self.warn(&line, "T210", message);
    }

    /// T101, T215, T216: the new password and what is around it.
    fn change(&mut self) {
        let lines = self.part(Part::Change);
        let all: Vec<&WebLine> = self.part(Part::Login).iter().chain(lines).collect();
        let Some(first) = all.iter().position(|line| enters(line, "NEW_PASSWORD")) else {
            if let Some(last) = all.last() {
                let entered = all.iter().filter_map(|line| Some((*line, line.command.entered()?)));
                let (line, hint) = misspelt(entered, "NEW_PASSWORD").unwrap_or((*last, String::new()));
                let message = "no line enters [#NEW_PASSWORD#]: these lines change no password";
                self.warn(line, "T101", format!("{message}{hint}"));
            }
            return;
        };
        let last = all.iter().rposition(|line| enters(line, "NEW_PASSWORD")).unwrap_or(first);
        if !all[last..].iter().any(|line| line.command.is_positive_test()) {
            let message = "nothing waits for what the page says to the new password; add a test-selector, test-text or expect behind it of what says that it was taken";
            self.warn(all[last], "T215", message);
        }
        let secret = |line: &&WebLine| enters(line, "CURRENT_PASSWORD") || enters(line, "AUTH_PASSWORD");
        if !all[..first].iter().any(secret) && all.iter().any(secret) {
            let message = "the new password is entered before the current one was: from here on the outcome of a run that fails is unknown; enter the current one first";
            self.warn(all[first], "T216", message);
        }
    }

    /// T211: scripts that test nothing.
    fn scripts(&mut self) {
        for line in self.web.all_lines() {
            let WebCommand::Script(code) = &line.command else { continue };
            let code = code.to_string();
            if !says_something(&code) {
                let message = "a bare expression tests next to nothing: it is looked at once, without waiting, and only where the page has a '$' of its own; write a test-selector, or let the script return true or false";
                self.warn_with(line, "T211", message, tested(&code));
            }
        }
    }

    /// T212: how a `sleep` is read.
    fn sleeps(&mut self) {
        let mut told = [false; 2];
        for line in self.web.all_lines() {
            let WebCommand::Sleep(time) = line.command else { continue };
            let written = self.text[line.span.clone()].trim_start_matches("sleep").trim().trim_matches('"');
            let seconds = written.parse::<f64>().is_ok_and(|number| number < 100.0);
            if std::mem::replace(&mut told[usize::from(seconds)], true) || time.is_zero() {
                continue;
            }
            let (message, fix) = if seconds {
                let same = time.as_millis();
                let fix = (same >= 100).then(|| format!("sleep {same}"));
                (
                    format!(
                        "read as {} seconds, since it is below 100; a wait for what the page shows is surer",
                        time.as_secs_f64()
                    ),
                    fix,
                )
            } else {
                (format!("read as {} milliseconds; a wait for what the page shows is surer", time.as_millis()), None)
            };
            self.warn_with(line, "T212", message, fix);
        }
    }

    /// T213: passwords over the network in the clear.
    fn addresses(&mut self) {
        for line in self.web.all_lines() {
            let (WebCommand::StartAt(text) | WebCommand::SetLocation(text)) = &line.command else { continue };
            let Some(Piece::Literal(begin)) = text.pieces.first() else { continue };
            if begin.to_lowercase().starts_with("http://") {
                let message = "without TLS whoever is on the way reads the passwords, and may change the page; a device takes this only where its own url begins with http://";
                self.warn(line, "T213", message);
            }
        }
    }

    /// T214 and T217: selectors that the next change of the page breaks.
    fn selectors(&mut self) {
        for line in self.web.all_lines() {
            let Some(selector) = line.command.selector() else { continue };
            if selector.counts() {
                let message = "this counts elements, and finds another one once the page has one more; name what the element is for: its id, name, label or text";
                self.warn(line, "T214", message);
            } else if selector.is_vague() {
                let message = "this names only a kind of element, and takes the first of the page; name its id, name, label or text";
                self.warn(line, "T217", message);
            }
        }
    }

    /// T108: the same code twice in one run.
    fn codes(&mut self) {
        for tag in ["TOTP_TOKEN", "AUTH_TOTP_TOKEN"] {
            let mut before: Option<usize> = None;
            for line in self.part(Part::Login).iter().chain(self.part(Part::Change)) {
                if line.command.begins_branch() || matches!(line.command, WebCommand::AnswerSelector(_)) {
                    before = None;
                }
                if !enters(line, tag) {
                    continue;
                }
                if let Some(number) = before.replace(line.number) {
                    let message = format!(
                        "line {number} enters a code already: an application takes none twice, so this line waits up to a whole step for the next one; its page must bear that"
                    );
                    self.warn(line, "T108", message);
                }
            }
        }
    }

    /// T103: what stands behind an `end` or `fail` on the same level.
    fn unreached(&mut self) {
        for part in [Part::Login, Part::Change, Part::Verify, Part::Reconcile, Part::Abort] {
            for pair in self.part(part).windows(2) {
                let ends = matches!(pair[0].command, WebCommand::End | WebCommand::Fail(_));
                let next = &pair[1].command;
                if ends && !next.begins_branch() && !matches!(next, WebCommand::EndChoose | WebCommand::EndAnswer) {
                    let message = format!("this line is never reached: line {} ends the run before it", pair[0].number);
                    self.warn(&pair[1], "T103", message);
                    break;
                }
            }
        }
    }

    /// T114: what looks like a tag, and is none.
    fn spelling(&mut self) {
        let broken = |text: &&Text| {
            text.pieces.iter().any(|piece| matches!(piece, Piece::Literal(literal) if half_tag(literal)))
        };
        for line in self.web.all_lines() {
            if line.command.texts().iter().any(broken) {
                let message =
                    "this looks like a tag and is none, so it would be entered as it stands; a tag is written [#NAME#]";
                self.warn(line, "T114", message);
            }
        }
    }
}

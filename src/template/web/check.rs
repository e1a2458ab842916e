//! What a web template must be before it may run: its parts, its blocks paired, its commit point and its proof found.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::ast::{Part, WebCommand, WebLine};
use super::lint::{Found, lint};
use crate::model::{Problem, Severity};
use crate::template::ast::Text;

/// Tags of passwords and codes that a login types.
const LOGIN_SECRETS: [&str; 4] = ["CURRENT_PASSWORD", "AUTH_PASSWORD", "TOTP_TOKEN", "AUTH_TOTP_TOKEN"];

/// What a web template is run for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Log in and change the password.
    Change,
    /// Log in with a password and prove that it is taken; `section verify` follows where there is one.
    Proof,
    /// Log in, for a person to work in the application.
    Session,
    /// Set the password through the reconcile account.
    Reconcile,
    /// Clear up in the page that a change left, where nothing was changed.
    Abort,
}

/// Where a run goes on at a line that begins or ends a block, as places among the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebJump {
    /// At `choose`: its branches, in order.
    Branches(Vec<usize>),
    /// At a branch that a run comes to: the branch before it is done, and the run goes on at this `end-choose`.
    End(usize),
    /// At `answer-selector`: the place of its `end-answer`.
    Answer(usize),
}

/// The lines of one run, with their blocks paired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its lines in order.
    pub lines: Vec<WebLine>,
    jumps: BTreeMap<usize, WebJump>,
}

impl Program {
    fn new(lines: Vec<WebLine>) -> Self {
        let jumps = jumps(&lines, |_, _| {});
        Self { lines, jumps }
    }

    /// Where the run goes on at the line at a place.
    #[must_use]
    pub fn jump(&self, place: usize) -> Option<&WebJump> {
        self.jumps.get(&place)
    }
}

/// A web template that passed its checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebTemplate {
    head: Vec<WebLine>,
    parts: BTreeMap<Part, Vec<WebLine>>,
}

impl WebTemplate {
    /// The lines of a part, without the head.
    #[must_use]
    pub fn part(&self, part: Part) -> Option<&[WebLine]> {
        self.parts.get(&part).map(Vec::as_slice)
    }

    /// Settings and standing answers at the head, which hold for all parts.
    #[must_use]
    pub fn head(&self) -> &[WebLine] {
        &self.head
    }

    /// The lines to run for a purpose; `None` where the template has none for it.
    #[must_use]
    pub fn program(&self, purpose: Purpose) -> Option<Program> {
        let part = |part: Part| self.parts.get(&part).into_iter().flatten().cloned();
        let head = self.head.iter().cloned();
        let lines: Vec<WebLine> = match purpose {
            Purpose::Change => head.chain(part(Part::Login)).chain(part(Part::Change)).collect(),
            Purpose::Proof => head.chain(self.login_lines()).chain(part(Part::Verify)).collect(),
            Purpose::Session => head.chain(self.login_lines()).collect(),
            Purpose::Reconcile => {
                self.parts.get(&Part::Reconcile)?;
                let login = part(Part::Login).filter(|_| self.logs_in_as_other());
                head.chain(login).chain(part(Part::Reconcile)).collect()
            }
            Purpose::Abort => {
                self.parts.get(&Part::Abort)?;
                let settings = head.filter(|line| !matches!(line.command, WebCommand::StartAt(_)));
                settings.chain(part(Part::Abort)).collect()
            }
        };
        Some(Program::new(lines))
    }

    /// Whether the login names the account that logs in, and not the one whose password changes: such a login serves for
    /// the reconcile account too.
    fn logs_in_as_other(&self) -> bool {
        let mut texts = self.parts.get(&Part::Login).into_iter().flatten().flat_map(|line| line.command.texts());
        !texts.any(|text| text.has_tag("USERNAME") || text.has_tag("CURRENT_PASSWORD"))
    }

    /// The lines that log in: `section login`, or those before the first that needs the new password. What of these stands
    /// behind the last test of being logged in only prepares the change.
    #[must_use]
    pub fn login_lines(&self) -> Vec<WebLine> {
        if let Some(lines) = self.parts.get(&Part::Login) {
            return lines.clone();
        }
        let lines = self.parts.get(&Part::Change).map(Vec::as_slice).unwrap_or_default();
        let mut login = lines[..first_with_new(lines)].to_vec();
        if let Some(last) = proven_at(&login) {
            login.truncate(last + 1);
        }
        login
    }

    /// The file line of the test that shows that a login was taken: one behind all that the login types and submits. `None`
    /// where the template has no such test, and no login by it proves a password.
    #[must_use]
    pub fn proof_line(&self) -> Option<usize> {
        let lines = self.login_lines();
        proven_at(&lines).and_then(|at| lines.get(at)).map(|line| line.number)
    }

    /// The file line that first enters the new password: the commit point.
    #[must_use]
    pub fn commit_line(&self) -> Option<usize> {
        self.commit_line_of(Part::Change)
    }

    /// The file line of a part that first enters the new password.
    #[must_use]
    pub fn commit_line_of(&self, part: Part) -> Option<usize> {
        let enters = |line: &&WebLine| line.command.entered().is_some_and(|text| text.has_tag("NEW_PASSWORD"));
        self.parts.get(&part).into_iter().flatten().find(enters).map(|line| line.number)
    }

    /// What `user-agent` says.
    #[must_use]
    pub fn user_agent(&self) -> Option<&str> {
        self.all_lines().find_map(|line| match &line.command {
            WebCommand::UserAgent(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The longest bound that `timeout` sets.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        let times = self.all_lines().filter_map(|line| match line.command {
            WebCommand::Timeout(time) => Some(time),
            _ => None,
        });
        times.max()
    }

    /// All lines, the head first, then part by part.
    pub fn all_lines(&self) -> impl Iterator<Item = &WebLine> {
        self.head.iter().chain(self.parts.values().flatten())
    }

    /// Every tag of the lines of the head and these parts, with the line that first names it.
    #[must_use]
    pub fn tags(&self, parts: &[Part]) -> Vec<(&str, usize)> {
        let mut tags: Vec<(&str, usize)> = Vec::new();
        let lines = self.head.iter().chain(parts.iter().filter_map(|part| self.parts.get(part)).flatten());
        for line in lines {
            for tag in line.command.texts().into_iter().flat_map(Text::tags) {
                if !tags.iter().any(|(known, _)| *known == tag) {
                    tags.push((tag, line.number));
                }
            }
        }
        tags
    }

    /// Whether the password of an account is changed that another one, which logs in, names.
    pub(in crate::template) fn names_account(&self) -> bool {
        self.all_lines().flat_map(|line| line.command.texts()).any(|text| text.has_tag("USERNAME"))
    }
}

/// The place of the first line outside of blocks that needs the new password, or of the block that holds such a line.
fn first_with_new(lines: &[WebLine]) -> usize {
    let (mut depth, mut begin) = (0_usize, 0);
    for (at, line) in lines.iter().enumerate() {
        match line.command {
            WebCommand::Choose | WebCommand::AnswerSelector(_) => {
                if depth == 0 {
                    begin = at;
                }
                depth += 1;
            }
            WebCommand::EndChoose | WebCommand::EndAnswer => depth = depth.saturating_sub(1),
            _ => {}
        }
        if line.command.texts().into_iter().any(|text| text.has_tag("NEW_PASSWORD")) {
            return if depth > 0 { begin } else { at };
        }
    }
    lines.len()
}

/// The place of the last test, outside of blocks or the end of a `choose`, that stands behind all secrets which these lines type
/// and submit.
pub(super) fn proven_at(lines: &[WebLine]) -> Option<usize> {
    let (mut typed, mut submitted, mut proven) = (false, false, None);
    let (mut depth, mut branches) = (0_usize, false);
    for (at, line) in lines.iter().enumerate() {
        let command = &line.command;
        match command {
            WebCommand::Choose | WebCommand::AnswerSelector(_) => depth += 1,
            WebCommand::EndChoose | WebCommand::EndAnswer => {
                depth = depth.saturating_sub(1);
                if depth == 0 && branches && submitted && *command == WebCommand::EndChoose {
                    proven = Some(at);
                }
                branches &= depth > 0;
            }
            command if command.begins_branch() && depth == 1 => branches = true,
            _ => {}
        }
        let types = command.entered().is_some_and(|text| LOGIN_SECRETS.iter().any(|tag| text.has_tag(tag)));
        if types {
            typed = true;
            branches = false;
        }
        // A script may submit what it enters.
        if typed && command.may_submit() {
            (typed, submitted, proven) = (false, true, None);
        }
        if submitted && depth == 0 && command.is_positive_test() {
            proven = Some(at);
        }
    }
    proven
}

/// Checks the lines of a web template and looks them through for what is likely to fail.
pub(in crate::template) fn check(file: &Path, text: &str, lines: Vec<WebLine>) -> (WebTemplate, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut tell = |line: &WebLine, code: &str, message: &str| {
        problems.push(Problem::at(file, text, line.span.clone(), Severity::Error, code, message));
    };
    jumps(&lines, |line, message| tell(line, "T016", message));
    let head = end_of_head(&lines);
    let mut parts: BTreeMap<Part, Vec<WebLine>> = BTreeMap::new();
    let mut part = Part::Change;
    for line in &lines[head..] {
        if let WebCommand::Section(begins) = line.command {
            part = begins;
            if parts.insert(begins, Vec::new()).is_some() {
                let message =
                    format!("section '{}' stands here for the second time; put its lines together", begins.name());
                tell(line, "T016", &message);
            }
            continue;
        }
        let enters = line.command.entered().is_some_and(|text| text.has_tag("NEW_PASSWORD"));
        if enters && part.changes_nothing() {
            let message = match part {
                Part::Abort => "section abort clears up where nothing was changed: it must not enter the new password",
                _ => {
                    "this section only logs in, and for a proof [#CURRENT_PASSWORD#] is the password that is proved: write that"
                }
            };
            tell(line, "T017", message);
        }
        parts.entry(part).or_default().push(line.clone());
    }
    let opens = |line: &WebLine| matches!(line.command, WebCommand::StartAt(_));
    let last = lines.iter().find(|line| !matches!(line.command, WebCommand::Info(..)));
    if let Some(line) = last.filter(|_| !lines.iter().any(opens)) {
        tell(line, "T205", "no line opens a page; begin with: start-at https://[#HOSTNAME#]/");
    }
    let web = WebTemplate { head: lines[..head].to_vec(), parts };
    problems.extend(lint(text, &web).into_iter().map(|Found { code, span, message, fix }| {
        Problem::at(file, text, span, Severity::Warning, code, message).with_fix(fix)
    }));
    (web, problems)
}

/// The place behind the settings and the standing answers at the head.
fn end_of_head(lines: &[WebLine]) -> usize {
    let mut open = 0_usize;
    for (at, line) in lines.iter().enumerate() {
        match &line.command {
            WebCommand::AnswerSelector(_) => open += 1,
            WebCommand::EndAnswer => open = open.saturating_sub(1),
            command if open == 0 && !command.is_setting() => return at,
            WebCommand::Section(_) => return at,
            _ => {}
        }
    }
    if open == 0 { lines.len() } else { 0 }
}

/// Pairs every block with its end; what does not pair is told.
fn jumps(lines: &[WebLine], mut tell: impl FnMut(&WebLine, &str)) -> BTreeMap<usize, WebJump> {
    let mut jumps = BTreeMap::new();
    // The place of each open block, and its branches where it is a `choose`.
    let mut open: Vec<(usize, Option<Vec<usize>>)> = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        let command = &line.command;
        let begins_none = matches!(open.last(), Some((_, Some(branches))) if branches.is_empty());
        let is_branch = command.begins_branch() || *command == WebCommand::EndChoose;
        if begins_none && !is_branch {
            tell(line, "this stands before the first branch of its 'choose', where nothing is run");
        }
        match (command, open.last_mut()) {
            (WebCommand::Choose, _) => open.push((place, Some(Vec::new()))),
            (WebCommand::AnswerSelector(_), _) => open.push((place, None)),
            (WebCommand::Section(_), Some(_)) => {
                tell(line, "a section begins here inside of a block; end the block before it");
                open.clear();
            }
            (command, Some((_, Some(branches)))) if command.begins_branch() => branches.push(place),
            (command, _) if command.begins_branch() => {
                tell(line, "there is no 'choose' before this branch; write 'choose' on the line above");
            }
            (WebCommand::EndChoose, Some((begin, Some(branches)))) => {
                if branches.is_empty() {
                    tell(line, "this 'choose' has no branch; write one or more 'when-selector SELECTOR' in it");
                }
                jumps.extend(branches.iter().map(|&branch| (branch, WebJump::End(place))));
                jumps.insert(*begin, WebJump::Branches(std::mem::take(branches)));
                open.pop();
            }
            (WebCommand::EndAnswer, Some((begin, None))) => {
                jumps.insert(*begin, WebJump::Answer(place));
                open.pop();
            }
            (WebCommand::EndChoose, _) => tell(line, "there is no 'choose' that this could end"),
            (WebCommand::EndAnswer, _) => tell(line, "there is no 'answer-selector' that this could end"),
            _ => {}
        }
    }
    for (begin, branches) in open {
        let message = match branches {
            Some(_) => "this 'choose' is never ended; write 'end-choose' after its last branch",
            None => "this 'answer-selector' is never ended; write 'end-answer' after its last line",
        };
        tell(&lines[begin], message);
    }
    jumps
}

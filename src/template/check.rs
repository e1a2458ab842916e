//! What a template must be before it may run: its settings gathered, its branches paired, its commit point found.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;
use sha2::Digest;

use super::ast::{Command, Line, RegexFlags, Section, Template, Text};
use super::changes::{Changes, changes};
use super::kinds::kinds;
use super::lint::lint;
use super::web::{Part, WebCommand, WebTemplate};
use crate::model::{Problem, Severity};

/// Where a run goes on at a line that begins or ends a branch, as places among the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Jump {
    /// At `choose`: the `when` lines of its branches, in order.
    Branches(Vec<usize>),
    /// At a `when` that a run comes to: the branch before it is done, and the run goes on at this `end-choose`.
    End(usize),
}

/// What the `info password-…` lines say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PasswordLimits<'a> {
    /// The symbols that the device takes.
    pub symbols: Option<&'a str>,
    /// Characters at the most.
    pub max_length: Option<usize>,
    /// Characters at the least.
    pub min_length: Option<usize>,
    /// Characters that count, where the device may ignore those behind them.
    pub significant: Option<usize>,
    /// Characters with which no password may begin.
    pub forbidden_first: &'a str,
    /// Texts that no password may hold, between blanks.
    pub forbidden: &'a str,
    /// The same character in a row, at the most.
    pub max_repeat: Option<usize>,
}

impl PasswordLimits<'_> {
    /// Whether the device takes a password of this text, as far as that is no matter of its length and symbols.
    #[must_use]
    pub fn takes(&self, password: &str) -> bool {
        let begins = password.chars().next().is_some_and(|first| self.forbidden_first.contains(first));
        let holds = self.forbidden.split_whitespace().any(|text| password.contains(text));
        let chars = password.as_bytes();
        let repeats = self
            .max_repeat
            .is_some_and(|most| chars.windows(most + 1).any(|run| run.iter().all(|byte| Some(byte) == run.first())));
        !begins && !holds && !repeats
    }
}

/// How `info tested` begins where no device and no real program was at hand.
const UNPROVEN: &[&str] = &["unproven", "a recording", "a scripted device", "not yet"];

/// The expression of an `info detect` line: `RE`, or `/RE/flags`.
fn detection(value: &str) -> Option<Arc<Regex>> {
    let (source, letters) = match value.strip_prefix('/').and_then(|rest| rest.rsplit_once('/')) {
        Some((source, letters)) if letters.chars().all(|c| c.is_ascii_lowercase()) => (source, letters),
        _ => (value, ""),
    };
    let has = |letter| letters.contains(letter);
    let flags = RegexFlags { ignore_case: has('i'), multi_line: has('m'), dot_all: has('s') };
    flags.compile_shared(source).ok()
}

/// A template that passed its checks.
#[derive(Debug, Clone)]
pub struct Checked {
    template: Template,
    /// The expressions without tags, compiled once, by the place of their line.
    expressions: BTreeMap<usize, Arc<Regex>>,
    jumps: BTreeMap<usize, Jump>,
    commit_line: Option<usize>,
    changes: Changes,
    connect_timeout: Option<Duration>,
    sections: BTreeMap<Section, Arc<Checked>>,
    sha256: String,
    /// The lines for a browser, where it is a web template: then the others are `info` lines alone.
    web: Option<Arc<WebTemplate>>,
    /// The part of a web template that this is.
    web_part: Part,
}

impl PartialEq for Checked {
    fn eq(&self, other: &Self) -> bool {
        self.template == other.template && self.sections == other.sections && self.web == other.web
    }
}

impl Eq for Checked {}

impl Checked {
    /// A web template that was checked, of the file of this text.
    pub(super) fn of_web(web: WebTemplate, text: &str) -> Self {
        let info = |line: &super::web::WebLine| match &line.command {
            WebCommand::Info(key, value) => {
                let command = Command::Info(key.clone(), value.clone());
                Some(Line { number: line.number, command, span: line.span.clone() })
            }
            _ => None,
        };
        let template = Template { lines: web.all_lines().filter_map(info).collect() };
        let shown = if web.names_account() { Changes::Named } else { Changes::LoginAccount };
        let mut checked = Self {
            expressions: BTreeMap::new(),
            jumps: BTreeMap::new(),
            commit_line: web.commit_line(),
            changes: super::changes::stated(&template).unwrap_or(shown),
            connect_timeout: None,
            sections: BTreeMap::new(),
            sha256: data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(text.as_bytes())),
            web: Some(Arc::new(web)),
            web_part: Part::Change,
            template,
        };
        let parts =
            [(Part::Reconcile, Section::Reconcile), (Part::Verify, Section::Verify), (Part::Abort, Section::Abort)];
        let whole = checked.clone();
        for (part, section) in parts {
            let Some(web) = whole.web.as_ref().filter(|web| web.part(part).is_some()) else { continue };
            let one = Self { web_part: part, commit_line: web.commit_line_of(part), ..whole.clone() };
            checked.sections.insert(section, Arc::new(one));
        }
        checked
    }

    /// The lines for a browser, where it is a web template.
    #[must_use]
    pub fn web(&self) -> Option<&Arc<WebTemplate>> {
        self.web.as_ref()
    }

    /// The expression of the line at a place, where no tag stands in it.
    #[must_use]
    pub fn expression(&self, place: usize) -> Option<&Arc<Regex>> {
        self.expressions.get(&place)
    }

    /// Where a run goes on at a `choose` or a `when`.
    #[must_use]
    pub fn jump(&self, place: usize) -> Option<&Jump> {
        self.jumps.get(&place)
    }

    /// Another section of the template, with the settings at its head.
    #[must_use]
    pub fn section(&self, section: Section) -> Option<&Arc<Checked>> {
        self.sections.get(&section)
    }

    /// What sets an account's password through its reconcile account: `section reconcile`.
    #[must_use]
    pub fn reconcile(&self) -> Option<&Arc<Checked>> {
        self.section(Section::Reconcile)
    }

    /// The lines that the dialogue runs, settings and `info` included.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.template.lines
    }

    /// The file line that first sends the new password: the commit point. `None` where no line sends it, as where the
    /// login itself asks for the new password.
    #[must_use]
    pub fn commit_line(&self) -> Option<usize> {
        self.commit_line
    }

    /// Whose password it changes.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.changes
    }

    /// SHA-256 of the file that it was read from, in hexadecimal digits.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// What passwords the device takes, as far as the template says.
    #[must_use]
    pub fn password_limits(&self) -> PasswordLimits<'_> {
        let number = |key| self.info(key).and_then(|value| value.parse().ok());
        PasswordLimits {
            symbols: self.info("password-symbols"),
            max_length: number("password-max-length"),
            min_length: number("password-min-length"),
            significant: number("password-significant"),
            forbidden_first: self.info("password-forbidden-first").unwrap_or_default(),
            forbidden: self.info("password-forbidden").unwrap_or_default(),
            max_repeat: number("password-max-repeat"),
        }
    }

    /// The file line of an `info` line.
    #[must_use]
    pub fn info_line(&self, key: &str) -> Option<usize> {
        let is_it = |line: &&Line| matches!(&line.command, Command::Info(name, _) if name == key);
        self.template.lines.iter().find(is_it).map(|line| line.number)
    }

    /// Whether nobody has seen the template on a device or a real program yet, by its `info tested`.
    #[must_use]
    pub fn is_unproven(&self) -> bool {
        self.info("tested").is_some_and(|how| UNPROVEN.iter().any(|words| how.starts_with(words)))
    }

    /// Whether a device's SSH version string is that of a device of its kind, as far as that alone decides: `None` where no
    /// `info detect` line is about it, or others may tell by what the device shows later.
    #[must_use]
    pub fn fits_version(&self, version: &str) -> Option<bool> {
        let lines = self.template.lines.iter().filter_map(|line| match &line.command {
            Command::Info(key, value) if key == "detect" => Some(value.trim_start_matches('/')),
            _ => None,
        });
        let of_versions = lines.clone().all(|expression| expression.starts_with("^SSH-"));
        of_versions.then(|| self.fits(version)).flatten()
    }

    /// That a device is of another kind than the template is for, in words. The version string is masked and bounded.
    #[must_use]
    pub fn misfit(&self, version: Option<&str>) -> String {
        let parts = ["vendor", "product"].into_iter().filter_map(|key| self.info(key));
        let kind = parts.collect::<Vec<_>>().join(" ");
        let calls = version.map_or_else(String::new, |version| format!("; it calls itself \"{version}\""));
        format!("the device shows nothing of {kind}, which the template is for{calls}; look whether the template fits")
    }

    /// What one of the `info detect` lines says of what the device has shown: whether that is of a device of its kind. `None`
    /// where there is no such line.
    #[must_use]
    pub fn fits(&self, shown: &str) -> Option<bool> {
        let known: Vec<Arc<Regex>> = self
            .template
            .lines
            .iter()
            .filter_map(|line| match &line.command {
                Command::Info(key, value) if key == "detect" => detection(value),
                _ => None,
            })
            .collect();
        (!known.is_empty()).then(|| known.iter().any(|expression| expression.is_match(shown)))
    }

    /// What `set-connect-timeout` asks for; the device's own setting is a floor.
    #[must_use]
    pub fn connect_timeout(&self) -> Option<Duration> {
        self.connect_timeout
    }

    /// How the template answers prompts of the login, as (pattern, answer).
    pub fn login_prompts(&self) -> impl Iterator<Item = (&Text, &Text)> {
        self.template.lines.iter().filter_map(|line| match &line.command {
            Command::LoginPrompt(pattern, answer) => Some((pattern, answer)),
            _ => None,
        })
    }

    /// The value of an `info` line.
    #[must_use]
    pub fn info(&self, key: &str) -> Option<&str> {
        self.template.lines.iter().find_map(|line| match &line.command {
            Command::Info(name, value) if name == key => Some(value.as_str()),
            _ => None,
        })
    }

    /// Every tag of a change, its check and its clearing up, with the line that first names it.
    #[must_use]
    pub fn tags(&self) -> Vec<(&str, usize)> {
        if let Some(web) = &self.web {
            return match self.web_part {
                Part::Reconcile => web.tags(&[Part::Reconcile, Part::Verify]),
                _ => web.tags(&[Part::Login, Part::Change, Part::Verify, Part::Abort]),
            };
        }
        let mut tags: Vec<(&str, usize)> = Vec::new();
        let more = [Section::Verify, Section::Abort, Section::Save]
            .into_iter()
            .filter_map(|section| self.sections.get(&section));
        let lines = self.template.lines.iter().chain(more.flat_map(|section| section.lines()));
        for line in lines {
            for tag in line.command.texts().into_iter().flat_map(Text::tags) {
                if !tags.iter().any(|(known, _)| *known == tag) {
                    tags.push((tag, line.number));
                }
            }
        }
        tags
    }
}

/// Checks a parsed template and looks it through for what is likely to fail.
#[must_use]
pub fn check(file: &Path, text: &str, template: Template) -> (Checked, Vec<Problem>) {
    let mut problems = Vec::new();
    let head = template.lines.iter().take_while(|line| line.command.is_setting()).count();
    let mut parts: BTreeMap<Section, Vec<Line>> = BTreeMap::new();
    let mut section = Section::Change;
    for line in &template.lines[head..] {
        if let Command::Section(begins) = line.command {
            section = begins;
            if parts.insert(begins, Vec::new()).is_some() {
                let message =
                    format!("section '{}' stands here for the second time; put its lines together", begins.name());
                problems.push(Problem::at(file, text, line.span.clone(), Severity::Error, "T016", message));
            }
        } else {
            parts.entry(section).or_default().push(line.clone());
        }
    }
    let has = Has { verify: parts.contains_key(&Section::Verify), save: parts.contains_key(&Section::Save) };
    let sha256 = data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(text.as_bytes()));
    let mut with_head = |section: Section, lines: Vec<Line>| {
        let lines = template.lines[..head].iter().cloned().chain(lines).collect();
        let (checked, found) = check_section((file, text, &sha256), section, has, Template { lines });
        problems.extend(found);
        checked
    };
    let mut checked = with_head(Section::Change, parts.remove(&Section::Change).unwrap_or_default());
    let mut sections: BTreeMap<Section, Arc<Checked>> =
        parts.into_iter().map(|(section, lines)| (section, Arc::new(with_head(section, lines)))).collect();
    // What is set through the reconcile account is proved and cleared up like any change.
    let shared: Vec<(Section, Arc<Checked>)> = sections
        .iter()
        .filter(|(section, _)| section.changes_nothing())
        .map(|(section, checked)| (*section, checked.clone()))
        .collect();
    if let Some(reconcile) = sections.get_mut(&Section::Reconcile).and_then(Arc::get_mut) {
        reconcile.sections.extend(shared);
    }
    checked.sections = sections;
    (checked, problems)
}

/// Which other sections the file has.
#[derive(Clone, Copy)]
struct Has {
    verify: bool,
    save: bool,
}

/// Checks one section of the file of this name, text and digest.
fn check_section(
    (file, text, sha256): (&Path, &str, &str),
    section: Section,
    has: Has,
    template: Template,
) -> (Checked, Vec<Problem>) {
    let mut problems = Vec::new();
    let jumps = jumps(&template, |line, message| {
        problems.push(Problem::at(file, text, line.span.clone(), Severity::Error, "T016", message));
    });
    let sends_new = |line: &&Line| line.command.sent().is_some_and(|text| text.has_tag("NEW_PASSWORD"));
    let commit = template.lines.iter().find(sends_new);
    let forbidden = match section {
        Section::Abort => "section abort clears up where nothing was changed: it must not send the new password",
        Section::Save => {
            "section save runs where the device may have refused the new password: it must not send it again"
        }
        _ => "",
    };
    if let Some(line) = commit.filter(|_| !forbidden.is_empty()) {
        problems.push(Problem::at(file, text, line.span.clone(), Severity::Error, "T017", forbidden));
    }
    let mut found = lint(section, &template, has.verify);
    found.extend(kinds(section, &template, has.save, has.verify));
    problems.extend(
        found
            .into_iter()
            .map(|found| Problem::at(file, text, found.span, Severity::Warning, found.code, found.message)),
    );
    let commit_line = commit.map(|line| line.number);
    let connect_timeout = template.lines.iter().rev().find_map(|line| match line.command {
        Command::SetConnectTimeout(time) => Some(time),
        _ => None,
    });
    let expressions = template.lines.iter().enumerate().filter_map(|(place, line)| match &line.command {
        Command::ExpectRegex(text, flags) | Command::WhenRegex(text, flags) | Command::NoExpectRegex(text, flags)
            if text.tags().next().is_none() =>
        {
            Some((place, flags.compile_shared(&text.to_string()).ok()?))
        }
        _ => None,
    });
    let expressions = expressions.collect();
    let changes = changes(section, &template, has.verify);
    let (sections, sha256) = (BTreeMap::new(), sha256.to_owned());
    let checked = Checked {
        template,
        expressions,
        jumps,
        commit_line,
        changes,
        connect_timeout,
        sections,
        sha256,
        web: None,
        web_part: Part::Change,
    };
    (checked, problems)
}

/// Pairs every `choose` with its branches and its end; what does not pair is told.
fn jumps(template: &Template, mut tell: impl FnMut(&Line, &str)) -> BTreeMap<usize, Jump> {
    let mut jumps = BTreeMap::new();
    let mut open: Vec<(usize, Vec<usize>)> = Vec::new();
    for (place, line) in template.lines.iter().enumerate() {
        match (&line.command, open.last_mut()) {
            (Command::Choose, _) => {
                let before_branch = open.last().is_some_and(|(_, branches)| branches.is_empty());
                if before_branch {
                    tell(line, "this stands before the first 'when' of its 'choose', where nothing is run");
                }
                open.push((place, Vec::new()));
            }
            (command, Some((_, branches))) if command.begins_branch() => branches.push(place),
            (command, None) if command.begins_branch() => {
                tell(line, "there is no 'choose' before this branch; write 'choose' on the line above");
            }
            (Command::EndChoose, Some((_, branches))) if branches.is_empty() => {
                tell(line, "this 'choose' has no branch; write one or more 'when \"PATTERN\"' in it");
                open.pop();
            }
            (Command::EndChoose, Some((begin, branches))) => {
                jumps.extend(branches.iter().map(|&branch| (branch, Jump::End(place))));
                jumps.insert(*begin, Jump::Branches(std::mem::take(branches)));
                open.pop();
            }
            (Command::EndChoose, None) => tell(line, "there is no 'choose' that this could end"),
            (_, Some((_, branches))) if branches.is_empty() => {
                tell(line, "this stands before the first 'when' of its 'choose', where nothing is run");
            }
            _ => {}
        }
    }
    for (begin, _) in open {
        tell(&template.lines[begin], "this 'choose' is never ended; write 'end-choose' after its last branch");
    }
    jumps
}

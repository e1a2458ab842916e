//! What a template must be before it may run: its settings gathered, its commit point found, its doubtful lines named.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

use super::ast::{Command, Line, Section, Template, Text};
use crate::model::{Problem, Severity};

/// A template that passed its checks.
#[derive(Debug, Clone)]
pub struct Checked {
    template: Template,
    /// The expressions without tags, compiled once, by the place of their line.
    expressions: BTreeMap<usize, Arc<Regex>>,
    commit_line: Option<usize>,
    connect_timeout: Option<Duration>,
    reconcile: Option<Arc<Checked>>,
}

impl PartialEq for Checked {
    fn eq(&self, other: &Self) -> bool {
        self.template == other.template && self.reconcile == other.reconcile
    }
}

impl Eq for Checked {}

impl Checked {
    /// The expression of the line at a place, where no tag stands in it.
    #[must_use]
    pub fn expression(&self, place: usize) -> Option<&Arc<Regex>> {
        self.expressions.get(&place)
    }

    /// What sets an account's password through its reconcile account: `section reconcile`.
    #[must_use]
    pub fn reconcile(&self) -> Option<&Arc<Checked>> {
        self.reconcile.as_ref()
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

    /// Every tag with the line that first names it.
    #[must_use]
    pub fn tags(&self) -> Vec<(&str, usize)> {
        let mut tags: Vec<(&str, usize)> = Vec::new();
        for line in &self.template.lines {
            for tag in line.command.texts().into_iter().flat_map(Text::tags) {
                if !tags.iter().any(|(known, _)| *known == tag) {
                    tags.push((tag, line.number));
                }
            }
        }
        tags
    }
}

/// Checks a parsed template; the problems found are warnings, errors having been found by the parser.
#[must_use]
pub fn check(file: &Path, text: &str, template: Template) -> (Checked, Vec<Problem>) {
    let head = template.lines.iter().take_while(|line| line.command.is_setting()).count();
    let (mut change, mut reconcile): (Vec<Line>, Vec<Line>) = (Vec::new(), Vec::new());
    let mut section = Section::Change;
    let mut has_reconcile = false;
    for line in &template.lines[head..] {
        match (&line.command, section) {
            (Command::Section(begins), _) => {
                section = *begins;
                has_reconcile |= *begins == Section::Reconcile;
            }
            (_, Section::Change) => change.push(line.clone()),
            (_, Section::Reconcile) => reconcile.push(line.clone()),
        }
    }
    let with_head =
        |lines: Vec<Line>| Template { lines: template.lines[..head].iter().cloned().chain(lines).collect() };
    let (mut checked, mut problems) = check_section(file, text, with_head(change));
    if has_reconcile {
        let (reconcile, more) = check_section(file, text, with_head(reconcile));
        problems.extend(more);
        checked.reconcile = Some(Arc::new(reconcile));
    }
    (checked, problems)
}

fn check_section(file: &Path, text: &str, template: Template) -> (Checked, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut warn = |line: &Line, code, message: &str| {
        problems.push(Problem::at(file, text, line.span.clone(), Severity::Warning, code, message));
    };
    let commit =
        template.lines.iter().position(|line| line.command.sent().is_some_and(|text| text.has_tag("NEW_PASSWORD")));
    let end = template.lines.iter().position(|line| line.command == Command::End);
    if let Some(unreached) = end.and_then(|end| template.lines.get(end + 1)) {
        warn(unreached, "T103", "this line is never reached: 'end' stands before it");
    }
    match commit {
        Some(at) if end.is_none_or(|end| at < end) => {
            let waits = |line: &Line| {
                matches!(
                    line.command,
                    Command::Expect(_) | Command::ExpectRegex(..) | Command::Read(_) | Command::NoExpect(_)
                )
            };
            let last = end.unwrap_or(template.lines.len());
            if !template.lines[at..last].iter().any(waits) {
                warn(
                    &template.lines[at],
                    "T104",
                    "nothing waits for the answer to the new password; add an 'expect' after it",
                );
            }
        }
        _ => {
            if let Some(last) = template.lines.last() {
                warn(
                    last,
                    "T101",
                    "no line sends [#NEW_PASSWORD#]: only a login that asks for a new password would change it",
                );
            }
        }
    }
    let commit_line = commit.map(|at| template.lines[at].number);
    let connect_timeout = template.lines.iter().rev().find_map(|line| match line.command {
        Command::SetConnectTimeout(time) => Some(time),
        _ => None,
    });
    let expressions = template.lines.iter().enumerate().filter_map(|(place, line)| match &line.command {
        Command::ExpectRegex(text, flags) if text.tags().next().is_none() => {
            Some((place, Arc::new(flags.compile(&text.to_string()).ok()?)))
        }
        _ => None,
    });
    let expressions = expressions.collect();
    (Checked { template, expressions, commit_line, connect_timeout, reconcile: None }, problems)
}

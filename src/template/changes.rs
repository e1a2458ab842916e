//! Whose password a template changes: the account that it names, or whoever logs in.

use super::ast::{Command, Line, Section, Template};
use super::lint::program;

/// Whose password a section changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// That of the account that logs in: no line names another one.
    LoginAccount,
    /// That of the account that `[#USERNAME#]` names.
    Named,
    /// Neither: an enable secret, or an account that the template itself fixes.
    Other,
    /// The lines do not tell.
    Unclear,
}

/// The values of `info changes`, each with what it states.
const STATEMENTS: [(&str, Changes); 3] =
    [("self", Changes::LoginAccount), ("named", Changes::Named), ("other", Changes::Other)];

/// Tags that every template has; none but `USERNAME` names an account that does not log in itself.
const COMMON_TAGS: &[&str] = &[
    "USERNAME",
    "CURRENT_PASSWORD",
    "NEW_PASSWORD",
    "AUTH_USER",
    "AUTH_PASSWORD",
    "AUTH_DOMAIN",
    "TOTP_TOKEN",
    "AUTH_TOTP_TOKEN",
    "IP",
    "HOSTNAME",
    "DOMAIN",
];

/// Parts of a field's name that say that it holds a secret and no name.
const SECRET_PARTS: &[&str] = &["PASS", "PWD", "SENHA", "SECRET", "TOKEN"];

/// What `info changes` states with a value; `None` for an unknown value.
pub(super) fn statement(value: &str) -> Option<Changes> {
    STATEMENTS.iter().find(|(name, _)| *name == value).map(|(_, changes)| *changes)
}

/// What `info changes` states in these lines.
pub(super) fn stated(template: &Template) -> Option<Changes> {
    template.lines.iter().find_map(|line| match &line.command {
        Command::Info(key, value) if key == "changes" => statement(value),
        _ => None,
    })
}

/// What the lines of a section show, without `info changes`.
pub(super) fn shown(lines: &[Line], has_verify: bool) -> Changes {
    let typed = || {
        lines.iter().filter_map(|line| match &line.command {
            Command::Exec(text) | Command::Write(text) => Some(text),
            _ => None,
        })
    };
    if typed().any(|text| text.has_tag("USERNAME")) {
        return Changes::Named;
    }
    let plain_passwd = typed().any(|text| is_plain_passwd(&text.to_string()));
    let may_name = |tag: &str| {
        tag == "USERNAME" || !COMMON_TAGS.contains(&tag) && !SECRET_PARTS.iter().any(|part| tag.contains(part))
    };
    let names_otherwise = lines.iter().filter_map(|line| line.command.sent()).any(|text| text.tags().any(may_name));
    if names_otherwise || has_verify && !plain_passwd { Changes::Unclear } else { Changes::LoginAccount }
}

/// Whether the line runs `passwd` for whoever runs it: the name of no account follows.
fn is_plain_passwd(line: &str) -> bool {
    line.split_whitespace().next_back().is_some_and(|word| program(word) == Some("passwd"))
}

/// Whose password a section changes, as far as the template says or shows.
pub(super) fn changes(section: Section, template: &Template, has_verify: bool) -> Changes {
    let shown = || shown(&template.lines, has_verify);
    match (section, stated(template)) {
        (Section::Change, Some(stated)) | (Section::Reconcile, Some(stated @ (Changes::Named | Changes::Other))) => {
            stated
        }
        (Section::Change | Section::Reconcile, _) => shown(),
        (Section::Verify | Section::Abort | Section::Save, _) => Changes::Unclear,
    }
}

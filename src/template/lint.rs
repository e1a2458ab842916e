//! What is likely to fail at three in the morning: lines that are allowed, and that an administrator should see.

use std::ops::Range;

use super::ast::{Command, Filter, Line, Piece, Section, Template, Text};
use super::changes::{Changes, shown, stated};
use crate::model::nearest;

/// A doubtful place, a warning.
pub(super) struct Found {
    pub(super) code: &'static str,
    pub(super) span: Range<usize>,
    pub(super) message: String,
}

/// Programs whose arguments a shell reads before them, besides [`CLIENTS`].
const SHELL_PROGRAMS: &[&str] = &[
    "echo",
    "printf",
    "passwd",
    "chpasswd",
    "usermod",
    "curl",
    "wget",
    "openssl",
    "sudo",
    "su",
    "doas",
    "env",
    "sh",
    "bash",
    "pw",
    "dscl",
    "net",
    "powershell",
    "radpasswd",
    "saslpasswd2",
];

/// Programs whose passwords are not those of the host's accounts.
const CLIENTS: &[&str] = &[
    "mysql",
    "mariadb",
    "psql",
    "sqlplus",
    "sqlcmd",
    "mongosh",
    "redis-cli",
    "ldappasswd",
    "ldapmodify",
    "kadmin",
    "kadmin.local",
    "htpasswd",
    "rabbitmqctl",
    "smbpasswd",
    "samba-tool",
    "kcadm.sh",
    "grafana-cli",
    "gitlab-rails",
    "gitlab-rake",
];

/// Words of SQL before a password.
const SQL_WORDS: &[&str] =
    &["identified by", " with password", "password '", "set password for", "alter login", "alter role", "alter user"];

/// Looks one section through.
pub(super) fn lint(section: Section, template: &Template, has_verify: bool) -> Vec<Found> {
    let mut lint = Lint { lines: &template.lines, found: Vec::new() };
    lint.unreached();
    if matches!(section, Section::Change | Section::Reconcile) {
        lint.change();
        lint.codes();
        lint.proof(has_verify);
    }
    if section == Section::Change {
        lint.statement(stated(template), has_verify);
    }
    lint.waits();
    lint.dead_ends();
    lint.bare_guards();
    lint.early_closing(section);
    lint.sleeps();
    lint.quoting();
    lint.spelling();
    lint.found
}

struct Lint<'a> {
    lines: &'a [Line],
    found: Vec<Found>,
}

/// Where a run ends that takes no branch which ends it: the first `end` outside of branches.
fn end_of_run(lines: &[Line]) -> usize {
    let mut depth = 0_usize;
    for (at, line) in lines.iter().enumerate() {
        match line.command {
            Command::Choose => depth += 1,
            Command::EndChoose => depth = depth.saturating_sub(1),
            Command::End if depth == 0 => return at,
            _ => {}
        }
    }
    lines.len()
}

fn is_wait(command: &Command) -> bool {
    matches!(
        command,
        Command::Expect(_)
            | Command::ExpectRegex(..)
            | Command::Read(_)
            | Command::NoExpect(_)
            | Command::NoExpectRegex(..)
            | Command::Choose
    )
}

/// Whether a `$` that means the end stands before something that takes a character.
fn wants_more_behind_the_end(expression: &str) -> bool {
    let mut chars = expression.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '[' => in_class = true,
            ']' => in_class = false,
            '$' if !in_class => match chars.peek() {
                // The end of the expression or of an alternative, or another one of no width.
                None | Some(')' | '|' | '$' | '\\' | '(' | '*' | '?' | '+' | '{') => {}
                Some(_) => return true,
            },
            _ => {}
        }
    }
    false
}

/// What `exec` and `write` send, not a standing answer.
fn typed(line: &Line) -> Option<&Text> {
    match &line.command {
        Command::Exec(text) | Command::Write(text) => Some(text),
        _ => None,
    }
}

fn is_branch(command: &Command) -> bool {
    command.begins_branch() || matches!(command, Command::Choose | Command::EndChoose)
}

/// The first of some texts with a tag that is nearly another one, and a question of whether that was meant.
pub(super) fn misspelt<'a, At>(mut texts: impl Iterator<Item = (At, &'a Text)>, tag: &str) -> Option<(At, String)> {
    texts.find_map(|(at, text)| {
        let found = text.tags().find(|name| nearest(name, [tag]).is_some())?;
        Some((at, format!("; [#{found}#] is a field here: did you mean [#{tag}#]?")))
    })
}

fn sends(line: &Line, tag: &str) -> bool {
    line.command.sent().is_some_and(|text| text.has_tag(tag))
}

impl Lint<'_> {
    fn warn(&mut self, line: usize, code: &'static str, message: impl Into<String>) {
        if let Some(line) = self.lines.get(line) {
            self.found.push(Found { code, span: line.span.clone(), message: message.into() });
        }
    }

    /// T103: what stands behind an `end` or `fail` on the same level, before the next branch.
    fn unreached(&mut self) {
        let lines = self.lines;
        let unreached = lines.windows(2).position(|pair| {
            let ends = matches!(pair[0].command, Command::End | Command::Fail(_));
            ends && (!is_branch(&pair[1].command) || pair[1].command == Command::Choose)
        });
        if let Some(at) = unreached {
            let before = lines[at].number;
            self.warn(at + 1, "T103", format!("this line is never reached: line {before} ends the run before it"));
        }
    }

    /// T101, T104, T112: the new password and what is around it.
    fn change(&mut self) {
        let end = end_of_run(self.lines);
        let news: Vec<usize> = (0..end).filter(|&at| sends(&self.lines[at], "NEW_PASSWORD")).collect();
        let (Some(&first), Some(&last)) = (news.first(), news.last()) else {
            if let Some(last) = self.lines.len().checked_sub(1) {
                let sent = self.lines.iter().enumerate().flat_map(|(at, line)| Some((at, line.command.sent()?)));
                let (at, hint) = misspelt(sent, "NEW_PASSWORD").unwrap_or((last, String::new()));
                let message =
                    "no line sends [#NEW_PASSWORD#]: only a login that asks for a new password would change it";
                self.warn(at, "T101", format!("{message}{hint}"));
            }
            return;
        };
        if !self.lines[last..end].iter().any(|line| is_wait(&line.command)) {
            let message =
                "nothing waits for the answer to the new password; add an 'expect' of what says that it was taken";
            self.warn(last, "T104", message);
        }
        let current = self.lines[..first].iter().rposition(|line| sends(line, "CURRENT_PASSWORD"));
        if let Some(current) = current
            && !self.lines[current + 1..first].iter().any(|line| is_wait(&line.command) || is_branch(&line.command))
        {
            let number = self.lines[current].number;
            let message = format!(
                "the new password is sent before the device said anything to the old one (line {number}); wait for its prompt between"
            );
            self.warn(first, "T112", message);
        }
    }

    /// T108: the same code twice on one way through.
    fn codes(&mut self) {
        for tag in ["TOTP_TOKEN", "AUTH_TOTP_TOKEN"] {
            let mut before: Option<usize> = None;
            for at in 0..self.lines.len() {
                let line = &self.lines[at];
                match &line.command {
                    // Another branch is another way; what follows the branches follows each of them.
                    command if command.begins_branch() => before = None,
                    Command::Sleep(time) if time.as_secs() >= 30 => before = None,
                    _ => {}
                }
                if typed(line).is_some_and(|text| text.has_tag(tag)) {
                    if let Some(number) = before {
                        let message = format!(
                            "line {number} sends a code already: a device takes none twice, so this line waits up to a whole step for the next one; the device's prompt must bear that (a 'sleep 30' before it says that it does)"
                        );
                        self.warn(at, "T108", message);
                    }
                    before = Some(line.number);
                }
            }
        }
    }

    /// T105, T106, T110, T115: patterns that say nothing.
    fn waits(&mut self) {
        let mut sent: Option<(usize, String)> = None;
        let mut last_wait: Option<(usize, Command)> = None;
        for at in 0..self.lines.len() {
            let Line { command, number, .. } = &self.lines[at];
            if is_branch(command) || matches!(command, Command::Sleep(_)) {
                last_wait = None;
            }
            if let Some(text) = typed(&self.lines[at]) {
                sent = Some((*number, text.to_string()));
                last_wait = None;
            }
            let glob = match command {
                Command::Expect(text) | Command::Read(text) | Command::When(text) | Command::NoExpect(text) => text,
                Command::Answer(pattern, _) | Command::LoginPrompt(pattern, _) => pattern,
                Command::ExpectRegex(..) => {
                    self.twice(at, &mut last_wait);
                    continue;
                }
                _ => continue,
            };
            let pattern = glob.to_string();
            if pattern.trim_matches(|c: char| c == '*' || c.is_whitespace()).is_empty() {
                let message = "this matches anything, so it waits for nothing; write what the device says there, such as \"*ew password:\"";
                self.warn(at, "T105", message);
                continue;
            }
            if !matches!(command, Command::Expect(_) | Command::Read(_)) {
                continue;
            }
            let literal = pattern.trim_matches('*').trim();
            if let Some((line, text)) = &sent
                && literal.chars().count() >= 4
                && !literal.contains('*')
                && text.contains(literal)
            {
                let message = format!(
                    "line {line} sends the same words, so their echo alone would match where the device wraps or repaints it; wait for something that only the answer has"
                );
                self.warn(at, "T106", message);
            }
            self.twice(at, &mut last_wait);
            self.takes_all(at, &pattern);
        }
    }

    /// T116: expressions that want something behind the end of what was printed.
    fn dead_ends(&mut self) {
        for at in 0..self.lines.len() {
            let (Command::ExpectRegex(text, flags)
            | Command::WhenRegex(text, flags)
            | Command::NoExpectRegex(text, flags)) = &self.lines[at].command
            else {
                continue;
            };
            if !flags.multi_line && wants_more_behind_the_end(&text.to_string()) {
                let message = "an unescaped '$' is the end of what was printed, and nothing comes behind it; write '\\$' for a dollar";
                self.warn(at, "T116", message);
            }
        }
    }

    /// T118: a guard of one word, which a host's name in the prompt or a log line satisfies too.
    fn bare_guards(&mut self) {
        for at in 0..self.lines.len() {
            let Command::NoExpect(text) = &self.lines[at].command else { continue };
            let pattern = text.to_string();
            let inside = pattern.trim_matches('*');
            if pattern.len() > inside.len() && is_one_word(inside) {
                let expression = if inside == "%" { "% ".to_owned() } else { format!("\\W*{}", whole_word(inside)) };
                let message = format!(
                    "a host's name in the prompt or a log line may hold this word; write more of what the device says, or where it stands on the line: no-expect-regex \"/^{expression}/im\""
                );
                self.warn(at, "T118", message);
            }
        }
    }

    /// T119: a session that closes before the new password was sent has changed nothing.
    fn early_closing(&mut self, section: Section) {
        if section.changes_nothing() {
            return;
        }
        let commit = self.lines.iter().position(|line| sends(line, "NEW_PASSWORD")).unwrap_or(self.lines.len());
        let early = self.lines[..commit].iter().position(|line| line.command == Command::WhenClosed);
        if let Some(at) = early {
            let message = "this branch is never taken: the new password was not sent yet, and a session that closes before it ends the run as failed";
            self.warn(at, "T119", message);
        }
    }

    /// T115: an open end takes along what the next line waits for.
    fn takes_all(&mut self, at: usize, pattern: &str) {
        let next = self.lines.get(at + 1).map(|line| &line.command);
        let waits =
            matches!(next, Some(Command::Expect(_) | Command::ExpectRegex(..) | Command::Read(_) | Command::Choose));
        if waits && pattern.ends_with('*') {
            let message = "a pattern that ends in '*' waits for quiet and takes all that came, what the next line waits for too; leave the last '*' away, and each line takes its own";
            self.warn(at, "T115", message);
        }
    }

    /// T110: the same wait again, with nothing sent between.
    fn twice(&mut self, at: usize, last: &mut Option<(usize, Command)>) {
        let Line { command, number, .. } = &self.lines[at];
        let here = (*number, command.clone());
        if let Some((number, _)) = last.replace(here).filter(|(_, before)| before == command) {
            let message = format!(
                "line {number} waits for the same and nothing was sent since: this can only match what that one left; take one of them away"
            );
            self.warn(at, "T110", message);
        }
    }

    /// T107: a pause in place of a wait.
    fn sleeps(&mut self) {
        for at in 1..self.lines.len() {
            let Command::Sleep(time) = self.lines[at].command else { continue };
            let after_sending = typed(&self.lines[at - 1]).is_some();
            let waits = self.lines.get(at + 1).is_some_and(|next| is_wait(&next.command));
            let long = time.as_secs() >= 30 || time.as_millis() < 200;
            if after_sending && !waits && !long {
                let message = "a pause is too short on a busy day and too long on others; 'expect' what the device says when it is done";
                self.warn(at, "T107", message);
            }
        }
    }

    /// T109: passwords that a shell or a database reads.
    fn quoting(&mut self) {
        let declared = self.lines.iter().find_map(|line| match &line.command {
            Command::Info(key, value) if key == "password-symbols" => Some(value.clone()),
            _ => None,
        });
        for at in 0..self.lines.len() {
            let Some(text) = typed(&self.lines[at]) else { continue };
            let Some(reader) = reader(text) else { continue };
            let bare = text.pieces.iter().find_map(|piece| match piece {
                Piece::Tag(name, None) if name.ends_with("PASSWORD") => Some(name.clone()),
                _ => None,
            });
            let Some(name) = bare else { continue };
            let unsafe_there = |symbols: &str| symbols.chars().any(|c| reader.is_special(c));
            if declared.as_deref().is_none_or(unsafe_there) {
                let (who, filter) = (reader.name(), reader.filter().name());
                let message = format!(
                    "{who} reads the password here, and some characters mean something to it; write [#{name}:{filter}#] without quotes around it, or say with 'info password-symbols' which symbols are safe"
                );
                self.warn(at, "T109", message);
            }
        }
    }

    /// T111: a password of a program behind the login, which no SSH login proves.
    fn proof(&mut self, has_verify: bool) {
        let is_client = |text: &Text| matches!(reader(text), Some(Reader::Sql)) || starts_client(text);
        let clients = self.lines.iter().position(|line| typed(line).is_some_and(is_client));
        let sends_new = self.lines.iter().any(|line| sends(line, "NEW_PASSWORD"));
        if let Some(at) = clients.filter(|_| sends_new && !has_verify) {
            let message = "the new password is one of a program behind the login, so an SSH login cannot prove it; add a 'section verify' that uses it";
            self.warn(at, "T111", message);
        }
    }

    /// T117: an `info changes` that the lines contradict.
    fn statement(&mut self, stated: Option<Changes>, has_verify: bool) {
        let Some(stated) = stated else { return };
        let says = |line: &Line| matches!(&line.command, Command::Info(key, _) if key == "changes");
        let Some(at) = self.lines.iter().position(says) else { return };
        let message = match (stated, shown(self.lines, has_verify)) {
            (Changes::Named, Changes::LoginAccount) => {
                "this says that another account is named, and no line names one: send [#USERNAME#], or a field that holds the name"
            }
            (Changes::LoginAccount, Changes::Named) => {
                "this says that the login account is changed, and a line sends [#USERNAME#]: write 'info changes \"named\"', or leave this line away"
            }
            _ => return,
        };
        self.warn(at, "T117", message);
    }

    /// T114: what looks like a tag, and is none.
    fn spelling(&mut self) {
        let broken = |piece: &Piece| matches!(piece, Piece::Literal(literal) if half_tag(literal));
        for at in 0..self.lines.len() {
            if self.lines[at].command.texts().iter().any(|text| text.pieces.iter().any(broken)) {
                let message =
                    "this looks like a tag and is none, so it would be sent as it stands; a tag is written [#NAME#]";
                self.warn(at, "T114", message);
            }
        }
    }
}

/// Words of refusals, which templates often write without their first letter.
const REFUSING_WORDS: &[&str] = &[
    "error",
    "failed",
    "fail",
    "failure",
    "invalid",
    "incorrect",
    "insufficient",
    "denied",
    "cannot",
    "wrong",
    "rejected",
    "mismatch",
    "unknown",
];

/// Whether this is one word, or a sign that begins messages.
fn is_one_word(text: &str) -> bool {
    text == "%" || (!text.is_empty() && text.chars().all(char::is_alphabetic))
}

/// The word that was meant, in lower case.
fn whole_word(text: &str) -> String {
    let lower = text.to_lowercase();
    let known = REFUSING_WORDS.iter().find(|word| word.ends_with(&lower) && word.len() - lower.len() <= 1);
    known.map_or(lower, |word| (*word).to_owned())
}

/// `[NEW_PASSWORD#]`, `[#NEW_PASSWORD]` and the like.
pub(super) fn half_tag(text: &str) -> bool {
    const NAMES: [&str; 6] =
        ["NEW_PASSWORD", "CURRENT_PASSWORD", "AUTH_PASSWORD", "USERNAME", "TOTP_TOKEN", "AUTH_USER"];
    NAMES.iter().any(|name| {
        text.match_indices(name).any(|(at, _)| {
            let before = text[..at].trim_end();
            let after = text[at + name.len()..].trim_start();
            before.ends_with(['#', '[']) || after.starts_with("#]")
        })
    })
}

/// Who reads a line before the password is one.
#[derive(Clone, Copy)]
enum Reader {
    Shell,
    Sql,
}

impl Reader {
    fn name(self) -> &'static str {
        match self {
            Self::Shell => "a shell",
            Self::Sql => "a database",
        }
    }

    fn filter(self) -> Filter {
        match self {
            Self::Shell => Filter::Sh,
            Self::Sql => Filter::Sql,
        }
    }

    fn is_special(self, c: char) -> bool {
        match self {
            Self::Shell => " \t!\"#$&'()*;<=>?[\\]^`{|}~%".contains(c),
            Self::Sql => "'\\\"".contains(c),
        }
    }
}

fn reader(text: &Text) -> Option<Reader> {
    let whole = text.to_string();
    let lower = whole.to_lowercase();
    let before = lower.find("password#]").map_or(lower.as_str(), |at| &lower[..at]);
    if SQL_WORDS.iter().any(|word| before.contains(word)) {
        return Some(Reader::Sql);
    }
    program(before).filter(|word| SHELL_PROGRAMS.contains(word) || CLIENTS.contains(word)).map(|_| Reader::Shell)
}

/// The first word of a command that is no assignment, without its folder.
pub(super) fn program(command: &str) -> Option<&str> {
    let mut words = command.split(|c: char| c.is_whitespace() || "|;&(".contains(c));
    let word = words.find(|word| !word.is_empty() && !word.contains('='))?;
    word.rsplit('/').next()
}

fn starts_client(text: &Text) -> bool {
    program(&text.to_string().to_lowercase()).is_some_and(|word| CLIENTS.contains(&word))
}

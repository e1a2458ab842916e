//! What a template says, line by line.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use crate::model::{is_unreserved, percent_encode};

/// A piece of an argument: plain text, or the name of a tag to be replaced when the line is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Sent or sought as it stands.
    Literal(String),
    /// `[#NAME#]`, or `[#NAME:FILTER#]`.
    Tag(String, Option<Filter>),
}

/// How a tag's value is quoted, so that what reads it takes it as one literal value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Filter {
    /// `sh`: in single quotes for a POSIX shell (POSIX.1-2017, Shell Command Language 2.2.2).
    Sh,
    /// `sql`: an SQL string literal in single quotes, a quote doubled (ISO/IEC 9075-2, character string literal).
    Sql,
    /// `tcl`: a word of Tcl in double quotes, with `$`, `[`, `]`, `"`, `\`, `;` and braces escaped (Tcl(n), rules 4 to 9).
    Tcl,
    /// `url`: percent-encoded but for the unreserved characters of RFC 3986, section 2.3.
    Url,
    /// `xml`: the five predefined entities (XML 1.0, section 4.6).
    Xml,
    /// `name`: a user's name without the options of the login that follow a `+`, as in `admin+ct80w` (RouterOS manual,
    /// Console, login options: `login_name ::= user_name [ '+' parameters ]`). It quotes nothing.
    Name,
}

impl Filter {
    /// All that quote a value.
    pub const ALL: [Self; 5] = [Self::Sh, Self::Sql, Self::Tcl, Self::Url, Self::Xml];

    /// The names that stand behind the colon.
    pub const NAMES: &[&str] = &["sh", "sql", "tcl", "url", "xml", "name"];

    /// The filter of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "sh" => Some(Self::Sh),
            "sql" => Some(Self::Sql),
            "tcl" => Some(Self::Tcl),
            "url" => Some(Self::Url),
            "xml" => Some(Self::Xml),
            "name" => Some(Self::Name),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sh => "sh",
            Self::Sql => "sql",
            Self::Tcl => "tcl",
            Self::Url => "url",
            Self::Xml => "xml",
            Self::Name => "name",
        }
    }

    /// The value, quoted.
    #[must_use]
    pub fn quote(self, value: &str) -> String {
        let inside = self.escape(value);
        match self {
            Self::Sh | Self::Sql => format!("'{inside}'"),
            Self::Tcl => format!("\"{inside}\""),
            Self::Url | Self::Xml | Self::Name => inside,
        }
    }

    /// Whether the value stands otherwise between the quotes than by itself.
    #[must_use]
    pub fn changes(self, value: &str) -> bool {
        value.bytes().any(|byte| match self {
            Self::Sh | Self::Sql => byte == b'\'',
            Self::Tcl => b"$[]{}\"\\;".contains(&byte),
            Self::Url => !is_unreserved(byte),
            Self::Xml => b"&<>\"'".contains(&byte),
            Self::Name => byte == b'+',
        })
    }

    /// The value as it stands between the quotes.
    #[must_use]
    pub fn escape(self, value: &str) -> String {
        match self {
            Self::Sh => value.replace('\'', "'\\''"),
            Self::Sql => value.replace('\'', "''"),
            Self::Tcl => {
                value.chars().flat_map(|c| "$[]{}\"\\;".contains(c).then_some('\\').into_iter().chain([c])).collect()
            }
            Self::Url => percent_encode(value),
            Self::Name => value.split('+').next().unwrap_or_default().to_owned(),
            Self::Xml => value.chars().fold(String::new(), |mut out, c| {
                match c {
                    '&' => out.push_str("&amp;"),
                    '<' => out.push_str("&lt;"),
                    '>' => out.push_str("&gt;"),
                    '"' => out.push_str("&quot;"),
                    '\'' => out.push_str("&apos;"),
                    other => out.push(other),
                }
                out
            }),
        }
    }
}

/// An argument in which tags may stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    /// Its pieces in order; no two literals stand side by side.
    pub pieces: Vec<Piece>,
}

impl Text {
    /// The names of the tags in it, in order.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Tag(name, _) => Some(name.as_str()),
            Piece::Literal(_) => None,
        })
    }

    /// Whether the tag stands in it.
    #[must_use]
    pub fn has_tag(&self, name: &str) -> bool {
        self.tags().any(|tag| tag == name)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Literal(text) => f.write_str(text),
            Piece::Tag(name, None) => write!(f, "[#{name}#]"),
            Piece::Tag(name, Some(filter)) => write!(f, "[#{name}:{}#]", filter.name()),
        })
    }
}

/// What `exec` ends a line with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NewLine {
    /// LF.
    #[default]
    Unix,
    /// CR LF.
    Windows,
    /// CR.
    Mac,
}

impl NewLine {
    /// The characters themselves.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unix => "\n",
            Self::Windows => "\r\n",
            Self::Mac => "\r",
        }
    }
}

/// Flags behind `/RE/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RegexFlags {
    /// `i`: case does not matter.
    pub ignore_case: bool,
    /// `m`: `^` and `$` match at line ends.
    pub multi_line: bool,
    /// `s`: `.` matches a line end too.
    pub dot_all: bool,
}

/// Compiled expressions that are kept for the next template with the same, at the most.
const KEPT: usize = 1024;

impl RegexFlags {
    /// Compiles an expression: it runs in linear time, and is refused where it would take much memory.
    ///
    /// # Errors
    /// The expression is wrong, or too large.
    pub fn compile(self, source: &str) -> Result<Arc<regex::Regex>, regex::Error> {
        let regex = regex::RegexBuilder::new(source)
            .case_insensitive(self.ignore_case)
            .multi_line(self.multi_line)
            .dot_matches_new_line(self.dot_all)
            .size_limit(1 << 20)
            .build()?;
        Ok(Arc::new(regex))
    }

    /// As [`RegexFlags::compile`], for an expression of a template's text: templates have many in common, and compiling
    /// takes most of the time of a check. Never for one that holds a value, since it is kept.
    ///
    /// # Errors
    /// The expression is wrong, or too large.
    pub fn compile_shared(self, source: &str) -> Result<Arc<regex::Regex>, regex::Error> {
        type Known = HashMap<(RegexFlags, String), Arc<regex::Regex>>;
        static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
        let lock = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (self, source.to_owned());
        if let Some(regex) = lock().get(&key) {
            return Ok(regex.clone());
        }
        let regex = self.compile(source)?;
        let mut known = lock();
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(key, regex.clone());
        Ok(regex)
    }
}

/// One command with its argument.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// `set-ssh-version 2`.
    SetSshVersion,
    /// `set-connect-timeout SECONDS`.
    SetConnectTimeout(Duration),
    /// `set-read-timeout SECONDS`.
    SetReadTimeout(Duration),
    /// `set-new-line-mode unix|windows|mac`.
    SetNewLineMode(NewLine),
    /// `set-prompt "TEXT"`.
    SetPrompt(Text),
    /// `exec "TEXT"`.
    Exec(Text),
    /// `write "TEXT"` or `send "TEXT"`.
    Write(Text),
    /// `expect "GLOB"`.
    Expect(Text),
    /// `expect-regex "RE"`.
    ExpectRegex(Text, RegexFlags),
    /// `read "TEXT"`.
    Read(Text),
    /// `no-expect "GLOB"`.
    NoExpect(Text),
    /// `no-expect-regex "RE"`.
    NoExpectRegex(Text, RegexFlags),
    /// `sleep SECONDS`.
    Sleep(Duration),
    /// `login-prompt "GLOB" "TEXT"`.
    LoginPrompt(Text, Text),
    /// `info KEY "VALUE"`.
    Info(String, String),
    /// `fail "TEXT"`.
    Fail(Text),
    /// `choose`: wait until one of the branches that follow matches, and take it.
    Choose,
    /// `when "GLOB"`: a branch.
    When(Text),
    /// `when-regex "RE"`: a branch.
    WhenRegex(Text, RegexFlags),
    /// `when-closed`: a branch for a device that closes the session because the password changed.
    WhenClosed,
    /// `end-choose`.
    EndChoose,
    /// `answer "GLOB" "TEXT"`: a standing answer.
    Answer(Text, Text),
    /// `section NAME`: the lines that follow are of that part.
    Section(Section),
    /// `end`.
    End,
}

/// A part of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Changes the password; the lines before any section are of it.
    Change,
    /// Runs after the login with the new password.
    Verify,
    /// Sets the password through the reconcile account, without knowing the old one.
    Reconcile,
    /// Runs, best effort, where `change` failed before the new password was sent.
    Abort,
    /// Runs, best effort, where `change` failed after the new password was sent: what was changed is saved.
    Save,
}

impl Section {
    /// Whether it only proves, clears up or saves: what it sends is no commit point.
    #[must_use]
    pub fn changes_nothing(self) -> bool {
        matches!(self, Self::Verify | Self::Abort | Self::Save)
    }

    /// The names that `section` takes.
    pub const NAMES: &[&str] = &["change", "verify", "reconcile", "abort", "save"];

    /// The section of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "change" => Some(Self::Change),
            "verify" => Some(Self::Verify),
            "abort" => Some(Self::Abort),
            "save" => Some(Self::Save),
            "reconcile" => Some(Self::Reconcile),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Verify => "verify",
            Self::Abort => "abort",
            Self::Save => "save",
            Self::Reconcile => "reconcile",
        }
    }
}

impl Command {
    /// Whether the command only says how the others are run, so that it holds for all sections where it stands at the
    /// head of a template.
    #[must_use]
    pub fn is_setting(&self) -> bool {
        matches!(
            self,
            Self::SetSshVersion
                | Self::SetConnectTimeout(_)
                | Self::SetReadTimeout(_)
                | Self::SetNewLineMode(_)
                | Self::SetPrompt(_)
                | Self::LoginPrompt(..)
                | Self::Answer(..)
                | Self::Info(..)
        )
    }

    /// Whether the command begins a branch of a `choose`.
    #[must_use]
    pub fn begins_branch(&self) -> bool {
        matches!(self, Self::When(_) | Self::WhenRegex(..) | Self::WhenClosed)
    }

    /// Every text of the command in which tags are replaced.
    #[must_use]
    pub fn texts(&self) -> Vec<&Text> {
        match self {
            Self::SetPrompt(text)
            | Self::Exec(text)
            | Self::Write(text)
            | Self::Expect(text)
            | Self::ExpectRegex(text, _)
            | Self::Read(text)
            | Self::NoExpect(text)
            | Self::NoExpectRegex(text, _)
            | Self::When(text)
            | Self::WhenRegex(text, _)
            | Self::Fail(text) => vec![text],
            Self::LoginPrompt(pattern, answer) | Self::Answer(pattern, answer) => vec![pattern, answer],
            _ => Vec::new(),
        }
    }

    /// The text that the command sends to the device's shell, if it sends one.
    #[must_use]
    pub fn sent(&self) -> Option<&Text> {
        match self {
            Self::Exec(text) | Self::Write(text) | Self::Answer(_, text) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetSshVersion => f.write_str("set-ssh-version 2"),
            Self::SetConnectTimeout(time) => {
                write!(f, "set-connect-timeout {}", time.as_secs_f64())
            }
            Self::SetReadTimeout(time) => write!(f, "set-read-timeout {}", time.as_secs_f64()),
            Self::SetNewLineMode(mode) => write!(
                f,
                "set-new-line-mode {}",
                match mode {
                    NewLine::Unix => "unix",
                    NewLine::Windows => "windows",
                    NewLine::Mac => "mac",
                }
            ),
            Self::SetPrompt(text) => write!(f, "set-prompt {}", Quoted(text)),
            Self::Exec(text) => write!(f, "exec {}", Quoted(text)),
            Self::Write(text) => write!(f, "write {}", Quoted(text)),
            Self::Expect(text) => write!(f, "expect {}", Quoted(text)),
            Self::ExpectRegex(text, flags) => write!(f, "expect-regex {}", Quoted(&with_flags(text, *flags))),
            Self::Choose => f.write_str("choose"),
            Self::When(text) => write!(f, "when {}", Quoted(text)),
            Self::WhenRegex(text, flags) => write!(f, "when-regex {}", Quoted(&with_flags(text, *flags))),
            Self::WhenClosed => f.write_str("when-closed"),
            Self::EndChoose => f.write_str("end-choose"),
            Self::Answer(pattern, answer) => write!(f, "answer {} {}", Quoted(pattern), Quoted(answer)),
            Self::Read(text) => write!(f, "read {}", Quoted(text)),
            Self::NoExpect(text) => write!(f, "no-expect {}", Quoted(text)),
            Self::NoExpectRegex(text, flags) => {
                write!(f, "no-expect-regex {}", Quoted(&with_flags(text, *flags)))
            }
            Self::Sleep(time) => write!(f, "sleep {}", time.as_secs_f64()),
            Self::LoginPrompt(pattern, answer) => {
                write!(f, "login-prompt {} {}", Quoted(pattern), Quoted(answer))
            }
            Self::Info(key, value) => write!(f, "info {key} \"{}\"", escape(value)),
            Self::Fail(text) => write!(f, "fail {}", Quoted(text)),
            Self::Section(section) => write!(f, "section {}", section.name()),
            Self::End => f.write_str("end"),
        }
    }
}

/// An expression between slashes, its flags behind.
fn with_flags(text: &Text, flags: RegexFlags) -> Text {
    let letters: String = [('i', flags.ignore_case), ('m', flags.multi_line), ('s', flags.dot_all)]
        .iter()
        .filter_map(|&(letter, on)| on.then_some(letter))
        .collect();
    let mut source = text.clone();
    source.pieces.insert(0, Piece::Literal("/".into()));
    source.pieces.push(Piece::Literal(format!("/{letters}")));
    source
}

struct Quoted<'a>(&'a Text);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", escape(&self.0.to_string()))
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// A command and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Line of the file, from 1.
    pub number: usize,
    /// What it says.
    pub command: Command,
    /// Bytes of the file that the command covers.
    pub span: Range<usize>,
}

/// A template that was parsed and not yet checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    /// Its commands in order.
    pub lines: Vec<Line>,
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{}", line.command))
    }
}

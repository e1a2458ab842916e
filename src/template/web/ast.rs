//! What a web template says, line by line.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use super::selector::Selector;
use crate::template::ast::Text;

/// A part of a web template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// From the first page to being logged in.
    Login,
    /// Changes the password; the lines before any section are of it.
    Change,
    /// Runs after the login with the new password.
    Verify,
    /// Sets the password through the reconcile account.
    Reconcile,
    /// Runs, best effort, where the change failed before the new password was entered.
    Abort,
}

impl Part {
    /// The names that `section` takes in a web template.
    pub const NAMES: &[&str] = &["login", "change", "verify", "reconcile", "abort"];

    /// The part of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "login" => Some(Self::Login),
            "change" => Some(Self::Change),
            "verify" => Some(Self::Verify),
            "reconcile" => Some(Self::Reconcile),
            "abort" => Some(Self::Abort),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Change => "change",
            Self::Verify => "verify",
            Self::Reconcile => "reconcile",
            Self::Abort => "abort",
        }
    }

    /// Whether it only logs in, proves or clears up: it must not enter the new password.
    #[must_use]
    pub fn changes_nothing(self) -> bool {
        !matches!(self, Self::Change | Self::Reconcile)
    }
}

/// How a value comes into a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entering {
    /// `fill`: at once, with the events of typing.
    AtOnce,
    /// `really-fill`: key by key.
    ByKey,
}

/// How a click is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clicking {
    /// `click`: with the pointer, where the element is.
    Pointer,
    /// `jclick`: by script, whatever covers the element.
    Script,
}

/// What is done with a script's `alert`, `confirm` or `prompt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialogAnswer {
    /// "OK".
    Accept,
    /// "Cancel".
    Dismiss,
}

/// What ends the wait for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// Such an element is there and visible.
    Selector(Selector),
    /// The page's address matches.
    Location(Text),
}

/// One command of a web template.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebCommand {
    /// `start-at URL` or `get URL`.
    StartAt(Text),
    /// `timeout MS`: the bound on each wait.
    Timeout(Duration),
    /// `user-agent TEXT`.
    UserAgent(String),
    /// `new-action`.
    NewAction,
    /// `fill SELECTOR VALUE` or `really-fill SELECTOR VALUE`.
    Fill(Selector, Text, Entering),
    /// `click SELECTOR` or `jclick SELECTOR`.
    Click(Selector, Clicking),
    /// `prop SELECTOR NAME VALUE`.
    Prop(Selector, String, Text),
    /// `test-location TEXT`.
    TestLocation(Text),
    /// `set-location URL`.
    SetLocation(Text),
    /// `test-selector SELECTOR`.
    TestSelector(Selector),
    /// `test-not-visible SELECTOR`.
    TestNotVisible(Selector),
    /// `test-text TEXT`.
    TestText(Text),
    /// `test-no-text TEXT`.
    TestNoText(Text),
    /// `jscript CODE`.
    Script(Text),
    /// `log TEXT`.
    Log(Text),
    /// `sleep N`.
    Sleep(Duration),
    /// `fill-form NAME VALUE`.
    FillForm(Text, Text),
    /// `select-button NAME`.
    SelectButton(Text),
    /// `submit`.
    Submit,
    /// `expect TEXT`: in the page's text, also in what style hides.
    Expect(Text),
    /// `choose`.
    Choose,
    /// `when-selector SELECTOR`: a branch.
    WhenSelector(Selector),
    /// `when-location TEXT`: a branch.
    WhenLocation(Text),
    /// `when-text TEXT`: a branch.
    WhenText(Text),
    /// `end-choose`.
    EndChoose,
    /// `answer-selector SELECTOR`: a standing block begins.
    AnswerSelector(Selector),
    /// `end-answer`.
    EndAnswer,
    /// `frame SELECTOR`.
    Frame(Selector),
    /// `main-frame`.
    MainFrame,
    /// `select SELECTOR TEXT`.
    Select(Selector, Text),
    /// `check SELECTOR` and `uncheck SELECTOR`.
    Check(Selector, bool),
    /// `press KEY`.
    Press(Key),
    /// `accept-dialog` and `dismiss-dialog`.
    Dialog(DialogAnswer),
    /// `ask-person "TEXT" until-selector S` or `until-location L`.
    AskPerson(Text, Until),
    /// `info KEY "VALUE"`.
    Info(String, String),
    /// `fail TEXT`.
    Fail(Text),
    /// `section NAME`.
    Section(Part),
    /// `end`.
    End,
}

/// A key that `press` presses, by its name in the UI Events specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(usize);

/// The keys and their characters of WebDriver (W3C WebDriver, "Keyboard actions", the table of normalised key values).
const KEYS: &[(&str, char)] = &[
    ("Enter", '\u{e007}'),
    ("Tab", '\u{e004}'),
    ("Escape", '\u{e00c}'),
    ("Space", ' '),
    ("Backspace", '\u{e003}'),
    ("Delete", '\u{e017}'),
    ("Home", '\u{e011}'),
    ("End", '\u{e010}'),
    ("PageUp", '\u{e00e}'),
    ("PageDown", '\u{e00f}'),
    ("ArrowUp", '\u{e013}'),
    ("ArrowDown", '\u{e015}'),
    ("ArrowLeft", '\u{e012}'),
    ("ArrowRight", '\u{e014}'),
];

impl Key {
    /// The key of a name, in either case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        KEYS.iter().position(|(known, _)| known.eq_ignore_ascii_case(name)).map(Self)
    }

    /// All names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        KEYS.iter().map(|(name, _)| *name)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        KEYS.get(self.0).map_or("Enter", |(name, _)| name)
    }

    /// The character by which WebDriver knows it.
    #[must_use]
    pub fn character(self) -> char {
        KEYS.get(self.0).map_or('\u{e007}', |(_, character)| *character)
    }
}

impl WebCommand {
    /// Whether the command begins a branch of a `choose`.
    #[must_use]
    pub fn begins_branch(&self) -> bool {
        matches!(self, Self::WhenSelector(_) | Self::WhenLocation(_) | Self::WhenText(_))
    }

    /// Whether the command waits for something that must be there: what tells a logged-in page from another.
    #[must_use]
    pub fn is_positive_test(&self) -> bool {
        self.begins_branch()
            || matches!(self, Self::TestLocation(_) | Self::TestSelector(_) | Self::TestText(_) | Self::Expect(_))
    }

    /// Whether the command may send what was entered.
    #[must_use]
    pub fn may_submit(&self) -> bool {
        matches!(self, Self::Click(..) | Self::Submit | Self::Press(_) | Self::Script(_) | Self::AskPerson(..))
    }

    /// Whether the command says how the others are run, or where they begin, so that it holds for all parts where it
    /// stands at the head of a template.
    #[must_use]
    pub fn is_setting(&self) -> bool {
        matches!(self, Self::StartAt(_) | Self::Timeout(_) | Self::UserAgent(_) | Self::Info(..))
    }

    /// The text that the command brings into a page, if it does: from it on the page may send it anywhere.
    #[must_use]
    pub fn entered(&self) -> Option<&Text> {
        match self {
            Self::Fill(_, text, _)
            | Self::Prop(_, _, text)
            | Self::Select(_, text)
            | Self::FillForm(_, text)
            | Self::Script(text)
            | Self::SetLocation(text)
            | Self::StartAt(text) => Some(text),
            _ => None,
        }
    }

    /// Every text of the command in which tags are replaced.
    #[must_use]
    pub fn texts(&self) -> Vec<&Text> {
        match self {
            Self::StartAt(text)
            | Self::TestLocation(text)
            | Self::SetLocation(text)
            | Self::TestText(text)
            | Self::TestNoText(text)
            | Self::Script(text)
            | Self::Log(text)
            | Self::SelectButton(text)
            | Self::Expect(text)
            | Self::WhenLocation(text)
            | Self::WhenText(text)
            | Self::Fail(text) => vec![text],
            Self::Fill(selector, text, _) | Self::Prop(selector, _, text) | Self::Select(selector, text) => {
                vec![selector.source(), text]
            }
            Self::FillForm(name, value) => vec![name, value],
            Self::AskPerson(text, Until::Location(until)) => vec![text, until],
            Self::AskPerson(text, Until::Selector(until)) => vec![text, until.source()],
            _ => self.selector().map(Selector::source).into_iter().collect(),
        }
    }

    /// The selector of the element that the command is about.
    #[must_use]
    pub fn selector(&self) -> Option<&Selector> {
        match self {
            Self::Fill(selector, ..)
            | Self::Click(selector, _)
            | Self::Prop(selector, ..)
            | Self::TestSelector(selector)
            | Self::TestNotVisible(selector)
            | Self::WhenSelector(selector)
            | Self::AnswerSelector(selector)
            | Self::Frame(selector)
            | Self::Select(selector, _)
            | Self::Check(selector, _)
            | Self::AskPerson(_, Until::Selector(selector)) => Some(selector),
            _ => None,
        }
    }
}

impl fmt::Display for WebCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted =
            |text: &dyn fmt::Display| format!("\"{}\"", text.to_string().replace('\\', "\\\\").replace('"', "\\\""));
        match self {
            Self::StartAt(url) => write!(f, "start-at {url}"),
            Self::Timeout(time) => write!(f, "timeout {}", time.as_millis()),
            Self::UserAgent(text) => write!(f, "user-agent {}", quoted(text)),
            Self::NewAction => f.write_str("new-action"),
            Self::Fill(selector, value, Entering::AtOnce) => write!(f, "fill {} {}", quoted(selector), quoted(value)),
            Self::Fill(selector, value, Entering::ByKey) => {
                write!(f, "really-fill {} {}", quoted(selector), quoted(value))
            }
            Self::Click(selector, Clicking::Pointer) => write!(f, "click {}", quoted(selector)),
            Self::Click(selector, Clicking::Script) => write!(f, "jclick {}", quoted(selector)),
            Self::Prop(selector, name, value) => write!(f, "prop {} {name} {}", quoted(selector), quoted(value)),
            Self::TestLocation(text) => write!(f, "test-location {}", quoted(text)),
            Self::SetLocation(url) => write!(f, "set-location {}", quoted(url)),
            Self::TestSelector(selector) => write!(f, "test-selector {}", quoted(selector)),
            Self::TestNotVisible(selector) => write!(f, "test-not-visible {}", quoted(selector)),
            Self::TestText(text) => write!(f, "test-text {}", quoted(text)),
            Self::TestNoText(text) => write!(f, "test-no-text {}", quoted(text)),
            Self::Script(code) => write!(f, "jscript {code}"),
            Self::Log(text) => write!(f, "log {}", quoted(text)),
            Self::Sleep(time) if time.as_millis() < 100 => f.write_str("sleep 0"),
            Self::Sleep(time) => write!(f, "sleep {}", time.as_millis()),
            Self::FillForm(name, value) => write!(f, "fill-form {} {}", quoted(name), quoted(value)),
            Self::SelectButton(name) => write!(f, "select-button {}", quoted(name)),
            Self::Submit => f.write_str("submit"),
            Self::Expect(text) => write!(f, "expect {}", quoted(text)),
            Self::Choose => f.write_str("choose"),
            Self::WhenSelector(selector) => write!(f, "when-selector {}", quoted(selector)),
            Self::WhenLocation(text) => write!(f, "when-location {}", quoted(text)),
            Self::WhenText(text) => write!(f, "when-text {}", quoted(text)),
            Self::EndChoose => f.write_str("end-choose"),
            Self::AnswerSelector(selector) => write!(f, "answer-selector {}", quoted(selector)),
            Self::EndAnswer => f.write_str("end-answer"),
            Self::Frame(selector) => write!(f, "frame {}", quoted(selector)),
            Self::MainFrame => f.write_str("main-frame"),
            Self::Select(selector, text) => write!(f, "select {} {}", quoted(selector), quoted(text)),
            Self::Check(selector, true) => write!(f, "check {}", quoted(selector)),
            Self::Check(selector, false) => write!(f, "uncheck {}", quoted(selector)),
            Self::Press(key) => write!(f, "press {}", key.name()),
            Self::Dialog(DialogAnswer::Accept) => f.write_str("accept-dialog"),
            Self::Dialog(DialogAnswer::Dismiss) => f.write_str("dismiss-dialog"),
            Self::AskPerson(text, Until::Selector(until)) => {
                write!(f, "ask-person {} until-selector {}", quoted(text), quoted(until))
            }
            Self::AskPerson(text, Until::Location(until)) => {
                write!(f, "ask-person {} until-location {}", quoted(text), quoted(until))
            }
            Self::Info(key, value) => write!(f, "info {key} {}", quoted(value)),
            Self::Fail(text) => write!(f, "fail {}", quoted(text)),
            Self::Section(part) => write!(f, "section {}", part.name()),
            Self::End => f.write_str("end"),
        }
    }
}

/// A command and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebLine {
    /// Line of the file, from 1.
    pub number: usize,
    /// What it says.
    pub command: WebCommand,
    /// Bytes of the file that the command covers.
    pub span: Range<usize>,
}

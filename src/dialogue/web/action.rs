//! What a run asks of a browser, and what it hears of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::Secret;
use crate::template::web::{DialogAnswer, Plan};

/// The body of the function by which a page is looked at and filled: WebDriver's "execute script" runs it with the arguments of
/// a [`PageCall`].
pub const PAGE_SCRIPT: &str = include_str!("page.js");

/// One call of [`PAGE_SCRIPT`].
#[derive(Debug, Clone)]
pub struct PageCall {
    /// The operation: the first argument.
    pub operation: &'static str,
    /// What it is about: the second argument.
    pub about: Value,
    /// The value that is entered, the third argument: `null` where there is none.
    pub secret: Option<Secret>,
}

/// What is to be done next. Each is answered by one [`Observation`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Action {
    /// Open a page. Answer: [`Observation::Done`] once the navigation has begun or ended.
    Open {
        /// Its whole address. It may hold a secret.
        url: Secret,
    },
    /// Run [`PAGE_SCRIPT`] in the page or the frame that was switched to. Answer: [`Observation::Result`].
    Page {
        /// The call.
        call: PageCall,
        /// Not before this moment.
        not_before: i64,
    },
    /// Type keys into an element: call `point` with `{"plan": …, "empty": true}`, then WebDriver's "element send keys".
    /// Answer: [`Observation::Done`].
    Keys {
        /// The element.
        target: Plan,
        /// What to type.
        keys: Secret,
    },
    /// Click with the pointer: call `point` with `{"plan": …}`, then WebDriver's "element click". Answer:
    /// [`Observation::Done`].
    Click {
        /// The element.
        target: Plan,
    },
    /// Press a key where the focus is, by WebDriver's "perform actions". Answer: [`Observation::Done`].
    Press {
        /// The key, as WebDriver writes it.
        key: char,
    },
    /// Run a script of the template as a function's body, without arguments. Answer: [`Observation::Result`].
    Script {
        /// The body.
        body: Secret,
    },
    /// Switch to the frame that `point` finds, or to the page itself. Answer: [`Observation::Done`].
    Frame {
        /// The frame's element; `None`: the page itself.
        target: Option<Plan>,
    },
    /// Answer a script's dialogue. Answer: [`Observation::Done`], or [`Trouble::NoDialog`].
    Dialog {
        /// OK or Cancel.
        answer: DialogAnswer,
    },
    /// Do nothing until this moment. Answer: [`Observation::Done`].
    Sleep {
        /// The moment.
        until: i64,
    },
    /// Make a one-time password. Answer: [`Observation::Code`].
    Code {
        /// `TOTP_TOKEN` or `AUTH_TOTP_TOKEN`.
        tag: &'static str,
    },
    /// The next action enters the new password: record it durably, and say whether to go on. Answer: [`Observation::Allowed`],
    /// or [`Observation::Stopped`].
    Commit {
        /// The template's line.
        line: usize,
    },
    /// Call a person, and keep the browser. Answer: [`Observation::PersonDone`] once the calls of `until` hold (looked at with
    /// [`WebRun::until_holds`](super::WebRun::until_holds)) or the person says "continue"; [`Observation::PersonGone`] if
    /// nobody did within the device's `park_for`.
    Person(Parked),
    /// The run is over; no answer is awaited.
    Finish(WebVerdict),
}

/// A run that waits for a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Parked {
    /// What the person is asked to do, masked.
    pub text: String,
    /// What it is about: `reCAPTCHA`, `second factor`, `ask-person` …
    pub kind: String,
    /// The template's line.
    pub line: usize,
    /// The argument of the call `look` that tells whether it is done; also a page's address may tell it.
    pub look: Value,
}

/// What was heard of the browser.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Observation {
    /// The browser is there, with an empty page: the first one.
    Started,
    /// It is done.
    Done,
    /// What a script returned.
    Result(Value),
    /// A one-time password.
    Code(Secret),
    /// The commit point is on record: go on.
    Allowed,
    /// Do not go on; why, in words.
    Stopped(String),
    /// The person is done.
    PersonDone,
    /// No person came.
    PersonGone,
    /// It could not be done.
    Trouble(Trouble),
}

/// Why something could not be done in a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// A script's dialogue is open, with this text (WebDriver: "unexpected alert open").
    Dialog(String),
    /// No dialogue is open (WebDriver: "no such alert").
    NoDialog,
    /// The element is not there, or no longer (WebDriver: "no such element", "stale element reference", "no such frame").
    Missing,
    /// The element cannot be clicked or typed into (WebDriver: "element not interactable", "element click intercepted").
    NotInteractable(String),
    /// A script threw (WebDriver: "javascript error").
    Threw(String),
    /// The page could not be loaded: why, in words.
    Page(String),
    /// The certificate is not trusted.
    Certificate(String),
    /// The proxy let nothing through to this host.
    Blocked(String),
    /// The page was left while a script ran in it: look again.
    Left,
    /// The browser or its driver is gone.
    Gone(String),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebVerdict {
    /// All lines ran.
    Ran {
        /// The new password was entered into a page.
        committed: bool,
        /// A test held behind the login, and did not hold before it: the password that was typed is the account's.
        proved: bool,
    },
    /// A line failed.
    Failed(WebFailure),
}

/// What a run showed of the password and the code that were entered in its login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginEnd {
    /// The application took them.
    Taken,
    /// It said no.
    Rejected {
        /// To the code.
        code: bool,
    },
    /// It judged nothing: none was entered, or nobody is let in for now.
    NotJudged,
    /// It may have said no.
    Unanswered,
}

impl WebVerdict {
    /// What becomes of the login that the run has made, where secrets were `entered` into a page or where none was.
    #[must_use]
    pub fn login(&self, entered: bool) -> LoginEnd {
        let failure = match self {
            _ if !entered => return LoginEnd::NotJudged,
            Self::Ran { proved: false, committed: false } => return LoginEnd::Unanswered,
            Self::Ran { .. } => return LoginEnd::Taken,
            Self::Failed(failure) => failure,
        };
        match failure.kind {
            _ if failure.proved => LoginEnd::Taken,
            FailureKind::PasswordRejected => LoginEnd::Rejected { code: false },
            FailureKind::CodeRejected => LoginEnd::Rejected { code: true },
            // A form that has password and new password at once may refuse either.
            FailureKind::Refused => LoginEnd::Unanswered,
            // The page of the change is behind the login.
            _ if failure.committed => LoginEnd::Taken,
            FailureKind::Locked | FailureKind::Person => LoginEnd::NotJudged,
            _ => LoginEnd::Unanswered,
        }
    }
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebFailure {
    /// All of it in one sentence or two, masked.
    pub message: String,
    /// The template's line.
    pub line: usize,
    /// What was looked for, masked.
    pub looked_for: String,
    /// The page's title, masked.
    pub title: String,
    /// The page's address without its query, masked.
    pub location: String,
    /// The nearest elements of the page, as selectors.
    pub candidates: Vec<String>,
    /// The new password was entered into a page.
    pub committed: bool,
    /// A password was typed into a page.
    pub typed: bool,
    /// A test had held behind the login: its password was taken.
    pub proved: bool,
    /// What kind of failure it is.
    pub kind: FailureKind,
}

/// Kinds of failures, as far as they are judged differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FailureKind {
    /// The page is not as the template says.
    Page,
    /// The application says that the password is wrong.
    PasswordRejected,
    /// The application says that the code is wrong.
    CodeRejected,
    /// The application lets nobody in for a while, or has locked the account.
    Locked,
    /// The application says that it does not take the new password.
    Refused,
    /// A certificate is not trusted: no secret was typed after it was seen.
    Certificate,
    /// A host could not be reached, or may not be.
    Network,
    /// A person was asked for and did not come.
    Person,
    /// A script's dialogue that the template does not answer.
    Dialog,
    /// The daemon stopped the run.
    Stopped,
    /// The browser is gone.
    Browser,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(kind: FailureKind, committed: bool, proved: bool) -> WebVerdict {
        let none = String::new;
        WebVerdict::Failed(WebFailure {
            message: none(),
            line: 1,
            looked_for: none(),
            title: none(),
            location: none(),
            candidates: Vec::new(),
            committed,
            typed: true,
            proved,
            kind,
        })
    }

    #[test]
    fn a_login_is_taken_rejected_or_in_doubt_and_costs_nothing_where_nothing_was_judged() {
        use FailureKind::{Browser, CodeRejected, Dialog, Locked, Network, Page, PasswordRejected, Person, Refused};
        let ran = |committed, proved| WebVerdict::Ran { committed, proved };
        for (verdict, end) in [
            (ran(false, true), LoginEnd::Taken),
            (ran(true, false), LoginEnd::Taken),
            (ran(false, false), LoginEnd::Unanswered),
            (failed(PasswordRejected, false, false), LoginEnd::Rejected { code: false }),
            (failed(CodeRejected, false, false), LoginEnd::Rejected { code: true }),
            (failed(Locked, false, false), LoginEnd::NotJudged),
            (failed(Person, false, false), LoginEnd::NotJudged),
            (failed(Page, false, false), LoginEnd::Unanswered),
            (failed(Network, false, false), LoginEnd::Unanswered),
            (failed(Browser, false, false), LoginEnd::Unanswered),
            (failed(Dialog, false, false), LoginEnd::Unanswered),
            (failed(Page, false, true), LoginEnd::Taken),
            (failed(Browser, false, true), LoginEnd::Taken),
            (failed(Page, true, false), LoginEnd::Taken),
            (failed(Refused, true, true), LoginEnd::Taken),
            (failed(Refused, true, false), LoginEnd::Unanswered),
        ] {
            assert_eq!(verdict.login(true), end, "{verdict:?}");
            assert_eq!(verdict.login(false), LoginEnd::NotJudged, "{verdict:?}");
        }
    }
}

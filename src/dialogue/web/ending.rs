//! How a run fails, and what is told of it: the line, what was looked for, the page, and what is like it there.

use serde::Deserialize;
use serde_json::Value;

use super::action::{Action, FailureKind, Observation, Trouble, WebFailure, WebVerdict};
use super::look::{Challenge, PageError};
use super::nearest::{Seen, nearest};
use super::run::{State, WebRun};
use super::waiting::survey;
use super::{location, said};
use crate::template::web::Purpose;

/// A failure that is still to be told with what the page shows.
pub(super) struct Failing {
    what: String,
    selector: String,
    kind: FailureKind,
}

/// What a page has, as the operation `survey` of [`PAGE_SCRIPT`](super::PAGE_SCRIPT) tells it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Survey {
    url: String,
    pub(super) title: String,
    pub(super) text: String,
    said: Vec<String>,
    elements: Vec<Seen>,
    error: Option<PageError>,
    /// An element that may have a closed shadow tree, where there is one.
    closed: String,
    /// The status of the answer (RFC 9110, 15).
    status: u16,
    pub(super) challenge: Option<Challenge>,
}

impl Survey {
    /// What a page tells; nothing where it tells what cannot be read.
    pub(super) fn of(result: &Value) -> Self {
        Self::deserialize(result).unwrap_or_default()
    }

    /// What the page says in its messages; all of its text where it has none.
    pub(super) fn said_or_text(&self) -> String {
        if self.said.is_empty() { self.text.clone() } else { self.said.join("\n") }
    }
}

impl WebRun {
    /// Ends the run as failed, once the page was looked through.
    pub(super) fn fail(&mut self, _now: i64, what: String, selector: String, kind: FailureKind) -> Option<Action> {
        self.state = State::Failing(Box::new(Failing { what, selector, kind }));
        Some(survey())
    }

    pub(super) fn fail_by(&mut self, now: i64, trouble: Trouble) -> Option<Action> {
        let (what, kind) = match trouble {
            Trouble::Dialog(text) => {
                let text = self.shown(&text);
                (
                    format!(
                        "the page opens a dialogue, «{text}», and no line answers it; write accept-dialog or dismiss-dialog"
                    ),
                    FailureKind::Dialog,
                )
            }
            Trouble::NoDialog => ("no dialogue of the page is open".to_owned(), FailureKind::Page),
            Trouble::Missing => ("the element is not there".to_owned(), FailureKind::Page),
            Trouble::NotInteractable(why) => (
                format!("the element cannot be used: {}; jclick clicks by script", self.shown(&why)),
                FailureKind::Page,
            ),
            Trouble::Threw(why) => (format!("the script failed: {}", self.shown(&why)), FailureKind::Page),
            Trouble::Page(why) => return Some(self.page_error(&why, false, 0)),
            Trouble::Certificate(why) => return Some(self.page_error(&why, true, 0)),
            Trouble::Blocked(host) => (
                format!(
                    "the page wants to go to {}, which is neither the device's host nor one of its allow_hosts",
                    self.shown(&host)
                ),
                FailureKind::Network,
            ),
            Trouble::Left => ("the page was left meanwhile".to_owned(), FailureKind::Page),
            Trouble::Gone(why) => (format!("the browser is gone: {}", self.shown(&why)), FailureKind::Browser),
        };
        self.fail(now, what, String::new(), kind)
    }

    pub(super) fn page_error(&mut self, text: &str, certificate: bool, status: u16) -> Action {
        if status == 401 {
            // RFC 9110, 11.6.1: the browser would ask a person for name and password in a window of its own.
            let what = "the site asks for a name and a password by HTTP authentication (status 401), which rotord does not answer: no template can change that password in a page; have the site use a login form, or change the account on its host over SSH";
            return self.fail_now(what, FailureKind::Page);
        }
        let shown = match self.shown(text) {
            text if text.is_empty() && status > 0 => format!("the server answers with the HTTP status {status}"),
            text if text.is_empty() => "the browser shows an error page".to_owned(),
            text => text,
        };
        if certificate {
            let what =
                format!("the certificate of the page is not trusted ({shown}); set the device's ca_file or tls_sha256");
            self.fail_now(&what, FailureKind::Certificate)
        } else {
            self.fail_now(&format!("the page could not be loaded: {shown}"), FailureKind::Network)
        }
    }

    /// Ends the run as failed at once.
    pub(super) fn fail_now(&mut self, what: &str, kind: FailureKind) -> Action {
        let failing = Failing { what: what.to_owned(), selector: String::new(), kind };
        self.finish(
            failing,
            &Survey { url: self.seen.url.clone(), title: self.seen.title.clone(), ..Survey::default() },
            "",
        )
    }

    pub(super) fn failed(&mut self, heard: Option<Observation>, failing: Failing) -> Action {
        match heard {
            Some(Observation::Result(result)) => {
                let survey = Survey::of(&result);
                self.finish(failing, &survey, "")
            }
            Some(Observation::Trouble(Trouble::Dialog(text))) => {
                let text = self.shown(&text);
                let survey = Survey { url: self.seen.url.clone(), title: self.seen.title.clone(), ..Survey::default() };
                self.finish(failing, &survey, &format!("; the page has a dialogue open: «{text}»"))
            }
            _ => {
                let survey = Survey { url: self.seen.url.clone(), title: self.seen.title.clone(), ..Survey::default() };
                self.finish(failing, &survey, "")
            }
        }
    }

    /// What kind of failure the page's own words make it.
    fn judged(&self, kind: FailureKind, survey: &Survey) -> FailureKind {
        if !matches!(kind, FailureKind::Page | FailureKind::Refused) || !self.typed {
            return kind;
        }
        let said = survey.said_or_text();
        if self.committed && matches!(self.purpose, Purpose::Change | Purpose::Reconcile) {
            return if said::refuses(&said) { FailureKind::Refused } else { kind };
        }
        if self.sent && !self.proved { said::verdict(&said).unwrap_or(kind) } else { kind }
    }

    fn finish(&mut self, failing: Failing, survey: &Survey, more: &str) -> Action {
        let Failing { what, selector, kind } = failing;
        let kind = match &survey.error {
            Some(error) if kind == FailureKind::Page => {
                if error.certificate {
                    FailureKind::Certificate
                } else {
                    FailureKind::Network
                }
            }
            _ => self.judged(kind, survey),
        };
        let selector = self.shown(&selector);
        let candidates: Vec<String> = if selector.is_empty() {
            Vec::new()
        } else {
            nearest(&selector, &survey.elements).into_iter().map(|found| self.shown(&found)).collect()
        };
        let (title, location) = (self.shown(&survey.title), self.shown(location::without_query(&survey.url)));
        let line = self.line_number();
        let mut message = format!("template line {line}: {}", self.masker.shown(&what, 600));
        if !location.is_empty() {
            message.push_str(&format!("; the page is «{title}» at {location}"));
        }
        if survey.status >= 400 {
            message.push_str(&format!(", which was sent with the HTTP status {}", survey.status));
        }
        if let Some(said) = survey.said.first() {
            message.push_str(&format!("; it says «{}»", self.shown(said)));
        }
        if !candidates.is_empty() {
            message.push_str(&format!("; there is {}", candidates.join(", ")));
        }
        if candidates.is_empty() && !selector.is_empty() && !survey.closed.is_empty() {
            let closed = self.shown(&survey.closed);
            message.push_str(&format!("; {closed} may have a closed shadow tree, and no template reaches into one"));
        }
        message.push_str(more);
        self.state = State::Over;
        let verdict = WebVerdict::Failed(WebFailure {
            message,
            line,
            looked_for: selector,
            title,
            location,
            candidates,
            committed: self.committed,
            typed: self.typed,
            proved: self.proved,
            kind,
        });
        self.verdict = Some(verdict.clone());
        Action::Finish(verdict)
    }
}

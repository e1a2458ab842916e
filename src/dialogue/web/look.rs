//! What a look at a page tells, and what a line waits for in it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::location;
use crate::template::web::{Clicking, Plan, WebCommand};

/// A page, as the operation `look` of [`PAGE_SCRIPT`](super::PAGE_SCRIPT) tells it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Look {
    pub(super) url: String,
    pub(super) title: String,
    /// The document's `readyState`.
    pub(super) ready: String,
    /// A navigation has begun.
    pub(super) leaving: bool,
    /// Another text once something changed.
    pub(super) mark: String,
    pub(super) holds: Vec<bool>,
    pub(super) error: Option<PageError>,
    pub(super) challenge: Option<Challenge>,
    pub(super) element: Option<Element>,
}

/// Chromium's own page in place of one that it could not load.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct PageError {
    pub(super) certificate: bool,
    pub(super) text: String,
    /// The status of the answer that the browser's own page stands for; 0 without one.
    pub(super) status: u16,
}

/// A puzzle for a person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Challenge {
    pub(super) kind: String,
    pub(super) solved: bool,
}

/// The element that a line is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Element {
    pub(super) shown: bool,
    pub(super) disabled: bool,
    /// Characters that it takes at the most.
    pub(super) most: Option<usize>,
}

impl Element {
    /// Whether a line can be done with it.
    pub(super) fn fits(&self, command: &WebCommand) -> bool {
        match command {
            WebCommand::Prop(..) | WebCommand::Click(_, Clicking::Script) | WebCommand::Frame(_) => true,
            WebCommand::Check(..) => !self.disabled,
            _ => self.shown && !self.disabled,
        }
    }
}

impl Look {
    /// What a page tells; nothing where it tells what cannot be read.
    pub(super) fn of(result: &Value) -> Self {
        Self::deserialize(result).unwrap_or_default()
    }
}

/// What a line waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    Selector(Plan),
    Gone(Plan),
    Location(String),
    Text(String),
    NoText(String),
    /// In the page's text, also in what style hides.
    Markup(String),
    /// The page's puzzle is solved, or there is none any more.
    Solved,
}

impl Condition {
    /// How the page is asked for it. An address is compared here.
    pub(super) fn asked(&self) -> Value {
        match self {
            Self::Selector(plan) => json!({ "selector": plan }),
            Self::Gone(plan) => json!({ "gone": plan }),
            Self::Text(text) | Self::NoText(text) => json!({ "text": text }),
            Self::Markup(text) => json!({ "markup": text }),
            Self::Location(_) => json!({ "location": null }),
            Self::Solved => json!({ "solved": null }),
        }
    }

    /// Whether it holds, by the page's answer and its address.
    pub(super) fn holds(&self, answer: bool, url: &str) -> bool {
        match self {
            Self::Location(wanted) => location::matches(wanted, url),
            Self::NoText(_) => !answer,
            _ => answer,
        }
    }

    /// What it is, with the template's words for it.
    pub(super) fn in_words(&self, source: String) -> String {
        match self {
            Self::Selector(_) => format!("a visible {source}"),
            Self::Gone(_) => format!("a page without a visible {source}"),
            Self::Location(_) => format!("the address {source}"),
            Self::Text(_) | Self::Markup(_) => format!("the text \"{source}\""),
            Self::NoText(_) => format!("a page without the text \"{source}\""),
            Self::Solved => "a solved puzzle".to_owned(),
        }
    }
}

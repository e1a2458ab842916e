//! From what was done in a browser to a recording of it.

use std::fmt::Write;

use super::play::word;
use super::{Act, Ending, kind_name};
use crate::dialogue::web::FailureKind;
use crate::template::Text;
use crate::template::web::{DialogAnswer, Key, Purpose};

/// What was done that leads from a page to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebDeed {
    /// An address was opened.
    Opened(Text),
    /// An element was clicked, by its selector.
    Clicked(String),
    /// A key was pressed.
    Pressed(Key),
    /// A dialogue of the page was answered.
    Answered(DialogAnswer),
}

/// What happened in a browser. No secret stands in it: what was entered has its tags, and pages are masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebSaid {
    /// A page, as it was when something was done in it, or at the end.
    Page {
        /// Its address, with the tag of its host.
        url: Text,
        /// As `snapshot.js` tells it.
        html: String,
    },
    /// A field's content at the deed that follows.
    Held {
        /// The field.
        selector: String,
        /// What was entered.
        value: Text,
    },
    /// A dialogue opened.
    Asked(String),
    /// This was done.
    Did(WebDeed),
}

/// One session with an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebTake {
    /// What it shows.
    pub title: String,
    /// What it was for.
    pub purpose: Purpose,
    /// How it ended.
    pub ending: Ending,
    /// What kind of failure it was.
    pub kind: Option<FailureKind>,
    /// What happened.
    pub said: Vec<WebSaid>,
}

/// A page that is written once, whatever scenes show it.
struct Written<'a> {
    name: String,
    url: String,
    html: &'a str,
}

/// The recording of sessions with an application that was seen as told.
#[must_use]
pub fn write_web_recording(template: &str, seen: &str, takes: &[WebTake]) -> String {
    let mut pages: Vec<Written<'_>> = Vec::new();
    let mut scenes = String::new();
    for take in takes {
        let _ = writeln!(scenes, "\n@ scene {}", take.title);
        match take.purpose {
            Purpose::Proof | Purpose::Session => scenes.push_str("@ section verify\n"),
            Purpose::Reconcile => scenes.push_str("@ section reconcile\n"),
            Purpose::Change | Purpose::Abort => {}
        }
        if take.ending != Ending::Ran {
            let kind = take.kind.map(kind_name).filter(|name| *name != "another");
            let kind = kind.map_or_else(String::new, |name| format!(" {name}"));
            let _ = writeln!(scenes, "@ outcome {}{kind}", take.ending.name());
        }
        for (at, said) in take.said.iter().enumerate() {
            if at == 0 && is_opened_by_itself(&take.said) {
                continue;
            }
            let _ = match said {
                WebSaid::Page { url, html } => {
                    let name = name_of(&mut pages, url.to_string(), html);
                    writeln!(scenes, "< {name}")
                }
                WebSaid::Held { selector, value } => writeln!(scenes, "* {} {value}", word(selector)),
                WebSaid::Asked(text) => writeln!(scenes, "? {text}"),
                WebSaid::Did(deed) => writeln!(scenes, "> {deed}"),
            };
        }
    }
    let mut out = format!("@ template {template}\n@ seen {seen}\n");
    for Written { name, url, html } in pages {
        let _ = write!(out, "\n@ page {name} {url}\n{}\n", html.trim_end());
    }
    out.push_str(&scenes);
    out
}

/// Whether a session begins with a page at the very address that was opened.
fn is_opened_by_itself(said: &[WebSaid]) -> bool {
    match said {
        [WebSaid::Did(WebDeed::Opened(opened)), WebSaid::Page { url, .. }, ..] => opened.to_string() == url.to_string(),
        _ => false,
    }
}

/// The name of a page that is written already, or that of a new one.
fn name_of<'a>(pages: &mut Vec<Written<'a>>, url: String, html: &'a str) -> String {
    if let Some(known) = pages.iter().find(|page| page.url == url && page.html == html) {
        return known.name.clone();
    }
    let path = url.split("://").last().unwrap_or_default().split('?').next().unwrap_or_default();
    let part = path.split('/').skip(1).filter(|part| !part.is_empty()).last().unwrap_or("page");
    let part = part.trim_end_matches(".php").trim_end_matches(".html");
    let base: String =
        part.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let taken = |name: &str| pages.iter().any(|page| page.name == name);
    let numbered = (2..).map(|number| format!("{base}-{number}"));
    let name = std::iter::once(base.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(base.clone());
    pages.push(Written { name: name.clone(), url, html });
    name
}

impl std::fmt::Display for WebDeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Opened(url) => write!(f, "open {url}"),
            Self::Clicked(selector) => write!(f, "click {}", word(selector)),
            Self::Pressed(key) => write!(f, "press {}", key.name()),
            Self::Answered(answer) => Act::Dialog(*answer).fmt(f),
        }
    }
}

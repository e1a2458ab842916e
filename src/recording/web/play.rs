//! Plays a scene of a web application against a template, in virtual time and without a browser.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde_json::json;

use super::html::Id;
use super::page::{Answer, Page};
use super::{Act, Turn, WebRecording, WebScene, kind_name};
use crate::dialogue::Values;
use crate::dialogue::web::{Action, Observation, Trouble, WebFailure, WebRun, WebVerdict, resolve, same_address};
use crate::model::{Masker, Secret};
use crate::recording::play::{CODE, values};
use crate::recording::{Ending, Played};
use crate::template::web::{DialogAnswer, Key, Plan, Purpose, Selector};
use crate::template::{Checked, Text};

/// A run asks for no more than this.
const MOST_STEPS: usize = 50_000;
/// Each step takes so long, in milliseconds.
const STEP_MS: i64 = 5;

/// What a template did in a page that leads on.
#[derive(Debug, Clone, PartialEq)]
enum Done {
    Opened(String),
    Clicked(Id),
    Sent(Id),
    Pressed(Option<Key>),
    RanScript,
    Answered(DialogAnswer),
}

/// Plays a scene.
#[must_use]
pub fn play_web(template: &Arc<Checked>, recording: &WebRecording, scene: &WebScene) -> Played {
    let unplayed = |why: &str| Played { problem: Some(why.to_owned()), note: None, trace: Vec::new() };
    let Some(web) = template.web() else { return unplayed("the template is none for a web device") };
    let Some(program) = web.program(scene.purpose) else {
        return unplayed("the template has no section reconcile");
    };
    let proves = scene.purpose == Purpose::Proof;
    let values = values(template, proves, &scene.values);
    let run = WebRun::new(program, scene.purpose, values.clone(), Masker::default(), 0);
    let mut stage = Stage {
        run,
        values,
        recording,
        scene,
        at: 0,
        now: 0,
        page: None,
        shown: 0,
        accounted: BTreeSet::new(),
        dialog: None,
        problem: None,
        trace: Vec::new(),
    };
    let verdict = stage.play();
    let problem = stage.problem.take().or_else(|| stage.judge(verdict));
    Played { problem, note: None, trace: stage.trace }
}

struct Stage<'a> {
    run: WebRun,
    values: Values,
    recording: &'a WebRecording,
    scene: &'a WebScene,
    /// The next turn.
    at: usize,
    now: i64,
    page: Option<Page>,
    /// Pages shown so far.
    shown: usize,
    /// Fields of the page whose content the recording has told of.
    accounted: BTreeSet<Id>,
    dialog: Option<String>,
    problem: Option<String>,
    trace: Vec<String>,
}

impl Stage<'_> {
    fn play(&mut self) -> Option<WebVerdict> {
        let mut heard = Observation::Started;
        for _ in 0..MOST_STEPS {
            self.now += STEP_MS;
            let action = self.run.next(self.now, heard);
            self.trace.extend(self.run.notes());
            heard = match action {
                Action::Finish(verdict) => return Some(verdict),
                action => self.perform(&action),
            };
            if self.problem.is_some() {
                return None;
            }
        }
        self.problem = Some("the template does not come to an end".into());
        None
    }

    fn perform(&mut self, action: &Action) -> Observation {
        let about_page = matches!(
            action,
            Action::Page { .. }
                | Action::Keys { .. }
                | Action::Click { .. }
                | Action::Press { .. }
                | Action::Script { .. }
        );
        if let (Some(text), true) = (&self.dialog, about_page) {
            return Observation::Trouble(Trouble::Dialog(text.clone()));
        }
        match action {
            Action::Open { url } => self.open(url.expose()),
            Action::Code { .. } => Observation::Code(Secret::new(CODE.into())),
            Action::Commit { .. } => {
                self.trace.push("commit point: from here on the application may have the new password".into());
                Observation::Allowed
            }
            Action::Sleep { until } => {
                self.now = self.now.max(*until);
                Observation::Done
            }
            Action::Dialog { answer } if self.dialog.is_some() => self.does(Done::Answered(*answer)),
            Action::Dialog { .. } => Observation::Trouble(Trouble::NoDialog),
            Action::Person(_) => self.person(),
            Action::Page { call, not_before } => {
                self.now = self.now.max(*not_before);
                let Some(page) = &mut self.page else { return Observation::Trouble(Trouble::Left) };
                match page.call(call) {
                    Answer::Told(told) => Observation::Result(told),
                    Answer::Clicked(id) => self.click(id).unwrap_or_else(|| Observation::Result(json!({ "ok": true }))),
                    Answer::Sent { form, button } => {
                        self.does(button.map_or(Done::Sent(form), Done::Clicked));
                        Observation::Result(json!({ "ok": true }))
                    }
                }
            }
            action => self.by_hand(action),
        }
    }

    /// What is done with keys, pointer and frames.
    fn by_hand(&mut self, action: &Action) -> Observation {
        let Some(page) = &mut self.page else { return Observation::Trouble(Trouble::Left) };
        match action {
            Action::Keys { target, keys } => match page.one(target) {
                Some(id) => {
                    page.fill(id, keys.expose());
                    Observation::Done
                }
                None => Observation::Trouble(Trouble::Missing),
            },
            Action::Click { target } => match page.one(target) {
                Some(id) if page.is_shown(id) => self.click(id).unwrap_or(Observation::Done),
                Some(_) => Observation::Trouble(Trouble::NotInteractable("it is hidden".into())),
                None => Observation::Trouble(Trouble::Missing),
            },
            Action::Frame { target: None } => {
                page.frame = 0;
                Observation::Done
            }
            Action::Frame { target: Some(target) } => match page.one(target) {
                Some(id) if page.document.get(id).tag == "iframe" => {
                    page.frame = id;
                    Observation::Done
                }
                _ => Observation::Trouble(Trouble::Missing),
            },
            Action::Press { key } => {
                let key = Key::names().filter_map(Key::parse).find(|known| known.character() == *key);
                self.does(Done::Pressed(key))
            }
            Action::Script { .. } => {
                if self.takes(&Done::RanScript).is_some() {
                    self.does(Done::RanScript);
                } else {
                    self.trace.push("a script is not run here, and is taken to have succeeded".into());
                }
                Observation::Result(json!(true))
            }
            _ => Observation::Done,
        }
    }

    /// Clicks an element: what leads on is in the recording; boxes and fields of text need not be.
    fn click(&mut self, id: Id) -> Option<Observation> {
        let awaited = self.takes(&Done::Clicked(id)).is_some();
        let page = self.page.as_mut()?;
        let element = page.document.get(id);
        let kind = element.attribute("type").unwrap_or("text").to_owned();
        let is_box = element.tag == "input" && (kind == "checkbox" || kind == "radio");
        let is_field = element.tag == "textarea"
            || element.tag == "select"
            || element.tag == "input" && !["submit", "button", "image", "reset"].contains(&kind.as_str());
        if is_box {
            page.toggle(id);
        }
        if is_field && !awaited {
            page.focus = Some(id);
            return None;
        }
        Some(self.does(Done::Clicked(id)))
    }

    fn open(&mut self, url: &str) -> Observation {
        // The first page may simply be the one that is opened.
        if let (None, Some((_, Turn::Shows(name)))) = (&self.page, self.scene.turns.get(self.at)) {
            let page = self.recording.pages.get(name).map(|page| self.fill(&page.url)).unwrap_or_default();
            if same_address(url, &page) {
                self.trace.push(format!("opens {url}"));
                self.lead_on();
                return Observation::Done;
            }
            self.problem = Some(format!(
                "the template opens {url}, and the recording begins with {page}; where the one leads to the other, write '> open {url}' before"
            ));
            return Observation::Done;
        }
        self.does(Done::Opened(url.to_owned()))
    }

    fn person(&mut self) -> Observation {
        match self.next_act() {
            Some((at, Act::Person)) => {
                self.trace.push("a person has done it".into());
                self.at = at + 1;
                self.lead_on();
                Observation::PersonDone
            }
            _ => Observation::PersonGone,
        }
    }

    /// The next act of the recording and its place, where nothing is shown before it.
    fn next_act(&self) -> Option<(usize, &Act)> {
        let ahead = self.scene.turns.iter().enumerate().skip(self.at);
        let mut ahead = ahead.skip_while(|(_, (_, turn))| matches!(turn, Turn::Holds(..)));
        match ahead.next() {
            Some((at, (_, Turn::Does(act)))) => Some((at, act)),
            _ => None,
        }
    }

    /// The place of the recording's next act, if it is the one that was done.
    fn takes(&self, done: &Done) -> Option<usize> {
        let (at, act) = self.next_act()?;
        let is = match (act, done) {
            (Act::Open(url), Done::Opened(opened)) => {
                let here = self.page.as_ref().map_or("", |page| page.url.as_str());
                same_address(&resolve(here, &self.fill(url)), opened)
            }
            (Act::Click(selector), Done::Clicked(id)) => self.is(selector, *id),
            (Act::Click(selector), Done::Pressed(key)) => {
                // Enter presses the button of the form in whose field the cursor stands.
                let page = self.page.as_ref()?;
                let form = page.focus.and_then(|id| page.form_of(id));
                let button = form.and_then(|form| page.default_button(form));
                *key == Key::parse("Enter") && button.is_some_and(|button| self.is(selector, button))
            }
            (Act::Submit(selector), Done::Sent(form)) => self.is(selector, *form),
            (Act::Press(wanted), Done::Pressed(key)) => Some(*wanted) == *key,
            (Act::Script, Done::RanScript) => true,
            (Act::Dialog(wanted), Done::Answered(answer)) => wanted == answer,
            _ => false,
        };
        is.then_some(at)
    }

    /// Whether a selector means this element, or a label of it.
    fn is(&self, selector: &Selector, id: Id) -> bool {
        self.page.as_ref().and_then(|page| page.one(&self.plan(selector))) == Some(id)
    }

    /// The template did something: the recording's next act must be it, with the fields as they are to be.
    fn does(&mut self, done: Done) -> Observation {
        let told = self.told(&done);
        self.trace.push(told.clone());
        let Some(at) = self.takes(&done) else {
            let next = match self
                .scene
                .turns
                .get(self.at..)
                .and_then(|turns| turns.iter().find(|(_, turn)| !matches!(turn, Turn::Holds(..))))
            {
                Some((number, turn)) => format!("has '{turn}' (line {number})"),
                None => "is over".to_owned(),
            };
            self.problem = Some(format!("{}: the template {told}, where the recording {next}", self.place()));
            return Observation::Done;
        };
        self.problem = self.compare(at).map(|problem| format!("{}: {problem}", self.place()));
        self.at = at + 1;
        self.dialog = None;
        self.lead_on();
        Observation::Done
    }

    fn place(&self) -> String {
        format!("template line {}", self.run.line_number())
    }

    fn told(&self, done: &Done) -> String {
        let name = |id: Id| self.page.as_ref().map_or_else(String::new, |page| page.name_of(id));
        match done {
            Done::Opened(url) => format!("opens {url}"),
            Done::Clicked(id) => format!("clicks {}", name(*id)),
            Done::Sent(form) => format!("sends {}", name(*form)),
            Done::Pressed(key) => format!("presses {}", key.map_or("a key", Key::name)),
            Done::RanScript => "runs a script".into(),
            Done::Answered(DialogAnswer::Accept) => "accepts the dialogue".into(),
            Done::Answered(DialogAnswer::Dismiss) => "dismisses the dialogue".into(),
        }
    }

    /// What is wrong with the fields at the act at this place.
    fn compare(&mut self, to: usize) -> Option<String> {
        let turns = self.scene.turns.get(self.at..to)?;
        for (number, turn) in turns {
            let Turn::Holds(selector, value) = turn else { continue };
            let (plan, wanted) = (self.plan(selector), self.fill(value));
            let page = self.page.as_ref()?;
            let Some(id) = page.one(&plan) else {
                return Some(format!(
                    "line {number} of the recording tells of {selector}, and its page has no such field"
                ));
            };
            let found = page.value_of(id);
            if found != wanted {
                return Some(format!(
                    "{} holds {found:?}, and {wanted:?} by line {number} of the recording",
                    page.name_of(id)
                ));
            }
            self.accounted.insert(id);
        }
        let page = self.page.as_ref()?;
        let other = page.changed().into_iter().find(|id| !self.accounted.contains(id))?;
        let number = self.scene.turns.get(to).map_or(0, |(number, _)| *number);
        Some(format!(
            "the template fills {}, and the recording has no such line before line {number}",
            page.name_of(other)
        ))
    }

    /// Shows what follows an act.
    fn lead_on(&mut self) {
        if let Some((_, Turn::Asks(text))) = self.scene.turns.get(self.at) {
            self.dialog = Some(self.fill(text));
            self.at += 1;
        }
        let Some((_, Turn::Shows(name))) = self.scene.turns.get(self.at) else { return };
        let Some(page) = self.recording.pages.get(name) else { return };
        self.shown += 1;
        self.at += 1;
        let url = self.fill(&page.url);
        self.trace.push(format!("page {name}: {url}"));
        match page.document(|text| self.fill(text)) {
            Ok(document) => self.page = Some(Page::new(document, url, self.shown)),
            Err(why) => {
                self.problem = Some(format!("the page {name} cannot be read with the values of its tags: {why}"))
            }
        }
        self.accounted.clear();
    }

    fn fill(&self, text: &Text) -> String {
        self.values.fill(text, Some(&Secret::new(CODE.into()))).expose().to_owned()
    }

    fn plan(&self, selector: &Selector) -> Plan {
        selector.plan(|name, filter| {
            let tag = crate::template::Piece::Tag(name.to_owned(), filter);
            self.fill(&Text { pieces: vec![tag] })
        })
    }

    /// Whether it ended as the recording says, with nothing left to be done.
    fn judge(&self, verdict: Option<WebVerdict>) -> Option<String> {
        let wanted = self.scene.ending.unwrap_or(Ending::Ran);
        let (ending, failure) = match verdict? {
            WebVerdict::Ran { proved: false, .. } if self.scene.purpose == Purpose::Proof => {
                return Some(
                    "the login came to its end, and no test held that holds only behind it: it proves nothing".into(),
                );
            }
            WebVerdict::Ran { .. } => (Ending::Ran, None),
            WebVerdict::Failed(failure) => (ending_of(&failure), Some(failure)),
        };
        let why = failure.as_ref().map_or_else(String::new, |failure| format!(": {}", failure.message));
        if ending != wanted {
            return Some(format!("it ended '{}', and is recorded as '{}'{why}", ending.name(), wanted.name()));
        }
        if let (Some(kind), Some(failure)) = (self.scene.kind, &failure)
            && kind != failure.kind
        {
            let (found, wanted) = (kind_name(failure.kind), kind_name(kind));
            return Some(format!("it failed as '{found}', and is recorded as '{wanted}'{why}"));
        }
        let left = self.scene.turns.get(self.at..)?.iter().find(|(_, turn)| matches!(turn, Turn::Does(_)));
        left.map(|(number, turn)| format!("the template ended before line {number} of the recording: '{turn}'"))
    }
}

fn ending_of(failure: &WebFailure) -> Ending {
    match (failure.committed, failure.kind) {
        (false, _) => Ending::Failed,
        (true, crate::dialogue::web::FailureKind::Refused) => Ending::Refused,
        (true, _) => Ending::Broken,
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shows(page) => write!(f, "< {page}"),
            Self::Asks(text) => write!(f, "? {text}"),
            Self::Holds(selector, value) => write!(f, "* {} {value}", word(&selector.to_string())),
            Self::Does(act) => write!(f, "> {act}"),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(url) => write!(f, "open {url}"),
            Self::Click(selector) => write!(f, "click {}", word(&selector.to_string())),
            Self::Submit(selector) => write!(f, "submit {}", word(&selector.to_string())),
            Self::Press(key) => write!(f, "press {}", key.name()),
            Self::Script => f.write_str("script"),
            Self::Dialog(DialogAnswer::Accept) => f.write_str("accept-dialog"),
            Self::Dialog(DialogAnswer::Dismiss) => f.write_str("dismiss-dialog"),
            Self::Person => f.write_str("person"),
        }
    }
}

/// A word of a line: in quotes where it has blanks or quotes of its own.
pub(super) fn word(text: &str) -> String {
    if text.contains([' ', '"', '\\']) {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        text.to_owned()
    }
}

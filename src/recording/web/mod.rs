//! Recordings of web applications: pages as they were shown, and in scenes what leads from one to the next.
//!
//! A recording is one file, as that of a terminal is: a page is short once scripts, styles and pictures are left out, and who
//! reads a scene wants the page beside it. It is played without a browser and without the application.

mod draft;
mod html;
mod matching;
mod page;
mod play;
#[cfg(test)]
mod tests;
mod write;

pub use draft::draft_web_template;
pub use play::play_web;
pub use write::{WebDeed, WebSaid, WebTake, write_web_recording};

use std::collections::BTreeMap;
use std::path::Path;

use html::{Document, escaped};

use super::{Ending, Evidence, MAX_BYTES};
use crate::dialogue::web::FailureKind;
use crate::model::{Problem, Severity, nearest, numbered_lines};
use crate::template::web::{DialogAnswer, Key, Purpose, Selector};
use crate::template::{Piece, Text, tagged_text};

/// What leads from a page to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// `open ADDRESS`: relative to the page's.
    Open(Text),
    /// `click SELECTOR`: also a form that is sent by this button.
    Click(Selector),
    /// `submit SELECTOR`: a form that has no button.
    Submit(Selector),
    /// `press KEY`.
    Press(Key),
    /// `script`: a script of the template.
    Script,
    /// `accept-dialog`, `dismiss-dialog`.
    Dialog(DialogAnswer),
    /// `person`: a person does what the page asks for.
    Person,
}

/// What happens next in a recorded session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// This page is shown.
    Shows(String),
    /// The page opens a dialogue with this text.
    Asks(Text),
    /// When the next act comes, this field holds this.
    Holds(Selector, Text),
    /// The template does this.
    Does(Act),
}

/// A page of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RecordedPage {
    url: Text,
    /// Its HTML, in which tags stand for their values.
    html: Text,
    /// It was seen in the application; else it is assumed.
    seen: Option<String>,
}

/// One session of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebScene {
    /// What it shows.
    pub title: String,
    /// What the template is played for.
    pub purpose: Purpose,
    /// How it ends: `ran` where the recording does not state it.
    pub ending: Option<Ending>,
    /// What kind of failure it is, where the recording states it.
    pub kind: Option<FailureKind>,
    /// Tag values that this scene needs.
    pub values: Vec<(String, String)>,
    /// What happens, each with its line in the file.
    pub(super) turns: Vec<(usize, Turn)>,
}

/// A file of recorded sessions with a web application.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebRecording {
    /// The template that it is of, where the file says so.
    pub template: Option<String>,
    /// Its sessions.
    pub scenes: Vec<WebScene>,
    pub(super) pages: BTreeMap<String, RecordedPage>,
}

impl RecordedPage {
    /// The page with the values of its tags.
    fn document(&self, value: impl Fn(&Text) -> String) -> Result<Document, String> {
        let filled = self.html.pieces.iter().map(|piece| match piece {
            Piece::Literal(html) => html.clone(),
            tag @ Piece::Tag(..) => escaped(&value(&Text { pieces: vec![tag.clone()] })),
        });
        Document::parse(&filled.collect::<String>()).map_err(|(_, why)| why)
    }
}

impl WebRecording {
    /// How many of its pages were seen, and where.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        let mut sources: Vec<String> = self.pages.values().filter_map(|page| page.seen.clone()).collect();
        let seen = sources.len();
        sources.sort();
        sources.dedup();
        Evidence { seen, lines: self.pages.len(), sources, now: false }
    }
}

const DIRECTIVES: [&str; 8] = ["template", "page", "scene", "section", "outcome", "set", "seen", "assumed"];
const ACTS: [&str; 8] = ["open", "click", "submit", "press", "script", "accept-dialog", "dismiss-dialog", "person"];

/// The kinds of failures that a recording can state.
const KINDS: [(&str, FailureKind); 6] = [
    ("page", FailureKind::Page),
    ("wrong-password", FailureKind::PasswordRejected),
    ("wrong-code", FailureKind::CodeRejected),
    ("locked", FailureKind::Locked),
    ("dialog", FailureKind::Dialog),
    ("person", FailureKind::Person),
];

/// The name of a kind of failure in a recording.
pub(super) fn kind_name(kind: FailureKind) -> &'static str {
    KINDS.iter().find(|(_, known)| *known == kind).map_or("another", |(name, _)| name)
}

/// Whether a text is a recording of a web application: it has a page.
#[must_use]
pub fn is_web_recording(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("@ page "))
}

/// A page that is being read.
struct Open {
    name: String,
    url: Text,
    seen: Option<String>,
    /// Where its first line begins.
    from: usize,
}

type Slip = (&'static str, String);

struct Reader {
    recording: WebRecording,
    /// Where the pages that follow were seen.
    seen: Option<String>,
    open: Option<Open>,
    /// Pages that scenes show, with the place of the line.
    shown: Vec<(String, std::ops::Range<usize>)>,
}

/// Reads a recording of a web application: what could be read, and every problem.
#[must_use]
pub fn parse_web(file: &Path, text: &str) -> (WebRecording, Vec<Problem>) {
    let mut problems = Vec::new();
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; a recording may have {MAX_BYTES}", text.len());
        problems.push(Problem::at(file, "", 0..0, Severity::Error, "R001", message));
        return (WebRecording::default(), problems);
    }
    let mut tell = |span: std::ops::Range<usize>, code: &str, message: String| {
        problems.push(Problem::at(file, text, span, Severity::Error, code, message));
    };
    let mut reader = Reader { recording: WebRecording::default(), seen: None, open: None, shown: Vec::new() };
    for (number, start, line) in numbered_lines(text) {
        let is_directive = line.starts_with("@ ");
        if is_directive {
            reader.close(text, start, &mut tell);
        }
        if reader.open.is_some() || line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let span = start..start + line.trim_end().len();
        let next = start + line.len() + 1;
        if let Err((code, message)) = reader.take(number, line, span.clone(), next.min(text.len())) {
            tell(span, code, message);
        }
    }
    reader.close(text, text.len(), &mut tell);
    let Reader { recording, shown, .. } = reader;
    for (name, span) in shown.into_iter().filter(|(name, _)| !recording.pages.contains_key(name)) {
        let hint = nearest(&name, recording.pages.keys().map(String::as_str));
        let hint = hint.map_or_else(String::new, |known| format!("; did you mean '{known}'?"));
        tell(span, "R005", format!("there is no page '{}'{hint}", name.escape_debug()));
    }
    if recording.scenes.is_empty() && problems.is_empty() {
        let message = "there is no scene; begin one with '@ scene what it shows'";
        problems.push(Problem::at(file, text, 0..0, Severity::Error, "R002", message));
    }
    (recording, problems)
}

impl Reader {
    /// Ends the page that is open, before this place.
    fn close(&mut self, text: &str, end: usize, tell: &mut impl FnMut(std::ops::Range<usize>, &str, String)) {
        let Some(Open { name, url, seen, from }) = self.open.take() else { return };
        let html = text.get(from..end).unwrap_or_default();
        let read = Document::parse(html).and_then(|_| tagged_text(html).map_err(|why| (0, why)));
        match read {
            Ok(html) => {
                let page = RecordedPage { url, html, seen };
                if self.recording.pages.insert(name.clone(), page).is_some() {
                    tell(
                        from..from,
                        "R005",
                        format!("the page '{}' stands here for the second time", name.escape_debug()),
                    );
                }
            }
            Err((at, why)) => {
                let at = from + at;
                let line_end = text[at..].find('\n').map_or(text.len(), |end| at + end);
                tell(at..line_end, "R006", why);
            }
        }
    }

    fn take(&mut self, number: usize, line: &str, span: std::ops::Range<usize>, next: usize) -> Result<(), Slip> {
        let mut chars = line.chars();
        let mark = chars.next().unwrap_or(' ');
        let rest = chars.as_str().trim();
        let turn = match mark {
            '@' => return self.directive(rest, next),
            '<' => {
                self.shown.push((rest.to_owned(), span));
                Turn::Shows(rest.to_owned())
            }
            '?' => Turn::Asks(tagged(rest)?),
            '*' => {
                let (selector, value) = first_word(rest)?;
                Turn::Holds(selector_of(&selector)?, tagged(&first_whole(value)?)?)
            }
            '>' => Turn::Does(act(rest)?),
            _ => {
                let message = "a line begins with '<' (a page is shown), '?' (it opens a dialogue), '*' (a field holds a value), '>' (the template does this), '@' or '#'; a page's HTML stands behind '@ page NAME ADDRESS'";
                return Err(("R003", message.into()));
            }
        };
        self.scene()?.turns.push((number, turn));
        Ok(())
    }

    fn scene(&mut self) -> Result<&mut WebScene, Slip> {
        let none = || ("R002", "no scene has begun; write '@ scene what it shows' first".to_owned());
        self.recording.scenes.last_mut().ok_or_else(none)
    }

    fn directive(&mut self, text: &str, next: usize) -> Result<(), Slip> {
        let (name, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let value = value.trim();
        let slip = |message: String| Err(("R004", message));
        match name {
            "template" => self.recording.template = Some(value.to_owned()),
            "page" => {
                let Some((name, url)) = value.split_once(char::is_whitespace) else {
                    return slip("a page has a name and an address: @ page login https://[#HOSTNAME#]/login".into());
                };
                let (name, url) = (name.to_owned(), tagged(url.trim())?);
                self.open = Some(Open { name, url, seen: self.seen.clone(), from: next });
            }
            "scene" => self.recording.scenes.push(WebScene {
                title: value.to_owned(),
                purpose: Purpose::Change,
                ending: None,
                kind: None,
                values: Vec::new(),
                turns: Vec::new(),
            }),
            "section" => {
                self.scene()?.purpose = match value {
                    "change" => Purpose::Change,
                    "verify" => Purpose::Proof,
                    "reconcile" => Purpose::Reconcile,
                    _ => return slip("the sections are change, verify (the login alone) and reconcile".into()),
                };
            }
            "outcome" => {
                let (ending, kind) = outcome(value)?;
                let scene = self.scene()?;
                (scene.ending, scene.kind) = (Some(ending), kind);
            }
            "set" => {
                let (tag, value) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
                self.scene()?.values.push((tag.to_ascii_uppercase(), value.trim().to_owned()));
            }
            "seen" if value.is_empty() => {
                return slip("say where the pages that follow were seen: @ seen SOURCE".into());
            }
            "seen" => self.seen = Some(value.to_owned()),
            "assumed" => self.seen = None,
            other => {
                let hint = nearest(other, DIRECTIVES).map_or_else(
                    || format!("they are {}", DIRECTIVES.join(", ")),
                    |known| format!("did you mean '{known}'?"),
                );
                return slip(format!("unknown '@ {}'; {hint}", other.escape_debug()));
            }
        }
        Ok(())
    }
}

fn outcome(value: &str) -> Result<(Ending, Option<FailureKind>), Slip> {
    let (ending, kind) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
    let ending =
        Ending::parse(ending).ok_or_else(|| ("R004", format!("the outcomes are {}", Ending::NAMES.join(", "))))?;
    let kind = kind.trim();
    let found = KINDS.iter().find(|(name, _)| *name == kind).map(|(_, kind)| *kind);
    if found.is_none() && !kind.is_empty() {
        let known: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
        return Err(("R004", format!("what failed is one of {}", known.join(", "))));
    }
    Ok((ending, found))
}

fn tagged(text: &str) -> Result<Text, Slip> {
    tagged_text(text).map_err(|message| ("R003", message))
}

fn selector_of(text: &str) -> Result<Selector, Slip> {
    Selector::parse(&tagged(text)?).map_err(|message| ("R003", message))
}

/// The first word of a line, in quotes where blanks stand in it, and what is behind it.
fn first_word(line: &str) -> Result<(String, &str), Slip> {
    let Some(quoted) = line.strip_prefix('"') else {
        let end = line.find(char::is_whitespace).unwrap_or(line.len());
        return Ok((line[..end].to_owned(), line[end..].trim_start()));
    };
    let (mut word, mut chars) = (String::new(), quoted.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((word, quoted[at + 1..].trim_start())),
            '\\' => word.extend(chars.next().map(|(_, c)| c)),
            c => word.push(c),
        }
    }
    Err(("R003", "the quote is never closed".into()))
}

/// A line as one word: its quotes are taken off where it has any.
fn first_whole(line: &str) -> Result<String, Slip> {
    if !line.starts_with('"') {
        return Ok(line.to_owned());
    }
    match first_word(line)? {
        (word, "") => Ok(word),
        _ => Err(("R003", "something stands behind the quotes".into())),
    }
}

fn act(line: &str) -> Result<Act, Slip> {
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = first_whole(rest.trim())?;
    Ok(match name {
        "open" => Act::Open(tagged(&rest)?),
        "click" => Act::Click(selector_of(&rest)?),
        "submit" => Act::Submit(selector_of(&rest)?),
        "press" => {
            let known = || ("R003", format!("the keys are {}", Key::names().collect::<Vec<_>>().join(", ")));
            Act::Press(Key::parse(&rest).ok_or_else(known)?)
        }
        "script" => Act::Script,
        "accept-dialog" => Act::Dialog(DialogAnswer::Accept),
        "dismiss-dialog" => Act::Dialog(DialogAnswer::Dismiss),
        "person" => Act::Person,
        other => {
            let hint = nearest(other, ACTS)
                .map_or_else(|| format!("they are {}", ACTS.join(", ")), |known| format!("did you mean '{known}'?"));
            return Err(("R003", format!("unknown '> {}'; {hint}", other.escape_debug())));
        }
    })
}

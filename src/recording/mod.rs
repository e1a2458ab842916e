//! Recorded dialogues with devices, as plain text that a person can write, and what plays them against a template.
//!
//! Pure. The format is described for users in `docs/templates.md`.

mod manner;
mod play;
#[cfg(test)]
mod tests;
mod web;
mod write;

pub use manner::Manner;
pub use play::{Played, play, play_all};
pub use web::{
    WebDeed, WebRecording, WebSaid, WebScene, WebTake, draft_web_template, is_web_recording, parse_web, play_web,
    write_web_recording,
};
pub use write::{Said, TYPED_SECRET, draft_template, write_recording};

use std::path::Path;

use crate::model::{Problem, Severity, nearest, numbered_lines};
use crate::template::{Section, Text, tagged_text};

/// A recording longer than this is refused, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// What happens next in a recorded session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// The device prints this; a line has its line end in it.
    Prints(Text),
    /// The template sends this.
    Takes {
        /// Without its line end.
        text: Text,
        /// Whether a line end follows.
        line: bool,
        /// Whether the device shows it.
        echoed: bool,
    },
    /// Nothing comes for so many milliseconds.
    Silence(i64),
    /// The device closes the session.
    Closes,
}

/// How a scene is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// `ran`: the template came to its end.
    Ran,
    /// `failed`: it failed before the new password was sent.
    Failed,
    /// `refused`: the device said that it does not take the new password.
    Refused,
    /// `broken`: it failed after the new password was sent, and nothing says why.
    Broken,
}

impl Ending {
    const NAMES: [&'static str; 4] = ["ran", "failed", "refused", "broken"];

    fn parse(name: &str) -> Option<Self> {
        match name {
            "ran" => Some(Self::Ran),
            "failed" => Some(Self::Failed),
            "refused" => Some(Self::Refused),
            "broken" => Some(Self::Broken),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ran => "ran",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Broken => "broken",
        }
    }
}

/// One session of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scene {
    /// What it shows.
    pub title: String,
    /// The section of the template that is played.
    pub section: Section,
    /// How it ends, where the recording states it.
    pub ending: Option<Ending>,
    /// Tag values that this scene needs.
    pub values: Vec<(String, String)>,
    /// What happens, each with its line in the file.
    pub turns: Vec<(usize, Turn)>,
    /// Where the device's lines are from.
    pub evidence: Evidence,
}

impl Scene {
    /// Whether it ends where the device waits, with no outcome stated: nothing is recorded of what follows.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let mut last = self.turns.iter().rev().map(|(_, turn)| turn);
        let waits = matches!(last.next(), Some(Turn::Silence(_)));
        self.ending.is_none() && waits && matches!(last.next(), Some(Turn::Prints(_)))
    }
}

/// How many of the lines that a device prints were seen, in a transcript or in the source text of what prints them; the
/// others are assumed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Lines that were seen.
    pub seen: usize,
    /// Lines that the device prints.
    pub lines: usize,
    /// Where they were seen, in order.
    pub sources: Vec<String>,
    /// The lines that follow were seen.
    now: bool,
}

/// A file of recorded sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    /// The template that it is of, where the file says so.
    pub template: Option<String>,
    /// Its sessions.
    pub scenes: Vec<Scene>,
}

const DIRECTIVES: [&str; 9] = ["template", "scene", "section", "outcome", "set", "silence", "close", "seen", "assumed"];

/// Reads a recording: what could be read, and every problem.
#[must_use]
pub fn parse(file: &Path, text: &str) -> (Recording, Vec<Problem>) {
    let mut recording = Recording::default();
    let mut problems = Vec::new();
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; a recording may have {MAX_BYTES}", text.len());
        problems.push(Problem::at(file, "", 0..0, Severity::Error, "R001", message));
        return (recording, problems);
    }
    for (number, start, line) in numbered_lines(text) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Err((code, message)) = take(&mut recording, number, line) {
            let span = start..start + line.trim_end().len();
            problems.push(Problem::at(file, text, span, Severity::Error, code, message));
        }
    }
    if recording.scenes.is_empty() && problems.is_empty() {
        let message = "there is no scene; begin one with '@ scene what it shows'";
        problems.push(Problem::at(file, text, 0..0, Severity::Error, "R002", message));
    }
    (recording, problems)
}

type Slip = (&'static str, String);

fn take(recording: &mut Recording, number: usize, line: &str) -> Result<(), Slip> {
    let mut chars = line.chars();
    let mark = chars.next().unwrap_or(' ');
    let rest = chars.as_str();
    let content = rest.strip_prefix(' ').unwrap_or(rest);
    if mark == '@' {
        return directive(recording, number, content.trim());
    }
    // A bar at the end keeps the blanks before it, and is none of the text.
    let content = content.strip_suffix('|').unwrap_or(content);
    let text = |content: &str| tagged_text(content).map_err(|message| ("R003", message));
    let turn = match mark {
        '<' => Turn::Prints(text(&format!("{content}\r\n"))?),
        '?' => Turn::Prints(text(content)?),
        '>' => Turn::Takes { text: text(content)?, line: true, echoed: true },
        '*' => Turn::Takes { text: text(content)?, line: true, echoed: false },
        '+' => Turn::Takes { text: text(content)?, line: false, echoed: false },
        _ => {
            let message = "a line begins with '<' (the device prints a line), '?' (a prompt), '>' (a line is sent and shown), '*' (sent and not shown), '+' (sent without a line end), '@' or '#'";
            return Err(("R003", message.into()));
        }
    };
    let scene = scene(recording)?;
    if matches!(turn, Turn::Prints(_)) {
        scene.evidence.lines += 1;
        scene.evidence.seen += usize::from(scene.evidence.now);
    }
    scene.turns.push((number, turn));
    Ok(())
}

fn scene(recording: &mut Recording) -> Result<&mut Scene, Slip> {
    recording
        .scenes
        .last_mut()
        .ok_or_else(|| ("R002", "no scene has begun; write '@ scene what it shows' first".into()))
}

fn directive(recording: &mut Recording, number: usize, text: &str) -> Result<(), Slip> {
    let (name, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let value = value.trim();
    match name {
        "template" => recording.template = Some(value.to_owned()),
        "scene" => recording.scenes.push(Scene {
            title: value.to_owned(),
            section: Section::Change,
            ending: None,
            values: Vec::new(),
            turns: Vec::new(),
            evidence: Evidence::default(),
        }),
        "section" => {
            let section = Section::parse(value)
                .ok_or_else(|| ("R004", format!("the sections are {}", Section::NAMES.join(", "))))?;
            scene(recording)?.section = section;
        }
        "outcome" => {
            let ending = Ending::parse(value)
                .ok_or_else(|| ("R004", format!("the outcomes are {}", Ending::NAMES.join(", "))))?;
            scene(recording)?.ending = Some(ending);
        }
        "set" => {
            let (tag, value) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
            scene(recording)?.values.push((tag.to_ascii_uppercase(), value.trim().to_owned()));
        }
        "silence" => {
            let seconds: f64 = value
                .parse()
                .ok()
                .filter(|seconds| (0.0..=3600.0).contains(seconds))
                .ok_or_else(|| ("R004", "seconds are needed here: a number from 0 to 3600".to_owned()))?;
            #[allow(clippy::cast_possible_truncation)] // At most 3,600,000.
            scene(recording)?.turns.push((number, Turn::Silence((seconds * 1000.0) as i64)));
        }
        "seen" if value.is_empty() => {
            return Err(("R004", "say where the lines that follow were seen: @ seen SOURCE".into()));
        }
        "seen" => {
            let evidence = &mut scene(recording)?.evidence;
            evidence.now = true;
            evidence.sources.push(value.to_owned());
        }
        "assumed" => scene(recording)?.evidence.now = false,
        "close" => scene(recording)?.turns.push((number, Turn::Closes)),
        other => {
            let hint = nearest(other, DIRECTIVES).map_or_else(
                || format!("they are {}", DIRECTIVES.join(", ")),
                |known| format!("did you mean '{known}'?"),
            );
            return Err(("R004", format!("unknown '@ {}'; {hint}", other.escape_debug())));
        }
    }
    Ok(())
}

//! From a conversation that a person had with a device to a recording of it, and to the draft of a template.

use std::fmt::Write;

use crate::template::{Command, Piece, Text};

/// The tag that stands in records for a secret that a person typed and the vault does not have.
pub const TYPED_SECRET: &str = "SECRET";

/// What was said, in order. No secret stands in it: what was sent has its tags, what was printed is masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The device printed this.
    Printed {
        /// Masked.
        text: String,
        /// Milliseconds since the shell was opened.
        at_ms: i64,
    },
    /// The person sent this line.
    Sent(Text),
    /// This happened in a browser.
    Web(super::WebSaid),
}

/// One step of the conversation: what stood there before a line was sent, and that line.
struct Turn<'a> {
    /// Lines that the device printed.
    lines: Vec<&'a str>,
    /// The line that is not ended: a prompt.
    prompt: &'a str,
    /// The longest that nothing came before it, in milliseconds.
    silence_ms: i64,
    /// What was sent then, and whether the device showed it.
    sent: Option<(&'a Text, bool)>,
}

/// A pause that is worth a line in the recording, in milliseconds.
const LONG_MS: i64 = 2_000;

fn printed_between(said: &[Said]) -> (Vec<(String, i64)>, Vec<&Text>) {
    let (mut blocks, mut sent) = (vec![(String::new(), 0)], Vec::new());
    let mut last = 0;
    for part in said {
        match part {
            Said::Printed { text, at_ms } => {
                if let Some((block, silence)) = blocks.last_mut() {
                    *silence = (*silence).max(at_ms - last);
                    block.push_str(text);
                }
                last = *at_ms;
            }
            Said::Web(_) => {}
            Said::Sent(text) => {
                sent.push(text);
                blocks.push((String::new(), 0));
            }
        }
    }
    (blocks, sent)
}

fn turns<'a>(blocks: &'a [(String, i64)], sent: &[&'a Text]) -> Vec<Turn<'a>> {
    let mut turns: Vec<Turn<'a>> = Vec::new();
    for (at, (block, silence_ms)) in blocks.iter().enumerate() {
        let mut text = block.as_str();
        // What the device showed of the line before belongs to that line.
        if let Some((before, echoed)) = turns.last_mut().and_then(|turn| turn.sent.as_mut()) {
            let shown = before.to_string();
            if let Some(rest) = text.strip_prefix(shown.trim_end()).filter(|_| !shown.trim().is_empty()) {
                *echoed = true;
                text = rest;
            }
            text = text.strip_prefix('\n').unwrap_or(text);
        }
        let (lines, prompt) =
            text.rsplit_once('\n').map_or((Vec::new(), text), |(lines, prompt)| (lines.split('\n').collect(), prompt));
        turns.push(Turn { lines, prompt, silence_ms: *silence_ms, sent: sent.get(at).map(|text| (*text, false)) });
    }
    turns
}

/// The recording of a conversation, as one scene.
#[must_use]
pub fn write_recording(template: &str, title: &str, said: &[Said]) -> String {
    let (blocks, sent) = printed_between(said);
    let mut out = format!("@ template {template}\n\n@ scene {title}\n");
    for turn in turns(&blocks, &sent) {
        if turn.silence_ms >= LONG_MS {
            let _ = writeln!(out, "@ silence {}", turn.silence_ms / 1000);
        }
        for line in &turn.lines {
            let _ = writeln!(out, "<{}{}", if line.is_empty() { "" } else { " " }, barred(line));
        }
        if !turn.prompt.is_empty() {
            let _ = writeln!(out, "? {}", barred(turn.prompt));
        }
        if let Some((text, echoed)) = turn.sent {
            let _ = writeln!(out, "{} {text}", if echoed { '>' } else { '*' });
        }
    }
    out
}

/// A bar keeps blanks at the end, and a bar that is there.
fn barred(line: &str) -> String {
    if line.ends_with([' ', '\t', '|']) { format!("{line}|") } else { line.to_owned() }
}

/// The draft of a template that would say the same.
#[must_use]
pub fn draft_template(about: &str, said: &[Said]) -> String {
    let (blocks, sent) = printed_between(said);
    let turns = turns(&blocks, &sent);
    let slowest = turns.iter().map(|turn| turn.silence_ms).max().unwrap_or(0);
    let mut out = format!(
        "# {about}\ninfo vendor \"?\"\ninfo product \"?\"\ninfo tested \"recorded from a person's own change\"\nset-ssh-version 2\nset-connect-timeout 10\nset-read-timeout {}\n",
        15.max(slowest / 1000 * 3)
    );
    for turn in &turns {
        let Some((text, _)) = turn.sent else { continue };
        let seen = turn.prompt.trim_end();
        if seen.ends_with(['#', '$', '>', '%']) {
            let _ = writeln!(out, "expect-regex \"/[#$>%] ?$/\"");
        } else if !seen.is_empty() {
            let pieces = vec![Piece::Literal(format!("*{}", seen.trim_start()))];
            let _ = writeln!(out, "{}", Command::Expect(Text { pieces }));
        }
        let _ = writeln!(out, "{}", Command::Exec(text.clone()));
    }
    out.push_str("end\n");
    out
}

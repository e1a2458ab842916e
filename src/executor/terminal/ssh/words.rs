//! What a device says besides prompts and output: lines before its version string (RFC 4253, section 4.2), banners
//! (RFC 4252, section 5.4), and the reason with which it hangs up (RFC 4253, section 11.1).
//!
//! Everything here is the device's text: bounded, not masked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::dialogue::shown_prompt;

/// Bytes of text that are kept for one connection. The oldest goes first: a notice of refusal comes after a legal one.
const MOST_BYTES: usize = 16 * 1024;
/// Bytes of one text.
const MOST_TEXT: usize = 4 * 1024;
/// Characters of all texts together that an error quotes.
const MOST_SHOWN: usize = 600;

/// Bytes of what a device says of itself before the login.
const MOST_GREETING: usize = 8 * 1024;

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// The device sent `SSH_MSG_DISCONNECT`: its text and the name of the reason.
    HungUp(String),
    /// It left no method with which the login could go on, which is a refusal.
    NoMethods,
    /// The device sent a message that the library cannot decode, and the library gave up.
    Unreadable,
    /// The connection was lost or cut: why, in words.
    Lost(String),
    /// It was closed without a word.
    Closed,
}

/// Texts of one connection, shared between the tasks that read it.
#[derive(Debug, Clone, Default)]
pub(super) struct Words(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    texts: VecDeque<String>,
    /// The version string and what was said first, which nobody takes away.
    greeting: String,
    bytes: usize,
    ended: Option<Ended>,
    refused_channel: Option<String>,
}

impl Kept {
    fn greet(&mut self, text: &str) {
        if self.greeting.len() + text.len() < MOST_GREETING {
            self.greeting.push_str(text);
            self.greeting.push('\n');
        }
    }
}

impl Words {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a text. Empty ones say nothing.
    pub(super) fn add(&self, text: &str) {
        let text = cut(text.trim_matches(['\r', '\n', '\0']), MOST_TEXT);
        if text.trim().is_empty() {
            return;
        }
        let mut kept = self.kept();
        kept.greet(text);
        kept.bytes += text.len();
        kept.texts.push_back(text.to_owned());
        while kept.bytes > MOST_BYTES {
            let gone = kept.texts.pop_front().map_or(kept.bytes, |gone| gone.len());
            kept.bytes -= gone;
        }
    }

    /// Keeps the version string.
    pub(super) fn version(&self, line: &str) {
        self.kept().greet(line.trim_end());
    }

    /// The version string and what was said first.
    pub(super) fn greeting(&self) -> String {
        self.kept().greeting.clone()
    }

    /// Keeps how the connection ended, and the device's reason among its texts.
    pub(super) fn ended(&self, how: Ended) {
        if let Ended::HungUp(reason) = &how {
            self.add(reason);
        }
        self.kept().ended = Some(how);
    }

    /// How the connection ended; `None` while it stands.
    pub(super) fn end(&self) -> Option<Ended> {
        self.kept().ended.clone()
    }

    /// Keeps why a channel was not opened.
    pub(super) fn channel_refused(&self, why: String) {
        self.kept().refused_channel = Some(why);
    }

    /// Why the last channel was not opened, once.
    pub(super) fn take_refused_channel(&self) -> Option<String> {
        self.kept().refused_channel.take()
    }

    /// All texts since this was last asked.
    pub(super) fn take(&self) -> Vec<String> {
        let mut kept = self.kept();
        kept.bytes = 0;
        std::mem::take(&mut kept.texts).into()
    }

    /// All texts in one line, for an error that quotes them; `None` where nothing was said.
    pub(super) fn shown(&self) -> Option<String> {
        let kept = self.kept();
        let all = kept.texts.iter().map(|text| shown_prompt(text, MOST_SHOWN)).collect::<Vec<_>>().join(" / ");
        (!all.is_empty()).then(|| shown_prompt(&all, MOST_SHOWN))
    }
}

/// The beginning of a text, of this many bytes at the most.
fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

/// The reason codes of `SSH_MSG_DISCONNECT` (RFC 4253, section 11.1), by number.
const REASONS: [&str; 16] = [
    "",
    "host not allowed to connect",
    "protocol error",
    "key exchange failed",
    "reserved",
    "MAC error",
    "compression error",
    "service not available",
    "protocol version not supported",
    "host key not verifiable",
    "connection lost",
    "by application",
    "too many connections",
    "authentication cancelled by user",
    "no more authentication methods available",
    "illegal user name",
];

/// A disconnect in words: the device's text, and what its code stands for.
pub(super) fn disconnect(code: usize, text: &str) -> String {
    let reason = match REASONS.get(code) {
        Some(name) if code > 0 => format!("disconnect reason {code}, {name}"),
        _ => format!("disconnect reason {code}"),
    };
    match cut(text.trim(), MOST_TEXT) {
        "" => reason,
        text => format!("{text} ({reason})"),
    }
}

/// Text of a device that may not be UTF-8 though the protocol wants it: what is not is read as Latin-1, byte by byte.
pub(super) fn lenient(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_texts_are_kept_and_all_of_them_together_are_bounded() {
        let words = Words::default();
        (0..10_000).for_each(|n| words.add(&format!("{n}: {}", "x".repeat(10_000))));
        let kept = words.take();
        assert!(kept.iter().map(String::len).sum::<usize>() <= MOST_BYTES);
        assert!(kept.last().unwrap().starts_with("9999: "));
        assert!(words.take().is_empty());
        words.version("SSH-2.0-x\r");
        assert!(words.greeting().contains("SSH-2.0-x\n") && words.greeting().len() <= MOST_GREETING);
    }

    #[test]
    fn a_disconnect_tells_text_and_reason() {
        assert_eq!(
            disconnect(12, "Too many sessions"),
            "Too many sessions (disconnect reason 12, too many connections)"
        );
        assert_eq!(disconnect(11, " "), "disconnect reason 11, by application");
        assert_eq!(disconnect(99, "x"), "x (disconnect reason 99)");
        let words = Words::default();
        words.ended(Ended::HungUp(disconnect(12, "no room\r\nleft")));
        assert_eq!(words.shown().as_deref(), Some("no room  left (disconnect reason 12, too many connections)"));
    }

    #[test]
    fn what_is_not_utf_8_is_read_as_latin_1() {
        assert_eq!(lenient(b"Contrase\xf1a: "), "Contraseña: ");
        assert_eq!(lenient("Contraseña: ".as_bytes()), "Contraseña: ");
    }
}

//! From a terminal's bytes to text: what stands on a screen of rows and columns up to its cursor, behind what scrolled off.

mod control;
mod grid;
#[cfg(test)]
mod tests;

use vte::Parser;

use control::Terminal;
use grid::COLUMNS;

/// Rows of the terminal: many, so that pagers seldom stop.
pub const TERMINAL_ROWS: u16 = 200;
/// Columns of the terminal: wide enough that few lines wrap.
pub const TERMINAL_COLUMNS: u16 = 500;

/// More text than this is cut at its front, whatever a device sends.
pub const LIMIT: usize = 256 * 1024;

/// What a device has printed, as text, with a mark up to which it was read.
///
/// All that is looked at ends at the cursor. What a device paints again just as it stood is not new.
#[derive(Default)]
pub struct Screen {
    parser: Parser,
    terminal: Terminal,
    /// A character whose last bytes have not come yet. The parser of `vte` 0.15 loses what follows such a character.
    begun: Vec<u8>,
    /// Where the cursor stands in the text, in bytes since the session began.
    cursor: usize,
    read: Mark,
    sent: Mark,
    /// From here on a pattern with an open end took all that there was; until something is sent.
    taken_along: Option<Mark>,
    /// How often text was written anew with something else, and where that began the last time.
    repaints: u64,
    repainted: usize,
}

/// A text that grows at its end until it is painted over.
pub(super) struct Growing<'a> {
    pub(super) text: &'a str,
    /// Where it begins, in bytes since the session began.
    pub(super) start: usize,
    /// How often anything was painted over, and where that began the last time.
    pub(super) repaints: u64,
    pub(super) repainted: usize,
}

/// A place in the text, in bytes since the session began.
#[derive(Default, Clone)]
struct Mark {
    at: usize,
    /// The first place before it that was painted over since.
    changed: Option<usize>,
    /// The beginning of its row, and what stood there before it.
    row: usize,
    before: String,
}

impl Screen {
    /// Takes bytes in as the device sent them.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        self.begun = all.split_off(all.len() - begun_character(&all));
        for chunk in all.chunks(LIMIT / 2) {
            let mut rest = chunk;
            // A chunk's border may cut a character too.
            while let Err(error) = std::str::from_utf8(rest) {
                let (good, bad) = rest.split_at(error.valid_up_to());
                self.parser.advance(&mut self.terminal, good);
                self.terminal.grid.put(char::REPLACEMENT_CHARACTER);
                rest = &bad[error.error_len().unwrap_or(bad.len())..];
            }
            self.parser.advance(&mut self.terminal, rest);
            self.write();
        }
    }

    /// What the terminal answers to questions of the device since this was last called: to be sent before anything else.
    pub fn take_replies(&mut self) -> Vec<String> {
        std::mem::take(&mut self.terminal.replies)
    }

    fn write(&mut self) {
        self.cursor = self.terminal.grid.write();
        let changed = std::mem::replace(&mut self.terminal.grid.changed, usize::MAX);
        if changed != usize::MAX {
            (self.repaints, self.repainted) = (self.repaints + 1, changed);
        }
        for mark in [&mut self.read, &mut self.sent].into_iter().chain(&mut self.taken_along) {
            if changed < mark.at {
                mark.changed = Some(mark.changed.map_or(changed, |before| before.min(changed)));
            }
        }
    }

    /// The text from a place up to the cursor.
    fn from(&self, at: usize) -> &str {
        let (grid, cursor) = (&self.terminal.grid, self.cursor - self.terminal.grid.base);
        &grid.text[floor(&grid.text, at.saturating_sub(grid.base).min(cursor))..cursor]
    }

    /// Where a mark stands now: as long as its row up to it is as it was, or not painted any further yet, nothing new came.
    fn place(&self, mark: &Mark) -> usize {
        let Some(changed) = mark.changed else { return mark.at };
        if changed < mark.row || mark.row < self.terminal.grid.base {
            return changed;
        }
        let now = self.from(mark.row);
        match (now.starts_with(&mark.before), mark.before.starts_with(now)) {
            (true, _) => mark.at,
            (_, true) => self.cursor,
            _ => changed,
        }
    }

    fn mark(&self, at: usize) -> Mark {
        let at = at.clamp(self.terminal.grid.base, self.cursor);
        let at = self.cursor - self.from(at).len();
        let text = &self.terminal.grid.text[..at - self.terminal.grid.base];
        let row = self.terminal.grid.row_start();
        let row = if row <= at { row } else { self.terminal.grid.base + text.rfind('\n').map_or(0, |end| end + 1) };
        let before = text.get(row - self.terminal.grid.base..).filter(|before| before.len() <= 4 * COLUMNS);
        // Without it, what is painted over is new.
        Mark { at, changed: None, row: before.map_or(at, |_| row), before: before.unwrap_or_default().to_owned() }
    }

    /// What came after the last match.
    #[must_use]
    pub fn unread(&self) -> &str {
        self.from(self.place(&self.read))
    }

    /// What came since the last line was sent, read or not.
    #[must_use]
    pub fn since_sent(&self) -> &str {
        self.from(self.place(&self.sent))
    }

    fn growing<'a>(&self, text: &'a str) -> Growing<'a> {
        let start = self.cursor - text.len();
        Growing { text, start, repaints: self.repaints, repainted: self.repainted }
    }

    /// [`Self::unread`], for a search that goes on.
    pub(super) fn growing_unread(&self) -> Growing<'_> {
        self.growing(self.unread())
    }

    /// [`Self::since_sent`], for a search that goes on.
    pub(super) fn growing_answer(&self) -> Growing<'_> {
        self.growing(self.since_sent())
    }

    /// All that is still kept, what stands behind the cursor too.
    #[must_use]
    pub fn all(&self) -> &str {
        &self.terminal.grid.text
    }

    /// The last line with something in it, as far as it is unread.
    #[must_use]
    pub fn last_line(&self) -> &str {
        self.from(self.last_line_start())
    }

    /// The line that the cursor stands in, up to the cursor.
    #[must_use]
    pub fn cursor_line(&self) -> &str {
        let text = self.from(0);
        &text[text.rfind('\n').map_or(0, |end| end + 1)..]
    }

    /// Takes that line out of the text: a question that is answered, and that says nothing itself.
    pub fn drop_last_line(&mut self) {
        let from = self.last_line_start();
        let places = [self.place(&self.read), self.place(&self.sent)].map(|at| at.min(from));
        let taken = self.taken_along.as_ref().map(|mark| self.place(mark).min(from));
        self.terminal.grid.wipe_from(from);
        self.write();
        (self.read, self.sent) = (self.mark(places[0]), self.mark(places[1]));
        self.taken_along = taken.map(|at| self.mark(at));
    }

    fn last_line_start(&self) -> usize {
        let unread = self.unread();
        let begin = self.cursor - unread.len();
        begin + unread.trim_end().rfind('\n').map_or(0, |at| at + 1)
    }

    /// Marks `bytes` more of the unread text as read.
    pub fn consume(&mut self, bytes: usize) {
        self.taken_along = None;
        self.read = self.mark(self.place(&self.read).saturating_add(bytes));
    }

    /// Marks all as read, for a pattern with an open end whose own words end after `bytes` of the unread text.
    pub fn consume_all(&mut self, bytes: usize) {
        self.taken_along = Some(self.mark(self.place(&self.read).saturating_add(bytes)));
        self.read = self.mark(self.cursor);
    }

    /// What the last match took along behind its own words, and what came since; `None` once something was sent.
    #[must_use]
    pub fn taken_along(&self) -> Option<&str> {
        self.taken_along.as_ref().map(|mark| self.from(self.place(mark)))
    }

    /// Marks `bytes` of what the last match took along as read, and the rest as unread.
    pub fn consume_taken_along(&mut self, bytes: usize) {
        if let Some(mark) = self.taken_along.take() {
            self.read = self.mark(self.place(&mark).saturating_add(bytes));
        }
    }

    /// Marks that a line is sent now: what comes from here on is its answer.
    pub fn mark_sent(&mut self) {
        self.sent = self.mark(self.cursor);
        self.taken_along = None;
    }

    /// Takes `bytes` from the start of what came since the last line was sent out of the unread text: its echo.
    pub fn skip_echo(&mut self, bytes: usize) {
        let end = self.place(&self.sent).saturating_add(bytes);
        self.sent = self.mark(end);
        if self.place(&self.read) < self.sent.at {
            self.read = self.sent.clone();
        }
    }
}

/// How many bytes at the end begin a character that is not complete.
fn begun_character(bytes: &[u8]) -> usize {
    (1..=bytes.len().min(3))
        .find(|&n| {
            let tail = &bytes[bytes.len() - n..];
            tail[0] >= 0xc0 && std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none())
        })
        .unwrap_or(0)
}

/// The last border of characters up to a place.
pub(super) fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

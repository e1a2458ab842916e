//! From a terminal's bytes to text: control sequences dropped, CR LF turned into LF, overwriting carried out.

use vte::{Params, Parser, Perform};

/// More unread text than this is cut at its front, whatever a device sends.
pub const LIMIT: usize = 256 * 1024;

/// What a device has printed, as text, with a mark up to which it was read.
#[derive(Default)]
pub struct Screen {
    parser: Parser,
    page: Page,
    /// A character whose last bytes have not come yet. The parser of `vte` 0.15 loses what follows such a character.
    begun: Vec<u8>,
}

#[derive(Default)]
struct Page {
    text: String,
    line_start: usize,
    cursor: usize,
    read: usize,
    sent: usize,
    /// From here on a pattern with an open end took all that there was; until something is sent.
    taken_along: Option<usize>,
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
                self.parser.advance(&mut self.page, good);
                self.page.put(char::REPLACEMENT_CHARACTER);
                rest = &bad[error.error_len().unwrap_or(bad.len())..];
            }
            self.parser.advance(&mut self.page, rest);
            self.page.bound();
        }
    }

    /// What came after the last match.
    #[must_use]
    pub fn unread(&self) -> &str {
        &self.page.text[self.page.read..]
    }

    /// What came since the last line was sent, read or not.
    #[must_use]
    pub fn since_sent(&self) -> &str {
        &self.page.text[self.page.sent..]
    }

    /// All that is still kept.
    #[must_use]
    pub fn all(&self) -> &str {
        &self.page.text
    }

    /// The last line with something in it, as far as it is unread.
    #[must_use]
    pub fn last_line(&self) -> &str {
        &self.page.text[self.last_line_start()..]
    }

    /// Takes that line out of the text: a question that is answered, and that says nothing itself.
    pub fn drop_last_line(&mut self) {
        let from = self.last_line_start();
        self.page.text.truncate(from);
        self.page.cursor = from;
        self.page.line_start = self.page.line_start.min(from);
        self.page.sent = self.page.sent.min(from);
        self.page.taken_along = self.page.taken_along.map(|taken| taken.min(from));
    }

    fn last_line_start(&self) -> usize {
        let unread = self.unread().trim_end();
        self.page.read + unread.rfind('\n').map_or(0, |at| at + 1)
    }

    /// Marks `bytes` more of the unread text as read.
    pub fn consume(&mut self, bytes: usize) {
        self.page.taken_along = None;
        self.page.read = floor(&self.page.text, self.page.read.saturating_add(bytes));
    }

    /// Marks all as read, for a pattern with an open end whose own words end after `bytes` of the unread text.
    pub fn consume_all(&mut self, bytes: usize) {
        self.page.taken_along = Some(floor(&self.page.text, self.page.read.saturating_add(bytes)));
        self.page.read = self.page.text.len();
    }

    /// What the last match took along behind its own words, and what came since; `None` once something was sent.
    #[must_use]
    pub fn taken_along(&self) -> Option<&str> {
        self.page.taken_along.map(|from| &self.page.text[from..])
    }

    /// Marks `bytes` of what the last match took along as read, and the rest as unread.
    pub fn consume_taken_along(&mut self, bytes: usize) {
        if let Some(from) = self.page.taken_along.take() {
            self.page.read = floor(&self.page.text, from.saturating_add(bytes));
        }
    }

    /// Marks that a line is sent now: what comes from here on is its answer.
    pub fn mark_sent(&mut self) {
        self.page.sent = self.page.text.len();
        self.page.taken_along = None;
    }

    /// Takes `bytes` from the start of what came since the last line was sent out of the unread text: its echo.
    pub fn skip_echo(&mut self, bytes: usize) {
        let end = floor(&self.page.text, self.page.sent.saturating_add(bytes));
        self.page.sent = end;
        self.page.read = self.page.read.max(end);
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

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl Page {
    fn put(&mut self, c: char) {
        if self.cursor >= self.text.len() {
            self.text.push(c);
        } else {
            let old = self.text[self.cursor..].chars().next().map_or(0, char::len_utf8);
            let mut buffer = [0; 4];
            self.text.replace_range(self.cursor..self.cursor + old, c.encode_utf8(&mut buffer));
            self.read = floor(&self.text, self.read);
            self.sent = floor(&self.text, self.sent);
            self.taken_along = self.taken_along.map(|from| floor(&self.text, from));
        }
        self.cursor += c.len_utf8();
        self.cursor = floor(&self.text, self.cursor);
    }

    fn new_line(&mut self) {
        self.text.push('\n');
        self.line_start = self.text.len();
        self.cursor = self.text.len();
    }

    fn back(&mut self) {
        if let Some(c) = self.text[self.line_start..self.cursor].chars().next_back() {
            self.cursor -= c.len_utf8();
        }
    }

    fn erase_line(&mut self, mode: u16) {
        if mode == 0 || mode == 2 {
            let from = if mode == 2 { self.line_start } else { self.cursor };
            self.text.truncate(from);
            self.cursor = self.cursor.min(self.text.len());
            self.read = self.read.min(self.text.len());
            self.sent = self.sent.min(self.text.len());
            self.taken_along = self.taken_along.map(|from| from.min(self.text.len()));
        }
    }

    fn bound(&mut self) {
        if self.text.len() <= LIMIT {
            return;
        }
        let cut = floor(&self.text, self.text.len() - LIMIT / 2);
        self.text.drain(..cut);
        for mark in [&mut self.line_start, &mut self.cursor, &mut self.read, &mut self.sent] {
            *mark = mark.saturating_sub(cut);
        }
        self.taken_along = self.taken_along.map(|from| from.saturating_sub(cut));
    }
}

impl Perform for Page {
    fn print(&mut self, c: char) {
        self.put(c);
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => self.new_line(),
            b'\r' => self.cursor = self.line_start,
            b'\t' => self.put('\t'),
            0x08 => self.back(),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, _intermediates: &[u8], _ignore: bool, action: char) {
        let first = params.iter().next().and_then(|p| p.first().copied()).unwrap_or(0);
        match action {
            'K' => self.erase_line(first),
            // A jump to another row begins a line of its own, as on switches that paint their prompt.
            'H' | 'f' if self.cursor > self.line_start => self.new_line(),
            'G' if first <= 1 => self.cursor = self.line_start,
            _ => {}
        }
    }
}

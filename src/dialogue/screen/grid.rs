//! The terminal's screen: rows and columns, a cursor, a scrolling region, and the text that they make.
//!
//! The text is what scrolled off, then the rows of the screen. It is written anew after each piece of output, from the
//! first row that changed on, so that the cost is that of the output and of one screen.

use std::collections::VecDeque;

use super::LIMIT;

pub(super) const ROWS: usize = super::TERMINAL_ROWS as usize;
pub(super) const COLUMNS: usize = super::TERMINAL_COLUMNS as usize;

/// A cell that belongs to the wide character or the tab before it.
const REST: char = '\0';

/// What stands before a row.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Begin {
    /// Nothing: it is the first there ever was.
    Page,
    /// A line end.
    #[default]
    Line,
    /// Nothing: the line before it was longer than the screen is wide.
    Wrapped,
}

#[derive(Default)]
struct Row {
    /// Lines that scrolled out of a region between the row before and this one.
    above: String,
    begin: Begin,
    cells: Vec<char>,
    /// Where its text begins, in bytes since the session began.
    at: usize,
}

pub(super) struct Grid {
    /// What scrolled off, and the rows as they were written last.
    pub(super) text: String,
    /// How many bytes before `text` are forgotten.
    pub(super) base: usize,
    /// Where the text of the rows begins, in bytes since the session began.
    live: usize,
    rows: VecDeque<Row>,
    pub(super) row: usize,
    pub(super) col: usize,
    /// The cursor stands behind the last column: the next character wraps.
    full: bool,
    top: usize,
    bottom: usize,
    /// DECAWM.
    pub(super) wraps: bool,
    /// DECOM.
    pub(super) origin: bool,
    saved: (usize, usize),
    /// The character that REP repeats.
    pub(super) last: char,
    /// The first row whose text is not written yet.
    dirty: usize,
    /// The first byte that was written anew with something else since this was last taken.
    pub(super) changed: usize,
    written: String,
}

impl Default for Grid {
    fn default() -> Self {
        Self {
            text: String::new(),
            base: 0,
            live: 0,
            rows: VecDeque::from([Row { begin: Begin::Page, ..Row::default() }]),
            row: 0,
            col: 0,
            full: false,
            top: 0,
            bottom: ROWS - 1,
            wraps: true,
            origin: false,
            saved: (0, 0),
            last: ' ',
            dirty: usize::MAX,
            changed: usize::MAX,
            written: String::new(),
        }
    }
}

impl Grid {
    /// Prints a character at the cursor.
    pub(super) fn put(&mut self, c: char) {
        self.last = c;
        if !self.full
            && (' '..='~').contains(&c)
            && let Some(row) = self.rows.get_mut(self.row)
            && row.cells.len() == self.col
        {
            row.cells.push(c);
            self.dirty = self.dirty.min(self.row);
            return self.step(1);
        }
        let width = width(c);
        if self.full || self.col + width > COLUMNS {
            if self.wraps {
                self.index();
                self.col = 0;
                self.rows[self.row].begin = Begin::Wrapped;
            } else {
                self.col = COLUMNS - width;
            }
            self.full = false;
        }
        let at = self.col;
        let cells = self.cells(at + width);
        cells[at] = c;
        cells[at + 1..at + width].fill(REST);
        self.step(width);
    }

    fn step(&mut self, width: usize) {
        self.col += width;
        if self.col >= COLUMNS {
            (self.col, self.full) = (COLUMNS - 1, true);
        }
    }

    /// The cells of the cursor's row, at least so many, with nothing in them that begins before the cursor and ends
    /// behind it, or begins before that number and ends behind it.
    fn cells(&mut self, most: usize) -> &mut Vec<char> {
        self.reach();
        self.dirty = self.dirty.min(self.row);
        let (col, cells) = (self.col, &mut self.rows[self.row].cells);
        if cells.len() < most {
            cells.resize(most, ' ');
        }
        for cut in [col, most] {
            if cells.get(cut) == Some(&REST) {
                let end = cells[cut..].iter().position(|&c| c != REST).map_or(cells.len(), |more| cut + more);
                let begin = cells[..cut].iter().rposition(|&c| c != REST).unwrap_or(0);
                cells[begin..end].fill(' ');
            }
        }
        cells
    }

    /// Makes the cursor's row where it is not there yet.
    fn reach(&mut self) {
        if self.rows.len() <= self.row {
            self.dirty = self.dirty.min(self.rows.len());
            self.rows.resize_with(self.row + 1, Row::default);
        }
    }

    /// HT: to the next stop. Where nothing stands there yet it is a character of the line, as it is of the device's text.
    pub(super) fn tab(&mut self) {
        let stop = ((self.col / 8 + 1) * 8).min(COLUMNS - 1);
        let written = self.rows.get(self.row).map_or(0, |row| row.cells.len());
        if self.col >= written && stop > self.col {
            let at = self.col;
            let cells = self.cells(stop);
            cells[at] = '\t';
            cells[at + 1..stop].fill(REST);
        }
        self.set_col(stop);
    }

    /// A line end: the beginning of the next row.
    pub(super) fn new_line(&mut self) {
        self.index();
        self.col = 0;
    }

    /// IND: one row down; at the end of the region it scrolls.
    pub(super) fn index(&mut self) {
        self.full = false;
        if self.row == self.bottom {
            self.reach();
            self.scroll_up(1);
        } else if self.row + 1 < ROWS {
            self.row += 1;
        }
        self.reach();
    }

    /// RI: one row up; at the beginning of the region it scrolls.
    pub(super) fn reverse_index(&mut self) {
        self.full = false;
        if self.row == self.top {
            self.scroll_down(1);
        } else {
            self.row = self.row.saturating_sub(1);
        }
    }

    /// SU: the region moves up. What leaves it stays in the text: a device that deletes the first row has printed a line end.
    pub(super) fn scroll_up(&mut self, count: usize) {
        let count = count.min(self.bottom - self.top + 1).min(self.rows.len().saturating_sub(self.top));
        if count == 0 {
            return;
        }
        if self.top == 0 {
            (0..count).for_each(|_| self.leave());
            let end = self.bottom + 1 - count;
            if self.rows.len() > end {
                self.open_rows(end, count, ROWS);
            }
            return;
        }
        let mut above = std::mem::take(&mut self.rows[self.top].above);
        for row in self.rows.iter_mut().skip(self.top).take(count) {
            above.push_str(&std::mem::take(&mut row.above));
            push_row(&mut above, row.begin, &row.cells);
        }
        // A region that scrolls for ever is bounded too.
        if above.len() > LIMIT / 4 {
            above = above.split_off(super::floor(&above, above.len() - LIMIT / 8));
        }
        self.close_rows(self.top, count);
        if self.rows.len() <= self.top {
            self.rows.resize_with(self.top + 1, Row::default);
        }
        self.rows[self.top].above.insert_str(0, &above);
    }

    /// Blank rows at a place; what stands there moves down, and off at `end`.
    fn open_rows(&mut self, at: usize, count: usize, end: usize) {
        let count = count.min(end.saturating_sub(at));
        if self.rows.len() <= at || count == 0 {
            return;
        }
        if self.rows.len() < end {
            let len = (self.rows.len() + count).min(end);
            self.rows.resize_with(len, Row::default);
        }
        let end = end.min(self.rows.len());
        // The first row of all has no line end before it.
        let begin = std::mem::replace(&mut self.rows[at].begin, Begin::Line);
        let rows = &mut self.rows.make_contiguous()[at..end];
        rows.rotate_right(count);
        rows.iter_mut().take(count).for_each(|row| *row = Row::default());
        rows[0].begin = begin;
        self.dirty = self.dirty.min(at);
    }

    /// Takes rows of the region out; what stands below moves up.
    fn close_rows(&mut self, at: usize, count: usize) {
        let end = (self.bottom + 1).min(self.rows.len());
        let count = count.min(end.saturating_sub(at));
        if count == 0 {
            return;
        }
        let rows = &mut self.rows.make_contiguous()[at..end];
        rows.rotate_left(count);
        rows.iter_mut().rev().take(count).for_each(|row| *row = Row::default());
        if end == self.rows.len() {
            self.rows.truncate(end - count);
        }
        self.dirty = self.dirty.min(at);
    }

    /// IL at the cursor's row: what stands there moves down within the region.
    pub(super) fn insert_rows(&mut self, count: usize) {
        if (self.top..=self.bottom).contains(&self.row) {
            self.open_rows(self.row, count, self.bottom + 1);
            self.set_col(0);
        }
    }

    /// SD.
    pub(super) fn scroll_down(&mut self, count: usize) {
        self.open_rows(self.top, count, self.bottom + 1);
    }

    /// DL at the cursor's row: what stands below moves up within the region.
    pub(super) fn delete_rows(&mut self, count: usize) {
        if !(self.top..=self.bottom).contains(&self.row) {
            return;
        }
        self.set_col(0);
        if self.row == self.top { self.scroll_up(count) } else { self.close_rows(self.row, count) }
    }

    /// EL: erases to the end of the row, to its beginning, or all of it.
    pub(super) fn erase_line(&mut self, mode: u16) {
        let Some(row) = self.rows.get_mut(self.row) else { return };
        let from = if mode == 2 { 0 } else { self.col };
        match mode {
            1 => {
                let to = (self.col + 1).min(row.cells.len());
                row.cells[..to].fill(' ');
            }
            0 | 2 if from < row.cells.len() => {
                row.cells.truncate(from);
                while row.cells.last() == Some(&REST) {
                    row.cells.pop();
                }
            }
            _ => return,
        }
        // What was the rest of a long line is one of its own now.
        if let Some(next) = self.rows.get_mut(self.row + 1).filter(|next| mode != 1 && next.begin == Begin::Wrapped) {
            next.begin = Begin::Line;
        }
        self.full = false;
        self.dirty = self.dirty.min(self.row);
    }

    /// ED: erases to the end of the screen, or to its beginning; what a device clears away as a whole has been said, and
    /// stays in the text.
    pub(super) fn erase_screen(&mut self, mode: u16) {
        match mode {
            0 => {
                self.erase_line(0);
                if self.rows.len() > self.row + 1 {
                    self.rows.truncate(self.row + 1);
                    self.dirty = self.dirty.min(self.row);
                }
            }
            1 => {
                let rows = self.row.min(self.rows.len());
                self.rows.iter_mut().take(rows).for_each(|row| row.cells.clear());
                self.dirty = 0;
                self.erase_line(1);
            }
            2 | 3 => {
                while self.rows.back().is_some_and(|row| row.cells.is_empty() && row.above.is_empty()) {
                    self.rows.pop_back();
                    self.dirty = self.dirty.min(self.rows.len());
                }
                while !self.rows.is_empty() {
                    self.leave();
                }
                let begin = if self.live == 0 { Begin::Page } else { Begin::Line };
                self.rows.push_back(Row { begin, at: self.live, ..Row::default() });
                (self.full, self.dirty) = (false, 0);
            }
            _ => {}
        }
    }

    /// ECH, DCH, ICH: erases, deletes or inserts so many cells at the cursor.
    pub(super) fn change_cells(&mut self, kind: char, count: usize) {
        let len = self.rows.get(self.row).map_or(0, |row| row.cells.len());
        if self.col >= len {
            return;
        }
        let (col, end) = (self.col, (self.col + count).min(len));
        let cells = self.cells(end);
        match kind {
            'X' if end == len => cells.truncate(col),
            'X' => cells[col..end].fill(' '),
            'P' => drop(cells.drain(col..end)),
            _ => {
                cells.splice(col..col, std::iter::repeat_n(' ', count.min(COLUMNS - col)));
                cells.truncate(COLUMNS);
            }
        }
        self.full = false;
    }

    /// CUP, and all that names a row: counted from 0, within the screen.
    pub(super) fn go_to(&mut self, row: usize, col: usize) {
        self.row = if self.origin { (self.top + row).min(self.bottom) } else { row.min(ROWS - 1) };
        self.set_col(col);
    }

    pub(super) fn set_col(&mut self, col: usize) {
        (self.col, self.full) = (col.min(COLUMNS - 1), false);
    }

    /// CUU and CUD: they stop at the region's ends.
    pub(super) fn move_rows(&mut self, down: bool, count: usize) {
        self.full = false;
        self.row = if down {
            let last = if self.row <= self.bottom { self.bottom } else { ROWS - 1 };
            (self.row + count).min(last)
        } else {
            let first = if self.row >= self.top { self.top } else { 0 };
            self.row.saturating_sub(count).max(first)
        };
    }

    /// DECSTBM: a region of one row or of none is none.
    pub(super) fn set_region(&mut self, top: usize, bottom: usize) {
        let bottom = if bottom == 0 { ROWS } else { bottom.min(ROWS) };
        let top = top.max(1);
        if top < bottom {
            (self.top, self.bottom) = (top - 1, bottom - 1);
            self.go_to(0, 0);
        }
    }

    pub(super) fn save(&mut self) {
        self.saved = (self.row, self.col);
    }

    pub(super) fn restore(&mut self) {
        (self.row, self.col, self.full) = (self.saved.0, self.saved.1, false);
    }

    /// RIS: as at the beginning, but what was said stays said.
    pub(super) fn reset(&mut self) {
        self.erase_screen(2);
        (self.top, self.bottom, self.wraps, self.origin) = (0, ROWS - 1, true, false);
        self.go_to(0, 0);
    }

    /// Takes what stands from a place of the text on off the screen; the cursor stays.
    pub(super) fn wipe_from(&mut self, from: usize) {
        let first = self.rows.iter().rposition(|row| row.at <= from).unwrap_or(0);
        let row = &mut self.rows[first];
        let mut at = row.at + row.above.len() + usize::from(row.begin == Begin::Line);
        let keep = row.cells.iter().position(|c| {
            let here = at >= from;
            at += if *c == REST { 0 } else { c.len_utf8() };
            here
        });
        if let Some(keep) = keep {
            row.cells.truncate(keep);
        }
        self.rows.iter_mut().skip(first + 1).for_each(|row| row.cells.clear());
        self.dirty = self.dirty.min(first);
    }

    /// The first row leaves the screen; its text is kept.
    fn leave(&mut self) {
        let Some(row) = self.rows.pop_front() else { return };
        self.written.clear();
        self.written.push_str(&row.above);
        push_row(&mut self.written, row.begin, &row.cells);
        if self.dirty == 0 {
            self.rewrite(self.live);
        }
        self.live += self.written.len();
        self.dirty = if self.dirty == usize::MAX { usize::MAX } else { self.dirty.saturating_sub(1) };
        if self.text.len() > 2 * LIMIT {
            self.forget();
        }
    }

    /// Makes what was just written the text from a place on, and notes where it differs from what stood there.
    fn rewrite(&mut self, at: usize) {
        let at = at.saturating_sub(self.base).min(self.text.len());
        let (old, new) = (&self.text.as_bytes()[at..], self.written.as_bytes());
        if old.starts_with(new) {
            return;
        }
        let same = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        let same = super::floor(&self.written, same);
        if same < old.len() {
            self.changed = self.changed.min(self.base + at + same);
            self.text.truncate(at + same);
        }
        self.text.push_str(&self.written[same..]);
    }

    /// Writes the text of all rows that changed, and bounds it. Returns where the cursor stands in it.
    pub(super) fn write(&mut self) -> usize {
        if self.dirty != usize::MAX {
            let first = self.dirty.saturating_sub(1).min(self.rows.len().saturating_sub(1));
            let mut at = if first == 0 { self.live } else { self.rows[first].at };
            for place in first..self.rows.len() {
                let row = &mut self.rows[place];
                row.at = at;
                self.written.clear();
                self.written.push_str(&row.above);
                push_row(&mut self.written, row.begin, &row.cells);
                self.rewrite(at);
                at += self.written.len();
            }
            if self.text.len() > at - self.base {
                self.changed = self.changed.min(at);
                self.text.truncate(at - self.base);
            }
            self.dirty = usize::MAX;
        }
        while self.text.len() > LIMIT {
            self.forget();
            if self.text.len() <= LIMIT || self.rows.len() < 2 {
                break;
            }
            // A screen full of characters of four bytes.
            self.leave();
            self.row = self.row.saturating_sub(1);
        }
        self.cursor()
    }

    /// Forgets text that scrolled off long ago.
    fn forget(&mut self) {
        let most = (self.live - self.base).min(self.text.len());
        let cut = super::floor(&self.text, self.text.len().saturating_sub(LIMIT / 2).min(most));
        self.text.drain(..cut);
        self.base += cut;
    }

    /// Where the cursor's row begins in the text.
    pub(super) fn row_start(&self) -> usize {
        self.rows
            .get(self.row)
            .map_or(self.base + self.text.len(), |row| row.at + row.above.len() + usize::from(row.begin == Begin::Line))
    }

    /// What stands in the cursor's row before the cursor.
    pub(super) fn cursor_line(&self) -> String {
        let cells = self.rows.get(self.row).map(|row| row.cells.iter().take(self.col + usize::from(self.full)));
        cells.into_iter().flatten().filter(|c| **c != REST).collect()
    }

    fn cursor(&self) -> usize {
        let Some(row) = self.rows.get(self.row) else { return self.base + self.text.len() };
        let cells = row.cells.iter().take(self.col + usize::from(self.full));
        self.row_start() + cells.filter(|c| **c != REST).map(|c| c.len_utf8()).sum::<usize>()
    }
}

fn push_row(text: &mut String, begin: Begin, cells: &[char]) {
    if begin == Begin::Line {
        text.push('\n');
    }
    text.extend(cells.iter().filter(|c| **c != REST));
}

/// Columns of a character: two for those that East Asian Width (Unicode Annex 11) calls wide or full-width.
fn width(c: char) -> usize {
    let wide = matches!(u32::from(c),
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x2_0000..=0x3_fffd);
    if wide { 2 } else { 1 }
}

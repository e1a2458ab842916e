//! Pieces of secrets, found in a text whatever a terminal made of it.
//!
//! A text is read twice at once: without its white space and control characters, and as its ASCII letters and digits alone. Case
//! does not count. So a piece is found across a wrapped line, across the marks of a line that scrolls (`$`, `<`, `>`, `\`), and in
//! quotes or backslashes that an echo adds. Every four characters in a row that a secret has in either reading are kept in a
//! table; a text in which none of them stands, as in nearly all, is done with in one pass.

use std::ops::Range;

use zeroize::Zeroizing;

/// So many characters in a row are looked up at once.
pub(super) const GRAM: usize = 4;
/// A run of so many characters of a secret is hidden by itself, blanks counted.
const PIECE: usize = 6;
/// Shorter runs are hidden where so many different grams of secrets stand near to each other: a repaint in overlapping pieces.
const NEAR_GRAMS: usize = 4;
/// How near, in characters.
const NEAR: usize = 256;
/// Bits of one character in a gram's key.
const BITS: u32 = 10;
/// Those of a whole gram's.
const KEY: u64 = (1 << (4 * BITS)) - 1;

/// A set of grams. The keys are pieces of secrets, so they are wiped.
#[derive(Clone)]
pub(super) struct Grams {
    /// Open addressing; 0 is an empty slot, and no key.
    slots: Zeroizing<Vec<u64>>,
    used: usize,
    /// A run of so many characters is hidden by itself.
    piece: usize,
}

impl Default for Grams {
    fn default() -> Self {
        Self { slots: Zeroizing::default(), used: 0, piece: PIECE }
    }
}

impl Grams {
    /// Takes in every gram of a text, in both readings.
    pub(super) fn take(&mut self, text: &str) {
        let (mut all, mut plain) = (Roll::default(), Roll::default());
        read(text, |c| {
            let keys = [all.push(c.code), c.plain.then(|| plain.push(c.code)).flatten()];
            keys.into_iter().flatten().for_each(|key| self.insert(key));
        });
        // What is not read of a secret, such as its blanks, counts as part of a piece all the same.
        let (mut unread, mut most) = (0_u32, 0);
        for c in text.chars() {
            unread = (unread << 1 | u32::from(cell(c, 0).is_none())) & ((1 << PIECE) - 1);
            most = most.max(unread.count_ones() as usize);
        }
        self.piece = self.piece.min(PIECE.saturating_sub(most).max(GRAM));
    }

    fn insert(&mut self, key: u64) {
        if self.used * 2 >= self.slots.len() {
            let mut larger =
                Self { slots: vec![0; (self.slots.len() * 2).max(512)].into(), used: 0, piece: self.piece };
            self.slots.iter().filter(|key| **key != 0).for_each(|key| larger.put(*key));
            *self = larger;
        }
        self.put(key);
    }

    fn put(&mut self, key: u64) {
        let slot = self.slot(key);
        if let Some(place) = self.slots.get_mut(slot)
            && *place == 0
        {
            *place = key;
            self.used += 1;
        }
    }

    /// Where a key stands, or the free slot where it would.
    fn slot(&self, key: u64) -> usize {
        let mask = self.slots.len().wrapping_sub(1);
        let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let mut slot = usize::try_from(hash).unwrap_or_default() & mask;
        while self.slots.get(slot).is_some_and(|known| *known != 0 && *known != key) {
            slot = (slot + 1) & mask;
        }
        slot
    }

    pub(super) fn has(&self, key: u64) -> bool {
        self.slots.get(self.slot(key)).is_some_and(|known| *known == key)
    }

    /// Whether a gram may stand in a text. Where it says no, no piece of a secret does: that would have three grams in a row, and
    /// every other one is looked up.
    pub(super) fn touch(&self, text: &str) -> bool {
        if self.used == 0 {
            return false;
        }
        let (mut all, mut plain) = (Roll::default(), Roll::default());
        let mut hit = false;
        read(text, |c| {
            let looked_up = all.push(c.code).filter(|_| all.seen % 2 == 0);
            hit |= looked_up.is_some_and(|key| self.has(key));
            if c.plain {
                // Where letters and digits alone came last, both readings are the same.
                let other = plain.push(c.code).filter(|key| plain.seen % 2 == 0 && looked_up != Some(*key));
                hit |= other.is_some_and(|key| self.has(key));
            }
        });
        hit || [0x08, 0x1b].iter().any(|byte| text.as_bytes().contains(byte))
    }

    /// Whether all grams of a text are among these.
    pub(super) fn cover(&self, text: &str) -> bool {
        let mut roll = Roll::default();
        let mut covered = true;
        read(text, |c| covered &= roll.push(c.code).is_none_or(|key| self.has(key)));
        covered
    }

    /// Where pieces of secrets stand in a text, in bytes, in no order. What consists of `common` grams alone is none.
    pub(super) fn pieces(&self, text: &str, common: &Self) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for way in [Way::AsIs, Way::WithoutSequences, Way::Erased] {
            if way.differs(text) {
                let cells = way.cells(text);
                self.find(&cells, common, &mut found);
                let plain: Cells = Zeroizing::new(cells.iter().filter(|cell| cell.plain).copied().collect());
                self.find(&plain, common, &mut found);
            }
        }
        found
    }

    /// Runs of characters each of whose grams is one of a secret.
    fn find(&self, cells: &[Cell], common: &Self, found: &mut Vec<Range<usize>>) {
        let mut roll = Roll::default();
        let mut runs: Vec<Run> = Vec::new();
        for (end, cell) in cells.iter().enumerate() {
            let Some(key) = roll.push(cell.code).filter(|key| self.has(*key)) else { continue };
            let first = end + 1 - GRAM;
            match runs.last_mut().filter(|run| run.last + 1 == end) {
                Some(run) => run.last = end,
                None => runs.push(Run { first, last: end, telling: Zeroizing::default() }),
            }
            if let Some(run) = runs.last_mut().filter(|_| !common.has(key)) {
                run.telling.push(key);
            }
        }
        runs.retain(|run| !run.telling.is_empty());
        for near in runs.chunk_by(|one, next| next.first.saturating_sub(one.last) <= NEAR) {
            let mut keys: Zeroizing<Vec<u64>> =
                Zeroizing::new(near.iter().flat_map(|run| run.telling.iter()).copied().collect());
            keys.sort_unstable();
            keys.dedup();
            if keys.len() >= NEAR_GRAMS || near.iter().any(|run| run.last + 1 - run.first >= self.piece) {
                let ends = near.iter().filter_map(|run| Some((cells.get(run.first)?, cells.get(run.last)?)));
                found.extend(ends.map(|(first, last)| first.start..last.start + last.bytes));
            }
        }
    }
}

/// A run of grams, by its first and last character.
struct Run {
    first: usize,
    last: usize,
    /// Those of its grams that are not common.
    telling: Zeroizing<Vec<u64>>,
}

/// The key of the last characters.
#[derive(Default)]
struct Roll {
    key: u64,
    seen: usize,
}

impl Roll {
    fn push(&mut self, code: u16) -> Option<u64> {
        self.key = (self.key << BITS | u64::from(code)) & KEY;
        self.seen += 1;
        (self.seen >= GRAM).then_some(self.key)
    }
}

type Cells = Zeroizing<Vec<Cell>>;

/// A character that counts.
#[derive(Clone, Copy, Default)]
struct Cell {
    start: usize,
    bytes: usize,
    /// Never 0; ASCII as it is, in lower case. What other characters have in common is of no consequence.
    code: u16,
    /// An ASCII letter or digit.
    plain: bool,
}

impl zeroize::DefaultIsZeroes for Cell {}

/// How a text is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    AsIs,
    /// Without control sequences (ECMA-48, 5.4): `ESC [`, parameters, and a final byte.
    WithoutSequences,
    /// Each backspace takes the character before it back, as where a line is repainted.
    Erased,
}

impl Way {
    fn differs(self, text: &str) -> bool {
        match self {
            Self::AsIs => true,
            Self::WithoutSequences => text.contains('\u{1b}'),
            Self::Erased => text.contains('\u{8}'),
        }
    }

    fn cells(self, text: &str) -> Cells {
        let mut cells: Cells = Zeroizing::new(Vec::with_capacity(text.len()));
        match self {
            Self::AsIs => read(text, |cell| cells.push(cell)),
            Self::WithoutSequences | Self::Erased => {
                let mut shown = 0;
                for (start, part) in without_sequences(text) {
                    for (at, c) in part.char_indices() {
                        if c == '\u{8}' && self == Self::Erased {
                            let kept = cells.len().saturating_sub(1).max(shown);
                            cells.truncate(kept);
                        } else if matches!(c, '\n' | '\r') {
                            shown = cells.len();
                        } else {
                            // A blank has a place on the line, too, until it is taken back.
                            let blank = Cell { start: start + at, bytes: c.len_utf8(), code: 0, plain: false };
                            cells.extend(cell(c, start + at).or((c == ' ').then_some(blank)));
                        }
                    }
                }
                cells.retain(|cell| cell.code != 0);
            }
        }
        cells
    }
}

/// The parts of a text between its control sequences, and where each begins.
fn without_sequences(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
        let start = at;
        let part = rest.split_once("\u{1b}[").map_or(rest, |(before, _)| before);
        at += part.len();
        if at < text.len() {
            let body = text.get(at + 2..).unwrap_or_default();
            let end = body.bytes().position(|byte| !matches!(byte, 0x20..=0x3f)).unwrap_or(body.len());
            let has_final = body.as_bytes().get(end).is_some_and(|byte| matches!(byte, 0x40..=0x7e));
            at += 2 + end + usize::from(has_final);
        }
        Some((start, part))
    })
}

/// Hands on every character of a text that counts.
fn read(text: &str, mut take: impl FnMut(Cell)) {
    let bytes = text.as_bytes();
    let mut start = 0;
    while let Some(&byte) = bytes.get(start) {
        if byte.is_ascii() {
            if byte.is_ascii_graphic() {
                let code = u16::from(byte.to_ascii_lowercase());
                take(Cell { start, bytes: 1, code, plain: byte.is_ascii_alphanumeric() });
            }
            start += 1;
        } else {
            let Some(c) = text.get(start..).and_then(|rest| rest.chars().next()) else { return };
            if let Some(cell) = cell(c, start) {
                take(cell);
            }
            start += c.len_utf8();
        }
    }
}

fn cell(c: char, start: usize) -> Option<Cell> {
    let code = match c {
        _ if c.is_whitespace() || is_unseen(c) => return None,
        '!'..='~' => u16::try_from(u32::from(c.to_ascii_lowercase())).ok()?,
        _ => u16::try_from(128 + u32::from(c.to_lowercase().next().unwrap_or(c)) % 896).ok()?,
    };
    Some(Cell { start, bytes: c.len_utf8(), code, plain: c.is_ascii_alphanumeric() })
}

/// Whether a character takes no place on a screen: control characters, and those of Unicode's category Cf that are met in text.
pub(super) fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

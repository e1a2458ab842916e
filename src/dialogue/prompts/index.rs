//! Wordings by their first character, so that a line is held against few of them.

use std::sync::OnceLock;

/// Rows of a table by the first character of their wording.
pub(super) struct ByBegin<T: 'static> {
    /// In the order of those characters; rows of one character in the order of the table.
    all: Vec<(char, &'static T)>,
    /// The ASCII characters with which one begins, a bit each.
    ascii: u128,
}

impl<T> ByBegin<T> {
    pub(super) fn of(rows: &'static [T], wording: fn(&'static T) -> &'static str) -> Self {
        let begin = |row| Some((wording(row).chars().next()?, row));
        let mut all: Vec<(char, &T)> = rows.iter().filter_map(begin).collect();
        all.sort_by_key(|(begin, _)| *begin);
        let ascii = all.iter().filter(|(begin, _)| begin.is_ascii()).fold(0, |bits, (c, _)| bits | 1 << u32::from(*c));
        Self { all, ascii }
    }

    /// The rows whose wording begins with a character.
    pub(super) fn beginning_with(&self, c: char) -> impl Iterator<Item = &'static T> {
        let is_there = !c.is_ascii() || self.ascii >> u32::from(c) & 1 == 1;
        let from = if is_there { self.all.partition_point(|(begin, _)| *begin < c) } else { self.all.len() };
        self.all[from..].iter().take_while(move |(begin, _)| *begin == c).map(|(_, row)| *row)
    }
}

/// A wording, its language and its source.
pub(super) type Row = (&'static str, &'static str, &'static str);

/// Wordings of one meaning, in lower case.
pub(super) struct Table {
    pub(super) rows: &'static [Row],
    by_begin: OnceLock<ByBegin<Row>>,
}

impl Table {
    pub(super) const fn of(rows: &'static [Row]) -> Self {
        Self { rows, by_begin: OnceLock::new() }
    }

    /// The wordings that a text has anywhere, and what stands before and behind each.
    pub(super) fn met_in<'a>(&'static self, text: &'a str) -> impl Iterator<Item = (&'a str, &'static str, &'a str)> {
        let by_begin = self.by_begin.get_or_init(|| ByBegin::of(self.rows, |(wording, ..)| wording));
        text.char_indices().flat_map(move |(at, c)| {
            let (before, rest) = text.split_at(at);
            by_begin
                .beginning_with(c)
                .filter_map(move |(wording, ..)| Some((before, *wording, rest.strip_prefix(wording)?)))
        })
    }
}

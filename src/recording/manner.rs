//! The ways in which a device may print the same words.

/// How the device prints what a recording says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// A line or a prompt at a time.
    AsRecorded,
    /// One byte at a time, as over a slow line.
    ByteByByte,
    /// It breaks what it shows of a line that was sent at 80 columns.
    Narrow,
    /// It sets colours, a title and bracketed paste, and clears to the end of its lines, as shells with line editors do; byte by
    /// byte, so that the sequences come in pieces.
    Painted,
}

/// The columns of a narrow terminal.
const COLUMNS: usize = 80;

impl Manner {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::AsRecorded, Self::ByteByByte, Self::Narrow, Self::Painted];

    /// In a few words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AsRecorded => "as recorded",
            Self::ByteByByte => "byte by byte",
            Self::Narrow => "at 80 columns",
            Self::Painted => "painted",
        }
    }

    /// What the device prints, in the pieces in which it comes.
    pub(super) fn prints(self, text: &str, column: usize) -> Vec<Vec<u8>> {
        if self != Self::Painted {
            return self.pieces(text);
        }
        let painted = match text.strip_suffix("\r\n") {
            Some("") => "\u{1b}[0m\u{1b}[K\r\n".to_owned(),
            Some(line) => format!("\u{1b}[0;32m{line}\u{1b}[0m\u{1b}[K\r\n"),
            None if column == 0 => {
                format!("\u{1b}]0;device\u{7}\u{1b}[?2004h\r\u{1b}[K\u{1b}[1m{text}\u{1b}[0m")
            }
            None => format!("\u{1b}[1m{text}\u{1b}[0m"),
        };
        self.pieces(&painted)
    }

    /// What the device shows of a line that was sent.
    pub(super) fn echoes(self, line: &str, column: usize) -> Vec<Vec<u8>> {
        let shown = match self {
            Self::AsRecorded | Self::ByteByByte => format!("{line}\r\n"),
            Self::Narrow => wrapped(line, column) + "\r\n",
            Self::Painted => format!("\u{1b}[4m{line}\u{1b}[24m\u{1b}[K\u{1b}[?2004l\r\n"),
        };
        self.pieces(&shown)
    }

    fn pieces(self, text: &str) -> Vec<Vec<u8>> {
        match self {
            Self::AsRecorded | Self::Narrow => vec![text.as_bytes().to_vec()],
            Self::ByteByByte | Self::Painted => text.bytes().map(|byte| vec![byte]).collect(),
        }
    }
}

/// The line, broken wherever the columns are full.
fn wrapped(line: &str, column: usize) -> String {
    let mut out = String::with_capacity(line.len() + 8);
    for (at, c) in line.chars().enumerate() {
        if at > 0 && (column + at).is_multiple_of(COLUMNS) {
            out.push_str("\r\n");
        }
        out.push(c);
    }
    out
}

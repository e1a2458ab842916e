//! Names of devices and accounts, parsed once at the border and trusted from there on.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use data_encoding::HEXUPPER;
use zeroize::Zeroizing;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// There is no `/` between device and user name.
    #[error("an account is written DEVICE/USERNAME, such as \"web1/admin\"; \"{0}\" has no \"/\"")]
    NoSlash(String),
    /// A part is empty, too long, or holds a character that cannot stand in it.
    #[error("\"{name}\" is no {what}: {why}")]
    Bad {
        /// What was expected: a device name or a user name.
        what: &'static str,
        /// The text, escaped.
        name: String,
        /// The rule that it breaks.
        why: &'static str,
    },
}

/// A device of the config: letters, digits, `.`, `_` and `-`, at most 128 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceName(Arc<str>);

impl DeviceName {
    /// Parses a device name.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let bad = |why| NameError::Bad { what: "device name", name: text.escape_debug().to_string(), why };
        if text.is_empty() || text.len() > 128 {
            return Err(bad("it must have 1 to 128 characters"));
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(bad("it must start with a letter or a digit"));
        }
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
            return Err(bad("only letters, digits, '.', '_' and '-' may stand in it"));
        }
        Ok(Self(text.into()))
    }

    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for DeviceName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An account on a device, written `DEVICE/USERNAME`. It compares and hashes as its text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountName {
    /// Where its first slash is is not kept: a hundred thousand names are more than the look for it.
    whole: Arc<str>,
}

impl AccountName {
    /// Parses `DEVICE/USERNAME`.
    ///
    /// The user name may hold any printable character but a blank, and may not start with `-`, which a command on
    /// the device would take for an option.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let slash = text.find('/').ok_or_else(|| NameError::NoSlash(text.escape_debug().to_string()))?;
        DeviceName::parse(&text[..slash])?;
        let user = &text[slash + 1..];
        let bad = |why| NameError::Bad { what: "user name", name: user.escape_debug().to_string(), why };
        if user.is_empty() || user.len() > 256 {
            return Err(bad("it must have 1 to 256 bytes"));
        }
        if user.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(bad("blanks and control characters cannot stand in it"));
        }
        if user.chars().any(is_unseen) {
            return Err(bad(
                "a character that is not seen, or that turns the direction of writing, cannot stand in it",
            ));
        }
        if user.starts_with('-') {
            return Err(bad("a device would take a leading '-' for an option"));
        }
        Ok(Self { whole: text.into() })
    }

    /// `DEVICE/USERNAME`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.whole
    }

    /// Whether this is a copy of the other: quick, and `false` says nothing.
    #[cfg(any(test, feature = "sim"))]
    #[must_use]
    pub(crate) fn is_copy_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.whole, &other.whole)
    }

    fn parts(&self) -> (&str, &str) {
        self.whole.split_once('/').unwrap_or((&self.whole, ""))
    }

    /// The part before the first slash.
    #[must_use]
    pub fn device(&self) -> DeviceName {
        DeviceName(self.device_str().into())
    }

    /// The part before the first slash, as it stands in the name.
    #[must_use]
    pub fn device_str(&self) -> &str {
        self.parts().0
    }

    /// The part after the first slash.
    #[must_use]
    pub fn user(&self) -> &str {
        self.parts().1
    }
}

impl Hash for AccountName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.whole.hash(state);
    }
}

impl Borrow<str> for AccountName {
    fn borrow(&self) -> &str {
        &self.whole
    }
}

/// An account as a message about a table may name it. Where a quote is missing in a CSV, other columns stand in this one,
/// and they may be secret.
#[must_use]
pub fn shown_account(text: &str) -> String {
    match AccountName::parse(text) {
        Ok(name) if !text.contains([',', ';', '"']) => format!("account '{name}'"),
        _ => "account of that line".into(),
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.whole)
    }
}

impl serde::Serialize for AccountName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.whole)
    }
}

/// Whether a byte is an unreserved character of RFC 3986 (section 2.3).
#[must_use]
pub fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Whether a character is not seen, or changes how its neighbours are: what Unicode calls format characters (general category Cf)
/// and default-ignorable code points (UAX #44), the bidirectional controls among them (UAX #9).
#[must_use]
pub fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}'
        | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The folder in which a file is: the current one where its path names none.
#[must_use]
pub fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A text in which all but the unreserved characters of RFC 3986 (section 2.3) is encoded.
#[must_use]
pub fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_unreserved(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            HEXUPPER.encode_append(&[byte], &mut out);
        }
    }
    out
}

/// The bytes of a text that was encoded so. A `%` that no two hexadecimal digits follow is itself.
#[must_use]
pub fn percent_decode(text: &str) -> Zeroizing<Vec<u8>> {
    let bytes = text.as_bytes();
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let pair = digit(at + 1).zip(digit(at + 2)).filter(|_| byte == b'%');
        out.push(pair.map_or(byte, |(high, low)| high << 4 | low));
        at += if pair.is_some() { 3 } else { 1 };
    }
    out
}

/// Whether `name` matches `glob` as glob(7) has it: `*` is any run of characters and `?` any one, slashes among them; `[a-c]` is one of
/// these, and `[!a-c]` one that is none of them. A `[` that is never closed is itself, and what is a name matches itself.
///
/// Time is linear in `name` for each `*`, whatever the glob.
#[must_use]
pub fn glob_match(glob: &str, name: &str) -> bool {
    glob == name || matches(&pieces(glob, true), name)
}

/// Whether `name` matches a pattern as ssh_config(5) has them: `*` and `?`, and all else is literal.
#[must_use]
pub fn ssh_pattern_match(pattern: &str, name: &str) -> bool {
    matches(&pieces(pattern, false), name)
}

/// A piece of a glob.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Run,
    Any,
    One(char),
    Class { without: bool, ranges: Vec<(char, char)> },
}

impl Piece {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Run => false,
            Self::Any => true,
            Self::One(one) => *one == c,
            Self::Class { without, ranges } => ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *without,
        }
    }
}

fn pieces(glob: &str, classes: bool) -> Vec<Piece> {
    let glob: Vec<char> = glob.chars().collect();
    let (mut pieces, mut at) = (Vec::with_capacity(glob.len()), 0);
    while let Some(&c) = glob.get(at) {
        at += 1;
        pieces.push(match c {
            '*' => Piece::Run,
            '?' => Piece::Any,
            '[' if classes => match class(&glob[at..]) {
                Some((class, length)) => {
                    at += length;
                    class
                }
                None => Piece::One(c),
            },
            c => Piece::One(c),
        });
    }
    pieces
}

/// What stands behind a `[`, and how long it is, if it is closed. A `]` at its begin is one of the characters.
fn class(glob: &[char]) -> Option<(Piece, usize)> {
    let without = matches!(glob.first(), Some('!' | '^'));
    let begin = usize::from(without);
    let end = begin + 1 + glob.get(begin + 1..)?.iter().position(|&c| c == ']')?;
    let (mut ranges, mut at) = (Vec::new(), begin);
    while at < end {
        let range = at + 2 < end && glob[at + 1] == '-';
        ranges.push(if range { (glob[at], glob[at + 2]) } else { (glob[at], glob[at]) });
        at += if range { 3 } else { 1 };
    }
    Some((Piece::Class { without, ranges }, end + 1))
}

fn matches(glob: &[Piece], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let (mut g, mut n, mut run) = (0, 0, None);
    while n < name.len() {
        match glob.get(g) {
            Some(Piece::Run) => {
                run = Some((g, n));
                g += 1;
            }
            Some(piece) if piece.takes(name[n]) => {
                g += 1;
                n += 1;
            }
            _ => match run {
                Some((at, from)) => {
                    run = Some((at, from + 1));
                    g = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|piece| *piece == Piece::Run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_a_device_and_a_user_name() {
        let account = AccountName::parse("web1/admin").unwrap();
        assert_eq!((account.device().as_str(), account.user()), ("web1", "admin"));
        let windows = AccountName::parse("dc1/CORP\\svc-backup@x").unwrap();
        assert_eq!(windows.user(), "CORP\\svc-backup@x");
    }

    #[test]
    fn a_name_that_could_inject_a_line_or_an_option_is_refused() {
        for bad in ["web1", "/x", "web1/", "web1/-rf", "web1/a b", "web1/a\nb", "we b/a", "-d/a", "w\u{1b}[1m/a"] {
            assert!(AccountName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_with_something_that_is_not_seen_is_refused() {
        for unseen in [
            '\u{ad}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{202e}',
            '\u{2066}',
            '\u{2060}',
            '\u{feff}',
            '\u{61c}',
            '\u{34f}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{e0041}',
            '\u{2028}',
            '\u{180e}',
        ] {
            for name in [format!("web1/ad{unseen}min"), format!("web1/{unseen}"), format!("web1/admin{unseen}")] {
                assert!(AccountName::parse(&name).is_err(), "{name:?}");
            }
        }
        for name in ["web1/jörg", "web1/ювелир", "web1/管理者", "web1/admin@x", "web1/o'neil"] {
            assert!(AccountName::parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn globs_match_whole_names() {
        assert!(glob_match("web*/admin", "web12/admin"));
        assert!(glob_match("core-*/*", "core-a/x/y"));
        assert!(glob_match("*", ""));
        assert!(glob_match("a?c*", "abc"));
        assert!(!glob_match("web*/admin", "web12/admin2"));
        assert!(!glob_match("web", "web1"));
        for (glob, takes, leaves) in [
            ("web[12]/*", &["web1/a", "web2/b"][..], &["web3/a", "web12/a", "web[12]/a"][..]),
            ("web[1-3a]/x", &["web2/x", "weba/x"], &["web4/x", "web-/x"]),
            ("[!a-c]*", &["d1/x"], &["a1/x", "b"]),
            ("[^a]/x", &["b/x"], &["a/x"]),
            ("d/[]x]", &["d/]", "d/x"], &["d/[", "d/"]),
            ("d/[a-]", &["d/a", "d/-"], &["d/b"]),
            ("d/[ab", &["d/[ab"], &["d/a"]),
            ("d/a[1]", &["d/a1", "d/a[1]"], &["d/a2"]),
            ("*[0-9]/[ä-ö]?", &["web12/äx", "w0/öö"], &["web/äx", "w0/äxx"]),
            ("[!]", &["[!]"], &["a", "!"]),
        ] {
            assert!(takes.iter().all(|name| glob_match(glob, name)), "{glob} takes {takes:?}");
            assert!(!leaves.iter().any(|name| glob_match(glob, name)), "{glob} leaves {leaves:?}");
        }
        assert!(ssh_pattern_match("[fd00::1]*", "[fd00::1]:22") && !ssh_pattern_match("[fd]", "f"));
    }
}

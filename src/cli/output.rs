//! What is printed: lines, tables and times for people.

use std::fmt::Arguments;
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;

use chrono::{DateTime, Local};

/// Writes to stdout. Where its reader has gone away, as `head` does, the program ends as by SIGPIPE, and says nothing of it;
/// what else is wrong with stdout is told.
pub(crate) fn write(text: Arguments<'_>) {
    let Err(error) = std::io::stdout().lock().write_fmt(text) else { return };
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(141);
    }
    eprintln!("stdout: {error}");
    std::process::exit(1);
}

/// Prints a line to stdout, by [`output::write`](crate::cli::output::write).
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::output::write(format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints to stdout without a line end, by [`output::write`](crate::cli::output::write).
macro_rules! put {
    ($($text:tt)*) => { $crate::cli::output::write(format_args!($($text)*)) };
}
pub(crate) use {put, say};

/// How large a terminal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// The size of the terminal that stdout is, where it is one.
pub(super) fn size() -> Option<Size> {
    let stdout = std::io::stdout();
    let size = rustix::termios::tcgetwinsize(stdout.as_fd()).ok()?;
    // A terminal that does not know its size says 0.
    let or = |given: u16, usual: usize| if given == 0 { usual } else { usize::from(given) };
    Some(Size { columns: or(size.ws_col, 80), rows: or(size.ws_row, 24) })
}

/// Whether stdout may have colour.
pub(super) fn color() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A text in a colour (an SGR number), where colour may be.
pub(super) fn paint(text: &str, sgr: u8) -> String {
    if color() { format!("\u{1b}[{sgr}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// A text as it may stand on a terminal: what could steer it is escaped.
pub(super) fn safe(text: &str) -> String {
    in_local_times(&crate::model::Masker::default().mask(text))
}

/// The text with each time in it (RFC 3339, UTC) as the tables show times: in the local zone.
fn in_local_times(text: &str) -> String {
    /// As long as `2026-11-30T20:15:00` is.
    const SECONDS: usize = 19;
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('T') {
        let begins = at.checked_sub(10).filter(|begins| rest.is_char_boundary(*begins));
        let found = begins.and_then(|begins| {
            let body = rest.get(begins..begins + SECONDS)?;
            let behind = rest.get(begins + SECONDS..)?;
            let fraction =
                behind.strip_prefix('.').map_or(0, |digits| 1 + digits.bytes().take_while(u8::is_ascii_digit).count());
            behind.get(fraction..)?.strip_prefix('Z')?;
            let end = begins + SECONDS + fraction + 1;
            DateTime::parse_from_rfc3339(rest.get(begins..end)?).ok()?;
            Some((begins, local(Some(&format!("{body}Z"))), end))
        });
        match found {
            Some((begins, time, end)) => {
                told.push_str(&rest[..begins]);
                told.push_str(&time);
                rest = &rest[end..];
            }
            None => {
                told.push_str(&rest[..=at]);
                rest = &rest[at + 1..];
            }
        }
    }
    told.push_str(rest);
    told
}

/// RFC 3339 in UTC as a local time.
pub(super) fn local(time: Option<&str>) -> String {
    let parsed = time.and_then(|time| DateTime::parse_from_rfc3339(time).ok());
    parsed.map_or_else(|| "-".into(), |time| time.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string())
}

/// RFC 3339 as the tables show times, in the zone in which it is written.
pub(super) fn in_its_zone(time: &str) -> String {
    DateTime::parse_from_rfc3339(time).map_or_else(|_| safe(time), |time| time.format("%Y-%m-%d %H:%M:%S").to_string())
}

/// Rows under a header, columns as wide as they must be.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([header[column].len()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: Vec<&str>| {
        let last = cells.len().saturating_sub(1);
        let padded: Vec<String> = cells
            .iter()
            .enumerate()
            .map(|(n, cell)| {
                if n == last {
                    (*cell).to_owned()
                } else {
                    let width = widths.get(n).copied().unwrap_or(0);
                    format!("{cell}{}", " ".repeat(width.saturating_sub(cell.chars().count())))
                }
            })
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    let head = line(header.to_vec());
    let body = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(head).chain(body).collect::<Vec<_>>().join("\n")
}

/// The first line of a text, at most so many characters of it.
pub(super) fn short(text: &str, most: usize) -> String {
    let line = safe(text.lines().next().unwrap_or_default());
    if line.chars().count() <= most { line } else { format!("{}…", line.chars().take(most - 1).collect::<String>()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_a_text_are_shown_as_the_tables_show_them() {
        let at = "2026-11-30T20:15:00Z";
        let shown = local(Some(at));
        for (text, expected) in [
            (format!("It is due again on {at}."), format!("It is due again on {shown}.")),
            (format!("{at} and {at}"), format!("{shown} and {shown}")),
            ("2026-11-30T20:15:00.250Z".to_owned(), shown.clone()),
            ("TOTP, 2026-11-30T, T, héT".to_owned(), "TOTP, 2026-11-30T, T, héT".to_owned()),
            ("2026-13-30T20:15:00Z".to_owned(), "2026-13-30T20:15:00Z".to_owned()),
            ("2026-11-30T20:15:00+01:00".to_owned(), "2026-11-30T20:15:00+01:00".to_owned()),
        ] {
            assert_eq!(in_local_times(&text), expected, "{text}");
        }
    }
}

//! The echo of a line that was sent: it is no answer.

/// Whether a text begins with an echo.
pub(super) enum Echo {
    /// It does, and the echo has so many bytes.
    Whole(usize),
    /// Nothing else came yet, and it is not complete.
    Begun,
    /// It does not.
    None,
}

/// Whether a text begins with what was sent, wrapped or not, or has it at the end of its first lines behind a prompt.
pub(super) fn echo(text: &str, sent: &str) -> Echo {
    let mut expected = sent.trim().chars().peekable();
    for (at, c) in text.char_indices() {
        match expected.peek() {
            Some(&wanted) if wanted == c => {
                expected.next();
                if expected.peek().is_none() {
                    return Echo::Whole(at + c.len_utf8());
                }
            }
            _ if c.is_whitespace() => {}
            _ => return echo_behind_prompt(text, sent.trim()),
        }
    }
    Echo::Begun
}

fn echo_behind_prompt(text: &str, sent: &str) -> Echo {
    let mut at = 0;
    for line in text.split_inclusive('\n').take(20) {
        at += line.len();
        if sent.len() >= 3 && line.ends_with('\n') && (line.trim_end().ends_with(sent) || is_scrolled(line, sent)) {
            return Echo::Whole(at - 1);
        }
    }
    Echo::None
}

/// Whether a line shows the end of what was sent behind a mark: IOS scrolls a line that is longer than its width to the left
/// behind a `$` (Cisco IOS Configuration Fundamentals, "Scrolling Down a Line"), readline behind a `<`.
fn is_scrolled(line: &str, sent: &str) -> bool {
    line.trim_end().split_once(['$', '<']).is_some_and(|(_, rest)| rest.len() >= 8 && sent.ends_with(rest))
}

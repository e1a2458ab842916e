//! The corrected line of a web template, where a slip is evident.

use super::parse::{WEB_COMMANDS, codes_of, command_of};
use super::selector::Selector;
use crate::model::nearest;
use crate::template::ast::{Piece, Text};

/// The line that was meant, if the slip of this code has an evident remedy that then passes.
pub(super) fn corrected(code: &str, body: &str) -> Option<String> {
    let name_end = body.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(body.len());
    let (name, rest) = body.split_at(name_end);
    let argument = rest.trim();
    let fixed = match code {
        "T001" => format!("{}{rest}", nearest(name, WEB_COMMANDS.iter().copied())?),
        "T002" if name == "fill" || name == "really-fill" => with_tag(name, argument)?,
        "T003" => Some(format!("{body}\"")).filter(|fixed| command_of(fixed).is_some())?,
        "T010" => name.to_owned(),
        "T202" if name == "start-at" || name == "get" => {
            let bare = argument.trim_matches('"');
            format!("{name} https://{}", bare.strip_prefix("//").unwrap_or(bare))
        }
        "T203" => {
            let text = argument.trim_matches('"').to_ascii_lowercase();
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            let number: u64 = text[..end].parse().ok()?;
            match text[end..].trim() {
                "ms" | "msec" | "milliseconds" => format!("{name} {number}"),
                "s" | "sec" | "secs" | "second" | "seconds" => format!("{name} {}", number.checked_mul(1000)?),
                _ => return None,
            }
        }
        "T102" | "T113" => crate::template::fix::corrected(code, body)?,
        _ => return None,
    };
    (fixed != body && !codes_of(&fixed).contains(&code)).then_some(fixed)
}

/// `fill SELECTOR` with the tag that the selector's names speak of.
fn with_tag(name: &str, argument: &str) -> Option<String> {
    let selector = Selector::parse(&Text { pieces: vec![Piece::Literal(argument.to_owned())] }).ok()?;
    let words = selector.words();
    let has = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    let tag = if has(&["confirm", "repeat", "retype", "new"]) {
        "NEW_PASSWORD"
    } else if has(&["otp", "token", "mfa", "totp"]) {
        "TOTP_TOKEN"
    } else if has(&["old", "current", "pass", "pwd"]) {
        "CURRENT_PASSWORD"
    } else if has(&["user", "login", "email"]) {
        "USERNAME"
    } else {
        return None;
    };
    let quoted = if argument.contains(char::is_whitespace) { format!("\"{argument}\"") } else { argument.to_owned() };
    Some(format!("{name} {quoted} [#{tag}#]"))
}

/// `$('SELECTOR')`, `jQuery("SELECTOR")` or `document.querySelector('SELECTOR')` and what stands behind it.
fn looked_up(code: &str) -> Option<(&str, &str)> {
    let code = code.trim().trim_end_matches(';').trim_end();
    let begins = ["$(", "jQuery(", "document.querySelector(", "document.querySelectorAll("];
    let rest = begins.iter().find_map(|begin| code.strip_prefix(begin))?.trim_start();
    let quote = rest.chars().next().filter(|c| "'\"`".contains(*c))?;
    let inner = &rest[1..];
    let end = inner.find(quote)?;
    let behind = inner[end + 1..].trim_start().strip_prefix(')')?;
    Some((&inner[..end], behind.trim()))
}

/// The command that tests what a script of a bare look-up only names, as in `$('div:contains("done")')`.
pub(super) fn tested(code: &str) -> Option<String> {
    let (selector, behind) = looked_up(code)?;
    let behind = behind.replace(char::is_whitespace, "");
    let line = format!("test-selector {selector}");
    (matches!(behind.as_str(), "" | ".length") && command_of(&line).is_some()).then_some(line)
}

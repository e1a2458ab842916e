//! From text to the commands of a web template.

use std::path::Path;
use std::time::Duration;

use super::ast::{Clicking, DialogAnswer, Entering, Key, Part, Until, WebCommand, WebLine};
use super::fix::corrected;
use super::reference::find;
use super::selector::Selector;
use crate::model::{Problem, nearest, numbered_lines};
use crate::template::ast::{Piece, Text};
use crate::template::lines::{Argument, Language, Slip};
use crate::template::parse::{info, is_escaped, tagged, unescape, unquote};

/// The names of all commands of web templates, aliases included.
pub const WEB_COMMANDS: &[&str] = &[
    "start-at",
    "get",
    "timeout",
    "user-agent",
    "useragent",
    "new-action",
    "fill",
    "really-fill",
    "click",
    "really-click",
    "jclick",
    "prop",
    "test-location",
    "set-location",
    "test-selector",
    "test-visible",
    "test-not-visible",
    "test-text",
    "test-no-text",
    "jscript",
    "log",
    "sleep",
    "fill-form",
    "select-button",
    "submit",
    "expect",
    "choose",
    "when-selector",
    "when-location",
    "when-text",
    "end-choose",
    "answer-selector",
    "end-answer",
    "frame",
    "main-frame",
    "select",
    "check",
    "uncheck",
    "press",
    "accept-dialog",
    "dismiss-dialog",
    "ask-person",
    "info",
    "fail",
    "section",
    "end",
];

/// Commands by which a file begins that is a web template.
const BEGINNINGS: &[&str] = &["start-at", "get", "timeout", "user-agent", "useragent"];

/// A number below this behind `sleep` is one of seconds: public templates write `sleep 3` and `sleep 3000` for the same.
const FIRST_MILLISECONDS: f64 = 100.0;

/// Whether a file is a web template: by its first command besides comments and `info`, or because `info kind "web"` says so.
#[must_use]
pub fn is_web(text: &str) -> bool {
    for (_, _, line) in numbered_lines(text) {
        let line = line.trim();
        let (name, rest) = line.split_once(|c: char| c.is_whitespace() || c == '"').unwrap_or((line, ""));
        match name {
            "" => {}
            comment if comment.starts_with('#') => {}
            "info" => {
                let mut words = rest.split_whitespace();
                if words.next() == Some("kind") {
                    return words.next().is_some_and(|kind| kind.trim_matches('"') == "web");
                }
            }
            name if BEGINNINGS.contains(&name) => return true,
            name => {
                let known = crate::template::COMMANDS.contains(&name);
                return !known && nearest(name, BEGINNINGS.iter().copied()).is_some();
            }
        }
    }
    false
}

/// The language of web templates.
const LANGUAGE: Language<WebCommand> = Language {
    names: WEB_COMMANDS,
    called: "the commands of web templates",
    quotes_are: "taken",
    example: |name| find(name).map(|entry| entry.example),
    bare,
    with,
    corrected,
};

/// Reads the lines of a web template: the commands that could be read, and every problem.
pub(in crate::template) fn parse(file: &Path, text: &str) -> (Vec<WebLine>, Vec<Problem>) {
    let (lines, problems) = LANGUAGE.read(file, text);
    (lines.into_iter().map(|(number, command, span)| WebLine { number, command, span }).collect(), problems)
}

/// The codes of what is wrong with one line by itself.
pub(super) fn codes_of(body: &str) -> Vec<&'static str> {
    LANGUAGE.codes_of(body)
}

/// One line by itself.
pub(super) fn command_of(body: &str) -> Option<WebCommand> {
    LANGUAGE.command(body, 0, &mut Vec::new()).ok()
}

fn with(name: &str, argument: Argument<'_>, slips: &mut Vec<Slip>) -> Result<WebCommand, Slip> {
    match name {
        "fill" | "really-fill" | "prop" | "select" => with_value(name, argument, slips),
        "fill-form" => fill_form(argument, slips),
        "ask-person" => ask_person(argument, slips),
        "info" => info(argument).map(|(key, value)| WebCommand::Info(key, value)),
        "jscript" => script(argument, slips).map(WebCommand::Script),
        "click" | "really-click" | "jclick" | "test-selector" | "test-visible" | "test-not-visible"
        | "when-selector" | "answer-selector" | "frame" | "check" | "uncheck" => about_element(name, argument, slips),
        _ => one_argument(name, argument, slips),
    }
}

fn bare(name: &str) -> Option<WebCommand> {
    Some(match name {
        "end" => WebCommand::End,
        "new-action" => WebCommand::NewAction,
        "submit" => WebCommand::Submit,
        "choose" => WebCommand::Choose,
        "end-choose" => WebCommand::EndChoose,
        "end-answer" => WebCommand::EndAnswer,
        "main-frame" => WebCommand::MainFrame,
        "accept-dialog" => WebCommand::Dialog(DialogAnswer::Accept),
        "dismiss-dialog" => WebCommand::Dialog(DialogAnswer::Dismiss),
        _ => return None,
    })
}

fn about_element(name: &str, argument: Argument<'_>, slips: &mut Vec<Slip>) -> Result<WebCommand, Slip> {
    let found = selector(&unquote(argument)?, argument, slips)?;
    Ok(match name {
        "click" | "really-click" => WebCommand::Click(found, Clicking::Pointer),
        "jclick" => WebCommand::Click(found, Clicking::Script),
        "test-not-visible" => WebCommand::TestNotVisible(found),
        "when-selector" => WebCommand::WhenSelector(found),
        "answer-selector" => WebCommand::AnswerSelector(found),
        "frame" => WebCommand::Frame(found),
        "check" => WebCommand::Check(found, true),
        "uncheck" => WebCommand::Check(found, false),
        _ => WebCommand::TestSelector(found),
    })
}

fn one_argument(name: &str, argument: Argument<'_>, slips: &mut Vec<Slip>) -> Result<WebCommand, Slip> {
    let value = unquote(argument)?;
    let text = |slips: &mut Vec<Slip>| tagged(&value, argument, slips);
    Ok(match name {
        "start-at" | "get" => WebCommand::StartAt(address(&value, argument, slips)?),
        "timeout" => {
            let time = number(&value).filter(|time| (1.0..=3_600_000.0).contains(time)).ok_or_else(|| {
                argument.slip("T203", "milliseconds are needed here: a number from 1 to 3600000, such as 30000")
            })?;
            WebCommand::Timeout(Duration::from_secs_f64(time / 1000.0))
        }
        "user-agent" | "useragent" => WebCommand::UserAgent(value),
        "sleep" => {
            let time = number(&value).filter(|time| (0.0..=3_600_000.0).contains(time)).ok_or_else(|| {
                argument.slip("T203", "a number is needed here: seconds below 100, milliseconds from there on")
            })?;
            let seconds = if time < FIRST_MILLISECONDS { time } else { time / 1000.0 };
            WebCommand::Sleep(Duration::from_secs_f64(seconds))
        }
        "press" => {
            let names = || Key::names().collect::<Vec<_>>().join(", ");
            let key = Key::parse(value.trim());
            WebCommand::Press(key.ok_or_else(|| {
                let hint = nearest(value.trim(), Key::names())
                    .map_or_else(|| format!("the keys are {}", names()), |known| format!("did you mean '{known}'?"));
                argument.slip("T204", format!("unknown key '{}'; {hint}", value.trim().escape_debug()))
            })?)
        }
        "section" => {
            let name = value.trim();
            WebCommand::Section(Part::parse(name).ok_or_else(|| {
                let known = Part::NAMES.join(", ");
                argument.slip("T001", format!("unknown section '{}'; the sections are {known}", name.escape_debug()))
            })?)
        }
        "test-location" => WebCommand::TestLocation(text(slips)?),
        "set-location" => WebCommand::SetLocation(text(slips)?),
        "test-text" => WebCommand::TestText(text(slips)?),
        "test-no-text" => WebCommand::TestNoText(text(slips)?),
        "log" => WebCommand::Log(text(slips)?),
        "select-button" => WebCommand::SelectButton(text(slips)?),
        "expect" => WebCommand::Expect(text(slips)?),
        "when-location" => WebCommand::WhenLocation(text(slips)?),
        "when-text" => WebCommand::WhenText(text(slips)?),
        _ => WebCommand::Fail(text(slips)?),
    })
}

fn number(value: &str) -> Option<f64> {
    value.trim().parse::<f64>().ok().filter(|number| number.is_finite())
}

/// The address of a page, which begins with its scheme.
fn address(value: &str, argument: Argument<'_>, slips: &mut Vec<Slip>) -> Result<Text, Slip> {
    let text = tagged(value, argument, slips)?;
    let whole = match text.pieces.first() {
        Some(Piece::Literal(literal)) => {
            let lower = literal.to_lowercase();
            lower.starts_with("https://") || lower.starts_with("http://")
        }
        // A field may hold the whole address.
        Some(Piece::Tag(name, _)) => !matches!(name.as_str(), "HOSTNAME" | "IP"),
        None => false,
    };
    if whole && !value.contains(char::is_whitespace) {
        return Ok(text);
    }
    Err(argument.slip("T202", "the address of a page is needed here, such as https://[#HOSTNAME#]/login"))
}

/// A selector of a template's text.
fn selector(source: &str, argument: Argument<'_>, slips: &mut Vec<Slip>) -> Result<Selector, Slip> {
    let text = tagged(source, argument, slips)?;
    Selector::parse(&text).map_err(|why| argument.slip("T201", why))
}

fn is_selector(source: &str) -> bool {
    tagged(source, Argument { text: source, at: 0 }, &mut Vec::new()).is_ok_and(|text| Selector::parse(&text).is_ok())
}

/// The first of several arguments, and what follows it. One that begins with a quote ends at the first quote behind which a
/// blank or nothing follows and before which stands a whole selector, since one may have quotes of its own. Another ends at the
/// first blank outside of its brackets and quotes.
fn first_selector(argument: Argument<'_>) -> Result<(String, Argument<'_>), Slip> {
    let after = |end: usize| {
        let rest = argument.text[end..].trim_start();
        Argument { text: rest, at: argument.at + argument.text.len() - rest.len() }
    };
    let Some(inner) = argument.text.strip_prefix('"') else {
        let end = end_of_bare(argument.text);
        return Ok((argument.text[..end].to_owned(), after(end)));
    };
    let ends = |at: usize| !is_escaped(inner, at) && inner[at + 1..].chars().next().is_none_or(char::is_whitespace);
    let quotes: Vec<usize> = inner.match_indices('"').map(|(at, _)| at).filter(|&at| ends(at)).collect();
    let whole = quotes.iter().find(|&&at| is_selector(&unescape(&inner[..at]))).or(quotes.first());
    match whole {
        Some(&at) => Ok((unescape(&inner[..at]), after(at + 2))),
        None => Err(argument
            .slip("T003", "this quote is never closed; end the selector with \", and write the value behind it")),
    }
}

/// Where an argument without quotes ends: at a blank outside of brackets, quotes and tags.
fn end_of_bare(text: &str) -> usize {
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        match (c, quote) {
            ('\\', _) => escaped = true,
            (c, Some(open)) if c == open => quote = None,
            (_, Some(_)) => {}
            ('"' | '\'', None) if depth > 0 => quote = Some(c),
            ('[' | '(', None) => depth += 1,
            (']' | ')', None) => depth = depth.saturating_sub(1),
            (c, None) if c.is_whitespace() && depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

fn with_value(name: &str, argument: Argument<'_>, slips: &mut Vec<Slip>) -> Result<WebCommand, Slip> {
    let (source, mut rest) = first_selector(argument)?;
    let found = selector(&source, argument, slips)?;
    let missing = |what: &str| argument.slip("T002", format!("'{name}' needs {what} behind its selector"));
    if rest.text.is_empty() {
        return Err(missing(if name == "prop" { "a property and its value" } else { "a value" }));
    }
    if name == "prop" {
        let end = rest.text.find(char::is_whitespace).ok_or_else(|| missing("a property and its value"))?;
        let property = rest.text[..end].to_owned();
        if !property.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            return Err(rest.slip("T002", "the name of a property is needed here, such as: disabled false"));
        }
        let value = rest.text[end..].trim_start();
        rest = Argument { text: value, at: rest.at + rest.text.len() - value.len() };
        return Ok(WebCommand::Prop(found, property, tagged(&unquote(rest)?, rest, slips)?));
    }
    let value = tagged(&unquote(rest)?, rest, slips)?;
    Ok(match name {
        "really-fill" => WebCommand::Fill(found, value, Entering::ByKey),
        "select" => WebCommand::Select(found, value),
        _ => WebCommand::Fill(found, value, Entering::AtOnce),
    })
}

/// `fill-form NAME VALUE`: a name has no blanks unless it is quoted.
fn fill_form(argument: Argument<'_>, slips: &mut Vec<Slip>) -> Result<WebCommand, Slip> {
    let (name, end) = match argument.text.strip_prefix('"').and_then(|inner| Some((inner, inner.find('"')?))) {
        Some((inner, end)) => (&inner[..end], end + 2),
        None => {
            let end = argument.text.find(char::is_whitespace).unwrap_or(argument.text.len());
            (&argument.text[..end], end)
        }
    };
    let value = argument.text[end..].trim_start();
    if value.is_empty() {
        return Err(argument.slip("T002", "'fill-form' needs a value behind the name of the field"));
    }
    let rest = Argument { text: value, at: argument.at + argument.text.len() - value.len() };
    Ok(WebCommand::FillForm(tagged(name, argument, slips)?, tagged(&unquote(rest)?, rest, slips)?))
}

/// `ask-person "TEXT" until-selector S` or `until-location L`.
fn ask_person(argument: Argument<'_>, slips: &mut Vec<Slip>) -> Result<WebCommand, Slip> {
    let need = || {
        let message =
            "write what the person is to do, and what is there once it is done: \"TEXT\" until-selector SELECTOR";
        argument.slip("T002", message)
    };
    let inner = argument.text.strip_prefix('"').ok_or_else(need)?;
    let words = ["until-selector", "until-location"];
    let (end, word, from) = inner
        .match_indices('"')
        .find_map(|(at, _)| {
            let rest = inner[at + 1..].trim_start();
            let word = words.into_iter().find(|word| rest.starts_with(word))?;
            (!is_escaped(inner, at)).then_some((at, word, inner.len() - rest.len() + word.len()))
        })
        .ok_or_else(need)?;
    let until = inner[from..].trim_start();
    if until.is_empty() {
        return Err(need());
    }
    let rest = Argument { text: until, at: argument.at + argument.text.len() - until.len() };
    let text = tagged(&unescape(&inner[..end]), argument, slips)?;
    let until = unquote(rest)?;
    Ok(WebCommand::AskPerson(
        text,
        if word == "until-selector" {
            Until::Selector(selector(&until, rest, slips)?)
        } else {
            Until::Location(tagged(&until, rest, slips)?)
        },
    ))
}

/// `jscript CODE`: as it stands, since code has quotes of its own; in quotes where all of it is.
fn script(argument: Argument<'_>, slips: &mut Vec<Slip>) -> Result<Text, Slip> {
    let whole = argument.text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let code = whole.filter(|code| !code.replace("\\\"", "").contains('"')).map(unescape);
    tagged(&code.unwrap_or_else(|| argument.text.to_owned()), argument, slips)
}

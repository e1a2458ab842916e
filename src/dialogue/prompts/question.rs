//! Finds the question of a round, and what explains it.
//!
//! OpenSSH hands on what PAM modules print in front of a question in the same prompt, RADIUS front ends put the question in
//! the instruction and ask «Response:», and many name the user or the host. So the question is the last line that says
//! something, without those names; a question that says nothing is explained by the line nearest to it.

use super::verdict::{asks_for_person, is_sent_elsewhere, names_address, sets_up_a_seed};
use super::{Kind, Reading, reading};

/// Characters of a line that are read, from its end, and lines of a text, from the last.
const MOST_CHARACTERS: usize = 300;
const MOST_LINES: usize = 40;

/// Names that may stand in a question and mean nothing in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    pub(crate) user: String,
    pub(crate) hosts: Vec<String>,
}

/// The lines of a text that say something, without control characters and terminal sequences.
pub(crate) fn lines(text: &str) -> Vec<String> {
    let found = text.split(['\n', '\r']).map(plain).filter(|line| !line.is_empty());
    let mut found: Vec<String> = found.collect();
    let surplus = found.len().saturating_sub(MOST_LINES);
    found.drain(..surplus);
    found
}

fn plain(line: &str) -> String {
    let (mut out, mut chars) = (String::new(), line.chars().peekable());
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            if chars.next_if_eq(&'[').is_some() {
                while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
        } else {
            out.push(if c.is_control() || c.is_whitespace() { ' ' } else { c });
        }
    }
    let surplus = out.chars().count().saturating_sub(MOST_CHARACTERS);
    out.chars().skip(surplus).collect::<String>().trim().to_owned()
}

/// Words in front of a name.
const BEFORE_NAMES: &[&str] = &[
    "for", "user", "as", "on", "at", "of", "to", "from", "host", "account", "für", "von", "pour", "de", "para", "per",
    "di", "dla", "voor", "för", "pro", "для",
];

impl Names {
    /// A text, line by line, without the user's and the host's name: a host may be called `invalid-lab-1`.
    pub(crate) fn without(&self, text: &str) -> String {
        let lines: Vec<String> = lines(text).iter().map(|line| self.taken_out(line)).collect();
        lines.join("\n")
    }

    /// The line in lower case, without the user's and the host's name where one stands as a name.
    fn taken_out(&self, line: &str) -> String {
        let line = without_addresses(line);
        let names = std::iter::once(&self.user).chain(&self.hosts).filter(|name| !name.is_empty());
        names.fold(line, |line, name| without_name(&line, name)).to_lowercase()
    }
}

/// Without a `(user@host)` in front, and without any other `user@host`, with what belongs to it.
fn without_addresses(line: &str) -> String {
    let inside = |c: char| !c.is_whitespace() && !"()<>[]`\"‘’“”,;:".contains(c);
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('@') {
        let begin = rest[..at]
            .rfind(|c| !inside(c))
            .map_or(0, |before| before + rest[before..].chars().next().map_or(1, char::len_utf8));
        let end = rest[at..].find(|c| !inside(c)).map_or(rest.len(), |after| at + after);
        out.push_str(&rest[..begin]);
        rest = &rest[end..];
        rest = rest.strip_prefix("’s").unwrap_or(rest);
    }
    out.push_str(rest);
    out
}

fn without_name(line: &str, name: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut at = 0;
    let of_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    while let Some(found) = find_ignoring_case(&line[at..], name) {
        let (begin, end) = (at + found, at + found + name.len());
        let (before, after) = (&line[..begin], &line[end..]);
        let whole = !before.chars().next_back().is_some_and(of_word)
            && !after.chars().next().is_some_and(|c| of_word(c) && c != '.');
        let quoted = before.chars().next_back().is_some_and(|c| "'\"`[<‘“«".contains(c))
            && after.chars().next().is_some_and(|c| "'\"]>’”»".contains(c));
        let owns = after.starts_with("'s ") || after.starts_with("’s ");
        let word_before = before.trim_end().rsplit(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
        let named = before.ends_with(' ') && BEFORE_NAMES.contains(&word_before.to_lowercase().as_str());
        let leads = before.trim().is_empty() && after.starts_with(' ') && line[begin..end] == *name;
        out.push_str(&line[at..begin]);
        if !(whole && (quoted || owns || named || leads)) {
            out.push_str(&line[begin..end]);
        }
        at = end;
    }
    out.push_str(&line[at..]);
    out
}

fn find_ignoring_case(text: &str, name: &str) -> Option<usize> {
    let (text, name) = (text.as_bytes(), name.as_bytes());
    text.windows(name.len()).position(|window| window.eq_ignore_ascii_case(name))
}

/// What a prompt asks for. `context` are the round's name and instruction, `earlier` the texts without a question since the
/// last answer.
pub(crate) fn read(prompt: &str, context: &str, earlier: &[String], names: &Names) -> Kind {
    let own = lines(prompt);
    let (above, line) = own.split_last().map_or((&[][..], ""), |(line, above)| (above, line.as_str()));
    let (name, instruction) = context.split_once('\n').unwrap_or((context, ""));
    // The nearest first.
    let mut explains: Vec<String> = above.iter().rev().cloned().collect();
    explains.extend(lines(instruction).into_iter().rev());
    explains.extend(earlier.iter().rev().flat_map(|text| lines(text).into_iter().rev()));
    explains.extend(lines(name).into_iter().rev());
    let explains: Vec<String> = explains.iter().map(|line| names.taken_out(line)).collect();
    let line = names.taken_out(line);
    let own = reading(&line);
    let challenge = ["otp-md", "otp-sha", "s/key"];
    if explains.first().is_some_and(|near| challenge.iter().any(|begin| near.starts_with(begin))) {
        return Kind::Unknown;
    }
    let list = explains.iter().filter(|line| is_item(line)).count() >= 2;
    let near = explains.first().map(String::as_str).unwrap_or_default();
    match own.kind {
        Kind::Code | Kind::WeakCode if is_sent_elsewhere(&line) || !is_item(near) && is_sent_elsewhere(near) => {
            Kind::Person
        }
        Kind::Code | Kind::WeakCode if explains.iter().any(|line| sets_up_a_seed(line)) => Kind::Person,
        Kind::Password if is_sent_elsewhere(&line) => Kind::Person,
        Kind::Password if is_of_a_list(&line) => Kind::Unknown,
        Kind::WeakCode if list && own.bare && !offers_code(&explains) => Kind::Menu,
        Kind::Unknown if asks_for_person(&line) => Kind::Person,
        Kind::Generic => explained(&explains, list),
        Kind::Key if waits_for_person(&line, &explains) => Kind::Person,
        Kind::Password if own.bare => refined(&explains),
        kind => kind,
    }
}

/// Whether a password of a printed list is asked for by its numbers, as pam_otpw(8) does: «Password 023:», «Password
/// 023/045/067:».
fn is_of_a_list(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("password ") else { return false };
    let numbers = rest.trim_end_matches([':', ' ']).split('/');
    numbers.clone().count() > 0
        && numbers.into_iter().all(|number| number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// An item of a numbered list.
fn is_item(line: &str) -> bool {
    let text = line.trim_start_matches(['[', '(', ' ']);
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let rest = text[digits..].trim_start();
    (1..=2).contains(&digits) && rest.starts_with([')', ']', '.', '-', ':', '=', '–'])
}

/// Whether one of the lines says that a code may be typed: «Enter a passcode or select one of the following options».
fn offers_code(explains: &[String]) -> bool {
    let offers = |line: &&String| matches!(reading(line).kind, Kind::Code | Kind::WeakCode) && reading(line).request;
    explains.iter().filter(|line| !is_item(line)).any(|line| offers(&line))
}

/// Whether a key is to be pressed only once somebody has done something elsewhere.
fn waits_for_person(line: &str, explains: &[String]) -> bool {
    let first = [" once ", " when ", " after "].iter().any(|word| line.contains(word));
    let elsewhere = |line: &str| asks_for_person(line) || names_address(line);
    first || elsewhere(line) || explains.iter().any(|line| elsewhere(line))
}

/// What explains a question that says nothing by itself.
fn explained(explains: &[String], list: bool) -> Kind {
    if list {
        return if offers_code(explains) { Kind::WeakCode } else { Kind::Menu };
    }
    let readings: Vec<Reading> = explains.iter().map(|line| reading(line)).collect();
    let told = |reading: &&Reading| !matches!(reading.kind, Kind::Unknown | Kind::Generic);
    let found = readings.iter().position(|reading| told(&reading));
    let code = |at: usize| {
        let asks = matches!(readings[at].kind, Kind::Code | Kind::WeakCode | Kind::Both);
        asks && readings[at].request && !is_sent_elsewhere(&explains[at])
    };
    if explains.iter().any(|line| asks_for_person(line) || is_sent_elsewhere(line)) && !found.is_some_and(code) {
        return Kind::Person;
    }
    found.map_or(Kind::Generic, |found| readings[found].kind)
}

/// What a bare «Password:» asks for, where the nearest text says that it is something else.
fn refined(explains: &[String]) -> Kind {
    if explains.iter().any(|line| asks_for_person(line)) {
        return Kind::Person;
    }
    let Some(near) = explains.first() else { return Kind::Password };
    let said = reading(near);
    let other = matches!(
        said.kind,
        Kind::Code
            | Kind::WeakCode
            | Kind::New
            | Kind::NewAgain
            | Kind::Current
            | Kind::Both
            | Kind::CodeFirst
            | Kind::Person
    );
    if other && said.request && !said.mixed { said.kind } else { Kind::Password }
}

//! What the question of a login round asks for.
//!
//! Only the question is judged, see [`question`]. In it a word counts where it qualifies the thing asked for: `new` in
//! «new UNIX password», not in «password of the new jump host». The wordings are data, in [`words`].

mod closed;
mod index;
mod question;
#[cfg(test)]
mod tests;
mod verdict;
mod words;

pub(super) use question::{Names, lines, read};
pub(crate) use verdict::is_shut;
pub(super) use verdict::{asks_for_person, is_refusal, says_expired, wants_next_code};
pub use verdict::{is_account_level, is_full, judges_credentials};

use std::sync::LazyLock;

use index::ByBegin;
use words::{ENDINGS, ROWS, Row, Sign};

/// What a question wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The account's password; as in any login, or bare of every other word.
    Password,
    /// The password in force, asked for as such.
    Current,
    /// A new password.
    New,
    /// The new password again.
    NewAgain,
    /// A password again: the new one, where one was just given.
    PasswordAgain,
    /// A one-time code.
    Code,
    /// Mostly a one-time code: passcode, token.
    WeakCode,
    /// A fixed number.
    Pin,
    /// A fixed number with a code behind it.
    PinAndCode,
    /// Password and code in one field.
    Both,
    /// The same, the code first.
    CodeFirst,
    /// The user name.
    User,
    /// A key.
    Key,
    /// A choice.
    Menu,
    /// Something that only a person can do: a number to match, a push to approve.
    Person,
    /// It asks without saying for what.
    Generic,
    /// Nobody knows.
    Unknown,
}

/// A line, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    kind: Kind,
    /// It consists of the thing asked for and nothing else.
    bare: bool,
    /// It asks to type something in.
    request: bool,
    /// It names both password and code, and not as one field.
    mixed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// A wording; the flag tells whether its language puts qualifiers behind.
    Known(Sign, bool),
    /// A word that means nothing here.
    Opaque,
    Number,
    Open,
    Close,
    Comma,
    /// The end of a phrase.
    Stop,
    Colon,
}

impl Token {
    fn sign(self) -> Option<Sign> {
        if let Self::Known(sign, _) = self { Some(sign) } else { None }
    }
}

/// Whether words of this script are written without blanks between them.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ac00}'..='\u{d7a3}')
}

fn in_word(c: char) -> bool {
    (c.is_alphanumeric() || c == '-') && !is_unspaced(c)
}

/// How many bytes of the text a wording takes, where the text begins with it.
fn taken(text: &str, wording: &str) -> Option<usize> {
    let mut rest = text;
    for c in wording.chars() {
        if c == ' ' {
            let trimmed = rest.trim_start_matches([' ', '-', '_', '\u{a0}']);
            // Scripts without blanks may leave them out.
            if trimmed.len() == rest.len() && !wording.chars().all(|c| c == ' ' || is_unspaced(c)) {
                return None;
            }
            rest = trimmed;
        } else {
            rest = rest.strip_prefix(c)?;
        }
    }
    let whole = wording.chars().next_back().is_some_and(is_unspaced) || !rest.chars().next().is_some_and(in_word);
    whole.then_some(text.len() - rest.len())
}

static BY_BEGIN: LazyLock<ByBegin<Row>> = LazyLock::new(|| ByBegin::of(ROWS, |(wording, ..)| wording));

/// The longest wording at the begin of the text.
fn wording_at(text: &str) -> Option<(Token, usize)> {
    let begin = text.chars().next()?;
    let found = BY_BEGIN.beginning_with(begin).filter_map(|(wording, sign, language, _)| {
        let length = taken(text, wording)?;
        let behind = matches!(*language, "fr" | "es" | "pt" | "pt-BR" | "it");
        Some((Token::Known(*sign, behind), length))
    });
    found.max_by_key(|(_, length)| *length)
}

fn tokens(text: &str) -> Vec<Token> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        let ends =
            |length: usize| rest[length..].chars().next().is_none_or(|next| next.is_whitespace() || is_unspaced(next));
        let token = if let Some((token, taken)) = wording_at(rest) {
            length = taken;
            Some(token)
        } else if in_word(c) {
            let word = &rest[..rest.find(|c| !in_word(c)).unwrap_or(rest.len())];
            length = word.len();
            let ending = ENDINGS.iter().find(|(ending, _)| word.ends_with(ending) && !word.contains('-'));
            Some(match ending {
                Some((_, sign)) => Token::Known(*sign, false),
                None if word.chars().all(|c| c.is_ascii_digit()) => Token::Number,
                None => Token::Opaque,
            })
        } else {
            match c {
                '(' | '[' | '<' | '（' | '［' => Some(Token::Open),
                ')' | ']' | '>' | '）' | '］' => Some(Token::Close),
                '+' | '&' => Some(Token::Known(Sign::Join, false)),
                '/' | '|' => Some(Token::Known(Sign::Or, false)),
                ',' | '、' | '，' => Some(Token::Comma),
                ':' | '：' => Some(Token::Colon),
                '.' | '!' | '?' | ';' if ends(length) => Some(Token::Stop),
                '。' | '！' | '？' | '；' => Some(Token::Stop),
                c if is_unspaced(c) => Some(Token::Opaque),
                _ => None,
            }
        };
        found.extend(token);
        rest = &rest[length..];
    }
    found
}

fn is_thing(token: &Token) -> bool {
    use Sign::*;
    matches!(
        token.sign(),
        Some(Password | Code | WeakCode | Pin | User | Press | Menu | YesNo | Device | Again | Other)
    )
}

fn is_head(token: &Token) -> bool {
    matches!(token.sign(), Some(Sign::Password | Sign::Code | Sign::WeakCode | Sign::Pin))
}

fn is_code(token: &Token) -> bool {
    matches!(token.sign(), Some(Sign::Code | Sign::WeakCode))
}

/// Reads one line, in lower case, with the names taken out.
fn reading(line: &str) -> Reading {
    let all = tokens(line);
    let phrases: Vec<&[Token]> = all.split(|token| matches!(token, Token::Stop | Token::Colon)).collect();
    let phrase = phrases.iter().rev().find(|phrase| phrase.iter().any(is_thing));
    let phrase = phrase.or_else(|| phrases.iter().rev().find(|phrase| !phrase.is_empty())).copied().unwrap_or_default();
    let kind = kind_of(phrase);
    let says_more = |token: &&Token| {
        !matches!(token, Token::Colon | Token::Open | Token::Close | Token::Stop)
            && !matches!(token.sign(), Some(Sign::Enter | Sign::Filler))
    };
    let (words, password) = (all.iter().filter(says_more).count(), Some(Sign::Password));
    let (passwords, codes) = (all.iter().any(|token| token.sign() == password), all.iter().any(is_code));
    Reading {
        kind,
        bare: words == 1,
        request: all.first().and_then(|token| token.sign()) == Some(Sign::Enter)
            || all.get(1).and_then(|token| token.sign()) == Some(Sign::Enter)
            || all.last() == Some(&Token::Colon)
            || words == 1,
        mixed: passwords && codes && !matches!(kind, Kind::Both | Kind::CodeFirst),
    }
}

fn kind_of(phrase: &[Token]) -> Kind {
    let has = |sign| phrase.iter().any(|token| token.sign() == Some(sign));
    if has(Sign::YesNo) {
        return Kind::Unknown;
    }
    let head = phrase.iter().position(is_head);
    if offers_numbers(&phrase[..head.unwrap_or(phrase.len())]) {
        return Kind::Menu;
    }
    if has(Sign::Menu) {
        let typed = head.is_some_and(|head| is_code(&phrase[head])) && has(Sign::Or);
        return if typed { Kind::WeakCode } else { Kind::Menu };
    }
    let Some(head) = head else { return without_head(phrase) };
    // «Backup code, not your password»: another secret stands first.
    let other = phrase[..head].iter().position(|token| token.sign() == Some(Sign::Other));
    if other.is_some_and(|other| !phrase[other..head].iter().any(|token| token.sign() == Some(Sign::Or))) {
        return Kind::Unknown;
    }
    let (before, after) = (&phrase[..head], &phrase[head + 1..]);
    let code = is_code(&phrase[head]);
    if code && after.first() == Some(&Token::Number) {
        return Kind::Person;
    }
    let joined = joined_with(&phrase[head], after);
    let (new, current, again) = qualifiers(before, after);
    match phrase[head].sign() {
        Some(Sign::Pin) if new => Kind::Unknown,
        Some(Sign::Pin) if joined => Kind::PinAndCode,
        Some(Sign::Password) if joined => Kind::Both,
        Some(Sign::Pin | Sign::Password) if is_shown_by_a_device(after) => Kind::Code,
        Some(Sign::Pin) => Kind::Pin,
        Some(Sign::Code | Sign::WeakCode) if joined => Kind::CodeFirst,
        Some(Sign::Code) => Kind::Code,
        Some(Sign::WeakCode) => Kind::WeakCode,
        _ if new && current => Kind::Unknown,
        _ if new && again => Kind::NewAgain,
        _ if new => Kind::New,
        _ if current => Kind::Current,
        _ if again => Kind::PasswordAgain,
        _ => Kind::Password,
    }
}

/// Whether a question begins with a choice by numbers: «Enter 1 for push, 2 for token».
fn offers_numbers(begin: &[Token]) -> bool {
    let choice = |pair: &[Token]| pair[0] == Token::Number && pair[1].sign() == Some(Sign::Apart);
    let Some(at) = begin.windows(2).position(choice) else { return false };
    (1..=3).contains(&at)
        && begin[..at]
            .iter()
            .all(|token| *token == Token::Opaque || matches!(token.sign(), Some(Sign::Enter | Sign::Filler)))
}

fn without_head(phrase: &[Token]) -> Kind {
    let has = |sign| phrase.iter().any(|token| token.sign() == Some(sign));
    let generic = |token: &Token| {
        matches!(token, Token::Open | Token::Close | Token::Comma)
            || matches!(token.sign(), Some(Sign::Generic | Sign::Enter | Sign::Filler))
    };
    match () {
        () if has(Sign::Other) => Kind::Unknown,
        () if has(Sign::Device) && phrase.contains(&Token::Number) => Kind::Person,
        () if has(Sign::Press) => Kind::Key,
        () if has(Sign::Device) && phrase.iter().all(|token| token.sign() == Some(Sign::Device) || generic(token)) => {
            Kind::WeakCode
        }
        () if has(Sign::User) => Kind::User,
        () if has(Sign::Again) => Kind::PasswordAgain,
        () if phrase.iter().all(generic) => Kind::Generic,
        () => Kind::Unknown,
    }
}

/// Whether another thing follows the head in the same field: «PIN followed by your token code», «password,passcode».
fn joined_with(head: &Token, after: &[Token]) -> bool {
    let other = |token: &Token| is_head(token) && is_code(token) != is_code(head);
    let Some(second) = after.iter().position(other) else { return false };
    let between = &after[..second];
    let splits = |token: &Token| matches!(token.sign(), Some(Sign::Apart | Sign::From | Sign::Or)) || is_head(token);
    let joins = between.iter().any(|token| token.sign() == Some(Sign::Join)) || between == [Token::Comma];
    joins && !between.iter().any(splits)
}

/// Whether what follows tells that a device shows the thing: «PIN from your authenticator app».
fn is_shown_by_a_device(after: &[Token]) -> bool {
    let from = after.iter().take(3).position(|token| token.sign() == Some(Sign::From));
    let device = |token: &Token| is_code(token) || token.sign() == Some(Sign::Device);
    from.is_some_and(|from| after[from..].iter().any(device))
}

/// Which qualifiers belong to the head: new, current, again.
fn qualifiers(before: &[Token], after: &[Token]) -> (bool, bool, bool) {
    let own: Vec<Sign> = before
        .iter()
        .rev()
        .take_while(|token| {
            let apart = matches!(token.sign(), Some(Sign::Apart | Sign::From | Sign::Or | Sign::Join));
            !apart && !matches!(token, Token::Comma) && !is_head(token)
        })
        .take(10)
        .filter_map(|token| token.sign())
        .collect();
    let behind = |sign: Sign| {
        let plain = matches!(after.first(), Some(Token::Known(found, true)) if *found == sign);
        let ends = |token: Option<&Token>| token.is_none_or(|token| *token == Token::Close || is_head(token));
        let bracketed = after.first() == Some(&Token::Open)
            && after.get(1).and_then(|token| token.sign()) == Some(sign)
            && ends(after.get(2));
        plain || bracketed
    };
    // «new password again», «new password to confirm», but not «password to confirm the login».
    let again = |(at, token): (usize, &Token)| {
        let between = &after[..at];
        let apart = between.iter().any(|token| matches!(token.sign(), Some(Sign::Apart | Sign::From | Sign::Or)));
        let last = after[at + 1..].iter().all(|token| *token == Token::Close);
        token.sign() == Some(Sign::Again) && (!apart || last)
    };
    (
        own.contains(&Sign::New) || behind(Sign::New),
        own.contains(&Sign::Current) || behind(Sign::Current),
        own.contains(&Sign::Again) || after.iter().enumerate().any(again),
    )
}

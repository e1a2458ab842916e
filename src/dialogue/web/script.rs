//! A template's script with the values of its tags. A value becomes a string of JavaScript, or a part of one, in which no
//! character but letters and digits stands as it is: nothing of a value is ever code.

use zeroize::Zeroizing;

use crate::dialogue::values::Values;
use crate::model::Secret;
use crate::template::{Filter, Piece, Text};

/// What a piece of a script stands in (ECMA-262, chapter 12).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Code,
    Quotes(char),
    Expression,
    LineComment,
    BlockComment,
}

/// Reads a script from left to right.
struct Scanner {
    within: Within,
    escaped: bool,
    /// Open brackets: a `` ` `` is a template literal's `${`.
    open: Vec<char>,
    last: char,
    /// The last character of code that is no blank.
    before: char,
    word: String,
    returns: bool,
    /// Where the last statement on the outermost level begins.
    statement: usize,
}

impl Scanner {
    fn new() -> Self {
        Self {
            within: Within::Code,
            escaped: false,
            open: Vec::new(),
            last: ' ',
            before: '(',
            word: String::new(),
            returns: false,
            statement: 0,
        }
    }

    fn read(&mut self, c: char, at: usize) {
        if std::mem::take(&mut self.escaped) {
            self.last = ' ';
            return;
        }
        match self.within {
            Within::Quotes(quote) => match c {
                '\\' => self.escaped = true,
                c if c == quote => self.end_quote(c),
                '{' if quote == '`' && self.last == '$' => {
                    self.open.push('`');
                    self.within = Within::Code;
                }
                _ => {}
            },
            Within::Expression => match c {
                '\\' => self.escaped = true,
                '/' => self.end_quote(c),
                _ => {}
            },
            Within::LineComment if c == '\n' => self.within = Within::Code,
            Within::BlockComment if c == '/' && self.last == '*' => self.within = Within::Code,
            Within::LineComment | Within::BlockComment => {}
            Within::Code => self.code(c, at),
        }
        self.last = c;
    }

    fn end_quote(&mut self, c: char) {
        self.within = Within::Code;
        self.before = c;
    }

    fn code(&mut self, c: char, at: usize) {
        if c.is_alphanumeric() || c == '_' || c == '$' {
            self.word.push(c);
        } else {
            self.returns |= self.word == "return" && self.open.is_empty();
            self.word.clear();
        }
        match c {
            '\'' | '"' | '`' => self.within = Within::Quotes(c),
            '/' if self.last == '/' && self.before == '/' => self.within = Within::LineComment,
            '*' if self.last == '/' => self.within = Within::BlockComment,
            '(' | '[' | '{' => self.open.push(c),
            ')' | ']' => drop(self.open.pop()),
            '}' if self.open.last() == Some(&'`') => {
                self.open.pop();
                self.within = Within::Quotes('`');
            }
            '}' => drop(self.open.pop()),
            ';' if self.open.is_empty() => self.statement = at + 1,
            _ => {}
        }
        if c == '/' && "(,=:[!&|?{};".contains(self.before) {
            self.within = Within::Expression;
        }
        if !c.is_whitespace() {
            self.before = c;
        }
    }
}

/// A value as it stands within the quotes of a string, a template literal or a regular expression.
fn escaped(value: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(value.len() * 6));
    for unit in value.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\u{unit:04x}")),
        }
    }
    out
}

/// Words by which a statement begins that has no value.
const STATEMENTS: &[&str] =
    &["if", "for", "while", "do", "var", "let", "const", "function", "class", "throw", "try", "switch", "return", "{"];

/// The body of a function that runs a script and returns what judges its line: `false`, an empty list, or else `true`.
pub(super) fn body(code: &Text, values: &Values, one_time: Option<&Secret>) -> Secret {
    let mut scanner = Scanner::new();
    let mut out = Zeroizing::new(String::with_capacity(1024));
    for piece in &code.pieces {
        match piece {
            Piece::Literal(literal) => {
                for c in literal.chars() {
                    scanner.read(c, out.len());
                    out.push(c);
                }
            }
            Piece::Tag(name, filter) => {
                let value = value_of(name, *filter, values, one_time);
                let inside = scanner.within != Within::Code;
                let quote = if inside { "" } else { "\"" };
                out.push_str(quote);
                out.push_str(&escaped(&value));
                out.push_str(quote);
                scanner.before = '"';
            }
        }
    }
    scanner.read('\n', out.len());
    let end = out.trim_end_matches(|c: char| c.is_whitespace() || c == ';').len();
    let begin = if scanner.statement > end { last_statement(&out[..end]) } else { scanner.statement };
    let last = out[begin..end].trim();
    let has_value = !scanner.returns
        && !STATEMENTS.iter().any(|word| {
            last.strip_prefix(word)
                .is_some_and(|rest| *word == "{" || !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        });
    let script = Zeroizing::new(if has_value && !last.is_empty() {
        format!("{}return ({last}\n);", &out[..begin])
    } else {
        format!("{}\n", *out)
    });
    Secret::new(format!(
        "const judge = value => value === false ? false : value && typeof value === 'object' && value.length === 0 ? [] : true;\nconst value = (() => {{ {} }})();\nreturn value && typeof value.then === 'function' ? value.then(judge) : judge(value);",
        *script
    ))
}

/// Where the last statement of a script begins that ends with no semicolon any more.
fn last_statement(code: &str) -> usize {
    let mut scanner = Scanner::new();
    for (at, c) in code.char_indices() {
        scanner.read(c, at);
    }
    scanner.statement
}

fn value_of(name: &str, filter: Option<Filter>, values: &Values, one_time: Option<&Secret>) -> Zeroizing<String> {
    let text = Text { pieces: vec![Piece::Tag(name.to_owned(), filter)] };
    Zeroizing::new(values.fill(&text, one_time).expose().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::tagged_text;

    fn made(code: &str, password: &str) -> String {
        let mut values = Values::default();
        values.set("NEW_PASSWORD", Secret::new(password.to_owned()));
        let body = body(&tagged_text(code).unwrap(), &values, None).expose().to_owned();
        body.split_once("(() => { ").unwrap().1.split_once(" })();").unwrap().0.to_owned()
    }

    #[test]
    fn a_value_is_never_code() {
        let evil = "'); fetch(\"//evil\"); `${x}` \\";
        let inside = made("$('#p').val('[#NEW_PASSWORD#]')", evil);
        assert!(inside.starts_with("return ($('#p').val('\\u0027\\u0029\\u003b"), "{inside}");
        assert!(!inside.contains("fetch(") && !inside.contains("${"), "{inside}");
        let bare = made("enter([#NEW_PASSWORD#])", evil);
        assert!(bare.starts_with("return (enter(\"\\u0027") && bare.ends_with("\\u005c\")\n);"), "{bare}");
        let literal = made("enter(`a${ [#NEW_PASSWORD#] }[#NEW_PASSWORD#]`)", "a-b");
        assert_eq!(literal, "return (enter(`a${ \"a\\u002db\" }a\\u002db`)\n);");
        assert_eq!(made("x = /'/; enter([#NEW_PASSWORD#])", "é"), "x = /'/;return (enter(\"\\u00e9\")\n);");
    }

    #[test]
    fn the_value_of_the_last_statement_judges_the_line() {
        assert_eq!(made("$('a').click()", ""), "return ($('a').click()\n);");
        assert_eq!(made("a(); b('x;y');", ""), "a();return (b('x;y')\n);");
        assert_eq!(made("return a > 1", ""), "return a > 1\n");
        assert_eq!(made("if (a) { b(); }", ""), "if (a) { b(); }\n");
        assert_eq!(made("each(function () { return true; })", ""), "return (each(function () { return true; })\n);");
        assert_eq!(made("iffy()", ""), "return (iffy()\n);");
    }
}

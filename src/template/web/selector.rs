//! Selectors: CSS, and the extensions of jQuery that published templates use, read into steps that a browser evaluates without
//! jQuery.
//!
//! Nothing of a selector is handed on as it stands: names and values are written anew, quoted, so that neither a template's
//! text nor the value of a tag can become another selector. The meaning of jQuery's own words is that of its documentation
//! (api.jquery.com, category Selectors, "jQuery Extensions"): a position such as `:eq(1)` counts among all that was found so far.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::nearest;
use crate::template::ast::{Filter, Piece, Text};

/// The first of the characters that stand for tags while a selector is read: a private use plane of Unicode.
const FIRST_MARK: u32 = 0xF_0000;

/// Parts of a selector within each other, as in `:has(:not(…))`, at the most.
const MOST_NESTED: usize = 8;

/// Words behind a colon that CSS itself knows, without an argument.
const CSS_WORDS: &[&str] = &[
    "active",
    "default",
    "disabled",
    "empty",
    "enabled",
    "first-child",
    "first-of-type",
    "focus",
    "focus-within",
    "hover",
    "indeterminate",
    "invalid",
    "last-child",
    "last-of-type",
    "link",
    "only-child",
    "only-of-type",
    "optional",
    "placeholder-shown",
    "read-only",
    "read-write",
    "required",
    "root",
    "target",
    "valid",
];

/// Words of CSS with a formula such as `2n+1`.
const CSS_FORMULAS: &[&str] = &["nth-child", "nth-last-child", "nth-last-of-type", "nth-of-type"];

/// All words of jQuery that are known here, for the hint.
const JQUERY_WORDS: &[&str] = &[
    "button", "checkbox", "checked", "contains", "eq", "first", "gt", "has", "header", "hidden", "input", "is", "last",
    "lt", "not", "parent", "password", "radio", "selected", "submit", "text", "visible",
];

/// How a step is related to the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Combinator {
    /// A blank: anywhere below.
    Descendant,
    /// `>`: right below.
    Child,
    /// `+`: the next element.
    Next,
    /// `~`: any element behind it with the same parent.
    Sibling,
}

/// A part of a selector about one element.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    by: Combinator,
    simple: Vec<Simple>,
    filters: Vec<Extension>,
}

/// What CSS looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Simple {
    Any,
    Type(String),
    Id(String),
    Class(String),
    Attribute {
        name: String,
        /// The sign, such as `^=`, and the value.
        test: Option<(String, String)>,
        any_case: bool,
    },
    /// A word of CSS, with its formula.
    Word(String),
}

/// What CSS has no word for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Extension {
    Contains(String),
    Eq(i32),
    Lt(i32),
    Gt(i32),
    Last,
    Visible,
    Hidden,
    Parent,
    /// One of these selectors of CSS matches.
    Css(&'static str),
    Has(Vec<Vec<Step>>),
    Is(Vec<Vec<Step>>),
    Not(Vec<Vec<Step>>),
}

/// A selector as a template writes it, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    source: Text,
    groups: Vec<Vec<Step>>,
}

/// A selector with the values of its tags, as the browser's script evaluates it: groups, of which any may match, of steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Plan(pub Vec<Vec<PlanStep>>);

/// One step of a [`Plan`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStep {
    /// Where to look, from what the step before found.
    pub by: Combinator,
    /// A selector of plain CSS for one element.
    pub css: String,
    /// What is kept of what it finds, one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<PlanFilter>,
}

/// What is kept of the elements that were found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanFilter {
    /// Those with this text in them, white space folded, without regard to case.
    Contains(String),
    /// The one at a place, from 0; from the end where it is negative.
    Eq(i32),
    /// Those before a place.
    Lt(i32),
    /// Those behind a place.
    Gt(i32),
    /// Those that a person sees.
    Visible,
    /// Those that nobody sees.
    Hidden,
    /// Those that are not empty.
    Parent,
    /// Those that this CSS matches.
    Css(String),
    /// Those in which this is found.
    Has(Plan),
    /// Those that this matches.
    Is(Plan),
    /// Those that this does not match.
    Not(Plan),
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(source: &Text) -> Result<Self, String> {
        let mut marked = String::new();
        let mut count = 0;
        for piece in &source.pieces {
            match piece {
                Piece::Literal(text) => marked.push_str(text),
                Piece::Tag(..) => {
                    marked.extend(char::from_u32(FIRST_MARK + count));
                    count += 1;
                }
            }
        }
        let mut reader = Reader { chars: marked.trim().chars().collect(), at: 0, depth: 0 };
        let groups = reader.groups(None)?;
        Ok(Self { source: source.clone(), groups })
    }

    /// The text of the template.
    #[must_use]
    pub fn source(&self) -> &Text {
        &self.source
    }

    /// Whether it finds an element by its place among others, which changes with every change of the page.
    #[must_use]
    pub fn counts(&self) -> bool {
        let counting = |step: &Step| {
            let word = |simple: &Simple| matches!(simple, Simple::Word(word) if word.starts_with("nth-"));
            let place = |e: &Extension| {
                matches!(e, Extension::Eq(at) if *at != 0) || matches!(e, Extension::Lt(_) | Extension::Gt(_))
            };
            step.simple.iter().any(word) || step.filters.iter().any(place)
        };
        self.groups.iter().flatten().any(counting)
    }

    /// Whether nothing but the kinds of elements is named, as in `div div button`.
    #[must_use]
    pub fn is_vague(&self) -> bool {
        let vague = |step: &Step| {
            step.filters.is_empty() && step.simple.iter().all(|simple| matches!(simple, Simple::Any | Simple::Type(_)))
        };
        self.groups.iter().any(|steps| steps.iter().all(vague))
    }

    /// The words of it that may name what the element is for: ids, classes, names and values, in lower case.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = String::new();
        for simple in self.groups.iter().flatten().flat_map(|step| &step.simple) {
            match simple {
                Simple::Id(name) | Simple::Class(name) => words.push_str(name),
                Simple::Attribute { test: Some((_, value)), .. } => words.push_str(value),
                _ => continue,
            }
            words.push(' ');
        }
        words.to_lowercase()
    }

    /// The selector with the values of its tags.
    pub fn plan(&self, value: impl Fn(&str, Option<Filter>) -> String) -> Plan {
        let values: Vec<String> = self
            .source
            .pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Tag(name, filter) => Some(value(name, *filter)),
                Piece::Literal(_) => None,
            })
            .collect();
        plan_of(&self.groups, &values)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

/// What the CSS of a [`PlanStep`] looks at: the other way round from what a plan is made of.
pub(crate) fn compound(css: &str) -> Option<Vec<Simple>> {
    let text = Text { pieces: vec![Piece::Literal(css.to_owned())] };
    let step = Selector::parse(&text).ok()?.groups.into_iter().next()?.into_iter().next()?;
    Some(step.simple)
}

fn plan_of(groups: &[Vec<Step>], values: &[String]) -> Plan {
    let step = |step: &Step| PlanStep {
        by: step.by,
        css: css_of(&step.simple, values),
        filters: step.filters.iter().map(|filter| filter_of(filter, values)).collect(),
    };
    Plan(groups.iter().map(|steps| steps.iter().map(step).collect()).collect())
}

fn filter_of(filter: &Extension, values: &[String]) -> PlanFilter {
    match filter {
        Extension::Contains(text) => PlanFilter::Contains(filled(text, values)),
        Extension::Eq(at) => PlanFilter::Eq(*at),
        Extension::Lt(at) => PlanFilter::Lt(*at),
        Extension::Gt(at) => PlanFilter::Gt(*at),
        Extension::Last => PlanFilter::Eq(-1),
        Extension::Visible => PlanFilter::Visible,
        Extension::Hidden => PlanFilter::Hidden,
        Extension::Parent => PlanFilter::Parent,
        Extension::Css(css) => PlanFilter::Css((*css).to_owned()),
        Extension::Has(groups) => PlanFilter::Has(plan_of(groups, values)),
        Extension::Is(groups) => PlanFilter::Is(plan_of(groups, values)),
        Extension::Not(groups) => PlanFilter::Not(plan_of(groups, values)),
    }
}

fn filled(text: &str, values: &[String]) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match u32::from(c).checked_sub(FIRST_MARK).and_then(|at| values.get(at as usize)) {
            Some(value) => out.push_str(value),
            None => out.push(c),
        }
    }
    out
}

fn css_of(simple: &[Simple], values: &[String]) -> String {
    let mut css = String::new();
    for part in simple {
        match part {
            Simple::Any => css.push('*'),
            Simple::Type(name) => css.push_str(&identifier(&filled(name, values))),
            Simple::Id(name) => css.push_str(&format!("#{}", identifier(&filled(name, values)))),
            Simple::Class(name) => css.push_str(&format!(".{}", identifier(&filled(name, values)))),
            Simple::Word(word) => css.push_str(&format!(":{word}")),
            Simple::Attribute { name, test, any_case } => {
                css.push_str(&format!("[{}", identifier(&filled(name, values))));
                if let Some((sign, value)) = test {
                    let flag = if *any_case { " i" } else { "" };
                    css.push_str(&format!("{sign}{}{flag}", quoted(&filled(value, values))));
                }
                css.push(']');
            }
        }
    }
    if css.is_empty() { "*".into() } else { css }
}

/// A name as CSS writes it (CSSOM, "serialize an identifier"): each character that is none of a name is escaped.
fn identifier(name: &str) -> String {
    let mut out = String::new();
    for (at, c) in name.chars().enumerate() {
        let plain = c.is_ascii_alphabetic() || c == '_' || !c.is_ascii() && !c.is_control();
        if plain || at > 0 && (c.is_ascii_digit() || c == '-') || at == 0 && c == '-' && name.len() > 1 {
            out.push(c);
        } else {
            out.push_str(&format!("\\{:x} ", u32::from(c)));
        }
    }
    out
}

/// A text in quotes as CSS writes it (CSSOM, "serialize a string").
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\{:x} ", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    depth: usize,
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '-' || c == '_' || !c.is_ascii()
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn takes(&mut self, c: char) -> bool {
        let is = self.peek() == Some(c);
        self.at += usize::from(is);
        is
    }

    fn blanks(&mut self) -> bool {
        let from = self.at;
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
        self.at > from
    }

    /// Groups apart by commas, to the end or the closing bracket.
    fn groups(&mut self, close: Option<char>) -> Result<Vec<Vec<Step>>, String> {
        self.depth += 1;
        if self.depth > MOST_NESTED {
            return Err(format!("a selector has {MOST_NESTED} parts within each other at the most"));
        }
        let mut groups = Vec::new();
        loop {
            groups.push(self.steps(close)?);
            if self.takes(',') {
                continue;
            }
            self.depth -= 1;
            return match (self.peek(), close) {
                (None, None) => Ok(groups),
                (Some(c), Some(close)) if c == close => {
                    self.at += 1;
                    Ok(groups)
                }
                (None, Some(close)) => Err(format!("this selector lacks a '{close}'")),
                (Some(c), _) => Err(format!("'{c}' stands in this selector where nothing of that kind belongs")),
            };
        }
    }

    fn steps(&mut self, close: Option<char>) -> Result<Vec<Step>, String> {
        let mut steps: Vec<Step> = Vec::new();
        loop {
            let blank = self.blanks();
            let sign = match self.peek() {
                Some('>') => Some(Combinator::Child),
                Some('+') => Some(Combinator::Next),
                Some('~') => Some(Combinator::Sibling),
                _ => None,
            };
            self.at += usize::from(sign.is_some());
            self.blanks();
            let ends = self.peek().is_none_or(|c| c == ',' || Some(c) == close);
            if ends {
                return match (sign, steps.is_empty()) {
                    (Some(_), _) => Err("this selector ends where another element is to be named".into()),
                    (None, true) => Err("a selector is missing here, such as #password".into()),
                    (None, false) => Ok(steps),
                };
            }
            if !steps.is_empty() && sign.is_none() && !blank {
                let c = self.peek().unwrap_or_default();
                return Err(format!("'{c}' stands in this selector where nothing of that kind belongs"));
            }
            let by = sign.unwrap_or(Combinator::Descendant);
            steps.push(self.step(by)?);
        }
    }

    fn step(&mut self, by: Combinator) -> Result<Step, String> {
        let mut step = Step { by, simple: Vec::new(), filters: Vec::new() };
        let from = self.at;
        while let Some(c) = self.peek() {
            match c {
                '*' => {
                    self.at += 1;
                    step.simple.push(Simple::Any);
                }
                '#' => {
                    self.at += 1;
                    let name = self.name("an id")?;
                    step.simple.push(Simple::Id(name));
                }
                '.' => {
                    self.at += 1;
                    let name = self.name("a class")?;
                    step.simple.push(Simple::Class(name));
                }
                '[' => {
                    self.at += 1;
                    let attribute = self.attribute()?;
                    step.simple.push(attribute);
                }
                ':' => {
                    self.at += 1;
                    self.word(&mut step)?;
                }
                c if self.at == from && (is_name(c) || c == '\\') => {
                    let name = self.name("an element")?;
                    step.simple.push(Simple::Type(name));
                }
                _ => break,
            }
        }
        if self.at == from {
            let c = self.peek().unwrap_or_default();
            return Err(format!("'{c}' begins no selector; such as #id, .class, [name=value] or button"));
        }
        Ok(step)
    }

    /// A name, in which a backslash escapes the character behind it, or up to six hexadecimal digits (CSS Syntax 3, 4.3.7).
    fn name(&mut self, what: &str) -> Result<String, String> {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            if c == '\\' {
                self.at += 1;
                name.extend(self.escaped());
            } else if is_name(c) {
                self.at += 1;
                name.push(c);
            } else {
                break;
            }
        }
        if name.is_empty() { Err(format!("the name of {what} is missing in this selector")) } else { Ok(name) }
    }

    fn escaped(&mut self) -> Option<char> {
        let digits: String = self.chars[self.at..].iter().take(6).take_while(|c| c.is_ascii_hexdigit()).collect();
        if digits.is_empty() {
            let c = self.peek();
            self.at += usize::from(c.is_some());
            return c;
        }
        self.at += digits.len();
        if self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
        u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).filter(|c| u32::from(*c) < FIRST_MARK)
    }

    fn attribute(&mut self) -> Result<Simple, String> {
        self.blanks();
        let name = self.name("an attribute")?;
        self.blanks();
        if self.takes(']') {
            return Ok(Simple::Attribute { name, test: None, any_case: false });
        }
        let mut sign = String::new();
        if let Some(c) = self.peek().filter(|c| "~|^$*!".contains(*c)) {
            sign.push(c);
            self.at += 1;
        }
        if !self.takes('=') {
            return Err("'[' begins an attribute, such as [name=password], and its ']' is missing".into());
        }
        if sign == "!" {
            return Err("'!=' is no sign of CSS; write :not([name=value])".into());
        }
        sign.push('=');
        self.blanks();
        let value = match self.peek() {
            Some(quote @ ('"' | '\'')) => {
                self.at += 1;
                self.text_to(quote)?
            }
            _ => self.bare_value()?,
        };
        let blank = self.blanks();
        let any_case = blank && (self.takes('i') || self.takes('I'));
        self.blanks();
        if self.takes(']') {
            Ok(Simple::Attribute { name, test: Some((sign, value)), any_case })
        } else {
            Err("this attribute's ']' is missing; a value with blanks or brackets stands in quotes".into())
        }
    }

    /// A value without quotes: all up to the bracket or a blank, since published templates leave quotes away.
    fn bare_value(&mut self) -> Result<String, String> {
        let from = self.at;
        while self.peek().is_some_and(|c| c != ']' && c != '"' && !c.is_whitespace()) {
            self.at += 1;
        }
        if self.at == from {
            return Err("the value of this attribute is missing".into());
        }
        Ok(self.chars[from..self.at].iter().collect())
    }

    fn text_to(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        while let Some(c) = self.peek() {
            self.at += 1;
            match c {
                c if c == quote => return Ok(text),
                '\\' => text.extend(self.escaped()),
                c => text.push(c),
            }
        }
        Err(format!("the {quote} in this selector is never closed"))
    }

    /// What stands between the brackets behind a word, as it is.
    fn bracketed(&mut self, word: &str) -> Result<String, String> {
        if !self.takes('(') {
            return Err(format!("':{word}' needs something in brackets"));
        }
        self.blanks();
        if let Some(quote @ ('"' | '\'')) = self.peek() {
            self.at += 1;
            let text = self.text_to(quote)?;
            self.blanks();
            return if self.takes(')') { Ok(text) } else { Err(format!("the bracket of ':{word}' is never closed")) };
        }
        let (mut text, mut depth) = (String::new(), 0_usize);
        while let Some(c) = self.peek() {
            self.at += 1;
            match c {
                ')' if depth == 0 => return Ok(text.trim().to_owned()),
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            text.push(c);
        }
        Err(format!("the bracket of ':{word}' is never closed"))
    }

    fn place(&mut self, word: &str) -> Result<i32, String> {
        let text = self.bracketed(word)?;
        text.trim().parse().map_err(|_| format!("':{word}' takes a place, from 0: ':{word}(1)'"))
    }

    fn nested(&mut self, word: &str) -> Result<Vec<Vec<Step>>, String> {
        if self.takes('(') { self.groups(Some(')')) } else { Err(format!("':{word}' needs a selector in brackets")) }
    }

    fn word(&mut self, step: &mut Step) -> Result<(), String> {
        let word = self.name("what is behind ':'")?.to_lowercase();
        let filter = match word.as_str() {
            "contains" => Extension::Contains(self.bracketed(&word)?),
            "eq" => Extension::Eq(self.place(&word)?),
            "lt" => Extension::Lt(self.place(&word)?),
            "gt" => Extension::Gt(self.place(&word)?),
            "first" => Extension::Eq(0),
            "last" => Extension::Last,
            "visible" => Extension::Visible,
            "hidden" => Extension::Hidden,
            "parent" => Extension::Parent,
            "has" => Extension::Has(self.nested(&word)?),
            "is" | "where" => Extension::Is(self.nested(&word)?),
            "not" => Extension::Not(self.nested(&word)?),
            "input" => Extension::Css("input,textarea,select,button"),
            "button" => Extension::Css("button,input[type=button]"),
            "submit" => {
                Extension::Css("input[type=submit],input[type=image],button[type=submit],form button:not([type])")
            }
            "text" => Extension::Css("input[type=text],input:not([type])"),
            "password" => Extension::Css("input[type=password]"),
            "checkbox" => Extension::Css("input[type=checkbox]"),
            "radio" => Extension::Css("input[type=radio]"),
            "header" => Extension::Css("h1,h2,h3,h4,h5,h6"),
            "checked" => Extension::Css(":checked"),
            "selected" => Extension::Css("option:checked"),
            css if CSS_WORDS.contains(&css) => {
                step.simple.push(Simple::Word(word));
                return Ok(());
            }
            css if CSS_FORMULAS.contains(&css) => {
                let formula = self.bracketed(&word)?;
                if !formula.chars().all(|c| c.is_ascii_alphanumeric() || "+- ".contains(c)) {
                    return Err(format!("':{word}' takes a place or a formula, such as 2 or 2n+1"));
                }
                step.simple.push(Simple::Word(format!("{word}({formula})")));
                return Ok(());
            }
            _ => {
                let known = CSS_WORDS.iter().chain(CSS_FORMULAS).chain(JQUERY_WORDS).copied();
                let hint =
                    nearest(&word, known).map_or_else(String::new, |known| format!("; did you mean ':{known}'?"));
                return Err(format!("unknown ':{}' in this selector{hint}", word.escape_debug()));
            }
        };
        // What CSS looks at behind such a word is looked at afterwards, as it stands there.
        step.filters.push(filter);
        Ok(())
    }
}

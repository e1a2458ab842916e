//! Pages of a recording: a small, strict HTML, in which every element is closed and nothing is run.

use std::fmt::Write;

/// Elements within each other, at the most.
const MOST_NESTED: usize = 200;
/// Elements without content, which have no end tag (HTML, "Void elements").
const VOID: [&str; 13] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];
/// Elements that a browser shows in one line with the text around them.
const INLINE: [&str; 22] = [
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "em", "font", "i", "img", "kbd", "label", "mark", "q", "s",
    "small", "span", "strong", "sub", "sup", "u",
];

/// The place of an element in its page, in the order in which they begin. The page itself is 0.
pub(super) type Id = usize;

/// What stands in an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Child {
    Element(Id),
    Text(String),
}

/// An element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// In lower case; empty for the page itself.
    pub(super) tag: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Child>,
    pub(super) parent: Id,
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }
}

/// A page's elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document(Vec<Element>);

/// Where a page is wrong: the byte, and why.
pub(super) type Wrong = (usize, String);

struct Reader<'a> {
    text: &'a str,
    at: usize,
    elements: Vec<Element>,
    /// Elements that are open, the page first.
    open: Vec<Id>,
}

impl Document {
    /// Reads a page.
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let mut reader = Reader { text, at: 0, elements: vec![Element::default()], open: vec![0] };
        reader.read()?;
        Ok(Self(reader.elements))
    }

    pub(super) fn get(&self, id: Id) -> &Element {
        &self.0[id.min(self.0.len() - 1)]
    }

    /// The elements right below one.
    pub(super) fn children(&self, id: Id) -> impl Iterator<Item = Id> {
        self.get(id).children.iter().filter_map(|child| match child {
            Child::Element(id) => Some(*id),
            Child::Text(_) => None,
        })
    }

    /// All elements below one, in order; a frame's page is one of its own.
    pub(super) fn below(&self, id: Id) -> Vec<Id> {
        let (mut found, mut left) = (Vec::new(), self.children(id).collect::<Vec<_>>());
        left.reverse();
        while let Some(next) = left.pop() {
            found.push(next);
            if self.get(next).tag == "iframe" {
                continue;
            }
            let from = left.len();
            left.extend(self.children(next));
            left[from..].reverse();
        }
        found
    }

    /// The element and those around it, without the page itself.
    pub(super) fn around(&self, id: Id) -> impl Iterator<Item = Id> {
        let up = move |id: &Id| Some(self.get(*id).parent).filter(|parent| *parent != 0);
        std::iter::successors(Some(id).filter(|id| *id != 0), up)
    }

    /// All text below an element for which `takes` holds of each element around it, with a blank wherever a block begins or ends.
    pub(super) fn text_of(&self, id: Id, takes: &dyn Fn(Id) -> bool) -> String {
        let mut out = String::new();
        self.write_text(id, takes, &mut out);
        out
    }

    fn write_text(&self, id: Id, takes: &dyn Fn(Id) -> bool, out: &mut String) {
        for child in &self.get(id).children {
            match child {
                Child::Text(text) => out.push_str(text),
                Child::Element(id) if takes(*id) => {
                    let apart = !INLINE.contains(&self.get(*id).tag.as_str());
                    out.push_str(if apart { "\n" } else { "" });
                    self.write_text(*id, takes, out);
                    out.push_str(if apart { "\n" } else { "" });
                }
                Child::Element(_) => {}
            }
        }
    }
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn wrong<T>(&self, at: usize, why: impl Into<String>) -> Result<T, Wrong> {
        Err((at.min(self.text.len()), why.into()))
    }

    fn read(&mut self) -> Result<(), Wrong> {
        while self.at < self.text.len() {
            if self.rest().starts_with("<!--") {
                let Some(end) = self.rest().find("-->") else {
                    return self.wrong(self.at, "a comment lacks its '-->'");
                };
                self.at += end + 3;
            } else if self.rest().starts_with("<!") {
                self.at += self.rest().find('>').map_or(self.rest().len(), |end| end + 1);
            } else if self.rest().starts_with("</") {
                self.end_tag()?;
            } else if self.rest()[..].starts_with('<')
                && self.rest()[1..].starts_with(|c: char| c.is_ascii_alphabetic())
            {
                self.start_tag()?;
            } else {
                let next = self.rest().char_indices().skip(1).find(|(_, c)| *c == '<').map(|(at, _)| at);
                let end = next.unwrap_or(self.rest().len());
                let text = unescaped(&self.rest()[..end]);
                self.at += end;
                let open = self.innermost();
                self.elements[open].children.push(Child::Text(text));
            }
        }
        match self.open.last() {
            Some(id) if *id != 0 => {
                let tag = self.elements[*id].tag.clone();
                self.wrong(self.text.len(), format!("<{tag}> is not closed; write </{tag}>"))
            }
            _ => Ok(()),
        }
    }

    fn innermost(&self) -> Id {
        self.open.last().copied().unwrap_or(0)
    }

    fn name(&mut self) -> String {
        let end = self.rest().find(|c: char| !(c.is_alphanumeric() || "-_:.".contains(c))).unwrap_or(self.rest().len());
        let name = self.rest()[..end].to_ascii_lowercase();
        self.at += end;
        name
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn end_tag(&mut self) -> Result<(), Wrong> {
        let from = self.at;
        self.at += 2;
        let name = self.name();
        self.blanks();
        if !self.rest().starts_with('>') {
            return self.wrong(from, format!("</{name} lacks its '>'"));
        }
        self.at += 1;
        let open = self.innermost();
        let tag = &self.elements[open].tag;
        if *tag != name {
            let open = if open == 0 { "no element is open here".to_owned() } else { format!("<{tag}> is open here") };
            return self.wrong(from, format!("</{name}> closes nothing: {open}"));
        }
        self.open.pop();
        Ok(())
    }

    fn start_tag(&mut self) -> Result<(), Wrong> {
        let from = self.at;
        self.at += 1;
        let tag = self.name();
        let mut attributes = Vec::new();
        loop {
            self.blanks();
            if self.rest().starts_with("/>") || self.rest().starts_with('>') {
                self.at += if self.rest().starts_with('/') { 2 } else { 1 };
                break;
            }
            let name = self.name();
            if name.is_empty() {
                return self.wrong(from, format!("<{tag} has an attribute that cannot be read, or lacks its '>'"));
            }
            let value = self.value(from, &name)?;
            attributes.push((name, value));
        }
        let parent = self.innermost();
        let id = self.elements.len();
        let is_void = VOID.contains(&tag.as_str());
        self.elements.push(Element { tag, attributes, children: Vec::new(), parent });
        self.elements[parent].children.push(Child::Element(id));
        if !is_void {
            self.open.push(id);
        }
        if self.open.len() > MOST_NESTED {
            return self.wrong(from, format!("a page may have {MOST_NESTED} elements within each other"));
        }
        Ok(())
    }

    fn value(&mut self, from: usize, name: &str) -> Result<String, Wrong> {
        self.blanks();
        if !self.rest().starts_with('=') {
            return Ok(String::new());
        }
        self.at += 1;
        self.blanks();
        let quote = self.rest().chars().next().filter(|c| "\"'".contains(*c));
        let Some(quote) = quote else { return self.wrong(from, format!("the value of {name} stands in no quotes")) };
        self.at += 1;
        let Some(end) = self.rest().find(quote) else {
            return self.wrong(from, format!("the {quote} behind {name} is never closed"));
        };
        let value = unescaped(&self.rest()[..end]);
        self.at += end + 1;
        Ok(value)
    }
}

/// A text with its character references replaced; one that is not known stays as it stands.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find(';').filter(|end| *end <= 10);
        let found = end.and_then(|end| Some((character(&rest[1..end])?, end)));
        match found {
            Some((c, end)) => {
                out.push(c);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some('\u{a0}'),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code).filter(|c| *c != '\0')
        }
    }
}

/// A text as it stands between tags or in double quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' && c != '\t' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_with_its_elements_in_order() {
        let text = "<!doctype html><!-- x --><title>A &amp; B</title>\n<form id='f'><input name=\"p\" disabled><b>x</b>y</form>";
        let page = Document::parse(text).unwrap();
        let tags: Vec<&str> = page.below(0).into_iter().map(|id| page.get(id).tag.as_str()).collect();
        assert_eq!(tags, ["title", "form", "input", "b"]);
        assert_eq!(page.text_of(1, &|_| true), "A & B");
        assert_eq!(page.get(2).attribute("id"), Some("f"));
        assert!(page.get(3).has("disabled") && page.get(3).parent == 2);
        assert_eq!(page.text_of(2, &|_| true), "\n\nxy", "an inline element is not apart from what follows");
        assert_eq!(page.around(4).collect::<Vec<_>>(), [4, 2]);
        assert_eq!(unescaped("&#65;&#x42;&nope; & &nbsp;"), "AB&nope; & \u{a0}");
        assert_eq!(unescaped(&escaped("<a b=\"c\">&")), "<a b=\"c\">&");
    }

    #[test]
    fn a_page_that_is_not_closed_is_told_with_its_place() {
        for (text, at, why) in [
            ("<p>a", 4, "<p> is not closed"),
            ("a</p>", 1, "no element is open"),
            ("<a><b></a>", 6, "<b> is open here"),
            ("<a x=y></a>", 0, "stands in no quotes"),
            ("<a x='y></a>", 0, "never closed"),
            ("<!-- x", 0, "-->"),
            ("é<a =>", 2, "cannot be read"),
        ] {
            let wrong = Document::parse(text).unwrap_err();
            assert!(wrong.0 == at && wrong.1.contains(why), "{text}: {wrong:?}");
        }
        let deep = "<p>".repeat(300);
        assert!(Document::parse(&deep).unwrap_err().1.contains("200 elements"));
    }
}

//! Which elements of a page are most like one that a template looks for and does not find.

use serde::Deserialize;

/// An element of a page, as the survey of [`PAGE_SCRIPT`](super::PAGE_SCRIPT) tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// Its kind, in lower case.
    pub tag: String,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its classes.
    pub classes: String,
    /// Its role.
    pub role: String,
    /// Its label, in lower case.
    pub label: String,
    /// Its text, where it is a button, a link or a heading.
    pub text: String,
    /// Whether a person sees it.
    pub shown: bool,
}

impl Seen {
    /// A selector that a template could name it by: by its id, its name, its text or its label, never by its place.
    #[must_use]
    pub fn selector(&self) -> String {
        let plain =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if plain(&self.id) {
            return format!("{}#{}", self.tag, self.id);
        }
        if !self.name.is_empty() {
            return format!("{}[name=\"{}\"]", self.tag, self.name);
        }
        if !self.text.is_empty() {
            return format!("{}:contains(\"{}\")", self.tag, self.text);
        }
        if !self.kind.is_empty() && self.tag != "a" {
            return format!("{}[type={}]", self.tag, self.kind);
        }
        match self.classes.split(' ').next().filter(|class| plain(class)) {
            Some(class) => format!("{}.{class}", self.tag),
            None => self.tag.clone(),
        }
    }

    fn words(&self) -> impl Iterator<Item = String> {
        let all = [&self.id, &self.name, &self.classes, &self.label, &self.text, &self.kind, &self.role];
        all.into_iter().flat_map(|text| words(text)).collect::<Vec<_>>().into_iter()
    }
}

/// The words of a text or a name in lower case: apart at signs, and where a capital letter follows a small one.
fn words(text: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut small = false;
    for c in text.chars() {
        if !c.is_alphanumeric() || small && c.is_uppercase() {
            found.push(String::new());
        }
        if c.is_alphanumeric() {
            found.extend(Vec::new());
            if let Some(word) = found.last_mut() {
                word.extend(c.to_lowercase());
            }
        }
        small = c.is_lowercase();
    }
    found.retain(|word| word.len() > 1);
    found
}

/// Words that name the same thing on different pages.
const SAME: &[&[&str]] = &[
    &["user", "username", "login", "log", "account", "email", "name", "userid", "identifier"],
    &["password", "pass", "passwd", "pwd", "pw", "pass1"],
    &["submit", "signin", "login", "next", "continue", "save", "button", "go"],
    &["code", "otp", "token", "totp", "mfa", "2fa"],
    &["new", "pass1", "fresh"],
    &["confirm", "repeat", "retype", "verify", "again", "pass2", "confirmation"],
    &["old", "current"],
];

fn likeness(wanted: &str, there: &str) -> f64 {
    if wanted == there {
        return 1.0;
    }
    if SAME.iter().any(|group| group.contains(&wanted) && group.contains(&there)) {
        return 0.8;
    }
    let like = strsim::jaro_winkler(wanted, there);
    if like > 0.85 { like * 0.9 } else { 0.0 }
}

/// The selectors of the elements that are most like the one that this selector names: three at the most, the nearest first.
#[must_use]
pub fn nearest(selector: &str, elements: &[Seen]) -> Vec<String> {
    let wanted = words(selector);
    let kind = ["input", "button", "a", "select", "textarea", "iframe"];
    let wanted_kind = kind.iter().find(|kind| {
        let at = selector.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(selector.len());
        selector[..at].eq_ignore_ascii_case(kind)
    });
    let mut ranked: Vec<(f64, usize, String)> = elements
        .iter()
        .enumerate()
        .filter_map(|(place, element)| {
            let there: Vec<String> = element.words().collect();
            let best = |word: &String| there.iter().map(|other| likeness(word, other)).fold(0.0, f64::max);
            let sum: f64 = wanted.iter().map(best).sum();
            let same_kind = wanted_kind.is_some_and(|kind| *kind == element.tag);
            let bonus = if same_kind { 0.15 } else { 0.0 } + if element.shown { 0.2 } else { 0.0 };
            (sum > 0.6).then(|| (sum + bonus, place, element.selector()))
        })
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut found: Vec<String> = Vec::new();
    for (_, _, selector) in ranked {
        if !found.contains(&selector) {
            found.push(selector);
        }
    }
    found.truncate(3);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(tag: &str, id: &str, name: &str, kind: &str, label: &str) -> Seen {
        let [tag, id, name, kind, label] = [tag, id, name, kind, label].map(str::to_owned);
        Seen { tag, id, name, kind, label, shown: true, ..Seen::default() }
    }

    #[test]
    fn the_field_that_was_meant_is_named_first() {
        let page = [
            seen("input", "", "redirect_to", "hidden", ""),
            seen("input", "user_login", "log", "text", "username or email address"),
            seen("input", "user_pass", "pwd", "password", "password"),
            seen("input", "wp-submit", "wp-submit", "submit", ""),
        ];
        assert_eq!(nearest("#username", &page)[0], "input#user_login");
        assert_eq!(nearest("input[name=password]", &page)[0], "input#user_pass");
        assert_eq!(nearest("input[type=submit]", &page)[0], "input#wp-submit");
        assert!(nearest("#carousel", &page).is_empty());
    }

    #[test]
    fn an_element_without_an_id_is_named_by_its_name_or_text() {
        let named = seen("input", "", "session[password]", "password", "");
        assert_eq!(named.selector(), "input[name=\"session[password]\"]");
        let link = Seen { tag: "a".into(), text: "Log out".into(), ..Seen::default() };
        assert_eq!(link.selector(), "a:contains(\"Log out\")");
    }
}

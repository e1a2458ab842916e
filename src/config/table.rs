//! Walking a TOML document so that every mistake is told, with its place.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::sources::Source;
use crate::model::{Problem, Severity, is_unseen, nearest};
use crate::template::{FIELD_NAMES, is_field_name};

/// Where problems go, and in which file they stand.
pub(super) struct Report<'a> {
    pub(super) source: &'a Source,
    pub(super) problems: &'a RefCell<Vec<Problem>>,
}

impl Clone for Report<'_> {
    fn clone(&self) -> Self {
        *self
    }
}
impl Copy for Report<'_> {}

impl Report<'_> {
    pub(super) fn error(&self, span: Range<usize>, code: &str, message: impl Into<String>) {
        self.push(Problem::at(&self.source.path, &self.source.text, span, Severity::Error, code, message));
    }

    pub(super) fn warning(&self, span: Range<usize>, code: &str, message: impl Into<String>) {
        self.push(Problem::at(&self.source.path, &self.source.text, span, Severity::Warning, code, message));
    }

    /// A name that is written with an escape is another one than it looks like, or an invisible one: `"CORP\xadmin"` has a soft
    /// hyphen (TOML 1.1, basic strings). Only an escaped quote and backslash are what one sees.
    pub(super) fn name_as_it_looks(&self, span: Range<usize>) {
        let written = self.source.text.get(span.clone()).unwrap_or_default();
        let Some(inner) = written.strip_prefix('"') else { return };
        let mut rest = inner;
        while let Some(at) = rest.find('\\') {
            let escape: String = rest[at..].chars().take(2).collect();
            if !matches!(escape.as_str(), "\\\\" | "\\\"") {
                let meant = inner.trim_end_matches('"').replace("\\\\", "\\");
                self.error(
                    span,
                    "C005",
                    format!("in double quotes {escape} begins an escape, so this is another name than it looks like; write it in single quotes, in which a backslash is one: '{meant}'"),
                );
                return;
            }
            rest = &rest[at + escape.len()..];
        }
    }

    pub(super) fn push(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    pub(super) fn hidden_error(&self, span: Range<usize>, code: &str, message: impl Into<String>) {
        let problem = Problem::at(&self.source.path, &self.source.text, span, Severity::Error, code, message);
        self.push(problem.without_source());
    }
}

/// A value with its place.
pub(super) type At<T> = (T, Range<usize>);

/// A table under inspection: what is asked for becomes a known key, and the rest is told by [`Table::finish`].
pub(super) struct Table<'a> {
    map: &'a DeTable<'a>,
    pub(super) span: Range<usize>,
    name: String,
    known: Vec<&'static str>,
    /// The keys whose values are of another type, each with its place: it is told of already.
    mistyped: Vec<(String, usize)>,
    pub(super) report: Report<'a>,
}

#[cfg(test)]
thread_local! {
    /// The keys that were asked for, with the names of their sections.
    pub(super) static ASKED: RefCell<std::collections::BTreeSet<(String, String)>> = const { RefCell::new(std::collections::BTreeSet::new()) };
}

/// Words in a key that say that its value is a secret.
const SECRET_WORDS: &[&str] = &["password", "passwd", "passphrase", "secret", "seed", "private_key", "token", "pwd"];

fn looks_secret(key: &str) -> bool {
    let key = key.to_lowercase().replace('-', "_");
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// Parts of an unknown key by which other programs name a secret: Ansible's `ansible_ssh_pass`, and their like.
const SECRET_PARTS: &[&str] = &[
    "pass",
    "pw",
    "passwort",
    "kennwort",
    "otp",
    "totp",
    "cred",
    "creds",
    "credential",
    "credentials",
    "apikey",
    "key",
];

/// Whether a key that is not known looks like one of a secret.
fn unknown_looks_secret(key: &str) -> bool {
    let key = key.to_lowercase().replace(['-', '.'], "_");
    looks_secret(&key) || key.split('_').any(|part| SECRET_PARTS.contains(&part))
}

/// Keys whose values are never shown: `recovery_key`, in whose place the private half may stand, the values of tags, and a URL, which
/// may hold a token.
const NEVER_SHOWN: &[&str] = &["recovery_key", "fields", "url"];

impl<'a> Table<'a> {
    pub(super) fn new(map: &'a DeTable<'a>, span: Range<usize>, name: String, report: Report<'a>) -> Self {
        Self { map, span, name, known: Vec::new(), mistyped: Vec::new(), report }
    }

    fn take(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        let value = self.map.get(key)?;
        if !NEVER_SHOWN.contains(&key) {
            let span = value.span();
            self.report.source.known.borrow_mut().insert((span.start, span.end));
        }
        Some(value)
    }

    /// Whether a key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// A key that was judged elsewhere: it is not told of as an unknown one.
    pub(super) fn ignore(&mut self, key: &'static str) {
        self.known.push(key);
    }

    /// Tells once of a value of another type, however often it is asked for.
    fn wrong_type(&mut self, value: &Spanned<DeValue<'_>>, key: &str, wanted: &str) {
        let (found, start) = (value.get_ref().type_str(), value.span().start);
        if self.mistyped.iter().any(|(_, told)| *told == start) {
            return;
        }
        self.mistyped.push((key.to_owned(), start));
        self.report.error(value.span(), "C004", format!("'{key}' must be {wanted}, not {found}"));
    }

    pub(super) fn string(&mut self, key: &'static str) -> Option<At<String>> {
        let value = self.take(key)?;
        match value.get_ref().as_str() {
            Some(text) => Some((text.to_owned(), value.span())),
            None => {
                self.wrong_type(value, key, "a string");
                None
            }
        }
    }

    pub(super) fn boolean(&mut self, key: &'static str) -> bool {
        let Some(value) = self.take(key) else {
            return false;
        };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.wrong_type(value, key, "true or false");
            false
        })
    }

    pub(super) fn number(&mut self, key: &'static str, low: u64, high: u64) -> Option<u64> {
        let value = self.take(key)?;
        let Some(number) = value.get_ref().as_integer() else {
            self.wrong_type(value, key, "a whole number");
            return None;
        };
        match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) if (low..=high).contains(&number) => Some(number),
            _ => {
                self.report.error(value.span(), "C005", format!("'{key}' must be from {low} to {high}"));
                None
            }
        }
    }

    pub(super) fn size(&mut self, key: &'static str, low: u64, high: u64) -> Option<usize> {
        self.number(key, low, high).and_then(|number| usize::try_from(number).ok())
    }

    /// A string that `parse` understands.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let (text, span) = self.string(key)?;
        match parse(&text) {
            Ok(value) => Some((value, span)),
            Err(message) => {
                self.report.error(span, "C005", format!("'{key}': {message}"));
                None
            }
        }
    }

    /// As [`Table::parsed`], for the name of something: it is what it looks like.
    pub(super) fn name<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        if let Some(value) = self.map.get(key).filter(|value| value.get_ref().is_str()) {
            self.report.name_as_it_looks(value.span());
        }
        self.parsed(key, parse)
    }

    /// As [`Table::strings`], for names.
    pub(super) fn names(&mut self, key: &'static str) -> Option<Vec<At<String>>> {
        let names = self.strings(key)?;
        for (name, span) in &names {
            self.report.name_as_it_looks(span.clone());
            if let Some(why) = unfit_for_a_name(name) {
                self.report.error(span.clone(), "C005", format!("'{key}': {why}"));
            }
        }
        Some(names)
    }

    /// A path, from the folder of the config on where it is no whole one.
    pub(super) fn path(&mut self, key: &'static str, base: &Path) -> Option<At<PathBuf>> {
        self.parsed(key, |text| path_of(text, base))
    }

    /// A list of paths.
    pub(super) fn paths(&mut self, key: &'static str, base: &Path) -> Option<Vec<At<PathBuf>>> {
        let texts = self.strings(key)?;
        let path = |(text, span): At<String>| match path_of(&text, base) {
            Ok(path) => Some((path, span)),
            Err(why) => {
                self.report.error(span, "C005", format!("'{key}': {why}"));
                None
            }
        };
        Some(texts.into_iter().filter_map(path).collect())
    }

    pub(super) fn duration(&mut self, key: &'static str) -> Option<Duration> {
        self.parsed(key, parse_duration).map(|(duration, _)| duration)
    }

    pub(super) fn strings(&mut self, key: &'static str) -> Option<Vec<At<String>>> {
        let value = self.take(key)?;
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(value, key, &format!("a list of strings, such as {key} = [\"…\"]"));
            return None;
        };
        let mut out = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_str() {
                Some(text) => out.push((text.to_owned(), item.span())),
                None => self.wrong_type(item, key, "a list of strings"),
            }
        }
        Some(out)
    }

    /// `fields`: names in upper case, strings as values.
    pub(super) fn fields(&mut self) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        let Some(value) = self.take("fields") else {
            return fields;
        };
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(value, "fields", "a table such as { SITE = \"ber\" }");
            return fields;
        };
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if looks_secret(name) {
                self.secret(name, key.span());
            } else if !is_field_name(name) {
                self.report.error(key.span(), "C005", FIELD_NAMES);
            } else if let Some(text) = value.get_ref().as_str() {
                if text.chars().any(char::is_control) {
                    self.report.error(value.span(), "C005", "a field may hold no line end or other control character");
                }
                fields.insert(name.to_owned(), text.to_owned());
            } else {
                self.wrong_type(value, name, "a string");
            }
        }
        fields
    }

    fn secret(&self, key: &str, span: Range<usize>) {
        let message = format!(
            "'{key}' looks like a secret, and none stands in a config file; take it out, and store it with 'rotorctl secret set ACCOUNT' (--field NAME for a tag) or 'rotorctl totp set ACCOUNT'"
        );
        self.report.hidden_error(span, "C003", message);
    }

    pub(super) fn missing(&self, key: &str, example: &str) {
        // It is there, and its type was told of.
        if self.mistyped.iter().any(|(told, _)| told == key) {
            return;
        }
        self.report.error(
            self.span.clone(),
            "C006",
            format!("{} needs '{key}', such as: {key} = {example}", self.name),
        );
    }

    /// Tells of every key that nobody asked for.
    pub(super) fn finish(self) {
        #[cfg(test)]
        ASKED
            .with_borrow_mut(|asked| asked.extend(self.known.iter().map(|key| (self.name.clone(), (*key).to_owned()))));
        for (key, _) in self.map {
            let name = key.get_ref().as_ref();
            if self.known.contains(&name) {
                continue;
            }
            let meant = nearest(name, self.known.iter().copied()).filter(|_| !looks_secret(name));
            if meant.is_none() && unknown_looks_secret(name) {
                self.secret(name, key.span());
                continue;
            }
            let hint = meant.map_or_else(
                || format!("known are {}", self.known.join(", ")),
                |known| format!("did you mean '{known}'?"),
            );
            self.report.hidden_error(
                key.span(),
                "C002",
                format!("unknown key '{}' in {}; {hint}", name.escape_debug(), self.name),
            );
        }
    }
}

/// A path of the config. Nothing is put in for what a shell would: there is none.
fn path_of(text: &str, base: &Path) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("a path is not empty".into());
    }
    if text.chars().any(char::is_control) {
        return Err("a path may hold no control character".into());
    }
    if let Some(sign) = text.chars().next().filter(|sign| matches!(sign, '~' | '$')) {
        return Err(format!(
            "'{sign}' stands for nothing here, as it does in a shell; write the whole path, from '/' on"
        ));
    }
    Ok(base.join(text))
}

/// Why a text cannot name anything that people read: what is not seen in it makes it look like another.
pub(super) fn unfit_for_a_name(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("a name is not empty")
    } else if text.chars().any(char::is_control) {
        Some("control characters cannot stand in a name")
    } else if text.chars().any(is_unseen) {
        Some("a character that is not seen, or that turns the direction of writing, cannot stand in a name")
    } else {
        None
    }
}

/// Parses `45s`, `5m`, `1h30m`, `90d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("\"{}\" is no duration; write it as \"45s\", \"5m\", \"1h30m\" or \"90d\"", text.escape_debug());
    let (mut total, mut digits) = (0u64, String::new());
    for c in text.trim().chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(wrong()),
        };
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        total = number.checked_mul(unit).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
        digits.clear();
    }
    if !digits.is_empty() || text.trim().is_empty() || total > 10 * 366 * 86_400 {
        return Err(wrong());
    }
    Ok(Duration::from_secs(total))
}

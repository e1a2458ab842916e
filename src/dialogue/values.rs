//! The values of a template's tags for one run.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use crate::model::{Masker, Secret};
use crate::template::{Checked, Filter, Piece, Text};

/// A tag that has no value for the account at hand, or one that may not be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template line {line}: [#{tag}#] {why}")]
pub struct MissingTag {
    /// The tag.
    pub tag: String,
    /// The template line that names it.
    pub line: usize,
    /// What to set.
    pub why: String,
}

/// Tags whose value is a code, made when it is sent.
const CODES: &[&str] = &["TOTP_TOKEN", "AUTH_TOTP_TOKEN"];

/// Tags and their values.
#[derive(Debug, Clone, Default)]
pub struct Values {
    values: BTreeMap<Cow<'static, str>, Secret>,
    /// Tags with a secret value, besides those of passwords.
    secret: BTreeSet<Cow<'static, str>>,
    codes: Vec<&'static str>,
}

impl Values {
    /// Sets a tag.
    pub fn set(&mut self, tag: impl Into<Cow<'static, str>>, value: Secret) {
        self.values.insert(tag.into(), value);
    }

    /// Sets a tag whose value is a secret; that of a password always is.
    pub fn set_secret(&mut self, tag: impl Into<Cow<'static, str>>, value: Secret) {
        let tag = tag.into();
        self.secret.insert(tag.clone());
        self.set(tag, value);
    }

    fn is_secret(&self, tag: &str) -> bool {
        tag.contains("PASSWORD") || self.secret.contains(tag)
    }

    /// Says that codes can be made for `TOTP_TOKEN` or `AUTH_TOTP_TOKEN`.
    pub fn allow_code(&mut self, tag: &'static str) {
        self.codes.push(tag);
    }

    /// Whether every tag of the template has a value that may be sent.
    ///
    /// # Errors
    /// The first tag that has none, with its line and what to set.
    pub fn check(&self, template: &Checked) -> Result<(), MissingTag> {
        for (tag, line) in template.tags() {
            let missing = |why: String| Err(MissingTag { tag: tag.to_owned(), line, why });
            if CODES.contains(&tag) {
                if !self.codes.contains(&tag) {
                    return missing("needs a TOTP seed: store one with 'rotorctl totp set ACCOUNT'".into());
                }
                continue;
            }
            match self.values.get(tag) {
                None if tag.contains("PASSWORD") => {
                    return missing("has no value: store the password with 'rotorctl secret set ACCOUNT'".into());
                }
                None => {
                    return missing(format!(
                        "has no value: set {tag} in the account's or the device's 'fields', or with 'rotorctl secret set ACCOUNT --field {tag}'"
                    ));
                }
                Some(value) if value.has_control_character() => {
                    return missing(
                        "holds a line end or another control character, which could inject a command".into(),
                    );
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The value of a tag.
    #[must_use]
    pub(super) fn get(&self, tag: &str) -> Option<&Secret> {
        self.values.get(tag)
    }

    /// A text that a person typed, with the secrets that stand in it turned to their tags.
    #[must_use]
    pub fn unfill(&self, text: &str) -> String {
        let secrets = self.values.iter().filter(|(tag, value)| self.is_secret(tag) && value.expose().len() >= 4);
        let mut text = text.to_owned();
        let mut by_length: Vec<_> = secrets.collect();
        // Where two tags have the same value, the account's own password is meant.
        by_length.sort_by_key(|(tag, value)| (std::cmp::Reverse(value.expose().len()), tag.starts_with("AUTH"), *tag));
        for (tag, value) in by_length {
            text = text.replace(value.expose(), &format!("[#{tag}#]"));
        }
        text
    }

    /// What is missing of a text's tags, in words.
    #[must_use]
    pub fn missing(&self, text: &Text) -> Option<String> {
        let known =
            |tag: &str| if CODES.contains(&tag) { self.codes.contains(&tag) } else { self.values.contains_key(tag) };
        text.tags().find(|tag| !known(tag)).map(|tag| format!("[#{tag}#] has no value"))
    }

    /// The text with its tags replaced. A tag without a value is left empty; [`Values::check`] has ruled that out.
    #[must_use]
    pub fn fill(&self, text: &Text, code: Option<&Secret>) -> Secret {
        Secret::new(self.fill_with(text, code, |value| value.to_owned()))
    }

    /// The text with its tags replaced and escaped for a regular expression.
    #[must_use]
    pub fn fill_regex(&self, text: &Text) -> Secret {
        Secret::new(self.fill_with(text, None, regex::escape))
    }

    fn fill_with(&self, text: &Text, code: Option<&Secret>, escape: impl Fn(&str) -> String) -> String {
        let mut filled = String::with_capacity(256);
        for piece in &text.pieces {
            match piece {
                Piece::Literal(literal) => filled.push_str(literal),
                Piece::Tag(tag, filter) => {
                    let value = if CODES.contains(&tag.as_str()) { code } else { self.values.get(tag.as_str()) };
                    let value = Zeroizing::new(value.map_or("", Secret::expose).to_owned());
                    let quoted = Zeroizing::new(filter.map_or_else(|| (*value).clone(), |filter| filter.quote(&value)));
                    filled.push_str(&Zeroizing::new(escape(&quoted)));
                }
            }
        }
        filled
    }

    /// A masker that knows every password among the values and every value that is a secret, also as filters send them. What is
    /// no secret may be shown, even where a password has it in it.
    #[must_use]
    pub fn masker(&self, secret_fields: &[String]) -> Masker {
        let mut masker = Masker::default();
        for (tag, value) in &self.values {
            if !self.is_secret(tag) && !secret_fields.iter().any(|field| field == tag) {
                masker.leave(value.expose());
                continue;
            }
            masker.add(value);
            // As a filter sends it, it may come back in an echo.
            for filter in Filter::ALL.into_iter().filter(|filter| filter.changes(value.expose())) {
                masker.add_quoted(&Secret::new(filter.escape(value.expose())));
            }
        }
        masker
    }
}

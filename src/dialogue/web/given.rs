//! Which secrets a run has entered, so that a page that asks again and again gets each of them once in a login.

use std::collections::BTreeSet;

use crate::template::Text;

/// Whether a tag stands for a password or a code.
pub(super) fn is_secret(tag: &str) -> bool {
    tag.contains("PASSWORD") || tag.contains("TOKEN")
}

/// Why a standing answer is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// It entered its secret before.
    Repeated,
    /// The login has its secret already, and nothing has shown that it was taken.
    Unproved,
    /// Its secret went a second time behind the login already.
    TwiceBehind,
}

impl Denied {
    /// In words.
    pub(super) fn told(self) -> &'static str {
        match self {
            Self::Repeated => "it has entered its password or code already, and enters it once in a login",
            Self::Unproved => {
                "its password or code was entered already, and goes a second time only once a test of the template has held behind the login"
            }
            Self::TwiceBehind => "its password or code was entered a second time behind the login already",
        }
    }
}

/// Secrets that were entered, by their tags, and the standing answers that entered some.
#[derive(Debug, Default)]
pub(super) struct Given {
    entered: BTreeSet<String>,
    again: BTreeSet<String>,
    answers: BTreeSet<usize>,
}

impl Given {
    /// A line enters this text.
    pub(super) fn note(&mut self, text: &Text) {
        self.entered.extend(text.tags().filter(|tag| is_secret(tag)).map(str::to_owned));
    }

    /// Lets the standing answer at a place enter these secrets: each once in a login, and once more where the login is `proved`, since
    /// the form of a change may ask for the current password.
    pub(super) fn admit(&mut self, answer: usize, secrets: &BTreeSet<String>, proved: bool) -> Result<(), Denied> {
        if secrets.is_empty() {
            return Ok(());
        }
        if self.answers.contains(&answer) {
            return Err(Denied::Repeated);
        }
        let second: BTreeSet<String> = secrets.intersection(&self.entered).cloned().collect();
        if !second.is_empty() && !proved {
            return Err(Denied::Unproved);
        }
        if second.intersection(&self.again).next().is_some() {
            return Err(Denied::TwiceBehind);
        }
        self.answers.insert(answer);
        self.again.extend(second);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(tags: &[&str]) -> Text {
        let piece = |tag: &&str| crate::template::Piece::Tag((*tag).to_owned(), None);
        Text { pieces: tags.iter().map(piece).collect() }
    }

    #[test]
    fn an_answer_enters_its_secret_once_and_what_the_login_has_only_behind_it() {
        let one = |tag: &str| BTreeSet::from([tag.to_owned()]);
        let (password, code) = (one("CURRENT_PASSWORD"), one("TOTP_TOKEN"));
        let mut given = Given::default();
        assert_eq!(given.admit(1, &BTreeSet::new(), false), Ok(()));
        assert_eq!(given.admit(1, &BTreeSet::new(), false), Ok(()), "one without a secret may come again");
        assert_eq!(given.admit(2, &code, false), Ok(()));
        given.note(&text(&["TOTP_TOKEN"]));
        assert_eq!(given.admit(2, &code, false), Err(Denied::Repeated));
        given.note(&text(&["USERNAME", "CURRENT_PASSWORD"]));
        assert_eq!(given.admit(3, &password, false), Err(Denied::Unproved));
        assert_eq!(given.admit(3, &password, true), Ok(()));
        assert_eq!(given.admit(4, &password, true), Err(Denied::TwiceBehind));
        assert_eq!(given.admit(4, &one("NEW_PASSWORD"), true), Ok(()));
    }
}

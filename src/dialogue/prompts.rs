//! What the prompts of a login want, by the words of products in the field: Linux-PAM, pam_google_authenticator, pam_oath,
//! Duo, RSA SecurID, privacyIDEA, FortiToken, Cisco ISE, Windows NPS, Okta and others.

use std::sync::OnceLock;

use regex::{RegexSet, SetMatches, escape};

/// What a prompt wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    New,
    Password,
    Both,
    Code,
    User,
    Key,
}

/// What a wording is a sign of.
#[derive(Debug, Clone, Copy)]
enum Sign {
    NewPin,
    Password,
    OneTime,
    Joined,
    New,
    Current,
    Key,
    User,
}

/// Wordings of one sign, lower case: those found in any place, and those that are words of their own.
type Wordings = (&'static [&'static str], &'static [&'static str]);

const fn wordings(sign: Sign) -> Wordings {
    match sign {
        Sign::NewPin => (&["new pin", "confirm pin", "new passcode"], &[]),
        Sign::Password => (
            &[
                "password",
                "passwd",
                "passphrase",
                "passwort",
                "kennwort",
                "mot de passe",
                "contraseña",
                "senha",
                "wachtwoord",
                "пароль",
                "パスワード",
                "密码",
                "密碼",
            ],
            &[],
        ),
        Sign::OneTime => (
            &[
                "one-time",
                "one time",
                "onetime",
                "verification code",
                "passcode",
                "authenticator",
                "tokencode",
                "token code",
                "two-factor",
                "two factor",
                "second factor",
                "2-step",
                "two-step",
                "security code",
                "authentication code",
                "access code",
                "auth code",
                "einmalpasswort",
                "einmalkennwort",
            ],
            &["otp", "totp", "token", "code", "mfa", "2fa", "fortitoken", "yubikey"],
        ),
        Sign::Joined => (
            &[
                "password+",
                "password +",
                "password & ",
                "password&",
                "password and token",
                "password and otp",
                "password and verification",
                "password followed by",
                "password,passcode",
                "password,otp",
            ],
            &[],
        ),
        Sign::New => (
            &["re-enter", "re-type"],
            &["new", "retype", "again", "confirm", "repeat", "reenter", "neues", "nueva", "nouveau"],
        ),
        Sign::Current => (&["current", "old ", "existing"], &[]),
        Sign::Key => (&["press enter", "press return", "press any key", "hit enter"], &[]),
        Sign::User => (&["user name"], &["username", "login"]),
    }
}

/// In the order of their numbers.
const SIGNS: [Sign; 8] =
    [Sign::NewPin, Sign::Password, Sign::OneTime, Sign::Joined, Sign::New, Sign::Current, Sign::Key, Sign::User];

/// One automaton for all signs, so that a prompt is read once, whatever its length.
fn automaton() -> Option<&'static RegexSet> {
    static ALL: OnceLock<Option<RegexSet>> = OnceLock::new();
    let any = |words: &[&str]| words.iter().map(|word| escape(word)).collect::<Vec<_>>().join("|");
    let expression = |sign: Sign| {
        let (anywhere, words) = wordings(sign);
        let word = format!(r"(?:^|[^\p{{Alphabetic}}\p{{N}}])(?:{})(?:$|[^\p{{Alphabetic}}\p{{N}}])", any(words));
        match (anywhere, words) {
            (_, []) => any(anywhere),
            ([], _) => word,
            _ => format!("{}|{word}", any(anywhere)),
        }
    };
    ALL.get_or_init(|| RegexSet::new(SIGNS.map(expression)).ok()).as_ref()
}

/// The signs in a prompt.
struct Signs(Option<SetMatches>);

impl Signs {
    /// `text` is in lower case.
    fn of(text: &str) -> Self {
        Self(automaton().map(|automaton| automaton.matches(text)))
    }

    fn has(&self, sign: Sign) -> bool {
        self.0.as_ref().is_some_and(|found| found.matched(sign as usize))
    }
}

/// Whether a prompt, in lower case, asks for the password of before a change.
pub(super) fn asks_current(text: &str) -> bool {
    Signs::of(text).has(Sign::Current)
}

/// What a prompt, in lower case, wants.
pub(super) fn classify(text: &str) -> Option<Kind> {
    let signs = Signs::of(text);
    let has = |sign| signs.has(sign);
    if has(Sign::NewPin) {
        return None;
    }
    if has(Sign::Password) && has(Sign::Joined) {
        return Some(Kind::Both);
    }
    if has(Sign::OneTime) {
        return Some(Kind::Code);
    }
    if has(Sign::Password) {
        let new = has(Sign::New) && !has(Sign::Current);
        return Some(if new { Kind::New } else { Kind::Password });
    }
    if has(Sign::Key) {
        return Some(Kind::Key);
    }
    has(Sign::User).then_some(Kind::User)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wording_is_found_and_a_word_only_as_a_word() {
        for (number, sign) in SIGNS.into_iter().enumerate() {
            assert_eq!(number, sign as usize);
            let (anywhere, words) = wordings(sign);
            for wording in anywhere {
                assert!(Signs::of(&format!("x{wording}x")).has(sign), "{sign:?}: {wording}");
            }
            for word in words {
                for text in [word.to_string(), format!("({word}):"), format!("ü {word}\u{a0}")] {
                    assert!(Signs::of(&text).has(sign), "{sign:?}: {text}");
                }
                for text in [format!("x{word}"), format!("{word}ü"), format!("{word}9")] {
                    assert!(!Signs::of(&text).has(sign), "{sign:?}: {text}");
                }
            }
        }
        assert!(!Signs::of("whatever").has(Sign::Password));
    }

    #[test]
    fn what_a_prompt_wants_is_told_by_the_weightier_sign() {
        for (prompt, kind) in [
            ("password: ", Some(Kind::Password)),
            ("current password: ", Some(Kind::Password)),
            ("retype new password: ", Some(Kind::New)),
            ("one-time password (otp): ", Some(Kind::Code)),
            ("password and token code: ", Some(Kind::Both)),
            ("enter a new pin: ", None),
            ("press any key to go on", Some(Kind::Key)),
            ("switch login: ", Some(Kind::User)),
            ("favourite colour: ", None),
        ] {
            assert_eq!(classify(prompt), kind, "{prompt}");
        }
    }
}

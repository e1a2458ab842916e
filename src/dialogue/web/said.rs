//! What pages say to a login or a new password, and who must help: words, as facts of the applications that are named.

use super::action::FailureKind;

/// Lower-case words that pages show, and what they mean. WordPress, MediaWiki, Django, django-two-factor-auth, pgAdmin and phpMyAdmin
/// as their message catalogues have them, and the forms that others share with them.
const VERDICTS: &[(FailureKind, &[&str])] = &[
    (
        FailureKind::Locked,
        &[
            "too many recent login attempts",
            "too many login attempts",
            "too many failed",
            "too many attempts",
            "your account is locked",
            "account has been locked",
            "account is disabled",
            "temporarily disabled because of",
            "temporarily locked",
            "try again later",
            "please wait before",
        ],
    ),
    (
        FailureKind::CodeRejected,
        &[
            "invalid token",
            "invalid code",
            "invalid verification code",
            "verification failed",
            "incorrect code",
            "wrong code",
            "code is incorrect",
            "code is invalid",
            "code you entered is",
            "two-factor authentication failed",
            "invalid otp",
        ],
    ),
    (
        FailureKind::PasswordRejected,
        &[
            "the password you entered",
            "incorrect username or password",
            "incorrect password",
            "incorrect user name or password",
            "invalid username or password",
            "invalid credentials",
            "invalid login",
            "wrong username or password",
            "wrong password",
            "wrong credentials",
            "enter a correct username and password",
            "is not registered on this site",
            "unknown username",
            "login failed",
            "login incorrect",
            "authentication failed",
            "access denied for user",
            "cannot log in to the",
            "bad credentials",
        ],
    ),
];

/// How pages refuse a new password.
const REFUSALS: &[&str] = &[
    "password is too short",
    "password is too common",
    "password is too similar",
    "password is too weak",
    "password is too simple",
    "password is entirely numeric",
    "password must",
    "passwords must",
    "passwords do not match",
    "password fields didn’t match",
    "password fields didn't match",
    "in a list of very commonly used passwords",
    "does not meet",
    "not meet the requirements",
    "same as the old",
    "been used before",
    "old password was entered incorrectly",
    "current password is incorrect",
    "incorrect password",
    "must be at least",
    "at least one",
    "not allowed",
];

/// Pages that only a person can answer: Google's, Microsoft's, Apple's and Cloudflare's, by their texts.
const PERSONS: &[(&str, &[&str])] = &[
    (
        "CAPTCHA",
        &[
            "verify you are human",
            "verify that you are human",
            "confirm that you are not a robot",
            "i'm not a robot",
            "i am not a robot",
            "prove you are human",
            "checking your browser before",
            "type the characters you see",
            "complete the security check",
            "just a moment...",
        ],
    ),
    ("trust this browser", &["trust this browser?", "trust this device?", "stay signed in?", "remember this browser?"]),
    (
        "verify that it is you",
        &[
            "verify it's you",
            "verify it’s you",
            "verify that it's you",
            "verify that it is you",
            "verify your identity",
            "confirm your identity",
            "confirm it's you",
            "suspicious login attempt",
            "unusual sign-in activity",
            "unusual activity",
            "we don't recognize this device",
            "new device",
        ],
    ),
    (
        "second factor",
        &[
            "check your phone",
            "approve sign in request",
            "approve the request",
            "open your authenticator app",
            "enter the code we sent",
            "we sent a code to",
            "we've sent a code",
            "we just sent",
            "code sent to your",
            "insert your security key",
            "use your security key",
            "use your passkey",
            "scan the qr code",
            "enter the code from your authenticator",
            "two-factor authentication",
            "two-step verification",
            "2-step verification",
        ],
    ),
];

fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// What a page says to a login that was typed into it; `None` where it says nothing that is known.
#[must_use]
pub fn verdict(text: &str) -> Option<FailureKind> {
    let text = folded(text);
    VERDICTS.iter().find(|(_, words)| words.iter().any(|words| text.contains(words))).map(|(kind, _)| *kind)
}

/// Whether a page says that it does not take a new password.
#[must_use]
pub fn refuses(text: &str) -> bool {
    let text = folded(text);
    REFUSALS.iter().any(|words| text.contains(words))
}

/// What a page asks a person for; `None` where it asks for nothing that is known.
#[must_use]
pub fn person_for(text: &str) -> Option<&'static str> {
    let text = folded(text);
    PERSONS.iter().find(|(_, words)| words.iter().any(|words| text.contains(words))).map(|(kind, _)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applications_say_what_is_wrong_in_their_own_words() {
        let of = |text| verdict(text);
        assert_eq!(
            of("Error: The password you entered for the username user1 is incorrect."),
            Some(FailureKind::PasswordRejected)
        );
        assert_eq!(
            of("Incorrect username or password entered.\nPlease try again."),
            Some(FailureKind::PasswordRejected)
        );
        assert_eq!(of("Please enter a correct username and  password."), Some(FailureKind::PasswordRejected));
        assert_eq!(of("Verification failed."), Some(FailureKind::CodeRejected));
        assert_eq!(of("Invalid Code"), Some(FailureKind::CodeRejected));
        assert_eq!(
            of("You have made too many recent login attempts. Please wait 5 minutes"),
            Some(FailureKind::Locked)
        );
        assert_eq!(
            of("Verification temporarily disabled because of 1 failed attempt, please try again soon."),
            Some(FailureKind::Locked)
        );
        assert_eq!(of("Your account is locked. Please contact the Administrator."), Some(FailureKind::Locked));
        assert_eq!(of("Welcome, user1"), None);
        assert!(refuses("This password is too short. It must contain at least 8 characters."));
        assert!(!refuses("Your password was changed."));
        assert_eq!(person_for("Verify  it’s you\nTo help keep your account safe"), Some("verify that it is you"));
        assert_eq!(person_for("Log in"), None);
    }
}

//! How devices say that they do not take a new password.

/// Wordings of pam_unix, pam_pwquality, shadow's passwd, dropbear's busybox, and network operating systems, lower case.
const REFUSALS: &[&str] = &[
    "bad password",
    "password unchanged",
    "authentication token manipulation error",
    "have exhausted maximum number of retries",
    "new password must",
    "password must",
    "password is too",
    "password too short",
    "passwords must",
    "choose a longer password",
    "is too simple",
    "is too short",
    "is too similar",
    "does not meet",
    "not complex enough",
    "based on a dictionary",
    "based on your username",
    "based on personal",
    "it is wrapped",
    "palindrome",
    "weak password",
    "password has been already used",
    "password has already been used",
    "password policy",
    "invalid password",
    "minimum length",
    "password not changed",
    "was not changed",
    "passwords do not match",
    "sorry, passwords",
];

/// Whether the text says that the device refuses the new password. It is a hint: it decides which password is tried
/// first afterwards, and a login decides which one is in force.
#[must_use]
pub fn device_refuses(text: &str) -> bool {
    let text = text.to_lowercase();
    REFUSALS.iter().any(|wording| text.contains(wording))
}

//! How the prompts of an SSH login are answered (keyboard-interactive, RFC 4256).
//!
//! A prompt is answered only where it is understood. What nothing answers ends the attempt and is shown, since a wrong
//! guess costs a failed login, and enough of those lock an account out.

use super::pattern::Pattern;
use super::prompts::{Kind, asks_current, classify};
use crate::model::Secret;

/// How a device wants the password and the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoginFormat {
    /// Each in a prompt of its own.
    #[default]
    Separate,
    /// One field, the code right behind the password.
    PasswordThenCode,
    /// One field, the password right behind the code.
    CodeThenPassword,
    /// One field, with a comma between: `password,code`.
    PasswordCommaCode,
}

impl LoginFormat {
    /// The names that the config takes.
    pub const NAMES: &[&str] = &["separate", "password+totp", "totp+password", "password,totp"];

    /// Parses one of [`LoginFormat::NAMES`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "separate" => Some(Self::Separate),
            "password+totp" => Some(Self::PasswordThenCode),
            "totp+password" => Some(Self::CodeThenPassword),
            "password,totp" => Some(Self::PasswordCommaCode),
            _ => None,
        }
    }

    /// Joins password and code as the format wants.
    #[must_use]
    pub fn join(self, password: &Secret, code: &Secret) -> Secret {
        let (password, code) = (password.expose(), code.expose());
        Secret::new(match self {
            Self::Separate => password.to_owned(),
            Self::PasswordThenCode => format!("{password}{code}"),
            Self::CodeThenPassword => format!("{code}{password}"),
            Self::PasswordCommaCode => format!("{password},{code}"),
        })
    }
}

/// What to answer to a prompt.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The login password.
    Password,
    /// A fresh code.
    Code,
    /// Password and fresh code in one field.
    Joined(LoginFormat),
    /// The new password: the device demands one at login. This is the commit point.
    NewPassword,
    /// The user name.
    UserName,
    /// Nothing: the prompt only wants a key pressed.
    Empty,
    /// What the template says, by the number of its `login-prompt`.
    Template(usize),
}

/// Why a prompt gets no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// Nobody knows what it wants.
    #[error("the login asks «{0}» and nothing answers it; add a line to the template: login-prompt \"*…\" \"…\"")]
    Unknown(String),
    /// The password or the code is asked for a second time: what was sent was refused.
    #[error("the login asks for the password or the code again: it refused what was sent")]
    AskedAgain,
    /// The login took the password and demands another one, which this login is not to give.
    #[error("the login takes the password and demands a new one; 'rotorctl rotate' gives it one")]
    NewDemanded,
    /// The login asks on and on.
    #[error("the login asked {0} times and did not end")]
    TooMany(usize),
}

/// Prompts answered in one login at the most.
const MOST_PROMPTS: usize = 20;

/// The state of one login's questions.
#[derive(Debug, Default)]
pub struct LoginDialogue {
    format: LoginFormat,
    custom: Vec<Pattern>,
    asked: usize,
    password_given: bool,
    code_given: bool,
    new_given: bool,
    allow_new: bool,
}

impl LoginDialogue {
    /// `custom` are the patterns of the template's `login-prompt` lines; `allow_new` tells whether a demand for a new
    /// password may be met in this login.
    #[must_use]
    pub fn new(format: LoginFormat, custom: Vec<Pattern>, allow_new: bool) -> Self {
        Self { format, custom, allow_new, ..Self::default() }
    }

    /// The password was accepted by another method of the same login.
    pub fn password_was_given(&mut self) {
        self.password_given = true;
    }

    /// Decides the answer to a prompt. `context` is the round's name and instructions, for prompts that say nothing
    /// themselves.
    ///
    /// # Errors
    /// The prompt is not understood, repeats the password's, or is one too many.
    pub fn answer(&mut self, prompt: &str, context: &str) -> Result<Answer, PromptError> {
        self.asked += 1;
        if self.asked > MOST_PROMPTS {
            return Err(PromptError::TooMany(MOST_PROMPTS));
        }
        if let Some(index) = self.custom.iter().position(|pattern| pattern.occurs_in(prompt)) {
            return Ok(Answer::Template(index));
        }
        let text = prompt.to_lowercase();
        match classify(&text).or_else(|| bare(&text).then(|| classify(&context.to_lowercase())).flatten()) {
            Some(Kind::New) if self.allow_new => {
                self.new_given = true;
                Ok(Answer::NewPassword)
            }
            Some(Kind::Password) if self.password_given && !asks_current(&text) => Err(PromptError::AskedAgain),
            Some(Kind::Password) => {
                self.password_given = true;
                Ok(match self.format {
                    LoginFormat::Separate => Answer::Password,
                    _ if self.new_given || asks_current(&text) => Answer::Password,
                    format => Answer::Joined(format),
                })
            }
            Some(Kind::Both) if self.code_given => Err(PromptError::AskedAgain),
            Some(Kind::Both) => {
                (self.password_given, self.code_given) = (true, true);
                Ok(Answer::Joined(match self.format {
                    LoginFormat::Separate => LoginFormat::PasswordThenCode,
                    format => format,
                }))
            }
            // A device that took a new password may want to see who gave it.
            Some(Kind::Code) if self.code_given && !self.new_given => Err(PromptError::AskedAgain),
            Some(Kind::Code) => {
                self.code_given = true;
                Ok(Answer::Code)
            }
            Some(Kind::User) => Ok(Answer::UserName),
            Some(Kind::Key) => Ok(Answer::Empty),
            Some(Kind::New) if self.password_given => Err(PromptError::NewDemanded),
            Some(Kind::New) | None => Err(PromptError::Unknown(shown_prompt(prompt, 200))),
        }
    }
}

/// A prompt that says nothing by itself, such as `:` or `Response:`.
fn bare(text: &str) -> bool {
    let letters: String = text.chars().filter(|c| c.is_alphabetic()).collect();
    matches!(letters.as_str(), "" | "response" | "answer" | "enter" | "input")
}

/// A prompt as it may be shown: without control characters, on one line, and at most `most` characters of it.
#[must_use]
pub fn shown_prompt(prompt: &str, most: usize) -> String {
    let text: String = prompt.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect();
    text.trim().to_owned()
}

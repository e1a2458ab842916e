//! How a device wants password and code.

use crate::model::Secret;

/// How a device wants the password and the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoginFormat {
    /// Each in a question of its own, told apart by its words.
    #[default]
    Separate,
    /// One field, the code right behind the password.
    PasswordThenCode,
    /// One field, the password right behind the code.
    CodeThenPassword,
    /// One field, with a comma between: `password,code`.
    PasswordCommaCode,
    /// Each in a question of its own, told apart by their order: the password first.
    PasswordFirst,
    /// The same, the code first.
    CodeFirst,
}

impl LoginFormat {
    /// The names that the config takes.
    pub const NAMES: &[&str] =
        &["separate", "password,totp", "totp,password", "password+totp", "totp+password", "password+comma+totp"];

    /// Parses one of [`LoginFormat::NAMES`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "separate" => Some(Self::Separate),
            "password+totp" => Some(Self::PasswordThenCode),
            "totp+password" => Some(Self::CodeThenPassword),
            "password+comma+totp" => Some(Self::PasswordCommaCode),
            "password,totp" => Some(Self::PasswordFirst),
            "totp,password" => Some(Self::CodeFirst),
            _ => None,
        }
    }

    /// Whether both go into one field.
    #[must_use]
    pub fn is_joined(self) -> bool {
        matches!(self, Self::PasswordThenCode | Self::CodeThenPassword | Self::PasswordCommaCode)
    }

    /// Whether the order of the questions tells them apart.
    #[must_use]
    pub fn is_ordered(self) -> bool {
        matches!(self, Self::PasswordFirst | Self::CodeFirst)
    }

    /// Joins password and code as the format wants. A format of two questions joins with a comma where the device has one
    /// field for both.
    #[must_use]
    pub fn join(self, password: &Secret, code: &Secret) -> Secret {
        let (password, code) = (password.expose(), code.expose());
        Secret::new(match self {
            Self::Separate => password.to_owned(),
            Self::PasswordThenCode => format!("{password}{code}"),
            Self::CodeThenPassword => format!("{code}{password}"),
            Self::PasswordCommaCode | Self::PasswordFirst => format!("{password},{code}"),
            Self::CodeFirst => format!("{code},{password}"),
        })
    }
}

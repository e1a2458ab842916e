//! What the devices say at a login, in the words of devices of the field.

use super::Site;
use crate::sim::habits::Habit;

/// What a device says where it asks for password and code one after the other, and how a template answers to it.
#[derive(Debug, Clone, Copy)]
pub(in crate::sim) struct Wording {
    pub(super) password: &'static str,
    pub(super) code: &'static str,
    pub(super) new: &'static str,
    pub(super) again: &'static str,
    pub(in crate::sim) template: &'static str,
}

/// Those that rotord understands by itself.
pub(in crate::sim) const PLAIN_WORDS: Wording = Wording {
    password: "Password: ",
    code: "Verification code: ",
    new: "New password: ",
    again: "Retype new password: ",
    template: "",
};

/// Those that nothing but a template understands.
pub(in crate::sim) const OWN_WORDS: Wording = Wording {
    password: "Speak, friend: ",
    code: "And the figures of the minute: ",
    new: "What will you say henceforth? ",
    again: "Henceforth, once more: ",
    template: "login-prompt \"*friend*\" \"[#CURRENT_PASSWORD#]\"\n\
        login-prompt \"*figures*\" \"[#TOTP_TOKEN#]\"\n\
        login-prompt \"*enceforth*\" \"[#NEW_PASSWORD#]\"\n",
};

/// What a question of the login wants, as the device means it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Wants {
    Password,
    Code,
    /// Password and code in one.
    Joined,
    /// The current password once more, before a change.
    Current,
    New,
    Retype,
    /// Nothing: the device refused what it was given, and asks once more.
    Again,
    /// Nothing that is stored: a choice of methods, or a person's consent.
    Person,
    /// Nothing: nobody knows which of two questions wants what.
    Nothing,
}

/// Notices in front of a first question: of pam_unix(8), pam_faillock(8), sites' own.
const NOTICES: [&str; 4] = [
    "Warning: your password will expire in 3 days.\nChoose a new password, and confirm it with passwd(1).\n",
    "There were 2 failed login attempts since the last successful login.\n",
    "Enter your current password, and then the code that your token shows.\n",
    "Invalid logins are recorded. Do not try again and again.\n",
];

/// Notices in front of a later question.
const LATER_NOTICES: [&str; 3] = [
    "Warning: your password will expire in 3 days.\n",
    "A new device was registered; confirm it at the next login.\n",
    "The one-time password is not the same as your new password.\n",
];

/// What stands in front of a question that is asked again: of Linux's login(1), OpenSSH, sudo(8), Cisco, pam_unix(8).
const TRY_AGAIN: [&str; 5] = [
    "Login incorrect, please try again\n",
    "Permission denied, please try again.\n",
    "Sorry, try again.\n",
    "% Authentication failed\n\n",
    "Authentication failure\n",
];

/// Greetings in a round of their own.
const GREETINGS: [&str; 3] = [
    "Welcome. Your new one-time password generator is ready.",
    "Logins are recorded, and so are failed ones.",
    "Debian GNU/Linux 12",
];

/// Banners that a lawyer wrote.
const BANNERS: [&str; 3] = [
    "UNAUTHORIZED ACCESS IS NOT PERMITTED. Access is denied to all others.",
    "Accounts are locked after 5 failed logins. Disconnect at once if you are not allowed in.",
    "Maintenance is on Sundays from 02:00 to 04:00. Too many sessions slow this host down.",
];

/// Reasons of a refusal.
const REASONS: [&str; 4] = ["Login incorrect", "Access denied", "Authentication failed.", "Permission denied"];

/// Why a device demands a new password: pam_unix(8), Windows, Cisco IOS.
const EXPIRED: [&str; 3] = [
    "You are required to change your password immediately (administrator enforced).",
    "Your password has expired.",
    "Password expired. Change your password now.",
];

/// Why it does not take a new one: pam_pwquality(8), pam_pwhistory(8), a router.
pub(super) const BAD_PASSWORD: [&str; 3] = [
    "BAD PASSWORD: The password contains less than 3 character classes",
    "Password has been already used. Choose another.",
    "% Password does not meet the policy",
];

/// Choices and requests that no code answers: Duo, Microsoft's plug-in for NPS.
pub(super) const PERSONS: [(&str, &str); 3] = [
    (
        "",
        "Two-factor login\n\n Select one of the following options:\n\n 1. Push to XXX-XXX-1234\n 2. Phone call to XXX-XXX-1234\n\nOption (1-2): ",
    ),
    ("Approve the request showing 42 in your authenticator app, then press Enter.", ""),
    ("", "A push was sent to your phone. Approve it, and press Enter to go on: "),
];

/// Why a device lets an account in for now in no case, in words that say nothing of password or code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Closed {
    Locked,
    NoLogin,
    Hours,
    NoRoom,
}

impl Closed {
    pub(in crate::sim) const ALL: [Self; 3] = [Self::NoLogin, Self::Hours, Self::NoRoom];

    /// The words of pam_faillock(8), of pam_nologin(8) and systemd, of RADIUS servers, of pam_limits(8) and iDRAC.
    pub(super) fn words(self, user: &str, variant: usize) -> String {
        let all = match self {
            Self::Locked => [
                "The account is locked due to 3 failed logins.\n(28 minutes left to unlock)",
                "Account locked. Please contact your administrator.",
            ],
            Self::NoLogin => [
                "System is booting up. Unprivileged users are not permitted to log in yet. Please come back later. For technical details, see pam_nologin(8).",
                "The system is down for maintenance. No logins are allowed.",
            ],
            Self::Hours => ["Login is not allowed at this time.", "Access is not permitted at this time of day."],
            Self::NoRoom => {
                ["Too many logins for 'USER'.", "The maximum number of user sessions is reached. Try again later."]
            }
        };
        all[variant % all.len()].replace("USER", user)
    }
}

/// How a device says that it lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Says {
    /// In a banner; then it refuses.
    InBanner,
    /// In a round without a question; then it refuses.
    InRound,
    /// As the reason with which it hangs up.
    HangingUp,
}

impl Says {
    pub(in crate::sim) const ALL: [Self; 3] = [Self::InBanner, Self::InRound, Self::HangingUp];
}

/// One of a list, by the device's number.
pub(super) fn one(texts: &[&'static str], variant: usize) -> &'static str {
    texts[variant % texts.len()]
}

impl Site {
    /// The question as the device asks it: `first` where nothing was asked before in this login.
    pub(super) fn question(&self, user: &str, wants: Wants, words: Wording, first: bool) -> String {
        let text = match wants {
            Wants::Password | Wants::Again | Wants::Nothing => words.password,
            Wants::Code if self.habits.has(Habit::SamePrompts) => words.password,
            Wants::Code => words.code,
            Wants::Joined => "Password+OTP: ",
            Wants::Current => "Current password: ",
            Wants::New => words.new,
            Wants::Retype => words.again,
            Wants::Person => PERSONS[self.variant % PERSONS.len()].1,
        };
        let named = if !self.habits.has(Habit::NamesUser) || wants == Wants::Person {
            text.to_owned()
        } else if self.variant.is_multiple_of(2) {
            format!("({user}@{}) {text}", self.host)
        } else {
            format!("{} for {user}@{}: ", text.trim_end().trim_end_matches(':'), self.host)
        };
        if !self.habits.has(Habit::Notices) || matches!(wants, Wants::Again | Wants::Person | Wants::Retype) {
            return named;
        }
        let notices: &[&'static str] = if first { &NOTICES } else { &LATER_NOTICES };
        format!("{}{named}", one(notices, self.variant))
    }

    pub(super) fn try_again(&self) -> &'static str {
        one(&TRY_AGAIN, self.variant)
    }

    pub(super) fn greeting(&self) -> &'static str {
        one(&GREETINGS, self.variant)
    }

    pub(super) fn banner(&self) -> &'static str {
        one(&BANNERS, self.variant)
    }

    pub(super) fn reason(&self) -> &'static str {
        one(&REASONS, self.variant)
    }

    pub(super) fn expired(&self) -> &'static str {
        one(&EXPIRED, self.variant)
    }
}

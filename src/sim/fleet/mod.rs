//! The simulated fleet: SSH devices with a password and a one-time code, that lose connections, answer late or never,
//! die, lie, lock accounts, lose their configuration, and have clocks and habits of their own.

mod account;
mod link;
mod login;
mod words;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{PrivateKey, PublicKey};

use super::habits::{Habit, Habits};
use super::host::Rate;
use super::shell::Kind;
use super::universe::Universe;
use crate::dialogue::LoginFormat;
use crate::model::Secret;

pub(super) use account::{LOCKED_FOR, User};
pub(super) use link::SimWire;
pub(super) use words::{Closed, OWN_WORDS, PLAIN_WORDS, Says, Wants};

/// How a device asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// Password, then code, in two rounds; both are judged at the end, as with PAM.
    PasswordThenCode,
    /// The code first.
    CodeThenPassword,
    /// Both in one round.
    Together,
    /// One field for both.
    Joined,
    /// The method `password`, and then a code.
    PasswordMethodThenCode,
    /// A key first, and then password and code.
    KeyThenPassword,
    /// A key is enough; who has none gives password and code.
    KeyOrPassword,
    /// Password, then code, in words that only the template understands.
    OwnWords,
    /// No code at all.
    PasswordOnly,
    /// Nothing: it lets anybody in, and asks for user and password in the session.
    InSession,
}

impl Asks {
    pub(super) const ALL: [Self; 9] = [
        Self::PasswordThenCode,
        Self::CodeThenPassword,
        Self::Together,
        Self::Joined,
        Self::PasswordMethodThenCode,
        Self::KeyThenPassword,
        Self::KeyOrPassword,
        Self::OwnWords,
        Self::PasswordOnly,
    ];

    pub(super) fn has_key(self) -> bool {
        matches!(self, Self::KeyThenPassword | Self::KeyOrPassword)
    }

    /// How the config says in which order password and code are asked for, each in a question of its own.
    pub(super) fn order(self) -> Option<LoginFormat> {
        match self {
            Self::PasswordThenCode | Self::Together | Self::KeyThenPassword | Self::KeyOrPassword => {
                Some(LoginFormat::PasswordFirst)
            }
            Self::CodeThenPassword => Some(LoginFormat::CodeFirst),
            _ => None,
        }
    }

    pub(super) fn has_code(self) -> bool {
        !matches!(self, Self::PasswordOnly | Self::InSession)
    }
}

/// What a device does with a login that it does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refuses {
    InWords,
    HangsUp,
    /// It asks for the password again, where it is the one who asks.
    AsksAgain,
}

/// The private keys of all fleets, in OpenSSH's format.
pub(super) fn keys() -> &'static [(Secret, PublicKey)] {
    static ALL: OnceLock<Vec<(Secret, PublicKey)>> = OnceLock::new();
    ALL.get_or_init(|| {
        let keys = (1..=5).map(|n| PrivateKey::from(Ed25519Keypair::from_seed(&[n; 32])));
        keys.filter_map(|key| {
            let text = key.to_openssh(LineEnding::LF).ok()?.to_string();
            Some((Secret::new(text), key.public_key().clone()))
        })
        .collect()
    })
}

/// A device.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) asks: Asks,
    /// It takes codes of the step at hand alone, not of the ones beside it.
    pub(super) strict: bool,
    pub(super) users: BTreeMap<String, User>,
    /// What a reboot brings back, where the running configuration was not saved.
    pub(super) saved: BTreeMap<String, String>,
    pub(super) shell: Kind,
    /// Its shell changes nothing: a login that demands a new password does.
    pub(super) only_at_login: bool,
    /// Its clock less the true one, in milliseconds, but for its drift.
    pub(super) skew: i64,
    /// What its clock is off even where nothing fails, within the window in which that is learned.
    pub(super) always_off: i64,
    /// Its clock runs fast or slow.
    pub(super) drift: Rate,
    /// Refused logins within an hour that lock the account for half an hour; 0 for never.
    pub(super) locks_after: usize,
    pub(super) refuses: Refuses,
    pub(super) down_until: i64,
    /// Somebody else answers at its address.
    pub(super) impostor_until: i64,
    pub(super) sessions: usize,
    pub(super) most_sessions: usize,
    pub(super) habits: Habits,
    /// Which of several wordings it uses.
    pub(super) variant: usize,
    /// The name of the host, as the device itself tells it.
    pub(super) host: &'static str,
    /// Until then it lets nobody in, and says so.
    pub(super) closed: Option<(i64, Closed)>,
    /// How it says so.
    pub(super) says: Says,
    /// Until then it refuses each login without a word.
    pub(super) refuses_until: i64,
}

impl Universe {
    /// Whether a device has a habit; where it has, it shows it now.
    pub(super) fn shows(&self, device: &str, habit: Habit) -> bool {
        let has = self.site(device, |site| site.habits.has(habit));
        if has {
            self.showed(habit);
        }
        has
    }

    /// Whether a device refuses each login, whatever comes.
    pub(super) fn lets_nobody_in(&self, device: &str) -> bool {
        let now = self.now();
        self.directory_is_down() || self.site(device, |site| site.refuses_until > now)
    }

    /// Somebody else came in with this very code: a check believes that refusal, and the login after one in a session sends a code of
    /// another step.
    pub(super) fn excuse_anothers(&self, device: &str, user: &str, code: Option<&str>) {
        let anothers = |site: &mut Site| site.users.get(user).is_some_and(|user| user.was_anothers(code));
        if self.site(device, anothers)
            && let Some(account) = Self::account(device, user)
        {
            self.excuse(&account);
        }
    }
}

impl Site {
    /// Why it lets nobody in now, where it says so.
    fn is_closed(&self, now: i64) -> Option<Closed> {
        self.closed.filter(|(until, _)| *until > now).map(|(_, why)| why)
    }

    /// Nothing fails any more: what befell it is over.
    pub(super) fn calms_down(&mut self) {
        self.skew = self.always_off;
        self.drift = Rate::default();
        self.users.values_mut().for_each(|user| (user.expired, user.key_is_lost) = (false, false));
        (self.down_until, self.impostor_until, self.refuses_until, self.closed) = (0, 0, 0, None);
    }

    /// What its clock shows at a true time, both in milliseconds since 1970.
    pub(super) fn clock(&self, now: i64) -> i64 {
        now + self.skew + self.drift.gained(now)
    }
}

/// Puts yesterday's configuration back, or what was saved last.
pub(super) fn reboot(universe: &Universe, device: &str) {
    let saved = universe.site(device, |site| site.saved.clone());
    universe.site_goes_down(device);
    for (user, password) in saved {
        universe.set_password(device, &user, &password);
        // Keys were not always saved with the passwords.
        let lost = universe.draw(0, 3) == 0;
        universe.site(device, |site| {
            if let Some(user) = site.users.get_mut(&user) {
                user.key_is_lost = lost;
            }
        });
    }
}

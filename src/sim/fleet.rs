//! The simulated fleet: SSH devices with a password and a one-time code, that lose connections, answer late or never,
//! die, lie, lock accounts, lose their configuration, and have clocks of their own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock};

use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{PrivateKey, PublicKey};

use super::faults::Fault;
use super::host::Rate;
use super::shell::SimShell;
use super::universe::Universe;
use crate::clock::Waiting;
use crate::config::Device;
use crate::device::{Ask, DeviceError, HostKeys, Link, Methods, Opened, Reply, Shell, Stream, Wire};
use crate::model::Secret;
use crate::totp::Seed;

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

    fn has_code(self) -> bool {
        self != Self::PasswordOnly
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

/// A user of a device.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) password: String,
    pub(super) seed: Option<Seed>,
    /// Which of [`keys`] is its own.
    pub(super) key: Option<usize>,
    /// The device knows its key no more.
    pub(super) key_is_lost: bool,
    used: BTreeSet<u64>,
    /// Steps whose code somebody else came in with.
    used_by_others: BTreeSet<u64>,
    refused: VecDeque<i64>,
    locked_until: i64,
    /// The next login demands a new password.
    pub(super) expired: bool,
}

impl User {
    pub(super) fn new(password: String, seed: Option<Seed>, key: Option<usize>) -> Self {
        Self {
            password,
            seed,
            key,
            key_is_lost: false,
            used: BTreeSet::new(),
            used_by_others: BTreeSet::new(),
            refused: VecDeque::new(),
            locked_until: 0,
            expired: false,
        }
    }
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
    /// A change is lost at a reboot until `write memory`.
    pub(super) saves_by_command: bool,
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
}

impl Universe {
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
    /// What its clock shows at a true time, both in milliseconds since 1970.
    pub(super) fn clock(&self, now: i64) -> i64 {
        now + self.skew + self.drift.gained(now)
    }
}

/// What a device thinks of a login.
#[derive(Default)]
struct Attempt {
    user: String,
    password: Option<String>,
    code: Option<String>,
    /// The key was the right one.
    key: bool,
    round: usize,
    /// The new password, once given, where the login demands one.
    new: Option<String>,
    proved: bool,
}

/// A connection to a simulated device.
pub(super) struct SimLink {
    universe: Arc<Universe>,
    device: String,
    asks: Asks,
    /// The devices through which it goes.
    through: Vec<String>,
    attempt: Attempt,
    /// When it was opened, in true time.
    since: i64,
    open: bool,
    /// It said no.
    refused: bool,
    /// Counted among the device's sessions.
    counted: bool,
    impostor: bool,
}

impl Drop for SimLink {
    fn drop(&mut self) {
        if self.counted {
            self.universe.site(&self.device, |site| site.sessions -= 1);
        }
    }
}

/// The fleet's wire.
pub(super) struct SimWire(pub(super) Arc<Universe>);

impl Wire for SimWire {
    fn open<'a>(
        &'a self,
        device: &'a Arc<Device>,
        host_keys: &'a HostKeys,
        through: Option<Box<dyn Stream>>,
    ) -> Waiting<'a, Opened> {
        Box::pin(async move {
            let name = device.name.to_string();
            let gone =
                |why: &str| DeviceError::Connect { device: name.clone(), address: device.address(), why: why.into() };
            self.0.act().await;
            self.0.wait(20).await;
            let now = self.0.now();
            if device.jump.is_some() && through.is_none() {
                return Err(gone("it is behind another device"));
            }
            if self.0.site(&name, |site| site.down_until > now) || self.0.fault(Fault::Cut) {
                return Err(gone("no route"));
            }
            if self.0.fault(Fault::Hang) {
                std::future::pending::<()>().await;
            }
            let (impostor, asks) = self.0.site(&name, |site| (site.impostor_until > now, site.asks));
            let fingerprint = format!("SHA256:{name}{}", if impostor { "-impostor" } else { "" });
            if !host_keys.fingerprints.contains(&fingerprint) {
                return Err(DeviceError::HostKeyMismatch { device: name, fingerprint });
            }
            let attempt = Attempt::default();
            let universe = self.0.clone();
            let since = self.0.now();
            let link = SimLink {
                universe,
                device: name,
                asks,
                through: self.0.way_to(device),
                attempt,
                since,
                open: true,
                refused: false,
                counted: false,
                impostor,
            };
            Ok((Box::new(link) as Box<dyn Link>, fingerprint))
        })
    }
}

/// What a device says where it asks for password and code one after the other, and how a template answers to it.
pub(super) struct Words {
    password: &'static str,
    code: &'static str,
    new: &'static str,
    again: &'static str,
    pub(super) template: &'static str,
}

/// Those that rotord understands by itself.
pub(super) const PLAIN_WORDS: Words = Words {
    password: "Password: ",
    code: "Verification code: ",
    new: "New password: ",
    again: "Retype new password: ",
    template: "",
};

/// Those that nothing but a template understands.
pub(super) const OWN_WORDS: Words = Words {
    password: "Speak, friend: ",
    code: "And the figures of the minute: ",
    new: "What will you say henceforth? ",
    again: "Henceforth, once more: ",
    template: "login-prompt \"*friend*\" \"[#CURRENT_PASSWORD#]\"\n\
        login-prompt \"*figures*\" \"[#TOTP_TOKEN#]\"\n\
        login-prompt \"*enceforth*\" \"[#NEW_PASSWORD#]\"\n",
};

impl SimLink {
    fn methods(&self) -> Methods {
        let none = Methods::default();
        match self.asks {
            Asks::PasswordOnly | Asks::PasswordMethodThenCode => Methods { password: true, ..none },
            Asks::KeyThenPassword if !self.attempt.key => Methods { key: true, ..none },
            Asks::KeyOrPassword => Methods { key: true, interactive: true, ..none },
            _ => Methods { interactive: true, ..none },
        }
    }

    fn prompts(texts: &[&str]) -> Reply {
        Reply::Prompts { context: String::new(), prompts: texts.iter().map(|text| (*text).to_owned()).collect() }
    }

    /// What the device does with a message: the whole of its mind, without the network.
    fn mind(&mut self, user: &str, ask: Ask) -> Result<Reply, String> {
        self.attempt.user = user.to_owned();
        let asks = self.asks;
        match ask {
            Ask::None => Ok(self.failure()),
            Ask::Key(key) => self.key(user, &key),
            Ask::Password(secret) => {
                self.attempt.password = Some(secret.expose().to_owned());
                if asks == Asks::PasswordMethodThenCode && !self.universe.directory_is_down() {
                    let right = self.universe.site(&self.device, |site| {
                        site.users.get(user).is_some_and(|truth| truth.password == secret.expose())
                    });
                    if right {
                        let methods = Methods { interactive: true, ..Methods::default() };
                        return Ok(Reply::Failure { methods, partial: true });
                    }
                }
                self.judge()
            }
            Ask::Interactive if !self.methods().interactive && asks == Asks::KeyThenPassword => Ok(self.failure()),
            Ask::Interactive => {
                self.attempt.round = 1;
                Ok(match asks {
                    Asks::PasswordThenCode | Asks::KeyThenPassword | Asks::KeyOrPassword | Asks::OwnWords => {
                        Self::prompts(&[self.wording().password])
                    }
                    Asks::CodeThenPassword | Asks::PasswordMethodThenCode => Self::prompts(&["Verification code: "]),
                    Asks::Together => Self::prompts(&["Password: ", "One-time code: "]),
                    Asks::Joined => Self::prompts(&["Password+OTP: "]),
                    Asks::PasswordOnly => Self::prompts(&["Password: "]),
                })
            }
            Ask::Answers(answers) => self.answers(asks, answers),
        }
    }

    fn answers(&mut self, asks: Asks, answers: Vec<Secret>) -> Result<Reply, String> {
        let mut given = answers.into_iter().map(|answer| answer.expose().to_owned());
        let round = self.attempt.round;
        self.attempt.round += 1;
        if self.attempt.proved {
            return self.renew(given.next());
        }
        match (asks, round) {
            (Asks::PasswordThenCode | Asks::KeyThenPassword | Asks::KeyOrPassword | Asks::OwnWords, 1) => {
                self.attempt.password = given.next();
                Ok(Self::prompts(&[self.wording().code]))
            }
            (Asks::CodeThenPassword, 1) => {
                self.attempt.code = given.next();
                Ok(Self::prompts(&["Password: "]))
            }
            (
                Asks::PasswordThenCode
                | Asks::PasswordMethodThenCode
                | Asks::KeyThenPassword
                | Asks::KeyOrPassword
                | Asks::OwnWords,
                _,
            ) => {
                self.attempt.code = given.next();
                self.judge()
            }
            (Asks::CodeThenPassword | Asks::PasswordOnly, _) => {
                self.attempt.password = given.next();
                self.judge()
            }
            (Asks::Together, _) => {
                self.attempt.password = given.next();
                self.attempt.code = given.next();
                self.judge()
            }
            (Asks::Joined, _) => {
                let both = given.next().unwrap_or_default();
                let cut = both.len().saturating_sub(8);
                self.attempt.password = both.get(..cut).map(str::to_owned);
                self.attempt.code = both.get(cut..).map(str::to_owned);
                self.judge()
            }
        }
    }

    /// A login that demands a new password, asked for twice.
    fn renew(&mut self, given: Option<String>) -> Result<Reply, String> {
        match (&self.attempt.new, given) {
            (None, given) => {
                if let Some(new) = &given {
                    self.universe.saw_new(&self.device, &self.attempt.user, new);
                }
                self.attempt.new = given;
                Ok(Self::prompts(&[self.wording().again]))
            }
            (Some(first), Some(second)) if *first == second => {
                let (user, new) = (self.attempt.user.clone(), second);
                self.universe.set_password(&self.device, &user, &new);
                self.universe.site(&self.device, |site| {
                    if let Some(user) = site.users.get_mut(&user) {
                        user.expired = false;
                    }
                });
                self.enter()
            }
            _ => Err("the device hung up".into()),
        }
    }

    fn judge(&mut self) -> Result<Reply, String> {
        let now = self.universe.now();
        let device = self.device.clone();
        let (user, password) = (self.attempt.user.clone(), self.attempt.password.clone().unwrap_or_default());
        let code = self.attempt.code.clone();
        if let Some(code) = &code {
            self.universe.saw_code(&device, &user, code);
        }
        let nobody = self.universe.directory_is_down();
        if nobody && let Some(account) = Universe::account(&device, &user) {
            self.universe.excuse(&account);
        }
        self.universe.excuse_anothers(&device, &user, code.as_deref());
        let (right, refuses, expired) = self.universe.site(&device, |site| {
            let (asks, strict, clock, locks_after) = (site.asks, site.strict, site.clock(now), site.locks_after);
            let refuses = site.refuses;
            if nobody {
                return (false, refuses, false);
            }
            let Some(truth) = site.users.get_mut(&user) else { return (false, refuses, false) };
            let right_code = !asks.has_code() || truth.accepts(code.as_deref(), clock, strict);
            let right = truth.password == password && right_code && truth.locked_until <= now;
            if !right {
                truth.refused.push_back(now);
                while truth.refused.front().is_some_and(|at| now - at > 3_600_000) {
                    truth.refused.pop_front();
                }
                if locks_after > 0 && truth.refused.len() >= locks_after {
                    truth.locked_until = now + 1_800_000;
                }
            }
            (right, refuses, truth.expired)
        });
        if !right {
            self.universe.refused_login(&device, &user);
            self.attempt.password = None;
            self.refused = true;
            return match refuses {
                Refuses::HangsUp => Err("the device hung up".into()),
                Refuses::AsksAgain if self.asks == Asks::Joined => Ok(Self::prompts(&["Password+OTP: "])),
                Refuses::AsksAgain if self.methods().interactive => Ok(Self::prompts(&[self.wording().password])),
                _ => Ok(self.failure()),
            };
        }
        if expired && self.asks != Asks::PasswordOnly {
            self.attempt.proved = true;
            return Ok(Self::prompts(&[self.wording().new]));
        }
        self.enter()
    }

    fn wording(&self) -> Words {
        if self.asks == Asks::OwnWords { OWN_WORDS } else { PLAIN_WORDS }
    }

    fn failure(&self) -> Reply {
        Reply::Failure { methods: self.methods(), partial: false }
    }

    fn key(&mut self, user: &str, key: &PrivateKey) -> Result<Reply, String> {
        let offered = keys().iter().position(|(_, known)| known.key_data() == key.public_key().key_data());
        let (own, lost) = self
            .universe
            .site(&self.device, |site| site.users.get(user).map_or((None, false), |user| (user.key, user.key_is_lost)));
        if offered.is_none() || offered != own {
            self.universe.violation(format!("{}/{user} is offered a key that is not its own", self.device));
        }
        if lost || !self.methods().key {
            return Ok(self.failure());
        }
        if self.asks == Asks::KeyOrPassword {
            return self.enter();
        }
        self.attempt.key = true;
        Ok(Reply::Failure { methods: self.methods(), partial: true })
    }

    fn enter(&mut self) -> Result<Reply, String> {
        self.counted = true;
        self.universe.site(&self.device, |site| {
            site.sessions += 1;
            site.most_sessions = site.most_sessions.max(site.sessions);
        });
        self.universe.logged_in(&self.device, &self.attempt.user);
        Ok(Reply::In)
    }
}

impl User {
    /// Whether it is the code that somebody else came in with.
    fn was_anothers(&self, code: Option<&str>) -> bool {
        let its = |seed: &Seed, step: &u64| Some(seed.code(*step).expose()) == code;
        self.seed.as_ref().is_some_and(|seed| self.used_by_others.iter().any(|step| its(seed, step)))
    }

    /// Somebody comes in with the code of the moment.
    pub(super) fn code_is_used(&mut self, device_ms: i64) {
        if let Some(seed) = &self.seed {
            let step = device_ms.max(0).unsigned_abs() / 1000 / seed.period();
            self.used.insert(step);
            self.used_by_others.insert(step);
        }
    }

    /// Whether the device takes a code: of the step at hand or, unless it is strict, one beside it, each once (RFC 6238,
    /// section 5.2).
    pub(super) fn accepts(&mut self, code: Option<&str>, device_ms: i64, strict: bool) -> bool {
        let (Some(seed), Some(code)) = (&self.seed, code) else { return self.seed.is_none() };
        let step = device_ms.max(0).unsigned_abs() / 1000 / seed.period();
        let beside = if strict { 1 } else { 3 };
        for step in [step, step.saturating_sub(1), step + 1].into_iter().take(beside) {
            if seed.code(step).expose() == code {
                return self.used.insert(step);
            }
        }
        false
    }
}

/// A device hangs up on whoever is not logged in by then, in milliseconds: OpenSSH's `LoginGraceTime` (sshd_config(5)).
const LOGIN_GRACE: i64 = 120_000;

impl Link for SimLink {
    fn ask<'a>(&'a mut self, user: &'a str, ask: Ask) -> Waiting<'a, Result<Reply, String>> {
        Box::pin(async move {
            if self.impostor {
                self.universe.violation("a secret went to an impostor");
            }
            let secret = matches!(ask, Ask::Password(_) | Ask::Answers(_));
            let in_time = 30;
            let excuse = |link: &Self| {
                // A connection that breaks here looks like a device that says no.
                if let Some(account) = Universe::account(&link.device, &link.attempt.user).filter(|_| secret) {
                    link.universe.excuse(&account);
                }
            };
            self.universe.act().await;
            let wait = if self.universe.fault(Fault::Late) {
                // Until it looks at a code its step may be over, and its answer may come when nobody waits for it any more.
                excuse(self);
                self.universe.draw(5_000, 45_000)
            } else {
                in_time
            };
            self.universe.wait(wait).await;
            let late = self.universe.now() - self.since > LOGIN_GRACE;
            if late && self.universe.is_calm() && !self.universe.clock_was_wrong() {
                self.universe.violation(format!("{} hangs up on a login that stood still", self.device));
            }
            if !self.open || late || self.universe.fault(Fault::Cut) || self.is_down() {
                excuse(self);
                self.open = false;
                return Err("the device hung up".into());
            }
            if self.universe.fault(Fault::Hang) {
                std::future::pending::<()>().await;
            }
            let reply = self.mind(user, ask);
            self.open = reply.is_ok();
            // Done, and the answer is lost.
            if self.universe.fault(Fault::Cut) {
                excuse(self);
                self.open = false;
                return Err("the device hung up".into());
            }
            self.universe.act().await;
            if self.refused && wait == in_time {
                self.universe.refusal_told(&self.device, user);
            }
            reply
        })
    }

    fn shell(&self) -> Waiting<'_, Result<Box<dyn Shell>, String>> {
        Box::pin(async move {
            self.universe.act().await;
            self.universe.wait(20).await;
            if !self.open || self.is_down() || self.universe.fault(Fault::Cut) {
                return Err("the device hung up".into());
            }
            Ok(Box::new(SimShell::new(self.universe.clone(), &self.device, &self.attempt.user)) as Box<dyn Shell>)
        })
    }

    fn tunnel<'a>(&'a self, _host: &'a str, _port: u16) -> Waiting<'a, Result<Box<dyn Stream>, String>> {
        Box::pin(async move {
            self.universe.act().await;
            self.universe.wait(10).await;
            if !self.open || self.is_down() || self.universe.fault(Fault::Cut) {
                return Err("the device hung up".into());
            }
            // That there is a way is all that is asked of it.
            Ok(Box::new(tokio::io::empty()) as Box<dyn Stream>)
        })
    }

    fn close(self: Box<Self>) -> Waiting<'static, ()> {
        Box::pin(async move {
            self.universe.wait(10).await;
            drop(self);
        })
    }
}

impl SimLink {
    fn is_down(&self) -> bool {
        let now = self.universe.now();
        let mut way = self.through.iter().chain([&self.device]);
        way.any(|device| self.universe.site(device, |site| site.down_until > now))
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

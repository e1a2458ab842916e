//! The simulated fleet: SSH devices with a password and a one-time code, that lose connections, answer late or never,
//! die, lie, lock accounts, lose their configuration, and have clocks of their own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::universe::{BEGIN, Fault, Rate, Universe};
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
    /// No code at all.
    PasswordOnly,
}

impl Asks {
    pub(super) const ALL: [Self; 6] = [
        Self::PasswordThenCode,
        Self::CodeThenPassword,
        Self::Together,
        Self::Joined,
        Self::PasswordMethodThenCode,
        Self::PasswordOnly,
    ];

    fn has_code(self) -> bool {
        self != Self::PasswordOnly
    }
}

/// A user of a device.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) password: String,
    pub(super) seed: Option<Seed>,
    used: BTreeSet<u64>,
    refused: VecDeque<i64>,
    locked_until: i64,
    /// The next login demands a new password.
    pub(super) expired: bool,
}

impl User {
    pub(super) fn new(password: String, seed: Option<Seed>) -> Self {
        Self { password, seed, used: BTreeSet::new(), refused: VecDeque::new(), locked_until: 0, expired: false }
    }
}

/// A device.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) asks: Asks,
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
    /// It hangs up on a wrong password instead of saying so.
    pub(super) hangs_up_on_refusal: bool,
    pub(super) down_until: i64,
    /// Somebody else answers at its address.
    pub(super) impostor_until: i64,
    pub(super) sessions: usize,
    pub(super) most_sessions: usize,
}

impl Site {
    /// What its clock shows at a true time, both in milliseconds since 1970.
    fn clock(&self, now: i64) -> i64 {
        now + self.skew + self.drift.gained(now - BEGIN)
    }
}

/// What a device thinks of a login.
struct Attempt {
    user: String,
    password: Option<String>,
    code: Option<String>,
    round: usize,
    /// The new password, once given, where the login demands one.
    new: Option<String>,
    proved: bool,
}

/// A connection to a simulated device.
pub(super) struct SimLink {
    universe: Arc<Universe>,
    device: String,
    attempt: Attempt,
    open: bool,
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
        _through: Option<Box<dyn Stream>>,
    ) -> Waiting<'a, Opened> {
        Box::pin(async move {
            let name = device.name.to_string();
            let gone =
                |why: &str| DeviceError::Connect { device: name.clone(), address: device.address(), why: why.into() };
            self.0.act().await;
            self.0.wait(20).await;
            let now = self.0.now();
            if self.0.site(&name, |site| site.down_until > now) || self.0.fault(Fault::Cut) {
                return Err(gone("no route"));
            }
            if self.0.fault(Fault::Hang) {
                std::future::pending::<()>().await;
            }
            let impostor = self.0.site(&name, |site| site.impostor_until > now);
            let fingerprint = format!("SHA256:{name}{}", if impostor { "-impostor" } else { "" });
            if !host_keys.fingerprints.contains(&fingerprint) {
                return Err(DeviceError::HostKeyMismatch { device: name, fingerprint });
            }
            let attempt =
                Attempt { user: String::new(), password: None, code: None, round: 0, new: None, proved: false };
            let link =
                SimLink { universe: self.0.clone(), device: name, attempt, open: true, counted: false, impostor };
            Ok((Box::new(link) as Box<dyn Link>, fingerprint))
        })
    }
}

impl SimLink {
    fn asks(&self) -> Asks {
        self.universe.site(&self.device, |site| site.asks)
    }

    fn methods(&self) -> Methods {
        match self.asks() {
            Asks::PasswordOnly | Asks::PasswordMethodThenCode => Methods { password: true, ..Methods::default() },
            _ => Methods { interactive: true, ..Methods::default() },
        }
    }

    fn prompts(texts: &[&str]) -> Reply {
        Reply::Prompts { context: String::new(), prompts: texts.iter().map(|text| (*text).to_owned()).collect() }
    }

    /// What the device does with a message: the whole of its mind, without the network.
    fn mind(&mut self, user: &str, ask: Ask) -> Result<Reply, String> {
        self.attempt.user = user.to_owned();
        let asks = self.asks();
        match ask {
            Ask::None | Ask::Key(_) => Ok(Reply::Failure { methods: self.methods(), partial: false }),
            Ask::Password(secret) => {
                self.attempt.password = Some(secret.expose().to_owned());
                if asks == Asks::PasswordMethodThenCode {
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
            Ask::Interactive => {
                self.attempt.round = 1;
                Ok(match asks {
                    Asks::PasswordThenCode => Self::prompts(&["Password: "]),
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
            (Asks::PasswordThenCode, 1) => {
                self.attempt.password = given.next();
                Ok(Self::prompts(&["Verification code: "]))
            }
            (Asks::CodeThenPassword, 1) => {
                self.attempt.code = given.next();
                Ok(Self::prompts(&["Password: "]))
            }
            (Asks::PasswordThenCode | Asks::PasswordMethodThenCode, _) => {
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
                Ok(Self::prompts(&["Retype new password: "]))
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
        let (right, hangs_up, expired) = self.universe.site(&device, |site| {
            let (asks, clock, locks_after) = (site.asks, site.clock(now), site.locks_after);
            let hangs_up = site.hangs_up_on_refusal;
            let Some(truth) = site.users.get_mut(&user) else { return (false, hangs_up, false) };
            let right_code = !asks.has_code() || truth.accepts(code.as_deref(), clock);
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
            (right, hangs_up, truth.expired)
        });
        if !right {
            self.universe.refused_login(&device, &user);
            self.attempt.password = None;
            return if hangs_up {
                Err("the device hung up".into())
            } else {
                Ok(Reply::Failure { methods: self.methods(), partial: false })
            };
        }
        if expired && self.asks() != Asks::PasswordOnly {
            self.attempt.proved = true;
            return Ok(Self::prompts(&["New password: "]));
        }
        self.enter()
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
    /// Whether the device takes a code: of the step at hand or one beside it, each once (RFC 6238, section 5.2).
    fn accepts(&mut self, code: Option<&str>, device_ms: i64) -> bool {
        let (Some(seed), Some(code)) = (&self.seed, code) else { return self.seed.is_none() };
        let step = device_ms.max(0).unsigned_abs() / 1000 / seed.period();
        for step in step.saturating_sub(1)..=step + 1 {
            if seed.code(step).expose() == code {
                return self.used.insert(step);
            }
        }
        false
    }
}

impl Link for SimLink {
    fn ask<'a>(&'a mut self, user: &'a str, ask: Ask) -> Waiting<'a, Result<Reply, String>> {
        Box::pin(async move {
            if self.impostor {
                self.universe.violation("a secret went to an impostor");
            }
            let secret = matches!(ask, Ask::Password(_) | Ask::Answers(_));
            let excuse = |link: &Self| {
                // A connection that breaks here looks like a device that says no.
                if let Some(account) = Universe::account(&link.device, &link.attempt.user).filter(|_| secret) {
                    link.universe.excuse(&account);
                }
            };
            self.universe.act().await;
            let wait = if self.universe.fault(Fault::Late) { 40_000 } else { 30 };
            self.universe.wait(wait).await;
            if !self.open || self.universe.fault(Fault::Cut) || self.is_down() {
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
        Box::pin(async { Err("no way through here".into()) })
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
        self.universe.site(&self.device, |site| site.down_until > now)
    }
}

/// Where the shell's dialogue stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    Prompt,
    Current { target: String },
    SudoPassword { target: String },
    SudoCode { target: String },
    New { target: String },
    Retype { target: String, first: String },
    Config,
}

/// A shell: a Linux one with passwd and sudo, or a router's, by what is typed.
struct SimShell {
    universe: Arc<Universe>,
    device: String,
    user: String,
    at: At,
    /// Chunks on their way: when each comes.
    coming: VecDeque<(i64, Vec<u8>)>,
    typed: String,
    closing: bool,
    router: bool,
}

impl SimShell {
    fn new(universe: Arc<Universe>, device: &str, user: &str) -> Self {
        let router = universe.site(device, |site| site.saves_by_command);
        let mut shell = Self {
            universe,
            device: device.to_owned(),
            user: user.to_owned(),
            at: At::Prompt,
            coming: VecDeque::new(),
            typed: String::new(),
            closing: false,
            router,
        };
        let banner = if router { "\r\nrtr#" } else { "Last login: yesterday\r\n\x1b[?2004h$ " };
        shell.say(banner);
        shell
    }

    fn ready(&self) -> &'static str {
        match (self.router, &self.at) {
            (true, At::Config) => "rtr(config)#",
            (true, _) => "rtr#",
            (false, _) => "$ ",
        }
    }

    /// The device prints something, as well as it can today.
    fn say(&mut self, text: &str) {
        let mut bytes = text.as_bytes().to_vec();
        let now = self.universe.now();
        let mut at = now + 15;
        if self.universe.fault(Fault::Late) {
            at += self.universe.draw(1, 60) * 1000;
        }
        if self.universe.fault(Fault::Garbled) {
            let place = usize::try_from(self.universe.draw(0, bytes.len().max(1) as i64)).unwrap_or(0);
            if let Some(byte) = bytes.get_mut(place) {
                *byte |= 0x80;
            }
        }
        if self.universe.fault(Fault::Twice) {
            let again = bytes.clone();
            bytes.extend(again);
        }
        if self.universe.fault(Fault::Silent) {
            return;
        }
        if self.universe.fault(Fault::CutInside) {
            // The connection is lost at any byte.
            let place = usize::try_from(self.universe.draw(0, bytes.len() as i64 + 1)).unwrap_or(0);
            bytes.truncate(place);
            self.closing = true;
        }
        // In two pieces, cut anywhere.
        let cut = usize::try_from(self.universe.draw(0, bytes.len() as i64 + 1)).unwrap_or(0);
        let rest = bytes.split_off(cut.min(bytes.len()));
        self.coming.push_back((at, bytes));
        self.coming.push_back((at + 5, rest));
    }

    fn line(&mut self, line: &str) {
        let at = std::mem::replace(&mut self.at, At::Prompt);
        match at {
            At::Prompt | At::Config => self.command(line, at),
            At::Current { target } => {
                let right = self.truth(&self.user.clone()).is_some_and(|truth| truth == line);
                if right {
                    self.at = At::New { target };
                    self.say("\r\nNew password: ");
                } else {
                    self.say("\r\npasswd: Authentication token manipulation error\r\npasswd: password unchanged\r\n$ ");
                }
            }
            At::SudoPassword { target } => {
                if self.truth(&self.user.clone()).is_some_and(|truth| truth == line) {
                    self.at = At::SudoCode { target };
                    self.say("\r\nVerification code: ");
                } else {
                    self.universe.refused_login(&self.device, &self.user.clone());
                    self.say("\r\nSorry, try again.\r\n");
                }
            }
            At::SudoCode { target } => {
                self.universe.saw_code(&self.device, &self.user, line);
                let now = self.universe.now();
                let user = self.user.clone();
                let right = self.universe.site(&self.device, |site| {
                    let clock = site.clock(now);
                    site.users.get_mut(&user).is_some_and(|truth| truth.accepts(Some(line), clock))
                });
                if right {
                    self.at = At::New { target };
                    self.say("\r\nNew password: ");
                } else {
                    self.universe.refused_login(&self.device, &self.user.clone());
                    self.say("\r\nSorry, try again.\r\n");
                }
            }
            At::New { target } => {
                self.universe.saw_new(&self.device, &target, line);
                if self.universe.fault(Fault::RefusesNew) {
                    self.say("\r\nBAD PASSWORD: it is too simple\r\nNew password: ");
                    self.at = At::New { target };
                } else {
                    self.at = At::Retype { target, first: line.to_owned() };
                    self.say("\r\nRetype new password: ");
                }
            }
            At::Retype { target, first } => {
                if first != line {
                    return self.say("\r\nSorry, passwords do not match.\r\npasswd: password unchanged\r\n$ ");
                }
                if self.universe.fault(Fault::RefusesNew) {
                    return self.say("\r\nPassword has been already used.\r\npasswd: password unchanged\r\n$ ");
                }
                self.change(&target, line);
                self.say("\r\npasswd: password updated successfully\r\n$ ");
            }
        }
    }

    /// The device takes a new password, or only says so, or dies in between.
    fn change(&mut self, target: &str, new: &str) {
        if !self.universe.fault(Fault::OnlySaysSo) {
            self.universe.set_password(&self.device, target, new);
            self.universe.site(&self.device, |site| {
                if let Some(user) = site.users.get_mut(target) {
                    user.expired = false;
                }
            });
        }
        if self.universe.fault(Fault::DiesAfterChange) {
            self.universe.site_goes_down(&self.device);
            self.closing = true;
        }
    }

    fn truth(&self, user: &str) -> Option<String> {
        self.universe.site(&self.device, |site| site.users.get(user).map(|truth| truth.password.clone()))
    }

    fn command(&mut self, line: &str, at: At) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (self.router, words.as_slice()) {
            (false, ["LC_ALL=C", "passwd"]) => {
                self.at = At::Current { target: self.user.clone() };
                self.say(&format!("{line}\r\nChanging password for {}.\r\nCurrent password: ", self.user));
            }
            (false, ["LC_ALL=C", "passwd", target]) => {
                self.at = At::New { target: (*target).to_owned() };
                self.say(&format!("{line}\r\nNew password: "));
            }
            (false, ["LC_ALL=C", "sudo", "-k", "passwd", target]) => {
                self.at = At::SudoPassword { target: (*target).to_owned() };
                self.say(&format!("{line}\r\n[sudo] password for {}: ", self.user));
            }
            (true, ["configure", "terminal"]) => {
                self.at = At::Config;
                self.say(&format!("{line}\r\nEnter configuration commands, one per line.\r\nrtr(config)#"));
            }
            (true, ["username", target, "secret", new]) if at == At::Config => {
                self.at = At::Config;
                if self.universe.fault(Fault::RefusesNew) {
                    return self
                        .say(&format!("{line}\r\n% Invalid input: password does not meet policy\r\nrtr(config)#"));
                }
                let (target, new) = ((*target).to_owned(), (*new).to_owned());
                self.universe.saw_new(&self.device, &target, &new);
                self.change(&target, &new);
                self.say(&format!("{line}\r\nrtr(config)#"));
            }
            (true, ["write", "memory"]) => {
                self.universe.site(&self.device, |site| {
                    site.saved = site.users.iter().map(|(name, user)| (name.clone(), user.password.clone())).collect();
                });
                self.say(&format!("{line}\r\nBuilding configuration...\r\n[OK]\r\nrtr#"));
            }
            (_, ["exit"]) => {
                self.closing = true;
                self.say(&format!("{line}\r\n"));
            }
            _ => {
                let ready = self.ready();
                self.say(&format!("{line}\r\n{ready}"));
            }
        }
    }
}

impl Shell for SimShell {
    fn send(&mut self, bytes: Secret) -> Waiting<'_, ()> {
        Box::pin(async move {
            self.universe.act().await;
            if self.closing || self.universe.fault(Fault::Cut) {
                self.closing = true;
                return;
            }
            self.typed.push_str(bytes.expose());
            while let Some(end) = self.typed.find('\n') {
                let line: String = self.typed.drain(..=end).collect();
                self.line(line.trim_end_matches(['\n', '\r']));
            }
            self.universe.act().await;
        })
    }

    fn output(&mut self) -> Waiting<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            loop {
                let Some((at, _)) = self.coming.front() else {
                    if self.closing {
                        return None;
                    }
                    return std::future::pending().await;
                };
                let wait = at - self.universe.now();
                if wait > 0 {
                    self.universe.wait(wait).await;
                    continue;
                }
                match self.coming.pop_front() {
                    Some((_, bytes)) if !bytes.is_empty() => return Some(bytes),
                    _ => {}
                }
            }
        })
    }
}

/// Puts yesterday's configuration back, or what was saved last.
pub(super) fn reboot(universe: &Universe, device: &str) {
    let saved = universe.site(device, |site| site.saved.clone());
    universe.site_goes_down(device);
    for (user, password) in saved {
        universe.set_password(device, &user, &password);
    }
}

//! Shells of the devices: a Linux one with passwd and sudo, a router's, and a wireless controller's.

use std::collections::VecDeque;
use std::sync::Arc;

use super::faults::Fault;
use super::habits::Habit;
use super::setting::ENABLE;
use super::universe::Universe;
use crate::clock::Waiting;
use crate::executor::terminal::Shell;
use crate::model::Secret;

/// What kind of shell it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// With passwd(1) and sudo(8).
    Linux,
    /// A router's. A change is lost at a reboot until `write memory`.
    Router,
    /// A wireless controller's, that asks for user and password itself. A change is lost until `save config`.
    Controller,
}

/// Where the shell's dialogue stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    Prompt,
    Current {
        target: String,
    },
    SudoPassword {
        target: String,
    },
    SudoCode {
        target: String,
    },
    New {
        target: String,
    },
    Retype {
        target: String,
        first: String,
    },
    Config,
    Unprivileged,
    Enabling,
    /// It asked whether to save.
    Saving,
    /// It asks who it is.
    User,
    UserPassword,
}

/// A shell.
pub(super) struct SimShell {
    universe: Arc<Universe>,
    device: String,
    user: String,
    at: At,
    /// Chunks on their way: when each comes.
    coming: VecDeque<(i64, Vec<u8>)>,
    typed: String,
    closing: bool,
    kind: Kind,
    /// The password came, to a shell that asks for it.
    password_came: bool,
    /// It demands a new password before anything else.
    forced: bool,
    /// What its prompt begins with.
    host: String,
}

/// How a session begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    Well,
    /// The device says that there is no room for it, and hangs up.
    WithoutRoom,
}

impl SimShell {
    pub(super) fn new(universe: Arc<Universe>, device: &str, user: &str, begins: Begins) -> Self {
        let (kind, odd, name) =
            universe.site(device, |site| (site.shell, site.habits.has(Habit::OddHostName), site.host));
        let host = match (kind, odd) {
            (Kind::Controller, _) => String::new(),
            (Kind::Router, false) => "rtr".to_owned(),
            (Kind::Router, true) => name.to_owned(),
            (Kind::Linux, false) => String::new(),
            (Kind::Linux, true) => format!("{user}@{name}:~"),
        };
        let mut shell = Self {
            universe,
            device: device.to_owned(),
            user: user.to_owned(),
            at: At::Prompt,
            coming: VecDeque::new(),
            typed: String::new(),
            closing: false,
            kind,
            password_came: false,
            forced: false,
            host,
        };
        shell.begin(begins);
        shell
    }

    fn begin(&mut self, begins: Begins) {
        let (forces, expired) = self.universe.site(&self.device, |site| {
            let expired = site.users.get(&self.user).is_some_and(|user| user.expired);
            (site.habits.has(Habit::ForcesInShell), expired)
        });
        let ready = self.ready();
        if begins == Begins::WithoutRoom {
            self.universe.shows(&self.device, Habit::OneSession);
            self.closing = true;
            self.say(&format!("Too many logins for '{}'.\r\n", self.user));
        } else if forces && expired {
            self.force();
        } else if self.kind == Kind::Controller {
            self.at = At::User;
            self.universe.shows(&self.device, Habit::AsksInSession);
            self.say("\r\n(Cisco Controller) \r\nUser: ");
        } else if self.kind == Kind::Router {
            self.say(&format!("\r\n{ready}"));
        } else {
            self.say(&format!("Last login: yesterday\r\n\x1b[?2004h{ready}"));
        }
        if !self.host.is_empty() {
            self.universe.shows(&self.device, Habit::OddHostName);
        }
    }

    /// The first thing is a demand for a new password: of the passwd(1) that sshd(8) runs, or of a firewall.
    fn force(&mut self) {
        self.universe.shows(&self.device, Habit::ForcesInShell);
        self.forced = true;
        let target = self.user.clone();
        let once = self.universe.shows(&self.device, Habit::ForcesOnce);
        if self.kind == Kind::Router || once {
            self.at = At::New { target };
            return self.say("You are forced to change your password. Please input a new password.\r\nNew password: ");
        }
        self.at = At::Current { target };
        self.say(
            "WARNING: Your password has expired.\r\nYou must change your password now and login again!\r\nCurrent password: ",
        );
    }

    fn once(&self) -> bool {
        self.universe.site(&self.device, |site| site.habits.has(Habit::ForcesOnce))
    }

    fn ready(&self) -> String {
        match (self.kind, &self.at) {
            (Kind::Controller, _) => "(Cisco Controller) >".to_owned(),
            (Kind::Router, At::Config) => format!("{}(config)#", self.host),
            (Kind::Router, At::Unprivileged) => format!("{}>", self.host),
            (Kind::Router, _) => format!("{}#", self.host),
            (Kind::Linux, _) => format!("{}$ ", self.host),
        }
    }

    /// What it prints is spoilt. Where that answers a code, it looks like a no to it, and the next login tries one of another
    /// step: a strict device refuses that.
    fn garbles(&self) -> bool {
        let strikes = self.universe.fault(Fault::Garbled);
        if strikes
            && self.universe.site(&self.device, |site| site.strict)
            && let Some(account) = Universe::account(&self.device, &self.user)
        {
            self.universe.excuse(&account);
        }
        strikes
    }

    /// The device prints something, as well as it can today.
    fn say(&mut self, text: &str) {
        let mut bytes = text.as_bytes().to_vec();
        let now = self.universe.now();
        let mut at = now + 15;
        if self.universe.fault(Fault::Late) {
            at += self.universe.draw(1, 60) * 1000;
        }
        if self.garbles() {
            let place = usize::try_from(self.universe.draw(0, bytes.len().max(1) as i64)).unwrap_or(0);
            if let Some(byte) = bytes.get_mut(place) {
                *byte |= 0x80;
            }
        }
        if self.universe.fault(Fault::Twice) {
            // Asking twice for a secret is how a router refuses one.
            if let Some(enable) = Universe::account(&self.device, ENABLE).filter(|_| self.at == At::Enabling) {
                self.universe.excuse(&enable);
            }
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

    /// A line came. Nobody types at a question that no template expects.
    fn line(&mut self, line: &str) {
        let at = std::mem::replace(&mut self.at, At::Prompt);
        if self.forced {
            self.universe
                .violation(format!("{}/{} is typed at where it demands a new password", self.device, self.user));
        }
        let secret = matches!(
            at,
            At::Current { .. } | At::SudoPassword { .. } | At::SudoCode { .. } | At::Enabling | At::UserPassword
        );
        if secret && !self.universe.is_calm() {
            let whose = if at == At::Enabling { ENABLE } else { &self.user };
            // What it says to that may not arrive.
            Universe::account(&self.device, whose).iter().for_each(|account| self.universe.may_say_no(account));
        }
        let ready = self.ready();
        match at {
            At::Prompt | At::Config | At::Unprivileged => self.command(line, at),
            At::Enabling => self.enable(line),
            At::Saving => self.save(line),
            At::User => {
                line.clone_into(&mut self.user);
                self.at = At::UserPassword;
                self.say(&format!("{line}\r\nPassword:"));
            }
            At::UserPassword => self.enter(line),
            At::Current { target } => {
                let right = self.truth(&self.user.clone()).is_some_and(|truth| truth == line);
                if right {
                    self.at = At::New { target };
                    self.say("\r\nNew password: ");
                } else {
                    if let Some(account) = Universe::account(&self.device, &self.user) {
                        self.universe.may_say_no(&account);
                    }
                    self.closing |= self.forced;
                    self.say(&format!(
                        "\r\npasswd: Authentication token manipulation error\r\npasswd: password unchanged\r\n{ready}"
                    ));
                }
            }
            At::SudoPassword { target } => {
                if self.truth(&self.user.clone()).is_some_and(|truth| truth == line) {
                    self.at = At::SudoCode { target };
                    self.say("\r\nVerification code: ");
                } else {
                    self.universe.says_no(&self.device, &self.user.clone());
                    self.say("\r\nSorry, try again.\r\n");
                }
            }
            At::SudoCode { target } => {
                self.universe.saw_code(&self.device, &self.user, line);
                self.universe.excuse_anothers(&self.device, &self.user, Some(line));
                let now = self.universe.now();
                let user = self.user.clone();
                let right = self.universe.site(&self.device, |site| {
                    let (clock, strict) = (site.clock(now), site.strict);
                    let newer = site.habits.has(Habit::NewerStepsOnly);
                    site.users.get_mut(&user).is_some_and(|truth| truth.accepts(Some(line), clock, strict, newer))
                });
                if right {
                    self.at = At::New { target };
                    self.say("\r\nNew password: ");
                } else {
                    self.universe.says_no(&self.device, &self.user.clone());
                    self.say("\r\nSorry, try again.\r\n");
                }
            }
            At::New { target } => {
                self.universe.saw_new(&self.device, &target, line);
                if self.universe.fault(Fault::RefusesNew) {
                    self.say("\r\nBAD PASSWORD: it is too simple\r\nNew password: ");
                    self.at = At::New { target };
                } else if self.forced && self.once() {
                    self.forced = false;
                    self.change(&target, line);
                    self.say(&format!("\r\n{ready}"));
                } else {
                    self.at = At::Retype { target, first: line.to_owned() };
                    self.say("\r\nRetype new password: ");
                }
            }
            At::Retype { target, first } => {
                if first != line {
                    self.closing |= self.forced;
                    return self
                        .say(&format!("\r\nSorry, passwords do not match.\r\npasswd: password unchanged\r\n{ready}"));
                }
                if self.universe.fault(Fault::RefusesNew) {
                    self.closing |= self.forced;
                    return self
                        .say(&format!("\r\nPassword has been already used.\r\npasswd: password unchanged\r\n{ready}"));
                }
                self.change(&target, line);
                // sshd(8) runs passwd(1) in the place of a shell.
                self.closing |= self.forced;
                self.say(&format!("\r\npasswd: password updated successfully\r\n{ready}"));
            }
        }
    }

    /// The password of a shell that asks for it, tried.
    fn enter(&mut self, given: &str) {
        if std::mem::replace(&mut self.password_came, true) {
            self.universe.violation(format!("{}/{} sends a password twice in one session", self.device, self.user));
        }
        let nobody = self.universe.lets_nobody_in(&self.device);
        if let Some(account) = Universe::account(&self.device, &self.user).filter(|_| nobody) {
            self.universe.excuse(&account);
        }
        if !nobody && self.truth(&self.user).is_some_and(|truth| truth == given) {
            let ready = self.ready();
            return self.say(&format!("\r\n{ready}"));
        }
        self.universe.says_no(&self.device, &self.user);
        self.at = At::User;
        self.say("\r\nUser: ");
    }

    /// A router's enable secret, tried.
    fn enable(&mut self, given: &str) {
        if self.truth("enable").is_some_and(|truth| truth == given) {
            let ready = self.ready();
            return self.say(&format!("\r\n{ready}"));
        }
        self.universe.says_no(&self.device, "enable");
        self.at = At::Enabling;
        self.say("\r\nPassword: ");
    }

    /// The answer to whether to save: Enter says yes.
    fn save(&mut self, answer: &str) {
        let ready = self.ready();
        if !answer.is_empty() && answer != "y" {
            self.universe.violation(format!("{}: a line is typed at the question whether to save", self.device));
            return self.say(&format!("\r\n{ready}"));
        }
        self.write_memory("");
    }

    fn write_memory(&mut self, line: &str) {
        self.universe.site(&self.device, |site| {
            site.saved = site.users.iter().map(|(name, user)| (name.clone(), user.password.clone())).collect();
        });
        let ready = self.ready();
        let saved =
            if self.kind == Kind::Controller { "Configuration Saved!" } else { "Building configuration...\r\n[OK]" };
        self.say(&format!("{line}\r\n{saved}\r\n{ready}"));
    }

    /// The device takes a new password, or only says so, or dies in between.
    fn change(&mut self, target: &str, new: &str) {
        if self.universe.fault(Fault::ChangesLater) {
            self.universe.set_password_later(&self.device, target, new);
        } else if !self.universe.fault(Fault::OnlySaysSo) {
            self.universe.set_password(&self.device, target, new);
            let others = target != self.user && target != ENABLE;
            let again = others && self.universe.shows(&self.device, Habit::ForcesAfterAdministrator);
            self.universe.site(&self.device, |site| {
                if let Some(user) = site.users.get_mut(target) {
                    user.expired = again;
                }
            });
        }
        if target == self.user && self.universe.shows(&self.device, Habit::ClosesOnChange) {
            self.closing = true;
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
        let ready = self.ready();
        let words: Vec<&str> = line.split_whitespace().collect();
        match (self.kind, words.as_slice()) {
            (Kind::Linux, ["LC_ALL=C", "passwd"]) => {
                self.at = At::Current { target: self.user.clone() };
                self.say(&format!("{line}\r\nChanging password for {}.\r\nCurrent password: ", self.user));
            }
            (Kind::Linux, ["LC_ALL=C", "passwd", target]) => {
                self.at = At::New { target: (*target).to_owned() };
                self.say(&format!("{line}\r\nNew password: "));
            }
            (Kind::Linux, ["LC_ALL=C", "sudo", "-k", "passwd", target]) => {
                self.at = At::SudoPassword { target: (*target).to_owned() };
                self.say(&format!("{line}\r\n[sudo] password for {}: ", self.user));
            }
            (Kind::Router, ["configure", "terminal"]) => {
                self.at = At::Config;
                let ready = self.ready();
                self.say(&format!("{line}\r\nEnter configuration commands, one per line.\r\n{ready}"));
            }
            (Kind::Router, ["username", target, "secret", new] | [target @ "enable", "secret", new])
                if at == At::Config =>
            {
                self.at = At::Config;
                let ready = self.ready();
                if self.universe.fault(Fault::RefusesNew) {
                    return self.say(&format!("{line}\r\n% Invalid input: password does not meet policy\r\n{ready}"));
                }
                let (target, new) = ((*target).to_owned(), (*new).to_owned());
                self.universe.saw_new(&self.device, &target, &new);
                self.change(&target, &new);
                self.say(&format!("{line}\r\n{ready}"));
            }
            (Kind::Router, ["end"]) if self.universe.shows(&self.device, Habit::LogsBehindPrompt) => {
                let log = "*Mar  1 00:41:27.253: %SYS-5-CONFIG_I: Configured from console by vty0";
                // With `logging synchronous` the prompt is shown once more.
                let again = self.universe.site(&self.device, |site| site.variant.is_multiple_of(2));
                self.say(&format!("{line}\r\n{ready}\r\n{log}\r\n{}", if again { &ready } else { "" }));
            }
            (Kind::Router, ["disable"]) => {
                self.at = At::Unprivileged;
                let ready = self.ready();
                self.say(&format!("{line}\r\n{ready}"));
            }
            (Kind::Router, ["enable"]) if at == At::Unprivileged => {
                self.at = At::Enabling;
                self.say(&format!("{line}\r\nPassword: "));
            }
            (Kind::Router, ["write", "memory"]) => {
                if self.universe.shows(&self.device, Habit::AsksToSave) {
                    self.at = At::Saving;
                    return self.say(&format!(
                        "{line}\r\nWarning: Attempting to overwrite an NVRAM configuration previously written\r\n\
                         by a different version of the system image.\r\n\
                         Overwrite the previous NVRAM configuration?[confirm]"
                    ));
                }
                self.write_memory(line);
            }
            (Kind::Controller, ["config", "mgmtuser", "password", target, new]) => {
                if self.universe.fault(Fault::RefusesNew) {
                    return self.say(&format!("{line}\r\nPassword must contain characters of three kinds.\r\n{ready}"));
                }
                let (target, new) = ((*target).to_owned(), (*new).to_owned());
                self.universe.saw_new(&self.device, &target, &new);
                self.change(&target, &new);
                self.say(&format!("{line}\r\n{ready}"));
            }
            (Kind::Controller, ["save", "config"]) => {
                self.at = At::Saving;
                self.say(&format!("{line}\r\n\r\nAre you sure you want to save? (y/n) "));
            }
            (_, ["exit" | "logout"]) => {
                self.closing = true;
                self.say(&format!("{line}\r\n"));
            }
            _ => {
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

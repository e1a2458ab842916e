//! Shells of the devices: a Linux one with passwd and sudo, and a router's.

use std::collections::VecDeque;
use std::sync::Arc;

use super::faults::Fault;
use super::setting::ENABLE;
use super::universe::Universe;
use crate::clock::Waiting;
use crate::device::Shell;
use crate::model::Secret;

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
    Unprivileged,
    Enabling,
}

/// A shell: a Linux one with passwd and sudo, or a router's, by what is typed.
pub(super) struct SimShell {
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
    pub(super) fn new(universe: Arc<Universe>, device: &str, user: &str) -> Self {
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
            (true, At::Unprivileged) => "rtr>",
            (true, _) => "rtr#",
            (false, _) => "$ ",
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

    fn line(&mut self, line: &str) {
        let at = std::mem::replace(&mut self.at, At::Prompt);
        match at {
            At::Prompt | At::Config | At::Unprivileged => self.command(line, at),
            At::Enabling => self.enable(line),
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
                self.universe.excuse_anothers(&self.device, &self.user, Some(line));
                let now = self.universe.now();
                let user = self.user.clone();
                let right = self.universe.site(&self.device, |site| {
                    let (clock, strict) = (site.clock(now), site.strict);
                    site.users.get_mut(&user).is_some_and(|truth| truth.accepts(Some(line), clock, strict))
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

    /// A router's enable secret, tried.
    fn enable(&mut self, given: &str) {
        if self.truth("enable").is_some_and(|truth| truth == given) {
            return self.say("\r\nrtr#");
        }
        self.universe.refused_login(&self.device, "enable");
        self.at = At::Enabling;
        self.say("\r\nPassword: ");
    }

    /// The device takes a new password, or only says so, or dies in between.
    fn change(&mut self, target: &str, new: &str) {
        if self.universe.fault(Fault::ChangesLater) {
            self.universe.set_password_later(&self.device, target, new);
        } else if !self.universe.fault(Fault::OnlySaysSo) {
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
            (true, ["username", target, "secret", new] | [target @ "enable", "secret", new]) if at == At::Config => {
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
            (true, ["disable"]) => {
                self.at = At::Unprivileged;
                self.say(&format!("{line}\r\nrtr>"));
            }
            (true, ["enable"]) if at == At::Unprivileged => {
                self.at = At::Enabling;
                self.say(&format!("{line}\r\nPassword: "));
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

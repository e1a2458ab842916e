//! A device that follows a script: what it prints, and what it expects to be typed.

use std::sync::Arc;

use rotord::demo::{Reply, Shell, ShellMaker, SimDevice, State};
use rotord::model::Secret;
use rotord::totp::Seed;

use crate::lab::{Place, STEP};

pub const FIRST: &str = "First-Password-1";
pub const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// One turn: a line that begins so is answered so. In `expects`, `{old}` is the password in force and `{new}` takes
/// what stands there for the new one.
#[derive(Clone)]
pub struct Turn {
    pub expects: &'static str,
    pub prints: &'static str,
}

/// What the script does at its end, or at a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    HangAt(usize),
    CloseAt(usize),
    FloodAt(usize),
}

struct Script {
    turns: Vec<Turn>,
    at: usize,
    fault: Fault,
    new: Option<String>,
    opening: &'static str,
    commits_at: usize,
}

impl Script {
    fn trouble(&self, at: usize) -> Option<Reply> {
        match self.fault {
            Fault::HangAt(n) if n == at => Some(Reply::Print(Vec::new())),
            Fault::CloseAt(n) if n == at => Some(Reply::Close(Vec::new())),
            Fault::FloodAt(n) if n == at => {
                Some(Reply::Print(b"0123456789abcdef flooding the terminal\r\n".repeat(2_600_000)))
            }
            _ => None,
        }
    }
}

/// Matches a typed line against what the script expects; the new password, where one stands in it.
fn typed(expects: &str, line: &str, old: &str) -> Option<Option<String>> {
    let expects = expects.replace("{old}", old);
    let Some((before, after)) = expects.split_once("{new}") else {
        return (expects == line).then_some(None);
    };
    let middle = line.strip_prefix(before)?.strip_suffix(after)?;
    Some(Some(middle.to_owned()))
}

impl Shell for Script {
    fn start(&mut self) -> Reply {
        self.trouble(0).unwrap_or_else(|| Reply::Print(self.opening.as_bytes().to_vec()))
    }

    fn line(&mut self, line: &str, state: &mut State) -> Reply {
        let user = state.users.get_mut("admin").unwrap();
        let Some(turn) = self.turns.get(self.at).cloned() else {
            return Reply::Close(Vec::new());
        };
        self.at += 1;
        let Some(new) = typed(turn.expects, line, user.password.expose()) else {
            return Reply::Print(format!("\r\n% script error at turn {}\r\n", self.at).into_bytes());
        };
        self.new = new.or(self.new.take());
        if self.at == self.commits_at {
            user.password = Secret::new(self.new.clone().unwrap());
        }
        self.trouble(self.at).unwrap_or_else(|| Reply::Print(format!("{line}{}", turn.prints).into_bytes()))
    }
}

/// A scripted device, a daemon's place with its account `dev/admin`, and the runtime that the device lives in.
pub struct Scripted {
    pub place: Place,
    pub device: SimDevice,
    _runtime: tokio::runtime::Runtime,
}

/// Starts one. The new password takes effect once turn `commits_at` (from 1) was answered; 0: never.
pub fn scripted(
    template: &str,
    opening: &'static str,
    turns: &[(&'static str, &'static str)],
    commits_at: usize,
    fault: Fault,
) -> Scripted {
    let turns: Vec<Turn> = turns.iter().map(|(expects, prints)| Turn { expects, prints }).collect();
    let shell: ShellMaker =
        Arc::new(move |_| Box::new(Script { turns: turns.clone(), at: 0, fault, new: None, opening, commits_at }));
    with_shell(template, shell)
}

pub fn with_shell(template: &str, shell: ShellMaker) -> Scripted {
    with_users(template, shell, &["admin"])
}

/// A device with several users, who share a seed as they share a password.
pub fn with_users(template: &str, shell: ShellMaker, names: &[&str]) -> Scripted {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let seed = format!("otpauth://totp/x?secret={SEED}&period={STEP}");
    let users: Vec<_> =
        names.iter().map(|name| (*name, Secret::new(FIRST.into()), Seed::parse(&seed).unwrap())).collect();
    let device = runtime.block_on(SimDevice::start(&users, shell)).unwrap();
    let mut text = sections(&device, template);
    for name in names.iter().filter(|name| **name != "admin") {
        text.push_str(&format!("[account.\"dev/{name}\"]\n"));
    }
    let place = Place::new(&text);
    Scripted { place, device, _runtime: runtime }
}

pub fn sections(device: &SimDevice, template: &str) -> String {
    format!(
        "[device.dev]\naddress = \"{}\"\nhost_key = [\"{}\"]\ntemplate = \"{template}\"\n[account.\"dev/admin\"]\n",
        device.address, device.fingerprint
    )
}

impl Scripted {
    pub fn import(&self) {
        self.place.must(&["import", "-"], &format!("account,password,totp\n{}", self.row("admin")));
    }

    /// What stands in an import for a user.
    pub fn row(&self, user: &str) -> String {
        format!("dev/{user},{FIRST},otpauth://totp/x?secret={SEED}&period={STEP}\n")
    }

    pub fn held(&self) -> String {
        self.device.state().users["admin"].password.expose().to_owned()
    }
}

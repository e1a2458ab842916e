//! A person who changes a password by hand, line by line, through the daemon's recorder.

use std::sync::Arc;
use std::time::Duration;

use super::random::Random;
use super::setting::ENABLE;
use super::universe::Universe;
use crate::config::Account;
use crate::daemon::Core;

/// What a person does out of the common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whim {
    None,
    /// Goes away after so many lines, and says nothing.
    Leaves(usize),
    /// Is done after so many lines.
    EndsAfter(usize),
    /// Types the new password where nothing asks for it.
    BlurtsOut,
}

/// A person at a terminal.
pub(super) struct Typist {
    account: Arc<Account>,
    whim: Whim,
    typed: usize,
    /// Which of the device's own commands comes next.
    at: usize,
}

/// How long a person looks at the screen before the next turn.
const LOOK: Duration = Duration::from_secs(3);
/// Turns in which nothing new came, after which a person gives up.
const PATIENT: usize = 10;

impl Typist {
    pub(super) fn new(account: Arc<Account>, random: &mut Random) -> Self {
        let few = 1 + random.below(5);
        let whim = match random.below(10) {
            0 => Whim::Leaves(few),
            1 => Whim::EndsAfter(few),
            2 => Whim::BlurtsOut,
            _ => Whim::None,
        };
        Self { account, whim, typed: 0, at: 0 }
    }

    /// Leads the whole dialogue, and hears how it ended.
    pub(super) async fn lead(mut self, core: Arc<Core>, universe: &Universe) {
        let Ok(id) = core.record(self.account.name.clone(), "by hand".into(), Core::own_actor()) else { return };
        let Some(recorder) = core.recorder(&id) else { return };
        let (mut line, mut done, mut idle) = (None, false, 0);
        let mut seen = String::new();
        while let Ok(turned) = recorder.turn(line.take(), done, LOOK).await {
            if let Some(recorded) = turned.recorded {
                return universe.check_told(&recorded.result);
            }
            idle = if turned.text.is_empty() { idle + 1 } else { 0 };
            seen.push_str(&turned.text);
            match self.next(&seen) {
                _ if done => {}
                _ if self.whim == Whim::Leaves(self.typed) => return,
                Some(text) => {
                    self.typed += 1;
                    seen.clear();
                    line = Some(text);
                    done = self.whim == Whim::EndsAfter(self.typed);
                }
                None => done = self.at > 0 && seen.trim_end().ends_with(['$', '#']) || idle > PATIENT,
            }
        }
    }

    /// What to type, by the last line on the screen; nothing where it is not understood, or all is said.
    fn next(&mut self, seen: &str) -> Option<String> {
        let last = seen.lines().last().unwrap_or_default().trim_end();
        let said = |text: &str| Some(text.to_owned());
        // A question before any command is none that a person came to answer.
        if self.at == 0 && !last.ends_with(['$', '#']) {
            return None;
        }
        if self.whim == Whim::BlurtsOut && self.typed == 0 && !last.is_empty() {
            return said("[#NEW_PASSWORD#]");
        }
        match last {
            "Current password:" => said("[#CURRENT_PASSWORD#]"),
            "New password:" | "Retype new password:" => said("[#NEW_PASSWORD#]"),
            "Verification code:" => said("[#AUTH_TOTP_TOKEN#]"),
            _ if last.starts_with("[sudo]") => said("[#AUTH_PASSWORD#]"),
            _ if last.ends_with(['$', '#']) => {
                let command = self.commands().into_iter().nth(self.at)?;
                self.at += 1;
                Some(command)
            }
            _ => None,
        }
    }

    fn commands(&self) -> Vec<String> {
        let user = self.account.name.user();
        match self.account.device.template.as_str() {
            "linux-passwd" => vec!["LC_ALL=C passwd".into()],
            "linux-passwd-as-root" => vec![format!("LC_ALL=C passwd {user}")],
            "linux-sudo-passwd" => vec![format!("LC_ALL=C sudo -k passwd {user}")],
            "login-only" => Vec::new(),
            _ => {
                let whose = if user == ENABLE { ENABLE.to_owned() } else { format!("username {user}") };
                let set = format!("{whose} secret [#NEW_PASSWORD#]");
                vec!["configure terminal".into(), set, "end".into(), "write memory".into()]
            }
        }
    }
}

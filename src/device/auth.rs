//! The login: public key, password and keyboard-interactive, alone or in a chain (RFC 4252, RFC 4256).
//!
//! A connection risks one refusal: after the device said no to a password or a code, nothing else is tried on it.

use std::sync::Arc;
use std::time::Duration;

use russh::keys::PrivateKey;

use super::codes::{Aim, By, Miss, Sent, Turn, WaitsFor, took};
use super::error::{DeviceError, HELD_BACK};
use super::risks::{Risk, code_was_refused};
use super::wire::{Ask, Link, Methods, Reply};
use super::{Login, Transport, Watcher};
use crate::clock::Clock;
use crate::config::Device;
use crate::dialogue::{Answer, LoginDialogue, LoginFormat, Pattern, PromptError};
use crate::model::{Masker, Moment, Secret};
use crate::template::Text;
use crate::totp::Seed;
use crate::vault::Ledger;

/// The bound on each answer of the device during the login; some ask a RADIUS server first.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// Rounds of one keyboard-interactive login at the most.
const MOST_ROUNDS: usize = 20;
/// Methods of a chain at the most.
const MOST_METHODS: usize = 6;
/// Tags of the password with which the account logs in, and no other secret of it.
const OWN_PASSWORD: [&str; 2] = ["CURRENT_PASSWORD", "AUTH_PASSWORD"];

/// How one method ended.
enum Progress {
    In,
    /// Accepted, and more is needed.
    Partly(Methods),
    /// The key is not wanted; the other methods are still open.
    KeyRefused(Methods),
}

struct Exchange<'a, W: Watcher> {
    link: &'a mut dyn Link,
    device: &'a Device,
    login: &'a Login,
    aim: Aim,
    on: &'a Transport,
    clock: &'a Clock,
    watcher: &'a W,
    /// Knows every secret of this login, its codes too.
    masker: Masker,
    /// Held until the login has its code.
    turn: Option<Turn>,
    /// Taken before the first secret leaves.
    risk: Option<Risk>,
    password_sent: bool,
    /// The device had the password, and asked on.
    password_taken: bool,
    /// The code that was sent last.
    sent: Option<Sent>,
    committed: bool,
    /// Prompts of the method at hand to which the template's answer was given, where it has a secret.
    given: Vec<String>,
}

impl Login {
    /// Waits for its turn, and for the time step of the code that it will be asked for. By which clock that is made is settled
    /// after all that it waits for: one of the others may have been refused, and it may have been for the code.
    pub(super) async fn turn<W: Watcher>(
        &self,
        device: &Device,
        on: &Transport,
        watcher: &W,
    ) -> Result<(Option<Turn>, Aim), DeviceError> {
        let waiting = |what: WaitsFor| watcher.step(what.to_string());
        let known = if self.probe { By::Probing } else { By::Known };
        let doubted = if self.prove && !self.probe { By::KnownAgain } else { By::Probing };
        let aim = |by| Aim { device: device.name.clone(), by };
        let Some(seed) = &self.seed else { return Ok((None, aim(known))) };
        let by = || {
            let (account, budget) = (self.account.clone(), self.budget);
            move |tx: &dyn Ledger, now: &Moment| {
                Ok(if code_was_refused(tx, &account, budget, now)? { doubted } else { known })
            }
        };
        if !on.codes.may_be_asked(&self.account, self.prove) {
            let (by, now) = (by(), on.codes.clock().now());
            return Ok((None, aim(on.codes.vault.call(move |tx| by(tx, &now)).await?)));
        }
        let mut turn = on.codes.turn(seed, waiting).await;
        loop {
            if let Some(by) = on.codes.is_free(seed, &device.name, by(), waiting).await? {
                turn.begins(&on.codes.clock().now());
                return Ok((Some(turn), aim(by)));
            }
        }
    }
}

/// How a login went that let in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entered {
    /// The device demanded the new password on the way and took it.
    pub(super) changed_at_login: bool,
    /// The device had the password.
    pub(super) password_taken: bool,
    /// It asked for a code.
    pub(super) code_taken: bool,
}

/// Logs in, with codes of this aim; its turn is over once it has its code.
pub(super) async fn log_in<W: Watcher>(
    link: &mut dyn Link,
    device: &Device,
    login: &Login,
    (turn, aim): (Option<Turn>, Aim),
    on: &Transport,
    watcher: &W,
) -> Result<Entered, DeviceError> {
    let clock = on.codes.clock();
    let mut exchange = Exchange {
        link,
        device,
        login,
        aim,
        on,
        clock,
        watcher,
        masker: masker_of(login),
        turn,
        risk: None,
        password_sent: false,
        password_taken: false,
        sent: None,
        committed: false,
        given: Vec::new(),
    };
    let end = exchange.run().await;
    let taken = matches!(end, Ok(()) | Err(DeviceError::Prompt(PromptError::NewDemanded)));
    exchange.turn = None;
    if taken && login.seed.is_some() {
        on.codes.was_asked(&login.account, login.prove, exchange.sent.is_some());
    }
    if let Some(risk) = exchange.risk.take() {
        let (aim, sent) = (exchange.aim, exchange.sent);
        if taken {
            if !login.leads_on && on.breaker().took(clock.now().since_boot_ms) {
                tracing::info!(account = %login.account, "a login was taken: no login is held back any more");
            }
            let sure = login.prove && aim.by == By::Known;
            let (account, password_sent) = (login.account.clone(), exchange.password_sent);
            let learned = risk.worked_and(move |tx| {
                if password_sent {
                    tx.login_was_taken(&account, sent.is_some())?;
                }
                sent.map_or(Ok(None), |code| took(tx, &aim, code, sure))
            });
            if let Some(Some(steps)) = learned.await {
                watcher.step(format!("the device takes codes {steps:+} steps off the host's clock; noted"));
            }
        } else if end.as_ref().is_err_and(DeviceError::may_be_refusal) {
            if on.breaker().refused(&login.account, login.restored, clock.now().since_boot_ms) {
                tracing::error!("{}", HELD_BACK);
            }
            let looked = sent.filter(|_| aim.by != By::Known);
            let miss = looked.map(|code| Miss { aim, ahead: code.ahead, in_session: false });
            risk.refused(sent.is_some(), miss).await;
        }
    }
    match end {
        // What a jump host demands is not what the device behind it demands.
        Err(DeviceError::Prompt(error)) if login.leads_on => {
            return Err(DeviceError::Incapable { account: login.account.to_string(), why: error.to_string() });
        }
        end => end?,
    }
    if login.prove && !exchange.password_sent {
        return Err(DeviceError::NotProved(login.account.to_string()));
    }
    Ok(Entered {
        changed_at_login: exchange.committed,
        password_taken: exchange.password_taken,
        code_taken: exchange.sent.is_some(),
    })
}

/// A masker that knows every secret with which a login may answer.
fn masker_of(login: &Login) -> Masker {
    let mut masker = login.masker.clone();
    [&login.password, &login.new_password].into_iter().flatten().for_each(|secret| masker.add(secret));
    masker
}

impl<W: Watcher> Exchange<'_, W> {
    /// What the device says, as it may be shown: `most` characters of it at the most, masked before it is cut.
    fn shown(&self, text: &str, most: usize) -> String {
        self.masker.shown(text, most)
    }

    async fn run(&mut self) -> Result<(), DeviceError> {
        let mut open = match self.ask(Ask::None).await? {
            Reply::In => return Ok(()),
            Reply::Failure { methods, .. } => methods,
            Reply::Prompts { .. } => return Err(self.broken("it asked before it was asked")),
            Reply::Unread(why) => return Err(self.unread(&why)),
        };
        // A key that suffices alone proves no password.
        let asks = open.interactive || open.password;
        let mut key = self.login.key.is_some() && !(self.login.prove && asks);
        for _ in 0..MOST_METHODS {
            let progress = if key && open.key {
                key = false;
                self.public_key().await?
            } else if open.interactive {
                self.keyboard_interactive().await?
            } else if open.password {
                self.password().await?
            } else {
                return Err(self.incapable(open));
            };
            match progress {
                Progress::In => return Ok(()),
                Progress::Partly(methods) => {
                    self.watcher.step("login: accepted, and more is asked for".into());
                    key = self.login.key.is_some() && methods.key;
                    open = methods;
                }
                Progress::KeyRefused(methods) => {
                    self.watcher.step("login: the stored private key was not accepted".into());
                    open = Methods { key: false, ..methods };
                }
            }
        }
        Err(self.refused("it asked for one method after another"))
    }

    fn refused(&self, why: &str) -> DeviceError {
        let with_code = self.sent.is_some();
        DeviceError::Refused { account: self.login.account.to_string(), why: why.to_owned(), with_code }
    }

    fn asked_again(&self) -> DeviceError {
        self.refused("it asks again for what it was given")
    }

    /// A new password is demanded of a login that has none to give. Only of one whose password the device had does that tell
    /// that it was right.
    fn new_demanded(&self, prompt: &str) -> DeviceError {
        let unknown = || PromptError::Unknown(self.shown(prompt, 200));
        if self.password_taken { PromptError::NewDemanded } else { unknown() }.into()
    }

    fn incapable(&self, open: Methods) -> DeviceError {
        let account = self.login.account.to_string();
        let why = if open.key {
            format!("the device wants a key; store one with 'rotorctl ssh-key set {account}'")
        } else {
            format!("the device offers only: {}", open.names())
        };
        DeviceError::Incapable { account, why }
    }

    fn broken(&self, why: &str) -> DeviceError {
        DeviceError::Broken { device: self.device.name.to_string(), when: "during the login", why: why.to_owned() }
    }

    async fn ask(&mut self, ask: Ask) -> Result<Reply, DeviceError> {
        let now = self.clock.now();
        self.turn.take_if(|turn| turn.is_over(&now));
        let user = self.login.account.user();
        let secret = match &ask {
            Ask::Password(_) => true,
            Ask::Answers(answers) => !answers.is_empty(),
            _ => false,
        };
        match self.clock.within(ANSWER_TIME, self.link.ask(user, ask)).await {
            Some(Ok(reply)) => {
                self.password_taken = self.password_sent;
                Ok(reply)
            }
            Some(Err(why)) if secret => {
                Err(DeviceError::HungUp { account: self.login.account.to_string(), why: self.shown(&why, 300) })
            }
            Some(Err(why)) => Err(self.broken(&self.shown(&why, 300))),
            None => Err(self.broken(&format!("no answer within {} s", ANSWER_TIME.as_secs()))),
        }
    }

    /// Reads how a method ended.
    fn result(&self, reply: Reply, key: bool) -> Result<Progress, DeviceError> {
        match reply {
            Reply::In => Ok(Progress::In),
            Reply::Failure { methods, partial: true } => Ok(Progress::Partly(methods)),
            Reply::Failure { methods, .. } if key => Ok(Progress::KeyRefused(methods)),
            Reply::Failure { .. } => Err(self.refused("password or code")),
            Reply::Prompts { .. } => Err(self.broken("it asked where it should have judged")),
            Reply::Unread(why) => Err(self.unread(&why)),
        }
    }

    fn unread(&self, why: &str) -> DeviceError {
        DeviceError::Incapable { account: self.login.account.to_string(), why: self.shown(why, 600) }
    }

    fn need_password(&self) -> Result<Secret, DeviceError> {
        self.login.password.clone().ok_or_else(|| DeviceError::Incapable {
            account: self.login.account.to_string(),
            why: format!("no password is stored; run 'rotorctl secret set {}'", self.login.account),
        })
    }

    fn seed(&self) -> Result<&Seed, DeviceError> {
        self.login.seed.as_ref().ok_or_else(|| DeviceError::Incapable {
            account: self.login.account.to_string(),
            why: format!(
                "the login asks for a one-time code and no seed is stored; run 'rotorctl totp set {}'",
                self.login.account
            ),
        })
    }

    async fn code(&mut self) -> Result<Secret, DeviceError> {
        let seed = self.seed()?;
        let waiting = |what: WaitsFor| self.watcher.step(what.to_string());
        let issued = self.on.codes.issue(seed, &self.aim, None, waiting).await?;
        self.watcher.leaves(&issued.code);
        self.masker.add(&issued.code);
        // Whoever waits for this one's turn to end may begin.
        self.turn = None;
        self.sent = Some(issued.sent);
        let ahead = issued.sent.ahead;
        if self.aim.by == By::Probing && ahead != 0 {
            self.watcher.step(format!("trying a code {ahead:+} steps off: the device's clock may be wrong"));
        }
        Ok(issued.code)
    }

    /// From here on the device may count a refused login.
    async fn risk(&mut self) -> Result<(), DeviceError> {
        if self.risk.is_none() {
            self.risk = Some(self.on.risks.take(&self.login.account, self.login.budget).await?);
        }
        Ok(())
    }

    async fn public_key(&mut self) -> Result<Progress, DeviceError> {
        let text = self.login.key.clone().ok_or_else(|| self.broken("no key"))?;
        let key = PrivateKey::from_openssh(text.expose()).map_err(|_| DeviceError::Incapable {
            account: self.login.account.to_string(),
            why: "the stored private key cannot be read".into(),
        })?;
        let reply = self.ask(Ask::Key(Arc::new(key))).await?;
        self.watcher.step("login: offered the private key".into());
        self.result(reply, true)
    }

    async fn password(&mut self) -> Result<Progress, DeviceError> {
        let password = self.need_password()?;
        let secret = match self.login.format {
            LoginFormat::Separate => password,
            format => format.join(&password, &self.code().await?),
        };
        self.risk().await?;
        self.password_sent = true;
        self.watcher.step("login: sent the password".into());
        let reply = self.ask(Ask::Password(secret)).await?;
        self.result(reply, false)
    }

    async fn keyboard_interactive(&mut self) -> Result<Progress, DeviceError> {
        let patterns = self
            .login
            .prompts
            .iter()
            .map(|(pattern, _)| Pattern::glob(self.login.values.fill(pattern, None).expose()))
            .collect();
        let mut dialogue = LoginDialogue::new(self.login.format, patterns, self.login.new_password.is_some());
        // Another method of the chain took what was given.
        self.given.clear();
        if self.password_sent {
            dialogue.password_was_given();
        }
        let mut reply = self.ask(Ask::Interactive).await?;
        let mut rounds = 0;
        while let Reply::Prompts { context, prompts } = reply {
            // Rounds may be empty (RFC 4256, section 3.2), and a hostile device never runs out of them.
            rounds += 1;
            if rounds > MOST_ROUNDS {
                return Err(self.broken("it asked on and on"));
            }
            let mut answers = Vec::with_capacity(prompts.len());
            for prompt in &prompts {
                let answer = dialogue.answer(prompt, &context).map_err(|error| match error {
                    PromptError::AskedAgain => self.asked_again(),
                    PromptError::NewDemanded => self.new_demanded(prompt),
                    PromptError::Unknown(_) => PromptError::Unknown(self.shown(prompt, 200)).into(),
                    error => error.into(),
                })?;
                answers.push(self.answer(prompt, answer).await?);
            }
            if !answers.is_empty() {
                self.risk().await?;
            }
            reply = self.ask(Ask::Answers(answers)).await?;
        }
        self.result(reply, false)
    }

    async fn answer(&mut self, prompt: &str, answer: Answer) -> Result<Secret, DeviceError> {
        let (secret, what) = match answer {
            Answer::Password => {
                self.password_sent = true;
                (self.need_password()?, "the password")
            }
            Answer::Code => (self.code().await?, "a fresh code"),
            Answer::Joined(format) => {
                self.password_sent = true;
                (format.join(&self.need_password()?, &self.code().await?), "password and code")
            }
            Answer::NewPassword => {
                let new = self.login.new_password.clone().ok_or_else(|| self.broken("no new password"))?;
                if !self.committed {
                    self.watcher.commit_point().await?;
                    self.committed = true;
                }
                (new, "the new password")
            }
            Answer::UserName => (Secret::new(self.login.account.user().to_owned()), "the user name"),
            Answer::Empty => (Secret::new(String::new()), "an empty line"),
            Answer::Template(index) => (self.templates_answer(prompt, index).await?, "what the template says"),
        };
        self.watcher.step(format!("login: answered «{}» with {what}", self.shown(prompt, 80)));
        Ok(secret)
    }

    /// What the template's `login-prompt` of this number answers.
    async fn templates_answer(&mut self, prompt: &str, index: usize) -> Result<Secret, DeviceError> {
        let text: Text = self.login.prompts.get(index).map(|(_, answer)| answer.clone()).unwrap_or_default();
        let renews = text.has_tag("NEW_PASSWORD");
        if renews && self.login.new_password.is_none() {
            return Err(self.new_demanded(prompt));
        }
        let asks_for_code = text.tags().any(|tag| tag.ends_with("TOTP_TOKEN"));
        if asks_for_code {
            self.seed()?;
        }
        if let Some(missing) = self.login.values.missing(&text) {
            let why = format!("the template's login-prompt answers «{}», and {missing}", self.shown(prompt, 80));
            return Err(DeviceError::Incapable { account: self.login.account.to_string(), why });
        }
        let is_secret = asks_for_code || text.tags().any(|tag| tag.ends_with("PASSWORD"));
        if is_secret && !renews {
            if self.given.iter().any(|known| known == prompt) {
                return Err(self.asked_again());
            }
            self.given.push(prompt.to_owned());
        }
        let code = if asks_for_code { Some(self.code().await?) } else { None };
        self.password_sent |= text.tags().any(|tag| OWN_PASSWORD.contains(&tag));
        if renews && !self.committed {
            self.watcher.commit_point().await?;
            self.committed = true;
        }
        Ok(self.login.values.fill(&text, code.as_ref()))
    }
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;

//! The login: public key, password and keyboard-interactive, alone or in a chain (RFC 4252, RFC 4256).
//!
//! A connection risks one refusal: after the device said no to a password or a code, nothing else is tried on it.

use std::sync::Arc;
use std::time::Duration;

use russh::keys::PrivateKey;

use super::connector::{Ask, Connection, Methods, Peer, Reply};
use super::heard::Heard;
use super::login::Login;
use crate::clock::Clock;
use crate::dialogue::{Answer, LoginDialogue, OwnPrompt, Pattern, Plan, Stop, above, is_shut, remedy};
use crate::executor::error::{DeviceError, HELD_BACK, PromptError};
use crate::executor::guards::Guards;
use crate::executor::observer::Observer;
use crate::executor::risks::{Risk, code_was_refused};
use crate::model::{Masker, Moment, Secret};
use crate::otp::{Aim, By, Miss, Sent, Turn, WaitsFor, took};
use crate::template::Text;
use crate::totp::Seed;
use crate::vault::{Ledger, VaultError};

/// The bound on each answer of the device during the login, where its `connect_timeout` is no longer one; some ask one RADIUS server
/// after another first.
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
    /// The device named the method, and ended it before anything secret was sent.
    Unused(Methods),
}

struct Exchange<'a> {
    link: &'a mut dyn Connection,
    device: &'a Peer,
    login: &'a Login,
    aim: Aim,
    on: &'a Guards,
    clock: &'a Clock,
    observer: &'a dyn Observer,
    /// Held until the login has its code.
    turn: Option<Turn>,
    /// Taken before the first secret leaves.
    risk: Option<Risk>,
    password_sent: bool,
    /// A password, a code or another secret of the login was sent.
    secret_sent: bool,
    /// The device had the password, and asked on.
    password_taken: bool,
    /// The code that was sent last.
    sent: Option<Sent>,
    committed: bool,
    dialogue: LoginDialogue,
    heard: Heard,
}

/// A login's turn with its seed, where it has one, and by which clock its code is made.
pub(super) type TurnAndAim = (Option<Turn>, Aim);

impl Login {
    /// By which clock a code of it is made, as the vault has it at that time: that of what is known, or one that is doubted.
    fn clock_for_code(&self) -> impl FnOnce(&dyn Ledger, &Moment) -> Result<By, VaultError> + Send + 'static + use<> {
        let known = if self.probe { By::Probing } else { By::Known };
        let doubted = if self.prove && !self.probe { By::KnownAgain } else { By::Probing };
        let (account, budget) = (self.account.clone(), self.budget);
        move |tx, now| Ok(if code_was_refused(tx, &account, budget, now)? { doubted } else { known })
    }

    /// The turn of a login that will be asked for no code.
    async fn turn_without_code(&self, device: &Peer, on: &Guards) -> Result<Option<TurnAndAim>, DeviceError> {
        let aim = |by| Aim { device: device.name.clone(), by };
        if self.seed.is_none() {
            return Ok(Some((None, aim(if self.probe { By::Probing } else { By::Known }))));
        }
        if on.codes.may_be_asked(&self.account, self.prove) {
            return Ok(None);
        }
        let (by, now) = (self.clock_for_code(), on.codes.clock().now());
        Ok(Some((None, aim(on.vault.call(move |tx| by(tx, &now)).await?))))
    }

    /// Waits for its turn, and for the time step of the code that it will be asked for. By which clock that is made is settled
    /// after all that it waits for: one of the others may have been refused, and it may have been for the code.
    pub(super) async fn turn(
        &self,
        device: &Peer,
        on: &Guards,
        observer: &dyn Observer,
    ) -> Result<TurnAndAim, DeviceError> {
        let waiting = |what: WaitsFor| observer.step(what.to_string());
        if let Some(turn) = self.turn_without_code(device, on).await? {
            return Ok(turn);
        }
        let Some(seed) = &self.seed else { return Ok((None, Aim::at(&device.name))) };
        let mut turn = on.codes.turn(seed, waiting).await;
        loop {
            if let Some(by) = on.codes.is_free(seed, &device.name, self.clock_for_code(), waiting).await? {
                turn.begins(&on.codes.clock().now());
                return Ok((Some(turn), Aim { device: device.name.clone(), by }));
            }
        }
    }

    /// The same, where it need not wait.
    pub(super) async fn turn_at_once(&self, device: &Peer, on: &Guards) -> Result<Option<TurnAndAim>, DeviceError> {
        if let Some(turn) = self.turn_without_code(device, on).await? {
            return Ok(Some(turn));
        }
        let Some((turn, seed)) = self.seed.as_ref().and_then(|seed| Some((on.codes.try_turn(seed)?, seed))) else {
            return Ok(None);
        };
        let by = on.codes.is_free_now(seed, &device.name, self.clock_for_code()).await?;
        Ok(by.map(|by| (Some(turn), Aim { device: device.name.clone(), by })))
    }
}

/// How a login went that let in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entered {
    /// The device demanded the new password on the way and took it.
    pub(super) changed_at_login: bool,
    /// The password was sent: a login without it proves none.
    pub(super) password_sent: bool,
    /// The device had the password.
    pub(super) password_taken: bool,
    /// It asked for a code.
    pub(super) code_taken: bool,
}

/// Logs in, with codes of this aim; its turn is over once it has its code.
pub(super) async fn log_in(
    link: &mut dyn Connection,
    device: &Peer,
    login: &Login,
    (turn, aim): TurnAndAim,
    on: &Guards,
    observer: &dyn Observer,
) -> Result<Entered, DeviceError> {
    let clock = on.codes.clock();
    let mut exchange = Exchange {
        link,
        device,
        login,
        aim,
        on,
        clock,
        observer,
        turn,
        risk: None,
        password_sent: false,
        secret_sent: false,
        password_taken: false,
        sent: None,
        committed: false,
        dialogue: dialogue(device, login),
        heard: Heard::new(masker(login)),
    };
    let end = exchange.run().await.map_err(|error| exchange.heard.explain(error, exchange.secret_sent));
    let taken = matches!(end, Ok(()) | Err(DeviceError::Prompt(PromptError::NewDemanded)));
    exchange.turn = None;
    if taken && login.seed.is_some() {
        on.codes.was_asked(&login.account, login.prove, exchange.sent.is_some());
    }
    if let Some(risk) = exchange.risk.take() {
        let (aim, sent) = (exchange.aim, exchange.sent);
        if taken {
            if !login.leads_on && on.breaker().took(clock.now().since_boot_ms) {
                tracing::info!(account = %login.account, device = %device.name, "{}: a login was taken: no login is held back any more", login.account);
            }
            let sure = login.prove && aim.by == By::Known;
            let (account, password_sent) = (login.account.clone(), exchange.password_sent);
            let is_known = aim.by == By::Known;
            let noted = move |tx: &dyn Ledger| {
                if password_sent {
                    tx.login_was_taken(&account, sent.is_some())?;
                }
                sent.map_or(Ok(None), |code| took(tx, &aim, code, sure))
            };
            if is_known {
                // Nothing is learned of a clock by which the code was made.
                risk.worked_with(move |tx| noted(tx).map(drop));
            } else if let Some(Some(steps)) = risk.worked_and(noted).await {
                observer.step(format!("the device takes codes {steps:+} steps off the host's clock; noted"));
            }
        } else if end.as_ref().is_err_and(DeviceError::may_be_refusal) {
            if on.breaker().refused(&login.account, login.restored, clock.now().since_boot_ms) {
                tracing::error!("{}", HELD_BACK);
            }
            let looked = sent.filter(|_| aim.by != By::Known);
            let miss = looked.map(|code| Miss { aim, ahead: code.ahead, in_session: false });
            risk.refused(sent.is_some(), miss).await;
        } else if end.as_ref().is_err_and(DeviceError::judged_nothing) {
            risk.worked();
        }
    }
    match end {
        // What a jump host demands is not what the device behind it demands.
        Err(DeviceError::Prompt(error)) if login.leads_on => {
            return Err(DeviceError::Incapable { account: login.account.to_string(), why: error.to_string() });
        }
        end => end?,
    }
    Ok(Entered {
        changed_at_login: exchange.committed,
        password_sent: exchange.password_sent,
        password_taken: exchange.password_taken,
        code_taken: exchange.sent.is_some(),
    })
}

/// What is known of a login before its first question.
fn dialogue(device: &Peer, login: &Login) -> LoginDialogue {
    let own = login.prompts.iter().map(|(pattern, answer)| {
        let is_own = |tag: &str| OWN_PASSWORD.contains(&tag);
        OwnPrompt {
            pattern: Pattern::glob(login.values.fill(pattern, None).expose()),
            password: answer.tags().any(is_own),
            code: answer.tags().any(is_code),
            new: answer.has_tag("NEW_PASSWORD"),
            other: answer.tags().any(|tag| tag.ends_with("PASSWORD") && !is_own(tag) && tag != "NEW_PASSWORD"),
        }
    });
    LoginDialogue::new(login.format, own.collect(), login.new_password.is_some())
        .named(login.account.user(), &[device.name.as_str(), &device.ssh.host])
}

fn is_code(tag: &str) -> bool {
    tag.ends_with("TOTP_TOKEN")
}

/// Knows every secret of the login.
fn masker(login: &Login) -> Masker {
    let mut masker = login.masker.clone();
    for secret in [&login.password, &login.new_password].into_iter().flatten() {
        masker.add(secret);
    }
    masker
}

impl Exchange<'_> {
    /// What the device says, as it may be shown: `most` characters of it at the most, masked before it is cut.
    fn shown(&self, text: &str, most: usize) -> String {
        self.heard.shown(text, most)
    }

    async fn run(&mut self) -> Result<(), DeviceError> {
        let mut open = match self.ask(Ask::None).await? {
            Reply::In => return Ok(()),
            Reply::Failure { methods, .. } => methods,
            Reply::Prompts { .. } => return Err(self.broken("it asked before it was asked")),
            Reply::Unread(why) => return Err(self.unread(&why)),
        };
        // A device that names no method may name some once it is asked; to begin this one sends no secret.
        open.interactive |= open == Methods::default();
        // A key that suffices alone proves no password.
        let asks = open.interactive || open.password;
        let mut key = self.login.key.is_some() && !(self.login.prove && asks);
        // The device named it, and has nothing behind it.
        let mut empty = false;
        for _ in 0..MOST_METHODS {
            let progress = if key && open.key {
                key = false;
                self.public_key().await?
            } else if open.interactive && !empty {
                self.keyboard_interactive().await?
            } else if open.password {
                self.password().await?
            } else {
                return Err(self.incapable(open));
            };
            match progress {
                Progress::In => return Ok(()),
                Progress::Partly(methods) => {
                    self.observer.step("login: accepted, and more is asked for".into());
                    if self.secret_sent {
                        self.dialogue.method_was_accepted();
                    } else {
                        self.dialogue.key_was_accepted();
                    }
                    key = self.login.key.is_some() && methods.key;
                    // What had nothing behind it as the first factor may be the second one.
                    empty = false;
                    open = methods;
                }
                Progress::KeyRefused(methods) => {
                    self.observer.step("login: the stored private key was not accepted".into());
                    open = Methods { key: false, ..methods };
                }
                Progress::Unused(methods) => {
                    self.observer.step("login: keyboard-interactive asks nothing here; trying another method".into());
                    empty = true;
                    open = Methods { interactive: false, ..methods };
                }
            }
        }
        Err(self.refused("it asked for one method after another"))
    }

    fn refused(&self, why: &str) -> DeviceError {
        let with_code = self.sent.is_some();
        DeviceError::Refused { account: self.login.account.to_string(), why: why.to_owned(), with_code }
    }

    /// Why the login does not go on, with the device's words masked.
    fn stopped(&mut self, stop: Stop) -> DeviceError {
        let account = self.login.account.to_string();
        let said = |heard: &Heard, text: &str| heard.shown(text, 300);
        match stop {
            Stop::Unknown(prompt, answer) => {
                let shown = said(&self.heard, &prompt);
                let line = prompt.trim().lines().last().map(|line| self.heard.shown(line, 300)).unwrap_or_default();
                PromptError::Unknown(shown, remedy(&line, answer)).into()
            }
            Stop::Refused(text) => {
                self.heard.add(&text, true);
                let by_order = self.login.seed.is_some() && self.sent.is_none() && !self.login.format.is_ordered();
                self.refused(if by_order {
                    "it asks again for what it was given; if it wants the code there, set login_format = \"password,totp\""
                } else {
                    "it asks again for what it was given"
                })
            }
            Stop::NewRefused(text) => DeviceError::NewRefused { account, why: said(&self.heard, &text) },
            Stop::NewDemanded => PromptError::NewDemanded.into(),
            Stop::NewUnproved(prompt) => PromptError::NewUnproved(said(&self.heard, &prompt)).into(),
            Stop::Person(text) => DeviceError::NeedsPerson { account, why: said(&self.heard, &text) },
            Stop::TooMany(times) => PromptError::TooMany(times).into(),
        }
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
        // A method begins once the device has judged the ones before it: what it does then is no refusal of them.
        let judged = matches!(ask, Ask::Interactive);
        let patience = ANSWER_TIME.max(self.device.ssh.connect_timeout);
        let answer = self.clock.within(patience, self.link.ask(user, ask)).await;
        for text in self.link.words() {
            self.dialogue.heard(&text);
            self.heard.add(&text, self.secret_sent);
        }
        match answer {
            Some(Ok(reply)) => {
                self.password_taken = self.password_sent;
                Ok(reply)
            }
            Some(Err(why)) => {
                self.heard.add(&why, self.secret_sent);
                let why = self.heard.shown(&why, 300);
                let account = self.login.account.to_string();
                Err(if self.secret_sent && !judged { DeviceError::HungUp { account, why } } else { self.broken(&why) })
            }
            None => Err(self.broken(&format!(
                "no answer within {} s; where the device asks slow servers, raise its connect_timeout",
                patience.as_secs()
            ))),
        }
    }

    /// Reads how a method ended.
    fn result(&self, reply: Reply, key: bool) -> Result<Progress, DeviceError> {
        match reply {
            Reply::In => Ok(Progress::In),
            Reply::Failure { methods, partial: true } => Ok(Progress::Partly(methods)),
            Reply::Failure { methods, .. } if key => Ok(Progress::KeyRefused(methods)),
            Reply::Failure { methods, .. } if !self.secret_sent => Ok(Progress::Unused(methods)),
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
        self.login.seed.as_ref().ok_or_else(|| DeviceError::NoSeed { account: self.login.account.to_string() })
    }

    async fn code(&mut self) -> Result<Secret, DeviceError> {
        let seed = self.seed()?;
        let waiting = |what: WaitsFor| self.observer.step(what.to_string());
        let issued = self.on.codes.issue(seed, &self.aim, None, waiting).await?;
        self.observer.leaves(&issued.code);
        self.heard.mask(&issued.code);
        // Whoever waits for this one's turn to end may begin.
        self.turn = None;
        self.sent = Some(issued.sent);
        let ahead = issued.sent.ahead;
        if self.aim.by == By::Probing && ahead != 0 {
            self.observer.step(format!("trying a code {ahead:+} steps off: the device's clock may be wrong"));
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
        self.observer.step("login: offered the private key".into());
        self.result(reply, true)
    }

    async fn password(&mut self) -> Result<Progress, DeviceError> {
        let plan = self.dialogue.password_method().map_err(|stop| self.stopped(stop))?;
        self.check(&plan, &[])?;
        self.risk().await?;
        let answers = self.secrets(&plan).await?;
        let Some(secret) = answers.into_iter().next() else { return Err(self.broken("no password")) };
        self.dialogue.sent(&plan);
        (self.password_sent, self.secret_sent) = (true, true);
        self.observer.step("login: sent the password".into());
        let reply = self.ask(Ask::Password(secret)).await?;
        self.result(reply, false)
    }

    async fn keyboard_interactive(&mut self) -> Result<Progress, DeviceError> {
        let mut reply = self.ask(Ask::Interactive).await?;
        let mut rounds = 0;
        while let Reply::Prompts { context, prompts } = reply {
            // Rounds may be empty (RFC 4256, section 3.2), and a hostile device never runs out of them.
            rounds += 1;
            if rounds > MOST_ROUNDS {
                return Err(self.broken("it asked on and on"));
            }
            // A module that finds the account shut may say so in a round of its own before it asks.
            self.heard.add(&context, self.secret_sent || is_shut(&context));
            let answers = if prompts.is_empty() {
                self.dialogue.no_prompts(&context).map_err(|stop| self.stopped(stop))?;
                Vec::new()
            } else {
                self.answers(&context, &prompts).await?
            };
            reply = self.ask(Ask::Answers(answers)).await?;
        }
        self.result(reply, false)
    }

    /// The answers to a round, which count as sent from here on.
    async fn answers(&mut self, context: &str, prompts: &[String]) -> Result<Vec<Secret>, DeviceError> {
        let plan = self.dialogue.round(context, prompts).map_err(|stop| self.stopped(stop))?;
        self.check(&plan, prompts)?;
        for said in prompts.iter().map(|prompt| above(prompt)) {
            // A module that finds the account shut says so before it asks, and the device refuses afterwards whatever it gets.
            let verdict = self.secret_sent || is_shut(&said);
            self.heard.add(&said, verdict);
        }
        let is_secret = |answer: &Answer| match answer {
            Answer::Template(index) => self.text(*index).tags().any(|tag| is_code(tag) || tag.ends_with("PASSWORD")),
            answer => !matches!(answer, Answer::UserName | Answer::Empty),
        };
        let secret = plan.answers.iter().any(is_secret);
        if secret {
            self.risk().await?;
        }
        let answers = self.secrets(&plan).await?;
        let renews = |answer: &Answer| match answer {
            Answer::Template(index) => self.text(*index).has_tag("NEW_PASSWORD"),
            answer => *answer == Answer::NewPassword,
        };
        if !self.committed && plan.answers.iter().any(renews) {
            self.observer.commit_point().await?;
            self.committed = true;
        }
        let own = |answer: &Answer| match answer {
            Answer::Template(index) => self.text(*index).tags().any(|tag| OWN_PASSWORD.contains(&tag)),
            answer => matches!(answer, Answer::Password | Answer::Joined(_)),
        };
        self.password_sent |= plan.answers.iter().any(own);
        self.secret_sent |= secret;
        self.dialogue.sent(&plan);
        for (prompt, answer) in prompts.iter().zip(&plan.answers) {
            let what = match answer {
                Answer::Password => "the password",
                Answer::Code => "a fresh code",
                Answer::Joined(_) => "password and code",
                Answer::NewPassword => "the new password",
                Answer::UserName => "the user name",
                Answer::Empty => "an empty line",
                Answer::Template(_) => "what the template says",
            };
            self.observer.step(format!("login: answered «{}» with {what}", self.heard.shown(prompt, 80)));
        }
        Ok(answers)
    }

    /// The text of the template's `login-prompt` of this number.
    fn text(&self, index: usize) -> Text {
        self.login.prompts.get(index).map(|(_, answer)| answer.clone()).unwrap_or_default()
    }

    /// Whether everything is there that a round's answers want, before any of it is made or sent.
    fn check(&self, plan: &Plan, prompts: &[String]) -> Result<(), DeviceError> {
        for (at, answer) in plan.answers.iter().enumerate() {
            match answer {
                Answer::Password => drop(self.need_password()?),
                Answer::Code => drop(self.seed()?),
                Answer::Joined(_) => drop((self.need_password()?, self.seed()?)),
                Answer::NewPassword => drop(self.new_password()?),
                Answer::Template(index) => {
                    let text = self.text(*index);
                    if text.tags().any(is_code) {
                        self.seed()?;
                    }
                    if let Some(missing) = self.login.values.missing(&text) {
                        let prompt = prompts.get(at).map(|prompt| self.heard.shown(prompt, 80)).unwrap_or_default();
                        let why = format!("the template's login-prompt answers «{prompt}», and {missing}");
                        return Err(DeviceError::Incapable { account: self.login.account.to_string(), why });
                    }
                }
                Answer::UserName | Answer::Empty => {}
            }
        }
        Ok(())
    }

    fn new_password(&self) -> Result<Secret, DeviceError> {
        self.login.new_password.clone().ok_or_else(|| self.broken("no new password"))
    }

    /// What is to be sent, in the order of the prompts.
    async fn secrets(&mut self, plan: &Plan) -> Result<Vec<Secret>, DeviceError> {
        let mut secrets = Vec::with_capacity(plan.answers.len());
        for answer in &plan.answers {
            secrets.push(match answer {
                Answer::Password => self.need_password()?,
                Answer::Code => self.code().await?,
                Answer::Joined(format) => format.join(&self.need_password()?, &self.code().await?),
                Answer::NewPassword => self.new_password()?,
                Answer::UserName => Secret::new(self.login.account.user().to_owned()),
                Answer::Empty => Secret::new(String::new()),
                Answer::Template(index) => {
                    let text = self.text(*index);
                    let code = if text.tags().any(is_code) { Some(self.code().await?) } else { None };
                    self.login.values.fill(&text, code.as_ref())
                }
            });
        }
        Ok(secrets)
    }
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;

//! The login: public key, password and keyboard-interactive, alone or in a chain (RFC 4252, RFC 4256).
//!
//! A connection risks one refusal: after the device said no to a password or a code, nothing else is tried on it.

use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse as Reply, Prompt};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg};
use russh::{MethodKind, MethodSet};

use super::codes::Codes;
use super::error::DeviceError;
use super::ssh::Client;
use super::{Login, Watcher};
use crate::config::Device;
use crate::dialogue::{Answer, LoginDialogue, LoginFormat, Pattern, shown_prompt};
use crate::model::Secret;
use crate::template::Text;

/// The bound on each answer of the device during the login; some ask a RADIUS server first.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// Methods of a chain at the most.
const MOST_METHODS: usize = 6;

/// How one method ended.
enum Progress {
    In,
    /// Accepted, and more is needed.
    Partly(MethodSet),
    /// The key is not wanted; the other methods are still open.
    KeyRefused(MethodSet),
}

struct Exchange<'a, W: Watcher> {
    handle: &'a mut Handle<Client>,
    device: &'a Device,
    login: &'a Login,
    codes: &'a Codes,
    watcher: &'a W,
    password_sent: bool,
    committed: bool,
}

/// Logs in. `true` where the device demanded the new password on the way and took it.
pub(super) async fn log_in<W: Watcher>(
    handle: &mut Handle<Client>,
    device: &Device,
    login: &Login,
    codes: &Codes,
    watcher: &W,
) -> Result<bool, DeviceError> {
    let mut exchange = Exchange { handle, device, login, codes, watcher, password_sent: false, committed: false };
    exchange.run().await?;
    if login.prove && !exchange.password_sent {
        return Err(DeviceError::NotProved(login.account.to_string()));
    }
    Ok(exchange.committed)
}

impl<W: Watcher> Exchange<'_, W> {
    async fn run(&mut self) -> Result<(), DeviceError> {
        let user = self.login.account.user().to_owned();
        let mut open =
            match self.timed(async |handle: &mut Handle<Client>| handle.authenticate_none(user).await).await? {
                AuthResult::Success => return Ok(()),
                AuthResult::Failure { remaining_methods, .. }
                    if remaining_methods.is_empty() && self.handle.is_closed() =>
                {
                    return Err(self.broken("the device hung up"));
                }
                AuthResult::Failure { remaining_methods, .. } => remaining_methods,
            };
        // A key that suffices alone proves no password.
        let asks = open.contains(&MethodKind::KeyboardInteractive) || open.contains(&MethodKind::Password);
        let mut key = self.login.key.is_some() && !(self.login.prove && asks);
        for _ in 0..MOST_METHODS {
            let progress = if key && open.contains(&MethodKind::PublicKey) {
                key = false;
                self.public_key().await?
            } else if open.contains(&MethodKind::KeyboardInteractive) {
                self.keyboard_interactive().await?
            } else if open.contains(&MethodKind::Password) {
                self.password().await?
            } else {
                return Err(self.incapable(&open));
            };
            match progress {
                Progress::In => return Ok(()),
                Progress::Partly(methods) => {
                    self.watcher.step("login: accepted, and more is asked for".into());
                    key = self.login.key.is_some() && methods.contains(&MethodKind::PublicKey);
                    open = methods;
                }
                Progress::KeyRefused(methods) => {
                    self.watcher.step("login: the stored private key was not accepted".into());
                    open = methods;
                    open.remove(MethodKind::PublicKey);
                }
            }
        }
        Err(self.refused("it asked for one method after another"))
    }

    fn refused(&self, why: &str) -> DeviceError {
        DeviceError::Refused { account: self.login.account.to_string(), why: why.to_owned() }
    }

    fn incapable(&self, open: &MethodSet) -> DeviceError {
        let names: Vec<&str> = open.iter().map(<&'static str>::from).collect();
        let account = self.login.account.to_string();
        let why = if open.contains(&MethodKind::PublicKey) {
            format!("the device wants a key; store one with 'rotorctl ssh-key set {account}'")
        } else {
            format!("the device offers only: {}", if names.is_empty() { "nothing".into() } else { names.join(", ") })
        };
        DeviceError::Incapable { account, why }
    }

    fn broken(&self, why: &str) -> DeviceError {
        DeviceError::Broken { device: self.device.name.to_string(), when: "during the login", why: why.to_owned() }
    }

    async fn timed<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Handle<Client>) -> Result<T, russh::Error>,
    ) -> Result<T, DeviceError> {
        match tokio::time::timeout(ANSWER_TIME, work(self.handle)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.broken(&error.to_string())),
            Err(_) => Err(self.broken(&format!("no answer within {} s", ANSWER_TIME.as_secs()))),
        }
    }

    /// Reads the result of a method. The library tells a lost connection as a failure without methods.
    fn result(&self, result: AuthResult, key: bool) -> Result<Progress, DeviceError> {
        match result {
            AuthResult::Success => Ok(Progress::In),
            AuthResult::Failure { remaining_methods, partial_success: true } => Ok(Progress::Partly(remaining_methods)),
            AuthResult::Failure { remaining_methods, .. }
                if remaining_methods.is_empty() && self.handle.is_closed() =>
            {
                Err(self.broken("the device hung up"))
            }
            AuthResult::Failure { remaining_methods, .. } if key => Ok(Progress::KeyRefused(remaining_methods)),
            AuthResult::Failure { .. } => Err(self.refused("password or code")),
        }
    }

    fn need_password(&self) -> Result<Secret, DeviceError> {
        self.login.password.clone().ok_or_else(|| DeviceError::Incapable {
            account: self.login.account.to_string(),
            why: format!("no password is stored; run 'rotorctl secret set {}'", self.login.account),
        })
    }

    async fn code(&self) -> Result<Secret, DeviceError> {
        let seed = self.login.seed.as_ref().ok_or_else(|| DeviceError::Incapable {
            account: self.login.account.to_string(),
            why: format!(
                "the login asks for a one-time code and no seed is stored; run 'rotorctl totp set {}'",
                self.login.account
            ),
        })?;
        let waiting =
            |time: Duration| self.watcher.step(format!("waiting {:.1} s for a fresh code", time.as_secs_f64()));
        Ok(self.codes.issue(seed, None, waiting).await?.code)
    }

    async fn public_key(&mut self) -> Result<Progress, DeviceError> {
        let text = self.login.key.clone().ok_or_else(|| self.broken("no key"))?;
        let key = PrivateKey::from_openssh(text.expose()).map_err(|_| DeviceError::Incapable {
            account: self.login.account.to_string(),
            why: "the stored private key cannot be read".into(),
        })?;
        let legacy = self.device.legacy_algorithms;
        let user = self.login.account.user().to_owned();
        let result = self
            .timed(async |handle: &mut Handle<Client>| {
                let best = handle.best_supported_rsa_hash().await?.flatten();
                let hash = best.or((!legacy).then_some(HashAlg::Sha512));
                handle.authenticate_publickey(user, PrivateKeyWithHashAlg::new(Arc::new(key), hash)).await
            })
            .await?;
        self.watcher.step("login: offered the private key".into());
        self.result(result, true)
    }

    async fn password(&mut self) -> Result<Progress, DeviceError> {
        let password = self.need_password()?;
        let secret = match self.login.format {
            LoginFormat::Separate => password,
            format => format.join(&password, &self.code().await?),
        };
        self.password_sent = true;
        self.watcher.step("login: sent the password".into());
        let user = self.login.account.user().to_owned();
        let result = self
            .timed(async |handle: &mut Handle<Client>| handle.authenticate_password(user, secret.expose()).await)
            .await?;
        self.result(result, false)
    }

    async fn keyboard_interactive(&mut self) -> Result<Progress, DeviceError> {
        let user = self.login.account.user().to_owned();
        let patterns = self
            .login
            .prompts
            .iter()
            .map(|(pattern, _)| Pattern::glob(self.login.values.fill(pattern, None).expose()))
            .collect();
        let mut dialogue = LoginDialogue::new(self.login.format, patterns, self.login.new_password.is_some());
        let mut reply = self
            .timed(async |handle: &mut Handle<Client>| handle.authenticate_keyboard_interactive_start(user, None).await)
            .await?;
        loop {
            match reply {
                Reply::Success => return Ok(Progress::In),
                Reply::Failure { remaining_methods, partial_success } => {
                    return self.result(AuthResult::Failure { remaining_methods, partial_success }, false);
                }
                Reply::InfoRequest { name, instructions, prompts } => {
                    let context = format!("{name}\n{instructions}");
                    let mut answers = Vec::with_capacity(prompts.len());
                    for prompt in &prompts {
                        let answer = dialogue.answer(&prompt.prompt, &context)?;
                        answers.push(self.answer(prompt, answer).await?.expose().to_owned());
                    }
                    reply = self
                        .timed(async |handle: &mut Handle<Client>| {
                            handle.authenticate_keyboard_interactive_respond(answers).await
                        })
                        .await?;
                }
            }
        }
    }

    async fn answer(&mut self, prompt: &Prompt, answer: Answer) -> Result<Secret, DeviceError> {
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
            Answer::Template(index) => {
                let text: Text = self.login.prompts.get(index).map(|(_, answer)| answer.clone()).unwrap_or_default();
                let code =
                    if text.tags().any(|tag| tag.ends_with("TOTP_TOKEN")) { Some(self.code().await?) } else { None };
                self.password_sent |= text.tags().any(|tag| tag.ends_with("PASSWORD"));
                if text.has_tag("NEW_PASSWORD") && !self.committed {
                    self.watcher.commit_point().await?;
                    self.committed = true;
                }
                (self.login.values.fill(&text, code.as_ref()), "what the template says")
            }
        };
        self.watcher.step(format!("login: answered «{}» with {what}", shown_prompt(&prompt.prompt, 80)));
        Ok(secret)
    }
}

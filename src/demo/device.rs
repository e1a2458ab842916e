//! A simulated device: a real SSH server in this process that asks for a password and a one-time code, takes each code
//! once, and has a shell. The demo and the tests change passwords on it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use russh::keys::{Algorithm, HashAlg, PrivateKey, key::safe_rng};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Response, Session};
use russh::{Channel, ChannelId, MethodKind, MethodSet, Pty};
use tokio::net::TcpListener;

use crate::model::Secret;
use crate::totp::Seed;

/// A user of the device.
#[derive(Debug, Clone)]
pub struct User {
    /// The password in force.
    pub password: Secret,
    /// The seed of its codes.
    pub seed: Seed,
    used: Vec<u64>,
}

/// What the device remembers.
#[derive(Debug, Default)]
pub struct State {
    /// Users by name.
    pub users: HashMap<String, User>,
    /// Logins tried, as (user, accepted).
    pub logins: Vec<(String, bool)>,
    /// Codes that came a second time.
    pub replays: usize,
    /// What it asks instead of the code; `{password}` stands for the password that it was just given.
    pub second_prompt: Option<String>,
    /// It lets anybody in, and leaves it to its shell to ask for a password.
    pub lets_anybody_in: bool,
    /// Passwords that were sent to it, right or wrong.
    pub secrets_seen: usize,
    /// Sessions that are logged in now.
    pub open: usize,
    /// The most that were open at once.
    pub most_open: usize,
}

/// What a shell answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Print this.
    Print(Vec<u8>),
    /// Print this and hang up.
    Close(Vec<u8>),
}

/// A shell of the device.
pub trait Shell: Send {
    /// What is printed when it opens.
    fn start(&mut self) -> Reply;
    /// What is answered to a line, without its line end.
    fn line(&mut self, line: &str, state: &mut State) -> Reply;
}

/// Makes a shell for a user.
pub type ShellMaker = Arc<dyn Fn(&str) -> Box<dyn Shell> + Send + Sync>;

/// A running device. It stops when dropped.
pub struct SimDevice {
    /// Where it listens, on loopback.
    pub address: SocketAddr,
    /// Its host key's fingerprint, `SHA256:…`.
    pub fingerprint: String,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for SimDevice {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SimDevice {
    /// Starts a device on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// No port is free, or no host key could be made.
    pub async fn start(users: &[(&str, Secret, Seed)], shell: ShellMaker) -> std::io::Result<Self> {
        let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).map_err(std::io::Error::other)?;
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let config = Arc::new(Config {
            methods: MethodSet::from([MethodKind::KeyboardInteractive].as_slice()),
            auth_rejection_time: Duration::from_millis(20),
            auth_rejection_time_initial: Some(Duration::ZERO),
            keys: vec![key],
            nodelay: true,
            ..Config::default()
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let mut state = State::default();
        for (name, password, seed) in users {
            let user = User { password: password.clone(), seed: seed.clone(), used: Vec::new() };
            state.users.insert((*name).to_owned(), user);
        }
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = Connection::new(shared.clone(), shell.clone());
                let config = config.clone();
                tokio::spawn(async move {
                    if let Ok(session) = russh::server::run_stream(config, stream, connection).await {
                        // How a client hangs up is its own business.
                        drop(session.await);
                    }
                });
            }
        });
        Ok(Self { address, fingerprint, state, task })
    }

    /// What the device remembers.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Connection {
    state: Arc<Mutex<State>>,
    shells: ShellMaker,
    password_good: Option<bool>,
    user: String,
    shell: Option<Box<dyn Shell>>,
    line: String,
    after_cr: bool,
    logged_in: bool,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.logged_in {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).open -= 1;
        }
    }
}

impl Connection {
    fn new(state: Arc<Mutex<State>>, shells: ShellMaker) -> Self {
        Self {
            state,
            shells,
            password_good: None,
            user: String::new(),
            shell: None,
            line: String::new(),
            after_cr: false,
            logged_in: false,
        }
    }

    fn ask(prompt: impl Into<Cow<'static, str>>) -> Auth {
        Auth::Partial {
            name: Cow::Borrowed(""),
            instructions: Cow::Borrowed(""),
            prompts: Cow::Owned(vec![(prompt.into(), false)]),
        }
    }

    fn check_code(&mut self, code: &str) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(user) = state.users.get_mut(&self.user) else {
            return false;
        };
        let now = u64::try_from(chrono::Utc::now().timestamp()).unwrap_or(0) / user.seed.period();
        // One step of tolerance each way, and each step once, as pam_google_authenticator with DISALLOW_REUSE.
        let found = (now.saturating_sub(1)..=now + 1).find(|step| user.seed.code(*step).expose() == code);
        let good = found.is_some_and(|step| !user.used.contains(&step));
        let replayed = found.is_some() && !good;
        user.used.extend(found);
        state.replays += usize::from(replayed);
        let accepted = good && self.password_good == Some(true);
        if accepted {
            state.open += 1;
            state.most_open = state.most_open.max(state.open);
        }
        state.logins.push((self.user.clone(), accepted));
        drop(state);
        self.logged_in |= accepted;
        accepted
    }
}

fn answer(reply: Reply, channel: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
    let (bytes, close) = match reply {
        Reply::Print(bytes) => (bytes, false),
        Reply::Close(bytes) => (bytes, true),
    };
    if !bytes.is_empty() {
        session.data(channel, bytes)?;
    }
    if close { session.close(channel) } else { Ok(()) }
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_none(&mut self, user: &str) -> Result<Auth, Self::Error> {
        user.clone_into(&mut self.user);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.lets_anybody_in {
            return Ok(Auth::reject());
        }
        state.logins.push((user.to_owned(), true));
        Ok(Auth::Accept)
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        user.clone_into(&mut self.user);
        let Some(text) = response.and_then(|mut response| response.next()) else {
            self.password_good = None;
            return Ok(Self::ask("Password: "));
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        if self.password_good.is_none() {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.secrets_seen += 1;
            self.password_good = Some(state.users.get(user).is_some_and(|user| user.password.expose() == text));
            let prompt = state.second_prompt.as_ref().map(|prompt| prompt.replace("{password}", &text));
            return Ok(Self::ask(prompt.unwrap_or_else(|| "Verification code: ".to_owned())));
        }
        Ok(if self.check_code(&text) { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        let mut shell = (self.shells)(&self.user);
        let reply = shell.start();
        self.shell = Some(shell);
        answer(reply, channel, session)
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        for c in String::from_utf8_lossy(data).chars() {
            let second_of_pair = c == '\n' && self.after_cr;
            self.after_cr = c == '\r';
            if c != '\n' && c != '\r' {
                self.line.push(c);
            } else if !second_of_pair {
                let line = std::mem::take(&mut self.line);
                let Some(shell) = &mut self.shell else {
                    continue;
                };
                let reply = shell.line(&line, &mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
                answer(reply, channel, session)?;
            }
        }
        Ok(())
    }
}

/// A shell with `passwd` and `exit`, as on Linux.
pub struct PasswdShell {
    user: String,
    refuse: bool,
    stage: Stage,
}

enum Stage {
    Shell,
    Current,
    New,
    Retype(Secret),
}

impl PasswdShell {
    /// A shell for a user; with `refuse`, the device finds fault with every new password.
    #[must_use]
    pub fn new(user: &str, refuse: bool) -> Self {
        Self { user: user.to_owned(), refuse, stage: Stage::Shell }
    }

    fn prompt(&self) -> String {
        format!("{}@demo:~$ ", self.user)
    }

    fn back(&mut self, text: &str) -> Reply {
        self.stage = Stage::Shell;
        Reply::Print(format!("\r\n{text}\r\n{}", self.prompt()).into_bytes())
    }
}

impl Shell for PasswdShell {
    fn start(&mut self) -> Reply {
        Reply::Print(format!("Welcome. 3 $ for a coffee.\r\n\r\n{}", self.prompt()).into_bytes())
    }

    fn line(&mut self, line: &str, state: &mut State) -> Reply {
        let print = |text: &str| Reply::Print(text.as_bytes().to_vec());
        match std::mem::replace(&mut self.stage, Stage::Shell) {
            Stage::Shell if line == "exit" => Reply::Close(b"exit\r\nlogout\r\n".to_vec()),
            Stage::Shell if line.ends_with("passwd") => {
                self.stage = Stage::Current;
                Reply::Print(
                    format!("{line}\r\nChanging password for {}.\r\nCurrent password: ", self.user).into_bytes(),
                )
            }
            Stage::Shell => Reply::Print(format!("{line}\r\n{}", self.prompt()).into_bytes()),
            Stage::Current if state.users.get(&self.user).is_none_or(|user| user.password.expose() != line) => {
                self.back("passwd: Authentication token manipulation error")
            }
            Stage::Current => {
                self.stage = Stage::New;
                print("\r\nNew password: ")
            }
            Stage::New if self.refuse => {
                self.back("BAD PASSWORD: this device likes none\r\npasswd: password unchanged")
            }
            Stage::New => {
                self.stage = Stage::Retype(Secret::new(line.to_owned()));
                print("\r\nRetype new password: ")
            }
            Stage::Retype(new) if new.expose() == line => {
                if let Some(user) = state.users.get_mut(&self.user) {
                    user.password = new;
                }
                self.back("passwd: password updated successfully")
            }
            Stage::Retype(_) => self.back("Sorry, passwords do not match."),
        }
    }
}

//! The floor of a rotation: two bare logins of russh with password and code, the first with a terminal and a shell, and nothing
//! else. Prints seconds of CPU for each account, of this process with all its threads.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rotord::totp::Seed;
use russh::client::{self, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::PublicKeyOrCertificate;
use russh::{ChannelMsg, Disconnect};

struct Client;

impl client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

/// Codes of steps that were never used.
struct Codes {
    seed: Seed,
    step: u64,
    last: u64,
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock behind 1970")
}

impl Codes {
    /// Sleeps once, until the step after the last used one begins.
    async fn fresh(&mut self) -> String {
        let begins = Duration::from_secs((self.last + 1) * self.step);
        tokio::time::sleep(begins.saturating_sub(now())).await;
        self.last = now().as_secs() / self.step;
        self.seed.code(self.last).expose().to_owned()
    }
}

async fn log_in(port: u16, user: &str, password: &str, codes: &mut Codes) -> Handle<Client> {
    let config = Arc::new(client::Config { nodelay: true, ..client::Config::default() });
    let mut handle = client::connect(config, ("127.0.0.1", port), Client).await.expect("a connection");
    let mut reply = handle.authenticate_keyboard_interactive_start(user, None).await.expect("a reply");
    loop {
        let prompts = match reply {
            KeyboardInteractiveAuthResponse::Success => return handle,
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => prompts,
            KeyboardInteractiveAuthResponse::Failure { .. } => panic!("{user}: the login was refused"),
        };
        let mut answers = Vec::new();
        for prompt in prompts {
            let password = prompt.prompt.contains("assword").then(|| password.to_owned());
            answers.push(match password {
                Some(password) => password,
                None => codes.fresh().await,
            });
        }
        reply = handle.authenticate_keyboard_interactive_respond(answers).await.expect("a reply");
    }
}

async fn two_logins(port: u16, user: String, password: String, mut codes: Codes) {
    let handle = log_in(port, &user, &password, &mut codes).await;
    let mut channel = handle.channel_open_session().await.expect("a channel");
    channel.request_pty(false, "vt100", 500, 200, 0, 0, &[]).await.expect("a terminal");
    channel.request_shell(false).await.expect("a shell");
    while let Some(message) = channel.wait().await {
        if let ChannelMsg::Data { data } = message
            && String::from_utf8_lossy(&data).contains('$')
        {
            break;
        }
    }
    close(handle).await;
    close(log_in(port, &user, &password, &mut codes).await).await;
}

async fn close(handle: Handle<Client>) {
    drop(handle.disconnect(Disconnect::ByApplication, "", "").await);
    drop(handle.await);
}

fn cpu() -> f64 {
    let used = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).expect("getrusage");
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(used.user_time()) + seconds(used.system_time())
}

pub fn run(args: &[String]) {
    let [port, csv, step, users @ ..] = args else { panic!("floor PORT ACCOUNTS.csv STEP USER...") };
    let (port, step): (u16, u64) = (port.parse().expect("a port"), step.parse().expect("seconds"));
    let csv = std::fs::read_to_string(csv).expect("the accounts");
    let known: HashMap<&str, (&str, &str)> = csv
        .lines()
        .filter_map(|line| line.split_once(','))
        .filter_map(|(user, rest)| Some((user, rest.split_once(',')?)))
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let before = cpu();
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for user in users {
            let (password, seed) = known.get(user.as_str()).expect("an account");
            let seed = Seed::parse(&format!("otpauth://totp/x?secret={seed}&period={step}")).expect("a seed");
            let codes = Codes { seed, step, last: now().as_secs() / step + 1 };
            tasks.spawn(two_logins(port, user.clone(), (*password).to_owned(), codes));
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("a login");
        }
    });
    println!("{:.6}", (cpu() - before) / users.len() as f64);
}

//! The whole system with nothing installed: a simulated device, and the true daemon with a vault in a temporary folder.
#![allow(clippy::print_stderr)]

mod device;
mod web;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chrono::Local;
use tracing::level_filters::LevelFilter;
use zeroize::Zeroizing;

pub use device::{PasswdShell, Reply, Shell, ShellMaker, SimDevice, State, User};

use crate::cli::output::say;
use crate::daemon::{Core, LogFormat, Request, init_logging};
use crate::model::{AccountName, Outcome, Secret, Trigger};
use crate::totp::{Algorithm, Seed};
use crate::vault::{Kind, VaultKey};

/// Seconds of a code's step in the demo; in the world it is 30.
const STEP: u64 = 3;
const ACCOUNT: &str = "demo/admin";
const TEMPLATE: &str = include_str!("../../templates/linux/linux-passwd.template");
/// The demo ends by itself after this time, whatever happens.
const LONGEST: Duration = Duration::from_secs(120);

/// Serves the local page over a small fleet, until it is ended.
#[must_use]
pub fn serve_page() -> ExitCode {
    run(web::run())
}

/// Runs the demo.
#[must_use]
pub fn main(once: bool, refuse: bool) -> ExitCode {
    run(demo(once, refuse))
}

fn run(demo: impl Future<Output = Result<u8, String>>) -> ExitCode {
    init_logging(LogFormat::Human, LevelFilter::ERROR);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(demo)) {
        Ok(exit) => ExitCode::from(exit),
        Err(error) => {
            eprintln!("rotord demo: {error}");
            ExitCode::from(1)
        }
    }
}

fn say(text: &str) {
    say!("{}  {text}", Local::now().format("%H:%M:%S"));
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn random(bytes: &mut [u8]) -> Result<(), String> {
    getrandom::fill(bytes).map_err(text)
}

async fn demo(once: bool, refuse: bool) -> Result<u8, String> {
    let folder = tempfile::Builder::new().prefix("rotord-demo-").tempdir().map_err(text)?;
    let mut key = Zeroizing::new(vec![0u8; 20]);
    random(&mut key)?;
    let seed = Seed::new(key, Algorithm::Sha1, 6, STEP).map_err(text)?;
    let mut first = [0u8; 8];
    random(&mut first)?;
    let password = Secret::new(format!("Start-{}", data_encoding::HEXLOWER.encode(&first)));
    let shell: ShellMaker = Arc::new(move |user| Box::new(PasswdShell::new(user, refuse)));
    let device = SimDevice::start(&[("admin", password.clone(), seed.clone())], shell).await.map_err(text)?;

    say!("rotord demo: an SSH device is simulated in this process; nothing but 127.0.0.1 is contacted.");
    say!("Its codes change every {STEP} s instead of every 30, so that nobody has to wait. Secrets are masked.\n");
    write_config(folder.path(), &device, once)?;
    let core = Core::start(&folder.path().join("rotord.toml")).map_err(text)?;
    let account = AccountName::parse(ACCOUNT).map_err(text)?;
    store(&core, &account, password.clone(), &seed).await?;
    say(&format!(
        "device    127.0.0.1:{} asks for a password and a code, and takes each code once",
        device.address.port()
    ));
    say("vault     password and TOTP seed of demo/admin are sealed in a temporary folder");

    let exit = if once { rotate_once(&core, account).await } else { follow_schedule(&core).await? };
    summary(&core, &device, &password).await?;
    core.stop();
    drop(core);
    if !once {
        say!(
            "\nTo go on with a device of your own, follow docs/install.md: a package or a build, a device, a seed, 'rotorctl rotate'."
        );
    }
    Ok(exit)
}

fn write_config(folder: &Path, device: &SimDevice, once: bool) -> Result<(), String> {
    let templates = folder.join("templates");
    std::fs::create_dir(&templates).map_err(text)?;
    std::fs::write(templates.join("linux-passwd.template"), TEMPLATE).map_err(text)?;
    VaultKey::create(&folder.join("vault.key")).map_err(text)?;
    let job = if once { "" } else { "[job.often]\nschedule = \"*/4 * * * * *\"\naccounts = [\"demo/*\"]\n" };
    let config = format!(
        "[daemon]\nstate_dir = \"state\"\nsocket = \"control.sock\"\ntemplate_dirs = [\"templates\"]\n\
         [vault]\nkey_file = \"vault.key\"\n\
         [device.demo]\naddress = \"{}\"\nhost_key = [\"{}\"]\ntemplate = \"linux-passwd\"\n\
         [account.\"{ACCOUNT}\"]\n{job}",
        device.address, device.fingerprint
    );
    std::fs::write(folder.join("rotord.toml"), config).map_err(text)
}

async fn store(core: &Core, account: &AccountName, password: Secret, seed: &Seed) -> Result<(), String> {
    let (account, uri, now) = (account.clone(), seed.to_uri(), core.clock.now());
    core.vault
        .call(move |tx| {
            tx.set_secret(&account, &Kind::Password, &password, &now)?;
            tx.set_secret(&account, &Kind::Totp, &uri, &now)
        })
        .await
        .map_err(text)
}

/// Shows steps as they happen until `ended` says that it is enough.
fn show(core: &Core, mut ended: impl FnMut(Outcome) -> bool + Send + 'static) -> tokio::task::JoinHandle<()> {
    let mut progress = core.progress.subscribe();
    tokio::spawn(async move {
        while let Ok(progress) = progress.recv().await {
            match progress.ended {
                None => say(&format!("step      {}", progress.step.text)),
                Some(outcome) => {
                    say(&format!("{:<8}  {}\n", outcome.as_str(), progress.step.text));
                    if ended(outcome) {
                        return;
                    }
                }
            }
        }
    })
}

async fn rotate_once(core: &Arc<Core>, account: AccountName) -> u8 {
    let shown = show(core, |_| true);
    let result =
        core.rotate(Request { actor: Some(Core::own_actor()), ..Request::of(account, Trigger::Command) }).await;
    drop(shown.await);
    match result.outcome {
        Outcome::Done => 0,
        Outcome::Refused => 3,
        Outcome::Failed => 4,
        Outcome::Unknown => 5,
    }
}

/// Lets the job fire until the cap refuses a third change.
async fn follow_schedule(core: &Arc<Core>) -> Result<u8, String> {
    say("job       'often' fires every 4 seconds; the cap allows two changes in 24 hours\n");
    let (mut done, mut exit) = (0, 0);
    let (sender, result) = tokio::sync::oneshot::channel();
    let mut sender = Some(sender);
    let shown = show(core, move |outcome| {
        match outcome {
            Outcome::Done => done += 1,
            Outcome::Refused if done < 2 => return false,
            Outcome::Refused => {}
            Outcome::Failed => exit = 4,
            Outcome::Unknown => exit = 5,
        }
        let over = outcome != Outcome::Done;
        if over {
            let _ = sender.take().map(|sender| sender.send(exit));
        }
        over
    });
    let schedule = tokio::spawn(crate::daemon::keep_schedule(core.clone()));
    let exit =
        tokio::time::timeout(LONGEST, result).await.map_err(|_| "the demo did not come to its end in time".to_owned());
    drop(shown.await);
    schedule.abort();
    exit?.map_err(text)
}

async fn summary(core: &Core, device: &SimDevice, first: &Secret) -> Result<(), String> {
    let account = AccountName::parse(ACCOUNT).map_err(text)?;
    let stored = core.vault.call(move |tx| tx.secret(&account, &Kind::Password)).await.map_err(text)?;
    let (accepted, same, changed) = {
        let state = device.state();
        let accepted = state.logins.iter().filter(|(_, accepted)| *accepted).count();
        let held = state.users.get("admin").map(|user| user.password.expose().to_owned());
        (accepted, held.as_deref() == stored.as_ref().map(Secret::expose), held.as_deref() != Some(first.expose()))
    };
    let (seq, hash) = core.vault.call(|tx| tx.audit_head()).await.map_err(text)?;
    let report = crate::audit::verify_files(core.vault.audit_folder(), Some((seq, &hash))).map_err(text)?;
    say!("Summary");
    say!(
        "  the device's password {} the first one; the vault {} what the device holds",
        if changed { "is no longer" } else { "is still" },
        if same { "holds" } else { "DOES NOT hold" }
    );
    say!("  {accepted} logins were accepted, each with a code of its own");
    say!("  {} audit events, the chain is {}", report.events, if report.ok { "whole" } else { "BROKEN" });
    Ok(())
}

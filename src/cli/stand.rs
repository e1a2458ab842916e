//! `rotorctl` without a command: where one stands, and the command that comes next. And the command that follows an error.

use std::path::Path;

use super::Failure;
use super::output::{paint, safe, say};
use super::remote::print;
use crate::config::{Config, DEFAULT_PATH};
use crate::control::{AccountStatus, Client, StatusBody};

/// Where one stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stand {
    /// In a sentence.
    told: String,
    /// The next command.
    next: String,
    /// What it does.
    does: &'static str,
}

fn stand(told: impl Into<String>, next: impl Into<String>, does: &'static str) -> Stand {
    Stand { told: told.into(), next: next.into(), does }
}

/// What is known where no daemon answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setup {
    /// There is no vault key, or no config.
    Nothing,
    /// The config has errors.
    Broken,
    /// It could run.
    Ready,
    /// The caller may not look.
    Hidden,
}

pub(super) async fn run(client: &Client, json: bool) -> Result<u8, Failure> {
    let (found, exit) = match client.get::<StatusBody>("/v1/status", &[]).await {
        Ok(status) => (of_daemon(&status), 0),
        Err(error) if error.exit() == 7 => {
            let path = client.socket().display().to_string();
            (without_daemon(setup(Path::new(DEFAULT_PATH)), &path), 7)
        }
        Err(error) => return Err(error.into()),
    };
    if json {
        print(&serde_json::json!({ "stand": found.told, "next": found.next, "does": found.does }))?;
        return Ok(exit);
    }
    say!("{}", safe(&found.told));
    say!("Next:  {}", paint(&safe(&found.next), 1));
    say!("       {}", found.does);
    say!("\n'rotorctl --help' has all commands.");
    Ok(exit)
}

fn setup(config: &Path) -> Setup {
    if !config.exists() {
        return Setup::Nothing;
    }
    // Who may not read it learns nothing of it.
    if std::fs::File::open(config).is_err() {
        return Setup::Hidden;
    }
    match Config::inspect(config).0 {
        None => Setup::Broken,
        Some(config) => match &config.vault_key {
            crate::config::KeySource::File(key) if !key.exists() => Setup::Nothing,
            _ => Setup::Ready,
        },
    }
}

fn without_daemon(setup: Setup, socket: &str) -> Stand {
    match setup {
        Setup::Nothing => stand(
            "rotord is not set up on this host: there is no config, or no vault key.",
            "rotorctl init",
            "makes config, key and folders",
        ),
        Setup::Broken => stand("The config has errors, so the daemon does not start.", "rotord check", "shows them"),
        Setup::Ready => stand(
            format!("No daemon answers at {socket}; the config is in order."),
            "systemctl enable --now rotord",
            "starts it, now and at each boot",
        ),
        Setup::Hidden => stand(
            format!("No daemon answers at {socket}, and you may not read its config."),
            "systemctl status rotord",
            "says whether it runs",
        ),
    }
}

/// What comes first of all that there is to do.
fn of_daemon(status: &StatusBody) -> Stand {
    let accounts = &status.accounts;
    let many = match accounts.len() {
        1 => "1 account".to_owned(),
        count => format!("{count} accounts"),
    };
    if let Some(error) = status.vault_error.iter().chain(&status.escrow_error).chain(&status.config_error).next() {
        let first = error.lines().next().unwrap_or_default();
        return stand(
            format!("The daemon runs with {many}, but: {first}"),
            "rotorctl doctor",
            "says what is wrong, and what mends it",
        );
    }
    if accounts.is_empty() {
        return stand(
            "The daemon runs, and has no account yet.",
            "rotorctl device add NAME ADDRESS",
            "adds a device with its first account",
        );
    }
    let some =
        |is: fn(&AccountStatus) -> bool| accounts.iter().find(|account| is(account)).map(|account| &account.account);
    let in_state =
        |state: &'static str| accounts.iter().find(|account| account.state == state).map(|account| &account.account);
    if let Some(name) = in_state("quarantined") {
        return stand(
            format!("{many}; {name} is in quarantine, and waits for a person."),
            format!("rotorctl explain {name}"),
            "says why, and what to do",
        );
    }
    if let Some(name) = in_state("new") {
        return stand(
            format!("{many}; no password of {name} is stored yet."),
            format!("rotorctl secret set {name}"),
            "stores it; 'rotorctl totp set' does so with the seed of its codes",
        );
    }
    if let Some(name) = some(|account| account.last_error.is_some()) {
        return stand(
            format!("{many}; the last attempt at {name} failed."),
            format!("rotorctl explain {name}"),
            "says why, and what to do",
        );
    }
    if let Some(name) = some(|account| account.warning.is_some()) {
        return stand(
            format!("{many}; the last change of {name} was not clean."),
            format!("rotorctl explain {name}"),
            "says what may not be saved",
        );
    }
    if let Some(name) = some(|account| account.overdue) {
        return stand(
            format!("{many}; the password of {name} is overdue."),
            format!("rotorctl rotate {name} --reason overdue"),
            "changes it now",
        );
    }
    if let Some(name) = some(|account| account.last_change.is_none() && account.state == "idle") {
        return stand(
            format!("{many}; the password of {name} was never changed yet."),
            format!("rotorctl rotate {name} --reason \"first change\""),
            "changes it now, and proves it",
        );
    }
    if accounts.iter().all(|account| account.next_run.is_none()) {
        return stand(
            format!("{many}; none of them is in a job, so nothing changes by itself."),
            "rotord check --explain schedule",
            "shows how a job is written",
        );
    }
    stand(
        format!("All is well: {many}, and nothing waits for you."),
        "rotorctl doctor",
        "checks host, config, accounts and devices",
    )
}

/// The command that follows a failure which names none itself.
pub(super) fn after(message: &str, exit: u8) -> Option<&'static str> {
    const COMMANDS: [&str; 12] = [
        "rotorctl ",
        "rotord ",
        "systemctl ",
        "chmod ",
        "chown ",
        "sudo ",
        "apt ",
        "ls ",
        "namei ",
        "--help",
        "--host-key",
        "sha256sum",
    ];
    if COMMANDS.iter().any(|command| message.contains(command)) {
        return None;
    }
    Some(match exit {
        2 if message.contains("in the config") => "rotorctl status",
        2 => "rotorctl --help",
        3 => "rotorctl status",
        4 | 5 => "rotorctl explain ACCOUNT",
        6 => "rotord check --explain operator",
        7 => "systemctl status rotord",
        _ => "rotorctl doctor",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(state: &str) -> AccountStatus {
        AccountStatus {
            waiting: None,
            account: "web1/admin".into(),
            state: state.into(),
            last_change: Some("2026-11-30T12:00:00Z".into()),
            next_run: Some("2026-12-01T02:30:00Z".into()),
            changes_24h: 0,
            cap: 2,
            last_error: None,
            verify_error: None,
            warning: None,
            overdue: false,
            totp_skew: 0,
        }
    }

    fn status(account: AccountStatus) -> StatusBody {
        StatusBody { accounts: vec![account], ..StatusBody::default() }
    }

    #[test]
    fn each_stand_has_the_command_that_comes_next() {
        let idle = || account("idle");
        for (status, next) in [
            (StatusBody::default(), "rotorctl device add"),
            (StatusBody { vault_error: Some("full".into()), ..status(idle()) }, "rotorctl doctor"),
            (status(account("quarantined")), "rotorctl explain web1/admin"),
            (status(account("new")), "rotorctl secret set web1/admin"),
            (status(AccountStatus { last_error: Some("x".into()), ..idle() }), "rotorctl explain web1/admin"),
            (status(AccountStatus { warning: Some("x".into()), ..idle() }), "rotorctl explain web1/admin"),
            (status(AccountStatus { overdue: true, ..idle() }), "rotorctl rotate web1/admin"),
            (status(AccountStatus { last_change: None, ..idle() }), "rotorctl rotate web1/admin"),
            (status(AccountStatus { next_run: None, ..idle() }), "rotord check --explain schedule"),
            (status(idle()), "rotorctl doctor"),
        ] {
            let found = of_daemon(&status);
            assert!(found.next.starts_with(next), "{found:?}");
            assert!(!found.told.is_empty() && !found.does.is_empty());
        }
        for (setup, next) in [
            (Setup::Nothing, "rotorctl init"),
            (Setup::Broken, "rotord check"),
            (Setup::Ready, "systemctl enable --now rotord"),
            (Setup::Hidden, "systemctl status rotord"),
        ] {
            assert_eq!(without_daemon(setup, "/run/x").next, next);
        }
    }

    #[test]
    fn a_failure_that_names_no_command_gets_one() {
        assert_eq!(after("nothing was stored; run 'rotorctl trust web1'", 2), None);
        assert_eq!(after("no account in the config matches 'web1/user1'", 2), Some("rotorctl status"));
        for exit in 1..=7 {
            assert!(
                after("it did not work", exit)
                    .is_some_and(|next| next.starts_with("rotor") || next.starts_with("systemctl"))
            );
        }
    }
}

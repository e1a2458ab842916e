//! `rotorctl device add` and `account add`: what is to be added is looked at, logged in to and rehearsed, and only then written
//! and stored. Until the last step nothing of it is kept anywhere.

mod draft;
mod evidence;
pub(super) mod file;
mod sshfp;
pub(super) mod whole;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

pub(crate) use draft::{AddArgs, DeviceArgs};

use super::output::{local, safe, say};
use super::remote::print;
use super::{Failure, input};
use crate::control::{
    Client, DoneBody, DraftBody, LookBody, LookedBody, OfferBody, ProgressBody, TemplatesBody, TriedBody, TryBody,
};
use crate::executor::terminal::KnownHosts;
use crate::model::printable_lines;
use draft::{Draft, typed};
use evidence::{FileSays, Standing, judge};
use whole::Change;

/// How the command deals with its caller.
#[derive(Debug, Clone, Copy)]
struct Manner {
    /// Nobody is asked.
    yes: bool,
    json: bool,
    rehearses: bool,
}

impl Manner {
    fn of(args: &AddArgs, json: bool) -> Self {
        let asks = std::io::stdin().is_terminal() && !json;
        Self { yes: args.yes || !asks, json, rehearses: !args.no_rehearsal }
    }

    /// Tells a person; with `--json` nobody.
    fn tell(self, text: &str) {
        if !self.json {
            say!("{text}");
        }
    }
}

pub(super) async fn device(client: &Client, args: DeviceArgs, json: bool) -> Result<u8, Failure> {
    let manner = Manner::of(&args.more, json);
    let mut draft = Draft::of_device(args)?;
    if draft.user.is_empty() {
        draft.user = ask(manner, "Account on it", "--user USERNAME")?;
    }
    add(client, draft, manner).await
}

pub(super) async fn account(
    client: &Client,
    account: &str,
    login_as: Option<String>,
    args: AddArgs,
    json: bool,
) -> Result<u8, Failure> {
    let manner = Manner::of(&args, json);
    add(client, Draft::of_account(account, login_as, args)?, manner).await
}

/// A line from the terminal.
fn ask(manner: Manner, question: &str, option: &str) -> Result<String, Failure> {
    if manner.yes {
        return Err(Failure::usage(format!("nobody can be asked here; give {option}")));
    }
    eprint!("{question}: ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(answer.trim().to_owned())
}

async fn add(client: &Client, mut draft: Draft, manner: Manner) -> Result<u8, Failure> {
    let stand_in = stand_in(client).await?;
    let looked = look(client, &draft, &stand_in).await?;
    let path = PathBuf::from(&looked.file);
    file::may_write(&path)?;
    agree_on_key(&mut draft, &looked, manner)?;
    ask_for_secrets(&mut draft, manner)?;
    let chosen = draft.template.is_some() || draft.address.is_none();
    if !chosen {
        draft.template = Some(recognise(client, &draft, &stand_in, manner).await?);
    }
    if manner.rehearses {
        manner.tell("Rehearsing the template up to its commit point; nothing is changed.");
        tried(client, &draft, &stand_in, "rehearse", manner).await?;
    } else if chosen {
        tried(client, &draft, &stand_in, "recognise", manner).await?;
    }
    let text = draft.config(&stand_in);
    manner.tell(&format!("\n{} will be:\n", path.display()));
    manner.tell(&printable_lines(&text.lines().map(|line| format!("    {line}\n")).collect::<String>()));
    if !manner.yes && ask(manner, "Write it and store the secrets? Type yes", "--yes")? != "yes" {
        return Err(Failure::usage("nothing was written or stored"));
    }
    let not_done = format!("{} was not added", draft.account());
    let change =
        Change { path: &path, text: &text, device: &draft.device, user: Some(&draft.user), not_done: &not_done };
    change.make::<_, DoneBody>(client, ("/v1/enroll", &draft.body())).await?;
    done(client, &draft, &path, manner).await
}

/// A template that stands in until one is chosen: a login needs none.
async fn stand_in(client: &Client) -> Result<String, Failure> {
    let body: TemplatesBody = client.get("/v1/templates", &[]).await?;
    let sound = || body.templates.iter().filter(|template| template.sound).map(|template| &template.name);
    let none = || {
        Failure::usage(
            "the daemon has no sound template: copy the shipped ones into a folder of template_dirs in [daemon], then reload it ('rotorctl template list' shows what it has)",
        )
    };
    // One without answers of its own to prompts of a login goes before others.
    let usual = sound().find(|name| name.rsplit('/').next() == Some("linux-passwd"));
    usual.or_else(|| sound().next()).cloned().ok_or_else(none)
}

fn body_of(draft: &Draft, stand_in: &str) -> DraftBody {
    DraftBody { name: draft.file.clone(), config: draft.config(stand_in) }
}

async fn look(client: &Client, draft: &Draft, stand_in: &str) -> Result<LookedBody, Failure> {
    let body = LookBody { draft: body_of(draft, stand_in), device: draft.device.clone() };
    Ok(client.post("/v1/enroll/look", &body).await?)
}

/// Host and port of an address, as far as they matter to a `known_hosts` file.
fn host_and_port(address: &str) -> (String, u16) {
    let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None if address.matches(':').count() == 1 => {
            address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port)))
        }
        None => (address, None),
    };
    (host.to_owned(), port.and_then(|port| port.parse().ok()).unwrap_or(22))
}

fn known_hosts_of(address: &str) -> Vec<FileSays> {
    let (host, port) = host_and_port(address);
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".ssh/known_hosts"));
    let files = home.into_iter().chain([PathBuf::from("/etc/ssh/ssh_known_hosts")]);
    files
        .filter_map(|file| {
            let known = KnownHosts::read(&file, &host, port).ok()?;
            let (fingerprints, revoked) = (known.fingerprints().collect(), known.revoked().collect());
            Some(FileSays { file: file.display().to_string(), fingerprints, revoked })
        })
        .collect()
}

/// Shows the host key beside what else tells of it, and takes it in where the caller, or something that may be trusted, vouches.
fn agree_on_key(draft: &mut Draft, looked: &LookedBody, manner: Manner) -> Result<(), Failure> {
    let Some(address) = draft.address.clone() else {
        // The device is in the config: its keys are on record, and the login judges this one.
        return Ok(());
    };
    let (host, _) = host_and_port(&address);
    let (standing, lines) = judge(looked, &known_hosts_of(&address), &sshfp::ask(&host));
    let greeting = looked.greeting.lines().next().unwrap_or_default();
    manner.tell(&format!(
        "{} at {address} ({}) shows the host key\n  {}",
        draft.device,
        safe(greeting),
        looked.fingerprint
    ));
    lines.iter().for_each(|line| manner.tell(&format!("  - {}", safe(line))));
    if let Some(wanted) = &draft.host_key {
        if *wanted != looked.fingerprint {
            return Err(Failure::usage(format!(
                "the device shows {}, and not the key that was named; nothing was stored. If it is the right one: --host-key {}",
                looked.fingerprint, looked.fingerprint
            )));
        }
        return Ok(());
    }
    let with_key = format!("--host-key {}", looked.fingerprint);
    match standing {
        Standing::Vouched if manner.yes => {}
        _ if manner.yes => {
            return Err(Failure::usage(format!(
                "nothing that may be trusted vouches for this host key ({}); compare it with what the device itself says (ssh-keygen -lf), then add: {with_key}",
                lines.join("; ")
            )));
        }
        _ => {
            if standing == Standing::Contradicted {
                manner.tell("If nobody replaced the device or its keys, somebody else may answer in its place.");
            }
            if ask(manner, "Compare it with what the device itself says. Is it right? Type yes", &with_key)? != "yes" {
                return Err(Failure::usage("nothing was written or stored"));
            }
        }
    }
    draft.host_key = Some(looked.fingerprint.clone());
    Ok(())
}

fn ask_for_secrets(draft: &mut Draft, manner: Manner) -> Result<(), Failure> {
    let has_key = draft.secrets.ssh_key.is_some();
    if manner.yes {
        if draft.secrets.password.is_none() && !has_key {
            return Err(Failure::usage(
                "nobody can be asked for the password here; put password and totp into the file of --from, of mode 0600",
            ));
        }
        return Ok(());
    }
    if draft.secrets.password.is_none() {
        draft.secrets.password = typed(input::secret(&format!("Password of {}", draft.account()), false)?);
    }
    if draft.secrets.totp.is_none() {
        draft.secrets.totp = typed(input::secret("Seed of its codes (Base32 or otpauth://; Enter for none)", false)?);
    }
    Ok(())
}

/// Logs in, looks at the device, and lets the caller choose among the templates that fit.
async fn recognise(client: &Client, draft: &Draft, stand_in: &str, manner: Manner) -> Result<String, Failure> {
    manner.tell("Logging in to see what the device is; nothing is changed.");
    let found = tried(client, draft, stand_in, "recognise", manner).await?;
    let Some(OfferBody { template, reason }) = found.offers.first() else {
        let prompt = found.prompt.map_or_else(String::new, |prompt| format!(" (its prompt is \"{}\")", safe(&prompt)));
        manner.tell(&format!("The login works, but nobody knows from what the device shows what it is{prompt}."));
        return ask(manner, "Template ('rotorctl template list' has all)", "--template TEMPLATE");
    };
    manner.tell(&format!("Template {template}: {}", safe(reason)));
    let others: Vec<&str> = found.offers.iter().skip(1).take(5).map(|offer| offer.template.as_str()).collect();
    if manner.yes {
        return Ok(template.clone());
    }
    if !others.is_empty() {
        manner.tell(&format!("  it may also be: {}", others.join(", ")));
    }
    let chosen = ask(manner, &format!("Template [{template}]"), "--template TEMPLATE")?;
    Ok(if chosen.is_empty() { template.clone() } else { chosen })
}

/// Tries the account and shows each step; anything but success is a failure, and leaves nothing.
async fn tried(
    client: &Client,
    draft: &Draft,
    stand_in: &str,
    what: &str,
    manner: Manner,
) -> Result<TriedBody, Failure> {
    let body = TryBody { draft: body_of(draft, stand_in), account: draft.body(), what: what.to_owned() };
    let (mut last, mut refused) = (None, None);
    let show = |line: &str| {
        if let Ok(progress) = serde_json::from_str::<ProgressBody>(line) {
            manner.tell(&format!("{}  {}", local(Some(&progress.step.at)), safe(&progress.step.text)));
        } else if let Ok(tried) = serde_json::from_str::<TriedBody>(line) {
            last = Some(tried);
        } else if let Ok(error) = serde_json::from_str::<crate::control::ErrorBody>(line) {
            refused = Some(error);
        }
    };
    client.post_lines("/v1/enroll/try", &body, show).await?;
    if let Some(error) = refused {
        return Err(Failure { message: error.error, exit: error.exit });
    }
    let Some(tried) = last else {
        let path = client.socket().display().to_string();
        return Err(crate::control::ClientError::Ended { path, asked_to_act: false }.into());
    };
    if tried.result.outcome != "done" {
        let (name, command) = (draft.account(), if draft.address.is_some() { "device add" } else { "account add" });
        return Err(Failure {
            message: format!(
                "{name} was not added, and nothing of it was stored: {}\nWhen that is mended, run 'rotorctl {command}' again.",
                tried.result.detail
            ),
            exit: 4,
        });
    }
    Ok(tried)
}

async fn done(client: &Client, draft: &Draft, path: &Path, manner: Manner) -> Result<u8, Failure> {
    let account = draft.account();
    let status: crate::control::StatusBody = client.get("/v1/status", &[("account", &account)]).await?;
    let next_run = status.accounts.first().and_then(|found| found.next_run.clone());
    let next = format!("rotorctl rotate {account} --reason \"first change\"");
    if manner.json {
        let template = draft.template.as_deref();
        return print(&serde_json::json!({
            "account": account, "file": path.display().to_string(), "template": template,
            "host_key": draft.host_key, "next_run": next_run, "next": next,
        }));
    }
    say!("{account} is added: {} is written and in force, and its secrets are in the vault.", path.display());
    if let Some(source) = &draft.source {
        say!("Its secrets still stand in {0}; remove it: shred -u {0}", source.display());
    }
    match next_run {
        Some(at) => say!("Its password changes next at {}.", local(Some(&at))),
        None => {
            say!("It is in no job, so its password does not change by itself: see 'rotord check --explain schedule'.")
        }
    }
    say!("Next:  {next}");
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn an_address_is_taken_apart_as_the_config_takes_it() {
        for (address, expected) in [
            ("192.0.2.10", ("192.0.2.10", 22)),
            ("192.0.2.10:2222", ("192.0.2.10", 2222)),
            ("web1.example.org:22", ("web1.example.org", 22)),
            ("2001:db8::1", ("2001:db8::1", 22)),
            ("[2001:db8::1]:2222", ("2001:db8::1", 2222)),
            ("[2001:db8::1]", ("2001:db8::1", 22)),
        ] {
            assert_eq!(host_and_port(address), (expected.0.to_owned(), expected.1), "{address}");
        }
    }
}

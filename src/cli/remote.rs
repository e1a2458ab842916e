//! Commands that ask the daemon.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use clap::CommandFactory;

use super::args::{
    AccountCommand, Args, Command, DeviceCommand, EscrowCommand, KeyCommand, ScheduleCommand, SecretCommand, Selection,
    SshKeyCommand, StatusArgs, TemplateCommand, TotpCommand,
};
use super::output::{in_its_zone, local, paint, put, safe, say, table};
use super::progress::{Progress, counted, ticking};
use super::{
    Failure, add, audit, backup, browse, check, doctor, events, exporter, init, input, live, local as here, otp, qr,
    record, report, stand, status, templates, top, web,
};
use crate::control::{
    AckBody, BrowseBody, Client, ClientError, CountBody, DoneBody, ExplainBody, HistoryBody, HostKeyBody, KeyBody,
    ProgressBody, RehearseBody, RekeyBody, ResolveBody, ResultBody, ResultsBody, ScheduleBody, ScreenshotBody,
    SecretBody, SecretText, Selection as SelectionBody, ShowBody, ShownBody, TemplateText, TemplatesBody, TrustBody,
    WorkBody,
};
use crate::model::{Secret, printable_lines};
use crate::vault::{VaultKey, hand_over};

pub(super) async fn run(args: Args) -> Result<u8, Failure> {
    let timeout = args.timeout.map(Duration::from_secs);
    let client = Client::new(args.socket).patient(timeout, |socket| {
        eprintln!(
            "rotorctl: the daemon at {} does not answer; still waiting (--timeout SECONDS ends it)",
            socket.display()
        );
    });
    let json = args.json;
    let Some(command) = args.command else { return stand::run(&client, json).await };
    match command {
        Command::Status(args) => status::run(&client, &args, json).await,
        Command::Top { accounts } => {
            if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
                return Err(Failure::usage("top needs a terminal; elsewhere: rotorctl status"));
            }
            top::run(&client, &StatusArgs { accounts, ..StatusArgs::default() }).await
        }
        Command::Rotate { selection, reason, no_wait } => {
            work(&client, "/v1/rotate", selection, reason, no_wait, json).await
        }
        Command::Verify { accounts, reason } => {
            let selection = Selection { accounts, job: None, all: false };
            work(&client, "/v1/verify", selection, reason, false, json).await
        }
        Command::Reconcile { accounts, reason } => {
            let selection = Selection { accounts, job: None, all: false };
            work(&client, "/v1/reconcile", selection, reason, false, json).await
        }
        Command::Explain { account } => explain(&client, &account, json).await,
        Command::Resolve { account, device_has, reason } if device_has == "ask" => {
            let selection = Selection { accounts: vec![account], job: None, all: false };
            work(&client, "/v1/verify", selection, reason, false, json).await
        }
        Command::Resolve { account, device_has, reason } => {
            done(client.post("/v1/resolve", &ResolveBody { account, device_has, reason }).await?, json)
        }
        Command::Ack { accounts, reason } => done(client.post("/v1/ack", &AckBody { accounts, reason }).await?, json),
        Command::Otp(args) => otp::run(&client, args, json).await,
        Command::Secret { command: SecretCommand::Set { account, field } } => {
            let value = input::secret(&field.clone().unwrap_or_else(|| "Password".into()), true)?;
            done(client.post("/v1/secret/set", &SecretBody { account, field, value }).await?, json)
        }
        Command::Secret { command: SecretCommand::Show { account, reason, history } } => {
            secret_show(&client, ShowBody { account, reason }, history, json).await
        }
        Command::Totp { command: TotpCommand::Set { account, qr } } => {
            let value = match qr {
                Some(picture) => SecretText(qr::seed_in(&picture)?),
                None => input::secret("Seed (Base32 or otpauth://)", false)?,
            };
            done(client.post("/v1/totp/set", &KeyBody { account, value }).await?, json)
        }
        Command::SshKey { command: SshKeyCommand::Set { account } } => {
            let value = input::private_key()?;
            done(client.post("/v1/ssh-key/set", &KeyBody { account, value }).await?, json)
        }
        Command::Import(args) => super::import::import(&client, &args, json).await,
        Command::Trust { device, yes, reason } => trust(&client, device, yes, reason, json).await,
        Command::Init(args) => init::run(args, json),
        Command::Doctor(args) => doctor::run(&client, args, json).await,
        Command::Device { command: DeviceCommand::Add(args) } => add::device(&client, args, json).await,
        Command::Account { command: AccountCommand::Add { account, login_as, more } } => {
            add::account(&client, &account, login_as, more, json).await
        }
        Command::History { account, screenshot: Some(file) } => screenshot(&client, &account, &file, json).await,
        Command::History { account, .. } => history(&client, &account, json).await,
        Command::Browser { account } => live::run(client, &account).await,
        Command::Browse { account, reason, lasts } => {
            browse::run(client, BrowseBody { account, reason, seconds: lasts.as_secs() }, json).await
        }
        Command::Schedule { command: ScheduleCommand::Next { job, count } } => {
            schedule(&client, &job, count, json).await
        }
        Command::Pause { selection } => done(client.post("/v1/pause", &selected(selection)).await?, json),
        Command::Resume { selection } => done(client.post("/v1/resume", &selected(selection)).await?, json),
        Command::Template { command } => match command {
            TemplateCommand::Check { explain: Some(code), .. } => templates::explain(&code, json),
            TemplateCommand::Check { paths, fix, format, .. } => {
                templates::check(&paths, fix, if json { "json" } else { &format })
            }
            TemplateCommand::Run { name, against: Some(against), trace, templates, .. } => {
                templates::run(&name, &against, trace, &templates, json)
            }
            TemplateCommand::Run { name, device, account, .. } => {
                rehearse(&client, &name, device.unwrap_or_default(), account, json).await
            }
            TemplateCommand::Record { name, device, account } => {
                record::run(&client, &name, device, account, json).await
            }
            TemplateCommand::Test { paths, templates } => templates::test(&paths, &templates, json),
            TemplateCommand::New { name } => templates::new(&name),
            TemplateCommand::List { search } => list_templates(&client, &search, json).await,
            TemplateCommand::Show { name } => template(&client, &name, json).await,
        },
        Command::Notify { command } => super::notify::run(&client, command, json).await,
        Command::Audit { command } => audit::run(&client, command, json).await,
        Command::Events(args) => events::run(&client, args, json).await,
        Command::Check(args) => check::run(&client, &args, json).await,
        Command::Exporter(args) => exporter::run(client, args).await,
        Command::Key { command: KeyCommand::New { file } } => here::key_new(&file, json),
        Command::Key { command: KeyCommand::Rotate { file } } => key_rotate(&client, &file, json).await,
        Command::Key { command: KeyCommand::Recovery { file } } => here::key_recovery(&file, json),
        Command::Backup { file, recipient, recovery_key } => {
            backup::write(&client, &file, recipient, recovery_key, json).await
        }
        Command::Escrow { command: EscrowCommand::Open { path, identity, account, history } } => {
            here::escrow_open(&path, &identity, account.as_deref(), history, json)
        }
        Command::Report(args) => report::run(&client, &args, json).await,
        Command::Web(args) => web::run(client, args, json).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "rotorctl", &mut script);
            put!("{}", String::from_utf8_lossy(&script));
            Ok(0)
        }
    }
}

fn selected(selection: Selection) -> SelectionBody {
    SelectionBody { accounts: selection.accounts, job: selection.job, all: selection.all }
}

pub(super) fn print<T: serde::Serialize>(body: &T) -> Result<u8, Failure> {
    say!("{}", serde_json::to_string(body).map_err(|error| Failure::unexpected(error.to_string()))?);
    Ok(0)
}

pub(super) fn done(body: DoneBody, json: bool) -> Result<u8, Failure> {
    if json {
        return print(&body);
    }
    say!("{}", safe(&body.done));
    Ok(0)
}

/// The exit status of an outcome.
pub(super) fn exit_of(outcome: &str) -> u8 {
    match outcome {
        "done" | "accepted" => 0,
        "refused" => 3,
        "failed" => 4,
        _ => 5,
    }
}

async fn work(
    client: &Client,
    path: &str,
    selection: Selection,
    reason: Option<String>,
    no_wait: bool,
    json: bool,
) -> Result<u8, Failure> {
    // Who waits is told at once that it was heard, and each step as it happens: so a daemon that is gone is noticed.
    let Selection { accounts, job, all } = selection;
    let body = WorkBody { accounts, job, all, reason, no_wait, stream: !no_wait };
    let mut begun: BTreeSet<String> = body.accounts.iter().filter(|name| !is_glob(name)).cloned().collect();
    let results: Result<ResultsBody, ClientError> = if body.stream {
        streamed(client, path, &body, json, &mut begun).await
    } else {
        client.post(path, &body).await
    };
    let results = results.map_err(|error| left_in_the_dark(error, &begun))?;
    if json {
        print(&results)?;
    } else {
        for result in &results.results {
            let sgr = match (result.outcome.as_str(), &result.warning) {
                ("done", None) | ("accepted", _) => 32,
                ("done", Some(_)) => 33,
                _ => 31,
            };
            say!("{}: {} - {}", result.account, paint(&result.outcome, sgr), safe(&result.detail));
        }
        // What failed for itself says what to do, mostly.
        let silent = |result: &&ResultBody| exit_of(&result.outcome) != 0 && !result.detail.contains("rotorctl ");
        for result in results.results.iter().filter(silent).take(3) {
            eprintln!("Next: rotorctl explain {}", safe(&result.account));
        }
    }
    Ok(results.results.iter().map(|result| exit_of(&result.outcome)).max().unwrap_or(0))
}

/// Shows steps as they happen, and returns the results that end the stream.
async fn streamed(
    client: &Client,
    path: &str,
    body: &WorkBody,
    json: bool,
    begun: &mut BTreeSet<String>,
) -> Result<ResultsBody, ClientError> {
    let mut results = None;
    let (bar, count) = (RefCell::new(Progress::new()), Cell::new(None));
    let told = |elapsed: Duration| {
        let count: Option<CountBody> = count.get();
        count.map_or_else(String::new, |count| counted(count.finished, count.accounts, "accounts", elapsed))
    };
    let lines = client.post_lines(path, body, |line| {
        if let Ok(progress) = serde_json::from_str::<ProgressBody>(line) {
            if !json {
                bar.borrow_mut().clear();
                say!("{} {}: {}", local(Some(&progress.step.at)), progress.account, safe(&progress.step.text));
            }
            begun.insert(progress.account);
        } else if let Ok(last) = serde_json::from_str::<ResultsBody>(line) {
            results = Some(last);
        } else if let Ok(now) = serde_json::from_str::<CountBody>(line) {
            count.set(Some(now));
        }
        if count.get().is_some() {
            bar.borrow_mut().show(told);
        }
    });
    ticking(&bar, told, lines).await?;
    let path = client.socket().display().to_string();
    results.ok_or(ClientError::Ended { path, asked_to_act: true })
}

fn is_glob(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// Where the daemon was lost while it worked: what to type once it runs again.
fn left_in_the_dark(error: ClientError, begun: &BTreeSet<String>) -> Failure {
    const SHOWN: usize = 3;
    if error.exit() != 5 {
        return error.into();
    }
    let mut commands: Vec<String> =
        begun.iter().take(SHOWN).map(|account| format!("rotorctl explain {}", safe(account))).collect();
    if commands.is_empty() {
        commands.push("rotorctl explain ACCOUNT".to_owned());
    }
    let more = begun.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("; and for {more} more accounts") } else { String::new() };
    Failure {
        message: format!(
            "{error}. rotord finds out by itself how it stands once it runs again; ask then: {}{more}",
            commands.join("; ")
        ),
        exit: 5,
    }
}

async fn secret_show(client: &Client, asked: ShowBody, history: bool, json: bool) -> Result<u8, Failure> {
    let mut body: ShownBody = client.post("/v1/secret/show", &asked).await?;
    if !history {
        body.history.clear();
    }
    if json {
        return print(&body);
    }
    say!("{}", body.password.0.expose());
    for former in &body.history {
        let until = former
            .until
            .as_deref()
            .map_or_else(|| "now (its fate is not known yet)".into(), |until| local(Some(until)));
        say!("{}  from {} until {until}", former.password.0.expose(), local(Some(&former.from)));
    }
    Ok(0)
}

/// What a device shows, and what of it is on record.
fn told_key(shown: &HostKeyBody) -> String {
    let warning = shown.warning.as_ref().map_or_else(String::new, |warning| format!("warning: {}\n", safe(warning)));
    warning + key_of(shown).as_str()
}

/// The key and how it stands to what is on record.
fn key_of(shown: &HostKeyBody) -> String {
    let key = format!("{}\n  {}", shown.fingerprint, shown.key);
    if shown.changed {
        let known = shown.known.join("\n  ");
        return format!(
            "The host key of {} has CHANGED. On record is:\n  {known}\nIt shows now:\n  {key}\nIf nobody replaced the device or its keys, somebody else may answer in its place.",
            shown.device
        );
    }
    let known = if shown.known.contains(&shown.fingerprint) { ", which is on record" } else { "" };
    format!("{} shows this host key{known}:\n  {key}", shown.device)
}

async fn trust(
    client: &Client,
    device: String,
    yes: Option<String>,
    reason: Option<String>,
    json: bool,
) -> Result<u8, Failure> {
    let ask = |fingerprint| TrustBody { device: device.clone(), fingerprint, reason: reason.clone() };
    let confirmed = match yes {
        Some(fingerprint) => fingerprint,
        None => {
            let shown: HostKeyBody = client.post("/v1/trust", &ask(None)).await?;
            if json || !std::io::stdin().is_terminal() {
                if json {
                    print(&shown)?;
                } else {
                    say!("{}", told_key(&shown));
                }
                return Err(Failure::usage(format!(
                    "nothing was stored; after comparing, run: rotorctl trust {device} --yes {}",
                    shown.fingerprint
                )));
            }
            say!("{}\nCompare it with what the device itself says.", told_key(&shown));
            eprint!("Store it? Type yes: ");
            let mut answer = String::new();
            std::io::stdin().read_line(&mut answer).map_err(|error| Failure::usage(error.to_string()))?;
            if answer.trim() != "yes" {
                return Err(Failure::usage("nothing was stored"));
            }
            shown.fingerprint
        }
    };
    let stored: HostKeyBody = client.post("/v1/trust", &ask(Some(confirmed))).await?;
    if json {
        return print(&stored);
    }
    say!("the host key {} of {} is stored", stored.fingerprint, stored.device);
    if let Some(warning) = &stored.warning {
        say!("warning: {}", safe(warning));
    }
    Ok(0)
}

async fn history(client: &Client, account: &str, json: bool) -> Result<u8, Failure> {
    let body: HistoryBody = client.get("/v1/history", &[("account", account)]).await?;
    if json {
        return print(&body);
    }
    for attempt in &body.attempts {
        let by = attempt.actor.as_ref().map_or_else(String::new, |actor| format!(" of {actor}"));
        let outcome = attempt.outcome.as_deref().unwrap_or("under way");
        let job = attempt.job.as_ref().map_or_else(String::new, |job| format!(" of job {}", safe(job)));
        let reason = attempt.reason.as_ref().map_or_else(String::new, |why| format!(", reason «{}»", safe(why)));
        say!(
            "{} {} by {}{job}{by}{reason}: {outcome} - {} (attempt {})",
            local(Some(&attempt.started)),
            attempt.kind,
            attempt.trigger,
            safe(attempt.detail.as_deref().unwrap_or("")),
            attempt.attempt
        );
        for step in &attempt.steps {
            say!("    {} {}", local(Some(&step.at)), safe(&step.text));
        }
    }
    Ok(0)
}

async fn screenshot(client: &Client, account: &str, file: &Path, json: bool) -> Result<u8, Failure> {
    let body: ScreenshotBody = client.get("/v1/screenshot", &[("account", account)]).await?;
    let broken = || Failure::unexpected("the daemon's picture cannot be read");
    let jpeg = data_encoding::BASE64.decode(body.jpeg.as_bytes()).map_err(|_| broken())?;
    let mut open = std::fs::OpenOptions::new();
    let created = std::os::unix::fs::OpenOptionsExt::mode(open.write(true).create_new(true), 0o600).open(file);
    let written = created.and_then(|mut open| open.write_all(&jpeg));
    written.map_err(|error| Failure::unexpected(format!("{}: {error}", file.display())))?;
    let told = format!("{}: the page of {}, attempt {}", file.display(), local(Some(&body.taken)), body.attempt);
    done(DoneBody { done: told }, json)
}

async fn explain(client: &Client, account: &str, json: bool) -> Result<u8, Failure> {
    let body: ExplainBody = client.get("/v1/explain", &[("account", account)]).await?;
    if json {
        return print(&body);
    }
    let since = body.since.as_ref().map_or_else(String::new, |since| format!(" since {}", local(Some(since))));
    say!("{} is {}{since}.", body.account, paint(&body.state, 1));
    body.means.iter().for_each(|sentence| say!("{}", safe(sentence)));
    if let Some(why) = &body.why {
        say!("\nWhy: {}", safe(why));
    }
    if !body.tried.is_empty() {
        say!("\nTried last:");
        body.tried.iter().for_each(|line| say!("  {}", safe(line)));
    }
    if !body.next.is_empty() {
        say!("\nNext:");
        let width = body.next.iter().map(|next| next.command.chars().count()).max().unwrap_or(0);
        for next in &body.next {
            say!("  {:<width$}  {}", safe(&next.command), safe(&next.what));
        }
    }
    Ok(0)
}

async fn schedule(client: &Client, job: &str, count: usize, json: bool) -> Result<u8, Failure> {
    let body: ScheduleBody = client.get("/v1/schedule", &[("job", job), ("count", &count.to_string())]).await?;
    if json {
        return print(&body);
    }
    let rows: Vec<Vec<String>> =
        body.runs.iter().map(|run| vec![in_its_zone(&run.local), in_its_zone(&run.utc)]).collect();
    say!("{}", table(&[&body.timezone, "UTC"], &rows));
    Ok(0)
}

/// Whoever owns the socket reads the key at the next start.
fn give_to_the_daemon(client: &Client, key: &Path) -> std::io::Result<()> {
    let daemon = client.socket().metadata()?;
    hand_over(key, (daemon.uid(), daemon.gid()))?;
    if key.metadata()?.uid() == daemon.uid() { Ok(()) } else { Err(std::io::Error::other("it is yours")) }
}

async fn key_rotate(client: &Client, file: &Path, json: bool) -> Result<u8, Failure> {
    let file = std::path::absolute(file).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    let key = VaultKey::create(&file).map_err(|error| Failure::usage(error.to_string()))?;
    let owned = give_to_the_daemon(client, &file);
    let text = Secret::new(data_encoding::BASE64.encode(key.bytes()));
    let body = RekeyBody { key: SecretText(text), file: file.display().to_string() };
    match client.post("/v1/key/rotate", &body).await {
        Ok(body) => {
            if let Err(why) = owned {
                eprintln!("The daemon's user must own {}, or rotord does not start again: {why}", file.display());
            }
            done(body, json)
        }
        // Nobody took the key. After any other failure it may be the one in force, and stays.
        Err(error) if matches!(error.exit(), 2 | 6 | 7) => {
            drop(std::fs::remove_file(&file));
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}

async fn rehearse(
    client: &Client,
    name: &str,
    device: String,
    account: Option<String>,
    json: bool,
) -> Result<u8, Failure> {
    let file = Path::new(name);
    let text = if file.is_file() {
        let most = u64::try_from(crate::template::MAX_BYTES).unwrap_or(u64::MAX);
        Some(crate::files::read_text(file, most).map_err(|error| Failure::usage(format!("{name}: {error}")))?)
    } else {
        None
    };
    let body = RehearseBody { device, account, template: Some(name.to_owned()), text };
    let result: ResultBody = client.post("/v1/template/rehearse", &body).await?;
    let exit = if result.outcome == "done" { 0 } else { 1 };
    if json {
        print(&ResultsBody { results: vec![result] })?;
        return Ok(exit);
    }
    say!("template {}, up to its commit point", safe(name));
    result.steps.iter().for_each(|step| say!("{}  {}", local(Some(&step.at)), safe(&step.text)));
    say!("{}: {}", result.account, safe(&result.detail));
    Ok(exit)
}

async fn list_templates(client: &Client, words: &[String], json: bool) -> Result<u8, Failure> {
    let mut body: TemplatesBody = client.get("/v1/templates", &[]).await?;
    body.templates.retain(|template| templates::has_words(template, words));
    if json {
        return print(&body);
    }
    let rows: Vec<Vec<String>> = body
        .templates
        .into_iter()
        .map(|template| {
            vec![
                template.name,
                if template.sound { "sound".into() } else { "has errors".into() },
                safe(&template.about),
                template.file,
            ]
        })
        .collect();
    say!("{}", table(&["NAME", "STATE", "FOR", "FILE"], &rows));
    Ok(0)
}

async fn template(client: &Client, name: &str, json: bool) -> Result<u8, Failure> {
    let body: TemplateText = client.get("/v1/template", &[("name", name)]).await?;
    if json {
        return print(&body);
    }
    // On a terminal it is looked at; elsewhere it is kept, byte for byte.
    let text = if std::io::stdout().is_terminal() { printable_lines(&body.text) } else { body.text };
    put!("{text}");
    Ok(0)
}

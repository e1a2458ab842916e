//! `rotorctl import`: secrets from rotord's own CSV; devices, accounts and secrets from files of other programs.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;
use zeroize::Zeroizing;

use super::add::file::may_write;
use super::add::whole::{Change, Taken};
use super::output::{safe, say};
use super::progress::Progress;
use super::remote::print;
use super::{Failure, input, qr};
use crate::control::{
    Client, DraftBody, ImportBody, ImportLookBody, ImportLookedBody, ImportRow, ImportedBody, ImportedKey, SecretText,
    SkippedBody, TemplatesBody,
};
use crate::import::{
    AcceptedKey, FORMATS, Format, KnownDevice, Plan, PlannedKey, Row, Wishes, detect, needs_passphrase, plan, read,
};
use crate::model::{Secret, printable_lines};
use crate::totp::Seed;

/// The first bytes of a PNG picture.
const PNG: [u8; 4] = [0x89, b'P', b'N', b'G'];

/// What `import` takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct ImportArgs {
    /// The file, or - for stdin.
    pub(crate) file: PathBuf,
    /// Store passwords too that rotord has replaced since, or whose account is between two.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// The format, where the file does not tell it: rotord, csv, keepass, bitwarden, aegis, otpauth, ansible, ssh-config, known-hosts.
    #[arg(long, value_name = "NAME")]
    pub(crate) format: Option<String>,
    /// Do it: write the file in config.d, and store the secrets and host keys.
    #[arg(long)]
    pub(crate) apply: bool,
    /// The template of devices that come into the config and of which the file does not tell the kind.
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) template: Option<String>,
    /// The name of the file in config.d, without .toml; without it that of the imported file.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Take this host key of a `known_hosts` file though another one is on record for its device; may be given several times.
    #[arg(long, value_name = "DEVICE=SHA256:…")]
    pub(crate) accept_key: Vec<String>,
}

/// A file that was read.
struct Source {
    format: Format,
    bytes: Zeroizing<Vec<u8>>,
}

impl Source {
    fn read(args: &ImportArgs) -> Result<Self, Failure> {
        let named = args.format.as_deref().map(|name| {
            let known = FORMATS.map(|(known, _)| known).join(", ");
            Format::named(name).ok_or_else(|| Failure::usage(format!("--format {name}: the formats are {known}")))
        });
        let bytes = input::bytes_of(&args.file)?;
        if bytes.starts_with(&PNG) {
            let bytes = Zeroizing::new(qr::uris_in(&args.file)?.as_bytes().to_vec());
            return Ok(Self { format: Format::Otpauth, bytes });
        }
        let detected = match named {
            Some(format) => Some(format?),
            None => detect(&bytes),
        };
        // What is none of the others is told what rotord's own CSV has to be.
        let is_text =
            bytes.starts_with(&[0xff, 0xfe]) || !bytes.contains(&0) && !bytes.trim_ascii_start().starts_with(b"{");
        let format = detected.or_else(|| is_text.then_some(Format::Own));
        let format = format.ok_or_else(|| Self::fail(&args.file, &crate::import::ImportError::Unknown))?;
        Ok(Self { format, bytes })
    }

    fn fail(file: &Path, error: &crate::import::ImportError) -> Failure {
        let file = input::told(file);
        let remedy = match error {
            crate::import::ImportError::Passphrase => format!("type it again: rotorctl import {file}"),
            _ => "'rotorctl import --help' lists the formats, and --format names one".to_owned(),
        };
        Failure::usage(format!("{file}: {error}; {remedy}"))
    }
}

pub(super) async fn import(client: &Client, args: &ImportArgs, json: bool) -> Result<u8, Failure> {
    let source = Source::read(args)?;
    if source.format == Format::Own {
        return own(client, args, source.bytes, json).await;
    }
    let is_locked = needs_passphrase(source.format, &source.bytes);
    warn_of_readers(args, source.format, is_locked);
    let passphrase = if is_locked { Some(passphrase_for(args)?) } else { None };
    let found = read(source.format, &source.bytes, passphrase.as_ref());
    let found = found.map_err(|error| Source::fail(&args.file, &error))?;
    drop(source.bytes);
    let wishes = wishes(client, args).await?;
    let looked: ImportLookedBody = client.post("/v1/import/look", &ImportLookBody::default()).await?;
    let plan = plan(found, &known(looked), &wishes);
    all_accepted(&wishes, &plan)?;
    let draft = plan.sections(&file_name(&args.file)).map(|config| DraftBody { name: name_of(args), config });
    let path = match &draft {
        Some(draft) => checked(client, draft).await?,
        None => None,
    };
    let told = Told { args, format: source.format, plan: &plan, path: path.as_deref(), draft: draft.as_ref() };
    if plan.is_empty() {
        return told.nothing(json);
    }
    if !args.apply {
        return told.dry_run(json);
    }
    let done = apply(client, args, &plan, draft.as_ref(), path.as_deref()).await?;
    told.done(&done, json)
}

/// rotord's own CSV: its secrets are stored at once.
async fn own(client: &Client, args: &ImportArgs, bytes: Zeroizing<Vec<u8>>, json: bool) -> Result<u8, Failure> {
    let name = if args.file == Path::new("-") { "stdin".to_owned() } else { input::told(&args.file) };
    let rows = input::import_rows(&input::text_of(bytes, &name)?)?;
    let body = ImportBody { rows, overwrite: args.overwrite, take_in: false, host_keys: Vec::new() };
    let what = storing(&body.rows);
    let imported: ImportedBody = Progress::new().wait(&what, client.post("/v1/import", &body)).await?;
    if json {
        return print(&imported);
    }
    tell_stored(&imported);
    Ok(0)
}

/// What is done while an import is waited for.
fn storing(rows: &[ImportRow]) -> String {
    let secrets = rows.iter().map(|row| usize::from(row.password.is_some()) + usize::from(row.totp.is_some()));
    format!("storing {} secrets", secrets.sum::<usize>())
}

fn tell_stored(imported: &ImportedBody) {
    say!("{}", safe(&imported.done));
    for SkippedBody { line, account, why } in &imported.skipped {
        say!("line {line}: {}: {}", safe(account), safe(why));
    }
}

/// Whether a file of this format holds secrets that its removal hides.
fn holds_secrets(format: Format) -> bool {
    !matches!(format, Format::SshConfig | Format::KnownHosts)
}

fn warn_of_readers(args: &ImportArgs, format: Format, is_locked: bool) {
    let mode = std::fs::metadata(&args.file).map_or(0, |found| found.mode());
    if holds_secrets(format) && !is_locked && mode & 0o077 != 0 && args.file != Path::new("-") {
        let file = args.file.display();
        eprintln!("warning: others can read {file}, and secrets stand in it: chmod 600 {file}");
    }
}

fn passphrase_for(args: &ImportArgs) -> Result<Secret, Failure> {
    if args.file == Path::new("-") {
        return Err(Failure::usage(
            "stdin is the database, and its passphrase cannot come from there too; name the file",
        ));
    }
    input::secret(&format!("Passphrase of {}", input::told(&args.file)), false).map(|SecretText(secret)| secret)
}

async fn wishes(client: &Client, args: &ImportArgs) -> Result<Wishes, Failure> {
    let body: TemplatesBody = client.get("/v1/templates", &[]).await?;
    let templates: Vec<String> =
        body.templates.into_iter().filter(|template| template.sound).map(|template| template.name).collect();
    let is_there =
        |wanted: &String| templates.iter().any(|name| name == wanted || name.rsplit('/').next() == Some(wanted));
    if let Some(wanted) = &args.template
        && !is_there(wanted)
    {
        return Err(Failure::usage(format!("there is no sound template '{wanted}'; see 'rotorctl template list'")));
    }
    Ok(Wishes { template: args.template.clone(), templates, accepted: accepted(args)? })
}

/// The host keys that the caller names.
fn accepted(args: &ImportArgs) -> Result<Vec<AcceptedKey>, Failure> {
    let parse = |text: &String| {
        let key = AcceptedKey::parse(text);
        key.ok_or_else(|| {
            Failure::usage(format!("--accept-key {text}: write DEVICE=SHA256:…, as 'rotorctl import FILE' shows it"))
        })
    };
    args.accept_key.iter().map(parse).collect()
}

/// A key that is named, and that the file does not have for the device, was mistyped.
fn all_accepted(wishes: &Wishes, plan: &Plan) -> Result<(), Failure> {
    let is_missing = |wanted: &&AcceptedKey| {
        !plan.keys.iter().any(|key| key.device == wanted.device && key.fingerprint == wanted.fingerprint)
    };
    wishes.accepted.iter().find(is_missing).map_or(Ok(()), |AcceptedKey { device, fingerprint }| {
        Err(Failure::usage(format!(
            "--accept-key {device}={fingerprint}: the file has no such key for {device} that is not on record; nothing was stored"
        )))
    })
}

fn known(looked: ImportLookedBody) -> Vec<KnownDevice> {
    let device = |it: crate::control::ImportDevice| KnownDevice {
        name: it.name,
        host: it.host,
        port: it.port,
        users: it.users,
        fingerprints: it.fingerprints,
        jump: it.jump,
    };
    looked.devices.into_iter().map(device).collect()
}

fn file_name(file: &Path) -> String {
    file.file_name().map_or_else(|| "stdin".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The name of the file in `config.d`.
fn name_of(args: &ImportArgs) -> String {
    if let Some(name) = &args.name {
        return name.clone();
    }
    let stem = args.file.file_stem().map_or_else(|| "stdin".to_owned(), |stem| stem.to_string_lossy().into_owned());
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    format!("imported-{}", stem.chars().map(plain).take(80).collect::<String>())
}

/// Where the file would be, once the daemon has found that it fits into the config.
async fn checked(client: &Client, draft: &DraftBody) -> Result<Option<PathBuf>, Failure> {
    let body = ImportLookBody { draft: Some(draft.clone()) };
    let looked: ImportLookedBody = client.post("/v1/import/look", &body).await?;
    Ok(looked.file.map(PathBuf::from))
}

/// Has everything taken in, with a new file of `config.d` where one comes.
async fn apply(
    client: &Client,
    args: &ImportArgs,
    plan: &Plan,
    draft: Option<&DraftBody>,
    path: Option<&Path>,
) -> Result<ImportedBody, Failure> {
    let text = |secret: &Secret| SecretText(Secret::new(secret.expose().to_owned()));
    let row = |row: &Row| ImportRow {
        line: row.number,
        account: row.account.clone(),
        password: row.password.as_ref().map(text),
        totp: row.totp.as_ref().map(text),
    };
    let key = |key: &PlannedKey| ImportedKey {
        device: key.device.clone(),
        key: key.key.clone(),
        on_record: key.on_record.clone(),
    };
    let body = ImportBody {
        rows: plan.rows.iter().map(row).collect(),
        overwrite: args.overwrite,
        take_in: draft.is_some(),
        host_keys: plan.keys.iter().map(key).collect(),
    };
    let (what, bar) = (storing(&body.rows), Progress::new());
    let Some((draft, path)) = draft.zip(path) else {
        return Ok(bar.wait(&what, client.post("/v1/import", &body)).await?);
    };
    may_write(path)?;
    let (device, user) = match plan.accounts.first().and_then(|account| account.split_once('/')) {
        Some((device, user)) => (device, Some(user)),
        None => (plan.devices.first().map_or("", |device| device.name.as_str()), None),
    };
    let change = Change { path, text: &draft.config, device, user, not_done: "nothing was stored" };
    Ok(match bar.wait(&what, change.make(client, ("/v1/import", &body))).await? {
        Taken::Answered(imported) => imported,
        Taken::InForce => {
            ImportedBody { done: "the config is in force".into(), skipped: Vec::new(), host_keys: Vec::new() }
        }
    })
}

/// A host key in a line.
fn told_key(device: &str, kind: &str, fingerprint: &str, on_record: &[String]) -> String {
    let others = on_record.join(", ");
    let changed = if on_record.is_empty() { String::new() } else { format!(" (CHANGED; on record is {others})") };
    safe(&format!("{device}: {kind} {fingerprint}{changed}"))
}

/// What is told of an import.
struct Told<'a> {
    args: &'a ImportArgs,
    format: Format,
    plan: &'a Plan,
    path: Option<&'a Path>,
    draft: Option<&'a DraftBody>,
}

impl Told<'_> {
    fn row(row: &Row) -> String {
        let seed = row.totp.as_ref().and_then(|uri| Seed::parse(uri.expose()).ok());
        let mut parts = Vec::new();
        parts.extend(row.password.as_ref().map(|_| "password".to_owned()));
        parts.extend(seed.map(|seed| format!("seed ({})", seed.describe())));
        parts.join(", ")
    }

    fn left_out(&self) {
        if self.plan.left_out.is_empty() {
            return;
        }
        say!("Not taken over:");
        for left in &self.plan.left_out {
            say!("  {}: {}", safe(&left.place), safe(&left.why.to_string()));
        }
    }

    fn notes(&self) {
        if !self.plan.notes.is_empty() {
            say!("To be seen to:");
            self.plan.notes.iter().for_each(|note| say!("  {}", safe(note)));
        }
    }

    fn json(&self, done: Option<&ImportedBody>) -> Result<u8, Failure> {
        let plan = self.plan;
        let accounts: Vec<_> = plan
            .rows
            .iter()
            .map(|row| serde_json::json!({ "account": row.account, "password": row.password.is_some(), "totp": row.totp.is_some() }))
            .collect();
        let devices: Vec<_> = plan
            .devices
            .iter()
            .map(|it| serde_json::json!({ "device": it.name, "address": it.address.in_config(), "template": it.template, "jump": it.jump }))
            .collect();
        let keys: Vec<_> = plan
            .keys
            .iter()
            .map(|it| serde_json::json!({ "device": it.device, "kind": it.kind, "fingerprint": it.fingerprint, "on_record": it.on_record }))
            .collect();
        let changed: Vec<_> = plan
            .changed
            .iter()
            .map(|it| serde_json::json!({ "device": it.device, "kind": it.kind, "fingerprint": it.fingerprint, "on_record": it.on_record }))
            .collect();
        let left: Vec<_> = plan
            .left_out
            .iter()
            .map(|it| serde_json::json!({ "place": it.place, "why": it.why.to_string() }))
            .collect();
        print(&serde_json::json!({
            "format": self.format.name(), "applied": done.is_some(), "done": done.map(|it| it.done.clone()),
            "skipped": done.map_or(&[][..], |it| &it.skipped), "secrets": accounts, "new_devices": devices,
            "new_accounts": plan.accounts, "host_keys": keys,
            "changed_host_keys": changed, "left_out": left, "notes": plan.notes,
            "file": self.path.map(|path| path.display().to_string()), "config": self.draft.map(|draft| draft.config.clone()),
        }))
    }

    /// Of a file of which nothing is taken.
    fn nothing(&self, json: bool) -> Result<u8, Failure> {
        let (plan, file) = (self.plan, input::told(&self.args.file));
        if json {
            self.json(None)?;
        } else {
            self.left_out();
            self.notes();
        }
        if plan.keys_on_record > 0 && plan.changed.is_empty() {
            if !json {
                say!(
                    "{file}: each of its host keys that is of a device in the config is on record already ({})",
                    plan.keys_on_record
                );
            }
            return Ok(0);
        }
        Err(Failure::usage(format!(
            "{file}: nothing in it can be taken over, for the reasons above; 'rotorctl import --help' tells what it takes"
        )))
    }

    fn dry_run(&self, json: bool) -> Result<u8, Failure> {
        if json {
            return self.json(None);
        }
        let (plan, file) = (self.plan, self.args.file.display());
        say!("{file} ({}) would bring:", self.format.name());
        for device in &plan.devices {
            let jump = device.jump.as_ref().map_or_else(String::new, |jump| format!(", through {jump}"));
            say!("  device {} at {}{jump}, template {}", device.name, device.address.in_config(), device.template);
        }
        for account in plan.accounts.iter().filter(|name| !plan.rows.iter().any(|row| row.account == **name)) {
            say!("  account {}, new, without a secret", safe(account));
        }
        for row in &plan.rows {
            let new = if plan.accounts.contains(&row.account) { ", new" } else { "" };
            say!("  account {}{new}: {}", safe(&row.account), Self::row(row));
        }
        for key in &plan.keys {
            say!("  host key of {}", told_key(&key.device, &key.kind, &key.fingerprint, &key.on_record));
        }
        self.left_out();
        self.notes();
        if let (Some(path), Some(draft)) = (self.path, self.draft) {
            say!("\n{} would be:\n", path.display());
            say!("{}", printable_lines(&draft.config.lines().map(|line| format!("    {line}\n")).collect::<String>()));
        }
        if !plan.keys.is_empty() {
            say!("Compare the fingerprints with what the devices themselves say (ssh-keygen -lf).");
        }
        say!("Nothing was written or stored. To do it, give --apply.");
        Ok(0)
    }

    fn done(&self, imported: &ImportedBody, json: bool) -> Result<u8, Failure> {
        if json {
            return self.json(Some(imported));
        }
        if let Some(path) = self.path {
            let (devices, accounts) = (self.plan.devices.len(), self.plan.accounts.len());
            say!("{} is written and in force: new devices: {devices}, new accounts: {accounts}", path.display());
        }
        tell_stored(imported);
        for key in &imported.host_keys {
            let told = told_key(&key.device, &key.kind, &key.fingerprint, &key.on_record);
            say!("host key of {told} is trusted");
        }
        self.left_out();
        self.notes();
        for device in &self.plan.devices {
            say!("No host key of {0} is on record: rotorctl trust {0}", device.name);
        }
        if holds_secrets(self.format) && self.args.file != Path::new("-") {
            say!(
                "The secrets still stand in {0}; remove it where nobody needs it: shred -u {0}",
                self.args.file.display()
            );
        }
        Ok(0)
    }
}

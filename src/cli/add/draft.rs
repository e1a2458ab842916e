//! What is to be added, as options or a file say it, and the sections that follow from it.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::cli::{Failure, input};
use crate::control::{NewAccountBody, SecretText};

/// What `device add` and `account add` take beside the names.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(crate) struct AddArgs {
    /// A file of the same settings as TOML, such as user = "admin"; password and totp may stand in it too. - is stdin.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// The account's policy.
    #[arg(long, value_name = "POLICY")]
    pub(crate) policy: Option<String>,
    /// Change the password at these times: a crontab's fields. Without it the account is in the jobs whose globs match it.
    #[arg(long, value_name = "CRONTAB")]
    pub(crate) schedule: Option<String>,
    /// Ask nothing: take the template that fits best, and a host key only if it was named or is on record somewhere.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Do not rehearse the template.
    #[arg(long)]
    pub(crate) no_rehearsal: bool,
}

/// What `device add` takes beside that.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(crate) struct DeviceArgs {
    /// The device's name in the config.
    pub(crate) name: String,
    /// Where it is: HOST, HOST:PORT, or [HOST]:PORT for IPv6. It may stand in the file of --from.
    pub(crate) address: Option<String>,
    /// The account on it.
    #[arg(long, value_name = "USERNAME")]
    pub(crate) user: Option<String>,
    /// The device of the config to go through.
    #[arg(long, value_name = "DEVICE")]
    pub(crate) jump: Option<String>,
    /// The host key that the device must show.
    #[arg(long, value_name = "SHA256:…")]
    pub(crate) host_key: Option<String>,
    /// Offer algorithms of old too.
    #[arg(long)]
    pub(crate) legacy_algorithms: bool,
    /// The template; without it the device is looked at, and those that fit are offered.
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) template: Option<String>,
    #[command(flatten)]
    pub(crate) more: AddArgs,
}

/// The settings of a file. Secrets in it are stored, and written nowhere else.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FromFile {
    address: Option<String>,
    user: Option<String>,
    jump: Option<String>,
    host_key: Option<String>,
    legacy_algorithms: bool,
    login_format: Option<String>,
    template: Option<String>,
    policy: Option<String>,
    login_as: Option<String>,
    reconcile_as: Option<String>,
    schedule: Option<String>,
    password: Option<SecretText>,
    totp: Option<SecretText>,
    ssh_key_file: Option<PathBuf>,
}

/// What is to be added.
pub(super) struct Draft {
    /// The file in `config.d`, without `.toml`.
    pub(super) file: String,
    pub(super) device: String,
    pub(super) user: String,
    /// Where the device is; `None` where it is in the config already.
    pub(super) address: Option<String>,
    pub(super) jump: Option<String>,
    pub(super) host_key: Option<String>,
    pub(super) legacy_algorithms: bool,
    pub(super) login_format: Option<String>,
    pub(super) template: Option<String>,
    pub(super) policy: Option<String>,
    pub(super) login_as: Option<String>,
    pub(super) reconcile_as: Option<String>,
    pub(super) schedule: Option<String>,
    pub(super) secrets: NewAccountBody,
    /// The file that its secrets came from.
    pub(super) source: Option<PathBuf>,
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Draft({})", self.account())
    }
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A name as a key of TOML.
fn key(text: &str) -> String {
    let bare = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if bare { text.to_owned() } else { quoted(text) }
}

/// A name as a file may have it.
fn file_name(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = text.chars().map(plain).take(100).collect();
    if name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') { name } else { format!("_{name}") }
}

impl Draft {
    /// Of a device with its first account.
    pub(super) fn of_device(args: DeviceArgs) -> Result<Self, Failure> {
        let (file, source) = read(args.more.from.as_deref())?;
        let address = args.address.or(file.address);
        let address = address.ok_or_else(|| {
            let name = &args.name;
            Failure::usage(format!("where is it? rotorctl device add {name} ADDRESS"))
        })?;
        Ok(Self {
            file: file_name(&args.name),
            device: args.name,
            user: args.user.or(file.user).unwrap_or_default(),
            address: Some(address),
            jump: args.jump.or(file.jump),
            host_key: args.host_key.or(file.host_key),
            legacy_algorithms: args.legacy_algorithms || file.legacy_algorithms,
            login_format: file.login_format,
            template: args.template.or(file.template),
            policy: args.more.policy.or(file.policy),
            login_as: file.login_as,
            reconcile_as: file.reconcile_as,
            schedule: args.more.schedule.or(file.schedule),
            secrets: secrets(file.password, file.totp, file.ssh_key_file.as_deref())?,
            source,
        })
    }

    /// Of an account on a device that is in the config.
    pub(super) fn of_account(account: &str, login_as: Option<String>, args: AddArgs) -> Result<Self, Failure> {
        let (file, source) = read(args.from.as_deref())?;
        let (device, user) = account
            .split_once('/')
            .ok_or_else(|| Failure::usage("an account is written DEVICE/USERNAME, such as web1/admin"))?;
        let of_device = [
            (&file.address, "address"),
            (&file.jump, "jump"),
            (&file.template, "template"),
            (&file.host_key, "host_key"),
        ];
        for (given, name) in of_device.map(|(given, name)| (given.is_some(), name)) {
            if given {
                let message = format!("'{name}' is the device's; a device is added with 'rotorctl device add'");
                return Err(Failure::usage(message));
            }
        }
        Ok(Self {
            file: file_name(&format!("{device}-{user}")),
            device: device.to_owned(),
            user: user.to_owned(),
            address: None,
            jump: None,
            host_key: None,
            legacy_algorithms: false,
            login_format: None,
            template: None,
            policy: args.policy.or(file.policy),
            login_as: login_as.or(file.login_as),
            reconcile_as: file.reconcile_as,
            schedule: args.schedule.or(file.schedule),
            secrets: secrets(file.password, file.totp, file.ssh_key_file.as_deref())?,
            source,
        })
    }

    /// `DEVICE/USERNAME`.
    pub(super) fn account(&self) -> String {
        format!("{}/{}", self.device, self.user)
    }

    /// The file's text; no secret is in it. `template` stands in where none was chosen yet.
    pub(super) fn config(&self, template: &str) -> String {
        let mut text = String::new();
        if let Some(address) = &self.address {
            let _ = writeln!(text, "[device.{}]", key(&self.device));
            let strings = [
                ("address", Some(address.as_str())),
                ("template", Some(self.template.as_deref().unwrap_or(template))),
                ("jump", self.jump.as_deref()),
                ("login_format", self.login_format.as_deref()),
            ];
            settings(&mut text, &strings);
            if let Some(host_key) = &self.host_key {
                let _ = writeln!(text, "host_key = [{}]", quoted(host_key));
            }
            if self.legacy_algorithms {
                text.push_str("legacy_algorithms = true\n");
            }
            text.push('\n');
        }
        let _ = writeln!(text, "[account.{}]", quoted(&self.account()));
        let strings = [
            ("policy", self.policy.as_deref()),
            ("login_as", self.login_as.as_deref()),
            ("reconcile_as", self.reconcile_as.as_deref()),
        ];
        settings(&mut text, &strings);
        if let Some(schedule) = &self.schedule {
            let _ = writeln!(text, "\n[job.{}]", key(&self.file));
            settings(&mut text, &[("schedule", Some(schedule))]);
            let _ = writeln!(text, "accounts = [{}]", quoted(&self.account()));
        }
        text
    }

    /// The account with its secrets, as the daemon takes it.
    pub(super) fn body(&self) -> NewAccountBody {
        NewAccountBody { account: self.account(), ..self.secrets.clone() }
    }
}

fn settings(text: &mut String, pairs: &[(&str, Option<&str>)]) {
    for (name, value) in pairs {
        if let Some(value) = value {
            let _ = writeln!(text, "{name} = {}", quoted(value));
        }
    }
}

/// The settings of a file, and its path where it is one.
fn read(from: Option<&Path>) -> Result<(FromFile, Option<PathBuf>), Failure> {
    let Some(path) = from else { return Ok((FromFile::default(), None)) };
    let is_stdin = path == Path::new("-");
    let text: Zeroizing<String> = if is_stdin { input::read_stdin()? } else { input::read_file(path)? };
    // What the parser says may quote a secret: only where it stands is told.
    let settings: FromFile = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Failure::usage(format!(
            "{}: line {line} is no setting that is known here; there may be: {}",
            input::told(path),
            KNOWN.join(", ")
        ))
    })?;
    let source = (!is_stdin && (settings.password.is_some() || settings.totp.is_some())).then(|| path.to_owned());
    if let Some(source) = &source
        && source.metadata().is_ok_and(|found| found.mode() & 0o077 != 0)
    {
        eprintln!(
            "rotorctl: others can read {0}, which holds secrets: chmod 0600 {0}, and think whether they have read it",
            source.display()
        );
    }
    Ok((settings, source))
}

/// What may stand in the file of `--from`.
const KNOWN: [&str; 14] = [
    "address",
    "user",
    "jump",
    "host_key",
    "legacy_algorithms",
    "login_format",
    "template",
    "policy",
    "login_as",
    "reconcile_as",
    "schedule",
    "password",
    "totp",
    "ssh_key_file",
];

fn secrets(
    password: Option<SecretText>,
    totp: Option<SecretText>,
    key: Option<&Path>,
) -> Result<NewAccountBody, Failure> {
    let ssh_key = match key {
        Some(file) => {
            let text = input::read_file(file)?;
            let key = crate::control::private_key::read(&text).map_err(Failure::usage)?;
            let key = key.ok_or_else(|| {
                Failure::usage(format!(
                    "{}: the key is under a passphrase; store it with 'rotorctl ssh-key set' once the account is added",
                    input::told(file)
                ))
            })?;
            Some(SecretText(crate::control::private_key::plain(&key).map_err(Failure::usage)?))
        }
        None => None,
    };
    Ok(NewAccountBody { account: String::new(), password, totp, ssh_key })
}

/// A secret that was typed in, where something was typed.
pub(super) fn typed(text: SecretText) -> Option<SecretText> {
    let is_empty = text.0.expose().trim().is_empty();
    (!is_empty).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn the_sections_hold_what_was_said_and_no_secret() {
        let file = written(
            "user = \"ad\\\"min\"\njump = \"gate\"\npassword = \"hunter2\"\ntotp = \"GEZDGNBV\"\nschedule = \"30 2 * * *\"\nlogin_format = \"password+totp\"\n",
        );
        let more = AddArgs { from: Some(file.path().to_owned()), policy: Some("strict".into()), ..AddArgs::default() };
        let host_key = Some(format!("SHA256:{}", "A".repeat(43)));
        let args = DeviceArgs {
            name: "web 1".into(),
            address: Some("192.0.2.10".into()),
            host_key,
            more,
            ..DeviceArgs::default()
        };
        let draft = Draft::of_device(args).unwrap();
        let text = draft.config("linux-passwd");
        let parsed: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(parsed["device"]["web 1"]["jump"].as_str(), Some("gate"));
        assert_eq!(parsed["device"]["web 1"]["template"].as_str(), Some("linux-passwd"));
        assert_eq!(parsed["account"]["web 1/ad\"min"]["policy"].as_str(), Some("strict"));
        assert_eq!(parsed["job"]["web_1"]["accounts"][0].as_str(), Some("web 1/ad\"min"));
        assert!(!text.contains("hunter2") && !text.contains("GEZDGNBV"), "{text}");
        assert_eq!(draft.body().password.unwrap().0.expose(), "hunter2");
        assert_eq!((draft.file.as_str(), draft.source.as_deref()), ("web_1", Some(file.path())));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_without_what_stands_in_it() {
        for text in ["user = \"a\"\npasswort = \"hunter2\"\n", "user = \"a\"\npassword = hunter2\n"] {
            let file = written(text);
            let args = AddArgs { from: Some(file.path().to_owned()), ..AddArgs::default() };
            let error = Draft::of_account("web1/a", None, args).unwrap_err().message;
            assert!(error.contains("line 2") && error.contains("password") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_name_that_no_file_may_have_is_changed_for_the_file_alone() {
        for (name, file) in [("web1", "web1"), ("../etc", "_.._etc"), (".hidden", "_.hidden"), ("a b/ü", "a_b__")] {
            assert_eq!(file_name(name), file);
        }
        let draft = Draft::of_account("web1/CORP\\alice", None, AddArgs::default()).unwrap();
        assert_eq!((draft.file.as_str(), draft.user.as_str()), ("web1-CORP_alice", "CORP\\alice"));
        assert!(draft.config("x").starts_with("[account.'web1/CORP\\alice']"), "{}", draft.config("x"));
    }
}

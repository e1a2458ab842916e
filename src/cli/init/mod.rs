//! `rotorctl init`: asks what it needs, and makes config, key and folders. What is there stays as it is.

mod make;
mod plan;

use std::fs;
use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use chrono_tz::Tz;
use clap::Args as ClapArgs;
use nix::unistd::{User, geteuid};

use super::output::say;
use super::remote::print;
use super::{Failure, local};
use crate::config::{Config, DEFAULT_PATH, host_zone};
use crate::model::{Secret, Severity, folder_of, nearest};
use crate::sealed::RecoveryKey;
use make::{make, obstacle};
use plan::{Answers, Found, Layout, Step, plan};

/// What `init` takes.
#[derive(Debug, Clone, ClapArgs)]
pub(super) struct InitArgs {
    /// Ask nothing: what is not given here is the host's time zone, root alone, no recovery key and no escrow.
    #[arg(long)]
    yes: bool,
    /// The config; elsewhere than here, key, state and socket are beside it.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// The zone in which schedules are read, such as Europe/Berlin.
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Users and @groups who may look.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    viewer: Vec<String>,
    /// Users and @groups who may rotate.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    operator: Vec<String>,
    /// Users and @groups who may read and store secrets.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    custodian: Vec<String>,
    /// The public half of the key to which backups and escrow are sealed.
    #[arg(long, value_name = "age1…", conflicts_with = "new_recovery_key")]
    recovery_key: Option<String>,
    /// Make that key, and write its private half to this new file, to be taken away from the host.
    #[arg(long, value_name = "FILE")]
    new_recovery_key: Option<PathBuf>,
    /// The folder, on another disk, in which each new password is put before it is sent.
    #[arg(long, value_name = "FOLDER")]
    escrow: Option<PathBuf>,
}

pub(super) fn run(args: InitArgs, json: bool) -> Result<u8, Failure> {
    let config = std::path::absolute(&args.config).map_err(|error| Failure::usage(error.to_string()))?;
    let layout = Layout::of(&config);
    if layout.is_hosts && !geteuid().is_root() {
        return Err(Failure {
            message:
                "root makes the host's config: sudo rotorctl init; a config of your own: rotorctl init --config FILE"
                    .into(),
            exit: 6,
        });
    }
    let asks = !args.yes && !json && std::io::stdin().is_terminal();
    if !asks && !args.yes {
        return Err(Failure::usage("nobody can be asked here; rotorctl init --yes takes the defaults, see --help"));
    }
    let (mut answers, new_key) = if layout.own_file().symlink_metadata().is_ok() {
        // What was said stands there.
        (Answers { timezone: "UTC".into(), ..Answers::default() }, None)
    } else {
        let (answers, new_key) = gather(args, asks)?;
        check(&answers)?;
        (answers, new_key)
    };
    // All is looked at before anything is made.
    let owner = daemon_user(&layout)?;
    let found = look(&layout, &answers, new_key.as_deref())?;
    let private = new_key.as_ref().map(|_| RecoveryKey::generate());
    if let Some((_, public)) = &private {
        answers.recovery_key = Some(format!("{public:?}"));
    }
    let plan = plan(&layout, &answers, &found);
    if let Some((file, (private, public))) = new_key.as_ref().zip(private.as_ref()) {
        write_private(file, private, public)?;
    }
    for step in &plan.steps {
        make(step, owner).map_err(|error| Failure::usage(format!("{}: {error}", step.path().display())))?;
    }
    tell(&layout, &plan, new_key.as_deref(), json)
}

/// User and group of the daemon, where it is another's than the caller.
fn daemon_user(layout: &Layout) -> Result<Option<(u32, u32)>, Failure> {
    if !layout.is_hosts {
        return Ok(None);
    }
    match User::from_name("rotord") {
        Ok(Some(user)) => Ok(Some((user.uid.as_raw(), user.gid.as_raw()))),
        _ => Err(Failure::usage(
            "this host has no user rotord, as whom the daemon runs; the package makes it, or: useradd --system --home-dir /var/lib/rotord --shell /usr/sbin/nologin rotord",
        )),
    }
}

fn ask(question: &str) -> Result<String, Failure> {
    eprint!("{question}: ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(answer.trim().to_owned())
}

/// What the options say, and the terminal where it is asked. The second value is the file for the private half of a new key.
fn gather(args: InitArgs, asks: bool) -> Result<(Answers, Option<PathBuf>), Failure> {
    let mut new_key = args.new_recovery_key;
    let mut answers = Answers {
        timezone: args
            .timezone
            .clone()
            .unwrap_or_else(|| host_zone().map_or("UTC".to_owned(), |zone| zone.to_string())),
        viewer: args.viewer,
        operator: args.operator,
        custodian: args.custodian,
        recovery_key: args.recovery_key,
        escrow: args.escrow,
    };
    if !asks {
        return Ok((answers, new_key));
    }
    if args.timezone.is_none() {
        let zone = ask(&format!("Time zone of schedules [{}]", answers.timezone))?;
        answers.timezone = Some(zone).filter(|zone| !zone.is_empty()).unwrap_or(answers.timezone);
    }
    let names = |text: &str| -> Vec<String> {
        text.split([',', ' ']).map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    if answers.operator.is_empty() {
        answers.operator = names(&ask("Who may rotate, beside root (users and @groups; Enter for nobody)")?);
    }
    if answers.custodian.is_empty() {
        answers.custodian = names(&ask("Who may read and store secrets, beside root (Enter for nobody)")?);
    }
    if answers.recovery_key.is_none() && new_key.is_none() {
        let key = ask("Recovery key, to which backups and escrow are sealed (age1…; 'new' makes one; Enter for none)")?;
        match key.as_str() {
            "" => {}
            "new" => {
                let file = ask("File for its private half [/root/rotord-recovery.key]")?;
                new_key = Some(if file.is_empty() { "/root/rotord-recovery.key".into() } else { file.into() });
            }
            key => answers.recovery_key = Some(key.to_owned()),
        }
    }
    if answers.escrow.is_none() && (answers.recovery_key.is_some() || new_key.is_some()) {
        let folder = ask("Folder of escrow, on another disk (Enter for none)")?;
        answers.escrow = Some(folder).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    }
    Ok((answers, new_key))
}

/// What can be wrong with the answers is said before anything is made.
fn check(answers: &Answers) -> Result<(), Failure> {
    if answers.timezone.parse::<Tz>().is_err() {
        let zones = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let hint = nearest(&answers.timezone, zones).map_or_else(String::new, |zone| format!("; did you mean {zone}?"));
        return Err(Failure::usage(format!("'{}' is no time zone{hint}", answers.timezone.escape_debug())));
    }
    if let Some(key) = &answers.recovery_key {
        RecoveryKey::parse(key).map_err(Failure::usage)?;
    }
    for name in answers.viewer.iter().chain(&answers.operator).chain(&answers.custodian) {
        if let Some(why) = crate::config::unknown_person(name) {
            return Err(Failure::usage(why));
        }
    }
    if let Some(escrow) = &answers.escrow {
        let text = escrow.display().to_string();
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        if !escrow.is_absolute() || !text.chars().all(plain) {
            return Err(Failure::usage(
                "the folder of escrow is an absolute path of letters, digits, '.', '_' and '-'",
            ));
        }
    }
    Ok(())
}

/// Writes the private half of a recovery key to a new file.
fn write_private(file: &Path, private: &Secret, public: &RecoveryKey) -> Result<(), Failure> {
    let text = zeroize::Zeroizing::new(format!(
        "# rotord recovery key; its public half is {public:?}\n{}\n",
        private.expose()
    ));
    local::write_new(file, text.as_bytes())
}

/// What is there already, where nothing of it stands in the way.
fn look(layout: &Layout, answers: &Answers, new_key: Option<&Path>) -> Result<Found, Failure> {
    let (folders, files) = (layout.folders(answers), layout.files());
    if let Some(why) = obstacle(&folders, &files) {
        return Err(Failure::usage(why));
    }
    if let Some(file) = new_key
        && (file.symlink_metadata().is_ok() || !folder_of(file).is_dir())
    {
        return Err(Failure::usage(format!(
            "{}: the private half of the recovery key comes into a new file in a folder that is there; nothing was made",
            file.display()
        )));
    }
    let mut sections = Vec::new();
    let drop_ins = fs::read_dir(layout.base.join("config.d")).into_iter().flatten().flatten();
    let drop_ins = drop_ins.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "toml"));
    for file in std::iter::once(layout.config.clone()).chain(drop_ins).filter(|file| file.exists()) {
        let text = crate::files::read_text(&file, 64 << 20)
            .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
        let table: toml::Table = toml::from_str(&text).map_err(|_| {
            let command = format!("rotord check --config {}", layout.config.display());
            Failure::usage(format!("{} is no TOML, and nothing was made; see: {command}", file.display()))
        })?;
        sections.extend(table.keys().map(|section| (section.clone(), file.clone())));
    }
    if new_key.is_some()
        && let Some((_, file)) = sections.iter().find(|(section, _)| section == "vault")
    {
        return Err(Failure::usage(format!(
            "[vault] stands in {} already: make the key with 'rotorctl key recovery FILE' and name it there; nothing was made",
            file.display()
        )));
    }
    Ok(Found {
        sections,
        paths: folders.into_iter().chain(files).filter(|path| path.symlink_metadata().is_ok()).collect(),
        has_vault: layout.state.join("vault.db").exists(),
        has_systemd: Path::new("/etc/systemd/system").is_dir(),
    })
}

/// Says what was made, what is wrong with the config, and what comes next.
fn tell(layout: &Layout, plan: &plan::Plan, new_key: Option<&Path>, json: bool) -> Result<u8, Failure> {
    let (config, problems) = Config::inspect(&layout.config);
    let errors: Vec<String> =
        problems.iter().filter(|problem| problem.severity == Severity::Error).map(ToString::to_string).collect();
    let next = match (&config, layout.is_hosts) {
        (None, true) => "rotord check".to_owned(),
        (None, false) => format!("rotord check --config {}", layout.config.display()),
        (Some(_), true) => "systemctl enable --now rotord".to_owned(),
        (Some(_), false) => format!("rotord --config {}", layout.config.display()),
    };
    let made: Vec<String> = plan.steps.iter().map(|step| step.path().display().to_string()).collect();
    if json {
        print(&serde_json::json!({ "made": made, "kept": plan.kept, "errors": errors, "next": next }))?;
        return Ok(if config.is_some() { 0 } else { 2 });
    }
    plan.steps.iter().for_each(|step| say!("made: {} {}", step.what(), step.path().display()));
    plan.kept.iter().for_each(|kept| say!("kept: {kept}"));
    errors.iter().for_each(|error| say!("{error}"));
    if plan.steps.iter().any(|step| matches!(step, Step::Key { .. })) {
        say!("Keep a copy of {} where the vault's backups are not.", layout.key.display());
    }
    if let Some(file) = new_key {
        say!("The private half of the recovery key is in {}: take it away from this host.", file.display());
    }
    if let Some(escrow) = config.as_ref().and_then(|config| config.escrow.as_ref()) {
        let disk = |path: &Path| path.metadata().ok().map(|found| found.dev());
        if disk(escrow).is_some() && disk(escrow) == disk(&layout.state) {
            say!("warning: {} is on the same disk as the vault; both go with it.", escrow.display());
        }
        if layout.is_hosts {
            say!("The unit for systemd has changed: systemctl daemon-reload");
        }
    }
    if config.as_ref().is_some_and(|config| config.library.iter().next().is_none()) {
        let folder = layout.base.join("templates");
        say!(
            "warning: no template was found, and 'device add' needs one: copy the shipped templates into {}.",
            folder.display()
        );
    }
    say!("Next:  {next}");
    if config.is_some() {
        say!("then:  rotorctl device add NAME ADDRESS");
    }
    Ok(if config.is_some() { 0 } else { 2 })
}

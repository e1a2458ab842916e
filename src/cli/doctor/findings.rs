//! From facts to findings. Pure: each finding says what is wrong, why it matters, and the command that mends it or shows more.

use super::facts::{ConfigProblem, DaemonFacts, Facts, FolderFacts};
use crate::control::{AccountFacts, AccountStatus, DeviceFacts, JobFacts};

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Finding {
    /// What kind it is: a word that stays.
    pub(super) kind: &'static str,
    /// What it is about: an account, a device, a job, a file.
    pub(super) about: String,
    /// What is wrong.
    pub(super) what: String,
    /// Why it matters.
    pub(super) why: String,
    /// The command that mends it, or that shows more.
    pub(super) command: String,
}

/// Less than this is little room, in MiB.
const LITTLE_MIB: u64 = 512;
/// Of room and of inodes, in percent.
const LITTLE_PERCENT: u64 = 5;
/// A backup that is older is an old one, where the config cannot say what is. In milliseconds.
const OLD_BACKUP_MS: i64 = 7 * DAY_MS;
const DAY_MS: i64 = 86_400_000;
/// Steps that devices use (RFC 6238, section 5.2, recommends 30 s).
const STEPS: std::ops::RangeInclusive<u64> = 15..=120;

/// A list that grows by findings of one subject.
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, kind: &'static str, about: &str, what: impl Into<String>, why: &str, command: impl Into<String>) {
        let (what, command) = (what.into(), command.into());
        self.0.push(Finding { kind, about: about.to_owned(), what, why: why.to_owned(), command });
    }
}

/// All that is not as it should be.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found = Findings(Vec::new());
    config(facts, &mut found);
    host(facts, &mut found);
    match &facts.daemon {
        Err(why) => found.add(
            "daemon-absent",
            "rotord",
            format!("no daemon answers: {why}"),
            "nothing is rotated while it does not run",
            "systemctl status rotord",
        ),
        Ok(daemon) => {
            daemon_itself(facts, daemon, &mut found);
            records(facts, daemon, &mut found);
            daemon.status.accounts.iter().for_each(|account| state(account, &mut found));
            daemon.checkup.accounts.iter().for_each(|account| secrets(account, &mut found));
            daemon.checkup.devices.iter().for_each(|device| reached(facts, device, &mut found));
            daemon.checkup.jobs.iter().for_each(|job| schedule(job, &mut found));
        }
    }
    for login in facts.logins.iter().filter(|login| !login.done) {
        found.add(
            "login-failed",
            &login.account,
            format!("a login with what is stored fails: {}", login.detail),
            "its rotation fails as well",
            format!("rotorctl explain {}", login.account),
        );
    }
    advisories(facts, &mut found);
    found.0
}

fn config(facts: &Facts, found: &mut Findings) {
    for ConfigProblem { error, code, place, message } in &facts.config.problems {
        let (kind, why) = match (code.as_str(), error) {
            ("C013", _) => {
                ("config-permissions", "whoever may write there decides what the daemon does, with its secrets")
            }
            ("C010", _) => ("config-names-nothing", "what it names is not there, so the line does nothing"),
            (_, true) => ("config-error", "the daemon does not start with it, and does not take it in at a reload"),
            (_, false) => ("config-warning", "the config may not do what is meant"),
        };
        let command = format!("rotord check --config {}", facts.config.file);
        found.add(kind, place, format!("{message} ({code})"), why, command);
    }
}

fn host(facts: &Facts, found: &mut Findings) {
    let host = &facts.host;
    if host.clock_synchronised == Some(false) {
        let why = "one-time codes are made from the time: once it drifts, devices refuse them, and accounts are locked";
        found.add("clock-unsynchronised", "the host", "the clock is not synchronised", why, "timedatectl set-ntp true");
    }
    if let Some(error) = &host.key_error {
        let why = "without its key nobody opens the vault, the daemon least of all";
        found.add("vault-key", "the vault's key", error, why, "ls -l /etc/rotord/vault.key");
    }
    if let Some((file, owner, daemon)) = &host.key_owner
        && owner != daemon
        && *owner != 0
    {
        let what = format!("{file} belongs to user {owner}, and the daemon runs as user {daemon}");
        found.add("vault-key-owner", file, what, "the daemon cannot read it", format!("chown {daemon} {file}"));
    } else if let Some((file, 0, daemon)) = &host.key_owner
        && *daemon != 0
    {
        let what = format!("{file} belongs to root, and the daemon runs as user {daemon}");
        found.add("vault-key-owner", file, what, "the daemon cannot read it", format!("chown {daemon} {file}"));
    }
    if let Some(state) = &host.state {
        if state.exists && state.mode & 0o077 != 0 {
            let what = format!("others may enter it (mode {:04o})", state.mode);
            let why = "it holds the vault and the audit log";
            found.add("state-mode", &state.path, what, why, format!("chmod 0700 {}", state.path));
        }
        room(state, "without room nothing becomes durable, and no rotation starts", found);
    }
    if let Some(escrow) = &host.escrow {
        if !escrow.exists {
            let why = "no password is changed until each can be put in escrow";
            found.add(
                "escrow-absent",
                &escrow.path,
                "the folder of escrow is not there",
                why,
                format!("ls -ld {}", escrow.path),
            );
        } else if host.state.as_ref().is_some_and(|state| state.exists && state.disk == escrow.disk) {
            let why = "escrow is there for the day when the vault's disk is lost, and is lost with it";
            let command = "rotorctl init --help".to_owned();
            found.add("escrow-same-disk", &escrow.path, "escrow is on the same disk as the vault", why, command);
        }
        room(escrow, "no password is changed until each can be put in escrow", found);
    }
    if host.enabled == Some(false) {
        let why = "after the next boot nothing is rotated";
        found.add(
            "unit-disabled",
            "rotord.service",
            "systemd does not start it at boot",
            why,
            "systemctl enable rotord",
        );
    }
    for (program, version) in &host.programs {
        if version.is_none() {
            let what = format!("{program} is not there");
            let why = "devices of kind \"web\" are logged in to with it";
            found.add("browser-absent", program, what, why, format!("apt install {}", package_of(program)));
        }
    }
    if let (Some(Some(browser)), Some(Some(driver))) =
        (host.programs.get("chromium"), host.programs.get("chromedriver"))
        && browser.split('.').next() != driver.split('.').next()
    {
        let what = format!("chromium is {browser}, and chromedriver {driver}");
        let why = "a driver works with the browser of its own major version alone";
        found.add("browser-driver", "chromedriver", what, why, "apt install --only-upgrade chromium chromium-driver");
    }
}

fn package_of(program: &str) -> &str {
    if program == "chromedriver" { "chromium-driver" } else { program }
}

fn room(folder: &FolderFacts, why: &str, found: &mut Findings) {
    if !folder.exists {
        return;
    }
    let command = format!("df -h {}", folder.path);
    if folder.free_mib < LITTLE_MIB || folder.free_percent < LITTLE_PERCENT {
        let what = format!("its disk has {} MiB left ({} %)", folder.free_mib, folder.free_percent);
        found.add("disk-space", &folder.path, what, why, command);
    } else if folder.free_inodes_percent < LITTLE_PERCENT {
        let what = format!("its disk has {} % of its inodes left", folder.free_inodes_percent);
        found.add("disk-inodes", &folder.path, what, why, format!("df -i {}", folder.path));
    }
}

fn daemon_itself(facts: &Facts, daemon: &DaemonFacts, found: &mut Findings) {
    let (status, checkup) = (&daemon.status, &daemon.checkup);
    if checkup.version != facts.version {
        let what = format!("the daemon is {}, and rotorctl {}", checkup.version, facts.version);
        let why = "a new version is in force once the daemon has started with it";
        found.add("version-old", "rotord", what, why, "systemctl restart rotord");
    }
    if checkup.config_file != facts.config.file {
        let what = format!("the daemon goes by {}, and this looked at {}", checkup.config_file, facts.config.file);
        let why = "what is found in the one says nothing of the other";
        found.add("config-other", "rotord", what, why, format!("rotorctl doctor --config {}", checkup.config_file));
    } else if let Some(on_disk) = &facts.config.accounts {
        let mut in_force: Vec<&str> = status.accounts.iter().map(|account| account.account.as_str()).collect();
        in_force.sort_unstable();
        if status.config_error.is_none() && *on_disk != in_force {
            let what = "the accounts on disk are not those in force";
            let why = "what was written since the last reload does nothing yet";
            found.add("config-not-in-force", &facts.config.file, what, why, "systemctl reload rotord");
        }
    }
    let told = [
        ("config-refused", &status.config_error, "the former config stays in force until it is mended", "rotord check"),
        (
            "vault-unwritable",
            &status.vault_error,
            "no rotation starts until it can be written",
            "df -h /var/lib/rotord",
        ),
        (
            "escrow-unwritable",
            &status.escrow_error,
            "no password is changed until escrow can be written",
            "rotorctl status",
        ),
        (
            "logins-held",
            &status.logins_held,
            "what is due waits; one login after another was refused",
            "rotorctl status --overdue",
        ),
        ("notifier-failing", &status.notify_error, "nobody is told of events by it", "rotorctl notify list"),
    ];
    for (kind, what, why, command) in told {
        if let Some(what) = what {
            found.add(kind, "rotord", what, why, command);
        }
    }
    if let Some(warning) = &status.clock_warning
        && facts.host.clock_synchronised != Some(false)
    {
        let why = "one-time codes are made from the time";
        found.add("clock-off", "the host", warning, why, "timedatectl timesync-status");
    }
}

/// The audit log and backups.
fn records(facts: &Facts, daemon: &DaemonFacts, found: &mut Findings) {
    if !daemon.audit.ok {
        let what = daemon.audit.why.clone().unwrap_or_else(|| "its chain is broken".to_owned());
        found.add(
            "audit-broken",
            "the audit log",
            what,
            "somebody, or a disk, has changed it",
            "rotorctl audit verify",
        );
    } else if let Some(finding) = &daemon.status.audit_finding {
        let why = "vault and log did not agree when the daemon started";
        found.add("audit-finding", "the audit log", finding, why, "rotorctl audit verify");
    }
    let checkup = &daemon.checkup;
    let at = |time: &Option<String>| {
        chrono::DateTime::parse_from_rfc3339(time.as_deref()?).ok().map(|time| time.timestamp_millis())
    };
    let why = "without one the passwords that devices have today are lost with the vault's disk";
    let command = "rotorctl backup /mnt/other-disk/rotord.backup";
    let most = facts.config.backup_max_age_ms.unwrap_or(OLD_BACKUP_MS);
    match (at(&checkup.last_backup), at(&checkup.since)) {
        (Some(last), _) if most > 0 && facts.now - last > most => {
            let what = format!("the last backup is {} days old", (facts.now - last) / DAY_MS);
            found.add("backup-old", "the vault", what, why, command);
        }
        (None, Some(since)) if most > 0 && facts.now - since > DAY_MS && !daemon.status.accounts.is_empty() => {
            found.add("backup-none", "the vault", "no backup was ever made", why, command);
        }
        _ => {}
    }
}

/// How an account stands.
fn state(account: &AccountStatus, found: &mut Findings) {
    let name = &account.account;
    let explain = format!("rotorctl explain {name}");
    match account.state.as_str() {
        "quarantined" => {
            let why = "rotord does not change it any more until a person says which password it has";
            found.add("quarantined", name, "it is in quarantine", why, explain.clone());
        }
        "uncertain" => {
            let why = "it is not known which of two passwords it has; a login finds out";
            found.add("uncertain", name, "it is in doubt", why, explain.clone());
        }
        _ => {
            if let Some(error) = &account.last_error {
                found.add("last-error", name, error, "the last attempt did not do what it should", explain.clone());
            }
        }
    }
    if account.overdue {
        let why = "the policy's max_age is over";
        let command = format!("rotorctl rotate {name} --reason overdue");
        found.add("overdue", name, "its password is overdue", why, command);
    }
    if let Some(warning) = &account.warning {
        let why = "the device may lose the change at its next restart";
        found.add("unclean", name, warning, why, format!("rotorctl ack {name} --reason 'seen to'"));
    }
    if account.totp_skew != 0 {
        let what = format!("the clock of its device is off: it takes codes of {:+} time steps", account.totp_skew);
        let why = "codes are probed for until its clock is set";
        found.add("device-clock", name, what, why, explain);
    }
}

/// What is stored of an account.
fn secrets(account: &AccountFacts, found: &mut Findings) {
    let name = &account.account;
    if !account.password && !account.ssh_key {
        let what = "neither a password nor a key of it is stored";
        found.add("secret-absent", name, what, "nobody can log in with it", format!("rotorctl secret set {name}"));
    } else if let Some(missing) = &account.missing {
        let why = "its template needs it, and its rotation fails before anything is sent";
        let command = if missing.contains("totp set") {
            format!("rotorctl totp set {name}")
        } else if missing.contains("--field") {
            format!("rotorctl secret set {name} --field NAME")
        } else {
            format!("rotorctl secret set {name}")
        };
        found.add("secret-incomplete", name, missing, why, command);
    }
    if let Some(login) = &account.helpless_login {
        let what = format!("{login}, which logs in for it, has neither a password nor a key stored");
        found.add("login-absent", name, what, "nobody logs in to change it", format!("rotorctl secret set {login}"));
    }
    let command = format!("rotorctl totp set {name}");
    if let Some(error) = &account.seed_error {
        let what = format!("its seed cannot be read: {error}");
        found.add("seed-unreadable", name, what, "no code can be made", command);
    } else if let Some(period) = account.seed_period.filter(|period| !STEPS.contains(period)) {
        let what = format!("its codes have steps of {period} s, which is not usual");
        found.add("seed-period", name, what, "codes of a wrong step are refused, and lock the account", command);
    }
    if account.jobs.is_empty() && account.after.is_none() {
        let why = "its password changes only when somebody asks for it";
        found.add("no-job", name, "it is in no job", why, "rotord check --explain schedule");
    }
}

/// What a device shows, and its template.
fn reached(facts: &Facts, device: &DeviceFacts, found: &mut Findings) {
    let name = &device.device;
    if let Some(error) = &device.error {
        let why = "its accounts cannot be changed while it is so";
        found.add("device-unreachable", name, error, why, format!("rotorctl trust {name}"));
    }
    if let Some(shown) = &device.fingerprint {
        let trust = format!("rotorctl trust {name}");
        if device.known.is_empty() && !device.has_known_hosts {
            let why = "rotord logs in to no device whose key is not on record";
            found.add("host-key-unknown", name, format!("its host key is not on record: {shown}"), why, trust);
        } else if !device.known.is_empty() && !device.known.contains(shown) && !device.has_known_hosts {
            let what = format!("its host key has CHANGED: it shows {shown}");
            let why = "if nobody replaced the device or its keys, somebody else may answer in its place";
            found.add("host-key-changed", name, what, why, trust);
        }
    }
    if let Some(misfit) = &device.misfit {
        let why = "a template for another system may do something else than meant";
        found.add("template-misfit", name, misfit, why, format!("rotorctl template show {}", device.template));
    }
    if device.unproven {
        let what = format!("template {} is unproven: nobody has told of a device on which it works", device.template);
        let why = "the first change may fail in the middle";
        let command = format!("rotorctl template run {} --device {name} --until-commit", device.template);
        found.add("template-unproven", name, what, why, command);
    }
    if let (Some(in_force), Some(on_disk)) = (&device.template_sha256, facts.config.templates.get(name))
        && in_force != on_disk
    {
        let what = format!("template {} was changed since the daemon read it", device.template);
        let why = "what was tested is not what runs, or what runs is not what was meant";
        found.add("template-changed", name, what, why, "systemctl reload rotord");
    }
}

fn schedule(job: &JobFacts, found: &mut Findings) {
    let name = &job.job;
    let next = format!("rotorctl schedule next {name}");
    if job.next.is_none() {
        found.add("job-never", name, "its time never comes", "its accounts are not changed by it", next.clone());
    }
    if job.accounts == 0 {
        let why = "a glob that matches nothing may be a slip";
        found.add("job-empty", name, "it matches no account", why, "rotord check");
    } else if job.rotates && job.runs_24h > usize::try_from(job.cap).unwrap_or(usize::MAX) {
        let what = format!("it runs {} times a day, and its accounts may change {} times", job.runs_24h, job.cap);
        let why = "all other runs are refused, and each refusal is an event";
        found.add("job-storms", name, what, why, next.clone());
    }
    if job.paused {
        found.add("job-held", name, "it is held", "nothing of it runs", format!("rotorctl resume --job {name}"));
    }
}

fn advisories(facts: &Facts, found: &mut Findings) {
    let own = ("rotord".to_owned(), Some(facts.version.clone()));
    let programs = facts.host.programs.iter().map(|(name, version)| (name.clone(), version.clone()));
    for (program, version) in std::iter::once(own).chain(programs) {
        let Some(version) = version else { continue };
        for advisory in facts.advisories.iter().filter(|advisory| advisory.program == program) {
            if older(&version, &advisory.fixed_in) {
                let what = format!("{program} {version} has {}: {}", advisory.id, advisory.what);
                let why = format!("it is mended in {}", advisory.fixed_in);
                found.add(
                    "advisory",
                    &program,
                    what,
                    &why,
                    format!("apt install --only-upgrade {}", package_of(&program)),
                );
            }
        }
    }
}

/// Whether a version of numbers and dots comes before another.
fn older(version: &str, than: &str) -> bool {
    let numbers =
        |text: &str| -> Vec<u64> { text.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect() };
    numbers(version) < numbers(than)
}

//! The config: TOML files in, checked values out, every problem at its place.
//!
//! `rotord.toml` and `config.d/*.toml` beside it are read as one. Unknown keys are errors that name the nearest known
//! key; a key that looks like a secret is refused, since no secret stands in a config file. A broken config is refused
//! whole, so that a reload never leaves half of one in force.

mod accounts;
mod build;
mod codes;
mod devices;
mod guard;
mod library;
mod notify;
mod reference;
mod sources;
mod table;
#[cfg(test)]
mod tests;
mod turn;
mod web;
mod zone;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono_tz::Tz;

pub use build::host_zone;
pub(crate) use build::unknown_person;
pub use codes::{CONFIG_CODES, ConfigCode};
pub use library::{Entry as LibraryEntry, Library, files_below, load_file, passed_over, template_files};
pub use notify::{
    Channel, Facility, MailTransport, Notifier, NotifyFilter, Place, Preset, SecretSource, SyslogTransport,
    holds_secret, is_here, parse_url,
};
pub use reference::{Absent, KEYS, Key, SECTIONS};
pub(crate) use table::parse_duration;
pub use turn::{ConfigTurn, TurnKind, take_turn};
pub use web::WebEndpoint;

use crate::dialogue::LoginFormat;
use crate::model::{AccountName, DeviceName, Problem, Severity, glob_match};
use crate::policy::Policy;
use crate::rotation::RetryRules;
use crate::schedule::{Crontab, Window};
use crate::sealed::RecoveryKey;
use crate::template::Checked;

/// The config that the daemon reads where none is named.
pub const DEFAULT_PATH: &str = "/etc/rotord/rotord.toml";

/// `[daemon]`.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// Vault and audit log live here.
    pub state_dir: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    /// Folders with templates; an earlier one goes before a later one.
    pub template_dirs: Vec<PathBuf>,
    /// The zone in which schedules and windows are read.
    pub timezone: Tz,
    /// Rotations at once, over all devices.
    pub max_concurrent: usize,
    /// The socket of the service that browsers run in.
    pub browser_socket: PathBuf,
}

/// Where the vault key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file of 32 bytes, mode 0600.
    File(PathBuf),
    /// A credential that systemd passes (`LoadCredential=`, see systemd.exec(5)).
    Credential(String),
}

/// `[access]`: who may do what over the socket. `@name` is a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Status, history, audit.
    pub viewer: Vec<String>,
    /// Rotate, verify, pause; and all that a viewer may.
    pub operator: Vec<String>,
    /// Secrets, tokens, keys; and all that a viewer may.
    pub custodian: Vec<String>,
}

/// `[device.NAME]`.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its name.
    pub name: DeviceName,
    /// How it is reached.
    pub endpoint: Endpoint,
    /// The name of its template.
    pub template: String,
    /// The template's SHA-256, where it is pinned.
    pub template_sha256: Option<String>,
    /// Sessions at once.
    pub max_sessions: usize,
    /// Values of custom tags.
    pub fields: BTreeMap<String, String>,
}

/// How a device is reached. Its kind chooses the executor.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// Over SSH.
    Ssh(Arc<SshEndpoint>),
    /// By a browser.
    Web(Arc<WebEndpoint>),
}

/// A device that is reached over SSH.
#[derive(Debug, Clone)]
pub struct SshEndpoint {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Fingerprints that are trusted, `SHA256:…`.
    pub host_keys: Vec<String>,
    /// An OpenSSH `known_hosts` file that is trusted.
    pub known_hosts: Option<PathBuf>,
    /// The device to go through.
    pub jump: Option<DeviceName>,
    /// The account that logs in at this device where it serves as a jump host.
    pub jump_account: Option<AccountName>,
    /// Whether SHA-1, CBC and other algorithms of old are offered.
    pub legacy_algorithms: bool,
    /// How password and code are asked for.
    pub login_format: LoginFormat,
    /// Floor for the bound on TCP connect and SSH handshake.
    pub connect_timeout: Duration,
}

impl Device {
    /// Its endpoint, where it is reached over SSH.
    #[must_use]
    pub fn ssh(&self) -> Option<&Arc<SshEndpoint>> {
        match &self.endpoint {
            Endpoint::Ssh(ssh) => Some(ssh),
            Endpoint::Web(_) => None,
        }
    }

    /// Its endpoint, where it is a web application.
    #[must_use]
    pub fn web(&self) -> Option<&Arc<WebEndpoint>> {
        match &self.endpoint {
            Endpoint::Ssh(_) => None,
            Endpoint::Web(web) => Some(web),
        }
    }

    /// Its host name or address.
    #[must_use]
    pub fn host(&self) -> &str {
        match &self.endpoint {
            Endpoint::Ssh(ssh) => &ssh.host,
            Endpoint::Web(web) => &web.host,
        }
    }

    /// The device that leads to it.
    #[must_use]
    pub fn jump(&self) -> Option<&DeviceName> {
        self.ssh()?.jump.as_ref()
    }

    /// The account that logs in at this device where it serves as a jump host.
    #[must_use]
    pub fn jump_account(&self) -> Option<&AccountName> {
        self.ssh()?.jump_account.as_ref()
    }
}

impl SshEndpoint {
    /// `host:port` for people.
    #[must_use]
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// `[account."DEVICE/USERNAME"]`.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its name.
    pub name: AccountName,
    /// Its policy.
    pub policy: Arc<Policy>,
    /// Its device.
    pub device: Arc<Device>,
    /// The account that logs in to make the change; itself where `None`.
    pub login_as: Option<AccountName>,
    /// The account through which it can be reset.
    pub reconcile_as: Option<AccountName>,
    /// It is changed after this account was.
    pub after: Option<AccountName>,
    /// Values of custom tags.
    pub fields: BTreeMap<String, String>,
    /// Its device's template.
    pub template: Arc<Checked>,
}

impl Account {
    /// Whether the account, once in quarantine, is mended without being asked.
    #[must_use]
    pub fn mends_itself(&self) -> bool {
        self.policy.auto_reconcile && self.reconcile_as.is_some()
    }

    /// The rules that decide when the account is worked on again.
    #[must_use]
    pub fn retry_rules(&self) -> RetryRules<'_> {
        RetryRules { policy: &self.policy, reconciles_itself: self.mends_itself() }
    }
}

/// What a job does to its accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobAction {
    /// Changes their passwords.
    Rotate,
    /// Logs in with the stored passwords and changes nothing; at most once a day an account.
    Verify,
}

impl JobAction {
    /// The names that the config takes.
    pub const NAMES: &[&str] = &["rotate", "verify"];

    /// Parses one of [`JobAction::NAMES`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "rotate" => Some(Self::Rotate),
            "verify" => Some(Self::Verify),
            _ => None,
        }
    }
}

/// `[job.NAME]`.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// The schedule as written.
    pub schedule_text: String,
    /// When it fires.
    pub schedule: Crontab,
    /// Globs over account names.
    pub accounts: Vec<String>,
    /// What it does to them.
    pub action: JobAction,
    /// Accounts start spread over this time after the job fires.
    pub spread: Duration,
    /// Rotations start only while it is open.
    pub window: Option<Window>,
    /// Whether SIGUSR1 runs it.
    pub on_signal: bool,
    /// Whether one run makes up for times missed while the daemon was down.
    pub catch_up: bool,
}

impl Job {
    /// Whether an account is one of the job's.
    #[must_use]
    pub fn covers(&self, account: &AccountName) -> bool {
        self.accounts.iter().any(|glob| glob_match(glob, account.as_str()))
    }
}

/// A checked config.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[daemon]`.
    pub daemon: Daemon,
    /// `[vault]`: where its key comes from.
    pub vault_key: KeySource,
    /// `[vault]`: the public half of the recovery key, to which backups and escrow are sealed.
    pub recovery_key: Option<RecoveryKey>,
    /// `[vault]`: the folder in which each new password is put in escrow before it is sent.
    pub escrow: Option<PathBuf>,
    /// `[vault]`: a backup that is older is told of; zero where none is.
    pub backup_max_age: Duration,
    /// `[access]`.
    pub access: Access,
    /// Devices by name.
    pub devices: BTreeMap<DeviceName, Arc<Device>>,
    /// Accounts by name.
    pub accounts: BTreeMap<AccountName, Arc<Account>>,
    /// Jobs by name.
    pub jobs: BTreeMap<String, Arc<Job>>,
    /// Who is told of events, by name.
    pub notifiers: BTreeMap<String, Arc<Notifier>>,
    /// The templates found.
    pub library: Library,
    /// Worked out when it is first asked for.
    pub followers: Followers,
}

/// The entries of a device's accounts, in order. They stand together: their names begin with the device's and a slash.
fn accounts_on<'a, T>(
    all: &'a BTreeMap<AccountName, T>,
    device: &str,
) -> impl Iterator<Item = (&'a AccountName, &'a T)> + use<'a, T> {
    let from = format!("{device}/");
    let after = all.range::<str, _>((Bound::Excluded(from.as_str()), Bound::Unbounded));
    after.take_while(move |(name, _)| name.as_str().starts_with(&from))
}

/// Who changes after whom. A copy of a config works it out anew, since it may be edited.
#[derive(Debug, Default)]
pub struct Followers(OnceLock<HashMap<AccountName, Vec<AccountName>>>);

impl Clone for Followers {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Config {
    /// Reads a config with its `config.d` and the templates of its folders. No network connection is made.
    ///
    /// The second value holds all problems; where one of them is an error there is no config.
    #[must_use]
    pub fn load(path: &Path) -> (Option<Self>, Vec<Problem>) {
        Self::load_as(path, guard::Reader::Daemon)
    }

    /// As [`Config::load`], for whoever looks at a config that a daemon reads: root may look at that of another user's.
    #[must_use]
    pub fn inspect(path: &Path) -> (Option<Self>, Vec<Problem>) {
        Self::load_as(path, guard::Reader::Inspector)
    }

    /// The config as it would be with one more file in its `config.d`, which is not there yet.
    #[must_use]
    pub fn load_with(path: &Path, name: &str, text: &str) -> (Option<Self>, Vec<Problem>) {
        let added = sources::Source::of_text(Self::file_of(path, name), text.to_owned());
        Self::read(path, Some(added), guard::Reader::Daemon)
    }

    /// The file of this name in the `config.d` of a config.
    #[must_use]
    pub fn file_of(path: &Path, name: &str) -> PathBuf {
        sources::drop_ins(path).join(format!("{name}.toml"))
    }

    fn load_as(path: &Path, reader: guard::Reader) -> (Option<Self>, Vec<Problem>) {
        Self::read(path, None, reader)
    }

    fn read(path: &Path, added: Option<sources::Source>, reader: guard::Reader) -> (Option<Self>, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut sources = sources::read_sources(path, &mut problems);
        sources.extend(added);
        let config = build::build(path, &sources, reader, &mut problems);
        if let Some(config) = &config {
            guard::check(path, &sources, config, reader, &mut problems);
        }
        let sound = problems.iter().all(|problem| problem.severity != Severity::Error);
        (config.filter(|_| sound), problems)
    }

    /// The accounts of a device, in order.
    pub fn accounts_on<'a>(&'a self, device: &str) -> impl Iterator<Item = &'a Arc<Account>> + use<'a> {
        accounts_on(&self.accounts, device).map(|(_, account)| account)
    }

    /// The accounts that change after this one did, in order.
    #[must_use]
    pub fn followers_of(&self, parent: &AccountName) -> &[AccountName] {
        let work_out = || {
            let mut all: HashMap<AccountName, Vec<AccountName>> = HashMap::new();
            for account in self.accounts.values() {
                if let Some(parent) = &account.after {
                    all.entry(parent.clone()).or_default().push(account.name.clone());
                }
            }
            all
        };
        self.followers.0.get_or_init(work_out).get(parent).map_or(&[], Vec::as_slice)
    }

    /// The accounts of a job, in order.
    pub fn accounts_of<'a>(&'a self, job: &'a Job) -> impl Iterator<Item = &'a Arc<Account>> {
        self.accounts.values().filter(|account| job.covers(&account.name))
    }

    /// The accounts of a job that wait for no other of its accounts; the others change after their parents did.
    #[must_use]
    pub fn leaders_of(&self, job: &Job) -> Vec<AccountName> {
        let all: BTreeSet<&AccountName> = self.accounts_of(job).map(|account| &account.name).collect();
        let leads = |account: &&Arc<Account>| account.after.as_ref().is_none_or(|parent| !all.contains(parent));
        self.accounts_of(job).filter(leads).map(|account| account.name.clone()).collect()
    }

    /// The accounts at which a job begins: all that it verifies, and the leaders of those that it rotates.
    #[must_use]
    pub fn targets_of(&self, job: &Job) -> Vec<AccountName> {
        match job.action {
            JobAction::Rotate => self.leaders_of(job),
            JobAction::Verify => self.accounts_of(job).map(|account| account.name.clone()).collect(),
        }
    }

    /// Some accounts in ranks: each rank's parents, as far as they are among them, stand in the rank before.
    #[must_use]
    pub fn ranks(&self, names: &BTreeSet<AccountName>) -> Vec<Vec<AccountName>> {
        let parent =
            |name: &AccountName| self.accounts.get(name)?.after.as_ref().filter(|parent| names.contains(*parent));
        // Each name's rank, worked out once: from the first ancestor on whose rank is known, down the chain again.
        let mut known: HashMap<&AccountName, usize> = HashMap::new();
        let mut ranks: Vec<Vec<AccountName>> = Vec::new();
        for name in names {
            let mut chain = vec![name];
            while let Some(above) =
                chain.last().and_then(|last| parent(last)).filter(|above| !known.contains_key(above))
            {
                chain.push(above);
            }
            let above = chain.last().and_then(|last| parent(last)).and_then(|above| known.get(above));
            let mut rank = above.map_or(0, |above| above + 1);
            while let Some(last) = chain.pop() {
                let rank_of_last = *known.entry(last).or_insert(rank);
                rank = rank_of_last + 1;
            }
            let own = known.get(name).copied().unwrap_or(0);
            ranks.resize(ranks.len().max(own + 1), Vec::new());
            ranks[own].push(name.clone());
        }
        ranks
    }

    /// The account that logs in at a jump host on the way of `user`: the one that its `jump_account` names, else its
    /// account of the same user name, else its only one.
    #[must_use]
    pub fn jump_login(&self, gateway: &Device, user: &str) -> Option<&Arc<Account>> {
        let of_gateway = || self.accounts_on(gateway.name.as_str());
        let named = gateway.jump_account().map(|name| self.accounts.get(name));
        let mut all = of_gateway();
        let only = all.next().filter(|_| all.next().is_none());
        named.unwrap_or_else(|| of_gateway().find(|account| account.name.user() == user).or(only))
    }

    /// All devices on the way to `device`, itself included.
    #[must_use]
    pub fn way_to(&self, device: &Arc<Device>) -> Vec<Arc<Device>> {
        let mut way = vec![device.clone()];
        let mut next = device.jump();
        while let Some(gateway) = next.and_then(|name| self.devices.get(name)) {
            way.push(gateway.clone());
            next = gateway.jump();
        }
        way
    }

    /// The accounts that log in at the jump hosts on the way to a device.
    #[must_use]
    pub fn jump_accounts(&self, device: &Arc<Device>, user: &str) -> Vec<AccountName> {
        let way = self.way_to(device);
        let logins = way.iter().skip(1).filter_map(|gateway| self.jump_login(gateway, user));
        logins.map(|account| account.name.clone()).collect()
    }

    /// The jobs that SIGUSR1 runs: the marked ones, or all where none is marked.
    #[must_use]
    pub fn signal_jobs(&self) -> Vec<Arc<Job>> {
        let marked: Vec<_> = self.jobs.values().filter(|job| job.on_signal).cloned().collect();
        if marked.is_empty() { self.jobs.values().cloned().collect() } else { marked }
    }

    /// The account that logs in to change `account`.
    #[must_use]
    pub fn login_account(&self, account: &Account) -> AccountName {
        account.login_as.clone().unwrap_or_else(|| account.name.clone())
    }
}

//! What all parts of the daemon share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, watch};

use super::attempt::{Progress, Recorders};
use super::escrow;
use super::escrow_health::EscrowHealth;
use super::limits::Limits;
use super::line::Line;
use super::metrics::Metrics;
use super::overview::Overview;
use super::refusals::Refusals;
use super::world::World;
use crate::audit::Draft;
use crate::clock::{Clock, unsynchronised};
use crate::config::{Config, ConfigTurn, KeySource, TurnKind, take_turn};
use crate::executor::terminal::Terminal;
use crate::executor::web::{LiveViews, Web};
use crate::executor::{DeviceError, Executors, Guards};
use crate::model::{Actor, EventKind, Problem, folder_of};
use crate::totp::Skew;
use crate::vault::{Vault, VaultError, VaultKey};

/// So long a reload waits for a command that is changing the config's files.
const FILES_PATIENCE: Duration = Duration::from_secs(30);

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The config has errors.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Config(Vec<Problem>),
    /// The vault does not open.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Another daemon answers on the control socket, or something else is there.
    #[error("cannot open the control socket {0}: {1}")]
    Socket(PathBuf, std::io::Error),
    /// It was told to stop while it started.
    #[error("told to stop while it started")]
    Stopped,
    /// Something of the system failed.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl StartError {
    /// The exit status. What stays as it is until a person mends it has one that the unit for systemd does not try again.
    #[must_use]
    pub fn exit(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::Vault(VaultError::Key { .. } | VaultError::WrongKey { .. }) => 10,
            Self::Vault(VaultError::Locked(_)) | Self::Socket(..) => 11,
            Self::Vault(
                VaultError::Newer { .. }
                | VaultError::Damaged(..)
                | VaultError::Gone(_)
                | VaultError::KnownElsewhere { .. },
            ) => 12,
            Self::Stopped => 0,
            Self::Vault(_) | Self::System { .. } => 1,
        }
    }
}

/// The daemon's shared state.
#[derive(Debug)]
pub struct Core {
    pub(super) path: PathBuf,
    config: RwLock<Arc<Config>>,
    config_error: RwLock<Option<String>>,
    /// Held by who reads the config's files to put them in force, until they are.
    adopting: tokio::sync::Mutex<()>,
    pub(crate) vault: Vault,
    pub(crate) clock: Clock,
    pub(super) world: World,
    /// What every login goes through.
    pub(crate) guards: Guards,
    pub(super) executors: Executors,
    pub(super) limits: Limits,
    /// Accounts whose work is due.
    pub(super) line: Line,
    pub(crate) progress: broadcast::Sender<Progress>,
    /// Dialogues that persons lead.
    pub(super) recorders: Recorders,
    /// The scheduler looks at its list again.
    pub(super) wake: Arc<Notify>,
    /// Callers who were refused.
    pub(super) refusals: Refusals,
    pub(super) escrow_health: EscrowHealth,
    pub(super) metrics: Metrics,
    /// How many notifiers are in trouble.
    pub(crate) notifiers_failing: AtomicUsize,
    /// How the accounts stand, as of a moment that is a little past.
    pub(super) overview: watch::Sender<Option<Arc<Overview>>>,
    /// When the last backup was made, in milliseconds since 1970.
    pub(super) last_backup: watch::Sender<Option<i64>>,
    /// Why the vault fails, as the last look found.
    pub(super) vault_failure: watch::Sender<Option<String>>,
    /// Whether it is older than the config allows.
    pub(super) backup_is_old: AtomicBool,
    stopping: watch::Sender<bool>,
    /// How many configs were put in force.
    adopted: watch::Sender<u64>,
}

impl Core {
    /// Reads the config and opens the vault.
    ///
    /// # Errors
    /// The config has errors, or the vault does not open.
    pub fn start(path: &Path) -> Result<Arc<Self>, StartError> {
        let (config, problems) = Config::load(path);
        let Some(config) = config else {
            return Err(StartError::Config(problems));
        };
        for problem in problems {
            tracing::warn!("{problem}");
        }
        let key = match &config.vault_key {
            KeySource::File(file) => VaultKey::from_file(file)?,
            KeySource::Credential(name) => VaultKey::from_credential(name)?,
        };
        escrow::refuse_to_begin_anew(&config)?;
        let vault = crate::vault::open(&config.daemon.state_dir, &key)?;
        Ok(Self::assemble(path, config, vault, World::real()))
    }

    /// A daemon of these parts. `path` is where the config is read again from.
    #[must_use]
    pub fn assemble(path: &Path, config: Config, vault: Vault, world: World) -> Arc<Self> {
        let wake = Arc::new(Notify::new());
        let started_ms = world.clock.now().wall_ms;
        let guards = Guards::new(vault.clone(), world.clock.clone());
        Arc::new(Self {
            path: path.to_owned(),
            limits: Limits::new(config.daemon.max_concurrent, wake.clone()),
            line: Line::default(),
            config: RwLock::new(Arc::new(config)),
            config_error: RwLock::new(None),
            adopting: tokio::sync::Mutex::new(()),
            executors: Executors {
                terminal: Terminal::new(world.connector.clone(), guards.clone()),
                web: Web::new(guards.clone()),
            },
            guards,
            vault,
            clock: world.clock.clone(),
            world,
            progress: broadcast::channel(256).0,
            recorders: Recorders::default(),
            wake,
            refusals: Refusals::default(),
            escrow_health: EscrowHealth::default(),
            metrics: Metrics::new(started_ms),
            notifiers_failing: AtomicUsize::new(0),
            overview: watch::channel(None).0,
            last_backup: watch::channel(None).0,
            vault_failure: watch::channel(None).0,
            backup_is_old: AtomicBool::new(false),
            stopping: watch::channel(false).0,
            adopted: watch::channel(0).0,
        })
    }

    /// The browsers that people may look into.
    #[must_use]
    pub fn live_views(&self) -> &LiveViews {
        self.executors.web.live()
    }

    /// Starts a task that nobody waits for.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        (self.world.spawn)(Box::pin(task));
    }

    /// The config in force. A rotation keeps the one that it began with.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why the last reload was refused.
    #[must_use]
    pub fn config_error(&self) -> Option<String> {
        self.config_error.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why nothing can be made durable at present; no rotation starts then.
    pub async fn vault_error(&self) -> Option<String> {
        // Only where something went wrong is it tried again; and where it hangs, nobody waits for it.
        let trouble = self.vault.trouble()?;
        if self.vault.hangs().is_some() {
            return Some(trouble);
        }
        let now = self.clock.now();
        tokio::select! {
            probed = self.vault.call(move |tx| tx.probe(&now)) => probed.err().map(|error| error.to_string()),
            why = self.vault_hangs() => Some(why),
        }
    }

    /// Tells when the vault begins to fail, and why, and when it ends; the log tells of it once it can be written.
    #[must_use]
    pub fn vault_failures(&self) -> watch::Receiver<Option<String>> {
        self.vault_failure.subscribe()
    }

    /// Waits until the vault hangs, and tells of it.
    pub async fn vault_hangs(&self) -> String {
        loop {
            if let Some(why) = self.vault.hangs() {
                return why;
            }
            self.clock.sleep(Duration::from_secs(1)).await;
        }
    }

    /// Why the host's own clock looks wrong, as far as anything tells: what the kernel says, and devices that agree on
    /// codes of another time step.
    #[must_use]
    pub fn clock_warning(&self, skews: &[(String, Skew)], synchronised: Option<bool>) -> Option<String> {
        let config = self.config();
        let off: Vec<i64> = skews
            .iter()
            .filter(|(device, skew)| skew.steps != 0 && config.devices.keys().any(|name| name.as_str() == device))
            .map(|(_, skew)| skew.steps.signum())
            .collect();
        let most = off.iter().filter(|&&sign| sign > 0).count().max(off.iter().filter(|&&sign| sign < 0).count());
        if most >= 2 && most * 2 > config.devices.len() {
            return Some(format!(
                "{most} of {} devices take one-time codes that are off to the same side: this host's clock seems wrong, not theirs",
                config.devices.len()
            ));
        }
        unsynchronised(synchronised)
    }

    /// Why logins that nobody waits for are held back at present, and for how long.
    #[must_use]
    pub fn logins_held(&self) -> Option<String> {
        let free_in_ms = self.guards.breaker().held_for(self.clock.now().since_boot_ms)?;
        Some(DeviceError::HeldBack { free_in_ms }.to_string())
    }

    /// Reads the config again. A broken one is refused whole; the old one stays in force.
    pub async fn reload(&self) {
        let _files = self.files_turn().await;
        let _adopting = self.adopting().await;
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || {
            let (config, problems) = Config::load(&path);
            match config {
                Some(config) => Ok((config, problems)),
                None => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
            }
        });
        // One event tells of a reload: that the config is in force, or that it is refused.
        let event = match read.await.unwrap_or_else(|error| Err(error.to_string())) {
            Ok((config, problems)) => {
                self.prepare_escrow(&config).await;
                self.adopt(config);
                let accounts = self.config().accounts.len();
                tracing::info!(accounts, "config reloaded: {accounts} accounts");
                for problem in problems {
                    tracing::warn!("{problem}");
                }
                Draft::new(EventKind::DaemonReload).detail("in force")
            }
            Err(text) => {
                tracing::error!("the new config is refused, the old one stays in force:\n{text}");
                let (first, count) = (text.lines().next().unwrap_or_default(), text.lines().count());
                let refused = Draft::new(EventKind::ConfigRefused)
                    .detail(format!("{count} problems; the first: {first}; the old config stays in force"));
                *self.config_error.write().unwrap_or_else(PoisonError::into_inner) = Some(text);
                refused
            }
        };
        if let Err(error) = self.audit(event).await {
            tracing::error!(%error, "the reload is not on record: {error}");
        }
        self.wake.notify_one();
    }

    /// Waits until no other config is about to come in force.
    pub(crate) async fn adopting(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.adopting.lock().await
    }

    /// Waits until no command is changing the config's files: what it wrote may go again.
    async fn files_turn(&self) -> Option<ConfigTurn> {
        let folder = folder_of(&self.path).to_owned();
        let waiting = || tracing::info!("the reload waits: a command is changing the config's files");
        let turn = tokio::task::spawn_blocking(move || take_turn(&folder, TurnKind::Read, FILES_PATIENCE, waiting));
        match turn.await.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            Ok(turn) => Some(turn),
            Err(error) => {
                tracing::warn!(%error, "the config is read though a command may be changing its files: {error}");
                None
            }
        }
    }

    /// Tells that the config is being read still, after so long a time.
    pub(super) fn config_is_not_read(&self, time: Duration) {
        let text = format!(
            "the config, its templates or its escrow folder could not be read within {} s: is a file system hanging? The old config stays in force; the new one is taken as soon as it is read",
            time.as_secs()
        );
        tracing::error!("{text}");
        *self.config_error.write().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    /// Puts another config in force.
    pub(crate) fn adopt(&self, config: Config) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        *self.config_error.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.adopted.send_modify(|count| *count += 1);
        self.wake.notify_one();
    }

    /// Tells of each config that is put in force from now on.
    pub(crate) fn adoptions(&self) -> watch::Receiver<u64> {
        self.adopted.subscribe()
    }

    /// Puts an event of its own on record.
    ///
    /// # Errors
    /// The vault or the log failed.
    pub async fn audit(&self, draft: Draft) -> Result<(), VaultError> {
        let now = self.clock.now();
        self.vault.call(move |tx| tx.audit(&draft, &now)).await
    }

    /// Begins to stop: no new work, what is before its commit point ends.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
        self.wake.notify_one();
    }

    /// Whether the daemon is stopping.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Waits until the daemon is stopping.
    pub async fn stopped(&self) {
        let mut stopping = self.stopping.subscribe();
        // An error means that the sender is gone, and so is the daemon.
        drop(stopping.wait_for(|stopping| *stopping).await);
    }

    /// How many accounts are being worked upon.
    #[must_use]
    pub fn at_work(&self) -> usize {
        self.limits.at_work()
    }

    /// The daemon itself, as an actor.
    #[must_use]
    pub fn own_actor() -> Actor {
        static OWN: OnceLock<Actor> = OnceLock::new();
        let look = || {
            let uid = nix::unistd::geteuid();
            let name =
                nix::unistd::User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
            Actor { uid: uid.as_raw(), name, pid: std::process::id() }
        };
        OWN.get_or_init(look).clone()
    }
}

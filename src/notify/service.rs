//! The notifiers at work: one task each, of mail one for each address, begun and ended as the config says, and what is known of them.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::event::Event;
use super::filter::passes;
use super::lane::{Lane, lanes};
use super::message::{Message, Sender};
use super::notice::Story;
use super::sink::{Delivery, deliver};
use super::status::{Shared, SinkStatus, lock};
use super::urgent::Urgent;
use super::worker::Worker;
use crate::daemon::Core;
use crate::model::rfc3339;

/// How often it is looked which of them are in trouble.
const LOOK: Duration = Duration::from_secs(10);
/// A test takes no longer.
const TEST: Duration = Duration::from_secs(60);
struct Running {
    lane: Lane,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    /// Tells what the log cannot have.
    urgent: JoinHandle<()>,
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tested {
    /// There is no such notifier.
    Unknown(Vec<String>),
    /// It was taken, and what is not right all the same.
    Taken(Option<String>),
    /// It was not, and why.
    Failed(String),
}

/// All notifiers of a daemon.
pub struct Notifiers {
    core: Arc<Core>,
    /// The tasks, by the keys of their lanes.
    running: Mutex<BTreeMap<String, Running>>,
}

impl std::fmt::Debug for Notifiers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notifiers(..)")
    }
}

/// The name of this host.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = super::event::clean(name.trim());
    if name.is_empty() { "localhost".into() } else { name }
}

impl Notifiers {
    /// None is at work before [`Self::run`].
    #[must_use]
    pub fn new(core: Arc<Core>) -> Arc<Self> {
        Arc::new(Self { core, running: Mutex::default() })
    }

    /// Keeps them at work until the daemon stops.
    pub async fn run(self: Arc<Self>) {
        let mut adopted = self.core.adoptions();
        let mut vault = self.core.vault_failures();
        vault.mark_changed();
        self.forget_removed().await;
        loop {
            self.adopt().await;
            let failing = self.status().iter().filter(|status| status.trouble().is_some()).count();
            self.core.notifiers_failing.store(failing, Ordering::Relaxed);
            tokio::select! {
                () = self.core.stopped() => break,
                changed = adopted.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    // Its task ends first, or it would save again how far it is.
                    self.adopt().await;
                    self.forget_removed().await;
                }
                Ok(()) = vault.changed() => {
                    let why = vault.borrow_and_update().clone();
                    if let Some(why) = why {
                        self.tell_at_once("vault.failed", &why);
                    }
                }
                () = self.core.clock.sleep(LOOK) => {}
            }
        }
        let running = std::mem::take(&mut *lock(&self.running));
        for (_, running) in running {
            end(running).await;
        }
    }

    /// Begins what the config names and is not at work, and ends the rest.
    async fn adopt(&self) {
        let config = self.core.config();
        let wanted: BTreeMap<String, Lane> =
            lanes(&config.notifiers).into_iter().map(|lane| (lane.key.clone(), lane)).collect();
        let gone: Vec<(String, Running)> = {
            let mut running = lock(&self.running);
            let stays = |key: &String, run: &Running| wanted.get(key) == Some(&run.lane) && !run.task.is_finished();
            let gone: Vec<String> =
                running.iter().filter(|(key, run)| !stays(key, run)).map(|(key, _)| key.clone()).collect();
            gone.into_iter().filter_map(|key| running.remove_entry(&key)).collect()
        };
        for (_, running) in gone {
            end(running).await;
        }
        let sender = Sender { host: host_name(), zone: config.daemon.timezone };
        let mut running = lock(&self.running);
        for (key, lane) in wanted {
            if running.contains_key(&key) {
                continue;
            }
            let (stop, stopped) = watch::channel(false);
            let shared = Arc::new(Shared::default());
            let (name, kind) = (lane.notifier.name.clone(), lane.notifier.kind());
            *lock(&shared.status) = SinkStatus { name, kind, ..SinkStatus::default() };
            let urgent =
                Urgent { core: self.core.clone(), lane: lane.clone(), shared: shared.clone(), sender: sender.clone() };
            let urgent = tokio::spawn(urgent.run());
            let worker = Worker::new(self.core.clone(), lane.clone(), shared.clone(), sender.clone(), stopped);
            let task = tokio::spawn(worker.run());
            running.insert(key, Running { lane, shared, stop, task, urgent });
        }
    }

    /// What the vault knows of notifiers that the config does not name any more goes, with their backlog.
    async fn forget_removed(&self) {
        let lanes = lanes(&self.core.config().notifiers);
        let forgotten = self.core.vault.call(move |tx| {
            let known = tx.notifier_names()?;
            // Before each address of a mail had a place of its own, the notifier had one for all.
            for lane in lanes.iter().filter(|lane| !known.contains(&lane.key)) {
                if let Some(row) = tx.notifier(&lane.notifier.name)? {
                    tx.save_notifier(&lane.key, &row)?;
                }
            }
            let gone: Vec<String> = known.into_iter().filter(|key| lanes.iter().all(|lane| lane.key != *key)).collect();
            gone.iter().try_for_each(|key| tx.remove_notifier(key))?;
            Ok(gone.into_iter().filter(|key| lanes.iter().all(|lane| lane.notifier.name != *key)).collect::<Vec<_>>())
        });
        let forgotten = tokio::select! {
            forgotten = forgotten => forgotten.map_err(|error| error.to_string()),
            why = self.core.vault_hangs() => Err(why),
        };
        match forgotten {
            Ok(gone) => gone.iter().for_each(|key| {
                let name = key.replace('\n', " to ");
                tracing::info!(notifier = %name, "notifier {name} is gone from the config, and what waited for it with it");
            }),
            Err(error) => tracing::debug!(%error, "notifiers that are gone are not forgotten yet"),
        }
    }

    /// Tells all notifiers of something that the log cannot have.
    fn tell_at_once(&self, event: &str, why: &str) {
        let now = self.core.clock.now();
        let mut event = Event::outside(event, rfc3339(now.wall_ms), why);
        event.hash =
            data_encoding::HEXLOWER.encode(&Sha256::digest(format!("{} {} {why}", now.boot, now.since_boot_ms)));
        let notice = Story::default().take(event);
        for running in lock(&self.running).values() {
            if passes(&running.lane.notifier.filter, &notice) {
                running.shared.tell(notice.clone());
            }
        }
    }

    /// How all of them stand, by name.
    #[must_use]
    pub fn status(&self) -> Vec<SinkStatus> {
        let mut all: BTreeMap<String, SinkStatus> = BTreeMap::new();
        for running in lock(&self.running).values() {
            let one = lock(&running.shared.status).clone();
            match all.get_mut(&one.name) {
                Some(before) => before.join(one),
                None => drop(all.insert(one.name.clone(), one)),
            }
        }
        all.into_values().collect()
    }

    /// What is wrong with those that are in trouble.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let troubles: Vec<String> = self.status().iter().filter_map(SinkStatus::trouble).collect();
        (!troubles.is_empty()).then(|| troubles.join("\n"))
    }

    /// Sends a message that says that it is a test, at once and once, beside what waits.
    pub async fn test(&self, name: &str, by: &str) -> Tested {
        let config = self.core.config();
        let Some(notifier) = config.notifiers.get(name) else {
            return Tested::Unknown(config.notifiers.keys().cloned().collect());
        };
        let now = self.core.clock.now();
        let detail = format!("a test of notifier {name}, asked for by {by}: nothing is wrong");
        let mut event = Event::outside("notify.test", rfc3339(now.wall_ms), &detail);
        event.hash =
            data_encoding::HEXLOWER.encode(&Sha256::digest(format!("{} {} {name}", now.boot, now.since_boot_ms)));
        let sender = Sender { host: host_name(), zone: config.daemon.timezone };
        let message = Message::single(&Story::default().take(event), &sender);
        let delivery = match tokio::time::timeout(TEST, deliver(notifier, &[message])).await {
            Ok(delivery) => delivery,
            Err(_) => return Tested::Failed(format!("it took more than {} s", TEST.as_secs())),
        };
        // What was mended is tried again at once.
        match delivery {
            Delivery { failure: Some(failure), .. } => Tested::Failed(failure.why),
            Delivery { flaw, .. } => {
                for running in lock(&self.running).values().filter(|running| running.lane.notifier.name == name) {
                    lock(&running.shared.status).failures = 0;
                    running.shared.kick.notify_one();
                }
                Tested::Taken(flaw)
            }
        }
    }
}

/// Ends a task; what it was about to send is sent by the next one, or at the next start.
async fn end(running: Running) {
    running.stop.send_replace(true);
    running.urgent.abort();
    drop(running.task.await);
}

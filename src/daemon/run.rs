//! From start to stop: signals, the service manager, the schedule and the control socket.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::core::{Core, StartError};
use super::scheduler::keep_schedule;
use crate::audit::Draft;
use crate::config::Config;
use crate::model::{EventKind, Trigger};
use crate::vault::VaultError;

/// How long rotations past their commit point may take to end after a request to stop.
const LAST_ORDERS: Duration = Duration::from_secs(80);

/// How long answers that are on their way may take after that.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// A config that has not been read after this time is told of as one that cannot be read.
const READ_TIME: Duration = Duration::from_secs(10);

fn notify(state: &[NotifyState<'_>]) {
    // Without a service manager there is nobody to tell.
    drop(sd_notify::notify(state));
}

/// The signals that the daemon answers. From the moment on at which this is made none of them ends the process: one that comes while
/// the daemon starts is answered once it is ready.
#[derive(Debug)]
pub struct Signals {
    hangup: Signal,
    usr1: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Sets the handlers. A runtime of tokio's must be entered.
    ///
    /// # Errors
    /// A handler could not be set.
    pub fn listen() -> Result<Self, StartError> {
        let listen =
            |kind, what: &str| signal(kind).map_err(|source| StartError::System { what: what.to_owned(), source });
        Ok(Self {
            hangup: listen(SignalKind::hangup(), "SIGHUP")?,
            usr1: listen(SignalKind::user_defined1(), "SIGUSR1")?,
            terminate: listen(SignalKind::terminate(), "SIGTERM")?,
            interrupt: listen(SignalKind::interrupt(), "SIGINT")?,
        })
    }
}

impl Signals {
    /// Returns once the daemon is told to stop.
    pub async fn told_to_stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Runs the daemon until SIGTERM or SIGINT. `serve` answers the control socket until the daemon stops.
///
/// # Errors
/// The start could not be put on record.
pub async fn run<F: Future<Output = ()> + Send + 'static>(
    core: Arc<Core>,
    signals: Signals,
    serve: F,
) -> Result<(), StartError> {
    let Signals { mut hangup, mut usr1, mut terminate, mut interrupt } = signals;
    core.prepare_escrow(&core.config()).await;
    core.begin().await?;
    tokio::spawn(core.clone().watch_conditions());
    let server = tokio::spawn(serve);
    let config = core.config();
    let status = sizes(&config);
    tracing::info!(accounts = config.accounts.len(), jobs = config.jobs.len(), socket = %config.daemon.socket.display(), "rotord {} is ready: {status}", env!("CARGO_PKG_VERSION"));
    notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
    let mut reload = Reload::default();
    let watchdog = sd_notify::watchdog_enabled().map(|period| period / 2);
    loop {
        tokio::select! {
            // The config is read beside this loop: a disk that hangs holds up nothing but the reload.
            _ = hangup.recv() => reload.ask(&core),
            () = reload.ended() => reload.go_on(&core),
            _ = usr1.recv() => {
                tracing::info!("SIGUSR1: running jobs now");
                core.run_jobs(&core.config().signal_jobs(), Trigger::Signal);
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = async { match watchdog { Some(period) => sleep(period).await, None => std::future::pending().await } } => {
                // Only a vault that answers keeps the watchdog quiet. One that hangs holds up no signal.
                let core = core.clone();
                tokio::spawn(async move {
                    if core.vault.call(|tx| tx.audit_head()).await.is_ok() {
                        notify(&[NotifyState::Watchdog]);
                    }
                });
            }
        }
    }
    notify(&[NotifyState::Stopping]);
    stop(&core).await;
    let unanswered = server.abort_handle();
    if timeout(LAST_ANSWERS, server).await.is_err() {
        unanswered.abort();
    }
    Ok(())
}

impl Core {
    /// Puts the start on record, goes on with what was interrupted, and begins to keep the schedule.
    ///
    /// # Errors
    /// The vault or the audit log failed.
    pub(crate) async fn begin(self: &Arc<Self>) -> Result<(), VaultError> {
        self.audit(Draft {
            actor: Some(Self::own_actor()),
            ..Draft::new(EventKind::DaemonStart).detail(format!("rotord {}", env!("CARGO_PKG_VERSION")))
        })
        .await?;
        self.recover_all().await?;
        self.spawn(keep_schedule(self.clone()));
        Ok(())
    }
}

/// How much there is to do, for `systemctl status`.
fn sizes(config: &Config) -> String {
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    format!("{}, {}", counted(config.accounts.len(), "account"), counted(config.jobs.len(), "job"))
}

/// Reading the config again, once for all who ask for it meanwhile.
#[derive(Default)]
struct Reload {
    under_way: Option<JoinHandle<()>>,
    asked_again: bool,
}

impl Reload {
    fn ask(&mut self, core: &Arc<Core>) {
        if self.under_way.is_some() {
            self.asked_again = true;
            return;
        }
        let mut states = vec![NotifyState::Reloading];
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            states.push(now);
        }
        notify(&states);
        self.under_way = Some(tokio::spawn(reload(core.clone())));
    }

    /// Returns once what is under way has ended.
    async fn ended(&mut self) {
        match &mut self.under_way {
            // One that broke off has told why.
            Some(task) => drop(task.await),
            None => std::future::pending().await,
        }
    }

    fn go_on(&mut self, core: &Arc<Core>) {
        self.under_way = None;
        if std::mem::take(&mut self.asked_again) {
            self.ask(core);
        }
    }
}

async fn reload(core: Arc<Core>) {
    let ready = |core: &Core| {
        let status = core
            .config_error()
            .map_or_else(|| sizes(&core.config()), |_| "the new config is refused; the old one is in force".into());
        notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
    };
    let read = core.reload();
    tokio::pin!(read);
    if timeout(READ_TIME, read.as_mut()).await.is_err() {
        core.config_is_not_read(READ_TIME);
        ready(&core);
        read.await;
    }
    ready(&core);
}

/// Takes no new work, lets rotations past their commit point end, and puts the end on record.
async fn stop(core: &Arc<Core>) {
    tracing::info!(at_work = core.at_work(), "stopping; attempts under way: {}", core.at_work());
    core.stop();
    let deadline = Instant::now() + LAST_ORDERS;
    let idle = async {
        while core.at_work() > 0 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    if timeout_at(deadline, idle).await.is_err() {
        tracing::warn!(
            at_work = core.at_work(),
            "stopping all the same; what is unknown is found out at the next start"
        );
    }
    core.tell_refusals(true).await;
    if let Err(error) = core.audit(Draft::new(EventKind::DaemonStop)).await {
        tracing::error!(%error, "the stop is not on record: {error}");
    }
    let settled = match core.vault.admin() {
        Ok(admin) => admin.checkpoint().await,
        Err(error) => Err(error),
    };
    if let Err(error) = settled {
        tracing::warn!(%error, "a part of the vault stays in the file vault.db-wal: copy both or neither");
    }
}

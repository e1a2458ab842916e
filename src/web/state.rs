//! What all pages share: the daemon behind them, the fleet as it was last seen, and work that was asked for here.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use chrono::Utc;
use chrono_tz::Tz;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::guard::Guard;
use super::live::{Hub, News};
use super::log::{self, Days};
use super::rows::Fleet;
use crate::control::{
    AccountLine, Client, ClientError, CountBody, MeBody, ProgressBody, ResultBody, ResultsBody, WorkBody,
};

/// How often the fleet is looked at while somebody looks at a page.
const AGAIN: Duration = Duration::from_secs(2);
/// A look may take a part of the time of which this is the inverse, at the most.
const SHARE: u32 = 15;
/// A page that nobody asked for anything for so long is not looked at.
const LOOKED_AT: Duration = Duration::from_secs(60);
/// For so long it is gathered what is heard.
const GATHERED: Duration = Duration::from_millis(250);
/// From more accounts on the whole fleet is looked at in place of each of them.
const MOST_HEARD: usize = 50;
/// Work that is remembered.
const KEPT_WORK: usize = 20;
/// Accounts that are asked for at once.
const AT_ONCE: usize = 2000;
/// Events of the log that are counted, the last ones.
const COUNTED: u64 = 500_000;

/// Work that was asked for on a page.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) id: u64,
    /// `rotate`, `verify` or `reconcile`.
    pub(super) what: &'static str,
    pub(super) total: usize,
    /// Seconds since 1970.
    pub(super) started: i64,
    pub(super) ended: Option<i64>,
    pub(super) results: Vec<ResultBody>,
    /// How many accounts have their outcome, whether or not it is known here.
    pub(super) finished: usize,
    /// The last step, and whose it is.
    pub(super) step: Option<(String, String)>,
    pub(super) error: Option<String>,
}

/// What all pages share.
pub(super) struct App {
    pub(super) client: Client,
    pub(super) guard: Guard,
    pub(super) hub: Hub,
    /// No request comes for this time: the page ends.
    idle: Duration,
    me: RwLock<Arc<MeBody>>,
    fleet: RwLock<Arc<Fleet>>,
    pub(super) days: Mutex<Days>,
    work: Mutex<VecDeque<Work>>,
    used: Mutex<Instant>,
    looked: Mutex<Instant>,
    answers: watch::Sender<bool>,
    look: Notify,
    /// Accounts of which something was heard.
    heard: Mutex<BTreeSet<String>>,
    hear: Notify,
    over: watch::Sender<bool>,
}

/// Locks what no panic can leave half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl App {
    /// Asks the daemon who is here and how the fleet stands.
    ///
    /// # Errors
    /// No daemon, or no role.
    pub(super) async fn start(client: Client, guard: Guard, idle: Duration) -> Result<Arc<Self>, ClientError> {
        let me: MeBody = client.get("/v1/me", &[]).await?;
        let fleet = load(&client).await?;
        let now = Instant::now();
        Ok(Arc::new(Self {
            client,
            guard,
            hub: Hub::default(),
            idle,
            me: RwLock::new(Arc::new(me)),
            fleet: RwLock::new(Arc::new(fleet)),
            days: Mutex::default(),
            work: Mutex::default(),
            used: Mutex::new(now),
            looked: Mutex::new(now),
            answers: watch::channel(true).0,
            look: Notify::new(),
            heard: Mutex::default(),
            hear: Notify::new(),
            over: watch::channel(false).0,
        }))
    }

    /// Who the daemon says that we are.
    pub(super) fn me(&self) -> Arc<MeBody> {
        self.me.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The fleet as it was last seen.
    pub(super) fn fleet(&self) -> Arc<Fleet> {
        self.fleet.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The zone of the config.
    pub(super) fn zone(&self) -> Tz {
        self.me().timezone.parse().unwrap_or(Tz::UTC)
    }

    /// Whether the daemon answered last.
    pub(super) fn answers(&self) -> bool {
        *self.answers.borrow()
    }

    /// A person asks for something.
    pub(super) fn used(&self) {
        *lock(&self.used) = Instant::now();
        self.looked();
    }

    /// A page asks for something by itself.
    pub(super) fn looked(&self) {
        *lock(&self.looked) = Instant::now();
    }

    /// Ends when the page does.
    pub(super) fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut over = self.over.subscribe();
        async move { drop(over.wait_for(|over| *over).await) }
    }

    /// Ends the page.
    pub(super) fn end(&self) {
        self.guard.leave();
        self.over.send_replace(true);
    }

    /// Returns once nobody has used the page for its idle time.
    pub(super) async fn unused(&self) {
        loop {
            let left = self.idle.saturating_sub(lock(&self.used).elapsed());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    /// Has the fleet looked at soon.
    pub(super) fn look_soon(&self) {
        self.look.notify_one();
    }

    /// Looks at the fleet again and again, as long as somebody looks at a page.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut rest = AGAIN;
        loop {
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = self.look.notified() => {}
            }
            if !self.hub.is_heard() && lock(&self.looked).elapsed() > LOOKED_AT {
                continue;
            }
            let begun = Instant::now();
            let seen = self.see().await;
            self.tell_answer(seen.is_ok());
            rest = AGAIN.max(begun.elapsed() * SHARE);
        }
    }

    /// Hears of what happens as it happens.
    pub(super) async fn heed(self: Arc<Self>) {
        loop {
            let heard = self.client.get_lines("/v1/events", &[("steps", "true")], |line| {
                if let Some(account) = line.strip_prefix("data: ").and_then(account_of) {
                    lock(&self.heard).insert(account);
                    self.hear.notify_one();
                }
            });
            let ended = heard.await;
            // A daemon that ends its answer is gone, or going.
            drop(ended);
            self.look_soon();
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Looks at the accounts of which something was heard.
    pub(super) async fn follow(self: Arc<Self>) {
        loop {
            self.hear.notified().await;
            tokio::time::sleep(GATHERED).await;
            let heard = std::mem::take(&mut *lock(&self.heard));
            if !self.hub.is_heard() {
                continue;
            }
            if heard.len() > MOST_HEARD {
                self.look_soon();
                continue;
            }
            for name in heard {
                // An account that is not in the config any more is seen by the next look.
                drop(self.see_account(&name).await);
            }
        }
    }

    fn tell_answer(&self, answers: bool) {
        if self.answers.send_replace(answers) != answers {
            self.hub.tell(News::Daemon(answers));
        }
    }

    async fn see(&self) -> Result<(), ClientError> {
        let me: MeBody = self.client.get("/v1/me", &[]).await?;
        *self.me.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(me);
        let fleet = load(&self.client).await?;
        let former = self.fleet();
        let changed = fleet.changed_since(&former);
        drop(former);
        let changed = changed.map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
        *self.fleet.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fleet);
        match changed {
            Some(names) if names.is_empty() => {}
            Some(names) => self.hub.tell(News::Accounts(names)),
            None => self.hub.tell(News::Accounts(Vec::new())),
        }
        self.count_days().await
    }

    /// Counts the events that came since the last look.
    pub(super) async fn count_days(&self) -> Result<(), ClientError> {
        let mut seq = lock(&self.days).seq;
        if seq == 0 {
            let newest = log::last(&self.client, 1).await?.last().map_or(0, |event| event.seq);
            seq = newest.saturating_sub(COUNTED);
        }
        loop {
            let events = log::after(&self.client, seq).await?;
            let Some(last) = events.last() else { return Ok(()) };
            seq = last.seq;
            let mut days = lock(&self.days);
            events.iter().for_each(|event| days.take(event));
        }
    }

    /// Looks at one account, so that the next page shows what was just done.
    pub(super) async fn see_account(&self, name: &str) -> Result<(), ClientError> {
        let mut found = Vec::new();
        self.client
            .get_lines("/v1/accounts", &[("account", &literal(name))], |line| {
                found.extend(serde_json::from_str::<AccountLine>(line).ok())
            })
            .await?;
        let mut fleet = self.fleet.write().unwrap_or_else(PoisonError::into_inner);
        let fleet = Arc::make_mut(&mut fleet);
        found.iter().for_each(|line| fleet.put(line));
        drop(found);
        self.hub.tell(News::Accounts(vec![name.to_owned()]));
        Ok(())
    }

    /// Work that was asked for here, the newest first.
    pub(super) fn work(&self) -> Vec<Work> {
        lock(&self.work).iter().rev().cloned().collect()
    }

    fn with_work(&self, id: u64, change: impl FnOnce(&mut Work)) {
        if let Some(work) = lock(&self.work).iter_mut().find(|work| work.id == id) {
            change(work);
        }
        self.hub.tell(News::Work);
    }

    /// Has something done to accounts, and follows it.
    pub(super) fn begin(self: &Arc<Self>, what: &'static str, names: Vec<String>, reason: Option<String>) -> u64 {
        let id = {
            let mut all = lock(&self.work);
            let id = all.back().map_or(1, |last| last.id + 1);
            let (total, started) = (names.len(), Utc::now().timestamp());
            let (results, finished, step, error) = (Vec::new(), 0, None, None);
            all.push_back(Work { id, what, total, started, ended: None, results, finished, step, error });
            if all.len() > KEPT_WORK {
                all.pop_front();
            }
            id
        };
        let app = self.clone();
        tokio::spawn(async move {
            for part in names.chunks(AT_ONCE) {
                if let Err(error) = app.part(id, what, part, reason.as_deref()).await {
                    app.with_work(id, |work| work.error = Some(error.to_string()));
                    break;
                }
            }
            app.with_work(id, |work| work.ended = Some(Utc::now().timestamp()));
            app.look_soon();
        });
        id
    }

    async fn part(&self, id: u64, what: &str, names: &[String], reason: Option<&str>) -> Result<(), ClientError> {
        let accounts = names.iter().map(|name| literal(name)).collect();
        let body = WorkBody { accounts, reason: reason.map(str::to_owned), stream: true, ..WorkBody::default() };
        let told = |line: &str| {
            if let Ok(progress) = serde_json::from_str::<ProgressBody>(line) {
                self.hub.tell(News::Accounts(vec![progress.account.clone()]));
                self.with_work(id, |work| work.step = Some((progress.account, progress.step.text)));
            } else if let Ok(count) = serde_json::from_str::<CountBody>(line) {
                let finished = usize::try_from(count.finished).unwrap_or(usize::MAX);
                self.with_work(id, |work| work.finished = work.results.len().saturating_add(finished));
            } else if let Ok(mut last) = serde_json::from_str::<ResultsBody>(line) {
                // What happened stands in each account's history.
                last.results.iter_mut().for_each(|result| result.steps = Vec::new());
                let names: Vec<String> = last.results.iter().take(200).map(|result| result.account.clone()).collect();
                self.with_work(id, |work| {
                    work.results.append(&mut last.results);
                    work.finished = work.results.len();
                });
                self.hub.tell(News::Accounts(names));
            }
        };
        self.client.post_lines(&format!("/v1/{what}"), &body, told).await
    }
}

/// The account of an event.
fn account_of(event: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        account: Option<String>,
    }
    serde_json::from_str::<Named>(event).ok()?.account
}

/// A glob that matches a name and nothing else.
pub(super) fn literal(name: &str) -> String {
    // A glob that is the name itself matches it; but others may match it as a glob too.
    name.chars().map(|c| if matches!(c, '*' | '?' | '[') { format!("[{c}]") } else { c.to_string() }).collect()
}

/// The whole fleet.
pub(super) async fn load(client: &Client) -> Result<Fleet, ClientError> {
    let mut fleet = Fleet::default();
    let mut bad = None;
    client
        .get_lines("/v1/accounts", &[], |line| match serde_json::from_str::<AccountLine>(line) {
            Ok(line) => fleet.put(&line),
            Err(error) => bad = Some(error.to_string()),
        })
        .await?;
    match bad {
        // The place is told, and nothing of what stands there.
        Some(_) => Err(ClientError::Broken("a line of /v1/accounts is not what is expected".into())),
        None => {
            fleet.shrink();
            Ok(fleet)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::glob_match;

    #[test]
    fn a_name_is_taken_as_itself_whatever_is_in_it() {
        for name in ["web1/admin", "web1/a*b", "web1/[ab]", "web1/a?", "w/é"] {
            let glob = literal(name);
            assert!(glob_match(&glob, name), "{glob}");
        }
        assert!(!glob_match(&literal("web1/a*b"), "web1/axb") && !glob_match(&literal("web1/[ab]"), "web1/a"));
    }
}

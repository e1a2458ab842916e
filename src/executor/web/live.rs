//! Browsers that a person may look into: runs that wait for one, and sessions that are handed over.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc, oneshot};

use crate::browser::{Browser, Reply, Request, Trouble};
use crate::model::{AccountName, Actor, Secret};

/// What a person did in the live view, and where its answer goes.
pub struct Passed {
    /// What the browser is asked for.
    pub request: Request,
    /// What came of it.
    pub done: oneshot::Sender<Result<Reply, Trouble>>,
}

/// What a browser is shown for.
#[derive(Debug, Clone)]
pub enum LiveKind {
    /// Its run waits for a person.
    Parked {
        /// What is never shown.
        secrets: Vec<Secret>,
        /// The attempt's id.
        attempt: Option<Arc<str>>,
    },
    /// A person makes a change in it, which is recorded.
    Recorded {
        /// What is never shown.
        secrets: Vec<Secret>,
        /// Where what the person does is put down, and passed on.
        inputs: mpsc::Sender<Passed>,
    },
    /// It is a person's, who works in it until the session ends.
    Session {
        /// The user whose it is: nobody else looks into it.
        uid: u32,
        /// What is never shown, whatever the page does.
        secrets: Vec<Secret>,
    },
}

/// A browser that a person may look into.
pub struct Live {
    /// The browser.
    pub browser: Arc<Browser>,
    /// What the person is asked to do, in words without a secret.
    pub asked: String,
    /// Until when it is kept, in milliseconds since 1970.
    pub until_ms: i64,
    /// What it is shown for.
    pub kind: LiveKind,
    continued: Notify,
    /// Who said that the run goes on.
    continued_by: Mutex<Option<Actor>>,
    /// Who is on record as looking into it.
    pub viewers: Viewers,
}

/// Who is on record as looking into a browser, by user id; `None` once it is shown to nobody any more.
pub struct Viewers(AsyncMutex<Option<BTreeMap<u32, Actor>>>);

impl Default for Viewers {
    fn default() -> Self {
        Self(AsyncMutex::new(Some(BTreeMap::new())))
    }
}

impl Viewers {
    /// Has it put on record that this person looks into the browser, at the first time. Nobody else is let in meanwhile, so that a person
    /// who comes twice at the same moment is on record once. `false` where it is shown to nobody any more.
    ///
    /// # Errors
    /// Those of `record`: the person is not on record then, and must not be shown anything.
    pub async fn admit<E>(&self, viewer: &Actor, record: impl Future<Output = Result<(), E>>) -> Result<bool, E> {
        let mut viewers = self.0.lock().await;
        let Some(viewers) = viewers.as_mut() else { return Ok(false) };
        if let Entry::Vacant(new) = viewers.entry(viewer.uid) {
            record.await?;
            new.insert(viewer.clone());
        }
        Ok(true)
    }

    /// Lets nobody in any more; who was let in.
    async fn close(&self) -> Vec<Actor> {
        self.0.lock().await.take().unwrap_or_default().into_values().collect()
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl Live {
    pub(super) fn new(browser: Arc<Browser>, asked: String, until_ms: i64, kind: LiveKind) -> Self {
        let (continued, continued_by) = (Notify::new(), Mutex::new(None));
        Self { browser, asked, until_ms, kind, continued, continued_by, viewers: Viewers::default() }
    }

    /// Whether a run waits for a person here.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        matches!(self.kind, LiveKind::Parked { .. })
    }

    /// The person says that it is done.
    pub fn go_on(&self, by: Actor) {
        *self.continued_by.lock().unwrap_or_else(PoisonError::into_inner) = Some(by);
        self.continued.notify_one();
    }

    /// Lets nobody in any more; who said that the run goes on, and who looked into it.
    pub(super) async fn close(&self) -> (Option<Actor>, Vec<Actor>) {
        let viewers = self.viewers.close().await;
        (self.continued_by.lock().unwrap_or_else(PoisonError::into_inner).take(), viewers)
    }

    /// Returns once the person says so.
    pub(super) async fn continued(&self) {
        self.continued.notified().await;
    }
}

/// All of them, by account.
#[derive(Debug, Clone, Default)]
pub struct LiveViews(Arc<Mutex<HashMap<AccountName, Arc<Live>>>>);

/// One of them; no more when dropped.
pub(super) struct Shown {
    views: LiveViews,
    account: AccountName,
    pub(super) live: Arc<Live>,
}

impl Drop for Shown {
    fn drop(&mut self) {
        let mut views = self.views.lock();
        if views.get(&self.account).is_some_and(|live| Arc::ptr_eq(live, &self.live)) {
            views.remove(&self.account);
        }
    }
}

impl LiveViews {
    fn lock(&self) -> MutexGuard<'_, HashMap<AccountName, Arc<Live>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The browser of an account that a person may look into, if there is one.
    #[must_use]
    pub fn of(&self, account: &AccountName) -> Option<Arc<Live>> {
        self.lock().get(account).cloned()
    }

    pub(super) fn show(&self, account: &AccountName, live: Live) -> Shown {
        let live = Arc::new(live);
        self.lock().insert(account.clone(), live.clone());
        Shown { views: self.clone(), account: account.clone(), live }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(uid: u32) -> Actor {
        Actor { uid, name: format!("user{uid}"), pid: 1 }
    }

    #[tokio::test]
    async fn who_looks_is_put_on_record_once_and_not_let_in_where_that_fails() {
        let viewers = Viewers::default();
        assert_eq!(viewers.admit(&person(1), async { Err("the disk is full") }).await, Err("the disk is full"));
        let mut written = 0;
        for _ in 0..2 {
            let record = async {
                written += 1;
                Ok::<_, ()>(())
            };
            assert_eq!(viewers.admit(&person(1), record).await, Ok(true));
        }
        assert_eq!(written, 1);
        assert_eq!(viewers.admit(&person(2), async { Ok::<_, ()>(()) }).await, Ok(true));
        let names: Vec<String> = viewers.close().await.into_iter().map(|viewer| viewer.name).collect();
        assert_eq!(names, ["user1", "user2"]);
        assert_eq!(viewers.admit(&person(1), async { Ok::<_, ()>(()) }).await, Ok(false));
    }
}

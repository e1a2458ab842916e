//! Browsers that a person may look into: runs that wait for one, and sessions that are handed over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc, oneshot};

use crate::browser::{Browser, Reply, Request, Trouble};
use crate::model::{AccountName, Secret};

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
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl Live {
    pub(super) fn new(browser: Arc<Browser>, asked: String, until_ms: i64, kind: LiveKind) -> Self {
        Self { browser, asked, until_ms, kind, continued: Notify::new() }
    }

    /// Whether a run waits for a person here.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        matches!(self.kind, LiveKind::Parked { .. })
    }

    /// The person says that it is done.
    pub fn go_on(&self) {
        self.continued.notify_one();
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

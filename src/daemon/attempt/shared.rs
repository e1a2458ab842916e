//! What an attempt shares with those that run beside it: its steps and masker while it is at work, and its reserved sessions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::daemon::limits::Leases;
use crate::daemon::slots::Slot;
use crate::model::{Masker, Secret, Step};

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an attempt holds while it is at work.
pub(super) struct Room {
    _leases: Leases,
    _seeds: Vec<Slot>,
    reserved: Reserved,
}

/// Sessions for the next login of an attempt, which gives them back where it has to wait for a code.
pub(super) type Reserved = Arc<Mutex<Option<Vec<Slot>>>>;

impl Room {
    pub(super) fn new(leases: Leases, seeds: Vec<Slot>, reserved: Reserved) -> Self {
        Self { _leases: leases, _seeds: seeds, reserved }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // The login for which they were is not made.
        lock(&self.reserved).take();
    }
}

/// What has happened in an attempt, without a secret of it.
#[derive(Default)]
pub(super) struct StepLog {
    steps: Mutex<Vec<Step>>,
    /// Knows every password of the attempt: what a device says may hold one.
    masker: Mutex<Masker>,
    /// There are steps that are not in the vault yet.
    unsaved: Notify,
    /// It is more than a request that waits in a line: from here on its steps are kept.
    begun: AtomicBool,
}

impl StepLog {
    pub(super) fn push(&self, step: Step) {
        lock(&self.steps).push(step);
        self.unsaved.notify_one();
    }

    /// The steps so far.
    pub(super) fn steps(&self) -> Arc<[Step]> {
        lock(&self.steps).as_slice().into()
    }

    /// The steps at the end; none is left.
    pub(super) fn take(&self) -> Arc<[Step]> {
        std::mem::take(&mut *lock(&self.steps)).into()
    }

    /// Returns once there are steps that are not in the vault yet.
    pub(super) async fn unsaved(&self) {
        self.unsaved.notified().await;
    }

    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::SeqCst);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    /// From now on a secret is masked.
    pub(super) fn hide(&self, secret: &Secret) {
        lock(&self.masker).add(secret);
    }

    /// From now on all that a masker knows is masked. Returns a masker of all that is known by now.
    pub(super) fn learn(&self, known: &Masker) -> Masker {
        let mut all = lock(&self.masker);
        all.add_all(known);
        all.clone()
    }

    pub(super) fn masked(&self, text: impl Into<String>) -> String {
        lock(&self.masker).mask(text)
    }
}

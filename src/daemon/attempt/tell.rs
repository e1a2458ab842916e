//! What is told of an attempt: its events by its kind, its line in the log, its steps as they come, and its result.

use std::sync::Arc;
use std::time::Duration;

use super::Attempt;
use super::context::{AttemptContext, Mode};
use super::request::{Progress, RotationResult};
use crate::audit::Draft;
use crate::executor::DeviceError;
use crate::model::{AttemptKind, EventKind, FailureCause, Outcome, Step};

/// Steps are in the vault within this time, so that a crash leaves what came before it.
const SAVED_WITHIN: Duration = Duration::from_secs(1);

/// The audit event that ends an attempt of a kind.
fn end_event(kind: AttemptKind, outcome: Outcome) -> EventKind {
    match (kind, outcome) {
        (AttemptKind::Verify, Outcome::Done) => EventKind::VerifyDone,
        (AttemptKind::Verify, _) => EventKind::VerifyFailed,
        (AttemptKind::Rehearse, _) => EventKind::TemplateRehearsed,
        (AttemptKind::Browse, _) => EventKind::BrowseEnd,
        (_, Outcome::Done) => EventKind::RotationDone,
        (_, Outcome::Failed | Outcome::Refused) => EventKind::RotationFailed,
        (_, Outcome::Unknown) => EventKind::RotationUnknown,
    }
}

/// The event that ends an attempt of which the log has no end, since the daemon ended before it.
pub(in crate::daemon) fn event_of_interrupted(kind: AttemptKind) -> EventKind {
    end_event(kind, Outcome::Unknown)
}

/// How an attempt of a kind ended, in words that stand before its detail.
fn ended(kind: AttemptKind, outcome: Outcome) -> &'static str {
    match (kind, outcome) {
        (AttemptKind::Rotate | AttemptKind::Reconcile, Outcome::Done) => "password changed and verified",
        (AttemptKind::Rotate, Outcome::Refused) => "rotation refused",
        (AttemptKind::Rotate, Outcome::Failed) => "rotation failed, the old password is in force",
        (AttemptKind::Rotate, Outcome::Unknown) => "rotation without known outcome",
        (AttemptKind::Reconcile, Outcome::Refused) => "reconcile refused",
        (AttemptKind::Reconcile, Outcome::Failed) => "reconcile failed",
        (AttemptKind::Reconcile, Outcome::Unknown) => "reconcile without known outcome",
        (AttemptKind::Verify, Outcome::Done) => "verified",
        (AttemptKind::Verify, Outcome::Refused) => "verify refused",
        (AttemptKind::Verify, _) => "verify failed",
        (AttemptKind::Recover, Outcome::Done) => "recovered",
        (AttemptKind::Recover, Outcome::Failed) => "recovered; the change that was interrupted failed",
        (AttemptKind::Recover, _) => "not recovered yet",
        (AttemptKind::Rehearse, Outcome::Done) => "rehearsed",
        (AttemptKind::Rehearse, _) => "rehearsal failed",
        (AttemptKind::Browse, Outcome::Done) => "browser session ended",
        (AttemptKind::Browse, Outcome::Refused) => "browser session refused",
        (AttemptKind::Browse, _) => "browser session failed",
    }
}

/// What an error decides about the remedy.
pub(super) fn cause_of(error: &DeviceError) -> Option<FailureCause> {
    match error {
        DeviceError::Refused { with_code: true, .. } => Some(FailureCause::Code),
        DeviceError::Refused { with_code: false, .. } => Some(FailureCause::Password),
        DeviceError::NoSeed { .. } => Some(FailureCause::NoSeed),
        DeviceError::HostKeyUnknown { .. } => Some(FailureCause::HostKeyUnknown),
        DeviceError::HostKeyMismatch { .. } => Some(FailureCause::HostKeyChanged),
        _ => None,
    }
}

impl AttemptContext {
    /// The event that puts the end of this attempt on record, where `event` tells what a rotation would have. What a transition told
    /// of a verify is not its end.
    pub(super) fn event_of_end(&self, outcome: Outcome, event: Option<EventKind>) -> Option<EventKind> {
        if self.mode == Mode::Verify { Some(end_event(AttemptKind::Verify, outcome)) } else { event }
    }

    /// The event of a request that is not carried out.
    pub(super) fn refusal_event(&self) -> EventKind {
        match self.mode {
            Mode::Verify => EventKind::VerifyFailed,
            Mode::Browse => EventKind::BrowseEnd,
            _ => EventKind::RotationRefused,
        }
    }

    /// The event that ends an attempt of which nothing else told the end.
    pub(super) fn draft_of_end(&self, outcome: Outcome, detail: &str) -> Draft {
        let event = end_event(self.request.kind, outcome);
        Draft { outcome: Some(outcome), ..self.draft(event).detail(detail) }
    }

    /// Runs the attempt, and keeps its steps in the vault as they come.
    pub(super) async fn keeping_steps<T>(&self, run: impl Future<Output = T>) -> T {
        let _at_work = self.core.vault.at_work();
        tokio::select! {
            biased;
            result = run => result,
            never = self.keep_steps() => never,
        }
    }

    async fn keep_steps<T>(&self) -> T {
        loop {
            self.log.unsaved().await;
            self.core.clock.sleep(SAVED_WITHIN).await;
            let row = self.open_row(self.log.steps());
            if row.steps.is_empty() || !self.log.has_begun() {
                continue;
            }
            let (account, attempt) = (self.account.name.clone(), self.id.clone());
            self.core.vault.later(
                move |tx| tx.note_steps(&row),
                move |error| tracing::debug!(%account, %attempt, %error, "steps are not stored"),
            );
        }
    }
}

impl Attempt {
    /// Takes note of what decides about the remedy.
    pub(super) fn note_cause(&mut self, error: &DeviceError) {
        if let Some(cause) = cause_of(error) {
            self.logins.failure = Some(cause);
        }
    }

    /// One line for the operators' log: account, device and job stand in its text, and as fields.
    pub(super) fn log(&self, outcome: Outcome, detail: &str) {
        let (account, device) = (&self.cx.account.name, &self.cx.account.device.name);
        let (attempt, trigger) = (&*self.cx.id, self.cx.request.trigger.as_str());
        let job = self.cx.request.job.as_deref();
        let event = end_event(self.cx.request.kind, outcome).as_str();
        let of_job = job.map_or_else(String::new, |job| format!(" (job {job})"));
        let ended = ended(self.cx.request.kind, outcome);
        let line = format!("{account}{of_job}: {ended}: {detail}");
        let unclean = self.told.warning.is_some();
        match outcome {
            Outcome::Done if !unclean => tracing::info!(%account, %device, job, attempt, trigger, event, "{line}"),
            Outcome::Refused => tracing::info!(%account, %device, job, attempt, trigger, event, "{line}"),
            Outcome::Done | Outcome::Failed => {
                tracing::warn!(%account, %device, job, attempt, trigger, event, "{line}")
            }
            Outcome::Unknown => tracing::error!(%account, %device, job, attempt, trigger, event, "{line}"),
        }
    }

    pub(super) fn result(&self, outcome: Outcome, detail: String, steps: Arc<[Step]>) -> RotationResult {
        let now = self.cx.core.clock.now();
        let (kind, trigger, template) =
            (self.cx.request.kind, self.cx.request.trigger, &self.cx.account.device.template);
        self.cx.core.metrics.attempt(kind, outcome, trigger, template, now.wall_ms - self.cx.started);
        let step = Step { at: now.wall_ms, text: detail.clone() };
        let (attempt, account) = (self.cx.id.clone(), self.cx.account.name.clone());
        drop(self.cx.core.progress.send(Progress { attempt, account, step, ended: Some(outcome) }));
        let (account, attempt) = (self.cx.account.name.clone(), self.cx.id.to_string());
        let (warning, proved) = (self.told.warning.clone(), self.logins.proved);
        RotationResult { account, kind, outcome, attempt, detail, warning, proved, steps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_attempt_but_a_rotation_ends_as_a_rotation() {
        for outcome in [Outcome::Done, Outcome::Failed, Outcome::Refused, Outcome::Unknown] {
            assert!(end_event(AttemptKind::Verify, outcome).as_str().starts_with("verify."));
            assert!(end_event(AttemptKind::Rotate, outcome).as_str().starts_with("rotation."));
            for kind in AttemptKind::ALL.into_iter().filter(|kind| *kind != AttemptKind::Rotate) {
                let words = ended(kind, outcome);
                assert!(!words.contains("rotation"), "{kind:?} {outcome:?}: {words}");
                assert_eq!(AttemptKind::parse(kind.as_str()), Some(kind));
            }
        }
        assert_eq!(end_event(AttemptKind::Verify, Outcome::Done), EventKind::VerifyDone);
        assert_eq!(event_of_interrupted(AttemptKind::Verify), EventKind::VerifyFailed);
        assert_eq!(event_of_interrupted(AttemptKind::Browse), EventKind::BrowseEnd);
    }

    #[test]
    fn a_refusal_with_a_code_and_a_strange_key_have_causes_of_their_own() {
        let refused = |with_code| DeviceError::Refused { account: "web1/a".into(), why: "no".into(), with_code };
        let key = ("web1".to_owned(), "SHA256:x".to_owned());
        let (device, fingerprint) = key.clone();
        let unknown = DeviceError::HostKeyUnknown { device, fingerprint };
        let changed = DeviceError::HostKeyMismatch { device: key.0, fingerprint: key.1 };
        for (error, cause) in [
            (refused(true), Some(FailureCause::Code)),
            (refused(false), Some(FailureCause::Password)),
            (DeviceError::NoSeed { account: "web1/a".into() }, Some(FailureCause::NoSeed)),
            (unknown, Some(FailureCause::HostKeyUnknown)),
            (changed, Some(FailureCause::HostKeyChanged)),
            (DeviceError::NotCommitted("the daemon is stopping".into()), None),
        ] {
            assert_eq!(cause_of(&error), cause, "{error}");
            assert_eq!(cause.map(|cause| FailureCause::parse(cause.as_str())), cause.map(Some));
        }
    }
}

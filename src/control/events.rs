//! Events as they happen: those of the audit log, then each one once it is in the log, as server-sent events.
//!
//! The format is that of the HTML Living Standard, section 9.2: `id` is the number of the event in the log, so that a reader
//! who comes back with `Last-Event-ID` misses nothing. A reader gets what he takes, from the log's files: one who takes it
//! slowly holds a few pieces in memory, whatever happens meanwhile.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::DateTime;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use super::auth::{ApiError, Peer, Role};
use super::json::Query;
use super::pieces::{Inlet, Pieces};
use super::types::{ErrorBody, EventsQuery, StepBody, StepEvent};
use crate::audit::{Event, before_time, each_after};
use crate::daemon::{Core, Progress};
use crate::model::{AccountName, EventKind, glob_match, nearest, rfc3339};

/// Lines of the log that are looked at for one piece of an answer.
const BATCH: usize = 256;
/// After so long a silence a comment is sent, so that a reader knows that he is not forgotten.
const ALIVE: Duration = Duration::from_secs(15);

/// Which events somebody wants.
#[derive(Debug, Clone, Default)]
struct Filter {
    kinds: Option<Vec<EventKind>>,
    account: Option<String>,
    device: Option<String>,
    job: Option<String>,
}

fn fits(glob: Option<&String>, name: Option<&str>) -> bool {
    glob.is_none_or(|glob| name.is_some_and(|name| glob_match(glob, name)))
}

impl Filter {
    fn of(query: &EventsQuery) -> Result<Self, ApiError> {
        let kinds = query.kind.as_deref().map(kinds_of).transpose()?;
        let (account, device, job) = (query.account.clone(), query.device.clone(), query.job.clone());
        Ok(Self { kinds, account, device, job })
    }

    fn takes_all(&self) -> bool {
        self.kinds.is_none() && self.account.is_none() && self.device.is_none() && self.job.is_none()
    }

    fn takes(&self, event: &Event) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| event.kind.is_some_and(|kind| kinds.contains(&kind)))
            && fits(self.account.as_ref(), event.account.as_ref().map(AccountName::as_str))
            && fits(self.device.as_ref(), event.device.as_ref().map(crate::model::DeviceName::as_str))
            && fits(self.job.as_ref(), event.job.as_deref())
    }

    /// The steps of an account's attempts; they are of no kind and of no job.
    fn takes_steps_of(&self, account: &AccountName) -> bool {
        fits(self.account.as_ref(), Some(account.as_str())) && fits(self.device.as_ref(), Some(account.device_str()))
    }
}

/// The kinds that words or globs, parted by commas, name.
fn kinds_of(text: &str) -> Result<Vec<EventKind>, ApiError> {
    let mut kinds = Vec::new();
    for word in text.split(',').map(str::trim) {
        let before = kinds.len();
        kinds.extend(EventKind::ALL.iter().copied().filter(|kind| glob_match(word, kind.as_str())));
        if kinds.len() == before {
            let near = nearest(word, EventKind::ALL.iter().map(|kind| kind.as_str()));
            let near = near.map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
            return Err(ApiError::malformed(format!("kind: there is no such kind of event{near}")));
        }
    }
    Ok(kinds)
}

/// A part of the log as it is sent, and up to where it was read.
#[derive(Debug, PartialEq, Eq)]
struct Batch {
    text: Vec<u8>,
    read_to: u64,
}

/// The next events above a number that a filter takes. Up to `head` the log's file is known to be whole.
fn read_batch(folder: &Path, after: u64, head: u64, filter: &Filter) -> std::io::Result<Batch> {
    let (mut text, mut read, mut read_to) = (Vec::new(), 0, after);
    each_after(folder, after, BATCH, &mut |line| {
        read += 1;
        // What is no event of ours cannot be told from others, and is passed over.
        let Some(event) = Event::parse(line) else { return Ok(()) };
        read_to = event.seq;
        if filter.takes_all() || filter.takes(&event) {
            text.extend_from_slice(format!("id: {}\nevent: {}\ndata: ", event.seq, event.name).as_bytes());
            text.extend_from_slice(line);
            text.extend_from_slice(b"\n\n");
        }
        Ok(())
    })?;
    // What was taken out of the folder will not come any more.
    Ok(Batch { text, read_to: if read < BATCH { read_to.max(head) } else { read_to } })
}

/// Sends events to one reader.
struct Sender {
    core: Arc<Core>,
    folder: PathBuf,
    filter: Filter,
    inlet: Inlet,
    appended: watch::Receiver<u64>,
    steps: Option<broadcast::Receiver<Progress>>,
    /// The number up to which all is sent.
    sent: u64,
}

impl Sender {
    /// Whether the reader is there still.
    async fn put(&self, text: impl Into<Bytes>) -> bool {
        self.inlet.send(Ok(text.into())).await.is_ok()
    }

    /// Sends what is in the log and was not sent; whether there is more to do.
    async fn catch_up(&mut self) -> bool {
        let head = *self.appended.borrow_and_update();
        while self.sent < head {
            let (folder, filter, sent) = (self.folder.clone(), self.filter.clone(), self.sent);
            let read = tokio::task::spawn_blocking(move || read_batch(&folder, sent, head, &filter)).await;
            match read.map_err(std::io::Error::other).flatten() {
                Ok(batch) => {
                    self.sent = batch.read_to;
                    if !batch.text.is_empty() && !self.put(batch.text).await {
                        return false;
                    }
                }
                Err(error) => {
                    drop(self.inlet.send(Err(error)).await);
                    return false;
                }
            }
        }
        true
    }

    async fn tell_step(&self, step: Result<Progress, RecvError>) -> bool {
        match step {
            Ok(progress) if self.filter.takes_steps_of(&progress.account) => self.put(step_text(&progress)).await,
            Ok(_) | Err(RecvError::Closed) => true,
            Err(RecvError::Lagged(count)) => self.put(format!(": {count} steps were missed\n\n")).await,
        }
    }

    /// Sends events until the reader goes away, may not read any more, or has all that it asked for.
    async fn follow(self, peer: Peer, live: bool) {
        let core = self.core.clone();
        tokio::select! {
            biased;
            // A reader that takes nothing holds this up no longer than any other.
            () = revoked(&core, &peer) => {}
            () = self.send(live) => {}
        }
    }

    async fn send(mut self, live: bool) {
        // A comment shows a reader at once that he is heard.
        if !self.put(": events\n\n").await {
            return;
        }
        while self.catch_up().await && live {
            let goes_on = tokio::select! {
                biased;
                () = self.core.stopped() => false,
                () = self.inlet.closed() => false,
                changed = self.appended.changed() => changed.is_ok(),
                step = next_step(&mut self.steps) => self.tell_step(step).await,
                () = tokio::time::sleep(ALIVE) => self.put(": alive\n\n").await,
            };
            if !goes_on {
                return;
            }
        }
    }
}

/// Waits until a reload takes the caller's last role away.
async fn revoked(core: &Core, peer: &Peer) {
    let mut adoptions = core.adoptions();
    while peer.has_a_role(&core.config().access) {
        if adoptions.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn next_step(steps: &mut Option<broadcast::Receiver<Progress>>) -> Result<Progress, RecvError> {
    match steps {
        Some(steps) => steps.recv().await,
        None => std::future::pending().await,
    }
}

fn step_text(progress: &Progress) -> String {
    let body = StepEvent {
        attempt: progress.attempt.to_string(),
        account: progress.account.to_string(),
        step: StepBody { at: rfc3339(progress.step.at), text: progress.step.text.clone() },
        outcome: progress.ended.map(|outcome| outcome.as_str().to_owned()),
    };
    format!("event: step\ndata: {}\n\n", serde_json::to_string(&body).unwrap_or_default())
}

/// The number behind which somebody wants the events; `None` for those to come.
fn begin(query: &EventsQuery, headers: &HeaderMap, folder: &Path) -> Result<Option<u64>, ApiError> {
    // Both are judged, though one of them is not needed where there is the other.
    if query.after.is_some_and(|after| i64::try_from(after).is_err()) {
        return Err(ApiError::malformed("after: no event has such a number"));
    }
    let since = query.since.as_deref().map(DateTime::parse_from_rfc3339).transpose();
    let since = since.map_err(|_| ApiError::malformed("since: a time is written as 2026-11-30T20:15:00Z"))?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    if let Some(after) = last.or(query.after) {
        return Ok(Some(after));
    }
    let Some(since) = since else { return Ok(None) };
    let before = before_time(folder, since.timestamp_millis());
    before.map(Some).map_err(|error| ApiError::failed(error.to_string()))
}

/// Events as they happen: what the log has, then what comes.
#[utoipa::path(get, path = "/v1/events", tag = "viewer",
    params(EventsQuery, ("Last-Event-ID" = Option<String>, Header, description = "the number of the last event that was read")),
    responses((status = 200, description = "server-sent events: `id` is the event's number, `event` its kind, `data` its line in the audit log", content_type = "text/event-stream"), (status = 400, body = ErrorBody)))]
pub(super) async fn events(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    Query(query): Query<EventsQuery>,
) -> Result<Response, ApiError> {
    peer.require(&core, Role::Viewer).await?;
    let filter = Filter::of(&query)?;
    let (folder, appended) = (core.vault.audit_folder().to_owned(), core.vault.appended());
    let live = query.follow.unwrap_or(true);
    let steps = query.steps.then(|| core.progress.subscribe());
    let (at, asked) = (folder.clone(), query);
    let begin = tokio::task::spawn_blocking(move || begin(&asked, &headers, &at));
    let begin = begin.await.map_err(|error| ApiError::failed(error.to_string()))??;
    let head = *appended.borrow();
    // A number that is not reached yet is of another log; without one, an answer that ends has all that is there.
    let sent = begin.unwrap_or(if live { head } else { 0 }).min(head);
    let (inlet, pieces) = Pieces::new(4);
    let sender = Sender { core, folder, filter, inlet, appended, steps, sent };
    tokio::spawn(sender.follow(peer, live));
    let headers = [("content-type", "text/event-stream"), ("cache-control", "no-store")];
    Ok((headers, Body::new(pieces)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Draft, GENESIS, LogFiles};
    use crate::model::DeviceName;

    fn query(kind: Option<&str>) -> EventsQuery {
        EventsQuery { kind: kind.map(str::to_owned), ..EventsQuery::default() }
    }

    fn event(kind: EventKind, account: Option<&str>, job: Option<&str>) -> Draft {
        let account = account.map(|name| AccountName::parse(name).unwrap());
        let device = account.as_ref().map(AccountName::device);
        Draft { account, device, job: job.map(Into::into), ..Draft::new(kind) }
    }

    fn log(folder: &Path, drafts: &[Draft]) {
        let mut prev = GENESIS.to_owned();
        let chained: Vec<_> = drafts
            .iter()
            .zip(1..)
            .map(|(draft, seq)| {
                let event = draft.chain(seq, 1_700_000_000_000, &prev).unwrap();
                prev.clone_from(&event.hash);
                event
            })
            .collect();
        LogFiles::open(folder).unwrap().append(&chained).unwrap();
    }

    #[test]
    fn kinds_are_named_by_words_and_globs() {
        let rotation = kinds_of("rotation.*, host_key.mismatch").unwrap();
        assert!(rotation.contains(&EventKind::RotationDone) && rotation.contains(&EventKind::HostKeyMismatch));
        assert!(!rotation.contains(&EventKind::DaemonStart));
        for wrong in ["rotation.don", "", "rotation.done,", "*x"] {
            assert!(kinds_of(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_filter_takes_what_it_names_alone_and_the_reading_goes_on_behind_what_it_leaves_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut drafts = vec![
            event(EventKind::DaemonStart, None, None),
            event(EventKind::RotationDone, Some("web1/ada"), Some("nightly")),
            event(EventKind::RotationDone, Some("db1/ada"), None),
        ];
        drafts.extend((0..600).map(|_| event(EventKind::DaemonReload, None, None)));
        drafts.push(event(EventKind::RotationDone, Some("web1/bob"), Some("nightly")));
        log(folder.path(), &drafts);
        let told = |query: &EventsQuery| {
            let (filter, head) = (Filter::of(query).unwrap(), 604);
            let (mut after, mut told, mut rounds) = (0, String::new(), 0);
            while after < head {
                let batch = read_batch(folder.path(), after, head, &filter).unwrap();
                assert!(batch.read_to > after);
                (after, rounds) = (batch.read_to, rounds + 1);
                told += &String::from_utf8(batch.text).unwrap();
            }
            assert!(rounds <= 604 / BATCH + 1, "{rounds}");
            told.lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(told(&query(None)).len(), 604);
        assert_eq!(told(&query(Some("rotation.*"))), ["2", "3", "604"]);
        let of = |account: Option<&str>, device: Option<&str>, job: Option<&str>| EventsQuery {
            account: account.map(str::to_owned),
            device: device.map(str::to_owned),
            job: job.map(str::to_owned),
            ..EventsQuery::default()
        };
        assert_eq!(told(&of(Some("*/ada"), None, None)), ["2", "3"]);
        assert_eq!(told(&of(None, Some("web*"), None)), ["2", "604"]);
        assert_eq!(told(&of(Some("*/ada"), None, Some("nightly"))), ["2"]);
        let filter = Filter::of(&of(None, Some("web*"), None)).unwrap();
        let steps_of = |name: &str| filter.takes_steps_of(&AccountName::parse(name).unwrap());
        assert!(steps_of("web1/ada") && !steps_of("db1/ada"));
        assert_eq!(DeviceName::parse("web1").unwrap().as_str(), "web1");
    }

    #[test]
    fn an_event_is_an_id_a_kind_and_its_line() {
        let folder = tempfile::tempdir().unwrap();
        log(folder.path(), &[event(EventKind::TotpShown, Some("web1/ada"), None).detail("two\nlines")]);
        let batch = read_batch(folder.path(), 0, 1, &Filter::default()).unwrap();
        let text = String::from_utf8(batch.text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], lines[1], lines.len()), ("id: 1", "event: totp.shown", 4), "{text}");
        let data: serde_json::Value = serde_json::from_str(lines[2].strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!((&data["seq"], &data["detail"]), (&1.into(), &"two\nlines".into()));
        assert!(text.ends_with("\n\n"));
        assert_eq!(
            read_batch(folder.path(), 1, 9, &Filter::default()).unwrap(),
            Batch { text: Vec::new(), read_to: 9 }
        );
    }
}

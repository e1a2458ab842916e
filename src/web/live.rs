//! What open pages are told without asking (server-sent events, HTML standard, section 9.2).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::Frame;
use serde_json::json;
use tokio::sync::{broadcast, mpsc};
use tokio::time::timeout;

/// Events that a page may be behind before it is told to load everything again.
const BEHIND: usize = 256;
/// After so long a silence a line without meaning is sent, so that a page that is gone is noticed.
const QUIET: Duration = Duration::from_secs(20);

/// Something that an open page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// These accounts stand otherwise; all may, where none is named.
    Accounts(Vec<String>),
    /// Work that was asked for here went on.
    Work,
    /// Whether the daemon answers.
    Daemon(bool),
}

impl News {
    /// As it is sent: a name and data in one line each.
    fn line(&self) -> String {
        let (name, data) = match self {
            Self::Accounts(names) => ("accounts", json!(names)),
            Self::Work => ("work", json!([])),
            Self::Daemon(answers) => ("daemon", json!(answers)),
        };
        format!("event: {name}\ndata: {data}\n\n")
    }
}

/// Where news come from, and who listens.
#[derive(Debug)]
pub(super) struct Hub {
    sender: broadcast::Sender<News>,
    listeners: Arc<AtomicUsize>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { sender: broadcast::channel(BEHIND).0, listeners: Arc::default() }
    }
}

struct Listener(Arc<AtomicUsize>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hub {
    /// Tells all pages.
    pub(super) fn tell(&self, news: News) {
        // Nobody may listen.
        drop(self.sender.send(news));
    }

    /// Whether a page is open.
    pub(super) fn is_heard(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
    }

    /// A stream of news, which ends when `over` does.
    pub(super) fn stream(&self, over: impl Future<Output = ()> + Send + 'static) -> Response {
        let mut news = self.sender.subscribe();
        self.listeners.fetch_add(1, Ordering::Relaxed);
        let listener = Listener(self.listeners.clone());
        let (inlet, pieces) = mpsc::channel::<Bytes>(8);
        tokio::spawn(async move {
            let _listener = listener;
            tokio::pin!(over);
            let mut line = "retry: 2000\n\n".to_owned();
            loop {
                if inlet.send(Bytes::from(line)).await.is_err() {
                    return;
                }
                line = tokio::select! {
                    () = &mut over => return,
                    () = inlet.closed() => return,
                    heard = timeout(QUIET, news.recv()) => match heard {
                        Err(_) => ": still here\n\n".to_owned(),
                        Ok(Ok(news)) => news.line(),
                        Ok(Err(broadcast::error::RecvError::Lagged(_))) => News::Accounts(Vec::new()).line(),
                        Ok(Err(broadcast::error::RecvError::Closed)) => return,
                    },
                };
            }
        });
        ([("content-type", "text/event-stream")], Body::new(Pieces(pieces))).into_response()
    }
}

struct Pieces(mpsc::Receiver<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_page_hears_what_is_told_and_is_counted_while_it_listens() {
        let hub = Hub::default();
        assert!(!hub.is_heard());
        let (end, over) = tokio::sync::oneshot::channel::<()>();
        let mut body = hub.stream(async move { drop(over.await) }).into_body();
        assert!(hub.is_heard());
        let mut next = async || body.frame().await.map(|frame| frame.unwrap().into_data().unwrap());
        assert_eq!(next().await.unwrap(), "retry: 2000\n\n");
        // Nothing of a name can end the line.
        hub.tell(News::Accounts(vec!["web1/a\n\nevent: x".into()]));
        assert_eq!(next().await.unwrap(), "event: accounts\ndata: [\"web1/a\\n\\nevent: x\"]\n\n");
        hub.tell(News::Daemon(false));
        assert_eq!(next().await.unwrap(), "event: daemon\ndata: false\n\n");
        end.send(()).unwrap();
        assert!(next().await.is_none());
        drop(body);
        while hub.is_heard() {
            tokio::task::yield_now().await;
        }
    }
}

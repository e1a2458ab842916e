//! Answers that come in pieces, as they are made.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;

/// The body of such an answer. One whose last piece is an error breaks off, so that nobody takes it for whole.
pub(super) struct Pieces {
    /// The first one, where it was looked at.
    first: Option<Bytes>,
    more: mpsc::Receiver<io::Result<Bytes>>,
}

/// Where the pieces are put in.
pub(super) type Inlet = mpsc::Sender<io::Result<Bytes>>;

impl Pieces {
    /// A body, and where its pieces are put in; so many may wait to be sent.
    pub(super) fn new(waiting: usize) -> (Inlet, Self) {
        let (inlet, pieces) = mpsc::channel(waiting);
        (inlet, Self { first: None, more: pieces })
    }

    /// The body once its first piece is there.
    ///
    /// # Errors
    /// There is an error in its place: it can still be told as one.
    pub(super) async fn begun(mut self) -> io::Result<Self> {
        self.first = self.more.recv().await.transpose()?;
        Ok(self)
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        self.more.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// Writes pieces, from a thread that may wait.
pub(super) struct Pour<'a>(pub(super) &'a Inlet);

impl Write for Pour<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "whoever asked is gone");
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

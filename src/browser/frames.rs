//! One connection between the daemon and a browser's helper carries the typed requests and the browser's way out.
//!
//! A frame has a kind (1 byte), a stream (4 bytes) and a length (4 bytes), then its payload. Requests and replies are JSON in
//! frames of stream 0. Each connection that the browser opens is a stream of its own, with a window: who reads slowly holds up
//! nobody else.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

/// Bytes of a request or a reply, at the most: a screenshot is the largest.
const MOST_CONTROL: usize = 24 << 20;
/// Bytes of a frame of a stream, at the most.
const MOST_DATA: usize = 32 << 10;
/// Frames of a stream that are on their way at the same time, at the most.
const WINDOW: usize = 16;
/// Streams at the same time, at the most.
const MOST_STREAMS: usize = 256;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A request or a reply.
    Control,
    /// The browser opens a connection.
    Open,
    /// Bytes of a stream.
    Data,
    /// A frame of a stream was passed on.
    Credit,
    /// No more bytes of a stream follow.
    End,
    /// A stream is over.
    Gone,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Control, Self::Open, Self::Data, Self::Credit, Self::End, Self::Gone];

    fn code(self) -> u8 {
        Self::ALL.iter().position(|kind| *kind == self).and_then(|at| u8::try_from(at).ok()).unwrap_or_default()
    }
}

/// A frame.
struct Frame {
    kind: Kind,
    stream: u32,
    payload: Vec<u8>,
}

async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    let mut head = [0u8; 9];
    from.read_exact(&mut head).await?;
    let [code, a, b, c, d, e, f, g, h] = head;
    let kind = Kind::ALL.get(usize::from(code)).copied().ok_or(io::ErrorKind::InvalidData)?;
    let length = usize::try_from(u32::from_be_bytes([e, f, g, h])).unwrap_or(usize::MAX);
    if length > if kind == Kind::Control { MOST_CONTROL } else { MOST_DATA } {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut payload = vec![0u8; length];
    from.read_exact(&mut payload).await?;
    Ok(Frame { kind, stream: u32::from_be_bytes([a, b, c, d]), payload })
}

async fn write_frame(to: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> io::Result<()> {
    let length = u32::try_from(frame.payload.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut head = [0u8; 9];
    head[0] = frame.kind.code();
    head[1..5].copy_from_slice(&frame.stream.to_be_bytes());
    head[5..9].copy_from_slice(&length.to_be_bytes());
    to.write_all(&head).await?;
    to.write_all(&frame.payload).await?;
    to.flush().await
}

/// This side of a stream: what came in for it, and how much more it may send.
struct Stream {
    incoming: mpsc::Sender<Option<Vec<u8>>>,
    credit: Arc<Semaphore>,
}

/// What the other side sends, beside bytes of known streams.
pub(super) enum Incoming {
    /// A request or a reply, as JSON.
    Control(Vec<u8>),
    /// A connection that the browser opens.
    Opened(Half),
}

/// This side of the connection. It is cheap to clone.
#[derive(Clone)]
pub(super) struct Frames {
    out: mpsc::Sender<Frame>,
    /// `None` once the connection is gone.
    streams: Arc<Mutex<Option<HashMap<u32, Stream>>>>,
}

/// The connection itself: closed when dropped, with all of its streams.
pub(super) struct Connection([AbortHandle; 2], Frames);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
        self.1.break_off();
    }
}

/// A stream that is to be joined with a socket.
pub(super) struct Half {
    frames: Frames,
    number: u32,
    incoming: mpsc::Receiver<Option<Vec<u8>>>,
    credit: Arc<Semaphore>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Frames {
    /// Over a connection. What comes in is handed to the receiver, which ends with the connection.
    pub(super) fn over(
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin + Send + 'static,
    ) -> (Self, mpsc::Receiver<Incoming>, Connection) {
        let (out, to_write) = mpsc::channel(64);
        let (incoming, receiver) = mpsc::channel(64);
        let frames = Self { out, streams: Arc::new(Mutex::new(Some(HashMap::new()))) };
        let writes = tokio::spawn(write_all(writer, to_write)).abort_handle();
        let reads = tokio::spawn(read_all(reader, frames.clone(), incoming)).abort_handle();
        (frames.clone(), receiver, Connection([writes, reads], frames))
    }

    /// Sends a request or a reply. `false`: the connection is gone.
    pub(super) async fn control(&self, payload: Vec<u8>) -> bool {
        self.send(Kind::Control, 0, payload).await
    }

    /// Opens a stream of this number.
    pub(super) async fn open(&self, number: u32) -> Option<Half> {
        let half = self.enter(number)?;
        self.send(Kind::Open, number, Vec::new()).await.then_some(half)
    }

    async fn send(&self, kind: Kind, stream: u32, payload: Vec<u8>) -> bool {
        self.out.send(Frame { kind, stream, payload }).await.is_ok()
    }

    fn enter(&self, number: u32) -> Option<Half> {
        let mut streams = lock(&self.streams);
        let streams = streams.as_mut()?;
        if streams.len() >= MOST_STREAMS || streams.contains_key(&number) {
            return None;
        }
        // The end of a stream counts as one frame more.
        let (sender, incoming) = mpsc::channel(WINDOW + 1);
        let credit = Arc::new(Semaphore::new(WINDOW));
        streams.insert(number, Stream { incoming: sender, credit: credit.clone() });
        Some(Half { frames: self.clone(), number, incoming, credit })
    }

    /// Passes a frame on to its stream. One that sends more than it may is cut off.
    fn deliver(&self, frame: Frame) {
        let mut streams = lock(&self.streams);
        let Some(streams) = streams.as_mut() else { return };
        let Some(stream) = streams.get(&frame.stream) else { return };
        let kept = match frame.kind {
            Kind::Data => stream.incoming.try_send(Some(frame.payload)).is_ok(),
            Kind::End => stream.incoming.try_send(None).is_ok(),
            Kind::Credit => {
                stream.credit.add_permits(1);
                stream.credit.available_permits() <= WINDOW
            }
            Kind::Gone | Kind::Control | Kind::Open => false,
        };
        if !kept && let Some(stream) = streams.remove(&frame.stream) {
            stream.credit.close();
        }
    }

    /// Forgets a stream.
    fn leave(&self, number: u32) {
        if let Some(streams) = lock(&self.streams).as_mut() {
            streams.remove(&number);
        }
    }

    /// Ends all streams, and lets none begin.
    fn break_off(&self) {
        for (_, stream) in lock(&self.streams).take().into_iter().flatten() {
            stream.credit.close();
        }
    }
}

async fn write_all(mut writer: impl AsyncWrite + Unpin, mut frames: mpsc::Receiver<Frame>) {
    while let Some(mut frame) = frames.recv().await {
        let written = write_frame(&mut writer, &frame).await;
        zeroize::Zeroize::zeroize(&mut frame.payload);
        if written.is_err() {
            return;
        }
    }
}

async fn read_all(mut reader: impl AsyncRead + Unpin, frames: Frames, incoming: mpsc::Sender<Incoming>) {
    while let Ok(frame) = read_frame(&mut reader).await {
        let news = match frame.kind {
            Kind::Control => Some(Incoming::Control(frame.payload)),
            Kind::Open => frames.enter(frame.stream).map(Incoming::Opened),
            _ => {
                frames.deliver(frame);
                None
            }
        };
        if let Some(news) = news
            && incoming.send(news).await.is_err()
        {
            break;
        }
    }
    frames.break_off();
}

impl Half {
    /// Carries bytes between the stream and a socket until both are at their end, or one breaks, or the connection is gone: a server
    /// may keep its socket open for as long as it likes.
    pub(super) async fn join(self, reader: impl AsyncRead + Unpin, writer: impl AsyncWrite + Unpin) {
        let Self { frames, number, incoming, credit } = self;
        let both = async {
            tokio::join!(
                carry_out(&frames, number, &credit, reader),
                carry_in(&frames, number, &credit, incoming, writer)
            )
        };
        tokio::select! {
            _ = both => {}
            () = frames.out.closed() => {}
        }
        frames.leave(number);
        frames.send(Kind::Gone, number, Vec::new()).await;
    }

    /// The next bytes of the stream; `None` at its end.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        let bytes = self.incoming.recv().await.flatten()?;
        self.frames.send(Kind::Credit, self.number, Vec::new()).await;
        Some(bytes)
    }

    /// Sends bytes on the stream.
    pub(super) async fn say(&self, bytes: &[u8]) {
        if let Ok(permit) = self.credit.acquire().await {
            permit.forget();
            self.frames.send(Kind::Data, self.number, bytes.to_vec()).await;
        }
    }

    /// Ends the stream.
    pub(super) async fn hang_up(self) {
        self.frames.leave(self.number);
        self.frames.send(Kind::Gone, self.number, Vec::new()).await;
    }
}

async fn carry_out(frames: &Frames, number: u32, credit: &Semaphore, mut reader: impl AsyncRead + Unpin) {
    let mut buffer = vec![0u8; MOST_DATA];
    loop {
        let Ok(permit) = credit.acquire().await else { return };
        permit.forget();
        match reader.read(&mut buffer).await {
            Ok(read) if read > 0 => {
                let bytes = buffer.get(..read).unwrap_or_default().to_vec();
                if !frames.send(Kind::Data, number, bytes).await {
                    return;
                }
            }
            _ => {
                frames.send(Kind::End, number, Vec::new()).await;
                return;
            }
        }
    }
}

async fn carry_in(
    frames: &Frames,
    number: u32,
    credit: &Semaphore,
    mut incoming: mpsc::Receiver<Option<Vec<u8>>>,
    mut writer: impl AsyncWrite + Unpin,
) {
    while let Some(Some(bytes)) = incoming.recv().await {
        if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
            // Nobody listens any more: what is sent from here is of no use either.
            credit.close();
            return;
        }
        frames.send(Kind::Credit, number, Vec::new()).await;
    }
    let _ = writer.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixStream;

    type End = (Frames, mpsc::Receiver<Incoming>, Connection);

    fn pair() -> (End, End) {
        let (here, there) = UnixStream::pair().unwrap();
        let over = |socket: UnixStream| {
            let (reader, writer) = socket.into_split();
            Frames::over(reader, writer)
        };
        (over(here), over(there))
    }

    #[tokio::test]
    async fn a_stream_that_nobody_reads_holds_up_neither_requests_nor_others() {
        let ((here, _, _open), (_there, mut incoming, _open_too)) = pair();
        let slow = here.open(1).await.unwrap();
        let pushing = tokio::spawn(slow.join(tokio::io::repeat(7), tokio::io::sink()));
        let Some(Incoming::Opened(_unread)) = incoming.recv().await else { panic!("opened") };
        let mut other = here.open(2).await.unwrap();
        let Some(Incoming::Opened(mut second)) = incoming.recv().await else { panic!("opened") };
        other.say(b"hello").await;
        assert_eq!(second.next().await.unwrap(), b"hello");
        second.say(b"back").await;
        assert_eq!(other.next().await.unwrap(), b"back");
        assert!(here.control(b"{}".to_vec()).await);
        assert!(matches!(incoming.recv().await, Some(Incoming::Control(text)) if text == b"{}"));
        pushing.abort();
    }

    #[tokio::test]
    async fn the_end_of_the_connection_ends_its_streams_though_their_sockets_stay_open() {
        let ((here, _, open), (_there, mut incoming, _open_too)) = pair();
        let half = here.open(1).await.unwrap();
        let Some(Incoming::Opened(_unread)) = incoming.recv().await else { panic!("opened") };
        let (socket, _kept_open) = UnixStream::pair().unwrap();
        let (reader, writer) = socket.into_split();
        let joined = tokio::spawn(half.join(reader, writer));
        drop(open);
        joined.await.unwrap();
        assert!(here.open(2).await.is_none(), "none begins any more");
    }

    #[tokio::test]
    async fn bytes_go_both_ways_in_order_and_the_ends_are_told() {
        let ((here, _, _open), (_there, mut incoming, _open_too)) = pair();
        let sent: Vec<u8> = (0..3_000_000u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let half = here.open(9).await.unwrap();
        let (out, back) = (sent.clone(), Vec::new());
        let first = tokio::spawn(async move {
            let mut back = back;
            half.join(out.as_slice(), &mut back).await;
            back
        });
        let Some(Incoming::Opened(half)) = incoming.recv().await else { panic!("opened") };
        let mut came = Vec::new();
        half.join(b"short answer".as_slice(), &mut came).await;
        assert_eq!(came.len(), sent.len());
        assert!(came == sent);
        assert_eq!(first.await.unwrap(), b"short answer");
    }

    #[tokio::test]
    async fn a_frame_that_is_too_long_or_of_no_kind_ends_the_connection() {
        for head in [[2u8, 0, 0, 0, 1, 0xff, 0, 0, 0], [77, 0, 0, 0, 1, 0, 0, 0, 0]] {
            let mut bytes = head.as_slice();
            assert_eq!(read_frame(&mut bytes).await.err().unwrap().kind(), io::ErrorKind::InvalidData);
        }
    }
}

//! An answer that is written on a blocking thread as fast as the client reads it.
//!
//! ```text
//! blocking thread -> Pieces -- a few pieces --> Body -> hyper -> socket
//! ```
//!
//! A client that takes no piece for a while loses its connection, and the thread is free.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Bytes, Frame};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

/// How many pieces wait for the client.
const PIECES_WAITING: usize = 2;
/// How long the client may take for a piece.
pub(crate) const STALL_MAX: Duration = Duration::from_secs(30);

type Piece = Result<Bytes, io::Error>;

/// What a request does to the connection that it came on.
#[derive(Clone, Default)]
pub(crate) struct Connection(Arc<Shared>);

#[derive(Default)]
struct Shared {
    is_long: AtomicBool,
    cut: Notify,
}

impl Connection {
    /// An answer takes as long as it takes, and is bounded by how long its client may stall.
    pub(super) fn is_long(&self) -> bool {
        self.0.is_long.load(Ordering::Relaxed)
    }

    /// Waits until the connection is to be given up.
    pub(super) async fn is_cut(&self) {
        self.0.cut.notified().await;
    }
}

/// The body of an answer that `write` writes. If it fails, the client sees that by how its connection ends.
pub(crate) fn body(
    connection: Connection,
    piece_bytes: usize,
    stall_max: Duration,
    write: impl FnOnce(&mut Pieces) -> io::Result<()> + Send + 'static,
) -> axum::body::Body {
    connection.0.is_long.store(true, Ordering::Relaxed);
    let (pieces, received) = mpsc::channel(PIECES_WAITING);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let end = pieces.clone();
        let mut pieces = Pieces {
            runtime: runtime.clone(),
            pieces,
            stall_max,
            piece_bytes,
            gathered: Vec::with_capacity(piece_bytes),
        };
        let written = write(&mut pieces).and_then(|()| pieces.flush());
        drop(pieces);
        if let Err(error) = written {
            // The body must not seem to have come to its end, whether the client reads it or not.
            if end.try_send(Err(error)).is_err() {
                connection.0.cut.notify_one();
                runtime.block_on(end.closed());
            }
        }
        connection.0.is_long.store(false, Ordering::Relaxed);
    });
    axum::body::Body::new(Body(received))
}

/// Hands over what is written, and waits while the client does not take it.
pub(crate) struct Pieces {
    runtime: Handle,
    pieces: mpsc::Sender<Piece>,
    stall_max: Duration,
    piece_bytes: usize,
    gathered: Vec<u8>,
}

impl Pieces {
    fn hand_over(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.gathered, Vec::with_capacity(self.piece_bytes));
        let sent = timeout(self.stall_max, self.pieces.send(Ok(piece.into())));
        match self.runtime.block_on(sent) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::Error::other("the client closed the connection")),
            Err(_) => Err(io::Error::other(format!(
                "the client took nothing for {} s",
                self.stall_max.as_secs()
            ))),
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let count = buf.len().min(self.piece_bytes - self.gathered.len());
        self.gathered.extend_from_slice(&buf[..count]);
        if self.gathered.len() == self.piece_bytes {
            self.hand_over()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.gathered.is_empty() {
            true => Ok(()),
            false => self.hand_over(),
        }
    }
}

/// The pieces as the body of a response.
struct Body(mpsc::Receiver<Piece>);

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0
            .poll_recv(cx)
            .map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

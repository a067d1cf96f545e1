//! `GET /backup`: an archive is written on a blocking thread as fast as the client reads it.
//!
//! ```text
//! blocking thread: segment -> Pieces -- a few pieces --> Body -> hyper -> socket
//! ```
//!
//! There is one at a time, since each keeps segments on the disk that retention has given up. A client that takes no piece
//! for a while loses its connection, and with it the backup.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Bytes, Frame};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::timeout;

use crate::Admin;
use crate::backup::Backup;

/// Bytes that are handed over at a time, and how many of these wait for the client.
const PIECE_BYTES: usize = 256 * 1024;
const PIECES_WAITING: usize = 2;
/// How long the client may take for a piece.
const STALL_MAX: Duration = Duration::from_secs(30);

/// One backup at a time, whatever listener it is asked of; clones share it.
#[derive(Clone)]
pub struct BackupSlot {
    slot: Arc<Semaphore>,
    pub(super) stall_max: Duration,
}

impl Default for BackupSlot {
    fn default() -> BackupSlot {
        BackupSlot {
            slot: Arc::new(Semaphore::new(1)),
            stall_max: STALL_MAX,
        }
    }
}

type Piece = Result<Bytes, io::Error>;

/// What a request does to the connection that it came on.
#[derive(Clone, Default)]
pub(super) struct Connection(Arc<Shared>);

#[derive(Default)]
struct Shared {
    is_long: AtomicBool,
    cut: Notify,
}

impl Connection {
    /// A backup takes as long as it takes, and is bounded by how long its client may stall.
    pub(super) fn is_long(&self) -> bool {
        self.0.is_long.load(Ordering::Relaxed)
    }

    /// Waits until the connection is to be given up.
    pub(super) async fn is_cut(&self) {
        self.0.cut.notified().await;
    }
}

pub(super) async fn backup(
    State(admin): State<Admin>,
    Extension(connection): Extension<Connection>,
) -> Response {
    let refused = |reason: &str| (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response();
    if let Some(reason) = admin.health.failure() {
        return refused(reason);
    }
    let Ok(slot) = admin.backups.slot.clone().try_acquire_owned() else {
        return refused("another backup is being taken; try again when it is done");
    };
    let backup = match Backup::begin(&admin.engine, &admin.broker).await {
        Ok(backup) => backup,
        Err(error) => return refused(&format!("no backup can be taken now: {error}")),
    };
    let manifest = backup.manifest();
    let name = format!("firth-{}-{}.tar", manifest.cluster_id, manifest.created_ms);
    tracing::info!(
        segments = manifest.files.len(),
        bytes = manifest.bytes(),
        "a backup is being taken"
    );
    connection.0.is_long.store(true, Ordering::Relaxed);
    let (pieces, received) = mpsc::channel(PIECES_WAITING);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let _slot = slot;
        let end = pieces.clone();
        let pieces = Pieces {
            runtime: runtime.clone(),
            pieces,
            stall_max: admin.backups.stall_max,
            gathered: Vec::with_capacity(PIECE_BYTES),
        };
        match backup.write(pieces) {
            Ok(_) => tracing::info!("the backup is taken"),
            Err(error) => {
                tracing::warn!(%error, "a backup is given up");
                // The body must not seem to have come to its end, whether the client reads it or not.
                if end.try_send(Err(error)).is_err() {
                    connection.0.cut.notify_one();
                    runtime.block_on(end.closed());
                }
            }
        }
        connection.0.is_long.store(false, Ordering::Relaxed);
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-tar".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    (headers, axum::body::Body::new(Body(received))).into_response()
}

/// Hands over what is written, and waits while the client does not take it.
struct Pieces {
    runtime: Handle,
    pieces: mpsc::Sender<Piece>,
    stall_max: Duration,
    gathered: Vec<u8>,
}

impl Pieces {
    fn hand_over(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.gathered, Vec::with_capacity(PIECE_BYTES));
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
        let count = buf.len().min(PIECE_BYTES - self.gathered.len());
        self.gathered.extend_from_slice(&buf[..count]);
        if self.gathered.len() == PIECE_BYTES {
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

#[cfg(test)]
mod tests;

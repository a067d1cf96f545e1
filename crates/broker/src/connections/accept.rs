use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

/// How long a listener waits for a file descriptor that another part of the process may free.
pub const ACCEPT_RETRY: Duration = Duration::from_secs(1);

/// The next connection, as soon as there may be one more.
pub async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (Option<OwnedSemaphorePermit>, io::Result<(TcpStream, SocketAddr)>) {
    let slot = slots.clone().acquire_owned().await.ok();
    (slot, listener.accept().await)
}

/// Errors of `accept` that speak of the connection to be accepted, which is gone.
pub fn concerns_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::TimedOut
    )
}

/// Waits until a watched flag is true or nobody can set it any more.
pub async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error says that the sender is gone, and with it whoever could stop us in order.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Takes note of a connection's task that has ended.
pub fn reap(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a panic ended a connection");
    }
}

/// Waits until all connections have ended, and cuts off those that take too long.
pub async fn drain(mut connections: JoinSet<()>, drain_ms_max: u64) {
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            reap(ended);
        }
    };
    if timeout(Duration::from_millis(drain_ms_max), all_ended)
        .await
        .is_err()
    {
        let connections_open = connections.len();
        tracing::warn!(
            connections_open,
            drain_ms_max,
            "connections were cut off before they were answered"
        );
        connections.shutdown().await;
    }
}

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, RawQuery, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use firth_broker::Broker;
use firth_log::{Durability, Engine};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Health;
use crate::api::{self, Peer};
use crate::metrics::{self, Selection};

/// Connections at a time; the next one waits in the listener's backlog.
const CONNECTIONS_MAX: usize = 64;
/// Bytes of a request's head. What a body may have says who reads it.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Time until the head of the next request is there, which is also how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// A client that keeps its connection is asked to open a new one after this time, and one that does not read is cut off.
const CONNECTION_LIFETIME_MAX: Duration = Duration::from_secs(60 * 60);
/// How often a connection that has lived long enough is looked at again while a backup is taken on it.
const LONG_REQUEST_CHECK: Duration = Duration::from_secs(60);
/// How long open requests may take when the broker stops.
const DRAIN_MAX: Duration = Duration::from_secs(1);
/// How long the listener waits for a file descriptor that another part of the process may free.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);

/// Bytes of metrics that are handed over at a time.
const METRICS_PIECE_BYTES: usize = 64 * 1024;

mod download;
pub(crate) mod pieces;

pub use download::BackupSlot;

/// What the listener tells about.
#[derive(Clone)]
pub struct Admin {
    pub broker: Broker,
    pub engine: Engine,
    pub health: Health,
    pub backups: BackupSlot,
    /// What the engine was opened with.
    pub durability: Durability,
    /// What declares queues as an AMQP client would.
    pub amqp: firth_amqp::Server,
    /// Absent if there is no Kafka listener.
    pub kafka: Option<Kafka>,
}

/// The Kafka side of the broker.
#[derive(Clone)]
pub struct Kafka {
    pub server: firth_kafka::Server,
    /// Host and port under which clients find it.
    pub address: String,
}

/// Answers HTTP requests until `stopping` is true or its sender is gone.
pub async fn serve(listener: TcpListener, admin: Admin, stopping: watch::Receiver<bool>) {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/metrics", get(render_metrics))
        .route("/backup", get(download::backup))
        .merge(api::router())
        .fallback(not_found)
        .with_state(admin);
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let stopped = stopped(stopping.clone());
    let mut stopped = std::pin::pin!(stopped);
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        tokio::select! {
            biased;
            () = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            (slot, accepted) = accepted => match accepted {
                Ok((stream, peer)) => {
                    let router = router.clone().layer(Extension(Peer(peer.ip())));
                    let connection = connection(stream, router, stopping.clone());
                    connections.spawn(async move {
                        let _slot = slot;
                        connection.await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "an HTTP connection could not be accepted");
                    sleep(ACCEPT_RETRY).await;
                }
            },
        }
    }
    drop(listener);
    let drained = timeout(DRAIN_MAX, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
    if drained.is_err() {
        connections.shutdown().await;
    }
}

async fn connection(stream: TcpStream, router: Router, stopping: watch::Receiver<bool>) {
    let requests = pieces::Connection::default();
    let router = router.layer(Extension(requests.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let served = async {
        tokio::select! {
            served = connection.as_mut() => return served,
            () = stopped(stopping) => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    };
    tokio::select! {
        served = served => if let Err(error) = served {
            tracing::debug!(%error, "an HTTP connection ended");
        },
        () = requests.is_cut() => {}
        () = lifetime(&requests) => {}
    }
}

/// Ends when the connection has lived long enough, and does nothing long.
async fn lifetime(requests: &pieces::Connection) {
    sleep(CONNECTION_LIFETIME_MAX).await;
    while requests.is_long() {
        sleep(LONG_REQUEST_CHECK).await;
    }
}

/// An error says that the sender is gone, and with it whoever could stop us in order.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

async fn healthz(State(admin): State<Admin>) -> Response {
    match admin.health.failure() {
        None => (StatusCode::OK, "ok\n").into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

/// Topics and groups may be very many, so the text is made while it is sent.
async fn render_metrics(
    State(admin): State<Admin>,
    Extension(connection): Extension<pieces::Connection>,
    RawQuery(query): RawQuery,
) -> Response {
    let selection = match Selection::of_query(query.as_deref().unwrap_or_default()) {
        Ok(selection) => selection,
        Err(reason) => return (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response(),
    };
    let body = pieces::body(
        connection,
        METRICS_PIECE_BYTES,
        pieces::STALL_MAX,
        move |pieces| metrics::render(&admin, &selection, pieces),
    );
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        body,
    )
        .into_response()
}

async fn not_found(uri: Uri) -> Response {
    if uri.path().starts_with("/api/") {
        return api::not_found();
    }
    (
        StatusCode::NOT_FOUND,
        "there are /healthz, /metrics, /backup and /api\n",
    )
        .into_response()
}

#[cfg(test)]
pub(crate) mod tests;

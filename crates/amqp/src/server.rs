use std::net::SocketAddr;
use std::sync::Arc;

use firth_broker::Broker;
use firth_broker::connections::{ACCEPT_RETRY, accept, concerns_the_client, drain, reap, stopped};
use firth_broker::users::Origin;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::closed::Closed;
use crate::config::Config;
use crate::connection;
use crate::metrics::Metrics;
use crate::properties::{FORMAT, Format};
use crate::replies::Replies;

/// The AMQP side of a broker. Clones share it, so it can serve several listeners.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) broker: Broker,
    pub(crate) config: Config,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) replies: Replies,
    slots: Arc<Semaphore>,
    /// Of clients that have not logged in.
    handshakes: Arc<Semaphore>,
}

/// One connected client, as its connection sees it.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) server: Arc<Shared>,
    pub(crate) peer: SocketAddr,
    pub(crate) origin: Origin,
}

/// The places that a connection takes.
pub(crate) struct Places {
    _open: Option<OwnedSemaphorePermit>,
    /// Given back when the client has logged in.
    pub(crate) handshake: Option<OwnedSemaphorePermit>,
}

impl Server {
    pub fn new(broker: Broker, config: Config) -> Server {
        broker.register_properties(FORMAT, Arc::new(Format));
        let slots = |max: usize| Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS)));
        let shared = Shared {
            metrics: Arc::default(),
            replies: Replies::default(),
            slots: slots(config.connections_max),
            handshakes: slots(config.unauthenticated_max),
            broker,
            config,
        };
        Server {
            shared: Arc::new(shared),
        }
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    pub fn metrics(&self) -> Arc<Metrics> {
        self.shared.metrics.clone()
    }

    /// Accepts and serves clients until `stopping` is true or its sender is gone. Then every connection is closed in order, and
    /// this returns when all are.
    pub async fn serve(&self, listener: TcpListener, stopping: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let stopped = stopped(stopping.clone());
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => break,
                Some(ended) = connections.join_next() => reap(ended),
                (places, accepted) = self.accept(&listener) => match accepted {
                    Ok((stream, peer)) => self.spawn(&mut connections, stream, peer, places, stopping.clone()),
                    Err(error) => {
                        self.shared.metrics.accept_failed();
                        tracing::warn!(%error, "a connection could not be accepted");
                        if !concerns_the_client(&error) {
                            // Out of descriptors or memory: trying again at once would only spin.
                            tokio::select! {
                                () = &mut stopped => break,
                                Some(ended) = connections.join_next() => reap(ended),
                                () = sleep(ACCEPT_RETRY) => {}
                            }
                        }
                    }
                },
            }
        }
        drop(listener);
        drain(connections, self.shared.config.drain_ms_max).await;
    }

    async fn accept(&self, listener: &TcpListener) -> (Places, std::io::Result<(TcpStream, SocketAddr)>) {
        let handshake = self.shared.handshakes.clone().acquire_owned().await.ok();
        let (open, accepted) = accept(listener, &self.shared.slots).await;
        (
            Places {
                _open: open,
                handshake,
            },
            accepted,
        )
    }

    fn spawn(
        &self,
        connections: &mut JoinSet<()>,
        stream: TcpStream,
        peer: SocketAddr,
        places: Places,
        stopping: watch::Receiver<bool>,
    ) {
        if let Err(error) = stream.set_nodelay(true) {
            return tracing::debug!(%peer, %error, "a connection ended before it began");
        }
        let client = Client {
            server: self.shared.clone(),
            peer,
            origin: Origin::of_socket(peer.ip()),
        };
        let ending = Ending::new(self.shared.metrics.clone(), peer);
        connections.spawn(async move {
            let closed = connection::run(stream, client, places, stopped(stopping)).await;
            ending.log(&closed);
        });
        if self.shared.slots.available_permits() == 0 {
            let connections_max = self.shared.config.connections_max;
            tracing::warn!(
                connections_max,
                "all connections are taken, the next client waits for one to close"
            );
        }
    }
}

/// Counts a connection, and says why it ended.
struct Ending {
    metrics: Arc<Metrics>,
    peer: SocketAddr,
    failed: bool,
}

impl Ending {
    fn new(metrics: Arc<Metrics>, peer: SocketAddr) -> Ending {
        metrics.accepted();
        tracing::debug!(%peer, "connected");
        Ending {
            metrics,
            peer,
            failed: true,
        }
    }

    fn log(mut self, closed: &Closed) {
        let peer = self.peer;
        self.failed = !closed.is_usual();
        if self.failed {
            tracing::warn!(%peer, "connection closed: {closed}");
        } else {
            tracing::debug!(%peer, "connection closed: {closed}");
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(peer = %self.peer, "connection closed by a panic");
        }
        self.metrics.closed(self.failed);
    }
}

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use firth_broker::connections::{self, ACCEPT_RETRY, accept, concerns_the_client, reap, stopped};
use firth_broker::{Broker, QuotaKey, QuotaSubject, Unreadable};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::closed::Closed;
use crate::config::Config;
use crate::connection;
use crate::fetch_session::FetchSessions;
use crate::groups::{Groups, ObservedGroup};
use crate::metrics::Metrics;
use crate::reply_memory::ReplyMemory;

/// Connections over the quota of their address that are kept open, unread, for as long as they are to wait. Beyond, they are
/// closed at once.
const THROTTLED_CONNECTIONS_MAX: usize = 1000;

/// The Kafka side of a broker. Clones share it, so it can serve several listeners.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) broker: Broker,
    pub(crate) config: Config,
    pub(crate) fetch_sessions: FetchSessions,
    pub(crate) groups: Groups,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) reply_memory: ReplyMemory,
    slots: Arc<Semaphore>,
    throttled_slots: Arc<Semaphore>,
    /// Becomes true when the broker stops: who waits for records is answered with what there is.
    draining: watch::Sender<bool>,
    /// The second of the monotonic clock in which a client's failure was last logged.
    warned_s: AtomicU64,
}

impl Shared {
    pub(crate) async fn draining(&self) {
        stopped(self.draining.subscribe()).await;
    }

    /// Whether what a client meets again and again, because it retries, may be logged: once in a second.
    pub(crate) fn may_warn(&self) -> bool {
        let now_s = self.broker.clock().monotonic().as_secs();
        self.warned_s.swap(now_s, Ordering::Relaxed) != now_s
    }
}

/// One connected client, as its handlers see it.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) server: Arc<Shared>,
    /// Our side of the connection: what the client connected to.
    pub(crate) local: SocketAddr,
    /// The client's side.
    pub(crate) peer: IpAddr,
}

impl Server {
    /// Takes up the groups as the broker has them stored, and starts their tasks on the current runtime.
    ///
    /// # Errors
    /// What is stored of a group cannot be read.
    pub fn open(broker: Broker, config: Config) -> Result<Server, Unreadable> {
        let connections_max = config.connections_max.clamp(1, Semaphore::MAX_PERMITS);
        let metrics = Arc::<Metrics>::default();
        let groups = Groups::open(broker.clone(), config.groups.clone(), metrics.clone())?;
        let shared = Shared {
            fetch_sessions: FetchSessions::new(config.fetch_sessions_max),
            groups,
            metrics,
            reply_memory: ReplyMemory::new(broker.memory()),
            slots: Arc::new(Semaphore::new(connections_max)),
            throttled_slots: Arc::new(Semaphore::new(THROTTLED_CONNECTIONS_MAX)),
            draining: watch::Sender::new(false),
            warned_s: AtomicU64::new(u64::MAX),
            broker,
            config,
        };
        Ok(Server {
            shared: Arc::new(shared),
        })
    }

    pub fn metrics(&self) -> Arc<Metrics> {
        self.shared.metrics.clone()
    }

    /// The id under which clients see this broker.
    pub fn node_id(&self) -> i32 {
        self.shared.config.node_id
    }

    /// All consumer groups, sorted by their ids.
    pub fn groups(&self) -> Vec<ObservedGroup> {
        self.shared.groups.observed()
    }

    /// Fetch sessions that are open now (KIP-227).
    pub fn fetch_sessions_open(&self) -> usize {
        self.shared.fetch_sessions.len()
    }

    /// Accepts and serves clients until `stopping` is true or its sender is gone. Then every connection answers what
    /// it has dispatched, and this returns when all are closed.
    pub async fn serve(&self, listener: TcpListener, stopping: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let stopped = stopped(stopping.clone());
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => break,
                Some(ended) = connections.join_next() => reap(ended),
                (slot, accepted) = accept(&listener, &self.shared.slots) => match accepted {
                    Ok((stream, peer)) => match self.throttle(peer) {
                        Duration::ZERO => self.spawn(&mut connections, stream, peer, slot, stopping.clone()),
                        wait => self.refuse(&mut connections, stream, wait, stopping.clone()),
                    },
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
        self.drain(connections).await;
    }

    /// For how long a client is to wait before it connects.
    fn throttle(&self, peer: SocketAddr) -> Duration {
        let (quotas, key) = (self.shared.broker.quotas(), QuotaKey::ConnectionCreationRate);
        if !quotas.has(key) {
            return Duration::ZERO;
        }
        let subject = QuotaSubject::Ip(peer.ip().to_canonical());
        let now = self.shared.broker.clock().monotonic();
        let wait = quotas.record(key, subject, 1.0, now);
        if !wait.is_zero() {
            // It is not accepted, so it does not count.
            quotas.add(key, subject, -1.0, now);
            quotas.throttled(key, wait);
            tracing::debug!(%peer, ?wait, "over the connection quota of its address");
        }
        wait
    }

    /// Closes a connection when its client was to wait for long enough: closed at once, it would be tried again at once.
    fn refuse(
        &self,
        connections: &mut JoinSet<()>,
        stream: TcpStream,
        wait: Duration,
        stopping: watch::Receiver<bool>,
    ) {
        if let Ok(slot) = self.shared.throttled_slots.clone().try_acquire_owned() {
            connections.spawn(async move {
                tokio::select! {
                    () = sleep(wait) => {}
                    () = stopped(stopping) => {}
                }
                drop((stream, slot));
            });
        }
    }

    fn spawn(
        &self,
        connections: &mut JoinSet<()>,
        stream: TcpStream,
        peer: SocketAddr,
        slot: Option<OwnedSemaphorePermit>,
        stopping: watch::Receiver<bool>,
    ) {
        let local = match stream.set_nodelay(true).and_then(|()| stream.local_addr()) {
            Ok(local) => local,
            Err(error) => return tracing::debug!(%peer, %error, "a connection ended before it began"),
        };
        let client = self.client(local, peer.ip().to_canonical());
        let ending = Ending::new(self.shared.metrics.clone(), peer);
        connections.spawn(async move {
            let closed = connection::run(stream, client, stopped(stopping)).await;
            ending.log(&closed);
            drop(slot);
        });
        if self.shared.slots.available_permits() == 0 {
            let connections_max = self.shared.config.connections_max;
            tracing::warn!(
                connections_max,
                "all connections are taken, the next client waits for one to close"
            );
        }
    }

    /// A client that connected to `local`.
    pub(crate) fn client(&self, local: SocketAddr, peer: IpAddr) -> Client {
        Client {
            server: self.shared.clone(),
            local,
            peer,
        }
    }

    async fn drain(&self, connections: JoinSet<()>) {
        self.shared.draining.send_replace(true);
        connections::drain(connections, self.shared.config.drain_ms_max).await;
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

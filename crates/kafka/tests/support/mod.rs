//! A broker on a loopback socket, and a client that speaks typed requests and raw bytes.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod records;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use firth_broker::{Broker, Clock};
use firth_kafka::{Config, Metrics, Server};
use firth_kafka_codec::{RequestMessage, decode_response, encode_request};
use firth_log::Engine;
use firth_log::file::recorder::{Hold, Kind, Recorder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) const NOW_MS: i64 = 1_800_000_000_000;

/// What takes longer than this has failed.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

pub(crate) struct TestBroker {
    pub broker: Broker,
    pub server: Server,
    pub address: SocketAddr,
    pub recorder: Option<Recorder>,
    passed_ms: Arc<AtomicU64>,
    engine: Engine,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

fn engine_environment() -> firth_log::Environment {
    firth_log::Environment {
        wall_ms: Arc::new(|| NOW_MS),
        random: Arc::new(|| [1; 16]),
        on_failure: Arc::new(|_| {}),
    }
}

/// Its clock stands still until somebody lets it pass.
fn broker_environment(passed_ms: &Arc<AtomicU64>) -> firth_broker::Environment {
    // One for all brokers, as one that is restarted must not draw the ids of its topics again.
    static COUNT: AtomicU64 = AtomicU64::new(1);
    // The first bytes count, as session ids are made of them.
    let random = move || {
        u128::from(COUNT.fetch_add(1, Ordering::Relaxed))
            .rotate_left(96)
            .to_be_bytes()
    };
    let (of_wall, of_monotonic) = (passed_ms.clone(), passed_ms.clone());
    firth_broker::Environment {
        clock: Clock::new(
            move || NOW_MS + i64::try_from(of_wall.load(Ordering::Relaxed)).unwrap(),
            move || Duration::from_millis(of_monotonic.load(Ordering::Relaxed)),
        ),
        random: Arc::new(random),
    }
}

impl TestBroker {
    /// A broker whose commits are durable at once.
    pub(crate) async fn memory() -> TestBroker {
        TestBroker::with(Config::default(), firth_broker::Config::default()).await
    }

    pub(crate) async fn with(config: Config, broker_config: firth_broker::Config) -> TestBroker {
        let engine = Engine::memory(engine_environment(), firth_log::Options::default());
        TestBroker::serve(engine, None, config, broker_config).await
    }

    /// A broker on a recorded disk, whose flushes a test can hold back or make fail.
    pub(crate) async fn recorded() -> TestBroker {
        TestBroker::on(Recorder::new()).await
    }

    pub(crate) async fn on(recorder: Recorder) -> TestBroker {
        let options = firth_log::Options {
            wal_bytes_max: Some(64 << 20),
            wal_file_bytes: 8 << 20,
            ..Default::default()
        };
        let storage = Arc::new(recorder.clone());
        let engine = Engine::open(storage, engine_environment(), options).unwrap();
        TestBroker::serve(
            engine,
            Some(recorder),
            Config::default(),
            firth_broker::Config::default(),
        )
        .await
    }

    async fn serve(
        engine: Engine,
        recorder: Option<Recorder>,
        config: Config,
        broker_config: firth_broker::Config,
    ) -> TestBroker {
        let passed_ms = Arc::new(AtomicU64::new(0));
        let broker = Broker::open(engine.clone(), broker_config, broker_environment(&passed_ms))
            .await
            .unwrap();
        let server = Server::open(broker.clone(), config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let serving = server.clone();
        let serving = tokio::spawn(async move { serving.serve(listener, stopping).await });
        TestBroker {
            broker,
            server,
            address,
            recorder,
            passed_ms,
            engine,
            stop,
            serving,
        }
    }

    /// Time passes for the broker, on both clocks.
    pub(crate) fn pass(&self, ms: u64) {
        self.passed_ms.fetch_add(ms, Ordering::Relaxed);
    }

    pub(crate) async fn connect(&self) -> TestClient {
        TestClient::connect(self.address).await
    }

    pub(crate) fn metrics(&self) -> Arc<Metrics> {
        self.server.metrics()
    }

    /// From now until it is dropped nothing becomes durable.
    pub(crate) fn hold(&self) -> Hold {
        self.recorder.as_ref().unwrap().hold(Kind::Write, "wal")
    }

    /// Stops as `firth serve` does: connections answer what they have begun.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        timeout(BOUND, self.serving)
            .await
            .expect("the server stops")
            .unwrap();
        self.broker.shutdown().await;
        let engine = self.engine;
        tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    }
}

pub(crate) struct TestClient {
    pub stream: TcpStream,
    pub client_id: String,
    received: BytesMut,
    correlation_id: i32,
}

impl TestClient {
    pub(crate) async fn connect(address: SocketAddr) -> TestClient {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        TestClient {
            stream,
            client_id: "test".to_owned(),
            received: BytesMut::new(),
            correlation_id: 0,
        }
    }

    /// The bytes of a request with the next correlation id.
    pub(crate) fn encode<R: RequestMessage>(&mut self, version: i16, request: &R) -> Bytes {
        self.correlation_id += 1;
        let mut buf = BytesMut::new();
        let id = self.correlation_id;
        let mut chain = encode_request(&mut buf, version, id, Some(&self.client_id), request).unwrap();
        chain.copy_to_bytes(chain.remaining())
    }

    pub(crate) async fn send<R: RequestMessage>(&mut self, version: i16, request: &R) {
        let bytes = self.encode(version, request);
        self.write(&bytes).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        timeout(BOUND, self.stream.write_all(bytes))
            .await
            .expect("the broker reads")
            .unwrap();
    }

    pub(crate) async fn call<R: RequestMessage>(&mut self, version: i16, request: &R) -> R::Response {
        self.send(version, request).await;
        let (id, response) = self.receive::<R>(version).await;
        assert_eq!(id, self.correlation_id);
        response
    }

    /// The next answer, which must be one to an `R`.
    pub(crate) async fn receive<R: RequestMessage>(&mut self, version: i16) -> (i32, R::Response) {
        let frame = self
            .frame()
            .await
            .expect("an answer, not the end of the connection");
        decode_response::<R>(version, &frame).unwrap()
    }

    /// The next frame without its size, or `None` if the broker closed the connection.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        timeout(BOUND, self.read_frame())
            .await
            .expect("the broker answers or closes")
    }

    async fn read_frame(&mut self) -> Option<Bytes> {
        loop {
            if let Some(size) = self.received.first_chunk::<4>() {
                let end = 4 + usize::try_from(i32::from_be_bytes(*size)).unwrap();
                if self.received.len() >= end {
                    return Some(self.received.split_to(end).freeze().slice(4..));
                }
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) | Err(_) => {
                    assert!(self.received.is_empty(), "closed inside of a frame");
                    return None;
                }
                Ok(_) => {}
            }
        }
    }

    /// Whether an answer is here already.
    pub(crate) fn has_answer(&mut self) -> bool {
        !self.received.is_empty()
            || self
                .stream
                .try_read_buf(&mut self.received)
                .is_ok_and(|read| read > 0)
    }

    /// Waits until the broker closes the connection, answering nothing more.
    pub(crate) async fn closed(&mut self) {
        assert_eq!(
            self.frame().await,
            None,
            "the connection is to be closed without an answer"
        );
    }
}

/// Waits until `condition` holds, without saying how long that takes.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    timeout(BOUND, wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

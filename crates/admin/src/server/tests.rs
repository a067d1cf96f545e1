use std::net::SocketAddr;

use firth_broker::{Clock, Config, Environment};
use firth_log::{Engine, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

pub(crate) struct Running {
    pub(crate) broker: Broker,
    pub(super) address: SocketAddr,
    pub(super) health: Health,
    stop: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<()>,
}

pub(crate) async fn start() -> Running {
    start_with(
        Engine::memory(environment(), Options::default()),
        BackupSlot::default(),
    )
    .await
}

pub(crate) fn environment() -> firth_log::Environment {
    firth_log::Environment {
        wall_ms: Arc::new(|| 0),
        random: Arc::new(|| [1; 16]),
        on_failure: Arc::new(|_| {}),
    }
}

pub(super) async fn start_with(engine: Engine, backups: BackupSlot) -> Running {
    let clock = Clock::new(|| 0, || Duration::ZERO);
    let environment = Environment {
        clock,
        random: Arc::new(|| [2; 16]),
    };
    let broker = Broker::open(engine.clone(), Config::default(), environment)
        .await
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopping) = watch::channel(false);
    let health = Health::default();
    let amqp = firth_amqp::Server::new(broker.clone(), firth_amqp::Config::default());
    let admin = Admin {
        amqp,
        broker: broker.clone(),
        engine,
        health: health.clone(),
        backups,
        durability: Durability::Os,
        kafka: None,
    };
    let serving = tokio::spawn(serve(listener, admin, stopping));
    Running {
        broker,
        address,
        health,
        stop,
        serving,
    }
}

impl Running {
    pub(crate) async fn request(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        // The server may reset what it refuses.
        let _ = stream.read_to_end(&mut response).await;
        String::from_utf8(response).unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        self.request(&format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ))
        .await
    }
}

#[tokio::test]
async fn health_follows_the_engine() {
    let running = start().await;
    let response = running.get("/healthz").await;
    assert!(
        response.starts_with("HTTP/1.1 200") && response.ends_with("\r\n\r\nok\n"),
        "{response}"
    );
    running.health.fail("wal/3: input/output error");
    running.health.fail("another");
    let response = running.get("/healthz").await;
    assert!(
        response.starts_with("HTTP/1.1 503") && response.ends_with("input/output error\n"),
        "{response}"
    );
}

#[tokio::test]
async fn metrics_have_a_help_and_a_type_each() {
    let running = start().await;
    // In HTTP/1.0 a body comes as it is, and not in chunks.
    let response = running.request("GET /metrics HTTP/1.0\r\n\r\n").await;
    assert!(response.contains("text/plain; version=0.0.4"), "{response}");
    let (_, body) = response.split_once("\r\n\r\n").unwrap();
    let lines: Vec<&str> = body.lines().collect();
    assert!(
        lines.contains(&"firth_healthy 1") && lines.contains(&"firth_produced_bytes_total 0"),
        "{body}"
    );
    assert!(
        lines.contains(&"firth_durability_info{durability=\"os\"} 1"),
        "{body}"
    );
    let mut families = lines.chunk_by(|_, next| !next.starts_with("# HELP "));
    assert!(families.all(|family| {
        let name = family[0].split(' ').nth(2).unwrap();
        let is_of_family = |line: &&str| line.split([' ', '{']).next() == Some(name);
        family[0].starts_with("# HELP ")
            && family[1].starts_with(&format!("# TYPE {name} "))
            && family[2..].iter().all(is_of_family)
    }));
}

#[tokio::test]
async fn other_requests_are_refused() {
    let running = start().await;
    assert!(running.get("/").await.starts_with("HTTP/1.1 404"));
    let post = running
        .request("POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert!(post.await.starts_with("HTTP/1.1 405"));
    let long = format!(
        "GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "x".repeat(HEAD_BYTES_MAX)
    );
    assert!(!running.request(&long).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn an_idle_connection_does_not_keep_the_listener_from_stopping() {
    let running = start().await;
    let idle = TcpStream::connect(running.address).await.unwrap();
    running.stop.send_replace(true);
    running.serving.await.unwrap();
    drop(idle);
    assert!(TcpStream::connect(running.address).await.is_err());
}

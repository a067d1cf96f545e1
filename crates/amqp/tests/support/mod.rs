//! A broker on a loopback socket, and a client on the codec.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use firth_amqp::{Config, Server};
use firth_amqp_codec::*;
use firth_broker::{Broker, Clock};
use firth_log::Engine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) const NOW_MS: i64 = 1_800_000_000_000;
/// What takes longer than this has failed.
pub(crate) const BOUND: Duration = Duration::from_secs(20);
pub(crate) const FRAME_MAX: u32 = 131_072;

pub(crate) struct TestBroker {
    pub broker: Broker,
    pub server: Server,
    pub address: SocketAddr,
    passed_ms: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

fn environment(passed_ms: &Arc<AtomicU64>) -> firth_broker::Environment {
    static COUNT: AtomicU64 = AtomicU64::new(1);
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
    pub(crate) async fn start() -> TestBroker {
        TestBroker::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> TestBroker {
        let engine_environment = firth_log::Environment {
            wall_ms: Arc::new(|| NOW_MS),
            random: Arc::new(|| [1; 16]),
            on_failure: Arc::new(|_| {}),
        };
        let engine = Engine::memory(engine_environment, firth_log::Options::default());
        let passed_ms = Arc::new(AtomicU64::new(0));
        let broker = Broker::open(engine, firth_broker::Config::default(), environment(&passed_ms))
            .await
            .unwrap();
        let server = Server::new(broker.clone(), config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let serving = server.clone();
        let serving = tokio::spawn(async move { serving.serve(listener, stopping).await });
        TestBroker {
            broker,
            server,
            address,
            passed_ms,
            stop,
            serving,
        }
    }

    /// Time passes for the broker, on both clocks.
    pub(crate) fn pass(&self, ms: u64) {
        self.passed_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// A client that has sent nothing yet.
    pub(crate) async fn raw(&self) -> Client {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream,
            received: BytesMut::new(),
            frames: Bytes::new(),
            assemblers: std::collections::HashMap::new(),
            skipped: VecDeque::new(),
        }
    }

    /// A client that has logged in as guest, without a channel.
    pub(crate) async fn connect(&self) -> Client {
        let mut client = self.raw().await;
        client.log_in("/").await;
        client
    }

    /// A client with channel 1.
    pub(crate) async fn client(&self) -> Client {
        let mut client = self.connect().await;
        client.open(1).await;
        client
    }

    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        timeout(BOUND, self.serving).await.unwrap().unwrap();
        self.broker.shutdown().await;
    }
}

/// One connection.
pub(crate) struct Client {
    pub stream: TcpStream,
    received: BytesMut,
    frames: Bytes,
    assemblers: std::collections::HashMap<u16, Assembler>,
    /// What came while something else was waited for.
    skipped: VecDeque<(u16, Command)>,
}

pub(crate) fn short(text: &str) -> ShortStr {
    ShortStr::try_from(text).unwrap()
}

pub(crate) fn long(text: &str) -> LongStr {
    LongStr::try_from(text).unwrap()
}

pub(crate) fn table(fields: &[(&str, FieldValue<'_>)]) -> FieldTable {
    FieldTable::build(|table| {
        for (name, value) in fields {
            table.put(name, *value);
        }
    })
    .unwrap()
}

/// What every client that is tested against says of itself.
pub(crate) fn start_ok(name: &str, password: &str) -> connection::StartOk {
    let properties = FieldTable::build(|table| {
        table.put_table("capabilities", |table| {
            for capability in [
                "consumer_cancel_notify",
                "authentication_failure_close",
                "basic.nack",
            ] {
                table.put(capability, FieldValue::Bool(true));
            }
        });
    });
    connection::StartOk {
        client_properties: properties.unwrap(),
        mechanism: short("PLAIN"),
        response: long(&format!("\0{name}\0{password}")),
        locale: short("en_US"),
    }
}

impl Client {
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        timeout(BOUND, self.stream.write_all(bytes))
            .await
            .unwrap()
            .unwrap();
    }

    pub(crate) async fn send<M: ClassMethod>(&mut self, channel: u16, method: &M) {
        let mut buf = BytesMut::new();
        write_method(&mut buf, channel, method);
        self.write(&buf).await;
    }

    pub(crate) async fn log_in(&mut self, virtual_host: &str) {
        self.log_in_with(virtual_host, 0).await;
    }

    pub(crate) async fn log_in_with(&mut self, virtual_host: &str, heartbeat: u16) {
        self.write(&PROTOCOL_HEADER).await;
        let _: connection::Start = self.expect(0).await;
        self.send(0, &start_ok("guest", "guest")).await;
        let tune: connection::Tune = self.expect(0).await;
        let tune_ok = connection::TuneOk {
            channel_max: tune.channel_max,
            frame_max: tune.frame_max,
            heartbeat,
        };
        self.send(0, &tune_ok).await;
        let open = connection::Open {
            virtual_host: short(virtual_host),
        };
        self.send(0, &open).await;
        let _: connection::OpenOk = self.expect(0).await;
    }

    pub(crate) async fn open(&mut self, channel: u16) {
        let _: channel::OpenOk = self.call(channel, &channel::Open {}).await;
    }

    /// Sends a method and waits for the answer to it. What comes before is kept.
    pub(crate) async fn call<M: ClassMethod, A: Answer>(&mut self, channel: u16, method: &M) -> A {
        self.send(channel, method).await;
        self.expect(channel).await
    }

    /// The next method of this kind on this channel. What comes before is kept.
    pub(crate) async fn expect<A: Answer>(&mut self, channel: u16) -> A {
        self.expect_content(channel).await.0
    }

    pub(crate) async fn expect_content<A: Answer>(&mut self, channel: u16) -> (A, Content) {
        if let Some(at) = self
            .skipped
            .iter()
            .position(|(of, command)| *of == channel && A::of(&command.method).is_some())
        {
            let (_, command) = self.skipped.remove(at).unwrap();
            return (
                A::of(&command.method).unwrap(),
                command.content.unwrap_or_default(),
            );
        }
        loop {
            let Some((of, command)) = self.read().await else {
                panic!(
                    "closed, and {} was awaited; before it came {:?}",
                    A::NAME,
                    self.skipped
                );
            };
            match A::of(&command.method) {
                Some(answer) if of == channel => return (answer, command.content.unwrap_or_default()),
                _ => {
                    let closes = matches!(
                        command.method,
                        Method::Connection(connection::Method::Close(_))
                            | Method::Channel(channel::Method::Close(_))
                    );
                    assert!(!closes, "{} was awaited and {command:?} came", A::NAME);
                    self.skipped.push_back((of, command));
                }
            }
        }
    }

    /// The next command of all; None at the end.
    pub(crate) async fn next(&mut self) -> Option<(u16, Command)> {
        match self.skipped.pop_front() {
            Some(command) => Some(command),
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> Option<(u16, Command)> {
        loop {
            while let Ok(Taken::Whole(frame)) = take_frame(&mut self.frames, 0) {
                if frame.kind == FrameKind::Heartbeat {
                    continue;
                }
                let assembler = self.assemblers.entry(frame.channel).or_default();
                if let Some(command) = assembler.accept(&frame).unwrap() {
                    return Some((frame.channel, command));
                }
            }
            let mut rest = BytesMut::from(&self.frames[..]);
            let read = timeout(BOUND, self.stream.read_buf(&mut rest)).await.unwrap();
            if read.unwrap_or(0) == 0 {
                return None;
            }
            self.frames = rest.freeze();
        }
    }

    /// The bytes that come before the connection is closed.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = self.frames.to_vec();
        let _ = timeout(BOUND, self.stream.read_to_end(&mut rest)).await.unwrap();
        rest
    }

    pub(crate) async fn declare(&mut self, channel: u16, queue: &str) -> queue::DeclareOk {
        let declare = queue::Declare {
            queue: short(queue),
            durable: true,
            ..Default::default()
        };
        self.call(channel, &declare).await
    }

    /// As [`Client::declare`], to a channel that does not answer.
    pub(crate) async fn declare_unanswered(&mut self, channel: u16, queue: &str) {
        let queue = short(queue);
        self.send(
            channel,
            &queue::Declare {
                queue,
                ..Default::default()
            },
        )
        .await;
    }

    pub(crate) async fn publish(&mut self, channel: u16, exchange: &str, key: &str, body: &[u8]) {
        let publish = basic::Publish {
            exchange: short(exchange),
            routing_key: short(key),
            ..Default::default()
        };
        self.publish_with(channel, &publish, &BasicProperties::default(), body)
            .await;
    }

    pub(crate) async fn publish_with(
        &mut self,
        channel: u16,
        publish: &basic::Publish,
        properties: &BasicProperties<'_>,
        body: &[u8],
    ) {
        let mut written = BytesMut::new();
        properties.write(&mut written).unwrap();
        let mut buf = BytesMut::new();
        write_content(&mut buf, channel, FRAME_MAX, publish, &written, body);
        self.write(&buf).await;
    }

    pub(crate) async fn consume(&mut self, channel: u16, queue: &str, tag: &str, no_ack: bool) {
        let consume = basic::Consume {
            queue: short(queue),
            consumer_tag: short(tag),
            no_ack,
            ..Default::default()
        };
        let consume_ok: basic::ConsumeOk = self.call(channel, &consume).await;
        assert!(tag.is_empty() || consume_ok.consumer_tag == tag);
    }

    /// The next delivery, and its body.
    pub(crate) async fn delivered(&mut self, channel: u16) -> (basic::Deliver, Bytes) {
        let (deliver, content) = self.expect_content(channel).await;
        (deliver, content.body.into_bytes())
    }

    /// The first message of a queue, or None.
    pub(crate) async fn get(
        &mut self,
        channel: u16,
        queue: &str,
        no_ack: bool,
    ) -> Option<(basic::GetOk, Content)> {
        let get = basic::Get {
            queue: short(queue),
            no_ack,
        };
        self.send(channel, &get).await;
        match self.read().await.unwrap() {
            (
                _,
                Command {
                    method: Method::Basic(basic::Method::GetOk(get_ok)),
                    content,
                },
            ) => Some((get_ok, content.unwrap())),
            (
                _,
                Command {
                    method: Method::Basic(basic::Method::GetEmpty(_)),
                    ..
                },
            ) => None,
            other => panic!("the answer to basic.get was {other:?}"),
        }
    }

    pub(crate) async fn ack(&mut self, channel: u16, delivery_tag: u64, multiple: bool) {
        self.send(
            channel,
            &basic::Ack {
                delivery_tag,
                multiple,
            },
        )
        .await;
    }

    /// Waits until the channel is closed, answers, and gives code and text.
    pub(crate) async fn closed(&mut self, channel: u16) -> String {
        loop {
            let (of, command) = self.read().await.expect("channel.close was awaited");
            match command.method {
                Method::Channel(channel::Method::Close(close)) if of == channel => {
                    self.send(channel, &channel::CloseOk {}).await;
                    return format!("{} {}", close.reply_code, close.reply_text);
                }
                Method::Connection(connection::Method::Close(close)) => {
                    panic!("the connection was closed: {close:?}")
                }
                _ => self.skipped.push_back((of, command)),
            }
        }
    }

    /// Waits until the connection is closed, answers, and gives code and text.
    pub(crate) async fn connection_closed(&mut self) -> String {
        loop {
            let (_, command) = self.read().await.expect("connection.close was awaited");
            if let Method::Connection(connection::Method::Close(close)) = command.method {
                self.send(0, &connection::CloseOk {}).await;
                assert_eq!(self.read().await.map(|(_, command)| command), None);
                return format!("{} {}", close.reply_code, close.reply_text);
            }
        }
    }

    pub(crate) async fn close(mut self) {
        let close = connection::Close {
            reply_code: 200,
            ..Default::default()
        };
        let _: connection::CloseOk = self.call(0, &close).await;
    }
}

/// A method that a client waits for.
pub(crate) trait Answer: ClassMethod {
    fn of(method: &Method) -> Option<Self>;
}

macro_rules! answers {
    ($($class:ident $variant:ident { $($method:ident)* })*) => {$($(
        impl Answer for $class::$method {
            fn of(method: &Method) -> Option<$class::$method> {
                match method {
                    Method::$variant($class::Method::$method(method)) => Some(method.clone()),
                    _ => None,
                }
            }
        }
    )*)*};
}

answers! {
    connection Connection { Start Tune OpenOk Close CloseOk UpdateSecretOk }
    channel Channel { OpenOk FlowOk Close CloseOk }
    exchange Exchange { DeclareOk DeleteOk BindOk UnbindOk }
    queue Queue { DeclareOk BindOk PurgeOk DeleteOk UnbindOk }
    basic Basic { QosOk ConsumeOk Cancel CancelOk Return Deliver GetOk GetEmpty Ack Nack RecoverOk }
    confirm Confirm { SelectOk }
    tx Tx { SelectOk CommitOk RollbackOk }
    access Access { RequestOk }
}

//! Quotas over a pipe in memory, in virtual time: the broker's clock is that of the timers, and moves on when nobody can do
//! anything.

use std::net::IpAddr;

use bytes::{Bytes, BytesMut};
use firth_batch::{Builder, Compression};
use firth_broker::{Broker, Clock, Environment, QuotaEntity, QuotaKey, QuotaLimit, QuotaName};
use firth_kafka_codec::{
    ErrorCode, ListGroupsRequest, PartitionProduceData, ProduceRequest, RequestMessage, TopicProduceData,
    decode_response, encode_request,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Duration, Instant};

use super::*;
use crate::config::Config;
use crate::server::Server;
use crate::tests::{engine, environment, runtime};

/// A broker where clients of the name `limited` have one quota.
async fn server(clock: impl Fn() -> Duration + Send + Sync + 'static, key: QuotaKey, value: f64) -> Server {
    let environment = Environment {
        clock: Clock::new(|| 1_800_000_000_000, clock),
        ..environment()
    };
    let broker = Broker::open(engine(), firth_broker::Config::default(), environment)
        .await
        .unwrap();
    let new = firth_broker::NewTopic {
        name: "t".to_owned(),
        ..Default::default()
    };
    broker.create_topic(new).await.unwrap();
    let entity = QuotaEntity::ClientId(QuotaName::named("limited").unwrap());
    let edits = vec![(key, Some(QuotaLimit::new(key, value).unwrap()))];
    let altered = broker.alter_quotas(vec![(entity, edits)], false).await;
    assert_eq!(altered, [Ok(())]);
    Server::open(broker, Config::default()).unwrap()
}

fn timers() -> impl Fn() -> Duration {
    let begun = Instant::now();
    move || begun.elapsed()
}

struct Caller {
    stream: DuplexStream,
    client_id: &'static str,
}

impl Caller {
    fn new(server: &Server, client_id: &'static str) -> Caller {
        let (stream, theirs) = duplex(1 << 16);
        let client = server.client("127.0.0.1:9092".parse().unwrap(), IpAddr::from([127, 0, 0, 1]));
        tokio::spawn(run(theirs, client, std::future::pending()));
        Caller { stream, client_id }
    }

    async fn send<R: RequestMessage>(&mut self, version: i16, request: &R) {
        let chain = encode_request(&mut BytesMut::new(), version, 7, Some(self.client_id), request).unwrap();
        let bytes: Bytes = chain.into_parts().flatten().collect();
        self.stream.write_all(&bytes).await.unwrap();
    }

    async fn receive<R: RequestMessage>(&mut self, version: i16) -> R::Response {
        let length = self.stream.read_u32().await.unwrap() as usize;
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame).await.unwrap();
        decode_response::<R>(version, &frame.into()).unwrap().1
    }

    /// Sends a record of so many bytes, and gives for how long no more should be sent.
    async fn produce(&mut self, bytes: usize) -> Duration {
        self.send(9, &produce(bytes)).await;
        let response = self.receive::<ProduceRequest>(9).await;
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!(partition.error_code, ErrorCode::None);
        Duration::from_millis(response.throttle_time_ms.try_into().unwrap())
    }
}

fn produce(bytes: usize) -> ProduceRequest {
    let mut builder = Builder::new(Compression::None);
    builder.push(0, None, Some(&vec![b'x'; bytes]), &[]);
    let partition = PartitionProduceData {
        index: 0,
        records: Some(builder.build().into_bytes()),
    };
    let data = TopicProduceData {
        name: "t".into(),
        partition_data: [partition].into(),
        ..Default::default()
    };
    ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: [data].into(),
        ..Default::default()
    }
}

#[test]
fn a_producer_that_does_not_wait_is_held_to_its_rate_and_others_are_not() {
    runtime().block_on(async {
        let server = server(timers(), QuotaKey::ProducerByteRate, 10_000.0).await;
        let begun = Instant::now();
        let limited = async {
            let mut caller = Caller::new(&server, "limited");
            for _ in 0..60 {
                // It sends at once again, whatever it is told.
                caller.produce(10_000).await;
            }
            begun.elapsed().as_secs_f64()
        };
        let other = async {
            let mut caller = Caller::new(&server, "other");
            for _ in 0..60 {
                assert_eq!(caller.produce(10_000).await, Duration::ZERO);
            }
            begun.elapsed().as_secs_f64()
        };
        let (limited, other) = tokio::join!(limited, other);
        // Ten seconds of its limit are free, and of the last wait nothing is seen.
        assert!((40.0..60.0).contains(&limited), "600 kB took {limited} s");
        assert!(other < 1.0, "600 kB took {other} s");
    });
}

#[test]
fn what_is_over_the_limit_is_answered_at_once_and_what_follows_when_the_wait_is_over() {
    runtime().block_on(async {
        let server = server(timers(), QuotaKey::ProducerByteRate, 1000.0).await;
        let memory = server
            .client("127.0.0.1:9092".parse().unwrap(), [127, 0, 0, 1].into())
            .server
            .broker
            .memory()
            .clone();
        let mut caller = Caller::new(&server, "limited");
        let begun = Instant::now();
        let wait = caller.produce(15_000).await;
        assert!(
            begun.elapsed() < Duration::from_millis(500),
            "{:?}",
            begun.elapsed()
        );
        assert!((5..6).contains(&wait.as_secs()), "{wait:?}");
        caller.send(0, &ListGroupsRequest::default()).await;
        caller.send(9, &produce(100)).await;
        tokio::time::advance(wait - Duration::from_millis(600)).await;
        let early = tokio::time::timeout(Duration::from_millis(50), caller.stream.read_u8()).await;
        assert!(early.is_err(), "the connection is muted");
        assert_eq!(
            memory.bytes_reserved(),
            0,
            "requests that are not taken hold no memory"
        );
        let response = caller.receive::<ListGroupsRequest>(0).await;
        assert_eq!(
            (response.throttle_time_ms, response.error_code),
            (0, ErrorCode::None)
        );
        let elapsed = begun.elapsed();
        assert!(
            (wait..wait + Duration::from_millis(100)).contains(&elapsed),
            "{elapsed:?} of {wait:?}"
        );
        caller.receive::<ProduceRequest>(9).await;
    });
}

#[test]
fn the_wait_of_who_has_gone_is_not_waited_for() {
    runtime().block_on(async {
        let server = server(timers(), QuotaKey::ProducerByteRate, 1.0).await;
        let (mut stream, theirs) = duplex(1 << 16);
        let client = server.client("127.0.0.1:9092".parse().unwrap(), [127, 0, 0, 1].into());
        let running = tokio::spawn(run(theirs, client, std::future::pending()));
        let chain = encode_request(&mut BytesMut::new(), 9, 7, Some("limited"), &produce(10_000)).unwrap();
        let bytes: Bytes = chain.into_parts().flatten().collect();
        stream.write_all(&bytes).await.unwrap();
        stream.read_u32().await.unwrap();
        let begun = Instant::now();
        drop(stream);
        running.await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    });
}

#[test]
fn a_client_is_held_to_the_time_that_its_requests_take() {
    use std::sync::atomic::{AtomicU64, Ordering};
    runtime().block_on(async {
        // Whoever looks at the clock takes 10 ms to do so, and one look is the beginning of some work and one its end.
        let looks = AtomicU64::new(0);
        let clock = move || Duration::from_millis(looks.fetch_add(10, Ordering::Relaxed));
        let server = server(clock, QuotaKey::RequestPercentage, 1.0).await;
        let mut caller = Caller::new(&server, "limited");
        let mut waits = Vec::new();
        for _ in 0..20 {
            caller.send(2, &ListGroupsRequest::default()).await;
            waits.push(caller.receive::<ListGroupsRequest>(2).await.throttle_time_ms);
        }
        assert_eq!(waits.first(), Some(&0));
        assert!(
            waits.iter().max() == Some(&1000) && waits.contains(&1000),
            "a second at most: {waits:?}"
        );
        let begun = Instant::now();
        let mut other = Caller::new(&server, "other");
        for _ in 0..20 {
            other.send(2, &ListGroupsRequest::default()).await;
            let response = other.receive::<ListGroupsRequest>(2).await;
            assert_eq!(response.throttle_time_ms, 0);
        }
        assert!(begun.elapsed() < Duration::from_secs(1));
        let quotas = server
            .client("127.0.0.1:9092".parse().unwrap(), [127, 0, 0, 1].into())
            .server
            .broker
            .clone();
        let counted = quotas
            .quotas()
            .waits()
            .find(|(key, ..)| *key == QuotaKey::RequestPercentage);
        let (_, times, waited) = counted.unwrap();
        let told = waits.iter().filter(|wait| **wait > 0);
        assert_eq!(times, u64::try_from(told.clone().count()).unwrap());
        assert_eq!(
            waited,
            Duration::from_millis(told.sum::<i32>().try_into().unwrap())
        );
    });
}

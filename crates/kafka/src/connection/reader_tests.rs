//! Consumers that do not read their replies, over pipes in memory that take less than a reply.

use bytes::{Buf, Bytes};
use firth_batch::{Batch, Builder, Compression};
use firth_broker::Broker;
use firth_kafka_codec::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, decode_response, encode_request,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;
use crate::config::Config;
use crate::server::Server;
use crate::tests::{engine, environment, runtime};

const PIPE_BYTES: usize = 4096;
const VERSION: i16 = 12;

fn broker_of(server: &Server) -> Broker {
    server
        .client("127.0.0.1:9092".parse().unwrap(), [127, 0, 0, 1].into())
        .server
        .broker
        .clone()
}

/// A server with this much memory, and a topic `t` of batches of this size.
async fn server(memory_bytes: usize, batches: usize, batch_bytes: usize) -> Server {
    let config = firth_broker::Config {
        memory_bytes,
        ..Default::default()
    };
    let broker = Broker::open(engine(), config, environment()).await.unwrap();
    let new = firth_broker::NewTopic {
        name: "t".to_owned(),
        configs: vec![("max.message.bytes".to_owned(), Some("10000000".to_owned()))],
        ..Default::default()
    };
    let topic = broker.create_topic(new).await.unwrap().topic;
    for _ in 0..batches {
        let mut builder = Builder::new(Compression::None);
        builder.push(-1, None, Some(&vec![b'x'; batch_bytes]), &[]);
        let batch = Batch::validate(builder.build().into_bytes()).unwrap();
        broker.append(&topic, 0, batch).unwrap().commit.await.unwrap();
    }
    let config = Config {
        stall_ms_max: 86_400_000,
        ..Config::default()
    };
    Server::open(broker, config).unwrap()
}

struct Reader {
    stream: DuplexStream,
    running: JoinHandle<Closed>,
}

impl Reader {
    /// Connects and asks for everything from an offset on, once.
    async fn fetch(server: &Server, fetch_offset: i64) -> Reader {
        let (mut stream, theirs) = duplex(PIPE_BYTES);
        let client = server.client("127.0.0.1:9092".parse().unwrap(), [127, 0, 0, 1].into());
        let running = tokio::spawn(run(theirs, client, std::future::pending()));
        let partition = FetchPartition {
            fetch_offset,
            partition_max_bytes: i32::MAX,
            ..Default::default()
        };
        let topic = FetchTopic {
            topic: "t".into(),
            partitions: vec![partition],
            ..Default::default()
        };
        let request = FetchRequest {
            max_wait_ms: i32::MAX,
            min_bytes: 1,
            max_bytes: i32::MAX,
            topics: vec![topic],
            ..Default::default()
        };
        let mut chain = encode_request(&mut BytesMut::new(), VERSION, 1, None, &request).unwrap();
        let bytes = chain.copy_to_bytes(chain.remaining());
        stream.write_all(&bytes).await.unwrap();
        Reader { stream, running }
    }

    /// Bytes of records in the answer.
    async fn read(&mut self) -> usize {
        let mut frame = vec![0; self.stream.read_u32().await.unwrap() as usize];
        self.stream.read_exact(&mut frame).await.unwrap();
        let (_, response): (_, FetchResponse) =
            decode_response::<FetchRequest>(VERSION, &Bytes::from(frame)).unwrap();
        let data = &response.responses[0].partitions[0];
        data.records.as_ref().map_or(0, |records| records.len())
    }

    async fn close(self) {
        drop(self.stream);
        self.running.await.unwrap();
    }
}

/// Until all that can happen has happened.
async fn settle() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn records_are_not_read_before_there_is_memory_for_them() {
    runtime().block_on(async {
        let server = server(1 << 20, 40, 50_000).await;
        let broker = broker_of(&server);
        let mut readers = Vec::new();
        for _ in 0..16 {
            readers.push(Reader::fetch(&server, 0).await);
        }
        settle().await;
        let (read, reserved) = (broker.counters().read_bytes, broker.memory().bytes_reserved());
        assert!(read >= 50_000, "somebody is served");
        assert!(
            read <= 512 << 10,
            "{read} bytes were read, and replies may hold 512 KiB"
        );
        assert!(
            reserved as u64 >= read && reserved <= 600_000,
            "{reserved} bytes are reserved"
        );

        let mut part = vec![0; 20_000];
        readers[0].stream.read_exact(&mut part).await.unwrap();
        settle().await;
        assert_eq!(
            broker.memory().bytes_reserved(),
            reserved,
            "a part of a reply gives nothing back"
        );
        assert_eq!(broker.counters().read_bytes, read);

        readers.remove(0).close().await;
        for reader in &mut readers {
            assert!(reader.read().await >= 50_000);
            assert!(broker.memory().bytes_reserved() <= 600_000);
        }
        for reader in readers {
            reader.close().await;
        }
        assert_eq!(broker.memory().bytes_reserved(), 0);
    });
}

#[test]
fn a_batch_larger_than_the_budget_is_served_to_one_reader_after_the_other() {
    runtime().block_on(async {
        let server = server(64 << 10, 2, 300_000).await;
        let broker = broker_of(&server);
        let mut readers = Vec::new();
        for _ in 0..4 {
            readers.push(Reader::fetch(&server, 0).await);
        }
        settle().await;
        let read = broker.counters().read_bytes;
        assert!(read < 700_000, "{read} bytes were read: one batch, once in vain");
        for reader in &mut readers {
            assert!((300_000..301_000).contains(&reader.read().await));
        }
        for reader in readers {
            reader.close().await;
        }
        assert_eq!(broker.memory().bytes_reserved(), 0);
    });
}

#[test]
fn a_fetch_that_waits_for_records_holds_its_own_bytes_only() {
    runtime().block_on(async {
        let server = server(1 << 20, 1, 1000).await;
        let broker = broker_of(&server);
        let mut readers = Vec::new();
        for _ in 0..100 {
            readers.push(Reader::fetch(&server, 1).await);
        }
        settle().await;
        let reserved = broker.memory().bytes_reserved();
        assert!(reserved < 100 * 200, "{reserved} bytes for 100 requests");
        for reader in readers {
            reader.close().await;
        }
        assert_eq!(broker.memory().bytes_reserved(), 0);
    });
}

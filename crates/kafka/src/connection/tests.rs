//! Connections over a pipe in memory: whatever arrives, a connection ends or goes on, and nothing panics.

use bytes::{BufMut, BytesMut};
use firth_batch::{Builder, Compression};
use firth_broker::Broker;
use firth_kafka_codec::{
    ErrorCode, PartitionProduceData, ProduceRequest, SERVED, TopicProduceData, decode_response,
    encode_request,
};
use firth_log::Engine;
use firth_log::file::recorder::{Kind, Recorder};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;
use crate::config::Config;
use crate::server::Server;
use crate::tests::{engine, engine_on, environment, runtime};

async fn client() -> Client {
    client_of(engine()).await
}

async fn client_of(engine: Engine) -> Client {
    let config = firth_broker::Config::default();
    let broker = Broker::open(engine, config, environment()).await.unwrap();
    let new = firth_broker::NewTopic {
        name: "t".to_owned(),
        partitions: Some(2),
        configs: Vec::new(),
    };
    broker.create_topic(new).await.unwrap();
    let config = Config {
        frame_bytes_max: 1 << 20,
        ..Config::default()
    };
    Server::open(broker, config)
        .unwrap()
        .client("127.0.0.1:9092".parse().unwrap(), [127, 0, 0, 1].into())
}

/// Feeds a connection, which may answer or close; then its end is awaited.
async fn feed(client: &Client, chunks: &[Vec<u8>]) -> (Closed, usize) {
    let (ours, theirs) = duplex(4096);
    let (mut reader, mut writer) = tokio::io::split(ours);
    let connection = run(theirs, client.clone(), std::future::pending());
    let writing = async {
        for chunk in chunks {
            if writer.write_all(chunk).await.is_err() {
                break;
            }
        }
        let _ = writer.shutdown().await;
    };
    let reading = async {
        let mut answered = Vec::new();
        let _ = reader.read_to_end(&mut answered).await;
        answered.len()
    };
    let (closed, (), answered) = tokio::join!(connection, writing, reading);
    (closed, answered)
}

/// A frame with a good header, so that the rest meets the decoders and the handlers.
fn frame(api: usize, version: i16, body: &[u8]) -> Vec<u8> {
    let served = SERVED[api % SERVED.len()];
    let versions = served.version_max - served.version_min + 1;
    let version = served.version_min + version.rem_euclid(versions);
    let mut bytes = BytesMut::new();
    bytes.put_i32(0);
    bytes.put_i16(served.api_key.as_i16());
    bytes.put_i16(version);
    bytes.put_i32(7);
    bytes.put_i16(-1);
    if served.api_key.is_flexible(version) {
        bytes.put_u8(0);
    }
    bytes.put_slice(body);
    let size = i32::try_from(bytes.len() - 4).unwrap();
    bytes[..4].copy_from_slice(&size.to_be_bytes());
    bytes.to_vec()
}

/// Bytes as bodies have them: small numbers, names that exist, and noise.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(vec![0]),
        3 => Just(vec![0xff, 0xff, 0xff, 0xff]),
        3 => Just(vec![0, 0, 0, 1]),
        3 => Just(vec![0, 1, b't']),
        3 => Just(vec![2, b't']),
        2 => Just(vec![2]),
        1 => proptest::collection::vec(any::<u8>(), 0..70),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn arbitrary_bytes_end_a_connection_at_most(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..6)) {
        runtime().block_on(async {
            feed(&client().await, &chunks).await;
        });
    }

    #[test]
    fn arbitrary_bodies_end_a_connection_at_most(
        frames in proptest::collection::vec((any::<usize>(), any::<i16>(), body()), 1..20),
    ) {
        runtime().block_on(async {
            let client = client().await;
            let chunks: Vec<_> = frames.iter().map(|(api, version, body)| frame(*api, *version, body)).collect();
            feed(&client, &chunks).await;
            assert_eq!(client.server.broker.memory().bytes_reserved(), 0, "all memory is given back");
        });
    }
}

#[test]
fn an_idle_connection_has_no_buffers_and_is_small() {
    runtime().block_on(async {
        let client = client().await;
        let (ours, theirs) = duplex(1 << 20);
        let (mut reader, mut writer) = tokio::io::split(ours);
        let mut connection = Connection::new(theirs, client);
        let request = frame(
            SERVED
                .iter()
                .position(|s| s.api_key == ApiKey::ApiVersions)
                .unwrap(),
            0,
            &[],
        );
        writer.write_all(&request.repeat(100)).await.unwrap();
        let mut answers = vec![0; 100 * 60];
        tokio::select! {
            closed = poll_fn(|cx| connection.poll(cx)) => panic!("{closed}"),
            read = reader.read_exact(&mut answers) => read.unwrap(),
        };
        poll_fn(|cx| {
            assert!(connection.poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(
            (connection.input.capacity(), connection.encoded.capacity()),
            (0, 0)
        );
        assert!(connection.output.is_empty() && connection.replies.is_empty());
        let bytes = size_of_val(&run(connection.stream, connection.client, async {}));
        assert!(bytes < 2048, "a connection takes {bytes} bytes");
    });
}

const PRODUCE_VERSION: i16 = 12;

/// A request for one record in each partition, of which the second does not exist.
fn produce(correlation_id: i32, timeout_ms: i32) -> Vec<u8> {
    let partition = |index| {
        let mut builder = Builder::new(Compression::None);
        builder.push(0, None, Some(b"value"), &[]);
        PartitionProduceData {
            index,
            records: Some(builder.build().into_bytes()),
        }
    };
    let data = TopicProduceData {
        name: "t".into(),
        partition_data: [0, 7, 1].into_iter().map(partition).collect(),
        ..Default::default()
    };
    let request = ProduceRequest {
        acks: -1,
        timeout_ms,
        topic_data: [data].into(),
        ..Default::default()
    };
    let mut buffer = BytesMut::new();
    let chain = encode_request(&mut buffer, PRODUCE_VERSION, correlation_id, None, &request).unwrap();
    chain.into_parts().flatten().collect()
}

/// The next answer: its correlation id, and the error and the base offset of each partition.
async fn answer(stream: &mut (impl AsyncReadExt + Unpin)) -> (i32, Vec<(ErrorCode, i64)>) {
    let length = stream.read_u32().await.unwrap() as usize;
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await.unwrap();
    let (correlation_id, response) =
        decode_response::<ProduceRequest>(PRODUCE_VERSION, &frame.into()).unwrap();
    let partitions = response
        .responses
        .into_iter()
        .flat_map(|topic| topic.partition_responses)
        .map(|partition| (partition.error_code, partition.base_offset));
    (correlation_id, partitions.collect())
}

#[test]
fn what_is_not_durable_in_time_is_answered_and_stays_in_memory() {
    use ErrorCode::{None as Success, RequestTimedOut as TimedOut, UnknownTopicOrPartition as Unknown};
    runtime().block_on(async {
        let recorder = Recorder::new();
        let engine = engine_on(&recorder);
        let client = client_of(engine.clone()).await;
        let memory = client.server.broker.memory().clone();
        let (ours, theirs) = duplex(4096);
        let (mut reader, mut writer) = tokio::io::split(ours);
        let connection = tokio::spawn(run(theirs, client, std::future::pending()));

        let hold = recorder.hold(Kind::Write, "wal/");
        let begun = tokio::time::Instant::now();
        writer.write_all(&produce(1, 0)).await.unwrap();
        writer.write_all(&produce(2, 30_000)).await.unwrap();
        let (id, partitions) = answer(&mut reader).await;
        assert_eq!((id, begun.elapsed().as_secs()), (1, 1));
        assert_eq!(partitions, [(TimedOut, -1), (Unknown, -1), (TimedOut, -1)]);
        let (id, partitions) = answer(&mut reader).await;
        assert_eq!((id, begun.elapsed().as_secs()), (2, 30));
        assert_eq!(partitions, [(TimedOut, -1), (Unknown, -1), (TimedOut, -1)]);
        assert!(memory.bytes_reserved() > 0, "what was appended is still there");

        // The engine's threads take real time.
        tokio::time::resume();
        drop(hold);
        // It waits behind those before it, and so for these to be durable.
        writer.write_all(&produce(3, 30_000)).await.unwrap();
        let (id, partitions) = answer(&mut reader).await;
        assert_eq!(
            (id, partitions),
            (3, vec![(Success, 2), (Unknown, -1), (Success, 2)])
        );
        writer.shutdown().await.unwrap();
        assert!(matches!(connection.await.unwrap(), Closed::ByClient));
        assert_eq!(memory.bytes_reserved(), 0);
        engine.close();
    });
}

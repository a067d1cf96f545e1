//! Consumers that stop reading their sockets (T21): others are served, and who holds what others wait for is cut off.

use bytes::Bytes;
use firth_batch::{Batches, Builder, Compression};
use firth_kafka_codec::ErrorCode;

use crate::broker::{Broker, Directory, Start};
use crate::crash::client::{Client, FETCH_VERSION, fetch_request, fetched};

/// Of this a quarter of a half of an eighth is what one reply holds: 4 MiB, and four of them are all that there is.
const MEMORY: [&str; 2] = ["--memory", "256MiB"];
const LARGE: i32 = 0;
const SMALL: i32 = 1;
const LARGE_BATCHES: i64 = 32;
const LARGE_BYTES: usize = 1_000_000;
/// Twice as many as hold everything.
const STUCK: usize = 8;
/// More than a connection takes into its sockets' buffers.
const ASKED_BYTES: i32 = 50 << 20;
/// Records that others write and read meanwhile, before the first stuck consumer is cut off.
const SERVED: usize = 200;

fn batch(value_bytes: usize) -> Bytes {
    let mut builder = Builder::new(Compression::None);
    builder.push(-1, None, Some(&vec![b'x'; value_bytes]), &[]);
    builder.build().into_bytes()
}

fn produce(client: &mut Client, partition: i32, batch: Bytes) -> i64 {
    let answer = client.produce(partition, batch).unwrap();
    assert_eq!(answer.error_code, ErrorCode::None);
    answer.base_offset
}

/// Asks for more than its sockets take, three times, and reads nothing.
fn stuck(broker: &Broker) -> Client {
    let mut client = Client::connect(broker.kafka()).unwrap();
    for offset in [0, 8, 16] {
        client
            .send(FETCH_VERSION, &fetch_request(&[LARGE], offset, 0, ASKED_BYTES))
            .unwrap();
    }
    client
}

fn metric(broker: &Broker, name: &str) -> u64 {
    let metrics = broker.get("/metrics");
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap().parse().unwrap()
}

#[test]
fn consumers_that_do_not_read_keep_nobody_waiting_for_long() {
    let directory = Directory::new();
    let broker = Start::new(directory.path(), &MEMORY).succeed();
    let mut live = Client::connect(broker.kafka()).unwrap();
    live.create_topic(2).unwrap();
    for _ in 0..LARGE_BATCHES {
        produce(&mut live, LARGE, batch(LARGE_BYTES));
    }
    let consumers: Vec<Client> = (0..STUCK).map(|_| stuck(&broker)).collect();

    // Who follows the end of a log does not wait at all: nobody is cut off yet.
    for _ in 0..SERVED {
        let offset = produce(&mut live, SMALL, batch(100));
        let data = live.fetch(SMALL, offset, 1000).unwrap();
        assert_eq!(data.error_code, ErrorCode::None);
        assert!(!fetched(data.records).is_empty());
    }
    let held = metric(&broker, "firth_request_memory_bytes");
    let budget = metric(&broker, "firth_request_memory_max_bytes");
    assert!(held <= budget / 2 + budget / 8, "{held} of {budget} is held");

    // Who reads everything waits until those that read nothing are cut off.
    let mut bulk = Client::connect(broker.kafka()).unwrap();
    let mut offset = 0;
    while offset < LARGE_BATCHES {
        let data = bulk.fetch(LARGE, offset, 1000).unwrap();
        assert_eq!(data.error_code, ErrorCode::None);
        let records = fetched(data.records);
        offset = Batches::new(&records)
            .map(|batch| batch.unwrap().0.next_offset())
            .last()
            .unwrap();
    }
    let cut_off = metric(&broker, "firth_kafka_connections_failed_total");
    assert!(cut_off >= 4, "{cut_off} connections were cut off");

    drop(consumers);
    let log = broker.stop();
    assert!(log.contains("while replies wait to be read"), "{log}");
}

//! Very many clients that send their first request a byte at a time, and never all of it (T25).

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use bytes::{BufMut, BytesMut};
use firth_batch::{Builder, Compression};
use firth_kafka_codec::ErrorCode;

use crate::broker::Broker;
use crate::crash::client::{Client, fetched};
use crate::scale::resident_bytes;

const CONNECTIONS: usize = 5000;
/// What a connection may hold of which nothing whole has come.
const BYTES_EACH: usize = 64 * 1024;
const ROUNDS: u8 = 8;

/// The beginning of a request that claims to be large, small, or not even that.
fn beginning(which: usize) -> BytesMut {
    let mut bytes = BytesMut::new();
    match which % 4 {
        0 => bytes.put_slice(&[0, 0]),
        1 => bytes.put_i32(300),
        2 => {
            bytes.put_i32(1 << 20);
            bytes.put_slice(&[0, 0, 0, 12, 0, 0, 0, 1, 0, 1, b'x']);
        }
        _ => {
            bytes.put_i32(90_000_000);
            bytes.put_slice(&[0, 0, 0, 12]);
        }
    }
    bytes
}

fn slow(address: SocketAddr, which: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(&beginning(which)).unwrap();
    stream
}

fn others_are_served(client: &mut Client, nth: u8) {
    let mut builder = Builder::new(Compression::None);
    builder.push(0, None, Some(&[nth]), &[]);
    let answer = client.produce(0, builder.build().into_bytes()).unwrap();
    assert_eq!(
        (answer.error_code, answer.base_offset),
        (ErrorCode::None, i64::from(nth))
    );
    let data = client.fetch(0, i64::from(nth), 0).unwrap();
    assert!(!fetched(data.records).is_empty());
}

#[test]
fn those_who_send_a_byte_at_a_time_hold_little_and_keep_nobody_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start_with(directory.path(), &["--memory", "256MiB"]);
    let mut client = Client::connect(broker.kafka()).unwrap();
    client.create_topic(1).unwrap();
    others_are_served(&mut client, 0);
    let before = resident_bytes(&broker);
    let mut slow: Vec<_> = (0..CONNECTIONS)
        .map(|which| slow(broker.kafka(), which))
        .collect();
    for round in 1..=ROUNDS {
        for stream in &mut slow {
            // Whoever is in the way of others may have been cut off.
            let _ = stream.write_all(&[0]);
        }
        others_are_served(&mut client, 2 * round - 1);
        others_are_served(&mut Client::connect(broker.kafka()).unwrap(), 2 * round);
    }
    let held = resident_bytes(&broker).saturating_sub(before) / CONNECTIONS;
    assert!(held < BYTES_EACH, "each holds {held} bytes");
    drop(slow);
    others_are_served(&mut client, 2 * ROUNDS + 1);
    broker.stop();
}

//! Whatever comes first on a connection (T27): each request that clients send, in each version, alone and with bytes changed.
#![allow(clippy::unwrap_used, reason = "this is a test")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use firth_kafka_codec::{ApiKey, ApiVersionsRequest, decode_header};
use firth_log::file::recorder::SplitMix64;
use tokio::time::timeout;

use support::{BOUND, TestBroker, until};

/// Changed frames for each that is whole.
const CHANGED: u64 = 200;
/// A changed request may ask to wait for as long as it likes.
const GLANCE: Duration = Duration::from_millis(3);

/// Frames of real clients, without their size.
fn requests() -> Vec<(String, Bytes)> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/kafka_request");
    let mut found: Vec<_> = std::fs::read_dir(seeds)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, Bytes::from(std::fs::read(entry.path()).unwrap()))
        })
        .filter(|(_, frame)| decode_header(frame).is_ok())
        .collect();
    found.sort();
    assert!(found.len() > 60, "{} requests", found.len());
    found
}

fn framed(frame: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i32(frame.len().try_into().unwrap());
    bytes.put_slice(frame);
    bytes.freeze()
}

/// A few bytes are others, or the end is missing.
fn changed(frame: &[u8], random: &mut SplitMix64) -> Vec<u8> {
    let mut frame = frame.to_vec();
    for _ in 0..=random.below(3) {
        let at = usize::try_from(random.below(frame.len() as u64)).unwrap();
        frame[at] = match random.below(4) {
            0 => 0,
            1 => 0x7f,
            2 => 0xff,
            _ => u8::try_from(random.below(256)).unwrap(),
        };
    }
    if random.below(6) == 0 {
        let length = usize::try_from(random.below(frame.len() as u64)).unwrap();
        frame.truncate(length);
    }
    frame
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_first_is_answered_or_ends_its_connection() {
    // A panic would end one connection alone, and pass for a refusal.
    let panics = Arc::new(AtomicUsize::new(0));
    let counted = panics.clone();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        counted.fetch_add(1, Ordering::Relaxed);
        hook(panic);
    }));
    let broker = TestBroker::memory().await;
    let mut random = SplitMix64::new(27);
    for (name, frame) in requests() {
        let (header, _) = decode_header(&frame).unwrap();
        let mut client = broker.connect().await;
        client.write(&framed(&frame)).await;
        // Whoever joins a group waits for others.
        let answer = async {
            loop {
                match timeout(GLANCE, client.frame()).await {
                    Ok(answer) => return answer,
                    Err(_) => broker.pass(1000),
                }
            }
        };
        // Only a Produce that asks for none has no answer, which a request behind it shows.
        let is_produce = header.api_key == ApiKey::Produce;
        let answer = match is_produce {
            true => timeout(BOUND, client_answers(&broker)).await.map(|()| None),
            false => timeout(BOUND, answer).await,
        };
        let answer = answer.unwrap_or_else(|_| panic!("{name} hangs"));
        if !is_produce {
            let answer = answer.unwrap_or_else(|| panic!("{name} is not answered"));
            assert_eq!(answer[..4], header.correlation_id.to_be_bytes(), "{name}");
        }
        for _ in 0..CHANGED {
            let mut client = broker.connect().await;
            client.write(&framed(&changed(&frame, &mut random))).await;
            let _ = timeout(GLANCE, client.frame()).await;
        }
    }
    client_answers(&broker).await;
    assert_eq!(panics.load(Ordering::Relaxed), 0, "nothing panics");
    until("connections that are gone hold nothing", || {
        broker.broker.memory().bytes_reserved() == 0
    })
    .await;
    broker.stop().await;
}

async fn client_answers(broker: &TestBroker) {
    let mut client = broker.connect().await;
    client.call(0, &ApiVersionsRequest::default()).await;
}

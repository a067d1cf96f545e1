//! rust-rdkafka against a running broker.
//!
//! ```text
//! rdkafka-client roundtrip HOST:PORT TOPIC CODEC COUNT   write COUNT records with an idempotent producer, read them back, compare
//! rdkafka-client dump HOST:PORT TOPIC PARTITIONS         print every record: partition TAB offset TAB key TAB value
//! rdkafka-client group HOST:PORT GROUP TOPIC COUNT            read COUNT records as a member, commit each, print their values
//! ```

use std::io::Write;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders, Timestamp};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How long a call to the broker may take before the scenario counts as hung.
const PATIENCE: Duration = Duration::from_secs(30);
/// The first record's timestamp; the others follow in steps of one millisecond.
const FIRST_TIMESTAMP_MS: i64 = 1_700_000_000_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["roundtrip", bootstrap, topic, codec, count] => {
            roundtrip(bootstrap, topic, codec, count.parse()?).await
        }
        ["dump", bootstrap, topic, partitions] => dump(bootstrap, topic, partitions.parse()?),
        ["group", bootstrap, group, topic, count] => read_as_member(bootstrap, group, topic, count.parse()?),
        _ => Err(
            "usage: rdkafka-client roundtrip HOST:PORT TOPIC CODEC COUNT | dump HOST:PORT TOPIC PARTITIONS | \
             group HOST:PORT GROUP TOPIC COUNT"
                .into(),
        ),
    }
}

fn value(number: usize) -> String {
    format!(
        "the value of record {number}, and something that compresses: {}",
        "firth ".repeat(number % 40)
    )
}

async fn roundtrip(bootstrap: &str, topic: &str, codec: &str, count: usize) -> Result<()> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("compression.type", codec)
        .set("linger.ms", "20")
        .set("message.timeout.ms", "30000")
        .create()?;

    let mut deliveries = Vec::with_capacity(count);
    for number in 0..count {
        let (key, payload, header) = (format!("key-{}", number % 7), value(number), number.to_string());
        let headers = OwnedHeaders::new()
            .insert(Header {
                key: "number",
                value: Some(&header),
            })
            .insert(Header {
                key: "empty",
                value: None::<&str>,
            });
        let record = FutureRecord::to(topic)
            .partition(0)
            .key(&key)
            .payload(&payload)
            .headers(headers)
            .timestamp(FIRST_TIMESTAMP_MS + number as i64);
        deliveries.push(producer.send_result(record).map_err(|(error, _)| error)?);
    }
    for (number, delivery) in deliveries.into_iter().enumerate() {
        let delivered = delivery.await?.map_err(|(error, _)| error)?;
        let expected = (0, number as i64);
        if (delivered.partition, delivered.offset) != expected {
            return Err(
                format!("record {number} was acknowledged as {delivered:?}, not as {expected:?}").into(),
            );
        }
    }

    let consumer = assigned_consumer(bootstrap, topic, 1)?;
    for number in 0..count {
        let message = next_message(&consumer)?;
        compare(&message, number)
            .map_err(|what| format!("record {number} came back with another {what}: {message:?}"))?;
    }
    Ok(())
}

fn compare(message: &BorrowedMessage<'_>, number: usize) -> std::result::Result<(), &'static str> {
    let check = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(what) };
    check(message.offset() == number as i64, "offset")?;
    check(
        message.key() == Some(format!("key-{}", number % 7).as_bytes()),
        "key",
    )?;
    check(message.payload() == Some(value(number).as_bytes()), "value")?;
    check(
        message.timestamp() == Timestamp::CreateTime(FIRST_TIMESTAMP_MS + number as i64),
        "timestamp",
    )?;
    let headers = message.headers().ok_or("number of headers")?;
    let found: Vec<_> = headers.iter().map(|header| (header.key, header.value)).collect();
    let text = number.to_string();
    check(
        found == [("number", Some(text.as_bytes())), ("empty", None)],
        "header",
    )
}

fn dump(bootstrap: &str, topic: &str, partitions: i32) -> Result<()> {
    let consumer = assigned_consumer(bootstrap, topic, partitions)?;
    let mut left: i64 = 0;
    for partition in 0..partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE)?;
        left += high - low;
    }
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    while left > 0 {
        let message = next_message(&consumer)?;
        write!(output, "{}\t{}\t", message.partition(), message.offset())?;
        output.write_all(message.key().unwrap_or_default())?;
        output.write_all(b"\t")?;
        output.write_all(message.payload().unwrap_or_default())?;
        output.write_all(b"\n")?;
        left -= 1;
    }
    Ok(output.flush()?)
}

fn read_as_member(bootstrap: &str, group: &str, topic: &str, count: usize) -> Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()?;
    consumer.subscribe(&[topic])?;
    let mut output = std::io::stdout().lock();
    for _ in 0..count {
        let message = next_message(&consumer)?;
        consumer.commit_message(&message, CommitMode::Sync)?;
        output.write_all(message.payload().unwrap_or_default())?;
        output.write_all(b"\n")?;
    }
    Ok(output.flush()?)
}

/// A consumer of the first `partitions` partitions from their beginning, without a group.
fn assigned_consumer(bootstrap: &str, topic: &str, partitions: i32) -> Result<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "unused: the partitions are assigned by hand")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        .create()?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    Ok(consumer)
}

/// The next record. librdkafka retries by itself while a broker is away, so a transport error is only news, until the deadline.
fn next_message(consumer: &BaseConsumer) -> Result<BorrowedMessage<'_>> {
    let deadline = Instant::now() + PATIENCE;
    let mut last = None;
    while let Some(rest) = deadline.checked_duration_since(Instant::now()) {
        match consumer.poll(rest) {
            Some(Ok(message)) => return Ok(message),
            Some(Err(error)) => last = Some(error),
            None => {}
        }
    }
    Err(format!("no record within {PATIENCE:?}; the last error was {last:?}").into())
}

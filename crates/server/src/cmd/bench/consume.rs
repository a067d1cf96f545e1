use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::BytesMut;
use firth_batch::Batches;
use firth_kafka_codec::PartitionData;
use tokio::task::JoinSet;

use super::produce::Filling;
use super::report::Report;
use super::tally::{Measured, Tally, Unit};
use super::topic::Topic;
use super::{Base, Length, Records, TopicArgs};
use crate::client::{Client, check};
use crate::duration::duration;
use crate::environment::since_boot;
use crate::records::reading::{Position, fetch};
use crate::records::start::{self, Start};

const FILL_BATCH_BYTES: usize = 64 * 1024;
const FILL_IN_FLIGHT: usize = 5;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    topic: TopicArgs,
    #[command(flatten)]
    written: Records,
    /// Records that are written first into a topic of its own; of one that is named, records to end after
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    records: Option<u64>,
    /// End after so long, even before the end of the topic
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Connections, among which the partitions are dealt out
    #[arg(long, value_name = "N", default_value = "1")]
    connections: NonZeroUsize,
    #[command(flatten)]
    base: Base,
}

/// Written where nobody says how much.
const RECORDS_DEFAULT: u64 = 500_000;

pub(super) async fn run(args: Args) -> Result<bool> {
    let mut client = args.base.server.connect().await?;
    let topic = match &args.topic.topic {
        Some(name) => Topic::find(&mut client, name).await?,
        None => Topic::prepare(&mut client, &args.topic).await?,
    };
    let outcome = read(&args, &topic).await;
    let mut report = Report::new("consume");
    report.topic(&topic);
    report.put("connections", args.connections.get());
    let (tally, measured) = topic.finish(&mut client, outcome).await?;
    report.measured(&measured, Unit::Records);
    report.latency("fetch", &tally.answered.taken());
    report.print(args.base.json)?;
    Ok(measured.interrupted)
}

async fn read(args: &Args, topic: &Topic) -> Result<(Arc<Tally>, Measured)> {
    let target = args.base.server.target()?;
    let connections = args
        .connections
        .get()
        .min(usize::try_from(topic.partitions).unwrap_or(1));
    if args.topic.topic.is_none() {
        eprintln!(
            "writing {} records first",
            args.records.unwrap_or(RECORDS_DEFAULT)
        );
        let length = count_of(args.records.or(Some(RECORDS_DEFAULT)));
        let tally = Tally::new(&length, Unit::Records);
        let mut workers = JoinSet::new();
        let filling = Filling {
            connections,
            in_flight: FILL_IN_FLIGHT,
            batch_bytes: FILL_BATCH_BYTES,
            rate: None,
        };
        for index in 0..connections {
            let client = Client::connect(&target).await?;
            filling.start(index, client, topic, &args.written, &tally, &mut workers)?;
        }
        let written = tally.run(&length, None, workers).await?;
        if written.interrupted {
            let nothing = Measured {
                records: 0,
                bytes: 0,
                ..written
            };
            return Ok((Tally::new(&length, Unit::Records), nothing));
        }
    }
    let length = count_of(args.records.filter(|_| args.topic.topic.is_some()));
    let tally = Tally::new(&length, Unit::Records);
    let mut workers = JoinSet::new();
    for index in 0..connections {
        let mut client = Client::connect(&target).await?;
        let own = start::Topic {
            name: topic.name.as_str().into(),
            id: topic.id,
        };
        let share = topic.share(index, connections);
        let positions = Start::Beginning.positions(&mut client, &own, &share).await?;
        workers.spawn(drink(client, positions, tally.clone()));
    }
    let measured = tally.run(&length, args.duration, workers).await?;
    Ok((tally, measured))
}

/// Measured from the first record on.
fn count_of(records: Option<u64>) -> Length {
    Length {
        duration: Duration::ZERO,
        records,
        warmup: Duration::ZERO,
    }
}

/// Reads to the ends that the positions name.
async fn drink(mut client: Client, mut positions: Vec<Position>, tally: Arc<Tally>) -> Result<()> {
    loop {
        positions.retain(|position| position.next < position.end);
        if positions.is_empty() || tally.is_stopped() || tally.is_enough() {
            return Ok(());
        }
        let asked = since_boot();
        let answers = fetch(&mut client, &positions).await?;
        let mut latency = Some(since_boot().saturating_sub(asked));
        for (place, data) in answers {
            let position = &mut positions[place];
            check(data.error_code, None)
                .with_context(|| format!("partition {} of {}", position.partition, position.topic))?;
            let (records, bytes) = swallow(&data, position);
            tally.count(records, bytes, latency.take());
        }
        positions.rotate_left(1);
    }
}

/// Counts records by the heads of their batches, as compressed as they came.
fn swallow(data: &PartitionData, position: &mut Position) -> (u64, u64) {
    let mut bytes = BytesMut::new();
    for part in data.records.iter().flat_map(|records| records.parts()) {
        bytes.extend_from_slice(part);
    }
    let (mut records, mut read) = (0, 0);
    for batch in Batches::new(&bytes) {
        let Ok((header, batch)) = batch else {
            // Kafka brokers may cut the last batch; it comes again as the first.
            break;
        };
        records += u64::try_from(header.record_count).unwrap_or(0);
        read += batch.len() as u64;
        position.next = position.next.max(header.next_offset());
    }
    (records, read)
}

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use firth_batch::Builder;
use tokio::task::JoinSet;

use super::link::{Link, Load};
use super::report::Report;
use super::tally::{Measured, Tally, Unit};
use super::topic::Topic;
use super::{Base, Length, Records, TopicArgs, size};
use crate::client::Client;
use crate::environment::wall_ms;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    topic: TopicArgs,
    #[command(flatten)]
    records: Records,
    /// Bytes of a batch before compression; 0 sends single records
    #[arg(long, value_name = "BYTES", default_value = "64KiB", value_parser = size)]
    batch_bytes: usize,
    /// Connections, among which the partitions are dealt out
    #[arg(long, value_name = "N", default_value = "4")]
    connections: NonZeroUsize,
    /// Requests of each connection that wait for their answers
    #[arg(long, value_name = "N", default_value = "5")]
    in_flight: NonZeroUsize,
    /// Records in a second, of all connections together [default: as many as the broker takes]
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    #[command(flatten)]
    length: Length,
    #[command(flatten)]
    base: Base,
}

pub(super) async fn run(args: Args) -> Result<bool> {
    let mut client = args.base.server.connect().await?;
    let topic = Topic::prepare(&mut client, &args.topic).await?;
    let outcome = load(&args, &topic).await;
    let mut report = Report::new("produce");
    report.topic(&topic);
    report.records(&args.records);
    report.put("batch_bytes", args.batch_bytes);
    report.put("connections", args.connections.get());
    report.put("in_flight", args.in_flight.get());
    report.put("rate", args.rate);
    let (tally, measured) = topic.finish(&mut client, outcome).await?;
    report.measured(&measured, Unit::Records);
    report.latency("ack", &tally.answered.taken());
    report.print(args.base.json)?;
    Ok(measured.interrupted)
}

async fn load(args: &Args, topic: &Topic) -> Result<(Arc<Tally>, Measured)> {
    let tally = Tally::new(&args.length, Unit::Records);
    let mut workers = JoinSet::new();
    let connections = args.connections.get();
    let filling = Filling {
        connections,
        in_flight: args.in_flight.get(),
        batch_bytes: args.batch_bytes,
        rate: args.rate,
    };
    let target = args.base.server.target()?;
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(Client::connect(&target).await?);
    }
    for (index, client) in clients.into_iter().enumerate() {
        filling.start(index, client, topic, &args.records, &tally, &mut workers)?;
    }
    let measured = tally.run(&args.length, args.length.duration(), workers).await?;
    Ok((tally, measured))
}

/// How batches that are all the same are sent.
pub(super) struct Filling {
    pub(super) connections: usize,
    pub(super) in_flight: usize,
    pub(super) batch_bytes: usize,
    /// Records in a second.
    pub(super) rate: Option<f64>,
}

impl Filling {
    pub(super) fn start(
        &self,
        index: usize,
        client: Client,
        topic: &Topic,
        records: &Records,
        tally: &Arc<Tally>,
        workers: &mut JoinSet<Result<()>>,
    ) -> Result<()> {
        let batch = batch(records, self.batch_bytes, index);
        let per_second = |rate: f64| rate / batch.count as f64 / self.connections as f64;
        let every = self
            .rate
            .map(|rate| Duration::from_secs_f64(1.0 / per_second(rate)));
        let link = Link {
            topic: topic.name.clone(),
            topic_id: topic.id,
            partitions: topic.share(index, self.connections),
            acks: records.acks,
            in_flight: self.in_flight,
            every,
        };
        link.start(client, tally, workers, move |_| Load {
            records: batch.records.clone(),
            ..batch
        })
    }
}

/// As many records as fit, but at least one.
fn batch(records: &Records, batch_bytes: usize, seed: usize) -> Load {
    let mut payload = Payload::new(seed);
    let mut builder = Builder::new(records.compression);
    let (now, mut count) = (wall_ms(), 0);
    let framing = 16;
    while count == 0 || builder.len() + records.record_bytes + framing <= batch_bytes {
        let value = payload.record(records.record_bytes);
        builder.push(now, None, Some(&value), &[]);
        count += 1;
    }
    Load {
        records: builder.build().into_bytes(),
        count,
        payload_bytes: count * records.record_bytes as u64,
    }
}

/// Values of which one half is random, by xorshift: a bench needs bytes that do not compress, and not that nobody guesses them.
pub(super) struct Payload(u64);

impl Payload {
    pub(super) fn new(seed: usize) -> Payload {
        Payload(0x9e37_79b9_7f4a_7c15 ^ (seed as u64 + 1))
    }

    pub(super) fn record(&mut self, bytes: usize) -> Vec<u8> {
        let mut value = vec![b'.'; bytes];
        for byte in &mut value[..bytes.div_ceil(2)] {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *byte = self.0 as u8;
        }
        value
    }
}

pub(super) fn rate(text: &str) -> Result<f64> {
    let rate = text
        .parse()
        .ok()
        .filter(|rate: &f64| rate.is_finite() && (1e-3..=1e9).contains(rate));
    rate.ok_or_else(|| anyhow::Error::msg("must be a number of records in a second, as 5000"))
}

#[cfg(test)]
mod tests {
    use firth_batch::Compression;

    use super::*;

    #[test]
    fn batches_are_full_and_compress_to_a_half() {
        let records = |record_bytes, compression| Records {
            record_bytes,
            compression,
            acks: -1,
        };
        let full = batch(&records(1024, Compression::None), 65_536, 0);
        assert_eq!((full.count, full.payload_bytes), (63, 63 * 1024));
        assert!(full.records.len() <= 65_536);
        assert_eq!(batch(&records(1024, Compression::None), 0, 0).count, 1);
        for compression in [
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ] {
            let compressed = batch(&records(1024, compression), 65_536, 0).records.len();
            assert!(
                (30_000..40_000).contains(&compressed),
                "{compression:?}: {compressed}"
            );
        }
    }
}

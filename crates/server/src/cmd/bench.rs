//! Load on a broker that runs, as its clients make it: what it does on this machine, over this network, with these settings.
//! The project's own drivers in `bench/` share nothing with this: they have a codec of their own, so that both cannot be wrong
//! together, and no runtime, so that the broker is measured and not they.

mod amqp;
mod consume;
mod end_to_end;
mod link;
mod produce;
mod report;
mod tally;
mod topic;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use firth_batch::Compression;

use crate::duration::duration;
use crate::settings::bytes;
use crate::target::Server;

/// As of a process that SIGINT ended.
const EXIT_INTERRUPTED: u8 = 130;

/// Without --topic each makes a topic of its own, and deletes it in the end. Half of each record is random, so that every codec
/// compresses records to about a half.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Send batches as fast as the broker takes them, or at a rate: throughput, and the latency of acknowledgements
    Produce(produce::Args),
    /// Read a topic from its beginning as fast as the broker gives it
    Consume(consume::Args),
    /// Send single records at a rate while reading them: the latency from sending to acknowledgement and to consumption
    EndToEnd(end_to_end::Args),
    /// Publish to a queue and consume it over AMQP 0-9-1: throughput, and the latency of confirms and to the consumer
    Amqp(amqp::Args),
}

/// The topic under load.
#[derive(clap::Args)]
struct TopicArgs {
    /// The topic, which is created if it is not there, and is left [default: one of its own, which is deleted]
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Partitions of a topic that is created
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    partitions: i32,
    /// A setting of a topic that is created; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::topic::create::config)]
    topic_config: Vec<(String, String)>,
}

/// When it ends.
#[derive(clap::Args)]
struct Length {
    /// How long it measures, as 30s or 5m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// End after so many records instead
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    records: Option<u64>,
    /// How long it runs before it measures
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration, conflicts_with = "records")]
    warmup: Duration,
}

impl Length {
    /// Absent where records are counted.
    fn duration(&self) -> Option<Duration> {
        self.records.is_none().then_some(self.duration)
    }
}

/// What all of them take.
#[derive(clap::Args)]
struct Base {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// What is sent.
#[derive(clap::Args)]
struct Records {
    /// Bytes of each record's value
    #[arg(long, value_name = "BYTES", default_value = "1KiB", value_parser = size)]
    record_bytes: usize,
    /// none, gzip, snappy, lz4 or zstd
    #[arg(short = 'z', long, value_name = "CODEC", default_value = "none", value_parser = super::produce::compression)]
    compression: Compression,
    /// What acknowledges a record: 0 (nothing), 1 or all
    #[arg(long, default_value = "all", value_parser = acks)]
    acks: i16,
}

pub(crate) fn run(command: Command) -> Result<ExitCode> {
    let interrupted = super::block_on(async {
        match command {
            Command::Produce(args) => produce::run(args).await,
            Command::Consume(args) => consume::run(args).await,
            Command::EndToEnd(args) => end_to_end::run(args).await,
            Command::Amqp(args) => amqp::run(args).await,
        }
    })?;
    Ok(match interrupted {
        true => ExitCode::from(EXIT_INTERRUPTED),
        false => ExitCode::SUCCESS,
    })
}

fn size(text: &str) -> Result<usize> {
    const BYTES_MAX: u64 = 64 << 20;
    let bytes = bytes(text).map_err(anyhow::Error::msg)?;
    let bytes = Some(bytes).filter(|bytes| *bytes <= BYTES_MAX);
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    bytes.context("must be 64MiB at most")
}

fn acks(text: &str) -> Result<i16> {
    match text {
        "0" => Ok(0),
        "1" => Ok(1),
        "all" | "-1" => Ok(-1),
        _ => Err(anyhow::Error::msg("must be 0, 1 or all")),
    }
}

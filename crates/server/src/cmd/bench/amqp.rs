//! Messages through one queue of a server of AMQP 0-9-1, each confirmed and each acknowledged.

mod consumer;
mod link;
mod message;
mod publisher;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Result, ensure};
use firth_amqp_codec::{FieldTable, confirm, queue};
use tokio::task::JoinSet;

use self::consumer::Consumer;
use self::link::{Link, Server};
use self::message::{HEAD_BYTES, Mark};
use self::publisher::Publisher;
use super::produce::{Payload, rate};
use super::report::Report;
use super::size;
use super::tally::{Measured, Tally, Unit};
use super::{Length, duration};
use crate::environment;

const PERSISTENT: u8 = 2;
const TRANSIENT: u8 = 1;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The queue, which is declared if it is not there, and is left [default: one of its own, which is deleted]
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// What kind of queue is declared
    #[arg(long, value_enum, default_value = "classic")]
    queue_type: QueueType,
    /// Messages and a queue that need not survive a restart
    #[arg(long)]
    transient: bool,
    /// Connections that publish
    #[arg(long, value_name = "N", default_value = "2")]
    publishers: NonZeroUsize,
    /// Connections that consume
    #[arg(long, value_name = "N", default_value_t = 2)]
    consumers: usize,
    /// Bytes of each message's body
    #[arg(long, value_name = "BYTES", default_value = "1KiB", value_parser = size)]
    message_bytes: usize,
    /// Messages that each publisher has unconfirmed at most
    #[arg(long, value_name = "N", default_value = "1000")]
    in_flight: NonZeroUsize,
    /// Messages that each consumer has unacknowledged at most; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 1000)]
    prefetch: u16,
    /// Messages in a second, by all publishers [default: as many as are confirmed]
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// How long it measures, as 30s or 5m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// End after so many messages instead
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    messages: Option<u64>,
    /// How long it runs before it measures
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration, conflicts_with = "messages")]
    warmup: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum QueueType {
    Classic,
    Quorum,
}

pub(super) async fn run(args: Args) -> Result<bool> {
    ensure!(
        args.message_bytes >= HEAD_BYTES,
        "--message-bytes is {}: messages carry their times, and so have {HEAD_BYTES} bytes at least",
        args.message_bytes
    );
    let random = (environment::random()?)();
    let mark = Mark(*random.first_chunk().expect("it is a part of more"));
    let suffix = u32::from_be_bytes(*random.last_chunk().expect("it is a part of more"));
    let name = args
        .queue
        .clone()
        .unwrap_or_else(|| format!("firth-bench-{suffix:08x}"));
    let mut link = Link::open(&args.server).await?;
    link.call(args.declare(&name)?).await?;
    let outcome = load(&args, &name, mark).await;
    if args.queue.is_none() {
        let delete = queue::Delete {
            queue: name.as_str().try_into()?,
            ..queue::Delete::default()
        };
        let deleted = link.call(delete).await;
        // What went wrong first is told first.
        if outcome.is_ok() {
            deleted?;
        }
    }
    let (tally, measured) = outcome?;
    let mut report = Report::new("amqp");
    args.settings(&name, &mut report);
    report.measured(&measured, Unit::Messages);
    let consumed = tally.consumed.taken();
    report.put("consumed", consumed.len());
    report.latency("confirm", &tally.answered.taken());
    report.latency("consume", &consumed);
    report.print(args.json)?;
    Ok(measured.interrupted)
}

impl Args {
    fn declare(&self, name: &str) -> Result<queue::Declare> {
        Ok(queue::Declare {
            queue: name.try_into()?,
            durable: !self.transient,
            arguments: FieldTable::build(|table| {
                table.put_str("x-queue-type", self.queue_type.name());
            })?,
            ..queue::Declare::default()
        })
    }

    fn settings(&self, name: &str, report: &mut Report) {
        report.put("queue", name);
        report.put("queue_type", self.queue_type.name());
        report.put("durable", !self.transient);
        report.put("persistent", !self.transient);
        report.put("publishers", self.publishers.get());
        report.put("consumers", self.consumers);
        report.put("message_bytes", self.message_bytes);
        report.put("in_flight", self.in_flight.get());
        report.put("prefetch", self.prefetch);
        report.put("rate", self.rate);
    }

    fn length(&self) -> Length {
        Length {
            duration: self.duration,
            records: self.messages,
            warmup: self.warmup,
        }
    }
}

impl QueueType {
    fn name(self) -> &'static str {
        match self {
            QueueType::Classic => "classic",
            QueueType::Quorum => "quorum",
        }
    }
}

async fn load(args: &Args, name: &str, mark: Mark) -> Result<(Arc<Tally>, Measured)> {
    let length = args.length();
    let tally = Tally::new(&length, Unit::Messages);
    let mut workers = JoinSet::new();
    let (published, consumed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    for _ in 0..args.consumers {
        let consumer = Consumer {
            queue: name.to_owned(),
            mark,
            prefetch: args.prefetch,
            published: published.clone(),
            consumed: consumed.clone(),
        };
        consumer
            .start(Link::open(&args.server).await?, &tally, &mut workers)
            .await?;
    }
    let mut links = Vec::new();
    for _ in 0..args.publishers.get() {
        let mut link = Link::open(&args.server).await?;
        link.call(confirm::Select::default()).await?;
        links.push(link);
    }
    for (index, link) in links.into_iter().enumerate() {
        let publisher = Publisher {
            queue: name.to_owned(),
            mark,
            body: Payload::new(index).record(args.message_bytes),
            delivery_mode: if args.transient { TRANSIENT } else { PERSISTENT },
            in_flight: args.in_flight.get(),
            every: args
                .rate
                .map(|rate| Duration::from_secs_f64(args.publishers.get() as f64 / rate)),
            published: published.clone(),
        };
        publisher.start(link, &tally, &mut workers)?;
    }
    let measured = tally.run(&length, length.duration(), workers).await?;
    Ok((tally, measured))
}

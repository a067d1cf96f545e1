use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use firth_batch::Builder;
use tokio::task::JoinSet;

use super::link::{Link, Load};
use super::produce::{Payload, rate};
use super::report::Report;
use super::tally::{Measured, Tally, Unit};
use super::topic::Topic;
use super::{Base, Length, Records, TopicArgs};
use crate::client::{Client, check};
use crate::environment::{self, since_boot, wall_ms};
use crate::records::reading::{fetch, visit};
use crate::records::start::{self, Start};

/// A mark of the run, and nanoseconds since the machine started.
const HEAD_BYTES: usize = 16;
/// Until what was acknowledged last has to be read.
const ARRIVAL_MAX: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    topic: TopicArgs,
    #[command(flatten)]
    records: Records,
    /// Records in a second, each of them a request
    #[arg(long, value_name = "N", default_value = "1000", value_parser = rate)]
    rate: f64,
    /// Requests that wait for their answers at most
    #[arg(long, value_name = "N", default_value = "100")]
    in_flight: NonZeroUsize,
    #[command(flatten)]
    length: Length,
    #[command(flatten)]
    base: Base,
}

pub(super) async fn run(args: Args) -> Result<bool> {
    ensure!(
        args.records.record_bytes >= HEAD_BYTES,
        "--record-bytes is {}: records carry their times, and so have {HEAD_BYTES} bytes at least",
        args.records.record_bytes
    );
    let mut client = args.base.server.connect().await?;
    let topic = Topic::prepare(&mut client, &args.topic).await?;
    let outcome = load(&args, &topic).await;
    let mut report = Report::new("end-to-end");
    report.topic(&topic);
    report.records(&args.records);
    report.put("rate", args.rate);
    let (tally, measured) = topic.finish(&mut client, outcome).await?;
    report.measured(&measured, Unit::Records);
    report.latency("ack", &tally.answered.taken());
    report.latency("end_to_end", &tally.consumed.taken());
    report.print(args.base.json)?;
    Ok(measured.interrupted)
}

/// What tells the records of this run, of which there may be others in the topic.
type Mark = [u8; 8];

async fn load(args: &Args, topic: &Topic) -> Result<(Arc<Tally>, Measured)> {
    let target = args.base.server.target()?;
    let tally = Tally::new(&args.length, Unit::Records);
    let random = (environment::random()?)();
    let mark: Mark = *random.first_chunk().expect("it is a part of more");
    let mut workers = JoinSet::new();

    let mut client = Client::connect(&target).await?;
    let own = start::Topic {
        name: topic.name.as_str().into(),
        id: topic.id,
    };
    let all: Vec<i32> = (0..topic.partitions).collect();
    let positions = Start::End.positions(&mut client, &own, &all).await?;
    let reader = Reader {
        positions,
        mark,
        sent: Arc::new(AtomicU64::new(0)),
        tally: tally.clone(),
    };
    let sent = reader.sent.clone();
    workers.spawn(reader.run(client));

    let link = Link {
        topic: topic.name.clone(),
        topic_id: topic.id,
        partitions: all,
        acks: args.records.acks,
        in_flight: args.in_flight.get(),
        every: Some(Duration::from_secs_f64(1.0 / args.rate)),
    };
    let (compression, bytes) = (args.records.compression, args.records.record_bytes);
    let mut value = Payload::new(0).record(bytes);
    let one = move |at: Duration| {
        value[..8].copy_from_slice(&mark);
        value[8..HEAD_BYTES].copy_from_slice(&(at.as_nanos() as u64).to_be_bytes());
        let mut builder = Builder::new(compression);
        builder.push(wall_ms(), None, Some(&value), &[]);
        sent.fetch_add(1, Ordering::Relaxed);
        Load {
            records: builder.build().into_bytes(),
            count: 1,
            payload_bytes: bytes as u64,
        }
    };
    link.start(Client::connect(&target).await?, &tally, &mut workers, one)?;
    let measured = tally.run(&args.length, args.length.duration(), workers).await?;
    Ok((tally, measured))
}

struct Reader {
    positions: Vec<crate::records::reading::Position>,
    mark: Mark,
    /// Records that were made to be sent. The last may not have been.
    sent: Arc<AtomicU64>,
    tally: Arc<Tally>,
}

impl Reader {
    /// Until it is over and all was read, or until what was sent last had time enough to come.
    async fn run(mut self, mut client: Client) -> Result<()> {
        let mut read = 0;
        let mut heard = since_boot();
        loop {
            let is_over = self.tally.is_stopped() || self.tally.is_enough();
            // What was made when it was over is not sent.
            let is_all = read + 1 >= self.sent.load(Ordering::Relaxed);
            if is_over && (is_all || since_boot().saturating_sub(heard) > ARRIVAL_MAX) {
                return Ok(());
            }
            let answers = tokio::select! {
                answers = fetch(&mut client, &self.positions) => answers?,
                () = self.tally.stopped(), if is_all && !is_over => return Ok(()),
            };
            let now = since_boot();
            for (place, data) in answers {
                let position = &mut self.positions[place];
                check(data.error_code, None)
                    .with_context(|| format!("partition {} of {}", position.partition, position.topic))?;
                visit(&data, position, |record| {
                    let value = record.value.unwrap_or_default();
                    if let Some((mark, rest)) = value.split_first_chunk::<8>()
                        && let Some(ns) = rest.first_chunk()
                        && *mark == self.mark
                    {
                        let at = Duration::from_nanos(u64::from_be_bytes(*ns));
                        self.tally.count_consumed(now.saturating_sub(at));
                        (read, heard) = (read + 1, now);
                    }
                    ControlFlow::Continue(())
                })?;
            }
        }
    }
}

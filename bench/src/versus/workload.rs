//! The workloads, and what Firth must reach in each.

mod consume;
mod load;
mod others;
mod queues;

use std::path::Path;

use anyhow::{Result, ensure};

use self::queues::Work;
use super::{Contender, Opponent, Versus};
use crate::{report::Report, table::Target};

const TOPIC: &str = "bench";
const PARTITIONS: [i32; 4] = [1, 100, 1000, 10_000];
const RECORD_BYTES: usize = 1024;
/// The corners have as many partitions as a busy topic.
const CORNERS: [(&str, usize); 2] = [("100b", 100), ("10k", 10 << 10)];
const CORNER_PARTITIONS: i32 = 100;
/// Records a second.
const RATES: [u32; 2] = [1000, 5000];

const VERBS: [Verb; 3] = [
    (
        "produce",
        "batches as fast as they are acknowledged",
        Kind::Produce,
    ),
    ("consume", "reading back what was written", Kind::Consume),
    ("both", "a producer, and a consumer that follows it", Kind::Both),
];

const NO_MORE: Target = Target::RatioAtMost(1.0);

/// The first part of a name, what it is about, and what is done.
type Verb = (&'static str, &'static str, fn(Volume) -> Kind);

#[derive(Debug)]
pub(super) struct Workload {
    pub(super) name: String,
    pub(super) about: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Produce(Volume),
    Consume(Volume),
    /// A producer, and a consumer that follows it.
    Both(Volume),
    Latency {
        records_per_s: u32,
    },
    /// A real client library, librdkafka in kcat.
    Client,
    Footprint,
    /// 1,000 consumer groups of 4 members.
    Groups,
    Queues(Work),
}

#[derive(Debug, Clone, Copy)]
struct Volume {
    partitions: i32,
    record_bytes: usize,
}

/// A figure of one contender in one round.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) value: f64,
    pub(super) target: Target,
}

/// Those whose name is in `only` or begins with one that is, up to a dash; or all.
pub(super) fn chosen(opponent: &Opponent, only: &[String]) -> Result<Vec<Workload>> {
    let mut workloads = match opponent {
        Opponent::Kafka(_) => with_topics(),
        Opponent::RabbitMq(_) => with_queues(),
    };
    let names: Vec<&str> = workloads.iter().map(|workload| &*workload.name).collect();
    for part in only {
        let known = names.iter().any(|name| begins(name, part));
        ensure!(known, "`{part}` is no workload; there are: {}", names.join(", "));
    }
    workloads.retain(|workload| only.is_empty() || only.iter().any(|part| begins(&workload.name, part)));
    Ok(workloads)
}

fn begins(name: &str, part: &str) -> bool {
    name.strip_prefix(part)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn with_queues() -> Vec<Workload> {
    let work = |name: &str, about: &str, work| Workload {
        name: name.to_owned(),
        about: about.to_owned(),
        kind: Kind::Queues(work),
    };
    let mut workloads = Vec::new();
    for (size, message_bytes) in [("1k", RECORD_BYTES), ("100b", 100)] {
        let publish = Work::Publish { message_bytes };
        let about =
            format!("persistent messages of {message_bytes} bytes, 4 publishers with 1,000 unconfirmed");
        workloads.push(work(&format!("publish-{size}"), &about, publish));
        let flow = Work::Flow { message_bytes };
        let about = format!("{about}, 4 consumers who acknowledge each message");
        workloads.push(work(&format!("flow-{size}"), &about, flow));
    }
    for messages_per_s in RATES {
        let about = format!("{messages_per_s} messages of {RECORD_BYTES} bytes a second, evenly");
        workloads.push(work(
            &format!("latency-{messages_per_s}"),
            &about,
            Work::Latency { messages_per_s },
        ));
    }
    let others = [
        (
            "fan-out-100",
            "each message to 100 queues",
            Work::FanOut { queues: 100 },
        ),
        (
            "queues-10000",
            "10,000 queues, published to in turn",
            Work::Queues { queues: 10_000 },
        ),
        (
            "backlog",
            "1,000,000 messages of 100 bytes, published and then consumed",
            Work::Backlog { messages: 1_000_000 },
        ),
    ];
    workloads.extend(others.map(|(name, about, what)| work(name, about, what)));
    workloads
}

fn with_topics() -> Vec<Workload> {
    let mut workloads = Vec::new();
    for (verb, about, kind) in VERBS {
        let inner = PARTITIONS.map(|partitions| ("1k", RECORD_BYTES, partitions));
        let corners = CORNERS.map(|(name, record_bytes)| (name, record_bytes, CORNER_PARTITIONS));
        for (record, record_bytes, partitions) in inner.into_iter().chain(corners) {
            let volume = Volume {
                partitions,
                record_bytes,
            };
            workloads.push(Workload {
                name: format!("{verb}-{record}-{partitions}"),
                about: format!("{about}; records of {record_bytes} bytes, {partitions} partitions"),
                kind: kind(volume),
            });
        }
    }
    workloads.extend(RATES.map(|records_per_s| Workload {
        name: format!("latency-{records_per_s}"),
        about: format!("{records_per_s} records of {RECORD_BYTES} bytes a second, evenly, one per request"),
        kind: Kind::Latency { records_per_s },
    }));
    let other = |name: &str, about: &str, kind| Workload {
        name: name.to_owned(),
        about: about.to_owned(),
        kind,
    };
    workloads.push(other(
        "librdkafka",
        "records of 1 KiB through kcat, acks=all, and back",
        Kind::Client,
    ));
    workloads.push(other(
        "footprint",
        "start with an empty directory, memory and CPU at rest, idle connections",
        Kind::Footprint,
    ));
    workloads.push(other(
        "groups",
        "1,000 consumer groups of 4 members with heartbeats, and rebalances of one of 100",
        Kind::Groups,
    ));
    workloads
}

impl Workload {
    /// One contender in one round, in a directory that is empty.
    pub(super) fn run(&self, versus: &Versus, contender: Contender, dir: &Path) -> Result<Vec<Sample>> {
        // How a record was written is nothing to those who read it.
        if matches!(
            (self.kind, contender),
            (Kind::Consume(_), Contender::KafkaFlushed)
        ) {
            return Ok(Vec::new());
        }
        if matches!(self.kind, Kind::Client) && !crate::kcat::is_installed() {
            eprintln!("  kcat is not installed (Debian: apt-get install kcat)");
            return Ok(Vec::new());
        }
        eprintln!("    {}", contender.title());
        let started = contender.start(versus, dir)?;
        let server = &started.server;
        let samples = match self.kind {
            Kind::Produce(volume) => volume.produce(versus, server),
            Kind::Consume(volume) => volume.consume(versus, server),
            Kind::Both(volume) => volume.both(versus, server),
            Kind::Latency { records_per_s } => others::latency(versus, server, records_per_s),
            Kind::Client => others::client(server, dir),
            Kind::Footprint => others::footprint(versus, &started),
            Kind::Groups => others::groups(versus, server),
            Kind::Queues(work) => work.run(versus, contender, server),
        }?;
        // Its data goes with its directory, so nothing is gained by an orderly end.
        started.server.kill()?;
        Ok(samples)
    }
}

impl Sample {
    fn new(name: &'static str, value: f64, target: Target) -> Self {
        Self { name, value, target }
    }
}

/// The fields of a report, each with the name that it has in the table.
fn samples(report: &Report, fields: &[(&'static str, &str, Target)]) -> Vec<Sample> {
    let sample = |(name, field, target): &(&'static str, &str, Target)| {
        Some(Sample::new(name, report.number(field)?, *target))
    };
    fields.iter().filter_map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::rabbitmq::RabbitMq;

    fn names(only: &[&str]) -> Vec<String> {
        let only: Vec<String> = only.iter().map(|&part| part.to_owned()).collect();
        let chosen = chosen(&Opponent::kafka(), &only).unwrap();
        chosen.into_iter().map(|workload| workload.name).collect()
    }

    #[test]
    fn a_workload_is_chosen_by_its_name_or_by_the_first_parts_of_it() {
        assert_eq!(names(&["produce-1k-10000"]), ["produce-1k-10000"]);
        assert_eq!(names(&["both-1k"]).len(), PARTITIONS.len());
        assert_eq!(
            names(&["latency", "footprint"]),
            ["latency-1000", "latency-5000", "footprint"]
        );
        assert_eq!(names(&[]).len(), 23);
        let unknown = chosen(&Opponent::kafka(), &["produce-1".to_owned()]).unwrap_err();
        assert!(unknown.to_string().contains("produce-1k-1,"), "{unknown}");
    }
    #[test]
    fn queues_have_workloads_of_their_own() {
        let rabbitmq = Opponent::RabbitMq(RabbitMq { sbin: "sbin".into() });
        let chosen = chosen(&rabbitmq, &["flow".to_owned(), "latency".to_owned()]).unwrap();
        let names: Vec<_> = chosen.iter().map(|workload| &*workload.name).collect();
        assert_eq!(names, ["flow-1k", "flow-100b", "latency-1000", "latency-5000"]);
    }
}

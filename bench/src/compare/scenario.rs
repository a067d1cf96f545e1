//! The scenarios, and what a broker must reach in each.

mod client;
mod consume;
mod footprint;
mod latency;
mod load;
mod rewriting;
mod scale;

use std::path::Path;

use anyhow::Result;

use self::{rewriting::Work, scale::Population};
use super::{Comparison, figure::Figure};
use crate::{recycled::Durability, table::Target};

/// The WAL is overwritten in a circle so many times before a figure counts as sustained.
const SUSTAINED_LAPS: u64 = 8;
const TOPIC: &str = "bench";

#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Produce {
        shape: Shape,
        extent: Extent,
        targets: ProduceTargets,
    },
    /// The same batches over many partitions and over one, on the broker.
    Partitions {
        shape: Shape,
        many: i32,
        ratio_min: f64,
    },
    /// The same load beside rewriting and without it, on the broker.
    Rewriting {
        shape: Shape,
        work: Work,
        /// Without one, the replies alone set the pace.
        records_per_s: Option<f64>,
    },
    Consume {
        shape: Shape,
    },
    Latency,
    /// A real client library, librdkafka in kcat.
    Client,
    Footprint,
    Restart,
    Scale(Population),
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    durability: Durability,
    partitions: i32,
    connections: usize,
    depth: usize,
    record_bytes: usize,
    batch_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
enum Extent {
    /// In a new directory, from an empty WAL until its limit is reached: its files are created on the way.
    UntilWalLimitNew,
    /// The same once more, after everything was sealed: its files are there, as the floor's file is.
    UntilWalLimit,
    /// For some seconds, after [`SUSTAINED_LAPS`] times the limit.
    Sustained,
    Seconds,
}

#[derive(Debug, Clone, Copy)]
struct ProduceTargets {
    throughput: Target,
    cpu: Target,
    p99: Target,
}

const FLUSHED_1K: Shape = Shape {
    durability: Durability::Disk,
    partitions: 8,
    connections: 8,
    depth: 8,
    record_bytes: 1024,
    batch_bytes: 64 << 10,
};
const OS_1K: Shape = Shape {
    durability: Durability::Os,
    ..FLUSHED_1K
};
const BATCHES_16K: Shape = Shape {
    partitions: 1,
    batch_bytes: 16 << 10,
    depth: 32,
    ..FLUSHED_1K
};
const SCATTERED_16K: Shape = Shape {
    partitions: 1000,
    ..BATCHES_16K
};
const KEYED_16K: Shape = Shape {
    partitions: 8,
    ..BATCHES_16K
};
/// 40 MB/s.
const PACED: Option<f64> = Some(39_062.5);
const SINGLE: Shape = Shape {
    partitions: 32,
    connections: 32,
    depth: 64,
    batch_bytes: 0,
    ..FLUSHED_1K
};

pub(crate) fn all() -> Vec<Scenario> {
    let mut scenarios = throughput();
    scenarios.extend(rewriting());
    scenarios.extend(others());
    scenarios
}

fn scenario(name: &'static str, about: &'static str, kind: Kind) -> Scenario {
    Scenario { name, about, kind }
}

fn produce(shape: Shape, extent: Extent, throughput: Target, cpu: Target) -> Kind {
    let targets = ProduceTargets {
        throughput,
        cpu,
        p99: Target::None,
    };
    Kind::Produce {
        shape,
        extent,
        targets,
    }
}

fn throughput() -> Vec<Scenario> {
    const CPU: Target = Target::RatioAtMost(1.6);
    const UNTIL_LIMIT: Target = Target::RatioAtLeast(0.8);
    const SUSTAINED: Target = Target::RatioAtLeast(0.6);
    vec![
        scenario(
            "flushed-1k",
            "1 KiB records in 64 KiB batches, acks=all flushed, until the WAL limit",
            produce(FLUSHED_1K, Extent::UntilWalLimit, UNTIL_LIMIT, CPU),
        ),
        scenario(
            "flushed-1k-new",
            "the same in a new directory, whose WAL files are created on the way",
            produce(FLUSHED_1K, Extent::UntilWalLimitNew, Target::None, Target::None),
        ),
        scenario(
            "flushed-1k-sustained",
            "the same after 8 times the WAL limit",
            produce(FLUSHED_1K, Extent::Sustained, SUSTAINED, CPU),
        ),
        scenario(
            "os-1k",
            "1 KiB records in 64 KiB batches, durability os, until the WAL limit",
            produce(OS_1K, Extent::UntilWalLimit, UNTIL_LIMIT, CPU),
        ),
        scenario(
            "os-1k-sustained",
            "the same after 8 times the WAL limit",
            produce(OS_1K, Extent::Sustained, SUSTAINED, CPU),
        ),
        scenario(
            "single-record",
            "one record of 1 KiB per request, 64 in flight on each of 32 connections, flushed",
            produce(SINGLE, Extent::Seconds, Target::AtLeast(200_000.0), Target::None),
        ),
    ]
}

fn rewriting() -> Vec<Scenario> {
    let kind = |shape, work, records_per_s| Kind::Rewriting {
        shape,
        work,
        records_per_s,
    };
    vec![
        scenario(
            "merging",
            "16 KiB batches over 1,000 partitions at full speed; the floor is --baseline, which merges nothing",
            kind(SCATTERED_16K, Work::Merging, None),
        ),
        scenario(
            "merging-paced",
            "the same at 40 MB/s",
            kind(SCATTERED_16K, Work::Merging, PACED),
        ),
        scenario(
            "compacting",
            "16 KiB batches of keyed records at full speed; the floor is the broker with a topic that is not compacted yet",
            kind(KEYED_16K, Work::Compacting, None),
        ),
        scenario(
            "compacting-paced",
            "the same at 40 MB/s",
            kind(KEYED_16K, Work::Compacting, PACED),
        ),
    ]
}

fn others() -> Vec<Scenario> {
    vec![
        scenario(
            "partitions-1000",
            "16 KiB batches over 1,000 partitions; the floor is the broker's own figure for one",
            Kind::Partitions {
                shape: BATCHES_16K,
                many: 1000,
                ratio_min: 0.9,
            },
        ),
        scenario(
            "partitions-10000",
            "16 KiB batches over 10,000 partitions; the floor is the broker's own figure for one",
            Kind::Partitions {
                shape: BATCHES_16K,
                many: 10_000,
                ratio_min: 0.8,
            },
        ),
        scenario(
            "latency",
            "5,000 records of 1 KiB a second, flushed; the floor is the bare flush at that pace",
            Kind::Latency,
        ),
        scenario(
            "consume",
            "reading back what one producer wrote",
            Kind::Consume { shape: FLUSHED_1K },
        ),
        scenario(
            "librdkafka",
            "1 KiB records through kcat, acks=all flushed",
            Kind::Client,
        ),
        scenario(
            "footprint",
            "start with an empty directory, idle memory, memory per idle connection",
            Kind::Footprint,
        ),
        scenario(
            "restart",
            "start on existing data, after SIGTERM and after kill -9",
            Kind::Restart,
        ),
        scenario(
            "topics-100000",
            "100,000 topics of one partition: created, listed, restarted, written, fetched, deleted",
            Kind::Scale(Population {
                topics: 100_000,
                partitions: 1,
            }),
        ),
        scenario(
            "topic-of-10000",
            "the same with one topic of 10,000 partitions",
            Kind::Scale(Population {
                topics: 1,
                partitions: 10_000,
            }),
        ),
    ]
}

impl Scenario {
    /// One round, in a directory that is empty.
    pub(crate) fn run(&self, comparison: &Comparison, dir: &Path, round: usize) -> Result<Vec<Figure>> {
        match &self.kind {
            Kind::Produce {
                shape,
                extent,
                targets,
            } => self.produce(comparison, dir, *shape, *extent, *targets),
            Kind::Partitions {
                shape,
                many,
                ratio_min,
            } => self.partitions(comparison, dir, *shape, *many, *ratio_min),
            Kind::Rewriting {
                shape,
                work,
                records_per_s,
            } => self.rewriting(comparison, dir, *shape, *work, *records_per_s, round),
            Kind::Consume { shape } => self.consume(comparison, dir, *shape),
            Kind::Latency => self.latency(comparison, dir),
            Kind::Client => self.client(comparison, dir),
            Kind::Footprint => self.footprint(comparison, dir),
            Kind::Restart => self.restart(comparison, dir),
            Kind::Scale(population) => self.scale(comparison, dir, *population),
        }
    }

    fn figure(&self, name: &'static str, floor: Option<f64>, broker: Option<f64>, target: Target) -> Figure {
        Figure::new(self.name, name, floor, broker, target)
    }
}

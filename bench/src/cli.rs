//! Command lines: one struct per subcommand.

mod amqp;
mod versus;

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::{
    compare::{self, Comparison},
    consume::{self, Follow, Reading},
    flush::{self, Flushing},
    groups::{self, Grouping},
    ideal::{self, Settings, Shape},
    idle::{self, Idling},
    latency::{self, Pacing},
    produce::{self, Load, Until},
    protocol::FetchLimits,
    recycled::Durability,
    steady::{self, Steadiness},
};

#[derive(Debug, Parser)]
#[command(
    name = "bench",
    about = "Load drivers for brokers of Kafka's protocol and of AMQP, and the ideal server to compare them with"
)]
struct Cli {
    /// Print one JSON object instead of a table.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve Produce as fast as this machine can, and nothing else.
    Ideal(Ideal),
    /// Send pre-encoded batches and check every reply.
    Produce(Produce),
    /// Fetch over long polls and check that no offset is missing.
    Consume(Consume),
    /// Time evenly paced records from sending to acknowledgement and to consumption.
    Latency(Latency),
    /// Time single durable writes, the comparator for latencies.
    Flush(Flush),
    /// Open connections that do nothing and see what they cost.
    Idle(Idle),
    /// Keep consumer groups alive, see what their heartbeats cost, and rebalance one.
    Groups(Groups),
    /// Run the scenarios on the ideal server and on a broker in turn, and print the table of figures.
    Compare(Compare),
    /// Run the workloads on Firth and on Apache Kafka, or on RabbitMQ, in turn, and print the table of figures.
    Versus(versus::Versus),
    /// Publish to a server of AMQP 0-9-1 and consume from it.
    Amqp(amqp::Amqp),
    /// Load a broker evenly for a long time, and draw what must stay as it is.
    Steady(Steady),
}

/// The server under load.
#[derive(Debug, Args)]
pub(crate) struct Target {
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: String,
    /// The server's process, to report what it uses.
    #[arg(long)]
    pid: Option<u32>,
}

impl Target {
    fn address(&self) -> Result<SocketAddr> {
        let addresses = self.bootstrap.to_socket_addrs();
        let mut addresses = addresses.with_context(|| format!("cannot resolve {}", self.bootstrap))?;
        addresses
            .next()
            .with_context(|| format!("{} has no address", self.bootstrap))
    }
}

#[derive(Debug, Args)]
struct Ideal {
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The file that is overwritten in a circle.
    #[arg(long)]
    file: PathBuf,
    #[arg(long, default_value_t = 1024, value_name = "MIB")]
    file_mib: u64,
    #[arg(long, default_value = "disk")]
    durability: Durability,
    #[arg(long, default_value_t = 2)]
    lanes: usize,
    #[arg(long, default_value_t = 1024, value_name = "KIB")]
    block_kib: usize,
    /// A second lane starts a write when this much has gathered.
    #[arg(long, default_value_t = 256, value_name = "KIB")]
    overlap_kib: usize,
}

#[derive(Debug, Args)]
struct Produce {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value = "bench")]
    topic: String,
    #[arg(long, default_value_t = 1)]
    partitions: i32,
    /// A configuration of the topic, if it is created.
    #[arg(long, value_name = "NAME=VALUE", value_parser = topic_config)]
    topic_config: Vec<(String, String)>,
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Requests in flight on each connection.
    #[arg(long, default_value_t = 8)]
    depth: usize,
    #[arg(long, default_value_t = 1024)]
    record_bytes: usize,
    /// Batches of as many records as fit; 0 sends one record per batch.
    #[arg(long, default_value_t = 65_536)]
    batch_bytes: usize,
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    acks: i16,
    /// Records have keys, so many different ones in each partition, in turn.
    #[arg(long)]
    keys: Option<u64>,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// End after this much payload instead of after a time.
    #[arg(long)]
    total_bytes: Option<u64>,
    /// Payload that is written before the measurement begins.
    #[arg(long, default_value_t = 0)]
    warmup_bytes: u64,
    /// Records per second.
    #[arg(long)]
    rate: Option<f64>,
}

#[derive(Debug, Args)]
struct Consume {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value = "bench")]
    topic: String,
    #[arg(long, default_value_t = 1)]
    partitions: i32,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    #[arg(long, default_value_t = 500)]
    wait_ms_max: i32,
    #[arg(long, default_value_t = 1)]
    bytes_min: i32,
    #[arg(long, default_value_t = 50 << 20)]
    bytes_max: i32,
    #[arg(long, default_value_t = 1 << 20)]
    partition_bytes_max: i32,
    /// Compute the CRC of every batch.
    #[arg(long)]
    check_crc: bool,
    /// Read what arrives for so many seconds, instead of reading what is there.
    #[arg(long)]
    follow_seconds: Option<f64>,
}

#[derive(Debug, Args)]
struct Latency {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value = "latency")]
    topic: String,
    /// Records per second.
    #[arg(long, default_value_t = 5000.0)]
    rate: f64,
    #[arg(long, default_value_t = 1024)]
    record_bytes: usize,
    #[arg(long, default_value_t = 1.0)]
    warmup_seconds: f64,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Without a consumer, for a server that has no Fetch.
    #[arg(long)]
    ack_only: bool,
}

#[derive(Debug, Args)]
struct Flush {
    /// The file that is overwritten in a circle.
    #[arg(long)]
    file: PathBuf,
    #[arg(long, default_value_t = 64, value_name = "MIB")]
    file_mib: u64,
    #[arg(long, default_value_t = 4096)]
    block: usize,
    /// Writes per second; without it one follows the other.
    #[arg(long)]
    rate: Option<f64>,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

#[derive(Debug, Args)]
struct Idle {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 1000)]
    connections: usize,
}

#[derive(Debug, Args)]
struct Groups {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 1000)]
    groups: usize,
    /// Members of each group.
    #[arg(long, default_value_t = 4)]
    members: usize,
    /// Members of the group that is rebalanced.
    #[arg(long, default_value_t = 100)]
    rebalanced_members: usize,
    #[arg(long, default_value_t = 6)]
    rebalances: usize,
    #[arg(long, default_value_t = 3.0)]
    heartbeat_seconds: f64,
    #[arg(long, default_value_t = 3.0)]
    warmup_seconds: f64,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

#[derive(Debug, Args)]
struct Compare {
    /// The broker's binary; without one only the floor is measured.
    #[arg(long)]
    broker: Option<PathBuf>,
    /// Another build of the broker, for scenarios that compare two.
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// Where data is put, on the disk that is meant.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// A scenario by name; may be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// The length of a measurement that is not given in bytes.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    #[arg(long, default_value_t = 1024, value_name = "MIB")]
    wal_limit_mib: u64,
    #[arg(long, default_value_t = 10_240, value_name = "MIB")]
    restart_mib: u64,
}

#[derive(Debug, Args)]
struct Steady {
    /// The broker's binary.
    #[arg(long)]
    broker: PathBuf,
    /// Where data is put, on the disk that is meant.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    #[arg(long, default_value_t = 3600.0)]
    seconds: f64,
    /// All topics together.
    #[arg(long, default_value_t = 12.0)]
    mb_per_s: f64,
    #[arg(long, default_value_t = 256, value_name = "MIB")]
    wal_limit_mib: u64,
    /// Seconds between two samples.
    #[arg(long, default_value_t = 5.0)]
    every: f64,
    /// The samples.
    #[arg(long, default_value = "steady.csv")]
    csv: PathBuf,
    /// The plot of them.
    #[arg(long, default_value = "steady.svg")]
    svg: PathBuf,
}

fn topic_config(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a configuration is NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(crate) fn run() -> Result<()> {
    let cli = Cli::parse();
    let report = match cli.command {
        Command::Ideal(args) => return ideal::run(&args.settings()),
        Command::Compare(args) => return compare::run(&args.comparison(), cli.json),
        Command::Versus(args) => return crate::versus::run(&args.versus(), cli.json),
        Command::Produce(args) => produce::run(&args.load()?, timestamp_ms())?.report(),
        Command::Consume(args) => consume::run(&args.reading()?)?.report(),
        Command::Latency(args) => latency::run(&args.pacing()?, timestamp_ms())?.report(),
        Command::Flush(args) => flush::run(&args.flushing())?.report(),
        Command::Steady(args) => steady::run(&args.steadiness())?,
        Command::Groups(args) => groups::run(&args.grouping()?)?.report(),
        Command::Amqp(args) => args.run()?,
        Command::Idle(args) => idle::run(&args.idling()?)?.report(),
    };
    report.print(cli.json);
    Ok(())
}

impl Ideal {
    fn settings(self) -> Settings {
        Settings {
            listen: self.listen,
            file: self.file,
            file_bytes: self.file_mib << 20,
            durability: self.durability,
            lanes: self.lanes,
            shape: Shape {
                block_bytes_full: self.block_kib << 10,
                overlap_bytes_min: self.overlap_kib << 10,
            },
        }
    }
}

impl Produce {
    fn load(self) -> Result<Load> {
        Ok(Load {
            bootstrap: self.target.address()?,
            pid: self.target.pid,
            topic: self.topic,
            partitions: self.partitions,
            topic_configs: self.topic_config,
            connections: self.connections,
            depth: self.depth,
            record_bytes: self.record_bytes,
            batch_bytes: self.batch_bytes,
            acks: self.acks,
            keys: self.keys,
            warmup: Until::PayloadBytes(self.warmup_bytes),
            until: match self.total_bytes {
                Some(bytes) => Until::PayloadBytes(bytes),
                None => Until::Elapsed(Duration::from_secs_f64(self.seconds)),
            },
            rate: self.rate,
        })
    }
}

impl Consume {
    fn reading(self) -> Result<Reading> {
        Ok(Reading {
            bootstrap: self.target.address()?,
            pid: self.target.pid,
            topic: self.topic,
            partitions: self.partitions,
            connections: self.connections,
            limits: FetchLimits {
                wait_ms_max: self.wait_ms_max,
                bytes_min: self.bytes_min,
                bytes_max: self.bytes_max,
                partition_bytes_max: self.partition_bytes_max,
            },
            check_crc: self.check_crc,
            follow: self.follow_seconds.map(|seconds| Follow {
                warmup: Duration::ZERO,
                duration: Duration::from_secs_f64(seconds),
            }),
        })
    }
}

impl Latency {
    fn pacing(self) -> Result<Pacing> {
        Ok(Pacing {
            bootstrap: self.target.address()?,
            pid: self.target.pid,
            topic: self.topic,
            rate: self.rate,
            record_bytes: self.record_bytes,
            warmup: Duration::from_secs_f64(self.warmup_seconds),
            duration: Duration::from_secs_f64(self.seconds),
            ack_only: self.ack_only,
        })
    }
}

impl Flush {
    fn flushing(self) -> Flushing {
        Flushing {
            file: self.file,
            file_bytes: self.file_mib << 20,
            block_bytes: self.block,
            rate: self.rate,
            duration: Duration::from_secs_f64(self.seconds),
        }
    }
}

impl Idle {
    fn idling(self) -> Result<Idling> {
        let pid = self
            .target
            .pid
            .context("--pid names the process whose memory is looked at")?;
        Ok(Idling {
            bootstrap: self.target.address()?,
            connections: self.connections,
            pid,
        })
    }
}

impl Groups {
    fn grouping(self) -> Result<Grouping> {
        Ok(Grouping {
            bootstrap: self.target.address()?,
            pid: self.target.pid,
            groups: self.groups,
            members: self.members,
            rebalanced_members: self.rebalanced_members,
            rebalances: self.rebalances,
            heartbeat_interval: Duration::from_secs_f64(self.heartbeat_seconds),
            warmup: Duration::from_secs_f64(self.warmup_seconds),
            duration: Duration::from_secs_f64(self.seconds),
        })
    }
}

impl Compare {
    fn comparison(self) -> Comparison {
        Comparison {
            broker: self.broker,
            baseline: self.baseline,
            dir: self.dir,
            rounds: self.rounds,
            only: self.only,
            seconds: self.seconds,
            wal_limit_bytes: self.wal_limit_mib << 20,
            restart_bytes: self.restart_mib << 20,
            timestamp_ms: timestamp_ms(),
        }
    }
}

impl Steady {
    fn steadiness(self) -> Steadiness {
        Steadiness {
            broker: self.broker,
            dir: self.dir,
            duration: Duration::from_secs_f64(self.seconds),
            bytes_per_s: (self.mb_per_s * 1e6) as u64,
            wal_limit_bytes: self.wal_limit_mib << 20,
            every: Duration::from_secs_f64(self.every),
            csv: self.csv,
            svg: self.svg,
        }
    }
}

/// Records carry the time of the run, so that no retention takes them for old ones.
pub(crate) fn timestamp_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_millis() as i64
}

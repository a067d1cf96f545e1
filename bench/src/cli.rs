//! Command lines: one struct per subcommand.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::{
    ideal::{self, Settings, Shape},
    produce::{self, Load, Until},
    recycled::Durability,
};

#[derive(Debug, Parser)]
#[command(name = "bench", about = "Load drivers for Kafka brokers, and the ideal server to compare them with")]
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
        addresses.next().with_context(|| format!("{} has no address", self.bootstrap))
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

fn topic_config(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a configuration is NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(crate) fn run() -> Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Command::Ideal(args) => ideal::run(&args.settings()),
        Command::Produce(args) => {
            produce::run(&args.load()?, timestamp_ms())?.report().print(cli.json);
            Ok(())
        }
    }
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
            warmup_bytes: self.warmup_bytes,
            until: match self.total_bytes {
                Some(bytes) => Until::PayloadBytes(bytes),
                None => Until::Elapsed(Duration::from_secs_f64(self.seconds)),
            },
            rate: self.rate,
        })
    }
}

/// Records carry the time of the run, so that no retention takes them for old ones.
fn timestamp_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_millis() as i64
}

//! `bench amqp`: workloads with the settings that belong to them, each of which may be given otherwise.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::{
    amqp::{self, Acks, Load, Login, QueueType, Queues, Until},
    report::Report,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Publish with confirms, and consume nothing.
    Publish,
    /// Publish and consume, with confirms and acknowledgements.
    Flow,
    /// Evenly paced messages, timed from publishing to the confirm and to the consumer.
    Latency,
    /// Each message to all queues.
    FanOut,
    /// Very many queues, published to in turn and consumed.
    Queues,
    /// Publish all, then consume all.
    Backlog,
}

#[derive(Debug, Args)]
pub(super) struct Amqp {
    workload: Workload,
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5672")]
    server: String,
    /// The server's process, to report what it uses.
    #[arg(long)]
    pid: Option<u32>,
    #[arg(long, default_value = "guest")]
    user: String,
    #[arg(long, default_value = "guest")]
    password: String,
    #[arg(long, default_value = "/")]
    vhost: String,
    /// What names of queues begin with.
    #[arg(long, default_value = "bench")]
    name: String,
    #[arg(long, value_enum, default_value = "classic")]
    queue_type: QueueType,
    /// Queues that a restart does not leave, and messages that are not kept.
    #[arg(long)]
    transient: bool,
    #[arg(long)]
    queues: Option<usize>,
    #[arg(long)]
    publishers: Option<usize>,
    #[arg(long)]
    consumers: Option<usize>,
    #[arg(long, default_value_t = 1024)]
    message_bytes: usize,
    /// Unconfirmed messages of each publisher.
    #[arg(long)]
    window: Option<usize>,
    #[arg(long, default_value_t = 1000)]
    prefetch: u16,
    /// Deliveries that are acknowledged at once; 1 is each by itself, 0 is none, as they need none.
    #[arg(long, default_value_t = 1)]
    ack_every: u32,
    /// Of a backlog, acknowledge one in so many out of order and give the others back before it is consumed.
    #[arg(long, conflicts_with = "ack_every")]
    holes: Option<u32>,
    /// Messages per second.
    #[arg(long)]
    rate: Option<f64>,
    #[arg(long, default_value_t = 2.0)]
    warmup_seconds: f64,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// End after so many messages instead of after a time; how many a backlog has.
    #[arg(long)]
    messages: Option<u64>,
}

impl Amqp {
    pub(super) fn run(self) -> Result<Report> {
        let load = self.load()?;
        match self.workload {
            Workload::Backlog => amqp::backlog(&load, self.messages.unwrap_or(1_000_000)),
            _ => amqp::run(&load),
        }
    }

    fn load(&self) -> Result<Load> {
        let preset = Preset::of(self.workload);
        let acks = match (self.holes, self.ack_every) {
            (Some(one_in), _) => {
                ensure!(self.workload == Workload::Backlog, "only a backlog has holes");
                Acks::OneIn(one_in)
            }
            (None, 0) => Acks::Automatic,
            (None, every) => Acks::Every(every),
        };
        let consumers = if self.holes.is_some() { 1 } else { preset.consumers };
        Ok(Load {
            server: address(&self.server)?,
            pid: self.pid,
            login: Login {
                user: self.user.clone(),
                password: self.password.clone(),
                vhost: self.vhost.clone(),
            },
            queues: Queues {
                name: self.name.clone(),
                count: self.queues.unwrap_or(preset.queues),
                kind: self.queue_type,
                durable: !self.transient,
                fan_out: self.workload == Workload::FanOut,
            },
            publishers: self.publishers.unwrap_or(preset.publishers),
            consumers: self.consumers.unwrap_or(consumers),
            message_bytes: self.message_bytes,
            persistent: !self.transient,
            window: self.window.unwrap_or(preset.window),
            prefetch: self.prefetch,
            acks,
            rate: self.rate.or(preset.rate),
            warmup: Duration::from_secs_f64(self.warmup_seconds),
            until: match self.messages {
                Some(count) => Until::Published(count),
                None => Until::Elapsed(Duration::from_secs_f64(self.seconds)),
            },
        })
    }
}

/// What a workload has unless something else is asked for.
struct Preset {
    queues: usize,
    publishers: usize,
    consumers: usize,
    window: usize,
    rate: Option<f64>,
}

impl Preset {
    fn of(workload: Workload) -> Self {
        let (queues, publishers, consumers, window, rate) = match workload {
            Workload::Publish => (4, 4, 0, 1000, None),
            Workload::Flow => (4, 4, 4, 1000, None),
            Workload::Latency => (1, 1, 1, 4096, Some(5000.0)),
            Workload::FanOut => (100, 1, 4, 100, None),
            Workload::Queues => (10_000, 4, 4, 1000, None),
            Workload::Backlog => (1, 4, 1, 1000, None),
        };
        Self {
            queues,
            publishers,
            consumers,
            window,
            rate,
        }
    }
}

fn address(text: &str) -> Result<SocketAddr> {
    let mut addresses = text
        .to_socket_addrs()
        .with_context(|| format!("cannot resolve {text}"))?;
    addresses.next().with_context(|| format!("{text} has no address"))
}

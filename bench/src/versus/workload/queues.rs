//! What is done to servers of queues, by the driver of `bench amqp`.

use anyhow::Result;

use super::{NO_MORE, Sample, Versus, samples};
use crate::{
    amqp::{self, Acks, Load, Login, QueueType, Queues, Until},
    server::Server,
    table::Target,
    versus::Contender,
};

const WINDOW: usize = 1000;
const PREFETCH: u16 = 1000;
const BACKLOG_BYTES: usize = 100;
/// What a consumer gets is confirmed and acknowledged by itself.
const ACKS: Acks = Acks::Every(1);

#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// Publish with confirms.
    Publish {
        message_bytes: usize,
    },
    /// Publish and consume.
    Flow {
        message_bytes: usize,
    },
    Latency {
        messages_per_s: u32,
    },
    FanOut {
        queues: usize,
    },
    Queues {
        queues: usize,
    },
    Backlog {
        messages: u64,
    },
}

impl Work {
    pub(super) fn run(self, versus: &Versus, contender: Contender, server: &Server) -> Result<Vec<Sample>> {
        let load = self.load(versus, contender, server);
        if let Self::Backlog { messages } = self {
            let fields = [
                ("filled msg/s", "fill_per_s", Target::RatioAtLeast(1.5)),
                ("drained msg/s", "drain_per_s", Target::RatioAtLeast(1.5)),
                ("RSS peak MB", "drain_rss_peak_mb", Target::RatioAtMost(0.5)),
            ];
            return Ok(samples(&amqp::backlog(&load, messages)?, &fields));
        }
        let report = amqp::run(&load)?;
        let mut figures = Vec::new();
        if !matches!(self, Self::Latency { .. }) {
            figures.extend(samples(
                &report,
                &[("confirmed msg/s", "confirmed_per_s", Target::RatioAtLeast(1.5))],
            ));
        }
        if load.consumers > 0 && !matches!(self, Self::Latency { .. }) {
            figures.extend(samples(
                &report,
                &[("delivered msg/s", "delivered_per_s", Target::RatioAtLeast(1.5))],
            ));
        }
        figures.extend(samples(
            &report,
            &[
                ("to confirm p50 us", "confirm_p50_us", Target::None),
                ("to confirm p99 us", "confirm_p99_us", NO_MORE),
                ("to consume p50 us", "consume_p50_us", Target::None),
                ("to consume p99 us", "consume_p99_us", NO_MORE),
                (
                    "server CPU s per million",
                    "server_cpu_s_per_million",
                    Target::RatioAtMost(0.333),
                ),
                ("RSS peak MB", "server_rss_peak_mb", Target::RatioAtMost(0.5)),
            ],
        ));
        // Where a server does not keep the pace, messages wait for room before they are stamped.
        if let (Some(late), Some(published)) = (report.number("late"), report.number("published")) {
            figures.push(Sample::new("sent late %", 100.0 * late / published, Target::None));
        }
        Ok(figures)
    }

    fn load(self, versus: &Versus, contender: Contender, server: &Server) -> Load {
        let (queues, publishers, consumers, message_bytes) = match self {
            Self::Publish { message_bytes } => (4, 4, 0, message_bytes),
            Self::Flow { message_bytes } => (4, 4, 4, message_bytes),
            Self::Latency { .. } => (1, 1, 1, super::RECORD_BYTES),
            Self::FanOut { queues } => (queues, 1, 4, super::RECORD_BYTES),
            Self::Queues { queues } => (queues, 4, 4, super::RECORD_BYTES),
            Self::Backlog { .. } => (1, 4, 1, BACKLOG_BYTES),
        };
        let fan_out = matches!(self, Self::FanOut { .. });
        Load {
            server: server.address,
            pid: Some(server.pid()),
            login: Login::guest(),
            queues: Queues {
                name: "bench".to_owned(),
                count: queues,
                kind: match contender {
                    Contender::RabbitMqQuorum => QueueType::Quorum,
                    _ => QueueType::Classic,
                },
                durable: true,
                fan_out,
            },
            publishers,
            consumers,
            message_bytes,
            persistent: true,
            window: if fan_out { WINDOW / 10 } else { WINDOW },
            prefetch: PREFETCH,
            acks: ACKS,
            rate: match self {
                Self::Latency { messages_per_s } => Some(messages_per_s.into()),
                _ => None,
            },
            warmup: versus.warmup,
            until: Until::Elapsed(versus.duration),
        }
    }
}

//! Producing at full speed, alone and with a consumer at the heels.

use std::thread;

use anyhow::{Result, anyhow};

use super::{NO_MORE, Sample, TOPIC, Versus, Volume, consume::reading, samples};
use crate::{
    connection::Connection,
    consume::{self, Follow},
    produce::{self, Load, Until},
    server::Server,
    table::Target,
};

const CONNECTIONS: usize = 8;
/// Requests in flight on each connection.
const DEPTH: usize = 32;

impl Volume {
    pub(super) fn produce(self, versus: &Versus, server: &Server) -> Result<Vec<Sample>> {
        let outcome = produce::run(&self.load(versus, server), versus.timestamp_ms)?;
        Ok(samples(
            &outcome.report(),
            &[
                ("msg/s", "msg_per_s", Target::RatioAtLeast(1.5)),
                ("MB/s", "mb_per_s", Target::None),
                (
                    "server CPU s per million",
                    "server_cpu_s_per_million",
                    Target::RatioAtMost(0.333),
                ),
                ("RSS peak MB", "server_rss_peak_mb", Target::RatioAtMost(0.1)),
                ("ack p50 us", "ack_p50_us", Target::None),
                ("ack p99 us", "ack_p99_us", NO_MORE),
                ("ack p99.9 us", "ack_p99.9_us", Target::None),
            ],
        ))
    }

    /// The server's use is by records that were produced; what consuming them took is in it.
    pub(super) fn both(self, versus: &Versus, server: &Server) -> Result<Vec<Sample>> {
        Connection::open(server.address)?.create_topic(TOPIC, self.partitions, &[])?;
        let mut following = reading(self.partitions, server);
        following.follow = Some(Follow {
            warmup: versus.warmup,
            duration: versus.duration,
        });
        let load = self.load(versus, server);
        let (produced, consumed) = thread::scope(|scope| {
            let consumer = scope.spawn(|| consume::run(&following));
            let produced = produce::run(&load, versus.timestamp_ms);
            (produced, consumer.join())
        });
        let consumed = consumed.map_err(|_panic| anyhow!("the consumer panicked"))??;
        let mut figures = samples(
            &produced?.report(),
            &[
                ("produced msg/s", "msg_per_s", Target::None),
                ("produced MB/s", "mb_per_s", Target::None),
                (
                    "server CPU s per million",
                    "server_cpu_s_per_million",
                    Target::None,
                ),
                ("RSS peak MB", "server_rss_peak_mb", Target::RatioAtMost(0.1)),
                ("ack p50 us", "ack_p50_us", Target::None),
                ("ack p99 us", "ack_p99_us", Target::None),
            ],
        );
        let consumed_per_s = consumed.records_per_s();
        figures.insert(2, Sample::new("consumed msg/s", consumed_per_s, Target::None));
        Ok(figures)
    }

    pub(super) fn load(self, versus: &Versus, server: &Server) -> Load {
        Load {
            bootstrap: server.address,
            topic: TOPIC.to_owned(),
            partitions: self.partitions,
            topic_configs: Vec::new(),
            connections: CONNECTIONS,
            depth: DEPTH,
            record_bytes: self.record_bytes,
            batch_bytes: versus.batch_bytes,
            acks: -1,
            keys: None,
            warmup: Until::Elapsed(versus.warmup),
            until: Until::Elapsed(versus.duration),
            rate: None,
            pid: Some(server.pid()),
        }
    }
}

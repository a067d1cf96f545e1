//! `bench versus`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::timestamp_ms;
use crate::{
    server::{kafka::Kafka, rabbitmq::RabbitMq},
    versus::{self, Contender, Opponent},
};

#[derive(Debug, Args)]
pub(super) struct Versus {
    /// Firth's binary.
    #[arg(long)]
    firth: PathBuf,
    /// The directory of Apache Kafka's jars.
    #[arg(long, required_unless_present = "rabbitmq", conflicts_with = "rabbitmq")]
    kafka_jars: Option<PathBuf>,
    /// The directory of RabbitMQ's scripts, `sbin`, to measure with RabbitMQ.
    #[arg(long)]
    rabbitmq: Option<PathBuf>,
    #[arg(long, default_value = "java")]
    java: PathBuf,
    /// The heap of Apache Kafka, by default that of its own start script.
    #[arg(long, default_value = "1G")]
    kafka_heap: String,
    /// Where data is put, on the disk that is meant.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// A workload by its name or the first parts of it, as `produce` or `both-1k`; may be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// One of them instead of all; may be repeated.
    #[arg(long, value_enum)]
    contender: Vec<Contender>,
    /// Load before a measurement.
    #[arg(long, default_value_t = 10.0)]
    warmup_seconds: f64,
    /// The length of a measurement.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Batches are filled up to this.
    #[arg(long, default_value_t = 16, value_name = "KIB")]
    batch_kib: usize,
    /// What is written to be read back.
    #[arg(long, default_value_t = 2048, value_name = "MIB")]
    read_mib: u64,
}

impl Versus {
    pub(super) fn versus(self) -> versus::Versus {
        let opponent = self.opponent();
        let asked = |contender: &Contender| self.contender.is_empty() || self.contender.contains(contender);
        versus::Versus {
            contenders: opponent.contenders().iter().copied().filter(asked).collect(),
            opponent,
            firth: self.firth,
            dir: self.dir,
            rounds: self.rounds,
            only: self.only,
            warmup: Duration::from_secs_f64(self.warmup_seconds),
            duration: Duration::from_secs_f64(self.seconds),
            batch_bytes: self.batch_kib << 10,
            read_bytes: self.read_mib << 20,
            timestamp_ms: timestamp_ms(),
        }
    }

    fn opponent(&self) -> Opponent {
        match &self.rabbitmq {
            Some(sbin) => Opponent::RabbitMq(RabbitMq { sbin: sbin.clone() }),
            None => Opponent::Kafka(Kafka {
                java: self.java.clone(),
                // One of both is required.
                jars: self.kafka_jars.clone().unwrap_or_default(),
                heap: self.kafka_heap.clone(),
                flush_messages: None,
            }),
        }
    }
}

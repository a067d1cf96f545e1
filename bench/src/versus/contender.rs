//! Who is measured, and how it is started.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::Versus;
use crate::{
    connection::Connection,
    recycled::Durability,
    server::{Server, kafka::Kafka},
};

const TOPIC_MAX: Duration = Duration::from_secs(60);
const TOPIC_POLL: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Contender {
    /// An acknowledged record is on disk.
    FirthDisk,
    /// An acknowledged record is with the kernel, and on disk within a second.
    FirthOs,
    /// An acknowledged record is with the kernel, and on disk when the kernel writes it: Kafka's default.
    Kafka,
    /// An acknowledged record is on disk.
    KafkaFlushed,
}

/// A server that has answered and created a topic.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) server: Server,
    pub(super) topic_after: Duration,
}

impl Contender {
    pub(crate) const ALL: [Self; 4] = [Self::FirthDisk, Self::FirthOs, Self::Kafka, Self::KafkaFlushed];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::FirthDisk => "Firth disk",
            Self::FirthOs => "Firth os",
            Self::Kafka => "Kafka",
            Self::KafkaFlushed => "Kafka flushed",
        }
    }

    pub(super) fn start(self, versus: &Versus, dir: &Path) -> Result<Started> {
        let data = dir.join("data");
        let firth = |durability| Server::broker(&versus.firth, &data, durability, None, &[]);
        let kafka = |flush_messages| {
            let kafka = Kafka {
                flush_messages,
                ..versus.kafka.clone()
            };
            Server::kafka(&kafka, &data)
        };
        let server = match self {
            Self::FirthDisk => firth(Durability::Disk),
            Self::FirthOs => firth(Durability::Os),
            Self::Kafka => kafka(None),
            Self::KafkaFlushed => kafka(Some(1)),
        }?;
        let ready = Instant::now();
        create_first_topic(&server)?;
        let topic_after = server.ready_after + ready.elapsed();
        Ok(Started { server, topic_after })
    }
}

/// A broker may answer ApiVersions before its controller would create a topic.
fn create_first_topic(server: &Server) -> Result<()> {
    let began = Instant::now();
    loop {
        let mut connection = Connection::open(server.address)?;
        match connection.create_topic("first", 1, &[]) {
            Ok(()) => return Ok(()),
            Err(error) if began.elapsed() > TOPIC_MAX => return Err(error),
            Err(_) => thread::sleep(TOPIC_POLL),
        }
    }
}

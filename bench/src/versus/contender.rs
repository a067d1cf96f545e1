//! Who is measured, and how it is started.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::Versus;
use crate::{
    connection::Connection,
    recycled::Durability,
    server::{Server, kafka::Kafka, rabbitmq::RabbitMq},
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
    /// Classic queues, the default: a confirmed message is in a file, which is flushed now and then.
    RabbitMq,
    /// Quorum queues, of one member here: a confirmed message is on disk.
    RabbitMqQuorum,
}

/// Whom Firth is measured with.
#[derive(Debug, Clone)]
pub(crate) enum Opponent {
    Kafka(Kafka),
    RabbitMq(RabbitMq),
}

impl Opponent {
    /// In the order of the table's columns.
    pub(crate) fn contenders(&self) -> &'static [Contender] {
        match self {
            Self::Kafka(_) => &Contender::BESIDE_KAFKA,
            Self::RabbitMq(_) => &Contender::BESIDE_RABBITMQ,
        }
    }

    /// As it comes.
    pub(super) fn base(&self) -> Contender {
        match self {
            Self::Kafka(_) => Contender::Kafka,
            Self::RabbitMq(_) => Contender::RabbitMq,
        }
    }

    #[cfg(test)]
    pub(super) fn kafka() -> Self {
        Self::Kafka(Kafka {
            java: "java".into(),
            jars: "jars".into(),
            heap: "1G".to_owned(),
            flush_messages: None,
        })
    }
}

/// A server that has answered and created a topic.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) server: Server,
    pub(super) topic_after: Duration,
}

impl Contender {
    pub(super) const BESIDE_KAFKA: [Self; 4] =
        [Self::FirthDisk, Self::FirthOs, Self::Kafka, Self::KafkaFlushed];
    pub(super) const BESIDE_RABBITMQ: [Self; 4] = [
        Self::FirthDisk,
        Self::FirthOs,
        Self::RabbitMq,
        Self::RabbitMqQuorum,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::FirthDisk => "Firth disk",
            Self::FirthOs => "Firth os",
            Self::Kafka => "Kafka",
            Self::KafkaFlushed => "Kafka flushed",
            Self::RabbitMq => "RabbitMQ",
            Self::RabbitMqQuorum => "RabbitMQ quorum",
        }
    }

    pub(super) fn start(self, versus: &Versus, dir: &Path) -> Result<Started> {
        let data = dir.join("data");
        match &versus.opponent {
            Opponent::Kafka(kafka) => self.start_with_topics(versus, kafka, &data),
            Opponent::RabbitMq(rabbitmq) => {
                let server = match self {
                    Self::FirthDisk => Server::queues(&versus.firth, &data, Durability::Disk),
                    Self::FirthOs => Server::queues(&versus.firth, &data, Durability::Os),
                    Self::RabbitMq | Self::RabbitMqQuorum => Server::rabbitmq(rabbitmq, &data),
                    Self::Kafka | Self::KafkaFlushed => bail!("Kafka has no queues"),
                }?;
                let topic_after = server.ready_after;
                Ok(Started { server, topic_after })
            }
        }
    }

    fn start_with_topics(self, versus: &Versus, kafka: &Kafka, data: &Path) -> Result<Started> {
        let firth = |durability| Server::broker(&versus.firth, data, durability, None, &[]);
        let kafka = |flush_messages| {
            let kafka = Kafka {
                flush_messages,
                ..kafka.clone()
            };
            Server::kafka(&kafka, data)
        };
        let server = match self {
            Self::FirthDisk => firth(Durability::Disk),
            Self::FirthOs => firth(Durability::Os),
            Self::Kafka => kafka(None),
            Self::KafkaFlushed => kafka(Some(1)),
            Self::RabbitMq | Self::RabbitMqQuorum => bail!("RabbitMQ has no topics"),
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

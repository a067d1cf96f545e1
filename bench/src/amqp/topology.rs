//! The queues of a run: declared, bound, and deleted when it is over.

use std::net::SocketAddr;

use anyhow::{Result, bail};
use firth_amqp_codec::{FieldTable, Method, exchange, queue};

use super::link::{Link, Login};

/// Answers that are awaited at once.
const AT_ONCE: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum QueueType {
    Classic,
    Quorum,
}

#[derive(Debug, Clone)]
pub(crate) struct Queues {
    /// Names begin so.
    pub(crate) name: String,
    pub(crate) count: usize,
    pub(crate) kind: QueueType,
    pub(crate) durable: bool,
    /// A fan-out exchange gives each message to all of them.
    pub(crate) fan_out: bool,
}

impl Queues {
    pub(super) fn names(&self) -> Vec<String> {
        (0..self.count)
            .map(|index| format!("{}-{index}", self.name))
            .collect()
    }

    /// Where a publisher sends to: exchange and routing key, once for each of `names` or once for all.
    pub(super) fn routes<'a>(&'a self, names: &'a [String]) -> Vec<(&'a str, &'a str)> {
        match self.fan_out {
            true => vec![(&self.name, "")],
            false => names.iter().map(|name| ("", name.as_str())).collect(),
        }
    }

    /// How many queues get each message.
    pub(super) fn copies(&self) -> u64 {
        if self.fan_out { self.count as u64 } else { 1 }
    }

    /// Declares them anew, so that nothing is in them.
    pub(super) fn declare(&self, server: SocketAddr, login: &Login) -> Result<()> {
        self.delete(server, login)?;
        let mut link = Link::open(server, login)?;
        let name = self.name.as_str().try_into()?;
        if self.fan_out {
            link.call(exchange::Declare {
                exchange: name,
                kind: "fanout".try_into()?,
                durable: self.durable,
                ..exchange::Declare::default()
            })?;
        }
        let kind = match self.kind {
            QueueType::Classic => "classic",
            QueueType::Quorum => "quorum",
        };
        let arguments = FieldTable::build(|table| {
            table.put_str("x-queue-type", kind);
        })?;
        for names in self.names().chunks(AT_ONCE) {
            let mut methods: Vec<Method> = Vec::new();
            for name in names {
                methods.push(
                    queue::Declare {
                        queue: name.as_str().try_into()?,
                        durable: self.durable,
                        arguments: arguments.clone(),
                        ..queue::Declare::default()
                    }
                    .into(),
                );
                if self.fan_out {
                    methods.push(
                        queue::Bind {
                            queue: name.as_str().try_into()?,
                            exchange: self.name.as_str().try_into()?,
                            ..queue::Bind::default()
                        }
                        .into(),
                    );
                }
            }
            link.calls(methods.into_iter())?;
        }
        link.close()
    }

    pub(super) fn delete(&self, server: SocketAddr, login: &Login) -> Result<()> {
        let mut link = Link::open(server, login)?;
        for names in self.names().chunks(AT_ONCE) {
            let mut methods: Vec<Method> = Vec::new();
            for name in names {
                methods.push(
                    queue::Delete {
                        queue: name.as_str().try_into()?,
                        ..queue::Delete::default()
                    }
                    .into(),
                );
            }
            link.calls(methods.into_iter())?;
        }
        if self.fan_out {
            let exchange = self.name.as_str().try_into()?;
            link.call(exchange::Delete {
                exchange,
                ..exchange::Delete::default()
            })?;
        }
        link.close()
    }

    /// Messages that are ready in all of them.
    pub(super) fn ready(&self, server: SocketAddr, login: &Login) -> Result<u64> {
        let mut link = Link::open(server, login)?;
        let mut ready = 0;
        for name in self.names() {
            let passive = queue::Declare {
                queue: name.as_str().try_into()?,
                passive: true,
                ..queue::Declare::default()
            };
            let Method::Queue(queue::Method::DeclareOk(declared)) = link.call(passive)? else {
                bail!("queue.declare was answered by something else");
            };
            ready += u64::from(declared.message_count);
        }
        link.close()?;
        Ok(ready)
    }
}

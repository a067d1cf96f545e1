//! What clients of queues do, and which permissions it takes.
//!
//! | operation | configure | write | read |
//! | --- | --- | --- | --- |
//! | declare an exchange | the exchange | its alternate exchange, if it names one | the exchange, in that case |
//! | delete an exchange | the exchange | | |
//! | declare a queue | the queue | | |
//! | create a queue that dead-letters | the queue | the dead-letter exchange | the queue |
//! | delete a queue | the queue | | |
//! | bind, unbind | | the destination | the source; its routing key, if that is a topic exchange |
//! | publish | | the exchange; the routing key, if that is a topic exchange | |
//! | consume, get, purge | | | the queue |
//!
//! To look at something, to declare it passively above all, takes none. This is RabbitMQ's table, and it decides the order in which
//! refusals are found, too.

use smallvec::{SmallVec, smallvec};

/// What a user may have for a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Permission {
    Configure,
    Write,
    Read,
}

impl Permission {
    pub fn name(self) -> &'static str {
        match self {
            Permission::Configure => "configure",
            Permission::Write => "write",
            Permission::Read => "read",
        }
    }
}

/// What is asked for within a virtual host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource<'a> {
    /// The virtual host itself, which takes any permission in it.
    VirtualHost,
    /// The default exchange has no name.
    Exchange(&'a str),
    Queue(&'a str),
    /// A topic of which a log is read or written.
    Topic(&'a str),
    /// What passes a topic exchange with this key.
    RoutingKey {
        exchange: &'a str,
        key: &'a [u8],
    },
}

/// An exchange from which messages are to come or to which they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage<'a> {
    pub exchange: &'a str,
    pub routing_key: &'a [u8],
    /// Whether it routes by patterns, and so has permissions for routing keys.
    pub is_topic: bool,
}

/// What a binding leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination<'a> {
    Queue(&'a str),
    Exchange(&'a str),
    Topic(&'a str),
}

/// What somebody wants to do in a virtual host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// To work in it at all.
    Open,
    DeclareExchange {
        exchange: &'a str,
        alternate_exchange: Option<&'a str>,
    },
    DeleteExchange {
        exchange: &'a str,
    },
    /// Also if it exists already.
    DeclareQueue {
        queue: &'a str,
    },
    /// The queue does not exist: what is to be asked for after [`Operation::DeclareQueue`].
    CreateQueue {
        queue: &'a str,
        dead_letter_exchange: Option<&'a str>,
    },
    DeleteQueue {
        queue: &'a str,
    },
    PurgeQueue {
        queue: &'a str,
    },
    Consume {
        queue: &'a str,
    },
    Get {
        queue: &'a str,
    },
    Bind {
        source: Passage<'a>,
        destination: Destination<'a>,
    },
    Unbind {
        source: Passage<'a>,
        destination: Destination<'a>,
    },
    /// Once for each routing key, if a message has several.
    Publish(Passage<'a>),
}

pub type Needs<'a> = SmallVec<[(Permission, Resource<'a>); 3]>;

impl<'a> Operation<'a> {
    /// What all of which is needed, in the order in which it is looked at.
    pub fn needs(&self) -> Needs<'a> {
        use Permission::{Configure, Read, Write};
        match *self {
            Operation::Open => smallvec![(Read, Resource::VirtualHost)],
            Operation::DeclareExchange {
                exchange,
                alternate_exchange,
            } => {
                let mut needs: Needs<'a> = smallvec![(Configure, Resource::Exchange(exchange))];
                if let Some(alternate) = alternate_exchange {
                    needs.push((Read, Resource::Exchange(exchange)));
                    needs.push((Write, Resource::Exchange(alternate)));
                }
                needs
            }
            Operation::DeleteExchange { exchange } => smallvec![(Configure, Resource::Exchange(exchange))],
            Operation::DeclareQueue { queue } | Operation::DeleteQueue { queue } => {
                smallvec![(Configure, Resource::Queue(queue))]
            }
            Operation::CreateQueue {
                queue,
                dead_letter_exchange,
            } => {
                let mut needs: Needs<'a> = smallvec![(Configure, Resource::Queue(queue))];
                if let Some(exchange) = dead_letter_exchange {
                    needs.push((Read, Resource::Queue(queue)));
                    needs.push((Write, Resource::Exchange(exchange)));
                }
                needs
            }
            Operation::PurgeQueue { queue } | Operation::Consume { queue } | Operation::Get { queue } => {
                smallvec![(Read, Resource::Queue(queue))]
            }
            Operation::Bind { source, destination } | Operation::Unbind { source, destination } => {
                let mut needs: Needs<'a> = smallvec![(Write, destination.resource())];
                source.needs(Read, &mut needs);
                needs
            }
            Operation::Publish(passage) => {
                let mut needs = Needs::new();
                passage.needs(Write, &mut needs);
                needs
            }
        }
    }
}

impl<'a> Passage<'a> {
    fn needs(self, permission: Permission, needs: &mut Needs<'a>) {
        needs.push((permission, Resource::Exchange(self.exchange)));
        if self.is_topic {
            let key = Resource::RoutingKey {
                exchange: self.exchange,
                key: self.routing_key,
            };
            needs.push((permission, key));
        }
    }
}

impl<'a> Destination<'a> {
    fn resource(self) -> Resource<'a> {
        match self {
            Destination::Queue(queue) => Resource::Queue(queue),
            Destination::Exchange(exchange) => Resource::Exchange(exchange),
            Destination::Topic(topic) => Resource::Topic(topic),
        }
    }
}

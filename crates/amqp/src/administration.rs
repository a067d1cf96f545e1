//! What is declared by somebody who has no connection, as HTTP's administration: the handlers of a channel do it, so that the same is
//! checked in the same order, and refused in the same words.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;

use firth_amqp_codec::{Command, FieldTable, Method, ReplyCode, ShortStr, exchange, queue};
use firth_broker::authorizer::Access;
use firth_broker::users::Origin;
use firth_broker::{Destination, VirtualHost};

use crate::Server;
use crate::connection::{Capabilities, Ending, Opened, Outgoing};
use crate::exception::Exception;
use crate::handlers::Binding;
use crate::server::Client;
use crate::session::Session;

/// Where there is no socket. Nobody reads what is written to a channel here.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
const CHANNEL: u16 = 1;

/// What is to be declared. Arguments are those of AMQP.
#[derive(Debug)]
pub enum Change {
    Queue {
        name: String,
        durable: bool,
        auto_delete: bool,
        arguments: FieldTable,
    },
    Exchange {
        name: String,
        kind: String,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: FieldTable,
    },
    Binding {
        source: String,
        destination: Destination,
        key: String,
        arguments: FieldTable,
    },
}

/// Why something was not declared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As a channel would be closed.
    #[error("{text}")]
    Exception { code: ReplyCode, text: String },
    /// The storage has failed, or what was to be changed is gone.
    #[error("the broker cannot do that now")]
    Unavailable,
}

impl From<Exception> for Refused {
    fn from(exception: Exception) -> Refused {
        Refused::Exception {
            code: exception.code,
            text: exception.text().to_owned(),
        }
    }
}

impl From<Ending> for Refused {
    fn from(ending: Ending) -> Refused {
        match ending {
            Ending::Exception(exception) | Ending::BadFrame(exception) => exception.into(),
            Ending::Asked
            | Ending::Stopping
            | Ending::VirtualHostDeleted
            | Ending::UserDeleted
            | Ending::Closed(_) => Refused::Unavailable,
        }
    }
}

impl Server {
    /// Does what a channel in this virtual host would do for this user, and returns when it is durable. `access` is that user's, in the
    /// virtual host, which it may open.
    pub async fn change(
        &self,
        virtual_host: &Arc<VirtualHost>,
        access: Access,
        change: Change,
    ) -> Result<(), Refused> {
        let link = virtual_host.connect().map_err(Exception::from)?;
        let client = Client {
            server: self.shared(),
            peer: NOWHERE,
            origin: Origin::of_proxy(NOWHERE.ip()),
        };
        let opened = Opened {
            access,
            link,
            capabilities: Capabilities::default(),
            channel_max: CHANNEL,
            frame_max: 0,
            heartbeat_s: 0,
        };
        let (mut session, mut out) = (Session::new(client, opened), Outgoing::default());
        match change.into_method()? {
            Asked::Method(method) => {
                let command = Command {
                    method,
                    content: None,
                };
                session.handle(&mut out, CHANNEL, command).await?;
            }
            Asked::Binding {
                source,
                destination,
                key,
                arguments,
            } => {
                let binding = Binding {
                    source,
                    destination,
                    key: &key,
                    arguments: &arguments,
                };
                session.bind(&mut out, binding, true)?;
            }
        }
        let released = poll_fn(|cx| match out.poll_release(cx) {
            Err(_) => Poll::Ready(Err(Refused::Unavailable)),
            Ok(()) if out.is_released() => Poll::Ready(Ok(())),
            Ok(()) => Poll::Pending,
        });
        released.await
    }
}

/// A change as the handlers take it.
enum Asked {
    Method(Method),
    Binding {
        source: String,
        destination: Destination,
        key: ShortStr,
        arguments: FieldTable,
    },
}

impl Change {
    fn into_method(self) -> Result<Asked, Exception> {
        Ok(match self {
            Change::Queue {
                name,
                durable,
                auto_delete,
                arguments,
            } => Asked::Method(Method::Queue(queue::Method::Declare(queue::Declare {
                queue: short("queue", &name)?,
                passive: false,
                durable,
                exclusive: false,
                auto_delete,
                no_wait: true,
                arguments,
            }))),
            Change::Exchange {
                name,
                kind,
                durable,
                auto_delete,
                internal,
                arguments,
            } => Asked::Method(Method::Exchange(exchange::Method::Declare(exchange::Declare {
                exchange: short("exchange", &name)?,
                kind: short("exchange type", &kind)?,
                passive: false,
                durable,
                auto_delete,
                internal,
                no_wait: true,
                arguments,
            }))),
            Change::Binding {
                source,
                destination,
                key,
                arguments,
            } => Asked::Binding {
                source,
                destination,
                key: short("routing key", &key)?,
                arguments,
            },
        })
    }
}

fn short(what: &str, text: &str) -> Result<ShortStr, Exception> {
    ShortStr::try_from(text).map_err(|_| {
        let text = format!("{what} has more than {} bytes", ShortStr::BYTES_MAX);
        Exception::new(ReplyCode::PreconditionFailed, text)
    })
}

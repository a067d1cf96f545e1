//! What the methods of each class do, one file for each class. Their order, conditions and texts are RabbitMQ's.

mod basic;
mod channel;
mod confirm;
mod exchange;
mod queue;
mod tx;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use firth_amqp_codec::{Command, Method, ReplyCode, ShortStr, access};
use firth_broker::Queue;

pub(crate) use self::basic::give_back;
pub(crate) use self::exchange::Binding;
use crate::arguments::named;
use crate::connection::{Ending, Outgoing};
use crate::exception::{Exception, fail};
use crate::session::Session;

/// Names with this prefix are the server's to give.
const RESERVED_PREFIX: &str = "amq.";

impl Session {
    /// A method on a channel that is open.
    pub(crate) async fn handle(
        &mut self,
        out: &mut Outgoing,
        number: u16,
        command: Command,
    ) -> Result<(), Ending> {
        let Command { method, content } = command;
        match method {
            Method::Basic(method) => self.basic(out, number, method, content).await,
            Method::Queue(method) => self.queue(out, number, method).await,
            Method::Exchange(method) => Ok(self.exchange(out, number, method)?),
            Method::Channel(method) => self.channel(out, number, method),
            Method::Confirm(method) => Ok(self.confirm(out, number, method)?),
            Method::Tx(method) => Ok(self.tx(out, number, method)?),
            Method::Access(access::Method::Request(_)) => {
                Ok(self.reply(out, number, &access::RequestOk { ticket: 1 })?)
            }
            Method::Access(access::Method::RequestOk(_)) | Method::Connection(_) => {
                Err(unimplemented().into())
            }
        }
    }

    /// A name that nobody can guess.
    fn generate(&self, prefix: &str) -> ShortStr {
        let random = (self.client.server.broker.environment().random)();
        ShortStr::truncated(&format!("{prefix}-{}", URL_SAFE_NO_PAD.encode(random)))
    }

    /// The queue that is meant, which is the one declared last where none is named.
    fn expand_queue(&self, number: u16, queue: &ShortStr) -> Result<ShortStr, Exception> {
        if !queue.is_empty() {
            return Ok(queue.clone());
        }
        let channel = self.channels.get(&number);
        match channel.and_then(|channel| channel.last_queue.clone()) {
            Some(queue) => Ok(queue),
            None => fail!(NotFound, "no previously declared queue"),
        }
    }

    /// A queue that exists and is not another connection's own.
    fn find_queue(&self, name: &str) -> Result<Arc<Queue>, Exception> {
        let Some(queue) = self.virtual_host.queue(name) else {
            fail!(NotFound, "no {}", named("queue", name, self.virtual_host_name()));
        };
        self.check_exclusive(&queue)?;
        Ok(queue)
    }

    fn check_exclusive(&self, queue: &Queue) -> Result<(), Exception> {
        match queue.definition().exclusive {
            Some(owner) if owner != self.connection_id() => Err(self.locked(queue)),
            _ => Ok(()),
        }
    }

    fn locked(&self, queue: &Queue) -> Exception {
        let named = named("queue", queue.name(), self.virtual_host_name());
        Exception::new(
            ReplyCode::ResourceLocked,
            format!(
                "cannot obtain exclusive access to locked {named}. It could be originally declared on another \
                 connection or the exclusive property value does not match that of the original declaration."
            ),
        )
    }
}

/// What only a server sends, or what a channel has no business with.
fn unimplemented() -> Exception {
    Exception::new(ReplyCode::CommandInvalid, "unimplemented method")
}

/// What does not exist yet may not have a reserved name.
fn check_name(kind: &str, name: &str) -> Result<(), Exception> {
    if name.starts_with(RESERVED_PREFIX) {
        fail!(
            AccessRefused,
            "{kind} name '{name}' contains reserved prefix 'amq.*'"
        );
    }
    Ok(())
}

fn check_not_default_exchange(name: &str) -> Result<(), Exception> {
    if name.is_empty() {
        fail!(AccessRefused, "operation not permitted on the default exchange");
    }
    Ok(())
}

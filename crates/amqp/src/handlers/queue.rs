use bytes::Bytes;
use firth_amqp_codec::{FieldTable, ReplyCode, ShortStr, queue};
use firth_broker::authorizer::Operation;
use firth_broker::{Destination, NewQueue, NotDeleted, Queue, QueueKind, TopologyError};

use super::exchange::Binding;
use super::{check_name, unimplemented};
use crate::arguments::{
    check_arguments, check_flag, exchange_argument, named, queue_arguments_of, queue_options,
    without_line_breaks,
};
use crate::connection::{Ending, Outgoing};
use crate::exception::{Exception, fail};
use crate::replies::{REPLY_TO, REPLY_TO_PREFIX};
use crate::session::Session;

const DEAD_LETTER_EXCHANGE: &str = "x-dead-letter-exchange";

impl Session {
    pub(super) async fn queue(
        &mut self,
        out: &mut Outgoing,
        number: u16,
        method: queue::Method,
    ) -> Result<(), Ending> {
        match method {
            queue::Method::Declare(declare) => self.queue_declare(out, number, &declare).await,
            queue::Method::Delete(delete) => self.queue_delete(out, number, &delete).await,
            queue::Method::Purge(purge) => self.queue_purge(out, number, &purge).await,
            queue::Method::Bind(bind) => {
                let (queue, key) = self.expand_binding(number, &bind.queue, &bind.routing_key)?;
                let binding = to_queue(&queue, &bind.exchange, &key, &bind.arguments);
                self.bind(out, binding, true)?;
                Ok(self.reply_unless(out, number, bind.no_wait, &queue::BindOk {})?)
            }
            queue::Method::Unbind(unbind) => {
                let (queue, key) = self.expand_binding(number, &unbind.queue, &unbind.routing_key)?;
                let binding = to_queue(&queue, &unbind.exchange, &key, &unbind.arguments);
                self.bind(out, binding, false)?;
                Ok(self.reply(out, number, &queue::UnbindOk {})?)
            }
            queue::Method::DeclareOk(_)
            | queue::Method::BindOk(_)
            | queue::Method::PurgeOk(_)
            | queue::Method::DeleteOk(_)
            | queue::Method::UnbindOk(_) => Err(unimplemented().into()),
        }
    }

    /// Where neither queue nor key is named, both are those of the queue that was declared last.
    fn expand_binding(
        &self,
        number: u16,
        queue: &ShortStr,
        key: &ShortStr,
    ) -> Result<(ShortStr, ShortStr), Exception> {
        let expanded = self.expand_queue(number, queue)?;
        let key = match queue.is_empty() && key.is_empty() {
            true => expanded.clone(),
            false => key.clone(),
        };
        Ok((expanded, key))
    }

    async fn queue_declare(
        &mut self,
        out: &mut Outgoing,
        number: u16,
        declare: &queue::Declare,
    ) -> Result<(), Ending> {
        let stripped = without_line_breaks(&declare.queue.to_string());
        let (name, messages, consumers) = if stripped.starts_with(REPLY_TO) {
            self.check_reply_queue(&stripped)?;
            (ShortStr::truncated(&stripped), 0, 1)
        } else {
            let queue = match declare.passive {
                true => self.find_queue(&stripped)?,
                false => self.declare_queue(declare, stripped).await?,
            };
            queue.touch();
            // What this connection published before is counted.
            self.publish_all(out).await?;
            let counts = queue.counts();
            (
                ShortStr::truncated(queue.name()),
                u32::try_from(counts.ready).unwrap_or(u32::MAX),
                u32::try_from(counts.consumers).unwrap_or(u32::MAX),
            )
        };
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.last_queue = Some(name.clone());
        }
        out.wait_for(self.virtual_host.commit());
        let declare_ok = queue::DeclareOk {
            queue: name,
            message_count: messages,
            consumer_count: consumers,
        };
        Ok(self.reply_unless(out, number, declare.no_wait, &declare_ok)?)
    }

    /// A queue for replies is there as long as its consumer is.
    fn check_reply_queue(&self, name: &str) -> Result<(), Exception> {
        if name == REPLY_TO {
            return Ok(());
        }
        let token = name.strip_prefix(REPLY_TO_PREFIX);
        if !token.is_some_and(|token| self.client.server.replies.has(token)) {
            fail!(NotFound, "no {}", named("queue", name, self.virtual_host_name()));
        }
        Ok(())
    }

    async fn declare_queue(
        &mut self,
        declare: &queue::Declare,
        stripped: String,
    ) -> Result<std::sync::Arc<Queue>, Ending> {
        let is_server_named = stripped.is_empty();
        let name = match is_server_named {
            true => self.generate("amq.gen").to_string(),
            false => {
                check_name("queue", &stripped)?;
                stripped
            }
        };
        self.authorize(&Operation::DeclareQueue { queue: &name })?;
        let of = named("queue", &name, self.virtual_host_name());
        if let Some(known) = self.virtual_host.queue(&name) {
            self.check_equivalence(&known, declare, &of)?;
            return Ok(known);
        }
        let dead_letter_exchange = exchange_argument(&declare.arguments, DEAD_LETTER_EXCHANGE, &of)?;
        self.authorize(&Operation::CreateQueue {
            queue: &name,
            dead_letter_exchange: dead_letter_exchange.as_deref(),
        })?;
        let options = queue_options(&declare.arguments, &of)?;
        check_kind(options.kind, declare, is_server_named, &of)?;
        if options.kind == QueueKind::Stream {
            let text = format!("{of} would be a stream, which cannot be declared yet");
            return Err(Exception::new(ReplyCode::NotImplemented, text).into());
        }
        let new = NewQueue {
            name,
            durable: declare.durable,
            exclusive: declare.exclusive.then(|| self.connection_id()),
            auto_delete: declare.auto_delete,
            options,
            arguments: declare.arguments.as_bytes().to_vec(),
        };
        let broker = self.client.server.broker.clone();
        let declared = broker
            .declare_queue(&self.virtual_host, new)
            .await
            .map_err(|error| match error {
                TopologyError::TooManyQueues { virtual_host, max } => Exception::new(
                    ReplyCode::PreconditionFailed,
                    format!("cannot declare {of}: queue limit in vhost '{virtual_host}' ({max}) is reached"),
                ),
                error => error.into(),
            })?;
        if !declared.is_new {
            // Somebody else was faster.
            self.check_equivalence(&declared.item, declare, &of)?;
        }
        declared.commit.await.map_err(crate::closed::Closed::from)?;
        Ok(declared.item)
    }

    fn check_equivalence(&self, queue: &Queue, declare: &queue::Declare, of: &str) -> Result<(), Exception> {
        let definition = queue.definition();
        let owner = declare.exclusive.then(|| self.connection_id());
        if definition.exclusive != owner {
            return Err(self.locked(queue));
        }
        // An exclusive queue is durable for nobody.
        let is_durable = |durable: bool| durable && owner.is_none();
        check_flag(
            "durable",
            of,
            is_durable(declare.durable),
            is_durable(definition.durable),
        )?;
        check_flag("auto_delete", of, declare.auto_delete, definition.auto_delete)?;
        let current = Bytes::copy_from_slice(&definition.arguments);
        let current = FieldTable::try_from(current).unwrap_or_default();
        let arguments = queue_arguments_of(definition.options.kind);
        check_arguments(arguments, of, &declare.arguments, &current)
    }

    async fn queue_delete(
        &mut self,
        out: &mut Outgoing,
        number: u16,
        delete: &queue::Delete,
    ) -> Result<(), Ending> {
        let queue = self.expand_queue(number, &delete.queue)?;
        let name = without_line_breaks(&queue.to_string());
        self.authorize(&Operation::DeleteQueue { queue: &name })?;
        let of = named("queue", &name, self.virtual_host_name());
        self.publish_all(out).await?;
        let mut message_count = 0;
        if let Some(queue) = self.virtual_host.queue(&name) {
            self.check_exclusive(&queue)?;
            check_delete(&queue, delete, &of)?;
            let broker = self.client.server.broker.clone();
            let deleted = broker.delete_queue(&self.virtual_host, &name, delete.if_unused, delete.if_empty);
            match deleted.await {
                Ok(deleted) => {
                    message_count = u32::try_from(deleted.messages).unwrap_or(u32::MAX);
                    out.wait_for(deleted.commit);
                }
                Err(TopologyError::UnknownQueue { .. }) => {}
                Err(TopologyError::QueueNotDeleted { reason, .. }) => {
                    let why = match reason {
                        NotDeleted::InUse => "in use",
                        NotDeleted::NotEmpty => "not empty",
                    };
                    let text = format!("{of} {why}");
                    return Err(Exception::new(ReplyCode::PreconditionFailed, text).into());
                }
                Err(error) => return Err(Exception::from(error).into()),
            }
        }
        out.wait_for(self.virtual_host.commit());
        // Consumers of this connection learn of it before the answer does.
        self.take_events(out);
        let delete_ok = queue::DeleteOk { message_count };
        Ok(self.reply_unless(out, number, delete.no_wait, &delete_ok)?)
    }

    async fn queue_purge(
        &mut self,
        out: &mut Outgoing,
        number: u16,
        purge: &queue::Purge,
    ) -> Result<(), Ending> {
        let name = self.expand_queue(number, &purge.queue)?.to_string();
        self.authorize(&Operation::PurgeQueue { queue: &name })?;
        let queue = self.find_queue(&name)?;
        if queue.definition().options.kind == QueueKind::Stream {
            let of = named("queue", &name, self.virtual_host_name());
            let text = format!("queue.purge not supported by stream queues {of}");
            return Err(Exception::new(ReplyCode::NotImplemented, text).into());
        }
        self.publish_all(out).await?;
        let message_count = u32::try_from(queue.purge()).unwrap_or(u32::MAX);
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.has_settled = true;
        }
        Ok(self.reply_unless(out, number, purge.no_wait, &queue::PurgeOk { message_count })?)
    }
}

/// Conditions that a queue of this kind does not know.
fn check_delete(queue: &Queue, delete: &queue::Delete, of: &str) -> Result<(), Exception> {
    if queue.definition().options.kind != QueueKind::Quorum {
        return Ok(());
    }
    let flags = [(delete.if_unused, "if-unused"), (delete.if_empty, "if-empty")];
    if let Some((_, flag)) = flags.iter().find(|(is_set, _)| *is_set) {
        fail!(
            NotImplemented,
            "cannot delete {of}. queue.delete operations with {flag} flag set are not supported by quorum queues"
        );
    }
    Ok(())
}

/// What queues of this kind cannot be.
fn check_kind(
    kind: QueueKind,
    declare: &queue::Declare,
    is_server_named: bool,
    of: &str,
) -> Result<(), Exception> {
    let name = match kind {
        QueueKind::Classic => return Ok(()),
        QueueKind::Quorum => "rabbit_quorum_queue",
        QueueKind::Stream => "rabbit_stream_queue",
    };
    if is_server_named {
        fail!(
            PreconditionFailed,
            "Cannot declare a server-named queue for type {name}"
        );
    }
    let wrong = [
        (declare.auto_delete, "auto-delete"),
        (declare.exclusive, "exclusive-owner"),
        (!declare.durable, "non-durable"),
    ];
    if let Some((_, property)) = wrong.iter().find(|(is_so, _)| *is_so) {
        fail!(PreconditionFailed, "invalid property '{property}' for {of}");
    }
    Ok(())
}

fn to_queue<'a>(
    queue: &ShortStr,
    source: &ShortStr,
    key: &'a ShortStr,
    arguments: &'a FieldTable,
) -> Binding<'a> {
    let queue = without_line_breaks(&queue.to_string());
    Binding {
        source: without_line_breaks(&source.to_string()),
        destination: Destination::Queue(queue.into()),
        key,
        arguments,
    }
}

use std::sync::Arc;

use firth_amqp_codec::{FieldTable, ShortStr, basic};
use firth_broker::authorizer::Operation;
use firth_broker::{ConsumeError, Consumer, Credit, Queue, QueueKind};
use smallvec::{SmallVec, smallvec};

use crate::arguments::{CONSUMER_ARGUMENTS, named};
use crate::channel::{Channel, ReplyConsumer};
use crate::connection::Outgoing;
use crate::exception::{Exception, fail};
use crate::replies::REPLY_TO;
use crate::session::{Consuming, Session};

/// Messages that a consumer has acquired and was not sent yet, at most: the others stay in the queue, for others to have.
const WINDOW: u32 = 1024;

impl Session {
    pub(super) fn consume(
        &mut self,
        out: &mut Outgoing,
        number: u16,
        consume: basic::Consume,
    ) -> Result<(), Exception> {
        let is_for_replies = consume.queue == REPLY_TO;
        let queue_name = match is_for_replies {
            true => consume.queue.clone(),
            false => self.expand_queue(number, &consume.queue)?,
        };
        let tag = &consume.consumer_tag;
        let is_used = |channel: &Channel| {
            let of_replies = channel.reply_consumer.as_ref().is_some_and(|of| of.tag == *tag);
            channel.consumers.contains_key(tag) || (of_replies && !is_for_replies)
        };
        if self.channels.get(&number).is_some_and(is_used) {
            fail!(NotAllowed, "attempt to reuse consumer tag '{tag}'");
        }
        if is_for_replies {
            return self.consume_replies(out, number, consume);
        }
        let name = queue_name.to_string();
        self.authorize(&Operation::Consume { queue: &name })?;
        let tag = match tag.is_empty() {
            true => self.generate("amq.ctag"),
            false => tag.clone(),
        };
        let queue = self.find_queue(&name)?;
        let of = named("queue", &name, self.virtual_host_name());
        let priority = consumer_priority(&consume.arguments, &queue, &of)?;
        if queue.definition().options.kind == QueueKind::Stream {
            fail!(
                NotImplemented,
                "{of} is a stream, and streams cannot be consumed yet"
            );
        }
        let is_limited = |channel: &Channel| channel.prefetch.is_limited();
        if queue.definition().options.kind == QueueKind::Quorum
            && self.channels.get(&number).is_some_and(is_limited)
        {
            fail!(NotImplemented, "{of} does not support global qos");
        }
        if queue.definition().options.single_active_consumer && consume.exclusive {
            fail!(AccessRefused, "{of} in exclusive use");
        }
        self.register(number, &consume, tag.clone(), queue, priority)?;
        // Before anything is delivered, which is at the end of the turn.
        self.reply_unless(
            out,
            number,
            consume.no_wait,
            &basic::ConsumeOk { consumer_tag: tag },
        )
    }

    fn register(
        &mut self,
        number: u16,
        consume: &basic::Consume,
        tag: ShortStr,
        queue: Arc<Queue>,
        priority: i32,
    ) -> Result<(), Exception> {
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        self.last_consumer = self.last_consumer.saturating_add(1);
        let key = self.last_consumer;
        let window = Credit::new(WINDOW);
        let mut prefetch: SmallVec<[Arc<Credit>; 2]> = smallvec![];
        // What is not to be acknowledged is not limited either.
        if !consume.no_ack {
            if channel.prefetch_count > 0 {
                prefetch.push(Credit::new(channel.prefetch_count.into()));
            }
            prefetch.push(channel.prefetch.credit().clone());
        }
        channel.consumers.insert(tag.clone(), key);
        let credits = std::iter::once(&window).chain(&prefetch).cloned().collect();
        let consuming = Consuming {
            channel: number,
            tag,
            queue: queue.clone(),
            no_ack: consume.no_ack,
            window,
            prefetch,
        };
        let tag = consuming.tag.clone();
        self.consumers.insert(key, consuming);
        let consumer = Consumer {
            key,
            mailbox: self.mailbox().clone(),
            priority,
            credits,
            exclusive: consume.exclusive,
        };
        let Err(error) = queue.consume(consumer) else {
            return Ok(());
        };
        self.consumers.remove(&key);
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.consumers.remove(&tag);
        }
        let of = named("queue", queue.name(), self.virtual_host_name());
        match error {
            ConsumeError::Gone => fail!(NotFound, "no {of}"),
            ConsumeError::InUseExclusively | ConsumeError::InUse => {
                fail!(AccessRefused, "{of} in exclusive use")
            }
        }
    }

    fn consume_replies(
        &mut self,
        out: &mut Outgoing,
        number: u16,
        consume: basic::Consume,
    ) -> Result<(), Exception> {
        if !consume.no_ack {
            fail!(PreconditionFailed, "reply consumer cannot acknowledge");
        }
        let token = self.generate("g1");
        let tag = match consume.consumer_tag.is_empty() {
            true => self.generate("amq.ctag"),
            false => consume.consumer_tag,
        };
        let inbox = self.inbox().clone();
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        if channel.reply_consumer.is_some() {
            fail!(PreconditionFailed, "reply consumer already set");
        }
        let token = token.to_string();
        channel.reply_consumer = Some(ReplyConsumer {
            tag: tag.clone(),
            token: token.clone(),
        });
        self.client.server.replies.add(token, inbox, number);
        self.reply_unless(
            out,
            number,
            consume.no_wait,
            &basic::ConsumeOk { consumer_tag: tag },
        )
    }

    pub(super) fn cancel(
        &mut self,
        out: &mut Outgoing,
        number: u16,
        cancel: &basic::Cancel,
    ) -> Result<(), Exception> {
        let tag = &cancel.consumer_tag;
        let channel = self.channels.get_mut(&number);
        let of_replies =
            channel.and_then(|channel| channel.reply_consumer.take_if(|consumer| consumer.tag == *tag));
        if let Some(consumer) = of_replies {
            self.client.server.replies.remove(&consumer.token);
        }
        let channel = self.channels.get(&number);
        // A consumer that is not there is cancelled, too.
        if let Some(key) = channel.and_then(|channel| channel.consumers.get(tag).copied()) {
            self.cancel_consumer(key);
        }
        let cancel_ok = basic::CancelOk {
            consumer_tag: tag.clone(),
        };
        self.reply_unless(out, number, cancel.no_wait, &cancel_ok)
    }

    pub(super) fn qos(&mut self, out: &mut Outgoing, number: u16, qos: &basic::Qos) -> Result<(), Exception> {
        if qos.prefetch_size != 0 {
            fail!(NotImplemented, "prefetch_size!=0 ({})", qos.prefetch_size);
        }
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        match qos.global {
            true => channel.prefetch.limit(qos.prefetch_count),
            false => {
                channel.prefetch_count = qos.prefetch_count;
                // As in RabbitMQ, this ends the limit of the channel.
                channel.prefetch.limit(0);
            }
        }
        let of_channel = self
            .consumers
            .values()
            .filter(|consuming| consuming.channel == number);
        for consuming in of_channel {
            consuming.queue.deliver();
        }
        self.reply(out, number, &basic::QosOk {})
    }
}

fn consumer_priority(arguments: &FieldTable, queue: &Queue, of: &str) -> Result<i32, Exception> {
    let kind = queue.definition().options.kind;
    for (argument, kinds) in CONSUMER_ARGUMENTS {
        if arguments.get(argument).is_some() && !kinds.contains(&kind) {
            let kind = match kind {
                QueueKind::Classic => "rabbit_classic_queue",
                QueueKind::Quorum => "rabbit_quorum_queue",
                QueueKind::Stream => "rabbit_stream_queue",
            };
            fail!(
                PreconditionFailed,
                "invalid arg '{argument}' for {of} of queue type {kind}"
            );
        }
    }
    let Some(value) = arguments.get("x-priority") else {
        return Ok(0);
    };
    match value.as_integer() {
        Some(priority) => {
            let bounded = priority.clamp(i32::MIN.into(), i32::MAX.into());
            Ok(i32::try_from(bounded).unwrap_or_default())
        }
        None => fail!(
            PreconditionFailed,
            "invalid arg 'x-priority' for {of}: \"expected integer, got {}\"",
            crate::arguments::type_name(&value)
        ),
    }
}

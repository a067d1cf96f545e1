//! A connection that is open: its virtual host, its channels, and what queues gave its consumers.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use firth_amqp_codec::{
    ClassMethod, Command, Error, Frame, FrameKind, Method, ReplyCode, ShortStr, Unassembled, basic, channel,
    connection, decode_method,
};
use firth_broker::authorizer::{Access, Operation};
use firth_broker::{
    Commit, ConnectionId, Credit, Event, Mailbox, Publication, Queue, RouteCache, Taken, VirtualHost,
    VirtualHostConnection,
};
use smallvec::SmallVec;
use tokio::sync::watch;

use crate::channel::{Channel, Mode, Outcome, State};
use crate::closed::Closed;
use crate::connection::{Capabilities, Ending, Opened, Outgoing};
use crate::exception::{Exception, fail};
use crate::replies::Inbox;
use crate::server::Client;

pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) access: Access,
    /// Absent once the session has ended.
    link: Option<VirtualHostConnection>,
    connection_id: ConnectionId,
    pub(crate) virtual_host: Arc<VirtualHost>,
    pub(crate) routes: RouteCache,
    capabilities: Capabilities,
    channel_max: u16,
    pub(crate) frame_max: u32,
    pub(crate) channels: HashMap<u16, Channel>,
    pub(crate) consumers: HashMap<u64, Consuming>,
    pub(crate) last_consumer: u64,
    mailbox: Arc<Mailbox>,
    /// What consumers acquired and were not sent yet.
    pub(crate) leases: VecDeque<Lease>,
    /// What was published since the last storing.
    pub(crate) publication: Option<Publication>,
    /// Of the newest publication.
    published: Option<Commit>,
    /// Consumers whose queue was deleted, and who were not told yet.
    gone: Vec<u64>,
    /// What was published to the reply consumers of this connection.
    inbox: Arc<Inbox>,
    /// Publishers to be told of what was stored, in the order in which that was.
    confirms: VecDeque<Confirm>,
}

/// A consumer of this connection.
pub(crate) struct Consuming {
    pub(crate) channel: u16,
    pub(crate) tag: ShortStr,
    pub(crate) queue: Arc<Queue>,
    pub(crate) no_ack: bool,
    /// Given back when a message is written.
    pub(crate) window: Arc<Credit>,
    /// Given back when a message is settled: its own, where it has one, and its channel's.
    pub(crate) prefetch: SmallVec<[Arc<Credit>; 2]>,
}

/// Messages that a consumer acquired.
pub(crate) struct Lease {
    pub(crate) consumer: u64,
    pub(crate) queue: Arc<Queue>,
    pub(crate) taken: Taken,
}

impl Consuming {
    /// Messages that it acquired will not be sent to it. Others of its channel may have as many.
    fn give_back_credit(&self, unsent: impl Iterator<Item = Taken>) {
        let lengths = unsent.map(|taken| taken.offsets.end.saturating_sub(taken.offsets.start));
        let count = lengths.fold(0_i64, i64::saturating_add);
        self.prefetch.iter().for_each(|credit| credit.give(count));
    }
}

struct Confirm {
    commit: Commit,
    channel: u16,
    outcomes: VecDeque<Outcome>,
}

impl Session {
    pub(crate) fn new(client: Client, opened: Opened) -> Session {
        let virtual_host = opened.link.virtual_host().clone();
        Session {
            client,
            access: opened.access,
            connection_id: opened.link.id(),
            link: Some(opened.link),
            routes: RouteCache::new(virtual_host.clone()),
            virtual_host,
            capabilities: opened.capabilities,
            channel_max: opened.channel_max,
            frame_max: opened.frame_max,
            channels: HashMap::new(),
            consumers: HashMap::new(),
            last_consumer: 0,
            mailbox: Mailbox::new(),
            leases: VecDeque::new(),
            publication: None,
            published: None,
            gone: Vec::new(),
            inbox: Arc::default(),
            confirms: VecDeque::new(),
        }
    }

    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    pub(crate) fn connection_id(&self) -> ConnectionId {
        self.connection_id
    }

    pub(crate) fn virtual_host_name(&self) -> &Arc<str> {
        self.virtual_host.name()
    }

    pub(crate) fn virtual_host_deleted(&self) -> watch::Receiver<bool> {
        self.virtual_host.deleted()
    }

    pub(crate) fn user_deleted(&self) -> watch::Receiver<bool> {
        self.access.principal().deleted()
    }

    pub(crate) fn authorize(&mut self, operation: &Operation<'_>) -> Result<(), Exception> {
        Ok(self.access.authorize(operation)?)
    }

    /// Bytes of contents that are not complete, and of transactions.
    pub(crate) fn held_bytes(&self) -> usize {
        let held = self.channels.values().map(Channel::held_bytes);
        held.fold(0, usize::saturating_add)
    }

    pub(crate) fn has_deliveries(&self) -> bool {
        !self.leases.is_empty()
    }

    /// A method on channel 0.
    pub(crate) fn connection_method(&mut self, out: &mut Outgoing, payload: &Bytes) -> Result<(), Ending> {
        let method = decode_method(payload).map_err(|error| undecodable(error, payload))?;
        match &method {
            Method::Connection(connection::Method::Close(_)) => Err(Ending::Asked),
            Method::Connection(connection::Method::UpdateSecret(_)) => {
                // What a password is good for does not end, so there is nothing to renew.
                out.method(0, &connection::UpdateSecretOk {});
                Ok(())
            }
            _ => {
                let text = "unexpected method in connection state running";
                Err(Exception::new(ReplyCode::ChannelError, text).of(&method).into())
            }
        }
    }

    /// A frame on another channel. What goes wrong on it ends the channel, or the connection.
    pub(crate) async fn channel_frame(&mut self, out: &mut Outgoing, frame: &Frame) -> Result<(), Ending> {
        let number = frame.channel;
        if !self.channels.contains_key(&number) {
            self.check_channel_count()?;
        }
        let message_bytes_max = self.client.server.config.message_bytes_max;
        let channel = self.channels.entry(number).or_default();
        if channel.discarding > 0 && frame.kind == FrameKind::Body {
            let length = u64::try_from(frame.payload.len()).unwrap_or(u64::MAX);
            channel.discarding = channel.discarding.saturating_sub(length);
            return Ok(());
        }
        let awaiting = channel.assembler.awaiting().cloned();
        let command = match channel.assembler.accept(frame) {
            Ok(Some(command)) => command,
            Ok(None) => match channel.too_large(message_bytes_max) {
                None => return Ok(()),
                Some(size) => {
                    let text =
                        format!("message size {size} is larger than configured max size {message_bytes_max}");
                    let exception = Exception::new(ReplyCode::PreconditionFailed, text);
                    let exception = exception.of_ids(basic::CLASS_ID, basic::Publish::METHOD_ID);
                    // What a channel that is not open, or is closed already, does wrong is not told.
                    if channel.state == State::Open {
                        self.fail_channel(out, number, &exception);
                    }
                    return Ok(());
                }
            },
            Err(error) => {
                return Err(unassembled(error, awaiting, &frame.payload).into());
            }
        };
        // Only what may fail needs to be named afterwards.
        let (class_id, method_id) = (command.method.class_id(), command.method.method_id());
        match self.command(out, number, command).await {
            Ok(()) => Ok(()),
            Err(Ending::Exception(exception)) => {
                let exception = exception.of_ids(class_id, method_id);
                if exception.is_hard() {
                    return Err(exception.into());
                }
                self.fail_channel(out, number, &exception);
                Ok(())
            }
            Err(ending) => Err(ending),
        }
    }

    fn check_channel_count(&self) -> Result<(), Exception> {
        let (open, max) = (self.channels.len(), self.channel_max);
        if max != 0 && open >= usize::from(max) {
            fail!(
                NotAllowed,
                "number of channels opened ({open}) has reached the negotiated channel_max ({max})"
            );
        }
        Ok(())
    }

    async fn command(&mut self, out: &mut Outgoing, number: u16, command: Command) -> Result<(), Ending> {
        let state = self.channels.get(&number).map(|channel| channel.state);
        match (state.unwrap_or_default(), &command.method) {
            (State::New, Method::Channel(channel::Method::Open(_))) => {
                if let Some(channel) = self.channels.get_mut(&number) {
                    channel.state = State::Open;
                }
                out.method(number, &channel::OpenOk {});
                Ok(())
            }
            (State::New, _) => Err(Exception::new(ReplyCode::ChannelError, "expected 'channel.open'").into()),
            (State::Closing, Method::Channel(channel::Method::CloseOk(_))) => {
                self.channels.remove(&number);
                Ok(())
            }
            (State::Closing, Method::Channel(channel::Method::Open(_))) => {
                Err(Exception::new(ReplyCode::ChannelError, "second 'channel.open' seen").into())
            }
            (State::Closing, Method::Channel(channel::Method::Close(_))) => {
                out.method(number, &channel::CloseOk {});
                Ok(())
            }
            (State::Closing, _) => Ok(()),
            (State::Open, _) => self.handle(out, number, command).await,
        }
    }

    /// The client is told why, and what it had on the channel is given back.
    pub(crate) fn fail_channel(&mut self, out: &mut Outgoing, number: u16, exception: &Exception) {
        tracing::debug!(peer = %self.client.peer, channel = number, "channel closed: {exception}");
        self.release_channel(number);
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.state = State::Closing;
        }
        out.method(number, &exception.channel_close());
    }

    /// Ends everything that a channel has. What it published before is published.
    pub(crate) fn release_channel(&mut self, number: u16) {
        let of_channel = |consuming: &&Consuming| consuming.channel == number;
        let keys: Vec<u64> = self
            .consumers
            .iter()
            .filter(|(_, consuming)| of_channel(consuming))
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            self.cancel_consumer(key);
        }
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        let mut held = channel.unacked.take_all();
        if let Mode::Transaction(transaction) = std::mem::take(&mut channel.mode) {
            let settled = transaction.settled.into_iter();
            held.extend(settled.map(|settled| (settled.tag, settled.run)));
        }
        channel.consumers.clear();
        if let Some(reply) = channel.reply_consumer.take() {
            self.client.server.replies.remove(&reply.token);
        }
        crate::handlers::give_back(held, true);
    }

    /// Gives back everything that the connection has.
    fn release(&mut self) {
        let numbers: Vec<u16> = self.channels.keys().copied().collect();
        for number in numbers {
            self.release_channel(number);
        }
        for event in self.mailbox.take() {
            if let Event::Taken { queue, taken, .. } = event {
                queue.give_back([taken], false);
            }
        }
        for lease in std::mem::take(&mut self.leases) {
            lease.queue.give_back([lease.taken], false);
        }
    }

    /// Ends the session. What is published is stored, and what the connection had is gone when this is done.
    ///
    /// # Errors
    /// The storage has failed, so nothing may be said.
    pub(crate) async fn end(&mut self, out: &mut Outgoing) -> Result<(), Closed> {
        if let Err(Ending::Closed(closed)) = self.store(out) {
            return Err(closed);
        }
        self.release();
        let acknowledged = self.client.server.broker.store_queues();
        if let Some(link) = self.link.take() {
            link.close().await?;
        }
        match acknowledged {
            Ok(commit) => commit.await?,
            Err(error) => tracing::debug!(%error, "what was acknowledged is stored later"),
        }
        Ok(())
    }

    /// Answers a synchronous method. What was acknowledged on the channel before is stored by then.
    pub(crate) fn reply<M: ClassMethod>(
        &mut self,
        out: &mut Outgoing,
        number: u16,
        method: &M,
    ) -> Result<(), Exception> {
        let channel = self.channels.get_mut(&number);
        if channel.is_some_and(|channel| std::mem::take(&mut channel.has_settled)) {
            out.wait_for(self.client.server.broker.store_queues()?);
        }
        out.method(number, method);
        Ok(())
    }

    /// As [`Session::reply`], unless the client does not want to know.
    pub(crate) fn reply_unless<M: ClassMethod>(
        &mut self,
        out: &mut Outgoing,
        number: u16,
        no_wait: bool,
        method: &M,
    ) -> Result<(), Exception> {
        match no_wait {
            true => Ok(()),
            false => self.reply(out, number, method),
        }
    }

    /// Stores what was published since the last call, and has its publishers told when that is durable.
    pub(crate) fn store(&mut self, _out: &mut Outgoing) -> Result<(), Ending> {
        let mut refused = false;
        let mut commit = Commit::done();
        if let Some(mut publication) = self.publication.take()
            && !publication.is_empty()
        {
            match publication.store() {
                Ok(stored) => {
                    commit = stored.clone();
                    self.published = Some(stored);
                }
                Err(firth_log::AppendError::Failed) => {
                    return Err(Closed::NotDurable(firth_broker::Failed).into());
                }
                Err(error) => {
                    tracing::warn!(%error, peer = %self.client.peer, "messages could not be stored");
                    refused = true;
                }
            }
        }
        let mut unconfirmed = false;
        for (number, channel) in &mut self.channels {
            match &mut channel.mode {
                Mode::Confirm(confirms) => {
                    let outcomes = confirms.take();
                    if outcomes.is_empty() {
                        continue;
                    }
                    let outcomes = match refused {
                        true => outcomes.into_iter().map(Outcome::refuse).collect(),
                        false => outcomes,
                    };
                    self.confirms.push_back(Confirm {
                        commit: commit.clone(),
                        channel: *number,
                        outcomes,
                    });
                }
                Mode::Plain | Mode::Transaction(_) => unconfirmed = true,
            }
        }
        if refused && unconfirmed {
            // Somebody who does not ask for confirms has no other way to learn of it.
            return Err(Exception::new(ReplyCode::ResourceError, "the disk is full").into());
        }
        Ok(())
    }

    /// Stores what was published, and waits until it can be seen in its queues.
    pub(crate) async fn publish_all(&mut self, out: &mut Outgoing) -> Result<(), Ending> {
        self.store(out)?;
        if let Some(published) = self.published.take() {
            published.await.map_err(Closed::from)?;
        }
        Ok(())
    }

    /// Writes confirms of what is durable.
    pub(crate) fn poll_confirms(&mut self, cx: &mut Context<'_>, out: &mut Outgoing) -> Result<(), Ending> {
        let mut pending: Option<(u16, Outcome)> = None;
        while let Some(confirm) = self.confirms.front_mut() {
            match Pin::new(&mut confirm.commit).poll(cx) {
                Poll::Pending => break,
                Poll::Ready(durable) => durable.map_err(Closed::from)?,
            }
            let Some(confirm) = self.confirms.pop_front() else {
                break;
            };
            let is_open = |channel: &Channel| channel.state == State::Open;
            if !self.channels.get(&confirm.channel).is_some_and(is_open) {
                continue;
            }
            for outcome in confirm.outcomes {
                pending = match pending {
                    Some((channel, before)) if channel == confirm.channel => match before.joined(outcome) {
                        Some(joined) => Some((channel, joined)),
                        None => {
                            before.write(out.buf(), channel);
                            Some((channel, outcome))
                        }
                    },
                    before => {
                        if let Some((channel, before)) = before {
                            before.write(out.buf(), channel);
                        }
                        Some((confirm.channel, outcome))
                    }
                };
            }
        }
        if let Some((channel, outcome)) = pending {
            outcome.write(out.buf(), channel);
        }
        Ok(())
    }

    /// Takes what queues gave consumers of this connection, and notes which of them have ended.
    pub(crate) fn take_events(&mut self, out: &mut Outgoing) {
        for consumer in std::mem::take(&mut self.gone) {
            self.consumer_is_gone(out, consumer);
        }
        for event in self.mailbox.take() {
            match event {
                Event::Taken {
                    consumer,
                    queue,
                    taken,
                } if self.consumers.contains_key(&consumer) => self.leases.push_back(Lease {
                    consumer,
                    queue,
                    taken,
                }),
                Event::Taken { queue, taken, .. } => queue.give_back([taken], false),
                Event::Cancelled { consumer } => self.consumer_is_gone(out, consumer),
            }
        }
    }

    /// Its queue was deleted: the client is told, if it understands that.
    fn consumer_is_gone(&mut self, out: &mut Outgoing, key: u64) {
        let Some(consuming) = self.consumers.remove(&key) else {
            return;
        };
        let (of_this, others) = std::mem::take(&mut self.leases)
            .into_iter()
            .partition::<VecDeque<_>, _>(|lease| lease.consumer == key);
        self.leases = others;
        let unsent = of_this.iter().map(|lease| lease.taken.clone());
        consuming.give_back_credit(unsent);
        let Some(channel) = self.channels.get_mut(&consuming.channel) else {
            return;
        };
        channel.consumers.remove(&consuming.tag);
        if self.capabilities.consumer_cancel_notify && channel.state == State::Open {
            out.method(
                consuming.channel,
                &basic::Cancel {
                    consumer_tag: consuming.tag,
                    no_wait: true,
                },
            );
        }
    }

    /// Ends a consumer. What it acquired and was not sent goes back; what it was sent stays its own.
    pub(crate) fn cancel_consumer(&mut self, key: u64) {
        let Some(consuming) = self.consumers.remove(&key) else {
            return;
        };
        let was_last = consuming.queue.cancel(&self.mailbox, key);
        if let Some(channel) = self.channels.get_mut(&consuming.channel) {
            channel.consumers.remove(&consuming.tag);
        }
        let mut returned = Vec::new();
        for event in self.mailbox.take() {
            match event {
                Event::Taken { consumer, taken, .. } if consumer == key => returned.push(taken),
                Event::Taken {
                    consumer,
                    queue,
                    taken,
                } => self.leases.push_back(Lease {
                    consumer,
                    queue,
                    taken,
                }),
                Event::Cancelled { consumer } => self.gone.push(consumer),
            }
        }
        let (of_this, others) = std::mem::take(&mut self.leases)
            .into_iter()
            .partition::<VecDeque<_>, _>(|lease| lease.consumer == key);
        self.leases = others;
        returned.extend(of_this.into_iter().map(|lease| lease.taken));
        if !returned.is_empty() {
            consuming.give_back_credit(returned.iter().cloned());
            consuming.queue.give_back(returned, false);
        }
        if was_last && consuming.queue.definition().auto_delete {
            self.delete_unused(&consuming.queue);
        }
    }

    fn delete_unused(&self, queue: &Arc<Queue>) {
        if let Err(error) = self.virtual_host.expire_queue(queue) {
            tracing::warn!(%error, queue = queue.name(), "a queue without consumers could not be deleted");
        }
    }

    /// Closes channels on which a delivery waits for its acknowledgement for too long.
    pub(crate) fn check_timeouts(&mut self, out: &mut Outgoing) -> Result<(), Ending> {
        let timeout_ms = self.client.server.config.consumer_timeout_ms;
        if timeout_ms == 0 {
            return Ok(());
        }
        let now_ms = self.now_ms();
        let is_late = |channel: &Channel| {
            let oldest = channel.unacked.oldest_ms();
            channel.state == State::Open
                && oldest.is_some_and(|oldest| now_ms.saturating_sub(oldest) > timeout_ms)
        };
        let late: Vec<u16> = self
            .channels
            .iter()
            .filter(|(_, channel)| is_late(channel))
            .map(|(number, _)| *number)
            .collect();
        for number in late {
            let text = format!(
                "delivery acknowledgement on channel {number} timed out. Timeout value used: {timeout_ms} ms. \
                 This timeout value can be configured, see consumers doc guide to learn more"
            );
            let exception = Exception::new(ReplyCode::PreconditionFailed, text);
            tracing::warn!(peer = %self.client.peer, channel = number, "{exception}");
            self.fail_channel(out, number, &exception);
        }
        Ok(())
    }

    /// Milliseconds of the clock that goes only forward.
    pub(crate) fn now_ms(&self) -> u64 {
        let now = self.client.server.broker.clock().monotonic();
        u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Why a frame does not go on where the one before it ended.
fn unassembled(error: Unassembled, awaiting: Option<Method>, payload: &[u8]) -> Exception {
    match (error, awaiting) {
        (Unassembled::Malformed(error), _) => undecodable(error, payload),
        (error, Some(method)) => Exception::from(error).of(&method),
        (error, None) => Exception::from(error).of_frame(),
    }
}

/// A method that cannot be read. The texts are RabbitMQ's, where it has any.
fn undecodable(error: Error, payload: &[u8]) -> Exception {
    match error {
        Error::NotText { .. } => {
            Exception::new(ReplyCode::FrameError, "Malformed UTF-8 in shortstr").of_frame()
        }
        Error::Incomplete { .. } | Error::Trailing { .. } => {
            let (ids, fields) = payload.split_first_chunk::<4>().unwrap_or((&[0; 4], payload));
            let [class_high, class_low, method_high, method_low] = *ids;
            let octets: Vec<String> = fields.iter().map(u8::to_string).collect();
            let text = format!("cannot decode <<{}>>", octets.join(","));
            Exception::new(ReplyCode::FrameError, text).of_ids(
                u16::from_be_bytes([class_high, class_low]),
                u16::from_be_bytes([method_high, method_low]),
            )
        }
        error => Exception::from(error).of_frame(),
    }
}

impl Drop for Session {
    /// Also after a panic, nobody else waits for what this connection had.
    fn drop(&mut self) {
        if self.link.is_some() {
            self.release();
        }
    }
}

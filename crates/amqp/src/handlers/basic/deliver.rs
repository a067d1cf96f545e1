use bytes::{BufMut, Bytes};
use firth_amqp_codec::{
    ClassMethod, FRAME_END, FRAME_OVERHEAD, FrameKind, ReplyCode, ShortStr, basic, write_body, write_content,
    write_frame_start,
};
use firth_broker::dead_letter::deaths;
use firth_broker::{Delivered, Queue, QueueKind, Reader, Taken};

use crate::channel::{Channel, Run};
use crate::connection::{Ending, Outgoing};
use crate::exception::Exception;
use crate::properties::{Added, of_stored, with_added};
use crate::session::{Consuming, Lease, Session};

/// A longer body is sent from where it was read to.
const COPIED_BYTES_MAX: usize = 4 * 1024;
/// What is written of deliveries before the connection looks at something else.
const TURN_BYTES: usize = 256 * 1024;

impl Session {
    /// Sends what consumers acquired, as far as there is room.
    pub(crate) async fn deliver(&mut self, out: &mut Outgoing) -> Result<(), Ending> {
        self.take_events(out);
        self.deliver_replies(out);
        while out.bytes() < TURN_BYTES
            && let Some(lease) = self.leases.pop_front()
        {
            self.deliver_lease(out, lease).await?;
        }
        Ok(())
    }

    async fn deliver_lease(&mut self, out: &mut Outgoing, lease: Lease) -> Result<(), Ending> {
        let Lease {
            consumer,
            queue,
            taken,
        } = lease;
        let now_ms = self.now_ms();
        let frame_max = self.frame_max;
        let Some(consuming) = self.consumers.get(&consumer) else {
            queue.give_back([taken], false);
            return Ok(());
        };
        let Some(channel) = self.channels.get_mut(&consuming.channel) else {
            queue.give_back([taken], false);
            return Ok(());
        };
        let mut delivery = Delivery {
            out,
            consuming,
            channel,
            key: consumer,
            frame_max,
            now_ms,
            sent: Vec::new(),
        };
        let asked = length(&taken);
        let read = Reader::new(queue.clone())
            .read(taken, |delivered| delivery.send(&delivered))
            .await;
        let sent = std::mem::take(&mut delivery.sent);
        let (rest, failed) = match read {
            Ok(rest) => (rest, None),
            Err((error, taken)) => (Some(taken), Some(error)),
        };
        let left = rest.as_ref().map_or(0, length);
        let no_ack = consuming.no_ack;
        let freed = consuming.free(asked.saturating_sub(left), &sent);
        let number = consuming.channel;
        if no_ack && !sent.is_empty() {
            queue.acknowledge(sent);
        } else if freed {
            queue.deliver();
        }
        match (failed, rest) {
            (Some(error), rest) => {
                tracing::error!(%error, queue = queue.name(), "messages cannot be read");
                queue.give_back(rest, false);
                let text = format!("{} cannot be read", queue.name());
                self.fail_channel(out, number, &Exception::new(ReplyCode::ResourceLocked, text));
            }
            (None, Some(taken)) => self.leases.push_front(Lease {
                consumer,
                queue,
                taken,
            }),
            (None, None) => {}
        }
        Ok(())
    }

    fn deliver_replies(&mut self, out: &mut Outgoing) {
        for (number, reply) in self.inbox().clone().take() {
            let Some(channel) = self.channels.get_mut(&number) else {
                continue;
            };
            let Some(consumer_tag) = channel
                .reply_consumer
                .as_ref()
                .map(|consumer| consumer.tag.clone())
            else {
                continue;
            };
            let deliver = basic::Deliver {
                consumer_tag,
                delivery_tag: channel.tag(),
                redelivered: false,
                exchange: reply.exchange,
                routing_key: reply.routing_key,
            };
            let frame_max = self.frame_max;
            write_content(
                out.buf(),
                number,
                frame_max,
                &deliver,
                &reply.properties,
                &reply.body,
            );
        }
    }
}

impl Consuming {
    /// So many messages are not on their way any more, of which some were sent and the others had expired. Returns whether the
    /// queue is to know.
    fn free(&self, done: u64, sent: &[(u8, std::ops::Range<i64>)]) -> bool {
        let was_used_up = self.window.is_used_up();
        self.window.give(i64::try_from(done).unwrap_or(i64::MAX));
        let expired = i64::try_from(done)
            .unwrap_or(i64::MAX)
            .saturating_sub(sent_count(sent));
        self.prefetch.iter().for_each(|credit| credit.give(expired));
        was_used_up || expired > 0
    }
}

fn length(taken: &Taken) -> u64 {
    u64::try_from(taken.offsets.end.saturating_sub(taken.offsets.start)).unwrap_or(0)
}

fn sent_count(sent: &[(u8, std::ops::Range<i64>)]) -> i64 {
    sent.iter().fold(0, |sum, (_, offsets)| {
        sum.saturating_add(offsets.end.saturating_sub(offsets.start))
    })
}

/// Sends messages of one queue to one consumer.
struct Delivery<'a> {
    out: &'a mut Outgoing,
    consuming: &'a Consuming,
    channel: &'a mut Channel,
    key: u64,
    frame_max: u32,
    now_ms: u64,
    /// What was sent.
    sent: Vec<(u8, std::ops::Range<i64>)>,
}

impl Delivery<'_> {
    /// False when that is enough for now.
    fn send(&mut self, delivered: &Delivered<'_>) -> bool {
        let delivery_tag = self.channel.tag();
        let deliver = basic::Deliver {
            consumer_tag: self.consuming.tag.clone(),
            delivery_tag,
            redelivered: delivered.redelivered,
            exchange: short(delivered, delivered.message.exchange),
            routing_key: short(delivered, delivered.message.routing_key),
        };
        // RabbitMQ tells consumers when there is something to tell, and basic.get always.
        let counts = delivered.returns > 0 && tells_returns(&self.consuming.queue);
        write_delivered(
            self.out,
            self.consuming.channel,
            self.frame_max,
            &deliver,
            delivered,
            counts,
        );
        let offset = delivered.offset;
        let next = offset.saturating_add(1);
        match self.sent.last_mut() {
            Some((priority, offsets)) if *priority == delivered.priority && offsets.end == offset => {
                offsets.end = next;
            }
            _ => self.sent.push((delivered.priority, offset..next)),
        }
        if !self.consuming.no_ack {
            let run = run_of(&self.consuming.queue, delivered, Some(self.key), self.now_ms);
            self.channel.unacked.push(delivery_tag, run);
        }
        self.out.bytes() < TURN_BYTES
    }
}

/// Quorum queues tell how often a message was given back.
pub(super) fn tells_returns(queue: &Queue) -> bool {
    queue.definition().options.kind == QueueKind::Quorum
}

/// A delivery that is to be acknowledged.
pub(super) fn run_of(
    queue: &std::sync::Arc<Queue>,
    delivered: &Delivered<'_>,
    consumer: Option<u64>,
    delivered_ms: u64,
) -> Run {
    Run {
        queue: queue.clone(),
        taken: Taken {
            priority: delivered.priority,
            offsets: delivered.offset..delivered.offset.saturating_add(1),
            redelivered: delivered.redelivered,
            returns: delivered.returns,
        },
        consumer,
        delivered_ms,
    }
}

/// Names were at most as long when they came.
pub(super) fn short(delivered: &Delivered<'_>, bytes: &[u8]) -> ShortStr {
    ShortStr::try_from(delivered.share(bytes)).unwrap_or_default()
}

/// Writes a message behind the method that delivers it. With `counts` it says how often it was given back.
pub(super) fn write_delivered<M: ClassMethod>(
    out: &mut Outgoing,
    number: u16,
    frame_max: u32,
    method: &M,
    delivered: &Delivered<'_>,
    counts: bool,
) {
    let message = &delivered.message;
    // What came by another protocol has nothing that this one could tell.
    let properties = of_stored(message.properties).unwrap_or(&[0, 0]);
    let died = deaths(message.deaths);
    let newest_key = died.first().and_then(|death| death.routing_keys.first());
    let added = Added {
        is_rekeyed: newest_key.is_some_and(|key| *key != *message.routing_key),
        deaths: died,
        delivery_count: counts.then_some(delivered.returns),
    };
    let rewritten = match added.is_nothing() {
        true => None,
        false => with_added(properties, &added).ok(),
    };
    let properties = rewritten.as_deref().unwrap_or(properties);
    if message.body.len() <= COPIED_BYTES_MAX {
        write_content(out.buf(), number, frame_max, method, properties, message.body);
        return;
    }
    firth_amqp_codec::write_content_start(out.buf(), number, method, properties, message.body.len());
    share_body(out, number, frame_max, &delivered.share(message.body));
}

/// As [`write_body`], without copying it.
fn share_body(out: &mut Outgoing, number: u16, frame_max: u32, body: &Bytes) {
    let frame_max = usize::try_from(frame_max).unwrap_or(usize::MAX);
    let piece_bytes_max = match frame_max.saturating_sub(FRAME_OVERHEAD) {
        0 => body.len().max(1),
        bytes => bytes,
    };
    for piece in body.chunks(piece_bytes_max) {
        if piece.len() <= COPIED_BYTES_MAX {
            write_body(out.buf(), number, 0, piece);
            continue;
        }
        let size = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        write_frame_start(out.buf(), FrameKind::Body, number, size);
        out.share(body.slice_ref(piece));
        out.buf().put_u8(FRAME_END);
    }
}

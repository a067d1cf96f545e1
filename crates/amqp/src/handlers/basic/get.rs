use firth_amqp_codec::{ReplyCode, basic};
use firth_broker::authorizer::Operation;
use firth_broker::{QueueKind, Reader};

use super::deliver::{run_of, short, tells_returns, write_delivered};
use crate::arguments::named;
use crate::connection::{Ending, Outgoing};
use crate::exception::Exception;
use crate::session::Session;

impl Session {
    pub(super) async fn get(
        &mut self,
        out: &mut Outgoing,
        number: u16,
        get: &basic::Get,
    ) -> Result<(), Ending> {
        let name = self.expand_queue(number, &get.queue)?.to_string();
        self.authorize(&Operation::Get { queue: &name })?;
        let queue = self.find_queue(&name)?;
        let of = named("queue", &name, self.virtual_host_name());
        let options = &queue.definition().options;
        if options.kind == QueueKind::Stream {
            let text = format!("basic.get not supported by stream queues {of}");
            return Err(Exception::new(ReplyCode::NotImplemented, text).into());
        }
        if options.kind == QueueKind::Quorum && options.single_active_consumer {
            let text = format!(
                "cannot obtain access to locked {of}. basic.get operations are not supported by quorum queues with \
                 single active consumer"
            );
            return Err(Exception::new(ReplyCode::ResourceLocked, text).into());
        }
        // What this connection published before can be had.
        self.publish_all(out).await?;
        let (now_ms, frame_max) = (self.now_ms(), self.frame_max);
        while let Some(taken) = queue.get() {
            let message_count = u32::try_from(queue.counts().ready).unwrap_or(u32::MAX);
            let Some(channel) = self.channels.get_mut(&number) else {
                queue.give_back([taken], false);
                return Ok(());
            };
            let mut sent = None;
            let mut reader = Reader::new(queue.clone());
            let read = reader.read(taken, |delivered| {
                let delivery_tag = channel.tag();
                let get_ok = basic::GetOk {
                    delivery_tag,
                    redelivered: delivered.redelivered,
                    exchange: short(&delivered, delivered.message.exchange),
                    routing_key: short(&delivered, delivered.message.routing_key),
                    message_count,
                };
                write_delivered(out, number, frame_max, &get_ok, &delivered, tells_returns(&queue));
                let run = run_of(&queue, &delivered, None, now_ms);
                if !get.no_ack {
                    channel.unacked.push(delivery_tag, run.clone());
                }
                sent = Some(run.taken);
                false
            });
            match read.await {
                Ok(rest) => queue_back(&queue, rest),
                Err((error, taken)) => {
                    queue.give_back([taken], false);
                    let text = format!("Cannot get a message from {of}: {error}");
                    return Err(Exception::new(ReplyCode::InternalError, text).into());
                }
            }
            if let Some(taken) = sent {
                if get.no_ack {
                    queue.acknowledge([(taken.priority, taken.offsets)]);
                }
                return Ok(());
            }
            // It had expired: the next one may not have.
        }
        Ok(self.reply(out, number, &basic::GetEmpty {})?)
    }
}

fn queue_back(queue: &std::sync::Arc<firth_broker::Queue>, rest: Option<firth_broker::Taken>) {
    if let Some(rest) = rest {
        queue.give_back([rest], false);
    }
}

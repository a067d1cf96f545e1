use bytes::Bytes;
use firth_amqp_codec::{BasicProperties, Content, FieldValue, ReplyCode, ShortStr, basic, write_content};
use firth_broker::authorizer::{Operation, Passage};
use firth_broker::{Message, Publication, Targets, delay_ms};

use super::super::exchange::is_topic;
use super::not_stored;
use crate::arguments::{named, type_name};
use crate::channel::{Mode, Publish};
use crate::connection::Outgoing;
use crate::exception::{Exception, fail};
use crate::properties::{self, BCC, CC, FORMAT, MessageHeaders, headers_without, routing_keys};
use crate::replies::{REPLY_TO, REPLY_TO_PREFIX, Reply};
use crate::session::Session;

/// The longest time to live, ten years, as in RabbitMQ.
const EXPIRY_MS_MAX: u64 = 315_360_000_000;

/// What became of a message.
pub(in crate::handlers) struct Done {
    /// Queues that are full, and topics whose rules it breaks, did not take it.
    pub(in crate::handlers) refused: usize,
    /// It goes back to its publisher, who wants to know that nobody took it.
    pub(in crate::handlers) is_returned: bool,
}

impl Session {
    pub(super) fn publish(
        &mut self,
        out: &mut Outgoing,
        number: u16,
        method: basic::Publish,
        content: Content,
    ) -> Result<(), Exception> {
        if method.immediate {
            fail!(NotImplemented, "immediate=true");
        }
        let max = self.client.server.config.message_bytes_max;
        let size = content.body.len();
        if size > max {
            fail!(
                PreconditionFailed,
                "message size {size} is larger than configured max size {max}"
            );
        }
        let Content { properties, body } = content;
        // RabbitMQ has no word for it either.
        let received = BasicProperties::read(&properties)
            .map_err(|_| Exception::new(ReplyCode::InternalError, "").of_frame())?;
        let (targets, publish) = self.route(number, method, &properties, received, body)?;
        self.hand_over(out, number, publish, targets)
    }

    /// Finds where a message goes, if it may be published at all.
    fn route(
        &mut self,
        number: u16,
        method: basic::Publish,
        properties: &Bytes,
        received: BasicProperties<'_>,
        body: firth_amqp_codec::Body,
    ) -> Result<(std::sync::Arc<Targets>, Publish), Exception> {
        let (exchange, key) = (method.exchange.clone(), method.routing_key.clone());
        // A key that is no text matches what cannot be told from it.
        let exchange = String::from_utf8_lossy(exchange.as_bytes());
        let key = String::from_utf8_lossy(key.as_bytes());
        let headers = received.headers;
        let further = headers.map(routing_keys).unwrap_or_default();
        let looked_at = MessageHeaders(received.clone());
        let targets = match further.is_empty() {
            true => self.routes.route(&exchange, &key, &looked_at),
            false => {
                let keys: Vec<&str> = std::iter::once(&*key).chain(further).collect();
                self.routes.route_keys(&exchange, &keys, &looked_at)
            }
        };
        self.authorize(&Operation::Publish(Passage {
            exchange: &exchange,
            routing_key: method.routing_key.as_bytes(),
            is_topic: targets
                .as_ref()
                .is_some_and(|targets| is_topic(&targets.exchange)),
        }))?;
        let of = || named("exchange", &exchange, self.virtual_host_name());
        let Some(targets) = targets else {
            fail!(NotFound, "no {}", of());
        };
        if targets.exchange.internal {
            fail!(AccessRefused, "cannot publish to internal {}", of());
        }
        let stored = self.stored_properties(number, properties, &received)?;
        if let Some(mode) = received.delivery_mode.filter(|mode| ![1, 2].contains(mode)) {
            fail!(
                PreconditionFailed,
                "invalid message: {{delivery_mode_unknown,{mode}}}"
            );
        }
        check_user_id(&received, self.access.principal().name(), || {
            self.may_impersonate()
        })?;
        let publish = Publish {
            method,
            properties: stored,
            expiration_ms: expiration_ms(&received)?,
            delay_ms: match targets.delayed.is_empty() {
                true => None,
                false => delay_ms(&looked_at),
            },
            priority: received.priority.unwrap_or(0),
            body,
        };
        Ok((targets, publish))
    }

    /// The properties as they are kept: without what others must not see, and with where replies go.
    fn stored_properties(
        &self,
        number: u16,
        properties: &Bytes,
        received: &BasicProperties<'_>,
    ) -> Result<Vec<u8>, Exception> {
        let mut stored = Vec::with_capacity(properties.len().saturating_add(1));
        let wants_replies = received.reply_to == Some(REPLY_TO.as_bytes());
        for header in [CC, BCC] {
            let value = received.headers.and_then(|headers| headers.get(header));
            if let Some(value) = value.filter(|value| !matches!(value, FieldValue::Array(_))) {
                fail!(
                    PreconditionFailed,
                    "invalid message: {{unacceptable_type_in_header,\"{header}\",{}}}",
                    type_name(&value)
                );
            }
        }
        let secret = received.headers.filter(|headers| headers.get(BCC).is_some());
        if !wants_replies && secret.is_none() {
            stored.push(FORMAT);
            stored.extend_from_slice(properties);
            return Ok(stored);
        }
        let mut changed = received.clone();
        let headers = secret.map(|headers| headers_without(headers, BCC));
        if let Some(headers) = &headers {
            changed.headers = Some(headers.as_table());
        }
        let reply_to = match wants_replies {
            true => self.reply_address(number)?,
            false => String::new(),
        };
        if wants_replies {
            changed.reply_to = Some(reply_to.as_bytes());
        }
        properties::store(&changed, &mut stored)?;
        Ok(stored)
    }

    fn reply_address(&self, number: u16) -> Result<String, Exception> {
        let channel = self.channels.get(&number);
        match channel.and_then(|channel| channel.reply_consumer.as_ref()) {
            Some(consumer) => Ok(format!("{REPLY_TO_PREFIX}{}", consumer.token)),
            None => fail!(PreconditionFailed, "fast reply consumer does not exist"),
        }
    }

    fn may_impersonate(&self) -> bool {
        let authorizer = self.client.server.broker.users().authorizer();
        authorizer.has_tag(self.access.principal(), "impersonator")
    }

    /// Publishes, or keeps for the commit of a transaction.
    fn hand_over(
        &mut self,
        out: &mut Outgoing,
        number: u16,
        publish: Publish,
        targets: std::sync::Arc<Targets>,
    ) -> Result<(), Exception> {
        if let Some(channel) = self.channels.get_mut(&number)
            && let Mode::Transaction(transaction) = &mut channel.mode
        {
            transaction.publish(publish, targets);
            return Ok(());
        }
        let mut publication = match self.publication.take() {
            Some(publication) => publication,
            None => self.client.server.broker.publication(),
        };
        let done = self.publish_to(&mut publication, &publish, &targets);
        let is_full = publication.is_full();
        self.publication = Some(publication);
        let done = done?;
        if done.is_returned {
            self.return_message(out, number, publish);
        }
        if let Some(channel) = self.channels.get_mut(&number)
            && let Mode::Confirm(confirms) = &mut channel.mode
        {
            confirms.published(done.refused > 0);
        }
        if is_full && let Err(ending) = self.store(out) {
            return Err(ending.into_exception());
        }
        Ok(())
    }

    /// Adds a message to what is stored together.
    pub(in crate::handlers) fn publish_to(
        &mut self,
        publication: &mut Publication,
        publish: &Publish,
        targets: &Targets,
    ) -> Result<Done, Exception> {
        let body = publish.body.clone().into_bytes();
        let mut message = Message {
            exchange: publish.method.exchange.as_bytes(),
            routing_key: publish.method.routing_key.as_bytes(),
            properties: &publish.properties,
            expiration_ms: publish.expiration_ms,
            priority: publish.priority,
            body: &body,
            ..Message::default()
        };
        let name = self.virtual_host_name().clone();
        let published = publication
            .publish(&name, &targets.queues, &message)
            .map_err(not_stored)?;
        let broker = &self.client.server.broker;
        let of_topics = publication.publish_to_topics(broker, &targets.topics, &message);
        if let Some(delay_ms) = publish.delay_ms {
            for exchange in &targets.delayed {
                message.exchange = exchange.name.as_bytes();
                publication.delay(&name, delay_ms, &message).map_err(not_stored)?;
            }
        }
        let is_reply = targets.is_empty() && self.send_reply(publish, &body);
        let is_unroutable = targets.is_empty() && !is_reply;
        Ok(Done {
            refused: published.refused.saturating_add(of_topics.refused),
            is_returned: publish.method.mandatory && is_unroutable,
        })
    }

    /// Sends what is published to a channel that waits for replies.
    fn send_reply(&self, publish: &Publish, body: &Bytes) -> bool {
        if !publish.method.exchange.is_empty() {
            return false;
        }
        let key = publish.method.routing_key.to_str().unwrap_or_default();
        let Some(token) = key.strip_prefix(REPLY_TO_PREFIX) else {
            return false;
        };
        let properties = properties::of_stored(&publish.properties).unwrap_or_default();
        let reply = Reply {
            exchange: publish.method.exchange.clone(),
            routing_key: publish.method.routing_key.clone(),
            properties: Bytes::copy_from_slice(properties),
            body: body.clone(),
        };
        self.client.server.replies.send(token, reply)
    }

    /// Gives a message back that nobody took. Before it is confirmed, as the client may know by then.
    pub(in crate::handlers) fn return_message(&mut self, out: &mut Outgoing, number: u16, publish: Publish) {
        let method = basic::Return {
            reply_code: ReplyCode::NoRoute.code(),
            reply_text: ShortStr::truncated(ReplyCode::NoRoute.text()),
            exchange: publish.method.exchange,
            routing_key: publish.method.routing_key,
        };
        let properties = properties::of_stored(&publish.properties).unwrap_or_default();
        let body = publish.body.into_bytes();
        write_content(out.buf(), number, self.frame_max, &method, properties, &body);
    }
}

fn check_user_id(
    properties: &BasicProperties<'_>,
    user: &str,
    may_impersonate: impl FnOnce() -> bool,
) -> Result<(), Exception> {
    match properties.user_id {
        Some(claimed) if claimed != user.as_bytes() && !may_impersonate() => fail!(
            PreconditionFailed,
            "user_id property set to '{}' but authenticated user was '{user}'",
            String::from_utf8_lossy(claimed)
        ),
        _ => Ok(()),
    }
}

/// As RabbitMQ reads it: a sign is allowed, and nothing may follow the digits.
fn expiration_ms(properties: &BasicProperties<'_>) -> Result<Option<u64>, Exception> {
    let Some(text) = properties.expiration else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(text);
    let invalid = |why: String| {
        let text = format!("invalid expiration '{text}': {why}");
        Exception::new(ReplyCode::PreconditionFailed, text)
    };
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let end = unsigned
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(unsigned.len());
    let (digits, rest) = unsigned.split_at_checked(end).unwrap_or_default();
    if digits.is_empty() {
        return Err(invalid("no_integer".to_owned()));
    }
    if !rest.is_empty() {
        return Err(invalid(format!("{{leftover_string,\"{rest}\"}}")));
    }
    let ms = digits.parse::<u64>().unwrap_or(u64::MAX);
    if text.starts_with('-') && ms > 0 {
        return Err(invalid(format!("{{value_negative,-{ms}}}")));
    }
    if ms > EXPIRY_MS_MAX {
        return Err(invalid(format!("{{value_too_large,{digits}}}")));
    }
    Ok(Some(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expirations_are_digits() {
        let read = |text: &'static str| {
            let properties = BasicProperties {
                expiration: Some(text.as_bytes()),
                ..BasicProperties::default()
            };
            expiration_ms(&properties).map_err(|error| error.to_string())
        };
        assert_eq!(read("0"), Ok(Some(0)));
        assert_eq!(read("60000"), Ok(Some(60_000)));
        let cases = [
            ("", "no_integer"),
            ("ten", "no_integer"),
            ("1.5", "{leftover_string,\".5\"}"),
            ("-1", "{value_negative,-1}"),
            ("999999999999999", "{value_too_large,999999999999999}"),
        ];
        for (text, why) in cases {
            let error = format!("PRECONDITION_FAILED - invalid expiration '{text}': {why}");
            assert_eq!(read(text), Err(error));
        }
    }
}

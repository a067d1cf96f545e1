use firth_amqp_codec::{FieldTable, FieldValue};
use firth_broker::{Overflow, QueueKind, QueueOptions};

use super::type_name;
use crate::exception::{Exception, fail};

/// The longest time to live, ten years, as in RabbitMQ.
pub(crate) const EXPIRY_MS_MAX: i64 = 315_360_000_000;
const PRIORITY_MAX: i64 = 255;
/// Deliveries after which a quorum queue gives a message up, as in RabbitMQ 4.
const DELIVERY_LIMIT: u32 = 20;

const CLASSIC: &[&str] = &[
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    "x-single-active-consumer",
    "x-queue-type",
    "x-queue-master-locator",
];
const QUORUM: &[&str] = &[
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-overflow",
    "x-single-active-consumer",
    "x-queue-type",
    "x-quorum-initial-group-size",
    "x-delivery-limit",
    "x-message-ttl",
    "x-queue-leader-locator",
];
const STREAM: &[&str] = &[
    "x-max-length-bytes",
    "x-queue-type",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-initial-cluster-size",
    "x-queue-leader-locator",
];

/// Those that a consumer of no kind of queue but a stream may have.
pub(crate) const CONSUMER_ARGUMENTS: &[(&str, &[QueueKind])] = &[
    ("x-cancel-on-ha-failover", &[QueueKind::Classic]),
    ("x-stream-offset", &[QueueKind::Stream]),
];

/// The arguments that a queue of this kind may have; the others of these lists it may not have.
pub(crate) fn queue_arguments_of(kind: QueueKind) -> &'static [&'static str] {
    match kind {
        QueueKind::Classic => CLASSIC,
        QueueKind::Quorum => QUORUM,
        QueueKind::Stream => STREAM,
    }
}

fn kind_name(kind: QueueKind) -> &'static str {
    match kind {
        QueueKind::Classic => "rabbit_classic_queue",
        QueueKind::Quorum => "rabbit_quorum_queue",
        QueueKind::Stream => "rabbit_stream_queue",
    }
}

/// What a queue is asked to be. `of` names it in texts.
pub(crate) fn queue_options(arguments: &FieldTable, of: &str) -> Result<QueueOptions, Exception> {
    let read = Arguments { arguments, of };
    let kind = read.word(
        "x-queue-type",
        &[
            ("classic", QueueKind::Classic),
            ("quorum", QueueKind::Quorum),
            ("stream", QueueKind::Stream),
        ],
        |word| format!("\"unsupported queue type '{word}'\""),
    )?;
    let kind = kind.unwrap_or_default();
    let read = Arguments {
        arguments: &allowed(arguments, kind, of)?,
        of,
    };
    read.check_what_means_nothing()?;
    let overflow = read.word(
        "x-overflow",
        &[
            ("drop-head", Overflow::DropHead),
            ("reject-publish", Overflow::RejectPublish),
            ("reject-publish-dlx", Overflow::RejectPublishDeadLetter),
        ],
        |_| "invalid_overflow".to_owned(),
    )?;
    let dead_letter_exchange = read.text("x-dead-letter-exchange")?;
    let dead_letter_routing_key = read.text("x-dead-letter-routing-key")?;
    if dead_letter_routing_key.is_some() && dead_letter_exchange.is_none() {
        return Err(read.invalid(
            "x-dead-letter-routing-key",
            "routing_key_but_no_dlx_defined".to_owned(),
        ));
    }
    let delivery_limit = read.number("x-delivery-limit")?;
    let delivery_limit = delivery_limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
    Ok(QueueOptions {
        kind,
        message_ttl_ms: read.expiry("x-message-ttl", false)?,
        expires_ms: read.expiry("x-expires", true)?,
        max_length: read.number("x-max-length")?,
        max_length_bytes: read.number("x-max-length-bytes")?,
        overflow: overflow.unwrap_or_default(),
        dead_letter_exchange,
        dead_letter_routing_key,
        max_priority: read.priority()?,
        single_active_consumer: read.flag("x-single-active-consumer")?,
        delivery_limit: match kind {
            QueueKind::Quorum => Some(delivery_limit.unwrap_or(DELIVERY_LIMIT)),
            QueueKind::Classic | QueueKind::Stream => None,
        },
        max_age_ms: read.max_age()?,
        max_segment_size_bytes: read.number("x-stream-max-segment-size-bytes")?,
    })
}

/// The arguments, if none is among them that only queues of other kinds have.
fn allowed(arguments: &FieldTable, kind: QueueKind, of: &str) -> Result<FieldTable, Exception> {
    let own = queue_arguments_of(kind);
    for (name, _) in arguments.iter() {
        let name = String::from_utf8_lossy(name);
        let is_of_others = [CLASSIC, QUORUM, STREAM]
            .iter()
            .any(|arguments| arguments.contains(&&*name));
        if is_of_others && !own.contains(&&*name) {
            fail!(
                PreconditionFailed,
                "invalid arg '{name}' for {of} of queue type {}",
                kind_name(kind)
            );
        }
    }
    Ok(arguments.clone())
}

struct Arguments<'a> {
    arguments: &'a FieldTable,
    of: &'a str,
}

impl Arguments<'_> {
    fn invalid(&self, argument: &str, why: String) -> Exception {
        let text = format!("invalid arg '{argument}' for {}: {why}", self.of);
        Exception::new(firth_amqp_codec::ReplyCode::PreconditionFailed, text)
    }

    fn unacceptable(&self, argument: &str, value: &FieldValue<'_>) -> Exception {
        self.invalid(argument, format!("{{unacceptable_type,{}}}", type_name(value)))
    }

    /// Arguments that have to be right and change nothing here.
    fn check_what_means_nothing(&self) -> Result<(), Exception> {
        let modes = [("default", ()), ("lazy", ())];
        self.word("x-queue-mode", &modes, |word| {
            format!("\"unsupported queue mode '{word}'\"")
        })?;
        if let Some(version) = self
            .number("x-queue-version")?
            .filter(|version| ![1, 2].contains(version))
        {
            return Err(self.invalid(
                "x-queue-version",
                format!("\"unsupported queue version '{version}'\""),
            ));
        }
        let strategies = [("at-most-once", ()), ("at-least-once", ())];
        self.word("x-dead-letter-strategy", &strategies, |_| {
            "invalid_dlx_strategy".to_owned()
        })?;
        Ok(())
    }

    fn integer(&self, argument: &str) -> Result<Option<i64>, Exception> {
        let Some(value) = self.arguments.get(argument) else {
            return Ok(None);
        };
        match value.as_integer() {
            Some(integer) => Ok(Some(integer)),
            None => {
                let why = format!("\"expected integer, got {}\"", type_name(&value));
                Err(self.invalid(argument, why))
            }
        }
    }

    fn number(&self, argument: &str) -> Result<Option<u64>, Exception> {
        let Some(integer) = self.integer(argument)? else {
            return Ok(None);
        };
        match u64::try_from(integer) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(self.invalid(argument, format!("{{value_negative,{integer}}}"))),
        }
    }

    fn expiry(&self, argument: &str, above_zero: bool) -> Result<Option<u64>, Exception> {
        let Some(ms) = self.integer(argument)? else {
            return Ok(None);
        };
        if above_zero && ms == 0 {
            return Err(self.invalid(argument, "{value_zero,0}".to_owned()));
        }
        if ms > EXPIRY_MS_MAX {
            return Err(self.invalid(argument, format!("{{value_too_large,{ms}}}")));
        }
        match u64::try_from(ms) {
            Ok(ms) => Ok(Some(ms)),
            Err(_) => Err(self.invalid(argument, format!("{{value_negative,{ms}}}"))),
        }
    }

    fn priority(&self) -> Result<Option<u8>, Exception> {
        let Some(priority) = self.number("x-max-priority")? else {
            return Ok(None);
        };
        match u8::try_from(priority) {
            Ok(priority) if i64::from(priority) <= PRIORITY_MAX => Ok(Some(priority)),
            _ => Err(self.invalid("x-max-priority", format!("{{max_value_exceeded,{priority}}}"))),
        }
    }

    fn flag(&self, argument: &str) -> Result<bool, Exception> {
        match self.arguments.get(argument) {
            None => Ok(false),
            Some(FieldValue::Bool(flag)) => Ok(flag),
            Some(value) => Err(self.unacceptable(argument, &value)),
        }
    }

    fn text(&self, argument: &str) -> Result<Option<Box<str>>, Exception> {
        match self.arguments.get(argument) {
            None => Ok(None),
            Some(FieldValue::LongStr(text)) => Ok(Some(String::from_utf8_lossy(text).into())),
            Some(value) => Err(self.unacceptable(argument, &value)),
        }
    }

    fn word<T: Copy>(
        &self,
        argument: &str,
        words: &[(&str, T)],
        unknown: impl FnOnce(&str) -> String,
    ) -> Result<Option<T>, Exception> {
        let Some(found) = self.text(argument)? else {
            return Ok(None);
        };
        match words.iter().find(|(word, _)| **word == *found) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => Err(self.invalid(argument, unknown(&found))),
        }
    }

    /// A number and a unit: `7D`.
    fn max_age(&self) -> Result<Option<u64>, Exception> {
        let argument = "x-max-age";
        let Some(text) = self.text(argument)? else {
            return Ok(None);
        };
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at_checked(end).unwrap_or_default();
        let unit_ms: Option<u64> = match unit {
            "Y" => Some(365 * 24 * 3_600_000),
            "M" => Some(30 * 24 * 3_600_000),
            "D" => Some(24 * 3_600_000),
            "h" => Some(3_600_000),
            "m" => Some(60_000),
            "s" => Some(1000),
            _ => None,
        };
        let number = digits.parse::<u64>().ok().filter(|number| *number > 0);
        let age = number
            .zip(unit_ms)
            .and_then(|(number, unit)| number.checked_mul(unit));
        match age {
            Some(age) => Ok(Some(age)),
            None => Err(self.invalid(argument, "invalid_max_age".to_owned())),
        }
    }
}

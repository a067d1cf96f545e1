//! The methods of AMQP 0-9-1 with RabbitMQ's extensions, as its specification lists them (amqp0-9-1.extended.xml).

/// A method: name, class, method, and its fields in order as `name:type`. Fields that the specification reserves are named so, and
/// are neither printed nor asked for. A `+` ahead of the name says that content follows.
type Row = (&'static str, u16, u16, &'static str);

const METHODS: &[Row] = &[
    (
        "connection.start",
        10,
        10,
        "version-major:octet version-minor:octet server-properties:table mechanisms:longstr locales:longstr",
    ),
    (
        "connection.start-ok",
        10,
        11,
        "client-properties:table mechanism:shortstr response:longstr locale:shortstr",
    ),
    ("connection.secure", 10, 20, "challenge:longstr"),
    ("connection.secure-ok", 10, 21, "response:longstr"),
    (
        "connection.tune",
        10,
        30,
        "channel-max:short frame-max:long heartbeat:short",
    ),
    (
        "connection.tune-ok",
        10,
        31,
        "channel-max:short frame-max:long heartbeat:short",
    ),
    (
        "connection.open",
        10,
        40,
        "virtual-host:shortstr reserved-1:shortstr reserved-2:bit",
    ),
    ("connection.open-ok", 10, 41, "reserved-1:shortstr"),
    (
        "connection.close",
        10,
        50,
        "reply-code:short reply-text:shortstr class-id:short method-id:short",
    ),
    ("connection.close-ok", 10, 51, ""),
    ("connection.blocked", 10, 60, "reason:shortstr"),
    ("connection.unblocked", 10, 61, ""),
    (
        "connection.update-secret",
        10,
        70,
        "new-secret:longstr reason:shortstr",
    ),
    ("connection.update-secret-ok", 10, 71, ""),
    ("channel.open", 20, 10, "reserved-1:shortstr"),
    ("channel.open-ok", 20, 11, "reserved-1:longstr"),
    ("channel.flow", 20, 20, "active:bit"),
    ("channel.flow-ok", 20, 21, "active:bit"),
    (
        "channel.close",
        20,
        40,
        "reply-code:short reply-text:shortstr class-id:short method-id:short",
    ),
    ("channel.close-ok", 20, 41, ""),
    (
        "access.request",
        30,
        10,
        "realm:shortstr exclusive:bit passive:bit active:bit write:bit read:bit",
    ),
    ("access.request-ok", 30, 11, "reserved-1:short"),
    (
        "exchange.declare",
        40,
        10,
        "reserved-1:short exchange:shortstr type:shortstr passive:bit durable:bit auto-delete:bit internal:bit \
         nowait:bit arguments:table",
    ),
    ("exchange.declare-ok", 40, 11, ""),
    (
        "exchange.delete",
        40,
        20,
        "reserved-1:short exchange:shortstr if-unused:bit nowait:bit",
    ),
    ("exchange.delete-ok", 40, 21, ""),
    (
        "exchange.bind",
        40,
        30,
        "reserved-1:short destination:shortstr source:shortstr routing-key:shortstr nowait:bit arguments:table",
    ),
    ("exchange.bind-ok", 40, 31, ""),
    (
        "exchange.unbind",
        40,
        40,
        "reserved-1:short destination:shortstr source:shortstr routing-key:shortstr nowait:bit arguments:table",
    ),
    ("exchange.unbind-ok", 40, 51, ""),
    (
        "queue.declare",
        50,
        10,
        "reserved-1:short queue:shortstr passive:bit durable:bit exclusive:bit auto-delete:bit nowait:bit \
         arguments:table",
    ),
    (
        "queue.declare-ok",
        50,
        11,
        "queue:shortstr message-count:long consumer-count:long",
    ),
    (
        "queue.bind",
        50,
        20,
        "reserved-1:short queue:shortstr exchange:shortstr routing-key:shortstr nowait:bit arguments:table",
    ),
    ("queue.bind-ok", 50, 21, ""),
    (
        "queue.purge",
        50,
        30,
        "reserved-1:short queue:shortstr nowait:bit",
    ),
    ("queue.purge-ok", 50, 31, "message-count:long"),
    (
        "queue.delete",
        50,
        40,
        "reserved-1:short queue:shortstr if-unused:bit if-empty:bit nowait:bit",
    ),
    ("queue.delete-ok", 50, 41, "message-count:long"),
    (
        "queue.unbind",
        50,
        50,
        "reserved-1:short queue:shortstr exchange:shortstr routing-key:shortstr arguments:table",
    ),
    ("queue.unbind-ok", 50, 51, ""),
    (
        "basic.qos",
        60,
        10,
        "prefetch-size:long prefetch-count:short global:bit",
    ),
    ("basic.qos-ok", 60, 11, ""),
    (
        "basic.consume",
        60,
        20,
        "reserved-1:short queue:shortstr consumer-tag:shortstr no-local:bit no-ack:bit exclusive:bit nowait:bit \
         arguments:table",
    ),
    ("basic.consume-ok", 60, 21, "consumer-tag:shortstr"),
    ("basic.cancel", 60, 30, "consumer-tag:shortstr nowait:bit"),
    ("basic.cancel-ok", 60, 31, "consumer-tag:shortstr"),
    (
        "+basic.publish",
        60,
        40,
        "reserved-1:short exchange:shortstr routing-key:shortstr mandatory:bit immediate:bit",
    ),
    (
        "+basic.return",
        60,
        50,
        "reply-code:short reply-text:shortstr exchange:shortstr routing-key:shortstr",
    ),
    (
        "+basic.deliver",
        60,
        60,
        "consumer-tag:shortstr delivery-tag:longlong redelivered:bit exchange:shortstr routing-key:shortstr",
    ),
    ("basic.get", 60, 70, "reserved-1:short queue:shortstr no-ack:bit"),
    (
        "+basic.get-ok",
        60,
        71,
        "delivery-tag:longlong redelivered:bit exchange:shortstr routing-key:shortstr message-count:long",
    ),
    ("basic.get-empty", 60, 72, "reserved-1:shortstr"),
    ("basic.ack", 60, 80, "delivery-tag:longlong multiple:bit"),
    ("basic.reject", 60, 90, "delivery-tag:longlong requeue:bit"),
    ("basic.recover-async", 60, 100, "requeue:bit"),
    ("basic.recover", 60, 110, "requeue:bit"),
    ("basic.recover-ok", 60, 111, ""),
    (
        "basic.nack",
        60,
        120,
        "delivery-tag:longlong multiple:bit requeue:bit",
    ),
    ("confirm.select", 85, 10, "nowait:bit"),
    ("confirm.select-ok", 85, 11, ""),
    ("tx.select", 90, 10, ""),
    ("tx.select-ok", 90, 11, ""),
    ("tx.commit", 90, 20, ""),
    ("tx.commit-ok", 90, 21, ""),
    ("tx.rollback", 90, 30, ""),
    ("tx.rollback-ok", 90, 31, ""),
];

/// The properties of a message, in the order of their flags from bit 15 down.
pub(crate) const PROPERTIES: &[(&str, Kind)] = &[
    ("content-type", Kind::ShortString),
    ("content-encoding", Kind::ShortString),
    ("headers", Kind::Table),
    ("delivery-mode", Kind::Octet),
    ("priority", Kind::Octet),
    ("correlation-id", Kind::ShortString),
    ("reply-to", Kind::ShortString),
    ("expiration", Kind::ShortString),
    ("message-id", Kind::ShortString),
    ("timestamp", Kind::LongLong),
    ("type", Kind::ShortString),
    ("user-id", Kind::ShortString),
    ("app-id", Kind::ShortString),
    ("cluster-id", Kind::ShortString),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bit,
    Octet,
    Short,
    Long,
    LongLong,
    ShortString,
    LongString,
    Table,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Method {
    pub name: &'static str,
    pub class: u16,
    pub method: u16,
    fields: &'static str,
    /// Whether a header and a body follow.
    pub content: bool,
}

impl Method {
    pub(crate) fn named(name: &str) -> Option<Method> {
        METHODS.iter().map(Method::of).find(|method| method.name == name)
    }

    pub(crate) fn numbered(class: u16, method: u16) -> Option<Method> {
        METHODS
            .iter()
            .map(Method::of)
            .find(|found| found.class == class && found.method == method)
    }

    fn of(&(name, class, method, fields): &Row) -> Method {
        Method {
            name: name.trim_start_matches('+'),
            class,
            method,
            fields,
            content: name.starts_with('+'),
        }
    }

    /// Whether a method named after this one answers it, or the answer is of another name.
    pub(crate) fn is_answered(self) -> bool {
        let other = ["connection.start-ok", "basic.get"];
        Method::named(&format!("{}-ok", self.name)).is_some() || other.contains(&self.name)
    }

    pub(crate) fn fields(self) -> impl Iterator<Item = (&'static str, Kind)> {
        self.fields.split_whitespace().map(|field| {
            let (name, kind) = field
                .split_once(':')
                .expect("every row names the types of its fields");
            let kind = match kind {
                "bit" => Kind::Bit,
                "octet" => Kind::Octet,
                "short" => Kind::Short,
                "long" => Kind::Long,
                "longlong" => Kind::LongLong,
                "shortstr" => Kind::ShortString,
                "longstr" => Kind::LongString,
                "table" => Kind::Table,
                other => unreachable!("a row names the type {other}"),
            };
            (name, kind)
        })
    }
}

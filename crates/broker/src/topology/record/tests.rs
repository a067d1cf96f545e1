use bytes::Bytes;
use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::fields::Malformed;
use crate::topology::BindingDetails;
use crate::{
    Destination, ExchangeKind, HashOn, HashProperty, HeaderMatch, HeaderValue, MatchMode, Overflow, QueueKind,
};

fn text() -> impl Strategy<Value = Arc<str>> {
    any::<String>().prop_map(Arc::from)
}

fn boxed() -> impl Strategy<Value = Box<str>> {
    any::<String>().prop_map(Box::from)
}

fn exchange_kind() -> impl Strategy<Value = ExchangeKind> {
    let hash_on = prop_oneof![
        Just(HashOn::RoutingKey),
        boxed().prop_map(HashOn::Header),
        Just(HashOn::Property(HashProperty::MessageId)),
        Just(HashOn::Property(HashProperty::CorrelationId)),
        Just(HashOn::Property(HashProperty::Timestamp)),
    ];
    let kind = prop_oneof![
        Just(ExchangeKind::Direct),
        Just(ExchangeKind::Fanout),
        Just(ExchangeKind::Topic),
        Just(ExchangeKind::Headers),
        hash_on.prop_map(ExchangeKind::ConsistentHash),
    ];
    (kind, any::<bool>()).prop_map(|(kind, is_delayed)| match is_delayed {
        true => ExchangeKind::Delayed(Box::new(kind)),
        false => kind,
    })
}

fn options() -> impl Strategy<Value = QueueOptions> {
    let kind = prop_oneof![
        Just(QueueKind::Classic),
        Just(QueueKind::Quorum),
        Just(QueueKind::Stream)
    ];
    let overflow = prop_oneof![
        Just(Overflow::DropHead),
        Just(Overflow::RejectPublish),
        Just(Overflow::RejectPublishDeadLetter)
    ];
    let limits = proptest::array::uniform6(any::<Option<u64>>());
    let dead_letters = (of(boxed()), of(boxed()));
    let others = (any::<Option<u8>>(), any::<bool>(), any::<Option<u32>>());
    (kind, overflow, limits, dead_letters, others).prop_map(
        |(kind, overflow, limits, dead_letters, others)| {
            let [
                message_ttl_ms,
                expires_ms,
                max_length,
                max_length_bytes,
                max_age_ms,
                max_segment_size_bytes,
            ] = limits;
            let (dead_letter_exchange, dead_letter_routing_key) = dead_letters;
            let (max_priority, single_active_consumer, delivery_limit) = others;
            QueueOptions {
                kind,
                message_ttl_ms,
                expires_ms,
                max_length,
                max_length_bytes,
                overflow,
                dead_letter_exchange,
                dead_letter_routing_key,
                max_priority,
                single_active_consumer,
                delivery_limit,
                max_age_ms,
                max_segment_size_bytes,
            }
        },
    )
}

fn header_match() -> impl Strategy<Value = HeaderMatch> {
    let bytes = || any::<Vec<u8>>().prop_map(std::borrow::Cow::Owned);
    let value = prop_oneof![
        Just(HeaderValue::Void),
        any::<bool>().prop_map(HeaderValue::Bool),
        any::<i128>().prop_map(HeaderValue::Integer),
        any::<f32>().prop_map(|float| HeaderValue::Float(float.into())),
        any::<(u8, u32)>().prop_map(|(scale, value)| HeaderValue::Decimal { scale, value }),
        bytes().prop_map(HeaderValue::Bytes),
        bytes().prop_map(HeaderValue::Table),
        bytes().prop_map(HeaderValue::Array),
    ];
    use MatchMode::{All, AllWithX, Any, AnyWithX};
    let mode = prop_oneof![Just(All), Just(Any), Just(AllWithX), Just(AnyWithX)];
    let conditions = proptest::collection::vec((boxed(), value), 0..4);
    (mode, conditions).prop_map(|(mode, conditions)| HeaderMatch { mode, conditions })
}

fn binding() -> impl Strategy<Value = Binding> {
    let destination = prop_oneof![
        text().prop_map(Destination::Queue),
        text().prop_map(Destination::Exchange),
        text().prop_map(Destination::Topic)
    ];
    let details = (any::<Vec<u8>>(), of(header_match()), any::<Option<[u8; 16]>>());
    let details = details.prop_map(|(arguments, header_match, topic)| BindingDetails {
        arguments: arguments.into(),
        header_match,
        topic: topic.map(TopicId),
    });
    let binding = (text(), destination, boxed(), details);
    binding.prop_map(|(source, destination, key, details)| Binding {
        source,
        destination,
        key,
        details: details.boxed(),
    })
}

fn stored() -> impl Strategy<Value = Stored> {
    let ids = any::<(u64, u64)>().prop_map(|(queue, virtual_host)| Stored::Ids(Ids { queue, virtual_host }));
    let settings = any::<(String, Vec<String>, Option<u64>, Option<u64>)>().prop_map(
        |(description, tags, max_queues, max_connections)| VirtualHostSettings {
            description,
            tags,
            max_queues,
            max_connections,
        },
    );
    let id = || any::<u64>().prop_map(VirtualHostId);
    let virtual_host =
        (id(), text(), settings).prop_map(|(id, name, settings)| Stored::VirtualHost(id, name, settings));
    let exchange = (
        text(),
        exchange_kind(),
        any::<[bool; 3]>(),
        of(text()),
        any::<Vec<u8>>(),
    );
    let exchange = exchange.prop_map(|(name, kind, flags, alternate_exchange, arguments)| Exchange {
        name,
        kind,
        durable: flags[0],
        auto_delete: flags[1],
        internal: flags[2],
        alternate_exchange,
        arguments: arguments.into(),
        predeclared: false,
    });
    let topic = || any::<Option<[u8; 16]>>().prop_map(|topic| topic.map(TopicId));
    let queue = (
        any::<u64>(),
        text(),
        any::<bool>(),
        options(),
        any::<Vec<u8>>(),
        topic(),
    );
    let queue = queue.prop_map(|(id, name, auto_delete, options, arguments, topic)| StoredQueue {
        id: QueueId(id),
        name,
        auto_delete,
        options,
        arguments,
        topic,
    });
    prop_oneof![
        ids,
        virtual_host,
        (id(), exchange).prop_map(|(id, exchange)| Stored::Exchange(id, exchange)),
        (id(), queue).prop_map(|(id, queue)| Stored::Queue(id, queue)),
        (id(), binding()).prop_map(|(id, binding)| Stored::Binding(id, binding)),
    ]
}

/// Not a number is equal to nothing, and is written like everything else.
fn is_same(a: &Stored, b: &Stored) -> bool {
    a == b || a.record() == b.record()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_stored_reads_back(stored in stored()) {
        let read = decode(&stored.record());
        prop_assert!(read.as_ref().is_ok_and(|read| is_same(read, &stored)), "{:?}", read);
        let removal = stored.removal();
        prop_assert_eq!((removal.key, removal.value), (stored.record().key, None));
    }

    #[test]
    fn a_record_that_is_cut_or_continued_is_malformed(stored in stored()) {
        let record = stored.record();
        let value = record.value.clone().unwrap();
        for end in 0..value.len() {
            let cut = StateRecord { value: Some(value.slice(..end)), ..record.clone() };
            prop_assert!(decode(&cut).is_err());
        }
        let longer = StateRecord { value: Some([&value[..], &[0]].concat().into()), ..record.clone() };
        prop_assert_eq!(decode(&longer), Err(Malformed("length")));
        for end in 0..record.key.len() {
            let cut = StateRecord { key: record.key.slice(..end), ..record.clone() };
            prop_assert!(decode(&cut).is_err());
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_malformed(key: Vec<u8>, value: Vec<u8>) {
        let _ = decode(&StateRecord { key: key.into(), value: Some(value.into()) });
    }
}

/// What versions of the format have in common is in these.
fn examples() -> [(&'static str, Stored); 5] {
    let id = VirtualHostId(2);
    let settings = VirtualHostSettings {
        description: "d".to_owned(),
        tags: vec!["t".to_owned()],
        max_queues: Some(3),
        max_connections: None,
    };
    let exchange = Exchange {
        name: "x".into(),
        kind: ExchangeKind::Delayed(Box::new(ExchangeKind::ConsistentHash(HashOn::Header("h".into())))),
        durable: true,
        auto_delete: false,
        internal: true,
        alternate_exchange: Some("a".into()),
        arguments: [9].into(),
        predeclared: false,
    };
    let queue = StoredQueue {
        id: QueueId(7),
        name: "q".into(),
        auto_delete: true,
        options: QueueOptions {
            kind: QueueKind::Quorum,
            message_ttl_ms: Some(1),
            overflow: Overflow::RejectPublish,
            dead_letter_exchange: Some("".into()),
            max_priority: Some(4),
            single_active_consumer: true,
            delivery_limit: Some(20),
            ..QueueOptions::default()
        },
        arguments: vec![8],
        topic: Some(TopicId([6; 16])),
    };
    let conditions = vec![
        ("v".into(), HeaderValue::Void),
        ("i".into(), HeaderValue::Integer(-1)),
        ("b".into(), HeaderValue::Bytes((&[5][..]).into())),
    ];
    let details = BindingDetails {
        arguments: [4].into(),
        header_match: Some(HeaderMatch {
            mode: MatchMode::AnyWithX,
            conditions,
        }),
        topic: None,
    };
    let binding = Binding {
        source: "x".into(),
        destination: Destination::Queue("q".into()),
        key: "k".into(),
        details: details.boxed(),
    };
    [
        (
            "ids",
            Stored::Ids(Ids {
                queue: 1,
                virtual_host: 2,
            }),
        ),
        ("virtual-host", Stored::VirtualHost(id, "v".into(), settings)),
        ("exchange", Stored::Exchange(id, exchange)),
        ("queue", Stored::Queue(id, queue)),
        ("binding", Stored::Binding(id, binding)),
    ]
}

#[test]
fn the_bytes_of_version_1_stay_what_they_are() {
    let expected = include_str!("golden.txt");
    let mut written = String::new();
    for (name, stored) in examples() {
        let record = stored.record();
        assert_eq!(decode(&record), Ok(stored));
        let value = record.value.unwrap();
        written += &format!("{name}\n  {}\n  {}\n", hex(&record.key), hex(&value));
    }
    assert_eq!(written, expected);
}

fn hex(bytes: &Bytes) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn exchanges_lie_in_one_another_no_deeper_than_one_could_declare() {
    let (_, exchange) = examples().into_iter().nth(2).unwrap();
    let record = exchange.record();
    let value = record.value.clone().unwrap();
    // The mark of a delayed exchange follows the version.
    let deeper = [&value[..1], &[6; 100_000], &value[1..]].concat();
    let record = StateRecord {
        value: Some(deeper.into()),
        ..record
    };
    assert_eq!(decode(&record), Err(Malformed("kind of exchange")));
}

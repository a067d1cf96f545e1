//! What clients get wrong on an open connection: which code and text it has, and what of the connection is left.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use bytes::{BufMut, BytesMut};
use firth_amqp::Config;
use firth_amqp_codec::*;
use support::{TestBroker, short, table};

fn bytes_of(write: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut buf = BytesMut::new();
    write(&mut buf);
    buf
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> BytesMut {
    bytes_of(|buf| {
        buf.put_u8(kind);
        buf.put_u16(channel);
        buf.put_u32(u32::try_from(payload.len()).unwrap());
        buf.put_slice(payload);
        buf.put_u8(FRAME_END);
    })
}

/// Each kind of frame in each state that it may not come in.
fn misplaced() -> Vec<(Vec<u8>, &'static str)> {
    let publish = bytes_of(|buf| {
        let routing_key = short("q");
        write_method(
            buf,
            1,
            &basic::Publish {
                routing_key,
                ..Default::default()
            },
        );
    });
    let header = frame(2, 1, b"\0\x3c\0\0\0\0\0\0\0\0\0\x02\0\0");
    let started = |more: &[u8]| [&publish[..], more].concat();
    vec![
        (
            frame(2, 0, b"\0\x3c\0\0\0\0\0\0\0\0\0\0").to_vec(),
            "505 UNEXPECTED_FRAME - type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,0>>",
        ),
        (
            frame(2, 0, b"\0\x3c").to_vec(),
            "501 FRAME_ERROR - type 2, all octets = <<0,60>>: unknown_frame",
        ),
        (
            frame(3, 0, b"body").to_vec(),
            "505 UNEXPECTED_FRAME - type 3, all octets = <<\"body\">>",
        ),
        (
            frame(3, 0, b"more than sixteen").to_vec(),
            "505 UNEXPECTED_FRAME - type 3, first 16 octets = <<\"more than sixtee\">>",
        ),
        (
            frame(8, 1, b"").to_vec(),
            "505 UNEXPECTED_FRAME - type 8, all octets = <<>>",
        ),
        (
            frame(8, 0, b"x").to_vec(),
            "501 FRAME_ERROR - type 8, all octets = <<\"x\">>: unknown_frame",
        ),
        (
            header.to_vec(),
            "505 UNEXPECTED_FRAME - expected method frame, got non method frame instead",
        ),
        (
            started(&frame(3, 1, b"x")),
            "505 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead",
        ),
        (
            started(&frame(2, 1, b"\0\x5a\0\0\0\0\0\0\0\0\0\x02\0\0")),
            "505 UNEXPECTED_FRAME - expected content header for class 60, got one for class 90 instead",
        ),
        (
            started(&[&header[..], &publish[..]].concat()),
            "505 UNEXPECTED_FRAME - expected content body, got non content body frame instead",
        ),
        (
            started(&[&header[..], &frame(3, 1, b"abc")[..]].concat()),
            "501 FRAME_ERROR - content body frame exceeds remaining content size",
        ),
    ]
}

/// What is no frame, or none that may come at all.
fn malformed() -> Vec<(Vec<u8>, &'static str)> {
    vec![
        (
            frame(4, 0, b"").to_vec(),
            "501 FRAME_ERROR - type 4, all octets = <<>>: unknown_frame",
        ),
        (
            b"\x08\0\0\0\0\0\0\xcd".to_vec(),
            "501 FRAME_ERROR - type 8, all octets = <<>>: {invalid_frame_end_marker,205}",
        ),
        (
            b"\x01\0\x01\0\x02\0\x01".to_vec(),
            "501 FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,131073,131064}",
        ),
        (
            frame(1, 1, b"\0\x63\0\x01").to_vec(),
            "540 NOT_IMPLEMENTED - there is no method 1 of class 99",
        ),
    ]
}

#[tokio::test]
async fn frames_that_may_not_come_end_the_connection() {
    let broker = TestBroker::start().await;
    for (bytes, text) in misplaced().into_iter().chain(malformed()) {
        let mut client = broker.client().await;
        client.write(&bytes).await;
        assert_eq!(client.connection_closed().await, text);
    }
    broker.stop().await;
}

/// Each kind of method in a state that it may not come in.
#[tokio::test]
async fn methods_that_may_not_come_end_the_connection() {
    let broker = TestBroker::start().await;
    let expected_open = "504 CHANNEL_ERROR - expected 'channel.open'";
    let unimplemented = "503 COMMAND_INVALID - unimplemented method";
    let unexpected = "504 CHANNEL_ERROR - unexpected method in connection state running";
    let declare = queue::Declare::default();
    let cases: Vec<(u16, Method, &str)> = vec![
        (0, connection::Open::default().into(), unexpected),
        (0, connection::StartOk::default().into(), unexpected),
        (0, connection::TuneOk::default().into(), unexpected),
        (0, connection::CloseOk {}.into(), unexpected),
        (0, connection::Blocked::default().into(), unexpected),
        (0, declare.clone().into(), unexpected),
        (2, declare.into(), expected_open),
        (2, channel::Close::default().into(), expected_open),
        (2, channel::CloseOk {}.into(), expected_open),
        (2, basic::Ack::default().into(), expected_open),
        (
            1,
            channel::Open {}.into(),
            "504 CHANNEL_ERROR - second 'channel.open' seen",
        ),
        (1, channel::CloseOk {}.into(), unimplemented),
        (1, channel::FlowOk::default().into(), unimplemented),
        (1, connection::Close::default().into(), unimplemented),
        (1, queue::DeclareOk::default().into(), unimplemented),
        (1, exchange::DeclareOk {}.into(), unimplemented),
        (1, basic::ConsumeOk::default().into(), unimplemented),
        (1, confirm::SelectOk {}.into(), unimplemented),
        (1, tx::CommitOk {}.into(), unimplemented),
        (1, access::RequestOk::default().into(), unimplemented),
        (
            1,
            channel::Flow { active: false }.into(),
            "540 NOT_IMPLEMENTED - active=false",
        ),
        (
            1,
            basic::Recover { requeue: false }.into(),
            "540 NOT_IMPLEMENTED - requeue=false",
        ),
        (
            1,
            basic::Qos {
                prefetch_size: 1,
                ..Default::default()
            }
            .into(),
            "540 NOT_IMPLEMENTED - prefetch_size!=0 (1)",
        ),
        (
            1,
            exchange::Declare {
                exchange: short("x"),
                kind: short("other"),
                ..Default::default()
            }
            .into(),
            "503 COMMAND_INVALID - unknown exchange type 'other'",
        ),
    ];
    for (channel, method, text) in cases {
        let mut client = broker.client().await;
        client.write(&bytes_of(|buf| method.write(buf, channel))).await;
        assert_eq!(client.connection_closed().await, text, "{}", method.name());
    }
    broker.stop().await;
}

#[tokio::test]
async fn the_error_names_the_method() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let passive = queue::Declare {
        queue: short("missing"),
        passive: true,
        ..Default::default()
    };
    client.send(1, &passive).await;
    let (_, command) = client.next().await.unwrap();
    let Method::Channel(channel::Method::Close(close)) = command.method else {
        panic!("{command:?} came");
    };
    assert_eq!((close.reply_code, close.class_id, close.method_id), (404, 50, 10));
    assert_eq!(close.reply_text, "NOT_FOUND - no queue 'missing' in vhost '/'");
    // Until the client has answered, what it sends on the channel means nothing.
    client.declare_unanswered(1, "q").await;
    client.send(1, &channel::CloseOk {}).await;
    client.open(1).await;
    client.send(1, &passive_of("q")).await;
    assert_eq!(
        client.closed(1).await,
        "404 NOT_FOUND - no queue 'q' in vhost '/'"
    );
    client.close().await;
    broker.stop().await;
}

fn passive_of(queue: &str) -> queue::Declare {
    queue::Declare {
        queue: short(queue),
        passive: true,
        ..Default::default()
    }
}

fn declare_durable(queue: &str, arguments: FieldTable) -> queue::Declare {
    queue::Declare {
        queue: short(queue),
        durable: true,
        arguments,
        ..Default::default()
    }
}

fn declared_otherwise() -> Vec<(Method, &'static str)> {
    vec![
        (
            queue::Declare {
                durable: false,
                ..declare_durable("q", FieldTable::default())
            }
            .into(),
            "406 PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but \
             current is 'true'",
        ),
        (
            declare_durable("q", table(&[("x-max-length", FieldValue::I32(5))])).into(),
            "406 PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received the value \
             '5' of type 'signedint' but current is none",
        ),
        (
            queue::Declare {
                exclusive: true,
                ..declare_durable("q", FieldTable::default())
            }
            .into(),
            "405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be \
             originally declared on another connection or the exclusive property value does not match that of the \
             original declaration.",
        ),
        (
            declare_durable("amq.mine", FieldTable::default()).into(),
            "403 ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
        ),
    ]
}

fn of_exchanges() -> Vec<(Method, &'static str)> {
    vec![
        (
            exchange::Declare {
                exchange: short("amq.direct"),
                kind: short("fanout"),
                durable: true,
                ..Default::default()
            }
            .into(),
            "406 PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.direct' in vhost '/': received \
             'fanout' but current is 'direct'",
        ),
        (
            exchange::Delete {
                exchange: short("amq.direct"),
                ..Default::default()
            }
            .into(),
            "403 ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed",
        ),
        (
            exchange::Delete::default().into(),
            "403 ACCESS_REFUSED - operation not permitted on the default exchange",
        ),
        (
            queue::Bind {
                queue: short("q"),
                exchange: short("missing"),
                ..Default::default()
            }
            .into(),
            "404 NOT_FOUND - no exchange 'missing' in vhost '/'",
        ),
        (
            queue::Bind {
                queue: short("missing"),
                exchange: short("amq.direct"),
                ..Default::default()
            }
            .into(),
            "404 NOT_FOUND - no queue 'missing' in vhost '/'",
        ),
    ]
}

fn of_channels() -> Vec<(Method, &'static str)> {
    vec![
        (
            queue::Purge::default().into(),
            "404 NOT_FOUND - no previously declared queue",
        ),
        (
            tx::Commit {}.into(),
            "406 PRECONDITION_FAILED - channel is not transactional",
        ),
        (
            tx::Rollback {}.into(),
            "406 PRECONDITION_FAILED - channel is not transactional",
        ),
        (
            basic::Ack::default().into(),
            "406 PRECONDITION_FAILED - unknown delivery tag 0",
        ),
        (
            basic::Reject {
                delivery_tag: 9,
                requeue: true,
            }
            .into(),
            "406 PRECONDITION_FAILED - unknown delivery tag 9",
        ),
        (
            basic::Consume {
                queue: short("missing"),
                ..Default::default()
            }
            .into(),
            "404 NOT_FOUND - no queue 'missing' in vhost '/'",
        ),
        (
            basic::Consume {
                queue: short("amq.rabbitmq.reply-to"),
                ..Default::default()
            }
            .into(),
            "406 PRECONDITION_FAILED - reply consumer cannot acknowledge",
        ),
    ]
}

/// What ends a channel and leaves the connection and its other channels alive.
#[tokio::test]
async fn soft_errors_end_the_channel_alone() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.declare(1, "q").await;
    client.open(2).await;
    let cases = declared_otherwise()
        .into_iter()
        .chain(of_exchanges())
        .chain(of_channels());
    for (method, text) in cases {
        client.write(&bytes_of(|buf| method.write(buf, 2))).await;
        assert_eq!(client.closed(2).await, text);
        client.open(2).await;
    }
    // The first channel has seen nothing of it.
    client.declare(1, "q").await;
    client.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn publishing_is_refused_as_in_rabbitmq() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let internal = exchange::Declare {
        exchange: short("inside"),
        kind: short("direct"),
        internal: true,
        ..Default::default()
    };
    let _: exchange::DeclareOk = client.call(1, &internal).await;
    let none = BasicProperties::default();
    let cases = [
        (
            "missing",
            none.clone(),
            "404 NOT_FOUND - no exchange 'missing' in vhost '/'",
        ),
        (
            "inside",
            none.clone(),
            "403 ACCESS_REFUSED - cannot publish to internal exchange 'inside' in vhost '/'",
        ),
        (
            "",
            BasicProperties {
                user_id: Some(b"other"),
                ..none.clone()
            },
            "406 PRECONDITION_FAILED - user_id property set to 'other' but authenticated user was 'guest'",
        ),
        (
            "",
            BasicProperties {
                expiration: Some(b"soon"),
                ..none.clone()
            },
            "406 PRECONDITION_FAILED - invalid expiration 'soon': no_integer",
        ),
        (
            "",
            BasicProperties {
                reply_to: Some(b"amq.rabbitmq.reply-to"),
                ..none.clone()
            },
            "406 PRECONDITION_FAILED - fast reply consumer does not exist",
        ),
    ];
    for (exchange, properties, text) in cases {
        let publish = basic::Publish {
            exchange: short(exchange),
            ..Default::default()
        };
        client.publish_with(1, &publish, &properties, b"body").await;
        assert_eq!(client.closed(1).await, text);
        client.open(1).await;
    }
    client.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_before_it_is_here() {
    let config = Config {
        message_bytes_max: 1000,
        ..Config::default()
    };
    let broker = TestBroker::with(config).await;
    let mut client = broker.client().await;
    client.declare(1, "q").await;
    let text = "406 PRECONDITION_FAILED - message size 5000 is larger than configured max size 1000";
    client.publish(1, "", "q", &[0; 5000]).await;
    assert_eq!(client.closed(1).await, text);
    // The rest of its body is nobody's.
    client.open(1).await;
    assert_eq!(client.declare(1, "q").await.message_count, 0);
    // One of 16 EiB, of which nothing comes.
    let mut promised = bytes_of(|buf| write_method(buf, 1, &basic::Publish::default()));
    promised.extend_from_slice(&frame(2, 1, b"\0\x3c\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0"));
    client.write(&promised).await;
    assert!(
        client
            .closed(1)
            .await
            .starts_with("406 PRECONDITION_FAILED - message size 18446744073709551615")
    );
    client.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn channels_are_counted() {
    let config = Config {
        channel_max: 3,
        ..Config::default()
    };
    let broker = TestBroker::with(config).await;
    let mut client = broker.client().await;
    client.open(2).await;
    client.open(65_535).await;
    client.send(4, &channel::Open {}).await;
    assert_eq!(
        client.connection_closed().await,
        "530 NOT_ALLOWED - number of channels opened (3) has reached the negotiated channel_max (3)"
    );
    broker.stop().await;
}

#[tokio::test]
async fn an_exclusive_queue_is_its_connections_own_and_ends_with_it() {
    let broker = TestBroker::start().await;
    let (mut owner, mut other) = (broker.client().await, broker.client().await);
    let declare = queue::Declare {
        queue: short("mine"),
        exclusive: true,
        ..Default::default()
    };
    let _: queue::DeclareOk = owner.call(1, &declare).await;
    let get = basic::Get {
        queue: short("mine"),
        no_ack: true,
    };
    other.send(1, &get).await;
    assert!(
        other
            .closed(1)
            .await
            .starts_with("405 RESOURCE_LOCKED - cannot obtain exclusive access")
    );
    owner.close().await;
    other.open(1).await;
    other.send(1, &passive_of("mine")).await;
    assert_eq!(
        other.closed(1).await,
        "404 NOT_FOUND - no queue 'mine' in vhost '/'"
    );
    other.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn deliveries_that_are_not_acknowledged_end_the_channel() {
    let config = Config {
        heartbeat_s: 1,
        ..Config::default()
    };
    let broker = TestBroker::with(config).await;
    let mut client = broker.raw().await;
    client.log_in_with("/", 1).await;
    client.open(1).await;
    client.declare(1, "q").await;
    client.publish(1, "", "q", b"1").await;
    client.get(1, "q", false).await.unwrap();
    broker.pass(30 * 60 * 1000 + 1);
    assert_eq!(
        client.closed(1).await,
        "406 PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1800000 ms. \
         This timeout value can be configured, see consumers doc guide to learn more"
    );
    broker.stop().await;
}

#[tokio::test]
async fn clients_are_told_that_the_broker_stops() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let stopped = tokio::spawn(broker.stop());
    assert_eq!(
        client.connection_closed().await,
        "320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
    );
    stopped.await.unwrap();
}

/// What a user may do is asked anew when it changes, also of a connection that has been told yes before.
#[tokio::test]
async fn what_is_revoked_is_refused_on_an_open_connection() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.declare(1, "q").await;
    let users = broker.broker.users();
    let mut permissions = users.permissions().remove(0);
    permissions.configure = "^$".into();
    users.set_permissions(permissions).await.unwrap();
    client.declare_unanswered(1, "q").await;
    assert_eq!(
        client.closed(1).await,
        "403 ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'guest'"
    );
    broker.stop().await;
}

#[tokio::test]
async fn who_is_deleted_is_cut_off() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.declare(1, "q").await;
    client.consume(1, "q", "tag", false).await;
    broker.broker.users().delete("guest").await.unwrap();
    assert_eq!(
        client.connection_closed().await,
        "320 CONNECTION_FORCED - user 'guest' is deleted"
    );
    broker.stop().await;
}

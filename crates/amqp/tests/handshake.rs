//! From the protocol header to connection.open-ok, and what a client may get wrong on the way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use firth_amqp::Config;
use firth_amqp_codec::*;
use firth_broker::VirtualHostSettings;
use support::{Client, TestBroker, long, short, start_ok, table};

/// As far as connection.tune.
async fn tuned(client: &mut Client) -> connection::Tune {
    client.write(&PROTOCOL_HEADER).await;
    let _: connection::Start = client.expect(0).await;
    client.call(0, &start_ok("guest", "guest")).await
}

fn tune_ok(channel_max: u16, frame_max: u32) -> connection::TuneOk {
    connection::TuneOk {
        channel_max,
        frame_max,
        heartbeat: 0,
    }
}

#[tokio::test]
async fn the_server_says_what_it_is_and_offers_what_rabbitmq_offers() {
    let broker = TestBroker::start().await;
    let mut client = broker.raw().await;
    client.write(&PROTOCOL_HEADER).await;
    let start: connection::Start = client.expect(0).await;
    assert_eq!((start.version_major, start.version_minor), (0, 9));
    assert_eq!(start.mechanisms, long("PLAIN AMQPLAIN"));
    let Some(FieldValue::Table(capabilities)) = start.server_properties.get("capabilities") else {
        panic!("no capabilities in {:?}", start.server_properties);
    };
    for capability in ["publisher_confirms", "basic.nack", "direct_reply_to"] {
        assert_eq!(
            capabilities.get(capability),
            Some(FieldValue::Bool(true)),
            "{capability}"
        );
    }
    let tune: connection::Tune = client.call(0, &start_ok("guest", "guest")).await;
    assert_eq!(
        (tune.channel_max, tune.frame_max, tune.heartbeat),
        (2047, 131_072, 60)
    );
    broker.stop().await;
}

#[tokio::test]
async fn another_protocol_is_answered_by_the_header_that_is_served() {
    let broker = TestBroker::start().await;
    for header in [b"AMQP\0\x01\0\0", b"GET / HT", b"AMQP\x01\x01\x08\0"] {
        let mut client = broker.raw().await;
        client.write(header).await;
        assert_eq!(client.rest().await, PROTOCOL_HEADER);
    }
    // 0-9 is served as 0-9-1.
    let mut client = broker.raw().await;
    client.write(b"AMQP\x01\x01\0\x09").await;
    let _: connection::Start = client.expect(0).await;
    broker.stop().await;
}

#[tokio::test]
async fn everything_may_be_sent_at_once() {
    let broker = TestBroker::start().await;
    let mut client = broker.raw().await;
    let mut all = bytes::BytesMut::from(&PROTOCOL_HEADER[..]);
    write_method(&mut all, 0, &start_ok("guest", "guest"));
    write_method(&mut all, 0, &tune_ok(2047, 131_072));
    write_heartbeat(&mut all);
    let virtual_host = short("/");
    write_method(&mut all, 0, &connection::Open { virtual_host });
    write_method(&mut all, 1, &channel::Open {});
    client.write(&all).await;
    let _: channel::OpenOk = client.expect(1).await;
    client.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn amqplain_logs_in() {
    let broker = TestBroker::start().await;
    let mut client = broker.raw().await;
    client.write(&PROTOCOL_HEADER).await;
    let _: connection::Start = client.expect(0).await;
    let login = table(&[
        ("LOGIN", FieldValue::LongStr(b"guest")),
        ("PASSWORD", FieldValue::LongStr(b"guest")),
    ]);
    let start_ok = connection::StartOk {
        mechanism: short("AMQPLAIN"),
        response: LongStr::try_from(login.as_bytes().clone()).unwrap(),
        ..start_ok("guest", "guest")
    };
    let _: connection::Tune = client.call(0, &start_ok).await;
    broker.stop().await;
}

#[tokio::test]
async fn a_wrong_password_is_told_to_who_wants_to_know() {
    let broker = TestBroker::start().await;
    for (name, password) in [("guest", "wrong"), ("nobody", "guest"), ("guest", "")] {
        let mut client = broker.raw().await;
        client.write(&PROTOCOL_HEADER).await;
        let _: connection::Start = client.expect(0).await;
        client.send(0, &start_ok(name, password)).await;
        assert_eq!(
            client.connection_closed().await,
            "403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker \
             logfile."
        );
    }
    broker.stop().await;
}

#[tokio::test]
async fn who_does_wrong_before_the_login_is_not_told() {
    let broker = TestBroker::start().await;
    let mut wrong = Vec::new();
    let mut frame = |write: &dyn Fn(&mut bytes::BytesMut)| {
        let mut buf = bytes::BytesMut::new();
        write(&mut buf);
        wrong.push(buf);
    };
    let unasked = connection::StartOk {
        client_properties: FieldTable::default(),
        ..start_ok("guest", "wrong")
    };
    frame(&|buf| write_method(buf, 0, &unasked));
    frame(&|buf| {
        let mechanism = short("OTHER");
        write_method(
            buf,
            0,
            &connection::StartOk {
                mechanism,
                ..unasked.clone()
            },
        );
    });
    frame(&|buf| write_method(buf, 0, &connection::OpenOk {}));
    frame(&|buf| write_method(buf, 1, &channel::Open {}));
    frame(&|buf| write_method(buf, 0, &tune_ok(1, 4096)));
    frame(&|buf| buf.extend_from_slice(b"\x01\0\0\0\0\0\x04\0\x0a\0\x0b\xce"));
    frame(&|buf| buf.extend_from_slice(b"\x01\0\0\xff\xff\xff\xff"));
    frame(&|buf| buf.extend_from_slice(b"\x02\0\0\0\0\0\0\xce"));
    frame(&|buf| buf.extend_from_slice(b"\x08\0\0\0\0\0\0\xcd"));
    let mut tries = tokio::task::JoinSet::new();
    for bytes in wrong {
        let mut client = broker.raw().await;
        tries.spawn(async move {
            client.write(&PROTOCOL_HEADER).await;
            let _: connection::Start = client.expect(0).await;
            client.write(&bytes).await;
            assert_eq!(client.rest().await, b"", "{bytes:?}");
        });
    }
    tries.join_all().await;
    broker.stop().await;
}

#[tokio::test]
async fn what_was_offered_is_the_limit() {
    let broker = TestBroker::start().await;
    let cases = [
        (
            2047,
            4095,
            "negotiated frame_max = 4095 is lower than the minimum allowed value (4096)",
        ),
        (
            2047,
            131_073,
            "negotiated frame_max = 131073 is higher than the maximum allowed value (131072)",
        ),
        (
            2047,
            0,
            "negotiated frame_max = 0 is higher than the maximum allowed value (131072)",
        ),
        (
            2048,
            4096,
            "negotiated channel_max = 2048 is higher than the maximum allowed value (2047)",
        ),
        (
            0,
            4096,
            "negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)",
        ),
    ];
    for (channel_max, frame_max, text) in cases {
        let mut client = broker.raw().await;
        tuned(&mut client).await;
        client.send(0, &tune_ok(channel_max, frame_max)).await;
        assert_eq!(
            client.connection_closed().await,
            format!("530 NOT_ALLOWED - {text}")
        );
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_virtual_host_has_to_be_there_and_open_to_the_user() {
    let broker = TestBroker::start().await;
    let other = VirtualHostSettings::default();
    let created = broker
        .broker
        .topology()
        .create_virtual_host("other", other)
        .unwrap();
    created.commit.await.unwrap();
    let cases = [
        ("missing", "vhost missing not found"),
        ("other", "access to vhost 'other' refused for user 'guest'"),
    ];
    for (virtual_host, text) in cases {
        let mut client = broker.raw().await;
        tuned(&mut client).await;
        client.send(0, &tune_ok(2047, 131_072)).await;
        let virtual_host = short(virtual_host);
        client.send(0, &connection::Open { virtual_host }).await;
        assert_eq!(
            client.connection_closed().await,
            format!("530 NOT_ALLOWED - {text}")
        );
    }
    let limited = VirtualHostSettings {
        max_connections: Some(1),
        ..Default::default()
    };
    let virtual_host = broker.broker.topology().virtual_host("/").unwrap();
    virtual_host.configure(limited).unwrap().await.unwrap();
    let first = broker.connect().await;
    let mut second = broker.raw().await;
    tuned(&mut second).await;
    second.send(0, &tune_ok(2047, 131_072)).await;
    let virtual_host = short("/");
    second.send(0, &connection::Open { virtual_host }).await;
    assert_eq!(
        second.connection_closed().await,
        "530 NOT_ALLOWED - access to vhost '/' refused for user 'guest': connection limit (1) is reached"
    );
    first.close().await;
    broker.stop().await;
}

#[tokio::test]
async fn who_takes_too_long_to_log_in_is_cut_off() {
    let config = Config {
        handshake_ms_max: 100,
        unauthenticated_max: 2,
        ..Config::default()
    };
    let broker = TestBroker::with(config).await;
    let mut silent = broker.raw().await;
    let mut slow = broker.raw().await;
    slow.write(&PROTOCOL_HEADER[..7]).await;
    // There is room for two who have not logged in; the third is served when one of them is gone.
    let third = broker.connect().await;
    assert_eq!(silent.rest().await, b"");
    assert_eq!(slow.rest().await, b"");
    third.close().await;
    broker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_are_given_and_awaited() {
    let broker = TestBroker::start().await;
    let mut client = broker.raw().await;
    tuned(&mut client).await;
    let with_heartbeat = connection::TuneOk {
        heartbeat: 2,
        ..tune_ok(2047, 131_072)
    };
    client.send(0, &with_heartbeat).await;
    let virtual_host = short("/");
    let _: connection::OpenOk = client.call(0, &connection::Open { virtual_host }).await;
    let began = tokio::time::Instant::now();
    let rest = client.rest().await;
    let heartbeat = b"\x08\0\0\0\0\0\0\xce";
    assert!(rest.len() >= heartbeat.len() && rest.chunks(heartbeat.len()).all(|chunk| chunk == heartbeat));
    let waited = began.elapsed();
    assert!(
        waited >= Duration::from_secs(4) && waited <= Duration::from_secs(7),
        "{waited:?}"
    );
    broker.stop().await;
}

//! Every method and header against amq-protocol: what we write it reads, as the same values, and what it writes of them is
//! byte for byte what we wrote.

use amq_protocol::frame::{AMQPFrame, WriteContext, gen_frame, parse_frame};
use bytes::BytesMut;
use proptest::prelude::*;

use crate::arbitrary::{Arbitrary, Entropy};
use crate::content::{BasicProperties, write_content};
use crate::method::Method;
use crate::primitives::ShortStr;
use crate::{FieldTable, basic};

fn read(bytes: &[u8]) -> (AMQPFrame, &[u8]) {
    let (rest, frame) = parse_frame(bytes).unwrap();
    (frame, rest)
}

fn write(frame: &AMQPFrame) -> Vec<u8> {
    gen_frame(frame)(WriteContext::from(Vec::new())).unwrap().write
}

/// The bytes of a debug print that are letters, digits or signs of both sides: names of methods and fields.
fn plain(text: &str) -> String {
    text.chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_lowercase()
}

/// Methods of which it writes a field as a constant, whatever it read: the ticket, and a size that RabbitMQ does not serve.
const CONSTANT_THERE: [&str; 2] = ["access.request-ok", "basic.qos"];

fn agree(method: &Method) {
    let mut buf = BytesMut::new();
    method.write(&mut buf, 3);
    let (frame, rest) = read(&buf);
    assert!(rest.is_empty());
    let AMQPFrame::Method(3, class) = &frame else {
        panic!("{} became {frame:?}", method.name());
    };
    let theirs = plain(&format!("{class:?}"));
    let name = plain(method.name().split_once('.').unwrap().1);
    assert!(theirs.contains(&name), "{} became {class:?}", method.name());
    if !CONSTANT_THERE.contains(&method.name()) {
        assert_eq!(write(&frame), buf, "{method:?}");
    }
}

fn properties<'a>(
    entropy: &mut Entropy,
    texts: &'a [ShortStr],
    headers: &'a FieldTable,
) -> BasicProperties<'a> {
    let flags = entropy.next();
    let text = |bit: usize| (flags >> bit & 1 == 1).then(|| &texts[bit].as_bytes()[..]);
    BasicProperties {
        content_type: text(0),
        content_encoding: text(1),
        headers: (flags >> 2 & 1 == 1).then(|| headers.as_table()),
        delivery_mode: (flags >> 3 & 1 == 1).then_some(flags as u8),
        priority: (flags >> 4 & 1 == 1).then_some(flags as u8),
        correlation_id: text(5),
        reply_to: text(6),
        expiration: text(7),
        message_id: text(8),
        timestamp: (flags >> 9 & 1 == 1).then_some(flags),
        kind: text(10),
        user_id: text(11),
        app_id: text(12),
        cluster_id: text(13),
    }
}

fn headers_agree(entropy: &mut Entropy) {
    let texts: Vec<ShortStr> = (0..14).map(|_| ShortStr::arbitrary(entropy)).collect();
    let headers = FieldTable::arbitrary(entropy);
    let properties = properties(entropy, &texts, &headers);
    let mut list = BytesMut::new();
    properties.write(&mut list).unwrap();
    assert_eq!(BasicProperties::read(&list).as_ref(), Ok(&properties));

    let deliver = basic::Deliver::arbitrary(entropy);
    let body = vec![b'b'; entropy.below(10_000)];
    let mut buf = BytesMut::new();
    write_content(&mut buf, 1, 4096, &deliver, &list, &body);
    let mut rest = &buf[..];
    let mut their_body = Vec::new();
    while !rest.is_empty() {
        let (frame, after) = read(rest);
        let written = write(&frame);
        assert_eq!(written, rest[..rest.len() - after.len()], "{frame:?}");
        assert!(written.len() <= 4096 || matches!(frame, AMQPFrame::Header(..)));
        match frame {
            AMQPFrame::Header(1, header) => {
                assert_eq!(header.class_id, 60);
                assert_eq!(header.body_size, body.len() as u64);
                assert_eq!(*header.properties.delivery_mode(), properties.delivery_mode);
                assert_eq!(*header.properties.timestamp(), properties.timestamp);
                let expiration = header.properties.expiration().as_ref();
                assert_eq!(
                    expiration.map(|text| text.as_str().as_bytes()),
                    properties.expiration
                );
            }
            AMQPFrame::Body(1, piece) => their_body.extend_from_slice(&piece),
            AMQPFrame::Method(1, _) => {}
            frame => panic!("a content has no {frame:?}"),
        }
        rest = after;
    }
    assert_eq!(their_body, body);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn methods(seed: u64) {
        for method in Method::arbitrary_of_all(&mut Entropy(seed)) {
            agree(&method);
        }
    }

    #[test]
    fn contents(seed: u64) {
        headers_agree(&mut Entropy(seed));
    }
}

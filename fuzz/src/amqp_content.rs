//! Reading any bytes as the payload of a content header: its properties are the same when they are written and read again.

use bytes::{Bytes, BytesMut};
use firth_amqp_codec::{BasicProperties, ContentHeader};

pub fn run(bytes: &[u8]) {
    let payload = Bytes::copy_from_slice(bytes);
    let Ok(header) = ContentHeader::decode(&payload) else {
        return;
    };
    assert_eq!(header.properties, bytes[12..]);
    let Ok(properties) = BasicProperties::read(&header.properties) else {
        return;
    };
    let mut written = BytesMut::new();
    properties
        .write(&mut written)
        .expect("what was read can be written");
    // The two lowest flags say nothing, and are not written.
    assert_eq!(written[0], header.properties[0]);
    assert_eq!(written[1], header.properties[1] & !3);
    assert_eq!(written[2..], header.properties[2..]);
    let again = BasicProperties::read(&written).expect("what was written can be read");
    assert_eq!(format!("{again:?}"), format!("{properties:?}"));
}

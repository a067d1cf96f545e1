use super::*;
use crate::field_table::FieldTable;

#[test]
fn every_property_is_kept() {
    let headers = FieldTable::build(|headers| {
        headers.put_str("x-a", "b");
    })
    .unwrap();
    let properties = BasicProperties {
        content_type: Some(b"text/plain"),
        content_encoding: Some(b"gzip"),
        headers: Some(headers.as_table()),
        delivery_mode: Some(2),
        priority: Some(9),
        correlation_id: Some(b"c"),
        reply_to: Some(b"r"),
        expiration: Some(b"60000"),
        message_id: Some(b"m"),
        timestamp: Some(1_700_000_000),
        kind: Some(b"t"),
        user_id: Some(b"guest"),
        app_id: Some(b"a"),
        cluster_id: Some(b""),
    };
    let mut buf = BytesMut::new();
    properties.write(&mut buf).unwrap();
    assert_eq!(buf[..2], [0b1111_1111, 0b1111_1100]);
    assert_eq!(BasicProperties::read(&buf), Ok(properties));
    for cut in 0..buf.len() {
        assert!(BasicProperties::read(&buf[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn the_lowest_flags_say_nothing() {
    let properties = BasicProperties::read(b"\x10\x03\x02").unwrap();
    assert_eq!(properties.delivery_mode, Some(2));
    let trailing = Error::Trailing {
        field: "properties",
        bytes: 1,
    };
    assert_eq!(BasicProperties::read(b"\x10\0\x02!"), Err(trailing));
}

#[test]
fn a_property_fits_its_length() {
    let properties = BasicProperties {
        reply_to: Some(&[b'r'; 256]),
        ..BasicProperties::default()
    };
    assert!(matches!(
        properties.write(&mut BytesMut::new()),
        Err(Error::TooLong { length: 256, .. })
    ));
}

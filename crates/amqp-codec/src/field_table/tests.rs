use bytes::Bytes;

use super::*;

fn nested(depth: usize) -> Vec<u8> {
    let mut table = Vec::new();
    for _ in 1..depth {
        let mut outer = b"\x01aF".to_vec();
        outer.extend_from_slice(&u32::try_from(table.len()).unwrap().to_be_bytes());
        outer.append(&mut table);
        table = outer;
    }
    table
}

#[test]
fn what_is_written_is_read() {
    let array_source = FieldTable::build(|table| {
        table.put_array("a", |array| {
            array
                .push(FieldValue::I8(-1))
                .push_str("two")
                .push_table(|table| {
                    table.put("three", FieldValue::Void);
                });
        });
    })
    .unwrap();
    let array = array_source.get("a").unwrap();
    let values = [
        FieldValue::Bool(true),
        FieldValue::I8(-8),
        FieldValue::U8(200),
        FieldValue::I16(-16),
        FieldValue::U16(60_000),
        FieldValue::I32(-32),
        FieldValue::U32(4_000_000_000),
        FieldValue::I64(i64::MIN),
        FieldValue::F32(0.5),
        FieldValue::F64(-0.25),
        FieldValue::Decimal { scale: 2, value: 314 },
        FieldValue::LongStr(b"text"),
        FieldValue::Bytes(b"\0\xff"),
        FieldValue::Timestamp(u64::MAX),
        FieldValue::Table(array_source.as_table()),
        array,
        FieldValue::Void,
    ];
    let table = FieldTable::build(|table| {
        for (index, value) in values.into_iter().enumerate() {
            table.put(&index.to_string(), value);
        }
    })
    .unwrap();
    let read: Vec<_> = table.iter().map(|(_, value)| value).collect();
    assert_eq!(read, values);
    assert_eq!(table.get("13"), Some(FieldValue::Timestamp(u64::MAX)));
    assert_eq!(table.get("17"), None);
    assert_eq!(
        format!("{array_source:?}"),
        r#"{"a": [-1, "two", {"three": void}]}"#
    );
}

#[test]
fn of_two_fields_of_one_name_the_first_counts() {
    let table = FieldTable::build(|table| {
        table.put_str("a", "first").put_str("a", "second");
    });
    assert_eq!(table.unwrap().get("a").unwrap().as_str(), Some("first"));
}

#[test]
fn both_letters_of_a_long_are_read() {
    for letter in [b'l', b'L'] {
        let bytes = [b"\x01a".as_slice(), &[letter], &7_i64.to_be_bytes()].concat();
        let table = FieldTable::try_from(Bytes::from(bytes)).unwrap();
        assert_eq!(table.get("a").unwrap().as_integer(), Some(7));
    }
}

#[test]
fn what_is_no_table_is_refused() {
    let cases: [(&[u8], Error); 6] = [
        (b"\x02a", Error::incomplete(1)),
        (b"\x01a", Error::incomplete(1)),
        (b"\x01aI\0\0\0", Error::incomplete(1)),
        (b"\x01aS\xff\xff\xff\xffx", Error::incomplete(0xffff_fffe)),
        (b"\x01az", Error::malformed("type of a field", u64::from(b'z'))),
        (b"\x01aF\0\0\0\x02\x01b", Error::incomplete(1)),
    ];
    for (bytes, error) in cases {
        assert_eq!(FieldTable::try_from(Bytes::copy_from_slice(bytes)), Err(error));
    }
}

#[test]
fn depth_is_bounded() {
    assert!(Table::read(&nested(TABLE_DEPTH_MAX)).is_ok());
    let too_deep = Error::malformed("depth of a table", TABLE_DEPTH_MAX as u64 + 1);
    assert_eq!(Table::read(&nested(TABLE_DEPTH_MAX + 1)), Err(too_deep));
    assert_eq!(Table::read(&nested(1000)), Err(too_deep));
    let deepest = nested(TABLE_DEPTH_MAX);
    let built = FieldTable::build(|table| {
        table.put("outer", FieldValue::Table(Table::read(&deepest).unwrap()));
    });
    assert_eq!(built, Err(too_deep));
}

#[test]
fn names_fit_their_length() {
    let built = FieldTable::build(|table| {
        table.put_str(&"n".repeat(256), "");
    });
    let too_long = Error::TooLong {
        what: "name of a field",
        length: 256,
        max: 255,
    };
    assert_eq!(built, Err(too_long));
}

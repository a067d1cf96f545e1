//! Reading any bytes as a field table: what is read means the same when it is written and read again, and each field that it
//! tells of lies in it.

use bytes::Bytes;
use firth_amqp_codec::{FieldTable, FieldValue, TABLE_DEPTH_MAX, Table};

pub fn run(bytes: &[u8]) {
    let read = Table::read(bytes);
    let owned = FieldTable::try_from(Bytes::copy_from_slice(bytes));
    assert_eq!(read.is_ok(), owned.is_ok());
    let Ok(table) = read else { return };
    let mut length = 0;
    for (name, value) in table {
        length += 1 + name.len() + 1 + size(value, TABLE_DEPTH_MAX);
    }
    assert_eq!(length, bytes.len(), "all of it is in its fields");

    let written = FieldTable::build(|writer| {
        for (name, value) in table {
            writer.put_bytes(name, value);
        }
    });
    let written = written.expect("what was read can be written");
    assert_eq!(format!("{written:?}"), format!("{table:?}"));
    assert_eq!(written.as_bytes().len(), bytes.len());
}

fn size(value: FieldValue<'_>, depth_left: usize) -> usize {
    assert!(depth_left > 0);
    match value {
        FieldValue::Void => 0,
        FieldValue::Bool(_) | FieldValue::I8(_) | FieldValue::U8(_) => 1,
        FieldValue::I16(_) | FieldValue::U16(_) => 2,
        FieldValue::I32(_) | FieldValue::U32(_) | FieldValue::F32(_) => 4,
        FieldValue::Decimal { .. } => 5,
        FieldValue::I64(_) | FieldValue::F64(_) | FieldValue::Timestamp(_) => 8,
        FieldValue::LongStr(bytes) | FieldValue::Bytes(bytes) => 4 + bytes.len(),
        FieldValue::Table(table) => {
            let fields = table
                .iter()
                .map(|(name, value)| 1 + name.len() + 1 + size(value, depth_left - 1));
            let size: usize = fields.sum();
            assert_eq!(size, table.as_bytes().len());
            4 + size
        }
        FieldValue::Array(array) => {
            let size: usize = array.iter().map(|value| 1 + size(value, depth_left - 1)).sum();
            assert_eq!(size, array.as_bytes().len());
            4 + size
        }
    }
}

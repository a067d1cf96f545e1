//! The arguments of what is declared, as JSON. They are stored as an AMQP field table.

use firth_amqp_codec::{Array, FieldValue, Table};
use serde_json::{Map, Value};

/// What cannot be read is shown as none: it was written by a protocol and read when it was declared.
pub(super) fn shown(arguments: &[u8]) -> Value {
    let table = Table::read(arguments).ok();
    table.map_or_else(|| Value::Object(Map::new()), of_table)
}

fn of_table(table: Table<'_>) -> Value {
    let fields = table.iter().map(|(name, value)| (text(name), of_value(value)));
    Value::Object(fields.collect())
}

fn of_array(array: Array<'_>) -> Value {
    Value::Array(array.iter().map(of_value).collect())
}

fn of_value(value: FieldValue<'_>) -> Value {
    match value {
        FieldValue::Bool(value) => value.into(),
        FieldValue::I8(value) => value.into(),
        FieldValue::U8(value) => value.into(),
        FieldValue::I16(value) => value.into(),
        FieldValue::U16(value) => value.into(),
        FieldValue::I32(value) => value.into(),
        FieldValue::U32(value) => value.into(),
        FieldValue::I64(value) => value.into(),
        // JSON has no infinities; they are shown as nothing.
        FieldValue::F32(value) => f64::from(value).into(),
        FieldValue::F64(value) => value.into(),
        FieldValue::Decimal { scale, value } => (f64::from(value) / 10_f64.powi(scale.into())).into(),
        FieldValue::LongStr(bytes) | FieldValue::Bytes(bytes) => text(bytes).into(),
        FieldValue::Timestamp(value) => value.into(),
        FieldValue::Table(table) => of_table(table),
        FieldValue::Array(array) => of_array(array),
        FieldValue::Void => Value::Null,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

//! The arguments of what is declared, as JSON. They are stored as an AMQP field table.

use firth_amqp_codec::{Array, ArrayWriter, FieldTable, FieldValue, Table, TableWriter};
use serde_json::{Map, Value};

use super::answer::Error;

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

/// Arguments that a request brings.
pub(super) fn read(given: Option<&Value>) -> Result<FieldTable, Error> {
    let no_fields = Map::new();
    let fields = match given {
        None => &no_fields,
        Some(Value::Object(fields)) => fields,
        Some(_) => return Err(Error::BadRequest("arguments are to be an object".to_owned())),
    };
    if fields.values().any(has_null) {
        return Err(Error::BadRequest("null_not_allowed".to_owned()));
    }
    let table = FieldTable::build(|table| put_all(table, fields));
    table.map_err(|error| Error::BadRequest(error.to_string()))
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn put_all(table: &mut TableWriter<'_>, fields: &Map<String, Value>) {
    for (name, value) in fields {
        match value {
            Value::Object(inner) => _ = table.put_table(name, |table| put_all(table, inner)),
            Value::Array(items) => _ = table.put_array(name, |array| push_all(array, items)),
            simple => _ = table.put(name, scalar(simple)),
        }
    }
}

fn push_all(array: &mut ArrayWriter<'_>, items: &[Value]) {
    for item in items {
        match item {
            Value::Object(inner) => _ = array.push_table(|table| put_all(table, inner)),
            Value::Array(items) => _ = array.push_array(|array| push_all(array, items)),
            simple => _ = array.push(scalar(simple)),
        }
    }
}

/// Whole numbers have 64 bits, as RabbitMQ makes them of JSON.
fn scalar(value: &Value) -> FieldValue<'_> {
    match value {
        Value::Bool(value) => FieldValue::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => FieldValue::I64(whole),
            None => FieldValue::F64(number.as_f64().unwrap_or(f64::MAX)),
        },
        Value::String(text) => FieldValue::LongStr(text.as_bytes()),
        Value::Null | Value::Array(_) | Value::Object(_) => FieldValue::Void,
    }
}

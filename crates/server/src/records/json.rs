//! A record as one JSON object: what `consume --json` prints and `produce --input json` reads.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{Placed, base64};
use crate::nearest::nearest;

const FIELDS: [&str; 7] = [
    "topic",
    "partition",
    "offset",
    "timestamp",
    "key",
    "value",
    "headers",
];
const BASE64: &str = "base64";

/// Keys and values are null where the record has none, and objects with one field, `base64`, where they are no UTF-8.
pub(crate) fn write(placed: Placed<'_>) -> Value {
    let record = placed.record;
    let header = |header: firth_batch::RecordHeader<'_>| {
        json!([text_or_base64(header.key), header.value.map(text_or_base64)])
    };
    json!({
        "topic": placed.topic,
        "partition": placed.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": record.key.map(text_or_base64),
        "value": record.value.map(text_or_base64),
        "headers": record.headers.map(header).collect::<Vec<_>>(),
    })
}

pub(crate) fn text_or_base64(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ BASE64: base64::encode(bytes) }),
    }
}

/// A name, and a value where there is one.
type Header = (Vec<u8>, Option<Vec<u8>>);

/// A record that is to be sent. Where it was before says nothing about where it goes, but its partition does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) partition: Option<i32>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<Header>,
}

/// All fields may be left out; a record without a value is a tombstone.
pub(crate) fn read(line: &[u8]) -> Result<Parsed> {
    let object: Value = serde_json::from_slice(line).context("this is no JSON")?;
    let Value::Object(object) = object else {
        bail!("a record is a JSON object, as {{\"key\": \"k\", \"value\": \"v\"}}");
    };
    let mut parsed = Parsed::default();
    for (field, value) in object {
        match field.as_str() {
            "topic" | "offset" => {}
            "partition" => parsed.partition = integer(&value).with_context(|| field)?,
            "timestamp" => parsed.timestamp = integer(&value).with_context(|| field)?,
            "key" => parsed.key = bytes(&value).with_context(|| field)?,
            "value" => parsed.value = bytes(&value).with_context(|| field)?,
            "headers" => parsed.headers = headers(&value).with_context(|| field)?,
            _ => bail!(
                "a record has no field {field:?}: did you mean {:?}?",
                nearest(&field, FIELDS.map(str::to_owned))
            ),
        }
    }
    Ok(parsed)
}

/// A number that is not negative; -1, which records without a timestamp have, is none.
fn integer<T: TryFrom<i64>>(value: &Value) -> Result<Option<T>> {
    if value.is_null() || value.as_i64() == Some(-1) {
        return Ok(None);
    }
    let number = value.as_i64().filter(|number| *number >= 0);
    let number = number.and_then(|number| T::try_from(number).ok());
    number
        .map(Some)
        .with_context(|| format!("{value} is no number that it can be"))
}

fn bytes(value: &Value) -> Result<Option<Vec<u8>>> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Object(object) if object.len() == 1 && object.contains_key(BASE64) => {
            let text = object.get(BASE64).and_then(Value::as_str);
            let decoded = text.and_then(base64::decode);
            decoded.with_context(|| format!("{value} is no base64 with padding"))?
        }
        other => bail!("{other} is neither a string, null nor {{\"base64\": \"...\"}}"),
    }))
}

/// Pairs of a name and a value, in order; or an object of them, which people write.
fn headers(value: &Value) -> Result<Vec<Header>> {
    let pair = |name: &Value, value: &Value| {
        let name = bytes(name)?.context("a header has a name")?;
        Ok((name, bytes(value)?))
    };
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Object(object) => {
            let pairs = object
                .iter()
                .map(|(name, value)| Ok((name.as_bytes().to_vec(), bytes(value)?)));
            pairs.collect()
        }
        Value::Array(pairs) => {
            let pairs = pairs.iter().map(|each| {
                let each = each.as_array().map_or(&[][..], Vec::as_slice);
                ensure!(each.len() == 2, "a header is [name, value]");
                pair(&each[0], &each[1])
            });
            pairs.collect()
        }
        other => bail!("{other} is neither a list of [name, value] nor an object"),
    }
}

#[cfg(test)]
mod tests {
    use firth_batch::{Builder, Compression, RecordHeader};

    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut builder = Builder::new(Compression::None);
        let header = |key, value| RecordHeader { key, value };
        let headers = [
            header(b"a", None),
            header(b"a", Some(b"\xff")),
            header(b"\xfe", Some(b"")),
        ];
        builder.push(5, Some(b"\0k"), Some(b"\x80"), &headers);
        builder.push(6, None, None, &[]);
        let records = builder.build().records(1 << 20).unwrap();
        for record in &records {
            let record = record.unwrap();
            let placed = Placed {
                topic: "t",
                partition: 2,
                record: &record,
            };
            let parsed = read(write(placed).to_string().as_bytes()).unwrap();
            let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            let headers = record
                .headers
                .map(|header| (header.key.to_vec(), owned(header.value)));
            let expected = Parsed {
                partition: Some(2),
                timestamp: Some(record.timestamp),
                key: owned(record.key),
                value: owned(record.value),
                headers: headers.collect(),
            };
            assert_eq!(parsed, expected);
        }
    }

    #[test]
    fn what_is_no_record_is_told() {
        for (line, error) in [
            ("", "this is no JSON"),
            ("[]", "a record is a JSON object"),
            ("{\"vaule\": \"x\"}", "did you mean \"value\"?"),
            ("{\"value\": 1}", "value: 1 is neither a string"),
            ("{\"key\": {\"base64\": \"?\"}}", "no base64"),
            ("{\"partition\": -2}", "partition: -2 is no number"),
            (
                "{\"partition\": 2147483648}",
                "partition: 2147483648 is no number",
            ),
            ("{\"headers\": [[\"a\"]]}", "a header is [name, value]"),
            ("{\"headers\": [[null, \"a\"]]}", "a header has a name"),
        ] {
            let found = format!("{:#}", read(line.as_bytes()).unwrap_err());
            assert!(found.contains(error), "{found}");
        }
        let parsed = read(b"{\"headers\": {\"a\": \"b\"}, \"timestamp\": -1}").unwrap();
        assert_eq!(parsed.headers, [(b"a".to_vec(), Some(b"b".to_vec()))]);
        assert_eq!((parsed.timestamp, parsed.value), (None, None));
    }
}

//! The values of field tables, each with the type that it has on the wire.
//!
//! | written         | type                    | written      | type                   |
//! | --------------- | ----------------------- | ------------ | ---------------------- |
//! | `5`             | `I`, signed 32 bits     | `true`       | `t`, boolean           |
//! | `b(5)` `B(5)`   | `b` `B`, 8 bits         | `void`       | `V`                    |
//! | `s(5)` `u(5)`   | `s` `u`, 16 bits        | `T(5)`       | `T`, timestamp         |
//! | `i(5)`          | `i`, unsigned 32 bits   | `D(2,150)`   | `D`, decimal           |
//! | `l(5)` `L(5)`   | `l` `L`, 64 bits        | `word`, `""` | `S`, string            |
//! | `f(1.5)`        | `f`, 32 bits            | `x(00ff)`    | `x`, bytes             |
//! | `d(1.5)`        | `d`, 64 bits            | `[..]` `{..}`| `A`, array; `F`, table |
//!
//! RabbitMQ's errata of the types hold: <https://www.rabbitmq.com/amqp-0-9-1-errata.html>, section 3.

use anyhow::{Context, Result, bail};

use crate::text::{Line, quoted, written};
use crate::wire::{Reader, put_long_string, put_short_string};

/// A time that is not the script's own.
const RECENT: u64 = 1_000_000_000;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// All types of numbers that fit, by their tag on the wire.
    Integer(u8, i128),
    Float(u8, f64),
    Decimal(u8, u32),
    Boolean(bool),
    Void,
    String(Vec<u8>),
    Bytes(Vec<u8>),
    Array(Vec<Value>),
    Table(Table),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Table(pub Vec<(Vec<u8>, Value)>);

impl Table {
    pub(crate) fn parse(line: &mut Line) -> Result<Table> {
        line.need("{")?;
        let mut entries = Vec::new();
        while !line.skip("}") {
            let key = if line.peek() == Some('"') {
                line.quoted()?
            } else {
                let word = line.word();
                let key = word.strip_suffix(':').context("a key ends with a colon")?;
                entries.push((key.as_bytes().to_vec(), Value::parse(line)?));
                line.skip(",");
                continue;
            };
            line.need(":")?;
            entries.push((key, Value::parse(line)?));
            line.skip(",");
        }
        Ok(Table(entries))
    }

    pub(crate) fn decode(reader: &mut Reader) -> Result<Table> {
        let mut reader = Reader::new(reader.long_string()?);
        let mut entries = Vec::new();
        while !reader.is_empty() {
            let key = reader.short_string()?.to_vec();
            entries.push((key, Value::decode(&mut reader)?));
        }
        Ok(Table(entries))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        let mut bytes = Vec::new();
        for (key, value) in &self.0 {
            put_short_string(key, &mut bytes)?;
            value.encode(&mut bytes)?;
        }
        put_long_string(&bytes, out)
    }

    /// By key, and so all tables within.
    pub(crate) fn sort(&mut self) {
        self.0.sort_by(|a, b| a.0.cmp(&b.0));
        self.0.iter_mut().for_each(|(_, value)| value.sort());
    }

    pub(crate) fn print(&self) -> String {
        let entry = |(key, value): &(Vec<u8>, Value)| format!("{}: {}", table_word(key), value.print());
        let entries: Vec<_> = self.0.iter().map(entry).collect();
        format!("{{{}}}", entries.join(", "))
    }
}

impl Value {
    fn parse(line: &mut Line) -> Result<Value> {
        match line.peek().context("a value is missing")? {
            '"' => return Ok(Value::String(line.quoted()?)),
            '{' => return Ok(Value::Table(Table::parse(line)?)),
            '[' => {
                line.need("[")?;
                let mut values = Vec::new();
                while !line.skip("]") {
                    values.push(Value::parse(line)?);
                    line.skip(",");
                }
                return Ok(Value::Array(values));
            }
            _ => {}
        }
        let word = line.word();
        if line.rest().starts_with('(') {
            line.need("(")?;
            let inner = line.word();
            let value = Value::tagged(word, inner, line)?;
            line.need(")")?;
            return Ok(value);
        }
        Ok(match word {
            "true" => Value::Boolean(true),
            "false" => Value::Boolean(false),
            "void" => Value::Void,
            number if number.parse::<i32>().is_ok() => Value::Integer(b'I', number.parse()?),
            text if !text.is_empty() => Value::String(text.as_bytes().to_vec()),
            _ => bail!("no value is `{}`", line.rest()),
        })
    }

    fn tagged(tag: &str, inner: &str, line: &mut Line) -> Result<Value> {
        Ok(match tag.as_bytes() {
            [tag @ (b'b' | b'B' | b's' | b'u' | b'I' | b'i' | b'l' | b'L' | b'T')] => {
                Value::Integer(*tag, inner.parse()?)
            }
            [tag @ (b'f' | b'd')] => Value::Float(*tag, inner.parse()?),
            b"D" => {
                line.need(",")?;
                Value::Decimal(inner.parse()?, line.word().parse()?)
            }
            b"x" => Value::Bytes(crate::text::raw_bytes(&mut Line::new(inner))?),
            _ => bail!("no type is `{tag}`"),
        })
    }

    fn sort(&mut self) {
        match self {
            Value::Table(table) => table.sort(),
            Value::Array(values) => values.iter_mut().for_each(Value::sort),
            _ => {}
        }
    }

    fn decode(reader: &mut Reader) -> Result<Value> {
        let tag = reader.octet()?;
        Ok(match tag {
            b't' => Value::Boolean(reader.octet()? != 0),
            b'b' => Value::Integer(tag, i128::from(reader.octet()?.cast_signed())),
            b'B' => Value::Integer(tag, reader.octet()?.into()),
            b's' => Value::Integer(tag, i128::from(reader.short()?.cast_signed())),
            b'u' => Value::Integer(tag, reader.short()?.into()),
            b'I' => Value::Integer(tag, i128::from(reader.long()?.cast_signed())),
            b'i' => Value::Integer(tag, reader.long()?.into()),
            b'l' => Value::Integer(tag, i128::from(reader.longlong()?.cast_signed())),
            b'L' | b'T' => Value::Integer(tag, reader.longlong()?.into()),
            b'f' => Value::Float(tag, f32::from_bits(reader.long()?).into()),
            b'd' => Value::Float(tag, f64::from_bits(reader.longlong()?)),
            b'D' => Value::Decimal(reader.octet()?, reader.long()?),
            b'S' => Value::String(reader.long_string()?.to_vec()),
            b'x' => Value::Bytes(reader.long_string()?.to_vec()),
            b'V' => Value::Void,
            b'F' => Value::Table(Table::decode(reader)?),
            b'A' => {
                let mut reader = Reader::new(reader.long_string()?);
                let mut values = Vec::new();
                while !reader.is_empty() {
                    values.push(Value::decode(&mut reader)?);
                }
                Value::Array(values)
            }
            other => bail!("no type is `{}`", char::from(other)),
        })
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Value::Integer(tag, number) => {
                out.push(*tag);
                let width = match tag {
                    b'b' | b'B' => 1,
                    b's' | b'u' => 2,
                    b'I' | b'i' => 4,
                    _ => 8,
                };
                let bytes = number.to_be_bytes();
                out.extend_from_slice(&bytes[bytes.len() - width..]);
            }
            Value::Float(tag, number) if *tag == b'f' => {
                out.push(*tag);
                out.extend_from_slice(&(*number as f32).to_be_bytes());
            }
            Value::Float(tag, number) => {
                out.push(*tag);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Value::Decimal(scale, number) => {
                out.extend_from_slice(&[b'D', *scale]);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Value::Boolean(set) => out.extend_from_slice(&[b't', u8::from(*set)]),
            Value::Void => out.push(b'V'),
            Value::String(bytes) => {
                out.push(b'S');
                put_long_string(bytes, out)?;
            }
            Value::Bytes(bytes) => {
                out.push(b'x');
                put_long_string(bytes, out)?;
            }
            Value::Array(values) => {
                out.push(b'A');
                let mut bytes = Vec::new();
                values.iter().try_for_each(|value| value.encode(&mut bytes))?;
                put_long_string(&bytes, out)?;
            }
            Value::Table(table) => {
                out.push(b'F');
                table.encode(out)?;
            }
        }
        Ok(())
    }

    fn print(&self) -> String {
        match self {
            Value::Integer(b'I', number) => number.to_string(),
            Value::Integer(b'T', time) if *time > RECENT.into() => "T(<now>)".to_owned(),
            Value::Integer(tag, number) => format!("{}({number})", char::from(*tag)),
            Value::Float(tag, number) => format!("{}({number})", char::from(*tag)),
            Value::Decimal(scale, number) => format!("D({scale},{number})"),
            Value::Boolean(set) => set.to_string(),
            Value::Void => "void".to_owned(),
            Value::String(bytes) => table_word(bytes),
            Value::Bytes(bytes) => {
                let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("x({})", digits.concat())
            }
            Value::Array(values) => {
                let values: Vec<_> = values.iter().map(Value::print).collect();
                format!("[{}]", values.join(", "))
            }
            Value::Table(table) => table.print(),
        }
    }
}

/// A string in a table, in quotes where it would be read as something else.
fn table_word(bytes: &[u8]) -> String {
    let bare = bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && !bytes.ends_with(b":")
        && !matches!(bytes, b"true" | b"false" | b"void");
    if bare { written(bytes) } else { quoted(bytes) }
}

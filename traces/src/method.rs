//! A method with its fields, between its bytes and its line of a trace.

use anyhow::{Context, Result, bail};

use crate::spec::{Kind, Method};
use crate::text::{Line, written};
use crate::value::Table;
use crate::wire::{Reader, put_long_string, put_short_string};

/// The value of a field of a method or of a property.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Field {
    Number(u64),
    String(Vec<u8>),
    Table(Table),
}

#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub method: Method,
    fields: Vec<(&'static str, Kind, Field)>,
}

impl Call {
    /// Reads `name field=value flag`, up to `|` or the end. What is not named is zero or empty.
    pub(crate) fn parse(line: &mut Line) -> Result<Call> {
        let name = line.word();
        let method = Method::named(name).with_context(|| format!("there is no method `{name}`"))?;
        let mut fields: Vec<_> = method
            .fields()
            .map(|(name, kind)| (name, kind, kind.zero()))
            .collect();
        while !matches!(line.peek(), None | Some('|')) {
            let (name, value) = parse_named(line, |name| {
                fields.iter().find(|field| field.0 == name).map(|field| field.1)
            })
            .with_context(|| format!("in {}", method.name))?;
            if let Some(field) = fields.iter_mut().find(|field| field.0 == name) {
                field.2 = value;
            }
        }
        Ok(Call { method, fields })
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Call> {
        let mut reader = Reader::new(payload);
        let (class, id) = (reader.short()?, reader.short()?);
        let method =
            Method::numbered(class, id).with_context(|| format!("there is no method {class}.{id}"))?;
        let mut fields = Vec::new();
        let mut bits = Bits::default();
        for (name, kind) in method.fields() {
            let value = match kind {
                Kind::Bit => bits.next(&mut reader)?,
                _ => {
                    bits = Bits::default();
                    kind.decode(&mut reader)?
                }
            };
            fields.push((name, kind, value));
        }
        if !reader.is_empty() {
            bail!("{} is followed by bytes that belong to nothing", method.name);
        }
        Ok(Call { method, fields })
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut out = self.method.class.to_be_bytes().to_vec();
        out.extend_from_slice(&self.method.method.to_be_bytes());
        let mut bits: Option<u8> = None;
        let mut bit_at = 0;
        for (_, kind, value) in &self.fields {
            match (kind, value) {
                (Kind::Bit, Field::Number(set)) => {
                    let gathered = bits.unwrap_or_default() | (u8::from(*set != 0) << bit_at);
                    bits = Some(gathered);
                    bit_at += 1;
                }
                _ => {
                    out.extend(bits.take());
                    bit_at = 0;
                    kind.encode(value, &mut out)?;
                }
            }
        }
        out.extend(bits);
        Ok(out)
    }

    pub(crate) fn print(&self) -> String {
        let mut text = self.method.name.to_owned();
        for (name, _, value) in self
            .fields
            .iter()
            .filter(|field| !field.0.starts_with("reserved-"))
        {
            text.push_str(&format!(" {name}={}", value.print()));
        }
        text
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields
            .iter()
            .find(|field| field.0 == name)
            .map(|field| &field.2)
    }

    pub(crate) fn field_mut(&mut self, name: &str) -> Option<&mut Field> {
        self.fields
            .iter_mut()
            .find(|field| field.0 == name)
            .map(|field| &mut field.2)
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        match self.field(name) {
            Some(Field::Number(number)) => *number,
            _ => 0,
        }
    }

    /// The text of a string that is UTF-8; else nothing.
    pub(crate) fn string(&self, name: &str) -> String {
        match self.field(name) {
            Some(Field::String(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        }
    }
}

/// Bits that follow each other share octets.
#[derive(Default)]
struct Bits {
    octet: u8,
    left: u8,
}

impl Bits {
    fn next(&mut self, reader: &mut Reader) -> Result<Field> {
        if self.left == 0 {
            (self.octet, self.left) = (reader.octet()?, 8);
        }
        let bit = self.octet & 1;
        self.octet >>= 1;
        self.left -= 1;
        Ok(Field::Number(bit.into()))
    }
}

/// Reads `name=value`, or `name` alone for a bit that is set.
pub(crate) fn parse_named<'a>(
    line: &mut Line<'a>,
    kind_of: impl Fn(&str) -> Option<Kind>,
) -> Result<(&'a str, Field)> {
    let mut ahead = line.clone();
    let word = ahead.word();
    let name = word.split('=').next().unwrap_or_default();
    let kind = kind_of(name).with_context(|| format!("there is no field `{name}` at `{}`", line.rest()))?;
    line.need(name)?;
    if !line.rest().starts_with('=') {
        return Ok((name, Field::Number(1)));
    }
    line.need("=")?;
    Ok((name, kind.parse(line)?))
}

impl Field {
    pub(crate) fn print(&self) -> String {
        match self {
            Field::Number(number) => number.to_string(),
            Field::String(bytes) => written(bytes),
            Field::Table(table) => table.print(),
        }
    }
}

impl Kind {
    fn zero(self) -> Field {
        match self {
            Kind::ShortString | Kind::LongString => Field::String(Vec::new()),
            Kind::Table => Field::Table(Table::default()),
            _ => Field::Number(0),
        }
    }

    /// A value that begins right here.
    fn parse(self, line: &mut Line) -> Result<Field> {
        Ok(match self {
            Kind::ShortString | Kind::LongString if line.rest().starts_with('"') => {
                Field::String(line.quoted()?)
            }
            Kind::ShortString | Kind::LongString => Field::String(line.adjacent_word().as_bytes().to_vec()),
            Kind::Table => Field::Table(Table::parse(line)?),
            _ => Field::Number(line.adjacent_word().parse()?),
        })
    }

    pub(crate) fn decode(self, reader: &mut Reader) -> Result<Field> {
        Ok(match self {
            Kind::Bit | Kind::Octet => Field::Number(reader.octet()?.into()),
            Kind::Short => Field::Number(reader.short()?.into()),
            Kind::Long => Field::Number(reader.long()?.into()),
            Kind::LongLong => Field::Number(reader.longlong()?),
            Kind::ShortString => Field::String(reader.short_string()?.to_vec()),
            Kind::LongString => Field::String(reader.long_string()?.to_vec()),
            Kind::Table => Field::Table(Table::decode(reader)?),
        })
    }

    pub(crate) fn encode(self, value: &Field, out: &mut Vec<u8>) -> Result<()> {
        match (self, value) {
            (Kind::Bit | Kind::Octet, Field::Number(number)) => out.push(u8::try_from(*number)?),
            (Kind::Short, Field::Number(number)) => {
                out.extend_from_slice(&u16::try_from(*number)?.to_be_bytes());
            }
            (Kind::Long, Field::Number(number)) => {
                out.extend_from_slice(&u32::try_from(*number)?.to_be_bytes());
            }
            (Kind::LongLong, Field::Number(number)) => out.extend_from_slice(&number.to_be_bytes()),
            (Kind::ShortString, Field::String(bytes)) => put_short_string(bytes, out)?,
            (Kind::LongString, Field::String(bytes)) => put_long_string(bytes, out)?,
            (Kind::Table, Field::Table(table)) => table.encode(out)?,
            _ => bail!("a value has not the type of its field"),
        }
        Ok(())
    }
}

//! A message's properties and body, between content frames and the end of a line: `| name=value ... "body"`.

use anyhow::{Context, Result, bail};

use crate::method::{Field, parse_named};
use crate::spec::PROPERTIES;
use crate::text::{Line, quoted};
use crate::wire::Reader;

#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    /// By their place in `PROPERTIES`.
    properties: Vec<(usize, Field)>,
    pub body: Vec<u8>,
}

impl Content {
    /// Reads what stands behind `|`, or nothing.
    pub(crate) fn parse(line: &mut Line) -> Result<Content> {
        let mut content = Content::default();
        if line.skip("|") {
            content.parse_properties(line)?;
            if line.peek() == Some('"') {
                content.body = line.quoted()?;
            }
        }
        Ok(content)
    }

    pub(crate) fn parse_properties(&mut self, line: &mut Line) -> Result<()> {
        let place = |name: &str| PROPERTIES.iter().position(|property| property.0 == name);
        while !matches!(line.peek(), None | Some('"')) {
            let (name, value) = parse_named(line, |name| place(name).map(|at| PROPERTIES[at].1))?;
            self.properties
                .push((place(name).context("a property that was found")?, value));
        }
        self.properties.sort_by_key(|property| property.0);
        Ok(())
    }

    /// The payload of the header frame: class, weight, size of the body, flags, properties.
    pub(crate) fn header(&self, class: u16, size: u64) -> Result<Vec<u8>> {
        let mut out = class.to_be_bytes().to_vec();
        out.extend_from_slice(&0u16.to_be_bytes());
        out.extend_from_slice(&size.to_be_bytes());
        let flags = self
            .properties
            .iter()
            .fold(0u16, |flags, (at, _)| flags | (0x8000 >> at));
        out.extend_from_slice(&flags.to_be_bytes());
        for (at, value) in &self.properties {
            PROPERTIES[*at].1.encode(value, &mut out)?;
        }
        Ok(out)
    }

    /// Reads a header frame's payload into the properties and the size of the body.
    pub(crate) fn decode(payload: &[u8]) -> Result<(Content, u64)> {
        let mut reader = Reader::new(payload);
        let (class, weight) = (reader.short()?, reader.short()?);
        if (class, weight) != (60, 0) {
            bail!("a header has class {class} and weight {weight}");
        }
        let size = reader.longlong()?;
        let flags = reader.short()?;
        let mut properties = Vec::new();
        for (at, (_, kind)) in PROPERTIES.iter().enumerate() {
            if flags & (0x8000 >> at) != 0 {
                properties.push((at, kind.decode(&mut reader)?));
            }
        }
        if !reader.is_empty() || flags & 0b11 != 0 {
            bail!("a header has flags {flags:#x} and bytes that belong to nothing");
        }
        let body = Vec::new();
        Ok((Content { properties, body }, size))
    }

    /// Sorts the headers of a dead message, as their order is an accident of how RabbitMQ keeps them.
    pub(crate) fn sort_deaths(&mut self) {
        for (_, field) in &mut self.properties {
            if let Field::Table(table) = field
                && table.0.iter().any(|(key, _)| key == b"x-death")
            {
                table.sort();
            }
        }
    }

    pub(crate) fn print(&self) -> String {
        let mut text = String::from("|");
        for (at, value) in &self.properties {
            text.push_str(&format!(" {}={}", PROPERTIES[*at].0, value.print()));
        }
        format!("{text} {}", quoted(&self.body))
    }
}

//! Formats, as kcat and rpk have them: text in which `%` and a letter stand for a part of the record.

use std::io::Write;

use anyhow::{Context, Result, bail};
use firth_batch::RecordHeader;
use serde_json::json;

use super::escape::escape;
use super::json::text_or_base64;
use super::{Placed, base64};
use crate::date;

/// What `--help` says of formats.
pub(crate) const HELP: &str = "\
A format is text in which these stand for parts of a record:

  %t  the topic                    %k  the key
  %p  the partition                %v  the value (also %s, as in kcat)
  %o  the offset                   %h  the headers, as NAME=VALUE,...
  %T  the time, in milliseconds    %K  bytes of the key, -1 if there is none
      since 1970                   %V  bytes of the value, -1 if there is none (also %S)
  %%  a percent sign               %H  the number of headers

In braces after the letter stands another way to write it:

  %k %v            {hex}, {base64}, or {json}: a JSON string, null, or {\"base64\": \"...\"} if it is no UTF-8
  %T               {iso}: 2026-01-31T12:00:00.123Z
  %p %o %T %K %V %H  {big16} {big32} {big64} {little16} {little32} {little64}: binary, that many bits
  %h               {FORMAT}: for each header a format in which %k, %v, %K and %V are the header's

Escapes are \\n \\t \\r \\0 \\\\ and \\xHH. Nothing follows a record by itself: end the format with \\n for lines.
For example: -f '%T{iso} %t/%p@%o %k: %v\\n', or -f '%V{big32}%v' for values of any bytes.";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    Topic,
    Key(Text),
    Value(Text),
    Headers(Option<Format>),
    Number(Number, Form),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Raw,
    Hex,
    Base64,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Partition,
    Offset,
    Timestamp,
    KeyLength,
    ValueLength,
    HeaderCount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Decimal,
    Iso,
    Big(usize),
    Little(usize),
}

/// Of a format for headers only what a header has can be asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Record,
    Header,
}

impl Format {
    /// The error is whole in one line, as a command line shows no chain.
    pub(crate) fn parse(text: &str) -> Result<Format, String> {
        parse(text, Of::Record).map_err(|error| format!("{error:#}"))
    }

    pub(crate) fn print(&self, placed: Placed<'_>, out: &mut Vec<u8>) {
        let record = placed.record;
        for part in &self.parts {
            match part {
                Part::Literal(bytes) => out.extend_from_slice(bytes),
                Part::Topic => out.extend_from_slice(placed.topic.as_bytes()),
                Part::Key(text) => text.print(record.key, out),
                Part::Value(text) => text.print(record.value, out),
                Part::Headers(None) => print_headers(record.headers, out),
                Part::Headers(Some(format)) => {
                    record.headers.for_each(|header| format.print_header(header, out))
                }
                Part::Number(number, form) => form.print(
                    match number {
                        Number::Partition => placed.partition.into(),
                        Number::Offset => record.offset,
                        Number::Timestamp => record.timestamp,
                        Number::KeyLength => length(record.key),
                        Number::ValueLength => length(record.value),
                        Number::HeaderCount => record.headers.len().try_into().unwrap_or(i64::MAX),
                    },
                    out,
                ),
            }
        }
    }

    fn print_header(&self, header: RecordHeader<'_>, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Literal(bytes) => out.extend_from_slice(bytes),
                Part::Key(text) => text.print(Some(header.key), out),
                Part::Value(text) => text.print(header.value, out),
                Part::Number(Number::KeyLength, form) => form.print(length(Some(header.key)), out),
                Part::Number(_, form) => form.print(length(header.value), out),
                // The parser refuses them.
                Part::Topic | Part::Headers(_) => {}
            }
        }
    }
}

fn length(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| bytes.len().try_into().unwrap_or(i64::MAX))
}

/// As kcat writes them; a header without a value has no `=`.
fn print_headers<'a>(headers: impl Iterator<Item = RecordHeader<'a>>, out: &mut Vec<u8>) {
    for (index, header) in headers.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(header.key);
        if let Some(value) = header.value {
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
}

impl Text {
    fn print(self, bytes: Option<&[u8]>, out: &mut Vec<u8>) {
        match (self, bytes) {
            (Text::Json, _) => out.extend_from_slice(json!(bytes.map(text_or_base64)).to_string().as_bytes()),
            (_, None) => {}
            (Text::Raw, Some(bytes)) => out.extend_from_slice(bytes),
            (Text::Hex, Some(bytes)) => {
                for byte in bytes {
                    // Writing to memory does not fail.
                    let _ = write!(out, "{byte:02x}");
                }
            }
            (Text::Base64, Some(bytes)) => out.extend_from_slice(base64::encode(bytes).as_bytes()),
        }
    }
}

impl Form {
    fn print(self, number: i64, out: &mut Vec<u8>) {
        let big = number.to_be_bytes();
        let little = number.to_le_bytes();
        match self {
            Form::Decimal => out.extend_from_slice(number.to_string().as_bytes()),
            Form::Iso => match u64::try_from(number) {
                Ok(ms) => out.extend_from_slice(date::iso(ms).as_bytes()),
                Err(_) => out.push(b'-'),
            },
            Form::Big(bytes) => out.extend_from_slice(&big[big.len() - bytes..]),
            Form::Little(bytes) => out.extend_from_slice(&little[..bytes]),
        }
    }
}

fn parse(text: &str, of: Of) -> Result<Format> {
    let mut parts: Vec<Part> = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let at = text.len() - rest.len();
        let (taken, after) = rest.split_at(character.len_utf8());
        rest = after;
        match character {
            '%' => {
                let (part, after) = directive(rest, of).with_context(|| format!("at byte {at}"))?;
                rest = after;
                push(&mut parts, part);
            }
            '\\' => {
                let (byte, length) = escape(rest).with_context(|| format!("at byte {at}"))?;
                rest = &rest[length..];
                push(&mut parts, Part::Literal(vec![byte]));
            }
            _ => push(&mut parts, Part::Literal(taken.as_bytes().to_vec())),
        }
    }
    Ok(Format { parts })
}

fn push(parts: &mut Vec<Part>, part: Part) {
    match (parts.last_mut(), part) {
        (Some(Part::Literal(before)), Part::Literal(bytes)) => before.extend(bytes),
        (_, part) => parts.push(part),
    }
}

/// What `%` begins, and what follows it.
fn directive(rest: &str, of: Of) -> Result<(Part, &str)> {
    let Some(letter) = rest.chars().next() else {
        bail!("a % stands at the end; %% is a percent sign");
    };
    let (braces, after) = braces(&rest[letter.len_utf8()..])?;
    let number = |number| anyhow::Ok(Part::Number(number, form(letter, number, braces)?));
    let part = match letter {
        // A brace after it is the format's own.
        '%' => return Ok((Part::Literal(b"%".to_vec()), &rest[1..])),
        'k' => Part::Key(text_form(letter, braces)?),
        'v' | 's' => Part::Value(text_form(letter, braces)?),
        'K' => number(Number::KeyLength)?,
        'V' | 'S' => number(Number::ValueLength)?,
        't' | 'p' | 'o' | 'T' | 'h' | 'H' if of == Of::Header => {
            bail!("%{letter} is not a header's; there are %k %v %K and %V")
        }
        't' => match braces {
            None => Part::Topic,
            Some(_) => bail!("%t takes no braces"),
        },
        'p' => number(Number::Partition)?,
        'o' => number(Number::Offset)?,
        'T' => number(Number::Timestamp)?,
        'H' => number(Number::HeaderCount)?,
        'h' => {
            let inner = braces.map(|inner| parse(inner, Of::Header)).transpose();
            Part::Headers(inner.with_context(|| "in the braces of %h")?)
        }
        _ => bail!("%{letter} is unknown; there are %t %p %o %T %k %v %h %K %V %H and %%"),
    };
    Ok((part, after))
}

/// What stands in braces, if a brace follows, and what follows them. Braces within are counted.
fn braces(rest: &str) -> Result<(Option<&str>, &str)> {
    let Some(inner) = rest.strip_prefix('{') else {
        return Ok((None, rest));
    };
    let mut depth = 1;
    for (at, byte) in inner.bytes().enumerate() {
        depth += match byte {
            b'{' => 1,
            b'}' => -1,
            _ => 0,
        };
        if depth == 0 {
            return Ok((Some(&inner[..at]), &inner[at + 1..]));
        }
    }
    bail!("a brace is not closed")
}

fn text_form(letter: char, braces: Option<&str>) -> Result<Text> {
    Ok(match braces {
        None => Text::Raw,
        Some("hex") => Text::Hex,
        Some("base64") => Text::Base64,
        Some("json") => Text::Json,
        Some(other) => bail!("%{letter}{{{other}}} is unknown; there are {{hex}}, {{base64}} and {{json}}"),
    })
}

fn form(letter: char, number: Number, braces: Option<&str>) -> Result<Form> {
    Ok(match braces {
        None => Form::Decimal,
        Some("iso") if number == Number::Timestamp => Form::Iso,
        Some("big16") => Form::Big(2),
        Some("big32") => Form::Big(4),
        Some("big64") => Form::Big(8),
        Some("little16") => Form::Little(2),
        Some("little32") => Form::Little(4),
        Some("little64") => Form::Little(8),
        Some(other) => {
            let iso = if number == Number::Timestamp {
                "{iso}, "
            } else {
                ""
            };
            bail!(
                "%{letter}{{{other}}} is unknown; there are {iso}{{big16}}, {{big32}}, {{big64}}, {{little16}}, \
                 {{little32}} and {{little64}}"
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use firth_batch::{Batch, Builder, Compression};

    use super::*;

    fn batch() -> Batch {
        let mut builder = Builder::new(Compression::None);
        let header = |key, value| RecordHeader { key, value };
        let headers = [header(b"a", Some(b"1")), header(b"b", None)];
        builder.push(1500, Some(b"k\xff"), Some("v\"ü".as_bytes()), &headers);
        builder.push(-1, None, None, &[]);
        builder.build()
    }

    fn printed(format: &str) -> Vec<Vec<u8>> {
        let format = Format::parse(format).unwrap();
        let records = batch().records(1 << 20).unwrap();
        let print = |record| {
            let mut out = Vec::new();
            let placed = Placed {
                topic: "t",
                partition: 3,
                record: &record,
            };
            format.print(placed, &mut out);
            out
        };
        records.iter().map(|record| print(record.unwrap())).collect()
    }

    #[test]
    fn each_directive_is_a_part_of_the_record() {
        for (format, first, second) in [
            ("%t/%p@%o\\n", &b"t/3@0\n"[..], &b"t/3@1\n"[..]),
            ("%k|%v|%s", b"k\xff|v\"\xc3\xbc|v\"\xc3\xbc", b"||"),
            ("%K %V %S %H", b"2 4 4 2", b"-1 -1 -1 0"),
            ("%T %T{iso}", b"1500 1970-01-01T00:00:01.500Z", b"-1 -"),
            ("%h", b"a=1,b", b""),
            ("%h{<%k:%v:%V{big16}>}", b"<a:1:\0\x01><b::\xff\xff>", b""),
            ("%k{hex} %k{base64}", b"6bff a/8=", b" "),
            (
                "%k{json} %v{json}",
                "{\"base64\":\"a/8=\"} \"v\\\"ü\"".as_bytes(),
                b"null null",
            ),
            (
                "%V{big32}%V{little64}",
                b"\0\0\0\x04\x04\0\0\0\0\0\0\0",
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            ),
            ("100%% {x} %%{y}", b"100% {x} %{y}", b"100% {x} %{y}"),
        ] {
            assert_eq!(printed(format), [first, second], "{format}");
        }
    }

    #[test]
    fn what_is_unknown_is_said_with_what_there_is() {
        for (format, error) in [
            ("%q", "at byte 0: %q is unknown; there are %t"),
            ("ab%", "at byte 2: a % stands at the end"),
            ("%ü", "%ü is unknown"),
            ("%k{big32}", "%k{big32} is unknown; there are {hex}"),
            ("%o{iso}", "%o{iso} is unknown; there are {big16}"),
            ("%T{utc}", "there are {iso}, {big16}"),
            ("%k{hex", "a brace is not closed"),
            ("%h{%o}", "in the braces of %h: at byte 0: %o is not a header's"),
            ("%t{hex}", "%t takes no braces"),
            ("\\q", "\\q is no escape"),
        ] {
            let found = Format::parse(format).unwrap_err();
            assert!(found.contains(error), "{found}");
        }
    }
}

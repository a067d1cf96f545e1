//! What `produce` reads: lines, or one JSON object for each record.

use std::io::{BufRead, Read};

use anyhow::{Context, Result, bail, ensure};
use tokio::sync::mpsc;

use crate::records::json::{self, Parsed};

/// A longer record is an error: no broker takes it by default.
const RECORD_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Input {
    /// Each line, or what a separator ends, is a value, or a key and a value
    Lines,
    /// Each line is a JSON object with key, value, headers, timestamp and partition, of which all may be left out
    Json,
}

/// How records are told apart, and what is in each.
pub(super) struct Reading {
    pub(super) input: Input,
    pub(super) key_separator: Option<Vec<u8>>,
    pub(super) record_separator: Vec<u8>,
    pub(super) empty_as_null: bool,
}

impl Reading {
    /// Reads to the end of standard input, or until nobody takes what is read.
    pub(super) fn read_all(&self, send: &mpsc::Sender<Parsed>) -> Result<()> {
        let mut input = std::io::stdin().lock();
        for number in 1_u64.. {
            let Some(bytes) = self.next(&mut input)? else {
                return Ok(());
            };
            if self.input == Input::Json && bytes.trim_ascii().is_empty() {
                continue;
            }
            let record = self.parse(&bytes).with_context(|| format!("record {number}"))?;
            if send.blocking_send(record).is_err() {
                // The sender gave up, and says why.
                return Ok(());
            }
        }
        Ok(())
    }

    /// The bytes up to the next separator, or to the end.
    fn next(&self, input: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
        let separator = &self.record_separator[..];
        let last = *separator
            .last()
            .context("a separator has one character at least")?;
        let mut record = Vec::new();
        loop {
            let room = (RECORD_BYTES_MAX + 1).saturating_sub(record.len());
            let read = input
                .by_ref()
                .take(u64::try_from(room).unwrap_or(u64::MAX))
                .read_until(last, &mut record)
                .context("cannot read standard input")?;
            if record.ends_with(separator) {
                record.truncate(record.len() - separator.len());
                return Ok(Some(record));
            }
            ensure!(
                record.len() <= RECORD_BYTES_MAX,
                "a record has more than {RECORD_BYTES_MAX} bytes"
            );
            if read == 0 {
                return Ok((!record.is_empty()).then_some(record));
            }
        }
    }

    fn parse(&self, bytes: &[u8]) -> Result<Parsed> {
        if self.input == Input::Json {
            return json::read(bytes);
        }
        let (key, value) = split(bytes, self.key_separator.as_deref())?;
        let owned = |bytes: &[u8]| (!self.empty_as_null || !bytes.is_empty()).then(|| bytes.to_vec());
        Ok(Parsed {
            key: key.and_then(owned),
            value: owned(value),
            ..Parsed::default()
        })
    }
}

/// The key and the value of a line.
fn split<'a>(line: &'a [u8], separator: Option<&[u8]>) -> Result<(Option<&'a [u8]>, &'a [u8])> {
    let Some(separator) = separator else {
        return Ok((None, line));
    };
    let found = line
        .windows(separator.len())
        .position(|window| window == separator);
    let Some(at) = found else {
        bail!(
            "the line {:?} has no {:?} between a key and a value",
            String::from_utf8_lossy(line),
            String::from_utf8_lossy(separator)
        );
    };
    Ok((Some(&line[..at]), &line[at + separator.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_at_the_first_separator() {
        assert_eq!(
            split(b"a::b::c", Some(b"::")).unwrap(),
            (Some(&b"a"[..]), &b"b::c"[..])
        );
        assert_eq!(split(b"a", None).unwrap(), (None, &b"a"[..]));
        assert!(split(b"ab", Some(b":")).is_err());
    }

    #[test]
    fn records_end_where_their_separator_ends() {
        let records = |text: &str, separator: &str| {
            let reading = Reading {
                input: Input::Lines,
                key_separator: None,
                record_separator: separator.as_bytes().to_vec(),
                empty_as_null: false,
            };
            let mut input = text.as_bytes();
            let mut records = Vec::new();
            while let Some(record) = reading.next(&mut input).unwrap() {
                records.push(String::from_utf8(record).unwrap());
            }
            records
        };
        assert_eq!(records("a\n\nb", "\n"), ["a", "", "b"]);
        assert_eq!(records("a\n", "\n"), ["a"]);
        assert_eq!(records("a--b-c--", "--"), ["a", "b-c"]);
        assert_eq!(records("", "\n"), [""; 0]);
    }
}

//! A record as a line for people: `2026-01-31 12:00:00.123 flights/0@12 key: value (header=1)`.

use std::io::Write;

use super::Placed;
use crate::date;

const RESET: &str = "\x1b[0m";
const DIM: &str = "\x1b[2m";
const CYAN: &str = "\x1b[36m";
const YELLOW: &str = "\x1b[33m";

/// A line is one line whatever the record holds, and nothing in it drives a terminal: control characters are escaped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) is_coloured: bool,
}

impl Layout {
    pub(crate) fn print(self, placed: Placed<'_>, out: &mut Vec<u8>) {
        let record = placed.record;
        let time = match u64::try_from(record.timestamp) {
            Ok(ms) => date::iso(ms).replacen('T', " ", 1).replacen('Z', "", 1),
            Err(_) => "-".to_owned(),
        };
        self.paint(DIM, &time, out);
        out.push(b' ');
        let place = format!("{}/{}@{}", placed.topic, placed.partition, record.offset);
        self.paint(CYAN, &place, out);
        out.push(b' ');
        if let Some(key) = record.key {
            self.paint(YELLOW, &readable(key), out);
            out.extend_from_slice(b": ");
        }
        match record.value {
            Some(value) => out.extend_from_slice(readable(value).as_bytes()),
            None => self.paint(DIM, "(no value)", out),
        }
        if record.headers.len() > 0 {
            let headers = record.headers.map(|header| match header.value {
                Some(value) => format!("{}={}", readable(header.key), readable(value)),
                None => readable(header.key),
            });
            let headers = format!(" ({})", headers.collect::<Vec<_>>().join(", "));
            self.paint(DIM, &headers, out);
        }
        out.push(b'\n');
    }

    fn paint(self, colour: &str, text: &str, out: &mut Vec<u8>) {
        // Writing to memory does not fail.
        let _ = match self.is_coloured {
            true => write!(out, "{colour}{text}{RESET}"),
            false => write!(out, "{text}"),
        };
    }
}

/// Text with escapes for what is no text.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\r' => text.push_str("\\r"),
                control if control.is_control() => text.extend(control.escape_unicode()),
                other => text.push(other),
            }
        }
        for byte in chunk.invalid() {
            text += &format!("\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use firth_batch::{Builder, Compression, RecordHeader};

    use super::*;

    #[test]
    fn a_record_is_one_line_that_drives_no_terminal() {
        let mut builder = Builder::new(Compression::None);
        let header = RecordHeader {
            key: b"h",
            value: Some(b"1"),
        };
        builder.push(1, Some(b"k"), Some(b"a\n\x1b[2J\xff"), &[header]);
        builder.push(1, None, None, &[]);
        let records = builder.build().records(1 << 20).unwrap();
        let lines = |is_coloured| {
            let mut out = Vec::new();
            for record in &records {
                let placed = Placed {
                    topic: "t",
                    partition: 0,
                    record: &record.unwrap(),
                };
                Layout { is_coloured }.print(placed, &mut out);
            }
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            lines(false),
            "1970-01-01 00:00:00.001 t/0@0 k: a\\n\\u{1b}[2J\\xff (h=1)\n1970-01-01 00:00:00.001 t/0@1 (no value)\n"
        );
        let coloured = lines(true);
        assert!(
            coloured.contains("\x1b[36mt/0@0\x1b[0m") && coloured.contains("\x1b[33mk\x1b[0m: a"),
            "{coloured}"
        );
    }
}

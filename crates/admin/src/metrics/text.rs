//! Prometheus' text format, version 0.0.4: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};

/// Bytes that are gathered before they are handed on.
const PASSED_BYTES: usize = 32 * 1024;

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// What is written, of which a little at a time is in memory.
pub(super) struct Text<'a> {
    text: String,
    out: &'a mut dyn Write,
}

/// The samples of one metric, which must follow each other.
pub(super) struct Family<'a, 'b> {
    text: &'a mut Text<'b>,
    name: &'a str,
}

impl<'b> Text<'b> {
    pub(super) fn new(out: &'b mut dyn Write) -> Text<'b> {
        Text {
            text: String::with_capacity(2 * PASSED_BYTES),
            out,
        }
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, Kind::Counter, help).sample(&[], value);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, Kind::Gauge, help).sample(&[], value);
    }

    pub(super) fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a, 'b> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a string cannot fail, here and below.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Family { text: self, name }
    }

    /// Hands on what was gathered, if that is much. To be called between samples wherever there may be very many.
    pub(super) fn pass(&mut self) -> io::Result<()> {
        match self.text.len() < PASSED_BYTES {
            true => Ok(()),
            false => self.pass_all(),
        }
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.pass_all()?;
        self.out.flush()
    }

    fn pass_all(&mut self) -> io::Result<()> {
        self.out.write_all(self.text.as_bytes())?;
        self.text.clear();
        Ok(())
    }
}

impl Family<'_, '_> {
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.sample_of("", labels, value);
    }

    /// One of the samples that make up a histogram, told apart by how their names end.
    pub(super) fn sample_of(&mut self, end: &str, labels: &[(&str, &str)], value: impl Display) {
        let text = &mut self.text.text;
        text.push_str(self.name);
        text.push_str(end);
        for (at, (name, value)) in labels.iter().enumerate() {
            text.push(if at == 0 { '{' } else { ',' });
            text.push_str(name);
            text.push_str("=\"");
            push_escaped(text, value);
            text.push('"');
        }
        if !labels.is_empty() {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
    }

    pub(super) fn pass(&mut self) -> io::Result<()> {
        self.text.pass()
    }
}

fn push_escaped(text: &mut String, value: &str) {
    if !value.contains(['\\', '"', '\n']) {
        return text.push_str(value);
    }
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str(r"\\"),
            '"' => text.push_str(r#"\""#),
            '\n' => text.push_str(r"\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_written_as_prometheus_reads_it() {
        let mut out = Vec::new();
        let mut text = Text::new(&mut out);
        text.counter("firth_a_total", "What a is.", 7);
        let mut family = text.family("firth_b", Kind::Gauge, "What b is.");
        family.sample(&[("x", "1"), ("y", "z\n\"\\")], 0);
        family.sample(&[("x", "2"), ("y", "z")], u64::MAX);
        let mut family = text.family("firth_c", Kind::Histogram, "What c is.");
        family.sample_of("_bucket", &[("le", "+Inf")], 1);
        family.sample_of("_sum", &[], 0.25);
        text.finish().unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "# HELP firth_a_total What a is.\n\
             # TYPE firth_a_total counter\n\
             firth_a_total 7\n\
             # HELP firth_b What b is.\n\
             # TYPE firth_b gauge\n\
             firth_b{x=\"1\",y=\"z\\n\\\"\\\\\"} 0\n\
             firth_b{x=\"2\",y=\"z\"} 18446744073709551615\n\
             # HELP firth_c What c is.\n\
             # TYPE firth_c histogram\n\
             firth_c_bucket{le=\"+Inf\"} 1\n\
             firth_c_sum 0.25\n"
        );
    }

    #[test]
    fn what_is_gathered_is_bounded() {
        struct Largest(usize);
        impl Write for Largest {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.0 = self.0.max(buf.len());
                Ok(buf.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut largest = Largest(0);
        let mut text = Text::new(&mut largest);
        let mut family = text.family("firth_a", Kind::Gauge, "What a is.");
        for at in 0..10_000 {
            family.sample(&[("topic", "a topic of some length")], at);
            family.pass().unwrap();
        }
        text.finish().unwrap();
        assert!(
            (PASSED_BYTES..PASSED_BYTES + 100).contains(&largest.0),
            "{}",
            largest.0
        );
    }
}

//! What the broker logs to standard error: lines for people, or an object of JSON in each line for programs.
//!
//! ```text
//! {"time":"2026-01-31T12:00:00.000000Z","level":"INFO","target":"firth_kafka::groups","message":"...","group":"g",...}
//! ```

mod pace;

use std::fmt::{self, Write};
use std::io::IsTerminal;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{self, Format, Full, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use self::pace::Pace;
use crate::environment;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// From here on what is logged is written.
pub(crate) fn start(filter: EnvFilter, log_format: LogFormat) {
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(log_format == LogFormat::Text && std::io::stderr().is_terminal())
        .event_format(Lines {
            log_format,
            text: format::format(),
            pace: Pace::default(),
        })
        .init();
    if log_format == LogFormat::Json {
        std::panic::set_hook(Box::new(|panic| {
            let payload = panic.payload();
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            let location = panic.location().map(ToString::to_string);
            tracing::error!(location, "a thread panicked: {}", text.unwrap_or("no text"));
        }));
    }
}

/// Writes events, but for those of a place that logs too much.
struct Lines {
    log_format: LogFormat,
    text: Format<Full>,
    pace: Pace,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        // Errors are the broker's own, and who asks for more than information wants all of it.
        let left_out = match *metadata.level() {
            Level::WARN | Level::INFO => {
                let Some(left_out) = self.pace.admit(metadata.callsite(), environment::since_boot()) else {
                    return Ok(());
                };
                left_out
            }
            Level::ERROR | Level::DEBUG | Level::TRACE => 0,
        };
        match self.log_format {
            LogFormat::Text => {
                if left_out > 0 {
                    SystemTime.format_time(&mut writer)?;
                    writeln!(
                        writer,
                        " {:>5} {}: lines like the next one were left out left_out={left_out}",
                        metadata.level(),
                        metadata.target()
                    )?;
                }
                self.text.format_event(context, writer, event)
            }
            LogFormat::Json => write_json(&mut writer, event, left_out),
        }
    }
}

fn write_json(writer: &mut Writer<'_>, event: &Event<'_>, left_out: u64) -> fmt::Result {
    let metadata = event.metadata();
    writer.write_str("{\"time\":\"")?;
    SystemTime.format_time(writer)?;
    write!(
        writer,
        "\",\"level\":\"{}\",\"target\":{}",
        metadata.level(),
        quoted(metadata.target())
    )?;
    let mut fields = Fields {
        message: String::new(),
        rest: String::new(),
    };
    event.record(&mut fields);
    write!(writer, ",\"message\":{}{}", quoted(&fields.message), fields.rest)?;
    if left_out > 0 {
        write!(writer, ",\"left_out\":{left_out}")?;
    }
    writer.write_str("}\n")
}

/// A string as JSON has it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The message, and the other fields as members of an object.
struct Fields {
    message: String,
    rest: String,
}

impl Fields {
    fn push(&mut self, field: &Field, value: impl Into<serde_json::Value>) {
        // Writing to a string cannot fail.
        let _ = write!(self.rest, ",{}:{}", quoted(field.name()), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        match field.name() {
            "message" => self.message = value,
            _ => self.push(field, value),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            _ => self.push(field, value),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value);
    }
}

//! What `/metrics` says. Firth's own names begin with `firth_` and end with their unit; counters end with `_total`. Topics and
//! groups go by the names that kafka_exporter gave them ([`exporter`]).

mod engine;
mod exporter;
mod requests;
mod selection;
mod text;

use std::io::{self, Write};

use firth_log::Durability;

use self::exporter::Exporter;
pub(crate) use self::selection::Selection;
use self::text::{Kind, Text};
use crate::Admin;

/// Writes the metrics as they are now. Blocks while `out` does, with nothing locked.
///
/// # Errors
/// Those of `out`.
pub(crate) fn render(admin: &Admin, selection: &Selection, out: &mut dyn Write) -> io::Result<()> {
    let mut text = Text::new(out);
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    text.family("firth_build_info", Kind::Gauge, "The version that runs.")
        .sample(&version, 1);
    let durability = match admin.durability {
        Durability::Disk => "disk",
        Durability::Os => "os",
    };
    text.family(
        "firth_durability_info",
        Kind::Gauge,
        "When a record is acknowledged: disk after the flush, os when the operating system has it.",
    )
    .sample(&[("durability", durability)], 1);
    text.gauge(
        "firth_healthy",
        "1 unless the engine has failed.",
        u64::from(admin.health.failure().is_none()),
    );
    engine::render(&mut text, admin);
    if let Some(kafka) = &admin.kafka {
        requests::render(&mut text, &kafka.server.metrics());
        Exporter::new(&admin.broker, kafka, selection).render(&mut text)?;
    }
    text.finish()
}

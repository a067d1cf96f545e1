//! Backups: what the broker held at one moment, as an archive.
//!
//! Everything that is durable is sealed, and the segments that there are then are kept open until they are copied: records
//! that are deleted meanwhile are in the backup, and records that come are not. No WAL and no catalog are needed, as an
//! engine that finds segments alone makes its state of them.

use std::io::{self, Write};

use firth_broker::Broker;
use firth_log::segment::Segment;
use firth_log::{Cut, Engine, Failed};

use crate::archive::{ArchivedFile, Manifest, Writer};

/// What is to be copied.
pub struct Backup {
    cut: Cut,
    manifest: Manifest,
}

impl Backup {
    /// Seals what is durable, and holds on to all segments. On a disk that is full this waits until there is space.
    pub async fn begin(engine: &Engine, broker: &Broker) -> Result<Backup, Failed> {
        let created_ms = u64::try_from(broker.clock().wall_ms()).unwrap_or(0);
        let cut = engine.cut().await?;
        let file = |segment: &Segment| ArchivedFile {
            name: segment.id().path(),
            length: segment.summary().length,
        };
        let manifest = Manifest {
            firth: env!("CARGO_PKG_VERSION").to_owned(),
            cluster_id: broker.cluster_id().to_string(),
            created_ms,
            files: cut.segments().map(file).collect(),
        };
        Ok(Backup { cut, manifest })
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Writes the archive. Each segment is verified before it is copied: what is damaged is copied as it is, and named, so
    /// that nobody takes such a backup for a better one than he had before.
    ///
    /// Blocks while it reads and writes.
    pub fn write<W: Write>(&self, out: W) -> io::Result<W> {
        let mut writer = Writer::begin(out, self.manifest.clone())?;
        let mut damages = Vec::new();
        for segment in self.cut.segments() {
            damages.extend(segment.verify().iter().map(ToString::to_string));
            writer.file(|position, length| segment.contents(position, length))?;
        }
        writer.finish(damages)
    }
}

//! What the catalog stores, key by key. All integers little-endian in values, big-endian in keys so that they sort.
//!
//! ```text
//! engine             version u8 = 1, next_log u64, next_segment u64, sealed_lsn u64
//! log/<id u64>       start i64, next_offset i64
//! segment/<id u64>   first_lsn u64, last_lsn u64
//! ```

use crate::catalog::{self, Catalog, Change};
use crate::frame::LogId;
use crate::meta::{LogMeta, Meta};
use crate::producers::Reader;
use crate::segment::{Footer, SegmentId};

const ENGINE: &[u8] = b"engine";
const LOG: &[u8] = b"log/";
const SEGMENT: &[u8] = b"segment/";
const VERSION: u8 = 1;

/// Changes for one commit of the catalog.
#[derive(Default)]
pub(crate) struct Changes {
    puts: Vec<(Vec<u8>, Vec<u8>)>,
    deletes: Vec<Vec<u8>>,
}

/// What a catalog holds.
pub(crate) struct Checkpoint {
    pub(crate) applied_lsn: u64,
    /// Nothing was ever checkpointed into it.
    pub(crate) is_new: bool,
    pub(crate) meta: Meta,
    pub(crate) segments: Vec<SegmentId>,
}

fn key(prefix: &[u8], id: u64) -> Vec<u8> {
    [prefix, &id.to_be_bytes()].concat()
}

impl Changes {
    /// What changed in the engine's state since the last commit.
    pub(crate) fn meta(&mut self, meta: &Meta) {
        let mut engine = vec![VERSION];
        for field in [meta.next_log, meta.next_segment, meta.sealed_lsn] {
            engine.extend_from_slice(&field.to_le_bytes());
        }
        self.puts.push((ENGINE.to_vec(), engine));
        for log in &meta.changed_logs {
            match meta.logs.get(log) {
                Some(LogMeta { start, next_offset }) => {
                    let value = [start.to_le_bytes(), next_offset.to_le_bytes()].concat();
                    self.puts.push((key(LOG, log.0), value));
                }
                None => self.deletes.push(key(LOG, log.0)),
            }
        }
    }

    pub(crate) fn segment(&mut self, footer: &Footer) {
        let value = [
            footer.source.first_lsn.to_le_bytes(),
            footer.source.last_lsn.to_le_bytes(),
        ]
        .concat();
        self.puts.push((key(SEGMENT, footer.id.0), value));
    }

    pub(crate) fn remove_segment(&mut self, id: SegmentId) {
        self.deletes.push(key(SEGMENT, id.0));
    }

    pub(crate) fn commit(self, catalog: &Catalog, applied_lsn: u64) -> Result<(), catalog::Error> {
        let puts = self.puts.iter().map(|(key, value)| Change::Put { key, value });
        let deletes = self.deletes.iter().map(|key| Change::Delete { key });
        catalog.commit(applied_lsn, &puts.chain(deletes).collect::<Vec<_>>())
    }
}

/// Reads everything. A value that is there but malformed is damage like any other.
pub(crate) fn load(catalog: &Catalog) -> Result<Checkpoint, catalog::Error> {
    let mut checkpoint = Checkpoint {
        applied_lsn: catalog.applied_lsn(),
        is_new: true,
        meta: Meta::new(),
        segments: Vec::new(),
    };
    if let Some(engine) = catalog.get(ENGINE)? {
        checkpoint.is_new = false;
        decode_engine(&engine, &mut checkpoint.meta).ok_or_else(|| damaged(ENGINE))?;
    }
    let mut malformed = None;
    catalog.scan(LOG, |key, value| match (id_of(key, LOG), decode_log(value)) {
        (Some(id), Some(meta)) => {
            checkpoint.meta.logs.insert(LogId(id), meta);
        }
        _ => malformed = Some(key.to_vec()),
    })?;
    catalog.scan(SEGMENT, |key, _| match id_of(key, SEGMENT) {
        Some(id) => checkpoint.segments.push(SegmentId(id)),
        None => malformed = Some(key.to_vec()),
    })?;
    match malformed {
        Some(key) => Err(damaged(&key)),
        None => Ok(checkpoint),
    }
}

fn damaged(key: &[u8]) -> catalog::Error {
    catalog::Error::Damaged {
        what: format!("the value of {} is malformed", key.escape_ascii()),
    }
}

fn id_of(key: &[u8], prefix: &[u8]) -> Option<u64> {
    key.strip_prefix(prefix)?.try_into().ok().map(u64::from_be_bytes)
}

fn decode_engine(bytes: &[u8], meta: &mut Meta) -> Option<()> {
    let mut reader = Reader { bytes };
    let [version] = reader.take()?;
    meta.next_log = u64::from_le_bytes(reader.take()?);
    meta.next_segment = u64::from_le_bytes(reader.take()?);
    meta.sealed_lsn = u64::from_le_bytes(reader.take()?);
    (version == VERSION).then_some(())
}

fn decode_log(bytes: &[u8]) -> Option<LogMeta> {
    let mut reader = Reader { bytes };
    let meta = LogMeta {
        start: i64::from_le_bytes(reader.take()?),
        next_offset: i64::from_le_bytes(reader.take()?),
    };
    reader.bytes.is_empty().then_some(meta)
}

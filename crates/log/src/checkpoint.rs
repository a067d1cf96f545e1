//! What the catalog stores, key by key, and who keeps it up to date. All integers little-endian in values, big-endian in
//! keys so that they sort.
//!
//! ```text
//! engine                  version u8 = 2, next_log u64, next_segment u64, sealed_lsn u64
//! incarnation/<no. u64>   id 16, first_lsn u64: those of which the WAL may hold blocks that no segment has
//! log/<id u64>            start i64, next_offset i64
//! accepted/<log u64>      first_offset i64, next_offset i64, for each stretch that the operator gave up
//! segment/<id u64>        first_lsn u64, last_lsn u64
//! ```
//!
//! Version 1 has nothing that was accepted, and none of the records that came with it.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

use std::collections::BTreeSet;

use crate::block::{Incarnation, NUMBER_MAX};
use crate::catalog::{self, Catalog, Change};
use crate::file::Storage;
use crate::frame::LogId;
use crate::ids::IdSet;
use crate::meta::{LogMeta, Meta};
use crate::producers::Reader;
use crate::segment::{SegmentId, Summary};

const ENGINE: &[u8] = b"engine";
const INCARNATION: &[u8] = b"incarnation/";
const LOG: &[u8] = b"log/";
const ACCEPTED: &[u8] = b"accepted/";
const SEGMENT: &[u8] = b"segment/";
/// The highest version that is read, and the one that is written. It rises with each record of the engine or the broker that
/// an older Firth does not know, which is told by it before it has changed anything.
const VERSION: u8 = 2;
const VERSION_MIN: u8 = 1;

/// Changes for one commit of the catalog.
#[derive(Default)]
pub(crate) struct Changes {
    puts: Vec<(Vec<u8>, Vec<u8>)>,
    deletes: Vec<Vec<u8>>,
    /// What is listed when they are committed.
    listed: IdSet<SegmentId>,
    incarnations: Vec<Incarnation>,
}

/// What a catalog holds.
pub(crate) struct Checkpoint {
    pub(crate) applied_lsn: u64,
    /// Nothing was ever checkpointed into it.
    pub(crate) is_new: bool,
    pub(crate) meta: Meta,
    pub(crate) segments: Vec<SegmentId>,
    /// Ascending by number.
    pub(crate) incarnations: Vec<Incarnation>,
}

/// Brings the catalog to the engine's state.
pub(crate) struct Checkpointer {
    /// Absent after an error: a catalog takes no further commit then until it is opened again.
    catalog: Option<Catalog>,
    /// The segments that the catalog lists; it may list more after an error.
    listed: IdSet<SegmentId>,
    incarnations: Vec<Incarnation>,
}

impl Checkpointer {
    /// For a catalog that lists these segments and incarnations.
    pub(crate) fn new(
        catalog: Catalog,
        segments: impl IntoIterator<Item = SegmentId>,
        incarnations: Vec<Incarnation>,
    ) -> Checkpointer {
        Checkpointer {
            catalog: Some(catalog),
            listed: segments.into_iter().collect(),
            incarnations,
        }
    }

    /// Blocks of this incarnation are written from now on.
    pub(crate) fn begin(&mut self, incarnation: Incarnation) {
        self.incarnations.push(incarnation);
    }

    /// What makes the catalog tell this state, in which `segments` are live. Other segments that it lists stay listed, but
    /// for the `dead` ones.
    pub(crate) fn changes<'a>(
        &self,
        meta: &Meta,
        segments: impl IntoIterator<Item = &'a Summary>,
        dead: &[SegmentId],
    ) -> Changes {
        let mut changes = Changes {
            listed: self.listed.clone(),
            ..Changes::default()
        };
        changes.meta(meta);
        for summary in segments {
            if !dead.contains(&summary.id) && changes.listed.insert(summary.id) {
                changes.segment(summary);
            }
        }
        for id in dead {
            changes.listed.remove(id);
            changes.deletes.push(key(SEGMENT, id.0));
        }
        for (at, incarnation) in self.incarnations.iter().enumerate() {
            if may_be_unsealed(incarnation, self.incarnations.get(at + 1), meta.sealed_lsn) {
                changes.incarnation(*incarnation);
            } else {
                changes.deletes.push(key(INCARNATION, incarnation.number));
            }
        }
        changes
    }

    /// Commits the changes together with the LSN up to which they hold. An error leaves open whether they are committed;
    /// committing the changes of the same state again is right in both cases.
    pub(crate) fn commit(
        &mut self,
        storage: &dyn Storage,
        applied_lsn: u64,
        changes: Changes,
    ) -> Result<(), catalog::Error> {
        let catalog = match self.catalog.take() {
            Some(catalog) => catalog,
            None => Catalog::open(storage)?,
        };
        changes.commit(&catalog, applied_lsn)?;
        self.listed = changes.listed;
        self.incarnations = changes.incarnations;
        self.catalog = Some(catalog);
        Ok(())
    }

    /// Gives the catalog's file up: whoever opens it next is not to meet what redb still writes when it ends.
    pub(crate) fn close(&mut self) {
        self.catalog = None;
    }
}

/// Whether the WAL may still hold blocks of `incarnation` that count and that no segment has. It ends where the next one
/// begins.
fn may_be_unsealed(incarnation: &Incarnation, next: Option<&Incarnation>, sealed_lsn: u64) -> bool {
    let from_lsn = incarnation.first_lsn.max(sealed_lsn.saturating_add(1));
    next.is_none_or(|next| next.first_lsn > from_lsn)
}

fn key(prefix: &[u8], id: u64) -> Vec<u8> {
    [prefix, &id.to_be_bytes()].concat()
}

impl Changes {
    /// What changed in the engine's state since the last commit.
    fn meta(&mut self, meta: &Meta) {
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
            match meta.accepted.get(log) {
                Some(stretches) => {
                    let offsets = stretches.iter().flat_map(|(first, next)| [first, next]);
                    let value = offsets.flat_map(|offset| offset.to_le_bytes()).collect();
                    self.puts.push((key(ACCEPTED, log.0), value));
                }
                None if meta.has_accepted => self.deletes.push(key(ACCEPTED, log.0)),
                None => {}
            }
        }
    }

    fn segment(&mut self, summary: &Summary) {
        let span = [summary.source.first_lsn, summary.source.last_lsn];
        let value = span.map(u64::to_le_bytes).concat();
        self.puts.push((key(SEGMENT, summary.id.0), value));
    }

    fn incarnation(&mut self, incarnation: Incarnation) {
        self.incarnations.push(incarnation);
        let mut value = incarnation.id.to_vec();
        value.extend_from_slice(&incarnation.first_lsn.to_le_bytes());
        self.puts.push((key(INCARNATION, incarnation.number), value));
    }

    fn commit(&self, catalog: &Catalog, applied_lsn: u64) -> Result<(), catalog::Error> {
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
        incarnations: Vec::new(),
    };
    if let Some(engine) = catalog.get(ENGINE)? {
        checkpoint.is_new = false;
        if let Some(version) = engine.first().filter(|version| **version > VERSION) {
            let (version, known) = (u32::from(*version), u32::from(VERSION));
            return Err(catalog::Error::UnsupportedVersion { version, known });
        }
        decode_engine(&engine, &mut checkpoint.meta).ok_or_else(|| damaged(ENGINE))?;
    }
    let mut malformed = None;
    catalog.scan(LOG, |key, value| match (id_of(key, LOG), decode_log(value)) {
        (Some(id), Some(meta)) => {
            checkpoint.meta.logs.insert(LogId(id), meta);
        }
        _ => malformed = Some(key.to_vec()),
    })?;
    catalog.scan(ACCEPTED, |key, value| {
        match (id_of(key, ACCEPTED), decode_accepted(value)) {
            (Some(id), Some(stretches)) => {
                checkpoint.meta.has_accepted = true;
                checkpoint.meta.accepted.insert(LogId(id), stretches);
            }
            _ => malformed = Some(key.to_vec()),
        }
    })?;
    catalog.scan(SEGMENT, |key, _| match id_of(key, SEGMENT) {
        Some(id) => checkpoint.segments.push(SegmentId(id)),
        None => malformed = Some(key.to_vec()),
    })?;
    catalog.scan(INCARNATION, |key, value| {
        match id_of(key, INCARNATION).and_then(|number| decode_incarnation(number, value)) {
            Some(incarnation) => checkpoint.incarnations.push(incarnation),
            None => malformed = Some(key.to_vec()),
        }
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
    let bounded = [meta.next_log, meta.next_segment, meta.sealed_lsn]
        .iter()
        .all(|number| *number <= NUMBER_MAX);
    let is_known = (VERSION_MIN..=VERSION).contains(&version);
    (is_known && reader.bytes.is_empty() && bounded).then_some(())
}

fn decode_incarnation(number: u64, bytes: &[u8]) -> Option<Incarnation> {
    let mut reader = Reader { bytes };
    let incarnation = Incarnation {
        id: reader.take()?,
        number,
        first_lsn: u64::from_le_bytes(reader.take()?),
    };
    let bounded = number <= NUMBER_MAX && incarnation.first_lsn <= NUMBER_MAX;
    (reader.bytes.is_empty() && bounded).then_some(incarnation)
}

fn decode_accepted(bytes: &[u8]) -> Option<BTreeSet<(i64, i64)>> {
    let mut reader = Reader { bytes };
    let mut stretches = BTreeSet::new();
    while !reader.bytes.is_empty() {
        let first_offset = i64::from_le_bytes(reader.take()?);
        stretches.insert((first_offset, i64::from_le_bytes(reader.take()?)));
    }
    Some(stretches)
}

fn decode_log(bytes: &[u8]) -> Option<LogMeta> {
    let mut reader = Reader { bytes };
    let meta = LogMeta {
        start: i64::from_le_bytes(reader.take()?),
        next_offset: i64::from_le_bytes(reader.take()?),
    };
    let ordered = 0 <= meta.start && meta.start <= meta.next_offset;
    (reader.bytes.is_empty() && ordered).then_some(meta)
}

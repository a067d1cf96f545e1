//! Opening a data directory: catalog, segments, WAL, in this order, and what they add up to.
//!
//! The catalog is a checkpoint. Where it is damaged, missing, or behind what the WAL still reaches back to, it is moved
//! aside and its contents are read from the segments. Nothing is repaired by deleting.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use crate::block::Incarnation;
use crate::cache::Blocks;
use crate::catalog::{self, Catalog};
use crate::checkpoint::{self, Checkpoint};
use crate::core::tail_extent;
use crate::file::aligned::BufferPool;
use crate::file::{Existence, Mode, Storage};
use crate::frame::LogId;
use crate::meta::{self, LogMeta, Meta};
use crate::producers::Producers;
use crate::rewrite::{SealedProducers, note_producers};
use crate::scan::{self, Damage, DamagedPart, Found, Scan};
use crate::sealer::sealed_extents;
use crate::segment::{self, FooterCache, Segment, SegmentId};
use crate::stored::StoredBlock;
use crate::view::{Raised, View};
use crate::wal::{self, WalFile, WalMode};

/// Offsets that every log skips where blocks were lost of which nothing tells whose they were: a lost offset must not be
/// given to another record.
const OFFSETS_SKIPPED: i64 = 1 << 20;
/// Copies of WAL files in which acknowledged data is damaged.
pub(crate) const QUARANTINE: &str = "quarantine";
const COPY_BYTES: u64 = 1024 * 1024;

/// Why a data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the data directory cannot be read or written: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    NewerFormat(String),
    #[error("{0}")]
    Damaged(String),
}

/// What was found, ready to be served.
pub(crate) struct Recovered {
    pub(crate) catalog: Catalog,
    pub(crate) meta: Meta,
    pub(crate) segments: HashMap<SegmentId, Arc<Segment>>,
    pub(crate) views: HashMap<LogId, Arc<View>>,
    pub(crate) blocks: Blocks,
    /// Where each log goes on.
    pub(crate) heads: Vec<RecoveredHead>,
    pub(crate) sealed_producers: SealedProducers,
    pub(crate) full: Vec<(Arc<WalFile>, u64)>,
    pub(crate) free: Vec<Arc<WalFile>>,
    pub(crate) incarnation: Incarnation,
    pub(crate) quarantined: u64,
}

pub(crate) struct RecoveredHead {
    pub(crate) log: LogId,
    pub(crate) start: i64,
    pub(crate) next_offset: i64,
    pub(crate) producers: Producers,
}

pub(crate) struct Means<'a> {
    pub(crate) storage: &'a dyn Storage,
    pub(crate) wal_mode: WalMode,
    pub(crate) buffers: BufferPool,
    pub(crate) footers: Arc<FooterCache>,
    pub(crate) incarnation_id: [u8; 16],
    pub(crate) now_ms: i64,
}

pub(crate) fn recover(means: &Means<'_>) -> Result<Recovered, OpenError> {
    for dir in [wal::DIRECTORY, segment::DIRECTORY] {
        means.storage.create_dir(dir)?;
    }
    means.storage.sync_dir("")?;
    let opened = open_catalog(means.storage)?;
    let segments = open_segments(means)?;
    if let Some((catalog, checkpoint)) = opened
        && (!checkpoint.is_new || segments.is_empty())
    {
        let base = Base::from_checkpoint(checkpoint, &segments);
        let scan = Scan::begin(wal_files(means)?, base.meta.sealed_lsn + 1).map_err(scan_error)?;
        if scan.reaches_back() || segments.is_empty() {
            return replay(means, catalog, base, segments, scan);
        }
        tracing::error!("the catalog is older than the WAL: rebuilding it from the segments");
    }
    let catalog = Catalog::replace(means.storage).map_err(catalog_error)?;
    let base = Base::from_segments(&segments)?;
    let scan = Scan::begin(wal_files(means)?, base.meta.sealed_lsn + 1).map_err(scan_error)?;
    replay(means, catalog, base, segments, scan)
}

/// The state as of what is sealed.
struct Base {
    meta: Meta,
    /// Meta records of blocks up to here are in `meta`.
    applied_lsn: u64,
    /// Segments that are not part of the state any more, and those that should be and are not.
    superseded: Vec<SegmentId>,
    missing: Vec<SegmentId>,
}

impl Base {
    fn from_checkpoint(checkpoint: Checkpoint, segments: &[Segment]) -> Base {
        let Checkpoint {
            applied_lsn,
            mut meta,
            segments: known,
            ..
        } = checkpoint;
        let mut superseded = Vec::new();
        for segment in segments {
            let (id, source) = (segment.id(), segment.footer().source);
            if known.contains(&id) {
                continue;
            }
            // Written after the last checkpoint. Its blocks are in the WAL too; the segment is the later copy.
            if id.0 >= meta.next_segment && source.first_lsn == meta.sealed_lsn + 1 {
                adopt(&mut meta, segment);
            } else {
                superseded.push(id);
            }
        }
        let found = |id: &SegmentId| segments.iter().any(|segment| segment.id() == *id);
        let missing = known.into_iter().filter(|id| !found(id)).collect();
        Base {
            meta,
            applied_lsn,
            superseded,
            missing,
        }
    }

    fn from_segments(segments: &[Segment]) -> Result<Base, OpenError> {
        tracing::warn!(
            segments = segments.len(),
            "reading the state of the engine from its segments"
        );
        let mut meta = Meta::new();
        for segment in segments {
            let Some(extent) = segment.extent(LogId::META.0) else {
                continue;
            };
            let mut from = extent.first_offset;
            while from < extent.next_offset {
                let batches = segment
                    .read(extent, from, usize::MAX)
                    .map_err(|error| OpenError::Damaged(format!("the meta log cannot be read: {error}")))?;
                let Some((records, next)) = meta::decode(&batches) else {
                    return Err(OpenError::NewerFormat(
                        "the meta log has records of a newer Firth".into(),
                    ));
                };
                records.iter().for_each(|record| meta.apply(record));
                from = next.max(from + 1);
            }
        }
        segments.iter().for_each(|segment| adopt(&mut meta, segment));
        Ok(Base {
            meta,
            applied_lsn: 0,
            superseded: Vec::new(),
            missing: Vec::new(),
        })
    }
}

fn adopt(meta: &mut Meta, segment: &Segment) {
    meta.sealed_lsn = meta.sealed_lsn.max(segment.footer().source.last_lsn);
    meta.next_segment = meta.next_segment.max(segment.id().0 + 1);
    for extent in segment.extents() {
        meta.note_next_offset(LogId(extent.log), extent.next_offset);
        // Ids are never used again, whatever happened to the record of their creation.
        meta.next_log = meta.next_log.max(extent.log + 1);
    }
}

/// `None` where the catalog is damaged.
fn open_catalog(storage: &dyn Storage) -> Result<Option<(Catalog, Checkpoint)>, OpenError> {
    let opened = Catalog::open(storage).and_then(|catalog| {
        let checkpoint = checkpoint::load(&catalog)?;
        Ok((catalog, checkpoint))
    });
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(error @ (catalog::Error::Damaged { .. } | catalog::Error::DamagedValue { .. })) => {
            tracing::error!(%error, "moving the catalog aside and rebuilding it");
            Ok(None)
        }
        Err(error) => Err(catalog_error(error)),
    }
}

fn catalog_error(error: catalog::Error) -> OpenError {
    match error {
        catalog::Error::Io(error) => OpenError::Io(error),
        catalog::Error::UnsupportedVersion { .. } => OpenError::NewerFormat(error.to_string()),
        other => OpenError::Damaged(other.to_string()),
    }
}

fn scan_error(error: scan::Error) -> OpenError {
    match error {
        scan::Error::Io(error) => OpenError::Io(error),
        newer @ scan::Error::UnsupportedVersion { .. } => OpenError::NewerFormat(newer.to_string()),
    }
}

/// Every finished segment, in the order of the WAL spans they hold.
fn open_segments(means: &Means<'_>) -> Result<Vec<Segment>, OpenError> {
    let mut segments = Vec::new();
    for name in means.storage.list(segment::DIRECTORY)? {
        let Some(id) = SegmentId::parse(&name) else {
            continue;
        };
        match Segment::open(means.storage, id, means.footers.clone(), means.buffers.clone()) {
            Ok(segment) => segments.push(segment),
            Err(segment::Error::Unfinished { .. }) => {}
            Err(segment::Error::Io { source, .. }) => return Err(OpenError::Io(source)),
            Err(error @ segment::Error::UnsupportedVersion { .. }) => {
                return Err(OpenError::NewerFormat(error.to_string()));
            }
            Err(error) => tracing::error!(%error, "a segment is quarantined: its file stays where it is"),
        }
    }
    segments.sort_by_key(|segment| (segment.footer().source.last_lsn, segment.id()));
    Ok(segments)
}

fn wal_files(means: &Means<'_>) -> io::Result<Vec<Arc<WalFile>>> {
    let names = means.storage.list(wal::DIRECTORY)?;
    let slots = names.iter().filter_map(|name| wal::parse_slot(name));
    let open = |slot| WalFile::open(means.storage, slot, means.wal_mode, means.buffers.clone()).map(Arc::new);
    slots.map(open).collect()
}

/// Puts the WAL's blocks on top of what is sealed.
fn replay(
    means: &Means<'_>,
    catalog: Catalog,
    base: Base,
    segments: Vec<Segment>,
    scan: Scan,
) -> Result<Recovered, OpenError> {
    let Base {
        mut meta,
        applied_lsn,
        superseded,
        missing,
    } = base;
    missing
        .iter()
        .for_each(|segment| tracing::error!(%segment, "a segment is missing or damaged; quarantined"));
    let segments: Vec<_> = segments
        .into_iter()
        .filter(|segment| !superseded.contains(&segment.id()))
        .collect();
    let sealed_producers = read_sealed_producers(&segments);
    let mut producers = sealed_producers.clone();

    let mut found = Vec::new();
    let mut damages = Vec::new();
    let last_lsn = scan.run(
        |block| {
            apply_meta(&mut meta, &block, applied_lsn);
            for entry in &block.entries {
                if let Some(batches) = block.payload(entry) {
                    note_producers(batches, entry.log, &mut producers, means.now_ms);
                }
            }
            found.push(block.into_stored());
        },
        |damage| damages.push(damage),
    );
    let last_lsn = last_lsn
        .map_err(scan_error)?
        .max(meta.sealed_lsn)
        .max(applied_lsn);
    let unknown_loss = keep_evidence(means.storage, &damages)?;

    let views = build_views(&meta, &segments);
    let (blocks, full) = build_tail(&views, found);
    for (file, _) in &full {
        // What recovery read may be in the page cache alone; readers must not see what the next crash takes back.
        file.sync()?;
    }
    let in_use = |file: &Arc<WalFile>| full.iter().any(|(other, _)| Arc::ptr_eq(file, other));
    let free = scan.files().filter(|file| !in_use(file)).cloned().collect();
    let (heads, holes) = build_heads(&meta, &views, producers, unknown_loss);
    remove_superseded(means.storage, &superseded)?;
    let incarnation = Incarnation {
        id: means.incarnation_id,
        number: scan.number_max + 1,
        first_lsn: last_lsn + 1,
    };
    Ok(Recovered {
        catalog,
        meta,
        segments: segments
            .into_iter()
            .map(|segment| (segment.id(), Arc::new(segment)))
            .collect(),
        views,
        blocks,
        heads,
        sealed_producers,
        full,
        free,
        incarnation,
        quarantined: (missing.len() + damages.len()).max(holes) as u64,
    })
}

fn apply_meta(meta: &mut Meta, block: &Found, applied_lsn: u64) {
    for entry in &block.entries {
        meta.next_log = meta.next_log.max(entry.log.0 + 1);
        if entry.log != LogId::META || block.header.lsn <= applied_lsn {
            continue;
        }
        match block.payload(entry).and_then(meta::decode) {
            Some((records, _)) => records.iter().for_each(|record| meta.apply(record)),
            None => tracing::error!(
                lsn = block.header.lsn,
                "a record of the meta log is not understood"
            ),
        }
    }
}

/// Names what is damaged, and copies the files that it lies in, since they are overwritten later. Says whether blocks
/// were lost of which nothing tells whose they were.
fn keep_evidence(storage: &dyn Storage, damages: &[Damage]) -> Result<bool, OpenError> {
    let mut unknown_loss = false;
    let mut copied: Vec<u32> = Vec::new();
    for damage in damages {
        match &damage.what {
            DamagedPart::Blocks(lsns) => {
                unknown_loss = true;
                let (first_lsn, last_lsn) = (lsns.start(), lsns.end());
                tracing::error!(
                    first_lsn,
                    last_lsn,
                    "acknowledged blocks of the WAL are damaged; quarantined"
                );
            }
            DamagedPart::Slice(entry) => tracing::error!(
                log = entry.log.0,
                first_offset = entry.first_offset,
                next_offset = entry.next_offset,
                "acknowledged data is damaged in the WAL; quarantined"
            ),
        }
        if !copied.contains(&damage.file.slot) {
            copied.push(damage.file.slot);
            copy_to_quarantine(storage, damage)?;
        }
    }
    Ok(unknown_loss)
}

fn copy_to_quarantine(storage: &dyn Storage, damage: &Damage) -> Result<(), OpenError> {
    storage.create_dir(QUARANTINE)?;
    storage.sync_dir("")?;
    let path = format!("{QUARANTINE}/wal-{}", damage.lsn());
    let copy = storage.open(&path, Mode::Buffered, Existence::CreateIfMissing)?;
    let mut position = 0;
    while position < damage.file.bytes {
        let length = (damage.file.bytes - position).min(COPY_BYTES);
        copy.write_at(&damage.file.read(position, length as usize)?, position)?;
        position += length;
    }
    copy.sync()?;
    storage.sync_dir(QUARANTINE)?;
    Ok(())
}

fn read_sealed_producers(segments: &[Segment]) -> SealedProducers {
    let mut producers = SealedProducers::new();
    for segment in segments {
        // A damaged section loses the windows, not the data: their producers begin anew.
        for (log, windows) in segment.producers().unwrap_or_default() {
            match Producers::decode(&windows) {
                Some(windows) => {
                    producers.insert(LogId(log), windows);
                }
                None => tracing::error!(segment = %segment.id(), log, "producers' windows are malformed"),
            }
        }
    }
    producers
}

fn build_views(meta: &Meta, segments: &[Segment]) -> HashMap<LogId, Arc<View>> {
    // Ends grow with what is found in the WAL; what segments hold or held is noted in the state.
    let new_view = |log: LogId, state: &LogMeta| Arc::new(View::new(log, state.start, state.next_offset));
    let views: HashMap<_, _> = meta
        .logs
        .iter()
        .map(|(log, state)| (*log, new_view(*log, state)))
        .collect();
    for segment in segments {
        for (log, extent) in sealed_extents(segment.footer()) {
            if let Some(view) = views.get(&log) {
                view.sealed(extent);
            }
        }
    }
    views
}

type Tail = (Blocks, Vec<(Arc<WalFile>, u64)>);

fn build_tail(views: &HashMap<LogId, Arc<View>>, found: Vec<(Arc<StoredBlock>, Arc<WalFile>)>) -> Tail {
    let mut blocks = Blocks::default();
    let mut full: Vec<(Arc<WalFile>, u64)> = Vec::new();
    for (block, file) in found {
        for entry in &block.entries {
            if let Some(view) = views.get(&entry.log) {
                view.publish(tail_extent(&block, entry), &mut Raised::default());
            }
        }
        match full.last_mut().filter(|(other, _)| Arc::ptr_eq(other, &file)) {
            Some((_, last_lsn)) => *last_lsn = block.lsn,
            None => full.push((file, block.lsn)),
        }
        if !block.entries.is_empty() {
            blocks.push(block, 0, usize::MAX);
        }
    }
    (blocks, full)
}

fn build_heads(
    meta: &Meta,
    views: &HashMap<LogId, Arc<View>>,
    mut producers: SealedProducers,
    unknown_loss: bool,
) -> (Vec<RecoveredHead>, usize) {
    let mut holes = 0;
    let heads = meta.logs.iter().map(|(&log, state)| {
        let view = &views[&log];
        // Nothing leaves holes yet but damage, so whatever is missing between two stretches was lost.
        for (first_offset, next_offset) in view.gaps() {
            tracing::error!(
                log = log.0,
                first_offset,
                next_offset,
                "acknowledged data is missing; quarantined"
            );
            view.quarantine(first_offset, next_offset);
            holes += 1;
        }
        let skipped = if unknown_loss { OFFSETS_SKIPPED } else { 0 };
        RecoveredHead {
            log,
            start: state.start,
            next_offset: view.bounds().end + skipped,
            producers: producers.remove(&log).unwrap_or_default(),
        }
    });
    let heads = heads.collect();
    (heads, holes)
}

/// Removes segments that the catalog gave up before a crash.
fn remove_superseded(storage: &dyn Storage, superseded: &[SegmentId]) -> io::Result<()> {
    for id in superseded {
        storage.remove(&id.path())?;
    }
    if superseded.is_empty() {
        Ok(())
    } else {
        storage.sync_dir(segment::DIRECTORY)
    }
}

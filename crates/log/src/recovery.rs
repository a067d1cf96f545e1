//! Opening a data directory: catalog, segments, WAL, in this order, and what they add up to.
//!
//! The catalog is a checkpoint. Where it is damaged or missing, it is moved aside and its contents are read from the
//! segments; where it is older than it should be, the segments complete it. Nothing is repaired by deleting.

mod base;
mod losses;

use std::io;
use std::sync::Arc;

use self::base::Base;
use crate::block::Incarnation;
use crate::cache::Blocks;
use crate::carried::{Carried, SealedProducers};
use crate::catalog::{self, Catalog};
use crate::checkpoint::{self, Checkpoint, Checkpointer};
use crate::core::tail_extent;
use crate::file::Storage;
use crate::file::aligned::BufferPool;
use crate::frame::LogId;
use crate::ids::IdMap;
use crate::meta::{self, Meta};
use crate::producers::Producers;
use crate::scan::{self, Damage, Scan, Span};
use crate::segment::{self, FooterCache, Segment, SegmentId};
use crate::segments::{Segments, Views};
use crate::view::{Raised, View};
use crate::wal::{self, WalFile, WalMode};

/// Offsets that every log skips where blocks were lost of which nothing tells whose they were: a lost offset must not be
/// given to another record. No loss is that large, so that a hole of this size is known to be none.
pub(crate) const OFFSETS_SKIPPED: i64 = 1 << 32;
/// Ids of logs that are skipped where records of the meta log were lost, which may have created logs.
const IDS_SKIPPED: u64 = 1 << 32;

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
    pub(crate) checkpointer: Checkpointer,
    pub(crate) meta: Meta,
    pub(crate) segments: Segments,
    pub(crate) views: Views,
    pub(crate) blocks: Blocks,
    /// Where each log goes on.
    pub(crate) heads: Vec<RecoveredHead>,
    pub(crate) carried: Carried,
    pub(crate) full: Vec<(Arc<WalFile>, u64)>,
    pub(crate) free: Vec<Arc<WalFile>>,
    pub(crate) incarnation: Incarnation,
    /// The last block with batches in the WAL, 0 without one, and up to where blocks in the WAL say that it is durable.
    pub(crate) data_lsn: u64,
    pub(crate) recorded_lsn: u64,
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
    // Whatever a newer Firth wrote is refused before anything is changed.
    let segments = find_segments(means)?;
    let heads = scan::heads(wal_files(means)?).map_err(scan_error)?;
    let (state, checkpoint) = read_catalog(means.storage)?;
    let mut listed = Vec::new();
    let mut incarnations = Vec::new();
    let mut base = match checkpoint {
        Some(checkpoint) if !checkpoint.is_new || segments.segments.is_empty() => {
            listed.clone_from(&checkpoint.segments);
            incarnations.clone_from(&checkpoint.incarnations);
            Base::from_checkpoint(checkpoint, segments)?
        }
        _ => Base::from_segments(segments)?,
    };
    let scan = Scan::begin(heads, &incarnations).map_err(scan_error)?;
    let mut tail = read_wal(means, &scan, &base)?;
    let is_older = base.newer_lsn() > tail.last_lsn || !tail.damages.is_empty() || !base.missing.is_empty();
    if is_older && !base.newer.is_empty() {
        tracing::error!("the catalog is older than the WAL: completing it from the segments");
        base.adopt_newer()?;
        tail = read_wal(means, &scan, &base)?;
    }

    make_directories(means.storage)?;
    let catalog = match state {
        CatalogState::Damaged => Catalog::replace(means.storage),
        CatalogState::Readable => Catalog::open(means.storage),
    };
    let checkpointer = Checkpointer::new(catalog.map_err(catalog_error)?, listed, incarnations);
    name_missing(&base.missing);
    serve(means, &scan, base, tail, checkpointer)
}

fn make_directories(storage: &dyn Storage) -> io::Result<()> {
    let names = storage.list("")?;
    let missing = [wal::DIRECTORY, segment::DIRECTORY]
        .into_iter()
        .filter(|dir| !names.iter().any(|name| name == dir));
    for dir in missing {
        storage.create_dir(dir)?;
    }
    // Whether they were durable is not known even where they are there.
    storage.sync_dir("")
}

/// The names in a directory that may not be there yet.
fn names_in(storage: &dyn Storage, dir: &str) -> io::Result<Vec<String>> {
    match storage.list("")?.iter().any(|name| name == dir) {
        true => storage.list(dir),
        false => Ok(Vec::new()),
    }
}

/// What is to be done with the catalog's file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CatalogState {
    /// It can be read, or is not there yet.
    Readable,
    Damaged,
}

/// Reads the catalog, and changes nothing of it: a newer Firth may have written it.
fn read_catalog(storage: &dyn Storage) -> Result<(CatalogState, Option<Checkpoint>), OpenError> {
    match Catalog::peek(storage, checkpoint::load) {
        Ok(Some(checkpoint)) => Ok((CatalogState::Readable, Some(checkpoint))),
        Ok(None) => Ok((CatalogState::Readable, None)),
        Err(error @ (catalog::Error::Damaged { .. } | catalog::Error::DamagedValue { .. })) => {
            tracing::error!(%error, "moving the catalog aside and rebuilding it");
            Ok((CatalogState::Damaged, None))
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

fn newer_record() -> OpenError {
    OpenError::NewerFormat("the meta log has records that this Firth does not know: use a newer one".into())
}

fn find_segments(means: &Means<'_>) -> Result<base::Found, OpenError> {
    let mut found = base::Found::default();
    for name in names_in(means.storage, segment::DIRECTORY)? {
        let Some(id) = SegmentId::parse(&name) else {
            continue;
        };
        found.end = found.end.max(id.0.saturating_add(1));
        match Segment::open(means.storage, id, means.footers.clone(), means.buffers.clone()) {
            Ok(segment) => found.segments.push(segment),
            Err(segment::Error::Unfinished { .. }) => {}
            Err(segment::Error::Io { source, .. }) => return Err(OpenError::Io(source)),
            Err(error @ segment::Error::UnsupportedVersion { .. }) => {
                return Err(OpenError::NewerFormat(error.to_string()));
            }
            Err(error) => {
                tracing::error!(%error, "a segment is quarantined: its file stays where it is");
                found.damaged.push(id);
            }
        }
    }
    found
        .segments
        .sort_by_key(|segment| (segment.summary().source.last_lsn, segment.id()));
    Ok(found)
}

fn wal_files(means: &Means<'_>) -> io::Result<Vec<Arc<WalFile>>> {
    let names = names_in(means.storage, wal::DIRECTORY)?;
    let slots = names.iter().filter_map(|name| wal::parse_slot(name));
    let open = |slot| WalFile::open(means.storage, slot, means.wal_mode, means.buffers.clone()).map(Arc::new);
    slots.map(open).collect()
}

/// What the WAL holds that no segment does.
struct Tail {
    meta: Meta,
    producers: SealedProducers,
    blocks: Vec<scan::Stored>,
    damages: Vec<Damage>,
    last_lsn: u64,
}

fn read_wal(means: &Means<'_>, scan: &Scan, base: &Base) -> Result<Tail, OpenError> {
    let mut meta = base.meta.clone();
    let mut producers = base.producers()?;
    let mut blocks = Vec::new();
    let mut damages = Vec::new();
    let mut is_newer = false;
    let span = Span {
        from_lsn: meta.sealed_lsn + 1,
        claimed_lsn: base.claimed_lsn,
    };
    let last_lsn = scan.run(
        span,
        |block| {
            if block.header.lsn > base.applied_lsn {
                is_newer |= apply_meta(&mut meta, &block).is_none();
            }
            for entry in &block.entries {
                if let Some(batches) = block.payload(entry) {
                    producers.note(batches, entry.log, means.now_ms);
                }
            }
            blocks.push(block.into_stored());
        },
        |damage| damages.push(damage),
    );
    let last_lsn = last_lsn.map_err(scan_error)?;
    if is_newer {
        return Err(newer_record());
    }
    Ok(Tail {
        meta,
        producers,
        blocks,
        damages,
        last_lsn,
    })
}

/// Applies the block's records. `None` where there is one that this version does not know.
fn apply_meta(meta: &mut Meta, block: &scan::Found) -> Option<()> {
    // Batches are not forgotten because the record that created their log was lost.
    for entry in &block.entries {
        meta.create(entry.log);
    }
    for entry in block.entries.iter().filter(|entry| entry.log == LogId::META) {
        let (records, _) = block.payload(entry).and_then(meta::decode)?;
        records.iter().for_each(|record| meta.apply(record));
    }
    Some(())
}

/// Puts the WAL's blocks on top of what is sealed.
fn serve(
    means: &Means<'_>,
    scan: &Scan,
    base: Base,
    tail: Tail,
    mut checkpointer: Checkpointer,
) -> Result<Recovered, OpenError> {
    let sealed_producers = base.producers()?;
    let Tail {
        mut meta,
        mut producers,
        blocks: found,
        damages,
        last_lsn,
    } = tail;
    losses::name(means.storage, &meta, &damages)?;

    let newer = base.newer.iter().map(Segment::id);
    let superseded = newer.chain(base.superseded.iter().copied()).collect();
    let views = build_views(&meta);
    let segments = show_segments(base.segments, &views)?;
    let (data_lsn, recorded_lsn) = last_lsns(&found);
    make_durable(means, &found, recorded_lsn.max(base.claimed_lsn) + 1)?;
    let (blocks, mut full) = build_tail(&views, found);
    let (losses, quarantined) = losses::quarantine(&mut meta, &views, &segments, &damages);
    if data_lsn == 0 && losses.is_empty() {
        // Blocks without entries have told what they had to.
        meta.sealed_lsn = meta.sealed_lsn.max(last_lsn);
        full.clear();
    }
    // What recovery read may be in the page cache alone; readers must not see what the next crash takes back.
    full.iter().try_for_each(|(file, _)| file.sync())?;
    let free = free_files(means.storage, scan, &full)?;
    let unknown_loss = base.unknown_loss || losses::are_unknown(&damages);
    let heads = build_heads(&mut meta, &views, &mut producers, unknown_loss);
    skip_ids(&mut meta, unknown_loss || base.losses > 0, &views[&LogId::META]);
    let incarnation = Incarnation {
        id: means.incarnation_id,
        number: scan.number_max + 1,
        first_lsn: last_lsn + 1,
    };
    begin(
        means.storage,
        &mut checkpointer,
        incarnation,
        &mut meta,
        &segments,
    )?;

    remove_superseded(means.storage, superseded)?;
    Ok(Recovered {
        checkpointer,
        meta,
        segments,
        views,
        blocks,
        heads,
        carried: Carried::new(sealed_producers, losses),
        full,
        free,
        incarnation,
        data_lsn,
        recorded_lsn,
        quarantined: quarantined + base.losses,
    })
}

/// Records of logs may be among what is lost: no id is given a second time.
fn skip_ids(meta: &mut Meta, has_losses: bool, view: &View) {
    if has_losses || !view.holes().is_empty() {
        meta.next_log = meta.next_log.saturating_add(IDS_SKIPPED);
    }
}

/// Writes the blocks from `first_lsn` on once more: nothing tells that they are durable, and after a flush that failed the
/// page cache may hold what the disk does not.
fn make_durable(means: &Means<'_>, found: &[scan::Stored], first_lsn: u64) -> io::Result<()> {
    if means.wal_mode == WalMode::DirectSync {
        return Ok(());
    }
    let unrecorded = found.iter().filter(|stored| stored.block.lsn >= first_lsn);
    unrecorded.into_iter().try_for_each(scan::Stored::write_again)
}

fn name_missing(segments: &[SegmentId]) {
    for segment in segments {
        tracing::error!(%segment, "a segment is missing or damaged; what it held is quarantined");
    }
}

/// The last block that carries batches, and the last LSN that a block says to be durable; 0 where there is none.
fn last_lsns(found: &[scan::Stored]) -> (u64, u64) {
    let with_batches = found.iter().filter(|stored| !stored.block.entries.is_empty());
    let data_lsn = with_batches.map(|stored| stored.block.lsn).max();
    let recorded_lsn = found.iter().map(|stored| stored.durable_lsn).max();
    (data_lsn.unwrap_or(0), recorded_lsn.unwrap_or(0))
}

/// Makes the catalog know the incarnation and what was recovered, before anything is written.
fn begin(
    storage: &dyn Storage,
    checkpointer: &mut Checkpointer,
    incarnation: Incarnation,
    meta: &mut Meta,
    segments: &Segments,
) -> Result<(), OpenError> {
    let last_lsn = incarnation.first_lsn - 1;
    checkpointer.begin(incarnation);
    let segments = segments.in_order();
    let summaries = segments.iter().map(|sealed| sealed.summary());
    let changes = checkpointer.changes(meta, summaries, &[]);
    checkpointer
        .commit(storage, last_lsn, changes)
        .map_err(catalog_error)?;
    meta.changed_logs.clear();
    Ok(())
}

fn build_views(meta: &Meta) -> Views {
    // Ends grow with what is found in the WAL; what segments hold or held is noted in the state.
    let views = meta
        .logs
        .iter()
        .map(|(log, state)| (*log, Arc::new(View::new(*log, state.start, state.next_offset))));
    let views: Views = views.collect();
    for (log, stretches) in &meta.accepted {
        for (first_offset, next_offset) in stretches {
            if let Some(view) = views.get(log) {
                view.accept(*first_offset, *next_offset, &mut Raised::default());
            }
        }
    }
    views
}

/// Makes the segments readable, each in the place of those that it was made of.
fn show_segments(mut found: Vec<Segment>, views: &Views) -> Result<Segments, OpenError> {
    found.sort_unstable_by_key(Segment::id);
    let segments = Segments::default();
    for segment in found {
        let extents = segment.extents().map_err(segment_error)?;
        segments.show(segment, &extents, views);
    }
    Ok(segments)
}

fn segment_error(error: segment::Error) -> OpenError {
    match error {
        segment::Error::Io { source, .. } => OpenError::Io(source),
        other => OpenError::Damaged(other.to_string()),
    }
}

type Built = (Blocks, Vec<(Arc<WalFile>, u64)>);

fn build_tail(views: &IdMap<LogId, Arc<View>>, found: Vec<scan::Stored>) -> Built {
    let mut blocks = Blocks::default();
    let mut full: Vec<(Arc<WalFile>, u64)> = Vec::new();
    for scan::Stored { block, file, .. } in found {
        for entry in &block.entries {
            let view = views.get(&entry.log);
            if view.is_some_and(|view| !view.publish_recovered(tail_extent(&block, entry))) {
                tracing::error!(
                    log = entry.log.0,
                    lsn = block.lsn,
                    "a block contradicts those before it"
                );
            }
        }
        match full.last_mut().filter(|(other, _)| Arc::ptr_eq(other, &file)) {
            Some((_, last_lsn)) => *last_lsn = block.lsn,
            None => full.push((file, block.lsn)),
        }
        if !block.entries.is_empty() {
            blocks.push_recovered(block);
        }
    }
    (blocks, full)
}

/// Files that hold nothing which is needed. The beginning of one that a crash interrupted is given up.
fn free_files(
    storage: &dyn Storage,
    scan: &Scan,
    full: &[(Arc<WalFile>, u64)],
) -> io::Result<Vec<Arc<WalFile>>> {
    let in_use = |file: &Arc<WalFile>| full.iter().any(|(other, _)| Arc::ptr_eq(file, other));
    let free = scan.files().filter(|file| !in_use(file)).cloned();
    let (whole, begun): (Vec<_>, Vec<_>) = free.partition(|file| file.bytes >= wal::FILE_BYTES_MIN);
    for file in begun {
        storage.remove(&wal::path(file.slot))?;
    }
    Ok(whole)
}

fn build_heads(
    meta: &mut Meta,
    views: &IdMap<LogId, Arc<View>>,
    producers: &mut SealedProducers,
    unknown_loss: bool,
) -> Vec<RecoveredHead> {
    let mut heads = Vec::new();
    for (log, view) in views {
        let bounds = view.bounds();
        let mut next_offset = bounds.end;
        if unknown_loss {
            // Noted, so that it holds also where the log gets no batch before the next restart.
            next_offset = next_offset.saturating_add(OFFSETS_SKIPPED);
            meta.note_next_offset(*log, next_offset);
        }
        heads.push(RecoveredHead {
            log: *log,
            start: bounds.start,
            next_offset,
            producers: producers.remove(*log).unwrap_or_default(),
        });
    }
    heads
}

/// Removes segments that the catalog gave up before a crash, and those that the WAL has whole.
fn remove_superseded(storage: &dyn Storage, superseded: Vec<SegmentId>) -> io::Result<()> {
    for id in &superseded {
        storage.remove(&id.path())?;
    }
    if superseded.is_empty() {
        Ok(())
    } else {
        storage.sync_dir(segment::DIRECTORY)
    }
}

//! The state of the engine as of what is sealed: from the catalog, or else from the segments themselves.

use super::OpenError;
use crate::carried::SealedProducers;
use crate::checkpoint::Checkpoint;
use crate::frame::LogId;
use crate::ids::IdSet;
use crate::meta::{self, Meta, Record};
use crate::producers::Producers;
use crate::segment::{self, Extent, Segment, SegmentId, Source};
use crate::view::{Freed, SealedExtent, View};

/// What the directory of segments holds.
#[derive(Default)]
pub(super) struct Found {
    /// Those that are whole, in the order of the WAL spans they hold.
    pub(super) segments: Vec<Segment>,
    /// Those that cannot be opened. Their files stay where they are.
    pub(super) damaged: Vec<SegmentId>,
    /// Behind the largest id of a file, be it a segment or the beginning of one.
    pub(super) end: u64,
}

pub(super) struct Base {
    pub(super) meta: Meta,
    /// Meta records of blocks up to here are in `meta`.
    pub(super) applied_lsn: u64,
    /// Blocks up to here were durable.
    pub(super) claimed_lsn: u64,
    /// In the order of the WAL spans they hold.
    pub(super) segments: Vec<Segment>,
    /// Segments that were finished after the last checkpoint. The WAL has what they hold, unless the checkpoint is older
    /// than it should be.
    pub(super) newer: Vec<Segment>,
    /// Segments that the checkpoint gave up.
    pub(super) superseded: Vec<SegmentId>,
    /// Segments that should be there.
    pub(super) missing: Vec<SegmentId>,
    /// Stretches of the meta log that could not be read.
    pub(super) losses: u64,
    /// The checkpoint does not know of all blocks that were lost without a word of whose they were.
    pub(super) unknown_loss: bool,
}

/// What records of the meta log that were read say of logs that are not there.
#[derive(Default)]
struct Applied {
    deleted: IdSet<LogId>,
    /// Ids from here on were not given out yet when the last snapshot was taken.
    snapshot_next_log: u64,
    /// Segments that begin behind this hold nothing that is as old.
    snapshot_lsn: u64,
}

impl Applied {
    /// Whether a log of which a segment holds something, and which no record creates, was deleted: a record says so, or
    /// the last snapshot does not name it. Otherwise the record that created it is lost.
    fn deleted(&self, log: LogId, span: Source) -> bool {
        let was_gone = log.0 < self.snapshot_next_log && span.first_lsn <= self.snapshot_lsn;
        self.deleted.contains(&log) || was_gone
    }
}

impl Base {
    pub(super) fn from_checkpoint(checkpoint: Checkpoint, found: Found) -> Result<Base, OpenError> {
        let known: IdSet<SegmentId> = checkpoint.segments.iter().copied().collect();
        let mut base = Base::new(checkpoint.meta);
        base.applied_lsn = checkpoint.applied_lsn;
        base.claimed_lsn = checkpoint.applied_lsn;
        base.missing = checkpoint.segments;
        let sealed_lsn = base.meta.sealed_lsn;
        let is_newer = |segment: &Segment| segment.summary().source.first_lsn > sealed_lsn;
        base.missing
            .retain(|id| !found.segments.iter().any(|segment| segment.id() == *id));
        let is_gone = |id: &SegmentId| !found.damaged.contains(id);
        // What it lists and is not there may be in one that was made of it, of which it does not know.
        let is_rewritten = |segment: &Segment| !known.contains(&segment.id()) && !is_newer(segment);
        if base.missing.iter().any(is_gone) && found.segments.iter().any(is_rewritten) {
            tracing::error!("the catalog is older than the segments: reading the state from these");
            let claimed_lsn = base.claimed_lsn;
            let mut base = Base::from_segments(found)?;
            base.claimed_lsn = claimed_lsn;
            return Ok(base);
        }
        for segment in found.segments {
            if known.contains(&segment.id()) {
                base.segments.push(segment);
            } else if is_newer(&segment) {
                base.newer.push(segment);
            } else {
                base.superseded.push(segment.id());
            }
        }
        // The file of a damaged segment is not written over.
        for id in found.damaged {
            base.meta.next_segment = base.meta.next_segment.max(id.0.saturating_add(1));
        }
        Ok(base)
    }

    /// For a directory without a catalog.
    pub(super) fn from_segments(found: Found) -> Result<Base, OpenError> {
        if !found.segments.is_empty() {
            tracing::warn!(
                segments = found.segments.len(),
                "reading the state of the engine from its segments"
            );
        }
        let mut base = Base::new(Meta::new());
        base.meta.next_segment = base.meta.next_segment.max(found.end);
        base.missing = found.damaged;
        base.newer = found.segments;
        base.adopt_newer()?;
        Ok(base)
    }

    fn new(meta: Meta) -> Base {
        Base {
            meta,
            applied_lsn: 0,
            claimed_lsn: 0,
            segments: Vec::new(),
            newer: Vec::new(),
            superseded: Vec::new(),
            missing: Vec::new(),
            losses: 0,
            unknown_loss: false,
        }
    }

    /// The last block that a newer segment holds; 0 without one.
    pub(super) fn newer_lsn(&self) -> u64 {
        let lsns = self.newer.iter().map(|segment| segment.summary().source.last_lsn);
        lsns.max().unwrap_or(0)
    }

    /// Takes the newer segments, where the WAL does not have what they hold.
    pub(super) fn adopt_newer(&mut self) -> Result<(), OpenError> {
        // Their records may be older than some that the checkpoint knew, so all that follow are applied again.
        self.applied_lsn = self.applied_lsn.min(self.meta.sealed_lsn);
        let newer = std::mem::take(&mut self.newer);
        let records = self.apply_records(&newer)?;
        for segment in &newer {
            self.adopt(segment, &records)?;
        }
        self.segments.extend(newer);
        Ok(())
    }

    /// Applies the meta log's records in their order, whichever segments hold them.
    fn apply_records(&mut self, segments: &[Segment]) -> Result<Applied, OpenError> {
        let view = View::new(LogId::META, 0, 0);
        for segment in segments {
            if let Some(extent) = segment.extent(LogId::META.0).map_err(super::segment_error)? {
                let sealed = SealedExtent::of(segment.id(), &extent);
                view.sealed(sealed, 0, &mut Freed::default());
            }
        }
        let mut applied = Applied::default();
        for sealed in view.stretches().0 {
            let holder = segments.iter().find(|segment| segment.id() == sealed.segment);
            if let Some(segment) = holder
                && let Some(extent) = segment.extent(LogId::META.0).map_err(super::segment_error)?
            {
                self.apply_meta(segment, &extent, &mut applied)?;
            }
        }
        Ok(applied)
    }

    fn adopt(&mut self, segment: &Segment, applied: &Applied) -> Result<(), OpenError> {
        let losses = &segment.summary().losses;
        let span = segment.summary().source;
        let extents = segment.extents().map_err(super::segment_error)?;
        let ends = extents.iter().map(|extent| (extent.log, extent.next_offset));
        let holes = losses.holes.iter().map(|hole| (hole.log, hole.next_offset));
        for (log, next_offset) in ends.chain(holes).map(|(log, end)| (LogId(log), end)) {
            // Batches are not forgotten because the record that created their log was lost.
            if !self.meta.logs.contains_key(&log) && !applied.deleted(log, span) {
                self.meta.create(log);
            }
            self.meta.note_log(log);
            self.meta.note_next_offset(log, next_offset);
        }
        self.unknown_loss |= !losses.blocks.is_empty();
        let meta = &mut self.meta;
        meta.sealed_lsn = meta.sealed_lsn.max(span.last_lsn);
        meta.next_segment = meta.next_segment.max(segment.id().0.saturating_add(1));
        Ok(())
    }

    fn apply_meta(
        &mut self,
        segment: &Segment,
        extent: &Extent,
        applied: &mut Applied,
    ) -> Result<(), OpenError> {
        let mut from = extent.first_offset;
        while from < extent.next_offset {
            let batches = match segment.read(extent, from, usize::MAX) {
                Ok(batches) if batches.is_empty() => break,
                Ok(batches) => batches,
                Err(segment::Error::Io { source, .. }) => return Err(OpenError::Io(source)),
                Err(error) => {
                    tracing::error!(%error, "records of the meta log are lost");
                    self.losses += 1;
                    match error {
                        segment::Error::Damaged { next_offset, .. } if next_offset > from => {
                            from = next_offset;
                            continue;
                        }
                        _ => break,
                    }
                }
            };
            let (records, next_offset) = meta::decode(&batches).ok_or_else(super::newer_record)?;
            for record in &records {
                self.meta.apply(record);
                match record {
                    Record::Deleted { log } => drop(applied.deleted.insert(*log)),
                    Record::Snapshot { next_log, .. } => {
                        applied.snapshot_next_log = *next_log;
                        applied.snapshot_lsn = segment.summary().source.last_lsn;
                    }
                    _ => {}
                }
            }
            from = next_offset.max(from + 1);
        }
        Ok(())
    }

    /// The windows of producers as of what is sealed: those in the last segment that has them.
    pub(super) fn producers(&self) -> Result<SealedProducers, OpenError> {
        let mut producers = SealedProducers::default();
        for segment in &self.segments {
            let windows = match segment.producers() {
                Ok(windows) => windows,
                Err(segment::Error::Io { source, .. }) => return Err(OpenError::Io(source)),
                Err(error) => {
                    // The windows are lost, not the data: their producers begin anew.
                    tracing::error!(%error, "producers' windows are lost");
                    continue;
                }
            };
            for (log, windows) in windows {
                if Producers::is_newer(&windows) {
                    return Err(OpenError::NewerFormat(format!(
                        "segment {} has producers' windows that this Firth does not know: use a newer one",
                        segment.id()
                    )));
                }
                match Producers::decode(&windows) {
                    Some(windows) => producers.insert(LogId(log), windows, segment.id()),
                    None => tracing::error!(segment = %segment.id(), log, "producers' windows are malformed"),
                }
            }
        }
        Ok(producers)
    }
}

//! What to rewrite next.
//!
//! - Where less than half of a segment is kept, what is kept moves to a new one, together with that of others. That may be
//!   nothing but producers' windows, or what was lost.
//! - Segments in which logs have short stretches are merged, a number of neighbours at once, and what came of that once
//!   more. So each byte is rewritten twice at most, and a log's stretches grow by the square of that number.
//! - Neighbours that are small for whatever reason become one.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::core::{Core, Disk};
use crate::frame::LogId;
use crate::ids::{IdMap, IdSet};
use crate::lock::{lock, read};
use crate::rewrite::{Job, Part, Selection};
use crate::segment::{self, Hole, SegmentId, Source};
use crate::segments::{self, Sealed};
use crate::view::SealedExtent;

/// Batches are merged for their contiguity so many times.
const GENERATION_MAX: u32 = 2;
/// A log's stretches are long enough from here on.
const CONTIGUOUS_BYTES: u64 = 1024 * 1024;
/// Sources of one rewrite at most.
const SOURCES_MAX: usize = 64;

/// Why segments are rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Little of them is kept.
    Sparse,
    /// They lie beside each other.
    Neighbours,
    Requested,
}

pub(super) struct Plan {
    pub(super) sources: Vec<Arc<Sealed>>,
    pub(super) reason: Reason,
    generation: u32,
    /// The extents of one log alone.
    only: Option<(LogId, Vec<SealedExtent>)>,
}

/// The next thing to do, if there is any and there is space for it: with none of those that are `stuck`, and nothing is
/// merged with those that are `apart`.
pub(super) fn choose(
    core: &Core,
    disk: &Disk,
    stuck: &IdSet<SegmentId>,
    apart: &IdSet<SegmentId>,
) -> Option<Plan> {
    let (mut segments, dead) = {
        // While a segment is made to count it is not known how much of it is kept.
        let mut manifest = lock(&disk.manifest);
        (disk.segments.in_order(), manifest.dead(core, disk))
    };
    segments.retain(|sealed| {
        sealed.summary().losses.blocks.is_empty()
            && !stuck.contains(&sealed.id())
            && !dead.contains(&sealed.id())
    });
    let segment_bytes = core.options.segment_bytes;
    let plan = sparse(&segments, segment_bytes).or_else(|| {
        segments.retain(|sealed| !apart.contains(&sealed.id()));
        neighbours(&segments, core.options.merge_segments, segment_bytes)
    })?;
    has_space(disk, plan.bytes()).then_some(plan)
}

/// A system that does not say how much is free lets the rewrite find out.
fn has_space(disk: &Disk, bytes: u64) -> bool {
    let needed_bytes = disk.reserve_bytes.saturating_add(bytes);
    !disk
        .storage
        .space()
        .is_ok_and(|space| space.free_bytes < needed_bytes)
}

/// Segments of which less than half is kept, up to the size of a sealed one together.
fn sparse(segments: &[Arc<Sealed>], segment_bytes: u64) -> Option<Plan> {
    let is_sparse = |sealed: &&Arc<Sealed>| sealed.kept_bytes() < sealed.summary().data_bytes / 2;
    let mut bytes = 0;
    let mut sources = Vec::new();
    for sealed in segments.iter().filter(is_sparse).take(SOURCES_MAX) {
        bytes += sealed.kept_bytes();
        if bytes > segment_bytes && !sources.is_empty() {
            break;
        }
        sources.push(sealed.clone());
    }
    Plan::of(Reason::Sparse, sources, 0)
}

/// Neighbours that are worth merging, the oldest first.
fn neighbours(segments: &[Arc<Sealed>], count: usize, segment_bytes: u64) -> Option<Plan> {
    let is_scattered = |sealed: &Sealed| {
        let stretch = sealed.kept_bytes() / (sealed.kept_extents() as u64).max(1);
        stretch < CONTIGUOUS_BYTES
    };
    let is_small = |sealed: &Sealed| sealed.kept_bytes() < segment_bytes / count as u64;
    let mut windows = segments.windows(count.max(2));
    let found = windows.find_map(|window| {
        let generation = window.first()?.summary().generation;
        let are_scattered = window.iter().all(|sealed| {
            is_scattered(sealed) && generation < GENERATION_MAX && sealed.summary().generation == generation
        });
        let are_small = window.iter().all(|sealed| is_small(sealed));
        (are_scattered || are_small).then(|| (window.to_vec(), u32::from(are_scattered)))
    });
    let (sources, step) = found?;
    Plan::of(Reason::Neighbours, sources, step)
}

impl Plan {
    /// What comes of the sources is `step` generations younger than the oldest of them.
    fn of(reason: Reason, sources: Vec<Arc<Sealed>>, step: u32) -> Option<Plan> {
        let generation = sources.iter().map(|sealed| sealed.summary().generation).max()?;
        Some(Plan {
            sources,
            reason,
            generation: generation + step,
            only: None,
        })
    }

    /// For consecutive extents of one log. `None` where a segment is not there any more.
    pub(super) fn of_log(disk: &Disk, log: LogId, extents: Vec<SealedExtent>) -> Option<Plan> {
        let sources = extents.iter().map(|extent| disk.segments.get(extent.segment));
        let mut plan = Plan::of(Reason::Requested, sources.collect::<Option<Vec<_>>>()?, 0)?;
        plan.only = Some((log, extents));
        Some(plan)
    }

    fn bytes(&self) -> u64 {
        self.sources.iter().map(|sealed| sealed.kept_bytes()).sum()
    }

    /// The consecutive extents of each log, and what segments hold beside that are dead then.
    pub(super) fn job<'a>(
        &self,
        core: &Core,
        disk: &Disk,
        selection: &'a dyn Selection,
    ) -> Result<Job<'a>, segment::Error> {
        let parts = self.parts(core)?;
        let mut taken: IdMap<SegmentId, usize> = IdMap::default();
        for (sealed, _) in parts.iter().flat_map(|part| &part.extents) {
            *taken.entry(sealed.id()).or_default() += 1;
        }
        let is_dead =
            |sealed: &&Arc<Sealed>| taken.get(&sealed.id()).copied().unwrap_or(0) >= sealed.kept_extents();
        let dead: Vec<&Arc<Sealed>> = self.sources.iter().filter(is_dead).collect();
        let dead_ids: Vec<SegmentId> = dead.iter().map(|sealed| sealed.id()).collect();
        let holes = dead.iter().flat_map(|sealed| &sealed.summary().losses.holes);
        let mut holes: Vec<Hole> = {
            let views = read(&core.views);
            holes
                .filter(|hole| segments::is_kept(&views, hole))
                .copied()
                .collect()
        };
        holes.sort_unstable();
        holes.dedup();
        // One lock after the other: who makes a segment count takes them in another order.
        let id = lock(&disk.publisher).meta.take_segment();
        let windows = lock(&disk.manifest).windows_of(&dead_ids);
        Ok(Job {
            id,
            generation: self.generation,
            source: self.source(),
            parts,
            selection,
            windows,
            holes,
        })
    }

    /// What can be made one of each log.
    fn parts(&self, core: &Core) -> Result<Vec<Part>, segment::Error> {
        let by_id: IdMap<SegmentId, &Arc<Sealed>> =
            self.sources.iter().map(|sealed| (sealed.id(), sealed)).collect();
        let part = |log, extents: Vec<SealedExtent>| {
            let sourced = |extent: SealedExtent| Some((Arc::clone(by_id.get(&extent.segment)?), extent));
            Part {
                log,
                extents: extents.into_iter().filter_map(sourced).collect(),
            }
        };
        if let Some((log, extents)) = &self.only {
            return Ok(vec![part(*log, extents.clone())]);
        }
        let mut logs = BTreeSet::new();
        for sealed in &self.sources {
            logs.extend(sealed.extents()?.iter().map(|extent| LogId(extent.log)));
        }
        let runs = logs.into_iter().filter_map(|log| {
            let run = core.view(log)?.run(|extent| by_id.contains_key(&extent.segment));
            (!run.is_empty()).then_some((log, run))
        });
        Ok(runs.map(|(log, run)| part(log, run)).collect())
    }

    /// The span that encloses those of all sources.
    fn source(&self) -> Source {
        let spans = self.sources.iter().map(|sealed| sealed.summary().source);
        Source {
            first_lsn: spans.clone().map(|span| span.first_lsn).min().unwrap_or(0),
            last_lsn: spans.map(|span| span.last_lsn).max().unwrap_or(0),
        }
    }
}

//! What to rewrite next.
//!
//! - Where less than half of a segment is kept, what is kept moves to a new one, together with that of others.
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

/// Batches are merged for their contiguity so many times.
const GENERATION_MAX: u32 = 2;
/// A log's stretches are long enough from here on.
const CONTIGUOUS_BYTES: u64 = 1024 * 1024;
/// Sources of one rewrite at most.
const SOURCES_MAX: usize = 64;

pub(super) struct Plan {
    pub(super) sources: Vec<Arc<Sealed>>,
    generation: u32,
}

/// The next thing to do, if there is any and there is space for it.
pub(super) fn choose(core: &Core, disk: &Disk, unreadable: &IdSet<SegmentId>) -> Option<Plan> {
    let mut segments = disk.segments.in_order();
    segments.retain(|sealed| {
        sealed.kept_extents() > 0
            && sealed.summary().losses.blocks.is_empty()
            && !unreadable.contains(&sealed.id())
    });
    let segment_bytes = core.options.segment_bytes;
    let plan = sparse(&segments, segment_bytes)
        .or_else(|| neighbours(&segments, core.options.merge_segments, segment_bytes))?;
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
    Plan::of(sources, 0)
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
    Plan::of(sources, step)
}

impl Plan {
    /// What comes of the sources is `step` generations younger than the oldest of them.
    fn of(sources: Vec<Arc<Sealed>>, step: u32) -> Option<Plan> {
        let generation = sources.iter().map(|sealed| sealed.summary().generation).max()?;
        Some(Plan {
            sources,
            generation: generation + step,
        })
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
        let mut logs = BTreeSet::new();
        for sealed in &self.sources {
            logs.extend(sealed.extents()?.iter().map(|extent| LogId(extent.log)));
        }
        let by_id: IdMap<SegmentId, &Arc<Sealed>> =
            self.sources.iter().map(|sealed| (sealed.id(), sealed)).collect();
        let mut taken: IdMap<SegmentId, usize> = IdMap::default();
        let mut parts = Vec::new();
        for log in logs {
            let Some(view) = core.view(log) else { continue };
            let run = view.run(|extent| by_id.contains_key(&extent.segment));
            let extents: Vec<_> = run
                .into_iter()
                .filter_map(|extent| Some(((*by_id.get(&extent.segment)?).clone(), extent)))
                .collect();
            for (sealed, _) in &extents {
                *taken.entry(sealed.id()).or_default() += 1;
            }
            if !extents.is_empty() {
                parts.push(Part { log, extents });
            }
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

    /// The span that encloses those of all sources.
    fn source(&self) -> Source {
        let spans = self.sources.iter().map(|sealed| sealed.summary().source);
        Source {
            first_lsn: spans.clone().map(|span| span.first_lsn).min().unwrap_or(0),
            last_lsn: spans.map(|span| span.last_lsn).max().unwrap_or(0),
        }
    }
}

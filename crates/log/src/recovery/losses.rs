//! What was acknowledged and is lost: named in the broker's log at each start, counted, and quarantined in the views, until
//! it is trimmed.
//!
//! What segments name is known. What the WAL or a segment should have and does not is news, and the next segment is to
//! name it.

use std::io;
use std::sync::Arc;

use super::OFFSETS_SKIPPED;
use crate::file::Storage;
use crate::frame::LogId;
use crate::ids::IdMap;
use crate::meta::Meta;
use crate::quarantine;
use crate::scan::{Damage, DamagedPart};
use crate::segment::{Hole, Losses, Source};
use crate::segments::Segments;
use crate::view::View;

/// Names what is damaged in the WAL, and keeps copies of the files that it lies in.
pub(super) fn name(storage: &dyn Storage, meta: &Meta, damages: &[Damage]) -> io::Result<()> {
    for damage in damages {
        match &damage.what {
            DamagedPart::Blocks(lsns) => tracing::error!(
                first_lsn = lsns.start(),
                last_lsn = lsns.end(),
                "acknowledged blocks of the WAL are damaged; quarantined"
            ),
            // The operator was told, and gave it up.
            DamagedPart::Slice(entry)
                if meta.is_accepted(entry.log, entry.first_offset, entry.next_offset) => {}
            DamagedPart::Slice(entry) => tracing::error!(
                log = entry.log.0,
                first_offset = entry.first_offset,
                next_offset = entry.next_offset,
                "acknowledged data is damaged in the WAL; quarantined"
            ),
        }
        for file in &damage.files {
            quarantine::keep(storage, file, damage.lsn)?;
        }
    }
    Ok(())
}

/// Whether blocks are lost of which nothing tells whose they were.
pub(super) fn are_unknown(damages: &[Damage]) -> bool {
    lost_blocks(damages).next().is_some()
}

/// Quarantines what segments name as lost, and what is missing beside. Returns what no segment names yet, and how many
/// stretches are lost in all.
pub(super) fn quarantine(
    meta: &mut Meta,
    views: &IdMap<LogId, Arc<View>>,
    segments: &Segments,
    damages: &[Damage],
) -> (Losses, u64) {
    let mut count = 0;
    for segment in segments.in_order() {
        for hole in &segment.summary().losses.holes {
            if let Some(view) = views.get(&LogId(hole.log)) {
                view.quarantine_sealed(hole, segment.id());
            }
        }
        for Source { first_lsn, last_lsn } in &segment.summary().losses.blocks {
            tracing::error!(first_lsn, last_lsn, "acknowledged blocks of the WAL were lost");
            count += 1;
        }
    }
    for damage in damages {
        if let DamagedPart::Slice(entry) = &damage.what
            && let Some(view) = views.get(&entry.log)
        {
            view.raise_end(entry.next_offset);
            meta.note_next_offset(entry.log, entry.next_offset);
        }
    }
    let mut losses = Losses::default();
    for (log, view) in views {
        let missing = missing(view);
        for (first_offset, next_offset) in &missing {
            view.quarantine(*first_offset, *next_offset);
        }
        for (first_offset, next_offset) in view.holes() {
            if !is_named(damages, *log, first_offset, next_offset) {
                tracing::error!(
                    log = log.0,
                    first_offset,
                    next_offset,
                    "acknowledged data is missing; quarantined"
                );
            }
            count += 1;
        }
        losses
            .holes
            .extend(missing.into_iter().map(|(first_offset, next_offset)| Hole {
                log: log.0,
                first_offset,
                next_offset,
            }));
    }
    losses.blocks.extend(lost_blocks(damages));
    count += losses.blocks.len() as u64;
    (losses, count)
}

/// Whether the hole is made of damaged slices of the WAL, which were named when they were found.
fn is_named(damages: &[Damage], log: LogId, first_offset: i64, next_offset: i64) -> bool {
    let slices = damages.iter().filter_map(|damage| match &damage.what {
        DamagedPart::Slice(entry) if entry.log == log => Some(entry),
        DamagedPart::Slice(_) | DamagedPart::Blocks(_) => None,
    });
    // They come in the order of their offsets.
    let named_to = slices.fold(first_offset, |to, entry| match entry.first_offset <= to {
        true => to.max(entry.next_offset),
        false => to,
    });
    named_to >= next_offset
}

fn lost_blocks(damages: &[Damage]) -> impl Iterator<Item = Source> {
    damages.iter().filter_map(|damage| match &damage.what {
        DamagedPart::Blocks(lsns) => Some(Source {
            first_lsn: *lsns.start(),
            last_lsn: *lsns.end(),
        }),
        DamagedPart::Slice(_) => None,
    })
}

/// What is missing of a log beside its holes, since nothing leaves gaps yet but damage. A gap that recovery made by skipping
/// offsets is none; where something is lost before or behind what was skipped, all of it counts as lost.
fn missing(view: &View) -> Vec<(i64, i64)> {
    let mut gaps = view.gaps();
    gaps.retain(|(first_offset, next_offset)| (next_offset - first_offset) % OFFSETS_SKIPPED != 0);
    gaps
}

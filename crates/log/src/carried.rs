//! What segments hold beside batches: the windows of idempotent producers, and what was lost.
//!
//! What the WAL lost has no place among the batches, and when the WAL is written over nothing else tells of it. So the
//! next segment that is sealed names it, and it is known before anything behind it counts as sealed. A lost batch is in no
//! producer's window, as if it had never been sent: sent again it is taken.
//!
//! A segment that is made of others takes over what they hold of both.

use std::collections::BTreeSet;

use firth_batch::Batches;

use crate::frame::LogId;
use crate::ids::IdMap;
use crate::producers::Producers;
use crate::segment::{Hole, Losses, SegmentId};

/// What segments hold beside batches, and the next one takes over.
pub(crate) struct Carried {
    pub(crate) producers: SealedProducers,
    /// What no segment names yet.
    pub(crate) losses: Losses,
}

/// The windows of idempotent producers as of what is sealed, and the segment that holds them last.
#[derive(Clone, Default)]
pub(crate) struct SealedProducers(IdMap<LogId, Sealed>);

/// No segment has this id.
pub(crate) const NOWHERE: SegmentId = SegmentId(0);

#[derive(Clone)]
struct Sealed {
    producers: Producers,
    segment: SegmentId,
}

/// A producer that was forgotten, with all that it had appended up to an offset.
pub(crate) struct Expired {
    pub(crate) log: LogId,
    pub(crate) producer_id: i64,
    pub(crate) last_offset: i64,
}

impl Carried {
    pub(crate) fn new(producers: SealedProducers, losses: Losses) -> Carried {
        Carried { producers, losses }
    }

    /// What the segment of a span up to `lsn` names: all holes, and the lost blocks of the span, so that no later segment
    /// holds anything that is older.
    pub(crate) fn losses_before(&self, lsn: u64, is_kept: impl Fn(&Hole) -> bool) -> Losses {
        let Losses { holes, blocks } = &self.losses;
        Losses {
            holes: holes.iter().filter(|hole| is_kept(hole)).copied().collect(),
            blocks: blocks
                .iter()
                .filter(|span| span.first_lsn <= lsn)
                .copied()
                .collect(),
        }
    }

    pub(crate) fn forget_losses_before(&mut self, lsn: u64) {
        self.losses.holes.clear();
        self.losses.blocks.retain(|span| span.first_lsn > lsn);
    }
}

impl SealedProducers {
    /// Takes over what a segment holds of a log.
    pub(crate) fn insert(&mut self, log: LogId, producers: Producers, segment: SegmentId) {
        self.0.insert(log, Sealed { producers, segment });
    }

    /// Notes the producers of some batches, and says whether there were any.
    pub(crate) fn note(&mut self, batches: &[u8], log: LogId, now_ms: i64) -> bool {
        let mut noted = false;
        for batch in Batches::new(batches) {
            let Ok((header, _)) = batch else { break };
            if header.has_producer_id() {
                let sealed = self.0.entry(log).or_insert_with(|| Sealed {
                    producers: Producers::default(),
                    segment: NOWHERE,
                });
                sealed.producers.observe(&header, header.base_offset, now_ms);
                noted = true;
            }
        }
        noted
    }

    /// The encoded windows of a log.
    pub(crate) fn encoded(&self, log: LogId) -> Option<Vec<u8>> {
        self.0.get(&log).map(|sealed| sealed.producers.encode())
    }

    pub(crate) fn remove(&mut self, log: LogId) -> Option<Producers> {
        self.0.remove(&log).map(|sealed| sealed.producers)
    }

    /// Forgets producers that have not appended since `horizon_ms`.
    pub(crate) fn expire(&mut self, horizon_ms: i64) -> Vec<Expired> {
        let mut all = Vec::new();
        self.0.retain(|log, sealed| {
            let expired = sealed.producers.expire(horizon_ms).into_iter();
            all.extend(expired.map(|(producer_id, last_offset)| Expired {
                log: *log,
                producer_id,
                last_offset,
            }));
            !sealed.producers.is_empty()
        });
        all
    }

    /// Forgets logs that are gone.
    pub(crate) fn forget_logs(&mut self, exists: impl Fn(LogId) -> bool) {
        self.0.retain(|log, _| exists(*log));
    }

    /// Logs whose windows are last in one of these segments.
    pub(crate) fn held_by(&self, segments: &[SegmentId]) -> BTreeSet<LogId> {
        let held = self
            .0
            .iter()
            .filter(|(_, sealed)| segments.contains(&sealed.segment));
        held.map(|(log, _)| *log).collect()
    }

    /// These segments are removed; the next one takes over what they held last.
    pub(crate) fn lose(&mut self, segments: &[SegmentId]) {
        for log in self.held_by(segments) {
            self.set_segment(log, NOWHERE);
        }
    }

    pub(crate) fn set_segment(&mut self, log: LogId, segment: SegmentId) {
        if let Some(sealed) = self.0.get_mut(&log) {
            sealed.segment = segment;
        }
    }
}

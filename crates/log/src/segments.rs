//! The segments that are read, and how much of each is still kept.
//!
//! A segment of which no log keeps anything is dead: its file can be removed. How much is kept is counted as extents come
//! and go in views, so that nobody has to go through all of them to find out.

use std::ops::Deref;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::frame::LogId;
use crate::freeing::Freeing;
use crate::ids::IdMap;
use crate::lock::{read, write};
use crate::segment::{Extent, Hole, Segment, SegmentId};
use crate::sync::RwLock;
use crate::view::{Freed, FreedExtent, SealedExtent, View};

pub(crate) type Views = IdMap<LogId, Arc<View>>;

#[derive(Default)]
pub(crate) struct Segments(RwLock<IdMap<SegmentId, Arc<Sealed>>>);

/// An open segment, and what of it logs keep.
pub(crate) struct Sealed {
    pub(crate) segment: Segment,
    extents: AtomicI64,
    bytes: AtomicI64,
    /// Set when its name is gone: who gets the file when nobody reads it any more.
    freeing: OnceLock<Arc<Freeing>>,
}

impl Deref for Sealed {
    type Target = Segment;

    fn deref(&self) -> &Segment {
        &self.segment
    }
}

impl Sealed {
    /// How many logs keep something of it.
    pub(crate) fn kept_extents(&self) -> usize {
        usize::try_from(self.extents.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// How much of it is kept, in bytes of batches; estimated where a part of an extent is.
    pub(crate) fn kept_bytes(&self) -> u64 {
        u64::try_from(self.bytes.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// The file's name is gone, durably: its space goes as soon as nobody reads it.
    pub(crate) fn free(&self, freeing: &Arc<Freeing>) {
        let _ = self.freeing.set(freeing.clone());
    }

    fn keep(&self, extents: i64, bytes: i64) {
        self.extents.fetch_add(extents, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        if let Some(freeing) = self.freeing.take() {
            freeing.free(self.segment.file().clone());
        }
    }
}

/// Whether the log is there and not trimmed beyond the hole.
pub(crate) fn is_kept(views: &Views, hole: &Hole) -> bool {
    let view = views.get(&LogId(hole.log));
    view.is_some_and(|view| view.bounds().start < hole.next_offset)
}

impl SealedExtent {
    /// An extent as views keep it.
    pub(crate) fn of(segment: SegmentId, extent: &Extent) -> SealedExtent {
        SealedExtent {
            segment,
            first_offset: extent.first_offset,
            next_offset: extent.next_offset,
            bytes: extent.length,
            max_timestamp: extent.max_timestamp,
        }
    }
}

impl Segments {
    /// Makes a segment readable: its extents take the place of those that they were made of.
    pub(crate) fn show(&self, segment: Segment, extents: &[Extent], views: &Views) {
        let id = segment.id();
        let sealed = Arc::new(Sealed {
            segment,
            extents: AtomicI64::new(0),
            bytes: AtomicI64::new(0),
            freeing: OnceLock::new(),
        });
        write(&self.0).insert(id, sealed.clone());
        let mut freed = Freed::default();
        for extent in extents {
            let kept = SealedExtent::of(id, extent);
            sealed.keep(1, kept.bytes as i64);
            match views.get(&LogId(extent.log)) {
                Some(view) => view.sealed(kept, extent.compacted_to, &mut freed),
                None => freed.unwanted(&kept),
            }
        }
        self.give_up(&freed);
    }

    /// Logs do not keep this any more.
    pub(crate) fn give_up(&self, freed: &Freed) {
        let segments = read(&self.0);
        for FreedExtent {
            segment,
            bytes,
            whole,
        } in &freed.0
        {
            if let Some(sealed) = segments.get(segment) {
                sealed.keep(-i64::from(*whole), -(*bytes as i64));
            }
        }
    }

    pub(crate) fn get(&self, id: SegmentId) -> Option<Arc<Sealed>> {
        read(&self.0).get(&id).cloned()
    }

    pub(crate) fn remove(&self, id: SegmentId) -> Option<Arc<Sealed>> {
        write(&self.0).remove(&id)
    }

    /// All of them, in the order of the WAL spans that they hold.
    pub(crate) fn in_order(&self) -> Vec<Arc<Sealed>> {
        let mut segments: Vec<_> = read(&self.0).values().cloned().collect();
        segments.sort_unstable_by_key(|sealed| (sealed.summary().source.last_lsn, sealed.id()));
        segments
    }

    /// Those of which no log keeps anything. One that names lost blocks, which may have been of any log, stays for as
    /// long as something is kept that is as old.
    pub(crate) fn dead(&self, views: &Views) -> Vec<SegmentId> {
        let segments = read(&self.0);
        // A segment that is made of others names their holes too.
        let is_named_later = |hole: &Hole, id: SegmentId| {
            let mut later = segments.values().filter(|other| other.id() > id);
            later.any(|other| other.summary().losses.holes.contains(hole))
        };
        let is_kept = |sealed: &Sealed| {
            let mut holes = sealed.summary().losses.holes.iter();
            sealed.kept_extents() > 0
                || holes.any(|hole| is_kept(views, hole) && !is_named_later(hole, sealed.id()))
        };
        let unkept: Vec<_> = segments.values().filter(|sealed| !is_kept(sealed)).collect();
        let may_be_missed = |sealed: &Sealed| {
            let Some(last_lost) = sealed
                .summary()
                .losses
                .blocks
                .iter()
                .map(|span| span.last_lsn)
                .max()
            else {
                return false;
            };
            let mut kept = segments.values().filter(|other| is_kept(other));
            kept.any(|other| other.summary().source.first_lsn <= last_lost)
        };
        let dead = unkept.into_iter().filter(|sealed| !may_be_missed(sealed));
        dead.map(|sealed| sealed.id()).collect()
    }

    /// Whether there is a segment of which nothing but records of the log is kept.
    pub(crate) fn one_is_kept_for(&self, view: &View) -> bool {
        let (extents, _) = view.stretches();
        let mut segments = extents.iter().filter_map(|extent| self.get(extent.segment));
        segments.any(|sealed| sealed.kept_extents() == 1)
    }

    /// How many there are, and their bytes.
    pub(crate) fn count(&self) -> (u64, u64) {
        let segments = read(&self.0);
        let bytes = segments.values().map(|sealed| sealed.summary().length).sum();
        (segments.len() as u64, bytes)
    }
}

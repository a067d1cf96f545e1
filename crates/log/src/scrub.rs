//! The scrub: reads every segment now and then, so that damage is found while a backup has what is lost, and not years
//! later by a reader.
//!
//! A pass takes the segments in the order of their ids, from a random one on, so that brokers that restart often reach all
//! of them. It takes as long as the interval says or as the rate allows, whichever is longer. What is found is quarantined
//! as if a reader had found it. It reads the medium: what the page cache has of a segment is given up before and after.
//! That costs its readers one read of each byte per interval, and a cache that answered for a rotten disk would be no check.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::core::{Core, Disk};
use crate::frame::LogId;
use crate::lock::{abort, lock};
use crate::segment::{Error, SegmentId};
use crate::segments::Sealed;
use crate::stats::Counters;
use crate::sync::{Condvar, Mutex};

/// Bytes that are read at a stretch.
const STRETCH_BYTES: u64 = 1024 * 1024;
/// How often is looked for segments where there are none.
const NOTHING_RETRY: Duration = Duration::from_secs(60);

/// How the scrub goes about it.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// A pass takes at least this long.
    pub(crate) interval: Duration,
    /// Bytes that are read in a second at most.
    pub(crate) bytes_per_s: u64,
}

impl Pace {
    /// How long reading so much is to take.
    fn time_of(&self, bytes: u64) -> Duration {
        Duration::from_secs(bytes) / u32::try_from(self.bytes_per_s.max(1)).unwrap_or(u32::MAX)
    }
}

/// Tells the scrub to end.
#[derive(Default)]
pub(crate) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub(crate) fn stop(&self) {
        *lock(&self.stopped) = true;
        self.changed.notify_all();
    }

    /// Waits, and says whether the end was asked for.
    fn pause(&self, duration: Duration) -> bool {
        let stopped = lock(&self.stopped);
        let waited = self
            .changed
            .wait_timeout_while(stopped, duration, |stopped| !*stopped);
        *waited.unwrap_or_else(|_| abort()).0
    }
}

/// Runs until it is stopped.
pub(crate) fn run(core: &Core, disk: &Disk, pace: Pace, stop: &Stop) {
    let mut scrub = Scrub {
        core,
        disk,
        pace,
        stop,
        stretch_bytes: 0,
        named: HashSet::new(),
    };
    let mut first = Some(core.environment.draw());
    loop {
        let mut ids: Vec<SegmentId> = disk
            .segments
            .in_order()
            .iter()
            .map(|sealed| sealed.id())
            .collect();
        ids.sort_unstable();
        if ids.is_empty() {
            if stop.pause(NOTHING_RETRY.min(pace.interval)) {
                return;
            }
            continue;
        }
        let share = pace.interval / u32::try_from(ids.len()).unwrap_or(u32::MAX);
        if let Some(random) = first.take() {
            let at = random % ids.len() as u64;
            ids.drain(..usize::try_from(at).unwrap_or(0));
        }
        for id in ids {
            if !scrub.segment(id, share) {
                return;
            }
        }
        Counters::add(&core.counters.scrub_passes, 1);
        let now_s = u64::try_from(core.now_ms() / 1000).unwrap_or(0);
        Counters::set(&core.counters.scrub_completed_s, now_s);
    }
}

struct Scrub<'a> {
    core: &'a Core,
    disk: &'a Disk,
    pace: Pace,
    stop: &'a Stop,
    /// What was read since the last pause.
    stretch_bytes: u64,
    /// Segments whose damage concerns no offsets, and was named before.
    named: HashSet<SegmentId>,
}

impl Scrub<'_> {
    /// Verifies one segment if it is still there, within `share` of the pass. False where the end was asked for.
    fn segment(&mut self, id: SegmentId, share: Duration) -> bool {
        let segment = self.disk.segments.get(id);
        let mut taken = Duration::ZERO;
        if let Some(segment) = segment {
            match self.verify(&segment, &mut taken) {
                Some(damages) => damages.into_iter().for_each(|damage| self.name(id, damage)),
                None => return false,
            }
            Counters::add(&self.core.counters.scrub_segments, 1);
        }
        !self.stop.pause(share.saturating_sub(taken))
    }

    /// `None` where the end was asked for.
    fn verify(&mut self, segment: &Arc<Sealed>, taken: &mut Duration) -> Option<Vec<Error>> {
        let mut stopped = false;
        let damages = segment.verify_on_medium(|bytes| {
            Counters::add(&self.core.counters.scrub_bytes, bytes);
            self.stretch_bytes += bytes;
            if self.stretch_bytes >= STRETCH_BYTES {
                let pause = self.pace.time_of(std::mem::take(&mut self.stretch_bytes));
                stopped = self.stop.pause(pause);
                *taken += pause;
            }
            !stopped
        });
        (!stopped).then_some(damages)
    }

    fn name(&mut self, id: SegmentId, damage: Error) {
        let is_new = match damage {
            Error::Damaged {
                log,
                first_offset,
                next_offset,
                what,
                ..
            } => {
                let place = format!("segment {id}, found by the scrub: {what}");
                self.core
                    .quarantine(LogId(log), first_offset, next_offset, &place)
            }
            error => {
                let is_new = self.named.insert(id);
                if is_new {
                    tracing::error!(%error, "the scrub found damage that costs no record yet");
                }
                is_new
            }
        };
        Counters::add(&self.core.counters.scrub_damages, u64::from(is_new));
    }
}

//! When to seal: later while a burst keeps the disk busy, at once when the WAL fills.
//!
//! A burst is written at the full speed of the disk, and is sealed when it is over. Load that outlasts the WAL is sealed
//! as it comes, from memory, and the gate holds it to that pace.

/// Blocks that were written full since the last look from which on the disk is what limits producers.
const FULL_BLOCKS_BUSY: u64 = 8;

/// What the decision rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Situation {
    pub(crate) unsealed_bytes: u64,
    pub(crate) unsealed_entries: usize,
    /// Blocks that were full when they were written, since the start.
    pub(crate) full_blocks: u64,
    /// A lane waits for a file, and there may not be another.
    pub(crate) exhausted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing to do until something changes.
    Wait,
    /// Look again soon.
    Defer,
    Seal,
}

#[derive(Debug)]
pub(crate) struct Pacing {
    segment_bytes: u64,
    /// From here on a burst has become load.
    sustained_bytes: u64,
    entries_max: usize,
    sustained: bool,
    full_blocks_seen: u64,
}

impl Pacing {
    pub(crate) fn new(segment_bytes: u64, wal_bytes_max: u64, entries_max: usize) -> Pacing {
        Pacing {
            segment_bytes,
            // What is left lasts until the first file is free again.
            sustained_bytes: wal_bytes_max / 8 * 7,
            entries_max,
            sustained: false,
            full_blocks_seen: 0,
        }
    }

    pub(crate) fn decide(&mut self, now: Situation) -> Decision {
        let full_blocks = now.full_blocks - self.full_blocks_seen;
        self.full_blocks_seen = now.full_blocks;
        let enough = now.unsealed_bytes >= self.segment_bytes || now.unsealed_entries >= self.entries_max;
        let pressing = now.exhausted && now.unsealed_bytes > 0;
        let busy = full_blocks >= FULL_BLOCKS_BUSY;
        if !enough && !pressing {
            // Load that is only waited for a moment must not look like a burst when it goes on.
            self.sustained &= busy;
            return if self.sustained {
                Decision::Defer
            } else {
                Decision::Wait
            };
        }
        if pressing || now.unsealed_bytes >= self.sustained_bytes || now.unsealed_entries >= self.entries_max
        {
            self.sustained = true;
        }
        if self.sustained || !busy {
            Decision::Seal
        } else {
            Decision::Defer
        }
    }

    /// Whether there is load that outlasts the WAL, which has to wait for sealing.
    pub(crate) fn is_sustained(&self) -> bool {
        self.sustained
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn situation(unsealed_mib: u64, full_blocks: u64) -> Situation {
        Situation {
            unsealed_bytes: unsealed_mib << 20,
            full_blocks,
            ..Situation::default()
        }
    }

    #[test]
    fn a_burst_is_sealed_when_it_is_over() {
        let mut pacing = Pacing::new(64 << 20, 1024 << 20, 1000);
        assert_eq!(pacing.decide(situation(10, 10)), Decision::Wait);
        assert_eq!(pacing.decide(situation(100, 100)), Decision::Defer);
        assert_eq!(pacing.decide(situation(700, 700)), Decision::Defer);
        assert_eq!(pacing.decide(situation(700, 701)), Decision::Seal);
        assert!(!pacing.is_sustained());
        assert_eq!(pacing.decide(situation(20, 701)), Decision::Wait);
    }

    #[test]
    fn load_that_outlasts_the_wal_is_sealed_as_it_comes() {
        let mut pacing = Pacing::new(64 << 20, 1024 << 20, 1000);
        assert_eq!(pacing.decide(situation(896, 700)), Decision::Seal);
        assert!(pacing.is_sustained());
        assert_eq!(pacing.decide(situation(90, 900)), Decision::Seal);
        assert_eq!(pacing.decide(situation(60, 1000)), Decision::Defer);
        assert_eq!(pacing.decide(situation(100, 1100)), Decision::Seal);
        assert_eq!(pacing.decide(situation(60, 1101)), Decision::Wait);
        assert_eq!(pacing.decide(situation(100, 1200)), Decision::Defer);
    }

    #[test]
    fn many_small_slices_and_a_full_wal_do_not_wait() {
        let mut pacing = Pacing::new(64 << 20, 1024 << 20, 1000);
        let slices = Situation {
            unsealed_entries: 1000,
            full_blocks: 50,
            ..Situation::default()
        };
        assert_eq!(pacing.decide(slices), Decision::Seal);
        let exhausted = Situation {
            unsealed_bytes: 1,
            exhausted: true,
            full_blocks: 99,
            ..Situation::default()
        };
        assert_eq!(pacing.decide(exhausted), Decision::Seal);
        assert_eq!(
            pacing.decide(Situation {
                unsealed_bytes: 0,
                ..exhausted
            }),
            Decision::Wait
        );
    }
}

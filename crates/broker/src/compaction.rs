//! When a partition is compacted, and how far. The rules are those of Kafka's `LogCleanerManager`, with the engine's
//! extents in place of segments.
//!
//! ```text
//! | compacted before | may be compacted now | too young, or the engine cannot yet |
//! start              from                   to                                    end
//! '----- clean ------'-------- dirty -------'
//! ```
//!
//! What is too young keeps all records after it from being compacted too. The times here are those of
//! [`GuardedClock`](crate::guarded_clock::GuardedClock), so that a clock which is set ahead by mistake neither ends
//! `min.compaction.lag.ms` nor deletes tombstones.

use firth_log::ExtentUsage;

use crate::TopicConfig;

/// What has to be known of a partition's log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage<'a> {
    /// All that is kept, the oldest first.
    pub extents: &'a [ExtentUsage],
    /// Below this offset the log was compacted. It means nothing where the log does not reach.
    pub compacted_to: i64,
    /// At this offset begins what the engine cannot compact yet.
    pub compactable_to: i64,
}

/// What is to be compacted of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// The keys from this offset to the other one are looked at, and all records below the other one may go.
    pub from: i64,
    pub to: i64,
    pub clean_bytes: u64,
    pub dirty_bytes: u64,
    /// `max.compaction.lag.ms` is over.
    pub is_late: bool,
}

impl Due {
    /// From 0 to 1. The partition with the greatest gains most.
    pub(crate) fn dirty_ratio(&self) -> f64 {
        let bytes = self.clean_bytes.saturating_add(self.dirty_bytes);
        self.dirty_bytes as f64 / bytes.max(1) as f64
    }
}

/// What is to be compacted at `now_ms`, if anything: more than `min.cleanable.dirty.ratio` of the bytes is dirty, or a
/// dirty record may be older than `max.compaction.lag.ms`.
pub(crate) fn due(usage: &Usage<'_>, config: &TopicConfig, now_ms: i64) -> Option<Due> {
    if !config.cleanup_policy.compacts() {
        return None;
    }
    let from = first_dirty(usage)?;
    let clean = usage.extents.partition_point(|extent| extent.next_offset <= from);
    let (clean, rest) = usage.extents.split_at(clean);
    let dirty = may_be_compacted(rest, usage.compactable_to, config, now_ms);
    let due = Due {
        from,
        to: dirty.last()?.next_offset,
        clean_bytes: bytes(clean),
        dirty_bytes: bytes(dirty),
        is_late: is_late(clean.last(), dirty, config, now_ms),
    };
    let is_due = due.is_late || due.dirty_ratio() > config.min_cleanable_dirty_ratio.get();
    (due.dirty_bytes > 0 && is_due).then_some(due)
}

/// Where begins what is not compacted yet: what no segment holds is only sealed for it when it is as old or as much as
/// Kafka would begin a new segment at, or too old to wait.
pub(crate) fn compactable_to(extents: &[ExtentUsage], config: &TopicConfig, now_ms: i64) -> i64 {
    let unsealed = extents.partition_point(|extent| extent.is_sealed);
    let (sealed, unsealed) = extents.split_at(unsealed);
    let enough = u64::try_from(config.segment_bytes).unwrap_or(u64::MAX);
    let old_ms = now_ms.saturating_sub(config.segment_ms.min(config.max_compaction_lag_ms));
    let is_old = |extent: &ExtentUsage| extent.max_timestamp >= 0 && extent.max_timestamp < old_ms;
    let is_enough = bytes(unsealed) >= enough || unsealed.first().is_some_and(is_old);
    let compactable = if is_enough { unsealed.last() } else { sealed.last() };
    compactable.map_or(0, |extent| extent.next_offset)
}

/// Until when compaction keeps the tombstones that it meets for the first time. The clock that is ahead counts: were it
/// the guarded one, which stays behind until a jump has stood, a tombstone could go long before its time when it
/// catches up.
pub(crate) fn delete_horizon_ms(config: &TopicConfig, guarded_ms: i64, wall_ms: i64) -> i64 {
    guarded_ms.max(wall_ms).saturating_add(config.delete_retention_ms)
}

/// None for a log without extents.
fn first_dirty(usage: &Usage<'_>) -> Option<i64> {
    let start = usage.extents.first()?.first_offset;
    let end = usage.extents.last()?.next_offset;
    let is_within = (start..=end).contains(&usage.compacted_to);
    Some(if is_within { usage.compacted_to } else { start })
}

fn may_be_compacted<'a>(
    extents: &'a [ExtentUsage],
    compactable_to: i64,
    config: &TopicConfig,
    now_ms: i64,
) -> &'a [ExtentUsage] {
    let old_enough_ms = now_ms.saturating_sub(config.min_compaction_lag_ms);
    // Without a lag, records whose time is in the future are compacted as well.
    let is_young =
        |extent: &ExtentUsage| config.min_compaction_lag_ms > 0 && extent.max_timestamp > old_enough_ms;
    let count = extents
        .iter()
        .take_while(|extent| extent.next_offset <= compactable_to && !is_young(extent))
        .count();
    extents.split_at(count).0
}

/// An extent says how old its newest record is and not its oldest. That is younger than what was written before it, so
/// nothing is compacted too late, though sometimes earlier than it had to be.
fn is_late(
    last_clean: Option<&ExtentUsage>,
    dirty: &[ExtentUsage],
    config: &TopicConfig,
    now_ms: i64,
) -> bool {
    let late_ms = now_ms.saturating_sub(config.max_compaction_lag_ms);
    let mut before = last_clean.map(|extent| extent.max_timestamp);
    dirty.iter().any(|extent| {
        let newest = Some(extent.max_timestamp).filter(|timestamp| *timestamp > 0);
        let oldest = newest
            .into_iter()
            .chain(before.filter(|timestamp| *timestamp > 0))
            .min();
        before = newest;
        oldest.is_some_and(|oldest| oldest < late_ms)
    })
}

fn bytes(extents: &[ExtentUsage]) -> u64 {
    let bytes = extents.iter().map(|extent| extent.bytes);
    bytes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests;

use super::*;
use crate::CleanupPolicy;

const NOW: i64 = 1_000_000;

/// Extents of `(bytes, max timestamp)`, with ten offsets each from 100 on.
fn extents(of: &[(u64, i64)]) -> Vec<ExtentUsage> {
    let extent = |(index, &(bytes, max_timestamp)): (usize, &(u64, i64))| {
        let first_offset = 100 + 10 * index as i64;
        ExtentUsage {
            first_offset,
            next_offset: first_offset + 10,
            bytes,
            max_timestamp,
            is_sealed: true,
        }
    };
    of.iter().enumerate().map(extent).collect()
}

fn config(entries: &[(&str, &str)]) -> TopicConfig {
    let mut config = TopicConfig::parse(entries.iter().map(|(name, value)| (*name, Some(*value))))
        .unwrap()
        .0;
    config.cleanup_policy = CleanupPolicy::Compact;
    config
}

/// From where and to where, if anything is due at `NOW`; all of the log can be compacted.
fn range(of: &[(u64, i64)], compacted_to: i64, config: &TopicConfig) -> Option<(i64, i64)> {
    let extents = extents(of);
    let usage = Usage {
        extents: &extents,
        compacted_to,
        compactable_to: i64::MAX,
    };
    due(&usage, config, NOW).map(|due| (due.from, due.to))
}

#[test]
fn a_log_is_compacted_when_more_than_the_ratio_is_dirty() {
    let of = [(30, 1), (30, 2), (40, 3)];
    for (ratio, compacted_to, expected) in [
        ("0.5", 100, Some((100, 130))),
        ("0.5", 110, Some((110, 130))),
        ("0.4", 120, None),
        ("0.39", 120, Some((120, 130))),
        ("0.7", 110, None),
        ("0.69", 110, Some((110, 130))),
        ("0", 120, Some((120, 130))),
        ("0", 130, None),
        ("1", 100, None),
    ] {
        let config = config(&[("min.cleanable.dirty.ratio", ratio)]);
        assert_eq!(
            range(&of, compacted_to, &config),
            expected,
            "{ratio}, {compacted_to}"
        );
    }
}

#[test]
fn what_was_compacted_counts_only_where_the_log_reaches() {
    let of = [(50, 1), (50, 2)];
    for (compacted_to, from) in [(0, 100), (99, 100), (100, 100), (110, 110), (121, 100)] {
        let config = config(&[("min.cleanable.dirty.ratio", "0.1")]);
        assert_eq!(
            range(&of, compacted_to, &config),
            Some((from, 120)),
            "{compacted_to}"
        );
    }
    assert_eq!(range(&[], 0, &config(&[])), None);
    assert_eq!(
        range(&[(0, 1)], 0, &config(&[])),
        None,
        "there is nothing to gain"
    );
}

#[test]
fn an_extent_that_was_compacted_in_part_is_dirty() {
    let of = [(50, 1), (50, 2)];
    let extents = extents(&of);
    let usage = Usage {
        extents: &extents,
        compacted_to: 115,
        compactable_to: i64::MAX,
    };
    let config = config(&[("min.cleanable.dirty.ratio", "0.4")]);
    let due = due(&usage, &config, NOW).unwrap();
    assert_eq!((due.from, due.to), (115, 120));
    assert_eq!((due.clean_bytes, due.dirty_bytes), (50, 50));
    assert_eq!(due.dirty_ratio(), 0.5);
}

#[test]
fn what_the_engine_cannot_compact_yet_is_not_counted() {
    let of = extents(&[(60, 1), (40, 2), (1000, 3)]);
    for (compactable_to, expected) in [
        (0, None),
        (109, None),
        (110, None),
        (119, None),
        (120, Some((110, 120))),
        (129, Some((110, 120))),
        (130, Some((110, 130))),
    ] {
        let usage = Usage {
            extents: &of,
            compacted_to: 110,
            compactable_to,
        };
        let config = config(&[("min.cleanable.dirty.ratio", "0.3")]);
        let range = due(&usage, &config, NOW).map(|due| (due.from, due.to));
        assert_eq!(range, expected, "{compactable_to}");
    }
}

#[test]
fn young_records_keep_what_is_after_them() {
    let lag = config(&[
        ("min.compaction.lag.ms", "1000"),
        ("min.cleanable.dirty.ratio", "0"),
    ]);
    let old = NOW - 1000;
    for (of, expected) in [
        ([(10, old), (10, old), (10, old)], Some((100, 130))),
        ([(10, old), (10, old + 1), (10, old)], Some((100, 110))),
        ([(10, old + 1), (10, old), (10, old)], None),
        ([(10, 5), (10, -1), (10, NOW + 5)], Some((100, 120))),
    ] {
        assert_eq!(range(&of, 0, &lag), expected, "{of:?}");
    }
    // Without a lag the time says nothing, even one that has not come.
    let none = config(&[]);
    assert_eq!(range(&[(10, NOW + 5)], 0, &none), Some((100, 110)));
}

#[test]
fn late_records_are_compacted_whatever_the_ratio_is() {
    let lag = config(&[
        ("max.compaction.lag.ms", "1000"),
        ("min.cleanable.dirty.ratio", "1"),
    ]);
    let (young, late) = (NOW - 1000, NOW - 1001);
    for (of, compacted_to, expected) in [
        ([(90, late), (5, young), (5, young)], 120, None),
        ([(90, late), (5, late), (5, young)], 120, Some((120, 130))),
        ([(90, young), (5, young), (5, young)], 110, None),
        ([(90, young), (5, late), (5, young)], 110, Some((110, 130))),
        ([(90, young), (5, young), (5, late)], 110, Some((110, 130))),
        // The first dirty record came after the last clean one, and may have come soon after it.
        ([(90, late), (5, young), (5, young)], 110, Some((110, 130))),
        // Records without a time are never late, and hide the time of those before them.
        ([(90, late), (5, -1), (5, young)], 120, None),
        ([(90, young), (5, -1), (5, 0)], 110, None),
    ] {
        assert_eq!(
            range(&of, compacted_to, &lag),
            expected,
            "{of:?} from {compacted_to}"
        );
    }
    assert_eq!(
        range(&[(5, 1)], 0, &config(&[("min.cleanable.dirty.ratio", "1")])),
        None
    );
}

#[test]
fn what_is_young_is_not_late() {
    let lags = config(&[
        ("min.compaction.lag.ms", "1000"),
        ("max.compaction.lag.ms", "1000"),
        ("min.cleanable.dirty.ratio", "1"),
    ]);
    let of = [(10, NOW - 1001), (10, NOW - 999)];
    assert_eq!(range(&of, 0, &lags), Some((100, 110)));
    assert_eq!(range(&of, 110, &lags), None);
}

#[test]
fn only_topics_that_ask_for_it_are_compacted() {
    for (policy, expected) in [
        (CleanupPolicy::Delete, None),
        (CleanupPolicy::Compact, Some((100, 110))),
        (CleanupPolicy::CompactDelete, Some((100, 110))),
        (CleanupPolicy::DeleteCompact, Some((100, 110))),
    ] {
        let mut config = config(&[]);
        config.cleanup_policy = policy;
        assert_eq!(range(&[(10, 1)], 0, &config), expected, "{policy:?}");
    }
}

#[test]
fn tombstones_stay_their_time_by_the_clock_that_is_ahead() {
    let config = config(&[("delete.retention.ms", "500")]);
    assert_eq!(delete_horizon_ms(&config, 100, 200), 700);
    assert_eq!(delete_horizon_ms(&config, 200, 100), 700);
    let for_ever = self::config(&[("delete.retention.ms", "9223372036854775807")]);
    assert_eq!(delete_horizon_ms(&for_ever, 100, 100), i64::MAX);
}

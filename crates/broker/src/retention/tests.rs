use super::*;
use crate::CleanupPolicy;

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
    TopicConfig::parse(entries.iter().map(|(name, value)| (*name, Some(*value))))
        .unwrap()
        .0
}

#[test]
fn an_extent_goes_when_its_newest_record_is_too_old() {
    let config = config(&[("retention.ms", "1000")]);
    let extents = extents(&[(1, 500), (1, 900), (1, 2000)]);
    for (now, expected) in [
        (1500, None),
        (1501, Some(110)),
        (1901, Some(120)),
        (3000, Some(120)),
        (3001, Some(130)),
        (i64::MAX, Some(130)),
        (-5, None),
    ] {
        assert_eq!(trim_to(&extents, now, &config), expected, "at {now}");
    }
}

#[test]
fn a_topic_that_is_compacted_alone_is_left_to_compaction() {
    for (policy, limit, expected) in [
        (CleanupPolicy::Delete, "0", true),
        (CleanupPolicy::Delete, "-1", false),
        (CleanupPolicy::CompactDelete, "0", true),
        (CleanupPolicy::DeleteCompact, "0", true),
        (CleanupPolicy::Compact, "0", false),
    ] {
        let mut config = config(&[("retention.ms", limit)]);
        config.cleanup_policy = policy;
        assert_eq!(applies(&config), expected, "{policy:?}, retention.ms={limit}");
    }
}

#[test]
fn a_younger_extent_protects_those_after_it() {
    let config = config(&[("retention.ms", "1000")]);
    assert_eq!(
        trim_to(&extents(&[(1, 500), (1, 5000), (1, 500)]), 2000, &config),
        Some(110)
    );
}

#[test]
fn records_without_a_time_do_not_expire() {
    let config = config(&[("retention.ms", "0")]);
    assert_eq!(trim_to(&extents(&[(1, -1), (1, 5)]), 10_000, &config), None);
}

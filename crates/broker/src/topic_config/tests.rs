use super::*;

fn parse(name: &str, value: &str) -> Result<(TopicConfig, Vec<String>), ConfigError> {
    TopicConfig::parse([(name, Some(value))])
}

#[test]
fn every_default_is_allowed_and_reads_back() {
    for (setting, value, set) in TopicConfig::default().entries() {
        assert!(setting.allowed.allows(setting.default), "{}", setting.name);
        assert_eq!(
            (value.as_str(), set),
            (setting.default, false),
            "{}",
            setting.name
        );
        assert!(setting.documentation.ends_with('.'), "{}", setting.name);
    }
}

#[test]
fn what_is_set_is_told_apart_from_the_default() {
    let (config, warnings) = parse("retention.ms", " 604800000 ").unwrap();
    assert_eq!(
        config.overrides().collect::<Vec<_>>(),
        [("retention.ms", "604800000".to_owned())]
    );
    assert_eq!(warnings, [""; 0]);
    let overrides: Vec<_> = config.overrides().collect();
    assert_eq!(
        TopicConfig::restore(overrides.iter().map(|(n, v)| (*n, v.as_str()))),
        config
    );
}

#[test]
fn settings_without_effect_are_taken_with_a_warning() {
    let (config, warnings) = parse("min.insync.replicas", "2").unwrap();
    assert_eq!(config.min_insync_replicas, 2);
    assert!(warnings[0].contains("no effect"), "{warnings:?}");
}

#[test]
fn policies_are_listed_in_any_order() {
    for (text, policy, deletes, compacts) in [
        ("delete", CleanupPolicy::Delete, true, false),
        ("compact", CleanupPolicy::Compact, false, true),
        ("compact,delete", CleanupPolicy::CompactDelete, true, true),
        ("delete,compact", CleanupPolicy::DeleteCompact, true, true),
    ] {
        assert!(POLICIES.allows(text), "{text}");
        assert_eq!(CleanupPolicy::from_text(text), policy);
        assert_eq!(policy.text(), text);
        assert_eq!(
            (policy.deletes(), policy.compacts()),
            (deletes, compacts),
            "{text}"
        );
    }
    let spaced = "delete, compact";
    assert!(POLICIES.allows(spaced));
    assert_eq!(CleanupPolicy::from_text(spaced), CleanupPolicy::DeleteCompact);
    for text in [
        "",
        ",",
        "compact,",
        "delete,delete",
        "Compact",
        "shred",
        "compact,delete,compact",
    ] {
        assert!(!POLICIES.allows(text), "{text}");
    }
}

#[test]
fn ratios_are_from_0_to_1() {
    let name = "min.cleanable.dirty.ratio";
    for (text, value, shown) in [
        ("0", 0.0, "0.0"),
        ("1", 1.0, "1.0"),
        (".25", 0.25, "0.25"),
        ("5e-1", 0.5, "0.5"),
    ] {
        let (config, _) = parse(name, text).unwrap();
        assert_eq!(config.min_cleanable_dirty_ratio.get(), value);
        assert_eq!(config.overrides().collect::<Vec<_>>(), [(name, shown.to_owned())]);
    }
    for text in ["", "-0.1", "1.1", "NaN", "inf", "half"] {
        let error = parse(name, text).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{name}={text} is not supported: it must be a number from 0 to 1")
        );
    }
}

#[test]
fn the_lags_of_compaction_may_not_cross() {
    let lags = |min, max| {
        TopicConfig::parse([
            ("max.compaction.lag.ms", Some(max)),
            ("min.compaction.lag.ms", Some(min)),
        ])
    };
    assert!(lags("5", "5").is_ok());
    let error = lags("6", "5").unwrap_err();
    assert_eq!(error, ConfigError::CompactionLag { min: 6, max: 5 });
    assert_eq!(
        error.to_string(),
        "min.compaction.lag.ms (6) is greater than max.compaction.lag.ms (5)"
    );
    assert!(lags("0", "0").is_err(), "a maximum of 0 is refused");
}

#[test]
fn what_cannot_be_done_is_refused() {
    for (name, value) in [
        ("cleanup.policy", ""),
        ("cleanup.policy", "compact,compact"),
        ("compression.type", "none"),
        ("retention.ms", "-2"),
        ("retention.ms", "soon"),
        ("retention.ms", "99999999999999999999"),
        ("max.message.bytes", "33554433"),
        ("preallocate", "1"),
    ] {
        let error = parse(name, value).unwrap_err();
        assert!(matches!(error, ConfigError::Invalid { .. }), "{error}");
    }
    assert_eq!(
        parse("cleanup.policy", "shred").unwrap_err().to_string(),
        "cleanup.policy=shred is not supported: it must be a list of compact and delete, without repetition"
    );
    assert_eq!(parse("x", "1").unwrap_err(), ConfigError::Unknown("x".to_owned()));
    let null = TopicConfig::parse([("retention.ms", None)]);
    assert_eq!(null.unwrap_err(), ConfigError::Null { name: "retention.ms" });
}

#[test]
fn a_stored_setting_that_is_unknown_now_is_left_out() {
    let config = TopicConfig::restore([("from.the.past", "1"), ("retention.bytes", "5")]);
    assert_eq!(config.retention_bytes, 5);
}

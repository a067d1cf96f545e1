use firth_broker::{Allowed, Effect, SETTINGS, Setting, TopicConfig};
use firth_kafka_codec::{
    ByteStr, SOURCE_DEFAULT, SOURCE_TOPIC, TYPE_BOOLEAN, TYPE_DOUBLE, TYPE_INT, TYPE_LIST, TYPE_LONG,
    TYPE_STRING,
};

use super::Config;

/// Every setting of a topic.
pub(super) fn configs(config: &TopicConfig) -> Vec<Config> {
    let entries = config.entries();
    entries
        .map(|(setting, value, is_set)| {
            let default = ByteStr::from_static(setting.default);
            let value = if is_set {
                ByteStr::from(value)
            } else {
                default.clone()
            };
            let source = if is_set { SOURCE_TOPIC } else { SOURCE_DEFAULT };
            let own = is_set.then(|| (setting.name, Some(value.clone()), SOURCE_TOPIC));
            let broker_s = (of_broker(setting), Some(default), SOURCE_DEFAULT);
            Config {
                name: setting.name,
                value: Some(value),
                source,
                read_only: false,
                config_type: config_type(setting),
                synonyms: own.into_iter().chain([broker_s]).collect(),
                documentation: setting.documentation,
                without_effect: without_effect(setting),
            }
        })
        .collect()
}

/// What topics get that do not set it themselves, under the names that it has for the broker. No setting changes it.
pub(super) fn defaults() -> impl Iterator<Item = Config> {
    SETTINGS.iter().map(|setting| {
        let (name, default) = (of_broker(setting), ByteStr::from_static(setting.default));
        Config {
            name,
            value: Some(default.clone()),
            source: SOURCE_DEFAULT,
            read_only: true,
            config_type: config_type(setting),
            synonyms: vec![(name, Some(default), SOURCE_DEFAULT)],
            documentation: setting.documentation,
            without_effect: without_effect(setting),
        }
    })
}

fn without_effect(setting: &Setting) -> Option<&'static str> {
    match setting.effect {
        Effect::Enforced => None,
        Effect::Accepted(reason) => Some(reason),
    }
}

fn config_type(setting: &Setting) -> i8 {
    match setting.allowed {
        Allowed::Range(_, max) if i32::try_from(max).is_ok() => TYPE_INT,
        Allowed::Range(..) => TYPE_LONG,
        Allowed::Bool => TYPE_BOOLEAN,
        Allowed::OneOf(_) => TYPE_STRING,
        Allowed::ListOf(_) => TYPE_LIST,
        Allowed::Ratio => TYPE_DOUBLE,
    }
}

/// The broker's name of a topic's setting, the one in the same unit (`ServerTopicConfigSynonyms`).
fn of_broker(setting: &Setting) -> &'static str {
    match setting.name {
        "retention.ms" => "log.retention.ms",
        "retention.bytes" => "log.retention.bytes",
        "max.message.bytes" => "message.max.bytes",
        "message.timestamp.type" => "log.message.timestamp.type",
        "message.timestamp.before.max.ms" => "log.message.timestamp.before.max.ms",
        "message.timestamp.after.max.ms" => "log.message.timestamp.after.max.ms",
        "cleanup.policy" => "log.cleanup.policy",
        "min.compaction.lag.ms" => "log.cleaner.min.compaction.lag.ms",
        "max.compaction.lag.ms" => "log.cleaner.max.compaction.lag.ms",
        "min.cleanable.dirty.ratio" => "log.cleaner.min.cleanable.ratio",
        "delete.retention.ms" => "log.cleaner.delete.retention.ms",
        "segment.bytes" => "log.segment.bytes",
        "segment.ms" => "log.roll.ms",
        "segment.jitter.ms" => "log.roll.jitter.ms",
        "segment.index.bytes" => "log.index.size.max.bytes",
        "index.interval.bytes" => "log.index.interval.bytes",
        "preallocate" => "log.preallocate",
        "file.delete.delay.ms" => "log.segment.delete.delay.ms",
        "flush.messages" => "log.flush.interval.messages",
        "flush.ms" => "log.flush.interval.ms",
        // compression.type, min.insync.replicas and unclean.leader.election.enable are called the same.
        same => same,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_setting_of_a_topic_has_a_name_of_its_own_for_the_broker() {
        let names: HashSet<_> = SETTINGS.iter().map(of_broker).collect();
        assert_eq!(names.len(), SETTINGS.len());
        let same = SETTINGS
            .iter()
            .filter(|setting| of_broker(setting) == setting.name);
        let same: Vec<_> = same.map(|setting| setting.name).collect();
        let expected = [
            "compression.type",
            "min.insync.replicas",
            "unclean.leader.election.enable",
        ];
        assert_eq!(same, expected);
    }

    #[test]
    fn numbers_have_the_width_that_clients_parse() {
        let type_of = |name| {
            let setting = SETTINGS.iter().find(|setting| setting.name == name);
            config_type(setting.unwrap())
        };
        for name in [
            "max.message.bytes",
            "min.insync.replicas",
            "segment.bytes",
            "segment.index.bytes",
            "index.interval.bytes",
        ] {
            assert_eq!(type_of(name), TYPE_INT, "{name}");
        }
        assert_eq!(
            (type_of("retention.ms"), type_of("flush.ms")),
            (TYPE_LONG, TYPE_LONG)
        );
        assert_eq!(type_of("cleanup.policy"), TYPE_LIST);
    }
}

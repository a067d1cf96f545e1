//! Loggers of the broker. What is logged is said where the broker is started, and may differ by module; told is the most that is
//! logged of any, as that of the root.

use firth_kafka_codec::{ByteStr, SOURCE_BROKER_LOGGER};
use tracing::level_filters::LevelFilter;

use super::Config;

const ROOT: &str = "root";

pub(super) fn configs() -> Vec<Config> {
    let level = LevelFilter::current().to_string().to_uppercase();
    vec![Config {
        name: ROOT,
        value: Some(ByteStr::from(level)),
        source: SOURCE_BROKER_LOGGER,
        read_only: true,
        config_type: 0,
        synonyms: Vec::new(),
        documentation: "The least that an event has to be to be logged.",
        without_effect: None,
    }]
}

use std::iter;

use firth_kafka_codec::{
    ByteStr, ConfigResource, ErrorCode, ListConfigResourcesRequest, ListConfigResourcesResponse,
    RESOURCE_BROKER, RESOURCE_BROKER_LOGGER, RESOURCE_CLIENT_METRICS, RESOURCE_GROUP, RESOURCE_TOPIC,
};

use super::Answer;
use crate::server::Client;

/// Types that Apache Kafka knows. Of what clients measure and of groups nothing can be configured here.
const TYPES: [i8; 5] = [
    RESOURCE_TOPIC,
    RESOURCE_BROKER,
    RESOURCE_BROKER_LOGGER,
    RESOURCE_CLIENT_METRICS,
    RESOURCE_GROUP,
];

pub(super) async fn handle(
    client: Client,
    version: i16,
    request: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    let asked = request.resource_types;
    if asked.iter().any(|resource_type| !TYPES.contains(resource_type)) {
        return ListConfigResourcesResponse {
            error_code: ErrorCode::UnsupportedVersion,
            ..Default::default()
        };
    }
    // Version 0 asks for what clients measure alone.
    let wants = |resource_type| version > 0 && (asked.is_empty() || asked.contains(&resource_type));
    let mut config_resources = Vec::new();
    if wants(RESOURCE_TOPIC) {
        let topics = client.server.broker.topics();
        config_resources.extend(topics.iter().map(|topic| ConfigResource {
            resource_name: ByteStr::from(&*topic.name),
            resource_type: RESOURCE_TOPIC,
        }));
    }
    for resource_type in [RESOURCE_BROKER, RESOURCE_BROKER_LOGGER] {
        if wants(resource_type) {
            config_resources.push(ConfigResource {
                resource_name: ByteStr::from(client.server.config.node_id.to_string()),
                resource_type,
            });
        }
    }
    ListConfigResourcesResponse {
        config_resources,
        ..Default::default()
    }
}

impl Answer for ListConfigResourcesResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        iter::once(self.error_code)
    }
}

use firth_kafka_codec::{ErrorCode, FindCoordinatorRequest, FindCoordinatorResponse};

use super::Answer;

/// There are no groups, so none has a coordinator. The API is served only because librdkafka takes a broker without it
/// for one that cannot read LZ4, and sends uncompressed batches instead.
///
/// Of the codes that are true, clients retry this one, and those that assign partitions themselves go on without
/// their group. A final one would reach their applications as an error of the consumer.
pub(super) fn handle(request: &FindCoordinatorRequest) -> FindCoordinatorResponse {
    tracing::debug!(group = %request.key, "a consumer asks for its group, and there are no groups yet");
    FindCoordinatorResponse {
        error_code: ErrorCode::CoordinatorNotAvailable,
        node_id: -1,
        port: -1,
        ..Default::default()
    }
}

impl Answer for FindCoordinatorResponse {
    fn has_error(&self) -> bool {
        self.error_code != ErrorCode::None
    }
}

use firth_kafka_codec::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

use super::Answer;

/// Nothing is ever being moved.
pub(super) async fn handle(_: ListPartitionReassignmentsRequest) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse {
        error_message: None,
        ..Default::default()
    }
}

impl Answer for ListPartitionReassignmentsResponse {
    fn has_error(&self) -> bool {
        self.error_code.is_error()
    }
}

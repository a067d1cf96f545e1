use std::iter;

use firth_kafka_codec::{ErrorCode, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

use super::Answer;

/// Nothing is ever being moved.
pub(super) async fn handle(_: ListPartitionReassignmentsRequest) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse {
        error_message: None,
        ..Default::default()
    }
}

impl Answer for ListPartitionReassignmentsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        iter::once(self.error_code)
    }
}

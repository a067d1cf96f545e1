use std::iter;

use firth_kafka_codec::{ErrorCode, ListTransactionsRequest, ListTransactionsResponse};

use super::Answer;

/// As Apache Kafka names them.
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "PrepareEpochFence",
    "Dead",
];

/// There are no transactions, so that whatever is asked for is none of them.
pub(super) async fn handle(request: ListTransactionsRequest) -> ListTransactionsResponse {
    let mut unknown_state_filters = request.state_filters;
    unknown_state_filters.retain(|state| !STATES.contains(&state.as_str()));
    ListTransactionsResponse {
        unknown_state_filters,
        ..Default::default()
    }
}

impl Answer for ListTransactionsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        iter::once(self.error_code)
    }
}

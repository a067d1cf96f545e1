use firth_kafka_codec::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, ErrorCode, TransactionDescription,
};

use super::Answer;

/// There are no transactions.
pub(super) async fn handle(request: DescribeTransactionsRequest) -> DescribeTransactionsResponse {
    let states = request
        .transactional_ids
        .into_iter()
        .map(|transactional_id| TransactionDescription {
            error_code: ErrorCode::TransactionalIdNotFound,
            transactional_id,
            ..Default::default()
        });
    DescribeTransactionsResponse {
        transaction_states: states.collect(),
        ..Default::default()
    }
}

impl Answer for DescribeTransactionsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        self.transaction_states.iter().map(|state| state.error_code)
    }
}

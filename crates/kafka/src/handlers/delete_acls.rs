use firth_kafka_codec::{DeleteAclsFilterResult, DeleteAclsRequest, DeleteAclsResponse, ErrorCode};

use super::Answer;
use super::create_acls::NO_AUTHORIZER;

pub(super) async fn handle(request: DeleteAclsRequest) -> DeleteAclsResponse {
    let results = request.filters.iter().map(|_| DeleteAclsFilterResult {
        error_code: ErrorCode::SecurityDisabled,
        error_message: Some(NO_AUTHORIZER),
        matching_acls: Vec::new(),
    });
    DeleteAclsResponse {
        filter_results: results.collect(),
        ..Default::default()
    }
}

impl Answer for DeleteAclsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        self.filter_results.iter().map(|result| result.error_code)
    }
}

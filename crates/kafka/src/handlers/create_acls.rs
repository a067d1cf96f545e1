use firth_kafka_codec::{AclCreationResult, ByteStr, CreateAclsRequest, CreateAclsResponse, ErrorCode};

use super::Answer;

/// What Apache Kafka says where nobody authorizes anything.
pub(super) const NO_AUTHORIZER: ByteStr = ByteStr::from_static("No Authorizer is configured.");

pub(super) async fn handle(request: CreateAclsRequest) -> CreateAclsResponse {
    let results = request.creations.iter().map(|_| AclCreationResult {
        error_code: ErrorCode::SecurityDisabled,
        error_message: Some(NO_AUTHORIZER),
    });
    CreateAclsResponse {
        results: results.collect(),
        ..Default::default()
    }
}

impl Answer for CreateAclsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        self.results.iter().map(|result| result.error_code)
    }
}

use std::iter;

use firth_kafka_codec::{ApiVersionsRequest, ApiVersionsResponse, ErrorCode};

use super::Answer;

/// A version that is not served does not get here: the connection answers it.
pub(super) fn handle(version: i16, request: &ApiVersionsRequest) -> ApiVersionsResponse {
    if !request.is_valid(version) {
        return ApiVersionsResponse {
            error_code: ErrorCode::InvalidRequest,
            ..Default::default()
        };
    }
    ApiVersionsResponse::served()
}

impl Answer for ApiVersionsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        iter::once(self.error_code)
    }
}

//! Without an authorizer there are no access control lists, and Apache Kafka says so in these words.

use std::iter;

use firth_kafka_codec::{ByteStr, DescribeAclsRequest, DescribeAclsResponse, ErrorCode};

use super::Answer;

pub(super) async fn handle(_: DescribeAclsRequest) -> DescribeAclsResponse {
    DescribeAclsResponse {
        error_code: ErrorCode::SecurityDisabled,
        error_message: Some(ByteStr::from_static("No Authorizer is configured on the broker")),
        ..Default::default()
    }
}

impl Answer for DescribeAclsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        iter::once(self.error_code)
    }
}

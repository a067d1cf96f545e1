use std::iter;

use firth_kafka_codec::{
    ByteStr, DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult, ErrorCode, UserName,
};

use super::{Answer, once};

/// Nobody can authenticate, so no user has credentials.
pub(super) async fn handle(
    request: DescribeUserScramCredentialsRequest,
) -> DescribeUserScramCredentialsResponse {
    let users = once(request.users.unwrap_or_default(), |user| user.name.clone());
    let result = |(user, is_repeated): (UserName, bool)| {
        let (error_code, reason) = match is_repeated {
            true => (
                ErrorCode::DuplicateResource,
                "Cannot describe SCRAM credentials for the same user twice in a single request",
            ),
            false => (
                ErrorCode::ResourceNotFound,
                "Attempt to describe a user credential that does not exist",
            ),
        };
        DescribeUserScramCredentialsResult {
            error_code,
            error_message: Some(ByteStr::from(format!("{reason}: {}", user.name))),
            user: user.name,
            credential_infos: Vec::new(),
        }
    };
    DescribeUserScramCredentialsResponse {
        error_message: None,
        results: users.into_iter().map(result).collect(),
        ..Default::default()
    }
}

impl Answer for DescribeUserScramCredentialsResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        iter::once(self.error_code).chain(self.results.iter().map(|result| result.error_code))
    }
}

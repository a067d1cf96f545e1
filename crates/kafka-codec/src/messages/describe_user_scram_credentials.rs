//! DescribeUserScramCredentials (KIP-554).

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct DescribeUserScramCredentialsRequest {
        /// Null and none at all are all users.
        pub users: Option<Vec<UserName>> [..] = Some(Vec::new()),
    }
}

message! {
    pub struct UserName {
        pub name: ByteStr [..],
    }
}

message! {
    pub struct DescribeUserScramCredentialsResponse {
        pub throttle_time_ms: i32 [..],
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [..] = Some(ByteStr::default()),
        pub results: Vec<DescribeUserScramCredentialsResult> [..],
    }
}

message! {
    pub struct DescribeUserScramCredentialsResult {
        pub user: ByteStr [..],
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [..] = Some(ByteStr::default()),
        pub credential_infos: Vec<CredentialInfo> [..],
    }
}

message! {
    pub struct CredentialInfo {
        pub mechanism: i8 [..],
        pub iterations: i32 [..],
    }
}

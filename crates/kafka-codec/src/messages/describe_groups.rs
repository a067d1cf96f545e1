//! DescribeGroups, of classic groups.

use bytes::Bytes;

use super::AUTHORIZED_OPERATIONS_UNKNOWN;
use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct DescribeGroupsRequest {
        pub groups: Vec<ByteStr> [..],
        pub include_authorized_operations: bool [3..],
    }
}

message! {
    pub struct DescribeGroupsResponse {
        pub throttle_time_ms: i32 [1..],
        pub groups: Vec<DescribedGroup> [..],
    }
}

message! {
    pub struct DescribedGroup {
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [6..],
        pub group_id: ByteStr [..],
        pub group_state: ByteStr [..],
        pub protocol_type: ByteStr [..],
        /// The name of the protocol that was chosen; empty while there is none.
        pub protocol_data: ByteStr [..],
        pub members: Vec<DescribedGroupMember> [..],
        pub authorized_operations: i32 [3..] = AUTHORIZED_OPERATIONS_UNKNOWN,
    }
}

message! {
    pub struct DescribedGroupMember {
        pub member_id: ByteStr [..],
        pub group_instance_id: Option<ByteStr> [4..],
        pub client_id: ByteStr [..],
        pub client_host: ByteStr [..],
        /// What the member told for the protocol that was chosen.
        pub member_metadata: Bytes [..],
        pub member_assignment: Bytes [..],
    }
}

//! JoinGroup, with static members (KIP-345), ids that are asked for first (KIP-394) and reasons (KIP-800).

use bytes::Bytes;

use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct JoinGroupRequest {
        pub group_id: ByteStr [..],
        /// The member is dead if no heartbeat comes for so long.
        pub session_timeout_ms: i32 [..],
        /// How long a rebalance waits for the member; in version 0 as long as its session.
        pub rebalance_timeout_ms: i32 [1..] = -1,
        /// Empty where the member has none yet.
        pub member_id: ByteStr [..],
        /// The id of a static member, null for others (KIP-345).
        pub group_instance_id: Option<ByteStr> [5..],
        /// `consumer`, or the name of what else forms groups.
        pub protocol_type: ByteStr [..],
        /// The assignors that the member knows, the one it likes best first.
        pub protocols: Vec<JoinGroupRequestProtocol> [..],
        /// Why the member joins (KIP-800).
        pub reason: Option<ByteStr> [8..],
    }
}

message! {
    pub struct JoinGroupRequestProtocol {
        pub name: ByteStr [..],
        /// What the member tells the leader of the group, such as its topics. It is for members alone to read.
        pub metadata: Bytes [..],
    }
}

message! {
    pub struct JoinGroupResponse {
        pub throttle_time_ms: i32 [2..],
        pub error_code: ErrorCode [..],
        pub generation_id: i32 [..] = -1,
        pub protocol_type: Option<ByteStr> [7..],
        pub protocol_name: Option<ByteStr> [.., null 7..] = Some(ByteStr::default()),
        /// The member that assigns partitions.
        pub leader: ByteStr [..],
        /// The leader is to leave the assignment as it is (KIP-814).
        pub skip_assignment: bool [9..],
        pub member_id: ByteStr [..],
        /// Empty except for the leader.
        pub members: Vec<JoinGroupResponseMember> [..],
    }
}

message! {
    pub struct JoinGroupResponseMember {
        pub member_id: ByteStr [..],
        pub group_instance_id: Option<ByteStr> [5..],
        pub metadata: Bytes [..],
    }
}

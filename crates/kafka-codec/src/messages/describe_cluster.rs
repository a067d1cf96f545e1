//! DescribeCluster (KIP-700, KIP-919, KIP-1073).

use super::AUTHORIZED_OPERATIONS_UNKNOWN;
use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

/// Where the client is connected to: a broker or a controller (KIP-919).
pub const ENDPOINT_BROKERS: i8 = 1;
pub const ENDPOINT_CONTROLLERS: i8 = 2;

message! {
    pub struct DescribeClusterRequest {
        pub include_cluster_authorized_operations: bool [..],
        pub endpoint_type: i8 [1..] = ENDPOINT_BROKERS,
        pub include_fenced_brokers: bool [2..],
    }
}

message! {
    pub struct DescribeClusterResponse {
        pub throttle_time_ms: i32 [..],
        pub error_code: ErrorCode [..],
        pub error_message: Option<ByteStr> [..],
        pub endpoint_type: i8 [1..] = ENDPOINT_BROKERS,
        pub cluster_id: ByteStr [..],
        pub controller_id: i32 [..] = -1,
        pub brokers: Vec<DescribeClusterBroker> [..],
        pub cluster_authorized_operations: i32 [..] = AUTHORIZED_OPERATIONS_UNKNOWN,
    }
}

message! {
    pub struct DescribeClusterBroker {
        pub broker_id: i32 [..],
        pub host: ByteStr [..],
        pub port: i32 [..],
        pub rack: Option<ByteStr> [..],
        pub is_fenced: bool [2..],
    }
}

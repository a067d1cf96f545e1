//! The messages, one file per API, in the words and the field order of Apache Kafka's schemas.

pub(crate) mod api_versions;
mod create_topics;
mod delete_records;
mod delete_topics;
mod fetch;
mod find_coordinator;
mod init_producer_id;
mod list_offsets;
mod metadata;
mod produce;

pub use self::api_versions::*;
pub use self::create_topics::*;
pub use self::delete_records::*;
pub use self::delete_topics::*;
pub use self::fetch::*;
pub use self::find_coordinator::*;
pub use self::init_producer_id::*;
pub use self::list_offsets::*;
pub use self::metadata::*;
pub use self::produce::*;

use crate::message::message;
use crate::primitives::ByteStr;

message! {
    /// The leader that a client should turn to instead (KIP-951), in Produce 10+ and Fetch 12+.
    pub struct LeaderIdAndEpoch {
        /// -1 if the leader is unknown.
        pub leader_id: i32 [..] = -1,
        pub leader_epoch: i32 [..] = -1,
    }
}

message! {
    /// Where a leader named in a response listens (KIP-951), in Produce 10+ and Fetch 16+.
    pub struct NodeEndpoint {
        pub node_id: i32 [..],
        pub host: ByteStr [..],
        pub port: i32 [..],
        pub rack: Option<ByteStr> [..],
    }
}

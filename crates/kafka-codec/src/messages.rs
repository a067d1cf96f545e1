//! The messages, one file per API, in the words and the field order of Apache Kafka's schemas.

mod alter_client_quotas;
mod alter_configs;
mod alter_partition_reassignments;
pub(crate) mod api_versions;
mod create_acls;
mod create_partitions;
mod create_topics;
mod delete_acls;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_acls;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod describe_transactions;
mod describe_user_scram_credentials;
mod elect_leaders;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sync_group;

pub use self::alter_client_quotas::*;
pub use self::alter_configs::*;
pub use self::alter_partition_reassignments::*;
pub use self::api_versions::*;
pub use self::create_acls::*;
pub use self::create_partitions::*;
pub use self::create_topics::*;
pub use self::delete_acls::*;
pub use self::delete_groups::*;
pub use self::delete_records::*;
pub use self::delete_topics::*;
pub use self::describe_acls::*;
pub use self::describe_client_quotas::*;
pub use self::describe_cluster::*;
pub use self::describe_configs::*;
pub use self::describe_groups::*;
pub use self::describe_log_dirs::*;
pub use self::describe_producers::*;
pub use self::describe_quorum::*;
pub use self::describe_topic_partitions::*;
pub use self::describe_transactions::*;
pub use self::describe_user_scram_credentials::*;
pub use self::elect_leaders::*;
pub use self::fetch::*;
pub use self::find_coordinator::*;
pub use self::heartbeat::*;
pub use self::incremental_alter_configs::*;
pub use self::init_producer_id::*;
pub use self::join_group::*;
pub use self::leave_group::*;
pub use self::list_config_resources::*;
pub use self::list_groups::*;
pub use self::list_offsets::*;
pub use self::list_partition_reassignments::*;
pub use self::list_transactions::*;
pub use self::metadata::*;
pub use self::offset_commit::*;
pub use self::offset_delete::*;
pub use self::offset_fetch::*;
pub use self::offset_for_leader_epoch::*;
pub use self::produce::*;
pub use self::sync_group::*;

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

//! What Firth serves: one table, from which follow the answer to ApiVersions, the check of an incoming version, the
//! version of the headers and the [`Request`] that a handler is given.

use bytes::{Bytes, BytesMut};

use crate::chain::Chain;
use crate::error::Error;
use crate::header::RequestHeader;
use crate::messages::*;
use crate::primitives::{Reader, Wire, Writer};

/// A request, and what answers it.
pub trait RequestMessage: Wire {
    const API_KEY: ApiKey;
    type Response: ResponseMessage;

    /// The version that the answer to a request of `version` is written in. Only ApiVersions differs.
    fn response_version(version: i16, body: &Bytes) -> i16 {
        let _ = body;
        version
    }
}

/// A response.
pub trait ResponseMessage: Wire {
    const API_KEY: ApiKey;

    /// For how long a client is asked to send nothing more, in milliseconds. The oldest versions do not write it.
    fn throttle_time_ms(&mut self) -> &mut i32;
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    pub api_key: ApiKey,
    /// The versions that are read and answered.
    pub version_min: i16,
    pub version_max: i16,
    /// The first version with compact lengths and tagged fields (KIP-482).
    pub flexible_min: i16,
    /// The lowest version that is advertised.
    pub advertised_min: i16,
}

macro_rules! apis {
    ($(
        $(#[$meta:meta])*
        $key:literal $name:ident [$min:literal ..= $max:literal, flexible $flexible:literal
            $(, advertised $advertised:literal)?] $request:ident $response:ident,
    )*) => {
        /// The APIs that are served.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum ApiKey {
            $($(#[$meta])* $name = $key,)*
        }

        /// The table, ascending by key.
        pub const SERVED: &[Served] = &[$(
            Served {
                api_key: ApiKey::$name,
                version_min: $min,
                version_max: $max,
                flexible_min: $flexible,
                advertised_min: advertised!($min $(, $advertised)?),
            },
        )*];

        impl ApiKey {
            pub fn from_i16(key: i16) -> Option<ApiKey> {
                match key {
                    $($key => Some(ApiKey::$name),)*
                    _ => None,
                }
            }

            pub fn as_i16(self) -> i16 {
                match self {
                    $(ApiKey::$name => $key,)*
                }
            }

            /// The name that the protocol gives it.
            pub fn name(self) -> &'static str {
                match self {
                    $(ApiKey::$name => stringify!($name),)*
                }
            }

            pub fn serves(self, version: i16) -> bool {
                match self {
                    $(ApiKey::$name => ($min..=$max).contains(&version),)*
                }
            }

            /// Whether requests and responses of this version have compact lengths and tagged fields (KIP-482).
            pub fn is_flexible(self, version: i16) -> bool {
                match self {
                    $(ApiKey::$name => version >= $flexible,)*
                }
            }
        }

        /// A request of any API that is served.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(clippy::large_enum_variant, reason = "the largest are Produce and Fetch, which are the hot path")]
        pub enum Request {
            $($name($request),)*
        }

        impl Request {
            pub fn api_key(&self) -> ApiKey {
                match self {
                    $(Request::$name(_) => ApiKey::$name,)*
                }
            }

            /// Writes the request as a whole frame, as a client does; `header` is that of the same API.
            ///
            /// # Errors
            /// As [`encode_request`].
            pub fn encode(&self, buf: &mut BytesMut, header: &RequestHeader) -> Result<Chain, Error> {
                let (version, id, client) =
                    (header.api_version, header.correlation_id, header.client_id.as_deref());
                match self {
                    $(Request::$name(request) => encode_request(buf, version, id, client, request),)*
                }
            }
        }

        /// Reads the body of a request. Strings and records in it are slices of `body`.
        ///
        /// Bytes after the message are ignored, as Apache Kafka ignores them.
        ///
        /// # Errors
        /// `Incomplete` and `Malformed`; the connection is closed then, because such a client cannot read our answer.
        pub fn decode_request(header: &RequestHeader, body: &Bytes) -> Result<Request, Error> {
            let version = header.api_version;
            let mut reader = Reader::new(body, header.api_key.is_flexible(version));
            match header.api_key {
                $(ApiKey::$name => Ok(Request::$name($request::decode(&mut reader, version)?)),)*
            }
        }

        $(
            impl RequestMessage for $request {
                const API_KEY: ApiKey = ApiKey::$name;
                type Response = $response;

                apis!(@response_version $name);
            }

            impl ResponseMessage for $response {
                const API_KEY: ApiKey = ApiKey::$name;

                fn throttle_time_ms(&mut self) -> &mut i32 {
                    &mut self.throttle_time_ms
                }
            }
        )*
    };
    (@response_version ApiVersions) => {
        fn response_version(version: i16, body: &Bytes) -> i16 {
            api_versions::response_version(version, body)
        }
    };
    (@response_version $name:ident) => {};
}

macro_rules! advertised {
    ($min:literal) => {
        $min
    };
    ($min:literal, $advertised:literal) => {
        $advertised
    };
}

apis! {
    /// Versions 0 to 2 are advertised but closed, as Apache Kafka does: librdkafka derives from them that the broker
    /// reads compressed batches, and without them silently sends uncompressed ones (KAFKA-18659).
    0 Produce [3..=13, flexible 9, advertised 0] ProduceRequest ProduceResponse,
    1 Fetch [4..=17, flexible 12] FetchRequest FetchResponse,
    2 ListOffsets [0..=11, flexible 6] ListOffsetsRequest ListOffsetsResponse,
    3 Metadata [0..=13, flexible 9] MetadataRequest MetadataResponse,
    8 OffsetCommit [0..=10, flexible 8] OffsetCommitRequest OffsetCommitResponse,
    9 OffsetFetch [0..=10, flexible 6] OffsetFetchRequest OffsetFetchResponse,
    10 FindCoordinator [0..=6, flexible 3] FindCoordinatorRequest FindCoordinatorResponse,
    11 JoinGroup [0..=9, flexible 6] JoinGroupRequest JoinGroupResponse,
    12 Heartbeat [0..=4, flexible 4] HeartbeatRequest HeartbeatResponse,
    13 LeaveGroup [0..=5, flexible 4] LeaveGroupRequest LeaveGroupResponse,
    14 SyncGroup [0..=5, flexible 4] SyncGroupRequest SyncGroupResponse,
    15 DescribeGroups [0..=6, flexible 5] DescribeGroupsRequest DescribeGroupsResponse,
    16 ListGroups [0..=5, flexible 3] ListGroupsRequest ListGroupsResponse,
    18 ApiVersions [0..=4, flexible 3] ApiVersionsRequest ApiVersionsResponse,
    19 CreateTopics [0..=7, flexible 5] CreateTopicsRequest CreateTopicsResponse,
    20 DeleteTopics [1..=6, flexible 4] DeleteTopicsRequest DeleteTopicsResponse,
    21 DeleteRecords [0..=2, flexible 2] DeleteRecordsRequest DeleteRecordsResponse,
    22 InitProducerId [0..=5, flexible 2] InitProducerIdRequest InitProducerIdResponse,
    23 OffsetForLeaderEpoch [2..=4, flexible 4] OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse,
    29 DescribeAcls [0..=3, flexible 2] DescribeAclsRequest DescribeAclsResponse,
    30 CreateAcls [0..=3, flexible 2] CreateAclsRequest CreateAclsResponse,
    31 DeleteAcls [0..=3, flexible 2] DeleteAclsRequest DeleteAclsResponse,
    32 DescribeConfigs [0..=4, flexible 4] DescribeConfigsRequest DescribeConfigsResponse,
    33 AlterConfigs [0..=2, flexible 2] AlterConfigsRequest AlterConfigsResponse,
    35 DescribeLogDirs [1..=4, flexible 2] DescribeLogDirsRequest DescribeLogDirsResponse,
    37 CreatePartitions [0..=3, flexible 2] CreatePartitionsRequest CreatePartitionsResponse,
    42 DeleteGroups [0..=2, flexible 2] DeleteGroupsRequest DeleteGroupsResponse,
    43 ElectLeaders [0..=2, flexible 2] ElectLeadersRequest ElectLeadersResponse,
    44 IncrementalAlterConfigs [0..=1, flexible 1] IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse,
    45 AlterPartitionReassignments [0..=1, flexible 0] AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse,
    46 ListPartitionReassignments [0..=0, flexible 0] ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse,
    47 OffsetDelete [0..=0, flexible 1] OffsetDeleteRequest OffsetDeleteResponse,
    48 DescribeClientQuotas [0..=1, flexible 1] DescribeClientQuotasRequest DescribeClientQuotasResponse,
    49 AlterClientQuotas [0..=1, flexible 1] AlterClientQuotasRequest AlterClientQuotasResponse,
    50 DescribeUserScramCredentials [0..=0, flexible 0] DescribeUserScramCredentialsRequest DescribeUserScramCredentialsResponse,
    55 DescribeQuorum [0..=2, flexible 0] DescribeQuorumRequest DescribeQuorumResponse,
    60 DescribeCluster [0..=2, flexible 0] DescribeClusterRequest DescribeClusterResponse,
    61 DescribeProducers [0..=0, flexible 0] DescribeProducersRequest DescribeProducersResponse,
    65 DescribeTransactions [0..=0, flexible 0] DescribeTransactionsRequest DescribeTransactionsResponse,
    66 ListTransactions [0..=2, flexible 0] ListTransactionsRequest ListTransactionsResponse,
    74 ListConfigResources [0..=1, flexible 0] ListConfigResourcesRequest ListConfigResourcesResponse,
    75 DescribeTopicPartitions [0..=0, flexible 0] DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse,
}

impl ApiKey {
    /// Whether the response header ends with tagged fields. That of ApiVersions never does: its reader does not know
    /// yet which versions the broker has (KIP-511).
    fn response_header_is_flexible(self, version: i16) -> bool {
        self != ApiKey::ApiVersions && self.is_flexible(version)
    }
}

/// Writes a response as a whole frame. The memory of `buf` is used and, once the chain is sent and dropped, used again.
///
/// # Errors
/// `TooLong` and `Null`: the message cannot be written in this version.
pub fn encode_response<R: ResponseMessage>(
    buf: &mut BytesMut,
    api_version: i16,
    correlation_id: i32,
    response: &R,
) -> Result<Chain, Error> {
    let mut writer = Writer::new(buf, R::API_KEY.response_header_is_flexible(api_version));
    writer.i32(correlation_id);
    writer.tagged_count(0);
    writer.set_flexible(R::API_KEY.is_flexible(api_version));
    response.encode(&mut writer, api_version);
    writer.finish()
}

/// Writes a request as a whole frame, as a client does.
///
/// # Errors
/// `TooLong` and `Null`: the message cannot be written in this version.
pub fn encode_request<R: RequestMessage>(
    buf: &mut BytesMut,
    api_version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    request: &R,
) -> Result<Chain, Error> {
    let flexible = R::API_KEY.is_flexible(api_version);
    let mut writer = Writer::new(buf, false);
    writer.i16(R::API_KEY.as_i16());
    writer.i16(api_version);
    writer.i32(correlation_id);
    // Not compact even in flexible versions, so that a broker can read it whatever the version is.
    writer.string(client_id.map(str::as_bytes));
    writer.at("RequestHeader.client_id");
    writer.set_flexible(flexible);
    writer.tagged_count(0);
    request.encode(&mut writer, api_version);
    writer.finish()
}

/// Reads the answer to a request `R` of `api_version` from a frame without its size prefix, as a client does:
/// the correlation id and the response.
///
/// # Errors
/// `Incomplete` and `Malformed`.
pub fn decode_response<R: RequestMessage>(
    api_version: i16,
    frame: &Bytes,
) -> Result<(i32, R::Response), Error> {
    let mut reader = Reader::new(frame, R::API_KEY.response_header_is_flexible(api_version));
    let correlation_id = reader
        .i32()
        .map_err(|error| error.at("ResponseHeader.correlation_id"))?;
    reader
        .tagged_fields(|_, _| Ok(false))
        .map_err(|error| error.at("ResponseHeader (tagged fields)"))?;
    let body = reader.into_rest();
    let version = R::response_version(api_version, &body);
    let mut reader = Reader::new(&body, R::API_KEY.is_flexible(version));
    Ok((correlation_id, R::Response::decode(&mut reader, version)?))
}

//! ApiVersions (KIP-35, KIP-511, KIP-584): what the broker speaks.

use bytes::Bytes;

use crate::api::{ApiKey, SERVED, Served};
use crate::error_code::ErrorCode;
use crate::message::message;
use crate::primitives::ByteStr;

message! {
    pub struct ApiVersionsRequest {
        pub client_software_name: ByteStr [3..],
        pub client_software_version: ByteStr [3..],
    }
}

impl ApiVersionsRequest {
    /// Whether a request of this version names its software as the protocol asks. If not, the answer is `INVALID_REQUEST`.
    pub fn is_valid(&self, version: i16) -> bool {
        version < 3
            || (is_software_word(&self.client_software_name)
                && is_software_word(&self.client_software_version))
    }
}

/// Whether the word matches `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?` (KIP-511).
fn is_software_word(word: &str) -> bool {
    let alphanumeric = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    alphanumeric(word.bytes().next())
        && alphanumeric(word.bytes().next_back())
        && word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
}

message! {
    pub struct ApiVersionsResponse {
        pub error_code: ErrorCode [..],
        pub api_keys: Vec<ApiVersion> [..],
        pub throttle_time_ms: i32 [1..],
    }
    tagged {
        /// Up to version 3 none whose `min_version` is 0 may be listed: clients before Kafka 3.9 fail (KAFKA-17011).
        0 => pub supported_features: Vec<SupportedFeatureKey> [3..],
        /// Grows with each change of the finalized features; -1 while unknown.
        1 => pub finalized_features_epoch: i64 [3..] = -1,
        2 => pub finalized_features: Vec<FinalizedFeatureKey> [3..],
        3 => pub zk_migration_ready: bool [3..],
    }
}

message! {
    pub struct ApiVersion {
        pub api_key: i16 [..],
        pub min_version: i16 [..],
        pub max_version: i16 [..],
    }
}

message! {
    pub struct SupportedFeatureKey {
        pub name: ByteStr [..],
        pub min_version: i16 [..],
        pub max_version: i16 [..],
    }
}

message! {
    pub struct FinalizedFeatureKey {
        pub name: ByteStr [..],
        pub max_version_level: i16 [..],
        pub min_version_level: i16 [..],
    }
}

/// What consoles conclude from which release of Apache Kafka a cluster is, and thereby what it can do: 4.2-IV1, and 3.3-IV3 as
/// the lowest that there is. The other features stand for what is not served: transactions and groups of KIP-848.
const METADATA_VERSION: &str = "metadata.version";
const METADATA_VERSION_MIN: i16 = 7;
const METADATA_VERSION_FINALIZED: i16 = 29;

impl ApiVersionsResponse {
    /// The whole table, and the features.
    pub fn served() -> ApiVersionsResponse {
        let name = ByteStr::from_static(METADATA_VERSION);
        ApiVersionsResponse {
            api_keys: SERVED.iter().map(ApiVersion::from).collect(),
            supported_features: vec![SupportedFeatureKey {
                name: name.clone(),
                min_version: METADATA_VERSION_MIN,
                max_version: METADATA_VERSION_FINALIZED,
            }],
            // They never change.
            finalized_features_epoch: 0,
            finalized_features: vec![FinalizedFeatureKey {
                name,
                max_version_level: METADATA_VERSION_FINALIZED,
                min_version_level: METADATA_VERSION_FINALIZED,
            }],
            ..Default::default()
        }
    }

    /// The answer to a version of ApiVersions that is not served: it is sent in version 0, and tells the range of
    /// ApiVersions, so that the client can ask again (KIP-511).
    pub fn unsupported_version() -> ApiVersionsResponse {
        let own = SERVED
            .iter()
            .filter(|served| served.api_key == ApiKey::ApiVersions);
        ApiVersionsResponse {
            error_code: ErrorCode::UnsupportedVersion,
            api_keys: own.map(ApiVersion::from).collect(),
            ..Default::default()
        }
    }
}

impl From<&Served> for ApiVersion {
    fn from(served: &Served) -> ApiVersion {
        ApiVersion {
            api_key: served.api_key.as_i16(),
            min_version: served.advertised_min,
            max_version: served.version_max,
        }
    }
}

/// A broker that does not know the version answers in version 0 with error 35 (KIP-511).
pub(crate) fn response_version(version: i16, body: &Bytes) -> i16 {
    let unsupported = ErrorCode::UnsupportedVersion.as_i16().to_be_bytes();
    if body.starts_with(&unsupported) {
        0
    } else {
        version
    }
}

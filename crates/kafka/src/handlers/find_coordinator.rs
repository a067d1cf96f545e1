use std::iter;

use firth_kafka_codec::{ByteStr, Coordinator, ErrorCode, FindCoordinatorRequest, FindCoordinatorResponse};

use super::{Answer, message, metadata};
use crate::server::Client;

/// Several keys are asked for from this version on (KIP-699).
const BATCHED_MIN: i16 = 4;
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// This broker coordinates all groups.
///
/// There are no transactions yet. A transactional producer asks for its coordinator before it does anything else, and of the
/// codes that Java's client and librdkafka both take as final this one alone does not blame something that the client
/// sent; InitProducerId answers with the same.
pub(super) async fn handle(
    client: Client,
    version: i16,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    if version >= BATCHED_MIN {
        let keys = request.coordinator_keys.into_iter();
        return FindCoordinatorResponse {
            coordinators: keys.map(|key| find(&client, request.key_type, key)).collect(),
            ..Default::default()
        };
    }
    let found = find(&client, request.key_type, request.key);
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..Default::default()
    }
}

fn find(client: &Client, key_type: i8, key: ByteStr) -> Coordinator {
    let refused = match key_type {
        GROUP => {
            let own = metadata::own_address(client);
            return Coordinator {
                key,
                node_id: own.node_id,
                host: own.host,
                port: own.port,
                ..Default::default()
            };
        }
        TRANSACTION => (
            ErrorCode::TransactionalIdAuthorizationFailed,
            "transactions are not supported",
        ),
        _ => (
            ErrorCode::InvalidRequest,
            "there are coordinators of groups alone",
        ),
    };
    let (error_code, reason) = refused;
    Coordinator {
        key,
        node_id: -1,
        port: -1,
        error_code,
        error_message: message(&reason),
        ..Default::default()
    }
}

impl Answer for FindCoordinatorResponse {
    fn error_codes(&self) -> impl Iterator<Item = ErrorCode> {
        let coordinators = self.coordinators.iter().map(|found| found.error_code);
        iter::once(self.error_code).chain(coordinators)
    }
}
